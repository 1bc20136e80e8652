#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: refused_test.py TENDER IMAGE

What the tender says where KVM does not work: it is not there, may not be opened, or never runs the guest. And of what is
no image; and that a signal ends it when nobody reads what it says.
"""
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile

TENDER, IMAGE = sys.argv[1:]
KVM_RUN = 0xAE80
failed = 0


def never_run():
    """ioctl(KVM_RUN) is EAGAIN, always: seccomp(2)."""
    system_call, allow, again = 16, 0x7FFF0000, 0x00050000 | 11
    program = b"".join(struct.pack("HBBI", *each) for each in (
        (0x20, 0, 0, 0), (0x15, 0, 3, system_call), (0x20, 0, 0, 24), (0x15, 0, 1, KVM_RUN), (0x06, 0, 0, again),
        (0x06, 0, 0, allow)))
    held = ctypes.create_string_buffer(program)
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter_program, 0, 0) == 0


def says(name, expected, words=(), image=IMAGE, **options):
    global failed
    try:
        done = subprocess.run([*words, TENDER, "--mem=2", "--", image, "hello"], capture_output=True, text=True, timeout=60,
                              check=False, **options)
        seen = (done.returncode, done.stderr)
    except subprocess.TimeoutExpired:
        seen = ("still running",)
    if seen[0] != 1 or expected not in seen[1]:
        failed = 1
        print(f"FAILED {name}: {seen}")


def ends_unheard(folder):
    """Waiting for gdb, with no room for another word on its standard error."""
    global failed
    console = os.path.join(folder, "console")
    os.mkfifo(console)
    reader = os.open(console, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(console, os.O_WRONLY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tender = subprocess.Popen([TENDER, "--mem=2", "--gdb", f"--gdb-port={port}", "--", IMAGE], stderr=writer)
    try:
        select.select([reader], [], [], 60)
        said = os.read(reader, 4096)
        if b"waiting for a debugger" not in said:
            print(f"not run: {said.decode().strip()}")
            return
        filler = os.open(console, os.O_WRONLY | os.O_NONBLOCK)
        try:
            while os.write(filler, bytes(4096)) > 0:
                pass
        except BlockingIOError:
            pass
        tender.send_signal(signal.SIGTERM)
        if tender.wait(timeout=10) != 1:
            failed = 1
            print(f"FAILED a signal: status {tender.returncode}")
    except subprocess.TimeoutExpired:
        failed = 1
        print("FAILED a signal: it goes on")
    finally:
        tender.kill()
        tender.wait()


with tempfile.TemporaryDirectory(prefix="mirage-hvt-test-") as folder:
    ends_unheard(folder)
    pipe = os.path.join(folder, "pipe")
    os.mkfifo(pipe)
    says("a pipe that nobody writes to", "not an ELF file", image=pipe)
    says("a folder", "not an ELF file", image=folder)
hidden = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"]
if subprocess.run([*hidden, "true"], check=False, capture_output=True).returncode == 0:
    says("without KVM", "cannot open '/dev/kvm': No such file or directory (no KVM here", hidden)
else:
    print("not run: no namespace of our own")
try:
    os.close(os.open("/dev/kvm", os.O_RDWR))
    says("KVM that never runs", "KVM: cannot run the guest: Resource temporarily unavailable (/dev/kvm does not work",
         preexec_fn=never_run)
except OSError as refusal:
    if refusal.errno == 13:
        says("KVM of others", "(who is in its group")
    print(f"not run: {refusal}")
print("failed" if failed else "passed")
sys.exit(failed)
