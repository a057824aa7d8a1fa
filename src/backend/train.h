// train.h: learning merges in rounds. A round merges the next pairs in order, up to sixteen, as far as their
// merges commute, so that they can be done at once.
//
// Why that is exact. Let p1, p2 .. be all pairs in order (larger count, then smaller ids), and let p1 .. pm
// be such that no right token of one is the left token of another; a pair of a token with itself goes alone.
// Then no occurrences of theirs overlap, so merging some leaves the others' occurrences and counts as they
// are, and every other old pair only loses. What else could come before p(k+1) is a pair that merging pi,
// i <= k, creates: (x, new) or (new, y). It occurs at most as often as the old pair q = (x, left of pi), or
// (right of pi, y), did, and where it comes before p(k+1), so does q: by count, or, of equal count, by x; new
// ids are the largest, so (new, y) loses every tie. But then q is one of p1 .. pk and shares a token with pi
// in the way that was ruled out. So the next pair after pk is p(k+1) indeed. A pair that spells a token which
// has an id goes alone, since its id is no new one.
//
// A round: `find` sums, over all words, each pair's neighbours to the left and to the right, and how often
// occurrences of the round's pairs touch (crossings). From these sums alone follows every change of every
// pair's count; of the symbols, only those of the occurrences found are written. No list of places is kept:
// rounds are few (about one for twelve merges), and reading all symbols once a round is what devices do best.
// Sums are integers: neither schedule nor number of devices can show.
#ifndef MILL_BACKEND_TRAIN_H
#define MILL_BACKEND_TRAIN_H

#include "backend/backend.h"
#include "mill_gpu.h"

// One implementation of a round: merges the pairs of the batch (an empty one comes first) and tells the next
// pairs, at most mill_train_batch_max, none below the smallest count. The driver below does the rest.
typedef struct mill_train_steps {
    void *self;
    mill_status (*round)(void *self, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_outcome *out,
                         mill_error *err);
} mill_train_steps;

// Learns all merges of the job by rounds. result is filled but for `complete`; its
// merges are the caller's to free in any case.
mill_status mill_train_rounds(const mill_train_job *job, const mill_train_steps *steps,
                              mill_train_result *result, mill_error *err) MILL_MUST_CHECK;

// Pairs of a round: what the job wants, and fewer where ids are so many that sums of neighbours would take
// more than 64 MiB.
uint32_t mill_train_batch_max(const mill_train_job *job);

// The op `train` in plain C.
mill_status mill_train_ref(const mill_train_job *job, mill_train_result *out,
                           mill_error *err) MILL_MUST_CHECK;

#endif
