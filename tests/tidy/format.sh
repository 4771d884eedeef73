#!/bin/sh
# Fails when clang-format ($1) would change a source file below the root ($2).
cd "$2" || exit 1
find include src tests examples benchmarks -name build -prune -o \( -name '*.hpp' -o -name '*.cpp' \) -print0 |
  xargs -0 "$1" --dry-run -Werror --style=file
