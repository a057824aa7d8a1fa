// ops.h: the batch operations, one function per implementation; the backends' tables (backend.c) choose among them.
#ifndef MILL_BACKEND_OPS_H
#define MILL_BACKEND_OPS_H

#include "backend/backend.h"

// Text statistics (backend.h). The _avx2 form may be called only where the processor has AVX2; off x86-64 it equals _ref.
mill_status mill_text_stats_ref(const mill_text_view *in, uint32_t unicode, mill_text_stat *out) MILL_MUST_CHECK;
mill_status mill_text_stats_avx2(const mill_text_view *in, uint32_t unicode, mill_text_stat *out) MILL_MUST_CHECK;

#endif
