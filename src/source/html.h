// html.h: HTML as Markdown text, and the code blocks in it. One parser a thread.
#ifndef MILL_SOURCE_HTML_H
#define MILL_SOURCE_HTML_H

#include "core/alloc.h"
#include "record/language.h"

enum {
    MILL_HTML_BYTES_MAX =
        4 << 20, // a longer text is not parsed: the tree of a hostile one may be 64 times as large
    MILL_HTML_DEPTH_MAX = 512, // elements that are open at once, without those that close by themselves
};

typedef struct mill_html mill_html;

typedef struct mill_html_code { // a code block
    size_t begin, bytes;        // in mill_html_result.code
    int language;               // id, or -1 where nothing tells
} mill_html_code;

typedef struct mill_html_result {
    mill_buf text; // Markdown
    mill_buf code; // the code blocks without fences, each ended by '\n'
    mill_html_code *blocks;
    size_t block_count, block_capacity;
} mill_html_result;

typedef enum mill_html_scope {
    MILL_HTML_PAGE, // a whole page: navigation goes, the main part is found, a page without heading gets its
                    // title as one
    MILL_HTML_FRAGMENT, // a post: everything is text
    MILL_HTML_PROSE,    // a post without its code blocks, which are gathered all the same
} mill_html_scope;

bool mill_html_supported(
    void); // false: this build has no HTML parser, and mill_html_open fails with MILL_INPUT
mill_status mill_html_open(const mill_language_table *languages, mill_html **out,
                           mill_error *err) MILL_MUST_CHECK;
void mill_html_close(mill_html *html); // NULL is fine
// Fills *result (cleared first). text is valid UTF-8. *problem says why the text cannot be read (too long,
// too deep, too complex), or is NULL. Any bytes are HTML; what is malformed is read as browsers do.
mill_status mill_html_read(mill_html *html, const uint8_t *text, size_t bytes, mill_html_scope scope,
                           mill_html_result *result, const char **problem, mill_error *err) MILL_MUST_CHECK;
void mill_html_result_free(mill_html_result *result);

#endif
