// fim_dump.c: what the product makes of documents, for tests/agree/agree_fim.py.
//   fim_dump text SEED < documents                             the guide's transformed texts with python draws, each after its
//                                                              length as u64
//   fim_dump guide TOKENIZER SEED CONTEXT MIN_CHUNK < documents  the guide's rows: u32 record, u32 tokens, ids
//   fim_dump check TOKENIZER CUT CONTEXT < documents           checks the rows of the default way; prints a summary
// documents: language and text, each after its length as a little-endian u64.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../rows_check.h"

#define CHECK(expression)                                                                          \
    do {                                                                                           \
        if ((expression) != MILL_OK) {                                                             \
            fprintf(stderr, "fim_dump: %s\n", err.message);                                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static mill_error err;
static mill_language_table *languages;
static mill_batch batch;
static mill_rows rows;

static bool read_field(mill_buf *field)
{
    uint64_t length;
    mill_buf_clear(field);
    if (fread(&length, 8, 1, stdin) != 1)
        return false;
    CHECK(mill_buf_reserve(field, length + 1, &err));
    if (fread(field->data, 1, length, stdin) != length)
        exit(1);
    field->bytes = length;
    return true;
}

static void read_documents(void)
{
    mill_buf language = {0}, text = {0};
    CHECK(mill_language_table_create(&languages, &err));
    mill_batch_init(&batch);
    while (read_field(&language) && read_field(&text)) {
        mill_record record = {.text = text.data, .text_bytes = text.bytes, .repo = "", .path = "", .licence = "",
                              .stars = MILL_STARS_MISSING, .record = batch.count + 1,
                              .language = mill_language_intern(languages, (const char *)language.data, language.bytes)};
        CHECK(mill_batch_append(&batch, &record, &err));
    }
    mill_buf_free(&language);
    mill_buf_free(&text);
}

static uint64_t count_lines(uint32_t i)
{
    uint64_t bytes, lines = 1;
    const uint8_t *text = mill_batch_text(&batch, i, &bytes);
    for (uint64_t at = 0; at < bytes; at++)
        lines += text[at] == '\n';
    return lines;
}

static mill_line_cut *draw_cuts(uint64_t seed)
{
    const mill_fim_options options = {.rate_permille = 500, .cut = MILL_FIM_GUIDE};
    mill_line_cut *cuts = calloc((size_t)batch.count + 1, sizeof *cuts);
    mill_mt19937 mt;
    if (cuts == NULL)
        exit(1);
    mill_mt19937_seed_python(&mt, seed);
    for (uint32_t i = 0; i < batch.count; i++) {
        mill_fim_mode mode;
        mill_fim_draw_python(&options, &mt, count_lines(i), &mode, &cuts[i].first, &cuts[i].second);
    }
    return cuts;
}

static void dump_texts(uint64_t seed)
{
    mill_line_cut *cuts = draw_cuts(seed);
    mill_buf out = {0};
    for (uint32_t i = 0; i < batch.count; i++) {
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(&batch, i, &bytes);
        mill_fim_plan plan;
        mill_fim_plan_lines(text, bytes, cuts[i].first, cuts[i].second, &plan);
        mill_buf_clear(&out);
        if (plan.mode == MILL_FIM_NONE) {
            CHECK(mill_buf_append(&out, text, bytes, &err));
        } else {
            CHECK(mill_buf_append_text(&out, "<|fim_prefix|>", &err));
            CHECK(mill_buf_append(&out, text, plan.begin[0] - 1, &err));
            CHECK(mill_buf_append_text(&out, "<|fim_suffix|>", &err));
            CHECK(mill_buf_append(&out, text + plan.end[0], bytes - plan.end[0], &err));
            CHECK(mill_buf_append_text(&out, "<|fim_middle|>", &err));
            CHECK(mill_buf_append(&out, text + plan.begin[0], plan.end[0] - 1 - plan.begin[0], &err));
        }
        const uint64_t length = out.bytes;
        fwrite(&length, 8, 1, stdout);
        fwrite(out.data, 1, out.bytes, stdout);
    }
    mill_buf_free(&out);
    free(cuts);
}

static mill_tokenizer *read_tokenizer(const char *path)
{
    mill_buf json = {0};
    mill_tokenizer *tokenizer;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        exit(1);
    for (size_t got = 1; got > 0; json.bytes += got) {
        CHECK(mill_buf_reserve(&json, 1 << 16, &err));
        got = fread(json.data + json.bytes, 1, 1 << 16, file);
    }
    fclose(file);
    CHECK(mill_tokenizer_parse(json.data, json.bytes, path, &tokenizer, &err));
    mill_buf_free(&json);
    return tokenizer;
}

static mill_encode_options base_options(uint32_t context)
{
    return (mill_encode_options){.language_tag = true, .end_token = true, .context = context, .min_chunk = 1,
                                 .end_text = "<|endoftext|>", .fim_prefix = "<|fim_prefix|>", .fim_middle = "<|fim_middle|>",
                                 .fim_suffix = "<|fim_suffix|>", .language_format = "<|lang_%s|>"};
}

static void dump_guide(const mill_tokenizer *tokenizer, uint64_t seed, uint32_t context, uint32_t min_chunk)
{
    mill_encode_options options = base_options(context);
    options.parse_specials = options.guide_chunks = true;
    options.min_chunk = min_chunk;
    mill_fim_options fim = {.rate_permille = 500, .cut = MILL_FIM_GUIDE};
    mill_line_cut *cuts = draw_cuts(seed);
    mill_encode *encode;
    CHECK(mill_encode_open(&options, &fim, tokenizer, languages, &encode, &err));
    CHECK(mill_encode_batch(encode, &batch, NULL, cuts, &rows, &err));
    for (size_t i = 0; i < rows.count; i++) {
        fwrite(&rows.rows[i].record, 4, 1, stdout);
        fwrite(&rows.rows[i].tokens, 4, 1, stdout);
        fwrite(rows.ids.data + rows.rows[i].first_token, 4, rows.rows[i].tokens, stdout);
    }
    mill_encode_close(encode);
    free(cuts);
}

static mill_fim_cut cut_of(const char *name)
{
    for (int cut = 0; cut < MILL_FIM_CUT_COUNT; cut++) {
        if (strcmp(mill_fim_cut_names[cut], name) == 0)
            return (mill_fim_cut)cut;
    }
    exit(2);
}

static int check_rows(const mill_tokenizer *tokenizer, mill_fim_cut cut, uint32_t context)
{
    const mill_encode_options options = base_options(context);
    const mill_fim_options fim = {.rate_permille = 500, .spm_permille = 500, .cut = cut, .min_chars = 2, .block_lines_max = 60,
                                  .seed = 11};
    mill_encode *encode;
    CHECK(mill_encode_open(&options, &fim, tokenizer, languages, &encode, &err));
    CHECK(mill_encode_batch(encode, &batch, NULL, NULL, &rows, &err));
    mill_encode_close(encode);
    rows_check check = {.options = &options, .tokenizer = tokenizer, .languages = languages, .batch = &batch, .rows = &rows};
    const bool ok = rows_check_all(&check);
    mill_buf_free(&check.text);
    if (!ok) {
        fprintf(stderr, "fim_dump: %s\n", check.message);
        return 1;
    }
    uint64_t transformed = 0, full = 0;
    for (size_t i = 0; i < rows.count; i++) {
        transformed += rows.rows[i].mode != MILL_FIM_NONE;
        full += rows.rows[i].tokens * UINT64_C(10) >= context * UINT64_C(9);
    }
    printf("%u documents, %llu of them transformed; %zu rows, %llu transformed, %llu at least 90%% full; %llu tokens\n",
           batch.count, (unsigned long long)rows.transformed, rows.count, (unsigned long long)transformed, (unsigned long long)full,
           (unsigned long long)rows.encoded_tokens);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    read_documents();
    int result = 0;
    if (strcmp(argv[1], "text") == 0) {
        dump_texts(strtoull(argv[2], NULL, 10));
    } else {
        mill_tokenizer *tokenizer = read_tokenizer(argv[2]);
        if (strcmp(argv[1], "guide") == 0 && argc == 6)
            dump_guide(tokenizer, strtoull(argv[3], NULL, 10), (uint32_t)atoi(argv[4]), (uint32_t)atoi(argv[5]));
        else if (strcmp(argv[1], "check") == 0 && argc == 5)
            result = check_rows(tokenizer, cut_of(argv[3]), (uint32_t)atoi(argv[4]));
        else
            result = 2;
        mill_tokenizer_close(tokenizer);
    }
    mill_rows_free(&rows);
    mill_batch_free(&batch);
    mill_language_table_destroy(languages);
    return result;
}
