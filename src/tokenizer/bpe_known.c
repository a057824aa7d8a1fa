// bpe_known.c: the long words out of the trainer's symbols, after the last merge, as a table. Threads take shares of the symbols
// and put their words into the one table; which of two stands first where both want a slot shows nowhere.
#include "tokenizer/bpe_known.h"

#include "tokenizer/bpe_trainer.h"

#include <stdatomic.h>

typedef struct known_word {
    _Atomic uint64_t hash; // 0: free
    uint32_t list, place;  // where its ids are, behind their number
} known_word;

struct mill_known {
    known_word *words; // open addressing
    size_t mask;
    mill_ids *lists;   // one a thread that made them
    uint32_t list_count;
};

static size_t slots_for(size_t words)
{
    size_t slots = 64;
    while (slots / 4 * 3 < words)
        slots *= 2;
    return slots;
}

void mill_known_close(mill_known *known)
{
    if (known == NULL)
        return;
    for (uint32_t i = 0; i < known->list_count; i++)
        mill_ids_free(&known->lists[i]);
    mill_free(known->lists);
    mill_free(known->words);
    mill_free(known);
}

// ---- looking up

// The key of a long word is a hash: what its tokens spell decides.
static bool spells(const mill_tokenizer *tokenizer, const uint32_t *ids, uint32_t count, const uint8_t *text, uint32_t bytes)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const mill_token *token = &tokenizer->tokens[ids[i]];
        if (token->raw_bytes > bytes - at || memcmp(text + at, tokenizer->texts.data + token->raw, token->raw_bytes) != 0)
            return false;
        at += token->raw_bytes;
    }
    return at == bytes;
}

const uint32_t *mill_known_find(const mill_known *known, const mill_tokenizer *tokenizer, const uint8_t *text,
                                const mill_word_key *key, uint32_t *count)
{
    if (known == NULL || key->bytes <= MILL_WORD_SHORT || key->bytes > MILL_KNOWN_MAX)
        return NULL;
    for (size_t at = key->hash & known->mask;; at = (at + 1) & known->mask) {
        const known_word *word = &known->words[at];
        const uint64_t hash = atomic_load_explicit(&word->hash, memory_order_relaxed);
        if (hash == 0)
            return NULL;
        if (hash != key->hash)
            continue;
        const uint32_t *list = known->lists[word->list].data + word->place;
        *count = list[0];
        if (spells(tokenizer, list + 1, list[0], text, key->bytes))
            return list + 1;
    }
}

// ---- making

typedef struct keeping {
    const mill_trainer *trainer;
    mill_known *known;
    uint32_t shares;
    mill_error errors[MILL_TRAIN_THREADS_MAX];
} keeping;

// Appends the ids of the word behind the separator at `position` and spells it. *end: the next separator. Its bytes; 0: it is
// short, or longer than MILL_KNOWN_MAX, and there are no ids.
static uint32_t read_word(const mill_trainer *t, size_t position, uint8_t text[MILL_KNOWN_MAX], mill_ids *ids, size_t *end)
{
    const size_t first = ids->count;
    size_t at = position + 1;
    for (; t->symbols[at] != MILL_SEPARATOR; at += t->bytes_of[t->symbols[at]])
        ;
    *end = at;
    const size_t bytes = at - position - 1;
    if (bytes <= MILL_WORD_SHORT || bytes > MILL_KNOWN_MAX)
        return 0;
    ids->count++; // their number
    for (at = position + 1; at != *end;) {
        const uint32_t id = t->symbols[at], length = t->bytes_of[id];
        memcpy(text + (at - position - 1), t->tokenizer->texts.data + t->tokenizer->tokens[id].raw, length);
        ids->data[ids->count++] = id;
        at += length;
    }
    ids->data[first] = (uint32_t)(ids->count - first - 1);
    return (uint32_t)bytes;
}

static void keep(mill_known *known, uint64_t hash, uint32_t list, uint32_t place)
{
    for (size_t at = hash & known->mask;; at = (at + 1) & known->mask) {
        uint64_t none = 0;
        if (!atomic_compare_exchange_strong_explicit(&known->words[at].hash, &none, hash, memory_order_relaxed,
                                                     memory_order_relaxed))
            continue;
        known->words[at].list = list;
        known->words[at].place = place;
        return;
    }
}

static mill_status keep_words(keeping *k, uint32_t share, mill_error *err)
{
    const mill_trainer *t = k->trainer;
    mill_ids *ids = &k->known->lists[share];
    const size_t last = t->symbol_count - 1; // a separator
    const size_t stop = last * (share + 1) / k->shares;
    size_t at = last * share / k->shares, end;
    uint8_t text[MILL_KNOWN_MAX];
    while (at < stop && t->symbols[at] != MILL_SEPARATOR)
        at++;
    for (; at < stop; at = end) {
        MILL_TRY(MILL_GROW(ids->data, ids->capacity, ids->count + 1 + MILL_KNOWN_MAX, err));
        const size_t place = ids->count;
        const uint32_t bytes = read_word(t, at, text, ids, &end);
        const uint64_t hash = bytes != 0 ? mill_word_key_of(text, 0, bytes, sizeof text).hash : 0;
        if (hash != 0 && place <= UINT32_MAX)
            keep(k->known, hash, share, (uint32_t)place);
    }
    return MILL_OK;
}

static void keep_share(void *context, uint32_t share)
{
    keeping *k = context;
    k->errors[share].status = keep_words(k, share, &k->errors[share]);
}

static mill_status open_known(size_t words, uint32_t shares, mill_known **out, mill_error *err)
{
    const size_t slots = slots_for(words);
    mill_known *known = mill_alloc_zero(1, sizeof *known);
    *out = known;
    if (known != NULL) {
        known->mask = slots - 1;
        known->words = mill_alloc_zero(slots, sizeof *known->words);
        known->lists = mill_alloc_zero(shares, sizeof *known->lists);
        known->list_count = known->lists != NULL ? shares : 0;
    }
    return known != NULL && known->words != NULL && known->lists != NULL ? MILL_OK
                                                                         : mill_fail_nomem(err, "the words of a tokenizer");
}

mill_status mill_trainer_keep_words(mill_trainer *t, mill_error *err)
{
    keeping k = {.trainer = t, .shares = mill_crew_size(t->crew)};
    mill_known **known = &t->tokenizer->known; // closed with the tokenizer
    MILL_TRY(open_known(t->long_word_count, k.shares, known, err));
    k.known = *known;
    mill_crew_run(t->crew, k.shares, keep_share, &k);
    for (uint32_t i = 0; i < k.shares; i++) {
        if (k.errors[i].status != MILL_OK) {
            if (err != NULL)
                *err = k.errors[i];
            return k.errors[i].status;
        }
    }
    return MILL_OK;
}
