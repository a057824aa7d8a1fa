// imports_braces.c: the imports of languages with C's comments: JavaScript and TypeScript, Java, C and C++,
// C#, Go. One loop knows comments and literals; what a word begins is each language's business. A literal
// that is not closed ends with its line, so that a quote in a regular expression costs a line at most.
#include "repo/imports_internal.h"

static bool skip_comment(mill_scan *s)
{
    if (mill_scan_peek(s, 0) != '/')
        return false;
    if (mill_scan_peek(s, 1) == '/') {
        const uint8_t *newline = memchr(s->text + s->at, '\n', s->end - s->at);
        s->at = newline != NULL ? (uint64_t)(newline - s->text) : s->end;
        return true;
    }
    if (mill_scan_peek(s, 1) != '*')
        return false;
    const uint8_t *close =
        s->end - s->at > 2 ? memmem(s->text + s->at + 2, s->end - s->at - 2, "*/", 2) : NULL;
    s->at = close != NULL ? (uint64_t)(close - s->text) + 2 : s->end;
    return true;
}

static void skip_space(mill_scan *s)
{
    while (s->at < s->end) {
        const uint8_t c = s->text[s->at];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v')
            s->at++;
        else if (!skip_comment(s))
            return;
    }
}

// Behind a literal that begins at the scanner's place. lines: newlines may be in it. escapes: a backslash
// takes the next byte.
static void skip_literal(mill_scan *s, bool lines, bool escapes)
{
    const uint8_t quote = s->text[s->at++];
    while (s->at < s->end) {
        const uint8_t c = s->text[s->at++];
        if (c == quote || (c == '\n' && !lines))
            return;
        if (c == '\\' && escapes && s->at < s->end)
            s->at++;
    }
}

// Behind the text that ends what begins here.
static void skip_to(mill_scan *s, const char *close, size_t skip)
{
    s->at = s->end - s->at > skip ? s->at + skip : s->end;
    const size_t bytes = strlen(close);
    const uint8_t *found = memmem(s->text + s->at, s->end - s->at, close, bytes);
    s->at = found != NULL ? (uint64_t)(found - s->text) + bytes : s->end;
}

// C++: R"x(..)x".
static void skip_raw(mill_scan *s)
{
    char close[20] = ")";
    size_t bytes = 1;
    s->at++;
    while (bytes < 18 && mill_scan_peek(s, 0) != '(' && s->at < s->end)
        close[bytes++] = (char)s->text[s->at++];
    close[bytes++] = '"';
    const uint8_t *found = memmem(s->text + s->at, s->end - s->at, close, bytes);
    s->at = found != NULL ? (uint64_t)(found - s->text) + bytes : s->end;
}

// Literals by language; `before` is the byte in front.
static void skip_quoted(mill_scan *s, mill_braces language, uint8_t before)
{
    const uint8_t c = s->text[s->at];
    const bool triple = c == '"' && mill_scan_peek(s, 1) == '"' && mill_scan_peek(s, 2) == '"';
    if (c == '`')
        skip_literal(s, true, language == MILL_BRACES_SCRIPT);
    else if (triple && (language == MILL_BRACES_JAVA || language == MILL_BRACES_CSHARP))
        skip_to(s, "\"\"\"", 3);
    else if (c == '"' && language == MILL_BRACES_CSHARP && before == '@')
        skip_literal(s, true, false);
    else if (c == '"' && language == MILL_BRACES_C && before == 'R')
        skip_raw(s);
    else
        skip_literal(s, false, true);
}

// The text of a string of one line at the scanner's place; false if there is none. No escapes: names of files
// have none.
static bool take_string(mill_scan *s, mill_word *out)
{
    const uint8_t quote = mill_scan_peek(s, 0);
    if (quote != '"' && quote != '\'' && quote != '`')
        return false;
    const uint64_t begin = s->at + 1;
    uint64_t at = begin;
    while (at < s->end && s->text[at] != quote && s->text[at] != '\n' && s->text[at] != '\\')
        at++;
    if (at == s->end || s->text[at] != quote)
        return false;
    *out = (mill_word){s->text + begin, at - begin};
    s->at = at + 1;
    return true;
}

// ---- JavaScript, TypeScript

static void add_path(mill_scan *s, mill_word path)
{
    const bool alias = path.bytes > 2 && (path.text[0] == '@' || path.text[0] == '~') && path.text[1] == '/';
    if (path.bytes != 0 && (path.text[0] == '.' || path.text[0] == '/' || alias))
        mill_scan_add(s, MILL_IMPORT_PATH, 0, path.text, path.bytes);
}

// What is imported, up to "from" and its string: names, braces, commas, stars.
static void scan_clause(mill_scan *s)
{
    mill_word word;
    for (unsigned words = 0; words < 4096; words++) {
        skip_space(s);
        const uint8_t c = mill_scan_peek(s, 0);
        if (c == '{' || c == '}' || c == ',' || c == '*') {
            s->at++;
            continue;
        }
        word = mill_scan_word(s);
        if (word.bytes == 0)
            return;
        if (!mill_word_is(word, "from"))
            continue;
        skip_space(s);
        if (take_string(s, &word)) { // else it is a thing named from
            add_path(s, word);
            return;
        }
    }
}

static void scan_script(mill_scan *s, mill_word word, uint8_t before)
{
    mill_word path;
    const bool is_import = mill_word_is(word, "import"), is_require = mill_word_is(word, "require");
    if (before == '.' || (!is_import && !is_require && !mill_word_is(word, "export")))
        return;
    skip_space(s);
    const uint8_t c = mill_scan_peek(s, 0);
    if (c == '(' && (is_import || is_require)) {
        s->at++;
        skip_space(s);
        if (take_string(s, &path))
            add_path(s, path);
    } else if (is_import) {
        if (take_string(s, &path))
            add_path(s, path);
        else
            scan_clause(s);
    } else if (!is_require) {
        const uint64_t behind = s->at;
        const mill_word type = mill_scan_word(s);
        skip_space(s);
        const uint8_t next = mill_scan_peek(s, 0);
        const bool lists = (type.bytes == 0 || mill_word_is(type, "type")) && (next == '{' || next == '*');
        s->at = behind;
        if (lists)
            scan_clause(s);
    }
}

// ---- Java, C#, Go

static void scan_java(mill_scan *s, mill_word word)
{
    char name[MILL_IMPORT_NAME_MAX + 1];
    bool star;
    if (!mill_word_is(word, "import"))
        return;
    skip_space(s);
    const uint64_t behind = s->at;
    if (!mill_word_is(mill_scan_word(s), "static"))
        s->at = behind;
    skip_space(s);
    if (!mill_scan_dotted(s, name, &star))
        return;
    skip_space(s);
    if (mill_scan_peek(s, 0) == ';')
        mill_scan_add(s, star ? MILL_IMPORT_PACKAGE : MILL_IMPORT_CLASS, 0, name, strlen(name));
}

static void scan_csharp(mill_scan *s, mill_word word)
{
    char name[MILL_IMPORT_NAME_MAX + 1];
    bool star;
    const bool declares = mill_word_is(word, "namespace");
    if (!declares && !mill_word_is(word, "using"))
        return;
    skip_space(s);
    const uint64_t behind = s->at;
    if (declares || !mill_word_is(mill_scan_word(s), "static"))
        s->at = behind;
    skip_space(s);
    if (!mill_scan_dotted(s, name, &star) || star)
        return;
    skip_space(s);
    if (!declares && mill_scan_peek(s, 0) == '=') { // using Short = Long.Name;
        s->at++;
        skip_space(s);
        if (!mill_scan_dotted(s, name, &star) || star)
            return;
        skip_space(s);
    }
    const uint8_t c = mill_scan_peek(s, 0);
    if (c == ';' || (declares && c == '{'))
        mill_scan_add(s, declares ? MILL_IMPORT_DECLARED : MILL_IMPORT_NAMESPACE, 0, name, strlen(name));
}

static void take_go(mill_scan *s)
{
    mill_word path;
    skip_space(s);
    if (mill_scan_peek(s, 0) == '.')
        s->at++;
    else
        (void)mill_scan_word(s); // a name of its own
    skip_space(s);
    if (mill_scan_peek(s, 0) != '\'' && take_string(s, &path) && path.bytes != 0)
        mill_scan_add(s, MILL_IMPORT_GO, 0, path.text, path.bytes);
}

static void scan_go(mill_scan *s, mill_word word)
{
    if (!mill_word_is(word, "import"))
        return;
    skip_space(s);
    if (mill_scan_peek(s, 0) != '(') {
        take_go(s);
        return;
    }
    s->at++;
    for (uint64_t before = s->end; s->at != before;) { // ends where nothing more is taken
        before = s->at;
        take_go(s);
        skip_space(s);
        if (mill_scan_peek(s, 0) == ';')
            s->at++;
    }
}

// ---- C, C++

static void skip_line_blanks(mill_scan *s)
{
    while (mill_scan_peek(s, 0) == ' ' || mill_scan_peek(s, 0) == '\t')
        s->at++;
}

static void scan_directive(mill_scan *s)
{
    mill_word path;
    s->at++;
    skip_line_blanks(s);
    const mill_word word = mill_scan_word(s);
    if (!mill_word_is(word, "include") && !mill_word_is(word, "include_next") &&
        !mill_word_is(word, "import"))
        return;
    skip_line_blanks(s);
    const uint8_t c = mill_scan_peek(s, 0);
    if (c == '"' && take_string(s, &path)) {
        mill_scan_add(s, MILL_IMPORT_QUOTED, 0, path.text, path.bytes);
    } else if (c == '<') {
        const uint64_t begin = s->at + 1;
        uint64_t at = begin;
        while (at < s->end && s->text[at] != '>' && s->text[at] != '\n')
            at++;
        if (at < s->end && s->text[at] == '>')
            mill_scan_add(s, MILL_IMPORT_ANGLED, 0, s->text + begin, at - begin);
        s->at = at;
    }
}

// ---- the loop

static void scan_word(mill_scan *s, mill_braces language, mill_word word, uint8_t before)
{
    switch (language) {
    case MILL_BRACES_SCRIPT: scan_script(s, word, before); break;
    case MILL_BRACES_JAVA: scan_java(s, word); break;
    case MILL_BRACES_CSHARP: scan_csharp(s, word); break;
    case MILL_BRACES_GO: scan_go(s, word); break;
    case MILL_BRACES_C: break;
    }
}

void mill_scan_braces(mill_scan *s, mill_braces language)
{
    bool line_start = true;
    while (s->at < s->end && s->status == MILL_OK) {
        const uint8_t c = s->text[s->at], before = s->at != 0 ? s->text[s->at - 1] : 0;
        const bool first = line_start;
        line_start = c == '\n' || (line_start && (c == ' ' || c == '\t' || c == '\r'));
        if (mill_is_word_byte(c)) {
            const mill_word word = mill_scan_word(s);
            scan_word(s, language, word, before);
        } else if (c == '"' || c == '\'' || (c == '`' && language != MILL_BRACES_JAVA)) {
            skip_quoted(s, language, before);
            line_start = s->at != 0 && s->text[s->at - 1] == '\n';
        } else if (c == '#' && language == MILL_BRACES_C && first) {
            scan_directive(s);
        } else if (!skip_comment(s)) {
            s->at++;
        }
    }
}
