// pass_records.c: the products of single stages: kept records as JSON lines (filter, dedup), and rows of token ids (encode). Files
// hold a fixed number of records, so they do not depend on how the work was cut.
#include <stdio.h>
#include <string.h>

#include "pipeline/repos.h"
#include "shard/shard.h"
#include "shard/shard_out.h"

#define RECORDS_PER_FILE 50000
#define RECORD_LEVEL 3 // of zstd, at least: records are text, a quarter smaller than by the level that is best for ids

typedef struct out_pass {
    mill_run_state *run;
    uint64_t *kept;       // indexes of kept docs, in global order
    uint64_t kept_count;
    uint64_t units;       // files
    const char *unit_name, *path_format;
    // Appends the lines of doc `index`; w->batch holds its segment where the pass needs one.
    mill_status (*append)(struct out_pass *pass, void *worker, uint64_t index, mill_error *err);
    bool needs_segments;
    int level;            // of zstd
    mill_shard_writer *writer; // of ids, where the pass writes rows
    bool has_mask;             // rows tell which tokens are targets
} out_pass;

typedef struct out_worker {
    mill_batch batch;
    mill_buf text;
    uint64_t loaded; // unit in batch
    uint32_t *ids;
    size_t id_capacity;
    uint8_t *mask;
    size_t mask_capacity;
} out_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    out_worker *w = state;
    mill_batch_free(&w->batch);
    mill_buf_free(&w->text);
    mill_free(w->ids);
    mill_free(w->mask);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)context;
    (void)number;
    out_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting a writer");
    mill_batch_init(&w->batch);
    w->loaded = UINT64_MAX;
    *state = w;
    return MILL_OK;
}

static mill_status append_member(mill_buf *out, const char *name, const void *text, size_t bytes, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, ",\"%s\":", name));
    return mill_buf_append_json(out, text, bytes, err);
}

// {"instruction": .., "input": .., "output": ..}, {"prompt": .., "completion": ..} or {"messages": [..]},
// without the brace at the end: what the pieces of a conversation say, without its templates.
static mill_status append_chat(const mill_batch *b, uint32_t i, const uint8_t *text, mill_buf *out,
                               mill_error *err)
{
    static const char *const names[MILL_CHAT_ROLE_COUNT] = {
        [MILL_CHAT_SYSTEM] = "system",           [MILL_CHAT_USER] = "user",
        [MILL_CHAT_ASSISTANT] = "assistant",     [MILL_CHAT_TOOL] = "tool",
        [MILL_CHAT_INSTRUCTION] = "instruction", [MILL_CHAT_INPUT] = "input",
        [MILL_CHAT_OUTPUT] = "output",           [MILL_CHAT_PROMPT] = "prompt",
        [MILL_CHAT_COMPLETION] = "completion"};
    bool is_list = false, has_input = false;
    MILL_TRY(mill_buf_append_text(out, "{", err));
    const size_t begin = out->bytes;
    for (uint32_t k = 0; k < mill_batch_piece_count(b, i); k++) {
        const mill_chat_piece piece = mill_batch_piece(b, i, k);
        const char *name = names[piece.role];
        text += piece.bytes;
        if (piece.role == MILL_CHAT_TEMPLATE)
            continue;
        const bool is_turn = piece.role <= MILL_CHAT_TOOL;
        if (piece.role == MILL_CHAT_OUTPUT && !has_input)
            MILL_TRY(mill_buf_append_text(out, ",\"input\":\"\"", err));
        has_input = has_input || piece.role == MILL_CHAT_INPUT;
        if (is_turn && !is_list)
            MILL_TRY(mill_buf_append_text(out, "\"messages\":[", err));
        else if (out->bytes != begin)
            MILL_TRY(mill_buf_append_text(out, ",", err));
        is_list = is_list || is_turn;
        MILL_TRY(is_turn ? mill_buf_printf(out, err, "{\"role\":\"%s\",\"content\":", name)
                         : mill_buf_printf(out, err, "\"%s\":", name));
        MILL_TRY(mill_buf_append_json(out, text - piece.bytes, piece.bytes, err));
        if (is_turn)
            MILL_TRY(mill_buf_append_text(out, "}", err));
    }
    return is_list ? mill_buf_append_text(out, "]", err) : MILL_OK;
}

static mill_status append_record(out_pass *pass, void *worker, uint64_t index, mill_error *err)
{
    mill_run_state *run = pass->run;
    out_worker *w = worker;
    const mill_batch *b = &w->batch;
    uint32_t i = run->docs[index].row;
    uint64_t bytes;
    const uint8_t *text = mill_batch_text(b, i, &bytes);
    const char *language = mill_language_get(run->languages, b->language[i])->name;
    if ((b->flags[i] & MILL_FLAG_CHAT) != 0) {
        MILL_TRY(append_chat(b, i, text, &w->text, err));
    } else {
        MILL_TRY(mill_buf_append_text(&w->text, "{\"content\":", err));
        MILL_TRY(mill_buf_append_json(&w->text, text, bytes, err));
    }
    MILL_TRY(append_member(&w->text, "language", language, strlen(language), err));
    MILL_TRY(append_member(&w->text, "repo", mill_batch_meta(b, b->repo[i]), b->repo[i].bytes, err));
    MILL_TRY(append_member(&w->text, "path", mill_batch_meta(b, b->path[i]), b->path[i].bytes, err));
    if (b->licence[i].bytes != 0)
        MILL_TRY(append_member(&w->text, "licence", mill_batch_meta(b, b->licence[i]), b->licence[i].bytes, err));
    if (b->stars[i] != MILL_STARS_MISSING)
        MILL_TRY(mill_buf_printf(&w->text, err, ",\"stars\":%lld", (long long)b->stars[i]));
    if ((b->flags[i] & MILL_FLAG_PROSE) != 0)
        MILL_TRY(mill_buf_append_text(&w->text, ",\"prose\":true", err));
    return mill_buf_append_text(&w->text, "}\n", err);
}

static mill_status append_mask(out_worker *w, const mill_token_unit *unit, const mill_row *row,
                               mill_error *err)
{
    MILL_TRY(MILL_GROW(w->mask, w->mask_capacity, row->tokens, err));
    mill_token_mask(unit, row, 0, row->tokens, w->mask);
    MILL_TRY(mill_buf_append_text(&w->text, ",\"loss_mask\":[", err));
    MILL_TRY(mill_buf_reserve(&w->text, 2 * (size_t)row->tokens, err));
    for (uint32_t i = 0; i < row->tokens; i++) {
        if (i != 0)
            w->text.data[w->text.bytes++] = ',';
        w->text.data[w->text.bytes++] = (uint8_t)('0' + w->mask[i]);
    }
    return mill_buf_append_text(&w->text, "]", err);
}

static mill_status append_rows(out_pass *pass, void *worker, uint64_t index, mill_error *err)
{
    mill_run_state *run = pass->run;
    out_worker *w = worker;
    const mill_doc *doc = &run->docs[index];
    const mill_rows_place place = mill_rows_of(run, index);
    const mill_token_unit *unit = mill_run_tokens(run, place.unit);
    const char *language = mill_language_get(run->languages, doc->language)->name;
    // Rows stand in the order of their records: find the first by bisection.
    uint64_t low = 0, high = unit->row_count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (unit->rows[middle].record < place.first)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < unit->row_count && unit->rows[low].record < place.end; low++) {
        const mill_row *row = &unit->rows[low];
        MILL_TRY(mill_buf_append_text(&w->text, "{\"input_ids\":[", err));
        MILL_TRY(MILL_GROW(w->ids, w->id_capacity, row->tokens, err));
        mill_token_ids(unit, row->first_token, row->tokens, w->ids);
        MILL_TRY(mill_shard_writer_ids(pass->writer, w->ids, row->tokens, &w->text, err));
        MILL_TRY(mill_buf_printf(&w->text, err, "],\"length\":%u,\"language\":", row->tokens));
        MILL_TRY(mill_buf_append_json(&w->text, language, strlen(language), err));
        if (run->recipe.positions == MILL_POSITIONS_CONTINUE)
            MILL_TRY(mill_buf_printf(&w->text, err, ",\"doc_begin\":%llu", (unsigned long long)row->doc_begin));
        if (pass->has_mask)
            MILL_TRY(append_mask(w, unit, row, err));
        MILL_TRY(mill_buf_append_text(&w->text, "}\n", err));
    }
    return MILL_OK;
}

static mill_status write_docs(out_pass *pass, out_worker *w, mill_shard_out *out, uint64_t begin, uint64_t end, mill_error *err)
{
    for (uint64_t i = begin; i < end; i++) {
        uint64_t index = pass->kept[i], unit = pass->run->docs[index].unit;
        if (pass->needs_segments && w->loaded != unit) {
            w->loaded = UINT64_MAX;
            MILL_TRY(mill_run_load_segment(pass->run, unit, &w->batch, err));
            w->loaded = unit;
        }
        MILL_TRY(pass->append(pass, w, index, err));
        MILL_TRY(mill_shard_out_take(out, &w->text, err));
    }
    return MILL_OK;
}

static mill_status write_file(void *context, void *state, uint64_t number, mill_error *err)
{
    out_pass *pass = context;
    mill_run_state *run = pass->run;
    out_worker *w = state;
    uint64_t begin = number * RECORDS_PER_FILE, end = begin + RECORDS_PER_FILE;
    end = end < pass->kept_count ? end : pass->kept_count;
    mill_run_advance(run, end - begin);
    if (mill_workdir_done(run->dir, pass->unit_name, number) != NULL)
        return MILL_OK;
    mill_instant started = mill_time_begin();
    mill_unit unit;
    mill_unit_file *file;
    mill_shard_out out = {0};
    char path[64];
    mill_unit_init(&unit, pass->unit_name, number);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, sizeof path, pass->path_format, (unsigned long long)number); // one of the two literals below
#pragma GCC diagnostic pop
    mill_buf_clear(&w->text);
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_unit_create(run->dir, &unit, path, &file, err));
    const uint32_t workers = mill_run_workers(run, end - begin, pass->kept_count - begin);
    MILL_TRY_GOTO(mill_shard_out_open(&out, &file->out, pass->level, pass->writer != NULL, workers, err));
    MILL_TRY_GOTO(write_docs(pass, w, &out, begin, end, err));
    MILL_TRY_GOTO(mill_shard_out_finish(&out, &w->text, err));
    MILL_TRY_GOTO(mill_unit_commit(run->dir, &unit, err));
    uint64_t bytes = 0;
    for (uint64_t i = begin; i < end; i++)
        bytes += run->docs[pass->kept[i]].bytes;
    mill_time_end(run, MILL_TIME_WRITE, started, bytes, end - begin);
cleanup:
    mill_shard_out_close(&out);
    if (status != MILL_OK)
        mill_unit_abort(run->dir, &unit);
    return status;
}

static mill_status write_all(out_pass *pass, mill_error *err)
{
    mill_run_state *run = pass->run;
    pass->kept = mill_alloc_zero(run->doc_count, sizeof *pass->kept);
    if (pass->kept == NULL)
        return mill_fail_nomem(err, "listing kept records");
    for (uint64_t i = 0; i < run->doc_count; i++) {
        if (run->docs[i].verdict == MILL_KEPT && (pass->needs_segments || mill_repo_leads(run, i)))
            pass->kept[pass->kept_count++] = i;
    }
    mill_run_part(run, "write", "records", pass->kept_count);
    pass->units = (pass->kept_count + RECORDS_PER_FILE - 1) / RECORDS_PER_FILE;
    const mill_map map = {.threads = run->threads,
                          .units = pass->units,
                          .stop = run->options->stop,
                          .context = pass,
                          .open = open_worker,
                          .close = close_worker,
                          .work = write_file};
    const mill_pass_instant begin = mill_time_pass_begin();
    mill_status status = mill_map_run(&map, err);
    mill_time_pass_end(run, MILL_TIME_WRITE, begin);
    mill_free(pass->kept);
    return status;
}

mill_status mill_pass_records(mill_run_state *run, mill_error *err)
{
    out_pass pass = {.run = run,
                     .unit_name = "records",
                     .path_format = "records/records_%05llu.jsonl.zst",
                     .append = append_record,
                     .level = run->recipe.shard.zstd_level > RECORD_LEVEL ? run->recipe.shard.zstd_level : RECORD_LEVEL,
                     .needs_segments = true};
    return write_all(&pass, err);
}

mill_status mill_pass_rows(mill_run_state *run, mill_error *err)
{
    out_pass pass = {.run = run,
                     .unit_name = "rows",
                     .path_format = "rows/rows_%05llu.jsonl.zst",
                     .append = append_rows,
                     .has_mask = mill_run_has_mask(run),
                     .level = run->recipe.shard.zstd_level};
    const mill_shard_options options = {.vocab_size = mill_tokenizer_vocab_size(run->tokenizer)};
    MILL_TRY(mill_shard_writer_open(&options, &pass.writer, err));
    mill_status status = write_all(&pass, err);
    mill_shard_writer_close(pass.writer);
    return status;
}
