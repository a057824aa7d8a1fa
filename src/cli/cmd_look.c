// cmd_look.c: commands that look at a finished run, a record, a recipe or the machine, and change nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

typedef struct look {
    uint64_t samples, seed, threads;
    bool json, no_color, color;
    const char *recipe, *preset, *input_format;
    mill_arguments sets, fields;
} look;

#define AT(member) offsetof(look, member)
#define END {NULL, 0, MILL_OPT_FLAG, 0, NULL, NULL, NULL}

const mill_option mill_inspect_options[] = {
    {"samples", 'n', MILL_OPT_COUNT, AT(samples), "N", "how many samples (1)", NULL},
    {"seed", 0, MILL_OPT_COUNT, AT(seed), "S", "which ones (0)", NULL},
    {"no-color", 0, MILL_OPT_FLAG, AT(no_color), NULL, "plain text on a terminal, too", NULL},
    END};
const mill_option mill_explain_options[] = {
    {"recipe", 0, MILL_OPT_TEXT, AT(recipe), "guide|default|FILE", "recipe to judge by (default)", NULL},
    {"set", 0, MILL_OPT_REPEAT, AT(sets), "KEY=VALUE", "change one recipe value; may be repeated", NULL},
    {"preset", 0, MILL_OPT_TEXT, AT(preset), MILL_PRESET_WORDS, "field names, as in run", NULL},
    {"field", 0, MILL_OPT_REPEAT, AT(fields), "F=COLUMN", "take field F from COLUMN, as in run", NULL},
    {"input-format", 0, MILL_OPT_TEXT, AT(input_format), "jsonl|parquet|tree|text|notebook|stackexchange",
     "as in run; a single file that is no JSON lines is one record", NULL},
    {"json", 0, MILL_OPT_FLAG, AT(json), NULL, "one JSON document", NULL},
    END};
const mill_option mill_stats_options[] = {{"json", 0, MILL_OPT_FLAG, AT(json), NULL, "one JSON document", NULL}, END};
const mill_option mill_verify_options[] = {{"threads", 'j', MILL_OPT_COUNT, AT(threads), "N", "threads (all cores)", NULL}, END};
const mill_option mill_report_options[] = {END};
const mill_option mill_recipe_options[] = {
    {"set", 0, MILL_OPT_REPEAT, AT(sets), "KEY=VALUE", "change one value; may be repeated", NULL}, END};
const mill_option mill_devices_options[] = {{"json", 0, MILL_OPT_FLAG, AT(json), NULL, "one JSON document", NULL}, END};

typedef mill_status (*look_fn)(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err);

static int show(const mill_command *command, int argc, char **argv, size_t least, size_t most, look_fn call)
{
    look l = {0};
    mill_arguments arguments = {0};
    mill_text text = {0};
    mill_error error = {0};
    int result = mill_opts_parse(command, argc, argv, &l, &arguments), code = result < 0 ? 2 : 0;
    if (result == 0 && (arguments.count < least || arguments.count > most)) {
        fprintf(stderr, "shardmill %s: error[E_USAGE]: usage: shardmill %s %s\n", command->name, command->name, command->arguments);
        code = 2;
    } else if (result == 0) {
        mill_status status = call(&l, &arguments, &text, &error);
        code = status == MILL_OK ? mill_print(text.data, text.bytes) : mill_report_error(status, &error);
    }
    mill_text_free(&text);
    mill_arguments_free(&arguments);
    mill_arguments_free(&l.sets);
    mill_arguments_free(&l.fields);
    return code;
}

static mill_status inspect(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err)
{
    bool color = !l->no_color && isatty(STDOUT_FILENO);
    return mill_inspect(arguments->items[0], (uint32_t)(l->samples != 0 ? l->samples : 1), l->seed, color, out, err);
}

int mill_cmd_inspect(const mill_command *command, int argc, char **argv)
{
    return show(command, argc, argv, 1, 1, inspect);
}

// FILE:LINE, or "-" (line 1 of standard input), or -:LINE.
static mill_status explain(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err)
{
    mill_run_options options = MILL_RUN_OPTIONS_INIT;
    char *place = strdup(arguments->items[0]);
    if (place == NULL)
        return MILL_NOMEM;
    uint64_t line = 1;
    char *colon = strrchr(place, ':'), *end = NULL;
    if (colon != NULL && colon[1] >= '0' && colon[1] <= '9') {
        line = strtoull(colon + 1, &end, 10);
        if (*end == '\0')
            *colon = '\0';
    }
    options.recipe = l->recipe != NULL ? l->recipe : options.recipe;
    options.sets = l->sets.items;
    options.set_count = l->sets.count;
    options.field_preset = l->preset;
    options.input_format = l->input_format;
    options.fields = l->fields.items;
    options.field_count = l->fields.count;
    mill_status status = mill_explain(&options, place, line, l->json, out, err);
    free(place);
    return status;
}

int mill_cmd_explain(const mill_command *command, int argc, char **argv)
{
    return show(command, argc, argv, 1, 1, explain);
}

static mill_status stats(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err)
{
    return mill_stats(arguments->items[0], l->json, out, err);
}

int mill_cmd_stats(const mill_command *command, int argc, char **argv)
{
    return show(command, argc, argv, 1, 1, stats);
}

static mill_status report(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err)
{
    (void)l;
    return mill_report_write(arguments->items[0], out, err);
}

int mill_cmd_report(const mill_command *command, int argc, char **argv)
{
    return show(command, argc, argv, 1, 1, report);
}

static mill_status verify(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err)
{
    return mill_verify(arguments->items[0], (uint32_t)l->threads, out, err);
}

int mill_cmd_verify(const mill_command *command, int argc, char **argv)
{
    return show(command, argc, argv, 1, 1, verify);
}

static mill_status recipe(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err)
{
    return mill_recipe_text(arguments->count != 0 ? arguments->items[0] : "default", l->sets.items, l->sets.count, out, err);
}

int mill_cmd_recipe(const mill_command *command, int argc, char **argv)
{
    return show(command, argc, argv, 0, 1, recipe);
}

static mill_status devices(const look *l, const mill_arguments *arguments, mill_text *out, mill_error *err)
{
    (void)arguments;
    return mill_devices(l->json, out, err);
}

int mill_cmd_devices(const mill_command *command, int argc, char **argv)
{
    return show(command, argc, argv, 0, 0, devices);
}
