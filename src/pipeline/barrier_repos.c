// barrier_repos.c: which files make a sequence, and in which order. The rows of the imports pass are sorted
// by repository, beyond memory if they are many (source/spill.h), so that one repository at a time is held; a
// larger one is taken in parts of repo.files files, and a sequence of more than repo.bytes of text ends at a
// file.
#include <stdlib.h>
#include <string.h>

#include "pipeline/repos.h"
#include "source/spill.h"

#define UNIT_DOCS ((uint64_t)1 << 20) // documents of a token unit, at most that of the sequence that fills it

typedef struct stretch { // one sequence while they are found: docs [first, first + count) of the list
    uint64_t least;      // its first document in the order of the inputs
    uint64_t first, count;
    uint8_t framed;
} stretch;

typedef struct grouping {
    mill_run_state *run;
    uint64_t *docs;
    size_t doc_count, doc_capacity;
    stretch *list;
    size_t count, capacity;
    // the rows of one key, one after the other
    mill_buf rows;
    size_t *places;
    size_t row_count, place_capacity;
    mill_repo_file *files;
    uint64_t *file_docs;
    uint32_t *order;
    size_t file_capacity, doc_of_capacity, order_capacity;
    mill_error *err;
} grouping;

// ---- rows of the imports pass

static mill_status add_rows(mill_run_state *run, mill_sorter *sorter, const mill_view *raw, const char *path, mill_error *err)
{
    for (size_t at = 0; at < raw->bytes;) {
        mill_import_row head;
        if (raw->bytes - at < sizeof head)
            return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", path);
        memcpy(&head, raw->data + at, sizeof head);
        const uint64_t bytes = sizeof head + (uint64_t)head.repo_bytes + head.path_bytes + head.name_bytes +
                               head.imports * (uint64_t)sizeof(mill_import);
        if (bytes > raw->bytes - at || head.doc >= run->doc_count)
            return mill_fail(err, MILL_VERIFY, "%s is damaged; remove it and run again", path);
        const mill_sorted row = {.key = XXH3_64bits(raw->data + at + sizeof head, head.repo_bytes),
                                 .sequence = head.doc,
                                 .data = raw->data + at,
                                 .bytes = bytes};
        MILL_TRY(mill_sorter_add(sorter, &row, err));
        at += bytes;
    }
    return MILL_OK;
}

static mill_status sort_rows(mill_run_state *run, mill_sorter *sorter, mill_error *err)
{
    mill_status status = MILL_OK;
    for (uint64_t unit = 0; status == MILL_OK && unit < run->unit_count; unit++) {
        char path[64];
        mill_view raw;
        mill_imports_path(unit, path);
        MILL_TRY(mill_workdir_view(run->dir, path, &raw, err));
        status = add_rows(run, sorter, &raw, path, err);
        mill_workdir_unview(run->dir, &raw);
    }
    return status == MILL_OK ? mill_sorter_sort(sorter, err) : status;
}

// ---- one repository

static mill_import_row head_at(const grouping *g, size_t i)
{
    mill_import_row head;
    memcpy(&head, g->rows.data + g->places[i], sizeof head);
    return head;
}

static mill_status add_sequence(grouping *g, const uint64_t *docs, uint64_t count, bool framed)
{
    MILL_TRY(MILL_GROW(g->list, g->capacity, g->count + 1, g->err));
    MILL_TRY(MILL_GROW(g->docs, g->doc_capacity, g->doc_count + count, g->err));
    stretch *s = &g->list[g->count++];
    *s = (stretch){.least = docs[0], .first = g->doc_count, .count = count, .framed = framed};
    for (uint64_t i = 0; i < count; i++) {
        s->least = docs[i] < s->least ? docs[i] : s->least;
        g->docs[g->doc_count++] = docs[i];
    }
    return MILL_OK;
}

// The first `count` rows, of one repository, in order, cut where the text of a sequence would become too
// long.
static mill_status add_repository(grouping *g, uint32_t count)
{
    const mill_run_state *run = g->run;
    MILL_TRY(MILL_GROW(g->files, g->file_capacity, count, g->err));
    MILL_TRY(MILL_GROW(g->order, g->order_capacity, count, g->err));
    MILL_TRY(MILL_GROW(g->file_docs, g->doc_of_capacity, count, g->err));
    for (uint32_t i = 0; i < count; i++) {
        const mill_import_row head = head_at(g, i);
        const uint8_t *path = g->rows.data + g->places[i] + sizeof head + head.repo_bytes;
        const uint8_t *names = path + head.path_bytes;
        g->files[i] =
            (mill_repo_file){.path = (const char *)path,
                             .path_bytes = head.path_bytes,
                             .import_count = head.imports,
                             .imports = (const mill_import *)(const void *)(names + head.name_bytes),
                             .names = names};
    }
    MILL_TRY(mill_repo_order(g->files, count, g->order, g->err));
    uint64_t bytes = 0;
    uint32_t begin = 0;
    for (uint32_t i = 0; i < count; i++)
        g->file_docs[i] = head_at(g, g->order[i]).doc;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t more = run->docs[g->file_docs[i]].bytes;
        if (i != begin && bytes + more > run->recipe.repo_bytes) {
            MILL_TRY(add_sequence(g, g->file_docs + begin, i - begin, true));
            begin = i;
            bytes = 0;
        }
        bytes += more;
    }
    return add_sequence(g, g->file_docs + begin, count - begin, true);
}

static int compare_names(const grouping *g, size_t a, size_t b)
{
    const mill_import_row x = head_at(g, a), y = head_at(g, b);
    const uint32_t n = x.repo_bytes < y.repo_bytes ? x.repo_bytes : y.repo_bytes;
    const int order =
        memcmp(g->rows.data + g->places[a] + sizeof x, g->rows.data + g->places[b] + sizeof y, n);
    return order != 0 ? order : (x.repo_bytes > y.repo_bytes) - (x.repo_bytes < y.repo_bytes);
}

// The rows of one key, in the order of their documents: of one repository, unless two names have the same
// hash. Then the rows of the first name are taken, and those of the others wait for the next round.
static mill_status end_key(grouping *g)
{
    while (g->row_count != 0) {
        size_t same = 0, other = 0;
        size_t *rest = NULL;
        for (size_t i = 1; i < g->row_count && rest == NULL; i++) {
            if (compare_names(g, 0, i) != 0) {
                rest = mill_alloc_zero(g->row_count, sizeof *rest);
                if (rest == NULL)
                    return mill_fail_nomem(g->err, "grouping files by repository");
            }
        }
        if (rest == NULL) {
            same = g->row_count;
        } else {
            size_t kept = 1;
            for (size_t i = 1; i < g->row_count; i++) {
                if (compare_names(g, 0, i) != 0)
                    rest[other++] = g->places[i];
                else
                    g->places[kept++] = g->places[i];
            }
            same = kept;
        }
        mill_status status = add_repository(g, (uint32_t)same);
        if (other != 0)
            memcpy(g->places, rest, other * sizeof *rest);
        g->row_count = other;
        mill_free(rest);
        MILL_TRY(status);
    }
    mill_buf_clear(&g->rows);
    return MILL_OK;
}

// Imports are read where they lie, so rows are aligned to them.
static mill_status keep_row(grouping *g, const mill_sorted *row)
{
    mill_import_row head;
    memcpy(&head, row->data, sizeof head);
    const size_t before = sizeof head + (size_t)head.repo_bytes + head.path_bytes + head.name_bytes;
    const size_t gap = (sizeof(uint32_t) - (g->rows.bytes + before) % sizeof(uint32_t)) % sizeof(uint32_t);
    MILL_TRY(MILL_GROW(g->places, g->place_capacity, g->row_count + 1, g->err));
    MILL_TRY(mill_buf_append(&g->rows, "\0\0\0", gap, g->err));
    g->places[g->row_count++] = g->rows.bytes;
    return mill_buf_append(&g->rows, row->data, row->bytes, g->err);
}

static mill_status group_rows(grouping *g, mill_sorter *sorter)
{
    uint64_t key = 0;
    for (;;) {
        mill_sorted row;
        bool end;
        MILL_TRY(mill_sorter_next(sorter, &row, &end, g->err));
        // A part is taken as soon as it is full: no more rows than that are held, whatever a repository has.
        // Rows of two names in one key can only make parts smaller, the same ones in every run.
        if (end || (g->row_count != 0 && (row.key != key || g->row_count == g->run->recipe.repo_files)))
            MILL_TRY(end_key(g));
        if (end)
            return MILL_OK;
        key = row.key;
        MILL_TRY(keep_row(g, &row));
    }
}

// ---- all

static int compare_stretches(const void *a, const void *b)
{
    const stretch *x = a, *y = b;
    return (x->least > y->least) - (x->least < y->least);
}

// Documents without a repository, each by itself.
static mill_status add_others(grouping *g)
{
    const mill_run_state *run = g->run;
    uint8_t *taken = mill_alloc_zero(run->doc_count, 1);
    if (taken == NULL)
        return mill_fail_nomem(g->err, "grouping files by repository");
    for (size_t i = 0; i < g->doc_count; i++)
        taken[g->docs[i]] = 1;
    mill_status status = MILL_OK;
    for (uint64_t i = 0; status == MILL_OK && i < run->doc_count; i++)
        if (run->docs[i].verdict == MILL_KEPT && !taken[i])
            status = add_sequence(g, &i, 1, false);
    mill_free(taken);
    return status;
}

// Token units: whole sequences of about a batch of text.
static mill_status cut_units(const mill_run_state *run, mill_repos *repos, mill_error *err)
{
    size_t capacity = 0;
    uint64_t bytes = 0, docs = 0;
    MILL_TRY(MILL_GROW(repos->unit_first, capacity, 1, err));
    repos->unit_first[0] = 0;
    for (uint64_t i = 0; i < repos->count; i++) {
        for (uint64_t k = repos->first[i]; k < repos->first[i + 1]; k++, docs++)
            bytes += run->docs[repos->docs[k]].bytes;
        if (bytes < run->batch_bytes && docs < UNIT_DOCS && i + 1 < repos->count)
            continue;
        MILL_TRY(MILL_GROW(repos->unit_first, capacity, repos->units + 2, err));
        repos->unit_first[++repos->units] = i + 1;
        bytes = docs = 0;
    }
    return MILL_OK;
}

static mill_status take_over(grouping *g, mill_repos *repos)
{
    const mill_run_state *run = g->run;
    if (g->count != 0)
        qsort(g->list, g->count, sizeof *g->list, compare_stretches);
    repos->docs = mill_alloc_zero(g->doc_count + 1, sizeof *repos->docs);
    repos->first = mill_alloc_zero(g->count + 1, sizeof *repos->first);
    repos->framed = mill_alloc_zero(g->count + 1, sizeof *repos->framed);
    repos->of = mill_alloc_zero(run->doc_count + 1, sizeof *repos->of);
    if (repos->docs == NULL || repos->first == NULL || repos->framed == NULL || repos->of == NULL)
        return mill_fail_nomem(g->err, "the sequences of repositories");
    memset(repos->of, 0xff, run->doc_count * sizeof *repos->of);
    for (size_t i = 0; i < g->count; i++) {
        const stretch *s = &g->list[i];
        repos->first[i] = repos->doc_count;
        repos->framed[i] = s->framed;
        for (uint64_t k = 0; k < s->count; k++) {
            repos->of[g->docs[s->first + k]] = (uint32_t)i;
            repos->docs[repos->doc_count++] = g->docs[s->first + k];
        }
    }
    repos->count = g->count;
    repos->first[g->count] = repos->doc_count;
    return cut_units(run, repos, g->err);
}

mill_rows_place mill_rows_of(const mill_run_state *run, uint64_t doc)
{
    const mill_repos *repos = run->repos;
    if (repos == NULL)
        return (mill_rows_place){run->docs[doc].unit, run->docs[doc].row, run->docs[doc].row + 1};
    const uint64_t sequence = repos->of[doc];
    uint64_t low = 0, high = repos->units;
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        if (repos->unit_first[middle] <= sequence)
            low = middle;
        else
            high = middle;
    }
    const uint64_t base = repos->first[repos->unit_first[low]];
    return (mill_rows_place){low, (uint32_t)(repos->first[sequence] - base),
                             (uint32_t)(repos->first[sequence + 1] - base)};
}

size_t mill_repos_sort_bytes(const mill_run_state *run)
{
    const uint64_t share = run->memory_bytes / 8, least = (uint64_t)1 << 20, most = (uint64_t)256 << 20;
    return (size_t)(share < least ? least : share > most ? most : share);
}

void mill_repos_free(mill_repos *repos)
{
    if (repos == NULL)
        return;
    mill_free(repos->docs);
    mill_free(repos->first);
    mill_free(repos->framed);
    mill_free(repos->of);
    mill_free(repos->unit_first);
    mill_free(repos);
}

static void free_grouping(grouping *g)
{
    mill_buf_free(&g->rows);
    void *owned[] = {g->docs, g->list, g->places, g->files, g->file_docs, g->order};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        mill_free(owned[i]);
}

mill_status mill_barrier_repos(mill_run_state *run, mill_error *err)
{
    if (!run->recipe.encode.repo.sequence)
        return MILL_OK;
    grouping g = {.run = run, .err = err};
    mill_sorter *sorter = NULL;
    mill_status status = MILL_OK;
    const mill_spill_place place = {mill_workdir_handle(run->dir), MILL_STATE "/tmp/imports-", mill_repos_sort_bytes(run)};
    mill_run_part(run, "order repositories", "records", run->doc_count);
    run->repos = mill_alloc_zero(1, sizeof *run->repos);
    if (run->repos == NULL)
        return mill_fail_nomem(err, "the sequences of repositories");
    MILL_TRY_GOTO(mill_sorter_open(run->fs, &place, &sorter, err));
    MILL_TRY_GOTO(sort_rows(run, sorter, err));
    MILL_TRY_GOTO(group_rows(&g, sorter));
    MILL_TRY_GOTO(add_others(&g));
    MILL_TRY_GOTO(take_over(&g, run->repos));
cleanup:
    mill_sorter_close(sorter);
    free_grouping(&g);
    return status;
}
