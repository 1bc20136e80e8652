#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: sqlite.py TOOLS FOLDER [ROUNDS]

SQLite of the unix target, on a raw disk (volume) and on a tree store, beside the same source with the same settings and the same
durability on Linux, all in files of FOLDER's file system and on one core. The three (and Linux with a write-ahead log, which the
image has not) are there at the same time and do each part one after the other, another one first in each round: what the machine
does besides, and what its disk did before, meets all alike. A ratio is the median of those of the rounds, Linux's time for a part
divided by ours; the lowest and highest of them stand behind it. `processor` is the same of the time on the core, in the kernel too:
without the waits for the disk, which other work on the machine makes longer. FOLDER/sqlite-* are made and removed."""
import os
import statistics
import subprocess
import sys
from pathlib import Path

SIDES = {"volume": "ours", "tree": "ours", "persist": "linux", "wal": "linux"}
DISK = 96 << 20


def blank(path):
    """Written, so that the file system has nothing to allocate: a disk. Page by page, as SQLite writes its own file on the other
    side: of large writes the kernel's cache would keep large folios, all of whose blocks ext4 visits whenever a page of one is
    written, which took a fifth of the time of the deletions."""
    with open(path, "wb", buffering=0) as file:
        for _ in range(DISK // 4096):
            file.write(bytes(4096))
        os.fsync(file.fileno())


def start(tools, folder, side):
    path = folder / f"sqlite-{side}"
    if SIDES[side] == "ours":
        blank(path)
        command = [tools / "bench_sqlite", f"--block:disk={path}", side]
    else:
        command = [tools / "bench_sqlite_linux", path, side]
    return subprocess.Popen(["taskset", "-c", "1" if os.cpu_count() > 1 else "0", *map(str, command)],
                            bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def part(process):
    """One part of its work. None: there is no more."""
    try:
        process.stdin.write(b".")
    except BrokenPipeError:
        return None
    return process.stdout.readline().decode().strip().split("|")


def run(tools, folder, order):
    """{side: {part: (count, seconds, of them on the core)}}"""
    for old in folder.glob("sqlite-*"):
        old.unlink()
    running = {side: start(tools, folder, side) for side in order}
    found = {side: {} for side in order}
    while True:
        rows = {side: part(process) for side, process in running.items()}
        if not all(row and len(row) == 4 for row in rows.values()):
            break
        for side, (name, count, seconds, processor) in rows.items():
            found[side][name] = (int(count), float(seconds), float(processor))
    for side, process in running.items():
        process.stdin.close()
        if process.wait(timeout=60) != 0:
            sys.exit(f"{side}: status {process.returncode}")
    for old in folder.glob("sqlite-*"):
        old.unlink()
    return found


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__)
        return 2
    tools, folder = Path(sys.argv[1]), Path(sys.argv[2])
    sides = list(SIDES)
    rounds = [run(tools, folder, sides[i % 4:] + sides[:i % 4]) for i in range(int(sys.argv[3]) if len(sys.argv) == 4 else 5)]
    counts = {name: count for name, (count, _, _) in rounds[0]["volume"].items()}

    def line(title, names):
        def spent(each, side, what):
            return sum(each[side][name][what] for name in names)

        def ratio(side, what):
            found = sorted(spent(each, "persist", what) / max(spent(each, side, what), 1e-6) for each in rounds)
            return statistics.median(found), found[0], found[-1]

        rate = {side: sum(counts[name] for name in names) / statistics.median(spent(each, side, 1) for each in rounds)
                for side in SIDES}
        cells = "".join("{:6.2f} ({:.2f}-{:.2f})".format(*ratio(side, 1)) for side in ("volume", "tree"))
        print(f"{title:27}{rate['volume']:9.0f}{rate['tree']:9.0f}{rate['persist']:9.0f}{cells}"
              f"  >= 0.9  {ratio('volume', 2)[0]:9.2f}{ratio('tree', 2)[0]:6.2f}   {rate['wal']:9.0f}")

    print(f"{'operations per second':27}{'volume':>9}{'tree':>9}{'Linux':>9}{'volume':>18}{'tree':>18}  wanted"
          f"{'volume':>11}{'tree':>6} processor {'WAL':>4}")
    for name in counts:
        line(name, [name])
    line("the mix as a whole", [name for name in counts if name.startswith("mix")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
