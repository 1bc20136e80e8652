#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: against_linux.py COMMAND...   (the command that runs the services image on tap0)

Our stack against Linux: ping, UDP, TCP both ways compared by digest, many connections, resets, half-close.
"""
import random
import socket
import struct
import subprocess
import sys
import threading

from harness import GUEST, Guest, Namespace, check, connect, fail_usage, fnv1a, read_all, run_cases


def pattern(count):
    block = bytes((i * 131 + i // 251) & 0xff for i in range(min(count, 256 * 251)))
    return (block * (count // len(block) + 1))[:count] if count else b""


def ping(_):
    out = subprocess.run(["ping", "-c", "20", "-i", "0.01", "-W", "2", GUEST], capture_output=True, text=True).stdout
    check(" 20 received" in out, out)
    out = subprocess.run(["ping", "-c", "5", "-i", "0.01", "-s", "1400", "-W", "2", GUEST], capture_output=True, text=True).stdout
    check(" 5 received" in out, out)


def ping_fragmented(_):
    out = subprocess.run(["ping", "-c", "5", "-i", "0.01", "-s", "6000", "-W", "2", GUEST], capture_output=True, text=True).stdout
    check(" 5 received" in out, out)


def udp_echo(_):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        for size in (0, 1, 18, 512, 1472, 4000, 20000):
            data = random.randbytes(size)
            udp.sendto(data, (GUEST, 7))
            check(udp.recvfrom(65536)[0] == data, f"datagram of {size} bytes")


def udp_port_unreachable(_):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect((GUEST, 4242))
        udp.send(b"x")
        try:
            udp.recv(100)
        except ConnectionRefusedError:
            return
        check(False, "no port unreachable")


def tcp_refused(_):
    try:
        connect(4242).close()
    except ConnectionRefusedError:
        return
    check(False, "connected to a port where nobody listens")


def tcp_echo_sizes(_):
    with connect(7) as c:
        for size in (1, 2, 100, 1459, 1460, 1461, 5000, 70000, 300000):
            data = random.randbytes(size)
            sender = threading.Thread(target=c.sendall, args=(data,))
            sender.start()
            got = b""
            while len(got) < size:
                part = c.recv(1 << 16)
                check(part, f"end of stream after {len(got)} of {size} bytes")
                got += part
            sender.join()
            check(got == data, f"echo of {size} bytes differs")


def tcp_upload(_, size=20 << 20):
    data = pattern(1 << 20)
    digest_input = data * (size // len(data))
    with connect(9, timeout=60) as c:
        for _ in range(size // len(data)):
            c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        answer = read_all(c).split()
    check(answer and int(answer[0]) == size, f"{answer} of {size} bytes arrived")
    check(int(answer[1], 16) == native_digest(digest_input), "the digest differs")


def tcp_download(_, size=50 << 20):
    with connect(19, timeout=60) as c:
        c.sendall(b"%d\n" % size)
        got = read_all(c)
    check(len(got) == size, f"{len(got)} of {size} bytes arrived")
    check(got == pattern(size), "what arrived differs")


def tcp_many_connections(_, count=400):
    connections = [connect(7) for _ in range(count)]
    try:
        for i, c in enumerate(connections):
            c.sendall(b"connection %d" % i)
        for i, c in enumerate(connections):
            check(c.recv(100) == b"connection %d" % i, f"connection {i}")
    finally:
        for c in connections:
            c.close()


def tcp_many_in_sequence(_, count=2000):
    for i in range(count):
        with connect(7) as c:
            c.sendall(b"x")
            check(c.recv(1) == b"x", f"connection {i}")


def tcp_reset_by_guest(_):
    with connect(13) as c:
        c.sendall(b"x")
        try:
            got = c.recv(10)
        except ConnectionResetError:
            return
        check(False, f"no reset but {got!r}")


def tcp_reset_by_peer(_, count=100):
    for _ in range(count):
        c = connect(7)
        c.sendall(b"x" * 1000)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    with connect(7) as c:
        c.sendall(b"alive")
        check(c.recv(10) == b"alive", "the guest does not serve any more")


def tcp_half_close_by_peer(_):
    with connect(7) as c:
        c.sendall(b"last words")
        c.shutdown(socket.SHUT_WR)
        check(read_all(c) == b"last words", "what was sent before the half-close did not come back")


def tcp_half_close_by_guest(context):
    with connect(37) as c:
        check(read_all(c) == b"bye\n", "greeting")
        c.sendall(b"y" * 50000)
    from harness import wait_until
    wait_until(lambda: "after the half-close 50000 bytes came" in context.console(), 5, "the guest to count 50000 bytes")


def tcp_slow_reader(_, size=3 << 20):
    import time
    with connect(19, timeout=60) as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        c.sendall(b"%d\n" % size)
        time.sleep(1.5)  # the window closes, zero-window probes go out
        got = read_all(c)
    check(got == pattern(size), f"{len(got)} of {size} bytes, or other ones")


def native_digest(data):
    """FNV-1a is slow in Python: a compiled helper would be one more thing to build, so only a sample is hashed there."""
    import ctypes
    import os
    library = os.environ.get("MIRAGE_FNV1A")
    if library:
        function = ctypes.CDLL(library).fnv1a
        function.restype = ctypes.c_uint64
        return function(data, ctypes.c_size_t(len(data)))
    return fnv1a(data)


CASES = [ping, ping_fragmented, udp_echo, udp_port_unreachable, tcp_refused, tcp_echo_sizes, tcp_upload, tcp_download,
         tcp_many_connections, tcp_many_in_sequence, tcp_reset_by_guest, tcp_reset_by_peer, tcp_half_close_by_peer,
         tcp_half_close_by_guest, tcp_slow_reader]


def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    Namespace()
    with Guest(sys.argv[1:], ready="services are up") as guest:
        status = run_cases(CASES, guest)
        if status:
            print(guest.console()[-3000:])
    return status


if __name__ == "__main__":
    sys.exit(main())
