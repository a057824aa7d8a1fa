// report_chart.c: the building blocks of the report page: escaped text, numbers, and charts as SVG that needs no script.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "pipeline/report.h"

static void keep(mill_page *page, mill_status status)
{
    if (page->status == MILL_OK)
        page->status = status;
}

void mill_page_text(mill_page *page, const char *html)
{
    if (page->status == MILL_OK)
        keep(page, mill_buf_append_text(page->out, html, page->err));
}

void mill_page_print(mill_page *page, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mill_page_text(page, text);
}

// Characters that change how their neighbours are shown: they could make code look like other code.
static bool turns_text(const uint8_t *c, size_t bytes)
{
    if (bytes != 3 || c[0] != 0xe2)
        return false;
    bool embedding = c[1] == 0x80 && ((c[2] >= 0xaa && c[2] <= 0xae) || c[2] == 0x8e || c[2] == 0x8f);
    bool isolate = c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9;
    return embedding || isolate;
}

void mill_page_data(mill_page *page, const void *text, size_t bytes, bool lines)
{
    const uint8_t *in = text;
    for (size_t i = 0; i < bytes && page->status == MILL_OK;) {
        size_t length = mill_utf8_sequence(in + i, bytes - i), size = length != 0 ? length : 1;
        const char *entity = in[i] == '&'    ? "&amp;"
                             : in[i] == '<'  ? "&lt;"
                             : in[i] == '>'  ? "&gt;"
                             : in[i] == '"'  ? "&quot;"
                             : in[i] == '\'' ? "&#39;"
                                             : NULL;
        if (entity != NULL)
            mill_page_text(page, entity);
        else if (turns_text(in + i, length))
            mill_page_print(page, "\\u%04x", (unsigned)((in[i + 1] & 0x3fu) << 6 | (in[i + 2] & 0x3fu) | 0x2000u));
        else
            keep(page, mill_append_escaped(page->out, in + i, size, lines, page->err));
        i += size;
    }
}

void mill_page_string(mill_page *page, const char *text)
{
    mill_page_data(page, text, strlen(text), false);
}

void mill_page_number(mill_page *page, uint64_t value, const char *metric)
{
    mill_page_print(page, "<data value=\"%llu\"", (unsigned long long)value);
    if (metric != NULL) {
        mill_page_text(page, " data-metric=\"");
        mill_page_string(page, metric);
        mill_page_text(page, "\"");
    }
    mill_page_text(page, ">");
    if (page->status == MILL_OK)
        keep(page, mill_append_grouped(page->out, value, 0, page->err));
    mill_page_text(page, "</data>");
}

static uint64_t largest(const mill_bar *bars, size_t count)
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = bars[i].value > most ? bars[i].value : most;
    return most;
}

static void tooltip(mill_page *page, const mill_bar *bar)
{
    mill_page_text(page, "<title>");
    mill_page_string(page, bar->label);
    mill_page_text(page, ": ");
    keep(page, page->status == MILL_OK ? mill_append_grouped(page->out, bar->value, 0, page->err) : MILL_OK);
    mill_page_text(page, "</title>");
}

void mill_page_columns(mill_page *page, const char *title, const mill_bar *bars, size_t count)
{
    const double width = 480.0, height = 200.0, base = 170.0, step = width / (double)(count != 0 ? count : 1);
    const uint64_t most = largest(bars, count);
    mill_page_print(page, "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", width, height);
    mill_page_string(page, title);
    mill_page_print(page, "\"><line class=\"axis\" x1=\"0\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", width, base + 0.5,
                    base + 0.5);
    const size_t every = count > 14 ? 2 : 1; // labels that fit
    for (size_t i = 0; i < count; i++) {
        double x = (double)i * step, tall = most != 0 ? (base - 22.0) * (double)bars[i].value / (double)most : 0.0;
        tall = bars[i].value != 0 && tall < 1.5 ? 1.5 : tall;
        mill_page_print(page, "<g><rect class=\"hit\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"%.0f\"/>", x, step, base);
        mill_page_print(page, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"/>",
                        bars[i].class, x + step * 0.1, base - tall, step * 0.8, tall);
        tooltip(page, &bars[i]);
        mill_page_text(page, "</g>");
        if (i % every == 0) {
            mill_page_print(page, "<text class=\"tick\" x=\"%.1f\" y=\"%.0f\">", x + step / 2.0, base + 18.0);
            mill_page_string(page, bars[i].label);
            mill_page_text(page, "</text>");
        }
    }
    mill_page_text(page, "</svg>");
}

void mill_page_stack(mill_page *page, const char *title, const mill_bar *bars, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += bars[i].value;
    mill_page_text(page,
                   "<svg class=\"stack\" viewBox=\"0 0 1000 26\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"");
    mill_page_string(page, title);
    mill_page_text(page, "\">");
    double x = 0.0;
    for (size_t i = 0; i < count; i++) {
        double wide = total != 0 ? 1000.0 * (double)bars[i].value / (double)total : 0.0;
        mill_page_print(page, "<rect class=\"%s\" x=\"%.2f\" y=\"0\" width=\"%.2f\" height=\"26\">", bars[i].class, x, wide);
        tooltip(page, &bars[i]);
        mill_page_text(page, "</rect>");
        x += wide;
    }
    mill_page_text(page, "</svg><ul class=\"legend\">");
    for (size_t i = 0; i < count; i++) {
        mill_page_print(
            page,
            "<li><svg class=\"dot\" viewBox=\"0 0 10 10\"><rect class=\"%s\" width=\"10\" height=\"10\" rx=\"2\"/></svg> ",
            bars[i].class);
        mill_page_string(page, bars[i].label);
        mill_page_text(page, " <b>");
        mill_page_number(page, bars[i].value, NULL);
        mill_page_print(page, "</b> <span class=\"dim\">%.1f %%</span></li>",
                        total != 0 ? 100.0 * (double)bars[i].value / (double)total : 0.0);
    }
    mill_page_text(page, "</ul>");
}

typedef struct flow {
    double y0, tall, floor; // top of the stream, its height for all records, where losses end
    uint64_t read;
} flow;

static double height_of(const flow *f, uint64_t records)
{
    return f->read != 0 ? f->tall * (double)records / (double)f->read : 0.0;
}

static void flow_label(mill_page *page, const char *label, uint64_t value, double x, double y, const char *class)
{
    mill_page_print(page, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, x, y);
    mill_page_string(page, label);
    mill_page_print(page, "</text><text class=\"%s num\" x=\"%.1f\" y=\"%.1f\">", class, x, y + 15.0);
    keep(page, page->status == MILL_OK ? mill_append_grouped(page->out, value, 0, page->err) : MILL_OK);
    mill_page_text(page, "</text>");
}

// The band between two curves that leaves the stream at x and turns down to the floor.
static void flow_loss(mill_page *page, const flow *f, const mill_bar *loss, double x, double top)
{
    double thick = height_of(f, loss->value);
    thick = thick < 1.5 ? 1.5 : thick;
    double end = x + 40.0 + thick / 2.0, bottom = top + thick, inner = end - thick / 2.0, outer = end + thick / 2.0;
    double turn = f->floor - bottom < 40.0 ? f->floor - bottom : 40.0;
    mill_page_print(page,
                    "<path class=\"%s loss\" d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1fV%.1fH%.1fV%.1fC"
                    "%.1f %.1f %.1f %.1f %.1f %.1fZ\">",
                    loss->class, x, top, x + (outer - x) * 0.6, top, outer, top + (bottom + turn - top) * 0.4, outer, bottom + turn,
                    f->floor, inner, bottom + turn, inner, bottom + turn * 0.4, x + (inner - x) * 0.6, bottom, x, bottom);
    tooltip(page, loss);
    mill_page_text(page, "</path>");
    flow_label(page, loss->label, loss->value, end, f->floor + 18.0, "lost");
}

void mill_page_flow(mill_page *page, uint64_t read, const mill_bar *losses, size_t count, uint64_t kept)
{
    const flow f = {.y0 = 10.0, .tall = 150.0, .floor = 232.0, .read = read};
    const double width = 1000.0, step = (width - 190.0) / (double)(count + 1);
    mill_page_print(page, "<svg class=\"flow\" viewBox=\"0 0 %.0f 284\" role=\"img\" aria-label=\"Flow of records\">", width);
    uint64_t left = read;
    double x = 90.0;
    flow_label(page, "read", read, 84.0, f.y0 + 14.0, "end");
    for (size_t i = 0; i <= count; i++) {
        double tall = height_of(&f, left), next = i == count ? width - 96.0 : x + step;
        tall = left != 0 && tall < 2.0 ? 2.0 : tall;
        mill_page_print(page, "<rect class=\"c-kept stream\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", x, f.y0,
                        next - x, tall);
        if (i == count)
            break;
        left -= losses[i].value < left ? losses[i].value : left;
        flow_loss(page, &f, &losses[i], next, f.y0 + height_of(&f, left));
        x = next;
    }
    double tall = height_of(&f, kept);
    mill_page_print(page, "<rect class=\"c-kept\" x=\"%.1f\" y=\"%.1f\" width=\"6\" height=\"%.1f\"/>", width - 96.0, f.y0,
                    tall < 2.0 ? 2.0 : tall);
    flow_label(page, "kept", kept, width - 84.0, f.y0 + 14.0, "begin");
    mill_page_text(page, "</svg>");
}

// ---- the frame of the page

static const char style[] =
    ":root{--bg:#f6f7f9;--card:#fff;--ink:#1d2433;--dim:#667085;--line:#e3e7ee;--kept:#2b8a66;--filter:#dd8f2c;--exact:#6b5bd2;"
    "--near:#a08df0;--bad:#cc4444;--rest:#94a3b8;--tok:#2f6fde;--psm:#2aa3b8;--spm:#7cc7d3;--code:#f1f4f8}"
    "@media(prefers-color-scheme:dark){:root{--bg:#12151c;--card:#1a1f29;--ink:#e6e9ef;--dim:#98a2b3;--line:#2c3442;--kept:#"
    "3fb488;"
    "--filter:#e8a54b;--exact:#8d7ff0;--near:#b9acf7;--bad:#e46a6a;--rest:#64748b;--tok:#5b93f5;--psm:#3fbdd1;--spm:#2b7c8a;--"
    "code:#141922}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe "
    "UI',"
    "Roboto,'DejaVu Sans',sans-serif;font-variant-numeric:tabular-nums}main{max-width:1120px;margin:0 auto;padding:28px 20px "
    "60px}"
    "header h1{margin:0;font-size:27px;letter-spacing:-.01em}header p{margin:4px 0 20px;color:var(--dim)}"
    "h2{font-size:18px;margin:0 0 4px}h3{font-size:14px;margin:18px 0 6px}.note{color:var(--dim);margin:0 0 "
    "14px;font-size:13.5px}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 22px;margin:0 0 18px}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:12px;margin:0 0 18px}"
    ".cards div{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:13px 16px}"
    ".cards b{display:block;font-size:23px;font-weight:650;letter-spacing:-.02em}.cards span{color:var(--dim);font-size:13px}"
    ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:26px}"
    "svg{display:block;width:100%}.chart{height:auto}.stack{height:22px;border-radius:6px}.dot{display:inline-block;width:10px;"
    "height:10px}"
    ".axis{stroke:var(--line)}.hit{fill:transparent}g:hover "
    ".hit{fill:var(--line);opacity:.5}text{fill:var(--ink);font-size:12.5px}"
    ".tick{fill:var(--dim);font-size:11px;text-anchor:middle}.lost{text-anchor:middle;fill:var(--dim);font-size:12px}"
    ".end{text-anchor:end;font-weight:600;font-size:14px}.begin{font-weight:600;font-size:14px}.num{font-weight:600;fill:var(--"
    "ink)}"
    ".c-kept{fill:var(--kept)}.c-filter{fill:var(--filter)}.c-exact{fill:var(--exact)}.c-near{fill:var(--near)}.c-bad{fill:var("
    "--bad)}"
    ".c-rest{fill:var(--rest)}.c-tok{fill:var(--tok)}.c-psm{fill:var(--psm)}.c-spm{fill:var(--spm)}.stream{opacity:.82}.loss{"
    "opacity:.72}"
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 20px;padding:0;margin:8px 0 0;font-size:13.5px}"
    "table{border-collapse:collapse;width:100%;font-size:13.5px}th{font-weight:600;color:var(--dim);text-align:left}"
    "th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right}"
    "th[data-sort]{cursor:pointer;user-select:none}th[data-sort]:hover{color:var(--ink)}td.bar{width:30%;min-width:90px}"
    "td.bar svg{height:14px;margin-top:4px}.wide{overflow-x:auto}"
    "code,pre{font:12.5px/1.5 ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}td code{overflow-wrap:anywhere}"
    "pre{background:var(--code);border:1px solid var(--line);border-radius:8px;padding:12px "
    "14px;margin:0;overflow:auto;max-height:520px;"
    "white-space:pre-wrap;overflow-wrap:anywhere}.s1{font-weight:700}.s36{color:var(--kept)}.s35{color:var(--exact);font-"
    "weight:600}"
    ".s2{color:var(--dim)}.dim{color:var(--dim)}details summary{cursor:pointer}footer{color:var(--dim);font-size:12.5px}";

// Sorts a table by the column whose head is clicked; numbers by the value of their <data>.
static const char script[] =
    "document.querySelectorAll('th[data-sort]').forEach(function(th){th.addEventListener('click',function(){"
    "var body=th.closest('table').tBodies[0],i=th.cellIndex,up=th.dataset.sort==='up';th.dataset.sort=up?'down':'up';"
    "function key(row){var d=row.cells[i].querySelector('data');return d?Number(d.value):row.cells[i].textContent}"
    "Array.from(body.rows).sort(function(a,b){var x=key(a),y=key(b),o=typeof x==='number'?x-y:x.localeCompare(y);return "
    "up?o:-o})"
    ".forEach(function(row){body.appendChild(row)})})});";

void mill_page_head(mill_page *page, const char *title)
{
    mill_page_text(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline';"
                         "script-src 'unsafe-inline'\"><title>");
    mill_page_string(page, title);
    mill_page_text(page, "</title><style>");
    mill_page_text(page, style);
    mill_page_text(page, "</style></head>\n<body><main>\n");
}

void mill_page_foot(mill_page *page)
{
    mill_page_text(page, "</main><script>");
    mill_page_text(page, script);
    mill_page_text(page, "</script></body></html>\n");
}
