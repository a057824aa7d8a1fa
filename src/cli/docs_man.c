// docs_man.c: the manual page, made of the command and option tables.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

// Text as roff wants it: a backslash or a dash is a glyph of its own, and no line begins with a request.
static void put_text(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        bool line_start = i == 0 || text[i - 1] == '\n';
        if (line_start && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", stdout);
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (text[i] == '-')
            fputs("\\-", stdout);
        else if (text[i] == '\'')
            fputs("\\(aq", stdout);
        else if (text[i] == '^')
            fputs("\\(ha", stdout);
        else if (text[i] == '~')
            fputs("\\(ti", stdout);
        else if (text[i] == '`')
            fputs("\\(ga", stdout);
        else
            putchar(text[i]);
        if ((text[i] == ',' || text[i] == '|') && i + 1 < bytes && text[i + 1] != ' ')
            fputs("\\:", stdout); // long lists may be broken here
    }
}

static void put(const char *text)
{
    put_text(text, strlen(text));
}

static void print_options(const mill_option *options)
{
    for (; options->name != NULL; options++) {
        printf(".TP\n\\fB");
        if (options->letter != 0)
            printf("\\-%c\\fR, \\fB", options->letter);
        put("--");
        put(options->name);
        printf("\\fR");
        if (options->value != NULL) {
            printf(" \\fI");
            put(options->value);
            printf("\\fR");
        }
        putchar('\n');
        put(options->help);
        if (options->alias != NULL) {
            put("; also spelled --");
            put(options->alias);
        }
        putchar('\n');
    }
}

static void print_example(const char *text)
{
    printf(".EX\n");
    put(text);
    printf("\n.EE\n");
}

static void print_command(const mill_command *command)
{
    printf(".SS shardmill %s ", command->name);
    put(command->arguments);
    putchar('\n');
    put(command->summary);
    printf(".\n");
    if (command->details != NULL) {
        printf(".PP\n");
        put(command->details);
        putchar('\n');
    }
    // The long table belongs to several commands: it is printed once.
    if (command->options != mill_run_option_table || strcmp(command->name, "run") == 0)
        print_options(command->options);
    else
        printf(".PP\nOptions as of \\fBrun\\fR.\n");
}

// One value of a printed recipe: a "//key": "comment" line, then the "key": value line.
typedef struct recipe_line {
    const char *comment, *name, *value; // into the text
    size_t comment_bytes, name_bytes, value_bytes;
} recipe_line;

static void print_recipe_value(const char *section, size_t section_bytes, const recipe_line *line)
{
    printf(".TP\n\\fB");
    if (section_bytes != 0) {
        put_text(section, section_bytes);
        putchar('.');
    }
    put_text(line->name, line->name_bytes);
    printf("\\fR = ");
    put_text(line->value, line->value_bytes);
    putchar('\n');
    for (size_t i = 0; i < line->comment_bytes; i++) {
        if (line->comment[i] == '\\' && i + 1 < line->comment_bytes)
            i++;
        put_text(line->comment + i, 1);
    }
    putchar('\n');
}

// Reads the layout of mill_recipe_text: one key a line, sections one level deep.
static void print_recipe(const char *text)
{
    recipe_line line = {0};
    const char *section = "";
    size_t section_bytes = 0;
    for (size_t bytes; *text != '\0'; text += bytes + (text[bytes] == '\n')) {
        bytes = strcspn(text, "\n");
        const char *start = text + strspn(text, " "), *end = text + bytes;
        if (start[0] != '"') {
            section_bytes = start[0] == '}' ? 0 : section_bytes;
            continue;
        }
        const char *name = start + 1, *name_end = strstr(name, "\": ");
        if (name_end == NULL || name_end > end)
            continue;
        const char *value = name_end + 3;
        end -= end[-1] == ',';
        if (strncmp(name, "//", 2) == 0) {
            line.comment = value + 1;
            line.comment_bytes = (size_t)(end - value) - 2;
        } else if (value[0] == '{' && end == value + 1) {
            section = name;
            section_bytes = (size_t)(name_end - name);
        } else {
            line.name = name;
            line.name_bytes = (size_t)(name_end - name);
            line.value = value;
            line.value_bytes = (size_t)(end - value);
            print_recipe_value(section, section_bytes, &line);
            line = (recipe_line){0};
        }
    }
}

static void print_recipes(void)
{
    mill_text text = {0};
    printf(
        ".SH RECIPES\nA recipe holds every threshold, share and format of a run as one JSON object. \\fBdefault\\fR and "
        "\\fBguide\\fR are\n"
        "built in; \\fBguide\\fR has the values and the behaviour of the source guide. A file holds the keys that differ from its\n"
        "\\fBbase\\fR (\\fBdefault\\fR if it names none). \\fB\\-\\-set\\fR \\fIKEY=VALUE\\fR changes one value. The keys, with "
        "the values of\n"
        "\\fBdefault\\fR:\n");
    if (mill_recipe_text("default", NULL, 0, &text, NULL) == MILL_OK)
        print_recipe(text.data);
    mill_text_free(&text);
}

static void print_files(void)
{
    static const char *const files[][2] = {
        {"manifest.json", "sealed, appears last: recipe as used, seed, inputs, counts, every product file with size and SHA-256"},
        {"SHA256SUMS", "for sha256sum -c"},
        {"README.md", "the data set card: datasets.load_dataset(DIR) reads its head"},
        {"report.html", "what report writes: one page about the run"},
        {"metrics.json", "what stats shows: samples, tokens, rates, and where every record went"},
        {"tokenizer/", "tokenizer.json, tokenizer_config.json, special_tokens_map.json"},
        {"shards/", "training samples as JSON lines: input_ids, length"},
        {"shards-NAME/", "the other containers of --format, ready for their clients"},
        {"records/, rows/", "what filter and dedup, and encode, write"},
        {"docs/", "each piece of a document and where it came from"},
        {"clusters.jsonl.zst", "duplicate clusters: kept record, dropped records, similarity"},
        {"quarantine.jsonl", "records that could not be read, with place and reason"},
        {".shardmill/", "state, not product: lock, plan, journal, stage files, run.log, timings.json"},
    };
    printf(".SH FILES\nThe output directory. Everything outside \\fI.shardmill\\fR is a function of inputs, recipe, seed and "
           "program version.\n");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        printf(".TP\n.I ");
        put(files[i][0]);
        putchar('\n');
        put(files[i][1]);
        putchar('\n');
    }
}

void mill_print_man(void)
{
    printf(".\\\" Made by shardmill help --man: do not change by hand.\n");
    printf(".TH SHARDMILL 1 \"\" \"shardmill %s\" \"User Commands\"\n.nh\n.ad l\n", mill_version());
    printf(
        ".SH NAME\nshardmill \\- raw code corpora to training-ready shards\n"
        ".SH SYNOPSIS\n.B shardmill\n.I COMMAND\n.RI [ ARGUMENT... ]\n.RI [ OPTION... ]\n"
        ".SH DESCRIPTION\n.B shardmill\nreads records of source code, filters and deduplicates them, trains a tokenizer (or uses a "
        "given one),\n"
        "applies fill\\-in\\-the\\-middle, encodes, packs, and writes shards. The same inputs, recipe and seed give the same "
        "bytes,\n"
        "whatever the threads, and however often a run was stopped and gone on with.\n.PP\n"
        "Standard output carries results only; messages and progress go to standard error. Counts take K, M, B and T (powers of\n"
        "1000) or an exponent, sizes take K, M, G and T (powers of 1024); \\fB\\-\\-\\fR ends the options.\n.SH COMMANDS\n");
    for (const mill_command *c = mill_commands; c->name != NULL; c++)
        print_command(c);
    printf(".SS Every command\n");
    print_options(mill_common_options);
    print_recipes();
    printf(".SH EXIT STATUS\n");
    for (const mill_exit_text *e = mill_exit_texts; e->text != NULL; e++) {
        printf(".TP\n.B %d\n", e->code);
        put(e->text);
        putchar('\n');
    }
    printf(
        ".PP\nA run that SIGINT, SIGTERM or SIGHUP stopped ends by that signal, after a clean stop; the same command goes on.\n");
    print_files();
    printf(".SH EXAMPLES\n");
    for (const mill_command *c = mill_commands; c->name != NULL; c++)
        print_example(c->example);
    printf(".SH SEE ALSO\n.BR jq (1),\n.BR sha256sum (1),\n.BR zstd (1)\n");
}
