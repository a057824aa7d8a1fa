// html_internal.h: what the parser and the renderer of HTML share.
#ifndef MILL_SOURCE_HTML_INTERNAL_H
#define MILL_SOURCE_HTML_INTERNAL_H

#include "source/html.h"

#ifdef MILL_HAVE_LEXBOR
#include <lexbor/dom/interfaces/character_data.h>
#include <lexbor/html/html.h>

typedef struct html_level { // an open list or quotation
    const lxb_dom_node_t *node;
    size_t prefix_bytes; // of the prefix before it
    uint64_t number;     // ordered lists: of the next item; 0: bullets
} html_level;

struct mill_html {
    const mill_language_table *languages;
    lxb_html_document_t *document; // reused from text to text
    size_t document_bytes;         // memory it has asked for
    // the renderer's scratch
    html_level *levels;
    size_t level_count, level_capacity;
    mill_buf prefix; // before every line
    mill_buf marker; // instead of it before the next line, if not empty: "- "
    mill_buf word;   // classes, languages
};

// The value of an attribute, NULL (and 0 bytes) if it is not there.
const lxb_char_t *mill_html_attribute(const lxb_dom_node_t *node, const char *name, size_t *bytes);
// Id of the language that a class of the element names, or -1: lang-py, language-c++,
// highlight-source-python, brush: js.
int mill_html_class_language(mill_html *html, const lxb_dom_node_t *node);
// The same of a comment that begins with key: <!-- language: lang-cpp -->.
int mill_html_comment_language(mill_html *html, const lxb_dom_node_t *node, const char *key);

mill_status mill_html_render(mill_html *html, mill_html_scope scope, mill_html_result *result,
                             mill_error *err) MILL_MUST_CHECK;
#endif

#endif
