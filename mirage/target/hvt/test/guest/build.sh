#!/bin/bash
# SPDX-License-Identifier: ISC
# usage: build.sh FOLDER    builds this folder's images with the guest libraries; FOLDER/libraries is kept for next time
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../../.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
libraries=$folder/libraries
[ -e "$libraries/build.ninja" ] || cmake -S "$root/mirage" -B "$libraries" -G Ninja -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_TOOLCHAIN_FILE="$root/cmake/guest-x86_64.cmake" \
  $(command -v ccache >/dev/null && echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache) >/dev/null
names="target_hvt target_solo5 machine_x86_64 machine_x86_64_processor runtime async base"
log=$(ninja -C "$libraries" $(printf 'mirage_%s ' $names) 2>&1) || { echo "$log"; exit 1; }
for source in "$here"/*.cpp; do
  image=$folder/guest-$(basename "$source" .cpp)
  clang++-19 "@$libraries/guest/compile.rsp" -Wall -Wextra -c "$source" -o "$image.o"
  clang++-19 "@$libraries/guest/link.rsp" -Wl,-T,"$root/mirage/target/hvt/guest/image.ld" "$image.o" \
    -Wl,--start-group $(printf "$libraries/libmirage_%s.a " $names) -Wl,--end-group \
    "@$libraries/guest/libraries.rsp" -o "$image.debug"
  llvm-strip-19 "$image.debug" -o "$image.hvt"
done
