#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Runs the conformance images of this folder under an spt tender: ours, or a stock one with --stock.

usage: tender_test.py [--stock] TENDER FOLDER-WITH-IMAGES
"""
import fcntl
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile

SEGMENTATION_FAULT = 128 + 11
ILLEGAL_INSTRUCTION = 128 + 4
ARITHMETIC = 128 + 8
BAD_SYSTEM_CALL = 128 + 31

# What a sandbox must stop, and the status that shows it did.
STOPPED = {
    "write_text": SEGMENTATION_FAULT, "write_constant": SEGMENTATION_FAULT,
    "execute_heap": SEGMENTATION_FAULT, "execute_data": SEGMENTATION_FAULT,
    "execute_stack": SEGMENTATION_FAULT, "execute_low": SEGMENTATION_FAULT,
    "zero_page": SEGMENTATION_FAULT, "overflow_stack": SEGMENTATION_FAULT,
    "beyond_memory": SEGMENTATION_FAULT, "divide": ARITHMETIC, "invalid_instruction": ILLEGAL_INSTRUCTION,
    "open": BAD_SYSTEM_CALL, "socket": BAD_SYSTEM_CALL, "mprotect": BAD_SYSTEM_CALL, "mmap": BAD_SYSTEM_CALL,
    "clone": BAD_SYSTEM_CALL, "fork": BAD_SYSTEM_CALL, "execve": BAD_SYSTEM_CALL, "ptrace": BAD_SYSTEM_CALL,
    "x32": BAD_SYSTEM_CALL, "write_stderr": BAD_SYSTEM_CALL, "read_stdin": BAD_SYSTEM_CALL,
    "get_fs": BAD_SYSTEM_CALL, "cpu_clock": BAD_SYSTEM_CALL, "getrandom": BAD_SYSTEM_CALL,
}
BLOCK_STOPPED = ["far_read", "far_write", "straddling_write", "wrapping_write", "huge_write", "high_half_write",
                 "partial_write", "plain_write", "far_discard", "straddling_discard", "wrapping_discard", "partial_discard",
                 "preallocate", "collapse", "truncate", "vector_write"]

failures = []


class Tender:
    def __init__(self, program, folder, stock):
        self.program, self.folder, self.stock = program, folder, stock
        with open(program, "rb") as file:
            self.sanitized = b"__asan_init" in file.read()

    def run(self, image, *arguments, options=(), descriptors=(), memory=2):
        command = [self.program, f"--mem={memory}", *options, "--", os.path.join(self.folder, image), *arguments]
        return self.command(command, descriptors)

    def command(self, command, descriptors=()):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              pass_fds=descriptors, stdin=subprocess.DEVNULL)
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return status, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def check(name, condition, seen):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {seen}")


def expect(name, seen, status, text=""):
    check(name, seen[0] == status and text in seen[1], seen)


def one_line_error(name, seen, text):
    """A tender's error: status 1 and one line on standard error."""
    check(name, seen[0] == 1 and seen[2].count("\n") == 1 and text in seen[2] and seen[1] == "", seen)


def test_base(tender):
    expect("hello", tender.run("base.spt", "hello"), 0, "hello\n")
    expect("exit status", tender.run("base.spt", "status"), 42)
    expect("command line", tender.run("base.spt", "=a", "b  c", ""), 0, "=a b  c \n")
    expect("boot info", tender.run("base.spt", "boot_info"), 0, "memory 2 base\n")
    expect("memory size", tender.run("base.spt", "boot_info", memory=64), 0, "memory 64 base\n")
    if not tender.sanitized:  # the sanitizer's shadow memory begins below 2 GiB
        expect("large memory", tender.run("base.spt", "boot_info", memory=8192), 0, "memory 8192 base\n")
    for deed in ("memory", "clock", "sleep"):
        expect(deed, tender.run("base.spt", deed), 0)
    for deed, status in STOPPED.items():
        expect(deed, tender.run("base.spt", deed), status)


def storage(size):
    file = tempfile.NamedTemporaryFile(prefix="mirage-spt-test-")
    file.truncate(size)
    return file


def test_block(tender):
    with storage(1 << 20) as file:
        attach = [f"--block:storage={file.name}"]
        expect("block", tender.run("block.spt", "block", options=attach), 0)
        expect("sector size", tender.run("block.spt", "block",
                                         options=attach + ["--block-sector-size:storage=4096"]), 0)
        for deed in BLOCK_STOPPED + ["two_blocks"]:
            expect(deed, tender.run("block.spt", deed, options=attach), BAD_SYSTEM_CALL)
        check("file did not grow", os.path.getsize(file.name) == 1 << 20, os.path.getsize(file.name))


def test_block_extended(tender):
    for size in (1 << 20, (4 << 30) + 4096, 4 << 30):
        with storage(size) as file:
            attach = [f"--block:storage={file.name}"]
            for deed in ("block", "block_many", "two_blocks", "discard"):
                expect(f"{deed}, {size} bytes", tender.run("block-extended.spt", deed, options=attach), 0)
            for deed in BLOCK_STOPPED:
                if deed == "high_half_write" and size > 4 << 30:
                    continue
                expect(f"{deed}, extended, {size} bytes", tender.run("block-extended.spt", deed, options=attach),
                       BAD_SYSTEM_CALL)
            check("file did not grow", os.path.getsize(file.name) == size, os.path.getsize(file.name))


def test_block_read_only(tender):
    """A file that cannot be written: told to images that mind, refused for others."""
    with storage(1 << 20) as file:
        os.chmod(file.name, 0o444)
        options = [f"--block:storage={file.name}"]
        mount = f"mount --bind {file.name} {file.name} && mount -o remount,ro,bind {file.name} && exec \"$@\""
        private = ["unshare", "-m", "sh", "-c", mount, "sh"] if os.geteuid() == 0 else []  # nothing else stops root
        def run(image, deed):
            return tender.command([*private, tender.program, "--mem=2", *options, os.path.join(tender.folder, image), deed])
        expect("read-only", run("block-extended.spt", "read_only"), BAD_SYSTEM_CALL, "read\n")
        one_line_error("read-only, base image", run("block.spt", "block"), "cannot open")


def test_block_direct(tender):
    with storage(1 << 20) as file:
        options = [f"--block:storage={file.name}", "--block-direct:storage=on", "--block-sector-size:storage=4096"]
        one_line_error("direct, base image", tender.run("block.spt", "block", options=options), "leave --block-direct out")
        seen = tender.run("block-extended.spt", "direct", options=options)
        if seen[0] == 1 and "cannot open" in seen[2]:
            print("not run: no direct I/O on the file system of temporary files")
        else:
            expect("direct", seen, 0)


def test_extended(tender):
    expect("extended", tender.run("extended.spt", "extended"), 0)
    expect("extended boot info", tender.run("extended.spt", "boot_info"), 0, "memory 2 extended\n")
    expect("too many random bytes", tender.run("extended.spt", "many_random"), BAD_SYSTEM_CALL)
    status, out, _ = tender.run("extended.spt", "guard_page")
    check("a guard page faults", status == SEGMENTATION_FAULT and out.startswith("guarded\n"), (status, out))
    if not tender.stock:
        status, out, _ = tender.run("extended.spt", "heap_stack")
        check("fault report of a stack on the heap", status == SEGMENTATION_FAULT and "fault: " in out and
              len(re.findall(r"^  at ", out, re.MULTILINE)) == 2, (status, out))
    for deed in ("unguard", "guard_two", "guard_beyond"):
        expect(deed, tender.run("extended.spt", deed), BAD_SYSTEM_CALL)


def memory_of(process):
    """What a process has in memory, but a sanitizer's."""
    with open(f"/proc/{process}/maps", encoding="ascii") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            begin, end = (int(number, 16) for number in line.split()[0].split("-"))
            if "rw" in line and end - begin < 1 << 28:
                memory.seek(begin)
                yield begin, memory.read(end - begin)


def test_seed(tender):
    """A guest wipes its seed as it uses it: there is no other copy in its address space."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = theirs.fileno()
    guest = subprocess.Popen([tender.program, "--mem=2", f"--net:service=@{number}", "--",
                              os.path.join(tender.folder, "net-extended.spt"), "net"], pass_fds=[number], stdout=subprocess.PIPE)
    try:
        ours.recv(1)  # it runs
        parts = dict(memory_of(guest.pid))
        seed = parts[0x10000][0x1000 + 40 + 56:][:64]  # behind boot info and head of the extension
        copies = sum(part.count(seed[:16]) + part.count(seed[32:48]) for part in parts.values())
        check("seed", seed.strip(b"\0") and copies == 2, (seed, copies))
    finally:
        guest.kill()
        guest.wait()
        ours.close()
        theirs.close()


def test_faults(tender):
    """Our tender reports registers and a backtrace."""
    status, out, _ = tender.run("base.spt", "nested_fault")
    addresses = re.findall(r"^  at 0x[0-9a-f]{16}$", out, re.MULTILINE)
    check("fault report", status == SEGMENTATION_FAULT and "fault: " in out and "rip=" in out and
          "0x000000000dead000" in out and len(addresses) >= 7, (status, out))
    status, out, _ = tender.run("base.spt", "execute_frame")
    check("fault report of code on the stack", status == SEGMENTATION_FAULT and
          len(re.findall(r"^  at ", out, re.MULTILINE)) > 2, (status, out))
    status, out, _ = tender.run("base.spt", "overflow_stack")
    check("fault report without a stack", status == SEGMENTATION_FAULT and "fault: " in out, (status, out))


def test_closed_console(tender):
    """Nobody reads what the guest prints any more: that is no reason to end it."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [tender.program, "--mem=2", "--", os.path.join(tender.folder, "base.spt"), "hello"]
        status = subprocess.run(command, stdout=writer, timeout=60, check=False).returncode
        check("closed console", status == 0, status)
    finally:
        os.close(writer)


def test_packet_socket(tender):
    for kind in (socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        for image in ("net.spt", "net-extended.spt"):
            ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
            ours.send(b"\x02" * 77)
            number = theirs.fileno()
            seen = tender.run(image, "net", options=[f"--net:service=@{number}"], descriptors=(number,))
            expect(f"packet socket, {image}", seen, 0, "received 77\n")
            theirs.close()
            check("frame sent", ours.recv(4096).startswith(b"the frame"), "")
            ours.close()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    number = theirs.fileno()
    one_line_error("stream socket", tender.run("net.spt", "net", options=[f"--net:service=@{number}"],
                                               descriptors=(number,)), "message boundaries")


def open_tap(name, flags=0):
    """The descriptor of a tap, made if it does not exist."""
    TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x0002, 0x1000
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
    return descriptor


def host_side(interface):
    """A socket that sends and receives frames where the host does."""
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    frames.bind((interface, 0))
    frames.settimeout(10)
    return frames


def exchange(tender, image, deed, interface, options, descriptors=()):
    """Runs a guest that sends a frame and waits for one; returns what the host got and what the guest did."""
    frames = host_side(interface)
    process = subprocess.Popen([tender.program, "--mem=2", *options, os.path.join(tender.folder, image), deed],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=descriptors)
    got = frames.recv(70000)
    for _ in range(600):  # the first may be lost: the interface gets its carrier with the guest
        frames.send(b"\xff" * 6 + b"\x02\0\0\0\0\2" + b"\x88\xb5" + b"x" * 60)
        try:
            process.wait(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            pass
    out, error = process.communicate(timeout=10)
    frames.close()
    return got, (process.returncode, out.decode(), error.decode())


def tap_cases(tender):
    """In a network namespace of its own (see test_taps)."""
    def ip(*words):
        subprocess.run(["ip", *words], check=True)
    for name, more in (("tap0", ()), ("tap1", ("multi_queue",)), ("down0", ())):
        ip("tuntap", "add", name, "mode", "tap", *more)
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as file:
            file.write("1")
    ip("link", "set", "tap0", "mtu", "4000", "up")
    ip("link", "set", "tap1", "up")
    ip("link", "set", "lo", "up")
    for image in ("net.spt", "net-extended.spt"):
        expect("MTU of a tap", tender.run(image, "mtu", options=["--net:service=tap0"]), 0, "MTU 4000\n")
        expect("MTU given", tender.run(image, "mtu", options=["--net:service=tap0", "--net-mtu:service=1280"]), 0,
               "MTU 1280\n")
    for interface in ("tap0", "tap1"):
        got, seen = exchange(tender, "net.spt", "net", interface, [f"--net:service={interface}"])
        expect(f"frames by {interface}", seen, 0, "received 74\n")
        check("frame on the host", got.startswith(b"the frame"), got)
        got, seen = exchange(tender, "net-extended.spt", "vnet", interface, [f"--net:service={interface}"])
        expect(f"frames with vnet headers by {interface}", seen, 0, "received 74\n")
        check("a large segment in one piece", len(got) == 3054, len(got))
    expect("plain frames after that", exchange(tender, "net.spt", "net", "tap0", ["--net:service=tap0"])[1], 0,
           "received 74\n")
    expect("too many pieces", tender.run("net-extended.spt", "many_pieces", options=["--net:service=tap0"]),
           BAD_SYSTEM_CALL)
    descriptor = open_tap("tap0")
    expect("MTU of a descriptor", tender.run("net.spt", "mtu", options=[f"--net:service=@{descriptor}"],
                                             descriptors=(descriptor,)), 0, "MTU 4000\n")
    got, seen = exchange(tender, "net-extended.spt", "net", "tap0", [f"--net:service=@{descriptor}"], (descriptor,))
    expect("frames by a descriptor", seen, 0, "received 74\n")
    os.close(descriptor)
    IFF_VNET_HDR = 0x4000
    descriptor = open_tap("tap0", IFF_VNET_HDR)
    got, seen = exchange(tender, "net-extended.spt", "vnet", "tap0", [f"--net:service=@{descriptor}"], (descriptor,))
    expect("vnet headers by a descriptor", seen, 0, "received 74\n")
    one_line_error("vnet headers the image does not know",
                   tender.run("net.spt", "mtu", options=[f"--net:service=@{descriptor}"], descriptors=(descriptor,)),
                   "IFF_VNET_HDR")
    os.close(descriptor)
    one_line_error("interface that is no tap", tender.run("net.spt", options=["--net:service=lo"]), "not a tap")
    one_line_error("interface that is down", tender.run("net.spt", options=["--net:service=down0"]), "is down")
    one_line_error("no such interface", tender.run("net.spt", options=["--net:service=tap%d"]), "no interface")


def test_taps(tender):
    """Taps live in a user and network namespace of their own: nothing outside changes, no root needed."""
    inside = ["unshare", "--user", "--map-root-user", "--net"]
    if not os.path.exists("/dev/net/tun") or subprocess.run(inside + ["true"], capture_output=True,
                                                            check=False).returncode != 0:
        print("NOT RUN: taps (no /dev/net/tun, or namespaces are forbidden here)")
        return
    done = subprocess.run(inside + [sys.executable, os.path.abspath(__file__), "--taps", tender.program, tender.folder],
                          check=False)
    check("taps", done.returncode == 0, done.returncode)


def test_descriptors(tender):
    """Descriptors that are not named are closed, the standard ones are open."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    command = [tender.program, "--mem=2", os.path.join(tender.folder, "base.spt"), "sleep"]
    process = subprocess.Popen(command, pass_fds=(writer,))
    os.close(writer)
    held = os.read(reader, 1) != b""
    check("inherited descriptor closed", not held and process.wait() == 0, held)
    seen = tender.command(["/bin/sh", "-c", f"exec {tender.program} {tender.folder}/base.spt clock <&- 2>&-"])
    expect("closed standard descriptors", seen, 0)


def test_privileges(tender):
    command = [tender.program, "--mem=2", os.path.join(tender.folder, "net.spt"), "net"]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(command[:2] + [f"--net:service=@{theirs.fileno()}"] + command[2:],
                               pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE, env={"SECRET": "of-the-user"})
    ours.recv(4096)  # the guest runs
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    with open(f"/proc/{process.pid}/maps", encoding="ascii") as file:
        maps = [line.split()[1] for line in file]
    with open(f"/proc/{process.pid}/limits", encoding="ascii") as file:
        limits = {line[:26].strip(): line[26:].split() for line in file}
    with open(f"/proc/{process.pid}/environ", "rb") as file:
        environment = file.read()
    open_descriptors = len(os.listdir(f"/proc/{process.pid}/fd"))
    ours.send(b"x" * 60)
    process.communicate()
    check("no new privileges", status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status)
    check("no capabilities", all(int(status[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapInh")), status)
    check("not root", os.getuid() != 0 or status["Uid"].split()[0] != "0", status["Uid"])
    check("no writable and executable memory", not any("w" in mode and "x" in mode for mode in maps), maps)
    check("no core dumps", limits["Max core file size"][:2] == ["0", "0"], limits)
    check("no new processes", limits["Max processes"][:2] == ["0", "0"], limits)
    check("no environment", b"user" not in environment, environment)
    check("only its descriptors", open_descriptors == 6, open_descriptors)


def test_command_line(tender):
    image = os.path.join(tender.folder, "base.spt")
    block = os.path.join(tender.folder, "block.spt")
    cases = [
        ([], "no image"), (["--mem=1", image], "--mem"), (["--mem=x", image], "--mem"),
        (["--mem=99999999999999999999", image], "--mem"), (["--mem=16777217", image], "--mem"),
        (["--nonsense", image], "unknown option"), (["--net:a", image], "malformed"),
        (["--net:=x", image], "malformed"), (["--net-mac:a=02:00:00:00:00:01", image], "nothing attaches"),
        (["--net:a=b", "--net-mac:a=1:2", image], "MAC"), (["--net:a=b", "--net-mac:a=01:00:00:00:00:01", image], "group"),
        (["--net:a=b", "--net-mtu:a=12", image], "MTU"), (["--block:a=b", "--block:a=c", image], "twice"),
        (["--block:a=b", "--block-sector-size:a=521", image], "Block size must be a multiple of 2"),
        (["--block:storage=/dev/null", image], "declares no block device"), ([block], "needs block device 'storage'"),
        (["--block:storage=/nonexistent", block], "cannot open"), (["--net:a=@77", image], "declares no network"),
        (["/nonexistent"], "cannot open"), (["/dev/null"], "not an ELF file"), (["/bin/true"], "statically linked"),
        ([image, "x" * 9000], "command line"),
    ]
    for arguments, text in cases:
        one_line_error(f"arguments {arguments}"[:80], tender.command([tender.program, *arguments]), text)
    with tempfile.TemporaryDirectory(prefix="mirage-spt-test-") as folder:
        os.mkfifo(os.path.join(folder, "fifo"))
        one_line_error("fifo", tender.command([tender.program, os.path.join(folder, "fifo")]), "not an ELF file")
        one_line_error("folder", tender.command([tender.program, folder]), "not an ELF file")
    with storage(1000) as file:
        one_line_error("odd size", tender.run("block.spt", options=[f"--block:storage={file.name}"]),
                       "must be block aligned")
    seen = tender.command([tender.program, "--help"])
    check("help", seen[0] == 0 and "--block-sector-size:" in seen[1] and seen[2] == "", seen)
    check("version", tender.command([tender.program, "--version"])[0] == 0, "")


def test_direct_execution(tender):
    """Host kernels refuse to run an image: PT_INTERP names no file."""
    try:
        subprocess.run([os.path.join(tender.folder, "base.spt")], check=False)
        failures.append("direct execution")
    except OSError:
        pass


def mutate(image, generator):
    """Changes some bytes of the headers, program headers or notes; now and then cuts the file."""
    data = bytearray(image)
    for _ in range(generator.choice((1, 1, 2, 3, 8))):
        at = generator.randrange(0x400)
        choice = generator.randrange(4)
        if choice == 0:
            data[at] = generator.randrange(256)
        elif choice == 1:
            data[at] ^= 1 << generator.randrange(8)
        else:
            value = generator.choice((0, 1, 0xfff, 0x1000, 0x7fffffff, 0xffffffff, 1 << 40, (1 << 63) - 1, (1 << 64) - 1))
            width = generator.choice((2, 4, 8))
            at &= -width
            data[at:at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return data[:generator.randrange(len(data))] if generator.randrange(50) == 0 else data


def test_mutations(tender, count, seed):
    """Each mutated image is refused in one line with status 1, or runs and ends however it likes."""
    generator = random.Random(seed)
    with open(os.path.join(tender.folder, "base.spt"), "rb") as file:
        image = file.read()
    refused = 0
    with tempfile.TemporaryDirectory(prefix="mirage-spt-test-") as folder:
        path = os.path.join(folder, "mutation.spt")
        for number in range(count):
            with open(path, "wb") as file:
                file.write(mutate(image, generator))
            try:
                seen = tender.command([tender.program, "--mem=2", path, "status"])
            except subprocess.TimeoutExpired:
                failures.append(f"mutation {number} hangs")
                continue
            if seen[0] == 1 and seen[2]:
                refused += 1
                check(f"mutation {number} of seed {seed}", seen[2].count("\n") == 1 and len(seen[2]) < 500, seen)
            else:
                check(f"mutation {number} of seed {seed}", "AddressSanitizer" not in seen[2] and
                      "runtime error" not in seen[2], seen)
    print(f"mutations: {count} with seed {seed}, {refused} refused, {count - refused} ran")


def main():
    arguments = sys.argv[1:]
    stock = "--stock" in arguments
    mutations = next((int(a.split("=")[1]) for a in arguments if a.startswith("--mutations=")), 500)
    program, folder = [os.path.abspath(a) for a in arguments if not a.startswith("--")]
    tender = Tender(program, folder, stock)
    if "--taps" in arguments:
        tap_cases(tender)
        return 1 if failures else 0
    test_base(tender)
    test_block(tender)
    test_direct_execution(tender)
    if not stock:
        test_block_extended(tender)
        test_block_read_only(tender)
        test_block_direct(tender)
        test_extended(tender)
        test_seed(tender)
        test_faults(tender)
        test_closed_console(tender)
        test_packet_socket(tender)
        test_taps(tender)
        test_descriptors(tender)
        test_privileges(tender)
        test_command_line(tender)
        test_mutations(tender, mutations, 1)
    print("FAILED: " + ", ".join(failures) if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
