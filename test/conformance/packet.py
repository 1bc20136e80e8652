# SPDX-License-Identifier: ISC
"""Packets of conformance traces: words <-> fields <-> bytes. A packet is a dictionary of fields; send() makes bytes of
one, receive() makes one of bytes, text() writes one down in the language of the traces. See doc/conformance.md."""
import ipaddress
import re
import struct

TESTER_MAC, STATION_MAC_PREFIX, BROADCAST_MAC = "02:00:00:00:00:01", "02:", "ff:ff:ff:ff:ff:ff"
ADDRESSES = {"tester": "10.0.0.1", "station": "10.0.0.2", "neighbour": "10.0.0.77", "far": "192.0.2.1",
             "broadcast": "255.255.255.255", "subnet-broadcast": "10.0.0.255", "multicast": "224.0.0.1",
             "loopback": "127.0.0.1", "none": "0.0.0.0", "class-e": "240.0.0.1"}
ADDRESSES6 = {"tester": "fd00::1", "station": "fd00::2", "neighbour": "fd00::77", "far": "2001:db8::1", "none": "::",
              "multicast": "ff02::1", "loopback": "::1"}
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "CWR": 128}
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58}
ICMP_TYPES = {"echo-reply": 0, "unreachable": 3, "source-quench": 4, "redirect": 5, "echo": 8, "time-exceeded": 11,
              "parameter-problem": 12, "timestamp": 13, "timestamp-reply": 14, "information": 15, "mask": 17}
ICMP6_TYPES = {"unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo": 128,
               "echo-reply": 129, "router-solicitation": 133, "router-advertisement": 134,
               "neighbour-solicitation": 135, "neighbour-advertisement": 136}
ICMP_CODES = {"net": 0, "host": 1, "protocol": 2, "port": 3, "fragmentation": 4, "source-route": 5, "ttl": 0,
              "reassembly": 1}
ARP_OPERATIONS = {"request": 1, "reply": 2}
# Fields and how their value is written: number, range or any ("number"), "word", "bytes" (hexadecimal), "flag" (none).
SECTIONS = {
    "ip": {"ttl": "number", "tos": "number", "id": "number", "offset": "number", "proto": "number", "df": "flag",
           "mf": "flag", "reserved": "flag", "src": "word", "dst": "word", "options": "bytes", "checksum": "word",
           "version": "number", "ihl": "number", "total": "number", "to-mac": "word", "pad": "number", "data": "number",
           "cut": "number"},
    "tcp": {"seq": "number", "ack": "number", "len": "number", "win": "number", "mss": "number", "ws": "number",
            "sackok": "flag", "sack": "word", "ts": "word", "urg": "number", "checksum": "word", "no": "word",
            "option": "bytes", "from": "number", "to": "number", "offset": "number", "at": "number", "cookie": "word"},
    "udp": {"len": "number", "checksum": "word", "length": "number", "at": "number"},
    "icmp": {"code": "word", "id": "number", "seq": "number", "len": "number", "mtu": "number", "pointer": "number",
             "gateway": "word", "quoting": "word", "shift": "number", "checksum": "word", "claim": "number",
             "no-quote": "flag"},
    "icmp6": {"code": "word", "id": "number", "seq": "number", "len": "number", "mtu": "number", "pointer": "number",
              "quoting": "word", "shift": "number", "checksum": "word", "target": "word", "flags": "word",
              "option": "bytes", "prefix": "word", "no-quote": "flag"},
    "arp": {"sha": "word", "spa": "word", "tha": "word", "tpa": "word", "to-mac": "word", "hardware": "number",
            "protocol": "number"},
}


class Bad(Exception):
    """What is wrong with the words of a packet."""


def pattern(start, length):
    """The bytes that both sides send: each depends on its place in the stream alone."""
    return bytes((i * 31 + (i >> 8) * 17 + 3) & 0xff for i in range(start, start + length))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def mac_bytes(text):
    return bytes(int(part, 16) for part in text.split(":"))


def mac_text(data):
    return ":".join(f"{byte:02x}" for byte in data)


def number(text):
    """A number as (low, high): 5, 5..9, 5.., any."""
    if text == "any":
        return 0, 1 << 64
    low, dots, high = text.partition("..")
    try:
        first = int(low, 0)
        return (first, int(high, 0) if high else 1 << 64) if dots else first
    except ValueError:
        raise Bad(f"'{text}' is no number, range or 'any'") from None


def flags(text):
    try:
        return sum(FLAGS[name] for name in text.split("+")) if text != "none" else 0
    except KeyError as error:
        raise Bad(f"TCP has no flag {error}") from None


# Words -> fields

def parse_words(words):
    """`ip FIELDS.. tcp FLAGS FIELDS..` as {'ip': {..}, 'tcp': {..}, 'kind': 'tcp'}; fields as in SECTIONS."""
    packet, at = {"ip": {}, "kind": "ip"}, 0
    if words[:1] == ["fragment"]:
        packet["fragment"], at = parse_fragment(words)
    if not words[at:]:
        raise Bad("there is no packet")
    while at < len(words):
        name, _, flow = words[at].partition(":")
        if name not in SECTIONS:
            raise Bad(f"'{words[at]}' begins no packet and is no field of {packet['kind']}")
        at += 1
        section = packet.setdefault(name, {})
        if name != "ip":
            packet["kind"] = name
            at = parse_head(name, flow, section, words, at)
        while at < len(words) and words[at] in SECTIONS[name]:
            at = parse_field(SECTIONS[name], section, words, at)
    return packet


def parse_head(name, flow, section, words, at):
    """What a section begins with: flags of TCP, ports of UDP, types of ICMP, operations of ARP."""
    if at == len(words):
        raise Bad(f"{name} wants more words")
    word = words[at]
    if name == "tcp":
        section["flow"], section["flags"] = flow or "a", flags(word)
    elif name == "udp":
        match = re.fullmatch(r"(\d+)>(\d+)", word)
        if not match:
            raise Bad(f"udp wants ports as 5000>7, not '{word}'")
        section["ports"] = int(match[1]), int(match[2])
    else:
        names = {"icmp": ICMP_TYPES, "icmp6": ICMP6_TYPES, "arp": ARP_OPERATIONS}[name]
        if word not in names and not word.isdigit():
            raise Bad(f"{name} knows no '{word}': {', '.join(names)} or a number")
        section["type"] = names[word] if word in names else int(word)
    return at + 1


def parse_field(fields, section, words, at):
    name, kind = words[at], fields[words[at]]
    if kind == "flag":
        section[name] = True
        return at + 1
    if at + 1 == len(words):
        raise Bad(f"'{name}' wants a value")
    value = words[at + 1]
    if kind == "number":
        value = number(value)
    elif kind == "bytes":
        try:
            value = bytes.fromhex(value)
        except ValueError:
            raise Bad(f"'{name}' wants hexadecimal digits, not '{value}'") from None
    if name == "no":
        section.setdefault("no", []).append(value)
    else:
        section[name] = value
    return at + 2


def parse_fragment(words):
    """`fragment 0-24 [id N] [more|last] [fill N] of PACKET`."""
    match = re.fullmatch(r"(\d+)-(\d+)", words[1]) if len(words) > 1 else None
    if not match or "of" not in words:
        raise Bad("a fragment is: fragment FROM-TO [id N] [more|last] [fill N] of PACKET")
    fragment, at = {"from": int(match[1]), "to": int(match[2])}, 2
    while words[at] != "of":
        if words[at] in ("more", "last"):
            fragment["mf"] = words[at] == "more"
            at += 1
        elif words[at] in ("id", "fill"):
            fragment[words[at]] = int(words[at + 1], 0)
            at += 2
        else:
            raise Bad(f"'{words[at]}' is nothing that a fragment has")
    return fragment, at + 1


# Bytes -> fields

def receive(frame):
    """A received frame; None for what is no packet that traces speak of."""
    if len(frame) < 14:
        return None
    ether_type = struct.unpack_from("!H", frame, 12)[0]
    packet = {"to-mac": mac_text(frame[:6]), "from-mac": mac_text(frame[6:12]), "kind": "other", "frame": frame}
    if ether_type == 0x0806 and len(frame) >= 42:
        receive_arp(packet, frame[14:])
    elif ether_type == 0x0800 and len(frame) >= 34:
        receive_ip(packet, frame[14:])
    elif ether_type == 0x86dd and len(frame) >= 54:
        receive_ip6(packet, frame[14:])
    return packet


def receive_arp(packet, data):
    hardware, protocol, _, _, operation = struct.unpack_from("!HHBBH", data)
    packet.update(kind="arp", arp={
        "type": operation, "hardware": hardware, "protocol": protocol, "sha": mac_text(data[8:14]),
        "spa": str(ipaddress.ip_address(data[14:18])), "tha": mac_text(data[18:24]),
        "tpa": str(ipaddress.ip_address(data[24:28])), "to-mac": packet["to-mac"]})


def receive_ip(packet, data):
    first, tos, total, identification, fragment, ttl, protocol, _, source, destination = \
        struct.unpack_from("!BBHHHBBH4s4s", data)
    size = (first & 15) * 4
    bits = {name: True for name, bit in (("reserved", 0x8000), ("df", 0x4000), ("mf", 0x2000)) if fragment & bit}
    packet["ip"] = {"version": first >> 4, "ihl": first & 15, "tos": tos, "total": total, "id": identification,
                    "offset": (fragment & 0x1fff) * 8, "ttl": ttl, "proto": protocol, "options": data[20:size],
                    "checksum": "good" if checksum(data[:size]) == 0 else "bad", "to-mac": packet["to-mac"],
                    "src": str(ipaddress.ip_address(source)), "dst": str(ipaddress.ip_address(destination)), **bits}
    packet["kind"], payload = "ip", data[size:total]
    packet["ip"]["data"] = len(payload)
    pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(payload))
    if not fragment & 0x3fff:
        receive_transport(packet, protocol, payload, pseudo)


def receive_ip6(packet, data):
    first, length, protocol, hops = struct.unpack_from("!IHBB", data)
    payload = data[40:40 + length]
    packet["ip"] = {"version": 6, "tos": first >> 20 & 0xff, "total": 40 + length, "ttl": hops, "proto": protocol,
                    "src": str(ipaddress.ip_address(data[8:24])), "dst": str(ipaddress.ip_address(data[24:40])),
                    "data": length, "to-mac": packet["to-mac"]}
    packet["kind"] = "ip"
    if protocol == 44 and len(payload) >= 8:
        protocol, _, offset, identification = struct.unpack_from("!BBHI", payload)
        packet["ip"].update(proto=protocol, offset=offset & 0xfff8, id=identification, data=length - 8)
        if offset & 1:
            packet["ip"]["mf"] = True
        return
    receive_transport(packet, protocol, payload, data[8:40] + struct.pack("!II", length, protocol))


def receive_transport(packet, protocol, payload, pseudo):
    reader = {1: receive_icmp, 6: receive_tcp, 17: receive_udp, 58: receive_icmp6}.get(protocol)
    if reader:
        reader(packet, payload, pseudo)


def receive_tcp(packet, data, pseudo):
    if len(data) < 20:
        return
    source, destination, sequence, acknowledgement, offset, bits, window, _, urgent = \
        struct.unpack_from("!HHIIBBHHH", data)
    size = (offset >> 4) * 4
    tcp = {"from": source, "to": destination, "seq": sequence, "flags": bits, "win": window, "len": len(data) - size,
           "payload": data[size:], "checksum": "good" if checksum(pseudo + data) == 0 else "bad"}
    if bits & FLAGS["ACK"]:
        tcp["ack"] = acknowledgement
    if bits & FLAGS["URG"]:
        tcp["urg"] = urgent
    receive_tcp_options(tcp, data[20:size])
    packet.update(kind="tcp", tcp=tcp)


def receive_tcp_options(tcp, data):
    at = 0
    while at < len(data) and data[at] != 0:
        if data[at] == 1:
            at += 1
            continue
        if at + 1 == len(data) or data[at + 1] < 2 or at + data[at + 1] > len(data):
            tcp["malformed"] = True
            return
        kind, value = data[at], data[at + 2:at + data[at + 1]]
        at += data[at + 1]
        if kind == 2 and len(value) == 2:
            tcp["mss"] = struct.unpack("!H", value)[0]
        elif kind == 3 and len(value) == 1:
            tcp["ws"] = value[0]
        elif kind == 4:
            tcp["sackok"] = True
        elif kind == 5:
            tcp["sack"] = [struct.unpack_from("!II", value, i) for i in range(0, len(value) - 7, 8)]
        elif kind == 8 and len(value) == 8:
            tcp["ts"] = struct.unpack("!II", value)
        elif kind == 34:
            tcp["cookie"] = value.hex() or "ask"
        else:
            tcp.setdefault("others", []).append((kind, value))


def receive_udp(packet, data, pseudo):
    if len(data) < 8:
        return
    source, destination, length, sent = struct.unpack_from("!HHHH", data)
    good = "none" if sent == 0 else "good" if checksum(pseudo + data) == 0 else "bad"
    packet.update(kind="udp", udp={"ports": (source, destination), "length": length, "len": len(data) - 8,
                                   "payload": data[8:], "checksum": good})


def receive_icmp(packet, data, _):
    if len(data) < 8:
        return
    kind, code, _, high, low = struct.unpack_from("!BBHHH", data)
    packet.update(kind="icmp", icmp={"type": kind, "code": code, "id": high, "seq": low, "mtu": low, "pointer": high >> 8,
                                     "gateway": str(ipaddress.ip_address(data[4:8])), "len": len(data) - 8,
                                     "payload": data[8:], "checksum": "good" if checksum(data) == 0 else "bad"})


def receive_icmp6(packet, data, pseudo):
    if len(data) < 8:
        return
    kind, code, _, high, low = struct.unpack_from("!BBHHH", data)
    icmp = {"type": kind, "code": code, "id": high, "seq": low, "mtu": high << 16 | low, "pointer": high << 16 | low,
            "len": len(data) - 8, "payload": data[8:], "checksum": "good" if checksum(pseudo + data) == 0 else "bad"}
    if kind in (135, 136) and len(data) >= 24:
        icmp["target"] = str(ipaddress.ip_address(data[8:24]))
        icmp["flags"] = "+".join(n for n, b in (("R", 0x8000), ("S", 0x4000), ("O", 0x2000)) if high & b) or "none"
    packet.update(kind="icmp6", icmp6=icmp)
