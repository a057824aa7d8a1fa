// encode.c: the worker's handle, the tokenizer's fitness for the options, and the tools that both ways of making rows share.
#include "encode/encode.h"

#include <string.h>

#include "encode/encode_internal.h"

const char *const mill_row_mode_names[MILL_ROW_MODES] = {"none", "psm", "spm", "spans", "chat", "repo"};

void mill_rows_clear(mill_rows *rows)
{
    mill_rows kept = *rows;
    *rows = (mill_rows){.ids = kept.ids, .rows = kept.rows, .capacity = kept.capacity, .runs = kept.runs,
                        .run_capacity = kept.run_capacity, .files = kept.files, .file_capacity = kept.file_capacity};
    rows->ids.count = 0;
}

void mill_rows_free(mill_rows *rows)
{
    mill_ids_free(&rows->ids);
    mill_free(rows->rows);
    mill_free(rows->runs);
    mill_free(rows->files);
    *rows = (mill_rows){0};
}

static mill_status need(int64_t id, const char *name, const char *purpose, mill_error *err)
{
    if (id >= 0)
        return MILL_OK;
    return mill_fail(err, MILL_INPUT,
                     "the tokenizer has no control token \"%s\" (%s); train it with that token, choose a preset of names that "
                     "it has, or switch this off in the recipe",
                     name != NULL ? name : "", purpose);
}

static mill_status check_controls(const mill_encode *e, const mill_encode_options *options, mill_error *err)
{
    const mill_controls *c = &e->controls;
    if (options->end_token)
        MILL_TRY(need(c->end, options->end_text, "end of text", err));
    if (e->fim == NULL)
        return MILL_OK;
    if (e->cut != MILL_FIM_MULTI) {
        MILL_TRY(need(c->prefix, options->fim_prefix, "FIM prefix", err));
        MILL_TRY(need(c->middle, options->fim_middle, "FIM middle", err));
        return need(c->suffix, options->fim_suffix, "FIM suffix", err);
    }
    static const char *const names[MILL_FIM_SPANS_MAX] = {"<|fim_span_0|>", "<|fim_span_1|>", "<|fim_span_2|>",
                                                          "<|fim_span_3|>"};
    for (uint32_t i = 0; i < MILL_FIM_SPANS_MAX; i++)
        MILL_TRY(need(c->spans[i], names[i], "FIM span, cut multi", err));
    return need(c->span_end, MILL_FIM_SPAN_END, "end of a FIM span, cut multi", err);
}

// A vocabulary without some byte would drop it silently, and rows would no longer be the document.
static mill_status check_alphabet(const mill_tokenizer *tokenizer, mill_error *err)
{
    bool have[256] = {false};
    uint32_t size = mill_tokenizer_vocab_size(tokenizer);
    for (uint32_t id = 0; id < size; id++) {
        uint32_t bytes = 0;
        const uint8_t *text = mill_tokenizer_bytes(tokenizer, id, &bytes);
        if (text != NULL && bytes == 1 && !mill_tokenizer_is_special(tokenizer, id))
            have[text[0]] = true;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        bool possible = byte != 0xc0 && byte != 0xc1 && byte <= 0xf4; // in UTF-8
        if (possible && !have[byte])
            return mill_fail(err, MILL_INPUT,
                             "the tokenizer cannot spell byte 0x%02x, so text would be lost; train it with the full byte "
                             "alphabet", byte);
    }
    return MILL_OK;
}

static mill_status list_lengths(mill_encode *e, mill_error *err)
{
    uint32_t size = mill_tokenizer_vocab_size(e->tokenizer);
    e->token_bytes = mill_alloc_zero(size + 1, sizeof *e->token_bytes);
    if (e->token_bytes == NULL)
        return mill_fail_nomem(err, "encoder");
    for (uint32_t id = 0; id < size; id++)
        mill_tokenizer_bytes(e->tokenizer, id, &e->token_bytes[id]);
    return MILL_OK;
}

static mill_status open_parts(mill_encode *e, const mill_encode_options *options, const mill_fim_options *fim, mill_error *err)
{
    if (!options->guide_chunks && options->context != 0 && options->context < MILL_CONTEXT_MIN)
        return mill_fail(err, MILL_RECIPE, "the context is %u tokens; it must be 0 (unlimited) or at least %d", options->context,
                         MILL_CONTEXT_MIN);
    if (fim != NULL && fim->rate_permille > 0) {
        MILL_TRY(mill_fim_open(fim, e->languages, &e->fim, err));
        e->cut = fim->cut;
    }
    mill_controls_resolve(options, e->tokenizer, &e->controls);
    MILL_TRY(check_controls(e, options, err));
    if (!options->guide_chunks)
        MILL_TRY(check_alphabet(e->tokenizer, err));
    MILL_TRY(list_lengths(e, err));
    e->normalizes = !options->guide_chunks && mill_tokenizer_normalizes(e->tokenizer);
    e->language_format = mill_strdup(options->language_format != NULL ? options->language_format : "");
    if (e->language_format == NULL)
        return mill_fail_nomem(err, "encoder");
    MILL_TRY(mill_encode_repo_open(e, options, fim, err));
    return mill_encoder_open(e->tokenizer, &e->encoder, err);
}

mill_status mill_encode_open(const mill_encode_options *options, const mill_fim_options *fim, const mill_tokenizer *tokenizer,
                             const mill_language_table *languages, mill_encode **out, mill_error *err)
{
    mill_encode *e = mill_alloc_zero(1, sizeof *e);
    if (e == NULL)
        return mill_fail_nomem(err, "encoder");
    e->options = *options;
    e->tokenizer = tokenizer;
    e->languages = languages;
    mill_status status = open_parts(e, options, fim, err);
    if (status != MILL_OK) {
        mill_encode_close(e);
        return status;
    }
    *out = e;
    return MILL_OK;
}

void mill_encode_close(mill_encode *encode)
{
    if (encode == NULL)
        return;
    mill_encoder_close(encode->encoder);
    mill_fim_close(encode->fim);
    mill_free(encode->language_format);
    mill_free(encode->tags);
    mill_buf_free(&encode->string);
    mill_ids_free(&encode->plain);
    mill_ids_free(&encode->whole);
    mill_buf_free(&encode->normal);
    mill_ids_free(&encode->learned);
    mill_free(encode->stretches);
    mill_encode_repo_close(encode->repo);
    mill_free(encode->token_bytes);
    mill_free(encode->ends);
    mill_free(encode->piece_ends);
    mill_free(encode->marks);
    mill_free(encode);
}

// The language's control token, or -1 in *tag. The format is data: only its first "%s" means something.
static mill_status look_up_tag(mill_encode *e, mill_language_id language, int64_t *tag, mill_error *err)
{
    const char *hole = strstr(e->language_format, "%s");
    *tag = -1;
    if (hole == NULL)
        return MILL_OK;
    mill_buf *name = &e->string;
    mill_buf_clear(name);
    MILL_TRY(mill_buf_append(name, e->language_format, (size_t)(hole - e->language_format), err));
    MILL_TRY(mill_buf_append_text(name, mill_language_get(e->languages, language)->name, err));
    MILL_TRY(mill_buf_append(name, hole + 2, strlen(hole + 2) + 1, err));
    *tag = mill_tokenizer_special(e->tokenizer, (const char *)name->data);
    return MILL_OK;
}

static mill_status tag_of(mill_encode *e, mill_language_id language, int64_t *tag, mill_error *err)
{
    *tag = -1;
    if (!e->options.language_tag || e->languages == NULL)
        return MILL_OK;
    if (language >= e->tag_count) { // the table may have grown since the last unit
        MILL_TRY(MILL_GROW(e->tags, e->tag_capacity, (size_t)language + 1, err));
        for (; e->tag_count <= language; e->tag_count++)
            e->tags[e->tag_count] = -2;
    }
    if (e->tags[language] == -2)
        MILL_TRY(look_up_tag(e, language, &e->tags[language], err));
    *tag = e->tags[language];
    return MILL_OK;
}

mill_status mill_encode_put(mill_ids *ids, const uint32_t *data, size_t count, mill_error *err)
{
    if (count == 0)
        return MILL_OK;
    MILL_TRY(MILL_GROW(ids->data, ids->capacity, ids->count + count, err));
    memcpy(ids->data + ids->count, data, count * sizeof *data);
    ids->count += count;
    return MILL_OK;
}

mill_status mill_encode_row(mill_encode *e, mill_encode_document *document, size_t first, const mill_row_span *span,
                            mill_rows *rows, mill_error *err)
{
    const size_t tokens = rows->ids.count - first;
    if (tokens > UINT32_MAX)
        return mill_fail(err, MILL_INPUT, "a document of more than 4294967295 tokens needs a context length");
    const mill_fim_plan *plan = span->plan;
    const uint32_t piece = document->piece++;
    const bool transformed = plan != NULL && plan->mode != MILL_FIM_NONE;
    document->transformed |= transformed;
    rows->encoded_tokens += tokens;
    if (tokens == 0 || tokens < e->options.min_chunk) {
        rows->dropped_rows++;
        rows->dropped_tokens += tokens;
        rows->ids.count = first;
        return MILL_OK;
    }
    MILL_TRY(MILL_GROW(rows->rows, rows->capacity, rows->count + 1, err));
    mill_row *row = &rows->rows[rows->count++];
    *row = (mill_row){.first_token = first, .tokens = (uint32_t)tokens, .record = document->record, .piece = piece,
                      .last = span->last, .text_begin = span->begin, .text_end = span->end};
    if (row != rows->rows && row[-1].record == row->record)
        row->doc_begin = row[-1].doc_begin + row[-1].tokens;
    if (transformed) {
        row->mode = (uint8_t)plan->mode;
        row->cut_begin = span->begin + plan->begin[0];
        row->cut_end = span->begin + plan->end[0] - (plan->guide ? 1 : 0);
    }
    return MILL_OK;
}

mill_status mill_encode_text(mill_encode *e, const uint8_t *text, uint64_t bytes, bool specials, mill_ids *out, mill_error *err)
{
    return e->listening ? mill_encoder_foresee(e->encoder, text, bytes, specials, err)
                        : mill_encoder_encode(e->encoder, text, bytes, specials, out, err);
}

mill_status mill_encode_plain(mill_encode *e, const mill_encode_document *document, mill_error *err)
{
    e->plain.count = 0;
    return mill_encode_text(e, document->text, document->bytes, e->options.parse_specials, &e->plain, err);
}

mill_status mill_encode_measure(mill_encode *e, const mill_encode_document *document, mill_error *err)
{
    MILL_TRY(MILL_GROW(e->ends, e->end_capacity, e->plain.count, err));
    uint64_t at = 0;
    for (size_t i = 0; i < e->plain.count; i++) {
        at += e->token_bytes[e->plain.data[i]];
        e->ends[i] = at;
    }
    if (at != document->bytes)
        return mill_fail(err, MILL_INPUT,
                         "the tokenizer changes text: %llu bytes became tokens of %llu bytes; use one with the full byte "
                         "alphabet and no normalizer",
                         (unsigned long long)document->bytes, (unsigned long long)at);
    return MILL_OK;
}

mill_status mill_encode_plan(mill_encode *e, const mill_encode_document *document, const mill_row_span *span, size_t token,
                             size_t tokens, mill_fim_plan *plan, mill_error *err)
{
    const bool by_token = e->cut == MILL_FIM_TOKEN;
    if (by_token) {
        if (span->end - span->begin > UINT32_MAX)
            return mill_fail(err, MILL_INPUT, "cut token takes pieces below 4 GiB; set a context length");
        MILL_TRY(MILL_GROW(e->piece_ends, e->piece_end_capacity, tokens, err));
        for (size_t i = 0; i < tokens; i++)
            e->piece_ends[i] = (uint32_t)(e->ends[token + i] - span->begin);
    }
    return mill_fim_plan_piece(e->fim, document->key, document->piece, document->language, document->text + span->begin,
                               span->end - span->begin, by_token ? e->piece_ends : NULL, by_token ? tokens : 0, plan, err);
}

// Number of plain tokens that end at or before a byte of the document.
static size_t tokens_before(const mill_encode *e, uint64_t byte)
{
    size_t low = 0, high = e->plain.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e->ends[middle] <= byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

mill_status mill_encode_parts(mill_encode *e, const mill_encode_document *document, const mill_row_span *span, mill_ids *out,
                              mill_error *err)
{
    mill_layout layout;
    mill_layout_make(&e->controls, span->plan, span->end - span->begin, &layout);
    for (uint32_t i = 0; i < layout.count; i++) {
        const mill_layout_item *item = &layout.items[i];
        const uint64_t begin = span->begin + item->begin, end = span->begin + item->end;
        if (item->control >= 0) {
            MILL_TRY(mill_ids_append(out, (uint32_t)item->control, err));
        } else if (e->cut == MILL_FIM_TOKEN && document->cut == NULL) {
            size_t token = tokens_before(e, begin);
            MILL_TRY(mill_encode_put(out, e->plain.data + token, tokens_before(e, end) - token, err));
        } else if (begin < end) {
            MILL_TRY(mill_encode_text(e, document->text + begin, end - begin, e->options.parse_specials, out, err));
        }
    }
    return MILL_OK;
}

// The tokenizer would change the text while encoding it: then the changed text is the document, or cuts and offsets would be of
// bytes that no token stands for.
static mill_status normalize(mill_encode *e, mill_encode_document *document, mill_rows *rows, mill_error *err)
{
    mill_buf_clear(&e->normal);
    MILL_TRY(mill_tokenizer_normalize(e->tokenizer, document->text, document->bytes, &e->normal, err));
    if (e->normal.bytes == document->bytes && memcmp(e->normal.data, document->text, document->bytes) == 0)
        return MILL_OK;
    document->text = e->normal.data;
    document->bytes = e->normal.bytes;
    rows->normalized++;
    return MILL_OK;
}

static mill_status begin_record(mill_encode *e, const mill_batch *batch, uint32_t i, const mill_line_cut *cut,
                                mill_encode_document *document, mill_rows *out, mill_error *err)
{
    *document = (mill_encode_document){.key = mill_batch_key(batch, i), .language = batch->language[i], .record = i,
                                       .cut = e->fim != NULL ? cut : NULL};
    document->text = mill_batch_text(batch, i, &document->bytes);
    if ((batch->flags[i] & MILL_FLAG_CHAT) != 0)
        return MILL_OK;
    if (e->normalizes)
        MILL_TRY(normalize(e, document, out, err));
    return tag_of(e, document->language, &document->tag, err);
}

mill_status mill_encode_record(mill_encode *e, const mill_batch *batch, uint32_t i, const mill_line_cut *cut, mill_rows *out,
                               mill_error *err)
{
    mill_encode_document document;
    MILL_TRY(begin_record(e, batch, i, cut, &document, out, err));
    out->documents++;
    if ((batch->flags[i] & MILL_FLAG_CHAT) != 0)
        return mill_encode_chat(e, batch, i, &document, out, err);
    if (e->options.guide_chunks)
        MILL_TRY(mill_encode_chunks(e, &document, out, err));
    else
        MILL_TRY(mill_encode_pieces(e, &document, out, err));
    out->transformed += document.transformed;
    return MILL_OK;
}

// Foresees what a record's rows will be made of, and has it encoded; conversations are left to the processor.
static mill_status encode_ahead(mill_encode *e, const mill_batch *batch, const bool *keep, const mill_line_cut *cuts,
                                mill_error *err)
{
    mill_rows ignored = {0};
    mill_status status = MILL_GROW(e->marks, e->mark_capacity, batch->count, err);
    mill_encoder_forget(e->encoder);
    e->listening = true;
    for (uint32_t i = 0; status == MILL_OK && i < batch->count; i++) {
        mill_encode_document document;
        e->marks[i] = mill_encoder_foreseen(e->encoder);
        if ((keep != NULL && !keep[i]) || (batch->flags[i] & MILL_FLAG_CHAT) != 0)
            continue;
        status = begin_record(e, batch, i, cuts != NULL ? &cuts[i] : NULL, &document, &ignored, err);
        if (status == MILL_OK && e->options.guide_chunks)
            status = mill_encode_foresee_chunks(e, &document, err);
        else if (status == MILL_OK)
            status = mill_encode_foresee_pieces(e, &document, err);
    }
    e->listening = false;
    return status == MILL_OK ? mill_encoder_prepare(e->encoder, err) : status;
}

void mill_encode_use(mill_encode *encode, mill_backend *backend)
{
    encode->ahead = mill_encoder_use(encode->encoder, backend);
}

mill_status mill_encode_batch(mill_encode *encode, const mill_batch *batch, const bool *keep, const mill_line_cut *cuts,
                              mill_rows *out, mill_error *err)
{
    if (encode->ahead && batch->count != 0)
        MILL_TRY(encode_ahead(encode, batch, keep, cuts, err));
    for (uint32_t i = 0; i < batch->count; i++) {
        if (keep != NULL && !keep[i])
            continue;
        if (encode->ahead)
            mill_encoder_turn_to(encode->encoder, encode->marks[i]);
        MILL_TRY(mill_encode_record(encode, batch, i, cuts != NULL ? &cuts[i] : NULL, out, err));
    }
    return MILL_OK;
}
