// tokenizer_write.c: the files of a tokenizer: tokenizer.json exactly as the tokenizers package lays it out, and the two
// files that transformers 4 and 5 read beside it.
#include "tokenizer/bpe_model.h"
#include "tokenizer/pretok_json.h"

#include <string.h>

// A JSON string as the package writes it: only '"', '\\' and controls below U+0020 are escaped.
static mill_status put_string(mill_buf *out, const uint8_t *text, size_t bytes, mill_error *err)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "btn?fr"; // 8 .. 13
    MILL_TRY(mill_buf_reserve(out, 6 * bytes + 2, err));
    uint8_t *to = out->data + out->bytes;
    *to++ = '"';
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = text[i];
        if (c == '"' || c == '\\') {
            *to++ = '\\';
            *to++ = c;
        } else if (c >= 0x20) {
            *to++ = c;
        } else if (c >= 8 && c <= 13 && c != 11) {
            *to++ = '\\';
            *to++ = (uint8_t)shorts[c - 8];
        } else {
            memcpy(to, "\\u00", 4);
            to[4] = (uint8_t)hex[c >> 4];
            to[5] = (uint8_t)hex[c & 15];
            to += 6;
        }
    }
    *to++ = '"';
    out->bytes = (size_t)(to - out->data);
    return MILL_OK;
}

static mill_status put_token(mill_buf *out, const mill_tokenizer *tokenizer, uint32_t id, mill_error *err)
{
    return put_string(out, mill_token_text(tokenizer, id), tokenizer->tokens[id].bytes, err);
}

// List brackets: nothing between them stays on one line.
static mill_status open_list(mill_buf *out, const char *open, bool empty, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, open, err));
    return empty ? MILL_OK : mill_buf_append_text(out, "\n", err);
}

static mill_status put_added(const mill_tokenizer *tokenizer, mill_buf *out, mill_error *err)
{
    MILL_TRY(open_list(out, "  \"added_tokens\": [", tokenizer->added_count == 0, err));
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const mill_added *added = &tokenizer->added[i];
        MILL_TRY(mill_buf_printf(out, err, "    {\n      \"id\": %u,\n      \"content\": ", added->id));
        MILL_TRY(put_token(out, tokenizer, added->id, err));
        MILL_TRY(mill_buf_printf(out, err,
                                 ",\n      \"single_word\": false,\n      \"lstrip\": false,\n      \"rstrip\": false,\n"
                                 "      \"normalized\": %s,\n      \"special\": %s\n    }%s\n",
                                 added->normalized ? "true" : "false", added->special ? "true" : "false",
                                 i + 1 < tokenizer->added_count ? "," : ""));
    }
    return mill_buf_append_text(out, tokenizer->added_count == 0 ? "],\n" : "  ],\n", err);
}

static mill_status put_byte_level(mill_buf *out, const char *indent, bool trim_offsets, bool use_regex, mill_error *err)
{
    return mill_buf_printf(out, err,
                           "{\n%s  \"type\": \"ByteLevel\",\n%s  \"add_prefix_space\": false,\n%s  \"trim_offsets\": %s,\n"
                           "%s  \"use_regex\": %s\n%s}",
                           indent, indent, indent, trim_offsets ? "true" : "false", indent, use_regex ? "true" : "false",
                           indent);
}

static mill_status put_split(mill_buf *out, const char *pattern, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "{\n        \"type\": \"Split\",\n        \"pattern\": {\n          \"Regex\": ", err));
    MILL_TRY(put_string(out, (const uint8_t *)pattern, strlen(pattern), err));
    return mill_buf_append_text(
        out, "\n        },\n        \"behavior\": \"Isolated\",\n        \"invert\": false\n      }", err);
}

static mill_status put_pretok(const mill_tokenizer *tokenizer, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "  \"pre_tokenizer\": ", err));
    if (tokenizer->pretok == MILL_PRETOK_GPT2) {
        MILL_TRY(put_byte_level(out, "  ", tokenizer->trim_offsets, true, err));
        return mill_buf_append_text(out, ",\n", err);
    }
    MILL_TRY(mill_buf_append_text(out, "{\n    \"type\": \"Sequence\",\n    \"pretokenizers\": [\n      ", err));
    bool digits = tokenizer->pretok == MILL_PRETOK_DIGITS_GPT2;
    if (digits)
        MILL_TRY(mill_buf_append_text(
            out, "{\n        \"type\": \"Digits\",\n        \"individual_digits\": true\n      }", err));
    else
        MILL_TRY(put_split(out, tokenizer->pretok == MILL_PRETOK_QWEN2 ? MILL_PATTERN_QWEN2 : MILL_PATTERN_CL100K, err));
    MILL_TRY(mill_buf_append_text(out, ",\n      ", err));
    MILL_TRY(put_byte_level(out, "      ", tokenizer->trim_offsets, digits, err));
    return mill_buf_append_text(out, "\n    ]\n  },\n", err);
}

static mill_status put_vocab(const mill_tokenizer *tokenizer, mill_buf *out, mill_error *err)
{
    bool any = false;
    for (uint32_t id = 0; id < tokenizer->token_count; id++) {
        if (!tokenizer->tokens[id].model)
            continue;
        MILL_TRY(mill_buf_append_text(out, any ? ",\n      " : "    \"vocab\": {\n      ", err));
        MILL_TRY(put_token(out, tokenizer, id, err));
        MILL_TRY(mill_buf_append_text(out, ": ", err));
        MILL_TRY(mill_buf_append_u64(out, id, err));
        any = true;
    }
    return mill_buf_append_text(out, any ? "\n    },\n" : "    \"vocab\": {},\n", err);
}

static mill_status put_merges(const mill_tokenizer *tokenizer, mill_buf *out, mill_error *err)
{
    MILL_TRY(open_list(out, "    \"merges\": [", tokenizer->merge_count == 0, err));
    for (size_t i = 0; i < tokenizer->merge_count; i++) {
        MILL_TRY(mill_buf_append_text(out, "      [\n        ", err));
        MILL_TRY(put_token(out, tokenizer, tokenizer->merges[i].left, err));
        MILL_TRY(mill_buf_append_text(out, ",\n        ", err));
        MILL_TRY(put_token(out, tokenizer, tokenizer->merges[i].right, err));
        MILL_TRY(mill_buf_append_text(out, i + 1 < tokenizer->merge_count ? "\n      ],\n" : "\n      ]\n", err));
    }
    return mill_buf_append_text(out, tokenizer->merge_count == 0 ? "]\n" : "    ]\n", err);
}

mill_status mill_tokenizer_write_json(const mill_tokenizer *tokenizer, bool decoder, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(
        out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n", err));
    MILL_TRY(put_added(tokenizer, out, err));
    MILL_TRY(mill_buf_append_text(
        out, tokenizer->nfc ? "  \"normalizer\": {\n    \"type\": \"NFC\"\n  },\n" : "  \"normalizer\": null,\n", err));
    MILL_TRY(put_pretok(tokenizer, out, err));
    MILL_TRY(mill_buf_append_text(
        out,
        decoder ? "  \"post_processor\": null,\n  \"decoder\": {\n    \"type\": \"ByteLevel\",\n"
                  "    \"add_prefix_space\": true,\n    \"trim_offsets\": true,\n    \"use_regex\": true\n  },\n"
                : "  \"post_processor\": null,\n  \"decoder\": null,\n",
        err));
    MILL_TRY(mill_buf_printf(out, err,
                             "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
                             "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
                             "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": %s,\n",
                             tokenizer->ignore_merges ? "true" : "false"));
    MILL_TRY(put_vocab(tokenizer, out, err));
    MILL_TRY(put_merges(tokenizer, out, err));
    return mill_buf_append_text(out, "  }\n}", err);
}

static mill_status put_field(mill_buf *out, const char *key, const char *text, const char *end, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "  \"%s\": ", key));
    MILL_TRY(put_string(out, (const uint8_t *)text, strlen(text), err));
    return mill_buf_append_text(out, end, err);
}

mill_status mill_tokenizer_write_config(const mill_tokenizer *tokenizer, const char *eos, uint64_t model_max_length,
                                        mill_buf *out, mill_error *err)
{
    (void)tokenizer;
    MILL_TRY(mill_buf_append_text(out, "{\n  \"clean_up_tokenization_spaces\": false,\n", err));
    if (eos != NULL)
        MILL_TRY(put_field(out, "eos_token", eos, ",\n", err));
    MILL_TRY(mill_buf_append_text(out, "  \"model_max_length\": ", err));
    MILL_TRY(mill_buf_append_u64(out, model_max_length, err));
    MILL_TRY(mill_buf_append_text(out, ",\n", err));
    if (eos != NULL)
        MILL_TRY(put_field(out, "pad_token", eos, ",\n", err));
    return mill_buf_append_text(out, "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n", err);
}

mill_status mill_tokenizer_write_specials(const mill_tokenizer *tokenizer, const char *eos, mill_buf *out, mill_error *err)
{
    (void)tokenizer;
    if (eos == NULL)
        return mill_buf_append_text(out, "{}\n", err);
    MILL_TRY(mill_buf_append_text(out, "{\n", err));
    MILL_TRY(put_field(out, "eos_token", eos, ",\n", err));
    MILL_TRY(put_field(out, "pad_token", eos, "\n", err));
    return mill_buf_append_text(out, "}\n", err);
}
