#!/usr/bin/env python3
"""Checks that includes go one way: core -> record -> backend, comm -> the stages -> pipeline -> fetch -> api -> cli.

usage: layers.py ROOT [--draw]   (exit code 1 and one line for each include that goes the wrong way)

Stages never include each other; they meet in record/batch.h. The one exception: encode reads the headers of tokenizer and fim. Of the
pipeline, fetch reads what finished directories and documents are, and nothing that runs. The program (cli) sees shardmill.h and its
own room. kernels/shared may be read by everybody, kernels/mill_gpu.h by backend only.
"""
import re
import sys
from pathlib import Path

STAGES = ["source", "filter", "dedup", "repo", "tokenizer", "fim", "encode", "pack", "shard"]
BELOW = {"core": [], "record": ["core"], "backend": ["core", "record"], "comm": ["core", "record"]}
for room in STAGES:
    BELOW[room] = ["core", "record", "backend", "comm"]
BELOW["encode"] = BELOW["encode"] + ["tokenizer", "fim"]
BELOW["pipeline"] = ["core", "record", "backend", "comm", *STAGES]
BELOW["fetch"] = ["core", "record", "pipeline"]
BELOW["api"] = BELOW["pipeline"] + ["pipeline", "fetch"]
BELOW["cli"] = []
# what a room may read of another one, where it may not read all
OPEN_HEADERS = {"encode": {"tokenizer": ["tokenizer/tokenizer.h"], "fim": ["fim/fim.h"]},
                "fetch": {"pipeline": ["pipeline/finished.h", "pipeline/document.h"]}}


def room_of(path):
    """The room of a file below src/: its directory, api for what lies in src/ itself."""
    return path.parts[0] if len(path.parts) > 1 else "api"


def judge(room, header):
    """Why a file of this room may not include the header, or None."""
    if header == "shardmill.h" or header.startswith("shared/"):
        return None
    if header == "mill_gpu.h":
        return None if room == "backend" else "mill_gpu.h is for backend alone"
    other = header.split("/")[0] if "/" in header else None
    if other is None:
        return "includes are written from the root of src, include or kernels"
    if other == room:
        return None
    if other not in BELOW:
        return f"there is no room {other}"
    if other not in BELOW[room]:
        return f"{other} does not stand to the left of {room}"
    open_headers = OPEN_HEADERS.get(room, {}).get(other)
    if open_headers is not None and header not in open_headers:
        return f"of {other}, {room} may read {' and '.join(open_headers)} only"
    return None


def main():
    root, faults, seen = Path(sys.argv[1]), 0, {}
    source = root / "src"
    files = sorted(p for p in source.rglob("*") if p.suffix in (".c", ".h"))
    for path in files:
        room = room_of(path.relative_to(source))
        if room not in BELOW:
            print(f"{path.relative_to(root)}:1: a room without a place in the order: {room}")
            faults += 1
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if match is None:
                continue
            seen.setdefault(room, set()).add(match[1].split("/")[0])
            reason = judge(room, match[1])
            if reason is None and not any((root / base / match[1]).is_file() for base in ("src", "include", "kernels")):
                reason = "no such file"
            if reason is not None:
                print(f'{path.relative_to(root)}:{number}: "{match[1]}": {reason}')
                faults += 1
    if "--draw" in sys.argv[2:]:
        for room in BELOW:
            print(f"{room:10} <- {' '.join(sorted(seen.get(room, set()) - {room}))}")
    if not files:
        print(f"{source}: no source files")
        faults += 1
    print(f"{len(files)} files, {faults} includes the wrong way")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
