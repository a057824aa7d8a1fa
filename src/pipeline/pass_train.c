// pass_train.c: the tokenizer of the run: the given file, or byte-level BPE trained on the documents that are left.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "pipeline/run.h"

#define SPECIALS_MAX 4200

typedef struct train_pass {
    mill_run_state *run;
    mill_word_counts **counts; // one a worker
    uint64_t counts_bytes;     // of a worker's counts, from which on they are added to those of all
    uint64_t text_bytes;       // of the documents that are left
    pthread_mutex_t lock;
    mill_word_counts *all;     // guarded by the lock
} train_pass;

typedef struct train_worker {
    mill_word_counts *counts;  // borrowed
    mill_backend *backend;     // NULL: it cannot count words
    mill_batch batch;
    mill_buf line;
    mill_buf text;             // with a backend: the unit's texts, one behind the other
    uint64_t *offsets;
    size_t offset_capacity;
    uint32_t text_count;
} train_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    train_worker *w = state;
    if (w->backend != NULL)
        w->backend->ops->close(w->backend);
    mill_batch_free(&w->batch);
    mill_buf_free(&w->line);
    mill_buf_free(&w->text);
    mill_free(w->offsets);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    train_pass *pass = context;
    train_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting a word counter");
    *state = w;
    mill_batch_init(&w->batch);
    MILL_TRY(mill_word_counts_open(MILL_PRETOK_GPT2, &pass->counts[number], err));
    w->counts = pass->counts[number];
    const mill_backend_ops *ops = pass->run->backend;
    return ops->count_words != NULL ? ops->open(ops, &w->backend, err) : MILL_OK;
}

// Counts a text, or keeps it for the unit's end where a backend counts them all at once.
static mill_status add_text(train_worker *w, const uint8_t *text, uint64_t bytes, mill_error *err)
{
    if (w->backend == NULL)
        return mill_word_counts_add(w->counts, text, bytes, err);
    MILL_TRY(MILL_GROW(w->offsets, w->offset_capacity, (size_t)w->text_count + 2, err));
    MILL_TRY(mill_buf_append(&w->text, text, bytes, err));
    w->offsets[0] = 0;
    w->offsets[++w->text_count] = w->text.bytes;
    return MILL_OK;
}

static mill_status count_texts(train_worker *w, mill_error *err)
{
    const mill_text_view view = {w->text.data, w->offsets, w->text_count};
    mill_status status = w->text_count != 0 ? mill_word_counts_add_texts(w->counts, w->backend, &view, err) : MILL_OK;
    mill_buf_clear(&w->text);
    w->text_count = 0;
    return status;
}

static mill_status add_lines(train_worker *w, const uint8_t *text, uint64_t bytes, mill_error *err)
{
    while (bytes != 0) {
        const uint8_t *end = memchr(text, '\n', bytes);
        uint64_t line = end != NULL ? (uint64_t)(end - text) + 1 : bytes;
        MILL_TRY(add_text(w, text, line, err));
        text += line;
        bytes -= line;
    }
    return MILL_OK;
}

// A JSON string as Python's json.dumps writes it: everything but ASCII as \uXXXX, surrogate pairs above U+FFFF.
static mill_status append_ascii_json(mill_buf *out, const uint8_t *text, uint64_t bytes, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "\"", err));
    for (uint64_t i = 0; i < bytes;) {
        size_t length = mill_utf8_sequence(text + i, bytes - i);
        MILL_ASSERT(length != 0);
        uint32_t c = mill_utf8_decode(text + i, &length);
        static const char short_escapes[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
        const char *escape = c != 0 && c < 0x80 ? strchr(short_escapes, (int)c) : NULL;
        if (escape != NULL)
            MILL_TRY(mill_buf_printf(out, err, "\\%c", letters[escape - short_escapes]));
        else if (c >= 0x20 && c < 0x7f + 1)
            MILL_TRY(mill_buf_append(out, text + i, 1, err));
        else if (c >= 0x10000)
            MILL_TRY(mill_buf_printf(out, err, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff)));
        else
            MILL_TRY(mill_buf_printf(out, err, "\\u%04x", c));
        i += length;
    }
    return mill_buf_append_text(out, "\"", err);
}

// The record as the guide's collector would have written it: what its trainer really reads.
static mill_status add_jsonl_line(mill_run_state *run, train_worker *w, uint32_t i, mill_error *err)
{
    const mill_batch *b = &w->batch;
    const char *language = mill_language_get(run->languages, b->language[i])->name;
    uint64_t bytes;
    const uint8_t *text = mill_batch_text(b, i, &bytes);
    mill_buf_clear(&w->line);
    MILL_TRY(mill_buf_append_text(&w->line, "{\"content\": ", err));
    MILL_TRY(append_ascii_json(&w->line, text, bytes, err));
    MILL_TRY(mill_buf_append_text(&w->line, ", \"language\": ", err));
    MILL_TRY(append_ascii_json(&w->line, (const uint8_t *)language, strlen(language), err));
    MILL_TRY(mill_buf_append_text(&w->line, ", \"repo\": ", err));
    MILL_TRY(append_ascii_json(&w->line, (const uint8_t *)mill_batch_meta(b, b->repo[i]), b->repo[i].bytes, err));
    MILL_TRY(mill_buf_append_text(&w->line, ", \"path\": ", err));
    MILL_TRY(append_ascii_json(&w->line, (const uint8_t *)mill_batch_meta(b, b->path[i]), b->path[i].bytes, err));
    MILL_TRY(mill_buf_printf(&w->line, err, ", \"stars\": %lld}\n", (long long)(b->stars[i] < 0 ? 0 : b->stars[i])));
    return add_text(w, w->line.data, w->line.bytes, err);
}

// Control tokens are no text: what stands between two of them is a text of its own.
static mill_status add_chat(mill_run_state *run, train_worker *w, uint32_t i, const uint8_t *text, mill_error *err)
{
    const uint32_t pieces = mill_batch_piece_count(&w->batch, i);
    uint64_t bytes = 0;
    for (uint32_t k = 0; k <= pieces; k++) {
        const mill_chat_piece piece = k < pieces ? mill_batch_piece(&w->batch, i, k) : (mill_chat_piece){.control = 1};
        if (!piece.control) {
            bytes += piece.bytes;
            continue;
        }
        if (bytes != 0)
            MILL_TRY(run->recipe.train_unit == MILL_UNIT_LINE ? add_lines(w, text, bytes, err)
                                                              : add_text(w, text, bytes, err));
        text += bytes + piece.bytes;
        bytes = 0;
    }
    return MILL_OK;
}

static mill_status fail_memory(const mill_word_counts *counts, uint64_t needed, mill_error *err)
{
    return mill_fail(err, MILL_RESOURCE,
                     "training on %llu different words needs about %llu MiB, more than --memory allows; raise it, or train on a "
                     "part of the text (--set tokenizer.sample_bytes=1000000000)",
                     (unsigned long long)mill_word_counts_unique(counts), (unsigned long long)(needed >> 20) + 1);
}

static mill_status check_counts(const train_pass *pass, mill_error *err)
{
    const uint64_t needed = mill_word_counts_memory(pass->all);
    return needed > pass->run->memory_bytes ? fail_memory(pass->all, needed, err) : MILL_OK;
}

// Adds the worker's counts to the common ones, and lets go of their memory.
static mill_status give_counts(train_pass *pass, mill_word_counts *counts, mill_error *err)
{
    pthread_mutex_lock(&pass->lock);
    mill_status status = mill_word_counts_merge(pass->all, counts, err);
    if (status == MILL_OK)
        status = check_counts(pass, err);
    pthread_mutex_unlock(&pass->lock);
    mill_word_counts_clear(counts);
    return status;
}

static bool is_trained_on(const train_pass *pass, const mill_doc *doc)
{
    const uint64_t wanted = pass->run->recipe.train_sample_bytes;
    if (doc->verdict != MILL_KEPT || wanted == 0 || wanted >= pass->text_bytes)
        return doc->verdict == MILL_KEPT;
    return mill_draw_below(mill_draw(pass->run->recipe.seed, MILL_DRAW_TRAIN, doc->key, 0), pass->text_bytes) < wanted;
}

static mill_status count_unit(void *context, void *state, uint64_t number, mill_error *err)
{
    train_pass *pass = context;
    mill_run_state *run = pass->run;
    train_worker *w = state;
    uint64_t first = run->unit_first[number];
    MILL_TRY(mill_run_load_segment(run, number, &w->batch, err));
    const mill_instant begin = mill_time_begin();
    uint64_t counted_bytes = 0, counted = 0;
    for (uint32_t i = 0; i < w->batch.count; i++) {
        if (!is_trained_on(pass, &run->docs[first + i]))
            continue;
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(&w->batch, i, &bytes);
        if ((w->batch.flags[i] & MILL_FLAG_CHAT) != 0)
            MILL_TRY(add_chat(run, w, i, text, err));
        else if (run->recipe.train_unit == MILL_UNIT_DOCUMENT)
            MILL_TRY(add_text(w, text, bytes, err));
        else if (run->recipe.train_unit == MILL_UNIT_LINE)
            MILL_TRY(add_lines(w, text, bytes, err));
        else
            MILL_TRY(add_jsonl_line(run, w, i, err));
        counted_bytes += bytes;
        counted++;
    }
    MILL_TRY(count_texts(w, err));
    if (mill_word_counts_memory(w->counts) > pass->counts_bytes)
        MILL_TRY(give_counts(pass, w->counts, err));
    mill_time_end(run, MILL_TIME_WORDS, begin, counted_bytes, counted);
    mill_run_advance(run, w->batch.count);
    return MILL_OK;
}

// ---- special tokens -------------------------------------------------------------------------------------------------------------

typedef struct special_list {
    char *items[SPECIALS_MAX];
    uint32_t count;
} special_list;

static mill_status add_special(special_list *list, const char *text, mill_error *err)
{
    if (text == NULL || list->count == SPECIALS_MAX)
        return MILL_OK;
    char *copy = mill_strdup(text);
    if (copy == NULL)
        return mill_fail_nomem(err, "a special token");
    list->items[list->count++] = copy;
    return MILL_OK;
}

static mill_status add_language_tag(const mill_recipe *recipe, special_list *list, const char *name, mill_error *err)
{
    char tag[128];
    // The format is ours (recipe.c), with one %s.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(tag, sizeof tag, recipe->encode.language_format, name);
#pragma GCC diagnostic pop
    return add_special(list, tag, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static mill_status add_run_languages(mill_run_state *run, special_list *list, mill_error *err)
{
    uint32_t ids = mill_language_count(run->languages), count = 0;
    const char **names = mill_alloc_zero(ids, sizeof *names);
    bool *seen = mill_alloc_zero(ids, sizeof *seen);
    mill_status status = names == NULL || seen == NULL ? mill_fail_nomem(err, "the languages of the run") : MILL_OK;
    for (uint64_t i = 0; status == MILL_OK && i < run->doc_count; i++) {
        mill_language_id id = run->docs[i].language;
        if (run->docs[i].verdict == MILL_KEPT && !seen[id]) {
            seen[id] = true;
            names[count++] = mill_language_get(run->languages, id)->name;
        }
    }
    if (count != 0)
        qsort(names, count, sizeof *names, compare_names);
    for (uint32_t i = 0; status == MILL_OK && i < count; i++)
        status = add_language_tag(&run->recipe, list, names[i], err);
    mill_free(names);
    mill_free(seen);
    return status;
}

static mill_status list_specials(mill_run_state *run, special_list *list, mill_error *err)
{
    const mill_recipe *recipe = &run->recipe;
    const mill_encode_options *encode = &recipe->encode;
    if (recipe->specials.items[0] != NULL) {
        for (size_t i = 0; recipe->specials.items[i] != NULL; i++)
            MILL_TRY(add_special(list, recipe->specials.items[i], err));
    } else {
        const char *const names[] = {encode->end_text, encode->fim_prefix, encode->fim_middle, encode->fim_suffix, encode->fim_pad};
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            MILL_TRY(add_special(list, names[i], err));
        if (strcmp(recipe->token_preset, "guide") == 0)
            MILL_TRY(add_special(list, "<|file_separator|>", err));
    }
    const char *const *chat_tokens = mill_chat_tokens(&recipe->chat);
    for (size_t i = 0; mill_run_has_chats(run) && chat_tokens[i] != NULL; i++)
        MILL_TRY(add_special(list, chat_tokens[i], err));
    const char *const *repo_tokens = mill_repo_tokens(&recipe->encode.repo);
    for (size_t i = 0; recipe->encode.repo.sequence && repo_tokens[i] != NULL; i++)
        MILL_TRY(add_special(list, repo_tokens[i], err));
    for (unsigned i = 0; recipe->fim.cut == MILL_FIM_MULTI && i < MILL_FIM_SPANS_MAX; i++) {
        char name[64];
        snprintf(name, sizeof name, MILL_FIM_SPAN_FORMAT, i);
        MILL_TRY(add_special(list, name, err));
    }
    if (recipe->fim.cut == MILL_FIM_MULTI)
        MILL_TRY(add_special(list, MILL_FIM_SPAN_END, err));
    for (size_t i = 0; recipe->language_tags.items[i] != NULL; i++) {
        const char *name = recipe->language_tags.items[i];
        MILL_TRY(strcmp(name, "*") == 0 ? add_run_languages(run, list, err) : add_language_tag(recipe, list, name, err));
    }
    return MILL_OK;
}

// ---- training -------------------------------------------------------------------------------------------------------------------

static int show_progress(void *context, uint32_t done, uint32_t wanted)
{
    mill_run_state *run = context;
    atomic_store(&run->part.total, wanted);
    atomic_store(&run->part.done, 0);
    mill_run_advance(run, done);
    return run->options->stop != NULL && *run->options->stop != 0;
}

// Training is the peak of most runs: beside it stand the program, what workers left to be used again, and the documents.
static mill_status check_memory(const mill_run_state *run, const mill_word_counts *counts, mill_error *err)
{
    const uint64_t beside = (UINT64_C(80) << 20) + run->doc_count * sizeof(mill_doc);
    const uint64_t needed = mill_tokenizer_train_memory(counts) + beside;
    return needed <= run->memory_bytes ? MILL_OK : fail_memory(counts, needed, err);
}

static mill_status train(mill_run_state *run, mill_word_counts *counts, mill_error *err)
{
    MILL_TRY(check_memory(run, counts, err));
    special_list *list = mill_alloc_zero(1, sizeof *list);
    if (list == NULL)
        return mill_fail_nomem(err, "special tokens");
    mill_backend *backend = NULL;
    mill_status status = list_specials(run, list, err);
    if (status == MILL_OK)
        status = run->backend->open(run->backend, &backend, err);
    if (status == MILL_OK) {
        mill_train_options options = run->recipe.train;
        options.backend = backend;
        options.specials = (const char *const *)list->items;
        options.special_count = list->count;
        options.spent = counts;
        options.threads = run->threads;
        options.keep_words = run->stages != MILL_STAGES_TRAIN;
        mill_run_part(run, "train tokenizer", "merges", options.vocab_size);
        mill_instant begin = mill_time_begin();
        status = mill_tokenizer_train(counts, &options, show_progress, run, &run->tokenizer, err);
        mill_time_end(run, MILL_TIME_TRAIN, begin, atomic_load(&run->timing[MILL_TIME_WORDS].bytes),
                      atomic_load(&run->timing[MILL_TIME_WORDS].records));
    }
    if (backend != NULL)
        backend->ops->close(backend);
    for (uint32_t i = 0; i < list->count; i++)
        mill_free(list->items[i]);
    mill_free(list);
    return status;
}

static mill_status count_words(train_pass *pass, mill_error *err)
{
    mill_run_state *run = pass->run;
    mill_run_part(run, "count words", "records", run->doc_count);
    const mill_map map = {.threads = run->threads,
                          .units = run->unit_count,
                          .stop = run->options->stop,
                          .context = pass,
                          .open = open_worker,
                          .close = close_worker,
                          .work = count_unit};
    MILL_TRY(mill_map_run(&map, err));
    mill_instant begin = mill_time_begin();
    MILL_TRY(mill_word_counts_sum(pass->all, pass->counts, run->threads, run->threads, err));
    MILL_TRY(check_counts(pass, err));
    mill_time_end(run, MILL_TIME_WORDS, begin, 0, 0);
    return MILL_OK;
}

static mill_status count_and_train(mill_run_state *run, mill_error *err)
{
    train_pass pass = {.run = run,
                       .counts = mill_alloc_zero(run->threads, sizeof(mill_word_counts *)),
                       .counts_bytes = run->memory_bytes / 4 / run->threads,
                       .text_bytes = mill_run_kept_bytes(run)};
    if (pass.counts == NULL)
        return mill_fail_nomem(err, "starting word counters");
    pthread_mutex_init(&pass.lock, NULL);
    mill_status status = mill_word_counts_open(MILL_PRETOK_GPT2, &pass.all, err);
    if (status == MILL_OK)
        status = count_words(&pass, err);
    if (status == MILL_OK)
        status = train(run, pass.all, err);
    mill_word_counts_close(pass.all);
    for (uint32_t i = 0; i < run->threads; i++)
        mill_word_counts_close(pass.counts[i]);
    mill_free(pass.counts);
    pthread_mutex_destroy(&pass.lock);
    return status;
}

static mill_status commit(mill_run_state *run, mill_error *err)
{
    const char *end = run->recipe.encode.end_text;
    mill_buf json = {0}, config = {0}, specials = {0};
    mill_unit unit;
    mill_unit_init(&unit, "train", 0);
    mill_status status = MILL_OK;
    if (run->tokenizer_given.bytes != 0)
        MILL_TRY_GOTO(mill_buf_append(&json, run->tokenizer_given.data, run->tokenizer_given.bytes, err));
    else
        MILL_TRY_GOTO(mill_tokenizer_write_json(run->tokenizer, run->recipe.decoder, &json, err));
    MILL_TRY_GOTO(mill_tokenizer_write_config(run->tokenizer, end, run->recipe.model_max_length, &config, err));
    MILL_TRY_GOTO(mill_tokenizer_write_specials(run->tokenizer, end, &specials, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, "tokenizer/tokenizer.json", &json, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, "tokenizer/tokenizer_config.json", &config, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, "tokenizer/special_tokens_map.json", &specials, err));
    MILL_TRY_GOTO(mill_unit_commit(run->dir, &unit, err));
cleanup:
    if (status != MILL_OK)
        mill_unit_abort(run->dir, &unit);
    mill_buf_free(&json);
    mill_buf_free(&config);
    mill_buf_free(&specials);
    return status;
}

static mill_status load_finished(mill_run_state *run, mill_error *err)
{
    mill_view json;
    MILL_TRY(mill_workdir_view(run->dir, "tokenizer/tokenizer.json", &json, err));
    mill_status status = mill_tokenizer_parse(json.data, json.bytes, "tokenizer/tokenizer.json", &run->tokenizer, err);
    mill_workdir_unview(run->dir, &json);
    return status;
}

mill_status mill_pass_train(mill_run_state *run, mill_error *err)
{
    if (mill_workdir_done(run->dir, "train", 0) != NULL)
        return run->tokenizer == NULL ? load_finished(run, err) : MILL_OK;
    if (run->tokenizer == NULL)
        MILL_TRY(count_and_train(run, err));
    return commit(run, err);
}
