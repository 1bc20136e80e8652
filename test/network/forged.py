# SPDX-License-Identifier: ISC
"""What no operating system would send: frames byte by byte, a peer of TCP that does as it likes, floods."""
import ctypes
import socket
import struct
import time

from harness import GUEST, check, wait_until

EVIL_MAC = bytes.fromhex("020000000066")
EVIL, EVIL6 = "10.0.0.66", "2001:db8::66"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86dd
SOL_PACKET, PACKET_QDISC_BYPASS, SO_ATTACH_FILTER = 263, 20, 26


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ipv4(source, protocol, payload, *, destination=GUEST, identification=1, fragment=0, options=b"", version=4, length=None, spoil=0):
    words = 5 + len(options) // 4
    total = 4 * words + len(payload) if length is None else length
    header = struct.pack(">BBHHHBBH4s4s", version << 4 | words, 0, total, identification, fragment, 64, protocol, 0,
                         packed(source), packed(destination)) + options
    return header[:10] + struct.pack(">H", checksum(header) ^ spoil) + header[12:] + payload


def ipv6(source, destination, next_header, payload, hops=255):
    return struct.pack(">IHBB", 6 << 28, len(payload), next_header, hops) + packed(source) + packed(destination) + payload


def summed(source, destination, protocol, message, at, spoil=0):
    """The message with the checksum of its pseudo-header and itself at `at`."""
    pseudo = packed(source) + packed(destination) + struct.pack(">II", len(message), protocol)
    return message[:at] + struct.pack(">H", checksum(pseudo + message) ^ spoil) + message[at + 2:]


def tcp(source, from_port, port, sequence, acknowledgement, flags, *, window=0xffff, options=b"", text=b"", words=None, spoil=0):
    words = 5 + len(options) // 4 if words is None else words
    message = struct.pack(">HHIIBBHHH", from_port, port, sequence & 0xffffffff, acknowledgement & 0xffffffff, words << 4, flags,
                          window, 0, 0) + options + text
    return ipv4(source, 6, summed(source, GUEST, 6, message, 16, spoil))


def arp(operation, sender_mac, sender, target):
    return struct.pack(">HHBBH6s4s6s4s", 1, IPV4, 6, 4, operation, sender_mac, packed(sender), bytes(6), packed(target))


def discovery(kind, source, destination, flags, target, option, mac, hops=255):
    message = struct.pack(">BBHI", kind, 0, 0, flags << 24) + packed(target) + struct.pack(">BB6s", option, 1, mac)
    return ipv6(source, destination, 58, summed(source, destination, 58, message, 2), hops)


class Wire:
    """Frames to the guest, as if they came from the network."""

    def __init__(self, interface, guest_mac):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        self.socket.bind((interface, 0))
        self.guest_mac = guest_mac

    def frame(self, kind, packet, source=EVIL_MAC, destination=None):
        return (destination or self.guest_mac) + source + struct.pack(">H", kind) + packet

    def send(self, kind, packet, **given):
        """1: how many frames that were."""
        frame = self.frame(kind, packet, **given)
        while True:
            try:
                self.socket.send(frame)
                return 1
            except OSError as error:  # the tap is full: it has not gone
                check(error.errno == 105, str(error))
                time.sleep(0.001)


class Ears:
    """What the guest sends to EVIL_MAC, sorted by the port that it is for."""
    # Two loads and comparisons of the destination.
    FILTER = [(0x20, 0, 0, 0), (0x15, 0, 3, int.from_bytes(EVIL_MAC[:4], "big")), (0x28, 0, 0, 4),
              (0x15, 0, 1, int.from_bytes(EVIL_MAC[4:], "big")), (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0)]

    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *word) for word in self.FILTER))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(self.FILTER), ctypes.addressof(program)))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind((interface, IPV4))
        self.socket.setblocking(False)
        self.peers = {}

    def listen(self):
        while True:
            try:
                frame = self.socket.recv(1 << 17)
            except BlockingIOError:
                return
            packet = frame[14:]
            header = 4 * (packet[0] & 15)
            peer = self.peers.get(int.from_bytes(packet[header + 2:header + 4], "big")) if packet[9] == 6 else None
            if peer is not None:
                peer.hear(packet[header:int.from_bytes(packet[2:4], "big")])


class Peer:
    """A connection of EVIL's that does as it is told: no timer, no retransmission, no answer by itself."""
    next_port = 20000

    def __init__(self, lab, window=0xffff, to=80, options=b""):
        Peer.next_port += 1
        self.lab, self.port, self.to, self.flags = lab, Peer.next_port, to, 0
        self.own, self.next = 1000 * self.port, None  # what we send next; what the guest sends next
        self.text = bytearray()  # what it has sent, in order
        lab.ears.peers[self.port] = self
        self.send(SYN, window=window, options=b"\x02\x04\x05\xb4" + options)
        self.own += 1
        wait_until(lambda: lab.ears.listen() or self.next is not None, 10, "a SYN,ACK")
        check(self.flags == SYN | ACK, f"flags {self.flags}")
        self.send(ACK, window=window)
        self.first = self.next

    def hear(self, segment):
        sequence, offset, self.flags = (int.from_bytes(segment[4:8], "big"), segment[12] >> 4, segment[13])
        end = sequence + len(segment) - 4 * offset + bool(self.flags & SYN) + bool(self.flags & FIN)
        if sequence == self.next:
            self.text += segment[4 * offset:]
        if self.next is None or (end - self.next) & 0xffffffff < 1 << 31:
            self.next = end & 0xffffffff

    def send(self, flags=ACK, *, ahead=0, beyond=0, **given):
        """A segment at our next number plus `ahead`, that acknowledges `beyond` what has come (less than 0: not all)."""
        return self.lab.wire.send(IPV4, tcp(EVIL, self.port, self.to, self.own + ahead, (self.next or 0) + beyond, flags, **given))

    def ask(self, path, **given):
        text = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        self.send(text=text, **given)
        self.own += len(text)
        return len(text)

    def came(self):
        return (self.next - self.first) & 0xffffffff

    def end(self):
        self.send(RST)
        del self.lab.ears.peers[self.port]


class Flood:
    """SYNs from far addresses, as fast as the kernel takes them (sendmmsg)."""
    COUNT, BURST = 16384, 32

    class Message(ctypes.Structure):
        _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("vector", ctypes.c_void_p),
                    ("vector_length", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                    ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]

    def __init__(self, wire):
        self.wire, self.at = wire, 0
        self.libc = ctypes.CDLL(None, use_errno=True)
        one = wire.frame(IPV4, tcp("198.18.0.1", 0, 80, 1, 0, SYN, options=b"\x02\x04\x05\xb4"))
        # Port and (unused) urgent pointer: together always 0xffff, so that the checksum stays right.
        frames = b"".join(one[:34] + struct.pack(">H", port) + one[36:52] + struct.pack(">H", 0xffff - port) + one[54:]
                          for port in range(1024, 1024 + self.COUNT))
        self.frames = ctypes.create_string_buffer(frames)
        base, size = ctypes.addressof(self.frames), len(one)
        self.vectors = (ctypes.c_size_t * (2 * self.COUNT))()
        for i in range(self.COUNT):
            self.vectors[2 * i], self.vectors[2 * i + 1] = base + i * size, size
        vectors = ctypes.addressof(self.vectors)
        self.messages = (self.Message * self.COUNT)()
        for i, message in enumerate(self.messages):
            message.vector, message.vector_length = vectors + 16 * i, 1
        self.start, self.step = ctypes.addressof(self.messages), ctypes.sizeof(self.Message)

    def burst(self):
        """How many have gone; those beyond the first thousand are sent again and again: none of them is kept."""
        count = min(self.BURST, self.COUNT - self.at)
        sent = max(0, self.libc.sendmmsg(self.wire.socket.fileno(), ctypes.c_void_p(self.start + self.at * self.step), count, 0))
        self.at += sent
        if self.at == self.COUNT:
            self.at = 1024
        return sent

    def send(self, seconds, rate=None):
        begin, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            if rate is not None and sent > passed * rate:
                time.sleep(0.0002)
            else:
                sent += self.burst()
        return sent
