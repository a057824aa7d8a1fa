// byte_level.c: the byte-level alphabet.
#include "tokenizer/byte_level.h"

#include "core/utf8.h"

uint32_t mill_byte_level_char(uint8_t byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7f && byte <= 0xa0)
        return 0x121u + (byte - 0x7fu);
    return byte == 0xad ? 0x143u : byte;
}

int mill_byte_level_byte(uint32_t c)
{
    if (c >= 0x100)
        return c <= 0x120 ? (int)(c - 0x100) : c <= 0x142 ? (int)(c - 0x121 + 0x7f) : c == 0x143 ? 0xad : -1;
    bool own = (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c != 0xad);
    return own ? (int)c : -1;
}

mill_status mill_byte_level_write(const uint8_t *data, size_t bytes, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_reserve(out, 2 * bytes, err));
    for (size_t i = 0; i < bytes; i++)
        out->bytes += mill_utf8_encode(mill_byte_level_char(data[i]), out->data + out->bytes);
    return MILL_OK;
}

bool mill_byte_level_read(const uint8_t *text, size_t bytes, uint8_t *out, size_t *out_bytes)
{
    size_t count = 0, length;
    for (size_t at = 0; at < bytes; at += length) {
        int byte = mill_byte_level_byte(mill_utf8_decode(text + at, &length));
        if (byte < 0)
            return false;
        out[count++] = (uint8_t)byte;
    }
    *out_bytes = count;
    return true;
}
