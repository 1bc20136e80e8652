#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: metrics.py COMMAND...   (the command that runs the counted image on tap0, with --ipv4=10.0.0.2/24)

Scrapes with curl: every line is read as Prometheus' text format 0.0.4 has it, and traffic moves the counters.
"""
import re
import socket
import subprocess
import sys

from harness import GUEST, Guest, Namespace, check, connect, fail_usage, read_all, run_cases

TYPE = re.compile(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"\})? ([0-9]+)')


def curl(path, *options):
    return subprocess.run(["curl", "-s", "-S", "--max-time", "10", *options, f"http://{GUEST}:9100{path}"], check=True,
                          capture_output=True, text=True).stdout


def scrape():
    text = curl("/metrics")
    check(text.endswith("\n"), "the last line has no end")
    samples, families, family = {}, set(), None
    for line in text.splitlines():
        if kind := TYPE.fullmatch(line):
            family = kind[1]
            check(family not in families, f"{family} comes twice")
            families.add(family)
            continue
        sample = SAMPLE.fullmatch(line)
        check(sample, f"not a line of the format: {line!r}")
        check(sample[1] == family, f"{line!r} stands under {family}")
        samples[sample[1] + (sample[2] or "")] = int(sample[3])
    return samples


def check_wire(samples):
    """Every frame is of one destination, one size and one protocol."""
    for way in ("in", "out"):
        value = lambda name: samples[f"mirage_wire_{way}_{name}_total"]
        sizes = [name for name in samples if name.startswith(f"mirage_wire_{way}_size_")]
        check(len(sizes) == 7 and sum(samples[name] for name in sizes) == value("frames"), f"sizes {way}")
        check(sum(map(value, ("unicast", "multicast", "broadcast", "truncated"))) == value("frames"), f"destinations {way}")
        check(sum(map(value, ("ipv4", "ipv6", "arp", "other", "truncated"))) == value("frames"), f"protocols {way}")
        check(value("arp") > 0 and value("ipv4") > 10, f"protocols {way}")


def counts(command):
    with Guest(command, ready="services are up"):
        before = scrape()
        for part in ("ethernet", "ip", "icmp", "udp", "tcp", "tcp_drop", "dhcp", "dns", "offload"):
            check(any(name.startswith(f"mirage_{part}_") for name in before), f"no counters of {part}")
        device = next((part for part in ("frame_device", "virtio_net") if f"mirage_{part}_received_total" in before), None)
        check(device, "no counters of the network device")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
            echo.settimeout(5)
            for _ in range(5):
                echo.sendto(b"x", (GUEST, 7))
                echo.recv(10)
            echo.sendto(b"x", (GUEST, 4711))  # nobody there
        with connect(9) as discard:
            discard.sendall(bytes(100000))
            discard.shutdown(socket.SHUT_WR)
            read_all(discard)
        after = scrape()
        grown = {name: after[name] - before[name] for name in after}
        check(grown["mirage_udp_received_total"] == 5 and grown["mirage_udp_sent_total"] == 5, f"UDP: {grown['mirage_udp_received_total']}")
        check(grown["mirage_udp_drop_no_port_total"] == 1, "the datagram to nobody is not counted")
        check(grown["mirage_tcp_bytes_in_total"] >= 100000, "TCP: text that came is not counted")
        check(grown["mirage_tcp_accepted_total"] == 2, f"connections: {grown['mirage_tcp_accepted_total']}")
        check(grown[f"mirage_{device}_received_total"] > 5, "the device's frames are not counted")
        check_wire(after)
        check(grown["mirage_wire_in_frames_total"] == grown[f"mirage_{device}_received_total"], "the wire's frames are not the device's")
        check(grown["mirage_wire_in_bytes_total"] > 100000 > grown["mirage_wire_out_bytes_total"] > 5 * 43, "the wire's bytes")
        check(after["mirage_metrics_left_out"] == 0, "sets were left out")


def other_requests(command):
    with Guest(command, ready="services are up"):
        check("text/plain; version=0.0.4" in curl("/metrics", "-I"), "HEAD does not tell the type")
        check("404" in curl("/", "-o", "/dev/null", "-w", "%{http_code}"), "another path is found")
        check("405" in curl("/metrics", "-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}"), "DELETE is allowed")


def many_scrapes(command):
    with Guest(command, ready="services are up"):
        first = scrape()["mirage_buffers_bytes_in_use"]
        for _ in range(50):
            last = scrape()
        check(last["mirage_buffers_bytes_in_use"] <= first + 70000, "scrapes leave memory behind")
        check(last["mirage_buffers_failures"] == 0, "allocations failed")


def main():
    if len(sys.argv) < 2:
        fail_usage(__doc__)
    Namespace()
    return run_cases([counts, other_requests, many_scrapes], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
