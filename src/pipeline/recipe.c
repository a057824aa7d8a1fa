// recipe.c: loading, changing and applying recipes.
#include "pipeline/recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"
#include "pipeline/recipe_table.h"

#define RECIPE_FILE_MAX (1u << 20)

static const mill_recipe_key *find_key(const char *key)
{
    for (size_t i = 0; i < mill_recipe_key_count; i++) {
        if (strcmp(mill_recipe_keys[i].key, key) == 0)
            return &mill_recipe_keys[i];
    }
    return NULL;
}

// "a.b" -> object a and name b; top-level keys have no dot.
static void split_key(const char *key, char group[64], const char **name)
{
    const char *dot = strchr(key, '.');
    *name = dot != NULL ? dot + 1 : key;
    size_t bytes = dot != NULL ? (size_t)(dot - key) : 0;
    if (bytes > 63)
        bytes = 63;
    memcpy(group, key, bytes);
    group[bytes] = '\0';
}

// Levenshtein distance of two short names, for "did you mean".
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64];
    size_t bytes_b = strlen(b);
    if (bytes_b >= 64)
        return 64;
    for (size_t j = 0; j <= bytes_b; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= bytes_b; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[bytes_b];
}

// Names the nearest key; for a lone name also the nearest last part ("min_char") or group ("filtr").
static mill_status fail_unknown(const char *key, mill_error *err)
{
    char nearest[64] = "", group[64];
    const char *name, *dot = strchr(key, '.');
    size_t best = strlen(key) / 2 + 1; // farther names are no help
    for (size_t i = 0; i < mill_recipe_key_count; i++) {
        const char *known = mill_recipe_keys[i].key;
        split_key(known, group, &name);
        if (dot == NULL && strcmp(key, group) == 0)
            return mill_fail(
                err, MILL_RECIPE,
                "recipe key '%s' is a group and takes no value; its keys are like '%s' (shardmill recipe default lists all)", key,
                known);
        size_t whole = edit_distance(key, known), last = dot == NULL ? edit_distance(key, name) : SIZE_MAX;
        size_t part = dot == NULL && group[0] != '\0' ? edit_distance(key, group) : SIZE_MAX,
               distance = whole < last ? whole : last;
        if (distance < best || part < best) {
            best = distance <= part ? distance : part;
            snprintf(nearest, sizeof nearest, "%s", distance <= part ? known : group);
        }
    }
    bool found = nearest[0] != '\0';
    return mill_fail(err, MILL_RECIPE, "unknown recipe key '%s'%s%s%s (shardmill recipe default lists all)", key,
                     found ? "; did you mean '" : "", nearest, found ? "'?" : "");
}

// ---- values ----------------------------------------------------------------------------------------------------------------

// Reads a rate given as a number or as decimal text, in units of 1 / scale; false if it has more decimals than that.
static bool read_rate(const cJSON *value, uint32_t scale, uint32_t *out)
{
    double x;
    if (cJSON_IsNumber(value)) {
        x = value->valuedouble;
    } else if (cJSON_IsString(value)) {
        char *end;
        x = strtod(value->valuestring, &end);
        if (end == value->valuestring || *end != '\0')
            return false;
    } else {
        return false;
    }
    double scaled = x * scale, whole = nearbyint(scaled);
    if (!(x >= 0.0 && x <= 1.0) || fabs(scaled - whole) > 1e-6)
        return false;
    *out = (uint32_t)whole;
    return true;
}

// Integers come as JSON numbers or, above 2^53 or with a unit's comfort (140e9), as text.
static bool read_integer(const cJSON *value, uint64_t *out)
{
    double x;
    if (cJSON_IsNumber(value)) {
        x = value->valuedouble;
        if (x > 0x1p53) // such numbers are not exact in JSON: they come as text
            return false;
    } else if (cJSON_IsString(value) && value->valuestring[0] != '\0') {
        char *end;
        unsigned long long exact = strtoull(value->valuestring, &end, 10);
        if (*end == '\0' && value->valuestring[0] != '-') {
            *out = exact;
            return true;
        }
        x = strtod(value->valuestring, &end);
        if (*end != '\0')
            return false;
    } else {
        return false;
    }
    if (!(x >= 0.0 && x < 0x1p63))
        return false;
    *out = (uint64_t)x;
    return (double)*out >= x && (double)*out <= x;
}

static int read_name(const cJSON *value, const char *const *names)
{
    for (int i = 0; cJSON_IsString(value) && names[i] != NULL; i++) {
        if (strcmp(value->valuestring, names[i]) == 0)
            return i;
    }
    return -1;
}

static mill_status fail_value(const mill_recipe_key *key, const cJSON *value, mill_error *err)
{
    char expected[256] = "";
    switch (key->type) {
    case MILL_KEY_U64:
    case MILL_KEY_U32:
    case MILL_KEY_I64:
        snprintf(expected, sizeof expected, "an integer from %llu to %llu", (unsigned long long)key->low,
                 (unsigned long long)key->high);
        break;
    case MILL_KEY_BOOL: snprintf(expected, sizeof expected, "true or false"); break;
    case MILL_KEY_ENUM:
        for (size_t i = 0; key->names[i] != NULL; i++) {
            size_t used = strlen(expected);
            snprintf(expected + used, sizeof expected - used, "%s%s", i != 0 ? ", " : "one of ", key->names[i]);
        }
        break;
    case MILL_KEY_PERMILLE: snprintf(expected, sizeof expected, "a share from 0 to 1 with at most 3 decimals"); break;
    case MILL_KEY_PERMYRIAD: snprintf(expected, sizeof expected, "a share from 0 to 1 with at most 4 decimals"); break;
    case MILL_KEY_TEXT: snprintf(expected, sizeof expected, "a string"); break;
    case MILL_KEY_LIST:
        snprintf(expected, sizeof expected, "a list of at most %d non-empty strings", MILL_RECIPE_LIST_MAX - 1);
        break;
    case MILL_KEY_SHARES:
        snprintf(expected, sizeof expected, "an object of at most %llu names with shares from 0 to 1",
                 (unsigned long long)key->high);
        break;
    case MILL_KEY_LIMITS: snprintf(expected, sizeof expected, "an object of language: share or null"); break;
    }
    char *seen = cJSON_PrintUnformatted(value);
    mill_fail(err, MILL_RECIPE, "recipe key '%s': expected %s, got %.80s", key->key, expected, seen != NULL ? seen : "?");
    cJSON_free(seen);
    return MILL_RECIPE;
}

static bool apply_list(mill_string_list *list, const cJSON *value)
{
    int count = cJSON_GetArraySize(value);
    if (!cJSON_IsArray(value) || count >= MILL_RECIPE_LIST_MAX)
        return false;
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        if (!cJSON_IsString(item) || item->valuestring[0] == '\0')
            return false;
        list->items[i++] = item->valuestring;
    }
    list->items[i] = NULL;
    return true;
}

static bool apply_shares(mill_share *shares, uint64_t most, const cJSON *value)
{
    int n = cJSON_GetArraySize(value);
    if (!cJSON_IsObject(value) || (uint64_t)n > most)
        return false;
    size_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        shares[count].name = item->string;
        if (!read_rate(item, 10000, &shares[count].permyriad))
            return false;
        count++;
    }
    // The count stands right behind the array (recipe_table.h).
    memcpy(shares + most, &count, sizeof count);
    return true;
}

static bool apply_limits(mill_syntax_options *syntax, const cJSON *value)
{
    int n = cJSON_GetArraySize(value);
    if (!cJSON_IsObject(value) || (size_t)n > sizeof syntax->limits / sizeof syntax->limits[0])
        return false;
    syntax->limit_count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        uint32_t permille = 0;
        if (!cJSON_IsNull(item) && !read_rate(item, 1000, &permille))
            return false;
        struct mill_syntax_limit *limit = &syntax->limits[syntax->limit_count++];
        limit->language = item->string;
        limit->permille = cJSON_IsNull(item) ? -1 : (int32_t)permille;
    }
    return true;
}

// The members of an object are few (the caller has checked); a name that is there twice would make two recipes of one text.
static mill_status refuse_repeated_name(const mill_recipe_key *key, const cJSON *value, mill_error *err)
{
    for (const cJSON *a = value->child; a != NULL; a = a->next) {
        for (const cJSON *b = a->next; b != NULL; b = b->next) {
            char name[64];
            if (strcmp(a->string, b->string) != 0)
                continue;
            (void)mill_escape_controls(a->string, name, sizeof name);
            return mill_fail(err, MILL_RECIPE, "recipe key '%s': \"%s\" is there twice; keep one of them", key->key, name);
        }
    }
    return MILL_OK;
}

// Checks the value and writes it to the struct.
static mill_status apply(mill_recipe *recipe, const mill_recipe_key *key, const cJSON *value, mill_error *err)
{
    void *at = (char *)recipe + key->offset;
    uint64_t integer = 0;
    uint32_t rate = 0;
    int place;
    bool good = false;
    switch (key->type) {
    case MILL_KEY_U64:
    case MILL_KEY_U32:
    case MILL_KEY_I64:
        good = read_integer(value, &integer) && integer >= key->low && integer <= key->high;
        if (good && key->type == MILL_KEY_U32)
            *(uint32_t *)at = (uint32_t)integer;
        else if (good)
            *(uint64_t *)at = integer;
        break;
    case MILL_KEY_BOOL:
        good = cJSON_IsBool(value);
        *(bool *)at = cJSON_IsTrue(value);
        break;
    case MILL_KEY_ENUM:
        place = read_name(value, key->names);
        good = place >= 0;
        *(int *)at = good ? place : 0;
        break;
    case MILL_KEY_PERMILLE:
    case MILL_KEY_PERMYRIAD:
        good = read_rate(value, key->type == MILL_KEY_PERMILLE ? 1000 : 10000, &rate);
        *(uint32_t *)at = rate;
        break;
    case MILL_KEY_TEXT:
        good = cJSON_IsString(value);
        if (good)
            *(const char **)at = value->valuestring;
        break;
    case MILL_KEY_LIST: good = apply_list(at, value); break;
    case MILL_KEY_SHARES: good = apply_shares(at, key->high, value); break;
    case MILL_KEY_LIMITS: good = apply_limits(at, value); break;
    }
    if (good && cJSON_IsObject(value))
        return refuse_repeated_name(key, value, err);
    return good ? MILL_OK : fail_value(key, value, err);
}

// ---- the JSON tree ---------------------------------------------------------------------------------------------------------

static cJSON *get_value(const cJSON *json, const char *key)
{
    char group[64];
    const char *name;
    split_key(key, group, &name);
    const cJSON *parent = group[0] != '\0' ? cJSON_GetObjectItemCaseSensitive(json, group) : json;
    return cJSON_GetObjectItemCaseSensitive(parent, name);
}

// Puts value (taken over) under key.
static mill_status put_value(cJSON *json, const char *key, cJSON *value, mill_error *err)
{
    char group[64];
    const char *name;
    split_key(key, group, &name);
    cJSON *parent = json;
    if (group[0] != '\0') {
        parent = cJSON_GetObjectItemCaseSensitive(json, group);
        if (parent == NULL)
            parent = cJSON_AddObjectToObject(json, group);
    }
    bool there = parent != NULL && cJSON_GetObjectItemCaseSensitive(parent, name) != NULL;
    if (there && value != NULL)
        cJSON_DeleteItemFromObjectCaseSensitive(parent, name);
    return mill_json_add_item(parent, name, value) ? MILL_OK : mill_fail_nomem(err, "building the recipe");
}

static bool is_group(const char *name)
{
    size_t bytes = strlen(name);
    for (size_t i = 0; i < mill_recipe_key_count; i++) {
        if (strncmp(mill_recipe_keys[i].key, name, bytes) == 0 && mill_recipe_keys[i].key[bytes] == '.')
            return true;
    }
    return false;
}

static mill_status put_checked(mill_recipe *recipe, const char *key, const cJSON *value, mill_error *err)
{
    const mill_recipe_key *row = find_key(key);
    if (row == NULL)
        return fail_unknown(key, err);
    cJSON *copy = cJSON_Duplicate(value, true);
    MILL_TRY(put_value(recipe->json, key, copy, err));
    recipe->extra_given = recipe->extra_given || strcmp(key, "pack.extra") == 0;
    return apply(recipe, row, copy, err);
}

static mill_status load_builtin(mill_recipe *recipe, const char *name, mill_error *err)
{
    bool guide = strcmp(name, "guide") == 0;
    for (size_t i = 0; i < mill_recipe_key_count; i++) {
        const mill_recipe_key *row = &mill_recipe_keys[i];
        const char *text = guide || row->standard == NULL ? row->guide : row->standard;
        cJSON *value;
        MILL_TRY(mill_json_parse(text, strlen(text), NULL, &value, err));
        MILL_ASSERT(value != NULL);
        MILL_TRY(put_value(recipe->json, row->key, value, err));
        MILL_TRY(apply(recipe, row, value, err));
    }
    return MILL_OK;
}

static bool is_comment(const char *name)
{
    return strncmp(name, "//", 2) == 0;
}

// Lays the keys of a recipe file over the built-in one.
static mill_status merge(mill_recipe *recipe, const cJSON *json, mill_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (is_comment(item->string) || strcmp(item->string, "base") == 0)
            continue;
        if (!cJSON_IsObject(item) || !is_group(item->string)) {
            MILL_TRY(put_checked(recipe, item->string, item, err));
            continue;
        }
        const cJSON *inner;
        cJSON_ArrayForEach(inner, item) {
            char key[160];
            if (is_comment(inner->string))
                continue;
            snprintf(key, sizeof key, "%s.%s", item->string, inner->string);
            MILL_TRY(put_checked(recipe, key, inner, err));
        }
    }
    return MILL_OK;
}

static mill_status load_file(mill_recipe *recipe, const mill_fs *fs, const char *path, mill_error *err)
{
    mill_buf text = {0};
    cJSON *json = NULL;
    mill_status status = mill_fs_read_file(fs, MILL_FS_CWD, path, MILL_OPEN_READ, RECIPE_FILE_MAX, &text, err);
    if (status != MILL_OK) {
        status = mill_fail(err, MILL_RECIPE, "no recipe '%s': neither built in (guide, default) nor a readable file", path);
        goto cleanup;
    }
    const char *end = NULL;
    MILL_TRY_GOTO(mill_json_parse(text.data, text.bytes, &end, &json, err));
    if (!cJSON_IsObject(json)) {
        size_t at = end != NULL ? (size_t)(end - (const char *)text.data) : 0;
        status = mill_fail(err, MILL_RECIPE, "%s: not a JSON object (first problem near byte %zu)", path, at);
        goto cleanup;
    }
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(json, "base");
    const char *name = cJSON_IsString(base) ? base->valuestring : "default";
    if (strcmp(name, "guide") != 0 && strcmp(name, "default") != 0) {
        status = mill_fail(err, MILL_RECIPE, "%s: base '%s' is not a built-in recipe (guide, default)", path, name);
        goto cleanup;
    }
    MILL_TRY_GOTO(load_builtin(recipe, name, err));
    status = merge(recipe, json, err);
    if (status == MILL_RECIPE && err != NULL) { // a wrong key or value: say where it stands
        mill_error cause = *err;
        status = mill_fail(err, MILL_RECIPE, "%s: %s", path, cause.message);
    }
cleanup:
    cJSON_Delete(json);
    mill_buf_free(&text);
    return status;
}

mill_status mill_recipe_set(mill_recipe *recipe, const char *key, const char *value, mill_error *err)
{
    const mill_recipe_key *row = find_key(key);
    if (row == NULL)
        return fail_unknown(key, err);
    // Bare words are strings: --set pack.mode=concat. Text keys are never read as JSON numbers: filter.unicode=16.0.
    cJSON *json = NULL;
    if (row->type != MILL_KEY_TEXT || value[0] == '"')
        MILL_TRY(mill_json_parse(value, strlen(value), NULL, &json, err));
    if (json == NULL)
        json = cJSON_CreateString(value);
    mill_status status = json != NULL ? put_checked(recipe, key, json, err) : mill_fail_nomem(err, "a recipe value");
    cJSON_Delete(json);
    return status;
}

mill_status mill_recipe_load(const mill_fs *fs, const char *name_or_file, const char *const *sets, size_t set_count,
                             mill_recipe *out, mill_error *err)
{
    *out = (mill_recipe){.json = cJSON_CreateObject()};
    mill_status status = MILL_OK;
    if (out->json == NULL) {
        status = mill_fail_nomem(err, "the recipe");
        goto cleanup;
    }
    if (strcmp(name_or_file, "guide") == 0 || strcmp(name_or_file, "default") == 0)
        MILL_TRY_GOTO(load_builtin(out, name_or_file, err));
    else
        MILL_TRY_GOTO(load_file(out, fs, name_or_file, err));
    for (size_t i = 0; i < set_count; i++) {
        const char *equals = strchr(sets[i], '=');
        char key[160];
        if (equals == NULL || equals == sets[i] || (size_t)(equals - sets[i]) >= sizeof key) {
            status = mill_fail(err, MILL_USAGE, "--set %s: expected KEY=VALUE, e.g. --set pack.seq_len=2048", sets[i]);
            goto cleanup;
        }
        snprintf(key, sizeof key, "%.*s", (int)(equals - sets[i]), sets[i]);
        MILL_TRY_GOTO(mill_recipe_set(out, key, equals + 1, err));
    }
cleanup:
    if (status != MILL_OK)
        mill_recipe_free(out);
    return status;
}

void mill_recipe_free(mill_recipe *recipe)
{
    cJSON_Delete(recipe->json);
    recipe->json = NULL;
}

// ---- what concerns several keys --------------------------------------------------------------------------------------------

static mill_status resolve_rng(mill_recipe *recipe, mill_error *err)
{
    const char *text = recipe->rng_text;
    recipe->rng = MILL_RNG_PYTHON;
    recipe->python_seed = recipe->seed;
    if (strcmp(text, "counter") == 0) {
        recipe->rng = MILL_RNG_COUNTER;
        return MILL_OK;
    }
    if (strcmp(text, "python") == 0)
        return MILL_OK;
    char *end = NULL;
    if (strncmp(text, "python:", 7) == 0 && text[7] >= '0' && text[7] <= '9')
        recipe->python_seed = strtoull(text + 7, &end, 10);
    if (end == NULL || *end != '\0')
        return mill_fail(err, MILL_RECIPE, "recipe key 'rng': expected counter, python or python:SEED, got %s", text);
    return MILL_OK;
}

static mill_status resolve_filter(mill_recipe *recipe, mill_error *err)
{
    mill_filter_options *filter = &recipe->filter;
    static const char *const versions[] = {"14.0", "15.0", "15.1", "16.0"};
    filter->unicode = 0;
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(recipe->unicode_text, versions[i]) == 0)
            filter->unicode = (uint32_t[]){140, 150, 151, 160}[i];
    }
    if (filter->unicode == 0)
        return mill_fail(err, MILL_RECIPE, "recipe key 'filter.unicode': expected 14.0, 15.0, 15.1 or 16.0, got %s",
                         recipe->unicode_text);
    for (size_t i = 0; i < MILL_MARKERS_MAX; i++) {
        filter->autogen_markers[i] = recipe->autogen_markers.items[i];
        filter->test_markers[i] = recipe->test_markers.items[i];
    }
    if (filter->autogen_markers[MILL_MARKERS_MAX - 1] != NULL || filter->test_markers[MILL_MARKERS_MAX - 1] != NULL)
        return mill_fail(err, MILL_RECIPE, "filter.autogen_markers and filter.test_markers take at most %d markers",
                         MILL_MARKERS_MAX - 1);
    filter->short_types = 0;
    for (size_t i = 0; recipe->short_types.items[i] != NULL; i++) {
        uint32_t type = 0;
        while (type < MILL_TYPE_COUNT && strcmp(recipe->short_types.items[i], mill_data_type_names[type]) != 0)
            type++;
        if (type == MILL_TYPE_COUNT)
            return mill_fail(err, MILL_RECIPE,
                             "recipe key 'filter.short_types': expected source, docs, qa, notebook or contest, got %.40s",
                             recipe->short_types.items[i]);
        filter->short_types |= 1u << type;
    }
    memcpy(filter->licences, recipe->licences.items, sizeof filter->licences);
    filter->seed = recipe->seed;
    filter->rng = recipe->rng;
    return MILL_OK;
}

static mill_status resolve_tokens(mill_recipe *recipe, mill_error *err)
{
    const mill_token_preset *preset = mill_token_preset_find(recipe->token_preset);
    if (preset == NULL)
        return mill_fail(err, MILL_RECIPE, "recipe key 'tokenizer.preset': expected guide, starcoder, qwen or deepseek, got %s",
                         recipe->token_preset);
    mill_encode_options *encode = &recipe->encode;
    encode->end_text = preset->end;
    encode->fim_prefix = preset->fim_prefix;
    encode->fim_middle = preset->fim_middle;
    encode->fim_suffix = preset->fim_suffix;
    encode->fim_pad = preset->fim_pad;
    encode->language_format = "<|lang_%s|>";
    uint32_t context = recipe->pack.seq_len + recipe->pack.extra;
    if (encode->context == 0)
        encode->context = context;
    if (!encode->guide_chunks && encode->context < 32)
        return mill_fail(err, MILL_RECIPE, "encode.context of %u tokens leaves no room for text; use at least 32", encode->context);
    if (recipe->pack.mode == MILL_PACK_BEST_FIT && encode->context > context)
        return mill_fail(err, MILL_RECIPE, "encode.context (%u) is above pack.seq_len + pack.extra (%u): best-fit never cuts a row",
                         encode->context, context);
    return MILL_OK;
}

// Wrong templates are told before anything is read.
static mill_status resolve_chat(mill_recipe *recipe, mill_error *err)
{
    mill_chat_template *chat;
    recipe->chat.tokens = recipe->chat_tokens.items;
    recipe->chat.end_text = recipe->encode.end_text;
    MILL_TRY(mill_chat_template_open(&recipe->chat, &chat, err));
    mill_chat_template_close(chat);
    return MILL_OK;
}

static mill_status resolve_repo(mill_recipe *recipe, mill_error *err)
{
    mill_encode_options *encode = &recipe->encode;
    encode->repo.tokens = recipe->repo_tokens.items;
    MILL_TRY(mill_repo_check(&encode->repo, encode->end_text, err));
    if (encode->repo.sequence && (encode->guide_chunks || encode->parse_specials || recipe->rng == MILL_RNG_PYTHON))
        return mill_fail(err, MILL_RECIPE,
                         "repo.sequence needs rng counter, encode.guide_chunks false and encode.specials_in_text false, as in "
                         "recipe default: the guide knows single files only");
    return MILL_OK;
}

mill_status mill_recipe_resolve(mill_recipe *recipe, mill_error *err)
{
    MILL_TRY(resolve_rng(recipe, err));
    MILL_TRY(resolve_filter(recipe, err));
    MILL_TRY(resolve_tokens(recipe, err));
    MILL_TRY(resolve_chat(recipe, err));
    MILL_TRY(resolve_repo(recipe, err));
    mill_dedup_options *dedup = &recipe->dedup;
    dedup->by_language = recipe->dedup_scope == 0;
    if ((dedup->bands == 0) != (dedup->rows == 0))
        return mill_fail(err, MILL_RECIPE, "dedup.bands and dedup.rows go together: set both, or neither");
    if ((uint64_t)dedup->bands * dedup->rows > dedup->num_perm)
        return mill_fail(err, MILL_RECIPE, "dedup.bands * dedup.rows = %llu is above dedup.num_perm = %u",
                         (unsigned long long)dedup->bands * dedup->rows, dedup->num_perm);
    if ((recipe->fim.cut == MILL_FIM_GUIDE) != recipe->encode.guide_chunks)
        return mill_fail(err, MILL_RECIPE, "fim.cut guide and encode.guide_chunks go together (the guide's text-level transform)");
    if (recipe->rng == MILL_RNG_PYTHON && recipe->fim.cut != MILL_FIM_GUIDE && recipe->fim.rate_permille != 0)
        return mill_fail(err, MILL_RECIPE,
                         "rng python knows the guide's draws only: use fim.cut=guide, fim.rate=0, or rng=counter");
    if (recipe->filter.stars_mid > recipe->filter.stars_high)
        return mill_fail(err, MILL_RECIPE, "filter.stars_mid is above filter.stars_high");
    recipe->fim.seed = recipe->seed;
    recipe->mixture.seed = recipe->seed;
    recipe->mixture.enabled = recipe->mixture.target_tokens != 0;
    recipe->pack.keep_single = true; // the guide's lost single block is a bug nobody wants back
    return MILL_OK;
}

// ---- canonical form --------------------------------------------------------------------------------------------------------

// "0.85" for 8500 of 10000: shares have no one spelling as JSON numbers, and canonical JSON has no fractions.
static cJSON *share_text(uint32_t units, int decimals)
{
    char text[16];
    uint32_t scale = decimals == 3 ? 1000 : 10000;
    int length = snprintf(text, sizeof text, "%u.%0*u", units / scale, decimals, units % scale);
    while (length > 1 && text[length - 1] == '0')
        text[--length] = '\0';
    if (length > 1 && text[length - 1] == '.')
        text[--length] = '\0';
    return cJSON_CreateString(text);
}

static cJSON *canonical_shares(const cJSON *value, int decimals)
{
    cJSON *object = cJSON_CreateObject();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        uint32_t units = 0;
        (void)read_rate(item, decimals == 3 ? 1000 : 10000, &units);
        cJSON *text = cJSON_IsNull(item) ? cJSON_CreateNull() : share_text(units, decimals);
        if (!mill_json_add_item(object, item->string, text)) {
            cJSON_Delete(object);
            return NULL;
        }
    }
    return object;
}

static cJSON *canonical_value(const mill_recipe_key *row, const cJSON *value)
{
    uint32_t units = 0;
    uint64_t integer = 0;
    switch (row->type) {
    case MILL_KEY_PERMILLE: return read_rate(value, 1000, &units) ? share_text(units, 3) : NULL;
    case MILL_KEY_PERMYRIAD: return read_rate(value, 10000, &units) ? share_text(units, 4) : NULL;
    case MILL_KEY_SHARES: return canonical_shares(value, 4);
    case MILL_KEY_LIMITS: return canonical_shares(value, 3);
    case MILL_KEY_U64:
    case MILL_KEY_U32:
    case MILL_KEY_I64:
        if (!read_integer(value, &integer))
            return NULL;
        if (integer > MILL_JSON_INTEGER_MAX) {
            char text[24];
            snprintf(text, sizeof text, "%llu", (unsigned long long)integer);
            return cJSON_CreateString(text);
        }
        return cJSON_CreateNumber((double)integer);
    case MILL_KEY_BOOL:
    case MILL_KEY_ENUM:
    case MILL_KEY_TEXT:
    case MILL_KEY_LIST: break;
    }
    return cJSON_Duplicate(value, true);
}

mill_status mill_recipe_canonical(const mill_recipe *recipe, cJSON **out, mill_error *err)
{
    cJSON *json = cJSON_CreateObject();
    mill_status status = json == NULL ? mill_fail_nomem(err, "the recipe") : MILL_OK;
    for (size_t i = 0; status == MILL_OK && i < mill_recipe_key_count; i++) {
        const mill_recipe_key *row = &mill_recipe_keys[i];
        status = put_value(json, row->key, canonical_value(row, get_value(recipe->json, row->key)), err);
    }
    if (status != MILL_OK) {
        cJSON_Delete(json);
        return status;
    }
    *out = json;
    return MILL_OK;
}

// ---- printing --------------------------------------------------------------------------------------------------------------

static mill_status print_row(const mill_recipe_key *row, const char *name, const char *value, const char *indent, mill_buf *out,
                             mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "%s\"//%s\": ", indent, name));
    MILL_TRY(mill_buf_append_json(out, row->comment, strlen(row->comment), err));
    return mill_buf_printf(out, err, ",\n%s\"%s\": %s", indent, name, value);
}

mill_status mill_recipe_print(const char *builtin, const mill_recipe *recipe, mill_buf *out, mill_error *err)
{
    char open_group[64] = "";
    bool first = true;
    MILL_TRY(mill_buf_append_text(out, "{\n", err));
    for (size_t i = 0; i < mill_recipe_key_count; i++) {
        const mill_recipe_key *row = &mill_recipe_keys[i];
        char group[64];
        const char *name;
        split_key(row->key, group, &name);
        if (strcmp(group, open_group) != 0) {
            MILL_TRY(
                mill_buf_printf(out, err, "%s%s  \"%s\": {\n", open_group[0] != '\0' ? "\n  }" : "", first ? "" : ",\n", group));
            memcpy(open_group, group, sizeof group);
        } else if (!first) {
            MILL_TRY(mill_buf_append_text(out, ",\n", err));
        }
        first = false;
        const char *text = strcmp(builtin, "guide") == 0 || row->standard == NULL ? row->guide : row->standard;
        char *printed = recipe != NULL ? cJSON_PrintUnformatted(get_value(recipe->json, row->key)) : NULL;
        mill_status status = print_row(row, name, printed != NULL ? printed : text, group[0] != '\0' ? "    " : "  ", out, err);
        cJSON_free(printed);
        MILL_TRY(status);
    }
    return mill_buf_append_text(out, "\n  }\n}\n", err);
}
