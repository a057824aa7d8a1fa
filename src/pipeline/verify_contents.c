// verify_contents.c: what is in the files is what the manifest says: samples, ids, the docs sidecar, rows,
// records, clusters, quarantine.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "core/hash.h"
#include "core/parallel.h"
#include "pipeline/account.h"
#include "pipeline/recipe.h"
#include "pipeline/sample_read.h"
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
    const mill_held *held;  // the container of a shard
    bool with_docs;         // is compared with the sidecar
    uint64_t number;        // of the shard
    uint64_t first_sample;  // by the manifest's counts
    uint64_t lines, tokens; // found
    uint64_t targets;       // tokens with loss
    uint64_t exact, near;   // dropped records of clusters
} check;

typedef struct verifier {
    const mill_finished *finished;
    uint64_t vocab_size; // ids are below it; 2^32: there is no tokenizer to ask
    mill_held *held;     // containers
    size_t held_count;
    check *checks;
    size_t count, capacity;
    mill_status digest_status; // of the task that runs beside the checks
    mill_error digest_error;
} verifier;

// Running digests of ids (4 bytes each) and lengths (8 bytes each), little-endian as on every machine this is
// built for.
typedef struct digests {
    void *ids, *lengths, *positions, *mask;
} digests;

static mill_status open_digests(digests *d, mill_error *err)
{
    *d = (digests){mill_sha256_create(), mill_sha256_create(), mill_sha256_create(), mill_sha256_create()};
    return d->ids == NULL || d->lengths == NULL || d->positions == NULL || d->mask == NULL
               ? mill_fail_nomem(err, "verifying samples")
               : MILL_OK;
}

static void add_to_digests(digests *d, const mill_read_sample *sample)
{
    uint64_t length = sample->count;
    mill_sha256_update(d->ids, sample->ids, sample->count * sizeof *sample->ids);
    mill_sha256_update(d->lengths, &length, sizeof length);
    if (sample->has_positions)
        mill_sha256_update(d->positions, sample->positions, sample->count * sizeof *sample->positions);
    if (sample->has_mask)
        mill_sha256_update(d->mask, sample->mask, sample->count);
}

static void close_digests(digests *d)
{
    mill_sha256_destroy(d->ids);
    mill_sha256_destroy(d->lengths);
    mill_sha256_destroy(d->positions);
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

static bool find_strange_id(const verifier *v, const mill_read_sample *sample, uint32_t *id)
{
    *id = 0;
    for (size_t i = 0; i < sample->count; i++)
        *id = sample->ids[i] > *id ? sample->ids[i] : *id;
    return *id >= v->vocab_size;
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
    if (strcmp(line->mode, "padding") == 0)
        return targets == 0 ? MILL_OK
                            : mill_line_reader_fail(&docs->lines, err, "sample %llu: its loss_mask learns padding",
                                                    (unsigned long long)line->sample);
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

// Tokens of a part count up by one: from the part before it in a row that it does not begin, else from 0, or (continue) from
// its place in the document.
static mill_status check_positions(const mill_doc_reader *docs, const mill_read_sample *sample, bool begins, bool continues,
                                   mill_error *err)
{
    const mill_doc_line *line = &docs->line;
    if (!sample->has_positions)
        return MILL_OK;
    const uint32_t *positions = sample->positions + line->begin;
    const uint64_t place = !begins ? (uint64_t)positions[-1] + 1 : continues ? line->doc_begin : 0;
    bool good = positions[0] == place || (begins && continues && place == MILL_NO_PLACE);
    for (uint32_t i = 1; good && i < line->tokens; i++)
        good = positions[i] == positions[0] + i;
    return good ? MILL_OK
                : mill_line_reader_fail(&docs->lines, err, "sample %llu: position_ids do not count the tokens of this part",
                                        (unsigned long long)line->sample);
}

// The parts of a sample in the sidecar lie end to end, and the borders of rows are those of cu_seqlens.
static mill_status check_parts(mill_docs_cursor *cursor, uint64_t number, const mill_read_sample *sample, bool continues,
                               mill_error *err)
{
    const mill_doc_reader *docs = &cursor->docs;
    uint64_t covered = 0;
    size_t part = 0; // that the line is in: files of a repository share one
    while (covered < sample->count) {
        const mill_doc_line *line = &docs->line;
        const bool begins = mill_doc_begins_row(line);
        if (!docs->has_line || line->sample != number)
            return mill_fail(
                err, MILL_VERIFY, "%s/%s: sample %llu has %zu tokens but only %llu come from documents",
                cursor->finished->path, cursor->directory, (unsigned long long)number, sample->count,
                (unsigned long long)covered);
        if (line->begin != covered || line->tokens == 0 || line->tokens > sample->count - covered)
            return mill_line_reader_fail(&docs->lines, err,
                                         "sample %llu: this part does not join the one before it",
                                         (unsigned long long)number);
        if (sample->has_bounds && begins && (part >= sample->bound_count || sample->bounds[part] != covered))
            return mill_line_reader_fail(&docs->lines, err,
                                         "sample %llu: this part does not begin where cu_seqlens says",
                                         (unsigned long long)number);
        MILL_TRY(check_mask(docs, sample, err));
        MILL_TRY(check_positions(docs, sample, begins, continues, err));
        part += begins;
        covered += line->tokens;
        MILL_TRY(mill_docs_cursor_next(cursor, err));
    }
    if (sample->has_bounds && sample->bound_count != part + 1)
        return mill_fail(err, MILL_VERIFY, "%s/%s: sample %llu: cu_seqlens has more parts than the sidecar",
                         cursor->finished->path, cursor->directory, (unsigned long long)number);
    return MILL_OK;
}

// The shard has the column if the manifest has its digest, and only then.
static mill_status check_column(const check *c, const mill_sample_reader *reader, const char *digest, const char *name, bool found,
                                mill_error *err)
{
    const bool wanted = cJSON_GetObjectItemCaseSensitive(c->file->facts, digest) != NULL;
    if (found == wanted)
        return MILL_OK;
    return mill_sample_reader_fail(reader, err, wanted ? "has no %s" : "has %s that the manifest does not know", name);
}

static mill_status read_shard(const verifier *v, check *c, mill_sample_reader *reader, mill_docs_cursor *docs,
                              digests *d, mill_read_sample *sample, mill_error *err)
{
    const cJSON *positions = cJSON_GetObjectItemCaseSensitive(c->held->facts, "positions");
    const bool continues = cJSON_IsString(positions) &&
                           strcmp(positions->valuestring, mill_positions_names[MILL_POSITIONS_CONTINUE]) == 0;
    for (;;) {
        bool end;
        uint32_t id;
        MILL_TRY(mill_sample_reader_next(reader, sample, &end, err));
        if (end)
            break;
        if (find_strange_id(v, sample, &id))
            return mill_sample_reader_fail(reader, err, "holds id %u, the tokenizer has %llu", id,
                                           (unsigned long long)v->vocab_size);
        if (c->with_docs)
            MILL_TRY(check_parts(docs, c->first_sample + c->lines, sample, continues, err));
        MILL_TRY(check_column(c, reader, "positions_sha256", "position_ids", sample->has_positions, err));
        MILL_TRY(check_column(c, reader, "mask_sha256", "loss_mask", sample->has_mask, err));
        for (size_t i = 0; sample->has_mask && i < sample->count; i++)
            c->targets += sample->mask[i];
        add_to_digests(d, sample);
        c->lines++;
        c->tokens += sample->count;
    }
    if (c->with_docs && docs->docs.has_line && docs->docs.line.sample < c->first_sample + c->lines)
        return mill_line_reader_fail(&docs->docs.lines, err, "tells of more than the shard has");
    return MILL_OK;
}

static mill_status compare_shard(const verifier *v, check *c, digests *d, mill_error *err)
{
    const char *where = v->finished->path, *path = c->file->path;
    const cJSON *facts = c->file->facts;
    char ids[65], lengths[65];
    if (!c->held->borders) { // what its clients see is one sequence
        mill_sha256_destroy(d->lengths);
        d->lengths = mill_sha256_create();
        if (d->lengths == NULL)
            return mill_fail_nomem(err, "verifying samples");
        mill_sha256_update(d->lengths, &c->tokens, sizeof c->tokens);
    }
    take_digest(&d->ids, ids);
    take_digest(&d->lengths, lengths);
    MILL_TRY(expect_count(where, path, "samples", c->lines, mill_finished_number(facts, "samples"), err));
    MILL_TRY(expect_count(where, path, "tokens", c->tokens, mill_finished_number(facts, "tokens"), err));
    MILL_TRY(expect_text(where, path, facts, "ids_sha256", ids, err));
    if (cJSON_GetObjectItemCaseSensitive(facts, "positions_sha256") != NULL) {
        char positions[65];
        take_digest(&d->positions, positions);
        MILL_TRY(expect_text(where, path, facts, "positions_sha256", positions, err));
    }
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
    mill_sample_reader reader = {0};
    mill_docs_cursor docs = {0};
    mill_read_sample sample = {0};
    digests d = {0};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(open_digests(&d, err));
    MILL_TRY_GOTO(mill_sample_reader_open(v->finished, c->held, c->file->path, c->first_sample, &reader, err));
    if (c->with_docs)
        MILL_TRY_GOTO(mill_docs_cursor_open(v->finished, c->held->docs, c->first_sample, &docs, err));
    MILL_TRY_GOTO(read_shard(v, c, &reader, &docs, &d, &sample, err));
    MILL_TRY_GOTO(compare_shard(v, c, &d, err));
cleanup:
    mill_sample_reader_close(&reader);
    mill_docs_cursor_close(&docs);
    mill_read_sample_free(&sample);
    close_digests(&d);
    return status;
}

// ---- digests over the whole run -------------------------------------------------------------------------

static mill_status add_shard(const verifier *v, const check *c, digests *d, mill_error *err)
{
    mill_sample_reader reader;
    mill_read_sample sample = {0};
    MILL_TRY(mill_sample_reader_open(v->finished, c->held, c->file->path, c->first_sample, &reader, err));
    mill_status status = MILL_OK;
    bool end = false;
    while (status == MILL_OK && !end) {
        status = mill_sample_reader_next(&reader, &sample, &end, err);
        if (status == MILL_OK && !end)
            add_to_digests(d, &sample);
    }
    mill_sample_reader_close(&reader);
    mill_read_sample_free(&sample);
    return status;
}

// A container without borders gives its clients one sequence a shard.
static mill_status digest_streams(const verifier *v, const mill_held *held, char hex[65], mill_error *err)
{
    void *sha256 = mill_sha256_create();
    if (sha256 == NULL)
        return mill_fail_nomem(err, "verifying samples");
    for (size_t i = 0; i < v->count; i++) {
        uint64_t tokens = mill_finished_number(v->checks[i].file->facts, "tokens");
        if (v->checks[i].held == held)
            mill_sha256_update(sha256, &tokens, sizeof tokens);
    }
    take_digest(&sha256, hex);
    return MILL_OK;
}

static mill_status digest_held(const verifier *v, const mill_held *held, char ids[65], char lengths[65], mill_error *err)
{
    digests d;
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(open_digests(&d, err));
    for (size_t i = 0; i < v->count; i++) {
        if (v->checks[i].held == held)
            MILL_TRY_GOTO(add_shard(v, &v->checks[i], &d, err));
    }
    take_digest(&d.ids, ids);
    take_digest(&d.lengths, lengths);
cleanup:
    close_digests(&d);
    return status;
}

// A digest over all shards in order cannot be put together from theirs, so one thread reads them all once
// more: one container of samples, and one of documents, as all of a kind hold the same.
static mill_status digest_run(const verifier *v, mill_error *err)
{
    char ids[2][65] = {"", ""}, lengths[2][65] = {"", ""}, one[65];
    const char *where = v->finished->path;
    int first = mill_held_best(v->held, v->held_count);
    for (size_t i = 0; i < v->held_count; i++) {
        const mill_held *held = &v->held[i];
        const char *directory = held->container->directory;
        if (ids[held->documents][0] == '\0')
            MILL_TRY(digest_held(v, held, ids[held->documents], lengths[held->documents], err));
        if ((int)i == first || first < 0) {
            MILL_TRY(expect_text(where, directory, v->finished->manifest, "ids_sha256", ids[held->documents], err));
            MILL_TRY(expect_text(where, directory, v->finished->manifest, "lengths_sha256", lengths[held->documents], err));
        }
        if (!held->borders)
            MILL_TRY(digest_streams(v, held, one, err));
        MILL_TRY(expect_text(where, directory, held->facts, "ids_sha256", ids[held->documents], err));
        MILL_TRY(expect_text(where, directory, held->facts, "lengths_sha256", held->borders ? lengths[held->documents] : one, err));
    }
    return MILL_OK;
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
            uint32_t id;
            if (find_strange_id(v, &sample, &id)) {
                status = mill_line_reader_fail(&lines, err, "holds id %u, the tokenizer has %llu", id,
                                               (unsigned long long)v->vocab_size);
                goto cleanup;
            }
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

static file_kind kind_of(const verifier *v, check *c)
{
    static const struct {
        const char *prefix;
        file_kind kind;
    } kinds[] = {{"rows/rows_", KIND_ROWS},
                 {"records/records_", KIND_RECORDS},
                 {"clusters.jsonl.zst", KIND_CLUSTERS},
                 {"quarantine.jsonl", KIND_QUARANTINE}};
    size_t file;
    int found = mill_container_of(c->file->path, &file, &c->number);
    for (size_t i = 0; found >= 0 && file == 0 && i < v->held_count; i++) {
        if (v->held[i].container == mill_containers[found]) {
            c->held = &v->held[i];
            return KIND_SHARD;
        }
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strncmp(c->file->path, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return kinds[i].kind;
    }
    return KIND_OTHER;
}

static int compare_checks(const void *a, const void *b)
{
    const check *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->held != y->held)
        return x->held < y->held ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

// Shards are numbered from 0 without a gap; the first container of a kind is compared with the sidecar, and those that repeat
// something of it.
static mill_status order_shards(verifier *v, mill_error *err)
{
    const mill_held *with_docs[2] = {NULL, NULL};
    for (size_t i = 0; i < v->count && v->checks[i].kind == KIND_SHARD; i++) {
        check *c = &v->checks[i];
        const bool begins = i == 0 || c->held != c[-1].held;
        if (c->number != (begins ? 0 : c[-1].number + 1))
            return mill_fail(err, MILL_VERIFY, "%s/%s: the shard before it is not in the manifest",
                             v->finished->path, c->file->path);
        if (!begins)
            c->first_sample = c[-1].first_sample + mill_finished_number(c[-1].file->facts, "samples");
        if (with_docs[c->held->documents] == NULL)
            with_docs[c->held->documents] = c->held;
        c->with_docs = with_docs[c->held->documents] == c->held || c->held->container->columns;
    }
    return MILL_OK;
}

static mill_status list_checks(verifier *v, mill_error *err)
{
    for (size_t i = 0; i < v->finished->file_count; i++) {
        check c = {.file = &v->finished->files[i]};
        c.kind = kind_of(v, &c);
        if (c.kind == KIND_OTHER)
            continue;
        MILL_TRY(MILL_GROW(v->checks, v->capacity, v->count + 1, err));
        v->checks[v->count++] = c;
    }
    if (v->count == 0)
        return MILL_OK;
    qsort(v->checks, v->count, sizeof *v->checks, compare_checks);
    return order_shards(v, err);
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

static mill_status compare_totals(const verifier *v, const found *t, mill_error *err)
{
    const char *where = v->finished->path;
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(v->finished->manifest, "totals");
    mill_account account;
    MILL_TRY(mill_account_from_json(cJSON_GetObjectItemCaseSensitive(totals, "records"), &account)
                 ? MILL_OK
                 : mill_fail(err, MILL_VERIFY, "%s/manifest.json: has no totals", where));
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

// What each container holds is what the manifest says of it, and of the run.
static mill_status compare_held(const verifier *v, const mill_held *held, uint64_t *samples, mill_error *err)
{
    const char *where = v->finished->path, *directory = held->container->directory;
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(v->finished->manifest, "totals");
    uint64_t lines = 0, tokens = 0, shards = 0;
    for (size_t i = 0; i < v->count; i++) {
        const check *c = &v->checks[i];
        if (c->held != held)
            continue;
        lines += c->lines;
        tokens += c->tokens;
        shards++;
    }
    MILL_TRY(expect_count(where, directory, "shards", shards, held->shards, err));
    MILL_TRY(expect_count(where, directory, held->documents ? "documents" : "samples", lines,
                          held->documents ? held->sequences : mill_finished_number(totals, "samples"), err));
    MILL_TRY(expect_count(where, directory, "tokens", tokens,
                          held->documents ? held->tokens
                                          : mill_finished_number(totals, "tokens") +
                                                mill_finished_number(totals, "padding_tokens"),
                          err));
    MILL_TRY(expect_count(where, directory, "sequences", lines, held->sequences, err));
    *samples = lines;
    return expect_count(where, directory, "tokens", tokens, held->tokens, err);
}

static mill_status sum_up(const verifier *v, uint64_t *samples, mill_error *err)
{
    found t = {0};
    for (size_t i = 0; i < v->count; i++) {
        const check *c = &v->checks[i];
        t.files[c->kind]++;
        t.lines[c->kind] += c->lines;
        t.tokens[c->kind] += c->tokens;
        t.exact += c->exact;
        t.near += c->near;
    }
    *samples = 0;
    for (size_t i = v->held_count; i > 0; i--) // the first one's count is told
        MILL_TRY(compare_held(v, &v->held[i - 1], samples, err));
    return compare_totals(v, &t, err);
}

mill_status mill_verify_contents(const mill_finished *finished, uint32_t threads, uint64_t *samples,
                                 mill_error *err)
{
    verifier v = {.finished = finished};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(read_vocabulary(&v, err));
    MILL_TRY_GOTO(mill_held_list(finished, &v.held, &v.held_count, err));
    MILL_TRY_GOTO(list_checks(&v, err));
    MILL_TRY_GOTO(mill_parallel_run(threads, v.count + 1, run_task, &v, err));
    MILL_TRY_GOTO(sum_up(&v, samples, err));
    status = v.digest_status;
    if (status != MILL_OK && err != NULL)
        *err = v.digest_error;
cleanup:
    mill_free(v.checks);
    mill_free(v.held);
    return status;
}
