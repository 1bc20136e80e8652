#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Checks the direction of dependencies: which folder may include which. The table below is the architecture.

An unlisted folder is an error, so is a cycle between folders, and so is an include of a sibling that is not listed.
"""
import re
import sys
from pathlib import Path

# folder -> folders it may include. The longest matching prefix of a file's folder counts.
DEVICE = ["mirage/base", "mirage/wire", "mirage/async", "mirage/module"]
LAYERS = {
    "mirage/base": [],
    "mirage/wire": ["mirage/base"],
    "mirage/async": ["mirage/base"],
    "mirage/module": ["mirage/base", "mirage/async"],
    "mirage/module/check": ["mirage/base", "mirage/async", "mirage/module"],
    "mirage/device": DEVICE,
    # What two devices share, no device itself: blocks with a tag for each, and headers.
    "mirage/device/tagged": DEVICE,
    "mirage/device/checksum": DEVICE + ["mirage/device/tagged"],
    "mirage/device/crypt": DEVICE + ["mirage/device/tagged"],
    "mirage/net/ethernet": DEVICE,
    "mirage/net/ip": DEVICE,
    "mirage/net/udp": DEVICE,
    "mirage/net/tcp": DEVICE,
    "mirage/net/dhcp": DEVICE,
    "mirage/net/forward": DEVICE,
    "mirage/net/dhcp6": DEVICE,
    "mirage/net": DEVICE + ["mirage/net/forward", "mirage/net/ethernet", "mirage/net/ip", "mirage/net/udp", "mirage/net/tcp",
                            "mirage/net/dhcp", "mirage/net/dhcp6"],
    "mirage/dns": DEVICE,
    "mirage/http": DEVICE,
    # A service over a service: it answers HTTP requests.
    "mirage/metrics": DEVICE + ["mirage/http"],
    "mirage/store": DEVICE,
    "mirage/syslog": DEVICE,
    "mirage/runtime": ["mirage/base"],
    # In every ring; the rest of the machine is for ring 0, and puts functions in place of libc's.
    "mirage/machine/x86_64/processor": [],
    "mirage/machine": ["mirage/base", "mirage/runtime", "mirage/machine/x86_64/processor"],
    # Puts a packed image back before there is anything else, on any target and machine.
    "mirage/unpack": ["mirage/base"],
    # What spt and hvt share, not a target: Solo5's ABI (data layouts only, for tenders too) and the device code over it.
    "mirage/target/solo5": ["mirage/base", "mirage/async", "mirage/module"],
    "mirage/target": ["mirage/target/solo5", "mirage/base", "mirage/async", "mirage/module", "mirage/device/virtio", "mirage/runtime",
                      "mirage/machine", "mirage/machine/x86_64/processor", "mirage/unpack"],
    "mirage/target/spt": ["mirage/target/solo5", "mirage/base", "mirage/async", "mirage/module", "mirage/runtime",
                          "mirage/machine/x86_64/processor"],
    "tender": ["mirage/base", "mirage/target/solo5"],
    "config": ["mirage/base"],
    # `mirage store` runs the stores on the host, and the devices that are layers of images.
    "cli": ["config", "mirage/base", "mirage/async", "mirage/module", "mirage/store", "mirage/device"],
}
# Each entry here says why it may see more.
EXTRA = {
    # A tender speaks the ABI that it shares with its guest, and uses the tenders' library.
    r"mirage/target/[a-z0-9]+/tender": ["tender"],
    r"mirage/target/[a-z0-9]+/test": ["tender"],
}
# Tests, fuzzers and benchmarks may cross folders: they are not linked into images.
FREE = re.compile(r"(_test|_fuzz)\.(cpp|hpp)$|^(test|bench|example)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([a-z][a-z0-9_/]*\.(?:hpp|h))[>"]', re.M)
ROOMS = ("mirage", "tender", "config", "cli")


def layer_of(folder: str) -> str | None:
    while folder:
        if folder in LAYERS:
            return folder
        folder = folder.rpartition("/")[0]
    return None


def unit(folder: str) -> str:
    """The smallest thing that must not see its siblings: a device, a target, a network layer."""
    parts = folder.split("/")
    return "/".join(parts[:3]) if parts[:2] in (["mirage", "device"], ["mirage", "target"]) else (layer_of(folder) or folder)


def check(root: Path) -> list[str]:
    errors = []
    edges: dict[str, set[str]] = {}
    files = [p for room in ROOMS for s in ("*.hpp", "*.cpp") for p in sorted((root / room).rglob(s))]
    for path in files:
        name = path.relative_to(root).as_posix()
        folder = name.rpartition("/")[0]
        if FREE.search(name) or folder == "config/include/mirage" or "/template" in name:
            continue
        layer = layer_of(folder)
        if layer is None:
            errors.append(f"{name}: folder {folder} is not listed in tool/check/layers.py")
            continue
        allowed = list(LAYERS[layer])
        for pattern, more in EXTRA.items():
            if re.match(pattern, folder):
                allowed += more
        for target in INCLUDE.findall(path.read_text()):
            if not target.startswith(tuple(r + "/" for r in ROOMS)) or not (root / target).exists():
                continue
            other = target.rpartition("/")[0]
            if unit(other) == unit(folder):
                continue
            if not any(other == a or other.startswith(a + "/") for a in allowed) or (
                    layer_of(other) == layer and unit(other) != unit(folder)):
                errors.append(f"{name}: includes {target}, but {layer} may use only: {', '.join(allowed) or 'nothing'}")
            edges.setdefault(unit(folder), set()).add(unit(other))
    errors += cycles(edges)
    return errors


def cycles(edges: dict[str, set[str]]) -> list[str]:
    found, state = [], {}

    def visit(node: str, trail: list[str]) -> None:
        state[node] = 1
        for following in sorted(edges.get(node, ())):
            if state.get(following) == 1:
                found.append("cycle: " + " -> ".join(trail + [node, following]))
            elif following not in state:
                visit(following, trail + [node])
        state[node] = 2

    for node in sorted(edges):
        if node not in state:
            visit(node, [])
    return found


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    errors = check(root)
    for error in errors:
        print(error)
    print(f"layers: {len(errors)} violations")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
