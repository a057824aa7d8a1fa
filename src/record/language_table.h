// language_table.h: the built-in languages, in the order of their ids. Only language.c and its tests read it.
#ifndef MILL_RECORD_LANGUAGE_TABLE_H
#define MILL_RECORD_LANGUAGE_TABLE_H

#include "record/language.h"

extern const mill_language mill_language_builtin[];
extern const uint32_t mill_language_builtin_count;

#endif
