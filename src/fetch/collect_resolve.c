// collect_resolve.c: from the arguments of collect to the files they mean.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fetch/collect.h"
#include "record/language.h"

enum { PATH_BYTES_MAX = 3000 };

void mill_item_free(mill_item *item)
{
    char *texts[] = {item->path,    item->url,    item->revision, item->etag,
                     item->request, item->secret, item->bucket,   item->key};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        mill_free(texts[i]);
    *item = (mill_item){0};
}

// buf's bytes as a string; NULL without memory. buf is empty afterwards.
static char *take(mill_buf *buf)
{
    char *text = mill_strndup(buf->data != NULL ? (const char *)buf->data : "", buf->bytes);
    mill_buf_clear(buf);
    return text;
}

// Takes item, also when it fails.
static mill_status add_item(mill_collector *c, mill_item *item, mill_error *err)
{
    mill_status status = MILL_OK;
    if (item->path == NULL || item->url == NULL || item->revision == NULL || item->etag == NULL)
        status = mill_fail_nomem(err, "the list of files");
    else if (strlen(item->path) > PATH_BYTES_MAX)
        status = mill_fail(err, MILL_INPUT, "%.200s...: its name is longer than %d bytes", item->url,
                           PATH_BYTES_MAX);
    if (status == MILL_OK)
        status = MILL_GROW(c->items, c->item_capacity, c->item_count + 1, err);
    if (status == MILL_OK)
        c->items[c->item_count++] = *item;
    else
        mill_item_free(item);
    return status;
}

// "place/name" as a path below the directory.
static mill_status make_path(const char *place, const char *name, char **out, mill_error *err)
{
    mill_buf path = {0};
    mill_status status = mill_local_path(&path, place, strlen(place), err);
    if (status == MILL_OK)
        status = mill_local_path(&path, name, strlen(name), err);
    *out = status == MILL_OK ? take(&path) : NULL;
    mill_buf_free(&path);
    return status;
}

// ---- languages: The Stack and its kin have a directory for each

typedef struct chooser {
    const mill_collect_options *options;
    mill_language_table *table;
    bool *found; // by wanted language
} chooser;

// The table's id of a name as people and data sets write it; -1: not there.
static int find_language(const mill_language_table *table, const char *name, size_t bytes)
{
    char lower[64];
    if (bytes >= sizeof lower)
        return -1;
    for (size_t i = 0; i < bytes; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    lower[bytes] = '\0';
    return mill_language_find(table, lower);
}

static bool is_language(chooser *ch, const char *directory, size_t bytes)
{
    bool any = false;
    int id = find_language(ch->table, directory, bytes);
    for (size_t i = 0; i < ch->options->language_count; i++) {
        const char *wanted = ch->options->languages[i];
        bool same = (strlen(wanted) == bytes && strncasecmp(wanted, directory, bytes) == 0) ||
                    (id >= 0 && id == find_language(ch->table, wanted, strlen(wanted)));
        ch->found[i] |= same;
        any |= same;
    }
    return any;
}

static bool in_language(void *context, const mill_remote *remote)
{
    chooser *ch = context;
    bool any = false;
    for (const char *part = remote->name, *slash; (slash = strchr(part, '/')) != NULL; part = slash + 1)
        any |= is_language(ch, part, (size_t)(slash - part));
    return any;
}

static void choose(chooser *ch, mill_remotes *list)
{
    if (ch->options->language_count != 0)
        mill_remotes_filter(list, in_language, ch);
}

static mill_status check_languages(const chooser *ch, mill_error *err)
{
    for (size_t i = 0; i < ch->options->language_count; i++) {
        if (!ch->found[i])
            return mill_fail(
                err, MILL_INPUT,
                "--languages %.60s: no directory of that name is among the files; --dry-run without "
                "--languages lists what there is",
                ch->options->languages[i]);
    }
    return MILL_OK;
}

// ---- hf://

static mill_status find_commit(mill_collector *c, mill_http *http, const mill_hub_place *place,
                               char commit[65], bool *missing, mill_error *err)
{
    char pin[400];
    *missing = false;
    snprintf(pin, sizeof pin, "hf://datasets/%s@%s", place->name, place->revision);
    const char *known = c->options->update ? NULL : mill_collect_state_pin(&c->state, pin);
    if (known != NULL && strlen(known) < 65 && strspn(known, "0123456789abcdef") == strlen(known) &&
        *known != '\0') {
        memcpy(commit, known, strlen(known) + 1);
        return MILL_OK;
    }
    MILL_TRY(mill_hub_commit(&c->hub, http, place, commit, missing, err));
    mill_log_line(&c->log, MILL_LOG_INFO, "%s is commit %s", pin, commit);
    const char *before = mill_collect_state_pin(&c->state, pin);
    if (before != NULL && strcmp(before, commit) == 0)
        return MILL_OK;
    return mill_collect_state_set_pin(&c->state, pin, commit, err);
}

static mill_status add_hub_file(mill_collector *c, const mill_hub_place *place, const char *commit,
                                const mill_remote *remote, mill_error *err)
{
    mill_buf text = {0};
    mill_item item = {.kind = MILL_ADDRESS_HUB,
                      .revision = mill_strdup(commit),
                      .etag = mill_strdup(""),
                      .bytes = remote->bytes,
                      .sum = remote->sum,
                      .bucket = mill_strdup(place->name)};
    mill_status status = make_path(place->name, remote->name, &item.path, err);
    if (status == MILL_OK)
        status = mill_buf_printf(&text, err, "hf://datasets/%s@%s/%s", place->name, commit, remote->name);
    if (status == MILL_OK)
        item.url = take(&text);
    if (status == MILL_OK)
        status = mill_hub_file_url(&c->hub, place->name, commit, remote->name, &text, err);
    if (status == MILL_OK)
        item.request = take(&text);
    if (status == MILL_OK && c->hub.secret != NULL)
        item.secret = mill_strdup(c->hub.secret);
    mill_buf_free(&text);
    if (status == MILL_OK &&
        (item.request == NULL || item.bucket == NULL || (c->hub.secret != NULL && item.secret == NULL)))
        status = mill_fail_nomem(err, "the list of files");
    if (status == MILL_OK)
        return add_item(c, &item, err);
    mill_item_free(&item);
    return status;
}

static mill_status resolve_place(mill_collector *c, mill_http *http, const mill_hub_place *place, chooser *ch,
                                 bool *missing, mill_error *err)
{
    char commit[65];
    mill_remotes list = {0};
    if (strlen(place->name) + strlen(place->revision) > 350)
        return mill_fail(err, MILL_USAGE, "hf://datasets/%.100s: name and revision are too long",
                         place->name);
    MILL_TRY(find_commit(c, http, place, commit, missing, err));
    mill_status status = mill_hub_list(&c->hub, http, place, commit, &list, err);
    if (status == MILL_OK)
        choose(ch, &list);
    for (size_t i = 0; status == MILL_OK && i < list.count; i++)
        status = add_hub_file(c, place, commit, &list.items[i], err);
    mill_remotes_free(&list);
    return status;
}

static mill_status resolve_hub(mill_collector *c, mill_http *http, const mill_address *address, chooser *ch,
                               mill_error *err)
{
    mill_status status = MILL_OK;
    mill_error first = {0};
    if (!c->hub_open)
        MILL_TRY(mill_hub_open(&c->hub, err));
    c->hub_open = true;
    for (uint32_t candidate = 0; candidate < 2; candidate++) {
        mill_hub_place place;
        bool there = false, missing = false;
        MILL_TRY(mill_hub_place_parse(address->path, candidate, &place, &there, err));
        if (!there)
            break;
        mill_error local = {0};
        status = resolve_place(c, http, &place, ch, &missing, &local);
        mill_hub_place_free(&place);
        if (candidate == 0 || status == MILL_OK || !missing)
            first = local; // "owner/name" is the likelier reading, so its failure is told
        if (status == MILL_OK || !missing)
            break;
    }
    if (status != MILL_OK && err != NULL)
        *err = first;
    return status;
}

// ---- s3://

static mill_status add_s3_object(mill_collector *c, const char *bucket, const char *region,
                                 const mill_remote *remote, mill_error *err)
{
    mill_buf text = {0};
    mill_item item = {.kind = MILL_ADDRESS_S3,
                      .revision = mill_strdup(""),
                      .etag = mill_strdup(remote->etag),
                      .bytes = remote->bytes,
                      .sum = remote->sum,
                      .bucket = mill_strdup(bucket),
                      .key = mill_strdup(remote->name)};
    snprintf(item.region, sizeof item.region, "%s", region);
    mill_status status = make_path(bucket, remote->name, &item.path, err);
    if (status == MILL_OK)
        status = mill_buf_printf(&text, err, "s3://%s/%s", bucket, remote->name);
    if (status == MILL_OK)
        item.url = take(&text);
    mill_buf_free(&text);
    if (status == MILL_OK && (item.bucket == NULL || item.key == NULL))
        status = mill_fail_nomem(err, "the list of files");
    if (status == MILL_OK)
        return add_item(c, &item, err);
    mill_item_free(&item);
    return status;
}

static mill_status resolve_s3(mill_collector *c, mill_http *http, const mill_address *address, chooser *ch,
                              mill_error *err)
{
    mill_remotes list = {0};
    char region[MILL_S3_REGION_BYTES];
    if (!c->s3_open)
        MILL_TRY(mill_s3_open(&c->s3, err));
    c->s3_open = true;
    memcpy(region, c->s3.region, sizeof region);
    mill_status status = mill_s3_find(&c->s3, http, address->place, region, address->path, &list, err);
    if (status == MILL_OK)
        choose(ch, &list);
    for (size_t i = 0; status == MILL_OK && i < list.count; i++)
        status = add_s3_object(c, address->place, region, &list.items[i], err);
    mill_remotes_free(&list);
    return status;
}

// ---- https://

static mill_status make_user_secret(const char *user, char **out, mill_error *err)
{
    size_t bytes = strlen(user);
    char *code = mill_alloc(4 * ((bytes + 2) / 3) + 1);
    mill_buf line = {0};
    mill_status status = MILL_NOMEM;
    if (code != NULL) {
        mill_base64(user, bytes, code);
        status = mill_buf_printf(&line, err, "Authorization: Basic %s", code);
    }
    *out = status == MILL_OK ? take(&line) : NULL;
    mill_buf_free(&line);
    mill_free(code);
    return *out != NULL ? MILL_OK : mill_fail_nomem(err, "a password");
}

static mill_status make_head(void *context, mill_http_request *request, mill_error *err)
{
    (void)err;
    const mill_item *item = context;
    *request = (mill_http_request){
        .method = "HEAD", .url = item->request, .shown = item->url, .answer_bytes_max = 1 << 20};
    if (item->secret != NULL) {
        request->secrets = (const char *const *)&item->secret;
        request->secret_count = 1;
    }
    return MILL_OK;
}

// Size and version, as far as the server tells them: some refuse HEAD, for addresses that are signed for GET
// among others. The GET will say what is wrong.
static mill_status ask_head(mill_http *http, mill_item *item, mill_error *err)
{
    mill_http_answer answer = {0};
    mill_status status = mill_http_send(http, make_head, item, &answer, err);
    if (status == MILL_OK && answer.status == 404)
        status = mill_http_refused(&answer, item->url, err);
    if (status == MILL_OK && answer.status == 200) {
        char *etag = mill_strdup(mill_collect_version(&answer));
        item->bytes = mill_http_length(&answer);
        if (etag != NULL) {
            mill_free(item->etag);
            item->etag = etag;
        }
    }
    mill_http_answer_free(&answer);
    return status;
}

static mill_status resolve_web(mill_collector *c, mill_http *http, const mill_address *address,
                               mill_error *err)
{
    mill_item item = {.kind = MILL_ADDRESS_WEB,
                      .url = mill_strdup(address->shown),
                      .revision = mill_strdup(""),
                      .etag = mill_strdup(""),
                      .bytes = UINT64_MAX,
                      .request = mill_strdup(address->request)};
    if (address->sha256[0] != '\0') {
        item.sum.kind = MILL_SUM_SHA256;
        memcpy(item.sum.hex, address->sha256, sizeof item.sum.hex);
    }
    mill_status status = make_path(address->place, address->path, &item.path, err);
    if (status == MILL_OK && (item.url == NULL || item.request == NULL || item.etag == NULL))
        status = mill_fail_nomem(err, "the list of files");
    if (status == MILL_OK && address->user != NULL)
        status = make_user_secret(address->user, &item.secret, err);
    if (status == MILL_OK)
        status = ask_head(http, &item, err);
    if (status == MILL_OK)
        return add_item(c, &item, err);
    mill_item_free(&item);
    return status;
}

// ---- all of them

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const mill_item *)a)->path, ((const mill_item *)b)->path);
}

// Patterns may overlap: the same file twice is one. Two files of one name cannot both be had, nor a file and
// a directory of one name (object stores know no directories).
static mill_status check_paths(mill_collector *c, mill_error *err)
{
    size_t kept = 0;
    if (c->item_count > 1)
        qsort(c->items, c->item_count, sizeof *c->items, compare_items);
    for (size_t i = 0; i < c->item_count; i++) {
        mill_item *item = &c->items[i], *last = kept != 0 ? &c->items[kept - 1] : NULL;
        if (last == NULL || strcmp(last->path, item->path) != 0) {
            c->items[kept++] = *item;
            continue;
        }
        bool same = strcmp(last->url, item->url) == 0 && (last->request == NULL || item->request == NULL ||
                                                          strcmp(last->request, item->request) == 0);
        if (!same) {
            mill_fail(err, MILL_INPUT,
                      "%.150s and %.150s%s would both be %.100s; collect them into two directories",
                      last->url, item->url, strcmp(last->url, item->url) == 0 ? " (with another query)" : "",
                      item->path);
            for (; i < c->item_count; i++) // the rest, so that each is freed once
                c->items[kept++] = c->items[i];
            c->item_count = kept;
            return MILL_INPUT;
        }
        mill_item_free(item);
    }
    c->item_count = kept;
    char parent[PATH_BYTES_MAX + 1];
    for (size_t i = 0; i < c->item_count; i++) {
        snprintf(parent, sizeof parent, "%s", c->items[i].path);
        for (char *slash = strrchr(parent, '/'); slash != NULL; slash = strrchr(parent, '/')) {
            *slash = '\0';
            mill_item key = {.path = parent};
            const mill_item *file = bsearch(&key, c->items, c->item_count, sizeof *c->items, compare_items);
            if (file != NULL)
                return mill_fail(
                    err, MILL_INPUT,
                    "%.150s is a file, and %.150s needs a directory of that name; name one of them",
                    file->url, c->items[i].url);
        }
    }
    return MILL_OK;
}

static mill_status resolve_one(mill_collector *c, mill_http *http, const char *text, chooser *ch,
                               mill_error *err)
{
    mill_address address;
    mill_status status = MILL_OK;
    MILL_TRY(mill_address_parse(text, &address, err));
    switch (address.kind) {
    case MILL_ADDRESS_WEB: status = resolve_web(c, http, &address, err); break;
    case MILL_ADDRESS_HUB: status = resolve_hub(c, http, &address, ch, err); break;
    case MILL_ADDRESS_S3: status = resolve_s3(c, http, &address, ch, err); break;
    }
    mill_address_free(&address);
    return status;
}

mill_status mill_collect_resolve(mill_collector *c, mill_http *http, mill_error *err)
{
    chooser ch = {.options = c->options, .found = mill_alloc_zero(c->options->language_count + 1, 1)};
    mill_status status = ch.found != NULL ? mill_language_table_create(&ch.table, err)
                                          : mill_fail_nomem(err, "choosing languages");
    for (size_t i = 0; status == MILL_OK && i < c->options->url_count;
         i++) { // all are looked at before the first is asked for
        mill_address address;
        status = mill_address_parse(c->options->urls[i], &address, err);
        if (status == MILL_OK)
            mill_address_free(&address);
    }
    for (size_t i = 0; status == MILL_OK && i < c->options->url_count; i++)
        status = resolve_one(c, http, c->options->urls[i], &ch, err);
    if (status == MILL_OK)
        status = check_languages(&ch, err);
    if (status == MILL_OK)
        status = check_paths(c, err);
    mill_language_table_destroy(ch.table);
    mill_free(ch.found);
    return status;
}
