#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: tar.py STORE_DRIVE

The tar store against GNU tar: archives of every format read byte by byte, archives that were appended to read by tar.
"""
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from driver import Store, refused, tree_of_folder  # noqa: E402

DRIVE = sys.argv[1]


def make_tree(folder, rng):
    """Files of sizes around the block's, with names around the limits of the formats."""
    names = ["index.html", "css/site.css", "a b/ü ☃.txt", "empty", "n" * 99, "n" * 100, "d" * 80 + "/" + "f" * 90,
             "e" * 200 + "/" + "g" * 200 + "/" + "h" * 150, "deep/" * 20 + "end"]
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = [0, 1, 511, 512, 513, 70_000, 200_001][number % 7] if name != "empty" else 0
        path.write_bytes(rng.randbytes(size))
    (folder / "empty directory").mkdir()


def check_reading(work, rng):
    folder = work / "tree"
    folder.mkdir()
    make_tree(folder, rng)
    wanted = tree_of_folder(folder)
    for form in ("gnu", "pax", "oldgnu", "posix"):
        archive = work / f"{form}.tar"
        subprocess.run(["tar", f"--format={form}", "-cf", archive, "-C", folder, "."], check=True)
        with Store(DRIVE, "tar", archive) as store:
            found = store.tree()
            assert found == wanted, f"{form}: {set(found) ^ set(wanted)}"
    (folder / "link").symlink_to("index.html")
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 20)
        sparse.seek(1 << 19)
        sparse.write(b"x" * 9000)
    for form in ("gnu", "pax"):
        archive = work / f"special-{form}.tar"
        subprocess.run(["tar", f"--format={form}", "-S", "-cf", archive, "-C", folder, "."], check=True)
        with Store(DRIVE, "tar", archive) as store:
            assert store.tree() == wanted, "links and sparse files show, or hide what follows"


def check_appending(work, rng):
    archive = work / "append.tar"
    folder = work / "first"
    folder.mkdir()
    make_tree(folder, rng)
    subprocess.run(["tar", "-cf", archive, "-C", folder, "."], check=True)
    with archive.open("ab") as grown:
        grown.truncate(2 << 20)
    wanted = tree_of_folder(folder)
    with Store(DRIVE, "tar-append", archive) as store:
        for number in range(60):
            key = rng.choice(["index.html", f"new/{number % 7}", "x" * 99 + "/" + "y" * rng.randrange(1, 160), "e" * 120])
            value = rng.randbytes(rng.choice([0, 1, 511, 512, 513, 5000, 30_000]))
            store.set(key, value)
            wanted[key] = value
            for at, letter in enumerate(key):
                if letter == "/":
                    wanted[key[:at]] = None
        assert store.tree() == wanted
        assert refused(store.set, "large", bytes(2 << 20)) == "no space left"
    out = work / "extracted"
    out.mkdir()
    done = subprocess.run(["tar", "-xf", archive, "-C", out], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert tree_of_folder(out) == wanted


def main():
    rng = random.Random(1)
    for check in (check_reading, check_appending):
        with tempfile.TemporaryDirectory() as work:
            check(Path(work), rng)
        print(f"{check.__name__}: ok")


main()
