#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: ipv6.py COMMAND...   (the command that runs the services image on tap0; keys are added here)

IPv6 against Linux: ping, UDP with fragments, TCP both ways compared by digest with a static address; then
autoconfiguration from router advertisements, and a guest without IPv4.
"""
import ipaddress
import random
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import harness

harness.GUEST = "2001:db8::2"
import against_linux  # noqa: E402: reads the guest's address when it is imported
from harness import Guest, Namespace, check, connect, fail_usage, run_cases, sh, wait_until  # noqa: E402

HOST = "2001:db8::1"
PREFIX = "2001:db8:1::"


def ping(*options):
    words = ["ping", "-6", "-c", "5", "-i", "0.01", "-W", "2", *options]
    out = subprocess.run(words, capture_output=True, text=True).stdout
    check(" 5 received" in out, out)


def ping_sizes(_):
    ping(harness.GUEST)
    ping("-s", "1400", harness.GUEST)


def ping_fragmented(_):
    ping("-s", "6000", harness.GUEST)


def udp_echo(_):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        for size in (0, 1, 18, 512, 1452, 4000, 20000):
            data = random.randbytes(size)
            udp.sendto(data, (harness.GUEST, 7))
            check(udp.recvfrom(65536)[0] == data, f"datagram of {size} bytes")


def udp_port_unreachable(_):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect((harness.GUEST, 4242))
        udp.send(b"x")
        try:
            udp.recv(100)
        except ConnectionRefusedError:
            return
        check(False, "no port unreachable")


class Router(threading.Thread):
    """Advertises PREFIX on tap0 to whoever asks, and once in a while (RFC 4861 6.2)."""

    def __init__(self):
        super().__init__(daemon=True)
        index = socket.if_nametoindex("tap0")
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        group = socket.inet_pton(socket.AF_INET6, "ff02::2") + struct.pack("@I", index)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self.socket.settimeout(0.1)
        self.asked, self.stopped = 0, False

    def advertise(self):
        message = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
        message += struct.pack(">BBBBIII", 3, 4, 64, 0xc0, 3600, 1800, 0) + socket.inet_pton(socket.AF_INET6, PREFIX)
        message += struct.pack(">BBHI", 5, 1, 0, 1400)
        self.socket.sendto(message, ("ff02::1%tap0", 0))

    def run(self):
        while not self.stopped:
            try:
                if self.socket.recv(2000)[0] == 133:
                    self.asked += 1
                    self.advertise()
            except TimeoutError:
                pass
            except OSError as error:  # no address yet: the guest asks again
                print(f"router: {error}", flush=True)


def autoconfigured(console):
    """The address that the guest says it has."""
    network = ipaddress.ip_network(PREFIX + "/64")
    for word in console.split():
        if word.endswith("/64") and ipaddress.ip_address(word.removesuffix("/64")) in network:
            return word.removesuffix("/64")
    return ""


def slaac(command):
    # Else the host's own address is not sure yet when the guest asks, and it has none to answer from.
    Path("/proc/sys/net/ipv6/conf/tap0/accept_dad").write_text("0")
    router = Router()
    router.start()
    sh("ip", "addr", "add", PREFIX + "1/64", "dev", "tap0", "nodad")
    with Guest(command + ["--ipv6-only=true", "--ipv6-secret=stable"], ready="services are up") as guest:
        wait_until(lambda: autoconfigured(guest.console()), 10, "an address from the router's prefix")
        address = autoconfigured(guest.console())
        check(router.asked > 0, "nobody asked for routers")
        ping(address)
        with socket.create_connection((address, 7), timeout=5) as c:
            c.sendall(b"hello")
            check(c.recv(10) == b"hello", "echo over the autoconfigured address")
        quiet = subprocess.run(["ping", "-c", "1", "-W", "1", "10.0.0.2"], capture_output=True, text=True).stdout
        check(" 0 received" in quiet, "IPv4 is answered although there is none")
    with Guest(command + ["--ipv6-only=true", "--ipv6-secret=stable"], ready="services are up") as guest:
        wait_until(lambda: autoconfigured(guest.console()), 10, "an address from the router's prefix")
        check(autoconfigured(guest.console()) == address, "the same secret, another address")
    router.stopped = True


def ipv4_only(command):
    with Guest(command + ["--ipv4-only=true", "--ipv4=10.0.0.2/24"], ready="services are up") as guest:
        out = subprocess.run(["ping", "-c", "3", "-i", "0.01", "-W", "2", "10.0.0.2"], capture_output=True, text=True).stdout
        check(" 3 received" in out, out)
        check("/64" not in guest.console(), guest.console())


CASES = [ping_sizes, ping_fragmented, udp_echo, udp_port_unreachable, against_linux.tcp_refused,
         against_linux.tcp_echo_sizes, against_linux.tcp_upload, against_linux.tcp_download,
         against_linux.tcp_many_connections, against_linux.tcp_reset_by_peer, against_linux.tcp_half_close_by_peer,
         against_linux.tcp_slow_reader]


def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    namespace = Namespace()
    sh("ip", "addr", "add", f"{HOST}/64", "dev", "tap0", "nodad")
    with Guest(sys.argv[1:] + [f"--ipv6={harness.GUEST}/64"], ready="services are up") as guest:
        status = run_cases(CASES, guest)
        if status:
            print(guest.console()[-3000:])
    for case in (slaac, ipv4_only):
        namespace.fresh_tap()
        status = run_cases([case], sys.argv[1:]) or status
    return status


if __name__ == "__main__":
    sys.exit(main())
