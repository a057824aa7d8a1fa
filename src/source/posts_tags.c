// posts_tags.c: what the tags of a question tell of the language of its code: a tag that is a language's name
// (python-3.x, c++17), else one of a framework or tool that is used in one language.
#include "source/posts.h"

static const char *const tools[][2] = {{"android", "java"},
                                       {"angular", "typescript"},
                                       {"angularjs", "javascript"},
                                       {"asp.net", "csharp"},
                                       {"asp.net-core", "csharp"},
                                       {"asp.net-mvc", "csharp"},
                                       {"boost", "cpp"},
                                       {"cocoa-touch", "objective-c"},
                                       {"codeigniter", "php"},
                                       {"d3.js", "javascript"},
                                       {"dataframe", "python"},
                                       {"django", "python"},
                                       {"dplyr", "r"},
                                       {"ecmascript-6", "javascript"},
                                       {"entity-framework", "csharp"},
                                       {"express", "javascript"},
                                       {"flask", "python"},
                                       {"flutter", "dart"},
                                       {"ggplot2", "r"},
                                       {"hibernate", "java"},
                                       {"iphone", "objective-c"},
                                       {"ios", "swift"},
                                       {"jpa", "java"},
                                       {"jquery", "javascript"},
                                       {"junit", "java"},
                                       {"keras", "python"},
                                       {"laravel", "php"},
                                       {"linq", "csharp"},
                                       {"matplotlib", "python"},
                                       {"maven", "java"},
                                       {"mysql", "sql"},
                                       {"next.js", "javascript"},
                                       {"node.js", "javascript"},
                                       {"numpy", "python"},
                                       {"opencv", "cpp"},
                                       {"oracle", "sql"},
                                       {"pandas", "python"},
                                       {"postgresql", "sql"},
                                       {"pytorch", "python"},
                                       {"qt", "cpp"},
                                       {"rails", "ruby"},
                                       {"react-native", "javascript"},
                                       {"reactjs", "javascript"},
                                       {"ruby-on-rails", "ruby"},
                                       {"scikit-learn", "python"},
                                       {"shell", "bash"},
                                       {"spring", "java"},
                                       {"spring-boot", "java"},
                                       {"sql-server", "sql"},
                                       {"sqlite", "sql"},
                                       {"stl", "cpp"},
                                       {"swing", "java"},
                                       {"t-sql", "sql"},
                                       {"tensorflow", "python"},
                                       {"tsql", "sql"},
                                       {"unity3d", "csharp"},
                                       {"vba", "vba"},
                                       {"vue.js", "javascript"},
                                       {"wordpress", "php"},
                                       {"wpf", "csharp"},
                                       {".net", "csharp"},
                                       {".net-core", "csharp"},
                                       {"winforms", "csharp"}};

typedef struct tag {
    char name[40];
} tag;

// The next tag of either notation, in lower case; false at the end.
static bool next_tag(const uint8_t *tags, size_t bytes, size_t *at, tag *out)
{
    while (*at < bytes) {
        while (*at < bytes && memchr("<>| ", tags[*at], 4) != NULL)
            ++*at;
        size_t n = 0;
        for (; *at < bytes && memchr("<>| ", tags[*at], 4) == NULL; ++*at)
            if (n + 1 < sizeof out->name)
                out->name[n++] = (char)(tags[*at] >= 'A' && tags[*at] <= 'Z' ? tags[*at] | 0x20 : tags[*at]);
        out->name[n] = '\0';
        if (n != 0)
            return true;
    }
    return false;
}

// c++17, python-3.x, java-8: the name without its version.
static int versioned(const mill_language_table *languages, const char *name)
{
    tag word;
    size_t bytes = strlen(name);
    memcpy(word.name, name, bytes + 1);
    while (bytes > 1 && strchr("0123456789.x-", word.name[bytes - 1]) != NULL && word.name[bytes - 1] != '\0')
        word.name[--bytes] = '\0';
    return mill_language_find(languages, word.name);
}

static const char *tool_language(const char *name)
{
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        if (strcmp(tools[i][0], name) == 0)
            return tools[i][1];
    return NULL;
}

int mill_tags_language(const mill_language_table *languages, const uint8_t *tags, size_t bytes)
{
    tag t;
    for (size_t at = 0; next_tag(tags, bytes, &at, &t);) {
        if (tool_language(t.name) != NULL)
            continue; // some are aliases of languages of templates, too
        int id = mill_language_find(languages, t.name);
        id = id > 0 ? id : versioned(languages, t.name);
        if (id > 0)
            return id;
    }
    for (size_t at = 0; next_tag(tags, bytes, &at, &t);)
        if (tool_language(t.name) != NULL)
            return mill_language_find(languages, tool_language(t.name));
    return -1;
}
