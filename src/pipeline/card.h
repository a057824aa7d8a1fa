// card.h: the data set card, README.md of the output directory.
#ifndef MILL_PIPELINE_CARD_H
#define MILL_PIPELINE_CARD_H

#include "pipeline/run.h"

// Appends the card: a YAML head that `datasets.load_dataset(DIR)` understands, then what the data is, in Markdown. metrics is
// the text of metrics.json. A pure function of what the manifest holds.
mill_status mill_card_append(const mill_run_state *run, const mill_buf *metrics, mill_buf *out,
                             mill_error *err) MILL_MUST_CHECK;

#endif
