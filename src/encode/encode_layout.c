// encode_layout.c: the order of parts and sentinels in a row (drawn in encode.h), and the ids of the sentinels.
#include <stdio.h>

#include "encode/encode_internal.h"

static int64_t find(const mill_tokenizer *tokenizer, const char *name)
{
    return name != NULL ? mill_tokenizer_special(tokenizer, name) : -1;
}

void mill_controls_resolve(const mill_encode_options *options, const mill_tokenizer *tokenizer, mill_controls *out)
{
    out->end = find(tokenizer, options->end_text);
    out->prefix = find(tokenizer, options->fim_prefix);
    out->middle = find(tokenizer, options->fim_middle);
    out->suffix = find(tokenizer, options->fim_suffix);
    out->span_end = find(tokenizer, MILL_FIM_SPAN_END);
    for (uint32_t i = 0; i < MILL_FIM_SPANS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, MILL_FIM_SPAN_FORMAT, i);
        out->spans[i] = find(tokenizer, name);
    }
}

static void put_control(mill_layout *out, int64_t id)
{
    MILL_ASSERT(out->count < MILL_LAYOUT_MAX && id >= 0);
    out->items[out->count++] = (mill_layout_item){id, 0, 0};
}

static void put_text(mill_layout *out, uint64_t begin, uint64_t end)
{
    MILL_ASSERT(out->count < MILL_LAYOUT_MAX && begin <= end);
    out->items[out->count++] = (mill_layout_item){-1, begin, end};
}

static void put_spans(const mill_controls *controls, const mill_fim_plan *plan, uint64_t bytes, mill_layout *out)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < plan->span_count; i++) {
        put_text(out, at, plan->begin[i]);
        put_control(out, controls->spans[i]);
        at = plan->end[i];
    }
    put_text(out, at, bytes);
    for (uint32_t i = 0; i < plan->span_count; i++) {
        put_control(out, controls->spans[i]);
        put_text(out, plan->begin[i], plan->end[i]);
        put_control(out, controls->span_end);
    }
}

void mill_layout_make(const mill_controls *controls, const mill_fim_plan *plan, uint64_t bytes, mill_layout *out)
{
    out->count = 0;
    if (plan == NULL || plan->mode == MILL_FIM_NONE) {
        put_text(out, 0, bytes);
        return;
    }
    if (plan->mode == MILL_FIM_SPANS) {
        put_spans(controls, plan, bytes, out);
        return;
    }
    // The guide's newlines before the two cuts belong to no part.
    const uint64_t lost = plan->guide ? 1 : 0;
    const mill_layout_item prefix = {-1, 0, plan->begin[0] - lost};
    const mill_layout_item middle = {-1, plan->begin[0], plan->end[0] - lost};
    put_control(out, controls->prefix);
    if (plan->mode == MILL_FIM_PSM)
        put_text(out, prefix.begin, prefix.end);
    put_control(out, controls->suffix);
    put_text(out, plan->end[0], bytes);
    put_control(out, controls->middle);
    if (plan->mode == MILL_FIM_SPM)
        put_text(out, prefix.begin, prefix.end);
    put_text(out, middle.begin, middle.end);
}
