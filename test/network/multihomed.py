#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: multihomed.py TOOLS WORK

One stack between two Linux hosts, each in a namespace of its own. "front" has a static IPv4 address, an IPv6 address by
router advertisement and a default route that the metric puts last; "back" gets an address and the default route by
DHCP (dnsmasq), from a router that is not there at first. Both reach the same servers, by TCP and UDP; answers leave
where the questions came, also to an address of the other network; what the guest opens takes the longest prefix, the
metric, the router that answers; neither host reaches the other address, or the other host through the guest, by IP,
ARP or neighbour discovery (RFC 1122 3.3.4.2, 3.3.1).
"""
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from harness import GUEST, HOST, Guest, Namespace, check, fail_usage, run_cases, sh, wait_until
from ipv6 import PREFIX, Router, autoconfigured
from router import InsideHost

BACK_HOST, BACK_GUEST, BACK_ROUTER = "10.9.0.1", "10.9.0.50", "10.9.0.254"
FRONT_FAR, BOTH_FAR = "192.0.2.7", "203.0.113.9"  # behind the host of "front"; behind either
PORT, ECHO = 4000, 7
GREETER = ("import socket, sys\n"
           "l = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)\n"
           "print('up', flush=True)\n"
           "while True:\n"
           "    c, peer = l.accept(); c.sendall((sys.argv[2] + ' sees ' + peer[0]).encode()); c.close()\n")
# ADDRESS SOURCE COUNT: sends datagrams to the echo, says how many came back from where they went.
SENDER = ("import socket, sys\n"
          "family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n"
          "s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(2); s.bind((sys.argv[2], 0)); got = 0\n"
          "for i in range(int(sys.argv[3])):\n"
          "    s.sendto(b'%d' % i, (sys.argv[1], 7)); data, peer = s.recvfrom(100)\n"
          "    got += data == b'%d' % i and peer[:2] == (sys.argv[1], 7)\n"
          "print(got)\n")


class Lab:
    def __init__(self):
        self.back, self.guest, self.front_v6, self.back_link_local = InsideHost(), None, "", ""


def curl_words(url, seconds=5):
    return ["curl", "-s", "-S", "-g", "--noproxy", "*", "--max-time", str(seconds), url]


def front(url, seconds=5):
    return subprocess.run(curl_words(url, seconds), text=True, capture_output=True, timeout=20)


def said(done):
    check(done.returncode == 0, done.stderr)
    return done.stdout.strip()


def out(address, seconds=5):
    return front(f"http://{GUEST}/out/{address}/{PORT}", seconds)


def counters():
    return {name: int(value) for name, value in re.findall(r"^(\S+) (\d+)$", said(front(f"http://{GUEST}:9100/metrics")), re.M)}


def frames_from_guest(lab, tap):
    words = ["ip", "-s", "-j", "link", "show", "dev", tap]
    text = sh(*words) if tap == "tap0" else lab.back.run(*words).stdout
    return json.loads(text)[0]["stats64"]["rx"]["packets"]


def echoed(text, count):
    check(int(text) == count, f"{text.strip()} of {count} datagrams came back")


def a_router_that_is_silent_gives_way(lab):
    """The lower metric is back's, whose router does not exist: new flows go by front's until there is one (RFC 1122
    3.3.1.4), and none of them has to wait for it."""
    def by(which):
        done = out(BOTH_FAR, 1)
        return done.returncode == 0 and f": {which} sees ::ffff:" in done.stdout
    wait_until(lambda: by("front"), 10, "the other router")
    for _ in range(8):  # longer than a router is left alone
        check(by("front"), "a flow has waited for a router that is known to be silent")
        time.sleep(0.5)
    lab.back.run("ip", "addr", "add", f"{BACK_ROUTER}/24", "dev", "tap1")
    wait_until(lambda: by("back"), 10, "the router of the lower metric")


def both_reach_the_servers(lab):
    check(said(front(f"http://{GUEST}/")) == f"at {GUEST}", "front")
    check(said(front(f"http://[{lab.front_v6}]/")) == f"at {lab.front_v6}", "front, IPv6")
    check(said(lab.back.run(*curl_words(f"http://{BACK_GUEST}/"))) == f"at {BACK_GUEST}", "back")
    values = counters()
    for label in '{module="0"}', '{module="1"}':  # in the order of config.cpp
        check(values["mirage_ethernet_received_total" + label] > 5, f"{label} counts nothing")


def answers_leave_where_questions_came(lab):
    count = 50
    for address, source, inside in ((GUEST, HOST, False), (lab.front_v6, "::", False), (BACK_GUEST, BACK_HOST, True)):
        before = {tap: frames_from_guest(lab, tap) for tap in ("tap0", "tap1")}
        words = [sys.executable, "-c", SENDER, address, source, str(count)]
        echoed(lab.back.run(*words).stdout if inside else sh(*words), count)
        after = {tap: frames_from_guest(lab, tap) - before[tap] for tap in before}
        here, other = ("tap1", "tap0") if inside else ("tap0", "tap1")
        check(after[here] >= count and after[other] < count / 5, f"to {address}: {after}")


def also_to_an_address_of_the_other_network(lab):
    """A host at the front says that it is the one at the back: the answer goes to the front's router, not there."""
    sh("ip", "addr", "add", f"{BACK_HOST}/32", "dev", "lo")
    before = frames_from_guest(lab, "tap1")
    echoed(sh(sys.executable, "-c", SENDER, GUEST, BACK_HOST, "50"), 50)
    check(said(subprocess.run([*curl_words(f"http://{GUEST}/"), "--interface", BACK_HOST], text=True,
                              capture_output=True)) == f"at {GUEST}", "TCP")
    check(frames_from_guest(lab, "tap1") - before < 10, "the answers went to the other network")
    sh("ip", "addr", "del", f"{BACK_HOST}/32", "dev", "lo")


def one_address_is_listened_on(lab):
    check(said(front(f"http://{GUEST}:81/")) == f"at {GUEST}", "front")
    done = lab.back.run(*curl_words(f"http://{BACK_GUEST}:81/"))
    check(done.returncode == 7, f"port 81 is open at the back: {done.returncode} {done.stdout}")


def out_by_the_longest_prefix(_):
    there = said(out(FRONT_FAR))
    check(there == f"from {GUEST}: front sees ::ffff:{GUEST}", there)
    there = said(out(BOTH_FAR))  # the default route of the lower metric, which DHCP gave
    check(there == f"from {BACK_GUEST}: back sees ::ffff:{BACK_GUEST}", there)


def link_local_addresses_need_a_zone(lab):
    address = re.search(r"inet6 (fe80::\S+)/64", lab.back.run("ip", "-6", "addr", "show", "dev", "tap1").stdout)[1]
    there = said(out(f"{address}%back"))
    found = re.fullmatch(r"from (fe80::\S+): back sees \1(%\w+)?", there)
    check(found, there)
    lab.back_link_local = found[1]
    check(said(out(f"{address}%side")) == "no address", "a zone that is none")


def weak_host_probes_are_refused(lab):
    """To the address at the other side; and by way of the guest to the host there, which hears nothing."""
    def pings(run, address):
        done = run(["ping", "-c", "3", "-i", "0.2", "-W", "0.5", address])
        check("100% packet loss" in done.stdout, done.stdout)

    def heard():
        line = lab.back.run("grep", "^Icmp: [0-9]", "/proc/net/snmp").stdout.split()
        return int(line[1])
    before = counters(), heard()
    sh("ip", "route", "add", "10.9.0.0/24", "via", GUEST)
    for address in BACK_GUEST, BACK_HOST:
        pings(lambda words: subprocess.run(words, text=True, capture_output=True), address)
    refused = subprocess.run(curl_words(f"http://{BACK_GUEST}/", 1), text=True, capture_output=True)
    check(refused.returncode == 28, f"TCP: {refused.returncode} {refused.stdout}")  # silence
    check(heard() == before[1], "something came through to the host at the back")
    lab.back.run("ip", "route", "add", f"{GUEST}/32", "via", BACK_GUEST)
    pings(lambda words: lab.back.run(*words), GUEST)
    sh("ip", "route", "del", "10.9.0.0/24", "via", GUEST)
    lab.back.run("ip", "addr", "add", "2001:db8:9::1/64", "dev", "tap1", "nodad")
    sh("ip", "route", "add", "2001:db8:9::/64", "via", lab.front_v6)
    pings(lambda words: subprocess.run(words, text=True, capture_output=True), "2001:db8:9::1")
    after = counters()
    for name, least in ("other_interface", 7), ("transit", 6):
        name = f"mirage_ip_drop_{name}_total"
        check(after[name] >= before[0][name] + least, f"{name}: {before[0][name]}, {after[name]}")


def arp_does_not_answer_for_the_other_address(_):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as wire:
        wire.bind(("tap0", 0x0806))
        wire.settimeout(3)
        mac = wire.getsockname()[4]
        for target in BACK_GUEST, GUEST:  # the answer to the second shows that the first had its time
            arp = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, socket.inet_aton(HOST), bytes(6), socket.inet_aton(target))
            wire.send(b"\xff" * 6 + mac + b"\x08\x06" + arp)
        while True:
            frame = wire.recv(2000)
            if frame[20:22] != b"\0\2":
                continue
            sender = socket.inet_ntoa(frame[28:32])
            check(sender != BACK_GUEST, "ARP answers for the other interface's address")
            if sender == GUEST:
                return


def nor_does_neighbour_discovery(lab):
    """Asked straight at the guest's address here, which is what a station would do that knows the other one."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as wire:
        wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        wire.settimeout(3)
        for target in lab.back_link_local, lab.front_v6:
            packed = socket.inet_pton(socket.AF_INET6, target)
            wire.sendto(struct.pack(">BBHI", 135, 0, 0, 0) + packed, (lab.front_v6, 0))
        while True:
            message = wire.recv(2000)
            if message[0] != 136:
                continue
            target = socket.inet_ntop(socket.AF_INET6, message[8:24])
            check(target != lab.back_link_local, "the other interface's address is advertised")
            if target == lab.front_v6:
                return


CASES = [a_router_that_is_silent_gives_way, both_reach_the_servers, answers_leave_where_questions_came,
         also_to_an_address_of_the_other_network, one_address_is_listened_on, out_by_the_longest_prefix,
         link_local_addresses_need_a_zone, weak_host_probes_are_refused, arp_does_not_answer_for_the_other_address,
         nor_does_neighbour_discovery]


def prepare_front():
    Namespace()
    # Else the host's own address is not sure yet when the guest asks for routers, and it has none to answer from.
    Path("/proc/sys/net/ipv6/conf/tap0/accept_dad").write_text("0")
    sh("ip", "addr", "add", PREFIX + "1/64", "dev", "tap0", "nodad")
    sh("ip", "tuntap", "add", "tap1", "mode", "tap")
    sh("ip", "link", "set", "tap1", "up")
    for far in FRONT_FAR, BOTH_FAR:
        sh("ip", "addr", "add", f"{far}/32", "dev", "lo")


def start_helpers(back):
    """A DHCP server at the back that names another router; who greets on both."""
    dnsmasq = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=tap1", "--bind-interfaces",
               "--user=root", "--pid-file=", "--leasefile-ro", f"--dhcp-range={BACK_GUEST},{BACK_GUEST},255.255.255.0,1h",
               f"--dhcp-option=option:router,{BACK_ROUTER}"]
    greeter = [sys.executable, "-c", GREETER, str(PORT)]
    return [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for words in (back.command(*dnsmasq), [*greeter, "front"], back.command(*greeter, "back"))]


def run_guest(lab, image):
    command = [image, "--net:front=tap0", "--net:back=tap1", f"--front-ipv4={GUEST}/24", f"--front-ipv4-gateway={HOST}",
               "--front-metric=100", f"--front-routes=192.0.2.0/24={HOST}", "--back-dhcp=true", "--tcp-congestion=bbr"]
    router, helpers = Router(), []
    router.start()
    try:
        with Guest(command, ready="back asking for an address by DHCP") as lab.guest:
            lab.back.adopt("tap1", BACK_HOST, gateway=None)
            lab.back.run("ip", "addr", "add", f"{BOTH_FAR}/32", "dev", "lo")
            helpers += start_helpers(lab.back)
            wait_until(lambda: f"back is {BACK_GUEST}/24" in lab.guest.console(), 20, "a lease")
            wait_until(lambda: "serving on" in lab.guest.console(), 20, "the servers")
            wait_until(lambda: autoconfigured(lab.guest.console()), 10, "an address from the router's prefix")
            lab.front_v6 = autoconfigured(lab.guest.console())
            status = run_cases(CASES, lab)
            if status:
                print(lab.guest.console()[-3000:])
    finally:
        router.stopped = True
        for helper in helpers:
            helper.kill()
            helper.wait()
    return status


def main():
    if len(sys.argv) != 3:
        fail_usage(__doc__)
    tools, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(Path(__file__).resolve().parent / "multihomed", work)
    for words in (["configure", "-t", "unix"], ["build"]):
        subprocess.run([tools / "mirage", *words], cwd=work, check=True, stdout=subprocess.DEVNULL)
    prepare_front()
    lab = Lab()
    try:
        return run_guest(lab, work / "dist" / "multihomed")
    finally:
        lab.back.close()


if __name__ == "__main__":
    sys.exit(main())
