#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: website.py TOOLS WORK

The sample website from a store on a disk that the usual tools, or `mirage store`, made: `mirage configure --kv=...` on
spt, served through `mirage run --block data=IMAGE`, byte by byte; and what it says of an image that is none.
"""
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIRAGE, WORK = str(Path(sys.argv[1]) / "mirage"), Path(sys.argv[2])
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tool(*words, folder=None):
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"


def make_fat(image, htdocs):
    image.write_bytes(bytes(4 << 20))
    tool("mkfs.fat", image)
    tool("mcopy", "-s", "-i", image, *htdocs.iterdir(), "::")


def make_tar(image, htdocs):
    tool("tar", "-cf", image, "-C", htdocs, ".")


def make_tree(image, htdocs):
    tool(MIRAGE, "store", "format", "--size", "4M", image)
    tool(MIRAGE, "store", "import", image, htdocs)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(port, path, process):
    end = time.monotonic() + 60
    while True:
        try:
            with OPENER.open(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert process.poll() is None and time.monotonic() < end, "it does not serve"
            time.sleep(0.1)


def serve(project, image, htdocs):
    port = free_port()
    process = subprocess.Popen([MIRAGE, "run", "-p", f"127.0.0.1:{port}:80", "--block", f"data={image}"], cwd=project,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for path in sorted(htdocs.rglob("*")):
            if not path.is_file():
                continue
            body, headers = fetch(port, urllib.parse.quote(path.relative_to(htdocs).as_posix()), process)
            assert body == path.read_bytes(), f"{path.name} is different"
            assert "Last-Modified" in headers or image.suffix == ".tree", headers
        for missing in ("none", "a:b", "index.html/x"):
            try:
                fetch(port, missing, process)
                raise AssertionError(f"{missing} was served")
            except urllib.error.HTTPError as error:
                assert error.code == 404, error
    finally:
        process.terminate()
        process.wait(20)


def complaint(project, image):
    done = subprocess.run([MIRAGE, "run", "-p", f"127.0.0.1:{free_port()}:80", "--block", f"data={image}"], cwd=project,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode not in (0, 124), "it runs"
    return done.stdout + done.stderr


def bad_images(image):
    """Name, bytes."""
    good = image.read_bytes()
    yield "zeros", bytes(len(good))
    yield "foreign", b"\x7fELF" + b"\x01" * (len(good) - 4)
    yield "cut off", good[:len(good) // 3 // 512 * 512]


# store -> how its image is made, what is said of each bad one
STORES = {
    "fat": (make_fat, {"zeros": "no FAT volume", "foreign": "no FAT volume", "cut off": "the image is cut off"}),
    "tar": (make_tar, {"zeros": "no tar archive", "foreign": "no tar archive", "cut off": "the archive is cut off"}),
    "tree": (make_tree, {"zeros": "the device is blank", "foreign": "no tree store", "cut off": "the device is truncated"}),
}


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for store, (make, complaints) in STORES.items():
        project = WORK / store / "website"
        shutil.copytree(ROOT / "example/application/website", project)
        htdocs = project / "htdocs"
        (htdocs / "below" / "deeper").mkdir(parents=True)
        (htdocs / "below" / "deeper" / "A long name.bin").write_bytes(b"0123456789abcdef" * 20_000)
        (htdocs / "below" / "empty.txt").touch()
        image = WORK / f"site.{store}"
        make(image, htdocs)
        tool(MIRAGE, "configure", "-t", "spt", f"--kv={store}", folder=project)
        tool(MIRAGE, "build", folder=project)
        serve(project, image, htdocs)
        said = complaint(project, WORK / "missing.img")
        assert "missing.img" in said, said
        for name, content in bad_images(image):
            bad = WORK / "bad.img"
            bad.write_bytes(content)
            said = complaint(project, bad)
            assert complaints[name] in said, f"{store}, {name}: {said}"
        print(f"--kv={store}: served, and clear about what it cannot serve", flush=True)


main()
