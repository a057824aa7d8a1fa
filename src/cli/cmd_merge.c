// cmd_merge.c: convert and merge: finished directories in other containers, several as one.
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "cli/signals.h"

typedef struct settings {
    const char *output, *format, *progress, *durability;
    mill_arguments sets;
    uint64_t threads;
    bool overwrite, keep_work, quiet, verbose;
} settings;

#define AT(member) offsetof(settings, member)

// clang-format off
const mill_option mill_merge_option_table[] = {
    {"output", 'o', MILL_OPT_TEXT, AT(output), "DIR", "directory to make or to go on in (required)", "output_dir"},
    {"format", 0, MILL_OPT_TEXT, AT(format), MILL_FORMAT_WORDS,
     "containers of the shards; several with commas, from one pass (merge: jsonl.zst)", NULL},
    {"set", 0, MILL_OPT_REPEAT, AT(sets), "KEY=VALUE", "change one recipe value of shard.*; may be repeated", NULL},
    {"threads", 'j', MILL_OPT_COUNT, AT(threads), "N", "threads; does not change a byte of the output (all cores)", NULL},
    {"overwrite", 0, MILL_OPT_FLAG, AT(overwrite), NULL, "remove an earlier run in DIR first", NULL},
    {"keep-work", 0, MILL_OPT_FLAG, AT(keep_work), NULL, "keep the stage files in DIR/.shardmill", NULL},
    {"durability", 0, MILL_OPT_TEXT, AT(durability), "full|each|fast",
     "full: finished work goes to disk within 2 s; each: at once; fast: no fsync, a power cut may cost the output (full)", NULL},
    {"progress", 0, MILL_OPT_TEXT, AT(progress), "auto|plain|json|none", "how to show progress on stderr (auto)", NULL},
    {"quiet", 'q', MILL_OPT_FLAG, AT(quiet), NULL, "only warnings and errors", NULL},
    {"verbose", 'v', MILL_OPT_FLAG, AT(verbose), NULL, "more messages", NULL},
    {NULL, 0, MILL_OPT_FLAG, 0, NULL, NULL, NULL}
};
// clang-format on

static int fail_usage(const mill_command *command, const char *what)
{
    fprintf(stderr, "shardmill %s: error[E_USAGE]: %s\n", command->name, what);
    return 2;
}

static int execute(const mill_command *command, const settings *s, const mill_arguments *inputs)
{
    const bool convert = strcmp(command->name, "convert") == 0;
    mill_talk talk;
    mill_run_summary summary = {0};
    mill_error error = {0};
    if (!mill_talk_init(&talk, s->progress, s->quiet, s->verbose))
        return fail_usage(command, "--progress: expected auto, plain, json or none");
    if (s->output == NULL)
        return fail_usage(command, "-o DIR is missing");
    if (convert && s->format == NULL)
        return fail_usage(command, "--format is missing: which containers shall it be?");
    if (convert && inputs->count != 1)
        return fail_usage(command, "one directory is converted at a time; merge takes several");
    mill_run_options options = MILL_RUN_OPTIONS_INIT;
    if (!mill_set_durability(command->name, s->durability, &options))
        return 2;
    options.inputs = inputs->items;
    options.input_count = inputs->count;
    options.output = s->output;
    options.format = s->format != NULL ? s->format : options.format;
    options.sets = s->sets.items;
    options.set_count = s->sets.count;
    options.threads = (uint32_t)(s->threads < UINT32_MAX ? s->threads : UINT32_MAX);
    options.overwrite = s->overwrite;
    options.keep_work = s->keep_work;
    options.log = mill_talk_log;
    options.progress = mill_talk_progress;
    options.context = &talk;
    options.stop = &mill_stop_requested;
    mill_watch_signals();
    mill_status status = mill_merge_runs(&options, &summary, &error);
    mill_talk_end(&talk);
    if (status == MILL_STOPPED && mill_stop_requested) {
        (void)mill_report_error(status, &error);
        return mill_die_by_signal();
    }
    if (status == MILL_OK && summary.already_complete && !s->quiet)
        fprintf(stderr, "shardmill: %s is complete already; nothing to do\n", s->output);
    else if (status == MILL_OK && !s->quiet)
        fprintf(stderr, "shardmill: %llu sequences, %llu tokens in %.1f s -> %s\n", (unsigned long long)summary.samples,
                (unsigned long long)summary.tokens, summary.seconds, s->output);
    return status == MILL_OK ? 0 : mill_report_error(status, &error);
}

int mill_cmd_merge(const mill_command *command, int argc, char **argv)
{
    settings s = {0};
    mill_arguments inputs = {0};
    int result = mill_opts_parse(command, argc, argv, &s, &inputs);
    int code = result == 0 ? execute(command, &s, &inputs) : result < 0 ? 2 : 0;
    mill_arguments_free(&inputs);
    mill_arguments_free(&s.sets);
    return code;
}
