// upload.c: `shardmill upload`: a finished directory to S3, in parts where files are large, manifest.json
// last.
//
// Every file is read once for its checksums (the manifest's must come out), compared with what S3 tells of an
// object of that name, and sent where they differ. What S3 tells afterwards must be what was sent: the
// SHA-256 that it computed itself, or, of servers that compute none, the MD5 in the ETag. An upload in parts
// that was broken off is found by its key and continued.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "fetch/collect.h"
#include "pipeline/finished.h"

#define PART_BYTES_LEAST (UINT64_C(16) << 20)
enum {
    PARTS_MAX = 10000,
    WORKERS_DEFAULT = 4,
    WORKERS_MAX = 64,
    SHA256_BASE64 = 45,
    SMALL_FILE_MAX = 1 << 30
};

typedef struct uploader {
    const mill_upload_options *options;
    mill_log log;
    mill_http_options http_options;
    mill_finished run;
    mill_s3 s3;
    char *bucket, *prefix; // prefix "" or with a slash at its end
    char region[MILL_S3_REGION_BYTES];
    mill_http **https;
    uint32_t workers;
    mill_meter meter;
    atomic_bool broken;
    _Atomic uint64_t sent, sent_bytes;
} uploader;

typedef struct part {
    char sha256[SHA256_BASE64], etag[80];
    uint8_t md5[16];
    bool there; // on the server already
} part;

typedef struct object { // one file on its way
    uploader *u;
    mill_http *http;
    const char *path; // below the directory
    char *key, *shown;
    uint64_t bytes, part_bytes;
    uint32_t part_count; // 1: goes in one piece
    part *parts;
    uint8_t *data;               // a part
    char sha256[65];             // of the whole file
    char sum[SHA256_BASE64 + 8]; // what S3 calls its SHA-256
    char etag[48]; // what its ETag will be where that is an MD5; "" if this machine computes none
    char region[MILL_S3_REGION_BYTES];
} object;

// ---- reading

static uint64_t part_size(const object *o, uint32_t number)
{
    uint64_t begin = number * o->part_bytes;
    return o->bytes - begin < o->part_bytes ? o->bytes - begin : o->part_bytes;
}

static mill_status read_part(object *o, int file, uint32_t number, mill_error *err)
{
    uint64_t bytes = part_size(o, number);
    return mill_fs_pread_all(o->u->run.fs, file, o->path, o->data, (size_t)bytes, number * o->part_bytes,
                             err);
}

static void sum_part(object *o, uint32_t number, void *sha256, uint8_t digest[32], bool *has_md5)
{
    size_t bytes = (size_t)part_size(o, number);
    mill_sha256_of(o->data, bytes, digest);
    mill_base64(digest, 32, o->parts[number].sha256);
    *has_md5 = *has_md5 && mill_md5_of(o->data, bytes, o->parts[number].md5);
    mill_sha256_update(sha256, o->data, bytes);
    if (o->part_count == 1)
        memcpy(o->sum, o->parts[number].sha256, SHA256_BASE64);
}

// The sums of an object in parts are sums of the parts' sums, with their number behind.
static mill_status finish_sums(object *o, bool has_md5, mill_error *err)
{
    uint8_t digest[32];
    mill_buf sums = {0};
    mill_status status = MILL_OK;
    o->etag[0] = '\0';
    if (o->part_count == 1) {
        mill_hex(o->parts[0].md5, 16, o->etag + 1);
    } else {
        for (uint32_t i = 0; status == MILL_OK && i < o->part_count; i++)
            status = mill_buf_append(&sums, o->parts[i].md5, 16, err);
        if (status == MILL_OK && mill_md5_of(sums.data, sums.bytes, digest))
            mill_hex(digest, 16, o->etag + 1);
        else
            has_md5 = false;
    }
    if (has_md5) {
        o->etag[0] = '"';
        size_t end = strlen(o->etag);
        snprintf(o->etag + end, sizeof o->etag - end, o->part_count > 1 ? "-%u\"" : "\"", o->part_count);
    }
    mill_buf_free(&sums);
    return status;
}

// Base 64 of the SHA-256 of the parts' SHA-256s.
static void sum_of_sums(object *o, const uint8_t *digests)
{
    uint8_t digest[32];
    mill_sha256_of(digests, (size_t)o->part_count * 32, digest);
    mill_base64(digest, 32, o->sum);
    snprintf(o->sum + SHA256_BASE64 - 1, 9, "-%u", o->part_count);
}

static mill_status sum_file(object *o, int file, mill_error *err)
{
    uint8_t *digests = mill_realloc_array(NULL, o->part_count, 32), whole[32];
    void *sha256 = mill_sha256_create();
    bool has_md5 = true;
    mill_status status = digests == NULL || sha256 == NULL ? mill_fail_nomem(err, "checksums") : MILL_OK;
    for (uint32_t i = 0; status == MILL_OK && i < o->part_count; i++) {
        if (o->u->http_options.stop != NULL && *o->u->http_options.stop != 0)
            status = mill_fail_stopped(err);
        else
            status = read_part(o, file, i, err);
        if (status == MILL_OK)
            sum_part(o, i, sha256, digests + (size_t)i * 32, &has_md5);
    }
    if (status == MILL_OK) {
        mill_sha256_finish(sha256, whole);
        sha256 = NULL;
        mill_hex(whole, 32, o->sha256);
        if (o->part_count > 1)
            sum_of_sums(o, digests);
    }
    if (status == MILL_OK)
        status = finish_sums(o, has_md5, err);
    mill_sha256_destroy(sha256);
    mill_free(digests);
    return status;
}

// ---- asking S3

static mill_status refused(const object *o, const mill_http_answer *answer, mill_error *err)
{
    mill_status status = mill_s3_refused(&o->u->s3, answer, o->shown, err);
    if (status == MILL_INPUT && err != NULL)
        err->status = MILL_IO; // no input is at fault, the output cannot be written
    return status == MILL_INPUT ? MILL_IO : status;
}

static mill_s3_call call_of(const object *o, const char *method, const char *query)
{
    return (mill_s3_call){.s3 = &o->u->s3,
                          .method = method,
                          .bucket = o->u->bucket,
                          .key = o->key,
                          .query = query,
                          .shown = o->shown};
}

typedef enum presence { ABSENT, DIFFERENT, EQUAL } presence;

// Whether S3 holds this content under this key, by what it tells itself.
static presence compare(const object *o, const mill_http_answer *answer)
{
    const char *sum = mill_http_header(answer, "x-amz-checksum-sha256"),
               *etag = mill_http_header(answer, "etag");
    const char *told = mill_http_header(answer, "x-amz-meta-sha256");
    char whole[65];
    bool is_md5;
    mill_s3_sums(answer, whole, &is_md5);
    if (answer->status == 404)
        return ABSENT;
    if (mill_http_length(answer) != o->bytes || (told != NULL && strcmp(told, o->sha256) != 0))
        return DIFFERENT;
    if (sum != NULL) { // some servers leave the number of parts off
        bool same = strncmp(sum, o->sum, SHA256_BASE64 - 1) == 0 &&
                    (sum[SHA256_BASE64 - 1] == '\0' || strcmp(sum, o->sum) == 0);
        return same || strcmp(whole, o->sha256) == 0 ? EQUAL : DIFFERENT;
    }
    if (is_md5 && etag != NULL && o->etag[0] != '\0')
        return strcmp(etag, o->etag) == 0 ? EQUAL : DIFFERENT;
    return told != NULL
               ? EQUAL
               : DIFFERENT; // encrypted by a key of the customer's: S3 tells nothing but what we said
}

static mill_status look(object *o, presence *out, mill_error *err)
{
    mill_http_answer answer = {0};
    mill_s3_call call = call_of(o, "HEAD", "");
    call.extra[call.extra_count++] = (mill_sigv4_header){"x-amz-checksum-mode", "ENABLED"};
    mill_status status = mill_s3_send(&call, o->http, o->region, &answer, err);
    if (status == MILL_OK && answer.status != 200 && answer.status != 404)
        status = refused(o, &answer, err);
    if (status == MILL_OK)
        *out = compare(o, &answer);
    mill_http_answer_free(&answer);
    mill_s3_call_free(&call);
    return status;
}

static mill_status send_simple(object *o, mill_s3_call *call, mill_http_answer *answer, mill_error *err)
{
    mill_status status = mill_s3_send(call, o->http, o->region, answer, err);
    if (status == MILL_OK && (answer->status < 200 || answer->status > 299))
        status = refused(o, answer, err);
    mill_s3_call_free(call);
    return status;
}

static mill_status put_whole(object *o, mill_error *err)
{
    mill_http_answer answer = {0};
    mill_s3_call call = call_of(o, "PUT", "");
    call.extra[call.extra_count++] = (mill_sigv4_header){"x-amz-checksum-sha256", o->sum};
    call.extra[call.extra_count++] = (mill_sigv4_header){"x-amz-meta-sha256", o->sha256};
    call.body = o->data;
    call.body_bytes = (size_t)o->bytes;
    mill_status status = send_simple(o, &call, &answer, err);
    mill_http_answer_free(&answer);
    return status;
}

// ---- parts

// An upload of this key that was begun and neither finished nor given up; *id NULL: none, or we may not ask.
static mill_status find_upload(object *o, char **id, mill_error *err)
{
    mill_buf query = {0};
    mill_http_answer answer = {0};
    mill_s3_answer parsed = {.upload_key = o->key};
    *id = NULL;
    mill_status status = mill_buf_append_text(&query, "prefix=", err);
    if (status == MILL_OK)
        status = mill_url_encode(&query, o->key, strlen(o->key), "", err);
    if (status == MILL_OK)
        status = mill_buf_append(&query, "&uploads=", 10, err);
    if (status == MILL_OK) {
        mill_s3_call call = call_of(o, "GET", (const char *)query.data);
        call.key = NULL;
        status = mill_s3_send(&call, o->http, o->region, &answer, err);
        mill_s3_call_free(&call);
    }
    if (status == MILL_OK && answer.status == 200)
        status = mill_s3_answer_parse(answer.body.data, answer.body.bytes, o->shown, &parsed, err);
    if (status == MILL_OK && parsed.upload_id != NULL && *parsed.upload_id != '\0') {
        *id = parsed.upload_id;
        parsed.upload_id = NULL;
    }
    mill_s3_answer_free(&parsed);
    mill_http_answer_free(&answer);
    mill_buf_free(&query);
    return status;
}

static bool is_plain_etag(const char *etag)
{
    size_t bytes = strlen(etag);
    return bytes != 0 && bytes < 80 &&
           strspn(etag, "0123456789abcdefABCDEFghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ-_\"") == bytes;
}

static void take_parts(object *o, const mill_s3_answer *parsed)
{
    for (size_t i = 0; i < parsed->part_count; i++) {
        const mill_s3_part *told = &parsed->parts[i];
        if (told->number == 0 || told->number > o->part_count ||
            told->bytes != part_size(o, (uint32_t)told->number - 1))
            continue;
        part *p = &o->parts[told->number - 1];
        char hex[33], md5[36];
        mill_hex(p->md5, 16, hex);
        snprintf(md5, sizeof md5, "\"%s\"", hex);
        bool same = told->sha256[0] != '\0' ? strcmp(told->sha256, p->sha256) == 0
                                            : o->etag[0] != '\0' && strcmp(told->etag, md5) == 0;
        if (same && is_plain_etag(told->etag)) {
            memcpy(p->etag, told->etag, sizeof p->etag);
            p->there = true;
        }
    }
}

// Which parts of an upload are there; *gone: there is no such upload any more.
static mill_status list_parts(object *o, const char *id, bool *gone, mill_error *err)
{
    mill_buf query = {0};
    mill_s3_answer parsed = {0};
    mill_status status = MILL_OK;
    bool more = true;
    *gone = false;
    for (int page = 0; status == MILL_OK && more && page < PARTS_MAX; page++) {
        mill_http_answer answer = {0};
        mill_buf_clear(&query);
        if (page != 0)
            status = mill_buf_printf(&query, err, "part-number-marker=%s&", parsed.next);
        if (status == MILL_OK)
            status = mill_buf_append_text(&query, "uploadId=", err);
        if (status == MILL_OK)
            status = mill_url_encode(&query, id, strlen(id), "", err);
        if (status == MILL_OK)
            status = mill_buf_append(&query, "", 1, err);
        mill_s3_answer_free(&parsed);
        if (status == MILL_OK) {
            mill_s3_call call = call_of(o, "GET", (const char *)query.data);
            status = mill_s3_send(&call, o->http, o->region, &answer, err);
            mill_s3_call_free(&call);
        }
        *gone = status == MILL_OK && answer.status != 200;
        if (status == MILL_OK && !*gone)
            status = mill_s3_answer_parse(answer.body.data, answer.body.bytes, o->shown, &parsed, err);
        if (status == MILL_OK)
            take_parts(o, &parsed);
        more = !*gone && parsed.truncated && parsed.next != NULL &&
               strspn(parsed.next, "0123456789") == strlen(parsed.next) && *parsed.next != '\0';
        mill_http_answer_free(&answer);
    }
    mill_s3_answer_free(&parsed);
    mill_buf_free(&query);
    return status;
}

static mill_status begin_upload(object *o, char **id, mill_error *err)
{
    mill_http_answer answer = {0};
    mill_s3_answer parsed = {0};
    mill_s3_call call = call_of(o, "POST", "uploads=");
    call.extra[call.extra_count++] = (mill_sigv4_header){"x-amz-checksum-algorithm", "SHA256"};
    call.extra[call.extra_count++] = (mill_sigv4_header){"x-amz-meta-sha256", o->sha256};
    mill_status status = send_simple(o, &call, &answer, err);
    if (status == MILL_OK)
        status = mill_s3_answer_parse(answer.body.data, answer.body.bytes, o->shown, &parsed, err);
    if (status == MILL_OK && (parsed.upload_id == NULL || *parsed.upload_id == '\0'))
        status = mill_fail(err, MILL_IO, "%s: S3 names no upload to send parts to", o->shown);
    if (status == MILL_OK) {
        *id = parsed.upload_id;
        parsed.upload_id = NULL;
    }
    mill_s3_answer_free(&parsed);
    mill_http_answer_free(&answer);
    return status;
}

static mill_status put_part(object *o, int file, const char *id, uint32_t number, mill_error *err)
{
    mill_buf query = {0};
    mill_http_answer answer = {0};
    part *p = &o->parts[number];
    mill_status status = read_part(o, file, number, err);
    if (status == MILL_OK)
        status = mill_buf_printf(&query, err, "partNumber=%u&uploadId=", number + 1);
    if (status == MILL_OK)
        status = mill_url_encode(&query, id, strlen(id), "", err);
    if (status == MILL_OK)
        status = mill_buf_append(&query, "", 1, err);
    if (status == MILL_OK) {
        mill_s3_call call = call_of(o, "PUT", (const char *)query.data);
        call.extra[call.extra_count++] = (mill_sigv4_header){"x-amz-checksum-sha256", p->sha256};
        call.body = o->data;
        call.body_bytes = (size_t)part_size(o, number);
        status = send_simple(o, &call, &answer, err);
    }
    const char *etag = mill_http_header(&answer, "etag");
    if (status == MILL_OK && (etag == NULL || !is_plain_etag(etag)))
        status = mill_fail(err, MILL_IO, "%s: S3 gives no usable ETag for part %u", o->shown, number + 1);
    if (status == MILL_OK)
        snprintf(p->etag, sizeof p->etag, "%s", etag);
    mill_http_answer_free(&answer);
    mill_buf_free(&query);
    return status;
}

static mill_status complete_upload(object *o, const char *id, mill_error *err)
{
    mill_buf query = {0}, body = {0};
    mill_http_answer answer = {0};
    mill_s3_answer parsed = {0};
    mill_status status = mill_buf_append_text(
        &body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", err);
    for (uint32_t i = 0; status == MILL_OK && i < o->part_count; i++)
        status = mill_buf_printf(
            &body, err,
            "<Part><ChecksumSHA256>%s</ChecksumSHA256><ETag>%s</ETag><PartNumber>%u</PartNumber></Part>",
            o->parts[i].sha256, o->parts[i].etag, i + 1);
    if (status == MILL_OK)
        status = mill_buf_append_text(&body, "</CompleteMultipartUpload>", err);
    if (status == MILL_OK)
        status = mill_buf_append_text(&query, "uploadId=", err);
    if (status == MILL_OK)
        status = mill_url_encode(&query, id, strlen(id), "", err);
    if (status == MILL_OK)
        status = mill_buf_append(&query, "", 1, err);
    if (status == MILL_OK) {
        mill_s3_call call = call_of(o, "POST", (const char *)query.data);
        call.body = body.data;
        call.body_bytes = body.bytes;
        status = send_simple(o, &call, &answer, err);
    }
    if (status == MILL_OK) // a failure may stand behind status 200, since S3 answers before it is done
        status = mill_s3_answer_parse(answer.body.data, answer.body.bytes, o->shown, &parsed, err);
    if (status == MILL_OK && parsed.code != NULL)
        status = mill_fail(
            err, MILL_IO,
            "%.160s: S3 could not put the parts together: %.60s: %.120s; run the same command again",
            o->shown, parsed.code, parsed.message != NULL ? parsed.message : "");
    mill_s3_answer_free(&parsed);
    mill_http_answer_free(&answer);
    mill_buf_free(&body);
    mill_buf_free(&query);
    return status;
}

static mill_status put_parts(object *o, int file, bool anew, mill_error *err)
{
    char *id = NULL;
    bool gone = false;
    mill_status status = anew ? MILL_OK : find_upload(o, &id, err);
    if (status == MILL_OK && id != NULL) {
        status = list_parts(o, id, &gone, err);
        if (gone) {
            mill_free(id);
            id = NULL;
        }
    }
    for (uint32_t i = 0; id == NULL && i < o->part_count; i++)
        o->parts[i].there = false;
    if (status == MILL_OK && id == NULL)
        status = begin_upload(o, &id, err);
    for (uint32_t i = 0; status == MILL_OK && i < o->part_count; i++) {
        bool there = o->parts[i].there;
        if (!there)
            status = put_part(o, file, id, i, err);
        if (status == MILL_OK)
            mill_meter_add(&o->u->meter, part_size(o, i), !there);
        if (status == MILL_OK && !there)
            atomic_fetch_add(&o->u->sent_bytes, part_size(o, i));
    }
    if (status == MILL_OK)
        status = complete_upload(o, id, err);
    mill_free(id);
    return status;
}

// ---- one file

static mill_status send_object(object *o, int file, mill_error *err)
{
    presence there;
    for (int turn = 0;; turn++) {
        MILL_TRY(look(o, &there, err));
        if (there == EQUAL)
            return MILL_OK;
        if (turn == 2)
            return mill_fail(
                err, MILL_IO,
                "%.200s: S3 tells another size or checksum than what was sent; run the same command again",
                o->shown);
        if (turn == 0)
            atomic_fetch_add(&o->u->sent, 1);
        else
            mill_log_line(&o->u->log, MILL_LOG_WARNING,
                          "%s: S3 tells another checksum than what was sent; sending it again", o->shown);
        if (o->part_count > 1) {
            MILL_TRY(put_parts(o, file, turn != 0, err));
        } else {
            MILL_TRY(put_whole(o, err));
            mill_meter_add(&o->u->meter, o->bytes, true);
            atomic_fetch_add(&o->u->sent_bytes, o->bytes);
        }
    }
}

static mill_status open_object(object *o, const char *sha256, int *file, mill_error *err)
{
    const mill_finished *run = &o->u->run;
    mill_buf text = {0};
    mill_status status = mill_buf_printf(&text, err, "%s%s", o->u->prefix, o->path);
    if (status == MILL_OK && (o->key = mill_strndup((const char *)text.data, text.bytes)) == NULL)
        status = mill_fail_nomem(err, "an upload");
    mill_buf_clear(&text);
    if (status == MILL_OK)
        status = mill_buf_printf(&text, err, "s3://%s/%s", o->u->bucket, o->key);
    if (status == MILL_OK && (o->shown = mill_strndup((const char *)text.data, text.bytes)) == NULL)
        status = mill_fail_nomem(err, "an upload");
    mill_buf_free(&text);
    MILL_TRY(status);
    MILL_TRY(mill_fs_open(run->fs, run->dir, o->path, MILL_OPEN_READ_OWN, file, err));
    // The least size of parts with which their number stays within S3's limit.
    o->part_bytes = PART_BYTES_LEAST;
    while (o->bytes > o->part_bytes * PARTS_MAX)
        o->part_bytes *= 2;
    o->part_count = o->bytes > o->part_bytes ? (uint32_t)((o->bytes + o->part_bytes - 1) / o->part_bytes) : 1;
    o->parts = mill_alloc_zero(o->part_count, sizeof *o->parts);
    o->data = mill_alloc((size_t)(o->bytes < o->part_bytes ? o->bytes : o->part_bytes));
    if (o->parts == NULL || o->data == NULL)
        return mill_fail_nomem(err, "an upload");
    MILL_TRY(sum_file(o, *file, err));
    if (sha256 != NULL && strcmp(sha256, o->sha256) != 0)
        return mill_fail(err, MILL_VERIFY,
                         "%s/%s: was changed: its SHA-256 is not the manifest's; nothing of it was sent",
                         run->path, o->path);
    return MILL_OK;
}

static void close_object(object *o, int file)
{
    if (file >= 0)
        (void)o->u->run.fs->ops->close(o->u->run.fs->self, file);
    mill_free(o->key);
    mill_free(o->shown);
    mill_free(o->parts);
    mill_free(o->data);
}

static mill_status upload_file(uploader *u, mill_http *http, const char *path, uint64_t bytes,
                               const char *sha256, mill_error *err)
{
    object o = {.u = u, .http = http, .path = path, .bytes = bytes};
    int file = -1;
    memcpy(o.region, u->region, sizeof o.region);
    mill_status status = open_object(&o, sha256, &file, err);
    if (status == MILL_OK)
        status = send_object(&o, file, err);
    close_object(&o, file);
    return status;
}

// ---- all of them

static mill_status run_task(void *context, uint32_t worker, uint64_t task, mill_error *err)
{
    uploader *u = context;
    const mill_finished_file *file = &u->run.files[task];
    mill_status status = mill_finished_check_size(&u->run, file, err);
    if (status == MILL_OK)
        status = upload_file(u, u->https[worker], file->path, file->bytes, file->sha256, err);
    bool asked = u->http_options.stop != NULL && *u->http_options.stop != 0;
    if (status == MILL_STOPPED && !asked)
        return MILL_OK; // another file has failed: that failure is the one to tell
    if (status != MILL_OK)
        atomic_store(&u->broken, true);
    else
        atomic_fetch_add(&u->meter.files_done, 1);
    return status;
}

static mill_status upload_small(uploader *u, const char *path, uint64_t *bytes, mill_error *err)
{
    mill_file_info info;
    MILL_TRY(mill_finished_info(&u->run, path, &info, err));
    if (info.kind != MILL_FILE_REGULAR || info.bytes > SMALL_FILE_MAX)
        return mill_fail(err, MILL_VERIFY, "%s/%s: is no regular file, or too large to be one of ours",
                         u->run.path, path);
    *bytes += info.bytes;
    return upload_file(u, u->https[0], path, info.bytes, NULL, err);
}

// A manifest at the target makes what lies there a finished run: another one's may not stand while files
// change under it.
static mill_status check_target(uploader *u, mill_error *err)
{
    object o = {.u = u, .http = u->https[0], .path = "manifest.json"};
    mill_file_info info;
    presence there = ABSENT;
    int file = -1;
    memcpy(o.region, u->region, sizeof o.region);
    MILL_TRY(mill_finished_info(&u->run, o.path, &info, err));
    o.bytes = info.bytes;
    mill_status status = info.bytes > SMALL_FILE_MAX
                             ? mill_fail(err, MILL_VERIFY, "%s/manifest.json: is too large", u->run.path)
                             : open_object(&o, NULL, &file, err);
    if (status == MILL_OK)
        status = look(&o, &there, err);
    memcpy(u->region, o.region, sizeof u->region);
    if (status == MILL_OK && there == DIFFERENT && !u->options->overwrite)
        status = mill_fail(err, MILL_PLAN, "%.200s: is another run's; choose another prefix, or --overwrite",
                           o.shown);
    if (status == MILL_OK && there == DIFFERENT && u->options->overwrite) {
        mill_http_answer answer = {0};
        mill_s3_call call = call_of(&o, "DELETE", "");
        status = send_simple(&o, &call, &answer, err);
        mill_http_answer_free(&answer);
    }
    close_object(&o, file);
    return status;
}

static mill_status upload_all(uploader *u, mill_upload_summary *summary, mill_error *err)
{
    for (size_t i = 0; i < u->run.file_count; i++)
        summary->bytes += u->run.files[i].bytes;
    summary->files = u->run.file_count + 2;
    u->meter.bytes_total = summary->bytes;
    MILL_TRY(check_target(u, err));
    MILL_TRY(mill_parallel_run(u->workers, u->run.file_count, run_task, u, err));
    MILL_TRY(upload_small(u, "SHA256SUMS", &summary->bytes, err));
    return upload_small(u, "manifest.json", &summary->bytes, err);
}

static mill_status parse_target(uploader *u, mill_error *err)
{
    mill_address address;
    mill_buf prefix = {0};
    MILL_TRY(mill_address_parse(u->options->target, &address, err));
    if (address.kind != MILL_ADDRESS_S3) {
        mill_fail(err, MILL_USAGE, "%.200s: upload goes to s3://BUCKET/PREFIX", address.shown);
        mill_address_free(&address);
        return MILL_USAGE;
    }
    size_t bytes = strlen(address.path);
    while (bytes != 0 && address.path[bytes - 1] == '/')
        bytes--;
    mill_status status =
        mill_buf_printf(&prefix, err, "%.*s%s", (int)bytes, address.path, bytes != 0 ? "/" : "");
    if (status == MILL_OK) {
        u->bucket = mill_strdup(address.place);
        u->prefix = mill_strndup((const char *)prefix.data, prefix.bytes);
        if (u->bucket == NULL || u->prefix == NULL)
            status = mill_fail_nomem(err, "an upload");
    }
    mill_buf_free(&prefix);
    mill_address_free(&address);
    return status;
}

static mill_status set_up(uploader *u, mill_error *err)
{
    const mill_upload_options *options = u->options;
    uint32_t wanted = options->threads != 0 ? options->threads : WORKERS_DEFAULT;
    wanted = wanted < WORKERS_MAX ? wanted : WORKERS_MAX;
    MILL_TRY(parse_target(u, err));
    MILL_TRY(mill_s3_open(&u->s3, err));
    memcpy(u->region, u->s3.region, sizeof u->region);
    u->https = mill_alloc_zero(wanted, sizeof *u->https);
    if (u->https == NULL)
        return mill_fail_nomem(err, "preparing connections");
    for (u->workers = 0; u->workers < wanted; u->workers++)
        MILL_TRY(mill_http_open(&u->http_options, &u->https[u->workers], err));
    return mill_finished_open(options->directory, &u->run, err);
}

mill_status mill_upload(const mill_upload_options *options, mill_upload_summary *summary, mill_error *err)
{
    const int64_t begin = mill_clock_ns();
    *summary = (mill_upload_summary){0};
    if (options->struct_size != sizeof *options)
        return mill_fail(err, MILL_USAGE, "mill_upload_options of another version");
    if (options->directory == NULL || options->target == NULL || options->tries == 0 ||
        options->timeout_s == 0)
        return mill_fail(err, MILL_USAGE,
                         "upload wants a directory, a target, and tries and timeout of at least 1");
    uploader u = {
        .options = options, .log = {MILL_LOG_DEBUG, options->log, options->context}, .run = {.dir = -1}};
    u.http_options = (mill_http_options){.stop = options->stop,
                                         .broken = &u.broken,
                                         .log = &u.log,
                                         .tries = options->tries,
                                         .wait_ms = options->wait_ms,
                                         .timeout_s = options->timeout_s};
    mill_status status = set_up(&u, err);
    if (status == MILL_OK) {
        mill_meter_start(&u.meter, "upload", options->progress, options->context);
        status = upload_all(&u, summary, err);
        mill_meter_stop(&u.meter);
    }
    summary->sent = atomic_load(&u.sent);
    summary->sent_bytes = atomic_load(&u.sent_bytes);
    summary->seconds = (double)(mill_clock_ns() - begin) * 1e-9;
    mill_finished_close(&u.run);
    for (uint32_t i = 0; i < u.workers; i++)
        mill_http_close(u.https[i]);
    mill_free(u.https);
    mill_s3_close(&u.s3);
    mill_free(u.bucket);
    mill_free(u.prefix);
    return status;
}
