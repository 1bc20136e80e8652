#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: image.py budget|reproducible|profile TOOLS WORK

budget: sizes of shipped images (symbols are in the .debug file) against their bounds.
reproducible: the same project gives the same bytes when it is built in another folder, from another copy of mirage (the
guest libraries are built anew for that).
profile: the profile for --optimize=speed (cmake/speed.proftext) still fits the code that it was recorded from.
"""
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIB = 1024
SMALL = "--optimize=size"
FAST = "--optimize=speed"
# example, target, without its content, bytes at most, options of `mirage configure`
BUDGETS = [
    ("tutorial/hello", "spt", False, 48 * KIB, []),
    ("tutorial/hello", "hvt", False, 48 * KIB, []),
    ("tutorial/hello", "virtio", False, 64 * KIB, []),
    ("application/website", "spt", True, 240 * KIB, []),
    ("application/website", "hvt", True, 244 * KIB, []),
    ("application/website", "virtio", True, 256 * KIB, []),  # PCI, ACPI, clocks and drivers: 21 KiB more than on hvt
    ("application/website", "spt", True, 192 * KIB, [SMALL]),
    ("application/website", "hvt", True, 193 * KIB, [SMALL]),
    ("application/website", "virtio", True, 192 * KIB, [SMALL]),  # packed
    ("application/website", "hvt", True, 192 * KIB, [SMALL, "--dhcp-clients=none"]),  # the one image without any
]


# The site with a choice of its keys, bytes at most above the default: on a disk instead, or with what that links.
CHOICES = [("--kv=fat", 32 * KIB), ("--kv=tar", 32 * KIB), ("--compress", 48 * KIB)]


def build(tools, source, folder, target, empty, root=ROOT, settings=()):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "example" / source, folder)
    if empty:
        for path in (folder / "htdocs").iterdir():
            path.unlink()
    for words in (["configure", "-t", target, *settings], ["build"]):
        done = subprocess.run([str(Path(tools) / "mirage"), *words], cwd=folder, text=True, capture_output=True,
                              env=os.environ | {"MIRAGE_ROOT": str(root)})
        if done.returncode:
            sys.exit(f"{source}: mirage {' '.join(words)}: {done.stdout}{done.stderr}")
    return folder / "dist" / f"{Path(source).name}.{target}"


def budget(tools, work):
    over = 0
    for source, target, empty, bound, settings in BUDGETS:
        size = build(tools, source, work / "budget", target, empty, settings=settings).stat().st_size
        over += size > bound
        print(f"{source:22}{target:8}{size:8} of {bound} bytes {' '.join(settings)}{'  OVER' if size > bound else ''}")
        if (source, target, settings) == ("application/website", "spt", []):
            linked_in = size
    for choice, more in CHOICES:
        size = build(tools, "application/website", work / "budget", "spt", False, settings=[choice]).stat().st_size
        over += size > linked_in + more
        print(f"website {choice:14}spt     {size:8} of {linked_in + more} bytes{'  OVER' if size > linked_in + more else ''}")
    return 1 if over else 0


def reproducible(tools, work):
    differ = 0
    copy = work / "copy-of-mirage"
    shutil.rmtree(copy, ignore_errors=True)
    tracked = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                             capture_output=True).stdout.decode().split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for source, target, settings in (("tutorial/hello", "spt", []), ("tutorial/hello", "spt", [FAST]),
                                     ("application/website", "spt", []), ("application/website", "hvt", []),
                                     ("application/website", "virtio", []), ("tutorial/hello", "virtio", [SMALL])):
        first = build(tools, source, work / "one", target, False, settings=settings)
        second = build(tools, source, work / "another" / "deeper folder", target, False, copy, settings)
        for suffix in ("", ".debug"):
            same = Path(f"{first}{suffix}").read_bytes() == Path(f"{second}{suffix}").read_bytes()
            differ += not same
            print(f"{first.name}{suffix} {' '.join(settings)}: {'same bytes' if same else 'DIFFERENT'}")
    return 1 if differ else 0


def profile(tools, work):
    """Compiles the files that half of it is about with the flags of a guest, and counts the compiler's complaints."""
    build(tools, "application/website", work / "website", "spt", False, settings=[FAST])
    compiling = next(line for line in (work / "website/build/spt/build.ninja").read_text().splitlines() if line.startswith("compile = "))
    flags = next(word for word in compiling.split() if word.startswith("@"))
    files = [file for folder in ("http", "net/tcp") for file in sorted((ROOT / "mirage" / folder).glob("*.cpp"))
             if not file.stem.endswith(("_test", "_fuzz"))]

    def stale(file):
        done = subprocess.run(["clang++-19", flags, "-Wbackend-plugin", "-c", str(file), "-o", os.devnull], text=True, capture_output=True)
        if done.returncode:
            sys.exit(f"{file}: {done.stderr}")
        return {line.split("(hash mismatch) ")[1].split()[0] for line in done.stderr.splitlines() if "(hash mismatch) " in line}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        changed = set().union(*pool.map(stale, files))
    known = (ROOT / "cmake/speed.proftext").read_text().count("# Func Hash:")
    bound = known // 20
    print(f"{len(changed)} of {known} functions have changed since the profile was recorded, {bound} may"
          f"{': record it again with ./dev profile' if len(changed) > bound else ''}")
    for name in sorted(changed):
        print(name)
    return 1 if len(changed) > bound else 0


def main():
    commands = {"budget": budget, "reproducible": reproducible, "profile": profile}
    if len(sys.argv) != 4 or sys.argv[1] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    work = Path(sys.argv[3])
    work.mkdir(parents=True, exist_ok=True)
    return commands[sys.argv[1]](sys.argv[2], work)


if __name__ == "__main__":
    sys.exit(main())
