// fuzz_tokenizer.c: a tokenizer.json of any bytes is refused, or becomes a tokenizer that encodes, and that comes back from what it
// writes.
#include "fuzz.h"
#include "tokenizer/tokenizer.h"

static const char sample[] = "def add(a, b):\n    return a + b  # naïve 値 12345\n<|endoftext|>\t\tx\n";

static void encode_sample(const mill_tokenizer *tokenizer, bool specials, mill_ids *ids)
{
    mill_encoder *encoder;
    FUZZ_OK(mill_encoder_open(tokenizer, &encoder, NULL));
    FUZZ_OK(mill_encoder_encode(encoder, (const uint8_t *)sample, sizeof sample - 1, specials, ids, NULL));
    for (size_t i = 0; i < ids->count; i++)
        FUZZ_CHECK(ids->data[i] < mill_tokenizer_vocab_size(tokenizer));
    mill_encoder_close(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    mill_error err = {0};
    mill_tokenizer *tokenizer = NULL, *again = NULL;
    mill_buf json = {0};
    if (mill_tokenizer_parse(data, bytes, "x.json", &tokenizer, &err) != MILL_OK) {
        FUZZ_CHECK(tokenizer == NULL && err.message[0] != '\0');
        return 0;
    }
    FUZZ_OK(mill_tokenizer_write_json(tokenizer, true, &json, &err));
    FUZZ_OK(mill_tokenizer_parse(json.data, json.bytes, "again.json", &again, &err));
    FUZZ_CHECK(mill_tokenizer_vocab_size(tokenizer) == mill_tokenizer_vocab_size(again));
    for (int specials = 0; specials < 2; specials++) {
        mill_ids a = {0}, b = {0};
        encode_sample(tokenizer, specials != 0, &a);
        encode_sample(again, specials != 0, &b);
        FUZZ_CHECK(a.count == b.count && (a.count == 0 || memcmp(a.data, b.data, a.count * sizeof *a.data) == 0));
        mill_ids_free(&a);
        mill_ids_free(&b);
    }
    mill_buf_free(&json);
    mill_tokenizer_close(tokenizer);
    mill_tokenizer_close(again);
    return 0;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const char *const specials[] = {"<|endoftext|>", "<|pad|>"};
    if (number > 3)
        return false;
    mill_word_counts *counts;
    mill_tokenizer *tokenizer;
    mill_train_options options = {.vocab_size = number % 2 == 0 ? 40 : 280, .min_frequency = 1, .full_alphabet = number % 2 != 0,
                                  .specials = specials, .special_count = 2};
    FUZZ_OK(mill_word_counts_open((mill_pretok)number, &counts, NULL));
    FUZZ_OK(mill_word_counts_add(counts, (const uint8_t *)sample, sizeof sample - 1, NULL));
    FUZZ_OK(mill_tokenizer_train(counts, &options, NULL, NULL, &tokenizer, NULL));
    FUZZ_OK(mill_tokenizer_write_json(tokenizer, number < 2, out, NULL));
    mill_tokenizer_close(tokenizer);
    mill_word_counts_close(counts);
    return true;
}
