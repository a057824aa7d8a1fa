// shard_plan.h: which containers a run writes, from which sequences, and where each shard of them begins. Made before the first
// shard, from lengths alone.
#ifndef MILL_PIPELINE_SHARD_PLAN_H
#define MILL_PIPELINE_SHARD_PLAN_H

#include "pipeline/merged.h"
#include "shard/container.h"

#define MILL_FORMATS_MAX 16

// What containers are written from: the packed samples, or the documents, unpacked, in the same order, each ended by the
// end-of-text token (one is added where the last row has none).
typedef struct mill_sequences {
    mill_run_state *run;
    const mill_merged_kind *merged; // where they come from finished directories; else NULL
    bool documents;
    uint64_t count;
    const uint64_t *first; // of the parts (samples) or packed rows (documents) of sequence i; count + 1 entries
    uint64_t *owned;
    int64_t end_id;        // of text; -1: unknown, nothing is added
    uint32_t uniform;      // all have this many tokens; 0: lengths differ
    uint64_t tokens, added;
    uint32_t pad_to;       // shorter samples are filled up to this length with end_id; 0: they stay
    uint64_t padding;      // tokens of that
    bool has_mask;
    mill_positions positions;
    char ids_sha256[65], lengths_sha256[65]; // over all of them, made by the shards pass
} mill_sequences;

typedef struct mill_gather { // what one worker needs to bring a sequence together
    uint32_t *ids, *bounds, *positions;
    uint8_t *mask;
    size_t id_capacity, bound_capacity, position_capacity, mask_capacity;
    mill_merged_cursor cursor;
} mill_gather;

// Containers that are cut at the same places: a unit of a group is one shard of each.
typedef struct mill_shard_group {
    const char *stage;      // of its units
    bool documents;
    const char *docs;       // directory of its sidecar; NULL: another group writes it
    const mill_container *containers[MILL_FORMATS_MAX];
    size_t container_count;
    uint64_t *begin, units; // first sequence of each unit; units + 1 entries
} mill_shard_group;

#define MILL_SHARD_GROUPS 4
struct mill_shard_plan {
    mill_sequences sequences[2]; // samples, documents
    mill_container_options options[2];
    mill_shard_group groups[MILL_SHARD_GROUPS];
    uint64_t units;              // of all groups
};

mill_status mill_shard_plan_make(mill_run_state *run, mill_shard_plan **out, mill_error *err) MILL_MUST_CHECK;
void mill_shard_plan_free(mill_shard_plan *plan); // NULL is fine
// The group that a container belongs to; NULL: it is not wanted.
const mill_shard_group *mill_shard_plan_group(const mill_shard_plan *plan, const mill_container *container);

uint32_t mill_sequence_rows(const mill_sequences *sequences, uint64_t number);
uint32_t mill_sequence_length(const mill_sequences *sequences, uint64_t number);
// How many of its last tokens fill it up.
uint32_t mill_sequence_padding(const mill_sequences *sequences, uint64_t number);
// (Of token units alone:) part number `at` of all, with the end-of-text token that a document's last one was given.
mill_part mill_sequence_part(const mill_sequences *sequences, uint64_t number, uint64_t at);
// Brings ids, row borders and, where the run has them, positions and loss mask together; valid until the next call.
mill_status mill_sequence_gather(const mill_sequences *sequences, mill_gather *gather, uint64_t number, mill_sample *sample,
                                 mill_error *err) MILL_MUST_CHECK;
void mill_gather_free(mill_gather *gather);
// Fills the digests in by reading all sequences.
mill_status mill_sequences_digest(mill_sequences *sequences, mill_error *err) MILL_MUST_CHECK;

// --format and shard.documents: which containers are wanted, and which of them hold documents. Bits by place in the table.
mill_status mill_formats_choose(const char *list, uint32_t *wanted, mill_error *err) MILL_MUST_CHECK;
mill_status mill_formats_documents(const mill_string_list *names, uint32_t *documents, mill_error *err) MILL_MUST_CHECK;

#endif
