// test_fetch.c: addresses, patterns and file names from the net, signatures, and the answers of servers.
#include "fetch/names.h"
#include "fetch/remote.h"
#include "fetch/sigv4.h"
#include "fetch/sums.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

// ---- patterns

Test(glob, stars_stay_within_a_directory_and_double_stars_do_not)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"a/*.c", "a/b.c", true},
        {"a/*.c", "a/b/c.c", false},
        {"a/*.c", "a/.c", true},
        {"a/**", "a/b/c.c", true},
        {"a/**/c", "a/c", true},
        {"a/**/c", "a/x/y/c", true},
        {"a/**/c", "a/xc", false},
        {"**/c", "c", true},
        {"**/c", "x/c", true},
        {"**/c", "xc", false},
        {"**.c", "a/b.c", true},
        {"?", "/", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"[a-c]x", "bx", true},
        {"[!a-c]x", "bx", false},
        {"[^a-c]x", "dx", true},
        {"[!a]", "/", false},
        {"[]a]", "]", true},
        {"[a-]", "-", true},
        {"[a", "[a", true},
        {"", "", true},
        {"*", "", true},
        {"a*b*c", "aXXbYYc", true},
        {"a*b*c", "aXXbYY", false},
        {"data/*/train-*", "data/c/train-0", true},
        {"data/*/train-*", "data/c/d/train-0", false},
        {"***", "a/b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(mill_glob_match(cases[i].pattern, cases[i].text), cases[i].match, "%s %s",
                     cases[i].pattern, cases[i].text);
    cr_expect_eq(mill_glob_directory("a/b/*.c"), 3);
    cr_expect_eq(mill_glob_directory("*.c"), 0);
    cr_expect_eq(mill_glob_directory("a/b"), 1);
    cr_expect(mill_glob_is_pattern("a[b") && !mill_glob_is_pattern("a/b.c"));
}

Test(glob, time_is_the_product_of_both_lengths)
{
    char pattern[MILL_GLOB_BYTES_MAX + 2], text[4001];
    memset(pattern, '*', MILL_GLOB_BYTES_MAX);
    for (size_t i = 1; i < MILL_GLOB_BYTES_MAX; i += 2)
        pattern[i] = 'a';
    pattern[MILL_GLOB_BYTES_MAX] = '\0';
    memset(text, 'a', 4000);
    text[4000] = '\0';
    cr_expect(mill_glob_match(pattern, text));
    text[3999] = '/';
    cr_expect(!mill_glob_match(pattern, text));
    memset(pattern, '*', MILL_GLOB_BYTES_MAX + 1);
    pattern[MILL_GLOB_BYTES_MAX + 1] = '\0';
    cr_expect(!mill_glob_match(pattern, "a"));
}

// ---- names

static void check_path(const char *text, const char *expected)
{
    mill_buf out = {0};
    cr_assert_eq(mill_local_path(&out, text, strlen(text), NULL), MILL_OK);
    cr_expect(out.bytes == strlen(expected) && memcmp(out.data, expected, out.bytes) == 0, "%s: %.*s", text,
              (int)out.bytes, (char *)out.data);
    mill_buf_free(&out);
}

Test(names, are_made_safe_and_stay_different)
{
    check_path("a/b.c", "a/b.c");
    check_path("../a", "%2E%2E/a");
    check_path("a/../b/./c", "a/%2E%2E/b/%2E/c");
    check_path("/etc/passwd", "%2F/etc/passwd");
    check_path("a//b/", "a/%2F/b/%2F");
    check_path(".hidden/.x", "%2Ehidden/.x");
    check_path("a\\b:c", "a%5Cb%3Ac");
    check_path("a%2Fb", "a%252Fb");
    check_path("n\nl\x1b\x7f", "n%0Al%1B%7F");
    check_path("\xc3\xa9\xff", "\xc3\xa9%FF");
    check_path("x\xe2\x80\xae", "x%E2%80%AE");
    check_path("\xc2\x85", "%C2%85");
    check_path("", "%2F");
    char long_name[300];
    mill_buf first = {0}, second = {0};
    memset(long_name, 'x', sizeof long_name);
    cr_assert_eq(mill_local_path(&first, long_name, 299, NULL), MILL_OK);
    cr_assert_eq(mill_local_path(&second, long_name, 300, NULL), MILL_OK);
    cr_expect(first.bytes < 255 && second.bytes == first.bytes &&
              memcmp(first.data, second.data, first.bytes) != 0);
    mill_buf_free(&first);
    mill_buf_free(&second);
}

Test(names, origins_decide_where_secrets_go)
{
    char a[300], b[300];
    cr_expect(mill_url_origin("https://Host/x", a) && strcmp(a, "https://host:443") == 0, "%s", a);
    cr_expect(mill_url_origin("https://host:443?x", b) && strcmp(a, b) == 0, "%s", b);
    cr_expect(mill_url_origin("http://u:p@host:8080#x", b) && strcmp(b, "http://host:8080") == 0, "%s", b);
    cr_expect(mill_url_origin("http://[::1]:80/", b) && strcmp(b, "http://[::1]:80") == 0, "%s", b);
    cr_expect(mill_url_origin("https://good@evil/", b) && strcmp(b, "https://evil:443") == 0, "%s", b);
    cr_expect(!mill_url_origin("ftp://host/", b) && !mill_url_origin("https:///x", b) &&
              !mill_url_origin("host", b));
    cr_expect(mill_url_is_private("https://x/") && mill_url_is_private("http://127.0.0.1:1/") &&
              mill_url_is_private("http://localhost/"));
    cr_expect(!mill_url_is_private("http://127.0.0.1.evil/") &&
              !mill_url_is_private("http://localhost.evil/") &&
              !mill_url_is_private("http://localhost@evil/"));
}

static void check_link(const char *value, const char *expected)
{
    const char *url = "";
    size_t bytes = 0;
    bool found = mill_link_next(value, &url, &bytes);
    cr_expect(found == (expected != NULL), "%s", value);
    if (found && expected != NULL)
        cr_expect(bytes == strlen(expected) && memcmp(url, expected, bytes) == 0, "%s: %.*s", value,
                  (int)bytes, url);
}

Test(names, links_to_the_next_page)
{
    check_link("<https://h/a?cursor=x>; rel=\"next\"", "https://h/a?cursor=x");
    check_link("<https://h/first>; rel=first, <https://h/b>; title=\"a, b; c\"; rel=next", "https://h/b");
    check_link("<https://h/a>; rel=\"prev\"", NULL);
    check_link("<https://h/a>", NULL);
    check_link("<>; rel=next", NULL);
    check_link("<https://h/a; rel=next", NULL);
    check_link("", NULL);
}

Test(names, addresses_are_taken_apart_and_shown_without_secrets)
{
    mill_address a;
    mill_error err = {0};
    cr_assert_eq(mill_address_parse("https://me%40x:pa%3Ass@host:81/a%20b/c.gz?token=1#sha256="
                                    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                    &a, &err),
                 MILL_OK, "%s", err.message);
    cr_expect_str_eq(a.shown, "https://host:81/a%20b/c.gz");
    cr_expect_str_eq(a.request, "https://host:81/a%20b/c.gz?token=1");
    cr_expect_str_eq(a.user, "me@x:pa:ss");
    cr_expect_str_eq(a.place, "host");
    cr_expect_str_eq(a.path, "a b/c.gz");
    cr_expect_eq(strspn(a.sha256, "a"), 64);
    mill_address_free(&a);
    cr_assert_eq(mill_address_parse("s3://buck.et/a b?*#", &a, &err), MILL_OK);
    cr_expect(strcmp(a.place, "buck.et") == 0 && strcmp(a.path, "a b?*#") == 0);
    mill_address_free(&a);
    static const char *const bad[] = {"",
                                      "x",
                                      "https://",
                                      "https://host",
                                      "https://host/",
                                      "https://user:secret@/x",
                                      "http://h/a/",
                                      "hf://x",
                                      "hf://datasets",
                                      "s3://",
                                      "s3://a",
                                      "s3://a/../b",
                                      "s3://.aa/b",
                                      "https://h/x#sha256=12",
                                      "https://h/x\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(mill_address_parse(bad[i], &a, &err), MILL_USAGE, "%s", bad[i]);
        cr_expect(strstr(err.message, "secret") == NULL, "%s", err.message);
    }
}

static void check_place(const char *text, uint32_t candidate, const char *name, const char *revision,
                        const char *path)
{
    mill_hub_place place;
    bool there;
    cr_assert_eq(mill_hub_place_parse(text, candidate, &place, &there, NULL), MILL_OK, "%s", text);
    cr_assert_eq(there, name != NULL, "%s", text);
    if (!there)
        return;
    cr_expect(strcmp(place.name, name) == 0 && strcmp(place.revision, revision) == 0 &&
                  strcmp(place.path, path) == 0,
              "%s: %s %s %s", text, place.name, place.revision, place.path);
    mill_hub_place_free(&place);
}

Test(names, places_of_the_hub)
{
    check_place("own/name/data/*", 0, "own/name", "main", "data/*");
    check_place("own/name/data/*", 1, "own", "main", "name/data/*");
    check_place("own/name@v1/a@b", 0, "own/name", "v1", "a@b");
    check_place("own/name@v1/a@b", 1, NULL, NULL, NULL);
    check_place("name@v1", 0, "name", "v1", "");
    check_place("name", 1, NULL, NULL, NULL);
    check_place("own/name@refs/convert/parquet/x/y", 0, "own/name", "refs/convert/parquet", "x/y");
    check_place("own/name@refs/pr/7", 0, "own/name", "refs/pr/7", "");
    check_place("own/name@a%2Fb//c", 0, "own/name", "a/b", "c");
    mill_hub_place place;
    bool there;
    cr_expect_eq(mill_hub_place_parse("own/../x", 0, &place, &there, NULL), MILL_USAGE);
    cr_expect_eq(mill_hub_place_parse("own/na me/x", 0, &place, &there, NULL), MILL_USAGE);
    cr_expect_eq(mill_hub_place_parse("own/name@/x", 0, &place, &there, NULL), MILL_USAGE);
}

// ---- signatures: the examples of Amazon's documentation of S3

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define PUT_SUM "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
static const mill_sigv4 amazon = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                  "us-east-1", "20130524T000000Z"};

static void check_signature(const mill_sigv4_request *request, const char *names, const char *signature)
{
    mill_buf out = {0};
    char expected[600];
    snprintf(
        expected, sizeof expected,
        "AWS4-HMAC-SHA256 "
        "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=%s,Signature=%s",
        names, signature);
    cr_assert_eq(mill_sigv4_sign(&amazon, request, &out, NULL), MILL_OK);
    cr_expect(out.bytes == strlen(expected) && memcmp(out.data, expected, out.bytes) == 0, "%.*s",
              (int)out.bytes, (char *)out.data);
    mill_buf_free(&out);
}

Test(sigv4, equals_the_documented_examples)
{
    const mill_sigv4_header get[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                     {"range", "bytes=0-9"},
                                     {"x-amz-content-sha256", EMPTY},
                                     {"x-amz-date", "20130524T000000Z"}};
    check_signature(&(mill_sigv4_request){"GET", "/test.txt", "", get, 4, EMPTY},
                    "host;range;x-amz-content-sha256;x-amz-date",
                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    const mill_sigv4_header put[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                     {"host", "examplebucket.s3.amazonaws.com"},
                                     {"x-amz-content-sha256", PUT_SUM},
                                     {"x-amz-date", "20130524T000000Z"},
                                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    check_signature(&(mill_sigv4_request){"PUT", "/test%24file.text", "", put, 5, PUT_SUM},
                    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    const mill_sigv4_header list[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                      {"x-amz-content-sha256", EMPTY},
                                      {"x-amz-date", "20130524T000000Z"}};
    check_signature(&(mill_sigv4_request){"GET", "/", "lifecycle=", list, 3, EMPTY},
                    "host;x-amz-content-sha256;x-amz-date",
                    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    check_signature(&(mill_sigv4_request){"GET", "/", "max-keys=2&prefix=J", list, 3, EMPTY},
                    "host;x-amz-content-sha256;x-amz-date",
                    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

// ---- sums

Test(sums, of_git_and_md5_and_base64)
{
    char sha256[65], text[16];
    mill_sum other;
    mill_sums *sums;
    cr_assert_eq(mill_sums_create(MILL_SUM_GIT, 6, &sums, NULL), MILL_OK);
    mill_sums_update(sums, "hel", 3);
    mill_sums_update(sums, "lo\n", 3);
    mill_sums_finish(sums, sha256, &other);
    cr_expect_str_eq(other.hex, "ce013625030ba8dba906f756967f9e9ca394464a"); // git hash-object of "hello\n"
    cr_expect_str_eq(sha256, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
    cr_assert_eq(mill_sums_create(MILL_SUM_MD5, 0, &sums, NULL), MILL_OK);
    mill_sums_finish(sums, sha256, &other);
    cr_expect_str_eq(other.hex, "d41d8cd98f00b204e9800998ecf8427e");
    mill_base64("foobar", 6, text);
    cr_expect_str_eq(text, "Zm9vYmFy");
    mill_base64("fooba", 5, text);
    cr_expect_str_eq(text, "Zm9vYmE=");
    mill_base64("foob", 4, text);
    cr_expect_str_eq(text, "Zm9vYg==");
    mill_base64("", 0, text);
    cr_expect_str_eq(text, "");
}

// ---- answers

Test(hub, tree_tells_files_sizes_and_sums)
{
    static const char text[] =
        "[{\"type\":\"directory\",\"oid\":\"1\",\"size\":0,\"path\":\"data\"},"
        "{\"type\":\"file\",\"oid\":\"ce013625030ba8dba906f756967f9e9ca394464a\",\"size\":6,\"path\":\"a\"},"
        "{\"type\":\"file\",\"oid\":\"ce013625030ba8dba906f756967f9e9ca394464a\",\"size\":9e9,\"path\":\"b\","
        "\"lfs\":{\"oid\":"
        "\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\",\"size\":9000000000,"
        "\"pointerSize\":134}},"
        "{\"type\":\"submodule\",\"path\":\"c\"},{\"type\":\"file\"},7]";
    mill_remotes list = {0};
    cr_assert_eq(mill_hub_tree_parse(text, sizeof text - 1, "x", &list, NULL), MILL_OK);
    cr_assert_eq(list.count, 3);
    cr_expect(list.items[0].directory && !list.items[1].directory);
    cr_expect(list.items[1].bytes == 6 && list.items[1].sum.kind == MILL_SUM_GIT);
    cr_expect(list.items[2].bytes == 9000000000u && list.items[2].sum.kind == MILL_SUM_SHA256 &&
              strlen(list.items[2].sum.hex) == 64);
    mill_remotes_free(&list);
    cr_expect_eq(mill_hub_tree_parse("{}", 2, "x", &list, NULL), MILL_INPUT);
    cr_expect_eq(mill_hub_tree_parse("[", 1, "x", &list, NULL), MILL_INPUT);
}

Test(s3, answers_that_are_cut_or_hostile_are_refused)
{
    static const char good[] =
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;</"
        "NextContinuationToken>"
        "<EncodingType>url</EncodingType><Contents><Key>a+%2B%25</Key><Size>12</Size><ETag>&quot;"
        "d41d8cd98f00b204e9800998ecf8427e&quot;</ETag></Contents></ListBucketResult>";
    mill_remotes list = {0};
    mill_error err = {0};
    mill_s3_answer answer = {.objects = &list};
    mill_status status = mill_s3_answer_parse(good, sizeof good - 1, "x", &answer, &err);
    if (status == MILL_USAGE)
        cr_skip("built without expat");
    cr_assert_eq(status, MILL_OK, "%s", err.message);
    cr_assert_eq(list.count, 1);
    cr_expect_str_eq(list.items[0].name, "a +%");
    cr_expect(list.items[0].bytes == 12 && list.items[0].sum.kind == MILL_SUM_MD5);
    cr_expect(answer.truncated && strcmp(answer.next, "t&") == 0);
    mill_s3_answer_free(&answer);
    for (size_t bytes = 0; bytes < sizeof good - 1; bytes++) {
        answer.objects = &list;
        cr_expect_eq(mill_s3_answer_parse(good, bytes, "x", &answer, &err), MILL_INPUT);
        mill_s3_answer_free(&answer);
    }
    static const char *const bad[] = {"<!DOCTYPE a><a/>", "<a><b><c><Size>x</Size></c></b></a>x",
                                      "<a><Contents><Size>99999999999999999999"
                                      "</Size></Contents></a>",
                                      "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(mill_s3_answer_parse(bad[i], strlen(bad[i]), "x", &answer, &err), MILL_INPUT, "%s",
                     bad[i]);
        mill_s3_answer_free(&answer);
    }
    mill_remotes_free(&list);
}
