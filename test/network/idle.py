#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: idle.py TARGET TOOLS WORK

A web site without traffic uses no processor time: less than 0.05 % over ten seconds, in all processes and threads of
`mirage run` together (scheduler's own nanoseconds).
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10
BOUND = 0.0005


def family(pid):
    """The process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu_nanoseconds(pids):
    return {pid: sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
            for pid in pids}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_answer(port, process):
    for _ in range(300):
        if process.poll() is not None:
            sys.exit(f"the image ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as c:
                c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if c.recv(100).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("no answer")


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    target, tools, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(ROOT / "example/application/website", work)
    for words in (["configure", "-t", target], ["build"]):
        subprocess.run([tools / "mirage", *words], cwd=work, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    process = subprocess.Popen([tools / "mirage", "run", "-p", f"127.0.0.1:{port}:80"], cwd=work, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        wait_for_answer(port, process)
        time.sleep(3)  # closing connections, delayed acknowledgements
        pids = family(process.pid)
        before = cpu_nanoseconds(pids)
        time.sleep(SECONDS)
        used = {pid: after - before[pid] for pid, after in cpu_nanoseconds(pids).items()}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
    for pid, nanoseconds in used.items():
        print(f"process {pid}: {nanoseconds / 1e6:.3f} ms in {SECONDS} s")
    share = sum(used.values()) / (SECONDS * 1e9)
    print(f"{target}: {share:.4%} of a processor (at most {BOUND:.2%})")
    return 0 if share < BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
