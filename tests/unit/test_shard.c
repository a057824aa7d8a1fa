// test_shard.c: shard lines byte for byte, the fast writer against the plain one, zstd frames, files through zstd, docs lines.
#include "core/rng.h"
#include "shard/container.h"
#include "shard/docs.h"
#include "shard/shard_out.h"
#include "simfs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static const uint32_t ids[] = {1, 2, 31999, 0, 65535};
static const uint32_t bounds[] = {0, 2, 5};
static const mill_sample sample = {.ids = ids, .count = 5, .cu_seqlens = bounds, .row_count = 2, .number = 77};

static void check_line(mill_shard_options options, const mill_sample *s, const char *expected)
{
    mill_error err = {0};
    mill_buf plain = {0}, fast = {0};
    mill_shard_writer *writer;
    cr_assert_eq(mill_shard_jsonl_append(&options, s, &plain, &err), MILL_OK, "%s", err.message);
    cr_assert_eq(mill_shard_writer_open(&options, &writer, &err), MILL_OK);
    cr_assert_eq(mill_shard_writer_append(writer, s, &fast, &err), MILL_OK, "%s", err.message);
    cr_assert_eq(plain.bytes, strlen(expected));
    cr_assert_arr_eq(plain.data, expected, plain.bytes);
    cr_assert_eq(fast.bytes, plain.bytes);
    cr_assert_arr_eq(fast.data, plain.data, plain.bytes);
    mill_shard_writer_close(writer);
    mill_buf_free(&plain);
    mill_buf_free(&fast);
}

// The spaced lines are what CPython's json.dumps({"input_ids": ids, "length": len(ids)}) + "\n" gives.
Test(shard, lines_have_the_documented_bytes)
{
    const mill_sample none = {.ids = ids, .count = 0, .cu_seqlens = bounds, .row_count = 0};
    const mill_sample one = {.ids = ids, .count = 1};
    mill_shard_options options = {.vocab_size = 65536};
    check_line(options, &sample, "{\"input_ids\":[1,2,31999,0,65535],\"length\":5}\n");
    check_line(options, &none, "{\"input_ids\":[],\"length\":0}\n");
    options.boundaries = true;
    check_line(options, &sample, "{\"input_ids\":[1,2,31999,0,65535],\"length\":5,\"cu_seqlens\":[0,2,5]}\n");
    check_line(options, &none, "{\"input_ids\":[],\"length\":0,\"cu_seqlens\":[0]}\n");
    options.python_spacing = true;
    check_line(options, &sample, "{\"input_ids\": [1, 2, 31999, 0, 65535], \"length\": 5, \"cu_seqlens\": [0, 2, 5]}\n");
    options.boundaries = false;
    check_line(options, &sample, "{\"input_ids\": [1, 2, 31999, 0, 65535], \"length\": 5}\n");
    check_line(options, &none, "{\"input_ids\": [], \"length\": 0}\n");
    check_line(options, &one, "{\"input_ids\": [1], \"length\": 1}\n");
}

Test(shard, every_column_has_its_place_in_a_line)
{
    static const uint32_t positions[] = {0, 1, 70000, 999999, INT32_MAX};
    static const uint8_t mask[] = {0, 1, 1, 0, 1};
    mill_sample all = sample;
    all.positions = positions;
    all.loss_mask = mask;
    mill_shard_options options = {.vocab_size = 65536, .boundaries = true, .positions = true, .loss_mask = true};
    check_line(options, &all,
               "{\"input_ids\":[1,2,31999,0,65535],\"length\":5,\"cu_seqlens\":[0,2,5],"
               "\"position_ids\":[0,1,70000,999999,2147483647],\"loss_mask\":[0,1,1,0,1]}\n");
    options.boundaries = options.loss_mask = false;
    options.python_spacing = true;
    check_line(options, &all,
               "{\"input_ids\": [1, 2, 31999, 0, 65535], \"length\": 5, \"position_ids\": [0, 1, 70000, 999999, 2147483647]}\n");
    all.count = 0;
    check_line(options, &all, "{\"input_ids\": [], \"length\": 0, \"position_ids\": []}\n");
}

Test(shard, the_fast_writer_equals_the_plain_one_for_ids_of_every_width)
{
    const uint32_t vocabularies[] = {1, 10, 65536, 999999, 1000000, 1000001, UINT32_MAX};
    for (size_t v = 0; v < sizeof vocabularies / sizeof vocabularies[0]; v++) {
        for (int spacing = 0; spacing < 2; spacing++) {
            mill_shard_options options = {.vocab_size = vocabularies[v], .python_spacing = spacing != 0};
            mill_shard_writer *writer;
            mill_error err = {0};
            cr_assert_eq(mill_shard_writer_open(&options, &writer, &err), MILL_OK);
            mill_buf plain = {0}, fast = {0};
            for (uint32_t s = 0; s < 20; s++) {
                uint32_t many[300];
                for (uint32_t i = 0; i < 300; i++) {
                    uint64_t bits = mill_draw(s, MILL_DRAW_INSPECT, (mill_key){i, 0}, 0);
                    uint64_t top = (uint64_t)1 << (bits % 33); // every number of digits
                    uint64_t below = top < vocabularies[v] ? top : vocabularies[v];
                    many[i] = i < 2 ? vocabularies[v] - 1 : (uint32_t)mill_draw_below(bits, below);
                }
                mill_sample each = {.ids = many, .count = s * 15};
                cr_assert_eq(mill_shard_jsonl_append(&options, &each, &plain, &err), MILL_OK, "%s", err.message);
                cr_assert_eq(mill_shard_writer_append(writer, &each, &fast, &err), MILL_OK, "%s", err.message);
            }
            cr_assert_eq(plain.bytes, fast.bytes);
            cr_assert_eq(memcmp(plain.data, fast.data, plain.bytes), 0);
            mill_buf_free(&plain);
            mill_buf_free(&fast);
            mill_shard_writer_close(writer);
        }
    }
}

static void check_refused(mill_shard_options options, const mill_sample *s, const char *in_message)
{
    mill_shard_writer *writer;
    mill_error err = {0};
    mill_buf out = {0};
    cr_assert_eq(mill_buf_append_text(&out, "before", &err), MILL_OK);
    cr_assert_eq(mill_shard_jsonl_append(&options, s, &out, &err), MILL_INTERNAL);
    cr_assert_not_null(strstr(err.message, in_message), "%s", err.message);
    cr_assert_eq(mill_shard_writer_open(&options, &writer, &err), MILL_OK);
    err.message[0] = '\0';
    cr_assert_eq(mill_shard_writer_append(writer, s, &out, &err), MILL_INTERNAL);
    cr_assert_not_null(strstr(err.message, in_message), "%s", err.message);
    cr_assert_eq(out.bytes, 6, "a failure leaves the shard as it was");
    mill_shard_writer_close(writer);
    mill_buf_free(&out);
}

Test(shard, an_id_outside_the_vocabulary_is_an_error_that_names_sample_and_id)
{
    check_refused((mill_shard_options){.vocab_size = 65535}, &sample, "sample 77: token 4 is id 65535");
    check_refused((mill_shard_options){.vocab_size = 31999, .python_spacing = true}, &sample, "sample 77: token 2 is id 31999");
    check_refused((mill_shard_options){.vocab_size = 0}, &sample, "sample 77: token 0");
}

Test(shard, boundaries_that_do_not_cover_the_sample_are_refused)
{
    const uint32_t wrong[][3] = {{1, 2, 5}, {0, 2, 4}, {0, 6, 5}};
    mill_shard_options options = {.vocab_size = 65536, .boundaries = true};
    mill_sample bad = sample;
    for (size_t i = 0; i < 3; i++) {
        bad.cu_seqlens = wrong[i];
        check_refused(options, &bad, "row boundaries");
    }
    bad.cu_seqlens = NULL;
    check_refused(options, &bad, "row boundaries");
}

Test(shard, a_column_that_is_missing_is_refused)
{
    check_refused((mill_shard_options){.vocab_size = 65536, .positions = true}, &sample, "sample 77: its positions are missing");
    check_refused((mill_shard_options){.vocab_size = 65536, .loss_mask = true}, &sample, "sample 77: its loss mask is missing");
}

Test(shard, positions_count_up_and_end_below_their_type)
{
    uint32_t positions[3] = {9, 9, 9};
    mill_error err = {0};
    cr_assert_eq(mill_positions_fill(7, 2, 1, positions, &err), MILL_OK);
    cr_assert(positions[0] == 7 && positions[1] == 8 && positions[2] == 9);
    cr_assert_eq(mill_positions_fill(INT32_MAX - 2, 2, 1, positions, &err), MILL_OK);
    cr_assert_eq(positions[1], INT32_MAX - 1);
    cr_assert_eq(mill_positions_fill(INT32_MAX - 2, 3, 1, positions, &err), MILL_INPUT);
    cr_assert_eq(mill_positions_fill(UINT64_MAX, 1, 1, positions, &err), MILL_INPUT);
}

Test(shard, zstd_makes_one_frame_with_size_and_checksum_that_restores_the_bytes)
{
    mill_buf text = {0}, frame = {0}, again = {0};
    mill_error err = {0};
    mill_shard_options options = {.vocab_size = 65536};
    for (int i = 0; i < 2000; i++)
        cr_assert_eq(mill_shard_jsonl_append(&options, &sample, &text, &err), MILL_OK);
    for (int level = 1; level <= 5; level += 2) {
        mill_buf_clear(&frame);
        mill_buf_clear(&again);
        cr_assert_eq(mill_shard_zstd(text.data, text.bytes, level, false, &frame, &err), MILL_OK, "%s", err.message);
        cr_assert_eq(ZSTD_findFrameCompressedSize(frame.data, frame.bytes), frame.bytes);
        cr_assert_eq(ZSTD_getFrameContentSize(frame.data, frame.bytes), text.bytes);
        cr_assert(frame.data[4] & 4, "the checksum flag of the frame header");
        cr_assert_eq(mill_buf_reserve(&again, text.bytes, &err), MILL_OK);
        cr_assert_eq(ZSTD_decompress(again.data, text.bytes, frame.data, frame.bytes), text.bytes);
        cr_assert_eq(memcmp(again.data, text.data, text.bytes), 0);
    }
    cr_assert_eq(mill_shard_zstd(text.data, text.bytes, 99, true, &frame, &err), MILL_RECIPE);
    mill_buf_free(&text);
    mill_buf_free(&frame);
    mill_buf_free(&again);
}

Test(shard, docs_lines_have_the_documented_bytes_and_escape_names)
{
    mill_buf out = {0};
    mill_error err = {0};
    mill_doc_line line = {.sample = 3,
                          .begin = 4,
                          .tokens = 5,
                          .file = "in \"a\".jsonl",
                          .file_bytes = 12,
                          .record = 6,
                          .repo = "o/r",
                          .repo_bytes = 3,
                          .path = "a\nb",
                          .path_bytes = 3,
                          .licence = "mitXX",
                          .licence_bytes = 3,
                          .language = "c",
                          .language_bytes = 1,
                          .piece = 7,
                          .text_begin = 8,
                          .text_end = UINT64_MAX,
                          .mode = "psm",
                          .cut_begin = 10,
                          .cut_end = 11,
                          .row_begin = 12,
                          .doc_begin = 13,
                          .last = true};
    cr_assert_eq(mill_docs_append(&line, &out, &err), MILL_OK);
    line.repo = NULL; // nothing known
    line.repo_bytes = 0;
    line.doc_begin = MILL_NO_PLACE;
    line.last = false;
    cr_assert_eq(mill_docs_append(&line, &out, &err), MILL_OK);
    cr_assert_eq(mill_buf_append(&out, "", 1, &err), MILL_OK);
    cr_assert_str_eq(
        (char *)out.data,
        "{\"sample\":3,\"begin\":4,\"tokens\":5,\"file\":\"in \\\"a\\\".jsonl\",\"record\":6,\"repo\":\"o/r\",\"path\":\"a\\nb\","
        "\"licence\":\"mit\",\"language\":\"c\",\"piece\":7,\"text_begin\":8,\"text_end\":18446744073709551615,"
        "\"mode\":\"psm\",\"cut_begin\":10,\"cut_end\":11,\"row_begin\":12,\"doc_begin\":13,\"last\":true}\n"
        "{\"sample\":3,\"begin\":4,\"tokens\":5,\"file\":\"in \\\"a\\\".jsonl\",\"record\":6,\"repo\":\"\",\"path\":\"a\\nb\","
        "\"licence\":\"mit\",\"language\":\"c\",\"piece\":7,\"text_begin\":8,\"text_end\":18446744073709551615,"
        "\"mode\":\"psm\",\"cut_begin\":10,\"cut_end\":11,\"row_begin\":12,\"last\":false}\n");
    mill_buf_free(&out);
}

// ---- a file on its way through zstd

// Writes the text in pieces of up to `most` bytes; gives the file.
static void packed_by(const mill_buf *text, int level, bool numbers, uint32_t workers, size_t most, mill_buf *file)
{
    mill_error err = {0};
    mill_outfile out;
    mill_shard_out shard;
    char sha256[65];
    simfs *sim = simfs_create();
    cr_assert_eq(mill_outfile_open(&out, simfs_fs(sim), MILL_FS_CWD, "shard", &err), MILL_OK, "%s", err.message);
    cr_assert_eq(mill_shard_out_open(&shard, &out, level, numbers, workers, &err), MILL_OK, "%s", err.message);
    mill_buf lines = {0};
    for (size_t at = 0, n = 0; at < text->bytes; n++) {
        size_t piece = (size_t)mill_draw_below(mill_draw(3, MILL_DRAW_TEST, (mill_key){most, n}, 0), most);
        piece = piece < text->bytes - at ? piece : text->bytes - at;
        cr_assert_eq(mill_buf_append(&lines, text->data + at, piece, &err), MILL_OK);
        if (n % 3 != 0)
            cr_assert_eq(mill_shard_out_take(&shard, &lines, &err), MILL_OK, "%s", err.message);
        at += piece;
    }
    cr_assert_eq(mill_shard_out_finish(&shard, &lines, &err), MILL_OK, "%s", err.message);
    mill_buf_free(&lines);
    mill_shard_out_close(&shard);
    cr_assert_eq(mill_outfile_finish(&out, true, sha256, &err), MILL_OK, "%s", err.message);
    const uint8_t *data;
    size_t bytes;
    cr_assert(simfs_get(sim, "shard", &data, &bytes));
    mill_buf_clear(file);
    cr_assert_eq(mill_buf_append(file, data, bytes, &err), MILL_OK);
    simfs_destroy(sim);
}

static bool same_bytes(const mill_buf *a, const mill_buf *b)
{
    return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

Test(shard, a_packed_file_is_one_frame_of_the_same_bytes_for_any_workers_and_pieces)
{
    static const size_t sizes[] = {0, 1, 100000, 3 << 20, (9 << 20) + 77}; // jobs of level 1 are of 2 MiB
    mill_buf text = {0}, first = {0}, other = {0}, again = {0};
    mill_error err = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        while (text.bytes < sizes[i]) {
            const uint64_t number = mill_draw(5, MILL_DRAW_TEST, (mill_key){text.bytes, 0}, 0) >> 50;
            cr_assert_eq(mill_buf_append_u64(&text, number, &err), MILL_OK);
            cr_assert_eq(mill_buf_append(&text, ",", 1, &err), MILL_OK);
        }
        for (int form = 0; form < 6; form++) {
            const int level = form / 2 * (form / 2 + 1) / 2; // 0, 1, 3
            const bool numbers = form % 2 != 0;
            packed_by(&text, level, numbers, 1, 1 << 20, &first);
            packed_by(&text, level, numbers, 2, 300, &other);
            cr_assert(same_bytes(&other, &first), "two workers, small pieces");
            packed_by(&text, level, numbers, 5, 5 << 20, &other);
            cr_assert(same_bytes(&other, &first), "five workers, large pieces");
            if (level == 0) {
                cr_assert(same_bytes(&first, &text));
                continue;
            }
            cr_assert_eq(ZSTD_findFrameCompressedSize(first.data, first.bytes), first.bytes);
            cr_assert(first.data[4] & 4, "the checksum flag of the frame header");
            mill_buf_clear(&again);
            cr_assert_eq(mill_buf_reserve(&again, text.bytes + 1, &err), MILL_OK);
            again.bytes = ZSTD_decompress(again.data, text.bytes, first.data, first.bytes);
            cr_assert(same_bytes(&again, &text));
        }
    }
    mill_buf_free(&text);
    mill_buf_free(&first);
    mill_buf_free(&other);
    mill_buf_free(&again);
}
