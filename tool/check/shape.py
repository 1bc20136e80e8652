#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Shape of the code: no function over 60 lines, no file over 600, no #if in protocol code, SPDX line, no open ends.

A longer function needs a reason in a comment directly above it that starts with "Long:".
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTION_LINES, FILE_LINES = 60, 600
NO_CONDITIONALS = ("mirage/wire/", "mirage/net/", "mirage/dns/", "mirage/http/", "mirage/tls/", "mirage/store/")
OPENS = re.compile(r"^(?P<indent> *)(?!namespace|struct|class|enum|union|extern|\}|//|#)[^;=]*\)[^;]*\{$")
OPEN_ENDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")


def functions(lines: list[str]):
    """Start, length and text of each braced block that looks like a function: formatted code, so indentation tells."""
    for i, line in enumerate(lines):
        match = OPENS.match(line)
        if not match or re.match(r" *(if|for|while|switch|do|else|catch)\b", line):
            continue
        indent = match["indent"]
        if len(indent) > 2:  # a function in a namespace starts at 0, a member at 2; deeper ones are within these
            continue
        for end in range(i + 1, len(lines)):
            if lines[end].startswith(indent + "}"):
                yield i, end - i + 1, line.strip()
                break


def check(name: str) -> list[str]:
    text = (ROOT / name).read_text()
    lines = text.splitlines()
    errors = []
    if not any("SPDX-License-Identifier: ISC" in line for line in lines[:3]):
        errors.append(f"{name}:1: no SPDX-License-Identifier")
    if len(lines) > FILE_LINES:
        errors.append(f"{name}: {len(lines)} lines (at most {FILE_LINES}): is it one thing?")
    for start, length, head in functions(lines):
        above = " ".join(lines[max(0, start - 4):start])
        if length > FUNCTION_LINES and "Long:" not in above:
            errors.append(f"{name}:{start + 1}: function of {length} lines (at most {FUNCTION_LINES}): {head}")
    for i, line in enumerate(lines):
        if OPEN_ENDS.search(line):
            errors.append(f"{name}:{i + 1}: open end: {line.strip()}")
        if name.startswith(NO_CONDITIONALS) and re.match(r"\s*#\s*(if|ifdef|ifndef)\b", line):
            errors.append(f"{name}:{i + 1}: conditional compilation in protocol code")
    return errors


def main() -> int:
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.cpp", "*.hpp"], cwd=ROOT,
                           check=True, capture_output=True, text=True).stdout.split()
    # What `mirage new` copies belongs to whoever asked for it.
    names = [name for name in names if not name.startswith("cli/template/")]
    errors = [error for name in names if (ROOT / name).exists() for error in check(name)]
    print("\n".join(errors + [f"shape: {len(names)} files, {len(errors)} findings"]))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
