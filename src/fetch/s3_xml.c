// s3_xml.c: S3's answers in XML, by expat. One walk reads them all: elements are known by their own and their
// parent's name.
#include "fetch/remote.h"

#include <stdlib.h>
#include <string.h>

#include "fetch/names.h"

#ifdef MILL_HAVE_EXPAT

#include <expat.h>

enum { DEPTH_MAX = 16, TEXT_BYTES_MAX = 8192 };

typedef struct walk {
    XML_Parser xml;
    mill_s3_answer *out;
    char names[DEPTH_MAX][32];
    int depth;
    mill_buf text;
    bool coded; // keys are percent-coded
    // of the object, upload or part at hand
    mill_buf key;
    char etag[80], sha256[64], upload_id[1024];
    uint64_t bytes, number;
    mill_status status;
    const char *problem;
    mill_error *err;
} walk;

void mill_s3_answer_free(mill_s3_answer *a)
{
    char *texts[] = {a->next, a->upload_id, a->code, a->message};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        mill_free(texts[i]);
    mill_free(a->parts);
    *a = (mill_s3_answer){0};
}

static void stop(walk *w, mill_status status, const char *problem)
{
    w->status = status;
    w->problem = problem;
    XML_StopParser(w->xml, XML_FALSE);
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    walk *w = user;
    if (w->depth == DEPTH_MAX) {
        stop(w, MILL_INPUT, "nested too deep");
        return;
    }
    strncpy(w->names[w->depth], name, sizeof w->names[0] - 1);
    w->names[w->depth++][sizeof w->names[0] - 1] = '\0';
    mill_buf_clear(&w->text);
    if (w->depth == 2) { // the next object, part or upload
        mill_buf_clear(&w->key);
        w->etag[0] = w->sha256[0] = w->upload_id[0] = '\0';
        w->bytes = UINT64_MAX;
        w->number = 0;
    }
}

static void XMLCALL on_text(void *user, const XML_Char *text, int bytes)
{
    walk *w = user;
    if (w->text.bytes + (size_t)bytes > TEXT_BYTES_MAX)
        stop(w, MILL_INPUT, "an element's text is too long");
    else if (mill_buf_append(&w->text, text, (size_t)bytes, w->err) != MILL_OK)
        stop(w, MILL_NOMEM, "no memory");
}

// No DTD: S3 sends none, and one could define entities.
static void XMLCALL on_doctype(void *user, const XML_Char *a, const XML_Char *b, const XML_Char *c, int d)
{
    (void)a, (void)b, (void)c, (void)d;
    stop(user, MILL_INPUT, "has a document type");
}

static void keep(walk *w, char *out, size_t capacity, const char *text)
{
    size_t bytes = strlen(text);
    if (bytes < capacity)
        memcpy(out, text, bytes + 1);
    else
        stop(w, MILL_INPUT, "a value is too long");
}

static void keep_copy(walk *w, char **out, const char *text)
{
    mill_free(*out);
    *out = mill_strdup(text);
    if (*out == NULL)
        stop(w, mill_fail_nomem(w->err, "an answer of S3"), "no memory");
}

static uint64_t read_number(walk *w, const char *text)
{
    uint64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            stop(w, MILL_INPUT, "a number is none");
            return 0;
        }
    }
    return value;
}

static void keep_key(walk *w, const char *text)
{
    mill_buf_clear(&w->key);
    mill_status status = mill_buf_append(&w->key, text, strlen(text) + 1, w->err);
    if (status != MILL_OK)
        stop(w, status, "no memory");
}

static void add_object(walk *w)
{
    mill_sum sum = {0};
    size_t bytes = strlen(w->etag);
    // The ETag of an object that came in one piece is its MD5, in quotes, unless a key of its own encrypts
    // it: the answer to the GET tells.
    if (bytes == 34 && w->etag[0] == '"' && strspn(w->etag + 1, "0123456789abcdef") == 32 &&
        w->etag[33] == '"') {
        sum.kind = MILL_SUM_MD5;
        memcpy(sum.hex, w->etag + 1, 32);
        sum.hex[32] = '\0';
    }
    if (w->out->objects != NULL && w->key.bytes > 1) {
        mill_status status =
            mill_remotes_add(w->out->objects, (const char *)w->key.data, w->etag, w->bytes, &sum, w->err);
        if (status != MILL_OK)
            stop(w, status, "too many objects, or no memory");
    }
}

static void add_part(walk *w)
{
    mill_s3_answer *out = w->out;
    mill_status status = MILL_GROW(out->parts, out->part_capacity, out->part_count + 1, w->err);
    if (status != MILL_OK) {
        stop(w, status, "no memory");
        return;
    }
    mill_s3_part *part = &out->parts[out->part_count++];
    *part = (mill_s3_part){.number = w->number, .bytes = w->bytes};
    memcpy(part->etag, w->etag, sizeof part->etag);
    memcpy(part->sha256, w->sha256, sizeof part->sha256);
}

static void end_group(walk *w, const char *name)
{
    if (strcmp(name, "Contents") == 0)
        add_object(w);
    else if (strcmp(name, "Part") == 0)
        add_part(w);
    else if (strcmp(name, "Upload") == 0 && w->out->upload_key != NULL && w->key.bytes != 0 &&
             strcmp((const char *)w->key.data, w->out->upload_key) == 0)
        keep_copy(w, &w->out->upload_id, w->upload_id);
}

// An element below the root that holds text.
static void end_top(walk *w, const char *name, const char *text)
{
    mill_s3_answer *out = w->out;
    bool error = strcmp(w->names[0], "Error") == 0;
    if (strcmp(name, "NextContinuationToken") == 0 || strcmp(name, "NextPartNumberMarker") == 0)
        keep_copy(w, &out->next, text);
    else if (strcmp(name, "IsTruncated") == 0)
        out->truncated = strcmp(text, "true") == 0;
    else if (strcmp(name, "EncodingType") == 0)
        w->coded = strcmp(text, "url") == 0;
    else if (strcmp(name, "UploadId") == 0 && strcmp(w->names[0], "InitiateMultipartUploadResult") == 0)
        keep_copy(w, &out->upload_id, text);
    else if (error && strcmp(name, "Code") == 0)
        keep_copy(w, &out->code, text);
    else if (error && strcmp(name, "Message") == 0)
        keep_copy(w, &out->message, text);
    else
        end_group(w, name);
}

static void end_inner(walk *w, const char *name, const char *text)
{
    if (strcmp(name, "Key") == 0)
        keep_key(w, text);
    else if (strcmp(name, "ETag") == 0)
        keep(w, w->etag, sizeof w->etag, text);
    else if (strcmp(name, "ChecksumSHA256") == 0)
        keep(w, w->sha256, sizeof w->sha256, text);
    else if (strcmp(name, "UploadId") == 0)
        keep(w, w->upload_id, sizeof w->upload_id, text);
    else if (strcmp(name, "Size") == 0)
        w->bytes = read_number(w, text);
    else if (strcmp(name, "PartNumber") == 0)
        w->number = read_number(w, text);
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
    walk *w = user;
    if (w->status != MILL_OK)
        return;
    if (mill_buf_append(&w->text, "", 1, w->err) != MILL_OK) {
        stop(w, MILL_NOMEM, "no memory");
        return;
    }
    const char *text = (const char *)w->text.data;
    if (w->depth == 2)
        end_top(w, name, text);
    else if (w->depth == 3)
        end_inner(w, name, text);
    w->depth--;
    mill_buf_clear(&w->text);
}

// Whether keys are percent-coded may be told behind the last of them, so they are decoded at the end.
static mill_status decode_keys(walk *w, size_t first)
{
    mill_remotes *list = w->out->objects;
    mill_buf key = {0};
    mill_status status = MILL_OK;
    for (size_t i = first; w->coded && list != NULL && i < list->count && status == MILL_OK; i++) {
        mill_buf_clear(&key);
        status = mill_url_decode(&key, list->items[i].name, strlen(list->items[i].name), true, w->err);
        if (status == MILL_OK && memchr(key.data, '\0', key.bytes) != NULL) {
            status = MILL_INPUT;
            w->problem = "a key holds a NUL";
            break;
        }
        char *name = status == MILL_OK ? mill_strndup((const char *)key.data, key.bytes) : NULL;
        if (status == MILL_OK && name == NULL)
            status = mill_fail_nomem(w->err, "an answer of S3");
        if (name != NULL) {
            mill_free(list->items[i].name);
            list->items[i].name = name;
        }
    }
    mill_buf_free(&key);
    return status;
}

mill_status mill_s3_answer_parse(const void *text, size_t bytes, const char *shown, mill_s3_answer *out,
                                 mill_error *err)
{
    static const XML_Memory_Handling_Suite memory = {mill_alloc, mill_realloc, mill_free};
    walk w = {.out = out, .err = err};
    w.xml = XML_ParserCreate_MM("UTF-8", &memory, NULL);
    if (w.xml == NULL)
        return mill_fail_nomem(err, "an answer of S3");
    const size_t first = out->objects != NULL ? out->objects->count : 0;
    XML_SetUserData(w.xml, &w);
    XML_SetElementHandler(w.xml, on_start, on_end);
    XML_SetCharacterDataHandler(w.xml, on_text);
    XML_SetStartDoctypeDeclHandler(w.xml, on_doctype);
    enum XML_Status parsed = bytes > INT32_MAX ? XML_STATUS_ERROR : XML_Parse(w.xml, text, (int)bytes, 1);
    mill_status status = w.status;
    if (status == MILL_OK && parsed == XML_STATUS_OK)
        status = decode_keys(&w, first);
    if (status == MILL_INPUT)
        status = mill_fail(err, MILL_INPUT, "%s: the answer of S3 cannot be used: %s", shown, w.problem);
    else if (status == MILL_OK && parsed != XML_STATUS_OK && XML_GetErrorCode(w.xml) == XML_ERROR_NO_MEMORY)
        status = mill_fail_nomem(err, "an answer of S3");
    else if (status == MILL_OK && parsed != XML_STATUS_OK)
        status = mill_fail(err, MILL_INPUT, "%s: the answer of S3 is no XML: %s", shown,
                           XML_ErrorString(XML_GetErrorCode(w.xml)));
    XML_ParserFree(w.xml);
    mill_buf_free(&w.text);
    mill_buf_free(&w.key);
    return status;
}

#else

void mill_s3_answer_free(mill_s3_answer *a)
{
    *a = (mill_s3_answer){0};
}

mill_status mill_s3_answer_parse(const void *text, size_t bytes, const char *shown, mill_s3_answer *out,
                                 mill_error *err)
{
    (void)text, (void)bytes, (void)out;
    return mill_fail(
        err, MILL_USAGE,
        "%s: this build has no expat, so S3's lists cannot be read; install libexpat1-dev and build again",
        shown);
}

#endif
