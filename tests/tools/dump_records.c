// dump_records.c: prints what the source room makes of its inputs, as JSON lines: records, quarantine rows,
// inputs, counts. With --bench it prints only how fast reading and parsing went, on one thread.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "source/source.h"

typedef struct dump {
    mill_language_table *languages;
    mill_source *source;
    mill_parser *parser;
    mill_parse_counts *counts;
    mill_batch batch;
    mill_quarantine quarantine;
    mill_buf line;
    bool bench;
    double next_seconds, parse_seconds;
    uint64_t block_bytes, text_bytes, records;
} dump;

static void check(mill_status status, const mill_error *err)
{
    if (status == MILL_OK)
        return;
    fprintf(stderr, "dump_records: error[%s]: %s\n", mill_status_code(status), err->message);
    exit(mill_status_exit_code(status));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void text(dump *d, const char *key, const void *value, size_t bytes)
{
    mill_error err;
    check(mill_buf_printf(&d->line, &err, ",\"%s\":", key), &err);
    check(mill_buf_append_json(&d->line, value, bytes, &err), &err);
}

static void flush(dump *d)
{
    fwrite(d->line.data, 1, d->line.bytes, stdout);
    fputs("}\n", stdout);
    mill_buf_clear(&d->line);
}

static void print_pieces(dump *d, uint32_t i)
{
    mill_error err;
    for (uint32_t k = 0; k < mill_batch_piece_count(&d->batch, i); k++) {
        const mill_chat_piece piece = mill_batch_piece(&d->batch, i, k);
        check(mill_buf_printf(&d->line, &err, "%s[%u,%u,%u]", k == 0 ? ",\"pieces\":[" : ",", piece.role,
                              piece.bytes, piece.learned),
              &err);
    }
    check(mill_buf_append_text(&d->line, "]", &err), &err);
}

static void print_records(dump *d)
{
    mill_error err;
    const mill_batch *b = &d->batch;
    for (uint32_t i = 0; i < b->count; i++) {
        uint64_t bytes;
        const uint8_t *content = mill_batch_text(b, i, &bytes);
        check(mill_buf_printf(&d->line, &err, "{\"kind\":\"record\",\"record\":%llu,\"stars\":%lld",
                              (unsigned long long)b->record[i], (long long)b->stars[i]),
              &err);
        const char *input = mill_source_input(d->source, b->input[i])->name;
        const char *language = mill_language_get(d->languages, b->language[i])->name;
        text(d, "input", input, strlen(input));
        text(d, "language", language, strlen(language));
        text(d, "type", mill_data_type_names[b->type[i]], strlen(mill_data_type_names[b->type[i]]));
        text(d, "repo", mill_batch_meta(b, b->repo[i]), b->repo[i].bytes);
        text(d, "path", mill_batch_meta(b, b->path[i]), b->path[i].bytes);
        text(d, "licence", mill_batch_meta(b, b->licence[i]), b->licence[i].bytes);
        if (mill_batch_piece_count(b, i) != 0)
            print_pieces(d, i);
        text(d, "content", content, bytes);
        flush(d);
    }
}

static void print_rows(dump *d)
{
    mill_error err;
    for (size_t i = 0; i < d->quarantine.count; i++) {
        const mill_quarantined *row = &d->quarantine.rows[i];
        check(
            mill_buf_printf(
                &d->line, &err,
                "{\"kind\":\"quarantine\",\"record\":%llu,\"offset\":%llu,\"length\":%llu,\"reason\":\"%s\"",
                (unsigned long long)row->record, (unsigned long long)row->offset,
                (unsigned long long)row->length, mill_quarantine_name(row->reason)),
            &err);
        const char *input = mill_source_input(d->source, row->input)->name;
        text(d, "input", input, strlen(input));
        text(d, "detail", row->detail, strlen(row->detail));
        if (row->path != NULL)
            text(d, "path", row->path, strlen(row->path));
        flush(d);
    }
}

static void print_inputs(dump *d)
{
    mill_error err;
    for (size_t i = 0; i < mill_source_input_count(d->source); i++) {
        const mill_input_info *in = mill_source_input(d->source, i);
        const mill_parse_counts *c = &d->counts[i];
        check(mill_buf_printf(
                  &d->line, &err,
                  "{\"kind\":\"input\",\"is_tree\":%d,\"file_bytes\":%llu,\"files\":%llu,\"skipped_binary\":%"
                  "llu,"
                  "\"skipped_empty\":%llu,\"skipped_other\":%llu,\"records\":%llu,\"done\":%d,\"read\":%llu,"
                  "\"quarantined\":%llu,\"replaced_surrogates\":%llu,\"replaced_bytes\":%llu,"
                  "\"stripped_heads\":%llu,\"stripped_bom\":%llu,\"missing_stars\":%llu",
                  in->is_tree, (unsigned long long)in->file_bytes, (unsigned long long)in->files,
                  (unsigned long long)in->skipped_binary, (unsigned long long)in->skipped_empty,
                  (unsigned long long)in->skipped_other, (unsigned long long)in->records, in->done,
                  (unsigned long long)c->read, (unsigned long long)c->quarantined,
                  (unsigned long long)c->replaced_surrogates, (unsigned long long)c->replaced_bytes,
                  (unsigned long long)c->stripped_heads, (unsigned long long)c->stripped_bom,
                  (unsigned long long)c->missing_stars),
              &err);
        text(d, "input", in->name, strlen(in->name));
        text(d, "sha256", in->sha256, strlen(in->sha256));
        flush(d);
    }
}

static void read_all(dump *d)
{
    mill_error err;
    mill_block block = {0};
    for (;;) {
        bool end;
        double t0 = now();
        check(mill_source_next(d->source, &block, &end, &err), &err);
        double t1 = now();
        d->next_seconds += t1 - t0;
        if (end)
            break;
        check(mill_source_parse(d->parser, &block, &d->batch, &d->quarantine, d->counts, &err), &err);
        d->parse_seconds += now() - t1;
        d->block_bytes += block.bytes.bytes;
        d->text_bytes += d->batch.text.bytes;
        d->records += d->batch.count;
        if (!d->bench) {
            print_records(d);
            print_rows(d);
        }
        mill_batch_clear(&d->batch);
        mill_quarantine_clear(&d->quarantine);
    }
    mill_block_free(&block);
}

static const char *value_of(int *argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], name) != 0)
            continue;
        const char *value = argv[i + 1];
        memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i - 2) * sizeof *argv);
        *argc -= 2;
        return value;
    }
    return NULL;
}

static uint64_t number_of(int *argc, char **argv, const char *name, uint64_t otherwise)
{
    const char *value = value_of(argc, argv, name);
    return value != NULL ? strtoull(value, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    dump d = {0};
    mill_error err;
    mill_source_options options = {
        .format = value_of(&argc, argv, "--format"),
        .preset = value_of(&argc, argv, "--preset"),
        .strip_metadata_head = number_of(&argc, argv, "--strip", 0) != 0,
        .bad_unicode = (mill_bad_unicode)number_of(&argc, argv, "--bad-unicode", MILL_UNICODE_REPLACE),
        .record_bytes_max = number_of(&argc, argv, "--record-max", 64 << 20),
        .block_bytes = number_of(&argc, argv, "--block", 64 << 20),
        .group_bytes_max = number_of(&argc, argv, "--group-max", 0),
        .follow_links = number_of(&argc, argv, "--follow", 0) != 0,
    };
    options.shape.notebooks = (mill_notebooks)number_of(&argc, argv, "--notebooks", MILL_NOTEBOOKS_KEEP);
    options.shape.keep_outputs = number_of(&argc, argv, "--outputs", 0) != 0;
    options.shape.output_chars = 600;
    options.shape.statements = number_of(&argc, argv, "--statements", 0) != 0;
    for (size_t i = 0; i < MILL_FIELD_COUNT; i++) {
        char name[24];
        snprintf(name, sizeof name, "--%s", mill_field_names[i]);
        options.field[i] = value_of(&argc, argv, name);
    }
    d.bench = number_of(&argc, argv, "--bench", 0) != 0;
    check(mill_language_table_create(&d.languages, &err), &err);
    check(mill_source_open(mill_fs_posix(), (const char *const *)(argv + 1), (size_t)argc - 1, &options,
                           d.languages, &d.source, &err),
          &err);
    check(mill_parser_open(d.source, &d.parser, &err), &err);
    d.counts = calloc(mill_source_input_count(d.source) + 1, sizeof *d.counts);
    if (d.counts == NULL)
        return 5;
    read_all(&d);
    if (d.bench)
        printf("%llu records, %.1f MB of blocks, %.1f MB of content: next %.3f s, parse %.3f s, together "
               "%.0f MB/s of content\n",
               (unsigned long long)d.records, (double)d.block_bytes * 1e-6, (double)d.text_bytes * 1e-6,
               d.next_seconds, d.parse_seconds,
               (double)d.text_bytes * 1e-6 / (d.next_seconds + d.parse_seconds));
    else
        print_inputs(&d);
    mill_batch_free(&d.batch);
    mill_quarantine_free(&d.quarantine);
    mill_buf_free(&d.line);
    free(d.counts);
    mill_parser_close(d.parser);
    mill_source_close(d.source);
    mill_language_table_destroy(d.languages);
    return fflush(stdout) != 0 || ferror(stdout) != 0;
}
