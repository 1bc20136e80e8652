#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: ./dev bench [start|size|memory|bytes|net|request|shards|loss|capacity|store]...   (default: size start memory net)
#        ./dev bench net|store [--quick] [--only REGEX], ./dev bench shards [--quick]
# Figures of start-up, size, memory and the network's data path, each beside its peer or its bound, in one run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/build/bin
work=$root/build/bench-work
mkdir -p "$work"

image() { # EXAMPLE TARGET
  local name folder
  name=$(basename "$1")
  folder=$work/$name-$2
  rm -rf "$folder"
  cp -r "$root/example/$1" "$folder"
  (cd "$folder" && "$tools/mirage" configure -t "$2" >/dev/null && "$tools/mirage" build -q >/dev/null)
  echo "$folder/dist/$name.$2"
}

bench_start() {
  echo '## Spawn to first line on the console: static musl hello, then the hello image on spt (median of 20)'
  printf '#include <unistd.h>\nint main(void) { return write(1, "hello\\n", 6) == 6 ? 0 : 1; }\n' >"$work/musl.c"
  clang-19 --target=x86_64-linux-musl -O2 -static -nostdinc -isystem /usr/include/x86_64-linux-musl -nostdlib -fuse-ld=lld \
    "$work/musl.c" /usr/lib/x86_64-linux-musl/{crt1.o,libc.a} -o "$work/musl-hello"
  "$tools/bench_start" -- "$work/musl-hello" -- "$tools/mirage-spt" --mem=2 --- "$(image tutorial/hello spt)"
  [ "$(id -u)" = 0 ] || { echo '(spawn to first HTTP answer needs root: network namespace and tap)'; return; }
  echo '## Spawn to first HTTP answer on spt, static address (median of 20)'
  local site
  site=$(image application/website spt)
  unshare -n bash -euc "ip link set lo up; ip tuntap add tap0 mode tap; ip addr add 10.0.0.1/24 dev tap0; ip link set tap0 up
    exec '$tools/bench_start' --http 10.0.0.2:80 -- '$tools/mirage-spt' --mem=32 --net:service=tap0 --- '$site' --ipv4=10.0.0.2/24"
  bench_start_virtio
}

bench_start_virtio() {
  echo '## QEMU microvm (TCG), spawn to first line: a bare PVH stub, then the hello image (median of 20)'
  local hello site stub qemu
  hello=$(image tutorial/hello virtio)
  site=$(image application/website virtio)
  stub=$work/stub.elf
  clang-19 --target=x86_64-linux-gnu -nostdlib -static -fuse-ld=lld -Wl,-Ttext=0x100000,-z,norelro,--build-id=none \
    "$root/bench/start/pvh_stub.S" -o "$stub"
  qemu="qemu-system-x86_64 -accel tcg -M microvm,x-option-roms=off,rtc=off -cpu max -m 32 -nodefaults -no-user-config -display none -serial stdio -no-reboot"
  "$tools/bench_start" -- $qemu -kernel "$stub" -- $qemu -kernel "$hello"
  echo '## QEMU microvm (TCG), spawn to first HTTP answer (median of 20)'
  unshare -n bash -euc "ip link set lo up; ip tuntap add tap0 mode tap; ip addr add 10.0.0.1/24 dev tap0; ip link set tap0 up
    exec '$tools/bench_start' --http 10.0.0.2:80 -- $qemu -kernel '$site' -append --ipv4=10.0.0.2/24 \
      -netdev tap,id=n,ifname=tap0,script=no,downscript=no -device virtio-net-device,netdev=n -device virtio-rng-device"
}

bench_size() {
  echo '## Sizes of shipped images against their budgets'
  "$root/test/image/image.py" budget "$tools" "$work/size"
}

bench_memory() {
  echo '## Memory'
  "$root/test/network/memory.py" "$tools" "$work/memory"
}

bench_bytes() {
  echo '## Bytes that the data path copies and pins for each byte of payload, counted (doc/bench-net.md)'
  "$tools/bench_bytes"
}

bench_net() { # [--quick] [--only REGEX]
  echo '## Network: the server on core 0, the client on core 1, side by side (doc/bench-net.md)'
  [ "$(id -u)" = 0 ] || { echo '(needs root: network namespaces and taps)'; return; }
  [ "$(nproc)" -ge 2 ] || { echo '(needs two cores)'; return; }
  command -v wrk >/dev/null && PATH=$PATH:/usr/sbin command -v nginx >/dev/null || { echo '(needs wrk and nginx)'; return 1; }
  local folder=$work/net
  rm -rf "$folder" && mkdir -p "$folder/work"
  cp -r "$root/bench/net/guest" "$folder/guest"
  mkdir "$folder/guest/htdocs"
  head -c 1024 /dev/urandom >"$folder/guest/htdocs/1k.bin"
  head -c 102400 /dev/urandom >"$folder/guest/htdocs/100k.bin"
  (cd "$folder/guest" && "$tools/mirage" configure -t spt --optimize=speed >/dev/null && "$tools/mirage" build -q >/dev/null)
  "$root/bench/net/net.py" "$@" "$tools" "$folder/guest/dist/bench.spt" "$folder/guest/htdocs" "$folder/work"
}

bench_request() {
  echo '## Instructions that a request costs the server, all layers, counted by callgrind (doc/bench-net.md)'
  command -v valgrind >/dev/null || { echo '(needs valgrind)'; return 1; }
  local load text
  for load in 'hello 1 1 1000' 'hello 16 1 1000' 'hello 16 16 8000' 'file 16 1 500' 'new 16 1 500' 'new 16 1 4000'; do
    # shellcheck disable=SC2086
    text=$(valgrind --tool=callgrind --toggle-collect=bench_serve --callgrind-out-file=/dev/null "$tools/bench_request" $load 2>&1)
    awk -v load="$load" '/^answers/ { answers = $2; frames = $0 } /Collected/ { printf "%-18s %8.0f   %s\n", load, $NF / answers, frames }' <<<"$text"
  done
}

bench_shards() { # [--quick]
  echo '## Shards: what two stacks on two queues of one tap cost, beside one (doc/shards.md)'
  [ "$(id -u)" = 0 ] || { echo '(needs root: network namespaces and taps)'; return; }
  [ "$(nproc)" -ge 2 ] || { echo '(needs two cores)'; return; }
  command -v wrk >/dev/null || { echo '(needs wrk)'; return 1; }
  local folder=$work/shards
  rm -rf "$folder" && cp -r "$root/bench/net/guest" "$folder"
  mkdir "$folder/htdocs" && echo shards >"$folder/htdocs/index.html"
  (cd "$folder" && "$tools/mirage" configure -t spt --cpus=many >/dev/null && "$tools/mirage" build -q >/dev/null)
  "$root/bench/shards/shards.py" "$@" "$tools" "$folder/dist/bench.spt"
}

bench_loss() {
  echo '## TCP goodput against loss and round-trip time, in the simulator (virtual time)'
  "$tools/bench_goodput"
  echo '## TCP goodput through a lossy, delaying relay: our stack on spt, and Linux with CUBIC, over the same losses'
  [ "$(id -u)" = 0 ] || { echo '(needs root: network namespaces and taps)'; return; }
  local folder=$work/loss
  rm -rf "$folder" && cp -r "$root/bench/net/guest" "$folder"
  mkdir "$folder/htdocs" && echo loss >"$folder/htdocs/index.html"
  (cd "$folder" && "$tools/mirage" configure -t spt >/dev/null && "$tools/mirage" build -q >/dev/null)
  "$root/bench/loss/relay.py" "$tools" "$folder/dist/bench.spt"
}

bench_capacity() {
  echo '## 100 000 idle connections in the memory of an image of 128 MiB, then a million in sequence: virtual time, counted'
  "$tools/bench_capacity" 100000 1000000
  echo '## The same on spt with --mem=128'
  [ "$(id -u)" = 0 ] || { echo '(needs root: network namespace, tap and packet socket)'; return; }
  "$root/test/capacity/live.py" "$tools/bench_capacity_client" "$tools" "$work/capacity"
}

bench_store() { # [--quick] [--only REGEX]
  echo '## Raw block beside fio, many blocks beside one per call (doc/storage.md)'
  command -v fio >/dev/null || { echo '(needs fio)'; return 1; }
  local folder=$work/store target
  rm -rf "$folder" && mkdir -p "$folder"
  for target in unix spt virtio; do
    cp -r "$root/bench/store/guest" "$folder/$target"
    (cd "$folder/$target" && "$tools/mirage" configure -t "$target" >/dev/null && "$tools/mirage" build -q >/dev/null)
  done
  "$root/bench/store/store.py" "$@" "$tools" "$folder"
  echo '## The tree store beside LMDB: the same values, file system and durability, all in memory (median of 15 rounds by turns)'
  "$tools/bench_tree" "$work"
  echo '## The same with 50 times more data than the cache, both held to the same memory'
  "$root/bench/store/large.py" "$tools/bench_tree" "$work"
  echo '## SQLite on a raw disk and on the tree store beside the same SQLite on Linux: one core, the same durability (median of 3 rounds by turns)'
  "$root/bench/store/sqlite.py" "$tools" "$work"
}

[ $# -gt 0 ] || set -- size start memory net
# These benchmarks take options of their own.
[ "$1" != net ] || { shift; bench_bytes; bench_net "$@"; exit; }
[ "$1" != shards ] || { shift; bench_shards "$@"; exit; }
[ "$1" != store ] || { shift; bench_store "$@"; exit; }
for name in "$@"; do
  [ "$name" != net ] || bench_bytes
  declare -F "bench_$name" >/dev/null || { echo "bench: no benchmark '$name': start, size, memory, bytes, net, request, shards, loss, capacity, store" >&2; exit 2; }
  "bench_$name"
done
