#!/bin/sh
# regold.sh [SHARDMILL]: takes over what the program makes now as the golden files; read the diff before it is committed.
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
python3 "$root/tests/golden/test_golden.py" "${1:-$root/build/shardmill}" --update
git -C "$root" diff --stat -- tests/golden
