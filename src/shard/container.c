// container.c: the table of containers, and the names of their files.
#include "shard/container.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/shard_containers.h"

const mill_container *const mill_containers[] = {
    &mill_container_jsonl_zst, &mill_container_jsonl, &mill_container_megatron,  &mill_container_mds, &mill_container_npy,
    &mill_container_parquet,   &mill_container_llmc,  &mill_container_datatrove, &mill_container_olmo,
};
const size_t mill_container_count = sizeof mill_containers / sizeof mill_containers[0];

int mill_container_find(const char *name, size_t bytes)
{
    for (size_t i = 0; i < mill_container_count; i++) {
        if (strlen(mill_containers[i]->name) == bytes && memcmp(mill_containers[i]->name, name, bytes) == 0)
            return (int)i;
    }
    return -1;
}

void mill_container_names(const char *separator, char *out, size_t bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < mill_container_count && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", i != 0 ? separator : "", mill_containers[i]->name);
}

static const char *suffix_of(const mill_container *c, const mill_container_options *options, size_t file)
{
    return file == 0 && c->suffix != NULL ? c->suffix(options) : c->suffixes[file];
}

size_t mill_container_files(const mill_container *c, const mill_container_options *options)
{
    size_t count = 0;
    while (count < MILL_CONTAINER_FILES_MAX && c->suffixes[count] != NULL)
        count++;
    return c->mask_file != 0 && !options->shard.loss_mask ? c->mask_file : count;
}

void mill_container_path(const mill_container *c, const mill_container_options *options, uint64_t number, size_t file, char *out,
                         size_t bytes)
{
    snprintf(out, bytes, "%s/%s%0*" PRIu64 "%s", c->directory, c->prefix, c->digits, number, suffix_of(c, options, file));
}

// What stands behind the number of a file of this container, or NULL.
static const char *after_number(const mill_container *c, const char *path, uint64_t *number)
{
    size_t directory = strlen(c->directory), prefix = strlen(c->prefix);
    if (strncmp(path, c->directory, directory) != 0 || path[directory] != '/' ||
        strncmp(path + directory + 1, c->prefix, prefix) != 0)
        return NULL;
    const char *digits = path + directory + 1 + prefix;
    size_t count = strspn(digits, "0123456789");
    if (count < (size_t)c->digits || count > 18)
        return NULL;
    *number = strtoull(digits, NULL, 10);
    return digits + count;
}

int mill_container_of(const char *path, size_t *file, uint64_t *number)
{
    for (size_t i = 0; i < mill_container_count; i++) {
        const mill_container *c = mill_containers[i];
        const char *suffix = after_number(c, path, number);
        for (*file = 0; suffix != NULL && *file < MILL_CONTAINER_FILES_MAX && c->suffixes[*file] != NULL; ++*file) {
            // The frame of a container whose options decide has the same name and one more suffix.
            size_t bytes = strlen(c->suffixes[*file]);
            if (strcmp(suffix, c->suffixes[*file]) == 0 ||
                (c->suffix != NULL && *file == 0 && strncmp(suffix, c->suffixes[0], bytes) == 0 &&
                 strcmp(suffix + bytes, ".zstd") == 0))
                return (int)i;
        }
    }
    return -1;
}

bool mill_container_keeps_borders(const mill_container *c, const mill_container_options *options)
{
    return c->borders || (c->uniform_borders && options->uniform != 0);
}

mill_status mill_container_read(const mill_container *c, const mill_fs *fs, int dir, const char *where, const char *path,
                                void **reader, mill_error *err)
{
    char others[MILL_CONTAINER_FILES_MAX][160];
    const char *paths[MILL_CONTAINER_FILES_MAX] = {path};
    uint64_t number;
    *reader = NULL;
    if (after_number(c, path, &number) == NULL)
        return mill_fail(err, MILL_INTERNAL, "%s: is no %s shard", path, c->name);
    for (size_t i = 1; i < MILL_CONTAINER_FILES_MAX && c->suffixes[i] != NULL; i++) {
        mill_container_path(c, NULL, number, i, others[i], sizeof others[i]);
        paths[i] = others[i];
    }
    return c->read_open(fs, dir, where, paths, reader, err);
}

const char *mill_rule_name(mill_rule rule)
{
    return rule == MILL_RULE_ROWS ? "L" : "L+1";
}
