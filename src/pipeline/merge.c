// merge.c: mill_merge_runs: finished directories become one, in any container. What is written goes through the shards pass of a
// run, with the same commits; sequences come from the directories (merged.h) instead of from token units.
#include "pipeline/merge.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "pipeline/card.h"
#include "pipeline/shard_plan.h"
#include "shard/shard_out.h"

typedef struct merge {
    mill_run_state *run;
    mill_merged merged;
    cJSON *plan;
    char **sets; // shard.* of the first directory, then those that were given
    size_t set_count, set_capacity;
} merge;

// ---- the recipe: that of the first directory as far as shards go, and what was given ----

static mill_status add_set(merge *m, const char *group, const cJSON *value, mill_error *err)
{
    mill_buf text = {0};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_buf_printf(&text, err, "%s%s%s=", group != NULL ? group : "", group != NULL ? "." : "", value->string));
    MILL_TRY_GOTO(mill_json_canonical(value, &text, err));
    MILL_TRY_GOTO(mill_buf_append(&text, "", 1, err));
    MILL_TRY_GOTO(MILL_GROW(m->sets, m->set_capacity, m->set_count + 1, err));
    m->sets[m->set_count++] = (char *)text.data;
    return MILL_OK;
cleanup:
    mill_buf_free(&text);
    return status;
}

static mill_status load_recipe(merge *m, mill_error *err)
{
    static const char *const groups[] = {"shard", "pack"};
    const mill_run_options *options = m->run->options;
    const cJSON *recipe = cJSON_GetObjectItemCaseSensitive(m->merged.dirs[0].manifest, "recipe"), *value;
    for (size_t i = 0; i < 2; i++) {
        cJSON_ArrayForEach(value, cJSON_GetObjectItemCaseSensitive(recipe, groups[i]))
            MILL_TRY(add_set(m, groups[i], value, err));
    }
    value = cJSON_GetObjectItemCaseSensitive(recipe, "seed");
    if (value != NULL)
        MILL_TRY(add_set(m, NULL, value, err));
    for (size_t i = 0; i < options->set_count; i++) {
        if (strncmp(options->sets[i], "shard.", 6) != 0)
            return mill_fail(err, MILL_USAGE, "--set %s: only shard.* can be changed here: the samples are made", options->sets[i]);
        MILL_TRY(MILL_GROW(m->sets, m->set_capacity, m->set_count + 1, err));
        m->sets[m->set_count] = mill_strdup(options->sets[i]);
        if (m->sets[m->set_count++] == NULL)
            return mill_fail_nomem(err, "the recipe");
    }
    MILL_TRY(mill_recipe_load(m->run->fs, "default", (const char *const *)m->sets, m->set_count, &m->run->recipe, err));
    return mill_recipe_resolve(&m->run->recipe, err);
}

// Packed samples cannot be unpacked, and documents are not packed here: a container holds what the directories hold.
static mill_status choose_formats(merge *m, mill_error *err)
{
    mill_run_state *run = m->run;
    MILL_TRY(mill_formats_choose(run->options->format, &run->formats, err));
    MILL_TRY(mill_formats_documents(&run->recipe.documents, &run->formats_documents, err));
    bool samples = m->merged.kinds[0].present, documents = m->merged.kinds[1].present;
    if ((run->formats & run->formats_documents) != 0 && !documents)
        mill_log_line(&run->log, MILL_LOG_INFO, "%s holds packed samples only: every container will", m->merged.dirs[0].path);
    if (!documents)
        run->formats_documents = 0;
    if (!samples)
        run->formats_documents = run->formats;
    return MILL_OK;
}

// ---- the plan ----

static cJSON *source_json(const mill_finished *f)
{
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(f->manifest, "totals");
    cJSON *source = cJSON_CreateObject();
    static const char *const texts[] = {"ids_sha256", "lengths_sha256", "version"};
    bool good = cJSON_AddNumberToObject(source, "samples", (double)mill_finished_number(totals, "samples")) != NULL &&
                cJSON_AddNumberToObject(source, "tokens", (double)mill_finished_number(totals, "tokens")) != NULL &&
                mill_json_add_item(source, "recipe",
                                   cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(f->manifest, "recipe"), true)) &&
                mill_json_add_item(source, "containers",
                                   cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(f->manifest, "containers"), true));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(f->manifest, texts[i]);
        good = good && cJSON_AddStringToObject(source, texts[i], cJSON_IsString(text) ? text->valuestring : "") != NULL;
    }
    if (!good) {
        cJSON_Delete(source);
        return NULL;
    }
    return source;
}

static mill_status make_plan(merge *m, mill_error *err)
{
    cJSON *recipe = NULL;
    MILL_TRY(mill_recipe_canonical(&m->run->recipe, &recipe, err));
    m->plan = cJSON_CreateObject();
    cJSON *sources = cJSON_AddArrayToObject(m->plan, "sources");
    bool good = sources != NULL && cJSON_AddStringToObject(m->plan, "command", "merge") != NULL &&
                cJSON_AddStringToObject(m->plan, "format", m->run->options->format) != NULL &&
                cJSON_AddNumberToObject(m->plan, "output_version", MILL_OUTPUT_VERSION) != NULL &&
                mill_json_add_item(m->plan, "shard", cJSON_DetachItemFromObjectCaseSensitive(recipe, "shard"));
    for (size_t i = 0; good && i < m->merged.dir_count; i++)
        good = cJSON_AddItemToArray(sources, source_json(&m->merged.dirs[i]));
    cJSON_Delete(recipe);
    return good ? MILL_OK : mill_fail_nomem(err, "the plan");
}

// ---- what is not shards ----

// The lines of a file of all directories, one behind the other, as one file of the same kind.
static mill_status join_lines(merge *m, const char *path, mill_unit *unit, mill_error *err)
{
    mill_unit_file *file;
    mill_shard_out out = {0};
    mill_line_reader lines = {0};
    mill_buf text = {0};
    size_t bytes = strlen(path);
    int level = strcmp(path + bytes - 4, ".zst") == 0 ? m->run->recipe.shard.zstd_level : 0;
    mill_status status = MILL_OK;
    MILL_TRY(mill_unit_create(m->run->dir, unit, path, &file, err));
    MILL_TRY_GOTO(mill_shard_out_open(&out, &file->out, level, false, m->run->threads, err));
    for (size_t i = 0; i < m->merged.dir_count; i++) {
        const uint8_t *line = NULL;
        if (mill_finished_find(&m->merged.dirs[i], path) == NULL)
            continue;
        MILL_TRY_GOTO(mill_line_reader_open(&m->merged.dirs[i], path, &lines, err));
        do {
            MILL_TRY_GOTO(mill_line_reader_next(&lines, &line, &bytes, err));
            if (line != NULL)
                MILL_TRY_GOTO(mill_buf_append(&text, line, bytes, err));
            MILL_TRY_GOTO(mill_shard_out_take(&out, &text, err));
        } while (line != NULL);
        mill_line_reader_close(&lines);
    }
    MILL_TRY_GOTO(mill_shard_out_finish(&out, &text, err));
cleanup:
    mill_line_reader_close(&lines);
    mill_buf_free(&text);
    mill_shard_out_close(&out);
    return status;
}

// A file of the first directory, byte for byte.
static mill_status copy_file(merge *m, const char *path, mill_unit *unit, mill_error *err)
{
    enum { CHUNK = 256 << 10 };
    const mill_finished *from = &m->merged.dirs[0];
    mill_unit_file *file;
    mill_buf chunk = {0};
    int handle;
    size_t got = CHUNK;
    const mill_finished_file *product = mill_finished_find(from, path);
    if (product == NULL)
        return MILL_OK;
    MILL_TRY(mill_finished_check_bytes(from, product, NULL, err));
    MILL_TRY(mill_unit_create(m->run->dir, unit, path, &file, err));
    MILL_TRY(mill_fs_open(from->fs, from->dir, path, MILL_OPEN_READ_OWN, &handle, err));
    mill_status status = mill_buf_reserve(&chunk, CHUNK, err);
    while (status == MILL_OK && got == CHUNK) {
        status = mill_fs_read(from->fs, handle, path, chunk.data, CHUNK, &got, err);
        if (status == MILL_OK)
            status = mill_outfile_write(&file->out, chunk.data, got, err);
    }
    (void)from->fs->ops->close(from->fs->self, handle);
    mill_buf_free(&chunk);
    return status;
}

static bool has_file(const merge *m, const char *path)
{
    bool there = false;
    for (size_t i = 0; i < m->merged.dir_count; i++)
        there = there || mill_finished_find(&m->merged.dirs[i], path) != NULL;
    return there;
}

// What the data set card tells of the inputs.
static mill_status list_inputs(merge *m, mill_error *err)
{
    mill_run_state *run = m->run;
    size_t capacity = 0;
    for (size_t i = 0; i < m->merged.dir_count; i++) {
        const cJSON *input;
        cJSON_ArrayForEach(input, cJSON_GetObjectItemCaseSensitive(m->merged.dirs[i].manifest, "inputs"))
        {
            const cJSON *name = cJSON_GetObjectItemCaseSensitive(input, "name"), *sha256;
            sha256 = cJSON_GetObjectItemCaseSensitive(input, "sha256");
            MILL_TRY(MILL_GROW(run->inputs, capacity, run->input_count + 1, err));
            mill_input_facts *facts = &run->inputs[run->input_count++];
            *facts = (mill_input_facts){.name = mill_strdup(cJSON_IsString(name) ? name->valuestring : ""),
                                        .file_bytes = mill_finished_number(input, "bytes"),
                                        .files = mill_finished_number(input, "files")};
            snprintf(facts->sha256, sizeof facts->sha256, "%s", cJSON_IsString(sha256) ? sha256->valuestring : "");
            if (!mill_account_from_json(cJSON_GetObjectItemCaseSensitive(input, "records"), &facts->account))
                return mill_fail(err, MILL_VERIFY, "%s/manifest.json: an input has no account", m->merged.dirs[i].path);
            facts->records = facts->account.read - facts->account.further;
            if (facts->name == NULL)
                return mill_fail_nomem(err, "the list of inputs");
        }
    }
    return MILL_OK;
}

static mill_status add_card(merge *m, const mill_buf *metrics, mill_unit *unit, mill_error *err)
{
    mill_buf card = {0};
    MILL_TRY(list_inputs(m, err));
    mill_status status = mill_card_append(m->run, metrics, &card, err);
    if (status == MILL_OK)
        status = mill_unit_add(m->run->dir, unit, "README.md", &card, err);
    mill_buf_free(&card);
    return status;
}

static mill_status add_others(merge *m, mill_unit *unit, mill_error *err)
{
    static const char *const copies[] = {"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
                                         "tokenizer/special_tokens_map.json"};
    static const char *const joined[] = {"clusters.jsonl.zst", "quarantine.jsonl"};
    mill_buf metrics = {0};
    mill_status status = mill_merge_metrics(&m->merged, &metrics, err);
    if (status == MILL_OK)
        status = add_card(m, &metrics, unit, err);
    if (status == MILL_OK)
        status = mill_unit_add(m->run->dir, unit, "metrics.json", &metrics, err);
    mill_buf_free(&metrics);
    for (size_t i = 0; status == MILL_OK && i < sizeof copies / sizeof copies[0]; i++)
        status = copy_file(m, copies[i], unit, err);
    for (size_t i = 0; status == MILL_OK && i < sizeof joined / sizeof joined[0]; i++)
        status = m->merged.dir_count == 1    ? copy_file(m, joined[i], unit, err)
                 : has_file(m, joined[i]) ? join_lines(m, joined[i], unit, err)
                                             : MILL_OK;
    return status;
}

static mill_status write_others(merge *m, mill_error *err)
{
    mill_unit unit;
    if (mill_workdir_done(m->run->dir, "finish", 0) != NULL)
        return MILL_OK;
    mill_unit_init(&unit, "finish", 0);
    mill_status status = add_others(m, &unit, err);
    if (status == MILL_OK)
        status = mill_unit_commit(m->run->dir, &unit, err);
    if (status != MILL_OK)
        mill_unit_abort(m->run->dir, &unit);
    return status;
}

// ---- all ----

static mill_status seal(merge *m, mill_error *err)
{
    mill_product *products = NULL;
    size_t count = 0;
    mill_buf sums = {0}, manifest = {0};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_workdir_products(m->run->dir, &products, &count, err));
    for (size_t i = 0; i < count; i++)
        MILL_TRY_GOTO(mill_buf_printf(&sums, err, "%s  %s\n", products[i].sha256, products[i].path));
    MILL_TRY_GOTO(mill_merge_manifest(m->run, &m->merged, m->plan, products, count, &manifest, err));
    MILL_TRY_GOTO(mill_workdir_seal(m->run->dir, &sums, &manifest, err));
cleanup:
    mill_free(products);
    mill_buf_free(&sums);
    mill_buf_free(&manifest);
    return status;
}

static mill_status prepare(merge *m, mill_error *err)
{
    mill_run_state *run = m->run;
    const mill_run_options *o = run->options;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    MILL_TRY(mill_run_log_open(o->log, o->context, &run->kept_log, err));
    run->log = (mill_log){MILL_LOG_DEBUG, mill_run_log_write, run->kept_log};
    run->started_ns = mill_clock_ns();
    run->threads = o->threads != 0 ? o->threads : (uint32_t)(cores > 0 ? cores : 1);
    if (run->threads > 1024)
        return mill_fail(err, MILL_USAGE, "-j %u: at most 1024 threads", run->threads);
    if (o->input_count == 0)
        return mill_fail(err, MILL_USAGE, "no input; name finished directories");
    MILL_TRY(mill_merged_open(o->inputs, o->input_count, &m->merged, err));
    MILL_TRY(load_recipe(m, err));
    MILL_TRY(choose_formats(m, err));
    run->vocab_size = m->merged.vocab_size;
    m->merged.positions = run->recipe.positions;
    run->merged = &m->merged;
    return make_plan(m, err);
}

static mill_status merge_into(merge *m, mill_error *err)
{
    mill_run_state *run = m->run;
    const mill_run_options *o = run->options;
    const mill_workdir_options options = {.path = o->output,
                                          .overwrite = o->overwrite,
                                          .fast = o->fast,
                                          .recheck = o->recheck,
                                          .keep_work = o->keep_work,
                                          .each = o->each,
                                          .held_bytes = UINT64_C(16) << 20, // its products are streams
                                          .log = o->log,
                                          .context = o->context};
    bool complete;
    MILL_TRY(mill_workdir_open(run->fs, &options, &run->dir, err));
    MILL_TRY(mill_workdir_check_plan(run->dir, m->plan, err));
    MILL_TRY(mill_workdir_is_complete(run->dir, &complete, err));
    run->summary.already_complete = complete;
    if (complete)
        return mill_workdir_settle(run->dir, err);
    MILL_TRY(mill_merged_measure(&m->merged, run->dir, err));
    MILL_TRY(mill_pass_shards(run, err));
    MILL_TRY(write_others(m, err));
    MILL_TRY(seal(m, err));
    for (int kind = 1; kind >= 0; kind--) {
        if (m->merged.kinds[kind].present) {
            run->summary.samples = run->shard_plan->sequences[kind].count;
            run->summary.tokens = run->shard_plan->sequences[kind].tokens;
        }
    }
    return MILL_OK;
}

mill_status mill_merge_runs(const mill_run_options *options, mill_run_summary *summary, mill_error *err)
{
    merge m = {0};
    m.run = mill_alloc_zero(1, sizeof *m.run);
    if (m.run == NULL)
        return mill_fail_nomem(err, "starting to merge");
    mill_json_use_alloc();
    m.run->options = options;
    m.run->fs = options->fs != NULL ? options->fs : mill_fs_posix();
    mill_status status = prepare(&m, err);
    if (status == MILL_OK)
        status = merge_into(&m, err);
    if (status != MILL_OK && m.run->dir != NULL)
        (void)!mill_workdir_flush(m.run->dir, NULL); // what is finished stays finished
    m.run->summary.seconds = (double)(mill_clock_ns() - m.run->started_ns) * 1e-9;
    if (summary != NULL)
        *summary = m.run->summary;
    mill_run_release(m.run);
    mill_merged_close(&m.merged);
    for (size_t i = 0; i < m.set_count; i++)
        mill_free(m.sets[i]);
    mill_free(m.sets);
    cJSON_Delete(m.plan);
    mill_free(m.run);
    return status;
}
