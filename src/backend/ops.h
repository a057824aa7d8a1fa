// ops.h: the batch operations, one function per implementation; the backends' tables (backend.c) choose among them.
#ifndef MILL_BACKEND_OPS_H
#define MILL_BACKEND_OPS_H

#include "backend/backend.h"

// Text statistics (backend.h). The _avx2 form may be called only where the processor has AVX2; off x86-64 it equals _ref.
mill_status mill_text_stats_ref(const mill_text_view *in, uint32_t unicode, mill_text_stat *out) MILL_MUST_CHECK;
mill_status mill_text_stats_avx2(const mill_text_view *in, uint32_t unicode, mill_text_stat *out) MILL_MUST_CHECK;

// MinHash signatures (backend.h): tokens = str.split(), hash = first four bytes of the token's SHA-1. Bytes that are not UTF-8
// belong to tokens.
void mill_minhash_ref(const mill_text_view *in, const mill_minhash_params *params, uint32_t *out);

// The fast form remembers digests of tokens between calls in scratch of one handle (under 1 MiB); never in its results. It
// may be called only where the processor has AVX2 and BMI2 (mill_minhash_avx2_supported).
typedef struct mill_minhash_scratch mill_minhash_scratch;
bool mill_minhash_avx2_supported(void); // false off x86-64
mill_minhash_scratch *mill_minhash_scratch_create(void); // NULL without memory
void mill_minhash_scratch_destroy(mill_minhash_scratch *scratch); // NULL is fine
void mill_minhash_avx2(mill_minhash_scratch *scratch, const mill_text_view *in, const mill_minhash_params *params,
                       uint32_t *out);

#endif
