// commands.h: the functions behind the command table (main.c).
#ifndef MILL_CLI_COMMANDS_H
#define MILL_CLI_COMMANDS_H

#include "cli/opts.h"
#include "shardmill.h"

#define MILL_PRESET_WORDS "auto|guide|the-stack|github-code|starcoderdata|bigquery|alpaca|sharegpt|messages|prompt"

#define MILL_FORMAT_WORDS "jsonl.zst|jsonl|megatron|mds|npy|parquet|llmc|datatrove|olmo|LIST"

extern const mill_option mill_run_option_table[], mill_merge_option_table[];
extern const mill_option mill_inspect_options[], mill_explain_options[], mill_stats_options[], mill_verify_options[],
    mill_report_options[], mill_recipe_options[], mill_devices_options[], mill_collect_option_table[], mill_upload_option_table[];

int mill_cmd_run(const mill_command *command, int argc, char **argv);   // run, plan
int mill_cmd_stage(const mill_command *command, int argc, char **argv); // filter, dedup, train, encode, pack
int mill_cmd_merge(const mill_command *command, int argc, char **argv); // convert, merge
int mill_cmd_collect(const mill_command *command, int argc, char **argv);
int mill_cmd_upload(const mill_command *command, int argc, char **argv);
int mill_cmd_inspect(const mill_command *command, int argc, char **argv);
int mill_cmd_explain(const mill_command *command, int argc, char **argv);
int mill_cmd_stats(const mill_command *command, int argc, char **argv);
int mill_cmd_report(const mill_command *command, int argc, char **argv);
int mill_cmd_verify(const mill_command *command, int argc, char **argv);
int mill_cmd_recipe(const mill_command *command, int argc, char **argv);
int mill_cmd_devices(const mill_command *command, int argc, char **argv);

// help: the program's help, a command's, or what is made of all tables: --man, --bash, --zsh (docs.c).
int mill_cmd_help(int argc, char **argv);
void mill_print_man(void);
void mill_print_bash(void);
void mill_print_zsh(void);

// What --durability says (NULL: the default); false, with a message, for another word.
bool mill_set_durability(const char *command, const char *word, mill_run_options *options);
// Prints the error line of a failed call; returns the exit code.
int mill_report_error(mill_status status, const mill_error *error);

#endif
