// shard_stream.c: plain streams of ids: llm.c's files with their head of 1024 bytes, and datatrove's with the ends of documents.
#include "shard/shard_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shard/shard_containers.h"

// ---- what they share ----

mill_status mill_stream_writer_open(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                                    mill_stream_writer **out, mill_error *err)
{
    mill_stream_writer *w = mill_alloc_zero(1, sizeof *w);
    *out = w;
    if (w == NULL)
        return mill_fail_nomem(err, "opening a shard");
    w->options = *options;
    w->check.extent = extent;
    memcpy(w->opened, files, sizeof w->opened);
    w->files = w->opened;
    w->width = mill_id_bytes(options->shard.vocab_size);
    return MILL_OK;
}

mill_status mill_stream_writer_add(void *self, const mill_sample *sample, mill_error *err)
{
    mill_stream_writer *w = self;
    size_t bytes = (size_t)sample->count * w->width;
    MILL_TRY(mill_check_sample(&w->options.shard, sample, err));
    MILL_TRY(mill_extent_take(&w->check, sample, err));
    mill_buf_clear(&w->bytes);
    MILL_TRY(mill_buf_reserve(&w->bytes, bytes, err));
    mill_put_ids(sample->ids, sample->count, w->width, w->bytes.data);
    w->tokens += sample->count;
    return mill_outfile_write(w->files[0], w->bytes.data, bytes, err);
}

mill_status mill_stream_writer_finish(void *self, uint64_t number, cJSON *facts, mill_error *err)
{
    (void)number;
    mill_stream_writer *w = self;
    MILL_TRY(mill_extent_end(&w->check, err));
    bool good = cJSON_AddStringToObject(facts, "dtype", w->width == 2 ? "uint16" : "uint32") != NULL;
    return good ? MILL_OK : mill_fail_nomem(err, "the facts of a shard");
}

void mill_stream_writer_close(void *self)
{
    mill_stream_writer *w = self;
    if (w == NULL)
        return;
    mill_buf_free(&w->bytes);
    mill_free(w);
}

typedef struct reader {
    mill_infile ids, ends, mask; // mask: file -1 where there is none
    uint32_t width;
    uint64_t at; // tokens given
} reader;

static void close_reader(void *self)
{
    reader *r = self;
    if (r == NULL)
        return;
    mill_infile_close(&r->ids);
    mill_infile_close(&r->ends);
    mill_infile_close(&r->mask);
    mill_free(r);
}

static mill_status new_reader(reader **out, mill_error *err)
{
    *out = mill_alloc_zero(1, sizeof **out);
    if (*out == NULL)
        return mill_fail_nomem(err, "opening a shard");
    (*out)->ids.file = (*out)->ends.file = (*out)->mask.file = -1;
    return MILL_OK;
}

// Hands a reader out, or closes it.
static mill_status hand_out(reader *r, mill_status status, void **out)
{
    if (status != MILL_OK)
        close_reader(r);
    *out = status == MILL_OK ? r : NULL;
    return status;
}

// ---- llm.c ----

#define LLMC_HEAD 1024
#define LLMC_GPT2 20240520 // version 1, 16 bits an id
#define LLMC_LLAMA3 20240801 // version 7, 32 bits

static mill_status llmc_open(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                             void **out, mill_error *err)
{
    uint8_t head[LLMC_HEAD] = {0};
    mill_stream_writer *w;
    mill_status status = mill_stream_writer_open(options, extent, files, &w, err);
    *out = w;
    MILL_TRY(status);
    if (extent->tokens > INT32_MAX)
        return mill_fail(err, MILL_INPUT,
                         "an llm.c shard of %" PRIu64 " tokens: its head counts to %d; use a smaller shard.samples", extent->tokens,
                         INT32_MAX);
    mill_put_u32(head, w->width == 2 ? LLMC_GPT2 : LLMC_LLAMA3);
    mill_put_u32(head + 4, w->width == 2 ? 1 : 7);
    mill_put_u32(head + 8, (uint32_t)extent->tokens);
    return mill_outfile_write(files[0], head, sizeof head, err);
}

static mill_status llmc_read_head(reader *r, mill_error *err)
{
    uint8_t head[LLMC_HEAD];
    MILL_TRY(mill_infile_read(&r->ids, head, sizeof head, err));
    uint32_t magic = mill_get_u32(head), version = mill_get_u32(head + 4);
    bool good = (magic == LLMC_GPT2 && version == 1) || (magic == LLMC_LLAMA3 && version == 7);
    r->width = magic == LLMC_GPT2 ? 2 : 4;
    for (size_t i = 12; i < sizeof head; i++)
        good = good && head[i] == 0;
    if (!good || mill_infile_left(&r->ids) != (uint64_t)mill_get_u32(head + 8) * r->width)
        return mill_infile_fail(&r->ids, err, "has no head of llm.c, or one of another number of tokens");
    return MILL_OK;
}

static mill_status llmc_read_open(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                                  mill_error *err)
{
    reader *r;
    MILL_TRY(new_reader(&r, err));
    mill_status status = mill_infile_open(&r->ids, fs, dir, where, paths[0], err);
    if (status == MILL_OK)
        status = llmc_read_head(r, err);
    return hand_out(r, status, out);
}

static mill_status llmc_next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err)
{
    reader *r = self;
    uint64_t left = mill_infile_left(&r->ids) / r->width;
    mill_read_sample_clear(out);
    out->stream = true;
    *end = left == 0;
    return *end ? MILL_OK : mill_infile_ids(&r->ids, most < left ? most : left, r->width, out, err);
}

const mill_container mill_container_llmc = {.name = "llmc",
                                            .label = "shards (llmc)",
                                            .directory = "shards-llmc",
                                            .prefix = "shard_train_",
                                            .digits = 6,
                                            .suffixes = {".bin"},
                                            .rule = MILL_RULE_BLOCKS,
                                            .open = llmc_open,
                                            .add = mill_stream_writer_add,
                                            .finish = mill_stream_writer_finish,
                                            .close = mill_stream_writer_close,
                                            .read_open = llmc_read_open,
                                            .read_next = llmc_next,
                                            .read_close = close_reader};

// ---- datatrove ----

#define DATATROVE_MASK 3 // number of its file with a byte a token, 1: it is learned

// Three digits and a prefix, "1.23 MT": what datatrove's own writer says (humanize 4.17).
static void human_count(uint64_t tokens, char out[32])
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
    int exponent = 0;
    for (uint64_t rest = tokens; rest >= 10; rest /= 10)
        exponent++;
    for (;; exponent++) { // once more where rounding makes a digit too many
        char number[16];
        double scale = 1;
        for (int i = 0; i < exponent / 3; i++)
            scale *= 1000;
        snprintf(number, sizeof number, "%.*f", 2 - exponent % 3, (double)tokens / scale);
        snprintf(out, 32, "%s %sT", number, prefixes[exponent / 3]);
        if (strcspn(number, ".") <= (size_t)(exponent % 3) + 1)
            return;
    }
}

static mill_status datatrove_open(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                                  void **out, mill_error *err)
{
    uint8_t number[8];
    char metadata[96], human[32];
    uint64_t end = 0;
    mill_stream_writer *w;
    mill_status status = mill_stream_writer_open(options, extent, files, &w, err);
    *out = w;
    MILL_TRY(status);
    for (uint64_t i = 0; i < extent->count; i++) {
        end += extent->lengths[i];
        mill_put_u64(number, end);
        MILL_TRY(mill_outfile_write(files[1], number, sizeof number, err));
    }
    human_count(extent->tokens, human);
    int bytes = snprintf(metadata, sizeof metadata, "tokenizer/tokenizer.json|%" PRIu32 "\n%" PRIu64 "\n%s", w->width,
                         extent->tokens, human);
    return mill_outfile_write(files[2], metadata, (size_t)bytes, err);
}

static mill_status datatrove_add(void *self, const mill_sample *sample, mill_error *err)
{
    mill_stream_writer *w = self;
    MILL_TRY(mill_stream_writer_add(w, sample, err));
    return w->options.shard.loss_mask ? mill_outfile_write(w->files[DATATROVE_MASK], sample->loss_mask, sample->count, err)
                                      : MILL_OK;
}

// The width of an id follows from the two sizes. A mask has a byte for each.
static mill_status datatrove_sizes(reader *r, mill_error *err)
{
    uint8_t number[8];
    uint64_t tokens = 0;
    if (r->ends.bytes % 8 != 0)
        return mill_infile_fail(&r->ends, err, "has %" PRIu64 " bytes: 8 for each document are wanted", r->ends.bytes);
    if (r->ends.bytes != 0) {
        MILL_TRY(mill_fs_pread_all(r->ends.fs, r->ends.file, r->ends.name, number, 8, r->ends.bytes - 8, err));
        tokens = mill_get_u64(number);
    }
    for (r->width = 2; r->width <= 4; r->width += 2) {
        if (tokens <= UINT64_MAX / 4 && r->ids.bytes == tokens * r->width)
            break;
    }
    if (r->width <= 4 && (r->mask.file < 0 || r->mask.bytes == tokens))
        return MILL_OK;
    if (r->width <= 4)
        return mill_infile_fail(&r->mask, err, "has %" PRIu64 " bytes, one for each of %" PRIu64 " tokens is wanted", r->mask.bytes,
                                tokens);
    return mill_infile_fail(&r->ids, err, "has %" PRIu64 " bytes, its index tells of %" PRIu64 " tokens", r->ids.bytes, tokens);
}

static mill_status datatrove_read_open(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                                       mill_error *err)
{
    reader *r;
    MILL_TRY(new_reader(&r, err));
    mill_status status = mill_infile_open(&r->ids, fs, dir, where, paths[0], err);
    if (status == MILL_OK)
        status = mill_infile_open(&r->ends, fs, dir, where, paths[1], err);
    if (status == MILL_OK)
        status = mill_infile_open_optional(&r->mask, fs, dir, where, paths[DATATROVE_MASK], err);
    if (status == MILL_OK)
        status = datatrove_sizes(r, err);
    return hand_out(r, status, out);
}

static mill_status datatrove_next_mask(reader *r, mill_read_sample *out, mill_error *err)
{
    uint32_t strange = 0;
    MILL_TRY(MILL_GROW(out->mask, out->mask_capacity, out->count + 1, err));
    MILL_TRY(mill_infile_read(&r->mask, out->mask, out->count, err));
    for (size_t i = 0; i < out->count; i++)
        strange |= out->mask[i];
    out->has_mask = true;
    return strange <= 1 ? MILL_OK : mill_infile_fail(&r->mask, err, "holds something else than 0 and 1");
}

static mill_status datatrove_next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err)
{
    (void)most;
    reader *r = self;
    uint8_t number[8];
    mill_read_sample_clear(out);
    *end = mill_infile_left(&r->ends) == 0;
    if (*end)
        return MILL_OK;
    MILL_TRY(mill_infile_read(&r->ends, number, 8, err));
    uint64_t here = mill_get_u64(number);
    if (here < r->at || here - r->at > UINT32_MAX)
        return mill_infile_fail(&r->ends, err, "a document ends before the one in front of it, or is endless");
    MILL_TRY(mill_infile_ids(&r->ids, here - r->at, r->width, out, err));
    r->at = here;
    return r->mask.file >= 0 ? datatrove_next_mask(r, out, err) : MILL_OK;
}

const mill_container mill_container_datatrove = {.name = "datatrove",
                                                 .label = "shards (datatrove)",
                                                 .directory = "shards-datatrove",
                                                 .prefix = "shard_",
                                                 .digits = 5,
                                                 .suffixes = {".ds", ".ds.index", ".ds.metadata", ".ds.loss"},
                                                 .mask_file = DATATROVE_MASK,
                                                 .rule = MILL_RULE_BLOCKS,
                                                 .borders = true,
                                                 .open = datatrove_open,
                                                 .add = datatrove_add,
                                                 .finish = mill_stream_writer_finish,
                                                 .close = mill_stream_writer_close,
                                                 .read_open = datatrove_read_open,
                                                 .read_next = datatrove_next,
                                                 .read_close = close_reader};
