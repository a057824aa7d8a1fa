// simfs.c: the calls of the simulated file system. Nodes are never reused while the system lives, so a node's number is its
// identity. Memory is taken past the product's allocation seam, so that tests may make that one fail.
#include "simfs_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *sim_must(void *pointer)
{
    if (pointer == NULL) {
        fputs("simfs: out of memory\n", stderr);
        abort();
    }
    return pointer;
}

uint64_t sim_draw(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool chance(uint64_t *state, uint32_t permille)
{
    return permille != 0 && sim_draw(state) % 1000 < permille;
}

// ---- contents and entries

void sim_resize(content *c, size_t bytes)
{
    if (bytes > c->bytes) {
        c->data = sim_must(realloc(c->data, bytes));
        memset(c->data + c->bytes, 0, bytes - c->bytes);
    }
    c->bytes = bytes;
}

void sim_copy_content(content *to, const content *from)
{
    content copy = {NULL, from->bytes};
    if (from->bytes != 0)
        copy.data = memcpy(sim_must(malloc(from->bytes)), from->data, from->bytes);
    free(to->data);
    *to = copy;
}

bool sim_same_content(const content *a, const content *b)
{
    return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

int sim_find(const entries *in, const char *name)
{
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->list[i].name, name) == 0)
            return in->list[i].node;
    return NO_NODE;
}

void sim_set_entry(entries *in, const char *name, int number)
{
    size_t i = 0;
    while (i < in->count && strcmp(in->list[i].name, name) != 0)
        i++;
    if (number == NO_NODE) {
        if (i == in->count)
            return;
        free(in->list[i].name);
        in->list[i] = in->list[--in->count];
        return;
    }
    if (i == in->count) {
        in->list = sim_must(realloc(in->list, (in->count + 1) * sizeof *in->list));
        in->list[in->count++].name = sim_must(strdup(name));
    }
    in->list[i].node = number;
}

void sim_clear_entries(entries *in)
{
    for (size_t i = 0; i < in->count; i++)
        free(in->list[i].name);
    free(in->list);
    *in = (entries){0};
}

void sim_copy_entries(entries *to, const entries *from)
{
    sim_clear_entries(to);
    for (size_t i = 0; i < from->count; i++)
        sim_set_entry(to, from->list[i].name, from->list[i].node);
}

int sim_add_node(simfs *sim, bool is_directory)
{
    sim->nodes = sim_must(realloc(sim->nodes, (size_t)(sim->node_count + 1) * sizeof *sim->nodes));
    sim->nodes[sim->node_count] = (node){.is_directory = is_directory, .locked_by = -1, .mtime_ns = ++sim->clock_ns};
    return sim->node_count++;
}

// ---- paths and handles

static handle *get_handle(simfs *sim, int file)
{
    int i = file - FIRST_HANDLE;
    return i >= 0 && i < HANDLES_MAX && sim->handles[i].used ? &sim->handles[i] : NULL;
}

// The directory that holds the last component of path, and that component ("" for the directory itself); or -errno.
static int walk(simfs *sim, int dir, const char *path, char last[256])
{
    int at = ROOT;
    if (*path != '/' && dir != MILL_FS_CWD) {
        const handle *h = get_handle(sim, dir);
        if (h == NULL)
            return -EBADF;
        at = h->node;
    }
    last[0] = '\0';
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length > 255)
            return -ENAMETOOLONG;
        if (length != 0 && !(length == 1 && *path == '.')) {
            if (last[0] != '\0') {
                at = sim_find(&sim->nodes[at].names, last);
                if (at < 0)
                    return -ENOENT;
            }
            if (!sim->nodes[at].is_directory)
                return -ENOTDIR;
            memcpy(last, path, length);
            last[length] = '\0';
        }
        path += length;
        path += strspn(path, "/");
    }
    return at;
}

int sim_lookup(simfs *sim, int dir, const char *path)
{
    char last[256];
    int at = walk(sim, dir, path, last);
    if (at < 0 || last[0] == '\0')
        return at;
    int found = sim_find(&sim->nodes[at].names, last);
    return found == NO_NODE ? -ENOENT : found;
}

// ---- faults

typedef enum verdict { GO, DIE_AFTER, REFUSE } verdict;

// Counts the call and says whether it happens; *value is what it gives if it does not, or if it is the last one.
static verdict enter(simfs *sim, bool interruptible, int *value)
{
    sim->calls++;
    *value = -EOWNERDEAD;
    if (sim->dead)
        return REFUSE;
    if (sim->faults.kill_call != 0 && sim->calls >= sim->faults.kill_call) {
        sim->dead = true;
        return sim_draw(&sim->random) % 2 != 0 ? DIE_AFTER : REFUSE;
    }
    if (sim->faults.fail_call == sim->calls) {
        *value = -sim->faults.fail_errno;
        return REFUSE;
    }
    *value = -EINTR;
    return interruptible && chance(&sim->random, sim->faults.interrupt_permille) ? REFUSE : GO;
}

static size_t shorten(simfs *sim, size_t bytes)
{
    if (bytes > 1 && chance(&sim->random, sim->faults.short_permille))
        return 1 + (size_t)(sim_draw(&sim->random) % (bytes - 1));
    return bytes;
}

static simfs *lock_sim(void *self)
{
    simfs *sim = self;
    pthread_mutex_lock(&sim->mutex);
    return sim;
}

static int leave(simfs *sim, verdict v, int value, int refused)
{
    pthread_mutex_unlock(&sim->mutex);
    return v == GO ? value : refused;
}

// ---- the calls; do_* run under the mutex

static int do_open(simfs *sim, int dir, const char *path, mill_open_mode mode)
{
    char last[256];
    int at = walk(sim, dir, path, last);
    if (at < 0)
        return at;
    int found = last[0] == '\0' ? at : sim_find(&sim->nodes[at].names, last);
    bool wants_directory = mode == MILL_OPEN_DIRECTORY || mode == MILL_OPEN_DIRECTORY_OWN;
    bool creates = mode == MILL_OPEN_CREATE || mode == MILL_OPEN_APPEND;
    if (found == NO_NODE && (!creates || sim->nodes[at].removed))
        return -ENOENT;
    if (found != NO_NODE && mode == MILL_OPEN_CREATE)
        return -EEXIST;
    if (found != NO_NODE && wants_directory && !sim->nodes[found].is_directory)
        return -ENOTDIR;
    if (found != NO_NODE && creates && sim->nodes[found].is_directory)
        return -EISDIR;
    int slot = 0;
    while (slot < HANDLES_MAX && sim->handles[slot].used)
        slot++;
    if (slot == HANDLES_MAX)
        return -EMFILE;
    if (found == NO_NODE) {
        found = sim_add_node(sim, false);
        sim_set_entry(&sim->nodes[at].names, last, found);
    }
    sim->handles[slot] = (handle){.used = true, .node = found, .mode = mode};
    return slot + FIRST_HANDLE;
}

static int sim_open(void *self, int dir, const char *path, mill_open_mode mode)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, true, &refused);
    return leave(sim, v, v != REFUSE ? do_open(sim, dir, path, mode) : 0, refused);
}

static int64_t do_read(simfs *sim, int file, void *data, size_t bytes, const uint64_t *offset)
{
    handle *h = get_handle(sim, file);
    if (h == NULL || h->mode == MILL_OPEN_CREATE)
        return -EBADF;
    const node *n = &sim->nodes[h->node];
    if (n->is_directory)
        return -EISDIR;
    uint64_t at = offset != NULL ? *offset : h->offset;
    size_t got = at < n->now.bytes ? n->now.bytes - (size_t)at : 0;
    if (got > bytes)
        got = bytes;
    got = shorten(sim, got);
    if (got != 0)
        memcpy(data, n->now.data + at, got);
    if (offset == NULL)
        h->offset += got;
    return (int64_t)got;
}

static int64_t read_call(simfs *sim, int file, void *data, size_t bytes, const uint64_t *offset)
{
    pthread_mutex_lock(&sim->mutex);
    int refused;
    int64_t value = enter(sim, true, &refused) == GO ? do_read(sim, file, data, bytes, offset) : refused;
    pthread_mutex_unlock(&sim->mutex);
    return value;
}

static int64_t sim_read(void *self, int file, void *data, size_t bytes)
{
    return read_call(self, file, data, bytes, NULL);
}

static int64_t sim_pread(void *self, int file, void *data, size_t bytes, uint64_t offset)
{
    return read_call(self, file, data, bytes, &offset);
}

static bool reached(const simfs *sim, int wanted)
{
    for (int i = 0; i < sim->node_count; i++)
        for (size_t k = 0; k < sim->nodes[i].names.count; k++)
            if (sim->nodes[i].names.list[k].node == wanted)
                return true;
    for (int i = 0; i < HANDLES_MAX; i++)
        if (sim->handles[i].used && sim->handles[i].node == wanted)
            return true;
    return false;
}

static uint64_t space_left(const simfs *sim)
{
    if (sim->faults.space_bytes == 0)
        return UINT64_MAX;
    uint64_t used = 0;
    for (int i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].now.bytes != 0 && reached(sim, i))
            used += sim->nodes[i].now.bytes;
    return used < sim->faults.space_bytes ? sim->faults.space_bytes - used : 0;
}

static int64_t do_write(simfs *sim, int file, const void *data, size_t bytes)
{
    handle *h = get_handle(sim, file);
    if (h == NULL || (h->mode != MILL_OPEN_CREATE && h->mode != MILL_OPEN_APPEND))
        return -EBADF;
    if (bytes == 0)
        return 0;
    uint64_t room = space_left(sim);
    if (room == 0)
        return -ENOSPC;
    size_t put = shorten(sim, bytes < room ? bytes : (size_t)room);
    node *n = &sim->nodes[h->node];
    size_t at = h->mode == MILL_OPEN_APPEND ? n->now.bytes : (size_t)h->offset;
    if (at + put > n->now.bytes)
        sim_resize(&n->now, at + put);
    memcpy(n->now.data + at, data, put);
    h->offset = at + put;
    n->mtime_ns = ++sim->clock_ns;
    return (int64_t)put;
}

static int64_t sim_write(void *self, int file, const void *data, size_t bytes)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, true, &refused);
    int64_t value = refused;
    if (v == GO)
        value = do_write(sim, file, data, bytes);
    else if (v == DIE_AFTER) // a killed write has written any part
        (void)do_write(sim, file, data, (size_t)(sim_draw(&sim->random) % (bytes + 1)));
    pthread_mutex_unlock(&sim->mutex);
    return value;
}

static int do_truncate(simfs *sim, int file, uint64_t bytes)
{
    handle *h = get_handle(sim, file);
    if (h == NULL || (h->mode != MILL_OPEN_CREATE && h->mode != MILL_OPEN_APPEND))
        return -EBADF;
    sim_resize(&sim->nodes[h->node].now, (size_t)bytes);
    sim->nodes[h->node].mtime_ns = ++sim->clock_ns;
    return 0;
}

static int sim_truncate(void *self, int file, uint64_t bytes)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, true, &refused);
    return leave(sim, v, v != REFUSE ? do_truncate(sim, file, bytes) : 0, refused);
}

static int do_sync(simfs *sim, int file)
{
    const handle *h = get_handle(sim, file);
    if (h == NULL)
        return -EBADF;
    node *n = &sim->nodes[h->node];
    if (n->sync_failed)
        return 0;
    if (n->is_directory)
        sim_copy_entries(&n->disk_names, &n->names);
    else
        sim_copy_content(&n->disk, &n->now);
    return 0;
}

static int sim_sync(void *self, int file)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, true, &refused);
    const handle *h = get_handle(sim, file);
    if (v == REFUSE && refused != -EINTR && refused != -EOWNERDEAD && h != NULL && !sim->nodes[h->node].is_directory)
        sim->nodes[h->node].sync_failed = true;
    return leave(sim, v, v != REFUSE ? do_sync(sim, file) : 0, refused);
}

static int sim_close(void *self, int file)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, true, &refused);
    handle *h = get_handle(sim, file); // given back whatever the call says
    int value = h != NULL ? 0 : -EBADF;
    if (h != NULL) {
        h->used = false;
        if (sim->nodes[h->node].locked_by == file)
            sim->nodes[h->node].locked_by = -1;
    }
    return leave(sim, v, value, refused);
}

static int may_replace(const simfs *sim, int from, int to)
{
    const node *a = &sim->nodes[from];
    const node *b = &sim->nodes[to];
    if (a->is_directory != b->is_directory)
        return a->is_directory ? -ENOTDIR : -EISDIR;
    return b->is_directory && b->names.count != 0 ? -ENOTEMPTY : 0;
}

static int do_rename(simfs *sim, int from_dir, const char *from, int to_dir, const char *to)
{
    char from_last[256], to_last[256];
    int a = walk(sim, from_dir, from, from_last);
    int b = walk(sim, to_dir, to, to_last);
    if (a < 0 || b < 0)
        return a < 0 ? a : b;
    if (from_last[0] == '\0' || to_last[0] == '\0')
        return -EBUSY;
    int moved = sim_find(&sim->nodes[a].names, from_last);
    if (moved == NO_NODE || sim->nodes[b].removed)
        return -ENOENT;
    int replaced = sim_find(&sim->nodes[b].names, to_last);
    if (replaced == moved)
        return 0;
    if (replaced != NO_NODE) {
        int value = may_replace(sim, moved, replaced);
        if (value < 0)
            return value;
        sim->nodes[replaced].removed = sim->nodes[replaced].is_directory;
    }
    sim_set_entry(&sim->nodes[b].names, to_last, moved);
    sim_set_entry(&sim->nodes[a].names, from_last, NO_NODE);
    return 0;
}

static int sim_rename(void *self, int from_dir, const char *from, int to_dir, const char *to)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    return leave(sim, v, v != REFUSE ? do_rename(sim, from_dir, from, to_dir, to) : 0, refused);
}

static int do_remove(simfs *sim, int dir, const char *path, bool directory)
{
    char last[256];
    int at = walk(sim, dir, path, last);
    if (at < 0)
        return at;
    int found = last[0] == '\0' ? NO_NODE : sim_find(&sim->nodes[at].names, last);
    if (found == NO_NODE)
        return last[0] == '\0' ? -EBUSY : -ENOENT;
    node *n = &sim->nodes[found];
    if (n->is_directory != directory)
        return directory ? -ENOTDIR : -EISDIR;
    if (directory && n->names.count != 0)
        return -ENOTEMPTY;
    n->removed = directory;
    sim_set_entry(&sim->nodes[at].names, last, NO_NODE);
    return 0;
}

static int sim_unlink(void *self, int dir, const char *path)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    return leave(sim, v, v != REFUSE ? do_remove(sim, dir, path, false) : 0, refused);
}

static int sim_remove_directory(void *self, int dir, const char *path)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    return leave(sim, v, v != REFUSE ? do_remove(sim, dir, path, true) : 0, refused);
}

static int do_mkdir(simfs *sim, int dir, const char *path)
{
    char last[256];
    int at = walk(sim, dir, path, last);
    if (at < 0)
        return at;
    if (last[0] == '\0' || sim_find(&sim->nodes[at].names, last) != NO_NODE)
        return -EEXIST;
    if (sim->nodes[at].removed)
        return -ENOENT;
    int made = sim_add_node(sim, true);
    sim_set_entry(&sim->nodes[at].names, last, made);
    return 0;
}

static int sim_mkdir(void *self, int dir, const char *path)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    return leave(sim, v, v != REFUSE ? do_mkdir(sim, dir, path) : 0, refused);
}

static int describe(const simfs *sim, int found, mill_file_info *out)
{
    const node *n = &sim->nodes[found];
    *out = (mill_file_info){n->is_directory ? MILL_FILE_DIRECTORY : MILL_FILE_REGULAR, n->now.bytes, n->mtime_ns};
    return 0;
}

static int sim_info(void *self, int dir, const char *path, bool follow, mill_file_info *out)
{
    (void)follow;
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    int found = sim_lookup(sim, dir, path);
    return leave(sim, v, found < 0 ? found : describe(sim, found, out), refused);
}

static int sim_info_open(void *self, int file, mill_file_info *out)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    const handle *h = get_handle(sim, file);
    return leave(sim, v, h == NULL ? -EBADF : describe(sim, h->node, out), refused);
}

static int sim_list(void *self, int dir, const char *path, int (*visit)(void *context, const char *name), void *context)
{
    simfs *sim = lock_sim(self);
    int value;
    verdict v = enter(sim, false, &value);
    entries copy = {0}; // so that visit may call us
    if (v == GO) {
        int found = sim_lookup(sim, dir, path);
        value = found < 0 ? found : sim->nodes[found].is_directory ? 0 : -ENOTDIR;
        if (value == 0)
            sim_copy_entries(&copy, &sim->nodes[found].names);
    }
    pthread_mutex_unlock(&sim->mutex);
    for (size_t i = copy.count; value == 0 && i-- > 0;)
        value = visit(context, copy.list[i].name);
    sim_clear_entries(&copy);
    return value;
}

static int sim_lock(void *self, int file)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    const handle *h = get_handle(sim, file);
    int value = h == NULL ? -EBADF : 0;
    if (v != REFUSE && h != NULL) {
        node *n = &sim->nodes[h->node];
        if (n->locked_by >= 0 && n->locked_by != file)
            value = -EAGAIN;
        else
            n->locked_by = file;
    }
    return leave(sim, v, value, refused);
}

// A copy: a map outlives changes of the file, and the address checker sees every byte read beyond it.
static int sim_map(void *self, int file, uint64_t bytes, const void **data)
{
    simfs *sim = lock_sim(self);
    int refused;
    verdict v = enter(sim, false, &refused);
    const handle *h = get_handle(sim, file);
    int value = h == NULL ? -EBADF : bytes > sim->nodes[h->node].now.bytes ? -EINVAL : 0;
    if (v == GO && value == 0) {
        uint8_t *copy = sim_must(malloc(bytes != 0 ? (size_t)bytes : 1));
        if (bytes != 0)
            memcpy(copy, sim->nodes[h->node].now.data, (size_t)bytes);
        *data = copy;
    }
    return leave(sim, v, value, refused);
}

static void sim_send(void *self, int file, uint64_t offset, uint64_t bytes) // it promises nothing
{
    (void)self;
    (void)file;
    (void)offset;
    (void)bytes;
}

static void sim_forget(void *self, const void *data, uint64_t bytes)
{
    (void)self;
    (void)data;
    (void)bytes;
}

static void sim_unmap(void *self, const void *data, uint64_t bytes)
{
    (void)self;
    (void)bytes;
    union {
        const void *in;
        void *out;
    } place = {.in = data};
    free(place.out);
}

const mill_fs_ops sim_ops = {
    .open = sim_open,
    .read = sim_read,
    .pread = sim_pread,
    .write = sim_write,
    .truncate = sim_truncate,
    .sync = sim_sync,
    .send = sim_send,
    .close = sim_close,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .remove_directory = sim_remove_directory,
    .mkdir = sim_mkdir,
    .info = sim_info,
    .info_open = sim_info_open,
    .list = sim_list,
    .lock = sim_lock,
    .map = sim_map,
    .unmap = sim_unmap,
    .forget = sim_forget,
};
