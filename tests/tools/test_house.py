#!/usr/bin/env python3
"""tools/layers.py and tools/tidy.py see the faults they are for, and nothing in a clean tree.

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
    for tool in ("layers", "tidy"):
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
