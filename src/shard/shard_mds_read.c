// shard_mds_read.c: reads the MDS shards that shard_mds.c writes: the columns of shard_mds.c, plain or zstd.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/stream.h"
#include "shard/container_io.h"
#include "shard/shard_mds.h"

#define CONFIG_MAX 4096 // a few hundred bytes in fact
#define PIECE 4096

typedef struct reader {
    mill_infile plain;
    mill_stream *stream;     // NULL: plain
    char name[300];
    uint64_t at;             // bytes read of the raw shard
    uint32_t count, next, *offsets;
    mill_mds_columns columns;
} reader;

void mill_mds_read_close(void *self)
{
    reader *r = self;
    if (r == NULL)
        return;
    mill_infile_close(&r->plain);
    (void)mill_stream_close(r->stream, NULL);
    mill_free(r->offsets);
    mill_free(r);
}

static mill_status fail(const reader *r, mill_error *err, const char *what)
{
    return mill_fail(err, MILL_VERIFY, "%s: %s (at byte %" PRIu64 ")", r->name, what, r->at);
}

static mill_status take(reader *r, void *data, uint64_t bytes, mill_error *err)
{
    uint8_t *out = data;
    r->at += bytes;
    if (r->stream == NULL)
        return mill_infile_read(&r->plain, data, bytes, err);
    while (bytes != 0) {
        size_t got;
        MILL_TRY(mill_stream_read(r->stream, out, bytes, &got, err));
        if (got == 0)
            return fail(r, err, mill_stream_damage(r->stream) != NULL ? mill_stream_damage(r->stream) : "ends too early");
        out += got;
        bytes -= got;
    }
    return MILL_OK;
}

// Appends `count` numbers to a list that has room for them.
static mill_status take_numbers(reader *r, uint32_t *out, uint64_t count, uint32_t width, mill_error *err)
{
    uint8_t raw[PIECE];
    while (count != 0) {
        uint64_t here = count < PIECE / width ? count : PIECE / width;
        MILL_TRY(take(r, raw, here * width, err));
        if (width != 8) {
            mill_get_ids(raw, here, width, out);
        } else {
            for (uint64_t i = 0; i < here; i++) {
                if (mill_get_u32(raw + 8 * i + 4) != 0)
                    return fail(r, err, "holds an id beyond 32 bits");
                out[i] = mill_get_u32(raw + 8 * i);
            }
        }
        out += here;
        count -= here;
    }
    return MILL_OK;
}

// ---- the head ----

// One of the columns that are written here, by its name, and its encoding such as it would be written.
static bool take_column(const char *name, const char *encoding, mill_mds_column *out)
{
    static const mill_mds_column known[] = {
        {.kind = MILL_MDS_BOUNDS, .name = "cu_seqlens", .width = 4, .shaped = true},
        {.kind = MILL_MDS_IDS, .name = "input_ids", .width = 2, .shaped = true},
        {.kind = MILL_MDS_IDS, .name = "input_ids", .width = 4, .shaped = true},
        {.kind = MILL_MDS_MASK, .name = "loss_mask", .width = 1, .shaped = true},
        {.kind = MILL_MDS_POSITIONS, .name = "position_ids", .width = 4, .shaped = true},
        {.kind = MILL_MDS_IDS, .name = "tokens", .width = 8},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[64];
        *out = known[i];
        const char *size = strrchr(encoding, ':'); // of "ndarray:uint16:512"
        if (size != NULL && size[1] >= '1' && size[1] <= '9' && strlen(size) <= 11 && known[i].kind != MILL_MDS_BOUNDS)
            out->fixed = strtoull(size + 1, NULL, 10);
        out->shaped = out->shaped && out->fixed == 0;
        mill_mds_encoding(out, text);
        if (out->fixed <= UINT32_MAX && strcmp(name, out->name) == 0 && strcmp(encoding, text) == 0)
            return true;
    }
    return false;
}

static bool take_config(reader *r, const cJSON *config)
{
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(config, "column_names");
    const cJSON *encodings = cJSON_GetObjectItemCaseSensitive(config, "column_encodings");
    int count = cJSON_GetArraySize(names), kinds = 0;
    if (count < 1 || count > MILL_MDS_KINDS || cJSON_GetArraySize(encodings) != count)
        return false;
    r->columns.count = (size_t)count;
    for (int i = 0; i < count; i++) {
        const cJSON *name = cJSON_GetArrayItem(names, i), *encoding = cJSON_GetArrayItem(encodings, i);
        mill_mds_column *column = &r->columns.list[i];
        if (!cJSON_IsString(name) || !cJSON_IsString(encoding) || !take_column(name->valuestring, encoding->valuestring, column) ||
            (kinds >> column->kind & 1) != 0)
            return false;
        kinds |= 1 << column->kind;
    }
    return (kinds >> MILL_MDS_IDS & 1) != 0;
}

static mill_status read_config(reader *r, mill_error *err)
{
    char text[CONFIG_MAX];
    uint64_t bytes = (uint64_t)r->offsets[0] - r->at;
    cJSON *config;
    MILL_TRY(take(r, text, bytes, err));
    MILL_TRY(mill_json_parse(text, bytes, NULL, &config, err));
    bool good = config != NULL && take_config(r, config);
    cJSON_Delete(config);
    return good ? MILL_OK : fail(r, err, "its columns are none that shardmill writes");
}

static mill_status read_head(reader *r, mill_error *err)
{
    uint8_t number[4];
    MILL_TRY(take(r, number, 4, err));
    r->count = mill_get_u32(number);
    size_t capacity = 0;
    for (uint64_t i = 0; i <= r->count; i++) { // grown with what is read: the count may be a lie
        MILL_TRY(take(r, number, 4, err));
        MILL_TRY(MILL_GROW(r->offsets, capacity, i + 1, err));
        r->offsets[i] = mill_get_u32(number);
        if (i != 0 && r->offsets[i] <= r->offsets[i - 1])
            return fail(r, err, "its samples do not lie one behind the other");
    }
    if (r->offsets[0] < r->at || r->offsets[0] - r->at > CONFIG_MAX)
        return fail(r, err, "its first sample begins at an impossible place");
    return read_config(r, err);
}

mill_status mill_mds_read_open(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                               mill_error *err)
{
    reader *r = mill_alloc_zero(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return mill_fail_nomem(err, "opening an MDS shard");
    size_t bytes = strlen(paths[0]);
    mill_status status = mill_infile_open(&r->plain, fs, dir, where, paths[0], err);
    memcpy(r->name, r->plain.name, sizeof r->name);
    if (status == MILL_OK && bytes > 5 && strcmp(paths[0] + bytes - 5, ".zstd") == 0) {
        mill_infile_close(&r->plain);
        status = mill_stream_open(fs, dir, paths[0], &r->stream, err);
    }
    if (status == MILL_OK)
        status = read_head(r, err);
    if (status == MILL_OK)
        *out = r;
    else
        mill_mds_read_close(r);
    return status;
}

// ---- samples ----

// The shape of a one-dimensional array that takes `bytes` bytes with its values of `width`; gives the number of values.
static mill_status take_shape(reader *r, uint64_t bytes, uint32_t width, uint64_t *count, mill_error *err)
{
    uint8_t head, raw[4] = {0};
    MILL_TRY(take(r, &head, 1, err));
    unsigned size = 1u << (head & 3);
    if (head >> 2 != 1 || size > 4 || bytes < 1 + size)
        return fail(r, err, "a column is no one-dimensional array");
    MILL_TRY(take(r, raw, size, err));
    *count = mill_get_u32(raw);
    return bytes == 1 + size + *count * width ? MILL_OK : fail(r, err, "an array is not as long as its column");
}

static mill_status take_mask(reader *r, uint64_t count, mill_read_sample *out, mill_error *err)
{
    MILL_TRY(MILL_GROW(out->mask, out->mask_capacity, count + 1, err));
    MILL_TRY(take(r, out->mask, count, err));
    out->has_mask = true;
    for (uint64_t i = 0; i < count; i++) {
        if (out->mask[i] > 1)
            return fail(r, err, "a loss_mask holds something else than 0 and 1");
    }
    return MILL_OK;
}

// A column of `bytes` bytes.
static mill_status take_values(reader *r, const mill_mds_column *c, uint64_t bytes, mill_read_sample *out,
                               uint64_t counts[MILL_MDS_KINDS], mill_error *err)
{
    uint64_t count = c->fixed;
    if (c->shaped)
        MILL_TRY(take_shape(r, bytes, c->width, &count, err));
    else if (c->fixed == 0 && bytes % c->width != 0)
        return fail(r, err, "tokens of 8 bytes each do not fill their column");
    else if (c->fixed == 0)
        count = bytes / c->width;
    counts[c->kind] = count;
    if (c->kind == MILL_MDS_MASK)
        return take_mask(r, count, out, err);
    if (c->kind == MILL_MDS_POSITIONS) {
        MILL_TRY(MILL_GROW(out->positions, out->position_capacity, count + 1, err));
        out->has_positions = true;
        return take_numbers(r, out->positions, count, c->width, err);
    }
    if (c->kind == MILL_MDS_BOUNDS) {
        MILL_TRY(MILL_GROW(out->bounds, out->bound_capacity, count + 1, err));
        out->bound_count = count;
        out->has_bounds = true;
        return take_numbers(r, out->bounds, count, c->width, err);
    }
    uint32_t *place = mill_read_sample_grow(out, count, err);
    return place != NULL ? take_numbers(r, place, count, c->width, err) : MILL_NOMEM;
}

static mill_status read_sample(reader *r, uint64_t room, mill_read_sample *out, mill_error *err)
{
    const mill_mds_columns *columns = &r->columns;
    uint64_t bytes[MILL_MDS_KINDS], counts[MILL_MDS_KINDS] = {0}, all = 0;
    for (size_t i = 0; i < columns->count; i++) {
        uint8_t number[4];
        bytes[i] = columns->list[i].fixed * columns->list[i].width;
        if (columns->list[i].fixed == 0) {
            MILL_TRY(take(r, number, 4, err));
            bytes[i] = mill_get_u32(number);
            all += 4;
        }
        all += bytes[i];
    }
    if (all != room)
        return fail(r, err, "the columns of a sample are not as long as it is");
    for (size_t i = 0; i < columns->count; i++)
        MILL_TRY(take_values(r, &columns->list[i], bytes[i], out, counts, err));
    if (out->has_mask && counts[MILL_MDS_MASK] != out->count)
        return fail(r, err, "a loss_mask is not as long as its ids");
    if (out->has_positions && counts[MILL_MDS_POSITIONS] != out->count)
        return fail(r, err, "position_ids are not as many as the ids");
    return mill_read_sample_bounds_are_good(out) ? MILL_OK : fail(r, err, "cu_seqlens does not rise from 0 to the number of ids");
}

mill_status mill_mds_read_next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err)
{
    (void)most;
    reader *r = self;
    mill_read_sample_clear(out);
    *end = r->next == r->count;
    if (!*end) {
        uint64_t room = r->offsets[r->next + 1] - r->offsets[r->next];
        r->next++;
        return read_sample(r, room, out, err);
    }
    if (r->stream == NULL)
        return mill_infile_left(&r->plain) == 0 ? MILL_OK : fail(r, err, "goes on behind its last sample");
    uint8_t byte;
    size_t got;
    MILL_TRY(mill_stream_read(r->stream, &byte, 1, &got, err));
    if (got != 0 || mill_stream_damage(r->stream) != NULL)
        return fail(r, err, "goes on behind its last sample");
    return MILL_OK;
}
