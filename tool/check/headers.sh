#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Every header of the library OS compiles alone, as core code is built: no exceptions, no RTTI, warnings are errors.
set -u
cd "$(dirname "$0")/../.."
check() {
  case "$1" in mirage/machine/* | */guest/*) target=--target=x86_64-linux-gnu ;; *) target= ;; esac
  clang++-19 $target -std=c++23 -stdlib=libc++ -fno-exceptions -fno-rtti -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
    -Wsign-conversion -Werror -Wno-pragma-once-outside-header -Wno-unused-const-variable -I. -Iconfig/include \
    -fsyntax-only -x c++ "$1" || { echo "does not compile alone: $1"; return 1; }
}
export -f check
# Tools on the host may use exceptions; the rule is for what is linked into images.
# Without git there would be nothing to check, and nothing wrong with it.
names=$(git ls-files --cached --others --exclude-standard 'mirage/*.hpp') || { echo 'headers: git cannot list the headers'; exit 1; }
grep -v -E '/(tender|test|check)/|_test\.hpp$' <<< "$names" |
  xargs -P "$(nproc)" -I{} bash -c 'check {}' || exit 1
