// collect.c: `shardmill collect`: files from the net into a directory, each checked, once.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/parallel.h"
#include "fetch/collect.h"
#include "pipeline/document.h"
#include "pipeline/finished.h"

enum { WORKERS_DEFAULT = 8, WORKERS_MAX = 256, CHUNK_BYTES = 256 << 10 };

// ---- files that are there

mill_status mill_collect_sum_file(const mill_collector *c, const char *path, mill_sum_kind kind,
                                  char sha256[65], mill_sum *other, uint64_t *bytes, mill_error *err)
{
    const mill_fs *fs = c->state.fs;
    mill_sums *sums = NULL;
    mill_file_info info = {0};
    int file = -1;
    uint8_t *chunk = mill_alloc(CHUNK_BYTES);
    mill_status status = chunk == NULL ? mill_fail_nomem(err, "checking a file") : MILL_OK;
    if (status == MILL_OK)
        status = mill_fs_open(fs, c->state.dir, path, MILL_OPEN_READ_OWN, &file, err);
    if (status == MILL_OK && fs->ops->info_open(fs->self, file, &info) < 0)
        status = mill_fail(err, MILL_IO, "%s/%s: cannot look at it", c->state.path, path);
    if (status == MILL_OK)
        status = mill_sums_create(kind, info.bytes, &sums, err);
    size_t got = CHUNK_BYTES;
    *bytes = 0;
    while (status == MILL_OK && got == CHUNK_BYTES) {
        if (c->http_options.stop != NULL && *c->http_options.stop != 0)
            status = mill_fail_stopped(err);
        else
            status = mill_fs_read(fs, file, path, chunk, CHUNK_BYTES, &got, err);
        if (status != MILL_OK)
            break;
        mill_sums_update(sums, chunk, got);
        *bytes += got;
    }
    if (file >= 0)
        (void)fs->ops->close(fs->self, file);
    if (status == MILL_OK)
        mill_sums_finish(sums, sha256, other);
    else
        mill_sums_destroy(sums);
    mill_free(chunk);
    return status;
}

static mill_status look_at(const mill_collector *c, const char *path, bool *there, mill_file_info *info,
                           mill_error *err)
{
    const mill_fs *fs = c->state.fs;
    int value;
    do
        value = fs->ops->info(fs->self, c->state.dir, path, false, info);
    while (value == -EINTR);
    *there = value >= 0;
    if (value >= 0 && info->kind != MILL_FILE_REGULAR)
        return mill_fail(err, MILL_PLAN, "%s/%s: is in the way and no regular file; move it", c->state.path,
                         path);
    return value >= 0 || value == -ENOENT || value == -ENOTDIR
               ? MILL_OK
               : mill_fail_errno(err, -value, "%s/%s: cannot look at it", c->state.path, path);
}

// What the record says of a file is what there is to collect.
static bool is_same_version(const mill_item *item, const mill_collected *known)
{
    bool same_bytes = item->bytes == UINT64_MAX || item->bytes == known->bytes;
    if (item->sum.kind == MILL_SUM_SHA256)
        return same_bytes && strcmp(item->sum.hex, known->sha256) == 0;
    bool same_tag = item->etag[0] == '\0' || known->etag[0] == '\0' || strcmp(item->etag, known->etag) == 0;
    return same_bytes && same_tag && strcmp(item->url, known->url) == 0;
}

static mill_status refuse_change(const mill_collector *c, const mill_item *item, const mill_collected *known,
                                 mill_error *err)
{
    if (strcmp(item->url, known->url) != 0)
        return mill_fail(
            err, MILL_PLAN,
            "%.80s/%.100s: was collected from %.100s, now it is %.100s; --update takes the new one, or use "
            "another -o",
            c->state.path, item->path, known->url, item->url);
    return mill_fail(
        err, MILL_PLAN,
        "%.80s/%.100s: %.100s has another version now (%llu bytes, tag %.60s; collected were %llu, %.60s); "
        "--update takes it, or use another -o",
        c->state.path, item->path, item->url, (unsigned long long)item->bytes, item->etag,
        (unsigned long long)known->bytes, known->etag);
}

// A file that is recorded and there: right as it is, or damaged since.
static mill_status check_known(mill_collector *c, const mill_item *item, const mill_collected *known,
                               uint64_t bytes_now, bool *good, mill_error *err)
{
    char sha256[65];
    mill_sum other;
    uint64_t bytes;
    *good = bytes_now == known->bytes;
    if (*good && !c->options->sizes_only) {
        MILL_TRY(mill_collect_sum_file(c, item->path, MILL_SUM_NONE, sha256, &other, &bytes, err));
        *good = bytes == known->bytes && strcmp(sha256, known->sha256) == 0;
    }
    if (!*good)
        mill_log_line(&c->log, MILL_LOG_WARNING,
                      "%s/%s: was changed since it was collected; fetching it again", c->state.path,
                      item->path);
    return MILL_OK;
}

static mill_status record_again(mill_collector *c, const mill_item *item, const mill_collected *known,
                                mill_error *err)
{
    mill_collected now = *known;
    if (strcmp(known->url, item->url) == 0 && strcmp(known->revision, item->revision) == 0)
        return MILL_OK;
    now.url = item->url;
    now.revision = item->revision;
    now.etag = item->etag;
    return mill_collect_state_add(&c->state, &now, err);
}

// A file of this name that no record knows: ours only if its content is what is to be collected.
static mill_status adopt(mill_collector *c, const mill_item *item, uint64_t *bytes, mill_error *err)
{
    mill_collected file = {
        .path = item->path, .url = item->url, .revision = item->revision, .etag = item->etag};
    mill_sum other = {0};
    bool same = false;
    if (item->sum.kind != MILL_SUM_NONE) {
        MILL_TRY(mill_collect_sum_file(c, item->path, item->sum.kind, file.sha256, &other, bytes, err));
        same = other.kind == item->sum.kind && strcmp(other.hex, item->sum.hex) == 0;
    }
    if (!same)
        return mill_fail(
            err, MILL_PLAN,
            "%.100s/%.150s: exists and was not collected from %.150s; move it, or use another -o",
            c->state.path, item->path, item->url);
    file.bytes = *bytes;
    mill_log_line(&c->log, MILL_LOG_INFO, "%s/%s: is there already, with the right checksum", c->state.path,
                  item->path);
    return mill_collect_state_add(&c->state, &file, err);
}

static mill_status collect_item(mill_collector *c, mill_http *http, const mill_item *item, mill_error *err)
{
    const mill_collected *known = mill_collect_state_find(&c->state, item->path);
    mill_file_info info = {0};
    bool there, good = false;
    uint64_t bytes = 0;
    MILL_TRY(look_at(c, item->path, &there, &info, err));
    if (known != NULL) {
        bool same = is_same_version(item, known);
        if (!same && !c->options->update)
            return refuse_change(c, item, known, err);
        if (same && there)
            MILL_TRY(check_known(c, item, known, info.bytes, &good, err));
        bytes = known->bytes;
        if (good)
            MILL_TRY(record_again(c, item, known, err));
    } else if (there) {
        MILL_TRY(adopt(c, item, &bytes, err));
        good = true;
    }
    if (!good)
        return mill_download(c, http, item, err);
    mill_meter_add(&c->meter, bytes, false);
    return MILL_OK;
}

// ---- all files

static mill_status run_item(void *context, uint32_t worker, uint64_t task, mill_error *err)
{
    mill_collector *c = context;
    mill_status status = collect_item(c, c->https[worker], &c->items[task], err);
    bool asked = c->http_options.stop != NULL && *c->http_options.stop != 0;
    if (status == MILL_STOPPED && !asked)
        return MILL_OK; // another file has failed: that failure is the one to tell
    if (status != MILL_OK)
        atomic_store(&c->broken, true);
    else
        atomic_fetch_add(&c->meter.files_done, 1);
    return status;
}

static mill_status open_workers(mill_collector *c, mill_error *err)
{
    uint32_t wanted = c->options->threads != 0 ? c->options->threads : WORKERS_DEFAULT;
    wanted = wanted < WORKERS_MAX ? wanted : WORKERS_MAX;
    c->https = mill_alloc_zero(wanted, sizeof *c->https);
    if (c->https == NULL)
        return mill_fail_nomem(err, "preparing connections");
    for (c->workers = 0; c->workers < wanted; c->workers++)
        MILL_TRY(mill_http_open(&c->http_options, &c->https[c->workers], err));
    return MILL_OK;
}

static void set_up(mill_collector *c, const mill_collect_options *options)
{
    *c = (mill_collector){.options = options, .log = {MILL_LOG_DEBUG, options->log, options->context}};
    c->http_options = (mill_http_options){.stop = options->stop,
                                          .broken = &c->broken,
                                          .log = &c->log,
                                          .tries = options->tries,
                                          .wait_ms = options->wait_ms,
                                          .timeout_s = options->timeout_s};
}

static void tear_down(mill_collector *c)
{
    for (uint32_t i = 0; i < c->workers; i++)
        mill_http_close(c->https[i]);
    mill_free(c->https);
    for (size_t i = 0; i < c->item_count; i++)
        mill_item_free(&c->items[i]);
    mill_free(c->items);
    mill_hub_close(&c->hub);
    mill_s3_close(&c->s3);
}

static mill_status check_options(const mill_collect_options *options, bool output, mill_error *err)
{
    if (options->struct_size != sizeof *options)
        return mill_fail(err, MILL_USAGE, "mill_collect_options of another version");
    if (options->url_count == 0)
        return mill_fail(
            err, MILL_USAGE,
            "nothing to collect; name hf://datasets/OWNER/NAME/PATH, https://... or s3://BUCKET/KEY");
    if (output && options->output == NULL)
        return mill_fail(err, MILL_USAGE, "-o DIR is missing");
    if (options->tries == 0 || options->timeout_s == 0)
        return mill_fail(err, MILL_USAGE, "tries and timeout must be at least 1");
    return MILL_OK;
}

static mill_status collect(mill_collector *c, mill_error *err)
{
    MILL_TRY(open_workers(c, err));
    MILL_TRY(mill_collect_resolve(c, c->https[0], err));
    for (size_t i = 0; i < c->item_count; i++)
        c->meter.bytes_total += c->items[i].bytes != UINT64_MAX ? c->items[i].bytes : 0;
    mill_log_line(&c->log, MILL_LOG_INFO, "%zu files, %llu bytes", c->item_count,
                  (unsigned long long)c->meter.bytes_total);
    mill_meter_start(&c->meter, "collect", c->options->progress, c->options->context);
    mill_status status = mill_parallel_run(c->workers, c->item_count, run_item, c, err);
    mill_meter_stop(&c->meter);
    return status == MILL_OK ? mill_collect_state_finish(&c->state, err) : status;
}

mill_status mill_collect(const mill_collect_options *options, mill_collect_summary *summary, mill_error *err)
{
    mill_collector c;
    const int64_t begin = mill_clock_ns();
    const mill_fs *fs = options->fs != NULL ? options->fs : mill_fs_posix();
    *summary = (mill_collect_summary){0};
    MILL_TRY(check_options(options, true, err));
    set_up(&c, options);
    mill_status status = mill_collect_state_open(fs, options->output, options->fast, &c.state, err);
    if (status == MILL_OK) {
        status = collect(&c, err);
        summary->files = c.item_count;
        summary->bytes = atomic_load(&c.meter.bytes_done);
        mill_collect_state_close(&c.state);
    }
    summary->fetched = atomic_load(&c.fetched);
    summary->fetched_bytes = atomic_load(&c.fetched_bytes);
    summary->seconds = (double)(mill_clock_ns() - begin) * 1e-9;
    tear_down(&c);
    return status;
}

// ---- the list

static cJSON *item_json(const mill_item *item, bool known)
{
    cJSON *row = cJSON_CreateObject();
    bool good = mill_document_text(row, "path", item->path) && mill_document_text(row, "url", item->url) &&
                mill_document_flag(row, "collected", known);
    if (good && item->bytes != UINT64_MAX)
        good = mill_json_add_u64(row, "bytes", item->bytes, NULL) == MILL_OK;
    if (good && item->revision[0] != '\0')
        good = mill_document_text(row, "revision", item->revision);
    if (good)
        return row;
    cJSON_Delete(row);
    return NULL;
}

static mill_status list_json(const mill_collector *c, uint64_t total, mill_text *out, mill_error *err)
{
    cJSON *json = cJSON_CreateObject(), *files = cJSON_CreateArray();
    bool good =
        mill_document_number(json, "schema", 1) && mill_json_add_u64(json, "bytes", total, NULL) == MILL_OK;
    for (size_t i = 0; good && i < c->item_count; i++) {
        const mill_collected *known = mill_collect_state_find(&c->state, c->items[i].path);
        good = cJSON_AddItemToArray(
            files, item_json(&c->items[i], known != NULL && is_same_version(&c->items[i], known)));
    }
    good = mill_document_item(json, "files", files) && good;
    if (!good) {
        cJSON_Delete(json);
        json = NULL;
    }
    return mill_document_finish(json, out, err);
}

static mill_status list_text(const mill_collector *c, uint64_t total, mill_buf *out, mill_error *err)
{
    for (size_t i = 0; i < c->item_count; i++) {
        const mill_item *item = &c->items[i];
        MILL_TRY(item->bytes != UINT64_MAX ? mill_append_grouped(out, item->bytes, 17, err)
                                           : mill_buf_printf(out, err, "%17s", "?"));
        MILL_TRY(mill_buf_append_text(out, "  ", err));
        MILL_TRY(mill_append_escaped(out, item->path, strlen(item->path), false, err));
        MILL_TRY(mill_buf_append_text(out, "\n", err));
    }
    MILL_TRY(mill_append_grouped(out, total, 17, err));
    return mill_buf_printf(out, err, "  bytes in %zu files\n", c->item_count);
}

mill_status mill_collect_list(const mill_collect_options *options, bool json, mill_text *out, mill_error *err)
{
    mill_collector c;
    mill_buf text = {0};
    uint64_t total = 0;
    const mill_fs *fs = options->fs != NULL ? options->fs : mill_fs_posix();
    *out = (mill_text){0};
    MILL_TRY(check_options(options, false, err));
    set_up(&c, options);
    mill_http *http = NULL;
    mill_status status = mill_collect_state_look(fs, options->output, &c.state, err);
    bool open = status == MILL_OK;
    if (status == MILL_OK)
        status = mill_http_open(&c.http_options, &http, err);
    if (status == MILL_OK)
        status = mill_collect_resolve(&c, http, err);
    for (size_t i = 0; i < c.item_count; i++)
        total += c.items[i].bytes != UINT64_MAX ? c.items[i].bytes : 0;
    if (status == MILL_OK && json)
        status = list_json(&c, total, out, err);
    else if (status == MILL_OK)
        status = list_text(&c, total, &text, err);
    if (status == MILL_OK && !json)
        status = mill_text_take(&text, out, err);
    mill_buf_free(&text);
    mill_http_close(http);
    if (open)
        mill_collect_state_close(&c.state);
    tear_down(&c);
    return status;
}
