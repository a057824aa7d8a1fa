// pack.c: packing of rows into samples: checks, and the choice of the mode.
#include "pack/pack.h"

#include <inttypes.h>

#include "pack/pack_internal.h"

const char *const mill_pack_mode_names[MILL_PACK_MODE_COUNT] = {"guide", "concat", "best-fit"};

void mill_packing_free(mill_packing *packing)
{
    mill_free(packing->parts);
    mill_free(packing->sample_parts);
    *packing = (mill_packing){0};
}

static mill_status check_options(const mill_pack_options *options, mill_error *err)
{
    if (options->seq_len == 0)
        return mill_fail(err, MILL_RECIPE, "pack.seq_len is 0: a sample needs at least one token");
    if (options->extra > 1)
        return mill_fail(err, MILL_RECIPE, "pack.extra is %" PRIu32 ": only 0 and 1 are known", options->extra);
    if (options->seq_len > UINT32_MAX - options->extra)
        return mill_fail(err, MILL_RECIPE, "pack.seq_len %" PRIu32 " leaves no room for pack.extra", options->seq_len);
    if (options->mode == MILL_PACK_BEST_FIT && options->seq_len + options->extra > MILL_PACK_BEST_FIT_MAX)
        return mill_fail(err, MILL_RECIPE,
                         "pack.seq_len is %" PRIu32 ": best-fit packs samples of at most %" PRIu32
                         " tokens; use pack.mode concat for longer ones",
                         options->seq_len, MILL_PACK_BEST_FIT_MAX);
    return MILL_OK;
}

static mill_status check_lengths(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_error *err)
{
    uint32_t limit = options->mode == MILL_PACK_BEST_FIT ? options->seq_len + options->extra : UINT32_MAX;
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (lengths[i] == 0)
            return mill_fail(err, MILL_INTERNAL, "packing: row %" PRIu64 " has no tokens", i);
        if (lengths[i] > limit)
            return mill_fail(err, MILL_INPUT,
                             "packing: row %" PRIu64 " has %" PRIu32 " tokens, a sample takes %" PRIu32
                             "; cut rows at encode.context or use pack.mode concat",
                             i, lengths[i], limit);
        // Twice the sum must fit: concat with extra may count every token twice.
        if (__builtin_add_overflow(total, 2 * (uint64_t)lengths[i], &total))
            return mill_fail(err, MILL_INPUT, "packing: more than 2^63 tokens");
    }
    return MILL_OK;
}

mill_status mill_pack_rows(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                           mill_error *err)
{
    typedef mill_status pack_function(const uint32_t *, uint64_t, const mill_pack_options *, mill_packing *, mill_error *);
    static pack_function *const functions[MILL_PACK_MODE_COUNT] = {mill_pack_guide, mill_pack_concat, mill_pack_best_fit};

    *out = (mill_packing){0};
    if ((unsigned)options->mode >= MILL_PACK_MODE_COUNT)
        return mill_fail(err, MILL_INTERNAL, "packing: mode %u does not exist", (unsigned)options->mode);
    MILL_TRY(check_options(options, err));
    MILL_TRY(check_lengths(lengths, count, options, err));
    mill_status status;
    MILL_TRY_GOTO(MILL_GROW(out->sample_parts, out->sample_capacity, 1, err));
    out->sample_parts[0] = 0;
    MILL_TRY_GOTO(functions[options->mode](lengths, count, options, out, err));
    return MILL_OK;
cleanup:
    mill_packing_free(out);
    return status;
}
