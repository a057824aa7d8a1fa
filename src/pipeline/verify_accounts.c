// verify_accounts.c: every record and every token is accounted for, input by input and in total, and
// metrics.json tells the same.
#include <string.h>

#include "core/json.h"
#include "pipeline/account.h"
#include "pipeline/verify_internal.h"

static mill_status sum_inputs(const mill_finished *f, mill_account *sum, mill_error *err)
{
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(f->manifest, "inputs"), *input;
    *sum = (mill_account){0};
    if (!cJSON_IsArray(inputs))
        return mill_fail(err, MILL_VERIFY, "%s/manifest.json: has no list of inputs", f->path);
    cJSON_ArrayForEach(input, inputs)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(input, "name");
        mill_account account;
        if (!mill_account_from_json(cJSON_GetObjectItemCaseSensitive(input, "records"), &account) ||
            !mill_account_adds_up(&account))
            return mill_fail(
                err, MILL_VERIFY, "%s/manifest.json: the records of input %s do not add up: %llu were read",
                f->path, cJSON_IsString(name) ? name->valuestring : "?", (unsigned long long)account.read);
        mill_account_add(sum, &account);
    }
    return MILL_OK;
}

// One figure of metrics.json against the manifest's.
static mill_status expect(const mill_finished *f, const cJSON *object, const char *name, uint64_t expected,
                          mill_error *err)
{
    uint64_t found;
    if (!mill_json_get_u64(object, name, &found))
        return mill_fail(err, MILL_VERIFY, "%s/metrics.json: has no figure %s", f->path, name);
    if (found != expected)
        return mill_fail(err, MILL_VERIFY, "%s/metrics.json: %s is %llu, by the manifest it is %llu", f->path,
                         name, (unsigned long long)found, (unsigned long long)expected);
    return MILL_OK;
}

static mill_status check_funnel(const mill_finished *f, const cJSON *metrics, const mill_account *a,
                                mill_error *err)
{
    const cJSON *funnel = cJSON_GetObjectItemCaseSensitive(metrics, "funnel");
    const cJSON *rejected = cJSON_GetObjectItemCaseSensitive(funnel, "rejected");
    const cJSON *duplicate = cJSON_GetObjectItemCaseSensitive(funnel, "duplicate");
    int reasons = 0;
    MILL_TRY(expect(f, funnel, "read", a->read, err));
    MILL_TRY(expect(f, funnel, "kept", a->by_reason[MILL_KEPT], err));
    MILL_TRY(expect(f, duplicate, "exact", a->by_reason[MILL_REASON_EXACT], err));
    MILL_TRY(expect(f, duplicate, "near", a->by_reason[MILL_REASON_NEAR], err));
    MILL_TRY(expect(f, funnel, "unselected", a->by_reason[MILL_REASON_UNSELECTED], err));
    MILL_TRY(expect(f, funnel, "quarantined", a->quarantined, err));
    for (size_t i = 0; i < MILL_REASON_COUNT; i++) {
        if (!mill_reason_is_rejection((mill_reason)i) || a->by_reason[i] == 0)
            continue;
        MILL_TRY(expect(f, rejected, mill_reason_name((mill_reason)i), a->by_reason[i], err));
        reasons++;
    }
    if (cJSON_GetArraySize(rejected) != reasons)
        return mill_fail(err, MILL_VERIFY,
                         "%s/metrics.json: tells of rejections that the manifest does not know", f->path);
    return MILL_OK;
}

// Tokens made = tokens in samples + tokens left out, each kind declared.
static mill_status check_tokens(const mill_finished *f, const cJSON *metrics, mill_error *err)
{
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(f->manifest, "totals");
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(metrics, "tokens");
    const uint64_t dropped = mill_finished_number(tokens, "dropped_short_rows") +
                             mill_finished_number(tokens, "dropped_by_packing");
    const uint64_t packed = mill_finished_number(totals, "tokens");
    MILL_TRY(expect(f, metrics, "total_samples", mill_finished_number(totals, "samples"), err));
    MILL_TRY(expect(f, metrics, "total_tokens", packed, err));
    MILL_TRY(expect(f, tokens, "in_samples", packed, err));
    MILL_TRY(expect(f, tokens, "encoded", mill_finished_number(totals, "encoded_tokens"), err));
    if (dropped != mill_finished_number(totals, "dropped_tokens"))
        return mill_fail(err, MILL_VERIFY, "%s/metrics.json: %llu tokens dropped, by the manifest it is %llu",
                         f->path, (unsigned long long)dropped,
                         (unsigned long long)mill_finished_number(totals, "dropped_tokens"));
    if (mill_finished_number(totals, "samples") == 0)
        return MILL_OK;
    uint64_t made = mill_finished_number(tokens, "encoded") +
                    mill_finished_number(tokens, "repeated_epochs") +
                    mill_finished_number(tokens, "repeated_borders");
    uint64_t found = packed + dropped + mill_finished_number(tokens, "unselected");
    if (made != found)
        return mill_fail(err, MILL_VERIFY,
                         "%s/metrics.json: %llu tokens were made but %llu are accounted for", f->path,
                         (unsigned long long)made, (unsigned long long)found);
    return MILL_OK;
}

mill_status mill_verify_accounts(const mill_finished *f, mill_error *err)
{
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(f->manifest, "totals");
    mill_account sum, total;
    MILL_TRY(sum_inputs(f, &sum, err));
    if (!mill_account_from_json(cJSON_GetObjectItemCaseSensitive(totals, "records"), &total) ||
        !mill_account_adds_up(&total) || memcmp(&sum, &total, sizeof sum) != 0)
        return mill_fail(err, MILL_VERIFY,
                         "%s/manifest.json: the records of the inputs do not sum up to the totals", f->path);
    mill_buf text = {0};
    cJSON *metrics = NULL;
    mill_status status = mill_finished_read(f, "metrics.json", &text, err);
    if (status == MILL_OK)
        status = mill_json_parse(text.data, text.bytes, NULL, &metrics, err);
    if (status == MILL_OK && metrics == NULL)
        status = mill_fail(err, MILL_VERIFY, "%s/metrics.json: is no JSON", f->path);
    if (status == MILL_OK)
        status = check_funnel(f, metrics, &total, err);
    if (status == MILL_OK)
        status = check_tokens(f, metrics, err);
    cJSON_Delete(metrics);
    mill_buf_free(&text);
    return status;
}
