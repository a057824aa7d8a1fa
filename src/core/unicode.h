// unicode.h: classes of code points: CPython's str.isalnum (by Unicode version) and str.isspace, and the
// classes of the tokenizers' regex engine. All are equal to the real packages on every code point
// (tests/unit/test_unicode.c).
#ifndef MILL_CORE_UNICODE_H
#define MILL_CORE_UNICODE_H

#include <stdbool.h>

#include "core/unicode_tables.h"
#include "shared/text_class.h"

// Property byte of any 32-bit value; 0 above U+10FFFF. Surrogates have no property.
static inline uint32_t mill_unicode_property(uint32_t c)
{
    return mill_property_lookup(mill_unicode_index, mill_unicode_blocks, MILL_UNICODE_SHIFT, c);
}

// MILL_CLASS_OTHER, LETTER, NUMBER or SPACE (the 25 code points of White_Space), Unicode 16.0.
static inline uint32_t mill_unicode_class(uint32_t c)
{
    return mill_unicode_property(c) & MILL_PROPERTY_CLASS;
}

static inline bool mill_unicode_is_mark(uint32_t c)
{
    return (mill_unicode_property(c) & MILL_PROPERTY_MARK) != 0;
}

static inline bool mill_unicode_is_rust_numeric(uint32_t c)
{
    return (mill_unicode_property(c) & MILL_PROPERTY_NUMERIC) != 0;
}

// str.isspace(), str.strip() and str.split(): 29 code points, the same in all versions.
static inline bool mill_unicode_is_space(uint32_t c)
{
    return (mill_unicode_property(c) & MILL_PROPERTY_SPACE) != 0;
}

// True if there is an isalnum table of this version: 140, 150, 151, 160 for 14.0 (Python 3.11), 15.0
// (3.12), 15.1 (3.13), 16.0 (3.14).
static inline bool mill_unicode_known(uint32_t version)
{
    return mill_alnum_rank(version) != 0;
}

// str.isalnum(); false for all code points in an unknown version.
static inline bool mill_unicode_is_alnum(uint32_t version, uint32_t c)
{
    return mill_property_is_alnum(mill_unicode_property(c), mill_alnum_rank(version)) != 0;
}

#endif
