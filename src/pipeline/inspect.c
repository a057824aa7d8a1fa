// inspect.c: mill_inspect: random samples of a finished run, decoded, with what each row is and where it came
// from.
//
// Rows are told apart by the docs sidecar, not by cu_seqlens, so that shards of every recipe can be shown.
// All text comes from the data: whatever is no printable character is shown as \xNN.
#include <stdio.h>
#include <string.h>

#include "core/rng.h"
#include "encode/encode.h"
#include "pipeline/sample_read.h"
#include "tokenizer/tokenizer.h"

#define SAMPLES_MAX 10000
#define SHOWN_WHOLE 2100 // longer stretches of text are cut in the middle, to:
#define SHOWN_FIRST 1500
#define SHOWN_LAST 500

#define STYLE_HEAD "\x1b[1m"  // bold
#define STYLE_ROW "\x1b[36m"  // cyan
#define STYLE_MARK "\x1b[35m" // magenta
#define STYLE_NOTE "\x1b[2m"  // dim
#define STYLE_OFF "\x1b[0m"

typedef struct inspector {
    const mill_finished *finished;
    mill_tokenizer *tokenizer;
    bool color;
    mill_buf text;  // bytes of the stretch between two control tokens
    bool no_prefix; // the row's latest prefix part is empty: in SPM it stands before the middle
    mill_buf *out;
} inspector;

static mill_status style(inspector *in, const char *code, mill_error *err)
{
    return in->color ? mill_buf_append_text(in->out, code, err) : MILL_OK;
}

static mill_status append_data(inspector *in, const char *text, size_t bytes, mill_error *err)
{
    return mill_append_escaped(in->out, text, bytes, false, err);
}

// ---- one row --------------------------------------------------------------------------------------------

// Moves a cut back to the start of the character that it would split.
static size_t whole_characters(const uint8_t *text, size_t at)
{
    for (int i = 0; i < 3 && at > 0 && (text[at] & 0xc0) == 0x80; i++)
        at--;
    return at;
}

// Shows bytes [begin, end) of in->text, the middle left out when they are many, and ends the line.
static mill_status show_text(inspector *in, size_t begin, size_t end, mill_error *err)
{
    const uint8_t *text = in->text.data + begin;
    size_t bytes = end - begin;
    if (bytes == 0)
        return MILL_OK;
    if (bytes <= SHOWN_WHOLE) {
        MILL_TRY(mill_append_escaped(in->out, text, bytes, true, err));
    } else {
        size_t first = whole_characters(text, SHOWN_FIRST), last = whole_characters(text, bytes - SHOWN_LAST);
        MILL_TRY(mill_append_escaped(in->out, text, first, true, err));
        MILL_TRY(style(in, STYLE_NOTE, err));
        MILL_TRY(mill_buf_append_text(in->out, "\n[... ", err));
        MILL_TRY(mill_append_grouped(in->out, last - first, 0, err));
        MILL_TRY(mill_buf_append_text(in->out, " bytes are not shown ...]\n", err));
        MILL_TRY(style(in, STYLE_OFF, err));
        MILL_TRY(mill_append_escaped(in->out, text + last, bytes - last, true, err));
    }
    return text[bytes - 1] != '\n' ? mill_buf_append_text(in->out, "\n", err) : MILL_OK;
}

static mill_status show_label(inspector *in, const char *label, mill_error *err)
{
    MILL_TRY(style(in, STYLE_MARK, err));
    MILL_TRY(mill_buf_printf(in->out, err, "%s:", label));
    MILL_TRY(style(in, STYLE_OFF, err));
    return mill_buf_append_text(in->out, "\n", err);
}

typedef enum part { PART_TEXT, PART_PREFIX, PART_SUFFIX, PART_MIDDLE, PART_END } part; // END: of a document

static bool is_name(const char *name, const uint8_t *text, uint32_t bytes)
{
    return name != NULL && strlen(name) == bytes && memcmp(name, text, bytes) == 0;
}

// What a control token begins, by the names of every preset.
static part part_of(const uint8_t *text, uint32_t bytes)
{
    static const char *const presets[] = {"guide", "codegemma", "starcoder", "qwen", "deepseek"};
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        const mill_token_preset *preset = mill_token_preset_find(presets[i]);
        if (preset == NULL)
            continue;
        if (is_name(preset->fim_prefix, text, bytes))
            return PART_PREFIX;
        if (is_name(preset->fim_suffix, text, bytes))
            return PART_SUFFIX;
        if (is_name(preset->fim_middle, text, bytes))
            return PART_MIDDLE;
        if (is_name(preset->end, text, bytes))
            return PART_END;
    }
    return PART_TEXT;
}

static bool is_mode(const mill_doc_line *line, const char *mode)
{
    return strcmp(line->mode, mode) == 0;
}

// Shows the text collected since the control token that began `now`. In SPM the prefix lies before the
// middle, behind its token; where it ends is known from the sidecar, but not of rows that were packed from
// ids alone.
static mill_status show_part(inspector *in, const mill_doc_line *line, part now, mill_error *err)
{
    static const char *const labels[] = {NULL, "PREFIX", "SUFFIX", "MIDDLE", NULL};
    const size_t bytes = in->text.bytes;
    const char *label = labels[now];
    size_t prefix = 0;
    if (now == PART_PREFIX)
        in->no_prefix = bytes == 0;
    if (now == PART_PREFIX && bytes == 0 && !is_mode(line, "psm")) // only marks the beginning
        return MILL_OK;
    if (now == PART_MIDDLE && is_mode(line, "spm") && line->cut_begin >= line->text_begin) {
        prefix =
            line->cut_begin - line->text_begin < bytes ? (size_t)(line->cut_begin - line->text_begin) : bytes;
        MILL_TRY(show_label(in, labels[PART_PREFIX], err));
        MILL_TRY(show_text(in, 0, prefix, err));
    } else if (now == PART_MIDDLE && in->no_prefix && is_mode(line, "none")) {
        label = "PREFIX AND MIDDLE";
    }
    if (label != NULL)
        MILL_TRY(show_label(in, label, err));
    MILL_TRY(show_text(in, prefix, bytes, err));
    mill_buf_clear(&in->text);
    return MILL_OK;
}

static mill_status show_control(inspector *in, const uint8_t *text, uint32_t bytes, mill_error *err)
{
    MILL_TRY(style(in, STYLE_MARK, err));
    MILL_TRY(mill_buf_append_text(in->out, "[", err));
    MILL_TRY(mill_append_escaped(in->out, text, bytes, false, err));
    MILL_TRY(mill_buf_append_text(in->out, "]", err));
    MILL_TRY(style(in, STYLE_OFF, err));
    return mill_buf_append_text(in->out, part_of(text, bytes) == PART_END ? " end of document\n" : "\n", err);
}

// Where targets begin and end; only of conversations, as all of a file is one.
static mill_status show_mask(inspector *in, bool learned, mill_error *err)
{
    MILL_TRY(style(in, STYLE_NOTE, err));
    MILL_TRY(mill_buf_append_text(in->out, learned ? "LOSS:" : "NO LOSS:", err));
    MILL_TRY(style(in, STYLE_OFF, err));
    return mill_buf_append_text(in->out, "\n", err);
}

// mask: of these tokens, or NULL.
static mill_status show_ids(inspector *in, const mill_doc_line *line, const uint32_t *ids, const uint8_t *mask,
                            mill_error *err)
{
    part now = PART_TEXT;
    const bool shows_mask = mask != NULL && is_mode(line, "chat");
    in->no_prefix = false;
    mill_buf_clear(&in->text);
    for (uint32_t i = 0; i < line->tokens; i++) {
        uint32_t bytes = 0;
        const uint8_t *token = mill_tokenizer_bytes(in->tokenizer, ids[i], &bytes);
        if (token == NULL)
            return mill_fail(err, MILL_VERIFY, "%s: sample %llu holds id %u, which is not in the vocabulary",
                             in->finished->path, (unsigned long long)line->sample, ids[i]);
        if (shows_mask && (i == 0 || mask[i] != mask[i - 1])) {
            MILL_TRY(show_part(in, line, now, err));
            MILL_TRY(show_mask(in, mask[i] != 0, err));
            now = PART_TEXT;
        }
        if (!mill_tokenizer_is_special(in->tokenizer, ids[i])) {
            MILL_TRY(mill_buf_append(&in->text, token, bytes, err));
            continue;
        }
        MILL_TRY(show_part(in, line, now, err));
        MILL_TRY(show_control(in, token, bytes, err));
        now = part_of(token, bytes);
    }
    return show_part(in, line, now, err);
}

static mill_status show_row(inspector *in, const mill_doc_line *line, uint32_t number, uint32_t rows,
                            const uint32_t *ids, const uint8_t *mask, mill_error *err)
{
    mill_buf *out = in->out;
    MILL_TRY(style(in, STYLE_ROW, err));
    MILL_TRY(mill_buf_printf(out, err, "--- row %u of %u, tokens %u to %u: ", number, rows, line->begin,
                             line->begin + line->tokens));
    if (line->repo_bytes != 0) {
        MILL_TRY(append_data(in, line->repo, line->repo_bytes, err));
        MILL_TRY(mill_buf_append_text(out, " ", err));
    }
    if (line->path_bytes != 0) {
        MILL_TRY(append_data(in, line->path, line->path_bytes, err));
        MILL_TRY(mill_buf_append_text(out, " ", err));
    }
    MILL_TRY(mill_buf_append_text(out, "(", err));
    MILL_TRY(append_data(in, line->language, line->language_bytes, err));
    MILL_TRY(mill_buf_append_text(out, ") ", err));
    MILL_TRY(append_data(in, line->file, line->file_bytes, err));
    MILL_TRY(
        mill_buf_printf(out, err, ":%llu, piece %u, mode ", (unsigned long long)line->record, line->piece));
    MILL_TRY(append_data(in, line->mode, strlen(line->mode), err));
    if (line->row_begin != 0)
        MILL_TRY(mill_buf_printf(out, err,
                                 line->begin == 0 ? ", continued from token %u of its row"
                                                  : ", in the same row, from its token %u",
                                 line->row_begin));
    MILL_TRY(style(in, STYLE_OFF, err));
    MILL_TRY(mill_buf_append_text(out, "\n", err));
    if (is_mode(line, "padding"))
        return mill_buf_printf(out, err, "%u end-of-text tokens fill the sample up\n", line->tokens);
    return show_ids(in, line, ids, mask, err);
}

// ---- one sample -----------------------------------------------------------------------------------------

typedef struct place { // of a sample, or a document
    const mill_held *held;
    const mill_finished_file *shard;
    uint64_t sample, first; // first: of its shard
} place;

static mill_status find_place(const mill_finished *f, const mill_held *held, uint64_t sample, place *out, mill_error *err)
{
    uint64_t first = 0;
    for (uint64_t number = 0;; number++) {
        const mill_finished_file *shard = mill_held_file(f, held, number);
        if (shard == NULL)
            return mill_fail(err, MILL_VERIFY,
                             "%s/manifest.json: its shards hold fewer samples than its totals say", f->path);
        uint64_t samples = mill_finished_number(shard->facts, "samples");
        if (sample - first < samples) {
            *out = (place){.held = held, .shard = shard, .sample = sample, .first = first};
            return MILL_OK;
        }
        first += samples;
    }
}

static mill_status read_sample(const mill_finished *f, const place *at, mill_read_sample *sample,
                               mill_error *err)
{
    mill_sample_reader reader;
    bool end = false;
    MILL_TRY(mill_finished_check_size(f, at->shard, err));
    MILL_TRY(mill_sample_reader_open(f, at->held, at->shard->path, at->first, &reader, err));
    mill_status status = MILL_OK;
    for (uint64_t i = at->first; status == MILL_OK && !end && i <= at->sample; i++)
        status = mill_sample_reader_next(&reader, sample, &end, err);
    if (status == MILL_OK && end)
        status = mill_sample_reader_fail(&reader, err, "is the last, the manifest says that there are more");
    mill_sample_reader_close(&reader);
    return status;
}

static mill_status count_rows(const mill_finished *f, const place *at, const mill_read_sample *sample,
                              uint32_t *rows, mill_error *err)
{
    mill_docs_cursor docs;
    uint64_t covered = 0;
    *rows = 0;
    mill_status status = mill_docs_cursor_open(f, at->held->docs, at->sample, &docs, err);
    while (status == MILL_OK && docs.docs.has_line && docs.docs.line.sample == at->sample) {
        const mill_doc_line *line = &docs.docs.line;
        if (line->begin != covered || line->tokens > sample->count - covered)
            status = mill_line_reader_fail(&docs.docs.lines, err, "this part does not join the one before it");
        covered += line->tokens;
        ++*rows;
        if (status == MILL_OK)
            status = mill_docs_cursor_next(&docs, err);
    }
    if (status == MILL_OK && covered != sample->count)
        status =
            mill_fail(err, MILL_VERIFY, "%s/%s: tells of %llu of the %zu tokens of sample %llu", f->path,
                      at->held->docs, (unsigned long long)covered, sample->count, (unsigned long long)at->sample);
    mill_docs_cursor_close(&docs);
    return status;
}

static mill_status show_rows(inspector *in, const place *at, const mill_read_sample *sample, uint32_t rows,
                             mill_error *err)
{
    mill_docs_cursor docs;
    mill_status status = mill_docs_cursor_open(in->finished, at->held->docs, at->sample, &docs, err);
    for (uint32_t i = 0; status == MILL_OK && i < rows; i++) {
        const mill_doc_line *line = &docs.docs.line;
        // They were counted a moment ago; the file may have been changed since.
        if (!docs.docs.has_line || line->sample != at->sample || line->begin > sample->count ||
            line->tokens > sample->count - line->begin)
            status = mill_line_reader_fail(&docs.docs.lines, err, "changed while it was read");
        if (status == MILL_OK)
            status = show_row(in, line, i + 1, rows, sample->ids + line->begin,
                              sample->has_mask ? sample->mask + line->begin : NULL, err);
        if (status == MILL_OK)
            status = mill_docs_cursor_next(&docs, err);
    }
    mill_docs_cursor_close(&docs);
    return status;
}

static mill_status show_sample(inspector *in, const mill_held *held, uint64_t number, mill_error *err)
{
    place at = {0};
    mill_read_sample sample = {0};
    uint32_t rows;
    MILL_TRY(find_place(in->finished, held, number, &at, err));
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(read_sample(in->finished, &at, &sample, err));
    MILL_TRY_GOTO(count_rows(in->finished, &at, &sample, &rows, err));
    MILL_TRY_GOTO(style(in, STYLE_HEAD, err));
    const char *place_name = held->container->read_open == NULL ? "line" : "number";
    MILL_TRY_GOTO(mill_buf_printf(in->out, err,
                                  "=== %s %llu (%s %s %llu): ", held->documents ? "document" : "sample",
                                  (unsigned long long)number, at.shard->path, place_name,
                                  (unsigned long long)(number - at.first) + 1));
    MILL_TRY_GOTO(mill_append_grouped(in->out, sample.count, 0, err));
    MILL_TRY_GOTO(mill_buf_printf(in->out, err, " tokens, %u row%s", rows, rows == 1 ? "" : "s"));
    MILL_TRY_GOTO(style(in, STYLE_OFF, err));
    MILL_TRY_GOTO(mill_buf_append_text(in->out, "\n", err));
    MILL_TRY_GOTO(show_rows(in, &at, &sample, rows, err));
cleanup:
    mill_read_sample_free(&sample);
    return status;
}

// ---- all ------------------------------------------------------------------------------------------------

static mill_status read_tokenizer(inspector *in, mill_error *err)
{
    static const char path[] = "tokenizer/tokenizer.json";
    mill_buf json = {0};
    mill_status status = mill_finished_read(in->finished, path, &json, err);
    if (status == MILL_OK) {
        status = mill_tokenizer_parse(json.data, json.bytes, path, &in->tokenizer, err);
        if (status == MILL_INPUT)
            status = mill_fail(err, MILL_VERIFY, "%s/%s: is no tokenizer that this version reads",
                               in->finished->path, path);
    }
    mill_buf_free(&json);
    return status;
}

static mill_status show_held(inspector *in, const mill_held *held, uint32_t samples, uint64_t seed, mill_error *err)
{
    if (held == NULL || held->sequences == 0)
        return mill_buf_append_text(in->out, "the run has no samples\n", err);
    MILL_TRY(read_tokenizer(in, err));
    for (uint32_t i = 0; i < samples; i++)
        MILL_TRY(show_sample(in, held,
                             mill_draw_below(mill_draw(seed, MILL_DRAW_INSPECT, (mill_key){0, 0}, i), held->sequences),
                             err));
    return MILL_OK;
}

static mill_status show_all(inspector *in, uint32_t samples, uint64_t seed, mill_error *err)
{
    mill_held *list;
    size_t count;
    if (samples > SAMPLES_MAX)
        return mill_fail(err, MILL_USAGE, "-n %u: at most %d samples are shown at once", samples,
                         SAMPLES_MAX);
    MILL_TRY(mill_held_list(in->finished, &list, &count, err));
    int best = mill_held_best(list, count);
    mill_status status = show_held(in, best >= 0 ? &list[best] : NULL, samples, seed, err);
    mill_free(list);
    return status;
}

mill_status mill_inspect(const char *directory, uint32_t samples, uint64_t seed, bool color, mill_text *out,
                         mill_error *err)
{
    mill_finished f;
    mill_buf text = {0};
    inspector in = {.finished = &f, .color = color, .out = &text};
    mill_status status = mill_finished_open(directory, &f, err);
    if (status == MILL_OK)
        status = show_all(&in, samples, seed, err);
    if (status == MILL_OK)
        status = mill_text_take(&text, out, err);
    mill_tokenizer_close(in.tokenizer);
    mill_buf_free(&in.text);
    mill_buf_free(&text);
    mill_finished_close(&f);
    return status;
}
