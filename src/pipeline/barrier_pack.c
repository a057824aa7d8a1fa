// barrier_pack.c: mixture, order and packing. Works on lengths and keys; says which row goes into which sample.
#include <stdlib.h>
#include <string.h>

#include "pipeline/repos.h"

// An item is what is chosen and ordered as a whole: a document, or a sequence of files of a repository, named by its first document
// in both cases. Tables of items have a place for every document; only those of first documents are used.
typedef struct turn { // one item (or one more epoch of it) in the output order
    uint64_t rank;
    uint64_t doc;
} turn;

// Tokens and rows of each item, from the token units; rows of an item stand together.
typedef struct doc_rows {
    uint64_t tokens;
    uint32_t unit, first, count; // rows of that token unit
} doc_rows;

// The document that names the item of this one.
static uint64_t item_of(const mill_run_state *run, uint64_t doc)
{
    const mill_repos *repos = run->repos;
    return repos == NULL || repos->of[doc] == UINT32_MAX ? doc : repos->docs[repos->first[repos->of[doc]]];
}

static mill_status collect_rows(mill_run_state *run, doc_rows **out, mill_error *err)
{
    doc_rows *rows = mill_alloc_zero(run->doc_count, sizeof *rows);
    if (rows == NULL)
        return mill_fail_nomem(err, "the rows of documents");
    for (uint64_t unit = 0; unit < run->token_units; unit++) {
        const mill_token_unit *tokens = mill_run_tokens(run, unit);
        for (uint32_t i = 0; i < tokens->row_count; i++) {
            const mill_row *row = &tokens->rows[i];
            MILL_ASSERT(row->record < tokens->records);
            doc_rows *d = &rows[item_of(run, mill_token_doc(run, unit, row->record))];
            if (d->count == 0) {
                d->unit = (uint32_t)unit;
                d->first = i;
            }
            MILL_ASSERT(d->first + d->count == i);
            d->count++;
            d->tokens += row->tokens;
        }
    }
    *out = rows;
    return MILL_OK;
}

static uint8_t tier_of(const mill_run_state *run, int64_t stars)
{
    if (stars > run->recipe.filter.stars_high)
        return 0;
    return stars > run->recipe.filter.stars_mid ? 1 : 2;
}

// A share that the input cannot fill is told, never re-spread.
static void warn_of_short_shares(const mill_run_state *run)
{
    size_t wanted = 0, filled = 0;
    uint64_t tokens = 0;
    for (size_t i = 0; i < run->share_count; i++) {
        const mill_share_report *share = &run->shares[i];
        wanted += share->wanted_tokens != 0;
        filled += share->wanted_tokens != 0 && share->available_tokens >= share->wanted_tokens;
        tokens += share->selected_tokens;
    }
    if (filled < wanted)
        mill_log_line(
            &run->log, MILL_LOG_WARNING,
            "mixture: the input fills %zu of %zu shares (%llu of %llu tokens); metrics.json lists them. --set mixture.types={} or "
            "mixture.tiers={} stops balancing by these, mixture.epochs allows repeats",
            filled, wanted, (unsigned long long)tokens, (unsigned long long)run->recipe.mixture.target_tokens);
}

// The language of an item: of a sequence the one that most of its text is in, the first of equals.
static mill_language_id language_of(const mill_run_state *run, uint64_t doc)
{
    const mill_repos *repos = run->repos;
    mill_language_id best = run->docs[doc].language;
    if (repos == NULL || repos->of[doc] == UINT32_MAX)
        return best;
    const uint64_t first = repos->first[repos->of[doc]], end = repos->first[repos->of[doc] + 1];
    uint64_t most = 0;
    mill_language_id seen[16];
    size_t seen_count = 0;
    for (uint64_t i = first; i < end && seen_count < 16; i++) { // more languages than that have no part in the majority
        const mill_language_id language = run->docs[repos->docs[i]].language;
        size_t k = 0;
        while (k < seen_count && seen[k] != language)
            k++;
        if (k < seen_count)
            continue;
        seen[seen_count++] = language;
        uint64_t bytes = 0;
        for (uint64_t j = i; j < end; j++)
            bytes += run->docs[repos->docs[j]].language == language ? run->docs[repos->docs[j]].bytes : 0;
        if (bytes > most) {
            most = bytes;
            best = language;
        }
    }
    return best;
}

// What was decided for an item holds for all its documents.
static void follow_items(mill_run_state *run)
{
    for (uint64_t i = 0; run->repos != NULL && i < run->repos->doc_count; i++) {
        mill_doc *doc = &run->docs[run->repos->docs[i]];
        const mill_doc *leader = &run->docs[item_of(run, run->repos->docs[i])];
        doc->epochs = leader->epochs;
        doc->verdict = leader->verdict;
    }
}

static mill_status select_documents(mill_run_state *run, const doc_rows *rows, mill_error *err)
{
    if (!run->recipe.mixture.enabled) {
        for (uint64_t i = 0; i < run->doc_count; i++)
            run->docs[i].epochs = run->docs[i].verdict == MILL_KEPT;
        return MILL_OK;
    }
    uint64_t count = 0;
    mill_mixture_doc *candidates = mill_alloc_zero(run->doc_count, sizeof *candidates);
    uint64_t *places = mill_alloc_zero(run->doc_count, sizeof *places);
    uint32_t *epochs = mill_alloc_zero(run->doc_count, sizeof *epochs);
    mill_status status = MILL_OK;
    if (candidates == NULL || places == NULL || epochs == NULL) {
        status = mill_fail_nomem(err, "choosing documents");
        goto cleanup;
    }
    for (uint64_t i = 0; i < run->doc_count; i++) {
        const mill_doc *doc = &run->docs[i];
        if (doc->verdict != MILL_KEPT || item_of(run, i) != i)
            continue;
        places[count] = i;
        candidates[count++] = (mill_mixture_doc){.key = doc->key,
                                                 .tokens = rows[i].tokens,
                                                 .language = mill_language_get(run->languages, language_of(run, i))->name,
                                                 .type = doc->type,
                                                 .tier = tier_of(run, doc->stars)};
    }
    MILL_TRY_GOTO(mill_mixture_select(candidates, count, &run->recipe.mixture, epochs, &run->shares, &run->share_count, err));
    for (uint64_t i = 0; i < count; i++) {
        mill_doc *doc = &run->docs[places[i]];
        doc->epochs = (uint8_t)(epochs[i] < 255 ? epochs[i] : 255);
        if (epochs[i] == 0)
            doc->verdict = MILL_REASON_UNSELECTED;
    }
    follow_items(run);
    warn_of_short_shares(run);
cleanup:
    mill_free(candidates);
    mill_free(places);
    mill_free(epochs);
    return status;
}

static int compare_turns(const void *a, const void *b)
{
    const turn *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->doc < y->doc ? -1 : x->doc > y->doc;
}

static mill_status list_turns(mill_run_state *run, turn **out, uint64_t *out_count, mill_error *err)
{
    uint64_t count = 0, at = 0;
    for (uint64_t i = 0; i < run->doc_count; i++)
        count += item_of(run, i) == i ? run->docs[i].epochs : 0;
    turn *turns = mill_alloc_zero(count, sizeof *turns);
    if (turns == NULL)
        return mill_fail_nomem(err, "ordering documents");
    if (run->recipe.order == MILL_ORDER_LANGUAGE) {
        uint64_t *order = NULL, kept;
        mill_status status = mill_run_order_by_language(run, '.', &order, &kept, err);
        if (status != MILL_OK) {
            mill_free(turns);
            return status;
        }
        for (uint64_t i = 0; i < kept; i++) {
            for (uint8_t epoch = 0; item_of(run, order[i]) == order[i] && epoch < run->docs[order[i]].epochs; epoch++)
                turns[at++] = (turn){.doc = order[i]};
        }
        mill_free(order);
    } else {
        bool shuffle = run->recipe.order == MILL_ORDER_SHUFFLE;
        for (uint64_t i = 0; i < run->doc_count; i++) {
            for (uint8_t epoch = 0; item_of(run, i) == i && epoch < run->docs[i].epochs; epoch++)
                turns[at++] = (turn){shuffle ? mill_draw(run->recipe.seed, MILL_DRAW_ORDER, run->docs[i].key, epoch) : i, i};
        }
        if (count != 0)
            qsort(turns, count, sizeof *turns, compare_turns);
    }
    MILL_ASSERT(at == count);
    *out = turns;
    *out_count = count;
    return MILL_OK;
}

static mill_status pack_turns(mill_run_state *run, const doc_rows *rows, const turn *turns, uint64_t count, mill_error *err)
{
    uint64_t total = 0, at = 0;
    for (uint64_t i = 0; i < count; i++)
        total += rows[turns[i].doc].count;
    uint32_t *lengths = mill_alloc_zero(total, sizeof *lengths);
    run->packed = mill_alloc_zero(total, sizeof *run->packed);
    mill_status status = MILL_OK;
    if (lengths == NULL || run->packed == NULL) {
        status = mill_fail_nomem(err, "packing");
        goto cleanup;
    }
    for (uint64_t i = 0; i < count; i++) {
        const doc_rows *d = &rows[turns[i].doc];
        uint32_t unit = d->unit;
        const mill_token_unit *tokens = mill_run_tokens(run, unit);
        for (uint32_t k = 0; k < d->count; k++) {
            run->packed[at] = (mill_packed_row){unit, d->first + k, turns[i].doc};
            lengths[at++] = tokens->rows[d->first + k].tokens;
        }
    }
    run->packed_count = total;
    MILL_TRY_GOTO(mill_pack_rows(lengths, total, &run->recipe.pack, &run->packing, err));
cleanup:
    mill_free(lengths);
    return status;
}

mill_status mill_barrier_pack(mill_run_state *run, mill_error *err)
{
    doc_rows *rows = NULL;
    turn *turns = NULL;
    uint64_t count = 0;
    mill_run_part(run, "pack", "records", run->doc_count);
    MILL_TRY(mill_run_map_tokens(run, err));
    mill_instant begin = mill_time_begin();
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(collect_rows(run, &rows, err));
    MILL_TRY_GOTO(select_documents(run, rows, err));
    MILL_TRY_GOTO(list_turns(run, &turns, &count, err));
    if (run->stages != MILL_STAGES_ENCODE)
        MILL_TRY_GOTO(pack_turns(run, rows, turns, count, err));
    mill_time_end(run, MILL_TIME_PACK, begin, mill_run_kept_bytes(run), count);
cleanup:
    mill_free(rows);
    mill_free(turns);
    return status;
}
