// grammar_tables.c: spreads the lists of a grammar's small states out into full rows.
#include "core/grammar_tables.h"

#include <string.h>

#include <parser.h> // of tree-sitter's runtime: what a generated parser is made of

enum { ABI_OLDEST = 13, ABI_NEWEST = 15 };     // the fields used here lie in the same places in all of them
static const size_t table_bytes_max = 6u << 20; // wider ones were no faster in the corpus (cpp, csharp)

// The list of a small state: groups of an action and the symbols that it is for.
static void spread(const uint16_t *list, uint16_t *row)
{
    uint16_t groups = *list++;
    while (groups-- > 0) {
        const uint16_t action = *list++;
        uint16_t symbols = *list++;
        for (; symbols > 0; symbols--, list++) {
            if (row[*list] == 0) // the first one is what a search would find
                row[*list] = action;
        }
    }
}

TSLanguage *mill_grammar_widen(const TSLanguage *language)
{
    if (language->abi_version < ABI_OLDEST || language->abi_version > ABI_NEWEST)
        return NULL;
    const size_t row = language->symbol_count, cells = row * language->state_count;
    if (cells * sizeof(uint16_t) > table_bytes_max)
        return NULL;
    uint8_t *memory = mill_alloc_zero(1, sizeof *language + cells * sizeof(uint16_t));
    if (memory == NULL)
        return NULL;
    TSLanguage *wide = (TSLanguage *)(void *)memory;
    uint16_t *table = (uint16_t *)(void *)(memory + sizeof *language);
    // Older generators' structure ends before `name`.
    memcpy(wide, language, language->abi_version < 15 ? offsetof(TSLanguage, name) : sizeof *language);
    memcpy(table, language->parse_table, row * language->large_state_count * sizeof *table);
    const uint32_t *lists = language->small_parse_table_map;
    for (uint32_t state = language->large_state_count; state < language->state_count; state++)
        spread(language->small_parse_table + *lists++, table + row * state);
    wide->parse_table = table;
    wide->large_state_count = language->state_count;
    return wide;
}
