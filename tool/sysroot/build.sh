#!/bin/bash
# SPDX-License-Identifier: ISC
# Builds the guest sysroot from Debian's source packages; see doc/toolchain.md.
set -euo pipefail
# Kept under a name that says nothing of them (config/process.cpp has the same list).
unset CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH OBJC_INCLUDE_PATH LIBRARY_PATH CFLAGS CXXFLAGS CPPFLAGS ASMFLAGS LDFLAGS \
  MAKEFLAGS MFLAGS CMAKE_BUILD_TYPE CMAKE_TOOLCHAIN_FILE
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)

usage() {
  cat <<'USAGE'
usage: tool/sysroot/build.sh [--arch ARCH] [--print-path] [--rebuild] [--jobs N]

Builds the guest sysroot (musl, compiler-rt builtins, libc++ with and without exceptions) from Debian's source
packages, unless it is in the cache already. The last line on standard output is the sysroot's path.

  --arch ARCH    x86_64 (default) or aarch64
  --print-path   only print where the sysroot is or would be; exit status 3 when it is not built yet
  --rebuild      build even if the cache has it
  --jobs N       parallel compiler processes (default: number of processors)
  --help         this text

The cache is $MIRAGE_CACHE, else $XDG_CACHE_HOME/mirage, else ~/.cache/mirage. Needs: clang-19 lld-19 llvm-19 cmake
ninja-build make python3 xz-utils. ccache is used when present.
USAGE
}

arch=x86_64 print_path= rebuild= jobs=$(nproc)
while [ $# -gt 0 ]; do
  case $1 in
    --arch) arch=${2:?--arch needs a value}; shift ;;
    --arch=*) arch=${1#*=} ;;
    --jobs) jobs=${2:?--jobs needs a value}; shift ;;
    --jobs=*) jobs=${1#*=} ;;
    --print-path) print_path=1 ;;
    --rebuild) rebuild=1 ;;
    --help | -h) usage; exit 0 ;;
    *) echo "build.sh: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
case $arch in
  x86_64 | aarch64) ;;
  *) echo "build.sh: no recipe for architecture '$arch' (x86_64, aarch64)" >&2; exit 2 ;;
esac

cache=${MIRAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mirage}
# The recipe's identity: what decides the result, and the compiler.
hash=$(cd "$here" && { find sources stages.sh overlay -type f | LC_ALL=C sort | xargs sha256sum; clang-19 --version |
  head -n1; } | sha256sum | cut -c1-12)
sysroot=$cache/sysroot-$arch-$hash

if [ -n "$print_path" ]; then
  echo "$sysroot"
  [ -e "$sysroot/mirage-sysroot" ] || exit 3
  exit 0
fi

stages=7 stage=0
progress() {
  stage=$((stage + 1))
  echo "sysroot $arch: [$stage/$stages] ${SECONDS}s $*" >&2
}
die() {
  echo "build.sh: $*" >&2
  exit 1
}

mkdir -p "$cache"
exec 9>"$cache/sysroot-$arch.lock"
if ! flock -n 9; then
  echo "sysroot $arch: waiting for another build of it" >&2
  flock 9
fi
if [ -e "$sysroot/mirage-sysroot" ] && [ -z "$rebuild" ]; then
  echo "$sysroot"
  exit 0
fi
for tool in clang-19 ld.lld-19 llvm-ar-19 llvm-nm-19 llvm-objdump-19 cmake ninja make python3 xz; do
  command -v "$tool" >/dev/null || die "'$tool' is missing: apt-get install clang-19 lld-19 llvm-19 cmake ninja-build make python3 xz-utils"
done

# One fixed folder (the lock is ours): compiler caches work, and what an interrupted build left is removed.
work=$cache/build-$arch
rm -rf "$work"
mkdir "$work"
log=$work/log
finish() {
  status=$?
  if [ $status -ne 0 ]; then
    if [ -s "$log" ]; then
      cp "$log" "$cache/sysroot-$arch.log"
      tail -n 25 "$log" >&2
      echo "build.sh: whole log: $cache/sysroot-$arch.log" >&2
    fi
    echo "build.sh: failed in stage $stage of $stages" >&2
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- sources -------------------------------------------------------------------------------------------------------
. "$here/fetch.sh"
progress "sources (downloaded on first use: 166 MB)"
fetch_sources "$here/sources" "$cache/source" "$log"

progress "unpack"
source=$work/source
mkdir -p "$source/musl" "$source/llvm"
tar -xf "$cache/source/$(tarball_of musl)" -C "$source/musl" --strip-components=1
tar -xf "$cache/source/$(tarball_of llvm-toolchain-19)" -C "$source/llvm" --strip-components=1 --wildcards \
  --no-wildcards-match-slash \
  --exclude='*/libcxx/test' --exclude='*/libcxxabi/test' --exclude='*/libunwind/test' \
  '*/runtimes' '*/libcxx' '*/libcxxabi' '*/libunwind' '*/cmake' '*/compiler-rt/cmake' '*/compiler-rt/lib/builtins' \
  '*/compiler-rt/CMakeLists.txt' '*/llvm/cmake'

root=$work/root
. "$here/stages.sh"
progress "musl"
build_musl >>"$log" 2>&1
progress "compiler-rt builtins"
build_builtins >>"$log" 2>&1
progress "libc++ without exceptions"
build_libcxx plain >>"$log" 2>&1
progress "libc++ with exceptions"
build_libcxx exceptions >>"$log" 2>&1
progress "check and install"
log=/dev/null
check_sysroot

{
  echo "arch $arch"
  echo "recipe $hash"
  grep -v '^#' "$here/sources" | cut -d' ' -f1,2
} >"$root/mirage-sysroot"
[ ! -e "$sysroot" ] || mv "$sysroot" "$work/replaced"
mv "$root" "$sysroot"
echo "sysroot $arch: done in ${SECONDS}s, $(du -sh "$sysroot" | cut -f1)" >&2
echo "$sysroot"
