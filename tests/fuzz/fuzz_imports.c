// fuzz_imports.c: any bytes as source files of a repository: scanners stay within the text and their limits,
// and the order is one of all files that does not depend on how they are given. The input is cut into files
// at bytes 0; each begins with its path's number.
#include "fuzz.h"
#include "repo/order.h"

enum { FILES_MAX = 24 };

static const char *const languages[] = {"python", "javascript", "typescript", "java", "c",
                                        "cpp",    "csharp",     "go",         "other"};
static const char *const paths[] = {"a.py",   "b/__init__.py", "b/a.py",  "b/c.py",     "src/a.py",
                                    "x/a.ts", "x/index.js",    "x/b.js",  "m/a/B.java", "m/a/C.java",
                                    "a.h",    "include/b.h",   "src/a.c", "N.cs",       "O.cs",
                                    "p/a.go", "q/p/b.go",      ""};
enum { PATHS = sizeof paths / sizeof paths[0] };

static const char *const language_of[PATHS] = {
    "python", "python", "python", "python", "python", "typescript", "javascript", "javascript", "java",
    "java",   "c",      "cpp",    "c",      "csharp", "csharp",     "go",         "go",         "python"};

static void check_scan(const char *language, const uint8_t *text, size_t bytes, mill_imports *out)
{
    FUZZ_OK(mill_imports_scan(language, text, bytes, out, NULL));
    FUZZ_CHECK(out->count <= MILL_IMPORTS_MAX);
    for (size_t i = 0; i < out->count; i++)
        FUZZ_CHECK(out->items[i].offset + (size_t)out->items[i].bytes <= out->names.bytes &&
                   out->items[i].kind < MILL_IMPORT_KINDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    mill_imports scratch = {0}, found[FILES_MAX] = {0};
    mill_repo_file files[FILES_MAX], turned[FILES_MAX];
    uint32_t count = 0, order[FILES_MAX], again[FILES_MAX];
    for (size_t i = 0; i < sizeof languages / sizeof languages[0]; i++) {
        mill_imports_clear(&scratch);
        check_scan(languages[i], data, bytes, &scratch);
    }
    for (size_t at = 0; at < bytes && count < FILES_MAX; count++) {
        const uint8_t *end = memchr(data + at, 0, bytes - at);
        const size_t text = end != NULL ? (size_t)(end - data) - at : bytes - at,
                     path = text != 0 ? data[at] % PATHS : 0;
        check_scan(language_of[path], data + at + (text != 0), text - (text != 0), &found[count]);
        files[count] =
            (mill_repo_file){paths[path], (uint32_t)strlen(paths[path]), (uint32_t)found[count].count,
                             found[count].items, found[count].names.data};
        at += text + 1;
    }
    FUZZ_OK(mill_repo_order(files, count, order, NULL));
    bool seen[FILES_MAX] = {false}, distinct = true;
    for (uint32_t i = 0; i < count; i++) {
        FUZZ_CHECK(order[i] < count && !seen[order[i]]);
        seen[order[i]] = true;
        for (uint32_t k = 0; k < i; k++)
            distinct = distinct && files[i].path != files[k].path;
        turned[i] = files[count - 1 - i];
    }
    FUZZ_OK(mill_repo_order(turned, count, again, NULL));
    for (uint32_t i = 0; distinct && i < count; i++)
        FUZZ_CHECK(order[i] == count - 1 - again[i]);
    for (uint32_t i = 0; i < FILES_MAX; i++)
        mill_imports_free(&found[i]);
    mill_imports_free(&scratch);
    return 0;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const char seeds[][160] = {
        "\x01"
        "from . import a, c\nfrom b.c import (x,\n y)\0\x02import b.c\nfrom .c import *\0\x03import "
        "a\n'''\nimport b\n'''\0",
        "\x05import {a} from './b.js'\nexport * from "
        "'../x'\0\x06require('./a')\0\x07import('./index')\nconst x = `${a}`\0",
        "\x08import m.a.C;\nimport m.a.*;\nimport static m.a.C.d;\0\x09package m.a;\nString s = "
        "\"\"\"\n\"\"\";\0",
        "\x0a#include \"b.h\"\n#include <include/b.h>\n\0\x0b#include \"a.h\"\nR\"x(\n)x\"\0\x0c#include "
        "<a.h>\n",
        "\x0dusing B;\nnamespace A { }\0\x0eusing A;\nnamespace B;\nvar s = @\"\\\";\0",
        "\x0fimport (\n\"x.y/q/p\"\n. \"x.y/p\"\n)\0\x10import a \"x.y/p\"\0",
    };
    return number < sizeof seeds / sizeof seeds[0] &&
           mill_buf_append(out, seeds[number], sizeof seeds[number], NULL) == MILL_OK;
}
