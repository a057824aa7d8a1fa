// parity_grammar.c: a grammar with a wide parse table (core/grammar_tables.h) makes the trees that the grammar as generated
// makes, of good programs and of damaged ones. Argument: the first seed.
#include "core/grammar_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tree_sitter/api.h>

// clang-format off
#define PROGRAM_MAP(X)                                                                             \
    X(bash, \
      "f() {\n" \
      "  if test -n \"$1\"; then\n" \
      "    echo \"${1%.*}\" | sed 's/a/b/' >> out\n" \
      "  fi\n" \
      "  for i in a b; do g $i; done\n" \
      "}\n") \
    X(c, \
      "#define A(x) ((x) + 1)\n" \
      "static int f(const char *a, struct b *c)\n" \
      "{\n" \
      "    while (*a++ != '\\0')\n" \
      "        c->d[A(2)] += 3;\n" \
      "    return 0;\n" \
      "}\n") \
    X(cpp, \
      "template <class T> struct A : B {\n" \
      "    T a = [&](auto x) { return x<3>(4); }(1);\n" \
      "    virtual ~A() noexcept override;\n" \
      "};\n") \
    X(c_sharp, \
      "class A<T> where T : new() {\n" \
      "  int F(int a) => a switch { 1 => 2, _ => throw new E() };\n" \
      "  public string S { get; init; }\n" \
      "}\n") \
    X(go, \
      "package a\n" \
      "\n" \
      "func (r *R) f(a int, b ...string) (n int, err error) {\n" \
      "\tgo func() { c <- a }()\n" \
      "\tfor i := range b {\n" \
      "\t\tn += i\n" \
      "\t}\n" \
      "\treturn\n" \
      "}\n") \
    X(java, \
      "class A<T extends B> {\n" \
      "  @Override int f(int a) { for (int i : list) a += i; return a > 1 ? a : (int) 2L; }\n" \
      "}\n") \
    X(javascript, \
      "import a from 'b';\n" \
      "class C extends D { #x = `t${a}`; async f(...r) { return await r?.y ?? /re[/]/g; } }\n" \
      "label: for (const x of y) { a = <b c={d}/>; }\n") \
    X(json, \
      "{\"a\": [1, 2.5e3, null], \"b\": {\"c\": \"\\u0041\"}}\n") \
    X(php, \
      "<?php\n" \
      "function f(?A $a, ...$b): int { return $a?->x ?? \"s {$b[0]}\"; }\n" \
      "?>\n" \
      "<p><?= 1 ?></p>\n") \
    X(python, \
      "@d\n" \
      "async def f(a, *b: int, c=3):\n" \
      "    with x as y:\n" \
      "        return f'{a!r:>{c}}' if a else [i for i in b]\n" \
      "    match a:\n" \
      "        case {'k': v}:\n" \
      "            pass\n") \
    X(rust, \
      "impl<'a, T: Trait> A<'a, T> {\n" \
      "    fn f(&mut self) -> Result<u32, E> { match self.x { Some(ref y) if *y > 1 => g!(y), _ => Ok(1..=2) } }\n" \
      "}\n") \
    X(typescript, \
      "interface A<T> { b?: string; readonly [k: string]: T }\n" \
      "let x: A<number> = <A<number>>{b: 'c'};\n" \
      "export enum E { F = 1 }\n") \
    X(tsx, \
      "const f = <T,>(p: T) => <a b={p as any}>{...c}text</a>;\n" \
      "type M = { [K in keyof T]-?: T[K] };\n")
// clang-format on
#define DECLARE(symbol, text) const TSLanguage *tree_sitter_##symbol(void);
PROGRAM_MAP(DECLARE)

static const struct program {
    const char *name;
    const TSLanguage *(*language)(void);
    const char *text;
} programs[] = {
#define PROGRAM(symbol, text) {#symbol, tree_sitter_##symbol, text},
    PROGRAM_MAP(PROGRAM)
};
enum { PROGRAMS = sizeof programs / sizeof programs[0], ROUNDS = 150, ROOM = 16384 };

static uint64_t draw(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// A program of several good parts, hurt in up to three places.
static uint32_t hurt_program(const struct program *p, uint64_t *random, char *text)
{
    static const char *const pieces[] = {"(",  ")",  "{",   "}", "[",  ";", ",", "\"", "'", "`", "=",
                                         "=>", "if", "\n", "#", "//", "<", ":", "0x", "\\"};
    size_t bytes = 0, parts = 1 + draw(random) % 20;
    for (size_t i = 0; i < parts; i++)
        bytes += (size_t)snprintf(text + bytes, ROOM - bytes, "%s\n", p->text);
    for (uint64_t places = draw(random) % 4; places > 0 && bytes > 16; places--) {
        size_t at = draw(random) % bytes, gone = draw(random) % 12;
        gone = gone < bytes - at ? gone : bytes - at;
        const char *piece = draw(random) % 3 == 0 ? "" : pieces[draw(random) % (sizeof pieces / sizeof pieces[0])];
        size_t come = strlen(piece);
        memmove(text + at + come, text + at + gone, bytes - at - gone);
        memcpy(text + at, piece, come);
        bytes += come - gone;
    }
    return (uint32_t)bytes;
}

// The whole tree as text, errors and missing tokens included; malloc'd.
static char *tree_of(const TSLanguage *language, const char *text, uint32_t bytes)
{
    TSParser *parser = ts_parser_new();
    if (!ts_parser_set_language(parser, language))
        abort();
    TSTree *tree = ts_parser_parse_string(parser, NULL, text, bytes);
    char *out = ts_node_string(ts_tree_root_node(tree));
    ts_tree_delete(tree);
    ts_parser_delete(parser);
    return out;
}

static bool compare(const struct program *p, const TSLanguage *wide, uint64_t seed, uint64_t *broken)
{
    static char text[ROOM];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t random = seed * 1000003 + round;
        uint32_t bytes = hurt_program(p, &random, text);
        char *wanted = tree_of(p->language(), text, bytes), *found = tree_of(wide, text, bytes);
        bool same = strcmp(wanted, found) == 0;
        *broken += strstr(wanted, "ERROR") != NULL || strstr(wanted, "MISSING") != NULL;
        free(wanted);
        free(found);
        if (!same) {
            printf("FAILED %s, seed %llu, round %llu: another tree of\n%.*s\n", p->name, (unsigned long long)seed,
                   (unsigned long long)round, (int)bytes, text);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, broken = 0;
    size_t widened = 0, failed = 0;
    for (size_t i = 0; i < PROGRAMS; i++) {
        TSLanguage *wide = mill_grammar_widen(programs[i].language());
        if (wide == NULL)
            continue;
        widened++;
        failed += !compare(&programs[i], wide, seed, &broken);
        mill_free(wide);
    }
    printf("%zu of %d grammars have wide tables, %llu of the texts were broken, %zu failed\n", widened, PROGRAMS,
           (unsigned long long)broken, failed);
    return failed == 0 && widened > 8 && broken > 300 ? 0 : 1;
}
