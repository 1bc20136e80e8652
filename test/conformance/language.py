# SPDX-License-Identifier: ISC
"""Trace files -> cases. The language is described in doc/conformance.md; every error names file and line."""
import re
from dataclasses import dataclass, field
from pathlib import Path

import packet

MACHINES = ("mirage", "linux")
BACKENDS = ("simulator", "tap", "linux")
OPTIONS = {"arp": ("answered", "by-hand"), "family": ("4", "6"), "isn": None, "window": None, "mtu": None,
           "connections": None, "fast-open": ("yes",)}
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}


class SyntaxFault(Exception):
    """A trace file that cannot be read: the message begins with file:line."""


@dataclass
class Step:
    place: str            # file:line
    source: str           # the line as written
    verb: str
    words: list
    only: str = ""        # for this machine alone
    packet: dict = None
    after: tuple = None   # seconds since the step before, (earliest, latest)
    within: float = None


@dataclass
class Case:
    place: str
    title: str
    steps: list = field(default_factory=list)
    citations: list = field(default_factory=list)
    options: dict = field(default_factory=dict)
    only: dict = field(default_factory=dict)   # machine or backend -> why nowhere else
    differs: str = ""


def duration(word, place):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|min)", word)
    if not match:
        raise SyntaxFault(f"{place}: '{word}' is no duration as 200ms, 1.5s or 2min")
    return float(match[1]) * UNITS[match[2]]


def span(word, place):
    """`1s` or `1s..1.5s`."""
    first, dots, last = word.partition("..")
    return (duration(first, place), duration(last, place)) if dots else (duration(first, place), None)


def quoted_text(line, place):
    match = re.search(r'"([^"]+)"\s*$', line)
    if not match:
        raise SyntaxFault(f'{place}: wants a text in "quotes" at its end')
    return match[1]


def take_times(step):
    """`after SPAN` and `within DURATION` at the end of a want."""
    words = step.words
    while len(words) >= 2 and words[-2] in ("after", "within"):
        if words[-2] == "after":
            step.after = span(words[-1], step.place)
        else:
            step.within = duration(words[-1], step.place)
        del words[-2:]


def parse_step(line, place):
    step = Step(place, line, "", [])
    words = line.split()
    if words[0].endswith(":") and words[0][:-1] in MACHINES:
        step.only = words[0][:-1]
        words = words[1:]
        if not words:
            raise SyntaxFault(f"{place}: nothing follows '{step.only}:'")
    step.verb, step.words = words[0], words[1:]
    if step.verb in ("send", "want", "may"):
        take_times(step)
        try:
            step.packet = packet.parse_words(step.words)
        except (packet.Bad, IndexError, ValueError) as error:
            raise SyntaxFault(f"{place}: {error}") from None
    elif step.verb in ("quiet", "wait"):
        if len(step.words) != 1:
            raise SyntaxFault(f"{place}: {step.verb} wants a duration")
        step.after = span(step.words[0], place)
    elif step.verb == "app":
        take_times(step)
        if not step.words:
            raise SyntaxFault(f"{place}: app wants a call")
    elif step.verb not in ("do", "meet"):
        raise SyntaxFault(f"{place}: '{step.verb}' is no verb: send, want, may, quiet, wait, app, do, meet")
    return step


def parse_header(case, line, place):
    """cite, option, only, differs. False when the line is none of them."""
    verb, _, rest = line.partition(" ")
    if verb == "cite":
        if not re.fullmatch(r"(RFC \d+( \S+)?)(, RFC \d+( \S+)?)*", rest):
            raise SyntaxFault(f"{place}: cite wants 'RFC NUMBER SECTION', several with ', ' between them")
        case.citations += rest.split(", ")
    elif verb == "option":
        name, _, value = rest.partition(" ")
        if name not in OPTIONS or (OPTIONS[name] and value not in OPTIONS[name]) or not value:
            raise SyntaxFault(f"{place}: unknown option '{rest}': {', '.join(OPTIONS)}")
        case.options[name] = value
    elif verb == "only":
        name = rest.split()[0] if rest else ""
        if name not in MACHINES + BACKENDS:
            raise SyntaxFault(f"{place}: only wants one of {', '.join(dict.fromkeys(MACHINES + BACKENDS))}")
        case.only[name] = quoted_text(line, place)
    elif verb == "differs":
        case.differs = quoted_text(line, place)
    else:
        return False
    return True


def read_blocks(path):
    """(place of the head, head, [(place, line)]) for each block that begins at the left margin."""
    blocks = []
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        if not line[0].isspace():
            blocks.append((place, line, []))
        elif blocks:
            blocks[-1][2].append((place, line.strip()))
        else:
            raise SyntaxFault(f"{place}: stands in no case")
    return blocks


def read_macros(blocks):
    macros = {}
    for place, head, lines in blocks:
        if head.split()[0] == "macro":
            name = head.partition(" ")[2].strip()
            if not name or name in macros:
                raise SyntaxFault(f"{place}: a macro wants a name of its own")
            macros[name] = [parse_step(line, where) for where, line in lines]
    return macros


def expand(steps, macros, depth=0):
    for step in steps:
        if step.verb != "do":
            yield step
            continue
        name = " ".join(step.words)
        if name not in macros or depth > 4:
            raise SyntaxFault(f"{step.place}: there is no macro '{name}': {', '.join(macros)}")
        yield from expand(macros[name], macros, depth + 1)


def read_file(path, common):
    """The cases of one file. `common`: macros that every file has."""
    blocks = read_blocks(Path(path))
    macros = {**common, **read_macros(blocks)}
    cases, titles = [], set()
    for place, head, lines in blocks:
        if head.split()[0] == "macro":
            continue
        if not head.startswith("case "):
            raise SyntaxFault(f"{place}: a block begins with 'case' or 'macro'")
        case = Case(place, head[5:].strip())
        steps = [parse_step(line, where) for where, line in lines if not parse_header(case, line, where)]
        case.steps = list(expand(steps, macros))
        if case.title in titles:
            raise SyntaxFault(f"{place}: a second case of that name")
        titles.add(case.title)
        check_case(case)
        cases.append(case)
    return cases


def check_case(case):
    if not case.citations:
        raise SyntaxFault(f"{case.place}: the case cites nothing")
    if not case.steps:
        raise SyntaxFault(f"{case.place}: the case has no steps")
    if any(step.only for step in case.steps) and not case.differs:
        raise SyntaxFault(f'{case.place}: the machines differ, and no \'differs "..."\' says why')
    if not any(step.verb in ("want", "quiet") or step.verb == "app" and step.words[0] in ("read", "fails", "datagram")
               for step in case.steps):
        raise SyntaxFault(f"{case.place}: the case wants nothing: it cannot fail")


def read_folder(folder):
    """Macros of common.trace."""
    return read_macros(read_blocks(Path(folder) / "common.trace"))
