#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: relay.py TOOLS IMAGE [SEEDS [SECONDS [POINTS]]]

One bulk flow through bench_relay, a wire with loss, delay, a rate of 50 Mbit/s and a queue of 100 ms at most: from our stack
(the image of bench/net on spt) and from Linux with CUBIC, each to a Linux receiver, seed by seed over the same losses.
Both senders write one block of 64 KiB again and again: what an application computes is not what is measured.
Flows are long enough to see many losses: after 4 s at 0.1 % the medians of two columns were of different seeds.
Prints the median goodput of each point, the ratio of the medians, and the median of the seeds' ratios. Needs root; makes network namespaces of its own.
"""
import ctypes
import fcntl
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Loss in parts of a million, round trip in milliseconds.
POINTS = [(100, 10), (100, 50), (1000, 5), (1000, 40), (5000, 20), (5000, 100), (10000, 10), (10000, 50), (20000, 20), (50000, 20)]
RATE = 50_000_000 // 8
FEW, MANY = 2, 8  # runs at once, of points that fill the wire and of the others
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x40000000, 0x400454CA, 0x0002, 0x1000

SENDER = """
import socket
s = socket.create_server(('10.0.0.2', 19))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b'cubic')
s.settimeout(60)
c, _ = s.accept()
c.settimeout(60)
c.recv(100)
block = bytes(1 << 16)
try:
    while True:
        c.sendall(block)
except OSError:
    pass
"""
RECEIVER = """
import socket, sys, time
seconds = float(sys.argv[1])
end = time.monotonic() + 20
while True:
    try:
        c = socket.create_connection(('10.0.0.2', 19), timeout=5)
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)
c.sendall(b'100000000000\\n')
c.settimeout(seconds)
begin = time.monotonic()
count = 0
buffer = bytearray(1 << 18)
while time.monotonic() < begin + seconds:
    try:
        n = c.recv_into(buffer)
    except TimeoutError:
        break
    if n == 0:
        break
    count += n
print(count * 8 / 1e6 / (time.monotonic() - begin))
"""


def tap_namespace(address):
    """A tap in a fresh namespace: its descriptor and the namespace's."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"wire0", IFF_TAP | IFF_NO_PI))
    for words in (["link", "set", "lo", "up"], ["addr", "add", f"{address}/24", "dev", "wire0"], ["link", "set", "wire0", "up"]):
        subprocess.run(["ip", *words], check=True)
    return tap, os.open("/proc/self/ns/net", os.O_RDONLY)


def python(namespace, text, *arguments):
    def enter():
        if LIBC.setns(namespace, CLONE_NEWNET) != 0:
            os._exit(3)
    return subprocess.Popen([sys.executable, "-c", text, *arguments], preexec_fn=enter, stdout=subprocess.PIPE, text=True)


def one(kind, tools, image, seed, point, seconds):
    """Runs in a process of its own, whose namespaces go with it. Mbit/s."""
    loss, round_trip = point
    os.nice(-10)  # both stacks alike: what else the machine does is not what is measured
    receiver_tap, receiver = tap_namespace("10.0.0.1")
    processes, ends = [], []
    if kind == "linux":
        near, sender = tap_namespace("10.0.0.2")
        processes.append(python(sender, SENDER))
    else:
        guest, near = (s.detach() for s in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        ends.append(guest)
        processes.append(subprocess.Popen(
            [tools / "mirage-spt", "--mem=64", f"--net:service=@{guest}", "--", image, "--ipv4=10.0.0.2/24"],
            pass_fds=[guest], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    queue = max(RATE * min(round_trip, 100) // 1000, 30_000)
    relay = subprocess.Popen([tools / "bench_relay", str(near), str(receiver_tap), str(seed), str(loss),
                              str(round_trip * 500), str(RATE), str(queue)], pass_fds=[near, receiver_tap], stderr=subprocess.DEVNULL)
    processes.append(relay)
    try:
        goodput = python(receiver, RECEIVER, str(seconds))
        processes.append(goodput)
        return float(goodput.communicate(timeout=seconds + 60)[0])
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run_apart(kind, tools, image, seed, point, seconds):
    words = [sys.executable, __file__, "--one", kind, tools, image, str(seed), str(point[0]), str(point[1]), str(seconds)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout)


def main():
    if len(sys.argv) == 9 and sys.argv[1] == "--one":
        kind, tools, image, seed, loss, round_trip, seconds = sys.argv[2:]
        print(one(kind, Path(tools), Path(image), int(seed), (int(loss), int(round_trip)), float(seconds)))
        return 0
    if not 3 <= len(sys.argv) <= 6:
        print(__doc__, file=sys.stderr)
        return 2
    tools, image = sys.argv[1:3]
    seeds, seconds, points = (float(v) if v else d for v, d in zip((sys.argv[3:] + [""] * 3)[:3], (10, 10, len(POINTS))))
    reached, points = 0, POINTS[:int(points)]
    print(f"median of {seeds:.0f} seeds, {seconds:.0f} s each, Mbit/s of {RATE * 8 // 1_000_000}")
    print(f"{'loss':>8} {'RTT':>7} {'ours':>8} {'Linux':>8} {'ratio':>6} {'by seed':>8}")
    # Several at once, since each mostly waits for its wire; both stacks by turns over the same losses.
    with ThreadPoolExecutor(FEW) as few, ThreadPoolExecutor(MANY) as many:
        jobs = {(point, kind, seed): (few if point[0] < 5000 else many).submit(run_apart, kind, tools, image, seed, point, seconds)
                for point in points for seed in range(1, int(seeds) + 1) for kind in ("ours", "linux")}
        for point in points:
            each = [[jobs[point, kind, seed].result() for kind in ("ours", "linux")] for seed in range(1, int(seeds) + 1)]
            ours, linux = map(statistics.median, zip(*each))
            by_seed = statistics.median(a / b for a, b in each)
            reached += ours >= linux
            print(f"{point[0] / 10000:>6.2f} % {point[1]:>4} ms {ours:8.2f} {linux:8.2f} {ours / linux:6.3f} {by_seed:8.3f}", flush=True)
    print(f"at least Linux's at {reached} of {len(points)} points")
    return 0


if __name__ == "__main__":
    sys.exit(main())
