#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: net.py [--quick] [--only REGEX] TOOLS IMAGE HTDOCS WORK

The data path beside its peers, one table with ratios: medians of five rounds, in each of which every subject has its
turn. CPU is the busy time of the server's core from /proc/stat, softirqs included. Needs root, wrk and nginx."""
import argparse
import re
import signal
import statistics
import sys
from pathlib import Path

import lab as l

HERE = Path(__file__).resolve().parent


class Table:
    def __init__(self, quick, only):
        self.rounds = 1 if quick else 5
        self.only = re.compile(only or "")
        print(f"{'':34}{'mirage':>10} {'us CPU':>8}  {'peer':>16}{'':>10} {'us CPU':>8}  {'rate':>6} {'CPU':>6}  wanted", flush=True)

    def wants(self, *names):
        return any(self.only.search(name) for name in names)

    def row(self, name, ours, peers, load, unit=1.0, wanted=()):
        """`wanted`: text for each peer. Rates are printed in units of `unit`; ratios are ours to the peer's."""
        if not self.wants(name):
            return None
        results = {}
        for _ in range(self.rounds):
            for subject in (ours, *peers):
                results.setdefault(subject.name, []).append(subject.measure(load))
        median = {who: (statistics.median(r.rate for r in all_), statistics.median(r.cpu for r in all_))
                  for who, all_ in results.items()}
        rate, cpu = median[ours.name]
        for index, peer in enumerate(peers):
            other, other_cpu = median[peer.name]
            # Of each round's own ratios: what a machine does slower for a while it does so for both.
            pairs = list(zip(results[ours.name], results[peer.name]))
            rates = statistics.median(a.rate / b.rate if b.rate else float("nan") for a, b in pairs)
            times = statistics.median(a.cpu / b.cpu if b.cpu else float("nan") for a, b in pairs)
            head = f"{name if index == 0 else '':34}{rate / unit:10.1f} {self.cpu(cpu, unit):>8}" if index == 0 else f"{'':53}"
            print(f"{head}  {peer.name:>16}{other / unit:10.1f} {self.cpu(other_cpu, unit):>8}  {rates:6.2f} "
                  f"{times:6.2f}  {wanted[index] if index < len(wanted) else ''}", flush=True)
        if not peers:
            print(f"{name:34}{rate / unit:10.1f} {self.cpu(cpu, unit):>8}", flush=True)
        return median

    def calls(self, what, subjects, load):
        """System calls per unit, in a run of its own: counting costs time."""
        counts = [(subject.name, subject.calls(load)) for subject in subjects]
        print(f"{'  system calls per ' + what:34}" + ", ".join(f"{name} " + ("?" if count is None else f"{count:.2f}")
                                                              for name, count in counts), flush=True)

    @staticmethod
    def cpu(seconds, unit):
        return f"{seconds * 1e6:.2f}" if unit < 1e6 else f"{seconds * unit * 1e6:.0f}"


def http(table, subjects, seconds):
    names = [f"HTTP 13 B, {c} connections" for c in (1, 16, 64, 256)]
    names += ["HTTP 13 B, 64, pipelined 16", "file 1 KiB, 64", "file 100 KiB, 64", "new connections, 64"]
    names += ["new connections, 64, own cores"]
    if not table.wants(*names):
        return
    ours, nginx, ceiling = subjects.mirage(), subjects.nginx(), subjects.canned("ceiling", "canned")
    for connections, name in zip((1, 16, 64, 256), names):
        wanted = (">= 1 nginx", "") if connections == 1 else (">= 1.3, CPU <= 0.8", ">= 0.9, CPU <= 1.25")
        if table.row(name, ours, [nginx, ceiling], l.wrk(connections, seconds), 1e3, wanted):
            table.calls("request", (ours, nginx, ceiling), l.wrk(connections, seconds))
    table.row(names[4], ours, [nginx], l.wrk(64, seconds, script=HERE / "pipeline.lua"), 1e3, (">= 3",))
    table.row(names[5], ours, [nginx], l.wrk(64, seconds, port=81, path="/1k.bin"), 1e3, ("CPU <= 0.7",))
    table.row(names[6], ours, [nginx], l.wrk(64, seconds, port=81, path="/100k.bin"), 1e3, ("CPU <= 0.7",))
    # What seven frames cost on a tap, without any state: nobody who is called for each frame comes below it.
    table.row(names[7], ours, [nginx, ceiling], l.wrk(64, seconds, header="Connection: close"), 1e3, ("CPU <= 0.77", ""))
    # A tap's receive paths both run on the server's core, with nginx each on the other's. Here each has its own.
    if table.wants(names[8]):
        ours, nginx = subjects.mirage().receive_on_own_cores(), subjects.nginx().receive_on_own_cores()
        table.row(names[8], ours, [nginx], l.wrk(64, seconds, header="Connection: close"), 1e3, ("",))


def bulk(table, subjects, seconds):
    names = [f"TCP {way}, {kind}" for kind in ("offloads, Gbit/s", "plain frames, Gbit/s") for way in ("in", "out")]
    tool, gigabit = subjects.lab.tool, 1e9 / 8
    if table.wants(*names[:2]):
        ours, veth = subjects.mirage(), subjects.linux("veth", tool, "stream-server", 9, 19)
        relays = [subjects.relay(l.CLIENT_CORE), subjects.relay(l.SERVER_CORE)]
        relays[0].name, relays[1].name = "relay", "relay+server"
        for name, way in zip(names[:2], ("send", "receive")):
            table.row(name, ours, [*relays, veth], l.stream(way, seconds), gigabit, (">= 0.9 the better", "", ">= 0.85"))
    if table.wants(*names[2:]):
        ours = subjects.mirage_plain()
        for name, way, peer in zip(names[2:], ("send", "receive"), ("plain-sink", "plain-source")):
            if table.wants(name):
                table.row(name, ours, [subjects.canned(peer, peer)], l.stream(way, seconds), gigabit, (">= 0.9",))


def datagrams(table, subjects, seconds):
    names = ["UDP echo 64 B, 256 outstanding", "UDP echo 64 B, flood"]
    if not table.wants(*names):
        return
    ours, ceiling = subjects.mirage(), subjects.canned("canned", "canned")
    linux = subjects.linux("Linux", subjects.lab.tool, "udp-echo", 7)
    wanted = (">= 1.25", ">= 0.9")
    best = table.row(names[0], ours, [linux, ceiling], l.udp(256, seconds), 1e3, wanted)
    if best:
        table.calls("datagram", (ours, linux, ceiling), l.udp(256, seconds))
    rate = 4 * best["mirage"][0] if best else 1e6
    flood = table.row(names[1], ours, [linux, ceiling], l.udp_flood(rate, seconds), 1e3, ("", ""))
    if flood:
        print(f"{'':34}offered: {ours.sent / 1e3:.0f} k/s to mirage, {linux.sent / 1e3:.0f} to Linux, {ceiling.sent / 1e3:.0f} to canned")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("tools"), parser.add_argument("image"), parser.add_argument("htdocs"), parser.add_argument("work")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    table = Table(arguments.quick, arguments.only)
    tools = Path(arguments.tools)
    with l.Lab(tools / "bench_net") as lab:
        subjects = l.Subjects(lab, tools / "mirage-spt", arguments.image, arguments.htdocs, arguments.work)
        http(table, subjects, 1)
        bulk(table, subjects, 0.7)
        datagrams(table, subjects, 0.7)
    return 0


if __name__ == "__main__":
    sys.exit(main())
