#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: hostile.py TENDER IMAGE [--count N] [--from N] [--batch N] [--rig-limit SECONDS] [--min-ran N]

Hostile images: N mutations of an image's headers, program headers and notes, given to a tender that was built with
ASan and UBSan. What the loader refuses is refused before KVM is needed, so every mutation first meets the tender here,
where there is no KVM for it: one line on standard error and status 1. Those whose line is about KVM were accepted; they
are started in the KVM rig (test/rig/kvm.sh), many for each boot, where the guest ends however it likes within
its limit, or is ended. Wherever it runs, the tender itself neither faults nor hangs.

A mutation depends on its number alone: --from 1234 --count 1 replays one.
"""
import argparse
import concurrent.futures
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NUMBERS = (0, 1, 0xfff, 0x1000, 0x7fffffff, 0xffffffff, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
MUTATED = 0x400  # headers, program headers and notes lie in the first bytes of the file
HERE = Path(__file__).resolve().parent
RIG = HERE.parents[3] / "test/rig/kvm.sh"
HIDDEN = "MIRAGE_TEST_KVM_HIDDEN"


def mutate(image, number):
    """Changes some bytes of the headers, program headers or notes; now and then cuts the file."""
    generator = random.Random(number)
    data = bytearray(image)
    for _ in range(generator.choice((1, 1, 2, 3, 8))):
        at = generator.randrange(MUTATED)
        choice = generator.randrange(4)
        if choice == 0:
            data[at] = generator.randrange(256)
        elif choice == 1:
            data[at] ^= 1 << generator.randrange(8)
        else:
            width = generator.choice((1, 2, 4, 8))
            at &= -width
            data[at:at + width] = (generator.choice(NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, "little")
    return data[:generator.randrange(len(data))] if generator.randrange(50) == 0 else data


def hide_kvm():
    """Starts this script again where /dev/kvm is something else: whatever this machine has must not matter."""
    if os.environ.get(HIDDEN) or not os.path.exists("/dev/kvm"):
        return
    script = 'mount --bind /dev/null /dev/kvm && exec "$@"'
    os.execvpe("unshare", ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, *sys.argv],
               {**os.environ, HIDDEN: "1"})


def meet(tender, path):
    """What the tender says to an image here: 'accepted', 'refused', or what is wrong."""
    try:
        done = subprocess.run([tender, "--mem=2", "--", path, "status"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "hangs"
    error = done.stderr
    if done.returncode != 1 or done.stdout or error.count("\n") != 1 or len(error) > 500 or \
            re.search("Sanitizer|runtime error", error) or not error.startswith("mirage-hvt: "):
        return f"status {done.returncode}: {done.stdout}{error}"
    return "accepted" if re.search(r"KVM|/dev/kvm", error) else "refused"


def run_in_rig(tender, images, arguments):
    """Starts the images under the tender in the rig: those that ended by themselves, those that were ended, failures."""
    with tempfile.TemporaryDirectory(prefix="mirage-hostile-") as work:
        payload = Path(work)
        (payload / "hostile").mkdir()
        shutil.copy(HERE / "payload/hostile.sh", payload / "run.sh")
        for number, data in images:
            (payload / f"hostile/{number}.hvt").write_bytes(data)
        environment = {**os.environ, "RIG_MEMORY": "1024", "RIG_LIMIT": str(arguments.rig_limit),
                       "RIG_ICOUNT": "1"}  # a guest's time must not depend on this machine's load
        done = subprocess.run([RIG, "run", payload, tender], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", env=environment, check=False)
        summary = re.search(r"^hostile images: (\d+) ended, (\d+) were ended, (\d+) failed$", done.stdout, re.M)
        if done.returncode not in (0, 1) or not summary or sum(map(int, summary.groups())) != len(images):
            return 0, 0, [f"the rig failed, status {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"]
        failures = re.findall(r"^FAILED .*$", done.stdout, re.M)
        return int(summary[1]), int(summary[2]), failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tender")
    parser.add_argument("image")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--batch", type=int, default=300, help="images for each boot of the rig")
    parser.add_argument("--rig-limit", type=int, default=3600)
    parser.add_argument("--min-ran", type=int, default=1, help="at least so many must get as far as the rig")
    arguments = parser.parse_args()
    hide_kvm()
    tender, image = os.path.abspath(arguments.tender), Path(arguments.image).read_bytes()
    failures, accepted, refused, ended, stopped = [], [], 0, 0, 0

    def first_look(number):
        data = mutate(image, number)
        with tempfile.NamedTemporaryFile(prefix="mirage-hostile-", suffix=".hvt") as file:
            file.write(data)
            file.flush()
            return number, data, meet(tender, file.name)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        numbers = range(arguments.first, arguments.first + arguments.count)
        for number, data, answer in pool.map(first_look, numbers):
            if answer == "accepted":
                accepted.append((number, data))
            elif answer == "refused":
                refused += 1
            else:
                failures.append(f"mutation {number}: {answer}")
    print(f"{arguments.count} mutations: {refused} refused in one line, {len(accepted)} accepted, "
          f"{len(failures)} failures", flush=True)
    for at in range(0, len(accepted), arguments.batch):
        batch = accepted[at:at + arguments.batch]
        batch_ended, batch_stopped, failed = run_in_rig(tender, batch, arguments)
        ended, stopped = ended + batch_ended, stopped + batch_stopped
        failures += failed
        print(f"rig: {at + len(batch)} of {len(accepted)}: {ended} ended by themselves, {stopped} were ended, "
              f"{len(failures)} failures", flush=True)
    for failure in failures:
        print(f"FAILED {failure}")
    if len(accepted) < arguments.min_ran:
        print("FAILED hardly any mutation was accepted: the rig tested nothing")
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
