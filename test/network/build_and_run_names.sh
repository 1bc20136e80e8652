#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: build_and_run_names.sh spt|unix TOOLS WORK: names (the lookup and fetch examples against dnsmasq), counters
# (curl), logs (rsyslogd) and captures.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$1 tools=$2 work=$3 disk=
rm -rf "$work"
mkdir -p "$work"
build() {  # NAME FOLDER...: the project made of the folders' files; leaves its image's name behind its command in $run
           # ($disk: an option for a disk, if there is one)
  mkdir "$work/$1"
  for folder in "${@:2}"; do cp "$folder"/* "$work/$1"; done
  (cd "$work/$1" && "$tools/mirage" configure -t "$target" >/dev/null && "$tools/mirage" build >/dev/null)
  case "$target" in
    spt) run=("$tools/mirage-spt" --mem=64 --net:service=tap0 ${disk:+"$disk"} -- "$work/$1/dist/$1.spt") ;;
    unix) run=("$work/$1/dist/$1" --net:service=tap0 ${disk:+"$disk"}) ;;
  esac
}
build lookup "$here/../../example/application/lookup"
"$here/names.py" "${run[@]}"
build fetch "$here/../../example/application/fetch"
"$here/fetch.py" "${run[@]}"
build counted "$here/services" "$here/counted"
"$here/metrics.py" "${run[@]}" --ipv4=10.0.0.2/24
build logged "$here/logged"
"$here/syslog.py" "${run[@]}" --ipv4=10.0.0.2/24
disk=--block:trace=$work/trace.img
"$tools/mirage" store format --quiet --type volume --size 8M "$work/trace.img"
build captured "$here/services" "$here/captured"
"$here/capture.py" "$tools" "$work/trace.img" "${run[@]}" --ipv4=10.0.0.2/24
