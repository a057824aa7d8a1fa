// template.h: text with holes, and with the names of control tokens in it: what the recipe says about the
// frames of conversations and repositories. A template is compiled once; whoever fills the holes never looks
// through what he puts in.
#ifndef MILL_CORE_TEMPLATE_H
#define MILL_CORE_TEMPLATE_H

#include "core/alloc.h"

#define MILL_TEMPLATE_HOLES_MAX 4

typedef struct mill_template_names {                // what a template may contain beside plain text
    const char *holes[MILL_TEMPLATE_HOLES_MAX + 1]; // "{content}", ..; NULL-terminated
    const char *const *tokens;                      // names of control tokens, NULL-terminated
    const char *end;                                // the control token that {end} stands for
} mill_template_names;

enum { MILL_PART_TEXT = -1, MILL_PART_CONTROL = -2 };
typedef struct mill_template_part {
    int kind;         // MILL_PART_TEXT, MILL_PART_CONTROL, or the place of a hole in names->holes
    const char *text; // of the first two; lives as long as the template and names->end
    size_t bytes;
} mill_template_part;

typedef struct mill_template { // zero-initialised is an empty one
    char *text;
    mill_template_part *parts;
    size_t count, capacity;
} mill_template;

// Fills *out, which is empty. Where the name of a control token begins another's, the longer one counts.
mill_status mill_template_compile(const char *text, const mill_template_names *names, mill_template *out,
                                  mill_error *err) MILL_MUST_CHECK;
void mill_template_free(mill_template *t);
size_t mill_template_uses(const mill_template *t, int kind); // parts of this kind

#endif
