// sigv4.h: AWS Signature Version 4 for S3, by our own hand: which headers are signed, and how a path is
// written, must be known exactly, and libraries differ in both from version to version.
#ifndef MILL_FETCH_SIGV4_H
#define MILL_FETCH_SIGV4_H

#include "core/alloc.h"

typedef struct mill_sigv4 {
    const char *access_key, *secret_key, *region;
    char time[17]; // 20130524T000000Z
} mill_sigv4;

typedef struct mill_sigv4_header {
    const char *name; // lower case
    const char *value;
} mill_sigv4_header;

typedef struct mill_sigv4_request {
    const char *method;
    const char *path;  // percent-coded, as it is sent
    const char *query; // canonical: names sorted, all coded, "name=" for one without a value; as it is sent,
                       // without '?'
    const mill_sigv4_header
        *headers; // all are signed; sorted by name, "host" and "x-amz-content-sha256" among them
    size_t header_count;
    const char *payload; // the value of x-amz-content-sha256
} mill_sigv4_request;

// Appends the value of the Authorization header.
mill_status mill_sigv4_sign(const mill_sigv4 *key, const mill_sigv4_request *request, mill_buf *out,
                            mill_error *err) MILL_MUST_CHECK;

#endif
