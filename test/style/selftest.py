#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The style checks find what they look for: each is shown a tree that breaks its rule."""
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tool/check"))
import layers  # noqa: E402
import shape  # noqa: E402


def tree(files):
    folder = Path(tempfile.mkdtemp(prefix="style-"))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def expect(found, piece):
    if not any(piece in error for error in found):
        sys.exit(f"not found: {piece!r} in {found}")


def globals_status(folder, source):
    (folder / "x.cpp").write_text(source)
    for command in (["clang++-19", "-c", "x.cpp", "-o", "x.o"], ["llvm-ar-19", "rc", "x.a", "x.o"]):
        subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([ROOT / "tool/check/globals.sh", folder / "x.a"], capture_output=True).returncode


def check_globals():
    cases = {"int leaked = 3; int f() { return leaked; }": 1, "int f() { static int calls; return ++calls; }": 1,
             "int f() { return 1; }": 0}
    for source, wanted in cases.items():
        if (status := globals_status(tree({}), source)) != wanted:
            sys.exit(f"globals.sh: status {status} instead of {wanted} for: {source}")
    junk = tree({"junk.a": "not an archive"}) / "junk.a"
    if subprocess.run([ROOT / "tool/check/globals.sh", junk], capture_output=True).returncode != 2:
        sys.exit("globals.sh: junk passes for an archive without globals")


def main():
    check_globals()
    base = {"mirage/base/a.hpp": "", "mirage/net/ip/ip.hpp": "", "mirage/target/spt/net.hpp": ""}
    expect(layers.check(tree(base | {"mirage/net/tcp/tcp.cpp": "#include <mirage/net/ip/ip.hpp>\n"})), "mirage/net/ip/ip.hpp")
    expect(layers.check(tree(base | {"mirage/base/b.cpp": "#include <mirage/net/ip/ip.hpp>\n"})), "may use only: nothing")
    expect(layers.check(tree(base | {"mirage/new/x.cpp": ""})), "is not listed")
    expect(layers.check(tree(base | {"mirage/target/hvt/x.cpp": "#include <mirage/target/spt/net.hpp>\n"})), "target/spt")
    if layers.check(tree(base | {"mirage/net/stack.cpp": "#include <mirage/net/ip/ip.hpp>\n"})):
        sys.exit("an allowed include was refused")
    lines = ["namespace a {", "int f() {"] + ["  x();"] * 70 + ["}", "}"]
    if [length for _, length, _ in shape.functions(lines)] != [72]:
        sys.exit("the length of a function is wrong")
    print("the style checks can fail")


if __name__ == "__main__":
    main()
