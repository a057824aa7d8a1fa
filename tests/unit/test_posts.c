// test_posts.c: sorting beyond memory, rows of Posts.xml and tags.
#include <criterion/criterion.h>
#include <string.h>

#include "simfs.h"
#include "source/posts.h"
#include "source/spill.h"

// ---- sorting

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

// Adds `count` rows of scattered keys and checks that they come back whole and in order.
static void expect_sorted(size_t memory_bytes, uint64_t count, bool spills)
{
    simfs *sim = simfs_create();
    mill_sorter *sorter;
    mill_sorted row;
    uint8_t data[64];
    const mill_spill_place place = {MILL_FS_CWD, "run-", memory_bytes};
    cr_assert_eq(mill_sorter_open(simfs_fs(sim), &place, &sorter, NULL), MILL_OK);
    for (uint64_t i = 0; i < count; i++) {
        memset(data, (int)(i % 251), sizeof data);
        const mill_sorted in = {mix(i) % 100, i, data, (size_t)(i % 61)};
        cr_assert_eq(mill_sorter_add(sorter, &in, NULL), MILL_OK);
    }
    cr_assert_eq(mill_sorter_sort(sorter, NULL), MILL_OK);
    uint64_t seen = 0, key = 0, sequence = 0;
    for (bool end = false;; seen++) {
        cr_assert_eq(mill_sorter_next(sorter, &row, &end, NULL), MILL_OK);
        if (end)
            break;
        cr_assert(seen == 0 || row.key > key || (row.key == key && row.sequence > sequence));
        key = row.key;
        sequence = row.sequence;
        cr_assert_eq(key, mix(sequence) % 100);
        cr_assert_eq(row.bytes, sequence % 61);
        for (size_t k = 0; k < row.bytes; k++)
            cr_assert_eq(row.data[k], sequence % 251);
    }
    cr_expect_eq(seen, count);
    cr_expect_eq(mill_sorter_spilled(sorter) != 0, spills);
    mill_sorter_close(sorter);
    cr_expect_eq(simfs_open_handles(sim), 0);
    char **names;
    size_t left;
    cr_assert_eq(mill_fs_list(simfs_fs(sim), MILL_FS_CWD, ".", &names, &left, NULL), MILL_OK);
    cr_expect_eq(left, 0, "%zu files are left", left);
    mill_fs_names_free(names, left);
    simfs_destroy(sim);
}

Test(posts, rows_come_sorted_from_memory_from_runs_and_from_runs_of_runs)
{
    expect_sorted(1 << 20, 0, false);
    expect_sorted(1 << 20, 1000, false);
    expect_sorted(1 << 14, 1000, true);  // a few runs
    expect_sorted(1 << 10, 20000, true); // more than a thousand, merged in several rounds
}

Test(posts, without_a_work_directory_only_little_is_sorted)
{
    simfs *sim = simfs_create();
    mill_sorter *sorter;
    mill_error err = {0};
    const mill_spill_place place = {MILL_FS_CWD, NULL, 256};
    cr_assert_eq(mill_sorter_open(simfs_fs(sim), &place, &sorter, NULL), MILL_OK);
    const mill_sorted row = {1, 1, (const uint8_t *)"abc", 3};
    cr_expect_eq(mill_sorter_add(sorter, &row, &err), MILL_OK);
    mill_status status = MILL_OK;
    for (uint64_t i = 2; i < 50 && status == MILL_OK; i++) {
        const mill_sorted more = {1, i, (const uint8_t *)"abc", 3};
        status = mill_sorter_add(sorter, &more, &err);
    }
    cr_expect_eq(status, MILL_RESOURCE);
    mill_sorter_close(sorter);
    simfs_destroy(sim);
}

// ---- rows

static mill_post_kind parse(const char *text, mill_buf *out, const char **problem)
{
    static const mill_qa_options options = {.form = MILL_QA_TEXT, .score_above = 5};
    mill_row_parser *parser;
    mill_post_kind kind;
    mill_buf_clear(out);
    cr_assert_eq(mill_row_parser_open(&parser, NULL), MILL_OK);
    cr_assert_eq(
        mill_row_parse(parser, (const uint8_t *)text, strlen(text), &options, 9, out, &kind, problem, NULL),
        MILL_OK);
    mill_row_parser_close(parser);
    return kind;
}

static bool text_is(const mill_post *post, mill_post_text part, const char *text)
{
    return post->head.bytes[part] == strlen(text) && memcmp(post->text[part], text, strlen(text)) == 0;
}

Test(posts, a_row_becomes_a_post)
{
    if (!mill_posts_supported())
        cr_skip_test("no XML parser in this build");
    mill_buf out = {0};
    const char *problem;
    size_t used;
    cr_assert_eq(parse("<row Id=\"7\" PostTypeId=\"1\" Score=\"-2\" Body=\"&lt;p&gt;a &amp;amp; b&#xA;\" "
                       "Title='A \"t\"' Tags=\"&lt;c#&gt;\""
                       " OwnerUserId=\"-1\" OwnerDisplayName=\"a/b\" ContentLicense=\"CC BY-SA 4.0\" />",
                       &out, &problem),
                 MILL_POST_QUESTION);
    mill_post post = mill_post_at(out.data, &used);
    cr_expect_eq(used, out.bytes);
    cr_expect(post.head.id == 7 && post.head.row == 9 && post.head.score == -2);
    cr_expect(text_is(&post, MILL_POST_BODY, "<p>a &amp; b\n") && text_is(&post, MILL_POST_TITLE, "A \"t\""));
    cr_expect(text_is(&post, MILL_POST_OWNER, "names/a_b") &&
              text_is(&post, MILL_POST_LICENCE, "cc-by-sa-4.0"));
    cr_expect_eq(
        parse("<row Id=\"8\" PostTypeId=\"2\" ParentId=\"7\" Score=\"6\" Body=\"x\"></row>", &out, &problem),
        MILL_POST_BAD);
    cr_expect_eq(
        parse("<row Id=\"8\" PostTypeId=\"2\" ParentId=\"7\" Score=\"6\" Body=\"x\">", &out, &problem),
        MILL_POST_ANSWER);
    cr_expect_eq(
        parse("<row Id=\"8\" PostTypeId=\"2\" ParentId=\"7\" Score=\"5\" Body=\"x\"/>", &out, &problem),
        MILL_POST_LOW);
    cr_expect_eq(parse("<row Id=\"8\" PostTypeId=\"2\" ParentId=\"7\" Body=\"x\"/>", &out, &problem),
                 MILL_POST_LOW);
    cr_expect_eq(parse("<row Id=\"8\" PostTypeId=\"5\"/>", &out, &problem), MILL_POST_OTHER);
    mill_buf_free(&out);
}

Test(posts, what_is_no_row_is_told)
{
    if (!mill_posts_supported())
        cr_skip_test("no XML parser in this build");
    static const char *const rows[] = {"<row PostTypeId=\"1\"/>",
                                       "<row Id=\"1\"/>",
                                       "<row Id=\"x\" PostTypeId=\"1\"/>",
                                       "<row Id=\"1\" PostTypeId=\"1\" Score=\"1.5\"/>",
                                       "<row Id=\"1\" Id=\"2\" PostTypeId=\"1\"/>",
                                       "<row Id=\"1\" PostTypeId=\"1\" Body=\"&a;\"/>",
                                       "<row Id=\"1\" PostTypeId=\"1\" Body=\"\xff\"/>",
                                       "<row Id=\"1\" PostTypeId=\"1\" Body=\"a",
                                       "<row Id=\"99999999999999999999\" PostTypeId=\"1\"/>",
                                       "<row Id=\"1\" PostTypeId=\"1\" Body=\"&#0;\"/>"};
    mill_buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *problem = NULL;
        cr_expect_eq(parse(rows[i], &out, &problem), MILL_POST_BAD, "%s", rows[i]);
        cr_expect_not_null(problem);
        cr_expect_eq(out.bytes, 0);
    }
    mill_buf_free(&out);
}

Test(posts, tags_of_both_notations_tell_the_language)
{
    static const struct {
        const char *tags, *language;
    } cases[] = {{"<python-3.x><pandas>", "python"},
                 {"|go|concurrency|", "go"},
                 {"<c++17>", "cpp"},
                 {"<jquery><css>", "css"},
                 {"<django>", "python"},
                 {"<.net><winforms>", "csharp"},
                 {"<java-8>", "java"},
                 {"<C#>", "csharp"}};
    mill_language_table *languages;
    cr_assert_eq(mill_language_table_create(&languages, NULL), MILL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int id = mill_tags_language(languages, (const uint8_t *)cases[i].tags, strlen(cases[i].tags));
        cr_assert_gt(id, 0, "%s", cases[i].tags);
        cr_expect_str_eq(mill_language_get(languages, (mill_language_id)id)->name, cases[i].language);
    }
    cr_expect_eq(mill_tags_language(languages, (const uint8_t *)"<closures><c", 0), -1);
    cr_expect_eq(mill_tags_language(languages, (const uint8_t *)"<closures>", 10), -1);
    mill_language_table_destroy(languages);
}
