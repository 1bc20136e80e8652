#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The pages (README.md, doc/, and what else ends in .md) say what is there: files, names and options exist, links lead somewhere, RFCs in the table
of features are cited where the feature lives; and whoever uses or extends mirage finds modules, keys, examples and
options on some page.

What stands in backticks, and in indented blocks that are tables of files, is looked at; words in capitals stand for
something else.
"""
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

CODE = re.compile(r"`([^`]+)`")
# What others made, or what a run makes.
FOREIGN = {"halt_poll_ns", "callgrind_annotate", "inclusive", "defsym"}
MADE = ("/", "$", "build/", "dist/", "lib/libport_", "notes/", "http:", "usr/", "x_", "<")
KINDS = r"cpp|hpp|c|h|S|ld|py|sh|md|json|txt|trace|proftext"


class Tree:
    def __init__(self, root: Path):
        self.root = root
        git = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True,
                             text=True).stdout.split("\n")
        names = [name for name in git if name] or [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
        self.files = [name for name in names if (root / name).is_file()]
        self.folders = {"/".join(name.split("/")[:i]) for name in self.files for i in range(1, name.count("/") + 1)}
        self.files = [name for name in self.files if "/corpus/" not in name]
        self.pages = [n for n in self.files if n.endswith(".md") or re.match(r"doc/man/.*\.1$", n)]
        self.texts: dict[str, str] = {}
        self.linked = {"README.md"}
        # Not what this check and its test say.
        sources = [n for n in self.files if n not in self.pages and not n.startswith(("tool/check/", "test/style/"))]
        self.code = "\n".join([*sources, *map(self.text, sources)]).lower()
        self.words = set(re.findall(r"\w+", self.code))
        self.options = set(re.findall(r"[a-z][a-z0-9-]*", self.code))
        negotiation = self.text("mirage/target/solo5/negotiation.hpp") if "mirage/target/solo5/negotiation.hpp" in self.files else ""
        self.capabilities = set(re.findall(r"^  (\w+) = 1U << ", negotiation, re.M))
        self.cases = re.findall(r'TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"', "\n".join(self.text(n) for n in sources if n.endswith("_test.cpp")))
        self.all_pages = "\n".join(map(self.text, self.pages)).replace("\\-", "-")

    def text(self, name: str) -> str:
        if name not in self.texts:
            self.texts[name] = (self.root / name).read_text(errors="replace")
        return self.texts[name]

    def named(self, path: str) -> list[str]:
        """Files that a page means by a path, which may lack its beginning, its suffix, or have a `*`."""
        form = re.compile("(^|/)" + re.escape(path.rstrip("/")).replace(r"\*", "[^/]*") + r"(\.[a-z]+)?(/.*)?$")
        if not path.endswith(("_test", "_fuzz")):
            return [name for name in self.files if form.search(name)]
        test = re.compile(f"(^|/|_){path.replace('/', '.')}\\.cpp$")  # CTest's names have the folder's in front
        return [name for name in self.files if test.search(name) or test.search(name.replace("/", "_"))]


def expanded(word: str) -> list[str]:
    """a/{b,c}/d is two."""
    parts = [piece.split(",") if i % 2 else [piece] for i, piece in enumerate(re.split(r"[{}]", word))]
    return ["".join(p) for p in itertools.product(*parts)]


def is_path(word: str) -> bool:
    if word.startswith((*MADE, "-", "~", ".")) or re.search(r"[A-Z]{3}|[=:\[\]<>$@^()|]|\d\.\d", word):
        return False
    return bool(re.search(rf"\w\.({KINDS})$|^\w+_(test|fuzz)$|^[a-z][\w.-]+/[\w./*{{}},-]+$|^\w[\w/]*\.\*$", word))


def quoted(page: str):
    """Line number and words of what a page says in code; for blocks, of the first column of tables of files."""
    for number, line in enumerate(page.splitlines(), 1):
        for piece in CODE.findall(line):
            yield number, piece
        block = re.match(r"    ([a-z][\w./{},*-]*/[\w./{},*-]*)(,| \s|$)", line)
        if block:
            yield number, block[1]


def check_paths(tree: Tree, name: str) -> list[str]:
    errors = []
    for number, piece in quoted(tree.text(name)):
        for word in re.split(r"[\s,;]+(?![^{]*\})", piece):
            if not is_path(word):
                continue
            for path in expanded(word):
                if not tree.named(path) and path.rstrip("/") not in tree.folders:
                    errors.append(f"{name}:{number}: there is no {path}")
    return errors


def check_links(tree: Tree, name: str) -> list[str]:
    errors = []
    for number, line in enumerate(tree.text(name).splitlines(), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            path, _, anchor = target.partition("#")
            if path.startswith("http"):
                continue
            tree.linked.add((Path(name).parent / path).as_posix())
            file = (tree.root / name).parent / path if path else tree.root / name
            if not file.exists():
                errors.append(f"{name}:{number}: the link {target} leads nowhere")
            elif anchor and anchor not in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-")
                                           for h in re.findall(r"^#+ (.*)$", file.read_text(), re.M)}:
                errors.append(f"{name}:{number}: no heading for the link {target}")
    return errors


def is_counter(word: str, words: set[str]) -> bool:
    """mirage_PART_NAME_total: the part and the member are names of the code."""
    parts = word.removeprefix("mirage_").removesuffix("_total").split("_")
    return any("_".join(parts[:i]) in words and "_".join(parts[i:]) in words for i in range(1, len(parts)))


def check_names(tree: Tree, name: str) -> list[str]:
    errors = []
    for number, piece in quoted(tree.text(name)):
        for word in re.findall(r"(?<![\w/.-])[A-Za-z]\w*(?:::\w+)+|\b[a-z]\w*_\w+\b|\b[A-Z][a-z]+[A-Z]\w*", piece):
            for part in word.lower().split("::"):
                if not (part in tree.words or part in FOREIGN or part.startswith("x_") or re.search("[A-Z]{3}", word)
                        or is_counter(part, tree.words) or part in tree.code
                        or part.removeprefix("mirage_").strip("_") in tree.words):
                    errors.append(f"{name}:{number}: nothing is called {word}")
                    break
        for option in re.findall(r"(?<!\S)--([a-z][a-z0-9-]*)", piece):
            # A key may have a group's name in front.
            if option not in FOREIGN and not any(option[i:] in tree.options for i in [0, *(m.end() for m in re.finditer("-", option))]):
                errors.append(f"{name}:{number}: there is no option --{option}")
    return errors


def check_cases(tree: Tree, name: str) -> list[str]:
    """What stands in quotation marks in backticks is the beginning of a test case's name."""
    return [f'{name}:{number}: no test case begins with "{case}"'
            for number, line in enumerate(tree.text(name).splitlines(), 1)
            for case in re.findall(r'`"([^`]*)"`', line) if not any(known.startswith(case) for known in tree.cases)]


def rfcs(line: str) -> set[str]:
    """RFC 4861 6.3, 4191 and (8.2): the documents, not their sections."""
    lists = re.findall(r"RFC ((?:\d{3,5}(?: [\d.]+)?(?:,? \([^)]*\))?(?:, (?:\d\.[\d.]+, )*| and )?)+)", line)
    return {number for each in lists for number in re.findall(r"(?<![.\d])(\d{3,5})(?![.\d])", each)}


def check_rfcs(tree: Tree, name: str) -> list[str]:
    """Each RFC of a row is cited in one of the row's files."""
    errors = []
    for number, line in enumerate(tree.text(name).splitlines(), 1):
        if not line.startswith("| "):
            continue
        words = [w for piece in CODE.findall(line) for w in re.split(r"[\s,]+(?![^{]*\})", piece)]
        paths = [p for w in words if is_path(w) or re.fullmatch(r"network_\w+", w)
                 for p in expanded(re.sub("^network_", "test/network/", w))]
        texts = [tree.text(file) for path in paths for file in tree.named(path)]
        for rfc in sorted(rfcs(line)):
            if not any(re.search(rf"\b{rfc}\b", text) for text in texts):
                errors.append(f"{name}:{number}: RFC {rfc} is not cited in the files of this row")
    return errors


def modules(tree: Tree):
    for file in tree.files:
        if not file.startswith("mirage/") or not file.endswith(("/module.json", "/target.json")):
            continue
        found = json.loads(tree.text(file))
        if file.endswith("/target.json"):
            yield file, {"name": found["name"]}
            found = found.get("modules", [])
        for module in found if isinstance(found, list) else [found]:
            if "name" in module:
                yield file, module


def check_complete(tree: Tree) -> list[str]:
    """What some page must name: modules and their keys, rooms, ports, examples, functions of the DSL, fields of JSON."""
    pages, errors = tree.all_pages, []

    def want(what: str, form: str, text: str = pages) -> None:
        if not re.search(form, text, re.M):
            errors.append(f"no page names {what}")

    for file, module in modules(tree):
        want(f"the module {module['name']} of {file}", rf"`[^`\n]*\b{module['name']}\b")
        for key in module.get("keys", []):
            want(f"the key {key['name']} of {file}", rf"-{key['name']}(?![\w-])")
    for folder in sorted(tree.folders):
        if re.fullmatch(r"mirage/\w+|mirage/target/\w+|port/\w+|example/\w+/[\w-]+", folder):
            want(f"the folder {folder}", rf"\b{folder}(?![\w-])|`{folder.split('/')[-1]}`|^\| {folder.split('/')[-1]} \|")
    for file in tree.files:
        if re.fullmatch(r"config/include/mirage/config/(standard|key|module|unikernel)\.hpp", file):
            public = re.sub(r"namespace detail \{.*?\n\}  // namespace detail", "", tree.text(file), flags=re.S)
            for function in re.findall(r"^(?! |template|class|struct)(?:inline )?[\w:<>, .]+ (\w+)\(", public, re.M):
                want(f"{function}() of {file}", rf"`{function}\b|\b{function}\(")
        if target := re.match(r"mirage/target/(\w+)/(?!test/|.*_test\.)", file):  # what it negotiates with a tender
            for name in re.findall(r"\bsolo5::(\w+)", tree.text(file)):
                page = f"doc/{target[1]}.md"
                if name in tree.capabilities and page in tree.files and f"`{name}`" not in tree.text(page):
                    errors.append(f"{page} does not name the capability {name}")
        if file == "config/catalogue.cpp" and "doc/add-a-target.md" in tree.files:
            for field in re.findall(r'(?:text|texts|field|at|contains)\((?:\w+, )?"(\w+)"', tree.text(file)):
                if not re.search(rf"\b{field}\b", tree.text("doc/add-a-target.md")):
                    errors.append(f"doc/add-a-target.md does not name the field {field}")
    return sorted(set(errors))


def check_manual(tree: Tree) -> list[str]:
    """Commands and options of `mirage` stand in its manual."""
    main, manual = "cli/main.cpp", "doc/man/mirage.1"
    if main not in tree.files or manual not in tree.files:
        return []
    lines = tree.text(manual).splitlines()
    told = {w for line in lines for flags in re.findall(r"\bFl ([\w, -]+)", line) for w in re.findall(r"-?[\w-]+", flags)}
    told |= {w for line in lines for names in re.findall(r"\bCm ([\w |,]+)", line) for w in re.findall(r"\w+", names)}
    options = {o for names in re.findall(r'add_(?:option|flag)\(\s*"(-[^"]*)"', tree.text(main)) for o in names.split(",")}
    commands = re.findall(r'add_\w+\((?:app, |\*store, |line, )*"([a-z]+)",', tree.text(main))
    return [f"{manual} does not name {what}" for what in sorted(options) + sorted(set(commands))
            if what.removeprefix("-") not in told]


def check(root: Path) -> list[str]:
    tree = Tree(root)
    errors = []
    for name in tree.pages:
        if name.endswith(".md"):
            errors += check_paths(tree, name) + check_links(tree, name) + check_names(tree, name)
        if name == "doc/attacks.md":
            errors += check_cases(tree, name)
        if name == "doc/network.md":
            errors += check_rfcs(tree, name)
    errors += [f"{name}: no page has a link to it" for name in tree.pages
               if name.startswith("doc/") and name not in tree.linked]
    return errors + check_complete(tree) + check_manual(tree)


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    errors = check(root)
    for error in errors:
        print(error)
    print(f"documents: {len(errors)} findings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
