// hub.c: data sets of a Hugging Face hub.
#include "fetch/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

enum { PAGE_BYTES_MAX = 64 << 20, PAGES_MAX = 100000 };

void mill_hub_close(mill_hub *hub)
{
    mill_free(hub->endpoint);
    mill_free(hub->secret);
    *hub = (mill_hub){0};
}

static bool is_header_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f)
            return false;
    }
    return true;
}

mill_status mill_hub_open(mill_hub *hub, mill_error *err)
{
    const char *endpoint = getenv("HF_ENDPOINT"), *token = getenv("HF_TOKEN");
    char origin[300];
    *hub = (mill_hub){0};
    endpoint = endpoint != NULL && *endpoint != '\0' ? endpoint : "https://huggingface.co";
    size_t bytes = strlen(endpoint);
    while (bytes != 0 && endpoint[bytes - 1] == '/')
        bytes--;
    if (!mill_url_origin(endpoint, origin) || strpbrk(endpoint, "@?#") != NULL || !is_header_text(endpoint))
        return mill_fail(err, MILL_USAGE, "HF_ENDPOINT is no address of a hub (https://HOST)");
    if (token != NULL && !is_header_text(token))
        return mill_fail(err, MILL_USAGE, "HF_TOKEN holds blanks or control characters: it is no token");
    hub->endpoint = mill_strndup(endpoint, bytes);
    bool failed = hub->endpoint == NULL;
    if (token != NULL && *token != '\0') {
        mill_buf secret = {0};
        failed |= mill_buf_printf(&secret, err, "Authorization: Bearer %s", token) != MILL_OK;
        hub->secret = failed ? NULL : mill_strndup((const char *)secret.data, secret.bytes);
        failed |= hub->secret == NULL;
        mill_buf_free(&secret);
    }
    if (!failed)
        return MILL_OK;
    mill_hub_close(hub);
    return mill_fail_nomem(err, "preparing the hub");
}

mill_status mill_hub_refused(const mill_hub *hub, const mill_http_answer *answer, const char *shown,
                             const char *name, mill_error *err)
{
    const char *code = mill_http_header(answer, "x-error-code"),
               *message = mill_http_header(answer, "x-error-message");
    bool closed = answer->status == 401 || answer->status == 403;
    if (answer->passing)
        return mill_http_refused(answer, shown, err);
    char advice[400] = "";
    if (closed && hub->secret == NULL)
        snprintf(advice, sizeof advice,
                 "; if it is gated or private, accept its terms at %.120s/datasets/%.120s and set HF_TOKEN",
                 hub->endpoint, name);
    else if (closed)
        snprintf(
            advice, sizeof advice,
            "; HF_TOKEN gives no access: accept its terms at %.120s/datasets/%.120s, or use another token",
            hub->endpoint, name);
    return mill_fail(err, MILL_INPUT, "%.120s: HTTP %ld%s%.40s%s%.80s%s", shown, answer->status,
                     code != NULL ? " " : "", code != NULL ? code : "", message != NULL ? ": " : "",
                     message != NULL ? message : "", advice);
}

// ---- requests

typedef struct hub_call {
    const mill_hub *hub;
    const char *url, *shown;
} hub_call;

static mill_status make(void *context, mill_http_request *request, mill_error *err)
{
    (void)err;
    const hub_call *call = context;
    *request = (mill_http_request){
        .method = "GET", .url = call->url, .shown = call->shown, .answer_bytes_max = PAGE_BYTES_MAX};
    if (call->hub->secret != NULL) {
        request->secrets = (const char *const *)&call->hub->secret;
        request->secret_count = 1;
    }
    return MILL_OK;
}

mill_status mill_hub_commit(const mill_hub *hub, mill_http *http, const mill_hub_place *place,
                            char commit[65], bool *missing, mill_error *err)
{
    mill_buf url = {0};
    mill_http_answer answer = {0};
    cJSON *json = NULL;
    char shown[320];
    *missing = false;
    snprintf(shown, sizeof shown, "hf://datasets/%.200s@%.80s", place->name, place->revision);
    mill_status status =
        mill_buf_printf(&url, err, "%s/api/datasets/%s/revision/", hub->endpoint, place->name);
    if (status == MILL_OK)
        status = mill_url_encode(&url, place->revision, strlen(place->revision), "", err);
    if (status == MILL_OK)
        status = mill_buf_append(&url, "", 1, err);
    if (status == MILL_OK) {
        hub_call call = {hub, (const char *)url.data, shown};
        status = mill_http_send(http, make, &call, &answer, err);
    }
    if (status == MILL_OK && answer.status != 200) {
        const char *code = mill_http_header(&answer, "x-error-code");
        *missing = answer.status == 404
                       ? code == NULL || strcmp(code, "RepoNotFound") == 0
                       : answer.status == 401 && code != NULL && strcmp(code, "RepoNotFound") == 0;
        status = mill_hub_refused(hub, &answer, shown, place->name, err);
    }
    if (status == MILL_OK)
        status = mill_json_parse(answer.body.data, answer.body.bytes, NULL, &json, err);
    if (status == MILL_OK) {
        const cJSON *sha = cJSON_GetObjectItemCaseSensitive(json, "sha");
        size_t bytes = cJSON_IsString(sha) ? strlen(sha->valuestring) : 0;
        if (bytes < 7 || bytes > 64 || strspn(sha->valuestring, "0123456789abcdef") != bytes)
            status = mill_fail(err, MILL_INPUT, "%s: the hub names no commit for this revision", shown);
        else
            memcpy(commit, sha->valuestring, bytes + 1);
    }
    cJSON_Delete(json);
    mill_http_answer_free(&answer);
    mill_buf_free(&url);
    return status;
}

mill_status mill_hub_file_url(const mill_hub *hub, const char *name, const char *commit, const char *path,
                              mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "%s/datasets/%s/resolve/%s/", hub->endpoint, name, commit));
    MILL_TRY(mill_url_encode(out, path, strlen(path), "/", err));
    return mill_buf_append(out, "", 1, err);
}

// ---- trees

// The next page's address into url (NUL-terminated), or an empty url. It must be the hub's own: the token
// goes there.
static mill_status next_page(const mill_hub *hub, const mill_http_answer *answer, const char *shown,
                             mill_buf *url, mill_error *err)
{
    const char *link = mill_http_header(answer, "link"), *next;
    size_t bytes;
    char own[300], other[300];
    mill_buf_clear(url);
    if (link == NULL || !mill_link_next(link, &next, &bytes))
        return MILL_OK;
    if (*next == '/')
        MILL_TRY(mill_url_origin(hub->endpoint, own) ? mill_buf_append_text(url, own, err) : MILL_OK);
    MILL_TRY(mill_buf_append(url, next, bytes, err));
    MILL_TRY(mill_buf_append(url, "", 1, err));
    if (!mill_url_origin(hub->endpoint, own) || !mill_url_origin((const char *)url->data, other) ||
        strcmp(own, other) != 0)
        return mill_fail(err, MILL_INPUT,
                         "%s: the list of files goes on at another host, which is not followed", shown);
    return MILL_OK;
}

// The tree below a directory, all pages; *missing if there is no such directory.
static mill_status list_tree(const mill_hub *hub, mill_http *http, const mill_hub_place *place,
                             const char *commit, const char *directory, size_t directory_bytes,
                             bool recursive, mill_remotes *list, bool *missing, mill_error *err)
{
    mill_buf url = {0};
    mill_http_answer answer = {0};
    char shown[400];
    *missing = false;
    snprintf(shown, sizeof shown, "hf://datasets/%.150s@%.40s/%.*s", place->name, commit,
             (int)(directory_bytes < 150 ? directory_bytes : 150), directory);
    mill_status status = mill_buf_printf(&url, err, "%s/api/datasets/%s/tree/%s%s", hub->endpoint,
                                         place->name, commit, directory_bytes != 0 ? "/" : "");
    if (status == MILL_OK)
        status = mill_url_encode(&url, directory, directory_bytes, "/", err);
    if (status == MILL_OK)
        status = mill_buf_append(&url, recursive ? "?recursive=true" : "?recursive=false",
                                 recursive ? 16 : 17, err);
    for (uint32_t page = 0; status == MILL_OK && url.bytes != 0; page++) {
        hub_call call = {hub, (const char *)url.data, shown};
        status = page < PAGES_MAX ? mill_http_send(http, make, &call, &answer, err)
                                  : mill_fail(err, MILL_INPUT, "%s: the list of files has no end", shown);
        if (status == MILL_OK && answer.status == 404 && page == 0) {
            *missing = true;
            break;
        }
        if (status == MILL_OK && answer.status != 200)
            status = mill_hub_refused(hub, &answer, shown, place->name, err);
        if (status == MILL_OK)
            status = mill_hub_tree_parse(answer.body.data, answer.body.bytes, shown, list, err);
        if (status == MILL_OK)
            status = next_page(hub, &answer, shown, &url, err);
    }
    mill_http_answer_free(&answer);
    mill_buf_free(&url);
    return status;
}

static bool is_match(void *context, const mill_remote *remote)
{
    return !remote->directory && mill_glob_match(context, remote->name);
}

static bool is_file(void *context, const mill_remote *remote)
{
    (void)context;
    return !remote->directory;
}

typedef struct wanted_path {
    const char *text;
    size_t bytes;
    bool directory; // was found as one
} wanted_path;

static bool is_same(void *context, const mill_remote *remote)
{
    wanted_path *wanted = context;
    bool same =
        strlen(remote->name) == wanted->bytes && memcmp(remote->name, wanted->text, wanted->bytes) == 0;
    wanted->directory |= same && remote->directory;
    return same && !remote->directory;
}

static mill_status no_such_path(const mill_hub_place *place, const char *commit, mill_error *err)
{
    return mill_fail(
        err, MILL_INPUT,
        "hf://datasets/%.150s@%.40s has no %.150s; a pattern such as data/** or a directory takes all of it",
        place->name, commit, place->path);
}

mill_status mill_hub_list(const mill_hub *hub, mill_http *http, const mill_hub_place *place,
                          const char *commit, mill_remotes *list, mill_error *err)
{
    const char *path = place->path;
    size_t bytes = strlen(path);
    bool missing;
    while (bytes != 0 && path[bytes - 1] == '/')
        bytes--;
    if (mill_glob_is_pattern(path)) {
        size_t directory = mill_glob_directory(path);
        const char *rest = path + directory + (path[directory] == '/');
        bool recursive = strchr(rest, '/') != NULL || strstr(rest, "**") != NULL;
        MILL_TRY(list_tree(hub, http, place, commit, path, directory, recursive, list, &missing, err));
        mill_remotes_filter(list, is_match, (void *)(uintptr_t)path);
    } else {
        // Whether it is a file or a directory is known to the directory above it.
        const char *slash = bytes != 0 ? memrchr(path, '/', bytes) : NULL;
        wanted_path wanted = {path, bytes, bytes == 0};
        missing = false;
        if (bytes != 0)
            MILL_TRY(list_tree(hub, http, place, commit, path, slash != NULL ? (size_t)(slash - path) : 0,
                               false, list, &missing, err));
        mill_remotes_filter(list, is_same, &wanted);
        if (wanted.directory)
            MILL_TRY(list_tree(hub, http, place, commit, path, bytes, true, list, &missing, err));
        mill_remotes_filter(list, is_file, NULL);
    }
    return missing || list->count == 0 ? no_such_path(place, commit, err) : MILL_OK;
}
