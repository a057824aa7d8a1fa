// test_read_ahead.c: blocks through the thread that reads ahead are those that are read without it, an input that cannot be read is
// an error behind the good blocks, however often one asks, and the reading can end at any block. A plain program, so that it also
// runs under the thread sanitizer.
#include "pipeline/read_ahead.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plain_check.h"

enum { INPUTS = 3, LINES = 900, BLOCK_BYTES = 16 << 10, BLOCKS_MAX = 64, NEVER = -1 };

static mill_error err;
static mill_fs_ops ops;
static const mill_fs fs = {&ops, NULL, false};
static _Atomic int64_t reads_left; // until reading fails

static int64_t failing_read(void *self, int file, void *data, size_t bytes)
{
    if (reads_left != NEVER && reads_left-- == 0) {
        reads_left = 0;
        return -EIO;
    }
    return mill_fs_posix()->ops->read(self, file, data, bytes);
}

static void write_inputs(char paths[INPUTS][64])
{
    for (int i = 0; i < INPUTS; i++) {
        snprintf(paths[i], sizeof paths[i], "/tmp/mill-ahead-%ld-%d.jsonl", (long)getpid(), i);
        FILE *file = fopen(paths[i], "w");
        CHECK(file != NULL);
        for (int k = 0; k < LINES; k++)
            fprintf(file, "{\"content\":\"%0*d\",\"path\":\"%d/%d\"}\n", 20 + k % 400, k, i, k);
        CHECK(fclose(file) == 0);
    }
}

static void open_run(mill_run_state *run, char paths[INPUTS][64])
{
    const mill_source_options options = {.format = "jsonl", .record_bytes_max = 1 << 20, .block_bytes = BLOCK_BYTES};
    const char *arguments[INPUTS];
    for (int i = 0; i < INPUTS; i++)
        arguments[i] = paths[i];
    memset(run, 0, sizeof *run);
    run->fs = &fs;
    run->threads = 2;
    CHECK(mill_language_table_create(&run->languages, &err) == MILL_OK);
    CHECK(mill_source_open(&fs, arguments, INPUTS, &options, run->languages, &run->source, &err) == MILL_OK);
    run->input_count = INPUTS;
}

static void close_run(mill_run_state *run)
{
    mill_source_close(run->source);
    mill_language_table_destroy(run->languages);
}

// All blocks of the inputs, one after the other, by `next`; the number of blocks, -1 - number where an error ends them.
static int take_all(mill_run_state *run, bool ahead, mill_buf *text)
{
    mill_block block = {0};
    bool end = false;
    int blocks = 0;
    mill_status status = MILL_OK;
    for (;;) {
        status = ahead ? mill_read_ahead_next(run->read_ahead, &block, &end, &err) : mill_read_block(run, &block, &end, &err);
        if (status != MILL_OK || end)
            break;
        CHECK(block.unit == (uint64_t)blocks++ && blocks < BLOCKS_MAX);
        const unsigned long long records = run->records_read;
        CHECK(mill_buf_printf(text, &err, "%zu pieces, %llu records so far\n", block.piece_count, records) == MILL_OK);
        CHECK(mill_buf_append(text, block.bytes.data, block.bytes.bytes, &err) == MILL_OK);
    }
    for (int again = 0; ahead && again < 2; again++) { // whoever asks next is told the same
        mill_error other = {0};
        CHECK(mill_read_ahead_next(run->read_ahead, &block, &end, &other) == status);
        CHECK(status == MILL_OK ? end : strcmp(other.message, err.message) == 0 && other.sys_errno == EIO);
    }
    CHECK(status == MILL_OK || (status == MILL_IO && err.sys_errno == EIO));
    mill_block_free(&block);
    return status == MILL_OK ? blocks : -1 - blocks;
}

static int read_inputs(char paths[INPUTS][64], bool ahead, int64_t reads, mill_buf *text)
{
    mill_run_state run;
    open_run(&run, paths);
    reads_left = reads;
    if (ahead)
        CHECK((run.read_ahead = mill_read_ahead_open(&run)) != NULL);
    const int blocks = take_all(&run, ahead, text);
    mill_read_ahead_close(run.read_ahead);
    reads_left = NEVER;
    close_run(&run);
    return blocks;
}

static void the_same_blocks(char paths[INPUTS][64])
{
    int failed = 0;
    for (int64_t reads = NEVER; reads < 40; reads++) {
        mill_buf plain = {0}, ahead = {0};
        const int wanted = read_inputs(paths, false, reads, &plain), blocks = read_inputs(paths, true, reads, &ahead);
        CHECK(blocks == wanted && (reads != NEVER || blocks > 10));
        CHECK(plain.bytes == ahead.bytes && (plain.bytes == 0 || memcmp(plain.data, ahead.data, plain.bytes) == 0));
        failed += wanted < 0;
        mill_buf_free(&plain);
        mill_buf_free(&ahead);
    }
    CHECK(failed > 3);
    printf("the same blocks, and the same error behind them in %d cases\n", failed);
}

// Closed while blocks wait, or one is being read.
static void ends_anywhere(char paths[INPUTS][64])
{
    for (int taken = 0; taken < 12; taken++) {
        mill_run_state run;
        mill_block block = {0};
        bool end;
        open_run(&run, paths);
        CHECK((run.read_ahead = mill_read_ahead_open(&run)) != NULL);
        for (int i = 0; i < taken; i++)
            CHECK(mill_read_ahead_next(run.read_ahead, &block, &end, &err) == MILL_OK && !end);
        mill_read_ahead_close(run.read_ahead);
        mill_block_free(&block);
        close_run(&run);
    }
    puts("the reading ends at any block");
}

int main(void)
{
    char paths[INPUTS][64];
    ops = *mill_fs_posix()->ops;
    ops.read = failing_read;
    reads_left = NEVER;
    write_inputs(paths);
    the_same_blocks(paths);
    ends_anywhere(paths);
    for (int i = 0; i < INPUTS; i++)
        CHECK(unlink(paths[i]) == 0);
    return 0;
}
