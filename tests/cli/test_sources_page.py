#!/usr/bin/env python3
"""docs/SOURCES.md told by heart: every command in it ends well, and reads what the page says.

usage: test_sources_page.py PROGRAM   (needs the development corpus, bash, zcat and git)
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = os.path.abspath(sys.argv[1])
ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("SHARDMILL_SHARED") or ROOT.parent / "shared") / "corpus"
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:800]}")


def commands(page):
    """The lines of blocks that call the program, and what each says behind its '#'."""
    for block in re.findall(r"^```\n(.*?)^```$", page, re.M | re.S):
        if "build/shardmill" in block:
            for line in block.splitlines():
                command, _, told = line.partition(" # ")
                yield command.rstrip(), told


def main():
    if not CORPUS.is_dir():
        print(f"skipped: the development corpus is not there ({CORPUS})")
        sys.exit(77)
    page = (ROOT / "docs" / "SOURCES.md").read_text()
    work = Path(tempfile.mkdtemp(prefix="mill-page-"))
    (work / "build").mkdir()
    (work / "build" / "shardmill").symlink_to(PROGRAM)
    for name in ("src", "tests"):
        (work / name).symlink_to(ROOT / name)
    ran = told_of = 0
    try:
        for command, told in commands(page):
            if command.startswith("S="):
                continue
            if command.startswith("git ") and not (ROOT / ".git").exists():
                print("skipped: no git checkout, so no archive of it")
                continue
            done = subprocess.run(["bash", "-c", command.replace("git archive", f"git -C {ROOT} archive").replace("-o p-1.0.tar.gz", f"-o {work}/p-1.0.tar.gz")],
                                  cwd=work, env={**os.environ, "S": str(CORPUS)}, capture_output=True, text=True, timeout=120)
            ran += 1
            check(f"{command}: ends well", done.returncode == 0, done.stderr)
            wanted = re.search(r"read \d+ = kept \d+(?: \+ rejected \d+)?", told)
            if wanted:
                told_of += 1
                check(f"{command}: {wanted[0]}", wanted[0] in done.stderr, done.stderr)
            for name, count in re.findall(r"([a-z]+_[a-z_]+) (\d+)", told):
                told_of += 1
                check(f"{command}: {name} {count}", f'"{name}":{count}' in re.sub(r"\s", "", (work / "out/metrics.json").read_text()), told)
            if "shardmill filter" in command and done.returncode == 0:
                verified = subprocess.run([PROGRAM, "verify", work / "out"], capture_output=True, text=True)
                check(f"{command}: verifies", verified.returncode == 0, verified.stderr)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    check("there are commands", ran > 15 and told_of > 10, (ran, told_of))
    print(f"{ran} commands of docs/SOURCES.md, {told_of} figures: {len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
