// encode_guide.c: rows as the guide makes them: tag, transformed text and end-of-text encoded as one string, then chunks of
// `context` ids. Sentinels, tags and the end may be cut from their document, and special strings in content become control
// tokens: both are what the guide does, and why its rows cannot be promised to restore.
#include "encode/encode_internal.h"

static mill_status append_control(mill_encode *e, int64_t id, mill_error *err)
{
    uint32_t bytes = 0;
    const uint8_t *text = mill_tokenizer_bytes(e->tokenizer, (uint32_t)id, &bytes);
    return mill_buf_append(&e->string, text, bytes, err);
}

static mill_status spell(mill_encode *e, const mill_encode_document *document, const mill_fim_plan *plan, mill_error *err)
{
    mill_layout layout;
    mill_layout_make(&e->controls, plan, document->bytes, &layout);
    mill_buf_clear(&e->string);
    if (document->tag >= 0)
        MILL_TRY(append_control(e, document->tag, err));
    for (uint32_t i = 0; i < layout.count; i++) {
        const mill_layout_item *item = &layout.items[i];
        if (item->control >= 0)
            MILL_TRY(append_control(e, item->control, err));
        else if (item->begin < item->end)
            MILL_TRY(mill_buf_append(&e->string, document->text + item->begin, item->end - item->begin, err));
    }
    return e->options.end_token ? append_control(e, e->controls.end, err) : MILL_OK;
}

static mill_status plan_document(mill_encode *e, const mill_encode_document *document, mill_row_span *span, mill_fim_plan *plan,
                                 mill_error *err)
{
    if (e->fim == NULL)
        return MILL_OK;
    if (document->cut != NULL) {
        mill_fim_plan_lines(document->text, document->bytes, document->cut->first, document->cut->second, plan);
        return MILL_OK;
    }
    if (!mill_fim_drawn(e->fim, document->key, document->piece))
        return MILL_OK;
    if (e->cut == MILL_FIM_TOKEN) {
        MILL_TRY(mill_encode_plain(e, document, err));
        MILL_TRY(mill_encode_measure(e, document, err));
    }
    return mill_encode_plan(e, document, span, 0, e->plain.count, plan, err);
}

// All ids of the document, appended to out.
static mill_status encode_whole(mill_encode *e, const mill_encode_document *document, const mill_row_span *span, mill_ids *out,
                                mill_error *err)
{
    if (e->options.parse_specials) {
        MILL_TRY(spell(e, document, span->plan, err));
        return mill_encode_text(e, e->string.data, e->string.bytes, true, out, err);
    }
    if (document->tag >= 0)
        MILL_TRY(mill_ids_append(out, (uint32_t)document->tag, err));
    if (span->plan->mode != MILL_FIM_NONE)
        MILL_TRY(mill_encode_parts(e, document, span, out, err));
    else
        MILL_TRY(mill_encode_text(e, document->text, document->bytes, false, out, err));
    return e->options.end_token ? mill_ids_append(out, (uint32_t)e->controls.end, err) : MILL_OK;
}

mill_status mill_encode_chunks(mill_encode *e, mill_encode_document *document, mill_rows *rows, mill_error *err)
{
    mill_fim_plan plan = {.mode = MILL_FIM_NONE};
    mill_row_span span = {0, document->bytes, &plan, false};
    MILL_TRY(plan_document(e, document, &span, &plan, err));
    // Only kept chunks stay in rows->ids, so the document's ids are made beside it.
    mill_ids *whole = &e->whole;
    whole->count = 0;
    MILL_TRY(encode_whole(e, document, &span, whole, err));
    const size_t context = e->options.context != 0 ? e->options.context : whole->count;
    for (size_t at = 0; at < whole->count; at += context) {
        const size_t left = whole->count - at, first = rows->ids.count;
        span.last = left <= context;
        MILL_TRY(mill_encode_put(&rows->ids, whole->data + at, span.last ? left : context, err));
        MILL_TRY(mill_encode_row(e, document, first, &span, rows, err));
    }
    return MILL_OK;
}

mill_status mill_encode_foresee_chunks(mill_encode *e, mill_encode_document *document, mill_error *err)
{
    mill_fim_plan plan = {.mode = MILL_FIM_NONE};
    mill_row_span span = {0, document->bytes, &plan, false};
    if (e->fim != NULL && document->cut == NULL && e->cut == MILL_FIM_TOKEN && mill_fim_drawn(e->fim, document->key, 0))
        return mill_encode_plain(e, document, err); // the plan needs the ids of this
    MILL_TRY(plan_document(e, document, &span, &plan, err));
    e->whole.count = 0;
    return encode_whole(e, document, &span, &e->whole, err);
}
