// test_encode_repo.c: rows of repositories: none exceeds the context, their files cover them, and what they
// spell is the frames of the recipe around the very bytes of the files, whatever the files, names, contexts
// and cuts.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "encode/encode.h"

static const char *const specials[] = {"<|endoftext|>",
                                       "<P>",
                                       "<M>",
                                       "<S>",
                                       "<repo_name>",
                                       "<file_sep>",
                                       "<|repo_name|>",
                                       "<|file_sep|>",
                                       "<|fim_span_0|>",
                                       "<|fim_span_1|>",
                                       "<|fim_span_2|>",
                                       "<|fim_span_3|>",
                                       "<|fim_span_end|>"};

static mill_language_table *languages;
static mill_tokenizer *tokenizer;
static mill_batch batch;
static mill_rows rows;
static mill_error err;

static void set_up(void)
{
    static const char text[] = "def main(argument):\n    return argument + 1\n#include "
                               "<stdio.h>\nsrc/a/b.py\nimport thing\n\xc3\xa9t\xc3\xa9\n";
    mill_word_counts *words = NULL;
    cr_assert_eq(mill_language_table_create(&languages, &err), MILL_OK);
    cr_assert_eq(mill_word_counts_open(MILL_PRETOK_GPT2, &words, &err), MILL_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(mill_word_counts_add(words, (const uint8_t *)text, strlen(text), &err), MILL_OK);
    const mill_train_options options = {.vocab_size = 256 + 13 + 60,
                                        .min_frequency = 1,
                                        .full_alphabet = true,
                                        .specials = specials,
                                        .special_count = 13};
    cr_assert_eq(mill_tokenizer_train(words, &options, NULL, NULL, &tokenizer, &err), MILL_OK, "%s",
                 err.message);
    mill_word_counts_close(words);
    mill_batch_init(&batch);
}

static void tear_down(void)
{
    mill_rows_free(&rows);
    mill_batch_free(&batch);
    mill_tokenizer_close(tokenizer);
    mill_language_table_destroy(languages);
}

TestSuite(encode_repo, .init = set_up, .fini = tear_down);

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * bound >> 32);
}

static void add(const char *repo, const char *path, const char *text)
{
    const mill_record record = {.text = (const uint8_t *)text,
                                .text_bytes = strlen(text),
                                .repo = repo,
                                .repo_bytes = (uint32_t)strlen(repo),
                                .path = path,
                                .path_bytes = (uint32_t)strlen(path),
                                .licence = "",
                                .stars = MILL_STARS_MISSING,
                                .record = batch.count + 1};
    cr_assert_eq(mill_batch_append(&batch, &record, &err), MILL_OK);
}

static mill_encode_options options_of(const char *preset, uint32_t context)
{
    return (mill_encode_options){.language_tag = true,
                                 .end_token = true,
                                 .context = context,
                                 .min_chunk = 1,
                                 .end_text = "<|endoftext|>",
                                 .fim_prefix = "<P>",
                                 .fim_middle = "<M>",
                                 .fim_suffix = "<S>",
                                 .language_format = "<|lang_%s|>",
                                 .repo = {.sequence = true, .preset = preset}};
}

static void encode(const mill_encode_options *options, mill_fim_cut cut, uint32_t rate)
{
    mill_encode *handle = NULL;
    const mill_fim_options fim = {.rate_permille = rate,
                                  .spm_permille = 500,
                                  .cut = cut,
                                  .min_chars = 2,
                                  .block_lines_max = 10,
                                  .seed = 3};
    mill_rows_clear(&rows);
    cr_assert_eq(mill_encode_open(options, &fim, tokenizer, languages, &handle, &err), MILL_OK, "%s",
                 err.message);
    cr_assert_eq(mill_encode_sequence(handle, &batch, 0, batch.count, &rows, &err), MILL_OK, "%s",
                 err.message);
    mill_encode_close(handle);
}

static void spell(uint64_t first, uint32_t tokens, mill_buf *out)
{
    for (uint32_t i = 0; i < tokens; i++) {
        uint32_t bytes = 0;
        const uint8_t *token = mill_tokenizer_bytes(tokenizer, rows.ids.data[first + i], &bytes);
        cr_assert_eq(mill_buf_append(out, token, bytes, &err), MILL_OK);
    }
}

static void put(mill_buf *out, const char *text)
{
    cr_assert_eq(mill_buf_append_text(out, text, &err), MILL_OK);
}

static void put_bytes(mill_buf *out, const uint8_t *text, uint64_t begin, uint64_t end)
{
    cr_assert_eq(mill_buf_append(out, text + begin, end - begin, &err), MILL_OK);
}

// What file part `file` of a row should spell.
static void expected(const mill_row *file, const char *const frame[4], bool first, bool finish, mill_buf *out)
{
    uint64_t bytes;
    const uint8_t *text = mill_batch_text(&batch, file->record, &bytes);
    if (first)
        put(out, frame[0]);
    put(out, frame[1]);
    cr_assert_eq(mill_buf_append(out, mill_batch_meta(&batch, batch.path[file->record]),
                                 batch.path[file->record].bytes, &err),
                 MILL_OK);
    put(out, frame[2]);
    if (file->mode == MILL_FIM_NONE) {
        put_bytes(out, text, file->text_begin, file->text_end);
    } else {
        const bool spm = file->mode == MILL_FIM_SPM;
        put(out, "<P>");
        if (!spm)
            put_bytes(out, text, file->text_begin, file->cut_begin);
        put(out, "<S>");
        put_bytes(out, text, file->cut_end, file->text_end);
        put(out, "<M>");
        if (spm)
            put_bytes(out, text, file->text_begin, file->cut_begin);
        put_bytes(out, text, file->cut_begin, file->cut_end);
    }
    put(out, frame[3]);
    if (finish)
        put(out, "<|endoftext|>");
}

// Rows of sequences only (no lone files). Returns how many files were transformed.
static uint32_t check_rows(const char *const frame[4], uint32_t context, bool closes)
{
    mill_buf seen = {0}, wanted = {0};
    uint32_t transformed = 0, record = 0, piece = 0;
    uint64_t at = 0, tokens = 0;
    for (size_t r = 0; r < rows.count; r++) {
        const mill_row *row = &rows.rows[r];
        cr_assert(row->mode == MILL_ROW_REPO && row->tokens <= context && row->first_token == tokens &&
                  row->piece == r && row->files > 0);
        cr_assert_eq(row->last, r + 1 == rows.count);
        uint32_t in_row = 0;
        for (uint32_t k = 0; k < row->files; k++) {
            const mill_row *file = &rows.files[row->first_file + k];
            cr_assert_eq(file->first_token, row->first_token + in_row);
            cr_assert(file->record == record && file->piece == piece && file->text_begin == at);
            const bool last = k + 1 == row->files, cut = file->mode != MILL_FIM_NONE;
            transformed += cut;
            cr_assert(!cut || closes || last);
            mill_buf_clear(&seen);
            mill_buf_clear(&wanted);
            spell(file->first_token, file->tokens, &seen);
            expected(file, frame, k == 0, last && (row->last || cut), &wanted);
            cr_assert(seen.bytes == wanted.bytes && memcmp(seen.data, wanted.data, seen.bytes) == 0,
                      "row %zu: %.*s\nwanted %.*s", r, (int)seen.bytes, (const char *)seen.data,
                      (int)wanted.bytes, (const char *)wanted.data);
            in_row += file->tokens;
            at = file->last ? 0 : file->text_end;
            piece = file->last ? 0 : piece + 1;
            record += file->last;
        }
        cr_assert_eq(in_row, row->tokens);
        tokens += row->tokens;
    }
    cr_assert(record == batch.count && tokens == rows.ids.count && rows.encoded_tokens == tokens);
    mill_buf_free(&seen);
    mill_buf_free(&wanted);
    return transformed;
}

static const char *const starcoder[] = {"<repo_name>o/r", "<file_sep>", "\n", ""};
static const char *const qwen[] = {"<|repo_name|>o/r\n", "<|file_sep|>", "\n", "\n"};
static const char *const deepseek[] = {"", "#", "\n", "\n"};

Test(encode_repo, presets)
{
    add("o/r", "a.py", "x = 1\n");
    add("o/r", "b/c.py", "");
    add("o/r", "d.py", "import a");
    const char *const *const frames[] = {starcoder, qwen, deepseek};
    static const char *const names[] = {"starcoder", "qwen", "deepseek"};
    for (int i = 0; i < 3; i++) {
        const mill_encode_options options = options_of(names[i], 4096);
        encode(&options, MILL_FIM_CHAR, 0);
        cr_assert_eq(rows.count, 1);
        cr_expect_eq(check_rows(frames[i], 4096, i < 2), 0);
        cr_expect(rows.documents == 3 && rows.transformed == 0);
    }
}

Test(encode_repo, random_repositories, .timeout = 120)
{
    static const char *const parts[] = {"def f():\n",
                                        "    return argument\n",
                                        "<file_sep>",
                                        "<P>",
                                        "<|endoftext|>",
                                        "\n",
                                        "\xc3\xa9",
                                        "\xf0\x9f\x98\x80",
                                        "x",
                                        "import thing\n",
                                        "<|file_sep|>"};
    static const char *const paths[] = {"a.py", "src/deep/er/file_name.py", "<file_sep>.c", "\xc3\xa9.py",
                                        "x"};
    static const uint32_t contexts[] = {64, 100, 300, 5000};
    static const mill_fim_cut cuts[] = {MILL_FIM_CHAR, MILL_FIM_LINE, MILL_FIM_TOKEN,
                                        MILL_FIM_LINE_COMPLETION};
    const char *const *const frames[] = {starcoder, qwen, deepseek};
    static const char *const names[] = {"starcoder", "qwen", "deepseek"};
    uint32_t transformed = 0;
    for (int round = 0; round < 400; round++) {
        static char text[1 << 14];
        mill_batch_clear(&batch);
        for (uint32_t files = 1 + draw(12); files > 0; files--) {
            size_t bytes = 0;
            for (uint32_t n = draw(draw(4) == 0 ? 600 : 20); n > 0; n--) {
                const char *part = parts[draw(11)];
                memcpy(text + bytes, part, strlen(part));
                bytes += strlen(part);
            }
            text[bytes] = '\0';
            add("o/r", paths[draw(5)], text);
        }
        const uint32_t preset = draw(3), context = contexts[draw(4)];
        const mill_encode_options options = options_of(names[preset], context);
        encode(&options, cuts[draw(4)], draw(3) == 0 ? 0 : 1000);
        transformed += check_rows(frames[preset], context, preset < 2);
    }
    cr_expect_gt(transformed, 1000);
}

Test(encode_repo, spans_and_single_rows)
{
    add("o/r", "a.py", "one two three four five six seven");
    const mill_encode_options options = options_of("starcoder", 4096);
    encode(&options, MILL_FIM_MULTI, 1000);
    cr_assert(rows.count == 1 && rows.files[0].mode == MILL_FIM_SPANS && rows.transformed == 1);
    uint32_t spans = 0, ends = 0;
    for (size_t i = 0; i < rows.ids.count; i++) {
        spans += rows.ids.data[i] >= 8 && rows.ids.data[i] < 12;
        ends += rows.ids.data[i] == 12;
    }
    cr_expect(spans == 2 * ends && ends >= 2 && rows.ids.data[rows.ids.count - 1] == 0);
}

Test(encode_repo, a_frame_without_room_leaves_the_file_alone)
{
    static char path[400];
    memset(path, 'q', sizeof path - 1);
    add("o/r", "a.py", "x = 1\n");
    add("o/r", path, "y = 2\n");
    add("o/r", "b.py", "z = 3\n");
    const mill_encode_options options = options_of("starcoder", 64);
    encode(&options, MILL_FIM_CHAR, 0);
    cr_assert_eq(rows.count, 3);
    cr_expect(rows.rows[0].mode == MILL_ROW_REPO && rows.rows[1].mode == MILL_FIM_NONE &&
              rows.rows[1].record == 1 && rows.rows[2].mode == MILL_ROW_REPO && rows.rows[2].last &&
              rows.documents == 3);
    mill_buf text = {0};
    spell(rows.rows[1].first_token, rows.rows[1].tokens, &text);
    cr_expect(text.bytes == strlen("y = 2\n<|endoftext|>") && memcmp(text.data, "y = 2\n", 6) == 0);
    mill_buf_free(&text);
}

Test(encode_repo, short_rows_are_dropped_and_counted)
{
    add("o/r", "a.py", "x = 1\n");
    mill_encode_options options = options_of("starcoder", 4096);
    encode(&options, MILL_FIM_CHAR, 0);
    const uint64_t tokens = rows.ids.count;
    options.min_chunk = (uint32_t)tokens;
    encode(&options, MILL_FIM_CHAR, 0);
    cr_expect(rows.count == 1 && rows.dropped_rows == 0);
    options.min_chunk++;
    encode(&options, MILL_FIM_CHAR, 0);
    cr_expect(rows.count == 0 && rows.ids.count == 0 && rows.file_count == 0 && rows.dropped_rows == 1 &&
              rows.dropped_tokens == tokens && rows.encoded_tokens == tokens);
}

Test(encode_repo, wrong_frames_and_missing_tokens)
{
    static const mill_repo_options wrong[] = {
        {.preset = "codellama"}, {.file = "{path}"},  {.file = "{content}{content}"},
        {.begin = "{content}"},  {.begin = "{path}"}, {.finish = "{path}"}};
    for (size_t i = 0; i < 6; i++) {
        cr_expect_eq(mill_repo_check(&wrong[i], "<|endoftext|>", &err), MILL_RECIPE, "case %zu", i);
        cr_expect(strstr(err.message, "repo.") != NULL);
    }
    static const char *const tokens[] = {"<nobody>", NULL};
    mill_encode_options options = options_of("starcoder", 64);
    options.repo.file = "<nobody>{content}";
    options.repo.tokens = tokens;
    mill_encode *handle = NULL;
    cr_expect_eq(mill_encode_open(&options, NULL, tokenizer, languages, &handle, &err), MILL_INPUT);
    cr_expect(strstr(err.message, "<nobody>") != NULL, "%s", err.message);
}
