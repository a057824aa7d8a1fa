// test_container.c: every container gives back what was written into it, for vocabularies on both sides of each width, sequences
// of one length and of several, with borders and masks and without; and fails cleanly where memory does.
#include "core/rng.h"
#include "shard/container.h"
#include "simfs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 40, TOKENS = 700 };

typedef struct data {
    mill_container_options options;
    uint32_t *ids[SEQUENCES], lengths[SEQUENCES], rows[SEQUENCES], bounds[SEQUENCES][4];
    uint32_t *positions[SEQUENCES];
    uint8_t *masks[SEQUENCES];
    mill_extent extent;
} data;

static uint64_t draw(uint64_t seed, uint64_t below)
{
    return mill_draw_below(mill_draw(seed, MILL_DRAW_ORDER, (mill_key){seed, below}, 0), below);
}

static void make(data *d, uint32_t vocab_size, bool uniform, bool boundaries, bool positions, bool mask)
{
    memset(d, 0, sizeof *d);
    d->options = (mill_container_options){
        .shard = {.samples_per_shard = 10, .zstd_level = 1, .mds_size_limit = 1 << 20, .parquet_group_rows = 7,
                  .boundaries = boundaries, .positions = positions, .loss_mask = mask, .vocab_size = vocab_size},
        .workers = 2,
        .uniform = uniform ? 300 : 0};
    uint64_t seed = vocab_size;
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        uint32_t count = uniform ? 300 : (uint32_t)draw(++seed, TOKENS) + 4;
        d->ids[i] = malloc(count * sizeof(uint32_t));
        d->positions[i] = malloc(count * sizeof(uint32_t));
        d->masks[i] = malloc(count);
        for (uint32_t k = 0; k < count; k++) {
            d->ids[i][k] = k == 0 ? vocab_size - 1 : (uint32_t)draw(++seed, vocab_size);
            d->positions[i][k] = k == 2 ? INT32_MAX : k % 77;
            d->masks[i][k] = (uint8_t)(k / 3 % 2);
        }
        d->lengths[i] = count;
        d->rows[i] = 1 + i % 3;
        for (uint32_t k = 0; k <= d->rows[i]; k++)
            d->bounds[i][k] = k == d->rows[i] ? count : k;
        d->extent.tokens += count;
    }
    d->extent.count = SEQUENCES;
    d->extent.lengths = d->lengths;
    d->extent.rows = d->rows;
}

static void drop(data *d)
{
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        free(d->ids[i]);
        free(d->positions[i]);
        free(d->masks[i]);
    }
}

static mill_status write_shard(const mill_container *c, const data *d, simfs *sim, mill_error *err)
{
    mill_outfile out[MILL_CONTAINER_FILES_MAX] = {0}, *files[MILL_CONTAINER_FILES_MAX] = {NULL};
    void *writer = NULL;
    char sha256[65];
    size_t count = 0;
    cJSON *facts = cJSON_CreateObject();
    mill_status status = facts != NULL ? MILL_OK : mill_fail_nomem(err, "the test");
    for (; status == MILL_OK && count < mill_container_files(c, &d->options); count++) {
        char path[128];
        mill_container_path(c, &d->options, 3, count, path, sizeof path);
        simfs_put(sim, path, "", 0); // makes the directory
        (void)simfs_fs(sim)->ops->unlink(simfs_fs(sim)->self, MILL_FS_CWD, path);
        status = mill_outfile_open(&out[count], simfs_fs(sim), MILL_FS_CWD, path, err);
        files[count] = &out[count];
    }
    if (status == MILL_OK)
        status = c->open(&d->options, &d->extent, files, &writer, err);
    for (uint32_t i = 0; status == MILL_OK && i < SEQUENCES; i++) {
        const mill_sample sample = {.ids = d->ids[i], .count = d->lengths[i], .cu_seqlens = d->bounds[i], .row_count = d->rows[i],
                                    .positions = d->options.shard.positions ? d->positions[i] : NULL,
                                    .loss_mask = d->options.shard.loss_mask ? d->masks[i] : NULL, .number = i};
        status = c->add(writer, &sample, err);
    }
    if (status == MILL_OK)
        status = c->finish(writer, 3, facts, err);
    for (size_t i = 0; status == MILL_OK && i < count; i++)
        status = mill_outfile_finish(&out[i], true, sha256, err);
    c->close(writer);
    for (size_t i = 0; i < count; i++)
        mill_outfile_abort(&out[i]);
    cJSON_Delete(facts);
    return status;
}

// *bad: what was read is not what was written.
static mill_status read_shard(const mill_container *c, const data *d, simfs *sim, const char **bad, mill_error *err)
{
    void *reader = NULL;
    mill_read_sample sample = {0};
    char path[128];
    uint32_t sequence = 0, at = 0;
    bool end = false;
    *bad = NULL;
    mill_container_path(c, &d->options, 3, 0, path, sizeof path);
    mill_status status = mill_container_read(c, simfs_fs(sim), MILL_FS_CWD, "sim", path, &reader, err);
    while (status == MILL_OK && *bad == NULL) {
        status = c->read_next(reader, 100, &sample, &end, err);
        if (status != MILL_OK || end)
            break;
        for (size_t i = 0; i < sample.count && *bad == NULL; i++) {
            if (sequence == SEQUENCES || sample.ids[i] != d->ids[sequence][at])
                *bad = "an id";
            else if (sample.has_mask && sample.mask[i] != d->masks[sequence][at])
                *bad = "a mask";
            else if (sample.has_positions && sample.positions[i] != d->positions[sequence][at])
                *bad = "a position";
            else if (++at == d->lengths[sequence]) {
                if (sample.has_bounds && (sample.bound_count != d->rows[sequence] + 1u ||
                                          memcmp(sample.bounds, d->bounds[sequence], sample.bound_count * 4) != 0))
                    *bad = "cu_seqlens";
                if (!sample.stream && i + 1 != sample.count)
                    *bad = "a border";
                sequence++;
                at = 0;
            }
        }
        if (sample.has_bounds != (c->columns && d->options.shard.boundaries) ||
            sample.has_positions != (c->columns && d->options.shard.positions) ||
            sample.has_mask != (mill_container_keeps_mask(c) && d->options.shard.loss_mask) ||
            sample.stream == mill_container_keeps_borders(c, &d->options))
            *bad = "the columns";
    }
    if (status == MILL_OK && *bad == NULL && (sequence != SEQUENCES || !end))
        *bad = "the number of sequences";
    c->read_close(reader);
    mill_read_sample_free(&sample);
    return status;
}

static bool is_tested(const mill_container *c)
{
    return c->read_open != NULL && (c->check == NULL || c->check(NULL) == MILL_OK); // lines of JSON: test_shard
}

Test(container, gives_back_what_was_written)
{
    static const uint32_t vocabularies[] = {2, 65499, 65500, 65501, 65536, 65537, 1000000};
    for (size_t i = 0; i < mill_container_count; i++) {
        const mill_container *c = mill_containers[i];
        if (!is_tested(c))
            continue;
        for (size_t v = 0; v < sizeof vocabularies / sizeof vocabularies[0]; v++) {
            for (int form = 0; form < 16; form++) {
                data d;
                mill_error err = {0};
                const char *bad = NULL;
                simfs *sim = simfs_create();
                make(&d, vocabularies[v], (form & 1) != 0, (form & 2) != 0, (form & 8) != 0, (form & 4) != 0);
                d.options.shard.mds_zstd_level = form % 8 == 3 ? 3 : 0;
                d.options.shard.mds_form = form % 8 == 5 ? MILL_MDS_LLM_FOUNDRY : MILL_MDS_ARRAYS;
                cr_assert_eq(write_shard(c, &d, sim, &err), MILL_OK, "%s: %s", c->name, err.message);
                cr_assert_eq(read_shard(c, &d, sim, &bad, &err), MILL_OK, "%s: %s", c->name, err.message);
                cr_assert_null(bad, "%s, %u ids, form %d: %s differs", c->name, vocabularies[v], form, bad);
                cr_assert_eq(simfs_open_handles(sim), 0);
                simfs_destroy(sim);
                drop(&d);
            }
        }
    }
}

Test(container, an_id_beyond_the_vocabulary_is_named)
{
    for (size_t i = 0; i < mill_container_count; i++) {
        data d;
        mill_error err = {0};
        simfs *sim = simfs_create();
        make(&d, 500, false, true, false, false);
        d.ids[17][1] = 500;
        if (is_tested(mill_containers[i])) {
            cr_assert_eq(write_shard(mill_containers[i], &d, sim, &err), MILL_INTERNAL, "%s", mill_containers[i]->name);
            cr_assert(strstr(err.message, "sample 17") != NULL && strstr(err.message, "500") != NULL, "%s", err.message);
        }
        simfs_destroy(sim);
        drop(&d);
    }
}

Test(container, another_sequence_than_announced_is_refused)
{
    for (size_t i = 0; i < mill_container_count; i++) {
        data d;
        mill_error err = {0};
        simfs *sim = simfs_create();
        make(&d, 500, false, false, false, false);
        uint32_t lengths[SEQUENCES];
        memcpy(lengths, d.lengths, sizeof lengths);
        lengths[20]++;
        d.extent.lengths = lengths;
        if (is_tested(mill_containers[i]))
            cr_assert_eq(write_shard(mill_containers[i], &d, sim, &err), MILL_INTERNAL, "%s", mill_containers[i]->name);
        simfs_destroy(sim);
        drop(&d);
    }
}

Test(container, runs_out_of_memory_at_any_allocation)
{
    for (size_t i = 0; i < mill_container_count; i++) {
        const mill_container *c = mill_containers[i];
        if (!is_tested(c))
            continue;
        data d;
        make(&d, 70000, false, true, true, true);
        d.options.shard.mds_zstd_level = 1;
        bool done = false;
        for (uint64_t n = 0; !done; n += 1 + n / 16) {
            mill_error err = {0};
            const char *bad = NULL;
            simfs *sim = simfs_create();
            mill_alloc_fail_after(n);
            mill_status status = write_shard(c, &d, sim, &err);
            if (status == MILL_OK)
                status = read_shard(c, &d, sim, &bad, &err);
            mill_alloc_fail_after(UINT64_MAX);
            cr_assert(status == MILL_OK || status == MILL_NOMEM, "%s, allocation %llu: %d %s", c->name,
                      (unsigned long long)n, status, err.message);
            cr_assert_null(bad, "%s: %s", c->name, bad);
            cr_assert_eq(simfs_open_handles(sim), 0, "%s, allocation %llu", c->name, (unsigned long long)n);
            done = status == MILL_OK;
            simfs_destroy(sim);
        }
        drop(&d);
    }
}

Test(container, a_full_disk_is_told)
{
    for (size_t i = 0; i < mill_container_count; i++) {
        const mill_container *c = mill_containers[i];
        if (!is_tested(c))
            continue;
        data d;
        mill_error err = {0};
        simfs *sim = simfs_create();
        make(&d, 70000, false, true, true, true);
        const simfs_faults faults = {.space_bytes = 5000};
        simfs_set_faults(sim, &faults);
        mill_status status = write_shard(c, &d, sim, &err);
        cr_assert_eq(status, MILL_NOSPC, "%s: %d %s", c->name, status, err.message);
        simfs_destroy(sim);
        drop(&d);
    }
}

// A mask of another length than the ids, or of something else than 0 and 1.
Test(container, a_damaged_mask_of_datatrove_is_refused)
{
    static const struct {
        const char *bytes, *says;
        size_t count;
    } cases[] = {{"", "has 0 bytes, one for each", 0}, {"\1\0\1", "has 3 bytes", 3}, {NULL, "something else than 0 and 1", 0}};
    const mill_container *c = mill_containers[mill_container_find("datatrove", 9)];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data d;
        mill_error err = {0};
        const char *bad;
        char path[128];
        simfs *sim = simfs_create();
        make(&d, 70000, false, false, false, true);
        cr_assert_eq(write_shard(c, &d, sim, &err), MILL_OK, "%s", err.message);
        mill_container_path(c, &d.options, 3, 3, path, sizeof path);
        if (cases[i].bytes != NULL) {
            simfs_put(sim, path, cases[i].bytes, cases[i].count);
        } else {
            const uint8_t *mask;
            size_t bytes;
            cr_assert(simfs_get(sim, path, &mask, &bytes) && bytes == d.extent.tokens);
            uint8_t *changed = malloc(bytes);
            memcpy(changed, mask, bytes);
            changed[bytes - 1] = 2;
            simfs_put(sim, path, changed, bytes);
            free(changed);
        }
        cr_assert_eq(read_shard(c, &d, sim, &bad, &err), MILL_VERIFY, "case %zu", i);
        cr_assert(strstr(err.message, ".ds.loss") != NULL && strstr(err.message, cases[i].says) != NULL, "%s", err.message);
        cr_assert_eq(simfs_open_handles(sim), 0);
        simfs_destroy(sim);
        drop(&d);
    }
}

Test(container, names_of_files_lead_back)
{
    for (size_t i = 0; i < mill_container_count; i++) {
        for (int level = 0; level < 2; level++) {
            const mill_container_options options = {.shard.mds_zstd_level = level};
            char path[128];
            size_t file = 9;
            uint64_t number = 0;
            mill_container_path(mill_containers[i], &options, 1234567, 0, path, sizeof path);
            cr_assert_eq(mill_container_of(path, &file, &number), (int)i, "%s", path);
            cr_assert(file == 0 && number == 1234567, "%s", path);
        }
    }
    size_t file;
    uint64_t number;
    static const char *const others[] = {"shards/shard_1.jsonl", "shards/shard_00001", "shards/shard_00001.jsonl.zst.tmp",
                                         "docs/docs_00001.jsonl.zst", "shards-mds/index.json", "shards-npy/shard_00001.bin",
                                         "shards-mds/shard.00001.mds.zst"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_eq(mill_container_of(others[i], &file, &number), -1, "%s", others[i]);
}
