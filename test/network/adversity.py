#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: adversity.py TOOLS WORK

A web site under attack, live: a spt image with 16 MiB on a tap, an honest client with a connection over IPv4 and one
over IPv6 that asks for a page at an even pace, and attackers that write frames of their own. Each case goes by slices,
with and without the attack in turn, and demands that the client keeps at least 0.8 of the requests that it has without
(under the flood, which takes half of what the guest can do: 0.8 of the other half); that the memory stays within its
bound; and that the counters account for every frame of the attack, exactly.
"""
import ctypes
import http.client
import json
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import forged
from forged import ACK, ARP, EVIL, EVIL6, EVIL_MAC, IPV4, IPV6, PSH, RST, SYN, Ears, Flood, Peer, Wire
from harness import GUEST, HOST, Failed, Guest, Namespace, check, fail_usage, run_cases, sh, wait_until

GUEST6, HOST6 = "2001:db8::2", "2001:db8::1"
MEMORY = 16  # MiB
SLICE, SLICES, SHARE = 0.1, 6, 0.8
PACE = 0.002
PAGE, BIG = 16 * 1024, 1024 * 1024
REQUEST = b"GET /page.txt HTTP/1.1\r\nHost: honest\r\n\r\n"
RATE = 3000  # frames per second of what is no flood
DROPS = ("tcp_drop_", "ip_drop_", "ethernet_drop_", "tcp_receive_memory", "tcp_work_memory", "tcp_stored_dropped")
TALK = ("ip_drop_not_for_us",)  # what the host's own kernel says to groups now and then


class Honest:
    """A process of its own. It says in shared memory how far it is, and pauses when it is told to."""

    class Board(ctypes.Structure):
        _fields_ = [("done", ctypes.c_uint64), ("port", ctypes.c_uint64), ("pause", ctypes.c_uint64), ("paused", ctypes.c_uint64)]

    def __init__(self):
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.board = self.Board.from_buffer(self.memory)
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self.run()
            except BaseException as error:  # whatever it is, this process ends here
                print(f"the honest client: {type(error).__name__}: {error}", flush=True)
            finally:
                os._exit(status)
        wait_until(lambda: self.board.done > 10, 20, "the honest client's first answers")

    def run(self):
        connections = [socket.create_connection((address, 80), timeout=20) for address in (GUEST, GUEST6)]
        self.board.port = connections[0].getsockname()[1]
        parent, due, size, buffer = os.getppid(), time.monotonic(), 0, bytearray(1 << 16)
        while os.getppid() == parent:
            if self.board.pause:
                self.board.paused = 1
                while self.board.pause:
                    time.sleep(0.001)
                self.board.paused, due = 0, time.monotonic()
            connection = connections[self.board.done % 2]
            connection.sendall(REQUEST)
            at = connection.recv_into(buffer)
            if size == 0:
                size = buffer.index(b"\r\n\r\n") + 4 + PAGE
            while at < size:
                more = connection.recv_into(memoryview(buffer)[at:])
                check(more > 0, "the connection has ended")
                at += more
            check(at == size and buffer[:15] == b"HTTP/1.1 200 OK" and buffer[at - 16:at] == b"0123456789abcdef", "another answer")
            self.board.done += 1
            due += PACE
            now = time.monotonic()
            if due > now:
                time.sleep(due - now)
            else:
                due = now  # what was missed is not made up for

    def pause(self):
        self.board.pause = 1
        wait_until(lambda: self.board.paused, 20, "the honest client")

    def resume(self):
        self.board.pause = 0
        wait_until(lambda: not self.board.paused, 20, "the honest client")

    def rate(self, act):
        """Requests per second while `act` runs."""
        begin, before = time.monotonic(), self.board.done
        act()
        return (self.board.done - before) / (time.monotonic() - begin)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Lab:
    def __init__(self, guest):
        self.guest = guest
        self.page = http.client.HTTPConnection(GUEST, 9100, timeout=20)
        self.scrapes, self.scrape_size, self.flood_rate, self.slow = 0, 0, 0, []
        self.page.connect()
        guest_mac = bytes.fromhex(re.search(r"lladdr (\S+)", sh("ip", "neigh", "show", GUEST, "dev", "tap0"))[1].replace(":", ""))
        self.wire, self.ears = Wire("tap0", guest_mac), Ears("tap0")
        self.host_mac = bytes.fromhex(json.loads(sh("ip", "-j", "link", "show", "dev", "tap0"))[0]["address"].replace(":", ""))
        self.honest = Honest()

    def counters(self):
        self.page.request("GET", "/metrics")
        self.scrapes += 1
        text = self.page.getresponse().read().decode()
        return {name: int(value) for name, value in re.findall(r"^mirage_(\w+?)(?:_total)? (\d+)$", text, re.M)}

    def introduce(self):
        """The guest knows where EVIL is."""
        self.wire.send(ARP, forged.arp(1, EVIL_MAC, EVIL, GUEST))

    def steady(self, act, rate=RATE):
        """Calls act(i) at a rate for a slice of time, with what comes back in between."""
        def attack():
            begin, sent = time.monotonic(), 0
            while (passed := time.monotonic() - begin) < SLICE:
                while sent < passed * rate:
                    act(self.acts)
                    sent, self.acts = sent + 1, self.acts + 1
                self.ears.listen()
                time.sleep(0.002)
        self.acts = 0
        return attack

    def siege(self, attack, left=1.0):
        """The client's share of what is left. A machine that does other things as well gets three times the time."""
        without = under = 0
        for slices in range(1, 3 * SLICES + 1):
            without += self.honest.rate(lambda: time.sleep(SLICE))
            under += self.honest.rate(attack)
            if slices % SLICES == 0 and under >= SHARE * left * without:
                break
        check(under >= SHARE * left * without, f"the honest client has {under / without:.2f} of its requests")
        print(f"    {without / slices:.0f} requests per second, {under / slices:.0f} under attack", flush=True)

    def quiet(self):
        """The counters while the honest client does nothing."""
        self.honest.pause()
        return Counts(self)

    def memory_is_bounded(self, now):
        check(now["buffers_bytes_peak"] <= now["buffers_bytes_bound"], f"{now['buffers_bytes_peak']} bytes of buffers")
        status = Path(f"/proc/{self.guest.process.pid}/status").read_text()
        resident = int(re.search(r"VmHWM:\s+(\d+)", status)[1])
        check(resident <= (MEMORY + 2) * 1024, f"{resident} KiB resident")


class Counts:
    """Counters at one time; what has been added to them since is to be as expected, as soon as all has arrived."""

    def __init__(self, lab):
        self.lab, self.done, self.values, self.scrapes = lab, lab.honest.board.done, lab.counters(), lab.scrapes

    def added(self):
        now = self.lab.counters()
        return {name: now[name] - self.values[name] for name in now}, now

    def expect(self, check_added):
        """check_added(added, self) yields (what, expected, counted). Every kind of drop that it does not name is to be 0."""
        end = time.monotonic() + 5
        while True:
            added, now = self.added()
            rows = list(check_added(added, self))
            named = {word for row in rows for word in row[0].split()}
            rows += [(name, 0, value) for name, value in added.items() if name.startswith(DROPS) and name not in named and name not in TALK]
            wrong = [f"{what}: {counted} counted, {expected} expected" for what, expected, counted in rows if counted != expected]
            if not wrong:
                break
            check(time.monotonic() < end, "; ".join(wrong))
            time.sleep(0.05)
        self.lab.memory_is_bounded(now)
        return added

    def honest_bytes(self):
        return (self.lab.honest.board.done - self.done) * len(REQUEST) + (self.lab.scrapes - self.scrapes) * self.lab.scrape_size


def besieged(lab, attack, check_added, after=None):
    """One attack from begin to end: the share, then what was counted; `after` is for what is to be checked then."""
    before = lab.quiet()
    lab.honest.resume()
    lab.siege(attack)
    lab.honest.pause()
    before.expect(check_added)
    if after:
        after(before)
    lab.honest.resume()


def exactly(**expected):
    return lambda added, _: [(name, count(), added[name]) if callable(count) else (name, count, added[name])
                          for name, count in expected.items()]


def ended(lab, peers):
    """The attackers' connections go, and with them everything that they held."""
    def check_end(before):
        for peer in peers:
            peer.end()
        wait_until(lambda: before.added()[0]["tcp_reset_by_peer"] == len(peers), 5, "the resets")
        added, now = before.added()
        check(now["tcp_connections"] == before.values["tcp_connections"] - len(peers), f"{now['tcp_connections']} connections")
        check(added["buffers_bytes_in_use"] < 128 * 1024, f"{added['buffers_bytes_in_use']} bytes are left behind")
    return check_end


# --- the attacks ---

def slow_loris(lab):
    """A hundred heads that come byte by byte. The last case looks at what became of them."""
    before = lab.quiet()
    lab.slow = [socket.create_connection((GUEST, 80), timeout=20) for _ in range(100)]
    for one in lab.slow:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    lab.http_timeouts, lab.slow_since = before.values["http_timeouts"], time.monotonic()
    lab.honest.resume()
    besieged(lab, lab.steady(lambda i: lab.slow[i % len(lab.slow)].sendall(b"x"), rate=1000), exactly(http_refused=0))


def tiny_and_shrinking_windows(lab):
    lab.introduce()
    peers = [Peer(lab) for _ in range(16)]
    for peer in peers:
        peer.ask("/big.txt", window=5000)
    wait_until(lambda: lab.ears.listen() or all(peer.came() >= 4380 for peer in peers), 10, "the first window")

    def shrink(i):
        peers[i % 16].send(window=i // 16 % 2)
    before = sum(peer.came() for peer in peers)

    def a_byte_each(_):
        lab.ears.listen()
        came = sum(peer.came() for peer in peers) - before
        check(came <= lab.acts + 16 * 5000, f"{came} bytes for {lab.acts} windows of one byte at most")
        ended(lab, peers)(_)
    besieged(lab, lab.steady(shrink), exactly(), a_byte_each)


def one_byte_segments(lab):
    """To a server that does not read, because nobody takes its answer: in order, and beyond a hole."""
    lab.introduce()
    peers = [Peer(lab, window=0) for _ in range(16)]
    for peer in peers:
        peer.ask("/big.txt", window=0)
    beyond = [0] * 16

    def pin(i):
        peer = peers[i % 16]
        if i % 2:
            peer.send(window=0, text=b"x")
            peer.own += 1
        else:
            beyond[i % 16] += 1
            peer.send(window=0, text=b"x", ahead=beyond[i % 16])
    def kept_or_counted(added, before):
        text = added["tcp_bytes_in"] - before.honest_bytes()
        return [("segments tcp_receive_memory", lab.acts, text + added["tcp_receive_memory"]),
                ("tcp_stored_dropped", added["tcp_stored_dropped"], added["tcp_stored_dropped"])]
    besieged(lab, lab.steady(pin), kept_or_counted, ended(lab, peers))


def one_byte_segments_sent_back(lab):
    """By an echo that does not wait for more, to peers whose windows are closed or who acknowledge nothing."""
    lab.introduce()
    peers = [Peer(lab, to=7) for _ in range(16)]

    def pin(i):
        peer = peers[i % 16]
        peer.send(window=0xffff * (i % 2), text=b"x")
        peer.own += 1

    def pins_little(added, before):
        most = 4 * lab.acts + 16 * 40 * 1024
        return [("segments", lab.acts, added["tcp_bytes_in"] - before.honest_bytes()),
                (f"{added['buffers_bytes_in_use']} bytes of buffers within {most}", True, added["buffers_bytes_in_use"] <= most)]
    besieged(lab, lab.steady(pin), pins_little, ended(lab, peers))


def overlapping_segments(lab):
    """To an echo: text beyond a hole, other text over it, and what fills the hole over the first of it. What came first
    counts, and comes back."""
    lab.introduce()
    peers = [Peer(lab, to=7) for _ in range(8)]
    steps = ((8, b"B" * 16), (16, b"C" * 16), (8, b"X" * 16), (0, b"A" * 12))
    whole = b"A" * 12 + b"B" * 12 + b"C" * 8

    def overlap(i):
        peer, (ahead, text) = peers[i % 8], steps[i // 8 % 4]
        peer.send(ahead=ahead, text=text)
        if ahead == 0:
            peer.own += len(whole)

    def taken(added, before):
        sent = sum(len(steps[i // 8 % 4][1]) for i in range(lab.acts))
        return [("bytes", sent, added["tcp_bytes_in"] - before.honest_bytes())]

    def first_come(before):
        def rounds(peer):
            return (peer.own - 1000 * peer.port) // len(whole)
        wait_until(lambda: lab.ears.listen() or all(len(peer.text) == rounds(peer) * len(whole) for peer in peers), 5, "all echoes")
        check(all(peer.text == whole * rounds(peer) for peer in peers), "other text than what came first")
        ended(lab, peers)(before)
    besieged(lab, lab.steady(overlap), taken, first_come)


def false_selective_acknowledgements(lab):
    """Blocks of what was never sent and of nothing; and peers that deny what they said they hold (reneging)."""
    lab.introduce()
    peers = [Peer(lab, options=b"\x04\x02\x01\x01") for _ in range(8)]
    for peer in peers:
        peer.ask("/big.txt")
    wait_until(lambda: lab.ears.listen() or all(peer.came() >= 14600 for peer in peers), 10, "the initial windows")

    def block(peer, begin, end):
        left, right = ((peer.first + at) & 0xffffffff for at in (begin, end))
        return struct.pack(">BBBBII", 1, 1, 5, 10, left, right)
    before = lab.counters()
    for peer in peers:
        peer.send(beyond=-peer.came(), options=block(peer, 1460, 14600))  # all but the first
        peer.send(beyond=1460 - peer.came())  # the first; the others are denied
    wait_until(lambda: lab.counters()["tcp_reneged"] - before["tcp_reneged"] == len(peers), 10, "time-outs of all")

    def lie(i):
        peer, far = peers[i % 8], 1 << 20
        begin, end = ((far + 1460 * i, far + 1460 * i + 1460), (2920, 2920), (5840, 2920))[i // 8 % 3]
        peer.send(beyond=1460 - peer.came(), options=block(peer, begin, end))

    def nothing_moves(before):
        lab.ears.listen()
        check(all(peer.came() <= 2 * 14600 for peer in peers), f"{[peer.came() for peer in peers]} bytes, of 14600")
        ended(lab, peers)(before)
    besieged(lab, lab.steady(lie), exactly(tcp_false_sack_blocks=lambda: lab.acts, tcp_reneged=0), nothing_moves)


def overlapping_fragments(lab):
    """Of both versions; and first fragments without others, which have to make room for one another."""
    lab.introduce()
    lab.wire.send(IPV6, forged.discovery(135, EVIL6, GUEST6, 0, GUEST6, 1, EVIL_MAC))
    sent = {"overlaps": 0, "alone": 0}

    def v4(identification, offset, more):
        lab.wire.send(IPV4, forged.ipv4(EVIL, 17, bytes(64), identification=identification, fragment=more << 13 | offset >> 3))

    def v6(identification, offset, more):
        lab.wire.send(IPV6, forged.ipv6(EVIL6, GUEST6, 44, struct.pack(">BBHI", 17, 0, offset | more, identification) + bytes(64)))

    def cut(i):
        way = v6 if i % 2 else v4
        if i % 4 < 2:
            way(i % 65536, 0, 1)
            sent["alone"] += 1
        else:
            way(i % 65536, 0, 1)
            way(i % 65536, 32, 0)
            sent["overlaps"] += 1

    def counted(added, _):
        waiting = sent["alone"] - added["ip_reassembly_displaced"] - added["ip_reassembly_timeouts"]
        return [("ip_fragments_received", sent["alone"] + 2 * sent["overlaps"], added["ip_fragments_received"]),
                ("ip_drop_overlap", sent["overlaps"], added["ip_drop_overlap"]),
                (f"waiting ({waiting}) within the bound", True, 0 <= waiting <= 16)]
    besieged(lab, lab.steady(cut), counted)


def optimistic_acknowledgements(lab):
    lab.introduce()
    peers = [Peer(lab) for _ in range(8)]
    for peer in peers:
        peer.ask("/big.txt")
    wait_until(lambda: lab.ears.listen() or all(peer.came() >= 14600 for peer in peers), 10, "the initial windows")

    def no_more_came(before):
        lab.ears.listen()
        check(all(peer.came() == 14600 for peer in peers), f"{[peer.came() for peer in peers]} bytes, of 14600")
        ended(lab, peers)(before)
    besieged(lab, lab.steady(lambda i: peers[i % 8].send(beyond=1460 * (i + 1) % (1 << 28))),
             exactly(tcp_drop_bad_acknowledgement=lambda: lab.acts), no_more_came)


def honest_place(lab):
    """What the guest expects next of the honest client, and a timestamp that it takes: who hears nothing has to guess."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(IPV4)) as ears:
        ears.bind(("tap0", IPV4))
        ears.settimeout(10)
        while True:
            frame = ears.recv(1 << 17)
            if frame[6:12] == lab.wire.guest_mac and frame[36:38] == struct.pack(">H", lab.honest.board.port):
                check(frame[54:58] == b"\1\1\x08\x0a", "no timestamps")
                return int.from_bytes(frame[42:46], "big"), int.from_bytes(frame[62:66], "big") + 1000


def injected_segments(lab):
    """RST, SYN and text in the honest connection's window, all but where it goes on. Those of each slice are for where
    the connection is then."""
    def inject(i):
        ahead, from_host = 20000 + 17 * i % 20000, {"source": lab.host_mac}
        flags, text, acknowledgement = ((RST, b"", 0), (SYN, b"", 0), (ACK | PSH, b"forged", 1 << 30))[i % 3]
        lab.wire.send(IPV4, forged.tcp(HOST, lab.honest.board.port, 80, place + ahead, acknowledgement, flags, text=text,
                                       options=struct.pack(">BBBBII", 1, 1, 8, 10, stamp, 0)), **from_host)
    place, stamp = 0, 0
    steadily = lab.steady(inject)

    def attack():
        nonlocal place, stamp
        place, stamp = honest_place(lab)
        steadily()

    def third(i):
        return lambda: (lab.acts + 2 - i) // 3

    def few_challenges(before):
        challenges = before.added()[0]["tcp_challenges"]
        check(challenges <= 12 + 10 * (time.monotonic() - begin), f"{challenges} challenges")
    begin = time.monotonic()
    besieged(lab, attack, exactly(tcp_drop_reset_out_of_place=third(0), tcp_drop_syn_in_window=third(1),
                                  tcp_drop_bad_acknowledgement=third(2), tcp_reset_by_peer=0), few_challenges)


def spoofed_neighbours(lab):
    """ARP and neighbour discovery: addresses that nobody asked for, the guest's own, and those of the honest client."""
    override, everybody = 0x20, b"\xff" * 6
    kinds = [lambda: lab.wire.send(ARP, forged.arp(2, EVIL_MAC, "10.0.0.99", GUEST)),
             lambda: lab.wire.send(ARP, forged.arp(1, EVIL_MAC, GUEST, GUEST), destination=everybody),
             lambda: lab.wire.send(ARP, forged.arp(2, EVIL_MAC, HOST, GUEST)),
             lambda: lab.wire.send(ARP, forged.arp(1, EVIL_MAC, HOST, HOST), destination=everybody),
             lambda: lab.wire.send(IPV6, forged.discovery(136, EVIL6, GUEST6, override, "2001:db8::99", 2, EVIL_MAC)),
             lambda: lab.wire.send(IPV6, forged.discovery(136, HOST6, GUEST6, 0, HOST6, 2, EVIL_MAC)),
             lambda: lab.wire.send(IPV6, forged.discovery(136, HOST6, GUEST6, override, HOST6, 2, EVIL_MAC)),
             lambda: lab.wire.send(IPV6, forged.discovery(135, HOST6, GUEST6, 0, GUEST6, 1, EVIL_MAC)),
             lambda: lab.wire.send(IPV6, forged.discovery(136, EVIL6, GUEST6, override, GUEST6, 2, EVIL_MAC))]

    def times(*which):
        return lambda: sum((lab.acts + len(kinds) - 1 - kind) // len(kinds) for kind in which)
    besieged(lab, lab.steady(lambda i: kinds[i % len(kinds)]()),
             exactly(ethernet_arp_unsolicited=times(0), ethernet_arp_conflicts=times(1), ethernet_nd_unsolicited=times(4),
                     ethernet_nd_refused=times(5), ethernet_claims_doubted=times(2, 3, 6, 7), ethernet_arp_changed=0,
                     discovery_conflicts=times(8)))


def malformed(lab):
    """Options, headers, lengths, checksums: one counter for each kind."""
    lab.introduce()
    peer, source_route = Peer(lab), b"\x83\x07\x04\x0a\x00\x00\x01\x00"
    udp = forged.summed(EVIL, GUEST, 17, struct.pack(">HHHH", 9, 9, 8, 0), 6)

    def ip(packet, **given):
        return lambda: lab.wire.send(IPV4, packet, **given)

    def forged_tcp(**given):
        return forged.tcp(EVIL, peer.port, 80, peer.own, peer.next, ACK, **given)
    kinds = {"tcp_malformed_options": lambda: peer.send(options=b"\x08\x01\xff\xff"),
             "tcp_malformed": ip(forged_tcp(words=4)),
             "tcp_bad_checksum": ip(forged_tcp(spoil=0x1234)),
             "ip_drop_checksum": ip(forged.ipv4(EVIL, 17, udp, spoil=0x1234)),
             "ip_drop_length": ip(forged.ipv4(EVIL, 17, udp, length=900)),
             "ip_drop_version": ip(forged.ipv4(EVIL, 17, udp, version=5)),
             "ip_drop_truncated": ip(forged.ipv4(EVIL, 17, udp)[:12]),
             "ip_drop_source_route": ip(forged.ipv4(EVIL, 17, udp, options=source_route)),
             "ip_drop_bad_source": ip(forged.ipv4(GUEST, 17, udp)),
             "ip_drop_transit": ip(forged.ipv4(EVIL, 17, udp, destination="192.0.2.1")),
             "ethernet_drop_unknown_type": lambda: lab.wire.send(0x88b5, udp),
             "ethernet_drop_bad_source": ip(forged.ipv4(EVIL, 17, udp), source=b"\x03" + bytes(5)),
             "ethernet_drop_bad_arp": lambda: lab.wire.send(ARP, forged.arp(9, EVIL_MAC, EVIL, GUEST)),
             "icmp_drop_checksum": ip(forged.ipv4(EVIL, 1, b"\x08\0\x12\x34" + bytes(8))),
             "discovery_drop_hop_limit": lambda: lab.wire.send(IPV6, forged.discovery(136, EVIL6, GUEST6, 0, EVIL6, 2, EVIL_MAC, hops=64))}
    acts = list(kinds.values())

    def count(i):
        return lambda: (lab.acts + len(acts) - 1 - i) // len(acts)
    besieged(lab, lab.steady(lambda i: acts[i % len(acts)]()), exactly(**{name: count(i) for i, name in enumerate(kinds)}),
             ended(lab, [peer]))


def syn_flood(lab):
    """At half of what the guest takes at most. Each SYN is kept within the backlog or answered by a cookie."""
    flood, sent = Flood(lab.wire), 0
    before = lab.quiet()

    def burst(seconds, rate=None):
        nonlocal sent
        sent += flood.send(seconds, rate)

    def answered(added, _):
        return [("SYNs", sent, added["tcp_opened_passively"] + added["tcp_cookies_sent"]), ("opened", 128, added["tcp_opened_passively"]),
                ("ethernet_drop_queue_full", added["ethernet_drop_queue_full"], added["ethernet_drop_queue_full"])]
    begin = time.monotonic()
    burst(0.3)
    lab.counters()  # comes after all that waits in the tap
    most = sent / (time.monotonic() - begin)
    print(f"    {most:.0f} SYNs per second at most", flush=True)
    lab.honest.resume()
    lab.siege(lambda: burst(SLICE, most / 2), left=0.5)
    lab.honest.pause()
    before.expect(answered)
    with socket.create_connection((GUEST, 80), timeout=20) as late:  # whoever comes now is served all the same
        late.sendall(REQUEST)
        check(late.recv(15) == b"HTTP/1.1 200 OK", "no answer after the flood")
    check(before.added()[0]["tcp_cookies_accepted"] == 1, "not by a cookie")
    lab.honest.resume()


def slow_ones_are_gone(lab):
    """Ten seconds are for a head, whatever trickles in."""
    time.sleep(max(0, lab.slow_since + 10.5 - time.monotonic()))
    for one in lab.slow:
        check(b" 408 " in one.recv(1000), "not told that it took too long")
        one.close()
    check(lab.counters()["http_timeouts"] - lab.http_timeouts == len(lab.slow), "not all are counted")


CASES = [slow_loris, tiny_and_shrinking_windows, one_byte_segments, one_byte_segments_sent_back, overlapping_segments,
         overlapping_fragments, optimistic_acknowledgements, false_selective_acknowledgements, injected_segments, spoofed_neighbours, malformed, slow_ones_are_gone, syn_flood]


def measure_scrape(lab):
    """How long a request for the counters is."""
    before = lab.quiet()
    lab.scrape_size = before.added()[0]["tcp_bytes_in"]
    check(before.values["metrics_left_out"] == 0 and lab.scrape_size > 20, "the counters")
    lab.honest.resume()


def build(tools, work):
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(Path(__file__).resolve().parent / "adversity", work)
    (work / "htdocs").mkdir()
    for name, size in ("page.txt", PAGE), ("big.txt", BIG):
        (work / "htdocs" / name).write_bytes(b"0123456789abcdef" * (size // 16))
    for words in (["configure", "-t", "spt"], ["build"]):
        subprocess.run([tools / "mirage", *words], cwd=work, check=True, stdout=subprocess.DEVNULL)


def prepare_network():
    Namespace()
    sh("ip", "link", "set", "tap0", "txqueuelen", "10000")  # what is sent arrives, also when the guest waits for its turn
    Path("/proc/sys/net/ipv6/conf/tap0/accept_dad").write_text("0")
    sh("ip", "addr", "add", f"{HOST6}/64", "dev", "tap0", "nodad")


def main():
    if len(sys.argv) != 3:
        fail_usage(__doc__)
    tools, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    build(tools, work)
    prepare_network()
    command = [tools / "mirage-spt", f"--mem={MEMORY}", "--net:service=tap0", "--", work / "dist" / "besieged.spt",
               f"--ipv4={GUEST}/24", f"--ipv4-gateway={HOST}", f"--ipv6={GUEST6}/64"]
    with Guest(command, ready="serving on") as guest:
        lab = Lab(guest)
        try:
            measure_scrape(lab)
            status = run_cases(CASES, lab)
        finally:
            lab.honest.end()
        if status:
            print(guest.console()[-3000:])
    return status


if __name__ == "__main__":
    sys.exit(main())
