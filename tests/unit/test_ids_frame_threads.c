// A text of numbers compressed by its caller and by helpers beside: the same frame for any number of them. A plain program, for the
// thread sanitizer.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shard/ids_frame.h"

enum { BYTES = 11 * MILL_IDS_JOB_BYTES + 4321 };

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static void write_frame(const uint8_t *text, const char *path, uint32_t helpers)
{
    mill_error err = {0};
    mill_outfile file;
    mill_ids_frame *frame;
    char sha256[65];
    must(mill_outfile_open(&file, mill_fs_posix(), MILL_FS_CWD, path, &err) == MILL_OK, err.message);
    must(mill_ids_frame_open(&file, helpers, &frame, &err) == MILL_OK, err.message);
    for (size_t at = 0; at < BYTES; at += MILL_IDS_JOB_BYTES) {
        const size_t here = BYTES - at < MILL_IDS_JOB_BYTES ? BYTES - at : MILL_IDS_JOB_BYTES;
        must(mill_ids_frame_add(frame, text + at, here, &err) == MILL_OK, err.message);
    }
    must(mill_ids_frame_finish(frame, &err) == MILL_OK, err.message);
    mill_ids_frame_close(frame);
    must(mill_outfile_finish(&file, true, sha256, &err) == MILL_OK, err.message);
}

int main(void)
{
    char directory[] = "/tmp/mill_ids_frame_XXXXXX", path[64];
    must(mkdtemp(directory) != NULL, "no directory for the test");
    snprintf(path, sizeof path, "%s/frame", directory);
    uint8_t *text = malloc(BYTES), *back = malloc(BYTES);
    mill_buf frame = {0};
    mill_error err = {0};
    uint32_t number = 1;
    for (size_t at = 0; at < BYTES; at++) {
        number = number * 1664525 + 1013904223;
        text[at] = number >> 30 == 0 ? ',' : (uint8_t)('0' + (number >> 20) % 4);
    }
    must(mill_ids_frame_append(text, BYTES, &frame, &err) == MILL_OK, err.message);
    for (uint32_t helpers = 0; helpers < 5; helpers++) {
        write_frame(text, path, helpers);
        FILE *file = fopen(path, "rb");
        must(file != NULL, "the file is not there");
        const size_t got = fread(back, 1, BYTES, file);
        must(fgetc(file) == EOF && fclose(file) == 0, "the file is too long");
        must(got == frame.bytes && memcmp(back, frame.data, got) == 0, "other bytes");
        must(unlink(path) == 0, "cannot remove the file");
    }
    must(rmdir(directory) == 0, "cannot remove the directory");
    printf("%zu bytes of %d: the same for 0 to 4 helpers\n", frame.bytes, BYTES);
    mill_buf_free(&frame);
    free(text);
    free(back);
    return 0;
}
