// fuzz_fetch.c: what the net may answer, and what a user may ask for: addresses, patterns, names, links,
// trees of the hub, S3's XML. The first byte of an input says what the rest is.
#include "fetch/names.h"
#include "fetch/remote.h"
#include "fuzz.h"

enum { ADDRESS, PATH, GLOB, LINK, TREE, XML, KINDS };

static void parse_address(const char *text)
{
    mill_address address;
    mill_error err = {0};
    char origin[300];
    mill_status status = mill_address_parse(text, &address, &err);
    FUZZ_CHECK(status == MILL_OK || (status == MILL_USAGE && err.message[0] != '\0'));
    (void)mill_url_is_private(text);
    if (status != MILL_OK)
        return;
    FUZZ_CHECK(strchr(address.shown, '\n') == NULL);
    if (address.kind == MILL_ADDRESS_WEB) {
        FUZZ_CHECK(strpbrk(address.shown + 8, "?#") == NULL && strchr(address.request, '#') == NULL);
        if (mill_url_origin(address.request, origin))
            FUZZ_CHECK(strncmp(origin, "http", 4) == 0 && strchr(origin + 8, '/') == NULL &&
                       strchr(origin, '@') == NULL);
    }
    for (uint32_t i = 0; address.kind == MILL_ADDRESS_HUB && i < 2; i++) {
        mill_hub_place place;
        bool there = false;
        status = mill_hub_place_parse(address.path, i, &place, &there, &err);
        FUZZ_CHECK(status == MILL_OK || status == MILL_USAGE);
        if (status == MILL_OK && there) {
            FUZZ_CHECK(*place.name != '\0' && strstr(place.name, "..") == NULL &&
                       strpbrk(place.name, "?#%\\ ") == NULL && *place.revision != '\0');
            mill_hub_place_free(&place);
        }
    }
    mill_address_free(&address);
}

// Whatever the name is: relative, no part that leads elsewhere, nothing hidden on top, nothing that a
// terminal would obey.
static void make_path(const char *text, size_t bytes)
{
    mill_buf out = {0};
    FUZZ_OK(mill_local_path(&out, text, bytes, NULL));
    FUZZ_CHECK(out.bytes != 0 && out.data[0] != '/' && out.data[0] != '.' && out.data[out.bytes - 1] != '/');
    size_t length = 0;
    for (size_t i = 0; i <= out.bytes; i++) {
        if (i == out.bytes || out.data[i] == '/') {
            const uint8_t *part = out.data + i - length;
            FUZZ_CHECK(length != 0 && length < 255 && !(length == 1 && part[0] == '.') &&
                       !(length == 2 && part[0] == '.' && part[1] == '.'));
            length = 0;
        } else {
            FUZZ_CHECK(out.data[i] >= 0x20 && out.data[i] != 0x7f && out.data[i] != '\\');
            length++;
        }
    }
    mill_buf_free(&out);
}

static void match_glob(const char *text)
{
    const char *newline = strchr(text, '\n');
    char pattern[256];
    if (newline == NULL || newline - text > 255)
        return;
    memcpy(pattern, text, (size_t)(newline - text));
    pattern[newline - text] = '\0';
    bool match = mill_glob_match(pattern, newline + 1);
    FUZZ_CHECK(mill_glob_directory(pattern) <= strlen(pattern));
    if (!mill_glob_is_pattern(pattern))
        FUZZ_CHECK(match == (strcmp(pattern, newline + 1) == 0));
    FUZZ_CHECK(mill_glob_match("**", newline + 1));
}

static void read_link(const char *text)
{
    const char *url;
    size_t bytes;
    if (mill_link_next(text, &url, &bytes))
        FUZZ_CHECK(bytes != 0 && url > text && url + bytes < text + strlen(text));
}

static void check_list(mill_remotes *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const mill_remote *r = &list->items[i];
        const size_t digits[] = {
            [MILL_SUM_NONE] = 0, [MILL_SUM_SHA256] = 64, [MILL_SUM_GIT] = 40, [MILL_SUM_MD5] = 32};
        FUZZ_CHECK(r->name[0] != '\0' && r->etag != NULL);
        FUZZ_CHECK(r->sum.kind == MILL_SUM_NONE ||
                   strspn(r->sum.hex, "0123456789abcdef") == digits[r->sum.kind]);
        make_path(r->name, strlen(r->name));
    }
    mill_remotes_free(list);
}

static void parse_tree(const uint8_t *data, size_t bytes)
{
    mill_remotes list = {0};
    mill_error err = {0};
    mill_status status = mill_hub_tree_parse(data, bytes, "x", &list, &err);
    FUZZ_CHECK(status == MILL_OK || (status == MILL_INPUT && err.message[0] != '\0'));
    check_list(&list);
}

static void parse_xml(const uint8_t *data, size_t bytes)
{
    mill_remotes list = {0};
    mill_error err = {0};
    mill_s3_answer answer = {.objects = &list, .upload_key = "key"};
    mill_status status = mill_s3_answer_parse(data, bytes, "x", &answer, &err);
    FUZZ_CHECK(status == MILL_OK ||
               ((status == MILL_INPUT || status == MILL_USAGE) && err.message[0] != '\0'));
    for (size_t i = 0; i < answer.part_count; i++)
        FUZZ_CHECK(strlen(answer.parts[i].etag) < sizeof answer.parts[i].etag &&
                   strlen(answer.parts[i].sha256) < sizeof answer.parts[i].sha256);
    check_list(&list);
    mill_s3_answer_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    char *text = malloc(bytes);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data + 1, bytes - 1);
    text[bytes - 1] = '\0';
    switch (data[0] % KINDS) {
    case ADDRESS: parse_address(text); break;
    case PATH: make_path(text, bytes - 1); break;
    case GLOB: match_glob(text); break;
    case LINK: read_link(text); break;
    case TREE: parse_tree(data + 1, bytes - 1); break;
    case XML: parse_xml(data + 1, bytes - 1); break;
    default: break;
    }
    free(text);
    return 0;
}

bool fuzz_seed(uint32_t number, mill_buf *out)
{
    static const struct {
        uint8_t kind;
        const char *text;
    } seeds[] = {
        {ADDRESS, "https://me:secret@host:8080/a%20b/"
                  "c.jsonl.gz?key=1#sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        {ADDRESS, "hf://datasets/big/stack@refs/convert/parquet/data/**/*.parquet"},
        {ADDRESS, "hf://datasets/name@v%2F1/x"},
        {ADDRESS, "s3://my-bucket/pre fix/*.jsonl"},
        {PATH, "data/../.git//x\\y\x1b\xc3\xa9\xe2\x80\xae/%41"},
        {GLOB, "a/**/b[!x-z]?*.c\na/q/r/bab.c"},
        {LINK, "<https://h/x>; rel=\"first\", <https://h/a?cursor=b%3D>; title=\"a, b\"; rel=\"next\""},
        {TREE, "[{\"type\":\"directory\",\"path\":\"d\"},{\"type\":\"file\",\"oid\":"
               "\"ce013625030ba8dba906f756967f9e9ca394464a\",\"size\":6,"
               "\"path\":\"d/"
               "a\",\"lfs\":{\"oid\":\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\","
               "\"size\":6}}]"},
        {XML, "<?xml version=\"1.0\"?>\n<ListBucketResult "
              "xmlns=\"x\"><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
              "<EncodingType>url</EncodingType><Contents><Key>a%2Fb+c</Key><Size>12</"
              "Size><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e"
              "&quot;</ETag></Contents></ListBucketResult>"},
        {XML, "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag><Size>5</"
              "Size><ChecksumSHA256>q=</ChecksumSHA256></Part>"
              "<NextPartNumberMarker>1</NextPartNumberMarker></ListPartsResult>"},
        {XML, "<ListMultipartUploadsResult><Upload><Key>key</Key><UploadId>u</UploadId></Upload></"
              "ListMultipartUploadsResult>"},
        {XML, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"},
    };
    if (number >= sizeof seeds / sizeof seeds[0])
        return false;
    FUZZ_OK(mill_buf_append(out, &seeds[number].kind, 1, NULL));
    return mill_buf_append_text(out, seeds[number].text, NULL) == MILL_OK;
}
