// pass_shards.c: samples -> shards and the docs sidecar. A unit is one shard; any worker may write it.
#include <stdio.h>
#include <string.h>

#include "pipeline/run.h"
#include "shard/docs.h"
#include "shard/manifest.h"
#include "shard/shard_out.h"

// Text is handed to the compressor in pieces of about this size.
#define PIECE_BYTES (1u << 20)

typedef struct shard_pass {
    mill_run_state *run;
    mill_shard_writer *writer;
    bool has_mask;
} shard_pass;

typedef struct shard_worker {
    mill_buf text, docs;
    uint32_t *ids, *bounds;
    uint8_t *mask;
    size_t id_capacity, bound_capacity, mask_capacity;
    void *ids_sha256, *lengths_sha256, *mask_sha256;
} shard_worker;

// What is open while one shard is written.
typedef struct open_shard {
    mill_unit unit;
    mill_shard_out zst, plain, docs;
    bool has_zst, has_plain;
    uint64_t tokens, targets;
} open_shard;

static void close_worker(void *context, void *state)
{
    (void)context;
    shard_worker *w = state;
    mill_buf_free(&w->text);
    mill_buf_free(&w->docs);
    mill_free(w->ids);
    mill_free(w->bounds);
    mill_free(w->mask);
    mill_sha256_destroy(w->mask_sha256);
    mill_sha256_destroy(w->ids_sha256);
    mill_sha256_destroy(w->lengths_sha256);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)context;
    (void)number;
    *state = mill_alloc_zero(1, sizeof(shard_worker));
    return *state == NULL ? mill_fail_nomem(err, "starting a shard writer") : MILL_OK;
}

static void copy_ids(const mill_token_unit *unit, uint64_t first, uint32_t count, uint32_t *out)
{
    if (unit->id_bytes == 4) {
        memcpy(out, unit->ids + first * 4, (size_t)count * 4);
        return;
    }
    const uint16_t *ids = (const uint16_t *)(const void *)unit->ids + first;
    for (uint32_t i = 0; i < count; i++)
        out[i] = ids[i];
}

// Gathers the ids and row borders of sample number s.
static mill_status gather(mill_run_state *run, shard_worker *w, uint64_t s, mill_sample *sample, mill_error *err)
{
    const bool has_mask = w->mask_sha256 != NULL;
    const mill_packing *packing = &run->packing;
    uint64_t first = packing->sample_parts[s], end = packing->sample_parts[s + 1];
    uint64_t tokens = 0;
    for (uint64_t i = first; i < end; i++)
        tokens += packing->parts[i].count;
    MILL_TRY(MILL_GROW(w->ids, w->id_capacity, tokens, err));
    MILL_TRY(MILL_GROW(w->bounds, w->bound_capacity, end - first + 1, err));
    if (has_mask)
        MILL_TRY(MILL_GROW(w->mask, w->mask_capacity, tokens, err));
    uint32_t at = 0;
    for (uint64_t i = first; i < end; i++) {
        const mill_part *part = &packing->parts[i];
        const mill_packed_row *packed = &run->packed[part->row];
        const mill_token_unit *unit = &run->tokens[packed->unit];
        w->bounds[i - first] = at;
        copy_ids(unit, unit->rows[packed->row].first_token + part->begin, part->count, w->ids + at);
        if (has_mask)
            mill_token_mask(unit, &unit->rows[packed->row], part->begin, part->count, w->mask + at);
        at += part->count;
    }
    w->bounds[end - first] = at;
    *sample = (mill_sample){w->ids, at, w->bounds, (uint32_t)(end - first), has_mask ? w->mask : NULL, s};
    return MILL_OK;
}

static mill_status append_docs(mill_run_state *run, uint64_t s, mill_buf *out, mill_error *err)
{
    const mill_packing *packing = &run->packing;
    uint32_t begin = 0;
    for (uint64_t i = packing->sample_parts[s]; i < packing->sample_parts[s + 1]; i++) {
        const mill_part *part = &packing->parts[i];
        const mill_packed_row *packed = &run->packed[part->row];
        const mill_token_unit *unit = &run->tokens[packed->unit];
        const mill_row *row = &unit->rows[packed->row];
        const mill_doc *doc = &run->docs[packed->doc];
        const mill_span *repo = &unit->repo[row->record], *path = &unit->path[row->record], *licence = &unit->licence[row->record];
        const char *file = run->inputs[doc->input].name, *language = mill_language_get(run->languages, doc->language)->name;
        const mill_doc_line line = {.sample = s,
                                    .begin = begin,
                                    .tokens = part->count,
                                    .file = file,
                                    .file_bytes = strlen(file),
                                    .record = doc->record,
                                    .repo = unit->meta + repo->offset,
                                    .repo_bytes = repo->bytes,
                                    .path = unit->meta + path->offset,
                                    .path_bytes = path->bytes,
                                    .licence = unit->meta + licence->offset,
                                    .licence_bytes = licence->bytes,
                                    .language = language,
                                    .language_bytes = strlen(language),
                                    .piece = row->piece,
                                    .text_begin = row->text_begin,
                                    .text_end = row->text_end,
                                    .mode = mill_row_mode_names[row->mode < MILL_ROW_MODES ? row->mode : 0],
                                    .cut_begin = row->cut_begin,
                                    .cut_end = row->cut_end,
                                    .row_begin = part->begin,
                                    .last = row->last};
        MILL_TRY(mill_docs_append(&line, out, err));
        begin += part->count;
    }
    return MILL_OK;
}

static mill_status open_product(mill_run_state *run, open_shard *shard, const char *format, uint64_t number, int level,
                                mill_shard_out *out, mill_error *err)
{
    char path[64];
    mill_unit_file *file;
    // The formats are the literals below.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, sizeof path, format, (unsigned long long)number);
#pragma GCC diagnostic pop
    MILL_TRY(mill_unit_create(run->dir, &shard->unit, path, &file, err));
    return mill_shard_out_open(out, &file->out, level, run->threads, err);
}

static mill_status open_files(mill_run_state *run, open_shard *shard, uint64_t number, mill_error *err)
{
    int level = run->recipe.shard.zstd_level;
    mill_unit_init(&shard->unit, "shard", number);
    if (run->write_zst) {
        shard->has_zst = true;
        MILL_TRY(open_product(run, shard, "shards/shard_%05llu.jsonl.zst", number, level, &shard->zst, err));
    }
    if (run->write_jsonl) {
        shard->has_plain = true;
        MILL_TRY(open_product(run, shard, "shards/shard_%05llu.jsonl", number, 0, &shard->plain, err));
    }
    return open_product(run, shard, "docs/docs_%05llu.jsonl.zst", number, level, &shard->docs, err);
}

static mill_status hand_on(open_shard *shard, shard_worker *w, mill_error *err)
{
    if (shard->has_zst)
        MILL_TRY(mill_shard_out_append(&shard->zst, w->text.data, w->text.bytes, err));
    if (shard->has_plain)
        MILL_TRY(mill_shard_out_append(&shard->plain, w->text.data, w->text.bytes, err));
    MILL_TRY(mill_shard_out_append(&shard->docs, w->docs.data, w->docs.bytes, err));
    mill_buf_clear(&w->text);
    mill_buf_clear(&w->docs);
    return MILL_OK;
}

static void hex_digest(void **sha256, char hex[65])
{
    uint8_t digest[32];
    mill_sha256_finish(*sha256, digest);
    *sha256 = NULL;
    mill_hex(digest, sizeof digest, hex);
}

static mill_status write_samples(shard_pass *pass, shard_worker *w, open_shard *shard, uint64_t begin, uint64_t end,
                                 mill_error *err)
{
    mill_run_state *run = pass->run;
    for (uint64_t s = begin; s < end; s++) {
        mill_sample sample;
        MILL_TRY(gather(run, w, s, &sample, err));
        MILL_TRY(mill_shard_writer_append(pass->writer, &sample, &w->text, err));
        MILL_TRY(append_docs(run, s, &w->docs, err));
        uint64_t length = sample.count;
        mill_sha256_update(w->ids_sha256, sample.ids, (size_t)sample.count * 4);
        mill_sha256_update(w->lengths_sha256, &length, sizeof length);
        shard->tokens += sample.count;
        if (sample.loss_mask != NULL)
            mill_sha256_update(w->mask_sha256, sample.loss_mask, sample.count);
        for (uint32_t i = 0; sample.loss_mask != NULL && i < sample.count; i++)
            shard->targets += sample.loss_mask[i];
        if (w->text.bytes >= PIECE_BYTES)
            MILL_TRY(hand_on(shard, w, err));
    }
    return hand_on(shard, w, err);
}

static mill_status finish_shard(shard_worker *w, open_shard *shard, uint64_t samples, mill_error *err)
{
    char text_sha256[65] = "", docs_sha256[65], ids[65], lengths[65], mask[65];
    const bool has_mask = w->mask_sha256 != NULL;
    if (shard->has_plain)
        MILL_TRY(mill_shard_out_finish(&shard->plain, text_sha256, err));
    if (shard->has_zst)
        MILL_TRY(mill_shard_out_finish(&shard->zst, text_sha256, err));
    MILL_TRY(mill_shard_out_finish(&shard->docs, docs_sha256, err));
    hex_digest(&w->ids_sha256, ids);
    hex_digest(&w->lengths_sha256, lengths);
    if (has_mask)
        hex_digest(&w->mask_sha256, mask);
    cJSON *payload = cJSON_CreateObject();
    shard->unit.payload = payload;
    bool good = cJSON_AddNumberToObject(payload, "samples", (double)samples) != NULL &&
                cJSON_AddNumberToObject(payload, "tokens", (double)shard->tokens) != NULL &&
                cJSON_AddStringToObject(payload, "text_sha256", text_sha256) != NULL &&
                cJSON_AddStringToObject(payload, "docs_sha256", docs_sha256) != NULL &&
                cJSON_AddStringToObject(payload, "ids_sha256", ids) != NULL &&
                cJSON_AddStringToObject(payload, "lengths_sha256", lengths) != NULL;
    if (has_mask)
        good = good && cJSON_AddStringToObject(payload, "mask_sha256", mask) != NULL &&
               cJSON_AddNumberToObject(payload, "targets", (double)shard->targets) != NULL;
    return good ? MILL_OK : mill_fail_nomem(err, "the facts of a shard");
}

static mill_status write_shard(void *context, void *state, uint64_t number, mill_error *err)
{
    shard_pass *pass = context;
    mill_run_state *run = pass->run;
    shard_worker *w = state;
    uint64_t per_shard = run->recipe.shard.samples_per_shard, samples = run->packing.sample_count;
    uint64_t begin = number * per_shard, end = begin + per_shard < samples ? begin + per_shard : samples;
    mill_run_advance(run, end - begin);
    if (mill_workdir_done(run->dir, "shard", number) != NULL)
        return MILL_OK;
    open_shard *shard = mill_alloc_zero(1, sizeof *shard);
    if (shard == NULL)
        return mill_fail_nomem(err, "writing a shard");
    uint64_t started = mill_time_begin();
    mill_status status = MILL_OK;
    w->ids_sha256 = mill_sha256_create();
    w->lengths_sha256 = mill_sha256_create();
    if (pass->has_mask)
        w->mask_sha256 = mill_sha256_create();
    if (w->ids_sha256 == NULL || w->lengths_sha256 == NULL || (pass->has_mask && w->mask_sha256 == NULL)) {
        status = mill_fail_nomem(err, "writing a shard");
        goto cleanup;
    }
    mill_buf_clear(&w->text);
    mill_buf_clear(&w->docs);
    MILL_TRY_GOTO(open_files(run, shard, number, err));
    MILL_TRY_GOTO(write_samples(pass, w, shard, begin, end, err));
    MILL_TRY_GOTO(finish_shard(w, shard, end - begin, err));
    MILL_TRY_GOTO(mill_unit_commit(run->dir, &shard->unit, err));
    mill_time_end(run, MILL_TIME_WRITE, started, shard->tokens * 4, end - begin);
cleanup:
    if (status != MILL_OK)
        mill_unit_abort(run->dir, &shard->unit);
    mill_shard_out_close(&shard->zst);
    mill_shard_out_close(&shard->plain);
    mill_shard_out_close(&shard->docs);
    mill_sha256_destroy(w->ids_sha256);
    mill_sha256_destroy(w->lengths_sha256);
    mill_sha256_destroy(w->mask_sha256);
    w->ids_sha256 = w->lengths_sha256 = w->mask_sha256 = NULL;
    mill_free(shard);
    return status;
}

mill_status mill_pass_shards(mill_run_state *run, mill_error *err)
{
    mill_shard_options options = run->recipe.shard;
    options.vocab_size = run->vocab_size;
    options.loss_mask = mill_run_has_mask(run);
    shard_pass pass = {.run = run, .has_mask = options.loss_mask};
    MILL_TRY(mill_shard_writer_open(&options, &pass.writer, err));
    uint64_t per_shard = options.samples_per_shard;
    mill_run_part(run, "write shards", "samples", run->packing.sample_count);
    const mill_map map = {.threads = run->threads,
                          .units = (run->packing.sample_count + per_shard - 1) / per_shard,
                          .stop = run->options->stop,
                          .context = &pass,
                          .open = open_worker,
                          .close = close_worker,
                          .work = write_shard};
    mill_status status = mill_map_run(&map, err);
    mill_shard_writer_close(pass.writer);
    MILL_TRY(status);
    return mill_workdir_flush(run->dir, err);
}
