// sample_read.c: the sequences of a finished run, from whichever container holds them.
#include "pipeline/sample_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// ---- the sidecar ----

static void docs_path(const char *directory, uint64_t file, char path[128])
{
    snprintf(path, 128, "%s/docs_%05llu.jsonl.zst", directory, (unsigned long long)file);
}

// Opens the next file that has a line; none is left: the cursor has no line.
static mill_status open_file(mill_docs_cursor *c, mill_error *err)
{
    char path[128];
    for (;; c->file++) {
        mill_doc_reader_close(&c->docs);
        c->docs = (mill_doc_reader){0};
        c->open = false;
        docs_path(c->directory, c->file, path);
        if (mill_finished_find(c->finished, path) == NULL)
            return MILL_OK;
        c->open = true;
        MILL_TRY(mill_doc_reader_open(c->finished, path, &c->docs, err));
        if (c->docs.has_line)
            return MILL_OK;
    }
}

mill_status mill_docs_cursor_open(const mill_finished *finished, const char *directory, uint64_t sequence, mill_docs_cursor *out,
                                  mill_error *err)
{
    char path[128];
    uint64_t first = 0;
    *out = (mill_docs_cursor){.finished = finished};
    snprintf(out->directory, sizeof out->directory, "%s", directory);
    for (;; out->file++) {
        docs_path(directory, out->file, path);
        const mill_finished_file *file = mill_finished_find(finished, path);
        uint64_t samples = file != NULL ? mill_finished_number(file->facts, "samples") : 0;
        if (file == NULL || sequence - first < samples)
            break;
        first += samples;
    }
    MILL_TRY(open_file(out, err));
    while (out->docs.has_line && out->docs.line.sample < sequence)
        MILL_TRY(mill_docs_cursor_next(out, err));
    return MILL_OK;
}

mill_status mill_docs_cursor_next(mill_docs_cursor *c, mill_error *err)
{
    MILL_TRY(mill_doc_reader_next(&c->docs, err));
    if (c->docs.has_line)
        return MILL_OK;
    c->file++;
    return open_file(c, err);
}

void mill_docs_cursor_close(mill_docs_cursor *c)
{
    if (c->open)
        mill_doc_reader_close(&c->docs);
    c->open = false;
}

// ---- containers ----

static bool read_held(const cJSON *facts, mill_held *out)
{
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(facts, "name"), *holds = cJSON_GetObjectItemCaseSensitive(facts, "holds");
    const cJSON *docs = cJSON_GetObjectItemCaseSensitive(facts, "docs");
    int found = cJSON_IsString(name) ? mill_container_find(name->valuestring, strlen(name->valuestring)) : -1;
    if (found < 0 || !cJSON_IsString(holds) || !cJSON_IsString(docs) || strlen(docs->valuestring) >= 32)
        return false;
    *out = (mill_held){.container = mill_containers[found],
                       .facts = facts,
                       .docs = docs->valuestring,
                       .documents = strcmp(holds->valuestring, "documents") == 0,
                       .borders = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(facts, "borders")),
                       .sequences = mill_finished_number(facts, "sequences"),
                       .tokens = mill_finished_number(facts, "tokens"),
                       .shards = mill_finished_number(facts, "shards")};
    return true;
}

mill_status mill_held_list(const mill_finished *f, mill_held **out, size_t *count, mill_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(f->manifest, "containers"), *item;
    size_t capacity = 0;
    *out = NULL;
    *count = 0;
    mill_status status = cJSON_IsArray(list) ? MILL_OK
                                             : mill_fail(err, MILL_VERIFY, "%s/manifest.json: has no list of containers", f->path);
    cJSON_ArrayForEach(item, list)
    {
        MILL_TRY_GOTO(MILL_GROW(*out, capacity, *count + 1, err));
        if (!read_held(item, &(*out)[(*count)++])) {
            status = mill_fail(err, MILL_VERIFY, "%s/manifest.json: lists a container that this version does not know", f->path);
            goto cleanup;
        }
    }
cleanup:
    if (status != MILL_OK) {
        mill_free(*out);
        *out = NULL;
    }
    return status;
}

int mill_held_best(const mill_held *list, size_t count)
{
    int best = -1, best_rank = 4;
    for (size_t i = 0; i < count; i++) {
        int rank = 2 * list[i].documents + !list[i].borders;
        if (rank < best_rank) {
            best = (int)i;
            best_rank = rank;
        }
    }
    return best;
}

const mill_finished_file *mill_held_file(const mill_finished *f, const mill_held *held, uint64_t shard)
{
    // The options say how the first file of MDS is called; here either name may be there.
    static const int levels[] = {0, 1};
    for (size_t i = 0; i < 2; i++) {
        const mill_container_options options = {.shard.mds_zstd_level = levels[i]};
        char path[128];
        mill_container_path(held->container, &options, shard, 0, path, sizeof path);
        const mill_finished_file *file = mill_finished_find(f, path);
        if (file != NULL)
            return file;
    }
    return NULL;
}

// ---- sequences ----

mill_status mill_sample_reader_open(const mill_finished *finished, const mill_held *held, const char *path, uint64_t sequence,
                                    mill_sample_reader *out, mill_error *err)
{
    *out = (mill_sample_reader){
        .finished = finished, .container = held->container, .sequence = sequence, .borders = held->borders};
    snprintf(out->path, sizeof out->path, "%s", path);
    mill_status status = MILL_OK;
    if (held->container->read_open == NULL)
        return mill_line_reader_open(finished, path, &out->lines, err);
    MILL_TRY_GOTO(mill_container_read(held->container, finished->fs, finished->dir, finished->path, path, &out->shard, err));
    if (!held->borders)
        MILL_TRY_GOTO(mill_docs_cursor_open(finished, held->docs, sequence, &out->docs, err));
    return MILL_OK;
cleanup:
    mill_sample_reader_close(out);
    return status;
}

void mill_sample_reader_close(mill_sample_reader *r)
{
    if (r->container == NULL)
        return;
    if (r->container->read_open == NULL)
        mill_line_reader_close(&r->lines);
    else
        r->container->read_close(r->shard);
    r->shard = NULL;
    mill_docs_cursor_close(&r->docs);
}

mill_status mill_sample_reader_fail(const mill_sample_reader *r, mill_error *err, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (r->container->read_open == NULL)
        return mill_line_reader_fail(&r->lines, err, "%s", what);
    return mill_fail(err, MILL_VERIFY, "%s/%s: sequence %llu of the run: %s", r->finished->path, r->path,
                     (unsigned long long)r->sequence - 1, what);
}

static mill_status next_line(mill_sample_reader *r, mill_read_sample *out, bool *end, mill_error *err)
{
    const uint8_t *line;
    size_t bytes;
    MILL_TRY(mill_line_reader_next(&r->lines, &line, &bytes, err));
    *end = line == NULL;
    return *end ? MILL_OK : mill_read_sample_parse(&r->lines, line, bytes, false, out, err);
}

// As many tokens as the sidecar has for this sequence.
static mill_status next_of_stream(mill_sample_reader *r, mill_read_sample *out, bool *end, mill_error *err)
{
    uint64_t tokens = 0;
    mill_read_sample piece = {0};
    mill_status status = MILL_OK;
    mill_read_sample_clear(out);
    while (r->docs.docs.has_line && r->docs.docs.line.sample == r->sequence) {
        tokens += r->docs.docs.line.tokens;
        MILL_TRY(mill_docs_cursor_next(&r->docs, err));
    }
    while (status == MILL_OK && out->count < tokens) {
        uint64_t left = tokens - out->count;
        status = r->container->read_next(r->shard, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX, &piece, end, err);
        if (status != MILL_OK || *end)
            break;
        uint32_t *place = mill_read_sample_grow(out, piece.count, err);
        status = place != NULL ? MILL_OK : MILL_NOMEM;
        if (place != NULL)
            memcpy(place, piece.ids, piece.count * sizeof *place);
    }
    mill_read_sample_free(&piece);
    *end = tokens == 0 || out->count == 0;
    if (status == MILL_OK && out->count != 0 && out->count != tokens)
        return mill_fail(err, MILL_VERIFY, "%s/%s: ends in the middle of sequence %llu of the run, by its sidecar",
                         r->finished->path, r->path, (unsigned long long)r->sequence);
    return status;
}

mill_status mill_sample_reader_next(mill_sample_reader *r, mill_read_sample *out, bool *end, mill_error *err)
{
    if (r->container->read_open == NULL)
        MILL_TRY(next_line(r, out, end, err));
    else if (r->borders)
        MILL_TRY(r->container->read_next(r->shard, UINT32_MAX, out, end, err));
    else
        MILL_TRY(next_of_stream(r, out, end, err));
    r->sequence += !*end;
    return MILL_OK;
}
