// verify_internal.h: what the files of mill_verify share.
#ifndef MILL_PIPELINE_VERIFY_INTERNAL_H
#define MILL_PIPELINE_VERIFY_INTERNAL_H

#include "pipeline/finished.h"

// verify_accounts.c: the accounts of the manifest and of metrics.json add up and agree.
mill_status mill_verify_accounts(const mill_finished *finished, mill_error *err) MILL_MUST_CHECK;

// verify_contents.c: reads every shard, docs, rows, records, cluster and quarantine file and compares what is
// in them with the manifest. *samples: how many samples there are.
mill_status mill_verify_contents(const mill_finished *finished, uint32_t threads, uint64_t *samples,
                                 mill_error *err) MILL_MUST_CHECK;

#endif
