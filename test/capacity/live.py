#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: live.py [--connections N] [--cycles N] CLIENT TOOLS WORK

An image on spt with --mem=128, a tap in a network namespace of its own, and many connections to it from a client that
builds its frames itself. Needs root."""
import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAC = "02:00:00:00:00:02"


def sh(*words, **options):
    subprocess.run([str(w) for w in words], check=True, **options)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--cycles", type=int, default=1_000_000)
    parser.add_argument("client"), parser.add_argument("tools", type=Path), parser.add_argument("work", type=Path)
    a = parser.parse_args()
    a.tools, a.work = a.tools.resolve(), a.work.resolve()
    shutil.rmtree(a.work, ignore_errors=True)
    shutil.copytree(HERE / "guest", a.work)
    for words in (["configure", "-t", "spt"], ["build"]):
        sh(a.tools / "mirage", *words, cwd=a.work, stdout=subprocess.DEVNULL)
    with contextlib.ExitStack() as stack:
        name = f"mirage-capacity-{os.getpid()}"
        sh("ip", "netns", "add", name)
        stack.callback(subprocess.run, ["ip", "netns", "del", name], capture_output=True)
        enter = ["ip", "netns", "exec", name]
        # Linux stays out of it: no address of its own on the tap.
        sh(*enter, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        sh("ip", "-n", name, "tuntap", "add", "tap0", "mode", "tap")
        sh("ip", "-n", name, "link", "set", "tap0", "up")
        tender = subprocess.Popen([*enter, str(a.tools / "mirage-spt"), "--mem=128", "--net:service=tap0",
                                   f"--net-mac:service={MAC}", "--", str(a.work / "dist/capacity.spt"),
                                   "--ipv4=10.0.0.2/24", "--ipv4-only=true"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def end():
            tender.kill()
            tender.wait()
        stack.callback(end)
        for line in tender.stdout:
            if "serving on" in line:
                break
        else:
            sys.exit("the image did not start")
        time.sleep(0.2)
        return subprocess.run([*enter, a.client, "tap0", MAC, str(a.connections), str(a.cycles), str(tender.pid)]).returncode


if __name__ == "__main__":
    sys.exit(main())
