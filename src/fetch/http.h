// http.h: requests over libcurl. Redirects are followed by our own hand: a secret goes to the origin it was
// meant for and to no other, and never from https to http. One handle a thread; it keeps its connections.
#ifndef MILL_FETCH_HTTP_H
#define MILL_FETCH_HTTP_H

#include <stdatomic.h>

#include "core/alloc.h"
#include "core/log.h"

#define MILL_HTTP_UNKNOWN UINT64_MAX

typedef struct mill_http_options {
    const volatile int *stop;  // nonzero: MILL_STOPPED; may be NULL
    const atomic_bool *broken; // set: another thread has failed, MILL_STOPPED; may be NULL
    const mill_log *log;
    uint32_t tries;     // of a request that fails for a passing reason, without a byte in between
    uint32_t wait_ms;   // before the second try; doubles, up to a minute
    uint32_t timeout_s; // without a byte
} mill_http_options;

typedef struct mill_http mill_http;
mill_status mill_http_open(const mill_http_options *options, mill_http **out,
                           mill_error *err) MILL_MUST_CHECK;
void mill_http_close(mill_http *http); // NULL is fine

typedef struct mill_http_answer {
    long status;      // 0: no answer came
    mill_buf headers; // of the last response: "name\0value\0" one behind the other, names in lower case
    mill_buf body;    // where there is no sink, and of answers that are no success
    bool passing;     // the failure may be gone in a while: no connection, a cut body, 429, 5xx
    uint64_t wait_ms; // what the server asked for by Retry-After; 0: nothing
} mill_http_answer;
void mill_http_answer_free(mill_http_answer *answer);
const char *mill_http_header(const mill_http_answer *answer, const char *name); // NULL: none
uint64_t mill_http_length(const mill_http_answer *answer); // Content-Length; MILL_HTTP_UNKNOWN

// Where the body of a success goes. begin sees status and headers before the first byte, also of an empty
// body. Not called for answers other than 2xx. What they return ends the request and is its result.
typedef struct mill_http_sink {
    mill_status (*begin)(void *context, const mill_http_answer *answer, mill_error *err);
    mill_status (*write)(void *context, const void *data, size_t bytes, mill_error *err);
    void *context;
} mill_http_sink;

typedef struct mill_http_request {
    const char *method; // "GET", "HEAD", "PUT", "POST", "DELETE"
    const char *url;
    const char *shown;          // for messages: without secrets
    const char *const *headers; // "Name: value"
    size_t header_count;
    const char *const *secrets; // headers for the origin of url alone
    size_t secret_count;
    const void *body; // of PUT and POST
    size_t body_bytes;
    size_t answer_bytes_max;    // of a body without sink; more is MILL_INPUT
    const mill_http_sink *sink; // NULL: the body is kept in the answer
    bool stay;                  // redirects are given back, not followed
} mill_http_request;

// One try. MILL_OK for every answer that came whole, whatever its status is. Else MILL_IO (no answer, or a
// cut one; see answer->passing), MILL_STOPPED, or what a sink said. The answer must be free or zero; free it
// in every case.
mill_status mill_http_once(mill_http *http, const mill_http_request *request, mill_http_answer *answer,
                           mill_error *err) MILL_MUST_CHECK;
// Sleeps before try number `tries_done` + 1, as the server asked or longer each time, with jitter;
// MILL_STOPPED on request.
mill_status mill_http_wait(mill_http *http, const mill_http_answer *answer, uint32_t tries_done,
                           const char *shown, mill_error *err) MILL_MUST_CHECK;
// The same reason as mill_http_once gives, for an answer that is no success: MILL_INPUT (4xx) or MILL_IO
// (5xx, 429).
mill_status mill_http_refused(const mill_http_answer *answer, const char *shown, mill_error *err);

// How a request is made anew for each try: signatures know the time. Fills request; its memory is the maker's
// until the next call.
typedef mill_status (*mill_http_maker)(void *context, mill_http_request *request, mill_error *err);
// Tries until an answer comes that is no passing failure.
mill_status mill_http_send(mill_http *http, mill_http_maker make, void *context, mill_http_answer *answer,
                           mill_error *err) MILL_MUST_CHECK;

#endif
