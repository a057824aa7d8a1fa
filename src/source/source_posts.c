// source_posts.c: Posts.xml in bounded memory. A question may stand anywhere in 100 GB before or behind its
// answers, so the posts that are wanted are sorted by question on disk (spill.h) while the file is read once;
// then each question comes with its answers.
//
// The file is cut at "<row": a '<' cannot stand in an attribute's value, so a row ends where the next markup
// begins, and rows can be parsed one by one on several threads. Everything that is no post, and what is
// missing of a damaged file, becomes a quarantine row.
#include <stdio.h>

#include "core/parallel.h"
#include "source/posts.h"
#include "source/spill.h"

#define ANSWER_BIT (UINT64_C(1) << 62)
#define BAD_KEY UINT64_MAX
enum { CHUNK_BYTES = 8 << 20, SLICES = 16, SORT_BYTES = 32 << 20, TOO_LONG_STEP = 1 << 20 };

typedef struct bad_row { // spilled with its detail behind it
    uint64_t offset, length;
    uint32_t reason;
    uint32_t padding;
} bad_row;

typedef struct slice { // a part of the chunk, and what was found in it
    size_t begin, bytes;
    uint64_t offset, rows, rejected[MILL_REASON_COUNT];
    bool closed;      // </posts> was seen
    mill_buf entries; // mill_sorted in its parts: key, sequence (rows counted from the slice's first),
                      // length, data
} slice;

typedef struct gatherer {
    mill_source *source;
    mill_row_parser **parsers; // by worker
    uint32_t workers;
    mill_buf chunk;
    uint64_t offset; // of the chunk in the file
    slice slices[SLICES];
    size_t slice_count;
    bool ended, closed, cut_row; // cut_row: the last row has no end
} gatherer;

struct mill_posts {
    mill_sorter *sorter;
    mill_posts_feed feed;
    uint64_t rows; // of the file
    uint64_t rejected[MILL_REASON_COUNT];
    bool gathered, ended;
    char damage[200];
    mill_buf question; // of the group at hand, "" if there is none
    uint64_t key;      // of the group
    bool in_group, has_answer;
    uint64_t question_row;
    mill_sorted next; // taken from the sorter already, if has_next
    bool has_next;
};

// ---- reading rows

static bool begins(const uint8_t *text, size_t bytes, const char *word)
{
    size_t length = strlen(word);
    return bytes >= length && memcmp(text, word, length) == 0;
}

static bool is_row(const uint8_t *text, size_t bytes)
{
    return begins(text, bytes, "<row") && bytes > 4 && strchr(" \t\r\n/>", text[4]) != NULL &&
           text[4] != '\0';
}

static mill_status add_entry(slice *s, uint64_t key, uint64_t sequence, const void *data, size_t bytes,
                             mill_error *err)
{
    uint64_t head[3] = {key, sequence, bytes};
    MILL_TRY(mill_buf_append(&s->entries, head, sizeof head, err));
    return mill_buf_append(&s->entries, data, bytes, err);
}

static mill_status add_bad(slice *s, uint64_t row, uint64_t offset, uint64_t length,
                           mill_quarantine_reason reason, const char *detail, mill_error *err)
{
    bad_row bad;
    memset(&bad, 0, sizeof bad);
    bad.offset = offset;
    bad.length = length;
    bad.reason = (uint32_t)reason;
    uint64_t head[3] = {BAD_KEY, row, sizeof bad + strlen(detail)};
    MILL_TRY(mill_buf_append(&s->entries, head, sizeof head, err));
    MILL_TRY(mill_buf_append(&s->entries, &bad, sizeof bad, err));
    return mill_buf_append(&s->entries, detail, strlen(detail), err);
}

static mill_status parse_one(gatherer *g, slice *s, mill_row_parser *parser, const uint8_t *text,
                             size_t bytes, mill_buf *post, mill_error *err)
{
    const mill_source_options *options = &g->source->options;
    uint64_t row = s->rows++, offset = s->offset + (uint64_t)(text - g->chunk.data) - s->begin;
    mill_post_kind kind = MILL_POST_BAD;
    const char *problem = "longer than the limit";
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL && text[bytes - 1] != '\0')
        bytes--;
    if (bytes > options->record_bytes_max)
        return add_bad(s, row, offset, bytes, MILL_QUARANTINE_TOO_LONG, problem, err);
    mill_buf_clear(post);
    MILL_TRY(mill_row_parse(parser, text, bytes, &options->qa, row, post, &kind, &problem, err));
    mill_post_head head;
    switch (kind) {
    case MILL_POST_BAD: return add_bad(s, row, offset, bytes, MILL_QUARANTINE_BAD_XML, problem, err);
    case MILL_POST_LOW: s->rejected[MILL_REASON_SCORE]++; return MILL_OK;
    case MILL_POST_OTHER: s->rejected[MILL_REASON_POST_TYPE]++; return MILL_OK;
    case MILL_POST_QUESTION:
    case MILL_POST_ANSWER: break;
    }
    memcpy(&head, post->data, sizeof head);
    bool answer = kind == MILL_POST_ANSWER;
    return add_entry(s, answer ? head.parent : head.id, row | (answer ? ANSWER_BIT : 0), post->data,
                     post->bytes, err);
}

static mill_status parse_slice(void *context, uint32_t worker, uint64_t number, mill_error *err)
{
    gatherer *g = context;
    slice *s = &g->slices[number];
    mill_buf post = {0};
    mill_status status = MILL_OK;
    const uint8_t *text = g->chunk.data + s->begin;
    for (size_t at = 0; status == MILL_OK && at < s->bytes;) {
        const uint8_t *begin = memchr(text + at, '<', s->bytes - at);
        if (begin == NULL)
            break;
        at = (size_t)(begin - text);
        const uint8_t *next = at + 1 < s->bytes ? memchr(begin + 1, '<', s->bytes - at - 1) : NULL;
        size_t length = next != NULL ? (size_t)(next - begin) : s->bytes - at;
        if (is_row(begin, length))
            status = parse_one(g, s, g->parsers[worker], begin, length, &post, err);
        else if (begins(begin, length, "</posts"))
            s->closed = true;
        else if (!begins(begin, length, "<?xml") && !begins(begin, length, "<posts") &&
                 !begins(begin, length, "</row") && !begins(begin, length, "<!--"))
            status = add_bad(s, s->rows++, s->offset + at, length, MILL_QUARANTINE_BAD_XML,
                             "markup that is no row", err);
        at += length;
    }
    mill_buf_free(&post);
    return status;
}

// The last place from which a row begins; 0 if none does behind the start.
static size_t last_row(const uint8_t *text, size_t bytes)
{
    while (bytes > 4) {
        const uint8_t *found = memrchr(text, '<', bytes);
        if (found == NULL || found == text)
            return 0;
        size_t at = (size_t)(found - text);
        if (begins(found, bytes - at, "<row") || begins(found, bytes - at, "</posts"))
            return at;
        bytes = at;
    }
    return 0;
}

static size_t first_row(const uint8_t *text, size_t bytes, size_t from)
{
    while (from < bytes) {
        const uint8_t *found = memmem(text + from, bytes - from, "<row", 4);
        if (found == NULL)
            return bytes;
        if (found != text)
            return (size_t)(found - text);
        from++;
    }
    return bytes;
}

static void cut_slices(gatherer *g, size_t bytes)
{
    size_t at = 0;
    g->slice_count = 0;
    for (size_t i = 0; i < SLICES && at < bytes; i++) {
        size_t end = i + 1 == SLICES ? bytes : first_row(g->chunk.data, bytes, bytes / SLICES * (i + 1));
        if (end <= at)
            continue;
        slice *s = &g->slices[g->slice_count++];
        mill_buf entries = s->entries;
        mill_buf_clear(&entries);
        *s = (slice){.begin = at, .bytes = end - at, .offset = g->offset + at, .entries = entries};
        at = end;
    }
}

// Hands what the slices hold to the sorter, in their order; rows get their numbers.
static mill_status take_slices(gatherer *g, mill_posts *posts, mill_error *err)
{
    for (size_t i = 0; i < g->slice_count; i++) {
        slice *s = &g->slices[i];
        for (size_t at = 0; at < s->entries.bytes;) {
            uint64_t head[3];
            memcpy(head, s->entries.data + at, sizeof head);
            uint8_t *data = s->entries.data + at + sizeof head;
            uint64_t row = (head[1] & ~ANSWER_BIT) + posts->rows + 1;
            if (head[0] != BAD_KEY)
                memcpy(data + offsetof(mill_post_head, row), &row, sizeof row);
            const mill_sorted sorted = {head[0], row | (head[1] & ANSWER_BIT), data, (size_t)head[2]};
            MILL_TRY(mill_sorter_add(posts->sorter, &sorted, err));
            at += sizeof head + (size_t)head[2];
        }
        for (size_t r = 0; r < MILL_REASON_COUNT; r++)
            posts->rejected[r] += s->rejected[r];
        posts->rows += s->rows;
        g->closed = g->closed || s->closed;
    }
    return MILL_OK;
}

// Reads on until the chunk is full or the file ends.
static mill_status read_chunk(gatherer *g, mill_posts *posts, mill_error *err)
{
    while (!g->ended && g->chunk.bytes < CHUNK_BYTES) {
        size_t got = 0, want = CHUNK_BYTES - g->chunk.bytes;
        MILL_TRY(mill_buf_reserve(&g->chunk, want, err));
        MILL_TRY(posts->feed.read(posts->feed.self, g->chunk.data + g->chunk.bytes, want, &got, err));
        g->chunk.bytes += got;
        g->ended = got == 0;
    }
    return MILL_OK;
}

// A row that fills the whole chunk: reads on while it may still be one, else drops it and tells.
static mill_status extend_row(gatherer *g, mill_posts *posts, mill_error *err)
{
    uint64_t limit = g->source->options.record_bytes_max, length = g->chunk.bytes;
    size_t cut = 0;
    while (!g->ended && cut == 0) {
        size_t got = 0;
        if (g->chunk.bytes > limit + CHUNK_BYTES) // only its end is of interest now
            g->chunk.bytes = CHUNK_BYTES;
        MILL_TRY(mill_buf_reserve(&g->chunk, TOO_LONG_STEP, err));
        MILL_TRY(
            posts->feed.read(posts->feed.self, g->chunk.data + g->chunk.bytes, TOO_LONG_STEP, &got, err));
        g->ended = got == 0;
        size_t from = g->chunk.bytes > 8 ? g->chunk.bytes - 8 : 0;
        g->chunk.bytes += got;
        length += got;
        cut = last_row(g->chunk.data + from, g->chunk.bytes - from);
        cut = cut != 0 ? from + cut : 0;
    }
    if (length == g->chunk.bytes)
        return MILL_OK; // all of it is here
    cut = cut != 0 ? cut : g->chunk.bytes;
    uint64_t lost = length - (g->chunk.bytes - cut);
    slice *s = &g->slices[0];
    mill_buf_clear(&s->entries);
    *s = (slice){.rows = 1, .entries = s->entries};
    g->slice_count = 1;
    MILL_TRY(add_bad(s, 0, g->offset, lost, MILL_QUARANTINE_TOO_LONG, "longer than the limit", err));
    MILL_TRY(take_slices(g, posts, err));
    memmove(g->chunk.data, g->chunk.data + cut, g->chunk.bytes - cut);
    g->chunk.bytes -= cut;
    g->offset += lost;
    return MILL_OK;
}

// True if the file ends within markup, which begins at *cut.
static bool ends_in_markup(const gatherer *g, size_t *cut)
{
    size_t bytes = g->chunk.bytes;
    while (bytes > 0 && strchr(" \t\r\n", g->chunk.data[bytes - 1]) != NULL &&
           g->chunk.data[bytes - 1] != '\0')
        bytes--;
    const uint8_t *found =
        bytes != 0 && g->chunk.data[bytes - 1] != '>' ? memrchr(g->chunk.data, '<', bytes) : NULL;
    *cut = found != NULL ? (size_t)(found - g->chunk.data) : g->chunk.bytes;
    return found != NULL;
}

static mill_status gather_chunk(gatherer *g, mill_posts *posts, mill_error *err)
{
    const mill_source_work *work = &g->source->work;
    if (work->stop != NULL && *work->stop != 0)
        return mill_fail_stopped_at(err, "while posts were sorted");
    MILL_TRY(read_chunk(g, posts, err));
    size_t cut = g->chunk.bytes;
    if (!g->ended) {
        cut = last_row(g->chunk.data, g->chunk.bytes);
        if (cut == 0) {
            MILL_TRY(extend_row(g, posts, err));
            cut = g->ended ? g->chunk.bytes : last_row(g->chunk.data, g->chunk.bytes);
        }
    }
    if (g->ended)
        g->cut_row = ends_in_markup(g, &cut);
    cut_slices(g, cut);
    MILL_TRY(mill_parallel_run(g->workers, g->slice_count, parse_slice, g, err));
    MILL_TRY(take_slices(g, posts, err));
    memmove(g->chunk.data, g->chunk.data + cut, g->chunk.bytes - cut);
    g->chunk.bytes -= cut;
    g->offset += cut;
    return MILL_OK;
}

static mill_status open_workers(gatherer *g, mill_error *err)
{
    g->workers = g->source->work.threads != 0 ? g->source->work.threads : 1;
    g->workers = g->workers < SLICES ? g->workers : SLICES;
    g->parsers = mill_alloc_zero(g->workers, sizeof *g->parsers);
    if (g->parsers == NULL)
        return mill_fail_nomem(err, "reading posts");
    for (uint32_t i = 0; i < g->workers; i++)
        MILL_TRY(mill_row_parser_open(&g->parsers[i], err));
    return MILL_OK;
}

static mill_status gather(mill_source *source, mill_posts *posts, mill_error *err)
{
    gatherer g = {.source = source};
    mill_status status = open_workers(&g, err);
    while (status == MILL_OK && !g.ended)
        status = gather_chunk(&g, posts, err);
    const char *damage = posts->feed.damage(posts->feed.self);
    if (status == MILL_OK && damage != NULL)
        snprintf(posts->damage, sizeof posts->damage, "%s", damage);
    else if (status == MILL_OK && !g.closed)
        snprintf(posts->damage, sizeof posts->damage, "the file ends before </posts>%s",
                 g.cut_row ? ", within a row" : "");
    if (status == MILL_OK)
        status = mill_sorter_sort(posts->sorter, err);
    for (uint32_t i = 0; g.parsers != NULL && i < g.workers; i++)
        mill_row_parser_close(g.parsers[i]);
    mill_free(g.parsers);
    for (size_t i = 0; i < SLICES; i++)
        mill_buf_free(&g.slices[i].entries);
    mill_buf_free(&g.chunk);
    posts->gathered = true;
    return status;
}

// ---- open and close

mill_status mill_posts_open(mill_source *source, const mill_posts_feed *feed, mill_error *err)
{
    mill_posts *posts = mill_alloc_zero(1, sizeof *posts);
    source->posts = posts;
    if (posts == NULL)
        return mill_fail_nomem(err, "reading posts");
    if (!mill_html_supported())
        return mill_html_open(source->languages, &(mill_html *){NULL}, err); // says so
    posts->feed = *feed;
    const mill_spill_place place = {source->work.dir, source->work.prefix, SORT_BYTES};
    return mill_sorter_open(source->fs, &place, &posts->sorter, err);
}

void mill_posts_close(mill_source *source)
{
    mill_posts *posts = source->posts;
    source->posts = NULL;
    if (posts == NULL)
        return;
    mill_sorter_close(posts->sorter);
    mill_buf_free(&posts->question);
    mill_free(posts);
}

// ---- groups -> blocks

static mill_status count_rejected(mill_source *source, mill_source_entry *entry, mill_block *block,
                                  mill_reason reason, uint64_t count, mill_error *err)
{
    if (count == 0)
        return MILL_OK;
    entry->info.records += count;
    for (size_t i = 0; i < block->count_count; i++) {
        if (block->counts[i].input == source->current && block->counts[i].reason == reason) {
            block->counts[i].count += count;
            return MILL_OK;
        }
    }
    MILL_TRY(MILL_GROW(block->counts, block->count_capacity, block->count_count + 1, err));
    block->counts[block->count_count++] = (struct mill_block_count){(uint32_t)source->current, reason, count};
    return MILL_OK;
}

static mill_status peek(mill_posts *posts, bool *end, mill_error *err)
{
    if (posts->has_next) {
        *end = false;
        return MILL_OK;
    }
    MILL_TRY(mill_sorter_next(posts->sorter, &posts->next, end, err));
    posts->has_next = !*end;
    return MILL_OK;
}

static mill_status add_piece(mill_source *source, mill_source_entry *entry, mill_block *block, size_t begin,
                             uint64_t record, mill_error *err)
{
    const mill_block_piece piece = {.input = (uint32_t)source->current,
                                    .first_record = record,
                                    .begin = begin,
                                    .bytes = block->bytes.bytes - begin,
                                    .path = MILL_POSTS_PIECE};
    source->block_records++;
    entry->info.records++;
    return mill_block_add_piece(block, &piece, err);
}

static mill_status add_bad_row(mill_source *source, mill_source_entry *entry, mill_block *block,
                               const mill_sorted *row, mill_error *err)
{
    bad_row bad;
    memcpy(&bad, row->data, sizeof bad);
    mill_quarantined q = {.input = (uint32_t)source->current,
                          .record = row->sequence,
                          .offset = bad.offset,
                          .length = bad.length,
                          .reason = (mill_quarantine_reason)bad.reason};
    source->block_records++;
    entry->info.records++;
    return mill_quarantine_add(&block->quarantine, &q, NULL, err, "%.*s", (int)(row->bytes - sizeof bad),
                               (const char *)row->data + sizeof bad);
}

// A question: it stays at hand for its answers.
static mill_status begin_group(mill_posts *posts, const mill_sorted *row, mill_error *err)
{
    mill_buf_clear(&posts->question);
    posts->key = row->key;
    posts->in_group = true;
    posts->has_answer = false;
    posts->question_row = 0;
    if ((row->sequence & ANSWER_BIT) != 0)
        return MILL_OK;
    posts->question_row = row->sequence;
    return mill_buf_append(&posts->question, row->data, row->bytes, err);
}

static mill_status end_group(mill_source *source, mill_source_entry *entry, mill_block *block,
                             mill_error *err)
{
    mill_posts *posts = source->posts;
    bool asked = posts->in_group && posts->question_row != 0;
    posts->in_group = false;
    if (!asked)
        return MILL_OK;
    if (!posts->has_answer)
        return count_rejected(source, entry, block, MILL_REASON_NO_ANSWER, 1, err);
    // In the text form the question is the record; else it goes with its answers.
    return source->options.qa.form == MILL_QA_TEXT
               ? MILL_OK
               : count_rejected(source, entry, block, MILL_REASON_MERGED, 1, err);
}

// One answer as a record of its own, its question before it.
static mill_status add_answer(mill_source *source, mill_source_entry *entry, mill_block *block,
                              mill_error *err)
{
    mill_posts *posts = source->posts;
    size_t begin = block->bytes.bytes;
    posts->has_answer = true;
    MILL_TRY(mill_buf_append(&block->bytes, posts->question.data, posts->question.bytes, err));
    MILL_TRY(mill_buf_append(&block->bytes, posts->next.data, posts->next.bytes, err));
    posts->has_next = false;
    return add_piece(source, entry, block, begin, posts->next.sequence & ~ANSWER_BIT, err);
}

// A question and all of its answers as one record; one that outgrows a record goes on as another one.
static mill_status add_thread(mill_source *source, mill_source_entry *entry, mill_block *block,
                              mill_error *err)
{
    mill_posts *posts = source->posts;
    size_t begin = block->bytes.bytes;
    bool with_question = posts->question_row != 0 && !posts->has_answer, end = false;
    uint64_t answers = 0, record = with_question ? posts->question_row : posts->next.sequence & ~ANSWER_BIT;
    if (with_question)
        MILL_TRY(mill_buf_append(&block->bytes, posts->question.data, posts->question.bytes, err));
    while (posts->next.key == posts->key && (posts->next.sequence & ANSWER_BIT) != 0) {
        if (answers != 0 && block->bytes.bytes - begin + posts->next.bytes > source->options.record_bytes_max)
            break;
        MILL_TRY(mill_buf_append(&block->bytes, posts->next.data, posts->next.bytes, err));
        answers++;
        posts->has_next = false;
        MILL_TRY(peek(posts, &end, err));
        if (end)
            break;
    }
    posts->has_answer = true;
    MILL_TRY(count_rejected(source, entry, block, MILL_REASON_MERGED, answers - !with_question, err));
    return add_piece(source, entry, block, begin, record, err);
}

static mill_status take_row(mill_source *source, mill_source_entry *entry, mill_block *block, mill_error *err)
{
    mill_posts *posts = source->posts;
    const mill_sorted *row = &posts->next;
    if (row->key == BAD_KEY) {
        MILL_TRY(end_group(source, entry, block, err));
        posts->has_next = false;
        return add_bad_row(source, entry, block, row, err);
    }
    if (!posts->in_group || posts->key != row->key) {
        MILL_TRY(end_group(source, entry, block, err));
        MILL_TRY(begin_group(posts, row, err));
    } else if ((row->sequence & ANSWER_BIT) == 0) { // the id stands twice: the first is the question
        posts->has_next = false;
        return count_rejected(source, entry, block, MILL_REASON_MERGED, 1, err);
    }
    if ((row->sequence & ANSWER_BIT) == 0) {
        posts->has_next = false;
        return MILL_OK;
    }
    return source->options.qa.form == MILL_QA_TEXT ? add_thread(source, entry, block, err)
                                                   : add_answer(source, entry, block, err);
}

static mill_status finish(mill_source *source, mill_source_entry *entry, mill_block *block, mill_error *err)
{
    mill_posts *posts = source->posts;
    MILL_TRY(end_group(source, entry, block, err));
    for (size_t r = 0; r < MILL_REASON_COUNT; r++)
        MILL_TRY(count_rejected(source, entry, block, (mill_reason)r, posts->rejected[r], err));
    if (posts->damage[0] == '\0')
        return MILL_OK;
    const mill_quarantined row = {.input = (uint32_t)source->current,
                                  .record = posts->rows + 1,
                                  .reason = MILL_QUARANTINE_DAMAGED_STREAM};
    entry->info.records++;
    return mill_quarantine_add(&block->quarantine, &row, NULL, err, "%s", posts->damage);
}

mill_status mill_posts_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                            mill_error *err)
{
    mill_posts *posts = source->posts;
    *ended = false;
    if (!posts->gathered)
        MILL_TRY(gather(source, posts, err));
    for (;;) {
        bool end;
        MILL_TRY(peek(posts, &end, err));
        if (end)
            break;
        if (block->bytes.bytes >= source->block_bytes ||
            source->block_records >= MILL_BLOCK_RECORDS_MAX)
            return MILL_OK;
        MILL_TRY(take_row(source, entry, block, err));
    }
    *ended = true;
    return finish(source, entry, block, err);
}
