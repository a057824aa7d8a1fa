// account.c: sums of records by fate.
#include "pipeline/account.h"

#include <stddef.h>
#include <string.h>

static const struct change { // what was altered in records on the way in
    const char *name;
    size_t offset;
} changes[] = {
    {"replaced_surrogates", offsetof(mill_account, replaced_surrogates)},
    {"replaced_bytes", offsetof(mill_account, replaced_bytes)},
    {"stripped_heads", offsetof(mill_account, stripped_heads)},
    {"stripped_bom", offsetof(mill_account, stripped_bom)},
    {"missing_stars", offsetof(mill_account, missing_stars)},
    {"further_records", offsetof(mill_account, further)},
    {"notebooks_to_scripts", offsetof(mill_account, notebooks)},
    {"pages_to_text", offsetof(mill_account, pages)},
    {"newlines", offsetof(mill_account, newlines)},
    {"stripped_text_bom", offsetof(mill_account, text_bom)},
    {"stripped_nul", offsetof(mill_account, nul)},
    {"converted_encodings", offsetof(mill_account, encodings)},
};
enum { CHANGE_COUNT = sizeof changes / sizeof changes[0] };

static uint64_t *change_at(mill_account *account, size_t i)
{
    return (uint64_t *)(void *)((char *)account + changes[i].offset);
}

mill_account mill_account_of_counts(const mill_parse_counts *counts)
{
    mill_account account = {.read = counts->read,
                            .quarantined = counts->quarantined,
                            .replaced_surrogates = counts->replaced_surrogates,
                            .replaced_bytes = counts->replaced_bytes,
                            .stripped_heads = counts->stripped_heads,
                            .stripped_bom = counts->stripped_bom,
                            .missing_stars = counts->missing_stars,
                            .further = counts->further,
                            .notebooks = counts->notebooks,
                            .pages = counts->pages,
                            .newlines = counts->newlines,
                            .text_bom = counts->text_bom,
                            .nul = counts->nul,
                            .encodings = counts->encodings};
    memcpy(account.by_reason, counts->rejected, sizeof account.by_reason);
    return account;
}

void mill_account_add(mill_account *to, const mill_account *from)
{
    to->read += from->read;
    to->quarantined += from->quarantined;
    for (size_t i = 0; i < MILL_REASON_COUNT; i++)
        to->by_reason[i] += from->by_reason[i];
    for (size_t i = 0; i < CHANGE_COUNT; i++)
        *change_at(to, i) += *change_at((mill_account *)(uintptr_t)from, i);
}

bool mill_account_adds_up(const mill_account *account)
{
    uint64_t sum = account->quarantined;
    for (size_t i = 0; i < MILL_REASON_COUNT; i++)
        sum += account->by_reason[i];
    return sum == account->read;
}

uint64_t mill_account_rejected(const mill_account *account)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MILL_REASON_COUNT; i++) {
        if (mill_reason_is_rejection((mill_reason)i))
            sum += account->by_reason[i];
    }
    return sum;
}

static bool add_count(cJSON *object, const char *name, uint64_t count)
{
    return count == 0 || cJSON_AddNumberToObject(object, name, (double)count) != NULL;
}

cJSON *mill_account_to_json(const mill_account *account)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *reasons = cJSON_AddObjectToObject(json, "reasons");
    cJSON *changed = cJSON_AddObjectToObject(json, "changed");
    bool good = reasons != NULL && changed != NULL &&
                cJSON_AddNumberToObject(json, "read", (double)account->read) != NULL &&
                cJSON_AddNumberToObject(json, "quarantined", (double)account->quarantined) != NULL;
    for (size_t i = 0; good && i < MILL_REASON_COUNT; i++)
        good = add_count(reasons, mill_reason_name((mill_reason)i), account->by_reason[i]);
    for (size_t i = 0; good && i < CHANGE_COUNT; i++) {
        uint64_t count;
        memcpy(&count, (const char *)account + changes[i].offset, sizeof count);
        good = add_count(changed, changes[i].name, count);
    }
    if (!good) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

mill_status mill_account_append_changes(const mill_account *account, mill_buf *out, mill_error *err)
{
    const char *comma = "";
    for (size_t i = 0; i < CHANGE_COUNT; i++) {
        uint64_t count;
        memcpy(&count, (const char *)account + changes[i].offset, sizeof count);
        if (count == 0)
            continue;
        MILL_TRY(mill_buf_printf(out, err, "%s\"%s\":%llu", comma, changes[i].name, (unsigned long long)count));
        comma = ",";
    }
    return MILL_OK;
}

static bool get_count(const cJSON *object, const char *name, uint64_t *count)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *count = 0;
    if (item == NULL)
        return true;
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0.0 && item->valuedouble <= 0x1p53))
        return false;
    *count = (uint64_t)item->valuedouble;
    return true;
}

bool mill_account_from_json(const cJSON *json, mill_account *account)
{
    *account = (mill_account){0};
    const cJSON *reasons = cJSON_GetObjectItemCaseSensitive(json, "reasons");
    const cJSON *changed = cJSON_GetObjectItemCaseSensitive(json, "changed");
    bool good = cJSON_IsObject(reasons) && get_count(json, "read", &account->read) &&
                get_count(json, "quarantined", &account->quarantined);
    for (size_t i = 0; good && i < MILL_REASON_COUNT; i++)
        good = get_count(reasons, mill_reason_name((mill_reason)i), &account->by_reason[i]);
    for (size_t i = 0; good && i < CHANGE_COUNT; i++) {
        uint64_t count = 0;
        good = get_count(changed, changes[i].name, &count);
        memcpy((char *)account + changes[i].offset, &count, sizeof count);
    }
    return good;
}

mill_status mill_account_append_funnel(const mill_account *a, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "\"funnel\":{\"read\":%llu,\"kept\":%llu,\"rejected\":{", (unsigned long long)a->read,
                             (unsigned long long)a->by_reason[MILL_KEPT]));
    bool first = true;
    for (size_t i = 0; i < MILL_REASON_COUNT; i++) {
        if (!mill_reason_is_rejection((mill_reason)i) || a->by_reason[i] == 0)
            continue;
        MILL_TRY(mill_buf_printf(out, err, "%s\"%s\":%llu", first ? "" : ",", mill_reason_name((mill_reason)i),
                                 (unsigned long long)a->by_reason[i]));
        first = false;
    }
    return mill_buf_printf(out, err, "},\"duplicate\":{\"exact\":%llu,\"near\":%llu},\"unselected\":%llu,\"quarantined\":%llu}",
                           (unsigned long long)a->by_reason[MILL_REASON_EXACT], (unsigned long long)a->by_reason[MILL_REASON_NEAR],
                           (unsigned long long)a->by_reason[MILL_REASON_UNSELECTED], (unsigned long long)a->quarantined);
}
