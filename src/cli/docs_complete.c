// docs_complete.c: completion scripts for bash and zsh, made of the command and option tables.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

// What may be typed as the value of an option: the words of "auto|cpu|cuda[:LIST]" up to a bracket, files or
// directories where a part names them, and several words with commas where a part is LIST.
typedef struct choices {
    char words[256]; // with blanks between
    bool files, directories, list;
} choices;

static bool is_word(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!islower((unsigned char)text[i]) && strchr("0123456789-.", text[i]) == NULL)
            return false;
    }
    return bytes != 0;
}

static choices choices_of(const mill_option *option)
{
    choices c = {0};
    size_t used = 0;
    for (const char *at = option->value; at != NULL && *at != '\0';) {
        size_t bytes = strcspn(at, "|"), bare = strcspn(at, "|[");
        if (is_word(at, bare) && used + bare + 2 < sizeof c.words)
            used += (size_t)snprintf(c.words + used, sizeof c.words - used, "%s%.*s", used != 0 ? " " : "", (int)bare, at);
        c.files = c.files || (bytes == 4 && strncmp(at, "FILE", 4) == 0);
        c.directories = c.directories || (bytes == 3 && strncmp(at, "DIR", 3) == 0);
        c.list = c.list || (bytes == 4 && strncmp(at, "LIST", 4) == 0);
        at += bytes + (at[bytes] == '|');
    }
    return c;
}

// ---- bash -----------------------------------------------------------------------------------------------------------------------

static void bash_option_names(const mill_option *options)
{
    for (; options->name != NULL; options++) {
        printf(" --%s", options->name);
        if (options->letter != 0)
            printf(" -%c", options->letter);
    }
}

static void bash_value_case(const mill_option *option)
{
    choices c = choices_of(option);
    printf("        --%s", option->name);
    if (option->letter != 0)
        printf("|-%c", option->letter);
    if (option->alias != NULL)
        printf("|--%s", option->alias);
    printf(") ");
    if (c.words[0] != '\0')
        printf("_shardmill_%s '%s'; ", c.list ? "list" : "words", c.words);
    if (c.words[0] != '\0' && c.files)
        printf("_shardmill_files; ");
    else if (c.directories)
        printf("compopt -o dirnames +o default 2>/dev/null; ");
    else if (!c.files)
        printf("compopt +o default 2>/dev/null; ");
    printf("return ;;\n");
}

static void bash_command(const mill_command *command)
{
    printf("    %s)\n        case $prev in\n", command->name);
    for (const mill_option *o = command->options; o->name != NULL; o++) {
        if (o->kind != MILL_OPT_FLAG)
            bash_value_case(o);
    }
    // A case without branches would be an error of some shells.
    printf("        *) ;;\n        esac\n        names='");
    bash_option_names(command->options);
    bash_option_names(mill_common_options);
    printf("' ;;\n");
}

// Where nothing is offered, bash completes file names by itself, which knows how to quote them.
void mill_print_bash(void)
{
    printf("# bash completion of shardmill. Made by shardmill help --bash: do not change by hand.\n"
           "_shardmill_words()\n{\n"
           "    local word\n"
           "    for word in $1; do [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$word\"); done\n}\n"
           "_shardmill_list()\n{\n"
           "    local word before=\n"
           "    [[ $cur == *,* ]] && before=${cur%%,*},\n"
           "    for word in $1; do [[ $before$word == \"$cur\"* ]] && COMPREPLY+=(\"$before$word\"); done\n"
           "    compopt -o nospace 2>/dev/null\n}\n"
           "_shardmill_files()\n{\n"
           "    local name\n"
           "    while IFS= read -r name; do COMPREPLY+=(\"$name\"); done < <(compgen -f -- \"$cur\")\n"
           "    compopt -o filenames 2>/dev/null\n}\n"
           "_shardmill()\n{\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} names commands\n"
           "    COMPREPLY=()\n"
           "    # --name=value comes as three words\n"
           "    if [[ $cur == = ]]; then\n        cur=\n"
           "    elif [[ $prev == = ]] && ((COMP_CWORD >= 2)); then\n        "
           "prev=${COMP_WORDS[COMP_CWORD-2]}\n    fi\n"
           "    commands='");
    for (const mill_command *c = mill_commands; c->name != NULL; c++)
        printf("%s%s", c != mill_commands ? " " : "", c->name);
    printf(
        "'\n    if ((COMP_CWORD == 1)); then\n        _shardmill_words \"$commands help --help --version\"\n"
        "        compopt +o default 2>/dev/null\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (const mill_command *c = mill_commands; c->name != NULL; c++)
        bash_command(c);
    printf("    help) _shardmill_words \"$commands\"; return ;;\n"
           "    *) return ;;\n    esac\n"
           "    if [[ $cur == -* ]]; then _shardmill_words \"$names\"; fi\n}\n"
           "complete -o default -F _shardmill shardmill\n");
}

// ---- zsh ------------------------------------------------------------------------------------------------------------------------

// Text inside a single-quoted specification of _arguments, where brackets and colons mean something.
static void zsh_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text) != NULL)
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_option(const mill_option *option)
{
    choices c = choices_of(option);
    const char *many =
        option->kind == MILL_OPT_REPEAT || option->kind == MILL_OPT_LIST || option->kind == MILL_OPT_WORDS ? "*" : "";
    for (int letter = option->letter != 0; letter >= 0; letter--) {
        printf("            '%s", many);
        if (option->letter != 0 && *many == '\0') // one of both is enough
            printf("(-%c --%s)", option->letter, option->name);
        if (letter)
            printf("-%c[", option->letter);
        else
            printf("--%s%s[", option->name, option->kind != MILL_OPT_FLAG ? "=" : "");
        zsh_text(option->help);
        putchar(']');
        if (option->value != NULL) {
            putchar(':');
            zsh_text(option->value);
            putchar(':');
            if (c.words[0] != '\0' && c.files) // the blank: without options that _alternative does not know
                printf(" _alternative \"words\\:word\\:(%s)\" \"files\\:file\\:_files\"", c.words);
            else if (c.list)
                printf("_sequence compadd - %s", c.words);
            else if (c.words[0] != '\0')
                printf("(%s)", c.words);
            else if (c.files)
                printf("_files");
            else if (c.directories)
                printf("_files -/");
        }
        printf("' \\\n");
    }
}

void mill_print_zsh(void)
{
    printf("#compdef shardmill\n# Made by shardmill help --zsh: do not change by hand.\n"
           "_shardmill() {\n    local -a commands\n    commands=(\n");
    for (const mill_command *c = mill_commands; c->name != NULL; c++) {
        printf("        '%s:", c->name);
        zsh_text(c->summary);
        printf("'\n");
    }
    printf("        'help:Show the help of a command'\n    )\n    if (( CURRENT == 2 )); then\n"
           "        if [[ $PREFIX == -* ]]; then compadd -- --help --version; else _describe command "
           "commands; fi\n"
           "        return\n    fi\n"
           "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n");
    for (const mill_command *c = mill_commands; c->name != NULL; c++) {
        printf("        %s)\n            _arguments \\\n", c->name);
        for (const mill_option *o = c->options; o->name != NULL; o++)
            zsh_option(o);
        for (const mill_option *o = mill_common_options; o->name != NULL; o++)
            zsh_option(o);
        printf("            '*:file:_files' ;;\n");
    }
    printf("        help) _describe command commands ;;\n    esac\n}\n_shardmill \"$@\"\n");
}
