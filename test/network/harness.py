# SPDX-License-Identifier: ISC
"""Network namespaces, taps and processes for the integration tests. Needs root and /dev/net/tun; touches no interface
but those it makes, in namespaces of its own, and removes them at the end."""
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000
GUEST = "10.0.0.2"
HOST = "10.0.0.1"


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def sh(*words, **options):
    return subprocess.run(words, check=True, text=True, capture_output=True, **options).stdout


class Namespace:
    """This process moves into a fresh network namespace with one tap; children inherit it. The kernel removes both when
    the last process in it ends."""

    def __init__(self, tap="tap0"):
        if os.geteuid() != 0:
            raise Failed("needs root: network namespaces and /dev/net/tun")
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            raise Failed(f"unshare: {os.strerror(ctypes.get_errno())}")
        self.tap = tap
        sh("ip", "link", "set", "lo", "up")
        self.fresh_tap()

    def fresh_tap(self):
        """A tap without what an earlier tender left on it (offloads)."""
        subprocess.run(["ip", "link", "del", self.tap], capture_output=True)
        sh("ip", "tuntap", "add", self.tap, "mode", "tap")
        sh("ip", "addr", "add", f"{HOST}/24", "dev", self.tap)
        sh("ip", "link", "set", self.tap, "up")


class Guest:
    """A running image; its console is collected in a file."""

    def __init__(self, command, ready=None, timeout=20):
        self.log = tempfile.NamedTemporaryFile(prefix="guest-", suffix=".log", delete=False)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        if ready:
            wait_until(lambda: ready in self.console() or self.process.poll() is not None, timeout, f"'{ready}' on the console")
            check(self.process.poll() is None, f"the guest ended with {self.process.returncode}:\n{self.console()}")

    def console(self):
        return Path(self.log.name).read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.unlink(self.log.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def wait_until(condition, timeout, what):
    end = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < end, f"timed out waiting for {what}")
        time.sleep(0.01)


def connect(port, timeout=10):
    return socket.create_connection((GUEST, port), timeout=timeout)


def read_all(connection):
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def run_cases(cases, context):
    """Runs each case, prints one line for each, returns the exit status."""
    failures = 0
    for case in cases:
        start = time.monotonic()
        try:
            case(context)
            outcome = "ok"
        except (Failed, OSError, subprocess.SubprocessError) as error:
            failures += 1
            outcome = f"FAILED: {type(error).__name__}: {error}"
        print(f"{case.__name__:32} {time.monotonic() - start:6.2f} s  {outcome}", flush=True)
    print(f"{len(cases) - failures} passed, {failures} failed", flush=True)
    return 1 if failures else 0


def fail_usage(text):
    print(text, file=sys.stderr)
    sys.exit(2)
