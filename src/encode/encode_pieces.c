// encode_pieces.c: rows of one document such that none exceeds the context and every byte is in exactly one row.
//
// How a document becomes rows (frozen: output bytes depend on it):
// 1. Piece 0 is first tried over the whole document: if it is drawn for FIM and its row fits, or it is not (or offers no cut)
//    and the plain row fits, the document is one row.
// 2. Otherwise the document is encoded plain, and pieces are runs of its tokens that begin and end between code points. Piece k
//    has its own draws; piece 0 is drawn again with the same words over its shorter text.
//    - transformed: at most as many tokens as the context leaves beside tag, sentinels and end. Its parts are encoded each by
//      itself and may be a little longer: then the piece loses the excess (at least 1, 2, 4, .. tokens) and is planned anew,
//      8 times at most; after that it is plain.
//    - plain: the rest of the document if it fits with the end token, else as many tokens as fit.
// 3. Where no token boundary within reach is a code point boundary (a vocabulary whose tokens straddle characters), plain
//    pieces of as many whole code points as the context has tokens lead up to the next usable boundary: a token has at least
//    one byte, so they always fit.
// Each step moves forward by at least one code point, and costs what it encodes: the whole is linear in the document.
#include "encode/encode_internal.h"

enum { SHRINK_TRIES = 8, BYTES_A_TOKEN = 3 /* about */ };

typedef struct cursor {
    mill_encode *e;
    mill_encode_document *document;
    mill_rows *rows;
    uint64_t context;   // UINT64_MAX: unlimited
    uint64_t tag, end;  // 1 if a row has that control token, else 0
    uint64_t sentinels; // most control tokens of a transformed piece, without tag and end
    uint64_t at;        // first byte that is in no row yet
    size_t token;       // the plain token that begins there (or, after step 3, the first that begins after it)
} cursor;

static bool is_boundary(const mill_encode_document *document, uint64_t byte)
{
    return byte >= document->bytes || (document->text[byte] & 0xc0) != 0x80;
}

static mill_status begin_row(cursor *c, size_t *first, mill_error *err)
{
    *first = c->rows->ids.count;
    return c->tag != 0 ? mill_ids_append(&c->rows->ids, (uint32_t)c->document->tag, err) : MILL_OK;
}

static mill_status end_row(cursor *c, size_t first, bool end_token, const mill_row_span *span, mill_error *err)
{
    if (end_token && c->end != 0)
        MILL_TRY(mill_ids_append(&c->rows->ids, (uint32_t)c->e->controls.end, err));
    MILL_ASSERT(c->rows->ids.count - first <= c->context);
    c->at = span->end;
    return mill_encode_row(c->e, c->document, first, span, c->rows, err);
}

// A row of `tokens` plain ids.
static mill_status plain_row(cursor *c, size_t token, size_t tokens, uint64_t end, mill_error *err)
{
    mill_row_span span = {c->at, end, NULL, end == c->document->bytes};
    size_t first;
    MILL_TRY(begin_row(c, &first, err));
    MILL_TRY(mill_encode_put(&c->rows->ids, c->e->plain.data + token, tokens, err));
    return end_row(c, first, span.last, &span, err);
}

// Plans the piece [at, end) and makes its row. *excess: tokens above the context, the row was taken back; 0 and *plan NONE:
// nothing to transform.
static mill_status try_transformed(cursor *c, uint64_t end, size_t tokens, mill_fim_plan *plan, uint64_t *excess, mill_error *err)
{
    mill_row_span span = {c->at, end, plan, end == c->document->bytes};
    *excess = 0;
    *plan = (mill_fim_plan){.mode = MILL_FIM_NONE};
    if (c->document->cut != NULL)
        mill_fim_plan_lines(c->document->text, c->document->bytes, c->document->cut->first, c->document->cut->second, plan);
    else
        MILL_TRY(mill_encode_plan(c->e, c->document, &span, c->token, tokens, plan, err));
    if (plan->mode == MILL_FIM_NONE)
        return MILL_OK;
    size_t first;
    MILL_TRY(begin_row(c, &first, err));
    MILL_TRY(mill_encode_parts(c->e, c->document, &span, &c->rows->ids, err));
    const uint64_t row = c->rows->ids.count - first + c->end;
    if (row <= c->context)
        return end_row(c, first, true, &span, err);
    *excess = row - c->context;
    c->rows->ids.count = first;
    return MILL_OK;
}

static bool is_drawn(const cursor *c)
{
    if (c->e->fim == NULL)
        return false;
    if (c->document->cut != NULL) // the caller's lines are lines of the whole document
        return c->at == 0 && c->document->cut->first != 0;
    return mill_fim_drawn(c->e->fim, c->document->key, c->document->piece);
}

// Step 1. *done: the document is one row. Otherwise e->plain holds its ids. *tried: piece 0 was found too long as a whole.
static mill_status whole_document(cursor *c, bool *done, bool *tried, mill_error *err)
{
    mill_encode *e = c->e;
    const bool drawn = is_drawn(c), by_token = e->cut == MILL_FIM_TOKEN && c->document->cut == NULL;
    mill_fim_plan plan = {.mode = MILL_FIM_NONE};
    uint64_t excess = 0;
    if (drawn && !by_token)
        MILL_TRY(try_transformed(c, c->document->bytes, 0, &plan, &excess, err));
    if (plan.mode == MILL_FIM_NONE || excess > 0)
        MILL_TRY(mill_encode_plain(e, c->document, err));
    if (drawn && by_token) {
        MILL_TRY(mill_encode_measure(e, c->document, err));
        MILL_TRY(try_transformed(c, c->document->bytes, e->plain.count, &plan, &excess, err));
    }
    *tried = excess > 0;
    *done = plan.mode != MILL_FIM_NONE && excess == 0;
    if (!*done && !*tried && c->tag + e->plain.count + c->end <= c->context) {
        *done = true;
        return plain_row(c, 0, e->plain.count, c->document->bytes, err);
    }
    return MILL_OK;
}

// The largest number of tokens, at most `take`, that ends between code points; 0 if there is none.
static size_t settle(const cursor *c, size_t take)
{
    while (take > 0 && !is_boundary(c->document, c->e->ends[c->token + take - 1]))
        take--;
    return take;
}

// Step 2, transformed. *done: a row was made.
static mill_status transformed_piece(cursor *c, bool whole_is_too_long, bool *done, mill_error *err)
{
    const size_t left = c->e->plain.count - c->token;
    const uint64_t room = c->context - c->tag - c->sentinels - c->end;
    size_t take = left < room ? left : (size_t)room;
    if (whole_is_too_long && c->at == 0 && take == left)
        take--;
    *done = false;
    for (unsigned attempt = 0; attempt < SHRINK_TRIES; attempt++) {
        take = settle(c, take);
        if (take == 0)
            return MILL_OK;
        mill_fim_plan plan;
        uint64_t excess;
        MILL_TRY(try_transformed(c, c->e->ends[c->token + take - 1], take, &plan, &excess, err));
        if (excess == 0) {
            *done = plan.mode != MILL_FIM_NONE;
            c->token += *done ? take : 0;
            return MILL_OK;
        }
        const uint64_t least = (uint64_t)1 << attempt, shrink = excess > least ? excess : least;
        if (shrink >= take)
            return MILL_OK;
        take -= (size_t)shrink;
    }
    return MILL_OK;
}

// Step 2, plain. *done is false if no boundary is within reach.
static mill_status plain_piece(cursor *c, bool *done, mill_error *err)
{
    const size_t left = c->e->plain.count - c->token;
    size_t take = left;
    if (c->tag + left + c->end > c->context) {
        const uint64_t room = c->context - c->tag;
        take = settle(c, left <= room ? left - 1 : (size_t)room);
    }
    *done = take > 0;
    if (take == 0)
        return MILL_OK;
    MILL_TRY(plain_row(c, c->token, take, c->e->ends[c->token + take - 1], err));
    c->token += take;
    return MILL_OK;
}

// Step 3: plain pieces up to the next usable boundary.
static mill_status straddled_pieces(cursor *c, mill_error *err)
{
    size_t token = c->token;
    while (!is_boundary(c->document, c->e->ends[token]))
        token++;
    const uint64_t stop = c->e->ends[token], room = c->context - c->tag - c->end;
    while (c->at < stop) {
        uint64_t end = stop - c->at <= room ? stop : c->at + room;
        while (!is_boundary(c->document, end))
            end--;
        mill_row_span span = {c->at, end, NULL, end == c->document->bytes};
        size_t first;
        MILL_TRY(begin_row(c, &first, err));
        MILL_TRY(mill_encoder_encode(c->e->encoder, c->document->text + c->at, end - c->at, c->e->options.parse_specials,
                                     &c->rows->ids, err));
        MILL_TRY(end_row(c, first, span.last, &span, err));
    }
    c->token = token + 1;
    return MILL_OK;
}

mill_status mill_encode_pieces(mill_encode *e, mill_encode_document *document, mill_rows *rows, mill_error *err)
{
    cursor c = {.e = e, .document = document, .rows = rows, .tag = document->tag >= 0, .end = e->options.end_token};
    c.context = e->options.context != 0 ? e->options.context : UINT64_MAX;
    c.sentinels = e->cut == MILL_FIM_MULTI ? MILL_SENTINELS_MULTI : 3;
    bool done, tried;
    MILL_TRY(whole_document(&c, &done, &tried, err));
    if (done)
        return MILL_OK;
    MILL_TRY(mill_encode_measure(e, document, err));
    while (c.at < document->bytes) {
        done = false;
        // A plan by lines has no second, shorter form: such a document is cut plain.
        if (document->cut == NULL && is_drawn(&c))
            MILL_TRY(transformed_piece(&c, tried, &done, err));
        if (!done)
            MILL_TRY(plain_piece(&c, &done, err));
        if (!done)
            MILL_TRY(straddled_pieces(&c, err));
    }
    return MILL_OK;
}

mill_status mill_encode_foresee_pieces(mill_encode *e, mill_encode_document *document, mill_error *err)
{
    cursor c = {.e = e, .document = document};
    mill_fim_plan plan = {.mode = MILL_FIM_NONE};
    const mill_row_span span = {0, document->bytes, &plan, true};
    if (is_drawn(&c) && document->cut != NULL)
        mill_fim_plan_lines(document->text, document->bytes, document->cut->first, document->cut->second, &plan);
    else if (is_drawn(&c) && e->cut != MILL_FIM_TOKEN)
        MILL_TRY(mill_encode_plan(e, document, &span, 0, 0, &plan, err));
    e->whole.count = 0;
    if (plan.mode == MILL_FIM_NONE)
        return mill_encode_plain(e, document, err);
    MILL_TRY(mill_encode_parts(e, document, &span, &e->whole, err));
    // Its row will not fit, most likely: then pieces are cut from its plain ids.
    const bool too_long = e->options.context != 0 && document->bytes / BYTES_A_TOKEN > e->options.context;
    return too_long ? mill_encode_plain(e, document, err) : MILL_OK;
}
