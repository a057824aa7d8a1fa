// parity_text_stats.c: the vector text statistics equal the plain ones, on random and hostile valid UTF-8.
// With --bench it prints GB/s of both.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "backend/ops.h"
#include "draw_text.h"

static int compare(const uint8_t *bytes, const uint64_t *offsets, uint32_t count, const char *what)
{
    static const uint32_t versions[] = {140, 150, 151, 160};
    mill_text_view view = {bytes, offsets, count};
    mill_text_stat *a = calloc(count + 2, sizeof *a), *b = calloc(count + 2, sizeof *b);
    int bad = 0;
    for (int v = 0; v < 4; v++) {
        memset(b, 0xa5, (count + 2) * sizeof *b); // guard rows on both sides
        if (mill_text_stats_ref(&view, versions[v], a + 1) != MILL_OK ||
            mill_text_stats_avx2(&view, versions[v], b + 1) != MILL_OK)
            bad++;
        for (uint32_t i = 1; i <= count; i++)
            bad += a[i].chars != b[i].chars || a[i].lines != b[i].lines ||
                   a[i].alnum_or_space != b[i].alnum_or_space;
        bad += b[0].chars != 0xa5a5a5a5a5a5a5a5u || b[count + 1].chars != 0xa5a5a5a5a5a5a5a5u;
    }
    if (bad)
        printf("text_stats: %s: %d differences\n", what, bad);
    free(a);
    free(b);
    return bad;
}

// Texts that end right before an unreadable page: reading one byte too far ends the program.
static int parity(void)
{
    static const size_t sizes[] = {0,   1,   2,   3,    31,   32,   33,    63,    64,   65,
                                   127, 128, 129, 8159, 8160, 8161, 65535, 65536, 65537};
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = 32 * page;
    uint8_t *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + room, page, PROT_NONE) != 0)
        return 1;
    int bad = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int mixture = 0; mixture < 8; mixture++) {
            for (int round = 0; round < (sizes[s] > 1000 ? 3 : 50); round++) {
                char what[64];
                uint64_t offsets[2] = {0, sizes[s]};
                uint8_t *text = map + room - sizes[s];
                fill(text, sizes[s], mixture);
                snprintf(what, sizeof what, "%zu bytes, mixture %d", sizes[s], mixture);
                bad += compare(text, offsets, 1, what);
            }
        }
    }
    uint64_t offsets[401] = {0}; // a batch of short texts of every length, empty ones too
    uint8_t *text = map;
    for (uint32_t i = 0; i < 400; i++) {
        size_t bytes = next() % 3 == 0 ? 0 : next() % 200;
        fill(text + offsets[i], bytes, (int)(next() % 8));
        offsets[i + 1] = offsets[i] + bytes;
    }
    bad += compare(text, offsets, 400, "400 short texts");
    munmap(map, room + page);
    // Every scalar value once.
    uint8_t *all = malloc(4 * 0x110000);
    uint64_t end[2] = {0, 0};
    for (uint32_t c = 0; c < 0x110000; c++)
        if (c < 0xd800 || c >= 0xe000)
            end[1] += mill_utf8_encode(c, all + end[1]);
    bad += compare(all, end, 1, "every code point");
    for (uint64_t i = 0, length; i < end[1]; i += length) { // and alone, so that no two errors cancel out
        size_t bytes;
        mill_utf8_decode(all + i, &bytes);
        length = bytes;
        uint64_t one[2] = {0, length};
        mill_text_view view = {all + i, one, 1};
        mill_text_stat a, b;
        bad += mill_text_stats_ref(&view, 140, &a) != MILL_OK ||
               mill_text_stats_avx2(&view, 140, &b) != MILL_OK || a.alnum_or_space != b.alnum_or_space ||
               a.chars != b.chars;
    }
    free(all);
    mill_text_view none = {NULL, end, 0};
    bad += mill_text_stats_ref(&none, 130, NULL) != MILL_USAGE ||
           mill_text_stats_avx2(&none, 130, NULL) != MILL_USAGE;
    return bad;
}

static const char *const kinds[] = {"printable ASCII",      "ASCII",     "two-byte",
                                    "three-byte",           "four-byte", "any code point",
                                    "19/20 printable ASCII"};

typedef mill_status (*text_stats_function)(const mill_text_view *, uint32_t, mill_text_stat *);

static void bench(text_stats_function function, const char *name, int mixture)
{
    enum { BYTES = 16 << 20, DOCUMENT = 8192, COUNT = BYTES / DOCUMENT };
    uint8_t *text = malloc(BYTES);
    uint64_t *offsets = malloc((COUNT + 1) * sizeof *offsets);
    mill_text_stat *out = malloc(COUNT * sizeof *out);
    double best = 1e9;
    for (uint32_t i = 0; i < COUNT; i++)
        fill(text + (size_t)i * DOCUMENT, DOCUMENT, mixture);
    for (uint32_t i = 0; i <= COUNT; i++)
        offsets[i] = (uint64_t)i * DOCUMENT;
    mill_text_view view = {text, offsets, COUNT};
    for (int round = 0; round < 7; round++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        if (function(&view, 160, out) != MILL_OK)
            exit(1);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        best = seconds < best ? seconds : best;
    }
    printf("text_stats %-5s %-22s %6.2f GB/s\n", name, kinds[mixture], 1e-9 * BYTES / best);
    free(text);
    free(offsets);
    free(out);
}

int main(int argc, char **argv)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2")) {
        puts("no AVX2 here: nothing to compare");
        return 77;
    }
#endif
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        static const int mixtures[] = {0, 6, 2, 3};
        for (int i = 0; i < 4; i++) {
            bench(mill_text_stats_ref, "ref", mixtures[i]);
            bench(mill_text_stats_avx2, "avx2", mixtures[i]);
        }
        return 0;
    }
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    int bad = parity();
    printf("text_stats parity: seed given, %d differences\n", bad);
    return bad != 0;
}
