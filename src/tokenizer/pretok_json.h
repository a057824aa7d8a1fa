// pretok_json.h: how each pre-tokenizer is spelt in a tokenizer.json.
#ifndef MILL_TOKENIZER_PRETOK_JSON_H
#define MILL_TOKENIZER_PRETOK_JSON_H

// The patterns of the cl100k family; they differ in the digits a piece may have. Part of the file format.
#define MILL_PATTERN_HEAD "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define MILL_PATTERN_TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define MILL_PATTERN_CL100K MILL_PATTERN_HEAD "\\p{N}{1,3}" MILL_PATTERN_TAIL
#define MILL_PATTERN_QWEN2 MILL_PATTERN_HEAD "\\p{N}" MILL_PATTERN_TAIL

#endif
