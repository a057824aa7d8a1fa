// fuzz_encode.c: the encoder equals the definition of BPE, written down naively, for vocabularies and texts of any bytes.
#include "core/utf8.h"
#include "fuzz.h"
#include "tokenizer/bpe_model.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pretok.h"

// Input: u8 pre-tokenizer | u8 merges | two bytes a merge (places in the list of tokens so far) | text.
static mill_tokenizer *make_tokenizer(const uint8_t **data, size_t *bytes)
{
    mill_tokenizer *tokenizer;
    mill_buf text = {0};
    FUZZ_OK(mill_tokenizer_create(&tokenizer, NULL));
    tokenizer->pretok = (mill_pretok)((*data)[0] % 4);
    uint32_t wanted = (*data)[1], count = 256;
    *data += 2;
    *bytes -= 2;
    for (uint32_t id = 0; id < 256; id++) {
        uint8_t byte = (uint8_t)id;
        mill_buf_clear(&text);
        FUZZ_OK(mill_byte_level_write(&byte, 1, &text, NULL));
        FUZZ_OK(mill_tokenizer_set_token(tokenizer, id, text.data, text.bytes, true, NULL));
    }
    for (; wanted != 0 && *bytes >= 2; wanted--, *data += 2, *bytes -= 2) {
        // Small numbers are the latest tokens, so that merges build on merges.
        uint32_t left = (*data)[0] < 0x80 ? (*data)[0] : count - 1 - ((*data)[0] & 0x7f);
        uint32_t right = (*data)[1] < 0x80 ? (*data)[1] : count - 1 - ((*data)[1] & 0x7f);
        mill_buf_clear(&text);
        FUZZ_OK(mill_buf_append(&text, mill_token_text(tokenizer, left), tokenizer->tokens[left].bytes, NULL));
        FUZZ_OK(mill_buf_append(&text, mill_token_text(tokenizer, right), tokenizer->tokens[right].bytes, NULL));
        bool known = text.bytes > 200;
        for (uint32_t id = 0; id < count && !known; id++)
            known = tokenizer->tokens[id].bytes == text.bytes && memcmp(mill_token_text(tokenizer, id), text.data, text.bytes) == 0;
        if (known) // one string has one id
            continue;
        FUZZ_OK(mill_tokenizer_set_token(tokenizer, count, text.data, text.bytes, true, NULL));
        FUZZ_OK(mill_tokenizer_add_merge(tokenizer, (mill_merge){left, right, count}, NULL));
        count++;
    }
    FUZZ_OK(mill_tokenizer_finish(tokenizer, NULL));
    mill_buf_free(&text);
    return tokenizer;
}

// Again and again the first merge of the list that can be done, at its leftmost place.
static size_t naive_piece(const mill_tokenizer *tokenizer, uint32_t *ids, size_t count)
{
    for (size_t m = 0; m < tokenizer->merge_count;) {
        const mill_merge *merge = &tokenizer->merges[m];
        size_t at = 0;
        while (at + 1 < count && (ids[at] != merge->left || ids[at + 1] != merge->right))
            at++;
        if (at + 1 >= count) {
            m++;
            continue;
        }
        ids[at] = merge->id;
        memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof *ids);
        count--;
        m = 0;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    mill_tokenizer *tokenizer = make_tokenizer(&data, &bytes);
    bytes = bytes < 2000 ? bytes : 2000; // the naive form is cubic
    uint8_t *text = malloc(3 * bytes + 1);
    uint32_t *ends = malloc((3 * bytes + 1) * sizeof *ends), *ids = malloc((3 * bytes + 1) * sizeof *ids);
    FUZZ_CHECK(text != NULL && ends != NULL && ids != NULL);
    uint64_t replaced = 0;
    bytes = mill_utf8_replace(data, bytes, text, &replaced);
    size_t pieces = mill_pretok_split_ref(tokenizer->pretok, text, bytes, ends), count = 0;
    for (size_t p = 0, at = 0; p < pieces; at = ends[p++]) {
        size_t piece = ends[p] - at;
        for (size_t i = 0; i < piece; i++)
            ids[count + i] = text[at + i];
        count += naive_piece(tokenizer, ids + count, piece);
    }
    mill_encoder *encoder;
    FUZZ_OK(mill_encoder_open(tokenizer, &encoder, NULL));
    for (int round = 0; round < 2; round++) { // the second time from its cache
        mill_ids seen = {0};
        FUZZ_OK(mill_encoder_encode(encoder, text, bytes, false, &seen, NULL));
        FUZZ_CHECK(seen.count == count && (count == 0 || memcmp(seen.data, ids, count * sizeof *ids) == 0));
        mill_ids_free(&seen);
    }
    mill_encoder_close(encoder);
    mill_tokenizer_close(tokenizer);
    free(text);
    free(ends);
    free(ids);
    return 0;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const char text[] = "def ababab(aa, bb):\n\treturn  aa+bb # 12345 don't naïve 値値 ababababaaaabbbb\r\n   "
                               "aaaaaaaaaaaaaaaaaaaaaa abcabcabcabcabc\n";
    static const uint8_t merges[] = {'a', 'b', 0x80, 0x80, 'a', 'a', 0x80, 0x80, ' ', 'a', 'b',
                                     'a', 'r', 'e',  0x80, 't', 'a', 0x83, 0x82, 'b', ' ', ' '};
    if (number >= 4)
        return false;
    const uint8_t head[2] = {(uint8_t)number, sizeof merges / 2};
    FUZZ_OK(mill_buf_append(out, head, 2, NULL));
    FUZZ_OK(mill_buf_append(out, merges, sizeof merges, NULL));
    FUZZ_OK(mill_buf_append(out, text, sizeof text - 1, NULL));
    return true;
}
