// pass_shards.c: samples and documents -> shards of every wanted container and the docs sidecar, in one pass over the token units.
// A unit is one shard of each container that is cut at the same places (shard_plan.h); any worker may write it.
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "pipeline/shard_plan.h"
#include "shard/docs.h"
#include "shard/shard_out.h"

// The digests over all sequences of a kind.
typedef struct all_digests {
    const mill_shard_group *carrier; // its shards make them as they are written (find_carrier); NULL: a unit of its own does
    void *ids, *lengths;             // running, if the carrier has several shards
} all_digests;

typedef struct shard_pass {
    mill_run_state *run;
    mill_shard_plan *plan;
    all_digests all[2];
    mill_sequences *digested[2]; // the first units: digests without a carrier, one thread's work as long as a shard
    uint64_t digests;
} shard_pass;

typedef struct shard_worker {
    mill_gather gather;
    mill_buf docs;
    uint32_t *lengths, *rows; // of the shard that is written
    size_t length_capacity, row_capacity;
} shard_worker;

// What is open while one shard is written.
typedef struct open_shard {
    mill_unit unit;
    const mill_shard_group *group;
    mill_sequences *sequences;
    mill_container_options options;
    uint64_t number, begin, end;
    mill_extent extent;
    void *writers[MILL_FORMATS_MAX];
    mill_shard_out docs;
    uint64_t targets;
    void *ids_sha256, *lengths_sha256, *positions_sha256, *mask_sha256;
    const all_digests *all; // NULL: it carries none
} open_shard;

typedef struct digests { // of one shard; those of columns that the run has not are of nothing
    char ids[65], lengths[65], positions[65], mask[65];
} digests;

static void close_worker(void *context, void *state)
{
    (void)context;
    shard_worker *w = state;
    mill_gather_free(&w->gather);
    mill_buf_free(&w->docs);
    mill_free(w->lengths);
    mill_free(w->rows);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)context;
    (void)number;
    *state = mill_alloc_zero(1, sizeof(shard_worker));
    return *state == NULL ? mill_fail_nomem(err, "starting a shard writer") : MILL_OK;
}

// ---- the sidecar ----

// The line of tokens [part->begin, part->begin + part->count) of a packed row, which are of this row, or of this file in it.
static mill_status append_line(mill_run_state *run, uint64_t sequence, uint32_t begin, const mill_part *part, const mill_row *row,
                               mill_buf *out, mill_error *err)
{
    const mill_packed_row *packed = &run->packed[part->row];
    const mill_token_unit *unit = mill_run_tokens(run, packed->unit);
    const mill_doc *doc = &run->docs[mill_token_doc(run, packed->unit, row->record)];
    const mill_span *repo = &unit->repo[row->record], *path = &unit->path[row->record], *licence = &unit->licence[row->record];
    const char *file = run->inputs[doc->input].name, *language = mill_language_get(run->languages, doc->language)->name;
    const mill_doc_line line = {.sample = sequence,
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
                                .doc_begin = unit->rows[packed->row].doc_begin + part->begin,
                                .last = row->last};
    return mill_docs_append(&line, out, err);
}

// One line, or one for each file that the part has tokens of.
static mill_status append_doc(mill_run_state *run, uint64_t sequence, uint32_t begin, const mill_part *part, mill_buf *out,
                              mill_error *err)
{
    const mill_packed_row *packed = &run->packed[part->row];
    const mill_token_unit *unit = mill_run_tokens(run, packed->unit);
    const mill_row *row = &unit->rows[packed->row];
    if (row->files == 0)
        return append_line(run, sequence, begin, part, row, out, err);
    const uint32_t end = part->begin + part->count;
    for (uint32_t k = 0; k < row->files; k++) {
        const mill_row *file = &unit->files[row->first_file + k];
        const uint32_t at = (uint32_t)(file->first_token - row->first_token);
        // The end-of-text token that a document without one is given belongs to its last file.
        const uint32_t file_end = k + 1 == row->files && end > at + file->tokens ? end : at + file->tokens;
        const uint32_t from = at > part->begin ? at : part->begin, to = file_end < end ? file_end : end;
        if (from >= to)
            continue;
        const mill_part own = {.row = part->row, .begin = from, .count = to - from};
        MILL_TRY(append_line(run, sequence, begin + (from - part->begin), &own, file, out, err));
    }
    return MILL_OK;
}

static mill_status append_docs(const mill_sequences *s, uint64_t number, shard_worker *w, mill_error *err)
{
    mill_buf *out = &w->docs;
    uint32_t begin = 0;
    if (s->merged != NULL) // lines of another sidecar, which came with the sequence
        return mill_buf_append(out, w->gather.cursor.lines.data, w->gather.cursor.lines.bytes, err);
    for (uint64_t i = s->first[number]; i < s->first[number + 1]; i++) {
        const mill_part part = mill_sequence_part(s, number, i);
        MILL_TRY(append_doc(s->run, number, begin, &part, out, err));
        begin += part.count;
    }
    const mill_doc_line padding = {.sample = number,
                                   .begin = begin,
                                   .tokens = mill_sequence_padding(s, number),
                                   .file = "",
                                   .repo = "",
                                   .path = "",
                                   .licence = "",
                                   .language = "",
                                   .mode = "padding",
                                   .last = true};
    return padding.tokens != 0 ? mill_docs_append(&padding, out, err) : MILL_OK;
}

// ---- one shard ----

static mill_status measure(open_shard *shard, shard_worker *w, mill_error *err)
{
    mill_extent *extent = &shard->extent;
    extent->count = shard->end - shard->begin;
    MILL_TRY(MILL_GROW(w->lengths, w->length_capacity, extent->count, err));
    MILL_TRY(MILL_GROW(w->rows, w->row_capacity, extent->count, err));
    for (uint64_t i = 0; i < extent->count; i++) {
        w->lengths[i] = mill_sequence_length(shard->sequences, shard->begin + i);
        w->rows[i] = mill_sequence_rows(shard->sequences, shard->begin + i);
        extent->tokens += w->lengths[i];
    }
    extent->lengths = w->lengths;
    extent->rows = w->rows;
    return MILL_OK;
}

static mill_status open_container(mill_run_state *run, open_shard *shard, size_t at, mill_error *err)
{
    const mill_container *c = shard->group->containers[at];
    mill_outfile *files[MILL_CONTAINER_FILES_MAX] = {NULL};
    for (size_t i = 0; i < mill_container_files(c, &shard->options); i++) {
        char path[128];
        mill_unit_file *file;
        mill_container_path(c, &shard->options, shard->number, i, path, sizeof path);
        MILL_TRY(mill_unit_create(run->dir, &shard->unit, path, &file, err));
        files[i] = &file->out;
    }
    return c->open(&shard->options, &shard->extent, files, &shard->writers[at], err);
}

static mill_status open_files(mill_run_state *run, open_shard *shard, mill_error *err)
{
    const mill_shard_group *g = shard->group;
    for (size_t i = 0; i < g->container_count; i++)
        MILL_TRY(open_container(run, shard, i, err));
    if (g->docs == NULL)
        return MILL_OK;
    char path[64];
    mill_unit_file *file;
    snprintf(path, sizeof path, "%s/docs_%05llu.jsonl.zst", g->docs, (unsigned long long)shard->number);
    MILL_TRY(mill_unit_create(run->dir, &shard->unit, path, &file, err));
    return mill_shard_out_open(&shard->docs, &file->out, run->recipe.shard.zstd_level, false, shard->options.workers, err);
}

static mill_status add_sample(open_shard *shard, const mill_sample *sample, mill_error *err)
{
    const mill_shard_group *g = shard->group;
    uint64_t length = sample->count;
    for (size_t i = 0; i < g->container_count; i++)
        MILL_TRY(g->containers[i]->add(shard->writers[i], sample, err));
    if (shard->all != NULL && shard->all->ids != NULL) {
        mill_sha256_update_both(shard->ids_sha256, shard->all->ids, sample->ids, (size_t)sample->count * 4);
        mill_sha256_update_both(shard->lengths_sha256, shard->all->lengths, &length, sizeof length);
    } else {
        mill_sha256_update(shard->ids_sha256, sample->ids, (size_t)sample->count * 4);
        mill_sha256_update(shard->lengths_sha256, &length, sizeof length);
    }
    if (sample->positions != NULL)
        mill_sha256_update(shard->positions_sha256, sample->positions, (size_t)sample->count * 4);
    if (sample->loss_mask != NULL)
        mill_sha256_update(shard->mask_sha256, sample->loss_mask, sample->count);
    for (uint32_t i = 0; sample->loss_mask != NULL && i < sample->count; i++)
        shard->targets += sample->loss_mask[i];
    return MILL_OK;
}

static mill_status write_sequences(open_shard *shard, shard_worker *w, mill_error *err)
{
    const mill_shard_group *g = shard->group;
    const bool whole = g->container_count != 0; // else the sidecar is all, and its lines need no ids
    for (uint64_t s = shard->begin; s < shard->end; s++) {
        mill_sample sample;
        if (whole || shard->sequences->merged != NULL) // lines of another sidecar come with the ids
            MILL_TRY(mill_sequence_gather(shard->sequences, &w->gather, s, &sample, err));
        if (whole)
            MILL_TRY(add_sample(shard, &sample, err));
        if (g->docs == NULL)
            continue;
        MILL_TRY(append_docs(shard->sequences, s, w, err));
        MILL_TRY(mill_shard_out_take(&shard->docs, &w->docs, err));
    }
    return MILL_OK;
}

static void hex_digest(void **sha256, char hex[65])
{
    uint8_t digest[32];
    mill_sha256_finish(*sha256, digest);
    *sha256 = NULL;
    mill_hex(digest, sizeof digest, hex);
}

// A container without borders gives back one sequence.
static mill_status digest_of_one(uint64_t length, char hex[65], mill_error *err)
{
    void *sha256 = mill_sha256_create();
    if (sha256 == NULL)
        return mill_fail_nomem(err, "the facts of a shard");
    mill_sha256_update(sha256, &length, sizeof length);
    hex_digest(&sha256, hex);
    return MILL_OK;
}

static mill_status add_facts(open_shard *shard, size_t at, cJSON *containers, const digests *d, mill_error *err)
{
    const mill_container *c = shard->group->containers[at];
    cJSON *facts = cJSON_AddObjectToObject(containers, c->name);
    const char *lengths = d->lengths;
    char one[65];
    if (!mill_container_keeps_borders(c, &shard->options)) {
        MILL_TRY(digest_of_one(shard->extent.tokens, one, err));
        lengths = one;
    }
    bool good = cJSON_AddNumberToObject(facts, "samples", (double)shard->extent.count) != NULL &&
                cJSON_AddNumberToObject(facts, "tokens", (double)shard->extent.tokens) != NULL &&
                cJSON_AddStringToObject(facts, "ids_sha256", d->ids) != NULL &&
                cJSON_AddStringToObject(facts, "lengths_sha256", lengths) != NULL;
    if (c->columns && shard->sequences->positions != MILL_POSITIONS_NONE)
        good = good && cJSON_AddStringToObject(facts, "positions_sha256", d->positions) != NULL;
    if (mill_container_keeps_mask(c) && shard->sequences->has_mask)
        good = good && cJSON_AddStringToObject(facts, "mask_sha256", d->mask) != NULL &&
               cJSON_AddNumberToObject(facts, "targets", (double)shard->targets) != NULL;
    return good ? c->finish(shard->writers[at], shard->number, facts, err) : mill_fail_nomem(err, "the facts of a shard");
}

// The payload: what the manifest tells of each first file, by container; and of the sidecar.
static mill_status finish_shard(open_shard *shard, shard_worker *w, mill_error *err)
{
    digests d;
    hex_digest(&shard->ids_sha256, d.ids);
    hex_digest(&shard->lengths_sha256, d.lengths);
    hex_digest(&shard->mask_sha256, d.mask);
    hex_digest(&shard->positions_sha256, d.positions);
    if (shard->all != NULL && shard->group->units == 1) { // they are those of all
        memcpy(shard->sequences->ids_sha256, d.ids, sizeof d.ids);
        memcpy(shard->sequences->lengths_sha256, d.lengths, sizeof d.lengths);
    }
    shard->unit.payload = cJSON_CreateObject();
    cJSON *containers = cJSON_AddObjectToObject(shard->unit.payload, "containers");
    for (size_t i = 0; i < shard->group->container_count; i++)
        MILL_TRY(add_facts(shard, i, containers, &d, err));
    if (shard->group->docs != NULL)
        MILL_TRY(mill_shard_out_finish(&shard->docs, &w->docs, err));
    cJSON *payload = shard->unit.payload;
    bool good = containers != NULL && cJSON_AddNumberToObject(payload, "samples", (double)shard->extent.count) != NULL &&
                cJSON_AddNumberToObject(payload, "tokens", (double)shard->extent.tokens) != NULL;
    return good ? MILL_OK : mill_fail_nomem(err, "the facts of a shard");
}

static void close_shard(mill_run_state *run, open_shard *shard, mill_status status)
{
    for (size_t i = 0; i < shard->group->container_count; i++)
        shard->group->containers[i]->close(shard->writers[i]);
    mill_shard_out_close(&shard->docs);
    if (status != MILL_OK) // its files are nobody's any more
        mill_unit_abort(run->dir, &shard->unit);
    mill_sha256_destroy(shard->ids_sha256);
    mill_sha256_destroy(shard->lengths_sha256);
    mill_sha256_destroy(shard->positions_sha256);
    mill_sha256_destroy(shard->mask_sha256);
    mill_free(shard);
}

static mill_status write_shard(mill_run_state *run, shard_worker *w, open_shard *shard, mill_error *err)
{
    mill_instant started = mill_time_begin();
    const bool in_step = shard->all != NULL && shard->all->ids != NULL;
    mill_unit_init(&shard->unit, shard->group->stage, shard->number);
    shard->ids_sha256 = in_step ? mill_sha256_create_lane() : mill_sha256_create();
    shard->lengths_sha256 = mill_sha256_create();
    shard->positions_sha256 = mill_sha256_create();
    shard->mask_sha256 = mill_sha256_create();
    if (shard->ids_sha256 == NULL || shard->lengths_sha256 == NULL || shard->positions_sha256 == NULL || shard->mask_sha256 == NULL)
        return mill_fail_nomem(err, "writing a shard");
    mill_buf_clear(&w->docs);
    MILL_TRY(measure(shard, w, err));
    MILL_TRY(open_files(run, shard, err));
    MILL_TRY(write_sequences(shard, w, err));
    MILL_TRY(finish_shard(shard, w, err));
    MILL_TRY(mill_unit_commit(run->dir, &shard->unit, err));
    mill_time_end(run, MILL_TIME_WRITE, started, shard->extent.tokens * 4, shard->extent.count);
    return MILL_OK;
}

// From this shard on, itself included.
static uint64_t sequences_left(const mill_shard_plan *plan, const mill_shard_group *g, uint64_t number)
{
    uint64_t left = 0;
    for (; g < plan->groups + MILL_SHARD_GROUPS; g++, number = 0)
        left += g->units != 0 ? g->begin[g->units] - g->begin[number] : 0;
    return left;
}

// Shard n of the pass: the groups one after the other.
static void find_shard(const shard_pass *pass, uint64_t n, open_shard *shard)
{
    mill_shard_plan *plan = pass->plan;
    const mill_shard_group *g = plan->groups;
    for (; n >= g->units; g++)
        n -= g->units;
    shard->group = g;
    shard->number = n;
    shard->begin = g->begin[n];
    shard->end = g->begin[n + 1];
    shard->sequences = &plan->sequences[g->documents];
    shard->options = plan->options[g->documents];
    shard->options.workers = mill_run_workers(pass->run, shard->end - shard->begin, sequences_left(plan, g, n));
    shard->all = pass->all[g->documents].carrier == g ? &pass->all[g->documents] : NULL;
}

static mill_status work(void *context, void *state, uint64_t unit, mill_error *err)
{
    shard_pass *pass = context;
    if (unit < pass->digests)
        return mill_sequences_digest(pass->digested[unit], err);
    open_shard *shard = mill_alloc_zero(1, sizeof *shard);
    if (shard == NULL)
        return mill_fail_nomem(err, "writing a shard");
    find_shard(pass, unit - pass->digests, shard);
    mill_run_advance(pass->run, shard->end - shard->begin);
    mill_status status = MILL_OK;
    if (mill_workdir_done(pass->run->dir, shard->group->stage, shard->number) == NULL)
        status = write_shard(pass->run, state, shard, err);
    close_shard(pass->run, shard, status);
    return status;
}

// ---- the digests of all ----

// Shards can make the digests over all sequences of a kind as they are written, if they are written one after the other, from the
// first on: those of a group that has a single one, or all of them on one thread. That saves a second reading of the ids.
static const mill_shard_group *find_carrier(const mill_run_state *run, const mill_shard_plan *plan, int kind)
{
    for (size_t i = (size_t)kind; i < MILL_SHARD_GROUPS; i += 2) {
        const mill_shard_group *g = &plan->groups[i];
        bool fresh = g->container_count != 0 && g->units != 0 && (g->units == 1 || run->threads == 1);
        for (uint64_t n = 0; fresh && n < g->units; n++)
            fresh = mill_workdir_done(run->dir, g->stage, n) == NULL;
        if (fresh)
            return g;
    }
    return NULL;
}

static mill_status begin_digests(shard_pass *pass, mill_error *err)
{
    for (int kind = 0; kind < 2; kind++) {
        all_digests *all = &pass->all[kind];
        if (pass->plan->groups[kind].docs == NULL)
            continue;
        all->carrier = find_carrier(pass->run, pass->plan, kind);
        if (all->carrier == NULL) {
            pass->digested[pass->digests++] = &pass->plan->sequences[kind];
        } else if (all->carrier->units > 1) {
            all->ids = mill_sha256_create_lane();
            all->lengths = mill_sha256_create();
            if (all->ids == NULL || all->lengths == NULL)
                return mill_fail_nomem(err, "the digest of the run");
        }
    }
    return MILL_OK;
}

static void end_digests(shard_pass *pass)
{
    for (int kind = 0; kind < 2; kind++) {
        if (pass->all[kind].ids == NULL)
            continue;
        hex_digest(&pass->all[kind].ids, pass->plan->sequences[kind].ids_sha256);
        hex_digest(&pass->all[kind].lengths, pass->plan->sequences[kind].lengths_sha256);
    }
}

static void drop_digests(shard_pass *pass)
{
    for (int kind = 0; kind < 2; kind++) {
        mill_sha256_destroy(pass->all[kind].ids);
        mill_sha256_destroy(pass->all[kind].lengths);
    }
}

// ---- the index of a container ----

static mill_status write_index(mill_run_state *run, const mill_shard_group *g, const mill_container *c, mill_error *err)
{
    mill_buf text = {0};
    mill_unit unit;
    char path[128];
    mill_status status = MILL_OK;
    const cJSON **facts = mill_alloc_zero(g->units, sizeof *facts);
    snprintf(path, sizeof path, "%s/%s", c->directory, c->index);
    mill_unit_init(&unit, "shard-index", (uint64_t)mill_container_find(c->name, strlen(c->name)));
    if (facts == NULL) {
        status = mill_fail_nomem(err, "the index of the shards");
        goto cleanup;
    }
    for (uint64_t i = 0; i < g->units; i++) {
        const cJSON *payload = cJSON_GetObjectItemCaseSensitive(mill_workdir_done(run->dir, g->stage, i), "payload");
        facts[i] = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(payload, "containers"), c->name);
    }
    MILL_TRY_GOTO(c->write_index(&run->shard_plan->options[g->documents], facts, g->units, &text, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, path, &text, err));
    MILL_TRY_GOTO(mill_unit_commit(run->dir, &unit, err));
cleanup:
    if (status != MILL_OK)
        mill_unit_abort(run->dir, &unit);
    mill_free(facts);
    mill_buf_free(&text);
    return status;
}

// Behind the last shard. No shards, no index: the clients refuse an empty one.
static mill_status write_indexes(mill_run_state *run, mill_error *err)
{
    for (size_t i = 0; i < MILL_SHARD_GROUPS; i++) {
        const mill_shard_group *g = &run->shard_plan->groups[i];
        for (size_t k = 0; g->units != 0 && k < g->container_count; k++) {
            const mill_container *c = g->containers[k];
            uint64_t unit = (uint64_t)mill_container_find(c->name, strlen(c->name));
            if (c->index != NULL && mill_workdir_done(run->dir, "shard-index", unit) == NULL)
                MILL_TRY(write_index(run, g, c, err));
        }
    }
    return MILL_OK;
}

// ---- all ----

// Where a consumer takes blocks of L + 1 tokens, samples of L shift every block but the first against it.
static void tell_of_rules(const mill_run_state *run)
{
    const mill_pack_options *pack = &run->recipe.pack;
    for (size_t i = 0; i < mill_container_count; i++) {
        if ((run->formats >> i & 1) != 0 && (run->formats_documents >> i & 1) == 0 &&
            mill_containers[i]->rule == MILL_RULE_BLOCKS && pack->extra == 0 && pack->mode != MILL_PACK_GUIDE)
            mill_log_line(&run->log, MILL_LOG_WARNING,
                          "--format %s: its samples have %u tokens, but its readers take one more (L+1)%s",
                          mill_containers[i]->name, pack->seq_len,
                          run->merged == NULL ? "; --set pack.extra=1 makes them so, for every format of this run" : "");
        if ((run->formats >> i & 1) == 0)
            continue;
        if (run->recipe.positions != MILL_POSITIONS_NONE && !mill_containers[i]->columns)
            mill_log_line(&run->log, MILL_LOG_WARNING,
                          "--format %s: has no place for position_ids (shard.positions); jsonl, jsonl.zst, parquet and mds keep "
                          "them",
                          mill_containers[i]->name);
        bool documents = (run->formats_documents >> i & 1) != 0;
        bool masked = documents && run->merged == NULL ? mill_run_has_chats(run) : mill_run_has_mask(run);
        if (masked && !mill_container_keeps_mask(mill_containers[i]))
            mill_log_line(&run->log, MILL_LOG_WARNING,
                          "--format %s: has no place for the loss mask (of conversations, of padding); jsonl, jsonl.zst, "
                          "parquet, mds and datatrove keep it",
                          mill_containers[i]->name);
    }
}

mill_status mill_pass_shards(mill_run_state *run, mill_error *err)
{
    MILL_TRY(mill_shard_plan_make(run, &run->shard_plan, err));
    uint64_t sequences = 0;
    for (size_t i = 0; i < MILL_SHARD_GROUPS; i++)
        sequences += run->shard_plan->groups[i].units != 0 ? run->shard_plan->sequences[i % 2].count : 0;
    tell_of_rules(run);
    mill_run_part(run, "write shards", "samples", sequences);
    shard_pass pass = {.run = run, .plan = run->shard_plan};
    mill_status status = begin_digests(&pass, err);
    const mill_map map = {.threads = run->threads,
                          .units = pass.plan->units + pass.digests,
                          .stop = run->options->stop,
                          .context = &pass,
                          .open = open_worker,
                          .close = close_worker,
                          .work = work};
    const mill_pass_instant begin = mill_time_pass_begin();
    if (status == MILL_OK)
        status = mill_map_run(&map, err);
    if (status == MILL_OK)
        end_digests(&pass);
    drop_digests(&pass);
    MILL_TRY(status);
    mill_time_pass_end(run, MILL_TIME_WRITE, begin);
    return write_indexes(run, err);
}
