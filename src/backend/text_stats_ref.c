// text_stats_ref.c: text statistics, the definition: one code point after the other.
#include "backend/ops.h"
#include "core/unicode.h"
#include "core/utf8.h"

static mill_text_stat text_stat(const uint8_t *text, uint64_t bytes, uint32_t rank)
{
    mill_text_stat stat = {.lines = 1};
    for (uint64_t i = 0; i < bytes;) {
        size_t length;
        uint32_t c = mill_utf8_decode(text + i, &length);
        stat.chars++;
        stat.lines += c == '\n';
        stat.alnum_or_space += mill_property_is_text(mill_unicode_property(c), rank);
        i += length;
    }
    return stat;
}

mill_status mill_text_stats_ref(const mill_text_view *in, uint32_t unicode, mill_text_stat *out)
{
    if (!mill_unicode_known(unicode))
        return MILL_USAGE;
    for (uint32_t i = 0; i < in->count; i++)
        out[i] = text_stat(in->bytes + in->offsets[i], in->offsets[i + 1] - in->offsets[i],
                           mill_alnum_rank(unicode));
    return MILL_OK;
}
