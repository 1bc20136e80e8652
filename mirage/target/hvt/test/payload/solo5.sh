#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs in the KVM rig: Solo5's own test images under mirage-hvt.
failures=0
passes=0

verdict() { # NAME GOOD OUTPUT
  if [ "$2" = yes ]; then passes=$((passes + 1)); else
    failures=$((failures + 1))
    echo "FAILED $1: $3"
  fi
}

# expect NAME STATUS TEXT ARGUMENT..
expect() {
  name=$1 wanted=$2 text=$3
  shift 3
  timeout 60 mirage-hvt --mem=32 "$@" >/tmp/output 2>&1 </dev/null
  status=$?
  [ $status = "$wanted" ] && grep -q -- "$text" /tmp/output && good=yes || good=
  verdict "$name" "$good" "status $status: $(tail -5 /tmp/output)"
}

expect hello 0 SUCCESS test_hello.hvt Hello_Solo5
expect quiet 0 SUCCESS -- test_quiet.hvt --solo5:quiet
expect output 0 '' test_output.hvt Output_Solo5
for name in globals tls fpu time; do expect $name 0 SUCCESS test_$name.hvt; done
for name in exception zeropage notls ssp; do expect $name 255 ABORT test_$name.hvt; done
expect xnow 1 'host/guest translation fault' test_xnow.hvt
dd if=/dev/zero of=/tmp/disk bs=4k count=1024 2>/dev/null
expect blk 0 SUCCESS --block:storage=/tmp/disk -- test_blk.hvt
expect 'blk, 4096-byte sectors' 0 SUCCESS --block:storage=/tmp/disk --block-sector-size:storage=4096 -- test_blk.hvt
expect 'dumpcore' 255 'core.mirage-hvt.' --dumpcore=/tmp -- test_dumpcore.hvt
expect 'large memory' 0 SUCCESS --mem=4096 test_hello.hvt Hello_Solo5
devices=$(for i in $(seq 0 62); do
  dd if=/dev/zero of=/tmp/storage$i bs=4k count=1 2>/dev/null
  echo "--block:storage$i=/tmp/storage$i"
done)
expect '63 devices' 0 SUCCESS $devices -- test_mft_maxdevices.hvt
tunctl -t tap102 >/dev/null
ip link set tap102 mtu 9000 up
expect net_mtu 0 'MTU is 9000' --net:service0=tap102 -- test_net_mtu.hvt

# pings NAME ARGUMENT..: the image answers pings on 10.0.0.2 (and 10.1.0.2) until it is ended
for i in 0 1; do
  tunctl -t tap10$i >/dev/null
  ifconfig tap10$i 10.$i.0.1 netmask 255.255.255.0 up
done
pings() {
  name=$1 addresses=$2
  shift 2
  mirage-hvt --mem=32 "$@" >/tmp/net 2>&1 </dev/null &
  for address in $addresses; do
    until ping -c 1 -W 1 $address >/dev/null 2>&1; do tries=x$tries; [ ${#tries} -lt 20 ] || break; done
    count=$(ping -c 50 -i 0.01 -W 5 $address 2>&1 | grep -c 'bytes from')
    [ "$count" = 50 ] && verdict "$name" yes || verdict "$name" no "$count of 50 answers: $(cat /tmp/net)"
  done
  kill $!
  wait $! 2>/dev/null
}
pings net 10.0.0.2 --net:service0=tap100 -- test_net.hvt
pings net_2if '10.0.0.2 10.1.0.2' --net:service0=tap100 --net:service1=tap101 -- test_net_2if.hvt
echo "Solo5's test images under mirage-hvt: $passes passed, $failures failed"
[ $failures = 0 ]
