// html_language.c: in which language a code block is written, by the classes and comments of pages and posts.
#include "source/html_internal.h"

#ifdef MILL_HAVE_LEXBOR

#include <string.h>
#include <strings.h>

const lxb_char_t *mill_html_attribute(const lxb_dom_node_t *node, const char *name, size_t *bytes)
{
    lxb_dom_element_t *element = lxb_dom_interface_element((lxb_dom_node_t *)(uintptr_t)node);
    const lxb_char_t *value =
        lxb_dom_element_get_attribute(element, (const lxb_char_t *)name, strlen(name), bytes);
    if (value == NULL)
        *bytes = 0;
    return value;
}

// Finds the name of a language in one word of a class: lang-py, language-c++, highlight-source-python,
// snippet-code-js, brush:js.
static size_t language_word(const char *word, size_t bytes)
{
    static const char *const starts[] = {
        "language-", "lang-", "highlight-source-", "highlight-", "snippet-code-", "brush:", NULL};
    for (size_t i = 0; starts[i] != NULL; i++) {
        size_t length = strlen(starts[i]);
        if (bytes > length && strncasecmp(word, starts[i], length) == 0)
            return length;
    }
    return 0;
}

static int find_language(mill_html *html, const char *name, size_t bytes)
{
    mill_buf_clear(&html->word);
    if (bytes == 0 || bytes > 32 || mill_buf_reserve(&html->word, bytes + 1, NULL) != MILL_OK)
        return -1;
    for (size_t i = 0; i < bytes; i++)
        html->word.data[i] = name[i] >= 'A' && name[i] <= 'Z' ? (uint8_t)(name[i] | 0x20) : (uint8_t)name[i];
    html->word.data[bytes] = '\0';
    return mill_language_find(html->languages, (const char *)html->word.data);
}

int mill_html_class_language(mill_html *html, const lxb_dom_node_t *node)
{
    size_t bytes;
    const lxb_char_t *class = mill_html_attribute(node, "class", &bytes);
    const char *text = (const char *)class;
    for (size_t at = 0; at < bytes;) {
        size_t length = strcspn(text + at, " \t\n\r\f");
        size_t skip = language_word(text + at, length);
        int id = skip != 0 ? find_language(html, text + at + skip, length - skip) : -1;
        if (id > 0)
            return id;
        if (length == 6 && memcmp(text + at, "brush:", 6) == 0) { // "brush: js"
            size_t begin = at + 6 + strspn(text + at + 6, " ");
            id = find_language(html, text + begin, strcspn(text + begin, " ;\t\n"));
            if (id > 0)
                return id;
        }
        at += length + 1;
    }
    const lxb_char_t *data = mill_html_attribute(node, "data-lang", &bytes);
    return data != NULL ? find_language(html, (const char *)data, bytes) : -1;
}

// <!-- language: lang-cpp --> before a block, as the site's editor wrote it.
int mill_html_comment_language(mill_html *html, const lxb_dom_node_t *node, const char *key)
{
    if (node == NULL || node->type != LXB_DOM_NODE_TYPE_COMMENT)
        return -1;
    const lexbor_str_t *text = &lxb_dom_interface_character_data((lxb_dom_node_t *)(uintptr_t)node)->data;
    if (text->data == NULL)
        return -1;
    const char *at = (const char *)text->data, *end = at + text->length;
    at += strspn(at, " ");
    size_t bytes = strlen(key);
    if ((size_t)(end - at) <= bytes || memcmp(at, key, bytes) != 0)
        return -1;
    at += bytes + strspn(at + bytes, " ");
    size_t length = strcspn(at, " \n"), skip = language_word(at, length);
    return find_language(html, at + skip, length - skip);
}

#endif
