// test_language.c: names, aliases, paths, and names that come from data.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "record/batch.h"
#include "record/language_table.h"

static mill_language_table *open_table(void)
{
    mill_language_table *table;
    cr_assert_eq(mill_language_table_create(&table, NULL), MILL_OK);
    return table;
}

static const char *interned(mill_language_table *table, const char *name)
{
    return mill_language_get(table, mill_language_intern(table, name, strlen(name)))->name;
}

static const char *of_path(mill_language_table *table, const char *path)
{
    return mill_language_get(table, mill_language_from_path(table, path, strlen(path)))->name;
}

Test(language, the_thirteen_names_of_the_corpus_are_fixed)
{
    mill_language_table *t = open_table();
    const char *names[] = {"python", "javascript", "typescript", "java", "c",   "cpp",  "csharp",
                           "go",     "rust",       "php",        "bash", "sql", "other"};
    for (size_t i = 0; i < 13; i++)
        cr_expect_str_eq(interned(t, names[i]), names[i]);
    cr_expect_eq(mill_language_intern(t, "other", 5), MILL_LANGUAGE_OTHER);
    cr_expect_eq(mill_language_count(t), mill_language_builtin_count);
    cr_expect_geq(mill_language_builtin_count, 120);
    mill_language_table_destroy(t);
}

Test(language, spellings_of_the_data_sets_give_one_name)
{
    mill_language_table *t = open_table();
    const char *pairs[][2] = {{"C++", "cpp"},
                              {"c-sharp", "csharp"},
                              {"C#", "csharp"},
                              {"Shell", "bash"},
                              {"sh", "bash"},
                              {"zsh", "bash"},
                              {"Python", "python"},
                              {"JavaScript", "javascript"},
                              {"GO", "go"},
                              {"FORTRAN", "fortran"},
                              {"Visual Basic", "visual-basic"},
                              {"Emacs Lisp", "emacs-lisp"},
                              {" Jupyter Notebook\n", "jupyter-notebook"},
                              {"Protocol Buffer", "protocol-buffer"},
                              {"reStructuredText", "restructuredtext"},
                              {"Objective-C", "objective-c"},
                              {"F#", "fsharp"},
                              {"f-sharp", "fsharp"},
                              {"TypeScript", "typescript"},
                              {"PLpgSQL", "sql"},
                              {"java-server-pages", "java-server-pages"},
                              {"Visual Basic .NET", "visual-basic"},
                              {"Batchfile", "batchfile"},
                              {"Standard ML", "standard-ml"},
                              {"tsx", "typescript"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        cr_expect_str_eq(interned(t, pairs[i][0]), pairs[i][1], "%s", pairs[i][0]);
    mill_language_table_destroy(t);
}

Test(language, every_language_of_the_stack_has_an_entry)
{
    static const char *const stack[] = {"ada",
                                        "agda",
                                        "alloy",
                                        "antlr",
                                        "applescript",
                                        "assembly",
                                        "augeas",
                                        "awk",
                                        "batchfile",
                                        "bison",
                                        "bluespec",
                                        "c",
                                        "c++",
                                        "c-sharp",
                                        "clojure",
                                        "cmake",
                                        "coffeescript",
                                        "common-lisp",
                                        "css",
                                        "cuda",
                                        "dart",
                                        "dockerfile",
                                        "elixir",
                                        "elm",
                                        "emacs-lisp",
                                        "erlang",
                                        "f-sharp",
                                        "fortran",
                                        "glsl",
                                        "go",
                                        "groovy",
                                        "haskell",
                                        "html",
                                        "idris",
                                        "isabelle",
                                        "java",
                                        "java-server-pages",
                                        "javascript",
                                        "julia",
                                        "kotlin",
                                        "lean",
                                        "literate-agda",
                                        "literate-coffeescript",
                                        "literate-haskell",
                                        "lua",
                                        "makefile",
                                        "maple",
                                        "markdown",
                                        "mathematica",
                                        "matlab",
                                        "ocaml",
                                        "pascal",
                                        "perl",
                                        "php",
                                        "powershell",
                                        "prolog",
                                        "protocol-buffer",
                                        "python",
                                        "r",
                                        "racket",
                                        "restructuredtext",
                                        "rmarkdown",
                                        "ruby",
                                        "rust",
                                        "sas",
                                        "scala",
                                        "scheme",
                                        "shell",
                                        "smalltalk",
                                        "solidity",
                                        "sparql",
                                        "sql",
                                        "stan",
                                        "standard-ml",
                                        "stata",
                                        "systemverilog",
                                        "tcl",
                                        "tcsh",
                                        "tex",
                                        "thrift",
                                        "typescript",
                                        "verilog",
                                        "vhdl",
                                        "visual-basic",
                                        "xslt",
                                        "yacc",
                                        "zig"};
    mill_language_table *t = open_table();
    for (size_t i = 0; i < sizeof stack / sizeof stack[0]; i++)
        cr_expect_geq(mill_language_find(t, stack[i]), 1, "%s", stack[i]);
    mill_language_table_destroy(t);
}

Test(language, built_in_names_are_unique_and_well_formed)
{
    mill_language_table *t = open_table();
    for (uint32_t i = 0; i < mill_language_builtin_count; i++) {
        const char *name = mill_language_builtin[i].name;
        cr_expect_eq(mill_language_find(t, name), (int)i, "%s", name);
        cr_expect_leq(strlen(name), 32);
        cr_expect_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+#_.-"), strlen(name));
        cr_expect_lt(mill_language_builtin[i].data_type, MILL_TYPE_COUNT);
        for (const char *const *e = mill_language_builtin[i].extensions; *e != NULL; e++)
            cr_expect_leq(strlen(*e), 24);
        for (const char *const *a = mill_language_builtin[i].aliases; *a != NULL; a++) {
            int owner = mill_language_find(t, *a);
            cr_expect_eq(owner, (int)i, "alias %s of %s belongs to another language", *a, name);
        }
    }
    mill_language_table_destroy(t);
}

Test(language, paths_give_languages_by_file_name_then_by_longest_extension)
{
    mill_language_table *t = open_table();
    const char *pairs[][2] = {{"a/b.py", "python"},
                              {"x.C", "cpp"},
                              {"x.c", "c"},
                              {"x.h", "c"},
                              {"a.b/Makefile", "makefile"},
                              {"CMakeLists.txt", "cmake"},
                              {"notes.txt", "text"},
                              {"doc.rst.txt", "restructuredtext"},
                              {"Dockerfile", "dockerfile"},
                              {"a.ipynb", "jupyter-notebook"},
                              {"FOO.SQL", "sql"},
                              {".py", "other"},
                              {"py", "other"},
                              {"a/", "other"},
                              {"", "other"},
                              {"x.", "other"},
                              {"x.py.", "other"},
                              {"x.unknown", "other"},
                              {"x.py.unknown", "other"},
                              {".bashrc", "bash"},
                              {"x.cs", "csharp"},
                              {"x.tsx", "typescript"},
                              {"dir.py/file", "other"},
                              {"a.tar.d.ts", "typescript"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        cr_expect_str_eq(of_path(t, pairs[i][0]), pairs[i][1], "%s", pairs[i][0]);
    static char dots[1 << 20]; // must not be quadratic
    memset(dots, '.', sizeof dots);
    cr_expect_eq(mill_language_from_path(t, dots, sizeof dots), MILL_LANGUAGE_OTHER);
    mill_language_table_destroy(t);
}

Test(language, unknown_names_are_added_and_hostile_ones_are_other)
{
    mill_language_table *t = open_table();
    cr_expect_str_eq(interned(t, "My  Lang 2"), "my-lang-2");
    mill_language_id id = mill_language_intern(t, "MY LANG 2", 9);
    cr_expect_geq(id, mill_language_builtin_count);
    cr_expect_eq(mill_language_intern(t, "my-lang-2", 9), id);
    cr_expect_null(mill_language_get(t, id)->extensions[0]);
    uint32_t count = mill_language_count(t);
    const char *bad[] = {"",
                         "   ",
                         "../etc",
                         "a..b",
                         "a/b",
                         "-x",
                         ".x",
                         "+",
                         "\x1b[31m",
                         "caf\xc3\xa9",
                         "a\x01",
                         "<|x|>",
                         "abcdefghijklmnopqrstuvwxyz0123456",
                         "c\"d"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(mill_language_intern(t, bad[i], strlen(bad[i])), MILL_LANGUAGE_OTHER, "case %zu", i);
    cr_expect_eq(mill_language_intern(t, "a\0b", 3), MILL_LANGUAGE_OTHER);
    cr_expect_eq(mill_language_count(t), count);
    cr_expect_eq(mill_language_find(t, "no such language"), -1);
    cr_expect_eq(mill_language_count(t), count);
    mill_language_table_destroy(t);
}

Test(language, the_table_stops_at_4096_names_and_pointers_stay_valid)
{
    mill_language_table *t = open_table();
    mill_language_id first = mill_language_intern(t, "zz-first", 8);
    const mill_language *kept = mill_language_get(t, first);
    for (int i = 0; i < 5000; i++) {
        char name[16];
        mill_language_intern(t, name, (size_t)snprintf(name, sizeof name, "zz%d", i));
    }
    cr_expect_eq(mill_language_count(t), 4096);
    cr_expect_eq(mill_language_intern(t, "zz-late", 7), MILL_LANGUAGE_OTHER);
    cr_expect_eq(mill_language_get(t, first), kept);
    cr_expect_str_eq(kept->name, "zz-first");
    mill_language_table_destroy(t);
}

static void *intern_many(void *context)
{
    mill_language_table *t = context;
    for (int i = 0; i < 2000; i++) {
        char name[16];
        int bytes = snprintf(name, sizeof name, "t%d", i % 500);
        mill_language_id id = mill_language_intern(t, name, (size_t)bytes);
        if (strcmp(mill_language_get(t, id)->name, name) != 0)
            return t;
    }
    return NULL;
}

Test(language, threads_that_add_the_same_names_get_the_same_entries)
{
    mill_language_table *t = open_table();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, intern_many, t), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        cr_expect_null(failed);
    }
    cr_expect_eq(mill_language_count(t), mill_language_builtin_count + 500);
    mill_language_table_destroy(t);
}

Test(language, running_out_of_memory_is_an_error_without_leaks)
{
    for (uint64_t n = 0; n < 4; n++) {
        mill_language_table *t = NULL;
        mill_alloc_fail_after(n);
        mill_status status = mill_language_table_create(&t, NULL);
        mill_alloc_fail_after(UINT64_MAX);
        cr_expect_eq(status, MILL_NOMEM);
        cr_expect_null(t);
    }
}
