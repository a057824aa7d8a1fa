// shard_parquet.c: rows of samples as Parquet: input_ids (list of uint16 or uint32), length, and as wanted cu_seqlens, position_ids
// and loss_mask, written and read by the object of core/parquet_shim.h.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/parquet_load.h"
#include "shard/container_io.h"
#include "shard/shard_containers.h"

#define READ_MAX (UINT64_C(1) << 31) // bytes of a page

typedef struct writer {
    mill_container_options options;
    mill_extent_check check;
    mill_outfile *file;
    const mill_parquet_write_api *api;
    mill_parquet_writer *rows;
    mill_error failure; // of the file, noted on the far side
} writer;

static int write_file(void *self, const void *data, uint64_t bytes)
{
    writer *w = self;
    return mill_outfile_write(w->file, data, bytes, &w->failure) == MILL_OK ? 0 : -1;
}

static mill_status outcome(writer *w, mill_parquet_result result, const char *why, mill_error *err)
{
    if (result == MILL_PARQUET_OK)
        return MILL_OK;
    if (result == MILL_PARQUET_NO_MEMORY)
        return mill_fail_nomem(err, "writing Parquet");
    if (result == MILL_PARQUET_IO) {
        if (err != NULL)
            *err = w->failure;
        return w->failure.status;
    }
    return mill_fail(err, MILL_INTERNAL, "%s: Arrow C++: %s", w->file->name, why);
}

static void close_writer(void *self)
{
    writer *w = self;
    if (w == NULL)
        return;
    if (w->api != NULL)
        w->api->close(w->rows);
    mill_free(w);
}

static mill_status open_writer(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                               void **out, mill_error *err)
{
    char why[MILL_PARQUET_WHY] = "";
    const mill_parquet_api *api;
    writer *w = mill_alloc_zero(1, sizeof *w);
    *out = w;
    if (w == NULL)
        return mill_fail_nomem(err, "opening a Parquet shard");
    MILL_TRY(mill_parquet_load(&api, err));
    w->options = *options;
    w->check.extent = extent;
    w->file = files[0];
    w->api = api->write;
    const mill_parquet_sink sink = {.self = w, .write = write_file, .allocate = mill_alloc, .release = mill_free};
    const mill_parquet_rows rows = {.id_bits = 8 * mill_id_bytes(options->shard.vocab_size),
                                    .boundaries = options->shard.boundaries,
                                    .positions = options->shard.positions,
                                    .loss_mask = options->shard.loss_mask,
                                    .zstd_level = options->shard.zstd_level,
                                    .group_rows = options->shard.parquet_group_rows,
                                    .created_by = "shardmill version " MILL_VERSION};
    return outcome(w, w->api->open(&sink, &rows, &w->rows, why), why, err);
}

static mill_status add(void *self, const mill_sample *sample, mill_error *err)
{
    writer *w = self;
    char why[MILL_PARQUET_WHY] = "";
    MILL_TRY(mill_check_sample(&w->options.shard, sample, err));
    MILL_TRY(mill_extent_take(&w->check, sample, err));
    const mill_parquet_row row = {.ids = sample->ids,
                                  .count = sample->count,
                                  .bounds = sample->cu_seqlens,
                                  .bound_count = sample->row_count + 1,
                                  .positions = sample->positions,
                                  .mask = sample->loss_mask};
    return outcome(w, w->api->row(w->rows, &row, why), why, err);
}

static mill_status finish(void *self, uint64_t number, cJSON *facts, mill_error *err)
{
    (void)number;
    writer *w = self;
    char why[MILL_PARQUET_WHY] = "";
    MILL_TRY(mill_extent_end(&w->check, err));
    MILL_TRY(outcome(w, w->api->finish(w->rows, why), why, err));
    const char *dtype = mill_id_bytes(w->options.shard.vocab_size) == 2 ? "uint16" : "uint32";
    return cJSON_AddStringToObject(facts, "dtype", dtype) != NULL ? MILL_OK : mill_fail_nomem(err, "the facts of a shard");
}

// ---- reading ----

typedef enum column { COLUMN_IDS, COLUMN_LENGTH, COLUMN_BOUNDS, COLUMN_POSITIONS, COLUMN_MASK, COLUMNS } column;

static const struct {
    const char *name, *leaf;
} names[COLUMNS] = {{"input_ids", "input_ids.list.element"},
                    {"length", "length"},
                    {"cu_seqlens", "cu_seqlens.list.element"},
                    {"position_ids", "position_ids.list.element"},
                    {"loss_mask", "loss_mask.list.element"}};

typedef struct reader {
    mill_infile file; // opened, never read through its buffer
    const mill_parquet_api *api;
    mill_parquet_file *parquet;
    mill_parquet_cursor *cursor;
    uint32_t group, groups, leaves[COLUMNS], leaf_count;
    column columns[COLUMNS]; // of the leaves
    mill_error failure;
} reader;

static int64_t read_file(void *self, void *data, uint64_t bytes, uint64_t offset)
{
    reader *r = self;
    if (offset >= r->file.bytes)
        return 0;
    bytes = bytes < r->file.bytes - offset ? bytes : r->file.bytes - offset;
    bool good = mill_fs_pread_all(r->file.fs, r->file.file, r->file.name, data, bytes, offset, &r->failure) == MILL_OK;
    return good ? (int64_t)bytes : -1;
}

static mill_status read_outcome(reader *r, mill_parquet_result result, const char *why, mill_error *err)
{
    if (result == MILL_PARQUET_OK || result == MILL_PARQUET_END)
        return MILL_OK;
    if (result == MILL_PARQUET_NO_MEMORY)
        return mill_fail_nomem(err, "reading Parquet");
    if (result == MILL_PARQUET_IO) {
        if (err != NULL)
            *err = r->failure;
        return r->failure.status;
    }
    return mill_infile_fail(&r->file, err, "%.180s", why);
}

static void close_reader(void *self)
{
    reader *r = self;
    if (r == NULL)
        return;
    if (r->api != NULL) {
        r->api->close_cursor(r->cursor);
        r->api->close(r->parquet);
    }
    mill_infile_close(&r->file);
    mill_free(r);
}

static mill_status find_columns(reader *r, mill_error *err)
{
    uint32_t count = r->api->leaf_count(r->parquet);
    for (uint32_t leaf = 0; leaf < count && r->leaf_count < COLUMNS; leaf++) {
        const mill_parquet_leaf found = r->api->leaf(r->parquet, leaf);
        for (int c = 0; c < COLUMNS; c++) {
            if (found.kind != MILL_PARQUET_NUMBER || strcmp(found.path, names[c].leaf) != 0)
                continue;
            r->columns[r->leaf_count] = (column)c;
            r->leaves[r->leaf_count++] = leaf;
        }
    }
    if (r->leaf_count != count || r->leaf_count < 2 || r->columns[0] != COLUMN_IDS || r->columns[1] != COLUMN_LENGTH)
        return mill_infile_fail(&r->file, err, "its columns are none that shardmill writes");
    r->groups = r->api->group_count(r->parquet);
    return MILL_OK;
}

static mill_status open_parquet(reader *r, mill_error *err)
{
    char why[MILL_PARQUET_WHY] = "";
    const mill_parquet_host host = {.self = r,
                                    .pread = read_file,
                                    .allocate = mill_alloc,
                                    .release = mill_free,
                                    .file_bytes = r->file.bytes,
                                    .allocation_max = READ_MAX};
    MILL_TRY(mill_parquet_load(&r->api, err));
    MILL_TRY(read_outcome(r, r->api->open(&host, &r->parquet, why), why, err));
    return find_columns(r, err);
}

static mill_status open_reader(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                               mill_error *err)
{
    reader *r = mill_alloc_zero(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return mill_fail_nomem(err, "opening a Parquet shard");
    mill_status status = mill_infile_open(&r->file, fs, dir, where, paths[0], err);
    if (status == MILL_OK)
        status = open_parquet(r, err);
    if (status == MILL_OK)
        *out = r;
    else
        close_reader(r);
    return status;
}

static mill_status take_list(reader *r, column c, const mill_parquet_value *value, mill_read_sample *out, mill_error *err)
{
    uint64_t count = value->type == MILL_PARQUET_NUMBERS ? value->count : 0;
    for (uint64_t i = 0; i < count; i++) {
        if (value->numbers[i] < 0 || value->numbers[i] > (c == COLUMN_MASK ? 1 : (int64_t)UINT32_MAX))
            return mill_infile_fail(&r->file, err, "%s holds the impossible number %" PRId64, names[c].name, value->numbers[i]);
    }
    if (c == COLUMN_IDS) {
        uint32_t *place = mill_read_sample_grow(out, count, err);
        for (uint64_t i = 0; place != NULL && i < count; i++)
            place[i] = (uint32_t)value->numbers[i];
        return place != NULL ? MILL_OK : MILL_NOMEM;
    }
    if (c == COLUMN_POSITIONS) {
        MILL_TRY(MILL_GROW(out->positions, out->position_capacity, count + 1, err));
        for (uint64_t i = 0; i < count; i++)
            out->positions[i] = (uint32_t)value->numbers[i];
        return count == out->count ? MILL_OK : mill_infile_fail(&r->file, err, "position_ids are not as many as the ids");
    }
    if (c == COLUMN_BOUNDS) {
        MILL_TRY(MILL_GROW(out->bounds, out->bound_capacity, count + 1, err));
        out->bound_count = count;
        for (uint64_t i = 0; i < count; i++)
            out->bounds[i] = (uint32_t)value->numbers[i];
        return MILL_OK;
    }
    MILL_TRY(MILL_GROW(out->mask, out->mask_capacity, count + 1, err));
    for (uint64_t i = 0; i < count; i++)
        out->mask[i] = (uint8_t)value->numbers[i];
    return count == out->count ? MILL_OK : mill_infile_fail(&r->file, err, "a loss_mask is not as long as its ids");
}

static mill_status take_row(reader *r, const mill_parquet_value *values, mill_read_sample *out, mill_error *err)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < r->leaf_count; i++) {
        if (r->columns[i] != COLUMN_LENGTH) {
            MILL_TRY(take_list(r, r->columns[i], &values[i], out, err));
        } else if (values[i].type == MILL_PARQUET_INTEGER && values[i].integer >= 0) {
            length = (uint64_t)values[i].integer;
        }
        out->has_bounds = out->has_bounds || r->columns[i] == COLUMN_BOUNDS;
        out->has_positions = out->has_positions || r->columns[i] == COLUMN_POSITIONS;
        out->has_mask = out->has_mask || r->columns[i] == COLUMN_MASK;
    }
    if (!mill_read_sample_bounds_are_good(out) || length != out->count)
        return mill_infile_fail(&r->file, err, "a row's length or cu_seqlens is not that of its ids");
    return MILL_OK;
}

static mill_status open_group(reader *r, mill_error *err)
{
    char why[MILL_PARQUET_WHY] = "";
    return read_outcome(r, r->api->cursor(r->parquet, r->group++, r->leaves, r->leaf_count, &r->cursor, why), why, err);
}

static mill_status next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err)
{
    (void)most;
    reader *r = self;
    mill_parquet_value values[COLUMNS];
    mill_read_sample_clear(out);
    for (;;) {
        char why[MILL_PARQUET_WHY] = "";
        *end = r->cursor == NULL && r->group == r->groups;
        if (*end)
            return MILL_OK;
        if (r->cursor == NULL)
            MILL_TRY(open_group(r, err));
        mill_parquet_result result = r->api->row(r->cursor, values, why);
        MILL_TRY(read_outcome(r, result, why, err));
        if (result == MILL_PARQUET_OK)
            return take_row(r, values, out, err);
        r->api->close_cursor(r->cursor);
        r->cursor = NULL;
    }
}

static mill_status check(mill_error *err)
{
    const mill_parquet_api *api;
    if (mill_parquet_load(&api, NULL) == MILL_OK)
        return MILL_OK;
    return mill_fail(err, MILL_USAGE,
                     "--format parquet: this program has no Parquet (%.200s); choose another format, or build with it",
                     mill_parquet_description());
}

const mill_container mill_container_parquet = {.name = "parquet",
                                               .label = "shards (parquet)",
                                               .directory = "shards-parquet",
                                               .prefix = "shard_",
                                               .digits = 5,
                                               .suffixes = {".parquet"},
                                               .pattern = "shards-parquet/*.parquet",
                                               .rule = MILL_RULE_ROWS,
                                               .borders = true,
                                               .columns = true,
                                               .codec = mill_parquet_description,
                                               .check = check,
                                               .open = open_writer,
                                               .add = add,
                                               .finish = finish,
                                               .close = close_writer,
                                               .read_open = open_reader,
                                               .read_next = next,
                                               .read_close = close_reader};
