#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: large.py BENCH_TREE FOLDER

The tree store beside LMDB with 50 times more data than the store's cache: 200 MB of values and a cache of 4 MiB. Each side
runs in a control group of its own with MEMORY bytes for everything: program, heap, page cache. So LMDB's map, which is page
cache, cannot hold more than the tree's cache and its file's page cache together. The tree is on the disk of a unikernel on
unix, past the page cache (--block-direct), which serves many requests at a time. Both files are written to their full size before.
Medians of the rounds by turns. Needs root; without a control group it says so."""
import os
import statistics
import subprocess
import sys
from pathlib import Path

MEMORY = 12 << 20
ROUNDS = 5
WANTED = {"random get": "LMDB: >= 1", "batched random put": "LMDB: >= 1"}


class Group:
    """A memory control group below our own, removed at the end: version 2, or version 1 where that has the controller."""

    def __init__(self):
        lines = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
        name = f"mirage-bench-{os.getpid()}"
        if "memory" in lines:
            self.path = Path("/sys/fs/cgroup/memory" + lines["memory"]) / name
            self.limit, self.peak = self.path / "memory.limit_in_bytes", self.path / "memory.max_usage_in_bytes"
        else:
            self.path = Path("/sys/fs/cgroup" + lines[""]).parent / name
            self.limit, self.peak = self.path / "memory.max", self.path / "memory.peak"
        self.path.mkdir()
        try:
            if not self.limit.exists():
                raise FileNotFoundError(f"{self.limit.name}: the memory controller is not delegated here")
            self.limit.write_text(str(MEMORY))
        except OSError:
            self.path.rmdir()
            raise

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.path.rmdir()


def measure(tool, folder, group):
    """Operations per second of each row, by store."""
    rates = {store: [] for store in ("lmdb", "tree")}
    try:
        for store in rates:
            subprocess.run([tool, folder, "--large", store, "load"], check=True, timeout=300)
        for _ in range(ROUNDS):
            for store, found in rates.items():
                done = subprocess.run([tool, folder, "--large", store, "run"], check=True, timeout=300, text=True,
                                      stdout=subprocess.PIPE, preexec_fn=group.enter)
                found.append([float(word) for word in done.stdout.split()])
    finally:
        for store in rates:
            subprocess.run(["rm", "-rf", f"{folder}/bench-large-{store}"], check=True)
    return rates


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    try:
        made = Group()
    except OSError as error:
        print(f"(not measured: no memory control group to be had here: {error})")
        return 0
    with made as group:
        rates = measure(*sys.argv[1:], group)
        peak = int(group.peak.read_text()) if group.peak.exists() else 0
    print(f"{'200 MB of values in 12 MiB':28}{'LMDB /s':>14}{'tree /s':>14}{'ratio':>8}  wanted")
    for i, (name, wanted) in enumerate(WANTED.items()):
        lmdb, tree = (statistics.median(each[i] for each in rates[store]) for store in ("lmdb", "tree"))
        print(f"{name:28}{lmdb:14.0f}{tree:14.0f}{tree / lmdb:8.2f}  {wanted}")
    if peak:
        print(f"most memory in use: {peak / (1 << 20):.1f} of {MEMORY >> 20} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
