#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: addresses.py COMMAND...   (the command that runs the services image on tap0; keys are added here)

Several addresses of one interface against Linux: each answers ARP or neighbour discovery, ping, TCP and UDP, and what
comes to it is answered from it, also by way of a router; each is defended; a bad list is refused with its reason.
"""
import socket
import struct
import subprocess
import sys

from harness import Guest, Namespace, check, fail_usage, run_cases, sh, wait_until

V4, V6 = ["10.0.0.2", "10.0.1.2", "172.16.0.9"], ["2001:db8::2", "fd00:1::2"]
HOSTS = ["10.0.1.1/24", "172.16.0.1/16", "2001:db8::1/64", "fd00:1::1/64"]  # besides the harness's 10.0.0.1
FAR = "192.0.2.1"  # behind the host, which is the guest's router
KEYS = ["--ipv4=10.0.0.2/24,10.0.1.2/24,172.16.0.9/16", "--ipv4-gateway=10.0.1.1", "--ipv6=2001:db8::2/64,fd00:1::2/64",
        "--accept-router-advertisements=false"]


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def every_address_is_there(_):
    for address in V4 + V6:
        out = subprocess.run(["ping", "-c", "3", "-i", "0.01", "-W", "2", address], capture_output=True, text=True).stdout
        check(" 3 received" in out, f"{address}: {out}")
    neighbours = sh("ip", "neigh")
    for address in V4 + V6:
        check(any(line.startswith(address + " ") and "lladdr" in line for line in neighbours.splitlines()), neighbours)


def tcp_on_every_address(_):
    for address in V4 + V6:
        with socket.create_connection((address, 7), timeout=5) as connection:
            connection.sendall(b"hello")
            check(connection.recv(10) == b"hello", address)


def udp_is_answered_from_where_it_came_to(_):
    for address in V4 + V6:
        with socket.socket(family(address), socket.SOCK_DGRAM) as udp:
            udp.settimeout(5)
            udp.sendto(address.encode(), (address, 7))
            data, peer = udp.recvfrom(100)
            check((data.decode(), peer[0]) == (address, address), f"{data} from {peer}")


def by_way_of_the_router_too(_):
    for address in V4:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(5)
            udp.bind((FAR, 0))
            udp.sendto(address.encode(), (address, 7))
            data, peer = udp.recvfrom(100)
            check((data.decode(), peer[0]) == (address, address), f"{data} from {peer}")


def each_is_defended(guest):
    thief = bytes.fromhex("020000000077")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind(("tap0", 0))
        for address in V4[1:]:
            own = socket.inet_aton(address)
            link.send(b"\xff" * 6 + thief + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + thief + own + bytes(6) + own)
            wait_until(lambda text=f"another station uses {address}": text in guest.console(), 5, address)


def bad_lists_are_refused(command):
    for keys, status, text in ((["--ipv4=10.0.0.2/24,10.0.0.2/24"], 1, "10.0.0.2/24 is given twice"),
                               (["--ipv4=10.0.0.2/24,10.0.1.0/24"], 1, "10.0.1.0/24 is no address for a host"),
                               (["--ipv4=10.0.0.2/24,10.0.1.2"], 1, "10.0.1.2 is no address for a host"),
                               (["--ipv4=10.0.0.2,10.0.1.2/24"], 64, "bad value '10.0.0.2,10.0.1.2/24' for --ipv4"),
                               (["--ipv6=fd00::2/64,fd00::2"], 1, "fd00::2 is no address for a host")):
        done = subprocess.run(command + keys, capture_output=True, text=True, timeout=20)
        out = done.stdout + done.stderr
        check(done.returncode == status and text in out, f"{keys}: {done.returncode}\n{out}")


CASES = [every_address_is_there, tcp_on_every_address, udp_is_answered_from_where_it_came_to, by_way_of_the_router_too,
         each_is_defended]


def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    namespace = Namespace()
    for address in HOSTS:
        sh("ip", "addr", "add", address, "dev", "tap0", *(["nodad"] if ":" in address else []))
    sh("ip", "addr", "add", f"{FAR}/32", "dev", "lo")
    with Guest(sys.argv[1:] + KEYS, ready="services are up") as guest:
        status = run_cases(CASES, guest)
        if status:
            print(guest.console()[-3000:])
    namespace.fresh_tap()
    return run_cases([bad_lists_are_refused], sys.argv[1:]) or status


if __name__ == "__main__":
    sys.exit(main())
