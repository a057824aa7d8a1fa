// chat_template.c: the templates of conversations: known ones, compiled ones, and turns rendered by them.
#include <string.h>

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

typedef enum part_kind { PART_TEXT, PART_CONTROL, PART_CONTENT, PART_INSTRUCTION, PART_INPUT } part_kind;

typedef struct part {
    part_kind kind;
    const char *text; // of PART_TEXT and PART_CONTROL
    size_t bytes;
} part;

typedef struct compiled {
    char *text;
    part *parts;
    size_t count, capacity;
} compiled;

struct mill_chat_template {
    compiled templates[TEMPLATES];
    char *end;
    mill_chat_loss loss;
};

static const struct {
    const char *text;
    part_kind kind;
} holes[] = {{"{content}", PART_CONTENT}, {"{instruction}", PART_INSTRUCTION}, {"{input}", PART_INPUT}};

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

// What begins at `text`: a hole of this template, {end}, a control token (the longest, where one is the
// beginning of another), or one byte of plain text.
static part part_at(const mill_chat_template *chat, template_name name, const char *text,
                    const char *const *tokens)
{
    for (size_t i = 0; i < sizeof holes / sizeof holes[0]; i++) {
        const bool of_input = holes[i].kind != PART_CONTENT;
        if (begins_with(text, holes[i].text) && name != BEGIN && name != FINISH &&
            of_input == (name == INPUT))
            return (part){holes[i].kind, text, strlen(holes[i].text)};
    }
    if (begins_with(text, "{end}"))
        return (part){PART_CONTROL, chat->end, strlen("{end}")};
    part found = {PART_TEXT, text, 1};
    for (size_t i = 0; tokens[i] != NULL; i++)
        if (begins_with(text, tokens[i]) && (found.kind == PART_TEXT || strlen(tokens[i]) > found.bytes))
            found = (part){PART_CONTROL, text, strlen(tokens[i])};
    return found;
}

static mill_status compile(mill_chat_template *chat, template_name name, const char *text,
                           const char *const *tokens, mill_error *err)
{
    compiled *c = &chat->templates[name];
    c->text = mill_strdup(text);
    if (c->text == NULL)
        return mill_fail_nomem(err, "a template");
    const char *at = c->text;
    while (*at != '\0') {
        part next = part_at(chat, name, at, tokens);
        at += next.bytes;
        part *last = c->count != 0 ? &c->parts[c->count - 1] : NULL;
        if (next.kind == PART_TEXT && last != NULL && last->kind == PART_TEXT) {
            last->bytes++;
            continue;
        }
        if (next.text == chat->end)
            next.bytes = strlen(chat->end);
        MILL_TRY(MILL_GROW(c->parts, c->capacity, c->count + 1, err));
        c->parts[c->count++] = next;
    }
    return MILL_OK;
}

static const char *const key_names[TEMPLATES] = {"begin", "system", "user",       "assistant", "tool",
                                                 "input", "prompt", "completion", "finish"};

static mill_status check_hole(const mill_chat_template *chat, template_name name, part_kind kind,
                              const char *hole, mill_error *err)
{
    const compiled *c = &chat->templates[name];
    size_t found = 0;
    for (size_t i = 0; i < c->count; i++)
        found += c->parts[i].kind == kind;
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
            MILL_TRY(check_hole(chat, (template_name)name, PART_CONTENT, "{content}", err));
    MILL_TRY(check_hole(chat, INPUT, PART_INSTRUCTION, "{instruction}", err));
    return check_hole(chat, INPUT, PART_INPUT, "{input}", err);
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
    const char *const *tokens = mill_chat_tokens(options);
    for (int name = BEGIN; name < TEMPLATES; name++) {
        const bool own = given[name] != NULL && given[name][0] != '\0';
        MILL_TRY(compile(chat, (template_name)name, own ? given[name] : preset->text[name], tokens, err));
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
    for (size_t i = 0; i < TEMPLATES; i++) {
        mill_free(chat->templates[i].text);
        mill_free(chat->templates[i].parts);
    }
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

static mill_status put_part(renderer *r, const part *p, bool learned)
{
    return put(r, p->text, p->bytes,
               (mill_chat_piece){.control = p->kind == PART_CONTROL, .learned = learned});
}

// An instruction with its input, in the place of the user's content.
static mill_status put_instruction(renderer *r, const mill_turn *turn)
{
    const compiled *c = &r->chat->templates[INPUT];
    for (size_t i = 0; i < c->count; i++) {
        const part *p = &c->parts[i];
        if (p->kind == PART_INSTRUCTION)
            MILL_TRY(put(r, turn->text, turn->bytes, (mill_chat_piece){.role = MILL_CHAT_INSTRUCTION}));
        else if (p->kind == PART_INPUT)
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
    const compiled *c = &r->chat->templates[names[turn->role]];
    const bool learn = r->learn && mill_chat_is_answer(turn->role);
    for (size_t i = 0; i < c->count; i++) {
        const part *p = &c->parts[i];
        if (p->kind != PART_CONTENT) // the control token right behind an answer ends it
            MILL_TRY(put_part(
                r, p, learn && p->kind == PART_CONTROL && i > 0 && c->parts[i - 1].kind == PART_CONTENT));
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
    const compiled *c = &r->chat->templates[name];
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
