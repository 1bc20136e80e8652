#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The style checks find what they look for: each is shown a tree that breaks its rule."""
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tool/check"))
import documents  # noqa: E402
import layers  # noqa: E402
import shape  # noqa: E402


def tree(files):
    folder = Path(tempfile.mkdtemp(prefix="style-"))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def expect(found, piece):
    if not any(piece in error for error in found):
        sys.exit(f"not found: {piece!r} in {found}")


def globals_status(folder, source):
    (folder / "x.cpp").write_text(source)
    for command in (["clang++-19", "-c", "x.cpp", "-o", "x.o"], ["llvm-ar-19", "rc", "x.a", "x.o"]):
        subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([ROOT / "tool/check/globals.sh", folder / "x.a"], capture_output=True).returncode


def check_globals():
    cases = {"int leaked = 3; int f() { return leaked; }": 1, "int f() { static int calls; return ++calls; }": 1,
             "int f() { return 1; }": 0}
    for source, wanted in cases.items():
        if (status := globals_status(tree({}), source)) != wanted:
            sys.exit(f"globals.sh: status {status} instead of {wanted} for: {source}")
    junk = tree({"junk.a": "not an archive"}) / "junk.a"
    if subprocess.run([ROOT / "tool/check/globals.sh", junk], capture_output=True).returncode != 2:
        sys.exit("globals.sh: junk passes for an archive without globals")


PAGES = {
    "README.md": "[a](doc/network.md#here) `net/ip/ip.hpp`, `Ip::input`, `--mtu`, `mirage_ip_sent_total`, the module `stack` of `mirage/net`\n",
    "doc/network.md": "## Here\n[b](add-a-target.md)\n| x | `net/ip/ip.hpp` | RFC 791, RFC 1122 3.2.2 |\n",
    "doc/add-a-target.md": "[c](man/mirage.1) `default`, `key<T>()`\n",
    "doc/man/mirage.1": ".Op Fl -mtu\n.Cm new\n",
    "mirage/net/ip/ip.hpp": "struct Ip { void input(); int mtu, sent; }; // RFC 791, RFC 1122\n",
    "mirage/net/module.json": '{"name": "stack", "keys": [{"name": "mtu"}]}',
    "config/catalogue.cpp": 'field(json, "default", 0);\n',
    "config/include/mirage/config/key.hpp": "Key<T> key(int);\n",
    "mirage/target/solo5/negotiation.hpp": "enum {\n  scatter = 1U << 6,\n};\n",
    "mirage/target/spt/boot.cpp": "",
    "doc/spt.md": "[d](tour.md) `mirage/target/solo5`, `mirage/target/spt`\n",
    "doc/tour.md": "[e](spt.md) [f](attacks.md)\n",
    "doc/attacks.md": '| SYN flood | `"a SYN is"` |\n',
    "mirage/net/ip/ip_test.cpp": 'TEST_CASE(\n    "a SYN is answered") {}\n',
    "cli/main.cpp": 'add_command(app, line, "new", ""); add_option("--mtu", x);\n',
}
BROKEN = [
    ("README.md", "net/ip/ip.hpp", "net/ip/ipv4.hpp", "README.md:1: there is no net/ip/ipv4.hpp"),
    ("README.md", "Ip::input", "Ip::receive", "nothing is called Ip::receive"),
    ("README.md", "mirage_ip_sent_total", "mirage_ip_lost_total", "nothing is called mirage_ip_lost_total"),
    ("README.md", "`--mtu`", "`--mru`", "there is no option --mru"),
    ("README.md", "#here", "#there", "no heading"),
    ("README.md", "doc/network.md#here", "doc/net.md", "leads nowhere"),
    ("README.md", "the module `stack`", "", "no page names the module stack"),
    ("doc/network.md", "RFC 791", "RFC 791, 792", "doc/network.md:3: RFC 792 is not cited"),
    ("doc/network.md", "[b](add-a-target.md)", "", "doc/add-a-target.md: no page has a link to it"),
    ("doc/attacks.md", "a SYN is", "a SYN was", 'doc/attacks.md:1: no test case begins with "a SYN was"'),
    ("doc/add-a-target.md", "`default`", "", "does not name the field default"),
    ("doc/add-a-target.md", "`key<T>()`", "", "no page names key()"),
    ("doc/man/mirage.1", "Fl -mtu", "Ar mtu", "doc/man/mirage.1 does not name --mtu"),
    ("doc/man/mirage.1", ".Cm new", "new", "doc/man/mirage.1 does not name new"),
    ("mirage/net/module.json", '"mtu"', '"sent"', "no page names the key sent"),
    ("mirage/target/spt/boot.cpp", "", "solo5::scatter", "doc/spt.md does not name the capability scatter"),
    ("port/zlib/recipe.sh", "", "", "no page names the folder port/zlib"),
]


def check_documents():
    if found := documents.check(tree(PAGES)):
        sys.exit(f"true pages were refused: {found}")
    for file, old, new, wanted in BROKEN:
        expect(documents.check(tree(PAGES | {file: PAGES.get(file, "").replace(old, new)})), wanted)


def main():
    check_globals()
    check_documents()
    base = {"mirage/base/a.hpp": "", "mirage/net/ip/ip.hpp": "", "mirage/target/spt/net.hpp": ""}
    expect(layers.check(tree(base | {"mirage/net/tcp/tcp.cpp": "#include <mirage/net/ip/ip.hpp>\n"})), "mirage/net/ip/ip.hpp")
    expect(layers.check(tree(base | {"mirage/base/b.cpp": "#include <mirage/net/ip/ip.hpp>\n"})), "may use only: nothing")
    expect(layers.check(tree(base | {"mirage/new/x.cpp": ""})), "is not listed")
    expect(layers.check(tree(base | {"mirage/target/hvt/x.cpp": "#include <mirage/target/spt/net.hpp>\n"})), "target/spt")
    if layers.check(tree(base | {"mirage/net/stack.cpp": "#include <mirage/net/ip/ip.hpp>\n"})):
        sys.exit("an allowed include was refused")
    lines = ["namespace a {", "int f() {"] + ["  x();"] * 70 + ["}", "}"]
    if [length for _, length, _ in shape.functions(lines)] != [72]:
        sys.exit("the length of a function is wrong")
    print("the style checks can fail")


if __name__ == "__main__":
    main()
