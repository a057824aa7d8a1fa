// download.c: one file from the net to its place.
//
// The body goes to .shardmill/parts/KEY.part; KEY.json beside it says which version of which address that is,
// how long it will be, and how many bytes of it are on the disk for certain. A later call, or a later try,
// reads what is there (the checksum needs it), asks for the rest by Range and If-Range, and begins anew where
// the server has another version by now. At the end the sums are compared, the file is entered in the
// journal, and renamed.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "fetch/collect.h"

#define SYNC_BYTES (UINT64_C(64) << 20) // at most so much is fetched again after a power cut
enum { CHUNK_BYTES = 256 << 10, META_BYTES_MAX = 64 << 10, WRONG_SUMS_MAX = 3 };

typedef struct download {
    mill_collector *c;
    const mill_item *item;
    char part[96], meta[96]; // below the directory
    int file;                // the part, -1 when closed
    mill_sums *sums;
    uint64_t have;    // bytes of the part
    uint64_t durable; // of these, on the disk for certain
    uint64_t total;   // of the version at hand; UINT64_MAX: not known
    char etag[256];   // of the version at hand, or its date where it has no tag; "" if not told
    char sha256[65];  // that the answer told of the whole file, "" if none
    bool etag_is_md5;
    bool restart; // what is there belongs to another version
    uint32_t restarts;
    mill_s3_call s3_call;
    char range[64], if_range[300], accept[32];
    const char *lines[3];
    size_t line_count;
} download;

static mill_sum_kind other_kind(const mill_item *item)
{
    return item->sum.kind == MILL_SUM_GIT || item->sum.kind == MILL_SUM_MD5 ? item->sum.kind : MILL_SUM_NONE;
}

// ---- what is there

static mill_status close_part(download *d, mill_error *err)
{
    int file = d->file;
    d->file = -1;
    return file < 0 ? MILL_OK : mill_fs_close(d->c->state.fs, file, d->part, err);
}

static mill_status truncate_part(download *d, uint64_t bytes, mill_error *err)
{
    const mill_fs *fs = d->c->state.fs;
    int value;
    do
        value = fs->ops->truncate(fs->self, d->file, bytes);
    while (value == -EINTR);
    return value < 0 ? mill_fail_errno(err, -value, "%s/%s: cannot cut", d->c->state.path, d->part) : MILL_OK;
}

static mill_status begin_anew(download *d, mill_error *err)
{
    mill_meter_undo(&d->c->meter, d->have);
    d->have = d->durable = 0;
    d->total = UINT64_MAX;
    d->etag[0] = d->sha256[0] = '\0';
    d->restart = false;
    mill_sums_destroy(d->sums);
    d->sums = NULL;
    MILL_TRY(truncate_part(d, 0, err));
    return mill_sums_create(other_kind(d->item), d->item->bytes, &d->sums, err);
}

// What KEY.json says, if it is of this version of this address; else nothing of the part can be used.
static mill_status read_meta(download *d, bool *good, mill_error *err)
{
    const mill_collect_state *s = &d->c->state;
    mill_buf text = {0};
    cJSON *json = NULL;
    bool there;
    *good = false;
    MILL_TRY(mill_fs_find(s->fs, s->dir, d->meta, &there, err));
    if (!there)
        return MILL_OK;
    mill_status status =
        mill_fs_read_file(s->fs, s->dir, d->meta, MILL_OPEN_READ_OWN, META_BYTES_MAX, &text, err);
    if (status == MILL_OK)
        status = mill_json_parse(text.data, text.bytes, NULL, &json, err);
    const cJSON *url = cJSON_GetObjectItemCaseSensitive(json, "url"),
                *etag = cJSON_GetObjectItemCaseSensitive(json, "etag");
    const cJSON *listed = cJSON_GetObjectItemCaseSensitive(json, "listed"),
                *sum = cJSON_GetObjectItemCaseSensitive(json, "sum");
    if (status == MILL_OK && cJSON_IsString(url) && strcmp(url->valuestring, d->item->url) == 0 &&
        cJSON_IsString(listed) && strcmp(listed->valuestring, d->item->etag) == 0 && cJSON_IsString(sum) &&
        strcmp(sum->valuestring, d->item->sum.hex) == 0 && cJSON_IsString(etag) &&
        strlen(etag->valuestring) < sizeof d->etag && mill_json_get_u64(json, "durable", &d->durable)) {
        snprintf(d->etag, sizeof d->etag, "%s", etag->valuestring);
        if (!mill_json_get_u64(json, "bytes", &d->total))
            d->total = UINT64_MAX;
        const cJSON *told = cJSON_GetObjectItemCaseSensitive(json, "told");
        if (cJSON_IsString(told) && strlen(told->valuestring) == 64)
            memcpy(d->sha256, told->valuestring, 65);
        d->etag_is_md5 = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "md5"));
        *good = d->item->bytes == UINT64_MAX || d->total == d->item->bytes;
    }
    cJSON_Delete(json);
    mill_buf_free(&text);
    return status;
}

static mill_status append_text_member(mill_buf *out, const char *name, const char *value, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, ",\"%s\":", name));
    return mill_buf_append_json(out, value, strlen(value), err);
}

static mill_status write_meta(download *d, mill_error *err)
{
    const mill_collect_state *s = &d->c->state;
    mill_buf text = {0};
    mill_outfile out;
    char tmp[112], sha256[65];
    snprintf(tmp, sizeof tmp, "%s.tmp", d->meta);
    mill_status status = mill_buf_printf(&text, err, "{\"durable\":%llu", (unsigned long long)d->durable);
    if (status == MILL_OK && d->total != UINT64_MAX)
        status = mill_buf_printf(&text, err, ",\"bytes\":%llu", (unsigned long long)d->total);
    if (status == MILL_OK)
        status = append_text_member(&text, "etag", d->etag, err);
    if (status == MILL_OK)
        status = append_text_member(&text, "told", d->sha256, err);
    if (status == MILL_OK)
        status = mill_buf_printf(&text, err, ",\"md5\":%s", d->etag_is_md5 ? "true" : "false");
    if (status == MILL_OK)
        status = append_text_member(&text, "listed", d->item->etag, err);
    if (status == MILL_OK)
        status = append_text_member(&text, "sum", d->item->sum.hex, err);
    if (status == MILL_OK)
        status = append_text_member(&text, "url", d->item->url, err);
    if (status == MILL_OK)
        status = mill_buf_append_text(&text, "}\n", err);
    if (status == MILL_OK)
        status = mill_fs_unlink(s->fs, s->dir, tmp, err);
    if (status == MILL_OK)
        status = mill_outfile_open(&out, s->fs, s->dir, tmp, err);
    if (status == MILL_OK) {
        status = mill_outfile_write(&out, text.data, text.bytes, err);
        if (status == MILL_OK)
            status = mill_outfile_finish(&out, !s->fast, sha256, err);
        mill_outfile_abort(&out);
    }
    if (status == MILL_OK)
        status = mill_fs_rename(s->fs, s->dir, tmp, d->meta, err);
    mill_buf_free(&text);
    return status;
}

// Reads the part up to what can be trusted, for the sums. Without a checksum to compare at the end, only what
// was synced counts: a power cut may have left the rest as zeros.
static mill_status read_part(download *d, mill_error *err)
{
    const mill_fs *fs = d->c->state.fs;
    mill_file_info info;
    int value = fs->ops->info_open(fs->self, d->file, &info);
    if (value < 0)
        return mill_fail_errno(err, -value, "%s/%s: cannot look at it", d->c->state.path, d->part);
    uint64_t trusted =
        d->item->sum.kind != MILL_SUM_NONE || info.bytes < d->durable ? info.bytes : d->durable;
    if (d->total != UINT64_MAX && trusted > d->total)
        trusted = 0;
    uint8_t *chunk = mill_alloc(CHUNK_BYTES);
    if (chunk == NULL)
        return mill_fail_nomem(err, "reading a part");
    mill_status status = truncate_part(d, trusted, err);
    while (status == MILL_OK && d->have < trusted) {
        size_t bytes = trusted - d->have < CHUNK_BYTES ? (size_t)(trusted - d->have) : CHUNK_BYTES;
        status = mill_fs_pread_all(fs, d->file, d->part, chunk, bytes, d->have, err);
        if (status != MILL_OK)
            break;
        mill_sums_update(d->sums, chunk, bytes);
        mill_meter_add(&d->c->meter, bytes, false);
        d->have += bytes;
    }
    mill_free(chunk);
    return status;
}

static mill_status open_part(download *d, mill_error *err)
{
    const mill_collect_state *s = &d->c->state;
    bool good;
    MILL_TRY(mill_collect_make_parents(s, d->part, err));
    MILL_TRY(read_meta(d, &good, err));
    MILL_TRY(mill_fs_open(s->fs, s->dir, d->part, MILL_OPEN_APPEND, &d->file, err));
    MILL_TRY(mill_sums_create(other_kind(d->item), d->item->bytes, &d->sums, err));
    if (!good)
        return begin_anew(d, err);
    return read_part(d, err);
}

// ---- the answer

// "bytes 100-199/200" -> 100 and 200
static bool read_content_range(const char *text, uint64_t *begin, uint64_t *total)
{
    char *end;
    if (text == NULL || strncmp(text, "bytes ", 6) != 0 || !isdigit((unsigned char)text[6]))
        return false;
    *begin = strtoull(text + 6, &end, 10);
    if (*end != '-')
        return false;
    (void)strtoull(end + 1, &end, 10);
    if (*end != '/')
        return false;
    *total = strcmp(end + 1, "*") == 0 ? UINT64_MAX : strtoull(end + 1, NULL, 10);
    return true;
}

// The tag of a version; where a server has none, the date. If-Range takes both.
const char *mill_collect_version(const mill_http_answer *answer)
{
    const char *text = mill_http_header(answer, "etag");
    text = text != NULL && *text != '\0' ? text : mill_http_header(answer, "last-modified");
    return text != NULL && strlen(text) < 256 ? text : "";
}

static void read_sums(download *d, const mill_http_answer *answer)
{
    d->etag_is_md5 = true;
    if (d->item->kind == MILL_ADDRESS_S3)
        mill_s3_sums(answer, d->sha256, &d->etag_is_md5);
}

static mill_status begin_whole(download *d, const mill_http_answer *answer, mill_error *err)
{
    const char *etag = mill_collect_version(answer);
    if (d->have != 0)
        MILL_TRY(begin_anew(d, err)); // no range was given: another version, or a server that knows none
    d->total = mill_http_length(answer);
    snprintf(d->etag, sizeof d->etag, "%s", etag);
    read_sums(d, answer);
    if (d->item->bytes != UINT64_MAX && d->total != UINT64_MAX && d->total != d->item->bytes)
        return mill_fail(err, MILL_INPUT,
                         "%.200s: has %llu bytes, %llu were announced; it changed, or another server answers",
                         d->item->url, (unsigned long long)d->total, (unsigned long long)d->item->bytes);
    if (d->total == UINT64_MAX)
        d->total = d->item->bytes;
    return write_meta(d, err);
}

static mill_status begin_rest(download *d, const mill_http_answer *answer, mill_error *err)
{
    uint64_t begin = 0, total = 0;
    const char *etag = mill_collect_version(answer);
    bool good =
        read_content_range(mill_http_header(answer, "content-range"), &begin, &total) && begin == d->have;
    if (good && d->total != UINT64_MAX && total != UINT64_MAX && total != d->total)
        good = false;
    if (good && d->etag[0] != '\0' && *etag != '\0' && strcmp(etag, d->etag) != 0)
        good = false;
    if (!good) {
        d->restart = true;
        return mill_fail(err, MILL_IO, "%.200s: another version or another range came than was asked for",
                         d->item->url);
    }
    if (d->total == UINT64_MAX)
        d->total = total;
    return MILL_OK;
}

static mill_status on_begin(void *context, const mill_http_answer *answer, mill_error *err)
{
    download *d = context;
    return answer->status == 206 && d->have != 0 ? begin_rest(d, answer, err) : begin_whole(d, answer, err);
}

static mill_status sync_part(download *d, mill_error *err)
{
    const mill_collect_state *s = &d->c->state;
    if (s->fast)
        return MILL_OK;
    MILL_TRY(mill_fs_sync(s->fs, d->file, d->part, err));
    d->durable = d->have;
    return MILL_OK;
}

static mill_status on_write(void *context, const void *data, size_t bytes, mill_error *err)
{
    download *d = context;
    if (d->total != UINT64_MAX && bytes > d->total - d->have) {
        d->restart = true;
        return mill_fail(err, MILL_IO, "%.200s: more bytes came than were announced (%llu)", d->item->url,
                         (unsigned long long)d->total);
    }
    MILL_TRY(mill_fs_write_all(d->c->state.fs, d->file, d->part, data, bytes, err));
    mill_sums_update(d->sums, data, bytes);
    d->have += bytes;
    mill_meter_add(&d->c->meter, bytes, true);
    atomic_fetch_add(&d->c->fetched_bytes, bytes);
    if (d->have - d->durable < SYNC_BYTES || d->c->state.fast)
        return MILL_OK;
    MILL_TRY(sync_part(d, err));
    return write_meta(d, err);
}

// ---- the request

static const mill_http_sink *sink_of(download *d, mill_http_sink *sink)
{
    *sink = (mill_http_sink){on_begin, on_write, d};
    return sink;
}

static void make_range(download *d)
{
    d->line_count = 0;
    snprintf(d->accept, sizeof d->accept, "Accept: */*");
    d->lines[d->line_count++] = d->accept;
    if (d->have == 0)
        return;
    snprintf(d->range, sizeof d->range, "Range: bytes=%llu-", (unsigned long long)d->have);
    d->lines[d->line_count++] = d->range;
    // A weak tag cannot prove that bytes are equal; the answer's own tag is compared then.
    if (d->etag[0] != '\0' && strncmp(d->etag, "W/", 2) != 0) {
        snprintf(d->if_range, sizeof d->if_range, "If-Range: %s", d->etag);
        d->lines[d->line_count++] = d->if_range;
    }
}

static mill_status ask(download *d, mill_http *http, mill_http_answer *answer, mill_error *err)
{
    const mill_item *item = d->item;
    mill_http_sink sink;
    if (d->have != 0 && d->etag[0] == '\0' && item->sum.kind == MILL_SUM_NONE)
        MILL_TRY(begin_anew(d, err)); // nothing would show that the rest belongs to another version
    mill_http_request request = {.method = "GET",
                                 .url = item->request,
                                 .shown = item->url,
                                 .headers = d->lines,
                                 .sink = sink_of(d, &sink)};
    make_range(d);
    request.header_count = d->line_count;
    if (item->secret != NULL) {
        request.secrets = (const char *const *)&item->secret;
        request.secret_count = 1;
    }
    if (item->kind == MILL_ADDRESS_S3) {
        mill_s3_call_free(&d->s3_call);
        d->s3_call = (mill_s3_call){.s3 = &d->c->s3,
                                    .region = item->region,
                                    .method = "GET",
                                    .bucket = item->bucket,
                                    .key = item->key,
                                    .query = "",
                                    .shown = item->url,
                                    .extra = {{"x-amz-checksum-mode", "ENABLED"}},
                                    .extra_count = 1,
                                    .sink = &sink,
                                    .plain_count = d->line_count};
        memcpy(d->s3_call.plain, d->lines, sizeof d->lines);
        MILL_TRY(mill_s3_make(&d->s3_call, &request, err));
    }
    return mill_http_once(http, &request, answer, err);
}

static mill_status refused(download *d, const mill_http_answer *answer, mill_error *err)
{
    switch (d->item->kind) {
    case MILL_ADDRESS_HUB: return mill_hub_refused(&d->c->hub, answer, d->item->url, d->item->bucket, err);
    case MILL_ADDRESS_S3: return mill_s3_refused(&d->c->s3, answer, d->item->url, err);
    case MILL_ADDRESS_WEB: break;
    }
    return mill_http_refused(answer, d->item->url, err);
}

// One request. *again: it did not bring the whole file, and another may.
static mill_status try_once(download *d, mill_http *http, mill_http_answer *answer, bool *again,
                            mill_error *err)
{
    mill_status status = ask(d, http, answer, err);
    *again = d->restart;
    if (d->restart) {
        MILL_TRY(begin_anew(d, err));
        return MILL_IO;
    }
    if (status != MILL_OK) {
        *again = answer->passing;
        return status;
    }
    if (answer->status == 416 && d->have != 0) { // what is there is longer than the file is now
        MILL_TRY(begin_anew(d, err));
        *again = true;
        return mill_fail(err, MILL_IO, "%.200s: is shorter than what was fetched of it", d->item->url);
    }
    if (answer->status < 200 || answer->status > 299) {
        *again = answer->passing;
        return refused(d, answer, err);
    }
    if (d->total != UINT64_MAX && d->have < d->total) {
        *again = true;
        return mill_fail(err, MILL_IO, "%.200s: the connection was closed at byte %llu of %llu", d->item->url,
                         (unsigned long long)d->have, (unsigned long long)d->total);
    }
    return MILL_OK;
}

static mill_status fetch_body(download *d, mill_http *http, mill_error *err)
{
    mill_http_answer answer = {0};
    mill_status status = MILL_OK;
    for (uint32_t tries = 1;; tries++) {
        bool again = false;
        uint64_t before = d->have;
        if (d->have != 0 && d->have == d->total)
            break;
        status = try_once(d, http, &answer, &again, err);
        if (status == MILL_OK || !again)
            break;
        if (d->have > before)
            tries = 1; // it goes on, if slowly
        if (d->have < before)
            d->restarts++;
        if (tries >= d->c->http_options.tries || d->restarts >= d->c->http_options.tries)
            break;
        status = mill_http_wait(http, &answer, tries, d->item->url, err);
        if (status != MILL_OK)
            break;
    }
    mill_http_answer_free(&answer);
    return status;
}

// ---- the end

// Compares what came with what was told of it. *wrong names the sum that differs; NULL: none does.
static void compare(download *d, char sha256[65], const char **wrong)
{
    mill_sum other;
    const mill_item *item = d->item;
    mill_sums_finish(d->sums, sha256, &other);
    d->sums = NULL;
    *wrong = NULL;
    if (item->bytes != UINT64_MAX && d->have != item->bytes)
        *wrong = "size";
    else if (item->sum.kind == MILL_SUM_SHA256 && strcmp(item->sum.hex, sha256) != 0)
        *wrong = "SHA-256";
    else if (d->sha256[0] != '\0' && strcmp(d->sha256, sha256) != 0)
        *wrong = "SHA-256";
    else if (item->sum.kind == MILL_SUM_GIT && other.kind == MILL_SUM_GIT &&
             strcmp(item->sum.hex, other.hex) != 0)
        *wrong = "git's SHA-1";
    else if (item->sum.kind == MILL_SUM_MD5 && d->etag_is_md5 && other.kind == MILL_SUM_MD5 &&
             strcmp(item->sum.hex, other.hex) != 0)
        *wrong = "MD5";
}

static mill_status keep_file(download *d, const char sha256[65], mill_error *err)
{
    const mill_collect_state *s = &d->c->state;
    const mill_item *item = d->item;
    const char *etag =
        d->etag[0] != '\0' && item->etag[0] == '\0' && item->kind == MILL_ADDRESS_WEB ? d->etag : item->etag;
    mill_collected done = {.path = item->path,
                           .url = item->url,
                           .revision = item->revision,
                           .etag = (char *)(uintptr_t)etag,
                           .bytes = d->have};
    memcpy(done.sha256, sha256, 65);
    if (!s->fast)
        MILL_TRY(mill_fs_sync(s->fs, d->file, d->part, err));
    MILL_TRY(close_part(d, err));
    MILL_TRY(mill_collect_make_parents(s, item->path, err));
    MILL_TRY(mill_collect_state_add(&d->c->state, &done, err));
    MILL_TRY(mill_fs_rename(s->fs, s->dir, d->part, item->path, err));
    MILL_TRY(mill_collect_sync_parent(s, item->path, err));
    return mill_fs_unlink(s->fs, s->dir, d->meta, err);
}

static mill_status fetch(download *d, mill_http *http, mill_error *err)
{
    MILL_TRY(open_part(d, err));
    for (int wrong_sums = 0;;) {
        char sha256[65];
        const char *wrong;
        mill_status status = fetch_body(d, http, err);
        if (status != MILL_OK)
            return status;
        compare(d, sha256, &wrong);
        if (wrong == NULL)
            return keep_file(d, sha256, err);
        MILL_TRY(begin_anew(d, err));
        if (++wrong_sums == WRONG_SUMS_MAX)
            return mill_fail(
                err, MILL_INPUT,
                "%.200s: came %d times with another %s than the server tells of it; nothing of it was kept",
                d->item->url, WRONG_SUMS_MAX, wrong);
        mill_log_line(&d->c->log, MILL_LOG_WARNING,
                      "%s: another %s came than the server tells of it; fetching it again", d->item->url,
                      wrong);
    }
}

mill_status mill_download(mill_collector *c, mill_http *http, const mill_item *item, mill_error *err)
{
    download d = {.c = c, .item = item, .file = -1, .total = UINT64_MAX};
    mill_key key = mill_hash128(item->url, strlen(item->url));
    const int stem = 32;
    snprintf(d.part, sizeof d.part, MILL_COLLECT_PARTS "/%016llx%016llx.part", (unsigned long long)key.high,
             (unsigned long long)key.low);
    snprintf(d.meta, sizeof d.meta, "%.*s.json", (int)strlen(MILL_COLLECT_PARTS) + 1 + stem, d.part);
    mill_status status = fetch(&d, http, err);
    if (status == MILL_STOPPED && d.file >= 0 && sync_part(&d, NULL) == MILL_OK && d.have != 0)
        (void)!write_meta(&d, NULL); // so that a part without a checksum is not fetched again
    mill_status closed = close_part(&d, status == MILL_OK ? err : NULL);
    mill_sums_destroy(d.sums);
    mill_s3_call_free(&d.s3_call);
    if (status == MILL_OK && closed == MILL_OK)
        atomic_fetch_add(&c->fetched, 1);
    return status != MILL_OK ? status : closed;
}
