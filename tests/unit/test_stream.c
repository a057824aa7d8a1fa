// test_stream.c: compressed inputs: what is read, what is damage, what is an error.
#include "core/hash.h"
#include "core/stream.h"
#include "simfs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static uint8_t text[600000]; // compressible, but not trivially

static void make_text(void)
{
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof text; i++) {
        x = x * 1664525u + 1013904223u;
        text[i] = i % 40 == 39 ? '\n' : (uint8_t)('a' + (x >> 24) % (i / 1000 % 2 == 0 ? 4 : 26));
    }
}
TestSuite(stream, .init = make_text);

static void add_gzip(mill_buf *out, const void *data, size_t bytes)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, bytes);
    cr_assert_eq(mill_buf_reserve(out, room, NULL), MILL_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)bytes;
    z.next_out = out->data + out->bytes;
    z.avail_out = (uInt)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->bytes += z.total_out;
    deflateEnd(&z);
}

static void add_zstd(mill_buf *out, const void *data, size_t bytes, bool checksum)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, checksum);
    cr_assert_eq(mill_buf_reserve(out, ZSTD_compressBound(bytes), NULL), MILL_OK);
    size_t size = ZSTD_compress2(c, out->data + out->bytes, ZSTD_compressBound(bytes), data, bytes);
    cr_assert(!ZSTD_isError(size));
    out->bytes += size;
    ZSTD_freeCCtx(c);
}

static void add_bytes(mill_buf *out, const void *data, size_t bytes)
{
    cr_assert_eq(mill_buf_append(out, data, bytes, NULL), MILL_OK);
}

typedef struct reading {
    mill_buf plain;
    char damage[200];
} reading;

// Reads a file in steps; checks the digest and that nothing stays open.
static reading read_all(const void *file, size_t bytes, size_t step, uint64_t seed)
{
    reading result = {0};
    simfs *sim = simfs_create();
    simfs_put(sim, "in", file, bytes);
    simfs_faults faults = {.seed = seed, .short_permille = 400, .interrupt_permille = 200};
    if (seed != 0)
        simfs_set_faults(sim, &faults);
    mill_stream *stream;
    cr_assert_eq(mill_stream_open(simfs_fs(sim), MILL_FS_CWD, "in", &stream, NULL), MILL_OK);
    cr_assert_eq(mill_stream_file_total(stream), bytes);
    size_t got;
    do {
        cr_assert_eq(mill_buf_reserve(&result.plain, step, NULL), MILL_OK);
        cr_assert_eq(mill_stream_read(stream, result.plain.data + result.plain.bytes, step, &got, NULL), MILL_OK);
        result.plain.bytes += got;
        cr_assert_leq(mill_stream_file_bytes(stream), bytes);
    } while (got != 0);
    const char *damage = mill_stream_damage(stream);
    snprintf(result.damage, sizeof result.damage, "%s", damage != NULL ? damage : "");
    char hex[65], wanted[65];
    uint8_t digest[32];
    void *sha = mill_sha256_create();
    mill_sha256_update(sha, file, bytes);
    mill_sha256_finish(sha, digest);
    mill_hex(digest, 32, wanted);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(mill_stream_digest(stream, hex, NULL), MILL_OK);
        cr_assert_str_eq(hex, wanted);
    }
    cr_assert_eq(mill_stream_file_bytes(stream), bytes);
    cr_assert_eq(mill_stream_close(stream, NULL), MILL_OK);
    cr_assert_eq(simfs_open_handles(sim), 0);
    simfs_destroy(sim);
    return result;
}

static void expect(const mill_buf *file, const void *wanted, size_t bytes, const char *damage)
{
    static const size_t steps[] = {1 << 20, 4096, 1000, 131072};
    for (uint64_t i = 0; i < 4; i++) {
        reading r = read_all(file->data, file->bytes, steps[i], i);
        cr_assert_str_eq(r.damage, damage);
        cr_assert_eq(r.plain.bytes, bytes);
        cr_assert(bytes == 0 || memcmp(r.plain.data, wanted, bytes) == 0);
        mill_buf_free(&r.plain);
    }
}

Test(stream, plain_files_come_as_they_are)
{
    mill_buf file = {0};
    expect(&file, "", 0, "");
    add_bytes(&file, "\x1f", 1);
    expect(&file, "\x1f", 1, "");
    mill_buf_clear(&file);
    add_bytes(&file, text, sizeof text);
    expect(&file, text, sizeof text, "");
    mill_buf_free(&file);
}

Test(stream, gzip_members_follow_each_other_and_zeros_may_end_them)
{
    mill_buf file = {0};
    add_gzip(&file, text, 100000);
    add_gzip(&file, "", 0);
    add_gzip(&file, text + 100000, sizeof text - 100000);
    expect(&file, text, sizeof text, "");
    uint8_t zeros[700] = {0};
    add_bytes(&file, zeros, sizeof zeros);
    expect(&file, text, sizeof text, "");
    mill_buf_free(&file);
}

Test(stream, zstd_frames_follow_each_other_with_skippable_ones_between)
{
    mill_buf file = {0};
    uint8_t skip[300008] = {0x5a, 0x2a, 0x4d, 0x18, 0xe0, 0x93, 0x04, 0x00}; // 300000 bytes to skip
    add_bytes(&file, skip, sizeof skip);
    add_zstd(&file, text, 1000, false);
    add_zstd(&file, "", 0, true);
    add_bytes(&file, skip, sizeof skip);
    add_zstd(&file, text + 1000, sizeof text - 1000, true);
    expect(&file, text, sizeof text, "");
    mill_buf_free(&file);
}

Test(stream, bytes_after_the_last_member_are_damage)
{
    char message[100];
    for (int zeros = 0; zeros < 2; zeros++) {
        mill_buf file = {0};
        add_gzip(&file, text, 5000);
        snprintf(message, sizeof message, "gzip: other bytes follow the last member at byte %zu of the file", file.bytes);
        add_bytes(&file, "\0\0\0x" + (zeros != 0 ? 0 : 3), zeros != 0 ? 4 : 1);
        expect(&file, text, 5000, message);
        mill_buf_clear(&file);
        add_zstd(&file, text, 5000, true);
        snprintf(message, sizeof message, "zstd: other bytes follow the last frame at byte %zu of the file", file.bytes);
        add_bytes(&file, zeros != 0 ? "\0\0\0\0\0\0" : "garbage", 6);
        expect(&file, text, 5000, message);
        mill_buf_free(&file);
    }
}

Test(stream, a_member_behind_zero_padding_is_damage)
{
    mill_buf file = {0};
    char message[100];
    add_gzip(&file, text, 5000);
    snprintf(message, sizeof message, "gzip: other bytes follow the last member at byte %zu of the file", file.bytes);
    add_bytes(&file, "\0\0", 2);
    add_gzip(&file, text + 5000, 5000);
    expect(&file, text, 5000, message);
    mill_buf_free(&file);
}

Test(stream, small_zstd_blocks_before_a_corrupt_one_are_delivered)
{
    enum { BLOCKS = 20, BLOCK = 1000 };
    uint8_t raw[BLOCKS * BLOCK * 2];
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_outBuffer out = {raw, sizeof raw, 0};
    size_t last = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        ZSTD_inBuffer in = {text + i * BLOCK, BLOCK, 0};
        last = out.pos;
        cr_assert_eq(ZSTD_compressStream2(c, &out, &in, i + 1 < BLOCKS ? ZSTD_e_flush : ZSTD_e_end), 0);
    }
    ZSTD_freeCCtx(c);
    mill_buf file = {raw, out.pos, sizeof raw};
    expect(&file, text, BLOCKS * BLOCK, "");
    raw[last] |= 6; // the reserved block type
    for (size_t step = 1; step < 40000; step = step * 7 + 1) {
        reading r = read_all(raw, out.pos, step, step);
        cr_assert_not_null(strstr(r.damage, "zstd: corrupt frame at byte 0 of the file"));
        // The decoder reads a block's header together with the block before it and forgets that one too.
        cr_assert_eq(r.plain.bytes, (BLOCKS - 2) * BLOCK);
        cr_assert_arr_eq(r.plain.data, text, r.plain.bytes);
        mill_buf_free(&r.plain);
    }
}

// The file cut at each byte: whole members before the cut come whole, the damage names the cut one, nothing else is said.
static void cut_everywhere(const mill_buf *file, size_t first_member, size_t first_bytes, const char *kind)
{
    char first[100], second[100];
    snprintf(first, sizeof first, "%s at byte 0 of the file", kind);
    snprintf(second, sizeof second, "%s at byte %zu of the file", kind, first_member);
    for (size_t cut = 4; cut < file->bytes; cut++) {
        reading r = read_all(file->data, cut, 100, 0);
        cr_assert_str_eq(r.damage, cut < first_member ? first : cut == first_member ? "" : second, "cut at %zu", cut);
        cr_assert(cut < first_member || r.plain.bytes >= first_bytes);
        cr_assert(r.plain.bytes == 0 || memcmp(r.plain.data, text, r.plain.bytes) == 0);
        reading other = read_all(file->data, cut, 7777, cut);
        cr_assert_eq(r.plain.bytes, other.plain.bytes, "what comes before the damage depends on the steps");
        mill_buf_free(&r.plain);
        mill_buf_free(&other.plain);
    }
}

Test(stream, p09_files_cut_at_any_byte_give_what_is_whole_and_name_the_damage)
{
    mill_buf file = {0};
    add_gzip(&file, text, 700);
    size_t first = file.bytes;
    add_gzip(&file, text + 700, 300);
    cut_everywhere(&file, first, 700, "gzip: truncated member");
    mill_buf_clear(&file);
    add_zstd(&file, text, 700, true);
    first = file.bytes;
    add_zstd(&file, text + 700, 300, false);
    cut_everywhere(&file, first, 700, "zstd: truncated frame");
    mill_buf_free(&file);
}

Test(stream, p09_flipped_bytes_never_crash_and_never_change_checked_text_in_silence)
{
    for (int kind = 0; kind < 2; kind++) {
        mill_buf file = {0};
        if (kind == 0)
            add_gzip(&file, text, 2000);
        else
            add_zstd(&file, text, 2000, true);
        for (size_t at = 4; at < file.bytes; at++) { // magic numbers decide the format and the flags
            for (int bit = 0; bit < 8; bit++) {
                file.data[at] ^= (uint8_t)(1 << bit);
                reading r = read_all(file.data, file.bytes, 999, 0);
                bool same = r.plain.bytes == 2000 && memcmp(r.plain.data, text, 2000) == 0;
                cr_assert(r.damage[0] != '\0' || same, "kind %d byte %zu bit %d", kind, at, bit);
                mill_buf_free(&r.plain);
                file.data[at] ^= (uint8_t)(1 << bit);
            }
        }
        mill_buf_free(&file);
    }
}

Test(stream, p09_garbage_behind_a_magic_number_is_damage)
{
    for (uint32_t seed = 0; seed < 300; seed++) {
        uint8_t data[300] = {0x1f, 0x8b, 8, 0};
        if (seed % 2 != 0)
            memcpy(data, "\x28\xb5\x2f\xfd", 4);
        uint32_t x = seed;
        for (size_t i = 4; i < sizeof data; i++) {
            x = x * 1664525u + 1013904223u;
            data[i] = (uint8_t)(x >> 24);
        }
        reading r = read_all(data, sizeof data, 65536, seed);
        cr_assert(r.damage[0] != '\0');
        mill_buf_free(&r.plain);
    }
}

Test(stream, p07_a_window_above_the_limit_is_refused)
{
    // A frame header: magic, no flags, window descriptor of exponent 18: 2^(10 + 18).
    mill_buf file = {0};
    add_bytes(&file, "\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00", 9);
    expect(&file, "", 0, "zstd: window above 2^27 in the frame at byte 0 of the file");
    file.data[5] = 0x88; // 2^27: an empty last block
    expect(&file, "", 0, "");
    mill_buf_free(&file);
}

Test(stream, p09_a_large_expansion_comes_in_steps)
{
    mill_buf file = {0};
    size_t bytes = 50 << 20;
    uint8_t *zeros = calloc(1, bytes);
    add_zstd(&file, zeros, bytes, true);
    cr_assert_lt(file.bytes, 10000);
    expect(&file, zeros, bytes, "");
    free(zeros);
    mill_buf_free(&file);
}

static mill_status read_once(simfs *sim, mill_error *err)
{
    mill_stream *stream;
    uint8_t data[2000];
    size_t got = 1;
    MILL_TRY(mill_stream_open(simfs_fs(sim), MILL_FS_CWD, "in", &stream, err));
    mill_status status = MILL_OK;
    while (status == MILL_OK && got != 0)
        status = mill_stream_read(stream, data, sizeof data, &got, err);
    mill_status closed = mill_stream_close(stream, status == MILL_OK ? err : NULL);
    return status != MILL_OK ? status : closed;
}

Test(stream, p05_p08_failing_calls_and_allocations_are_errors_and_leak_nothing)
{
    for (int kind = 0; kind < 3; kind++) {
        mill_buf file = {0};
        if (kind == 0)
            add_bytes(&file, text, sizeof text);
        else if (kind == 1)
            add_gzip(&file, text, sizeof text);
        else
            add_zstd(&file, text, sizeof text, true);
        simfs *sim = simfs_create();
        simfs_put(sim, "in", file.data, file.bytes);
        simfs_set_faults(sim, NULL);
        uint64_t allocations = mill_alloc_count();
        cr_assert_eq(read_once(sim, NULL), MILL_OK);
        allocations = mill_alloc_count() - allocations;
        uint64_t calls = simfs_calls(sim);
        for (uint64_t n = 1; n <= calls; n++) {
            simfs_faults faults = {.fail_call = n, .fail_errno = EIO};
            simfs_set_faults(sim, &faults);
            mill_error err = {0};
            cr_assert_eq(read_once(sim, &err), MILL_IO, "call %llu", (unsigned long long)n);
            cr_assert_eq(err.sys_errno, EIO);
            cr_assert_eq(simfs_open_handles(sim), 0);
        }
        simfs_set_faults(sim, NULL);
        for (uint64_t n = 0; n < allocations; n++) {
            mill_alloc_fail_after(n);
            mill_status status = read_once(sim, NULL);
            mill_alloc_fail_after(UINT64_MAX);
            cr_assert_eq(status, MILL_NOMEM);
            cr_assert_eq(simfs_open_handles(sim), 0);
        }
        cr_assert_geq(allocations, 3);
        simfs_destroy(sim);
        mill_buf_free(&file);
    }
}

Test(stream, p12_an_input_that_changes_while_it_is_read_is_refused)
{
    simfs *sim = simfs_create();
    simfs_put(sim, "in", "abc", 3);
    mill_stream *stream;
    cr_assert_eq(mill_stream_open(simfs_fs(sim), MILL_FS_CWD, "in", &stream, NULL), MILL_OK);
    simfs_put(sim, "in", "abd", 3); // same size, another time
    mill_error err = {0};
    cr_assert_eq(mill_stream_close(stream, &err), MILL_INPUT);
    cr_assert_not_null(strstr(err.message, "in: changed while it was read"));
    cr_assert_eq(simfs_open_handles(sim), 0);
    cr_assert_eq(mill_stream_close(NULL, NULL), MILL_OK);
    simfs_destroy(sim);
}

Test(stream, absent_files_and_directories_are_refused_by_name)
{
    simfs *sim = simfs_create();
    simfs_put(sim, "d/f", "x", 1);
    mill_stream *stream;
    mill_error err;
    cr_assert_eq(mill_stream_open(simfs_fs(sim), MILL_FS_CWD, "absent", &stream, &err), MILL_IO);
    cr_assert_null(stream);
    cr_assert_eq(mill_stream_open(simfs_fs(sim), MILL_FS_CWD, "d", &stream, &err), MILL_INPUT);
    cr_assert_eq(simfs_open_handles(sim), 0);
    simfs_destroy(sim);
}
