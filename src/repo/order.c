// order.c: a topological order of a graph with circles: strongly connected components (Tarjan, with a stack
// of its own instead of recursion), then the components whose needs are met, the one with the smallest path
// first, by a heap. Within a component no order meets every need: there the file that waits for the fewest
// others comes next, of equals the one with the smallest path.
#include "repo/order.h"

#include <stdlib.h>
#include <string.h>

#include "repo/order_internal.h"

#define NONE UINT32_MAX

typedef struct graph {
    uint32_t files, nodes;
    uint32_t *first; // needs of node n: needed[first[n] .. first[n + 1])
    uint32_t *needed;
    uint32_t *component; // of each node
    uint32_t components;
    uint32_t *turns;   // all nodes; those of a component in the order in which they come
    uint32_t *work[5]; // arrays of `nodes` entries
} graph;

static void close_graph(graph *g)
{
    mill_free(g->first);
    mill_free(g->needed);
    mill_free(g->component);
    mill_free(g->turns);
    for (size_t i = 0; i < 5; i++)
        mill_free(g->work[i]);
}

static int compare_edges(const void *a, const void *b)
{
    const mill_edge *x = a, *y = b;
    if (x->before != y->before)
        return x->before < y->before ? -1 : 1;
    return (x->after > y->after) - (x->after < y->after);
}

// Sorts the edges by what is needed, and keeps one of equals.
static void unite_edges(mill_edges *edges)
{
    const size_t count = edges->count;
    if (count != 0)
        qsort(edges->items, count, sizeof *edges->items, compare_edges);
    edges->count = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare_edges(&edges->items[i], &edges->items[edges->count - 1]) != 0)
            edges->items[edges->count++] = edges->items[i];
}

static mill_status open_graph(graph *g, const mill_edges *edges, mill_error *err)
{
    g->first = mill_alloc_zero((size_t)g->nodes + 2, sizeof *g->first);
    g->needed = mill_alloc_zero(edges->count + 1, sizeof *g->needed);
    g->component = mill_alloc_zero((size_t)g->nodes + 1, sizeof *g->component);
    g->turns = mill_alloc_zero((size_t)g->nodes + 1, sizeof *g->turns);
    bool good = g->first != NULL && g->needed != NULL && g->component != NULL && g->turns != NULL;
    for (size_t i = 0; i < 5; i++) {
        g->work[i] = mill_alloc_zero((size_t)g->nodes + 1, sizeof *g->work[i]);
        good = good && g->work[i] != NULL;
    }
    if (!good || edges->count >= NONE)
        return mill_fail_nomem(err, "the order of a repository");
    // Counting sort by the node that needs; the order among its needs is that of the edges, which does not
    // matter below.
    for (size_t i = 0; i < edges->count; i++)
        g->first[edges->items[i].after + 2]++;
    for (uint32_t n = 2; n <= g->nodes + 1; n++)
        g->first[n] += g->first[n - 1];
    for (size_t i = 0; i < edges->count; i++)
        g->needed[g->first[edges->items[i].after + 1]++] = edges->items[i].before;
    return MILL_OK;
}

// Tarjan from one root. work: number of a node by visit (0: not yet), lowest number that it reaches, the path
// of nodes at hand, the next need of each, and the stack of nodes without a component.
static void visit(graph *g, uint32_t root, uint32_t *visited, uint32_t *stacked)
{
    uint32_t *number = g->work[0], *low = g->work[1], *path = g->work[2], *next = g->work[3],
             *stack = g->work[4];
    uint32_t depth = 0;
    path[depth++] = root;
    number[root] = low[root] = ++*visited;
    next[root] = g->first[root];
    stack[(*stacked)++] = root;
    while (depth > 0) {
        const uint32_t node = path[depth - 1];
        if (next[node] < g->first[node + 1]) {
            const uint32_t need = g->needed[next[node]++];
            if (number[need] == 0) {
                path[depth++] = need;
                number[need] = low[need] = ++*visited;
                next[need] = g->first[need];
                stack[(*stacked)++] = need;
            } else if (g->component[need] == NONE && number[need] < low[node]) {
                low[node] = number[need];
            }
            continue;
        }
        depth--;
        if (depth > 0 && low[node] < low[path[depth - 1]])
            low[path[depth - 1]] = low[node];
        if (low[node] != number[node])
            continue;
        uint32_t member;
        do {
            member = stack[--*stacked];
            g->component[member] = g->components;
        } while (member != node);
        g->components++;
    }
}

static void find_components(graph *g)
{
    uint32_t visited = 0, stacked = 0;
    for (uint32_t n = 0; n < g->nodes; n++)
        g->component[n] = NONE;
    for (uint32_t n = 0; n < g->nodes; n++)
        if (g->component[n] == NONE)
            visit(g, n, &visited, &stacked);
}

// ---- turns within components

typedef struct waiting { // a node that waits for so many others of its component
    uint64_t key; // the number, then the place of its path; directories and namespaces: last, unless they
                  // wait for none
    uint32_t node;
} waiting;

typedef struct waiting_heap { // an entry whose key is not its node's any more is skipped when it comes up
    waiting *items;
    size_t count, capacity;
} waiting_heap;

static uint64_t key_of(const graph *g, uint32_t node, uint32_t waits)
{
    if (node < g->files)
        return (uint64_t)waits << 32 | node;
    return waits == 0 ? 0 : (uint64_t)1 << 63 | node;
}

static mill_status push_waiting(waiting_heap *h, waiting entry, mill_error *err)
{
    MILL_TRY(MILL_GROW(h->items, h->capacity, h->count + 1, err));
    size_t at = h->count++;
    while (at > 0 && h->items[(at - 1) / 2].key > entry.key) {
        h->items[at] = h->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->items[at] = entry;
    return MILL_OK;
}

static waiting pop_waiting(waiting_heap *h)
{
    const waiting top = h->items[0], last = h->items[--h->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->items[child + 1].key < h->items[child].key)
            child++;
        if (h->items[child].key >= last.key)
            break;
        h->items[at] = h->items[child];
        at = child;
    }
    h->items[at] = last;
    return top;
}

// g->turns. Only needs within a component count, so the turns of one do not depend on the others and all can
// be taken in one go. edges: sorted by what is needed.
static mill_status take_turns(graph *g, const mill_edges *edges, mill_error *err)
{
    uint32_t *waits = g->work[0], *done = g->work[1], *begin = g->work[2], taken = 0;
    waiting_heap heap = {0};
    mill_status status = MILL_OK;
    size_t at = 0;
    for (uint32_t n = 0; n <= g->nodes; n++) {
        waits[n] = done[n] = 0;
        while (at < edges->count && edges->items[at].before < n)
            at++;
        begin[n] = (uint32_t)at;
    }
    for (size_t i = 0; i < edges->count; i++)
        waits[edges->items[i].after] +=
            g->component[edges->items[i].before] == g->component[edges->items[i].after];
    for (uint32_t n = 0; n < g->nodes; n++)
        MILL_TRY_GOTO(push_waiting(&heap, (waiting){key_of(g, n, waits[n]), n}, err));
    while (heap.count > 0) {
        const waiting next = pop_waiting(&heap);
        if (done[next.node] || next.key != key_of(g, next.node, waits[next.node]))
            continue;
        done[next.node] = 1;
        g->turns[taken++] = next.node;
        for (size_t i = begin[next.node]; i < begin[next.node + 1]; i++) {
            const uint32_t after = edges->items[i].after;
            if (done[after] || g->component[after] != g->component[next.node])
                continue;
            waits[after]--;
            MILL_TRY_GOTO(push_waiting(&heap, (waiting){key_of(g, after, waits[after]), after}, err));
        }
    }
    MILL_ASSERT(taken == g->nodes);
cleanup:
    mill_free(heap.items);
    return status;
}

// ---- the heap of components whose needs are met, by rank

typedef struct heap {
    uint32_t *items, count;
    const uint32_t *rank;
} heap;

static void push(heap *h, uint32_t item)
{
    uint32_t at = h->count++;
    while (at > 0 && h->rank[h->items[(at - 1) / 2]] > h->rank[item]) {
        h->items[at] = h->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->items[at] = item;
}

static uint32_t pop(heap *h)
{
    const uint32_t top = h->items[0], last = h->items[--h->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->rank[h->items[child + 1]] < h->rank[h->items[child]])
            child++;
        if (h->rank[h->items[child]] >= h->rank[last])
            break;
        h->items[at] = h->items[child];
        at = child;
    }
    h->items[at] = last;
    return top;
}

// The edges between components, each once, sorted by the one that is needed; the graph needs its own no more.
static void lift_edges(const graph *g, mill_edges *edges)
{
    size_t kept = 0;
    for (size_t i = 0; i < edges->count; i++) {
        const mill_edge lifted = {g->component[edges->items[i].before], g->component[edges->items[i].after]};
        if (lifted.before != lifted.after)
            edges->items[kept++] = lifted;
    }
    edges->count = kept;
    unite_edges(edges);
}

// Components in order, each with its files in their turns: out[0 .. files) are nodes.
static void emit(graph *g, mill_edges *edges, uint32_t *out)
{
    uint32_t *rank = g->work[0], *waits = g->work[1], *items = g->work[2], *begin = g->work[3],
             *member = g->work[4];
    for (uint32_t c = 0; c < g->components; c++) {
        rank[c] = NONE;
        waits[c] = 0;
        member[c] = NONE;
    }
    uint32_t *list = g->first; // the next file of the component; the needs of nodes are not asked any more
    for (uint32_t i = g->nodes; i-- > 0;) {
        const uint32_t n = g->turns[i], c = g->component[n];
        if (n >= g->files)
            continue;
        list[n] = member[c];
        member[c] = n;
        rank[c] = n < rank[c] ? n : rank[c];
    }
    lift_edges(g, edges);
    for (size_t i = 0; i < edges->count; i++)
        waits[edges->items[i].after]++;
    size_t at = 0;
    for (uint32_t c = 0; c <= g->components; c++) {
        while (at < edges->count && edges->items[at].before < c)
            at++;
        begin[c] = (uint32_t)at;
    }
    // A component without files (a directory, say) waits for nothing but its needs: it goes first.
    for (uint32_t c = 0; c < g->components; c++)
        rank[c] = rank[c] == NONE ? 0 : rank[c] + 1;
    heap ready = {.items = items, .rank = rank};
    for (uint32_t c = 0; c < g->components; c++)
        if (waits[c] == 0)
            push(&ready, c);
    uint32_t files = 0;
    while (ready.count > 0) {
        const uint32_t c = pop(&ready);
        for (uint32_t n = member[c]; n != NONE; n = list[n])
            out[files++] = n;
        for (size_t i = begin[c]; i < edges->count && edges->items[i].before == c; i++)
            if (--waits[edges->items[i].after] == 0)
                push(&ready, edges->items[i].after);
    }
    MILL_ASSERT(files == g->files);
}

typedef struct ranked { // a file on its way to bytewise order
    const mill_repo_file *file;
    uint32_t place;
} ranked;

static int compare_paths(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    const uint32_t n = x->file->path_bytes < y->file->path_bytes ? x->file->path_bytes : y->file->path_bytes;
    const int order = n != 0 ? memcmp(x->file->path, y->file->path, n) : 0;
    if (order != 0 || x->file->path_bytes != y->file->path_bytes)
        return order != 0 ? order : x->file->path_bytes < y->file->path_bytes ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

static mill_status sort_by_path(const mill_repo_file *files, uint32_t count, uint32_t *by_path,
                                mill_error *err)
{
    ranked *list = mill_alloc_zero(count, sizeof *list);
    if (list == NULL)
        return mill_fail_nomem(err, "the order of a repository");
    for (uint32_t i = 0; i < count; i++)
        list[i] = (ranked){&files[i], i};
    qsort(list, count, sizeof *list, compare_paths);
    for (uint32_t i = 0; i < count; i++)
        by_path[i] = list[i].place;
    mill_free(list);
    return MILL_OK;
}

mill_status mill_repo_order(const mill_repo_file *files, uint32_t count, uint32_t *order, mill_error *err)
{
    graph g = {.files = count};
    mill_edges edges = {0};
    uint32_t *by_path = NULL;
    mill_status status = MILL_OK;
    if (count == 0)
        return MILL_OK;
    by_path = mill_alloc_zero(count, sizeof *by_path);
    if (by_path == NULL)
        return mill_fail_nomem(err, "the order of a repository");
    MILL_TRY_GOTO(sort_by_path(files, count, by_path, err));
    MILL_TRY_GOTO(mill_repo_resolve(files, by_path, count, &edges, &g.nodes, err));
    unite_edges(&edges);
    MILL_TRY_GOTO(open_graph(&g, &edges, err));
    find_components(&g);
    MILL_TRY_GOTO(take_turns(&g, &edges, err));
    emit(&g, &edges, order);
    for (uint32_t i = 0; i < count; i++)
        order[i] = by_path[order[i]];
cleanup:
    close_graph(&g);
    mill_free(edges.items);
    mill_free(by_path);
    return status;
}
