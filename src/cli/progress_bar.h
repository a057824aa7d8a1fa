// progress_bar.h: progress on stderr: a bar on a terminal, a line every ten seconds elsewhere, or JSON lines.
#ifndef MILL_CLI_PROGRESS_BAR_H
#define MILL_CLI_PROGRESS_BAR_H

#include "shardmill.h"

typedef enum mill_progress_mode {
    MILL_PROGRESS_NONE,
    MILL_PROGRESS_BAR,
    MILL_PROGRESS_PLAIN,
    MILL_PROGRESS_JSON
} mill_progress_mode;

typedef struct mill_talk { // the program's voice on stderr
    mill_progress_mode mode;
    mill_log_level level;
    bool bar_shown;       // a bar stands on the last line
    double last_seconds;  // of the last plain line
} mill_talk;

// "auto", "plain", "json", "none" or NULL (auto); false if it is another word.
bool mill_talk_init(mill_talk *talk, const char *progress, bool quiet, bool verbose);
void mill_talk_log(void *talk, mill_log_level level, const char *message);
void mill_talk_progress(void *talk, const mill_progress *progress);
void mill_talk_end(mill_talk *talk); // clears the bar

#endif
