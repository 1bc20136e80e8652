#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# clang-tidy with the checks of .clang-tidy over what a build compiles of mirage/ and tender/ (tests and guest code
# excepted; config/ and cli/ run on the developer's machine and would take longer than all the rest: their JSON and CLI
# headers cost half a minute a file) and over all headers of the library OS at once, which covers those that are only templates.
# A file that passed is not looked at again until it, a header that it includes, its compile command or .clang-tidy
# changes: the first run takes minutes, later ones seconds.
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
        elif word not in ('-c', '-MD', '-MMD') and not word.endswith('.cpp') and 'clang++' not in word: kept.append(word)
    return kept
core = None
for entry in json.load(open(f'{build}/compile_commands.json')):
    path = os.path.relpath(os.path.join(entry['directory'], entry['file']), root)
    if not wanted.match(path): continue
    if path == 'mirage/async/shard.cpp': core = bare(entry['command'])
    if not only or path in only: print(path, shlex.join(bare(entry['command'])))
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
check() {
  local file=${1%% *} flags=${1#* } name
  name=$cache/$(echo "${file#"$cache/"}" | tr / _)
  if [ "$(cat "$name.passed" 2> /dev/null)" = "$(key "$file" "$name.headers" "$flags")" ]; then return 0; fi
  rm -f "$name.passed"
  eval "set -- $flags"
  if ! clang-tidy-19 --quiet "$file" -- -x c++ "$@" > "$name.out" 2> "$name.err"; then
    sed "s|$root/||" "$name.out"
    grep -v 'warnings generated\|warning generated\|^Suppressed\|^Use -header\|treated as error' "$name.err" || true
    return 1
  fi
  clang++-19 -x c++ "$@" -MM "$file" | tr -d '\\' | sed 's/^[^:]*://' | tr -s ' \n' '\n\n' | sort -u > "$name.headers"
  key "$file" "$name.headers" "$flags" > "$name.passed"
}
export -f key check
xargs -a "$cache/commands" -d '\n' -P "$(nproc)" -I{} bash -c 'check "$1"' check {} ||
  { echo 'clang-tidy has findings: mend them, or say why not with NOLINT(check): reason'; exit 1; }
