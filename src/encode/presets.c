// presets.c: the names that published models give their control tokens, so that a tokenizer trained here drops into their tools.
#include <string.h>

#include "encode/encode.h"

static const mill_token_preset presets[] = {
    {.name = "guide", .fim_prefix = "<|fim_prefix|>", .fim_middle = "<|fim_middle|>", .fim_suffix = "<|fim_suffix|>",
     .end = "<|endoftext|>"},
    {.name = "codegemma", .fim_prefix = "<|fim_prefix|>", .fim_middle = "<|fim_middle|>", .fim_suffix = "<|fim_suffix|>",
     .end = "<eos>"},
    {.name = "starcoder", .fim_prefix = "<fim_prefix>", .fim_middle = "<fim_middle>", .fim_suffix = "<fim_suffix>",
     .fim_pad = "<fim_pad>", .end = "<|endoftext|>"},
    {.name = "qwen", .fim_prefix = "<|fim_prefix|>", .fim_middle = "<|fim_middle|>", .fim_suffix = "<|fim_suffix|>",
     .fim_pad = "<|fim_pad|>", .end = "<|endoftext|>"},
    // DeepSeek's bars are U+FF5C and its low lines U+2581: not the ASCII ones. Its "hole" stands where others put the suffix
    // token, its "end" where the middle begins.
    {.name = "deepseek", .fim_prefix = "<\xef\xbd\x9c" "fim\xe2\x96\x81" "begin\xef\xbd\x9c>",
     .fim_middle = "<\xef\xbd\x9c" "fim\xe2\x96\x81" "end\xef\xbd\x9c>",
     .fim_suffix = "<\xef\xbd\x9c" "fim\xe2\x96\x81" "hole\xef\xbd\x9c>",
     .end = "<\xef\xbd\x9c" "end\xe2\x96\x81" "of\xe2\x96\x81" "sentence\xef\xbd\x9c>"},
};

const mill_token_preset *mill_token_preset_find(const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    }
    return NULL;
}
