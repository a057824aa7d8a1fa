// test_repo.c: what the import scanners see in good and hostile text, and the order of a repository's
// files.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/rng.h"
#include "repo/order.h"

static mill_imports imports;

static void tear_down(void)
{
    mill_imports_free(&imports);
}

TestSuite(repo, .fini = tear_down);

// "kind:level:name" for each import, one blank between.
static void expect_imports(const char *language, const char *text, const char *wanted)
{
    static const char *const kinds[MILL_IMPORT_KINDS] = {"m", "p", "c", "k", "q", "a", "n", "d", "g"};
    mill_buf out = {0};
    mill_error err;
    mill_imports_clear(&imports);
    cr_assert_eq(mill_imports_scan(language, (const uint8_t *)text, strlen(text), &imports, &err), MILL_OK);
    for (size_t i = 0; i < imports.count; i++) {
        const mill_import *import = &imports.items[i];
        cr_assert_eq(mill_buf_printf(&out, &err, "%s%s", i != 0 ? " " : "", kinds[import->kind]), MILL_OK);
        cr_assert_eq(mill_buf_printf(&out, &err, "%.*s:%.*s", import->level, ".....", import->bytes,
                                     (const char *)imports.names.data + import->offset),
                     MILL_OK);
    }
    cr_expect(out.bytes == strlen(wanted) && (out.bytes == 0 || memcmp(out.data, wanted, out.bytes) == 0),
              "%s of\n%s", (const char *)out.data, text);
    mill_buf_free(&out);
}

Test(repo, python_imports)
{
    expect_imports("python",
                   "import a\nimport b.c as d, e . f\nfrom g import h\nfrom .i import j as k, l\nfrom .. "
                   "import m\nfrom n.o import *\n",
                   "m:a m:b.c m:e.f m:g.h m.:i.j m.:i.l m..:m m:n.o");
    expect_imports(
        "python",
        "from a import (b, # import x\n  c as d,\n  e,\n)\nif 1: import f; import g\ntry:\n    import h\n",
        "m:a.b m:a.c m:a.e m:f m:g m:h");
    expect_imports("python", "from a \\\n  import b\nimport \\\r\n c\n", "m:a.b m:c");
    expect_imports("python",
                   "'''\nimport no\n'''\n\"import no\"\n# import no\nx = 'a\\\nimport "
                   "no'\nr\"\"\"\\\" \"\"\"\nimport yes\n",
                   "m:yes");
    expect_imports("python",
                   "important = 1\nx.import_it()\nyield x\nraise E from e\nfrom x\nfrom\nimport\nfrom . "
                   "\nfrom a import\n",
                   "");
    expect_imports("python", "import ab\xc3\xa9\nfrom ...... import x", "m:ab\xc3\xa9 m.....:x");
    expect_imports("python", "x = \"no end\nimport a\ny = '''no end\nimport b", "m:a");
}

Test(repo, script_imports)
{
    expect_imports(
        "javascript",
        "import a from './a'\nimport {b, c as d} from \"../b.js\"\nimport * as e from './e';import './f'\n",
        "p:./a p:../b.js p:./e p:./f");
    expect_imports("typescript",
                   "import type { A } from './a'\nexport * from './b'\nexport { c } from './c'\nexport type "
                   "{ D } from './d'\n"
                   "import E = require('./e')\nconst f = await import('./f'), g = require(\"./g\")\nimport h "
                   "from '@/h'\n",
                   "p:./a p:./b p:./c p:./d p:./e p:./f p:./g p:@/h");
    expect_imports(
        "javascript",
        "// import './no'\n/* import './no' */\nconst x = \"import './no'\"\nconst y = `\nimport "
        "'./no'\n`\nx.import('./no')\n"
        "import React from 'react'\nimport from from './from'\nexport default './no'\nexport const z = {}\n",
        "p:./from");
    expect_imports("javascript", "const r = /'/\nimport './a'\nimport {", "p:./a");
    expect_imports("javascript", "import { a, /* './x' */ b } // './y'\n from './z'", "p:./z");
}

Test(repo, java_csharp_and_go_imports)
{
    expect_imports("java",
                   "package a.b;\nimport a.b.C;\nimport static a.b.D.e;\nimport a . c . *;\n// import "
                   "no.No;\nString s = \"import no.No;\";\n"
                   "char q = '\"'; import x.Y;\nString t = \"\"\"\nimport no.No;\n\"\"\";\n",
                   "c:a.b.C c:a.b.D.e k:a.c c:x.Y");
    expect_imports("csharp",
                   "using System;\nusing static A.B.C;\nusing D = E.F;\nglobal using G;\nnamespace H.I "
                   "{\nusing (var x = y) {}\nusing var z = w;\n"
                   "var s = @\"c:\\\"; var t = @\"\nusing No;\n\";\n}\nnamespace J;\n",
                   "n:System n:A.B.C n:E.F n:G d:H.I d:J");
    expect_imports("go",
                   "package a\nimport \"fmt\"\nimport b \"x.org/b\"\nimport (\n\t\"x.org/c\" // import "
                   "\"no\"\n\t. `x.org/d`\n\t_ \"x.org/e\";\n)\n"
                   "var s = \"import (\"\nvar r = `\nimport \"no\"\n`\n",
                   "g:fmt g:x.org/b g:x.org/c g:x.org/d g:x.org/e");
    expect_imports("go", "import (", "");
    expect_imports("go", "import (\n\"a\"\n}\nimport \"b\"", "g:a g:b");
}

Test(repo, c_includes)
{
    expect_imports("c",
                   "#include \"a.h\"\n  #  include <b/c.h>\n#include_next <d.h>\n//#include "
                   "\"no.h\"\n/*\n#include \"no.h\"\n*/\nx #include \"no.h\"\n"
                   "#define X \"\n#include \"e.h\"\n#include NO\n#include \"no\n#include <no\n",
                   "q:a.h a:b/c.h a:d.h q:e.h");
    expect_imports("cpp",
                   "auto s = R\"x(\n#include \"no.h\"\n)\" )x\";\n#include \"a.hpp\"\nint n = "
                   "1'000;\n#include \"b.hpp\"\n",
                   "q:a.hpp q:b.hpp");
    expect_imports("rust", "use a::b;\n#include \"no.h\"\n", "");
}

Test(repo, scanners_have_limits)
{
    mill_buf text = {0};
    mill_error err;
    for (int i = 0; i < 2 * MILL_IMPORTS_MAX; i++)
        cr_assert_eq(mill_buf_printf(&text, &err, "import m%d\n", i), MILL_OK);
    cr_assert_eq(mill_imports_scan("python", text.data, text.bytes, &imports, &err), MILL_OK);
    cr_expect_eq(imports.count, MILL_IMPORTS_MAX);
    mill_buf_clear(&text);
    mill_imports_clear(&imports);
    cr_assert_eq(mill_buf_append_text(&text, "import ", &err), MILL_OK);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(mill_buf_append_text(&text, "x", &err), MILL_OK);
    static const char *const languages[] = {"python", "java", "javascript", "go", "c", "csharp"};
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(mill_imports_scan(languages[i], text.data, text.bytes, &imports, &err), MILL_OK);
    cr_expect_eq(imports.count, 0);
    mill_buf_free(&text);
}

// ---- order

typedef struct source {
    const char *path, *language, *text;
} source;

static mill_buf ordered;

static void order_files(const source *sources, uint32_t count, uint32_t shift)
{
    mill_imports found[64] = {0};
    mill_repo_file files[64];
    uint32_t order[64];
    mill_error err;
    mill_buf_clear(&ordered);
    for (uint32_t i = 0; i < count; i++) {
        const source *s = &sources[(i + shift) % count];
        cr_assert_eq(
            mill_imports_scan(s->language, (const uint8_t *)s->text, strlen(s->text), &found[i], &err),
            MILL_OK);
        files[i] = (mill_repo_file){s->path, (uint32_t)strlen(s->path), (uint32_t)found[i].count,
                                    found[i].items, found[i].names.data};
    }
    cr_assert_eq(mill_repo_order(files, count, order, &err), MILL_OK);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(mill_buf_printf(&ordered, &err, "%s%s", i != 0 ? " " : "", files[order[i]].path),
                     MILL_OK);
    for (uint32_t i = 0; i < count; i++)
        mill_imports_free(&found[i]);
}

// The same whatever order the files come in.
static void expect_order(const source *sources, uint32_t count, const char *wanted)
{
    for (uint32_t shift = 0; shift < count; shift++) {
        order_files(sources, count, shift);
        cr_expect(ordered.bytes == strlen(wanted) && memcmp(ordered.data, wanted, ordered.bytes) == 0, "%.*s",
                  (int)ordered.bytes, (const char *)ordered.data);
    }
    mill_buf_free(&ordered);
}

#define EXPECT_ORDER(sources, wanted) expect_order(sources, sizeof(sources) / sizeof(sources)[0], wanted)

Test(repo, python_order)
{
    static const source files[] = {
        {"app/main.py", "python",
         "import os, json\nfrom app.core import run\nfrom . import util\nimport app.models.user\n"},
        {"app/core.py", "python", "from .util import x\nfrom .models import user\n"},
        {"app/util.py", "python", ""},
        {"app/__init__.py", "python", ""},
        {"app/models/__init__.py", "python", ""},
        {"app/models/user.py", "python", "from ..util import y\n"},
        {"deep/json.py", "python", "import main\n"},
        {"README.md", "markdown", "import app"}};
    EXPECT_ORDER(files, "README.md app/__init__.py app/models/__init__.py app/util.py app/models/user.py "
                        "app/core.py app/main.py deep/json.py");
    static const source package[] = {{"p/__init__.py", "python", "from .a import x\nfrom p.z import y\n"},
                                     {"p/a.py", "python", "from . import y\nfrom p import z\nimport p\n"},
                                     {"p/z.py", "python", "import p\n"},
                                     {"q.py", "python", "from p import x\n"}};
    EXPECT_ORDER(package, "p/z.py p/a.py p/__init__.py q.py");
    static const source below[] = {{"src/pkg/b.py", "python", "import pkg.c\n"},
                                   {"src/pkg/c.py", "python", ""},
                                   {"tests/a.py", "python", "from pkg.b import thing\n"}};
    EXPECT_ORDER(below, "src/pkg/c.py src/pkg/b.py tests/a.py");
}

Test(repo, script_order)
{
    static const source files[] = {
        {"src/a.ts", "typescript", "import { b } from './b.js'\nimport x from '@/z/x'\n"},
        {"src/b.ts", "typescript", "export * from './lib'\n"},
        {"src/lib/index.tsx", "typescript", "import '../../config'\n"},
        {"src/z/x.js", "javascript", ""},
        {"config.json", "json", ""},
        {"src/../up.js", "javascript", "require('../../../escape')"}};
    EXPECT_ORDER(files, "config.json src/../up.js src/lib/index.tsx src/b.ts src/z/x.js src/a.ts");
}

Test(repo, java_c_csharp_and_go_order)
{
    static const source java[] = {
        {"src/main/java/a/A.java", "java", "import a.b.B;\nimport static a.c.C.d;\nimport a.e.*;\n"},
        {"src/main/java/a/b/B.java", "java", "import a.e.*;\nimport java.util.List;"},
        {"src/main/java/a/c/C.java", "java", ""},
        {"src/main/java/a/e/E.java", "java", "import a.c.C;\n"},
        {"src/main/java/a/e/F.java", "java", ""}};
    EXPECT_ORDER(java, "src/main/java/a/c/C.java src/main/java/a/e/E.java src/main/java/a/e/F.java "
                       "src/main/java/a/b/B.java src/main/java/a/A.java");
    static const source c[] = {
        {"src/main.c", "c", "#include <stdio.h>\n#include \"util/u.h\"\n#include <proj/p.h>\n"},
        {"src/util/u.c", "c", "#include \"u.h\"\n"},
        {"src/util/u.h", "c", "#include \"proj/p.h\"\n"},
        {"include/proj/p.h", "c", ""},
        {"zlib/stdio.h", "c", ""}};
    EXPECT_ORDER(c, "include/proj/p.h src/util/u.h src/main.c src/util/u.c zlib/stdio.h");
    static const source csharp[] = {{"A.cs", "csharp", "using B;\nusing System;\nnamespace A { }\n"},
                                    {"Z1.cs", "csharp", "namespace B;\n"},
                                    {"Z2.cs", "csharp", "using B;\nnamespace B { }\n"},
                                    {"C.cs", "csharp", "using static A.Thing;\n"}};
    EXPECT_ORDER(csharp, "Z1.cs Z2.cs A.cs C.cs");
    static const source go[] = {
        {"main.go", "go", "import (\n\"fmt\"\n\"github.com/me/proj/pkg/x\"\n\"proj/y\"\n)\n"},
        {"pkg/x/a.go", "go", ""},
        {"pkg/x/b.go", "go", "import \"github.com/me/proj/y\"\n"},
        {"pkg/x/b_test.go", "go", "import \"github.com/me/proj\"\n"},
        {"y/z.go", "go", ""}};
    EXPECT_ORDER(go, "pkg/x/a.go pkg/x/b_test.go y/z.go pkg/x/b.go main.go");
}

Test(repo, circles_and_ties_stand_by_path)
{
    static const source circle[] = {
        {"c.py", "python", "import a\nimport d"}, {"a.py", "python", "import b"},
        {"b.py", "python", "import c"},           {"d.py", "python", ""},
        {"0.py", "python", "import b"},           {"self.py", "python", "import self"}};
    EXPECT_ORDER(circle, "d.py a.py c.py b.py 0.py self.py");
    static const source ties[] = {{"b", "other", ""},
                                  {"B", "other", ""},
                                  {"a/b", "other", ""},
                                  {"a-b", "other", ""},
                                  {"", "other", ""}};
    EXPECT_ORDER(ties, " B a-b a/b b");
}

Test(repo, files_with_equal_paths_stand_as_given)
{
    static const source same[] = {
        {"a.py", "python", "import b"}, {"a.py", "python", ""}, {"b.py", "python", "import a"}};
    order_files(same, 3, 0);
    cr_expect(memcmp(ordered.data, "a.py a.py b.py", 14) == 0 ||
                  memcmp(ordered.data, "a.py b.py a.py", 14) == 0,
              "%.*s", (int)ordered.bytes, (const char *)ordered.data);
    mill_buf_free(&ordered);
}

// A chain of 200,000 files, and the same closed to a circle: no recursion, no quadratic steps.
Test(repo, long_chains, .timeout = 60)
{
    enum { COUNT = 200000 };
    static mill_repo_file files[COUNT];
    static char paths[COUNT][16], names[COUNT][16];
    static mill_import items[COUNT];
    static uint32_t order[COUNT];
    mill_error err;
    for (uint32_t closed = 0; closed < 2; closed++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            const int path = snprintf(paths[i], sizeof paths[i], "f%06u.py", i),
                      name = snprintf(names[i], sizeof names[i], "f%06u", (i + 1) % COUNT);
            items[i] = (mill_import){.bytes = (uint8_t)name, .kind = MILL_IMPORT_MODULE};
            const bool last = i + 1 == COUNT && !closed;
            files[i] =
                (mill_repo_file){paths[i], (uint32_t)path, !last, &items[i], (const uint8_t *)names[i]};
        }
        cr_assert_eq(mill_repo_order(files, COUNT, order, &err), MILL_OK);
        for (uint32_t i = 0; i < COUNT; i++)
            cr_assert_eq(order[i], closed ? (i == 0 ? 0 : COUNT - i) : COUNT - 1 - i);
    }
}
