#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# hvt against a built Solo5 tree, in the KVM rig; called by tool/solo5/run.sh.
# usage: solo5.sh SOLO5-TREE FOLDER-WITH-mirage-hvt
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../../.." && pwd)
stock=$1/tenders/hvt/solo5-hvt
ours=$2/mirage-hvt
[ -x "$stock" ] || { echo "solo5.sh: no $stock: build the tree first"; exit 1; }
[ -x "$ours" ] || { echo "solo5.sh: no $ours: ./dev build"; exit 1; }
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/payload/solo5.sh" "$work/run.sh"
for image in "$1"/tests/test_*/test_*.hvt; do
  objcopy --strip-debug "$image" "$work/$(basename "$image")" || failed=1
done
"$root/test/rig/kvm.sh" run "$work" "$ours" || failed=1
images=$(dirname "$2")/test/hvt
[ -d "$images" ] || images=$root/build/asan/test/hvt
if [ -e "$images/base.hvt" ]; then
  "$here/tender_test.sh" "$stock" "$images" || failed=1
else
  echo "not run: our conformance images under the stock tender (build the tests)"
fi
[ $failed = 0 ] && echo "hvt: passed" || echo "hvt: FAILED"
exit $failed
