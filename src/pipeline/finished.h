// finished.h: reading a finished output directory: its sealed manifest, and its files by what the manifest
// says of them.
#ifndef MILL_PIPELINE_FINISHED_H
#define MILL_PIPELINE_FINISHED_H

#include <cjson/cJSON.h>

#include "core/fs.h"

#define MILL_MANIFEST_FORMAT 1 // newest format_version that this program reads

typedef struct mill_finished_file { // strings borrowed from the manifest
    const char *path;               // below the directory; relative, without "." and ".."
    const char *sha256;             // 64 hex digits
    uint64_t bytes;
    const cJSON *facts; // the file's object in the manifest
} mill_finished_file;

typedef struct mill_finished {
    const mill_fs *fs;
    const char *path; // borrowed, for messages
    int dir;          // -1 when closed
    cJSON *manifest;
    uint64_t manifest_bytes;
    mill_finished_file *files; // sorted by path, no path twice
    size_t file_count;
} mill_finished;

// Opens a directory and checks the seal of its manifest. MILL_VERIFY: unfinished, damaged, or of a newer
// format; MILL_IO: cannot be read. directory must outlive the handle. Close in every case.
mill_status mill_finished_open(const char *directory, mill_finished *out, mill_error *err) MILL_MUST_CHECK;
void mill_finished_close(mill_finished *finished);
const mill_finished_file *mill_finished_find(const mill_finished *finished,
                                             const char *path); // NULL: no such file
// What stands at path, links not followed; MILL_VERIFY when nothing does.
mill_status mill_finished_info(const mill_finished *finished, const char *path, mill_file_info *info,
                               mill_error *err) MILL_MUST_CHECK;
// Present, regular, of the size the manifest says: else MILL_VERIFY.
mill_status mill_finished_check_size(const mill_finished *finished, const mill_finished_file *file,
                                     mill_error *err) MILL_MUST_CHECK;
// The same, and the SHA-256 is the manifest's. data, if not NULL, receives the content (appended).
mill_status mill_finished_check_bytes(const mill_finished *finished, const mill_finished_file *file,
                                      mill_buf *data, mill_error *err) MILL_MUST_CHECK;
// A checked product file by its path; one the manifest does not know is MILL_VERIFY.
mill_status mill_finished_read(const mill_finished *finished, const char *path, mill_buf *data,
                               mill_error *err) MILL_MUST_CHECK;

// The number `name` of an object, 0 if it is not there or no whole number of 0 .. 2^53.
uint64_t mill_finished_number(const cJSON *object, const char *name);

// Moves the bytes of buf into *out, NUL-terminated; buf is empty afterwards, also when it fails.
mill_status mill_text_take(mill_buf *buf, mill_text *out, mill_error *err) MILL_MUST_CHECK;
// Appends a number with a comma between thousands, right-aligned in `width` columns (0: as wide as it is).
mill_status mill_append_grouped(mill_buf *out, uint64_t value, int width, mill_error *err) MILL_MUST_CHECK;
// Appends text with each byte of a control character (but newline and tab, if `lines`) or of invalid UTF-8 as
// \xNN.
mill_status mill_append_escaped(mill_buf *out, const void *text, size_t bytes, bool lines,
                                mill_error *err) MILL_MUST_CHECK;

#endif
