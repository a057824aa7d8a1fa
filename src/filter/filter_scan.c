// filter_scan.c: comment lines and markers of a whole batch by a device. The processor looks record by
// record, when a rule asks; a device looks at all of them at once. What no device did stays unknown, and the
// rules look for themselves.
#include "filter/rules.h"

typedef struct mill_filter_scans {
    mill_text_scan *rows; // by record
    bool *known;
    uint32_t *comments;
    bool *words;
    size_t row_capacity, known_capacity, comment_capacity, word_capacity;
} mill_filter_scans;

mill_status mill_filter_scan_open(mill_filter *filter, mill_error *err)
{
    const mill_markers *markers = &filter->markers;
    if (filter->backend->ops->text_scan == NULL)
        return MILL_OK;
    filter->scans = mill_alloc_zero(1, sizeof *filter->scans);
    filter->patterns = mill_alloc_zero(markers->count + 1, sizeof *filter->patterns);
    if (filter->scans == NULL || filter->patterns == NULL)
        return mill_fail_nomem(err, "the filter");
    for (uint32_t i = 0; i < markers->count; i++)
        filter->patterns[i] = (mill_pattern){.text = markers->marker[i].text,
                                             .bytes = markers->marker[i].bytes,
                                             .fold = markers->marker[i].kind == MILL_MARKER_AUTOGEN,
                                             .word = markers->marker[i].word};
    return MILL_OK;
}

void mill_filter_scan_close(mill_filter *filter)
{
    if (filter->scans != NULL) {
        mill_free(filter->scans->rows);
        mill_free(filter->scans->known);
        mill_free(filter->scans->comments);
        mill_free(filter->scans->words);
    }
    mill_free(filter->scans);
    mill_free(filter->patterns);
}

mill_status mill_filter_scan_batch(mill_filter *filter, const mill_batch *batch, mill_error *err)
{
    mill_filter_scans *scans = filter->scans;
    if (scans == NULL)
        return MILL_OK;
    MILL_TRY(MILL_GROW(scans->rows, scans->row_capacity, batch->count, err));
    MILL_TRY(MILL_GROW(scans->known, scans->known_capacity, batch->count, err));
    MILL_TRY(MILL_GROW(scans->comments, scans->comment_capacity, batch->count, err));
    MILL_TRY(MILL_GROW(scans->words, scans->word_capacity, batch->count, err));
    for (uint32_t i = 0; i < batch->count; i++) {
        scans->comments[i] = mill_filter_comment_styles(filter, batch, i);
        scans->words[i] = mill_filter_words_count(filter, batch, i);
    }
    const mill_text_view whole = mill_batch_view(batch);
    for (uint32_t first = 0; first < batch->count;) {
        const mill_text_view rest = {whole.bytes, whole.offsets + first, whole.count - first};
        const mill_scan_request request = {filter->patterns, filter->markers.count,
                                           filter->markers.autogen_window, scans->comments + first,
                                           scans->words + first};
        mill_portion portion;
        MILL_TRY(filter->backend->ops->text_scan(filter->backend, &rest, &request, &portion,
                                                 scans->rows + first, err));
        for (uint32_t i = 0; i < portion.texts; i++)
            scans->known[first + i] = portion.done;
        first += portion.texts;
    }
    return MILL_OK;
}

void mill_filter_scan_apply(const mill_filter *filter, mill_subject *subject)
{
    const mill_filter_scans *scans = filter->scans;
    if (scans == NULL || !scans->known[subject->i])
        return;
    const mill_text_scan *row = &scans->rows[subject->i];
    subject->counted = true;
    subject->comment_lines = row->comment_lines;
    // A character that folds to ASCII calls for the search in a folded copy.
    if (filter->markers.folds && (row->found & MILL_FOUND_WIDE_FOLD) != 0)
        return;
    subject->searched = true;
    subject->hits.autogen = (row->found & MILL_FOUND_FOLDED) != 0;
    subject->hits.test = !subject->hits.autogen && (row->found & MILL_FOUND_EXACT) != 0;
}
