// filter_markers.c: the marker set of a recipe, and the plain search for it.
//
// str.lower() is full Unicode, but only two characters beyond ASCII lower to something with ASCII in it:
// U+212A KELVIN SIGN to 'k' and U+0130 to 'i' U+0307. So folding ASCII bytes finds a marker exactly, unless
// it has a 'k' or its last letter is 'i' (an inner 'i' is followed by ASCII, never by U+0307). Such markers
// are searched in a folded copy of the texts that have one of the two characters.
#include <string.h>

#include "core/unicode.h"
#include "core/utf8.h"
#include "filter/markers_internal.h"

static const uint8_t kelvin[3] = {0xe2, 0x84, 0xaa};
static const uint8_t dotted_i[2] = {0xc4, 0xb0};

// How common a byte is in source code, roughly; the rarest window of a marker is the one to look for.
static uint32_t byte_weight(uint8_t c)
{
    static const char common[] = " etrnaiosldcumpfhg"; // most common first
    const char *place = c != 0 ? strchr(common, mill_ascii_lower(c)) : NULL;
    return place != NULL ? (uint32_t)(sizeof common - (size_t)(place - common)) : 0;
}

static uint32_t best_anchor(const char *text, uint32_t bytes)
{
    uint32_t best = 0, best_weight = UINT32_MAX;
    for (uint32_t i = 0; i + MILL_MARKERS_WINDOW <= bytes; i++) {
        uint32_t weight = 0;
        for (uint32_t j = 0; j < MILL_MARKERS_WINDOW; j++)
            weight += byte_weight((uint8_t)text[i + j]);
        if (weight < best_weight) {
            best = i;
            best_weight = weight;
        }
    }
    return best;
}

static void allow_byte(mill_markers *markers, uint32_t place, uint8_t c, uint8_t bits)
{
    markers->low[place][c & 15] |= bits;
    markers->high[place][c >> 4] |= bits;
}

// Puts marker `number` into its bucket: autogen markers into buckets 0-3, test markers into 4-7, so that the
// second half can be switched off as soon as one test marker is found and the first half alone goes on.
static void add_to_bucket(mill_markers *markers, uint32_t number)
{
    const mill_marker *m = &markers->marker[number];
    uint32_t b = number % 4 + (m->kind == MILL_MARKER_TEST ? 4 : 0);
    uint8_t bit = (uint8_t)(1u << b);
    markers->bucket[b][markers->bucket_count[b]++] = number;
    if (m->kind == MILL_MARKER_AUTOGEN)
        markers->autogen_buckets |= bit;
    for (uint32_t j = 0; j < MILL_MARKERS_WINDOW; j++) {
        if (m->anchor + j >= m->bytes) { // a marker shorter than the window: any byte may follow
            for (uint32_t nibble = 0; nibble < 16; nibble++) {
                markers->low[j][nibble] |= bit;
                markers->high[j][nibble] |= bit;
            }
            continue;
        }
        uint8_t c = (uint8_t)m->text[m->anchor + j];
        allow_byte(markers, j, c, bit);
        if (m->kind == MILL_MARKER_AUTOGEN && c >= 'a' && c <= 'z')
            allow_byte(markers, j, (uint8_t)(c - 0x20), bit);
    }
}

static mill_status check_marker(const char *text, mill_marker_kind kind, mill_error *err)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes > MILL_MARKER_BYTES_MAX)
        return mill_fail(err, MILL_RECIPE, "a marker must have 1 to %d bytes, one has %zu",
                         MILL_MARKER_BYTES_MAX, bytes);
    for (const char *p = text; kind == MILL_MARKER_AUTOGEN && *p != '\0'; p++) {
        if ((uint8_t)*p >= 0x80 || (*p >= 'A' && *p <= 'Z'))
            return mill_fail(err, MILL_RECIPE, "autogen marker \"%s\" must be lower-case ASCII", text);
    }
    return MILL_OK;
}

static mill_status add_list(mill_markers *markers, const char *const *list, mill_marker_kind kind, bool words,
                            mill_error *err)
{
    for (; *list != NULL; list++) {
        MILL_TRY(check_marker(*list, kind, err));
        mill_marker *m = &markers->marker[markers->count];
        *m = (mill_marker){.text = *list, .bytes = (uint32_t)strlen(*list), .kind = (uint8_t)kind};
        m->anchor = best_anchor(m->text, m->bytes);
        m->word = kind == MILL_MARKER_TEST && words &&
                  (strcmp(*list, "it(") == 0 || strcmp(*list, "describe(") == 0);
        if (kind == MILL_MARKER_AUTOGEN && (strchr(*list, 'k') != NULL || m->text[m->bytes - 1] == 'i'))
            markers->folds = true;
        add_to_bucket(markers, markers->count++);
    }
    return MILL_OK;
}

static size_t list_length(const char *const *list)
{
    size_t count = 0;
    while (list[count] != NULL)
        count++;
    return count;
}

mill_status mill_markers_init(const char *const *autogen, const char *const *test, bool words,
                              uint32_t autogen_window, mill_markers *out, mill_error *err)
{
    *out = (mill_markers){.autogen_window = autogen_window};
    size_t count = list_length(autogen) + list_length(test);
    if (count > sizeof out->bucket[0] / sizeof out->bucket[0][0])
        return mill_fail(err, MILL_RECIPE, "%zu markers are too many", count);
    out->marker = mill_alloc_zero(count + 1, sizeof *out->marker);
    if (out->marker == NULL)
        return mill_fail_nomem(err, "markers");
    mill_status status = add_list(out, autogen, MILL_MARKER_AUTOGEN, words, err);
    if (status == MILL_OK)
        status = add_list(out, test, MILL_MARKER_TEST, words, err);
    if (status != MILL_OK)
        mill_markers_free(out);
    return status;
}

void mill_markers_free(mill_markers *markers)
{
    mill_free(markers->marker);
    *markers = (mill_markers){0};
}

// Is the character that ends before text[at] part of an identifier, or a '.'?
static bool joined_to_the_left(const uint8_t *text, uint64_t at)
{
    if (at == 0)
        return false;
    uint8_t c = text[at - 1];
    if (c < 0x80)
        return c == '.' || c == '_' || c == '$' || (c >= '0' && c <= '9') ||
               (mill_ascii_lower(c) >= 'a' && mill_ascii_lower(c) <= 'z');
    uint64_t lead = at - 1;
    while (lead > 0 && at - lead < 4 && (text[lead] & 0xc0) == 0x80)
        lead--;
    size_t length;
    uint32_t code = mill_utf8_decode(text + lead, &length);
    uint32_t class = mill_unicode_class(code);
    return class == MILL_CLASS_LETTER || class == MILL_CLASS_NUMBER || mill_unicode_is_mark(code);
}

bool mill_marker_at(const mill_marker *marker, const uint8_t *text, uint64_t bytes, uint64_t at,
                    bool word_language)
{
    if (at > bytes || bytes - at < marker->bytes)
        return false;
    if (marker->kind == MILL_MARKER_TEST)
        return memcmp(text + at, marker->text, marker->bytes) == 0 &&
               (!marker->word || (word_language && !joined_to_the_left(text, at)));
    for (uint32_t i = 0; i < marker->bytes; i++)
        if (mill_ascii_lower(text[at + i]) != (uint8_t)marker->text[i])
            return false;
    return true;
}

bool mill_marker_in_window(const mill_markers *markers, const mill_marker *marker, uint64_t bytes,
                           uint64_t at)
{
    uint64_t window = markers->autogen_window;
    return window == 0 || at + marker->bytes <= window || at + window >= bytes;
}

static bool occurs(const mill_markers *markers, const mill_marker *m, const uint8_t *text, uint64_t bytes,
                   bool word_language)
{
    uint8_t first = (uint8_t)m->text[0];
    uint8_t other =
        m->kind == MILL_MARKER_AUTOGEN && first >= 'a' && first <= 'z' ? (uint8_t)(first - 0x20) : first;
    for (uint64_t at = 0; at + m->bytes <= bytes; at++) {
        if (text[at] != first && text[at] != other)
            continue;
        if (mill_marker_at(m, text, bytes, at, word_language) &&
            (m->kind == MILL_MARKER_TEST || mill_marker_in_window(markers, m, bytes, at)))
            return true;
    }
    return false;
}

static bool has_folding_character(const uint8_t *text, uint64_t bytes)
{
    return memmem(text, bytes, kelvin, sizeof kelvin) != NULL ||
           memmem(text, bytes, dotted_i, sizeof dotted_i) != NULL;
}

// Copies text with U+212A as "k" and U+0130 as "i" U+0307. A window then counts in bytes of the copy.
static mill_status fold(const uint8_t *text, uint64_t bytes, mill_buf *out, mill_error *err)
{
    mill_buf_clear(out);
    MILL_TRY(mill_buf_reserve(out, bytes + bytes / 2 + 1, err)); // two bytes become at most three
    for (uint64_t i = 0; i < bytes;) {
        if (bytes - i >= sizeof kelvin && memcmp(text + i, kelvin, sizeof kelvin) == 0) {
            out->data[out->bytes++] = 'k';
            i += sizeof kelvin;
        } else if (bytes - i >= sizeof dotted_i && memcmp(text + i, dotted_i, sizeof dotted_i) == 0) {
            static const uint8_t lower[3] = {'i', 0xcc, 0x87};
            memcpy(out->data + out->bytes, lower, sizeof lower);
            out->bytes += sizeof lower;
            i += sizeof dotted_i;
        } else {
            out->data[out->bytes++] = text[i++];
        }
    }
    return MILL_OK;
}

mill_status mill_markers_first(const mill_markers *markers, mill_marker_kind kind, const uint8_t *text,
                               uint64_t bytes, bool word_language, mill_buf *scratch,
                               const mill_marker **first, mill_error *err)
{
    if (kind == MILL_MARKER_AUTOGEN && markers->folds && has_folding_character(text, bytes)) {
        MILL_TRY(fold(text, bytes, scratch, err));
        text = scratch->data;
        bytes = scratch->bytes;
    }
    *first = NULL;
    for (uint32_t i = 0; i < markers->count && *first == NULL; i++)
        if (markers->marker[i].kind == kind &&
            occurs(markers, &markers->marker[i], text, bytes, word_language))
            *first = &markers->marker[i];
    return MILL_OK;
}

mill_status mill_markers_find(const mill_markers *markers, const uint8_t *text, uint64_t bytes,
                              bool word_language, bool vector, mill_buf *scratch, mill_marker_hits *hits,
                              mill_error *err)
{
#if defined(__x86_64__)
    if (vector && !(markers->folds && has_folding_character(text, bytes))) {
        *hits = mill_markers_scan_avx2(markers, text, bytes, word_language);
        return MILL_OK;
    }
#else
    (void)vector;
#endif
    *hits = (mill_marker_hits){false, false};
    const mill_marker *first;
    MILL_TRY(
        mill_markers_first(markers, MILL_MARKER_AUTOGEN, text, bytes, word_language, scratch, &first, err));
    hits->autogen = first != NULL;
    if (hits->autogen)
        return MILL_OK;
    MILL_TRY(mill_markers_first(markers, MILL_MARKER_TEST, text, bytes, word_language, scratch, &first, err));
    hits->test = first != NULL;
    return MILL_OK;
}
