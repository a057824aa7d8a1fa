// test_manifest.c: canonical JSON has one spelling, and the seal finds every change.
#include "core/hash.h"
#include "shard/manifest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_canonical(const char *json, const char *expected)
{
    cJSON *value = cJSON_Parse(json);
    mill_buf out = {0};
    mill_error err = {0};
    cr_assert_not_null(value);
    cr_assert_eq(mill_json_canonical(value, &out, &err), MILL_OK, "%s", err.message);
    cr_assert_eq(out.bytes, strlen(expected), "%.*s", (int)out.bytes, (char *)out.data);
    cr_assert_arr_eq(out.data, expected, out.bytes);
    cJSON_Delete(value);
    mill_buf_free(&out);
}

Test(json, keys_are_sorted_bytewise_and_blanks_go)
{
    check_canonical("{ \"b\": [1, 2 , {\"z\": null, \"a\": true}], \"a\": \"x\\ny\", \"B\": false, \"\": -3 }",
                    "{\"\":-3,\"B\":false,\"a\":\"x\\ny\",\"b\":[1,2,{\"a\":true,\"z\":null}]}");
    check_canonical("{\"\\u00e9\": 1, \"z\": 2, \"zz\": 3}", "{\"z\":2,\"zz\":3,\"\xc3\xa9\":1}");
    check_canonical("[]", "[]");
    check_canonical("{}", "{}");
}

Test(json, integers_are_exact_and_anything_else_is_refused)
{
    check_canonical("[0, -0, 9007199254740991, -9007199254740991, 1e3, 5.0]", "[0,0,9007199254740991,-9007199254740991,1000,5]");
    const char *const refused[] = {"1.5", "9007199254740992", "9007199254740993", "-1e300", "1e-9", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cJSON *value = cJSON_Parse(refused[i]);
        mill_buf out = {0};
        mill_error err = {0};
        cr_assert_eq(mill_json_canonical(value, &out, &err), MILL_INTERNAL, "%s", refused[i]);
        cr_assert_eq(out.bytes, 0);
        cJSON_Delete(value);
        mill_buf_free(&out);
    }
}

Test(json, deep_nesting_is_refused_instead_of_overflowing_the_stack)
{
    char text[2 * 900 + 1] = {0};
    memset(text, '[', 900);
    memset(text + 900, ']', 900);
    cJSON *value = cJSON_Parse(text);
    mill_buf out = {0};
    mill_error err = {0};
    cr_assert_not_null(value);
    cr_assert_eq(mill_json_canonical(value, &out, &err), MILL_INTERNAL);
    cJSON_Delete(value);
    mill_buf_free(&out);
}

Test(json, u64_values_survive_a_round_trip)
{
    const uint64_t values[] = {0, 1, MILL_JSON_INTEGER_MAX, MILL_JSON_INTEGER_MAX + 1, MILL_JSON_INTEGER_MAX + 2, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        cJSON *object = cJSON_CreateObject();
        mill_buf out = {0};
        mill_error err = {0};
        uint64_t value = 5;
        cr_assert_eq(mill_json_add_u64(object, "v", values[i], &err), MILL_OK);
        cr_assert_eq(mill_json_canonical(object, &out, &err), MILL_OK);
        cJSON *again = cJSON_ParseWithLength((char *)out.data, out.bytes);
        cr_assert(mill_json_get_u64(again, "v", &value));
        cr_assert_eq(value, values[i]);
        cJSON_Delete(object);
        cJSON_Delete(again);
        mill_buf_free(&out);
    }
    cJSON *bad = cJSON_Parse("{\"a\":-1,\"b\":1.5,\"c\":\"18446744073709551616\",\"d\":\"01\",\"e\":\"\",\"f\":null,\"g\":\"1x\"}");
    const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "absent"};
    for (size_t i = 0; i < 8; i++) {
        uint64_t value;
        cr_assert_not(mill_json_get_u64(bad, names[i], &value), "%s", names[i]);
    }
    cJSON_Delete(bad);
}

// ---- the seal ----

static mill_buf sealed(void)
{
    mill_buf out = {0};
    mill_error err = {0};
    cJSON *object = cJSON_Parse("{\"inputs\":[{\"name\":\"a \\u00e4\",\"bytes\":12}],\"format\":1,\"totals\":{\"tokens\":99}}");
    cr_assert_eq(mill_manifest_append(object, &out, &err), MILL_OK, "%s", err.message);
    cJSON_Delete(object);
    return out;
}

static mill_status parse(const void *data, size_t bytes)
{
    mill_error err = {0};
    cJSON *object;
    mill_status status = mill_manifest_parse(data, bytes, "manifest.json", &object, &err);
    cr_assert_eq(object != NULL, status == MILL_OK);
    cr_assert(status == MILL_OK || strstr(err.message, "manifest.json") != NULL);
    cJSON_Delete(object);
    return status;
}

Test(manifest, an_untouched_manifest_is_accepted_and_sealed_over_all_before)
{
    mill_buf m = sealed();
    const char *body = "{\"format\":1,\"inputs\":[{\"bytes\":12,\"name\":\"a \xc3\xa4\"}],\"totals\":{\"tokens\":99}}\n";
    cr_assert_eq(m.bytes, strlen(body) + 8 + 64 + 1);
    cr_assert_arr_eq(m.data, body, strlen(body));
    uint8_t digest[32];
    char hex[65];
    void *sha256 = mill_sha256_create();
    mill_sha256_update(sha256, body, strlen(body));
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, 32, hex);
    cr_assert_arr_eq(m.data + strlen(body) + 8, hex, 64);
    cr_assert_eq(parse(m.data, m.bytes), MILL_OK);
    mill_buf_free(&m);
}

Test(manifest, every_changed_bit_is_found)
{
    mill_buf m = sealed();
    for (size_t i = 0; i < m.bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            m.data[i] ^= (uint8_t)(1 << bit);
            cr_assert_eq(parse(m.data, m.bytes), MILL_VERIFY, "byte %zu bit %d", i, bit);
            m.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    mill_buf_free(&m);
}

Test(manifest, every_cut_and_every_added_byte_is_found)
{
    mill_buf m = sealed();
    mill_error err = {0};
    for (size_t bytes = 0; bytes < m.bytes; bytes++) {
        uint8_t *copy = malloc(bytes + 1); // exact size: a read past the end is seen by the sanitizer
        memcpy(copy, m.data, bytes);
        cr_assert_eq(parse(copy, bytes), MILL_VERIFY, "%zu bytes", bytes);
        free(copy);
    }
    cr_assert_eq(mill_buf_append(&m, "\n", 1, &err), MILL_OK);
    cr_assert_eq(parse(m.data, m.bytes), MILL_VERIFY);
    cr_assert_eq(parse(m.data + 1, m.bytes - 2), MILL_VERIFY);
    mill_buf_free(&m);
}

// A seal anybody can compute proves no origin: the content is still checked.
static mill_status parse_resealed(const char *body)
{
    uint8_t digest[32];
    char text[600], hex[65];
    void *sha256 = mill_sha256_create();
    mill_sha256_update(sha256, body, strlen(body));
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, 32, hex);
    int bytes = snprintf(text, sizeof text, "%s#sha256:%s\n", body, hex);
    return parse(text, (size_t)bytes);
}

Test(manifest, a_valid_seal_over_anything_but_canonical_json_is_refused)
{
    cr_assert_eq(parse_resealed("{\"a\":1}\n"), MILL_OK);
    const char *const refused[] = {"{\"a\": 1}\n",        "{\"b\":1,\"a\":1}\n",     "[1]\n",        "{\"a\":1}",
                                   "{\"a\":1}{}\n",       "{\"a\":1.5}\n",           "\n\n\n\n",     "{\"a\":9007199254740993}\n",
                                   "{\"a\":1,\"a\":1}\n", "{\"a\":\"x\\u0000y\"}\n", "{\"a\":1}\n\n"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        cr_assert_eq(parse_resealed(refused[i]), MILL_VERIFY, "%s", refused[i]);
}
