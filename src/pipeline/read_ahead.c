// read_ahead.c: a ring of blocks between the thread that reads and the workers that take them.
#include "pipeline/read_ahead.h"

#include <pthread.h>

enum { BLOCKS = 2 }; // one is taken while the other is read

typedef struct slot {
    mill_block block;
    uint64_t records; // that the inputs had when it was read
    bool end;
    mill_status status;
    mill_error error;
} slot;

struct mill_read_ahead {
    mill_run_state *run;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    slot slots[BLOCKS]; // a ring: `used` from `first` on are filled; the last of all stays
    uint32_t first, used;
    bool closing;
};

static uint64_t records_of(const mill_run_state *run)
{
    uint64_t records = 0;
    for (size_t i = 0; i < run->input_count; i++)
        records += mill_source_input(run->source, i)->records;
    return records;
}

static void tell(mill_run_state *run, const mill_block *block, uint64_t records)
{
    atomic_store(&run->records_read, records);
    atomic_fetch_add(&run->bytes_read, block->bytes.bytes + block->planned);
}

static mill_status read_one(mill_run_state *run, mill_block *block, bool *end, mill_error *err)
{
    const mill_instant begin = mill_time_begin();
    mill_status status = mill_source_next(run->source, block, end, err);
    mill_time_end(run, MILL_TIME_READ, begin, 0, 0);
    return status;
}

mill_status mill_read_block(mill_run_state *run, mill_block *block, bool *end, mill_error *err)
{
    MILL_TRY(read_one(run, block, end, err));
    if (!*end)
        tell(run, block, records_of(run));
    return MILL_OK;
}

static void *read_all(void *argument)
{
    mill_read_ahead *a = argument;
    bool last = false;
    pthread_mutex_lock(&a->lock);
    while (!a->closing && !last) {
        if (a->used == BLOCKS) {
            pthread_cond_wait(&a->emptied, &a->lock);
            continue;
        }
        slot *s = &a->slots[(a->first + a->used) % BLOCKS];
        pthread_mutex_unlock(&a->lock);
        s->status = read_one(a->run, &s->block, &s->end, &s->error);
        s->records = records_of(a->run);
        last = s->end || s->status != MILL_OK;
        pthread_mutex_lock(&a->lock);
        a->used++;
        pthread_cond_signal(&a->filled);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void drop(mill_read_ahead *a)
{
    for (uint32_t i = 0; i < BLOCKS; i++)
        mill_block_free(&a->slots[i].block);
    pthread_cond_destroy(&a->filled);
    pthread_cond_destroy(&a->emptied);
    pthread_mutex_destroy(&a->lock);
    mill_free(a);
}

mill_read_ahead *mill_read_ahead_open(mill_run_state *run)
{
    mill_read_ahead *a = run->threads > 1 && !run->fs->one_thread ? mill_alloc_zero(1, sizeof *a) : NULL;
    if (a == NULL)
        return NULL;
    a->run = run;
    MILL_ASSERT(pthread_mutex_init(&a->lock, NULL) == 0 && pthread_cond_init(&a->filled, NULL) == 0 &&
                pthread_cond_init(&a->emptied, NULL) == 0);
    if (pthread_create(&a->thread, NULL, read_all, a) == 0)
        return a;
    drop(a);
    return NULL;
}

void mill_read_ahead_close(mill_read_ahead *a)
{
    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->closing = true;
    pthread_cond_signal(&a->emptied);
    pthread_mutex_unlock(&a->lock);
    MILL_ASSERT(pthread_join(a->thread, NULL) == 0);
    drop(a);
}

mill_status mill_read_ahead_next(mill_read_ahead *a, mill_block *block, bool *end, mill_error *err)
{
    pthread_mutex_lock(&a->lock);
    while (a->used == 0)
        pthread_cond_wait(&a->filled, &a->lock);
    slot *s = &a->slots[a->first];
    const mill_status status = s->status;
    *end = s->end;
    if (status != MILL_OK && err != NULL)
        *err = s->error;
    if (status == MILL_OK && !s->end) {
        const mill_block taken = s->block;
        s->block = *block;
        *block = taken;
        tell(a->run, block, s->records);
        a->first = (a->first + 1) % BLOCKS;
        a->used--;
        pthread_cond_signal(&a->emptied);
    }
    pthread_mutex_unlock(&a->lock);
    return status;
}
