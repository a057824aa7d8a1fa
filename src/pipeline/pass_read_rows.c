// pass_read_rows.c: rows of token ids as JSON lines, {"input_ids": [..], "length": n, "language": "...",
// "doc_begin": n, "loss_mask": [..]}, -> token units. Each line is a document of one row; where packing never cuts a row, a
// longer one is cut here, but no conversation (a row whose mask has zeros).
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "core/utf8.h"
#include "pipeline/input_units.h"
#include "pipeline/token_unit.h"
#include "shard/docs.h"

#define ID_END ((uint64_t)1 << 24) // ids are below it, with or without a tokenizer

typedef struct rows_worker {
    mill_block block;
    mill_account *accounts; // by input
    mill_rows rows;
    mill_doc *docs;
    size_t doc_capacity;
    uint32_t doc_count;
    uint32_t id_end;        // above the unit's largest id
    mill_quarantine quarantine;
    mill_buf out, table;
} rows_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    rows_worker *w = state;
    mill_block_free(&w->block);
    mill_free(w->accounts);
    mill_rows_free(&w->rows);
    mill_free(w->docs);
    mill_quarantine_free(&w->quarantine);
    mill_buf_free(&w->out);
    mill_buf_free(&w->table);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)number;
    mill_run_state *run = context;
    rows_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting a reader");
    *state = w;
    w->accounts = mill_alloc_zero(run->input_count, sizeof *w->accounts);
    return w->accounts == NULL ? mill_fail_nomem(err, "starting a reader") : MILL_OK;
}

static mill_status next_block(void *context, void *state, uint64_t unit, bool *end, mill_error *err)
{
    rows_worker *w = state;
    return mill_input_next(context, &w->block, unit, end, err);
}

// ---- one line -------------------------------------------------------------------------------------------------------------------

typedef struct line_place {
    rows_worker *w;
    mill_run_state *run;
    mill_quarantined row; // input, record, offset, length
    uint64_t doc_begin;   // of the line's tokens, in the document that encode cut them from
    mill_error *err;
} line_place;

#define QUARANTINE(place, why, ...)                                                                                              \
    ((place)->w->accounts[(place)->row.input].quarantined++, (place)->row.reason = (why),                                       \
     mill_quarantine_add(&(place)->w->quarantine, &(place)->row, NULL, (place)->err, __VA_ARGS__))

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

// Appends the ids of the array to the unit; the first that is none is named in *bad, with its place.
static mill_status append_ids(line_place *place, yyjson_val *array, size_t *bad, bool *good)
{
    mill_ids *ids = &place->w->rows.ids;
    uint64_t end = place->run->tokenizer != NULL ? mill_tokenizer_vocab_size(place->run->tokenizer) : ID_END;
    size_t count = yyjson_arr_size(array), begin = ids->count;
    MILL_TRY(MILL_GROW(ids->data, ids->capacity, begin + count, place->err));
    uint32_t largest = 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (size_t i = 0; i < count; i++) {
        yyjson_val *value = yyjson_arr_iter_next(&iter);
        uint64_t id = yyjson_is_uint(value) ? yyjson_get_uint(value) : UINT64_MAX;
        if (id >= end) {
            *bad = i;
            *good = false;
            return MILL_OK;
        }
        ids->data[begin + i] = (uint32_t)id;
        largest = id > largest ? (uint32_t)id : largest;
    }
    ids->count = begin + count;
    if (largest >= place->w->id_end)
        place->w->id_end = largest + 1;
    *good = true;
    return MILL_OK;
}

static uint8_t type_of(const mill_run_state *run, mill_language_id language)
{
    const char *given = run->options->source_type;
    for (uint8_t i = 0; given != NULL && i < MILL_TYPE_COUNT; i++) {
        if (strcmp(given, mill_data_type_names[i]) == 0)
            return i;
    }
    return mill_language_get(run->languages, language)->data_type;
}

// Appends the runs of the mask to the unit (mill_row); none if every token is a target. *bad: what is wrong
// with it.
static mill_status append_mask(line_place *place, yyjson_val *array, size_t count, uint32_t *runs,
                               const char **bad)
{
    mill_rows *rows = &place->w->rows;
    const size_t begin = rows->run_count;
    uint32_t value = 0;
    *runs = 0;
    *bad = NULL;
    if (array == NULL || yyjson_is_null(array))
        return MILL_OK;
    if (!yyjson_is_arr(array) || yyjson_arr_size(array) != count) {
        *bad = "loss_mask is no list of as many numbers as there are ids";
        return MILL_OK;
    }
    MILL_TRY(MILL_GROW(rows->runs, rows->run_capacity, begin + count + 1, place->err));
    rows->runs[rows->run_count++] = 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (size_t i = 0; i < count && *bad == NULL; i++) {
        yyjson_val *entry = yyjson_arr_iter_next(&iter);
        const uint64_t next = yyjson_is_uint(entry) ? yyjson_get_uint(entry) : 2;
        if (next > 1)
            *bad = "loss_mask has something that is neither 0 nor 1";
        if (next != value)
            rows->runs[rows->run_count++] = 0;
        value = (uint32_t)next;
        rows->runs[rows->run_count - 1]++;
    }
    *runs = (uint32_t)(rows->run_count - begin);
    if (*bad != NULL || (*runs == 2 && rows->runs[begin] == 0)) {
        *runs = 0;
        rows->run_count = begin;
    }
    return MILL_OK;
}

// The ids from `begin` on become a document. Its key has the record's number in it, so that equal rows are told apart.
static mill_status add_doc(line_place *place, size_t begin, mill_language_id language, uint32_t runs)
{
    rows_worker *w = place->w;
    mill_run_state *run = place->run;
    mill_ids *ids = &w->rows.ids;
    size_t count = ids->count - begin;
    MILL_TRY(MILL_GROW(w->docs, w->doc_capacity, (size_t)w->doc_count + 1, place->err));
    MILL_TRY(MILL_GROW(ids->data, ids->capacity, ids->count + 2, place->err));
    mill_doc *doc = &w->docs[w->doc_count];
    memset(doc, 0, sizeof *doc); // padding reaches the disk
    memcpy(ids->data + ids->count, &place->row.record, sizeof place->row.record);
    doc->key = mill_hash128(ids->data + begin, (count + 2) * 4);
    doc->content = mill_hash128(ids->data + begin, count * 4);
    doc->stars = MILL_STARS_MISSING;
    doc->record = place->row.record;
    doc->input = place->row.input;
    doc->unit = (uint32_t)w->block.unit;
    doc->row = w->doc_count;
    doc->language = language;
    doc->type = type_of(run, language);
    doc->flags = runs != 0 ? MILL_FLAG_CHAT : 0;
    // Best-fit never cuts a row, so a longer one is cut here, as encode would have had to.
    uint64_t longest = (uint64_t)run->recipe.pack.seq_len + run->recipe.pack.extra;
    size_t step = run->recipe.pack.mode == MILL_PACK_BEST_FIT && count > longest ? run->recipe.encode.context : count;
    uint32_t piece = 0;
    for (size_t at = 0; at < count; at += step, piece++) {
        size_t tokens = count - at < step ? count - at : step;
        MILL_TRY(MILL_GROW(w->rows.rows, w->rows.capacity, w->rows.count + 1, place->err));
        w->rows.rows[w->rows.count++] = (mill_row){.first_token = begin + at,
                                                   .tokens = (uint32_t)tokens,
                                                   .record = w->doc_count,
                                                   .piece = piece,
                                                   .doc_begin = place->doc_begin + at,
                                                   .mode = runs != 0 ? MILL_ROW_CHAT : MILL_FIM_NONE,
                                                   .first_run = w->rows.run_count - runs,
                                                   .runs = runs,
                                                   .last = at + tokens == count};
    }
    w->doc_count++;
    w->rows.documents++;
    w->rows.encoded_tokens += count;
    w->accounts[place->row.input].by_reason[MILL_KEPT]++;
    return MILL_OK;
}

static mill_status take_object(line_place *place, yyjson_val *root)
{
    rows_worker *w = place->w;
    yyjson_val *array = yyjson_obj_get(root, "input_ids"), *length = yyjson_obj_get(root, "length");
    yyjson_val *name = yyjson_obj_get(root, "language");
    if (array == NULL)
        return QUARANTINE(place, MILL_QUARANTINE_NO_CONTENT, "no input_ids");
    if (!yyjson_is_arr(array))
        return QUARANTINE(place, MILL_QUARANTINE_CONTENT_TYPE, "input_ids is of type %s", yyjson_get_type_desc(array));
    size_t count = yyjson_arr_size(array), begin = w->rows.ids.count, bad = 0;
    if (count == 0)
        return QUARANTINE(place, MILL_QUARANTINE_NO_CONTENT, "input_ids is empty");
    if (length != NULL && !yyjson_is_null(length) && (!yyjson_is_uint(length) || yyjson_get_uint(length) != count))
        return QUARANTINE(place, MILL_QUARANTINE_FIELD_TYPE, "length is not the number of input_ids, %zu", count);
    yyjson_val *begins = yyjson_obj_get(root, "doc_begin");
    place->doc_begin = yyjson_get_uint(begins);
    if (begins != NULL && !yyjson_is_null(begins) && (!yyjson_is_uint(begins) || place->doc_begin >= MILL_NO_PLACE / 2))
        return QUARANTINE(place, MILL_QUARANTINE_FIELD_TYPE, "doc_begin is no number of tokens");
    if (name != NULL && !yyjson_is_null(name) && !yyjson_is_str(name))
        return QUARANTINE(place, MILL_QUARANTINE_FIELD_TYPE, "language is of type %s", yyjson_get_type_desc(name));
    bool good = false;
    MILL_TRY(append_ids(place, array, &bad, &good));
    if (!good)
        return QUARANTINE(place, MILL_QUARANTINE_CONTENT_TYPE, "input_ids[%zu] is no id below %llu", bad,
                          (unsigned long long)(place->run->tokenizer != NULL ? mill_tokenizer_vocab_size(place->run->tokenizer)
                                                                             : ID_END));
    mill_language_id language = MILL_LANGUAGE_OTHER;
    if (yyjson_is_str(name))
        language = mill_language_intern(place->run->languages, yyjson_get_str(name), yyjson_get_len(name));
    uint32_t runs;
    const char *wrong;
    MILL_TRY(append_mask(place, yyjson_obj_get(root, "loss_mask"), count, &runs, &wrong));
    const uint64_t longest = (uint64_t)place->run->recipe.pack.seq_len + place->run->recipe.pack.extra;
    const bool too_long = runs != 0 && place->run->recipe.pack.mode == MILL_PACK_BEST_FIT && count > longest;
    if (wrong != NULL || too_long) {
        w->rows.ids.count = begin;
        w->rows.run_count -= runs;
    }
    if (wrong != NULL)
        return QUARANTINE(place, MILL_QUARANTINE_FIELD_TYPE, "%s", wrong);
    if (too_long)
        return QUARANTINE(place, MILL_QUARANTINE_TOO_LONG,
                          "a conversation of %zu tokens, a sample takes %llu", count,
                          (unsigned long long)longest);
    if (place->run->wanted_languages != NULL && !place->run->wanted_languages[language]) {
        w->rows.run_count -= runs;
        w->rows.ids.count = begin;
        w->accounts[place->row.input].by_reason[MILL_REASON_LANGUAGE]++;
        return MILL_OK;
    }
    return add_doc(place, begin, language, runs);
}

static mill_status take_line(line_place *place, const uint8_t *text, size_t bytes)
{
    size_t bad = 0, i = 0;
    uint64_t most = place->run->recipe.record_bytes_max;
    while (bytes <= most && i < bytes && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
        i++;
    if (i == bytes)
        return MILL_OK; // the reader counts no blank line either
    place->w->accounts[place->row.input].read++;
    if (bytes > most)
        return QUARANTINE(place, MILL_QUARANTINE_TOO_LONG, "longer than %llu bytes", (unsigned long long)most);
    static const yyjson_alc alc = {json_alloc, json_realloc, json_free, NULL};
    yyjson_read_err why;
    char *in = (char *)(uintptr_t)text; // only read: YYJSON_READ_INSITU is not set
    yyjson_doc *doc = yyjson_read_opts(in, bytes, YYJSON_READ_NOFLAG, &alc, &why);
    if (doc == NULL && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return mill_fail_nomem(place->err, "parsing a row of token ids");
    if (doc == NULL && !mill_utf8_valid(text, bytes, &bad))
        return QUARANTINE(place, MILL_QUARANTINE_BAD_UTF8, "byte 0x%02x at byte %zu of the line", text[bad], bad);
    if (doc == NULL)
        return QUARANTINE(place, MILL_QUARANTINE_BAD_JSON, "%s at byte %zu of the line", why.msg, why.pos);
    yyjson_val *root = yyjson_doc_get_root(doc);
    mill_status status = yyjson_is_obj(root)
                             ? take_object(place, root)
                             : QUARANTINE(place, MILL_QUARANTINE_NOT_OBJECT, "the line is of type %s", yyjson_get_type_desc(root));
    yyjson_doc_free(doc);
    return status;
}

// ---- a unit ---------------------------------------------------------------------------------------------------------------------

static int compare_quarantined(const void *a, const void *b)
{
    const mill_quarantined *left = a, *right = b;
    if (left->input != right->input)
        return left->input < right->input ? -1 : 1;
    return left->record < right->record ? -1 : left->record > right->record;
}

static mill_status take_pieces(mill_run_state *run, rows_worker *w, mill_error *err)
{
    const mill_block *block = &w->block;
    for (size_t p = 0; p < block->piece_count; p++) {
        const mill_block_piece *piece = &block->pieces[p];
        if (piece->bytes == 0) { // how the reader tells of a byte order mark
            w->accounts[piece->input].stripped_bom++;
            continue;
        }
        const uint8_t *text = block->bytes.data + piece->begin;
        uint64_t number = piece->first_record;
        for (size_t at = 0; at < piece->bytes; number++) {
            const uint8_t *newline = memchr(text + at, '\n', piece->bytes - at);
            size_t bytes = newline != NULL ? (size_t)(newline - text) - at : piece->bytes - at;
            line_place place = {.w = w,
                                .run = run,
                                .row = {.input = piece->input, .record = number, .offset = piece->offset + at, .length = bytes},
                                .err = err};
            MILL_TRY(take_line(&place, text + at, bytes));
            at += bytes + (newline != NULL);
        }
    }
    for (size_t i = 0; i < block->quarantine.count; i++) {
        const mill_quarantined *row = &block->quarantine.rows[i];
        w->accounts[row->input].read++;
        w->accounts[row->input].quarantined++;
        MILL_TRY(mill_quarantine_add(&w->quarantine, row, NULL, err, "%s", row->detail));
    }
    if (w->quarantine.count != 0)
        qsort(w->quarantine.rows, w->quarantine.count, sizeof *w->quarantine.rows, compare_quarantined);
    return MILL_OK;
}

static mill_status commit_unit(mill_run_state *run, rows_worker *w, uint32_t first, uint32_t last, mill_error *err)
{
    mill_unit unit;
    char path[64];
    mill_status status = MILL_OK;
    const mill_token_meta meta = {.records = w->doc_count};
    MILL_TRY(mill_language_check(run->languages, err));
    mill_unit_init(&unit, run->token_stage, w->block.unit);
    unit.payload = mill_token_counts_json(&w->rows);
    if (!mill_input_add_accounts(unit.payload, w->accounts, first, last) ||
        cJSON_AddNumberToObject(unit.payload, "vocab_size", w->id_end) == NULL) {
        status = mill_fail_nomem(err, "the counts of a unit");
        goto cleanup;
    }
    // The token file comes first: it is what mill_run_map_tokens looks for.
    mill_token_unit_path(run->token_stage, w->block.unit, path);
    MILL_TRY_GOTO(mill_token_unit_write(&w->rows, &meta, w->id_end, &w->out, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, path, &w->out, err));
    MILL_TRY_GOTO(mill_input_add_tables(run, &unit, w->docs, w->doc_count, &w->quarantine, &w->table, err));
    return mill_unit_commit(run->dir, &unit, err);
cleanup:
    mill_unit_abort(run->dir, &unit);
    return status;
}

static mill_status read_block(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = context;
    rows_worker *w = state;
    mill_run_advance(run, w->block.bytes.bytes);
    if (mill_workdir_done(run->dir, run->token_stage, number) != NULL)
        return MILL_OK;
    uint32_t first, last;
    mill_input_range(&w->block, &first, &last);
    for (uint32_t i = first; first != UINT32_MAX && i <= last; i++)
        w->accounts[i] = (mill_account){0};
    mill_rows_clear(&w->rows);
    mill_quarantine_clear(&w->quarantine);
    w->doc_count = 0;
    w->id_end = 1;
    mill_instant begin = mill_time_begin();
    MILL_TRY(take_pieces(run, w, err));
    mill_time_end(run, MILL_TIME_READ, begin, w->block.bytes.bytes, w->doc_count);
    return commit_unit(run, w, first, last, err);
}

static void find_vocab_size(mill_run_state *run)
{
    run->vocab_size = run->tokenizer != NULL ? mill_tokenizer_vocab_size(run->tokenizer) : 1;
    for (uint64_t i = 0; i < run->unit_count; i++) {
        const cJSON *payload = cJSON_GetObjectItemCaseSensitive(mill_workdir_done(run->dir, run->token_stage, i), "payload");
        const cJSON *size = cJSON_GetObjectItemCaseSensitive(payload, "vocab_size");
        if (cJSON_IsNumber(size) && size->valuedouble > (double)run->vocab_size && size->valuedouble <= (double)ID_END)
            run->vocab_size = (uint32_t)size->valuedouble;
    }
}

mill_status mill_pass_read_rows(mill_run_state *run, mill_error *err)
{
    for (size_t i = 0; i < run->input_count; i++) {
        if (mill_source_input(run->source, i)->is_tree)
            return mill_fail(err, MILL_INPUT,
                             "%s: a source tree holds no rows of token ids; give .jsonl files (.gz and .zst too), or a "
                             "directory of nothing else, such as encode's DIR/rows",
                             run->inputs[i].name);
    }
    run->token_stage = mill_input_stage(run);
    const mill_map map = {.threads = run->threads,
                          .units = UINT64_MAX,
                          .stop = run->options->stop,
                          .context = run,
                          .open = open_worker,
                          .close = close_worker,
                          .next = next_block,
                          .work = read_block};
    MILL_TRY(mill_input_read(run, "read rows", &map, err));
    find_vocab_size(run);
    // A tokenizer that was given goes with the shards, so that they can be decoded.
    return run->tokenizer != NULL ? mill_pass_train(run, err) : MILL_OK;
}
