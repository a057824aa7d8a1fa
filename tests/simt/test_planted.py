#!/usr/bin/env python3
"""Proves that the emulator catches the faults that planted.cu can be built with, each by the builds that promise it.

usage: test_planted.py PLAIN [ASAN [TSAN]]   (the program planted in three builds; "-" for one that is missing)
"""
import os
import subprocess
import sys

# Name, and the builds that must catch it under at least one of their seeds. TSan finds races whatever the schedule; the others see a
# race only when it happens to change the result.
FAULTS = [
    ("none", ""),
    ("no_barrier_after_clear", "plain asan tsan"),
    ("no_barrier_after_load", "plain asan tsan"),
    ("no_barrier_before_reload", "plain asan tsan"),
    ("no_syncwarp", "plain asan tsan"),
    ("plain_shared_add", "tsan"),
    ("plain_global_add", "tsan"),
    ("shared_write_past", "plain asan tsan"),
    ("shared_read_past", "plain asan tsan"),
    ("global_write_past", "plain asan tsan"),
    ("global_read_past", "asan"),
    ("no_clear", "plain asan tsan"),
    ("no_memset", "plain asan tsan"),
    ("lanes_missing", "plain asan tsan"),
    ("divergent_barrier", "plain asan tsan"),
    ("no_final_wait", "plain asan tsan"),
    ("early_refill", "plain asan tsan"),
    ("no_event", "plain asan tsan"),
]
SEEDS = {"plain": range(9), "asan": range(9), "tsan": range(3)}


def outcome(program, fault, seed):
    """How a run ends: "" if it found nothing, else the first line of what was said."""
    environment = {**os.environ, "SIMT_SEED": str(seed), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([program, str(fault)], env=environment, capture_output=True, text=True, errors="replace", timeout=120)
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if any(word in line for word in ("SIMT:", "ERROR:", "WARNING:", "runtime error"))]
    return said[0].strip() if said else "wrong result" if done.returncode == 1 else f"exit code {done.returncode}"


def main():
    programs = {build: path for build, path in zip(("plain", "asan", "tsan"), sys.argv[1:]) if path != "-"}
    bad = 0
    for fault, (name, must) in enumerate(FAULTS):
        for build, program in programs.items():
            seeds = SEEDS[build]
            told = [said for said in (outcome(program, fault, seed) for seed in seeds) if said]
            print(f"{name:26} {build:6} {len(told)} of {len(seeds)} seeds{': ' + told[0][:150] if told else ''}", flush=True)
            if (build in must.split() and not told) or (name == "none" and told):
                print(f"FAILED: {name} in the {build} build")
                bad += 1
    print(f"{len(FAULTS)} variants, {len(programs)} builds, {bad} failures")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
