// api.c: the public functions of shardmill.h.
#include "core/status.h"
