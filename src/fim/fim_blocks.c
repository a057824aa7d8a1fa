// fim_blocks.c: blocks of code without a parser: runs of deeper lines where indentation means something, matched braces where
// braces do. A wrong guess (an odd string, a macro) costs nothing but a less natural middle: every span is a valid cut.
#include "fim/fim_internal.h"

#include <string.h>

#include "core/alloc.h"

void mill_block_list_free(mill_block_list *list)
{
    mill_free(list->spans);
    mill_free(list->stack);
    *list = (mill_block_list){.lines_max = list->lines_max};
}

mill_status mill_block_list_add(mill_block_list *list, mill_cut_span span, uint64_t newlines, mill_error *err)
{
    if (newlines < 1 || newlines >= list->lines_max)
        return MILL_OK;
    MILL_TRY(MILL_GROW(list->spans, list->capacity, list->count + 1, err));
    list->spans[list->count++] = span;
    return MILL_OK;
}

static mill_status push(mill_block_list *list, struct mill_block_open open, mill_error *err)
{
    MILL_TRY(MILL_GROW(list->stack, list->stack_capacity, list->stack_count + 1, err));
    list->stack[list->stack_count++] = open;
    return MILL_OK;
}

// Columns of the leading blanks of one line (tabs to the next multiple of 8) and whether anything follows them.
static uint32_t indent_of(const uint8_t *line, uint64_t bytes, bool *blank)
{
    uint64_t columns = 0, i = 0;
    for (; i < bytes && (line[i] == ' ' || line[i] == '\t'); i++)
        columns = line[i] == '\t' ? (columns / 8 + 1) * 8 : columns + 1;
    *blank = i == bytes || line[i] == '\r';
    return columns < UINT32_MAX ? (uint32_t)columns : UINT32_MAX;
}

// Ends the open blocks that are deeper than `indent` at the last non-blank line.
static mill_status close_deeper(mill_block_list *list, uint32_t indent, uint64_t end, uint64_t line, mill_error *err)
{
    while (list->stack_count > 0 && list->stack[list->stack_count - 1].indent > indent) {
        struct mill_block_open top = list->stack[--list->stack_count];
        MILL_TRY(mill_block_list_add(list, (mill_cut_span){top.begin, end}, line - top.lines, err));
    }
    return MILL_OK;
}

mill_status mill_blocks_by_indent(mill_block_list *list, const uint8_t *text, uint64_t bytes, mill_error *err)
{
    list->count = list->stack_count = 0;
    uint64_t line = 0, last_end = 0, last_line = 0;
    uint32_t last_indent = UINT32_MAX; // nothing is deeper than the line before the first
    for (uint64_t at = 0, next; at < bytes; at = next, line++) {
        const uint8_t *newline = memchr(text + at, '\n', bytes - at);
        uint64_t end = newline != NULL ? (uint64_t)(newline - text) : bytes;
        next = end + 1;
        bool blank;
        uint32_t indent = indent_of(text + at, end - at, &blank);
        if (blank)
            continue;
        MILL_TRY(close_deeper(list, indent, last_end, last_line, err));
        if (indent > last_indent) {
            struct mill_block_open open = {.begin = at, .lines = line, .indent = indent};
            MILL_TRY(push(list, open, err));
        }
        last_indent = indent;
        last_end = end;
        last_line = line;
    }
    // Indent 0 opens no block, so this closes all.
    return close_deeper(list, 0, last_end, last_line, err);
}

// Where scanning goes on after a quoted string or a comment that begins at `at`; at + 1 if neither begins there. One failed
// search for the closing quote settles the whole line (*no_quote is its end): a hostile line of quotes stays linear.
typedef struct mill_skipper {
    uint64_t no_quote[2]; // for " and '
} mill_skipper;

static uint64_t skip_string(mill_skipper *skipper, const uint8_t *text, uint64_t bytes, uint64_t at)
{
    uint64_t *no_quote = &skipper->no_quote[text[at] == '\''];
    if (at < *no_quote)
        return at + 1;
    uint64_t i = at + 1;
    for (; i < bytes && text[i] != '\n'; i++) {
        if (text[i] == text[at])
            return i + 1;
        if (text[i] == '\\' && i + 1 < bytes && text[i + 1] != '\n')
            i++;
    }
    *no_quote = i;
    return at + 1;
}

static uint64_t skip_comment(const uint8_t *text, uint64_t bytes, uint64_t at)
{
    if (at + 1 >= bytes)
        return at + 1;
    const uint8_t *end;
    if (text[at + 1] == '/') {
        end = memchr(text + at, '\n', bytes - at);
        return end != NULL ? (uint64_t)(end - text) : bytes;
    }
    if (text[at + 1] != '*')
        return at + 1;
    end = memmem(text + at + 2, bytes - at - 2, "*/", 2);
    return end != NULL ? (uint64_t)(end - text) + 2 : bytes;
}

mill_status mill_blocks_by_braces(mill_block_list *list, const uint8_t *text, uint64_t bytes, mill_error *err)
{
    list->count = list->stack_count = 0;
    mill_skipper skipper = {{0, 0}};
    uint64_t line = 0;
    for (uint64_t at = 0, next; at < bytes; at = next) {
        next = at + 1;
        switch (text[at]) {
        case '\n': line++; break;
        case '"':
        case '\'': next = skip_string(&skipper, text, bytes, at); break;
        case '/':
            next = skip_comment(text, bytes, at);
            line += mill_cut_count_newlines(text + at, next - at);
            break;
        case '{': {
            struct mill_block_open open = {.begin = at, .lines = line};
            MILL_TRY(push(list, open, err));
            break;
        }
        case '}':
            if (list->stack_count > 0) {
                struct mill_block_open top = list->stack[--list->stack_count];
                MILL_TRY(mill_block_list_add(list, (mill_cut_span){top.begin, at + 1}, line - top.lines, err));
            }
            break;
        default: break;
        }
    }
    return MILL_OK;
}
