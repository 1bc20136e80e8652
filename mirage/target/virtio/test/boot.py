#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: boot.py TOOLS WORK [CASE...]

Boots virtio images under qemu-system-x86_64 (TCG) on pc, q35 and microvm: devices over every transport, exit status,
command line, clocks, entropy rules, and faults that must end with a report and status 255.
TOOLS is the folder of `mirage`; WORK is made anew.
"""
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
MACHINES = ("pc", "q35", "microvm", "microvm,acpi=off")


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def build(tools, work, source, name, *settings):
    project = work / "-".join([name, *(word.partition("=")[2] for word in settings)])
    shutil.copytree(source, project)
    for words in (["configure", "-t", "virtio", *settings], ["build"]):
        done = subprocess.run([str(Path(tools) / "mirage"), *words], cwd=project, text=True, capture_output=True)
        check(done.returncode == 0, f"mirage {words[0]} in {name}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return project / "dist" / f"{name}.virtio"


class Result:
    def __init__(self, status, console, seconds):
        self.console, self.seconds = console, seconds
        # isa-debug-exit: status * 2 + 1, with 127 for all above; the console has all of it.
        said = re.findall(r"^mirage: exit status (\d+)$", console, re.M)
        self.status = int(said[-1]) if said else status
        check((status == 0) == (not said), f"QEMU's status {status} contradicts the console:\n{console}")
        if said:
            check(status == min(self.status, 127) * 2 + 1, f"QEMU's status {status}, the console's {self.status}")

    def has(self, *pieces):
        at = 0
        for piece in pieces:
            found = self.console.find(piece, at)
            check(found >= 0, f"'{piece}' is missing in:\n{self.console}")
            at = found + len(piece)


def qemu(image, machine="q35", arguments="", memory="16M", options=(), processor="max", timeout=20,
         serial=("-serial", "stdio")):
    command = ["qemu-system-x86_64", "-machine", machine, "-cpu", processor, "-m", memory, "-display", "none", "-nodefaults",
               "-no-user-config", *serial, "-no-reboot", "-kernel", str(image), "-append", arguments,
               "-device", "isa-debug-exit,iobase=0x501,iosize=1", *options]
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output = process.communicate(timeout=timeout)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failed("did not end: " + process.communicate()[0].decode(errors="replace"))
    return Result(process.returncode, output, time.monotonic() - start)


class Tests:
    def __init__(self, tools, work):
        self.tools, self.work = tools, work
        self.hello = build(tools, work, ROOT / "example/tutorial/hello-key", "hello-key")
        self.misbehave = build(tools, work, HERE / "misbehave", "misbehave")
        self.devices = build(tools, work, HERE / "devices", "devices")
        self.disk = work / "disk.img"

    def case_hello_in_2_mib(self):
        for machine in MACHINES:
            result = qemu(self.hello, machine, "--count=2 --pause=1ms", memory="2M")
            check(result.status == 0, f"{machine}: status {result.status}\n{result.console}")
            result.has("Hello World!", "Hello World!")

    def case_size(self):
        size = self.hello.stat().st_size
        check(size <= 64 << 10, f"{size} bytes")

    def case_command_line(self):
        result = qemu(self.hello, arguments="--count=1 '--hello=two  words \"quoted\"'")
        result.has('two  words "quoted"')
        # Without ACPI QEMU appends virtio_mmio.device= words: they are not the application's.
        result = qemu(self.hello, "microvm,acpi=off", "--count=1", options=["-device", "virtio-rng-device"])
        check(result.status == 0, result.console)
        result = qemu(self.hello, arguments="--no-such-key")
        check(result.status == 64, f"status {result.status}: {result.console}")
        result = qemu(self.hello, arguments="--count=1 --hello=" + "x" * 4000)
        result.has("x" * 200)
        # QEMU's own loader overwrites its memory map with a line this long: refused, somehow.
        check(qemu(self.hello, arguments="x" * 9000).status != 0, result.console)

    def case_status(self):
        for status in (0, 1, 7, 42, 127, 128, 191, 192, 256):
            result = qemu(self.misbehave, arguments=f"--how=status --status={status}")
            check(result.status == min(status, 255), f"{result.status} instead of {status}")

    def case_power_off(self):
        for machine in MACHINES:
            result = qemu(self.misbehave, machine, "--how=status")
            check(result.status == 0 and result.seconds < 10, f"{machine}: {result.seconds} s")

    def case_clock(self):
        for machine in MACHINES:
            result = qemu(self.misbehave, machine, "--how=sleep")
            slept = int(re.search(r"slept (\d+) us", result.console)[1])
            wall = int(re.search(r"wall (\d+) s", result.console)[1])
            check(250_000 <= slept < 400_000, f"{machine}: slept {slept} us")
            check(abs(wall - time.time()) < 5, f"{machine}: wall clock {wall}, here {time.time()}")

    def case_vectors(self):
        for processor in ("max", "qemu64"):
            qemu(self.misbehave, arguments="--how=vectors", processor=processor).has("vectors: usable")

    def case_memory_sizes(self):
        for memory in ("2M", "3M", "64M", "1G", "5G"):
            for machine in ("q35", "microvm"):
                result = qemu(self.misbehave, machine, "--how=status --status=5", memory=memory)
                check(result.status == 5, f"{machine} -m {memory}: {result.console}")

    def case_buffers_leave_memory_to_the_application(self):
        for memory in ("2M", "16M", "512M"):
            result = qemu(self.misbehave, arguments="--how=buffers", memory=memory)
            check(result.status == 0, f"-m {memory}: status {result.status}\n{result.console}")

    def case_entropy(self):
        weak = "the stack canary is weak"
        result = qemu(self.misbehave, arguments="--how=entropy", processor="qemu64")
        check(result.status == 2, result.console)
        result.has(weak, "entropy: false")
        for machine, device in (("q35", "virtio-rng-pci"), ("q35", "virtio-rng-pci,disable-modern=on"), ("microvm", "virtio-rng-device")):
            result = qemu(self.misbehave, machine, "--how=entropy", processor="qemu64", options=["-device", device])
            result.has("entropy: true")
            check(weak not in result.console and result.status == 0, result.console)
        result = qemu(self.misbehave, arguments="--how=entropy")
        check(weak not in result.console and result.status == 0, result.console)

    def case_random_refuses_without_entropy(self):
        result = qemu(self.devices, processor="qemu64", options=self.pci())
        check(result.status == 1, f"status {result.status}: {result.console}")
        result.has("entropy")

    def pci(self, more=""):
        self.disk.write_bytes(bytes(1 << 20))
        return ["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n" + more,
                "-drive", f"file={self.disk},if=none,format=raw,id=d,discard=unmap", "-device", f"virtio-blk-pci,drive=d,serial=storage{more}"]

    def mmio(self, force_legacy):
        self.disk.write_bytes(bytes(1 << 20))
        return ["-netdev", "user,id=n", "-device", "virtio-net-device,netdev=n",
                "-drive", f"file={self.disk},if=none,format=raw,id=d,discard=unmap", "-device", "virtio-blk-device,drive=d,serial=storage",
                "-global", f"virtio-mmio.force-legacy={force_legacy}"]

    def devices_work(self, machine, options, transport):
        result = qemu(self.devices, machine, "--logs=debug", options=options)
        check(result.status == 0, f"{machine} {options}: status {result.status}\n{result.console}")
        result.has("random: true", "network: true", "disk: true of 2048 sectors, flush true", "many at once: true, zeroes: true")
        check(f": {transport} mtu" in result.console, f"not over {transport}:\n{result.console}")
        queues = 4 if any("num-queues=4" in option for option in options) else 1
        check(f"queues: {queues}, flush, discard" in result.console, f"other queues, or no discard:\n{result.console}")
        check(self.disk.read_bytes()[3 * 512 + 8:3 * 512 + 10] == bytes((8 * 7 >> 3, 9 * 7 >> 3)), "nothing reached the disk")

    def case_pci_modern(self):
        for machine in ("pc", "q35"):
            self.devices_work(machine, self.pci(",disable-legacy=on"), "pci")

    def case_pci_legacy(self):
        for machine in ("pc", "q35"):
            self.devices_work(machine, self.pci(",disable-modern=on"), "legacy-pci")

    def case_pci_line_interrupts(self):
        for machine in ("pc", "q35"):
            self.devices_work(machine, self.pci(",vectors=0"), "pci")
            self.devices_work(machine, self.pci(",disable-modern=on,vectors=0"), "legacy-pci")

    def case_pci_behind_a_bridge(self):
        self.devices_work("q35", ["-device", "pcie-root-port,id=p,chassis=1",
                                  *(o + (",bus=p" if o.startswith("virtio-net-pci") else "") for o in self.pci())], "pci")

    def case_pci_behind_a_bridge_each(self):
        # As libvirt does it on q35: every device has a root port, and windows of its own. The third is opened, too.
        other = self.disk.with_name("other.img")
        other.write_bytes(bytes(1 << 20))
        ports = [word for i in range(1, 4) for word in ("-device", f"pcie-root-port,id=p{i},chassis={i}")]
        place = {"virtio-net-pci": 1, "virtio-blk-pci": 3}
        options = [o + next((f",bus=p{n}" for kind, n in place.items() if o.startswith(kind)), "") for o in self.pci()]
        self.devices_work("q35", [*ports, "-drive", f"file={other},if=none,format=raw,id=o",
                                  "-device", "virtio-blk-pci,drive=o,serial=other,bus=p2", *options], "pci")

    def case_pci_without_extras(self):
        self.devices_work("q35", self.pci(",indirect_desc=off,event_idx=off"), "pci")

    def case_block_queues(self):
        for machine, options, transport in (("q35", self.pci(), "pci"), ("q35", self.pci(",disable-modern=on"), "legacy-pci"),
                                            ("q35", self.pci(",indirect_desc=off"), "pci"), ("microvm", self.mmio("off"), "mmio")):
            self.devices_work(machine, [o + ",num-queues=4" * o.startswith("virtio-blk") for o in options], transport)

    def case_mmio(self):
        for machine in ("microvm", "microvm,acpi=off"):
            self.devices_work(machine, self.mmio("on"), "legacy-mmio")
            self.devices_work(machine, self.mmio("off"), "mmio")

    def case_console_without_serial_port(self):
        for machine, device in (("q35", "virtio-serial-pci"), ("q35", "virtio-serial-pci,disable-modern=on"),
                                ("microvm,isa-serial=off", "virtio-serial-device")):
            result = qemu(self.hello, machine, "--count=2 --pause=1ms", serial=["-chardev", "stdio,id=c", "-device", device,
                                                                                "-device", "virtconsole,chardev=c"])
            check(result.status == 0, f"{machine} {device}: {result.console}")
            result.has("Hello World!", "Hello World!")

    def case_disks_by_name(self):
        other = self.disk.with_name("other.img")
        other.write_bytes(bytes(4 << 20))
        for serial, status in (("other", 0), ("storage2", 0)):
            options = ["-drive", f"file={other},if=none,format=raw,id=o", "-device", f"virtio-blk-pci,drive=o,serial={serial}", *self.pci()]
            check(qemu(self.devices, options=options).status == status, "took the wrong disk")
            check(not any(other.read_bytes()), "wrote to the wrong disk")

    def case_disks_by_order(self):
        # Firecracker and cloud-hypervisor make serials of the file's numbers: they are nobody's name.
        numbered = lambda options: [o.replace("serial=storage", "serial=206541531117") for o in options]
        check(qemu(self.devices, "microvm", options=numbered(self.mmio("off"))).status == 0, "refused a numbered disk")
        other = self.disk.with_name("other.img")
        other.write_bytes(bytes(1 << 20))
        second = ["-drive", f"file={other},if=none,format=raw,id=o", "-device", "virtio-blk-pci,drive=o,serial=206541531118"]
        result = qemu(self.devices, options=[*numbered(self.pci()), *second])
        check(result.status == 0, result.console)
        check(any(self.disk.read_bytes()) and not any(other.read_bytes()), "not the first disk")
        # A name is somebody's: another one's disk does not serve.
        result = qemu(self.devices, options=[o.replace("serial=storage", "serial=other") for o in self.pci()])
        check(result.status == 1, result.console)
        result.has("no block device 'storage'")

    def case_device_needs_reset(self):
        """QEMU gives a device up whose driver names memory that is none: the operation fails, and a line says why."""
        for machine, options in (("q35", self.pci()), ("q35", self.pci(",vectors=0")), ("microvm", self.mmio("off"))):
            result = qemu(self.devices, machine, "--lose", options=options)
            check(result.status == 3, f"{machine}: status {result.status}\n{result.console}")
            result.has("block device 'storage': the device needs a reset", "lost: true")

    def case_missing_devices(self):
        result = qemu(self.devices)
        check(result.status == 1, result.console)
        result.has("no network device for")
        result = qemu(self.devices, options=self.pci()[:4])
        check(result.status == 1, result.console)
        result.has("no block device 'storage'")

    def case_faults(self):
        for how, said in {
            "write-text": "write to read-only memory", "write-rodata": "write to read-only memory",
            "write-headers": "write to read-only memory", "write-page-tables": "write to read-only memory", "execute-data": "execution of data",
            "execute-heap": "execution of data", "execute-stack": "execution of data", "zero-page": "null pointer",
            "call-null": "null pointer", "stack-overflow": "stack overflow",
            "fiber-overflow": "unmapped memory", "wild-read": "read from unmapped memory",
            "non-canonical": "general protection", "invalid-opcode": "invalid opcode", "divide": "divide error",
            "smash": "stack smashed", "abort": "abort",
        }.items():
            result = qemu(self.misbehave, arguments=f"--how={how}", memory="4M")
            check(result.status == 255, f"{how}: status {result.status}\n{result.console}")
            result.has(f"how: '{how}'", said)
            if how not in ("smash", "abort"):
                result.has("fault: ", "rip=0x", "backtrace", "  at 0x00000000001", said)
            check("survived" not in result.console, f"{how}: survived")

    def case_packed(self):
        """An image for size unpacks itself: to the same memory, with the same protection."""
        image = build(self.tools, self.work, HERE / "misbehave", "misbehave", "--optimize=size")
        plain = image.parents[1] / "build/virtio" / image.name
        check(image.stat().st_size < plain.stat().st_size * 0.85, f"{image.stat().st_size} of {plain.stat().st_size} bytes")
        for machine in MACHINES:
            check(qemu(image, machine, "--how=status --status=5", memory="2M").status == 5, machine)
        check(qemu(image, arguments="--how=status --status=5", memory="5G").status == 5, "with 5 GiB")
        for how, said in {"write-text": "write to read-only memory", "write-headers": "write to read-only memory",
                          "execute-data": "execution of data", "execute-heap": "execution of data", "stack-overflow": "stack overflow"}.items():
            result = qemu(image, arguments=f"--how={how}", memory="4M")
            check(result.status == 255, f"{how}: status {result.status}\n{result.console}")
            result.has(f"how: '{how}'", "rip=0x", said)
        damaged = image.with_name("damaged")
        packed = bytearray(image.read_bytes())
        magic = packed.rindex(b"\x02\x21\x4c\x18")  # of LZ4's legacy frame; the code in front compares with it, too
        for place in (magic, magic + 6):               # ... and a block that is longer than the file
            copy = bytearray(packed)
            copy[place] ^= 0xff
            damaged.write_bytes(copy)
            result = qemu(damaged)
            check(result.status == 255, f"status {result.status}: {result.console}")
            result.has("the packed image is damaged")

    def case_faults_on_microvm(self):
        for how in ("write-text", "stack-overflow"):
            check(qemu(self.misbehave, "microvm", f"--how={how}", memory="4M").status == 255, how)


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    work = Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tests = Tests(sys.argv[1], work)
    names = sys.argv[3:] or [name.removeprefix("case_") for name in dir(Tests) if name.startswith("case_")]
    failures = 0
    for name in names:
        start = time.monotonic()
        try:
            getattr(tests, "case_" + name)()
            outcome = "ok"
        except (Failed, OSError, TypeError) as error:
            failures += 1
            outcome = f"FAILED: {error}"
        print(f"{name:36} {time.monotonic() - start:6.2f} s  {outcome}", flush=True)
    print(f"{len(names) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
