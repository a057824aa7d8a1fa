// chat_read.c: the turns of a record, in the forms that data sets have, and what must be true of them.
#include <stdarg.h>
#include <stdio.h>

#include "source/source_internal.h"

static void refuse(mill_shape_problem *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void refuse(mill_shape_problem *problem, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(problem->detail, sizeof problem->detail, format, args);
    va_end(args);
    problem->reason = MILL_QUARANTINE_BAD_TURNS;
}

static const struct {
    const char *name;
    mill_chat_role role;
} roles[] = {
    {"system", MILL_CHAT_SYSTEM},     {"developer", MILL_CHAT_SYSTEM},    {"user", MILL_CHAT_USER},
    {"human", MILL_CHAT_USER},        {"assistant", MILL_CHAT_ASSISTANT}, {"gpt", MILL_CHAT_ASSISTANT},
    {"chatgpt", MILL_CHAT_ASSISTANT}, {"model", MILL_CHAT_ASSISTANT},     {"tool", MILL_CHAT_TOOL},
    {"function", MILL_CHAT_TOOL},     {"observation", MILL_CHAT_TOOL},    {"ipython", MILL_CHAT_TOOL}};

static mill_chat_role role_of(const char *name)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i].name, name) == 0)
            return roles[i].role;
    return MILL_CHAT_TEMPLATE;
}

static bool is_blank(const uint8_t *text, uint64_t bytes)
{
    uint64_t i = 0;
    while (i < bytes && (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')))
        i++;
    return i == bytes;
}

// ---- JSON -> turns

static mill_status add_turn(mill_parser *parser, mill_turn turn, mill_error *err)
{
    MILL_TRY(MILL_GROW(parser->turns, parser->turn_capacity, parser->turn_count + 1, err));
    parser->turns[parser->turn_count++] = turn;
    return MILL_OK;
}

// The text of a field that has to be a string.
static bool take_text(yyjson_val *value, const char *name, mill_turn *turn, mill_shape_problem *problem)
{
    if (!yyjson_is_str(value)) {
        refuse(problem, "%s %s%s", name, value == NULL ? "is missing" : "is of type ",
               value == NULL ? "" : yyjson_get_type_desc(value));
        return false;
    }
    turn->text = (const uint8_t *)yyjson_get_str(value);
    turn->bytes = yyjson_get_len(value);
    return true;
}

static mill_status read_pair(mill_parser *parser, yyjson_val *const *fields, mill_field question,
                             mill_field answer, mill_chat_role question_role, mill_chat_role answer_role,
                             mill_shape_problem *problem, mill_error *err)
{
    mill_turn turns[2] = {{.role = question_role}, {.role = answer_role}};
    if (!take_text(fields[question], mill_field_names[question], &turns[0], problem) ||
        !take_text(fields[answer], mill_field_names[answer], &turns[1], problem))
        return MILL_OK;
    yyjson_val *input = question == MILL_FIELD_INSTRUCTION ? fields[MILL_FIELD_INPUT] : NULL;
    if (input != NULL && !yyjson_is_str(input)) {
        refuse(problem, "input is of type %s", yyjson_get_type_desc(input));
        return MILL_OK;
    }
    turns[0].input = (const uint8_t *)yyjson_get_str(input);
    turns[0].input_bytes = yyjson_get_len(input);
    MILL_TRY(add_turn(parser, turns[0], err));
    return add_turn(parser, turns[1], err);
}

static mill_status read_message(mill_parser *parser, yyjson_val *message, size_t number,
                                mill_shape_problem *problem, mill_error *err)
{
    if (!yyjson_is_obj(message)) {
        refuse(problem, "turn %zu is of type %s", number, yyjson_get_type_desc(message));
        return MILL_OK;
    }
    yyjson_val *role = yyjson_obj_get(message, "role"), *content = yyjson_obj_get(message, "content");
    if (role == NULL)
        role = yyjson_obj_get(message, "from");
    if (content == NULL)
        content = yyjson_obj_get(message, "value");
    mill_turn turn = {.role = yyjson_is_str(role) ? role_of(yyjson_get_str(role)) : MILL_CHAT_TEMPLATE};
    char name[48];
    snprintf(name, sizeof name, "turn %zu: its content", number);
    if (!yyjson_is_str(role))
        refuse(problem, "turn %zu: its role %s%s", number, role == NULL ? "is missing" : "is of type ",
               role == NULL ? "" : yyjson_get_type_desc(role));
    else if (turn.role == MILL_CHAT_TEMPLATE)
        refuse(problem, "turn %zu has the unknown role \"%.40s\"; known are system, user, assistant, tool",
               number, yyjson_get_str(role));
    else if (take_text(content, name, &turn, problem))
        return add_turn(parser, turn, err);
    return MILL_OK;
}

static mill_status read_messages(mill_parser *parser, yyjson_val *messages, mill_shape_problem *problem,
                                 mill_error *err)
{
    if (!yyjson_is_arr(messages)) {
        refuse(problem, "the turns are of type %s, not a list", yyjson_get_type_desc(messages));
        return MILL_OK;
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(messages);
    for (size_t i = 1; problem->detail[0] == '\0' && yyjson_arr_iter_has_next(&iter); i++)
        MILL_TRY(read_message(parser, yyjson_arr_iter_next(&iter), i, problem, err));
    return MILL_OK;
}

bool mill_chat_is(yyjson_val *const fields[MILL_FIELDS_ALL])
{
    return fields[MILL_FIELD_MESSAGES] != NULL || fields[MILL_FIELD_INSTRUCTION] != NULL ||
           (fields[MILL_FIELD_PROMPT] != NULL && fields[MILL_FIELD_COMPLETION] != NULL);
}

mill_status mill_chat_read(mill_parser *parser, yyjson_val *const fields[MILL_FIELDS_ALL],
                           mill_shape_problem *problem, mill_error *err)
{
    parser->turn_count = 0;
    problem->detail[0] = '\0';
    if (fields[MILL_FIELD_MESSAGES] != NULL)
        return read_messages(parser, fields[MILL_FIELD_MESSAGES], problem, err);
    if (fields[MILL_FIELD_INSTRUCTION] != NULL)
        return read_pair(parser, fields, MILL_FIELD_INSTRUCTION, MILL_FIELD_OUTPUT, MILL_CHAT_INSTRUCTION,
                         MILL_CHAT_OUTPUT, problem, err);
    return read_pair(parser, fields, MILL_FIELD_PROMPT, MILL_FIELD_COMPLETION, MILL_CHAT_PROMPT,
                     MILL_CHAT_COMPLETION, problem, err);
}

// ---- turns -> record

static void check_turns(const mill_parser *parser, mill_shape_problem *problem)
{
    size_t answers = 0;
    for (size_t i = 0; i < parser->turn_count; i++) {
        const mill_turn *turn = &parser->turns[i];
        if (!mill_chat_is_answer(turn->role))
            continue;
        if (i == 0) {
            refuse(problem, "it begins with what the assistant says");
            return;
        }
        if (is_blank(turn->text, turn->bytes)) {
            refuse(problem, "turn %zu: the answer is empty", i + 1);
            return;
        }
        answers++;
    }
    if (answers == 0)
        refuse(problem, "none of its %zu turns is the assistant's", parser->turn_count);
}

mill_status mill_chat_record(mill_parser *parser, mill_record *record, mill_parse_counts *counts,
                             mill_shape_problem *problem, mill_error *err)
{
    mill_shape_changes changes = {0};
    problem->removed = false;
    for (size_t i = 0; problem->detail[0] == '\0' && i < parser->turn_count; i++) {
        mill_turn *turn = &parser->turns[i];
        mill_shape_turn(parser, &turn->text, &turn->bytes, &changes, problem);
        mill_shape_turn(parser, &turn->input, &turn->input_bytes, &changes, problem);
    }
    if (problem->detail[0] == '\0')
        check_turns(parser, problem);
    if (problem->detail[0] != '\0')
        return MILL_OK;
    counts->newlines += changes.newlines;
    counts->text_bom += changes.bom;
    counts->nul += changes.nul;
    const mill_source *source = parser->source;
    MILL_TRY(mill_chat_render(source->chat, parser->turns, parser->turn_count, &parser->chat, err));
    record->text = parser->chat.text.data;
    record->text_bytes = parser->chat.text.bytes;
    record->pieces = parser->chat.pieces;
    record->piece_count = (uint32_t)parser->chat.count;
    if (!source->options.type_given)
        record->type = MILL_TYPE_QA;
    if (source->options.removal != NULL)
        MILL_TRY(mill_removal_hit(source->options.removal, record->repo, record->repo_bytes, record->path,
                                  record->path_bytes, record->text, record->text_bytes, &parser->blob,
                                  &problem->removed, err));
    if (problem->removed)
        counts->rejected[MILL_REASON_REMOVED]++;
    return MILL_OK;
}
