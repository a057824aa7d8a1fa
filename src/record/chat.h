// chat.h: what the text of a conversation is made of. A conversation (an instruction with its answer is one,
// too) is rendered by templates when it is read (source/chat_template.h): its text is what a model will see,
// control tokens spelled out. Its pieces tell which bytes of that text are control tokens, which were said by
// whom, and which are to be learned; no later stage has to search the text for delimiters, so nothing that a
// record says can pose as one.
#ifndef MILL_RECORD_CHAT_H
#define MILL_RECORD_CHAT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum mill_chat_role {
    MILL_CHAT_TEMPLATE, // the template's own text
    MILL_CHAT_SYSTEM,   // a turn of a conversation
    MILL_CHAT_USER,
    MILL_CHAT_ASSISTANT,
    MILL_CHAT_TOOL,
    MILL_CHAT_INSTRUCTION, // the parts of an instruction record
    MILL_CHAT_INPUT,
    MILL_CHAT_OUTPUT,
    MILL_CHAT_PROMPT, // the parts of a prompt with its completion
    MILL_CHAT_COMPLETION,
    MILL_CHAT_ROLE_COUNT
} mill_chat_role;

typedef struct mill_chat_piece { // the pieces of a text lie end to end and cover it
    uint32_t bytes;
    uint8_t role;     // mill_chat_role
    uint8_t control;  // 1: the text of one control token
    uint8_t learned;  // 1: its tokens are targets
    uint8_t reserved; // 0
} mill_chat_piece;

static inline bool mill_chat_is_answer(mill_chat_role role)
{
    return role == MILL_CHAT_ASSISTANT || role == MILL_CHAT_OUTPUT || role == MILL_CHAT_COMPLETION;
}

#endif
