// rows_check.h: what every row of the default way of encoding must hold; shared by the unit test and the corpus driver.
#ifndef MILL_TESTS_ROWS_CHECK_H
#define MILL_TESTS_ROWS_CHECK_H

#include <stdio.h>
#include <string.h>

#include "encode/encode.h"

typedef struct rows_check {
    const mill_encode_options *options;
    const mill_tokenizer *tokenizer;
    const mill_language_table *languages;
    const mill_batch *batch;
    const mill_rows *rows;
    mill_buf text;
    char message[600]; // what is wrong
} rows_check;

static int rows_check_fail(rows_check *c, size_t row, const char *what)
{
    snprintf(c->message, sizeof c->message, "row %zu (record %u, piece %u): %s", row, c->rows->rows[row].record,
             c->rows->rows[row].piece, what);
    return 0;
}

static int rows_check_tag(rows_check *c, size_t i)
{
    const mill_row *row = &c->rows->rows[i];
    char name[128];
    snprintf(name, sizeof name, "<|lang_%s|>", mill_language_get(c->languages, c->batch->language[row->record])->name);
    int64_t id = c->options->language_tag ? mill_tokenizer_special(c->tokenizer, name) : -1;
    return id < 0 || c->rows->ids.data[row->first_token] == id;
}

// Control tokens must be the row's own: as many as its mode has, none from content.
static size_t rows_check_controls(const rows_check *c, const mill_row *row)
{
    size_t count = 0;
    for (size_t i = 0; i < row->tokens; i++)
        count += mill_tokenizer_is_special(c->tokenizer, c->rows->ids.data[row->first_token + i]);
    return count;
}

static int rows_check_row(rows_check *c, size_t i, uint64_t begin, uint32_t piece)
{
    const mill_row *row = &c->rows->rows[i];
    const uint32_t *ids = c->rows->ids.data + row->first_token;
    uint64_t bytes;
    const uint8_t *text = mill_batch_text(c->batch, row->record, &bytes);
    if (c->options->context != 0 && row->tokens > c->options->context)
        return rows_check_fail(c, i, "longer than the context");
    if (row->text_begin != begin || row->text_end < begin || row->text_end > bytes || row->piece != piece)
        return rows_check_fail(c, i, "does not begin where the row before ended");
    if (row->last != (row->text_end == bytes) || (row->text_begin == row->text_end && bytes != 0))
        return rows_check_fail(c, i, "wrong mark of the last piece, or a piece without text");
    if (row->text_end < bytes && (text[row->text_end] & 0xc0) == 0x80)
        return rows_check_fail(c, i, "cut inside a code point");
    const bool transformed = row->mode != MILL_FIM_NONE;
    const bool ended = row->tokens > 0 && ids[row->tokens - 1] == mill_tokenizer_special(c->tokenizer, c->options->end_text);
    if (c->options->end_token && ended != (transformed || row->last))
        return rows_check_fail(c, i, "end token where there should be none, or none where it should be");
    if (!rows_check_tag(c, i))
        return rows_check_fail(c, i, "language tag is missing");
    mill_fim_mode mode;
    mill_error err;
    mill_buf_clear(&c->text);
    if (mill_encode_restore(c->options, c->tokenizer, ids, row->tokens, &c->text, &mode, &err) != MILL_OK)
        return rows_check_fail(c, i, err.message);
    if (c->text.bytes != row->text_end - begin || (c->text.bytes != 0 && memcmp(c->text.data, text + begin, c->text.bytes) != 0))
        return rows_check_fail(c, i, "does not restore its text");
    // PSM with an empty prefix has the ids of SPM.
    if (mode != row->mode && !(row->mode == MILL_FIM_PSM && mode == MILL_FIM_SPM && row->cut_begin == begin))
        return rows_check_fail(c, i, "restores as another mode");
    const size_t own = transformed ? (row->mode == MILL_FIM_SPANS ? 0 : 3) : 0;
    const size_t tag = rows_check_controls(c, row);
    if (row->mode != MILL_FIM_SPANS && tag > own + 2)
        return rows_check_fail(c, i, "content became a control token");
    if (transformed ? row->cut_begin < begin || row->cut_begin > row->cut_end || row->cut_end > row->text_end
                    : row->cut_begin != 0 || row->cut_end != 0)
        return rows_check_fail(c, i, "the middle lies outside the row's text");
    return 1;
}

// 1 if all is well. Every record of the batch must have been encoded, with min_chunk 1 (no row dropped).
static int rows_check_all(rows_check *c)
{
    size_t at = 0;
    uint64_t transformed = 0;
    for (uint32_t record = 0; record < c->batch->count; record++) {
        uint64_t bytes, begin = 0;
        bool any = false, last = false;
        mill_batch_text(c->batch, record, &bytes);
        for (uint32_t piece = 0; at < c->rows->count && c->rows->rows[at].record == record; at++, piece++) {
            if (!rows_check_row(c, at, begin, piece))
                return 0;
            begin = c->rows->rows[at].text_end;
            last = c->rows->rows[at].last;
            any |= c->rows->rows[at].mode != MILL_FIM_NONE;
        }
        if (begin != bytes || (!last && bytes != 0)) {
            snprintf(c->message, sizeof c->message, "record %u: rows cover %llu of %llu bytes", record,
                     (unsigned long long)begin, (unsigned long long)bytes);
            return 0;
        }
        transformed += any;
    }
    if (at != c->rows->count || transformed != c->rows->transformed || c->rows->documents != c->batch->count) {
        snprintf(c->message, sizeof c->message, "counts of rows, documents or transformed documents are wrong");
        return 0;
    }
    return 1;
}

#endif
