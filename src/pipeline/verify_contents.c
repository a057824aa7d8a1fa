// verify_contents.c: what is in the files is what the manifest says: samples, ids, the docs sidecar, rows,
// records, clusters, quarantine.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "core/hash.h"
#include "core/parallel.h"
#include "pipeline/account.h"
#include "pipeline/shard_read.h"
#include "pipeline/verify_internal.h"
#include "tokenizer/tokenizer.h"

typedef enum file_kind {
    KIND_OTHER,
    KIND_SHARD,
    KIND_ROWS,
    KIND_RECORDS,
    KIND_CLUSTERS,
    KIND_QUARANTINE
} file_kind;

typedef struct check { // one file to read
    const mill_finished_file *file;
    file_kind kind;
    bool plain;             // a shard that is not compressed
    uint64_t number;        // of the shard
    uint64_t first_sample;  // by the manifest's counts
    uint64_t lines, tokens; // found
    uint64_t targets;       // tokens with loss
    uint64_t exact, near;   // dropped records of clusters
} check;

typedef struct verifier {
    const mill_finished *finished;
    uint64_t vocab_size; // ids are below it; 2^32: there is no tokenizer to ask
    check *checks;
    size_t count, capacity;
    mill_status digest_status; // of the task that runs beside the checks
    mill_error digest_error;
} verifier;

// Running digests of ids (4 bytes each) and lengths (8 bytes each), little-endian as on every machine this is
// built for.
typedef struct digests {
    void *ids, *lengths, *mask;
} digests;

static mill_status open_digests(digests *d, mill_error *err)
{
    *d = (digests){mill_sha256_create(), mill_sha256_create(), mill_sha256_create()};
    return d->ids == NULL || d->lengths == NULL || d->mask == NULL ? mill_fail_nomem(err, "verifying samples")
                                                                   : MILL_OK;
}

static void add_to_digests(digests *d, const mill_read_sample *sample)
{
    uint64_t length = sample->count;
    mill_sha256_update(d->ids, sample->ids, sample->count * sizeof *sample->ids);
    mill_sha256_update(d->lengths, &length, sizeof length);
    if (sample->has_mask)
        mill_sha256_update(d->mask, sample->mask, sample->count);
}

static void close_digests(digests *d)
{
    mill_sha256_destroy(d->ids);
    mill_sha256_destroy(d->lengths);
    mill_sha256_destroy(d->mask);
}

static void take_digest(void **sha256, char hex[65])
{
    uint8_t digest[32];
    mill_sha256_finish(*sha256, digest);
    *sha256 = NULL;
    mill_hex(digest, sizeof digest, hex);
}

static mill_status expect_text(const char *where, const char *path, const cJSON *facts, const char *name,
                               const char *found, mill_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(facts, name);
    if (cJSON_IsString(item) && strcmp(item->valuestring, found) == 0)
        return MILL_OK;
    return mill_fail(err, MILL_VERIFY, "%s/%s: its %s is not the manifest's", where, path, name);
}

static mill_status expect_count(const char *where, const char *path, const char *what, uint64_t found,
                                uint64_t expected, mill_error *err)
{
    if (found == expected)
        return MILL_OK;
    return mill_fail(err, MILL_VERIFY, "%s/%s: holds %llu %s, by the manifest it is %llu", where, path,
                     (unsigned long long)found, what, (unsigned long long)expected);
}

// ---- shards ---------------------------------------------------------------------------------------------

static mill_status check_ids(const verifier *v, const mill_line_reader *lines, const mill_read_sample *sample,
                             mill_error *err)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < sample->count; i++)
        highest = sample->ids[i] > highest ? sample->ids[i] : highest;
    if (highest >= v->vocab_size)
        return mill_line_reader_fail(lines, err, "holds id %u, the tokenizer has %llu", highest,
                                     (unsigned long long)v->vocab_size);
    return MILL_OK;
}

// Of a file every token is a target; a conversation that is here as a whole has an answer.
static mill_status check_mask(const mill_doc_reader *docs, const mill_read_sample *sample, mill_error *err)
{
    const mill_doc_line *line = &docs->line;
    if (!sample->has_mask)
        return MILL_OK;
    const bool is_chat = strcmp(line->mode, "chat") == 0;
    uint64_t targets = 0;
    for (uint32_t i = 0; i < line->tokens; i++)
        targets += sample->mask[line->begin + i];
    if (!is_chat && targets != line->tokens)
        return mill_line_reader_fail(&docs->lines, err,
                                     "sample %llu: its loss_mask leaves out tokens of a document",
                                     (unsigned long long)line->sample);
    // The part is cut by the packing if tokens stand before it, or no later one can belong to it.
    if (is_chat && targets == 0 && line->row_begin == 0 && line->begin + line->tokens < sample->count)
        return mill_line_reader_fail(&docs->lines, err,
                                     "sample %llu: its loss_mask has no token of a conversation",
                                     (unsigned long long)line->sample);
    return MILL_OK;
}

// The parts of a sample in the sidecar lie end to end, and their borders are those of cu_seqlens.
static mill_status check_parts(mill_doc_reader *docs, uint64_t number, const mill_read_sample *sample,
                               mill_error *err)
{
    uint64_t covered = 0;
    size_t part = 0;
    for (; covered < sample->count; part++) {
        const mill_doc_line *line = &docs->line;
        if (!docs->has_line || line->sample != number)
            return mill_line_reader_fail(
                &docs->lines, err, "sample %llu has %zu tokens but only %llu come from documents",
                (unsigned long long)number, sample->count, (unsigned long long)covered);
        if (line->begin != covered || line->tokens == 0 || line->tokens > sample->count - covered)
            return mill_line_reader_fail(&docs->lines, err,
                                         "sample %llu: this part does not join the one before it",
                                         (unsigned long long)number);
        if (sample->has_bounds && (part >= sample->bound_count || sample->bounds[part] != covered))
            return mill_line_reader_fail(&docs->lines, err,
                                         "sample %llu: this part does not begin where cu_seqlens says",
                                         (unsigned long long)number);
        MILL_TRY(check_mask(docs, sample, err));
        covered += line->tokens;
        MILL_TRY(mill_doc_reader_next(docs, err));
    }
    if (sample->has_bounds && sample->bound_count != part + 1)
        return mill_line_reader_fail(&docs->lines, err,
                                     "sample %llu: cu_seqlens has more parts than the sidecar",
                                     (unsigned long long)number);
    return MILL_OK;
}

static mill_status read_shard(const verifier *v, check *c, mill_line_reader *lines, mill_doc_reader *docs,
                              digests *d, mill_read_sample *sample, mill_error *err)
{
    for (;;) {
        const uint8_t *line;
        size_t bytes;
        MILL_TRY(mill_line_reader_next(lines, &line, &bytes, err));
        if (line == NULL)
            break;
        MILL_TRY(mill_read_sample_parse(lines, line, bytes, false, sample, err));
        MILL_TRY(check_ids(v, lines, sample, err));
        MILL_TRY(check_parts(docs, c->first_sample + c->lines, sample, err));
        const bool wanted = cJSON_GetObjectItemCaseSensitive(c->file->facts, "mask_sha256") != NULL;
        if (sample->has_mask != wanted)
            return mill_line_reader_fail(
                lines, err, wanted ? "has no loss_mask" : "has a loss_mask that the manifest does not know");
        for (size_t i = 0; sample->has_mask && i < sample->count; i++)
            c->targets += sample->mask[i];
        add_to_digests(d, sample);
        c->lines++;
        c->tokens += sample->count;
    }
    if (docs->has_line)
        return mill_line_reader_fail(&docs->lines, err, "tells of a sample that the shard does not have");
    return MILL_OK;
}

static mill_status compare_shard(const verifier *v, check *c, mill_line_reader *lines, digests *d,
                                 mill_error *err)
{
    const char *where = v->finished->path, *path = c->file->path;
    const cJSON *facts = c->file->facts;
    char text[65], ids[65], lengths[65];
    mill_line_reader_digest(lines, text);
    take_digest(&d->ids, ids);
    take_digest(&d->lengths, lengths);
    MILL_TRY(expect_count(where, path, "samples", c->lines, mill_finished_number(facts, "samples"), err));
    MILL_TRY(expect_count(where, path, "tokens", c->tokens, mill_finished_number(facts, "tokens"), err));
    MILL_TRY(expect_text(where, path, facts, "text_sha256", text, err));
    MILL_TRY(expect_text(where, path, facts, "ids_sha256", ids, err));
    if (cJSON_GetObjectItemCaseSensitive(facts, "mask_sha256") != NULL) {
        char mask[65];
        take_digest(&d->mask, mask);
        MILL_TRY(expect_text(where, path, facts, "mask_sha256", mask, err));
        MILL_TRY(
            expect_count(where, path, "targets", c->targets, mill_finished_number(facts, "targets"), err));
    }
    return expect_text(where, path, facts, "lengths_sha256", lengths, err);
}

static mill_status check_shard(const verifier *v, check *c, mill_error *err)
{
    mill_line_reader lines = {0};
    mill_doc_reader docs = {0};
    mill_read_sample sample = {0};
    digests d = {0};
    char docs_path[64];
    mill_status status = MILL_OK;
    snprintf(docs_path, sizeof docs_path, "docs/docs_%05llu.jsonl.zst", (unsigned long long)c->number);
    MILL_TRY_GOTO(open_digests(&d, err));
    MILL_TRY_GOTO(mill_line_reader_open(v->finished, c->file->path, &lines, err));
    MILL_TRY_GOTO(mill_doc_reader_open(v->finished, docs_path, &docs, err));
    MILL_TRY_GOTO(read_shard(v, c, &lines, &docs, &d, &sample, err));
    MILL_TRY_GOTO(compare_shard(v, c, &lines, &d, err));
cleanup:
    mill_line_reader_close(&lines);
    mill_doc_reader_close(&docs);
    mill_read_sample_free(&sample);
    close_digests(&d);
    return status;
}

// ---- digests over the whole run -------------------------------------------------------------------------

static mill_status add_shard(const verifier *v, const check *c, digests *d, mill_error *err)
{
    mill_line_reader lines;
    mill_read_sample sample = {0};
    MILL_TRY(mill_line_reader_open(v->finished, c->file->path, &lines, err));
    mill_status status = MILL_OK;
    for (;;) {
        const uint8_t *line;
        size_t bytes;
        MILL_TRY_GOTO(mill_line_reader_next(&lines, &line, &bytes, err));
        if (line == NULL)
            break;
        MILL_TRY_GOTO(mill_read_sample_parse(&lines, line, bytes, false, &sample, err));
        add_to_digests(d, &sample);
    }
cleanup:
    mill_line_reader_close(&lines);
    mill_read_sample_free(&sample);
    return status;
}

// A digest over all shards in order cannot be put together from theirs, so one thread reads them all once
// more; the shards of one form, as both hold the same samples.
static mill_status digest_run(const verifier *v, mill_error *err)
{
    const check *first = NULL;
    digests d;
    char ids[65], lengths[65];
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(open_digests(&d, err));
    for (size_t i = 0; i < v->count; i++) {
        const check *c = &v->checks[i];
        if (c->kind != KIND_SHARD)
            continue;
        first = first == NULL ? c : first;
        if (c->plain == first->plain)
            MILL_TRY_GOTO(add_shard(v, c, &d, err));
    }
    if (first == NULL)
        goto cleanup;
    take_digest(&d.ids, ids);
    take_digest(&d.lengths, lengths);
    MILL_TRY_GOTO(expect_text(v->finished->path, "shards", v->finished->manifest, "ids_sha256", ids, err));
    MILL_TRY_GOTO(
        expect_text(v->finished->path, "shards", v->finished->manifest, "lengths_sha256", lengths, err));
cleanup:
    close_digests(&d);
    return status;
}

// ---- the other files ------------------------------------------------------------------------------------

static mill_status count_dropped(const mill_line_reader *lines, check *c, void *json, mill_error *err)
{
    yyjson_val *dropped = yyjson_obj_get(mill_json_line_root(json), "dropped"), *entry;
    size_t i, most;
    if (!yyjson_is_arr(dropped))
        return mill_line_reader_fail(lines, err, "is no cluster as shardmill writes them");
    yyjson_arr_foreach(dropped, i, most, entry)
    {
        yyjson_val *kind = yyjson_obj_get(entry, "kind");
        bool exact = yyjson_equals_str(kind, "exact");
        if (!exact && !yyjson_equals_str(kind, "near"))
            return mill_line_reader_fail(lines, err,
                                         "entry %zu of its dropped records is neither exact nor near", i);
        c->exact += exact;
        c->near += !exact;
    }
    return MILL_OK;
}

static mill_status check_json_line(const mill_line_reader *lines, check *c, const uint8_t *line, size_t bytes,
                                   mill_error *err)
{
    bool nomem;
    void *json = mill_json_line_parse(line, bytes, &nomem);
    if (nomem)
        return mill_fail_nomem(err, "verifying records");
    mill_status status = MILL_OK;
    if (json == NULL || !yyjson_is_obj(mill_json_line_root(json)))
        status = mill_line_reader_fail(lines, err, "is no JSON object");
    else if (c->kind == KIND_CLUSTERS)
        status = count_dropped(lines, c, json, err);
    bool several = status == MILL_OK && c->kind == KIND_QUARANTINE;
    yyjson_val *records = several ? yyjson_obj_get(mill_json_line_root(json), "records") : NULL;
    if (yyjson_is_uint(records)) // a line that stands for several, or for none
        c->lines += yyjson_get_uint(records) - 1;
    mill_json_line_free(json);
    return status;
}

static mill_status check_lines(const verifier *v, check *c, mill_error *err)
{
    mill_line_reader lines;
    mill_read_sample sample = {0};
    MILL_TRY(mill_line_reader_open(v->finished, c->file->path, &lines, err));
    mill_status status = MILL_OK;
    for (;;) {
        const uint8_t *line;
        size_t bytes;
        MILL_TRY_GOTO(mill_line_reader_next(&lines, &line, &bytes, err));
        if (line == NULL)
            break;
        c->lines++;
        if (c->kind == KIND_ROWS) {
            MILL_TRY_GOTO(mill_read_sample_parse(&lines, line, bytes, true, &sample, err));
            MILL_TRY_GOTO(check_ids(v, &lines, &sample, err));
            c->tokens += sample.count;
        } else {
            MILL_TRY_GOTO(check_json_line(&lines, c, line, bytes, err));
        }
    }
cleanup:
    mill_line_reader_close(&lines);
    mill_read_sample_free(&sample);
    return status;
}

// ---- all ------------------------------------------------------------------------------------------------

static file_kind kind_of(const char *path, uint64_t *number, bool *plain)
{
    static const struct {
        const char *prefix;
        file_kind kind;
    } kinds[] = {{"shards/shard_", KIND_SHARD},
                 {"rows/rows_", KIND_ROWS},
                 {"records/records_", KIND_RECORDS},
                 {"clusters.jsonl.zst", KIND_CLUSTERS},
                 {"quarantine.jsonl", KIND_QUARANTINE}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t bytes = strlen(kinds[i].prefix);
        if (strncmp(path, kinds[i].prefix, bytes) != 0)
            continue;
        char *end = NULL;
        *number = strtoull(path + bytes, &end, 10);
        *plain = strcmp(end, ".jsonl") == 0;
        return kinds[i].kind;
    }
    return KIND_OTHER;
}

static int compare_checks(const void *a, const void *b)
{
    const check *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->plain != y->plain)
        return x->plain ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static mill_status list_checks(verifier *v, mill_error *err)
{
    for (size_t i = 0; i < v->finished->file_count; i++) {
        check c = {.file = &v->finished->files[i]};
        c.kind = kind_of(c.file->path, &c.number, &c.plain);
        if (c.kind == KIND_OTHER)
            continue;
        MILL_TRY(MILL_GROW(v->checks, v->capacity, v->count + 1, err));
        v->checks[v->count++] = c;
    }
    if (v->count == 0)
        return MILL_OK;
    qsort(v->checks, v->count, sizeof *v->checks, compare_checks);
    for (size_t i = 0; i < v->count && v->checks[i].kind == KIND_SHARD; i++) {
        check *c = &v->checks[i];
        const bool begins = i == 0 || c->plain != c[-1].plain;
        if (c->number != (begins ? 0 : c[-1].number + 1))
            return mill_fail(err, MILL_VERIFY, "%s/%s: the shard before it is not in the manifest",
                             v->finished->path, c->file->path);
        if (!begins)
            c->first_sample = c[-1].first_sample + mill_finished_number(c[-1].file->facts, "samples");
    }
    return MILL_OK;
}

static mill_status read_vocabulary(verifier *v, mill_error *err)
{
    static const char path[] = "tokenizer/tokenizer.json";
    v->vocab_size = (uint64_t)UINT32_MAX + 1;
    if (mill_finished_find(v->finished, path) == NULL)
        return MILL_OK;
    mill_buf json = {0};
    mill_tokenizer *tokenizer = NULL;
    mill_status status = mill_finished_read(v->finished, path, &json, err);
    if (status == MILL_OK) {
        status = mill_tokenizer_parse(json.data, json.bytes, path, &tokenizer, err);
        if (status == MILL_INPUT) // what the run wrote, the run can read
            status = mill_fail(err, MILL_VERIFY, "%s/%s: is no tokenizer that this version reads",
                               v->finished->path, path);
    }
    if (status == MILL_OK)
        v->vocab_size = mill_tokenizer_vocab_size(tokenizer);
    mill_tokenizer_close(tokenizer);
    mill_buf_free(&json);
    return status;
}

// Task 0 digests the run; it begins first as it takes longest, but a check of a single file says more, so its
// failure waits.
static mill_status run_task(void *context, uint32_t worker, uint64_t task, mill_error *err)
{
    (void)worker;
    verifier *v = context;
    if (task == 0) {
        v->digest_status = digest_run(v, &v->digest_error);
        return MILL_OK;
    }
    check *c = &v->checks[task - 1];
    return c->kind == KIND_SHARD ? check_shard(v, c, err) : check_lines(v, c, err);
}

typedef struct found {
    uint64_t files[KIND_QUARANTINE + 1], lines[KIND_QUARANTINE + 1], tokens[KIND_QUARANTINE + 1];
    uint64_t exact, near;
} found;

static mill_status compare_totals(const verifier *v, const found *t, uint64_t forms, mill_error *err)
{
    const char *where = v->finished->path;
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(v->finished->manifest, "totals");
    mill_account account;
    MILL_TRY(mill_account_from_json(cJSON_GetObjectItemCaseSensitive(totals, "records"), &account)
                 ? MILL_OK
                 : mill_fail(err, MILL_VERIFY, "%s/manifest.json: has no totals", where));
    MILL_TRY(expect_count(where, "shards", "samples", t->lines[KIND_SHARD],
                          forms * mill_finished_number(totals, "samples"), err));
    MILL_TRY(expect_count(where, "shards", "tokens", t->tokens[KIND_SHARD],
                          forms * mill_finished_number(totals, "tokens"), err));
    MILL_TRY(expect_count(where, "quarantine.jsonl", "records", t->lines[KIND_QUARANTINE],
                          account.quarantined, err));
    if (t->files[KIND_RECORDS] != 0)
        MILL_TRY(expect_count(where, "records", "records", t->lines[KIND_RECORDS],
                              account.by_reason[MILL_KEPT], err));
    if (t->files[KIND_ROWS] != 0 && account.by_reason[MILL_REASON_UNSELECTED] == 0)
        MILL_TRY(expect_count(where, "rows", "tokens", t->tokens[KIND_ROWS],
                              mill_finished_number(totals, "encoded_tokens") -
                                  mill_finished_number(totals, "dropped_tokens"),
                              err));
    if (t->files[KIND_CLUSTERS] != 0) {
        MILL_TRY(expect_count(where, "clusters.jsonl.zst", "exact duplicates", t->exact,
                              account.by_reason[MILL_REASON_EXACT], err));
        MILL_TRY(expect_count(where, "clusters.jsonl.zst", "near duplicates", t->near,
                              account.by_reason[MILL_REASON_NEAR], err));
    }
    return MILL_OK;
}

static mill_status sum_up(const verifier *v, uint64_t *samples, mill_error *err)
{
    found t = {0};
    uint64_t forms = 1; // of the shards: compressed, plain, or both
    for (size_t i = 0; i < v->count; i++) {
        const check *c = &v->checks[i];
        t.files[c->kind]++;
        t.lines[c->kind] += c->lines;
        t.tokens[c->kind] += c->tokens;
        t.exact += c->exact;
        t.near += c->near;
        forms += i != 0 && c->kind == KIND_SHARD && c->plain != c[-1].plain;
    }
    *samples = t.lines[KIND_SHARD] / forms;
    return compare_totals(v, &t, forms, err);
}

mill_status mill_verify_contents(const mill_finished *finished, uint32_t threads, uint64_t *samples,
                                 mill_error *err)
{
    verifier v = {.finished = finished};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(read_vocabulary(&v, err));
    MILL_TRY_GOTO(list_checks(&v, err));
    MILL_TRY_GOTO(mill_parallel_run(threads, v.count + 1, run_task, &v, err));
    MILL_TRY_GOTO(sum_up(&v, samples, err));
    status = v.digest_status;
    if (status != MILL_OK && err != NULL)
        *err = v.digest_error;
cleanup:
    mill_free(v.checks);
    return status;
}
