// grammar.c: the tree-sitter grammars behind grammar.h.
// A tree may be as deep as its text is long, so walks use a cursor, never recursion.
//
// tree-sitter's error recovery is far from linear: 40 KB of "a => " took the java grammar minutes, most of it inside a single step
// that the parser's progress callback cannot stop. But whatever it tries, it allocates nodes and stacks for it. So work is counted
// in the allocator, and a parse that has used up its work is left from there by longjmp. All its memory, the tree included, comes
// from a pool that is reset as a whole. The count is a function of text and grammar alone, because each text gets a new parser: an
// old one keeps pools of its own whose contents depend on the texts before. Running out of memory leaves the parse in the same way.
#include "core/grammar.h"

#include <string.h>

#ifdef MILL_HAVE_TREE_SITTER

#include <pthread.h>
#include <setjmp.h>
#include <tree_sitter/api.h>

#include "core/grammar_tables.h"
#include "core/pool.h"

#define GRAMMAR_MAP(X)                                                                             \
    X(bash, "bash")                                                                                \
    X(c, "c")                                                                                      \
    X(cpp, "cpp")                                                                                  \
    X(c_sharp, "csharp")                                                                           \
    X(go, "go")                                                                                    \
    X(java, "java")                                                                                \
    X(javascript, "javascript")                                                                    \
    X(json, "json")                                                                                \
    X(php, "php")                                                                                  \
    X(python, "python")                                                                            \
    X(rust, "rust")                                                                                \
    X(typescript, "typescript")                                                                    \
    X(tsx, "tsx")

#define GRAMMAR_DECLARE(symbol, name) const TSLanguage *tree_sitter_##symbol(void);
GRAMMAR_MAP(GRAMMAR_DECLARE)
#undef GRAMMAR_DECLARE

static const struct grammar {
    const char *name; // canonical
    const TSLanguage *(*language)(void);
} grammars[] = {
#define GRAMMAR_ROW(symbol, name) {name, tree_sitter_##symbol},
    GRAMMAR_MAP(GRAMMAR_ROW)
#undef GRAMMAR_ROW
};
enum { GRAMMAR_COUNT = sizeof grammars / sizeof grammars[0] };

// The same grammars with wide tables, as far as they were needed: all handles share them, and the last one frees them.
static struct {
    pthread_mutex_t lock;
    size_t handles;
    TSLanguage *wide[GRAMMAR_COUNT];
    bool tried[GRAMMAR_COUNT];
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct mill_grammar {
    mill_pool pools[2]; // of the tree, and of the one in the dialect's other grammar
    TSTree *tree;
    uint64_t bytes; // of the latest text
    uint64_t work;  // of the latest parse
    uint8_t *is_block[GRAMMAR_COUNT]; // by symbol of the grammar; made when first needed
    int current;                      // grammar of the tree
    const uint8_t *text;              // borrowed
    uint64_t work_max;
    const TSLanguage *languages[GRAMMAR_COUNT]; // those looked up so far
    mill_grammar_span *blocks;
    size_t block_count, block_capacity;
};

static int grammar_index(const char *language)
{
    for (int i = 0; i < GRAMMAR_COUNT; i++) {
        if (strcmp(grammars[i].name, language) == 0)
            return i;
    }
    return -1;
}

bool mill_grammar_known(const char *language)
{
    return grammar_index(language) >= 0;
}

#define GRAMMAR_NAME(symbol, name) " " name
const char *mill_grammar_description(void)
{
    return "tree-sitter " MILL_TREE_SITTER_VERSION ":" GRAMMAR_MAP(GRAMMAR_NAME);
}
#undef GRAMMAR_NAME

// ---- counting work ---------------------------------------------------------------------------------------------------------

enum { LEFT_BY_WORK = 1, LEFT_BY_MEMORY = 2 };
enum { READ_BYTES = 4096, READ_WORK = 32 }; // work of reading that many bytes, about as long as 32 allocations

typedef struct watch { // over one parse
    uint64_t done, max;
    mill_pool *pool; // where its memory comes from
    jmp_buf out;
} watch;

static _Thread_local watch *watching; // the parse that this thread is in; NULL: none

// Outside of a parse there are only the small stacks of cursors, which come and go with them. A block tells where it is from.
typedef struct origin {
    _Alignas(16) bool pooled;
} origin;

static void count_work(size_t bytes)
{
    if (watching == NULL)
        return;
    watching->done += 1 + bytes / 256;
    if (watching->done > watching->max)
        longjmp(watching->out, LEFT_BY_WORK);
}

static void *mark(origin *block)
{
    if (block == NULL && watching != NULL)
        longjmp(watching->out, LEFT_BY_MEMORY);
    MILL_ASSERT(block != NULL);
    block->pooled = watching != NULL;
    return block + 1;
}

static void *watch_malloc(size_t bytes)
{
    count_work(bytes);
    if (bytes > SIZE_MAX - sizeof(origin))
        return mark(NULL);
    return mark(watching != NULL ? mill_pool_alloc(watching->pool, sizeof(origin) + bytes) : mill_alloc(sizeof(origin) + bytes));
}

static void *watch_calloc(size_t count, size_t size)
{
    const size_t bytes = size > 0 && count > SIZE_MAX / size ? SIZE_MAX : count * size;
    void *pointer = watch_malloc(bytes);
    memset(pointer, 0, bytes);
    return pointer;
}

static void watch_free(void *pointer)
{
    if (pointer == NULL)
        return;
    origin *block = (origin *)pointer - 1;
    if (!block->pooled)
        mill_free(block);
    else if (watching != NULL)
        mill_pool_release(watching->pool, block);
}

static void *watch_realloc(void *pointer, size_t bytes)
{
    if (pointer == NULL)
        return watch_malloc(bytes);
    count_work(bytes);
    origin *old = (origin *)pointer - 1;
    MILL_ASSERT(old->pooled == (watching != NULL));
    if (bytes > SIZE_MAX - sizeof(origin))
        return mark(NULL);
    return mark(old->pooled ? mill_pool_realloc(watching->pool, old, sizeof(origin) + bytes)
                            : mill_realloc(old, sizeof(origin) + bytes));
}

static void count_allocations(void)
{
    ts_set_allocator(watch_malloc, watch_calloc, watch_realloc, watch_free);
}

mill_status mill_grammar_open(mill_grammar **out, mill_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    if (pthread_once(&once, count_allocations) != 0)
        return mill_fail(err, MILL_RESOURCE, "cannot set up the parser");
    mill_grammar *self = mill_alloc_zero(1, sizeof *self);
    if (self == NULL)
        return mill_fail_nomem(err, "opening a parser");
    pthread_mutex_lock(&shared.lock);
    shared.handles++;
    pthread_mutex_unlock(&shared.lock);
    *out = self;
    return MILL_OK;
}

static void free_wide_tables(void)
{
    for (int i = 0; i < GRAMMAR_COUNT; i++) {
        mill_free(shared.wide[i]);
        shared.wide[i] = NULL;
        shared.tried[i] = false;
    }
}

// The grammar in the form that is parsed with.
static const TSLanguage *language_of(mill_grammar *self, int grammar)
{
    if (self->languages[grammar] != NULL)
        return self->languages[grammar];
    const TSLanguage *narrow = grammars[grammar].language();
    pthread_mutex_lock(&shared.lock);
    if (!shared.tried[grammar])
        shared.wide[grammar] = mill_grammar_widen(narrow);
    shared.tried[grammar] = true;
    const TSLanguage *wide = shared.wide[grammar];
    pthread_mutex_unlock(&shared.lock);
    return self->languages[grammar] = wide != NULL ? wide : narrow;
}

static void drop_tree(mill_grammar *self)
{
    self->tree = NULL;
    self->bytes = 0;
    mill_pool_reset(&self->pools[0]);
    mill_pool_reset(&self->pools[1]);
}

void mill_grammar_close(mill_grammar *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&shared.lock);
    if (--shared.handles == 0)
        free_wide_tables();
    pthread_mutex_unlock(&shared.lock);
    mill_pool_free(&self->pools[0]);
    mill_pool_free(&self->pools[1]);
    for (int i = 0; i < GRAMMAR_COUNT; i++)
        mill_free(self->is_block[i]);
    mill_free(self->blocks);
    mill_free(self);
}

// ---- parsing -----------------------------------------------------------------------------------------------------------------

static const char *read_text(void *payload, uint32_t at, TSPoint point, uint32_t *bytes_read)
{
    (void)point;
    const mill_grammar *self = payload;
    // By pieces, so that a scanner which looks ahead to the end again and again is seen working.
    count_work(READ_WORK * UINT64_C(256));
    *bytes_read = at < self->bytes ? (uint32_t)(self->bytes - at) : 0;
    if (*bytes_read > READ_BYTES)
        *bytes_read = READ_BYTES;
    return *bytes_read > 0 ? (const char *)self->text + at : "";
}

// A parse without a limit on what it may cost; NULL: the grammar is not for this tree-sitter.
static TSTree *parse_freely(const mill_grammar *self, const TSLanguage *language)
{
    TSParser *parser = ts_parser_new();
    TSTree *tree = NULL;
    if (ts_parser_set_language(parser, language)) {
        union {
            const mill_grammar *in;
            void *out;
        } payload = {self}; // the interface has no const
        const TSInput input = {.payload = payload.out, .read = read_text, .encoding = TSInputEncodingUTF8};
        tree = ts_parser_parse(parser, NULL, input);
    }
    ts_parser_delete(parser);
    return tree;
}

// The tree of text in one grammar, made in the pool, which is empty; NULL: gave up.
static mill_status parse_as(mill_grammar *self, int grammar, mill_pool *pool, TSTree **out, mill_error *err)
{
    watch guard = {.done = 0, .max = self->work_max, .pool = pool};
    const TSLanguage *const language = language_of(self, grammar);
    *out = NULL;
    const int left = setjmp(guard.out); // guard is only read through memory after a jump: its address was given away
    if (left == 0) {
        watching = &guard;
        *out = parse_freely(self, language);
    }
    watching = NULL;
    self->work = guard.done;
    if (left != 0) {
        *out = NULL;
        return left == LEFT_BY_MEMORY ? mill_fail_nomem(err, "parsing a text") : MILL_OK;
    }
    if (*out == NULL)
        return mill_fail(err, MILL_INTERNAL, "the %s grammar does not fit tree-sitter " MILL_TREE_SITTER_VERSION,
                         grammars[grammar].name);
    return MILL_OK;
}

static uint64_t tree_error_bytes(const TSTree *tree, uint64_t bytes)
{
    uint64_t sum = 0;
    TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree));
    bool going = true;
    while (going && sum < bytes) {
        const TSNode node = ts_tree_cursor_current_node(&cursor);
        bool descend = false;
        if (ts_node_is_error(node)) {
            const uint32_t length = ts_node_end_byte(node) - ts_node_start_byte(node);
            sum += length > 0 ? length : 1;
        } else if (ts_node_is_missing(node)) {
            sum += 1;
        } else {
            descend = ts_node_has_error(node);
        }
        going = descend && ts_tree_cursor_goto_first_child(&cursor);
        while (!going) {
            going = ts_tree_cursor_goto_next_sibling(&cursor);
            if (!going && !ts_tree_cursor_goto_parent(&cursor))
                break;
        }
    }
    ts_tree_cursor_delete(&cursor);
    if (sum == 0 && ts_node_has_error(ts_tree_root_node(tree)))
        sum = 1; // an error in a node that the cursor does not show
    return sum < bytes ? sum : bytes;
}

// Names that stand for two grammars: <T>x is a cast in typescript and a tag in tsx; a .h file may be C++. The other one is tried
// when more than permille of the text is in error.
static const struct dialect {
    const char *name, *other;
    uint64_t permille;
} dialects[] = {{"typescript", "tsx", 0}, {"c", "cpp", 10}};

static const struct dialect *find_dialect(const char *language)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        if (strcmp(dialects[i].name, language) == 0)
            return &dialects[i];
    }
    return NULL;
}

mill_status mill_grammar_parse(mill_grammar *self, const char *language, const uint8_t *text, uint64_t bytes,
                               uint64_t work_max, mill_grammar_outcome *out, mill_error *err)
{
    drop_tree(self);
    self->work = 0;
    self->work_max = work_max;
    const int first = grammar_index(language);
    *out = first < 0 ? MILL_GRAMMAR_NONE : MILL_GRAMMAR_GAVE_UP;
    if (first < 0 || bytes > MILL_GRAMMAR_BYTES_MAX)
        return MILL_OK;
    self->text = text;
    self->bytes = bytes;
    self->current = first;
    MILL_TRY(parse_as(self, first, &self->pools[0], &self->tree, err));
    if (self->tree == NULL)
        return MILL_OK;
    *out = MILL_GRAMMAR_PARSED;
    const struct dialect *dialect = find_dialect(language);
    const uint64_t errors = dialect == NULL ? 0 : tree_error_bytes(self->tree, bytes);
    if (errors == 0 || errors * 1000 <= dialect->permille * bytes)
        return MILL_OK;

    const int second = grammar_index(dialect->other);
    TSTree *other = NULL;
    MILL_TRY(parse_as(self, second, &self->pools[1], &other, err));
    if (other != NULL && tree_error_bytes(other, bytes) < errors) {
        self->tree = other;
        self->current = second;
    }
    return MILL_OK;
}

uint64_t mill_grammar_error_bytes(const mill_grammar *self)
{
    return self->tree == NULL ? 0 : tree_error_bytes(self->tree, self->bytes);
}

uint64_t mill_grammar_work(const mill_grammar *self)
{
    return self->work;
}

// ---- blocks ------------------------------------------------------------------------------------------------------------------

// The grammars agree well enough on names: a node is a block if its name has one of these parts between underscores.
static const char *const block_words[] = {"function",  "method",  "constructor", "class",     "struct", "enum",  "union",
                                          "interface", "trait",   "impl",        "namespace", "block",  "body",  "compound",
                                          "for",       "foreach", "while",       "do",        "loop",   "if",    "elif",
                                          "else",      "unless",  "switch",      "match",     "case",   "try",   "catch",
                                          "except",    "finally", "with",        "using",     "lock",   "select"};

static bool ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), part = strlen(end);
    return length >= part && memcmp(name + length - part, end, part) == 0;
}

static bool name_is_block(const char *name)
{
    if (ends_with(name, "declaration_list"))
        return true; // what stands between the braces of a type
    if (ends_with(name, "comment") || ends_with(name, "_type") || ends_with(name, "declarator"))
        return false;
    while (*name != '\0') {
        const size_t length = strcspn(name, "_");
        for (size_t i = 0; i < sizeof block_words / sizeof block_words[0]; i++) {
            if (strlen(block_words[i]) == length && memcmp(block_words[i], name, length) == 0)
                return true;
        }
        name += length;
        name += *name == '_';
    }
    return false;
}

static mill_status block_table(mill_grammar *self, const TSLanguage *language, mill_error *err)
{
    if (self->is_block[self->current] != NULL)
        return MILL_OK;
    const uint32_t count = ts_language_symbol_count(language);
    uint8_t *table = mill_alloc_zero(UINT16_MAX + 1, 1); // any symbol, aliases and ERROR included
    if (table == NULL)
        return mill_fail_nomem(err, "finding blocks");
    for (uint32_t i = 0; i < count; i++) {
        const TSSymbol symbol = (TSSymbol)i;
        table[i] = ts_language_symbol_type(language, symbol) == TSSymbolTypeRegular &&
                   name_is_block(ts_language_symbol_name(language, symbol));
    }
    self->is_block[self->current] = table;
    return MILL_OK;
}

// True if only blanks stand between the start of the line and `at`.
static bool starts_line(const uint8_t *text, uint32_t at)
{
    while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\t'))
        at--;
    return at == 0 || text[at - 1] == '\n' || text[at - 1] == '\r';
}

// Adds the span from the first byte of `first` to the last of `last` if it qualifies.
static mill_status add_block(mill_grammar *self, TSNode first, TSNode last, uint32_t lines_max, mill_error *err)
{
    uint32_t begin = ts_node_start_byte(first);
    uint32_t end = ts_node_end_byte(last);
    uint32_t end_row = ts_node_end_point(last).row;
    // Some nodes take in the newline after them; the cut keeps it outside.
    while (end > begin && (self->text[end - 1] == '\n' || self->text[end - 1] == '\r')) {
        end--;
        end_row -= self->text[end] == '\n';
    }
    const uint32_t lines = end_row - ts_node_start_point(first).row + 1;
    if (end <= begin || lines < 2 || lines > lines_max || !starts_line(self->text, begin))
        return MILL_OK;
    MILL_TRY(MILL_GROW(self->blocks, self->block_capacity, self->block_count + 1, err));
    self->blocks[self->block_count++] = (mill_grammar_span){begin, end};
    return MILL_OK;
}

static mill_status visit_block(mill_grammar *self, TSNode node, uint32_t lines_max, mill_error *err)
{
    MILL_TRY(add_block(self, node, node, lines_max, err));
    // The inside of braces, so that a cut can leave the braces standing.
    const uint32_t begin = ts_node_start_byte(node);
    const uint32_t rows = ts_node_end_point(node).row - ts_node_start_point(node).row;
    if (begin >= self->bytes || self->text[begin] != '{' || rows < 2 || rows > lines_max + 2)
        return MILL_OK;
    const uint32_t children = ts_node_named_child_count(node);
    if (children == 0)
        return MILL_OK;
    return add_block(self, ts_node_named_child(node, 0), ts_node_named_child(node, children - 1), lines_max, err);
}

static int compare_spans(const void *a, const void *b)
{
    const mill_grammar_span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static void sort_distinct(mill_grammar *self)
{
    if (self->block_count < 2)
        return;
    qsort(self->blocks, self->block_count, sizeof *self->blocks, compare_spans);
    size_t kept = 1;
    for (size_t i = 1; i < self->block_count; i++) {
        if (compare_spans(&self->blocks[i], &self->blocks[kept - 1]) != 0)
            self->blocks[kept++] = self->blocks[i];
    }
    self->block_count = kept;
}

mill_status mill_grammar_blocks(mill_grammar *self, uint32_t lines_max, const mill_grammar_span **out, size_t *count,
                                mill_error *err)
{
    self->block_count = 0;
    *out = NULL;
    *count = 0;
    if (self->tree == NULL)
        return MILL_OK;
    MILL_TRY(block_table(self, ts_tree_language(self->tree), err));
    const uint8_t *is_block = self->is_block[self->current];
    mill_status status = MILL_OK;
    TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(self->tree));
    bool going = true;
    while (going && self->block_count < MILL_GRAMMAR_BLOCKS_MAX) {
        const TSNode node = ts_tree_cursor_current_node(&cursor);
        const bool lines = ts_node_end_point(node).row > ts_node_start_point(node).row;
        const TSSymbol symbol = ts_node_symbol(node);
        if (lines && ts_node_is_named(node) && is_block[symbol])
            MILL_TRY_GOTO(visit_block(self, node, lines_max, err));
        going = lines && ts_tree_cursor_goto_first_child(&cursor);
        while (!going) {
            going = ts_tree_cursor_goto_next_sibling(&cursor);
            if (!going && !ts_tree_cursor_goto_parent(&cursor))
                break;
        }
    }
    sort_distinct(self);
    if (self->block_count > MILL_GRAMMAR_BLOCKS_MAX)
        self->block_count = MILL_GRAMMAR_BLOCKS_MAX;
    *out = self->blocks;
    *count = self->block_count;
cleanup:
    ts_tree_cursor_delete(&cursor);
    return status;
}

#else

struct mill_grammar {
    int unused;
};

bool mill_grammar_known(const char *language)
{
    (void)language;
    return false;
}

const char *mill_grammar_description(void)
{
    return "tree-sitter: not in this build (MILL_TREE_SITTER=OFF, or its sources could not be fetched)";
}

mill_status mill_grammar_open(mill_grammar **out, mill_error *err)
{
    *out = mill_alloc_zero(1, sizeof **out);
    return *out == NULL ? mill_fail_nomem(err, "opening a parser") : MILL_OK;
}

void mill_grammar_close(mill_grammar *grammar)
{
    mill_free(grammar);
}

mill_status mill_grammar_parse(mill_grammar *grammar, const char *language, const uint8_t *text, uint64_t bytes, uint64_t work_max,
                               mill_grammar_outcome *out, mill_error *err)
{
    (void)grammar, (void)language, (void)text, (void)bytes, (void)work_max, (void)err;
    *out = MILL_GRAMMAR_NONE;
    return MILL_OK;
}

uint64_t mill_grammar_error_bytes(const mill_grammar *grammar)
{
    (void)grammar;
    return 0;
}

uint64_t mill_grammar_work(const mill_grammar *grammar)
{
    (void)grammar;
    return 0;
}

mill_status mill_grammar_blocks(mill_grammar *grammar, uint32_t lines_max, const mill_grammar_span **out, size_t *count,
                                mill_error *err)
{
    (void)grammar, (void)lines_max, (void)err;
    *out = NULL;
    *count = 0;
    return MILL_OK;
}

#endif
