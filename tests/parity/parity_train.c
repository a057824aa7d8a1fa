// parity_train.c: merges learnt in rounds equal those of the definition (count all pairs, merge the first, begin again) and
// of the trainer's own way, on random and hostile words: runs of one letter, ties, tokens that a special token spells, counts
// beyond 32 bits, chains where each merge makes the next. Plain rounds (`ref`) by default; with a device as the argument
// ("simt", "simt:0,1", "cuda"), that device. SIMT_SEED chooses the emulator's schedule and other words.
//   --by nccl|host    several devices must have told each other their sums in this way
//   --few             some random words only: what the thread sanitizer gets
//   --failing         lets calls of three emulated devices fail, one in each run: the same merges, by those that are left
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/gpu.h"
#include "tokenizer/tokenizer.h"

enum { IDS_MAX = 512, POSITIONS_MAX = 1 << 16, WORDS_MAX = 1 << 13, MERGES_MAX = 512 };

static uint64_t seed;

static uint64_t next(void)
{
    seed += 0x9e3779b97f4a7c15u;
    uint64_t z = seed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static atomic_uint warnings; // devices' threads speak, too

static void hear(void *context, mill_log_level level, const char *line)
{
    const bool *quiet = context;
    atomic_fetch_add(&warnings, level <= MILL_LOG_WARNING);
    if (level <= MILL_LOG_WARNING && !*quiet)
        printf("%s\n", line);
}

// ---- words ----------------------------------------------------------------------------------------------------------------------

typedef struct words {
    uint8_t text[POSITIONS_MAX];
    mill_bpe_rank ranks[POSITIONS_MAX / 64 + 1];
    uint64_t weights[WORDS_MAX];
    uint32_t first[WORDS_MAX + 1]; // position of each word's first byte
    uint32_t positions, count;
} words;

static void clear(words *w)
{
    w->positions = 1;
    w->count = 0;
}

static void add(words *w, const char *text, size_t bytes, uint64_t weight)
{
    if (bytes < 2 || w->count == WORDS_MAX - 1 || w->positions + bytes + 1 > POSITIONS_MAX - 1)
        return;
    w->first[w->count] = w->positions;
    w->weights[w->count++] = weight;
    memcpy(w->text + w->positions, text, bytes);
    w->positions += (uint32_t)bytes + 1;
    w->first[w->count] = w->positions;
}

static void finish(words *w)
{
    memset(w->ranks, 0, sizeof w->ranks);
    for (uint32_t i = 0; i < w->count; i++)
        w->ranks[(w->first[i] - 1) / 64].bits |= (uint64_t)1 << (w->first[i] - 1) % 64;
    uint32_t before = 0;
    for (uint32_t i = 0; i <= w->positions / 64; i++) {
        w->ranks[i].before = before;
        before += (uint32_t)__builtin_popcountll(w->ranks[i].bits);
    }
}

static void add_random(words *w, uint32_t letters, uint32_t longest, uint64_t weight_max)
{
    char text[4096];
    size_t bytes = next() % longest;
    for (size_t i = 0; i < bytes;) {
        char letter = (char)('a' + next() % letters);
        for (size_t run = next() % 4 == 0 ? next() % 9 : 1; run-- > 0 && i < bytes;)
            text[i++] = letter;
    }
    add(w, text, bytes, 1 + next() % weight_max);
}

// ---- the definition -------------------------------------------------------------------------------------------------------------

typedef struct naive {
    uint32_t symbols[POSITIONS_MAX];
    uint32_t begin[WORDS_MAX], end[WORDS_MAX];
    uint32_t bytes_of[IDS_MAX];
    char texts[IDS_MAX][256];
    uint64_t counts[IDS_MAX][IDS_MAX];
} naive;

static size_t learn_naively(naive *n, const words *w, const mill_train_job *job, mill_train_merge *merges)
{
    size_t done = 0;
    uint32_t ids = job->first_id;
    for (uint32_t i = 0; i < 256; i++) {
        if (job->byte_ids[i] != UINT32_MAX) {
            n->bytes_of[job->byte_ids[i]] = 1;
            n->texts[job->byte_ids[i]][0] = (char)i;
        }
    }
    for (uint32_t i = 0; i < w->count; i++) {
        n->begin[i] = w->first[i];
        n->end[i] = w->first[i + 1] - 1;
        for (uint32_t k = n->begin[i]; k < n->end[i]; k++)
            n->symbols[k] = job->byte_ids[w->text[k]];
    }
    while (ids < job->ids_max) {
        memset(n->counts, 0, sizeof n->counts);
        for (uint32_t i = 0; i < w->count; i++)
            for (uint32_t k = n->begin[i]; k + 1 < n->end[i]; k++)
                n->counts[n->symbols[k]][n->symbols[k + 1]] += w->weights[i];
        uint64_t best = 0;
        uint32_t left = 0, right = 0;
        for (uint32_t a = 0; a < ids; a++) {
            for (uint32_t b = 0; b < ids; b++) {
                uint32_t bytes = n->bytes_of[a] + n->bytes_of[b];
                if (n->counts[a][b] > best && (bytes == 2 || job->length_max == 0 || bytes < job->length_max)) {
                    best = n->counts[a][b];
                    left = a;
                    right = b;
                }
            }
        }
        if (best < job->count_min)
            break;
        uint32_t id = ids, bytes = n->bytes_of[left] + n->bytes_of[right];
        char text[256];
        if (bytes > sizeof text)
            exit(2);
        memcpy(text, n->texts[left], n->bytes_of[left]);
        memcpy(text + n->bytes_of[left], n->texts[right], n->bytes_of[right]);
        for (size_t i = 0; i < job->given_count; i++)
            if (job->given[i].bytes == bytes && memcmp(job->given[i].text, text, bytes) == 0)
                id = job->given[i].id;
        ids += id == ids;
        memcpy(n->texts[id], text, bytes);
        n->bytes_of[id] = bytes;
        merges[done++] = (mill_train_merge){left, right, id};
        for (uint32_t i = 0; i < w->count; i++) {
            uint32_t to = n->begin[i];
            for (uint32_t k = n->begin[i]; k < n->end[i]; k++) {
                bool here = k + 1 < n->end[i] && n->symbols[k] == left && n->symbols[k + 1] == right;
                n->symbols[to++] = here ? id : n->symbols[k];
                k += here;
            }
            n->end[i] = to;
        }
    }
    return done;
}

// ---- comparing ------------------------------------------------------------------------------------------------------------------

typedef struct totals {
    uint64_t sets, merges, rounds, overlaps, reused, slots, bad, left; // left: to the processor
} totals;

static totals sum;
static mill_backend *backend;
static uint32_t wait_ms; // of devices for each other
static words w;
static naive definition;
static const char *const given_texts[] = {"ab", "aaaa", "bab", "cc"};

typedef struct shape {
    uint64_t count_min;
    uint32_t ids_max, length_max, batch_max, given;
} shape;

static void compare(const char *what, shape s)
{
    static mill_train_merge expected[MERGES_MAX];
    uint32_t byte_ids[256];
    mill_train_token given[4];
    mill_train_result result = {0};
    mill_error err = {0};
    finish(&w);
    uint32_t ids = s.given;
    for (uint32_t i = 0; i < s.given; i++)
        given[i] = (mill_train_token){(const uint8_t *)given_texts[i], (uint32_t)strlen(given_texts[i]), i};
    for (uint32_t i = 0; i < 256; i++)
        byte_ids[i] = i >= 'a' && i <= 'z' ? ids++ : UINT32_MAX;
    const mill_train_job job = {.words = {w.text, w.ranks, w.weights, w.positions, w.count},
                                .byte_ids = byte_ids,
                                .given = given,
                                .given_count = s.given,
                                .first_id = ids,
                                .ids_max = s.ids_max,
                                .count_min = s.count_min,
                                .length_max = s.length_max,
                                .batch_max = s.batch_max,
                                .share_min = 1,
                                .block_sums = next() % 2 == 0 ? 0 : 1 + (uint32_t)(next() % 40),
                                .wait_ms = wait_ms};
    size_t count = learn_naively(&definition, &w, &job, expected);
    mill_status status = backend->ops->train(backend, &job, &result, &err);
    if (status == MILL_OK && !result.complete) {
        sum.left++;
        mill_free(result.merges);
        return;
    }
    bool same = status == MILL_OK && result.count == count;
    for (size_t i = 0; same && i < count; i++) {
        same = memcmp(&result.merges[i], &expected[i], sizeof expected[i]) == 0;
        sum.reused += expected[i].id < job.first_id;
        if (!same)
            printf("merge %zu: (%u, %u) -> %u, expected (%u, %u) -> %u\n", i, result.merges[i].left, result.merges[i].right,
                   result.merges[i].id, expected[i].left, expected[i].right, expected[i].id);
    }
    if (!same)
        printf("%s: %zu merges, expected %zu; %s\n", what, result.count, count, status != MILL_OK ? err.message : "");
    sum.bad += !same;
    sum.sets++;
    sum.merges += result.count;
    sum.rounds += result.rounds;
    sum.overlaps += result.overlaps;
    sum.slots = result.slots > sum.slots ? result.slots : sum.slots;
    mill_free(result.merges);
}

static void hostile(void)
{
    static const char *const chains[] = {"abcdefgh", "bcdefgh", "cdefgh", "hgfedcba", "gfedcba", "abab", "baba", "abcabcabc"};
    clear(&w);
    compare("no words", (shape){1, 300, 0, 0, 0});
    add(&w, "ab", 2, 1);
    compare("one pair", (shape){1, 300, 0, 0, 0});
    compare("one pair below the least", (shape){2, 300, 0, 0, 0});
    compare("no new ids", (shape){1, 26, 0, 0, 0});
    char run[1000];
    memset(run, 'a', sizeof run);
    for (size_t bytes = 2; bytes < 40; bytes++)
        add(&w, run, bytes, 1 + next() % 3);
    add(&w, run, sizeof run / 5, 1);
    compare("runs", (shape){1, 300, 0, 0, 0});
    compare("runs with given tokens", (shape){1, 300, 0, 0, 4});
    compare("runs with a limit", (shape){1, 300, 9, 0, 0});
    clear(&w);
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++)
        add(&w, chains[i], strlen(chains[i]), 5); // every merge makes the next
    compare("chains", (shape){1, 300, 0, 0, 0});
    compare("chains with given tokens", (shape){1, 300, 0, 0, 4});
    clear(&w);
    for (char a = 'a'; a <= 'z'; a++) // all counts equal
        for (char b = 'a'; b <= 'z'; b++)
            add(&w, (const char[]){a, b, a == b ? 'a' : b, a}, 4, 7);
    compare("ties", (shape){1, 200, 0, 0, 0});
    compare("ties one by one", (shape){1, 60, 0, 1, 0});
    clear(&w);
    for (int i = 0; i < 300; i++) // more pairs in the end than those of two letters: the table grows
        add_random(&w, 2, 100, 3);
    compare("many pairs of two letters", (shape){1, IDS_MAX, 200, 0, 0});
    clear(&w);
    for (char a = 'a'; a + 3 <= 'z'; a++) // beyond 32 bits; the smallest bits decide
        add(&w, (const char[]){a, (char)(a + 1), (char)(a + 3)}, 3, ((uint64_t)1 << 55) + (uint64_t)(a * 7 % 5));
    compare("counts beyond 32 bits", (shape){1, 300, 0, 0, 0});
    compare("a least count beyond 32 bits", (shape){((uint64_t)1 << 55) + 3, 300, 0, 0, 0});
}

static void random_sets(int sets)
{
    for (int i = 0; i < sets; i++) {
        uint32_t letters = 1 + (uint32_t)(next() % 26), longest = 3 + (uint32_t)(next() % 30);
        uint64_t weight_max = next() % 3 == 0 ? 1 : next() % 2 == 0 ? 10 : (uint64_t)1 << 40;
        clear(&w);
        for (size_t k = next() % 120; k-- > 0;)
            add_random(&w, letters, longest, weight_max);
        if (next() % 4 == 0)
            add_random(&w, letters, 2000, weight_max);
        compare("random words", (shape){1 + next() % 3, 26 + 4 + (uint32_t)(next() % 200),
                                        next() % 3 == 0 ? (uint32_t)(2 + next() % 8) : 200, // the definition knows 256 bytes
                                        next() % 4 == 0 ? (uint32_t)(1 + next() % 16) : 0, (uint32_t)(next() % 5)});
    }
}

// The whole trainer, with the rounds and without: text that is cut into words, more of it than the definition can bear.
static int whole(size_t bytes, uint32_t vocab)
{
    static const char *const specials[] = {"<|endoftext|>", "th", "q"};
    mill_word_counts *counts;
    mill_error err = {0};
    char *text = malloc(bytes);
    size_t at = 0;
    if (text == NULL || mill_word_counts_open(MILL_PRETOK_GPT2, &counts, &err) != MILL_OK)
        return 1;
    while (at < bytes) { // words of syllables, few of them often
        static const char *const parts[] = {"th", "e",   "re", "tu", "rn",     "_",       "in",
                                            "t",  " ",   "for", "(i", "=0", "\n    ", "\xc3\xa9"};
        uint64_t a = next() % 14, b = next() % 14;
        const char *part = parts[a < b ? a : b];
        for (size_t i = 0; part[i] != '\0' && at < bytes; i++)
            text[at++] = part[i];
        if (next() % 3 == 0 && at < bytes)
            text[at++] = ' ';
    }
    while (at > 0 && (text[at - 1] & 0x80) != 0)
        text[--at] = ' ';
    int bad = mill_word_counts_add(counts, (const uint8_t *)text, bytes, &err) != MILL_OK;
    mill_buf json[2] = {0};
    for (int i = 0; bad == 0 && i < 2; i++) {
        const mill_train_options options = {
            .vocab_size = vocab, .min_frequency = 2, .specials = specials, .special_count = 3, .backend = i == 0 ? NULL : backend};
        mill_tokenizer *tokenizer;
        bad += mill_tokenizer_train(counts, &options, NULL, NULL, &tokenizer, &err) != MILL_OK ||
               mill_tokenizer_write_json(tokenizer, true, &json[i], &err) != MILL_OK;
        if (bad == 0)
            mill_tokenizer_close(tokenizer);
    }
    bad += json[0].bytes != json[1].bytes || json[0].bytes == 0 || memcmp(json[0].data, json[1].data, json[0].bytes) != 0;
    if (bad != 0)
        printf("the whole trainer: another tokenizer; %s\n", err.message);
    mill_buf_free(&json[0]);
    mill_buf_free(&json[1]);
    mill_word_counts_close(counts);
    free(text);
    return bad;
}

// ---- failing calls --------------------------------------------------------------------------------------------------------------

enum { FINE, BAD, RECOVERED, LEFT, REFUSED, OUTCOMES }; // how a run with a failing call ends

// device: whose calls fail, -1: all; the processor may be left with the words only if there is no other.
static int train_a_little(int device)
{
    const bool quiet = true;
    const mill_log log = {MILL_LOG_WARNING, hear, (void *)(uintptr_t)&quiet};
    mill_gpus *gpus;
    mill_error err;
    if (mill_gpus_open("simt", 1 << 20, &log, &gpus, &err) != MILL_OK)
        return REFUSED;
    if (mill_gpus_backend(gpus)->open(mill_gpus_backend(gpus), &backend, &err) != MILL_OK)
        return BAD;
    clear(&w);
    for (int i = 0; i < 30; i++)
        add_random(&w, 5, 12, 9);
    compare("a little", (shape){1, 38, 0, 0, 0});
    uint32_t working = 0;
    for (size_t i = 0; i < mill_gpus_count(gpus); i++)
        working += !mill_gpus_use(gpus, i).failed;
    atomic_fetch_add(&warnings, working < mill_gpus_count(gpus));
    backend->ops->close(backend);
    mill_gpus_close(gpus);
    if (sum.left != 0 && device >= 0 && working > 1) // one may have trouble and not have failed
        return BAD;
    return sum.bad != 0 ? BAD : sum.left != 0 ? LEFT : warnings != 0 ? RECOVERED : FINE;
}

// A run whose n-th call fails, of one device (all: -1), once or from then on. It has a minute.
static int run_failing(int device, uint32_t n, bool lasts)
{
    char text[16];
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        snprintf(text, sizeof text, "%u", n);
        setenv("SIMT_FAIL_NTH", text, 1);
        setenv("SIMT_FAIL_LASTS", lasts ? "1" : "0", 1);
        snprintf(text, sizeof text, "%d", device);
        if (device >= 0)
            setenv("SIMT_FAIL_DEVICE", text, 1);
        int outcome = train_a_little(device);
        fflush(stdout);
        _exit(outcome);
    }
    int status = 0;
    waitpid(child, &status, 0);
    int outcome = WIFEXITED(status) && WEXITSTATUS(status) < OUTCOMES ? WEXITSTATUS(status) : BAD;
    if (outcome == BAD)
        printf("call %u of device %d fails%s: the run ends with status %x\n", n, device, lasts ? ", and all later ones" : "",
               status);
    return outcome;
}

// Goes on until a run has fewer calls; how many there are depends on how often ranks ask.
static int failing(void)
{
    static const struct {
        int device;
        bool lasts;
    } cases[] = {{1, false}, {2, true}, {-1, false}, {-1, true}, {0, true}};
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    const size_t case_count = 2; // they take their time
#else
    const size_t case_count = sizeof cases / sizeof *cases;
#endif
    uint32_t counts[OUTCOMES] = {0}, runs = 0;
    setenv("SIMT_DEVICES", "3", 1);
    for (size_t i = 0; i < case_count; i++) {
        uint32_t fine = 0, n = (cases[i].device < 0 ? 100 : 30) + (uint32_t)(next() % 10); // nearly until devices are open
        for (; fine < 2; n += 1 + n / 8 + (uint32_t)(next() % (2 + n / 16)), runs++) {
            int outcome = run_failing(cases[i].device, n, cases[i].lasts);
            counts[outcome]++;
            fine = outcome == FINE ? fine + 1 : 0;
        }
    }
    printf("failing calls: %u runs, %u recovered, %u left to the processor, %u refused, %u bad\n", runs, counts[RECOVERED],
           counts[LEFT], counts[REFUSED], counts[BAD]);
    return counts[BAD] != 0 || counts[RECOVERED] < runs / 4;
}

static bool told_by(mill_gpus *gpus, const char *way)
{
    const mill_gpu_exchange wanted = strcmp(way, "nccl") == 0 ? MILL_GPU_EXCHANGE_NCCL : MILL_GPU_EXCHANGE_HOST;
    bool good = mill_gpus_count(gpus) > 1;
    for (size_t i = 0; i < mill_gpus_count(gpus); i++)
        good = good && mill_gpus_use(gpus, i).exchange == wanted;
    if (!good)
        printf("the devices did not tell each other sums by %s\n", way);
    return good;
}

int main(int argc, char **argv)
{
    const char *device = "ref", *schedule = getenv("SIMT_SEED"), *way = NULL, *nccl = getenv("SIMT_NCCL");
    const bool quiet = false;
    const mill_log log = {MILL_LOG_WARNING, hear, (void *)(uintptr_t)&quiet};
    mill_gpus *gpus = NULL;
    mill_error err;
    bool with_failures = false, with_few = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--failing") == 0)
            with_failures = true;
        else if (strcmp(argv[i], "--few") == 0)
            with_few = true;
        else if (strcmp(argv[i], "--by") == 0 && i + 1 < argc)
            way = argv[++i];
        else
            device = argv[i];
    }
    seed = 1 + (schedule != NULL ? strtoull(schedule, NULL, 10) : 0);
    wait_ms = nccl != NULL && strcmp(nccl, "stuck") == 0 ? 50 : 0;
    if (with_failures)
        return failing();
    const mill_backend_ops *ops = mill_backend_find(device);
    if (ops == NULL) {
        if (mill_gpus_open(device, 1 << 20, &log, &gpus, &err) != MILL_OK) {
            printf("%s\n", err.message);
            return strncmp(device, "simt", 4) == 0 ? 1 : 77;
        }
        ops = mill_gpus_backend(gpus);
    }
    if (ops->open(ops, &backend, &err) != MILL_OK)
        return 1;
    bool plain = gpus == NULL;
    if (!with_few)
        hostile();
    random_sets(plain ? 150 : with_few ? 3 : 9);
    if (!with_few)
        sum.bad += (uint64_t)whole(plain ? 400000 : 8000, plain ? 1500 : 380);
    for (size_t i = 0; gpus != NULL && i < mill_gpus_count(gpus); i++)
        sum.bad += mill_gpus_use(gpus, i).failed;
    sum.bad += way != NULL && !told_by(gpus, way);
    sum.bad += sum.left;
    backend->ops->close(backend);
    mill_gpus_close(gpus);
    printf("training by rounds on %s: %llu sets, %llu merges in %llu rounds, %llu ended by an overlap, %llu ids used again, "
           "%llu slots for pairs at most, %llu bad\n",
           device, (unsigned long long)sum.sets, (unsigned long long)sum.merges, (unsigned long long)sum.rounds,
           (unsigned long long)sum.overlaps, (unsigned long long)sum.reused, (unsigned long long)sum.slots,
           (unsigned long long)sum.bad);
    if (with_few)
        return sum.bad != 0 || sum.merges == 0;
    return sum.bad != 0 || sum.overlaps == 0 || sum.reused == 0 || sum.slots <= 2048; // two letters begin with 2048 slots at most
}
