#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: dhcp.py COMMAND...   (the command that runs the services image on tap0, with --dhcp)

The DHCP client against a server in a namespace of its own: lease, renewal, refusal, an address that is taken already.
"""
import socket
import struct
import subprocess
import sys
import threading
import time

from harness import Guest, Namespace, check, fail_usage, run_cases, sh, wait_until

SERVER = "10.0.0.1"
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK = 1, 2, 3, 4, 5, 6


def packed(address):
    return socket.inet_aton(address)


def read_options(data):
    options, at = {}, 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        options[data[at]] = data[at + 2:at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return options


class Server(threading.Thread):
    """Offers `addresses` in turn; keeps what it was asked in `log` as (type, options, ciaddr)."""

    def __init__(self, addresses, seconds):
        super().__init__(daemon=True)
        self.addresses, self.seconds, self.log, self.refuse = list(addresses), seconds, [], False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"tap0")
        self.socket.settimeout(0.1)
        self.socket.bind(("0.0.0.0", 67))
        self.stopped = False

    def answer(self, message, kind, address, to):
        reply = struct.pack(">BBBBIHH", 2, 1, 6, 0, *struct.unpack(">I", message[4:8]), 0, 0x8000)
        reply += bytes(4) + packed(address) + bytes(8) + message[28:44] + bytes(192) + b"\x63\x82\x53\x63"
        reply += bytes([53, 1, kind, 54, 4]) + packed(SERVER)
        if kind != NAK:
            reply += bytes([51, 4]) + struct.pack(">I", self.seconds) + bytes([1, 4, 255, 255, 255, 0, 3, 4]) + packed(SERVER)
        self.socket.sendto(reply + b"\xff", (to, 68))

    def run(self):
        while not self.stopped:
            try:
                message = self.socket.recv(2000)
            except TimeoutError:
                continue
            options = read_options(message[240:])
            kind, ciaddr = options[53][0], socket.inet_ntoa(message[12:16])
            self.log.append((kind, options, ciaddr))
            to = ciaddr if ciaddr != "0.0.0.0" else "255.255.255.255"
            if kind == DISCOVER:
                self.answer(message, OFFER, self.addresses[0], to)
            elif kind == REQUEST:
                refused, self.refuse = self.refuse, False
                self.answer(message, NAK if refused else ACK, self.addresses[0], "255.255.255.255" if refused else to)
            elif kind == DECLINE:
                self.addresses.pop(0)

    def kinds(self):
        return [kind for kind, _, _ in self.log]

    def stop(self):
        self.stopped = True
        self.join()
        self.socket.close()


def pings(address):
    return subprocess.run(["ping", "-c", "1", "-W", "1", address], capture_output=True).returncode == 0


class Scene:
    def __init__(self, command, addresses, seconds):
        self.server, self.command = Server(addresses, seconds), command

    def __enter__(self):
        self.server.start()
        self.guest = Guest(self.command)
        return self.server, self.guest

    def __exit__(self, *_):
        self.guest.stop()
        self.server.stop()


def lease_and_renewal(command):
    with Scene(command, ["10.0.0.40"], 4) as (server, guest):
        wait_until(lambda: "services are up on 10.0.0.40" in guest.console(), 10, "the lease")
        asked = server.kinds().index(REQUEST)
        check(set(server.kinds()[:asked]) == {DISCOVER}, f"asked {server.kinds()}")
        options = server.log[asked][1]
        check(options[50] == packed("10.0.0.40") and options[54] == packed(SERVER), "wrong request")
        check(pings("10.0.0.40"), "no answer to ping")
        wait_until(lambda: len(server.log) >= asked + 3, 12, "two renewals")  # at half of 4 s each
        check(all(ciaddr == "10.0.0.40" for _, _, ciaddr in server.log[asked + 1:]), "a renewal without ciaddr")
        check(pings("10.0.0.40"), "no answer to ping after renewal")


def refusal(command):
    with Scene(command, ["10.0.0.41"], 4) as (server, guest):
        wait_until(lambda: "services are up" in guest.console(), 10, "the lease")
        server.refuse = True
        server.addresses = ["10.0.0.42"]
        wait_until(lambda: "is 10.0.0.42/24" in guest.console(), 15, "the new address")
        check(pings("10.0.0.42") and not pings("10.0.0.41"), "the new address alone must answer")


def taken_address(command):
    sh("ip", "addr", "add", "10.0.0.43/24", "dev", "tap0")  # the host itself has it
    with Scene(command, ["10.0.0.43", "10.0.0.44"], 600) as (server, guest):
        wait_until(lambda: DECLINE in server.kinds(), 10, "the decline")
        began = time.monotonic()
        wait_until(lambda: "is 10.0.0.44/24" in guest.console(), 30, "another address")
        check(time.monotonic() - began > 8, "it did not wait ten seconds (RFC 2131 3.1)")
        check(pings("10.0.0.44"), "no answer to ping")


def silent_server(command):
    with Guest(command) as guest:
        time.sleep(3)
        server = Server(["10.0.0.45"], 600)
        server.start()
        wait_until(lambda: "services are up on 10.0.0.45" in guest.console(), 20, "a lease from a late server")
    

def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    Namespace()
    return run_cases([lease_and_renewal, refusal, taken_address, silent_server], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
