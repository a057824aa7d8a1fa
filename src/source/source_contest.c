// source_contest.c: records of contest data sets (code_contests, APPS and their kin): one task with all its
// solutions, each of which becomes a record. They share the number of their line or row.
#include <stdio.h>
#include <strings.h>

#include "source/notebook.h"
#include "source/source_internal.h"

typedef struct task {
    mill_parser *parser;
    yyjson_val *root;
    mill_record record; // what all solutions share
    mill_batch *batch;
    mill_quarantine *quarantine;
    mill_parse_counts *counts;
    mill_error *err;
    uint64_t solutions; // so far
} task;

// The first item that is not null.
static yyjson_val *first_of(yyjson_val *list)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    yyjson_val *item = yyjson_arr_iter_next(&iter);
    while (item != NULL && yyjson_is_null(item))
        item = yyjson_arr_iter_next(&iter);
    return item;
}

// A text that can only be a list in JSON; none at all where APPS knows no solution.
static bool is_list_text(yyjson_val *value)
{
    const char *text = yyjson_get_str(value);
    return text != NULL && (*text == '\0' || text[strspn(text, " \t\r\n")] == '[');
}

bool mill_contest_is(yyjson_val *root)
{
    yyjson_val *solutions = yyjson_obj_get(root, "solutions");
    if (yyjson_is_obj(solutions))
        return yyjson_is_arr(yyjson_obj_get(solutions, "solution"));
    yyjson_val *first = first_of(solutions);
    if (yyjson_is_obj(first))
        return yyjson_obj_get(first, "solution") != NULL || yyjson_obj_get(first, "code") != NULL;
    return is_list_text(solutions) || (yyjson_is_arr(solutions) && (first == NULL || yyjson_is_str(first)));
}

static int find_name(const mill_language_table *languages, const char *word)
{
    static const char *const others[][2] = {{"g++", "cpp"},
                                            {"clang++", "cpp"},
                                            {"cpython", "python"},
                                            {"node.js", "javascript"},
                                            {"fpc", "pascal"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcasecmp(word, others[i][0]) == 0)
            return mill_language_find(languages, others[i][1]);
    return mill_language_find(languages, word);
}

// A word as the name of a language, else without the version at its end: "C++17", "PYTHON3".
static int find_word(const mill_language_table *languages, const char *word, size_t bytes)
{
    char text[32];
    if (bytes == 0 || bytes >= sizeof text)
        return -1;
    memcpy(text, word, bytes);
    text[bytes] = '\0';
    const int id = find_name(languages, text);
    while (bytes > 0 && strchr("0123456789.-", text[bytes - 1]) != NULL)
        text[--bytes] = '\0';
    return id >= 0 ? id : find_name(languages, text);
}

mill_language_id mill_judge_language(mill_language_table *languages, const char *name, size_t bytes)
{
    const int whole = find_word(languages, name, bytes);
    if (whole >= 0)
        return (mill_language_id)whole;
    for (size_t at = 0; at < bytes;) {
        size_t word = 0;
        while (at + word < bytes && strchr(" \t(),/", name[at + word]) == NULL)
            word++;
        const int id = find_word(languages, name + at, word);
        if (id >= 0)
            return (mill_language_id)id;
        at += word + 1;
    }
    return mill_language_intern(languages, name, bytes);
}

// By name, or by the numbers of code_contests.
static mill_language_id language_of(const task *t, yyjson_val *value)
{
    static const char *const numbered[] = {"other", "python", "cpp", "python", "java"};
    mill_language_table *languages = t->parser->source->languages;
    if (yyjson_is_str(value))
        return mill_judge_language(languages, yyjson_get_str(value), yyjson_get_len(value));
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) >= sizeof numbered / sizeof numbered[0])
        return MILL_LANGUAGE_OTHER;
    int id = mill_language_find(languages, numbered[yyjson_get_uint(value)]);
    return id < 0 ? MILL_LANGUAGE_OTHER : (mill_language_id)id;
}

static mill_status make_text(task *t, yyjson_val *solution, mill_language_id language)
{
    mill_buf *out = &t->parser->post;
    yyjson_val *statement = yyjson_obj_get(t->root, "description");
    if (!yyjson_is_str(statement))
        statement = yyjson_obj_get(t->root, "question");
    mill_buf_clear(out);
    if (t->parser->source->options.shape.statements && yyjson_is_str(statement)) {
        const mill_language *traits = mill_language_get(t->parser->source->languages, language);
        MILL_TRY(mill_append_comment(yyjson_get_str(statement), yyjson_get_len(statement),
                                     mill_comment_prefix(traits), out, t->err));
        MILL_TRY(mill_buf_append(out, "\n", 1, t->err));
    }
    return mill_buf_append(out, yyjson_get_str(solution), yyjson_get_len(solution), t->err);
}

static mill_status add_solution(task *t, yyjson_val *solution, mill_language_id language)
{
    mill_parser *p = t->parser;
    if (!yyjson_is_str(solution))
        return MILL_OK; // an empty place in one of two lists
    mill_record record = t->record;
    record.language = language;
    MILL_TRY(make_text(t, solution, record.language));
    record.text = p->post.data != NULL ? p->post.data : (const uint8_t *)"";
    record.text_bytes = p->post.bytes;
    mill_buf_clear(&p->meta);
    MILL_TRY(mill_buf_append(&p->meta, t->record.path, t->record.path_bytes, t->err));
    MILL_TRY(mill_buf_printf(&p->meta, t->err, "%s%llu", t->record.path_bytes != 0 ? "/" : "",
                             (unsigned long long)t->solutions + 1));
    record.path = (const char *)p->meta.data;
    record.path_bytes = (uint32_t)p->meta.bytes;
    t->counts->read++;
    t->counts->further += t->solutions++ != 0;
    mill_shape_problem problem;
    MILL_TRY(mill_shape_record(p, false, &record, t->counts, &problem, t->err));
    if (problem.removed)
        return MILL_OK;
    if (problem.detail[0] != '\0') { // U+0000, where the recipe wants none
        const mill_quarantined row = {
            .input = record.input, .record = record.record, .reason = problem.reason};
        t->counts->quarantined++;
        return mill_quarantine_add(t->quarantine, &row, NULL, t->err, "solution %llu: %s",
                                   (unsigned long long)t->solutions, problem.detail);
    }
    t->counts->missing_stars++;
    return mill_batch_append(t->batch, &record, t->err);
}

// ---- the forms of solutions

// {"language": [..], "solution": [..]}
static mill_status add_side_by_side(task *t, yyjson_val *solutions)
{
    yyjson_arr_iter text = yyjson_arr_iter_with(yyjson_obj_get(solutions, "solution"));
    yyjson_arr_iter language = yyjson_arr_iter_with(yyjson_obj_get(solutions, "language"));
    for (yyjson_val *item = yyjson_arr_iter_next(&text); item != NULL; item = yyjson_arr_iter_next(&text))
        MILL_TRY(add_solution(t, item, language_of(t, yyjson_arr_iter_next(&language))));
    return MILL_OK;
}

// [{"language", "solution" or "code"}, ..], or texts alone, which are in the language of the record.
static mill_status add_list(task *t, yyjson_val *solutions)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(solutions);
    for (yyjson_val *item = yyjson_arr_iter_next(&iter); item != NULL; item = yyjson_arr_iter_next(&iter)) {
        if (!yyjson_is_obj(item)) {
            MILL_TRY(add_solution(t, item, t->record.language));
            continue;
        }
        yyjson_val *text = yyjson_obj_get(item, "solution");
        if (text == NULL || yyjson_is_null(text))
            text = yyjson_obj_get(item, "code");
        MILL_TRY(add_solution(t, text, language_of(t, yyjson_obj_get(item, "language"))));
    }
    return MILL_OK;
}

// The same list as a JSON text (APPS and what was made like it).
static mill_status add_list_text(task *t, yyjson_val *solutions, mill_shape_problem *problem)
{
    mill_parser *p = t->parser;
    yyjson_doc *doc = NULL;
    yyjson_read_err why = {0};
    const size_t bytes = yyjson_get_len(solutions);
    if (bytes == 0)
        return MILL_OK;
    MILL_TRY(mill_json_text_parse(&p->listed, &p->line, (const uint8_t *)yyjson_get_str(solutions), bytes,
                                  p->source->options.record_bytes_max, t->counts, &doc, &why, t->err));
    yyjson_val *list = yyjson_doc_get_root(doc);
    if (yyjson_is_arr(list))
        return add_list(t, list);
    problem->reason = MILL_QUARANTINE_BAD_JSON;
    snprintf(problem->detail, sizeof problem->detail, "solutions: %s at byte %zu", why.msg, why.pos);
    return MILL_OK;
}

// What the set calls its task: a text or a number, under one of these names.
static mill_status take_name(task *t)
{
    static const char *const keys[] = {"name", "problem_id", "id", "title"};
    mill_buf *out = &t->parser->prose;
    mill_buf_clear(out);
    for (size_t i = 0; out->bytes == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        yyjson_val *value = yyjson_obj_get(t->root, keys[i]);
        if (yyjson_is_str(value))
            MILL_TRY(mill_buf_append(out, yyjson_get_str(value), yyjson_get_len(value), t->err));
        else if (yyjson_is_uint(value))
            MILL_TRY(mill_buf_append_u64(out, yyjson_get_uint(value), t->err));
    }
    if (out->bytes <= UINT32_MAX) {
        t->record.path = out->bytes != 0 ? (const char *)out->data : "";
        t->record.path_bytes = (uint32_t)out->bytes;
    }
    return MILL_OK;
}

mill_status mill_contest_append(mill_parser *parser, yyjson_val *root, const mill_record *shared,
                                mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                                mill_shape_problem *problem, mill_error *err)
{
    task t = {.parser = parser,
              .root = root,
              .record = *shared,
              .batch = batch,
              .quarantine = quarantine,
              .counts = counts,
              .err = err};
    yyjson_val *solutions = yyjson_obj_get(root, "solutions");
    if (t.record.path_bytes == 0)
        MILL_TRY(take_name(&t));
    t.record.type =
        parser->source->options.type_given ? (uint8_t)parser->source->options.type : MILL_TYPE_CONTEST;
    t.record.stars = MILL_STARS_MISSING;
    if (yyjson_is_obj(solutions))
        MILL_TRY(add_side_by_side(&t, solutions));
    else if (yyjson_is_arr(solutions))
        MILL_TRY(add_list(&t, solutions));
    else
        MILL_TRY(add_list_text(&t, solutions, problem));
    if (t.solutions == 0 &&
        problem->detail[0] == '\0') { // a task that nobody solved is a record all the same
        counts->read++;
        counts->rejected[MILL_REASON_NO_ANSWER]++;
    }
    return MILL_OK;
}
