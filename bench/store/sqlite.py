#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: sqlite.py TOOLS FOLDER [ROUNDS]

SQLite of the unix target, on a raw disk (volume) and on a tree store, beside the same source with the same settings and the same
durability on Linux, all in files of FOLDER's file system and on one core: by turns, medians. Last column: what Linux does with
a write-ahead log, which the image has not. FOLDER/sqlite-* are made and removed."""
import os
import statistics
import subprocess
import sys
from pathlib import Path

SIDES = {"volume": "ours", "tree": "ours", "persist": "linux", "wal": "linux"}
DISK = 96 << 20


def blank(path):
    """Written, so that the file system has nothing to allocate: a disk."""
    with open(path, "wb") as file:
        for _ in range(DISK >> 20):
            file.write(bytes(1 << 20))
        os.fsync(file.fileno())


def run(tools, folder, side):
    path = folder / f"sqlite-{side}"
    for old in folder.glob(f"sqlite-{side}*"):
        old.unlink()
    if SIDES[side] == "ours":
        blank(path)
        command = [tools / "bench_sqlite", f"--block:disk={path}", side]
    else:
        command = [tools / "bench_sqlite_linux", path, side]
    done = subprocess.run(["taskset", "-c", "1" if os.cpu_count() > 1 else "0", *map(str, command)], text=True,
                          stdout=subprocess.PIPE, timeout=600)
    for old in folder.glob(f"sqlite-{side}*"):
        old.unlink()
    if done.returncode != 0:
        sys.exit(f"{command[0]}: status {done.returncode}")
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return {name: (int(count), float(seconds)) for name, count, seconds in rows}


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__)
        return 2
    tools, folder = Path(sys.argv[1]), Path(sys.argv[2])
    found = {side: [] for side in SIDES}
    for _ in range(int(sys.argv[3]) if len(sys.argv) == 4 else 3):
        for side, rounds in found.items():
            rounds.append(run(tools, folder, side))
    print(f"{'operations per second':30}{'volume':>10}{'tree':>10}{'Linux':>10}{'volume':>8}{'tree':>7}  wanted   {'Linux, WAL':>10}")
    counts = {name: count for name, (count, _) in found["volume"][0].items()}

    def line(title, names):
        rate = {}
        for side, rounds in found.items():
            seconds = statistics.median(sum(each[name][1] for name in names) for each in rounds)
            rate[side] = sum(counts[name] for name in names) / seconds
        print(f"{title:30}{rate['volume']:10.0f}{rate['tree']:10.0f}{rate['persist']:10.0f}{rate['volume'] / rate['persist']:8.2f}"
              f"{rate['tree'] / rate['persist']:7.2f}  >= 0.9   {rate['wal']:10.0f}")

    for name in counts:
        line(name, [name])
    line("the mix as a whole", [name for name in counts if name.startswith("mix")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
