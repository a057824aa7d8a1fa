// ids_frame.c: jobs of a text as blocks of one frame (RFC 8878, 3.1.1). Each is compressed as a frame of its own, whose head is
// taken off and whose last block is no longer the last. What a decoder carries from block to block does no harm: a job's first
// block brings tables of its own, no match goes in front of the job, and none has an offset that its coder takes for a repeated
// one.
#include "shard/ids_match.h"

#include <pthread.h>
#include <string.h>
#include <zstd_errors.h>

#include "core/hash.h"
#include "shard/ids_frame.h"

enum { BLOCK_HEAD = 3, TAIL = BLOCK_HEAD + 4 };
enum { HASH_LOG = 12 }; // of zstd's own table, which is not used, but emptied for each frame

typedef struct coder { // of one thread
    ZSTD_CCtx *zstd;
    mill_ids_finder *finder;
    ZSTD_Sequence *sequences;
} coder;

typedef enum job_state { FREE, WAITING, TAKEN, DONE } job_state;

typedef struct job {
    job_state state;
    mill_buf text, packed;
    mill_error error; // its status is MILL_OK where all went well
} job;

typedef struct helper {
    mill_ids_frame *frame;
    coder coder;
    pthread_t thread;
} helper;

struct mill_ids_frame {
    mill_outfile *file;
    void *xxh64;          // of the text
    coder coder;          // the caller's
    mill_buf packed;      // where there are no helpers
    uint32_t helper_count, job_count;
    helper *helpers;
    job *jobs;            // a ring, in the order of the text: those from `first` on that are not FREE
    uint32_t first, used;
    pthread_mutex_t lock; // of the jobs' states, first, used and closing
    pthread_cond_t waiting, done;
    bool closing;
};

// Of the frame: magic number; a checksum, no size; the window, as a power of two.
static const uint8_t frame_head[] = {0x28, 0xb5, 0x2f, 0xfd, 0x04, (MILL_IDS_WINDOW_LOG - 10) << 3};

// ---- one job ----

static void close_coder(coder *c)
{
    ZSTD_freeCCtx(c->zstd);
    mill_free(c->finder);
    mill_free(c->sequences);
    *c = (coder){0};
}

static mill_status open_coder(coder *c, mill_error *err)
{
    c->zstd = ZSTD_createCCtx();
    c->finder = mill_alloc(sizeof *c->finder);
    c->sequences = mill_alloc(mill_ids_sequences_max(MILL_IDS_JOB_BYTES) * sizeof *c->sequences);
    if (c->zstd == NULL || c->finder == NULL || c->sequences == NULL) {
        close_coder(c);
        return mill_fail_nomem(err, "compressing a shard");
    }
    const struct {
        ZSTD_cParameter parameter;
        int value;
    } settings[] = {{ZSTD_c_compressionLevel, MILL_IDS_LEVEL}, {ZSTD_c_windowLog, MILL_IDS_WINDOW_LOG},
                    {ZSTD_c_hashLog, HASH_LOG},        {ZSTD_c_contentSizeFlag, 0},
                    {ZSTD_c_checksumFlag, 0},          {ZSTD_c_blockDelimiters, ZSTD_sf_explicitBlockDelimiters}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        MILL_ASSERT(!ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, settings[i].parameter, settings[i].value)));
    return MILL_OK;
}

// Takes the head off a frame and the mark off its last block.
static void unframe(mill_buf *frame)
{
    const size_t head = 4 + 1 + 1; // magic number, flags, window
    MILL_ASSERT(frame->bytes > head && frame->data[4] == 0);
    for (size_t at = head; at < frame->bytes;) {
        uint8_t *block = frame->data + at;
        const uint32_t value = (uint32_t)block[0] | (uint32_t)block[1] << 8 | (uint32_t)block[2] << 16;
        const bool repeats_one = (value >> 1 & 3) == 1;
        block[0] &= 0xfe;
        at += BLOCK_HEAD + (repeats_one ? 1 : value >> 3);
    }
    frame->bytes -= head;
    memmove(frame->data, frame->data + head, frame->bytes);
}

static mill_status compress(coder *c, const uint8_t *text, size_t bytes, mill_buf *out, mill_error *err)
{
    const size_t bound = ZSTD_compressBound(bytes), count = mill_ids_find(c->finder, text, bytes, c->sequences);
    mill_buf_clear(out);
    MILL_TRY(mill_buf_reserve(out, bound, err));
    const size_t got = ZSTD_compressSequences(c->zstd, out->data, bound, c->sequences, count, text, bytes);
    if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return mill_fail_nomem(err, "compressing a shard");
    if (ZSTD_isError(got))
        return mill_fail(err, MILL_INTERNAL, "zstd: %s", ZSTD_getErrorName(got));
    out->bytes = got;
    unframe(out);
    return MILL_OK;
}

// An empty last block, and the checksum.
static void write_tail(uint64_t xxh64, uint8_t tail[TAIL])
{
    memset(tail, 0, TAIL);
    tail[0] = 1;
    for (int i = 0; i < 4; i++)
        tail[BLOCK_HEAD + i] = (uint8_t)(xxh64 >> 8 * i);
}

// ---- the ring ----

static job *waiting_job(mill_ids_frame *f)
{
    for (uint32_t i = 0; i < f->used; i++) {
        job *j = &f->jobs[(f->first + i) % f->job_count];
        if (j->state == WAITING)
            return j;
    }
    return NULL;
}

// The lock is held on the way in and out.
static void do_job(mill_ids_frame *f, coder *c, job *j)
{
    j->state = TAKEN;
    pthread_mutex_unlock(&f->lock);
    j->error.status = compress(c, j->text.data, j->text.bytes, &j->packed, &j->error);
    pthread_mutex_lock(&f->lock);
    j->state = DONE;
    pthread_cond_signal(&f->done);
}

static void *help(void *argument)
{
    helper *h = argument;
    mill_ids_frame *f = h->frame;
    pthread_mutex_lock(&f->lock);
    while (!f->closing) {
        job *j = waiting_job(f);
        if (j != NULL)
            do_job(f, &h->coder, j);
        else
            pthread_cond_wait(&f->waiting, &f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

// Writes the jobs that are done, until one of the ring is free, or (all) none is left; where the next to be written is not done,
// the caller does one, or waits. The lock is held on the way in and out.
static mill_status drain(mill_ids_frame *f, bool all, mill_error *err)
{
    while (f->used != 0) {
        job *next = &f->jobs[f->first];
        if (next->state == DONE) {
            pthread_mutex_unlock(&f->lock); // nobody else touches what is done
            mill_status status = next->error.status;
            if (status != MILL_OK && err != NULL)
                *err = next->error;
            if (status == MILL_OK)
                status = mill_outfile_write(f->file, next->packed.data, next->packed.bytes, err);
            pthread_mutex_lock(&f->lock);
            next->state = FREE;
            f->first = (f->first + 1) % f->job_count;
            f->used--;
            MILL_TRY(status);
            continue;
        }
        if (!all && f->used < f->job_count)
            return MILL_OK;
        job *mine = waiting_job(f);
        if (mine != NULL)
            do_job(f, &f->coder, mine);
        else
            pthread_cond_wait(&f->done, &f->lock);
    }
    return MILL_OK;
}

// ---- the frame ----

static void open_helpers(mill_ids_frame *f, uint32_t count)
{
    f->helpers = mill_alloc_zero(count, sizeof *f->helpers);
    f->jobs = mill_alloc_zero(2 * (size_t)count, sizeof *f->jobs);
    if (f->helpers == NULL || f->jobs == NULL) // without them it is only slower
        return;
    f->job_count = 2 * count;
    for (uint32_t i = 0; i < count; i++) {
        helper *h = &f->helpers[f->helper_count];
        h->frame = f;
        if (open_coder(&h->coder, NULL) != MILL_OK)
            return;
        if (pthread_create(&h->thread, NULL, help, h) != 0) {
            close_coder(&h->coder);
            return;
        }
        f->helper_count++;
    }
}

mill_status mill_ids_frame_open(mill_outfile *file, uint32_t helpers, mill_ids_frame **out, mill_error *err)
{
    mill_ids_frame *f = mill_alloc_zero(1, sizeof *f);
    *out = f;
    if (f == NULL)
        return mill_fail_nomem(err, "writing a compressed shard");
    f->file = file;
    MILL_ASSERT(pthread_mutex_init(&f->lock, NULL) == 0 && pthread_cond_init(&f->waiting, NULL) == 0 &&
                pthread_cond_init(&f->done, NULL) == 0);
    f->xxh64 = mill_xxh64_create();
    if (f->xxh64 == NULL)
        return mill_fail_nomem(err, "writing a compressed shard");
    MILL_TRY(open_coder(&f->coder, err));
    if (helpers != 0)
        open_helpers(f, helpers);
    return mill_outfile_write(file, frame_head, sizeof frame_head, err);
}

// Gives the text to the ring.
static mill_status hand_on(mill_ids_frame *f, const uint8_t *text, size_t bytes, mill_error *err)
{
    pthread_mutex_lock(&f->lock);
    mill_status status = drain(f, false, err);
    pthread_mutex_unlock(&f->lock);
    MILL_TRY(status);
    job *j = &f->jobs[(f->first + f->used) % f->job_count]; // is free, and the caller alone makes jobs
    mill_buf_clear(&j->text);
    MILL_TRY(mill_buf_append(&j->text, text, bytes, err));
    pthread_mutex_lock(&f->lock);
    j->state = WAITING;
    f->used++;
    pthread_cond_signal(&f->waiting);
    pthread_mutex_unlock(&f->lock);
    return MILL_OK;
}

mill_status mill_ids_frame_add(mill_ids_frame *f, const uint8_t *text, size_t bytes, mill_error *err)
{
    mill_xxh64_update(f->xxh64, text, bytes);
    if (f->helper_count != 0)
        return hand_on(f, text, bytes, err);
    MILL_TRY(compress(&f->coder, text, bytes, &f->packed, err));
    return mill_outfile_write(f->file, f->packed.data, f->packed.bytes, err);
}

mill_status mill_ids_frame_finish(mill_ids_frame *f, mill_error *err)
{
    pthread_mutex_lock(&f->lock);
    mill_status status = drain(f, true, err);
    pthread_mutex_unlock(&f->lock);
    MILL_TRY(status);
    uint8_t tail[TAIL];
    write_tail(mill_xxh64_finish(f->xxh64), tail);
    f->xxh64 = NULL;
    return mill_outfile_write(f->file, tail, sizeof tail, err);
}

mill_status mill_ids_frame_append(const uint8_t *text, size_t bytes, mill_buf *out, mill_error *err)
{
    coder c = {0};
    mill_buf packed = {0};
    uint8_t tail[TAIL];
    void *xxh64 = mill_xxh64_create();
    mill_status status = xxh64 != NULL ? open_coder(&c, err) : mill_fail_nomem(err, "compressing a shard");
    if (status == MILL_OK)
        status = mill_buf_append(out, frame_head, sizeof frame_head, err);
    for (size_t at = 0; status == MILL_OK && at < bytes; at += MILL_IDS_JOB_BYTES) {
        const size_t here = bytes - at < MILL_IDS_JOB_BYTES ? bytes - at : MILL_IDS_JOB_BYTES;
        mill_xxh64_update(xxh64, text + at, here);
        status = compress(&c, text + at, here, &packed, err);
        if (status == MILL_OK)
            status = mill_buf_append(out, packed.data, packed.bytes, err);
    }
    if (status == MILL_OK) {
        write_tail(mill_xxh64_finish(xxh64), tail);
        xxh64 = NULL;
        status = mill_buf_append(out, tail, sizeof tail, err);
    }
    mill_xxh64_destroy(xxh64);
    mill_buf_free(&packed);
    close_coder(&c);
    return status;
}

void mill_ids_frame_close(mill_ids_frame *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->lock);
    f->closing = true;
    pthread_cond_broadcast(&f->waiting);
    pthread_mutex_unlock(&f->lock);
    for (uint32_t i = 0; i < f->helper_count; i++) {
        MILL_ASSERT(pthread_join(f->helpers[i].thread, NULL) == 0);
        close_coder(&f->helpers[i].coder);
    }
    for (uint32_t i = 0; i < f->job_count; i++) {
        mill_buf_free(&f->jobs[i].text);
        mill_buf_free(&f->jobs[i].packed);
    }
    pthread_cond_destroy(&f->waiting);
    pthread_cond_destroy(&f->done);
    pthread_mutex_destroy(&f->lock);
    close_coder(&f->coder);
    mill_xxh64_destroy(f->xxh64);
    mill_buf_free(&f->packed);
    mill_free(f->helpers);
    mill_free(f->jobs);
    mill_free(f);
}
