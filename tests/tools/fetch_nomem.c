// fetch_nomem.c: collect or upload, in which the n-th allocation and all that follow fail, for one n after another: each call
// ends well, or says that there is no memory.
//
// usage: fetch_nomem collect URL DIR | upload DIR TARGET   (prints the number of calls that failed)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/fs.h"

static mill_status call(char **argv, mill_error *err)
{
    if (strcmp(argv[1], "collect") == 0) {
        mill_collect_summary summary;
        mill_collect_options o = MILL_COLLECT_OPTIONS_INIT;
        const char *url = argv[2];
        o.urls = &url;
        o.url_count = 1;
        o.output = argv[3];
        o.threads = 1;
        o.tries = 1;
        o.fast = true;
        return mill_collect(&o, &summary, err);
    }
    mill_upload_summary summary;
    mill_upload_options o = MILL_UPLOAD_OPTIONS_INIT;
    o.directory = argv[2];
    o.target = argv[3];
    o.threads = 1;
    o.tries = 1;
    return mill_upload(&o, &summary, err);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    uint64_t failed = 0;
    for (uint64_t n = 0;; n += n < 200 ? 1 : 1 + n / 20) {
        mill_error err = {0};
        if (strcmp(argv[1], "collect") == 0 && mill_fs_remove_tree(mill_fs_posix(), MILL_FS_CWD, argv[3], &err) != MILL_OK)
            return 1;
        mill_alloc_fail_after(n);
        mill_status status = call(argv, &err);
        mill_alloc_fail_after(UINT64_MAX);
        if (status == MILL_OK)
            break;
        failed++;
        if (status != MILL_NOMEM || err.message[0] == '\0') {
            fprintf(stderr, "allocation %llu: status %d, %s\n", (unsigned long long)n, (int)status, err.message);
            return 1;
        }
    }
    printf("%llu\n", (unsigned long long)failed);
    return 0;
}
