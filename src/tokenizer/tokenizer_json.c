// tokenizer_json.c: reads a tokenizer.json. Whatever could change ids and is not supported is refused by naming its key and
// value; nothing is guessed.
#include "tokenizer/bpe_model.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pretok_json.h"

#include "core/hash.h"

#include <string.h>
#include <yyjson.h>

#define FILE_BYTES_MAX ((size_t)256 << 20)

typedef struct reader {
    const char *name; // of the file, for messages
    mill_tokenizer *tokenizer;
    uint32_t *by_text; // ids of the model's vocabulary by their strings
    size_t by_text_mask;
    size_t model_count; // entries of the vocabulary
    mill_buf text;      // scratch
    bool needs_bytes;   // all 256 bytes must be in the vocabulary
} reader;

static void *json_alloc(void *context, size_t bytes)
{
    (void)context;
    return mill_alloc(bytes);
}

static void *json_realloc(void *context, void *pointer, size_t old_bytes, size_t bytes)
{
    (void)context;
    (void)old_bytes;
    return mill_realloc(pointer, bytes);
}

static void json_free(void *context, void *pointer)
{
    (void)context;
    mill_free(pointer);
}

static bool is_text(yyjson_val *value, const char *text)
{
    return yyjson_is_str(value) && yyjson_equals_str(value, text);
}

// "KEY VALUE is not supported", with strings shown and the type of an object.
static mill_status refuse(const reader *r, const char *key, yyjson_val *value, mill_error *err)
{
    yyjson_val *type = yyjson_is_obj(value) ? yyjson_obj_get(value, "type") : NULL;
    if (yyjson_is_str(value))
        return mill_fail(err, MILL_INPUT, "%s: %s \"%.120s\" is not supported", r->name, key, yyjson_get_str(value));
    if (type != NULL && yyjson_is_str(type))
        return mill_fail(err, MILL_INPUT, "%s: %s of type \"%.120s\" is not supported", r->name, key, yyjson_get_str(type));
    if (yyjson_is_bool(value))
        return mill_fail(err, MILL_INPUT, "%s: %s %s is not supported", r->name, key, yyjson_get_bool(value) ? "true" : "false");
    if (yyjson_is_num(value))
        return mill_fail(err, MILL_INPUT, "%s: %s %.6g is not supported", r->name, key, yyjson_get_num(value));
    return mill_fail(err, MILL_INPUT, "%s: %s is %s: not supported here", r->name, key,
                     value == NULL ? "missing" : yyjson_get_type_desc(value));
}

// A boolean that may be absent.
static mill_status get_bool(const reader *r, yyjson_val *object, const char *key, bool absent, bool *out, mill_error *err)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    *out = absent;
    if (value == NULL)
        return MILL_OK;
    if (!yyjson_is_bool(value))
        return refuse(r, key, value, err);
    *out = yyjson_get_bool(value);
    return MILL_OK;
}

// The boolean must have this value.
static mill_status want_bool(const reader *r, yyjson_val *object, const char *key, bool absent, bool wanted, mill_error *err)
{
    bool value;
    MILL_TRY(get_bool(r, object, key, absent, &value, err));
    if (value != wanted)
        return mill_fail(err, MILL_INPUT, "%s: %s %s is not supported", r->name, key, value ? "true" : "false");
    return MILL_OK;
}

static mill_status want_keys(const reader *r, yyjson_val *object, const char *what, const char *const *known, mill_error *err)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter)) != NULL;) {
        size_t i = 0;
        while (known[i] != NULL && !yyjson_equals_str(key, known[i]))
            i++;
        if (known[i] == NULL)
            return mill_fail(err, MILL_INPUT, "%s: unknown key \"%.120s\" in %s", r->name, yyjson_get_str(key), what);
    }
    return MILL_OK;
}

// ---- pre-tokenizer, normalizer, post-processor, decoder

static mill_status read_byte_level(reader *r, yyjson_val *value, bool use_regex, mill_error *err)
{
    if (!is_text(yyjson_obj_get(value, "type"), "ByteLevel"))
        return refuse(r, "pre_tokenizer", value, err);
    MILL_TRY(want_bool(r, value, "add_prefix_space", true, false, err));
    MILL_TRY(want_bool(r, value, "use_regex", true, use_regex, err));
    return get_bool(r, value, "trim_offsets", true, &r->tokenizer->trim_offsets, err);
}

static mill_status read_split(reader *r, yyjson_val *value, mill_error *err)
{
    yyjson_val *pattern = yyjson_obj_get(yyjson_obj_get(value, "pattern"), "Regex");
    yyjson_val *behavior = yyjson_obj_get(value, "behavior");
    if (is_text(pattern, MILL_PATTERN_CL100K))
        r->tokenizer->pretok = MILL_PRETOK_CL100K;
    else if (is_text(pattern, MILL_PATTERN_QWEN2))
        r->tokenizer->pretok = MILL_PRETOK_QWEN2;
    else
        return refuse(r, "pre_tokenizer Split pattern Regex", pattern, err);
    if (!is_text(behavior, "Isolated"))
        return refuse(r, "pre_tokenizer Split behavior", behavior, err);
    return want_bool(r, value, "invert", false, false, err);
}

static mill_status read_pretok(reader *r, yyjson_val *value, mill_error *err)
{
    yyjson_val *list = yyjson_obj_get(value, "pretokenizers");
    r->tokenizer->pretok = MILL_PRETOK_GPT2;
    if (!is_text(yyjson_obj_get(value, "type"), "Sequence"))
        return read_byte_level(r, value, true, err);
    if (yyjson_arr_size(list) == 1)
        return read_byte_level(r, yyjson_arr_get(list, 0), true, err);
    if (yyjson_arr_size(list) != 2)
        return mill_fail(err, MILL_INPUT, "%s: pre_tokenizer Sequence of %zu steps is not supported", r->name,
                         yyjson_arr_size(list));
    yyjson_val *first = yyjson_arr_get(list, 0), *type = yyjson_obj_get(first, "type");
    bool digits = is_text(type, "Digits");
    if (digits) {
        MILL_TRY(want_bool(r, first, "individual_digits", false, true, err));
        r->tokenizer->pretok = MILL_PRETOK_DIGITS_GPT2;
    } else if (is_text(type, "Split")) {
        MILL_TRY(read_split(r, first, err));
    } else {
        return refuse(r, "pre_tokenizer Sequence step", first, err);
    }
    return read_byte_level(r, yyjson_arr_get(list, 1), digits, err);
}

static mill_status read_normalizer(reader *r, yyjson_val *value, mill_error *err)
{
    if (value == NULL || yyjson_is_null(value))
        return MILL_OK;
    if (!is_text(yyjson_obj_get(value, "type"), "NFC"))
        return refuse(r, "normalizer", value, err);
    r->tokenizer->nfc = true;
    return MILL_OK;
}

// A template's tokens (a BOS, say) are what a caller of the package may ask for with add_special_tokens: no text has them, and
// documents are framed by the recipe here, so they are remembered for the caller to tell, not added. One level of Sequence.
static mill_status read_post(reader *r, yyjson_val *value, bool nested, mill_error *err)
{
    if (value == NULL || yyjson_is_null(value))
        return MILL_OK;
    yyjson_val *type = yyjson_obj_get(value, "type");
    if (is_text(type, "ByteLevel"))
        return MILL_OK;
    if (is_text(type, "TemplateProcessing")) {
        if (yyjson_obj_size(yyjson_obj_get(value, "special_tokens")) != 0)
            r->tokenizer->has_template = true;
        return MILL_OK;
    }
    yyjson_val *list = yyjson_obj_get(value, "processors");
    if (nested || !is_text(type, "Sequence") || !yyjson_is_arr(list))
        return refuse(r, "post_processor", value, err);
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (yyjson_val *step; (step = yyjson_arr_iter_next(&iter)) != NULL;)
        MILL_TRY(read_post(r, step, true, err));
    return MILL_OK;
}

static mill_status read_decoder(reader *r, yyjson_val *value, mill_error *err)
{
    if (value == NULL || yyjson_is_null(value) || is_text(yyjson_obj_get(value, "type"), "ByteLevel"))
        return MILL_OK;
    return refuse(r, "decoder", value, err);
}

// ---- model

static uint32_t *find_text(const reader *r, const char *text, size_t bytes)
{
    for (size_t at = XXH3_64bits(text, bytes) & r->by_text_mask;; at = (at + 1) & r->by_text_mask) {
        uint32_t *id = &r->by_text[at];
        if (*id == MILL_NO_ID)
            return id;
        const mill_token *token = &r->tokenizer->tokens[*id];
        if (token->bytes == bytes && memcmp(mill_token_text(r->tokenizer, *id), text, bytes) == 0)
            return id;
    }
}

static mill_status read_vocab(reader *r, yyjson_val *vocab, mill_error *err)
{
    if (!yyjson_is_obj(vocab))
        return refuse(r, "model vocab", vocab, err);
    r->model_count = yyjson_obj_size(vocab);
    size_t size = 64;
    while (size < 2 * r->model_count)
        size *= 2;
    r->by_text = mill_alloc_zero(size, sizeof *r->by_text);
    if (r->by_text == NULL)
        return mill_fail_nomem(err, "reading a vocabulary");
    memset(r->by_text, 0xff, size * sizeof *r->by_text);
    r->by_text_mask = size - 1;
    yyjson_obj_iter iter = yyjson_obj_iter_with(vocab);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter)) != NULL;) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        const char *text = yyjson_get_str(key);
        size_t bytes = yyjson_get_len(key);
        if (!yyjson_is_uint(value) || yyjson_get_uint(value) >= MILL_ID_LIMIT)
            return mill_fail(err, MILL_INPUT, "%s: the id of \"%.120s\" is not an integer from 0 to %u", r->name, text,
                             MILL_ID_LIMIT - 1);
        uint32_t id = (uint32_t)yyjson_get_uint(value), *place = find_text(r, text, bytes);
        if (*place != MILL_NO_ID)
            return mill_fail(err, MILL_INPUT, "%s: the vocabulary lists \"%.120s\" twice", r->name, text);
        if (id < r->tokenizer->token_count && r->tokenizer->tokens[id].present)
            return mill_fail(err, MILL_INPUT, "%s: the vocabulary gives id %u twice", r->name, id);
        MILL_TRY(mill_tokenizer_set_token(r->tokenizer, id, (const uint8_t *)text, bytes, true, err));
        *place = id;
    }
    return MILL_OK;
}

static mill_status lookup(const reader *r, const char *text, size_t bytes, size_t rank, uint32_t *id, mill_error *err)
{
    *id = *find_text(r, text, bytes);
    if (*id == MILL_NO_ID)
        return mill_fail(err, MILL_INPUT, "%s: merge %zu needs \"%.*s\", which the vocabulary lacks", r->name, rank,
                         bytes < 120 ? (int)bytes : 120, text);
    return MILL_OK;
}

static mill_status add_merge(reader *r, const char *left, size_t left_bytes, const char *right, size_t right_bytes,
                             mill_error *err)
{
    size_t rank = r->tokenizer->merge_count;
    mill_merge merge;
    MILL_TRY(lookup(r, left, left_bytes, rank, &merge.left, err));
    MILL_TRY(lookup(r, right, right_bytes, rank, &merge.right, err));
    mill_buf_clear(&r->text);
    MILL_TRY(mill_buf_append(&r->text, left, left_bytes, err));
    MILL_TRY(mill_buf_append(&r->text, right, right_bytes, err));
    MILL_TRY(lookup(r, (const char *)r->text.data, r->text.bytes, rank, &merge.id, err));
    return mill_tokenizer_add_merge(r->tokenizer, merge, err);
}

static mill_status read_merge(reader *r, yyjson_val *merge, mill_error *err)
{
    yyjson_val *left = yyjson_arr_get(merge, 0), *right = yyjson_arr_get(merge, 1);
    if (yyjson_arr_size(merge) == 2 && yyjson_is_str(left) && yyjson_is_str(right))
        return add_merge(r, yyjson_get_str(left), yyjson_get_len(left), yyjson_get_str(right), yyjson_get_len(right), err);
    if (yyjson_is_str(merge)) { // as before tokenizers 0.20: "left right"
        const char *text = yyjson_get_str(merge);
        size_t bytes = yyjson_get_len(merge);
        const char *space = memchr(text, ' ', bytes);
        if (space != NULL && memchr(space + 1, ' ', bytes - (size_t)(space + 1 - text)) == NULL)
            return add_merge(r, text, (size_t)(space - text), space + 1, bytes - (size_t)(space + 1 - text), err);
    }
    return mill_fail(err, MILL_INPUT, "%s: merge %zu is neither two strings nor \"left right\"", r->name,
                     r->tokenizer->merge_count);
}

// null, or the empty string: the same to the package.
static mill_status want_no_text(const reader *r, yyjson_val *model, const char *key, mill_error *err)
{
    yyjson_val *value = yyjson_obj_get(model, key);
    bool none = value == NULL || yyjson_is_null(value) || is_text(value, "");
    return none ? MILL_OK : refuse(r, key, value, err);
}

static mill_status read_model(reader *r, yyjson_val *model, mill_error *err)
{
    static const char *const known[] = {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                        "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges", NULL};
    if (!is_text(yyjson_obj_get(model, "type"), "BPE"))
        return refuse(r, "model", model, err);
    MILL_TRY(want_keys(r, model, "model", known, err));
    yyjson_val *dropout = yyjson_obj_get(model, "dropout"), *unknown = yyjson_obj_get(model, "unk_token");
    if (dropout != NULL && !yyjson_is_null(dropout) && !(yyjson_is_num(dropout) && !(yyjson_get_num(dropout) > 0)))
        return refuse(r, "dropout", dropout, err);
    MILL_TRY(want_no_text(r, model, "continuing_subword_prefix", err));
    MILL_TRY(want_no_text(r, model, "end_of_word_suffix", err));
    MILL_TRY(get_bool(r, model, "ignore_merges", false, &r->tokenizer->ignore_merges, err));
    MILL_TRY(get_bool(r, model, "byte_fallback", false, &r->needs_bytes, err));
    r->needs_bytes = r->needs_bytes || (unknown != NULL && !yyjson_is_null(unknown));
    MILL_TRY(read_vocab(r, yyjson_obj_get(model, "vocab"), err));
    yyjson_val *merges = yyjson_obj_get(model, "merges");
    if (!yyjson_is_arr(merges))
        return refuse(r, "model merges", merges, err);
    yyjson_arr_iter iter = yyjson_arr_iter_with(merges);
    for (yyjson_val *merge; (merge = yyjson_arr_iter_next(&iter)) != NULL;)
        MILL_TRY(read_merge(r, merge, err));
    return MILL_OK;
}

// ---- added tokens

static mill_status want_stable(reader *r, const char *content, size_t bytes, mill_error *err)
{
    mill_buf_clear(&r->text);
    MILL_TRY(mill_nfc((const uint8_t *)content, bytes, &r->text, err));
    if (r->text.bytes != bytes || memcmp(r->text.data, content, bytes) != 0)
        return mill_fail(err, MILL_INPUT, "%s: added token \"%.120s\" is not in normalization form C", r->name, content);
    return MILL_OK;
}

// next: the id that the package gives to an added token outside the vocabulary; it ignores the file's.
static mill_status read_added(reader *r, yyjson_val *value, size_t *next, mill_error *err)
{
    yyjson_val *id = yyjson_obj_get(value, "id"), *content = yyjson_obj_get(value, "content");
    const char *text = yyjson_get_str(content);
    size_t bytes = yyjson_get_len(content);
    if (text == NULL || bytes == 0 || bytes > UINT16_MAX || !yyjson_is_uint(id))
        return mill_fail(err, MILL_INPUT, "%s: an entry of added_tokens lacks its id or content", r->name);
    MILL_TRY(want_bool(r, value, "single_word", false, false, err));
    MILL_TRY(want_bool(r, value, "lstrip", false, false, err));
    MILL_TRY(want_bool(r, value, "rstrip", false, false, err));
    mill_added added;
    MILL_TRY(get_bool(r, value, "special", false, &added.special, err));
    MILL_TRY(get_bool(r, value, "normalized", !added.special, &added.normalized, err));
    if (r->tokenizer->nfc && added.normalized)
        MILL_TRY(want_stable(r, text, bytes, err));
    uint32_t in_model = *find_text(r, text, bytes);
    size_t expected = in_model != MILL_NO_ID ? in_model : *next;
    if (yyjson_get_uint(id) != expected || expected >= MILL_ID_LIMIT)
        return mill_fail(err, MILL_INPUT, "%s: added token \"%.120s\" has id %llu, but the tokenizers package gives it %zu",
                         r->name, text, (unsigned long long)yyjson_get_uint(id), expected);
    added.id = (uint32_t)expected;
    if (expected >= *next)
        *next = expected + 1;
    MILL_TRY(mill_tokenizer_set_token(r->tokenizer, added.id, (const uint8_t *)text, bytes, false, err));
    return mill_tokenizer_add_added(r->tokenizer, added, err);
}

static mill_status read_root(reader *r, yyjson_val *root, mill_error *err)
{
    static const char *const known[] = {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                                        "post_processor", "decoder", "model", NULL};
    if (!yyjson_is_obj(root))
        return mill_fail(err, MILL_INPUT, "%s: not a tokenizer.json", r->name);
    MILL_TRY(want_keys(r, root, "tokenizer.json", known, err));
    for (size_t i = 1; i <= 2; i++) {
        yyjson_val *value = yyjson_obj_get(root, known[i]);
        if (value != NULL && !yyjson_is_null(value))
            return refuse(r, known[i], value, err);
    }
    MILL_TRY(read_normalizer(r, yyjson_obj_get(root, "normalizer"), err));
    MILL_TRY(read_pretok(r, yyjson_obj_get(root, "pre_tokenizer"), err));
    MILL_TRY(read_post(r, yyjson_obj_get(root, "post_processor"), false, err));
    MILL_TRY(read_decoder(r, yyjson_obj_get(root, "decoder"), err));
    MILL_TRY(read_model(r, yyjson_obj_get(root, "model"), err));
    yyjson_val *added = yyjson_obj_get(root, "added_tokens");
    size_t next = r->model_count;
    yyjson_arr_iter iter = yyjson_arr_iter_with(added);
    for (yyjson_val *value; (value = yyjson_arr_iter_next(&iter)) != NULL;)
        MILL_TRY(read_added(r, value, &next, err));
    MILL_TRY(mill_tokenizer_finish(r->tokenizer, err));
    for (uint32_t byte = 0; r->needs_bytes && byte < 256; byte++) {
        if (r->tokenizer->byte_id[byte] == MILL_NO_ID)
            return mill_fail(err, MILL_INPUT, "%s: unk_token or byte_fallback with a vocabulary that lacks byte 0x%02x is not "
                             "supported", r->name, byte);
    }
    return MILL_OK;
}

mill_status mill_tokenizer_parse(const uint8_t *json, size_t bytes, const char *name, mill_tokenizer **out, mill_error *err)
{
    static const yyjson_alc allocator = {json_alloc, json_realloc, json_free, NULL};
    reader r = {.name = name};
    mill_status status;
    *out = NULL;
    if (bytes > FILE_BYTES_MAX)
        return mill_fail(err, MILL_INPUT, "%s: %zu bytes; a tokenizer.json may have 256 MiB", name, bytes);
    yyjson_read_err failure;
    mill_buf copy = {0}; // the parser wants a mutable pointer, but changes nothing without its in-place flag
    MILL_TRY(mill_buf_append(&copy, json, bytes, err));
    yyjson_doc *doc = yyjson_read_opts((char *)copy.data, bytes, 0, &allocator, &failure);
    mill_buf_free(&copy);
    if (doc == NULL && failure.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return mill_fail_nomem(err, "reading a tokenizer.json");
    if (doc == NULL)
        return mill_fail(err, MILL_INPUT, "%s: byte %zu: %s", name, failure.pos, failure.msg);
    MILL_TRY_GOTO(mill_tokenizer_create(&r.tokenizer, err));
    MILL_TRY_GOTO(read_root(&r, yyjson_doc_get_root(doc), err));
    *out = r.tokenizer;
    r.tokenizer = NULL;
cleanup:
    mill_tokenizer_close(r.tokenizer);
    mill_free(r.by_text);
    mill_buf_free(&r.text);
    yyjson_doc_free(doc);
    return status;
}
