// container_io.h: what the writers and readers of containers share: numbers and ids as little-endian bytes, and a buffered
// reader of plain files.
#ifndef MILL_SHARD_CONTAINER_IO_H
#define MILL_SHARD_CONTAINER_IO_H

#include "shard/container.h"

static inline void mill_put_u16(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static inline void mill_put_u32(uint8_t *out, uint32_t value)
{
    mill_put_u16(out, value & 0xffff);
    mill_put_u16(out + 2, value >> 16);
}

static inline void mill_put_u64(uint8_t *out, uint64_t value)
{
    mill_put_u32(out, (uint32_t)value);
    mill_put_u32(out + 4, (uint32_t)(value >> 32));
}

static inline uint32_t mill_get_u16(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8;
}

static inline uint32_t mill_get_u32(const uint8_t *in)
{
    return mill_get_u16(in) | mill_get_u16(in + 2) << 16;
}

static inline uint64_t mill_get_u64(const uint8_t *in)
{
    return mill_get_u32(in) | (uint64_t)mill_get_u32(in + 4) << 32;
}

// Writes ids of `width` 2, 4 or 8 bytes each; out has room for them.
void mill_put_ids(const uint32_t *ids, uint64_t count, uint32_t width, uint8_t *out);
// The inverse for 2 and 4.
void mill_get_ids(const uint8_t *in, uint64_t count, uint32_t width, uint32_t *ids);

// The columns that the options want are there, row borders from 0 to the end: else MILL_INTERNAL, named with the sample.
mill_status mill_check_columns(const mill_shard_options *options, const mill_sample *sample, mill_error *err) MILL_MUST_CHECK;
// That, and every id below the vocabulary.
mill_status mill_check_sample(const mill_shard_options *options, const mill_sample *sample, mill_error *err) MILL_MUST_CHECK;
// The sequences that came are those that the extent announced, one after the other; a broken promise is MILL_INTERNAL.
typedef struct mill_extent_check {
    const mill_extent *extent;
    uint64_t count;
} mill_extent_check;
mill_status mill_extent_take(mill_extent_check *check, const mill_sample *sample, mill_error *err) MILL_MUST_CHECK;
mill_status mill_extent_end(const mill_extent_check *check, mill_error *err) MILL_MUST_CHECK;

// A plain file, read from its beginning to its end.
typedef struct mill_infile {
    const mill_fs *fs;
    int file;               // -1: closed
    char name[300];         // for messages
    uint64_t bytes, offset; // of the file; of what was given
    mill_buf data;          // read ahead
    size_t at;              // given of it
} mill_infile;

mill_status mill_infile_open(mill_infile *in, const mill_fs *fs, int dir, const char *where, const char *path, mill_error *err)
    MILL_MUST_CHECK;
// The same, but a file that is not there is MILL_OK, with `file` -1.
mill_status mill_infile_open_optional(mill_infile *in, const mill_fs *fs, int dir, const char *where, const char *path,
                                      mill_error *err) MILL_MUST_CHECK;
void mill_infile_close(mill_infile *in); // harmless twice
// Exactly `bytes` bytes; fewer are MILL_VERIFY.
mill_status mill_infile_read(mill_infile *in, void *data, uint64_t bytes, mill_error *err) MILL_MUST_CHECK;
// Appends `count` ids of `width` bytes to the sample.
mill_status mill_infile_ids(mill_infile *in, uint64_t count, uint32_t width, mill_read_sample *out, mill_error *err)
    MILL_MUST_CHECK;
static inline uint64_t mill_infile_left(const mill_infile *in)
{
    return in->bytes - in->offset;
}
// Fills err with "DIR/path: what" and returns MILL_VERIFY.
mill_status mill_infile_fail(const mill_infile *in, mill_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
