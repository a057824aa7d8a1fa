// token_unit.c: a unit's rows of token ids on disk, mapped again by the packing barrier and the shard
// writers:
//
//   token_header | rows (mill_row) | repo, path, licence spans by record | meta bytes, padded to 8 | docs by record
//   (8 bytes each), if they do not follow from the unit | files (mill_row) | runs (4
//   bytes each), padded to 8 | ids (2 or 4 bytes each)
#include "pipeline/token_unit.h"

#include "pipeline/repos.h"

#include <stdio.h>
#include <string.h>

typedef struct token_header {
    char magic[8];
    uint32_t version, records;
    uint64_t row_count, id_count, meta_bytes;
    uint64_t run_count, doc_count, file_count;
    uint32_t id_bytes, reserved;
} token_header;
_Static_assert(sizeof(token_header) == 72, "the header is written as it lies in memory");
static const char magic[8] = {'M', 'I', 'L', 'L', 'T', 'O', 'K', '1'};

static mill_status append_rows(const mill_row *rows, size_t count, mill_buf *out, mill_error *err)
{
    for (size_t i = 0; i < count; i++) {
        mill_row row;
        memset(&row, 0, sizeof row); // padding reaches the disk
        const mill_row *from = &rows[i];
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
        row.first_run = from->first_run;
        row.runs = from->runs;
        row.first_file = from->first_file;
        row.files = from->files;
        row.doc_begin = from->doc_begin;
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

static mill_status append_meta(const mill_token_meta *meta, mill_buf *out, mill_error *err)
{
    static const uint8_t zeros[8] = {0};
    const mill_span *columns[] = {meta->repo, meta->path, meta->licence};
    size_t bytes = meta->records * sizeof(mill_span);
    for (size_t i = 0; i < 3; i++) {
        if (columns[i] != NULL) {
            MILL_TRY(mill_buf_append(out, columns[i], bytes, err));
            continue;
        }
        MILL_TRY(mill_buf_reserve(out, bytes, err));
        if (bytes != 0)
            memset(out->data + out->bytes, 0, bytes);
        out->bytes += bytes;
    }
    MILL_TRY(mill_buf_append(out, meta->bytes, meta->byte_count, err));
    return mill_buf_append(out, zeros, (8 - meta->byte_count % 8) % 8, err);
}

mill_status mill_token_unit_write(const mill_rows *rows, const mill_token_meta *meta, uint32_t vocab_size, mill_buf *out,
                                  mill_error *err)
{
    static const uint32_t zero = 0;
    token_header header = {.version = 4,
                           .records = meta->records,
                           .row_count = rows->count,
                           .id_count = rows->ids.count,
                           .run_count = rows->run_count,
                           .doc_count = meta->docs != NULL ? meta->records : 0,
                           .file_count = rows->file_count,
                           .meta_bytes = (meta->byte_count + 7) & ~(uint64_t)7,
                           .id_bytes = vocab_size <= 65536 ? 2 : 4};
    memcpy(header.magic, magic, sizeof magic);
    mill_buf_clear(out);
    MILL_TRY(mill_buf_append(out, &header, sizeof header, err));
    MILL_TRY(append_rows(rows->rows, rows->count, out, err));
    MILL_TRY(append_meta(meta, out, err));
    MILL_TRY(mill_buf_append(out, meta->docs, header.doc_count * sizeof *meta->docs, err));
    MILL_TRY(append_rows(rows->files, rows->file_count, out, err));
    MILL_TRY(mill_buf_append(out, rows->runs, rows->run_count * sizeof *rows->runs, err));
    MILL_TRY(mill_buf_append(out, &zero, rows->run_count % 2 * sizeof zero, err));
    return append_ids(&rows->ids, header.id_bytes, out, err);
}

void mill_token_unit_path(const char *stage, uint64_t number, char path[64])
{
    snprintf(path, 64, MILL_STATE "/stage/%s/%06llu.tokens", stage, (unsigned long long)number);
}

cJSON *mill_token_counts_json(const mill_rows *rows)
{
    cJSON *json = cJSON_CreateObject();
    bool good = cJSON_AddNumberToObject(json, "documents", (double)rows->documents) != NULL &&
                cJSON_AddNumberToObject(json, "transformed", (double)rows->transformed) != NULL &&
                cJSON_AddNumberToObject(json, "normalized", (double)rows->normalized) != NULL &&
                cJSON_AddNumberToObject(json, "tokens", (double)rows->encoded_tokens) != NULL &&
                cJSON_AddNumberToObject(json, "dropped_rows", (double)rows->dropped_rows) != NULL &&
                cJSON_AddNumberToObject(json, "dropped_tokens", (double)rows->dropped_tokens) != NULL;
    if (!good) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

// ---- mapping --------------------------------------------------------------------------------------------------------------------

static mill_status parse_unit(mill_token_unit *unit, const char *path, mill_error *err)
{
    token_header header;
    if (unit->file.bytes < sizeof header)
        return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", path);
    memcpy(&header, unit->file.data, sizeof header);
    uint64_t rows = header.row_count * sizeof(mill_row), spans = (uint64_t)header.records * sizeof(mill_span);
    uint64_t runs = (header.run_count + header.run_count % 2) * sizeof *unit->runs;
    const uint64_t docs = header.doc_count * sizeof(uint64_t), files = header.file_count * sizeof(mill_row);
    uint64_t wanted = sizeof header + rows + 3 * spans + header.meta_bytes + docs + files + runs;
    wanted += header.id_count * header.id_bytes;
    if (memcmp(header.magic, magic, sizeof magic) != 0 || header.version != 4 || wanted != unit->file.bytes)
        return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", path);
    const uint8_t *at = unit->file.data + sizeof header;
    const uint64_t docs_at = rows + 3 * spans + header.meta_bytes, files_at = docs_at + docs;
    unit->rows = (const mill_row *)(const void *)at;
    unit->row_count = header.row_count;
    unit->records = header.records;
    unit->repo = (const mill_span *)(const void *)(at + rows);
    unit->path = unit->repo + header.records;
    unit->licence = unit->path + header.records;
    unit->meta = (const char *)at + rows + 3 * spans;
    unit->runs = (const uint32_t *)(const void *)(at + files_at + files);
    unit->ids = at + files_at + files + runs;
    unit->docs = header.doc_count != 0 ? (const uint64_t *)(const void *)(at + docs_at) : NULL;
    unit->files = (const mill_row *)(const void *)(at + files_at);
    unit->id_bytes = header.id_bytes;
    return MILL_OK;
}

static mill_status map_unit(mill_run_state *run, uint64_t number, mill_error *err)
{
    char path[64];
    mill_token_unit *unit = &run->tokens[number];
    mill_token_unit_path(run->token_stage, number, path);
    MILL_TRY(mill_workdir_view(run->dir, path, &unit->file, err));
    MILL_TRY(parse_unit(unit, path, err));
    mill_workdir_forget(run->dir, &unit->file); // where the page cache has large pages, the head alone brings megabytes
    return MILL_OK;
}

mill_status mill_token_unit_commit(mill_run_state *run, uint64_t number, const mill_rows *rows, mill_buf *content,
                                   bool spends, mill_error *err)
{
    mill_unit unit;
    char path[64];
    mill_unit_init(&unit, run->token_stage, number);
    unit.payload = mill_token_counts_json(rows);
    if (spends) {
        mill_run_segment_path(number, path);
        mill_unit_spend(&unit, path);
        mill_run_sketch_path(number, path);
        mill_unit_spend(&unit, path);
    }
    mill_token_unit_path(run->token_stage, number, path);
    mill_status status = unit.payload == NULL ? mill_fail_nomem(err, "the counts of a unit") : MILL_OK;
    if (status == MILL_OK)
        status = mill_unit_add(run->dir, &unit, path, content, err);
    if (status != MILL_OK) {
        mill_unit_abort(run->dir, &unit);
        return status;
    }
    return mill_unit_commit(run->dir, &unit, err);
}

mill_status mill_run_map_tokens(mill_run_state *run, mill_error *err)
{
    if (run->tokens != NULL)
        return MILL_OK;
    run->token_units = run->repos != NULL ? run->repos->units : run->unit_count;
    run->tokens = mill_alloc_zero(run->token_units, sizeof *run->tokens);
    if (run->tokens == NULL)
        return mill_fail_nomem(err, "the table of token units");
    for (uint64_t i = 0; i < run->token_units; i++)
        MILL_TRY(map_unit(run, i, err));
    return MILL_OK;
}

const mill_token_unit *mill_run_tokens(mill_run_state *run, uint64_t number)
{
    mill_token_unit *unit = &run->tokens[number];
    if (atomic_load_explicit(&unit->touched, memory_order_relaxed) || atomic_exchange(&unit->touched, true))
        return unit;
    const uint64_t bytes = atomic_fetch_add(&run->tokens_touched, unit->file.bytes) + unit->file.bytes;
    if (bytes < run->memory_bytes / 8)
        return unit;
    atomic_store(&run->tokens_touched, 0);
    for (uint64_t i = 0; i < run->token_units; i++) {
        if (atomic_exchange(&run->tokens[i].touched, false))
            mill_workdir_forget(run->dir, &run->tokens[i].file);
    }
    return unit;
}

void mill_run_unmap_tokens(mill_run_state *run)
{
    for (uint64_t i = 0; run->tokens != NULL && i < run->token_units; i++)
        mill_workdir_unview(run->dir, &run->tokens[i].file);
    mill_free(run->tokens);
    run->tokens = NULL;
}

void mill_token_mask(const mill_token_unit *unit, const mill_row *row, uint32_t begin, uint32_t count,
                     uint8_t *out)
{
    if (row->runs == 0) {
        memset(out, 1, count);
        return;
    }
    const uint32_t *runs = unit->runs + row->first_run;
    uint32_t at = 0, end = begin + count;
    for (uint32_t i = 0; i < row->runs && at < end; i++) {
        const uint32_t from = at > begin ? at : begin, to = at + runs[i] < end ? at + runs[i] : end;
        if (from < to)
            memset(out + (from - begin), (int)(i & 1), to - from);
        at += runs[i];
    }
}

void mill_token_ids(const mill_token_unit *unit, uint64_t first, uint32_t count, uint32_t *out)
{
    if (unit->id_bytes == 4) {
        memcpy(out, unit->ids + first * 4, (size_t)count * 4);
        return;
    }
    const uint16_t *ids = (const uint16_t *)(const void *)unit->ids + first;
    for (uint32_t i = 0; i < count; i++)
        out[i] = ids[i];
}

uint32_t mill_token_id(const mill_token_unit *unit, uint64_t index)
{
    if (unit->id_bytes == 2)
        return ((const uint16_t *)(const void *)unit->ids)[index];
    uint32_t id;
    memcpy(&id, unit->ids + index * 4, sizeof id);
    return id;
}
