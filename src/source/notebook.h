// notebook.h: Jupyter notebooks (nbformat 2, 3 and 4) as scripts.
#ifndef MILL_SOURCE_NOTEBOOK_H
#define MILL_SOURCE_NOTEBOOK_H

#include <yyjson.h>

#include "source/source.h"

// True if the object has the shape of a notebook: cells, worksheets, or a format number.
bool mill_notebook_is(yyjson_val *root);

// Appends the notebook as one script: code cells as they are, markdown and raw cells as comments of the
// kernel's language, one blank line between cells. *problem says why it is no notebook (out is then
// unchanged), NULL otherwise. *language: by the metadata; Python where they do not tell.
mill_status mill_notebook_convert(yyjson_val *root, const mill_shape_options *options,
                                  mill_language_table *languages, mill_buf *out, mill_language_id *language,
                                  const char **problem, mill_error *err) MILL_MUST_CHECK;
// The parsed forms of data sets: lists of cells with their types side by side (jupyter-parsed), one pair of
// markdown and code a row.
bool mill_notebook_is_parsed(yyjson_val *object);
mill_status mill_notebook_convert_parsed(yyjson_val *object, const mill_shape_options *options,
                                         mill_language_table *languages, mill_buf *out,
                                         mill_language_id *language, mill_error *err) MILL_MUST_CHECK;

// Appends the code of one cell. Lines that only IPython reads (%magic, !command, help?) become comments, stay
// or go.
mill_status mill_notebook_code(const char *code, size_t bytes, mill_magics magics, mill_buf *out,
                               mill_error *err) MILL_MUST_CHECK;

// What begins a comment line in a language, without the blank behind it.
const char *mill_comment_prefix(const mill_language *language);
// Appends each line of text behind the prefix and a blank; empty lines get the prefix alone.
mill_status mill_append_comment(const char *text, size_t bytes, const char *prefix, mill_buf *out,
                                mill_error *err) MILL_MUST_CHECK;

#endif
