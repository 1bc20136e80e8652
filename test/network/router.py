#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: router.py TOOLS WORK

The router example between two Linux hosts, each in a namespace of its own: NAT for TCP, UDP and ICMP, large transfers
by hash, port forwards, filter rules, hop limit, the counters of all that.
"""
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from harness import HOST, Guest, Namespace, check, fail_usage, read_all, run_cases, sh, wait_until

INSIDE, GATEWAY = "10.1.0.2", "10.1.0.1"
ROUTER = "10.0.0.2"


class InsideHost:
    """A namespace that `sleep` keeps; the inside tap moves into it once the router has opened it."""

    def __init__(self):
        self.keeper = subprocess.Popen(["unshare", "--net", "sleep", "300"])
        wait_until(lambda: os.readlink(f"/proc/{self.keeper.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 5, "a namespace")

    def command(self, *words):
        return ["nsenter", f"--net=/proc/{self.keeper.pid}/ns/net", *words]

    def run(self, *words, **options):
        return subprocess.run(self.command(*words), text=True, capture_output=True, timeout=30, **options)

    def adopt(self, tap, address=INSIDE, gateway=GATEWAY):
        sh("ip", "link", "set", tap, "netns", str(self.keeper.pid))
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{address}/24", "dev", tap], ["link", "set", tap, "up"],
                      ["route", "add", "default", "via", gateway] if gateway else ["link", "show"]):
            done = self.run("ip", *words)
            check(done.returncode == 0, done.stderr)

    def python(self, program, *arguments):
        done = self.run(sys.executable, "-c", program, *arguments)
        check(done.returncode == 0, done.stderr)
        return done.stdout.strip()

    def close(self):
        self.keeper.terminate()
        self.keeper.wait()


class Server(threading.Thread):
    """Takes one connection on the outside host: what it gets it hashes, then it sends `data`."""

    def __init__(self, data=b""):
        super().__init__(daemon=True)
        self.listener = socket.create_server((HOST, 0))
        self.listener.settimeout(20)
        self.port = self.listener.getsockname()[1]
        self.data, self.received, self.peer = data, None, None
        self.start()

    def run(self):
        connection, self.peer = self.listener.accept()
        connection.settimeout(30)
        with connection, self.listener:
            self.received = hashlib.sha256(read_all(connection)).hexdigest()
            connection.sendall(self.data)


def tcp_both_ways_by_hash(inside):
    data = os.urandom(8 << 20)
    server = Server(data)
    digest = inside.python(
        "import hashlib, os, socket, sys\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "sent = os.urandom(8 << 20); s.sendall(sent); s.shutdown(socket.SHUT_WR)\n"
        "got = b''.join(iter(lambda: s.recv(1 << 16), b''))\n"
        "print(hashlib.sha256(sent).hexdigest(), hashlib.sha256(got).hexdigest())", HOST, str(server.port))
    server.join(10)
    sent, got = digest.split()
    check(server.received == sent, "what came out is not what went in")
    check(got == hashlib.sha256(data).hexdigest(), "what came back is not what was sent")
    check(server.peer[0] == ROUTER, f"the connection came from {server.peer[0]}, not from the router")


def udp_through_nat(inside):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(10)
        def answer():
            data, peer = sock.recvfrom(65536)
            check(peer[0] == ROUTER, f"from {peer[0]}")
            sock.sendto(data[::-1], peer)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        program = ("import os, socket, sys\n"
                   "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)\n"
                   "data = os.urandom(int(sys.argv[3])); s.sendto(data, (sys.argv[1], int(sys.argv[2])))\n"
                   "assert s.recv(65536) == data[::-1]")
        inside.python(program, HOST, str(sock.getsockname()[1]), "6000")  # in fragments both ways
        thread.join(10)


def ping_through_nat(inside):
    done = inside.run("ping", "-c", "3", "-i", "0.2", "-W", "5", HOST)
    check(" 0% packet loss" in done.stdout, done.stdout + done.stderr)


def hop_limit_is_reported(inside):
    done = inside.run("ping", "-c", "1", "-t", "1", "-W", "5", HOST)
    check(f"From {GATEWAY}" in done.stdout and "Time to live exceeded" in done.stdout, done.stdout)


def port_forward(inside):
    server = subprocess.Popen(inside.command(sys.executable, "-c",
                                             "import socket\n"
                                             "l = socket.create_server(('10.1.0.2', 80))\n"
                                             "c, peer = l.accept(); c.sendall(peer[0].encode()); c.close()"))
    try:
        def connected():
            try:
                with socket.create_connection((ROUTER, 8080), timeout=5) as connection:
                    connected.answer = read_all(connection)
                return True
            except ConnectionRefusedError:  # the server is not up yet
                return False
        wait_until(connected, 10, "the forwarded port")
        check(connected.answer == HOST.encode(), f"the inside server saw {connected.answer}")
    finally:
        server.terminate()
        server.wait()


def strangers_stay_out(_):
    try:
        socket.create_connection((ROUTER, 8081), timeout=5).close()
    except ConnectionRefusedError:
        return
    check(False, "a port that is not forwarded took a connection")


def filter_rejects(inside):
    done = inside.run(sys.executable, "-c", f"import socket; socket.create_connection(('{HOST}', 25), timeout=10)")
    # RFC 1122 4.2.3.9: communication administratively prohibited; Linux says "no route to host".
    check("No route to host" in done.stderr, done.stderr)


def counters_tell(inside):
    done = inside.run("curl", "-fsS", "-m", "10", f"http://{GATEWAY}:9100/metrics")
    check(done.returncode == 0, done.stderr)
    values = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines() if not line.startswith("#"))

    def value(name):
        check(name in values, f"{name} is missing in:\n{done.stdout}")
        return int(values[name])

    check(value("mirage_forward_forwarded_total") >= 256, "16 MiB went through")
    check(value("mirage_forward_drop_rejected_total") >= 1, "a connection that a rule rejects is counted")
    check(value("mirage_router_drop_reassembly_total") == 0, "no fragment was lost")
    # From outside, neither the address outside nor the one inside answers.
    for address in (ROUTER, GATEWAY):
        refused = subprocess.run(["curl", "-fsS", "-m", "2", f"http://{address}:9100/metrics"], capture_output=True)
        check(refused.returncode in (7, 28), f"curl to {address} from outside: status {refused.returncode}")


CASES = [tcp_both_ways_by_hash, udp_through_nat, ping_through_nat, hop_limit_is_reported, port_forward, strangers_stay_out,
         filter_rejects, counters_tell]


def main():
    if len(sys.argv) != 3:
        fail_usage(__doc__)
    tools, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(Path(__file__).resolve().parents[2] / "example/application/router", work)
    for words in (["configure", "-t", "spt"], ["build"]):
        subprocess.run([tools / "mirage", *words], cwd=work, check=True, stdout=subprocess.DEVNULL)
    Namespace()
    sh("ip", "tuntap", "add", "tap1", "mode", "tap")
    sh("ip", "link", "set", "tap1", "up")
    inside = InsideHost()
    try:
        command = [tools / "mirage-spt", "--mem=32", "--net:outside=tap0", "--net:inside=tap1", "--",
                   work / "dist" / "router.spt", f"--inside-ipv4={GATEWAY}/24", f"--outside-ipv4={ROUTER}/24",
                   "--forward=tcp:8080=10.1.0.2:80", "'--filter=reject outbound tcp port 25'"]
        with Guest(command, ready="routing between") as guest:
            inside.adopt("tap1")
            status = run_cases(CASES, inside)
            if status:
                print(guest.console()[-3000:])
    finally:
        inside.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
