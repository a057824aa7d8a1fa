// docs.c: lines of the docs sidecar.
#include "shard/docs.h"

static mill_status append_text_field(mill_buf *out, const char *key, const char *text, size_t bytes, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, key, err));
    return mill_buf_append_json(out, text, bytes, err);
}

static mill_status append_number_field(mill_buf *out, const char *key, uint64_t value, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, key, err));
    return mill_buf_append_u64(out, value, err);
}

static mill_status append_line(const mill_doc_line *line, mill_buf *out, mill_error *err)
{
    MILL_TRY(append_number_field(out, "{\"sample\":", line->sample, err));
    MILL_TRY(append_number_field(out, ",\"begin\":", line->begin, err));
    MILL_TRY(append_number_field(out, ",\"tokens\":", line->tokens, err));
    MILL_TRY(append_text_field(out, ",\"file\":", line->file, line->file_bytes, err));
    MILL_TRY(append_number_field(out, ",\"record\":", line->record, err));
    MILL_TRY(append_text_field(out, ",\"repo\":", line->repo, line->repo_bytes, err));
    MILL_TRY(append_text_field(out, ",\"path\":", line->path, line->path_bytes, err));
    MILL_TRY(append_text_field(out, ",\"licence\":", line->licence, line->licence_bytes, err));
    MILL_TRY(append_text_field(out, ",\"language\":", line->language, line->language_bytes, err));
    MILL_TRY(append_number_field(out, ",\"piece\":", line->piece, err));
    MILL_TRY(append_number_field(out, ",\"text_begin\":", line->text_begin, err));
    MILL_TRY(append_number_field(out, ",\"text_end\":", line->text_end, err));
    MILL_TRY(mill_buf_append_text(out, ",\"mode\":\"", err));
    MILL_TRY(mill_buf_append_text(out, line->mode, err));
    MILL_TRY(append_number_field(out, "\",\"cut_begin\":", line->cut_begin, err));
    MILL_TRY(append_number_field(out, ",\"cut_end\":", line->cut_end, err));
    MILL_TRY(append_number_field(out, ",\"row_begin\":", line->row_begin, err));
    if (line->doc_begin != MILL_NO_PLACE)
        MILL_TRY(append_number_field(out, ",\"doc_begin\":", line->doc_begin, err));
    return mill_buf_append_text(out, line->last ? ",\"last\":true}\n" : ",\"last\":false}\n", err);
}

mill_status mill_docs_append(const mill_doc_line *line, mill_buf *out, mill_error *err)
{
    size_t before = out->bytes;
    mill_status status = append_line(line, out, err);
    if (status != MILL_OK)
        out->bytes = before;
    return status;
}
