#!/bin/bash
# SPDX-License-Identifier: ISC
# usage: tender_test.sh TENDER FOLDER-WITH-IMAGES    an hvt tender, ours or a stock one, with this folder's conformance
# images in the KVM rig; HVT_MUTATIONS=COUNT hostile variants of one (default 200)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tender=$1 images=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/payload"
"$here/guest/build.sh" "$images/guest"
cp "$here"/payload/* "$images"/*.hvt "$images"/guest/*.hvt "$work/payload/"
[ "$(basename "$tender")" != mirage-hvt ] || "$here/mutate.py" "$images/base.hvt" "${HVT_MUTATIONS:-200}" 1 "$work/payload/hostile"
basename "$tender" >"$work/payload/tender"
RIG_LIMIT=${RIG_LIMIT:-800} "$here/../../../../test/rig/kvm.sh" run "$work/payload" "$tender"
