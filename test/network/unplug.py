#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: unplug.py TOOLS WORK

Pulling the plug: whichever process of a running unikernel is killed, or its peer, nothing stays behind: no process, no
network interface, no file. Needs root (a network namespace of its own).
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness import Failed, GUEST, Guest, Namespace, check, run_cases, sh, wait_until

ROOT = Path(__file__).resolve().parents[2]


def processes():
    """Every process: number -> (parent, start time, name, state)."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        fields = text[text.rindex(")") + 2:].split()
        found[int(folder.name)] = (int(fields[1]), fields[19], name, fields[0])
    return found


def family(root):
    """The process and all below it: number -> (start time, name)."""
    everybody, found = processes(), {root}
    while more := {pid for pid, (parent, *_) in everybody.items() if parent in found} - found:
        found |= more
    return {pid: everybody[pid][1:3] for pid in found if pid in everybody}


class Context:
    def __init__(self, tools, work):
        self.tools, self.work = Path(tools), Path(work)
        shutil.rmtree(self.work, ignore_errors=True)
        self.temporary = self.work / "tmp"
        self.project = self.work / "website"
        shutil.copytree(ROOT / "example/application/website", self.project)
        self.temporary.mkdir()
        (self.project / "htdocs/large.bin").write_bytes(os.urandom(8 << 20))
        for words in (["configure", "-t", "spt"], ["build"]):
            subprocess.run([self.tools / "mirage", *words], cwd=self.project, check=True, stdout=subprocess.DEVNULL)
        self.files = self.list_files()
        self.known = {}

    def list_files(self):
        return sorted(str(p) for p in self.work.rglob("*"))

    def start(self):
        environment = os.environ | {"TMPDIR": str(self.temporary), "XDG_RUNTIME_DIR": str(self.temporary)}
        process = subprocess.Popen([self.tools / "mirage", "run", "-p", "127.0.0.1:8080:80"], cwd=self.project, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        wait_until(lambda: self.get("/") is not None, 20, "an answer")
        self.known = family(process.pid)
        return process

    def alive(self):
        """Of the processes that start() saw, those that still run: number -> name."""
        everybody = processes()
        return {pid: name for pid, (started, name) in self.known.items()
                if pid in everybody and everybody[pid][1] == started and everybody[pid][3] != "Z"}

    def get(self, path, read=100):
        try:
            with socket.create_connection(("127.0.0.1", 8080), timeout=2) as c:
                c.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return c.recv(read) or None
        except OSError:
            return None

    def check_clean(self, process):
        wait_until(lambda: process.poll() is not None, 5, "mirage run to end")
        wait_until(lambda: not self.alive(), 5, f"processes to end, of {self.known}")
        links = sh("ip", "-o", "link").splitlines()
        check(len(links) == 2, f"interfaces left behind: {links}")  # lo and the harness's own tap
        check(self.list_files() == self.files, f"files left behind: {set(self.list_files()) - set(self.files)}")


def kill_named(name, during_transfer):
    def case(context):
        process = context.start()
        transfer = None
        if during_transfer:
            transfer = socket.create_connection(("127.0.0.1", 8080), timeout=5)
            transfer.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            transfer.recv(1000)
        victims = [pid for pid, other in context.alive().items() if other == name]
        check(victims, f"no process {name} among {context.alive()}")
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        context.check_clean(process)
        if transfer:
            transfer.close()

    case.__name__ = f"kill_{name.replace('-', '_')}{'_in_transfer' if during_transfer else ''}"
    return case


def interrupt(context):
    process = context.start()
    process.send_signal(signal.SIGINT)
    context.check_clean(process)


def terminate(context):
    process = context.start()
    process.send_signal(signal.SIGTERM)
    context.check_clean(process)


def kill_peers(context):
    """Clients that vanish in the middle of a transfer leave the server serving."""
    process = context.start()
    for _ in range(20):
        c = socket.create_connection(("127.0.0.1", 8080), timeout=5)
        c.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        c.recv(1000)
        c.close()
    check(context.get("/") is not None, "the server does not answer after its clients vanished")
    process.send_signal(signal.SIGINT)
    context.check_clean(process)


CASES = [interrupt, terminate, kill_peers] + [kill_named(name, transfer) for name in ("mirage", "mirage-spt", "mirage-usernet")
                                             for transfer in (False, True)]


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    Namespace()
    return run_cases(CASES, Context(sys.argv[1], sys.argv[2]))


if __name__ == "__main__":
    sys.exit(main())
