// recipe.h: every threshold, name set, share and format option of a run, as data. A recipe is one JSON object; recipe_table.c lists
// each key with its type, its value in the built-in recipes and what it means.
#ifndef MILL_PIPELINE_RECIPE_H
#define MILL_PIPELINE_RECIPE_H

#include <cjson/cJSON.h>

#include "core/fs.h"
#include "dedup/dedup.h"
#include "encode/encode.h"
#include "filter/filter.h"
#include "filter/syntax.h"
#include "fim/fim.h"
#include "pack/mixture.h"
#include "pack/pack.h"
#include "shard/shard.h"
#include "source/source.h"
#include "tokenizer/tokenizer.h"

#define MILL_RECIPE_LIST_MAX 64

typedef enum mill_train_unit { MILL_UNIT_DOCUMENT, MILL_UNIT_LINE, MILL_UNIT_JSONL_LINE } mill_train_unit;
typedef enum mill_loss_mask { MILL_MASK_AUTO, MILL_MASK_ALWAYS, MILL_MASK_NEVER } mill_loss_mask;
typedef enum mill_positions { MILL_POSITIONS_NONE, MILL_POSITIONS_RESTART, MILL_POSITIONS_CONTINUE } mill_positions;
extern const char *const mill_positions_names[]; // "none", ..; NULL behind the last
typedef enum mill_order { MILL_ORDER_INPUT, MILL_ORDER_LANGUAGE, MILL_ORDER_SHUFFLE } mill_order;

typedef struct mill_string_list {
    const char *items[MILL_RECIPE_LIST_MAX]; // NULL-terminated
} mill_string_list;

typedef struct mill_recipe {
    cJSON *json;                 // the recipe as used, nested; the strings below point into it
    uint64_t seed;
    const char *rng_text;        // "counter", "python", "python:SEED"
    mill_rng_kind rng;
    uint64_t python_seed;        // seed of the Python streams (rng python)
    bool strip_metadata_head;
    mill_bad_unicode bad_unicode;
    uint64_t record_bytes_max;
    mill_shape_options shape;
    mill_qa_options qa;
    mill_chat_options chat;
    mill_string_list chat_tokens;   // empty: those of the preset
    mill_string_list remove_repos, remove_paths, remove_hashes;
    mill_filter_options filter;
    const char *unicode_text;
    mill_string_list autogen_markers, test_markers, licences, short_types;
    mill_syntax_options syntax;
    mill_dedup_options dedup;
    int dedup_scope;             // 0 language, 1 global
    mill_train_options train;
    mill_train_unit train_unit;
    uint64_t train_sample_bytes;   // 0: all
    bool decoder;
    const char *token_preset;
    mill_string_list specials;      // empty: those of the preset
    mill_string_list language_tags; // "*": every language of the run
    uint64_t model_max_length;
    mill_fim_options fim;
    mill_encode_options encode;
    mill_pack_options pack;
    mill_order order;
    mill_string_list repo_tokens;   // empty: those of the preset
    uint32_t repo_files;
    uint64_t repo_bytes;
    mill_shard_options shard;
    mill_loss_mask loss_mask;
    mill_positions positions;
    mill_string_list documents;     // containers that hold documents
    bool pad;                       // fill samples up
    bool extra_given;               // pack.extra was set, by file or command line
    mill_mixture_options mixture;
} mill_recipe;

// Loads a built-in recipe by name ("guide", "default") or a JSON file (on top of its "base", "default" if it has none), then
// applies `sets` ("key=value", value as JSON or bare text). Unknown keys and wrong values are MILL_RECIPE; the message names the
// nearest key.
mill_status mill_recipe_load(const mill_fs *fs, const char *name_or_file, const char *const *sets, size_t set_count,
                             mill_recipe *out, mill_error *err) MILL_MUST_CHECK;
void mill_recipe_free(mill_recipe *recipe);
// Sets one key after loading, as `sets` would.
mill_status mill_recipe_set(mill_recipe *recipe, const char *key, const char *value, mill_error *err) MILL_MUST_CHECK;
// Fills the structs from the JSON values and checks what concerns several keys; call after the last set.
mill_status mill_recipe_resolve(mill_recipe *recipe, mill_error *err) MILL_MUST_CHECK;

// The values as canonical JSON takes them: shares as decimal text, large integers as text. Loads back to the same recipe.
mill_status mill_recipe_canonical(const mill_recipe *recipe, cJSON **out, mill_error *err) MILL_MUST_CHECK;

// A built-in recipe as pretty JSON with a "//key" comment before each key; with `recipe` non-NULL its values instead.
mill_status mill_recipe_print(const char *builtin, const mill_recipe *recipe, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
