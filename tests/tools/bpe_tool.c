// bpe_tool.c: the tokenizer as a filter, for the agreement tests. Texts come on standard input, each as a little-endian u32
// length and its bytes; answers are u32 arrays with a u32 count before each.
//   bpe_tool train KIND VOCAB MIN_FREQUENCY MAX_TOKEN_LENGTH FULL_ALPHABET DECODER DIR [SPECIAL...]   -> three files in DIR
//   bpe_tool encode TOKENIZER.json SPECIALS                                                             -> ids
//   bpe_tool cut KIND                                                                                   -> piece ends
//   bpe_tool copy TOKENIZER.json                                         -> the tokenizer.json as it is written back
// KIND: 0 GPT-2, 1 digits + GPT-2, 2 cl100k, 3 Qwen2. Times go to standard error.
#include "tokenizer/pretok.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static mill_error failure;

static void check(mill_status status)
{
    if (status != MILL_OK) {
        fprintf(stderr, "%s: %s\n", mill_status_code(status), failure.message);
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); // one thread: what others do on the machine matters less
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool next_text(mill_buf *text)
{
    uint32_t bytes;
    if (fread(&bytes, sizeof bytes, 1, stdin) != 1)
        return false;
    mill_buf_clear(text);
    check(mill_buf_reserve(text, bytes + (size_t)1, &failure));
    text->bytes = fread(text->data, 1, bytes, stdin);
    if (text->bytes != bytes)
        exit(2);
    return true;
}

static void put(const uint32_t *values, size_t count)
{
    uint32_t head = (uint32_t)count;
    fwrite(&head, sizeof head, 1, stdout);
    if (count != 0)
        fwrite(values, sizeof *values, count, stdout);
}

static void write_file(const char *directory, const char *name, const mill_buf *text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(text->data, 1, text->bytes, file) != text->bytes || fclose(file) != 0)
        exit(2);
}

static mill_tokenizer *load(const char *path)
{
    mill_buf json = {0};
    mill_tokenizer *tokenizer;
    check(mill_fs_read_file(mill_fs_posix(), MILL_FS_CWD, path, MILL_OPEN_READ, 1u << 28, &json, &failure));
    double start = now();
    check(mill_tokenizer_parse(json.data, json.bytes, path, &tokenizer, &failure));
    fprintf(stderr, "parse %.3f s\n", now() - start);
    mill_buf_free(&json);
    return tokenizer;
}

static void train(char **arg)
{
    mill_pretok kind = (mill_pretok)atoi(arg[0]);
    mill_train_options options = {.vocab_size = (uint32_t)atoi(arg[1]), .min_frequency = (uint64_t)atoll(arg[2]),
                                  .max_token_length = (uint32_t)atoi(arg[3]), .full_alphabet = arg[4][0] == '1',
                                  .specials = (const char *const *)(arg + 7)};
    while (arg[7 + options.special_count] != NULL)
        options.special_count++;
    // Two handles in turn, so that merging them is used too.
    mill_word_counts *counts[2];
    check(mill_word_counts_open(kind, &counts[0], &failure));
    check(mill_word_counts_open(kind, &counts[1], &failure));
    bool halves = getenv("BPE_TOOL_HALVES") != NULL;
    mill_buf text = {0};
    double seconds = 0;
    uint64_t bytes = 0;
    for (uint32_t number = 0; next_text(&text); number++) {
        double start = now();
        check(mill_word_counts_add(counts[halves ? number & 1 : 0], text.data, text.bytes, &failure));
        seconds += now() - start;
        bytes += text.bytes;
    }
    check(mill_word_counts_merge(counts[0], counts[1], &failure));
    fprintf(stderr, "count %.3f s, %.1f MB/s, %llu words, %llu distinct\n", seconds, (double)bytes / seconds / 1e6,
            (unsigned long long)mill_word_counts_total(counts[0]), (unsigned long long)mill_word_counts_unique(counts[0]));
    double start = now();
    mill_tokenizer *tokenizer;
    check(mill_tokenizer_train(counts[0], &options, NULL, NULL, &tokenizer, &failure));
    fprintf(stderr, "train %.3f s, %u merges\n", now() - start, mill_tokenizer_merge_count(tokenizer));
    const char *eos = options.special_count != 0 ? options.specials[0] : NULL;
    mill_buf_clear(&text);
    check(mill_tokenizer_write_json(tokenizer, arg[5][0] == '1', &text, &failure));
    write_file(arg[6], "tokenizer.json", &text);
    mill_buf_clear(&text);
    check(mill_tokenizer_write_config(tokenizer, eos, 8192, &text, &failure));
    write_file(arg[6], "tokenizer_config.json", &text);
    mill_buf_clear(&text);
    check(mill_tokenizer_write_specials(tokenizer, eos, &text, &failure));
    write_file(arg[6], "special_tokens_map.json", &text);
    mill_buf_free(&text);
    mill_tokenizer_close(tokenizer);
    mill_word_counts_close(counts[0]);
    mill_word_counts_close(counts[1]);
}

static void encode(const char *path, bool specials)
{
    mill_tokenizer *tokenizer = load(path);
    mill_encoder *encoder;
    check(mill_encoder_open(tokenizer, &encoder, &failure));
    mill_ids ids = {0};
    mill_buf text = {0};
    double seconds = 0;
    uint64_t bytes = 0, count = 0;
    while (next_text(&text)) {
        ids.count = 0;
        double start = now();
        check(mill_encoder_encode(encoder, text.data, text.bytes, specials, &ids, &failure));
        seconds += now() - start;
        bytes += text.bytes;
        count += ids.count;
        put(ids.data, ids.count);
    }
    fprintf(stderr, "encode %.3f s, %.1f MB/s, %llu ids\n", seconds, (double)bytes / seconds / 1e6, (unsigned long long)count);
    mill_buf_free(&text);
    mill_ids_free(&ids);
    mill_encoder_close(encoder);
    mill_tokenizer_close(tokenizer);
}

static void cut(mill_pretok kind)
{
    mill_buf text = {0};
    while (next_text(&text)) {
        uint32_t *ends = mill_alloc(text.bytes * sizeof *ends);
        put(ends, mill_pretok_split(kind, text.data, text.bytes, ends));
        mill_free(ends);
    }
    mill_buf_free(&text);
}

static void copy(const char *path)
{
    mill_tokenizer *tokenizer = load(path);
    mill_buf text = {0};
    check(mill_tokenizer_write_json(tokenizer, true, &text, &failure));
    fwrite(text.data, 1, text.bytes, stdout);
    mill_buf_free(&text);
    mill_tokenizer_close(tokenizer);
}

int main(int count, char **arg)
{
    if (count >= 9 && strcmp(arg[1], "train") == 0)
        train(arg + 2);
    else if (count == 4 && strcmp(arg[1], "encode") == 0)
        encode(arg[2], arg[3][0] == '1');
    else if (count == 3 && strcmp(arg[1], "cut") == 0)
        cut((mill_pretok)atoi(arg[2]));
    else if (count == 3 && strcmp(arg[1], "copy") == 0)
        copy(arg[2]);
    else
        return 2;
    return 0;
}
