// shard_megatron.c: a Megatron data set: PREFIX.bin, the tokens of all sequences, and PREFIX.idx (index version 1), where they lie.
// Each sequence is a document of its own, as Megatron's preprocessing tool writes them.
#include <inttypes.h>
#include <string.h>

#include "shard/container_io.h"
#include "shard/shard_containers.h"

#define HEAD_BYTES 34
#define TYPE_I32 4
#define TYPE_U16 8
#define U16_BELOW 65500 // the width rule of Megatron's own tool

static const uint8_t magic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};

typedef struct writer {
    mill_container_options options;
    mill_extent_check check;
    mill_outfile *bin;
    mill_buf bytes;
    uint32_t width;
} writer;

static mill_status write_head(const mill_extent *extent, uint32_t width, mill_outfile *idx, mill_error *err)
{
    uint8_t head[HEAD_BYTES];
    memcpy(head, magic, sizeof magic);
    mill_put_u64(head + 9, 1);
    head[17] = width == 2 ? TYPE_U16 : TYPE_I32;
    mill_put_u64(head + 18, extent->count);
    mill_put_u64(head + 26, extent->count + 1);
    return mill_outfile_write(idx, head, sizeof head, err);
}

// The index is known before the first token: it is written first.
static mill_status write_index(const mill_extent *extent, uint32_t width, mill_outfile *idx, mill_error *err)
{
    uint8_t number[8];
    uint64_t at = 0;
    MILL_TRY(write_head(extent, width, idx, err));
    for (uint64_t i = 0; i < extent->count; i++) {
        if (extent->lengths[i] > INT32_MAX)
            return mill_fail(err, MILL_INPUT, "a sequence of %" PRIu32 " tokens: Megatron's index takes at most %d",
                             extent->lengths[i], INT32_MAX);
        mill_put_u32(number, extent->lengths[i]);
        MILL_TRY(mill_outfile_write(idx, number, 4, err));
    }
    for (uint64_t i = 0; i < extent->count; i++) {
        mill_put_u64(number, at);
        MILL_TRY(mill_outfile_write(idx, number, 8, err));
        at += (uint64_t)extent->lengths[i] * width;
    }
    for (uint64_t i = 0; i <= extent->count; i++) {
        mill_put_u64(number, i);
        MILL_TRY(mill_outfile_write(idx, number, 8, err));
    }
    return MILL_OK;
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
    uint32_t vocab_size = options->shard.vocab_size;
    if (vocab_size - 1 > INT32_MAX)
        return mill_fail(err, MILL_INPUT, "a vocabulary of %" PRIu32 " ids: Megatron's widest token is an int32", vocab_size);
    writer *w = mill_alloc_zero(1, sizeof *w);
    *out = w;
    if (w == NULL)
        return mill_fail_nomem(err, "opening a Megatron shard");
    *w = (writer){.options = *options, .check = {.extent = extent}, .bin = files[0], .width = vocab_size < U16_BELOW ? 2 : 4};
    return write_index(extent, w->width, files[1], err);
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
    return mill_outfile_write(w->bin, w->bytes.data, bytes, err);
}

static mill_status finish(void *self, uint64_t number, cJSON *facts, mill_error *err)
{
    (void)number;
    writer *w = self;
    MILL_TRY(mill_extent_end(&w->check, err));
    bool good = cJSON_AddStringToObject(facts, "dtype", w->width == 2 ? "uint16" : "int32") != NULL;
    return good ? MILL_OK : mill_fail_nomem(err, "the facts of a shard");
}

// ---- reading ----

typedef struct reader {
    mill_infile bin, idx;
    uint64_t count, at;
    uint32_t width, *lengths;
} reader;

static void close_reader(void *self)
{
    reader *r = self;
    if (r == NULL)
        return;
    mill_infile_close(&r->bin);
    mill_infile_close(&r->idx);
    mill_free(r->lengths);
    mill_free(r);
}

static mill_status read_lengths(reader *r, uint64_t *tokens, mill_error *err)
{
    uint8_t number[8];
    r->lengths = mill_alloc_zero(r->count + 1, sizeof *r->lengths);
    if (r->lengths == NULL)
        return mill_fail_nomem(err, "reading a Megatron index");
    for (uint64_t i = 0; i < r->count; i++) {
        MILL_TRY(mill_infile_read(&r->idx, number, 4, err));
        r->lengths[i] = mill_get_u32(number);
        if (r->lengths[i] > INT32_MAX)
            return mill_infile_fail(&r->idx, err, "sequence %" PRIu64 " has a negative length", i);
        *tokens += r->lengths[i];
    }
    return MILL_OK;
}

static mill_status read_places(reader *r, mill_error *err)
{
    uint8_t number[8];
    uint64_t at = 0;
    for (uint64_t i = 0; i < r->count; i++) {
        MILL_TRY(mill_infile_read(&r->idx, number, 8, err));
        if (mill_get_u64(number) != at)
            return mill_infile_fail(&r->idx, err, "sequence %" PRIu64 " does not begin where the one before it ends", i);
        at += (uint64_t)r->lengths[i] * r->width;
    }
    for (uint64_t i = 0; i <= r->count; i++) {
        MILL_TRY(mill_infile_read(&r->idx, number, 8, err));
        if (mill_get_u64(number) != i)
            return mill_infile_fail(&r->idx, err, "document %" PRIu64 " is not the sequence of this number", i);
    }
    return MILL_OK;
}

static mill_status read_index(reader *r, mill_error *err)
{
    uint8_t head[HEAD_BYTES];
    uint64_t tokens = 0;
    MILL_TRY(mill_infile_read(&r->idx, head, sizeof head, err));
    r->count = mill_get_u64(head + 18);
    if (memcmp(head, magic, sizeof magic) != 0 || mill_get_u64(head + 9) != 1 || (head[17] != TYPE_U16 && head[17] != TYPE_I32))
        return mill_infile_fail(&r->idx, err, "is no Megatron index of version 1 with ids of type uint16 or int32");
    if (r->count > (r->idx.bytes - HEAD_BYTES) / 20 || mill_get_u64(head + 26) != r->count + 1 ||
        r->idx.bytes != HEAD_BYTES + 20 * r->count + 8)
        return mill_infile_fail(&r->idx, err, "has %" PRIu64 " bytes, %" PRIu64 " sequences of one document each need others",
                                r->idx.bytes, r->count);
    r->width = head[17] == TYPE_U16 ? 2 : 4;
    MILL_TRY(read_lengths(r, &tokens, err));
    MILL_TRY(read_places(r, err));
    if (r->bin.bytes != tokens * r->width)
        return mill_infile_fail(&r->bin, err, "has %" PRIu64 " bytes, its index tells of %" PRIu64 " tokens of %" PRIu32,
                                r->bin.bytes, tokens, r->width);
    return MILL_OK;
}

static mill_status open_reader(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                               mill_error *err)
{
    reader *r = mill_alloc_zero(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return mill_fail_nomem(err, "opening a Megatron shard");
    r->bin.file = r->idx.file = -1;
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_infile_open(&r->bin, fs, dir, where, paths[0], err));
    MILL_TRY_GOTO(mill_infile_open(&r->idx, fs, dir, where, paths[1], err));
    MILL_TRY_GOTO(read_index(r, err));
    *out = r;
    return MILL_OK;
cleanup:
    close_reader(r);
    return status;
}

static mill_status next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err)
{
    (void)most;
    reader *r = self;
    mill_read_sample_clear(out);
    *end = r->at == r->count;
    return *end ? MILL_OK : mill_infile_ids(&r->bin, r->lengths[r->at++], r->width, out, err);
}

const mill_container mill_container_megatron = {.name = "megatron",
                                                .label = "shards (megatron)",
                                                .directory = "shards-megatron",
                                                .prefix = "shard_",
                                                .digits = 5,
                                                .suffixes = {".bin", ".idx"},
                                                .use = "from megatron.core.datasets.indexed_dataset import IndexedDataset\n"
                                                       "documents = IndexedDataset(DIR + \"/shards-megatron/shard_00000\")\n",
                                                .rule = MILL_RULE_BLOCKS,
                                                .borders = true,
                                                .open = open_writer,
                                                .add = add,
                                                .finish = finish,
                                                .close = close_writer,
                                                .read_open = open_reader,
                                                .read_next = next,
                                                .read_close = close_reader};
