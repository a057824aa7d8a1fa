// bpe_encode.c: text -> ids: added tokens, normalization, pieces, and caches of words in front of the merging.
//
// Words of up to 16 bytes with up to 3 ids are in `hot`: two slots a cache line, the older one is pushed out. All others of up
// to COLD_WORD_MAX bytes are in `cold`, which is emptied when it is full. What is in neither is merged, or a long word
// that the tokenizer was trained on (bpe_known.h). Caches never change ids.
#include "tokenizer/bpe_ahead.h"
#include "tokenizer/bpe_known.h"
#include "tokenizer/bpe_merge.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pretok.h"
#include "tokenizer/word_key.h"

#define PORTION 256
#define HOT_IDS 3
#define HOT_LINES (1u << 15)
#define COLD_SLOTS (1u << 15)
#define COLD_BYTES_MAX (1u << 21) // of texts, and of ids
#define COLD_WORD_MAX 256

typedef struct hot_word { // 32 bytes, 0: free
    uint64_t low, high;
    uint32_t ids[HOT_IDS + 1]; // the last one is count << 8 | bytes, so that all can be copied as one 16-byte value
} hot_word;

typedef struct hot_line {
    hot_word newer, older;
} hot_line;

typedef struct cold_word {
    uint64_t hash;
    uint32_t text, ids; // offsets
    uint32_t bytes, count; // bytes 0: free
} cold_word;

struct mill_encoder {
    const mill_tokenizer *tokenizer;
    hot_line *hot;
    cold_word *cold;
    uint32_t cold_count;
    mill_buf cold_texts;
    mill_ids cold_ids;
    mill_merge_scratch scratch;
    mill_buf normal;
    mill_ahead ahead;
    mill_ids dummy; // of calls that are only listened to
};

void mill_ids_free(mill_ids *ids)
{
    mill_free(ids->data);
    *ids = (mill_ids){0};
}

mill_status mill_ids_append(mill_ids *ids, uint32_t id, mill_error *err)
{
    MILL_TRY(MILL_GROW(ids->data, ids->capacity, ids->count + 1, err));
    ids->data[ids->count++] = id;
    return MILL_OK;
}

mill_status mill_encoder_open(const mill_tokenizer *tokenizer, mill_encoder **out, mill_error *err)
{
    mill_encoder *encoder = mill_alloc_zero(1, sizeof *encoder);
    *out = encoder;
    if (encoder == NULL)
        return mill_fail_nomem(err, "opening an encoder");
    encoder->tokenizer = tokenizer;
    encoder->hot = mill_alloc_table(HOT_LINES, sizeof *encoder->hot);
    encoder->cold = mill_alloc_table(COLD_SLOTS, sizeof *encoder->cold);
    if (encoder->hot == NULL || encoder->cold == NULL) {
        mill_encoder_close(encoder);
        *out = NULL;
        return mill_fail_nomem(err, "opening an encoder");
    }
    return MILL_OK;
}

void mill_encoder_close(mill_encoder *encoder)
{
    if (encoder == NULL)
        return;
    mill_free(encoder->hot);
    mill_free(encoder->cold);
    mill_buf_free(&encoder->cold_texts);
    mill_ids_free(&encoder->cold_ids);
    mill_merge_scratch_free(&encoder->scratch);
    mill_buf_free(&encoder->normal);
    mill_ahead_free(&encoder->ahead);
    mill_ids_free(&encoder->dummy);
    mill_free(encoder);
}

static mill_status append(mill_ids *out, const uint32_t *ids, size_t count, mill_error *err)
{
    MILL_TRY(MILL_GROW(out->data, out->capacity, out->count + count, err));
    if (count != 0)
        memcpy(out->data + out->count, ids, count * sizeof *ids);
    out->count += count;
    return MILL_OK;
}

// Ids of a piece without caches.
static mill_status compute(mill_encoder *encoder, const uint8_t *piece, const mill_word_key *key, mill_ids *out, mill_error *err)
{
    const mill_tokenizer *tokenizer = encoder->tokenizer;
    uint32_t count;
    const uint32_t *known = mill_known_find(tokenizer->known, tokenizer, piece, key, &count);
    if (known != NULL)
        return append(out, known, count, err);
    if (tokenizer->ignore_merges) {
        uint32_t whole = mill_tokenizer_find(tokenizer, piece, key->bytes);
        if (whole != MILL_NO_ID)
            return mill_ids_append(out, whole, err);
    }
    return mill_bpe_merge(tokenizer, &encoder->scratch, piece, key->bytes, out, err);
}

// Remembers ids[0, count) for the word at `slot`, which is free.
static mill_status cold_keep(mill_encoder *encoder, cold_word *slot, uint64_t hash, const uint8_t *piece, size_t bytes,
                             const uint32_t *ids, size_t count, mill_error *err)
{
    cold_word word = {hash, (uint32_t)encoder->cold_texts.bytes, (uint32_t)encoder->cold_ids.count, (uint32_t)bytes,
                      (uint32_t)count};
    MILL_TRY(mill_buf_append(&encoder->cold_texts, piece, bytes, err));
    MILL_TRY(append(&encoder->cold_ids, ids, count, err));
    *slot = word;
    encoder->cold_count++;
    return MILL_OK;
}

static mill_status encode_cold(mill_encoder *encoder, const uint8_t *piece, const mill_word_key *key, mill_ids *out,
                               mill_error *err)
{
    if (key->bytes > COLD_WORD_MAX)
        return compute(encoder, piece, key, out, err);
    if (encoder->cold_count > COLD_SLOTS / 2 || encoder->cold_texts.bytes > COLD_BYTES_MAX ||
        encoder->cold_ids.count > COLD_BYTES_MAX / sizeof(uint32_t)) {
        memset(encoder->cold, 0, COLD_SLOTS * sizeof *encoder->cold);
        encoder->cold_count = 0;
        mill_buf_clear(&encoder->cold_texts);
        encoder->cold_ids.count = 0;
    }
    size_t at = (key->hash >> 32) & (COLD_SLOTS - 1);
    for (; encoder->cold[at].bytes != 0; at = (at + 1) & (COLD_SLOTS - 1)) {
        const cold_word *word = &encoder->cold[at];
        if (word->hash == key->hash && word->bytes == key->bytes &&
            memcmp(encoder->cold_texts.data + word->text, piece, key->bytes) == 0)
            return append(out, encoder->cold_ids.data + word->ids, word->count, err);
    }
    size_t first = out->count;
    MILL_TRY(compute(encoder, piece, key, out, err));
    if (key->bytes <= MILL_WORD_SHORT && out->count - first <= HOT_IDS)
        return MILL_OK; // it goes into the hot cache
    return cold_keep(encoder, &encoder->cold[at], key->hash, piece, key->bytes, out->data + first, out->count - first, err);
}

static inline bool is_hot(const hot_word *word, const mill_word_key *key)
{
    return word->low == key->low && word->high == key->high && (word->ids[HOT_IDS] & 0xff) == key->bytes;
}

// Writes HOT_IDS + 1 values, of which word->count are ids: room for them was made. Gives the end of the ids.
static inline uint32_t *put_hot(uint32_t *to, const hot_word *word)
{
    memcpy(to, word->ids, sizeof word->ids);
    return to + (word->ids[HOT_IDS] >> 8);
}

// A word that is not the newer one of its line.
static mill_status encode_other(mill_encoder *encoder, hot_line *line, const uint8_t *piece, const mill_word_key *key,
                                mill_ids *out, mill_error *err)
{
    if (key->bytes > MILL_WORD_SHORT)
        return encode_cold(encoder, piece, key, out, err);
    hot_word word = line->older;
    if (is_hot(&word, key)) {
        out->count = (size_t)(put_hot(out->data + out->count, &word) - out->data);
    } else {
        size_t first = out->count;
        MILL_TRY(encode_cold(encoder, piece, key, out, err));
        size_t count = out->count - first;
        if (count > HOT_IDS)
            return MILL_OK;
        word = (hot_word){key->low, key->high, {0, 0, 0, (uint32_t)count << 8 | key->bytes}};
        if (count != 0)
            memcpy(word.ids, out->data + first, count * sizeof *word.ids);
    }
    line->older = line->newer;
    line->newer = word;
    return MILL_OK;
}

// Keys of the pieces from `from` to each of `ends`. Their lines of the hot cache are on their way from memory from here on.
static void make_keys(const hot_line *hot, const uint8_t *text, size_t bytes, size_t from, const uint32_t *ends, size_t count,
                      mill_word_key *keys)
{
    for (size_t i = 0; i < count; i++) {
        keys[i] = mill_word_key_of(text, from, ends[i], bytes);
        __builtin_prefetch(&hot[keys[i].hash & (HOT_LINES - 1)]);
        from = ends[i];
    }
}

// Cuts a slice into pieces and encodes them.
static mill_status encode_slice(mill_encoder *encoder, const uint8_t *text, size_t bytes, mill_ids *out, mill_error *err)
{
    uint32_t ends[PORTION];
    mill_word_key keys[PORTION];
    hot_line *hot = encoder->hot;
    size_t at = 0, start = 0;
    while (at < bytes) {
        size_t count = mill_pretok_some(encoder->tokenizer->pretok, text, bytes, &at, ends, PORTION);
        make_keys(hot, text, bytes, start, ends, count, keys);
        MILL_TRY(MILL_GROW(out->data, out->capacity, out->count + PORTION * (HOT_IDS + 1), err));
        uint32_t *to = out->data + out->count; // in a register: out could be what the copied ids change
        for (size_t i = 0; i < count; i++) {
            hot_line *line = &hot[keys[i].hash & (HOT_LINES - 1)];
            if (is_hot(&line->newer, &keys[i])) {
                to = put_hot(to, &line->newer);
            } else {
                out->count = (size_t)(to - out->data);
                MILL_TRY(encode_other(encoder, line, text + ends[i] - keys[i].bytes, &keys[i], out, err));
                MILL_TRY(MILL_GROW(out->data, out->capacity, out->count + PORTION * (HOT_IDS + 1), err));
                to = out->data + out->count;
            }
        }
        out->count = (size_t)(to - out->data);
        start = at;
    }
    return MILL_OK;
}

// A slice without added tokens, normalized: noted, or encoded ahead, or encoded now.
static mill_status encode_plain(mill_encoder *encoder, const uint8_t *text, size_t bytes, mill_ids *out, mill_error *err)
{
    const uint32_t *ids;
    size_t count;
    if (encoder->ahead.listening)
        return mill_ahead_note(&encoder->ahead, text, bytes, err);
    if (mill_ahead_take(&encoder->ahead, text, bytes, &ids, &count))
        return append(out, ids, count, err);
    return encode_slice(encoder, text, bytes, out, err);
}

// Longest added token at text[at]: narrows the sorted contents byte by byte. MILL_NO_ID: none.
static uint32_t match_at(const mill_tokenizer *tokenizer, int which, const uint8_t *text, size_t bytes, size_t at)
{
    const uint32_t *ids = tokenizer->match[which];
    uint32_t low = 0, high = tokenizer->match_count[which], found = MILL_NO_ID;
    for (size_t depth = 0;; depth++) {
        while (low < high && tokenizer->tokens[ids[low]].bytes == depth)
            found = ids[low++];
        if (low == high || at + depth == bytes)
            return found;
        uint8_t wanted = text[at + depth];
        for (uint32_t end = high; low < end;) { // first content with a byte >= wanted at this depth
            uint32_t middle = low + (end - low) / 2;
            if (mill_token_text(tokenizer, ids[middle])[depth] < wanted)
                low = middle + 1;
            else
                end = middle;
        }
        for (uint32_t begin = low; begin < high;) { // first one with a greater byte
            uint32_t middle = begin + (high - begin) / 2;
            if (mill_token_text(tokenizer, ids[middle])[depth] <= wanted)
                begin = middle + 1;
            else
                high = middle;
        }
    }
}

static bool is_control(const mill_tokenizer *tokenizer, uint32_t id)
{
    for (size_t low = 0, high = tokenizer->added_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (tokenizer->added[middle].id == id)
            return tokenizer->added[middle].special;
        if (tokenizer->added[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

// Finds the next added token from *at on; *at receives its place and *id its id. False: none. As in the package, a control
// token that shall stay text still hides what begins inside it.
static bool next_match(const mill_tokenizer *tokenizer, int which, const uint8_t *text, size_t bytes, bool specials,
                       size_t *at, uint32_t *id)
{
    const bool *first = tokenizer->match_first[which];
    const int only = tokenizer->match_only[which];
    for (size_t i = *at; i < bytes; i++) {
        if (only >= 0) {
            const uint8_t *found = memchr(text + i, only, bytes - i);
            if (found == NULL)
                return false;
            i = (size_t)(found - text);
        } else if (!first[text[i]]) {
            continue;
        }
        *id = match_at(tokenizer, which, text, bytes, i);
        if (*id == MILL_NO_ID)
            continue;
        if (specials || !is_control(tokenizer, *id)) {
            *at = i;
            return true;
        }
        i += tokenizer->tokens[*id].bytes - 1;
    }
    return false;
}

// Whether any token of this pass can match at all.
static bool has_matches(const mill_tokenizer *tokenizer, int which, bool specials)
{
    if (specials)
        return tokenizer->match_count[which] != 0;
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        if (!tokenizer->added[i].special && tokenizer->added[i].normalized == (which == 1))
            return true;
    }
    return false;
}

mill_status mill_tokenizer_normalize(const mill_tokenizer *tokenizer, const uint8_t *text, size_t bytes, mill_buf *out,
                                     mill_error *err)
{
    return tokenizer->nfc ? mill_nfc(text, bytes, out, err) : mill_buf_append(out, text, bytes, err);
}

// Second pass: tokens that are sought in normalized text.
static mill_status encode_normal(mill_encoder *encoder, const uint8_t *text, size_t bytes, bool specials, mill_ids *out,
                                 mill_error *err)
{
    size_t start = 0, at = 0;
    uint32_t id;
    if (encoder->tokenizer->nfc) {
        mill_buf_clear(&encoder->normal);
        MILL_TRY(mill_nfc(text, bytes, &encoder->normal, err));
        text = encoder->normal.data;
        bytes = encoder->normal.bytes;
    }
    if (has_matches(encoder->tokenizer, 1, specials)) {
        while (next_match(encoder->tokenizer, 1, text, bytes, specials, &at, &id)) {
            MILL_TRY(encode_plain(encoder, text + start, at - start, out, err));
            MILL_TRY(mill_ids_append(out, id, err));
            at += encoder->tokenizer->tokens[id].bytes;
            start = at;
        }
    }
    return encode_plain(encoder, text + start, bytes - start, out, err);
}

mill_status mill_encoder_encode(mill_encoder *encoder, const uint8_t *text, size_t bytes, bool specials, mill_ids *out,
                                mill_error *err)
{
    size_t start = 0, at = 0;
    uint32_t id;
    if (bytes >= UINT32_MAX / 3) // normalizing may make it longer
        return mill_fail(err, MILL_INPUT, "a text of %zu bytes is too long to be encoded", bytes);
    if (has_matches(encoder->tokenizer, 0, specials)) {
        while (next_match(encoder->tokenizer, 0, text, bytes, specials, &at, &id)) {
            if (at > start)
                MILL_TRY(encode_normal(encoder, text + start, at - start, specials, out, err));
            MILL_TRY(mill_ids_append(out, id, err));
            at += encoder->tokenizer->tokens[id].bytes;
            start = at;
        }
    }
    return start < bytes ? encode_normal(encoder, text + start, bytes - start, specials, out, err) : MILL_OK;
}

// ---- ahead ----

bool mill_encoder_use(mill_encoder *encoder, mill_backend *backend)
{
    return mill_ahead_open(&encoder->ahead, encoder->tokenizer, backend);
}

mill_status mill_encoder_foresee(mill_encoder *encoder, const uint8_t *text, size_t bytes, bool specials, mill_error *err)
{
    encoder->dummy.count = 0;
    encoder->ahead.listening = true;
    mill_status status = mill_encoder_encode(encoder, text, bytes, specials, &encoder->dummy, err);
    encoder->ahead.listening = false;
    return status;
}

static mill_status encode_piece(void *context, const uint8_t *piece, size_t bytes, mill_ids *out, mill_error *err)
{
    const mill_word_key key = mill_word_key_of(piece, 0, bytes, bytes);
    return encode_cold(context, piece, &key, out, err);
}

mill_status mill_encoder_prepare(mill_encoder *encoder, mill_error *err)
{
    return mill_ahead_run(&encoder->ahead, encode_piece, encoder, err);
}

size_t mill_encoder_foreseen(const mill_encoder *encoder)
{
    return encoder->ahead.count;
}

void mill_encoder_turn_to(mill_encoder *encoder, size_t place)
{
    encoder->ahead.next = place;
}

void mill_encoder_forget(mill_encoder *encoder)
{
    mill_ahead_forget(&encoder->ahead);
}
