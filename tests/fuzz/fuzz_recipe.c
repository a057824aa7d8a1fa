// fuzz_recipe.c: a recipe file of any bytes is refused with a message, or resolves, prints, and loads back to the same values.
#include "fuzz.h"
#include "core/json.h"
#include "pipeline/recipe.h"
#include "simfs.h"

static mill_status load(simfs *sim, const char *name, mill_recipe *recipe, mill_error *err)
{
    MILL_TRY(mill_recipe_load(simfs_fs(sim), name, NULL, 0, recipe, err));
    return mill_recipe_resolve(recipe, err);
}

static void canonical(const mill_recipe *recipe, mill_buf *out)
{
    cJSON *json;
    FUZZ_OK(mill_recipe_canonical(recipe, &json, NULL));
    FUZZ_OK(mill_json_canonical(json, out, NULL));
    cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    mill_error err = {0};
    mill_recipe recipe = {0}, again = {0};
    mill_buf text = {0}, first = {0}, second = {0};
    simfs *sim = simfs_create();
    FUZZ_CHECK(sim != NULL);
    simfs_put(sim, "r.json", data, bytes);
    mill_status status = load(sim, "r.json", &recipe, &err);
    FUZZ_CHECK(status == MILL_OK || err.message[0] != '\0');
    if (status == MILL_OK) {
        canonical(&recipe, &first);
        FUZZ_OK(mill_recipe_print("default", &recipe, &text, &err));
        simfs_put(sim, "again.json", text.data, text.bytes);
        FUZZ_OK(load(sim, "again.json", &again, &err));
        canonical(&again, &second);
        FUZZ_CHECK(first.bytes == second.bytes && memcmp(first.data, second.data, first.bytes) == 0);
    }
    mill_buf_free(&text);
    mill_buf_free(&first);
    mill_buf_free(&second);
    mill_recipe_free(&recipe);
    mill_recipe_free(&again);
    simfs_destroy(sim);
    return 0;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const char *const texts[] = {
        "{\"base\":\"guide\",\"seed\":7,\"fim\":{\"rate\":0.5,\"cut\":\"char\"},\"pack\":{\"seq_len\":128,\"mode\":\"concat\"}}",
        "{\"//"
        "\":\"c\",\"filter\":{\"min_chars\":1,\"max_comments\":0.25,\"autogen_markers\":[\"a\",\"b\"],\"syntax_limits\":{\"c\":0.5}"
        "},"
        "\"mixture\":{\"target_tokens\":\"18446744073709551615\",\"types\":{\"source\":1},\"tiers\":{\"a\":{\"share\":0.5,"
        "\"languages\":[\"c\"]}}}}",
    };
    if (number < 2)
        return fuzz_seed_text(number, texts, 2, out);
    return number < 4 && mill_recipe_print(number == 2 ? "guide" : "default", NULL, out, NULL) == MILL_OK;
}
