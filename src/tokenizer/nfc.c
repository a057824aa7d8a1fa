// nfc.c: normalization form C by utf8proc's tables (Unicode 15), cut down to what the tokenizers package knows (Unicode 9).
//
// ASCII is stable and composes only with marks behind it, so only runs of other characters are touched, each with the one
// ASCII character before it. A mark that came after Unicode 9 is for the package a character like any other: nothing moves
// across it and nothing composes with it, so it ends a run and stays as it is.
#include "tokenizer/nfc.h"

#include "core/utf8.h"

#include <string.h>
#include <utf8proc.h>

typedef struct range {
    uint32_t first, last;
} range;

// Marks with a combining class in Unicode 15 that the package does not reorder, and the pair of U+11938, which it neither
// composes nor takes apart. Found by comparing with the package, code point by code point.
static const range unknown[] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},     {0xc3c, 0xc3c},
    {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},
    {0xa82c, 0xa82c},   {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50},
    {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
    {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45},
    {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136},
    {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
};

static bool is_unknown(uint32_t c)
{
    size_t low = 0, high = sizeof unknown / sizeof unknown[0];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (unknown[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof unknown / sizeof unknown[0] && unknown[low].first <= c;
}

typedef struct scratch {
    utf8proc_int32_t *points; // decomposed
    size_t count, capacity;
    utf8proc_int32_t *sorted; // one run of marks
    size_t sorted_capacity;
} scratch;

static uint8_t class_of(utf8proc_int32_t c)
{
    return (uint8_t)utf8proc_get_property(c)->combining_class;
}

// Sorts points[0, count), all of a class above 0, by class, stable: counting, since runs may be long on purpose.
static mill_status sort_marks(scratch *s, utf8proc_int32_t *points, size_t count, mill_error *err)
{
    size_t place[257] = {0};
    MILL_TRY(MILL_GROW(s->sorted, s->sorted_capacity, count, err));
    for (size_t i = 0; i < count; i++)
        place[class_of(points[i]) + 1]++;
    for (size_t i = 1; i < 257; i++)
        place[i] += place[i - 1];
    for (size_t i = 0; i < count; i++)
        s->sorted[place[class_of(points[i])]++] = points[i];
    memcpy(points, s->sorted, count * sizeof *points);
    return MILL_OK;
}

static mill_status order_marks(scratch *s, mill_error *err)
{
    for (size_t i = 0; i < s->count;) {
        size_t begin = i;
        bool ordered = true;
        for (; i < s->count && class_of(s->points[i]) != 0; i++)
            ordered = ordered && (i == begin || class_of(s->points[i - 1]) <= class_of(s->points[i]));
        if (!ordered)
            MILL_TRY(sort_marks(s, s->points + begin, i - begin, err));
        i += i == begin;
    }
    return MILL_OK;
}

// Normalizes a run without unknown marks.
static mill_status normalize_run(scratch *s, const uint8_t *text, size_t bytes, mill_buf *out, mill_error *err)
{
    size_t length;
    if (bytes == 0)
        return MILL_OK;
    s->count = 0;
    for (size_t at = 0; at < bytes; at += length) {
        utf8proc_int32_t c = (utf8proc_int32_t)mill_utf8_decode(text + at, &length);
        int boundary = 0; // no character has more than four in its decomposition
        MILL_TRY(MILL_GROW(s->points, s->capacity, s->count + 8, err));
        utf8proc_ssize_t count = utf8proc_decompose_char(c, s->points + s->count, 8, UTF8PROC_DECOMPOSE, &boundary);
        MILL_ASSERT(count > 0 && count <= 8);
        s->count += (size_t)count;
    }
    MILL_TRY(order_marks(s, err));
    utf8proc_ssize_t count = utf8proc_normalize_utf32(s->points, (utf8proc_ssize_t)s->count,
                                                      UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    MILL_ASSERT(count >= 0);
    MILL_TRY(mill_buf_reserve(out, 4 * (size_t)count, err));
    for (utf8proc_ssize_t i = 0; i < count; i++)
        out->bytes += mill_utf8_encode((uint32_t)s->points[i], out->data + out->bytes);
    return MILL_OK;
}

static mill_status normalize(scratch *s, const uint8_t *text, size_t bytes, mill_buf *out, mill_error *err)
{
    size_t at = 0, length;
    while (at < bytes) {
        size_t begin = at;
        while (at < bytes && text[at] < 0x80)
            at++;
        size_t run = at > begin && at < bytes ? at - 1 : at;
        MILL_TRY(mill_buf_append(out, text + begin, run - begin, err));
        size_t stop = 0; // bytes of the unknown mark that ends the run
        while (at < bytes && text[at] >= 0x80) {
            bool alien = is_unknown(mill_utf8_decode(text + at, &length));
            if (alien) {
                stop = length;
                break;
            }
            at += length;
        }
        MILL_TRY(normalize_run(s, text + run, at - run, out, err));
        MILL_TRY(mill_buf_append(out, text + at, stop, err));
        at += stop;
    }
    return MILL_OK;
}

mill_status mill_nfc(const uint8_t *text, size_t bytes, mill_buf *out, mill_error *err)
{
    scratch s = {0};
    mill_status status = normalize(&s, text, bytes, out, err);
    mill_free(s.points);
    mill_free(s.sorted);
    return status;
}
