#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: shards.py TARGET TOOLS WORK   (TARGET: spt or unix)

Two shards of one image on one tap: who serves whom, what passes from one to the other, and how they end.
"""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness import GUEST, HOST, Failed, Guest, Namespace, check, fail_usage, read_all, run_cases, sh, wait_until

HERE = Path(__file__).resolve().parent
FLOWS = 2000
LEASED, PREFIX = "10.0.0.77", "fd00:5"
SYN_DATA = 32  # TCPI_OPT_SYN_DATA of tcp_info: the SYN's text was acknowledged
AGED = 4  # seconds: a tap forgets after three without traffic which queue a flow belongs to


class Tap(Namespace):
    def fresh_tap(self, *more):
        subprocess.run(["ip", "link", "del", self.tap], capture_output=True)
        sh("ip", "tuntap", "add", self.tap, "mode", "tap", *(more or ["multi_queue"]))
        sh("ip", "addr", "add", f"{HOST}/24", "dev", self.tap)
        sh("ip", "link", "set", self.tap, "up")


class Lab:
    def __init__(self, command):
        self.command, self.namespace, self.connections = command, Tap(), []
        self.start()

    def start(self):
        self.guest = Guest(self.command)
        wait_until(lambda: self.guest.console().count("is up on") == 2 or self.guest.process.poll() is not None, 20,
                   "both shards")
        check(self.guest.process.poll() is None, self.guest.console())
        self.ids = re.findall(r"shard (\d+) is up", self.guest.console())

    def children(self):
        return [int(pid) for pid in Path(f"/proc/{self.guest.process.pid}/task/{self.guest.process.pid}/children")
                .read_text().split()]

    def counter(self, shard, name):
        """From the page of `shard`; which shard answers is chance."""
        for _ in range(200):
            with socket.create_connection((GUEST, 9100), timeout=5) as c:
                c.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                page = read_all(c).decode()
            if re.search(rf"^mirage_steer_shard{{?.*}}? {shard}$", page, re.M):
                return int(re.search(rf"^mirage_steer_{name}\S* (\d+)$", page, re.M)[1])
        raise Failed(f"shard {shard} never answered")


def ask(connection, text=b"id\n"):
    connection.sendall(text)
    return connection.recv(100).decode().strip()


def starts_once_per_cpu(lab):
    check(len(set(lab.ids)) == 2, lab.ids)
    for shard in (0, 1):
        check(f"[{shard}] " in lab.guest.console(), f"no line of shard {shard}")
    masks = {os.sched_getaffinity(pid).pop() for pid in lab.children()}
    check(len(masks) == min(2, len(os.sched_getaffinity(0))), f"pinned to {masks}")
    sh("ping", "-c", "3", "-i", "0.01", GUEST)


def flows_are_spread_and_stay(lab):
    """Every connection is answered, always by the same shard; also when the tap has forgotten whose it was."""
    lab.connections = [socket.create_connection((GUEST, 80), timeout=5) for _ in range(FLOWS)]
    served = [ask(c) for c in lab.connections]
    counts = [served.count(i) for i in lab.ids]
    check(sum(counts) == FLOWS, f"{FLOWS - sum(counts)} were answered by nobody we know")
    check(max(counts) <= 0.55 * FLOWS, f"split {counts}")
    time.sleep(AGED)
    for connection, shard in zip(lab.connections, served):
        check(ask(connection) == shard, "a connection has changed its shard")
    passed = [lab.counter(shard, "passed") for shard in (0, 1)]
    check(min(passed) > FLOWS / 10, f"frames passed on: {passed}")
    check(lab.counter(0, "drop_full") == 0 and lab.counter(1, "drop_full") == 0, "frames were lost between shards")
    print(f"  split {counts}, frames passed on {passed}")


def neighbour_is_lost_and_moves(lab):
    """The host asks again, and from another address: the shard that is not asked hears of it too."""
    sh("ip", "neigh", "flush", "dev", "tap0")
    check({ask(c) for c in lab.connections[:40]} == set(lab.ids), "after the host forgot the guest")
    sh("ip", "link", "set", "tap0", "address", "02:00:00:00:99:01")
    sh("ip", "neigh", "flush", "dev", "tap0")
    check({ask(c) for c in lab.connections[:40]} == set(lab.ids), "after the host's address changed")


def each_shard_dials(lab):
    """Connections that shards open: both to the same port at the same time; the answers come when the tap has forgotten
    whose they are."""
    with socket.create_server((HOST, 5000), backlog=64) as server:
        server.settimeout(5)
        callers = [next(c for c in lab.connections[i:] if ask(c) == shard) for shard in lab.ids for i in range(0, 600, 50)]
        callers = list(dict.fromkeys(callers))
        for caller in callers:
            caller.sendall(b"dial 5000\n")
        accepted = [server.accept() for _ in callers]
        ports = [address[1] for _, address in accepted]
        check(len(set(ports)) == len(ports) and {port % 2 for port in ports} == {0, 1}, f"ports {ports}")
        time.sleep(AGED)
        for flow, _ in accepted:
            flow.sendall(b"hello\n")
            flow.close()
        for caller in callers:
            check(caller.recv(100) == b"hello\n", "an answer went astray")


def datagrams(lab):
    """Also in fragments, which come to one queue by their addresses, to the shard that has the flow."""
    shards = set()
    for _ in range(60):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect((GUEST, 7))
            answers = set()
            for size in (100, 4000, 30000):
                s.send(bytes(size))
                shard, length = s.recv(100).split()
                check(int(length) == size, f"{size} bytes arrived as {length}")
                answers.add(shard.decode())
            check(len(answers) == 1, "one flow, two shards")
            shards |= answers
    check(shards == set(lab.ids), f"only {shards} had any")


def cookies_are_good_at_every_shard(lab):
    """TCP Fast Open: the text of a SYN is taken whichever shard it comes to."""
    taken, shards = [], set()
    for _ in range(40):
        with socket.socket() as s:
            s.sendto(b"id\n", socket.MSG_FASTOPEN, (GUEST, 80))
            s.settimeout(5)
            shards.add(s.recv(100).decode().strip())
            taken.append(bool(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5] & SYN_DATA))
    check(taken == [False] + [True] * 39, f"text with the SYN: {taken}")
    check(shards == set(lab.ids), f"only {shards} had any")


def one_lease_for_all(lab):
    """Addresses that the network gives, DHCP's and those of a router's prefix: every shard has the same, and serves."""
    sh("sysctl", "-q", "-w", "net.ipv6.conf.tap0.disable_ipv6=0", "net.ipv6.conf.tap0.accept_dad=0")
    sh("ip", "addr", "add", f"{PREFIX}::1/64", "dev", "tap0", "nodad")
    dnsmasq = subprocess.Popen(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=tap0", "--bind-interfaces",
         "--user=root", "--pid-file=", "--leasefile-ro", f"--dhcp-range={LEASED},{LEASED},255.255.255.0,1h",
         "--enable-ra", f"--dhcp-range={PREFIX}::,ra-only", "--ra-param=tap0,4"], stderr=subprocess.DEVNULL)
    given = lab.command
    try:
        lab.command = [*given, "--dhcp"]
        lab.start()
        check(lab.guest.console().count(f"is up on {LEASED}") == 2, lab.guest.console())
        taken = re.compile(rf"^\[([01])\].* is ({PREFIX}:\S+)/64", re.M)
        wait_until(lambda: len(dict(taken.findall(lab.guest.console()))) == 2, 20, "addresses of the prefix")
        own = set(dict(taken.findall(lab.guest.console())).values())
        check(len(own) == 1, f"shards have {own}")
        for address in (LEASED, own.pop()):
            with_each = set()
            for _ in range(60):
                with socket.create_connection((address, 80), timeout=5) as c:
                    with_each.add(ask(c))
            check(with_each == set(lab.ids), f"only {with_each} serve {address}")
        check("another station" not in lab.guest.console(), lab.guest.console())
    finally:
        lab.command = given
        lab.guest.stop()
        dnsmasq.terminate()
        dnsmasq.wait()


def one_is_killed(lab):
    for connection in lab.connections:
        connection.close()
    children = lab.children()
    os.kill(children[1], signal.SIGKILL)
    check(lab.guest.process.wait(5) == 128 + signal.SIGKILL, f"status {lab.guest.process.returncode}")
    check(not any(Path(f"/proc/{pid}").exists() for pid in children), "a shard is left")
    lab.guest.stop()


def the_starter_is_killed(lab):
    lab.start()
    children = lab.children()
    lab.guest.process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 5, "the end of the shards")
    lab.guest.stop()


def a_signal_ends_all(lab):
    lab.start()
    lab.guest.process.send_signal(signal.SIGTERM)
    check(lab.guest.process.wait(5) == 128 + signal.SIGTERM, f"status {lab.guest.process.returncode}")
    lab.guest.stop()


def refusals(lab):
    def refused(command, *parts, status=1):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        check(done.returncode == status, f"status {done.returncode} of {command}")
        for part in parts:
            check(re.search(part, done.stdout + done.stderr, re.M), f"'{part}' is not in: {done.stdout + done.stderr}")

    # Whichever shard comes first ends the others, perhaps before they have said the same.
    refused([*lab.command, "--ipv4=nonsense"], r"^\[[01]\] .*bad value 'nonsense' for --ipv4", status=64)
    refused([lab.command[0], "--cpus=17", *lab.command[2:]], "--cpus", "1 to 16")
    lab.namespace.fresh_tap("user", "root")
    refused(lab.command, "'tap0' is no tap with several queues", "multi_queue")
    lab.namespace.fresh_tap()
    disk = Path("disk")
    disk.write_bytes(bytes(512))
    refused([*lab.command[:2], "--block:d=disk", *lab.command[2:]], "2 CPUs cannot share 'disk'")


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("spt", "unix"):
        fail_usage(__doc__)
    target, tools, work = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE / "shards", work)
    os.chdir(work)
    for step in (["configure", "-t", target], ["build"]):
        sh(tools / "mirage", *step)
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    starter = [str(tools / "mirage-spt"), "--cpus=2", "--mem=64"] if target == "spt" else \
        [str(tools / "mirage-shards"), "--cpus=2"]
    image = "dist/shards.spt" if target == "spt" else "dist/shards"
    lab = Lab([*starter, "--net:service=tap0", "--", image, "--ipv4=10.0.0.2/24", "--tcp-fast-open"])
    return run_cases([starts_once_per_cpu, flows_are_spread_and_stay, neighbour_is_lost_and_moves, each_shard_dials,
                      datagrams, cookies_are_good_at_every_shard, one_is_killed, the_starter_is_killed, a_signal_ends_all,
                      one_lease_for_all, refusals], lab)


if __name__ == "__main__":
    sys.exit(main())
