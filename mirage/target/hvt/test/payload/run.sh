#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs in the KVM rig: the conformance images under the tender named in ./tender (ours when it is mirage-hvt).
tender=$(cat tender)
case $tender in *mirage-hvt) ours=1 ;; *) ours= ;; esac
failures=0
passes=0

# expect NAME STATUS TEXT IMAGE DEED [OPTION..]: runs the image, wants that status and TEXT (a pattern) in the output
expect() {
  name=$1 wanted=$2 text=$3 image=$4 deed=$5
  shift 5
  output=$(timeout 20 "$tender" --mem=4 "$@" -- "$image.hvt" $deed 2>&1 </dev/null)
  status=$?
  if [ $status = "$wanted" ] && echo "$output" | grep -q -- "$text"; then
    passes=$((passes + 1))
  else
    failures=$((failures + 1))
    echo "FAILED $name: status $status, wanted $wanted and '$text': $output"
  fi
}

# One line on standard error, status 1.
stopped() {
  name=$1 text=$2
  shift 2
  expect "$name" 1 "$text" "$@"
  [ -z "$ours" ] || [ "$(echo "$output" | wc -l)" = 1 ] || { failures=$((failures + 1)); echo "FAILED $name: $output"; }
}

# An image whose guard has a byte in the file: the tender maps it without access. (p_filesz of the fourth program header.)
guarded() {
  cp base.hvt guarded.hvt
  printf '\001' | dd of=guarded.hvt bs=1 seek=$((64 + 3 * 56 + 32)) conv=notrunc 2>/dev/null
}

basics() {
  expect hello 0 '^hello$' base hello
  expect status 42 '' base status
  expect abort 255 '' base abort
  expect large_status $((0x34)) '' base large_status
  expect 'command line' 0 '^=a b c$' base '=a b c'
  expect boot_info 0 'memory 4 base' base boot_info
  for deed in memory clock sleep; do expect $deed 0 '' base $deed; done
  expect 'no deed' 64 unknown base nothing
}

# What every tender stops; how it says so differs.
isolation() {
  fault=. shutdown=. call=.
  if [ -n "$ours" ]; then fault='translation fault' shutdown='triple fault' call='Invalid guest' pointer='not its own'; else pointer=.; fi
  for deed in write_text write_constant overflow_stack; do stopped $deed "$fault" base $deed; done
  for deed in zero_page write_page_table write_low_memory beyond_memory invalid_instruction; do
    stopped $deed "$shutdown" base $deed
  done
  stopped halt_processor . base halt_processor
  for deed in unknown_port unknown_call call_zero read_port narrow_port; do
    stopped $deed "$call" base $deed
  done
  for deed in text_beyond text_wraps text_wraps_to_start text_huge text_high structure_beyond structure_outside \
    cookie_outside; do
    stopped $deed "$pointer" base $deed
  done
  if [ -n "$ours" ]; then
    for deed in structure_in_constant structure_in_text; do stopped $deed "$pointer" base $deed; done
    for deed in structure_in_guard text_in_guard cookie_in_guard; do stopped $deed "$pointer" guarded $deed; done
  fi
  for deed in flush_not_granted entropy_not_granted vectors_not_granted; do stopped $deed "$call" base $deed; done
}

block() {
  dd if=/dev/zero of=/tmp/disk bs=1k count=1024 2>/dev/null
  for image in block block-extended; do
    for deed in block block_many block_ranges; do expect "$deed, $image" 0 '' $image $deed --block:storage=/tmp/disk; done
    for deed in block_beyond block_wraps; do stopped "$deed, $image" "$pointer" $image $deed --block:storage=/tmp/disk; done
  done
  expect 'sector size' 0 '' block block --block:storage=/tmp/disk --block-sector-size:storage=4096
  [ "$(stat -c %s /tmp/disk)" = 1048576 ] || { failures=$((failures + 1)); echo "FAILED the file grew"; }
  if [ -n "$ours" ]; then
    expect block_flush 0 '' block-extended block_flush --block:storage=/tmp/disk
    expect block_as_network 0 '' block block_as_network --block:storage=/tmp/disk
    stopped block_into_text "$pointer" block block_into_text --block:storage=/tmp/disk
    stopped 'queue, not asked for' "$call" block queue_beyond --block:storage=/tmp/disk
    stopped 'queue, through the page cache' "$call" block-extended queue_beyond --block:storage=/tmp/disk
    queue
  fi
}

# A disk in memory that answers after a tenth of a second.
queue() {
  insmod /module/configfs.ko
  insmod /module/null_blk.ko nr_devices=1 gb=1 bs=512 memory_backed=1 queue_mode=2 irqmode=2 completion_nsec=100000000
  slow='--block:storage=/dev/nullb0 --block-direct:storage=on'
  for deed in queue queue_ranges; do expect $deed 0 '' block-extended $deed $slow; done
  for deed in queue_beyond queue_table_beyond queue_into_text queue_table_in_text; do stopped $deed "$pointer" block-extended $deed $slow; done
}

# ping NAME IMAGE: the guest answers ten pings over a fresh tap
ping_guest() {
  tunctl -t tap0 >/dev/null
  ifconfig tap0 10.0.0.1 netmask 255.255.255.0 up
  timeout 20 "$tender" --mem=4 --net:service=tap0 -- "$2.hvt" ping >/tmp/ping 2>&1 </dev/null &
  guest=$!
  ping -c 12 -i 0.02 -s "${3:-56}" -W 2 10.0.0.2 >/tmp/pings 2>&1
  wait $guest
  status=$?
  if [ $status = 0 ] && [ "$(grep -c "bytes from" /tmp/pings)" -ge 2 ]; then
    passes=$((passes + 1))
  else
    failures=$((failures + 1))
    echo "FAILED $1: status $status: $(cat /tmp/ping) $(tail -3 /tmp/pings)"
  fi
  tunctl -d tap0 >/dev/null
}

network() {
  ping_guest 'ping' net
  ping_guest 'ping, extended image' net-extended
  ping_guest 'large ping' net 1400
  ping_guest 'large ping, extended image' net-extended 1400
  [ -z "$ours" ] || grep -q offloads /tmp/ping || { failures=$((failures + 1)); echo "FAILED no offloads were granted"; }
  tunctl -t tap1 >/dev/null
  ifconfig tap1 up
  for deed in net_beyond net_wraps; do stopped $deed "$pointer" net $deed --net:service=tap1; done
  if [ -n "$ours" ]; then
    expect net_limits 0 '' net net_limits --net:service=tap1
    expect vector_limits 0 '' net-extended vector_limits --net:service=tap1
    for deed in vectors_beyond piece_beyond; do stopped $deed "$pointer" net-extended $deed --net:service=tap1; done
  fi
}

extension() {
  [ -n "$ours" ] || { expect 'extended image, base info' 0 'memory 4 base' extended boot_info; return; }
  expect 'extended boot info' 0 'memory 4 extended' extended boot_info
  expect extended 0 '' extended extended
  stopped entropy_beyond "$pointer" extended entropy_beyond
}

# fault NAME TEXT: the image with our runtime reports the fault, with registers and a backtrace, and aborts
fault() {
  expect "guest $1" 255 "$2" guest-fault "$1"
  for line in 'rip=0x' '  at 0x'; do
    echo "$output" | grep -q "$line" || { failures=$((failures + 1)); echo "FAILED guest $1: no '$line' in $output"; }
  done
}

# What the guest's own page tables and fault report do, whatever the tender is.
guest() {
  expect 'guest services' 0 SUCCESS guest-fault services
  for deed in write_text write_constant own_tables; do fault $deed 'write to read-only memory'; done
  for deed in execute_heap execute_data execute_stack execute_low_memory; do fault $deed 'execution of data'; done
  for deed in zero_page zero_page_write; do fault $deed 'null pointer'; done
  fault tender_tables 'write to unmapped memory'
  fault above_memory 'read from unmapped memory'
  fault not_canonical 'general protection'
  fault invalid_instruction 'invalid opcode'
  fault divide 'divide error'
  fault breakpoint breakpoint
  fault overflow_stack 'stack overflow'
  expect 'guest smash_stack' 255 . guest-fault smash_stack
  expect 'guest abort' 255 . guest-fault abort
  for memory in 2 3 512 4096; do expect "guest with $memory MiB" 0 SUCCESS guest-fault services --mem=$memory; done
}

# One packet of gdb's protocol.
packet() {
  printf '$%s#%s' "$1" "$(printf '%s' "$1" | od -An -tu1 -v | awk '{for (i = 1; i <= NF; i++) s += $i} END {printf "%02x", s % 256}')"
}

# conversation NAME PATTERN DEED PACKET..: what gdb would see; ^C interrupts, a number is a pause in seconds
conversation() {
  name=$1 pattern=$2 deed=$3
  shift 3
  rm -f /tmp/guest
  timeout 20 "$tender" --mem=4 --gdb --gdb-port=2000 -- guest-fault.hvt "$deed" >/tmp/guest 2>&1 </dev/null &
  guest=$!
  until grep -q waiting /tmp/guest 2>/dev/null; do sleep 0.05; done
  {
    packet QStartNoAckMode
    for part in "$@"; do
      case $part in
        ^C) printf '\003' ;;
        [0-9]*) sleep "$part" ;;
        *) packet "$part" ;;
      esac
    done
    sleep 0.5
  } | nc 127.0.0.1 2000 >/tmp/talk 2>&1
  kill $guest 2>/dev/null
  wait $guest 2>/dev/null
  if grep -q -- "$pattern" /tmp/talk; then passes=$((passes + 1)); else
    failures=$((failures + 1))
    echo "FAILED gdb $name: wanted '$pattern' in $(cat /tmp/talk); $(head -3 /tmp/guest)"
  fi
}

# Not here: breakpoints. QEMU's SVM traps neither int3 nor debug registers within a nested guest.
debugger() {
  conversation 'start and run' 'T05thread:1;#.*W00#' services '?' c 1
  at_entry="T05thread:1;#..\\\$$(od -An -tx1 -j24 -N8 guest-fault.hvt | tr -d ' ')#"  # e_entry, as register rip
  conversation 'step' "$at_entry..\\\$T05thread:1;#..\\\$[0-9a-f]*#" services '?' p10 s 0.5 p10 c 1
  grep -q "$at_entry..\\\$$at_entry" /tmp/talk && { failures=$((failures + 1)); echo "FAILED gdb step: still at the entry"; }
  conversation 'registers' 'OK#..\$7856341200000000#' services 'P0=7856341200000000' p0
  conversation 'memory' '\$OK#..\$cccc#' services 'M101000,2:cccc' m101000,2
  conversation 'unmapped memory' '\$E01#' services mffffffff0,4
  conversation 'interrupt' 'T02thread:1;#..\$[0-9a-f]*#' loop c 0.5 ^C 0.3 g
  conversation 'interrupt sleep' 'T02thread:1;#' sleep_long c 0.5 ^C 0.3
  conversation 'abort' 'T06thread:1;#..\$Wff#' divide c 1 c 0.3
  conversation 'detach' '\$OK#..\$OK#' services 'D'
  grep -q SUCCESS /tmp/guest || { sleep 1; grep -q SUCCESS /tmp/guest || { failures=$((failures + 1)); echo "FAILED gdb detach"; }; }
}

core_dump() {
  rm -rf /tmp/cores
  mkdir -m 777 /tmp/cores
  expect 'core dump' 255 'dumped the guest to core' guest-fault divide --dumpcore=/tmp/cores
  [ "$(od -An -tx1 -N4 /tmp/cores/core.* | tr -d ' ')" = 7f454c46 ] || { failures=$((failures + 1)); echo "FAILED no core file"; }
  [ "$(stat -c %s /tmp/cores/core.*)" = $((4 * 1048576 + 4096)) ] || { failures=$((failures + 1)); echo "FAILED size of the core file"; }
  rm -f /tmp/cores/*
  expect 'core dump of a fault in the tender' 1 'dumped the guest' base write_text --dumpcore=/tmp/cores
  rm -f /tmp/cores/*
  expect 'core dump of a call that is refused' 1 'dumped the guest' guarded structure_in_guard --dumpcore=/tmp/cores
  rm -f /tmp/cores/*
  expect 'no core dump' 0 hello base hello --dumpcore=/tmp/cores
  [ -z "$(ls /tmp/cores)" ] || { failures=$((failures + 1)); echo "FAILED a core file without need"; }
  stopped 'no directory for cores' . base hello --dumpcore=/nonexistent
}

guarded
basics
isolation
[ -z "$ours" ] || { core_dump; debugger; }
guest
extension
block
network
echo "$tender: $passes passed, $failures failed"
[ $failures = 0 ]
