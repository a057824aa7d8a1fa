// simfs_state.h: what the two halves of the simulated file system share; for them only.
#ifndef MILL_TESTS_SIMFS_STATE_H
#define MILL_TESTS_SIMFS_STATE_H

#include "simfs.h"

#include <pthread.h>

enum { HANDLES_MAX = 512, FIRST_HANDLE = 3, ROOT = 0, NO_NODE = -1 };

typedef struct content {
    uint8_t *data;
    size_t bytes;
} content;

typedef struct entry {
    char *name;
    int node;
} entry;

typedef struct entries {
    entry *list;
    size_t count;
} entries;

typedef struct node {
    bool is_directory;
    bool removed;     // a directory that has no name any more
    bool sync_failed; // as the kernel does: the next sync "succeeds" without bringing the data to the disk
    content now, disk;
    entries names, disk_names;
    int64_t mtime_ns;
    int locked_by; // handle, -1 if free
} node;

typedef struct handle {
    bool used;
    int node;
    mill_open_mode mode;
    uint64_t offset;
} handle;

struct simfs {
    mill_fs fs;
    pthread_mutex_t mutex;
    node *nodes;
    int node_count;
    handle handles[HANDLES_MAX];
    int64_t clock_ns;
    simfs_faults faults;
    uint64_t random, calls;
    bool dead;
};

extern const mill_fs_ops sim_ops;

void *sim_must(void *pointer);
uint64_t sim_draw(uint64_t *state);
void sim_resize(content *c, size_t bytes);
void sim_copy_content(content *to, const content *from);
bool sim_same_content(const content *a, const content *b);
int sim_find(const entries *in, const char *name);
void sim_set_entry(entries *in, const char *name, int number);
void sim_clear_entries(entries *in);
void sim_copy_entries(entries *to, const entries *from);
int sim_add_node(simfs *sim, bool is_directory);
int sim_lookup(simfs *sim, int dir, const char *path);

#endif
