// test_source.c: arguments -> inputs, bytes -> blocks -> records, and every kind of record that cannot be read.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "bad/bad_lines.h"
#include "bad/nested_parquet.h"
#include "source/source_internal.h"

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/test_source_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void drop_folder(void)
{
    cr_expect_eq(mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, folder, NULL), MILL_OK);
}

TestSuite(source, .init = make_folder, .fini = drop_folder);

static const char *in_folder(const char *name)
{
    static char paths[8][256];
    static size_t turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *put(const char *name, const void *data, size_t bytes)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
    return path;
}

static const char *put_text(const char *name, const char *text)
{
    return put(name, text, strlen(text));
}

static void make_directory(const char *name)
{
    cr_assert_eq(mkdir(in_folder(name), 0755), 0);
}

typedef struct result {
    mill_language_table *languages;
    mill_source *source;
    mill_batch batch;
    mill_quarantine quarantine;
    mill_parse_counts counts[16];
    uint64_t blocks;
    mill_status status;
    mill_error err;
} result;

static mill_source_options default_options(void)
{
    return (mill_source_options){.record_bytes_max = 64 << 20, .block_bytes = 1 << 20};
}

static void read_blocks(result *r)
{
    mill_block block = {0};
    mill_parser *parser;
    cr_assert_eq(mill_parser_open(r->source, &parser, NULL), MILL_OK);
    for (bool end = false; r->status == MILL_OK;) {
        r->status = mill_source_next(r->source, &block, &end, &r->err);
        if (r->status != MILL_OK || end)
            break;
        cr_expect_eq(block.unit, r->blocks++);
        r->status = mill_source_parse(parser, &block, &r->batch, &r->quarantine, r->counts, &r->err);
    }
    mill_parser_close(parser);
    mill_block_free(&block);
}

static result read_with(const mill_source_options *options, size_t count, const char *const *arguments)
{
    result r = {0};
    cr_assert_eq(mill_language_table_create(&r.languages, NULL), MILL_OK);
    mill_batch_init(&r.batch);
    r.status = mill_source_open(mill_fs_posix(), arguments, count, options, r.languages, &r.source, &r.err);
    if (r.status == MILL_OK)
        read_blocks(&r);
    return r;
}

static result read_one(const mill_source_options *options, const char *argument)
{
    return read_with(options, 1, &argument);
}

static void free_result(result *r)
{
    for (size_t i = 0; r->source != NULL && r->status == MILL_OK && i < mill_source_input_count(r->source); i++) {
        const mill_input_info *info = mill_source_input(r->source, i);
        cr_expect(info->done);
        cr_expect_eq(info->records, r->counts[i].read, "%s: reader counted %d, parser %d", info->name, (int)info->records,
                     (int)r->counts[i].read);
    }
    mill_batch_free(&r->batch);
    mill_quarantine_free(&r->quarantine);
    mill_source_close(r->source);
    mill_language_table_destroy(r->languages);
}

static bool content_is(const result *r, uint32_t i, const char *text, size_t bytes)
{
    uint64_t have;
    const uint8_t *content = mill_batch_text(&r->batch, i, &have);
    return have == bytes && memcmp(content, text, bytes) == 0;
}

static bool meta_is(const result *r, mill_span span, const char *text)
{
    return span.bytes == strlen(text) && memcmp(mill_batch_meta(&r->batch, span), text, span.bytes) == 0;
}

#define EXPECT_CONTENT(r, i, text) \
    do { \
        cr_assert_lt((uint32_t)(i), (r)->batch.count); \
        cr_expect(content_is((r), (i), (text), sizeof(text) - 1), "record %u is not %s", (unsigned)(i), (text)); \
    } while (0)

static const char *language_name(const result *r, uint32_t i)
{
    return mill_language_get(r->languages, r->batch.language[i])->name;
}

// All that came out, as text, so that two readings can be compared.
static mill_buf fingerprint(const result *r)
{
    mill_buf out = {0};
    for (uint32_t i = 0; i < r->batch.count; i++) {
        uint64_t bytes;
        const uint8_t *content = mill_batch_text(&r->batch, i, &bytes);
        cr_assert_eq(mill_buf_printf(&out, NULL, "%u:%llu stars %lld %s %.*s %.*s %.*s ", r->batch.input[i],
                                     (unsigned long long)r->batch.record[i], (long long)r->batch.stars[i], language_name(r, i),
                                     (int)r->batch.repo[i].bytes, mill_batch_meta(&r->batch, r->batch.repo[i]),
                                     (int)r->batch.path[i].bytes, mill_batch_meta(&r->batch, r->batch.path[i]),
                                     (int)r->batch.licence[i].bytes, mill_batch_meta(&r->batch, r->batch.licence[i])),
                     MILL_OK);
        cr_assert_eq(mill_buf_append_json(&out, content, bytes, NULL), MILL_OK);
        cr_assert_eq(mill_buf_append(&out, "\n", 1, NULL), MILL_OK);
    }
    for (uint32_t input = 0; input < 16; input++) // rows in the order of the whole source, whatever block they came in
        for (size_t i = 0; i < r->quarantine.count; i++) {
            const mill_quarantined *q = &r->quarantine.rows[i];
            if (q->input == input)
                cr_assert_eq(mill_buf_printf(&out, NULL, "%u:%llu @%llu+%llu %s %s %s\n", q->input,
                                             (unsigned long long)q->record, (unsigned long long)q->offset,
                                             (unsigned long long)q->length, mill_quarantine_name(q->reason), q->detail,
                                             q->path != NULL ? q->path : "-"),
                             MILL_OK);
        }
    const mill_parse_counts *c = r->counts;
    cr_assert_eq(mill_buf_printf(&out, NULL, "%llu %llu %llu %llu %llu %llu\n", (unsigned long long)c->read,
                                 (unsigned long long)c->quarantined, (unsigned long long)c->replaced_surrogates,
                                 (unsigned long long)c->stripped_heads, (unsigned long long)c->stripped_bom,
                                 (unsigned long long)c->missing_stars),
                 MILL_OK);
    return out;
}

// ---- lines

Test(source, records_of_every_preset_are_read)
{
    const char *path = put_text(
        "a.jsonl",
        "{\"content\":\"x=1\",\"language\":\"Python\",\"repo\":\"o/r\",\"path\":\"a.py\",\"stars\":5}\n"
        "{\"content\":\"y\",\"lang\":\"C++\",\"ext\":\"cc\",\"max_stars_repo_name\":\"s/t\",\"max_stars_repo_path\":\"b.cc\","
        "\"max_stars_count\":2.0,\"max_stars_repo_licenses\":[\"MIT\",\"Apache-2.0\"]}\n"
        "{\"code\":\"z\",\"repo_name\":\"g/h\",\"path\":\"c.go\",\"language\":\"GO\",\"license\":\"mit\",\"size\":1}\n"
        "{\"content\":\"w\",\"max_stars_repo_path\":\"d.rs\",\"max_stars_repo_name\":\"p/"
        "q\",\"max_stars_count\":null,\"id\":\"9\"}\n"
        "{\"content\":\"v\",\"size\":\"12\",\"repo_name\":\"b/q\",\"path\":\"e/"
        "Makefile\",\"license\":{\"list\":[{\"item\":\"bsd\"}]},\"stars\":\"12\"}\n"
        "{\"content\":\"u\",\"ext\":\"lua\",\"license\":[{\"item\":\"a\"},{\"element\":\"b\"},null]}");
    mill_source_options options = default_options();
    result r = read_one(&options, path);
    cr_assert_eq(r.status, MILL_OK);
    cr_assert_eq(r.batch.count, 6);
    const char *languages[] = {"python", "cpp", "go", "rust", "makefile", "lua"};
    const char *repos[] = {"o/r", "s/t", "g/h", "p/q", "b/q", ""};
    const char *licences[] = {"", "MIT,Apache-2.0", "mit", "", "bsd", "a,b"};
    int64_t stars[] = {5, 2, -1, -1, 12, -1};
    for (uint32_t i = 0; i < 6; i++) {
        cr_expect_str_eq(language_name(&r, i), languages[i]);
        cr_expect(meta_is(&r, r.batch.repo[i], repos[i]), "repo %u", i);
        cr_expect(meta_is(&r, r.batch.licence[i], licences[i]), "licence %u", i);
        cr_expect_eq(r.batch.stars[i], stars[i], "stars %u", i);
        cr_expect_eq(r.batch.record[i], i + 1);
        cr_expect_eq(r.batch.type[i], MILL_TYPE_SOURCE);
    }
    EXPECT_CONTENT(&r, 2, "z");
    cr_expect_eq(r.counts[0].missing_stars, 3);
    cr_expect_eq(r.counts[0].read, 6);
    cr_expect_str_eq(mill_source_input(r.source, 0)->name, "a.jsonl");
    free_result(&r);
}

Test(source, stars_come_in_many_shapes)
{
    static const struct {
        const char *json;
        int64_t stars;
    } cases[] = {{"0", 0},
                 {"2", 2},
                 {"2.0", 2},
                 {"2.9", 2},
                 {"\"12\"", 12},
                 {"\" 12 \"", 12},
                 {"\"12.00\"", 12},
                 {"1e3", 1000},
                 {"null", -1},
                 {"-1", -1},
                 {"-0.5", -1},
                 {"NaN", -1},
                 {"Infinity", -1},
                 {"true", -1},
                 {"{}", -1},
                 {"[3]", -1},
                 {"\"\"", -1},
                 {"\"x\"", -1},
                 {"\"1.5\"", -1},
                 {"\"-1\"", -1},
                 {"9223372036854775807", INT64_MAX},
                 {"18446744073709551615", INT64_MAX},
                 {"99999999999999999999", INT64_MAX},
                 {"\"99999999999999999999\"", INT64_MAX},
                 {"1e300", INT64_MAX}};
    mill_buf text = {0};
    size_t count = sizeof cases / sizeof cases[0];
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(mill_buf_printf(&text, NULL, "{\"content\":\"\",\"stars\":%s}\n", cases[i].json), MILL_OK);
    mill_source_options options = default_options();
    result r = read_one(&options, put("s.jsonl", text.data, text.bytes));
    cr_assert_eq(r.batch.count, count);
    for (uint32_t i = 0; i < count; i++)
        cr_expect_eq(r.batch.stars[i], cases[i].stars, "%s gave %lld", cases[i].json, (long long)r.batch.stars[i]);
    mill_buf_free(&text);
    free_result(&r);
}

Test(source, every_bad_line_is_quarantined_by_its_reason)
{
    mill_buf text = {0};
    for (size_t i = 0; i < bad_line_count; i++) {
        cr_assert_eq(mill_buf_append(&text, bad_lines[i].text, bad_lines[i].bytes, NULL), MILL_OK);
        cr_assert_eq(mill_buf_append(&text, "\n{\"content\":\"good\"}\n", 20, NULL), MILL_OK);
    }
    mill_source_options options = default_options();
    result r = read_one(&options, put("bad.jsonl", text.data, text.bytes));
    cr_assert_eq(r.status, MILL_OK);
    cr_assert_geq(bad_line_count, 40);
    cr_expect_eq(r.batch.count, bad_line_count); // the good neighbours all survive
    cr_assert_eq(r.quarantine.count, bad_line_count);
    for (size_t i = 0; i < bad_line_count; i++) {
        const mill_quarantined *q = &r.quarantine.rows[i];
        cr_expect_eq(q->record, 2 * i + 1);
        cr_expect_eq(q->length, bad_lines[i].bytes);
        cr_expect_eq(memcmp(text.data + q->offset, bad_lines[i].text, bad_lines[i].bytes), 0);
        cr_expect_str_eq(mill_quarantine_name(q->reason), bad_lines[i].reason, "%s: %s", bad_lines[i].text, q->detail);
        for (const char *c = q->detail; *c != '\0'; c++)
            cr_expect((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
    mill_buf_free(&text);
    free_result(&r);
}

Test(source, blank_lines_crlf_bom_and_a_missing_last_newline_are_fine)
{
    static const char text[] =
        "\xef\xbb\xbf{\"content\":\"a\"}\r\n\r\n   \n\t\n{\"content\":\"b\\u0000c\"}\r\n{\"content\":\"d\"}";
    mill_source_options options = default_options();
    result r = read_one(&options, put("b.ndjson", text, sizeof text - 1));
    cr_assert_eq(r.batch.count, 3);
    EXPECT_CONTENT(&r, 0, "a");
    EXPECT_CONTENT(&r, 1, "b\0c");
    EXPECT_CONTENT(&r, 2, "d");
    cr_expect_eq(r.batch.record[1], 5);
    cr_expect_eq(r.batch.record[2], 6);
    cr_expect_eq(r.counts[0].stripped_bom, 1);
    cr_expect_eq(r.counts[0].read, 3);
    free_result(&r);
}

Test(source, lone_surrogates_are_replaced_dropped_or_refused)
{
    const char *path = put_text("s.jsonl", "{\"content\":\"a\\ud800b\\udc00\\ud83d\\ude00\\\\ud800\"}\n{\"content\":"
                                           "\"\\ud83d\\ude00\"}\n{\"content\":\"\\ud83d\\ud83d\\ude00\"}\n");
    mill_source_options options = default_options();
    result r = read_one(&options, path);
    cr_assert_eq(r.batch.count, 3);
    EXPECT_CONTENT(&r, 0,
                   "a\xef\xbf\xbd"
                   "b\xef\xbf\xbd\xf0\x9f\x98\x80\\ud800");
    EXPECT_CONTENT(&r, 2, "\xef\xbf\xbd\xf0\x9f\x98\x80");
    cr_expect_eq(r.counts[0].replaced_surrogates, 3);
    free_result(&r);
    options.bad_unicode = MILL_UNICODE_DROP;
    r = read_one(&options, path);
    cr_expect_eq(r.batch.count, 1);
    cr_assert_eq(r.quarantine.count, 2);
    cr_expect_eq(r.quarantine.rows[0].reason, MILL_QUARANTINE_LONE_SURROGATE);
    cr_expect_eq(r.counts[0].replaced_surrogates, 0);
    free_result(&r);
    options.bad_unicode = MILL_UNICODE_ERROR;
    r = read_one(&options, path);
    cr_expect_eq(r.status, MILL_INPUT);
    cr_expect_not_null(strstr(r.err.message, "s.jsonl"));
    free_result(&r);
}

Test(source, the_last_duplicate_key_wins_and_null_counts_as_absent)
{
    const char *path =
        put_text("d.jsonl", "{\"content\":\"a\",\"content\":\"b\"}\n{\"content\":\"a\",\"content\":null}\n"
                            "{\"content\":null,\"code\":\"c\"}\n{\"repo\":null,\"repo_name\":\"n\",\"content\":\"d\"}\n");
    mill_source_options options = default_options();
    result r = read_one(&options, path);
    cr_assert_eq(r.batch.count, 3);
    EXPECT_CONTENT(&r, 0, "b");
    EXPECT_CONTENT(&r, 1, "c");
    cr_expect(meta_is(&r, r.batch.repo[2], "n"));
    cr_expect_eq(r.quarantine.rows[0].reason, MILL_QUARANTINE_NO_CONTENT);
    free_result(&r);
}

Test(source, columns_can_be_named_and_presets_restrict_them)
{
    const char *path =
        put_text("f.jsonl", "{\"content\":\"a\",\"body\":\"b\",\"code\":\"c\",\"lang\":\"go\",\"where\":\"x.py\"}\n");
    mill_source_options options = default_options();
    options.field[MILL_FIELD_CONTENT] = "body";
    options.field[MILL_FIELD_LANGUAGE] = "none-such";
    options.field[MILL_FIELD_PATH] = "where";
    result r = read_one(&options, path);
    EXPECT_CONTENT(&r, 0, "b");
    cr_expect_str_eq(language_name(&r, 0), "python");
    free_result(&r);
    options = default_options();
    options.preset = "starcoderdata";
    r = read_one(&options, path);
    cr_expect_str_eq(language_name(&r, 0), "other");
    free_result(&r);
    options.preset = "nonsense";
    r = read_one(&options, path);
    cr_expect_eq(r.status, MILL_USAGE);
    free_result(&r);
}

Test(source, a_dotted_path_reaches_into_objects)
{
    const char *path = put_text(
        "p.jsonl",
        "{\"a\":{\"b\":{\"c\":\"deep\"}},\"m\":{\"lang\":\"go\",\"l\":[\"mit\",\"bsd\"],\"n\":7}}\n"
        "{\"a.b.c\":\"own\",\"a\":{\"b\":{\"c\":\"deep\"}}}\n{\"a.b\":{\"c\":\"longest\"},\"a\":{\"b.c\":"
        "\"other\",\"b\":1}}\n"
        "{\"a.b\":{\"d\":1},\"a\":{\"b\":{\"c\":\"behind\"}},\"m\":{}}\n"
        "{\"a\":{\"b\":{\"c\":\"first\"}},\"a\":{\"b\":{\"c\":\"last\"}}}\n"
        "{\"a\":{\"b\":{\"c\":\"first\"}},\"a\":{\"b\":2}}\n{\"a\":[{\"b\":{\"c\":\"listed\"}}]}\n{\"a\":{"
        "\"b\":{\"c\":null}}}\n"
        "{\"a\":{\"b\":{\"c\":{}}}}\n{\"c\":\"x\",\"b\":\"x\",\"a\":\"x\",\"\":\"x\",\"content\":\"x\"}\n");
    mill_source_options options = default_options();
    options.field[MILL_FIELD_CONTENT] = "a.b.c";
    options.field[MILL_FIELD_LANGUAGE] = "m.lang";
    options.field[MILL_FIELD_LICENCE] = "m.l";
    options.field[MILL_FIELD_STARS] = "m.n";
    result r = read_one(&options, path);
    const char *wanted[] = {"deep", "own", "longest", "behind", "last"};
    cr_assert_eq(r.batch.count, 5);
    for (uint32_t i = 0; i < 5; i++)
        cr_expect(content_is(&r, i, wanted[i], strlen(wanted[i])), "record %u is not %s", i, wanted[i]);
    cr_expect_str_eq(language_name(&r, 0), "go");
    cr_expect(meta_is(&r, r.batch.licence[0], "mit,bsd"));
    cr_expect(r.batch.stars[0] == 7 && r.batch.stars[1] == MILL_STARS_MISSING);
    cr_assert_eq(r.quarantine.count, 5);
    for (size_t i = 0; i < 5; i++)
        cr_expect_eq(r.quarantine.rows[i].reason,
                     i == 3 ? MILL_QUARANTINE_CONTENT_TYPE : MILL_QUARANTINE_NO_CONTENT);
    free_result(&r);
}

Test(source, metadata_heads_are_stripped_on_request_only)
{
    static const char text[] =
        "{\"content\":\"<reponame>o/n<filename>a/b.py<gh_stars>10-100\\nx=1\\n\"}\n{\"content\":\"<gh_stars>0\\ny\"}\n"
        "{\"content\":\"<filename>a</filename>\\nz\"}\n{\"content\":\"<reponame>q/"
        "r\\nw\",\"repo\":\"own\"}\n{\"content\":\"<reponame>q/r\"}\n";
    const char *path = put("h.jsonl", text, sizeof text - 1);
    mill_source_options options = default_options();
    options.strip_metadata_head = true;
    result r = read_one(&options, path);
    cr_assert_eq(r.batch.count, 5);
    EXPECT_CONTENT(&r, 0, "x=1\n");
    EXPECT_CONTENT(&r, 1, "y");
    EXPECT_CONTENT(&r, 2, "<filename>a</filename>\nz");
    EXPECT_CONTENT(&r, 3, "w");
    EXPECT_CONTENT(&r, 4, "<reponame>q/r");
    cr_expect(meta_is(&r, r.batch.repo[0], "o/n") && meta_is(&r, r.batch.path[0], "a/b.py"));
    cr_expect(meta_is(&r, r.batch.repo[3], "own"));
    cr_expect_str_eq(language_name(&r, 0), "python");
    cr_expect_eq(r.counts[0].stripped_heads, 3);
    free_result(&r);
    options.strip_metadata_head = false;
    r = read_one(&options, path);
    EXPECT_CONTENT(&r, 1, "<gh_stars>0\ny");
    free_result(&r);
}

Test(source, the_data_type_follows_the_language_unless_given)
{
    const char *path = put_text("t.jsonl", "{\"content\":\"\",\"path\":\"a.md\"}\n{\"content\":\"\",\"path\":\"a.py\"}\n{"
                                           "\"content\":\"\",\"path\":\"a.ipynb\"}\n");
    mill_source_options options = default_options();
    result r = read_one(&options, path);
    cr_expect(r.batch.type[0] == MILL_TYPE_DOCS && r.batch.type[1] == MILL_TYPE_SOURCE &&
              r.batch.type[2] == MILL_TYPE_NOTEBOOK);
    free_result(&r);
    options.type = MILL_TYPE_CONTEST;
    options.type_given = true;
    r = read_one(&options, path);
    cr_expect(r.batch.type[0] == MILL_TYPE_CONTEST && r.batch.type[1] == MILL_TYPE_CONTEST);
    free_result(&r);
}

// ---- blocks

Test(source, any_block_size_gives_the_same_records)
{
    mill_buf text = {0};
    cr_assert_eq(mill_buf_append_text(&text, "\xef\xbb\xbf", NULL), MILL_OK);
    for (int i = 0; i < 60; i++) {
        cr_assert_eq(mill_buf_printf(&text, NULL, "{\"content\":\"%0*d\",\"stars\":%d}%s", i * 7 % 90 + 1, i, i,
                                     i % 5 == 0 ? "\r\n" : "\n"),
                     MILL_OK);
        if (i % 7 == 0)
            cr_assert_eq(mill_buf_append_text(&text, i % 2 == 0 ? "\n" : "broken\n  \n", NULL), MILL_OK);
        if (i % 20 == 5)
            cr_assert_eq(mill_buf_printf(&text, NULL, "{\"content\":\"%0*d\"}\n", i * 50, 0), MILL_OK); // over the limit
        if (i == 33)
            cr_assert_eq(mill_buf_printf(&text, NULL, "%*s\n", 500, ""), MILL_OK); // blank, but over the limit
    }
    cr_assert_eq(mill_buf_printf(&text, NULL, "{\"content\":\"%0*d\"}", 300, 0), MILL_OK);
    const char *paths[2] = {put("a.jsonl", text.data, text.bytes), put("b.jsonl", text.data, text.bytes - 250)};
    mill_source_options options = default_options();
    options.record_bytes_max = 120;
    result first = read_with(&options, 2, paths);
    mill_buf want = fingerprint(&first);
    cr_expect_eq(first.blocks, 1);
    cr_expect_gt(first.quarantine.count, 10);
    for (uint64_t block = 1; block < text.bytes + 10; block = block < 300 ? block + 1 : block * 5 / 4) {
        options.block_bytes = block;
        result r = read_with(&options, 2, paths);
        mill_buf have = fingerprint(&r);
        cr_assert(have.bytes == want.bytes && memcmp(have.data, want.data, want.bytes) == 0, "block of %d bytes:\n%s\nnot\n%s",
                  (int)block, (char *)have.data, (char *)want.data);
        mill_buf_free(&have);
        free_result(&r);
    }
    mill_buf_free(&want);
    mill_buf_free(&text);
    free_result(&first);
}

Test(source, a_line_over_the_limit_is_quarantined_without_being_held)
{
    size_t long_bytes = 30 << 20;
    char *text = malloc(long_bytes + 100);
    size_t head = (size_t)sprintf(text, "{\"content\":\"a\"}\n");
    memset(text + head, 'x', long_bytes);
    strcpy(text + head + long_bytes, "\n{\"content\":\"b\"}\n");
    const char *path = put_text("l.jsonl", "");
    FILE *f = fopen(path, "wb");
    fwrite(text, 1, head + long_bytes + 17, f);
    fclose(f);
    free(text);
    mill_source_options options = default_options();
    options.record_bytes_max = 1 << 20;
    result r = {0};
    cr_assert_eq(mill_language_table_create(&r.languages, NULL), MILL_OK);
    cr_assert_eq(mill_source_open(mill_fs_posix(), &path, 1, &options, r.languages, &r.source, NULL), MILL_OK);
    mill_block block = {0};
    bool end = false;
    while (!end)
        cr_assert_eq(mill_source_next(r.source, &block, &end, NULL), MILL_OK);
    cr_expect_leq(block.bytes.capacity, 8 << 20);
    mill_block_free(&block);
    mill_source_close(r.source);
    mill_language_table_destroy(r.languages);
    r = read_one(&options, path);
    cr_expect_eq(r.batch.count, 2);
    cr_expect_eq(r.batch.record[1], 3);
    cr_assert_eq(r.quarantine.count, 1);
    const mill_quarantined *q = &r.quarantine.rows[0];
    cr_expect(q->reason == MILL_QUARANTINE_TOO_LONG && q->record == 2 && q->offset == head && q->length == long_bytes);
    free_result(&r);
}

Test(source, deep_and_wide_lines_end_soon_whatever_their_size)
{
    size_t bytes = 8 << 20;
    char *text = malloc(2 * bytes + 64);
    memset(text, '[', bytes);
    text[bytes] = '\n';
    size_t at = bytes + 1 + (size_t)sprintf(text + bytes + 1, "{\"content\":\"wide\",\"a\":[");
    while (at < 2 * bytes) {
        text[at++] = '0';
        text[at++] = ',';
    }
    at += (size_t)sprintf(text + at, "0]}\n");
    mill_source_options options = default_options();
    result r = read_one(&options, put("deep.jsonl", text, at));
    cr_expect_eq(r.batch.count, 1); // 4 M values: legal, if within the memory of the longest record
    cr_assert_eq(r.quarantine.count, 1);
    cr_expect_eq(r.quarantine.rows[0].reason, MILL_QUARANTINE_TOO_DEEP);
    free_result(&r);
    options.record_bytes_max = bytes + 1000;
    r = read_one(&options, in_folder("deep.jsonl"));
    cr_expect_eq(r.batch.count, 0);
    cr_assert_eq(r.quarantine.count, 2);
    cr_expect_eq(r.quarantine.rows[1].reason, MILL_QUARANTINE_BAD_JSON);
    free_result(&r);
    free(text);
}

// ---- containers

static size_t gzip(const char *text, size_t bytes, uint8_t *out, size_t room)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)text;
    z.avail_in = (unsigned)bytes;
    z.next_out = out;
    z.avail_out = (unsigned)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t made = z.total_out;
    deflateEnd(&z);
    return made;
}

Test(source, gzip_members_and_zstd_frames_are_one_stream)
{
    static uint8_t packed[4096];
    const char *first = "{\"content\":\"a\"}\n{\"cont", *second = "ent\":\"b\"}\n";
    size_t n = gzip(first, strlen(first), packed, sizeof packed);
    n += gzip(second, strlen(second), packed + n, sizeof packed - n);
    const char *paths[3];
    paths[0] = put("g.jsonl.gz", packed, n);
    n = ZSTD_compress(packed, sizeof packed, first, strlen(first), 3);
    n += ZSTD_compress(packed + n, sizeof packed - n, second, strlen(second), 3);
    paths[1] = put("z.jsonl.zst", packed, n);
    paths[2] = put("disguised.json", packed, n);
    mill_source_options options = default_options();
    result r = read_with(&options, 3, paths);
    cr_assert_eq(r.status, MILL_OK);
    cr_expect_eq(r.batch.count, 6);
    cr_expect_eq(r.quarantine.count, 0);
    free_result(&r);
}

Test(source, a_damaged_stream_keeps_what_came_before_and_says_where)
{
    mill_buf text = {0};
    for (int i = 0; i < 20000; i++)
        cr_assert_eq(mill_buf_printf(&text, NULL, "{\"content\":\"%d %d\"}\n", i, i * 7919 % 10007), MILL_OK);
    uint8_t *packed = malloc(text.bytes + 1000);
    size_t n = gzip((char *)text.data, text.bytes, packed, text.bytes + 1000);
    const char *path = put("cut.jsonl.gz", packed, n / 2);
    mill_source_options options = default_options();
    mill_buf want = {0};
    for (options.block_bytes = 1 << 20; options.block_bytes > 100; options.block_bytes /= 9) {
        result r = read_one(&options, path);
        cr_assert_eq(r.status, MILL_OK);
        cr_assert_gt(r.batch.count, 1000);
        cr_assert_eq(r.quarantine.count, 1);
        const mill_quarantined *q = &r.quarantine.rows[0];
        cr_expect_eq(q->reason, MILL_QUARANTINE_DAMAGED_STREAM);
        cr_expect_eq(q->record, r.batch.count + 1);
        cr_expect_eq(memcmp(text.data + q->offset, "{\"content\"", 10), 0);
        cr_expect_eq(r.counts[0].read, r.batch.count + 1);
        mill_buf have = fingerprint(&r);
        if (want.data == NULL) {
            want = have;
        } else {
            cr_expect(have.bytes == want.bytes && memcmp(have.data, want.data, want.bytes) == 0);
            mill_buf_free(&have);
        }
        free_result(&r);
    }
    mill_buf_free(&want);
    mill_buf_free(&text);
    free(packed);
}

Test(source, standard_input_is_an_input)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    static const char text[] = "{\"content\":\"from a pipe\"}\n{\"content\":\"2\"}";
    cr_assert_eq(write(ends[1], text, sizeof text - 1), (ssize_t)(sizeof text - 1));
    close(ends[1]);
    dup2(ends[0], 0);
    mill_source_options options = default_options();
    result r = read_one(&options, "-");
    cr_assert_eq(r.status, MILL_OK);
    cr_assert_eq(r.batch.count, 2);
    EXPECT_CONTENT(&r, 0, "from a pipe");
    cr_expect_str_eq(mill_source_input(r.source, 0)->name, "-");
    cr_expect_eq(mill_source_input(r.source, 0)->file_bytes, 0);
    free_result(&r);
}

// ---- arguments

Test(source, a_missing_argument_is_refused_by_name)
{
    mill_source_options options = default_options();
    result r = read_one(&options, in_folder("nowhere.jsonl"));
    cr_expect_eq(r.status, MILL_INPUT);
    cr_expect_not_null(strstr(r.err.message, "nowhere.jsonl"));
    free_result(&r);
    r = read_one(&options, "");
    cr_expect_eq(r.status, MILL_INPUT);
    free_result(&r);
}

Test(source, a_file_of_another_kind_is_refused_unless_forced)
{
    const char *program = put_text("main.dat", "print(1)\n"), *script = put_text("main.py", "print(1)\n"),
               *lines = put_text("records.dat", "\n  {\"content\":\"x\"}\n");
    mill_source_options options = default_options();
    result r = read_one(&options, program);
    cr_expect_eq(r.status, MILL_INPUT);
    cr_expect_not_null(strstr(r.err.message, "--input-format"));
    free_result(&r);
    r = read_one(&options, script); // known by its name: one record
    cr_expect_eq(r.batch.count, 1);
    free_result(&r);
    r = read_one(&options, lines);
    cr_expect_eq(r.batch.count, 1);
    free_result(&r);
    options.format = "jsonl";
    r = read_one(&options, program);
    cr_expect_eq(r.status, MILL_OK);
    cr_expect_eq(r.quarantine.count, 1);
    free_result(&r);
    options.format = "tree";
    r = read_one(&options, program);
    cr_expect_eq(r.status, MILL_INPUT);
    free_result(&r);
    options.format = "parquet"; // refused as no Parquet, or for want of a reader
    r = read_one(&options, program);
    cr_expect_eq(r.status, MILL_INPUT);
    free_result(&r);
    options.format = "csv";
    r = read_one(&options, program);
    cr_expect_eq(r.status, MILL_USAGE);
    free_result(&r);
}

Test(source, a_directory_of_record_files_expands_in_bytewise_order)
{
    make_directory("d");
    make_directory("d/sub");
    make_directory("d/.hidden");
    put_text("d/b.jsonl", "{\"content\":\"3\"}\n");
    put_text("d/a-b.json", "{\"content\":\"1\"}\n");
    put_text("d/sub/z.ndjson", "{\"content\":\"4\"}\n");
    put_text("d/a.json", "{\"content\":\"2\"}\n");
    put_text("d/.DS_Store", "hidden");
    put_text("d/.hidden/x.py", "hidden");
    mill_source_options options = default_options();
    const char *arguments[2] = {in_folder("d/"), in_folder("d/b.jsonl")};
    result r = read_with(&options, 2, arguments);
    cr_assert_eq(r.status, MILL_OK);
    cr_assert_eq(mill_source_input_count(r.source), 5);
    const char *names[] = {"d/a-b.json", "d/a.json", "d/b.jsonl", "d/sub/z.ndjson", "b.jsonl"};
    for (size_t i = 0; i < 5; i++)
        cr_expect_str_eq(mill_source_input(r.source, i)->name, names[i]);
    EXPECT_CONTENT(&r, 0, "1");
    EXPECT_CONTENT(&r, 3, "4");
    cr_expect_eq(r.batch.input[4], 4);
    cr_expect_eq(r.blocks, 1); // small files share a block
    cr_expect_str_eq(mill_source_input(r.source, 2)->sha256, mill_source_input(r.source, 4)->sha256);
    free_result(&r);
}

Test(source, inputs_of_one_name_are_told_apart)
{
    make_directory("p");
    make_directory("q");
    put_text("p/a.jsonl", "{\"content\":\"1\"}\n");
    put_text("q/a.jsonl", "{\"content\":\"2\"}\n");
    put_text("q/a.jsonl#2", "{\"content\":\"3\"}\n");
    const char *arguments[4] = {in_folder("p/a.jsonl"), in_folder("q/a.jsonl"), in_folder("q/a.jsonl#2"),
                                in_folder("p/a.jsonl")};
    mill_source_options options = default_options();
    result r = read_with(&options, 4, arguments);
    cr_assert_eq(mill_source_input_count(r.source), 4);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(mill_source_input(r.source, i)->name, mill_source_input(r.source, j)->name);
    cr_expect_str_eq(mill_source_input(r.source, 0)->name, "a.jsonl");
    free_result(&r);
}

// ---- trees

static void make_tree(void)
{
    make_directory("proj");
    make_directory("proj/.git");
    make_directory("proj/src");
    make_directory("proj/src-x");
    make_directory("proj/.cache");
    put_text("proj/.git/config", "[core]\n\tbare = false\n[remote \"up\"]\n\turl = https://x/y/z\n[remote \"origin\"]\n\turl = "
                                 "https://me:s3cret@example.org/team/widget.git\n\tfetch = +refs\n");
    put_text("proj/.cache/x.py", "no");
    put_text("proj/src/main.py", "print(1)\n");
    put_text("proj/src-x/a.c", "int x;\n");
    put_text("proj/run", "#!/usr/bin/env -S python3.11 -u\nx\n");
    put_text("proj/README.md", "# hi\n");
    put("proj/logo.png", "\x89PNG\0\0", 6);
    put_text("proj/empty.py", "");
    put_text("proj/latin.txt", "caf\xe9\n");
    put_text("proj/.dot.js", "1\n");
    cr_assert_eq(symlink("/etc/passwd", in_folder("proj/link.py")), 0);
    cr_assert_eq(symlink("..", in_folder("proj/loop")), 0);
    cr_assert_eq(mkfifo(in_folder("proj/pipe"), 0600), 0);
}

Test(source, a_tree_gives_its_text_files_in_path_order)
{
    make_tree();
    mill_source_options options = default_options();
    mill_buf want = {0};
    for (uint64_t block = 1; block < 64; block += block < 12 ? 1 : 20) {
        options.block_bytes = block;
        result r = read_one(&options, in_folder("proj"));
        cr_assert_eq(r.status, MILL_OK, "%s", r.err.message);
        const mill_input_info *info = mill_source_input(r.source, 0);
        cr_expect(info->is_tree && info->files == 8 && info->skipped_binary == 1 && info->skipped_empty == 1);
        cr_expect_eq(info->skipped_other, 3);
        cr_assert_eq(r.batch.count, 5);
        const char *paths[] = {".dot.js", "README.md", "run", "src-x/a.c", "src/main.py"};
        const char *languages[] = {"javascript", "markdown", "python", "c", "python"};
        uint64_t numbers[] = {1, 2, 6, 7, 8};
        for (uint32_t i = 0; i < 5; i++) {
            cr_expect(meta_is(&r, r.batch.path[i], paths[i]), "%s", paths[i]);
            cr_expect(meta_is(&r, r.batch.repo[i], "team/widget"));
            cr_expect_str_eq(language_name(&r, i), languages[i]);
            cr_expect_eq(r.batch.record[i], numbers[i]);
            cr_expect_eq(r.batch.stars[i], MILL_STARS_MISSING);
        }
        cr_assert_eq(r.quarantine.count, 1);
        cr_expect_eq(r.quarantine.rows[0].reason, MILL_QUARANTINE_BAD_ENCODING);
        cr_expect_str_eq(r.quarantine.rows[0].path, "latin.txt");
        cr_expect_eq(strlen(info->sha256), 64);
        mill_buf have = fingerprint(&r);
        cr_assert_eq(mill_buf_append_text(&have, info->sha256, NULL), MILL_OK);
        if (want.data == NULL) {
            want = have;
        } else {
            cr_expect(have.bytes == want.bytes && memcmp(have.data, want.data, want.bytes) == 0);
            mill_buf_free(&have);
        }
        free_result(&r);
    }
    mill_buf_free(&want);
}

Test(source, links_of_a_tree_are_followed_on_request_but_never_into_loops)
{
    make_tree();
    put_text("outside.py", "out\n");
    cr_assert_eq(symlink("../outside.py", in_folder("proj/linked.py")), 0);
    mill_source_options options = default_options();
    options.follow_links = true;
    result r = read_one(&options, in_folder("proj"));
    cr_assert_eq(r.status, MILL_OK);
    bool found = false;
    for (uint32_t i = 0; i < r.batch.count; i++)
        found = found || meta_is(&r, r.batch.path[i], "linked.py");
    cr_expect(found);
    free_result(&r);
}

Test(source, tree_files_over_the_limit_and_late_nul_bytes_are_quarantined)
{
    make_directory("t");
    static char big[9000];
    memset(big, 'a', sizeof big);
    put("t/a.py", big, 9000);
    big[8500] = '\0';
    put("t/b.py", big, 8600);
    put_text("t/c.py", "ok");
    mill_source_options options = default_options();
    options.record_bytes_max = 8999;
    result r = read_one(&options, in_folder("t"));
    cr_expect_eq(r.batch.count, 1);
    cr_expect(meta_is(&r, r.batch.repo[0], "t"));
    cr_assert_eq(r.quarantine.count, 2);
    cr_expect_eq(r.quarantine.rows[0].reason, MILL_QUARANTINE_TOO_LONG);
    cr_expect_str_eq(r.quarantine.rows[0].path, "a.py");
    cr_expect_eq(r.quarantine.rows[1].reason, MILL_QUARANTINE_BINARY);
    free_result(&r);
}

Test(source, repository_names_never_hold_credentials_or_machine_paths)
{
    static const char *const cases[][2] = {{"https://github.com/o/n.git", "o/n"},
                                           {"https://u:p@h/o/n", "o/n"},
                                           {"git@github.com:o/n.git", "o/n"},
                                           {"ssh://git@h:22/o/n/", "o/n"},
                                           {"/srv/git/n.git", "n"},
                                           {"file:///srv/git/n.git", "n"},
                                           {"https://h/n", "n"},
                                           {"../n", "n"},
                                           {"https://u:p@h", ""},
                                           {"\"https://h/o/n\"", "o/n"},
                                           {"h:n", "n"},
                                           {"https://h/a/b/c/d", "c/d"},
                                           {"https://h/o/u:p@x", ""},
                                           {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mill_buf config = {0}, out = {0};
        cr_assert_eq(mill_buf_printf(&config, NULL, "[remote \"origin\"]\r\n\turl = %s\r\n", cases[i][0]), MILL_OK);
        cr_assert_eq(mill_git_origin((char *)config.data, config.bytes, &out, NULL), MILL_OK);
        cr_expect(out.bytes == strlen(cases[i][1]) && (out.bytes == 0 || memcmp(out.data, cases[i][1], out.bytes) == 0),
                  "%s gave %.*s", cases[i][0], (int)out.bytes, (char *)out.data);
        mill_buf_free(&config);
        mill_buf_free(&out);
    }
}

// Reads the inputs with the first `n` allocations that succeed, n = 0, 1, ..., until all do.
static void fail_every_allocation(const char *const *arguments, size_t count,
                                  const mill_source_options *options)
{
    bool done = false;
    for (uint64_t n = 0; !done && n < 5000; n++) {
        result r = {0};
        cr_assert_eq(mill_language_table_create(&r.languages, NULL), MILL_OK);
        mill_alloc_fail_after(n);
        r.status =
            mill_source_open(mill_fs_posix(), arguments, count, options, r.languages, &r.source, &r.err);
        mill_block block = {0};
        mill_parser *parser = NULL;
        bool end = false;
        if (r.status == MILL_OK)
            r.status = mill_parser_open(r.source, &parser, &r.err);
        while (r.status == MILL_OK && !end) {
            r.status = mill_source_next(r.source, &block, &end, &r.err);
            if (r.status == MILL_OK && !end)
                r.status = mill_source_parse(parser, &block, &r.batch, &r.quarantine, r.counts, &r.err);
        }
        mill_alloc_fail_after(UINT64_MAX);
        done = r.status == MILL_OK;
        cr_expect(done || r.status == MILL_NOMEM, "allocation %d: %s", (int)n, r.err.message);
        mill_parser_close(parser);
        mill_block_free(&block);
        mill_batch_free(&r.batch);
        mill_quarantine_free(&r.quarantine);
        mill_source_close(r.source);
        mill_language_table_destroy(r.languages);
    }
    cr_expect(done);
}

Test(source, every_failing_allocation_is_an_error_without_leaks)
{
    make_tree();
    const char *lines = put_text(
        "m.jsonl",
        "{\"content\":\"a\\ud800\",\"license\":[\"x\"],\"language\":\"new\"}\nbad\n{\"content\":\"b\"}\n"
        "{\"id\":\"n\",\"solutions\":\"[\\\"\\\\ud800\\\"]\"}\n");
    const char *arguments[2] = {in_folder("proj"), lines};
    mill_source_options options = default_options();
    fail_every_allocation(arguments, 2, &options);
}

#if defined MILL_HAVE_PARQUET
Test(source, rows_of_parquet_that_are_no_files_are_read_as_trees)
{
    const char *path = put("n.parquet", nested_parquet, sizeof nested_parquet);
    mill_source_options options = default_options();
    for (options.group_bytes_max = 0; options.group_bytes_max < 2;
         options.group_bytes_max++) { // by the parser, by the reader
        result r = read_one(&options, path);
        cr_assert_eq(r.status, MILL_OK, "%s", r.err.message);
        cr_assert_eq(r.batch.count, 2);
        EXPECT_CONTENT(&r, 0, "### Instruction:\n\"u\"\n\n\n### Response:\n\xc3\xa9<|endoftext|>");
        cr_expect(r.batch.record[0] == 1 && r.batch.record[1] == 4 && r.batch.stars[1] == 8);
        cr_expect(meta_is(&r, r.batch.path[1], "c"));
        cr_assert_eq(r.quarantine.count, 2);
        cr_expect_eq(r.quarantine.rows[0].reason, MILL_QUARANTINE_NO_CONTENT);
        cr_expect_eq(r.quarantine.rows[1].reason, MILL_QUARANTINE_BAD_TURNS);
        cr_expect(r.quarantine.rows[1].record == 3 && r.quarantine.rows[1].length == 20);
        free_result(&r);
        fail_every_allocation(&path, 1, &options);
    }
}
#endif
