// cmd_run.c: run, and the commands that do one stage of it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "cli/signals.h"

typedef struct settings {
    const char *output, *recipe, *tokenizer, *format, *input_format, *source_type, *preset, *device, *backend, *progress;
    const char *check_inputs, *durability;
    mill_arguments sets, languages, fields;
    uint64_t target_tokens, seed, threads, memory, batch;
    bool resume, overwrite, strict, dry_run, json, keep_work, recheck, quiet, verbose;
} settings;

#define AT(member) offsetof(settings, member)

// clang-format off
const mill_option mill_run_option_table[] = {
    {"output", 'o', MILL_OPT_TEXT, AT(output), "DIR", "directory to make or to go on in (required)", "output_dir"},
    {"recipe", 0, MILL_OPT_TEXT, AT(recipe), "guide|default|FILE", "built-in recipe, or a JSON file (default)", NULL},
    {"set", 0, MILL_OPT_REPEAT, AT(sets), "KEY=VALUE", "change one recipe value; may be repeated", NULL},
    {"languages", 0, MILL_OPT_WORDS, AT(languages), "L...", "keep only these languages", NULL},
    {"target-tokens", 0, MILL_OPT_COUNT, AT(target_tokens), "N",
     "stop the mixture at N tokens, by the recipe's shares (140e9, 140B)", "target_tokens"},
    {"tokenizer", 0, MILL_OPT_TEXT, AT(tokenizer), "FILE", "use this tokenizer.json instead of training one", NULL},
    {"format", 0, MILL_OPT_TEXT, AT(format), MILL_FORMAT_WORDS,
     "containers of the shards; several with commas, from one pass (jsonl.zst)", NULL},
    {"seed", 0, MILL_OPT_COUNT, AT(seed), "N", "every random choice comes from it (0)", NULL},
    {"threads", 'j', MILL_OPT_COUNT, AT(threads), "N", "threads; does not change a byte of the output (all cores)", NULL},
    {"device", 0, MILL_OPT_TEXT, AT(device), "auto|cpu|cuda[:LIST]",
     "where to compute (auto); does not change a byte of the output", NULL},
    {"memory", 0, MILL_OPT_SIZE, AT(memory), "SIZE", "budget for tables and buffers (half of the memory)", NULL},
    {"input-format", 0, MILL_OPT_TEXT, AT(input_format), "jsonl|parquet|tree|text|notebook|stackexchange",
     "kind of the inputs; by content and name if not given", NULL},
    {"source-type", 0, MILL_OPT_TEXT, AT(source_type), "source|docs|qa|notebook|contest",
     "the data type for the mixture (source)", NULL},
    {"preset", 0, MILL_OPT_TEXT, AT(preset), MILL_PRESET_WORDS, "whose field names the records have (auto)", NULL},
    {"field", 0, MILL_OPT_REPEAT, AT(fields), "F=COLUMN",
     "take field F from COLUMN: content, language, repo, path, stars, licence; of conversations instruction, input, output, "
     "messages, prompt, completion",
     NULL},
    {"resume", 0, MILL_OPT_FLAG, AT(resume), NULL, "go on where an earlier run of the same plan stopped (the default)", NULL},
    {"overwrite", 0, MILL_OPT_FLAG, AT(overwrite), NULL, "remove an earlier run in DIR first", NULL},
    {"strict", 0, MILL_OPT_FLAG, AT(strict), NULL, "exit with 3 when records were quarantined (after finishing)", NULL},
    {"check-inputs", 0, MILL_OPT_TEXT, AT(check_inputs), "stat|full",
     "how a resume proves that the inputs are the same (stat)", NULL},
    {"recheck", 0, MILL_OPT_FLAG, AT(recheck), NULL, "read finished files again when going on", NULL},
    {"keep-work", 0, MILL_OPT_FLAG, AT(keep_work), NULL, "keep the stage files in DIR/.shardmill", NULL},
    {"durability", 0, MILL_OPT_TEXT, AT(durability), "full|each|fast",
     "full: finished work goes to disk within 2 s; each: at once; fast: no fsync, a power cut may cost the output (full)", NULL},
    {"batch-size", 0, MILL_OPT_SIZE, AT(batch), "SIZE", "text of a batch; does not change a byte of the output (8M)", NULL},
    {"progress", 0, MILL_OPT_TEXT, AT(progress), "auto|plain|json|none", "how to show progress on stderr (auto)", NULL},
    {"dry-run", 0, MILL_OPT_FLAG, AT(dry_run), NULL, "resolve inputs and recipe, print the plan, write nothing", NULL},
    {"json", 0, MILL_OPT_FLAG, AT(json), NULL, "dry run and plan: one JSON document", NULL},
    {"backend", 0, MILL_OPT_TEXT, AT(backend), "ref|cpu", "the plain or the fast implementation (for comparison)", NULL},
    {"quiet", 'q', MILL_OPT_FLAG, AT(quiet), NULL, "only warnings and errors", NULL},
    {"verbose", 'v', MILL_OPT_FLAG, AT(verbose), NULL, "more messages", NULL},
    {NULL, 0, MILL_OPT_FLAG, 0, NULL, NULL, NULL}
};
// clang-format on

// ---- options -> API -------------------------------------------------------------------------------------------------------------

static bool one_of(const char *command, const char *name, const char *value, const char *first, const char *second)
{
    if (value == NULL || strcmp(value, first) == 0 || strcmp(value, second) == 0)
        return true;
    fprintf(stderr, "shardmill %s: error[E_USAGE]: --%s: expected %s or %s, got '%s'\n", command, name, first, second, value);
    return false;
}

bool mill_set_durability(const char *command, const char *word, mill_run_options *options)
{
    options->each = word != NULL && strcmp(word, "each") == 0;
    options->fast = word != NULL && strcmp(word, "fast") == 0;
    if (word == NULL || options->each || options->fast || strcmp(word, "full") == 0)
        return true;
    fprintf(stderr, "shardmill %s: error[E_USAGE]: --durability: expected full, each or fast, got '%s'\n", command, word);
    return false;
}

// --seed and --target-tokens are recipe keys with a name of their own; the command line wins over --set.
static int add_sets(settings *s)
{
    char text[64];
    const struct shorthand {
        const char *key;
        uint64_t value;
    } keys[] = {{"seed", s->seed}, {"mixture.target_tokens", s->target_tokens}};
    for (size_t i = 0; i < 2; i++) {
        if (keys[i].value == UINT64_MAX)
            continue;
        int bytes = snprintf(text, sizeof text, "%s=\"%llu\"", keys[i].key, (unsigned long long)keys[i].value);
        const char **items = realloc(s->sets.items, (s->sets.count + 1) * sizeof *items);
        char *copy = malloc((size_t)bytes + 1);
        if (items == NULL || copy == NULL)
            return -1;
        memcpy(copy, text, (size_t)bytes + 1);
        s->sets.items = items;
        s->sets.items[s->sets.count++] = copy;
    }
    return 0;
}

static void fill_options(const settings *s, const mill_arguments *inputs, mill_stage_set stages, mill_talk *talk,
                         mill_run_options *o)
{
    *o = (mill_run_options)MILL_RUN_OPTIONS_INIT;
    o->stages = stages;
    o->inputs = inputs->items;
    o->input_count = inputs->count;
    o->output = s->output;
    o->recipe = s->recipe != NULL ? s->recipe : o->recipe;
    o->sets = s->sets.items;
    o->set_count = s->sets.count;
    o->languages = s->languages.items;
    o->language_count = s->languages.count;
    o->tokenizer = s->tokenizer;
    o->format = s->format != NULL ? s->format : o->format;
    o->input_format = s->input_format;
    o->source_type = s->source_type;
    o->field_preset = s->preset;
    o->fields = s->fields.items;
    o->field_count = s->fields.count;
    o->device = s->device != NULL ? s->device : o->device;
    o->backend = s->backend;
    o->threads = (uint32_t)(s->threads < UINT32_MAX ? s->threads : UINT32_MAX);
    o->memory_bytes = s->memory;
    o->batch_bytes = s->batch;
    o->overwrite = s->overwrite;
    o->strict = s->strict;
    o->keep_work = s->keep_work;
    o->full_input_check = s->check_inputs != NULL && strcmp(s->check_inputs, "full") == 0;
    o->recheck = s->recheck;
    o->log = mill_talk_log;
    o->progress = mill_talk_progress;
    o->context = talk;
    o->stop = &mill_stop_requested;
}

int mill_report_error(mill_status status, const mill_error *error)
{
    fprintf(stderr, "shardmill: error[%s]: %s\n", mill_status_code(status), error->message);
    return mill_status_exit_code(status);
}

static void print_summary(const mill_run_summary *s, const char *output)
{
    if (s->already_complete) {
        fprintf(stderr, "shardmill: %s is complete already; nothing to do\n", output);
        return;
    }
    fprintf(stderr,
            "shardmill: read %llu = kept %llu + rejected %llu + exact duplicates %llu + near duplicates %llu + unselected %llu + "
            "quarantined %llu\n",
            (unsigned long long)s->read, (unsigned long long)s->kept, (unsigned long long)s->rejected,
            (unsigned long long)s->duplicate_exact, (unsigned long long)s->duplicate_near, (unsigned long long)s->unselected,
            (unsigned long long)s->quarantined);
    fprintf(stderr, "shardmill: %llu samples, %llu tokens in %.1f s -> %s\n", (unsigned long long)s->samples,
            (unsigned long long)s->tokens, s->seconds, output);
}

static int execute(const mill_command *command, settings *s, const mill_arguments *inputs, mill_stage_set stages)
{
    mill_talk talk;
    mill_run_options options;
    mill_run_summary summary;
    mill_error error = {0};
    if (!mill_talk_init(&talk, s->progress, s->quiet, s->verbose)) {
        fprintf(stderr, "shardmill %s: error[E_USAGE]: --progress: expected auto, plain, json or none, got '%s'\n", command->name,
                s->progress);
        return 2;
    }
    if (s->resume && s->overwrite) {
        fprintf(stderr, "shardmill %s: error[E_USAGE]: --resume and --overwrite exclude each other\n", command->name);
        return 2;
    }
    if (!one_of(command->name, "check-inputs", s->check_inputs, "stat", "full"))
        return 2;
    if (add_sets(s) != 0)
        return 5;
    fill_options(s, inputs, stages, &talk, &options);
    if (!mill_set_durability(command->name, s->durability, &options))
        return 2;
    bool planning = strcmp(command->name, "plan") == 0;
    if (s->dry_run || planning) {
        mill_text text = {0};
        mill_status status =
            planning ? mill_plan(&options, s->json, &text, &error) : mill_dry_run(&options, s->json, &text, &error);
        int code = status == MILL_OK ? mill_print(text.data, text.bytes) : mill_report_error(status, &error);
        mill_text_free(&text);
        return code;
    }
    if (s->output == NULL) {
        fprintf(stderr, "shardmill %s: error[E_USAGE]: -o DIR is missing\n", command->name);
        return 2;
    }
    mill_watch_signals();
    mill_status status = mill_run(&options, &summary, &error);
    mill_talk_end(&talk);
    if (status == MILL_STOPPED && mill_stop_requested) {
        (void)mill_report_error(status, &error);
        return mill_die_by_signal();
    }
    if ((status == MILL_OK || (status == MILL_INPUT && summary.samples != 0)) && !s->quiet)
        print_summary(&summary, s->output);
    return status == MILL_OK ? 0 : mill_report_error(status, &error);
}

static int run_stages(const mill_command *command, int argc, char **argv, mill_stage_set stages)
{
    settings s = {.seed = UINT64_MAX, .target_tokens = UINT64_MAX};
    mill_arguments inputs = {0};
    int result = mill_opts_parse(command, argc, argv, &s, &inputs);
    int code = result == 0 ? execute(command, &s, &inputs, stages) : result < 0 ? 2 : 0;
    mill_arguments_free(&inputs);
    mill_arguments_free(&s.sets);
    mill_arguments_free(&s.languages);
    mill_arguments_free(&s.fields);
    return code;
}

int mill_cmd_run(const mill_command *command, int argc, char **argv)
{
    return run_stages(command, argc, argv, MILL_STAGES_ALL);
}

int mill_cmd_stage(const mill_command *command, int argc, char **argv)
{
    static const struct stage_name {
        const char *name;
        mill_stage_set stages;
    } names[] = {{"filter", MILL_STAGES_FILTER}, {"dedup", MILL_STAGES_DEDUP}, {"train", MILL_STAGES_TRAIN},
                 {"encode", MILL_STAGES_ENCODE}, {"pack", MILL_STAGES_PACK}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(command->name, names[i].name) == 0)
            return run_stages(command, argc, argv, names[i].stages);
    }
    return 1;
}
