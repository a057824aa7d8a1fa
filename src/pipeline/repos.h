// repos.h: sequences of the files of repositories: which file goes where. Made by a pass (imports of each
// file) and a barrier (order of each repository); the encode pass then brings the texts together in that
// order.
#ifndef MILL_PIPELINE_REPOS_H
#define MILL_PIPELINE_REPOS_H

#include "pipeline/run.h"
#include "repo/order.h"

typedef struct mill_import_row { // of a file; behind it: repository, path, names, imports
    uint64_t doc;
    uint32_t repo_bytes, path_bytes, name_bytes, imports;
} mill_import_row;

// May this document be part of a repository's sequence?
bool mill_repo_takes(const mill_run_state *run, uint64_t doc);
void mill_imports_path(uint64_t number, char path[64]);

// Every kept document is in exactly one sequence: the files of a repository (or of a part of one) in order,
// or one document that has no repository. Sequences stand in the order of their first documents.
struct mill_repos {
    uint64_t *docs;  // all kept documents, sequence after sequence
    uint64_t *first; // of sequence i in docs; count + 1 entries
    uint8_t *framed; // 1: files of a repository
    uint64_t count, doc_count;
    uint32_t *of;         // sequence of each document, UINT32_MAX: none
    uint64_t *unit_first; // first sequence of each token unit; units + 1 entries
    uint64_t units;
};

// Documents that stand for what is ordered as a whole: the first of a sequence, or any one in a run without
// sequences.
static inline bool mill_repo_leads(const mill_run_state *run, uint64_t doc)
{
    const mill_repos *repos = run->repos;
    return repos == NULL || repos->of[doc] == UINT32_MAX || repos->docs[repos->first[repos->of[doc]]] == doc;
}

typedef struct mill_rows_place { // records [first, end) of a token unit
    uint64_t unit;
    uint32_t first, end;
} mill_rows_place;
// Where the rows of a document that leads are.
mill_rows_place mill_rows_of(const mill_run_state *run, uint64_t doc);

// Of rows that are sorted; more go to .shardmill/tmp.
size_t mill_repos_sort_bytes(const mill_run_state *run);
void mill_repos_free(mill_repos *repos); // NULL is fine

// Encodes the sequences into token units (the encode pass of a run that has them).
mill_status mill_repos_encode(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;
#endif
