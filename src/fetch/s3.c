// s3.c: requests to S3: addresses, signatures, lists.
#include "fetch/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "fetch/names.h"

enum { ANSWER_BYTES_MAX = 64 << 20, PAGES_MAX = 100000 };

void mill_s3_close(mill_s3 *s3)
{
    char *texts[] = {s3->access_key, s3->secret_key, s3->session_token, s3->endpoint};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        mill_free(texts[i]);
    *s3 = (mill_s3){0};
}

// The first of two variables that is set and not empty; NULL: none.
static const char *variable(const char *first, const char *second)
{
    const char *value = getenv(first);
    if ((value == NULL || *value == '\0') && second != NULL)
        value = getenv(second);
    return value != NULL && *value != '\0' ? value : NULL;
}

static mill_status copy_variable(const char *first, const char *second, char **out, mill_error *err)
{
    const char *value = variable(first, second);
    *out = NULL;
    if (value == NULL)
        return MILL_OK;
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return mill_fail(err, MILL_USAGE, "%s holds blanks, control characters or letters beyond ASCII",
                             first);
    }
    *out = mill_strdup(value);
    return *out == NULL ? mill_fail_nomem(err, "preparing S3") : MILL_OK;
}

static mill_status read_environment(mill_s3 *s3, mill_error *err)
{
    char origin[300];
    MILL_TRY(copy_variable("AWS_ACCESS_KEY_ID", NULL, &s3->access_key, err));
    MILL_TRY(copy_variable("AWS_SECRET_ACCESS_KEY", NULL, &s3->secret_key, err));
    MILL_TRY(copy_variable("AWS_SESSION_TOKEN", NULL, &s3->session_token, err));
    MILL_TRY(copy_variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", &s3->endpoint, err));
    if ((s3->access_key == NULL) != (s3->secret_key == NULL))
        return mill_fail(err, MILL_USAGE, "%s is set without %s; set both, or none to ask anonymously",
                         s3->access_key != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                         s3->access_key != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    if (s3->endpoint != NULL) {
        size_t bytes = strlen(s3->endpoint);
        while (bytes != 0 && s3->endpoint[bytes - 1] == '/')
            s3->endpoint[--bytes] = '\0';
        if (!mill_url_origin(s3->endpoint, origin) || strpbrk(s3->endpoint, "@?#%") != NULL)
            return mill_fail(err, MILL_USAGE, "AWS_ENDPOINT_URL is no address of a server (https://HOST)");
    }
    const char *region = variable("AWS_REGION", "AWS_DEFAULT_REGION");
    region = region != NULL ? region : "us-east-1";
    if (strlen(region) >= MILL_S3_REGION_BYTES ||
        strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region))
        return mill_fail(err, MILL_USAGE, "AWS_REGION is no name of a region (such as us-east-1)");
    snprintf(s3->region, sizeof s3->region, "%s", region);
    return MILL_OK;
}

mill_status mill_s3_open(mill_s3 *s3, mill_error *err)
{
    *s3 = (mill_s3){0};
    mill_status status = read_environment(s3, err);
    if (status != MILL_OK)
        mill_s3_close(s3);
    return status;
}

// ---- one request

void mill_s3_call_free(mill_s3_call *call)
{
    mill_buf_free(&call->url);
    mill_buf_free(&call->lines);
    mill_buf_free(&call->host);
}

// The bucket stands in the host's name at Amazon's, where a certificate covers it, and in the path elsewhere.
static mill_status make_url(mill_s3_call *c, size_t *path_at, mill_error *err)
{
    const mill_s3 *s3 = c->s3;
    const char *tail = strncmp(c->region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
    bool in_path = s3->endpoint != NULL || strpbrk(c->bucket, "._ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;
    mill_buf_clear(&c->url);
    if (s3->endpoint != NULL)
        MILL_TRY(mill_buf_append_text(&c->url, s3->endpoint, err));
    else if (in_path)
        MILL_TRY(mill_buf_printf(&c->url, err, "https://s3.%s.%s", c->region, tail));
    else
        MILL_TRY(mill_buf_printf(&c->url, err, "https://%s.s3.%s.%s", c->bucket, c->region, tail));
    MILL_TRY(mill_buf_append(&c->url, "", 1, err));
    char origin[300];
    if (!mill_url_origin((const char *)c->url.data, origin))
        return mill_fail(err, MILL_USAGE, "%s: no server can be named for it", c->shown);
    c->url.bytes--;
    // The path begins behind scheme and host; an endpoint may have one of its own.
    const char *host = strstr((const char *)c->url.data, "://") + 3;
    *path_at = (size_t)(host - (const char *)c->url.data) + strcspn(host, "/");
    mill_buf_clear(&c->host);
    const char *standard = strncmp(origin, "https", 5) == 0 ? ":443" : ":80";
    size_t bytes = strlen(origin), tail_bytes = strlen(standard);
    bool is_standard = bytes > tail_bytes && strcmp(origin + bytes - tail_bytes, standard) == 0;
    const char *name = strstr(origin, "://") + 3;
    MILL_TRY(mill_buf_append(&c->host, name, bytes - (size_t)(name - origin) - (is_standard ? tail_bytes : 0),
                             err));
    MILL_TRY(mill_buf_append(&c->host, "", 1, err));
    if (in_path)
        MILL_TRY(mill_buf_printf(&c->url, err, "/%s", c->bucket));
    if (c->key != NULL || !in_path)
        MILL_TRY(mill_buf_append_text(&c->url, "/", err));
    if (c->key != NULL)
        MILL_TRY(mill_url_encode(&c->url, c->key, strlen(c->key), "/", err));
    return MILL_OK;
}

static void sort_header(mill_sigv4_header *list, size_t *count, const char *name, const char *value)
{
    size_t at = *count;
    for (; at != 0 && strcmp(list[at - 1].name, name) > 0; at--)
        list[at] = list[at - 1];
    list[at] = (mill_sigv4_header){name, value};
    (*count)++;
}

static mill_status sign(mill_s3_call *c, const char *path, mill_buf *authorization, mill_sigv4_header *list,
                        size_t *count, const char *time_text, const char *payload, mill_error *err)
{
    mill_sigv4 key = {c->s3->access_key, c->s3->secret_key, c->region, ""};
    memcpy(key.time, time_text, sizeof key.time);
    sort_header(list, count, "host", (const char *)c->host.data);
    sort_header(list, count, "x-amz-content-sha256", payload);
    sort_header(list, count, "x-amz-date", time_text);
    if (c->s3->session_token != NULL)
        sort_header(list, count, "x-amz-security-token", c->s3->session_token);
    mill_sigv4_request request = {c->method, path, c->query, list, *count, payload};
    return mill_sigv4_sign(&key, &request, authorization, err);
}

// Header lines go into one buffer, which may move while it grows: pointers are taken at the end.
static mill_status append_lines(mill_s3_call *c, const mill_sigv4_header *list, size_t count,
                                const mill_buf *authorization, mill_error *err)
{
    size_t starts[MILL_S3_EXTRA_MAX + 8], lines = 0;
    mill_buf_clear(&c->lines);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, "host") == 0)
            continue; // libcurl writes it, from the same address
        starts[lines++] = c->lines.bytes;
        MILL_TRY(mill_buf_printf(&c->lines, err, "%s: %s", list[i].name, list[i].value));
        MILL_TRY(mill_buf_append(&c->lines, "", 1, err));
    }
    if (authorization->bytes != 0) {
        starts[lines++] = c->lines.bytes;
        MILL_TRY(mill_buf_printf(&c->lines, err, "Authorization: %.*s", (int)authorization->bytes,
                                 (const char *)authorization->data));
        MILL_TRY(mill_buf_append(&c->lines, "", 1, err));
    }
    for (size_t i = 0; i < lines; i++)
        c->headers[i] = (const char *)c->lines.data + starts[i];
    for (size_t i = 0; i < c->plain_count; i++)
        c->headers[lines++] = c->plain[i];
    MILL_ASSERT(lines <= MILL_S3_EXTRA_MAX + 8);
    c->headers[lines] = NULL;
    return MILL_OK;
}

mill_status mill_s3_make(void *context, mill_http_request *request, mill_error *err)
{
    mill_s3_call *c = context;
    mill_sigv4_header list[MILL_S3_EXTRA_MAX + 4];
    mill_buf authorization = {0}, path = {0};
    size_t count = 0, path_at = 0;
    char time_text[17], payload[65];
    uint8_t digest[32];
    for (size_t i = 0; i < c->extra_count; i++)
        sort_header(list, &count, c->extra[i].name, c->extra[i].value);
    mill_clock_utc(time_text);
    mill_sha256_of(c->body_bytes != 0 ? c->body : "", c->body_bytes, digest);
    mill_hex(digest, 32, payload);
    mill_status status = make_url(c, &path_at, err);
    if (status == MILL_OK)
        status = mill_buf_printf(&path, err, "%.*s", (int)(c->url.bytes - path_at),
                                 (const char *)c->url.data + path_at);
    if (status == MILL_OK)
        status = mill_buf_append(&path, "", 1, err);
    if (status == MILL_OK && c->s3->access_key != NULL)
        status = sign(c, (const char *)path.data, &authorization, list, &count, time_text, payload, err);
    if (status == MILL_OK && *c->query != '\0')
        status = mill_buf_printf(&c->url, err, "?%s", c->query);
    if (status == MILL_OK)
        status = mill_buf_append(&c->url, "", 1, err);
    if (status == MILL_OK)
        status = append_lines(c, list, count, &authorization, err);
    mill_buf_free(&authorization);
    mill_buf_free(&path);
    MILL_TRY(status);
    *request = (mill_http_request){.method = c->method,
                                   .url = (const char *)c->url.data,
                                   .shown = c->shown,
                                   .headers = c->headers,
                                   .body = c->body,
                                   .body_bytes = c->body_bytes,
                                   .answer_bytes_max = ANSWER_BYTES_MAX,
                                   .sink = c->sink,
                                   .stay = true};
    while (request->headers[request->header_count] != NULL)
        request->header_count++;
    return MILL_OK;
}

mill_status mill_s3_send(mill_s3_call *call, mill_http *http, char region[MILL_S3_REGION_BYTES],
                         mill_http_answer *answer, mill_error *err)
{
    char now[MILL_S3_REGION_BYTES];
    for (int turn = 0;; turn++) {
        snprintf(now, sizeof now, "%s", region);
        call->region = now;
        MILL_TRY(mill_http_send(http, mill_s3_make, call, answer, err));
        const char *other = mill_http_header(answer, "x-amz-bucket-region");
        bool elsewhere = answer->status == 301 || answer->status == 307 || answer->status == 400;
        if (!elsewhere || other == NULL || turn == 2 || call->s3->endpoint != NULL ||
            strlen(other) >= MILL_S3_REGION_BYTES ||
            strspn(other, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(other) ||
            strcmp(other, now) == 0)
            break;
        snprintf(region, MILL_S3_REGION_BYTES, "%s", other);
    }
    call->region = region;
    return MILL_OK;
}

mill_status mill_s3_refused(const mill_s3 *s3, const mill_http_answer *answer, const char *shown,
                            mill_error *err)
{
    mill_s3_answer parsed = {0};
    mill_status status = answer->passing ? MILL_IO : MILL_INPUT;
    const char *advice = "";
    if (answer->body.bytes != 0)
        (void)!mill_s3_answer_parse(answer->body.data, answer->body.bytes, shown, &parsed, NULL);
    if (answer->status == 403)
        advice =
            s3->access_key == NULL
                ? "; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, so it was asked for anonymously"
                : "; check the keys, their rights, and the clock of this machine";
    else if (answer->status == 301 || answer->status == 400)
        advice = "; check AWS_REGION and AWS_ENDPOINT_URL";
    if (parsed.code != NULL)
        mill_fail(err, status, "%.160s: HTTP %ld %.60s: %.100s%s", shown, answer->status, parsed.code,
                  parsed.message != NULL ? parsed.message : "", advice);
    else
        mill_fail(err, status, "%.160s: HTTP %ld%s%s", shown, answer->status,
                  answer->status == 404   ? ", not found"
                  : answer->status == 403 ? ", not allowed"
                                          : "",
                  advice);
    mill_s3_answer_free(&parsed);
    return status;
}

// ---- what there is

static int base64_value(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

// 44 digits of base 64 -> 64 of base 16; false for anything else, such as the sum of sums "...=-12" of an
// object in parts.
static bool decode_sha256(const char *text, char hex[65])
{
    uint8_t bytes[33];
    uint32_t bits = 0, have = 0, count = 0;
    if (text == NULL || strlen(text) != 44 || text[43] != '=')
        return false;
    for (size_t i = 0; i < 43; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            bytes[count++] = (uint8_t)(bits >> have);
        }
    }
    mill_hex(bytes, 32, hex);
    return true;
}

void mill_s3_sums(const mill_http_answer *answer, char sha256[65], bool *etag_is_md5)
{
    const char *encryption = mill_http_header(answer, "x-amz-server-side-encryption");
    const char *type = mill_http_header(answer, "x-amz-checksum-type"),
               *etag = mill_http_header(answer, "etag");
    // Of an object that came in parts the sum is one of the parts' sums, unless the server says otherwise.
    bool whole = type != NULL ? strcmp(type, "FULL_OBJECT") == 0 : etag == NULL || strchr(etag, '-') == NULL;
    sha256[0] = '\0';
    if (whole)
        (void)decode_sha256(mill_http_header(answer, "x-amz-checksum-sha256"), sha256);
    *etag_is_md5 = (encryption == NULL || strcmp(encryption, "AES256") == 0) &&
                   mill_http_header(answer, "x-amz-server-side-encryption-customer-algorithm") == NULL;
}

mill_status mill_s3_head(const mill_s3 *s3, mill_http *http, const char *bucket,
                         char region[MILL_S3_REGION_BYTES], const char *key, bool *there, mill_remotes *list,
                         mill_error *err)
{
    char shown[300];
    mill_http_answer answer = {0};
    mill_s3_call call = {.s3 = s3,
                         .method = "HEAD",
                         .bucket = bucket,
                         .key = key,
                         .query = "",
                         .shown = shown,
                         .extra = {{"x-amz-checksum-mode", "ENABLED"}},
                         .extra_count = 1};
    *there = false;
    snprintf(shown, sizeof shown, "s3://%s/%.200s", bucket, key);
    mill_status status = mill_s3_send(&call, http, region, &answer, err);
    if (status == MILL_OK && answer.status == 200) {
        mill_sum sum = {0};
        bool is_md5;
        const char *etag = mill_http_header(&answer, "etag");
        mill_s3_sums(&answer, sum.hex, &is_md5);
        if (sum.hex[0] != '\0') {
            sum.kind = MILL_SUM_SHA256;
        } else if (is_md5 && etag != NULL && strlen(etag) == 34 &&
                   strspn(etag + 1, "0123456789abcdef") == 32) {
            sum.kind = MILL_SUM_MD5;
            memcpy(sum.hex, etag + 1, 32);
            sum.hex[32] = '\0';
        }
        *there = true;
        status = mill_remotes_add(list, key, etag, mill_http_length(&answer), &sum, err);
    } else if (status == MILL_OK && answer.status != 404 && answer.status != 403) {
        status = mill_s3_refused(s3, &answer, shown, err);
    }
    mill_http_answer_free(&answer);
    mill_s3_call_free(&call);
    return status;
}

static mill_status list_page(mill_s3_call *call, mill_http *http, char region[MILL_S3_REGION_BYTES],
                             mill_s3_answer *page, mill_error *err)
{
    mill_http_answer answer = {0};
    mill_status status = mill_s3_send(call, http, region, &answer, err);
    if (status == MILL_OK && answer.status != 200)
        status = mill_s3_refused(call->s3, &answer, call->shown, err);
    if (status == MILL_OK)
        status = mill_s3_answer_parse(answer.body.data, answer.body.bytes, call->shown, page, err);
    mill_http_answer_free(&answer);
    return status;
}

mill_status mill_s3_list(const mill_s3 *s3, mill_http *http, const char *bucket,
                         char region[MILL_S3_REGION_BYTES], const char *prefix, mill_remotes *list,
                         mill_error *err)
{
    char shown[300];
    mill_buf query = {0};
    mill_s3_answer page = {.objects = list};
    mill_s3_call call = {.s3 = s3, .method = "GET", .bucket = bucket, .shown = shown};
    mill_status status = MILL_OK;
    bool more = true;
    snprintf(shown, sizeof shown, "s3://%s/%.200s", bucket, prefix);
    for (uint32_t number = 0; status == MILL_OK && more; number++) {
        mill_buf_clear(&query);
        if (number == PAGES_MAX)
            status = mill_fail(err, MILL_INPUT, "%s: the list of objects has no end", shown);
        if (status == MILL_OK && number != 0)
            status = mill_buf_append_text(&query, "continuation-token=", err);
        if (status == MILL_OK && number != 0)
            status = mill_url_encode(&query, page.next, strlen(page.next), "", err);
        if (status == MILL_OK)
            status = mill_buf_printf(&query, err,
                                     "%sencoding-type=url&list-type=2&prefix=", number != 0 ? "&" : "");
        if (status == MILL_OK)
            status = mill_url_encode(&query, prefix, strlen(prefix), "", err);
        if (status == MILL_OK)
            status = mill_buf_append(&query, "", 1, err);
        mill_s3_answer_free(&page);
        page.objects = list;
        call.query = (const char *)query.data;
        if (status == MILL_OK)
            status = list_page(&call, http, region, &page, err);
        more = page.truncated && page.next != NULL && *page.next != '\0';
        if (status == MILL_OK && page.truncated && !more)
            status = mill_fail(err, MILL_INPUT, "%s: the list of objects breaks off", shown);
    }
    mill_s3_answer_free(&page);
    mill_s3_call_free(&call);
    mill_buf_free(&query);
    return status;
}

static bool is_match(void *context, const mill_remote *remote)
{
    return mill_glob_match(context, remote->name);
}

// "a/" with no bytes is how consoles draw a folder.
static bool is_object(void *context, const mill_remote *remote)
{
    (void)context;
    size_t bytes = strlen(remote->name);
    return bytes != 0 && (remote->name[bytes - 1] != '/' || remote->bytes != 0);
}

mill_status mill_s3_find(const mill_s3 *s3, mill_http *http, const char *bucket,
                         char region[MILL_S3_REGION_BYTES], const char *path, mill_remotes *list,
                         mill_error *err)
{
    bool there = false, pattern = mill_glob_is_pattern(path);
    size_t bytes = pattern ? strcspn(path, "*?[") : strlen(path);
    if (!pattern && bytes != 0 && path[bytes - 1] != '/')
        MILL_TRY(mill_s3_head(s3, http, bucket, region, path, &there, list, err));
    if (there)
        return MILL_OK;
    mill_buf prefix = {0};
    bool slash = !pattern && bytes != 0 && path[bytes - 1] != '/';
    mill_status status = mill_buf_printf(&prefix, err, "%.*s%s", (int)bytes, path, slash ? "/" : "");
    if (status == MILL_OK)
        status = mill_buf_append(&prefix, "", 1, err);
    if (status == MILL_OK)
        status = mill_s3_list(s3, http, bucket, region, (const char *)prefix.data, list, err);
    mill_buf_free(&prefix);
    MILL_TRY(status);
    if (pattern)
        mill_remotes_filter(list, is_match, (void *)(uintptr_t)path);
    mill_remotes_filter(list, is_object, NULL);
    return list->count != 0
               ? MILL_OK
               : mill_fail(err, MILL_INPUT, "s3://%s/%.200s: there is no such object, and nothing below it",
                           bucket, path);
}
