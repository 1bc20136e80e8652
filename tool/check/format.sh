#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Every source file is as ./dev format leaves it.
cd "$(dirname "$0")/../.." || exit 1
git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp' | xargs clang-format-19 --dry-run --Werror 2>&1 | grep -E 'error:' |
  cut -d: -f1 | sort | uniq -c | { ! grep . ; } || { echo 'run: ./dev format'; exit 1; }
