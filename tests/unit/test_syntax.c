// test_syntax.c: grammars, blocks, and the syntax verdicts by tree-sitter and by python3.
#include "core/grammar.h"
#include "filter/syntax.h"
#include "filter/syntax_python.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static mill_error err;

#define OK(expression) cr_assert_eq((expression), MILL_OK, "%s", err.message)

static const struct sample {
    const char *language, *good, *broken;
} samples[] = {
    {"python", "def f(a):\n    return a + 1\n", "def f(a:\n    return a +\n"},
    {"javascript", "import a from 'b';\nconst f = (x) => x?.y ?? 1;\n", "const = (x => ;\n"},
    {"typescript", "interface A { b: string }\nlet x: A = <A>{b: 'c'};\n", "interface { b: : }\n"},
    {"java", "class A { int f(int a) { return a; } }\n", "class A { int f(int a { return ; }\n"},
    {"c", "int f(int a)\n{\n    return a;\n}\n", "int f(int a { return; ) }\n"},
    {"cpp", "template <class T> struct A { T a; };\n", "template <class struct A { T };;)\n"},
    {"csharp", "class A { int F(int a) => a; }\n", "class A { int F(int a => ; }\n"},
    {"go", "package a\n\nfunc f(a int) int { return a }\n", "package a\n\nfunc f(a int int { return a\n"},
    {"rust", "fn f(a: u32) -> u32 { a }\n", "fn f(a: u32 -> u32 { a ;;\n"},
    {"php", "<?php\nfunction f($a) { return $a; }\n", "<?php\nfunction f($a { return ; }\n"},
    {"bash", "f() {\n  if true; then echo \"$1\"; fi\n}\n", "f() {\n  if true; then echo \"$1\"\n}\n"},
    {"json", "{\"a\": [1, 2]}\n", "{\"a\": [1, 2}\n"},
};
enum { SAMPLES = sizeof samples / sizeof samples[0] };

static bool have_grammars(void)
{
    if (mill_syntax_has_grammar("python"))
        return true;
    cr_assert(!mill_syntax_has_grammar("c"));
    cr_skip_test("built without tree-sitter");
    return false;
}

static uint64_t errors_in(mill_grammar *grammar, const char *language, const void *text, uint64_t bytes,
                          mill_grammar_outcome *outcome)
{
    OK(mill_grammar_parse(grammar, language, text, bytes, mill_grammar_work_max(bytes), outcome, &err));
    return mill_grammar_error_bytes(grammar);
}

// ---- grammars

Test(grammar, every_language_tells_good_text_from_broken)
{
    if (!have_grammars())
        return;
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct sample *s = &samples[i];
        mill_grammar_outcome outcome;
        cr_expect_eq(errors_in(grammar, s->language, s->good, strlen(s->good), &outcome), 0, "%s: good text", s->language);
        cr_expect_eq(outcome, MILL_GRAMMAR_PARSED, "%s", s->language);
        const uint64_t errors = errors_in(grammar, s->language, s->broken, strlen(s->broken), &outcome);
        cr_expect(errors > 0 && errors <= strlen(s->broken), "%s: broken text has %llu", s->language, (unsigned long long)errors);
        cr_expect(strstr(mill_syntax_description(), s->language) != NULL);
    }
    mill_grammar_outcome outcome;
    cr_expect_eq(errors_in(grammar, "cobol", "x", 1, &outcome), 0);
    cr_expect_eq(outcome, MILL_GRAMMAR_NONE);
    mill_grammar_close(grammar);
}

Test(grammar, error_bytes_count_the_broken_part_only)
{
    if (!have_grammars())
        return;
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    mill_buf text = {0};
    for (int i = 0; i < 200; i++)
        OK(mill_buf_printf(&text, &err, "int f%d(int a)\n{\n    return a + %d;\n}\n", i, i));
    mill_grammar_outcome outcome;
    cr_assert_eq(errors_in(grammar, "java", "class A { int a = 1 }", 21, &outcome), 1, "one missing semicolon counts 1");
    OK(mill_buf_append_text(&text, "int @@@@ g;\n", &err));
    const uint64_t errors = errors_in(grammar, "c", text.data, text.bytes, &outcome);
    cr_assert(errors >= 4 && errors <= 12, "%llu", (unsigned long long)errors);
    mill_buf_free(&text);
    mill_grammar_close(grammar);
}

Test(grammar, dialects_are_read_by_the_grammar_that_fits)
{
    if (!have_grammars())
        return;
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    mill_grammar_outcome outcome;
    static const char tsx[] = "const a = <div title=\"x\">text <b>c</b></div>;\n";
    static const char cast[] = "const a = <string>b;\n";
    static const char header[] =
        "namespace a {\nclass B : public C {\n  public:\n    template <typename T> void f() const;\n};\n}\n";
    cr_expect_eq(errors_in(grammar, "typescript", tsx, sizeof tsx - 1, &outcome), 0);
    cr_expect_eq(errors_in(grammar, "typescript", cast, sizeof cast - 1, &outcome), 0);
    cr_expect_eq(errors_in(grammar, "c", header, sizeof header - 1, &outcome), 0);
    mill_grammar_close(grammar);
}

Test(grammar, hostile_text_ends_soon_and_the_parser_works_on, .timeout = 240)
{
    if (!have_grammars())
        return;
    enum { BIG = 1 << 20, DEEP = 100000, SOME = 20000 };
    uint8_t *garbage = malloc(BIG), *deep = malloc(DEEP), *zeros = calloc(1, DEEP);
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < BIG; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        garbage[i] = (uint8_t)state;
    }
    memset(deep, '(', DEEP);
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct sample *s = &samples[i];
        mill_grammar_outcome outcome;
        const uint64_t random_errors = errors_in(grammar, s->language, garbage, i == 0 ? BIG : SOME, &outcome);
        cr_expect(random_errors > 0 || outcome == MILL_GRAMMAR_GAVE_UP, "%s: garbage", s->language);
        const mill_grammar_span *blocks;
        size_t count;
        OK(mill_grammar_blocks(grammar, 1000, &blocks, &count, &err));
        cr_expect_leq(count, MILL_GRAMMAR_BLOCKS_MAX);
        errors_in(grammar, s->language, deep, DEEP, &outcome);
        OK(mill_grammar_blocks(grammar, 1000, &blocks, &count, &err));
        errors_in(grammar, s->language, zeros, SOME, &outcome);
        cr_expect_eq(errors_in(grammar, s->language, "", 0, &outcome), 0, "%s: empty", s->language);
        cr_expect_eq(errors_in(grammar, s->language, s->good, strlen(s->good), &outcome), 0, "%s: after garbage", s->language);
    }
    mill_grammar_close(grammar);
    free(garbage), free(deep), free(zeros);
}

// 40 KB of this once took the java grammar minutes.
Test(grammar, chain_of_arrows_is_given_up, .timeout = 60)
{
    if (!have_grammars())
        return;
    enum { ARROWS = 8000 };
    char *text = malloc(ARROWS * 5);
    for (int i = 0; i < ARROWS; i++)
        memcpy(text + 5 * i, "a => ", 5);
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    mill_grammar_outcome outcome;
    errors_in(grammar, "java", text, ARROWS * 5, &outcome);
    cr_expect_eq(outcome, MILL_GRAMMAR_GAVE_UP);
    errors_in(grammar, "java", text, 50, &outcome);
    cr_expect_eq(outcome, MILL_GRAMMAR_PARSED);
    mill_grammar_close(grammar);
    free(text);
}

Test(grammar, giving_up_depends_on_counted_work_alone)
{
    if (!have_grammars())
        return;
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    mill_buf text = {0};
    for (int i = 0; i < 5000; i++)
        OK(mill_buf_append_text(&text, "a = [1, 2, {'b': (3, 4)}]\n", &err));
    mill_grammar_outcome outcome;
    cr_assert_eq(errors_in(grammar, "python", text.data, text.bytes, &outcome), 0);
    const uint64_t work = mill_grammar_work(grammar);
    cr_assert_gt(work, 100);
    for (int again = 0; again < 3; again++) {
        OK(mill_grammar_parse(grammar, "python", text.data, text.bytes, work, &outcome, &err));
        cr_assert_eq(outcome, MILL_GRAMMAR_PARSED);
        cr_assert_eq(mill_grammar_work(grammar), work);
        OK(mill_grammar_parse(grammar, "python", text.data, text.bytes, work - 1, &outcome, &err));
        cr_assert_eq(outcome, MILL_GRAMMAR_GAVE_UP);
        cr_assert_eq(mill_grammar_error_bytes(grammar), 0, "no tree, no errors");
    }
    OK(mill_grammar_parse(grammar, "python", text.data, MILL_GRAMMAR_BYTES_MAX + 1, UINT64_MAX, &outcome, &err));
    cr_assert_eq(outcome, MILL_GRAMMAR_GAVE_UP);
    mill_buf_free(&text);
    mill_grammar_close(grammar);
}

// ---- blocks

static bool has_block(const mill_grammar_span *blocks, size_t count, const char *text, const char *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].end - blocks[i].begin == strlen(wanted) && memcmp(text + blocks[i].begin, wanted, strlen(wanted)) == 0)
            return true;
    }
    return false;
}

static void check_blocks(mill_grammar *grammar, const char *language, const char *text, uint32_t lines_max,
                         const mill_grammar_span **out, size_t *count)
{
    mill_grammar_outcome outcome;
    errors_in(grammar, language, text, strlen(text), &outcome);
    OK(mill_grammar_blocks(grammar, lines_max, out, count, &err));
    for (size_t i = 0; i < *count; i++) {
        const mill_grammar_span s = (*out)[i];
        uint32_t lines = 1;
        for (uint32_t at = s.begin; at < s.end; at++)
            lines += text[at] == '\n';
        cr_expect(s.begin < s.end && s.end <= strlen(text) && lines >= 2 && lines <= lines_max);
        cr_expect(i == 0 || s.begin > (*out)[i - 1].begin || (s.begin == (*out)[i - 1].begin && s.end > (*out)[i - 1].end));
        for (uint32_t at = s.begin; at > 0 && text[at - 1] != '\n'; at--)
            cr_expect(text[at - 1] == ' ' || text[at - 1] == '\t', "block %zu starts inside a line", i);
    }
}

Test(grammar, blocks_are_bodies_that_start_their_own_line)
{
    if (!have_grammars())
        return;
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    const mill_grammar_span *blocks;
    size_t count;
    static const char python[] = "import a\n\ndef f(b):\n    for c in b:\n        d(c)\n        e(c)\n    return 1\n";
    check_blocks(grammar, "python", python, 10, &blocks, &count);
    cr_expect(has_block(blocks, count, python, "def f(b):\n    for c in b:\n        d(c)\n        e(c)\n    return 1"));
    cr_expect(has_block(blocks, count, python, "for c in b:\n        d(c)\n        e(c)"));
    cr_expect(has_block(blocks, count, python, "d(c)\n        e(c)"));
    check_blocks(grammar, "python", python, 3, &blocks, &count);
    cr_expect(has_block(blocks, count, python, "for c in b:\n        d(c)\n        e(c)"));
    cr_expect(!has_block(blocks, count, python, "def f(b):\n    for c in b:\n        d(c)\n        e(c)\n    return 1"));

    static const char c[] = "int f(int a) {\r\n\tif (a) {\r\n\t\tg(a);\r\n\t\th(a);\r\n\t}\r\n\treturn a;\r\n}\r\n";
    check_blocks(grammar, "c", c, 10, &blocks, &count);
    cr_expect(has_block(blocks, count, c, "if (a) {\r\n\t\tg(a);\r\n\t\th(a);\r\n\t}"));
    cr_expect(has_block(blocks, count, c, "g(a);\r\n\t\th(a);"));
    cr_expect(has_block(blocks, count, c, "if (a) {\r\n\t\tg(a);\r\n\t\th(a);\r\n\t}\r\n\treturn a;"));
    mill_grammar_close(grammar);
}

Test(grammar, many_blocks_are_capped)
{
    if (!have_grammars())
        return;
    mill_grammar *grammar;
    OK(mill_grammar_open(&grammar, &err));
    mill_buf text = {0};
    for (int i = 0; i < 6000; i++)
        OK(mill_buf_append_text(&text, "if a:\n  b\n", &err));
    OK(mill_buf_append(&text, "", 1, &err));
    const mill_grammar_span *blocks;
    size_t count;
    check_blocks(grammar, "python", (const char *)text.data, 50, &blocks, &count);
    cr_assert_eq(count, MILL_GRAMMAR_BLOCKS_MAX);
    mill_buf_free(&text);
    mill_grammar_close(grammar);
}

// ---- verdicts

static mill_syntax_result verdict(mill_syntax *syntax, const mill_language_table *languages, const char *language, const char *text)
{
    mill_syntax_result result;
    OK(mill_syntax_check(syntax, (mill_language_id)mill_language_find(languages, language), (const uint8_t *)text, strlen(text),
                         &result, &err));
    return result;
}

Test(syntax, limits_are_shares_by_language)
{
    if (!have_grammars())
        return;
    mill_language_table *languages;
    OK(mill_language_table_create(&languages, &err));
    const mill_syntax_options options = {
        .mode = MILL_SYNTAX_TREE_SITTER, .limits = {{"python", 0}, {"java", 100}, {"c", -1}}, .limit_count = 3};
    mill_syntax *syntax;
    OK(mill_syntax_open(&options, languages, &syntax, &err));
    cr_expect(verdict(syntax, languages, "python", "a = 1\n").passed);
    mill_syntax_result result = verdict(syntax, languages, "python", "a = (1\n");
    cr_expect(result.judged && !result.passed && result.error_bytes > 0 && result.limit_permille == 0);
    result = verdict(syntax, languages, "java", "class A { int a = 1 }"); // 1 of 21 bytes
    cr_expect(result.judged && result.passed && result.error_bytes == 1 && result.limit_permille == 100);
    result = verdict(syntax, languages, "java", "@@@@ ]]]");
    cr_expect(result.judged && !result.passed);
    result = verdict(syntax, languages, "c", "@@@@ ]]]");
    cr_expect(!result.judged && result.passed, "switched off");
    result = verdict(syntax, languages, "go", "@@@@ ]]]");
    cr_expect(!result.judged && result.passed, "no limit given");
    result = verdict(syntax, languages, "python", "");
    cr_expect(result.judged && result.passed, "empty");
    mill_syntax_close(syntax);
    mill_language_table_destroy(languages);
}

// ---- python3

static mill_python_answer answer_to(mill_python *python, const char *text, size_t bytes)
{
    mill_python_answer answer;
    OK(mill_python_check(python, (const uint8_t *)text, bytes, &answer, &err));
    return answer;
}

static mill_python *open_python(void)
{
    mill_python *python;
    mill_python_answer answer;
    OK(mill_python_open(NULL, 60000, &python, &err));
    if (mill_python_check(python, (const uint8_t *)"", 0, &answer, &err) != MILL_OK) {
        mill_python_close(python);
        cr_skip_test("no python3 here");
    }
    return python;
}

Test(python, answers_what_ast_parse_says)
{
    static const struct {
        const char *text;
        size_t bytes;
        bool accepted;
    } cases[] = {
        {"", 0, true},
        {"a = 1\n", 6, true},
        {"a = = 1\n", 8, false},
        {"print 'a'\n", 10, false},
        {"\x1a", 1, false},
        {"a\0b", 3, false},
        {"\xef\xbb\xbf"
         "a = 1\n",
         9, false},
        {"a = '\\d'\n", 9, true},
        {"a\r\nb\rc", 6, true},
        {"# coding: latin-1\n\xc3\xa9 = 1\n", 25, true},
        {"\f\na = 1\n", 8, true},
        {"a = '\xff'\n", 8, false},
        {"assert (a, 'b')\n", 16, true},
        {"a is 1\n", 7, true},
    };
    mill_python *python = open_python();
    const pid_t child = mill_python_child(python);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(answer_to(python, cases[i].text, cases[i].bytes) == MILL_PYTHON_ACCEPTED, cases[i].accepted, "case %zu", i);
    cr_assert_eq(mill_python_child(python), child, "one child for all");
    mill_python_close(python);
}

Test(python, deep_and_large_text_is_answered)
{
    mill_python *python = open_python();
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP + 1);
    memset(text, '(', DEEP), memset(text + DEEP, ')', DEEP);
    cr_expect_eq(answer_to(python, text, 2 * DEEP), MILL_PYTHON_REFUSED);
    memset(text, '-', DEEP), text[DEEP] = '1';
    cr_expect_eq(answer_to(python, text, DEEP + 1), MILL_PYTHON_REFUSED);
    for (int i = 0; i < DEEP; i++)
        memcpy(text + 2 * i, "1+", 2);
    text[2 * DEEP] = '1';
    cr_expect_eq(answer_to(python, text, 2 * DEEP + 1), MILL_PYTHON_REFUSED, "recursion while the tree is built");
    memset(text, '\n', 2 * DEEP);
    cr_expect_eq(answer_to(python, text, 2 * DEEP), MILL_PYTHON_ACCEPTED, "and works on");
    free(text);
    mill_python_close(python);
}

Test(python, killed_child_is_replaced)
{
    mill_python *python = open_python();
    const pid_t first = mill_python_child(python);
    cr_assert_eq(kill(first, SIGKILL), 0);
    cr_expect_eq(answer_to(python, "a = 1\n", 6), MILL_PYTHON_ACCEPTED);
    cr_expect_neq(mill_python_child(python), first);
    kill(mill_python_child(python), SIGKILL);
    cr_expect_eq(answer_to(python, "a = = 1\n", 8), MILL_PYTHON_REFUSED);
    kill(mill_python_child(python), SIGINT);
    cr_expect_eq(answer_to(python, "a = 1\n", 6), MILL_PYTHON_ACCEPTED, "an interrupt changes no verdict");
    mill_python_close(python);
}

// An interpreter that greets and then does `tail` to every question.
static mill_python *open_fake(const char *tail, uint64_t timeout_ms, char *path)
{
    strcpy(path, "/tmp/mill-syntax-XXXXXX");
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    dprintf(fd, "#!/bin/sh\nprintf mill%%-28s 3.0\nhead -c 8 >/dev/null\n%s\n", tail);
    cr_assert_eq(fchmod(fd, 0700), 0);
    close(fd);
    mill_python *python;
    OK(mill_python_open(path, timeout_ms, &python, &err));
    return python;
}

Test(python, text_that_ends_two_interpreters_is_refused)
{
    char path[64];
    mill_python *python = open_fake("exit 1", 0, path);
    cr_expect_eq(answer_to(python, "a", 1), MILL_PYTHON_REFUSED);
    cr_expect_eq(mill_python_child(python), -1);
    mill_python_close(python);
    unlink(path);
    python = open_fake("printf 'zz'; sleep 60", 0, path);
    cr_expect_eq(answer_to(python, "a", 1), MILL_PYTHON_REFUSED, "an unreadable answer");
    mill_python_close(python);
    unlink(path);
}

Test(python, silent_interpreter_gives_no_verdict)
{
    char path[64];
    mill_python *python = open_fake("sleep 60", 200, path);
    cr_expect_eq(answer_to(python, "a", 1), MILL_PYTHON_TIMEOUT);
    mill_python_close(python);
    unlink(path);
}

Test(python, missing_interpreter_is_a_resource_error_with_advice)
{
    mill_python *python;
    mill_python_answer answer;
    OK(mill_python_open("no-such-python", 0, &python, &err));
    cr_expect_eq(mill_python_check(python, (const uint8_t *)"a", 1, &answer, &err), MILL_RESOURCE);
    cr_expect(strstr(err.message, "no-such-python") != NULL && strstr(err.message, "filter.syntax") != NULL, "%s", err.message);
    mill_python_close(python);
    OK(mill_python_open("true", 0, &python, &err));
    cr_expect_eq(mill_python_check(python, (const uint8_t *)"a", 1, &answer, &err), MILL_RESOURCE);
    mill_python_close(python);
}

Test(python, only_python_is_judged)
{
    mill_python_close(open_python());
    mill_language_table *languages;
    OK(mill_language_table_create(&languages, &err));
    const mill_syntax_options options = {.mode = MILL_SYNTAX_CPYTHON};
    mill_syntax *syntax;
    OK(mill_syntax_open(&options, languages, &syntax, &err));
    mill_syntax_result result = verdict(syntax, languages, "javascript", "]]]");
    cr_expect(!result.judged && result.passed);
    result = verdict(syntax, languages, "python", "]]]");
    cr_expect(result.judged && !result.passed);
    result = verdict(syntax, languages, "python", "a = 1");
    cr_expect(result.judged && result.passed);
    mill_syntax_close(syntax);
    mill_language_table_destroy(languages);
}
