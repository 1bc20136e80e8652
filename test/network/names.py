#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: names.py COMMAND...   (the command that runs the lookup image on tap0)

Names, by a real name server (dnsmasq) in a namespace of its own: every type, aliases, truncation to TCP, what does not
exist, servers that the image is told or learns by DHCP.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import HOST, Guest, Namespace, check, fail_usage, run_cases, wait_until

ZONE = f"""
no-resolv
no-hosts
no-daemon
log-queries
listen-address={HOST}
bind-interfaces
address=/www.example/192.0.2.7
address=/six.example/2001:db8::7
host-record=web.example,{HOST},2001:db8::99
cname=alias.example,real.example
host-record=real.example,192.0.2.8
mx-host=example,mail.example,10
mx-host=example,backup.example,20
srv-host=_http._tcp.example,www.example,8080,1,5
txt-record=text.example,"one=1","two"
ptr-record=7.2.0.192.in-addr.arpa,www.example
local=/example/
dhcp-range=10.0.0.60,10.0.0.60,255.255.255.0,1h
dhcp-option=option:dns-server,{HOST}
domain=example
leasefile-ro
""" + "".join(f"host-record=many.example,192.0.2.{i}\n" for i in range(1, 120))


class Dnsmasq:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="dnsmasq-")
        config = Path(self.folder.name) / "conf"
        config.write_text(ZONE)
        self.log = open(Path(self.folder.name) / "log", "w+")
        self.process = subprocess.Popen(["dnsmasq", "-C", str(config), "--user=root", "--pid-file"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT)
        wait_until(lambda: "started" in self.text() or self.process.poll() is not None, 10, "dnsmasq")
        check(self.process.poll() is None, f"dnsmasq ended:\n{self.text()}")
        return self

    def text(self):
        return Path(self.log.name).read_text(errors="replace")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


STATIC = ["--ipv4=10.0.0.2/24", f"--nameserver={HOST}"]


def lookup(command, *keys, status=0):
    """The console of an image that looks names up and ends."""
    with Guest([*command, *keys]) as guest:
        wait_until(lambda: guest.process.poll() is not None, 30, "the end of the lookups")
        check(guest.process.returncode == status, f"status {guest.process.returncode}, not {status}:\n{guest.console()}")
        return guest.console()


def expect(text, *lines):
    for line in lines:
        check(f"[application] {line}\n" in text.replace("\r\n", "\n"), f"'{line}' is missing in:\n{text}")


def addresses(command):
    with Dnsmasq() as server:
        expect(lookup(command, *STATIC, "--names=www.example,alias.example,192.0.2.1"), "www.example is 192.0.2.7",
               "alias.example is 192.0.2.8", "192.0.2.1 is 192.0.2.1")
        check("192.0.2.1" not in server.text(), "an address was asked about")
        expect(lookup(command, *STATIC, "--names=six.example", "--type=aaaa"), "six.example is 2001:db8::7")


def other_types(command):
    with Dnsmasq():
        mail = lookup(command, *STATIC, "--names=example", "--type=mx")
        expect(mail, "example has mail at mail.example (10)", "example has mail at backup.example (20)")
        check(mail.index("mail.example (10)") < mail.index("backup.example"), "the preferred one is not first")
        expect(lookup(command, *STATIC, "--names=_http._tcp.example", "--type=srv"),
               "_http._tcp.example is at www.example:8080 (1, 5)")
        expect(lookup(command, *STATIC, "--names=text.example", "--type=txt"), "text.example says one=1", "text.example says two")
        expect(lookup(command, *STATIC, "--names=192.0.2.7", "--type=ptr"), "192.0.2.7 is www.example")


def nothing(command):
    with Dnsmasq():
        expect(lookup(command, *STATIC, "--names=none.example,a..b", status=1), "none.example: no such name",
               "a..b: not a domain name")
        expect(lookup(command, *STATIC, "--names=real.example", "--type=mx", status=1), "real.example: no record of this type")


def truncated(command):
    with Dnsmasq():
        text = lookup(command, *STATIC, "--names=many.example")
        check(text.count("many.example is 192.0.2.") == 64, f"not as many addresses as a resolver keeps:\n{text}")


def by_dhcp(command):
    with Dnsmasq():
        expect(lookup(command, "--dhcp=true", "--names=www.example,www"), "www.example is 192.0.2.7", "www is 192.0.2.7")


def no_server(command):
    expect(lookup(command, *STATIC, "--names=www.example", status=1), "www.example: name servers do not answer")


def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    Namespace()
    return run_cases([addresses, other_types, nothing, truncated, by_dhcp, no_server], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
