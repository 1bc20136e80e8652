#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: capture.py TOOLS DISK COMMAND...   (the command that runs the captured image on tap0 with DISK as its disk
'trace', and --ipv4=10.0.0.2/24)

What the image records is read back from the disk as a program that reads captures would: the datagrams that were sent
are there, both ways, in order, with times of now.
"""
import socket
import struct
import subprocess
import sys
import time

from harness import GUEST, Guest, Namespace, check, fail_usage, run_cases

TEXTS = [f"datagram {number}".encode() for number in range(20)]


def records(capture):
    """(time, frame) of each record of a capture."""
    magic, major, minor, _, _, snapshot, link = struct.unpack_from("<IHHiIII", capture)
    check(magic == 0xA1B23C4D and (major, minor, link) == (2, 4, 1) and snapshot >= 65536, "not a capture of Ethernet")
    at = 24
    while at < len(capture):
        seconds, nanoseconds, kept, length = struct.unpack_from("<IIII", capture, at)
        check(kept == length and at + 16 + kept <= len(capture), f"the record at {at} is cut off")
        yield seconds + nanoseconds / 1e9, capture[at + 16:at + 16 + kept]
        at += 16 + kept


def datagrams(found, port_at):
    """Payloads of UDP (IPv4 without options) with port 7 at this end."""
    for _, frame in found:
        if frame[12:14] == b"\x08\x00" and frame[23] == 17 and struct.unpack_from(">H", frame, 34 + port_at)[0] == 7:
            yield frame[42:34 + struct.unpack_from(">H", frame, 38)[0]]


def is_recorded(context):
    tools, disk, command = context
    begin = time.time()
    with Guest(command, ready="services are up"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
            echo.settimeout(5)
            for text in TEXTS:
                echo.sendto(text, (GUEST, 7))
                check(echo.recv(100) == text, "no echo")
        time.sleep(1.5)  # durable within a second
    capture = subprocess.run([f"{tools}/mirage", "store", "cat", disk, "data"], check=True, capture_output=True).stdout
    found = list(records(capture))
    check(list(datagrams(found, 2)) == TEXTS, "what was sent is not in the capture")
    check(list(datagrams(found, 0)) == TEXTS, "what was answered is not in the capture")
    check(all(begin - 1 < at < time.time() + 1 for at, _ in found), "times are not those of now")
    check([at for at, _ in found] == sorted(at for at, _ in found), "times go back")


def main():
    if len(sys.argv) < 4:
        fail_usage(__doc__)
    Namespace()
    return run_cases([is_recorded], (sys.argv[1], sys.argv[2], sys.argv[3:]))


if __name__ == "__main__":
    sys.exit(main())
