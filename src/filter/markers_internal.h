// markers_internal.h: what the plain and the vector search for markers share.
#ifndef MILL_FILTER_MARKERS_INTERNAL_H
#define MILL_FILTER_MARKERS_INTERNAL_H

#include "filter/markers.h"

static inline uint8_t mill_ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

// Does the marker, as its kind demands, stand at text[at]? Any `at` is allowed. Does not apply the autogen
// window.
bool mill_marker_at(const mill_marker *marker, const uint8_t *text, uint64_t bytes, uint64_t at,
                    bool word_language);
// Does a hit of an autogen marker at `at` lie in the window?
bool mill_marker_in_window(const mill_markers *markers, const mill_marker *marker, uint64_t bytes,
                           uint64_t at);
// The vector search; for texts that do not fold. Off x86-64 it does not exist.
mill_marker_hits mill_markers_scan_avx2(const mill_markers *markers, const uint8_t *text, uint64_t bytes,
                                        bool word_language);

#endif
