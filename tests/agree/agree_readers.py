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

    def text(self, ids):
        parts, control = [b""], [None]
        for i in ids:
            if i in self.special:
                parts.append(b"")
                control.append(self.special[i])
            else:
                parts[-1] += self.bytes[i]
        found = {c: p for c, p in zip(control, parts) if c is not None}
        if "<|fim_middle|>" not in found:
            return b"".join(parts)
        prefix, suffix, middle = (found["<|fim_%s|>" % x] for x in ("prefix", "suffix", "middle"))
        # PSM: PRE p SUF s MID m; SPM (variant 2): PRE SUF s MID p m. Both give p m s.
        return prefix + middle + suffix


def check(work, records, options):
    source, out = os.path.join(work, "corpus.jsonl"), os.path.join(work, "out")
    with open(source, "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in records)
    subprocess.run([PROGRAM, "run", source, "-o", out, "-q", "--overwrite", "--durability", "fast", "--set", "tokenizer.vocab_size=4000"] + options, check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=True)
    metrics = json.load(open(os.path.join(out, "metrics.json")))
    auto = transformers.AutoTokenizer.from_pretrained(os.path.join(out, "tokenizer"))
    probe = "def f(x):\n\treturn 'é😀'  \n"
    assert auto.eos_token == "<|endoftext|>" and auto.pad_token_id is not None and auto.decode(auto(probe, add_special_tokens=False)["input_ids"]) == probe
    shards = sorted(glob.glob(os.path.join(out, "shards", "*.jsonl.zst")))
    rows = datasets.load_dataset("json", data_files=shards, split="train", cache_dir=os.path.join(work, "cache"))
    assert len(rows) == metrics["total_samples"] and sum(rows["length"]) == metrics["total_tokens"]
    samples = [s for path in shards for s in zst_lines(path)]
    restore, spans, modes = Restorer(auto), {}, {}
    for path in sorted(glob.glob(os.path.join(out, "docs", "*.jsonl.zst"))):
        for d in zst_lines(path):
            content = records[d["record"] - 1]["content"].encode()
            ids = samples[d["sample"]]["input_ids"][d["begin"]:d["begin"] + d["tokens"]]
            assert d["begin"] in samples[d["sample"]]["cu_seqlens"]
            assert restore.text(ids) == content[d["text_begin"]:d["text_end"]], d
            spans.setdefault(d["record"], []).append((d["text_begin"], d["text_end"]))
            modes[d["mode"]] = modes.get(d["mode"], 0) + 1
    assert len(spans) == metrics["funnel"]["kept"]
    for record, pieces in spans.items():
        at = 0
        for begin, end in sorted(pieces):
            assert begin == at, "record %d: bytes %d to %d are in no row, or in two" % (record, at, begin)
            at = end
        assert at == len(records[record - 1]["content"].encode()), "record %d is cut short" % record
    print(" ".join(options) or "default recipe", ":", metrics["funnel"]["kept"], "documents,", len(samples), "samples,", modes, ": lossless")


def main():
    records = zst_lines(CORPUS)[::40]
    body = "".join("value_%d = call(<|endoftext|>, '<|fim_middle|>')  # значение 値 🙂\n" % n for n in range(400))
    records += [{"content": body + "x\r\n" * n, "lang": "Python", "max_stars_count": 500} for n in range(5)]
    with tempfile.TemporaryDirectory() as work:
        check(work, records, [])
        for cut in ("line", "token", "block", "line-completion"):
            check(work, records, ["--set", "fim.cut=" + cut, "--set", "filter.syntax=off", "--set", "pack.seq_len=512"])


main()
