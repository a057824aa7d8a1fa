// merged.c: the sequences of finished directories as one list.
#include "pipeline/merged.h"

#include <stdio.h>
#include <string.h>

#include "shard/docs.h"

#define STAGE ".shardmill/stage/lengths"

// ---- opening ----

// The container that is read: one that keeps the loss mask before others, one that keeps borders before others.
static const mill_held *choose_held(const mill_held *list, size_t count, bool documents)
{
    const mill_held *best = NULL;
    int best_rank = 4;
    for (size_t i = 0; i < count; i++) {
        bool mask = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(list[i].facts, "loss_mask"));
        int rank = 2 * !mask + !list[i].borders;
        if (list[i].documents == documents && rank < best_rank) {
            best = &list[i];
            best_rank = rank;
        }
    }
    return best;
}

static mill_status add_directory(mill_merged *m, size_t number, mill_error *err)
{
    mill_held *list;
    size_t count;
    MILL_TRY(mill_held_list(&m->dirs[number], &list, &count, err));
    mill_status status = MILL_OK;
    for (int kind = 0; kind < 2; kind++) {
        mill_merged_kind *k = &m->kinds[kind];
        const mill_held *held = choose_held(list, count, kind == 1);
        if (number == 0)
            k->present = held != NULL;
        if (held == NULL) {
            if (k->present && status == MILL_OK)
                status = mill_fail(err, MILL_INPUT, "%s holds no %s, but %s does; only directories of the same kind can be merged",
                                   m->dirs[number].path, kind == 0 ? "samples" : "documents", m->dirs[0].path);
            continue;
        }
        k->held[number] = *held;
        k->first[number] = k->count;
        k->count += held->sequences;
        k->first[number + 1] = k->count;
        m->has_mask = m->has_mask || cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(held->facts, "loss_mask"));
        uint64_t vocab_size = mill_finished_number(held->facts, "vocab_size");
        if (vocab_size > m->vocab_size && vocab_size <= UINT32_MAX)
            m->vocab_size = (uint32_t)vocab_size;
    }
    if (status == MILL_OK && count == 0)
        status = mill_fail(err, MILL_INPUT, "%s holds no shards", m->dirs[number].path);
    mill_free(list);
    return status;
}

static mill_status check_tokenizers(const mill_merged *m, mill_error *err)
{
    static const char path[] = "tokenizer/tokenizer.json";
    const mill_finished_file *first = mill_finished_find(&m->dirs[0], path);
    for (size_t i = 1; i < m->dir_count; i++) {
        const mill_finished_file *other = mill_finished_find(&m->dirs[i], path);
        if ((first == NULL) != (other == NULL) || (first != NULL && strcmp(first->sha256, other->sha256) != 0))
            return mill_fail(err, MILL_INPUT, "%s and %s have different tokenizers: their ids mean different things",
                             m->dirs[0].path, m->dirs[i].path);
    }
    return MILL_OK;
}

mill_status mill_merged_open(const char *const *directories, size_t count, mill_merged *out, mill_error *err)
{
    *out = (mill_merged){.fs = mill_fs_posix(), .vocab_size = 1};
    mill_status status = MILL_OK;
    out->dirs = mill_alloc_zero(count, sizeof *out->dirs);
    for (int kind = 0; kind < 2; kind++) {
        out->kinds[kind].held = mill_alloc_zero(count, sizeof(mill_held));
        out->kinds[kind].first = mill_alloc_zero(count + 1, sizeof(uint64_t));
        if (out->kinds[kind].held == NULL || out->kinds[kind].first == NULL)
            status = MILL_NOMEM;
    }
    if (out->dirs == NULL || status != MILL_OK)
        return mill_fail_nomem(err, "the list of directories");
    for (; out->dir_count < count;) {
        mill_finished *dir = &out->dirs[out->dir_count++];
        MILL_TRY(mill_finished_open(directories[out->dir_count - 1], dir, err));
        MILL_TRY(add_directory(out, out->dir_count - 1, err));
    }
    return check_tokenizers(out, err);
}

void mill_merged_close(mill_merged *m)
{
    for (int kind = 0; kind < 2; kind++) {
        mill_merged_kind *k = &m->kinds[kind];
        const uint32_t *maps[] = {k->lengths, k->rows};
        for (size_t i = 0; i < 2; i++) {
            if (maps[i] != NULL)
                m->fs->ops->unmap(m->fs->self, maps[i], k->count * sizeof *maps[i]);
        }
        mill_free(k->held);
        mill_free(k->first);
    }
    for (size_t i = 0; i < m->dir_count; i++)
        mill_finished_close(&m->dirs[i]);
    mill_free(m->dirs);
    *m = (mill_merged){0};
}

// ---- measuring ----

static mill_status measure_directory(const mill_merged *m, int kind, size_t dir, mill_outfile *lengths, mill_outfile *rows,
                                     mill_error *err)
{
    const mill_merged_kind *k = &m->kinds[kind];
    mill_docs_cursor docs;
    mill_status status = mill_docs_cursor_open(&m->dirs[dir], k->held[dir].docs, 0, &docs, err);
    for (uint64_t i = 0; status == MILL_OK && i < k->held[dir].sequences; i++) {
        uint64_t tokens = 0;
        uint32_t count = 0;
        while (status == MILL_OK && docs.docs.has_line && docs.docs.line.sample == i) {
            count += mill_doc_begins_row(&docs.docs.line);
            tokens += docs.docs.line.tokens;
            status = mill_docs_cursor_next(&docs, err);
        }
        const uint32_t length = (uint32_t)tokens;
        if (status == MILL_OK && (count == 0 || tokens > UINT32_MAX))
            status = mill_fail(err, MILL_VERIFY, "%s/%s: tells nothing, or too much, of sequence %llu", m->dirs[dir].path,
                               k->held[dir].docs, (unsigned long long)i);
        if (status == MILL_OK)
            status = mill_outfile_write(lengths, &length, sizeof length, err);
        if (status == MILL_OK)
            status = mill_outfile_write(rows, &count, sizeof count, err);
    }
    mill_docs_cursor_close(&docs);
    return status;
}

static mill_status map_file(const mill_merged *m, mill_workdir *dir, const char *path, uint64_t count, const uint32_t **out,
                            mill_error *err)
{
    int file;
    const void *map = NULL;
    if (count == 0)
        return MILL_OK;
    MILL_TRY(mill_fs_open(m->fs, mill_workdir_handle(dir), path, MILL_OPEN_READ_OWN, &file, err));
    int result = m->fs->ops->map(m->fs->self, file, count * sizeof **out, &map);
    mill_status status = mill_fs_close(m->fs, file, path, err);
    if (result < 0)
        return mill_fail_errno(err, -result, "%s: cannot map the file", path);
    *out = map;
    return status;
}

static mill_status measure_kind(mill_merged *m, mill_workdir *dir, int kind, mill_error *err)
{
    mill_merged_kind *k = &m->kinds[kind];
    mill_unit unit;
    mill_unit_file *lengths, *rows;
    char paths[2][64];
    mill_status status = MILL_OK;
    snprintf(paths[0], sizeof paths[0], STAGE "/%d.lengths", kind);
    snprintf(paths[1], sizeof paths[1], STAGE "/%d.rows", kind);
    if (mill_workdir_done(dir, "lengths", (uint64_t)kind) == NULL) {
        mill_unit_init(&unit, "lengths", (uint64_t)kind);
        MILL_TRY_GOTO(mill_unit_create(dir, &unit, paths[0], &lengths, err));
        MILL_TRY_GOTO(mill_unit_create(dir, &unit, paths[1], &rows, err));
        for (size_t i = 0; i < m->dir_count; i++)
            MILL_TRY_GOTO(measure_directory(m, kind, i, &lengths->out, &rows->out, err));
        MILL_TRY_GOTO(mill_unit_commit(dir, &unit, err));
        MILL_TRY(mill_workdir_flush(dir, err));
    }
    MILL_TRY(map_file(m, dir, paths[0], k->count, &k->lengths, err));
    return map_file(m, dir, paths[1], k->count, &k->rows, err);
cleanup:
    mill_unit_abort(dir, &unit);
    return status;
}

mill_status mill_merged_measure(mill_merged *m, mill_workdir *dir, mill_error *err)
{
    for (int kind = 0; kind < 2; kind++) {
        if (m->kinds[kind].present)
            MILL_TRY(measure_kind(m, dir, kind, err));
    }
    return MILL_OK;
}

// ---- reading ----

static void close_shard(mill_merged_cursor *c)
{
    if (c->open) {
        mill_sample_reader_close(&c->reader);
        mill_docs_cursor_close(&c->docs);
    }
    c->open = false;
}

void mill_merged_cursor_close(mill_merged_cursor *c)
{
    close_shard(c);
    mill_read_sample_free(&c->sample);
    mill_free(c->bounds);
    mill_free(c->positions);
    mill_free(c->ones);
    mill_buf_free(&c->source);
    mill_buf_free(&c->lines);
    *c = (mill_merged_cursor){0};
}

static const mill_merged_kind *kind_of(const mill_merged_cursor *c)
{
    return &c->merged->kinds[c->documents];
}

// Opens the shard that holds a sequence and reads up to it.
static mill_status seek(mill_merged_cursor *c, uint64_t number, mill_error *err)
{
    const mill_merged_kind *k = kind_of(c);
    close_shard(c);
    for (c->dir = 0; number >= k->first[c->dir + 1]; c->dir++)
        MILL_ASSERT(c->dir + 1 < c->merged->dir_count);
    const mill_finished *f = &c->merged->dirs[c->dir];
    uint64_t local = number - k->first[c->dir], samples = 0;
    const mill_finished_file *file = NULL;
    c->first = 0;
    for (c->shard = 0;; c->shard++, c->first += samples) {
        file = mill_held_file(f, &k->held[c->dir], c->shard);
        samples = file != NULL ? mill_finished_number(file->facts, "samples") : 0;
        if (file == NULL)
            return mill_fail(err, MILL_VERIFY, "%s/manifest.json: its shards hold fewer sequences than it says", f->path);
        if (local - c->first < samples)
            break;
    }
    MILL_TRY(mill_sample_reader_open(f, &k->held[c->dir], file->path, c->first, &c->reader, err));
    mill_status status = mill_docs_cursor_open(f, k->held[c->dir].docs, local, &c->docs, err);
    c->open = true;
    bool end = false;
    for (uint64_t i = c->first; status == MILL_OK && !end && i < local; i++)
        status = mill_sample_reader_next(&c->reader, &c->sample, &end, err);
    c->next = number;
    return status;
}

// Positions of the line's tokens. A line that begins no row counts on from the one before it.
static mill_status place_tokens(mill_merged_cursor *c, const mill_doc_line *line, uint64_t number, mill_error *err)
{
    const mill_positions positions = c->merged->positions;
    if (positions == MILL_POSITIONS_NONE)
        return MILL_OK;
    if (positions == MILL_POSITIONS_CONTINUE && line->doc_begin == MILL_NO_PLACE)
        return mill_line_reader_fail(&c->docs.docs.lines, err,
                                     "does not tell where the part lies in its document, as shard.positions=continue needs it; "
                                     "use restart, or make %s again",
                                     c->docs.finished->path);
    uint64_t place = positions == MILL_POSITIONS_CONTINUE ? line->doc_begin : 0;
    if (!mill_doc_begins_row(line))
        place = (uint64_t)c->positions[line->begin - 1] + 1;
    return mill_positions_fill(place, line->tokens, number, c->positions + line->begin, err);
}

// The sidecar's lines of the sequence: row borders, and the lines with its new number.
static mill_status read_docs(mill_merged_cursor *c, uint64_t number, uint32_t *row_count, mill_sample *sample, mill_error *err)
{
    const uint64_t local = number - kind_of(c)->first[c->dir];
    const mill_doc_reader *docs = &c->docs.docs;
    uint64_t covered = 0;
    *row_count = 0;
    mill_buf_clear(&c->lines);
    if (c->merged->positions != MILL_POSITIONS_NONE)
        MILL_TRY(MILL_GROW(c->positions, c->position_capacity, c->sample.count + 1, err));
    while (docs->has_line && docs->line.sample == local) {
        mill_doc_line line = docs->line;
        if (line.begin != covered || line.tokens > c->sample.count - covered)
            return mill_line_reader_fail(&docs->lines, err, "this part does not join the one before it");
        if (covered == 0) {
            mill_buf_clear(&c->source);
            MILL_TRY(mill_buf_append(&c->source, line.file, line.file_bytes, err));
            MILL_TRY(mill_buf_append(&c->source, "", 1, err));
            sample->record = line.record;
        }
        MILL_TRY(MILL_GROW(c->bounds, c->bound_capacity, (size_t)*row_count + 2, err));
        if (mill_doc_begins_row(&line))
            c->bounds[(*row_count)++] = line.begin;
        MILL_TRY(place_tokens(c, &line, number, err));
        covered += line.tokens;
        line.sample = number;
        MILL_TRY(mill_docs_append(&line, &c->lines, err));
        MILL_TRY(mill_docs_cursor_next(&c->docs, err));
    }
    if (*row_count == 0 || covered != c->sample.count)
        return mill_fail(err, MILL_VERIFY, "%s/%s: tells of %llu of the %zu tokens of sequence %llu", c->docs.finished->path,
                         c->docs.directory, (unsigned long long)covered, c->sample.count, (unsigned long long)local);
    c->bounds[*row_count] = (uint32_t)covered;
    return MILL_OK;
}

static mill_status take_mask(mill_merged_cursor *c, mill_sample *sample, mill_error *err)
{
    const bool wanted = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(kind_of(c)->held[c->dir].facts, "loss_mask"));
    if (c->sample.has_mask != wanted)
        return mill_sample_reader_fail(&c->reader, err, wanted ? "has no loss_mask, the manifest says that it has one"
                                                               : "has a loss_mask that the manifest does not know");
    if (!c->merged->has_mask)
        return MILL_OK;
    sample->loss_mask = c->sample.mask;
    if (c->sample.has_mask)
        return MILL_OK;
    MILL_TRY(MILL_GROW(c->ones, c->one_capacity, c->sample.count + 1, err));
    memset(c->ones, 1, c->sample.count); // a run without a mask learns every token
    sample->loss_mask = c->ones;
    return MILL_OK;
}

mill_status mill_merged_read(mill_merged_cursor *c, const mill_merged *m, bool documents, uint64_t number, mill_sample *sample,
                             mill_error *err)
{
    bool end = true;
    uint32_t rows;
    bool follows = c->merged == m && c->documents == documents && c->open && c->next == number;
    c->merged = m;
    c->documents = documents;
    if (follows)
        MILL_TRY(mill_sample_reader_next(&c->reader, &c->sample, &end, err));
    if (end) { // the first one, or the first of the next shard
        MILL_TRY(seek(c, number, err));
        MILL_TRY(mill_sample_reader_next(&c->reader, &c->sample, &end, err));
        if (end)
            return mill_sample_reader_fail(&c->reader, err, "is the last, the manifest says that there are more");
    }
    *sample = (mill_sample){.ids = c->sample.ids, .count = (uint32_t)c->sample.count, .number = number};
    MILL_TRY(read_docs(c, number, &rows, sample, err));
    sample->cu_seqlens = c->bounds;
    sample->row_count = rows;
    sample->positions = m->positions != MILL_POSITIONS_NONE ? c->positions : NULL;
    sample->source = documents ? (const char *)c->source.data : NULL;
    c->next = number + 1;
    return take_mask(c, sample, err);
}
