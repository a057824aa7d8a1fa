// html_text.c: the tree of a page or post -> Markdown. One walk without recursion; what is open is seen from
// the nodes' parents and a short stack of lists and quotations. Headings, paragraphs, lists, quotations,
// tables and code blocks keep their form; emphasis, link targets and pictures go.
#include "source/html_internal.h"

#ifdef MILL_HAVE_LEXBOR

#include <string.h>
#include <strings.h>

typedef struct writer {
    mill_html *html;
    mill_html_result *result;
    mill_buf *out;
    mill_error *err;
    uint32_t breaks;       // newlines owed before the next text: 1 a new line, 2 an empty line between
    bool space;            // a blank owed
    size_t outer;          // shortest prefix since the last text: that of empty lines between
    uint32_t row_cells;    // in a table's row: cells so far
    bool in_row, head_row; // of a table that is written as one
    bool has_heading, without_blocks;
    int default_language; // by a <!-- language-all: --> comment
} writer;

static bool is_element(const lxb_dom_node_t *node, uintptr_t tag)
{
    return node != NULL && node->type == LXB_DOM_NODE_TYPE_ELEMENT && node->local_name == tag;
}

// ---- what is left out

// True if one of the words of the text is among the names.
static bool has_word(const lxb_char_t *text, size_t bytes, const char *const *names)
{
    for (size_t at = 0; at < bytes;) {
        size_t length = 0;
        while (at + length < bytes && strchr(" \t\n\r\f", text[at + length]) == NULL)
            length++;
        for (size_t i = 0; length != 0 && names[i] != NULL; i++)
            if (strlen(names[i]) == length && strncasecmp(names[i], (const char *)text + at, length) == 0)
                return true;
        at += length + 1;
    }
    return false;
}

static bool is_skipped_tag(uintptr_t tag)
{
    switch (tag) {
    case LXB_TAG_SCRIPT:
    case LXB_TAG_STYLE:
    case LXB_TAG_TEMPLATE:
    case LXB_TAG_HEAD:
    case LXB_TAG_IFRAME:
    case LXB_TAG_OBJECT:
    case LXB_TAG_SVG:
    case LXB_TAG_CANVAS:
    case LXB_TAG_AUDIO:
    case LXB_TAG_VIDEO:
    case LXB_TAG_BUTTON:
    case LXB_TAG_SELECT:
    case LXB_TAG_TEXTAREA:
    case LXB_TAG_INPUT: return true;
    default: return false;
    }
}

// Navigation and the like, which every page of a documentation repeats.
static bool is_furniture(const lxb_dom_node_t *node)
{
    static const char *const roles[] = {"navigation",  "search",        "banner",
                                        "contentinfo", "complementary", NULL};
    static const char *const classes[] = {"headerlink", "sphinxsidebar", "sidebar", "navbar",
                                          "breadcrumb", "breadcrumbs",   "related", "navheader",
                                          "navfooter",  "skip-link",     "linenos", "lineno",
                                          "gutter",     "footer",        "toc",     NULL};
    if (node->local_name == LXB_TAG_NAV || node->local_name == LXB_TAG_FOOTER ||
        node->local_name == LXB_TAG_ASIDE)
        return true;
    size_t role_bytes, class_bytes;
    const lxb_char_t *role = mill_html_attribute(node, "role", &role_bytes),
                     *class = mill_html_attribute(node, "class", &class_bytes);
    return has_word(role, role_bytes, roles) || has_word(class, class_bytes, classes);
}

static bool is_skipped(const lxb_dom_node_t *node, mill_html_scope scope)
{
    if (node->type != LXB_DOM_NODE_TYPE_ELEMENT)
        return node->type != LXB_DOM_NODE_TYPE_TEXT && node->type != LXB_DOM_NODE_TYPE_CDATA_SECTION;
    if (is_skipped_tag(node->local_name))
        return true;
    size_t bytes;
    return scope == MILL_HTML_PAGE &&
           (is_furniture(node) || mill_html_attribute(node, "hidden", &bytes) != NULL);
}

// ---- writing

static mill_status put(writer *w, const void *text, size_t bytes)
{
    return mill_buf_append(w->out, text, bytes, w->err);
}

// Bytes of the text's first `bytes` without the blanks at their end.
static size_t trimmed(const mill_buf *text, size_t bytes)
{
    bytes = bytes < text->bytes ? bytes : text->bytes;
    while (bytes > 0 && text->data[bytes - 1] == ' ')
        bytes--;
    return bytes;
}

static mill_status begin_line(writer *w)
{
    mill_buf *marker = &w->html->marker;
    if (marker->bytes != 0) {
        MILL_TRY(put(w, marker->data, marker->bytes));
        mill_buf_clear(marker);
        return MILL_OK;
    }
    return put(w, w->html->prefix.data, w->html->prefix.bytes);
}

// Pays the breaks that are owed; the text goes on behind it.
static mill_status settle(writer *w)
{
    if (w->breaks != 0) {
        uint32_t breaks = w->out->bytes == 0 ? 0 : w->breaks;
        for (uint32_t i = 0; i < breaks; i++) {
            if (i != 0) // an empty line inside a quotation is quoted, too
                MILL_TRY(put(w, w->html->prefix.data, trimmed(&w->html->prefix, w->outer)));
            MILL_TRY(put(w, "\n", 1));
        }
        MILL_TRY(begin_line(w));
        w->space = false;
        w->breaks = 0;
        w->outer = SIZE_MAX;
    }
    if (w->space)
        MILL_TRY(put(w, " ", 1));
    w->space = false;
    return MILL_OK;
}

static void owe(writer *w, uint32_t breaks)
{
    if (w->in_row) { // a cell is one line
        w->space = w->out->bytes != 0 && w->out->data[w->out->bytes - 1] != ' ';
        return;
    }
    if (breaks > w->breaks)
        w->breaks = breaks;
    if (w->html->prefix.bytes < w->outer)
        w->outer = w->html->prefix.bytes;
}

static mill_status put_words(writer *w, const uint8_t *text, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        size_t length = 0;
        bool blank = false;
        while (at + length < bytes && !blank) {
            const uint8_t *c = text + at + length;
            blank = *c == ' ' || *c == '\t' || *c == '\n' || *c == '\r' || *c == '\f' ||
                    (*c == 0xc2 && at + length + 1 < bytes && c[1] == 0xa0); // no-break space
            length += !blank;
        }
        if (length != 0) {
            MILL_TRY(settle(w));
            MILL_TRY(put(w, text + at, length));
        }
        at += length;
        if (blank) {
            at += text[at] == 0xc2 ? 2 : 1;
            w->space = true;
        }
    }
    return MILL_OK;
}

// ---- code

static int language_of_block(writer *w, const lxb_dom_node_t *pre)
{
    int id = mill_html_class_language(w->html, pre);
    for (const lxb_dom_node_t *child = pre->first_child; id < 0 && child != NULL; child = child->next)
        if (child->type == LXB_DOM_NODE_TYPE_ELEMENT)
            id = mill_html_class_language(w->html, child);
    const lxb_dom_node_t *node = pre->prev;
    while (node != NULL && node->type == LXB_DOM_NODE_TYPE_TEXT)
        node = node->prev; // blanks
    if (id < 0)
        id = mill_html_comment_language(w->html, node, "language:");
    // Sphinx and GitHub name it on the boxes around the block.
    const lxb_dom_node_t *parent = pre->parent;
    for (int up = 0; id < 0 && up < 3 && parent != NULL && parent->type == LXB_DOM_NODE_TYPE_ELEMENT;
         up++, parent = parent->parent)
        id = mill_html_class_language(w->html, parent);
    return id >= 0 ? id : w->default_language;
}

// What cannot stand in a code block: there the writer of the page forgot to close it.
static bool ends_code(const lxb_dom_node_t *node)
{
    if (node->type != LXB_DOM_NODE_TYPE_ELEMENT)
        return false;
    switch (node->local_name) {
    case LXB_TAG_P:
    case LXB_TAG_PRE:
    case LXB_TAG_H1:
    case LXB_TAG_H2:
    case LXB_TAG_H3:
    case LXB_TAG_BLOCKQUOTE:
    case LXB_TAG_HR: return true;
    default: return false;
    }
}

static bool is_inside(const lxb_dom_node_t *node, const lxb_dom_node_t *root)
{
    while (node != NULL && node != root)
        node = node->parent;
    return node == root;
}

// Behind node in document order, without its children; NULL at the end of root.
static lxb_dom_node_t *next_after(lxb_dom_node_t *node, const lxb_dom_node_t *root)
{
    while (node != NULL && node != root) {
        if (node->next != NULL)
            return node->next;
        node = node->parent;
    }
    return NULL;
}

static mill_status append_raw(mill_buf *out, const lexbor_str_t *text, mill_error *err)
{
    for (size_t at = 0; at < text->length;) {
        const uint8_t *data = text->data + at;
        const uint8_t *nbsp = memmem(data, text->length - at, "\xc2\xa0", 2);
        size_t length = nbsp != NULL ? (size_t)(nbsp - data) : text->length - at;
        MILL_TRY(mill_buf_append(out, data, length, err));
        if (nbsp != NULL)
            MILL_TRY(mill_buf_append(out, " ", 1, err));
        at += length + (nbsp != NULL ? 2 : 0);
    }
    return MILL_OK;
}

// The text of a code element, appended to the result's code. *stop: the first node that belongs to it no
// more, NULL if it is whole.
static mill_status gather_code(writer *w, lxb_dom_node_t *root, lxb_dom_node_t **stop)
{
    mill_buf *code = &w->result->code;
    lxb_dom_node_t *node = root->first_child;
    *stop = NULL;
    while (node != NULL) {
        if (ends_code(node)) {
            *stop = node;
            return MILL_OK;
        }
        bool skip = is_skipped(node, MILL_HTML_PAGE) && node->type == LXB_DOM_NODE_TYPE_ELEMENT;
        if (node->type == LXB_DOM_NODE_TYPE_TEXT)
            MILL_TRY(append_raw(code, &lxb_dom_interface_character_data(node)->data, w->err));
        else if (is_element(node, LXB_TAG_BR))
            MILL_TRY(mill_buf_append(code, "\n", 1, w->err));
        node = !skip && node->first_child != NULL ? node->first_child : next_after(node, root);
    }
    return MILL_OK;
}

// CR LF -> LF, empty lines at both ends go, one newline at the end.
static mill_status clean_code(mill_buf *code, size_t begin, mill_error *err)
{
    if (code->bytes == begin)
        return MILL_OK;
    size_t to = begin, from = begin;
    for (size_t i = begin; i < code->bytes; i++)
        if (!(code->data[i] == '\r' && i + 1 < code->bytes && code->data[i + 1] == '\n'))
            code->data[to++] = code->data[i];
    while (to > begin && strchr(" \t\r\n", code->data[to - 1]) != NULL && code->data[to - 1] != '\0')
        to--;
    for (size_t i = begin; i < to && (code->data[i] == '\n' || code->data[i] == ' ' ||
                                      code->data[i] == '\t' || code->data[i] == '\r');
         i++)
        if (code->data[i] == '\n')
            from = i + 1;
    memmove(code->data + begin, code->data + from, to - from);
    code->bytes = begin + (to - from);
    return code->bytes != begin ? mill_buf_append(code, "\n", 1, err) : MILL_OK;
}

static size_t longest_run(const uint8_t *text, size_t bytes, uint8_t c)
{
    size_t longest = 0, run = 0;
    for (size_t i = 0; i < bytes; i++) {
        run = text[i] == c ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static mill_status put_fence(writer *w, size_t ticks, const char *name)
{
    for (size_t i = 0; i < ticks; i++)
        MILL_TRY(put(w, "`", 1));
    return put(w, name, strlen(name));
}

static mill_status put_block(writer *w, size_t begin, int language)
{
    // `code` may move while it is read only if it is written to; out is another buffer.
    const mill_buf *code = &w->result->code;
    size_t ticks = longest_run(code->data + begin, code->bytes - begin, '`');
    ticks = ticks < 3 ? 3 : ticks + 1;
    owe(w, 2);
    MILL_TRY(settle(w));
    MILL_TRY(put_fence(w, ticks,
                       language > 0 ? mill_language_get(w->html->languages, (mill_language_id)language)->name
                                    : ""));
    for (size_t at = begin; at < code->bytes;) {
        const uint8_t *line = code->data + at, *newline = memchr(line, '\n', code->bytes - at);
        size_t length = newline != NULL ? (size_t)(newline - line) : code->bytes - at;
        MILL_TRY(put(w, "\n", 1));
        MILL_TRY(length != 0 ? begin_line(w)
                             : put(w, w->html->prefix.data, trimmed(&w->html->prefix, SIZE_MAX)));
        MILL_TRY(put(w, line, length));
        at += length + 1;
    }
    MILL_TRY(put(w, "\n", 1));
    MILL_TRY(begin_line(w));
    MILL_TRY(put_fence(w, ticks, ""));
    owe(w, 2);
    return MILL_OK;
}

static mill_status add_block(writer *w, lxb_dom_node_t *node, lxb_dom_node_t **stop)
{
    mill_html_result *r = w->result;
    size_t begin = r->code.bytes;
    MILL_TRY(gather_code(w, node, stop));
    MILL_TRY(clean_code(&r->code, begin, w->err));
    if (r->code.bytes == begin)
        return MILL_OK;
    int language = language_of_block(w, node);
    MILL_TRY(MILL_GROW(r->blocks, r->block_capacity, r->block_count + 1, w->err));
    r->blocks[r->block_count++] = (mill_html_code){begin, r->code.bytes - begin, language};
    if (w->without_blocks) {
        owe(w, 2);
        return MILL_OK;
    }
    return put_block(w, begin, language);
}

// <code> outside <pre>: a block if it has several lines, else text between backticks.
static mill_status add_inline_code(writer *w, lxb_dom_node_t *node, lxb_dom_node_t **stop)
{
    mill_html_result *r = w->result;
    size_t begin = r->code.bytes;
    MILL_TRY(gather_code(w, node, stop));
    size_t bytes = r->code.bytes - begin;
    bool lines = bytes != 0 && memchr(r->code.data + begin, '\n', bytes) != NULL;
    if (lines && !w->in_row) {
        r->code.bytes = begin;
        return add_block(w, node, stop);
    }
    if (bytes != 0) {
        size_t ticks = longest_run(r->code.data + begin, bytes, '`') + 1;
        MILL_TRY(settle(w));
        MILL_TRY(put_fence(w, ticks, ticks > 1 ? " " : ""));
        for (size_t i = begin; i < r->code.bytes; i++)
            if (r->code.data[i] == '\n' || r->code.data[i] == '\r')
                r->code.data[i] = ' ';
        MILL_TRY(put(w, r->code.data + begin, bytes));
        if (ticks > 1)
            MILL_TRY(put(w, " ", 1));
        MILL_TRY(put_fence(w, ticks, ""));
    }
    r->code.bytes = begin;
    return MILL_OK;
}

// ---- lists, quotations, tables

static mill_status open_level(writer *w, const lxb_dom_node_t *node, uint64_t number)
{
    mill_html *h = w->html;
    MILL_TRY(MILL_GROW(h->levels, h->level_capacity, h->level_count + 1, w->err));
    h->levels[h->level_count++] = (html_level){node, h->prefix.bytes, number};
    return MILL_OK;
}

static void close_level(mill_html *h, const lxb_dom_node_t *node)
{
    if (h->level_count != 0 && h->levels[h->level_count - 1].node == node)
        h->prefix.bytes = h->levels[--h->level_count].prefix_bytes;
}

// Deeper levels are not indented any more: what stands before every line must not outgrow the lines.
static bool is_far_in(const mill_html *h)
{
    return h->prefix.bytes >= 48 || h->marker.bytes >= 48;
}

static mill_status open_item(writer *w, const lxb_dom_node_t *node)
{
    static const char blanks[] = "                        ";
    mill_html *h = w->html;
    char text[24];
    html_level *list = h->level_count != 0 ? &h->levels[h->level_count - 1] : NULL;
    uint64_t number = list != NULL ? list->number : 0;
    owe(w, 1);
    if (number != 0)
        list->number++;
    int bytes = number != 0 ? snprintf(text, sizeof text, "%llu. ", (unsigned long long)number)
                            : snprintf(text, sizeof text, "- ");
    // A marker that no text has used yet (a list as the first thing of an item) stays in front.
    if (h->marker.bytes == 0)
        MILL_TRY(mill_buf_append(&h->marker, h->prefix.data, h->prefix.bytes, w->err));
    MILL_TRY(open_level(w, node, 0));
    if (is_far_in(h))
        return MILL_OK;
    MILL_TRY(mill_buf_append(&h->marker, text, (size_t)bytes, w->err));
    return mill_buf_append(&h->prefix, blanks, (size_t)bytes, w->err);
}

static mill_status open_quotation(writer *w, const lxb_dom_node_t *node)
{
    owe(w, 2);
    MILL_TRY(open_level(w, node, 0));
    if (is_far_in(w->html))
        return MILL_OK;
    if (w->html->marker.bytes != 0)
        MILL_TRY(mill_buf_append_text(&w->html->marker, "> ", w->err));
    return mill_buf_append_text(&w->html->prefix, "> ", w->err);
}

// A table that only arranges what stands in it.
static bool is_layout(const lxb_dom_node_t *table)
{
    for (lxb_dom_node_t *node = table->first_child; node != NULL;) {
        if (is_element(node, LXB_TAG_PRE) || is_element(node, LXB_TAG_TABLE) ||
            is_element(node, LXB_TAG_UL) || is_element(node, LXB_TAG_OL))
            return true;
        node = node->first_child != NULL ? node->first_child : next_after(node, table);
    }
    return false;
}

static const lxb_dom_node_t *table_of(const lxb_dom_node_t *node)
{
    while (node != NULL && !is_element(node, LXB_TAG_TABLE))
        node = node->parent;
    return node;
}

static mill_status open_row(writer *w, const lxb_dom_node_t *node)
{
    const lxb_dom_node_t *table = table_of(node);
    owe(w, 1);
    if (table == NULL || w->in_row || table->user == table) // marked: only layout
        return MILL_OK;
    w->in_row = true;
    w->row_cells = 0;
    w->head_row = false;
    return MILL_OK;
}

static mill_status open_cell(writer *w, const lxb_dom_node_t *node)
{
    if (!w->in_row) {
        owe(w, 2);
        return MILL_OK;
    }
    w->space = false;
    MILL_TRY(settle(w));
    w->head_row = w->head_row || node->local_name == LXB_TAG_TH;
    w->row_cells++;
    return put(w, w->row_cells == 1 ? "| " : " | ", w->row_cells == 1 ? 2 : 3);
}

static mill_status close_row(writer *w, const lxb_dom_node_t *node)
{
    if (!w->in_row)
        return MILL_OK;
    w->in_row = false;
    w->space = false;
    if (w->row_cells == 0)
        return MILL_OK;
    MILL_TRY(put(w, " |", 2));
    bool first = node->prev == NULL || !is_element(node->prev, LXB_TAG_TR);
    if (w->head_row && first) {
        owe(w, 1);
        MILL_TRY(settle(w));
        for (uint32_t i = 0; i < w->row_cells; i++)
            MILL_TRY(put(w, "| --- ", 6));
        MILL_TRY(put(w, "|", 1));
    }
    owe(w, 1);
    return MILL_OK;
}

// ---- the walk

static bool is_block(uintptr_t tag)
{
    switch (tag) {
    case LXB_TAG_P:
    case LXB_TAG_DIV:
    case LXB_TAG_SECTION:
    case LXB_TAG_ARTICLE:
    case LXB_TAG_MAIN:
    case LXB_TAG_HEADER:
    case LXB_TAG_FIGURE:
    case LXB_TAG_FIGCAPTION:
    case LXB_TAG_ADDRESS:
    case LXB_TAG_DL:
    case LXB_TAG_UL:
    case LXB_TAG_OL:
    case LXB_TAG_TABLE:
    case LXB_TAG_DETAILS:
    case LXB_TAG_FORM:
    case LXB_TAG_FIELDSET:
    case LXB_TAG_CENTER: return true;
    default: return false;
    }
}

static int heading_level(uintptr_t tag)
{
    return tag == LXB_TAG_H1   ? 1
           : tag == LXB_TAG_H2 ? 2
           : tag == LXB_TAG_H3 ? 3
           : tag == LXB_TAG_H4 ? 4
           : tag == LXB_TAG_H5 ? 5
           : tag == LXB_TAG_H6 ? 6
                               : 0;
}

static mill_status open_heading(writer *w, int level)
{
    owe(w, 2);
    w->has_heading = true;
    MILL_TRY(settle(w));
    MILL_TRY(put(w, "######", (size_t)level));
    w->space = true;
    return MILL_OK;
}

static uint64_t first_number(const lxb_dom_node_t *list)
{
    size_t bytes;
    const lxb_char_t *start = mill_html_attribute(list, "start", &bytes);
    uint64_t number = 0;
    for (size_t i = 0; i < bytes && i < 9 && start[i] >= '0' && start[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(start[i] - '0');
    return number != 0 ? number : 1;
}

// A list in an item of another one stands close to it, and so does the paragraph that an item begins with.
static bool is_close(const lxb_dom_node_t *node)
{
    uintptr_t tag = node->local_name;
    return is_element(node->parent, LXB_TAG_LI) &&
           (tag == LXB_TAG_UL || tag == LXB_TAG_OL ||
            (tag == LXB_TAG_P && (node->prev == NULL || node->prev->prev == NULL)));
}

static mill_status open_element(writer *w, lxb_dom_node_t *node, lxb_dom_node_t **stop, bool *inside)
{
    uintptr_t tag = node->local_name;
    int heading = heading_level(tag);
    *inside = true;
    if (tag == LXB_TAG_PRE || tag == LXB_TAG_CODE || tag == LXB_TAG_TT || tag == LXB_TAG_KBD ||
        tag == LXB_TAG_SAMP) {
        *inside = false;
        return tag == LXB_TAG_PRE && !w->in_row ? add_block(w, node, stop) : add_inline_code(w, node, stop);
    }
    if (heading != 0 && !w->in_row)
        return open_heading(w, heading);
    if (is_block(tag))
        owe(w, is_close(node) ? 1 : 2);
    switch (tag) {
    case LXB_TAG_BR: owe(w, 1); break;
    case LXB_TAG_HR: owe(w, 2); break;
    case LXB_TAG_UL: return open_level(w, node, 0);
    case LXB_TAG_OL: return open_level(w, node, first_number(node));
    case LXB_TAG_LI: return open_item(w, node);
    case LXB_TAG_DT: owe(w, 2); break;
    case LXB_TAG_DD:
        owe(w, 1);
        MILL_TRY(open_level(w, node, 0));
        return is_far_in(w->html) ? MILL_OK : mill_buf_append_text(&w->html->prefix, "  ", w->err);
    case LXB_TAG_BLOCKQUOTE: return open_quotation(w, node);
    case LXB_TAG_TABLE: node->user = is_layout(node) ? node : NULL; break;
    case LXB_TAG_TR: return open_row(w, node);
    case LXB_TAG_TD:
    case LXB_TAG_TH: return open_cell(w, node);
    default: break;
    }
    return MILL_OK;
}

static mill_status close_element(writer *w, const lxb_dom_node_t *node)
{
    uintptr_t tag = node->local_name;
    if (heading_level(tag) != 0 || is_block(tag) || tag == LXB_TAG_BLOCKQUOTE)
        owe(w, is_close(node) ? 1 : 2);
    switch (tag) {
    case LXB_TAG_LI:
        mill_buf_clear(&w->html->marker); // an empty item
        owe(w, 1);
        break;
    case LXB_TAG_DT:
    case LXB_TAG_DD: owe(w, 1); break;
    case LXB_TAG_TR: MILL_TRY(close_row(w, node)); break;
    default: break;
    }
    close_level(w->html, node);
    return MILL_OK;
}

static mill_status walk(writer *w, lxb_dom_node_t *root, mill_html_scope scope)
{
    lxb_dom_node_t *node = root;
    while (node != NULL) {
        lxb_dom_node_t *stop = NULL;
        bool inside = false;
        if (node->type == LXB_DOM_NODE_TYPE_TEXT) {
            const lexbor_str_t *text = &lxb_dom_interface_character_data(node)->data;
            MILL_TRY(put_words(w, text->data, text->length));
        } else if (node->type == LXB_DOM_NODE_TYPE_COMMENT) {
            int id = mill_html_comment_language(w->html, node, "language-all:");
            w->default_language = id > 0 ? id : w->default_language;
        } else if (node == root || !is_skipped(node, scope)) {
            MILL_TRY(open_element(w, node, &stop, &inside));
        }
        if (stop != NULL && is_inside(stop, node)) { // an unclosed code block: its rest is text
            node = stop;
            continue;
        }
        if (inside && node->first_child != NULL) {
            node = node->first_child;
            continue;
        }
        if (inside)
            MILL_TRY(close_element(w, node));
        while (node != root && node->next == NULL) {
            node = node->parent;
            if (node->type == LXB_DOM_NODE_TYPE_ELEMENT)
                MILL_TRY(close_element(w, node));
        }
        node = node != root ? node->next : NULL;
    }
    return MILL_OK;
}

// The main part of a page: <main> or what has that role, else its only <article>, else all of it.
static lxb_dom_node_t *find_main(lxb_dom_node_t *root)
{
    static const char *const roles[] = {"main", NULL};
    lxb_dom_node_t *article = NULL;
    size_t articles = 0;
    for (lxb_dom_node_t *node = root->first_child; node != NULL;) {
        if (node->type == LXB_DOM_NODE_TYPE_ELEMENT) {
            size_t bytes;
            const lxb_char_t *role = mill_html_attribute(node, "role", &bytes);
            if (node->local_name == LXB_TAG_MAIN || has_word(role, bytes, roles))
                return node;
            if (node->local_name == LXB_TAG_ARTICLE && articles++ == 0)
                article = node;
        }
        node = node->first_child != NULL ? node->first_child : next_after(node, root);
    }
    return articles == 1 ? article : root;
}

static mill_status add_title(writer *w)
{
    size_t bytes = 0;
    const lxb_char_t *title = lxb_html_document_title(w->html->document, &bytes);
    mill_buf text = {0};
    if (w->has_heading || title == NULL || bytes == 0)
        return MILL_OK;
    mill_status status = mill_buf_append_text(&text, "# ", w->err);
    if (status == MILL_OK)
        status = mill_buf_append(&text, title, bytes, w->err);
    for (size_t i = 0; status == MILL_OK && i < text.bytes; i++)
        if (text.data[i] == '\n' || text.data[i] == '\r')
            text.data[i] = ' ';
    if (status == MILL_OK)
        status = mill_buf_append_text(&text, w->out->bytes != 0 ? "\n\n" : "\n", w->err);
    if (status == MILL_OK)
        status = mill_buf_append(&text, w->out->data, w->out->bytes, w->err);
    mill_buf swap = *w->out;
    if (status == MILL_OK) {
        *w->out = text;
        text = swap;
    }
    mill_buf_free(&text);
    return status;
}

mill_status mill_html_render(mill_html *html, mill_html_scope scope, mill_html_result *result,
                             mill_error *err)
{
    writer w = {.html = html, .without_blocks = scope == MILL_HTML_PROSE,
                .result = result,
                .out = &result->text,
                .err = err,
                .breaks = 1,
                .outer = SIZE_MAX,
                .default_language = -1};
    html->level_count = 0;
    mill_buf_clear(&html->prefix);
    mill_buf_clear(&html->marker);
    lxb_dom_node_t *body = lxb_dom_interface_node(lxb_html_document_body_element(html->document));
    lxb_dom_node_t *root = lxb_dom_interface_node(html->document);
    if (body != NULL)
        root = scope == MILL_HTML_PAGE ? find_main(body) : body;
    MILL_TRY(walk(&w, root, scope));
    if (scope == MILL_HTML_PAGE)
        MILL_TRY(add_title(&w));
    while (result->text.bytes > 0 && (result->text.data[result->text.bytes - 1] == ' ' ||
                                      result->text.data[result->text.bytes - 1] == '\n'))
        result->text.bytes--;
    return result->text.bytes != 0 ? mill_buf_append(&result->text, "\n", 1, err) : MILL_OK;
}

#endif
