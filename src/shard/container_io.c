// container_io.c: what the writers and readers of containers share.
#include "shard/container_io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define AHEAD (256u << 10)

void mill_put_ids(const uint32_t *ids, uint64_t count, uint32_t width, uint8_t *out)
{
    if (width == 2) {
        for (uint64_t i = 0; i < count; i++)
            mill_put_u16(out + 2 * i, ids[i]);
    } else if (width == 4) {
        for (uint64_t i = 0; i < count; i++)
            mill_put_u32(out + 4 * i, ids[i]);
    } else {
        for (uint64_t i = 0; i < count; i++)
            mill_put_u64(out + 8 * i, ids[i]);
    }
}

void mill_get_ids(const uint8_t *in, uint64_t count, uint32_t width, uint32_t *ids)
{
    if (width == 2) {
        for (uint64_t i = 0; i < count; i++)
            ids[i] = mill_get_u16(in + 2 * i);
    } else {
        for (uint64_t i = 0; i < count; i++)
            ids[i] = mill_get_u32(in + 4 * i);
    }
}

// ---- checks of what comes in ----

mill_status mill_check_columns(const mill_shard_options *options, const mill_sample *sample, mill_error *err)
{
    const bool masked = !options->loss_mask || sample->loss_mask != NULL, placed = !options->positions || sample->positions != NULL;
    if (!masked || !placed)
        return mill_fail(err, MILL_INTERNAL, "sample %" PRIu64 ": its %s missing", sample->number,
                         masked ? "positions are" : "loss mask is");
    if (!options->boundaries)
        return MILL_OK;
    const uint32_t *bounds = sample->cu_seqlens;
    bool good = bounds != NULL && bounds[0] == 0 && bounds[sample->row_count] == sample->count;
    for (uint32_t i = 0; good && i < sample->row_count; i++)
        good = bounds[i] <= bounds[i + 1];
    if (!good)
        return mill_fail(err, MILL_INTERNAL, "sample %" PRIu64 ": its row boundaries do not run from 0 to %" PRIu32,
                         sample->number, sample->count);
    return MILL_OK;
}

mill_status mill_check_sample(const mill_shard_options *options, const mill_sample *sample, mill_error *err)
{
    // The top bit is set by an id above the last one, and by one that has it: sums, where a comparison of unsigned numbers would
    // need more than every x86 has.
    const uint32_t last = options->vocab_size - 1;
    uint32_t strange = options->vocab_size == 0 || last >> 31 != 0 ? UINT32_MAX : 0, highest = 0;
    for (uint32_t i = 0; i < sample->count; i++)
        strange |= (last - sample->ids[i]) | sample->ids[i];
    for (uint32_t i = 0; strange >> 31 != 0 && i < sample->count; i++)
        highest = sample->ids[i] > highest ? sample->ids[i] : highest;
    if (strange >> 31 != 0 && sample->count != 0 && highest >= options->vocab_size)
        return mill_fail(err, MILL_INTERNAL, "sample %" PRIu64 ": holds id %" PRIu32 ", the vocabulary has %" PRIu32 " ids",
                         sample->number, highest, options->vocab_size);
    return mill_check_columns(options, sample, err);
}

mill_status mill_positions_fill(uint64_t begin, uint32_t count, uint64_t number, uint32_t *positions, mill_error *err)
{
    if (begin > INT32_MAX || count > INT32_MAX - begin)
        return mill_fail(err, MILL_INPUT,
                         "sample %" PRIu64 ": a document of so many tokens that its positions do not end below 2^31; use "
                         "--set shard.positions=restart, or a smaller pack.seq_len",
                         number);
    for (uint32_t i = 0; i < count; i++)
        positions[i] = (uint32_t)begin + i;
    return MILL_OK;
}

mill_status mill_extent_take(mill_extent_check *check, const mill_sample *sample, mill_error *err)
{
    const mill_extent *extent = check->extent;
    if (check->count >= extent->count || extent->lengths[check->count] != sample->count ||
        extent->rows[check->count] != sample->row_count)
        return mill_fail(err, MILL_INTERNAL, "sample %" PRIu64 ": is not the one that the head of its shard announces",
                         sample->number);
    check->count++;
    return MILL_OK;
}

mill_status mill_extent_end(const mill_extent_check *check, mill_error *err)
{
    if (check->count == check->extent->count)
        return MILL_OK;
    return mill_fail(err, MILL_INTERNAL, "a shard got %" PRIu64 " of the %" PRIu64 " sequences that its head announces",
                     check->count, check->extent->count);
}

// ---- reading ----

mill_status mill_infile_open(mill_infile *in, const mill_fs *fs, int dir, const char *where, const char *path, mill_error *err)
{
    *in = (mill_infile){.fs = fs, .file = -1};
    snprintf(in->name, sizeof in->name, "%.*s/%s", (int)(sizeof in->name / 2), where, path);
    mill_file_info info;
    int file;
    MILL_TRY(mill_fs_open(fs, dir, path, MILL_OPEN_READ_OWN, &file, err));
    in->file = file;
    int value = fs->ops->info_open(fs->self, file, &info);
    if (value < 0) {
        mill_infile_close(in);
        return mill_fail_errno(err, -value, "%s: cannot look at it", in->name);
    }
    if (info.kind != MILL_FILE_REGULAR) {
        mill_infile_close(in);
        return mill_infile_fail(in, err, "is no regular file");
    }
    in->bytes = info.bytes;
    return MILL_OK;
}

mill_status mill_infile_open_optional(mill_infile *in, const mill_fs *fs, int dir, const char *where, const char *path,
                                      mill_error *err)
{
    mill_file_info info;
    *in = (mill_infile){.fs = fs, .file = -1};
    return fs->ops->info(fs->self, dir, path, false, &info) == -ENOENT ? MILL_OK : mill_infile_open(in, fs, dir, where, path, err);
}

void mill_infile_close(mill_infile *in)
{
    if (in->fs != NULL && in->file >= 0)
        (void)in->fs->ops->close(in->fs->self, in->file); // opened for reading: nothing can be lost
    in->file = -1;
    mill_buf_free(&in->data);
    in->at = 0;
}

mill_status mill_infile_fail(const mill_infile *in, mill_error *err, const char *format, ...)
{
    char what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return mill_fail(err, MILL_VERIFY, "%s: %s", in->name, what);
}

static mill_status read_ahead(mill_infile *in, mill_error *err)
{
    size_t got;
    mill_buf_clear(&in->data);
    in->at = 0;
    MILL_TRY(mill_buf_reserve(&in->data, AHEAD, err));
    MILL_TRY(mill_fs_read(in->fs, in->file, in->name, in->data.data, AHEAD, &got, err));
    in->data.bytes = got;
    return got != 0 ? MILL_OK : mill_infile_fail(in, err, "ends at byte %" PRIu64 ", in the middle of something", in->offset);
}

mill_status mill_infile_read(mill_infile *in, void *data, uint64_t bytes, mill_error *err)
{
    uint8_t *out = data;
    while (bytes != 0) {
        if (in->at == in->data.bytes)
            MILL_TRY(read_ahead(in, err));
        size_t here = in->data.bytes - in->at, take = bytes < here ? (size_t)bytes : here;
        memcpy(out, in->data.data + in->at, take);
        in->at += take;
        in->offset += take;
        out += take;
        bytes -= take;
    }
    return MILL_OK;
}

mill_status mill_infile_ids(mill_infile *in, uint64_t count, uint32_t width, mill_read_sample *out, mill_error *err)
{
    uint8_t raw[4096];
    if (mill_infile_left(in) / width < count)
        return mill_infile_fail(in, err, "ends before the %" PRIu64 " tokens at byte %" PRIu64, count, in->offset);
    uint32_t *ids = mill_read_sample_grow(out, count, err);
    if (ids == NULL)
        return MILL_NOMEM;
    while (count != 0) {
        uint64_t take = count < sizeof raw / width ? count : sizeof raw / width;
        MILL_TRY(mill_infile_read(in, raw, take * width, err));
        mill_get_ids(raw, take, width, ids);
        ids += take;
        count -= take;
    }
    return MILL_OK;
}

uint32_t *mill_read_sample_grow(mill_read_sample *sample, uint64_t more, mill_error *err)
{
    if (MILL_GROW(sample->ids, sample->capacity, sample->count + more + 1, err) != MILL_OK)
        return NULL;
    uint32_t *place = sample->ids + sample->count;
    sample->count += more;
    return place;
}

void mill_read_sample_clear(mill_read_sample *sample)
{
    sample->count = sample->bound_count = 0;
    sample->has_bounds = sample->has_positions = sample->has_mask = sample->stream = false;
}

bool mill_read_sample_bounds_are_good(const mill_read_sample *sample)
{
    if (!sample->has_bounds)
        return true;
    const uint32_t *bounds = sample->bounds;
    bool good = sample->bound_count >= 1 && bounds[0] == 0 && bounds[sample->bound_count - 1] == sample->count;
    for (size_t i = 1; good && i < sample->bound_count; i++)
        good = bounds[i - 1] < bounds[i];
    return good;
}

void mill_read_sample_free(mill_read_sample *sample)
{
    mill_free(sample->ids);
    mill_free(sample->bounds);
    mill_free(sample->positions);
    mill_free(sample->mask);
    *sample = (mill_read_sample){0};
}
