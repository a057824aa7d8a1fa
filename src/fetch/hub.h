// hub.h: data sets of a Hugging Face hub: revisions, trees, addresses of files.
#ifndef MILL_FETCH_HUB_H
#define MILL_FETCH_HUB_H

#include "fetch/http.h"
#include "fetch/names.h"
#include "fetch/remote.h"

typedef struct mill_hub {
    char *endpoint; // "https://huggingface.co", from HF_ENDPOINT if that is set
    char *secret;   // "Authorization: Bearer ...", from HF_TOKEN; NULL: anonymous
} mill_hub;

mill_status mill_hub_open(mill_hub *hub, mill_error *err) MILL_MUST_CHECK;
void mill_hub_close(mill_hub *hub);
// The commit that a revision stands for. *missing: the hub knows no data set of this name (the status is then
// MILL_INPUT).
mill_status mill_hub_commit(const mill_hub *hub, mill_http *http, const mill_hub_place *place,
                            char commit[65], bool *missing, mill_error *err) MILL_MUST_CHECK;
// The files that place->path means: a file, everything below a directory, or what a pattern matches.
mill_status mill_hub_list(const mill_hub *hub, mill_http *http, const mill_hub_place *place,
                          const char *commit, mill_remotes *list, mill_error *err) MILL_MUST_CHECK;
// Appends the address of a file of a commit, and a NUL.
mill_status mill_hub_file_url(const mill_hub *hub, const char *name, const char *commit, const char *path,
                              mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// Says why the hub refused, and what to do.
mill_status mill_hub_refused(const mill_hub *hub, const mill_http_answer *answer, const char *shown,
                             const char *name, mill_error *err);

#endif
