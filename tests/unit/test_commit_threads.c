// test_commit_threads.c: the thread that makes units durable, and the end of a run, which publishes what is left, on a disk that
// takes its time: each file is made durable once; and files that are spent: they go, and what of them is missed. A plain program,
// so that it also runs under the thread sanitizer.
#include "pipeline/workdir.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plain_check.h"

enum { UNITS = 12, SYNC_US = 40000, GIVEN_UP = 100, GROUP_US = 2000000 }; // a group begins so long after its first unit came

static _Atomic uint32_t renames, syncs;
static mill_fs_ops ops;
static mill_error err;

static int slow_sync(void *self, int file)
{
    syncs++;
    usleep(SYNC_US);
    return mill_fs_posix()->ops->sync(self, file);
}

static int counted_rename(void *self, int from_dir, const char *from, int to_dir, const char *to)
{
    renames += strncmp(to, "shards/", 7) == 0;
    return mill_fs_posix()->ops->rename(self, from_dir, from, to_dir, to);
}

static void hand_over(mill_workdir *dir, uint64_t number, bool product)
{
    mill_unit unit;
    mill_buf content = {0};
    char path[64];
    snprintf(path, sizeof path, product ? "shards/%llu" : ".shardmill/stage/%llu", (unsigned long long)number);
    mill_unit_init(&unit, product ? "write" : "read", number);
    CHECK(mill_buf_append_text(&content, path, &err) == MILL_OK);
    CHECK(mill_unit_add(dir, &unit, path, &content, &err) == MILL_OK);
    CHECK(mill_unit_commit(dir, &unit, &err) == MILL_OK);
}

// A run that ends just before its last group is due, which comes to be due while that is published.
static void published_once(const char *path)
{
    const mill_fs fs = {&ops, mill_fs_posix()->self, false};
    const mill_workdir_options options = {.path = path, .held_bytes = 1 << 20};
    mill_workdir *dir;
    mill_buf sums = {0}, manifest = {0};
    ops = *mill_fs_posix()->ops;
    ops.sync = slow_sync;
    ops.rename = counted_rename;
    CHECK(mill_workdir_open(&fs, &options, &dir, &err) == MILL_OK);
    for (uint64_t i = 0; i < UNITS; i++)
        hand_over(dir, i, i % 2 == 0);
    usleep(GROUP_US - 4 * SYNC_US);
    const uint32_t before = syncs;
    CHECK(mill_buf_append_text(&sums, "sums", &err) == MILL_OK && mill_buf_append_text(&manifest, "{}", &err) == MILL_OK);
    CHECK(mill_workdir_seal(dir, &sums, &manifest, &err) == MILL_OK);
    CHECK(syncs - before > UNITS / 2); // it was this that took long
    CHECK(renames == UNITS / 2);
    for (uint64_t i = 0; i < UNITS; i += 2) {
        char name[64];
        mill_buf content = {0};
        snprintf(name, sizeof name, "shards/%llu", (unsigned long long)i);
        CHECK(mill_fs_read_file(&fs, mill_workdir_handle(dir), name, MILL_OPEN_READ_OWN, 1000, &content, &err) == MILL_OK);
        CHECK(content.bytes == strlen(name) && memcmp(content.data, name, content.bytes) == 0);
        mill_buf_free(&content);
    }
    mill_buf_free(&sums);
    mill_buf_free(&manifest);
    mill_workdir_close(dir);
    CHECK(mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, path, &err) == MILL_OK);
}

// A run that ends in the middle of a group of state: what is left of it need not reach the disk any more.
static void given_up(const char *path)
{
    const mill_fs fs = {&ops, mill_fs_posix()->self, false};
    const mill_workdir_options options = {.path = path, .held_bytes = 1 << 20};
    mill_workdir *dir;
    mill_buf sums = {0}, manifest = {0}, content = {0};
    mill_unit stream;
    mill_unit_file *file;
    ops = *mill_fs_posix()->ops;
    ops.sync = slow_sync;
    ops.rename = counted_rename;
    renames = 0;
    CHECK(mill_workdir_open(&fs, &options, &dir, &err) == MILL_OK);
    mill_unit_init(&stream, "write", 1000); // a product that the group has closed already, and one that it has written
    CHECK(mill_unit_create(dir, &stream, "shards/stream", &file, &err) == MILL_OK);
    CHECK(mill_outfile_write(&file->out, "stream", 6, &err) == MILL_OK);
    CHECK(mill_unit_commit(dir, &stream, &err) == MILL_OK);
    hand_over(dir, 0, true);
    for (uint64_t i = 1; i < GIVEN_UP; i++)
        hand_over(dir, i, false);
    hand_over(dir, GIVEN_UP, true);
    const uint32_t before = syncs;
    while (syncs < before + 4) // both products and a state file are synced, the next one is about to be
        usleep(1000);
    CHECK(mill_buf_append_text(&sums, "sums", &err) == MILL_OK && mill_buf_append_text(&manifest, "{}", &err) == MILL_OK);
    CHECK(mill_workdir_seal(dir, &sums, &manifest, &err) == MILL_OK);
    CHECK(syncs - before < GIVEN_UP && renames == 3);
    CHECK(mill_fs_read_file(&fs, mill_workdir_handle(dir), "shards/stream", MILL_OPEN_READ_OWN, 1000, &content, &err) == MILL_OK);
    CHECK(content.bytes == 6 && memcmp(content.data, "stream", 6) == 0);
    CHECK(mill_fs_exists(&fs, mill_workdir_handle(dir), "shards/0"));
    char last[64];
    snprintf(last, sizeof last, "shards/%d", GIVEN_UP);
    CHECK(mill_fs_exists(&fs, mill_workdir_handle(dir), last));
    CHECK(!mill_fs_exists(&fs, mill_workdir_handle(dir), ".shardmill/stage"));
    CHECK(!mill_fs_exists(&fs, mill_workdir_handle(dir), ".shardmill/tmp"));
    mill_buf_free(&sums);
    mill_buf_free(&manifest);
    mill_buf_free(&content);
    mill_workdir_close(dir);
    CHECK(mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, path, &err) == MILL_OK);
}

// ---- spent files ----

static const char *const text_paths[] = {".shardmill/stage/text/0", ".shardmill/stage/text/1"};

static mill_workdir *open_again(const char *path, bool keep_work)
{
    const mill_workdir_options options = {.path = path, .held_bytes = 1 << 20, .keep_work = keep_work};
    mill_workdir *dir;
    CHECK(mill_workdir_open(mill_fs_posix(), &options, &dir, &err) == MILL_OK);
    return dir;
}

static void add_unit(mill_workdir *dir, const char *stage, uint64_t number, const char *spends)
{
    mill_unit unit;
    mill_buf content = {0};
    char path[64];
    snprintf(path, sizeof path, ".shardmill/stage/%s/%llu", stage, (unsigned long long)number);
    mill_unit_init(&unit, stage, number);
    CHECK(mill_buf_append_text(&content, path, &err) == MILL_OK);
    CHECK(mill_unit_add(dir, &unit, path, &content, &err) == MILL_OK);
    if (spends != NULL)
        mill_unit_spend(&unit, spends);
    CHECK(mill_unit_commit(dir, &unit, &err) == MILL_OK);
}

static bool is_there(const mill_workdir *dir, const char *path)
{
    bool there;
    CHECK(mill_fs_find(mill_fs_posix(), mill_workdir_handle(dir), path, &there, &err) == MILL_OK);
    return there;
}

static void wait_until_gone(const mill_workdir *dir, const char *path)
{
    for (uint32_t i = 0; i < 20000 && is_there(dir, path); i++)
        usleep(1000);
    CHECK(!is_there(dir, path));
}

static void remove_by_hand(const mill_workdir *dir, const char *path)
{
    CHECK(is_there(dir, path) && mill_fs_unlink(mill_fs_posix(), mill_workdir_handle(dir), path, &err) == MILL_OK);
}

static bool journal_tells(const mill_workdir *dir, const char *text)
{
    mill_buf journal = {0};
    CHECK(mill_fs_read_file(mill_fs_posix(), mill_workdir_handle(dir), ".shardmill/journal/000001.log", MILL_OPEN_READ_OWN, 1 << 20,
                            &journal, &err) == MILL_OK);
    const bool told = memmem(journal.data, journal.bytes, text, strlen(text)) != NULL;
    mill_buf_free(&journal);
    return told;
}

// Two texts and the ids that are made of them, which spend them.
static void make_ids(const char *path, bool keep_work)
{
    mill_workdir *dir = open_again(path, keep_work);
    for (uint64_t i = 0; i < 2; i++)
        add_unit(dir, "text", i, NULL);
    CHECK(mill_workdir_flush(dir, &err) == MILL_OK);
    for (uint64_t i = 0; i < 2; i++)
        add_unit(dir, "ids", i, text_paths[i]);
    for (uint64_t i = 0; !keep_work && i < 2; i++)
        wait_until_gone(dir, text_paths[i]); // while the run goes on, but not before it could go on without them
    CHECK(keep_work || journal_tells(dir, "\"ids\""));
    CHECK(mill_workdir_flush(dir, &err) == MILL_OK);
    CHECK(is_there(dir, text_paths[0]) == keep_work && is_there(dir, text_paths[1]) == keep_work);
    mill_workdir_close(dir);
}

static void spent(const char *path)
{
    make_ids(path, true);
    CHECK(mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, path, &err) == MILL_OK);
    make_ids(path, false);

    mill_workdir *dir = open_again(path, false); // nothing is missed
    for (uint64_t i = 0; i < 2; i++)
        CHECK(mill_workdir_done(dir, "text", i) != NULL && mill_workdir_done(dir, "ids", i) != NULL);
    add_unit(dir, "text", 2, NULL);
    CHECK(mill_workdir_flush(dir, &err) == MILL_OK);
    remove_by_hand(dir, ".shardmill/stage/text/2");
    mill_workdir_close(dir);

    dir = open_again(path, false); // a text that no ids spent is missed, and needs no other
    CHECK(mill_workdir_done(dir, "text", 2) == NULL);
    CHECK(mill_workdir_done(dir, "text", 0) != NULL && mill_workdir_done(dir, "text", 1) != NULL);
    remove_by_hand(dir, ".shardmill/stage/ids/1");
    mill_workdir_close(dir);

    dir = open_again(path, false); // ids are missed, and so is what they might be made of
    CHECK(mill_workdir_done(dir, "ids", 1) == NULL && mill_workdir_done(dir, "ids", 0) != NULL);
    CHECK(mill_workdir_done(dir, "text", 0) == NULL && mill_workdir_done(dir, "text", 1) == NULL);
    add_unit(dir, "text", 1, NULL);
    add_unit(dir, "ids", 1, text_paths[1]);
    CHECK(mill_workdir_done(dir, "text", 1) != NULL && mill_workdir_done(dir, "ids", 1) != NULL);
    mill_workdir_close(dir);
    CHECK(mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, path, &err) == MILL_OK);
}

int main(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/mill-commit-%ld", (long)getpid());
    published_once(path);
    puts("units that are published while they are due: each once");
    given_up(path);
    puts("a group of state that the seal meets: given up, its products published once");
    spent(path);
    puts("spent files: removed beside the run, missed only where a unit of another stage must be made again");
    return 0;
}
