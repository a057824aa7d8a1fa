// card.c: the data set card: what a finished directory holds, for people and for `datasets`.
#include "pipeline/card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/utf8.h"
#include "pipeline/finished.h"
#include "shard/container.h"

#define INPUTS_SHOWN 50
#define LANGUAGES_SHOWN 30

// Data as text of Markdown: all that could be markup is an entity, controls are shown as \xNN.
static mill_status append_data(mill_buf *out, const char *text, mill_error *err)
{
    size_t bytes = strlen(text);
    for (size_t i = 0; i < bytes;) {
        size_t length = mill_utf8_sequence((const uint8_t *)text + i, bytes - i), size = length != 0 ? length : 1;
        bool plain = length > 1 || strchr(" /.-+,:=()@_", text[i]) != NULL || (text[i] >= '0' && text[i] <= '9') ||
                     ((text[i] | 0x20) >= 'a' && (text[i] | 0x20) <= 'z');
        bool control = length == 0 || (uint8_t)text[i] < 0x20 || text[i] == 0x7f;
        if (plain || control)
            MILL_TRY(mill_append_escaped(out, text + i, size, false, err));
        else
            MILL_TRY(mill_buf_printf(out, err, "&#%u;", (unsigned)(uint8_t)text[i]));
        i += size;
    }
    return MILL_OK;
}

static mill_status append_count(mill_buf *out, uint64_t value, mill_error *err)
{
    return mill_append_grouped(out, value, 0, err);
}

// ---- what the directory holds, by command

typedef struct contents {
    const char *what, *path, *column; // path NULL: nothing that `datasets` could load
} contents;

static contents contents_of(const mill_run_state *run)
{
    switch (run->stages) {
    case MILL_STAGES_FILTER: return (contents){"records that passed the quality filters", "records/*.jsonl.zst", "content"};
    case MILL_STAGES_DEDUP:
        return (contents){"records without their exact and near duplicates", "records/*.jsonl.zst", "content"};
    case MILL_STAGES_TRAIN: return (contents){"a byte-level BPE tokenizer", NULL, NULL};
    case MILL_STAGES_ENCODE: return (contents){"rows of token ids, not packed yet", "rows/*.jsonl.zst", "input_ids"};
    case MILL_STAGES_ALL:
    case MILL_STAGES_PACK: break;
    }
    const mill_container *loadable = NULL; // the first that `datasets` reads
    for (size_t i = 0; loadable == NULL && i < mill_container_count; i++) {
        if ((run->formats >> i & 1) != 0 && mill_containers[i]->pattern != NULL)
            loadable = mill_containers[i];
    }
    return (contents){"packed samples of token ids",
                      loadable != NULL ? loadable->pattern : NULL, "input_ids"};
}

// The bounds that the hub knows.
static const char *size_category(uint64_t rows)
{
    static const struct {
        uint64_t below;
        const char *name;
    } sizes[] = {{1000, "n<1K"},         {10000, "1K<n<10K"},       {100000, "10K<n<100K"},   {1000000, "100K<n<1M"},
                 {10000000, "1M<n<10M"}, {100000000, "10M<n<100M"}, {1000000000, "100M<n<1B"}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (rows < sizes[i].below)
            return sizes[i].name;
    return "n>1B";
}

// An empty file pattern is an error to `datasets`, so a run that kept nothing names none.
static mill_status append_head(const contents *c, uint64_t rows, bool has_docs, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "---\ntask_categories:\n- text-generation\ntags:\n- code\n", err));
    MILL_TRY(mill_buf_printf(out, err, "size_categories:\n- %s\n", size_category(rows)));
    if (c->path != NULL && rows != 0)
        MILL_TRY(mill_buf_printf(
            out, err, "configs:\n- config_name: default\n  default: true\n  data_files:\n  - split: train\n    path: \"%s\"\n",
            c->path));
    if (c->path != NULL && rows != 0 && has_docs)
        MILL_TRY(mill_buf_append_text(
            out, "- config_name: docs\n  data_files:\n  - split: train\n    path: \"docs/*.jsonl.zst\"\n", err));
    return mill_buf_append_text(out, "---\n\n", err);
}

// ---- the text

static mill_status append_row(mill_buf *out, const char *name, uint64_t value, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "| ", err));
    MILL_TRY(append_data(out, name, err));
    MILL_TRY(mill_buf_append_text(out, " | ", err));
    MILL_TRY(append_count(out, value, err));
    return mill_buf_append_text(out, " |\n", err);
}

static mill_status append_funnel(const cJSON *metrics, mill_buf *out, mill_error *err)
{
    const cJSON *funnel = cJSON_GetObjectItemCaseSensitive(metrics, "funnel"), *reason;
    const cJSON *rejected = cJSON_GetObjectItemCaseSensitive(funnel, "rejected");
    const cJSON *duplicate = cJSON_GetObjectItemCaseSensitive(funnel, "duplicate");
    MILL_TRY(mill_buf_append_text(out, "\n## Where the records went\n\n| fate | records |\n| --- | ---: |\n", err));
    MILL_TRY(append_row(out, "read", mill_finished_number(funnel, "read"), err));
    cJSON_ArrayForEach(reason, rejected)
    {
        char name[96];
        snprintf(name, sizeof name, "rejected: %.60s", reason->string);
        MILL_TRY(append_row(out, name, mill_finished_number(rejected, reason->string), err));
    }
    MILL_TRY(append_row(out, "exact duplicates", mill_finished_number(duplicate, "exact"), err));
    MILL_TRY(append_row(out, "near duplicates", mill_finished_number(duplicate, "near"), err));
    MILL_TRY(append_row(out, "not selected by the mixture", mill_finished_number(funnel, "unselected"), err));
    MILL_TRY(append_row(out, "could not be read (quarantine.jsonl)", mill_finished_number(funnel, "quarantined"), err));
    return append_row(out, "kept", mill_finished_number(funnel, "kept"), err);
}

static int by_size(const void *a, const void *b)
{
    const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;
    uint64_t left = mill_finished_number(x, "tokens"), right = mill_finished_number(y, "tokens");
    if (left == right) {
        left = mill_finished_number(x, "documents");
        right = mill_finished_number(y, "documents");
    }
    return left != right ? (left > right ? -1 : 1) : strcmp(x->string, y->string);
}

static mill_status append_languages(const cJSON *metrics, mill_buf *out, mill_error *err)
{
    const cJSON *languages = cJSON_GetObjectItemCaseSensitive(metrics, "languages"), *item;
    size_t count = 0, size = (size_t)cJSON_GetArraySize(languages);
    if (size == 0)
        return MILL_OK;
    const cJSON **list = mill_realloc_array(NULL, size, sizeof *list);
    if (list == NULL)
        return mill_fail_nomem(err, "the data set card");
    cJSON_ArrayForEach(item, languages) list[count++] = item;
    qsort(list, count, sizeof *list, by_size);
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(
        mill_buf_append_text(out, "\n## Languages\n\n| language | documents | tokens |\n| --- | ---: | ---: |\n", err));
    for (size_t i = 0; i < count && i < LANGUAGES_SHOWN; i++) {
        MILL_TRY_GOTO(mill_buf_append_text(out, "| ", err));
        MILL_TRY_GOTO(append_data(out, list[i]->string, err));
        MILL_TRY_GOTO(mill_buf_append_text(out, " | ", err));
        MILL_TRY_GOTO(append_count(out, mill_finished_number(list[i], "documents"), err));
        MILL_TRY_GOTO(mill_buf_append_text(out, " | ", err));
        MILL_TRY_GOTO(append_count(out, mill_finished_number(list[i], "tokens"), err));
        MILL_TRY_GOTO(mill_buf_append_text(out, " |\n", err));
    }
    if (count > LANGUAGES_SHOWN)
        MILL_TRY_GOTO(mill_buf_printf(out, err, "\nand %zu more (metrics.json).\n", count - LANGUAGES_SHOWN));
cleanup:
    mill_free(list);
    return status;
}

static mill_status append_inputs(const mill_run_state *run, mill_buf *out, mill_error *err)
{
    MILL_TRY(
        mill_buf_append_text(out, "\n## Inputs\n\n| input | bytes | records | SHA-256 |\n| --- | ---: | ---: | --- |\n", err));
    for (size_t i = 0; i < run->input_count && i < INPUTS_SHOWN; i++) {
        const mill_input_facts *facts = &run->inputs[i];
        MILL_TRY(mill_buf_append_text(out, "| ", err));
        MILL_TRY(append_data(out, facts->name, err));
        MILL_TRY(mill_buf_append_text(out, " | ", err));
        MILL_TRY(append_count(out, facts->file_bytes, err));
        MILL_TRY(mill_buf_append_text(out, " | ", err));
        MILL_TRY(append_count(out, facts->account.read, err));
        MILL_TRY(mill_buf_printf(out, err, " | `%.16s` |\n", facts->sha256));
    }
    if (run->input_count > INPUTS_SHOWN)
        MILL_TRY(mill_buf_printf(out, err, "\nand %zu more (manifest.json).\n", run->input_count - INPUTS_SHOWN));
    return mill_buf_append_text(
        out,
        "\nThe data keeps the licences of its sources. `docs/`, where it is there, names file, record, repository, "
        "path and licence of every piece.\n",
        err);
}

// What the columns beside the ids mean, where the shards have them.
static mill_status append_columns(const mill_run_state *run, mill_buf *out, mill_error *err)
{
    static const char *const positions[] = {
        [MILL_POSITIONS_NONE] = "",
        [MILL_POSITIONS_RESTART] = "\n`position_ids` count from 0 in each row of a sample (`cu_seqlens`).\n",
        [MILL_POSITIONS_CONTINUE] = "\n`position_ids` count the tokens of a document from 0, whichever rows they lie in.\n"};
    const bool packs = run->stages == MILL_STAGES_ALL || run->stages == MILL_STAGES_PACK;
    if (packs)
        MILL_TRY(mill_buf_append_text(out, positions[run->recipe.positions], err));
    if ((!packs && run->stages != MILL_STAGES_ENCODE) || !mill_run_has_mask(run))
        return MILL_OK;
    return mill_buf_append_text(out,
                                "\n`loss_mask` has a number for each token: 1 if it is a target (answers of conversations, all of "
                                "a file), 0 if not. It is of the token itself: shift it with the labels.\n",
                                err);
}

static mill_status append_use(const mill_run_state *run, const contents *c, bool has_docs, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "\n## Use\n\n```python\n", err));
    if (c->path != NULL)
        MILL_TRY(
            mill_buf_append_text(out, "from datasets import load_dataset\ndata = load_dataset(DIR, split=\"train\")\n", err));
    if (c->path != NULL && has_docs)
        MILL_TRY(mill_buf_append_text(
            out, "docs = load_dataset(DIR, \"docs\", split=\"train\")  # where each piece came from\n", err));
    bool packs = run->stages == MILL_STAGES_ALL || run->stages == MILL_STAGES_PACK;
    for (size_t i = 0; packs && i < mill_container_count; i++) {
        if ((run->formats >> i & 1) != 0 && mill_containers[i]->use != NULL)
            MILL_TRY(mill_buf_append_text(out, mill_containers[i]->use, err));
    }
    if (run->stages != MILL_STAGES_FILTER && run->stages != MILL_STAGES_DEDUP)
        MILL_TRY(mill_buf_append_text(
            out, "from transformers import AutoTokenizer\ntokenizer = AutoTokenizer.from_pretrained(DIR + \"/tokenizer\")\n",
            err));
    return mill_buf_append_text(
        out,
        "```\n\n`sha256sum -c SHA256SUMS` and `shardmill verify DIR` check it; `manifest.json` holds the recipe, "
        "`metrics.json` the numbers.\n",
        err);
}

mill_status mill_card_append(const mill_run_state *run, const mill_buf *metrics_text, mill_buf *out, mill_error *err)
{
    static const char *const commands[] = {"run", "filter", "dedup", "train", "encode", "pack"};
    cJSON *metrics = NULL;
    const contents c = contents_of(run);
    MILL_TRY(mill_json_parse(metrics_text->data, metrics_text->bytes, NULL, &metrics, err));
    MILL_ASSERT(metrics != NULL);
    const cJSON *funnel = cJSON_GetObjectItemCaseSensitive(metrics, "funnel");
    uint64_t samples = mill_finished_number(metrics, "total_samples"), kept = mill_finished_number(funnel, "kept");
    bool packed = run->stages == MILL_STAGES_ALL || run->stages == MILL_STAGES_PACK;
    bool has_docs = run->stages == MILL_STAGES_ALL && samples != 0;
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(append_head(&c, packed ? samples : kept, has_docs, out, err));
    MILL_TRY_GOTO(mill_buf_printf(out, err, "# %c%s\n\nMade by `shardmill %s` %s", c.what[0] & ~0x20, c.what + 1,
                                  commands[run->stages], MILL_VERSION));
    MILL_TRY_GOTO(mill_buf_printf(out, err, " with seed %llu.\n", (unsigned long long)run->recipe.seed));
    if (packed) {
        MILL_TRY_GOTO(mill_buf_append_text(out, "\n| samples | tokens | tokens a sample |\n| ---: | ---: | ---: |\n| ", err));
        MILL_TRY_GOTO(append_count(out, samples, err));
        MILL_TRY_GOTO(mill_buf_append_text(out, " | ", err));
        MILL_TRY_GOTO(append_count(out, mill_finished_number(metrics, "total_tokens"), err));
        MILL_TRY_GOTO(mill_buf_printf(out, err, " | at most %llu |\n",
                                      (unsigned long long)run->recipe.pack.seq_len + run->recipe.pack.extra));
    }
    MILL_TRY_GOTO(append_use(run, &c, has_docs, out, err));
    MILL_TRY_GOTO(append_columns(run, out, err));
    MILL_TRY_GOTO(append_funnel(metrics, out, err));
    MILL_TRY_GOTO(append_languages(metrics, out, err));
    MILL_TRY_GOTO(append_inputs(run, out, err));
cleanup:
    cJSON_Delete(metrics);
    return status;
}
