// posts_text.c: a question and its answers -> a document: Markdown of the whole thread, the code blocks of
// one answer, or an instruction record.
#include <stdio.h>
#include <stdlib.h>

#include "source/posts.h"

typedef struct thread { // the posts of a piece
    mill_post question;
    bool has_question;
    mill_post *answers;
    size_t answer_count, answer_capacity;
} thread;

typedef struct maker { // what a document is made with
    mill_parser *parser;
    const mill_qa_options *options;
    const thread *t;
    mill_parse_counts *counts;
    int language;        // of the tags, else of the first code block that tells
    mill_reason reason;  // why there is no document
    const char *problem; // why the HTML cannot be read
    bool is_chat;        // parser->turns are the document
    mill_error *err;
} maker;

// The best first; of equals, the one that stands first in the file.
static int compare_answers(const void *a, const void *b)
{
    const mill_post_head *left = &((const mill_post *)a)->head, *right = &((const mill_post *)b)->head;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return left->row < right->row ? -1 : left->row > right->row;
}

static mill_status read_thread(const uint8_t *data, size_t bytes, thread *t, mill_error *err)
{
    for (size_t at = 0; at < bytes;) {
        size_t used;
        mill_post post = mill_post_at(data + at, &used);
        at += used;
        if (post.head.kind == MILL_POST_QUESTION) {
            t->question = post;
            t->has_question = true;
            continue;
        }
        MILL_TRY(MILL_GROW(t->answers, t->answer_capacity, t->answer_count + 1, err));
        t->answers[t->answer_count++] = post;
    }
    if (t->answer_count != 0)
        qsort(t->answers, t->answer_count, sizeof *t->answers, compare_answers);
    return MILL_OK;
}

// Converts the body of a post into parser->page.
static mill_status convert(maker *m, const mill_post *post, mill_html_scope scope)
{
    mill_parser *parser = m->parser;
    const char *problem;
    if (parser->html == NULL)
        MILL_TRY(mill_html_open(parser->source->languages, &parser->html, m->err));
    MILL_TRY(mill_html_read(parser->html, post->text[MILL_POST_BODY], post->head.bytes[MILL_POST_BODY], scope,
                            &parser->page, &problem, m->err));
    m->problem = problem != NULL ? problem : m->problem;
    for (size_t i = 0; m->language <= 0 && i < parser->page.block_count; i++)
        m->language = parser->page.blocks[i].language;
    return MILL_OK;
}

static mill_status append_title(maker *m, mill_buf *out, const char *before)
{
    const mill_post *q = &m->t->question;
    if (!m->t->has_question || q->head.bytes[MILL_POST_TITLE] == 0)
        return MILL_OK;
    MILL_TRY(mill_buf_append_text(out, before, m->err));
    MILL_TRY(mill_buf_append(out, q->text[MILL_POST_TITLE], q->head.bytes[MILL_POST_TITLE], m->err));
    return mill_buf_append_text(out, "\n\n", m->err);
}

static mill_status make_text(maker *m, mill_buf *out)
{
    const mill_html_result *page = &m->parser->page;
    MILL_TRY(append_title(m, out, "# "));
    if (m->t->has_question) {
        MILL_TRY(convert(m, &m->t->question, MILL_HTML_FRAGMENT));
        MILL_TRY(mill_buf_append(out, page->text.data, page->text.bytes, m->err));
    }
    for (size_t i = 0; i < m->t->answer_count && m->problem == NULL; i++) {
        MILL_TRY(convert(m, &m->t->answers[i], MILL_HTML_FRAGMENT));
        if (page->text.bytes == 0)
            continue;
        bool apart = out->bytes < 2 || memcmp(out->data + out->bytes - 2, "\n\n", 2) == 0;
        MILL_TRY(mill_buf_append_text(out, apart ? "## Answer\n\n" : "\n## Answer\n\n", m->err));
        MILL_TRY(mill_buf_append(out, page->text.data, page->text.bytes, m->err));
    }
    return MILL_OK;
}

static mill_status append_code(maker *m, mill_buf *out)
{
    const mill_html_result *page = &m->parser->page;
    for (size_t i = 0; i < page->block_count; i++) {
        if (i != 0)
            MILL_TRY(mill_buf_append(out, "\n", 1, m->err));
        MILL_TRY(
            mill_buf_append(out, page->code.data + page->blocks[i].begin, page->blocks[i].bytes, m->err));
    }
    return MILL_OK;
}

static mill_status make_code(maker *m, mill_buf *out)
{
    const mill_html_result *page = &m->parser->page;
    MILL_TRY(convert(m, &m->t->answers[0], MILL_HTML_FRAGMENT));
    if (page->block_count == 0)
        m->reason = MILL_REASON_NO_CODE;
    else if (page->blocks[0].language > 0)
        m->language = page->blocks[0].language; // closer than the tags
    return append_code(m, out);
}

static size_t without_newlines(const mill_buf *text)
{
    size_t bytes = text->bytes;
    while (bytes > 0 && text->data[bytes - 1] == '\n')
        bytes--;
    return bytes;
}

static mill_status make_instruction(maker *m, mill_buf *out)
{
    (void)out; // rendered later
    mill_parser *p = m->parser;
    if (!m->t->has_question) {
        m->reason = MILL_REASON_NO_QUESTION;
        return MILL_OK;
    }
    mill_buf_clear(&p->prose);
    mill_buf_clear(&p->inputs);
    MILL_TRY(append_title(m, &p->prose, ""));
    MILL_TRY(convert(m, &m->t->question, MILL_HTML_PROSE));
    MILL_TRY(mill_buf_append(&p->prose, p->page.text.data, p->page.text.bytes, m->err));
    MILL_TRY(append_code(m, &p->inputs));
    MILL_TRY(convert(m, &m->t->answers[0], MILL_HTML_FRAGMENT));
    if (m->problem == NULL && without_newlines(&p->page.text) == 0) // a picture alone, say
        m->reason = MILL_REASON_NO_ANSWER;
    MILL_TRY(MILL_GROW(p->turns, p->turn_capacity, 2, m->err));
    p->turns[0] = (mill_turn){.role = MILL_CHAT_INSTRUCTION,
                              .text = p->prose.data,
                              .bytes = without_newlines(&p->prose),
                              .input = p->inputs.data,
                              .input_bytes = without_newlines(&p->inputs)};
    p->turns[1] = (mill_turn){.role = MILL_CHAT_OUTPUT, .text = p->page.text.data, .bytes = without_newlines(&p->page.text)};
    p->turn_count = 2;
    m->is_chat = true;
    return MILL_OK;
}

// ---- where it is from

static mill_status append_origin(maker *m, const mill_post *post, const char *kind, mill_buf *out)
{
    MILL_TRY(mill_buf_printf(out, m->err, "%s%s/%llu", out->bytes != 0 ? "/" : "", kind,
                             (unsigned long long)post->head.id));
    if (post->head.bytes[MILL_POST_OWNER] == 0)
        return MILL_OK;
    MILL_TRY(mill_buf_append(out, "/", 1, m->err));
    return mill_buf_append(out, post->text[MILL_POST_OWNER], post->head.bytes[MILL_POST_OWNER], m->err);
}

static mill_status add_licence(maker *m, const mill_post *post, mill_buf *out)
{
    size_t bytes = post->head.bytes[MILL_POST_LICENCE];
    if (bytes == 0 ||
        (out->bytes != 0 && memmem(out->data, out->bytes, post->text[MILL_POST_LICENCE], bytes) != NULL))
        return MILL_OK;
    if (out->bytes != 0)
        MILL_TRY(mill_buf_append(out, ",", 1, m->err));
    return mill_buf_append(out, post->text[MILL_POST_LICENCE], bytes, m->err);
}

// questions/1/users/10/answers/2/users/20/...: every post that the document holds, with its author; and all
// their licences.
static mill_status describe(maker *m, mill_record *record)
{
    mill_parser *p = m->parser;
    const thread *t = m->t;
    mill_buf_clear(&p->meta);
    mill_buf_clear(&p->licence);
    if (t->has_question) {
        MILL_TRY(append_origin(m, &t->question, "questions", &p->meta));
        if (m->options->form != MILL_QA_CODE)
            MILL_TRY(add_licence(m, &t->question, &p->licence));
    }
    for (size_t i = 0; i < t->answer_count; i++) {
        MILL_TRY(append_origin(m, &t->answers[i], "answers", &p->meta));
        MILL_TRY(add_licence(m, &t->answers[i], &p->licence));
    }
    record->path = (const char *)p->meta.data;
    record->path_bytes = (uint32_t)p->meta.bytes;
    record->licence = p->licence.data != NULL ? (const char *)p->licence.data : "";
    record->licence_bytes = (uint32_t)p->licence.bytes;
    record->repo = m->options->site != NULL ? m->options->site : "";
    record->repo_bytes = (uint32_t)strlen(record->repo);
    return MILL_OK;
}

static mill_status append_document(maker *m, const mill_block_piece *piece, mill_batch *batch,
                                   mill_quarantine *quarantine)
{
    const mill_source *source = m->parser->source;
    mill_buf *text = &m->parser->post;
    mill_quarantined row = {.input = piece->input, .record = piece->first_record, .length = piece->bytes};
    static mill_status (*const forms[])(maker *, mill_buf *) = {
        [MILL_QA_TEXT] = make_text, [MILL_QA_CODE] = make_code, [MILL_QA_INSTRUCTION] = make_instruction};
    mill_buf_clear(text);
    if (m->t->has_question)
        m->language = mill_tags_language(source->languages, m->t->question.text[MILL_POST_TAGS],
                                         m->t->question.head.bytes[MILL_POST_TAGS]);
    MILL_TRY(forms[m->options->form](m, text));
    m->counts->read++;
    if (m->problem != NULL) {
        m->counts->quarantined++;
        row.reason = MILL_QUARANTINE_BAD_HTML;
        return mill_quarantine_add(quarantine, &row, NULL, m->err, "%s", m->problem);
    }
    if (m->reason != MILL_KEPT) {
        m->counts->rejected[m->reason]++;
        return MILL_OK;
    }
    mill_record record = {.text = text->data != NULL ? text->data : (const uint8_t *)"",
                          .text_bytes = text->bytes,
                          .language = m->language > 0 ? (mill_language_id)m->language : MILL_LANGUAGE_OTHER,
                          .type = source->options.type_given ? (uint8_t)source->options.type : MILL_TYPE_QA,
                          .flags = m->options->form == MILL_QA_TEXT ? MILL_FLAG_PROSE : 0,
                          .stars = MILL_STARS_MISSING,
                          .input = piece->input,
                          .record = piece->first_record};
    MILL_TRY(describe(m, &record));
    mill_shape_problem problem = {.removed = false};
    if (m->is_chat)
        MILL_TRY(mill_chat_record(m->parser, &record, m->counts, &problem, m->err));
    else
        MILL_TRY(mill_shape_record(m->parser, false, &record, m->counts, &problem, m->err));
    if (problem.removed)
        return MILL_OK;
    if (problem.detail[0] != '\0') {
        m->counts->quarantined++;
        row.reason = problem.reason;
        return mill_quarantine_add(quarantine, &row, NULL, m->err, "%s", problem.detail);
    }
    m->counts->missing_stars++;
    return mill_batch_append(batch, &record, m->err);
}

mill_status mill_posts_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece,
                             mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                             mill_error *err)
{
    thread t = {.has_question = false};
    mill_status status = read_thread(block->bytes.data + piece->begin, piece->bytes, &t, err);
    if (status == MILL_OK && t.answer_count != 0) {
        maker m = {.parser = parser,
                   .options = &parser->source->options.qa,
                   .t = &t,
                   .counts = counts,
                   .language = -1,
                   .err = err};
        status = append_document(&m, piece, batch, quarantine);
    }
    mill_free(t.answers);
    return status;
}
