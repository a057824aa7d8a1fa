// opts.c: parsing of command lines by table.
#include "cli/opts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

const mill_option mill_common_options[] = {
    {"help", 'h', MILL_OPT_FLAG, SIZE_MAX, NULL, "show this help", NULL},
    {NULL, 0, MILL_OPT_FLAG, 0, NULL, NULL, NULL},
};

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], bytes_b = strlen(b);
    if (bytes_b >= 64)
        return 64;
    for (size_t j = 0; j <= bytes_b; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= bytes_b; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[bytes_b];
}

const char *mill_opts_nearest(const char *name, const char *const *names)
{
    const char *nearest = NULL;
    size_t best = strlen(name) / 2 + 1;
    for (; *names != NULL; names++) {
        size_t distance = edit_distance(name, *names);
        if (distance <= best) {
            best = distance;
            nearest = *names;
        }
    }
    return nearest;
}

static int add_argument(mill_arguments *arguments, const char *text, size_t bytes)
{
    if (arguments->count == MILL_ARGUMENTS_MAX)
        return -1;
    const char **items = realloc(arguments->items, (arguments->count + 1) * sizeof *items);
    char *copy = items != NULL ? malloc(bytes + 1) : NULL;
    if (items != NULL)
        arguments->items = items;
    if (copy == NULL)
        return -1;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    arguments->items[arguments->count++] = copy;
    return 0;
}

void mill_arguments_free(mill_arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++) {
        char *item;
        memcpy(&item, &arguments->items[i], sizeof item);
        free(item);
    }
    free(arguments->items);
    *arguments = (mill_arguments){0};
}

static int add_split(mill_arguments *arguments, const char *text)
{
    while (*text != '\0') {
        size_t bytes = strcspn(text, ",");
        if (bytes != 0 && add_argument(arguments, text, bytes) != 0)
            return -1;
        text += bytes + (text[bytes] == ',');
    }
    return 0;
}

// What may follow a number: one of the letters of units, then, for sizes, B or iB.
static bool parse_unit(const char *text, const char *units, bool sizes, uint32_t *index)
{
    if (*text == '\0') {
        *index = 0;
        return true;
    }
    for (uint32_t i = 0; units[i] != '\0'; i++) {
        if (units[i] == *text || units[i] + ('a' - 'A') == *text) {
            *index = i + 1;
            return text[1] == '\0' || (sizes && (strcasecmp(text + 1, "b") == 0 || strcasecmp(text + 1, "ib") == 0));
        }
    }
    return false;
}

// 4096, 140e9, 140B, 2.5M: an exact whole number after the multiplication. Only decimal digits, a point and an exponent: what else
// strtod reads (blanks, signs, hexadecimal, inf, nan) is no number here.
static bool parse_number(const char *text, const char *units, uint64_t step, bool sizes, uint64_t *out)
{
    char *end;
    uint32_t unit;
    if (text[0] < '0' || text[0] > '9' || text[1] == 'x' || text[1] == 'X')
        return false;
    errno = 0;
    unsigned long long whole = strtoull(text, &end, 10);
    if (*end == '\0' && errno == 0) {
        *out = whole;
        return true;
    }
    double x = strtod(text, &end);
    if (!parse_unit(end, units, sizes, &unit))
        return false;
    for (; unit != 0; unit--)
        x *= (double)step;
    if (!(x < 0x1p63))
        return false;
    *out = (uint64_t)x;
    return (double)*out >= x && (double)*out <= x;
}

static bool parse_count(const char *text, uint64_t *out)
{
    return parse_number(text, "KMBT", 1000, false, out);
}

static bool parse_size(const char *text, uint64_t *out)
{
    return parse_number(text, "KMGT", 1024, true, out);
}

static int store(const mill_command *command, const mill_option *option, const char *value, void *settings)
{
    void *at = (char *)settings + option->offset;
    bool good = true;
    switch (option->kind) {
    case MILL_OPT_FLAG: *(bool *)at = true; break;
    case MILL_OPT_TEXT: *(const char **)at = value; break;
    case MILL_OPT_COUNT: good = parse_count(value, at); break;
    case MILL_OPT_SIZE: good = parse_size(value, at); break;
    case MILL_OPT_LIST:
    case MILL_OPT_WORDS: good = add_split(at, value) == 0; break;
    case MILL_OPT_REPEAT: good = add_argument(at, value, strlen(value)) == 0; break;
    }
    if (!good) {
        fprintf(stderr, "shardmill %s: error[E_USAGE]: --%s: cannot use '%s' as %s\n", command->name, option->name, value,
                option->value);
        return -1;
    }
    return 0;
}

static const mill_option *find_in(const mill_option *options, const char *name, size_t bytes, char letter)
{
    for (; options->name != NULL; options++) {
        if (letter != 0
                ? options->letter == letter
                : (strlen(options->name) == bytes && memcmp(options->name, name, bytes) == 0) ||
                      (options->alias != NULL && strlen(options->alias) == bytes && memcmp(options->alias, name, bytes) == 0))
            return options;
    }
    return NULL;
}

static const mill_option *find_option(const mill_command *command, const char *name, size_t bytes, char letter)
{
    const mill_option *option = find_in(command->options, name, bytes, letter);
    return option != NULL ? option : find_in(mill_common_options, name, bytes, letter);
}

static int fail_unknown(const mill_command *command, const char *argument)
{
    const char *names[128];
    size_t count = 0;
    for (const mill_option *o = command->options; o->name != NULL && count < 126; o++)
        names[count++] = o->name;
    names[count++] = "help";
    names[count] = NULL;
    const char *bare = argument + strspn(argument, "-");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(bare, "="), bare);
    const char *nearest = mill_opts_nearest(name, names);
    fprintf(stderr, "shardmill %s: error[E_USAGE]: unknown option '%s'%s%s%s; see shardmill %s --help\n", command->name, argument,
            nearest != NULL ? "; did you mean --" : "", nearest != NULL ? nearest : "", nearest != NULL ? "?" : "", command->name);
    return -1;
}

// A bare word that continues --languages: not an option, and no file of that name.
static bool continues_list(const char *word)
{
    struct stat info;
    if (word == NULL || word[0] == '-' || word[0] == '\0' || strpbrk(word, "/.") != NULL)
        return false;
    return stat(word, &info) != 0;
}

typedef struct cursor {
    int argc, at;
    char **argv;
} cursor;

// One option at in->at, spelled --name[=value] or -x[value].
static int parse_option(const mill_command *command, cursor *in, void *settings, bool *help)
{
    const char *argument = in->argv[in->at++], *value = NULL;
    const mill_option *option;
    if (argument[1] == '-') {
        size_t bytes = strcspn(argument + 2, "=");
        option = find_option(command, argument + 2, bytes, 0);
        value = argument[2 + bytes] == '=' ? argument + 3 + bytes : NULL;
    } else {
        option = find_option(command, NULL, 0, argument[1]);
        value = option != NULL && option->kind != MILL_OPT_FLAG && argument[2] != '\0' ? argument + 2 : NULL;
        if (option != NULL && option->kind == MILL_OPT_FLAG && argument[2] != '\0')
            option = NULL; // no bundles of letters
    }
    if (option == NULL)
        return fail_unknown(command, argument);
    if (option->offset == SIZE_MAX) {
        *help = true;
        return 0;
    }
    if (option->kind == MILL_OPT_FLAG && value != NULL) {
        fprintf(stderr, "shardmill %s: error[E_USAGE]: --%s takes no value\n", command->name, option->name);
        return -1;
    }
    if (option->kind != MILL_OPT_FLAG && value == NULL) {
        if (in->at == in->argc) {
            fprintf(stderr, "shardmill %s: error[E_USAGE]: --%s needs %s\n", command->name, option->name, option->value);
            return -1;
        }
        value = in->argv[in->at++];
    }
    if (store(command, option, value, settings) != 0)
        return -1;
    while (option->kind == MILL_OPT_WORDS && in->at < in->argc && continues_list(in->argv[in->at])) {
        if (store(command, option, in->argv[in->at++], settings) != 0)
            return -1;
    }
    return 0;
}

int mill_opts_parse(const mill_command *command, int argc, char **argv, void *settings, mill_arguments *positional)
{
    cursor in = {argc, 1, argv};
    bool help = false, only_arguments = false;
    while (in.at < argc && !help) {
        const char *argument = argv[in.at];
        if (!only_arguments && strcmp(argument, "--") == 0) {
            only_arguments = true;
            in.at++;
        } else if (only_arguments || argument[0] != '-' || argument[1] == '\0' ||
                   argument[1] == ':') { // -:LINE: a line of standard input
            if (add_argument(positional, argument, strlen(argument)) != 0)
                return -1;
            in.at++;
        } else if (parse_option(command, &in, settings, &help) != 0) {
            return -1;
        }
    }
    if (help)
        mill_opts_help(command);
    return help ? 1 : 0;
}

static void print_options(const mill_option *options)
{
    for (; options->name != NULL; options++) {
        char left[128];
        int used = options->letter != 0 ? snprintf(left, sizeof left, "  -%c, --%s", options->letter, options->name)
                                        : snprintf(left, sizeof left, "      --%s", options->name);
        if (options->value != NULL)
            used += snprintf(left + used, sizeof left - (size_t)used, " %s", options->value);
        printf("%-30s", left);
        if (used > 30)
            printf("\n%30s", "");
        printf(" %s\n", options->help);
    }
}

void mill_opts_help(const mill_command *command)
{
    printf("usage: shardmill %s %s\n\n%s.\n", command->name, command->arguments, command->summary);
    if (command->details != NULL)
        printf("\n%s\n", command->details);
    printf("\noptions:\n");
    print_options(command->options);
    print_options(mill_common_options);
    printf("\nexample:\n%s\n", command->example);
}

int mill_print(const char *text, size_t bytes)
{
    if (fwrite(text, 1, bytes, stdout) != bytes || fflush(stdout) != 0) {
        fprintf(stderr, "shardmill: error[E_IO]: standard output: %s\n", strerror(errno));
        return 4;
    }
    return 0;
}
