// test_fs.c: file operations, the same cases on the real file system and on the simulated one; then faults, kills and power cuts.
#include "core/fs.h"
#include "core/hash.h"
#include "simfs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OK(call)                                                                                   \
    do {                                                                                           \
        mill_error ok_error = {0};                                                                 \
        mill_error *why = &ok_error;                                                               \
        cr_assert_eq((call), MILL_OK, "%s: %s", #call, ok_error.message);                          \
    } while (0)

static char real_path[64];

static int open_real(void)
{
    strcpy(real_path, "mill_fs_XXXXXX");
    cr_assert_not_null(mkdtemp(real_path));
    int dir;
    OK(mill_fs_open(mill_fs_posix(), MILL_FS_CWD, real_path, MILL_OPEN_DIRECTORY, &dir, why));
    return dir;
}

static void close_real(int dir)
{
    OK(mill_fs_close(mill_fs_posix(), dir, real_path, why));
    OK(mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, real_path, why));
    cr_assert(!mill_fs_exists(mill_fs_posix(), MILL_FS_CWD, real_path));
}

// Runs a case on a real directory and on simulated ones: plain, and with short and interrupted calls.
static void everywhere(void (*test)(const mill_fs *fs, int dir))
{
    int dir = open_real();
    test(mill_fs_posix(), dir);
    close_real(dir);
    for (uint64_t seed = 0; seed < 20; seed++) {
        simfs *sim = simfs_create();
        simfs_faults faults = {.seed = seed, .short_permille = 500, .interrupt_permille = 300};
        if (seed != 0)
            simfs_set_faults(sim, &faults);
        test(simfs_fs(sim), MILL_FS_CWD);
        cr_assert_eq(simfs_open_handles(sim), 0, "seed %llu leaves a handle open", (unsigned long long)seed);
        simfs_destroy(sim);
    }
}

static void write_file(const mill_fs *fs, int dir, const char *path, const void *data, size_t bytes)
{
    mill_outfile out;
    char hex[65];
    OK(mill_outfile_open(&out, fs, dir, path, why));
    OK(mill_outfile_write(&out, data, bytes, why));
    OK(mill_outfile_finish(&out, true, hex, why));
}

static void expect_file(const mill_fs *fs, int dir, const char *path, const void *data, size_t bytes)
{
    mill_buf buf = {0};
    OK(mill_buf_append_text(&buf, "before", why));
    OK(mill_fs_read_file(fs, dir, path, MILL_OPEN_READ_OWN, 1 << 30, &buf, why));
    cr_assert_eq(buf.bytes, 6 + bytes);
    cr_assert_eq(memcmp(buf.data, "before", 6), 0);
    cr_assert(bytes == 0 || memcmp(buf.data + 6, data, bytes) == 0);
    mill_buf_free(&buf);
}

static void outfile_case(const mill_fs *fs, int dir)
{
    enum { BYTES = 1000000 };
    uint8_t *data = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * i >> 7);
    static const size_t steps[] = {1, 7, 4096, 262143, 262144, 262145, BYTES};
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        mill_outfile out;
        OK(mill_outfile_open(&out, fs, dir, "f", why));
        size_t total = steps[s] < 100 ? 5000 : BYTES;
        for (size_t at = 0; at < total; at += steps[s])
            OK(mill_outfile_write(&out, data + at, at + steps[s] < total ? steps[s] : total - at, why));
        cr_assert_eq(out.bytes, total);
        char hex[65], wanted[65];
        OK(mill_outfile_finish(&out, s % 2 == 0, hex, why));
        mill_outfile_abort(&out); // harmless
        void *sha = mill_sha256_create();
        uint8_t digest[32];
        mill_sha256_update(sha, data, total);
        mill_sha256_finish(sha, digest);
        mill_hex(digest, 32, wanted);
        cr_assert_str_eq(hex, wanted);
        expect_file(fs, dir, "f", data, total);
        OK(mill_fs_unlink(fs, dir, "f", why));
    }
    free(data);
}

Test(fs, an_outfile_holds_what_was_written_in_any_steps_and_its_digest)
{
    everywhere(outfile_case);
}

static uint64_t sent_until, sent_step_max;

static void watched_send(void *self, int file, uint64_t offset, uint64_t bytes)
{
    cr_assert_eq(offset, sent_until, "a gap or an overlap");
    sent_until += bytes;
    sent_step_max = bytes > sent_step_max ? bytes : sent_step_max;
    mill_fs_posix()->ops->send(self, file, offset, bytes);
}

Test(fs, an_outfile_is_on_its_way_to_the_disk_before_it_is_synced)
{
    enum { TOTAL = 40 << 20, STEP = 700001, SENT_MAX = 8 << 20 };
    mill_fs_ops ops = *mill_fs_posix()->ops;
    const mill_fs fs = {&ops, mill_fs_posix()->self, false};
    mill_outfile out;
    char hex[65];
    ops.send = watched_send;
    uint8_t *data = calloc(1, STEP);
    cr_assert_not_null(data);
    int dir = open_real();
    OK(mill_outfile_open(&out, &fs, dir, "f", why));
    for (uint64_t at = 0; at < TOTAL; at += STEP)
        OK(mill_outfile_write(&out, data, STEP, why));
    cr_assert(sent_until != 0 && out.bytes - sent_until < SENT_MAX && sent_step_max < SENT_MAX);
    OK(mill_outfile_digest(&out, hex, why));
    cr_assert_eq(sent_until, out.bytes);
    OK(mill_outfile_close(&out, true, why));
    free(data);
    close_real(dir);
}

static void names_case(const mill_fs *fs, int dir)
{
    char **names;
    size_t count;
    OK(mill_fs_list(fs, dir, "absent", &names, &count, why));
    cr_assert_eq(count, 0);
    mill_fs_names_free(names, count);
    OK(mill_fs_mkdir(fs, dir, "d", why));
    OK(mill_fs_mkdir(fs, dir, "d", why));
    OK(mill_fs_mkdir(fs, dir, "d/e", why));
    static const char *const made[] = {"d/b", "d/a", "d/B", "d/a.b", "d/\xc3\xa9"};
    static const char *const sorted[] = {"B", "a", "a.b", "b", "e", "\xc3\xa9"};
    for (int i = 0; i < 5; i++)
        write_file(fs, dir, made[i], "x", 1);
    for (int round = 0; round < 2; round++) { // listing does not use up the directory
        OK(mill_fs_list(fs, dir, "d", &names, &count, why));
        cr_assert_eq(count, 6);
        for (int i = 0; i < 6; i++)
            cr_assert_str_eq(names[i], sorted[i]);
        mill_fs_names_free(names, count);
    }
    cr_assert(mill_fs_exists(fs, dir, "d/a") && !mill_fs_exists(fs, dir, "d/z"));
    OK(mill_fs_rename(fs, dir, "d/a", "d/b", why));
    cr_assert(!mill_fs_exists(fs, dir, "d/a"));
    OK(mill_fs_unlink(fs, dir, "d/a", why));
    OK(mill_fs_unlink(fs, dir, "d/b", why));
    OK(mill_fs_remove_tree(fs, dir, "d", why));
    OK(mill_fs_remove_tree(fs, dir, "d", why));
    cr_assert(!mill_fs_exists(fs, dir, "d"));
}

Test(fs, names_are_listed_in_bytewise_order_and_absent_things_are_fine_to_remove)
{
    everywhere(names_case);
}

static void refusal_case(const mill_fs *fs, int dir)
{
    mill_error err;
    mill_outfile out;
    mill_buf buf = {0};
    int file;
    write_file(fs, dir, "f", "0123456789", 10);
    cr_assert_eq(mill_outfile_open(&out, fs, dir, "f", &err), MILL_IO, "an existing file was opened for writing");
    cr_assert_eq(err.sys_errno, EEXIST);
    cr_assert_eq(mill_fs_open(fs, dir, "absent", MILL_OPEN_READ, &file, &err), MILL_IO);
    cr_assert_eq(err.sys_errno, ENOENT);
    cr_assert_eq(file, -1);
    cr_assert_eq(mill_fs_read_file(fs, dir, "f", MILL_OPEN_READ, 9, &buf, &err), MILL_INPUT);
    cr_assert_eq(buf.bytes, 0);
    OK(mill_fs_read_file(fs, dir, "f", MILL_OPEN_READ, 10, &buf, why));
    cr_assert_eq(buf.bytes, 10);
    mill_buf_free(&buf);
    cr_assert_eq(mill_fs_mkdir(fs, dir, "f", &err), MILL_IO, "a file passed for a directory");
    OK(mill_fs_mkdir(fs, dir, "d", why));
    cr_assert_eq(mill_fs_read_file(fs, dir, "d", MILL_OPEN_READ, 9, &buf, &err), MILL_IO);
    cr_assert_eq(mill_fs_unlink(fs, dir, "d", &err), MILL_IO);
    OK(mill_fs_open(fs, dir, "f", MILL_OPEN_READ, &file, why));
    char data[20];
    OK(mill_fs_pread_all(fs, file, "f", data, 4, 6, why));
    cr_assert_arr_eq(data, "6789", 4);
    cr_assert_eq(mill_fs_pread_all(fs, file, "f", data, 5, 6, &err), MILL_IO, "a short file was read in full");
    size_t got;
    OK(mill_fs_read(fs, file, "f", data, sizeof data, &got, why));
    cr_assert_eq(got, 10);
    OK(mill_fs_close(fs, file, "f", why));
    OK(mill_fs_remove_tree(fs, dir, "f", why));
    OK(mill_fs_remove_tree(fs, dir, "d", why));
    mill_buf_free(&buf);
}

Test(fs, what_must_not_work_fails_with_its_reason)
{
    everywhere(refusal_case);
}

static void journal_case(const mill_fs *fs, int dir)
{
    for (int round = 0; round < 3; round++) {
        int file, other, value;
        OK(mill_fs_open(fs, dir, "j", MILL_OPEN_APPEND, &file, why));
        OK(mill_fs_write_all(fs, file, "j", "line\n", 5, why));
        OK(mill_fs_sync(fs, file, "j", why));
        cr_assert_eq(fs->ops->lock(fs->self, file), 0);
        OK(mill_fs_open(fs, dir, "j", MILL_OPEN_APPEND, &other, why));
        cr_assert_eq(fs->ops->lock(fs->self, other), -EAGAIN, "two owners of one lock");
        OK(mill_fs_close(fs, other, "j", why));
        const void *map;
        cr_assert_eq(fs->ops->map(fs->self, file, 5, &map), 0);
        cr_assert_eq(memcmp(map, "line\n", 5), 0);
        fs->ops->unmap(fs->self, map, 5);
        do
            value = fs->ops->truncate(fs->self, file, 5 * (uint64_t)round + 4);
        while (value == -EINTR);
        cr_assert_eq(value, 0);
        OK(mill_fs_write_all(fs, file, "j", "\n", 1, why));
        OK(mill_fs_close(fs, file, "j", why));
    }
    expect_file(fs, dir, "j", "line\nline\nline\n", 15);
}

Test(fs, p11_a_journal_appends_truncates_and_has_one_owner)
{
    everywhere(journal_case);
}

static void deep_case(const mill_fs *fs, int dir)
{
    char path[4 * 80] = "t";
    OK(mill_fs_mkdir(fs, dir, path, why));
    for (int i = 0; i < 60; i++) {
        strcat(path, "/d");
        OK(mill_fs_mkdir(fs, dir, path, why));
    }
    strcat(path, "/f");
    write_file(fs, dir, path, "x", 1);
    write_file(fs, dir, "t/g", "x", 1);
    OK(mill_fs_remove_tree(fs, dir, "t", why));
    cr_assert(!mill_fs_exists(fs, dir, "t"));
    strcpy(path, "t");
    OK(mill_fs_mkdir(fs, dir, path, why));
    for (int i = 0; i < 70; i++) {
        strcat(path, "/d");
        OK(mill_fs_mkdir(fs, dir, path, why));
    }
    cr_assert_eq(mill_fs_remove_tree(fs, dir, "t", NULL), MILL_IO, "a tree deeper than the limit");
    for (int i = 0; i < 10; i++)
        path[strlen(path) - 2] = '\0';
    OK(mill_fs_remove_tree(fs, dir, path, why));
    OK(mill_fs_remove_tree(fs, dir, "t", why));
}

Test(fs, p09_trees_are_removed_to_a_bounded_depth)
{
    everywhere(deep_case);
}

Test(fs, p09_links_are_never_followed_below_an_output_directory)
{
    const mill_fs *fs = mill_fs_posix();
    int dir = open_real(), file;
    mill_error err;
    mill_outfile out;
    OK(mill_fs_mkdir(fs, dir, "victim", why));
    write_file(fs, dir, "victim/f", "x", 1);
    OK(mill_fs_mkdir(fs, dir, "t", why));
    cr_assert_eq(symlinkat("../victim", dir, "t/link"), 0);
    cr_assert_eq(symlinkat("victim/f", dir, "file"), 0);
    cr_assert_eq(symlinkat("nowhere", dir, "dangling"), 0);
    cr_assert_eq(mill_fs_open(fs, dir, "file", MILL_OPEN_READ_OWN, &file, &err), MILL_IO);
    cr_assert_eq(mill_fs_open(fs, dir, "file", MILL_OPEN_APPEND, &file, &err), MILL_IO);
    cr_assert_eq(mill_fs_open(fs, dir, "t/link", MILL_OPEN_DIRECTORY_OWN, &file, &err), MILL_IO);
    cr_assert_eq(mill_outfile_open(&out, fs, dir, "dangling", &err), MILL_IO);
    cr_assert(mill_fs_exists(fs, dir, "dangling") && !mill_fs_exists(fs, dir, "nowhere"));
    OK(mill_fs_open(fs, dir, "file", MILL_OPEN_READ, &file, why)); // inputs may be links
    OK(mill_fs_close(fs, file, "file", why));
    OK(mill_fs_remove_tree(fs, dir, "t", why));
    OK(mill_fs_remove_tree(fs, dir, "file", why));
    cr_assert(!mill_fs_exists(fs, dir, "t") && !mill_fs_exists(fs, dir, "file"));
    cr_assert(mill_fs_exists(fs, dir, "victim/f"), "the removal went through a link");
    close_real(dir);
}

Test(fs, p06_a_full_device_is_named)
{
    int file;
    mill_error err = {0};
    const mill_fs *fs = mill_fs_posix();
    file = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        cr_skip_test("no /dev/full");
    cr_assert_eq(mill_fs_write_all(fs, file, "shards/1", "x", 1, &err), MILL_NOSPC);
    cr_assert_not_null(strstr(err.message, "shards/1: cannot write: No space left"));
    OK(mill_fs_close(fs, file, "f", why));
}

// Replaces file "f" of directory "d" by the commit protocol. Its result tells whether the new content is promised to last.
static mill_status commit(const mill_fs *fs, const char *text, mill_error *err)
{
    mill_outfile out;
    char hex[65];
    mill_status status;
    int dir = -1;
    MILL_TRY(mill_fs_remove_tree(fs, MILL_FS_CWD, "d/tmp", err));
    MILL_TRY(mill_outfile_open(&out, fs, MILL_FS_CWD, "d/tmp", err));
    MILL_TRY_GOTO(mill_outfile_write(&out, text, strlen(text), err));
    MILL_TRY_GOTO(mill_outfile_finish(&out, true, hex, err));
    MILL_TRY_GOTO(mill_fs_open(fs, MILL_FS_CWD, "d", MILL_OPEN_DIRECTORY, &dir, err));
    MILL_TRY_GOTO(mill_fs_rename(fs, dir, "tmp", "f", err));
    MILL_TRY_GOTO(mill_fs_sync(fs, dir, "d", err));
cleanup:
    mill_outfile_abort(&out);
    if (dir >= 0)
        fs->ops->close(fs->self, dir);
    return status;
}

static bool holds(simfs *sim, const char *text)
{
    const uint8_t *data;
    size_t bytes;
    return simfs_get(sim, "d/f", &data, &bytes) && bytes == strlen(text) && memcmp(data, text, bytes) == 0;
}

Test(fs, p05_every_failing_call_of_a_commit_is_reported)
{
    uint64_t calls = 0;
    for (uint64_t n = 0; n <= calls; n++) {
        simfs *sim = simfs_create();
        simfs_put(sim, "d/f", "old", 3);
        simfs_faults faults = {.fail_call = n, .fail_errno = EIO};
        simfs_set_faults(sim, &faults);
        mill_error err = {0};
        mill_status status = commit(simfs_fs(sim), "new", &err);
        if (n == 0)
            calls = simfs_calls(sim);
        // The last call closes the directory handle, which has nothing to lose.
        bool harmless = n == 0 || n == calls;
        cr_assert_eq(status, harmless ? MILL_OK : MILL_IO, "call %llu", (unsigned long long)n);
        cr_assert(harmless || err.sys_errno == EIO);
        cr_assert_eq(simfs_open_handles(sim), 0);
        cr_assert(holds(sim, "old") || holds(sim, "new"));
        simfs_destroy(sim);
    }
    cr_assert(calls > 8);
}

Test(fs, p01_p02_a_commit_is_whole_or_absent_after_kills_and_power_cuts)
{
    int old_seen = 0, new_seen = 0;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        simfs *sim = simfs_create();
        simfs_put(sim, "d/f", "old", 3);
        simfs_faults faults = {.seed = seed, .kill_call = 1 + seed % 14, .short_permille = 300};
        simfs_set_faults(sim, &faults);
        bool promised = commit(simfs_fs(sim), "the new text", NULL) == MILL_OK;
        if (seed % 3 == 0)
            simfs_restart(sim);
        else
            simfs_power_cut(sim, seed);
        cr_assert(holds(sim, "old") || holds(sim, "the new text"), "seed %llu", (unsigned long long)seed);
        cr_assert(!promised || holds(sim, "the new text"), "seed %llu lost a promise", (unsigned long long)seed);
        old_seen += holds(sim, "old");
        new_seen += holds(sim, "the new text");
        simfs_destroy(sim);
    }
    cr_assert(old_seen > 100 && new_seen > 100);
}

// The simulation must be able to show the faults it is there for.
Test(fs, the_simulation_loses_what_was_not_synced)
{
    int lost = 0, cut = 0, whole = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        simfs *sim = simfs_create();
        simfs_put(sim, "d/x", "x", 1);
        mill_outfile out;
        char hex[65];
        OK(mill_outfile_open(&out, simfs_fs(sim), MILL_FS_CWD, "d/f", why));
        OK(mill_outfile_write(&out, "0123456789", 10, why));
        OK(mill_outfile_finish(&out, false, hex, why));
        simfs_power_cut(sim, seed);
        const uint8_t *data;
        size_t bytes;
        if (!simfs_get(sim, "d/f", &data, &bytes))
            lost++;
        else if (bytes == 10 && memcmp(data, "0123456789", 10) == 0)
            whole++;
        else
            cut++;
        cr_assert(simfs_get(sim, "d/x", &data, &bytes));
        simfs_destroy(sim);
    }
    cr_assert(lost > 20 && cut > 20 && whole > 5, "lost %d cut %d whole %d", lost, cut, whole);
}

Test(fs, the_simulation_forgets_data_of_a_failed_sync_even_if_the_next_one_succeeds)
{
    simfs *sim = simfs_create();
    simfs_put(sim, "f", "old", 3);
    const mill_fs *fs = simfs_fs(sim);
    int file;
    OK(mill_fs_open(fs, MILL_FS_CWD, "f", MILL_OPEN_APPEND, &file, why));
    OK(mill_fs_write_all(fs, file, "f", "new", 3, why));
    simfs_faults faults = {.fail_call = 1, .fail_errno = EIO};
    simfs_set_faults(sim, &faults);
    cr_assert_eq(mill_fs_sync(fs, file, "f", NULL), MILL_IO);
    OK(mill_fs_sync(fs, file, "f", why));
    int lost = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        simfs *after = simfs_copy(sim);
        simfs_power_cut(after, seed);
        const uint8_t *data;
        size_t bytes;
        cr_assert(simfs_get(after, "f", &data, &bytes));
        lost += bytes == 3;
        simfs_destroy(after);
    }
    cr_assert(lost > 0);
    simfs_destroy(sim);
}

Test(fs, the_simulation_counts_space_and_copies_are_independent)
{
    simfs *sim = simfs_create();
    simfs_put(sim, "a/b", "12345", 5);
    simfs *copy = simfs_copy(sim);
    char *before = simfs_dump(sim, NULL);
    simfs_faults faults = {.space_bytes = 100};
    simfs_set_faults(copy, &faults);
    char data[200] = {0};
    mill_outfile out;
    char hex[65];
    OK(mill_outfile_open(&out, simfs_fs(copy), MILL_FS_CWD, "a/c", why));
    OK(mill_outfile_write(&out, data, sizeof data, why));
    mill_error err;
    cr_assert_eq(mill_outfile_finish(&out, true, hex, &err), MILL_NOSPC);
    OK(mill_fs_remove_tree(simfs_fs(copy), MILL_FS_CWD, "a", why));
    write_file(simfs_fs(copy), MILL_FS_CWD, "c", data, 90);
    char *after = simfs_dump(sim, NULL), *changed = simfs_dump(copy, NULL);
    cr_assert_str_eq(before, after);
    cr_assert_neq(strcmp(before, changed), 0);
    cr_assert_eq(strncmp(before, "a/\na/b 5 ", 9), 0);
    free(before);
    free(after);
    free(changed);
    simfs_destroy(copy);
    simfs_destroy(sim);
}
