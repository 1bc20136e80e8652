#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""usage: run.py --station PROGRAM [--on simulator|tap|linux] [-k WORD] [-j N] [-v] [FILE..]

Plays conformance traces (doc/conformance.md): on our stack in virtual time (simulator), on our stack behind a tap, or on
this machine's Linux behind a tap, the reference. Without files all of this folder's.
"""
import argparse
import multiprocessing
import os
import sys
import time
import traceback
from pathlib import Path

import language
import machine
from player import Mismatch, Player

HERE = Path(__file__).resolve().parent
LONGEST_REAL = 25.0  # seconds that a case may take where the clock is real
ATTEMPTS = 3         # there: a busy machine may be late once


def planned_time(case, name):
    """At least so long a case takes on that machine."""
    return sum(step.after[0] for step in case.steps if step.after and step.only in ("", name))


def why_not(case, kind):
    """Why this case is not played there; empty: it is."""
    name = machine.MACHINES[kind].name
    for wanted, reason in case.only.items():
        if wanted not in (kind, name):
            return reason
    if machine.MACHINES[kind].real and planned_time(case, name) > LONGEST_REAL:
        return "takes too long by a real clock"
    return ""


def play(program, case, kind, verbose):
    """'' or what is wrong; runs in a process of its own."""
    player = None
    try:
        station = machine.MACHINES[kind](program, case)
        player = Player(case, station)
        player.play()
        if kind != "linux":
            station.close()
        problem = ""
    except (Mismatch, machine.Unusable, OSError) as error:
        problem = str(error) or type(error).__name__
    if verbose and player:
        problem += "\n    " + "\n    ".join(player.log)
    return problem


def play_apart(arguments):
    """For a process that ends with the case, and with it its namespace, sockets and station."""
    try:
        return play(*arguments)
    except Exception:  # pylint: disable=broad-except
        return traceback.format_exc()


def play_all(work, jobs):
    """Problems in the order of the cases."""
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        return pool.map(play_apart, work, 1)


def is_failure(problem):
    return bool(problem) and not problem.startswith("\n")  # with -v a trace follows


def read_cases(files):
    common = language.read_folder(HERE)
    paths = [Path(name) for name in files] or sorted(p for p in HERE.glob("*.trace") if p.name != "common.trace")
    return [(path, case) for path in paths for case in language.read_file(path, common)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*")
    parser.add_argument("--station", default="")
    parser.add_argument("--on", choices=machine.MACHINES, default="simulator")
    parser.add_argument("-k", default="", help="only cases with this word in their titles")
    parser.add_argument("-j", type=int, default=0)
    parser.add_argument("-v", action="store_true", help="print every trace")
    arguments = parser.parse_args()
    if arguments.on != "linux" and not os.access(arguments.station, os.X_OK):
        parser.error("--station wants the program 'station' (target conformance_station)")
    try:
        cases = [(path, case) for path, case in read_cases(arguments.files) if arguments.k in case.title]
    except language.SyntaxFault as error:
        print(error, file=sys.stderr)
        return 2
    real = machine.MACHINES[arguments.on].real
    jobs = arguments.j or (24 if real else os.cpu_count())
    left_out = [(case, reason) for _, case in cases if (reason := why_not(case, arguments.on))]
    played = [case for _, case in cases if not why_not(case, arguments.on)]
    begin = time.monotonic()
    work = [(arguments.station, case, arguments.on, arguments.v) for case in played]
    problems = play_all(work, jobs)
    again = 0
    for attempt in range(1, ATTEMPTS if real else 1):
        failed = [i for i, problem in enumerate(problems) if is_failure(problem)]
        again += len(failed) if attempt == 1 else 0
        for i, problem in zip(failed, play_all([work[i] for i in failed], max(1, jobs // 4 // attempt))):
            problems[i] = problem
    failures = sum(map(is_failure, problems))
    for case, problem in zip(played, problems):
        if problem:
            print(f"{'FAILED' if is_failure(problem) else 'ok'} {case.place}: {case.title}\n  {problem}", flush=True)
    for case, reason in left_out:
        print(f"not on {arguments.on}: {case.place}: {case.title}: {reason}")
    differing = sum(1 for case in played if any(step.only for step in case.steps))
    print(f"{arguments.on}: {len(played)} cases played ({differing} in which Linux and we differ, explained), "
          f"{failures} failed, {len(left_out)} not played here, {time.monotonic() - begin:.1f} s"
          + (f"; {again} played more than once" if real else ""))
    return 1 if failures or not played else 0


if __name__ == "__main__":
    sys.exit(main())
