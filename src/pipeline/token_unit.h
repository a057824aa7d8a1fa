// token_unit.h: a unit's rows of token ids on disk. mill_run_map_tokens (run.h) reads them again.
#ifndef MILL_PIPELINE_TOKEN_UNIT_H
#define MILL_PIPELINE_TOKEN_UNIT_H

#include "pipeline/run.h"

typedef struct mill_token_meta { // of the records that the rows belong to
    uint32_t records;
    const mill_span *repo, *path, *licence; // one a record, into bytes; NULL: all empty
    const void *bytes;
    uint64_t byte_count;
    const uint64_t *docs; // place of each record in the table of documents; NULL: they follow from the unit
} mill_token_meta;

// The content of a token file; out is cleared first. Every id is below vocab_size, which decides how wide ids are.
mill_status mill_token_unit_write(const mill_rows *rows, const mill_token_meta *meta, uint32_t vocab_size, mill_buf *out,
                                  mill_error *err) MILL_MUST_CHECK;
// The place of unit `number` of a stage.
void mill_token_unit_path(const char *stage, uint64_t number, char path[64]);
// {"documents", "transformed", "normalized", "tokens", "dropped_rows", "dropped_tokens"} for the journal; NULL without memory.
cJSON *mill_token_counts_json(const mill_rows *rows);

// Commits the content, which it takes over, as unit `number` of the run's token stage. `spends`: it was made of the text
// of input unit `number` alone, which nothing reads any more then.
mill_status mill_token_unit_commit(mill_run_state *run, uint64_t number, const mill_rows *rows, mill_buf *content,
                                   bool spends, mill_error *err) MILL_MUST_CHECK;

#endif
