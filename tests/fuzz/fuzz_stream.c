// fuzz_stream.c: a compressed stream gives the same bytes and the same verdict however it is read, damaged or not.
#include <zlib.h>
#include <zstd.h>

#include "core/stream.h"
#include "fuzz.h"
#include "simfs.h"

#define OUT_BYTES_MAX ((size_t)4 << 20) // a small file can be a large text

typedef struct reading {
    mill_buf text;
    char damage[256], sha256[65];
} reading;

static void read_all(simfs *sim, const char *name, size_t part, reading *r)
{
    mill_stream *stream;
    mill_error err;
    uint8_t *scratch = malloc(part);
    size_t got;
    FUZZ_CHECK(scratch != NULL);
    FUZZ_OK(mill_stream_open(simfs_fs(sim), MILL_FS_CWD, name, &stream, &err));
    do {
        FUZZ_OK(mill_stream_read(stream, scratch, part, &got, &err));
        FUZZ_CHECK(got <= part);
        if (got != 0)
            FUZZ_OK(mill_buf_append(&r->text, scratch, got, &err));
    } while (got != 0 && r->text.bytes < OUT_BYTES_MAX);
    const char *damage = mill_stream_damage(stream);
    if (got == 0) {
        snprintf(r->damage, sizeof r->damage, "%s", damage != NULL ? damage : "");
        FUZZ_OK(mill_stream_digest(stream, r->sha256, &err));
    }
    FUZZ_OK(mill_stream_close(stream, &err));
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    reading whole = {0}, parts = {0};
    simfs *sim = simfs_create();
    FUZZ_CHECK(sim != NULL);
    simfs_put(sim, "input", data, bytes);
    read_all(sim, "input", 1 << 16, &whole);
    read_all(sim, "input", bytes != 0 && data[0] % 2 != 0 ? 37 : 1021, &parts);
    if (whole.text.bytes < OUT_BYTES_MAX) {
        FUZZ_CHECK(whole.text.bytes == parts.text.bytes);
        FUZZ_CHECK(whole.text.bytes == 0 || memcmp(whole.text.data, parts.text.data, whole.text.bytes) == 0);
        FUZZ_CHECK(strcmp(whole.damage, parts.damage) == 0 && strcmp(whole.sha256, parts.sha256) == 0);
    }
    FUZZ_CHECK(simfs_open_handles(sim) == 0);
    mill_buf_free(&whole.text);
    mill_buf_free(&parts.text);
    simfs_destroy(sim);
    return 0;
}

static void add_zstd(mill_buf *out, const char *text, size_t bytes)
{
    uint8_t packed[4096];
    size_t got = ZSTD_compress(packed, sizeof packed, text, bytes, 3);
    FUZZ_CHECK(!ZSTD_isError(got));
    FUZZ_OK(mill_buf_append(out, packed, got, NULL));
}

static void add_gzip(mill_buf *out, const char *text, size_t bytes)
{
    uint8_t packed[4096], copy[2048];
    z_stream z = {0};
    memcpy(copy, text, bytes);
    FUZZ_CHECK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = copy;
    z.avail_in = (uInt)bytes;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    FUZZ_OK(mill_buf_append(out, packed, z.total_out, NULL));
    deflateEnd(&z);
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    char text[1500];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "{\"content\":\"abc\"}\n"[(i * (i / 97 + 1)) % 18];
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}, zeros[20];
    switch (number) {
    case 0: add_zstd(out, text, sizeof text); return true;
    case 1: add_gzip(out, text, sizeof text); return true;
    case 2:
        add_zstd(out, text, 100);
        FUZZ_OK(mill_buf_append(out, skippable, sizeof skippable, NULL));
        add_zstd(out, text + 100, 900);
        return true;
    case 3:
        add_gzip(out, text, 500);
        add_gzip(out, text + 500, 20);
        FUZZ_OK(mill_buf_append(out, zeros, sizeof zeros, NULL));
        return true;
    case 4: FUZZ_OK(mill_buf_append(out, text, 300, NULL)); return true;
    default: return false;
    }
}
