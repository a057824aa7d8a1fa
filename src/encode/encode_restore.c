// encode_restore.c: a row of ids back to the bytes it stands for.
#include <string.h>

#include "encode/encode_internal.h"

typedef struct restorer {
    const mill_tokenizer *tokenizer;
    const uint32_t *ids;
    size_t count;
    mill_controls controls;
    // places of control tokens; more than a row can have need not be remembered
    size_t places[MILL_SENTINELS_MULTI];
    size_t place_count;
} restorer;

static mill_status spell(const restorer *r, size_t begin, size_t end, mill_buf *text, mill_error *err)
{
    for (size_t i = begin; i < end; i++) {
        uint32_t bytes = 0;
        const uint8_t *token = mill_tokenizer_bytes(r->tokenizer, r->ids[i], &bytes);
        if (token == NULL)
            return mill_fail(err, MILL_VERIFY, "id %u at place %zu of a row is not in the vocabulary", r->ids[i], i);
        MILL_TRY(mill_buf_append(text, token, bytes, err));
    }
    return MILL_OK;
}

static bool is_at(const restorer *r, size_t place, int64_t control)
{
    return control >= 0 && r->ids[place] == control;
}

// Does the token's text match the language format ("%s" stands for one or more bytes)?
static bool is_tag(const restorer *r, const char *format)
{
    const char *hole = format != NULL ? strstr(format, "%s") : NULL;
    if (hole == NULL || r->count == 0 || !mill_tokenizer_is_special(r->tokenizer, r->ids[0]))
        return false;
    uint32_t bytes = 0;
    const uint8_t *text = mill_tokenizer_bytes(r->tokenizer, r->ids[0], &bytes);
    const size_t head = (size_t)(hole - format), tail = strlen(hole + 2);
    return text != NULL && bytes > head + tail && memcmp(text, format, head) == 0 &&
           memcmp(text + bytes - tail, hole + 2, tail) == 0;
}

// Finds the control tokens; false if there are more than any layout has.
static bool find_controls(restorer *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!mill_tokenizer_is_special(r->tokenizer, r->ids[i]))
            continue;
        if (r->place_count == MILL_SENTINELS_MULTI)
            return false;
        r->places[r->place_count++] = i;
    }
    return true;
}

static mill_fim_mode classify(const restorer *r, bool *fits)
{
    const size_t *p = r->places;
    const mill_controls *c = &r->controls;
    *fits = true;
    if (r->place_count == 0)
        return MILL_FIM_NONE;
    if (r->place_count == 3 && p[0] == 0 && is_at(r, p[0], c->prefix) && is_at(r, p[1], c->suffix) && is_at(r, p[2], c->middle))
        return p[1] == 1 ? MILL_FIM_SPM : MILL_FIM_PSM;
    const size_t spans = r->place_count / 3;
    *fits = r->place_count % 3 == 0 && spans >= 2 && p[r->place_count - 1] == r->count - 1;
    for (size_t i = 0; *fits && i < spans; i++) {
        *fits = is_at(r, p[i], c->spans[i]) && is_at(r, p[spans + 2 * i], c->spans[i]) &&
                is_at(r, p[spans + 2 * i + 1], c->span_end) &&
                (i == 0 || p[spans + 2 * i] == p[spans + 2 * i - 1] + 1);
    }
    return *fits ? MILL_FIM_SPANS : MILL_FIM_NONE;
}

static mill_status restore_spans(const restorer *r, mill_buf *text, mill_error *err)
{
    const size_t spans = r->place_count / 3, *p = r->places;
    size_t context = 0;
    for (size_t i = 0; i < spans; i++) {
        MILL_TRY(spell(r, context, p[i], text, err));
        MILL_TRY(spell(r, p[spans + 2 * i] + 1, p[spans + 2 * i + 1], text, err));
        context = p[i] + 1;
    }
    return spell(r, context, p[spans], text, err);
}

static mill_status restore_row(const restorer *r, mill_fim_mode mode, mill_buf *text, mill_error *err)
{
    if (mode == MILL_FIM_NONE)
        return spell(r, 0, r->count, text, err);
    if (mode == MILL_FIM_SPANS)
        return restore_spans(r, text, err);
    // PSM: prefix between PRE and SUF; SPM: prefix and middle are neighbours after MID, nothing between PRE and SUF.
    MILL_TRY(spell(r, 1, r->places[1], text, err));
    MILL_TRY(spell(r, r->places[2] + 1, r->count, text, err));
    return spell(r, r->places[1] + 1, r->places[2], text, err);
}

mill_status mill_encode_restore(const mill_encode_options *options, const mill_tokenizer *tokenizer, const uint32_t *ids,
                                size_t count, mill_buf *text, mill_fim_mode *mode, mill_error *err)
{
    restorer r = {.tokenizer = tokenizer, .ids = ids, .count = count};
    mill_controls_resolve(options, tokenizer, &r.controls);
    if (is_tag(&r, options->language_format)) {
        r.ids++;
        r.count--;
    }
    if (r.count > 0 && is_at(&r, r.count - 1, r.controls.end))
        r.count--;
    bool fits = find_controls(&r);
    *mode = MILL_FIM_NONE;
    if (fits)
        *mode = classify(&r, &fits);
    if (!fits && !mill_encode_is_lossy(options))
        return mill_fail(err, MILL_VERIFY, "the control tokens of a row of %zu tokens do not fit together", count);
    return restore_row(&r, *mode, text, err);
}
