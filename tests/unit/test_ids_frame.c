// Texts of numbers as one zstd frame: both searches give the same sequences, which are true; libzstd reads the frame back; its
// bytes are the same for any number of helpers.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "shard/ids_match.h"
#include "shard/ids_frame.h"
#include "simfs.h"

static mill_ids_finder finder;

static uint64_t draw(uint64_t *seed, uint64_t below)
{
    return mill_draw_below(mill_draw(11, MILL_DRAW_TEST, (mill_key){++*seed, below}, 0), below);
}

static bool is_kept_back(uint32_t offset)
{
    return offset == 1 || offset == 4 || offset == 8;
}

// What a decoder does with them gives the text again.
static void check_sequences(const uint8_t *text, size_t bytes, const ZSTD_Sequence *sequences, size_t count)
{
    size_t at = 0, block = 0;
    for (size_t i = 0; i < count; i++) {
        const ZSTD_Sequence s = sequences[i];
        at += s.litLength;
        if (s.matchLength == 0) {
            cr_assert(s.offset == 0 && (at == bytes || at - block == MILL_IDS_BLOCK_BYTES), "a block ends at %zu", at);
            block = at;
            continue;
        }
        cr_assert(s.offset != 0 && s.offset <= at && s.offset <= 1u << MILL_IDS_WINDOW_LOG, "offset %u at %zu", s.offset, at);
        cr_assert(!is_kept_back(s.offset), "offset %u at %zu", s.offset, at);
        cr_assert(s.matchLength >= MILL_IDS_MATCH_MIN && at + s.matchLength <= bytes);
        cr_assert(at + s.matchLength - block <= MILL_IDS_BLOCK_BYTES);
        for (size_t k = 0; k < s.matchLength; k++)
            cr_assert_eq(text[at + k], text[at + k - s.offset]);
        at += s.matchLength;
    }
    cr_assert_eq(at, bytes);
}

// The text lies at the end of its memory, where reading on is found out by the sanitizers.
static void check_search(const uint8_t *text, size_t bytes)
{
    const size_t most = mill_ids_sequences_max(bytes);
    uint8_t *exact = malloc(bytes + 1);
    ZSTD_Sequence *plain = malloc(most * sizeof *plain), *fast = malloc(most * sizeof *fast);
    memcpy(exact + 1, text, bytes);
    const size_t count = mill_ids_find_ref(&finder, exact + 1, bytes, plain);
    cr_assert_leq(count, most);
    check_sequences(text, bytes, plain, count);
    if (mill_ids_avx2_supported()) {
        cr_assert_eq(mill_ids_find_avx2(&finder, exact + 1, bytes, fast), count, "%zu bytes", bytes);
        cr_assert(memcmp(plain, fast, count * sizeof *plain) == 0, "%zu bytes", bytes);
    }
    free(exact);
    free(plain);
    free(fast);
}

static void by_helpers(const uint8_t *text, size_t bytes, uint32_t helpers, mill_buf *out)
{
    mill_error err = {0};
    mill_outfile file;
    mill_ids_frame *frame;
    char sha256[65];
    const uint8_t *data;
    size_t got;
    simfs *sim = simfs_create();
    cr_assert_eq(mill_outfile_open(&file, simfs_fs(sim), MILL_FS_CWD, "shard", &err), MILL_OK, "%s", err.message);
    cr_assert_eq(mill_ids_frame_open(&file, helpers, &frame, &err), MILL_OK, "%s", err.message);
    for (size_t at = 0; at < bytes; at += MILL_IDS_JOB_BYTES) {
        const size_t here = bytes - at < MILL_IDS_JOB_BYTES ? bytes - at : MILL_IDS_JOB_BYTES;
        cr_assert_eq(mill_ids_frame_add(frame, text + at, here, &err), MILL_OK, "%s", err.message);
    }
    cr_assert_eq(mill_ids_frame_finish(frame, &err), MILL_OK, "%s", err.message);
    mill_ids_frame_close(frame);
    cr_assert_eq(mill_outfile_finish(&file, true, sha256, &err), MILL_OK, "%s", err.message);
    cr_assert(simfs_get(sim, "shard", &data, &got));
    cr_assert_eq(mill_buf_append(out, data, got, &err), MILL_OK);
    simfs_destroy(sim);
}

static void check_frame(const uint8_t *text, size_t bytes, bool threads)
{
    mill_error err = {0};
    mill_buf frame = {0}, other = {0}, back = {0};
    cr_assert_eq(mill_ids_frame_append(text, bytes, &frame, &err), MILL_OK, "%s", err.message);
    cr_assert_eq(mill_buf_reserve(&back, bytes + 1, &err), MILL_OK);
    cr_assert_eq(ZSTD_findFrameCompressedSize(frame.data, frame.bytes), frame.bytes, "one frame");
    cr_assert(frame.data[4] & 4, "a checksum");
    const size_t got = ZSTD_decompress(back.data, bytes + 1, frame.data, frame.bytes);
    cr_assert(!ZSTD_isError(got), "%s", ZSTD_getErrorName(got));
    cr_assert(got == bytes && (bytes == 0 || memcmp(back.data, text, bytes) == 0));
    for (uint32_t helpers = 0; threads && helpers < 4; helpers++) {
        mill_buf_clear(&other);
        by_helpers(text, bytes, helpers, &other);
        cr_assert(other.bytes == frame.bytes && memcmp(other.data, frame.data, frame.bytes) == 0, "%u helpers", helpers);
    }
    mill_buf_free(&frame);
    mill_buf_free(&other);
    mill_buf_free(&back);
}

// Numbers below `limit`, each of `kinds` ways to go on from the one before: few kinds repeat much.
static void write_numbers(uint8_t *text, size_t bytes, uint64_t limit, uint64_t kinds, uint64_t seed)
{
    uint64_t number = 0;
    for (size_t at = 0; at < bytes;) {
        char digits[24];
        const int length = snprintf(digits, sizeof digits, "%llu,", (unsigned long long)number);
        for (int i = 0; i < length && at < bytes; i++)
            text[at++] = (uint8_t)digits[i];
        number = (number * 31 + draw(&seed, kinds)) % limit;
    }
}

Test(ids_frame, both_searches_are_the_same_and_true)
{
    const size_t sizes[] = {0,     1,     8,     9,     17,    18,     19,     20,     63,     64,     65,     127,   128,
                            129,   1000,  16383, 16384, 16385, 16394,  131071, 131072, 131073, 131081, 131082, 131083, 300000};
    uint8_t *text = malloc(300000);
    for (uint64_t seed = 0; seed < 12; seed++) {
        write_numbers(text, 300000, seed % 2 == 0 ? 50000 : 9, 1 + seed % 4, seed * 1000000);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            check_search(text, sizes[i]);
    }
    for (uint64_t seed = 0; seed < 300; seed++) { // short ones of few letters
        const size_t bytes = (size_t)draw(&seed, 700);
        for (size_t i = 0; i < bytes; i++) {
            uint64_t at = seed * 1000 + i;
            text[i] = (uint8_t)",,1 "[draw(&at, 2 + seed % 3)];
        }
        check_search(text, bytes);
    }
    free(text);
}

// Each period puts the same number of bytes between what repeats; those that a decoder begins with are among them.
Test(ids_frame, periods_of_any_length_come_back)
{
    const size_t bytes = 3 * MILL_IDS_JOB_BYTES / 2;
    uint8_t *text = malloc(bytes);
    for (size_t period = 1; period <= 17; period++) {
        for (size_t i = 0; i < bytes; i++)
            text[i] = i % period == 0 ? ',' : (uint8_t)('1' + i % period % 9);
        check_search(text, 200000);
        check_frame(text, bytes, false);
    }
    free(text);
}

Test(ids_frame, any_text_comes_back_for_any_number_of_helpers)
{
    const size_t job = MILL_IDS_JOB_BYTES, sizes[] = {0, 1, 100000, job - 1, job, job + 1, 9 * job + 12345};
    uint8_t *text = malloc(10 * MILL_IDS_JOB_BYTES);
    for (int form = 0; form < 3; form++) {
        uint64_t seed = 5;
        if (form == 0)
            write_numbers(text, 10 * MILL_IDS_JOB_BYTES, 32000, 3, 77);
        else
            for (size_t i = 0; i < 10 * MILL_IDS_JOB_BYTES; i++) // bytes that cannot be made smaller; the same byte
                text[i] = form == 1 ? (uint8_t)draw(&seed, 256) : ',';
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            check_frame(text, sizes[i], form == 0);
    }
    free(text);
}

Test(ids_frame, runs_out_of_memory_at_any_allocation)
{
    const size_t bytes = 2 * MILL_IDS_JOB_BYTES + 5;
    uint8_t *text = malloc(bytes);
    write_numbers(text, bytes, 32000, 3, 3);
    bool done = false;
    for (uint64_t n = 0; !done; n++) {
        mill_error err = {0};
        mill_buf frame = {0};
        mill_alloc_fail_after(n);
        const mill_status status = mill_ids_frame_append(text, bytes, &frame, &err);
        mill_alloc_fail_after(UINT64_MAX);
        cr_assert(status == MILL_OK || (status == MILL_NOMEM && err.message[0] != '\0'), "allocation %u: %d", (unsigned)n, status);
        done = status == MILL_OK;
        mill_buf_free(&frame);
    }
    free(text);
}

// What a helper cannot do is told to the caller.
Test(ids_frame, a_helper_that_fails_is_told)
{
    const size_t bytes = 6 * MILL_IDS_JOB_BYTES;
    uint8_t *text = malloc(bytes);
    write_numbers(text, bytes, 32000, 3, 3);
    bool whole = false;
    for (uint64_t n = 0; !whole; n++) {
        mill_error err = {0};
        mill_outfile file;
        mill_ids_frame *frame = NULL;
        char sha256[65];
        simfs *sim = simfs_create();
        cr_assert_eq(mill_outfile_open(&file, simfs_fs(sim), MILL_FS_CWD, "shard", &err), MILL_OK, "%s", err.message);
        mill_alloc_fail_after(n);
        mill_status status = mill_ids_frame_open(&file, 2, &frame, &err);
        for (size_t at = 0; status == MILL_OK && at < bytes; at += MILL_IDS_JOB_BYTES)
            status = mill_ids_frame_add(frame, text + at, MILL_IDS_JOB_BYTES, &err);
        if (status == MILL_OK)
            status = mill_ids_frame_finish(frame, &err);
        mill_ids_frame_close(frame);
        mill_alloc_fail_after(UINT64_MAX);
        cr_assert(status == MILL_OK || (status == MILL_NOMEM && err.message[0] != '\0'), "allocation %u: %d", (unsigned)n, status);
        whole = status == MILL_OK && n > 40;
        if (status == MILL_OK)
            cr_assert_eq(mill_outfile_finish(&file, true, sha256, &err), MILL_OK);
        mill_outfile_abort(&file);
        simfs_destroy(sim);
    }
    free(text);
}
