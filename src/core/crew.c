// crew.c: a member waits for its next piece of work awake for a while, then asleep. A piece has a share for each number; a member
// takes its own first, then what nobody has begun, so that one that sleeps, or whose processor another thread of the program has,
// keeps nobody waiting.
#include "core/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "core/alloc.h"
#include "core/clock.h"

enum { AWAKE_NS = 200000, LOOKS = 64 }; // the clock is read after so many looks
enum { SHARE_BITS = 16 };

typedef struct member {
    _Atomic uint64_t begun; // the last piece whose share of this number was begun
    _Atomic bool asleep;
    uint32_t number;
    mill_crew *crew;
    pthread_mutex_t lock; // for falling asleep
    pthread_cond_t wake;
    pthread_t thread;
} member;

struct mill_crew {
    member *members; // [0] is the caller
    uint32_t size;
    void (*work)(void *context, uint32_t share);
    void *context;
    _Atomic uint64_t piece;   // its number above SHARE_BITS, and how many shares it has; a new one makes the fields above good
    _Atomic uint32_t working; // shares that are not done
};

static inline void look_again(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static uint64_t number_of(uint64_t piece)
{
    return piece >> SHARE_BITS;
}

static uint32_t shares_of(uint64_t piece)
{
    return (uint32_t)(piece & ((1u << SHARE_BITS) - 1));
}

// Does the shares that nobody has begun, from `first` on. A share of a piece that is over cannot be begun: all are marked. And
// while one is being done, the piece is not over, so that its fields are good.
static void do_shares(mill_crew *crew, uint64_t piece, uint32_t first)
{
    const uint64_t number = number_of(piece);
    const uint32_t shares = shares_of(piece);
    for (uint32_t i = 0; i < shares; i++) {
        const uint32_t share = (first + i) % shares;
        uint64_t begun = atomic_load_explicit(&crew->members[share].begun, memory_order_relaxed);
        if (begun >= number || !atomic_compare_exchange_strong(&crew->members[share].begun, &begun, number))
            continue;
        crew->work(crew->context, share);
        atomic_fetch_sub_explicit(&crew->working, 1, memory_order_release);
    }
}

// Waits for another piece than `seen`.
static uint64_t next_piece(member *m, uint64_t seen)
{
    mill_crew *crew = m->crew;
    const int64_t begin = mill_clock_ns();
    do {
        for (int i = 0; i < LOOKS; i++) {
            const uint64_t piece = atomic_load_explicit(&crew->piece, memory_order_acquire);
            if (piece != seen)
                return piece;
            look_again();
        }
    } while (mill_clock_ns() - begin < AWAKE_NS);
    pthread_mutex_lock(&m->lock);
    atomic_store(&m->asleep, true);
    while (atomic_load(&crew->piece) == seen)
        pthread_cond_wait(&m->wake, &m->lock);
    atomic_store(&m->asleep, false);
    pthread_mutex_unlock(&m->lock);
    return atomic_load(&crew->piece);
}

static void *serve(void *argument)
{
    member *m = argument;
    for (uint64_t piece = 0;;) {
        piece = next_piece(m, piece);
        if (shares_of(piece) == 0)
            return NULL;
        do_shares(m->crew, piece, m->number);
    }
}

// Those that sleep are woken if they have a share. One that is about to fall asleep looks at the piece once more, under its lock.
static void give_piece(mill_crew *crew, uint32_t shares, uint32_t woken)
{
    const uint64_t number = number_of(atomic_load_explicit(&crew->piece, memory_order_relaxed)) + 1;
    atomic_store(&crew->working, shares);
    atomic_store(&crew->piece, number << SHARE_BITS | shares);
    for (uint32_t i = 1; i < woken; i++) {
        member *m = &crew->members[i];
        if (!atomic_load(&m->asleep))
            continue;
        pthread_mutex_lock(&m->lock);
        pthread_cond_signal(&m->wake);
        pthread_mutex_unlock(&m->lock);
    }
}

mill_status mill_crew_open(uint32_t threads, mill_crew **out, mill_error *err)
{
    *out = NULL;
    MILL_ASSERT(threads < 1u << SHARE_BITS);
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
    give_piece(crew, 0, crew->size); // a piece without shares ends them
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

void mill_crew_run(mill_crew *crew, uint32_t shares, void (*work)(void *context, uint32_t share), void *context)
{
    MILL_ASSERT(shares >= 1 && shares <= crew->size);
    if (shares == 1) {
        work(context, 0);
        return;
    }
    crew->work = work;
    crew->context = context;
    give_piece(crew, shares, shares);
    do_shares(crew, atomic_load_explicit(&crew->piece, memory_order_relaxed), 0);
    const int64_t begin = mill_clock_ns();
    for (uint32_t i = 1; atomic_load_explicit(&crew->working, memory_order_acquire) != 0; i++) {
        if (i % LOOKS != 0 || mill_clock_ns() - begin < AWAKE_NS)
            look_again();
        else
            sched_yield(); // another may need this processor to finish
    }
}
