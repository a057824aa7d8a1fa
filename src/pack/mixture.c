// mixture.c: which documents fill the shares of a recipe, and how often.
//
// Documents are sorted into cells by counting; a cell takes whole passes while they fit, which needs no order, and at most one
// pass in part: only for that one the draws are made and sorted. So a document is ranked at most once, whatever epochs_max is.
#include "pack/mixture.h"

#include <stdio.h>

#include "pack/mixture_internal.h"
#include "record/batch.h"

typedef struct ranked {
    uint64_t draw;
    uint64_t index; // of the document
} ranked;

typedef struct selection { // the work of one call
    const mill_mixture_doc *docs;
    uint64_t count;
    const mill_mixture_options *options;
    mill_mixture_cells cells;
    uint16_t *cell_of;                             // document -> cell
    uint64_t begin[MILL_MIXTURE_CELLS_MAX + 2];    // cell c is members[begin[c] .. begin[c + 1]); the last one is "outside"
    uint64_t *members;                             // document indices, ascending in each cell
    ranked *order, *scratch;                       // room for the largest cell
    uint32_t *epochs;
} selection;

// ---- documents into cells ----


#define CACHE_SLOTS 256
typedef struct language_cache { // many documents share few name pointers; only saves time
    const char *name[CACHE_SLOTS];
    size_t share[CACHE_SLOTS];
} language_cache;

static size_t language_share(const mill_mixture_table *table, const char *name, language_cache *cache)
{
    size_t slot = ((uintptr_t)name >> 3 ^ (uintptr_t)name >> 11) % CACHE_SLOTS;
    if (name == NULL || cache->name[slot] != name) {
        cache->share[slot] = mill_mixture_find(table, name);
        cache->name[slot] = name;
    }
    return cache->share[slot];
}

static uint16_t cell_of(const mill_mixture_cells *cells, const mill_mixture_doc *doc, language_cache *cache)
{
    static const char *const tiers[] = {"high", "mid", "low"};
    size_t cell = 0;
    for (size_t t = 0; t < MILL_MIXTURE_TABLES; t++) {
        const mill_mixture_table *table = &cells->tables[t];
        if (table->count == 0)
            continue;
        size_t share;
        if (t == 0)
            share = language_share(table, doc->language, cache);
        else if (t == 1)
            share = mill_mixture_find(table, doc->type < MILL_TYPE_COUNT ? mill_data_type_names[doc->type] : NULL);
        else
            share = mill_mixture_find(table, doc->tier < 3 ? tiers[doc->tier] : NULL);
        if (share == table->count)
            return MILL_MIXTURE_OUTSIDE;
        cell = cell * table->count + share;
    }
    return (uint16_t)cell;
}

static mill_status distribute(selection *s, mill_error *err)
{
    size_t cell_count = s->cells.count;
    uint64_t sizes[MILL_MIXTURE_CELLS_MAX + 1] = {0}, largest = 0;
    language_cache cache = {0};
    s->cell_of = mill_realloc_array(NULL, s->count + 1, sizeof *s->cell_of);
    s->members = mill_realloc_array(NULL, s->count + 1, sizeof *s->members);
    if (s->cell_of == NULL || s->members == NULL)
        return mill_fail_nomem(err, "selecting the mixture");
    for (uint64_t i = 0; i < s->count; i++) {
        uint16_t cell = cell_of(&s->cells, &s->docs[i], &cache);
        s->cell_of[i] = cell == MILL_MIXTURE_OUTSIDE ? (uint16_t)cell_count : cell;
        sizes[s->cell_of[i]]++;
    }
    uint64_t begin = 0;
    for (size_t c = 0; c <= cell_count; c++) {
        s->begin[c] = begin;
        begin += sizes[c];
        largest = c < cell_count && sizes[c] > largest ? sizes[c] : largest;
        sizes[c] = s->begin[c];
    }
    s->begin[cell_count + 1] = begin;
    for (uint64_t i = 0; i < s->count; i++)
        s->members[sizes[s->cell_of[i]]++] = i;
    s->order = mill_realloc_array(NULL, largest + 1, sizeof *s->order);
    s->scratch = mill_realloc_array(NULL, largest + 1, sizeof *s->scratch);
    return s->order == NULL || s->scratch == NULL ? mill_fail_nomem(err, "selecting the mixture") : MILL_OK;
}

// ---- order of a pass ----

static bool comes_before(const selection *s, ranked a, ranked b)
{
    if (a.draw != b.draw)
        return a.draw < b.draw;
    int keys = mill_key_compare(s->docs[a.index].key, s->docs[b.index].key);
    return keys != 0 ? keys < 0 : a.index < b.index;
}

// Bottom-up merge sort of order[0..count): n log n whatever the keys are.
static void sort_ranked(selection *s, uint64_t count)
{
    for (uint64_t width = 1; width < count; width *= 2) {
        ranked *in = s->order, *out = s->scratch;
        for (uint64_t low = 0; low < count; low += 2 * width) {
            uint64_t middle = low + width < count ? low + width : count;
            uint64_t high = middle + width < count ? middle + width : count;
            uint64_t a = low, b = middle;
            for (uint64_t at = low; at < high; at++) {
                bool first = a < middle && (b >= high || !comes_before(s, in[b], in[a]));
                out[at] = first ? in[a++] : in[b++];
            }
        }
        s->order = out;
        s->scratch = in;
    }
}

// ---- one cell ----

// Takes documents in the order of pass `epoch` until `missing` tokens are there; returns the tokens taken.
static uint64_t take_part(selection *s, size_t cell, uint64_t epoch, uint64_t missing)
{
    const uint64_t *members = s->members + s->begin[cell];
    uint64_t count = s->begin[cell + 1] - s->begin[cell], taken = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t draw = mill_draw(s->options->seed, MILL_DRAW_MIXTURE, s->docs[members[i]].key, epoch);
        s->order[i] = (ranked){draw, members[i]};
    }
    sort_ranked(s, count);
    for (uint64_t i = 0; i < count && taken < missing; i++) {
        uint64_t tokens = s->docs[s->order[i].index].tokens, room = missing - taken;
        bool crosses = tokens > room;
        if (crosses && tokens - room >= room)
            break;
        s->epochs[s->order[i].index]++;
        if (__builtin_add_overflow(taken, tokens, &taken))
            taken = UINT64_MAX; // for the report only
        if (crosses)
            break;
    }
    return taken;
}

static void select_cell(selection *s, size_t cell, mill_share_report *report)
{
    const uint64_t *members = s->members + s->begin[cell];
    uint64_t count = s->begin[cell + 1] - s->begin[cell];
    mill_u128 available = 0;
    for (uint64_t i = 0; i < count; i++)
        available += s->docs[members[i]].tokens;
    report->available_tokens = available > UINT64_MAX ? UINT64_MAX : (uint64_t)available;
    report->wanted_tokens = s->cells.wanted[cell];
    if (report->wanted_tokens == 0 || count == 0)
        return;
    // Passes that fit as a whole. A cell of empty documents is taken once.
    uint64_t fitting = available == 0 ? 1 : (uint64_t)(report->wanted_tokens / available);
    uint64_t passes = fitting < s->options->epochs_max ? fitting : s->options->epochs_max;
    for (uint64_t i = 0; i < count && passes != 0; i++)
        s->epochs[members[i]] = (uint32_t)passes;
    report->selected_tokens = passes * (uint64_t)available;
    uint64_t missing = report->wanted_tokens - report->selected_tokens;
    if (passes < s->options->epochs_max && missing != 0 && available != 0) {
        uint64_t taken = take_part(s, cell, passes, missing);
        if (__builtin_add_overflow(report->selected_tokens, taken, &report->selected_tokens))
            report->selected_tokens = UINT64_MAX;
    }
    for (uint64_t i = 0; i < count; i++)
        report->documents += s->epochs[members[i]] != 0;
}

static void report_outside(const selection *s, mill_share_report *report)
{
    snprintf(report->name, sizeof report->name, "outside");
    for (uint64_t i = s->begin[s->cells.count]; i < s->count; i++) {
        uint64_t tokens = s->docs[s->members[i]].tokens;
        if (__builtin_add_overflow(report->available_tokens, tokens, &report->available_tokens))
            report->available_tokens = UINT64_MAX;
    }
}

static mill_status select_all(selection *s, mill_share_report **reports, size_t *report_count, mill_error *err)
{
    MILL_TRY(mill_mixture_cells_init(&s->cells, s->options, err));
    if (s->options->epochs_max == 0)
        return mill_fail(err, MILL_RECIPE, "mixture.epochs_max is 0: a document must be allowed at least once");
    MILL_TRY(distribute(s, err));
    *reports = mill_alloc_zero(s->cells.count + 1, sizeof **reports);
    if (*reports == NULL)
        return mill_fail_nomem(err, "reporting the mixture");
    for (size_t c = 0; c < s->cells.count; c++) {
        mill_mixture_cell_name(&s->cells, c, (*reports)[c].name, sizeof (*reports)[c].name);
        select_cell(s, c, &(*reports)[c]);
    }
    *report_count = s->cells.count;
    if (s->begin[s->cells.count] != s->count)
        report_outside(s, &(*reports)[(*report_count)++]);
    return MILL_OK;
}

mill_status mill_mixture_select(const mill_mixture_doc *docs, uint64_t count, const mill_mixture_options *options,
                                uint32_t *epochs, mill_share_report **reports, size_t *report_count, mill_error *err)
{
    *reports = NULL;
    *report_count = 0;
    bool everything = !options->enabled || options->target_tokens == 0;
    for (uint64_t i = 0; i < count; i++)
        epochs[i] = everything;
    if (everything)
        return MILL_OK;
    // On the heap: the tables of cells are too large for a thread's stack.
    selection *s = mill_alloc_zero(1, sizeof *s);
    if (s == NULL)
        return mill_fail_nomem(err, "selecting the mixture");
    s->docs = docs;
    s->count = count;
    s->options = options;
    s->epochs = epochs;
    mill_status status = select_all(s, reports, report_count, err);
    mill_free(s->cell_of);
    mill_free(s->members);
    mill_free(s->order);
    mill_free(s->scratch);
    mill_free(s);
    return status;
}
