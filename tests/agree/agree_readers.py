#!/usr/bin/env python3
"""What comes out, by its real clients: transformers loads the tokenizer, datasets the shards, and every row gives back the bytes of its record.

usage: agree_readers.py SHARDMILL"""
import glob, json, os, subprocess, sys, tempfile

PROGRAM = os.path.abspath(sys.argv[1])
SHARED = os.environ.get("SHARDMILL_SHARED", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared"))
CORPUS = os.path.join(SHARED, "corpus", "code.jsonl.zst")
os.environ["HF_HUB_OFFLINE"] = "1"


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


try:
    import datasets, tokenizers, transformers
except ImportError as e:
    skip("%s (tools/setup peers)" % e)
if not os.path.exists(CORPUS):
    skip("the shared corpus is not beside the repository")


def zst_lines(path):
    return [json.loads(x) for x in subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout.split(b"\n") if x]


class Restorer:
    """ids of a row -> bytes of the text, with nothing but the tokenizer's vocabulary"""

    def __init__(self, tokenizer):
        table = {}
        rest = [b for b in range(256) if not (33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255)]
        for b in range(256):
            table[chr(256 + rest.index(b)) if b in rest else chr(b)] = b
        self.special = {i: t.content for i, t in tokenizer.added_tokens_decoder.items()}
        self.bytes = {i: bytes(table[c] for c in t) for t, i in tokenizer.get_vocab().items() if i not in self.special}

    def text(self, ids, names):
        """names: the control tokens of (prefix, middle, suffix)"""
        parts, control = [b""], [None]
        for i in ids:
            if i in self.special:
                parts.append(b"")
                control.append(self.special[i])
            else:
                parts[-1] += self.bytes[i]
        found = {c: p for c, p in zip(control, parts) if c is not None}
        if "<|fim_span_0|>" in found: # c0 S0 c1 S1 .. ck S0 m0 E S1 m1 E ..: the text is c0 m0 c1 m1 .. ck
            spans = [p for c, p in zip(control, parts) if c is not None and c.startswith("<|fim_span_") and c != "<|fim_span_end|>"]
            half, first = len(spans) // 2, control.index("<|fim_span_0|>")
            return parts[first - 1] + b"".join(m + c for c, m in zip(spans[:half], spans[half:]))
        if names[1] not in found:
            return b"".join(parts)
        # PSM: PRE p SUF s MID m; SPM (variant 2): PRE SUF s MID p m. Both give p m s.
        return found[names[0]] + found[names[1]] + found[names[2]]


PRESETS = {  # the sentinels as published: prefix, middle, suffix, end of text
    "guide": ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|endoftext|>"),
    "starcoder": ("<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<|endoftext|>"),
    "qwen": ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|endoftext|>"),
    "deepseek": ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581end\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
}


def check(work, records, options, preset="guide"):
    source, out = os.path.join(work, "corpus.jsonl"), os.path.join(work, "out")
    with open(source, "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in records)
    vocabulary = [] if "--tokenizer" in options else ["--set", "tokenizer.vocab_size=4000", "--set", "tokenizer.preset=" + preset]
    subprocess.run([PROGRAM, "run", source, "-o", out, "-q", "--overwrite", "--durability", "fast"] + vocabulary + options, check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=True)
    metrics = json.load(open(os.path.join(out, "metrics.json")))
    auto = transformers.AutoTokenizer.from_pretrained(os.path.join(out, "tokenizer"))
    probe = "def f(x):\n\treturn 'é😀'  \n"
    names = PRESETS[preset]

    def text_of(record): # a tokenizer that normalizes changes the document first
        text = records[record - 1]["content"]
        return (auto.backend_tokenizer.normalizer.normalize_str(text) if auto.backend_tokenizer.normalizer else text).encode()
    assert auto.eos_token == names[3] and auto.pad_token_id is not None and auto.decode(auto(probe, add_special_tokens=False)["input_ids"]) == probe
    shards = sorted(glob.glob(os.path.join(out, "shards", "*.jsonl.zst")))
    rows = datasets.load_dataset("json", data_files=shards, split="train", cache_dir=os.path.join(work, "cache"))
    assert len(rows) == metrics["total_samples"] and sum(rows["length"]) == metrics["total_tokens"]
    cache = tempfile.mkdtemp(dir=work) # a directory of the same name was loaded before
    whole = datasets.load_dataset(out, split="train", cache_dir=cache) # by the head of README.md
    assert whole["length"] == rows["length"] and whole.column_names == rows.column_names
    pieces = datasets.load_dataset(out, "docs", split="train", cache_dir=cache)
    assert sum(pieces["tokens"]) == metrics["total_tokens"]
    samples = [s for path in shards for s in zst_lines(path)]
    restore, spans, modes, rows = Restorer(auto), {}, {}, {}
    docs = [d for path in sorted(glob.glob(os.path.join(out, "docs", "*.jsonl.zst"))) for d in zst_lines(path)]
    for d in docs: # a row may lie in several samples when the stream is cut
        assert d["begin"] in samples[d["sample"]]["cu_seqlens"]
        row = rows.setdefault((d["record"], d["piece"]), [])
        ids = samples[d["sample"]]["input_ids"][d["begin"]:d["begin"] + d["tokens"]]
        shared = len(row) - d["row_begin"] # with pack.extra, a sample begins with the last token of the one before
        assert 0 <= shared <= 1 and row[d["row_begin"]:] == ids[:shared], d
        row += ids[shared:]
    for d in {(d["record"], d["piece"]): d for d in docs if d["row_begin"] == 0}.values():
        content = text_of(d["record"])
        assert restore.text(rows[d["record"], d["piece"]], names) == content[d["text_begin"]:d["text_end"]], d
        spans.setdefault(d["record"], []).append((d["text_begin"], d["text_end"]))
        modes[d["mode"]] = modes.get(d["mode"], 0) + 1
    assert len(spans) == metrics["funnel"]["kept"]
    for record, pieces in spans.items():
        at = 0
        for begin, end in sorted(pieces):
            assert begin == at, "record %d: bytes %d to %d are in no row, or in two" % (record, at, begin)
            at = end
        assert at == len(text_of(record)), "record %d is cut short" % record
    print(preset, " ".join(options), ":", metrics["funnel"]["kept"], "documents,", len(samples), "samples,", modes, ": lossless")
    return json.loads(open(os.path.join(out, "manifest.json")).readline())["totals"]["normalized_documents"]


def of_others(work, records, normalizer):
    """A tokenizer.json of another maker: the Llama-3 splits, ignore_merges, a BOS template, Qwen's sentinels."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers, decoders
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    made = Tokenizer(models.BPE(ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    if normalizer is not None:
        made.normalizer = normalizer
    made.train_from_iterator((r["content"] for r in records[:200]), trainers.BpeTrainer(
        vocab_size=3000, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|begin_of_text|>", *PRESETS["qwen"]]))
    made.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])
    path = os.path.join(work, "given.json")
    made.save(path)
    return path


def main():
    records = zst_lines(CORPUS)[::40]
    body = "".join("value_%d = call(<|endoftext|>, '<|fim_middle|>')  # значение 値 🙂 e\u0301\n" % n for n in range(400))
    records += [{"content": body + "x\r\n" * n, "lang": "Python", "max_stars_count": 500} for n in range(5)]
    with tempfile.TemporaryDirectory() as work:
        off = ["--set", "filter.syntax=off"]
        check(work, records, [])
        for cut in ("line", "token", "block", "line-completion", "multi"):
            check(work, records, off + ["--set", "fim.cut=" + cut, "--set", "pack.seq_len=512"])
        check(work, records, off + ["--set", "pack.mode=concat", "--set", "pack.extra=1", "--set", "pack.seq_len=512"])
        for preset in ("starcoder", "qwen", "deepseek"):
            check(work, records, off, preset)
        check(work, records, off + ["--tokenizer", of_others(work, records, None)], "qwen")
        changed = check(work, records, off + ["--tokenizer", of_others(work, records, tokenizers.normalizers.NFC())], "qwen")
        assert changed >= 1, changed


main()
