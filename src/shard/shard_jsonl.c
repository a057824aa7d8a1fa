// shard_jsonl.c: samples as lines of JSON, spaced compactly or as CPython's json.dumps spaces them.
#include <inttypes.h>
#include <string.h>

#include "shard/container_io.h"

typedef struct spelling { // the fixed text around the numbers
    const char *head, *separator, *length, *boundaries, *positions, *mask, *end, *tail;
} spelling;

static const spelling compact = {.head = "{\"input_ids\":[",
                                 .separator = ",",
                                 .length = "],\"length\":",
                                 .boundaries = ",\"cu_seqlens\":[",
                                 .positions = ",\"position_ids\":[",
                                 .mask = ",\"loss_mask\":[",
                                 .end = "]",
                                 .tail = "}\n"};
static const spelling spaced = {.head = "{\"input_ids\": [",
                                .separator = ", ",
                                .length = "], \"length\": ",
                                .boundaries = ", \"cu_seqlens\": [",
                                .positions = ", \"position_ids\": [",
                                .mask = ", \"loss_mask\": [",
                                .end = "]",
                                .tail = "}\n"};

static mill_status fail_id(const mill_shard_options *options, const mill_sample *sample, uint32_t at, mill_error *err)
{
    return mill_fail(err, MILL_INTERNAL,
                     "sample %" PRIu64 ": token %" PRIu32 " is id %" PRIu32 ", the vocabulary has %" PRIu32 " ids",
                     sample->number, at, sample->ids[at], options->vocab_size);
}

static mill_status append_positions(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out, mill_error *err);

// ---- plain ----

static mill_status append_numbers(const uint32_t *numbers, uint64_t count, const char *separator, mill_buf *out,
                                  mill_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        if (i != 0)
            MILL_TRY(mill_buf_append_text(out, separator, err));
        MILL_TRY(mill_buf_append_u64(out, numbers[i], err));
    }
    return MILL_OK;
}

static mill_status append_mask(const spelling *text, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    const size_t separator = strlen(text->separator);
    MILL_TRY(mill_buf_append_text(out, text->mask, err));
    MILL_TRY(mill_buf_reserve(out, (1 + separator) * sample->count, err));
    for (uint32_t i = 0; i < sample->count; i++) {
        if (i != 0)
            memcpy(out->data + out->bytes, text->separator, separator);
        out->bytes += i != 0 ? separator : 0;
        out->data[out->bytes++] = (uint8_t)('0' + (sample->loss_mask[i] != 0));
    }
    return mill_buf_append_text(out, text->end, err);
}

// What follows the ids; positions by the writer's digits, or plain where it is NULL.
static mill_status append_tail(const mill_shard_options *options, const mill_shard_writer *writer, const mill_sample *sample,
                               mill_buf *out, mill_error *err)
{
    const spelling *text = options->python_spacing ? &spaced : &compact;
    MILL_TRY(mill_buf_append_text(out, text->length, err));
    MILL_TRY(mill_buf_append_u64(out, sample->count, err));
    if (options->boundaries) {
        MILL_TRY(mill_buf_append_text(out, text->boundaries, err));
        MILL_TRY(append_numbers(sample->cu_seqlens, (uint64_t)sample->row_count + 1, text->separator, out, err));
        MILL_TRY(mill_buf_append_text(out, text->end, err));
    }
    if (options->positions) {
        MILL_TRY(mill_buf_append_text(out, text->positions, err));
        MILL_TRY(writer == NULL ? append_numbers(sample->positions, sample->count, text->separator, out, err)
                                : append_positions(writer, sample, out, err));
        MILL_TRY(mill_buf_append_text(out, text->end, err));
    }
    if (options->loss_mask)
        MILL_TRY(append_mask(text, sample, out, err));
    return mill_buf_append_text(out, text->tail, err);
}

static mill_status append_plain(const mill_shard_options *options, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    const spelling *text = options->python_spacing ? &spaced : &compact;
    MILL_TRY(mill_check_columns(options, sample, err));
    for (uint32_t i = 0; i < sample->count; i++) {
        if (sample->ids[i] >= options->vocab_size)
            return fail_id(options, sample, i, err);
    }
    MILL_TRY(mill_buf_append_text(out, text->head, err));
    MILL_TRY(append_numbers(sample->ids, sample->count, text->separator, out, err));
    return append_tail(options, NULL, sample, out, err);
}

mill_status mill_shard_jsonl_append(const mill_shard_options *options, const mill_sample *sample, mill_buf *out,
                                    mill_error *err)
{
    size_t before = out->bytes;
    mill_status status = append_plain(options, sample, out, err);
    if (status != MILL_OK)
        out->bytes = before;
    return status;
}

// ---- fast ----

// Ids of up to six digits: an entry is the digits and a comma, left-justified in 7 bytes, and their number in the 8th, so that
// one 8-byte store writes an id whatever its length. Larger ids (vocabularies beyond a million) are written digit by digit.
#define TABLE_MAX 1000000u
#define NUMBER_BYTES_MAX 12 // ten digits, comma, blank
#define STORE_SLACK 8

struct mill_shard_writer {
    mill_shard_options options;
    uint32_t table_size;
    uint8_t (*table)[8];
};

static size_t write_digits(uint8_t *out, uint32_t value)
{
    uint8_t digits[10];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

mill_status mill_shard_writer_open(const mill_shard_options *options, mill_shard_writer **out, mill_error *err)
{
    *out = NULL;
    mill_shard_writer *writer = mill_alloc_zero(1, sizeof *writer);
    if (writer == NULL)
        return mill_fail_nomem(err, "opening a shard writer");
    writer->options = *options;
    writer->table_size = options->vocab_size < TABLE_MAX ? options->vocab_size : TABLE_MAX;
    writer->table = mill_alloc_zero((size_t)writer->table_size + 1, sizeof *writer->table);
    if (writer->table == NULL) {
        mill_free(writer);
        return mill_fail_nomem(err, "opening a shard writer");
    }
    for (uint32_t id = 0; id < writer->table_size; id++) {
        size_t bytes = write_digits(writer->table[id], id);
        writer->table[id][bytes] = ',';
        writer->table[id][7] = (uint8_t)(bytes + 1);
    }
    *out = writer;
    return MILL_OK;
}

void mill_shard_writer_close(mill_shard_writer *writer)
{
    if (writer == NULL)
        return;
    mill_free(writer->table);
    mill_free(writer);
}

// Writes "1,2," or "1, 2, " and returns its end; *bad receives the place of a number that is not below `limit`, else count.
// Inline, so that each spacing gets a loop of its own.
static inline uint8_t *write_numbers(const mill_shard_writer *writer, const uint32_t *numbers, uint32_t count, uint32_t limit,
                                     bool blank, uint8_t *out, uint32_t *bad)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = numbers[i];
        if (number < writer->table_size) {
            const uint8_t *entry = writer->table[number];
            memcpy(out, entry, 8);
            out += entry[7];
        } else if (number < limit) {
            out += write_digits(out, number);
            *out++ = ',';
        } else {
            *bad = i;
            return out;
        }
        if (blank)
            *out++ = ' ';
    }
    *bad = count;
    return out;
}

// Appends "1,2" (or "1, 2"), unless one is not below `limit`: *bad is its place then, else count.
static mill_status append_fast_numbers(const mill_shard_writer *writer, const uint32_t *numbers, uint32_t count, uint32_t limit,
                                       uint32_t *bad, mill_buf *out, mill_error *err)
{
    const bool blank = writer->options.python_spacing;
    MILL_TRY(mill_buf_reserve(out, (size_t)count * NUMBER_BYTES_MAX + STORE_SLACK, err));
    uint8_t *at = out->data + out->bytes;
    at = blank ? write_numbers(writer, numbers, count, limit, true, at, bad)
               : write_numbers(writer, numbers, count, limit, false, at, bad);
    if (*bad != count)
        return MILL_OK;
    if (count != 0)
        at -= strlen(blank ? spaced.separator : compact.separator); // the one after the last number
    out->bytes = (size_t)(at - out->data);
    return MILL_OK;
}

static mill_status append_ids(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    uint32_t bad;
    MILL_TRY(append_fast_numbers(writer, sample->ids, sample->count, writer->options.vocab_size, &bad, out, err));
    return bad == sample->count ? MILL_OK : fail_id(&writer->options, sample, bad, err);
}

static mill_status append_positions(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    uint32_t bad;
    MILL_TRY(append_fast_numbers(writer, sample->positions, sample->count, UINT32_MAX, &bad, out, err));
    MILL_ASSERT(bad == sample->count); // they are below 2^31
    return MILL_OK;
}

static mill_status append_fast(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    const mill_shard_options *options = &writer->options;
    const spelling *text = options->python_spacing ? &spaced : &compact;
    MILL_TRY(mill_check_columns(options, sample, err));
    MILL_TRY(mill_buf_append_text(out, text->head, err));
    MILL_TRY(append_ids(writer, sample, out, err));
    return append_tail(options, writer, sample, out, err);
}

mill_status mill_shard_writer_ids(const mill_shard_writer *writer, const uint32_t *ids, uint32_t count, mill_buf *out,
                                  mill_error *err)
{
    const mill_sample sample = {.ids = ids, .count = count};
    return append_ids(writer, &sample, out, err);
}

mill_status mill_shard_writer_append(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out,
                                     mill_error *err)
{
    size_t before = out->bytes;
    mill_status status = append_fast(writer, sample, out, err);
    if (status != MILL_OK)
        out->bytes = before;
    return status;
}
