// verdict.c: names of the fates of a record.
#include "record/verdict.h"

const char *mill_reason_name(mill_reason reason)
{
    static const char *const names[MILL_REASON_COUNT] = {
#define MILL_REASON_TEXT(name, text) text,
        MILL_REASON_MAP(MILL_REASON_TEXT)
#undef MILL_REASON_TEXT
    };
    MILL_ASSERT((unsigned)reason < MILL_REASON_COUNT);
    return names[reason];
}

bool mill_reason_is_rejection(mill_reason reason)
{
    return reason != MILL_REASON_KEPT && reason != MILL_REASON_EXACT && reason != MILL_REASON_NEAR &&
           reason != MILL_REASON_UNSELECTED;
}
