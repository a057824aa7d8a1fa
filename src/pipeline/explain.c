// explain.c: every rule's measured value beside its limit for one record, and the verdict.
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "pipeline/document.h"
#include "pipeline/finished.h"
#include "pipeline/run.h"

enum { ROWS_MAX = MILL_RULES_MAX + 1 };

typedef struct explained {
    mill_run_state *run;
    const char *file;
    uint64_t line;
    mill_batch batch;            // the record, unless it is quarantined
    mill_quarantine quarantine;
    mill_rule_result rows[ROWS_MAX];
    uint32_t row_count;
    const char *verdict, *note;
} explained;

// ---- finding the record ---------------------------------------------------------------------------------------------------------

static uint64_t count_lines(const uint8_t *text, size_t bytes)
{
    uint64_t lines = 0;
    for (size_t at = 0; at < bytes; lines++) {
        const uint8_t *newline = memchr(text + at, '\n', bytes - at);
        at = newline != NULL ? (size_t)(newline - text) + 1 : bytes;
    }
    return lines;
}

// Narrows a piece of lines to the line with this number, which it holds.
static void narrow(const mill_block *block, mill_block_piece *piece, uint64_t line)
{
    const uint8_t *text = block->bytes.data + piece->begin;
    size_t at = 0;
    for (;; piece->first_record++) {
        const uint8_t *newline = memchr(text + at, '\n', piece->bytes - at);
        size_t end = newline != NULL ? (size_t)(newline - text) + 1 : piece->bytes;
        if (piece->first_record == line) {
            piece->begin += at;
            piece->offset += at;
            piece->bytes = end - at;
            return;
        }
        at = end;
    }
}

// True if the block holds the record; it then holds nothing else, or the reader's reason why it cannot be read.
static bool pick(const mill_run_state *run, mill_block *block, uint64_t line)
{
    for (size_t i = 0; i < block->piece_count; i++) {
        mill_block_piece piece = block->pieces[i];
        const mill_input_info *info = mill_source_input(run->source, piece.input);
        bool single = info->is_tree || info->is_archive || info->is_posts; // a piece is a record
        uint64_t records = single             ? 1
                           : info->is_parquet ? piece.records
                                              : count_lines(block->bytes.data + piece.begin, piece.bytes);
        if (line < piece.first_record || line - piece.first_record >= records)
            continue;
        if (info->is_parquet) {
            piece.first_record = line;
            piece.records = 1;
        } else if (!single)
            narrow(block, &piece, line);
        block->pieces[0] = piece;
        block->piece_count = 1;
        mill_quarantine_clear(&block->quarantine);
        return true;
    }
    block->piece_count = 0;
    for (size_t i = 0; i < block->quarantine.count; i++) {
        const mill_quarantined *row = &block->quarantine.rows[i];
        if (row->record == line || (row->reason == MILL_QUARANTINE_DAMAGED_STREAM && row->record < line))
            return true;
    }
    return false;
}

static mill_status parse_picked(explained *e, const mill_block *block, mill_error *err)
{
    mill_parser *parser = NULL;
    mill_parse_counts counts = {0};
    mill_status status = mill_parser_open(e->run->source, &parser, err);
    if (status == MILL_OK)
        status = mill_source_parse(parser, block, &e->batch, &e->quarantine, &counts, err);
    mill_parser_close(parser);
    // Of several over-long lines in one block only the one that was asked for counts; the last row is that one or stands for all
    // behind it.
    for (size_t i = 0; status == MILL_OK && e->batch.count == 0 && i < MILL_REASON_COUNT; i++)
        if (counts.rejected[i] != 0)
            return mill_fail(err, MILL_INPUT, "%s: record %llu goes no further than the source: %s", e->file,
                             (unsigned long long)e->line, mill_reason_name((mill_reason)i));
    if (status == MILL_OK && e->batch.count == 0 && e->quarantine.count == 0)
        return mill_fail(err, MILL_INPUT, "%s: line %llu is blank, so it is no record", e->file, (unsigned long long)e->line);
    return status;
}

static mill_status find_record(explained *e, mill_error *err)
{
    mill_run_state *run = e->run;
    if (run->input_count != 1)
        return mill_fail(err, MILL_INPUT, "%s: holds %zu inputs; name one of its files", e->file, run->input_count);
    mill_block block = {0};
    bool end = false, found = false;
    mill_status status = MILL_OK;
    while (status == MILL_OK && !end && !found) {
        status = mill_source_next(run->source, &block, &end, err);
        if (status == MILL_OK && !end)
            found = pick(run, &block, e->line);
    }
    if (status == MILL_OK && !found)
        status = mill_fail(err, MILL_INPUT, "%s: there is no record %llu; it has %llu", e->file, (unsigned long long)e->line,
                           (unsigned long long)mill_source_input(run->source, 0)->records);
    if (status == MILL_OK)
        status = parse_picked(e, &block, err);
    mill_block_free(&block);
    return status;
}

// A file that is no JSON lines, judged as the tree around it would have it.
static mill_status take_file(explained *e, mill_error *err)
{
    mill_run_state *run = e->run;
    mill_buf text = {0};
    if (e->line != 1)
        return mill_fail(err, MILL_INPUT, "%s: no JSON lines, so the file is one record: ask for %s:1", e->file, e->file);
    mill_status status = mill_fs_read_file(run->fs, MILL_FS_CWD, e->file, MILL_OPEN_READ, run->recipe.record_bytes_max, &text, err);
    size_t bad = 0;
    mill_quarantined row = {.record = 1, .length = text.bytes, .reason = MILL_QUARANTINE_BINARY};
    if (status == MILL_OK && text.bytes != 0 && memchr(text.data, '\0', text.bytes) != NULL) {
        status = mill_quarantine_add(&e->quarantine, &row, NULL, err, "NUL bytes");
    } else if (status == MILL_OK && !mill_utf8_valid(text.data, text.bytes, &bad)) {
        row.reason = MILL_QUARANTINE_BAD_ENCODING;
        status = mill_quarantine_add(&e->quarantine, &row, NULL, err, "not UTF-8: byte 0x%02x at byte %zu", text.data[bad], bad);
    } else if (status == MILL_OK) {
        const char *slash = strrchr(e->file, '/'), *name = slash != NULL ? slash + 1 : e->file;
        mill_record record = {.text = text.data, .text_bytes = text.bytes, .repo = "", .path = name, .licence = "",
                              .path_bytes = (uint32_t)strlen(name), .stars = MILL_STARS_MISSING, .record = 1};
        record.language = mill_source_file_language(run->languages, name, text.data, text.bytes);
        record.type = mill_language_get(run->languages, record.language)->data_type;
        status = mill_batch_append(&e->batch, &record, err);
    }
    mill_buf_free(&text);
    return status;
}

static bool is_plain_file(const mill_run_state *run, const char *file)
{
    mill_file_info info;
    const char *format = run->options->input_format;
    return (format == NULL || strcmp(format, "jsonl") != 0) && *file != '\0' && strcmp(file, "-") != 0 &&
           run->fs->ops->info(run->fs->self, MILL_FS_CWD, file, true, &info) >= 0 && info.kind == MILL_FILE_REGULAR;
}

static mill_status find(explained *e, const mill_run_options *options, mill_error *err)
{
    mill_status status = mill_run_prepare(e->run, options, err);
    if (status == MILL_OK)
        return find_record(e, err);
    // The source refuses single files that are no records; here they are welcome.
    if (status != MILL_INPUT || e->run->fs == NULL || !is_plain_file(e->run, e->file))
        return status;
    mill_run_release(e->run);
    MILL_TRY(mill_run_prepare_rules(e->run, options, err));
    return take_file(e, err);
}

// ---- judging --------------------------------------------------------------------------------------------------------------------

static mill_status judge_syntax(explained *e, mill_rule_result *row, mill_error *err)
{
    mill_run_state *run = e->run;
    mill_syntax *syntax = NULL;
    mill_syntax_result result;
    uint64_t bytes;
    const uint8_t *text = mill_batch_text(&e->batch, 0, &bytes);
    const char *language = mill_language_get(run->languages, e->batch.language[0])->name;
    *row = (mill_rule_result){.rule = mill_reason_name(MILL_REASON_SYNTAX), .passed = true};
    if (run->recipe.syntax.mode == MILL_SYNTAX_OFF) {
        snprintf(row->measured, sizeof row->measured, "filter.syntax is off");
        snprintf(row->limit, sizeof row->limit, "none");
        return MILL_OK;
    }
    if (!mill_flags_parsed(e->batch.flags[0])) {
        const bool is_chat = (e->batch.flags[0] & MILL_FLAG_CHAT) != 0;
        snprintf(row->measured, sizeof row->measured, "not asked of %s",
                 is_chat ? "a conversation" : "prose");
        snprintf(row->limit, sizeof row->limit, "none");
        return MILL_OK;
    }
    MILL_TRY(mill_syntax_open(&run->recipe.syntax, run->languages, &syntax, err));
    mill_status status = mill_syntax_check(syntax, e->batch.language[0], text, bytes, &result, err);
    mill_syntax_close(syntax);
    MILL_TRY(status);
    row->passed = !result.judged || result.passed;
    if (!result.judged) {
        snprintf(row->measured, sizeof row->measured, "not judged: no parser or no limit for %.32s", language);
        snprintf(row->limit, sizeof row->limit, "none");
    } else if (run->recipe.syntax.mode == MILL_SYNTAX_CPYTHON) {
        snprintf(row->measured, sizeof row->measured, "%s", result.passed ? "parses" : "does not parse");
        snprintf(row->limit, sizeof row->limit, "parses by python3");
    } else {
        snprintf(row->measured, sizeof row->measured, "%.4f (%llu of %llu bytes in error)",
                 bytes != 0 ? (double)result.error_bytes / (double)bytes : 0.0, (unsigned long long)result.error_bytes,
                 (unsigned long long)bytes);
        snprintf(row->limit, sizeof row->limit, "<= %d.%03d", result.limit_permille / 1000, result.limit_permille % 1000);
    }
    return MILL_OK;
}

static mill_status judge(explained *e, mill_error *err)
{
    mill_run_state *run = e->run;
    if (e->batch.count == 0) {
        e->verdict = "quarantined";
        e->note = "the record cannot be read";
        return MILL_OK;
    }
    mill_filter *filter = NULL;
    MILL_TRY(mill_filter_open(&run->recipe.filter, run->languages, run->backend, &filter, err));
    mill_status status = mill_filter_explain(filter, &e->batch, 0, e->rows, &e->row_count, err);
    mill_filter_close(filter);
    if (status == MILL_OK)
        status = judge_syntax(e, &e->rows[e->row_count], err);
    MILL_TRY(status);
    e->row_count++;
    e->verdict = mill_reason_name(MILL_KEPT);
    e->note = run->recipe.rng == MILL_RNG_PYTHON
                  ? "rng python: the draws for test files and stars depend on the records before this one"
                  : "duplicates and the mixture are decided over all records of a run";
    if (!run->recipe.filter.enabled) {
        e->note = "filter.enabled is false: every record passes";
        return MILL_OK;
    }
    for (uint32_t i = 0; i < e->row_count; i++) {
        if (!e->rows[i].passed) {
            e->verdict = e->rows[i].rule;
            e->note = "the first rule that fails decides";
            break;
        }
    }
    return MILL_OK;
}

// ---- showing --------------------------------------------------------------------------------------------------------------------

static bool add_meta(cJSON *json, const char *name, const mill_batch *batch, const mill_span *span)
{
    char *text = mill_strndup(mill_batch_meta(batch, *span), span->bytes);
    bool good = text != NULL && mill_document_text(json, name, text);
    mill_free(text);
    return good;
}

static bool add_record(const explained *e, cJSON *json)
{
    const mill_batch *b = &e->batch;
    cJSON *rules = cJSON_CreateArray();
    uint64_t bytes;
    (void)mill_batch_text(b, 0, &bytes);
    bool good = rules != NULL && mill_document_text(json, "language", mill_language_get(e->run->languages, b->language[0])->name) &&
                mill_document_text(json, "type", mill_data_type_names[b->type[0]]) && add_meta(json, "repo", b, &b->repo[0]) &&
                add_meta(json, "path", b, &b->path[0]) && add_meta(json, "licence", b, &b->licence[0]) &&
                mill_document_number(json, "bytes", (double)bytes) &&
                (b->stars[0] == MILL_STARS_MISSING ? cJSON_AddNullToObject(json, "stars") != NULL
                                                   : mill_document_number(json, "stars", (double)b->stars[0]));
    for (uint32_t i = 0; good && i < e->row_count; i++) {
        cJSON *row = cJSON_CreateObject();
        good = cJSON_AddItemToArray(rules, row) && mill_document_text(row, "rule", e->rows[i].rule) &&
               mill_document_text(row, "measured", e->rows[i].measured) && mill_document_text(row, "limit", e->rows[i].limit) &&
               mill_document_flag(row, "passed", e->rows[i].passed);
    }
    return mill_document_item(json, "rules", rules) && good;
}

static const mill_quarantined *quarantined_row(const explained *e)
{
    for (size_t i = 0; i + 1 < e->quarantine.count; i++) {
        if (e->quarantine.rows[i].record == e->line)
            return &e->quarantine.rows[i];
    }
    return &e->quarantine.rows[e->quarantine.count - 1];
}

static mill_status show_document(const explained *e, mill_text *out, mill_error *err)
{
    cJSON *json = cJSON_CreateObject();
    bool good = mill_document_number(json, "schema", 1) && mill_document_text(json, "file", e->file) &&
                mill_document_number(json, "record", (double)e->line);
    if (e->batch.count != 0) {
        good = good && add_record(e, json);
    } else {
        const mill_quarantined *row = quarantined_row(e);
        good = good && mill_document_text(json, "reason", mill_quarantine_name(row->reason)) &&
               mill_document_text(json, "detail", row->detail) && mill_document_number(json, "offset", (double)row->offset) &&
               mill_document_number(json, "length", (double)row->length);
    }
    if (!good || !mill_document_text(json, "verdict", e->verdict) || !mill_document_text(json, "note", e->note)) {
        cJSON_Delete(json);
        json = NULL;
    }
    return mill_document_finish(json, out, err);
}

static mill_status show_member(mill_buf *out, const char *name, const char *text, size_t bytes, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "  %-9s ", name));
    MILL_TRY(bytes != 0 ? mill_append_escaped(out, text, bytes, false, err) : mill_buf_append_text(out, "-", err));
    return mill_buf_append_text(out, "\n", err);
}

static mill_status show_record(const explained *e, mill_buf *out, mill_error *err)
{
    const mill_batch *b = &e->batch;
    const char *language = mill_language_get(e->run->languages, b->language[0])->name;
    uint64_t bytes, lines = 1;
    const uint8_t *text = mill_batch_text(b, 0, &bytes);
    for (uint64_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    MILL_TRY(mill_buf_printf(out, err, "  %-9s %s (%s)\n", "language", language, mill_data_type_names[b->type[0]]));
    MILL_TRY(show_member(out, "repo", mill_batch_meta(b, b->repo[0]), b->repo[0].bytes, err));
    MILL_TRY(show_member(out, "path", mill_batch_meta(b, b->path[0]), b->path[0].bytes, err));
    MILL_TRY(show_member(out, "licence", mill_batch_meta(b, b->licence[0]), b->licence[0].bytes, err));
    if (b->stars[0] == MILL_STARS_MISSING)
        MILL_TRY(mill_buf_printf(out, err, "  %-9s -\n", "stars"));
    else
        MILL_TRY(mill_buf_printf(out, err, "  %-9s %lld\n", "stars", (long long)b->stars[0]));
    MILL_TRY(mill_buf_printf(out, err, "  %-9s %llu bytes, %llu lines\n\n", "size", (unsigned long long)bytes,
                             (unsigned long long)lines));
    MILL_TRY(mill_buf_printf(out, err, "  %-4s  %-14s  %-44s  %s\n", "", "rule", "measured", "limit"));
    for (uint32_t i = 0; i < e->row_count; i++) {
        const mill_rule_result *row = &e->rows[i];
        MILL_TRY(mill_buf_printf(out, err, "  %-4s  %-14s  ", row->passed ? "pass" : "FAIL", row->rule));
        size_t begin = out->bytes;
        MILL_TRY(mill_append_escaped(out, row->measured, strlen(row->measured), false, err));
        int used = (int)(out->bytes - begin);
        MILL_TRY(mill_buf_printf(out, err, "%*s  ", used < 44 ? 44 - used : 0, ""));
        MILL_TRY(mill_append_escaped(out, row->limit, strlen(row->limit), false, err));
        MILL_TRY(mill_buf_append_text(out, "\n", err));
    }
    return mill_buf_append_text(out, "\n", err);
}

static mill_status show_text(const explained *e, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_append_escaped(out, e->file, strlen(e->file), false, err));
    MILL_TRY(mill_buf_printf(out, err, ", record %llu\n", (unsigned long long)e->line));
    if (e->batch.count != 0) {
        MILL_TRY(show_record(e, out, err));
    } else {
        const mill_quarantined *row = quarantined_row(e);
        MILL_TRY(mill_buf_printf(out, err, "  reason    %s\n  place     byte %llu, %llu bytes\n", mill_quarantine_name(row->reason),
                                 (unsigned long long)row->offset, (unsigned long long)row->length));
        MILL_TRY(show_member(out, "detail", row->detail, strlen(row->detail), err));
    }
    return mill_buf_printf(out, err, "verdict: %s (%s)\n", e->verdict, e->note);
}

mill_status mill_explain(const mill_run_options *options, const char *file, uint64_t line, bool json, mill_text *out,
                         mill_error *err)
{
    *out = (mill_text){0};
    if (options->struct_size != sizeof *options)
        return mill_fail(err, MILL_USAGE, "mill_run_options has another size than this library knows; use MILL_RUN_OPTIONS_INIT");
    mill_run_options one = *options;
    one.inputs = &file;
    one.input_count = 1;
    one.stages = MILL_STAGES_ALL;
    mill_buf text = {0};
    explained *e = mill_alloc_zero(1, sizeof *e);
    mill_run_state *run = mill_alloc_zero(1, sizeof *run);
    mill_status status = e == NULL || run == NULL ? mill_fail_nomem(err, "explaining a record") : MILL_OK;
    if (status == MILL_OK) {
        e->run = run;
        e->file = file;
        e->line = line;
        mill_batch_init(&e->batch);
        status = find(e, &one, err);
    }
    if (status == MILL_OK)
        status = judge(e, err);
    if (status == MILL_OK && json)
        status = show_document(e, out, err);
    else if (status == MILL_OK)
        status = show_text(e, &text, err);
    if (status == MILL_OK && !json)
        status = mill_text_take(&text, out, err);
    mill_buf_free(&text);
    if (e != NULL) {
        mill_batch_free(&e->batch);
        mill_quarantine_free(&e->quarantine);
    }
    if (run != NULL)
        mill_run_release(run);
    mill_free(run);
    mill_free(e);
    return status;
}
