#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: memory.py TOOLS WORK

Little memory is enough: hello's whole process stays below 512 KiB on spt, and the web site serves 64 connections at once
with 4 MiB. Needs root (a network namespace of its own).
"""
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness import Failed, GUEST, Guest, Namespace, check, run_cases

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 64
ROUNDS = 20


def build(tools, work, example):
    project = work / Path(example).name
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(ROOT / "example" / example, project)
    if (project / "htdocs").is_dir():
        (project / "htdocs/page.txt").write_bytes(b"0123456789abcdef" * 6400)  # 100 KiB
    for words in (["configure", "-t", "spt"], ["build"]):
        subprocess.run([tools / "mirage", *words], cwd=project, check=True, stdout=subprocess.DEVNULL)
    return project / "dist" / f"{project.name}.spt"


class Context:
    def __init__(self, tools, work):
        self.tools, self.work = Path(tools), Path(work)
        self.spt = str(self.tools / "mirage-spt")


def hello_resident_set(context):
    image = build(context.tools, context.work, "tutorial/hello")
    with Guest([context.spt, "--mem=2", "--", str(image)], ready="hello") as guest:
        time.sleep(0.5)
        status = Path(f"/proc/{guest.process.pid}/status").read_text()
        peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
        print(f"hello: {peak} KiB resident at most, of 512")
        check(peak <= 512, f"{peak} KiB resident")


def read_response(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        check(part, "end of stream in a head")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    check(head.startswith(b"HTTP/1.1 200 "), head[:100])
    length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")).split(b":")[1])
    while len(body) < length:
        part = connection.recv(65536)
        check(part, "end of stream in a body")
        body += part
    return body


def website_with_4_mib(context):
    image = build(context.tools, context.work, "application/website")
    with Guest([context.spt, "--mem=4", "--net:service=tap0", "--", str(image), "--ipv4=10.0.0.2/24"], ready="serving"):
        connections = [socket.create_connection((GUEST, 80), timeout=20) for _ in range(CONNECTIONS)]
        for _ in range(ROUNDS):
            for c in connections:
                c.sendall(b"GET /page.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            for i, c in enumerate(connections):
                check(read_response(c) == b"0123456789abcdef" * 6400, f"connection {i}: another body")
        for c in connections:
            c.close()


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    Namespace()
    return run_cases([hello_resident_set, website_with_4_mib], Context(sys.argv[1], sys.argv[2]))


if __name__ == "__main__":
    sys.exit(main())
