// fuzz_state.c: journals, manifests and segments of any bytes, and of any content behind right checksums: each is refused, or is
// what its writer would have written. The first byte of an input says what the rest is.
#include <zlib.h>
#include <zstd.h>

#include "core/hash.h"
#include "fuzz.h"
#include "pipeline/journal.h"
#include "record/segment.h"
#include "shard/manifest.h"

enum { JOURNAL, JOURNAL_PAYLOADS, MANIFEST, MANIFEST_BODY, SEGMENT, SEGMENT_COLUMNS, KINDS };

static mill_status count_payload(void *context, cJSON *payload, mill_error *err)
{
    (void)err;
    ++*(uint64_t *)context;
    cJSON_Delete(payload);
    return MILL_OK;
}

static void parse_journal(const uint8_t *data, size_t bytes)
{
    uint64_t count = 0;
    mill_error err = {0};
    mill_status status = mill_journal_parse(data, bytes, "journal", count_payload, &count, &err);
    FUZZ_CHECK(status == MILL_OK || (status == MILL_VERIFY && err.message[0] != '\0'));
}

// Good records of the objects among the lines of data, and what is left of one that was cut off.
static void write_journal(const uint8_t *data, size_t bytes)
{
    mill_buf out = {0};
    uint64_t written = 0, count = 0;
    for (size_t at = 0; at < bytes;) {
        const uint8_t *end = memchr(data + at, '\n', bytes - at);
        size_t line = end != NULL ? (size_t)(end - data) - at : bytes - at;
        cJSON *payload = cJSON_ParseWithLength((const char *)data + at, line);
        if (cJSON_IsObject(payload)) {
            FUZZ_OK(mill_journal_frame(payload, &out, NULL));
            written++;
        }
        cJSON_Delete(payload);
        at += line + 1;
    }
    FUZZ_OK(mill_journal_parse(out.data, out.bytes, "journal", count_payload, &count, NULL));
    FUZZ_CHECK(count == written);
    if (written != 0) {
        count = 0;
        FUZZ_OK(mill_journal_parse(out.data, out.bytes - 1, "journal", count_payload, &count, NULL));
        FUZZ_CHECK(count == written - 1);
    }
    mill_buf_free(&out);
}

static void parse_manifest(const uint8_t *data, size_t bytes)
{
    cJSON *json = NULL;
    mill_error err = {0};
    mill_status status = mill_manifest_parse(data, bytes, "manifest", &json, &err);
    FUZZ_CHECK(status == MILL_OK ? json != NULL : status == MILL_VERIFY && json == NULL && err.message[0] != '\0');
    if (status == MILL_OK) {
        mill_buf out = {0};
        FUZZ_OK(mill_manifest_append(json, &out, NULL));
        FUZZ_CHECK(out.bytes == bytes && memcmp(out.data, data, bytes) == 0);
        mill_buf_free(&out);
    }
    cJSON_Delete(json);
}

static void seal_manifest(const uint8_t *data, size_t bytes)
{
    uint8_t digest[32];
    char hex[65];
    mill_buf out = {0};
    FUZZ_OK(mill_buf_append(&out, data, bytes, NULL));
    void *sha256 = mill_sha256_create();
    FUZZ_CHECK(sha256 != NULL);
    mill_sha256_update(sha256, data, bytes);
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, sizeof digest, hex);
    FUZZ_OK(mill_buf_printf(&out, NULL, "#sha256:%s\n", hex));
    parse_manifest(out.data, out.bytes);
    mill_buf_free(&out);
}

static void parse_segment(const uint8_t *data, size_t bytes)
{
    mill_error err = {0};
    mill_language_table *languages;
    mill_batch batch, again;
    mill_buf out = {0};
    mill_batch_init(&batch);
    mill_batch_init(&again);
    FUZZ_OK(mill_language_table_create(&languages, &err));
    mill_status status = mill_segment_decode(data, bytes, "segment", languages, &batch, &err);
    FUZZ_CHECK(status == MILL_OK || (status == MILL_VERIFY && err.message[0] != '\0'));
    for (int level = 0; status == MILL_OK && level <= 1; level++) { // stored, and packed
        FUZZ_OK(mill_segment_encode(&batch, languages, level, &out, &err));
        FUZZ_OK(mill_segment_decode(out.data, out.bytes, "again", languages, &again, &err));
        FUZZ_CHECK(batch.count == again.count && batch.text.bytes == again.text.bytes && batch.meta.bytes == again.meta.bytes);
        for (uint32_t i = 0; i < batch.count; i++) {
            uint64_t text_bytes;
            (void)mill_batch_text(&batch, i, &text_bytes);
            FUZZ_CHECK(batch.text_offset[i] + text_bytes <= batch.text.bytes);
            FUZZ_CHECK((uint64_t)batch.repo[i].offset + batch.repo[i].bytes <= batch.meta.bytes);
            FUZZ_CHECK(batch.language[i] < mill_language_count(languages) && batch.type[i] < MILL_TYPE_COUNT);
        }
    }
    mill_batch_free(&batch);
    mill_batch_free(&again);
    mill_buf_free(&out);
    mill_language_table_destroy(languages);
}

// data: u8 records | u16 bytes of text | text | columns, put behind a right header and checksum.
static void build_segment(const uint8_t *data, size_t bytes)
{
    if (bytes < 3)
        return;
    size_t text = data[1] | (size_t)data[2] << 8;
    text = text < bytes - 3 ? text : bytes - 3;
    size_t columns = bytes - 3 - text;
    mill_buf out = {0};
    size_t columns_bound = ZSTD_compressBound(columns), text_bound = ZSTD_compressBound(text);
    FUZZ_OK(mill_buf_reserve(&out, 56 + columns_bound + text_bound + 16, NULL));
    uint64_t head[7] = {0, 1 | (uint64_t)data[0] << 32, 0, columns, 0, text, 0};
    memcpy(head, "MILLSEG1", 8);
    head[4] = ZSTD_compress(out.data + 56, columns_bound, data + 3 + text, columns, 1);
    head[6] = ZSTD_compress(out.data + 56 + head[4], text_bound, data + 3, text, 1);
    memcpy(out.data, head, sizeof head);
    out.bytes = 56 + head[4] + head[6];
    mill_key sum = mill_hash128(out.data, out.bytes);
    FUZZ_OK(mill_buf_append(&out, &sum, sizeof sum, NULL));
    parse_segment(out.data, out.bytes);
    mill_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static void (*const targets[KINDS])(const uint8_t *, size_t) = {
        [JOURNAL] = parse_journal,       [JOURNAL_PAYLOADS] = write_journal, [MANIFEST] = parse_manifest,
        [MANIFEST_BODY] = seal_manifest, [SEGMENT] = parse_segment,          [SEGMENT_COLUMNS] = build_segment,
    };
    if (bytes != 0)
        targets[data[0] % KINDS](data + 1, bytes - 1);
    return 0;
}

static void make_segment(mill_buf *out)
{
    mill_batch batch;
    mill_language_table *languages;
    mill_batch_init(&batch);
    FUZZ_OK(mill_language_table_create(&languages, NULL));
    for (uint32_t i = 0; i < 3; i++) {
        mill_record record = {.text = (const uint8_t *)"text of a record",
                              .text_bytes = 10 + i,
                              .repo = "a/b",
                              .path = "c.d",
                              .licence = "mit",
                              .repo_bytes = 3,
                              .path_bytes = 3,
                              .licence_bytes = 3,
                              .stars = i,
                              .record = i + 1};
        record.language = mill_language_intern(languages, i == 0 ? "python" : "mine", i == 0 ? 6 : 4);
        FUZZ_OK(mill_batch_append(&batch, &record, NULL));
    }
    FUZZ_OK(mill_segment_encode(&batch, languages, 1, out, NULL));
    mill_batch_free(&batch);
    mill_language_table_destroy(languages);
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const char lines[] = "{\"unit\":1,\"files\":[{\"name\":\"a\",\"bytes\":12}]}\n{\"stage\":\"x\",\"n\":-4}\n";
    uint8_t kind = (uint8_t)number;
    if (number >= KINDS)
        return false;
    FUZZ_OK(mill_buf_append(out, &kind, 1, NULL));
    cJSON *json = cJSON_Parse("{\"a\":1,\"b\":{\"c\":[\"x\",true,null]}}");
    mill_buf part = {0};
    switch (number) {
    case JOURNAL:
        for (int i = 0; i < 3; i++) // a group of one, then a group of two
            FUZZ_OK(mill_journal_frame(json, &part, NULL));
        FUZZ_OK(mill_buf_append(out, part.data, part.bytes / 3, NULL));
        FUZZ_OK(mill_buf_append(out, part.data, part.bytes / 3 * 2, NULL));
        break;
    case JOURNAL_PAYLOADS: FUZZ_OK(mill_buf_append(out, lines, sizeof lines - 1, NULL)); break;
    case MANIFEST: FUZZ_OK(mill_manifest_append(json, out, NULL)); break;
    case MANIFEST_BODY: FUZZ_OK(mill_buf_append_text(out, "{\"a\":1,\"b\":{\"c\":[\"x\",true,null]}}\n", NULL)); break;
    case SEGMENT:
        make_segment(&part);
        FUZZ_OK(mill_buf_append(out, part.data, part.bytes, NULL));
        break;
    default: { // the parts of a good one
        uint64_t head[7];
        uint8_t raw[4096];
        make_segment(&part);
        memcpy(head, part.data, sizeof head);
        const uint8_t sizes[3] = {(uint8_t)(head[1] >> 32), (uint8_t)head[5], (uint8_t)(head[5] >> 8)};
        FUZZ_CHECK(ZSTD_decompress(raw, sizeof raw, part.data + 56 + head[4], head[6]) == head[5]);
        FUZZ_OK(mill_buf_append(out, sizes, 3, NULL));
        FUZZ_OK(mill_buf_append(out, raw, head[5], NULL));
        FUZZ_CHECK(ZSTD_decompress(raw, sizeof raw, part.data + 56, head[4]) == head[3]);
        FUZZ_OK(mill_buf_append(out, raw, head[3], NULL));
        break;
    }
    }
    mill_buf_free(&part);
    cJSON_Delete(json);
    return true;
}
