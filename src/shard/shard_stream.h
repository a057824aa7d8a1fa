// shard_stream.h: containers that are nothing but the ids of all sequences, one behind the other, after a head of their own.
#ifndef MILL_SHARD_SHARD_STREAM_H
#define MILL_SHARD_SHARD_STREAM_H

#include "shard/container_io.h"

typedef struct mill_stream_writer {
    mill_container_options options;
    mill_extent_check check;
    mill_outfile *const *files; // the first takes the ids
    mill_outfile *opened[MILL_CONTAINER_FILES_MAX];
    mill_buf bytes;
    uint32_t width;
    uint64_t tokens;            // written
    void *more;                 // of the container
} mill_stream_writer;

mill_status mill_stream_writer_open(const mill_container_options *options, const mill_extent *extent, mill_outfile *const *files,
                                    mill_stream_writer **out, mill_error *err) MILL_MUST_CHECK;
mill_status mill_stream_writer_add(void *writer, const mill_sample *sample, mill_error *err) MILL_MUST_CHECK;
mill_status mill_stream_writer_finish(void *writer, uint64_t number, cJSON *facts, mill_error *err) MILL_MUST_CHECK;
void mill_stream_writer_close(void *writer); // NULL is fine

#endif
