#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: shards.py [--quick] TOOLS IMAGE

One shard beside two, on the same kind of tap: requests per second of
server CPU, medians of five rounds by turns. All shards run on core 0, the client on core 1, so that a machine of two cores
can tell: the cost of sharing is all there, and what a second core adds is not. CPU is core 0's busy time from /proc/stat,
softirqs included. Needs root and wrk."""
import argparse
import signal
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "net"))
import lab as l  # noqa: E402

LOADS = [("HTTP 13 B, 16 connections", dict(connections=16)), ("HTTP 13 B, 64 connections", dict(connections=64)),
         ("HTTP 13 B, 256 connections", dict(connections=256)),
         ("new connections, 64", dict(connections=64, header="Connection: close"))]


def start(lab, tender, image, shards):
    namespace = lab.namespace()
    l.sh("ip", "-n", namespace, "tuntap", "add", "tap0", "mode", "tap", "multi_queue")
    l.sh("ip", "-n", namespace, "addr", "add", "10.0.0.1/24", "dev", "tap0")
    l.sh("ip", "-n", namespace, "link", "set", "tap0", "up")
    process = lab.start(namespace, tender, f"--cpus={shards}", "--mem=128", "--net:service=tap0", f"--net-mac:service={l.MAC}",
                        "--", image, f"--ipv4={l.SERVER}/24")
    return l.Subject(lab, f"{shards}", namespace, process).wait_until_up()


def cpu_shares(subject):
    """Of the shards' own processor time, scheduler's nanoseconds."""
    children = subprocess.run(["pgrep", "-P", str(subject.process.pid)], capture_output=True, text=True).stdout.split()
    times = [int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in children]
    return " : ".join(f"{100 * time / sum(times):.0f} %" for time in times)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("tools"), parser.add_argument("image")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    with l.Lab(None) as lab:
        subjects = [start(lab, Path(arguments.tools) / "mirage-spt", arguments.image, shards) for shards in (1, 2)]
        print(f"{'requests per second of CPU, k':34}{'1 shard':>10}{'2 shards':>10}{'ratio':>8}  wanted", flush=True)
        for name, load in LOADS:
            rounds = [[1 / subject.measure(l.wrk(seconds=1, **load)).cpu for subject in subjects]
                      for _ in range(1 if arguments.quick else 5)]
            one, two = (statistics.median(values) for values in zip(*rounds))
            ratio = statistics.median(of_two / of_one for of_one, of_two in rounds)
            print(f"{name:34}{one / 1e3:10.1f}{two / 1e3:10.1f}{ratio:8.2f}  >= 0.9", flush=True)
        print(f"{'CPU of the two shards':34}{cpu_shares(subjects[1]):>20}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
