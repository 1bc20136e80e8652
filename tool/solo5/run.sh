#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Tests against a built tree of stock Solo5, both ways: its tenders run our images, ours run its test images.
# usage: tool/solo5/run.sh PATH [TOOLS]
#   PATH   a Solo5 source tree in which `make` has run
#   TOOLS  folder with mirage-spt and mirage-hvt (default: build/bin)
# Each target that speaks Solo5's ABI has its part in mirage/target/<name>/test/solo5.sh.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
solo5=$(cd "${1:?usage: tool/solo5/run.sh PATH [TOOLS]}" && pwd)
tools=$(cd "${2:-$root/build/bin}" && pwd)
status=0
for part in "$root"/mirage/target/*/test/solo5.sh; do
  target=$(basename "$(dirname "$(dirname "$part")")")
  printf '== %s against %s\n' "$target" "$solo5"
  "$part" "$solo5" "$tools" || status=1
done
exit $status
