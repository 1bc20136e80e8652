#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Every header and source of the library OS compiles alone, as core code is built: no exceptions, no RTTI, warnings are
# errors. (Builds compile the sources of a library together.) Each header is a Clang module of its own: what others
# included before it is not visible in it, yet every header is read once.
#   alone.sh BUILD_FOLDER     holds compile_commands.json, for the headers of ports; the modules are kept in its alone/, and
#                             a second run reads only what changed
set -u
cd "$(dirname "$0")/../.."
folder=$(mkdir -p "${1:?usage: alone.sh BUILD_FOLDER}/alone" && realpath "$1/alone")
export flags="-std=c++23 -stdlib=libc++ -fno-exceptions -fno-rtti -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wsign-conversion -Werror -Wno-pragma-once-outside-header -Wno-unused-const-variable -I. -Iconfig/include -fsyntax-only
  $(grep -oE -- '-isystem [^ "]*' "$folder/../compile_commands.json" | sort -u | tr '\n' ' ')"
# Tools on the host may use exceptions; the rule is for what is linked into images.
# Without git there would be nothing to check, and nothing wrong with it.
list() { git ls-files --cached --others --exclude-standard "$1" | grep -v -E '/(tender|test|check)/|_(test|fuzz)\.[ch]pp$'; }
headers=$(list 'mirage/*.hpp') && sources=$(list 'mirage/*.cpp') || { echo 'alone: git lists no headers and sources'; exit 1; }
guest='^mirage/machine/|/guest/' # builds compile these sources alone

machine=$(grep -E "$guest" <<< "$headers")
headers=$(grep -v -E "$guest" <<< "$headers")
for name in $headers; do echo "module ${name//[^a-zA-Z0-9]/_} { header \"$PWD/$name\" export * }"; done > "$folder/module.modulemap"
for name in $headers; do echo "#include <$name>"; done > "$folder/all.cpp"
export modules="-fmodules -fmodules-cache-path=$folder/modules -fmodule-map-file=$folder/module.modulemap"
check() { # FILE FLAGS...
  clang++-19 $flags "${@:2}" -x c++ "$1" || { echo "does not compile alone: $1"; return 1; }
}
export -f check
status=0
# Clang does not always rebuild a module whose header's headers have changed, but says that it should.
if ! found=$(check "$folder/all.cpp" $modules -ferror-limit=0 2>&1) && grep -q 'out of date and needs to be rebuilt' <<< "$found"; then
  rm -rf "$folder/modules"
  found=$(check "$folder/all.cpp" $modules -ferror-limit=0 2>&1)
fi
[ -z "$found" ] || { echo "$found"; status=1; }
xargs -P "$(nproc)" -I{} bash -c 'check {} --target=x86_64-linux-gnu' <<< "$machine" || status=1
grep -v -E "$guest" <<< "$sources" | xargs -P "$(nproc)" -I{} bash -c 'check {} $modules' || status=1
exit $status
