// mixture_cells.c: the tables of a mixture: checks, who belongs to which share, and how many tokens each cell wants.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pack/mixture_internal.h"
#include "record/batch.h"

#define PERMYRIAD 10000u

// A name with an empty part ("c++") is one name, however it is spelt.
static bool is_joined(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '+') != NULL && name[0] != '+' && name[length - 1] != '+' && strstr(name, "++") == NULL;
}

// Is value one of the parts of a joined name?
static bool has_part(const char *name, const char *value, size_t value_bytes)
{
    if (!is_joined(name))
        return false;
    for (const char *part = name; part != NULL;) {
        const char *end = strchr(part, '+');
        size_t bytes = end == NULL ? strlen(part) : (size_t)(end - part);
        if (bytes == value_bytes && memcmp(part, value, bytes) == 0)
            return true;
        part = end == NULL ? NULL : end + 1;
    }
    return false;
}

size_t mill_mixture_find(const mill_mixture_table *table, const char *value)
{
    if (value == NULL)
        return table->other;
    // A whole name wins over a part: languages may have a '+' of their own.
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->shares[i].name, value) == 0)
            return i;
    }
    size_t bytes = strlen(value);
    for (size_t i = 0; i < table->count; i++) {
        if (has_part(table->shares[i].name, value, bytes))
            return i;
    }
    return table->other;
}

static bool names_known(const mill_mixture_table *table, const char *value, size_t bytes)
{
    static const char *const tiers[] = {"high", "mid", "low", "other"};
    const char *const *names = tiers;
    size_t count = 4;
    if (strcmp(table->name, "language") == 0)
        return true;
    if (strcmp(table->name, "type") == 0) {
        names = mill_data_type_names;
        count = MILL_TYPE_COUNT;
        if (bytes == 5 && memcmp(value, "other", 5) == 0)
            return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) == bytes && memcmp(names[i], value, bytes) == 0)
            return true;
    }
    return false;
}

// One value of share `own`: known, and in no other share.
static mill_status check_value(const mill_mixture_table *table, size_t own, const char *value, size_t bytes, mill_error *err)
{
    if (!names_known(table, value, bytes))
        return mill_fail(err, MILL_RECIPE, "mixture: there is no %s called \"%.*s\"", table->name, (int)bytes, value);
    for (size_t i = 0; i < own; i++) {
        const char *name = table->shares[i].name;
        if ((strlen(name) == bytes && memcmp(name, value, bytes) == 0) || has_part(name, value, bytes))
            return mill_fail(err, MILL_RECIPE, "mixture: %s \"%.*s\" stands in two shares", table->name, (int)bytes, value);
    }
    return MILL_OK;
}

static mill_status check_share(const mill_mixture_table *table, size_t own, mill_error *err)
{
    const char *name = table->shares[own].name;
    if (name == NULL || name[0] == '\0')
        return mill_fail(err, MILL_RECIPE, "mixture: %s share %zu has no name", table->name, own + 1);
    size_t bytes = strlen(name);
    if (bytes > 1024)
        return mill_fail(err, MILL_RECIPE, "mixture: a %s share has a name of more than 1024 bytes", table->name);
    if (!is_joined(name))
        return check_value(table, own, name, bytes, err);
    for (const char *part = name; part != NULL;) {
        const char *end = strchr(part, '+');
        MILL_TRY(check_value(table, own, part, end == NULL ? strlen(part) : (size_t)(end - part), err));
        part = end == NULL ? NULL : end + 1;
    }
    return MILL_OK;
}

static mill_status table_init(mill_mixture_table *table, const char *name, const mill_share *shares, size_t count,
                              size_t count_max, mill_error *err)
{
    *table = (mill_mixture_table){.name = name, .shares = shares, .count = count, .other = count};
    if (count > count_max)
        return mill_fail(err, MILL_RECIPE, "mixture: more than %zu %s shares", count_max, name);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        MILL_TRY(check_share(table, i, err));
        sum += shares[i].permyriad;
        if (strcmp(shares[i].name, "other") == 0)
            table->other = i;
    }
    if (count != 0 && sum != PERMYRIAD)
        return mill_fail(err, MILL_RECIPE,
                         "mixture: the %s shares add up to %" PRIu64 " permyriad (%" PRIu64 ".%02" PRIu64
                         " %%), not to 10000; change them or add \"other\"",
                         name, sum, sum / 100, sum % 100);
    return MILL_OK;
}

// Product of a cell's shares, in units of 10000^-(tables in use).
static uint64_t cell_share(const mill_mixture_cells *cells, size_t cell)
{
    uint64_t share = 1;
    for (size_t t = MILL_MIXTURE_TABLES; t-- > 0;) {
        const mill_mixture_table *table = &cells->tables[t];
        if (table->count != 0) {
            share *= table->shares[cell % table->count].permyriad;
            cell /= table->count;
        }
    }
    return share;
}

// Largest remainder: floors first, then one token each to the largest fractions, the first cell among equals.
static void split_target(mill_mixture_cells *cells, uint64_t target)
{
    uint64_t whole = 1; // at most 10^12, and target * whole below 2^104
    for (size_t t = 0; t < MILL_MIXTURE_TABLES; t++)
        whole *= cells->tables[t].count != 0 ? PERMYRIAD : 1;
    uint64_t remainder[MILL_MIXTURE_CELLS_MAX], left = target;
    for (size_t i = 0; i < cells->count; i++) {
        mill_u128 product = (mill_u128)target * cell_share(cells, i);
        cells->wanted[i] = (uint64_t)(product / whole);
        remainder[i] = (uint64_t)(product % whole);
        left -= cells->wanted[i];
    }
    // The remainders add up to left * whole, so fewer than count are left and each goes to a cell with a fraction.
    for (; left > 0; left--) {
        size_t best = 0;
        for (size_t i = 1; i < cells->count; i++)
            best = remainder[i] > remainder[best] ? i : best;
        MILL_ASSERT(remainder[best] != 0);
        cells->wanted[best]++;
        remainder[best] = 0;
    }
}

mill_status mill_mixture_cells_init(mill_mixture_cells *cells, const mill_mixture_options *options, mill_error *err)
{
    MILL_TRY(table_init(&cells->tables[0], "language", options->languages, options->language_count, 64, err));
    MILL_TRY(table_init(&cells->tables[1], "type", options->types, options->type_count, 8, err));
    MILL_TRY(table_init(&cells->tables[2], "tier", options->tiers, options->tier_count, 4, err));
    cells->count = 1;
    for (size_t t = 0; t < MILL_MIXTURE_TABLES; t++)
        cells->count *= cells->tables[t].count != 0 ? cells->tables[t].count : 1;
    split_target(cells, options->target_tokens);
    return MILL_OK;
}

void mill_mixture_cell_name(const mill_mixture_cells *cells, size_t cell, char *name, size_t bytes)
{
    size_t place[MILL_MIXTURE_TABLES] = {0};
    for (size_t t = MILL_MIXTURE_TABLES; t-- > 0;) {
        if (cells->tables[t].count != 0) {
            place[t] = cell % cells->tables[t].count;
            cell /= cells->tables[t].count;
        }
    }
    size_t at = 0;
    snprintf(name, bytes, "all");
    for (size_t t = 0; t < MILL_MIXTURE_TABLES; t++) {
        const mill_mixture_table *table = &cells->tables[t];
        if (table->count == 0 || at >= bytes)
            continue;
        int length = snprintf(name + at, bytes - at, "%s%s=%s", at == 0 ? "" : " ", table->name,
                              table->shares[place[t]].name);
        at += length > 0 ? (size_t)length : 0;
    }
}
