// posts_rows.c: one row of Posts.xml by expat. Each row is parsed by itself, so a broken one costs itself
// only, and rows can be parsed on several threads.
#include "source/posts.h"

#include <stdio.h>

mill_post mill_post_at(const uint8_t *data, size_t *used)
{
    mill_post post;
    memcpy(&post.head, data, sizeof post.head);
    *used = sizeof post.head;
    for (size_t i = 0; i < MILL_POST_TEXTS; i++) {
        post.text[i] = data + *used;
        *used += post.head.bytes[i];
    }
    return post;
}

#ifndef MILL_HAVE_EXPAT

bool mill_posts_supported(void)
{
    return false;
}

mill_status mill_row_parser_open(mill_row_parser **out, mill_error *err)
{
    *out = NULL;
    return mill_fail(
        err, MILL_INPUT,
        "this build cannot read Posts.xml (expat was not found when it was configured: MILL_EXPAT)");
}

void mill_row_parser_close(mill_row_parser *parser)
{
    (void)parser;
}

mill_status mill_row_parse(mill_row_parser *parser, const uint8_t *text, size_t bytes,
                           const mill_qa_options *options, uint64_t row, mill_buf *out, mill_post_kind *kind,
                           const char **problem, mill_error *err)
{
    (void)parser, (void)text, (void)bytes, (void)options, (void)row, (void)out, (void)kind, (void)problem;
    return mill_fail(err, MILL_INTERNAL, "no XML parser");
}

#else

#include <expat.h>

struct mill_row_parser {
    XML_Parser xml;
    // the row at hand
    const mill_qa_options *options;
    uint64_t row;
    mill_buf *out;
    uint32_t elements;
    mill_post_kind kind;
    const char *problem;
    mill_status status;
    mill_error *err;
};

bool mill_posts_supported(void)
{
    return true;
}

mill_status mill_row_parser_open(mill_row_parser **out, mill_error *err)
{
    static const XML_Memory_Handling_Suite memory = {mill_alloc, mill_realloc, mill_free};
    mill_row_parser *parser = mill_alloc_zero(1, sizeof *parser);
    *out = parser;
    if (parser == NULL)
        return mill_fail_nomem(err, "reading XML");
    parser->xml = XML_ParserCreate_MM("UTF-8", &memory, NULL);
    return parser->xml != NULL ? MILL_OK : mill_fail_nomem(err, "reading XML");
}

void mill_row_parser_close(mill_row_parser *parser)
{
    if (parser == NULL)
        return;
    if (parser->xml != NULL)
        XML_ParserFree(parser->xml);
    mill_free(parser);
}

static bool read_id(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9' && n < 18; n++)
        value = value * 10 + (uint64_t)(text[n] - '0');
    *out = value;
    return n != 0 && text[n] == '\0';
}

static bool read_score(const char *text, int64_t *out)
{
    uint64_t value;
    bool negative = *text == '-';
    bool good = read_id(text + negative, &value);
    *out = negative ? -(int64_t)value : (int64_t)value;
    return good;
}

typedef struct row_texts {
    const char *text[MILL_POST_TEXTS], *user, *name;
} row_texts;

// "users/2002", or for a deleted user "names/NAME" with '/' and control characters replaced: a part of a
// path.
static mill_status append_owner(const row_texts *t, mill_buf *out, mill_error *err)
{
    uint64_t id;
    if (t->user != NULL && read_id(t->user, &id))
        return mill_buf_printf(out, err, "users/%llu", (unsigned long long)id);
    if (t->name == NULL)
        return MILL_OK;
    MILL_TRY(mill_buf_append_text(out, "names/", err));
    size_t begin = out->bytes, bytes = strlen(t->name);
    MILL_TRY(mill_buf_append(out, t->name, bytes, err));
    for (size_t i = begin; i < out->bytes; i++)
        if (out->data[i] < 0x20 || out->data[i] == '/' || out->data[i] == 0x7f)
            out->data[i] = '_';
    return MILL_OK;
}

// "CC BY-SA 4.0" as licences are spelt elsewhere: cc-by-sa-4.0.
static mill_status append_licence(const char *text, mill_buf *out, mill_error *err)
{
    for (; text != NULL && *text != '\0'; text++) {
        char c = *text >= 'A' && *text <= 'Z'                   ? (char)(*text | 0x20)
                 : *text == ' ' || *text == ',' || *text == ';' ? '-'
                                                                : *text;
        MILL_TRY(mill_buf_append(out, &c, 1, err));
    }
    return MILL_OK;
}

static size_t body_bytes(const mill_row_parser *p, const char *body)
{
    size_t bytes = body != NULL ? strlen(body) : 0;
    if (p->kind != MILL_POST_QUESTION)
        return bytes;
    if (p->options->form == MILL_QA_CODE)
        return 0; // of the question only the tags are asked
    if (bytes > MILL_QUESTION_BYTES_MAX)
        for (bytes = MILL_QUESTION_BYTES_MAX; bytes > 0 && ((uint8_t)body[bytes] & 0xc0) == 0x80;)
            bytes--;
    return bytes;
}

static mill_status append_post(mill_row_parser *p, mill_post_head *head, const row_texts *t)
{
    mill_buf *out = p->out;
    size_t begin = out->bytes;
    head->row = p->row;
    head->kind = p->kind;
    MILL_TRY(mill_buf_append(out, head, sizeof *head, p->err));
    for (size_t i = 0; i < MILL_POST_TEXTS; i++) {
        size_t before = out->bytes;
        const char *text = t->text[i];
        if (i == MILL_POST_OWNER)
            MILL_TRY(append_owner(t, out, p->err));
        else if (i == MILL_POST_LICENCE)
            MILL_TRY(append_licence(text, out, p->err));
        else if (text != NULL)
            MILL_TRY(
                mill_buf_append(out, text, i == MILL_POST_BODY ? body_bytes(p, text) : strlen(text), p->err));
        head->bytes[i] = (uint32_t)(out->bytes - before);
    }
    memcpy(out->data + begin, head, sizeof *head);
    return MILL_OK;
}

static void read_attributes(mill_row_parser *p, const XML_Char **a)
{
    mill_post_head head;
    memset(&head, 0, sizeof head); // padding reaches the disk
    row_texts t = {.user = NULL};
    uint64_t type = 0;
    bool has_id = false, good = true;
    for (; a[0] != NULL; a += 2) {
        if (strcmp(a[0], "Id") == 0)
            has_id = read_id(a[1], &head.id);
        else if (strcmp(a[0], "PostTypeId") == 0)
            good = good && read_id(a[1], &type);
        else if (strcmp(a[0], "ParentId") == 0)
            good = good && read_id(a[1], &head.parent);
        else if (strcmp(a[0], "Score") == 0)
            good = good && read_score(a[1], &head.score);
        else if (strcmp(a[0], "Title") == 0)
            t.text[MILL_POST_TITLE] = a[1];
        else if (strcmp(a[0], "Tags") == 0)
            t.text[MILL_POST_TAGS] = a[1];
        else if (strcmp(a[0], "Body") == 0)
            t.text[MILL_POST_BODY] = a[1];
        else if (strcmp(a[0], "OwnerUserId") == 0)
            t.user = a[1];
        else if (strcmp(a[0], "OwnerDisplayName") == 0)
            t.name = a[1];
        else if (strcmp(a[0], "ContentLicense") == 0)
            t.text[MILL_POST_LICENCE] = a[1];
    }
    if (!has_id || !good || type == 0) {
        p->problem = !has_id     ? "a row without Id"
                     : type == 0 ? "a row without PostTypeId"
                                 : "a number that is none";
        return;
    }
    p->kind = type == 1                              ? MILL_POST_QUESTION
              : type != 2                            ? MILL_POST_OTHER
              : head.score > p->options->score_above ? MILL_POST_ANSWER
                                                     : MILL_POST_LOW;
    if (p->kind == MILL_POST_QUESTION || p->kind == MILL_POST_ANSWER)
        p->status = append_post(p, &head, &t);
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    mill_row_parser *p = user;
    if (p->elements++ == 0 && strcmp(name, "row") == 0)
        read_attributes(p, attributes);
    else
        p->problem = "an element inside a row";
}

mill_status mill_row_parse(mill_row_parser *p, const uint8_t *text, size_t bytes,
                           const mill_qa_options *options, uint64_t row, mill_buf *out, mill_post_kind *kind,
                           const char **problem, mill_error *err)
{
    size_t before = out->bytes;
    (void)XML_ParserReset(p->xml, "UTF-8");
    XML_SetUserData(p->xml, p);
    XML_SetStartElementHandler(p->xml, on_start);
    p->options = options;
    p->row = row;
    p->out = out;
    p->err = err;
    p->elements = 0;
    p->kind = MILL_POST_BAD;
    p->problem = NULL;
    p->status = MILL_OK;
    // <row ...> is closed here: its end tag is not part of the text.
    bool open = bytes < 2 || text[bytes - 2] != '/';
    enum XML_Status parsed = XML_Parse(p->xml, (const char *)text, (int)bytes, !open);
    if (parsed == XML_STATUS_OK && open)
        parsed = XML_Parse(p->xml, "</row>", 6, 1);
    MILL_TRY(p->status);
    if (parsed != XML_STATUS_OK && XML_GetErrorCode(p->xml) == XML_ERROR_NO_MEMORY)
        return mill_fail_nomem(err, "reading XML");
    if (parsed != XML_STATUS_OK)
        p->problem = XML_ErrorString(XML_GetErrorCode(p->xml));
    if (p->problem != NULL) {
        p->kind = MILL_POST_BAD;
        out->bytes = before;
    }
    *kind = p->kind;
    *problem = p->problem;
    return MILL_OK;
}

#endif
