#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Replays a session at the shell and compares what it prints.

A transcript is prose with indented sessions: "  $ command", "  > its next line", and below them the expected output
(standard output and error together), "[N]" for an exit status other than 0. A line that ends in " (re)" is a regular
expression, in " (glob)" a pattern. Each transcript runs in a new folder, in one shell. $MIRAGE_SOURCE is the source tree.

usage: transcript.py [--update] --tools FOLDER FILE...
"""
import argparse
import difflib
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
MARK = "---transcript-%d-"
# Said when tests beside this one fill the cache: no transcript's affair.
OTHERS = "mirage: waiting for another mirage that builds the same libraries"


def parse(lines):
    """Blocks of (prose lines, command lines, expected output lines)."""
    blocks, prose = [], []
    for number, line in enumerate(lines):
        if not line and not prose and blocks:
            # An empty line belongs to the output when more of it follows.
            following = next((each for each in lines[number:] if each), "")
            if following.startswith("  ") and not following.startswith("  $ "):
                line = "  "
        if line.startswith("  $ "):
            blocks.append((prose, [line[4:]], []))
            prose = []
        elif line.startswith("  > ") and blocks and not prose:
            blocks[-1][1].append(line[4:])
        elif line.startswith("  ") and blocks and not prose:
            blocks[-1][2].append(line[2:])
        else:
            prose.append(line)
    return blocks, prose


def matches(expected, actual):
    if expected == actual:
        return True
    if expected.endswith(" (re)"):
        return re.fullmatch(expected[:-5], actual) is not None
    return expected.endswith(" (glob)") and fnmatch.fnmatchcase(actual, expected[:-7])


def run(blocks, tools, folder):
    """The output of each command, its status last when it is not 0."""
    script = []
    for number, (_, command, _) in enumerate(blocks):
        script += ["\n".join(command), f"status=$?; echo; echo \"{MARK % number}$status\"; (exit $status)"]
    env = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", MIRAGE_SOURCE=str(SOURCE), LC_ALL="C")
    for name in ("MIRAGE_ROOT", "MIRAGE_TARGET", "MAKEFLAGS", "MFLAGS"):
        env.pop(name, None)
    done = subprocess.run(["bash"], input="\n".join(script) + "\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, cwd=folder, env=env, timeout=1500, check=False)
    outputs, rest = [], done.stdout
    for number in range(len(blocks)):
        text, _, rest = rest.partition(f"\n{MARK % number}")
        status, _, rest = rest.partition("\n")
        lines = [line for line in text.splitlines() if line != OTHERS]
        outputs.append(lines + ([f"[{status}]"] if status != "0" else []))
    return outputs


def replay(path, tools, update):
    lines = path.read_text().splitlines()
    blocks, end = parse(lines)
    with tempfile.TemporaryDirectory(prefix="mirage-transcript-") as folder:
        outputs = run(blocks, tools, folder)
    result = []
    for (prose, command, expected), actual in zip(blocks, outputs):
        same = len(expected) == len(actual) and all(map(matches, expected, actual))
        shown = expected if same else [
            next((e for e in expected if matches(e, line)), line) for line in actual]
        result += prose + [f"  {'$' if i == 0 else '>'} {line}" for i, line in enumerate(command)]
        result += ["  " + line if line else "  " for line in shown]
    result += end
    normal = [line.rstrip() for line in lines]
    fresh = [line.rstrip() for line in result]
    if normal == fresh:
        return True
    if update:
        path.write_text("\n".join(fresh) + "\n")
        print(f"{path.name}: updated")
        return True
    sys.stdout.writelines(line + "\n" for line in difflib.unified_diff(normal, fresh, str(path), "what happened", lineterm=""))
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--tools", required=True)
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    good = [replay(path, Path(options.tools).resolve(), options.update) for path in options.files]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
