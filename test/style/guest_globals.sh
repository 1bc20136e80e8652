#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: guest_globals.sh WORK: no mutable globals in the guest libraries.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
[ -f "$1/build.ninja" ] || cmake -S "$root/mirage" -B "$1" -G Ninja --toolchain "$root/cmake/guest-x86_64.cmake" >/dev/null
ninja -C "$1" >/dev/null
exec "$root/tool/check/globals.sh" "$1"/libmirage_*.a
