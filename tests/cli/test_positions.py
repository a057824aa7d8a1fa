#!/usr/bin/env python3
"""position_ids: what shard.positions promises, told from cu_seqlens (restart) and from whole documents (continue), in every way a run packs;
kept by convert and merge, by encode and pack, and checked by verify.

usage: test_positions.py PROGRAM   (standard library only)"""
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from corpus import product, read_manifest, seal, write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
HAS_PARQUET = b"Parquet      Arrow" in subprocess.run([PROGRAM, "devices"], stdout=subprocess.PIPE).stdout
COLUMNS = ["jsonl", "mds"] + ["parquet"] * HAS_PARQUET
SMALL = ["--durability", "fast", "--set", "filter.syntax=off", "--set", "tokenizer.vocab_size=500", "--set", "shard.samples=40"]
failures = []


def check(what, good, detail=""):
    if not good:
        failures.append(what)
        print("FAIL:", what, str(detail)[:600], flush=True)


def call(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=180)
    error = done.stderr.decode(errors="replace")
    check(f"{' '.join(map(str, arguments))[:120]} exits {code}", done.returncode == code, f"{done.returncode}: {error}")
    return error


def lines(directory):
    found = []
    for path in sorted(glob.glob(str(directory / "*.jsonl*"))):
        data = open(path, "rb").read()
        if path.endswith(".zst"):
            data = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
        found += [json.loads(line) for line in data.split(b"\n") if line]
    return found


def of_documents(out, by_repo):
    """[(place in the document, position)] of every token, by document; a repository's files are one."""
    samples, documents = lines(out / "shards"), {}
    for d in lines(out / "docs"):
        positions = samples[d["sample"]]["position_ids"][d["begin"]:d["begin"] + d["tokens"]]
        assert len(positions) == d["tokens"]
        if d["mode"] == "padding":
            check("padding counts from 0", positions == list(range(d["tokens"])))
            continue
        key = (d["file"], d["repo"]) if by_repo and d["repo"] else (d["file"], d["record"])
        documents.setdefault(key, []).extend(zip(range(d["doc_begin"], d["doc_begin"] + d["tokens"]), positions))
    return documents


def test_every_packing(work):
    write_corpus(str(work / "corpus.jsonl"), records=150, seed=5)
    cases = {"best-fit": [], "padded": ["--set", "shard.pad=true"], "concat": ["--set", "pack.mode=concat"],
             "extra": ["--set", "pack.mode=concat", "--set", "pack.extra=1", "--set", "encode.context=1000"],
             "guide": ["--recipe", "guide", "--set", "pack.seq_len=200", "--set", "encode.context=150", "--set", "encode.min_chunk=20",
                       "--set", "shard.boundaries=true"],
             "whole": ["--set", "shard.documents=[\"jsonl\"]"],
             "repositories": ["--set", "repo.sequence=true", "--set", "pack.mode=concat", "--set", "pack.extra=1", "--set", "encode.context=900"]}
    for name, options in cases.items():
        for mode in ("restart", "continue"):
            out = work / f"{name}-{mode}"
            call("run", work / "corpus.jsonl", "-o", out, *SMALL, "--set", "pack.seq_len=200", *options, "--set", f"shard.positions={mode}",
                 "--format", "jsonl")
            call("verify", out)
            samples = lines(out / "shards")
            columns = ["input_ids", "length", "cu_seqlens", "position_ids"] + ["loss_mask"] * (name == "padded")
            check(f"{name}: columns", list(samples[0]) == columns, list(samples[0]))
            check(f"{name}: there are many samples", len(samples) > 20, len(samples))
            if mode == "restart":
                wanted = [[i for a, b in zip(s["cu_seqlens"], s["cu_seqlens"][1:]) for i in range(b - a)] for s in samples]
                check(f"{name}: restart", [s["position_ids"] for s in samples] == wanted)
                continue
            documents = of_documents(out, name == "repositories")
            check(f"{name}: continue is the place in the document", all(a == b for d in documents.values() for a, b in d))
            places = [sorted({a for a, _ in d}) for d in documents.values()]
            dense = sum(p == list(range(len(p))) for p in places)
            check(f"{name}: nothing of a document is missing", dense == len(places), (dense, len(places)))
            repeated = sum(map(len, documents.values())) - sum(map(len, places))
            wanted = json.loads((out / "metrics.json").read_bytes())["tokens"]["repeated_borders"]
            check(f"{name}: no two tokens of a document have one place, but for borders that are repeated", repeated == wanted, (repeated, wanted))
            check(f"{name}: some documents have three rows", name in ("whole", "extra", "repositories") or max(d["piece"] for d in lines(out / "docs")) >= 2)
            check(f"{name}: some documents are in pieces", any(len(p) > 200 for p in places))
            mid = sum(s["position_ids"][a] != 0 for s in samples for a in s["cu_seqlens"][:-1])
            check(f"{name}: some rows begin within a document", mid > 0 or name == "whole", mid)


def test_convert_and_merge(work):
    for mode in ("restart", "continue"):
        for what, options in {"packed": ["--set", "pack.mode=concat", "--set", "pack.extra=1"], "repositories": ["--set", "repo.sequence=true", "--set", "pack.extra=0"]}.items():
            whole, plain = work / f"c-{mode}-{what}", work / f"c-{mode}-{what}-plain"
            run = ["run", work / "corpus.jsonl", *SMALL, "--set", "pack.seq_len=200", "--set", "shard.documents=[]", *options]
            error = call(*run, "-o", whole, "--set", f"shard.positions={mode}", "--format", ",".join(COLUMNS + ["megatron"]))
            check("containers without the column are named", "--format megatron: has no place for position_ids" in error and
                  "--format mds: has no place" not in error, error)
            call(*run, "-o", plain, "--format", "megatron")
            wanted = {k: v for k, v in product(whole).items() if k.startswith(("shards/", "shards-mds/", "shards-parquet/", "docs/"))}
            for source in (whole, plain): # from the positions' run, and from ids and sidecar alone
                out = work / "converted"
                call("convert", source, "-o", out, "--durability", "fast", "--set", f"shard.positions={mode}", "--format", ",".join(COLUMNS))
                call("verify", out)
                got = product(out)
                check(f"{mode} {what} {source.name}: the same bytes", all(got.get(k) == v for k, v in wanted.items()),
                      [k for k, v in wanted.items() if got.get(k) != v])
                shutil.rmtree(out)
            call("convert", whole, "-o", work / "dropped", "--durability", "fast", "--set", "shard.positions=none", "--format", "jsonl")
            check("none drops them", "position_ids" not in lines(work / "dropped/shards")[0])
            shutil.rmtree(work / "dropped")
    a = work / "c-continue-packed"
    call("merge", a, a, "-o", work / "twice", "--durability", "fast", "--format", "jsonl")
    call("verify", work / "twice")
    check("merge keeps positions", lines(work / "twice/shards") == 2 * lines(a / "shards"))


def test_stages(work):
    options = [*SMALL, "--set", "pack.seq_len=200", "--set", "pack.order=input", "--set", "encode.context=100", "--set", "shard.positions=continue"]
    call("run", work / "corpus.jsonl", "-o", work / "one", *options, "--format", "jsonl")
    call("encode", work / "corpus.jsonl", "-o", work / "rows", *options, "--tokenizer", work / "one/tokenizer/tokenizer.json")
    rows = lines(work / "rows/rows")
    check("rows tell their place", list(rows[0])[:4] == ["input_ids", "length", "language", "doc_begin"] and max(r["doc_begin"] for r in rows) >= 100,
          rows[0].keys())
    call("pack", work / "rows/rows", "-o", work / "two", *options, "--tokenizer", work / "one/tokenizer/tokenizer.json", "--format", "jsonl")
    call("verify", work / "two")
    found = lambda out: sorted((tuple(s["input_ids"][a:b]), s["position_ids"][a]) for s in lines(out / "shards")
                               for a, b in zip(s["cu_seqlens"], s["cu_seqlens"][1:]))
    kept = {ids for ids, _ in found(work / "one")}
    check("pack goes on where encode cut", set(found(work / "one")) == {x for x in found(work / "two") if x[0] in kept}, len(kept))
    row = work / "rows.jsonl"
    row.write_text("".join(json.dumps(r) + "\n" for r in (
        {"input_ids": [1, 2, 3], "doc_begin": 7}, {"input_ids": [4]}, {"input_ids": [5], "doc_begin": -1}, {"input_ids": [5], "doc_begin": "1"})))
    call("pack", row, "-o", work / "three", *options, "--format", "jsonl")
    sample = lines(work / "three/shards")[0]
    check("doc_begin of a row is where it counts from", sorted(sample["position_ids"]) == [0, 7, 8, 9], sample)
    reasons = [q["detail"] for q in lines(work / "three") if "detail" in q]
    check("other things than numbers are told", len(reasons) == 2 and all("doc_begin" in r for r in reasons), reasons)


def test_threads(work):
    for name, options in (("t1", ["-j", "1"]), ("t3", ["-j", "3", "--set", "shard.samples=40"])):
        call("run", work / "corpus.jsonl", "-o", work / name, *SMALL, "--set", "pack.seq_len=150", "--set", "shard.positions=continue", "--format",
             ",".join(COLUMNS + ["jsonl.zst"]), *options)
    a, b = product(work / "t1"), product(work / "t3")
    check("the same bytes on one thread and on three", a == b, [k for k in a if a[k] != b.get(k)])


def test_old_sidecars(work):
    """A directory whose sidecar does not tell places: restart can be had, continue is refused with the reason."""
    old = work / "old"
    shutil.copytree(work / "one", old)
    path = old / "docs/docs_00000.jsonl.zst"
    text = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout.decode()
    stripped = [{k: v for k, v in json.loads(line).items() if k != "doc_begin"} for line in text.splitlines()]
    path.unlink()
    subprocess.run(["zstd", "-q", "-o", path], input="".join(json.dumps(s, separators=(",", ":"), ensure_ascii=False) + "\n" for s in stripped).encode(),
                   check=True)
    seal(old, read_manifest(old))
    error = call("convert", old, "-o", work / "no", "--format", "mds", code=8)
    check("the reason is told", "where the part lies in its document" in error and "restart" in error, error)
    call("convert", old, "-o", work / "yes", "--format", "jsonl", "--set", "shard.positions=restart")
    check("restart needs no places", lines(work / "yes/shards")[0]["position_ids"][0] == 0)


def test_verify(work):
    """Every changed position is found, by its digest and, behind a right digest, by the sidecar."""
    rng = random.Random(4)
    for mode, options in (("restart", ["--set", "repo.sequence=true"]), ("continue", [])):
        good = work / f"v-{mode}"
        call("run", work / "corpus.jsonl", "-o", good, *SMALL, "--set", "pack.seq_len=200", "--set", f"shard.positions={mode}", "--format", "jsonl", *options)
        for number in range(25):
            copy = work / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(good, copy)
            path = copy / "shards/shard_00000.jsonl"
            samples = path.read_text().splitlines()
            k = rng.randrange(len(samples))
            sample = json.loads(samples[k])
            at = rng.choice([0, sample["length"] - 1, rng.randrange(sample["length"])])
            if number == 0:
                sample["position_ids"].pop()
            elif number == 1:
                del sample["position_ids"]
            else:
                sample["position_ids"][at] += rng.choice([1, 5])
            samples[k] = json.dumps(sample, separators=(",", ":"))
            path.write_text("\n".join(samples) + "\n")
            seal(copy, read_manifest(copy))
            error = call("verify", copy, code=8)
            wanted = "position_ids but" if number == 0 else "has no position_ids" if number == 1 else "do not count the tokens of this part"
            check(f"{mode} {number}: what is wrong is told", wanted in error, error)
        shutil.rmtree(copy)
        shutil.copytree(good, copy)
        manifest = read_manifest(copy)
        next(f for f in manifest["files"] if "positions_sha256" in f)["positions_sha256"] = "0" * 64
        seal(copy, manifest)
        check("a wrong digest is told", "positions_sha256 is not" in call("verify", copy, code=8))


def main():
    with tempfile.TemporaryDirectory(prefix="mill_positions_") as name:
        work = Path(name)
        for test in (test_every_packing, test_convert_and_merge, test_stages, test_threads, test_old_sidecars, test_verify):
            before = len(failures)
            test(work)
            print("ok  " if len(failures) == before else "FAIL", test.__name__, flush=True)
    sys.exit(1 if failures else 0)


main()
