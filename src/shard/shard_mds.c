// shard_mds.c: a shard of a Mosaic streaming data set (MDS, format version 2), plain or as one zstd frame, and index.json.
//
//   u32 samples | u32 offset of each sample, and the end | configuration (JSON) | samples
//
// A sample is a u32 length of each column of variable size, then the columns in the order of their names. Offsets follow from the
// lengths, so the head is written first. With compression only the frame is stored; it is made by zstd's threaded form, as the
// client's writer makes it: its bytes do not depend on the number of threads.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "core/hash.h"
#include "shard/container_io.h"
#include "shard/shard_containers.h"
#include "shard/shard_mds.h"

#define PIECE_BYTES (1u << 20)
#define WORKERS_MAX 8
#define HASHES "[\"sha1\", \"xxh64\"]"

// ---- the columns ----

mill_mds_columns mill_mds_columns_of(const mill_container_options *options)
{
    const mill_shard_options *shard = &options->shard;
    const bool foundry = shard->mds_form == MILL_MDS_LLM_FOUNDRY;
    const mill_mds_column bounds = {.kind = MILL_MDS_BOUNDS, .name = "cu_seqlens", .width = 4, .shaped = true};
    const mill_mds_column mask = {
        .kind = MILL_MDS_MASK, .name = "loss_mask", .width = 1, .shaped = options->uniform == 0, .fixed = options->uniform};
    const mill_mds_column positions = {.kind = MILL_MDS_POSITIONS,
                                       .name = "position_ids",
                                       .width = 4,
                                       .shaped = options->uniform == 0,
                                       .fixed = options->uniform};
    mill_mds_column ids = {.kind = MILL_MDS_IDS, .name = "tokens", .width = 8};
    if (!foundry)
        ids = (mill_mds_column){.kind = MILL_MDS_IDS,
                                .name = "input_ids",
                                .width = mill_id_bytes(shard->vocab_size),
                                .shaped = options->uniform == 0,
                                .fixed = options->uniform};
    mill_mds_columns out = {.count = 0};
    if (shard->boundaries)
        out.list[out.count++] = bounds;
    if (!foundry)
        out.list[out.count++] = ids;
    if (shard->loss_mask)
        out.list[out.count++] = mask;
    if (shard->positions)
        out.list[out.count++] = positions;
    if (foundry)
        out.list[out.count++] = ids;
    return out;
}

void mill_mds_encoding(const mill_mds_column *c, char out[64])
{
    const char *type = c->kind == MILL_MDS_BOUNDS || c->kind == MILL_MDS_POSITIONS ? "int" : "uint";
    if (c->width == 8)
        snprintf(out, 64, "bytes");
    else if (c->fixed == 0)
        snprintf(out, 64, "ndarray:%s%" PRIu32, type, 8 * c->width);
    else
        snprintf(out, 64, "ndarray:%s%" PRIu32 ":%" PRIu64, type, 8 * c->width, c->fixed);
}

// 2^result bytes hold a size.
static unsigned shape_width(uint64_t size)
{
    return size < 256 ? 0 : size < 65536 ? 1 : 2;
}

static uint64_t values_of(const mill_mds_column *c, uint64_t tokens, uint64_t rows)
{
    return c->kind == MILL_MDS_BOUNDS ? rows + 1 : tokens;
}

static uint64_t column_bytes(const mill_mds_column *c, uint64_t tokens, uint64_t rows)
{
    uint64_t values = values_of(c, tokens, rows);
    return (c->shaped ? 1 + (1u << shape_width(values)) : 0) + values * c->width;
}

static uint64_t sample_bytes(const mill_mds_columns *columns, uint64_t tokens, uint64_t rows)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < columns->count; i++)
        bytes += (columns->list[i].fixed == 0 ? 4 : 0) + column_bytes(&columns->list[i], tokens, rows);
    return bytes;
}

static mill_status append_shape(uint64_t size, mill_buf *out, mill_error *err)
{
    uint8_t shape[5];
    unsigned width = shape_width(size);
    shape[0] = (uint8_t)(1u << 2 | width);
    mill_put_u32(shape + 1, (uint32_t)size); // its first 1, 2 or 4 bytes
    return mill_buf_append(out, shape, 1 + (1u << width), err);
}

static mill_status append_column(const mill_mds_column *c, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    uint64_t values = values_of(c, sample->count, sample->row_count);
    if (c->shaped)
        MILL_TRY(append_shape(values, out, err));
    if (c->kind == MILL_MDS_MASK)
        return mill_buf_append(out, sample->loss_mask, values, err);
    MILL_TRY(mill_buf_reserve(out, values * c->width, err));
    const uint32_t *numbers = c->kind == MILL_MDS_BOUNDS      ? sample->cu_seqlens
                              : c->kind == MILL_MDS_POSITIONS ? sample->positions
                                                              : sample->ids;
    mill_put_ids(numbers, values, c->width, out->data + out->bytes);
    out->bytes += values * c->width;
    return MILL_OK;
}

static mill_status append_sample(const mill_mds_columns *columns, const mill_sample *sample, mill_buf *out, mill_error *err)
{
    for (size_t i = 0; i < columns->count; i++) {
        uint8_t length[4];
        if (columns->list[i].fixed != 0)
            continue;
        mill_put_u32(length, (uint32_t)column_bytes(&columns->list[i], sample->count, sample->row_count));
        MILL_TRY(mill_buf_append(out, length, 4, err));
    }
    for (size_t i = 0; i < columns->count; i++)
        MILL_TRY(append_column(&columns->list[i], sample, out, err));
    return MILL_OK;
}

// ---- the configuration ----

// The members that stand before "raw_data" in the index; the configuration goes on with "size_limit".
static mill_status append_config_head(const mill_container_options *options, mill_buf *out, mill_error *err)
{
    const mill_mds_columns columns = mill_mds_columns_of(options);
    char encoding[64];
    MILL_TRY(mill_buf_append_text(out, "{\"column_encodings\": [", err));
    for (size_t i = 0; i < columns.count; i++) {
        mill_mds_encoding(&columns.list[i], encoding);
        MILL_TRY(mill_buf_printf(out, err, "%s\"%s\"", i != 0 ? ", " : "", encoding));
    }
    MILL_TRY(mill_buf_append_text(out, "], \"column_names\": [", err));
    for (size_t i = 0; i < columns.count; i++)
        MILL_TRY(mill_buf_printf(out, err, "%s\"%s\"", i != 0 ? ", " : "", columns.list[i].name));
    MILL_TRY(mill_buf_append_text(out, "], \"column_sizes\": [", err));
    for (size_t i = 0; i < columns.count; i++) {
        const mill_mds_column *c = &columns.list[i];
        MILL_TRY(mill_buf_append_text(out, i != 0 ? ", " : "", err));
        MILL_TRY(c->fixed != 0 ? mill_buf_append_u64(out, c->fixed * c->width, err) : mill_buf_append_text(out, "null", err));
    }
    MILL_TRY(mill_buf_append_text(out, "], \"compression\": ", err));
    if (options->shard.mds_zstd_level == 0)
        MILL_TRY(mill_buf_append_text(out, "null", err));
    else
        MILL_TRY(mill_buf_printf(out, err, "\"zstd:%d\"", options->shard.mds_zstd_level));
    return mill_buf_append_text(out, ", \"format\": \"mds\", \"hashes\": " HASHES ", ", err);
}

static mill_status append_config(const mill_container_options *options, mill_buf *out, mill_error *err)
{
    MILL_TRY(append_config_head(options, out, err));
    return mill_buf_printf(out, err, "\"size_limit\": %" PRIu64 ", \"version\": 2}", options->shard.mds_size_limit);
}

// ---- where one shard ends ----

static uint64_t cut(const mill_container_options *options, const mill_extent *rest)
{
    const mill_mds_columns columns = mill_mds_columns_of(options);
    mill_buf config = {0};
    // No more than a few hundred bytes: without memory for them the writer will tell.
    uint64_t size = append_config(options, &config, NULL) == MILL_OK ? 8 + config.bytes : 8, count = 0;
    mill_buf_free(&config);
    while (count < rest->count) {
        uint64_t cost = sample_bytes(&columns, rest->lengths[count], rest->rows[count]) + 4;
        if (count != 0 && options->shard.mds_size_limit < size + cost)
            break;
        size += cost;
        count++;
    }
    return count;
}

// ---- writing ----

typedef struct digests { // of the raw bytes, or of the frame
    void *sha1; // NULL: they are the file's bytes, and it makes that
    XXH64_state_t xxh64;
    uint64_t bytes;
} digests;

typedef struct writer {
    mill_container_options options;
    mill_mds_columns columns;
    mill_extent_check check;
    mill_outfile *file;
    mill_buf bytes, packed;
    ZSTD_CCtx *zstd;
    digests raw, zip;
    uint64_t raw_bytes; // announced
} writer;

static void close_writer(void *self)
{
    writer *w = self;
    if (w == NULL)
        return;
    ZSTD_freeCCtx(w->zstd);
    mill_sha256_destroy(w->raw.sha1);
    mill_buf_free(&w->bytes);
    mill_buf_free(&w->packed);
    mill_free(w);
}

static void digest(digests *d, const void *data, size_t bytes)
{
    if (d->sha1 != NULL)
        mill_sha256_update(d->sha1, data, bytes);
    XXH64_update(&d->xxh64, data, bytes);
    d->bytes += bytes;
}

static mill_status compress(writer *w, const void *data, size_t bytes, ZSTD_EndDirective end, mill_error *err)
{
    ZSTD_inBuffer in = {data, bytes, 0};
    size_t left;
    do {
        ZSTD_outBuffer packed = {w->packed.data, w->packed.capacity, 0};
        left = ZSTD_compressStream2(w->zstd, &packed, &in, end);
        if (ZSTD_isError(left))
            return mill_fail(err, MILL_NOMEM, "%s: zstd: %s", w->file->name, ZSTD_getErrorName(left));
        digest(&w->zip, w->packed.data, packed.pos);
        MILL_TRY(mill_outfile_write(w->file, w->packed.data, packed.pos, err));
    } while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return MILL_OK;
}

static mill_status hand_on(writer *w, mill_error *err)
{
    digest(&w->raw, w->bytes.data, w->bytes.bytes);
    if (w->zstd == NULL)
        MILL_TRY(mill_outfile_write(w->file, w->bytes.data, w->bytes.bytes, err));
    else if (w->bytes.bytes != 0)
        MILL_TRY(compress(w, w->bytes.data, w->bytes.bytes, ZSTD_e_continue, err));
    mill_buf_clear(&w->bytes);
    return MILL_OK;
}

static mill_status open_digests(writer *w, mill_error *err)
{
    XXH64_reset(&w->raw.xxh64, 0);
    XXH64_reset(&w->zip.xxh64, 0);
    MILL_TRY(mill_outfile_with_sha1(w->file, err));
    if (w->options.shard.mds_zstd_level == 0)
        return MILL_OK;
    w->raw.sha1 = mill_sha1_create();
    return w->raw.sha1 != NULL ? MILL_OK : mill_fail_nomem(err, "opening an MDS shard");
}

// The client refuses a frame without its content size.
static mill_status open_zstd(writer *w, mill_error *err)
{
    int workers = w->options.workers < WORKERS_MAX ? (int)w->options.workers : WORKERS_MAX;
    w->zstd = ZSTD_createCCtx();
    if (w->zstd == NULL)
        return mill_fail_nomem(err, "writing a compressed shard");
    if (ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, w->options.shard.mds_zstd_level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_nbWorkers, workers)) ||
        ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(w->zstd, w->raw_bytes)))
        return mill_fail(err, MILL_RESOURCE, "this libzstd (%s) was built without threads; install one that has them",
                         ZSTD_versionString());
    return mill_buf_reserve(&w->packed, ZSTD_CStreamOutSize(), err);
}

static mill_status write_head(writer *w, const mill_buf *config, mill_error *err)
{
    const mill_extent *extent = w->check.extent;
    uint8_t number[4];
    uint64_t at = 4 + 4 * (extent->count + 1) + config->bytes;
    mill_put_u32(number, (uint32_t)extent->count);
    MILL_TRY(mill_buf_append(&w->bytes, number, 4, err));
    for (uint64_t i = 0; i <= extent->count; i++) {
        mill_put_u32(number, (uint32_t)at);
        MILL_TRY(mill_buf_append(&w->bytes, number, 4, err));
        if (i < extent->count)
            at += sample_bytes(&w->columns, extent->lengths[i], extent->rows[i]);
    }
    return mill_buf_append(&w->bytes, config->data, config->bytes, err);
}

static uint64_t raw_bytes_of(const writer *w, const mill_buf *config)
{
    const mill_extent *extent = w->check.extent;
    uint64_t bytes = 4 + 4 * (extent->count + 1) + config->bytes;
    for (uint64_t i = 0; i < extent->count; i++)
        bytes += sample_bytes(&w->columns, extent->lengths[i], extent->rows[i]);
    return bytes;
}

static mill_status open_writer(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                               void **out, mill_error *err)
{
    writer *w = mill_alloc_zero(1, sizeof *w);
    *out = w;
    if (w == NULL)
        return mill_fail_nomem(err, "opening an MDS shard");
    *w = (writer){.options = *options, .columns = mill_mds_columns_of(options), .check = {.extent = extent}, .file = files[0]};
    mill_buf config = {0};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(append_config(options, &config, err));
    w->raw_bytes = raw_bytes_of(w, &config);
    if (w->raw_bytes > UINT32_MAX) {
        status = mill_fail(err, MILL_INPUT,
                           "an MDS shard of %" PRIu64 " bytes: its offsets end at 4 GiB; use a smaller pack.seq_len", w->raw_bytes);
        goto cleanup;
    }
    MILL_TRY_GOTO(open_digests(w, err));
    if (options->shard.mds_zstd_level != 0)
        MILL_TRY_GOTO(open_zstd(w, err));
    MILL_TRY_GOTO(write_head(w, &config, err));
cleanup:
    mill_buf_free(&config);
    return status;
}

static mill_status add(void *self, const mill_sample *sample, mill_error *err)
{
    writer *w = self;
    MILL_TRY(mill_check_sample(&w->options.shard, sample, err));
    MILL_TRY(mill_extent_take(&w->check, sample, err));
    if (w->options.uniform != 0 && sample->count != w->options.uniform)
        return mill_fail(err, MILL_INTERNAL, "sample %" PRIu64 ": has %" PRIu32 " tokens, all others have %" PRIu32,
                         sample->number, sample->count, w->options.uniform);
    MILL_TRY(append_sample(&w->columns, sample, &w->bytes, err));
    return w->bytes.bytes >= PIECE_BYTES ? hand_on(w, err) : MILL_OK;
}

static bool add_data(cJSON *facts, const char *name, digests *d, const uint8_t file_sha1[20], uint64_t number,
                     const char *suffix)
{
    uint8_t sha1[20];
    char hex[41], basename[40];
    memcpy(sha1, file_sha1, sizeof sha1);
    if (d->sha1 != NULL)
        mill_sha1_finish(d->sha1, sha1);
    d->sha1 = NULL;
    cJSON *data = cJSON_AddObjectToObject(facts, name);
    snprintf(basename, sizeof basename, "shard.%05" PRIu64 "%s", number, suffix);
    mill_hex(sha1, sizeof sha1, hex);
    bool good = cJSON_AddStringToObject(data, "basename", basename) != NULL &&
                cJSON_AddNumberToObject(data, "bytes", (double)d->bytes) != NULL &&
                cJSON_AddStringToObject(data, "sha1", hex) != NULL;
    snprintf(hex, sizeof hex, "%016" PRIx64, (uint64_t)XXH64_digest(&d->xxh64));
    return good && cJSON_AddStringToObject(data, "xxh64", hex) != NULL;
}

static mill_status finish(void *self, uint64_t number, cJSON *facts, mill_error *err)
{
    writer *w = self;
    const uint32_t width = mill_id_bytes(w->options.shard.vocab_size);
    MILL_TRY(mill_extent_end(&w->check, err));
    MILL_TRY(hand_on(w, err));
    if (w->zstd != NULL)
        MILL_TRY(compress(w, NULL, 0, ZSTD_e_end, err));
    MILL_ASSERT(w->raw.bytes == w->raw_bytes);
    uint8_t file_sha1[20];
    MILL_TRY(mill_outfile_sha1(w->file, file_sha1, err));
    const char *dtype =
        w->options.shard.mds_form == MILL_MDS_LLM_FOUNDRY ? "int64" : width == 2 ? "uint16" : "uint32";
    bool good = cJSON_AddStringToObject(facts, "dtype", dtype) != NULL &&
                add_data(facts, "raw_data", &w->raw, file_sha1, number, ".mds") &&
                (w->zstd == NULL || add_data(facts, "zip_data", &w->zip, file_sha1, number, ".mds.zstd"));
    return good ? MILL_OK : mill_fail_nomem(err, "the facts of a shard");
}

// ---- index.json ----

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static uint64_t number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

static mill_status append_data(const cJSON *data, mill_buf *out, mill_error *err)
{
    if (data == NULL)
        return mill_buf_append_text(out, "null", err);
    MILL_TRY(mill_buf_printf(out, err, "{\"basename\": \"%s\", \"bytes\": %" PRIu64 ", ", text_of(data, "basename"),
                             number_of(data, "bytes")));
    return mill_buf_printf(out, err, "\"hashes\": {\"sha1\": \"%s\", \"xxh64\": \"%s\"}}", text_of(data, "sha1"),
                           text_of(data, "xxh64"));
}

static mill_status write_index(const mill_container_options *options, const cJSON *const *facts, uint64_t count, mill_buf *out,
                               mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "{\"shards\": [", err));
    for (uint64_t i = 0; i < count; i++) {
        if (i != 0)
            MILL_TRY(mill_buf_append_text(out, ", ", err));
        MILL_TRY(append_config_head(options, out, err));
        MILL_TRY(mill_buf_append_text(out, "\"raw_data\": ", err));
        MILL_TRY(append_data(cJSON_GetObjectItemCaseSensitive(facts[i], "raw_data"), out, err));
        MILL_TRY(mill_buf_printf(out, err, ", \"samples\": %" PRIu64 ", ", number_of(facts[i], "samples")));
        MILL_TRY(mill_buf_printf(out, err, "\"size_limit\": %" PRIu64 ", \"version\": 2, \"zip_data\": ",
                                 options->shard.mds_size_limit));
        MILL_TRY(append_data(cJSON_GetObjectItemCaseSensitive(facts[i], "zip_data"), out, err));
        MILL_TRY(mill_buf_append_text(out, "}", err));
    }
    return mill_buf_append_text(out, "], \"version\": 2}", err);
}

static const char *suffix(const mill_container_options *options)
{
    return options->shard.mds_zstd_level != 0 ? ".mds.zstd" : ".mds";
}

const mill_container mill_container_mds = {.name = "mds",
                                           .label = "shards (mds)",
                                           .directory = "shards-mds",
                                           .prefix = "shard.",
                                           .digits = 5,
                                           .suffixes = {".mds"},
                                           .suffix = suffix,
                                           .index = "index.json",
                                           .use = "from streaming import LocalDataset\n"
                                                  "samples = LocalDataset(DIR + \"/shards-mds\")\n",
                                           .rule = MILL_RULE_ROWS,
                                           .by_bytes = true,
                                           .borders = true,
                                           .columns = true,
                                           .cut = cut,
                                           .open = open_writer,
                                           .add = add,
                                           .finish = finish,
                                           .close = close_writer,
                                           .write_index = write_index,
                                           .read_open = mill_mds_read_open,
                                           .read_next = mill_mds_read_next,
                                           .read_close = mill_mds_read_close};
