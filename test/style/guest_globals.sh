#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: guest_globals.sh TOOLS WORK: no mutable globals in the guest libraries, all of them, as images link them.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
export MIRAGE_ROOT=$root
rm -rf "$2" && cp -r "$root/example/tutorial/hello" "$2" && cd "$2"
"$1/mirage" configure -q -t spt
# The build that every image of this machine shares: most of it is there.
libraries=$("$1/mirage" depend --json | jq -r .folder)
ninja -C "$libraries" >/dev/null
exec "$root/tool/check/globals.sh" "$libraries"/libmirage_*.a
