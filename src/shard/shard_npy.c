// shard_npy.c: npy 1.0: an array of samples by tokens where every sample of the run has as many, else one stream of all tokens.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shard/container_io.h"
#include "shard/shard_containers.h"

#define HEAD_BYTES 128 // room for any shape, and a multiple of 64

typedef struct writer {
    mill_container_options options;
    mill_extent_check check;
    mill_outfile *file;
    mill_buf bytes;
    uint32_t width;
} writer;

// The whole head for `rows` of `columns` tokens, or (columns 0) for a stream of `rows` tokens.
static void make_head(uint32_t width, uint64_t rows, uint64_t columns, uint8_t head[HEAD_BYTES])
{
    char text[HEAD_BYTES], shape[48];
    if (columns == 0)
        snprintf(shape, sizeof shape, "(%" PRIu64 ",)", rows);
    else
        snprintf(shape, sizeof shape, "(%" PRIu64 ", %" PRIu64 ")", rows, columns);
    int bytes = snprintf(text, sizeof text, "{'descr': '<u%" PRIu32 "', 'fortran_order': False, 'shape': %s, }", width, shape);
    memset(head, ' ', HEAD_BYTES);
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    mill_put_u16(head + 8, HEAD_BYTES - 10);
    memcpy(head + 10, text, (size_t)bytes);
    head[HEAD_BYTES - 1] = '\n';
}

static void close_writer(void *self)
{
    if (self == NULL)
        return;
    mill_buf_free(&((writer *)self)->bytes);
    mill_free(self);
}

static mill_status open_writer(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                               void **out, mill_error *err)
{
    uint8_t head[HEAD_BYTES];
    writer *w = mill_alloc_zero(1, sizeof *w);
    *out = w;
    if (w == NULL)
        return mill_fail_nomem(err, "opening an npy shard");
    *w = (writer){.options = *options,
                  .check = {.extent = extent},
                  .file = files[0],
                  .width = mill_id_bytes(options->shard.vocab_size)};
    make_head(w->width, options->uniform != 0 ? extent->count : extent->tokens, options->uniform, head);
    return mill_outfile_write(w->file, head, sizeof head, err);
}

static mill_status add(void *self, const mill_sample *sample, mill_error *err)
{
    writer *w = self;
    size_t bytes = (size_t)sample->count * w->width;
    MILL_TRY(mill_check_sample(&w->options.shard, sample, err));
    MILL_TRY(mill_extent_take(&w->check, sample, err));
    mill_buf_clear(&w->bytes);
    MILL_TRY(mill_buf_reserve(&w->bytes, bytes, err));
    mill_put_ids(sample->ids, sample->count, w->width, w->bytes.data);
    return mill_outfile_write(w->file, w->bytes.data, bytes, err);
}

static mill_status finish(void *self, uint64_t number, cJSON *facts, mill_error *err)
{
    (void)number;
    writer *w = self;
    MILL_TRY(mill_extent_end(&w->check, err));
    bool good = cJSON_AddStringToObject(facts, "dtype", w->width == 2 ? "uint16" : "uint32") != NULL;
    return good ? MILL_OK : mill_fail_nomem(err, "the facts of a shard");
}

// ---- reading ----

typedef struct reader {
    mill_infile file;
    uint32_t width;
    uint64_t columns; // 0: one stream
} reader;

static void close_reader(void *self)
{
    if (self == NULL)
        return;
    mill_infile_close(&((reader *)self)->file);
    mill_free(self);
}

// Only the heads that are made here: what they say is read, and they are made once more.
static mill_status read_head(reader *r, mill_error *err)
{
    uint8_t head[HEAD_BYTES], again[HEAD_BYTES];
    char text[HEAD_BYTES + 1];
    uint64_t rows = 0, columns = 0;
    MILL_TRY(mill_infile_read(&r->file, head, sizeof head, err));
    memcpy(text, head, sizeof head);
    text[HEAD_BYTES] = '\0';
    const char *shape = text + 10;
    int shapes = sscanf(shape, "{'descr': '<u%" SCNu32 "', 'fortran_order': False, 'shape': (%" SCNu64 ", %" SCNu64 ")", &r->width,
                        &rows, &columns);
    if (shapes >= 2 && (r->width == 2 || r->width == 4)) {
        make_head(r->width, rows, shapes == 3 ? columns : 0, again);
        uint64_t tokens = shapes == 3 ? 0 : rows;
        bool fits = shapes == 2 || (columns != 0 && columns <= UINT32_MAX && !__builtin_mul_overflow(rows, columns, &tokens));
        if (fits && memcmp(head, again, sizeof head) == 0 && mill_infile_left(&r->file) / r->width == tokens &&
            mill_infile_left(&r->file) % r->width == 0) {
            r->columns = shapes == 3 ? columns : 0;
            return MILL_OK;
        }
    }
    return mill_infile_fail(&r->file, err, "is no array of token ids as shardmill writes them");
}

static mill_status open_reader(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                               mill_error *err)
{
    reader *r = mill_alloc_zero(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return mill_fail_nomem(err, "opening an npy shard");
    mill_status status = mill_infile_open(&r->file, fs, dir, where, paths[0], err);
    if (status == MILL_OK)
        status = read_head(r, err);
    if (status == MILL_OK)
        *out = r;
    else
        close_reader(r);
    return status;
}

static mill_status next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err)
{
    reader *r = self;
    uint64_t left = mill_infile_left(&r->file) / r->width, count = r->columns != 0 ? r->columns : most < left ? most : left;
    mill_read_sample_clear(out);
    out->stream = r->columns == 0;
    *end = left == 0;
    return *end ? MILL_OK : mill_infile_ids(&r->file, count, r->width, out, err);
}

const mill_container mill_container_npy = {.name = "npy",
                                           .label = "shards (npy)",
                                           .directory = "shards-npy",
                                           .prefix = "shard_",
                                           .digits = 5,
                                           .suffixes = {".npy"},
                                           .use = "import numpy\n"
                                                  "block = numpy.load(DIR + \"/shards-npy/shard_00000.npy\", mmap_mode=\"r\")\n",
                                           .rule = MILL_RULE_BLOCKS,
                                           .uniform_borders = true,
                                           .open = open_writer,
                                           .add = add,
                                           .finish = finish,
                                           .close = close_writer,
                                           .read_open = open_reader,
                                           .read_next = next,
                                           .read_close = close_reader};
