// opts.h: command lines by table. Each command has a list of options; the parser, the help text, the man page and the shell
// completions all read it.
#ifndef MILL_CLI_OPTS_H
#define MILL_CLI_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MILL_ARGUMENTS_MAX 65536

typedef enum mill_option_kind {
    MILL_OPT_FLAG,   // bool
    MILL_OPT_TEXT,   // const char *
    MILL_OPT_COUNT,  // uint64_t: 4096, 140e9, 140B
    MILL_OPT_SIZE,   // uint64_t bytes: 64M, 2GiB
    MILL_OPT_LIST,   // mill_arguments: repeated or comma-separated
    MILL_OPT_WORDS,  // mill_arguments: as LIST, and the bare words that follow, too
    MILL_OPT_REPEAT, // mill_arguments: repeated, never split
} mill_option_kind;

typedef struct mill_option {
    const char *name;    // long name without dashes
    char letter;         // 0: none
    mill_option_kind kind;
    size_t offset;       // in the command's settings
    const char *value;   // in help: a name, "N", or words to choose from, "auto|cpu" (capitals stand for more); NULL for flags
    const char *help;
    const char *alias;   // another long name, NULL: none
} mill_option;

typedef struct mill_arguments { // owned strings
    const char **items;
    size_t count;
} mill_arguments;

typedef struct mill_command {
    const char *name;
    const char *arguments;   // "INPUT... -o DIR [options]"
    const char *summary;     // one line
    const char *details;     // more text for --help; may be NULL
    const char *example;     // lines that can be pasted
    const mill_option *options; // ends with name NULL
    int (*run)(const struct mill_command *command, int argc, char **argv); // argv[0] is the command's name
} mill_command;

typedef struct mill_exit_text {
    int code;
    const char *text; // NULL: the end
} mill_exit_text;

extern const mill_command mill_commands[];      // ends with name NULL
extern const mill_option mill_common_options[]; // of every command; ends with name NULL
extern const mill_exit_text mill_exit_texts[];

// Parses argv[1..] into settings and positional arguments. 0, or -1 after a message on stderr, or 1 when --help was printed.
int mill_opts_parse(const mill_command *command, int argc, char **argv, void *settings, mill_arguments *positional);
void mill_arguments_free(mill_arguments *arguments);
void mill_opts_help(const mill_command *command);
// Nearest name of a list (ends with NULL) to a mistyped one; NULL if nothing is near.
const char *mill_opts_nearest(const char *name, const char *const *names);
// The whole text to stdout; exit code 0, or 4 if it could not be written.
int mill_print(const char *text, size_t bytes);

#endif
