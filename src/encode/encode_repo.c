// encode_repo.c: the files of a repository, in the order in which they are given, as rows that hold several
// of them.
//
// A row is: begin, then for each file its frame with its text, then finish (recipe keys repo.*). Only the row
// that ends the sequence has finish, or one whose last file is transformed. How files become rows (frozen:
// output bytes depend on it):
// 1. Files are added to the row at hand while they fit whole; else the row ends there, and the file begins
// the next one.
// 2. A file that is longer than a row is cut between code points: each piece but the last is a row of its
// own, with begin and the
//    file's frame; the last piece begins a row that takes more files.
// 3. Row k of a sequence is drawn for FIM (rate fim.rate) before it is filled: then room is left for the
// sentinels, and when it ends
//    one of its files is drawn and transformed within its frame. It must be one whose middle is ended by a
//    control token: any file where frames begin with one, or have one behind the text, else the last one. If
//    its parts need more tokens than are left, the row stays as it was.
// 4. A file whose frame leaves no room for text (a path of thousands of letters) is encoded like a file
// without a repository. The text between control tokens of a frame is encoded by itself, and so is a file's
// text: its tokens are those of the file.
#include "encode/encode_internal.h"

#include <string.h>

enum {
    ROOM_MIN = 16,
    FIM_SLACK = 8
}; // tokens: for text beside a frame; for parts that are encoded each by itself

typedef struct entry {          // a file, or a piece of one, in the row at hand
    mill_row row;               // record, piece, text, last; tokens once it is written
    size_t head, content, tail; // tokens in ids, one after the other from `first` on
    size_t first;
} entry;

struct mill_encode_repo {
    mill_template templates[3];
    int64_t *controls[3]; // of each part; -1: not a control token
    bool closes;          // a control token follows every file's text
    mill_fim *always;     // plans without drawing whether
    mill_fim_options fim;
    // the row at hand
    mill_ids ids;
    entry *entries;
    size_t entry_count, entry_capacity;
    // the file at hand
    mill_ids plain, head, tail;
    uint64_t *ends;
    size_t end_capacity;
    mill_ids begin, finish;
    mill_buf text; // of a frame
};

typedef struct sequence {
    mill_encode *e;
    mill_encode_repo *repo;
    const mill_batch *batch;
    uint32_t first, count;
    mill_rows *rows;
    uint32_t number; // of the row at hand
    bool drawn;
    uint64_t tokens; // of it, begin included
    uint64_t placed; // in rows before it
    uint32_t transformed_record;
    mill_error *err;
} sequence;

enum { T_BEGIN, T_FILE, T_FINISH };
enum { HOLE_CONTENT, HOLE_PATH, HOLE_REPO };

// ---- open and close

typedef struct repo_preset {
    const char *name, *text[3];
    const char *const *tokens;
} repo_preset;

static const char *const starcoder_tokens[] = {"<repo_name>", "<file_sep>", NULL};
static const char *const qwen_tokens[] = {"<|repo_name|>", "<|file_sep|>", NULL};
static const char *const no_tokens[] = {NULL};
static const repo_preset presets[] = {
    {"starcoder", {"<repo_name>{repo}", "<file_sep>{path}\n{content}", "{end}"}, starcoder_tokens},
    {"qwen", {"<|repo_name|>{repo}\n", "<|file_sep|>{path}\n{content}\n", "{end}"}, qwen_tokens},
    {"deepseek", {"", "#{path}\n{content}\n", "{end}"}, no_tokens},
};

static const repo_preset *find_preset(const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(presets[i].name, name != NULL ? name : "starcoder") == 0)
            return &presets[i];
    return NULL;
}

const char *const *mill_repo_tokens(const mill_repo_options *options)
{
    if (options->tokens != NULL && options->tokens[0] != NULL)
        return options->tokens;
    const repo_preset *preset = find_preset(options->preset);
    return preset != NULL ? preset->tokens : no_tokens;
}

static mill_status compile(const mill_repo_options *options, const char *end, mill_template templates[3],
                           mill_error *err)
{
    static const char *const keys[] = {"repo.begin", "repo.file", "repo.finish"};
    const repo_preset *preset = find_preset(options->preset);
    if (preset == NULL)
        return mill_fail(err, MILL_RECIPE,
                         "recipe key 'repo.preset': expected starcoder, qwen or deepseek, got %.40s",
                         options->preset);
    const char *const given[] = {options->begin, options->file, options->finish};
    const mill_template_names names = {
        .holes = {"{content}", "{path}", "{repo}"}, .tokens = mill_repo_tokens(options), .end = end};
    for (int i = T_BEGIN; i <= T_FINISH; i++) {
        const bool own = given[i] != NULL && given[i][0] != '\0';
        MILL_TRY(mill_template_compile(own ? given[i] : preset->text[i], &names, &templates[i], err));
        const size_t contents = mill_template_uses(&templates[i], HOLE_CONTENT), wanted = i == T_FILE;
        if (contents != wanted)
            return mill_fail(err, MILL_RECIPE,
                             "recipe key '%s': this template needs {content} %zu times, it has it %zu times",
                             keys[i], wanted, contents);
        if (i != T_FILE && mill_template_uses(&templates[i], HOLE_PATH) != 0)
            return mill_fail(err, MILL_RECIPE, "recipe key '%s': {path} is known within a file only",
                             keys[i]);
    }
    return MILL_OK;
}

mill_status mill_repo_check(const mill_repo_options *options, const char *end, mill_error *err)
{
    mill_template templates[3] = {{0}};
    mill_status status = compile(options, end, templates, err);
    for (size_t i = 0; i < 3; i++)
        mill_template_free(&templates[i]);
    return status;
}

static mill_status find_controls(mill_encode *e, mill_encode_repo *repo, mill_error *err)
{
    for (size_t i = 0; i < 3; i++) {
        const mill_template *t = &repo->templates[i];
        repo->controls[i] = mill_alloc_zero(t->count + 1, sizeof *repo->controls[i]);
        if (repo->controls[i] == NULL)
            return mill_fail_nomem(err, "encoder");
        for (size_t k = 0; k < t->count; k++) {
            char name[256];
            repo->controls[i][k] = -1;
            if (t->parts[k].kind != MILL_PART_CONTROL)
                continue;
            snprintf(name, sizeof name, "%.*s", (int)(t->parts[k].bytes < 255 ? t->parts[k].bytes : 255),
                     t->parts[k].text);
            repo->controls[i][k] = mill_tokenizer_special(e->tokenizer, name);
            if (repo->controls[i][k] < 0)
                return mill_fail(err, MILL_INPUT,
                                 "the tokenizer has no control token \"%.60s\", which the frame of a "
                                 "repository needs; train it with "
                                 "that token, or choose other frames (recipe keys repo.preset, repo.tokens)",
                                 name);
        }
    }
    const mill_template *file = &repo->templates[T_FILE];
    repo->closes = file->parts[0].kind == MILL_PART_CONTROL;
    for (size_t k = 0; k + 1 < file->count; k++)
        repo->closes |= file->parts[k].kind == HOLE_CONTENT && file->parts[k + 1].kind == MILL_PART_CONTROL;
    return MILL_OK;
}

mill_status mill_encode_repo_open(mill_encode *e, const mill_encode_options *options,
                                  const mill_fim_options *fim, mill_error *err)
{
    if (!options->repo.sequence)
        return MILL_OK;
    e->repo = mill_alloc_zero(1, sizeof *e->repo);
    if (e->repo == NULL)
        return mill_fail_nomem(err, "encoder");
    MILL_TRY(compile(&options->repo, options->end_text, e->repo->templates, err));
    if (e->fim != NULL) {
        e->repo->fim = *fim;
        mill_fim_options always = *fim;
        always.rate_permille = 1000;
        MILL_TRY(mill_fim_open(&always, e->languages, &e->repo->always, err));
    }
    return find_controls(e, e->repo, err);
}

void mill_encode_repo_close(mill_encode_repo *repo)
{
    if (repo == NULL)
        return;
    for (size_t i = 0; i < 3; i++) {
        mill_template_free(&repo->templates[i]);
        mill_free(repo->controls[i]);
    }
    mill_fim_close(repo->always);
    mill_ids *lists[] = {&repo->ids, &repo->plain, &repo->head, &repo->tail, &repo->begin, &repo->finish};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        mill_ids_free(lists[i]);
    mill_free(repo->entries);
    mill_free(repo->ends);
    mill_buf_free(&repo->text);
    mill_free(repo);
}

// ---- frames

static mill_status end_text(sequence *s, mill_ids *out)
{
    mill_buf *text = &s->repo->text;
    if (text->bytes != 0)
        MILL_TRY(mill_encoder_encode(s->e->encoder, text->data, text->bytes, false, out, s->err));
    mill_buf_clear(text);
    return MILL_OK;
}

// The ids of parts [from, to) of a template; names of files and repositories are plain text, whatever they
// look like.
static mill_status put_frame(sequence *s, int name, size_t from, size_t to, uint32_t record, mill_ids *out)
{
    const mill_template *t = &s->repo->templates[name];
    const mill_batch *b = s->batch;
    out->count = 0;
    mill_buf_clear(&s->repo->text);
    for (size_t k = from; k < to; k++) {
        const mill_template_part *part = &t->parts[k];
        if (part->kind == MILL_PART_CONTROL) {
            MILL_TRY(end_text(s, out));
            MILL_TRY(mill_ids_append(out, (uint32_t)s->repo->controls[name][k], s->err));
            continue;
        }
        const mill_span span = part->kind == HOLE_PATH ? b->path[record] : b->repo[record];
        const bool plain = part->kind == MILL_PART_TEXT;
        MILL_TRY(mill_buf_append(&s->repo->text, plain ? part->text : mill_batch_meta(b, span),
                                 plain ? part->bytes : span.bytes, s->err));
    }
    return end_text(s, out);
}

static mill_status put_file_frame(sequence *s, uint32_t record)
{
    const mill_template *t = &s->repo->templates[T_FILE];
    size_t content = 0;
    while (t->parts[content].kind != HOLE_CONTENT)
        content++;
    MILL_TRY(put_frame(s, T_FILE, 0, content, record, &s->repo->head));
    return put_frame(s, T_FILE, content + 1, t->count, record, &s->repo->tail);
}

// ---- a row

static uint64_t limit_of(const sequence *s)
{
    const uint64_t context = s->e->options.context != 0 ? s->e->options.context : UINT64_MAX;
    const uint64_t sentinels = s->e->cut == MILL_FIM_MULTI ? MILL_SENTINELS_MULTI : 3;
    const uint64_t kept = s->repo->finish.count + (s->drawn ? sentinels + FIM_SLACK : 0);
    return kept < context ? context - kept : 0;
}

static uint64_t word(const sequence *s, uint32_t nth)
{
    return mill_draw(s->repo->fim.seed, MILL_DRAW_REPO, mill_batch_key(s->batch, s->first),
                     (uint64_t)s->number << 32 | nth);
}

static void begin_row(sequence *s)
{
    s->repo->ids.count = 0;
    s->repo->entry_count = 0;
    s->tokens = s->repo->begin.count;
    s->drawn = s->repo->always != NULL && mill_draw_below(word(s, 0), 1000) < s->repo->fim.rate_permille;
}

static mill_status add_entry(sequence *s, const entry *file, const uint32_t *content)
{
    mill_encode_repo *r = s->repo;
    MILL_TRY(MILL_GROW(r->entries, r->entry_capacity, r->entry_count + 1, s->err));
    entry *added = &r->entries[r->entry_count++];
    *added = *file;
    added->first = r->ids.count;
    added->head = r->head.count;
    added->tail = r->tail.count;
    MILL_TRY(mill_encode_put(&r->ids, r->head.data, r->head.count, s->err));
    MILL_TRY(mill_encode_put(&r->ids, content, file->content, s->err));
    MILL_TRY(mill_encode_put(&r->ids, r->tail.data, r->tail.count, s->err));
    s->tokens += r->head.count + file->content + r->tail.count;
    return MILL_OK;
}

// Text and key of a record as the tokenizer sees it; clobbers e->normal.
static mill_status document_of(sequence *s, uint32_t record, mill_encode_document *out)
{
    mill_encode *e = s->e;
    *out = (mill_encode_document){.key = mill_batch_key(s->batch, record),
                                  .language = s->batch->language[record],
                                  .record = record,
                                  .tag = -1};
    out->text = mill_batch_text(s->batch, record, &out->bytes);
    if (!mill_tokenizer_normalizes(e->tokenizer))
        return MILL_OK;
    mill_buf_clear(&e->normal);
    MILL_TRY(mill_tokenizer_normalize(e->tokenizer, out->text, out->bytes, &e->normal, s->err));
    out->text = e->normal.data;
    out->bytes = e->normal.bytes;
    return MILL_OK;
}

// The parts of the drawn file in e->whole; *chosen stays NULL if there is nothing to transform, or no room
// for it.
static mill_status transform(sequence *s, mill_fim_plan *plan, entry **chosen)
{
    mill_encode *e = s->e;
    mill_encode_repo *r = s->repo;
    const size_t last = r->entry_count - 1;
    entry *file = &r->entries[r->closes ? mill_draw_below(word(s, 1), r->entry_count) : last];
    mill_encode_document document;
    MILL_TRY(document_of(s, file->row.record, &document));
    document.piece = file->row.piece;
    mill_row_span span = {file->row.text_begin, file->row.text_end, plan, file->row.last};
    size_t token = 0;
    if (e->cut == MILL_FIM_TOKEN) { // slices of the whole file's ids
        MILL_TRY(mill_encode_plain(e, &document, s->err));
        MILL_TRY(mill_encode_measure(e, &document, s->err));
        while (token < e->plain.count && e->ends[token] <= span.begin)
            token++;
    }
    mill_fim *kept = e->fim;
    e->fim = r->always;
    mill_status status = mill_encode_plan(e, &document, &span, token, file->content, plan, s->err);
    e->fim = kept;
    MILL_TRY(status);
    if (plan->mode == MILL_FIM_NONE)
        return MILL_OK;
    e->whole.count = 0;
    MILL_TRY(mill_encode_parts(e, &document, &span, &e->whole, s->err));
    const uint64_t context = e->options.context != 0 ? e->options.context : UINT64_MAX;
    if (s->tokens - file->content + e->whole.count + r->finish.count <= context)
        *chosen = file;
    return MILL_OK;
}

static mill_status put_entry(sequence *s, const entry *file, bool transformed, const mill_fim_plan *plan,
                             size_t first)
{
    mill_rows *rows = s->rows;
    const uint32_t *ids = s->repo->ids.data + file->first;
    MILL_TRY(mill_encode_put(&rows->ids, ids, file->head, s->err));
    if (transformed)
        MILL_TRY(mill_encode_put(&rows->ids, s->e->whole.data, s->e->whole.count, s->err));
    else
        MILL_TRY(mill_encode_put(&rows->ids, ids + file->head, file->content, s->err));
    MILL_TRY(mill_encode_put(&rows->ids, ids + file->head + file->content, file->tail, s->err));
    MILL_TRY(MILL_GROW(rows->files, rows->file_capacity, rows->file_count + 1, s->err));
    mill_row *row = &rows->files[rows->file_count++];
    *row = file->row;
    row->first_token = first;
    row->tokens = (uint32_t)(rows->ids.count - first);
    if (!transformed)
        return MILL_OK;
    row->mode = (uint8_t)plan->mode;
    row->cut_begin = row->text_begin + plan->begin[0];
    row->cut_end = row->text_begin + plan->end[0];
    if (s->transformed_record != row->record)
        rows->transformed++;
    s->transformed_record = row->record;
    return MILL_OK;
}

static mill_status end_row(sequence *s, bool ends)
{
    mill_encode_repo *r = s->repo;
    mill_rows *rows = s->rows;
    mill_fim_plan plan = {.mode = MILL_FIM_NONE};
    entry *chosen = NULL;
    if (r->entry_count == 0)
        return MILL_OK;
    if (s->drawn)
        MILL_TRY(transform(s, &plan, &chosen));
    const size_t first = rows->ids.count;
    const bool finish = ends || chosen == &r->entries[r->entry_count - 1];
    MILL_TRY(MILL_GROW(rows->rows, rows->capacity, rows->count + 1, s->err));
    mill_row row = {.first_token = first,
                    .record = r->entries[0].row.record,
                    .piece = s->number++,
                    .mode = MILL_ROW_REPO,
                    .last = ends,
                    .doc_begin = s->placed,
                    .first_file = rows->file_count,
                    .files = (uint32_t)r->entry_count};
    MILL_TRY(mill_encode_put(&rows->ids, r->begin.data, r->begin.count, s->err));
    for (size_t i = 0; i < r->entry_count; i++)
        MILL_TRY(
            put_entry(s, &r->entries[i], chosen == &r->entries[i], &plan, i == 0 ? first : rows->ids.count));
    if (finish)
        MILL_TRY(mill_encode_put(&rows->ids, r->finish.data, r->finish.count, s->err));
    if (rows->ids.count - first > UINT32_MAX)
        return mill_fail(s->err, MILL_INPUT,
                         "a repository of more than 4294967295 tokens needs a context length");
    row.tokens = (uint32_t)(rows->ids.count - first);
    rows->files[rows->file_count - 1].tokens += finish ? (uint32_t)r->finish.count : 0;
    rows->encoded_tokens += row.tokens;
    if (row.tokens >= s->e->options.min_chunk) {
        rows->rows[rows->count++] = row;
        s->placed += row.tokens;
    } else {
        rows->dropped_rows++;
        rows->dropped_tokens += row.tokens;
        rows->ids.count = first;
        rows->file_count = row.first_file;
    }
    begin_row(s);
    return MILL_OK;
}

// ---- files

static bool begins_code_point(const mill_encode_document *document, uint64_t byte)
{
    return byte >= document->bytes || (document->text[byte] & 0xc0) != 0x80;
}

// Ids of the file in repo->plain, their ends in repo->ends.
static mill_status encode_file(sequence *s, const mill_encode_document *document)
{
    mill_encode *e = s->e;
    mill_encode_repo *r = s->repo;
    e->plain.count = 0;
    MILL_TRY(mill_encoder_encode(e->encoder, document->text, document->bytes, false, &e->plain, s->err));
    MILL_TRY(mill_encode_measure(e, document, s->err));
    const mill_ids ids = e->plain;
    uint64_t *ends = e->ends;
    const size_t capacity = e->end_capacity;
    e->plain = r->plain;
    e->ends = r->ends;
    e->end_capacity = r->end_capacity;
    r->plain = ids;
    r->ends = ends;
    r->end_capacity = capacity;
    return MILL_OK;
}

// A file by itself, as if it had no repository.
static mill_status lone_file(sequence *s, uint32_t record)
{
    MILL_TRY(end_row(s, false));
    mill_encode_document document;
    MILL_TRY(document_of(s, record, &document));
    MILL_TRY(mill_encode_pieces(s->e, &document, s->rows, s->err));
    s->rows->transformed += document.transformed;
    begin_row(s);
    return MILL_OK;
}

// The pieces of a file that is longer than a row. *done: false if it cannot be cut; nothing was added then.
static mill_status long_file(sequence *s, const mill_encode_document *document, bool *done)
{
    mill_encode_repo *r = s->repo;
    const uint64_t frame = r->begin.count + r->head.count + r->tail.count;
    const uint64_t context = s->e->options.context,
                   sentinels = s->e->cut == MILL_FIM_MULTI ? MILL_SENTINELS_MULTI : 3;
    *done = false;
    if (frame + r->finish.count + sentinels + FIM_SLACK + ROOM_MIN > context)
        return MILL_OK;
    entry file = {.row = {.record = document->record}};
    size_t at = 0;
    const uint64_t least = context - frame - r->finish.count - sentinels - FIM_SLACK;
    for (size_t i = 0, unbroken = 0; i < r->plain.count;
         i++) { // a place to cut lies within every row, drawn or not
        unbroken = begins_code_point(document, r->ends[i]) ? 0 : unbroken + 1;
        if (unbroken >= least)
            return MILL_OK;
    }
    *done = true;
    while (at < r->plain.count) {
        const uint64_t room = limit_of(s) - frame;
        size_t take = r->plain.count - at;
        if (take > room)
            take = (size_t)room;
        while (!begins_code_point(document, r->ends[at + take - 1]))
            take--;
        file.content = take;
        file.row.text_end = r->ends[at + take - 1];
        file.row.last = at + take == r->plain.count;
        MILL_TRY(add_entry(s, &file, r->plain.data + at));
        at += take;
        if (!file.row.last)
            MILL_TRY(end_row(s, false));
        file.row.text_begin = file.row.text_end;
        file.row.piece++;
    }
    return MILL_OK;
}

static mill_status add_file(sequence *s, uint32_t record)
{
    mill_encode_repo *r = s->repo;
    mill_encode_document document;
    MILL_TRY(document_of(s, record, &document));
    s->rows->documents++;
    uint64_t raw;
    const uint8_t *text = mill_batch_text(s->batch, record, &raw);
    s->rows->normalized += raw != document.bytes || memcmp(text, document.text, raw) != 0;
    MILL_TRY(put_file_frame(s, record));
    MILL_TRY(encode_file(s, &document));
    const uint64_t size = r->head.count + r->plain.count + r->tail.count;
    if (s->tokens + size > limit_of(s))
        MILL_TRY(end_row(s, false));
    if (s->tokens + size <= limit_of(s)) {
        const entry file = {.row = {.record = record, .text_end = document.bytes, .last = true},
                            .content = r->plain.count};
        return add_entry(s, &file, r->plain.data);
    }
    bool done;
    MILL_TRY(document_of(s, record, &document)); // ending the row may have used its place
    MILL_TRY(long_file(s, &document, &done));
    return done ? MILL_OK : lone_file(s, record);
}

mill_status mill_encode_sequence(mill_encode *e, const mill_batch *batch, uint32_t first, uint32_t count,
                                 mill_rows *rows, mill_error *err)
{
    MILL_ASSERT(e->repo != NULL && count != 0 && first + count <= batch->count);
    sequence s = {.e = e,
                  .repo = e->repo,
                  .batch = batch,
                  .first = first,
                  .count = count,
                  .rows = rows,
                  .transformed_record = UINT32_MAX,
                  .err = err};
    MILL_TRY(put_frame(&s, T_BEGIN, 0, e->repo->templates[T_BEGIN].count, first, &e->repo->begin));
    MILL_TRY(put_frame(&s, T_FINISH, 0, e->repo->templates[T_FINISH].count, first, &e->repo->finish));
    begin_row(&s);
    for (uint32_t i = first; i < first + count; i++)
        MILL_TRY(add_file(&s, i));
    return end_row(&s, true);
}
