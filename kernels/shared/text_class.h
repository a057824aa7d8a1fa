// text_class.h: what a code point is to the text statistics and to the pre-tokenizer: the layout of the
// property byte of core/unicode_tables.h. Scalar definitions in the common subset of C17 and C++17, for host
// and device alike.
#ifndef MILL_SHARED_TEXT_CLASS_H
#define MILL_SHARED_TEXT_CLASS_H

#include <stdint.h>

#ifndef MILL_HD
#ifdef __CUDACC__
#define MILL_HD static inline __host__ __device__
#else
#define MILL_HD static inline
#endif
#endif

// Bits of a property byte.
#define MILL_PROPERTY_CLASS 0x03u // MILL_CLASS_*
#define MILL_PROPERTY_ALNUM 0x1cu // str.isalnum() since Unicode 1: 14.0, 2: 15.0, 3: 15.1, 4: 16.0; 0: never
#define MILL_PROPERTY_ALNUM_SHIFT 2
#define MILL_PROPERTY_SPACE 0x20u   // str.isspace(): White_Space and U+001C-001F
#define MILL_PROPERTY_MARK 0x40u    // \p{M}
#define MILL_PROPERTY_NUMERIC 0x80u // Rust's char::is_numeric

// Classes of the tokenizers' regex engine (Unicode 16.0); they exclude each other.
#define MILL_CLASS_OTHER 0u
#define MILL_CLASS_LETTER 1u // \p{L}
#define MILL_CLASS_NUMBER 2u // \p{N}
#define MILL_CLASS_SPACE 3u  // \s = White_Space

// Property byte of any 32-bit value; values above U+10FFFF have none. `index` and `blocks` as in
// core/unicode_tables.h, with 2^shift code points a block.
MILL_HD uint32_t mill_property_lookup(const uint8_t *index, const uint8_t *blocks, uint32_t shift, uint32_t c)
{
    if (c > 0x10ffffu)
        return 0;
    return blocks[(uint32_t)index[c >> shift] << shift | (c & ((1u << shift) - 1u))];
}

// Rank of a Unicode version (140, 150, 151, 160) in MILL_PROPERTY_ALNUM; 0 for versions without a table.
MILL_HD uint32_t mill_alnum_rank(uint32_t version)
{
    return version == 140u ? 1u : version == 150u ? 2u : version == 151u ? 3u : version == 160u ? 4u : 0u;
}

// 1 if the byte says alphanumeric in the version of this rank.
MILL_HD uint32_t mill_property_is_alnum(uint32_t property, uint32_t rank)
{
    uint32_t since = (property & MILL_PROPERTY_ALNUM) >> MILL_PROPERTY_ALNUM_SHIFT;
    return since - 1u < rank ? 1u : 0u; // never (0) wraps to the largest value
}

// 1 if the code point counts for the alphanumeric share: str.isalnum() or str.isspace().
MILL_HD uint32_t mill_property_is_text(uint32_t property, uint32_t rank)
{
    return (property & MILL_PROPERTY_SPACE) != 0 ? 1u : mill_property_is_alnum(property, rank);
}

#endif
