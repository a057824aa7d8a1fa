// json.c: canonical JSON.
#include "core/json.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mill_status append_value(const cJSON *value, unsigned depth, mill_buf *out, mill_error *err);

// ---- cJSON's memory

static _Thread_local bool starved; // an allocation of cJSON failed since it was cleared

static void *hook_alloc(size_t bytes)
{
    void *pointer = mill_alloc(bytes);
    starved = starved || pointer == NULL;
    return pointer;
}

static void install_hooks(void)
{
    cJSON_Hooks hooks = {hook_alloc, mill_free};
    cJSON_InitHooks(&hooks);
}

void mill_json_use_alloc(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_hooks);
}

mill_status mill_json_parse(const void *text, size_t bytes, const char **end, cJSON **out, mill_error *err)
{
    mill_json_use_alloc();
    starved = false;
    *out = cJSON_ParseWithLengthOpts(text, bytes, end, false);
    return *out == NULL && starved ? mill_fail_nomem(err, "reading JSON") : MILL_OK;
}

bool mill_json_add_item(cJSON *object, const char *name, cJSON *item)
{
    if (item != NULL && object != NULL && cJSON_AddItemToObject(object, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}

// ---- canonical JSON

// True if the double is an integer that may be written.
static bool exact_integer(double number, int64_t *integer)
{
    const double limit = (double)MILL_JSON_INTEGER_MAX;
    if (!(number >= -limit && number <= limit)) // NaN fails too
        return false;
    *integer = (int64_t)number;
    double back = (double)*integer;
    return !(back < number) && !(back > number);
}

static mill_status append_number(double number, mill_buf *out, mill_error *err)
{
    int64_t integer;
    if (!exact_integer(number, &integer))
        return mill_fail(err, MILL_INTERNAL, "canonical JSON: %g is not an integer below 2^53", number);
    if (integer < 0)
        MILL_TRY(mill_buf_append_text(out, "-", err));
    return mill_buf_append_u64(out, (uint64_t)(integer < 0 ? -integer : integer), err);
}

static int compare_keys(const void *a, const void *b)
{
    const cJSON *const *left = a, *const *right = b;
    return strcmp((*left)->string, (*right)->string);
}

static mill_status append_members(const cJSON **members, size_t count, unsigned depth, mill_buf *out, mill_error *err)
{
    qsort(members, count, sizeof *members, compare_keys);
    for (size_t i = 0; i < count; i++) {
        const char *key = members[i]->string;
        if (i > 0 && strcmp(members[i - 1]->string, key) == 0)
            return mill_fail(err, MILL_INTERNAL, "canonical JSON: key \"%s\" occurs twice", key);
        if (i > 0)
            MILL_TRY(mill_buf_append_text(out, ",", err));
        MILL_TRY(mill_buf_append_json(out, key, strlen(key), err));
        MILL_TRY(mill_buf_append_text(out, ":", err));
        MILL_TRY(append_value(members[i], depth + 1, out, err));
    }
    return MILL_OK;
}

static mill_status append_object(const cJSON *object, unsigned depth, mill_buf *out, mill_error *err)
{
    size_t count = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        if (item->string == NULL)
            return mill_fail(err, MILL_INTERNAL, "canonical JSON: a member has no key");
        count++;
    }
    const cJSON **members = mill_realloc_array(NULL, count + 1, sizeof *members);
    if (members == NULL)
        return mill_fail_nomem(err, "writing JSON");
    count = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next)
        members[count++] = item;
    mill_status status = mill_buf_append_text(out, "{", err);
    if (status == MILL_OK)
        status = append_members(members, count, depth, out, err);
    if (status == MILL_OK)
        status = mill_buf_append_text(out, "}", err);
    mill_free(members);
    return status;
}

static mill_status append_array(const cJSON *array, unsigned depth, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "[", err));
    for (const cJSON *item = array->child; item != NULL; item = item->next) {
        if (item != array->child)
            MILL_TRY(mill_buf_append_text(out, ",", err));
        MILL_TRY(append_value(item, depth + 1, out, err));
    }
    return mill_buf_append_text(out, "]", err);
}

// Recursion is bounded by MILL_JSON_DEPTH_MAX.
static mill_status append_value(const cJSON *value, unsigned depth, mill_buf *out, mill_error *err)
{
    if (depth > MILL_JSON_DEPTH_MAX)
        return mill_fail(err, MILL_INTERNAL, "canonical JSON: nested deeper than %d", MILL_JSON_DEPTH_MAX);
    if (cJSON_IsObject(value))
        return append_object(value, depth, out, err);
    if (cJSON_IsArray(value))
        return append_array(value, depth, out, err);
    if (cJSON_IsNumber(value))
        return append_number(value->valuedouble, out, err);
    if (cJSON_IsString(value) && value->valuestring != NULL)
        return mill_buf_append_json(out, value->valuestring, strlen(value->valuestring), err);
    if (cJSON_IsBool(value))
        return mill_buf_append_text(out, cJSON_IsTrue(value) ? "true" : "false", err);
    if (cJSON_IsNull(value))
        return mill_buf_append_text(out, "null", err);
    return mill_fail(err, MILL_INTERNAL, "canonical JSON: an item is no JSON value");
}

mill_status mill_json_canonical(const cJSON *value, mill_buf *out, mill_error *err)
{
    size_t before = out->bytes;
    mill_status status = append_value(value, 0, out, err);
    if (status != MILL_OK)
        out->bytes = before;
    return status;
}

mill_status mill_json_add_u64(cJSON *object, const char *name, uint64_t value, mill_error *err)
{
    cJSON *added;
    if (value <= MILL_JSON_INTEGER_MAX) {
        added = cJSON_AddNumberToObject(object, name, (double)value);
    } else {
        char digits[24];
        snprintf(digits, sizeof digits, "%" PRIu64, value);
        added = cJSON_AddStringToObject(object, name, digits);
    }
    return added == NULL ? mill_fail_nomem(err, "building JSON") : MILL_OK;
}

static bool parse_digits(const char *text, uint64_t *value)
{
    *value = 0;
    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(*value, (uint64_t)10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*text - '0'), value))
            return false;
    }
    return true;
}

bool mill_json_get_u64(const cJSON *object, const char *name, uint64_t *value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    int64_t integer;
    if (cJSON_IsString(item) && item->valuestring != NULL)
        return parse_digits(item->valuestring, value);
    if (!cJSON_IsNumber(item) || !exact_integer(item->valuedouble, &integer) || integer < 0)
        return false;
    *value = (uint64_t)integer;
    return true;
}
