// pass_encode.c: FIM and encode -> token units. A token unit is mapped again by the packing barrier and the shard writers:
//
//   token_header | rows (mill_row) | repo, path, licence spans by segment row | meta bytes, padded to 8 | ids (2 or 4 bytes each)
#include <stdio.h>
#include <string.h>

#include "pipeline/run.h"

typedef struct token_header {
    char magic[8];
    uint32_t version, records;
    uint64_t row_count, id_count, meta_bytes;
    uint32_t id_bytes, reserved;
} token_header;
_Static_assert(sizeof(token_header) == 48, "the header is written as it lies in memory");
static const char magic[8] = {'M', 'I', 'L', 'L', 'T', 'O', 'K', '1'};

typedef struct encode_worker {
    mill_encode *encode;
    mill_batch batch;
    mill_buf raw, out;
    mill_rows rows;
    bool *keep;
    size_t keep_capacity;
} encode_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    encode_worker *w = state;
    mill_encode_close(w->encode);
    mill_batch_free(&w->batch);
    mill_buf_free(&w->raw);
    mill_buf_free(&w->out);
    mill_rows_free(&w->rows);
    mill_free(w->keep);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)number;
    mill_run_state *run = context;
    encode_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting an encoder");
    *state = w;
    mill_batch_init(&w->batch);
    return mill_encode_open(&run->recipe.encode, &run->recipe.fim, run->tokenizer, run->languages, &w->encode, err);
}

static mill_status append_rows(const mill_rows *rows, mill_buf *out, mill_error *err)
{
    for (size_t i = 0; i < rows->count; i++) {
        mill_row row;
        memset(&row, 0, sizeof row); // padding reaches the disk
        const mill_row *from = &rows->rows[i];
        row.first_token = from->first_token;
        row.tokens = from->tokens;
        row.record = from->record;
        row.piece = from->piece;
        row.mode = from->mode;
        row.last = from->last;
        row.text_begin = from->text_begin;
        row.text_end = from->text_end;
        row.cut_begin = from->cut_begin;
        row.cut_end = from->cut_end;
        MILL_TRY(mill_buf_append(out, &row, sizeof row, err));
    }
    return MILL_OK;
}

static mill_status append_ids(const mill_ids *ids, uint32_t id_bytes, mill_buf *out, mill_error *err)
{
    if (id_bytes == 4)
        return mill_buf_append(out, ids->data, ids->count * 4, err);
    MILL_TRY(mill_buf_reserve(out, ids->count * 2, err));
    uint16_t *to = (uint16_t *)(void *)(out->data + out->bytes);
    for (size_t i = 0; i < ids->count; i++)
        to[i] = (uint16_t)ids->data[i];
    out->bytes += ids->count * 2;
    return MILL_OK;
}

static mill_status serialise(mill_run_state *run, encode_worker *w, mill_error *err)
{
    const mill_batch *b = &w->batch;
    token_header header = {.version = 1,
                           .records = b->count,
                           .row_count = w->rows.count,
                           .id_count = w->rows.ids.count,
                           .meta_bytes = (b->meta.bytes + 7) & ~(uint64_t)7,
                           .id_bytes = mill_tokenizer_vocab_size(run->tokenizer) <= 65536 ? 2 : 4};
    memcpy(header.magic, magic, sizeof magic);
    static const uint8_t zeros[8] = {0};
    mill_buf_clear(&w->out);
    MILL_TRY(mill_buf_append(&w->out, &header, sizeof header, err));
    MILL_TRY(append_rows(&w->rows, &w->out, err));
    MILL_TRY(mill_buf_append(&w->out, b->repo, b->count * sizeof *b->repo, err));
    MILL_TRY(mill_buf_append(&w->out, b->path, b->count * sizeof *b->path, err));
    MILL_TRY(mill_buf_append(&w->out, b->licence, b->count * sizeof *b->licence, err));
    MILL_TRY(mill_buf_append(&w->out, b->meta.data, b->meta.bytes, err));
    MILL_TRY(mill_buf_append(&w->out, zeros, header.meta_bytes - b->meta.bytes, err));
    return append_ids(&w->rows.ids, header.id_bytes, &w->out, err);
}

static cJSON *counts_json(const mill_rows *rows)
{
    cJSON *json = cJSON_CreateObject();
    bool good = cJSON_AddNumberToObject(json, "documents", (double)rows->documents) != NULL &&
                cJSON_AddNumberToObject(json, "transformed", (double)rows->transformed) != NULL &&
                cJSON_AddNumberToObject(json, "tokens", (double)rows->encoded_tokens) != NULL &&
                cJSON_AddNumberToObject(json, "dropped_rows", (double)rows->dropped_rows) != NULL &&
                cJSON_AddNumberToObject(json, "dropped_tokens", (double)rows->dropped_tokens) != NULL;
    if (!good) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

static mill_status commit_unit(mill_run_state *run, encode_worker *w, uint64_t number, mill_error *err)
{
    mill_unit unit;
    char path[64];
    mill_unit_init(&unit, "encode", number);
    unit.payload = counts_json(&w->rows);
    snprintf(path, sizeof path, MILL_STATE "/stage/encode/%06llu.tokens", (unsigned long long)number);
    mill_status status = unit.payload == NULL ? mill_fail_nomem(err, "the counts of a unit") : MILL_OK;
    if (status == MILL_OK)
        status = mill_unit_add(run->dir, &unit, path, w->out.data, w->out.bytes, err);
    if (status != MILL_OK) {
        mill_unit_abort(run->dir, &unit);
        return status;
    }
    return mill_unit_commit(run->dir, &unit, err);
}

static mill_status encode_unit(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = context;
    encode_worker *w = state;
    uint64_t first = run->unit_first[number];
    mill_run_advance(run, run->unit_first[number + 1] - first);
    if (mill_workdir_done(run->dir, "encode", number) != NULL)
        return MILL_OK;
    MILL_TRY(mill_run_load_segment(run, number, &w->raw, &w->batch, err));
    MILL_TRY(MILL_GROW(w->keep, w->keep_capacity, w->batch.count, err));
    for (uint32_t i = 0; i < w->batch.count; i++)
        w->keep[i] = run->docs[first + i].verdict == MILL_KEPT;
    mill_rows_clear(&w->rows);
    uint64_t begin = mill_time_begin();
    const mill_line_cut *cuts = run->cuts != NULL ? run->cuts + first : NULL;
    MILL_TRY(mill_encode_batch(w->encode, &w->batch, w->keep, cuts, &w->rows, err));
    mill_time_end(run, MILL_TIME_ENCODE, begin, w->batch.text.bytes, w->rows.documents);
    MILL_TRY(serialise(run, w, err));
    return commit_unit(run, w, number, err);
}

// `rng: python`: the guide encodes language by language, files sorted by "LANGUAGE_dedup.jsonl", with the stream of its fourth step.
static mill_status draw_cuts(mill_run_state *run, mill_error *err)
{
    if (run->recipe.rng != MILL_RNG_PYTHON)
        return MILL_OK;
    run->cuts = mill_alloc_zero(run->doc_count, sizeof *run->cuts);
    if (run->cuts == NULL)
        return mill_fail_nomem(err, "the cuts of documents");
    uint64_t *order = NULL, count;
    MILL_TRY(mill_run_order_by_language(run, '_', &order, &count, err));
    uint64_t begin = mill_time_begin();
    mill_mt19937 mt;
    mill_mt19937_seed_python(&mt, run->recipe.python_seed * 1000 + 3);
    for (uint64_t i = 0; i < count; i++) {
        mill_fim_mode mode;
        mill_line_cut *cut = &run->cuts[order[i]];
        mill_fim_draw_python(&run->recipe.fim, &mt, run->docs[order[i]].lines, &mode, &cut->first, &cut->second);
    }
    mill_time_end(run, MILL_TIME_FIM, begin, 0, count);
    mill_free(order);
    return MILL_OK;
}

mill_status mill_pass_encode(mill_run_state *run, mill_error *err)
{
    MILL_TRY(draw_cuts(run, err));
    mill_run_part(run, "encode", "records", run->doc_count);
    const mill_map map = {.threads = run->threads,
                          .units = run->unit_count,
                          .stop = run->options->stop,
                          .context = run,
                          .open = open_worker,
                          .close = close_worker,
                          .work = encode_unit};
    MILL_TRY(mill_map_run(&map, err));
    return mill_workdir_flush(run->dir, err);
}

// ---- mapping token units ---------------------------------------------------------------------------------------------------------

static mill_status parse_unit(mill_token_unit *unit, const char *path, mill_error *err)
{
    token_header header;
    if (unit->map_bytes < sizeof header)
        return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", path);
    memcpy(&header, unit->map, sizeof header);
    uint64_t rows = header.row_count * sizeof(mill_row), spans = (uint64_t)header.records * sizeof(mill_span);
    uint64_t wanted = sizeof header + rows + 3 * spans + header.meta_bytes + header.id_count * header.id_bytes;
    if (memcmp(header.magic, magic, sizeof magic) != 0 || header.version != 1 || wanted != unit->map_bytes)
        return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", path);
    const uint8_t *at = unit->map + sizeof header;
    unit->rows = (const mill_row *)(const void *)at;
    unit->row_count = header.row_count;
    unit->records = header.records;
    unit->repo = (const mill_span *)(const void *)(at + rows);
    unit->path = unit->repo + header.records;
    unit->licence = unit->path + header.records;
    unit->meta = (const char *)at + rows + 3 * spans;
    unit->ids = at + rows + 3 * spans + header.meta_bytes;
    unit->id_bytes = header.id_bytes;
    return MILL_OK;
}

static mill_status map_unit(mill_run_state *run, uint64_t number, mill_error *err)
{
    char path[64];
    int file;
    mill_token_unit *unit = &run->tokens[number];
    const cJSON *record = mill_workdir_done(run->dir, "encode", number);
    MILL_ASSERT(record != NULL);
    const cJSON *first = cJSON_GetObjectItemCaseSensitive(record, "files")->child;
    unit->map_bytes = (uint64_t)cJSON_GetObjectItemCaseSensitive(first, "bytes")->valuedouble;
    snprintf(path, sizeof path, MILL_STATE "/stage/encode/%06llu.tokens", (unsigned long long)number);
    MILL_TRY(mill_fs_open(run->fs, mill_workdir_handle(run->dir), path, MILL_OPEN_READ_OWN, &file, err));
    const void *map = NULL;
    int result = run->fs->ops->map(run->fs->self, file, unit->map_bytes, &map);
    mill_status status = mill_fs_close(run->fs, file, path, err);
    if (result < 0)
        return mill_fail_errno(err, -result, "%s: cannot map the file", path);
    unit->map = map;
    MILL_TRY(status);
    return parse_unit(unit, path, err);
}

mill_status mill_run_map_tokens(mill_run_state *run, mill_error *err)
{
    if (run->tokens != NULL)
        return MILL_OK;
    run->tokens = mill_alloc_zero(run->unit_count, sizeof *run->tokens);
    if (run->tokens == NULL)
        return mill_fail_nomem(err, "the table of token units");
    for (uint64_t i = 0; i < run->unit_count; i++)
        MILL_TRY(map_unit(run, i, err));
    return MILL_OK;
}

void mill_run_unmap_tokens(mill_run_state *run)
{
    for (uint64_t i = 0; run->tokens != NULL && i < run->unit_count; i++) {
        if (run->tokens[i].map != NULL)
            run->fs->ops->unmap(run->fs->self, run->tokens[i].map, run->tokens[i].map_bytes);
    }
    mill_free(run->tokens);
    run->tokens = NULL;
}

uint32_t mill_token_id(const mill_token_unit *unit, uint64_t index)
{
    if (unit->id_bytes == 2)
        return ((const uint16_t *)(const void *)unit->ids)[index];
    uint32_t id;
    memcpy(&id, unit->ids + index * 4, sizeof id);
    return id;
}
