#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Every source file is as ./dev format leaves it.
cd "$(dirname "$0")/../.." || exit 1
set -u -o pipefail
# A missing clang-format must not pass for well-formatted.
clang-format-19 --version >/dev/null || exit 2
if ! findings=$(git ls-files -z --cached --others --exclude-standard '*.cpp' '*.hpp' |
  xargs -0 clang-format-19 --dry-run --Werror 2>&1); then
  printf '%s\n' "$findings" | cut -d: -f1 | grep -E '\.(cpp|hpp)$' | sort | uniq -c
  echo 'run: ./dev format'
  exit 1
fi
