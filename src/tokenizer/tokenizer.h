// tokenizer.h: byte-level BPE. Training equals Hugging Face's BpeTrainer, encoding equals its encoder, files are its
// tokenizer.json. A tokenizer is immutable after it was made and may be shared by threads; encoders are one a thread.
#ifndef MILL_TOKENIZER_TOKENIZER_H
#define MILL_TOKENIZER_TOKENIZER_H

#include "backend/backend.h"
#include "core/fs.h"

typedef enum mill_pretok { // how text is cut into words
    MILL_PRETOK_GPT2,        // ByteLevel(use_regex)
    MILL_PRETOK_DIGITS_GPT2, // Digits(individual) > ByteLevel(use_regex)
    MILL_PRETOK_CL100K,      // Split BASE3 > ByteLevel (Llama-3, cl100k)
    MILL_PRETOK_QWEN2,       // Split BASE1 > ByteLevel
} mill_pretok;

// Cuts valid UTF-8 into pieces: calls back nothing, writes the end offset of each piece. ends has room for `bytes` entries.
// Returns the number of pieces.
size_t mill_pretok_split(mill_pretok kind, const uint8_t *text, size_t bytes, uint32_t *ends);

typedef struct mill_train_options {
    uint32_t vocab_size;
    uint64_t min_frequency;
    uint32_t max_token_length;      // 0: none; else HF's rule (bytes < max)
    bool full_alphabet;             // all 256 bytes get ids; false: only bytes that occur (the guide)
    const char *const *specials;    // in id order
    uint32_t special_count;
    uint32_t threads;               // that may share the occurrences of a merge; 0: one. The result is the same
    mill_backend *backend;          // learns the merges if it has a way of its own; may be NULL. The result is the same
    bool keep_words;                // the tokenizer is to encode what it is trained on: it keeps the ids of long words, about
                                    // 60 bytes for each. Ids are the same
    struct mill_word_counts *spent; // the counts that are trained on, to be emptied as soon as they are not needed: half of the
                                    // memory of training; NULL: they stay
} mill_train_options;

// Counts words. One handle a thread; handles are merged before training. Order of calls never shows in the result.
typedef struct mill_word_counts mill_word_counts;
mill_status mill_word_counts_open(mill_pretok kind, mill_word_counts **out, mill_error *err) MILL_MUST_CHECK;
void mill_word_counts_close(mill_word_counts *counts);
// Adds one text (document, or line). bytes < 2^32.
mill_status mill_word_counts_add(mill_word_counts *counts, const uint8_t *text, size_t bytes, mill_error *err) MILL_MUST_CHECK;
// Adds texts. Their words are counted by the backend where it can do that and the pattern is GPT-2's; backend may be NULL.
mill_status mill_word_counts_add_texts(mill_word_counts *counts, mill_backend *backend, const mill_text_view *texts,
                                       mill_error *err) MILL_MUST_CHECK;
// Adds all of `other` to `counts`.
mill_status mill_word_counts_merge(mill_word_counts *counts, const mill_word_counts *other, mill_error *err) MILL_MUST_CHECK;
// Adds `others` (entries may be NULL) to `counts` and empties them, on several threads.
mill_status mill_word_counts_sum(mill_word_counts *counts, mill_word_counts **others, size_t other_count, uint32_t threads,
                                 mill_error *err) MILL_MUST_CHECK;
uint64_t mill_word_counts_unique(const mill_word_counts *counts);
uint64_t mill_word_counts_total(const mill_word_counts *counts);
uint64_t mill_word_counts_memory(const mill_word_counts *counts); // bytes that it holds
void mill_word_counts_clear(mill_word_counts *counts);            // no words, and no memory but a little
// Bytes that training on these words takes at its peak, spent counts not included; about.
uint64_t mill_tokenizer_train_memory(const mill_word_counts *counts);

typedef struct mill_tokenizer mill_tokenizer;

// progress, if not NULL, is called now and then with merges done; a nonzero result stops (MILL_STOPPED).
mill_status mill_tokenizer_train(const mill_word_counts *counts, const mill_train_options *options,
                                 int (*progress)(void *context, uint32_t done, uint32_t wanted), void *context,
                                 mill_tokenizer **out, mill_error *err) MILL_MUST_CHECK;
// Parses a tokenizer.json (name for messages). What it does not understand is refused, never guessed: MILL_INPUT.
mill_status mill_tokenizer_parse(const uint8_t *json, size_t bytes, const char *name, mill_tokenizer **out,
                                 mill_error *err) MILL_MUST_CHECK;
void mill_tokenizer_close(mill_tokenizer *tokenizer);
// What a user of a parsed file should know before using it. Encoding equals add_special_tokens=False: a template's tokens (BOS)
// are not added. A normalizer makes texts that are not in its form decode to other bytes.
bool mill_tokenizer_has_template(const mill_tokenizer *tokenizer);
bool mill_tokenizer_normalizes(const mill_tokenizer *tokenizer);
// Appends the text (valid UTF-8) as the tokenizer's normalizer leaves it. Any stretch of the result is stable: encoding it
// changes nothing more.
mill_status mill_tokenizer_normalize(const mill_tokenizer *tokenizer, const uint8_t *text, size_t bytes, mill_buf *out,
                                     mill_error *err) MILL_MUST_CHECK;

// The three files, appended to out. tokenizer.json is laid out as HF's Tokenizer.save(pretty=True); decoder: write a ByteLevel
// decoder (the guide sets none). A parsed tokenizer is written back equivalent (same ids).
mill_status mill_tokenizer_write_json(const mill_tokenizer *tokenizer, bool decoder, mill_buf *out,
                                      mill_error *err) MILL_MUST_CHECK;
// eos_token and pad_token; loads in transformers 4 and 5.
mill_status mill_tokenizer_write_config(const mill_tokenizer *tokenizer, const char *eos, uint64_t model_max_length,
                                        mill_buf *out, mill_error *err) MILL_MUST_CHECK;
mill_status mill_tokenizer_write_specials(const mill_tokenizer *tokenizer, const char *eos, mill_buf *out, mill_error *err)
    MILL_MUST_CHECK;

uint32_t mill_tokenizer_vocab_size(const mill_tokenizer *tokenizer);        // ids are below this
uint32_t mill_tokenizer_merge_count(const mill_tokenizer *tokenizer);
// Id of an added (special) token by its content, or -1.
int64_t mill_tokenizer_special(const mill_tokenizer *tokenizer, const char *content);
bool mill_tokenizer_is_special(const mill_tokenizer *tokenizer, uint32_t id);
// Bytes of a token (special: its content); valid as long as the tokenizer. NULL if there is no such id.
const uint8_t *mill_tokenizer_bytes(const mill_tokenizer *tokenizer, uint32_t id, uint32_t *bytes);

void mill_ids_free(mill_ids *ids);
mill_status mill_ids_append(mill_ids *ids, uint32_t id, mill_error *err) MILL_MUST_CHECK;

typedef struct mill_encoder mill_encoder; // one thread's: caches of words
mill_status mill_encoder_open(const mill_tokenizer *tokenizer, mill_encoder **out, mill_error *err) MILL_MUST_CHECK;
void mill_encoder_close(mill_encoder *encoder);
// Appends the ids of one text. specials: special strings in the text become control tokens (the guide); false: plain text.
mill_status mill_encoder_encode(mill_encoder *encoder, const uint8_t *text, size_t bytes, bool specials, mill_ids *out,
                                mill_error *err) MILL_MUST_CHECK;

// Encoding ahead on a backend: the texts of a batch are foreseen, prepared in one go, and then asked for by encode as ever, which
// finds their ids. Guesses need not be right: what was not foreseen is encoded when it is asked for. False: this backend has no
// way to encode with this tokenizer, and the calls below are of no use.
bool mill_encoder_use(mill_encoder *encoder, mill_backend *backend);
mill_status mill_encoder_foresee(mill_encoder *encoder, const uint8_t *text, size_t bytes, bool specials, mill_error *err)
    MILL_MUST_CHECK;
mill_status mill_encoder_prepare(mill_encoder *encoder, mill_error *err) MILL_MUST_CHECK;
// The place among the foreseen texts: before foreseeing, to come back to it before encoding what was foreseen from there on.
size_t mill_encoder_foreseen(const mill_encoder *encoder);
void mill_encoder_turn_to(mill_encoder *encoder, size_t place);
void mill_encoder_forget(mill_encoder *encoder); // before the next batch

#endif
