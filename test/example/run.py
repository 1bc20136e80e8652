#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: run.py TARGET TOOLS WORK

Every example as a user would take it: copied out of the tree, configured for TARGET, built, run, its output checked.
TOOLS is the folder of mirage and the tenders. spt, virtio and unix images run here, through `mirage run` and without
privileges (user-mode network); hvt images run under KVM in the rig of test/rig.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALL = ("unix", "spt", "virtio", "hvt")


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


@dataclass(frozen=True)
class Run:
    """An example that ends by itself."""
    folder: str
    output: list  # pieces of it, in their order
    arguments: list = field(default_factory=list)
    settings: list = field(default_factory=list)  # options of `mirage configure`
    disks: tuple = ()  # names of block devices; the one called `key` is random, others are blank
    memory: int = 32  # MiB
    network: bool = False
    targets: tuple = ALL


@dataclass(frozen=True)
class Server:
    """An example that answers HTTP."""
    folder: str
    port: int  # of the guest
    requests: list  # (request line and headers, status, piece of the body)
    settings: list = field(default_factory=list)
    targets: tuple = ALL


BLOCK = ["written and read back", "pieces and zeroes as they should be", "8 writes in flight", "durable: yes", "out of bounds: beyond the end"]
EXAMPLES = {
    "hello": Run("tutorial/hello", ["hello"] * 4, memory=2),  # 2 MiB is all that a small unikernel needs
    "hello-key": Run("tutorial/hello-key", ["Good day", "Good day"], ["--hello=Good day", "--count=2", "--pause=10ms"]),
    "timers": Run("tutorial/timers", ["tick 1", "tick 2", "tick 3", "no more ticks", "short sleeper is awake", "long sleeper is awake",
                                      "long enough", "cancelled"]),
    "block": Run("device/block", ["2048 sectors of 512 bytes", *BLOCK], disks=("storage",)),
    "block-layers": Run("device/block", ["1984 sectors of 512 bytes", *BLOCK], ["--crypt-create", "--checksum-create"],
                        ["--disk=checksummed"], ("storage", "key"), targets=("virtio", "hvt")),  # spt: run_encrypted
    "lookup": Run("application/lookup", ["localhost is 127.0.0.1", "192.0.2.1 is 192.0.2.1"], ["--names=localhost,192.0.2.1"],
                  network=True),
    "custom-block": Run("device/custom-block", ["a mirrored disk of 64 sectors"]),
    "network": Server("device/network", 8080, [("GET / HTTP/1.1\r\nHost: x", 200, b"Hello, World!\n")]),
    "website": Server("application/website", 80, [
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close", 200, b"<h1>It runs.</h1>"),
        ("GET /style.css HTTP/1.1\r\nHost: x\r\nConnection: close", 200, b"main {"),
        ("GET /none HTTP/1.1\r\nHost: x\r\nConnection: close", 404, b"not found"),
        ("GET /robots.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\nConnection: close", 206, b"User-agent"),
        ("GET /../config.cpp HTTP/1.1\r\nHost: x\r\nConnection: close", 400, b""),
    ]),
    "key-value": Server("application/key-value", 80, [
        ("PUT /value/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\nsome text", 204, b""),
        ("GET /value/a/b HTTP/1.1\r\nHost: x\r\nConnection: close", 200, b"some text"),
        ("PUT /value/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", 400, b"is a directory"),
        ("DELETE /value/a/b HTTP/1.1\r\nHost: x\r\nConnection: close", 204, b""),
        ("GET /value/a/b HTTP/1.1\r\nHost: x\r\nConnection: close", 404, b"not found"),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close", 200, b"<h1>Values</h1>"),
    ]),
    # As small as it gets: for images only.
    "small-website": Server("application/website", 80, [
        ("GET /style.css HTTP/1.1\r\nHost: x\r\nConnection: close", 200, b"main {"),
    ], ["--optimize=size"], targets=("spt", "virtio", "hvt")),
    # As fast as it gets: compiled with a profile, optimised as a whole.
    "fast-website": Server("application/website", 80, [
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close", 200, b"<h1>It runs.</h1>"),
        ("GET /robots.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\nConnection: close", 206, b"User-agent"),
    ], ["--optimize=speed"], targets=("spt", "virtio")),
}


class Examples:
    def __init__(self, target, tools, work):
        self.target, self.mirage, self.work = target, str(Path(tools) / "mirage"), Path(work)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def tool(self, folder, *words):
        done = subprocess.run([self.mirage, *words], cwd=folder, text=True, capture_output=True)
        check(done.returncode == 0, f"mirage {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")

    def build(self, name):
        example = EXAMPLES[name]
        project = self.work / name
        shutil.copytree(ROOT / "example" / example.folder, project)
        self.tool(project, "configure", "-t", self.target, *example.settings)
        self.tool(project, "build")
        suffix = "" if self.target == "unix" else "." + self.target
        image = project / "dist" / (Path(example.folder).name + suffix)
        check(image.exists(), f"{image} is missing")
        return project, image

    def names(self):
        return [name for name, example in EXAMPLES.items() if self.target in example.targets]

    def disk(self, name):
        path = self.work / f"{name}.img"
        path.write_bytes(os.urandom(512) if name == "key" else bytes(2048 * 512))
        return path


def in_order(output, pieces):
    at = 0
    for piece in pieces:
        found = output.find(piece, at)
        check(found >= 0, f"'{piece}' is missing in:\n{output}")
        at = found + len(piece)


def run_here(examples, name):
    example = EXAMPLES[name]
    project, _ = examples.build(name)
    options = [] if examples.target == "unix" else [f"--mem={example.memory}"]  # a process takes what it needs
    for disk in example.disks:
        options += ["--block", f"{disk}={examples.disk(disk)}"]
    done = subprocess.run([examples.mirage, "run", *options, "--", *example.arguments], cwd=project, text=True, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120)
    check(done.returncode == 0, f"status {done.returncode}:\n{done.stdout}{done.stderr}")
    in_order(done.stdout, example.output)


def run_encrypted(examples):
    """The same application on an encrypted disk: a blank one is made one, nothing of it shows, another key is refused."""
    project, disk, keys = examples.work / "block", examples.disk("storage"), [examples.work / "key", examples.work / "other.key"]
    examples.tool(project, "configure", "-t", examples.target, "--disk=encrypted")
    examples.tool(project, "build")

    def run(key):
        return subprocess.run([examples.mirage, "run", "--block", f"storage={disk}", "--block", f"key={key}", "--", "--crypt-create"],
                              cwd=project, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)

    for key in keys:
        key.write_bytes(os.urandom(512))
    for _ in range(2):
        done = run(keys[0])
        check(done.returncode == 0, f"status {done.returncode}:\n{done.stdout}{done.stderr}")
        in_order(done.stdout, ["2032 sectors of 512 bytes", *BLOCK])
    image = disk.read_bytes()
    check(bytes(i * 31 % 256 for i in range(32)) not in image, "what was written stands on the disk")
    check(bytes(32) not in image[4096:-4096], "zeros stand on the disk")
    done = run(keys[1])
    check(done.returncode != 0 and "crypt: wrong key for this disk" in done.stdout + done.stderr, f"another key:\n{done.stdout}{done.stderr}")
    check(disk.read_bytes() == image, "another key changed the disk")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as c:
        c.sendall(request.encode() + b"\r\n\r\n")
        answer = b""
        while part := c.recv(65536):
            answer += part
    return answer


def ask_patiently(port, request, process, limit=60):
    end = time.monotonic() + limit
    while True:
        check(process.poll() is None, f"the image ended with {process.returncode}")
        try:
            if answer := ask(port, request):
                return answer
        except OSError:
            pass
        check(time.monotonic() < end, "no answer")
        time.sleep(0.1)


def serve_here(examples, name):
    example = EXAMPLES[name]
    project, _ = examples.build(name)
    port = free_port()
    log = open(project / "console.log", "wb")
    process = subprocess.Popen([examples.mirage, "run", "-p", f"127.0.0.1:{port}:{example.port}"], cwd=project,
                               stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        for request, status, piece in example.requests:
            answer = ask_patiently(port, request, process)
            check(answer.startswith(b"HTTP/1.1 %d " % status), f"{request!r}: {answer[:200]!r}")
            check(piece in answer, f"{request!r}: {piece!r} is missing in {answer[-200:]!r}")
    except Failed as error:
        raise Failed(f"{error}\n{(project / 'console.log').read_text(errors='replace')}") from None
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise Failed("mirage run did not end on SIGINT") from None
        log.close()


RIG = """#!/bin/sh
# Each example's output goes between markers.
ifconfig lo up
tunctl -t tap0 >/dev/null
ifconfig tap0 10.0.0.1 netmask 255.255.255.0 up
{cases}
exit 0
"""


def rig_case(name):
    example = EXAMPLES[name]
    if isinstance(example, Server):
        asks = "\n".join("printf '{}\\r\\n\\r\\n' | timeout 5 nc 10.0.0.2 {} | head -c 1500; echo".format(
            request.replace("\r\n", "\\r\\n"), example.port) for request, _, _ in example.requests)
        return (f"echo 'BEGIN {name}'\nmirage-hvt --mem=32 --net:service=tap0 -- {name}.hvt --ipv4=10.0.0.2/24 & p=$!\n"
                f"for i in 1 2 3 4 5 6 7 8 9 10; do ping -c 1 -W 1 10.0.0.2 >/dev/null 2>&1 && break; done\n{asks}\n"
                f"kill $p; wait $p; echo \"END {name} 0\"")
    commands, devices = [], []
    for disk in example.disks:
        source, count = ("urandom", 1) if disk == "key" else ("zero", 2048)
        commands.append(f"dd if=/dev/{source} of=/tmp/{disk}.img bs=512 count={count} 2>/dev/null")
        devices.append(f"--block:{disk}=/tmp/{disk}.img")
    devices += ["--net:service=tap0"] if example.network else []
    words = " ".join(f"'\"{a}\"'" for a in example.arguments)  # a tender joins words; the guest splits them as a shell does
    return "\n".join([*commands, f"echo 'BEGIN {name}'; mirage-hvt --mem={example.memory} {' '.join(devices)} -- {name}.hvt {words}; "
                                 f"echo \"END {name} $?\""])


def between(output, name):
    begin = output.find(f"BEGIN {name}\n")
    end = output.find(f"END {name} ", begin)
    check(begin >= 0 and end >= 0, f"no output of {name}:\n{output[-2000:]}")
    return output[begin:end], int(output[end:].split()[2])


def check_rig(name, output):
    example = EXAMPLES[name]
    text, status = between(output, name)
    if isinstance(example, Run):
        check(status == 0, f"status {status}:\n{text}")
        return in_order(text, example.output)
    for request, wanted, piece in example.requests:
        check(f"HTTP/1.1 {wanted} " in text, f"{request!r}: no status {wanted} in:\n{text}")
        check(piece.decode() in text, f"{request!r}: {piece!r} is missing in:\n{text}")


def run_in_rig(examples):
    payload = examples.work / "payload"
    payload.mkdir()
    names = examples.names()
    for name in names:
        _, image = examples.build(name)
        shutil.copy(image, payload / f"{name}.hvt")
    script = payload / "run.sh"
    script.write_text(RIG.replace("{cases}", "\n".join(map(rig_case, names))))
    script.chmod(0o755)
    tender = Path(examples.mirage).parent / "mirage-hvt"
    done = subprocess.run([str(ROOT / "test/rig/kvm.sh"), "run", str(payload), str(tender)], text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    return done.stdout.replace("\r\n", "\n")


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    examples = Examples(*sys.argv[1:])
    rig_output = run_in_rig(examples) if examples.target == "hvt" else None
    failures = 0
    names = examples.names()
    for name in names:
        start = time.monotonic()
        try:
            if rig_output is not None:
                check_rig(name, rig_output)
            elif isinstance(EXAMPLES[name], Run):
                run_here(examples, name)
                if name == "block" and examples.target == "spt":
                    run_encrypted(examples)
            else:
                serve_here(examples, name)
            outcome = "ok"
        except (Failed, OSError, subprocess.SubprocessError) as error:
            failures += 1
            outcome = f"FAILED: {error}"
        print(f"{examples.target:7}{name:14}{time.monotonic() - start:6.2f} s  {outcome}", flush=True)
    print(f"{len(names) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
