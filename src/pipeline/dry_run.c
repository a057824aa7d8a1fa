// dry_run.c: the plan of a run before it starts, and recipes as text. Nothing is written.
#include <string.h>

#include "pipeline/document.h"
#include "pipeline/finished.h"
#include "pipeline/plan.h"
#include "pipeline/run.h"

mill_status mill_recipe_text(const char *name, const char *const *sets, size_t set_count, mill_text *out, mill_error *err)
{
    mill_recipe recipe = {0};
    mill_buf text = {0};
    bool builtin = strcmp(name, "guide") == 0 || strcmp(name, "default") == 0;
    *out = (mill_text){0};
    mill_status status = mill_recipe_load(mill_fs_posix(), name, sets, set_count, &recipe, err);
    if (status == MILL_OK)
        status = mill_recipe_resolve(&recipe, err);
    // A built-in recipe that nobody changed is shown as its table spells it.
    if (status == MILL_OK)
        status = mill_recipe_print(builtin ? name : "default", builtin && set_count == 0 ? NULL : &recipe, &text, err);
    if (status == MILL_OK)
        status = mill_text_take(&text, out, err);
    mill_buf_free(&text);
    mill_recipe_free(&recipe);
    return status;
}

static const char *input_kind(const mill_input_info *info)
{
    if (strcmp(info->path, "-") == 0)
        return "stdin";
    return info->is_tree      ? "tree"
           : info->is_parquet ? "parquet"
           : info->is_archive ? "archive"
           : info->is_posts   ? "stackexchange"
                              : "jsonl";
}

static cJSON *inputs_json(const mill_run_state *run)
{
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    for (size_t i = 0; good && i < run->input_count; i++) {
        const mill_input_info *info = mill_source_input(run->source, i);
        cJSON *input = cJSON_CreateObject();
        good = cJSON_AddItemToArray(list, input) && mill_document_text(input, "name", info->name) &&
               mill_document_text(input, "kind", input_kind(info)) &&
               mill_document_number(input, "bytes", (double)info->file_bytes) &&
               mill_document_number(input, "files", (double)info->files);
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static cJSON *languages_json(const mill_run_options *options)
{
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    for (size_t i = 0; good && i < options->language_count; i++) {
        cJSON *name = cJSON_CreateString(options->languages[i]);
        good = name != NULL && cJSON_AddItemToArray(list, name);
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

// The lines of mill_plan_describe as a list of names.
static cJSON *stages_json(mill_stage_set set, mill_error *err)
{
    mill_buf text = {0};
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL && mill_plan_describe(set, &text, err) == MILL_OK && mill_buf_append(&text, "", 1, err) == MILL_OK;
    char *place = NULL;
    for (char *line = good ? strtok_r((char *)text.data, "\n", &place) : NULL; good && line != NULL;
         line = strtok_r(NULL, "\n", &place)) {
        line += strspn(line, " ");
        line[strcspn(line, " ")] = '\0';
        cJSON *name = cJSON_CreateString(line);
        good = name != NULL && cJSON_AddItemToArray(list, name);
    }
    mill_buf_free(&text);
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static const char *const commands[] = {"run", "filter", "dedup", "train", "encode", "pack"};

static mill_status plan_document(const mill_run_state *run, mill_text *out, mill_error *err)
{
    cJSON *recipe = NULL, *json = cJSON_CreateObject();
    mill_status status = mill_recipe_canonical(&run->recipe, &recipe, err);
    bool good = mill_document_number(json, "schema", 1) && mill_document_text(json, "command", commands[run->stages]) &&
                mill_document_text(json, "version", MILL_VERSION) && mill_document_item(json, "inputs", inputs_json(run)) &&
                mill_document_item(json, "stages", stages_json(run->stages, err)) &&
                mill_document_item(json, "languages", languages_json(run->options)) &&
                mill_document_text(json, "format", run->options->format) && mill_document_number(json, "threads", run->threads) &&
                mill_document_number(json, "batch_bytes", (double)run->batch_bytes) &&
                mill_document_text(json, "backend", run->backend->name) &&
                mill_document_text(json, "tokenizer_sha256", run->tokenizer_sha256);
    good = mill_document_item(json, "recipe", recipe) && good;
    if (status != MILL_OK || !good) {
        cJSON_Delete(json);
        return status != MILL_OK ? status : mill_fail_nomem(err, "the plan");
    }
    return mill_document_finish(json, out, err);
}

static mill_status append_inputs(const mill_run_state *run, mill_buf *out, mill_error *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < run->input_count; i++)
        bytes += mill_source_input(run->source, i)->file_bytes;
    MILL_TRY(mill_buf_printf(out, err, "inputs: %zu, %llu bytes\n", run->input_count, (unsigned long long)bytes));
    for (size_t i = 0; i < run->input_count; i++) {
        const mill_input_info *info = mill_source_input(run->source, i);
        MILL_TRY(mill_buf_printf(out, err, "  %-6s %15llu  ", input_kind(info), (unsigned long long)info->file_bytes));
        MILL_TRY(mill_append_escaped(out, info->name, strlen(info->name), false, err));
        MILL_TRY(info->is_tree ? mill_buf_printf(out, err, " (%llu files)\n", (unsigned long long)info->files)
                               : mill_buf_append_text(out, "\n", err));
    }
    return MILL_OK;
}

static mill_status append_recipe(const mill_run_state *run, mill_buf *out, mill_error *err)
{
    cJSON *recipe = NULL;
    MILL_TRY(mill_recipe_canonical(&run->recipe, &recipe, err));
    char *printed = cJSON_Print(recipe);
    cJSON_Delete(recipe);
    if (printed == NULL)
        return mill_fail_nomem(err, "the plan");
    mill_status status = mill_buf_printf(out, err, "recipe as used:\n%s\n", printed);
    cJSON_free(printed);
    return status;
}

static mill_status plan_text(const mill_run_state *run, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "shardmill %s %s: a dry run, nothing is written\n", MILL_VERSION, commands[run->stages]));
    MILL_TRY(append_inputs(run, out, err));
    for (size_t i = 0; i < run->options->language_count; i++) {
        MILL_TRY(mill_buf_append_text(out, i == 0 ? "languages: " : ", ", err));
        MILL_TRY(mill_append_escaped(out, run->options->languages[i], strlen(run->options->languages[i]), false, err));
    }
    MILL_TRY(mill_buf_append_text(out, run->options->language_count != 0 ? "\nstages:\n" : "stages:\n", err));
    MILL_TRY(mill_plan_describe(run->stages, out, err));
    MILL_TRY(mill_buf_printf(out, err, "format: %s\nthreads: %u, backend %s, batches of %llu bytes\n", run->options->format,
                             run->threads, run->backend->name, (unsigned long long)run->batch_bytes));
    if (run->tokenizer != NULL)
        MILL_TRY(mill_buf_printf(out, err, "tokenizer: given, %u ids, sha256 %s\n", mill_tokenizer_vocab_size(run->tokenizer),
                                 run->tokenizer_sha256));
    return append_recipe(run, out, err);
}

mill_status mill_dry_run(const mill_run_options *options, bool json, mill_text *out, mill_error *err)
{
    *out = (mill_text){0};
    mill_buf text = {0};
    mill_run_state *run = mill_alloc_zero(1, sizeof *run);
    if (run == NULL)
        return mill_fail_nomem(err, "the plan");
    mill_status status = mill_run_prepare(run, options, err);
    if (status == MILL_OK && json)
        status = plan_document(run, out, err);
    else if (status == MILL_OK)
        status = plan_text(run, &text, err);
    if (status == MILL_OK && !json)
        status = mill_text_take(&text, out, err);
    mill_buf_free(&text);
    mill_run_release(run);
    mill_free(run);
    return status;
}
