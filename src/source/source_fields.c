// source_fields.c: the column names of the known data sets, and the shapes that their values come in.
#include <string.h>

#include "source/source_internal.h"

const char *const mill_field_names[MILL_FIELD_COUNT] = {"content",     "language", "repo",   "path",     "stars",  "licence",
                                                        "instruction", "input",    "output", "messages", "prompt", "completion"};

enum {
    GUIDE = 1,
    STACK = 2,
    GITHUB_CODE = 4,
    STARCODER = 8,
    BIGQUERY = 16,
    FILES = 31, // records that are files
    ALPACA = 32,
    SHAREGPT = 64,
    MESSAGES = 128,
    PROMPT = 256,
    CHATS = 480, // conversations
    EVERY = 511
};

static const struct {
    const char *name;
    uint32_t bit;
} presets[] = {{"auto", EVERY},
               {"guide", GUIDE},
               {"the-stack", STACK},
               {"github-code", GITHUB_CODE},
               {"starcoderdata", STARCODER},
               {"bigquery", BIGQUERY},
               {"alpaca", ALPACA},
               {"sharegpt", SHAREGPT},
               {"messages", MESSAGES},
               {"prompt", PROMPT}};

// For each field in the order in which columns are asked. repository_name is what the guide's collector
// reads; the detected_ and star_events_ columns are those of The Stack v2.
static const struct {
    const char *name;
    uint8_t field;
    uint32_t presets;
} known[] = {
    {"content", MILL_FIELD_CONTENT, FILES},
    {"code", MILL_FIELD_CONTENT, GITHUB_CODE},
    {"language", MILL_FIELD_LANGUAGE, GUIDE | GITHUB_CODE | STACK | BIGQUERY | CHATS},
    {"lang", MILL_FIELD_LANGUAGE, STACK | CHATS},
    {"repo", MILL_FIELD_REPO, GUIDE | GITHUB_CODE | CHATS},
    {"repo_name", MILL_FIELD_REPO, GITHUB_CODE | BIGQUERY | STACK},
    {"repository_name", MILL_FIELD_REPO, GUIDE},
    {"max_stars_repo_name", MILL_FIELD_REPO, STACK | STARCODER},
    {"path", MILL_FIELD_PATH, GUIDE | GITHUB_CODE | BIGQUERY | STACK | CHATS},
    {"max_stars_repo_path", MILL_FIELD_PATH, STACK | STARCODER},
    {"stars", MILL_FIELD_STARS, GUIDE | CHATS},
    {"max_stars_count", MILL_FIELD_STARS, STACK | STARCODER},
    {"star_events_count", MILL_FIELD_STARS, STACK},
    {"licence", MILL_FIELD_LICENCE, GUIDE | CHATS},
    {"license", MILL_FIELD_LICENCE, GUIDE | GITHUB_CODE | BIGQUERY | CHATS},
    {"licenses", MILL_FIELD_LICENCE, GUIDE | BIGQUERY},
    {"max_stars_repo_licenses", MILL_FIELD_LICENCE, STACK | STARCODER},
    {"detected_licenses", MILL_FIELD_LICENCE, STACK},
    {"instruction", MILL_FIELD_INSTRUCTION, GUIDE | ALPACA},
    {"input", MILL_FIELD_INPUT, GUIDE | ALPACA},
    {"output", MILL_FIELD_OUTPUT, GUIDE | ALPACA},
    {"messages", MILL_FIELD_MESSAGES, MESSAGES},
    {"conversations", MILL_FIELD_MESSAGES, SHAREGPT},
    {"prompt", MILL_FIELD_PROMPT, PROMPT},
    {"completion", MILL_FIELD_COMPLETION, PROMPT},
    {"ext", MILL_FIELD_EXT, STACK},
    {"extension", MILL_FIELD_EXT, STACK},
};

mill_status mill_columns_resolve(const mill_source_options *options, mill_column_map *map, mill_error *err)
{
    const char *preset = options->preset != NULL ? options->preset : "auto";
    uint32_t bit = 0;
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(preset, presets[i].name) == 0)
            bit = presets[i].bit;
    if (bit == 0)
        return mill_fail(
            err, MILL_USAGE,
            "unknown field preset \"%s\": use auto, guide, the-stack, github-code, starcoderdata, bigquery, alpaca, sharegpt, "
            "messages or prompt",
            preset);
    map->count = 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        bool overruled = known[i].field < MILL_FIELD_COUNT && options->field[known[i].field] != NULL;
        if ((known[i].presets & bit) != 0 && !overruled)
            map->columns[map->count++] =
                (mill_column){known[i].name, (uint32_t)strlen(known[i].name), known[i].field, false};
    }
    for (uint8_t field = 0; field < MILL_FIELD_COUNT; field++) {
        const char *name = options->field[field];
        if (name == NULL)
            continue;
        if (*name == '\0' || strlen(name) > 1024)
            return mill_fail(err, MILL_USAGE, "the column name for %s is empty or too long",
                             mill_field_names[field]);
        map->columns[map->count++] =
            (mill_column){name, (uint32_t)strlen(name), field, strchr(name, '.') != NULL};
    }
    return MILL_OK;
}

bool mill_is_form_column(const char *name)
{
    static const char *const names[] = {"cells",    "cell_types", "worksheets", "nbformat",  "metadata",
                                        "markdown", "code",       "output",     "solutions", "description",
                                        "question", "name",       "problem_id", "id",        "title"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

// The last of duplicates, as in Python's json.
static yyjson_val *member_of(yyjson_val *object, const char *name, size_t bytes)
{
    yyjson_val *found = NULL;
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key != NULL; key = yyjson_obj_iter_next(&iter))
        if (yyjson_equals_strn(key, name, bytes))
            found = yyjson_obj_iter_get_val(key);
    return found;
}

// The value at a dotted path. Names may have dots of their own: the longest that leads to the end is taken.
// Each step down needs a dot of the path, which bounds the recursion.
static yyjson_val *value_at(yyjson_val *object, const char *path, size_t bytes)
{
    for (size_t own = bytes; own > 0; own--) {
        if (own < bytes && path[own] != '.')
            continue;
        yyjson_val *value = member_of(object, path, own);
        if (own < bytes)
            value = yyjson_is_obj(value) ? value_at(value, path + own + 1, bytes - own - 1) : NULL;
        if (value != NULL)
            return value;
    }
    return NULL;
}

void mill_columns_pick(const mill_column_map *map, yyjson_val *object, yyjson_val *fields[MILL_FIELDS_ALL])
{
    yyjson_val *found[MILL_COLUMNS_MAX] = {NULL};
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key != NULL; key = yyjson_obj_iter_next(&iter)) {
        const char *text = yyjson_get_str(key);
        size_t bytes = yyjson_get_len(key);
        for (uint32_t i = 0; i < map->count; i++)
            if (map->columns[i].bytes == bytes && memcmp(map->columns[i].name, text, bytes) == 0)
                found[i] = yyjson_obj_iter_get_val(key);
    }
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++)
        fields[i] = NULL;
    for (uint32_t i = 0; i < map->count; i++) {
        if (found[i] == NULL && map->columns[i].has_dots)
            found[i] = value_at(object, map->columns[i].name, map->columns[i].bytes);
        yyjson_val **field = &fields[map->columns[i].field];
        if (*field == NULL && found[i] != NULL && !yyjson_is_null(found[i]))
            *field = found[i];
    }
}

// Decimal digits with an optional fraction of zeros ("12", "12.0"), blanks around them allowed.
int64_t mill_stars_text(const char *text, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && text[i] == ' ')
        i++;
    while (bytes > i && text[bytes - 1] == ' ')
        bytes--;
    size_t first = i;
    int64_t value = 0;
    bool full = false;
    for (; i < bytes && text[i] >= '0' && text[i] <= '9'; i++)
        full = full || __builtin_mul_overflow(value, 10, &value) ||
               __builtin_add_overflow(value, text[i] - '0', &value);
    bool good = i > first;
    if (i < bytes && text[i] == '.')
        for (i++; i < bytes && text[i] == '0'; i++)
            continue;
    if (!good || i != bytes)
        return MILL_STARS_MISSING;
    return full ? INT64_MAX : value;
}

int64_t mill_stars_real(double stars)
{
    if (!(stars >= 0.0)) // not a number, too
        return MILL_STARS_MISSING;
    return stars < 0x1p63 ? (int64_t)stars : (stars <= 0x1.fffffffffffffp1023 ? INT64_MAX : MILL_STARS_MISSING);
}

int64_t mill_stars_value(yyjson_val *value)
{
    if (yyjson_is_uint(value)) {
        uint64_t stars = yyjson_get_uint(value);
        return stars > INT64_MAX ? INT64_MAX : (int64_t)stars;
    }
    if (yyjson_is_real(value))
        return mill_stars_real(yyjson_get_real(value));
    if (yyjson_is_raw(value)) // a number that fits no machine word
        return mill_stars_text(yyjson_get_raw(value), yyjson_get_len(value));
    if (yyjson_is_str(value))
        return mill_stars_text(yyjson_get_str(value), yyjson_get_len(value));
    return MILL_STARS_MISSING;
}

static mill_status append_licence(yyjson_val *value, mill_buf *out, mill_error *err)
{
    if (out->bytes != 0)
        MILL_TRY(mill_buf_append(out, ",", 1, err));
    return mill_buf_append(out, yyjson_get_str(value), yyjson_get_len(value), err);
}

mill_status mill_licence_value(yyjson_val *value, mill_buf *out, bool *good, mill_error *err)
{
    mill_buf_clear(out);
    *good = true;
    if (yyjson_is_str(value))
        return append_licence(value, out, err);
    if (yyjson_is_obj(value))
        value = yyjson_obj_get(value, "list");
    if (!yyjson_is_arr(value)) {
        *good = false;
        return MILL_OK;
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(value);
    for (yyjson_val *item = yyjson_arr_iter_next(&iter); item != NULL; item = yyjson_arr_iter_next(&iter)) {
        if (yyjson_is_obj(item)) {
            yyjson_val *inner = yyjson_obj_get(item, "item");
            item = inner != NULL ? inner : yyjson_obj_get(item, "element");
        }
        if (yyjson_is_str(item)) {
            MILL_TRY(append_licence(item, out, err));
        } else if (item == NULL || !yyjson_is_null(item)) {
            *good = false;
            return MILL_OK;
        }
    }
    return MILL_OK;
}

// The value of one part if text begins with its tag: up to the next '<' or the end of the line, not empty.
static size_t head_part(const uint8_t *text, size_t bytes, const char *tag, size_t *skip)
{
    size_t length = strlen(tag);
    *skip = 0;
    if (bytes < length || memcmp(text, tag, length) != 0)
        return 0;
    size_t end = length;
    while (end < bytes && text[end] != '<' && text[end] != '\n')
        end++;
    *skip = end == length ? 0 : end;
    return end - length;
}

mill_metadata_head mill_metadata_head_find(const uint8_t *text, size_t bytes)
{
    static const char *const tags[] = {"<reponame>", "<filename>", "<gh_stars>"};
    mill_metadata_head head = {0};
    size_t at = 0, skip, found = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t value = head_part(text + at, bytes - at, tags[i], &skip);
        if (skip == 0)
            continue;
        const char *begin = (const char *)text + at + skip - value;
        if (i == 0) {
            head.repo = begin;
            head.repo_bytes = value;
        } else if (i == 1) {
            head.path = begin;
            head.path_bytes = value;
        }
        at += skip;
        found++;
    }
    if (found == 0 || at >= bytes ||
        text[at] != '\n') // <filename>x</filename> is content of an XML file, not a head
        return (mill_metadata_head){0};
    head.bytes = at + 1;
    return head;
}
