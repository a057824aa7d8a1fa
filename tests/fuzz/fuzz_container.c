// fuzz_container.c: shards of any bytes: every reader gives sequences whose borders and masks fit, or refuses with a reason. The
// first byte names the container, the second its options, two bytes each how long its first three files are.
#include "fuzz.h"
#include "shard/container.h"
#include "simfs.h"

#define TOKENS_MAX (1u << 22)
#define HEAD_BYTES 8

static void check_sample(const mill_read_sample *s)
{
    if (s->has_bounds) {
        FUZZ_CHECK(s->bound_count >= 1 && s->bounds[0] == 0 && s->bounds[s->bound_count - 1] == s->count);
        for (size_t i = 1; i < s->bound_count; i++)
            FUZZ_CHECK(s->bounds[i - 1] < s->bounds[i]);
    }
    for (size_t i = 0; s->has_mask && i < s->count; i++)
        FUZZ_CHECK(s->mask[i] <= 1);
    uint32_t sum = 0; // touches every id
    for (size_t i = 0; i < s->count; i++)
        sum += s->ids[i];
    FUZZ_CHECK(s->count != 0 || sum == 0);
}

static void read_all(const mill_container *c, simfs *sim, const char *path, uint32_t most)
{
    void *reader = NULL;
    mill_read_sample sample = {0};
    mill_error err = {0};
    bool end = false;
    uint64_t tokens = 0;
    mill_status status = mill_container_read(c, simfs_fs(sim), MILL_FS_CWD, "sim", path, &reader, &err);
    while (status == MILL_OK && !end && tokens < TOKENS_MAX) {
        status = c->read_next(reader, most, &sample, &end, &err);
        if (status == MILL_OK && !end)
            check_sample(&sample);
        tokens += sample.count + 1;
    }
    bool refused = status == MILL_VERIFY || status == MILL_IO || status == MILL_NOMEM;
    FUZZ_CHECK(status == MILL_OK || (refused && err.message[0] != '\0'));
    c->read_close(reader);
    mill_read_sample_free(&sample);
    FUZZ_CHECK(simfs_open_handles(sim) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < HEAD_BYTES)
        return 0;
    const mill_container *c = mill_containers[data[0] % mill_container_count];
    const mill_container_options options = {.shard = {.mds_zstd_level = data[1] & 1, .loss_mask = (data[1] & 2) != 0}};
    if (c->read_open == NULL || (c->check != NULL && c->check(NULL) != MILL_OK))
        return 0;
    size_t at = HEAD_BYTES;
    simfs *sim = simfs_create();
    FUZZ_CHECK(sim != NULL);
    char path[128];
    for (size_t i = 0; i < mill_container_files(c, &options); i++) {
        size_t here = bytes - at;
        if (i < 3 && (data[2 + 2 * i] | (size_t)data[3 + 2 * i] << 8) < here)
            here = data[2 + 2 * i] | (size_t)data[3 + 2 * i] << 8;
        mill_container_path(c, &options, 0, i, path, sizeof path);
        simfs_put(sim, path, data + at, here);
        at += here;
    }
    mill_container_path(c, &options, 0, 0, path, sizeof path);
    read_all(c, sim, path, 1 + data[1] * 7u);
    simfs_destroy(sim);
    return 0;
}

// A shard of three sequences of each container.
static bool write_seed(const mill_container *c, const mill_container_options *options, simfs *sim)
{
    static const uint32_t ids[] = {5, 299, 0, 7, 7, 1, 2, 3, 4, 5, 6, 9}, lengths[] = {4, 4, 4}, rows[] = {1, 2, 1};
    static const uint32_t bounds[][3] = {{0, 4}, {0, 1, 4}, {0, 4}};
    static const uint32_t positions[] = {0, 1, 0, 700};
    static const uint8_t mask[] = {0, 1, 1, 1};
    const mill_extent extent = {3, 12, lengths, rows};
    mill_outfile out[MILL_CONTAINER_FILES_MAX] = {0}, *files[MILL_CONTAINER_FILES_MAX] = {NULL};
    void *writer;
    char path[128], sha256[65];
    size_t count = 0;
    cJSON *facts = cJSON_CreateObject();
    for (; count < mill_container_files(c, options); count++) {
        mill_container_path(c, options, 0, count, path, sizeof path);
        simfs_put(sim, path, "", 0);
        FUZZ_CHECK(simfs_fs(sim)->ops->unlink(simfs_fs(sim)->self, MILL_FS_CWD, path) == 0);
        FUZZ_OK(mill_outfile_open(&out[count], simfs_fs(sim), MILL_FS_CWD, path, NULL));
        files[count] = &out[count];
    }
    FUZZ_OK(c->open(options, &extent, files, &writer, NULL));
    for (uint32_t i = 0; i < 3; i++) {
        const mill_sample sample = {.ids = ids + 4 * i, .count = 4, .cu_seqlens = bounds[i], .row_count = rows[i],
                                    .positions = positions, .loss_mask = mask, .number = i, .source = "a, \"b\"", .record = i};
        FUZZ_OK(c->add(writer, &sample, NULL));
    }
    FUZZ_OK(c->finish(writer, 0, facts, NULL));
    c->close(writer);
    for (size_t i = 0; i < count; i++)
        FUZZ_OK(mill_outfile_finish(&out[i], true, sha256, NULL));
    cJSON_Delete(facts);
    return true;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    const uint32_t forms = 4;
    if (number >= mill_container_count * forms)
        return false;
    const mill_container *c = mill_containers[number / forms];
    const uint32_t form = number % forms;
    const mill_container_options options = {.shard = {.zstd_level = 1, .mds_zstd_level = form == 3, .mds_size_limit = 1000,
                                                      .parquet_group_rows = 2, .boundaries = form != 0, .positions = form != 3,
                                                      .loss_mask = form == 2,
                                                      .vocab_size = form == 1 ? 70000 : 300},
                                            .workers = 1, .uniform = form != 1 ? 4 : 0};
    uint8_t head[HEAD_BYTES] = {(uint8_t)(number / forms), (uint8_t)((form == 3) | (form == 2) << 1)};
    if (c->read_open == NULL || (c->check != NULL && c->check(NULL) != MILL_OK))
        return mill_buf_append(out, head, sizeof head, NULL) == MILL_OK;
    simfs *sim = simfs_create();
    const uint8_t *data;
    size_t bytes, begin = out->bytes;
    write_seed(c, &options, sim);
    FUZZ_OK(mill_buf_append(out, head, sizeof head, NULL));
    for (size_t i = 0; i < mill_container_files(c, &options); i++) {
        char path[128];
        mill_container_path(c, &options, 0, i, path, sizeof path);
        FUZZ_CHECK(simfs_get(sim, path, &data, &bytes) && bytes < 65536);
        FUZZ_OK(mill_buf_append(out, data, bytes, NULL));
        if (i < 3) {
            out->data[begin + 2 + 2 * i] = (uint8_t)bytes;
            out->data[begin + 3 + 2 * i] = (uint8_t)(bytes >> 8);
        }
    }
    simfs_destroy(sim);
    return true;
}
