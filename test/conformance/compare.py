# SPDX-License-Identifier: ISC
"""Packets that arrive: as text in the language of the traces, and against what a trace wants."""
from build import icmp_code
from packet import ARP_OPERATIONS, FLAGS, ICMP6_TYPES, ICMP_CODES, ICMP_TYPES, pattern

ALWAYS_IGNORED = FLAGS["PSH"]  # when to push is the sender's business


def relative(value, base):
    """A sequence number as traces count them: from the flow's first, as a signed distance."""
    distance = (value - base) & 0xffffffff
    return distance - (1 << 32) if distance >> 31 else distance


def related(packet, world):
    """A received packet with a flow's numbers in place of the wire's."""
    if packet["kind"] != "tcp":
        return packet
    tcp = dict(packet["tcp"])
    flow = world.flow_of(packet)
    if flow is None:
        return packet
    tcp["flow"] = flow.name
    tcp["seq"] = relative(tcp["seq"], flow.station_isn)
    if "ack" in tcp:
        tcp["ack"] = relative(tcp["ack"], flow.tester_isn)
    if "sack" in tcp:
        tcp["sack"] = [tuple(relative(edge, flow.tester_isn) for edge in block) for block in tcp["sack"]]
    return {**packet, "tcp": tcp}


def flags_text(bits):
    order = ("SYN", "FIN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
    return "+".join(name for name in order if bits & FLAGS[name]) or "none"


def name_of(names, value):
    return next((name for name, number in names.items() if number == value), str(value))


def text(packet, world):
    """One line in the language of the traces."""
    packet = related(packet, world)
    kind = packet["kind"]
    if kind == "other":
        return f"frame of {len(packet['frame'])} bytes from {packet['from-mac']}"
    if kind == "arp":
        arp = packet["arp"]
        return f"arp {name_of(ARP_OPERATIONS, arp['type'])} sha {arp['sha']} spa {arp['spa']} tpa {arp['tpa']}"
    ip = packet["ip"]
    plain = kind == "ip" or ip.get("mf") or ip.get("offset")
    line = "" if not plain else f"ip proto {ip['proto']} data {ip['data']}"
    if plain and "offset" in ip:
        line += f" id {ip['id']} offset {ip['offset']}" + (" mf" if ip.get("mf") else "")
    if ip["src"] != world.address("station") or ip["dst"] != world.address("tester"):
        line = (line or "ip") + f" src {ip['src']} dst {ip['dst']}"
    if kind == "ip":
        return line
    return f"{line} {TEXTS[kind](packet[kind])}".strip()


def tcp_text(tcp):
    line = f"tcp{':' + tcp['flow'] if tcp.get('flow', 'a') != 'a' else ''} {flags_text(tcp['flags'])} seq {tcp['seq']}"
    for name in ("ack", "len", "win", "urg", "mss", "ws"):
        if name in tcp and not (name == "len" and tcp["len"] == 0):
            line += f" {name} {tcp[name]}"
    line += " sackok" if "sackok" in tcp else ""
    line += f" ts {tcp['ts'][0]}/{tcp['ts'][1]}" if "ts" in tcp else ""
    line += " sack " + ",".join(f"{a}-{b}" for a, b in tcp["sack"]) if "sack" in tcp else ""
    line += f" from {tcp['from']} to {tcp['to']}" if "flow" not in tcp else ""
    return line + (" checksum bad" if tcp["checksum"] != "good" else "")


def udp_text(udp):
    return f"udp {udp['ports'][0]}>{udp['ports'][1]} len {udp['len']}" + \
        (f" checksum {udp['checksum']}" if udp["checksum"] != "good" else "")


def icmp_text(icmp, names=ICMP_TYPES, word="icmp"):
    line = f"{word} {name_of(names, icmp['type'])}"
    if icmp["code"] != 0 or icmp["type"] in (1, 3, 11):
        line += f" code {icmp['code']}"
    fields = ("id", "seq") if icmp["type"] in (0, 8, 13, 14, 128, 129) else ("mtu",) if icmp["mtu"] else ()
    fields += ("target", "flags") if "target" in icmp else ()
    return line + "".join(f" {name} {icmp[name]}" for name in fields) + f" len {icmp['len']}"


TEXTS = {"tcp": tcp_text, "udp": udp_text, "icmp": icmp_text,
         "icmp6": lambda icmp: icmp_text(icmp, ICMP6_TYPES, "icmp6")}


def matches(wanted, value):
    """A number against a number or a range."""
    if isinstance(wanted, tuple):
        return wanted[0] <= value <= wanted[1]
    return wanted == value


def differences(wanted, packet, world):
    """Why a received packet is not the wanted one; empty: it is. Only what the trace mentions is compared, with the
    flags and the length of TCP, which are always meant, and the content, which is always the pattern."""
    packet = related(packet, world)
    kind = wanted["kind"]
    if kind != packet["kind"] and not (kind == "ip" and "ip" in packet):
        return [f"is {packet['kind']}, not {kind}"]
    found = []
    for section in ("ip", kind):
        fields = wanted.get(section, {})
        for name, value in fields.items():
            if name in ("no", "flow", "shift"):
                continue
            problem = CHECKS.get((section, name), check_field)(name, value, packet[section], world)
            found += [problem] if problem else []
        for name in fields.get("no", []):
            if name in packet[section]:
                found.append(f"has {name}")
    if kind == "tcp":
        found += tcp_differences(wanted["tcp"], packet["tcp"])
    if kind in ("tcp", "udp", "icmp", "icmp6") and packet[kind]["checksum"] == "bad":
        found.append("the checksum is wrong")
    return found


def tcp_differences(wanted, tcp):
    found = []
    if wanted["flow"] != tcp.get("flow"):
        found.append(f"belongs to flow {tcp.get('flow', 'none')}")
    if "len" not in wanted and tcp["len"] != 0:
        found.append(f"has {tcp['len']} bytes of text")
    if tcp["len"] and not tcp.get("flags", 0) & FLAGS["SYN"] and tcp["seq"] > 0 and \
            tcp["len"] > 1 and tcp["payload"] != pattern(tcp["seq"] - 1, tcp["len"]):
        found.append("the text is not what the application wrote")
    if tcp.get("malformed"):
        found.append("the options are malformed")
    return found


def check_field(name, wanted, section, _):
    if name not in section:
        return None if wanted is False else f"has no {name}"
    got = section[name]
    if isinstance(wanted, (int, tuple)) and not isinstance(wanted, bool):
        return None if matches(wanted, got) else f"{name} is {got}"
    return None if wanted == got else f"{name} is {got}"


def check_cookie(_, wanted, section, __):
    """RFC 7413: `ask`, `any`, or digits."""
    got = section.get("cookie", "none")
    return None if got == wanted or (wanted == "any" and got not in ("none", "ask")) else f"cookie is {got}"


def check_flags(_, wanted, section, __):
    ignored = 0 if wanted & ALWAYS_IGNORED else ALWAYS_IGNORED
    return None if section["flags"] | ignored == wanted | ignored else f"flags are {flags_text(section['flags'])}"


def check_sack(_, wanted, section, __):
    blocks = [tuple(int(edge) for edge in block.split("-")) for block in wanted.split(",")]
    return None if section.get("sack") == blocks else f"sack is {section.get('sack', 'missing')}"


def check_timestamp(_, wanted, section, __):
    if "ts" not in section:
        return "has no timestamps"
    value, _, echo = wanted.partition("/")
    fits = value in ("any", str(section["ts"][0])) and echo in ("", "any", str(section["ts"][1]))
    return None if fits else f"ts is {section['ts'][0]}/{section['ts'][1]}"


def check_ports(_, wanted, section, __):
    got = section["ports"]
    return None if got == wanted else f"ports are {got[0]}>{got[1]}"


def check_code(_, wanted, section, __):
    return None if section["code"] == icmp_code(wanted) else f"code is {section['code']}"


def check_address(name, wanted, section, world):
    return None if section[name] == world.address(wanted) else f"{name} is {section[name]}"


def check_mac(name, wanted, section, world):
    names = {"tester": "02:00:00:00:00:01", "station": world.station_mac, "broadcast": "ff:ff:ff:ff:ff:ff",
             "zero": "00:00:00:00:00:00"}
    return None if section[name] == names.get(wanted, wanted) else f"{name} is {section[name]}"


def check_quote(_, wanted, section, world):
    """`quoting sent`: the payload begins with a packet that the tester sent, whatever happened to its TTL."""
    quote = section["payload"]
    for data in world.sent:
        size = min(len(quote), len(data))
        six = data[0] >> 4 == 6
        at = range(size) if six else (i for i in range(size) if i not in (8, 10, 11))
        if size >= (48 if six else min(28, len(data))) and all(quote[i] == data[i] for i in at if not (six and i == 7)):
            return None
    return "quotes nothing that was sent"


CHECKS = {("tcp", "flags"): check_flags, ("tcp", "cookie"): check_cookie, ("tcp", "sack"): check_sack, ("tcp", "ts"): check_timestamp,
          ("udp", "ports"): check_ports, ("icmp", "code"): check_code, ("icmp6", "code"): check_code, ("ip", "src"): check_address,
          ("ip", "dst"): check_address, ("arp", "spa"): check_address, ("arp", "tpa"): check_address,
          ("icmp6", "target"): check_address, ("icmp", "gateway"): check_address, ("arp", "sha"): check_mac,
          ("arp", "tha"): check_mac, ("arp", "to-mac"): check_mac, ("ip", "to-mac"): check_mac,
          ("icmp", "quoting"): check_quote, ("icmp6", "quoting"): check_quote}
