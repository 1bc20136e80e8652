#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: ./dev profile
# Writes cmake/speed.proftext: how often each branch of the library is taken while bench_request serves its loads.
# Images of `mirage configure --optimize=speed` are compiled with it. Code that has changed since is compiled as if
# nothing were known about it; the test image_profile says when that has become much.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$root/build/profile
mkdir -p "$work"
cmake -S "$root" -B "$work/build" -G Ninja -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF -DMIRAGE_RECORD_PROFILE=ON >/dev/null
cmake --build "$work/build" --target bench_request
rm -f "$work"/*.profraw
number=0
# Each load for about the same number of turns, so that none outweighs the others.
for load in 'hello 1 1 4000' 'hello 16 1 4000' 'hello 256 1 4000' 'hello 16 16 16000' 'file 16 1 2000' 'new 16 1 2000'; do
  number=$((number + 1))
  # shellcheck disable=SC2086
  LLVM_PROFILE_FILE=$work/$number.profraw "$work/build/bin/bench_request" $load
done
# Sparse: a function that none of them calls has no entry, and is compiled as if there were no profile.
llvm-profdata-19 merge --sparse --text --no-function='5bench|^bench_|main.cpp' -o "$root/cmake/speed.proftext" "$work"/*.profraw
ls -l "$root/cmake/speed.proftext"
