#!/usr/bin/env python3
"""tools/layers.py, tools/tidy.py and tools/dialect.py see the faults they are for, and nothing in a clean tree.

usage: test_house.py TOOLS
"""
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(sys.argv[1])
CLEAN = {
    "include/shardmill.h": "// shardmill.h: api\n",
    "src/core/alloc.h": "// alloc.h: memory\n#ifndef MILL_CORE_ALLOC_H\n#define MILL_CORE_ALLOC_H\n#endif\n",
    "src/core/alloc.c": "// alloc.c: memory\n#include \"core/alloc.h\"\nvoid *mill_alloc(void)\n{\n    return malloc(1);\n}\n",
    "src/fim/fim.h": "// fim.h: fim\n#ifndef MILL_FIM_FIM_H\n#define MILL_FIM_FIM_H\n#endif\n",
    "src/encode/encode.c": "// encode.c: says free( and time( in words; \"open(\" in text\n#include \"fim/fim.h\"\n"
                           "static int f(x *s)\n{\n    return s->ops->open(s, \"time(\") + mill_free(s) + ops.read(s);\n}\n",
    "src/cli/main.c": "// main.c: program\n#include \"shardmill.h\"\n",
    "kernels/clean.cu": "// clean.cu: no double in sight\n#include \"mill_cuda.h\"\n#include <string.h>\nstatic __device__ const u32 table[2] = {1, 2};\n"
                        "static __device__ u32 f(const char *name, u32 *p)\n{\n    u32 seen = MILL_LOAD_RELAXED(p);\n"
                        "    while (atomicCAS(p, seen, 1u) != seen)\n        seen++;\n    return __ballot_sync(0x1e5u, seen) + table[0];\n}\n"
                        "static __global__ void k(u32 *p)\n{\n    MILL_SHARED(u32, tile, 64);\n    tile[0] = f(\"2.5\", p);\n}\n"
                        "extern \"C\" int mill_gpu_k(u32 *p, void *stream)\n{\n    return MILL_LAUNCH(k, dim3(1), dim3(32), 0, stream, p);\n}\n",
    "kernels/mill_cuda.h": "// mill_cuda.h: dialect\n#ifndef MILL_MILL_CUDA_H\n#define MILL_MILL_CUDA_H\n#include <cuda_runtime.h>\n"
                           "typedef unsigned long long u64;\n#define MILL_SHARED(T, name, n) __shared__ T name[n]\n#endif\n",
}
HEAD = "// a.c: of a test\n"
# tool, file, its text, what the tool must say
FAULTS = [
    ("layers", "src/core/a.c", HEAD + '#include "record/batch.h"\n', "record does not stand to the left of core"),
    ("layers", "src/pack/a.c", HEAD + '#include "fim/fim.h"\n', "fim does not stand to the left of pack"),
    ("layers", "src/encode/a.c", HEAD + '#include "fim/fim_cuts.h"\n', "may read fim/fim.h only"),
    ("layers", "src/fetch/a.c", HEAD + '#include "pipeline/run.h"\n', "may read pipeline/finished.h and pipeline/document.h only"),
    ("layers", "src/pipeline/a.c", HEAD + '#include "fetch/names.h"\n', "fetch does not stand to the left of pipeline"),
    ("layers", "src/cli/a.c", HEAD + '#include "core/alloc.h"\n', "core does not stand to the left of cli"),
    ("layers", "src/api.c", HEAD + '#include "cli/opts.h"\n', "cli does not stand to the left of api"),
    ("layers", "src/fim/a.c", HEAD + '#include "fim.h"\n', "written from the root"),
    ("layers", "src/fim/a.c", HEAD + '#include "core/missing.h"\n', "no such file"),
    ("layers", "src/fim/a.c", HEAD + '#include "mill_gpu.h"\n', "backend alone"),
    ("layers", "src/attic/a.c", HEAD, "without a place"),
    *[("tidy", "src/fim/a.c", HEAD + f"int mill_x(void)\n{{\n    return {call};\n}}\n", f":4: {call.split('(')[0]}()")
      for call in ("rand()", "time(0)", "strcpy(a, b)", "sprintf(a, b)", "gets(a)", "alloca(4)", "malloc(1)", "free(p)", "calloc(1, 1)",
                   "realloc(p, 2)", "open(p, 0)", "read(0, p, 1)", "write(1, p, 1)", "rename(a, b)", "unlink(a)", "fopen(a, b)",
                   "thrd_create(a, b, c)", "exit(1)", "printf(a)")],
    *[("dialect", "kernels/a.cu", HEAD + f"{line}\n", f":2: {wanted}") for line, wanted in (
        ("float x;", "float: results are exact"), ("u32 x = y * 0.5;", "0.5: results are exact"), ("u32 x = 1e6;", "1e6: results are exact"),
        ("    __shared__ u32 tile[3];", "__shared__: shared memory"), ("u32 m = __activemask();", "__activemask"),
        ("u32 m = __ballot(1);", "__ballot(: warp operations"), ("u32 m = __shfl_down(x, 1);", "__shfl_down(: warp operations"),
        ("#include <cooperative_groups.h>", "#include <: kernels include"), ("cub::Scan s;", "cub: no cooperative groups"),
        ("k<<<1, 32>>>(p);", "<<<: kernels are launched"), ("cudaLaunchKernel(k, 1, 1, 0);", "cudaLaunchKernel: kernels are launched"),
        ("u32 t = tex1Dfetch(a, 1);", "tex1Dfetch: no textures"), ("__device__ u32 counter;", "__device__ u32 counter;: no variables"),
        ("static __device__ u32 table[3] = {1, 2, 3};", "static __device__ u32 table[3] =: no variables"),
        ("static __constant__ u32 table[3];", "static __constant__ u32 table[3];: no variables"),
        ('asm("trap;");', "asm: no PTX"), ("unsigned long long x;", "long: long has"), ("unsigned char c;", "char: char may"),
        ("const volatile u32 *p;", "volatile: memory"), ("__noinline__ int f();", "__noinline__: MILL_NOINLINE"),
        ("u64 t = clock64();", "clock64(: no result"), ("while (MILL_LOAD_RELAXED(p) == 0) {}", "while (MILL_LOAD_RELAXED(p) == 0) {}: no thread"),
        ("while (atomicCAS(p, 0u, 1u) != 0);", "while (atomicCAS(p, 0u, 1u) != 0);: no thread"), ("std::sort(a, b);", "std::: C with"),
        ('printf("x");', "printf(: nothing"), ("int c = cudaMalloc(&p, 4);", "cudaMalloc(: a launcher"),
        ("#include <vector>", "#include <: kernels include"))],
    ("tidy", "src/fim/a.c", "#include <stdio.h>\n", ":1: the first line"),
    ("tidy", "src/fim/a.c", HEAD + "\tint x;\n", ":2: a tab"),
    ("tidy", "src/fim/a.c", HEAD + "int x; \n", ":2: blanks at the end"),
    ("tidy", "src/fim/a.c", HEAD + "int x" + "y" * 140 + ";\n", ":2: 146 columns"),
    ("tidy", "src/fim/a.c", HEAD + "int x;\n" * 800, "801 lines"),
    ("tidy", "src/fim/a.c", HEAD + "int x;", "ends with one newline"),
    ("tidy", "src/fim/a.c", HEAD + "// TO" + "DO later\n", ":2: a note to oneself"),
    ("tidy", "src/fim/a.h", "// a.h: x\n#ifndef A_H\n#define A_H\n#endif\n", "guard is MILL_FIM_A_H"),
    ("tidy", "src/core/fim.h", "// fim.h: x\n#ifndef MILL_CORE_FIM_H\n#define MILL_CORE_FIM_H\n#endif\n", "has the same file name"),
]


def judge(tool, files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([sys.executable, str(TOOLS / f"{tool}.py"), root], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


def main():
    failed = 0
    for tool in ("layers", "tidy", "dialect"):
        code, text = judge(tool, CLEAN)
        if code != 0:
            print(f"FAILED: {tool} finds fault with a clean tree: {text}")
            failed += 1
        if judge(tool, {})[0] == 0:
            print(f"FAILED: {tool} is content with nothing")
            failed += 1
    for tool, name, text, wanted in FAULTS:
        code, seen = judge(tool, {**CLEAN, name: text})
        if code != 1 or wanted not in seen:
            print(f"FAILED: {tool} does not say {wanted!r} of {name}: {seen}")
            failed += 1
    print(f"{len(FAULTS)} faults planted, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
