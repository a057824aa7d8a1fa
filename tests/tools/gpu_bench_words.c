// gpu_bench_words.c: times of the tokenizer's kernels: pieces, the word table, its list, ids.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/unicode.h"
#include "gpu_bench.h"
#include "tokenizer/bpe_ahead.h"

enum { TRAINED_ON = 4 << 20, VOCABULARY = 8192 };

typedef struct tokenizing {
    const bench *b;
    mill_gpu_pieces pieces;
    mill_gpu_dictionary table;
    mill_gpu_encoder encoder;
    mill_gpu_row *rows;
} tokenizing;

static int step_pretok(void *context)
{
    tokenizing *t = context;
    const bench *b = t->b;
    return b->api->pretok(&b->texts, b->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT, &t->pieces,
                          b->stream);
}

static int step_table(void *context)
{
    tokenizing *t = context;
    return t->b->api->word_table(&t->b->texts, &t->pieces, &t->table, t->b->stream);
}

static int step_list(void *context)
{
    tokenizing *t = context;
    return t->b->api->list_words(&t->b->texts, &t->pieces, &t->table, t->rows, t->b->stream);
}

static int step_encode(void *context)
{
    tokenizing *t = context;
    return t->b->api->encode(&t->b->texts, &t->pieces, &t->table, &t->encoder, t->b->stream);
}

// A tokenizer of the text's beginning, by the processor.
static mill_tokenizer *train(const bench *b)
{
    static const char *const specials[] = {"<|endoftext|>"};
    const mill_train_options options = {.vocab_size = b->emulated ? 1000 : VOCABULARY,
                                        .min_frequency = 2,
                                        .full_alphabet = true,
                                        .specials = specials,
                                        .special_count = 1};
    mill_word_counts *counts;
    mill_tokenizer *tokenizer;
    mill_error err;
    if (mill_word_counts_open(MILL_PRETOK_GPT2, &counts, &err) != MILL_OK ||
        mill_word_counts_add(counts, b->host, b->bytes < TRAINED_ON ? b->bytes : TRAINED_ON, &err) !=
            MILL_OK ||
        mill_tokenizer_train(counts, &options, NULL, NULL, &tokenizer, &err) != MILL_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    mill_word_counts_close(counts);
    return tokenizer;
}

static mill_status no_encode(mill_backend *self, const mill_text_view *in, const mill_encode_job *job,
                             mill_portion *portion, mill_ids *out, uint64_t *ends, mill_error *err)
{
    (void)self, (void)in, (void)job, (void)portion, (void)out, (void)ends;
    return mill_fail(err, MILL_USAGE, "only asked whether it is there");
}

static void send_tables(tokenizing *t, const mill_tokenizer *tokenizer)
{
    const bench *b = t->b;
    mill_ahead ahead = {0};
    const mill_backend_ops ops = {.encode = no_encode};
    mill_backend backend = {&ops};
    if (!mill_ahead_open(&ahead, tokenizer, &backend))
        exit(1);
    const mill_bpe_tables *tables = &ahead.tables;
    t->encoder.byte_ids = bench_send(b, tables->byte_ids, 256 * sizeof *tables->byte_ids);
    t->encoder.byte_pairs = bench_send(b, tables->byte_pairs, 65536 * sizeof *tables->byte_pairs);
    t->encoder.pairs = bench_send(b, tables->pairs, tables->pair_count * sizeof *tables->pairs);
    t->encoder.pair_mask = (uint32_t)(tables->pair_count - 1);
    t->encoder.merges = bench_send(b, tables->merges, tables->merge_count * sizeof *tables->merges);
    mill_ahead_free(&ahead);
}

static void prepare(tokenizing *t, const mill_tokenizer *tokenizer)
{
    const bench *b = t->b;
    size_t bitmap = (b->bytes + 31) / 32 * 4, slots = 1;
    while (slots * 2 <= b->bytes / 8)
        slots *= 2;
    t->pieces = (mill_gpu_pieces){.capacity = (uint32_t)(b->bytes / 2), .count = bench_take(b, 256)};
    uint32_t **const bitmaps[] = {&t->pieces.letters, &t->pieces.numbers, &t->pieces.spaces,
                                  &t->pieces.breaks,  &t->pieces.begins,  &t->pieces.ranks};
    for (size_t i = 0; i < sizeof bitmaps / sizeof *bitmaps; i++)
        *bitmaps[i] = bench_take(b, bitmap);
    t->pieces.sums = bench_take(b, (b->bytes / 1024 + 2) * 4);
    t->pieces.places = bench_take(b, ((size_t)t->pieces.capacity + 1) * 4);
    t->table = (mill_gpu_dictionary){.slots = bench_take(b, slots * sizeof *t->table.slots),
                                     .mask = (uint32_t)slots - 1,
                                     .words_most = (uint32_t)slots / 2,
                                     .tag_mask = UINT64_MAX,
                                     .slot_of = bench_take(b, (size_t)t->pieces.capacity * 4),
                                     .found = (mill_gpu_found *)(void *)t->pieces.count,
                                     .collided = bench_take(b, sizeof *t->table.collided)};
    t->rows = bench_take(b, t->table.words_most * sizeof *t->rows);
    t->encoder = (mill_gpu_encoder){.new_words = bench_take(b, (size_t)t->table.words_most * 4),
                                    .long_words = bench_take(b, MILL_GPU_LONGS_MAX(b->bytes) * 4 + 4),
                                    .symbols = bench_take(b, b->bytes * 4),
                                    .narrow = 1,
                                    .ids = bench_take(b, b->bytes * 2),
                                    .ids_most = (uint32_t)b->bytes,
                                    .id_begins = bench_take(b, ((size_t)b->texts.count + 1) * 4)};
    send_tables(t, tokenizer);
}

void bench_words(const bench *b)
{
    tokenizing t = {.b = b};
    mill_gpu_found found;
    mill_tokenizer *tokenizer = train(b);
    prepare(&t, tokenizer);
    double seconds[4];
    seconds[0] = bench_measure(b, "pieces", NULL, step_pretok, &t);
    seconds[1] = bench_measure(b, "word table", NULL, step_table, &t);
    seconds[2] = bench_measure(b, "list of words", NULL, step_list, &t);
    seconds[3] = bench_measure(b, "ids, given the table", step_table, step_encode, &t); // which it uses up
    bench_receive(b, &found, t.table.found, sizeof found);
    if (found.full != 0 || found.pieces > t.pieces.capacity || found.ids > t.encoder.ids_most) {
        printf("this text does not fit: %u pieces, %u words\n", found.pieces, found.words);
        exit(1);
    }
    double counting = seconds[0] + seconds[1] + seconds[2], encoding = seconds[0] + seconds[1] + seconds[3];
    printf("%-34s %9.3f ms %9.1f GB/s\n", "count_words", 1e3 * counting, 1e-9 * (double)b->bytes / counting);
    printf("%-34s %9.3f ms %9.1f GB/s %9.2f G tokens/s\n", "encode", 1e3 * encoding,
           1e-9 * (double)b->bytes / encoding, 1e-9 * found.ids / encoding);
    printf("  %u pieces of %.2f bytes, one of %.0f bytes a new word, %u of them above 64 bytes, %u tokens of "
           "%.2f bytes\n",
           found.pieces, (double)b->bytes / found.pieces, (double)b->bytes / found.words, found.longs,
           found.ids, (double)b->bytes / found.ids);
    mill_tokenizer_close(tokenizer);
}
