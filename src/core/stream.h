// stream.h: reading an input file as one decompressed byte stream. gzip (several members, trailing zero padding) and zstd
// (several frames, skippable frames, window up to 2^27) are recognised by their first bytes, anything else is plain.
#ifndef MILL_CORE_STREAM_H
#define MILL_CORE_STREAM_H

#include "core/fs.h"

typedef struct mill_stream mill_stream;

// Opens path ("-" with dir MILL_FS_CWD is standard input). The stream hashes the raw file while reading.
mill_status mill_stream_open(const mill_fs *fs, int dir, const char *path, mill_stream **out, mill_error *err) MILL_MUST_CHECK;
// Up to `bytes` decompressed bytes; *got is 0 only at the end. Damage (truncated or corrupt compressed data) is no error of
// this call: the good bytes before it are delivered, then *got is 0 and mill_stream_damage tells. I/O errors are.
mill_status mill_stream_read(mill_stream *stream, void *data, size_t bytes, size_t *got, mill_error *err) MILL_MUST_CHECK;
// NULL, or what is wrong with the container, e.g. "zstd: truncated frame at byte 1234 of the file".
const char *mill_stream_damage(const mill_stream *stream);
uint64_t mill_stream_file_bytes(const mill_stream *stream);  // raw bytes read so far
uint64_t mill_stream_file_total(const mill_stream *stream);  // size of the file when opened, 0 if unknown (stdin)
// SHA-256 (hex) of the raw file; valid after the end was reached (reads the rest of a damaged file).
mill_status mill_stream_digest(mill_stream *stream, char sha256_hex[65], mill_error *err) MILL_MUST_CHECK;
// Fails (MILL_INPUT) if the file's size or mtime changed since it was opened; NULL is fine to close.
mill_status mill_stream_close(mill_stream *stream, mill_error *err);

#endif
