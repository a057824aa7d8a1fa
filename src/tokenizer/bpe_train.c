// bpe_train.c: learns merges in the order of Hugging Face's trainer: largest count first, then smallest left id, then
// smallest right id. A backend may have a way of its own (backend/train.h: rounds); this is the processor's:
//
// All words lie in one array of symbols, a position a byte, with a separator before and behind each word. A token of n bytes
// has its id at its first and at its last position (the rest is INSIDE), so both neighbours of a token are one read away and
// nothing ever moves. Each waiting pair has its count and an ascending list of the positions where it was seen; entries whose
// place has changed since are recognised by reading the symbols. Why that is exact: a token is formed by one merge only and
// everywhere at once, so a pair is counted when its younger half is made, and from then on its count only falls. Stale heap
// entries are therefore upper bounds, and the order of words cannot show. A pair below the smallest useful count is dropped
// at once. Cost: every occurrence of a merge is touched once; lists hold at most two entries for each. Merges are done in batches
// (bpe_batch.c).
#include "tokenizer/bpe_model.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/byte_level.h"

#include "core/utf8.h"

#include <string.h>

#define PLACES_MAX (1u << 17) // of a batch, from which on no merge is added to others

static void trainer_free(mill_trainer *t)
{
    mill_free(t->symbols);
    mill_free(t->ranks);
    mill_free(t->weights);
    mill_free(t->bytes_of);
    mill_free(t->used);
    mill_crew_close(t->crew);
    mill_merge_batch_free(t);
    for (uint32_t i = 0; i < MILL_PAIR_PARTS_MAX; i++)
        mill_pairs_free(&t->pairs[i]);
    mill_buf_free(&t->text);
}

static mill_status add_specials(mill_trainer *t, mill_error *err)
{
    for (uint32_t i = 0; i < t->options->special_count; i++) {
        const char *content = t->options->specials[i];
        size_t bytes = strlen(content), bad;
        if (bytes == 0 || bytes > UINT16_MAX || !mill_utf8_valid((const uint8_t *)content, bytes, &bad))
            return mill_fail(err, MILL_RECIPE, "special token %u is empty, too long or not UTF-8", i);
        if (mill_tokenizer_special(t->tokenizer, content) >= 0)
            continue;
        uint32_t id = t->tokenizer->token_count;
        if (id >= MILL_ID_LIMIT - 256)
            return mill_fail(err, MILL_RECIPE, "more than %u special tokens", id);
        MILL_TRY(mill_tokenizer_set_token(t->tokenizer, id, (const uint8_t *)content, bytes, true, err));
        MILL_TRY(mill_tokenizer_add_added(t->tokenizer, (mill_added){id, true, false}, err));
    }
    return MILL_OK;
}

// Id of the special token whose string is the byte-level form of these bytes, or MILL_NO_ID. Only a special token can have
// the string of a merge or a byte already.
static uint32_t special_of(const mill_trainer *t, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < t->tokenizer->added_count; i++) {
        const mill_token *token = &t->tokenizer->tokens[t->tokenizer->added[i].id];
        if (token->level && token->raw_bytes == bytes && memcmp(t->tokenizer->texts.data + token->raw, data, bytes) == 0)
            return t->tokenizer->added[i].id;
    }
    return MILL_NO_ID;
}

// The id for a token of these bytes: a special token's, or a new one.
static mill_status id_for(mill_trainer *t, const uint8_t *data, size_t bytes, uint32_t *id, mill_error *err)
{
    *id = special_of(t, data, bytes);
    if (*id != MILL_NO_ID)
        return MILL_OK;
    *id = t->tokenizer->token_count;
    mill_buf text = {0};
    mill_status status = mill_byte_level_write(data, bytes, &text, err);
    if (status == MILL_OK)
        status = mill_tokenizer_set_token(t->tokenizer, *id, text.data, text.bytes, true, err);
    mill_buf_free(&text);
    return status;
}

// Which bytes occur, how many words have a pair, how many positions they take.
static mill_status survey(mill_trainer *t, const mill_word_counts *counts, mill_error *err)
{
    size_t positions = 1;
    for (size_t part = 0; part < MILL_WORD_PARTS; part++) {
        const mill_word_facts *facts = mill_word_counts_facts(counts, part);
        for (uint32_t i = 0; i < 256; i++)
            t->seen[i] = t->seen[i] || (facts->seen[i >> 6] >> (i & 63) & 1) != 0;
        t->word_count += facts->words;
        positions += facts->positions;
    }
    if (positions >= MILL_INSIDE)
        return mill_fail(err, MILL_INPUT, "the distinct words have %zu bytes together, more than 4 GiB: train on a sample",
                         positions);
    t->symbol_count = positions;
    return MILL_OK;
}

static mill_status add_alphabet(mill_trainer *t, mill_error *err)
{
    for (uint32_t c = 0x21; c <= 0x143; c++) { // the characters' order, not the bytes'
        int byte = mill_byte_level_byte(c);
        if (byte < 0 || !(t->seen[byte] || t->options->full_alphabet))
            continue;
        uint8_t data = (uint8_t)byte;
        MILL_TRY(id_for(t, &data, 1, &t->byte_id[byte], err));
    }
    return MILL_OK;
}

// Ids of special tokens and bytes; how many words and ids there will be.
static mill_status start(mill_trainer *t, const mill_word_counts *counts, mill_error *err)
{
    MILL_TRY(add_specials(t, err));
    MILL_TRY(survey(t, counts, err));
    MILL_TRY(add_alphabet(t, err));
    // Each merge shortens some word by one symbol, so there are never more merges than positions.
    uint64_t ids = t->tokenizer->token_count + (uint64_t)t->symbol_count;
    if (ids > t->options->vocab_size)
        ids = t->options->vocab_size;
    if (ids < t->tokenizer->token_count)
        ids = t->tokenizer->token_count;
    t->ids_max = (uint32_t)ids;
    t->bytes_of = mill_alloc_zero(ids, sizeof *t->bytes_of);
    if (t->bytes_of == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    for (uint32_t i = 0; i < 256; i++) {
        if (t->seen[i])
            t->bytes_of[t->byte_id[i]] = 1;
    }
    return MILL_OK;
}

// Gives the merged token its id and length.
static mill_status name_merge(mill_trainer *t, mill_merge *merge, mill_error *err)
{
    const mill_token *tokens = t->tokenizer->tokens;
    mill_buf_clear(&t->text);
    const uint8_t *texts = t->tokenizer->texts.data;
    MILL_TRY(mill_buf_append(&t->text, texts + tokens[merge->left].raw, tokens[merge->left].raw_bytes, err));
    MILL_TRY(mill_buf_append(&t->text, texts + tokens[merge->right].raw, tokens[merge->right].raw_bytes, err));
    MILL_TRY(id_for(t, t->text.data, t->text.bytes, &merge->id, err));
    t->bytes_of[merge->id] = (uint32_t)t->text.bytes;
    return mill_tokenizer_add_merge(t->tokenizer, *merge, err);
}

// The pair to merge next, and whose it is; NULL if none is left.
static mill_pair_entry *find_best(mill_trainer *t, mill_pairs **part)
{
    mill_pair_entry *best = NULL;
    for (uint32_t i = 0; i < t->pair_parts; i++) {
        mill_pair_entry *entry = mill_pairs_best(&t->pairs[i]);
        if (entry == NULL || (best != NULL && mill_heap_before((*part)->heap.entries[0], t->pairs[i].heap.entries[0])))
            continue;
        best = entry;
        *part = &t->pairs[i];
    }
    return best;
}

// Takes the merges that come next as far as none can touch another's places. None is left when the batch is empty.
static mill_status take_batch(mill_trainer *t, mill_error *err)
{
    mill_merge_batch *b = &t->batch;
    uint64_t places = 0;
    bool last = false;
    b->count = 0;
    t->batch_number++;
    while (!last && b->count < MILL_BATCH_MAX && t->tokenizer->token_count < t->ids_max) {
        mill_pairs *part;
        mill_pair_entry *best = find_best(t, &part);
        if (best == NULL)
            break;
        mill_merge merge = {mill_pair_left(best->key), mill_pair_right(best->key), 0};
        if (t->used[merge.left].right_in == t->batch_number || t->used[merge.right].left_in == t->batch_number ||
            (b->count != 0 && places + best->places > PLACES_MAX))
            break;
        t->used[merge.left].left_in = t->batch_number;
        t->used[merge.right].right_in = t->batch_number;
        mill_pair_heap_pop(&part->heap);
        b->positions[b->count] = best->positions;
        b->places[b->count] = best->places;
        places += best->places;
        best->positions = NULL;
        best->count = 0;
        const uint32_t next_id = t->tokenizer->token_count, number = b->count++;
        b->merges[number] = merge; // names its list's table, whatever comes
        MILL_TRY(name_merge(t, &merge, err));
        b->merges[number] = merge;
        last = merge.left == merge.right || merge.id != next_id; // what comes of it may come before others of a batch
    }
    return MILL_OK;
}

typedef struct progress_call {
    int (*call)(void *context, uint32_t done, uint32_t wanted);
    void *context;
    uint32_t wanted;
} progress_call;

static int pass_progress(void *context, uint32_t done)
{
    const progress_call *progress = context;
    return progress->call == NULL ? 0 : progress->call(progress->context, done, progress->wanted);
}

static mill_status learn(mill_trainer *t, progress_call *progress, mill_error *err)
{
    const uint32_t first = t->tokenizer->token_count;
    for (;;) {
        MILL_TRY(take_batch(t, err));
        if (t->batch.count == 0)
            return MILL_OK;
        MILL_TRY(mill_merge_batch_do(t, err));
        if (pass_progress(progress, t->tokenizer->token_count - first) != 0)
            return mill_fail_stopped_at(err, "after %u merges", t->tokenizer->token_count - first);
    }
}

// Special tokens that a merge may spell.
static mill_status list_given(const mill_trainer *t, mill_train_token **list, size_t *count, mill_error *err)
{
    const mill_tokenizer *tokenizer = t->tokenizer;
    *count = 0;
    *list = mill_alloc_zero(tokenizer->added_count + 1, sizeof **list);
    if (*list == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const mill_token *token = &tokenizer->tokens[tokenizer->added[i].id];
        if (token->level)
            (*list)[(*count)++] =
                (mill_train_token){tokenizer->texts.data + token->raw, token->raw_bytes, tokenizer->added[i].id};
    }
    return MILL_OK;
}

// Has the backend learn the merges; *complete: it could, and they have their names.
static mill_status learn_by(mill_trainer *t, mill_backend *backend, const mill_word_counts *counts, progress_call *progress,
                            bool *complete, mill_error *err)
{
    mill_train_job job = {.first_id = t->tokenizer->token_count,
                          .ids_max = t->ids_max,
                          .count_min = t->count_min,
                          .length_max = t->options->max_token_length,
                          .progress = pass_progress,
                          .context = progress};
    mill_train_token *given = NULL;
    mill_train_result result = {0};
    uint32_t byte_ids[256];
    mill_status status;
    for (uint32_t i = 0; i < 256; i++)
        byte_ids[i] = t->seen[i] ? t->byte_id[i] : UINT32_MAX;
    job.byte_ids = byte_ids;
    MILL_TRY_GOTO(list_given(t, &given, &job.given_count, err));
    job.given = given;
    MILL_TRY_GOTO(mill_bpe_words_lay(counts, (uint32_t)t->word_count, (uint32_t)t->symbol_count, &job.words, err));
    MILL_TRY_GOTO(backend->ops->train(backend, &job, &result, err));
    for (size_t i = 0; result.complete && i < result.count; i++) {
        mill_merge merge = {result.merges[i].left, result.merges[i].right, 0};
        MILL_TRY_GOTO(name_merge(t, &merge, err));
        MILL_ASSERT(merge.id == result.merges[i].id);
    }
    *complete = result.complete;
cleanup:
    mill_bpe_words_free(&job.words);
    mill_free(given);
    mill_free(result.merges);
    return status;
}

uint64_t mill_tokenizer_train_memory(const mill_word_counts *counts)
{
    uint64_t positions = 0, words = 0;
    for (size_t part = 0; part < MILL_WORD_PARTS; part++) {
        positions += mill_word_counts_facts(counts, part)->positions;
        words += mill_word_counts_facts(counts, part)->words;
    }
    // A symbol, an entry in a list of places, and nearly twice that for the lists of new pairs (measured on 4 GB of code: 14.5
    // bytes a position in all); notes of the most frequent pair; ranks; a weight a word.
    return positions * 16 + positions / 64 * sizeof(mill_bpe_rank) + words * sizeof(uint64_t);
}

mill_status mill_tokenizer_train(const mill_word_counts *counts, const mill_train_options *options,
                                 int (*progress)(void *context, uint32_t done, uint32_t wanted), void *context,
                                 mill_tokenizer **out, mill_error *err)
{
    *out = NULL;
    if (options->vocab_size > MILL_ID_LIMIT)
        return mill_fail(err, MILL_RECIPE, "tokenizer.vocab_size %u: at most %u", options->vocab_size, MILL_ID_LIMIT);
    mill_trainer t = {.options = options, .count_min = options->min_frequency != 0 ? options->min_frequency : 1};
    progress_call call = {progress, context, 0};
    bool complete = false;
    mill_status status;
    MILL_TRY_GOTO(mill_tokenizer_create(&t.tokenizer, err));
    t.tokenizer->pretok = mill_word_counts_kind(counts);
    MILL_TRY_GOTO(start(&t, counts, err));
    call.wanted = options->vocab_size > t.tokenizer->token_count ? options->vocab_size - t.tokenizer->token_count : 0;
    if (options->backend != NULL && options->backend->ops->train != NULL && t.symbol_count < MILL_TRAIN_POSITIONS_MAX)
        MILL_TRY_GOTO(learn_by(&t, options->backend, counts, &call, &complete, err));
    if (!complete) {
        MILL_TRY_GOTO(mill_trainer_lay_out(&t, counts, err));
        MILL_TRY_GOTO(learn(&t, &call, err));
        if (options->keep_words)
            MILL_TRY_GOTO(mill_trainer_keep_words(&t, err));
    }
    MILL_TRY_GOTO(mill_tokenizer_finish(t.tokenizer, err));
    *out = t.tokenizer;
    t.tokenizer = NULL;
cleanup:
    mill_tokenizer_close(t.tokenizer);
    trainer_free(&t);
    return status;
}
