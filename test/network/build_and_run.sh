#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: build_and_run.sh spt|unix|virtio TOOLS WORK: the services image on a tap, against Linux; over IPv6; with several addresses; with DHCP.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$1 tools=$2 work=$3
rm -rf "$work"
mkdir -p "$(dirname "$work")"
cp -r "$here/services" "$work"
cd "$work"
"$tools/mirage" configure -t "$target" >/dev/null
"$tools/mirage" build >/dev/null
case "$target" in
  spt)
    "$here/against_linux.py" "$tools/mirage-spt" --mem=64 --net:service=tap0 -- dist/services.spt --ipv4=10.0.0.2/24
    "$here/ipv6.py" "$tools/mirage-spt" --mem=64 --net:service=tap0 -- dist/services.spt
    "$here/addresses.py" "$tools/mirage-spt" --mem=64 --net:service=tap0 -- dist/services.spt
    exec "$here/dhcp.py" "$tools/mirage-spt" --mem=64 --net:service=tap0 -- dist/services.spt --dhcp=true ;;
  unix)
    "$here/against_linux.py" dist/services --net:service=tap0 --ipv4=10.0.0.2/24
    "$here/ipv6.py" dist/services --net:service=tap0
    "$here/addresses.py" dist/services --net:service=tap0
    exec "$here/dhcp.py" dist/services --net:service=tap0 --dhcp=true ;;
  virtio) exec "$here/against_linux.py" qemu-system-x86_64 -machine q35 -cpu max -m 64M -display none -nodefaults -no-user-config \
    -serial stdio -no-reboot -netdev tap,id=service,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=service \
    -kernel dist/services.virtio -append --ipv4=10.0.0.2/24 ;;
esac
