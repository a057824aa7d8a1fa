// shard_out.c: streaming compression into a file, by the caller or by a thread beside it.
//
// zstd's plain form is used, one thread a file: its threaded form, which gives other bytes, costs a quarter more processor time
// (copies, hand-overs), and most shards are written while there are as many as threads.
#include "shard/shard_out.h"

#include <pthread.h>
#include <stdio.h>
#include <zstd.h>

#include "core/hash.h"
#include "shard/shard.h"

// Fixed, so that zstd meets the same block borders whatever the appends were: text is handed on in pieces of this size.
#define PIECE (1u << 20)

struct mill_shard_beside {
    mill_shard_out *out;
    pthread_t thread;
    pthread_mutex_t lock;     // guards what follows
    pthread_cond_t changed;
    mill_buf next;            // full: for the thread; empty: for the caller to fill
    bool full, closing;
    mill_buf own;             // the thread's: what it is at work on
    mill_error error;         // the thread's first failure; it only drains after that
};

static mill_status compress(mill_shard_out *out, const void *data, size_t bytes, ZSTD_EndDirective end, mill_error *err)
{
    ZSTD_inBuffer in = {data, bytes, 0};
    size_t left;
    do {
        ZSTD_outBuffer packed = {out->packed.data, out->packed.capacity, 0};
        left = ZSTD_compressStream2(out->zstd, &packed, &in, end);
        if (ZSTD_isError(left))
            return mill_fail(err, MILL_NOMEM, "%s: zstd: %s", out->file->name, ZSTD_getErrorName(left));
        MILL_TRY(mill_outfile_write(out->file, out->packed.data, packed.pos, err));
    } while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return MILL_OK;
}

static mill_status put(mill_shard_out *out, const void *data, size_t bytes, mill_error *err)
{
    if (out->zstd == NULL)
        return mill_outfile_write(out->file, data, bytes, err);
    mill_xxh3_update(out->text, data, bytes);
    const uint8_t *at = data;
    while (bytes != 0) {
        size_t piece = bytes < PIECE ? bytes : PIECE;
        MILL_TRY(compress(out, at, piece, ZSTD_e_continue, err));
        at += piece;
        bytes -= piece;
    }
    return MILL_OK;
}

// ---- the thread beside -------------------------------------------------------------------------------------------------------

static void *work_beside(void *argument)
{
    mill_shard_beside *b = argument;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (!b->full && !b->closing)
            pthread_cond_wait(&b->changed, &b->lock);
        if (!b->full)
            break;
        const mill_buf text = b->next;
        b->next = b->own;
        b->own = text;
        b->full = false;
        const bool failed = b->error.status != MILL_OK;
        mill_error error = {0};
        pthread_cond_signal(&b->changed);
        pthread_mutex_unlock(&b->lock);
        mill_status status = failed ? MILL_OK : put(b->out, b->own.data, b->own.bytes, &error);
        mill_buf_clear(&b->own);
        pthread_mutex_lock(&b->lock);
        if (status != MILL_OK) {
            b->error = error;
            b->error.status = status;
        }
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static void start_beside(mill_shard_out *out)
{
    mill_shard_beside *b = mill_alloc_zero(1, sizeof *b);
    if (b == NULL)
        return; // the caller does it
    b->out = out;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    out->beside = b;
    if (pthread_create(&b->thread, NULL, work_beside, b) == 0)
        return;
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    mill_free(b);
    out->beside = NULL;
}

// Waits until the thread has done all; the caller goes on alone.
static mill_status stop_beside(mill_shard_out *out, mill_error *err)
{
    mill_shard_beside *b = out->beside;
    if (b == NULL)
        return MILL_OK;
    pthread_mutex_lock(&b->lock);
    b->closing = true;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    const mill_error error = b->error;
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    mill_buf_free(&b->next);
    mill_buf_free(&b->own);
    mill_free(b);
    out->beside = NULL;
    if (error.status != MILL_OK && err != NULL)
        *err = error;
    return error.status;
}

// Copies a text to the thread, which may still be at work on the one before; then waits until the one before that is gone.
static mill_status hand_over(mill_shard_beside *b, const void *data, size_t bytes, mill_error *err)
{
    pthread_mutex_lock(&b->lock);
    while (b->full)
        pthread_cond_wait(&b->changed, &b->lock);
    mill_status status = b->error.status;
    if (status != MILL_OK && err != NULL)
        *err = b->error;
    pthread_mutex_unlock(&b->lock);
    MILL_TRY(status);
    mill_buf_clear(&b->next); // not full: the thread leaves it alone
    MILL_TRY(mill_buf_append(&b->next, data, bytes, err));
    pthread_mutex_lock(&b->lock);
    b->full = true;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return MILL_OK;
}

// ---- the output --------------------------------------------------------------------------------------------------------------

mill_status mill_shard_out_open(mill_shard_out *out, mill_outfile *file, int level, bool beside, mill_error *err)
{
    *out = (mill_shard_out){.file = file};
    if (level != 0) {
        out->zstd = ZSTD_createCCtx();
        out->text = mill_xxh3_create();
        if (out->zstd == NULL || out->text == NULL)
            return mill_fail_nomem(err, "writing a compressed shard");
        if (!mill_shard_zstd_set_up(out->zstd, level))
            return mill_fail(err, MILL_RECIPE, "zstd %s has no level %d", ZSTD_versionString(), level);
        MILL_TRY(mill_buf_reserve(&out->packed, ZSTD_CStreamOutSize(), err));
    }
    if (beside)
        start_beside(out);
    return MILL_OK;
}

mill_status mill_shard_out_append(mill_shard_out *out, const void *data, size_t bytes, mill_error *err)
{
    if (bytes == 0)
        return MILL_OK;
    return out->beside != NULL ? hand_over(out->beside, data, bytes, err) : put(out, data, bytes, err);
}

mill_status mill_shard_out_finish(mill_shard_out *out, char text_xxh3[33], mill_error *err)
{
    text_xxh3[0] = '\0';
    MILL_TRY(stop_beside(out, err));
    if (out->zstd == NULL)
        return MILL_OK;
    MILL_TRY(compress(out, NULL, 0, ZSTD_e_end, err));
    mill_xxh3_finish(out->text, text_xxh3);
    out->text = NULL;
    return MILL_OK;
}

void mill_shard_out_close(mill_shard_out *out)
{
    (void)!stop_beside(out, NULL);
    ZSTD_freeCCtx(out->zstd);
    mill_xxh3_destroy(out->text);
    mill_buf_free(&out->packed);
    out->zstd = NULL;
    out->text = NULL;
}
