// estimate_sample.c: a sample of the inputs, spread over them, the same each time.
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/stream.h"
#include "pipeline/estimate.h"

#define PLACE_BYTES ((size_t)64 << 10)  // neighbours are alike: many small places tell more than few large ones
#define BATCH_BYTES ((uint64_t)8 << 20) // of text that the meter gets at once
#define FILES_MAX 48
#define UNPACK_BYTES ((uint64_t)1 << 30) // text to go through in all compressed files: seconds
#define USUAL_RATIO 4.0                 // of compressed files that were not looked into

typedef struct sampler {
    mill_run_state *run;
    mill_plan_sample *sample;
    mill_plan_meter *meter;
    mill_batch batch;                   // records that the meter has not got yet
    mill_parser *parser;
    mill_block block;
    mill_quarantine quarantine;
    mill_parse_counts *counts;          // by input
    uint64_t unpack_max;                // text to go through in one compressed file
    double raw_seen, text_seen;         // of compressed files that were looked into
} sampler;

// True for `part` of `whole` names, always the same ones.
static bool drawn(const char *name, double part, double whole)
{
    return part >= whole || (double)(XXH3_64bits(name, strlen(name)) >> 11) * 0x1p-53 * whole < part;
}

static bool is_compressed(const uint8_t *head, size_t bytes)
{
    static const uint8_t gzip[2] = {0x1f, 0x8b}, zstd[4] = {0x28, 0xb5, 0x2f, 0xfd};
    bool skippable = bytes >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
    return skippable || (bytes >= 2 && memcmp(head, gzip, 2) == 0) || (bytes >= 4 && memcmp(head, zstd, 4) == 0);
}

static bool has_packed_suffix(const char *name)
{
    static const char *const suffixes[] = {".gz", ".zst", ".parquet"};
    size_t bytes = strlen(name);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t length = strlen(suffixes[i]);
        if (bytes > length && strcmp(name + bytes - length, suffixes[i]) == 0)
            return true;
    }
    return false;
}

static mill_status hand_on(sampler *s, uint64_t least, mill_error *err)
{
    if (s->batch.text.bytes < least || s->batch.count == 0)
        return MILL_OK;
    s->sample->text_bytes += s->batch.text.bytes;
    MILL_TRY(mill_plan_meter_add(s->meter, &s->batch, err));
    mill_batch_clear(&s->batch);
    return MILL_OK;
}

// Parses what lies in the block as whole records of an input.
static mill_status parse(sampler *s, const mill_block_piece *piece, mill_error *err)
{
    s->block.piece_count = 0;
    MILL_TRY(MILL_GROW(s->block.pieces, s->block.piece_capacity, 1, err));
    s->block.pieces[s->block.piece_count++] = *piece;
    int64_t begin = mill_clock_ns();
    MILL_TRY(mill_source_parse(s->parser, &s->block, &s->batch, &s->quarantine, s->counts, err));
    s->sample->parse_ns += (uint64_t)(mill_clock_ns() - begin);
    s->sample->taken_bytes += piece->bytes;
    return hand_on(s, BATCH_BYTES, err);
}

// ---- places -------------------------------------------------------------------------------------------------------------------

// A place is a stretch of PLACE_BYTES; what is taken of it are the lines that begin in it, whole, however long they are, so that
// long records are as likely as short ones. A line begins in a place where the newline before it lies in it; the first one
// begins in place 0.

// The block holds the text from the beginning of a place on. Takes its lines if the last one is whole, else asks for more.
static mill_status take_place(sampler *s, size_t input, uint64_t offset, bool at_end, bool *more, mill_error *err)
{
    const uint8_t *data = s->block.bytes.data;
    const size_t held = s->block.bytes.bytes, place = held < PLACE_BYTES ? held : PLACE_BYTES;
    const uint8_t *first = offset != 0 && place != 0 ? memchr(data, '\n', place) : NULL;
    const uint8_t *last = place != 0 ? memrchr(data, '\n', place) : NULL;
    size_t begin = first != NULL ? (size_t)(first - data) + 1 : 0, end = held;
    *more = false;
    if (offset != 0 && first == NULL)
        return MILL_OK; // no line begins here
    const uint8_t *newline = held > place ? memchr(data + place, '\n', held - place) : NULL; // of the line behind `last`
    *more = newline == NULL && !at_end && held < s->run->recipe.record_bytes_max;
    if (newline != NULL)
        end = (size_t)(newline - data) + 1;
    else if (!at_end)
        end = last != NULL ? (size_t)(last - data) + 1 : begin; // it is too long, or more is wanted
    if (*more || begin >= end)
        return MILL_OK;
    const mill_block_piece piece = {.input = (uint32_t)input, .first_record = 1, .begin = begin, .bytes = end - begin};
    return parse(s, &piece, err);
}

// Distance of the places in `bytes` of text of which `budget` are to be taken; a multiple of PLACE_BYTES.
static uint64_t stride_of(double bytes, uint64_t budget)
{
    const double places = bytes > (double)budget ? bytes / (double)budget : 1.0;
    return (uint64_t)ceil(places) * PLACE_BYTES;
}

static mill_status read_more(sampler *s, const mill_input_info *info, int file, uint64_t offset, mill_error *err)
{
    const uint64_t at = offset + s->block.bytes.bytes, left = info->file_bytes - at;
    const size_t size = left < PLACE_BYTES ? (size_t)left : PLACE_BYTES;
    MILL_TRY(mill_buf_reserve(&s->block.bytes, size, err));
    int64_t begin = mill_clock_ns();
    MILL_TRY(mill_fs_pread_all(s->run->fs, file, info->path, s->block.bytes.data + s->block.bytes.bytes, size, at, err));
    s->sample->read_ns += (uint64_t)(mill_clock_ns() - begin);
    s->block.bytes.bytes += size;
    s->sample->read_bytes += size;
    return MILL_OK;
}

static mill_status sample_plain(sampler *s, size_t input, int file, uint64_t budget, mill_error *err)
{
    const mill_input_info *info = mill_source_input(s->run->source, input);
    const uint64_t stride = stride_of((double)info->file_bytes, budget);
    for (uint64_t offset = 0; offset < info->file_bytes; offset += stride) {
        bool more = true;
        mill_buf_clear(&s->block.bytes);
        while (more) {
            MILL_TRY(read_more(s, info, file, offset, err));
            MILL_TRY(take_place(s, input, offset, offset + s->block.bytes.bytes == info->file_bytes, &more, err));
        }
    }
    s->sample->total_bytes += (double)info->file_bytes;
    return MILL_OK;
}

// The block holds a stream's text up to `text`, from the beginning of a place on; as a long line may have gone into the next ones,
// those are taken, too. *more: the last of them needs more text.
static mill_status take_places(sampler *s, size_t input, uint64_t text, uint64_t stride, bool at_end, bool *more, mill_error *err)
{
    mill_buf *block = &s->block.bytes;
    for (;;) {
        MILL_TRY(take_place(s, input, text - block->bytes, at_end, more, err));
        if (*more || block->bytes <= stride)
            return MILL_OK;
        block->bytes -= stride;
        memmove(block->data, block->data + stride, block->bytes);
    }
}

// A stream can only be read from its beginning: places are taken on the way, up to unpack_max bytes of text.
static mill_status sample_stream(sampler *s, size_t input, mill_stream *stream, uint64_t budget, mill_error *err)
{
    const mill_input_info *info = mill_source_input(s->run->source, input);
    const uint64_t stride = stride_of((double)info->file_bytes * USUAL_RATIO, budget);
    uint64_t text = 0, raw = 0, ratio_raw = 0, ratio_text = 0, begun = s->sample->taken_bytes;
    bool taking = false, ended = false;
    mill_buf_clear(&s->block.bytes);
    while (!ended && text < s->unpack_max && s->sample->taken_bytes - begun < 2 * budget + PLACE_BYTES) {
        size_t got;
        if (!taking)
            mill_buf_clear(&s->block.bytes);
        taking = taking || text % stride == 0;
        MILL_TRY(mill_buf_reserve(&s->block.bytes, PLACE_BYTES, err));
        int64_t begin = mill_clock_ns();
        MILL_TRY(mill_stream_read(stream, s->block.bytes.data + s->block.bytes.bytes, PLACE_BYTES, &got, err));
        s->sample->read_ns += (uint64_t)(mill_clock_ns() - begin);
        // The raw count runs ahead of the text by what is buffered, so the ratio is taken where a new buffer was just needed.
        uint64_t now = mill_stream_file_bytes(stream);
        if (now != raw && raw != 0) {
            ratio_raw = raw;
            ratio_text = text;
        }
        raw = now;
        ended = got < PLACE_BYTES; // reads are full but for the last one
        text += got;
        s->block.bytes.bytes += taking ? got : 0;
        if (taking)
            MILL_TRY(take_places(s, input, text, stride, ended && mill_stream_damage(stream) == NULL, &taking, err));
    }
    s->sample->read_bytes += text;
    ratio_text = ended || ratio_raw == 0 ? text : ratio_text;
    ratio_raw = ended || ratio_raw == 0 ? raw : ratio_raw;
    s->raw_seen += (double)ratio_raw;
    s->text_seen += (double)ratio_text;
    if (ratio_raw != 0)
        s->sample->total_bytes += ended ? (double)text : (double)info->file_bytes * (double)ratio_text / (double)ratio_raw;
    return MILL_OK;
}

static mill_status sample_parquet(sampler *s, size_t input, uint64_t budget, mill_error *err)
{
    uint64_t taken, total;
    MILL_TRY(mill_source_sample_parquet(s->run->source, input, budget, &s->block, &taken, &total, err));
    s->sample->files_taken++;
    s->sample->total_bytes += (double)total;
    s->sample->taken_bytes += taken;
    int64_t begin = mill_clock_ns();
    MILL_TRY(mill_source_parse(s->parser, &s->block, &s->batch, &s->quarantine, s->counts, err));
    s->sample->parse_ns += (uint64_t)(mill_clock_ns() - begin);
    s->sample->read_bytes += taken;
    return hand_on(s, BATCH_BYTES, err);
}

static mill_status sample_file(sampler *s, size_t input, uint64_t budget, mill_error *err)
{
    const mill_input_info *info = mill_source_input(s->run->source, input);
    const mill_fs *fs = s->run->fs;
    uint8_t head[4];
    size_t got = 0;
    int file;
    if (info->is_parquet)
        return sample_parquet(s, input, budget, err);
    if (info->is_archive || info->is_posts)
        return mill_fail(
            err, MILL_INPUT,
            "%s: archives and dumps cannot be sampled, they would have to be read whole; plan without it",
            info->name);
    MILL_TRY(mill_fs_open(fs, MILL_FS_CWD, info->path, MILL_OPEN_READ, &file, err));
    mill_status status = mill_fs_read(fs, file, info->path, head, sizeof head, &got, err);
    bool packed = is_compressed(head, got);
    if (status == MILL_OK && !packed)
        status = sample_plain(s, input, file, budget, err);
    mill_status closed = mill_fs_close(fs, file, info->path, status == MILL_OK ? err : NULL);
    MILL_TRY(status);
    MILL_TRY(closed);
    s->sample->files_taken++;
    if (!packed)
        return MILL_OK;
    mill_stream *stream;
    MILL_TRY(mill_stream_open(fs, MILL_FS_CWD, info->path, &stream, err));
    status = sample_stream(s, input, stream, budget, err);
    closed = mill_stream_close(stream, status == MILL_OK ? err : NULL);
    return status != MILL_OK ? status : closed;
}

static mill_status sample_tree_file(sampler *s, size_t input, const char *path, uint64_t bytes, mill_error *err)
{
    const mill_input_info *info = mill_source_input(s->run->source, input);
    mill_buf full = {0};
    mill_buf_clear(&s->block.bytes);
    mill_buf_clear(&s->block.paths);
    mill_status status = mill_buf_printf(&full, err, "%s/%s", info->path, path);
    if (status == MILL_OK)
        status = mill_buf_append(&s->block.paths, path, strlen(path) + 1, err);
    int64_t begin = mill_clock_ns();
    if (status == MILL_OK)
        status = mill_fs_read_file(s->run->fs, MILL_FS_CWD, (const char *)full.data, MILL_OPEN_READ, bytes + PLACE_BYTES,
                                   &s->block.bytes, err);
    s->sample->read_ns += (uint64_t)(mill_clock_ns() - begin);
    mill_buf_free(&full);
    MILL_TRY(status);
    s->sample->files_taken++;
    size_t got = s->block.bytes.bytes;
    s->sample->read_bytes += got;
    if (got != 0 && memchr(s->block.bytes.data, '\0', got < 8000 ? got : 8000) != NULL) {
        s->sample->taken_bytes += got; // binary: bytes without a record, as the source skips them
        return MILL_OK;
    }
    const mill_block_piece piece = {.input = (uint32_t)input, .first_record = 1, .bytes = got};
    return got == 0 ? MILL_OK : parse(s, &piece, err);
}

static mill_status sample_tree(sampler *s, size_t input, uint64_t budget, mill_error *err)
{
    const mill_input_info *info = mill_source_input(s->run->source, input);
    uint64_t before = s->sample->taken_bytes;
    for (uint64_t i = 0; i < info->files && s->sample->taken_bytes - before < 2 * budget; i++) {
        const char *path;
        uint64_t bytes;
        mill_source_tree_file(s->run->source, input, i, &path, &bytes);
        if (bytes <= s->run->recipe.record_bytes_max && drawn(path, (double)budget, (double)info->file_bytes))
            MILL_TRY(sample_tree_file(s, input, path, bytes, err));
    }
    s->sample->total_bytes += (double)info->file_bytes;
    return MILL_OK;
}

// Bytes of text that an input seems to hold, before anybody looks.
static double weight(const mill_input_info *info)
{
    return (double)info->file_bytes * (!info->is_tree && has_packed_suffix(info->path) ? USUAL_RATIO : 1.0);
}

static mill_status sample_inputs(sampler *s, uint64_t bytes_max, mill_error *err)
{
    mill_run_state *run = s->run;
    double tree_weight = 0.0, file_weight = 0.0, skipped_plain = 0.0, skipped_packed = 0.0;
    size_t files = 0, chosen = 0;
    for (size_t i = 0; i < run->input_count; i++) {
        const mill_input_info *info = mill_source_input(run->source, i);
        if (strcmp(info->path, "-") == 0)
            return mill_fail(err, MILL_INPUT, "standard input cannot be read twice, so it cannot be planned; give a file");
        *(info->is_tree ? &tree_weight : &file_weight) += weight(info);
        files += !info->is_tree;
        s->sample->files += info->files;
    }
    for (size_t i = 0; i < run->input_count; i++)
        chosen += !mill_source_input(run->source, i)->is_tree && drawn(run->inputs[i].name, FILES_MAX, (double)files);
    double all = tree_weight + file_weight, part = all > (double)bytes_max ? (double)bytes_max / all : 1.0;
    s->unpack_max = UNPACK_BYTES / (chosen != 0 ? chosen : 1);
    double each = chosen != 0 ? file_weight * part / (double)chosen : 0.0;
    for (size_t i = 0; i < run->input_count; i++) {
        const mill_input_info *info = mill_source_input(run->source, i);
        uint64_t budget = (uint64_t)(info->is_tree ? weight(info) * part : each) + 1;
        bool whole = part >= 1.0;
        if (info->is_tree)
            MILL_TRY(sample_tree(s, i, whole ? info->file_bytes : budget, err));
        else if (files <= FILES_MAX || chosen == 0 || drawn(info->name, FILES_MAX, (double)files))
            MILL_TRY(sample_file(s, i, whole && budget < bytes_max ? bytes_max : budget, err));
        else
            *(has_packed_suffix(info->path) ? &skipped_packed : &skipped_plain) += (double)info->file_bytes;
    }
    double ratio = s->raw_seen > 0.0 ? s->text_seen / s->raw_seen : USUAL_RATIO;
    s->sample->total_bytes += skipped_plain + skipped_packed * ratio;
    return MILL_OK;
}

mill_status mill_plan_sample_read(mill_run_state *run, uint64_t bytes_max, mill_plan_meter *meter, mill_plan_sample *out,
                                  mill_error *err)
{
    sampler s = {.run = run, .sample = out, .meter = meter};
    mill_status status = MILL_OK;
    mill_batch_init(&s.batch);
    s.counts = mill_alloc_zero(run->input_count, sizeof *s.counts);
    if (s.counts == NULL) {
        status = mill_fail_nomem(err, "the sample");
        goto cleanup;
    }
    MILL_TRY_GOTO(mill_parser_open(run->source, &s.parser, err));
    MILL_TRY_GOTO(sample_inputs(&s, bytes_max, err));
    MILL_TRY_GOTO(hand_on(&s, 0, err));
    for (size_t i = 0; i < run->input_count; i++) {
        out->counts.read += s.counts[i].read;
        out->counts.quarantined += s.counts[i].quarantined;
    }
    if (out->counts.read == 0)
        MILL_TRY_GOTO(mill_fail(err, MILL_INPUT, "the sample of the inputs holds no record, so nothing can be estimated"));
    out->scale = out->total_bytes > (double)out->taken_bytes ? out->total_bytes / (double)out->taken_bytes : 1.0;
cleanup:
    mill_batch_free(&s.batch);
    mill_parser_close(s.parser);
    mill_block_free(&s.block);
    mill_quarantine_free(&s.quarantine);
    mill_free(s.counts);
    return status;
}
