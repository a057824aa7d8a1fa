// s3.h: requests to S3 and what speaks like it.
#ifndef MILL_FETCH_S3_H
#define MILL_FETCH_S3_H

#include "fetch/http.h"
#include "fetch/remote.h"
#include "fetch/sigv4.h"

#define MILL_S3_REGION_BYTES 40

typedef struct mill_s3 { // from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION,
                         // AWS_ENDPOINT_URL
    char *access_key, *secret_key, *session_token; // access_key NULL: anonymous
    char *endpoint;                                // NULL: Amazon's own
    char region[MILL_S3_REGION_BYTES];
} mill_s3;

mill_status mill_s3_open(mill_s3 *s3, mill_error *err) MILL_MUST_CHECK;
void mill_s3_close(mill_s3 *s3);

enum { MILL_S3_EXTRA_MAX = 6 };

// One request: what a mill_http_maker needs. Fill the upper part; the lower part is the maker's memory.
typedef struct mill_s3_call {
    const mill_s3 *s3;
    const char *region, *method, *bucket, *key; // key NULL: the bucket itself
    const char *query;                          // canonical, "" if none
    const char *shown;
    mill_sigv4_header extra[MILL_S3_EXTRA_MAX]; // x-amz-..., sorted by name; all are signed
    size_t extra_count;
    const char *plain[3]; // further header lines, not signed
    size_t plain_count;
    const void *body;
    size_t body_bytes;
    const mill_http_sink *sink;
    // the maker's
    mill_buf url, lines, host;
    const char *headers[MILL_S3_EXTRA_MAX + 8];
} mill_s3_call;
mill_status mill_s3_make(void *call, mill_http_request *request, mill_error *err) MILL_MUST_CHECK;
void mill_s3_call_free(mill_s3_call *call); // the maker's memory
// Sends until there is an answer; goes to the bucket's own region, writing it to region, where the first one
// was wrong.
mill_status mill_s3_send(mill_s3_call *call, mill_http *http, char region[MILL_S3_REGION_BYTES],
                         mill_http_answer *answer, mill_error *err) MILL_MUST_CHECK;
// Says why S3 refused, and what to do.
mill_status mill_s3_refused(const mill_s3 *s3, const mill_http_answer *answer, const char *shown,
                            mill_error *err);

// Size, ETag and checksum of one object; *there false: no such key, or no right to ask for it.
mill_status mill_s3_head(const mill_s3 *s3, mill_http *http, const char *bucket,
                         char region[MILL_S3_REGION_BYTES], const char *key, bool *there, mill_remotes *list,
                         mill_error *err) MILL_MUST_CHECK;
// All objects whose keys begin with prefix.
mill_status mill_s3_list(const mill_s3 *s3, mill_http *http, const char *bucket,
                         char region[MILL_S3_REGION_BYTES], const char *prefix, mill_remotes *list,
                         mill_error *err) MILL_MUST_CHECK;
// The objects that path means: a key, everything below "path/", or what a pattern matches.
mill_status mill_s3_find(const mill_s3 *s3, mill_http *http, const char *bucket,
                         char region[MILL_S3_REGION_BYTES], const char *path, mill_remotes *list,
                         mill_error *err) MILL_MUST_CHECK;
// The checksums that an answer to GET or HEAD tells: the SHA-256 as hexadecimal digits, "" if it tells none
// of the whole object; and whether the ETag can be an MD5 (it is none of objects that a key of the customer's
// encrypts).
void mill_s3_sums(const mill_http_answer *answer, char sha256[65], bool *etag_is_md5);

#endif
