// encode_chat.c: the row of a conversation, and which of its tokens are targets.
//
// Control tokens go in as ids where a piece is one; what lies between two of them is a stretch of text. With
// chat_joined a stretch is encoded as one string, as when a rendered conversation is handed to a tokenizer,
// and a token that lies on both sides of a border is a target: so do the masks of transformers. Without it a
// stretch also ends where targets begin or end, so that these are whole tokens, and those that a model is
// asked for after the prompt.
#include "encode/encode_internal.h"

typedef struct chat {
    mill_encode *e;
    mill_encode_document *document;
    mill_rows *rows;
    const mill_batch *batch;
    uint32_t record, pieces;
    mill_error *err;
} chat;

static mill_status put_id(chat *c, uint32_t id, bool learned)
{
    MILL_TRY(mill_ids_append(&c->e->whole, id, c->err));
    return mill_ids_append(&c->e->learned, learned, c->err);
}

static mill_status put_control(chat *c, const uint8_t *name, uint32_t bytes, bool learned)
{
    mill_buf *text = &c->e->string;
    mill_buf_clear(text);
    MILL_TRY(mill_buf_append(text, name, bytes, c->err));
    MILL_TRY(mill_buf_append(text, "", 1, c->err));
    const int64_t id = mill_tokenizer_special(c->e->tokenizer, (const char *)text->data);
    if (id < 0)
        return mill_fail(c->err, MILL_INPUT,
                         "the tokenizer has no control token \"%.60s\", which the template of a conversation "
                         "needs; train it with that "
                         "token, or choose other templates (recipe keys chat.preset, chat.tokens)",
                         (const char *)text->data);
    return put_id(c, (uint32_t)id, learned);
}

// A piece of text at the end of the stretch; the tokenizer's normal form of it.
static mill_status add_text(chat *c, const uint8_t *text, mill_chat_piece piece)
{
    mill_encode *e = c->e;
    MILL_TRY(MILL_GROW(e->stretches, e->stretch_capacity, e->stretch_count + 1, c->err));
    if (mill_tokenizer_normalizes(e->tokenizer))
        MILL_TRY(mill_tokenizer_normalize(e->tokenizer, text, piece.bytes, &e->normal, c->err));
    else
        MILL_TRY(mill_buf_append(&e->normal, text, piece.bytes, c->err));
    e->stretches[e->stretch_count++] = (mill_encode_stretch){e->normal.bytes, piece.learned != 0};
    return MILL_OK;
}

// Encodes the stretch that is gathered in e->normal; what its pieces say is plain text, whatever it looks
// like.
static mill_status end_stretch(chat *c)
{
    mill_encode *e = c->e;
    uint64_t at = 0;
    size_t stretch = 0;
    e->plain.count = 0;
    if (e->normal.bytes != 0)
        MILL_TRY(mill_encoder_encode(e->encoder, e->normal.data, e->normal.bytes, false, &e->plain, c->err));
    for (size_t i = 0; i < e->plain.count; i++) {
        const uint64_t end = at + e->token_bytes[e->plain.data[i]];
        while (stretch < e->stretch_count && e->stretches[stretch].end <= at)
            stretch++;
        bool learned = false;
        uint64_t begin = at;
        for (size_t k = stretch; k < e->stretch_count && begin < end; begin = e->stretches[k++].end)
            learned = learned || (e->stretches[k].learned && e->stretches[k].end > begin);
        MILL_TRY(put_id(c, e->plain.data[i], learned));
        at = end;
    }
    if (at != e->normal.bytes)
        return mill_fail(c->err, MILL_INPUT,
                         "the tokenizer changes text: %zu bytes of a conversation became tokens of %llu "
                         "bytes; use one with the full "
                         "byte alphabet",
                         e->normal.bytes, (unsigned long long)at);
    mill_buf_clear(&e->normal);
    e->stretch_count = 0;
    return MILL_OK;
}

// All ids of the conversation in e->whole, whether they are targets in e->learned.
static mill_status encode_pieces(chat *c)
{
    mill_encode *e = c->e;
    const uint8_t *text = c->document->text;
    e->whole.count = e->learned.count = 0;
    mill_buf_clear(&e->normal);
    e->stretch_count = 0;
    for (uint32_t k = 0; k < c->pieces; k++) {
        const mill_chat_piece piece = mill_batch_piece(c->batch, c->record, k);
        const bool border =
            e->stretch_count != 0 && e->stretches[e->stretch_count - 1].learned != (piece.learned != 0);
        if (piece.control || (border && !e->options.chat_joined))
            MILL_TRY(end_stretch(c));
        if (piece.control)
            MILL_TRY(put_control(c, text, piece.bytes, piece.learned != 0));
        else if (piece.bytes != 0)
            MILL_TRY(add_text(c, text, piece));
        text += piece.bytes;
    }
    return end_stretch(c);
}

// How many of the ids stay when the conversation is longer than the context; 0: it is dropped.
static size_t shorten(const mill_encode *e)
{
    size_t keep = e->options.context, answers = 0;
    if (e->options.chat_long == MILL_CHAT_LONG_DROP)
        return 0;
    if (e->options.chat_long == MILL_CHAT_LONG_TURN) { // up to the end of an answer
        while (keep > 0 && !(e->learned.data[keep - 1] != 0 && e->learned.data[keep] == 0))
            keep--;
        return keep;
    }
    while (keep > 0) { // a code point stays whole
        uint32_t bytes = 0;
        const uint8_t *text = mill_tokenizer_bytes(e->tokenizer, e->whole.data[keep], &bytes);
        if (bytes == 0 || (text[0] & 0xc0) != 0x80)
            break;
        keep--;
    }
    for (size_t i = 0; i < keep; i++)
        answers += e->learned.data[i];
    return answers != 0 ? keep : 0;
}

static mill_status put_runs(chat *c, mill_row *row)
{
    mill_rows *rows = c->rows;
    const uint32_t *learned = c->e->learned.data;
    row->first_run = rows->run_count;
    for (uint32_t i = 0, value = 0; i < row->tokens; value ^= 1) {
        uint32_t begin = i;
        while (i < row->tokens && learned[i] == value)
            i++;
        MILL_TRY(MILL_GROW(rows->runs, rows->run_capacity, rows->run_count + 1, c->err));
        rows->runs[rows->run_count++] = i - begin;
        row->runs++;
    }
    return MILL_OK;
}

static mill_status put_row(chat *c, size_t tokens)
{
    mill_encode *e = c->e;
    mill_rows *rows = c->rows;
    MILL_TRY(MILL_GROW(rows->rows, rows->capacity, rows->count + 1, c->err));
    mill_row row = {.first_token = rows->ids.count,
                    .tokens = (uint32_t)tokens,
                    .record = c->record,
                    .mode = MILL_ROW_CHAT,
                    .last = true};
    for (size_t i = 0; i < tokens; i++)
        row.text_end += e->token_bytes[e->whole.data[i]];
    MILL_TRY(mill_encode_put(&rows->ids, e->whole.data, tokens, c->err));
    MILL_TRY(put_runs(c, &row));
    rows->rows[rows->count++] = row;
    return MILL_OK;
}

mill_status mill_encode_chat(mill_encode *e, const mill_batch *batch, uint32_t i,
                             mill_encode_document *document, mill_rows *rows, mill_error *err)
{
    chat c = {.e = e,
              .document = document,
              .rows = rows,
              .batch = batch,
              .record = i,
              .pieces = mill_batch_piece_count(batch, i),
              .err = err};
    MILL_TRY(encode_pieces(&c));
    const size_t tokens = e->whole.count;
    if (tokens > UINT32_MAX)
        return mill_fail(err, MILL_INPUT,
                         "a conversation of more than 4294967295 tokens needs a context length");
    const size_t kept = e->options.context == 0 || tokens <= e->options.context ? tokens : shorten(e);
    rows->encoded_tokens += tokens;
    rows->dropped_rows += kept == 0;
    rows->dropped_tokens += tokens - kept;
    return kept != 0 ? put_row(&c, kept) : MILL_OK;
}
