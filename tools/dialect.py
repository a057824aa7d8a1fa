#!/usr/bin/env python3
"""Checks that kernels/ keeps to the dialect of kernels/mill_cuda.h: what the emulator can run and check, with exact results.

usage: dialect.py ROOT   (exit code 1 and one line for each fault)
"""
import re
import sys
from pathlib import Path

from tidy import without_comments

SEAM = ("kernels/mill_cuda.h",)  # where the dialect is made
# What may not stand in a file, where it may all the same, and why.
REFUSED = [
    (r"\b(float|double|__half\w*|__nv_bfloat16\w*)\b", (), "results are exact: no floating point"),
    (r"(?<![\w.])(\d+\.\d*|\.\d+|\d+[eE][+-]?\d+)", (), "results are exact: no floating point"),
    (r"__shared__", SEAM, "shared memory is declared with MILL_SHARED or MILL_DYN_SHARED"),
    (r"__activemask\b", (), "which lanes meet by chance is no answer: take the mask from what the kernel knows"),
    (r"\b__(shfl(_up|_down|_xor)?|ballot|any|all|match_any)\s*\(", (), "warp operations are those with _sync"),
    (r"\bcooperative_groups\b|\bcub\b|\bthrust\b", (), "no cooperative groups, CUB or Thrust: the emulator has none"),
    (r"<<<", (), "kernels are launched by MILL_LAUNCH"),
    (r"\bcudaLaunch\w+", SEAM, "kernels are launched by MILL_LAUNCH"),
    (r"\b(tex[123]D\w*|texture|cudaTextureObject_t|surf[123]D\w*)\b", (), "no textures: the emulator has none"),
    (r"^(?:static |extern |inline )*__(?:device|managed|constant)__(?![^(;{]*\bconst\b)[^(;{]*[;=\[]", (),
     "no variables of a device: they outlive a launch, and are one for all that use it"),
    (r"\b(__)?asm(__)?\b", (), "no PTX: the emulator does not read it"),
    (r"\blong\b", SEAM, "long has a size of its own on every system: u64, i64"),
    (r"\bchar\b(?!\s*(const\s*)?\*)", ("kernels/mill_cuda.h", "kernels/mill_gpu.h"), "char may be signed or not: u8, i8"),
    (r"\bvolatile\b", SEAM, "memory that others change is read by MILL_LOAD_RELAXED, written by MILL_STORE_RELAXED"),
    (r"\b__noinline__\b", SEAM, "MILL_NOINLINE"),
    (r"\b(__nanosleep|clock|clock64|__trap)\s*\(", (), "no result knows the time"),
    (r"\bwhile\s*\([^;{}]*\b(MILL_LOAD_RELAXED|atomic[A-Z]\w*)\s*\([^;{}]*\)\s*(;|\{\s*\})", (),
     "no thread waits for another one: use another launch"),
    (r"\bstd::|\b(try|throw|catch|new|delete)\b", (), "C with templates: no library, no exceptions, no heap"),
    (r"\b(printf|malloc|free|assert)\s*\(", (), "nothing that a device does by calling its host"),
    (r"\bcuda(Malloc|Free|HostAlloc|FreeHost|DeviceSynchronize|StreamSynchronize|EventSynchronize|Memcpy|Memset)\s*\(",
     ("kernels/runtime.cu",), "a launcher only queues work on its stream"),
    (r"#\s*include\s*<(?!stddef\.h>|stdint\.h>|string\.h>)", (*SEAM, "kernels/collect.cu"), # it has no kernels
     "kernels include their own headers, stddef, stdint, string"),
]


def faults_of(name, text):
    code = without_comments(text)
    for pattern, places, reason in REFUSED:
        if name in places:
            continue
        for match in re.finditer(pattern, code, re.M):
            yield code.count("\n", 0, match.start()) + 1, f"{' '.join(match[0].split())}: {reason}"


def main():
    root, faults = Path(sys.argv[1]), 0
    files = sorted(str(p.relative_to(root)) for p in (root / "kernels").rglob("*") if p.suffix in (".cu", ".cuh", ".h"))
    for name in files:
        for line, what in sorted(faults_of(name, (root / name).read_text())):
            print(f"{name}:{line}: {what}")
            faults += 1
    if not files:
        print(f"{root}/kernels: no kernels")
        faults += 1
    print(f"{len(files)} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
