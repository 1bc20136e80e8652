#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: globals.sh ARCHIVE...
# No mutable globals in mirage/: nm's data and bss symbols (and common, thread-local) of our libraries, minus the allow
# list, whose entries say why.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || { echo 'globals.sh: no archives given' >&2; exit 2; }
found=$(llvm-nm-19 --demangle --defined-only --print-file-name "$@" 2>/dev/null |
  awk '$2 ~ /^[0-9a-f]+$/ && $3 ~ /^[dDbBcC]$/ {file=$1; $1=$2=$3=""; sub(/^ +/, ""); print file "\t" $0}' |
  grep -v -E "	(vtable|typeinfo|VTT|guard variable|DW\.ref)" |
  grep -v -E -f <(sed -e '/^#/d' -e '/^$/d' -e 's/[[:space:]]*#.*//' "$here/globals.allow") || true)
[ -z "$found" ] || { echo "mutable globals (hang state off the shard, or add to tool/check/globals.allow with a reason):"; echo "$found"; exit 1; }
echo "globals: none in $# archives"
