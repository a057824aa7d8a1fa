// dedup.h: which records are duplicates. A barrier: it works on keys, never on text, in global order.
#ifndef MILL_DEDUP_DEDUP_H
#define MILL_DEDUP_DEDUP_H

#include "core/hash.h"
#include "core/status.h"

typedef enum mill_dedup_policy {
    MILL_DEDUP_FIRST,   // drop what shares a band with an earlier kept record (the guide, exact)
    MILL_DEDUP_CLUSTER, // connected components of "shares a band": keep one of each
} mill_dedup_policy;

typedef enum mill_dedup_survivor { // which member of a cluster stays (policy cluster only)
    MILL_SURVIVOR_FIRST,
    MILL_SURVIVOR_STARS,  // most stars, then first
    MILL_SURVIVOR_LENGTH, // longest text, then first
} mill_dedup_survivor;

typedef struct mill_dedup_options {
    bool exact, near;
    uint32_t scheme;               // mill_minhash_scheme
    uint32_t num_perm;
    uint32_t threshold_permyriad;  // 8500
    uint32_t bands, rows;          // 0: from the threshold
    uint32_t seed;                 // of the permutations (1)
    mill_dedup_policy policy;
    mill_dedup_survivor survivor;
    bool by_language;              // scope: language (true) or global
} mill_dedup_options;

// The records that take part, in the order in which they are judged (index = rank in that order).
typedef struct mill_dedup_view {
    uint64_t count;
    const mill_key *content;       // of each record
    const uint32_t *scope;         // records of different scope never meet (all equal for a global scope)
    const int64_t *stars;          // for survivor stars; may be NULL otherwise
    const uint64_t *bytes;         // for survivor length; may be NULL otherwise
} mill_dedup_view;

#define MILL_DEDUP_NONE UINT64_MAX

// Marks exact duplicates: kept_by[i] = index of the earlier record with the same content and scope, or MILL_DEDUP_NONE. An
// existing value other than NONE in kept_by[i] on entry means "already out": such a record neither keeps nor drops another.
mill_status mill_dedup_exact(const mill_dedup_view *view, uint64_t *kept_by, mill_error *err) MILL_MUST_CHECK;

// Gives the band keys of one band: fills keys[i] for every record i of the view. Called once for each band, in order.
typedef mill_status (*mill_dedup_keys_fn)(void *context, uint32_t band, mill_key *keys, mill_error *err);

// Near duplicates among the records with kept_by[i] == NONE on entry (records with another value are left alone): on return
// kept_by[i] is NONE for kept records, else the index of the record that stays in its place. first: a kept record that
// shares a band (the smallest such index); cluster: the survivor of the component.
mill_status mill_dedup_near(const mill_dedup_view *view, uint32_t bands, mill_dedup_policy policy,
                            mill_dedup_survivor survivor, mill_dedup_keys_fn keys, void *context, uint64_t *kept_by,
                            mill_error *err) MILL_MUST_CHECK;

#endif
