// run_manifest.c: the sealed manifest of a finished run.
#include "pipeline/run_manifest.h"

#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "core/json.h"
#include "pipeline/shard_plan.h"
#include "shard/manifest.h"

static cJSON *inputs_json(mill_run_state *run)
{
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    for (size_t i = 0; good && i < run->input_count; i++) {
        const mill_input_facts *facts = &run->inputs[i];
        cJSON *input = cJSON_CreateObject();
        good = cJSON_AddItemToArray(list, input) && mill_json_add_item(input, "records", mill_account_to_json(&facts->account)) &&
               cJSON_AddStringToObject(input, "name", facts->name) != NULL &&
               cJSON_AddStringToObject(input, "sha256", facts->sha256) != NULL &&
               cJSON_AddNumberToObject(input, "bytes", (double)facts->file_bytes) != NULL &&
               cJSON_AddNumberToObject(input, "files", (double)facts->files) != NULL &&
               cJSON_AddNumberToObject(input, "skipped_binary", (double)facts->skipped_binary) != NULL &&
               cJSON_AddNumberToObject(input, "skipped_empty", (double)facts->skipped_empty) != NULL &&
               cJSON_AddNumberToObject(input, "skipped_other", (double)facts->skipped_other) != NULL;
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

// ---- files ----

// The facts that the shards pass left of a first file, or of a sidecar's.
static const cJSON *facts_of(mill_run_state *run, const char *path, cJSON **made)
{
    const mill_shard_plan *plan = run->shard_plan;
    size_t file;
    uint64_t number;
    unsigned long long docs;
    *made = NULL;
    int found = plan != NULL ? mill_container_of(path, &file, &number) : -1;
    if (found >= 0 && file == 0) {
        const mill_shard_group *g = mill_shard_plan_group(plan, mill_containers[found]);
        const cJSON *payload = cJSON_GetObjectItemCaseSensitive(mill_workdir_done(run->dir, g->stage, number), "payload");
        return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(payload, "containers"),
                                                mill_containers[found]->name);
    }
    for (size_t i = 0; plan != NULL && i < MILL_SHARD_GROUPS; i++) {
        const mill_shard_group *g = &plan->groups[i];
        size_t bytes = g->docs != NULL ? strlen(g->docs) : 0;
        if (bytes == 0 || strncmp(path, g->docs, bytes) != 0 || sscanf(path + bytes, "/docs_%llu", &docs) != 1)
            continue;
        const cJSON *payload = cJSON_GetObjectItemCaseSensitive(mill_workdir_done(run->dir, g->stage, docs), "payload");
        *made = cJSON_CreateObject();
        return mill_json_add_item(*made, "samples", cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(payload, "samples"), false))
                   ? *made
                   : NULL;
    }
    return NULL;
}

static bool add_facts(mill_run_state *run, cJSON *file, const char *path)
{
    cJSON *made;
    const cJSON *facts = facts_of(run, path, &made), *fact;
    bool good = true;
    cJSON_ArrayForEach(fact, facts) {
        good = good && mill_json_add_item(file, fact->string, cJSON_Duplicate(fact, true));
    }
    cJSON_Delete(made);
    return good;
}

static cJSON *files_json(mill_run_state *run, const mill_product *products, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    for (size_t i = 0; good && i < count; i++) {
        cJSON *file = cJSON_CreateObject();
        good = cJSON_AddItemToArray(list, file) && cJSON_AddStringToObject(file, "path", products[i].path) != NULL &&
               cJSON_AddNumberToObject(file, "bytes", (double)products[i].bytes) != NULL &&
               cJSON_AddStringToObject(file, "sha256", products[i].sha256) != NULL && add_facts(run, file, products[i].path);
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

// ---- what each container holds ----

// Of a container without borders: one sequence a shard.
static mill_status digest_shards(mill_run_state *run, const mill_shard_group *g, char hex[65], mill_error *err)
{
    void *sha256 = mill_sha256_create();
    uint8_t digest[32];
    if (sha256 == NULL)
        return mill_fail_nomem(err, "the digest of the run");
    for (uint64_t i = 0; i < g->units; i++) {
        const cJSON *payload = cJSON_GetObjectItemCaseSensitive(mill_workdir_done(run->dir, g->stage, i), "payload");
        uint64_t tokens = 0;
        (void)!mill_json_get_u64(payload, "tokens", &tokens);
        mill_sha256_update(sha256, &tokens, sizeof tokens);
    }
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, sizeof digest, hex);
    return MILL_OK;
}

static mill_status add_container(mill_run_state *run, const mill_container *c, cJSON *list, mill_error *err)
{
    const mill_shard_group *g = mill_shard_plan_group(run->shard_plan, c);
    const mill_sequences *s = &run->shard_plan->sequences[g->documents];
    const mill_container_options *options = &run->shard_plan->options[g->documents];
    const mill_positions positions = c->columns ? s->positions : MILL_POSITIONS_NONE;
    bool borders = mill_container_keeps_borders(c, options);
    char one[65];
    const char *lengths = s->lengths_sha256;
    if (!borders) {
        MILL_TRY(digest_shards(run, g, one, err));
        lengths = one;
    }
    cJSON *o = cJSON_CreateObject();
    bool good = cJSON_AddItemToArray(list, o) && cJSON_AddStringToObject(o, "name", c->name) != NULL &&
                cJSON_AddStringToObject(o, "directory", c->directory) != NULL &&
                cJSON_AddStringToObject(o, "holds", g->documents ? "documents" : "samples") != NULL &&
                cJSON_AddStringToObject(o, "docs", run->shard_plan->groups[g->documents].docs) != NULL &&
                cJSON_AddStringToObject(o, "takes", mill_rule_name(c->rule)) != NULL &&
                cJSON_AddBoolToObject(o, "borders", borders) != NULL &&
                cJSON_AddNumberToObject(o, "shards", (double)g->units) != NULL &&
                cJSON_AddNumberToObject(o, "sequences", (double)s->count) != NULL &&
                cJSON_AddNumberToObject(o, "uniform_tokens", (double)s->uniform) != NULL &&
                cJSON_AddNumberToObject(o, "tokens", (double)s->tokens) != NULL &&
                cJSON_AddNumberToObject(o, "vocab_size", (double)options->shard.vocab_size) != NULL &&
                cJSON_AddNumberToObject(o, "added_end_tokens", (double)s->added) != NULL &&
                cJSON_AddStringToObject(o, "ids_sha256", s->ids_sha256) != NULL &&
                cJSON_AddStringToObject(o, "positions", mill_positions_names[positions]) != NULL &&
                cJSON_AddBoolToObject(o, "loss_mask", mill_container_keeps_mask(c) && s->has_mask) != NULL &&
                cJSON_AddStringToObject(o, "lengths_sha256", lengths) != NULL;
    good = good && (c->codec == NULL || cJSON_AddStringToObject(o, "codec", c->codec()) != NULL);
    return good ? MILL_OK : mill_fail_nomem(err, "the manifest");
}

// Digests of the samples, or of the documents where there are no others, stand for the run.
static mill_status add_containers(mill_run_state *run, cJSON *manifest, mill_error *err)
{
    const mill_shard_plan *plan = run->shard_plan;
    cJSON *list = cJSON_AddArrayToObject(manifest, "containers");
    for (size_t i = 0; plan != NULL && i < mill_container_count; i++) {
        if (mill_shard_plan_group(plan, mill_containers[i]) != NULL)
            MILL_TRY(add_container(run, mill_containers[i], list, err));
    }
    const mill_sequences *of_run = plan != NULL ? &plan->sequences[plan->groups[0].docs == NULL] : NULL;
    bool good = list != NULL && cJSON_AddStringToObject(manifest, "ids_sha256", of_run != NULL ? of_run->ids_sha256 : "") != NULL &&
                cJSON_AddStringToObject(manifest, "lengths_sha256", of_run != NULL ? of_run->lengths_sha256 : "") != NULL;
    return good ? MILL_OK : mill_fail_nomem(err, "the manifest");
}

mill_status mill_run_manifest_files(mill_run_state *run, const mill_product *products, size_t count, cJSON *manifest,
                                    mill_error *err)
{
    MILL_TRY(add_containers(run, manifest, err));
    return mill_json_add_item(manifest, "files", files_json(run, products, count)) ? MILL_OK
                                                                                  : mill_fail_nomem(err, "the manifest");
}

// ---- all ----

mill_status mill_run_manifest(mill_run_state *run, const mill_run_totals *t, const mill_product *products, size_t count,
                              mill_buf *out, mill_error *err)
{
    cJSON *manifest = NULL;
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_run_plan_json(run, &manifest, err));
    cJSON_DeleteItemFromObjectCaseSensitive(manifest, "inputs");
    MILL_TRY_GOTO(mill_run_manifest_files(run, products, count, manifest, err));
    cJSON *totals_json = cJSON_AddObjectToObject(manifest, "totals");
    bool good =
        mill_json_add_item(manifest, "inputs", inputs_json(run)) &&
        mill_json_add_item(totals_json, "records", mill_account_to_json(&t->account)) &&
        cJSON_AddNumberToObject(manifest, "format_version", 1) != NULL &&
        cJSON_AddStringToObject(manifest, "version", MILL_VERSION) != NULL &&
        cJSON_AddStringToObject(manifest, "zstd", ZSTD_versionString()) != NULL &&
        (!mill_run_has_mask(run) || cJSON_AddStringToObject(manifest, "mask_of", "token") != NULL) &&
        cJSON_AddNumberToObject(totals_json, "samples", (double)run->packing.sample_count) != NULL &&
        cJSON_AddNumberToObject(totals_json, "tokens", (double)run->packing.tokens) != NULL &&
        cJSON_AddNumberToObject(totals_json, "padding_tokens", (double)mill_run_padding(run)) != NULL &&
        cJSON_AddNumberToObject(totals_json, "documents", (double)t->documents) != NULL &&
        cJSON_AddNumberToObject(totals_json, "fim_documents", (double)t->transformed) != NULL &&
        cJSON_AddNumberToObject(totals_json, "normalized_documents", (double)t->normalized) != NULL &&
        cJSON_AddNumberToObject(totals_json, "encoded_tokens", (double)t->encoded_tokens) != NULL &&
        cJSON_AddNumberToObject(totals_json, "dropped_tokens", (double)(t->dropped_tokens + run->packing.dropped_tokens)) != NULL;
    status = good ? mill_manifest_append(manifest, out, err) : mill_fail_nomem(err, "the manifest");
cleanup:
    cJSON_Delete(manifest);
    return status;
}
