// markers.h: finds a recipe's marker strings in a text: "automatically generated" markers (ASCII letters of
// any case) and test markers (exact bytes), both kinds in one pass.
#ifndef MILL_FILTER_MARKERS_H
#define MILL_FILTER_MARKERS_H

#include "core/alloc.h"

#define MILL_MARKER_BYTES_MAX 256 // of one marker; bounds the work a hostile text can cause
#define MILL_MARKERS_WINDOW 3     // neighbouring bytes that the vector search looks at

typedef enum mill_marker_kind { MILL_MARKER_AUTOGEN, MILL_MARKER_TEST } mill_marker_kind;

typedef struct mill_marker {
    const char *text; // borrowed from the options
    uint32_t bytes;
    uint32_t anchor; // where its window begins
    uint8_t kind;    // mill_marker_kind
    bool word;       // counts only as a word of its own, and only in word languages
} mill_marker;

typedef struct mill_markers {
    mill_marker *marker;
    uint32_t count;
    uint32_t
        autogen_window; // bytes at each end of the text that autogen markers are searched in; 0: everywhere
    bool folds;         // some autogen marker has a 'k', or ends in 'i': U+212A and U+0130 matter
    uint8_t autogen_buckets; // buckets (bits) that hold autogen markers
    uint32_t bucket[8][64];  // marker numbers
    uint32_t bucket_count[8];
    uint8_t low[MILL_MARKERS_WINDOW][16],
        high[MILL_MARKERS_WINDOW][16]; // buckets by low and high nibble of a window's bytes
} mill_markers;

typedef struct mill_marker_hits {
    bool autogen;
    bool test; // left false when autogen is true
} mill_marker_hits;

// NULL-terminated lists; the strings must outlive *out. words: "it(" and "describe(" are words. Errors
// (MILL_RECIPE): an empty or overlong marker, an autogen marker that is not lower-case ASCII.
mill_status mill_markers_init(const char *const *autogen, const char *const *test, bool words,
                              uint32_t autogen_window, mill_markers *out, mill_error *err) MILL_MUST_CHECK;
void mill_markers_free(mill_markers *markers);

// Is any autogen marker in lower(text), any test marker in text? lower is Python's str.lower(), whatever the
// marker. word_language: word markers may count at all. vector: by AVX2 (the processor must have it); the
// result is the same. scratch is used for the rare texts that fold. Text is valid UTF-8.
mill_status mill_markers_find(const mill_markers *markers, const uint8_t *text, uint64_t bytes,
                              bool word_language, bool vector, mill_buf *scratch, mill_marker_hits *hits,
                              mill_error *err) MILL_MUST_CHECK;

// The first marker of the list of this kind that occurs, or NULL: the plain definition, marker by marker,
// place by place.
mill_status mill_markers_first(const mill_markers *markers, mill_marker_kind kind, const uint8_t *text,
                               uint64_t bytes, bool word_language, mill_buf *scratch,
                               const mill_marker **first, mill_error *err) MILL_MUST_CHECK;

#endif
