// driver.c: runs a fuzz target without LibFuzzer: replays files, or mutates the target's seeds. The mutants follow from the seed
// number alone, so a failure comes back.
//
// usage: fuzz_X [--seconds S] [--runs N] [--seed N] [--keep FILE] [FILE...]
// --keep leaves the input of the latest run in FILE, also when the program dies. With FILEs these are run and nothing else.
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "core/rng.h"
#include "fuzz.h"

#define INPUT_BYTES_MAX ((size_t)64 << 10)
#define HANG_SECONDS 20 // of one run; sanitizers are slow

static uint64_t random_seed, draws;

static uint64_t draw(uint64_t bound)
{
    return mill_draw_below(mill_draw(random_seed, MILL_DRAW_TEST, (mill_key){draws++, 0}, 0), bound);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void hangs(int number)
{
    static const char text[] = "a run does not end\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

// Puts `bytes` bytes of data in place of `gone` bytes at `at`.
static void splice(mill_buf *input, size_t at, size_t gone, const uint8_t *data, size_t bytes)
{
    if (input->bytes - gone + bytes > INPUT_BYTES_MAX || mill_buf_reserve(input, bytes + 1, NULL) != MILL_OK)
        return;
    memmove(input->data + at + bytes, input->data + at + gone, input->bytes - at - gone);
    if (bytes != 0)
        memcpy(input->data + at, data, bytes);
    input->bytes = input->bytes - gone + bytes;
}

static void mutate(mill_buf *input, const mill_buf *other)
{
    static const char *const words[] = {
        "\"", "\\", "\\u0000", "\\ud800", "{", "}", "[", "]", ":", ",", "\n", "\r\n", "\xff", "\xc3", "\xed\xa0\x80",
        "\xef\xbb\xbf", "null", "true", "-1", "1e999", "18446744073709551616", "0.0000001", "//", "\x1f\x8b", "\x28\xb5\x2f\xfd",
        "\"content\":", "\"base\":", "\"merges\":", "<|endoftext|>", "<fim_prefix>",
    };
    size_t at = (size_t)draw(input->bytes + 1), left = input->bytes - at, some = (size_t)draw((left < 64 ? left : 64) + 1);
    uint8_t copy[64], value = (uint8_t)draw(256);
    switch (draw(9)) {
    case 0:
        if (left != 0)
            input->data[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 1:
        if (left != 0)
            input->data[at] = value;
        break;
    case 2: splice(input, at, 0, &value, 1); break;
    case 3: splice(input, at, some, NULL, 0); break;
    case 4:
        if (some != 0)
            memcpy(copy, input->data + at, some);
        splice(input, at, 0, copy, some);
        break;
    case 5: {
        const char *word = words[draw(sizeof words / sizeof words[0])];
        splice(input, at, draw(2) != 0 && left >= strlen(word) ? strlen(word) : 0, (const uint8_t *)word, strlen(word));
        break;
    }
    case 6: { // a piece of another seed
        size_t from = (size_t)draw(other->bytes + 1), bytes = (size_t)draw(other->bytes - from + 1);
        splice(input, at, some, other->data + from, bytes);
        break;
    }
    case 7:
        if (left >= 4) {
            static const uint32_t edges[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xffff, 0x10000};
            memcpy(input->data + at, &edges[draw(sizeof edges / sizeof edges[0])], 4);
        }
        break;
    default:
        if (draw(4) == 0)
            input->bytes = at;
        break;
    }
}

// A copy of exactly the input's size, so that a read behind its end is seen.
static void run(const mill_buf *input, const char *keep)
{
    uint8_t *copy = malloc(input->bytes != 0 ? input->bytes : 1);
    FUZZ_CHECK(copy != NULL);
    if (input->bytes != 0)
        memcpy(copy, input->data, input->bytes);
    if (keep != NULL) {
        FILE *file = fopen(keep, "wb");
        FUZZ_CHECK(file != NULL && fwrite(copy, 1, input->bytes, file) == input->bytes && fclose(file) == 0);
    }
    alarm(HANG_SECONDS);
    LLVMFuzzerTestOneInput(copy, input->bytes);
    alarm(0);
    free(copy);
}

static int replay(int count, char **files, const char *keep)
{
    for (int i = 0; i < count; i++) {
        mill_buf input = {0};
        uint8_t part[4096];
        FILE *file = fopen(files[i], "rb");
        if (file == NULL) {
            perror(files[i]);
            return 2;
        }
        for (size_t got; (got = fread(part, 1, sizeof part, file)) != 0;)
            FUZZ_OK(mill_buf_append(&input, part, got, NULL));
        fclose(file);
        run(&input, keep);
        mill_buf_free(&input);
    }
    return 0;
}

static int invent(double seconds, uint64_t runs, const char *keep)
{
    mill_buf seeds[64] = {0}, input = {0};
    uint32_t count = 0;
    uint64_t done = 0;
    double begin = now(), longest = 0.0;
    while (count < 64 && fuzz_seed(count, &seeds[count]))
        count++;
    FUZZ_CHECK(count != 0);
    for (; done < runs && now() - begin < seconds; done++) {
        const mill_buf *seed = &seeds[done < count ? done : draw(count)];
        mill_buf_clear(&input);
        FUZZ_OK(mill_buf_append(&input, seed->data, seed->bytes, NULL));
        // The seeds themselves come first.
        for (uint64_t left = done < count ? 0 : 1 + draw(draw(8) == 0 ? 32 : 4); left != 0; left--)
            mutate(&input, &seeds[draw(count)]);
        double before = now();
        run(&input, keep);
        longest = now() - before > longest ? now() - before : longest;
    }
    printf("%llu runs of %u seeds in %.1f s, the longest %.0f ms\n", (unsigned long long)done, count, now() - begin, longest * 1e3);
    for (uint32_t i = 0; i < count; i++)
        mill_buf_free(&seeds[i]);
    mill_buf_free(&input);
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = 2.0;
    uint64_t runs = UINT64_MAX;
    const char *keep = NULL;
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--seconds") == 0)
            seconds = strtod(argv[at + 1], NULL);
        else if (strcmp(argv[at], "--runs") == 0)
            runs = strtoull(argv[at + 1], NULL, 10);
        else if (strcmp(argv[at], "--seed") == 0)
            random_seed = strtoull(argv[at + 1], NULL, 10);
        else if (strcmp(argv[at], "--keep") == 0)
            keep = argv[at + 1];
        else
            return 2;
    }
    signal(SIGALRM, hangs);
    return at < argc ? replay(argc - at, argv + at, keep) : invent(seconds, runs, keep);
}
