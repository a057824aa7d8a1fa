#!/usr/bin/env python3
"""Checks the habits of this code that a machine can check, so that nobody has to remember them.

usage: tidy.py ROOT [ARCHIVE]   (exit code 1 and one line for each fault; ARCHIVE: the static library, for the names it exports)
"""
import re
import subprocess
import sys
from pathlib import Path

LINES_MAX, TEST_LINES_MAX, COLUMNS_MAX = 800, 1000, 132
# Tables: as long as Unicode is (tools/gen_unicode.py), as wide as one recipe key with its help.
TABLES = {"src/core/unicode_tables.c", "src/pipeline/recipe_table.c"}

# Calls that no product file may make, and where they may stand all the same.
BANNED = [
    (r"rand|srand|random|srandom|drand48|rand_r", (), "random numbers come from core/rng.h"),
    (r"time|gettimeofday|localtime|gmtime", (), "the one clock is core/clock.h; no result knows the time"),
    (r"strcpy|strcat|sprintf|vsprintf|gets", (), "does not know the room that there is"),
    (r"alloca", (), "the stack has no failure"),
    (r"strtok|setlocale|setenv|putenv", (), "hidden state of the process"),
    (r"malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign", 
     # grammar.c lends tree-sitter an allocator that leaves a parse by longjmp; it keeps a list of its own blocks
     ("src/core/alloc.c", "src/core/grammar.c", "src/cli/"), "memory comes from core/alloc.h"),
    (r"open|openat|creat|read|pread|write|pwrite|rename|renameat|unlink|unlinkat|fsync|fdatasync|mkdir|mkdirat|fopen|freopen|fdopen",
     ("src/core/fs_posix.c", "src/cli/"), "files are reached through core/fs.h"),
    (r"thrd_\w+|mtx_\w+|cnd_\w+|tss_\w+|call_once", (), "threads are POSIX threads: the thread sanitizer knows them"),
    (r"exit|_exit|quick_exit|printf|puts|putchar", ("src/cli/",), "the library never prints and never exits"),
]
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def without_comments(text):
    """The code with comments, strings and character constants blanked; lines stay where they are."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def calls_of(words, code):
    """(line, name) of calls by these bare names: no members (x->open(), no pointers (*open)(), no definitions of statics."""
    own = set(re.findall(rf"^static [^;(=]*?\b({words})\s*\(", code, re.M))
    for match in re.finditer(rf"(?<![\w.>*])({words})\s*\(", code):
        if match[1] not in own:
            yield code.count("\n", 0, match.start()) + 1, match[1]


def check_product(name, text):
    code = without_comments(text)
    for words, places, reason in BANNED:
        if any(name == place or (place.endswith("/") and name.startswith(place)) for place in places):
            continue
        for line, word in calls_of(words, code):
            yield line, f"{word}(): {reason}"
    for number, line in enumerate(code.splitlines(), 1):
        if re.search(r"#\s*include\s*<threads\.h>", line):
            yield number, "<threads.h>: threads are POSIX threads"


def check_text(name, text):
    lines = text.splitlines()
    if not re.match(r"// \S", text):
        yield 1, "the first line is no comment that says what the file is for"
    lines_max = TEST_LINES_MAX if name.startswith("tests/") else LINES_MAX
    if len(lines) > lines_max and name not in TABLES:
        yield lines_max + 1, f"{len(lines)} lines; a file has at most {lines_max}"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield len(lines), "a file ends with one newline"
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "blanks at the end"
        if len(line) > COLUMNS_MAX and name not in TABLES:
            yield number, f"{len(line)} columns; a line has at most {COLUMNS_MAX}"
        if WORDS.search(line):
            yield number, "a note to oneself"


def check_header(name, text):
    if not name.startswith(("src/", "kernels/")):
        return
    guard = "MILL_" + re.sub(r"[^A-Z0-9]", "_", name.split("/", 1)[1].upper())
    seen = re.search(r"^#ifndef (\w+)\n#define (\w+)$", text, re.M)
    if seen is None or seen[1] != guard or seen[2] != guard:
        yield 1, f"the include guard is {guard}"


def check_names(files):
    seen = {}
    for name in files:
        base = name.rsplit("/", 1)[1]
        if base in seen:
            yield name, 1, f"{seen[base]} has the same file name"
        seen[base] = name


def check_archive(path):
    done = subprocess.run(["nm", "-g", "--defined-only", "-A", str(path)], capture_output=True, text=True)
    if done.returncode != 0:
        yield f"nm: {done.stderr.strip()}"
        return
    symbols = [line.rsplit(" ", 1)[1] for line in done.stdout.splitlines() if re.search(r" [A-Z] \S+$", line)]
    # Sanitizers and coverage bring names of their own, all reserved ones.
    for symbol in sorted({s for s in symbols if not s.startswith(("mill_", "__asan", "__odr_asan", "__ubsan", "__tsan", "__gcov", "DW.ref"))}):
        yield f"symbol {symbol} does not begin with mill_"
    if not symbols:
        yield "no symbols"


def main():
    root = Path(sys.argv[1])
    faults = 0

    def tell(where, what):
        nonlocal faults
        faults += 1
        print(f"{where}: {what}")

    files = sorted(str(p.relative_to(root)) for base in ("src", "include", "kernels", "tests") for p in (root / base).rglob("*")
                   if p.suffix in (".c", ".h", ".cu", ".cuh"))
    for name in files:
        text = (root / name).read_text()
        found = list(check_text(name, text))
        if not name.startswith("tests/"):
            found += check_product(name, text)
        if name.endswith(".h"):
            found += check_header(name, text)
        for line, what in sorted(found):
            tell(f"{name}:{line}", what)
    for name, line, what in check_names([n for n in files if not n.startswith("tests/")]):
        tell(f"{name}:{line}", what)
    if len(sys.argv) > 2:
        for what in check_archive(sys.argv[2]):
            tell(sys.argv[2], what)
    if not files:
        tell(str(root), "no source files")
    print(f"{len(files)} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
