// spill.c: an external merge sort. A run is a sequence of blocks: raw bytes, packed bytes, XXH3-64 of the raw
// bytes, then one zstd frame; a block holds whole rows, each as key, sequence, length and data. At most
// FAN_IN runs are merged at a time, so memory stays bounded by the buffer, or by FAN_IN blocks, whatever the
// number of rows.
#include "source/spill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "core/hash.h"

enum { FAN_IN = 32, BLOCK_BYTES = 256 << 10, HEAD_BYTES = 16, ROW_BYTES = 20, LEVEL = 1 };

typedef struct row_place { // a row in the buffer
    uint64_t key, sequence;
    size_t offset, bytes;
} row_place;

typedef struct run_reader {
    int file; // -1: closed
    uint64_t number;
    mill_buf packed, block;
    size_t at; // of the row at hand
    mill_sorted row;
    bool ended;
} run_reader;

struct mill_sorter {
    const mill_fs *fs;
    int dir;
    char *prefix;
    size_t memory_bytes;
    mill_buf data;
    row_place *rows;
    size_t row_count, row_capacity, next_row;
    uint64_t first_run, next_run; // numbers of the runs that exist
    uint64_t spilled;
    bool sorted;
    ZSTD_CCtx *packer;
    ZSTD_DCtx *unpacker;
    run_reader *readers; // FAN_IN of them while merging
    size_t reader_count;
    size_t heap[FAN_IN];      // readers by their rows
    size_t heap_count, taken; // taken: the reader whose row was given last, FAN_IN for none
    mill_buf block, packed;   // being written
};

static void run_name(const mill_sorter *s, uint64_t number, char name[256])
{
    snprintf(name, 256, "%s%06llu", s->prefix, (unsigned long long)number);
}

mill_status mill_sorter_open(const mill_fs *fs, const mill_spill_place *place, mill_sorter **out,
                             mill_error *err)
{
    mill_sorter *s = mill_alloc_zero(1, sizeof *s);
    *out = s;
    if (s == NULL)
        return mill_fail_nomem(err, "sorting");
    s->fs = fs;
    s->dir = place->dir;
    s->memory_bytes = place->memory_bytes;
    s->taken = FAN_IN;
    s->prefix = place->prefix != NULL ? mill_strdup(place->prefix) : NULL;
    if (place->prefix == NULL || s->prefix != NULL)
        return MILL_OK;
    mill_sorter_close(s);
    *out = NULL;
    return mill_fail_nomem(err, "sorting");
}

static int compare_rows(const void *a, const void *b)
{
    const row_place *left = a, *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

// ---- writing a run

static mill_status flush_block(mill_sorter *s, mill_outfile *out, mill_error *err)
{
    if (s->block.bytes == 0)
        return MILL_OK;
    size_t bound = ZSTD_compressBound(s->block.bytes);
    mill_buf_clear(&s->packed);
    MILL_TRY(mill_buf_reserve(&s->packed, bound, err));
    size_t packed = ZSTD_compressCCtx(s->packer, s->packed.data, bound, s->block.data, s->block.bytes, LEVEL);
    if (ZSTD_isError(packed))
        return mill_fail_nomem(err, "compressing rows");
    uint32_t sizes[2] = {(uint32_t)s->block.bytes, (uint32_t)packed};
    uint64_t sum = XXH3_64bits(s->block.data, s->block.bytes);
    MILL_TRY(mill_outfile_write(out, sizes, sizeof sizes, err));
    MILL_TRY(mill_outfile_write(out, &sum, sizeof sum, err));
    MILL_TRY(mill_outfile_write(out, s->packed.data, packed, err));
    mill_buf_clear(&s->block);
    return MILL_OK;
}

static mill_status put_row(mill_sorter *s, mill_outfile *out, const mill_sorted *row, mill_error *err)
{
    uint32_t bytes = (uint32_t)row->bytes;
    if (s->block.bytes != 0 && s->block.bytes + ROW_BYTES + row->bytes > BLOCK_BYTES)
        MILL_TRY(flush_block(s, out, err));
    MILL_TRY(mill_buf_append(&s->block, &row->key, 8, err));
    MILL_TRY(mill_buf_append(&s->block, &row->sequence, 8, err));
    MILL_TRY(mill_buf_append(&s->block, &bytes, 4, err));
    return mill_buf_append(&s->block, row->data, row->bytes, err);
}

static mill_status begin_run(mill_sorter *s, mill_outfile *out, mill_error *err)
{
    char name[256];
    if (s->prefix == NULL)
        return mill_fail(err, MILL_RESOURCE,
                         "more than %zu MiB would have to be sorted, and this command has no work directory; "
                         "use run or filter",
                         s->memory_bytes >> 20);
    if (s->packer == NULL && (s->packer = ZSTD_createCCtx()) == NULL)
        return mill_fail_nomem(err, "sorting");
    run_name(s, s->next_run, name);
    MILL_TRY(mill_fs_unlink(s->fs, s->dir, name, err)); // of an attempt that was killed
    MILL_TRY(mill_outfile_open(out, s->fs, s->dir, name, err));
    s->next_run++;
    mill_buf_clear(&s->block);
    return MILL_OK;
}

static mill_status finish_run(mill_sorter *s, mill_outfile *out, mill_error *err)
{
    char sha256[65];
    MILL_TRY(flush_block(s, out, err));
    s->spilled += out->bytes;
    return mill_outfile_finish(out, false, sha256, err);
}

static void sort_rows(mill_sorter *s)
{
    if (s->row_count != 0)
        qsort(s->rows, s->row_count, sizeof *s->rows, compare_rows);
}

static mill_status spill_buffer(mill_sorter *s, mill_error *err)
{
    mill_outfile out;
    sort_rows(s);
    MILL_TRY(begin_run(s, &out, err));
    mill_status status = MILL_OK;
    for (size_t i = 0; status == MILL_OK && i < s->row_count; i++) {
        const row_place *p = &s->rows[i];
        const mill_sorted row = {p->key, p->sequence, s->data.data + p->offset, p->bytes};
        status = put_row(s, &out, &row, err);
    }
    if (status == MILL_OK)
        status = finish_run(s, &out, err);
    if (status != MILL_OK)
        mill_outfile_abort(&out);
    mill_buf_clear(&s->data);
    s->row_count = 0;
    return status;
}

mill_status mill_sorter_add(mill_sorter *s, const mill_sorted *row, mill_error *err)
{
    MILL_ASSERT(!s->sorted);
    if (row->bytes > UINT32_MAX - ROW_BYTES - BLOCK_BYTES)
        return mill_fail_nomem(err, "sorting a row of more than 4 GiB");
    size_t used = s->data.bytes + s->row_count * sizeof *s->rows;
    if (s->row_count != 0 && used + row->bytes + sizeof *s->rows > s->memory_bytes)
        MILL_TRY(spill_buffer(s, err));
    MILL_TRY(MILL_GROW(s->rows, s->row_capacity, s->row_count + 1, err));
    s->rows[s->row_count] = (row_place){row->key, row->sequence, s->data.bytes, row->bytes};
    MILL_TRY(mill_buf_append(&s->data, row->data, row->bytes, err));
    s->row_count++;
    return MILL_OK;
}

// ---- reading runs

static mill_status damaged(const char *name, mill_error *err)
{
    return mill_fail(err, MILL_IO,
                     "%s: a temporary file is damaged: the disk returned other bytes than were written",
                     name);
}

static mill_status read_block(mill_sorter *s, run_reader *r, mill_error *err)
{
    char name[256];
    uint8_t head[HEAD_BYTES];
    size_t got;
    run_name(s, r->number, name);
    MILL_TRY(mill_fs_read(s->fs, r->file, name, head, sizeof head, &got, err));
    r->ended = got == 0;
    if (r->ended)
        return MILL_OK;
    uint32_t sizes[2];
    uint64_t sum;
    memcpy(sizes, head, sizeof sizes);
    memcpy(&sum, head + sizeof sizes, sizeof sum);
    if (got != sizeof head || sizes[0] < ROW_BYTES)
        return damaged(name, err);
    mill_buf_clear(&r->packed);
    mill_buf_clear(&r->block);
    MILL_TRY(mill_buf_reserve(&r->packed, sizes[1], err));
    MILL_TRY(mill_buf_reserve(&r->block, sizes[0], err));
    MILL_TRY(mill_fs_read(s->fs, r->file, name, r->packed.data, sizes[1], &got, err));
    if (got != sizes[1] ||
        ZSTD_decompressDCtx(s->unpacker, r->block.data, sizes[0], r->packed.data, got) != sizes[0] ||
        XXH3_64bits(r->block.data, sizes[0]) != sum)
        return damaged(name, err);
    r->block.bytes = sizes[0];
    r->at = 0;
    return MILL_OK;
}

static mill_status advance(mill_sorter *s, run_reader *r, mill_error *err)
{
    if (r->at == r->block.bytes)
        MILL_TRY(read_block(s, r, err));
    if (r->ended)
        return MILL_OK;
    const uint8_t *p = r->block.data + r->at;
    uint32_t bytes;
    memcpy(&r->row.key, p, 8);
    memcpy(&r->row.sequence, p + 8, 8);
    memcpy(&bytes, p + 16, 4);
    MILL_ASSERT(r->block.bytes - r->at >= ROW_BYTES + (size_t)bytes); // the sum was right
    r->row.data = p + ROW_BYTES;
    r->row.bytes = bytes;
    r->at += ROW_BYTES + bytes;
    return MILL_OK;
}

static bool is_before(const mill_sorter *s, size_t a, size_t b)
{
    const mill_sorted *left = &s->readers[a].row, *right = &s->readers[b].row;
    return left->key != right->key ? left->key < right->key : left->sequence < right->sequence;
}

static void sift_down(mill_sorter *s, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= s->heap_count)
            return;
        if (child + 1 < s->heap_count && is_before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!is_before(s, s->heap[child], s->heap[at]))
            return;
        size_t swap = s->heap[at];
        s->heap[at] = s->heap[child];
        s->heap[child] = swap;
        at = child;
    }
}

static mill_status open_runs(mill_sorter *s, uint64_t first, size_t count, mill_error *err)
{
    if (s->readers == NULL) {
        s->readers = mill_alloc_zero(FAN_IN, sizeof *s->readers);
        s->unpacker = ZSTD_createDCtx();
        for (size_t i = 0; s->readers != NULL && i < FAN_IN; i++)
            s->readers[i].file = -1;
        if (s->readers == NULL || s->unpacker == NULL)
            return mill_fail_nomem(err, "merging");
    }
    s->reader_count = count;
    s->heap_count = 0;
    s->taken = FAN_IN;
    for (size_t i = 0; i < count; i++) {
        run_reader *r = &s->readers[i];
        char name[256];
        r->number = first + i;
        r->ended = false;
        r->at = 0;
        mill_buf_clear(&r->block);
        run_name(s, r->number, name);
        MILL_TRY(mill_fs_open(s->fs, s->dir, name, MILL_OPEN_READ_OWN, &r->file, err));
        MILL_TRY(advance(s, r, err));
        if (!r->ended)
            s->heap[s->heap_count++] = i;
    }
    for (size_t i = s->heap_count / 2; i-- > 0;)
        sift_down(s, i);
    return MILL_OK;
}

static mill_status close_runs(mill_sorter *s, mill_error *err)
{
    mill_status status = MILL_OK;
    for (size_t i = 0; i < s->reader_count; i++) {
        run_reader *r = &s->readers[i];
        char name[256];
        if (r->file < 0)
            continue;
        run_name(s, r->number, name);
        mill_status closed = mill_fs_close(s->fs, r->file, name, status == MILL_OK ? err : NULL);
        r->file = -1;
        status = status == MILL_OK ? closed : status;
        closed = mill_fs_unlink(s->fs, s->dir, name, status == MILL_OK ? err : NULL);
        status = status == MILL_OK ? closed : status;
    }
    s->reader_count = 0;
    return status;
}

static mill_status next_merged(mill_sorter *s, mill_sorted *row, bool *end, mill_error *err)
{
    if (s->taken < FAN_IN) { // its row was borrowed until now
        run_reader *r = &s->readers[s->taken];
        MILL_TRY(advance(s, r, err));
        if (r->ended)
            s->heap[0] = s->heap[--s->heap_count];
        s->taken = FAN_IN;
        sift_down(s, 0);
    }
    *end = s->heap_count == 0;
    if (*end)
        return MILL_OK;
    s->taken = s->heap[0];
    *row = s->readers[s->taken].row;
    return MILL_OK;
}

// The oldest FAN_IN runs become one new run at the end.
static mill_status merge_oldest(mill_sorter *s, mill_error *err)
{
    mill_outfile out;
    size_t count = s->next_run - s->first_run < FAN_IN ? (size_t)(s->next_run - s->first_run) : FAN_IN;
    uint64_t first = s->first_run;
    MILL_TRY(begin_run(s, &out, err));
    mill_status status = open_runs(s, first, count, err);
    for (bool end = false; status == MILL_OK && !end;) {
        mill_sorted row;
        status = next_merged(s, &row, &end, err);
        if (status == MILL_OK && !end)
            status = put_row(s, &out, &row, err);
    }
    if (status == MILL_OK)
        status = finish_run(s, &out, err);
    if (status != MILL_OK) {
        mill_outfile_abort(&out);
        return status;
    }
    s->first_run += count;
    return close_runs(s, err);
}

mill_status mill_sorter_sort(mill_sorter *s, mill_error *err)
{
    MILL_ASSERT(!s->sorted);
    s->sorted = true;
    if (s->next_run == 0) {
        sort_rows(s);
        return MILL_OK;
    }
    if (s->row_count != 0)
        MILL_TRY(spill_buffer(s, err));
    mill_buf_free(&s->data);
    mill_free(s->rows);
    s->rows = NULL;
    s->row_capacity = 0;
    while (s->next_run - s->first_run > FAN_IN)
        MILL_TRY(merge_oldest(s, err));
    return open_runs(s, s->first_run, (size_t)(s->next_run - s->first_run), err);
}

mill_status mill_sorter_next(mill_sorter *s, mill_sorted *row, bool *end, mill_error *err)
{
    MILL_ASSERT(s->sorted);
    if (s->next_run != 0)
        return next_merged(s, row, end, err);
    *end = s->next_row == s->row_count;
    if (*end)
        return MILL_OK;
    const row_place *p = &s->rows[s->next_row++];
    *row = (mill_sorted){p->key, p->sequence, s->data.data + p->offset, p->bytes};
    return MILL_OK;
}

uint64_t mill_sorter_spilled(const mill_sorter *s)
{
    return s->spilled;
}

void mill_sorter_close(mill_sorter *s)
{
    if (s == NULL)
        return;
    (void)!close_runs(s, NULL);
    for (uint64_t i = s->first_run; i < s->next_run; i++) {
        char name[256];
        run_name(s, i, name);
        (void)!mill_fs_unlink(s->fs, s->dir, name, NULL);
    }
    for (size_t i = 0; s->readers != NULL && i < FAN_IN; i++) {
        mill_buf_free(&s->readers[i].packed);
        mill_buf_free(&s->readers[i].block);
    }
    ZSTD_freeCCtx(s->packer);
    ZSTD_freeDCtx(s->unpacker);
    mill_buf_free(&s->data);
    mill_buf_free(&s->block);
    mill_buf_free(&s->packed);
    mill_free(s->readers);
    mill_free(s->rows);
    mill_free(s->prefix);
    mill_free(s);
}
