// crew.h: threads that stay together for many short pieces of work, each done by all of them at once: a hand-over takes about a
// microsecond, where starting threads takes fifty.
#ifndef MILL_CORE_CREW_H
#define MILL_CORE_CREW_H

#include "core/status.h"

typedef struct mill_crew mill_crew;

// The caller is worker 0; threads - 1 others wait for work. Threads that cannot be made are missing: size tells.
mill_status mill_crew_open(uint32_t threads, mill_crew **out, mill_error *err) MILL_MUST_CHECK;
void mill_crew_close(mill_crew *crew); // NULL is fine
uint32_t mill_crew_size(const mill_crew *crew);
// Calls work(context, share) once for each share below `shares`, which is at most the size, at the same time as far as threads are
// there, and waits for all. A share goes to the same thread each time unless that one is late: then another does its work, too.
void mill_crew_run(mill_crew *crew, uint32_t shares, void (*work)(void *context, uint32_t share), void *context);

#endif
