// estimate.c: `plan`: what a run would read, keep, make and need, projected from a sample of its inputs.
#include "pipeline/estimate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/document.h"
#include "pipeline/finished.h"
#include "shard/container.h"

#define SAMPLE_BYTES ((uint64_t)512 << 20)
#define SIDECAR_BYTES 45.0 // of a row in the docs sidecar, compressed
#define TOKENIZER_BYTES 70.0 // of an id in tokenizer.json
#define SHARE_MAX 0.9      // of duplicates: what a sample may foretell
#define GROWTH 0.6         // different words grow with the text to about this power (Heaps' law)

enum { LINES_MAX = 12 };

typedef struct line { // a row of a table
    const char *name;
    double value;
} line;

typedef struct projection {
    mill_run_state *run;
    mill_plan_sample sample;
    mill_plan_facts facts;
    mill_plan_meter *meter;
    double syntax, exact, near, kept, kept_bytes; // records and bytes of the whole run
    double bytes_per_token, tokens, samples;
    line disk[LINES_MAX], seconds[LINES_MAX], memory[LINES_MAX];
    size_t disk_count, second_count, memory_count;
    double disk_total, result_bytes, second_total, memory_peak;
    mill_share_report *shares;
    size_t share_count;
} projection;

static double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

// The share of duplicates in the whole corpus. A document of the sample meets only partners that are in the sample, too, so the
// share grows with the part that is looked at: as a power of it, which half of the sample and the sample tell.
static double share_of_all(uint64_t in_half, uint64_t in_whole, const mill_plan_facts *f, double scale)
{
    const double half = ratio((double)in_half, (double)f->half.of), whole = ratio((double)in_whole, (double)f->whole.of);
    double power = half > 0.0 && whole > 0.0 ? log2(whole / half) : 0.0;
    power = fmax(0.0, fmin(power, 1.0));
    return fmin(whole * pow(scale, power), SHARE_MAX);
}

// ---- projecting -----------------------------------------------------------------------------------------------------------------

static void project_documents(projection *p)
{
    const mill_plan_facts *f = &p->facts;
    double scale = p->sample.scale, passed = (double)f->passed;
    const double failing = ratio((double)f->failed, (double)f->checked); // among those not parsed as many as among the others
    const double failing_bytes = ratio((double)f->failed_bytes, (double)f->checked_bytes);
    p->syntax = scale * failing * passed;
    const double judged = scale * (1.0 - failing) * passed, exact = share_of_all(f->half.exact, f->whole.exact, f, scale);
    const double near = share_of_all(f->half.near, f->whole.near, f, scale);
    p->exact = judged * exact;
    p->near = judged * fmin(near, 1.0 - exact);
    p->kept = judged - p->exact - p->near;
    // Of what the sample keeps, those that go for a partner beyond it are as long as the others.
    const double kept_here = (double)(f->whole.of - f->whole.exact - f->whole.near);
    p->kept_bytes = ratio((double)f->whole.kept_bytes, kept_here) * p->kept * ratio(1.0 - failing_bytes, 1.0 - failing);
}

static void project_tokens(projection *p)
{
    const mill_plan_facts *f = &p->facts;
    const mill_recipe *recipe = &p->run->recipe;
    if (f->tokens == 0)
        return;
    p->bytes_per_token = (double)f->encoded_bytes / (double)f->tokens;
    double controls = (recipe->encode.language_tag ? 1.0 : 0.0) + (recipe->encode.end_token ? 1.0 : 0.0) +
                      3.0 * recipe->fim.rate_permille / 1000.0;
    p->tokens = p->kept_bytes / p->bytes_per_token + p->kept * controls;
    p->samples = ceil(p->tokens / ((double)recipe->pack.seq_len + recipe->pack.extra));
}

static double packed_tokens(const projection *p)
{
    double target = (double)p->run->recipe.mixture.target_tokens;
    return p->run->recipe.mixture.target_tokens != 0 && target < p->tokens ? target : p->tokens;
}

static double packed_rows(const projection *p)
{
    double longest = (double)p->run->recipe.pack.seq_len + p->run->recipe.pack.extra;
    return p->kept + p->tokens / longest;
}

static void project_disk(projection *p)
{
    const mill_plan_facts *f = &p->facts;
    const mill_run_state *run = p->run;
    double passed = p->sample.scale * (double)f->passed, out = packed_tokens(p);
    size_t n = 0;
    double text = p->sample.scale * (double)f->passed_bytes, stored = (double)mill_run_stored_bytes(run);
    stored = text < stored ? text : stored;
    p->disk[n++] = (line){"segments", stored + (text - stored) * ratio((double)f->segment_bytes, (double)f->segment_of)};
    p->disk[n++] = (line){"document tables", passed * (double)sizeof(mill_doc)};
    p->disk[n++] = (line){"sketches", passed * (2.0 + (run->recipe.dedup.near ? 4.0 * run->minhash.num_perm : 0.0))};
    p->disk[n++] = (line){"token units", p->tokens * (f->vocab_size <= 65536 ? 2.0 : 4.0) +
                                             packed_rows(p) * (double)sizeof(mill_row) + passed * 3.0 * (double)sizeof(mill_span)};
    size_t first_result = n;
    for (size_t i = 0; i < mill_container_count; i++) {
        const mill_container *c = mill_containers[i];
        double bytes = f->vocab_size <= 65536 ? 2.0 : 4.0; // of a token
        if (strcmp(c->name, "jsonl.zst") == 0)
            bytes = ratio((double)f->zst_bytes, (double)f->written_tokens);
        else if (strcmp(c->name, "jsonl") == 0)
            bytes = ratio((double)f->jsonl_bytes, (double)f->written_tokens);
        if ((run->formats >> i & 1) != 0)
            p->disk[n++] = (line){c->label, out * bytes};
    }
    p->disk[n++] = (line){"docs sidecar", packed_rows(p) * SIDECAR_BYTES};
    p->disk[n++] = (line){"tokenizer", (double)f->vocab_size * TOKENIZER_BYTES};
    p->disk_count = n;
    for (size_t i = 0; i < n; i++) {
        p->disk_total += p->disk[i].value;
        p->result_bytes += i >= first_result ? p->disk[i].value : 0.0;
    }
}

static double unique_words(const projection *p)
{
    const mill_plan_facts *f = &p->facts;
    return f->word_bytes == 0 ? 0.0 : (double)f->unique_words * pow(fmax(1.0, p->kept_bytes / (double)f->word_bytes), GROWTH);
}

static void project_memory(projection *p)
{
    const mill_run_state *run = p->run;
    double passed = p->sample.scale * (double)p->facts.passed;
    // A worker holds a block, its text, a segment and a parser's memory; a grammar's tree is larger than its text.
    double workers = (double)run->threads * ((double)run->batch_bytes * 7.0 + 16e6) + 30e6;
    double docs = passed * (double)sizeof(mill_doc);
    // barrier_dedup.c: content, scope, stars, bytes, kept_by, exact, the keys of all bands, and two tables of the LSH.
    double dedup = passed * (16.0 + 4.0 + 8.0 + 8.0 + 8.0 + 1.0 + (run->recipe.dedup.near ? 16.0 * run->bands + 48.0 : 0.0));
    double words = unique_words(p) * 120.0 * run->threads;
    double pack = packed_rows(p) * 64.0;
    size_t n = 0;
    p->memory[n++] = (line){"batches of the threads", workers};
    p->memory[n++] = (line){"table of documents", docs};
    p->memory[n++] = (line){"deduplication", dedup};
    p->memory[n++] = (line){"words of the tokenizer", words};
    p->memory[n++] = (line){"packing", pack};
    double held = fmin((double)mill_run_held_bytes(run), p->disk_total - p->result_bytes);
    p->memory[n++] = (line){"units not yet written", held};
    p->memory_count = n;
    p->memory_peak = docs + held + fmax(fmax(workers, dedup), fmax(words, pack));
}

static void add_seconds(projection *p, const char *name, double sample_ns, double sample_amount, double amount, bool one_thread)
{
    double seconds = ratio(sample_ns, sample_amount) * amount * 1e-9 / (one_thread ? 1.0 : (double)p->run->threads);
    p->seconds[p->second_count++] = (line){name, seconds};
    p->second_total += seconds;
}

static void project_seconds(projection *p)
{
    const mill_plan_facts *f = &p->facts;
    const mill_plan_sample *s = &p->sample;
    double text = s->scale * (double)s->text_bytes, passed = s->scale * (double)f->passed_bytes;
    double read_ns = ratio((double)s->read_ns, (double)s->read_bytes) + ratio((double)s->parse_ns, (double)s->taken_bytes);
    add_seconds(p, "read", read_ns, 1.0, s->total_bytes, false);
    add_seconds(p, "filter", (double)f->filter_ns, (double)s->text_bytes, text, false);
    add_seconds(p, "segments", (double)f->storing_ns, (double)f->segment_of, passed, false);
    add_seconds(p, "syntax", (double)f->syntax_ns, (double)f->checked_bytes, passed, false);
    add_seconds(p, "sketch", (double)f->sketch_ns, (double)f->signed_bytes, passed, false);
    add_seconds(p, "dedup", (double)f->dedup_ns, (double)f->passed, s->scale * (double)f->passed, true);
    if (p->run->tokenizer == NULL) {
        add_seconds(p, "words", (double)f->words_ns, (double)f->word_bytes, p->kept_bytes, false);
        add_seconds(p, "train", (double)f->train_ns, (double)f->unique_words, unique_words(p), true);
    }
    add_seconds(p, "encode", (double)f->encode_ns, (double)f->encoded_bytes, p->kept_bytes, false);
    add_seconds(p, "write", (double)f->write_ns, (double)f->written_tokens, packed_tokens(p), false);
}

// The mixture of the sample's documents, each standing for `scale` times its tokens.
static mill_status project_mixture(projection *p, mill_error *err)
{
    mill_run_state *run = p->run;
    const mill_batch *b = mill_plan_meter_drawn(p->meter);
    if (run->recipe.mixture.target_tokens == 0 || !run->recipe.mixture.enabled || b->count == 0)
        return MILL_OK;
    mill_mixture_doc *docs = mill_alloc_zero(b->count, sizeof *docs);
    uint32_t *epochs = mill_alloc_zero(b->count, sizeof *epochs);
    mill_status status = docs == NULL || epochs == NULL ? mill_fail_nomem(err, "the mixture of the sample") : MILL_OK;
    double tokens_per_byte = ratio(p->tokens, (double)b->text.bytes);
    for (uint32_t i = 0; status == MILL_OK && i < b->count; i++) {
        uint64_t bytes = b->text_offset[i + 1] - b->text_offset[i];
        uint8_t tier = b->stars[i] > run->recipe.filter.stars_high ? 0 : b->stars[i] > run->recipe.filter.stars_mid ? 1 : 2;
        docs[i] = (mill_mixture_doc){.key = mill_batch_key(b, i),
                                     .tokens = (uint64_t)((double)bytes * tokens_per_byte) + 1,
                                     .language = mill_language_get(run->languages, b->language[i])->name,
                                     .type = b->type[i],
                                     .tier = tier};
    }
    if (status == MILL_OK)
        status = mill_mixture_select(docs, b->count, &run->recipe.mixture, epochs, &p->shares, &p->share_count, err);
    mill_free(docs);
    mill_free(epochs);
    return status;
}

static mill_status project(projection *p, mill_error *err)
{
    project_documents(p);
    project_tokens(p);
    project_disk(p);
    project_memory(p);
    project_seconds(p);
    return project_mixture(p, err);
}

// What a share can give: its documents, as often as the recipe allows.
static double available(const projection *p, const mill_share_report *share)
{
    return (double)share->available_tokens * p->run->recipe.mixture.epochs_max;
}

// ---- showing --------------------------------------------------------------------------------------------------------------------

static const char duplicate_note[] =
    "duplicates: as many as there would be if their share went on growing as it does inside the sample";

static mill_status show_count(mill_buf *out, const char *name, uint64_t in_sample, double estimate, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "  %-20s", name));
    MILL_TRY(mill_append_grouped(out, in_sample, 16, err));
    MILL_TRY(mill_append_grouped(out, (uint64_t)(estimate + 0.5), 22, err));
    return mill_buf_append_text(out, "\n", err);
}

static mill_status show_documents(const projection *p, mill_buf *out, mill_error *err)
{
    const mill_plan_facts *f = &p->facts;
    const mill_plan_sample *s = &p->sample;
    MILL_TRY(mill_buf_printf(out, err, "sample: %.1f MiB of about %.1f MiB of text, %llu of %llu files\n\n",
                             (double)s->taken_bytes / 1048576.0, s->total_bytes / 1048576.0, (unsigned long long)s->files_taken,
                             (unsigned long long)s->files));
    MILL_TRY(mill_buf_printf(out, err, "%-22s%16s%22s\n", "documents", "in the sample", "estimate"));
    MILL_TRY(show_count(out, "read", s->counts.read, s->scale * (double)s->counts.read, err));
    MILL_TRY(show_count(out, "quarantined", s->counts.quarantined, s->scale * (double)s->counts.quarantined, err));
    for (int i = 0; i < MILL_REASON_COUNT; i++) {
        if (mill_reason_is_rejection((mill_reason)i) && f->by_reason[i] != 0)
            MILL_TRY(show_count(out, mill_reason_name((mill_reason)i), f->by_reason[i], s->scale * (double)f->by_reason[i], err));
    }
    if (f->checked != 0)
        MILL_TRY(show_count(out, "syntax", f->failed, p->syntax, err));
    MILL_TRY(show_count(out, "exact duplicates", f->whole.exact, p->exact, err));
    MILL_TRY(show_count(out, "near duplicates", f->whole.near, p->near, err));
    MILL_TRY(show_count(out, "kept", f->whole.of - f->whole.exact - f->whole.near, p->kept, err));
    if (f->checked != 0 && f->checked < f->passed)
        MILL_TRY(mill_buf_printf(out, err, "  (syntax: %llu of %llu were parsed)\n", (unsigned long long)f->checked,
                                 (unsigned long long)f->passed));
    return mill_buf_printf(out, err, "  (%s)\n\n", duplicate_note);
}

static mill_status show_tokens(const projection *p, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "text kept   %.1f MiB\n", p->kept_bytes / 1048576.0));
    if (p->facts.tokens == 0)
        return mill_buf_append_text(out, "tokens      unknown: nothing of the sample was kept\n\n", err);
    MILL_TRY(mill_buf_append_text(out, "tokens      ", err));
    MILL_TRY(mill_append_grouped(out, (uint64_t)p->tokens, 0, err));
    MILL_TRY(mill_buf_printf(out, err, " (%.2f bytes a token; %u ids, %s)\n", p->bytes_per_token,
                             p->facts.vocab_size,
                             p->run->tokenizer != NULL ? "the tokenizer that was given" : "a tokenizer trained on the sample"));
    MILL_TRY(mill_buf_append_text(out, "samples     ", err));
    MILL_TRY(mill_append_grouped(out, (uint64_t)p->samples, 0, err));
    return mill_buf_printf(out, err, " of %u tokens\n\n", p->run->recipe.pack.seq_len + p->run->recipe.pack.extra);
}

static mill_status show_lines(const char *title, const line *lines, size_t count, double unit, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "%s\n", title));
    for (size_t i = 0; i < count; i++)
        MILL_TRY(mill_buf_printf(out, err, "  %-24s%12.1f\n", lines[i].name, lines[i].value / unit));
    return MILL_OK;
}

static mill_status show_needs(const projection *p, mill_buf *out, mill_error *err)
{
    char title[80];
    MILL_TRY(show_lines("disk while it runs, MiB", p->disk, p->disk_count, 1048576.0, out, err));
    MILL_TRY(mill_buf_printf(out, err, "  %-24s%12.1f, of which %.1f stay\n\n", "together", p->disk_total / 1048576.0,
                             p->result_bytes / 1048576.0));
    MILL_TRY(show_lines("memory, MiB", p->memory, p->memory_count, 1048576.0, out, err));
    MILL_TRY(mill_buf_printf(out, err, "  %-24s%12.1f\n\n", "peak", p->memory_peak / 1048576.0));
    snprintf(title, sizeof title, "time with %u threads, seconds (by the rates of this machine just now)", p->run->threads);
    MILL_TRY(show_lines(title, p->seconds, p->second_count, 1.0, out, err));
    return mill_buf_printf(out, err, "  %-24s%12.1f\n", "together", p->second_total);
}

static mill_status show_share(const projection *p, const mill_share_report *share, mill_buf *out, mill_error *err)
{
    double there = available(p, share), wanted = (double)share->wanted_tokens;
    MILL_TRY(mill_buf_printf(out, err, "  %-42s", share->name));
    MILL_TRY(mill_append_grouped(out, share->wanted_tokens, 16, err));
    MILL_TRY(mill_append_grouped(out, (uint64_t)there, 16, err));
    return there < wanted ? mill_buf_printf(out, err, "  short by %.0f %%\n", 100.0 * (1.0 - there / wanted))
                          : mill_buf_append_text(out, "  filled\n", err);
}

static mill_status show_target(const projection *p, mill_buf *out, mill_error *err)
{
    uint64_t target = p->run->recipe.mixture.target_tokens, empty_tokens = 0;
    size_t empty = 0;
    if (target == 0)
        return MILL_OK;
    double filled = p->share_count == 0 ? fmin(p->tokens, (double)target) : 0.0;
    MILL_TRY(mill_buf_printf(out, err, "\n%-44s%16s%16s\n", "mixture: tokens by share", "wanted", "available"));
    for (size_t i = 0; i < p->share_count; i++) {
        const mill_share_report *share = &p->shares[i];
        filled += fmin(available(p, share), (double)share->wanted_tokens);
        if (share->wanted_tokens != 0 && share->available_tokens == 0) {
            empty++;
            empty_tokens += share->wanted_tokens;
        } else if (share->wanted_tokens != 0) {
            MILL_TRY(show_share(p, share, out, err));
        }
    }
    if (empty != 0)
        MILL_TRY(mill_buf_printf(out, err, "  %zu further shares, %llu tokens: the sample holds nothing for them\n", empty,
                                 (unsigned long long)empty_tokens));
    return mill_buf_printf(out, err, "the target of %llu tokens can be filled to %.1f %%\n", (unsigned long long)target,
                           100.0 * filled / (double)target);
}

static cJSON *lines_json(const line *lines, size_t count)
{
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; object != NULL && i < count; i++) {
        if (!mill_document_number(object, lines[i].name, lines[i].value)) {
            cJSON_Delete(object);
            return NULL;
        }
    }
    return object;
}

static cJSON *documents_json(const projection *p)
{
    const mill_plan_facts *f = &p->facts;
    const mill_plan_sample *s = &p->sample;
    cJSON *json = cJSON_CreateObject(), *rejected = cJSON_CreateObject();
    bool good = mill_document_number(json, "read", round(s->scale * (double)s->counts.read)) &&
                mill_document_number(json, "quarantined", round(s->scale * (double)s->counts.quarantined)) &&
                mill_document_number(json, "exact", round(p->exact)) && mill_document_number(json, "near", round(p->near)) &&
                mill_document_number(json, "kept", round(p->kept)) && mill_document_number(rejected, "syntax", round(p->syntax));
    for (int i = 0; good && i < MILL_REASON_COUNT; i++) {
        if (mill_reason_is_rejection((mill_reason)i) && i != MILL_REASON_SYNTAX)
            good = mill_document_number(rejected, mill_reason_name((mill_reason)i), round(s->scale * (double)f->by_reason[i]));
    }
    if (!mill_document_item(json, "rejected", rejected) || !good) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

static cJSON *mixture_json(const projection *p)
{
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    for (size_t i = 0; good && i < p->share_count; i++) {
        const mill_share_report *share = &p->shares[i];
        cJSON *row = cJSON_CreateObject();
        good = cJSON_AddItemToArray(list, row) && mill_document_text(row, "share", share->name) &&
               mill_document_number(row, "wanted_tokens", (double)share->wanted_tokens) &&
               mill_document_number(row, "available_tokens", available(p, share)) &&
               mill_document_flag(row, "filled", available(p, share) >= (double)share->wanted_tokens);
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static cJSON *sample_json(const projection *p)
{
    const mill_plan_sample *s = &p->sample;
    cJSON *json = cJSON_CreateObject();
    bool good = mill_document_number(json, "bytes", (double)s->taken_bytes) &&
                mill_document_number(json, "of_bytes", round(s->total_bytes)) &&
                mill_document_number(json, "files", (double)s->files_taken) &&
                mill_document_number(json, "of_files", (double)s->files) &&
                mill_document_number(json, "records", (double)s->counts.read) &&
                mill_document_number(json, "parsed_for_syntax", (double)p->facts.checked);
    if (!good) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

static mill_status show_document(const projection *p, mill_text *out, mill_error *err)
{
    cJSON *json = cJSON_CreateObject();
    bool good = mill_document_number(json, "schema", 1) && mill_document_item(json, "sample", sample_json(p)) &&
                mill_document_item(json, "documents", documents_json(p)) && mill_document_text(json, "note", duplicate_note) &&
                mill_document_number(json, "kept_bytes", round(p->kept_bytes)) &&
                mill_document_number(json, "bytes_per_token", p->bytes_per_token) &&
                mill_document_number(json, "vocab_size", p->facts.vocab_size) &&
                mill_document_number(json, "tokens", round(p->tokens)) && mill_document_number(json, "samples", p->samples) &&
                mill_document_item(json, "disk_bytes", lines_json(p->disk, p->disk_count)) &&
                mill_document_number(json, "disk_bytes_peak", round(p->disk_total)) &&
                mill_document_number(json, "result_bytes", round(p->result_bytes)) &&
                mill_document_item(json, "memory_bytes", lines_json(p->memory, p->memory_count)) &&
                mill_document_number(json, "memory_bytes_peak", round(p->memory_peak)) &&
                mill_document_number(json, "threads", p->run->threads) &&
                mill_document_item(json, "seconds", lines_json(p->seconds, p->second_count)) &&
                mill_document_number(json, "seconds_total", p->second_total) &&
                mill_document_number(json, "target_tokens", (double)p->run->recipe.mixture.target_tokens) &&
                mill_document_item(json, "mixture", mixture_json(p));
    if (!good) {
        cJSON_Delete(json);
        json = NULL;
    }
    return mill_document_finish(json, out, err);
}

static mill_status show_text(const projection *p, mill_text *out, mill_error *err)
{
    mill_buf text = {0};
    mill_status status = show_documents(p, &text, err);
    if (status == MILL_OK)
        status = show_tokens(p, &text, err);
    if (status == MILL_OK)
        status = show_needs(p, &text, err);
    if (status == MILL_OK)
        status = show_target(p, &text, err);
    if (status == MILL_OK)
        status = mill_text_take(&text, out, err);
    mill_buf_free(&text);
    return status;
}

mill_status mill_plan(const mill_run_options *options, bool json, mill_text *out, mill_error *err)
{
    *out = (mill_text){0};
    mill_run_state *run = mill_alloc_zero(1, sizeof *run);
    projection *p = mill_alloc_zero(1, sizeof *p);
    mill_status status = run == NULL || p == NULL ? mill_fail_nomem(err, "the plan") : MILL_OK;
    if (status == MILL_OK) {
        p->run = run;
        status = mill_run_prepare(run, options, err);
    }
    if (status == MILL_OK && options->stages == MILL_STAGES_PACK)
        status = mill_fail(err, MILL_USAGE, "plan estimates from records; rows of token ids need no estimate, see pack --dry-run");
    if (status == MILL_OK)
        status = mill_plan_meter_open(run, &p->facts, &p->meter, err);
    if (status == MILL_OK)
        status = mill_plan_sample_read(run, SAMPLE_BYTES, p->meter, &p->sample, err);
    if (status == MILL_OK)
        status = mill_plan_meter_finish(p->meter, err);
    if (status == MILL_OK)
        status = project(p, err);
    if (status == MILL_OK)
        status = json ? show_document(p, out, err) : show_text(p, out, err);
    if (p != NULL) {
        mill_plan_meter_close(p->meter);
        mill_free(p->shares);
    }
    if (run != NULL)
        mill_run_release(run);
    mill_free(p);
    mill_free(run);
    return status;
}
