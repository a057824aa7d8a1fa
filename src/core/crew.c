// crew.c: a member waits for its next piece of work awake for a while, then asleep.
#include "core/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "core/alloc.h"

enum { AWAKE = 20000 }; // looks before falling asleep: some hundred microseconds, as long as the caller works alone between pieces

typedef struct member {
    mill_crew *crew;
    uint32_t number;
    _Atomic uint64_t piece; // number of the piece of work that it is to do; a new one makes the crew's fields good
    _Atomic bool asleep;
    pthread_mutex_t lock;   // for falling asleep
    pthread_cond_t wake;
    pthread_t thread;
} member;

struct mill_crew {
    member *members; // [0] is the caller
    uint32_t size;
    void (*work)(void *context, uint32_t worker); // NULL: the crew is closing
    void *context;
    uint64_t pieces;
    _Atomic uint32_t working; // members that have not finished theirs
};

static inline void look_again(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Waits for a piece of another number than `seen`.
static uint64_t next_piece(member *m, uint64_t seen)
{
    for (int i = 0; i < AWAKE; i++) {
        const uint64_t piece = atomic_load_explicit(&m->piece, memory_order_acquire);
        if (piece != seen)
            return piece;
        look_again();
    }
    pthread_mutex_lock(&m->lock);
    atomic_store(&m->asleep, true);
    while (atomic_load(&m->piece) == seen)
        pthread_cond_wait(&m->wake, &m->lock);
    atomic_store(&m->asleep, false);
    pthread_mutex_unlock(&m->lock);
    return atomic_load(&m->piece);
}

static void *serve(void *argument)
{
    member *m = argument;
    mill_crew *crew = m->crew;
    for (uint64_t piece = 0;;) {
        piece = next_piece(m, piece);
        if (crew->work == NULL)
            return NULL;
        crew->work(crew->context, m->number);
        atomic_fetch_sub_explicit(&crew->working, 1, memory_order_release);
    }
}

static void give_piece(mill_crew *crew, uint32_t workers)
{
    crew->pieces++;
    atomic_store(&crew->working, workers - 1);
    for (uint32_t i = 1; i < workers; i++) {
        member *m = &crew->members[i];
        atomic_store(&m->piece, crew->pieces);
        if (!atomic_load(&m->asleep)) // if it is about to be, it looks at the number once more, under the lock
            continue;
        pthread_mutex_lock(&m->lock);
        pthread_cond_signal(&m->wake);
        pthread_mutex_unlock(&m->lock);
    }
}

mill_status mill_crew_open(uint32_t threads, mill_crew **out, mill_error *err)
{
    *out = NULL;
    mill_crew *crew = mill_alloc_zero(1, sizeof *crew);
    member *members = mill_alloc_zero(threads == 0 ? 1 : threads, sizeof *members);
    if (crew == NULL || members == NULL) {
        mill_free(crew);
        mill_free(members);
        return mill_fail_nomem(err, "starting threads");
    }
    crew->members = members;
    crew->size = 1;
    while (crew->size < threads) {
        member *m = &members[crew->size];
        m->crew = crew;
        m->number = crew->size;
        pthread_mutex_init(&m->lock, NULL);
        pthread_cond_init(&m->wake, NULL);
        if (pthread_create(&m->thread, NULL, serve, m) != 0) {
            pthread_cond_destroy(&m->wake);
            pthread_mutex_destroy(&m->lock);
            break;
        }
        crew->size++;
    }
    *out = crew;
    return MILL_OK;
}

void mill_crew_close(mill_crew *crew)
{
    if (crew == NULL)
        return;
    crew->work = NULL;
    give_piece(crew, crew->size);
    for (uint32_t i = 1; i < crew->size; i++) {
        member *m = &crew->members[i];
        pthread_join(m->thread, NULL);
        pthread_cond_destroy(&m->wake);
        pthread_mutex_destroy(&m->lock);
    }
    mill_free(crew->members);
    mill_free(crew);
}

uint32_t mill_crew_size(const mill_crew *crew)
{
    return crew->size;
}

void mill_crew_run(mill_crew *crew, uint32_t workers, void (*work)(void *context, uint32_t worker), void *context)
{
    MILL_ASSERT(workers >= 1 && workers <= crew->size);
    crew->work = work;
    crew->context = context;
    give_piece(crew, workers);
    work(context, 0);
    for (int i = 0; atomic_load_explicit(&crew->working, memory_order_acquire) != 0; i++) {
        if (i < AWAKE)
            look_again();
        else
            sched_yield(); // another may need this processor to finish
    }
}
