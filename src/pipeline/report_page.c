// report_page.c: the sections of the report page. A section whose data the run does not have is left out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/report.h"

#define REASONS_MAX 64

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static double real_of(const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0.0;
}

static const char *string_of(const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static double share(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

static void begin(mill_page *page, const char *id, const char *title, const char *note)
{
    mill_page_print(page, "<section id=\"%s\"><h2>%s</h2><p class=\"note\">%s</p>", id, title, note);
}

static void end(mill_page *page)
{
    mill_page_text(page, "</section>\n");
}

// A bar of a table cell that begins at `from` and is `part` of the whole.
static void cell_bar(mill_page *page, const char *class, uint64_t from, uint64_t part, uint64_t whole)
{
    double scale = whole != 0 ? 1000.0 / (double)whole : 0.0, wide = (double)part * scale;
    mill_page_print(page,
                    "<td class=\"bar\"><svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
                    "<rect class=\"%s\" x=\"%.1f\" width=\"%.1f\" height=\"10\"/></svg></td>",
                    class, (double)from * scale, part != 0 && wide < 3.0 ? 3.0 : wide);
}

static void cell_number(mill_page *page, uint64_t value, const char *metric)
{
    mill_page_text(page, "<td class=\"n\">");
    mill_page_number(page, value, metric);
    mill_page_text(page, "</td>");
}

static void cell_real(mill_page *page, double value, int decimals, const char *unit)
{
    mill_page_print(page, "<td class=\"n\"><data value=\"%.6f\">%.*f%s</data></td>", value, decimals, value, unit);
}

// ---- head

static void card(mill_page *page, const char *name, uint64_t value, const char *metric)
{
    mill_page_text(page, "<div><b>");
    mill_page_number(page, value, metric);
    mill_page_print(page, "</b><span>%s</span></div>", name);
}

static void rate_card(mill_page *page, const char *name, const cJSON *object, const char *key, const char *metric)
{
    double rate = real_of(object, key);
    mill_page_print(page, "<div><b><data value=\"%.6f\" data-metric=\"%s\">%.2f&#8239;%%</data></b><span>%s</span></div>", rate,
                    metric, 100.0 * rate, name);
}

static void show_head(mill_page *page, const mill_report *r)
{
    const cJSON *manifest = r->finished->manifest, *m = r->metrics, *funnel = member(m, "funnel");
    const char *command = string_of(manifest, "command");
    mill_page_text(page, "<header><h1>shardmill ");
    mill_page_string(page, command);
    mill_page_text(page, "</h1><p>");
    int inputs = cJSON_GetArraySize(member(manifest, "inputs"));
    mill_page_print(page, "%d input%s, seed %llu, version ", inputs, inputs == 1 ? "" : "s",
                    (unsigned long long)mill_finished_number(member(manifest, "recipe"), "seed"));
    mill_page_string(page, string_of(manifest, "version"));
    mill_page_text(page,
                   ". All numbers are those of metrics.json and of the run&#39;s own files.</p></header><div class=\"cards\">");
    card(page, "records read", mill_finished_number(funnel, "read"), "funnel.read");
    card(page, "records kept", mill_finished_number(funnel, "kept"), "funnel.kept");
    if (mill_finished_number(m, "total_samples") != 0) {
        card(page, "tokens", mill_finished_number(m, "total_tokens"), "total_tokens");
        card(page, "samples", mill_finished_number(m, "total_samples"), "total_samples");
        rate_card(page, "of the samples&#39; room is filled", member(m, "tokens"), "packing_efficiency",
                  "tokens.packing_efficiency");
    }
    rate_card(page, "passed the filters", m, "filter_pass_rate", "filter_pass_rate");
    rate_card(page, "of those were duplicates", m, "deduplication_rate", "deduplication_rate");
    if (r->has_docs)
        rate_card(page, "of the documents became FIM", m, "fim_transform_rate", "fim_transform_rate");
    mill_page_text(page, "</div>\n");
}

// ---- the flow of records

static const char *meaning(const char *reason)
{
    static const struct {
        const char *name, *text;
    } known[] = {{"language", "not one of the wanted languages"},
                 {"licence", "licence not allowed"},
                 {"min_chars", "too short"},
                 {"max_chars", "too long"},
                 {"min_lines", "too few lines"},
                 {"line_length", "lines too long on average"},
                 {"alnum_ratio", "too few letters and digits"},
                 {"comment_ratio", "mostly comments"},
                 {"autogen", "says that it is generated"},
                 {"test", "a test file that the draw did not keep"},
                 {"stars", "few stars, and the draw did not keep it"},
                 {"syntax", "does not parse"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, reason) == 0)
            return known[i].text;
    return "";
}

typedef struct loss {
    const char *name, *text, *class;
    char metric[96];
    uint64_t records;
} loss;

static void add_loss(loss *losses, size_t *count, const char *name, const char *text, const char *class, const char *metric,
                     uint64_t records)
{
    if (records == 0 || *count == REASONS_MAX)
        return;
    losses[*count] = (loss){.name = name, .text = text, .class = class, .records = records};
    snprintf(losses[*count].metric, sizeof losses[*count].metric, "funnel.%s", metric);
    ++*count;
}

static size_t list_losses(const cJSON *funnel, loss losses[REASONS_MAX])
{
    const cJSON *rejected = member(funnel, "rejected"), *duplicate = member(funnel, "duplicate"), *reason;
    size_t count = 0;
    add_loss(losses, &count, "quarantined", "could not be read; quarantine.jsonl tells why", "c-bad", "quarantined",
             mill_finished_number(funnel, "quarantined"));
    cJSON_ArrayForEach(reason, rejected)
    {
        char metric[80];
        const char *name = reason->string != NULL ? reason->string : "";
        snprintf(metric, sizeof metric, "rejected.%.60s", name);
        add_loss(losses, &count, name, meaning(name), "c-filter", metric, mill_finished_number(rejected, name));
    }
    add_loss(losses, &count, "exact duplicate", "the same text as another record", "c-exact", "duplicate.exact",
             mill_finished_number(duplicate, "exact"));
    add_loss(losses, &count, "near duplicate", "nearly the same text", "c-near", "duplicate.near",
             mill_finished_number(duplicate, "near"));
    add_loss(losses, &count, "unselected", "the mixture had enough of its kind", "c-rest", "unselected",
             mill_finished_number(funnel, "unselected"));
    return count;
}

static void show_flow(mill_page *page, const cJSON *funnel)
{
    const cJSON *reason, *duplicate = member(funnel, "duplicate");
    uint64_t filtered = 0, read = mill_finished_number(funnel, "read"), kept = mill_finished_number(funnel, "kept");
    cJSON_ArrayForEach(reason,
                       member(funnel, "rejected")) if (strcmp(reason->string != NULL ? reason->string : "", "syntax") != 0)
        filtered += mill_finished_number(member(funnel, "rejected"), reason->string);
    const mill_bar all[] = {{"unreadable", mill_finished_number(funnel, "quarantined"), "c-bad"},
                            {"filters", filtered, "c-filter"},
                            {"syntax", mill_finished_number(member(funnel, "rejected"), "syntax"), "c-filter"},
                            {"exact duplicates", mill_finished_number(duplicate, "exact"), "c-exact"},
                            {"near duplicates", mill_finished_number(duplicate, "near"), "c-near"},
                            {"unselected", mill_finished_number(funnel, "unselected"), "c-rest"}};
    mill_bar bars[sizeof all / sizeof all[0]];
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].value != 0)
            bars[count++] = all[i];
    mill_page_flow(page, read, bars, count, kept);
}

static void show_funnel(mill_page *page, const mill_report *r)
{
    const cJSON *funnel = member(r->metrics, "funnel");
    loss losses[REASONS_MAX];
    size_t count = list_losses(funnel, losses);
    uint64_t read = mill_finished_number(funnel, "read"), left = read, kept = mill_finished_number(funnel, "kept");
    begin(page, "flow", "Where the records went", "Every record that was read has one fate; the fates add up.");
    show_flow(page, funnel);
    mill_page_text(page, "<h3>Every reason</h3><div class=\"wide\"><table><thead><tr><th>reason</th><th>meaning</th>"
                         "<th class=\"n\">records</th><th class=\"n\">of read</th><th></th></tr></thead><tbody>");
    for (size_t i = 0; i < count; i++) {
        left -= losses[i].records < left ? losses[i].records : left;
        mill_page_text(page, "<tr><td>");
        mill_page_string(page, losses[i].name);
        mill_page_text(page, "</td><td class=\"dim\">");
        mill_page_string(page, losses[i].text);
        mill_page_text(page, "</td>");
        cell_number(page, losses[i].records, losses[i].metric);
        cell_real(page, share(losses[i].records, read), 2, "&#8239;%");
        cell_bar(page, losses[i].class, left, losses[i].records, read);
        mill_page_text(page, "</tr>");
    }
    mill_page_text(page, "<tr><td><b>kept</b></td><td class=\"dim\">in the output</td>");
    cell_number(page, kept, "funnel.kept");
    cell_real(page, share(kept, read), 2, "&#8239;%");
    cell_bar(page, "c-kept", 0, kept, read);
    mill_page_text(page, "</tr></tbody></table></div>");
    end(page);
}

// ---- languages

typedef struct language_row {
    const char *name;
    uint64_t documents, tokens;
    const mill_report_group *pieces; // NULL: the run has no docs/
} language_row;

static int by_tokens(const void *a, const void *b)
{
    const language_row *x = a, *y = b;
    if (x->tokens != y->tokens)
        return x->tokens > y->tokens ? -1 : 1;
    if (x->documents != y->documents)
        return x->documents > y->documents ? -1 : 1;
    return strcmp(x->name, y->name);
}

static const mill_report_group *group_of(const mill_report_groups *groups, const char *name)
{
    for (size_t i = 0; i < groups->count; i++)
        if (strcmp(groups->rows[i].name, name) == 0)
            return &groups->rows[i];
    return NULL;
}

static void language_line(mill_page *page, const language_row *row, uint64_t tokens, uint64_t documents)
{
    char metric[160];
    mill_page_text(page, "<tr><td>");
    mill_page_string(page, row->name);
    mill_page_text(page, "</td>");
    snprintf(metric, sizeof metric, "languages.%.100s.documents", row->name);
    cell_number(page, row->documents, metric);
    snprintf(metric, sizeof metric, "languages.%.100s.tokens", row->name);
    cell_number(page, row->tokens, metric);
    if (tokens != 0) {
        cell_real(page, share(row->tokens, tokens), 2, "&#8239;%");
        cell_bar(page, "c-tok", 0, row->tokens, tokens);
    } else {
        cell_real(page, share(row->documents, documents), 2, "&#8239;%");
        cell_bar(page, "c-tok", 0, row->documents, documents);
    }
    if (row->pieces != NULL && row->pieces->tokens != 0) {
        cell_real(page, (double)row->pieces->bytes / (double)row->pieces->tokens, 2, "");
        cell_real(page, row->documents != 0 ? (double)row->tokens / (double)row->documents : 0.0, 0, "");
    } else {
        mill_page_text(page, "<td></td><td></td>");
    }
    mill_page_text(page, "</tr>");
}

static void show_languages(mill_page *page, const mill_report *r)
{
    const cJSON *languages = member(r->metrics, "languages"), *item;
    size_t count = 0, size = (size_t)cJSON_GetArraySize(languages);
    language_row *rows = size != 0 ? mill_alloc_zero(size, sizeof *rows) : NULL;
    uint64_t tokens = 0, documents = 0;
    if (rows == NULL)
        return; // none, or the page fails for want of memory a moment later
    cJSON_ArrayForEach(item, languages)
    {
        const char *name = item->string != NULL ? item->string : "";
        rows[count] = (language_row){.name = name,
                                     .documents = mill_finished_number(item, "documents"),
                                     .tokens = mill_finished_number(item, "tokens"),
                                     .pieces = group_of(&r->languages, name)};
        tokens += rows[count].tokens;
        documents += rows[count++].documents;
    }
    qsort(rows, count, sizeof *rows, by_tokens);
    begin(page, "languages", "Languages and what a token costs",
          "Bytes a token: how much text one token stands for, by language; more is cheaper. FIM marks and end marks count as "
          "tokens. "
          "Click on a head to sort.");
    mill_page_text(
        page,
        "<div class=\"wide\"><table><thead><tr><th data-sort=\"\">language</th><th class=\"n\" data-sort=\"up\">documents</th>"
        "<th class=\"n\" data-sort=\"up\">tokens</th><th class=\"n\" data-sort=\"up\">share</th><th></th>"
        "<th class=\"n\" data-sort=\"up\">bytes a token</th><th class=\"n\" data-sort=\"up\">tokens a document</th>"
        "</tr></thead><tbody>");
    for (size_t i = 0; i < count; i++)
        language_line(page, &rows[i], tokens, documents);
    mill_page_text(page, "</tbody></table></div>");
    end(page);
    mill_free(rows);
}

// ---- lengths

static void power_label(size_t bin, char out[24])
{
    uint64_t value = (uint64_t)1 << bin;
    static const char units[] = " KMGT";
    size_t unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(out, 24, "%llu%.1s", (unsigned long long)value, unit != 0 ? &units[unit] : "");
}

static void power_columns(mill_page *page, const char *title, const mill_report_bins *b, const char *class)
{
    mill_bar bars[MILL_REPORT_BINS];
    char labels[MILL_REPORT_BINS][24];
    size_t first = 0, last = 0;
    for (size_t i = 0; i < MILL_REPORT_BINS; i++)
        last = b->bins[i] != 0 ? i + 1 : last;
    while (first < last && b->bins[first] == 0)
        first++;
    for (size_t i = first; i < last; i++) {
        power_label(i, labels[i]);
        bars[i - first] = (mill_bar){labels[i], b->bins[i], class};
    }
    mill_page_print(page, "<div><h3>%s</h3>", title);
    mill_page_columns(page, title, bars, last - first);
    mill_page_text(page, "<p class=\"note\">");
    mill_page_number(page, b->count, NULL);
    mill_page_print(page, " in all; from %llu to ", (unsigned long long)b->least);
    mill_page_number(page, b->most, NULL);
    mill_page_print(page, ", on average %.1f</p></div>", b->count != 0 ? (double)b->sum / (double)b->count : 0.0);
}

static void show_lengths(mill_page *page, const mill_report *r)
{
    if (r->piece_tokens.count == 0)
        return;
    begin(page, "lengths", "How long the pieces are",
          "A document that is longer than a sample, or that packing splits, is several pieces. A column counts the pieces from "
          "its "
          "number up to twice that.");
    mill_page_text(page, "<div class=\"two\">");
    power_columns(page, "Tokens a piece", &r->piece_tokens, "c-tok");
    power_columns(page, "Bytes of text a piece", &r->piece_bytes, "c-kept");
    mill_page_text(page, "</div>");
    end(page);
}

// ---- duplicates

static void show_place(mill_page *page, const mill_report_place *place)
{
    mill_page_text(page, "<code>");
    mill_page_string(page, place->file != NULL ? place->file : "");
    mill_page_print(page, ":%llu</code>", (unsigned long long)place->record);
}

static void cluster_line(mill_page *page, const mill_report_cluster *c)
{
    mill_page_text(page, "<tr><td>");
    show_place(page, &c->kept);
    mill_page_text(page, "</td>");
    cell_number(page, c->dropped_count, NULL);
    cell_number(page, c->exact_count, NULL);
    mill_page_text(page, "<td>");
    for (size_t i = 0; i < MILL_REPORT_DROPPED && i < c->dropped_count; i++) {
        mill_page_text(page, i != 0 ? "<br>" : "");
        show_place(page, &c->dropped[i]);
        if (c->dropped[i].exact)
            mill_page_text(page, " <span class=\"dim\">exact</span>");
        else
            mill_page_print(page, " <span class=\"dim\">near, %.2f</span>", c->dropped[i].similarity);
    }
    if (c->dropped_count > MILL_REPORT_DROPPED)
        mill_page_text(page, "<br><span class=\"dim\">and more</span>");
    mill_page_text(page, "</td></tr>");
}

static void show_duplicates(mill_page *page, const mill_report *r)
{
    if (!r->has_clusters || r->cluster_sizes.count == 0)
        return;
    begin(page, "duplicates", "Duplicates",
          "A cluster is a record that was kept with those that were dropped for it. clusters.jsonl.zst lists all of them.");
    mill_page_text(page, "<div class=\"two\">");
    power_columns(page, "Records a cluster", &r->cluster_sizes, "c-exact");
    mill_bar bars[20];
    char labels[20][24];
    size_t first = 0;
    while (first < 19 && r->similarity.bins[first] == 0)
        first++;
    for (size_t i = first; i < 20; i++) {
        snprintf(labels[i], sizeof labels[i], "%.2f", (double)i / 20.0);
        bars[i - first] = (mill_bar){labels[i], r->similarity.bins[i], "c-near"};
    }
    mill_page_text(page, "<div><h3>Estimated similarity of near duplicates</h3>");
    mill_page_columns(page, "Estimated similarity of near duplicates", bars, 20 - first);
    mill_page_text(page, "</div></div><h3>The largest clusters</h3><div class=\"wide\"><table><thead><tr><th>kept</th><th "
                         "class=\"n\">dropped</th>"
                         "<th class=\"n\">of them exact</th><th>for example</th></tr></thead><tbody>");
    for (size_t i = 0; i < r->cluster_count; i++)
        cluster_line(page, &r->clusters[i]);
    mill_page_text(page, "</tbody></table></div>");
    end(page);
}

// ---- FIM and packing

static void show_packing(mill_page *page, const mill_report *r)
{
    const cJSON *tokens = member(r->metrics, "tokens");
    if (!r->has_docs)
        return;
    begin(page, "packing", "Fill-in-the-middle and packing",
          "PSM: prefix, suffix, middle. SPM: suffix, prefix, middle. Every token that was encoded is in a sample or accounted "
          "for.");
    mill_page_text(page, "<h3>Documents, by what their first piece became</h3>");
    const mill_bar modes[] = {{"as they are", r->none, "c-kept"},
                              {"PSM", r->psm, "c-psm"},
                              {"SPM", r->spm, "c-spm"},
                              {"several middles", r->spans, "c-near"}};
    mill_page_stack(page, "Documents by FIM mode", modes, r->spans != 0 ? 4 : 3);
    static const struct {
        const char *key, *name;
    } rows[] = {{"encoded", "encoded"},
                {"repeated_epochs", "+ documents taken again"},
                {"repeated_borders", "+ repeated at borders"},
                {"dropped_short_rows", "&minus; rows too short"},
                {"dropped_by_packing", "&minus; left over by packing"},
                {"unselected", "&minus; not selected by the mixture"},
                {"in_samples", "= in samples"}};
    mill_page_text(page, "<div class=\"two\"><div><h3>Tokens</h3><table><tbody>");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char metric[64];
        snprintf(metric, sizeof metric, "tokens.%s", rows[i].key);
        mill_page_print(page, "<tr><td>%s</td>", rows[i].name);
        cell_number(page, mill_finished_number(tokens, rows[i].key), metric);
        mill_page_text(page, "</tr>");
    }
    mill_page_text(page, "</tbody></table></div><div><h3>How full the samples are</h3>");
    mill_bar bars[11];
    char labels[11][24];
    size_t first = 0;
    while (first < 10 && r->fill.bins[first] == 0)
        first++;
    for (size_t i = first; i < 11; i++) {
        snprintf(labels[i], sizeof labels[i], i == 10 ? "full" : "%zu0 %%", i);
        bars[i - first] = (mill_bar){labels[i], r->fill.bins[i], "c-tok"};
    }
    mill_page_columns(page, "How full the samples are", bars, 11 - first);
    mill_page_text(page, "</div></div>");
    end(page);
}

static void show_mixture(mill_page *page, const mill_report *r)
{
    const cJSON *mixture = member(r->metrics, "mixture"), *row;
    uint64_t most = 0;
    if (cJSON_GetArraySize(mixture) == 0)
        return;
    cJSON_ArrayForEach(row, mixture) most =
        mill_finished_number(row, "wanted_tokens") > most ? mill_finished_number(row, "wanted_tokens") : most;
    begin(page, "mixture", "Mixture", "Shares of the target as the recipe wants them, and what the input could give.");
    mill_page_text(
        page,
        "<div class=\"wide\"><table><thead><tr><th data-sort=\"\">share</th><th class=\"n\" data-sort=\"up\">wanted tokens</th>"
        "<th class=\"n\" data-sort=\"up\">available</th><th class=\"n\" data-sort=\"up\">selected</th><th></th>"
        "<th class=\"n\" data-sort=\"up\">documents</th></tr></thead><tbody>");
    cJSON_ArrayForEach(row, mixture)
    {
        mill_page_text(page, "<tr><td>");
        mill_page_string(page, string_of(row, "share"));
        mill_page_text(page, "</td>");
        cell_number(page, mill_finished_number(row, "wanted_tokens"), NULL);
        cell_number(page, mill_finished_number(row, "available_tokens"), NULL);
        cell_number(page, mill_finished_number(row, "selected_tokens"), NULL);
        cell_bar(page, "c-tok", 0, mill_finished_number(row, "selected_tokens"), most);
        cell_number(page, mill_finished_number(row, "documents"), NULL);
        mill_page_text(page, "</tr>");
    }
    mill_page_text(page, "</tbody></table></div>");
    end(page);
}

// ---- inputs, licences, quarantine

static void show_inputs(mill_page *page, const mill_report *r)
{
    const cJSON *input;
    begin(page, "inputs", "Inputs", "By the manifest, in the order in which they were given.");
    mill_page_text(
        page, "<div class=\"wide\"><table><thead><tr><th data-sort=\"\">input</th><th class=\"n\" data-sort=\"up\">bytes</th>"
              "<th class=\"n\" data-sort=\"up\">records</th><th class=\"n\" data-sort=\"up\">kept</th>"
              "<th class=\"n\" data-sort=\"up\">kept share</th></tr></thead><tbody>");
    int shown = 0;
    cJSON_ArrayForEach(input, member(r->finished->manifest, "inputs"))
    {
        const cJSON *records = member(input, "records");
        uint64_t read = mill_finished_number(records, "read"), kept = mill_finished_number(member(records, "reasons"), "kept");
        if (++shown > 500)
            break;
        mill_page_text(page, "<tr><td><code>");
        mill_page_string(page, string_of(input, "name"));
        mill_page_text(page, "</code></td>");
        cell_number(page, mill_finished_number(input, "bytes"), NULL);
        cell_number(page, read, NULL);
        cell_number(page, kept, NULL);
        cell_real(page, share(kept, read), 1, "&#8239;%");
        mill_page_text(page, "</tr>");
    }
    mill_page_text(page, "</tbody></table></div>");
    if (shown > 500)
        mill_page_text(page, "<p class=\"note\">Only the first 500; manifest.json lists all.</p>");
    end(page);
}

static void show_licences(mill_page *page, const mill_report *r)
{
    uint64_t total = r->licences.other_tokens;
    for (size_t i = 0; i < r->licences.count; i++)
        total += r->licences.rows[i].tokens;
    if (total == 0)
        return;
    begin(page, "licences", "Licences",
          "As the inputs name them; docs/ has repository, path and licence of every piece, for attribution and for taking "
          "things out.");
    mill_page_text(
        page,
        "<div class=\"wide\"><table><thead><tr><th data-sort=\"\">licence</th><th class=\"n\" data-sort=\"up\">pieces</th>"
        "<th class=\"n\" data-sort=\"up\">tokens</th><th class=\"n\" data-sort=\"up\">share</th><th></th></tr></thead><tbody>");
    uint64_t shown_below = UINT64_MAX;
    for (size_t shown = 0; shown < 20 && shown < r->licences.count;) { // the largest first; equals in the order of the samples
        uint64_t most = 0;
        for (size_t i = 0; i < r->licences.count; i++)
            if (r->licences.rows[i].tokens < shown_below && r->licences.rows[i].tokens > most)
                most = r->licences.rows[i].tokens;
        if (most == 0)
            break;
        for (size_t i = 0; i < r->licences.count && shown < 20; i++) {
            const mill_report_group *row = &r->licences.rows[i];
            if (row->tokens != most)
                continue;
            mill_page_text(page, "<tr><td>");
            mill_page_string(page, row->name[0] != '\0' ? row->name : "(not told)");
            mill_page_text(page, "</td>");
            cell_number(page, row->pieces, NULL);
            cell_number(page, row->tokens, NULL);
            cell_real(page, share(row->tokens, total), 2, "&#8239;%");
            cell_bar(page, "c-rest", 0, row->tokens, total);
            mill_page_text(page, "</tr>");
            shown++;
        }
        shown_below = most;
    }
    mill_page_text(page, "</tbody></table></div>");
    if (r->licences.count > 20)
        mill_page_print(page, "<p class=\"note\">The 20 with the most tokens of %s%zu.</p>",
                        r->licences.other_pieces != 0 ? "more than " : "", r->licences.count);
    end(page);
}

static void show_quarantine(mill_page *page, const mill_report *r)
{
    if (r->bad_count == 0)
        return;
    begin(page, "quarantine", "Records that could not be read", "quarantine.jsonl lists all of them.");
    mill_page_text(page, "<ul class=\"legend\">");
    for (size_t i = 0; i < r->bad_reasons.count; i++) {
        mill_page_text(page, "<li>");
        mill_page_string(page, r->bad_reasons.rows[i].name);
        mill_page_text(page, " <b>");
        mill_page_number(page, r->bad_reasons.rows[i].pieces, NULL);
        mill_page_text(page, "</b></li>");
    }
    mill_page_text(
        page,
        "</ul><div class=\"wide\"><table><thead><tr><th>the first ones</th><th>reason</th><th>detail</th></tr></thead><tbody>");
    for (size_t i = 0; i < r->bad_count; i++) {
        const mill_report_place place = {.file = r->bad[i].file, .record = r->bad[i].record};
        mill_page_text(page, "<tr><td>");
        show_place(page, &place);
        mill_page_text(page, "</td><td>");
        mill_page_string(page, r->bad[i].reason);
        mill_page_text(page, "</td><td class=\"dim\">");
        mill_page_string(page, r->bad[i].detail);
        mill_page_text(page, "</td></tr>");
    }
    mill_page_text(page, "</tbody></table></div>");
    end(page);
}

// ---- samples, recipe

// The text of inspect: its own colours become spans; data in it has no escape bytes any more.
static void coloured(mill_page *page, const char *text, size_t bytes)
{
    bool open = false;
    size_t plain = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned code = 0;
        int used = 0;
        if (text[i] != '\x1b' || sscanf(text + i, "\x1b[%2um%n", &code, &used) != 1 || used == 0) {
            if (i + 1 == bytes || text[i + 1] == '\x1b') {
                mill_page_data(page, text + plain, i + 1 - plain, true);
                plain = i + 1;
            }
            continue;
        }
        if (open)
            mill_page_text(page, "</span>");
        open = false;
        if (code != 0 && used > 3) {
            mill_page_print(page, "<span class=\"s%u\">", code);
            open = true;
        }
        i += (size_t)used - 1;
        plain = i + 1;
    }
    if (open)
        mill_page_text(page, "</span>");
}

static void show_samples(mill_page *page, const mill_report *r)
{
    if (r->samples.bytes == 0)
        return;
    begin(page, "samples", "Samples", "Random ones, decoded by the run&#39;s tokenizer (shardmill inspect shows more).");
    mill_page_text(page, "<pre>");
    coloured(page, r->samples.data, r->samples.bytes);
    mill_page_text(page, "</pre>");
    end(page);
}

static void show_recipe(mill_page *page, const mill_report *r)
{
    const cJSON *recipe = member(r->finished->manifest, "recipe");
    char *text = recipe != NULL ? cJSON_Print(recipe) : NULL;
    if (text == NULL)
        return;
    begin(page, "recipe", "Recipe", "Every value as the run used it.");
    mill_page_text(page, "<details><summary>show</summary><pre>");
    mill_page_data(page, text, strlen(text), true);
    mill_page_text(page, "</pre></details>");
    end(page);
    cJSON_free(text);
}

mill_status mill_report_page(const mill_report *r, mill_buf *out, mill_error *err)
{
    mill_page page = {.out = out, .err = err};
    mill_page_head(&page, "shardmill report");
    show_head(&page, r);
    show_funnel(&page, r);
    show_languages(&page, r);
    show_lengths(&page, r);
    show_duplicates(&page, r);
    show_packing(&page, r);
    show_mixture(&page, r);
    show_samples(&page, r);
    show_licences(&page, r);
    show_inputs(&page, r);
    show_quarantine(&page, r);
    show_recipe(&page, r);
    mill_page_text(
        &page, "<footer>Made from the sealed manifest of the run; nothing on this page is loaded from elsewhere.</footer>\n");
    mill_page_foot(&page);
    return page.status;
}
