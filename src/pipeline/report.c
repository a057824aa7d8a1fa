// report.c: mill_report: reads a finished run once and writes DIR/report.html.
#include "pipeline/report.h"
#include "shard/container.h"

#include <string.h>

#include <yyjson.h>

#include "core/json.h"
#include "pipeline/shard_read.h"

#define PAGE "report.html"
#define TMP ".shardmill/report.html.tmp"
#define SAMPLES_SHOWN 4

// ---- counts

static void count_bin(mill_report_bins *b, size_t bin, uint64_t value)
{
    b->bins[bin < MILL_REPORT_BINS ? bin : MILL_REPORT_BINS - 1]++;
    b->least = b->count == 0 || value < b->least ? value : b->least;
    b->most = value > b->most ? value : b->most;
    b->count++;
    b->sum += value;
}

static void count_log(mill_report_bins *b, uint64_t value)
{
    count_bin(b, value < 2 ? 0 : (size_t)(63 - __builtin_clzll(value)), value);
}

static mill_status copy_text(const char *text, size_t bytes, char **out, mill_error *err)
{
    *out = mill_strndup(text, bytes);
    return *out != NULL ? MILL_OK : mill_fail_nomem(err, "the report");
}

// The row of a name, NULL where there are `most` other ones.
static mill_status find_group(mill_report_groups *g, const char *name, size_t bytes, size_t most, mill_report_group **out,
                              mill_error *err)
{
    for (size_t i = 0; i < g->count; i++) {
        size_t at = (g->last + i) % g->count; // neighbours are often alike
        if (strlen(g->rows[at].name) == bytes && memcmp(g->rows[at].name, name, bytes) == 0) {
            g->last = at;
            *out = &g->rows[at];
            return MILL_OK;
        }
    }
    *out = NULL;
    if (g->count >= most)
        return MILL_OK;
    MILL_TRY(MILL_GROW(g->rows, g->capacity, g->count + 1, err));
    mill_report_group *row = &g->rows[g->count];
    *row = (mill_report_group){0};
    MILL_TRY(copy_text(name, bytes, &row->name, err));
    g->last = g->count++;
    *out = row;
    return MILL_OK;
}

static mill_status count_group(mill_report_groups *g, const char *name, size_t bytes, const mill_doc_line *line,
                               mill_error *err)
{
    mill_report_group *row;
    MILL_TRY(find_group(g, name, bytes, MILL_REPORT_LICENCES, &row, err));
    if (row == NULL) {
        g->other_pieces++;
        g->other_tokens += line->tokens;
        return MILL_OK;
    }
    row->pieces++;
    row->documents += line->piece == 0 && line->row_begin == 0;
    row->tokens += line->tokens;
    // A row that packing split stands in several lines; its text belongs to the first of them.
    row->bytes += line->row_begin == 0 ? line->text_end - line->text_begin : 0;
    return MILL_OK;
}

// ---- docs/

typedef struct sample_at { // the sample whose lines are being read
    uint64_t number, tokens;
    bool any;
} sample_at;

static void end_sample(mill_report *r, const sample_at *sample, uint64_t room)
{
    if (!sample->any || room == 0)
        return;
    uint64_t tenth = sample->tokens >= room ? 10 : sample->tokens * 10 / room;
    count_bin(&r->fill, (size_t)tenth, sample->tokens);
}

static mill_status take_doc(mill_report *r, const mill_doc_line *line, sample_at *sample, uint64_t room, mill_error *err)
{
    if (!sample->any || sample->number != line->sample) {
        end_sample(r, sample, room);
        *sample = (sample_at){.number = line->sample, .any = true};
    }
    sample->tokens += line->tokens;
    count_log(&r->piece_tokens, line->tokens);
    if (line->row_begin == 0)
        count_log(&r->piece_bytes, line->text_end - line->text_begin);
    if (line->piece == 0 && line->row_begin == 0) {
        r->none += strcmp(line->mode, "none") == 0;
        r->psm += strcmp(line->mode, "psm") == 0;
        r->spm += strcmp(line->mode, "spm") == 0;
        r->spans += strcmp(line->mode, "spans") == 0;
    }
    MILL_TRY(count_group(&r->languages, line->language, line->language_bytes, line, err));
    return count_group(&r->licences, line->licence, line->licence_bytes, line, err);
}

static mill_status read_docs(mill_report *r, const char *path, sample_at *sample, uint64_t room, mill_error *err)
{
    mill_doc_reader docs = {0};
    MILL_TRY(mill_doc_reader_open(r->finished, path, &docs, err));
    mill_status status = MILL_OK;
    while (status == MILL_OK && docs.has_line) {
        if (strcmp(docs.line.mode, "padding") != 0) // no document's
            status = take_doc(r, &docs.line, sample, room, err);
        if (status == MILL_OK)
            status = mill_doc_reader_next(&docs, err);
    }
    mill_doc_reader_close(&docs);
    return status;
}

// ---- lines of JSON

typedef mill_status (*take_line)(mill_report *r, yyjson_val *root, mill_error *err);

static mill_status read_lines(mill_report *r, const char *path, take_line take, mill_error *err)
{
    mill_line_reader lines;
    MILL_TRY(mill_line_reader_open(r->finished, path, &lines, err));
    mill_status status = MILL_OK;
    for (;;) {
        const uint8_t *line;
        size_t bytes;
        bool nomem;
        MILL_TRY_GOTO(mill_line_reader_next(&lines, &line, &bytes, err));
        if (line == NULL)
            break;
        void *json = mill_json_line_parse(line, bytes, &nomem);
        if (nomem)
            MILL_TRY_GOTO(mill_fail_nomem(err, "the report"));
        if (json == NULL)
            MILL_TRY_GOTO(mill_line_reader_fail(&lines, err, "is no JSON"));
        status = take(r, mill_json_line_root(json), err);
        mill_json_line_free(json);
        if (status != MILL_OK)
            break;
    }
cleanup:
    mill_line_reader_close(&lines);
    return status;
}

static mill_status copy_member(yyjson_val *object, const char *name, char **out, mill_error *err)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    return yyjson_is_str(value) ? copy_text(yyjson_get_str(value), yyjson_get_len(value), out, err)
                                : copy_text("", 0, out, err);
}

static mill_status take_place(yyjson_val *object, mill_report_place *out, mill_error *err)
{
    out->record = yyjson_get_uint(yyjson_obj_get(object, "record"));
    out->exact = yyjson_equals_str(yyjson_obj_get(object, "kind"), "exact");
    out->similarity = yyjson_get_num(yyjson_obj_get(object, "similarity"));
    return copy_member(object, "file", &out->file, err);
}

static void free_cluster(mill_report_cluster *cluster)
{
    mill_free(cluster->kept.file);
    for (size_t i = 0; i < MILL_REPORT_DROPPED; i++)
        mill_free(cluster->dropped[i].file);
    *cluster = (mill_report_cluster){0};
}

// The place of a cluster among the largest, MILL_REPORT_EXAMPLES if it is none of them.
static size_t rank_of(const mill_report *r, uint64_t dropped)
{
    size_t at = r->cluster_count;
    while (at > 0 && r->clusters[at - 1].dropped_count < dropped)
        at--;
    return at;
}

static mill_status take_cluster(mill_report *r, yyjson_val *root, mill_error *err)
{
    yyjson_val *dropped = yyjson_obj_get(root, "dropped"), *entry;
    size_t count = yyjson_arr_size(dropped), i, most;
    count_log(&r->cluster_sizes, count + 1);
    uint64_t exact = 0;
    yyjson_arr_foreach(dropped, i, most, entry)
    {
        bool is_exact = yyjson_equals_str(yyjson_obj_get(entry, "kind"), "exact");
        double similarity = yyjson_get_num(yyjson_obj_get(entry, "similarity"));
        exact += is_exact;
        if (!is_exact && similarity >= 0.0)
            count_bin(&r->similarity, similarity >= 1.0 ? 19 : (size_t)(similarity * 20.0), 0);
    }
    size_t at = rank_of(r, count);
    if (at >= MILL_REPORT_EXAMPLES)
        return MILL_OK;
    if (r->cluster_count == MILL_REPORT_EXAMPLES)
        free_cluster(&r->clusters[--r->cluster_count]);
    memmove(&r->clusters[at + 1], &r->clusters[at], (r->cluster_count - at) * sizeof *r->clusters);
    r->cluster_count++;
    mill_report_cluster *cluster = &r->clusters[at];
    *cluster = (mill_report_cluster){.dropped_count = count, .exact_count = exact};
    MILL_TRY(take_place(yyjson_obj_get(root, "kept"), &cluster->kept, err));
    yyjson_arr_foreach(dropped, i, most, entry)
    {
        if (i < MILL_REPORT_DROPPED)
            MILL_TRY(take_place(entry, &cluster->dropped[i], err));
    }
    return MILL_OK;
}

static mill_status take_bad(mill_report *r, yyjson_val *root, mill_error *err)
{
    yyjson_val *reason = yyjson_obj_get(root, "reason"), *records = yyjson_obj_get(root, "records");
    mill_report_group *row;
    if (yyjson_is_str(reason)) {
        MILL_TRY(find_group(&r->bad_reasons, yyjson_get_str(reason), yyjson_get_len(reason), MILL_REPORT_LICENCES, &row, err));
        if (row != NULL)
            row->pieces += yyjson_is_uint(records) ? yyjson_get_uint(records) : 1;
    }
    if (r->bad_count == MILL_REPORT_EXAMPLES)
        return MILL_OK;
    mill_report_bad *bad = &r->bad[r->bad_count++];
    bad->record = yyjson_get_uint(yyjson_obj_get(root, "record"));
    MILL_TRY(copy_member(root, "file", &bad->file, err));
    MILL_TRY(copy_member(root, "reason", &bad->reason, err));
    return copy_member(root, "detail", &bad->detail, err);
}

// ---- all of it

static void free_groups(mill_report_groups *g)
{
    for (size_t i = 0; i < g->count; i++)
        mill_free(g->rows[i].name);
    mill_free(g->rows);
}

void mill_report_free(mill_report *r)
{
    cJSON_Delete(r->metrics);
    free_groups(&r->languages);
    free_groups(&r->licences);
    free_groups(&r->bad_reasons);
    for (size_t i = 0; i < MILL_REPORT_EXAMPLES; i++)
        free_cluster(&r->clusters[i]);
    for (size_t i = 0; i < r->bad_count; i++) {
        mill_free(r->bad[i].file);
        mill_free(r->bad[i].reason);
        mill_free(r->bad[i].detail);
    }
    mill_text_free(&r->samples);
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

mill_status mill_report_gather(const mill_finished *f, const char *directory, mill_report *out, mill_error *err)
{
    mill_buf raw = {0};
    *out = (mill_report){.finished = f};
    mill_status status = mill_finished_read(f, "metrics.json", &raw, err);
    if (status == MILL_OK)
        status = mill_json_parse(raw.data, raw.bytes, NULL, &out->metrics, err);
    mill_buf_free(&raw);
    MILL_TRY(status);
    if (!cJSON_IsObject(out->metrics))
        return mill_fail(err, MILL_VERIFY, "%s/metrics.json: is no JSON object", directory);
    const cJSON *recipe = cJSON_GetObjectItemCaseSensitive(f->manifest, "recipe");
    const cJSON *pack = cJSON_GetObjectItemCaseSensitive(recipe, "pack");
    uint64_t room = mill_finished_number(pack, "seq_len") + mill_finished_number(pack, "extra");
    sample_at sample = {0};
    for (size_t i = 0; i < f->file_count; i++) {
        const char *path = f->files[i].path;
        if (begins_with(path, "docs/docs_")) {
            out->has_docs = true;
            MILL_TRY(read_docs(out, path, &sample, room, err));
        } else if (strcmp(path, "clusters.jsonl.zst") == 0) {
            out->has_clusters = true;
            MILL_TRY(read_lines(out, path, take_cluster, err));
        } else if (strcmp(path, "quarantine.jsonl") == 0) {
            MILL_TRY(read_lines(out, path, take_bad, err));
        }
        size_t file;
        uint64_t number;
        out->has_shards = out->has_shards || mill_container_of(path, &file, &number) >= 0;
    }
    end_sample(out, &sample, room);
    if (out->has_shards && out->fill.count != 0)
        MILL_TRY(mill_inspect(directory, SAMPLES_SHOWN, 0, true, &out->samples, err));
    return MILL_OK;
}

// Written beside and moved into place: a page is whole or is not there.
static mill_status write_page(const mill_finished *f, const mill_buf *page, mill_error *err)
{
    mill_outfile file;
    char sha256[65];
    MILL_TRY(mill_fs_mkdir(f->fs, f->dir, ".shardmill", err));
    MILL_TRY(mill_fs_unlink(f->fs, f->dir, TMP, err));
    MILL_TRY(mill_outfile_open(&file, f->fs, f->dir, TMP, err));
    mill_status status = mill_outfile_write(&file, page->data, page->bytes, err);
    if (status == MILL_OK)
        status = mill_outfile_finish(&file, true, sha256, err);
    else
        mill_outfile_abort(&file);
    if (status == MILL_OK)
        status = mill_fs_rename(f->fs, f->dir, TMP, PAGE, err);
    return status;
}

mill_status mill_report_write(const char *directory, mill_text *out, mill_error *err)
{
    mill_finished f = {0};
    mill_report report = {0};
    mill_buf page = {0}, text = {0};
    mill_status status = MILL_OK;
    *out = (mill_text){0};
    MILL_TRY_GOTO(mill_finished_open(directory, &f, err));
    MILL_TRY_GOTO(mill_report_gather(&f, directory, &report, err));
    MILL_TRY_GOTO(mill_report_page(&report, &page, err));
    MILL_TRY_GOTO(write_page(&f, &page, err));
    MILL_TRY_GOTO(
        mill_buf_printf(&text, err, "%s/%s: %zu bytes, one page that needs nothing else\n", directory, PAGE, page.bytes));
    MILL_TRY_GOTO(mill_text_take(&text, out, err));
cleanup:
    mill_buf_free(&page);
    mill_buf_free(&text);
    mill_report_free(&report);
    mill_finished_close(&f);
    return status;
}
