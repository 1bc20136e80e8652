#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# spt against a built Solo5 tree; called by tool/solo5/run.sh. Networks are made in a namespace of our own.
# usage: solo5.sh SOLO5-TREE FOLDER-WITH-mirage-spt
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../../.." && pwd)
tests=$1/tests
stock=$1/tenders/spt/solo5-spt
ours=$2/mirage-spt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# expect NAME STATUS TEXT COMMAND...: runs, compares the exit status, looks for TEXT in all output.
expect() {
  local name=$1 want=$2 text=$3 output status
  shift 3
  output=$("${within[@]}" timeout --foreground 60 "$@" 2>&1 </dev/null | tr -d '\0'; exit "${PIPESTATUS[0]}")
  status=$?
  if [ "$status" = "$want" ] && [[ $output == *"$text"* ]]; then
    printf 'ok      %s\n' "$name"
  else
    printf 'FAILED  %s: status %s, wanted %s and "%s"\n%s\n' "$name" "$status" "$want" "$text" "$output"
    failed=1
  fi
}
within=()

image() { printf '%s/test_%s/test_%s.spt' "$tests" "$1" "$1"; }
file() { # NAME BLOCK-SIZE COUNT
  dd if=/dev/zero of="$work/$1" bs="$2" count="$3" status=none
  printf '%s/%s' "$work" "$1"
}

stock_images_under_ours() {
  local name disk devices=() i
  expect "hello" 0 SUCCESS "$ours" --mem=2 "$(image hello)" Hello_Solo5
  for name in globals tls fpu time quiet; do expect "$name" 0 SUCCESS "$ours" --mem=2 -- "$(image $name)"; done
  expect "output" 0 "" "$ours" --mem=2 "$(image output)" Output_Solo5
  for name in exception zeropage xnow wnox notls; do expect "$name" 139 "fault: " "$ours" --mem=2 "$(image $name)"; done
  expect "ssp" 255 ABORT "$ours" --mem=2 "$(image ssp)"
  expect "seccomp" 159 "" "$ours" --mem=2 "$(image seccomp)"
  disk=$(file disk 4k 1024)
  expect "blk" 0 SUCCESS "$ours" --mem=2 --block:storage="$disk" -- "$(image blk)"
  expect "blk, 4096-byte sectors" 0 SUCCESS "$ours" --mem=2 --block:storage="$disk" \
    --block-sector-size:storage=4096 -- "$(image blk)"
  expect "blk misaligned" 1 "Backing storage size must be block aligned" "$ours" --mem=2 \
    --block:storage="$(file misaligned 2k 3)" --block-sector-size:storage=4096 -- "$(image blk)"
  expect "blk odd" 1 "Block size must be a multiple of 2" "$ours" --mem=2 \
    --block:storage="$disk" --block-sector-size:storage=521 -- "$(image blk)"
  expect "blk too small" 1 "Block size must be a multiple of 2 greater than or equal 512" "$ours" --mem=2 \
    --block:storage="$disk" --block-sector-size:storage=256 -- "$(image blk)"
  for i in $(seq 0 62); do devices+=("--block:storage$i=$(file "storage$i" 4k 1)"); done
  expect "63 devices" 0 SUCCESS "$ours" --mem=2 "${devices[@]}" -- "$(image mft_maxdevices)"
}

# Taps in a user and network namespace: nothing outside changes, no root needed.
networks() {
  local i
  for i in 0 1; do
    ip tuntap add tap10$i mode tap && ip addr add 10.$i.0.1/24 dev tap10$i && ip link set tap10$i up || exit 1
  done
  ip tuntap add tap102 mode tap && ip link set tap102 mtu 9000 up && ip link set lo up || exit 1
  [ -f "$1" ] && our_network_under_stock "$1"
  expect "net_mtu" 0 "MTU is 9000" "$ours" --mem=2 --net:service0=tap102 -- "$(image net_mtu)"
  # The images end after 100000 (2 x 50000) echoed frames.
  (sleep 0.3; exec ping -fq -c 110000 10.0.0.2 >/dev/null 2>&1) &
  expect "net" 0 SUCCESS "$ours" --mem=2 --net:service0=tap100 -- "$(image net)" limit
  kill $! 2>/dev/null
  (sleep 0.3; exec ping -fq -c 110000 10.0.0.2 >/dev/null 2>&1) &
  (sleep 0.3; exec ping -fq -c 110000 10.1.0.2 >/dev/null 2>&1) &
  expect "net_2if" 0 SUCCESS "$ours" --mem=2 --net:service0=tap100 --net:service1=tap101 -- "$(image net_2if)" limit
  kill %2 %3 2>/dev/null
  return 0
}

stock_tender_runs_ours() {
  "$here/tender_test.py" --stock "$stock" "$1" || failed=1
}

# Images as `mirage build` leaves them.
build_examples() {
  local folder
  for folder in tutorial/hello-key device/block device/network; do
    cp -r "$root/example/$folder" "$work/" && cd "$work/${folder#*/}" && "$mirage" configure -t spt >/dev/null &&
      "$mirage" build >/dev/null || { echo "FAILED  cannot build example/$folder"; failed=1; return 1; }
  done
}

# A store that keeps what it has acknowledged, on a disk.
build_durable() {
  mkdir "$work/durable" && cd "$work/durable" || return 1
  cat >config.cpp <<'END'
#include <mirage/config.hpp>
using namespace mirage::config;
Unikernel configure() {
  return unikernel("durable", main_module("Main", "main.hpp", takes<KvRw>)(tree(block("storage"))));
}
END
  cat >main.hpp <<'END'
#pragma once
#include <mirage/module/application.hpp>
template <mirage::KvRw Store>
struct Main {
  static mirage::Task<int> start(Store& store, const Keys& keys) {
    const auto done = co_await store.set("key", mirage::as_bytes("value"));
    keys.shard.logger("application").info("the store has {}", done ? "kept it" : "failed");
    co_return done ? 0 : 1;
  }
};
END
  "$mirage" configure -t spt >/dev/null && "$mirage" build >/dev/null ||
    { echo "FAILED  cannot build a durable store"; failed=1; return 1; }
}

# Stock tenders cannot flush: a durable store serves there only who says that he accepts it.
our_durable_store() {
  local image=$work/durable/dist/durable.spt disk
  disk=$(file durable-disk 512 8192)
  expect "our tree without flush is refused" 1 "the device cannot flush" "$stock" --mem=4 --block:storage="$disk" \
    -- "$image" --tree-format-blank
  expect "which leaves the disk as it was" 0 "" cmp -n 4194304 "$disk" /dev/zero
  expect "our tree without flush, accepted" 0 "kept it" "$stock" --mem=4 --block:storage="$disk" \
    -- "$image" --tree-format-blank --tree-allow-volatile
  expect "our tree with flush" 0 "kept it" "$ours" --mem=4 --block:storage="$disk" -- "$image"
}

our_examples_under_stock() {
  expect "our hello-key" 0 "Good day" "$stock" --mem=2 -- "$work/hello-key/dist/hello-key.spt" \
    --count=2 --pause=1ms '--hello="Good day"'
  expect "our block" 0 "written and read back" "$stock" --mem=4 --block:storage="$(file disk 512 2048)" \
    -- "$work/block/dist/block.spt"
}

our_network_under_stock() {
  local image=$1
  "$stock" --mem=16 --net:service=tap100 -- "$image" --ipv4=10.0.0.2/24 >"$work/log" 2>&1 &
  expect "our network" 0 "Hello, World!" curl -s --retry 20 --retry-connrefused --retry-delay 1 --max-time 30 \
    http://10.0.0.2:8080/
  kill $!
}

if [ "${3:-}" = networks ]; then
  networks "$4"
  exit $failed
fi
[ -x "$stock" ] || { echo "solo5.sh: no $stock: build the tree first"; exit 1; }
[ -x "$ours" ] || { echo "solo5.sh: no $ours: ./dev build"; exit 1; }
stock_images_under_ours
mirage=$2/mirage
if [ -x "$mirage" ]; then
  build_examples && our_examples_under_stock
  build_durable && our_durable_store
else
  echo "not run: examples under the stock tender (no $mirage)"
fi
unshare --user --map-root-user --net "$0" "$1" "$2" networks "$work/network/dist/network.spt" || failed=1
images=$(dirname "$2")/test/spt
[ -d "$images" ] || images=$root/build/asan/test/spt
if [ -d "$images" ]; then stock_tender_runs_ours "$images"; else echo "not run: our conformance images (build the tests)"; fi
[ $failed = 0 ] && echo "spt: passed" || echo "spt: FAILED"
exit $failed
