// template.c: cutting templates into plain text, control tokens and holes.
#include "core/template.h"

#include <string.h>

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

// What begins at `text`: a hole, {end}, a control token, or one byte of plain text.
static mill_template_part part_at(const char *text, const mill_template_names *names)
{
    for (int i = 0; names->holes[i] != NULL; i++)
        if (begins_with(text, names->holes[i]))
            return (mill_template_part){i, text, strlen(names->holes[i])};
    if (begins_with(text, "{end}"))
        return (mill_template_part){MILL_PART_CONTROL, names->end, strlen("{end}")};
    mill_template_part found = {MILL_PART_TEXT, text, 1};
    for (size_t i = 0; names->tokens[i] != NULL; i++)
        if (begins_with(text, names->tokens[i]) &&
            (found.kind == MILL_PART_TEXT || strlen(names->tokens[i]) > found.bytes))
            found = (mill_template_part){MILL_PART_CONTROL, text, strlen(names->tokens[i])};
    return found;
}

mill_status mill_template_compile(const char *text, const mill_template_names *names, mill_template *out,
                                  mill_error *err)
{
    out->text = mill_strdup(text);
    if (out->text == NULL)
        return mill_fail_nomem(err, "a template");
    const char *at = out->text;
    while (*at != '\0') {
        mill_template_part next = part_at(at, names);
        at += next.bytes;
        mill_template_part *last = out->count != 0 ? &out->parts[out->count - 1] : NULL;
        if (next.kind == MILL_PART_TEXT && last != NULL && last->kind == MILL_PART_TEXT) {
            last->bytes++;
            continue;
        }
        if (next.text == names->end)
            next.bytes = strlen(names->end);
        MILL_TRY(MILL_GROW(out->parts, out->capacity, out->count + 1, err));
        out->parts[out->count++] = next;
    }
    return MILL_OK;
}

void mill_template_free(mill_template *t)
{
    mill_free(t->text);
    mill_free(t->parts);
    *t = (mill_template){0};
}

size_t mill_template_uses(const mill_template *t, int kind)
{
    size_t uses = 0;
    for (size_t i = 0; i < t->count; i++)
        uses += t->parts[i].kind == kind;
    return uses;
}
