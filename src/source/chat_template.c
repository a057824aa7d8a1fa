// chat_template.c: the templates of conversations: known ones, compiled ones, and turns rendered by them.
#include <string.h>

#include "core/template.h"
#include "source/chat_template.h"

typedef enum template_name {
    BEGIN,
    SYSTEM,
    USER,
    ASSISTANT,
    TOOL,
    INPUT,
    PROMPT,
    COMPLETION,
    FINISH,
    TEMPLATES
} template_name;

typedef struct chat_preset {
    const char *name;
    const char *text[TEMPLATES];
    const char *const *tokens;
} chat_preset;

static const char *const no_tokens[] = {NULL};
static const char *const chatml_tokens[] = {"<|im_start|>", "<|im_end|>", NULL};
static const char *const llama3_tokens[] = {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                                            "<|eot_id|>", NULL};

#define LLAMA3(role) "<|start_header_id|>" role "<|end_header_id|>\n\n{content}<|eot_id|>"
#define CHATML(role) "<|im_start|>" role "\n{content}<|im_end|>\n"
static const chat_preset presets[] = {
    {"alpaca",
     {"", "{content}\n\n", "### Instruction:\n{content}\n\n", "### Response:\n{content}{end}",
      "### Tool:\n{content}\n\n", "{instruction}\n\n### Input:\n{input}", "{content}", "{content}{end}", ""},
     no_tokens},
    {"chatml",
     {"", CHATML("system"), CHATML("user"), CHATML("assistant"), CHATML("tool"), "{instruction}\n\n{input}",
      "{content}", "{content}{end}", ""},
     chatml_tokens},
    {"llama3",
     {"<|begin_of_text|>", LLAMA3("system"), LLAMA3("user"), LLAMA3("assistant"), LLAMA3("ipython"),
      "{instruction}\n\n{input}", "{content}", "{content}{end}", ""},
     llama3_tokens},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

static const chat_preset *find_preset(const char *name)
{
    for (size_t i = 0; i < PRESETS; i++)
        if (strcmp(presets[i].name, name != NULL ? name : "alpaca") == 0)
            return &presets[i];
    return NULL;
}

const char *const *mill_chat_tokens(const mill_chat_options *options)
{
    if (options->tokens != NULL && options->tokens[0] != NULL)
        return options->tokens;
    const chat_preset *preset = find_preset(options->preset);
    return preset != NULL ? preset->tokens : no_tokens;
}

// ---- compiled templates

struct mill_chat_template {
    mill_template templates[TEMPLATES];
    char *end;
    mill_chat_loss loss;
};

enum { HOLE_CONTENT = 0, HOLE_INSTRUCTION = 0, HOLE_INPUT = 1 };

static const char *const key_names[TEMPLATES] = {"begin", "system", "user",       "assistant", "tool",
                                                 "input", "prompt", "completion", "finish"};

static mill_status check_hole(const mill_chat_template *chat, template_name name, int kind, const char *hole,
                              mill_error *err)
{
    const size_t found = mill_template_uses(&chat->templates[name], kind);
    if (found == 1)
        return MILL_OK;
    return mill_fail(err, MILL_RECIPE,
                     "recipe key 'chat.%s': a template needs %s once, this one has it %zu times",
                     key_names[name], hole, found);
}

static mill_status check_holes(const mill_chat_template *chat, mill_error *err)
{
    for (int name = SYSTEM; name < FINISH; name++)
        if (name != INPUT)
            MILL_TRY(check_hole(chat, (template_name)name, HOLE_CONTENT, "{content}", err));
    MILL_TRY(check_hole(chat, INPUT, HOLE_INSTRUCTION, "{instruction}", err));
    return check_hole(chat, INPUT, HOLE_INPUT, "{input}", err);
}

static mill_status fill(mill_chat_template *chat, const mill_chat_options *options, const chat_preset *preset,
                        mill_error *err)
{
    const char *const given[TEMPLATES] = {options->begin,     options->system,     options->user,
                                          options->assistant, options->tool,       options->input,
                                          options->prompt,    options->completion, options->finish};
    chat->loss = options->loss;
    chat->end = mill_strdup(options->end_text != NULL ? options->end_text : "<|endoftext|>");
    if (chat->end == NULL)
        return mill_fail_nomem(err, "templates");
    const mill_template_names frame = {.tokens = mill_chat_tokens(options), .end = chat->end};
    mill_template_names turn = frame, input = frame;
    turn.holes[HOLE_CONTENT] = "{content}";
    input.holes[HOLE_INSTRUCTION] = "{instruction}";
    input.holes[HOLE_INPUT] = "{input}";
    for (int name = BEGIN; name < TEMPLATES; name++) {
        const bool own = given[name] != NULL && given[name][0] != '\0';
        const mill_template_names *names = name == BEGIN || name == FINISH ? &frame
                                           : name == INPUT                 ? &input
                                                                           : &turn;
        MILL_TRY(mill_template_compile(own ? given[name] : preset->text[name], names, &chat->templates[name],
                                       err));
    }
    return check_holes(chat, err);
}

mill_status mill_chat_template_open(const mill_chat_options *options, mill_chat_template **out,
                                    mill_error *err)
{
    *out = NULL;
    const chat_preset *preset = find_preset(options->preset);
    if (preset == NULL)
        return mill_fail(err, MILL_RECIPE,
                         "recipe key 'chat.preset': expected alpaca, chatml or llama3, got %.40s",
                         options->preset);
    mill_chat_template *chat = mill_alloc_zero(1, sizeof *chat);
    if (chat == NULL)
        return mill_fail_nomem(err, "templates");
    mill_status status = fill(chat, options, preset, err);
    if (status != MILL_OK) {
        mill_chat_template_close(chat);
        return status;
    }
    *out = chat;
    return MILL_OK;
}

void mill_chat_template_close(mill_chat_template *chat)
{
    if (chat == NULL)
        return;
    for (size_t i = 0; i < TEMPLATES; i++)
        mill_template_free(&chat->templates[i]);
    mill_free(chat->end);
    mill_free(chat);
}

// ---- rendering

void mill_chat_text_free(mill_chat_text *text)
{
    mill_buf_free(&text->text);
    mill_free(text->pieces);
    *text = (mill_chat_text){0};
}

typedef struct renderer {
    const mill_chat_template *chat;
    mill_chat_text *out;
    bool learn; // the answer of this turn is learned
    mill_error *err;
} renderer;

static mill_status put(renderer *r, const void *text, uint64_t bytes, mill_chat_piece piece)
{
    mill_chat_text *out = r->out;
    if (out->text.bytes + bytes > UINT32_MAX)
        return mill_fail_nomem(r->err, "a conversation of more than 4 GiB");
    piece.bytes = (uint32_t)bytes;
    piece.learned = piece.learned || r->chat->loss == MILL_CHAT_LOSS_ALL;
    MILL_TRY(MILL_GROW(out->pieces, out->capacity, out->count + 1, r->err));
    MILL_TRY(mill_buf_append(&out->text, text, bytes, r->err));
    out->pieces[out->count++] = piece;
    return MILL_OK;
}

static mill_status put_part(renderer *r, const mill_template_part *p, bool learned)
{
    return put(r, p->text, p->bytes,
               (mill_chat_piece){.control = p->kind == MILL_PART_CONTROL, .learned = learned});
}

// An instruction with its input, in the place of the user's content.
static mill_status put_instruction(renderer *r, const mill_turn *turn)
{
    const mill_template *c = &r->chat->templates[INPUT];
    for (size_t i = 0; i < c->count; i++) {
        const mill_template_part *p = &c->parts[i];
        if (p->kind == HOLE_INSTRUCTION)
            MILL_TRY(put(r, turn->text, turn->bytes, (mill_chat_piece){.role = MILL_CHAT_INSTRUCTION}));
        else if (p->kind == HOLE_INPUT)
            MILL_TRY(put(r, turn->input, turn->input_bytes, (mill_chat_piece){.role = MILL_CHAT_INPUT}));
        else
            MILL_TRY(put_part(r, p, false));
    }
    return MILL_OK;
}

static mill_status put_turn(renderer *r, const mill_turn *turn)
{
    static const template_name names[MILL_CHAT_ROLE_COUNT] = {
        [MILL_CHAT_SYSTEM] = SYSTEM,       [MILL_CHAT_USER] = USER,
        [MILL_CHAT_ASSISTANT] = ASSISTANT, [MILL_CHAT_TOOL] = TOOL,
        [MILL_CHAT_INSTRUCTION] = USER,    [MILL_CHAT_OUTPUT] = ASSISTANT,
        [MILL_CHAT_PROMPT] = PROMPT,       [MILL_CHAT_COMPLETION] = COMPLETION};
    MILL_ASSERT(turn->role < MILL_CHAT_ROLE_COUNT && names[turn->role] != BEGIN);
    const mill_template *c = &r->chat->templates[names[turn->role]];
    const bool learn = r->learn && mill_chat_is_answer(turn->role);
    for (size_t i = 0; i < c->count; i++) {
        const mill_template_part *p = &c->parts[i];
        if (p->kind != HOLE_CONTENT) // the control token right behind an answer ends it
            MILL_TRY(put_part(r, p,
                              learn && p->kind == MILL_PART_CONTROL && i > 0 &&
                                  c->parts[i - 1].kind == HOLE_CONTENT));
        else if (turn->input_bytes != 0)
            MILL_TRY(put_instruction(r, turn));
        else
            MILL_TRY(put(r, turn->text, turn->bytes,
                         (mill_chat_piece){.role = (uint8_t)turn->role, .learned = learn}));
    }
    return MILL_OK;
}

static mill_status put_frame(renderer *r, template_name name)
{
    const mill_template *c = &r->chat->templates[name];
    for (size_t i = 0; i < c->count; i++)
        MILL_TRY(put_part(r, &c->parts[i], false));
    return MILL_OK;
}

mill_status mill_chat_render(const mill_chat_template *chat, const mill_turn *turns, size_t count,
                             mill_chat_text *out, mill_error *err)
{
    renderer r = {.chat = chat, .out = out, .err = err};
    size_t last = count;
    for (size_t i = 0; i < count; i++)
        last = mill_chat_is_answer(turns[i].role) ? i : last;
    mill_buf_clear(&out->text);
    out->count = 0;
    MILL_TRY(put_frame(&r, BEGIN));
    for (size_t i = 0; i < count; i++) {
        r.learn = chat->loss != MILL_CHAT_LOSS_LAST || i == last;
        MILL_TRY(put_turn(&r, &turns[i]));
    }
    return put_frame(&r, FINISH);
}
