#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: fetch.py COMMAND...   (the command that runs the fetch example on tap0)

An HTTP client that finds a server by a name with addresses of both families (dnsmasq; Python's HTTP server): with IPv6 that works, with
IPv6 that nobody answers, and without any.
"""
import http.server
import os
import re
import socket
import sys
import threading
import time

from harness import HOST, Guest, Namespace, check, fail_usage, run_cases, sh, wait_until
from names import STATIC, Dnsmasq

V6 = "2001:db8::99"  # of web.example
URL = "http://web.example:8000/"
LINE = re.compile(r"\[application\] (\S+): status=(\d+) bytes=(\d+) milliseconds=(\d+)")


class Site:
    """On both families; says by which one it was asked."""

    def __init__(self):
        self.peers = peers = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                peers.append(self.client_address[0])
                if self.path == "/slow":
                    time.sleep(2.5)
                self.send_response(200)
                if self.path == "/slow":
                    self.send_header("Connection", "close")
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"hello")

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6  # IPv4 too, as mapped addresses

        self.server = Server(("::", 8000), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def fetch(command, *keys, first=""):
    """How long each of two fetches took, and from which addresses they came."""
    with Dnsmasq(), Site() as site, Guest([*command, *STATIC, f"--urls={URL}{first},{URL}", *keys]) as guest:
        wait_until(lambda: guest.process.poll() is not None, 30, "the end")
        lines = LINE.findall(guest.console())
        check(guest.process.returncode == 0 and len(lines) == 2, guest.console())
        check(all(line[1:3] == ("200", "5") for line in lines), guest.console())
        return [int(line[3]) for line in lines], site.peers


def both_families(command):
    sh("ip", "addr", "add", f"{V6}/64", "dev", "tap0", "nodad")
    try:
        # Linux' IPv6 comes up with the tap, a second after the guest asks for it: the first connection is IPv4's.
        _, peers = fetch(command, "--ipv6=2001:db8::2/64", first="slow")
    finally:
        sh("ip", "addr", "del", f"{V6}/64", "dev", "tap0")
    check(peers[1] == "2001:db8::2", f"asked from {peers}")


def dead_ipv6(command):
    times, peers = fetch(command, "--ipv6=2001:db8::2/64")
    check(peers == ["::ffff:10.0.0.2"] * 2, f"asked from {peers}")
    # One head start (RFC 8305 5), and the second request goes over the connection that there is.
    check(250 <= times[0] < 2000 and times[1] < 200, f"{times} ms")


def no_ipv6(command):
    times, peers = fetch(command)
    check(peers == ["::ffff:10.0.0.2"] * 2, f"asked from {peers}")
    # An address without a way to it is the last one (RFC 6724 6, rule 1): no head start of 250 ms. What Linux before 6.8
    # sends to a tap can be lost at first (doc/spt.md): then the ARP request is repeated a second later.
    release = tuple(int(number) for number in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
    late = times[0] >= 1000 and release < (6, 8)
    check(times[0] - 1000 * late < 200, f"{times} ms")


def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    Namespace()
    return run_cases([both_families, dead_ipv6, no_ipv6], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
