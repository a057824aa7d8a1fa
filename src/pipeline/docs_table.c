// docs_table.c: tables of mill_doc on disk, and orders over them.
#include <stdlib.h>
#include <string.h>

#include "pipeline/merged.h"
#include "pipeline/run.h"

_Static_assert(sizeof(mill_doc) == 88, "rows are written as they lie in memory: no padding may hide in them");

mill_status mill_docs_encode(const mill_language_table *languages, const mill_doc *docs, uint32_t count, mill_buf *out,
                             mill_error *err)
{
    uint32_t ids = mill_language_count(languages), used = 0;
    uint16_t *places = mill_alloc(ids * sizeof *places);
    if (places == NULL)
        return mill_fail_nomem(err, "a table of documents");
    memset(places, 0xff, ids * sizeof *places);
    mill_buf_clear(out);
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_buf_append(out, &used, sizeof used, err));
    for (uint32_t i = 0; i < count; i++) {
        mill_language_id id = docs[i].language;
        if (places[id] != UINT16_MAX)
            continue;
        places[id] = (uint16_t)used++;
        const char *name = mill_language_get(languages, id)->name;
        uint8_t length = (uint8_t)strlen(name);
        MILL_TRY_GOTO(mill_buf_append(out, &length, 1, err));
        MILL_TRY_GOTO(mill_buf_append(out, name, length, err));
    }
    memcpy(out->data, &used, sizeof used);
    for (uint32_t i = 0; i < count; i++) {
        mill_doc row = docs[i];
        row.language = places[docs[i].language];
        MILL_TRY_GOTO(mill_buf_append(out, &row, sizeof row, err));
    }
cleanup:
    mill_free(places);
    return status;
}

mill_status mill_docs_decode(const uint8_t *data, size_t bytes, const char *name, mill_language_table *languages, mill_doc **docs,
                             size_t *capacity, uint64_t *count, mill_error *err)
{
    mill_language_id ids[4200];
    uint32_t names = 0;
    size_t at = sizeof names;
    if (bytes >= sizeof names)
        memcpy(&names, data, sizeof names);
    if (bytes < sizeof names || names > sizeof ids / sizeof ids[0])
        return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", name);
    for (uint32_t i = 0; i < names; i++) {
        if (at >= bytes || data[at] > bytes - at - 1)
            return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", name);
        ids[i] = mill_language_intern(languages, (const char *)data + at + 1, data[at]);
        at += 1u + data[at];
    }
    MILL_TRY(mill_language_check(languages, err));
    size_t rows = (bytes - at) / sizeof **docs;
    MILL_TRY(MILL_GROW(*docs, *capacity, *count + rows, err));
    for (size_t i = 0; i < rows; i++) {
        mill_doc *doc = *docs + *count + i;
        memcpy(doc, data + at + i * sizeof *doc, sizeof *doc);
        if (doc->language >= names)
            return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", name);
        doc->language = ids[doc->language];
    }
    *count += rows;
    return MILL_OK;
}

uint64_t mill_token_doc(const mill_run_state *run, uint64_t unit, uint32_t record)
{
    const uint64_t *docs = run->tokens[unit].docs;
    return docs != NULL ? docs[record] : run->unit_first[unit] + record;
}

bool mill_run_has_chats(const mill_run_state *run)
{
    for (uint64_t i = 0; i < run->doc_count; i++)
        if (run->docs[i].verdict == MILL_KEPT && (run->docs[i].flags & MILL_FLAG_CHAT) != 0)
            return true;
    return false;
}

bool mill_run_has_mask(const mill_run_state *run)
{
    if (run->merged != NULL)
        return run->merged->has_mask;
    if (run->recipe.pad && run->recipe.loss_mask != MILL_MASK_NEVER && run->stages != MILL_STAGES_ENCODE)
        return true; // what fills samples up is not to be learned
    return run->recipe.loss_mask == MILL_MASK_ALWAYS || (run->recipe.loss_mask == MILL_MASK_AUTO && mill_run_has_chats(run));
}

int mill_language_order(const mill_run_state *run, mill_language_id a, mill_language_id b, char suffix)
{
    if (a == b)
        return 0;
    const char *left = mill_language_get(run->languages, a)->name, *right = mill_language_get(run->languages, b)->name;
    size_t i = 0;
    while (left[i] != '\0' && left[i] == right[i])
        i++;
    unsigned char c = (unsigned char)(left[i] != '\0' ? left[i] : suffix);
    unsigned char d = (unsigned char)(right[i] != '\0' ? right[i] : suffix);
    return c < d ? -1 : c > d;
}

typedef struct language_rank {
    const mill_run_state *run;
    mill_language_id id;
    char suffix;
} language_rank;

static int compare_ranks(const void *a, const void *b)
{
    const language_rank *left = a, *right = b;
    return mill_language_order(left->run, left->id, right->id, left->suffix);
}

// Counting sort by the rank of the language keeps the global order inside each.
mill_status mill_run_order_by_language(const mill_run_state *run, char suffix, uint64_t **order, uint64_t *count, mill_error *err)
{
    uint32_t ids = mill_language_count(run->languages);
    language_rank *ranks = mill_alloc_zero(ids, sizeof *ranks);
    uint32_t *place = mill_alloc_zero(ids, sizeof *place);
    uint64_t *begin = mill_alloc_zero((size_t)ids + 1, sizeof *begin);
    uint64_t *out = mill_alloc_zero(run->doc_count, sizeof *out);
    mill_status status = MILL_OK;
    if (ranks == NULL || place == NULL || begin == NULL || out == NULL) {
        status = mill_fail_nomem(err, "ordering documents");
        mill_free(out);
        goto cleanup;
    }
    for (uint32_t i = 0; i < ids; i++)
        ranks[i] = (language_rank){run, (mill_language_id)i, suffix};
    qsort(ranks, ids, sizeof *ranks, compare_ranks);
    for (uint32_t i = 0; i < ids; i++)
        place[ranks[i].id] = i;
    for (uint64_t i = 0; i < run->doc_count; i++)
        begin[place[run->docs[i].language] + 1] += run->docs[i].verdict == MILL_KEPT;
    for (uint32_t i = 0; i < ids; i++)
        begin[i + 1] += begin[i];
    *count = begin[ids];
    for (uint64_t i = 0; i < run->doc_count; i++) {
        if (run->docs[i].verdict == MILL_KEPT)
            out[begin[place[run->docs[i].language]]++] = i;
    }
    *order = out;
cleanup:
    mill_free(ranks);
    mill_free(place);
    mill_free(begin);
    return status;
}
