#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: notes.py TARGET TOOLS WORK [KILLS [STORE]]

The notes of example/application/notes survive kill -9: the image is killed KILLS times (default 5) at random moments
while notes are added and deleted; after each start every note that was acknowledged is there, every one whose deletion
was acknowledged is gone, and of what was under way at most the one request is either. STORE: volume (default), tree or fat.
"""
import contextlib
import fcntl
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Image:
    """The image, running; killed with everything that `mirage run` has started."""

    def __init__(self, mirage, project, disk, create):
        self.port, self.disk = free_port(), disk
        self.log = open(project / "console.log", "ab")
        self.process = subprocess.Popen(
            [mirage, "run", "-p", f"127.0.0.1:{self.port}:80", "--block", f"data={disk}", "--", *create], cwd=project,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def ask(self, method, path, body=None, timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait(self, limit=60):
        end = time.monotonic() + limit
        while True:
            check(self.process.poll() is None, f"the image ended with {self.process.returncode}")
            try:
                return self.ask("GET", "/notes")
            except (OSError, http.client.HTTPException):
                check(time.monotonic() < end, "no answer")
                time.sleep(0.05)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()
        with open(self.disk, "rb") as file:  # its tender may take a moment to go
            fcntl.flock(file, fcntl.LOCK_EX)

    def notes(self):
        """Everything, page by page."""
        found, before = {}, 1 << 62
        while True:
            status, body = self.ask("GET", f"/notes?before={before}")
            check(status == 200, f"GET /notes: {status}")
            page = json.loads(body)
            if not page:
                return found
            found.update((note["id"], note["text"]) for note in page)
            before = min(found)


def change_until(image, deadline, there, serial):
    """Adds and deletes; `there` is what has been acknowledged. The request that got no answer, and the next serial."""
    while True:
        if there and random.random() < 0.3:
            number = random.choice(list(there))
            request = ("DELETE", number)
        else:
            serial += 1
            request = ("POST", f"note {serial} " + "x" * random.randrange(400))
        if time.monotonic() > deadline:
            return None, serial
        try:
            if request[0] == "POST":
                status, body = image.ask("POST", "/notes", request[1])
                check(status == 201, f"POST: {status} {body!r}")
                there[json.loads(body)["id"]] = request[1]
            else:
                status, body = image.ask("DELETE", f"/notes/{request[1]}")
                check(status == 204, f"DELETE: {status} {body!r}")
                del there[request[1]]
        except (OSError, http.client.HTTPException):
            return request, serial


def compare(found, there, open_request):
    """What was found against what was acknowledged; the request without an answer may have happened."""
    if open_request and open_request[0] == "POST":
        extra = [number for number in found if number not in there]
        check(len(extra) <= 1 and all(found[number] == open_request[1] for number in extra), f"notes nobody added: {extra}")
        there.update((number, found[number]) for number in extra)
    elif open_request and open_request[1] not in found:
        there.pop(open_request[1], None)
    missing = [number for number in there if number not in found]
    check(found == there, f"missing: {missing}, too many: {[n for n in found if n not in there]}")


def rounds(mirage, project, disk, create, kills):
    there, serial, open_request = {}, 0, None
    for turn in range(kills + 1):
        image = Image(mirage, project, disk, create)
        try:
            image.wait()
            check(image.ask("POST", "/notes", b"\xff")[0] == 400, "text that is no UTF-8 was taken")
            check(image.ask("POST", "/notes", b"x" * 501)[0] == 413, "a note that is too long was taken")
            compare(image.notes(), there, open_request)
            # In the middle of whatever it does.
            delay = random.uniform(0.05, 0.8)
            killer = threading.Timer(delay, os.killpg, (image.process.pid, signal.SIGKILL))
            killer.start()
            open_request, serial = change_until(image, time.monotonic() + 30, there, serial)
            killer.join()
            check(open_request, "the image was not killed")
        finally:
            image.kill()
    return len(there), serial


def main():
    if len(sys.argv) not in (4, 5, 6):
        print(__doc__, file=sys.stderr)
        return 2
    target, tools, work = sys.argv[1:4]
    kills = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    store = sys.argv[5] if len(sys.argv) > 5 else "volume"
    create = {"volume": ["--data-create"], "tree": ["--tree-format-blank"], "fat": []}[store]
    mirage, work = str(Path(tools).resolve() / "mirage"), Path(work).resolve()
    seed = random.randrange(1 << 32)
    random.seed(seed)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    project = work / "notes"
    shutil.copytree(ROOT / "example/application/notes", project)
    for words in (["configure", "-t", target, f"--store={store}"], ["build"]):
        done = subprocess.run([mirage, *words], cwd=project, text=True, capture_output=True)
        if done.returncode != 0:
            print(f"mirage {words[0]}: status {done.returncode}\n{done.stdout}{done.stderr}")
            return 1
    disk = work / "data.img"
    if store == "fat":
        subprocess.run([mirage, "store", "format", "--type", "fat", "--size", "16M", disk], check=True, capture_output=True)
    else:
        disk.touch()
        os.truncate(disk, 16 << 20)
    try:
        left, added = rounds(mirage, project, disk, create, kills)
        if store == "fat":  # for everybody's tools it is a file of the volume
            listed = subprocess.run([mirage, "store", "list", disk, "notes"], text=True, capture_output=True)
            check("data" in listed.stdout, f"no file notes/data in the volume: {listed.stdout}{listed.stderr}")
    except Failed as error:
        print(f"{error} (seed {seed})\n{(project / 'console.log').read_text(errors='replace')[-3000:]}")
        return 1
    print(f"{target}, {store}: killed {kills} times; {added} notes were added, the {left} that were not deleted are all there")
    return 0 if added > kills else 1


if __name__ == "__main__":
    sys.exit(main())
