# SPDX-License-Identifier: ISC
"""Plays one case on one machine. A machine (machine.py) offers: real (its clock is the world's), name, backend,
mac, now(), send(frame), app(call), frames and events (what came since), wait(seconds, until)."""
import ipaddress
from collections import deque

import build
import compare
from packet import ADDRESSES, ADDRESSES6, FLAGS, Bad, TESTER_MAC, receive

DEFAULT_WAIT = 1.0      # how long a want waits, in seconds
REAL_WAIT = 4.0         # the same where the clock is real and the machine busy
REAL_SLACK = 0.6        # what may come later than it should there
REAL_EARLY = 0.012      # and earlier: clocks are read at different moments
VIRTUAL_SLACK = 0.0011  # timers of the virtual machine have the granularity of its wheel


class Mismatch(Exception):
    """A case that fails: what was wanted and what happened."""


class Flow:
    """A TCP connection of a trace: its ports and first sequence numbers."""

    def __init__(self, name, tester_port, station_port, isn):
        self.name, self.tester_port, self.station_port, self.tester_isn = name, tester_port, station_port, isn
        self.station_isn, self.station_time, self.syn_sent, self.bound = 0, 0, False, station_port != 0


class World:
    """What packets refer to: addresses, flows, what was sent."""

    def __init__(self, case, machine):
        self.addresses = ADDRESSES6 if case.options.get("family") == "6" else ADDRESSES
        self.station_mac = machine.mac
        self.isn = int(case.options.get("isn", "100000"))
        self.flows, self.sent, self.last_received, self.identification = {}, [], None, 100
        self.cookie = ""  # the last one that the station gave, RFC 7413

    def address(self, word):
        if word in self.addresses:
            return self.addresses[word]
        try:
            return str(ipaddress.ip_address(word))
        except ValueError:
            raise Bad(f"'{word}' is no address: {', '.join(self.addresses)} or one in digits") from None

    def next_id(self):
        self.identification += 1
        return self.identification

    def flow(self, name):
        """The flow of that name; a new one goes from a port of its own to port 80 of the station."""
        if name not in self.flows:
            self.flows[name] = Flow(name, 40000 + len(self.flows), 80, self.isn)
        return self.flows[name]

    def expect_call(self, name, port):
        """The station is going to connect to `port`; where from is learnt from its SYN."""
        self.flows[name] = Flow(name, port, 0, self.isn)

    def flow_of(self, packet):
        tcp = packet["tcp"]
        for flow in self.flows.values():
            if flow.bound and (flow.tester_port, flow.station_port) == (tcp["to"], tcp["from"]):
                return flow
        return None

    def learn(self, packet):
        """What a packet that has just arrived says about its flow."""
        if packet["kind"] != "tcp":
            return
        tcp = packet["tcp"]
        if tcp["flags"] & FLAGS["SYN"]:
            for flow in self.flows.values():
                if not flow.bound and flow.tester_port == tcp["to"] and self.flow_of(packet) is None:
                    flow.bound, flow.station_port = True, tcp["from"]
            flow = self.flow_of(packet)
            if flow:
                flow.station_isn = tcp["seq"]
        flow = self.flow_of(packet)
        if tcp.get("cookie", "ask") != "ask":
            self.cookie = tcp["cookie"]
        if flow and "ts" in tcp:
            flow.station_time = tcp["ts"][0]


class Player:
    def __init__(self, case, machine):
        self.case, self.machine, self.world = case, machine, World(case, machine)
        self.arrived, self.log = deque(), []
        self.since = machine.now()
        self.begin = self.since

    def play(self):
        """Raises Mismatch where the case fails."""
        for step in self.case.steps:
            if step.only and step.only != self.machine.name:
                continue
            try:
                VERBS[step.verb](self, step)
            except Bad as error:
                raise Mismatch(f"{step.place}: {error}") from None

    # Time and packets

    def note(self, sign, line, at=None):
        self.log.append(f"{(at if at is not None else self.machine.now()) - self.begin:10.6f} {sign} {line}")

    def fail(self, step, got):
        raise Mismatch(f"{step.place}: {step.source}\n    got: {got}\n  the trace so far:\n    " +
                       "\n    ".join(self.log[-30:]))

    def collect(self):
        """Takes in what has arrived; ARP is answered here unless the trace does it by hand."""
        while self.machine.frames:
            at, frame = self.machine.frames.popleft()
            packet = receive(frame)
            if packet is None or packet["from-mac"] == TESTER_MAC or self.is_background(packet):
                continue
            self.world.learn(packet)
            self.note("<", compare.text(packet, self.world), at)
            self.arrived.append((at, packet))

    def is_background(self, packet):
        """What every machine says by itself and no trace is about."""
        by_hand = self.case.options.get("arp") == "by-hand"
        if packet["kind"] == "arp":
            if by_hand:
                return False
            arp = packet["arp"]
            ours = [self.world.address(name) for name in ("tester", "neighbour", "far")]
            if arp["type"] == 1 and arp["tpa"] in ours and arp["spa"] != "0.0.0.0":
                self.machine.send(build.send_arp({"type": 2, "spa": arp["tpa"], "tpa": arp["spa"]}, self.world))
            return True
        if packet["kind"] == "icmp6" and not by_hand and packet["icmp6"]["type"] >= 133:
            self.answer_solicitation(packet)
            return True
        if packet["kind"] == "other":
            return True
        six = packet["ip"]["version"] == 6
        return six != (self.case.options.get("family") == "6") or packet["ip"]["proto"] == 2 or \
            (packet["kind"] == "ip" and packet["ip"]["proto"] == 0)

    def answer_solicitation(self, packet):
        icmp, ip = packet["icmp6"], packet["ip"]
        ours = [self.world.address(name) for name in ("tester", "neighbour", "far")]
        if icmp["type"] != 135 or icmp.get("target") not in ours or ip["src"] == "::":
            return
        option = "0201" + TESTER_MAC.replace(":", "")
        answer = {"kind": "icmp6", "ip": {"ttl": 255, "src": icmp["target"], "dst": ip["src"]},
                  "icmp6": {"type": 136, "target": icmp["target"], "flags": "S+O", "option": bytes.fromhex(option)}}
        self.machine.send(build.send(answer, self.world))
        self.world.sent.pop()

    def wait(self, seconds, until=lambda: False):
        """Until something has arrived that satisfies, or the time is over."""
        def enough():
            self.collect()
            return until()
        self.machine.wait(seconds, enough)

    def next_packet(self, seconds):
        self.collect()
        if not self.arrived:
            self.wait(seconds, lambda: bool(self.arrived))
        return self.arrived[0] if self.arrived else None

    # Verbs

    def send(self, step):
        if step.after:
            self.wait(step.after[0])
        frame = build.send(step.packet, self.world)
        self.note(">", " ".join(step.words))
        self.since = self.machine.now()
        self.machine.send(frame)
        self.collect()

    def limits(self, step):
        """Earliest, latest and how long to wait for it."""
        real = self.machine.real
        if step.after is None:
            return 0, None, step.within or (REAL_WAIT if real else DEFAULT_WAIT)
        first, last = step.after
        last = first * (1.05 if real else 1) if last is None else last
        slack = REAL_SLACK if real else VIRTUAL_SLACK
        return first - (REAL_EARLY if real else VIRTUAL_SLACK), last + slack, last + slack + 0.5

    def want(self, step):
        earliest, latest, patience = self.limits(step)
        found = self.next_packet(patience)
        if found is None:
            self.fail(step, "nothing")
        at, packet = found
        problems = compare.differences(step.packet, packet, self.world)
        passed = at - self.since
        if not problems and passed < earliest:
            problems.append(f"comes {passed:.6f} s after the step before: too early")
        if not problems and latest is not None and passed > latest:
            problems.append(f"comes {passed:.6f} s after the step before: too late")
        if problems:
            self.fail(step, f"{compare.text(packet, self.world)}\n         ({'; '.join(problems)})")
        self.arrived.popleft()
        self.world.last_received = packet
        self.since = at

    def may(self, step):
        """A packet that is taken if it is the next one, now or within the time given."""
        found = self.next_packet(step.within if step.within is not None else 0.05)
        if found and not compare.differences(step.packet, found[1], self.world):
            self.arrived.popleft()
            self.world.last_received, self.since = found[1], found[0]

    def quiet(self, step):
        found = self.next_packet(step.after[0])
        if found:
            self.fail(step, compare.text(found[1], self.world))
        self.since = self.machine.now()

    def pause(self, step):
        """Time passes; what arrives meanwhile is looked at by the steps that follow."""
        self.wait(step.after[0])
        self.since = self.machine.now()

    def meet(self, _):
        """The station learns the tester's addresses, as if they had spoken before."""
        self.machine.send(build.send_arp({"type": 1}, self.world))
        self.wait(0.05)

    def app(self, step):
        self.note("@", " ".join(step.words))
        call, words = step.words[0], list(step.words[1:])
        name = call.partition(":")[2] or "a"
        call = call.partition(":")[0]
        if call == "connect":
            port = int(words[0]) if words else 80
            self.world.expect_call(name, port)
            words = [self.world.address(words[1] if len(words) > 1 else "tester"), str(port), *words[2:]]
        elif call == "sendto":
            words[1] = self.world.address(words[1])
        self.since = self.machine.now()
        expected = EXPECTATIONS.get(call)
        answer = self.machine.app(name, call, words)
        if answer is None:
            answer = self.answer(name, call, step)
        if expected:
            problem = expected(answer, words)
            if problem:
                self.fail(step, problem)
        elif answer.startswith("error"):
            self.fail(step, answer)
        self.collect()

    def answer(self, name, call, step):
        """Waits for the event that ends a call."""
        key = (name, call)
        patience = step.within or (REAL_WAIT if self.machine.real else DEFAULT_WAIT)
        self.wait(patience, lambda: key in self.machine.events)
        return self.machine.events.pop(key, "nothing happened")


def wants_data(answer, words):
    """`app read N`, `app read end`, `app read error KIND`."""
    wanted = " ".join(words)
    if words[0].isdigit():
        return None if answer == f"read {words[0]}" else answer
    return None if answer == wanted else answer


EXPECTATIONS = {
    "read": wants_data,
    "connected": lambda answer, words: None if answer == "connected" else answer,
    "accept": lambda answer, words: None if answer == "accepted" else answer,
    "none": lambda answer, words: None if answer == "nothing happened" else answer,
    "fails": lambda answer, words: None if answer == "failed " + " ".join(words) else answer,
    "datagram": lambda answer, words: None if answer == "datagram " + " ".join(words) else answer,
}
VERBS = {"send": Player.send, "want": Player.want, "may": Player.may, "quiet": Player.quiet, "wait": Player.pause,
         "meet": Player.meet, "app": Player.app}
