#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: redirect.py LIBRARY EVENTS.o OUT.a

Copies the library of net/tcp so that its shell (the objects that define members of Tcp and of Flow) calls
mirage::simulator::event::f(Tcb&, ..) where it called the core's mirage::net::tcp::f(Tcb&, ..). Every such f must
be in EVENTS.o with the same signature: a new event that nobody wraps is an error, so "every event" stays true.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EVENT = re.compile(r"mirage::net::tcp::((?:\w+::)*\w+)(\(mirage::net::tcp::Tcb&.*\))")
SHELL = re.compile(r"mirage::net::tcp::(Tcp|Flow)::\w+\(")


def symbols(path, kind):
    """Mangled and plain names of an object's symbols: 'T' defined, 'U' wanted."""
    lines = subprocess.run(["llvm-nm-19", "--format=posix", path], capture_output=True, text=True, check=True).stdout
    mangled = [line.split()[0] for line in lines.splitlines() if line.split()[1] == kind]
    plain = subprocess.run(["llvm-cxxfilt-19"], input="\n".join(mangled), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return dict(zip(mangled, plain))


def main():
    library, events, out = [Path(argument).resolve() for argument in sys.argv[1:]]
    wrappers = {plain.replace("mirage::simulator::event::", ""): mangled
                for mangled, plain in symbols(events, "T").items() if plain.startswith("mirage::simulator::event::")}
    used, missing = set(), set()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["llvm-ar-19", "x", library], cwd=folder, check=True)
        members = sorted(Path(folder).iterdir())
        for member in members:
            if not any(SHELL.match(name) for name in symbols(member, "T").values()):
                continue
            renames = []
            for mangled, plain in symbols(member, "U").items():
                if match := EVENT.fullmatch(plain):
                    name = match[1] + match[2]
                    (used if name in wrappers else missing).add(name)
                    renames.append(f"--redefine-sym={mangled}={wrappers.get(name, mangled)}")
            subprocess.run(["llvm-objcopy-19", *renames, member], check=True)
        for name in sorted(missing):
            print(f"redirect.py: event.cpp has no mirage::simulator::event::{name}: add it", file=sys.stderr)
        for name in sorted(set(wrappers) - used):
            print(f"redirect.py: nobody calls {name} any more: remove it from event.cpp", file=sys.stderr)
        if missing or set(wrappers) - used:
            return 1
        out.unlink(missing_ok=True)
        subprocess.run(["llvm-ar-19", "rcs", out, *members], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
