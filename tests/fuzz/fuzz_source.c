// fuzz_source.c: JSON lines of any bytes become the same records, wherever they are cut into blocks; every
// record is accounted for.
#include "core/utf8.h"
#include "fuzz.h"
#include "simfs.h"
#include "source/source.h"

typedef struct outcome {
    mill_batch batch;
    mill_quarantine quarantine;
    mill_parse_counts counts;
} outcome;

// The pieces of a conversation cover its text, and one of its answers is learned, to its end.
static void check_pieces(const mill_batch *batch, uint32_t i, uint64_t bytes)
{
    uint64_t covered = 0, learned = 0;
    const uint32_t pieces = mill_batch_piece_count(batch, i);
    for (uint32_t k = 0; k < pieces; k++) {
        const mill_chat_piece piece = mill_batch_piece(batch, i, k);
        covered += piece.bytes;
        learned += piece.learned && mill_chat_is_answer(piece.role) && piece.bytes != 0;
        FUZZ_CHECK(piece.role < MILL_CHAT_ROLE_COUNT && piece.control <= 1 &&
                   !(piece.control && piece.role != MILL_CHAT_TEMPLATE));
    }
    FUZZ_CHECK(pieces == 0 || (covered == bytes && learned != 0));
}

static void read_source(simfs *sim, const mill_source_options *options, outcome *o)
{
    static const char *const inputs[] = {"input.jsonl"};
    mill_error err;
    mill_language_table *languages;
    mill_source *source;
    mill_parser *parser;
    mill_block block = {0};
    mill_batch_init(&o->batch);
    FUZZ_OK(mill_language_table_create(&languages, &err));
    FUZZ_OK(mill_source_open(simfs_fs(sim), inputs, 1, options, languages, &source, &err));
    FUZZ_OK(mill_parser_open(source, &parser, &err));
    for (bool end = false;;) {
        FUZZ_OK(mill_source_next(source, &block, &end, &err));
        if (end)
            break;
        mill_status status = mill_source_parse(parser, &block, &o->batch, &o->quarantine, &o->counts, &err);
        FUZZ_CHECK(status == MILL_OK);
    }
    const uint64_t unsolved = o->counts.rejected[MILL_REASON_NO_ANSWER];
    FUZZ_CHECK(o->counts.read == o->batch.count + (uint64_t)o->quarantine.count + unsolved);
    FUZZ_CHECK(o->counts.quarantined == o->quarantine.count);
    for (uint32_t i = 0; i < o->batch.count; i++) {
        uint64_t bytes;
        size_t bad;
        const uint8_t *text = mill_batch_text(&o->batch, i, &bytes);
        FUZZ_CHECK(mill_utf8_valid(text, bytes, &bad));
        const mill_span spans[] = {o->batch.repo[i], o->batch.path[i], o->batch.licence[i]};
        for (size_t k = 0; k < 3; k++)
            FUZZ_CHECK(spans[k].bytes == 0 ||
                       mill_utf8_valid(o->batch.meta.data + spans[k].offset, spans[k].bytes, &bad));
        check_pieces(&o->batch, i, bytes);
    }
    mill_block_free(&block);
    mill_parser_close(parser);
    mill_source_close(source);
    mill_language_table_destroy(languages);
}

static void compare(const outcome *a, const outcome *b)
{
    FUZZ_CHECK(a->batch.count == b->batch.count && a->quarantine.count == b->quarantine.count);
    FUZZ_CHECK(memcmp(&a->counts, &b->counts, sizeof a->counts) == 0);
    for (uint32_t i = 0; i < a->batch.count; i++) {
        FUZZ_CHECK(mill_key_equal(mill_batch_key(&a->batch, i), mill_batch_key(&b->batch, i)));
        FUZZ_CHECK(a->batch.record[i] == b->batch.record[i] && a->batch.stars[i] == b->batch.stars[i]);
    }
    for (size_t i = 0; i < a->quarantine.count; i++) {
        const mill_quarantined *x = &a->quarantine.rows[i], *y = &b->quarantine.rows[i];
        FUZZ_CHECK(x->record == y->record && x->offset == y->offset && x->length == y->length &&
                   x->reason == y->reason);
        FUZZ_CHECK(strcmp(x->detail, y->detail) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    outcome large = {0}, small = {0};
    mill_source_options options = {
        .format = "jsonl", .strip_metadata_head = true, .record_bytes_max = 4096, .block_bytes = 1 << 20};
    options.bad_unicode = bytes != 0 && data[bytes - 1] % 2 != 0 ? MILL_UNICODE_DROP : MILL_UNICODE_REPLACE;
    static const char *const presets[] = {"alpaca", "chatml", "llama3"};
    const uint8_t last = bytes != 0 ? data[bytes - 1] : 0;
    options.chat.preset = presets[last % 3];
    options.chat.loss = (mill_chat_loss)(last / 3 % 3);
    options.shape.newlines = last % 4 == 0;
    options.shape.nul = (mill_nul)(last / 4 % 3);
    options.shape.strip_bom = last % 5 == 0;
    options.shape.notebooks = (mill_notebooks)(last % 3);
    options.shape.statements = options.shape.keep_outputs = last % 2 == 0;
    options.shape.output_chars = 9;
    if (last % 7 == 0)
        options.field[MILL_FIELD_REPO] = "meta.a.b";
    simfs *sim = simfs_create();
    FUZZ_CHECK(sim != NULL);
    simfs_put(sim, "input.jsonl", data, bytes);
    read_source(sim, &options, &large);
    options.block_bytes = 64;
    read_source(sim, &options, &small);
    compare(&large, &small);
    FUZZ_CHECK(simfs_open_handles(sim) == 0);
    mill_batch_free(&large.batch);
    mill_batch_free(&small.batch);
    mill_quarantine_free(&large.quarantine);
    mill_quarantine_free(&small.quarantine);
    simfs_destroy(sim);
    return 0;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const char *const texts[] = {
        "{\"content\":\"int "
        "main(void)\\n{\\n}\\n\",\"language\":\"C\",\"repo\":\"a/"
        "b\",\"path\":\"m.c\",\"stars\":12,\"license\":[\"mit\",\"bsd\"]}\n\n"
        "{\"text\":\"<reponame>x<filename>y.py<gh_stars>3\\nprint(1)\\n\",\"lang\":\"Python\",\"max_stars_"
        "count\":3.0}\r\n",
        "\xef\xbb\xbf{\"code\":\"\\ud83d\\ude42\\ud800\\u0041\",\"language\":\"c++\",\"meta\":{\"a\":[1,2,{"
        "\"b\":null}]}}\n[1,2]\n{"
        "\"content\":7}\n{}\n",
        "{\"content\":\"x\",\"content\":\"y\",\"stars\":-1e3,\"size\":18446744073709551615,\"ok\":true}\n{"
        "\"content\":\"cut",
        "[[[[[[[[{\"content\":\"deep\"}]]]]]]]]\n{\"content\":\"\xff\xfe\"}\n{\"content\":\"\\u0000\\u001f\\/"
        "\\b\\f\"}\n\"text\"\n",
        "{\"instruction\":\"Do\\r\\nit\",\"input\":\"{output}\",\"output\":\"\\u0000<|im_end|>\"}\n{"
        "\"instruction\":\"a\",\"output\":7}\n",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"{end}\"},{"
        "\"role\":\"assistant\","
        "\"content\":\"\ufeffa\"}]}\n{\"messages\":[{\"role\":\"x\"}]}\n",
        "{\"conversations\":[{\"from\":\"human\",\"value\":\"h\"},{\"from\":\"gpt\",\"value\":\"g\"},{"
        "\"from\":\"tool\",\"value\":\"\"}]}\n",
        "{\"name\":\"n\",\"description\":\"d\",\"solutions\":{\"language\":[3,2,\"GNU C++17 "
        "(64)\"],\"solution\":[\"a\",\"b\",\"c\"]}}\n{\"problem_id\":7,"
        "\"question\":\"q\",\"solutions\":\"[\\\"x\\\",\\\"\\\\ud800\\\"]\"}\n{\"solutions\":[{\"code\":"
        "\"y\",\"language\":\"Java 8\"},null]}\n{\"solutions\":[]}",
        "{\"cells\":[[[\"t\",\"o\"]],[[\"e\",\"_____no_output_____\"]]],\"cell_types\":[\"markdown\","
        "\"code\"]}\n{\"markdown\":\"m\",\"code\":\"%c\\nx\","
        "\"output\":\"7\"}\n{\"cells\":[{\"cell_type\":\"code\",\"source\":[\"a\"],\"outputs\":[{\"text\":"
        "\"1\"}]}],\"nbformat\":4}\n",
        "{\"content\":\"x\",\"meta\":{\"a.b\":\"r\",\"a\":{\"b\":\"s\"}},\"prose\":true}\n{\"content\":\"x\","
        "\"meta.a.b\":7}\n",
        "{\"prompt\":\"p\",\"completion\":\" c\"}\n{\"prompt\":[],\"completion\":\"c\"}\n{\"messages\":[]}\n",
    };
    return fuzz_seed_text(number, texts, sizeof texts / sizeof texts[0], out);
}
