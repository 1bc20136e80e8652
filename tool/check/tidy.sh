#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# clang-tidy with the checks of .clang-tidy over what a build compiles of mirage/ and tender/ (tests and guest code
# excepted; config/ and cli/ run on the developer's machine and would take longer than all the rest: their JSON and CLI
# headers cost half a minute a file) and over all headers of the library OS at once, which covers those that are only templates.
# A file that passed is not looked at again until it, a header that it includes, its compile command or .clang-tidy
# changes: the first run takes minutes, later ones seconds. Most of a first run would be the same headers once per file:
# many folders are looked at together first, where that has findings each folder, and there each file. (So it is, too,
# where files do not compile together because two of one namespace have a helper of one name: slow, but not wrong.)
#   tidy.sh BUILD_FOLDER [FILE...]     BUILD_FOLDER holds compile_commands.json; FILE...: only these
set -eu -o pipefail
cd "$(dirname "$0")/../.."
build=$(realpath "${1:?usage: tidy.sh BUILD_FOLDER [FILE...]}")
shift
export root=$PWD build cache=$build/tidy
mkdir -p "$cache"

# One line per file: path, then its compile command without output and dependency options.
python3 - "$@" > "$cache/commands" <<'PYTHON'
import json, os, re, shlex, subprocess, sys
root, build, cache = (os.environ[name] for name in ('root', 'build', 'cache'))
only = set(sys.argv[1:])
wanted = re.compile(r'(mirage|tender)/(?!.*(_test|_fuzz)\.cpp$)(?!.*/test/).*\.cpp$')
def bare(command):
    words, kept, skip = shlex.split(command), [], False
    for word in words[1:]:
        if skip: skip = False
        elif word in ('-o', '-MF', '-MT', '-MQ'): skip = True
        elif word not in ('-c', '-MD', '-MMD') and not word.endswith(('.cpp', '.cxx')) and 'clang++' not in word: kept.append(word)
    return kept
core, units, seen = None, {}, set()
entries = json.load(open(f'{build}/compile_commands.json'))
ports = sorted({flag for entry in entries for flag in re.findall(r'-isystem \S+', entry['command'])})
def compiled():  # (path, command); a unity file stands for those that it includes
    for entry in entries:
        if ' -o bench/' in entry['command']: continue  # bench_request compiles libraries with flags of its own
        file = os.path.join(entry['directory'], entry['file'])
        together = re.findall(r'^#include "(.*\.cpp)"', open(file).read(), re.M) if '/Unity/' in file else [file]
        for path in together: yield os.path.relpath(path, root), entry['command']
for path, command in compiled():
    if not wanted.match(path): continue
    if path == 'mirage/async/shard.cpp': core = bare(command)
    if path in seen or (only and path not in only): continue
    seen.add(path)
    # What is of mirage/ compiles together, whether or not it uses a port.
    if not path.startswith('tender/'): command = ' '.join([re.sub(r'-isystem \S+ | -Wno-shadow', '', command)] + ports)
    flags = shlex.join(bare(command))
    print(path, flags)
    units.setdefault(flags, {}).setdefault(os.path.dirname(path), []).append(path)
def parts(folders, size=90):  # whole folders, some ninety files together
    part = []
    for files in folders:
        part += files
        if len(part) >= size: yield part; part = []
    yield part
with open(f'{cache}/parts', 'w') as many, open(f'{cache}/folders', 'w') as single:
    for flags, folders in units.items():
        for out, groups in (many, parts(folders.values())), (single, folders.values()):
            out.writelines(f"{flags}\t{' '.join(files)}\n" for files in groups if len(files) > 1)
if core and not only:
    # What is mirage/ but of one machine, target, tender or test.
    headers = subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard', 'mirage/*.hpp'],
                             capture_output=True, text=True, check=True).stdout.split()
    headers = [h for h in headers if not re.search(r'^mirage/(machine|target)/|/(guest|tender|test|check)/|_test\.hpp$', h)]
    text = ''.join(f'#include <{h}>\n' for h in headers if os.path.exists(h))
    path = f'{cache}/all_headers.cpp'
    if not os.path.exists(path) or open(path).read() != text: open(path, 'w').write(text)
    print(path, shlex.join(core))
PYTHON

# The hash of everything that the result depends on; the headers are those of the last time the file passed.
key() {
  { sha256sum .clang-tidy "$1" $(cat "$2" 2> /dev/null) 2>&1; echo "$3"; clang-tidy-19 --version; } | sha256sum | cut -c 1-32
}
headers() { # FILE FLAGS...
  clang++-19 -x c++ "${@:2}" -MM "$1" | tr -d '\\' | sed 's/^[^:]*://' | tr -s ' \n' '\n\n' | sort -u
}
passed() { [ "$(cat "$1.passed" 2> /dev/null)" = "$(key "$2" "$1.headers" "$3")" ]; } # NAME FILE FLAGS
# Files that have one set of flags, as one translation unit: "FLAGS<tab>FILE FILE...". There the constants of one file
# are shadowed by locals of another; the compiler warns of those within a file.
together() {
  local flags=${1%%$'\t'*} files=${1#*$'\t'} file name unit all=yes
  for file in $files; do passed "$cache/${file//\//_}" "$file" "$flags" || all=no; done
  [ $all = no ] || return 0
  unit=$cache/unit_$(echo "$1" | sha256sum | cut -c 1-16).cpp
  printf "#include \"$root/%s\"\n" $files > "$unit"
  eval "set -- $flags"
  clang-tidy-19 --quiet --config-file=.clang-tidy --header-filter="$root/(mirage|tender)/.*\.[ch]pp$" \
    --checks=-bugprone-suspicious-include "$unit" -- -x c++ "$@" -Wno-shadow > /dev/null 2>&1 || return 0
  headers "$unit" "$@" > "$unit.headers"
  for file in $files; do
    name=$cache/${file//\//_}
    cp "$unit.headers" "$name.headers"
    key "$file" "$name.headers" "$flags" > "$name.passed"
  done
}
check() {
  local file=${1%% *} flags=${1#* } name
  name=$cache/$(echo "${file#"$cache/"}" | tr / _)
  if passed "$name" "$file" "$flags"; then return 0; fi
  rm -f "$name.passed"
  eval "set -- $flags"
  if ! clang-tidy-19 --quiet "$file" -- -x c++ "$@" > "$name.out" 2> "$name.err"; then
    sed "s|$root/||" "$name.out"
    sed '/warnings generated\|warning generated\|^Suppressed\|^Use -header\|treated as error/d' "$name.err"
    return 1
  fi
  headers "$file" "$@" > "$name.headers"
  key "$file" "$name.headers" "$flags" > "$name.passed"
}
export -f key check headers passed together
if [ $# = 0 ]; then
  for list in parts folders; do
    xargs -a "$cache/$list" -d '\n' -P "$(nproc)" -I{} bash -c 'together "$1"' together {}
  done
fi
xargs -a "$cache/commands" -d '\n' -P "$(nproc)" -I{} bash -c 'check "$1"' check {} ||
  { echo 'clang-tidy has findings: mend them, or say why not with NOLINT(check): reason'; exit 1; }
