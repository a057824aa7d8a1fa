// shard_olmo.c: OLMo's token files: part-NNNNN.npy, ids without any head, and part-NNNNN.csv.gz, where each document lies and where
// it came from: start,end,id,source,record.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "core/stream.h"
#include "shard/shard_containers.h"
#include "shard/shard_stream.h"

#define PIECE_BYTES (64u << 10)
#define GZIP 16 // added to the window's bits: a gzip head without time or name

typedef struct table { // the gzip file
    z_stream zip;
    bool open;
    mill_buf text;
    uint8_t packed[PIECE_BYTES];
} table;

static void *zip_alloc(void *context, unsigned count, unsigned size)
{
    (void)context;
    return mill_alloc_zero(count, size);
}

static void zip_free(void *context, void *memory)
{
    (void)context;
    mill_free(memory);
}

static mill_status pack(mill_stream_writer *w, int flush, mill_error *err)
{
    table *t = w->more;
    t->zip.next_in = t->text.data;
    t->zip.avail_in = (unsigned)t->text.bytes;
    do {
        t->zip.next_out = t->packed;
        t->zip.avail_out = PIECE_BYTES;
        int result = deflate(&t->zip, flush);
        MILL_ASSERT(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
        MILL_TRY(mill_outfile_write(w->files[1], t->packed, PIECE_BYTES - t->zip.avail_out, err));
    } while (t->zip.avail_out == 0);
    mill_buf_clear(&t->text);
    return MILL_OK;
}

static void close_writer(void *self)
{
    mill_stream_writer *w = self;
    table *t = w != NULL ? w->more : NULL;
    if (t != NULL) {
        if (t->open)
            deflateEnd(&t->zip);
        mill_buf_free(&t->text);
        mill_free(t);
    }
    mill_stream_writer_close(w);
}

static mill_status open_writer(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                               void **out, mill_error *err)
{
    mill_stream_writer *w;
    mill_status status = mill_stream_writer_open(options, extent, files, &w, err);
    *out = w;
    MILL_TRY(status);
    table *t = mill_alloc_zero(1, sizeof *t);
    w->more = t;
    if (t == NULL)
        return mill_fail_nomem(err, "opening a shard");
    t->zip.zalloc = zip_alloc;
    t->zip.zfree = zip_free;
    if (deflateInit2(&t->zip, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return mill_fail_nomem(err, "opening a shard");
    t->open = true;
    return MILL_OK;
}

// A field, in quotes where it needs them.
static mill_status append_field(mill_buf *out, const char *text, size_t bytes, mill_error *err)
{
    bool plain = true;
    for (size_t i = 0; i < bytes; i++)
        plain = plain && text[i] != ',' && text[i] != '"' && text[i] != '\r' && text[i] != '\n';
    if (plain)
        return mill_buf_append(out, text, bytes, err);
    MILL_TRY(mill_buf_append_text(out, "\"", err));
    for (size_t i = 0; i < bytes; i++)
        MILL_TRY(mill_buf_append(out, text[i] == '"' ? "\"\"" : text + i, text[i] == '"' ? 2 : 1, err));
    return mill_buf_append_text(out, "\"", err);
}

static mill_status add(void *self, const mill_sample *sample, mill_error *err)
{
    mill_stream_writer *w = self;
    table *t = w->more;
    uint64_t begin = w->tokens;
    char id[48];
    const char *source = sample->source != NULL ? sample->source : "";
    MILL_TRY(mill_stream_writer_add(w, sample, err));
    snprintf(id, sizeof id, "#%" PRIu64, sample->source != NULL ? sample->record : sample->number);
    MILL_TRY(mill_buf_printf(&t->text, err, "%" PRIu64 ",%" PRIu64 ",", begin, w->tokens));
    mill_buf name = {0};
    mill_status status = mill_buf_printf(&name, err, "%s%s", source, id); // FILE#RECORD names a document among all inputs
    if (status == MILL_OK)
        status = append_field(&t->text, (const char *)name.data, name.bytes, err);
    mill_buf_free(&name);
    MILL_TRY(status);
    MILL_TRY(mill_buf_append_text(&t->text, ",", err));
    MILL_TRY(append_field(&t->text, source, strlen(source), err));
    MILL_TRY(mill_buf_printf(&t->text, err, ",%s\r\n", id + 1));
    return t->text.bytes >= PIECE_BYTES ? pack(w, Z_NO_FLUSH, err) : MILL_OK;
}

static mill_status finish(void *self, uint64_t number, cJSON *facts, mill_error *err)
{
    MILL_TRY(pack(self, Z_FINISH, err));
    return mill_stream_writer_finish(self, number, facts, err);
}

// ---- reading ----

typedef struct reader {
    mill_infile ids;
    mill_stream *table;
    char name[300];
    uint8_t text[4096];
    size_t bytes, at;
    uint32_t width;
    uint64_t begin; // of the next document
} reader;

static void close_reader(void *self)
{
    reader *r = self;
    if (r == NULL)
        return;
    mill_infile_close(&r->ids);
    (void)mill_stream_close(r->table, NULL);
    mill_free(r);
}

static mill_status next_byte(reader *r, int *byte, mill_error *err)
{
    if (r->at == r->bytes) {
        MILL_TRY(mill_stream_read(r->table, r->text, sizeof r->text, &r->bytes, err));
        r->at = 0;
        const char *damage = r->bytes == 0 ? mill_stream_damage(r->table) : NULL;
        if (damage != NULL)
            return mill_fail(err, MILL_VERIFY, "%s: %s", r->name, damage);
    }
    *byte = r->at < r->bytes ? r->text[r->at++] : -1;
    return MILL_OK;
}

// A number and the comma behind it; *byte holds what was read behind its last digit.
static mill_status next_number(reader *r, int *byte, uint64_t *out, mill_error *err)
{
    *out = 0;
    for (size_t digits = 0; *byte >= '0' && *byte <= '9'; digits++) {
        if (digits == 18)
            return mill_fail(err, MILL_VERIFY, "%s: a number has too many digits", r->name);
        *out = *out * 10 + (uint64_t)(*byte - '0');
        MILL_TRY(next_byte(r, byte, err));
    }
    return *byte == ',' ? MILL_OK : mill_fail(err, MILL_VERIFY, "%s: is no table of documents", r->name);
}

// The next line's first two fields; *end when there is none.
static mill_status next_line(reader *r, uint64_t *begin, uint64_t *stop, bool *end, mill_error *err)
{
    int byte = -1;
    bool quoted = false;
    MILL_TRY(next_byte(r, &byte, err));
    *end = byte < 0;
    if (*end)
        return MILL_OK;
    MILL_TRY(next_number(r, &byte, begin, err));
    MILL_TRY(next_byte(r, &byte, err));
    MILL_TRY(next_number(r, &byte, stop, err));
    while (byte != '\n' || quoted) {
        MILL_TRY(next_byte(r, &byte, err));
        quoted = quoted != (byte == '"');
        if (byte < 0)
            return mill_fail(err, MILL_VERIFY, "%s: its last line is cut", r->name);
    }
    return MILL_OK;
}

// Reads the table once, for its end: the width of an id follows from the file's size.
static mill_status find_width(reader *r, mill_error *err)
{
    uint64_t begin, stop = 0, at = 0;
    bool end = false;
    while (!end) {
        MILL_TRY(next_line(r, &begin, &stop, &end, err));
        if (end)
            break;
        if (begin != at || stop < begin || stop - begin > UINT32_MAX)
            return mill_fail(err, MILL_VERIFY, "%s: its documents do not lie one behind the other", r->name);
        at = stop;
    }
    for (r->width = 2; r->width <= 4; r->width += 2) {
        if (r->ids.bytes == at * r->width)
            return MILL_OK;
    }
    return mill_infile_fail(&r->ids, err, "has %" PRIu64 " bytes, its table tells of %" PRIu64 " tokens", r->ids.bytes, at);
}

static mill_status open_table(reader *r, const mill_fs *fs, int dir, const char *path, mill_error *err)
{
    (void)mill_stream_close(r->table, NULL);
    r->table = NULL;
    r->at = r->bytes = 0;
    return mill_stream_open(fs, dir, path, &r->table, err);
}

static mill_status open_reader(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                               mill_error *err)
{
    reader *r = mill_alloc_zero(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return mill_fail_nomem(err, "opening a shard");
    r->ids.file = -1;
    snprintf(r->name, sizeof r->name, "%.*s/%s", (int)(sizeof r->name / 2), where, paths[1]);
    mill_status status = mill_infile_open(&r->ids, fs, dir, where, paths[0], err);
    if (status == MILL_OK)
        status = open_table(r, fs, dir, paths[1], err);
    if (status == MILL_OK)
        status = find_width(r, err);
    if (status == MILL_OK)
        status = open_table(r, fs, dir, paths[1], err);
    if (status == MILL_OK)
        *out = r;
    else
        close_reader(r);
    return status;
}

static mill_status next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err)
{
    (void)most;
    reader *r = self;
    uint64_t begin, stop;
    mill_read_sample_clear(out);
    MILL_TRY(next_line(r, &begin, &stop, end, err));
    if (*end)
        return MILL_OK;
    if (begin != r->begin || stop < begin || stop - begin > UINT32_MAX)
        return mill_fail(err, MILL_VERIFY, "%s: its documents do not lie one behind the other", r->name);
    r->begin = stop;
    return mill_infile_ids(&r->ids, stop - begin, r->width, out, err);
}

static const char *codec(void)
{
    static char name[64];
    snprintf(name, sizeof name, "zlib %.40s", zlibVersion());
    return name;
}

const mill_container mill_container_olmo = {.name = "olmo",
                                            .label = "shards (olmo)",
                                            .directory = "shards-olmo",
                                            .prefix = "part-",
                                            .digits = 5,
                                            .suffixes = {".npy", ".csv.gz"},
                                            .rule = MILL_RULE_BLOCKS,
                                            .borders = true,
                                            .codec = codec,
                                            .open = open_writer,
                                            .add = add,
                                            .finish = finish,
                                            .close = close_writer,
                                            .read_open = open_reader,
                                            .read_next = next,
                                            .read_close = close_reader};
