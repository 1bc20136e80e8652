#!/bin/bash
# SPDX-License-Identifier: ISC
# usage: tender_test.sh TENDER FOLDER-WITH-IMAGES    an hvt tender, ours or a stock one, with this folder's conformance
# images in the KVM rig
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tender=$1 images=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/payload"
"$here/guest/build.sh" "$images/guest"
cp "$here"/payload/* "$images"/*.hvt "$images"/guest/*.hvt "$work/payload/"
basename "$tender" >"$work/payload/tender"
RIG_LIMIT=${RIG_LIMIT:-800} "$here/../../../../test/rig/kvm.sh" run "$work/payload" "$tender"
