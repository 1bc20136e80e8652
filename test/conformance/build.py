# SPDX-License-Identifier: ISC
"""The tester's packets: fields -> bytes. `world` holds addresses, flows and what was seen so far (see player.py)."""
import ipaddress
import struct

from packet import (BROADCAST_MAC, FLAGS, PROTOCOLS, Bad, TESTER_MAC, checksum, mac_bytes, pattern)


def one(value, what):
    """A field's number; a range makes no sense in what is sent."""
    if isinstance(value, tuple):
        raise Bad(f"'{what}' wants one number in a packet that is sent")
    return value


def send(packet, world):
    """The frame of a packet in the language of the traces."""
    if packet["kind"] == "arp":
        return send_arp(packet["arp"], world)
    ip = packet["ip"]
    source, destination = world.address(ip.get("src", "tester")), world.address(ip.get("dst", "station"))
    protocol = one(ip.get("proto", PROTOCOLS.get(packet["kind"], 253)), "proto")
    if packet["kind"] == "ip":
        payload = pattern(0, one(ip.get("data", 0), "data"))
    else:
        payload = TRANSPORTS[packet["kind"]](packet[packet["kind"]], world, source, destination)
    header = send_ip6 if ipaddress.ip_address(source).version == 6 else send_ip
    data = header(ip, source, destination, protocol, payload, packet.get("fragment"), world)
    if "cut" in ip:
        data = data[:one(ip["cut"], "cut")]
    world.sent.append(data)
    target = ip.get("to-mac", "station")
    target = {"station": world.station_mac, "broadcast": BROADCAST_MAC}.get(target, target)
    ether_type = 0x86dd if header is send_ip6 else 0x0800
    return mac_bytes(target) + mac_bytes(TESTER_MAC) + struct.pack("!H", ether_type) + data + \
        bytes(one(ip.get("pad", 0), "pad"))


def send_arp(arp, world):
    zero = "00:00:00:00:00:00"
    request = arp["type"] == 1
    data = struct.pack("!HHBBH", one(arp.get("hardware", 1), "hardware"), one(arp.get("protocol", 0x800), "protocol"),
                       6, 4, arp["type"])
    names = {"tester": TESTER_MAC, "station": world.station_mac, "zero": zero, "broadcast": BROADCAST_MAC}
    def mac(field, default):
        word = arp.get(field, default)
        return mac_bytes(names.get(word, word))
    data += mac("sha", "tester") + ipaddress.ip_address(world.address(arp.get("spa", "tester"))).packed
    data += mac("tha", "zero" if request else "station") + ipaddress.ip_address(
        world.address(arp.get("tpa", "station"))).packed
    return mac("to-mac", "broadcast" if request else "station") + mac("sha", "tester") + struct.pack("!H", 0x806) + \
        data + bytes(18)


def send_ip(ip, source, destination, protocol, payload, fragment, world):
    options = ip.get("options", b"")
    identification = one(ip.get("id", world.next_id()), "id")
    bits = (0x8000 if "reserved" in ip else 0) | (0x4000 if "df" in ip else 0) | (0x2000 if "mf" in ip else 0)
    offset = one(ip.get("offset", 0), "offset")
    if fragment:
        identification = fragment.get("id", identification)
        offset = fragment["from"]
        if fragment.get("mf", fragment["to"] < len(payload)):
            bits |= 0x2000
        payload = payload[fragment["from"]:fragment["to"]].ljust(fragment["to"] - fragment["from"], b"\0")
        if "fill" in fragment:
            payload = bytes([fragment["fill"]]) * len(payload)
    ihl = one(ip.get("ihl", 5 + len(options) // 4), "ihl")
    total = one(ip.get("total", 20 + len(options) + len(payload)), "total")
    header = struct.pack("!BBHHHBBH", one(ip.get("version", 4), "version") << 4 | ihl, one(ip.get("tos", 0), "tos"), total,
                         identification, bits | offset // 8, one(ip.get("ttl", 64), "ttl"), protocol, 0)
    header += ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + options
    sum_of = checksum(header) if ip.get("checksum") != "bad" else checksum(header) ^ 0x1234
    return header[:10] + struct.pack("!H", sum_of) + header[12:] + payload


def send_ip6(ip, source, destination, protocol, payload, fragment, world):
    if fragment:
        more = fragment.get("mf", fragment["to"] < len(payload))
        extension = struct.pack("!BBHI", protocol, 0, fragment["from"] | more, fragment.get("id", world.next_id()))
        payload = payload[fragment["from"]:fragment["to"]].ljust(fragment["to"] - fragment["from"], b"\0")
        if "fill" in fragment:
            payload = bytes([fragment["fill"]]) * len(payload)
        payload, protocol = extension + payload, 44
    payload = ip.get("options", b"") + payload  # extension headers, whole; `proto` is then the first one's
    return struct.pack("!IHBB", one(ip.get("version", 6), "version") << 28 | one(ip.get("tos", 0), "tos") << 20,
                       one(ip.get("total", 40 + len(payload)), "total") - 40, protocol,
                       one(ip.get("ttl", 64), "ttl")) + \
        ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + payload


def pseudo_header(source, destination, protocol, length):
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    return ends + (struct.pack("!II", length, protocol) if len(ends) == 32 else struct.pack("!BBH", 0, protocol, length))


def with_checksum(data, at, fields, pseudo):
    """Puts the checksum in; `checksum bad` one that is wrong, `checksum none` zero."""
    kind = fields.get("checksum", "good")
    if kind not in ("good", "bad", "none"):
        raise Bad(f"a checksum is good, bad or none, not '{kind}'")
    value = checksum(pseudo + data) or 0xffff
    value = {"good": value, "bad": value ^ 0x1234, "none": 0}[kind]
    return data[:at] + struct.pack("!H", value) + data[at + 2:]


def send_tcp(tcp, world, source, destination):
    flow = world.flow(tcp["flow"])
    bits = tcp["flags"]
    if bits & FLAGS["SYN"]:
        flow.syn_sent = True
    window = one(tcp.get("win", 10000), "win")
    options = tcp_options(tcp, flow, world)
    header = 20 + len(options)
    acknowledgement = (flow.station_isn + one(tcp.get("ack", 0), "ack")) & 0xffffffff if "ack" in tcp else 0
    if bits & FLAGS["ACK"] and "ack" not in tcp:
        raise Bad("a segment with ACK wants an 'ack N'")
    start = one(tcp.get("seq", 0), "seq")
    length = one(tcp.get("len", 0), "len")
    place = one(tcp["at"], "at") if "at" in tcp else max(start - (0 if bits & FLAGS["SYN"] else 1), 0)
    data = struct.pack("!HHIIBBHHH", one(tcp.get("from", flow.tester_port), "from"),
                       one(tcp.get("to", flow.station_port), "to"), (flow.tester_isn + start) & 0xffffffff,
                       acknowledgement, one(tcp.get("offset", header), "offset") // 4 << 4, bits, window, 0,
                       one(tcp.get("urg", 0), "urg")) + options + pattern(place, length)
    return with_checksum(data, 16, tcp, pseudo_header(source, destination, 6, len(data)))


def tcp_options(tcp, flow, world):
    data = b""
    if "mss" in tcp:
        data += struct.pack("!BBH", 2, 4, one(tcp["mss"], "mss"))
    if "sackok" in tcp:
        data += b"\1\1\4\2"
    if "ts" in tcp:
        value, _, echo = tcp["ts"].partition("/")
        data += struct.pack("!BBBBII", 1, 1, 8, 10, int(value), int(echo) if echo else flow.station_time)
    if "ws" in tcp:
        data += struct.pack("!BBBB", 1, 3, 3, one(tcp["ws"], "ws"))
    if "sack" in tcp:
        blocks = [tuple(int(edge) for edge in block.split("-")) for block in tcp["sack"].split(",")]
        data += struct.pack("!BBBB", 1, 1, 5, 2 + 8 * len(blocks))
        for block in blocks:
            data += struct.pack("!II", *((flow.station_isn + edge) & 0xffffffff for edge in block))
    if "cookie" in tcp:
        cookie = {"ask": "", "learnt": world.cookie}.get(tcp["cookie"], tcp["cookie"])
        data += struct.pack("!BB", 34, 2 + len(cookie) // 2) + bytes.fromhex(cookie)
    data += tcp.get("option", b"")
    return data + bytes(-len(data) % 4)


def send_udp(udp, world, source, destination):
    length = one(udp.get("len", 0), "len")
    data = struct.pack("!HHHH", *udp["ports"], one(udp.get("length", 8 + length), "length"), 0)
    data += pattern(one(udp.get("at", 0), "at"), length)
    return with_checksum(data, 6, udp, pseudo_header(source, destination, 17, len(data)))


def quoted(icmp, world):
    """The packet that an error quotes: the header and eight bytes (`len N`: N bytes) of one that was received."""
    if icmp.get("quoting", "last") != "last":
        raise Bad("an error that is sent can quote only the 'last' packet that was received")
    if world.last_received is None:
        raise Bad("nothing was received that could be quoted")
    data = world.last_received["frame"][14:]
    data = data[:one(icmp.get("len", 28), "len")]
    if "shift" in icmp:  # a sequence number that was never sent
        at = 24 if data[0] >> 4 == 4 else 44
        value = struct.unpack_from("!I", data, at)[0] + one(icmp["shift"], "shift")
        data = data[:at] + struct.pack("!I", value & 0xffffffff) + data[at + 4:]
    return data


def send_icmp(icmp, world, source, destination):
    kind = icmp["type"]
    code = icmp_code(icmp.get("code", "0"))
    if kind in (3, 4, 5, 11, 12):
        rest = struct.pack("!HH", 0, one(icmp.get("mtu", 0), "mtu"))
        if "pointer" in icmp:
            rest = struct.pack("!BBH", one(icmp["pointer"], "pointer"), 0, 0)
        if "gateway" in icmp:
            rest = ipaddress.ip_address(world.address(icmp["gateway"])).packed
        body = b"" if "no-quote" in icmp else quoted(icmp, world)
    else:
        rest = struct.pack("!HH", one(icmp.get("id", 1), "id"), one(icmp.get("seq", 1), "seq"))
        body = pattern(0, one(icmp.get("len", 0), "len"))
    return with_checksum(struct.pack("!BBH", kind, code, 0) + rest + body, 2, icmp, b"")


def send_icmp6(icmp, world, source, destination):
    kind = icmp["type"]
    code = icmp_code(icmp.get("code", "0"))
    if kind < 128:
        rest = struct.pack("!I", one(icmp.get("mtu", icmp.get("pointer", 0)), "mtu"))
        body = b"" if "no-quote" in icmp else quoted({**icmp, "len": icmp.get("len", 48)}, world)
    elif kind in (135, 136):
        bits = sum({"R": 1 << 31, "S": 1 << 30, "O": 1 << 29, "none": 0}[f] for f in icmp.get("flags", "none").split("+"))
        rest = struct.pack("!I", bits)
        body = ipaddress.ip_address(world.address(icmp.get("target", "station"))).packed
    elif kind == 134:
        rest, body = struct.pack("!BBH", 64, 0, 1800), bytes(8)
    else:
        rest = struct.pack("!HH", one(icmp.get("id", 1), "id"), one(icmp.get("seq", 1), "seq"))
        body = pattern(0, one(icmp.get("len", 0), "len"))
    data = struct.pack("!BBH", kind, code, 0) + rest + body + icmp.get("option", b"")
    return with_checksum(data, 2, icmp, pseudo_header(source, destination, 58, len(data)))


def icmp_code(word):
    from packet import ICMP_CODES
    if word in ICMP_CODES:
        return ICMP_CODES[word]
    if not word.isdigit():
        raise Bad(f"'{word}' is no code of ICMP: {', '.join(ICMP_CODES)} or a number")
    return int(word)


TRANSPORTS = {"tcp": send_tcp, "udp": send_udp, "icmp": send_icmp, "icmp6": send_icmp6}
