// names.h: addresses and names of things on the net: percent-coding, glob patterns, and file names that are
// safe to make here.
#ifndef MILL_FETCH_NAMES_H
#define MILL_FETCH_NAMES_H

#include "core/alloc.h"

#define MILL_GLOB_BYTES_MAX 1024

// Appends bytes with everything percent-coded but A-Z a-z 0-9 - . _ ~ and the bytes of `also` (RFC 3986, as
// AWS signs it).
mill_status mill_url_encode(mill_buf *out, const char *text, size_t bytes, const char *also,
                            mill_error *err) MILL_MUST_CHECK;
// Appends the decoded bytes; a '%' that begins no code stands for itself. plus: '+' is a blank.
mill_status mill_url_decode(mill_buf *out, const char *text, size_t bytes, bool plus,
                            mill_error *err) MILL_MUST_CHECK;

// True if pattern holds *, ? or [.
bool mill_glob_is_pattern(const char *pattern);
// ? one character but '/', * any but '/', ** any, **/ any directories, [a-z] [!a-z] one character of a set.
// Time is the product of both lengths; a pattern longer than MILL_GLOB_BYTES_MAX matches nothing.
bool mill_glob_match(const char *pattern, const char *text);
// Length of the directory in front of the first component that holds a pattern: "a/b" of "a/b/*.c", the slash
// not counted.
size_t mill_glob_directory(const char *pattern);

// Appends a path whose components are those of `text` made safe: "..", ".", empty ones, control characters,
// separators, what other systems refuse, and bytes that are not UTF-8 are percent-coded; a long component is
// cut and gets a hash. Two different texts never give the same path. With out empty, a leading dot is coded,
// too: the top level is free of hidden names.
mill_status mill_local_path(mill_buf *out, const char *text, size_t bytes, mill_error *err) MILL_MUST_CHECK;

// One argument of `collect`, taken apart. Strings are owned; free with mill_address_free.
typedef enum mill_address_kind { MILL_ADDRESS_WEB, MILL_ADDRESS_HUB, MILL_ADDRESS_S3 } mill_address_kind;
typedef struct mill_address {
    mill_address_kind kind;
    char *shown;     // the address without user, password, query and fragment: for messages and the record
    char *request;   // web: what is asked for (query included)
    char *user;      // web: user and password of the address, "user:password"; NULL: none
    char *place;     // web: host; hub: "" (see below); S3: bucket
    char *path;      // web: decoded path; hub: what follows "datasets/"; S3: key or pattern
    char sha256[65]; // web: of a fragment "#sha256=...", "" if there is none
} mill_address;
// MILL_USAGE if text is no address that can be collected.
mill_status mill_address_parse(const char *text, mill_address *out, mill_error *err) MILL_MUST_CHECK;
void mill_address_free(mill_address *address);

// What follows hf://datasets/: name, revision, path. candidate 0 reads NAME as "owner/name", 1 as "name" (old
// data sets without an owner); false if there is no such reading. Strings are owned by the caller.
typedef struct mill_hub_place {
    char *name, *revision, *path; // revision "main" if none is given
} mill_hub_place;
mill_status mill_hub_place_parse(const char *text, uint32_t candidate, mill_hub_place *out, bool *there,
                                 mill_error *err) MILL_MUST_CHECK;
void mill_hub_place_free(mill_hub_place *place);

// The origin "scheme://host:port" of an http(s) address, port always written, lower case. false if it has
// none.
bool mill_url_origin(const char *url, char out[300]);
// True if the address is https, or its host is this machine: secrets may be sent there.
bool mill_url_is_private(const char *url);
// The address in a Link header's member with rel="next" (RFC 8288), false if there is none. Points into
// value.
bool mill_link_next(const char *value, const char **url, size_t *bytes);

#endif
