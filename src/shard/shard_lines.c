// shard_lines.c: shards of JSON lines, plain or as one zstd frame. shard_jsonl.c makes the lines.
#include "shard/container_io.h"
#include "shard/shard_containers.h"
#include "shard/shard_out.h"

typedef struct writer {
    mill_extent_check check;
    mill_shard_writer *lines;
    mill_shard_out out;
    mill_buf text;
} writer;

static void close_writer(void *self)
{
    writer *w = self;
    if (w == NULL)
        return;
    mill_shard_writer_close(w->lines);
    mill_shard_out_close(&w->out);
    mill_buf_free(&w->text);
    mill_free(w);
}

static mill_status open_writer(const mill_container_options *options, const mill_extent *extent, mill_outfile *file, int level,
                               void **out, mill_error *err)
{
    writer *w = mill_alloc_zero(1, sizeof *w);
    *out = w;
    if (w == NULL)
        return mill_fail_nomem(err, "opening a shard");
    w->check.extent = extent;
    MILL_TRY(mill_shard_writer_open(&options->shard, &w->lines, err));
    return mill_shard_out_open(&w->out, file, level, true, options->workers, err);
}

static mill_status open_plain(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                              void **out, mill_error *err)
{
    return open_writer(options, extent, files[0], 0, out, err);
}

static mill_status open_packed(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                               void **out, mill_error *err)
{
    return open_writer(options, extent, files[0], options->shard.zstd_level, out, err);
}

static mill_status add(void *self, const mill_sample *sample, mill_error *err)
{
    writer *w = self;
    MILL_TRY(mill_extent_take(&w->check, sample, err));
    MILL_TRY(mill_shard_writer_append(w->lines, sample, &w->text, err));
    return mill_shard_out_take(&w->out, &w->text, err);
}

static mill_status finish(void *self, uint64_t number, cJSON *facts, mill_error *err)
{
    (void)number;
    (void)facts;
    writer *w = self;
    MILL_TRY(mill_extent_end(&w->check, err));
    return mill_shard_out_finish(&w->out, &w->text, err);
}

const mill_container mill_container_jsonl_zst = {.name = "jsonl.zst",
                                                 .label = "shards (jsonl.zst)",
                                                 .directory = "shards",
                                                 .prefix = "shard_",
                                                 .digits = 5,
                                                 .suffixes = {".jsonl.zst"},
                                                 .pattern = "shards/*.jsonl.zst",
                                                 .rule = MILL_RULE_ROWS,
                                                 .borders = true,
                                                 .columns = true,
                                                 .open = open_packed,
                                                 .add = add,
                                                 .finish = finish,
                                                 .close = close_writer};

const mill_container mill_container_jsonl = {.name = "jsonl",
                                             .label = "shards (jsonl)",
                                             .directory = "shards",
                                             .prefix = "shard_",
                                             .digits = 5,
                                             .suffixes = {".jsonl"},
                                             .pattern = "shards/*.jsonl",
                                             .rule = MILL_RULE_ROWS,
                                             .borders = true,
                                             .columns = true,
                                             .open = open_plain,
                                             .add = add,
                                             .finish = finish,
                                             .close = close_writer};
