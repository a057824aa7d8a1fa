// shard_mds.h: the columns of an MDS shard, for its writer and its reader.
#ifndef MILL_SHARD_SHARD_MDS_H
#define MILL_SHARD_SHARD_MDS_H

#include "shard/container.h"

typedef enum mill_mds_kind { MILL_MDS_BOUNDS, MILL_MDS_IDS, MILL_MDS_MASK, MILL_MDS_POSITIONS, MILL_MDS_KINDS } mill_mds_kind;

typedef struct mill_mds_column {
    mill_mds_kind kind;
    const char *name;
    uint32_t width;  // of a value
    bool shaped;     // an array whose size stands before its values
    uint64_t fixed;  // values of every sample; 0: they differ
} mill_mds_column;

typedef struct mill_mds_columns { // in the order of their names
    mill_mds_column list[MILL_MDS_KINDS];
    size_t count;
} mill_mds_columns;

mill_mds_columns mill_mds_columns_of(const mill_container_options *options);
// "ndarray:uint16:4096"
void mill_mds_encoding(const mill_mds_column *column, char out[64]);

mill_status mill_mds_read_open(const mill_fs *fs, int dir, const char *where, const char *const *paths, void **out,
                               mill_error *err) MILL_MUST_CHECK; // shard_mds_read.c
mill_status mill_mds_read_next(void *self, uint32_t most, mill_read_sample *out, bool *end, mill_error *err) MILL_MUST_CHECK;
void mill_mds_read_close(void *self);

#endif
