#!/bin/bash
# SPDX-License-Identifier: ISC
# run.sh BUILD_FOLDER: builds the programs beside this file as images (both variants) and checks what they do.
# Exit status 77: no sysroot has been built yet (tool/sysroot/build.sh).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=${1:?usage: run.sh BUILD_FOLDER}
sysroot=$("$root/tool/sysroot/build.sh" --print-path) || {
  echo "skipped: no sysroot yet; build it with tool/sysroot/build.sh"
  exit 77
}
[ "$(uname -m)" = x86_64 ] || { echo "skipped: the test platform is for x86_64"; exit 77; }
failures=0

# image VARIANT PROGRAM [COMPILER FLAG...]: builds $build/VARIANT/PROGRAM.
image() {
  local folder=$build/$1 program=$2
  shift 2
  clang++-19 "@$folder/guest/compile.rsp" "$@" -c "$here/platform.cpp" -o "$folder/platform.o" &&
    clang++-19 "@$folder/guest/compile.rsp" -c "$here/$program.cpp" -o "$folder/$program.o" &&
    clang++-19 "@$folder/guest/link.rsp" "$folder/platform.o" "$folder/$program.o" "$folder/libmirage_runtime.a" \
      "$folder/libmirage_base.a" "@$folder/guest/libraries.rsp" -o "$folder/$program" || exit 1
}

# check STATUS PATTERN IMAGE ARGUMENT...: the image ends with STATUS and prints something that matches.
check() {
  local wanted=$1 pattern=$2 output status
  shift 2
  output=$("$@" 2>&1) && status=0 || status=$?
  if [ "$status" != "$wanted" ] || ! grep -qzP "(?s)$pattern" <<<"$output"; then
    printf 'FAILED: %s\n  status %s, wanted %s; wanted output %s, got:\n%s\n' "$*" "$status" "$wanted" "$pattern" "$output"
    failures=$((failures + 1))
  fi
}

# at_most BYTES IMAGE: size of the stripped image.
at_most() {
  llvm-strip-19 "$2" -o "$2.stripped"
  local size
  size=$(stat -c %s "$2.stripped")
  echo "size: $size ${2#"$build"/} (at most $1)"
  [ "$size" -le "$1" ] || { echo "FAILED: $2 is larger than $1"; failures=$((failures + 1)); }
}

launcher=
if command -v ccache >/dev/null; then launcher=ccache; fi
for variant in plain exceptions; do
  cmake -S "$root/mirage" -B "$build/$variant" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$root/cmake/guest-x86_64.cmake" \
    -DMIRAGE_SYSROOT="$sysroot" -DMIRAGE_EXCEPTIONS=$([ $variant = exceptions ] && echo ON || echo OFF) \
    ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} >"$build/$variant.log" 2>&1 &&
    ninja -C "$build/$variant" -j2 mirage_runtime mirage_base >>"$build/$variant.log" 2>&1 ||
    { cat "$build/$variant.log"; exit 1; }
done

for program in hello container misbehave; do image plain $program; done
for program in hello container throwing; do image exceptions $program; done
cd "$build/plain"
check 3 '^hello\n$' ./hello
check 64 'a quote is not closed' ./hello "'x"
check 64 'too long' ./hello "$(head -c 8200 /dev/zero | tr '\0' x)"
check 0 '^constructed\na=2\nb c=1\nunikernel=1\n0\nodd 1\n1\n42\ndestroyed\n$' ./container a a "'b c'"
check 255 'stack smashed' ./misbehave smash
check 255 'backtrace .newest first.:\n  at 0x[0-9a-f]{16}\n.*heap: double free\n' ./misbehave double-free
check 255 'header was overwritten' ./misbehave overrun
check 255 'out of memory: 8589934592 bytes wanted, [0-9]+ of 67108864 in use' ./misbehave new
check 11 '' ./misbehave nothrow
check 0 '' ./misbehave unmap
check 255 'abort called' ./misbehave abort
check 255 'assertion failed: argc == 77 .*misbehave.cpp' ./misbehave assert
check 255 'length_error' ./misbehave length
check 132 '' ./misbehave bounds
check 5 '' ./misbehave exit
check 0 'pi 3.142 printf' ./misbehave printf
check 0 'call_abort.*main.*runtime/guest/start.cpp' sh -c \
  './misbehave abort | sed -n "s/^  at //p" | llvm-symbolizer-19 -C -e misbehave'
image plain hello -DNO_ENTROPY
check 3 'no entropy source' ./hello
image plain hello
image plain misbehave -DHEAP_MIB=71680
check 12 '' ./misbehave nothrow
check 255 'out of memory: 137438953472 bytes wanted, [0-9]+ of 75161927680 in use' ./misbehave new-more
image plain misbehave -DHEAP_MIB=1048576
check 12 '' ./misbehave nothrow
image plain misbehave -DSECOND_HEAP_MIB=71680
check 12 '' ./misbehave nothrow
cd "$build/exceptions"
check 3 '^hello\n$' ./hello
check 0 'destroyed' ./container
check 7 '^depth 3\n$' ./throwing

at_most 20480 "$build/plain/hello"
at_most 32768 "$build/plain/container"
at_most 36864 "$build/exceptions/hello"
at_most 90112 "$build/exceptions/container"
[ $failures = 0 ]
