#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: globals.sh ARCHIVE...
# No mutable globals in mirage/: nm's data and bss symbols (and common, thread-local) of our libraries, minus the allow
# list, whose entries say why.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || { echo 'globals.sh: no archives given' >&2; exit 2; }
# nm's own failure, or archives without any symbol, must not pass for "none found".
symbols=$(llvm-nm-19 --demangle --defined-only --print-file-name "$@" 2>&1) || { printf '%s\n' "$symbols" >&2; exit 2; }
grep -q ' T ' <<<"$symbols" || { echo 'globals.sh: no symbols in the archives' >&2; exit 2; }
found=$(awk '$2 ~ /^[0-9a-f]+$/ && $3 ~ /^[dDbBcC]$/ {file=$1; $1=$2=$3=""; sub(/^ +/, ""); print file "\t" $0}' <<<"$symbols" |
  { grep -v -E "	(vtable|typeinfo|VTT|guard variable|DW\.ref)" || [ $? = 1 ]; } |
  { grep -v -E -f <(sed -e '/^#/d' -e '/^$/d' -e 's/[[:space:]]*#.*//' "$here/globals.allow") || [ $? = 1 ]; })
[ -z "$found" ] || { echo "mutable globals (hang state off the shard, or add to tool/check/globals.allow with a reason):"; echo "$found"; exit 1; }
echo "globals: none in $# archives"
