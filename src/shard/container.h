// container.h: the table of output containers: what each is called, where its files lie, what its reader takes, and the functions
// that write and read a shard of it. docs/FORMATS.md tells what is in them.
//
// A writer knows the lengths of all its sequences before the first byte, so that headers are written in place and a shard passes
// through in constant memory. Its bytes depend on the sequences and the options alone. A reader gives the sequences back in order,
// refuses whatever the writer would not have written, and never holds more than one of them.
#ifndef MILL_SHARD_CONTAINER_H
#define MILL_SHARD_CONTAINER_H

#include <cjson/cJSON.h>

#include "core/fs.h"
#include "shard/shard.h"

#define MILL_CONTAINER_FILES_MAX 4

typedef struct mill_container_options {
    mill_shard_options shard;
    uint32_t workers;   // threads that compress beside the writer, at least 1: the bytes are the same for any number
    uint32_t uniform;   // every sequence of the run has this many tokens; 0: lengths differ
} mill_container_options;

typedef struct mill_extent { // of one shard, known before it is written
    uint64_t count, tokens;
    const uint32_t *lengths; // of each sequence
    const uint32_t *rows;    // in each
} mill_extent;

typedef struct mill_read_sample { // a sequence that was read
    uint32_t *ids, *bounds;       // bounds: cu_seqlens
    size_t count, capacity, bound_count, bound_capacity;
    uint32_t *positions;          // position_ids: one a token
    uint8_t *mask;                // loss_mask: one a token
    size_t position_capacity, mask_capacity;
    bool has_bounds, has_positions, has_mask;
    bool stream;                  // only a piece of a shard without borders
} mill_read_sample;
void mill_read_sample_free(mill_read_sample *sample);
void mill_read_sample_clear(mill_read_sample *sample); // nothing is in it; memory stays
// Whether its cu_seqlens, if it has one, rises strictly from 0 to the number of ids.
bool mill_read_sample_bounds_are_good(const mill_read_sample *sample);
// Makes room for `more` ids behind those that are there and returns the place, which the caller fills; NULL without memory.
uint32_t *mill_read_sample_grow(mill_read_sample *sample, uint64_t more, mill_error *err);

typedef enum mill_rule { // how many tokens the consumer takes for a context of L
    MILL_RULE_ROWS,      // rows of L; the model shifts labels itself
    MILL_RULE_BLOCKS,    // blocks of L + 1
} mill_rule;

typedef struct mill_container {
    const char *name;            // for --format
    const char *label;           // "shards (NAME)"
    const char *directory;       // below the output
    const char *prefix;          // a file is PREFIX, the number in `digits` digits, and a suffix
    int digits;
    const char *suffixes[MILL_CONTAINER_FILES_MAX]; // NULL behind the last; facts are those of the first
    size_t mask_file;            // the last of them, if it is for the loss mask and only there with one; 0: none is
    const char *index;           // one file about all shards, in the directory; NULL: none
    const char *pattern;         // of files that `datasets` loads; NULL: it does not
    const char *use;             // lines of Python that open it, for the data set card; NULL: those of `datasets`
    mill_rule rule;
    bool by_bytes;               // cut by `cut`, not by the number of sequences
    bool borders;                // its files keep where sequences end
    bool uniform_borders;        // they do where all have the same length
    bool columns;                // keeps cu_seqlens, position_ids and loss_mask, where the options want them
                                 // (one with a mask_file keeps loss_mask only)
    // The library that decides about its bytes beside zstd, with its version; NULL: none does.
    const char *(*codec)(void);
    // Whether this build and machine can write it; NULL: always.
    mill_status (*check)(mill_error *err);
    // The suffix of the first file under these options, where they decide; NULL: suffixes[0].
    const char *(*suffix)(const mill_container_options *options);
    // How many of the sequences go into one shard, at least one of count (lengths and rows from the first on).
    uint64_t (*cut)(const mill_container_options *options, const mill_extent *rest);
    mill_status (*open)(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                        void **writer, mill_error *err);
    mill_status (*add)(void *writer, const mill_sample *sample, mill_error *err);
    // facts: an object that receives what the manifest and the index tell of the shard.
    mill_status (*finish)(void *writer, uint64_t number, cJSON *facts, mill_error *err);
    void (*close)(void *writer); // NULL is fine
    mill_status (*write_index)(const mill_container_options *options, const cJSON *const *facts, uint64_t count, mill_buf *out,
                               mill_error *err);
    // Opens the shard of these files below `dir`; `where` is the name of that directory for messages. NULL: lines of JSON, which
    // are read elsewhere.
    mill_status (*read_open)(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **reader,
                             mill_error *err);
    // The next sequence; *end: there is none. A shard without borders gives its tokens in pieces of at most `most`.
    mill_status (*read_next)(void *reader, uint32_t most, mill_read_sample *out, bool *end, mill_error *err);
    void (*read_close)(void *reader); // NULL is fine
} mill_container;

extern const mill_container *const mill_containers[];
extern const size_t mill_container_count;

// "jsonl", "jsonl.zst", "megatron", ...; bytes long. -1: there is none of this name.
int mill_container_find(const char *name, size_t bytes);
// All names with `separator` between them.
void mill_container_names(const char *separator, char *out, size_t bytes);
// How many files a shard has under these options.
size_t mill_container_files(const mill_container *container, const mill_container_options *options);
// "shards-mds/shard.00003.mds" of file number `file` of shard `number`.
void mill_container_path(const mill_container *container, const mill_container_options *options, uint64_t number, size_t file,
                         char *out, size_t bytes);
// Container, file and shard that a path names; -1: it is no file of a shard.
int mill_container_of(const char *path, size_t *file, uint64_t *number);
// Whether the shards of these options keep where sequences end.
bool mill_container_keeps_borders(const mill_container *container, const mill_container_options *options);
static inline bool mill_container_keeps_mask(const mill_container *container)
{
    return container->columns || container->mask_file != 0;
}
// Opens a shard by the path of its first file, which mill_container_of knows.
mill_status mill_container_read(const mill_container *container, const mill_fs *fs, int dir, const char *where, const char *path,
                                void **reader, mill_error *err) MILL_MUST_CHECK;
// Fills in the positions begin, begin + 1, .. of `count` tokens of sample `number`. MILL_INPUT: they do not end below 2^31.
mill_status mill_positions_fill(uint64_t begin, uint32_t count, uint64_t number, uint32_t *positions, mill_error *err)
    MILL_MUST_CHECK;
// "L" or "L+1".
const char *mill_rule_name(mill_rule rule);

// Bytes of an id: 2 where the vocabulary allows it, else 4.
static inline uint32_t mill_id_bytes(uint32_t vocab_size)
{
    return vocab_size <= 65536 ? 2 : 4;
}

#endif
