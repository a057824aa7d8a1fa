// nfc.h: normalization form C as the tokenizers package computes it.
#ifndef MILL_TOKENIZER_NFC_H
#define MILL_TOKENIZER_NFC_H

#include "core/alloc.h"

// Appends the normalized form of valid UTF-8 text. The package's tables are older than Unicode 15: the marks that it does not
// know are left where they stand.
mill_status mill_nfc(const uint8_t *text, size_t bytes, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
