// http.c: requests over libcurl.
#include "fetch/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/rng.h"
#include "fetch/names.h"

enum {
    REDIRECTS_MAX = 10,
    HEADERS_BYTES_MAX = 256 << 10,
    REASON_BYTES_MAX = 64 << 10, // kept of a body that tells why a request was refused
    CONNECT_SECONDS = 30,
    WAIT_MS_MAX = 60000,
    RETRY_AFTER_MS_MAX = 10 * 60 * 1000,
    SLEEP_SLICE_MS = 50,
    TOLD_MS = 4000, // a wait that somebody may wonder about
};

struct mill_http {
    CURL *curl;
    mill_http_options options;
    uint64_t waits; // so far: jitter differs each time
    char reason[CURL_ERROR_SIZE];
};

// What one transfer needs while it runs.
typedef struct transfer {
    mill_http *http;
    const mill_http_request *request;
    mill_http_answer *answer;
    bool begun, headers_too_long;
    mill_status status; // of sink or memory; ends the transfer
    mill_error *err;
} transfer;

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void start_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

mill_status mill_http_open(const mill_http_options *options, mill_http **out, mill_error *err)
{
    *out = NULL;
    pthread_once(&curl_once, start_curl);
    if (curl_ready != CURLE_OK)
        return mill_fail(err, MILL_RESOURCE, "libcurl cannot start: %s", curl_easy_strerror(curl_ready));
    mill_http *http = mill_alloc_zero(1, sizeof *http);
    if (http == NULL || (http->curl = curl_easy_init()) == NULL) {
        mill_free(http);
        return mill_fail_nomem(err, "preparing a connection");
    }
    http->options = *options;
    *out = http;
    return MILL_OK;
}

void mill_http_close(mill_http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->curl);
    mill_free(http);
}

// ---- answers

void mill_http_answer_free(mill_http_answer *answer)
{
    mill_buf_free(&answer->headers);
    mill_buf_free(&answer->body);
    *answer = (mill_http_answer){0};
}

const char *mill_http_header(const mill_http_answer *answer, const char *name)
{
    const char *text = (const char *)answer->headers.data;
    for (size_t at = 0; at < answer->headers.bytes;) {
        size_t name_bytes = strlen(text + at);
        const char *value = text + at + name_bytes + 1;
        if (strcmp(text + at, name) == 0)
            return value;
        at += name_bytes + 1 + strlen(value) + 1;
    }
    return NULL;
}

uint64_t mill_http_length(const mill_http_answer *answer)
{
    const char *text = mill_http_header(answer, "content-length");
    char *end;
    if (text == NULL || *text < '0' || *text > '9')
        return MILL_HTTP_UNKNOWN;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' ? value : MILL_HTTP_UNKNOWN;
}

static bool is_success(long status)
{
    return status >= 200 && status <= 299;
}

static bool is_passing(long status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
           status == 503 || status == 504;
}

// Retry-After: seconds, or a date.
static uint64_t asked_wait(const mill_http_answer *answer)
{
    const char *text = mill_http_header(answer, "retry-after");
    char *end;
    if (text == NULL)
        return 0;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0') {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        time_t then = curl_getdate(text, NULL);
        seconds = then > now.tv_sec ? (double)(then - now.tv_sec) : 0.0;
    }
    double ms = seconds * 1000.0;
    return !(ms > 0.0) ? 0 : ms < RETRY_AFTER_MS_MAX ? (uint64_t)ms : RETRY_AFTER_MS_MAX;
}

// ---- callbacks of libcurl

static size_t fail_transfer(transfer *t, mill_status status)
{
    t->status = status;
    return 0; // fewer bytes than were given: libcurl ends the transfer
}

static mill_status add_header(transfer *t, const char *line, size_t bytes)
{
    mill_buf *headers = &t->answer->headers;
    const char *colon = memchr(line, ':', bytes);
    if (bytes >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        mill_buf_clear(headers); // the next response: what stood before belongs to one of "100 Continue"
        return MILL_OK;
    }
    if (colon == NULL || memchr(line, '\0', bytes) != NULL)
        return MILL_OK;
    if (headers->bytes + bytes > HEADERS_BYTES_MAX) {
        t->headers_too_long = true;
        return mill_fail(t->err, MILL_INPUT, "%s: answers with more than %d KiB of headers",
                         t->request->shown, HEADERS_BYTES_MAX >> 10);
    }
    size_t name = (size_t)(colon - line), begin = headers->bytes;
    const char *value = colon + 1, *end = line + bytes;
    while (value < end && strchr(" \t", *value) != NULL)
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    MILL_TRY(mill_buf_append(headers, line, name, t->err));
    for (size_t i = begin; i < headers->bytes; i++)
        headers->data[i] = (uint8_t)tolower(headers->data[i]);
    MILL_TRY(mill_buf_append(headers, "", 1, t->err));
    MILL_TRY(mill_buf_append(headers, value, (size_t)(end - value), t->err));
    return mill_buf_append(headers, "", 1, t->err);
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    transfer *t = context;
    mill_status status = add_header(t, data, size * count);
    return status == MILL_OK ? size * count : fail_transfer(t, status);
}

static mill_status begin_body(transfer *t)
{
    if (t->begun)
        return MILL_OK;
    t->begun = true;
    curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &t->answer->status);
    if (t->request->sink != NULL && is_success(t->answer->status))
        return t->request->sink->begin(t->request->sink->context, t->answer, t->err);
    return MILL_OK;
}

static mill_status take_body(transfer *t, const void *data, size_t bytes)
{
    MILL_TRY(begin_body(t));
    bool success = is_success(t->answer->status);
    mill_buf *body = &t->answer->body;
    if (success && t->request->sink != NULL)
        return t->request->sink->write(t->request->sink->context, data, bytes, t->err);
    if (!success) {
        size_t room = body->bytes < REASON_BYTES_MAX ? REASON_BYTES_MAX - body->bytes : 0;
        return mill_buf_append(body, data, bytes < room ? bytes : room, t->err);
    }
    if (bytes > t->request->answer_bytes_max || body->bytes > t->request->answer_bytes_max - bytes)
        return mill_fail(t->err, MILL_INPUT, "%s: the answer is longer than %zu bytes", t->request->shown,
                         t->request->answer_bytes_max);
    return mill_buf_append(body, data, bytes, t->err);
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    transfer *t = context;
    mill_status status = take_body(t, data, size * count);
    return status == MILL_OK ? size * count : fail_transfer(t, status);
}

static bool must_stop(const mill_http *http)
{
    return (http->options.stop != NULL && *http->options.stop != 0) ||
           (http->options.broken != NULL && atomic_load(http->options.broken));
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    const transfer *t = context;
    return must_stop(t->http) ? 1 : 0;
}

typedef struct upload {
    const uint8_t *data;
    size_t bytes, at;
} upload;

static size_t on_read(char *out, size_t size, size_t count, void *context)
{
    upload *u = context;
    size_t room = size * count, left = u->bytes - u->at, bytes = room < left ? room : left;
    if (bytes != 0)
        memcpy(out, u->data + u->at, bytes);
    u->at += bytes;
    return bytes;
}

static int on_seek(void *context, curl_off_t offset, int origin)
{
    upload *u = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > u->bytes)
        return CURL_SEEKFUNC_FAIL;
    u->at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

// ---- one transfer

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (grown == NULL)
        return false;
    *list = grown;
    return true;
}

static mill_status make_headers(const mill_http_request *request, bool with_secrets, struct curl_slist **list,
                                mill_error *err)
{
    // libcurl would wait a second for "100 Continue" before each part, and send a Content-Type of its own.
    bool good = add_line(list, "Expect:") && add_line(list, "Content-Type:");
    for (size_t i = 0; good && i < request->header_count; i++)
        good = add_line(list, request->headers[i]);
    for (size_t i = 0; good && with_secrets && i < request->secret_count; i++)
        good = add_line(list, request->secrets[i]);
    return good ? MILL_OK : mill_fail_nomem(err, "preparing a request");
}

static void set_method(CURL *curl, const mill_http_request *request, upload *body)
{
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (strcmp(request->method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, body);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, body);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_bytes);
    } else if (strcmp(request->method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
    } else if (strcmp(request->method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

static void set_options(transfer *t, const char *url, struct curl_slist *headers, upload *body)
{
    CURL *curl = t->http->curl;
    const char *bundle = getenv("CURL_CA_BUNDLE");
    curl_easy_reset(curl); // keeps connections
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); // what is signed is what is sent
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "shardmill/" MILL_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->http->reason);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)t->http->options.timeout_s);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
    if (bundle != NULL && *bundle != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, bundle);
        // Redirects are looked at one by one, and the address is http or https already; this is the second
        // lock.
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    set_method(curl, t->request, body);
}

static bool is_passing_code(CURLcode code)
{
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY: return true;
    default: return false;
    }
}

static mill_status say_failure(const transfer *t, CURLcode code)
{
    const char *reason = t->http->reason[0] != '\0' ? t->http->reason : curl_easy_strerror(code);
    t->answer->passing = is_passing_code(code);
    if (code == CURLE_OUT_OF_MEMORY)
        return mill_fail_nomem(t->err, "a transfer");
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return mill_fail(t->err, MILL_INPUT, "%s: is no address that can be asked", t->request->shown);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return mill_fail(t->err, MILL_IO,
                         "%s: %s; the certificate is not trusted here (CURL_CA_BUNDLE names another list)",
                         t->request->shown, reason);
    return mill_fail(t->err, MILL_IO, "%s: %s", t->request->shown, reason);
}

static mill_status run_transfer(transfer *t, const char *url, bool with_secrets)
{
    struct curl_slist *headers = NULL;
    upload body = {t->request->body, t->request->body_bytes, 0};
    mill_status status = make_headers(t->request, with_secrets, &headers, t->err);
    if (status == MILL_OK) {
        set_options(t, url, headers, &body);
        t->http->reason[0] = '\0';
        CURLcode code = curl_easy_perform(t->http->curl);
        if (t->status != MILL_OK)
            status = t->status;
        else if (must_stop(t->http))
            status = mill_fail_stopped(t->err);
        else if (code != CURLE_OK)
            status = say_failure(t, code);
        else
            status = begin_body(t);
    }
    curl_slist_free_all(headers);
    return status;
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Where an answer sends to; NULL with MILL_OK: nowhere.
static mill_status find_redirect(const transfer *t, const char *from, char **to)
{
    const char *target = NULL;
    char origin[300];
    *to = NULL;
    if (!is_redirect(t->answer->status) || t->request->stay)
        return MILL_OK;
    curl_easy_getinfo(t->http->curl, CURLINFO_REDIRECT_URL, &target);
    if (target == NULL)
        return MILL_OK;
    if (!mill_url_origin(target, origin))
        return mill_fail(t->err, MILL_INPUT, "%s: sends to an address that is neither http nor https",
                         t->request->shown);
    if (strncmp(origin, "http://", 7) == 0 && strncmp(from, "https://", 8) == 0)
        return mill_fail(t->err, MILL_INPUT, "%s: sends from https to http, which is not followed",
                         t->request->shown);
    *to = mill_strdup(target);
    return *to == NULL ? mill_fail_nomem(t->err, "a redirect") : MILL_OK;
}

static mill_status follow(mill_http *http, const mill_http_request *request, mill_http_answer *answer,
                          char **url, mill_error *err)
{
    char first[300], now[300];
    if (!mill_url_origin(*url, first))
        return mill_fail(err, MILL_INPUT, "%s: is no http or https address", request->shown);
    for (int hops = 0; hops <= REDIRECTS_MAX; hops++) {
        transfer t = {.http = http, .request = request, .answer = answer, .err = err};
        bool same = mill_url_origin(*url, now) && strcmp(first, now) == 0;
        if (request->secret_count != 0 && same && !mill_url_is_private(*url))
            return mill_fail(err, MILL_USAGE, "%s: a token would travel unencrypted over http; use https",
                             request->shown);
        mill_http_answer_free(answer);
        MILL_TRY(run_transfer(&t, *url, same));
        char *next;
        MILL_TRY(find_redirect(&t, *url, &next));
        if (next == NULL)
            return MILL_OK;
        mill_free(*url);
        *url = next;
    }
    return mill_fail(err, MILL_INPUT, "%s: sends from address to address without an end", request->shown);
}

mill_status mill_http_once(mill_http *http, const mill_http_request *request, mill_http_answer *answer,
                           mill_error *err)
{
    char *url = mill_strdup(request->url);
    if (url == NULL)
        return mill_fail_nomem(err, "a request");
    mill_status status = follow(http, request, answer, &url, err);
    mill_free(url);
    if (status == MILL_OK) {
        answer->passing = is_passing(answer->status);
        answer->wait_ms = answer->passing ? asked_wait(answer) : 0;
    }
    return status;
}

mill_status mill_http_wait(mill_http *http, const mill_http_answer *answer, uint32_t tries_done,
                           const char *shown, mill_error *err)
{
    uint64_t ms = http->options.wait_ms;
    for (uint32_t i = 1; i < tries_done && ms < WAIT_MS_MAX; i++)
        ms *= 2;
    ms = ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX;
    // Half of it by chance, so that threads that were refused together do not come back together. No result
    // depends on it.
    mill_key key = mill_hash128(shown, strlen(shown));
    ms = ms / 2 + mill_draw_below(mill_draw((uint64_t)mill_clock_ns(), MILL_DRAW_ORDER, key, http->waits++),
                                  ms / 2 + 1);
    ms = ms > answer->wait_ms ? ms : answer->wait_ms;
    mill_log_line(http->options.log, ms >= TOLD_MS ? MILL_LOG_INFO : MILL_LOG_DEBUG, "%s: try %u in %.1f s",
                  shown, tries_done + 1, (double)ms * 1e-3);
    const int64_t end = mill_clock_ns() + (int64_t)ms * 1000000;
    for (;;) {
        if (must_stop(http))
            return mill_fail_stopped(err);
        int64_t left = end - mill_clock_ns();
        if (left <= 0)
            return MILL_OK;
        struct timespec slice = {0, left < SLEEP_SLICE_MS * 1000000 ? left : SLEEP_SLICE_MS * 1000000};
        nanosleep(&slice, NULL);
    }
}

mill_status mill_http_refused(const mill_http_answer *answer, const char *shown, mill_error *err)
{
    static const struct {
        long status;
        const char *text;
    } texts[] = {{400, "bad request"},    {401, "log in first"}, {403, "not allowed"},
                 {404, "not found"},      {410, "gone"},         {429, "too many requests"},
                 {500, "server error"},   {502, "bad gateway"},  {503, "not available"},
                 {504, "gateway timeout"}};
    const char *text = "unexpected answer";
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].status == answer->status)
            text = texts[i].text;
    }
    return mill_fail(err, answer->passing ? MILL_IO : MILL_INPUT, "%s: HTTP %ld, %s", shown, answer->status,
                     text);
}

mill_status mill_http_send(mill_http *http, mill_http_maker make, void *context, mill_http_answer *answer,
                           mill_error *err)
{
    mill_http_request request;
    for (uint32_t tries = 1;; tries++) {
        request = (mill_http_request){0};
        MILL_TRY(make(context, &request, err));
        mill_http_answer_free(answer);
        mill_status status = mill_http_once(http, &request, answer, err);
        if ((status != MILL_OK && status != MILL_IO) || !answer->passing)
            return status;
        if (tries >= http->options.tries)
            return status == MILL_OK ? mill_http_refused(answer, request.shown, err) : status;
        MILL_TRY(mill_http_wait(http, answer, tries, request.shown, err));
    }
}
