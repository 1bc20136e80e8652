#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: crypt.py TOOLS

An encrypted disk beside somebody else's AES-XTS (python3-cryptography), as dm-crypt uses it (aes-xts-plain64, sectors of
512 bytes, an offset of 8): what we wrote is read without us, and what was encrypted without us, we read."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HEADER, SECTOR = 4096, 512


def convert(key, content, decrypt):
    """plain64: the tweak is the sector's number in the mapped part, 64 bits, little endian."""
    out = bytearray()
    for number in range(len(content) // SECTOR):
        cipher = Cipher(algorithms.AES(key), modes.XTS(number.to_bytes(16, "little")))
        step = cipher.decryptor() if decrypt else cipher.encryptor()
        out += step.update(content[number * SECTOR:(number + 1) * SECTOR]) + step.finalize()
    return bytes(out)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    mirage = Path(sys.argv[1]).resolve() / "mirage"
    with tempfile.TemporaryDirectory(prefix="mirage-crypt-") as name:
        work = Path(name)
        key = os.urandom(64)
        (work / "key").write_bytes(key)
        (work / "site").mkdir()
        (work / "site/page").write_bytes(bytes(range(256)) * 100)

        def store(*words):
            done = subprocess.run([mirage, "store", *words], cwd=work, capture_output=True, check=False)
            if done.returncode != 0:
                raise SystemExit(f"mirage store {' '.join(words)}: {done.stdout.decode()}{done.stderr.decode()}")
            return done.stdout

        layer = ("--layer", "crypt=key")
        store("format", "--size", "1M", *layer, "ours.img")
        store("import", *layer, "ours.img", "site")
        ours = (work / "ours.img").read_bytes()
        (work / "plain.img").write_bytes(convert(key, ours[HEADER:-HEADER], True))
        store("check", "plain.img")
        if store("cat", "plain.img", "page") != (work / "site/page").read_bytes():
            raise SystemExit("what we encrypted is something else for others")
        (work / "site/page").write_bytes(b"changed without us")
        store("import", "plain.img", "site")
        theirs = convert(key, (work / "plain.img").read_bytes(), False)
        (work / "ours.img").write_bytes(ours[:HEADER] + theirs + ours[-HEADER:])
        store("check", *layer, "ours.img")
        if store("cat", *layer, "ours.img", "page") != b"changed without us":
            raise SystemExit("what others encrypted is something else for us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
