#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: store.py [--quick] [--only REGEX] TOOLS FOLDER

Raw block beside fio, and many blocks beside one block per call: one table, ratios in one run. FOLDER/TARGET/dist holds the
load image for each target; a file of 512 MiB is made in FOLDER. Every row is the median of three rounds, in each of which
both sides have their turn on the same file; O_DIRECT on both sides."""
import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20


def sh(words):
    done = subprocess.run(list(map(str, words)), text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Bench:
    def __init__(self, tools, folder, quick, only):
        self.tools, self.folder, self.only = Path(tools), Path(folder), re.compile(only or "")
        self.rounds, self.seconds = (1, 1) if quick else (3, 2)
        self.disk = self.folder / "disk.img"
        self.failed = []
        with open(self.disk, "wb") as file:  # written, so that no read is of a hole
            block = bytes(range(256)) * 4096
            for _ in range(512):
                file.write(block)
        sh(["sync", self.disk])

    def fio(self, write, random, size, depth):
        kind = ("rand" if random else "") + ("write" if write else "read")
        out = sh(["fio", "--name=peer", f"--filename={self.disk}", "--ioengine=io_uring", "--direct=1", f"--rw={kind}",
                  f"--bs={size}", f"--iodepth={depth}", "--time_based", f"--runtime={self.seconds}", "--output-format=json"])
        return json.loads(out[out.index("{"):])["jobs"][0]["write" if write else "read"]["iops"]

    def ours(self, target, write, random, size, depth):
        image = self.folder / target / "dist" / ("load" if target == "unix" else f"load.{target}")
        words = [f"--size={size}", f"--depth={depth}", f"--seconds={self.seconds}"]
        words += ["--write"] * write + ["--random"] * random
        attach = [f"--block:storage={self.disk}", "--block-direct:storage=on", "--block-sector-size:storage=4096"]
        if target == "unix":
            command = [image, *attach, *words]
        elif target == "spt":
            command = [self.tools / "mirage-spt", "--mem=64", *attach, "--", image, *words]
        else:
            command = ["qemu-system-x86_64", "-accel", "tcg", "-M", "microvm,x-option-roms=off,rtc=off", "-cpu", "max", "-m", "64",
                       "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", image,
                       "-append", " ".join(words),
                       "-blockdev", f"driver=file,filename={self.disk},node-name=d,cache.direct=on,aio=threads",
                       "-device", "virtio-blk-device,drive=d,serial=storage,logical_block_size=4096,physical_block_size=4096"]
        out = sh(command) if target != "virtio" else self.guest(command)
        rate = re.search(r"rate (\d+)", out)
        if not rate:
            raise RuntimeError(f"{' '.join(map(str, command))}: no rate\n{out}")
        return float(rate[1])

    @staticmethod
    def guest(command):
        """QEMU's exit status is not the guest's."""
        return subprocess.run(list(map(str, command)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, timeout=120).stdout

    def row(self, name, wanted, ours, peer, unit=1):
        """`unit`: operations of the peer that move what one of ours moves."""
        if not self.only.search(name):
            return
        rates = [(ours(), peer() / unit) for _ in range(self.rounds)]
        left, right = (statistics.median(side) for side in zip(*rates))
        print(f"{name:44}{left:10.0f}{right:10.0f}{left / right:8.2f}  {wanted}", flush=True)

    def run(self):
        print(f"{'operations per second':44}{'ours':>10}{'peer':>10}{'ratio':>8}  wanted", flush=True)
        for target, random_depth in (("unix", 32), ("spt", 1)):
            loads = [("random", True, 4 * KIB, random_depth), ("sequential", False, 64 * KIB, random_depth if target == "spt" else 4),
                     ("sequential", False, MIB, 1 if target == "spt" else 4)]
            for kind, random, size, depth in loads:
                for write in (False, True):
                    name = f"{target}, {kind} {'write' if write else 'read'}, {size // KIB} KiB, depth {depth}"
                    self.row(name, "fio: >= 0.9", lambda t=target, a=(write, random, size, depth): self.ours(t, *a),
                             lambda a=(write, random, size, depth): self.fio(*a))
        for write in (False, True):
            kind = "writes" if write else "reads"
            self.row(f"spt, sequential {kind}: 64 KiB a call", "4 KiB a call: >= 1.3",
                     lambda w=write: self.ours("spt", w, False, 64 * KIB, 1), lambda w=write: self.ours("spt", w, False, 4 * KIB, 1), 16)
            self.row(f"virtio, sequential {kind}, 4 KiB: depth 32", "depth 1: >= 3",
                     lambda w=write: self.ours("virtio", w, False, 4 * KIB, 32), lambda w=write: self.ours("virtio", w, False, 4 * KIB, 1))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("tools"), parser.add_argument("folder")
    arguments = parser.parse_args()
    bench = Bench(arguments.tools, arguments.folder, arguments.quick, arguments.only)
    try:
        bench.run()
    finally:
        bench.disk.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
