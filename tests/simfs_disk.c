// simfs_disk.c: the life of a simulated file system: copies, restarts, power cuts, and what tests see of it.
#include "core/hash.h"
#include "simfs_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- life, death, power

static void empty_node(node *n)
{
    free(n->now.data);
    free(n->disk.data);
    n->now = n->disk = (content){0};
    sim_clear_entries(&n->names);
    sim_clear_entries(&n->disk_names);
}

simfs *simfs_create(void)
{
    simfs *sim = sim_must(calloc(1, sizeof *sim));
    sim->fs = (mill_fs){&sim_ops, sim, true};
    pthread_mutex_init(&sim->mutex, NULL);
    sim_add_node(sim, true);
    return sim;
}

simfs *simfs_copy(const simfs *from)
{
    simfs *sim = sim_must(calloc(1, sizeof *sim));
    sim->fs = (mill_fs){&sim_ops, sim, true};
    pthread_mutex_init(&sim->mutex, NULL);
    sim->clock_ns = from->clock_ns;
    for (int i = 0; i < from->node_count; i++) {
        const node *source = &from->nodes[i];
        int number = sim_add_node(sim, source->is_directory); // moves the nodes
        node *n = &sim->nodes[number];
        n->removed = source->removed;
        n->sync_failed = source->sync_failed;
        n->mtime_ns = source->mtime_ns;
        sim_copy_content(&n->now, &source->now);
        sim_copy_content(&n->disk, &source->disk);
        sim_copy_entries(&n->names, &source->names);
        sim_copy_entries(&n->disk_names, &source->disk_names);
    }
    return sim;
}

void simfs_destroy(simfs *sim)
{
    if (sim == NULL)
        return;
    for (int i = 0; i < sim->node_count; i++)
        empty_node(&sim->nodes[i]);
    free(sim->nodes);
    pthread_mutex_destroy(&sim->mutex);
    free(sim);
}

const mill_fs *simfs_fs(const simfs *sim)
{
    return &sim->fs;
}

void simfs_set_faults(simfs *sim, const simfs_faults *faults)
{
    sim->faults = faults != NULL ? *faults : (simfs_faults){0};
    sim->random = sim->faults.seed;
    sim->calls = 0;
    sim->dead = false;
}

uint64_t simfs_calls(simfs *sim)
{
    pthread_mutex_lock(&sim->mutex);
    uint64_t calls = sim->calls;
    pthread_mutex_unlock(&sim->mutex);
    return calls;
}

bool simfs_dead(simfs *sim)
{
    pthread_mutex_lock(&sim->mutex);
    bool dead = sim->dead;
    pthread_mutex_unlock(&sim->mutex);
    return dead;
}

size_t simfs_open_handles(simfs *sim)
{
    size_t count = 0;
    pthread_mutex_lock(&sim->mutex);
    for (int i = 0; i < HANDLES_MAX; i++)
        count += sim->handles[i].used;
    pthread_mutex_unlock(&sim->mutex);
    return count;
}

// Marks what names reach; directories are few, so a pass over all nodes until nothing changes is enough.
static void free_unreached(simfs *sim)
{
    bool *keep = sim_must(calloc((size_t)sim->node_count, sizeof *keep));
    keep[ROOT] = true;
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < sim->node_count; i++) {
            if (!keep[i])
                continue;
            const entries *both[2] = {&sim->nodes[i].names, &sim->nodes[i].disk_names};
            for (int side = 0; side < 2; side++) {
                for (size_t k = 0; k < both[side]->count; k++) {
                    int child = both[side]->list[k].node;
                    more = more || !keep[child];
                    keep[child] = true;
                }
            }
        }
    }
    for (int i = 0; i < sim->node_count; i++)
        if (!keep[i])
            empty_node(&sim->nodes[i]);
    free(keep);
}

void simfs_restart(simfs *sim)
{
    memset(sim->handles, 0, sizeof sim->handles);
    for (int i = 0; i < sim->node_count; i++)
        sim->nodes[i].locked_by = -1;
    simfs_set_faults(sim, NULL);
    free_unreached(sim);
}

// What of an unsynced file reached the disk: nothing new, all, a first part, the size but not all blocks.
static void cut_file(node *n, uint64_t *random)
{
    uint64_t how = sim_draw(random) % 5;
    if (!sim_same_content(&n->now, &n->disk) && how != 0) {
        size_t size = n->now.bytes;
        size_t cut = (size_t)(sim_draw(random) % (size + 1));
        content kept = {0};
        sim_copy_content(&kept, how == 1 ? &n->now : &n->disk);
        if (how != 1) {
            sim_resize(&kept, cut > kept.bytes ? cut : kept.bytes);
            if (cut != 0)
                memcpy(kept.data, n->now.data, cut);
            if (how >= 3 && size > kept.bytes)
                sim_resize(&kept, size); // the tail reads as zeros
            if (how == 4 && cut < size && kept.bytes == size) { // blocks out of order: the last part without the middle one
                size_t tail = cut + (size_t)(sim_draw(random) % (size - cut));
                memcpy(kept.data + tail, n->now.data + tail, size - tail);
            }
        }
        free(n->disk.data);
        n->disk = kept;
    }
    sim_copy_content(&n->now, &n->disk);
}

// Each name whose entry was not synced is as before or as after, independently of the others.
static void cut_directory(node *n, uint64_t *random)
{
    entries kept = {0};
    sim_copy_entries(&kept, &n->disk_names);
    for (size_t i = 0; i < n->names.count; i++) {
        const entry *e = &n->names.list[i];
        if (sim_find(&n->disk_names, e->name) != e->node && sim_draw(random) % 2 != 0)
            sim_set_entry(&kept, e->name, e->node);
    }
    for (size_t i = 0; i < n->disk_names.count; i++) {
        const entry *e = &n->disk_names.list[i];
        if (sim_find(&n->names, e->name) == NO_NODE && sim_draw(random) % 2 != 0)
            sim_set_entry(&kept, e->name, NO_NODE);
    }
    sim_copy_entries(&n->names, &kept);
    sim_copy_entries(&n->disk_names, &kept);
    sim_clear_entries(&kept);
}

void simfs_power_cut(simfs *sim, uint64_t seed)
{
    uint64_t random = seed;
    for (int i = 0; i < sim->node_count; i++) {
        node *n = &sim->nodes[i];
        n->sync_failed = false;
        n->removed = false; // its name may have come back
        if (n->is_directory)
            cut_directory(n, &random);
        else
            cut_file(n, &random);
    }
    simfs_restart(sim);
}

// ---- for tests' own eyes and hands

void simfs_put(simfs *sim, const char *path, const void *data, size_t bytes)
{
    pthread_mutex_lock(&sim->mutex);
    int at = ROOT;
    for (path += strspn(path, "/"); *path != '\0';) {
        char name[256];
        size_t length = strcspn(path, "/");
        MILL_ASSERT(length < sizeof name);
        memcpy(name, path, length);
        name[length] = '\0';
        bool last = path[length] == '\0';
        int found = sim_find(&sim->nodes[at].names, name);
        if (found == NO_NODE)
            found = sim_add_node(sim, !last);
        sim_set_entry(&sim->nodes[at].names, name, found);
        sim_set_entry(&sim->nodes[at].disk_names, name, found);
        at = found;
        path += length + !last;
    }
    node *n = &sim->nodes[at];
    MILL_ASSERT(!n->is_directory);
    sim_resize(&n->now, 0);
    sim_resize(&n->now, bytes);
    if (bytes != 0)
        memcpy(n->now.data, data, bytes);
    sim_copy_content(&n->disk, &n->now);
    n->mtime_ns = ++sim->clock_ns;
    pthread_mutex_unlock(&sim->mutex);
}

bool simfs_get(simfs *sim, const char *path, const uint8_t **data, size_t *bytes)
{
    pthread_mutex_lock(&sim->mutex);
    int found = sim_lookup(sim, MILL_FS_CWD, path);
    bool is_file = found >= 0 && !sim->nodes[found].is_directory;
    if (is_file) {
        *data = sim->nodes[found].now.data;
        *bytes = sim->nodes[found].now.bytes;
    }
    pthread_mutex_unlock(&sim->mutex);
    return is_file;
}

typedef struct text {
    char **lines;
    size_t count;
} text;

static void add_line(text *out, const char *line)
{
    out->lines = sim_must(realloc(out->lines, (out->count + 1) * sizeof *out->lines));
    out->lines[out->count++] = sim_must(strdup(line));
}

static void dump_node(const simfs *sim, int at, const char *path, const char *skip, text *out)
{
    const node *n = &sim->nodes[at];
    char line[1200];
    if (skip != NULL && strncmp(path, skip, strlen(skip)) == 0)
        return;
    if (!n->is_directory) {
        mill_key key = mill_hash128(n->now.data, n->now.bytes);
        snprintf(line, sizeof line, "%s %zu %016llx%016llx", path, n->now.bytes, (unsigned long long)key.high,
                 (unsigned long long)key.low);
        add_line(out, line);
        return;
    }
    if (path[0] != '\0') {
        snprintf(line, sizeof line, "%s/", path);
        add_line(out, line);
    }
    for (size_t i = 0; i < n->names.count; i++) { // depth is the test's own
        char below[1024];
        snprintf(below, sizeof below, "%s%s%s", path, path[0] != '\0' ? "/" : "", n->names.list[i].name);
        dump_node(sim, n->names.list[i].node, below, skip, out);
    }
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *simfs_dump(simfs *sim, const char *skip)
{
    text out = {0};
    pthread_mutex_lock(&sim->mutex);
    dump_node(sim, ROOT, "", skip, &out);
    pthread_mutex_unlock(&sim->mutex);
    if (out.count > 1)
        qsort(out.lines, out.count, sizeof *out.lines, compare_lines);
    size_t bytes = 1;
    for (size_t i = 0; i < out.count; i++)
        bytes += strlen(out.lines[i]) + 1;
    char *result = sim_must(malloc(bytes));
    char *at = result;
    for (size_t i = 0; i < out.count; i++) {
        at += sprintf(at, "%s\n", out.lines[i]);
        free(out.lines[i]);
    }
    *at = '\0';
    free(out.lines);
    return result;
}
