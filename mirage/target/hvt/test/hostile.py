#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: mutate.py IMAGE COUNT SEED FOLDER    writes COUNT hostile variants of an image

Changes some bytes of the headers, program headers or notes; now and then cuts the file.
"""
import random
import sys
from pathlib import Path

NUMBERS = (0, 1, 0xfff, 0x1000, 0x7fffffff, 0xffffffff, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def mutate(image, generator):
    data = bytearray(image)
    for _ in range(generator.choice((1, 1, 2, 3, 8))):
        at = generator.randrange(0x400)
        if generator.randrange(2) == 0:
            data[at] ^= 1 << generator.randrange(8)
        else:
            width = generator.choice((1, 2, 4, 8))
            at &= -width
            data[at:at + width] = (generator.choice(NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, "little")
    return data[:generator.randrange(len(data))] if generator.randrange(50) == 0 else data


def main():
    image, count, seed, folder = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    generator = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.hvt").write_bytes(mutate(image, generator))


if __name__ == "__main__":
    main()
