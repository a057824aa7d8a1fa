// barrier_dedup.c: the decisions that need the order of all records: Python's draws, exact and near duplicates. The product is one
// verdict a document, and the list of clusters for the user.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dedup/minhash.h"
#include "pipeline/run.h"

typedef struct judge {
    mill_run_state *run;
    uint64_t count;
    mill_key *content;
    uint32_t *scope;
    int64_t *stars;
    uint64_t *bytes;
    uint64_t *kept_by;
    mill_key *bands;      // band-major: bands[band * count + doc]
    uint8_t *exact;       // 1: exact duplicate
} judge;

static void free_judge(judge *j)
{
    mill_free(j->content);
    mill_free(j->scope);
    mill_free(j->stars);
    mill_free(j->bytes);
    mill_free(j->kept_by);
    mill_free(j->bands);
    mill_free(j->exact);
}

static mill_status make_judge(mill_run_state *run, judge *j, mill_error *err)
{
    uint64_t n = run->doc_count;
    *j = (judge){.run = run, .count = n};
    j->content = mill_alloc_zero(n, sizeof *j->content);
    j->scope = mill_alloc_zero(n, sizeof *j->scope);
    j->stars = mill_alloc_zero(n, sizeof *j->stars);
    j->bytes = mill_alloc_zero(n, sizeof *j->bytes);
    j->kept_by = mill_alloc_zero(n, sizeof *j->kept_by);
    j->exact = mill_alloc_zero(n, sizeof *j->exact);
    j->bands = run->recipe.dedup.near ? mill_alloc_zero(n * run->bands, sizeof *j->bands) : NULL;
    if (j->content == NULL || j->scope == NULL || j->stars == NULL || j->bytes == NULL || j->kept_by == NULL || j->exact == NULL ||
        (run->recipe.dedup.near && j->bands == NULL))
        return mill_fail_nomem(err, "the tables of deduplication");
    for (uint64_t i = 0; i < n; i++) {
        const mill_doc *doc = &run->docs[i];
        j->content[i] = doc->content;
        j->scope[i] = run->recipe.dedup.by_language ? doc->language : 0;
        j->stars[i] = doc->stars;
        j->bytes[i] = doc->bytes;
    }
    return MILL_OK;
}

static mill_status load_sketch(mill_run_state *run, uint64_t unit, mill_view *raw, mill_error *err)
{
    char path[64];
    mill_run_sketch_path(unit, path);
    MILL_TRY(mill_workdir_view(run->dir, path, raw, err));
    uint32_t count = (uint32_t)(run->unit_first[unit + 1] - run->unit_first[unit]), stored = 0;
    size_t wanted = mill_sketch_signature_offset(count) + (run->recipe.dedup.near ? (size_t)count * run->minhash.num_perm * 4 : 0);
    if (raw->bytes == wanted)
        memcpy(&stored, raw->data, sizeof stored);
    if (raw->bytes != wanted || stored != count)
        return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", path);
    return MILL_OK;
}

// Takes verdicts and band keys from the sketches; a document that is represented by another has that one's.
static mill_status load_sketches(mill_run_state *run, judge *j, mill_error *err)
{
    mill_view raw = {0};
    mill_key *keys = mill_alloc((size_t)run->bands * sizeof *keys);
    mill_status status = MILL_OK;
    if (keys == NULL) {
        status = mill_fail_nomem(err, "reading sketches");
        goto cleanup;
    }
    for (uint64_t unit = 0; unit < run->unit_count; unit++) {
        MILL_TRY_GOTO(load_sketch(run, unit, &raw, err));
        uint64_t first = run->unit_first[unit];
        uint32_t count = (uint32_t)(run->unit_first[unit + 1] - first);
        const uint16_t *verdicts = (const uint16_t *)(const void *)(raw.data + 4);
        const uint32_t *signatures = (const uint32_t *)(const void *)(raw.data + mill_sketch_signature_offset(count));
        for (uint32_t i = 0; i < count; i++) {
            run->docs[first + i].verdict = verdicts[i];
            if (j->bands == NULL || run->docs[first + i].represents != first + i)
                continue;
            mill_lsh_band_keys(signatures + (size_t)i * run->minhash.num_perm, run->bands, run->rows, keys);
            for (uint32_t band = 0; band < run->bands; band++)
                j->bands[band * j->count + first + i] = keys[band];
        }
        mill_workdir_unview(run->dir, &raw);
    }
    for (uint64_t i = 0; i < run->doc_count; i++) {
        uint32_t from = run->docs[i].represents;
        run->docs[i].verdict = run->docs[from].verdict;
        for (uint32_t band = 0; j->bands != NULL && band < run->bands; band++)
            j->bands[band * j->count + i] = j->bands[band * j->count + from];
    }
cleanup:
    mill_free(keys);
    mill_workdir_unview(run->dir, &raw);
    return status;
}

// `rng: python`: the guide filters language by language, files sorted by "LANGUAGE_raw.jsonl".
static mill_status draw_python(mill_run_state *run, mill_error *err)
{
    if (run->recipe.rng != MILL_RNG_PYTHON || !run->recipe.filter.enabled)
        return MILL_OK;
    uint64_t *order = NULL, count;
    MILL_TRY(mill_run_order_by_language(run, '_', &order, &count, err));
    mill_mt19937 mt;
    mill_mt19937_seed_python(&mt, run->recipe.python_seed * 1000);
    for (uint64_t i = 0; i < count; i++) {
        mill_doc *doc = &run->docs[order[i]];
        if ((doc->flags & MILL_FLAG_CHAT) != 0) // the guide's filter knows files only
            continue;
        doc->verdict = (uint16_t)mill_filter_draw_python(&run->recipe.filter, &mt, (doc->flags & MILL_FLAG_TEST) != 0, doc->stars);
    }
    mill_free(order);
    return MILL_OK;
}

static mill_status give_keys(void *context, uint32_t band, mill_key *keys, mill_error *err)
{
    (void)err;
    const judge *j = context;
    memcpy(keys, j->bands + band * j->count, j->count * sizeof *keys);
    return MILL_OK;
}

static mill_status find_duplicates(mill_run_state *run, judge *j, mill_error *err)
{
    const mill_dedup_options *options = &run->recipe.dedup;
    const mill_dedup_view view = {j->count, j->content, j->scope, j->stars, j->bytes};
    for (uint64_t i = 0; i < j->count; i++)
        j->kept_by[i] = run->docs[i].verdict == MILL_KEPT ? MILL_DEDUP_NONE : i; // rejected: already out
    mill_instant begin = mill_time_begin();
    if (options->exact)
        MILL_TRY(mill_dedup_exact(&view, j->kept_by, err));
    mill_time_end(run, MILL_TIME_EXACT, begin, 0, 0); // the records were counted when they were grouped
    for (uint64_t i = 0; i < j->count; i++)
        j->exact[i] = run->docs[i].verdict == MILL_KEPT && j->kept_by[i] != MILL_DEDUP_NONE;
    begin = mill_time_begin();
    if (options->near)
        MILL_TRY(mill_dedup_near(&view, run->bands, options->policy, options->survivor, give_keys, j, j->kept_by, err));
    mill_time_end(run, MILL_TIME_DEDUP, begin, mill_run_text_bytes(run), j->count);
    for (uint64_t i = 0; i < j->count; i++) {
        if (run->docs[i].verdict == MILL_KEPT && j->kept_by[i] != MILL_DEDUP_NONE)
            run->docs[i].verdict = j->exact[i] ? MILL_REASON_EXACT : MILL_REASON_NEAR;
    }
    return MILL_OK;
}

// ---- clusters.jsonl.zst ---------------------------------------------------------------------------------------------------------

typedef struct dropped {
    uint64_t survivor, doc;
} dropped;

static int compare_dropped(const void *a, const void *b)
{
    const dropped *x = a, *y = b;
    if (x->survivor != y->survivor)
        return x->survivor < y->survivor ? -1 : 1;
    return x->doc < y->doc ? -1 : x->doc > y->doc;
}

// The record that finally stays: an exact duplicate points to a record that may itself be a near duplicate.
static uint64_t survivor_of(const judge *j, uint64_t doc)
{
    while (j->kept_by[doc] != MILL_DEDUP_NONE && j->kept_by[doc] != doc)
        doc = j->kept_by[doc];
    return doc;
}

static mill_status read_signature(mill_run_state *run, uint64_t doc, mill_view *raw, uint64_t *loaded_unit, uint32_t *out,
                                  mill_error *err)
{
    const mill_doc *d = &run->docs[run->docs[doc].represents];
    if (*loaded_unit != d->unit) {
        *loaded_unit = UINT64_MAX;
        mill_workdir_unview(run->dir, raw);
        MILL_TRY(load_sketch(run, d->unit, raw, err));
        *loaded_unit = d->unit;
    }
    uint32_t count = (uint32_t)(run->unit_first[d->unit + 1] - run->unit_first[d->unit]);
    memcpy(out, raw->data + mill_sketch_signature_offset(count) + (size_t)d->row * run->minhash.num_perm * 4,
           (size_t)run->minhash.num_perm * 4);
    return MILL_OK;
}

static mill_status append_place(mill_run_state *run, uint64_t doc, mill_buf *out, mill_error *err)
{
    const mill_doc *d = &run->docs[doc];
    const char *name = run->inputs[d->input].name;
    MILL_TRY(mill_buf_append_text(out, "{\"file\":", err));
    MILL_TRY(mill_buf_append_json(out, name, strlen(name), err));
    return mill_buf_printf(out, err, ",\"record\":%llu", (unsigned long long)d->record);
}

static mill_status append_cluster(mill_run_state *run, const judge *j, const dropped *list, size_t count,
                                  const uint32_t *similarity, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "{\"kept\":", err));
    MILL_TRY(append_place(run, list[0].survivor, out, err));
    MILL_TRY(mill_buf_append_text(out, "},\"dropped\":[", err));
    for (size_t i = 0; i < count; i++) {
        MILL_TRY(mill_buf_append_text(out, i != 0 ? "," : "", err));
        MILL_TRY(append_place(run, list[i].doc, out, err));
        MILL_TRY(mill_buf_printf(out, err, ",\"kind\":\"%s\",\"similarity\":%u.%04u}", j->exact[list[i].doc] ? "exact" : "near",
                                 similarity[i] / 10000, similarity[i] % 10000));
    }
    return mill_buf_append_text(out, "]}\n", err);
}

// Similarities in the order of the list. Survivors come in the order of their units; sketches are mapped, so that of the others'
// only the signature is read.
static mill_status estimate(mill_run_state *run, const judge *j, const dropped *list, size_t count, uint32_t *similarity,
                            mill_error *err)
{
    mill_view a_raw = {0}, b_raw = {0};
    uint64_t a_unit = UINT64_MAX, b_unit = UINT64_MAX;
    uint32_t perms = run->minhash.num_perm;
    uint32_t *signatures = mill_alloc((size_t)perms * 8);
    mill_status status = MILL_OK;
    if (signatures == NULL) {
        status = mill_fail_nomem(err, "estimating similarities");
        goto cleanup;
    }
    for (size_t i = 0; i < count; i++) {
        similarity[i] = 10000;
        if (!run->recipe.dedup.near || run->docs[list[i].doc].represents == run->docs[list[i].survivor].represents)
            continue;
        if (j->exact[list[i].doc] && mill_key_equal(j->content[list[i].doc], j->content[list[i].survivor]))
            continue;
        MILL_TRY_GOTO(read_signature(run, list[i].survivor, &a_raw, &a_unit, signatures, err));
        MILL_TRY_GOTO(read_signature(run, list[i].doc, &b_raw, &b_unit, signatures + perms, err));
        similarity[i] = mill_minhash_similarity(signatures, signatures + perms, perms);
    }
cleanup:
    mill_free(signatures);
    mill_workdir_unview(run->dir, &a_raw);
    mill_workdir_unview(run->dir, &b_raw);
    return status;
}

static mill_status list_clusters(mill_run_state *run, const judge *j, mill_buf *out, mill_error *err)
{
    size_t count = 0;
    for (uint64_t i = 0; i < j->count; i++)
        count += run->docs[i].verdict == MILL_REASON_EXACT || run->docs[i].verdict == MILL_REASON_NEAR;
    dropped *list = mill_alloc_zero(count, sizeof *list);
    uint32_t *similarity = mill_alloc_zero(count, sizeof *similarity);
    mill_status status = MILL_OK;
    if (list == NULL || similarity == NULL) {
        status = mill_fail_nomem(err, "listing clusters");
        goto cleanup;
    }
    size_t at = 0;
    for (uint64_t i = 0; i < j->count; i++) {
        if (run->docs[i].verdict == MILL_REASON_EXACT || run->docs[i].verdict == MILL_REASON_NEAR)
            list[at++] = (dropped){survivor_of(j, i), i};
    }
    if (count != 0)
        qsort(list, count, sizeof *list, compare_dropped);
    MILL_TRY_GOTO(estimate(run, j, list, count, similarity, err));
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && list[end].survivor == list[i].survivor)
            end++;
        MILL_TRY_GOTO(append_cluster(run, j, list + i, end - i, similarity + i, out, err));
        i = end;
    }
cleanup:
    mill_free(list);
    mill_free(similarity);
    return status;
}

// ---- the unit -------------------------------------------------------------------------------------------------------------------

static mill_status commit(mill_run_state *run, const judge *j, mill_error *err)
{
    mill_buf clusters = {0}, packed = {0}, verdicts = {0};
    mill_unit unit;
    mill_unit_init(&unit, "dedup", 0);
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_buf_reserve(&verdicts, run->doc_count * sizeof run->docs->verdict, err));
    for (uint64_t i = 0; i < run->doc_count; i++)
        MILL_TRY_GOTO(mill_buf_append(&verdicts, &run->docs[i].verdict, sizeof run->docs->verdict, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, MILL_STATE "/stage/verdicts", &verdicts, err));
    if (run->recipe.dedup.exact || run->recipe.dedup.near) {
        MILL_TRY_GOTO(list_clusters(run, j, &clusters, err));
        MILL_TRY_GOTO(mill_shard_zstd(clusters.data, clusters.bytes, run->recipe.shard.zstd_level, false, &packed, err));
        MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, "clusters.jsonl.zst", &packed, err));
    }
    MILL_TRY_GOTO(mill_unit_commit(run->dir, &unit, err));
cleanup:
    if (status != MILL_OK)
        mill_unit_abort(run->dir, &unit);
    mill_buf_free(&verdicts);
    mill_buf_free(&clusters);
    mill_buf_free(&packed);
    return status;
}

static mill_status load_verdicts(mill_run_state *run, mill_error *err)
{
    mill_view raw;
    mill_status status = mill_workdir_view(run->dir, MILL_STATE "/stage/verdicts", &raw, err);
    if (status == MILL_OK && raw.bytes != run->doc_count * sizeof(uint16_t))
        status = mill_fail(err, MILL_VERIFY, "%s/" MILL_STATE "/stage/verdicts is damaged; remove it and run again",
                           run->options->output);
    for (uint64_t i = 0; status == MILL_OK && i < run->doc_count; i++)
        memcpy(&run->docs[i].verdict, raw.data + i * sizeof(uint16_t), sizeof(uint16_t));
    mill_workdir_unview(run->dir, &raw);
    return status;
}

mill_status mill_barrier_dedup(mill_run_state *run, mill_error *err)
{
    if (mill_workdir_done(run->dir, "dedup", 0) != NULL)
        return load_verdicts(run, err);
    mill_run_part(run, "deduplicate", "records", run->doc_count);
    judge j;
    mill_status status = make_judge(run, &j, err);
    if (status == MILL_OK)
        status = load_sketches(run, &j, err);
    if (status == MILL_OK)
        status = draw_python(run, err);
    if (status == MILL_OK)
        status = find_duplicates(run, &j, err);
    if (status == MILL_OK)
        status = commit(run, &j, err);
    free_judge(&j);
    return status;
}
