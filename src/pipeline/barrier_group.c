// barrier_group.c: which records have the same content and language, and are programs or are not. The syntax
// check and the signature of such a group are made once, for its first record; exact deduplication itself
// comes later, among the records that passed.
#include "pipeline/run.h"

static uint64_t slot_of(const mill_doc *doc, uint64_t mask)
{
    return (doc->content.low ^ ((uint64_t)doc->language * UINT64_C(0x9e3779b97f4a7c15))) & mask;
}

static bool same_group(const mill_doc *a, const mill_doc *b)
{
    return mill_key_equal(a->content, b->content) && a->language == b->language &&
           mill_flags_parsed(a->flags) == mill_flags_parsed(b->flags);
}

mill_status mill_barrier_group(mill_run_state *run, mill_error *err)
{
    if (run->doc_count >= UINT32_MAX)
        return mill_fail(err, MILL_RESOURCE, "more than 2^32 - 1 records passed the filter; split the inputs over several runs");
    MILL_TRY(mill_run_check_tables(run, err));
    uint64_t slots = 16;
    while (slots < run->doc_count * 2)
        slots *= 2;
    uint32_t *table = mill_alloc_zero(slots, sizeof *table); // index of a group's first doc + 1
    if (table == NULL)
        return mill_fail_nomem(err, "grouping documents by content");
    mill_instant begin = mill_time_begin();
    for (uint64_t i = 0; i < run->doc_count; i++) {
        mill_doc *doc = &run->docs[i];
        uint64_t at = slot_of(doc, slots - 1);
        while (table[at] != 0 && !same_group(&run->docs[table[at] - 1], doc))
            at = (at + 1) & (slots - 1);
        if (table[at] == 0)
            table[at] = (uint32_t)i + 1;
        doc->represents = table[at] - 1;
    }
    mill_time_end(run, MILL_TIME_EXACT, begin, mill_run_text_bytes(run), run->doc_count);
    mill_free(table);
    return MILL_OK;
}
