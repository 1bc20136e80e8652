# SPDX-License-Identifier: ISC
"""The machines that traces are played on: our stack in virtual time, our stack behind a tap, and Linux behind a tap.
The last two live in a network namespace of their own that ends with the process."""
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import time
from collections import deque
from pathlib import Path

from packet import ADDRESSES, ADDRESSES6, TESTER_MAC, pattern

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
TAP = "station0"
CALLS_THAT_WAIT = ("accept", "connected", "fails", "read", "written", "datagram", "none")


class Unusable(Exception):
    """This machine cannot be had here."""


def station_options(case):
    """What the command line of station says about the stack."""
    names = ("window", "mtu", "connections", "family", "fast-open")
    return [f"--{name}={case.options[name]}" for name in names if name in case.options]


class Station:
    """Our stack in a process that is told, line by line, what arrives and what its application does."""
    name = "mirage"
    mac = "02:00:00:00:00:02"

    def __init__(self, command, inherited=()):
        self.frames, self.events = deque(), {}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                                        pass_fds=inherited)
        self.rest = b""

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        status = self.process.wait(10)
        if status != 0:
            raise Unusable(f"the station ended with status {status}")

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    def lines(self):
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            raise Unusable(f"the station ended, status {self.process.wait()}")
        *complete, self.rest = (self.rest + data).split(b"\n")
        return [line.decode() for line in complete]

    def take(self, line):
        """frame TIME HEX, or event NAME CALL TEXT."""
        kind, first, rest = line.split(" ", 2)
        if kind == "frame":
            self.frames.append((int(first) / 1e9, bytes.fromhex(rest)))
        elif kind == "event":
            call, text = rest.split(" ", 1)
            self.events[first, call] = text
        elif first == "[net]" and " is " in rest:  # the log of the stack tells the address of its device
            self.mac = rest.split()[0]

    def app(self, name, call, words):
        alias = {"connected": None, "fails": None, "datagram": None, "none": None}
        if call in alias:
            return self.pending(name, call)
        if call == "connect":
            self.tell(f"connect {name} {' '.join(words)}")
        else:
            self.tell(" ".join([call, name, *words]))
        self.after_call()
        return None if call in CALLS_THAT_WAIT else "done"

    def pending(self, name, call):
        """`connected`, `fails` and `datagram` wait for an event that an earlier call leads to."""
        return None

    def after_call(self):
        pass


class Virtual(Station):
    """Time stands still but in wait()."""
    real, backend = False, "simulator"

    def __init__(self, program, case):
        self.clock = 0  # nanoseconds
        super().__init__([program, "virtual", *station_options(case)])
        self.until_done()

    def until_done(self):
        while True:
            for line in self.lines():
                if line.startswith("done "):
                    self.clock = int(line.split()[1])
                    return
                self.take(line)

    def now(self):
        return self.clock / 1e9

    def send(self, frame):
        self.tell(f"frame {frame.hex()}")
        self.until_done()

    def after_call(self):
        self.until_done()

    def wait(self, seconds, enough):
        """Runs from event to event until it is enough or the time is over."""
        end = self.clock + round(seconds * 1e9)
        while not enough() and self.clock < end:
            self.tell(f"run {end - self.clock}")
            self.until_done()
        enough()


def enter_namespace():
    """A network namespace of this process; without root in a user namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | (0 if os.geteuid() == 0 else CLONE_NEWUSER)) != 0:
        raise Unusable(f"no network namespace: {os.strerror(ctypes.get_errno())}")


def set_sysctl(name, value):
    path = Path("/proc/sys") / name
    if path.exists():
        path.write_text(str(value))


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unusable(f"ip {' '.join(words)}: {done.stderr.strip()}")


def open_tap():
    """A tap that carries plain frames: nothing is left to offloads, which the tester would have to undo."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", TAP.encode(), 0x1002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
    return tap


class Real:
    """What the two machines with a real clock share."""
    real = True

    def now(self):
        return time.monotonic()

    def wait(self, seconds, enough):
        end = time.monotonic() + seconds
        while not enough():
            left = end - time.monotonic()
            if left <= 0:
                return
            self.pump(min(left, 0.02))


class Tap(Real, Station):
    """Our stack behind a tap, through the target unix; the tester is a packet socket on the tap's other side."""
    backend = "tap"

    def __init__(self, program, case):
        enter_namespace()
        tap = open_tap()
        set_sysctl(f"net/ipv6/conf/{TAP}/disable_ipv6", 1)
        ip("link", "set", TAP, "address", TESTER_MAC, "promisc", "on", "up")
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((TAP, 0))
        self.socket.setblocking(False)
        Station.__init__(self, [program, "tap", f"--net:service=@{tap}", *station_options(case)], (tap,))
        os.close(tap)
        end = time.monotonic() + 10
        while ("-", "started") not in self.events:
            self.pump(0.02)
            if time.monotonic() > end:
                raise Unusable("the station does not start")
        self.frames.clear()
        self.told = 0

    def tell(self, line):
        self.told += 1
        Station.tell(self, line)

    def app(self, name, call, words):
        """A port is open, or closed, before anything is sent to it: frames do not wait for the pipe of calls."""
        outcome = Station.app(self, name, call, words)
        end = time.monotonic() + 10
        while call in ("listen", "unlisten", "bind") and self.events.get(("-", "performed")) != str(self.told):
            self.pump(0.02)
            if time.monotonic() > end:
                raise Unusable("the station does not perform what it is told")
        return outcome

    def send(self, frame):
        self.socket.send(frame)

    def pump(self, seconds):
        ready, _, _ = select.select([self.socket, self.process.stdout], [], [], seconds)
        if self.process.stdout in ready:
            for line in self.lines():
                self.take(line)
        while self.socket in ready:
            try:
                frame, address = self.socket.recvfrom(1 << 16)
            except BlockingIOError:
                break
            if address[2] != socket.PACKET_OUTGOING:
                self.frames.append((time.monotonic(), frame))


ERRORS = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.ETIMEDOUT: "timed out", errno.EPIPE: "closed",
          errno.EHOSTUNREACH: "unreachable", errno.ENETUNREACH: "unreachable", errno.ENOPROTOOPT: "unreachable",
          errno.EMSGSIZE: "datagram too long"}


class Linux(Real):
    """The kernel behind a tap; its sockets are this process's."""
    name = backend = "linux"

    def __init__(self, _, case):
        enter_namespace()
        self.frames, self.events, self.sockets, self.reading, self.waiting = deque(), {}, {}, {}, []
        self.tap = open_tap()
        self.family = socket.AF_INET6 if case.options.get("family") == "6" else socket.AF_INET
        for name, value in (("autoconf", 0), ("accept_ra", 0), ("accept_dad", 0), ("router_solicitations", 0)):
            set_sysctl(f"net/ipv6/conf/{TAP}/{name}", value)
        for name, value in (("icmp_ratelimit", 0), ("tcp_no_metrics_save", 1)):
            set_sysctl(f"net/ipv4/{name}", value)
        self.fast_open = "fast-open" in case.options
        if self.fast_open:
            set_sysctl("net/ipv4/tcp_fastopen", 3)
        if self.family == socket.AF_INET:
            set_sysctl(f"net/ipv6/conf/{TAP}/disable_ipv6", 1)
        ip("link", "set", TAP, "address", Station.mac, "mtu", case.options.get("mtu", "1500"), "up")
        ip("link", "set", "lo", "up")
        if self.family == socket.AF_INET:
            ip("addr", "add", ADDRESSES["station"] + "/24", "brd", "+", "dev", TAP)
            ip("route", "add", "default", "via", ADDRESSES["tester"])
        else:
            ip("addr", "add", ADDRESSES6["station"] + "/64", "dev", TAP, "nodad")
            ip("route", "add", "default", "via", ADDRESSES6["tester"], "dev", TAP)
        self.window = int(case.options.get("window", 0))
        self.mac = Station.mac

    def close(self):
        for each in self.sockets.values():
            each.close()
        os.close(self.tap)

    def send(self, frame):
        os.write(self.tap, frame)

    def pump(self, seconds):
        ready, _, _ = select.select([self.tap], [], [], min(seconds, 0.005) if self.waiting else seconds)
        while ready:
            try:
                self.frames.append((time.monotonic(), os.read(self.tap, 1 << 16)))
            except BlockingIOError:
                break
        self.waiting = [attempt for attempt in self.waiting if not attempt()]

    def later(self, name, call, attempt):
        """Tries until there is an answer, which becomes the event of that call."""
        def again():
            try:
                answer = attempt()
            except BlockingIOError:
                return False
            except OSError as error:
                answer = f"error {ERRORS.get(error.errno, str(error))}"
            self.events[name, call] = answer
            return True
        if not again():
            self.waiting.append(again)

    def app(self, name, call, words):
        return getattr(self, "app_" + call.replace("-", "_"))(name, *words)

    def new_socket(self, kind=socket.SOCK_STREAM):
        made = socket.socket(self.family, kind)
        made.setblocking(False)
        if self.window:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.window)
        return made

    def app_listen(self, _, port="80", backlog="16"):
        listener = self.new_socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", int(port)))
        if self.fast_open:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        listener.listen(int(backlog))
        self.sockets["listen", port] = listener
        return "done"

    def app_unlisten(self, _, port="80"):
        self.sockets.pop(("listen", port)).close()
        return "done"

    def app_accept(self, name, port="80"):
        def attempt():
            made, _ = self.sockets["listen", port].accept()
            made.setblocking(False)
            self.sockets[name] = made
            return "accepted"
        self.later(name, "accept", attempt)

    def app_connect(self, name, address, port):
        made = self.sockets[name] = self.new_socket()
        status = made.connect_ex((address, int(port)))
        def attempt():
            error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            made.getpeername()
            return "connected"
        def outcome():
            try:
                answer = attempt()
            except OSError as error:
                if error.errno == errno.ENOTCONN:
                    return False
                answer = f"failed {ERRORS.get(error.errno, str(error))}"
            self.events[name, "connected"] = self.events[name, "fails"] = answer
            return True
        if status not in (0, errno.EINPROGRESS):
            self.events[name, "connected"] = self.events[name, "fails"] = f"failed {ERRORS.get(status, status)}"
        else:
            self.waiting.append(outcome)
        return "done"

    def app_connected(self, *_):
        return None

    app_fails = app_datagram = app_none = app_connected

    def app_write(self, name, count):
        start = self.reading.setdefault((name, "written"), 0)
        sent = self.sockets[name].send(pattern(start, int(count)))
        self.reading[name, "written"] = start + sent
        return "done" if sent == int(count) else f"error wrote {sent}"

    def app_read(self, name, *words):
        want = int(words[0]) if words[0].isdigit() else 1
        got = bytearray()
        place = self.reading.setdefault((name, "read"), 0)
        def attempt():
            while len(got) < want:
                part = self.sockets[name].recv(want - len(got))
                if not part:
                    return "end" if not got else f"end after {len(got)}"
                got.extend(part)
            self.reading[name, "read"] = place + len(got)
            return f"read {len(got)}" if got == pattern(place, len(got)) else "read wrong bytes"
        self.later(name, "read", attempt)

    def app_urgent(self, name, on="inline"):
        self.sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        return "done"

    def app_shutdown(self, name):
        self.sockets[name].shutdown(socket.SHUT_WR)
        return "done"

    def app_close(self, name):
        self.sockets.pop(name).close()
        return "done"

    def app_abort(self, name):
        self.sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sockets.pop(name).close()
        return "done"

    def app_no_delay(self, name):
        self.sockets[name].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return "done"

    def app_keep_alive(self, name, seconds):
        self.sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.sockets[name].setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(seconds))
        return "done"

    def app_bind(self, _, port):
        made = self.new_socket(socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.bind(("", int(port)))
        self.sockets["udp", port] = made
        self.expect_datagram(made)
        return "done"

    def expect_datagram(self, made):
        """The next datagram on a port becomes the event 'datagram'."""
        def attempt():
            data, sender = made.recvfrom(1 << 16)
            good = "" if data == pattern(0, len(data)) else " wrong"
            self.events["a", "datagram"] = f"datagram {len(data)} from {sender[1]}{good}"
            return False
        def again():
            try:
                return attempt()
            except OSError:
                return False
        self.waiting.append(again)

    def app_sendto(self, _, port, address, to, count):
        try:
            self.sockets["udp", port].sendto(pattern(0, int(count)), (address, int(to)))
        except OSError as error:
            return f"error {ERRORS.get(error.errno, str(error))}"
        return "done"


MACHINES = {"simulator": Virtual, "tap": Tap, "linux": Linux}
