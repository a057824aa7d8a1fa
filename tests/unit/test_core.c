// test_core.c: text, buffers, errors, digests and log lines.
#include "core/alloc.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/pool.h"
#include "core/rng.h"
#include "core/utf8.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

// ---- utf8

// Decodes by arithmetic, without the table of the standard: a sequence is valid if it is the shortest form of a scalar value.
static size_t decoded_length(const uint8_t *t, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = t[0] < 0x80 ? 1 : (t[0] & 0xe0) == 0xc0 ? 2 : (t[0] & 0xf0) == 0xe0 ? 3 : (t[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (length == 0 || length > bytes)
        return 0;
    uint32_t c = length == 1 ? t[0] : t[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((t[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (t[i] & 0x3f);
    }
    return c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : length;
}

Test(core, utf8_accepts_exactly_the_shortest_forms_of_scalar_values)
{
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (uint32_t two = 0; two < 0x10000; two++) {
        for (size_t i = 0; i < sizeof edges; i++) {
            for (size_t k = 0; k < sizeof edges; k++) {
                const uint8_t text[4] = {(uint8_t)(two >> 8), (uint8_t)two, edges[i], edges[k]};
                for (size_t bytes = 1; bytes <= 4; bytes++)
                    if (mill_utf8_sequence(text, bytes) != decoded_length(text, bytes))
                        cr_assert_fail("%02x %02x %02x %02x in %zu", text[0], text[1], text[2], text[3], bytes);
            }
        }
    }
}

Test(core, utf8_encode_and_decode_are_inverse_for_every_scalar_value)
{
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c < 0xe000)
            continue;
        uint8_t text[4];
        size_t length = mill_utf8_encode(c, text), decoded;
        if (mill_utf8_sequence(text, length) != length || mill_utf8_decode(text, &decoded) != c || decoded != length)
            cr_assert_fail("U+%04x", c);
    }
}

Test(core, utf8_valid_finds_the_first_bad_byte_at_any_offset)
{
    uint8_t text[64];
    for (size_t at = 0; at < sizeof text; at++) {
        memset(text, 'x', sizeof text);
        text[at] = 0xff;
        size_t bad = 999;
        cr_assert(!mill_utf8_valid(text, sizeof text, &bad) && bad == at);
        cr_assert(mill_utf8_valid(text, at, NULL));
    }
}

Test(core, utf8_replace_equals_python_decode_replace)
{
    // python: b.decode("utf-8", "replace").encode()
    static const char *const cases[][2] = {
        {"\xff", "\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd"},
        {"\xe2\x82" "A", "\xef\xbf\xbd" "A"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"ab\xf0\x80\x80\x80" "c", "ab\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "c"},
        {"\xe0\x9f\xbf\xc3\xa9", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[64];
        size_t length = mill_utf8_replace((const uint8_t *)cases[i][0], strlen(cases[i][0]), out, NULL);
        cr_assert_eq(length, strlen(cases[i][1]), "case %zu", i);
        cr_assert_arr_eq(out, cases[i][1], length, "case %zu", i);
    }
}

// ---- buffers

static void expect_json(const char *text, size_t bytes, const char *wanted)
{
    mill_buf buf = {0};
    cr_assert_eq(mill_buf_append_json(&buf, text, bytes, NULL), MILL_OK);
    cr_assert_eq(buf.bytes, strlen(wanted), "%.*s", (int)buf.bytes, (char *)buf.data);
    cr_assert_arr_eq(buf.data, wanted, buf.bytes);
    mill_buf_free(&buf);
}

Test(core, json_strings_are_those_of_python_with_DEL_escaped_too)
{
    static const char text[] = "a\"b\\c\n\r\t\b\f\0\x1f \xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80/";
    expect_json(text, sizeof text - 1,
                "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0000\\u001f \xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80/\"");
    expect_json("\x7f", 1, "\"\\u007f\"");
    expect_json("", 0, "\"\"");
}

Test(core, json_strings_replace_what_is_not_utf8)
{
    expect_json("a\xff" "b\xe2\x82", 5, "\"a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd\"");
    expect_json("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

Test(core, buffers_append_numbers_and_formats)
{
    mill_buf buf = {0};
    cr_assert_eq(mill_buf_append_u64(&buf, 0, NULL), MILL_OK);
    cr_assert_eq(mill_buf_append_u64(&buf, UINT64_MAX, NULL), MILL_OK);
    cr_assert_eq(mill_buf_printf(&buf, NULL, "-%s-%d", "x", 7), MILL_OK);
    cr_assert_eq(buf.bytes, 25);
    cr_assert_arr_eq(buf.data, "018446744073709551615-x-7", 25);
    mill_buf_free(&buf);
}

Test(core, p08_a_failed_allocation_leaves_the_buffer_as_it_was)
{
    char text[100];
    memset(text, '"', sizeof text);
    for (uint64_t allowed = 0;; allowed++) {
        mill_buf buf = {0};
        mill_error err = {0};
        cr_assert_eq(mill_buf_append_text(&buf, "seed", NULL), MILL_OK);
        mill_alloc_fail_after(allowed);
        mill_status status = mill_buf_append_json(&buf, text, sizeof text, &err);
        mill_alloc_fail_after(UINT64_MAX);
        bool whole = status == MILL_OK;
        cr_assert(whole || status == MILL_NOMEM);
        cr_assert_eq(buf.bytes, whole ? 4 + 202 : 4);
        cr_assert_arr_eq(buf.data, "seed", 4);
        cr_assert(whole || err.status == MILL_NOMEM);
        mill_buf_free(&buf);
        if (whole) {
            cr_assert(allowed > 0, "no allocation was failed");
            break;
        }
    }
}

Test(core, a_copy_of_nothing_is_an_empty_text)
{
    char *copy = mill_strndup(NULL, 0); // a span of an empty batch; memcpy may not be asked to
    cr_assert_not_null(copy);
    cr_expect_str_empty(copy);
    mill_free(copy);
}

Test(core, growing_beyond_the_address_space_is_out_of_memory)
{
    mill_buf buf = {0};
    cr_assert_eq(mill_buf_reserve(&buf, SIZE_MAX, NULL), MILL_NOMEM);
    cr_assert_eq(mill_buf_append_text(&buf, "x", NULL), MILL_OK);
    cr_assert_eq(mill_buf_reserve(&buf, SIZE_MAX, NULL), MILL_NOMEM);
    cr_assert_null(mill_realloc_array(NULL, SIZE_MAX / 2, 3));
    mill_buf_free(&buf);
}

// ---- errors

Test(core, p06_the_reason_of_a_failed_call_survives_a_long_name)
{
    char name[2000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    mill_error err;
    cr_assert_eq(mill_fail_errno(&err, ENOSPC, "%s: cannot write", name), MILL_NOSPC);
    cr_assert_not_null(strstr(err.message, "nn...: No space left on device; free space"));
    cr_assert_eq(mill_fail_errno(&err, EIO, "x: cannot read"), MILL_IO);
    cr_assert_str_eq(err.message, "x: cannot read: Input/output error");
    cr_assert_eq(err.sys_errno, EIO);
    cr_assert_eq(mill_fail_errno(NULL, ENOMEM, "x"), MILL_NOMEM);
}

Test(core, a_pool_gives_aligned_blocks_that_never_overlap_and_keep_their_bytes)
{
    enum { SLOTS = 64, ROUNDS = 20000 };
    mill_pool pool = {0};
    struct {
        uint8_t *block;
        size_t bytes;
        uint8_t fill;
    } slots[SLOTS] = {0};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t draw = mill_draw(5, MILL_DRAW_TEST, (mill_key){0, 0}, round);
        uint32_t i = (uint32_t)(draw % SLOTS);
        size_t bytes = (draw >> 8) % 64 == 0 ? (draw >> 16) % 600000 : (draw >> 16) % 3000;
        for (size_t k = 0; k < slots[i].bytes; k++)
            cr_assert_eq(slots[i].block[k], slots[i].fill, "round %u", round);
        if ((draw >> 14) % 3 == 0 && slots[i].block != NULL) {
            mill_pool_release(&pool, slots[i].block);
            slots[i].block = NULL;
            slots[i].bytes = 0;
            continue;
        }
        uint8_t *block = slots[i].block == NULL ? mill_pool_alloc(&pool, bytes) : mill_pool_realloc(&pool, slots[i].block, bytes);
        cr_assert(block != NULL && (uintptr_t)block % 16 == 0);
        for (size_t k = 0; k < slots[i].bytes && k < bytes; k++)
            cr_assert_eq(block[k], slots[i].fill, "round %u: moved", round);
        slots[i].block = block;
        slots[i].bytes = bytes;
        slots[i].fill = (uint8_t)round;
        if (bytes != 0)
            memset(block, slots[i].fill, bytes);
        if (round % 5000 == 4999) {
            mill_pool_reset(&pool);
            memset(slots, 0, sizeof slots);
        }
    }
    mill_pool_free(&pool);
    mill_alloc_fail_after(0);
    void *none = mill_pool_alloc(&pool, 1);
    mill_alloc_fail_after(UINT64_MAX);
    cr_assert_null(none);
}

Test(core, a_table_begins_with_a_cache_line_and_is_zero)
{
    static const size_t counts[] = {0, 1, 63, 64, 4096, (2 << 20) - 1, 2 << 20, (4 << 20) + 5};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int again = 0; again < 2; again++) {
            uint8_t *table = mill_alloc_table(counts[i], 1);
            cr_assert_not_null(table);
            cr_assert_eq((uintptr_t)table % (counts[i] < 2 << 20 ? 64 : 2 << 20), 0);
            for (size_t k = 0; k < counts[i]; k++)
                cr_assert(table[k] == 0);
            memset(table, 0xff, counts[i]);
            mill_free(table);
        }
    }
    cr_assert_null(mill_alloc_table(SIZE_MAX / 2, 3));
    cr_assert_null(mill_alloc_table(SIZE_MAX - 1, 1));
    mill_alloc_fail_after(0);
    void *none = mill_alloc_table(1, 1);
    mill_alloc_fail_after(UINT64_MAX);
    cr_assert_null(none);
}

Test(core, p17_messages_carry_no_control_bytes)
{
    mill_error err;
    (void)mill_fail(&err, MILL_INPUT, "a\x1b[31mb\nc\x7f");
    cr_assert_str_eq(err.message, "a?[31mb?c?");
}

static void keep_line(void *context, mill_log_level level, const char *line)
{
    (void)level;
    strcpy(context, line);
}

Test(core, p17_log_lines_show_control_bytes_and_drop_what_is_too_detailed)
{
    static char line[4096];
    mill_log log = {MILL_LOG_INFO, keep_line, line};
    mill_log_line(&log, MILL_LOG_INFO, "a%sb", "\x1b]\n\xc2\x9b\xc3\xa9\xff");
    cr_assert_str_eq(line, "a\\x1b]\\x0a\\xc2\\x9b\xc3\xa9\\xff" "b");
    mill_log_line(&log, MILL_LOG_DEBUG, "not this");
    cr_assert_eq(line[0], 'a');
    mill_log_line(NULL, MILL_LOG_ERROR, "nor this");
    char small[8];
    cr_assert_eq(mill_escape_controls("abcde\n", small, sizeof small), 5);
    cr_assert_str_eq(small, "abcde");
}

// ---- digests

Test(core, sha256_gives_the_published_digests)
{
    static const char *const cases[][2] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    };
    for (size_t i = 0; i < 2; i++) {
        void *sha = mill_sha256_create();
        cr_assert_not_null(sha);
        mill_sha256_update(sha, cases[i][0], strlen(cases[i][0]));
        uint8_t digest[32];
        char hex[65];
        mill_sha256_finish(sha, digest);
        mill_hex(digest, sizeof digest, hex);
        cr_assert_str_eq(hex, cases[i][1]);
    }
}

static size_t drawn_below(uint64_t nth, size_t bound)
{
    return (size_t)mill_draw_below(mill_draw(7, MILL_DRAW_TEST, (mill_key){0}, nth), bound);
}

// In each round, one stream begins somewhere, and another at a later piece; both are given the same pieces from there on.
Test(core, sha256_of_two_streams_in_step_equals_each_alone)
{
    static uint8_t text[3000];
    uint64_t draws = 0;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)drawn_below(draws++, 256);
    for (int round = 0; round < 2000; round++) {
        const size_t later = drawn_below(draws++, 200), end = later + drawn_below(draws++, sizeof text - later);
        const size_t most = round % 2 == 0 ? 7 : 700; // pieces inside a block, or of many
        void *both[2] = {mill_sha256_create_lane(), mill_sha256_create_lane()};
        cr_assert(both[0] != NULL && both[1] != NULL);
        mill_sha256_update(both[0], text, later);
        for (size_t at = later, bytes; at < end; at += bytes) {
            bytes = drawn_below(draws++, most);
            bytes = bytes < end - at ? bytes : end - at;
            mill_sha256_update_both(both[0], both[1], text + at, bytes);
        }
        for (int i = 0; i < 2; i++) {
            const size_t begin = i == 0 ? 0 : later;
            uint8_t seen[32], expected[32];
            mill_sha256_finish(both[i], seen);
            void *alone = mill_sha256_create();
            cr_assert_not_null(alone);
            mill_sha256_update(alone, text + begin, end - begin);
            mill_sha256_finish(alone, expected);
            cr_assert(memcmp(seen, expected, 32) == 0, "bytes [%zu, %zu), the other from %zu", begin, end, later);
        }
    }
}

// Of every length up to some blocks, whole and in pieces.
Test(core, sha1_beside_sha256_equals_each_alone)
{
    static uint8_t text[700];
    uint64_t draws = 0;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)drawn_below(draws++, 256);
    for (size_t bytes = 0; bytes <= sizeof text; bytes++) {
        for (size_t most = 1; most < 1000; most *= 9) {
            uint8_t seen[52], expected[52];
            void *pair = mill_sha256_create_with_sha1(), *sha256 = mill_sha256_create(), *sha1 = mill_sha1_create();
            cr_assert(pair != NULL && sha256 != NULL && sha1 != NULL);
            for (size_t at = 0, piece; at < bytes; at += piece) {
                piece = 1 + drawn_below(draws++, most);
                piece = piece < bytes - at ? piece : bytes - at;
                mill_sha256_update(pair, text + at, piece);
            }
            mill_sha256_update(sha256, text, bytes);
            mill_sha256_update(sha1, text, bytes);
            mill_sha256_take_sha1(pair, seen);
            mill_sha256_finish(pair, seen + 20);
            mill_sha1_finish(sha1, expected);
            mill_sha256_finish(sha256, expected + 20);
            cr_assert(memcmp(seen, expected, sizeof seen) == 0, "%zu bytes in pieces of up to %zu", bytes, most);
        }
    }
}

Test(core, sha256_lanes_of_different_kinds_can_be_mixed)
{
    void *lane = mill_sha256_create_lane(), *library = mill_sha256_create();
    uint8_t digests[2][32];
    cr_assert(lane != NULL && library != NULL);
    mill_sha256_update_both(lane, library, "abc", 3);
    mill_sha256_finish(lane, digests[0]);
    mill_sha256_finish(library, digests[1]);
    cr_assert(memcmp(digests[0], digests[1], 32) == 0);
}

// Both ways of counting, at every length around the steps of the fast one; lanes would be full after 255 of them.
Test(core, utf8_characters_are_counted_in_both_ways)
{
    enum { BYTES = 3 * 255 * 32 + 77 };
    uint8_t *text = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        text[i] = (uint8_t)(i % 7 == 0 ? 0x80 + i % 64 : i * 37);
    for (size_t bytes = 0; bytes <= BYTES; bytes += bytes < 200 ? 1 : 97) {
        uint64_t count = 0;
        for (size_t i = BYTES - bytes; i < BYTES; i++)
            count += text[i] < 0x80 || text[i] > 0xbf;
        cr_assert_eq(mill_utf8_count(text + BYTES - bytes, bytes), count, "%zu bytes", bytes);
    }
    memset(text, 'a', BYTES);
    cr_assert_eq(mill_utf8_count(text, BYTES), BYTES);
    free(text);
}
