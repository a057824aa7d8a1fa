// address.c: the arguments of collect taken apart: https://..., hf://datasets/..., s3://bucket/...
#include "fetch/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

// A buffer's bytes as a string of its own; the buffer is empty afterwards.
static mill_status take_text(mill_buf *buf, char **out, mill_error *err)
{
    mill_status status = MILL_OK;
    *out = mill_strndup(buf->data != NULL ? (const char *)buf->data : "", buf->bytes);
    if (*out == NULL)
        status = mill_fail_nomem(err, "reading an address");
    mill_buf_free(buf);
    return status;
}

static mill_status copy(char **out, const char *text, size_t bytes, mill_error *err)
{
    *out = mill_strndup(text, bytes);
    return *out == NULL ? mill_fail_nomem(err, "reading an address") : MILL_OK;
}

void mill_address_free(mill_address *a)
{
    char *texts[] = {a->shown, a->request, a->user, a->place, a->path};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        mill_free(texts[i]);
    *a = (mill_address){0};
}

static bool has_controls(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

static mill_status read_fragment(const char *fragment, mill_address *out, const char *shown, mill_error *err)
{
    const char *digits = fragment + strlen("#sha256=");
    if (*fragment == '\0')
        return MILL_OK;
    if (strncasecmp(fragment, "#sha256=", 8) != 0 || strlen(digits) != 64 ||
        strspn(digits, "0123456789abcdefABCDEF") != 64)
        return mill_fail(err, MILL_USAGE, "%s: after '#' only sha256= and 64 hexadecimal digits may stand",
                         shown);
    for (size_t i = 0; i < 64; i++)
        out->sha256[i] = (char)tolower((unsigned char)digits[i]);
    out->sha256[64] = '\0';
    return MILL_OK;
}

// The path after the host: "/a/b" without query; the last component is the file's name.
static mill_status decode_path(const char *path, size_t bytes, const char *shown, char **out, mill_error *err)
{
    mill_buf text = {0};
    while (bytes != 0 && *path == '/') {
        path++;
        bytes--;
    }
    if (bytes == 0 || path[bytes - 1] == '/')
        return mill_fail(err, MILL_USAGE,
                         "%s: names no file; over https, collect takes single files (patterns: hf://, s3://)",
                         shown);
    mill_status status = mill_url_decode(&text, path, bytes, false, err);
    if (status == MILL_OK && memchr(text.data, '\0', text.bytes) != NULL)
        status = mill_fail(err, MILL_USAGE, "%s: holds %%00, which no file name can", shown);
    if (status != MILL_OK) {
        mill_buf_free(&text);
        return status;
    }
    return take_text(&text, out, err);
}

static mill_status parse_web(const char *text, mill_address *out, mill_error *err)
{
    const char *host = strstr(text, "://") + 3;
    size_t scheme_bytes = (size_t)(host - text), authority = strcspn(host, "/?#");
    const char *end = host + authority, *at = memrchr(host, '@', authority);
    size_t path_bytes = strcspn(end, "?#");
    const char *fragment = strchr(end, '#');
    size_t request_bytes = fragment != NULL ? (size_t)(fragment - end) : strlen(end);
    mill_buf shown = {0}, request = {0};
    out->kind = MILL_ADDRESS_WEB;
    if (at != NULL) {
        mill_buf user = {0};
        mill_status status = mill_url_decode(&user, host, (size_t)(at - host), false, err);
        if (status != MILL_OK) {
            mill_buf_free(&user);
            return status;
        }
        MILL_TRY(take_text(&user, &out->user, err));
        host = at + 1;
    }
    mill_status status = mill_buf_printf(&shown, err, "%.*s%.*s%.*s", (int)scheme_bytes, text,
                                         (int)(end - host), host, (int)path_bytes, end);
    if (status == MILL_OK)
        status = mill_buf_printf(&request, err, "%.*s%.*s%.*s", (int)scheme_bytes, text, (int)(end - host),
                                 host, (int)request_bytes, end);
    if (status == MILL_OK)
        status = take_text(&shown, &out->shown, err);
    if (status == MILL_OK)
        status = take_text(&request, &out->request, err);
    mill_buf_free(&shown);
    mill_buf_free(&request);
    MILL_TRY(status);
    size_t host_bytes = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    if (host_bytes == 0 || host_bytes > (size_t)(end - host))
        return mill_fail(err, MILL_USAGE, "%s: has no host", out->shown);
    MILL_TRY(copy(&out->place, host, host_bytes, err));
    MILL_TRY(decode_path(end, path_bytes, out->shown, &out->path, err));
    return read_fragment(fragment != NULL ? fragment : "", out, out->shown, err);
}

static mill_status parse_hub(const char *text, mill_address *out, mill_error *err)
{
    const char *rest = text + strlen("hf://");
    out->kind = MILL_ADDRESS_HUB;
    MILL_TRY(copy(&out->shown, text, strlen(text), err));
    if (strncmp(rest, "datasets/", 9) != 0 || rest[9] == '\0' || rest[9] == '/')
        return mill_fail(err, MILL_USAGE, "%s: an address of the hub begins with hf://datasets/OWNER/NAME",
                         text);
    MILL_TRY(copy(&out->path, rest + 9, strlen(rest + 9), err));
    return copy(&out->place, "", 0, err);
}

static mill_status parse_s3(const char *text, mill_address *out, mill_error *err)
{
    const char *bucket = text + strlen("s3://");
    size_t bytes = strcspn(bucket, "/");
    out->kind = MILL_ADDRESS_S3;
    MILL_TRY(copy(&out->shown, text, strlen(text), err));
    // What AWS lets a bucket be called: no byte of it needs coding, and none can leave its place in an
    // address.
    if (bytes < 3 || bytes > 63 ||
        strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") < bytes ||
        bucket[0] == '.' || strncmp(bucket, "..", 2) == 0)
        return mill_fail(err, MILL_USAGE, "%s: '%.*s' cannot be the name of a bucket", text,
                         (int)(bytes < 80 ? bytes : 80), bucket);
    MILL_TRY(copy(&out->place, bucket, bytes, err));
    const char *key = bucket + bytes + (bucket[bytes] == '/');
    return copy(&out->path, key, strlen(key), err);
}

mill_status mill_address_parse(const char *text, mill_address *out, mill_error *err)
{
    mill_status status;
    *out = (mill_address){0};
    if (has_controls(text))
        status = mill_fail(err, MILL_USAGE, "an address holds control characters");
    else if (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0)
        status = parse_web(text, out, err);
    else if (strncmp(text, "hf://", 5) == 0)
        status = parse_hub(text, out, err);
    else if (strncmp(text, "s3://", 5) == 0)
        status = parse_s3(text, out, err);
    else
        status = mill_fail(
            err, MILL_USAGE,
            "%.*s: cannot be collected; give hf://datasets/OWNER/NAME/PATH, https://... or s3://BUCKET/KEY",
            (int)strcspn(text, "?@#"), text);
    if (status == MILL_OK && strlen(out->path) > MILL_GLOB_BYTES_MAX)
        status = mill_fail(err, MILL_USAGE, "%.60s...: a path of more than %d bytes", out->shown,
                           MILL_GLOB_BYTES_MAX);
    if (status != MILL_OK)
        mill_address_free(out);
    return status;
}

// ---- the hub

void mill_hub_place_free(mill_hub_place *place)
{
    mill_free(place->name);
    mill_free(place->revision);
    mill_free(place->path);
    *place = (mill_hub_place){0};
}

// Bytes of a revision: up to the next slash; the hub's own references have three parts.
static size_t revision_bytes(const char *text)
{
    size_t known = strncmp(text, "refs/convert/", 13) == 0 ? 13 : strncmp(text, "refs/pr/", 8) == 0 ? 8 : 0;
    return known + strcspn(text + known, "/");
}

static bool is_name(const char *name, size_t bytes)
{
    if (bytes == 0 || name[0] == '/' || name[bytes - 1] == '/' || bytes > 200)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        bool good = isalnum((unsigned char)name[i]) || strchr("-_./", name[i]) != NULL;
        if (!good || (name[i] == '.' && i + 1 < bytes && name[i + 1] == '.'))
            return false;
    }
    return true;
}

static mill_status fill_place(const char *text, size_t name_bytes, mill_hub_place *out, mill_error *err)
{
    const char *rest = text + name_bytes;
    mill_buf revision = {0};
    mill_status status = MILL_OK;
    if (*rest == '@') {
        size_t bytes = revision_bytes(++rest);
        status = mill_url_decode(&revision, rest, bytes, false, err);
        rest += bytes;
    } else {
        status = mill_buf_append_text(&revision, "main", err);
    }
    if (status == MILL_OK && (revision.bytes == 0 || memchr(revision.data, '\0', revision.bytes) != NULL))
        status =
            mill_fail(err, MILL_USAGE,
                      "hf://datasets/%s: after '@' a revision must stand (a branch, tag or commit)", text);
    if (status == MILL_OK)
        status = take_text(&revision, &out->revision, err);
    mill_buf_free(&revision);
    while (status == MILL_OK && *rest == '/')
        rest++;
    if (status == MILL_OK)
        status = copy(&out->name, text, name_bytes, err);
    return status == MILL_OK ? copy(&out->path, rest, strlen(rest), err) : status;
}

mill_status mill_hub_place_parse(const char *text, uint32_t candidate, mill_hub_place *out, bool *there,
                                 mill_error *err)
{
    size_t first = strcspn(text, "/@"),
           second = text[first] == '/' ? first + 1 + strcspn(text + first + 1, "/@") : first;
    *out = (mill_hub_place){0};
    // "a@rev/..." and "a" can be read in one way only; so can "a/b@rev/...".
    size_t bytes = candidate == 0 ? second : first;
    *there = candidate == 0 || (candidate == 1 && second != first && text[second] != '@');
    if (!*there)
        return MILL_OK;
    if (!is_name(text, bytes))
        return mill_fail(err, MILL_USAGE,
                         "hf://datasets/%.200s: '%.*s' cannot be the name of a data set (OWNER/NAME)", text,
                         (int)(bytes < 200 ? bytes : 200), text);
    mill_status status = fill_place(text, bytes, out, err);
    if (status != MILL_OK)
        mill_hub_place_free(out);
    return status;
}

// ---- origins

bool mill_url_origin(const char *url, char out[300])
{
    bool secure = strncasecmp(url, "https://", 8) == 0;
    if (!secure && strncasecmp(url, "http://", 7) != 0)
        return false;
    const char *host = url + (secure ? 8 : 7);
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority), *end = host + authority;
    host = at != NULL ? at + 1 : host;
    const char *bracket = memrchr(host, ']', (size_t)(end - host));
    const char *from = bracket != NULL ? bracket : host, *colon = memchr(from, ':', (size_t)(end - from));
    const char *host_end = colon != NULL ? colon : end;
    if (host_end == host || host_end - host > 253 || (colon != NULL && end - colon > 6))
        return false;
    bool has_port = colon != NULL && end - colon > 1;
    snprintf(out, 300, "http%s://%.*s:%.*s", secure ? "s" : "", (int)(host_end - host), host,
             has_port ? (int)(end - colon - 1) : (secure ? 3 : 2),
             has_port ? colon + 1 : (secure ? "443" : "80"));
    for (char *c = out; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return true;
}

bool mill_url_is_private(const char *url)
{
    static const char *const here[] = {"http://127.0.0.1:", "http://localhost:", "http://[::1]:"};
    char origin[300];
    if (!mill_url_origin(url, origin))
        return false;
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        if (strncmp(origin, here[i], strlen(here[i])) == 0)
            return true;
    }
    return strncmp(origin, "https://", 8) == 0;
}

// One parameter "; name=value" at p: true if it says rel=next. *end: where the next one begins, or the ',' or
// end behind them.
static bool parameter_says_next(const char *p, const char **end)
{
    p++;
    p += strspn(p, " \t");
    size_t name = strcspn(p, "=;, \t\"");
    const char *value = p + name + strspn(p + name, " \t");
    bool rel = name == 3 && strncasecmp(p, "rel", 3) == 0;
    if (*value != '=') {
        *end = value;
        return false;
    }
    value++;
    value += strspn(value, " \t");
    size_t bytes;
    if (*value == '"') {
        bytes = strcspn(++value, "\"");
        *end = value + bytes + (value[bytes] == '"');
    } else {
        bytes = strcspn(value, ";, \t");
        *end = value + bytes;
    }
    return rel && bytes == 4 && strncasecmp(value, "next", 4) == 0;
}

bool mill_link_next(const char *value, const char **url, size_t *bytes)
{
    const char *p = value;
    while ((p = strchr(p, '<')) != NULL) {
        const char *begin = ++p;
        p = strchr(p, '>');
        if (p == NULL)
            return false;
        size_t length = (size_t)(p - begin);
        bool next = false;
        for (p++; *p != '\0' && *p != ',';) {
            if (*p == ';')
                next |= parameter_says_next(p, &p);
            else
                p++;
        }
        if (next && length != 0) {
            *url = begin;
            *bytes = length;
            return true;
        }
    }
    return false;
}
