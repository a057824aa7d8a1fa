// shard_jsonl.c: samples as lines of JSON, spaced compactly or as CPython's json.dumps spaces them.
#include <inttypes.h>
#include <string.h>

#include "shard/shard.h"

typedef struct spelling { // the fixed text around the numbers
    const char *head, *separator, *length, *boundaries, *mask, *end, *tail;
} spelling;

static const spelling compact = {"{\"input_ids\":[", ",", "],\"length\":", ",\"cu_seqlens\":[", ",\"loss_mask\":[", "]", "}\n"};
static const spelling spaced = {"{\"input_ids\": [",     ", ", "], \"length\": ", ", \"cu_seqlens\": [",
                                ", \"loss_mask\": [", "]",  "}\n"};

static mill_status check_sample(const mill_shard_options *options, const mill_sample *sample, mill_error *err)
{
    if (options->loss_mask && sample->loss_mask == NULL)
        return mill_fail(err, MILL_INTERNAL, "sample %" PRIu64 ": its loss mask is missing", sample->number);
    if (!options->boundaries)
        return MILL_OK;
    const uint32_t *bounds = sample->cu_seqlens;
    bool good = bounds != NULL && bounds[0] == 0 && bounds[sample->row_count] == sample->count;
    for (uint32_t i = 0; good && i < sample->row_count; i++)
        good = bounds[i] <= bounds[i + 1];
    if (!good)
        return mill_fail(err, MILL_INTERNAL, "sample %" PRIu64 ": its row boundaries do not run from 0 to %" PRIu32,
                         sample->number, sample->count);
    return MILL_OK;
}

static mill_status fail_id(const mill_shard_options *options, const mill_sample *sample, uint32_t at, mill_error *err)
{
    return mill_fail(err, MILL_INTERNAL,
                     "sample %" PRIu64 ": token %" PRIu32 " is id %" PRIu32 ", the vocabulary has %" PRIu32 " ids",
                     sample->number, at, sample->ids[at], options->vocab_size);
}

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

static mill_status append_tail(const mill_shard_options *options, const spelling *text, const mill_sample *sample,
                               mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, text->length, err));
    MILL_TRY(mill_buf_append_u64(out, sample->count, err));
    if (options->boundaries) {
        MILL_TRY(mill_buf_append_text(out, text->boundaries, err));
        MILL_TRY(append_numbers(sample->cu_seqlens, (uint64_t)sample->row_count + 1, text->separator, out, err));
        MILL_TRY(mill_buf_append_text(out, text->end, err));
    }
    if (options->loss_mask)
        MILL_TRY(append_mask(text, sample, out, err));
    return mill_buf_append_text(out, text->tail, err);
}

static mill_status append_plain(const mill_shard_options *options, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    const spelling *text = options->python_spacing ? &spaced : &compact;
    MILL_TRY(check_sample(options, sample, err));
    for (uint32_t i = 0; i < sample->count; i++) {
        if (sample->ids[i] >= options->vocab_size)
            return fail_id(options, sample, i, err);
    }
    MILL_TRY(mill_buf_append_text(out, text->head, err));
    MILL_TRY(append_numbers(sample->ids, sample->count, text->separator, out, err));
    return append_tail(options, text, sample, out, err);
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
#define ID_BYTES_MAX 12 // ten digits, comma, blank
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

// Writes "1,2," or "1, 2, " and returns its end; *bad receives the place of an id outside the vocabulary, else count. Inline,
// so that each spacing gets a loop of its own.
static inline uint8_t *write_ids(const mill_shard_writer *writer, const mill_sample *sample, bool blank, uint8_t *out,
                                 uint32_t *bad)
{
    const uint32_t *ids = sample->ids;
    uint32_t count = sample->count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = ids[i];
        if (id < writer->table_size) {
            const uint8_t *entry = writer->table[id];
            memcpy(out, entry, 8);
            out += entry[7];
        } else if (id < writer->options.vocab_size) {
            out += write_digits(out, id);
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

// Appends "1,2" (or "1, 2").
static mill_status append_ids(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    const mill_shard_options *options = &writer->options;
    MILL_TRY(mill_buf_reserve(out, (size_t)sample->count * ID_BYTES_MAX + STORE_SLACK, err));
    uint8_t *at = out->data + out->bytes;
    uint32_t bad;
    at = options->python_spacing ? write_ids(writer, sample, true, at, &bad) : write_ids(writer, sample, false, at, &bad);
    if (bad != sample->count)
        return fail_id(options, sample, bad, err);
    if (sample->count != 0)
        at -= strlen(options->python_spacing ? spaced.separator : compact.separator); // the one after the last id
    out->bytes = (size_t)(at - out->data);
    return MILL_OK;
}

static mill_status append_fast(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    const mill_shard_options *options = &writer->options;
    const spelling *text = options->python_spacing ? &spaced : &compact;
    MILL_TRY(check_sample(options, sample, err));
    MILL_TRY(mill_buf_append_text(out, text->head, err));
    MILL_TRY(append_ids(writer, sample, out, err));
    return append_tail(options, text, sample, out, err);
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
