// unicode_tables.h: properties of all code points; read them through core/unicode.h.
// Written by tools/gen_unicode.py: do not change by hand.
#ifndef MILL_CORE_UNICODE_TABLES_H
#define MILL_CORE_UNICODE_TABLES_H

#include <stdint.h>

#define MILL_UNICODE_SHIFT 7
#define MILL_UNICODE_INDEX_COUNT 8704
#define MILL_UNICODE_BLOCK_BYTES 28672

// Property byte (kernels/shared/text_class.h) of code point c: blocks[index[c >> SHIFT] << SHIFT | (c & (1 << SHIFT) - 1)].
extern const uint8_t mill_unicode_index[MILL_UNICODE_INDEX_COUNT];
extern const uint8_t mill_unicode_blocks[MILL_UNICODE_BLOCK_BYTES];

#endif
