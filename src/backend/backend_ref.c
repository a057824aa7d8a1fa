// backend_ref.c: the plain C backend, the definition of every operation.
#include "backend/ops.h"
#include "backend/train.h"

static mill_status ref_open(const mill_backend_ops *ops, mill_backend **out, mill_error *err)
{
    mill_backend *self = mill_alloc_zero(1, sizeof *self);
    if (self == NULL)
        return mill_fail_nomem(err, "opening the ref backend");
    self->ops = ops;
    *out = self;
    return MILL_OK;
}

static mill_status ref_text_stats(mill_backend *self, const mill_text_view *in, uint32_t unicode,
                                  mill_text_stat *out, mill_error *err)
{
    (void)self;
    mill_status status = mill_text_stats_ref(in, unicode, out);
    return status == MILL_OK
               ? status
               : mill_fail(err, status, "no character tables of Unicode version %u", unicode);
}

static mill_status ref_minhash(mill_backend *self, const mill_text_view *in,
                               const mill_minhash_params *params, uint32_t *out, mill_error *err)
{
    (void)self;
    (void)err;
    mill_minhash_ref(in, params, out);
    return MILL_OK;
}

static mill_status ref_train(mill_backend *self, const mill_train_job *job, mill_train_result *out,
                             mill_error *err)
{
    (void)self;
    return mill_train_ref(job, out, err);
}

static void ref_close(mill_backend *self)
{
    mill_free(self);
}

const mill_backend_ops mill_backend_ref = {
    .name = "ref",
    .open = ref_open,
    .text_stats = ref_text_stats,
    .minhash = ref_minhash,
    .train = ref_train,
    .close = ref_close,
};
