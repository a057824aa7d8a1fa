// instruction.c: instruction records as text by the recipe's templates, or as the JSON that filter and dedup
// write out.
#include "source/source_internal.h"

static mill_status append_template(const char *text, const mill_instruction *r, mill_buf *out,
                                   mill_error *err)
{
    const struct {
        const char *name;
        const uint8_t *text;
        size_t bytes;
    } parts[] = {{"{instruction}", r->instruction, r->instruction_bytes},
                 {"{input}", r->input, r->input_bytes},
                 {"{output}", r->output, r->output_bytes}};
    while (*text != '\0') {
        size_t plain = strcspn(text, "{"), i = 0;
        MILL_TRY(mill_buf_append(out, text, plain, err));
        text += plain;
        for (; i < 3; i++)
            if (strncmp(text, parts[i].name, strlen(parts[i].name)) == 0)
                break;
        if (i < 3) {
            MILL_TRY(mill_buf_append(out, parts[i].text, parts[i].bytes, err));
            text += strlen(parts[i].name);
        } else if (*text != '\0') {
            MILL_TRY(mill_buf_append(out, text++, 1, err));
        }
    }
    return MILL_OK;
}

mill_status mill_instruction_append(const mill_qa_options *options, const mill_instruction *r, mill_buf *out,
                                    uint16_t *flags, mill_error *err)
{
    *flags = 0;
    if (options->template_plain != NULL && options->template_input != NULL)
        return append_template(r->input_bytes != 0 ? options->template_input : options->template_plain, r,
                               out, err);
    *flags = MILL_FLAG_INSTRUCTION;
    MILL_TRY(mill_buf_append_text(out, "{\"instruction\":", err));
    MILL_TRY(mill_buf_append_json(out, r->instruction, r->instruction_bytes, err));
    MILL_TRY(mill_buf_append_text(out, ",\"input\":", err));
    MILL_TRY(mill_buf_append_json(out, r->input, r->input_bytes, err));
    MILL_TRY(mill_buf_append_text(out, ",\"output\":", err));
    MILL_TRY(mill_buf_append_json(out, r->output, r->output_bytes, err));
    return mill_buf_append_text(out, "}", err);
}
