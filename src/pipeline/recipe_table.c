// recipe_table.c: every key of a recipe. The columns `guide` and `default` are the two built-in recipes; where a row has one value,
// both agree. docs/RECIPES.md tells why they differ.
#include "pipeline/recipe_table.h"

static const char *const bad_unicode_names[] = {"replace", "drop", "error", NULL};
static const char *const notebook_names[] = {"keep", "files", "script", NULL};
static const char *const magic_names[] = {"comment", "keep", "drop", NULL};
static const char *const page_names[] = {"keep", "docs", "all", NULL};
static const char *const qa_names[] = {"text", "code", "instruction", NULL};
static const char *const loss_names[] = {"answers", "last", "all", NULL};
static const char *const long_names[] = {"drop", "turn", "cut", NULL};
static const char *const nul_names[] = {"keep", "strip", "quarantine", NULL};
const char *const mill_positions_names[] = {"none", "restart", "continue", NULL};
static const char *const mask_names[] = {"auto", "always", "never", NULL};
static const char *const syntax_names[] = {"off", "tree-sitter", "cpython", NULL};
static const char *const scheme_names[] = {"affine32", "legacy", NULL};
static const char *const policy_names[] = {"first", "cluster", NULL};
static const char *const scope_names[] = {"language", "global", NULL};
static const char *const survivor_names[] = {"first", "stars", "length", NULL};
static const char *const unit_names[] = {"document", "line", "jsonl-line", NULL};
static const char *const cut_names[] = {"char", "line", "token", "block", "line-completion", "multi", "guide", NULL};
static const char *const pack_names[] = {"guide", "concat", "best-fit", NULL};
static const char *const mds_names[] = {"arrays", "llm-foundry", NULL};
static const char *const order_names[] = {"input", "language", "shuffle", NULL};

#define AT(member) offsetof(mill_recipe, member)
#define U64(key, member, low, high, guide, standard, comment)                                      \
    {key, MILL_KEY_U64, AT(member), low, high, NULL, guide, standard, comment}
#define U32(key, member, low, high, guide, standard, comment)                                      \
    {key, MILL_KEY_U32, AT(member), low, high, NULL, guide, standard, comment}
#define FLAG(key, member, guide, standard, comment)                                                \
    {key, MILL_KEY_BOOL, AT(member), 0, 1, NULL, guide, standard, comment}
#define RATE(key, member, guide, standard, comment)                                                \
    {key, MILL_KEY_PERMILLE, AT(member), 0, 1000, NULL, guide, standard, comment}
#define ENUM(key, member, names, guide, standard, comment)                                         \
    {key, MILL_KEY_ENUM, AT(member), 0, 0, names, guide, standard, comment}
#define TEXT(key, member, guide, standard, comment)                                                \
    {key, MILL_KEY_TEXT, AT(member), 0, 0, NULL, guide, standard, comment}
#define LIST(key, member, guide, standard, comment)                                                \
    {key, MILL_KEY_LIST, AT(member), 0, 0, NULL, guide, standard, comment}
#define SHARES(key, member, most, guide, standard, comment)                                        \
    {key, MILL_KEY_SHARES, AT(member), 0, most, NULL, guide, standard, comment}

// clang-format off
const mill_recipe_key mill_recipe_keys[] = {
    U64("seed", seed, 0, INT64_MAX, "0", NULL, "every random choice comes from it"),
    TEXT("rng", rng_text, "\"python\"", "\"counter\"",
         "counter: each choice is a pure function of seed and record; python or python:SEED: the streams that CPython's random would draw, in document order"),

    FLAG("source.strip_metadata_head", strip_metadata_head, "false", "true", "remove the <reponame>..<gh_stars>.. line that StarCoderData puts first"),
    ENUM("source.bad_unicode", bad_unicode, bad_unicode_names, "\"replace\"", NULL, "lone surrogates in JSON: replace by U+FFFD, drop (quarantine) the record, or error"),
    U64("source.record_bytes_max", record_bytes_max, 1024, UINT64_C(1) << 31, "67108864", NULL, "a longer record is quarantined as too_long"),

    ENUM("source.notebooks", shape.notebooks, notebook_names, "\"files\"", "\"script\"", "notebooks become scripts, markdown as comments: keep (never), files (.ipynb files), script (those in data sets, too)"),
    ENUM("source.magics", shape.magics, magic_names, "\"comment\"", NULL, "lines of a notebook that only IPython reads (%magic, !command): comment, keep, drop"),
    FLAG("source.notebook_outputs", shape.keep_outputs, "false", NULL, "keep a notebook's text outputs as comments"),
    U64("source.output_chars", shape.output_chars, 0, INT32_MAX, "600", NULL, "longer outputs are cut"),
    ENUM("source.html", shape.pages, page_names, "\"docs\"", NULL, "HTML pages become Markdown without navigation: keep (never), docs (where the data type is docs), all"),
    FLAG("source.contest_statements", shape.statements, "false", NULL, "data sets of contests: the task's statement as a comment before each solution"),
    FLAG("source.newlines", shape.newlines, "false", NULL, "CR LF and lone CR become LF"),
    FLAG("source.strip_bom", shape.strip_bom, "false", NULL, "a byte order mark at the start of a text goes"),
    ENUM("source.nul", shape.nul, nul_names, "\"keep\"", NULL, "U+0000 in a text: keep, strip, or quarantine the record; files with NUL bytes count as binary unless stripped"),
    FLAG("source.declared_encodings", shape.declared_encodings, "false", "true", "a file that is not UTF-8 is read in the encoding that it declares (byte order mark, coding:, charset=)"),
    TEXT("source.encoding", shape.encoding, "\"\"", NULL, "encoding of files that are not UTF-8 and declare none (a name that iconv knows); empty: they are quarantined"),

    ENUM("qa.form", qa.form, qa_names, "\"code\"", "\"text\"", "Stack Exchange dumps: text (a question with its answers), code (the code blocks of each answer), instruction (records of instruction, input, output)"),
    {"qa.score_above", MILL_KEY_I64, AT(qa.score_above), 0, INT64_MAX, NULL, "5", NULL, "answers must have a higher score"},
    TEXT("qa.site", qa.site, "\"stackoverflow.com\"", NULL, "what stands as repository of posts"),

    TEXT("chat.preset", chat.preset, "\"alpaca\"", "\"chatml\"", "templates of conversations and instructions: alpaca (the guide's form), chatml, llama3; each key below that is not empty overrules it"),
    TEXT("chat.begin", chat.begin, "\"\"", NULL, "what stands before the first turn"),
    TEXT("chat.system", chat.system, "\"\"", NULL, "a system turn; {content} is what it says, {end} the end-of-text token"),
    TEXT("chat.user", chat.user, "\"\"", NULL, "a user's turn, or an instruction"),
    TEXT("chat.assistant", chat.assistant, "\"\"", NULL, "an assistant's turn, or an instruction's output"),
    TEXT("chat.tool", chat.tool, "\"\"", NULL, "what a tool says"),
    TEXT("chat.input", chat.input, "\"\"", NULL, "{instruction} with {input}, where the record has one, as content of a user's turn"),
    TEXT("chat.prompt", chat.prompt, "\"\"", NULL, "the prompt of a prompt with its completion"),
    TEXT("chat.completion", chat.completion, "\"\"", NULL, "the completion"),
    TEXT("chat.finish", chat.finish, "\"\"", NULL, "what stands behind the last turn"),
    LIST("chat.tokens", chat_tokens, "[]", NULL, "names that are control tokens where templates have them (records never make one); empty: those of the preset"),
    ENUM("chat.loss", chat.loss, loss_names, "\"answers\"", NULL, "which tokens are targets: answers (what the assistant says, and the control token right behind it), last (the last answer only), all"),
    ENUM("chat.long", encode.chat_long, long_names, "\"drop\"", NULL, "conversations longer than the context: drop (and count), turn (keep the turns up to the last answer that fits), cut (at the context)"),
    FLAG("chat.joined", encode.chat_joined, "false", NULL, "encode text between control tokens as one string, as transformers' apply_chat_template does; false: what is a target is encoded by itself, as a model continues a prompt"),

    LIST("remove.repos", remove_repos, "[]", NULL, "repositories whose records never come in; an entry @FILE stands for the lines of that file"),
    LIST("remove.paths", remove_paths, "[]", NULL, "the same by path, or repository/path"),
    LIST("remove.hashes", remove_hashes, "[]", NULL, "the same by content: SHA-1 (of the text, or git's of the blob) or SHA-256, as hexadecimal digits"),

    FLAG("filter.enabled", filter.enabled, "true", NULL, "false: every record passes"),
    U64("filter.min_chars", filter.min_chars, 0, INT64_MAX, "100", NULL, "reject documents with fewer code points"),
    U64("filter.max_chars", filter.max_chars, 0, INT64_MAX, "100000", NULL, "reject documents with more code points"),
    U64("filter.min_lines", filter.min_lines, 0, INT64_MAX, "5", NULL, "reject documents with fewer lines (1 + newlines)"),
    LIST("filter.short_types", short_types, "[]", "[\"contest\"]", "data types whose records may be short: min_chars and min_lines do not count"),
    U64("filter.max_mean_line", filter.max_mean_line, 1, INT32_MAX, "200", NULL, "reject documents with more code points a line on average"),
    RATE("filter.min_alnum", filter.min_alnum_permille, "0.5", NULL, "reject documents with a smaller share of alphanumeric and blank code points"),
    RATE("filter.max_comments", filter.max_comment_permille, "0.5", NULL, "reject documents with a larger share of comment lines"),
    FLAG("filter.comment_by_language", filter.comment_by_language, "false", "true", "comment prefixes of the record's language; false: # and // everywhere"),
    FLAG("filter.comment_blocks", filter.comment_blocks, "false", NULL, "count lines of block comments (/*, *) as well; most of them are documentation"),
    LIST("filter.autogen_markers", autogen_markers, "[\"auto-generated\",\"do not edit\",\"generated by\",\"this file is generated\"]", NULL, "reject documents that contain one, in any case"),
    U32("filter.autogen_window", filter.autogen_window, 0, UINT32_MAX, "0", NULL, "look for the markers only in this many bytes at both ends; 0: everywhere"),
    LIST("filter.test_markers", test_markers, "[\"import unittest\",\"import pytest\",\"describe(\",\"it(\"]", NULL, "a document that contains one is a test file"),
    FLAG("filter.test_words", filter.test_words, "false", "true", "markers that end in '(' count only as whole words, and only in JavaScript, TypeScript and Ruby"),
    RATE("filter.test_keep", filter.test_keep_permille, "0.2", NULL, "share of test files that is kept"),
    FLAG("filter.star_sampling", filter.star_sampling, "true", NULL, "keep records by the stars of their repository"),
    {"filter.stars_high", MILL_KEY_I64, AT(filter.stars_high), 0, INT64_MAX, NULL, "100", NULL, "more stars than this: always kept"},
    {"filter.stars_mid", MILL_KEY_I64, AT(filter.stars_mid), 0, INT64_MAX, NULL, "10", NULL, "more stars than this: kept with rate stars_mid_keep, else with stars_low_keep"},
    RATE("filter.stars_mid_keep", filter.stars_mid_permille, "0.8", NULL, "rate of the middle tier"),
    RATE("filter.stars_low_keep", filter.stars_low_permille, "0.3", NULL, "rate of the low tier"),
    FLAG("filter.stars_missing_keep", filter.stars_missing_keep, "false", "true", "a record without a star count passes; false: it counts as 0 stars"),
    LIST("filter.licences", licences, "[]", NULL, "keep only records with one of these licences (lower case); empty: all"),
    TEXT("filter.unicode", unicode_text, "\"14.0\"", "\"16.0\"", "Unicode version of str.isalnum: 14.0 (Python 3.11), 15.0 (3.12), 15.1 (3.13), 16.0 (3.14)"),
    ENUM("filter.syntax", syntax.mode, syntax_names, "\"cpython\"", "\"tree-sitter\"", "syntax check: tree-sitter, cpython (ast.parse by python3, python only), off"),
    {"filter.syntax_limits", MILL_KEY_LIMITS, AT(syntax), 0, 48, NULL,
     "{\"python\":0,\"javascript\":0,\"typescript\":0.02,\"java\":0,\"go\":0,\"php\":0,\"rust\":0.02,\"bash\":0.1,\"csharp\":0.1,\"c\":0.2,\"cpp\":0.2}", NULL,
     "tree-sitter: reject when a larger share of the bytes lies in syntax errors, by language; languages that are not listed get no verdict"},
    TEXT("filter.python", syntax.python, "\"python3\"", NULL, "interpreter of syntax cpython"),

    FLAG("dedup.exact", dedup.exact, "true", NULL, "drop records with the content of an earlier kept one"),
    FLAG("dedup.near", dedup.near, "true", NULL, "drop near duplicates by MinHash-LSH"),
    ENUM("dedup.scheme", dedup.scheme, scheme_names, "\"affine32\"", NULL, "permutations: affine32 (datasketch 2), legacy (datasketch 1)"),
    U32("dedup.num_perm", dedup.num_perm, 2, 1024, "128", NULL, "permutations of a signature"),
    {"dedup.threshold", MILL_KEY_PERMYRIAD, AT(dedup.threshold_permyriad), 0, 10000, NULL, "0.85", NULL, "Jaccard threshold from which bands and rows follow as in datasketch"},
    U32("dedup.bands", dedup.bands, 0, 1024, "0", NULL, "bands by hand; 0: from the threshold"),
    U32("dedup.rows", dedup.rows, 0, 1024, "0", NULL, "rows of a band by hand"),
    U32("dedup.seed", dedup.seed, 0, UINT32_MAX, "1", NULL, "seed of the permutations"),
    ENUM("dedup.policy", dedup.policy, policy_names, "\"first\"", NULL, "first: drop what matches an earlier kept record; cluster: keep one of each connected cluster"),
    ENUM("dedup.survivor", dedup.survivor, survivor_names, "\"first\"", NULL, "policy cluster: which member stays"),
    ENUM("dedup.scope", dedup_scope, scope_names, "\"language\"", "\"global\"", "compare records of one language only, or all"),

    U32("tokenizer.vocab_size", train.vocab_size, 1, 1 << 24, "32000", NULL, "number of ids, special tokens included"),
    U64("tokenizer.min_frequency", train.min_frequency, 0, INT64_MAX, "2", NULL, "a pair that occurs less often is not merged"),
    U64("tokenizer.sample_bytes", train_sample_bytes, 0, INT64_MAX, "0", NULL, "train on about this many bytes of text, drawn by document; 0: on all"),
    U32("tokenizer.max_token_length", train.max_token_length, 0, 65535, "0", NULL, "longest token in bytes, plus one, as in HF's trainer; 0: no limit"),
    FLAG("tokenizer.full_alphabet", train.full_alphabet, "false", "true", "ids for all 256 bytes; false: only for those that occur"),
    ENUM("tokenizer.unit", train_unit, unit_names, "\"document\"", NULL, "what the trainer sees as one text: document, line, or the record's jsonl-line"),
    FLAG("tokenizer.decoder", decoder, "false", "true", "write a ByteLevel decoder into tokenizer.json"),
    TEXT("tokenizer.preset", token_preset, "\"guide\"", NULL, "names of the control tokens: guide, starcoder, qwen, deepseek"),
    LIST("tokenizer.specials", specials, "[\"<|endoftext|>\",\"<|fim_prefix|>\",\"<|fim_middle|>\",\"<|fim_suffix|>\",\"<|file_separator|>\"]", "[]", "control tokens in id order; empty: those of the preset"),
    LIST("tokenizer.language_tags", language_tags, "[\"python\",\"javascript\",\"typescript\",\"java\",\"go\",\"rust\",\"cpp\"]", "[\"*\"]", "languages that get a <|lang_NAME|> token; \"*\": every language of the run"),
    U64("tokenizer.model_max_length", model_max_length, 1, INT32_MAX, "8192", NULL, "written to tokenizer_config.json"),

    RATE("fim.rate", fim.rate_permille, "0.5", NULL, "share of documents (pieces) that are transformed"),
    RATE("fim.spm_rate", fim.spm_permille, "0", "0.5", "share of suffix-prefix-middle among the transformed"),
    ENUM("fim.cut", fim.cut, cut_names, "\"guide\"", "\"char\"", "where to cut: char, line, token, block, line-completion, multi, guide (loses two newlines)"),
    U32("fim.min_chars", fim.min_chars, 0, INT32_MAX, "2", NULL, "shorter pieces stay as they are"),
    U32("fim.block_lines", fim.block_lines_max, 2, INT32_MAX, "64", NULL, "cut block: most lines of a block"),

    FLAG("encode.specials_in_text", encode.parse_specials, "true", "false", "control tokens spelled in a record become control tokens (false: plain text)"),
    FLAG("encode.language_tag", encode.language_tag, "true", NULL, "begin each document with its language tag, where the tokenizer has one"),
    FLAG("encode.end_token", encode.end_token, "true", NULL, "end each document with the end-of-text token"),
    U32("encode.context", encode.context, 0, INT32_MAX, "4096", "0", "longest row in tokens; 0: pack.seq_len + pack.extra"),
    U32("encode.min_chunk", encode.min_chunk, 1, INT32_MAX, "100", "1", "rows with fewer tokens are dropped, and counted"),
    FLAG("encode.guide_chunks", encode.guide_chunks, "true", "false", "cut finished ids every `context` tokens; false: cut the text first and transform each piece by itself"),

    FLAG("repo.sequence", encode.repo.sequence, "false", NULL, "join the files of a repository to one document, what a file imports before it"),
    TEXT("repo.preset", encode.repo.preset, "\"starcoder\"", NULL, "frames of repositories and files: starcoder, qwen, deepseek; each key below that is not empty overrules it"),
    TEXT("repo.begin", encode.repo.begin, "\"\"", NULL, "what a row begins with; {repo} is the repository's name, {end} the end-of-text token"),
    TEXT("repo.file", encode.repo.file, "\"\"", NULL, "a file; {content} is its text, {path} its path"),
    TEXT("repo.finish", encode.repo.finish, "\"\"", NULL, "what the last row of a repository ends with"),
    LIST("repo.tokens", repo_tokens, "[]", NULL, "names that are control tokens where frames have them (files never make one); empty: those of the preset"),
    U32("repo.files", repo_files, 1, 1 << 20, "20000", NULL, "a repository with more files is taken in parts of so many"),
    U64("repo.bytes", repo_bytes, 1, UINT64_C(1) << 30, "16777216", NULL, "a sequence with more text than this ends at a file"),

    ENUM("pack.mode", pack.mode, pack_names, "\"guide\"", "\"best-fit\"", "guide: append until full; concat: one stream cut into samples; best-fit: rows whole, fullest sample first"),
    U32("pack.seq_len", pack.seq_len, 2, 1 << 24, "4096", NULL, "tokens of a sample"),
    U32("pack.extra", pack.extra, 0, 1, "0", NULL, "1: samples of seq_len + 1 tokens, for trainers that shift labels inside a sample"),
    U64("pack.open_max", pack.open_max, 0, INT64_MAX, "0", NULL, "best-fit: open samples to look at; 0: all"),
    ENUM("pack.order", order, order_names, "\"language\"", "\"shuffle\"", "order of documents: input, language (languages sorted, then input), shuffle (by seed and key)"),

    U32("shard.samples", shard.samples_per_shard, 1, 1 << 24, "10000", NULL, "samples of a shard"),
    {"shard.zstd_level", MILL_KEY_U32, AT(shard.zstd_level), 1, 19, NULL, "1", NULL, "level of compressed shards (ids: 1 is smaller than 3, and faster)"},
    FLAG("shard.python_spacing", shard.python_spacing, "true", "false", "spaces as Python's json.dumps writes them"),
    ENUM("shard.loss_mask", loss_mask, mask_names, "\"auto\"", NULL, "write loss_mask (1: the token is a target): auto (where a record of the run is a conversation), always, never"),
    LIST("shard.documents", documents, "[\"megatron\",\"llmc\",\"datatrove\",\"olmo\"]", NULL, "containers that hold whole documents, unpacked, each ended by the end-of-text token; the others hold packed samples"),
    FLAG("shard.pad", pad, "false", NULL, "fill short samples up to pack.seq_len + pack.extra with the end-of-text token, masked (loss_mask 0): rows of one length"),
    {"shard.mds_zstd_level", MILL_KEY_U32, AT(shard.mds_zstd_level), 0, 19, NULL, "0", NULL, "mds: level of zstd for whole shards; 0: not compressed"},
    U64("shard.mds_size_limit", shard.mds_size_limit, 1, UINT32_MAX, "67108864", NULL, "mds: most bytes of a shard before compression"),
    ENUM("shard.mds_form", shard.mds_form, mds_names, "\"arrays\"", NULL, "mds: arrays (column input_ids of the narrowest type), llm-foundry (column tokens, 8 bytes an id)"),
    U32("shard.parquet_group_rows", shard.parquet_group_rows, 1, 1 << 24, "1024", NULL, "parquet: rows of a row group"),
    FLAG("shard.boundaries", shard.boundaries, "false", "true", "write cu_seqlens: where the rows of a sample begin"),
    ENUM("shard.positions", positions, mill_positions_names, "\"none\"", NULL, "write position_ids: restart (from 0 in each row of a sample), continue (rows of one document count on, wherever they lie), none"),

    SHARES("mixture.languages", mixture.languages, 64,
           "{\"python\":0.30,\"javascript\":0.20,\"typescript\":0.10,\"java\":0.08,\"c+cpp\":0.07,\"go\":0.07,\"rust\":0.05,\"php\":0.04,\"csharp\":0.03,\"sql\":0.02,\"bash\":0.02,\"other\":0.02}",
           NULL, "shares of the target by language; a+b share one row; other: the rest; empty: not balanced. Used with --target-tokens"),
    SHARES("mixture.types", mixture.types, 8, "{\"source\":0.70,\"docs\":0.15,\"qa\":0.10,\"notebook\":0.05}", NULL,
           "shares by data type: source, docs, qa, notebook, contest, other"),
    SHARES("mixture.tiers", mixture.tiers, 4, "{\"high\":0.40,\"mid\":0.40,\"low\":0.20}", NULL, "shares by star tier: high, mid, low (filter.stars_high, stars_mid)"),
    U64("mixture.target_tokens", mixture.target_tokens, 0, INT64_MAX, "0", NULL, "stop at this many tokens; 0: take everything"),
    U32("mixture.epochs", mixture.epochs_max, 1, 1000, "1", NULL, "a document may be taken this often to fill a share"),
};
// clang-format on
const size_t mill_recipe_key_count = sizeof mill_recipe_keys / sizeof mill_recipe_keys[0];
