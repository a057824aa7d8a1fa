// pack_dump.c: packs rows of token ids and writes uncompressed JSON shards as the guide spaces them, for comparing with peers.
//
// usage: pack_dump ROWS OUT_DIR MODE SEQ_LEN EXTRA SAMPLES_PER_SHARD
// ROWS: little-endian u32: for each row its length, then its ids.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pack/pack.h"
#include "shard/shard.h"

typedef struct rows {
    mill_buf bytes;
    uint32_t *lengths;
    uint64_t *starts; // index of the first id in bytes
    size_t count, lengths_capacity, starts_capacity;
} rows;

_Noreturn static void die(const char *what, const mill_error *err)
{
    fprintf(stderr, "pack_dump: %s: %s\n", what, err->message);
    exit(1);
}

static void check(mill_status status, const mill_error *err)
{
    if (status != MILL_OK)
        die("failed", err);
}

static void read_rows(const char *path, rows *in)
{
    mill_error err = {0};
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        die(path, &err);
    uint8_t block[65536];
    for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;)
        check(mill_buf_append(&in->bytes, block, got, &err), &err);
    fclose(file);
    const uint32_t *words = (const uint32_t *)(const void *)in->bytes.data;
    for (uint64_t at = 0; at < in->bytes.bytes / 4; at += 1 + (uint64_t)words[at]) {
        check(MILL_GROW(in->lengths, in->lengths_capacity, in->count + 1, &err), &err);
        check(MILL_GROW(in->starts, in->starts_capacity, in->count + 1, &err), &err);
        in->lengths[in->count] = words[at];
        in->starts[in->count++] = at + 1;
    }
}

static void write_shard(const rows *in, const mill_packing *packing, size_t first, size_t end,
                        const mill_shard_writer *writer, const char *path)
{
    mill_error err = {0};
    mill_buf text = {0}, ids = {0};
    for (size_t s = first; s < end; s++) {
        mill_buf_clear(&ids);
        for (uint64_t i = packing->sample_parts[s]; i < packing->sample_parts[s + 1]; i++) {
            mill_part part = packing->parts[i];
            const uint8_t *from = in->bytes.data + 4 * (in->starts[part.row] + part.begin);
            check(mill_buf_append(&ids, from, 4 * (size_t)part.count, &err), &err);
        }
        mill_sample sample = {.ids = (const uint32_t *)(const void *)ids.data, .count = (uint32_t)(ids.bytes / 4), .number = s};
        check(mill_shard_writer_append(writer, &sample, &text, &err), &err);
    }
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(text.data, 1, text.bytes, file) != text.bytes || fclose(file) != 0)
        die(path, &err);
    mill_buf_free(&text);
    mill_buf_free(&ids);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: pack_dump ROWS OUT_DIR MODE SEQ_LEN EXTRA SAMPLES_PER_SHARD\n");
        return 2;
    }
    mill_pack_options options = {.mode = MILL_PACK_MODE_COUNT, .keep_single = true};
    for (unsigned mode = 0; mode < MILL_PACK_MODE_COUNT; mode++) {
        if (strcmp(argv[3], mill_pack_mode_names[mode]) == 0)
            options.mode = (mill_pack_mode)mode;
    }
    options.seq_len = (uint32_t)strtoul(argv[4], NULL, 10);
    options.extra = (uint32_t)strtoul(argv[5], NULL, 10);
    size_t per_shard = strtoul(argv[6], NULL, 10);
    rows in = {0};
    read_rows(argv[1], &in);
    mill_packing packing;
    mill_error err = {0};
    check(mill_pack_rows(in.lengths, in.count, &options, &packing, &err), &err);
    const mill_shard_options format = {.python_spacing = true, .vocab_size = 1 << 21};
    mill_shard_writer *writer;
    check(mill_shard_writer_open(&format, &writer, &err), &err);
    for (size_t first = 0, shard = 0; first < packing.sample_count; first += per_shard, shard++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/shard_%05zu.jsonl", argv[2], shard);
        size_t end = first + per_shard < packing.sample_count ? first + per_shard : packing.sample_count;
        write_shard(&in, &packing, first, end, writer, path);
    }
    mill_shard_writer_close(writer);
    mill_packing_free(&packing);
    mill_buf_free(&in.bytes);
    mill_free(in.lengths);
    mill_free(in.starts);
    return 0;
}
