#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: fat.py STORE_DRIVE [SEQUENCES [KILLS]]

The FAT store against dosfstools and mtools: images that each side makes are read byte by byte by the other and pass
fsck.fat -n; SEQUENCES (default 12) of random operations are done by both and compared; KILLS (default 10) times the store
is killed while it works, and what it acknowledged must be there. The full run is 200 of each.
"""
import os
import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from driver import Store, refused, tree_of_folder  # noqa: E402

DRIVE = sys.argv[1]
SEQUENCES = int(sys.argv[2]) if len(sys.argv) > 2 else 12
ENVIRONMENT = {**os.environ, "MTOOLS_SKIP_CHECK": "0", "LC_ALL": "C.UTF-8", "MTOOLSRC": "/dev/null"}
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 10
# type, KiB, sectors per cluster
FORMS = [(12, 1440, 1), (12, 4096, 4), (16, 8192, 1), (16, 32768, 4), (32, 40960, 1)]


def tool(*words):
    done = subprocess.run([str(word) for word in words], env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def make_image(path, form, ours):
    kind, kib, cluster = form
    with path.open("wb") as image:
        image.truncate(kib * 1024)
    if ours:
        tool(DRIVE, "format-fat", path, kind, cluster)
    else:
        tool("mkfs.fat", "-F", kind, "-s", cluster, path)


def fsck(path):
    tool("fsck.fat", "-n", path)


def extract(image, folder):
    """With mtools."""
    folder.mkdir()
    if tool("mdir", "-b", "-i", image, "::").strip():
        tool("mcopy", "-s", "-n", "-i", image, "::*", folder)
    return tree_of_folder(folder)


def same(found, wanted, what):
    names = sorted(set(found) ^ set(wanted)) or sorted(key for key in found if found[key] != wanted[key])
    assert found == wanted, f"{what}: {names}"


def lowered(tree):
    return {key.lower(): value for key, value in tree.items()}


def random_name(rng):
    return rng.choice([lambda: "FILE%d.TXT" % rng.randrange(6), lambda: "file %d with a long name.text" % rng.randrange(6),
                       lambda: "Ünï%d" % rng.randrange(4), lambda: "x" * rng.randrange(1, 40), lambda: "a.tar.gz",
                       lambda: "Mixed.Case"])()


def check_interchange(work, rng, form):
    folder = work / "tree"
    folder.mkdir()
    for name in ("README.TXT", "index.html", "css/site.css", "a/b/c/Long name of a file.html", "Größe ☃.txt", "empty", "x" * 200):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(0 if name == "empty" else rng.randrange(1, 90_000)))
    wanted = tree_of_folder(folder)
    theirs = work / "theirs.img"
    make_image(theirs, form, ours=False)
    tool("mcopy", "-s", "-i", theirs, *folder.iterdir(), "::")
    for kind in ("fat-reader", "fat"):
        with Store(DRIVE, kind, theirs) as store:
            assert store.tree() == wanted, f"{form}: mtools' image"
            assert store.check() == "clean"
    ours = work / "ours.img"
    make_image(ours, form, ours=True)
    fsck(ours)
    with Store(DRIVE, "fat", ours) as store:
        for key, value in wanted.items():
            if value is not None:
                store.set(key, value)
    fsck(ours)
    found = extract(ours, work / "out")
    assert found == wanted, f"{form}: our image: {set(found) ^ set(wanted)}"


class Mtools:
    """The same operations with mtools, on an image of its own."""

    def __init__(self, image, work):
        self.image, self.work, self.directories = image, work, set()

    def set(self, key, value):
        parts = key.split("/")
        for depth in range(1, len(parts)):
            directory = "/".join(parts[:depth])
            if directory.lower() not in self.directories:
                tool("mmd", "-i", self.image, "::" + directory)
                self.directories.add(directory.lower())
        source = self.work / "value"
        source.write_bytes(value)
        tool("mcopy", "-o", "-i", self.image, source, "::" + key)

    def remove(self, key):
        tool("mdel", "-i", self.image, "::" + key)

    def rename(self, old, new, value):
        # mren of mtools 4.0.33 ends in a failed assertion ("freeDirCacheRange") now and then.
        self.set(new, value)
        self.remove(old)


def sequence(work, rng, form):
    """Random operations, with what they should lead to kept in `wanted`."""
    images = {"ours": work / "ours.img", "theirs": work / "theirs.img"}
    make_image(images["ours"], form, ours=rng.random() < 0.5)
    make_image(images["theirs"], form, ours=False)
    theirs = Mtools(images["theirs"], work)
    wanted = {}
    with Store(DRIVE, "fat", images["ours"]) as ours:
        for _ in range(rng.randrange(8, 24)):
            directory = rng.choice(["", "sub/", "sub/lower/", "another directory/"])
            key = directory + random_name(rng)
            there = next((old for old in wanted if old.lower() == key.lower()), None)
            kind = rng.choice(["set", "set", "set", "partial", "remove", "rename"])
            if kind == "set" or (there is None and kind == "partial"):
                value = rng.randbytes(rng.choice([0, 1, 500, 512, 3000, 40_000]))
                ours.set(key, value)
                theirs.set(there or key, value)
                wanted[there or key] = value
            elif kind == "partial":
                offset = rng.randrange(len(wanted[there]) + 1)
                part = rng.randbytes(rng.choice([1, 100, 5000]))
                wanted[there] = wanted[there][:offset] + part + wanted[there][offset + len(part):]
                ours.partial(key, offset, part)
                theirs.set(there, wanted[there])
            elif kind == "remove":
                if there is None:
                    assert refused(ours.remove, key) == "not found"
                    continue
                ours.remove(key)
                theirs.remove(there)
                del wanted[there]
            elif wanted and there is None:
                old = rng.choice(sorted(wanted))
                ours.rename(old, key)
                theirs.rename(old, key, wanted[old])
                wanted[key] = wanted.pop(old)
        assert ours.check() == "clean"
        mine = ours.tree()
    fsck(images["ours"])
    assert {key: value for key, value in mine.items() if value is not None} == wanted
    same(extract(images["ours"], work / "ours"), mine, "mtools reads our image differently")
    # mtools may forget the case of short names ("xx" becomes "XX"), so case does not count in what mtools made.
    found = extract(images["theirs"], work / "theirs")
    same(lowered(found), lowered(mine), "mtools' own image is different")
    with Store(DRIVE, "fat-reader", images["theirs"]) as store:
        same(store.tree(), found, "we read mtools' image differently")


def killed(work, rng, number):
    """kill -9 at a random moment: acknowledged values are there, the one under way is old or new, nothing is damaged."""
    image = work / "killed.img"
    make_image(image, FORMS[number % 3], ours=True)
    acknowledged, key, value = {}, None, None
    store = Store(DRIVE, "fat", image)
    timer = threading.Timer(rng.random() * 0.15, store.process.kill)
    timer.start()
    try:
        while True:
            key, value = f"d{rng.randrange(3)}/value number {rng.randrange(12)}", rng.randbytes(rng.randrange(20_000))
            store.set(key, value)
            acknowledged[key] = value
    except (AssertionError, OSError):
        pass
    timer.join()
    store.process.wait()
    with Store(DRIVE, "fat", image) as again:
        assert again.check() != "damaged", f"kill {number}"
        found = again.tree()
        for name, wanted in acknowledged.items():
            assert found.get(name) == wanted or (name == key and found.get(name) == value), f"kill {number}: {name}"
    return len(acknowledged)


def main():
    for form in FORMS:
        with tempfile.TemporaryDirectory() as work:
            check_interchange(Path(work), random.Random(form[1]), form)
        print(f"FAT{form[0]} of {form[1]} KiB, {form[2]} sectors per cluster: ok")
    for number in range(SEQUENCES):
        with tempfile.TemporaryDirectory() as work:
            try:
                sequence(Path(work), random.Random(number), FORMS[number % 4 if number % 10 else 4])
            except AssertionError:
                print(f"sequence {number}:")
                raise
    print(f"{SEQUENCES} sequences: the same as mtools")
    with tempfile.TemporaryDirectory() as work:
        count = sum(killed(Path(work), random.Random(number), number) for number in range(KILLS))
    assert count > KILLS, "killed before anything was set"
    print(f"killed {KILLS} times: all of {count} acknowledged values were there")


main()
