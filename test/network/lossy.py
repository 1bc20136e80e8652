#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: lossy.py TOOLS WORK

Our TCP against Linux's over a wire that loses, duplicates, reorders and corrupts what arrives at our side (text and
acknowledgements alike): every byte must be right, whatever the time it takes.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

from against_linux import tcp_download, tcp_echo_sizes, tcp_half_close_by_guest, tcp_many_connections, tcp_reset_by_peer, tcp_upload
from harness import Guest, Namespace, fail_usage, run_cases


def sized(case, **sizes):
    def run(context):
        case(context, **sizes)
    run.__name__ = case.__name__
    return run


CASES = [tcp_echo_sizes, sized(tcp_upload, size=10 << 20), sized(tcp_download, size=5 << 20),
         sized(tcp_many_connections, count=100), sized(tcp_reset_by_peer, count=20), tcp_half_close_by_guest]


def build(tools, work):
    here = Path(__file__).parent
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(here / "lossy", work)
    shutil.copy(here / "services" / "main.hpp", work)
    for words in (["configure", "-t", "spt"], ["build"]):
        subprocess.run([tools / "mirage", *words], cwd=work, check=True, stdout=subprocess.DEVNULL)


def main():
    if len(sys.argv) != 3:
        fail_usage(__doc__)
    tools, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    os.makedirs(work.parent, exist_ok=True)
    build(tools, work)
    Namespace()
    command = [tools / "mirage-spt", "--mem=64", "--net:service=tap0", "--", work / "dist" / "services.spt",
               "--ipv4=10.0.0.2/24"]
    with Guest(command, ready="services are up") as guest:
        status = run_cases(CASES, guest)
        if status:
            print(guest.console()[-3000:])
    return status


if __name__ == "__main__":
    sys.exit(main())
