// parquet_load.h: finding the object that reads Parquet, once in a process.
#ifndef MILL_CORE_PARQUET_LOAD_H
#define MILL_CORE_PARQUET_LOAD_H

#include "core/status.h"
#include "core/parquet_shim.h"

// "Arrow C++ 26.0.1", or why there is none.
const char *mill_parquet_description(void);
// MILL_INPUT if this build has none or it cannot be opened; the message tells which and what to do, without a file's name.
mill_status mill_parquet_load(const mill_parquet_api **api, mill_error *err) MILL_MUST_CHECK;
#endif
