// chat_template.h: conversations: what the recipe says about their templates, and how turns become a text
// with pieces (record/chat.h).
//
// Known forms of a record (chat_read.c):
//   {"instruction", "input", "output"}            input may be absent or empty
//   {"messages": [{"role", "content"}, ..]}       also under "conversations", also {"from", "value"}
//   (ShareGPT)
//   {"prompt", "completion"}
// A template is text with holes: {content} in that of a turn, {instruction} and {input} in that of an
// instruction with input, {end} (the tokenizer's end-of-text) in all. The names of control tokens in a
// template stand for these tokens. What a record says is put into the holes as it is and is never looked
// through.
#ifndef MILL_SOURCE_CHAT_TEMPLATE_H
#define MILL_SOURCE_CHAT_TEMPLATE_H

#include "core/alloc.h"
#include "record/chat.h"

typedef enum mill_chat_loss {
    MILL_CHAT_LOSS_ANSWERS, // what the assistant says, with the control token right behind it
    MILL_CHAT_LOSS_LAST,    // of these the last one
    MILL_CHAT_LOSS_ALL      // everything
} mill_chat_loss;

#define MILL_CHAT_TOKENS_MAX 64
typedef struct mill_chat_options { // strings are borrowed until mill_chat_template_open returns
    const char *preset;            // "alpaca", "chatml", "llama3"; NULL: alpaca
    // templates; NULL or "": the preset's
    const char *begin, *system, *user, *assistant, *tool, *input, *prompt, *completion, *finish;
    const char *const *tokens; // names of control tokens, NULL-terminated; NULL or empty: the preset's
    const char *end_text;      // what {end} stands for; NULL: <|endoftext|>
    mill_chat_loss loss;
} mill_chat_options;

typedef struct mill_turn {
    mill_chat_role role; // one that says something; INPUT stands in the turn of its INSTRUCTION
    const uint8_t *text, *input;
    uint64_t bytes, input_bytes; // input_bytes 0: there is none
} mill_turn;

typedef struct mill_chat_text { // a rendered conversation; zero-initialised is empty
    mill_buf text;
    mill_chat_piece *pieces;
    size_t count, capacity;
} mill_chat_text;
void mill_chat_text_free(mill_chat_text *text);

typedef struct mill_chat_template mill_chat_template; // does not change after open; threads may share it
// MILL_RECIPE names the key whose template lacks a hole, has one twice, or has none to fill.
mill_status mill_chat_template_open(const mill_chat_options *options, mill_chat_template **out,
                                    mill_error *err) MILL_MUST_CHECK;
void mill_chat_template_close(mill_chat_template *chat); // NULL is fine
// The control tokens that templates put in, {end} aside: of the options or of their preset. NULL-terminated,
// valid as long as these.
const char *const *mill_chat_tokens(const mill_chat_options *options);

// Replaces *out. The turns hold valid UTF-8, together less than 4 GiB.
mill_status mill_chat_render(const mill_chat_template *chat, const mill_turn *turns, size_t count,
                             mill_chat_text *out, mill_error *err) MILL_MUST_CHECK;

#endif
