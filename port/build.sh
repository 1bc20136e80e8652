#!/bin/bash
# SPDX-License-Identifier: ISC
# Builds third-party C libraries from Debian's source packages; see doc/add-a-port.md.
set -euo pipefail
# Kept under a name that says nothing of them (config/process.cpp has the same list).
unset CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH OBJC_INCLUDE_PATH LIBRARY_PATH CFLAGS CXXFLAGS CPPFLAGS ASMFLAGS LDFLAGS \
  MAKEFLAGS MFLAGS CMAKE_BUILD_TYPE CMAKE_TOOLCHAIN_FILE
ports=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
here=$ports/../tool/sysroot # for fetch.sh

usage() {
  cat <<'USAGE'
usage: port/build.sh [--arch ARCH] [--print-path] [--rebuild] [--jobs N] NAME

Builds the port NAME (a folder of port/) against the guest sysroot, unless the cache has it. The last line on standard
output is the path of what was built: include/ and lib/libport_NAME.a.

  --arch ARCH    x86_64 (default) or aarch64 for guests; native for the unix target and the tests, with the host's C
                 library (without sanitizers: ten times the time of compiling SQLite)
  --print-path   only print where it is or would be; exit status 3 when it is not built yet
  --rebuild      build even if the cache has it
  --jobs N       parallel compiler processes (default: number of processors)
  --help         this text

The cache is $MIRAGE_CACHE, else $XDG_CACHE_HOME/mirage, else ~/.cache/mirage. The sources are the packages of
port/NAME/sources, with Debian's patches applied. ccache is used when present.
USAGE
}

arch=x86_64 print_path= rebuild= jobs=$(nproc) name=
while [ $# -gt 0 ]; do
  case $1 in
    --arch) arch=${2:?--arch needs a value}; shift ;;
    --arch=*) arch=${1#*=} ;;
    --jobs) jobs=${2:?--jobs needs a value}; shift ;;
    --jobs=*) jobs=${1#*=} ;;
    --print-path) print_path=1 ;;
    --rebuild) rebuild=1 ;;
    --help | -h) usage; exit 0 ;;
    -*) echo "build.sh: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
    *) name=$1 ;;
  esac
  shift
done
die() { echo "build.sh: $*" >&2; exit 1; }
if ! [[ $name =~ ^[a-z0-9_]+$ ]] || [ ! -f "$ports/$name/recipe.sh" ]; then
  echo "build.sh: there is no port '$name'; ports are: $(cd "$ports" && echo */ | tr -d /)" >&2
  exit 2
fi

cache=${MIRAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mirage}
sysroot=
case $arch in
  native) ;;
  x86_64 | aarch64)
    sysroot=$("$here/build.sh" --arch "$arch" --print-path) || [ -n "$print_path" ] ||
      sysroot=$("$here/build.sh" --arch "$arch" --jobs "$jobs" | tail -n 1) ;;
  *) echo "build.sh: no architecture '$arch' (x86_64, aarch64, native)" >&2; exit 2 ;;
esac
# What decides the result: the recipe, how it is run, the sysroot's own identity, the compiler.
hash=$({ sha256sum <"$ports/build.sh"; (cd "$ports/$name" && find . -type f | LC_ALL=C sort | xargs sha256sum)
  basename "$sysroot"; clang-19 --version | head -n1; } | sha256sum | cut -c1-12)
prefix=$cache/port-$name-$arch-$hash

# `ninja clean` of a build that uses the port takes the archive away, and only that.
built() { [ -e "$prefix/mirage-port" ] && [ -e "$prefix/lib/libport_$name.a" ]; }

if [ -n "$print_path" ]; then
  echo "$prefix"
  built || exit 3
  exit 0
fi

stages=4 stage=0
progress() {
  stage=$((stage + 1))
  echo "port $name $arch: [$stage/$stages] ${SECONDS}s $*" >&2
}

mkdir -p "$cache"
exec 9>"$cache/port-$name-$arch.lock"
if ! flock -n 9; then
  echo "port $name $arch: waiting for another build of it" >&2
  flock 9
fi
if built && [ -z "$rebuild" ]; then
  echo "$prefix"
  exit 0
fi
# Beyond the compiler: the programs that this recipe runs, and their packages.
for need in clang-19:clang-19 llvm-ar-19:llvm-19 patch:patch xz:xz-utils $(sed 's/#.*//; s/ /:/' "$ports/$name/programs" 2>/dev/null); do
  command -v "${need%%:*}" >/dev/null || die "'${need%%:*}' is missing: apt-get install --no-install-recommends ${need##*:}"
done

# One fixed folder (the lock is ours): compiler caches work, and what an interrupted build left is removed.
work=$cache/build-port-$name-$arch
rm -rf "$work"
mkdir "$work"
log=$work/log
touch "$log"
finish() {
  status=$?
  if [ $status -ne 0 ] && [ -s "$log" ]; then
    cp "$log" "$cache/port-$name-$arch.log"
    tail -n 25 "$log" >&2
    echo "build.sh: whole log: $cache/port-$name-$arch.log" >&2
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- sources -------------------------------------------------------------------------------------------------------
# shellcheck source=/dev/null
. "$here/fetch.sh"
progress "sources"
fetch_sources "$ports/$name/sources" "$cache/source" "$log"
progress "unpack, with Debian's patches"
source=$work/source
mkdir "$source"
while read -r package version tarball sum; do
  case $tarball in
    *.orig.tar.*) tar -xf "$cache/source/$tarball" -C "$source" --strip-components=1 ;;
    *.debian.tar.*) tar -xf "$cache/source/$tarball" -C "$source" debian/patches ;;
  esac
done < <(grep -v '^#' "$ports/$name/sources")
# The security fixes of a stable release are Debian's patches.
if [ -f "$source/debian/patches/series" ]; then
  while read -r patch _; do
    case $patch in '' | \#*) continue ;; esac
    patch -d "$source" -p1 -s -f <"$source/debian/patches/$patch" >>"$log" 2>&1 || die "Debian's patch $patch does not apply"
  done <"$source/debian/patches/series"
fi

# --- compile -------------------------------------------------------------------------------------------------------
unset CCACHE_BASEDIR # would turn paths into relative ones, past -ffile-prefix-map
launcher=
command -v ccache >/dev/null && launcher=ccache
flags="-ffunction-sections -fdata-sections -fno-omit-frame-pointer -DNDEBUG -w -ffile-prefix-map=$work=/mirage/port"
flags+=" -ffile-prefix-map=$ports=/mirage/port/recipe -ftrivial-auto-var-init=zero -fstack-protector-strong"
case $arch in
  native) flags="-O2 -fPIC -gline-tables-only $flags" ;;
  *)
    flags="-Os --target=$arch-linux-musl --sysroot=$sysroot -fno-pic -fno-pie $flags"
    flags+=" -fno-unwind-tables -fno-asynchronous-unwind-tables"
    # An interrupt in ring 0 writes below the stack pointer; the canary is a plain global (cmake/guest-common.cmake).
    [ "$arch" != x86_64 ] || flags+=" -mno-red-zone -mstack-protector-guard=global"
    ;;
esac

root=$work/root
mkdir -p "$root/include" "$root/lib" "$work/object"
# compile FLAGS FILE...: objects of one archive, libport_NAME.a.
compile() {
  local extra=$1 file
  shift
  for file in "$@"; do echo "$file"; done |
    xargs -P "$jobs" -I{} sh -c "$launcher clang-19 $flags $extra -c {} -o $work/object/\$(echo {} | tr / _).o" \
      >>"$log" 2>&1 || die "$name does not compile"
}
progress "compile"
cd "$source"
# shellcheck source=/dev/null
. "$ports/$name/recipe.sh"
build_port
progress "archive and install"
llvm-ar-19 rcs "$root/lib/libport_$name.a" "$work"/object/*.o
{
  echo "port $name $arch"
  echo "recipe $hash"
  grep -v '^#' "$ports/$name/sources" | cut -d' ' -f1,2 | sort -u
} >"$root/mirage-port"
[ ! -e "$prefix" ] || mv "$prefix" "$work/replaced"
mv "$root" "$prefix"
echo "port $name $arch: done in ${SECONDS}s, $(du -sh "$prefix" | cut -f1)" >&2
echo "$prefix"
