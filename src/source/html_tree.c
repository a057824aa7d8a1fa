// html_tree.c: text -> tree by lexbor, within bounds. HTML has forms whose tree, or the search for an
// element's scope, grows with the square of the text; a limit on open elements and a budget of memory for
// each text keep both near-linear.
#include "source/html_internal.h"

#include <stddef.h>
#include <string.h>

void mill_html_result_free(mill_html_result *result)
{
    mill_buf_free(&result->text);
    mill_buf_free(&result->code);
    mill_free(result->blocks);
    *result = (mill_html_result){0};
}

#ifndef MILL_HAVE_LEXBOR

bool mill_html_supported(void)
{
    return false;
}

mill_status mill_html_open(const mill_language_table *languages, mill_html **out, mill_error *err)
{
    (void)languages;
    *out = NULL;
    return mill_fail(err, MILL_INPUT,
                     "this build cannot read HTML (lexbor was off when it was configured: MILL_LEXBOR); it "
                     "is needed for Posts.xml "
                     "and for documentation in HTML (or keep pages as they are: source.html=keep)");
}

void mill_html_close(mill_html *html)
{
    (void)html;
}

mill_status mill_html_read(mill_html *html, const uint8_t *text, size_t bytes, mill_html_scope scope,
                           mill_html_result *result, const char **problem, mill_error *err)
{
    (void)html, (void)text, (void)bytes, (void)scope, (void)result, (void)problem;
    return mill_fail(err, MILL_INTERNAL, "no HTML parser");
}

#else

#include <pthread.h>
#include <strings.h>

enum { BUDGET_BYTES = 4 << 20, BUDGET_FACTOR = 64, KEPT_BYTES = 4 << 20, ATTRIBUTES_MAX = 1000 };

// lexbor asks for memory through process-wide hooks without a context, so the budget of the text at hand
// belongs to its thread. Each block carries its size in front, for realloc.
static _Thread_local struct {
    size_t left, used;
    bool limited, no_memory, too_much;
} budget;

typedef union block_head {
    size_t bytes;
    max_align_t align;
} block_head;

static bool take(size_t bytes)
{
    budget.used += bytes;
    if (!budget.limited)
        return true;
    budget.too_much = budget.too_much || bytes > budget.left;
    if (budget.too_much)
        return false;
    budget.left -= bytes;
    return true;
}

static void *hook_alloc(size_t bytes)
{
    block_head *head = NULL;
    if (bytes <= SIZE_MAX - sizeof *head && take(bytes)) {
        head = mill_alloc(sizeof *head + bytes);
        budget.no_memory = budget.no_memory || head == NULL;
    }
    if (head == NULL)
        return NULL;
    head->bytes = bytes;
    return head + 1;
}

static void *hook_zero(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *block = hook_alloc(bytes);
    return block != NULL ? memset(block, 0, bytes) : NULL;
}

static void hook_free(void *block)
{
    if (block != NULL)
        mill_free((block_head *)block - 1);
}

static void *hook_resize(void *block, size_t bytes)
{
    void *fresh = hook_alloc(bytes);
    if (fresh != NULL && block != NULL) {
        size_t old = ((block_head *)block - 1)->bytes;
        memcpy(fresh, block, old < bytes ? old : bytes);
        hook_free(block);
    }
    return fresh;
}

static void set_hooks(void)
{
    (void)lexbor_memory_setup(hook_alloc, hook_resize, hook_zero, hook_free);
}

bool mill_html_supported(void)
{
    return true;
}

mill_status mill_html_open(const mill_language_table *languages, mill_html **out, mill_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = mill_alloc_zero(1, sizeof **out);
    if (*out == NULL || pthread_once(&once, set_hooks) != 0)
        return mill_fail_nomem(err, "reading HTML");
    (*out)->languages = languages;
    return MILL_OK;
}

static void drop_document(mill_html *html)
{
    budget.limited = false;
    if (html->document != NULL)
        (void)lxb_html_document_destroy(html->document);
    html->document = NULL;
    html->document_bytes = 0;
}

void mill_html_close(mill_html *html)
{
    if (html == NULL)
        return;
    drop_document(html);
    mill_free(html->levels);
    mill_buf_free(&html->prefix);
    mill_buf_free(&html->marker);
    mill_buf_free(&html->word);
    mill_free(html);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_name_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

// Elements whose end the parser knows without a tag: many may stand unclosed behind one another and are not
// nested.
static bool closes_itself(const uint8_t *name, size_t bytes)
{
    static const char *const names[] = {
        "p",      "li",     "dt",    "dd",  "tr",    "td",   "th",    "tbody", "thead", "tfoot",
        "option", "br",     "hr",    "img", "meta",  "link", "input", "col",   "area",  "base",
        "embed",  "source", "track", "wbr", "param", "rt",   "rp",    "html",  "head",  "body"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t k = 0;
        while (k < bytes && names[i][k] != '\0' && (name[k] | 0x20) == names[i][k])
            k++;
        if (k == bytes && names[i][k] == '\0')
            return true;
    }
    return false;
}

// Behind the raw text of a comment, script or style that begins at `at` ("<" is at - 1), or `at`.
static size_t skip_raw(const uint8_t *text, size_t bytes, size_t at)
{
    static const struct {
        const char *start, *end;
    } kinds[] = {{"!--", "-->"}, {"script", "</script"}, {"style", "</style"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t length = strlen(kinds[i].start), end = strlen(kinds[i].end);
        if (bytes - at < length || strncasecmp((const char *)text + at, kinds[i].start, length) != 0)
            continue;
        for (at += length; at + end <= bytes; at++) {
            const uint8_t *next = memchr(text + at, kinds[i].end[0], bytes - at);
            if (next == NULL)
                return bytes;
            at = (size_t)(next - text);
            if (at + end <= bytes && strncasecmp((const char *)text + at, kinds[i].end, end) == 0)
                return at + end;
        }
        return bytes;
    }
    return at;
}

// Behind the tag whose name ends at `at`; *attributes counts what stands in it.
static size_t skip_tag(const uint8_t *text, size_t bytes, size_t at, uint64_t *attributes)
{
    *attributes = 0;
    while (at < bytes && text[at] != '>') {
        if (is_space(text[at]) || text[at] == '/') {
            at++;
            continue;
        }
        ++*attributes;
        while (at < bytes && !is_space(text[at]) && strchr("/>=", text[at]) == NULL)
            at++;
        at += at < bytes && text[at] == '\0'; // strchr finds that, too
        while (at < bytes && is_space(text[at]))
            at++;
        if (at == bytes || text[at] != '=')
            continue;
        for (at++; at < bytes && is_space(text[at]);)
            at++;
        if (at < bytes && (text[at] == '"' || text[at] == '\'')) {
            const uint8_t *end = memchr(text + at + 1, text[at], bytes - at - 1);
            at = end != NULL ? (size_t)(end - text) + 1 : bytes;
            continue;
        }
        while (at < bytes && !is_space(text[at]) && text[at] != '>')
            at++;
    }
    return at;
}

// Looks for an upper estimate of how many elements are open at once (start tags less end tags), and for tags
// of many attributes, each of which is compared with the others.
static const char *find_excess(const uint8_t *text, size_t bytes)
{
    int64_t depth = 0;
    for (size_t at = 0; at < bytes;) {
        const uint8_t *found = memchr(text + at, '<', bytes - at);
        if (found == NULL)
            return NULL;
        at = (size_t)(found - text) + 1;
        size_t behind = skip_raw(text, bytes, at);
        if (behind != at) {
            at = behind;
            continue;
        }
        bool end = at < bytes && text[at] == '/';
        size_t begin = at + end, stop = begin;
        uint64_t attributes;
        while (stop < bytes && is_name_char(text[stop]))
            stop++;
        if (stop == begin)
            continue;
        at = skip_tag(text, bytes, stop, &attributes);
        if (attributes > ATTRIBUTES_MAX)
            return "HTML with a tag of more than 1000 attributes";
        if (closes_itself(text + begin, stop - begin))
            continue;
        depth += end ? -1 : 1;
        if (depth < 0)
            depth = 0;
        if (depth > MILL_HTML_DEPTH_MAX)
            return "HTML nested too deeply";
    }
    return NULL;
}

// A post is what stands in a body: without that tag, comments at its start would be put before the page.
static bool parse_text(mill_html *html, const uint8_t *text, size_t bytes, mill_html_scope scope)
{
    static const lxb_char_t body[] = "<body>";
    lxb_html_document_t *document = html->document;
    if (scope == MILL_HTML_PAGE)
        return lxb_html_document_parse(document, text, bytes) == LXB_STATUS_OK;
    return lxb_html_document_parse_chunk_begin(document) == LXB_STATUS_OK &&
           lxb_html_document_parse_chunk(document, body, sizeof body - 1) == LXB_STATUS_OK &&
           lxb_html_document_parse_chunk(document, text, bytes) == LXB_STATUS_OK &&
           lxb_html_document_parse_chunk_end(document) == LXB_STATUS_OK;
}

static mill_status parse(mill_html *html, const uint8_t *text, size_t bytes, mill_html_scope scope,
                         const char **problem, mill_error *err)
{
    budget.left = BUDGET_BYTES + BUDGET_FACTOR * bytes;
    budget.used = 0;
    budget.limited = true;
    budget.no_memory = budget.too_much = false;
    if (html->document == NULL)
        html->document = lxb_html_document_create();
    bool good = html->document != NULL && parse_text(html, text, bytes, scope) && !budget.too_much &&
                !budget.no_memory;
    bool no_memory = budget.no_memory;
    html->document_bytes += budget.used;
    budget.limited = false;
    if (good)
        return MILL_OK;
    drop_document(html);
    if (no_memory)
        return mill_fail_nomem(err, "reading HTML");
    *problem = "HTML whose tree is far larger than its text";
    return MILL_OK;
}

mill_status mill_html_read(mill_html *html, const uint8_t *text, size_t bytes, mill_html_scope scope,
                           mill_html_result *result, const char **problem, mill_error *err)
{
    mill_buf_clear(&result->text);
    mill_buf_clear(&result->code);
    result->block_count = 0;
    *problem = bytes > MILL_HTML_BYTES_MAX ? "HTML of more than 4 MiB" : find_excess(text, bytes);
    if (*problem != NULL)
        return MILL_OK;
    MILL_TRY(parse(html, text, bytes, scope, problem, err));
    if (*problem != NULL)
        return MILL_OK;
    mill_status status = mill_html_render(html, scope, result, err);
    if (html->document_bytes > KEPT_BYTES)
        drop_document(html); // the arenas of a large page are not kept for small ones
    return status;
}

#endif
