# SPDX-License-Identifier: ISC
"""Network namespaces and processes of the network benchmark: every subject (a server under test) has a client namespace
of its own, in which the client is 10.0.0.1 and the server 10.0.0.2. Servers run on core 0, clients on core 1."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

SERVER_CORE, CLIENT_CORE = "0", "1"
SERVER, MAC = "10.0.0.2", "02:00:00:00:00:02"
TICK = os.sysconf("SC_CLK_TCK")


def sh(*words, **options):
    result = subprocess.run(words, text=True, capture_output=True, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit {result.returncode}\n{result.stderr}{result.stdout}")
    return result.stdout


def busy_seconds(core=SERVER_CORE):
    """Time that a core has been busy, interrupts and softirqs included."""
    fields = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} ")).split()
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / TICK


@dataclass
class Result:
    rate: float          # units per second
    cpu: float           # seconds of the server's core per unit
    extra: dict = field(default_factory=dict)


class Lab(contextlib.ExitStack):
    """Owns everything that was made and ends it, in reverse."""

    def __init__(self, tool):
        super().__init__()
        self.tool, self.names = str(tool), 0

    def namespace(self):
        self.names += 1
        name = f"mirage-bench-{os.getpid()}-{self.names}"
        sh("ip", "netns", "add", name)
        self.callback(subprocess.run, ["ip", "netns", "del", name], capture_output=True)
        sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535")
        return name

    def tap(self, namespace, device="tap0", address="10.0.0.1/24"):
        sh("ip", "-n", namespace, "tuntap", "add", device, "mode", "tap")
        if address:
            sh("ip", "-n", namespace, "addr", "add", address, "dev", device)
        sh("ip", "-n", namespace, "link", "set", device, "up")

    def wait_for_carrier(self, namespace, device):
        """Until the tap has been opened."""
        for _ in range(200):
            if "LOWER_UP" in sh("ip", "-n", namespace, "link", "show", device):
                return
            time.sleep(0.05)
        raise RuntimeError(f"nobody has opened {device}")

    def cable(self, client, server):
        """veth0 to veth0, with what Linux does by itself: segmentation and checksums are left out between the two."""
        sh("ip", "-n", client, "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", server)
        sh("ip", "-n", server, "link", "set", "veth0", "address", MAC)
        for namespace, address in ((client, "10.0.0.1/24"), (server, f"{SERVER}/24")):
            sh("ip", "-n", namespace, "addr", "add", address, "dev", "veth0")
            sh("ip", "-n", namespace, "link", "set", "veth0", "up")

    def start(self, namespace, *command, core=SERVER_CORE, **options):
        process = subprocess.Popen(["ip", "netns", "exec", namespace, "taskset", "-c", core, *map(str, command)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        self.callback(end, process)
        return process


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
    if process.poll() is None:
        process.kill()
        process.wait()


class Subject:
    """A server under test; measures a load against it."""

    def __init__(self, lab, name, namespace, process, device="tap0", server=None):
        self.lab, self.name, self.namespace, self.process, self.device = lab, name, namespace, process, device
        self.server = server  # the namespace of a server that has Linux's stack

    def receive_on_own_cores(self):
        """What is for the client passes through Linux's receive path on the client's core, and what is for the server on its
        own (receive packet steering); otherwise both do so on the core of who has sent it, where the device hands it over."""
        for namespace, core in ((self.namespace, CLIENT_CORE), (self.server, SERVER_CORE)):
            if namespace:
                queue = f"/sys/class/net/{self.device}/queues/rx-0/rps_cpus"
                sh("ip", "netns", "exec", namespace, "sh", "-c", f"echo {1 << int(core):x} > {queue}")
        return self

    def client(self, *command):
        return sh("ip", "netns", "exec", self.namespace, "taskset", "-c", CLIENT_CORE, *map(str, command))

    def wait_until_up(self):
        for _ in range(100):
            if subprocess.run(["ip", "netns", "exec", self.namespace, "ping", "-c1", "-W1", "-q", SERVER],
                              capture_output=True).returncode == 0:
                return self
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not answer")

    def datagrams_from_server(self):
        """Those that nobody reads count, too; frames would not do: one may carry many."""
        text = sh("ip", "netns", "exec", self.namespace, "cat", "/proc/net/snmp")
        names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
        counters = dict(zip(names, map(int, values)))
        return counters["InDatagrams"] + counters["InErrors"]

    def measure(self, load):
        before, start = busy_seconds(), time.monotonic()
        units = load(self)
        took, busy = time.monotonic() - start, busy_seconds() - before
        rate = units[0] if isinstance(units, tuple) else units
        seconds = units[1] if isinstance(units, tuple) else took
        return Result(rate, busy / (rate * seconds) if rate else float("nan"))


    def calls(self, load):
        """System calls of the server per unit; without perf or its tracepoint: None."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        processes = ",".join([str(self.process.pid), *children])
        try:
            counter = subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", processes],
                                       stderr=subprocess.PIPE, text=True)
        except FileNotFoundError:
            return None
        time.sleep(0.2)
        rate, seconds = load(self)
        counter.send_signal(signal.SIGINT)
        count = re.match(r"\s*(\d+),", counter.communicate()[1])
        return int(count[1]) / (rate * seconds) if count and rate else None


# Loads: each returns (units per second, seconds that count)

def wrk(connections, seconds, port=80, path="/", header=None, script=None):
    def load(subject):
        extra = (["-H", header] if header else []) + (["-s", str(script)] if script else [])
        text = subject.client("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *extra, f"http://{SERVER}:{port}{path}")
        count, took = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
        if "Non-2xx" in text:
            raise RuntimeError(f"{subject.name}: {text}")
        return int(count) / float(took), float(took)
    return load


def stream(direction, seconds):
    port = {"send": 9, "receive": 19}[direction]
    return lambda subject: (float(subject.client(subject.lab.tool, "stream-client", SERVER, port, direction, seconds)), seconds)


def udp(outstanding, seconds):
    return lambda subject: (float(subject.client(subject.lab.tool, "udp-client", SERVER, 7, seconds, outstanding)), seconds)


def udp_flood(rate, seconds):
    """Answers per second while datagrams come at `rate`."""
    def load(subject):
        before = subject.datagrams_from_server()
        subject.sent = float(subject.client(subject.lab.tool, "udp-flood", SERVER, 7, seconds, int(rate)))
        return (subject.datagrams_from_server() - before) / seconds, seconds
    return load


NGINX = """daemon off; worker_processes 1; pid {work}/nginx.pid; error_log stderr crit; user root;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; open_file_cache max=100;
  server {{ listen 80 backlog=1024; location / {{ default_type text/plain; return 200 "Hello, world!"; }} }}
  server {{ listen 81 backlog=1024; root {htdocs}; }} }}
"""


class Subjects:
    """How each kind of server is set up."""

    def __init__(self, lab, tender, image, htdocs, work):
        self.lab, self.tender, self.image, self.htdocs, self.work = lab, tender, image, htdocs, Path(work)

    def mirage(self, name="mirage"):
        namespace = self.lab.namespace()
        self.lab.tap(namespace)
        process = self.lab.start(namespace, self.tender, "--mem=128", "--net:service=tap0", f"--net-mac:service={MAC}",
                                 "--", self.image, f"--ipv4={SERVER}/24")
        return Subject(self.lab, name, namespace, process).wait_until_up()

    def mirage_plain(self):
        """On a tap without vnet headers: the descriptor is opened for the tender."""
        namespace = self.lab.namespace()
        self.lab.tap(namespace)
        inner = [self.tender, "--mem=128", "--net:service=@9", f"--net-mac:service={MAC}", "--", self.image, f"--ipv4={SERVER}/24"]
        process = self.lab.start(namespace, self.lab.tool, "plain-tap", "tap0", *inner)
        return Subject(self.lab, "mirage", namespace, process).wait_until_up()

    def canned(self, name, command):
        namespace = self.lab.namespace()
        self.lab.tap(namespace)
        process = self.lab.start(namespace, self.lab.tool, command, "tap0")
        return Subject(self.lab, name, namespace, process).wait_until_up()

    def linux(self, name, *command):
        client, server = self.lab.namespace(), self.lab.namespace()
        self.lab.cable(client, server)
        process = self.lab.start(server, *command)
        return Subject(self.lab, name, client, process, "veth0", server).wait_until_up()

    def nginx(self):
        conf = self.work / "nginx.conf"
        conf.write_text(NGINX.format(work=self.work, htdocs=self.htdocs))
        return self.linux("nginx", shutil.which("nginx") or "/usr/sbin/nginx", "-c", conf, "-p", self.work)

    def relay(self, server_core):
        client, server = self.lab.namespace(), self.lab.namespace()
        self.lab.tap(client)
        self.lab.tap(client, "tap1", None)
        process = self.lab.start(client, self.lab.tool, "relay", "tap0", "tap1")
        self.lab.wait_for_carrier(client, "tap1")  # once it has moved, the relay would not find it
        sh("ip", "-n", client, "link", "set", "tap1", "netns", server)
        sh("ip", "-n", server, "addr", "add", f"{SERVER}/24", "dev", "tap1")
        sh("ip", "-n", server, "link", "set", "tap1", "up")
        self.lab.start(server, self.lab.tool, "stream-server", 9, 19, core=server_core)
        return Subject(self.lab, "relay", client, process).wait_until_up()
