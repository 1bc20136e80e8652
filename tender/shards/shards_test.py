#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: shards_test.py MIRAGE-SHARDS

What an image gets from its starter; a script that writes it down stands for the image.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STARTER = sys.argv[1]
SCRIPT = """#!/bin/sh
for word; do
  case $word in --shard=*) place=${word#--shard=};; esac
done
{
  printf '%s\\n' "$@"
  for descriptor in $(echo "${place#*,}" | tr , ' ') 0 1 2; do
    echo "$descriptor $(readlink /proc/self/fd/$descriptor)"
  done
} > "$FOLDER/${place%%/*}.tmp"
"""
failed = 0


def check(condition, message):
    global failed
    if not condition:
        failed = 1
        print(f"FAILED: {message}")


def start(folder, *words, shell=None):
    """What each shard wrote down, by its number."""
    image = folder / "image"
    image.write_text(SCRIPT)
    image.chmod(0o755)
    command = [STARTER, *words, "--", str(image)]
    if shell:
        command = ["sh", "-c", shell, "sh", *command]
    done = subprocess.run(command, env=dict(os.environ, FOLDER=str(folder)), timeout=60, check=False, capture_output=True)
    check(done.returncode == 0, f"{words} {shell}: status {done.returncode}, {done.stderr}")
    return {file.stem: file.read_text().splitlines() for file in folder.glob("*.tmp")}


with tempfile.TemporaryDirectory(prefix="mirage-shards-test-") as name:
    folder = Path(name)
    # Longer than a line of an error, which is cut off.
    option = f"--block:data=/{'x' * 3000}"
    for lines in start(folder, option).values():
        check(option in lines, f"an option became {[line[:80] for line in lines]}")

with tempfile.TemporaryDirectory(prefix="mirage-shards-test-") as name:
    folder = Path(name)
    for closed in ("<&-", ">&-", "<&- >&- 2>&-"):
        shards = start(folder, "--cpus=2", shell=f'exec "$@" {closed}')
        check(sorted(shards) == ["0", "1"], f"{closed}: shards {sorted(shards)}")
        for lines in shards.values():
            memory, *bells = lines[-6:-3]
            check("mirage-shards" in memory and all("eventfd" in bell for bell in bells), f"{closed}: {lines}")
            check(all(int(line.split()[0]) > 2 for line in (memory, *bells)), f"{closed}: {lines}")

print("failed" if failed else "passed")
sys.exit(failed)
