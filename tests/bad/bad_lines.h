// bad_lines.h: lines that are no records, and the reason that must be given for each. A field bug adds a row.
#ifndef TESTS_BAD_BAD_LINES_H
#define TESTS_BAD_BAD_LINES_H

#include <stddef.h>

#define BAD(reason, text) {reason, text, sizeof(text) - 1}
#define X8(t) t t t t t t t t
#define X64(t) X8(X8(t))
#define X512(t) X8(X64(t))

static const struct bad_line {
    const char *reason, *text;
    size_t bytes;
} bad_lines[] = {
    BAD("bad_json", "{"),
    BAD("bad_json", "}"),
    BAD("bad_json", "{\"content\":\"x\""),
    BAD("bad_json", "{\"content\":\"x"),
    BAD("bad_json", "{\"content\":\"x\\"),
    BAD("bad_json", "{\"content\":\"x\",}"),
    BAD("bad_json", "{\"content\" \"x\"}"),
    BAD("bad_json", "{content:\"x\"}"),
    BAD("bad_json", "{'content':'x'}"),
    BAD("bad_json", "{\"content\":\"x\"} {\"content\":\"y\"}"),
    BAD("bad_json", "{\"content\":\"x\"}]"),
    BAD("bad_json", "{\"content\":\"x\"} // note"),
    BAD("bad_json", "{\"content\":\"a\001b\"}"),
    BAD("bad_json", "{\"content\":\"a\0b\"}"),
    BAD("bad_json", "{\"content\":\"a\tb\"}"),
    BAD("bad_json", "{\"content\":\"\\x41\"}"),
    BAD("bad_json", "{\"content\":\"\\u12\"}"),
    BAD("bad_json", "{\"content\":\"\\ud8zz\"}"),
    BAD("bad_json", "{\"content\":\"\\ud800\" oops}"),
    BAD("bad_json", "{\"content\":\"x\",\"n\":01}"),
    BAD("bad_json", "{\"content\":\"x\",\"n\":1.}"),
    BAD("bad_json", "{\"content\":\"x\",\"n\":.5}"),
    BAD("bad_json", "{\"content\":\"x\",\"n\":+1}"),
    BAD("bad_json", "{\"content\":\"x\",\"n\":0x1f}"),
    BAD("bad_json", "{\"content\":\"x\",\"n\":tru}"),
    BAD("bad_json", "{\"content\":\"x\",\"n\":None}"),
    BAD("bad_json", "\f{\"content\":\"x\"}"),
    BAD("bad_json", "\0"),
    BAD("bad_json", "\xef\xbb\xbf{\"content\":\"a mark inside the file\"}"),
    BAD("bad_json", "plain text"),
    BAD("bad_utf8", "{\"content\":\"\xff\"}"),
    BAD("bad_utf8", "{\"content\":\"\x80\"}"),
    BAD("bad_utf8", "{\"content\":\"\xc3\"}"),
    BAD("bad_utf8", "{\"content\":\"\xc0\xaf\"}"),
    BAD("bad_utf8", "{\"content\":\"\xed\xa0\x80\"}"),
    BAD("bad_utf8", "{\"content\":\"\xf4\x90\x80\x80\"}"),
    BAD("bad_utf8", "\xff\xfe{\0\"\0"),
    BAD("not_object", "[]"),
    BAD("not_object", "[{\"content\":\"x\"}]"),
    BAD("not_object", "\"content\""),
    BAD("not_object", "12"),
    BAD("not_object", "null"),
    BAD("not_object", "NaN"),
    BAD("no_content", "{}"),
    BAD("no_content", "{\"content\":null}"),
    BAD("no_content", "{\"Content\":\"x\"}"),
    BAD("no_content", "{\"content\":\"x\",\"content\":null}"),
    BAD("content_type", "{\"content\":1}"),
    BAD("content_type", "{\"content\":[\"x\"]}"),
    BAD("content_type", "{\"content\":{\"text\":\"x\"}}"),
    BAD("content_type", "{\"content\":true}"),
    BAD("field_type", "{\"content\":\"x\",\"repo\":1}"),
    BAD("field_type", "{\"content\":\"x\",\"path\":[]}"),
    BAD("field_type", "{\"content\":\"x\",\"language\":{}}"),
    BAD("field_type", "{\"content\":\"x\",\"license\":7}"),
    BAD("field_type", "{\"content\":\"x\",\"license\":[1]}"),
    BAD("field_type", "{\"content\":\"x\",\"license\":{\"name\":\"MIT\"}}"),
    BAD("too_deep", X512("[") "[" X512("]") "]"),
    BAD("too_deep", X512("[")  X512("[")),
    BAD("too_deep", "{\"content\":\"x\",\"a\":" X512("[") X512("]") "}"),
    BAD("too_deep", X512("{\"a\":") X64("{\"a\":")),
};
static const size_t bad_line_count = sizeof bad_lines / sizeof bad_lines[0];

#endif
