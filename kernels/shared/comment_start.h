// comment_start.h: the comment styles of languages, and whether a line begins with one of their prefixes: one
// definition for host and device (C17 and C++17).
#ifndef MILL_SHARED_COMMENT_START_H
#define MILL_SHARED_COMMENT_START_H

#include <stdint.h>

#ifndef MILL_HD
#ifdef __CUDACC__
#define MILL_HD static inline __host__ __device__
#else
#define MILL_HD static inline
#endif
#endif

typedef enum mill_comment_style { // bits
    MILL_COMMENT_HASH = 1,        // # at the start of a line
    MILL_COMMENT_SLASHES = 2,     // //
    MILL_COMMENT_DASHES = 4,      // --
    MILL_COMMENT_SEMICOLON = 8,   // ;
    MILL_COMMENT_PERCENT = 16,    // %
    MILL_COMMENT_STAR = 32,       // a line that begins with /* or *, inside block comments
    MILL_COMMENT_ANGLE = 64,      // <!--
    MILL_COMMENT_QUOTE = 128,     // "  (Vim script)
    MILL_COMMENT_BANG = 256,      // !  (Fortran)
} mill_comment_style;

// 1 if a line whose first characters stand at text[at], at < end, begins with a prefix of `styles`.
MILL_HD uint32_t mill_comment_starts(const uint8_t *text, uint64_t end, uint64_t at, uint32_t styles)
{
    uint8_t c = text[at], next = at + 1 < end ? text[at + 1] : '\n';
    switch (c) {
    case '#': return styles & MILL_COMMENT_HASH ? 1u : 0u;
    case '/':
        return (next == '/' && (styles & MILL_COMMENT_SLASHES)) ||
                       (next == '*' && (styles & MILL_COMMENT_STAR))
                   ? 1u
                   : 0u;
    case '*': return (styles & MILL_COMMENT_STAR) && (next <= 0x20 || next == '/') ? 1u : 0u;
    case '-': return next == '-' && (styles & MILL_COMMENT_DASHES) ? 1u : 0u;
    case ';': return styles & MILL_COMMENT_SEMICOLON ? 1u : 0u;
    case '%': return styles & MILL_COMMENT_PERCENT ? 1u : 0u;
    case '<':
        return (styles & MILL_COMMENT_ANGLE) && end - at >= 4 && next == '!' && text[at + 2] == '-' &&
                       text[at + 3] == '-'
                   ? 1u
                   : 0u;
    case '"': return styles & MILL_COMMENT_QUOTE ? 1u : 0u;
    case '!': return styles & MILL_COMMENT_BANG ? 1u : 0u;
    default: return 0u;
    }
}

#endif
