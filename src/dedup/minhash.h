// minhash.h: MinHash parameters and LSH banding, equal to datasketch (2.x "affine32", 1.x "legacy").
#ifndef MILL_DEDUP_MINHASH_H
#define MILL_DEDUP_MINHASH_H

#include "backend/backend.h"

#define MILL_MINHASH_PERM_MAX 4096u // permutations

// Draws the permutation parameters as datasketch does with numpy's RandomState(seed) (seed 1 unless changed). The arrays
// belong to the caller: free with mill_minhash_params_free.
mill_status mill_minhash_params_init(mill_minhash_params *params, mill_minhash_scheme scheme, uint32_t num_perm,
                                     uint32_t seed, mill_error *err) MILL_MUST_CHECK;
void mill_minhash_params_free(mill_minhash_params *params);

// Bands and rows of MinHashLSH(threshold, num_perm), weights 0.5 and 0.5. threshold_permyriad: 8500 = 0.85.
mill_status mill_lsh_optimal(uint32_t threshold_permyriad, uint32_t num_perm, uint32_t *bands, uint32_t *rows,
                             mill_error *err) MILL_MUST_CHECK;

// 128-bit key of each band: keys[band] for rows signature[band * rows ..]. The band number is not part of the key: bands are
// compared one at a time.
void mill_lsh_band_keys(const uint32_t *signature, uint32_t bands, uint32_t rows, mill_key *keys);

// Share of equal values, in permyriad: the estimated Jaccard similarity.
uint32_t mill_minhash_similarity(const uint32_t *a, const uint32_t *b, uint32_t num_perm);

#endif
