// backend_cpu.c: the backend of the processor's vector instructions, chosen when a handle is opened.
#include "backend/ops.h"

typedef struct cpu_backend {
    mill_backend base;
    bool avx2;                     // text statistics
    mill_minhash_scratch *minhash; // NULL: use the plain form
} cpu_backend;

static bool have_avx2(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

static void cpu_close(mill_backend *base)
{
    cpu_backend *self = (cpu_backend *)base;
    if (self != NULL)
        mill_minhash_scratch_destroy(self->minhash);
    mill_free(self);
}

static mill_status cpu_open(const mill_backend_ops *ops, mill_backend **out, mill_error *err)
{
    cpu_backend *self = mill_alloc_zero(1, sizeof *self);
    if (self == NULL)
        return mill_fail_nomem(err, "opening the cpu backend");
    self->base.ops = ops;
    self->avx2 = have_avx2();
    if (mill_minhash_avx2_supported()) {
        self->minhash = mill_minhash_scratch_create();
        if (self->minhash == NULL) {
            cpu_close(&self->base);
            return mill_fail_nomem(err, "opening the cpu backend");
        }
    }
    *out = &self->base;
    return MILL_OK;
}

static mill_status cpu_text_stats(mill_backend *base, const mill_text_view *in, uint32_t unicode,
                                  mill_text_stat *out, mill_error *err)
{
    const cpu_backend *self = (const cpu_backend *)base;
    mill_status status =
        self->avx2 ? mill_text_stats_avx2(in, unicode, out) : mill_text_stats_ref(in, unicode, out);
    return status == MILL_OK
               ? status
               : mill_fail(err, status, "no character tables of Unicode version %u", unicode);
}

static mill_status cpu_minhash(mill_backend *base, const mill_text_view *in,
                               const mill_minhash_params *params, uint32_t *out, mill_error *err)
{
    const cpu_backend *self = (const cpu_backend *)base;
    (void)err;
    if (self->minhash != NULL)
        mill_minhash_avx2(self->minhash, in, params, out);
    else
        mill_minhash_ref(in, params, out);
    return MILL_OK;
}

const mill_backend_ops mill_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .text_stats = cpu_text_stats,
    .minhash = cpu_minhash,
    .close = cpu_close,
};
