#!/usr/bin/env python3
"""Every container read by its real client: the ids, the order and the borders are those of the JSON lines, and the Megatron index, all MDS
files and all of datatrove are byte for byte what the clients' own writers make from the same rows.

usage: agree_containers.py SHARDMILL"""
import contextlib, csv, glob, gzip, hashlib, importlib.util, json, os, struct, subprocess, sys, tempfile, types

PROGRAM = os.path.abspath(sys.argv[1])
SHARED = os.environ.get("SHARDMILL_SHARED", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared"))
CORPUS, CHECKER = os.path.join(SHARED, "corpus", "code.jsonl.zst"), os.path.join(SHARED, "oracle", "check_formats.py")
os.environ["HF_HUB_OFFLINE"] = "1"


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


try:
    import numpy as np, datasets, transformers, zstandard
except ImportError as e:
    skip("%s (tools/setup peers)" % e)
for path in (CORPUS, CHECKER):
    if not os.path.exists(path):
        skip(path + " is not beside the repository")
spec = importlib.util.spec_from_file_location("check_formats", CHECKER)
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)
try: # their reading code only, without torch
    megatron = check.load_megatron(light=True)[0]
    check.load_streaming(light=True)
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile
except ImportError as e:
    skip("%s (tools/setup peers)" % e)


def zst_lines(path):
    data = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(x) for x in data.split(b"\n") if x]


def all_lines(pattern):
    return [x for path in sorted(glob.glob(pattern)) for x in zst_lines(path)]


def digests(sequences):
    ids, lengths = hashlib.sha256(), hashlib.sha256()
    for s in sequences:
        ids.update(np.asarray(s, dtype="<u4").tobytes())
        lengths.update(struct.pack("<Q", len(s)))
    return {"ids_sha256": ids.hexdigest(), "lengths_sha256": lengths.hexdigest(), "tokens": sum(map(len, sequences)), "sequences": len(sequences)}


def compare(what, facts, wanted):
    for name, value in wanted.items():
        assert facts[name] == value, "%s: %s is %r, wanted %r" % (what, name, facts[name], value)


# ---- what the containers must hold, from the JSON lines and the sidecar ----

def documents_of(out, samples, end):
    """Every document as one sequence, its rows taken out of the samples; and their masks (all 1 where samples have none)."""
    rows, chats = {}, set()
    for d in all_lines(os.path.join(out, "docs", "*.jsonl.zst")):
        if d["mode"] == "padding":
            ids = samples[d["sample"]]["input_ids"]
            assert d["begin"] + d["tokens"] == len(ids) and set(ids[d["begin"]:]) == {end} and not any(samples[d["sample"]]["loss_mask"][d["begin"]:])
            continue
        key, sample, part = (d["file"], d["record"], d["piece"]), samples[d["sample"]], slice(d["begin"], d["begin"] + d["tokens"])
        row = rows.setdefault(key, [])
        if d["mode"] == "chat":
            chats.add(key)
        tokens = list(zip(sample["input_ids"][part], sample["loss_mask"][part] if "loss_mask" in sample else [1] * d["tokens"]))
        row += tokens[len(row) - d["row_begin"]:] # with pack.extra, a sample begins with the last token of the one before
    documents = []
    for d in all_lines(os.path.join(out, "docs-documents", "*.jsonl.zst")):
        if d["begin"] == 0:
            assert d["sample"] == len(documents), d
            documents.append([])
        key = d["file"], d["record"], d["piece"]
        document, row = documents[-1], rows[key]
        assert len(document) == d["begin"] and d["row_begin"] == 0, d
        document += row
        assert 0 <= d["begin"] + d["tokens"] - len(document) <= 1, d # an added end of text
        if len(document) < d["begin"] + d["tokens"]:
            document.append((end, int(key not in chats)))
    for document in documents:
        assert document[-1][0] == end and len(document) > 1
    return [[i for i, m in d] for d in documents], [[m for i, m in d] for d in documents]


# ---- the clients' own writers ----

DATATROVE = (".ds", ".ds.index", ".ds.metadata", ".ds.loss")


def megatron_writes(work, sequences, dtype):
    bin_path, idx_path = os.path.join(work, "own.bin"), os.path.join(work, "own.idx")
    builder = megatron.IndexedDatasetBuilder(bin_path, dtype=dtype)
    for s in sequences:
        builder.add_document(np.asarray(s), [len(s)])
    builder.finalize(idx_path)
    return open(bin_path, "rb").read(), open(idx_path, "rb").read()


def datatrove_writes(work, documents, masks):
    """Its four files by their suffixes; masks is None where nothing is masked."""
    writer = TokenizedFile(work, "own.ds", save_loss_metadata=masks is not None, save_final_metadata=True,
                           tokenizer_name_or_path="tokenizer/tokenizer.json")
    for i, document in enumerate(documents):
        writer.write(document, masks[i] if masks else None)
    writer.close()
    return {suffix: open(os.path.join(work, "own" + suffix), "rb").read() for suffix in DATATROVE if masks or suffix != ".ds.loss"}


class Uploader: # its cloud part is no part of the format
    def __init__(self, path):
        self.local, self.remote = path, None
        os.makedirs(path)

    @classmethod
    def get(cls, path, keep_local=False, progress_bar=False, retry=2):
        return cls(path)

    def upload_file(self, name):
        pass


def mds_writes(path, rows, columns, size_limit, compression):
    if "streaming.base.storage.upload" not in sys.modules:
        check._package_without_init("streaming.base.storage")
        module = types.ModuleType("streaming.base.storage.upload")
        module.CloudUploader = Uploader
        sys.modules["streaming.base.storage.upload"] = module
    from streaming.base.format.mds.writer import MDSWriter
    with MDSWriter(out=path, columns=columns, compression=compression, hashes=["sha1", "xxh64"], size_limit=size_limit) as writer:
        for row in rows:
            writer.write(row)


# ---- one run ----

def run(work, name, options):
    out = os.path.join(work, name)
    subprocess.run([PROGRAM, "run", os.path.join(work, "corpus.jsonl"), "-o", out, "-q", "--durability", "fast", "--set", "tokenizer.vocab_size=3000",
                    "--set", "filter.syntax=off"] + options, check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=True)
    subprocess.run([PROGRAM, "verify", out], check=True, stdout=subprocess.DEVNULL)
    manifest = json.loads(open(os.path.join(out, "manifest.json")).readline())
    return out, manifest, {c["name"]: c for c in manifest["containers"]}, {f["path"]: f for f in manifest["files"]}


def check_shards(out, container, files, suffix, read, sequences):
    """Each shard by its client against its facts in the manifest; all together against the sequences."""
    paths = sorted(p for p in files if p.startswith(container["directory"] + "/") and p.endswith(suffix))
    assert len(paths) == container["shards"] and paths, paths
    at = 0
    for path in paths:
        facts, seen = files[path], read(os.path.join(out, path))
        part = sequences[at:at + facts["samples"]]
        at += facts["samples"]
        wanted = digests(part if container["borders"] else [[i for s in part for i in s]])
        compare(path, seen, wanted)
        compare(path + " in the manifest", facts, {k: wanted[k] for k in ("ids_sha256", "lengths_sha256", "tokens")})
    assert at == len(sequences) == container["sequences"], (at, len(sequences))
    return paths


def check_megatron(work, out, container, files, sequences):
    paths = check_shards(out, container, files, ".bin", lambda p: check.check_megatron(p[:-4], light=True), sequences)
    at = 0
    for path in paths:
        part = sequences[at:at + files[path]["samples"]]
        at += len(part)
        own = megatron_writes(work, part, np.uint16)
        prefix = os.path.join(out, path[:-4])
        assert (open(prefix + ".bin", "rb").read(), open(prefix + ".idx", "rb").read()) == own, path + " is not what megatron-core writes"
    return len(paths)


def check_mds(work, out, container, samples, size_limit, level, uniform, form="arrays"):
    directory = os.path.join(out, container["directory"])
    seen = check.check_mds(directory, light=True)
    sequences = [s["input_ids"] for s in samples]
    compare(directory, seen, digests(sequences))
    compare(directory, container, {k: seen[k] for k in ("ids_sha256", "lengths_sha256")})
    shape = ":%d" % uniform if uniform else ""
    columns = {"cu_seqlens": "ndarray:int32"}
    columns.update({"input_ids": "ndarray:uint16" + shape} if form == "arrays" else {"tokens": "bytes"})
    rows = [{"cu_seqlens": np.asarray(s["cu_seqlens"], np.int32), "input_ids": np.asarray(s["input_ids"], np.uint16),
             "tokens": np.asarray(s["input_ids"], "<i8").tobytes()} for s in samples]
    if "loss_mask" in samples[0]:
        columns["loss_mask"] = "ndarray:uint8" + shape
        for row, s in zip(rows, samples):
            row["loss_mask"] = np.asarray(s["loss_mask"], np.uint8)
    if "position_ids" in samples[0]:
        columns["position_ids"] = "ndarray:int32" + shape
        for row, s in zip(rows, samples):
            row["position_ids"] = np.asarray(s["position_ids"], np.int32)
    own = tempfile.mkdtemp(dir=work) + "/mds"
    mds_writes(own, rows, columns, size_limit, "zstd:%d" % level if level else None)
    names = sorted(os.listdir(own))
    assert names == sorted(os.listdir(directory)), names
    same_zstd = level == 0 or zstd_is_the_same()
    for name in names:
        a, b = open(os.path.join(own, name), "rb").read(), open(os.path.join(directory, name), "rb").read()
        if not same_zstd: # other versions of zstd pack otherwise: what comes out counts
            if name == "index.json":
                continue
            a, b = (zstandard.ZstdDecompressor().decompress(x) for x in (a, b))
        assert a == b, name + " is not what mosaicml-streaming writes"
    return "%d files%s" % (len(names), "" if same_zstd else " (uncompressed)")


def read_olmo(path):
    """Headerless ids, cut by the table beside them."""
    ids, at, sequences = np.fromfile(path, "<u2"), 0, []
    with gzip.open(path[:-4] + ".csv.gz", "rt", newline="") as f:
        for begin, end, name, source, record in csv.reader(f):
            assert int(begin) == at and name == source + "#" + record and source in ("corpus.jsonl", "chats.jsonl", ""), (begin, name, source)
            at = int(end)
            sequences.append(ids[int(begin):at])
    assert at == len(ids)
    return digests(sequences)


def check_streams(work, out, held, files, documents, masks):
    """llm.c: the flat stream; datatrove and OLMo: the same with the ends of documents."""
    check_shards(out, held["llmc"], files, ".bin", lambda p: check.check_llmc([p]), documents)
    paths = check_shards(out, held["datatrove"], files, ".ds", lambda p: check.check_raw(p, "uint16"), documents)
    check_shards(out, held["olmo"], files, ".npy", read_olmo, documents)
    at = 0
    for path in paths:
        count = files[path]["samples"]
        own = datatrove_writes(work, documents[at:at + count], masks and masks[at:at + count])
        found = {p[p.index("."):]: open(p, "rb").read() for p in glob.glob(glob.escape(os.path.join(out, path[:-3])) + ".*")}
        assert found == own, (path, list(found), [s for s in own if found.get(s) != own[s]])
        at += count
    assert at == len(documents)


@contextlib.contextmanager
def no_torch():
    """datasets asks a torch that is there for more than the stand-in of the other clients has."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "torch"}
    try:
        yield
    finally:
        sys.modules.update(hidden)


def check_parquet(work, out, container, files, samples):
    paths = check_shards(out, container, files, ".parquet", lambda p: check.check_parquet([p]), [s["input_ids"] for s in samples])
    rows = datasets.load_dataset("parquet", data_files=[os.path.join(out, p) for p in paths], split="train", cache_dir=tempfile.mkdtemp(dir=work))
    assert rows.column_names == list(samples[0]), rows.column_names
    for row, sample in zip(rows, samples):
        assert row == sample, (row, sample)


def check_positions(samples):
    """From 0 in each row, as the collator that flattens rows into one gives them to the model."""
    collate = transformers.DataCollatorWithFlattening(return_tensors="np", return_flash_attn_kwargs=True)
    for s in samples:
        batch = collate([{"input_ids": s["input_ids"][a:b]} for a, b in zip(s["cu_seqlens"], s["cu_seqlens"][1:])])
        assert batch["input_ids"].tolist() == [s["input_ids"]]
        assert batch["position_ids"].tolist() == [s["position_ids"]] and batch["cu_seq_lens_q"].tolist() == s["cu_seqlens"], s


def zstd_is_the_same():
    import zstd
    return ("zstd " + zstd.ZSTD_version()) in subprocess.run([PROGRAM, "devices"], stdout=subprocess.PIPE).stdout.decode()


def main():
    with tempfile.TemporaryDirectory() as work:
        with open(os.path.join(work, "corpus.jsonl"), "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in zst_lines(CORPUS)[::25])
        with open(os.path.join(work, "chats.jsonl"), "w") as f:
            f.writelines(json.dumps({"messages": [{"role": r, "content": "%s %d" % (t, i)} for t in ("one", "two") for r in ("user", "assistant")]}) + "\n"
                         for i in range(40))
        has_parquet = "Parquet      Arrow" in subprocess.run([PROGRAM, "devices"], stdout=subprocess.PIPE).stdout.decode()
        everything = ["--format", "jsonl.zst,megatron,mds,npy,llmc,datatrove,olmo" + (",parquet" if has_parquet else ""), "--set", "shard.samples=60"]
        cases = {
            "best-fit": ["--set", "pack.seq_len=512", "--set", "shard.mds_size_limit=100000"],
            "concat": ["--set", "pack.mode=concat", "--set", "pack.seq_len=256", "--set", "pack.extra=1", "--set", "shard.mds_zstd_level=3",
                       "--set", "shard.mds_size_limit=50000"],
            "guide": ["--recipe", "guide", "--set", "filter.syntax=off", "--set", "pack.seq_len=1024", "--set", "shard.boundaries=true"],
            "packed": ["--set", "shard.documents=[]", "--set", "pack.seq_len=300"],
            "padded": ["--set", "shard.pad=true", "--set", "pack.seq_len=256"],
            "padded-stream": ["--set", "shard.pad=true", "--set", "pack.seq_len=400", "--set", "pack.mode=concat", "--set", "shard.mds_size_limit=70000",
                              "--set", "shard.positions=restart"],
            "mask": ["--set", "shard.loss_mask=always", "--set", "pack.seq_len=512", "--set", "shard.mds_size_limit=200000"],
            "chats": [os.path.join(work, "chats.jsonl"), "--set", "pack.seq_len=512", "--set", "shard.mds_size_limit=210000", "--set", "dedup.near=false"],
            "positions": ["--set", "shard.positions=continue", "--set", "shard.loss_mask=always", "--set", "pack.seq_len=500", "--set",
                          "shard.mds_size_limit=250000"],
            "foundry": ["--set", "shard.mds_form=llm-foundry", "--set", "shard.positions=restart", "--set", "pack.seq_len=512", "--set", "shard.mds_size_limit=300000"],
        }
        for name, options in cases.items():
            out, manifest, held, files = run(work, name, everything + options)
            end = {t["content"]: t["id"] for t in json.load(open(os.path.join(out, "tokenizer", "tokenizer.json")))["added_tokens"]}["<|endoftext|>"]
            samples = all_lines(os.path.join(out, "shards", "*.jsonl.zst"))
            sequences = [s["input_ids"] for s in samples]
            compare(name, manifest, {k: v for k, v in digests(sequences).items() if k.endswith("sha256")})
            documents, masks = (sequences, None) if name == "packed" else documents_of(out, samples, end) if name != "guide" else (None, None)
            masks = masks if "loss_mask" in samples[0] else None
            lengths = {len(s) for s in sequences}
            uniform = lengths.pop() if len(lengths) == 1 else 0
            assert (uniform != 0) == name.startswith("padded") == (held["npy"]["borders"]), (name, uniform)
            count = check_megatron(work, out, held["megatron"], files, documents) if documents is not None else 0
            level = 3 if name == "concat" else 0
            limit = {"best-fit": 100000, "concat": 50000, "mask": 200000, "chats": 210000, "positions": 250000, "foundry": 300000, "padded-stream": 70000}.get(name, 67108864)
            mds = check_mds(work, out, held["mds"], samples, limit, level, uniform, "llm-foundry" if name == "foundry" else "arrays")
            if documents is not None:
                check_streams(work, out, held, files, documents, masks)
            if "parquet" in held:
                with no_torch():
                    check_parquet(work, out, held["parquet"], files, samples)
            if name in ("padded-stream", "foundry"):
                check_positions(samples)
            check_shards(out, held["npy"], files, ".npy", check.check_npy, sequences)
            print("%s: %d samples, %s documents; %d Megatron shards and %s of MDS byte for byte" % (
                name, len(samples), held["megatron"]["sequences"], count, mds), flush=True)


main()
