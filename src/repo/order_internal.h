// order_internal.h: the graph of a repository: which file, directory or namespace needs which.
#ifndef MILL_REPO_ORDER_INTERNAL_H
#define MILL_REPO_ORDER_INTERNAL_H

#include "repo/order.h"

typedef struct mill_edge { // before has to stand before after
    uint32_t before, after;
} mill_edge;

typedef struct mill_edges {
    mill_edge *items;
    size_t count, capacity;
} mill_edges;

static inline mill_status mill_edge_add(mill_edges *edges, uint32_t before, uint32_t after, mill_error *err)
{
    MILL_TRY(MILL_GROW(edges->items, edges->capacity, edges->count + 1, err));
    edges->items[edges->count++] = (mill_edge){before, after};
    return MILL_OK;
}

// Resolves imports (resolve.c). by_path: the files in bytewise order of paths. Nodes 0 .. count - 1 are files
// by their place in by_path; *nodes is one more than the highest, those from count on stand for directories
// and namespaces.
mill_status mill_repo_resolve(const mill_repo_file *files, const uint32_t *by_path, uint32_t count,
                              mill_edges *edges, uint32_t *nodes, mill_error *err) MILL_MUST_CHECK;

#endif
