// fuzz_utf8.c: validity, counting and replacement of UTF-8 agree with each other.
#include "core/utf8.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t bad = bytes, at = 0, bad_again = bytes;
    uint64_t replaced = 0, chars = 0;
    uint8_t *out = malloc(3 * bytes + 1);
    FUZZ_CHECK(out != NULL);
    bool valid = mill_utf8_valid(data, bytes, &bad);
    size_t out_bytes = mill_utf8_replace(data, bytes, out, &replaced);
    FUZZ_CHECK(out_bytes <= 3 * bytes);
    FUZZ_CHECK(mill_utf8_valid(out, out_bytes, &bad_again));
    FUZZ_CHECK(valid == (replaced == 0));
    FUZZ_CHECK(!valid || (out_bytes == bytes && (bytes == 0 || memcmp(out, data, bytes) == 0)));
    // One sequence after the other gives the same first bad byte.
    while (at < bytes) {
        size_t length = mill_utf8_sequence(data + at, bytes - at);
        if (length == 0)
            break;
        size_t decoded;
        uint8_t again[4];
        uint32_t c = mill_utf8_decode(data + at, &decoded);
        FUZZ_CHECK(decoded == length && mill_utf8_encode(c, again) == length && memcmp(again, data + at, length) == 0);
        at += length;
        chars++;
    }
    FUZZ_CHECK(valid == (at == bytes) && (valid || bad == at));
    FUZZ_CHECK(!valid || mill_utf8_count(data, bytes) == chars);
    free(out);
    return 0;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const char *const texts[] = {"plain text that is long enough for the wide loops: 0123456789abcdefghijklmnopqrstuvwxyz\n",
                                        "naïve données, 値 и данные 🙂\xf4\x8f\xbf\xbf\xef\xbf\xbf\xed\x9f\xbf",
                                        "\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82"};
    return fuzz_seed_text(number, texts, 3, out);
}
