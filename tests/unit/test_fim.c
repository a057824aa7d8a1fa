// test_fim.c: plans of fill-in-the-middle: spans are valid cuts of hostile text, draws depend on nothing but their key, and
// the guide's mode repeats CPython draw by draw.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/grammar.h"
#include "core/utf8.h"
#include "fim/fim.h"

enum { TEXT_MAX = 4096 };

static mill_language_table *languages;
static mill_language_id python_id, c_id;

static void set_up(void)
{
    mill_error err;
    cr_assert_eq(mill_language_table_create(&languages, &err), MILL_OK);
    python_id = (mill_language_id)mill_language_find(languages, "python");
    c_id = (mill_language_id)mill_language_find(languages, "c");
}

static void tear_down(void)
{
    mill_language_table_destroy(languages);
}

static mill_fim *open_fim(mill_fim_cut cut, uint32_t rate, uint32_t spm)
{
    mill_fim_options options = {.rate_permille = rate, .spm_permille = spm, .cut = cut, .min_chars = 2,
                                .block_lines_max = 40, .seed = 17};
    mill_fim *fim = NULL;
    mill_error err;
    cr_assert_eq(mill_fim_open(&options, languages, &fim, &err), MILL_OK, "%s", err.message);
    return fim;
}

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * bound >> 32);
}

// Text of code points of every length, line breaks of every kind, quotes, braces and indentation; often very short.
static size_t hostile_text(uint8_t *out)
{
    static const char *const parts[] = {"\n", "\n", "\r\n", "\r", "  ", "\t", "{", "}", "\"", "'", "\\", "//", "/*", "*/",
                                        "x", "def f():\n    ", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80", "\xe2\x80\xa8",
                                        "\xef\xbb\xbf", "\xcc\x81", "<|fim_middle|>", ";"};
    uint32_t wanted = draw(4) == 0 ? draw(6) : draw(200);
    size_t bytes = 0;
    for (uint32_t i = 0; i < wanted; i++) {
        const char *part = parts[draw(sizeof parts / sizeof parts[0])];
        memcpy(out + bytes, part, strlen(part));
        bytes += strlen(part);
    }
    return bytes;
}

// Token ends at any byte, inside code points too.
static size_t random_ends(size_t bytes, uint32_t *ends)
{
    size_t count = 0;
    for (size_t at = 0; at < bytes;) {
        at += 1 + draw(5);
        ends[count++] = (uint32_t)(at < bytes ? at : bytes);
    }
    return count;
}

static bool is_cut(const uint8_t *text, uint64_t bytes, uint64_t at)
{
    return at <= bytes && (at == bytes || (text[at] & 0xc0) != 0x80);
}

static void check_plan(const mill_fim_plan *plan, const uint8_t *text, uint64_t bytes)
{
    if (plan->mode == MILL_FIM_NONE) {
        cr_assert_eq(plan->span_count, 0u);
        return;
    }
    cr_assert(plan->span_count >= 1 && plan->span_count <= MILL_FIM_SPANS_MAX);
    cr_assert((plan->mode == MILL_FIM_SPANS) == (plan->span_count > 1));
    uint64_t at = 0;
    for (uint32_t i = 0; i < plan->span_count; i++) {
        cr_assert_leq(at, plan->begin[i]);
        cr_assert_leq(plan->begin[i], plan->end[i]);
        cr_assert(is_cut(text, bytes, plan->begin[i]) && is_cut(text, bytes, plan->end[i]));
        at = plan->end[i];
    }
    cr_assert_leq(at, bytes);
}

TestSuite(fim, .init = set_up, .fini = tear_down);

Test(fim, every_cut_of_hostile_text_lies_on_code_points_in_order)
{
    static uint8_t text[TEXT_MAX];
    static uint32_t ends[TEXT_MAX];
    for (int cut = 0; cut < MILL_FIM_CUT_COUNT; cut++) {
        mill_fim *fim = open_fim((mill_fim_cut)cut, 1000, 500);
        uint32_t transformed = 0;
        for (uint32_t i = 0; i < 4000; i++) {
            size_t bytes = hostile_text(text), tokens = random_ends(bytes, ends);
            mill_language_id language = i % 3 == 0 ? python_id : i % 3 == 1 ? c_id : MILL_LANGUAGE_OTHER;
            mill_fim_plan plan;
            mill_error err;
            uint8_t *exact = malloc(bytes + 1); // the sanitizer sees a read past the end
            memcpy(exact, text, bytes);
            exact = realloc(exact, bytes != 0 ? bytes : 1);
            cr_assert_eq(
                mill_fim_plan_piece(fim, (mill_key){i, (uint64_t)cut}, 0, language, exact, bytes, ends, tokens, &plan, &err),
                MILL_OK);
            check_plan(&plan, exact, bytes);
            cr_assert(plan.mode == MILL_FIM_NONE || mill_utf8_count(exact, bytes) >= 2);
            transformed += plan.mode != MILL_FIM_NONE;
            free(exact);
        }
        cr_assert_gt(transformed, 2000u, "%s", mill_fim_cut_names[cut]);
        mill_fim_close(fim);
    }
}

Test(fim, cuts_of_each_kind_lie_where_the_kind_says)
{
    static const char text[] = "one\n\ntwo three\r\n   \nfour";
    const uint64_t bytes = sizeof text - 1;
    mill_fim_plan plan;
    mill_error err;
    mill_fim *line = open_fim(MILL_FIM_LINE, 1000, 0), *completion = open_fim(MILL_FIM_LINE_COMPLETION, 1000, 0);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 500; i++) {
        cr_assert_eq(mill_fim_plan_piece(line, (mill_key){i, 0}, 0, 0, (const uint8_t *)text, bytes, NULL, 0, &plan, &err),
                     MILL_OK);
        cr_assert_eq(plan.mode, MILL_FIM_PSM);
        uint64_t places[2] = {plan.begin[0], plan.end[0]};
        for (int j = 0; j < 2; j++) {
            cr_assert(places[j] == 0 || places[j] == bytes || text[places[j] - 1] == '\n');
            seen |= 1u << places[j];
        }
        cr_assert_eq(
            mill_fim_plan_piece(completion, (mill_key){i, 0}, 0, 0, (const uint8_t *)text, bytes, NULL, 0, &plan, &err), MILL_OK);
        cr_assert_lt(plan.begin[0], plan.end[0]);
        cr_assert(plan.end[0] == 3 || plan.end[0] == 14 || plan.end[0] == bytes, "line break or blank line in the middle");
        cr_assert_null(memchr(text + plan.begin[0], '\n', plan.end[0] - plan.begin[0]));
    }
    cr_assert_eq(seen, 1u << 0 | 1u << 4 | 1u << 5 | 1u << 16 | 1u << 20 | 1u << 24, "a line position is never drawn");
    mill_fim_close(line);
    mill_fim_close(completion);
}

static void expect_block(mill_fim *fim, mill_language_id language, const char *text, const char *const *blocks)
{
    uint32_t seen = 0, count = 0;
    while (blocks[count] != NULL)
        count++;
    for (uint32_t i = 0; i < 300; i++) {
        mill_fim_plan plan;
        mill_error err;
        cr_assert_eq(mill_fim_plan_piece(fim, (mill_key){i, 9}, 0, language, (const uint8_t *)text, strlen(text), NULL, 0, &plan,
                                         &err), MILL_OK);
        uint32_t match = 0;
        while (match < count && (strlen(blocks[match]) != plan.end[0] - plan.begin[0] ||
                                 memcmp(text + plan.begin[0], blocks[match], strlen(blocks[match])) != 0))
            match++;
        cr_assert_lt(match, count, "not a block: %.*s", (int)(plan.end[0] - plan.begin[0]), text + plan.begin[0]);
        seen |= 1u << match;
    }
    cr_assert_eq(seen, (1u << count) - 1, "a block is never drawn");
}

static mill_language_id find_language(const char *name, mill_block_style blocks)
{
    int id = mill_language_find(languages, name);
    cr_assert_geq(id, 0);
    cr_assert_eq(mill_language_get(languages, (mill_language_id)id)->blocks, blocks);
    cr_assert_not(mill_grammar_known(name));
    return (mill_language_id)id;
}

Test(fim, blocks_without_a_grammar_are_indented_bodies_and_matched_braces)
{
    static const char *const bodies[] = {"    a\n\n    if b:\n        c\n        d", "        c\n        d", NULL};
    static const char *const braces[] = {"{\n  s = \"}\"; // }\n  if (x) {\n    y();\n  }\n}", "{\n    y();\n  }", NULL};
    mill_fim *fim = open_fim(MILL_FIM_BLOCK, 1000, 500);
    expect_block(fim, find_language("nim", MILL_BLOCKS_INDENT),
                 "proc f:\n    a\n\n    if b:\n        c\n        d\n\nproc g:\n    one\n", bodies);
    expect_block(fim, find_language("swift", MILL_BLOCKS_BRACES),
                 "} f() {\n  s = \"}\"; // }\n  if (x) {\n    y();\n  }\n}\ng() { one }\n", braces);
    mill_fim_close(fim);
}

Test(fim, blocks_of_a_grammar_are_its_nodes)
{
    if (!mill_grammar_known("python"))
        return;
    static const char *const blocks[] = {"def f():\n    a()\n    b()", "a()\n    b()", NULL};
    mill_fim *fim = open_fim(MILL_FIM_BLOCK, 1000, 500);
    expect_block(fim, python_id, "x = 1\ndef f():\n    a()\n    b()\ny = [\n    2,\n    3]\n", blocks);
    mill_fim_close(fim);
}

Test(fim, blocks_of_hostile_lines_take_linear_time, .timeout = 20)
{
    enum { BYTES = 2 << 20 };
    static const char *const units[] = {"\\'", "\"", "{", "}{", "/*", "'{", "\n ", " \n", "//"};
    uint8_t *text = malloc(BYTES);
    mill_fim *fim = open_fim(MILL_FIM_BLOCK, 1000, 500);
    const mill_language_id kinds[] = {find_language("swift", MILL_BLOCKS_BRACES), find_language("nim", MILL_BLOCKS_INDENT)};
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        const size_t period = strlen(units[u]);
        for (size_t i = 0; i < BYTES; i++)
            text[i] = (uint8_t)units[u][i % period];
        for (int kind = 0; kind < 2; kind++) {
            mill_fim_plan plan;
            mill_error err;
            cr_assert_eq(mill_fim_plan_piece(fim, (mill_key){u, 1}, 0, kinds[kind], text, BYTES, NULL, 0, &plan, &err),
                         MILL_OK);
            check_plan(&plan, text, BYTES);
        }
    }
    free(text);
    mill_fim_close(fim);
}

Test(fim, share_of_transformed_and_of_spm_and_the_spread_of_cuts_are_what_was_asked)
{
    enum { N = 20000 };
    mill_fim *fim = open_fim(MILL_FIM_CHAR, 300, 250);
    const char *text = "0123456789";
    uint32_t transformed = 0, spm = 0, places[11] = {0};
    for (uint32_t i = 0; i < N; i++) {
        mill_fim_plan plan;
        mill_error err;
        mill_key key = {i, 5};
        cr_assert_eq(mill_fim_plan_piece(fim, key, 3, 0, (const uint8_t *)text, 10, NULL, 0, &plan, &err), MILL_OK);
        cr_assert_eq(plan.mode != MILL_FIM_NONE, mill_fim_drawn(fim, key, 3));
        if (plan.mode == MILL_FIM_NONE)
            continue;
        transformed++;
        spm += plan.mode == MILL_FIM_SPM;
        places[plan.begin[0]]++;
        places[plan.end[0]]++;
    }
    cr_assert(transformed > 5600 && transformed < 6400, "%u", transformed); // 6000, sigma 65
    cr_assert(spm > 1300 && spm < 1700, "%u", spm);                         // 1500, sigma 34
    for (int i = 0; i < 11; i++)
        cr_assert(places[i] > 850 && places[i] < 1350, "place %d: %u", i, places[i]); // about 1091, sigma 32
    mill_fim_close(fim);
}

Test(fim, a_plan_depends_on_key_and_piece_and_not_on_earlier_calls)
{
    enum { N = 300 };
    static uint8_t text[N][TEXT_MAX];
    static size_t bytes[N];
    static mill_fim_plan forward[N], backward[N];
    for (int cut = 0; cut < MILL_FIM_CUT_COUNT; cut++) {
        mill_fim *a = open_fim((mill_fim_cut)cut, 500, 500), *b = open_fim((mill_fim_cut)cut, 500, 500);
        mill_error err;
        for (uint32_t i = 0; i < N; i++) {
            bytes[i] = hostile_text(text[i]);
            cr_assert_eq(mill_fim_plan_piece(a, (mill_key){i, 1}, i % 4, python_id, text[i], bytes[i], NULL, 0, &forward[i], &err),
                         MILL_OK);
        }
        for (uint32_t i = N; i-- > 0;)
            cr_assert_eq(mill_fim_plan_piece(b, (mill_key){i, 1}, i % 4, python_id, text[i], bytes[i], NULL, 0, &backward[i], &err),
                         MILL_OK);
        for (uint32_t i = 0; i < N; i++) {
            cr_assert_eq(forward[i].mode, backward[i].mode);
            cr_assert_arr_eq(forward[i].begin, backward[i].begin, sizeof forward[i].begin);
            cr_assert_arr_eq(forward[i].end, backward[i].end, sizeof forward[i].end);
        }
        mill_fim_close(a);
        mill_fim_close(b);
    }
}

Test(fim, pieces_of_one_record_are_drawn_independently)
{
    mill_fim *fim = open_fim(MILL_FIM_CHAR, 500, 500);
    uint32_t same = 0;
    for (uint32_t i = 0; i < 4000; i++)
        same += mill_fim_drawn(fim, (mill_key){i, 0}, 0) == mill_fim_drawn(fim, (mill_key){i, 0}, 1);
    cr_assert(same > 1800 && same < 2200, "%u", same);
    mill_fim_close(fim);
}

Test(fim, rate_0_never_and_rate_1000_always_transforms)
{
    for (uint32_t rate = 0; rate <= 1000; rate += 1000) {
        mill_fim *fim = open_fim(MILL_FIM_CHAR, rate, rate);
        for (uint32_t i = 0; i < 2000; i++) {
            mill_fim_plan plan;
            mill_error err;
            cr_assert_eq(mill_fim_plan_piece(fim, (mill_key){i, 0}, 0, 0, (const uint8_t *)"text", 4, NULL, 0, &plan, &err),
                         MILL_OK);
            cr_assert_eq(plan.mode, rate == 0 ? MILL_FIM_NONE : MILL_FIM_SPM);
        }
        mill_fim_close(fim);
    }
}

// random.Random(seed): per document "r = random(); r > 0.5: unchanged", then randint(1, n - 2) and randint(i + 1, n - 1).
Test(fim, python_mode_draws_what_cpython_draws)
{
    static const uint64_t lines[] = {1, 2, 3, 4, 10, 1000, 3, 3, 50, 123456};
    static const struct {
        uint64_t seed;
        uint64_t cuts[10][2];
    } cases[] = {
        {0, {{0, 0}, {0, 0}, {1, 2}, {2, 3}, {4, 9}, {144, 918}, {1, 2}, {1, 2}, {7, 30}, {80071, 122042}}},
        {1, {{0, 0}, {0, 0}, {0, 0}, {2, 3}, {7, 8}, {30, 945}, {0, 0}, {1, 2}, {15, 22}, {0, 0}}},
        {7, {{0, 0}, {0, 0}, {0, 0}, {1, 3}, {0, 0}, {0, 0}, {1, 2}, {1, 2}, {0, 0}, {74116, 82230}}},
        {12345, {{0, 0}, {0, 0}, {0, 0}, {2, 3}, {7, 8}, {896, 952}, {1, 2}, {1, 2}, {0, 0}, {26964, 121201}}},
        {1099511627779, {{0, 0}, {0, 0}, {1, 2}, {2, 3}, {0, 0}, {263, 749}, {1, 2}, {1, 2}, {0, 0}, {47269, 60822}}},
    };
    mill_fim_options options = {.rate_permille = 500, .cut = MILL_FIM_GUIDE};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        mill_mt19937 mt;
        mill_mt19937_seed_python(&mt, cases[c].seed);
        for (size_t i = 0; i < 10; i++) {
            mill_fim_mode mode;
            uint64_t first, second;
            mill_fim_draw_python(&options, &mt, lines[i], &mode, &first, &second);
            cr_assert_eq(first, cases[c].cuts[i][0], "seed %llu document %zu", (unsigned long long)cases[c].seed, i);
            cr_assert_eq(second, cases[c].cuts[i][1]);
            cr_assert_eq(mode, first != 0 ? MILL_FIM_PSM : MILL_FIM_NONE);
        }
    }
}

Test(fim, the_guides_plan_joins_lines_and_loses_exactly_two_newlines)
{
    const char *text = "l0\nl1\n\nl3\n";
    static const struct {
        uint64_t first, second, begin, end;
    } cases[] = {{1, 2, 3, 6}, {1, 4, 3, 10}, {2, 3, 6, 7}, {3, 4, 7, 10}, {0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mill_fim_plan plan;
        mill_fim_plan_lines((const uint8_t *)text, strlen(text), cases[i].first, cases[i].second, &plan);
        cr_assert_eq(plan.mode, cases[i].first != 0 ? MILL_FIM_PSM : MILL_FIM_NONE);
        cr_assert_eq(plan.guide, cases[i].first != 0);
        cr_assert_eq(plan.begin[0], cases[i].begin);
        cr_assert_eq(plan.end[0], cases[i].end);
        if (cases[i].first != 0)
            cr_assert(text[plan.begin[0] - 1] == '\n' && text[plan.end[0] - 1] == '\n' && plan.begin[0] < plan.end[0]);
    }
}

Test(fim, options_out_of_range_are_refused)
{
    mill_fim_options options = {.rate_permille = 1001, .cut = MILL_FIM_CHAR};
    mill_fim *fim = NULL;
    mill_error err;
    cr_assert_eq(mill_fim_open(&options, languages, &fim, &err), MILL_RECIPE);
    options = (mill_fim_options){.cut = MILL_FIM_CUT_COUNT};
    cr_assert_eq(mill_fim_open(&options, languages, &fim, &err), MILL_RECIPE);
    cr_assert_null(fim);
}
