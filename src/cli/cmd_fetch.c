// cmd_fetch.c: collect and upload: files over the net.
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "cli/signals.h"

typedef struct settings {
    const char *output, *check, *durability, *progress;
    mill_arguments languages;
    uint64_t threads, tries, wait_ms, timeout_s;
    bool update, overwrite, dry_run, json, quiet, verbose;
} settings;

#define AT(member) offsetof(settings, member)

// clang-format off
#define TRANSFER_OPTIONS                                                                                                          \
    {"tries", 0, MILL_OPT_COUNT, AT(tries), "N", "tries of a request that brings nothing: no connection, 429, 5xx (8)", NULL},     \
    {"wait", 0, MILL_OPT_COUNT, AT(wait_ms), "MS", "milliseconds before the second try; doubles up to a minute (1000)", NULL},     \
    {"timeout", 0, MILL_OPT_COUNT, AT(timeout_s), "S", "seconds without a byte after which a connection is given up (60)", NULL},  \
    {"progress", 0, MILL_OPT_TEXT, AT(progress), "auto|plain|json|none", "how to show progress on stderr (auto)", NULL},           \
    {"quiet", 'q', MILL_OPT_FLAG, AT(quiet), NULL, "only warnings and errors", NULL},                                              \
    {"verbose", 'v', MILL_OPT_FLAG, AT(verbose), NULL, "more messages", NULL}

const mill_option mill_collect_option_table[] = {
    {"output", 'o', MILL_OPT_TEXT, AT(output), "DIR", "directory to make or to go on in (required)", "output_dir"},
    {"languages", 0, MILL_OPT_WORDS, AT(languages), "L...",
     "only files below a directory of such a name, as The Stack has one for each language", NULL},
    {"threads", 'j', MILL_OPT_COUNT, AT(threads), "N", "files at a time (8)", NULL},
    {"update", 0, MILL_OPT_FLAG, AT(update), NULL, "take new versions of files and of the hub's revisions", NULL},
    {"check", 0, MILL_OPT_TEXT, AT(check), "full|size", "check what is there already by reading it, or by its size (full)", NULL},
    {"durability", 0, MILL_OPT_TEXT, AT(durability), "full|fast", "fast: no fsync (full)", NULL},
    {"dry-run", 0, MILL_OPT_FLAG, AT(dry_run), NULL, "list what would be fetched, write nothing", NULL},
    {"json", 0, MILL_OPT_FLAG, AT(json), NULL, "dry run: one JSON document", NULL},
    TRANSFER_OPTIONS,
    {NULL, 0, MILL_OPT_FLAG, 0, NULL, NULL, NULL}
};
const mill_option mill_upload_option_table[] = {
    {"overwrite", 0, MILL_OPT_FLAG, AT(overwrite), NULL, "replace another run at the target; its manifest.json goes first", NULL},
    {"threads", 'j', MILL_OPT_COUNT, AT(threads), "N", "files at a time (4)", NULL},
    TRANSFER_OPTIONS,
    {NULL, 0, MILL_OPT_FLAG, 0, NULL, NULL, NULL}
};
// clang-format on

static const settings defaults = {.tries = 8, .wait_ms = 1000, .timeout_s = 60};

static uint32_t small(uint64_t value)
{
    return (uint32_t)(value < UINT32_MAX ? value : UINT32_MAX);
}

static bool start_talk(const char *command, const settings *s, mill_talk *talk)
{
    if (mill_talk_init(talk, s->progress, s->quiet, s->verbose))
        return true;
    fprintf(stderr,
            "shardmill %s: error[E_USAGE]: --progress: expected auto, plain, json or none, got '%s'\n",
            command, s->progress);
    return false;
}

// The end of a transfer: 0, or what its failure means; a signal ends the program as signals do.
static int finish(mill_talk *talk, mill_status status, const mill_error *error)
{
    mill_talk_end(talk);
    if (status == MILL_OK)
        return 0;
    int code = mill_report_error(status, error);
    return status == MILL_STOPPED && mill_stop_requested ? mill_die_by_signal() : code;
}

static bool is_word(const char *option, const char *value, const char *first, const char *second)
{
    if (value == NULL || strcmp(value, first) == 0 || strcmp(value, second) == 0)
        return true;
    fprintf(stderr, "shardmill collect: error[E_USAGE]: --%s: expected %s or %s, got '%s'\n", option, first,
            second, value);
    return false;
}

static int collect(const settings *s, const mill_arguments *urls)
{
    mill_talk talk;
    mill_error error = {0};
    mill_collect_options o = MILL_COLLECT_OPTIONS_INIT;
    if (!start_talk("collect", s, &talk) || !is_word("check", s->check, "full", "size") ||
        !is_word("durability", s->durability, "full", "fast"))
        return 2;
    o.urls = urls->items;
    o.url_count = urls->count;
    o.output = s->output;
    o.languages = s->languages.items;
    o.language_count = s->languages.count;
    o.threads = small(s->threads);
    o.tries = small(s->tries);
    o.wait_ms = small(s->wait_ms);
    o.timeout_s = small(s->timeout_s);
    o.update = s->update;
    o.sizes_only = s->check != NULL && strcmp(s->check, "size") == 0;
    o.fast = s->durability != NULL && strcmp(s->durability, "fast") == 0;
    o.log = mill_talk_log;
    o.progress = mill_talk_progress;
    o.context = &talk;
    o.stop = &mill_stop_requested;
    mill_watch_signals();
    if (s->dry_run) {
        mill_text text = {0};
        int code = finish(&talk, mill_collect_list(&o, s->json, &text, &error), &error);
        code = code == 0 ? mill_print(text.data, text.bytes) : code;
        mill_text_free(&text);
        return code;
    }
    mill_collect_summary summary;
    int code = finish(&talk, mill_collect(&o, &summary, &error), &error);
    if (code == 0 && !s->quiet)
        fprintf(stderr, "shardmill: %llu files, %llu bytes in %s; %llu fetched (%llu bytes) in %.1f s\n",
                (unsigned long long)summary.files, (unsigned long long)summary.bytes, s->output,
                (unsigned long long)summary.fetched, (unsigned long long)summary.fetched_bytes,
                summary.seconds);
    return code;
}

static int upload(const settings *s, const mill_arguments *arguments)
{
    mill_talk talk;
    mill_error error = {0};
    mill_upload_options o = MILL_UPLOAD_OPTIONS_INIT;
    mill_upload_summary summary;
    if (arguments->count != 2) {
        fprintf(stderr, "shardmill upload: error[E_USAGE]: usage: shardmill upload DIR s3://BUCKET/PREFIX\n");
        return 2;
    }
    if (!start_talk("upload", s, &talk))
        return 2;
    o.directory = arguments->items[0];
    o.target = arguments->items[1];
    o.threads = small(s->threads);
    o.tries = small(s->tries);
    o.wait_ms = small(s->wait_ms);
    o.timeout_s = small(s->timeout_s);
    o.overwrite = s->overwrite;
    o.log = mill_talk_log;
    o.progress = mill_talk_progress;
    o.context = &talk;
    o.stop = &mill_stop_requested;
    mill_watch_signals();
    int code = finish(&talk, mill_upload(&o, &summary, &error), &error);
    if (code == 0 && !s->quiet)
        fprintf(stderr, "shardmill: %llu files, %llu bytes at %s; %llu sent (%llu bytes) in %.1f s\n",
                (unsigned long long)summary.files, (unsigned long long)summary.bytes, o.target,
                (unsigned long long)summary.sent, (unsigned long long)summary.sent_bytes, summary.seconds);
    return code;
}

static int run(const mill_command *command, int argc, char **argv,
               int (*call)(const settings *, const mill_arguments *))
{
    settings s = defaults;
    mill_arguments arguments = {0};
    int result = mill_opts_parse(command, argc, argv, &s, &arguments);
    int code = result == 0 ? call(&s, &arguments) : result < 0 ? 2 : 0;
    mill_arguments_free(&arguments);
    mill_arguments_free(&s.languages);
    return code;
}

int mill_cmd_collect(const mill_command *command, int argc, char **argv)
{
    return run(command, argc, argv, collect);
}

int mill_cmd_upload(const mill_command *command, int argc, char **argv)
{
    return run(command, argc, argv, upload);
}
