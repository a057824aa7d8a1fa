// signals.c: catching signals for long commands.
#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>

volatile int mill_stop_requested;
static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    if (mill_stop_requested) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    stop_signal = number;
    mill_stop_requested = 1;
}

void mill_watch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction old, action = {.sa_handler = on_signal};
        sigemptyset(&action.sa_mask);
        // A signal that was ignored at the start (nohup) stays ignored.
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int mill_die_by_signal(void)
{
    int number = stop_signal;
    signal(number, SIG_DFL);
    raise(number);
    return 128 + number;
}
