#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs in the KVM rig: each of the hostile images under a sanitized tender. The guest may end however it likes; what is
# not over in its time gets SIGTERM, which ends a tender that works.
ended=0 stopped=0 failed=0
for image in hostile/*.hvt; do
  timeout -k 2 1 mirage-hvt --mem=2 -- "$image" status >/tmp/out 2>/tmp/error </dev/null
  status=$?
  if grep -q 'Sanitizer\|runtime error' /tmp/error || { [ $status -gt 128 ] && [ $status != 143 ] && [ $status != 255 ]; }; then
    failed=$((failed + 1))
    echo "FAILED $image: status $status: $(head -c 1500 /tmp/error | tr '\n' ' ')"
  elif [ $status = 143 ] || grep -q 'Exiting on signal' /tmp/error; then
    stopped=$((stopped + 1))
  else
    ended=$((ended + 1))
  fi
done
echo "hostile images: $ended ended, $stopped were ended, $failed failed"
[ $failed = 0 ]
