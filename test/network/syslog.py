#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: syslog.py COMMAND...   (the command that runs the logged image on tap0, with --ipv4=10.0.0.2/24)

Lines of the log, the application's and a library's, at a real receiver, rsyslogd in a namespace of its own: by UDP, by TCP with octet
counting (RFC 6587), and when the receiver comes late.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import HOST, Guest, Namespace, check, fail_usage, run_cases, wait_until

CONFIG = """
module(load="imudp")
module(load="imtcp")
input(type="imudp" port="5514" address="{host}" ruleset="all")
input(type="imtcp" port="5514" address="{host}" ruleset="all")
template(name="parts" type="string" string="%PRI%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n")
ruleset(name="all") {{ action(type="omfile" file="{folder}/out" template="parts") }}
"""
LINE = re.compile(r'(\d+)\|([-0-9T:.+Z]+)\|(10\.0\.0\.2|-)\|logged\|(\S+)\|\[meta sequenceId="(\d+)"\](\[.*\])?\| ?(.*)')


class Rsyslogd:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="rsyslogd-")
        path = Path(self.folder.name)
        self.out = path / "out"
        (path / "conf").write_text(CONFIG.format(host=HOST, folder=path))
        self.process = subprocess.Popen(["rsyslogd", "-n", "-f", str(path / "conf"), "-i", str(path / "pid")], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def lines(self):
        text = self.out.read_text() if self.out.exists() else ""
        return [LINE.fullmatch(line) or line for line in text.splitlines()]

    def find(self, text):
        return [line for line in self.lines() if not isinstance(line, str) and text in line[7]]

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def check_lines(server):
    wait_until(lambda: server.find("line 20") and server.find("step 20"), 20, "the lines at the receiver")
    wrong = [line for line in server.lines() if isinstance(line, str)]
    check(not wrong, f"not the form of RFC 5424: {wrong}")
    check(server.find("line 20")[0][1] == "132", "a warning is not local0.warning")
    check(server.find("line 21")[:1] == [] or server.find("line 21")[0][1] == "134", "an info is not local0.info")
    # What is logged while there is no address yet comes from "-" (RFC 5424 6.2.4); rsyslogd puts in the sender's when it has one.
    sources = {line[4] for line in server.lines() if line[3] != "-"}
    check({"application", "library"} <= sources, f"lines of {sources}")
    step = server.find("step 20: ")[0]
    check(step[4] == "library" and step[6] == r'[fields@32473 of="a \\\"b\] c" n="40"]', f"structured data: {step[6]}")
    check(not server.find("line 20")[0][6], "fields of a line without any")
    numbers = [int(line[5]) for line in server.lines()]
    check(numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"numbers {numbers}")
    return numbers


def by_udp(command):
    with Rsyslogd() as server, Guest([*command, f"--syslog={HOST}:5514"], ready="line 1"):
        check_lines(server)


def by_tcp(command):
    with Rsyslogd() as server, Guest([*command, f"--syslog=tcp://{HOST}:5514"], ready="line 1"):
        check_lines(server)


def late_receiver(command):
    with Guest([*command, f"--syslog=tcp://{HOST}:5514"], ready="line 10"):
        with Rsyslogd() as server:
            check(check_lines(server)[0] == 1, "what was logged before the receiver came is lost")


def off(command):
    with Guest(command, ready="line 3"):
        pass


def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    Namespace()
    return run_cases([by_udp, by_tcp, late_receiver, off], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
