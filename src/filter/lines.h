// lines.h: counts the lines of a text that are comments by their first characters.
#ifndef MILL_FILTER_LINES_H
#define MILL_FILTER_LINES_H

#include "record/language.h"

// Lines (as split at U+000A) that begin, after the blanks that Python's str.strip() removes, with a comment
// prefix of `styles` (mill_comment_style bits). For MILL_COMMENT_STAR that is "/*", or "*" before a blank,
// '/' or the end of the line, so that
// "*p = 0;" is none. Text is valid UTF-8. _avx2 gives the same and needs AVX2; off x86-64 it is the plain
// one.
uint64_t mill_comment_lines(const uint8_t *text, uint64_t bytes, uint32_t styles);
uint64_t mill_comment_lines_avx2(const uint8_t *text, uint64_t bytes, uint32_t styles);

#endif
