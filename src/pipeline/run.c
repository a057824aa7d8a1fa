// run.c: from options to a finished directory.
#include "pipeline/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "pipeline/plan.h"
#include "pipeline/repos.h"
#include "pipeline/shard_plan.h"
#include "dedup/minhash.h"
#include "filter/syntax_python.h"
#include "record/segment.h"
#include "shard/manifest.h"

#define BATCH_BYTES (UINT64_C(8) << 20)
#define BATCH_BYTES_MAX (UINT64_C(64) << 20)
#define TOKENIZER_MAX (UINT64_C(256) << 20)
#define REMOVALS_MAX (UINT64_C(1) << 30)

// ---- preparing ------------------------------------------------------------------------------------------------------------------

// Where pack.extra is not given and every packed container wants blocks of L + 1 tokens, samples have them.
static mill_status choose_formats(mill_run_state *run, mill_error *err)
{
    bool blocks = false, rows = false;
    MILL_TRY(mill_formats_choose(run->options->format, &run->formats, err));
    MILL_TRY(mill_formats_documents(&run->recipe.documents, &run->formats_documents, err));
    for (size_t i = 0; i < mill_container_count; i++) {
        if ((run->formats >> i & 1) == 0 || (run->formats_documents >> i & 1) != 0)
            continue;
        blocks = blocks || mill_containers[i]->rule == MILL_RULE_BLOCKS;
        rows = rows || mill_containers[i]->rule == MILL_RULE_ROWS;
    }
    if (blocks && !rows && !run->recipe.extra_given && run->recipe.pack.mode != MILL_PACK_GUIDE)
        MILL_TRY(mill_recipe_set(&run->recipe, "pack.extra", "1", err));
    return MILL_OK;
}

static mill_status choose_languages(mill_run_state *run, mill_error *err)
{
    const mill_run_options *options = run->options;
    if (options->language_count == 0)
        return MILL_OK;
    run->wanted_languages = mill_alloc_zero(UINT16_MAX + 1u, sizeof *run->wanted_languages);
    if (run->wanted_languages == NULL)
        return mill_fail_nomem(err, "the languages");
    for (size_t i = 0; i < options->language_count; i++) {
        const char *name = options->languages[i];
        if (mill_language_find(run->languages, name) < 0)
            mill_log_line(&run->log, MILL_LOG_WARNING,
                          "--languages: '%s' is not a name shardmill knows; taken as the data spells it", name);
        run->wanted_languages[mill_language_intern(run->languages, name, strlen(name))] = true;
    }
    run->recipe.filter.languages = run->wanted_languages;
    run->recipe.filter.languages_count = UINT16_MAX + 1u;
    return MILL_OK;
}

// Stages that are off pass everything through.
static mill_status switch_stages(mill_run_state *run, mill_error *err)
{
    mill_stage_set stages = run->stages;
    if (stages != MILL_STAGES_ALL && stages != MILL_STAGES_FILTER) {
        MILL_TRY(mill_recipe_set(&run->recipe, "filter.enabled", "false", err));
        MILL_TRY(mill_recipe_set(&run->recipe, "filter.syntax", "off", err));
    }
    if (stages != MILL_STAGES_ALL && stages != MILL_STAGES_DEDUP) {
        MILL_TRY(mill_recipe_set(&run->recipe, "dedup.exact", "false", err));
        MILL_TRY(mill_recipe_set(&run->recipe, "dedup.near", "false", err));
    }
    return MILL_OK;
}

static mill_status prepare_recipe(mill_run_state *run, mill_error *err)
{
    const mill_run_options *options = run->options;
    MILL_TRY(mill_recipe_load(run->fs, options->recipe, options->sets, options->set_count, &run->recipe, err));
    MILL_TRY(switch_stages(run, err));
    MILL_TRY(choose_formats(run, err));
    MILL_TRY(mill_recipe_resolve(&run->recipe, err));
    const mill_dedup_options *dedup = &run->recipe.dedup;
    run->bands = dedup->bands;
    run->rows = dedup->rows;
    if (dedup->near && run->bands == 0)
        MILL_TRY(mill_lsh_optimal(dedup->threshold_permyriad, dedup->num_perm, &run->bands, &run->rows, err));
    return mill_minhash_params_init(&run->minhash, (mill_minhash_scheme)dedup->scheme, dedup->num_perm, dedup->seed, err);
}

static mill_status parse_field(const char *text, mill_source_options *source, char *names[MILL_FIELD_COUNT], mill_error *err)
{
    const char *equals = strchr(text, '=');
    for (size_t i = 0; equals != NULL && i < MILL_FIELD_COUNT; i++) {
        size_t bytes = (size_t)(equals - text);
        if (strlen(mill_field_names[i]) != bytes || memcmp(mill_field_names[i], text, bytes) != 0)
            continue;
        mill_free(names[i]);
        names[i] = mill_strdup(equals + 1);
        source->field[i] = names[i];
        return names[i] == NULL ? mill_fail_nomem(err, "a field name") : MILL_OK;
    }
    return mill_fail(err, MILL_USAGE,
                     "--field %s: expected FIELD=COLUMN, FIELD one of " MILL_FIELD_WORDS, text);
}

static mill_status parse_type(const char *text, mill_source_options *source, mill_error *err)
{
    if (text == NULL)
        return MILL_OK;
    for (int i = 0; i < MILL_TYPE_COUNT; i++) {
        if (strcmp(text, mill_data_type_names[i]) == 0) {
            source->type = (mill_data_type)i;
            source->type_given = true;
            return MILL_OK;
        }
    }
    return mill_fail(err, MILL_USAGE, "--source-type %s: expected source, docs, qa, notebook or contest", text);
}

static mill_status add_removals(mill_run_state *run, mill_removal_kind kind, const mill_string_list *list, mill_error *err)
{
    for (size_t i = 0; list->items[i] != NULL; i++) {
        const char *item = list->items[i];
        if (run->removal == NULL)
            MILL_TRY(mill_removal_create(&run->removal, err));
        if (*item != '@') {
            MILL_TRY(mill_removal_add(run->removal, kind, item, strlen(item), err));
            continue;
        }
        mill_buf lines = {0};
        mill_status status = mill_fs_read_file(run->fs, MILL_FS_CWD, item + 1, MILL_OPEN_READ, REMOVALS_MAX, &lines, err);
        if (status == MILL_IO || status == MILL_INPUT)
            status = mill_fail(err, MILL_INPUT, "%s: the removal list cannot be read", item + 1);
        if (status == MILL_OK)
            status = mill_removal_add_lines(run->removal, kind, (const char *)lines.data, lines.bytes, err);
        mill_buf_free(&lines);
        MILL_TRY(status);
    }
    return MILL_OK;
}

static mill_status load_removals(mill_run_state *run, mill_error *err)
{
    MILL_TRY(add_removals(run, MILL_REMOVE_REPO, &run->recipe.remove_repos, err));
    MILL_TRY(add_removals(run, MILL_REMOVE_PATH, &run->recipe.remove_paths, err));
    MILL_TRY(add_removals(run, MILL_REMOVE_HASH, &run->recipe.remove_hashes, err));
    if (run->removal != NULL)
        mill_removal_finish(run->removal);
    return MILL_OK;
}

static mill_status open_source(mill_run_state *run, mill_error *err)
{
    const mill_run_options *options = run->options;
    char *names[MILL_FIELD_COUNT] = {0};
    mill_source_options source = {.format = options->input_format,
                                  .preset = options->field_preset != NULL ? options->field_preset : "auto",
                                  .strip_metadata_head = run->recipe.strip_metadata_head,
                                  .bad_unicode = run->recipe.bad_unicode,
                                  .record_bytes_max = run->recipe.record_bytes_max,
                                  .shape = run->recipe.shape,
                                  .qa = run->recipe.qa,
                                  .chat = run->recipe.chat,
                                  .removal = run->removal,
                                  .block_bytes = run->batch_bytes,
                                  .group_bytes_max = run->group_bytes};
    mill_status status = parse_type(options->source_type, &source, err);
    for (size_t i = 0; status == MILL_OK && i < options->field_count; i++)
        status = parse_field(options->fields[i], &source, names, err);
    if (status == MILL_OK)
        status = mill_source_open(run->fs, options->inputs, options->input_count, &source, run->languages, &run->source, err);
    for (size_t i = 0; i < MILL_FIELD_COUNT; i++)
        mill_free(names[i]);
    return status;
}

// A data set beside its README.md is a source tree, of which little is left.
static void tell_of_records(const mill_run_state *run, const mill_input_info *info)
{
    const char *format = run->options->input_format;
    if ((format != NULL && strcmp(format, "auto") != 0) || info->record_bytes <= info->file_bytes / 2)
        return;
    mill_log_line(&run->log, MILL_LOG_WARNING,
                  "%s: is read as a source tree, as it holds other files than records, too; the records in its %llu files of JSON "
                  "lines or Parquet (%llu of %llu bytes) are not read; give those by name, or say --input-format jsonl or parquet",
                  info->name, (unsigned long long)info->record_files, (unsigned long long)info->record_bytes,
                  (unsigned long long)info->file_bytes);
}

static mill_status list_inputs(mill_run_state *run, mill_error *err)
{
    run->input_count = mill_source_input_count(run->source);
    run->inputs = mill_alloc_zero(run->input_count, sizeof *run->inputs);
    if (run->inputs == NULL)
        return mill_fail_nomem(err, "the list of inputs");
    for (size_t i = 0; i < run->input_count; i++) {
        const mill_input_info *info = mill_source_input(run->source, i);
        tell_of_records(run, info);
        run->inputs[i].name = mill_strdup(info->name);
        run->inputs[i].file_bytes = info->file_bytes;
        if (run->inputs[i].name == NULL)
            return mill_fail_nomem(err, "the list of inputs");
        MILL_TRY(mill_source_fingerprint(run->source, i, run->options->full_input_check, &run->inputs[i].fingerprint, err));
    }
    return MILL_OK;
}

static mill_status load_tokenizer(mill_run_state *run, mill_error *err)
{
    const char *path = run->options->tokenizer;
    if (path == NULL)
        return MILL_OK;
    mill_status status = mill_fs_read_file(run->fs, MILL_FS_CWD, path, MILL_OPEN_READ, TOKENIZER_MAX, &run->tokenizer_given, err);
    if (status != MILL_OK) { // whatever it is, the input is at fault: say why
        mill_error cause = *err;
        return mill_fail(err, MILL_INPUT, "--tokenizer %s: %s", path, cause.message);
    }
    MILL_TRY(mill_tokenizer_parse(run->tokenizer_given.data, run->tokenizer_given.bytes, path, &run->tokenizer, err));
    void *sha256 = mill_sha256_create();
    uint8_t digest[32];
    if (sha256 == NULL)
        return mill_fail_nomem(err, "the tokenizer");
    mill_sha256_update(sha256, run->tokenizer_given.data, run->tokenizer_given.bytes);
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, sizeof digest, run->tokenizer_sha256);
    if (mill_tokenizer_has_template(run->tokenizer))
        mill_log_line(&run->log, MILL_LOG_INFO,
                      "%s: the tokens of its post_processor (BOS) are not added to rows: the recipe frames documents (encode.*)",
                      path);
    return MILL_OK;
}

// What the workers hold at once: a block of input, its batch, segment and token unit, and scratch; and the program itself.
static uint64_t memory_needed(uint32_t threads, uint64_t batch_bytes)
{
    return (UINT64_C(64) << 20) + threads * (8 * batch_bytes + (UINT64_C(16) << 20));
}

// Of finished units that wait in memory to be made durable.
uint64_t mill_run_held_bytes(const mill_run_state *run)
{
    const uint64_t share = run->memory_bytes / 16, most = UINT64_C(256) << 20;
    return share < most ? share : most;
}

// A row group of Parquet is decoded by one worker as a whole, into a batch, a segment and scratch of its
// size; one of more than this comes in blocks, as lines do. Far below the memory of a large machine it is the
// source's own limit.
static uint64_t group_bytes_for(uint64_t memory_bytes, uint32_t threads, uint64_t batch_bytes)
{
    const uint64_t fixed = UINT64_C(16) << 20, most = UINT64_C(256) << 20;
    const uint64_t share = memory_bytes / 8 * 7 / threads;
    const uint64_t bytes = share > fixed ? (share - fixed) / 6 : 0;
    return bytes < batch_bytes ? batch_bytes : bytes < most ? bytes : most;
}

static mill_status choose_memory(mill_run_state *run, mill_error *err)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t half = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 2 : UINT64_C(1) << 30;
    // An eighth is for finished units: twice mill_run_held_bytes.
    uint64_t needed = memory_needed(run->threads, run->batch_bytes) * 8 / 7;
    run->memory_bytes = run->options->memory_bytes != 0 ? run->options->memory_bytes : half;
    run->group_bytes = group_bytes_for(run->memory_bytes, run->threads, run->batch_bytes);
    if (run->options->memory_bytes != 0 && needed > run->memory_bytes)
        return mill_fail(
            err, MILL_RESOURCE,
            "--memory is too small for %u threads and batches of %llu bytes: at least %llu MiB are needed; fewer threads (-j) or "
            "a smaller --batch-size need less",
            run->threads, (unsigned long long)run->batch_bytes, (unsigned long long)(needed >> 20) + 1);
    return MILL_OK;
}

mill_status mill_run_check_tables(const mill_run_state *run, mill_error *err)
{
    const uint64_t sequences = run->recipe.encode.repo.sequence ? 64 : 0; // places and lists (repos.h)
    uint64_t bytes = run->doc_count * (sizeof(mill_doc) + 16ull * run->bands + 64 + sequences);
    if (bytes > run->memory_bytes)
        return mill_fail(err, MILL_RESOURCE,
                         "the tables of %llu documents need %llu MiB, more than --memory allows; raise it, or split the inputs "
                         "over several runs",
                         (unsigned long long)run->doc_count, (unsigned long long)(bytes >> 20) + 1);
    return MILL_OK;
}

static bool names_gpu(const char *device)
{
    return strcspn(device, ":") == 4 && (strncmp(device, "cuda", 4) == 0 || strncmp(device, "simt", 4) == 0);
}

static mill_status choose_backend(mill_run_state *run, mill_error *err)
{
    const mill_run_options *options = run->options;
    const char *device = options->device != NULL ? options->device : "auto";
    if (!names_gpu(device) && strcmp(device, "auto") != 0 && strcmp(device, "cpu") != 0)
        return mill_fail(err, MILL_USAGE, "--device %s: expected auto, cpu or cuda[:LIST]", device);
    if (names_gpu(device) && options->backend != NULL)
        return mill_fail(err, MILL_USAGE, "--backend %s chooses among forms for the processor; it does not go with --device %s",
                         options->backend, device);
    run->backend = mill_backend_find(options->backend != NULL ? options->backend : "auto");
    if (run->backend == NULL)
        return mill_fail(err, MILL_USAGE, "there is no backend '%s'", options->backend);
    return MILL_OK;
}

// The GPUs of --device, for a run that computes; with auto, none where there are none.
static mill_status open_gpus(mill_run_state *run, mill_error *err)
{
    const char *device = run->options->device != NULL ? run->options->device : "auto";
    mill_error why;
    if (strcmp(device, "cpu") == 0 || run->options->backend != NULL)
        return MILL_OK;
    if (names_gpu(device))
        MILL_TRY(mill_gpus_open(device, run->batch_bytes, &run->log, &run->gpus, err));
    else if (mill_gpus_open("cuda", run->batch_bytes, &run->log, &run->gpus, &why) != MILL_OK)
        mill_log_line(&run->log, MILL_LOG_DEBUG, "no GPU is used: %s", why.message);
    if (run->gpus != NULL)
        run->backend = mill_gpus_backend(run->gpus);
    return MILL_OK;
}

// Which device did what, for the log.
static void tell_devices(mill_run_state *run)
{
    for (size_t i = 0; run->gpus != NULL && i < mill_gpus_count(run->gpus); i++) {
        mill_gpu_use use = mill_gpus_use(run->gpus, i);
        mill_log_line(&run->log, MILL_LOG_DEBUG, "device %s:%d (%s): %llu batches, %llu bytes%s", use.kind, use.number, use.name,
                      (unsigned long long)use.batches, (unsigned long long)use.bytes,
                      use.failed ? "; it failed, the rest was done elsewhere" : "");
    }
}

mill_status mill_run_prepare_rules(mill_run_state *run, const mill_run_options *options, mill_error *err)
{
    *run =
        (mill_run_state){.options = options, .fs = options->fs != NULL ? options->fs : mill_fs_posix(), .stages = options->stages};
    mill_json_use_alloc();
    MILL_TRY(mill_run_log_open(options->log, options->context, &run->kept_log, err));
    run->log = (mill_log){MILL_LOG_DEBUG, mill_run_log_write, run->kept_log};
    run->started_ns = mill_clock_ns();
    if (options->struct_size != sizeof *options)
        return mill_fail(err, MILL_USAGE, "mill_run_options has another size than this library knows; use MILL_RUN_OPTIONS_INIT");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    run->threads = options->threads != 0 ? options->threads : (uint32_t)(cores > 0 ? cores : 1);
    if (run->threads > 1024)
        return mill_fail(err, MILL_USAGE, "-j %u: at most 1024 threads", run->threads);
    run->batch_bytes = options->batch_bytes != 0 ? options->batch_bytes : BATCH_BYTES;
    if (run->batch_bytes > BATCH_BYTES_MAX)
        return mill_fail(err, MILL_USAGE, "--batch-size: at most 64 MiB");
    MILL_TRY(choose_memory(run, err));
    MILL_TRY(choose_backend(run, err));
    MILL_TRY(mill_language_table_create(&run->languages, err));
    MILL_TRY(prepare_recipe(run, err));
    MILL_TRY(choose_languages(run, err));
    return load_tokenizer(run, err);
}

mill_status mill_run_prepare(mill_run_state *run, const mill_run_options *options, mill_error *err)
{
    MILL_TRY(mill_run_prepare_rules(run, options, err));
    if (options->input_count == 0)
        return mill_fail(err, MILL_USAGE, "no input; name files, directories or '-'");
    size_t streams = 0;
    for (size_t i = 0; i < options->input_count; i++)
        streams += strcmp(options->inputs[i], "-") == 0;
    if (streams > 1)
        return mill_fail(err, MILL_USAGE, "standard input ('-') is given %zu times, but can be read once only", streams);
    MILL_TRY(load_removals(run, err));
    MILL_TRY(open_source(run, err));
    return list_inputs(run, err);
}

void mill_run_release(mill_run_state *run)
{
    mill_shard_plan_free(run->shard_plan);
    mill_run_unmap_tokens(run);
    mill_repos_free(run->repos);
    mill_source_close(run->source);
    mill_removal_destroy(run->removal);
    mill_tokenizer_close(run->tokenizer);
    mill_buf_free(&run->tokenizer_given);
    mill_minhash_params_free(&run->minhash);
    mill_packing_free(&run->packing);
    mill_recipe_free(&run->recipe);
    mill_language_table_destroy(run->languages);
    for (size_t i = 0; run->inputs != NULL && i < run->input_count; i++)
        mill_free(run->inputs[i].name);
    void *owned[] = {run->inputs, run->docs, run->unit_first, run->wanted_languages, run->cuts, run->packed, run->shares};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        mill_free(owned[i]);
    mill_workdir_close(run->dir);
    mill_gpus_close(run->gpus);
    mill_run_log_close(run->kept_log);
}

// ---- the plan -------------------------------------------------------------------------------------------------------------------

static cJSON *strings_json(const char *const *items, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < count; i++) {
        cJSON *item = cJSON_CreateString(items[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static cJSON *plan_inputs(mill_run_state *run)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < run->input_count; i++) {
        char fingerprint[40];
        const mill_input_facts *facts = &run->inputs[i];
        snprintf(fingerprint, sizeof fingerprint, "%016llx%016llx", (unsigned long long)facts->fingerprint.high,
                 (unsigned long long)facts->fingerprint.low);
        cJSON *input = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(list, input) || cJSON_AddStringToObject(input, "name", facts->name) == NULL ||
            cJSON_AddNumberToObject(input, "bytes", (double)mill_source_input(run->source, i)->file_bytes) == NULL ||
            cJSON_AddStringToObject(input, "fingerprint", fingerprint) == NULL) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static bool add_text(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text != NULL ? text : "") != NULL;
}

// A build with other grammars may judge and cut otherwise.
static bool uses_grammars(const mill_run_state *run)
{
    const mill_recipe *recipe = &run->recipe;
    return (recipe->filter.enabled && recipe->syntax.mode == MILL_SYNTAX_TREE_SITTER) ||
           (recipe->fim.cut == MILL_FIM_BLOCK && recipe->fim.rate_permille != 0);
}

mill_status mill_run_plan_json(mill_run_state *run, cJSON **plan, mill_error *err)
{
    static const char *const sets[] = {"run", "filter", "dedup", "train", "encode", "pack"};
    const mill_run_options *o = run->options;
    char removals[65] = "", python[MILL_PYTHON_VERSION_BYTES + 1] = "";
    if (run->recipe.filter.enabled && run->recipe.syntax.mode == MILL_SYNTAX_CPYTHON)
        mill_python_version(run->recipe.syntax.python, python); // what parses differs between versions
    if (run->removal != NULL)
        mill_removal_digest(run->removal, removals);
    cJSON *json = cJSON_CreateObject(), *recipe = NULL;
    mill_status status = mill_recipe_canonical(&run->recipe, &recipe, err);
    bool good = status == MILL_OK && mill_json_add_item(json, "recipe", recipe) &&
                add_text(json, "command", sets[run->stages]) &&
                mill_json_add_item(json, "languages", strings_json(o->languages, o->language_count)) &&
                add_text(json, "format", o->format) &&
                add_text(json, "grammars", uses_grammars(run) ? mill_syntax_description() : "") &&
                add_text(json, "python_version", python) && add_text(json, "tokenizer_sha256", run->tokenizer_sha256) &&
                add_text(json, "removals", removals) && add_text(json, "input_format", o->input_format) &&
                add_text(json, "source_type", o->source_type) &&
                add_text(json, "field_preset", o->field_preset) &&
                mill_json_add_item(json, "fields", strings_json(o->fields, o->field_count)) &&
                cJSON_AddNumberToObject(json, "output_version", MILL_OUTPUT_VERSION) != NULL &&
                mill_json_add_item(json, "inputs", plan_inputs(run));
    if (!good) {
        cJSON_Delete(json);
        return status != MILL_OK ? status : mill_fail_nomem(err, "the plan");
    }
    *plan = json;
    return MILL_OK;
}

// Standard input cannot be read twice, so a directory that was fed from it cannot be resumed.
static mill_status refuse_second_stdin(mill_run_state *run, mill_error *err)
{
    bool there;
    MILL_TRY(mill_fs_find(run->fs, mill_workdir_handle(run->dir), MILL_STATE "/plan.json", &there, err));
    for (size_t i = 0; i < run->input_count; i++) {
        if (there && strcmp(run->inputs[i].name, "-") == 0)
            return mill_fail(err, MILL_PLAN,
                             "%s holds a run that was fed from standard input, which cannot be read again; use --overwrite",
                             run->options->output);
    }
    return MILL_OK;
}

static mill_status claim_directory(mill_run_state *run, mill_error *err)
{
    const mill_run_options *o = run->options;
    const mill_workdir_options options = {.path = o->output,
                                          .overwrite = o->overwrite,
                                          .fast = o->fast,
                                          .recheck = o->recheck,
                                          .keep_work = o->keep_work,
                                          .each = o->each,
                                          .held_bytes = mill_run_held_bytes(run),
                                          .threads = run->threads,
                                          .log = o->log,
                                          .context = o->context};
    MILL_TRY(mill_workdir_open(run->fs, &options, &run->dir, err));
    MILL_TRY(refuse_second_stdin(run, err));
    cJSON *plan = NULL;
    MILL_TRY(mill_run_plan_json(run, &plan, err));
    mill_status status = mill_workdir_check_plan(run->dir, plan, err);
    cJSON_Delete(plan);
    return status;
}

// How inputs are cut into units never shows in the product, but units on disk are cut as they were begun.
static mill_status keep_cuts(mill_run_state *run, mill_error *err)
{
    uint64_t batch = run->batch_bytes, group = run->group_bytes;
    MILL_TRY(mill_workdir_keep_state(run->dir, "batch_bytes", &batch, err));
    MILL_TRY(mill_workdir_keep_state(run->dir, "group_bytes", &group, err));
    if (batch == run->batch_bytes && group == run->group_bytes)
        return MILL_OK;
    mill_log_line(
        &run->log, MILL_LOG_INFO,
        "going on with units as the first attempt cut them: batches of %llu bytes, row groups up to %llu",
        (unsigned long long)batch, (unsigned long long)group);
    run->batch_bytes = batch;
    run->group_bytes = group;
    mill_source_close(run->source);
    run->source = NULL;
    return open_source(run, err);
}

// ---- a run that has nothing left to do ------------------------------------------------------------------------------------------

static uint64_t json_number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

static mill_status check_complete(mill_run_state *run, const cJSON *manifest, mill_error *err)
{
    const cJSON *file;
    cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(manifest, "files")) {
        const cJSON *path = cJSON_GetObjectItemCaseSensitive(file, "path");
        mill_file_info info;
        int result = !cJSON_IsString(path)
                         ? -ENOENT
                         : run->fs->ops->info(run->fs->self, mill_workdir_handle(run->dir), path->valuestring, false, &info);
        if (result < 0 && result != -ENOENT && result != -ENOTDIR)
            return mill_fail_errno(err, -result, "%s: cannot look at %s", run->options->output, path->valuestring);
        if (result < 0 || info.bytes != json_number(file, "bytes"))
            return mill_fail(err, MILL_VERIFY, "%s: %s is missing or has another size; use --overwrite to make the run anew",
                             run->options->output, cJSON_IsString(path) ? path->valuestring : "a file");
    }
    return MILL_OK;
}

static mill_status report_complete(mill_run_state *run, mill_error *err)
{
    mill_view text;
    cJSON *manifest = NULL;
    MILL_TRY(mill_workdir_view(run->dir, "manifest.json", &text, err));
    mill_status status = mill_manifest_parse(text.data, text.bytes, "manifest.json", &manifest, err);
    if (status == MILL_OK)
        status = check_complete(run, manifest, err);
    if (status == MILL_OK)
        status = mill_workdir_settle(run->dir, err);
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(manifest, "totals");
    mill_account account;
    if (status == MILL_OK && mill_account_from_json(cJSON_GetObjectItemCaseSensitive(totals, "records"), &account))
        run->summary = (mill_run_summary){.read = account.read,
                                          .kept = account.by_reason[MILL_KEPT],
                                          .rejected = mill_account_rejected(&account),
                                          .duplicate_exact = account.by_reason[MILL_REASON_EXACT],
                                          .duplicate_near = account.by_reason[MILL_REASON_NEAR],
                                          .unselected = account.by_reason[MILL_REASON_UNSELECTED],
                                          .quarantined = account.quarantined,
                                          .samples = json_number(totals, "samples"),
                                          .tokens = json_number(totals, "tokens")};
    run->summary.already_complete = true;
    cJSON_Delete(manifest);
    mill_workdir_unview(run->dir, &text);
    return status;
}

// ---- the run --------------------------------------------------------------------------------------------------------------------

int mill_run_segment_level(const mill_run_state *run, uint64_t unit)
{
    return (unit + 1) * run->batch_bytes <= mill_run_stored_bytes(run) ? 0 : 1;
}

uint64_t mill_run_stored_bytes(const mill_run_state *run)
{
    return run->memory_bytes / 4;
}

void mill_run_segment_path(uint64_t unit, char path[64])
{
    snprintf(path, 64, MILL_STATE "/stage/ingest/%06llu.seg", (unsigned long long)unit);
}

void mill_run_sketch_path(uint64_t unit, char path[64])
{
    snprintf(path, 64, MILL_STATE "/stage/check/%06llu.sketch", (unsigned long long)unit);
}

mill_status mill_run_load_segment(mill_run_state *run, uint64_t unit, mill_batch *batch, mill_error *err)
{
    char path[64];
    mill_view view;
    mill_run_segment_path(unit, path);
    MILL_TRY(mill_workdir_view(run->dir, path, &view, err));
    mill_status status = mill_segment_decode(view.data, view.bytes, path, run->languages, batch, err);
    mill_workdir_unview(run->dir, &view);
    return status;
}

static mill_status run_prepared(mill_run_state *run, mill_error *err)
{
    MILL_TRY(open_gpus(run, err));
    MILL_TRY(claim_directory(run, err));
    bool complete;
    MILL_TRY(mill_workdir_is_complete(run->dir, &complete, err));
    if (complete)
        return report_complete(run, err);
    MILL_TRY(keep_cuts(run, err));
    const mill_source_work work = {mill_workdir_handle(run->dir), MILL_STATE "/tmp/sort-", run->threads, run->options->stop};
    mill_source_set_work(run->source, &work);
    mill_log_line(&run->log, MILL_LOG_DEBUG, "backend %s, %u threads, batches of %llu bytes", run->backend->name, run->threads,
                  (unsigned long long)run->batch_bytes);
    mill_status status = mill_plan_run(run, err);
    tell_devices(run);
    if (status != MILL_OK) {
        // What is finished stays finished; the first error is the one to report.
        (void)!mill_workdir_flush(run->dir, NULL);
        mill_run_log_save(run->kept_log, run->dir, status, err);
    }
    return status;
}

mill_status mill_run(const mill_run_options *options, mill_run_summary *summary, mill_error *err)
{
    mill_error unheard;
    if (err == NULL)
        err = &unheard; // some decisions look at the reason of a failure
    mill_run_state *run = mill_alloc_zero(1, sizeof *run);
    if (run == NULL)
        return mill_fail_nomem(err, "starting the run");
    mill_status status = mill_run_prepare(run, options, err);
    if (status == MILL_OK)
        status = run_prepared(run, err);
    run->summary.seconds = (double)(mill_clock_ns() - run->started_ns) * 1e-9;
    if (status == MILL_OK && options->strict && run->summary.quarantined != 0)
        status = mill_fail(err, MILL_INPUT, "%llu records are quarantined and --strict is on; see %s/quarantine.jsonl",
                           (unsigned long long)run->summary.quarantined, options->output);
    if (summary != NULL)
        *summary = run->summary;
    mill_run_release(run);
    mill_free(run);
    return status;
}
