// test_shape.c: what becomes of a text before it is a record: notebooks, HTML pages, encodings, newlines,
// BOM, NUL.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source/html.h"
#include "source/notebook.h"
#include "source/source_internal.h"

static mill_language_table *languages;

static void begin(void)
{
    cr_assert_eq(mill_language_table_create(&languages, NULL), MILL_OK);
}

static void finish(void)
{
    mill_language_table_destroy(languages);
}

TestSuite(shape, .init = begin, .fini = finish);

// ---- one file through a source

typedef struct outcome {
    mill_batch batch;
    mill_quarantine quarantine;
    mill_parse_counts counts;
} outcome;

static outcome read_file(const char *name, const void *data, size_t bytes, mill_source_options options)
{
    char folder[] = "/tmp/test_shape_XXXXXX", path[256];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    cr_assert_eq(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
    outcome o = {0};
    mill_batch_init(&o.batch);
    mill_error err = {0};
    mill_source *source;
    mill_parser *parser;
    mill_block block = {0};
    const char *input = path;
    options.record_bytes_max = 1 << 20;
    options.block_bytes = 1 << 16;
    cr_assert_eq(mill_source_open(mill_fs_posix(), &input, 1, &options, languages, &source, &err), MILL_OK,
                 "%s", err.message);
    cr_assert_eq(mill_parser_open(source, &parser, NULL), MILL_OK);
    for (bool end = false;;) {
        cr_assert_eq(mill_source_next(source, &block, &end, &err), MILL_OK, "%s", err.message);
        if (end)
            break;
        cr_assert_eq(mill_source_parse(parser, &block, &o.batch, &o.quarantine, &o.counts, &err), MILL_OK,
                     "%s", err.message);
    }
    cr_expect_eq(o.counts.read,
                 o.batch.count + o.quarantine.count + o.counts.rejected[MILL_REASON_NO_ANSWER]);
    mill_block_free(&block);
    mill_parser_close(parser);
    mill_source_close(source);
    cr_expect_eq(mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, folder, NULL), MILL_OK);
    return o;
}

static void free_outcome(outcome *o)
{
    mill_batch_free(&o->batch);
    mill_quarantine_free(&o->quarantine);
}

static void expect_text(const outcome *o, uint32_t i, const char *text)
{
    uint64_t bytes;
    cr_assert_gt(o->batch.count, i);
    const uint8_t *seen = mill_batch_text(&o->batch, i, &bytes);
    cr_expect(bytes == strlen(text) && memcmp(seen, text, bytes) == 0, "expected <%s>, got <%.*s>", text,
              (int)bytes, seen);
}

static void expect_file(const char *name, const void *data, size_t bytes, mill_source_options options,
                        const char *text)
{
    outcome o = read_file(name, data, bytes, options);
    expect_text(&o, 0, text);
    free_outcome(&o);
}

// ---- notebooks

static const mill_source_options scripts = {
    .shape = {.notebooks = MILL_NOTEBOOKS_SCRIPT, .output_chars = 600}};

Test(shape, a_notebook_of_format_4_becomes_a_script_with_markdown_as_comments)
{
    static const char text[] =
        "{\"nbformat\":4,\"metadata\":{\"language_info\":{\"name\":\"python\"}},\"cells\":["
        "{\"cell_type\":\"markdown\",\"source\":[\"# Title\\n\",\"\\n\",\"text  \"]},"
        "{\"cell_type\":\"code\",\"source\":\"import os\\nx = "
        "1\\n\\n\",\"outputs\":[{\"output_type\":\"stream\","
        "\"text\":[\"seen\\n\"]}]},{\"cell_type\":\"code\",\"source\":[]},{\"cell_type\":\"raw\",\"source\":"
        "\"raw\"}]}";
    const char *script = "# # Title\n#\n# text\n\nimport os\nx = 1\n\n# raw\n";
    expect_file("a.ipynb", text, strlen(text), scripts, script);
    outcome o = read_file("a.ipynb", text, strlen(text), scripts);
    cr_expect_str_eq(mill_language_get(languages, o.batch.language[0])->name, "python");
    cr_expect_eq(o.batch.type[0], MILL_TYPE_NOTEBOOK);
    cr_expect_eq(o.counts.notebooks, 1);
    free_outcome(&o);
    mill_source_options outputs = scripts;
    outputs.shape.keep_outputs = true;
    expect_file("a.ipynb", text, strlen(text), outputs,
                "# # Title\n#\n# text\n\nimport os\nx = 1\n\n# Output:\n# seen\n\n# raw\n");
    outputs.shape.output_chars = 2;
    expect_file("a.ipynb", text, strlen(text), outputs,
                "# # Title\n#\n# text\n\nimport os\nx = 1\n\n# Output:\n# se\n# ...\n\n# raw\n");
    outputs.shape.notebooks = MILL_NOTEBOOKS_KEEP;
    expect_file("a.ipynb", text, strlen(text), outputs, text);
}

Test(shape, notebooks_of_formats_2_and_3_have_worksheets_and_bare_lines)
{
    static const char three[] = "{\"nbformat\":3,\"worksheets\":[{\"cells\":[{\"cell_type\":\"heading\","
                                "\"level\":2,\"source\":[\"Top\"]},"
                                "{\"cell_type\":\"code\",\"language\":\"python\",\"input\":[\"a = 1\\n\",\"b "
                                "= 2\"],\"outputs\":[]}]}]}";
    expect_file("a.ipynb", three, strlen(three), scripts, "# ## Top\n\na = 1\nb = 2\n");
    static const char two[] = "{\"nbformat\":2,\"worksheets\":[{\"cells\":[{\"cell_type\":\"markdown\","
                              "\"source\":[\"one\",\"two\"]},"
                              "{\"cell_type\":\"code\",\"input\":[\"a = 1\",\"b = 2\"]}]}]}";
    expect_file("a.ipynb", two, strlen(two), scripts, "# one\n# two\n\na = 1\nb = 2\n");
    static const char empty[] = "{\"nbformat\":3,\"metadata\":{}}";
    expect_file("a.ipynb", empty, strlen(empty), scripts, "");
}

Test(shape, the_language_of_a_notebook_is_that_of_its_kernel)
{
    static const struct {
        const char *metadata, *language, *script;
    } cases[] = {{"\"language_info\":{\"name\":\"ipython\"}", "python", "# m\n"},
                 {"\"kernelspec\":{\"name\":\"julia-1.6\",\"language\":\"julia\"}", "julia", "# m\n"},
                 {"\"kernelspec\":{\"name\":\"ir\"}", "r", "# m\n"},
                 {"\"kernelspec\":{\"name\":\"xcpp17\"}", "cpp", "// m\n"},
                 {"\"kernelspec\":{\"name\":\"nobody knows\"}", "other", "# m\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "{\"metadata\":{%s},\"cells\":[{\"cell_type\":\"markdown\",\"source\":\"m\"}]}",
                 cases[i].metadata);
        outcome o = read_file("a.ipynb", text, strlen(text), scripts);
        expect_text(&o, 0, cases[i].script);
        cr_expect_str_eq(mill_language_get(languages, o.batch.language[0])->name, cases[i].language);
        free_outcome(&o);
    }
}

static void expect_code(const char *code, mill_magics magics, const char *expected)
{
    mill_buf out = {0};
    cr_assert_eq(mill_notebook_code(code, strlen(code), magics, &out, NULL), MILL_OK);
    cr_expect(out.bytes == strlen(expected) && memcmp(out.data, expected, out.bytes) == 0,
              "<%s> became <%.*s>", code, (int)out.bytes, (const char *)out.data);
    mill_buf_free(&out);
}

Test(shape, magics_become_comments_stay_or_go)
{
    static const char code[] =
        "%matplotlib inline\n!pip install x \\\n  y\nfiles = !ls\nif files:\n    !rm a\nprint?\n?int\n";
    expect_code(code, MILL_MAGICS_COMMENT,
                "# %matplotlib inline\n# !pip install x \\\n  # y\n# files = !ls\nif files:\n    pass  # !rm "
                "a\n# print?\n# ?int\n");
    expect_code(code, MILL_MAGICS_KEEP, code);
    expect_code(code, MILL_MAGICS_DROP, "if files:\n    pass\n");
    expect_code("%%bash\nls | wc\n", MILL_MAGICS_COMMENT, "# %%bash\n# ls | wc\n");
    expect_code("%%time\nx = 1\n", MILL_MAGICS_COMMENT, "# %%time\nx = 1\n");
}

Test(shape, what_looks_like_a_magic_inside_python_is_left)
{
    static const char *const codes[] = {"x = (a\n     % b)\n",
                                        "s = '''\n%not\n!either\n'''\n",
                                        "x = a \\\n  % 3\n",
                                        "y = x % 3\n",
                                        "x %= 3\n",
                                        "s = \"what?\"\n",
                                        "# is it?\n",
                                        "d = {\n  '%a': 1\n}\n",
                                        "a != b\n",
                                        "f(x=y)\n"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        expect_code(codes[i], MILL_MAGICS_COMMENT, codes[i]);
}

Test(shape, data_sets_of_notebooks_are_read_in_each_of_their_forms)
{
    static const char lines[] =
        "{\"content\":\"{\\\"cells\\\":[{\\\"cell_type\\\":\\\"code\\\",\\\"source\\\":\\\"a=1\\\"}]}\","
        "\"path\":\"x.ipynb\"}\n"
        "{\"cells\":[{\"cell_type\":\"code\",\"source\":\"b=1\"}],\"nbformat\":4,\"path\":\"y.ipynb\"}\n"
        "{\"content\":{\"cells\":[{\"cell_type\":\"code\",\"source\":\"c=1\"}]},\"path\":\"z\"}\n"
        "{\"markdown\":\"note\",\"code\":\"d=1\",\"output\":\"7\",\"path\":\"w\"}\n"
        "{\"cells\":[[[\"t\",\"\"]],[[\"e=1\",\"8\"],[\"f=1\",\"\"]]],\"cell_types\":[\"markdown\",\"code\"],"
        "\"path\":\"v.ipynb\"}\n"
        "{\"content\":\"g=1\",\"path\":\"script.ipynb\"}\n";
    outcome o = read_file("a.jsonl", lines, strlen(lines), scripts);
    static const char *const expected[] = {
        "a=1\n", "b=1\n", "c=1\n", "# note\n\nd=1\n", "# t\n\ne=1\n\nf=1\n", "g=1"};
    cr_assert_eq(o.batch.count, 6);
    for (uint32_t i = 0; i < 6; i++)
        expect_text(&o, i, expected[i]);
    cr_expect_eq(o.counts.notebooks, 5);
    free_outcome(&o);
    // With outputs; a cell that has none says so in the words of these sets.
    static const char outputs[] =
        "{\"markdown\":\"note\",\"code\":\"d=1\",\"output\":\"7\"}\n{\"markdown\":\"note\",\"code\":\"d=2\","
        "\"output\":\"_____no_output_____\"}\n"
        "{\"cells\":[[[\"e=1\",\"8\"],[\"f=1\",\"_____no_output_____\"]]],\"cell_types\":[\"code\"]}\n";
    mill_source_options with = scripts;
    with.shape.keep_outputs = true;
    o = read_file("b.jsonl", outputs, strlen(outputs), with);
    expect_text(&o, 0, "# note\n\nd=1\n\n# Output:\n# 7\n");
    expect_text(&o, 1, "# note\n\nd=2\n");
    expect_text(&o, 2, "e=1\n\n# Output:\n# 8\n\nf=1\n");
    free_outcome(&o);
}

// ---- contests

Test(shape, tasks_give_their_solutions_in_each_of_their_forms)
{
    static const char lines[] =
        "{\"name\":\"n\",\"solutions\":{\"language\":[3,2],\"solution\":[\"a\",\"b\",\"c\"]}}\n"
        "{\"problem_id\":7,\"solutions\":[{\"language\":\"Java\",\"solution\":null,\"code\":\"d\"},null,{"
        "\"code\":\"e\"}]}\n"
        "{\"id\":\"852/A\",\"solutions\":[\"f\",null,\"g\"],\"language\":\"c++\"}\n"
        "{\"title\":\"t\",\"question\":\"q\",\"solutions\":\" [\\\"h\\\\n\\\",\\\"\\\\ud800\\\"]\"}\n"
        "{\"solutions\":[null,\"i\"],\"path\":\"p\"}\n"
        "{\"solutions\":\"\"}\n{\"solutions\":[]}\n{\"solutions\":[null]}\n{\"solutions\":\"[]\"}\n" // nobody
                                                                                                     // solved
                                                                                                     // these
        "{\"solutions\":\"[\\\"x\"}\n{\"solutions\":\"x = 1\"}\n{\"solutions\":[1]}\n{\"solutions\":null}\n";
    static const struct {
        const char *text, *language, *path;
    } wanted[] = {{"a", "python", "n/1"},
                  {"b", "cpp", "n/2"},
                  {"c", "other", "n/3"},
                  {"d", "java", "7/1"},
                  {"e", "other", "7/2"},
                  {"f", "cpp", "852/A/1"},
                  {"g", "cpp", "852/A/2"},
                  {"# q\n\nh\n", "python", "t/1"},
                  {"# q\n\n\xef\xbf\xbd", "python", "t/2"},
                  {"i", "python", "p/1"}};
    mill_source_options options = scripts;
    options.shape.statements = true;
    outcome o = read_file("a.jsonl", lines, strlen(lines), options);
    const uint32_t count = sizeof wanted / sizeof wanted[0];
    cr_assert_eq(o.batch.count, count);
    for (uint32_t i = 0; i < count; i++) {
        const mill_span path = o.batch.path[i];
        expect_text(&o, i, wanted[i].text);
        cr_expect_str_eq(mill_language_get(languages, o.batch.language[i])->name, wanted[i].language,
                         "record %u", i);
        cr_expect(path.bytes == strlen(wanted[i].path) &&
                      memcmp(mill_batch_meta(&o.batch, path), wanted[i].path, path.bytes) == 0,
                  "the path of record %u", i);
        cr_expect_eq(o.batch.type[i], MILL_TYPE_CONTEST);
    }
    cr_expect_eq(o.counts.rejected[MILL_REASON_NO_ANSWER], 4);
    cr_expect_eq(o.counts.further, 5);
    cr_expect_eq(o.counts.replaced_surrogates, 1);
    cr_assert_eq(o.quarantine.count, 4);
    cr_expect_eq(o.quarantine.rows[0].reason, MILL_QUARANTINE_BAD_JSON);
    cr_expect(o.quarantine.rows[0].record == 10 && o.quarantine.rows[0].length > 0,
              "the place of a line is told");
    for (size_t i = 1; i < 4; i++)
        cr_expect_eq(o.quarantine.rows[i].reason, MILL_QUARANTINE_NO_CONTENT);
    free_outcome(&o);
}

Test(shape, judges_name_compilers_and_mean_languages)
{
    static const char *const names[][2] = {{"GNU C++17", "cpp"},
                                           {"GNU C++20 (64)", "cpp"},
                                           {"MS C++ 2017", "cpp"},
                                           {"Clang++17 Diagnostics", "cpp"},
                                           {"C++14 (GCC 5.4.1)", "cpp"},
                                           {"GNU C11", "c"},
                                           {"Python 3", "python"},
                                           {"PyPy 3-64", "python"},
                                           {"PYTHON3", "python"},
                                           {"Python3 (3.4.3)", "python"},
                                           {"Java 11", "java"},
                                           {"JAVA8", "java"},
                                           {"C# 8", "csharp"},
                                           {"Mono C#", "csharp"},
                                           {".NET Core C#", "csharp"},
                                           {"Kotlin 1.9", "kotlin"},
                                           {"Rust 2021", "rust"},
                                           {"Go (1.14.1)", "go"},
                                           {"Node.js 15 (64bit)", "javascript"},
                                           {"JavaScript", "javascript"},
                                           {"FPC", "pascal"},
                                           {"Delphi 7", "pascal"},
                                           {"Perl", "perl"},
                                           {"Haskell", "haskell"},
                                           {"Objective C", "objective-c"},
                                           {"Common Lisp 2", "common-lisp"},
                                           {"CPP", "cpp"},
                                           {"", "other"},
                                           {"()", "other"},
                                           {"9000", "9000"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        mill_language_id id = mill_judge_language(languages, names[i][0], strlen(names[i][0]));
        cr_expect_str_eq(mill_language_get(languages, id)->name, names[i][1], "%s", names[i][0]);
    }
    // Only of contests: elsewhere a name is a name.
    static const char line[] = "{\"content\":\"x\",\"language\":\"GNU C++17\"}\n";
    mill_source_options options = {.type = MILL_TYPE_CONTEST, .type_given = true};
    outcome o = read_file("a.jsonl", line, strlen(line), options);
    cr_expect_str_eq(mill_language_get(languages, o.batch.language[0])->name, "cpp");
    free_outcome(&o);
    options.type_given = false;
    o = read_file("a.jsonl", line, strlen(line), options);
    cr_expect_str_eq(mill_language_get(languages, o.batch.language[0])->name, "gnu-c++17");
    free_outcome(&o);
}

// ---- notebooks that are none

Test(shape, what_is_no_notebook_is_quarantined_by_name)
{
    outcome o = read_file("a.ipynb", "{\"cells\": [", 11, scripts);
    cr_assert_eq(o.quarantine.count, 1);
    cr_expect_eq(o.quarantine.rows[0].reason, MILL_QUARANTINE_BAD_JSON);
    free_outcome(&o);
    o = read_file("a.ipynb", "{\"a\": 1}", 8, scripts);
    cr_assert_eq(o.quarantine.count, 1);
    cr_expect_eq(o.quarantine.rows[0].reason, MILL_QUARANTINE_BAD_NOTEBOOK);
    free_outcome(&o);
}

// ---- HTML

static void expect_html(const char *html, mill_html_scope scope, const char *expected)
{
    mill_html *parser;
    mill_html_result result = {0};
    const char *problem;
    cr_assert_eq(mill_html_open(languages, &parser, NULL), MILL_OK);
    cr_assert_eq(mill_html_read(parser, (const uint8_t *)html, strlen(html), scope, &result, &problem, NULL),
                 MILL_OK);
    cr_assert_null(problem, "%s", problem);
    cr_expect(result.text.bytes == strlen(expected) &&
                  memcmp(result.text.data, expected, result.text.bytes) == 0,
              "<%s> became <%.*s>", html, (int)result.text.bytes, (const char *)result.text.data);
    mill_html_result_free(&result);
    mill_html_close(parser);
}

Test(shape, html_keeps_headings_lists_quotations_tables_and_code)
{
    if (!mill_html_supported())
        cr_skip_test("no HTML parser in this build");
    expect_html("<h2>A  b</h2><p>one <b>two</b>\n three<br>four</p>", MILL_HTML_FRAGMENT,
                "## A b\n\none two three\nfour\n");
    expect_html("<ul><li>a<li><p>b</p><ol start=3><li>c</ol></ul>", MILL_HTML_FRAGMENT, "- a\n- b\n  3. c\n");
    expect_html("<p>x</p><blockquote><p>q</p><p>r</p></blockquote><p>y", MILL_HTML_FRAGMENT,
                "x\n\n> q\n>\n> r\n\ny\n");
    expect_html("<table><tr><th>a<th>b<tr><td>1<td><p>2</p></table>", MILL_HTML_FRAGMENT,
                "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    expect_html("<p>use <code>a&lt;b</code> or <code>`x`</code>", MILL_HTML_FRAGMENT,
                "use `a<b` or `` `x` ``\n");
    expect_html("<pre>\n\n  x &amp;&amp; y\n\n</pre>", MILL_HTML_FRAGMENT, "```\n  x && y\n```\n");
    expect_html("<pre><code>a ``` b</code></pre>", MILL_HTML_FRAGMENT, "````\na ``` b\n````\n");
}

Test(shape, code_blocks_are_found_in_each_of_their_forms)
{
    if (!mill_html_supported())
        cr_skip_test("no HTML parser in this build");
    static const struct {
        const char *html, *text;
    } cases[] = {
        {"<pre><code>x</code></pre>", "```\nx\n```\n"},
        {"<pre class=\"lang-py prettyprint-override\"><code>x</code></pre>", "```python\nx\n```\n"},
        {"<pre><code class=\"hljs language-c++\">x</code></pre>", "```cpp\nx\n```\n"},
        {"<!-- language: lang-js --><pre><code>x</code></pre>", "```javascript\nx\n```\n"},
        {"<!-- language-all: lang-java --><p>a</p><pre><code>x</code></pre>", "a\n\n```java\nx\n```\n"},
        {"<div class=\"highlight-ruby\"><div class=\"highlight\"><pre>x</pre></div></div>",
         "```ruby\nx\n```\n"},
        {"<div class=snippet data-lang=js><div class=snippet-code><pre class=\"snippet-code-html "
         "lang-html\"><code>&lt;p></code></pre></div></div>",
         "```html\n<p>\n```\n"},
        {"<p><code>a\nb</code></p>", "```\na\nb\n```\n"},
        {"<pre><code>int x;\n<p>not closed", "```\nint x;\n```\n\nnot closed\n"},
        {"<pre><code></code></pre>y", "y\n"},
        {"<pre><code>a <b>b</b> <a href=x>c</a>\r\nd</code></pre>", "```\na b c\nd\n```\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_html(cases[i].html, MILL_HTML_FRAGMENT, cases[i].text);
}

Test(shape, a_page_loses_its_navigation_and_gets_its_title)
{
    if (!mill_html_supported())
        cr_skip_test("no HTML parser in this build");
    expect_html("<title>T</title><nav>menu</nav><div "
                "class=\"sphinxsidebar\">side</div><p>text<script>x</script></p><footer>f</footer>",
                MILL_HTML_PAGE, "# T\n\ntext\n");
    expect_html("<h1>all</h1><main><h1>H<a class=headerlink>\xc2\xb6</a></h1><p>a</p></main>", MILL_HTML_PAGE,
                "# H\n\na\n");
    static const char page[] = "<h1>H</h1><p>a";
    mill_source_options docs = {
        .type = MILL_TYPE_DOCS, .type_given = true, .shape = {.pages = MILL_PAGES_DOCS}};
    expect_file("a.html", page, strlen(page), docs, "# H\n\na\n");
    docs.type = MILL_TYPE_SOURCE;
    expect_file("a.html", page, strlen(page), docs, page);
}

Test(shape, html_that_would_grow_or_take_long_is_refused_quickly)
{
    if (!mill_html_supported())
        cr_skip_test("no HTML parser in this build");
    static const char *const parts[] = {"<div>", "<b id=1>", "<a ", "a b c d e f g h ", "<table><tr><td>"};
    mill_html *parser;
    mill_html_result result = {0};
    cr_assert_eq(mill_html_open(languages, &parser, NULL), MILL_OK);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        mill_buf text = {0};
        const char *problem;
        cr_assert_eq(mill_buf_append_text(&text, i == 3 ? "<a " : "", NULL), MILL_OK);
        for (int n = 0; n < 50000; n++)
            cr_assert_eq(mill_buf_append_text(&text, parts[i], NULL), MILL_OK);
        cr_assert_eq(mill_html_read(parser, text.data, text.bytes, MILL_HTML_PAGE, &result, &problem, NULL),
                     MILL_OK);
        cr_expect_not_null(problem, "%s", parts[i]);
        mill_buf_free(&text);
    }
    mill_buf text = {0};
    const char *problem;
    cr_assert_eq(mill_buf_append_text(&text, "<p>", NULL), MILL_OK);
    for (int n = 0; n < 500; n++)
        cr_assert_eq(mill_buf_printf(&text, NULL, "<b id=%d>", n), MILL_OK);
    for (int n = 0; n < 50000; n++)
        cr_assert_eq(mill_buf_append_text(&text, "<p>x", NULL), MILL_OK);
    cr_assert_eq(mill_html_read(parser, text.data, text.bytes, MILL_HTML_PAGE, &result, &problem, NULL),
                 MILL_OK);
    cr_expect_not_null(problem); // each paragraph would open all 500 again
    mill_buf_free(&text);
    mill_html_result_free(&result);
    mill_html_close(parser);
}

// ---- encodings and normal forms

#define BYTES(text) text, sizeof(text) - 1
Test(shape, a_file_is_read_in_the_encoding_it_declares)
{
    mill_source_options o = {.shape = {.declared_encodings = true}};
    static const struct {
        const char *name, *data;
        size_t bytes;
        const char *text;
    } cases[] = {
        {"a.py", BYTES("# -*- coding: latin-1 -*-\nx='\xe9'\n"), "# -*- coding: latin-1 -*-\nx='\xc3\xa9'\n"},
        {"a.py", BYTES("#!/bin/p\n# vim: fileencoding=cp1252\n'\x80'"),
         "#!/bin/p\n# vim: fileencoding=cp1252\n'\xe2\x82\xac'"},
        {"a.html", BYTES("<meta charset=\"shift_jis\">\x83\x65"), "<meta charset=\"shift_jis\">\xe3\x83\x86"},
        {"a.xml", BYTES("<?xml encoding='koi8-r'?>\xc1"), "<?xml encoding='koi8-r'?>\xd0\xb0"},
        {"a.txt",
         BYTES("\xff\xfe"
               "a\0\xe9\0"),
         "a\xc3\xa9"},
        {"a.txt",
         BYTES("\xfe\xff"
               "\0a\xd8\x3d\xde\x00"),
         "a\xf0\x9f\x98\x80"}};
    o.format = "text";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_file(cases[i].name, cases[i].data, cases[i].bytes, o, cases[i].text);
    outcome r = read_file("a.txt", "\xe9t\xe9", 3, o);
    cr_expect_eq(r.quarantine.count, 1);
    free_outcome(&r);
    o.shape.encoding = "latin1";
    expect_file("a.txt", "\xe9t\xe9", 3, o, "\xc3\xa9t\xc3\xa9");
    expect_file("a.txt", BYTES("coding: utf-8 \xe9"), o, "coding: utf-8 \xc3\xa9");
}

Test(shape, newlines_bom_and_nul_change_only_when_asked_and_are_counted)
{
    static const char lines[] = "{\"content\":\"\\ufeffa\\r\\nb\\rc\\u0000d\"}\n{\"content\":\"plain\\n\"}\n";
    mill_source_options o = {.format = "jsonl"};
    outcome r = read_file("a.jsonl", lines, strlen(lines), o);
    cr_expect_eq(r.batch.text_offset[1], 3 + 7 + 1);
    cr_expect_eq(r.counts.newlines + r.counts.text_bom + r.counts.nul, 0);
    free_outcome(&r);
    o.shape = (mill_shape_options){.newlines = true, .strip_bom = true, .nul = MILL_NUL_STRIP};
    r = read_file("a.jsonl", lines, strlen(lines), o);
    expect_text(&r, 0, "a\nb\ncd");
    expect_text(&r, 1, "plain\n");
    cr_expect(r.counts.newlines == 1 && r.counts.text_bom == 1 && r.counts.nul == 1);
    free_outcome(&r);
    o.shape.nul = MILL_NUL_QUARANTINE;
    r = read_file("a.jsonl", lines, strlen(lines), o);
    cr_expect(r.quarantine.count == 1 && r.batch.count == 1);
    free_outcome(&r);
}
