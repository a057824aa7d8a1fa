// main.c: the command table.
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

static const char records_note[] =
    "INPUT: JSON lines (plain, .gz, .zst), Parquet, directories of them, source trees, archives, Posts.xml, or - (standard input).";

static const char collect_note[] =
    "URL: hf://datasets/OWNER/NAME[@REVISION]/PATH, s3://BUCKET/KEY, https://HOST/FILE[#sha256=HEX]. In the first two, PATH and\n"
    "KEY may hold * ? [a-z] (within a directory) and ** (across them); a directory means all below it. Quote patterns.\n"
    "Environment: HF_TOKEN, HF_ENDPOINT; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION,\n"
    "AWS_ENDPOINT_URL.";

static const char upload_note[] =
    "Files in parts above 16 MiB, checked by SHA-256, manifest.json last. Run the same command again to go on, or to check.\n"
    "Environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL.";

static const char devices_note[] =
    "GPUs that share a training tell each other sums by NCCL (2.14 or later) if libnccl.so.2 is found, else through the host.\n"
    "Environment: SHARDMILL_NCCL=off for the latter.";

const mill_command mill_commands[] = {
    {"run", "INPUT... -o DIR [options]", "The whole pipeline: records in, training shards out", records_note,
     "  shardmill run corpus.jsonl.zst -o out\n  shardmill run /usr/lib/python3 -o out --set tokenizer.vocab_size=8000",
     mill_run_option_table, mill_cmd_run},
    {"collect", "URL... -o DIR [options]", "Fetch sources over the net, with checksums; the same command goes on or checks",
     collect_note,
     "  shardmill collect 'hf://datasets/bigcode/the-stack-dedup/data/python/*.parquet' -o sources\n"
     "  shardmill collect hf://datasets/bigcode/the-stack-smol/data --languages python rust -o sources --dry-run\n"
     "  shardmill collect 's3://my-bucket/corpora/**.jsonl.zst' https://example.org/posts.7z -o sources",
     mill_collect_option_table, mill_cmd_collect},
    {"filter", "INPUT... -o DIR [options]", "Quality filters only: the records that pass go to DIR/records", records_note,
     "  shardmill filter corpus.jsonl.zst -o filtered --set filter.syntax=off", mill_run_option_table, mill_cmd_stage},
    {"dedup", "INPUT... -o DIR [options]", "Exact and near deduplication only: the survivors go to DIR/records", records_note,
     "  shardmill dedup filtered/records -o unique --set dedup.threshold=0.8", mill_run_option_table, mill_cmd_stage},
    {"train", "INPUT... -o DIR [options]", "Train a byte-level BPE tokenizer into DIR/tokenizer", records_note,
     "  shardmill train unique/records -o tok --set tokenizer.vocab_size=16000", mill_run_option_table, mill_cmd_stage},
    {"encode", "INPUT... -o DIR [options]", "FIM and encoding only: rows of token ids go to DIR/rows", records_note,
     "  shardmill encode unique/records -o rows --tokenizer tok/tokenizer/tokenizer.json", mill_run_option_table, mill_cmd_stage},
    {"pack", "INPUT... -o DIR [options]", "Pack rows of token ids into shards",
     "INPUT: JSON lines with \"input_ids\" (as encode writes them).",
     "  shardmill pack rows/rows -o packed --tokenizer tok/tokenizer/tokenizer.json --set pack.seq_len=2048", mill_run_option_table,
     mill_cmd_stage},
    {"convert", "DIR --format LIST -o DIR2 [options]", "A finished run in other containers: the same samples, other files",
     "DIR: made by run or pack. Samples stay packed and documents unpacked, whichever DIR holds.",
     "  shardmill convert out --format mds -o out-mds\n  shardmill convert out --format parquet,npy -o out-more",
     mill_merge_option_table, mill_cmd_merge},
    {"merge", "DIR... -o DIR2 [--format LIST]", "Several finished runs of one tokenizer as one",
     "DIR: made by run, pack, convert or merge, with the same tokenizer. Samples stand in the order of the directories.",
     "  shardmill merge part-1 part-2 part-3 -o whole --format megatron,jsonl.zst", mill_merge_option_table, mill_cmd_merge},
    {"inspect", "DIR [-n N] [--seed S]", "Decode random packed samples, FIM parts and document ends marked", NULL,
     "  shardmill inspect out -n 2 --seed 7", mill_inspect_options, mill_cmd_inspect},
    {"explain", "FILE:LINE | -", "Every filter's measured value beside its limit for one record, and the verdict", NULL,
     "  shardmill explain corpus.jsonl.zst:42 --recipe guide", mill_explain_options, mill_cmd_explain},
    {"plan", "INPUT... [options]", "Estimates before a long run: documents, tokens, disk, memory, time", records_note,
     "  shardmill plan corpus.jsonl.zst --target-tokens 10M", mill_run_option_table, mill_cmd_run},
    {"stats", "DIR", "The metrics of a finished run", NULL, "  shardmill stats out --json", mill_stats_options, mill_cmd_stats},
    {"report", "DIR", "Write DIR/report.html: flow, languages, lengths, duplicates, packing, samples on one page", NULL,
     "  shardmill report out && xdg-open out/report.html", mill_report_options, mill_cmd_report},
    {"verify", "DIR", "Re-read everything that was written; check sums, seal and accounting", NULL, "  shardmill verify out",
     mill_verify_options, mill_cmd_verify},
    {"upload", "DIR s3://BUCKET/PREFIX", "Copy a finished directory to S3, each object checked, manifest.json last", upload_note,
     "  shardmill upload out s3://my-bucket/corpus-v1\n  shardmill upload out s3://my-bucket/corpus-v1 --overwrite -j 8",
     mill_upload_option_table, mill_cmd_upload},
    {"recipe", "[NAME|FILE]", "Print a recipe (guide, default) as JSON, ready to edit", NULL,
     "  shardmill recipe default > my.json && shardmill run corpus.jsonl.zst -o out --recipe my.json", mill_recipe_options,
     mill_cmd_recipe},
    {"devices", "", "What can compute here: processor, GPUs, compiled-in options", devices_note, "  shardmill devices",
     mill_devices_options, mill_cmd_devices},
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL},
};

const mill_exit_text mill_exit_texts[] = {
    {0, "complete"},
    {1, "internal error"},
    {2, "usage or recipe"},
    {3, "input refused, or --strict and records were quarantined (after finishing the rest)"},
    {4, "input or output failed: reading, writing, no space"},
    {5, "resources: memory, threads, device"},
    {6, "the directory is locked by another run"},
    {7, "the directory belongs to another plan"},
    {8, "verify failed: damaged or unfinished"},
    {9, "another rank failed"},
    {0, NULL},
};

static void print_help(void)
{
    printf("shardmill %s: raw code corpora to training-ready shards\n\nusage: shardmill COMMAND ...\n\n", mill_version());
    for (const mill_command *c = mill_commands; c->name != NULL; c++)
        printf("  %-9s %s\n", c->name, c->summary);
    printf("\nshardmill COMMAND --help tells more; shardmill --version tells the version. Exit codes:\n");
    for (const mill_exit_text *e = mill_exit_texts; e->text != NULL; e++)
        printf("  %d  %s\n", e->code, e->text);
    printf("\nexample:\n  shardmill run corpus.jsonl.zst -o out && shardmill verify out && shardmill inspect out\n");
}

static int fail_command(const char *name)
{
    const char *names[32];
    size_t count = 0;
    for (const mill_command *c = mill_commands; c->name != NULL && count < 31; c++)
        names[count++] = c->name;
    names[count] = NULL;
    const char *nearest = mill_opts_nearest(name, names);
    fprintf(stderr, "shardmill: error[E_USAGE]: unknown command '%s'%s%s%s; see shardmill --help\n", name,
            nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    return 2;
}

// A program that is started without descriptors 0-2 would give those numbers to its data files. What stands in for a missing one
// cannot do the work of the real one: results that nobody can get are a failure, not a success.
static void fill_descriptors(void)
{
    for (int i = 0; i <= 2; i++) {
        if (fcntl(i, F_GETFD) == -1)
            (void)open("/dev/null", i == 0 ? O_WRONLY : O_RDONLY);
    }
}

int mill_cmd_help(int argc, char **argv)
{
    static const struct page {
        const char *option;
        void (*print)(void);
    } pages[] = {{"--man", mill_print_man}, {"--bash", mill_print_bash}, {"--zsh", mill_print_zsh}};
    if (argc < 2) {
        print_help();
        return 0;
    }
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(argv[1], pages[i].option) == 0) {
            pages[i].print();
            return 0;
        }
    }
    for (const mill_command *c = mill_commands; c->name != NULL; c++) {
        if (strcmp(argv[1], c->name) == 0) {
            mill_opts_help(c);
            return 0;
        }
    }
    return fail_command(argv[1]);
}

// Batches are taken and given back all the time. By default each of them would be mapped, cleared page by page and unmapped again:
// a sixth of the processor time of a run.
static void keep_freed_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20); // what is larger is taken rarely, and given back at once
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 20);
    (void)mallopt(M_TOP_PAD, 4 << 20);
}

int main(int argc, char **argv)
{
    fill_descriptors();
    keep_freed_memory();
    int code = 0;
    if (argc < 2) {
        print_help();
        code = 2;
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
    } else if (strcmp(argv[1], "help") == 0) {
        code = mill_cmd_help(argc - 1, argv + 1);
    } else if (strcmp(argv[1], "--version") == 0) {
        printf("shardmill %s\n", mill_version());
    } else {
        const mill_command *command = mill_commands;
        while (command->name != NULL && strcmp(command->name, argv[1]) != 0)
            command++;
        code = command->name != NULL ? command->run(command, argc - 1, argv + 1) : fail_command(argv[1]);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "shardmill: error[E_IO]: standard output could not be written\n");
        return 4;
    }
    return code;
}
