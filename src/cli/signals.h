// signals.h: the first signal stops at the next safe point, the second one at once.
#ifndef MILL_CLI_SIGNALS_H
#define MILL_CLI_SIGNALS_H

extern volatile int mill_stop_requested; // for the options' `stop`

void mill_watch_signals(void);
int mill_die_by_signal(void); // of the signal that was caught; an exit code, should it not die of it

#endif
