// shard_plan.c: the sequences that containers are written from, and where shards begin.
#include "pipeline/shard_plan.h"

#include <stdio.h>
#include <string.h>

#define SHARD_TOKENS_MAX (UINT64_C(1) << 30) // of documents: formats count tokens in 31 bits
#define WINDOW 4096

// ---- which ----

mill_status mill_formats_choose(const char *list, uint32_t *wanted, mill_error *err)
{
    char names[256];
    mill_container_names(", ", names, sizeof names);
    *wanted = 0;
    while (*list != '\0') {
        size_t bytes = strcspn(list, ",");
        int found = mill_container_find(list, bytes);
        if (found < 0)
            return mill_fail(err, MILL_USAGE, "--format %.*s: expected %s, or several of them with commas",
                             (int)(bytes < 31 ? bytes : 31), list, names);
        if (mill_containers[found]->check != NULL)
            MILL_TRY(mill_containers[found]->check(err));
        *wanted |= 1u << found;
        list += bytes + (list[bytes] == ',');
    }
    return *wanted != 0 ? MILL_OK : mill_fail(err, MILL_USAGE, "--format names no container; use one of %s", names);
}

mill_status mill_formats_documents(const mill_string_list *names, uint32_t *documents, mill_error *err)
{
    *documents = 0;
    for (size_t i = 0; names->items[i] != NULL; i++) {
        int found = mill_container_find(names->items[i], strlen(names->items[i]));
        char known[256];
        mill_container_names(", ", known, sizeof known);
        if (found < 0)
            return mill_fail(err, MILL_RECIPE, "recipe key 'shard.documents': there is no container '%.31s'; there are %s",
                             names->items[i], known);
        *documents |= 1u << found;
    }
    return MILL_OK;
}

// ---- sequences ----

static uint32_t last_id(const mill_sequences *s, uint64_t packed)
{
    const mill_packed_row *row = &s->run->packed[packed];
    const mill_token_unit *unit = mill_run_tokens(s->run, row->unit);
    return mill_token_id(unit, unit->rows[row->row].first_token + unit->rows[row->row].tokens - 1);
}

static bool is_open(const mill_sequences *s, uint64_t number)
{
    return s->documents && s->end_id >= 0 && last_id(s, s->first[number + 1] - 1) != s->end_id;
}

uint32_t mill_sequence_rows(const mill_sequences *s, uint64_t number)
{
    if (s->merged != NULL)
        return s->merged->rows[number];
    return (uint32_t)(s->first[number + 1] - s->first[number]) + (mill_sequence_padding(s, number) != 0);
}

mill_part mill_sequence_part(const mill_sequences *s, uint64_t number, uint64_t at)
{
    if (!s->documents)
        return s->run->packing.parts[at];
    const mill_packed_row *row = &s->run->packed[at];
    uint32_t tokens = mill_run_tokens(s->run, row->unit)->rows[row->row].tokens;
    return (mill_part){.row = at, .count = tokens + (at + 1 == s->first[number + 1] && is_open(s, number))};
}

static uint32_t unpadded_length(const mill_sequences *s, uint64_t number)
{
    uint64_t tokens = 0;
    for (uint64_t i = s->first[number]; i < s->first[number + 1]; i++)
        tokens += mill_sequence_part(s, number, i).count;
    MILL_ASSERT(tokens <= UINT32_MAX);
    return (uint32_t)tokens;
}

uint32_t mill_sequence_padding(const mill_sequences *s, uint64_t number)
{
    uint32_t tokens = s->pad_to != 0 ? unpadded_length(s, number) : 0;
    return tokens < s->pad_to ? s->pad_to - tokens : 0;
}

uint32_t mill_sequence_length(const mill_sequences *s, uint64_t number)
{
    if (s->merged != NULL)
        return s->merged->lengths[number];
    uint32_t tokens = unpadded_length(s, number);
    return tokens > s->pad_to ? tokens : s->pad_to != 0 ? s->pad_to : tokens;
}

mill_status mill_sequence_gather(const mill_sequences *s, mill_gather *g, uint64_t number, mill_sample *sample, mill_error *err)
{
    if (s->merged != NULL)
        return mill_merged_read(&g->cursor, s->run->merged, s->documents, number, sample, err);
    uint64_t first = s->first[number], end = s->first[number + 1];
    uint32_t tokens = mill_sequence_length(s, number), at = 0;
    MILL_TRY(MILL_GROW(g->ids, g->id_capacity, tokens, err));
    MILL_TRY(MILL_GROW(g->bounds, g->bound_capacity, end - first + 2, err));
    if (s->has_mask)
        MILL_TRY(MILL_GROW(g->mask, g->mask_capacity, (uint64_t)tokens + 1, err));
    if (s->positions != MILL_POSITIONS_NONE)
        MILL_TRY(MILL_GROW(g->positions, g->position_capacity, (uint64_t)tokens + 1, err));
    for (uint64_t i = first; i < end; i++) {
        const mill_part part = mill_sequence_part(s, number, i);
        const mill_packed_row *packed = &s->run->packed[part.row];
        const mill_token_unit *unit = mill_run_tokens(s->run, packed->unit);
        const mill_row *row = &unit->rows[packed->row];
        bool added = s->documents && part.count > row->tokens;
        g->bounds[i - first] = at;
        mill_token_ids(unit, row->first_token + part.begin, part.count - added, g->ids + at);
        if (s->has_mask)
            mill_token_mask(unit, row, part.begin, part.count - added, g->mask + at);
        const uint64_t place = s->positions == MILL_POSITIONS_CONTINUE ? row->doc_begin + part.begin : 0;
        if (s->positions != MILL_POSITIONS_NONE)
            MILL_TRY(mill_positions_fill(place, part.count, number, g->positions + at, err));
        at += part.count;
        if (added)
            g->ids[at - 1] = (uint32_t)s->end_id;
        if (added && s->has_mask) // the end of a document is learned; a conversation has marks of its own for that
            g->mask[at - 1] = row->runs == 0;
    }
    uint32_t rows = (uint32_t)(end - first);
    g->bounds[rows] = at;
    if (at < tokens) { // what fills it up is a row of its own, and never learned
        for (uint32_t i = at; i < tokens; i++)
            g->ids[i] = (uint32_t)s->end_id;
        if (s->has_mask)
            memset(g->mask + at, 0, tokens - at);
        if (s->positions != MILL_POSITIONS_NONE)
            MILL_TRY(mill_positions_fill(0, tokens - at, number, g->positions + at, err));
        g->bounds[++rows] = tokens;
    }
    *sample = (mill_sample){.ids = g->ids,
                            .count = tokens,
                            .cu_seqlens = g->bounds,
                            .row_count = rows,
                            .positions = s->positions != MILL_POSITIONS_NONE ? g->positions : NULL,
                            .loss_mask = s->has_mask ? g->mask : NULL,
                            .number = number};
    if (s->documents) {
        const mill_doc *doc = &s->run->docs[s->run->packed[first].doc];
        sample->source = s->run->inputs[doc->input].name;
        sample->record = doc->record;
    }
    return MILL_OK;
}

void mill_gather_free(mill_gather *g)
{
    mill_free(g->ids);
    mill_free(g->bounds);
    mill_free(g->positions);
    mill_free(g->mask);
    mill_merged_cursor_close(&g->cursor);
    *g = (mill_gather){0};
}

mill_status mill_sequences_digest(mill_sequences *s, mill_error *err)
{
    void *ids = mill_sha256_create(), *lengths = mill_sha256_create();
    uint8_t digest[32];
    mill_gather gather = {0};
    mill_status status = ids == NULL || lengths == NULL ? mill_fail_nomem(err, "the digest of the run") : MILL_OK;
    for (uint64_t i = 0; status == MILL_OK && i < s->count; i++) {
        mill_sample sample;
        MILL_TRY_GOTO(mill_sequence_gather(s, &gather, i, &sample, err));
        uint64_t length = sample.count;
        mill_sha256_update(ids, sample.ids, (size_t)sample.count * 4);
        mill_sha256_update(lengths, &length, sizeof length);
    }
    if (status != MILL_OK)
        goto cleanup;
    mill_sha256_finish(ids, digest);
    mill_hex(digest, sizeof digest, s->ids_sha256);
    mill_sha256_finish(lengths, digest);
    mill_hex(digest, sizeof digest, s->lengths_sha256);
    ids = lengths = NULL;
cleanup:
    mill_sha256_destroy(ids);
    mill_sha256_destroy(lengths);
    mill_gather_free(&gather);
    return status;
}

// The rows of a document stand together; with several epochs it comes several times.
static mill_status find_documents(mill_sequences *s, mill_error *err)
{
    const mill_packed_row *packed = s->run->packed;
    size_t capacity = 0;
    for (uint64_t i = 0; i < s->run->packed_count; i++) {
        if (i != 0 && packed[i].doc == packed[i - 1].doc && packed[i].row == packed[i - 1].row + 1)
            continue;
        MILL_TRY(MILL_GROW(s->owned, capacity, s->count + 2, err));
        s->owned[s->count++] = i;
    }
    MILL_TRY(MILL_GROW(s->owned, capacity, s->count + 1, err));
    s->owned[s->count] = s->run->packed_count;
    s->first = s->owned;
    return MILL_OK;
}

static mill_status open_sequences(mill_sequences *s, mill_run_state *run, bool documents, mill_error *err)
{
    *s = (mill_sequences){.run = run, .documents = documents, .end_id = -1, .has_mask = mill_run_has_mask(run)};
    s->positions = run->recipe.positions;
    if (run->tokenizer != NULL)
        s->end_id = mill_tokenizer_special(run->tokenizer, run->recipe.encode.end_text);
    if (!documents && run->merged == NULL && run->recipe.pad)
        s->pad_to = run->recipe.pack.seq_len + run->recipe.pack.extra;
    if (s->pad_to != 0 && s->end_id < 0)
        return mill_fail(err, MILL_RECIPE, "shard.pad needs an end-of-text token to fill samples up: give --tokenizer, or another "
                                           "tokenizer.preset");
    if (run->merged != NULL) {
        s->merged = &run->merged->kinds[documents];
        s->count = s->merged->count;
    } else if (documents) {
        MILL_TRY(find_documents(s, err));
    } else {
        s->first = run->packing.sample_parts;
        s->count = run->packing.sample_count;
    }
    for (uint64_t i = 0; i < s->count; i++) {
        uint32_t length = mill_sequence_length(s, i);
        s->uniform = i == 0 || s->uniform == length ? length : 0;
        s->tokens += length;
        s->padding += mill_sequence_padding(s, i);
        s->added += s->merged == NULL && is_open(s, i);
    }
    return MILL_OK;
}

// ---- where shards begin ----

static mill_status add_unit(mill_shard_group *g, size_t *capacity, uint64_t begin, mill_error *err)
{
    MILL_TRY(MILL_GROW(g->begin, *capacity, g->units + 2, err));
    g->begin[g->units++] = begin;
    return MILL_OK;
}

static mill_status cut_samples(mill_shard_group *g, const mill_sequences *s, size_t *capacity, mill_error *err)
{
    uint64_t per_shard = s->run->recipe.shard.samples_per_shard;
    for (uint64_t at = 0; at < s->count; at += per_shard)
        MILL_TRY(add_unit(g, capacity, at, err));
    return MILL_OK;
}

// Documents are cut where a shard has as many tokens as one of full samples has; a last shard of less than half is joined to the
// one before it, as some loaders refuse short ones.
static mill_status cut_documents(mill_shard_group *g, const mill_sequences *s, size_t *capacity, mill_error *err)
{
    const mill_recipe *recipe = &s->run->recipe;
    uint64_t target = (uint64_t)recipe->shard.samples_per_shard * ((uint64_t)recipe->pack.seq_len + recipe->pack.extra), fill = 0;
    if (target > SHARD_TOKENS_MAX)
        target = SHARD_TOKENS_MAX;
    for (uint64_t i = 0; i < s->count; i++) {
        if (i == 0 || fill >= target) {
            MILL_TRY(add_unit(g, capacity, i, err));
            fill = 0;
        }
        fill += mill_sequence_length(s, i);
    }
    g->units -= g->units > 1 && fill < target / 2;
    return MILL_OK;
}

// By the container's own rule, over a window of lengths that grows until the cut lies in it.
static mill_status cut_by_container(mill_shard_group *g, const mill_sequences *s, const mill_container_options *options,
                                    size_t *capacity, mill_error *err)
{
    uint64_t window = WINDOW, at = 0;
    uint32_t *lengths = NULL, *rows = NULL;
    size_t length_capacity = 0, row_capacity = 0;
    mill_status status = MILL_OK;
    while (at < s->count) {
        mill_extent rest = {.count = s->count - at < window ? s->count - at : window};
        MILL_TRY_GOTO(MILL_GROW(lengths, length_capacity, rest.count, err));
        MILL_TRY_GOTO(MILL_GROW(rows, row_capacity, rest.count, err));
        for (uint64_t i = 0; i < rest.count; i++) {
            lengths[i] = mill_sequence_length(s, at + i);
            rows[i] = mill_sequence_rows(s, at + i);
        }
        rest.lengths = lengths;
        rest.rows = rows;
        uint64_t count = g->containers[0]->cut(options, &rest);
        if (count == rest.count && at + count < s->count) {
            window *= 2;
            continue;
        }
        MILL_TRY_GOTO(add_unit(g, capacity, at, err));
        at += count;
    }
cleanup:
    mill_free(lengths);
    mill_free(rows);
    return status;
}

static mill_status cut(mill_shard_group *g, const mill_shard_plan *plan, mill_error *err)
{
    const mill_sequences *s = &plan->sequences[g->documents];
    size_t capacity = 0;
    if (g->container_count != 0 && g->containers[0]->by_bytes)
        MILL_TRY(cut_by_container(g, s, &plan->options[g->documents], &capacity, err));
    else if (g->documents)
        MILL_TRY(cut_documents(g, s, &capacity, err));
    else
        MILL_TRY(cut_samples(g, s, &capacity, err));
    MILL_TRY(MILL_GROW(g->begin, capacity, g->units + 1, err));
    g->begin[g->units] = s->count;
    return MILL_OK;
}

// ---- the plan ----

static void sort_into_groups(mill_shard_plan *plan, const mill_run_state *run)
{
    static const char *const stages[MILL_SHARD_GROUPS] = {"shard", "shard-documents", "shard-bytes", "shard-doc-bytes"};
    for (size_t i = 0; i < MILL_SHARD_GROUPS; i++)
        plan->groups[i] = (mill_shard_group){.stage = stages[i], .documents = i % 2 == 1};
    for (size_t i = 0; i < mill_container_count; i++) {
        if ((run->formats >> i & 1) == 0)
            continue;
        bool documents = (run->formats_documents >> i & 1) != 0;
        mill_shard_group *g = &plan->groups[(mill_containers[i]->by_bytes ? 2 : 0) + documents];
        g->containers[g->container_count++] = mill_containers[i];
    }
    bool samples = plan->groups[0].container_count + plan->groups[2].container_count != 0;
    bool documents = plan->groups[1].container_count + plan->groups[3].container_count != 0;
    plan->groups[0].docs = samples ? "docs" : NULL;
    plan->groups[1].docs = !documents ? NULL : samples ? "docs-documents" : "docs";
}

static mill_status fill(mill_shard_plan *plan, mill_run_state *run, mill_error *err)
{
    sort_into_groups(plan, run);
    for (int kind = 0; kind < 2; kind++) {
        mill_sequences *s = &plan->sequences[kind];
        if (plan->groups[kind].docs != NULL)
            MILL_TRY(open_sequences(s, run, kind == 1, err));
        plan->options[kind] = (mill_container_options){.shard = run->recipe.shard, .workers = 1, .uniform = s->uniform};
        plan->options[kind].shard.vocab_size = run->vocab_size;
        plan->options[kind].shard.loss_mask = s->has_mask;
        plan->options[kind].shard.positions = s->positions != MILL_POSITIONS_NONE;
    }
    for (size_t i = 0; i < MILL_SHARD_GROUPS; i++) {
        mill_shard_group *g = &plan->groups[i];
        if (g->container_count != 0 || g->docs != NULL)
            MILL_TRY(cut(g, plan, err));
        plan->units += g->units;
    }
    return MILL_OK;
}

mill_status mill_shard_plan_make(mill_run_state *run, mill_shard_plan **out, mill_error *err)
{
    *out = NULL;
    mill_shard_plan *plan = mill_alloc_zero(1, sizeof *plan);
    if (plan == NULL)
        return mill_fail_nomem(err, "planning shards");
    mill_status status = fill(plan, run, err);
    if (status == MILL_OK)
        *out = plan;
    else
        mill_shard_plan_free(plan);
    return status;
}

void mill_shard_plan_free(mill_shard_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < 2; i++)
        mill_free(plan->sequences[i].owned);
    for (size_t i = 0; i < MILL_SHARD_GROUPS; i++)
        mill_free(plan->groups[i].begin);
    mill_free(plan);
}

uint64_t mill_run_padding(const mill_run_state *run)
{
    return run->shard_plan != NULL ? run->shard_plan->sequences[0].padding : 0;
}

const mill_shard_group *mill_shard_plan_group(const mill_shard_plan *plan, const mill_container *container)
{
    for (size_t i = 0; i < MILL_SHARD_GROUPS; i++) {
        for (size_t k = 0; k < plan->groups[i].container_count; k++) {
            if (plan->groups[i].containers[k] == container)
                return &plan->groups[i];
        }
    }
    return NULL;
}
