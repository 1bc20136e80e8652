#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: queues.py TOOLS WORK

A virtio network device with several queue pairs, on a tap that has them too: `mirage run --net NAME=tap0,queues=N` under
QEMU. Every pair carries frames both ways, each connection's bytes arrive whole, and Linux sends the frames of a
connection to the pair that the guest sends it on. What cannot be is refused in words: counts that are none, taps made
otherwise.
"""
import ctypes
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from harness import HOST, Guest, Namespace, check, connect, fail_usage, read_all, run_cases, sh

HERE = Path(__file__).resolve().parent
CLONE_NEWNS = 0x20000
CONNECTIONS = 48


def own_sys():
    """/sys of this network namespace: where the tool looks how a tap was made."""
    check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) == 0, "unshare: no mount namespace")
    sh("mount", "--make-rprivate", "/")
    sh("mount", "-t", "sysfs", "sys", "/sys")


def fresh_tap(*words):
    subprocess.run(["ip", "link", "del", "tap0"], capture_output=True)
    sh("ip", "tuntap", "add", "tap0", "mode", "tap", *words)
    sh("ip", "addr", "add", f"{HOST}/24", "dev", "tap0")
    sh("ip", "link", "set", "tap0", "up")


class Context:
    def __init__(self, tools, work):
        self.mirage = str(Path(tools).resolve() / "mirage")
        self.project = work / "counted"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(HERE / "services", self.project)
        shutil.copy(HERE / "counted/config.cpp", self.project)
        for words in (["configure", "-t", "virtio"], ["build"]):
            sh(self.mirage, *words, cwd=self.project)

    def command(self, net):
        return [self.mirage, "run", "-f", str(self.project / "config.cpp"), "--accel", "tcg", "--net", net, "--",
                "--ipv4=10.0.0.2/24", "--logs=debug"]


def scrape():
    text = sh("curl", "-s", "-S", "--noproxy", "*", "--max-time", "10", "http://10.0.0.2:9100/metrics")
    return {name: int(value) for name, value in re.findall(r"^(mirage_\S+) (\d+)$", text, re.M)}


def pairs_of(samples, count):
    return [tuple(samples[f'mirage_virtio_pair_{way}_total{{module="{pair}"}}'] for way in ("received", "sent"))
            for pair in range(count)]


def echo(failures, number):
    data = bytes((number + i * 7) & 255 for i in range(20000))
    with connect(7, 30) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        received = b""
        while len(received) < len(data) and (part := connection.recv(1 << 16)):
            received += part
        sender.join()
        if received != data:
            failures.append(number)


def carried(context, queues):
    fresh_tap("multi_queue")
    with Guest(context.command(f"service=tap0,queues={queues}"), ready="services are up", timeout=60) as guest:
        check(re.search(rf": pci mtu=.* queues={queues}", guest.console()), f"not {queues} pairs:\n{guest.console()}")
        failures = []
        threads = [threading.Thread(target=echo, args=(failures, i)) for i in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(not failures, f"connections {failures} did not get back what they sent")
        pairs = pairs_of(scrape(), queues)
        print(f"  pairs (received, sent): {pairs}", flush=True)
        check(all(received > 5 and sent > 5 for received, sent in pairs), "a pair carried next to nothing")
        # One connection more: what grows is one pair, on both its sides.
        before = pairs_of(scrape(), queues)
        with connect(9, 30) as connection:
            connection.sendall(bytes(2_000_000))
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)
        grown = [sum(after) - sum(old) for after, old in zip(pairs_of(scrape(), queues), before)]
        print(f"  a connection's frames: {grown}", flush=True)
        check(max(grown) > 4 * (sum(grown) - max(grown)), f"a connection's frames came on several pairs: {grown}")


def two_pairs(context):
    carried(context, 2)


def four_pairs(context):
    carried(context, 4)


def other_transports(context):
    """What `mirage run` says, changed: legacy, mmio, interrupts by line, no extras; and no control queue: one pair."""
    command = json.loads(sh(context.mirage, "run", "-f", str(context.project / "config.cpp"), "--json", "--dry-run", "--accel", "tcg",
                            "--net", "service=tap0,queues=2", "--", "--ipv4=10.0.0.2/24", "--logs=debug"))["command"]
    for transport, queues, old, new in (("legacy-pci", 2, "mq=on", "mq=on,disable-modern=on"), ("pci", 2, "mq=on", "mq=on,vectors=0"),
                                        ("pci", 2, "mq=on", "mq=on,event_idx=off,indirect_desc=off,mrg_rxbuf=off"),
                                        ("pci", 1, "mq=on", "mq=on,ctrl_vq=off"), ("mmio", 2, "-pci", "-device"),
                                        ("legacy-mmio", 2, "-pci", "-device")):
        words = [word.replace(old, new) for word in command]
        if "mmio" in transport:
            words = [word.replace("q35", "microvm") for word in words]
            words += ["-global", f"virtio-mmio.force-legacy={'on' if transport == 'legacy-mmio' else 'off'}"]
        fresh_tap("multi_queue")
        with Guest(words, ready="services are up", timeout=60) as guest:
            check(re.search(rf": {transport} mtu=.* queues={queues}\b", guest.console()), f"{new}: {guest.console()}")
            failures = []
            for number in range(8):
                echo(failures, number)
            check(not failures, f"{new}: connections {failures} did not get back what they sent")


def one_pair(context):
    for net in ("service=tap0", "service=tap0,queues=1"):
        fresh_tap()
        with Guest(context.command(net), ready="services are up", timeout=60) as guest:
            check("queues=1" in guest.console(), guest.console())
            check(not any("virtio_pair" in name for name in scrape()), "counters of pairs that are not there")


def refused(context):
    def error(net):
        done = subprocess.run(context.command(net), text=True, capture_output=True, timeout=30)
        return done.returncode, done.stderr

    fresh_tap("multi_queue")
    for count in ("0", "5", "x", "", "-2", "99999999999"):
        status, said = error(f"service=tap0,queues={count}")
        check(status == 2 and f"bad value 'service=tap0,queues={count}'" in said and "from 1 to 4" in said, f"{status}: {said}")
    status, said = error("service=tap0")
    check(status == 1 and "'tap0' is made for several queues" in said and "queues=2" in said, f"{status}: {said}")
    status, said = error("service=tap9,queues=2")
    check(status == 1 and "no interface 'tap9'" in said and "multi_queue" in said, f"{status}: {said}")
    fresh_tap()
    status, said = error("service=tap0,queues=2")
    check(status == 1 and "'tap0' has one queue" in said and "multi_queue" in said, f"{status}: {said}")


def main():
    if len(sys.argv) != 3:
        fail_usage(__doc__)
    context = Context(sys.argv[1], Path(sys.argv[2]).resolve())
    Namespace()
    own_sys()
    return run_cases([two_pairs, four_pairs, other_transports, one_pair, refused], context)


if __name__ == "__main__":
    sys.exit(main())
