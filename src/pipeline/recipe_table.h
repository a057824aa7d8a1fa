// recipe_table.h: the rows of the recipe table, for recipe.c.
#ifndef MILL_PIPELINE_RECIPE_TABLE_H
#define MILL_PIPELINE_RECIPE_TABLE_H

#include "pipeline/recipe.h"

typedef enum mill_key_type {
    MILL_KEY_U64,
    MILL_KEY_U32,
    MILL_KEY_I64,
    MILL_KEY_BOOL,
    MILL_KEY_ENUM,     // text among `names`, stored as an int (its place)
    MILL_KEY_PERMILLE, // 0 .. 1 with at most 3 decimals, stored in thousandths (u32)
    MILL_KEY_PERMYRIAD,// 0 .. 1 with at most 4 decimals, stored in ten-thousandths (u32)
    MILL_KEY_TEXT,     // const char *
    MILL_KEY_LIST,     // list of strings -> mill_string_list
    MILL_KEY_SHARES,   // object of name: share -> mill_share array; the count stands in the size_t right behind it
    MILL_KEY_LIMITS,   // object of language: share or null -> mill_syntax_options
} mill_key_type;

typedef struct mill_recipe_key {
    const char *key;          // "filter.min_chars"
    mill_key_type type;
    size_t offset;            // in mill_recipe
    uint64_t low, high;       // range of integers; SHARES: high = most rows
    const char *const *names; // ENUM: NULL-terminated
    const char *guide;        // JSON text of the built-in values
    const char *standard;     // recipe "default"; NULL: as guide
    const char *comment;
} mill_recipe_key;

extern const mill_recipe_key mill_recipe_keys[];
extern const size_t mill_recipe_key_count;

#endif
