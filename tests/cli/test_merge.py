#!/usr/bin/env python3
"""convert and merge: the same samples in other containers, several runs as one: ids, borders, masks, origins and accounts stay.

usage: test_merge.py PROGRAM   (standard library only)"""
import glob
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from corpus import read_manifest, write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
HAS_PARQUET = b"Parquet      Arrow" in subprocess.run([PROGRAM, "devices"], stdout=subprocess.PIPE).stdout
NAMES = ["jsonl.zst", "jsonl", "megatron", "mds", "npy", "llmc", "datatrove", "olmo"] + ["parquet"] * HAS_PARQUET
SMALL = ["-q", "--durability", "fast", "--set", "filter.syntax=off", "--set", "pack.seq_len=128", "--set", "shard.samples=40",
         "--set", "shard.mds_size_limit=9000"]
QUICK = ["-q", "--durability", "fast"]
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print("FAIL:", what, flush=True)


def call(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def good(*arguments):
    code, out, err = call(*arguments)
    check(code == 0, f"{arguments[0]} exits {code}: {err[-300:]}")
    return out


def sums(out):
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("*"))
            if p.is_file() and ".shardmill" not in p.parts}


def lines(pattern):
    return [json.loads(x) for path in sorted(glob.glob(str(pattern)))
            for x in subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout.split(b"\n") if x]


def converts_to_the_same_bytes(work):
    whole, expected = work / "whole", sums(work / "whole")
    for name in NAMES:
        only, back = work / "only", work / "back"
        good("convert", whole, "--format", name, "-o", only, *QUICK)
        good("verify", only)
        good("inspect", only)
        mine = sums(only)
        documents = name in ("megatron", "llmc", "datatrove", "olmo")
        bad = [n for n in mine if n.startswith(("shards", "docs/", "tokenizer", "metrics", "quarantine", "clusters")) and
               mine[n] != expected.get(n.replace("docs/", "docs-documents/") if documents else n)]
        check(not bad, f"convert to {name}: other bytes in {bad[:4]}")
        if name in ("jsonl", "mds", "npy", "parquet", "jsonl.zst"):  # they hold the packed samples
            good("convert", only, "--format", "jsonl.zst,mds,npy", "-o", back, *QUICK, "-j", "3")
            mine = sums(back)
            bad = [n for n in mine if n.startswith("shards") and mine[n] != expected[n]]
            check(not bad, f"{name} and back: other bytes in {bad[:4]}")
            good("verify", back)
            shutil.rmtree(back)
        shutil.rmtree(only)


def merges(work):
    parts = [work / "part0", work / "part1", work / "part2"]
    out, again = work / "merged", work / "again"
    good("merge", *parts, "-o", out, "--format", "jsonl.zst,megatron,mds", *QUICK)
    good("verify", out)
    good("inspect", out, "-n", "3")
    good("stats", out)
    good("report", out)
    (out / "report.html").unlink()
    good("merge", *parts, "-o", again, "--format", "jsonl.zst,megatron,mds", *QUICK, "-j", "1")
    check(sums(out) == sums(again), "merge: other bytes with one thread")
    samples = [s for p in parts for s in lines(p / "shards" / "*.zst")]
    check(lines(out / "shards" / "*.zst") == samples, "the samples of all parts, in their order")
    docs, number = [], 0
    for part in parts:
        count = len(lines(part / "shards" / "*.zst"))
        docs += [dict(d, sample=d["sample"] + number) for d in lines(part / "docs" / "*.zst")]
        number += count
    check(lines(out / "docs" / "*.zst") == docs, "the sidecars of all parts, numbered anew")
    metrics, each = json.loads((out / "metrics.json").read_text()), [json.loads((p / "metrics.json").read_text()) for p in parts]
    for name in ("total_samples", "total_tokens"):
        check(metrics[name] == sum(m[name] for m in each), f"metrics: {name}")
    for name in ("read", "kept", "quarantined"):
        check(metrics["funnel"][name] == sum(m["funnel"][name] for m in each), f"funnel: {name}")
    check(metrics.keys() == each[0].keys() and metrics["tokens"].keys() == each[0]["tokens"].keys(), "metrics have the members of a run's")
    check(abs(sum(metrics["language_distribution"].values()) - 1) < 1e-4, "shares of languages add up")
    check(len(read_manifest(out)["inputs"]) == 3 and len(read_manifest(out)["made_of"]) == 3, "the manifest tells of all parts")
    check(call("merge", *parts, "-o", out, "--format", "jsonl.zst,megatron,mds")[2].count("already") == 1, "a second merge has nothing to do")
    check(call("merge", parts[0], "-o", out, "--format", "jsonl.zst")[0] == 7, "another plan in the same directory is refused")


def keeps_work_where_it_is_told_to(work):
    for more in ([], ["--keep-work"]):
        out = work / f"work{len(more)}"
        good("convert", work / "whole", "-o", out, "--format", "jsonl.zst", *QUICK, *more)
        check((out / ".shardmill" / "journal").exists() == bool(more), f"convert {more}: the journal is there, or not")


def resumes(work):
    whole, out, delay, kills = work / "whole", work / "killed", 0.02, 0
    arguments = [PROGRAM, "convert", str(whole), "-o", str(out), "--format", ",".join(NAMES), *QUICK]
    for _ in range(60):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=delay)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills, delay = kills + 1, delay + 0.01
    check(process.returncode == 0, f"convert after {kills} kills exits {process.returncode}")
    expected, mine = sums(whole), sums(out)
    check(not [n for n in mine if n.startswith(("shards", "docs")) and mine[n] != expected[n]], f"other bytes after {kills} kills")
    print(f"{kills} kills")


def refuses(work):
    other = work / "other"
    good("run", work / "corpus0.jsonl", "-o", other, *SMALL, "--set", "tokenizer.vocab_size=500")
    for what, code, says, arguments in (
            ("another tokenizer", 3, "different tokenizers", ["merge", work / "part0", other, "-o", work / "no"]),
            ("other kinds", 3, "holds no", ["merge", work / "part0", work / "documents", "-o", work / "no"]),
            ("unfinished", 8, "manifest", ["convert", work, "--format", "mds", "-o", work / "no"]),
            ("a key of the samples", 2, "only shard.*", ["convert", work / "part0", "--format", "mds", "--set", "pack.seq_len=64", "-o", work / "no"]),
            ("no format", 2, "--format is missing", ["convert", work / "part0", "-o", work / "no"]),
            ("two directories", 2, "one directory", ["convert", work / "part0", other, "--format", "mds", "-o", work / "no"])):
        got, _, err = call(*arguments, "--durability", "fast")
        check(got == code and says in err, f"{what}: exits {got}: {err}")
    for damaged in ("shards/shard_00000.jsonl.zst", "docs/docs_00000.jsonl.zst"):
        copy = work / "damaged"
        shutil.copytree(work / "part0", copy)
        data = (copy / damaged).read_bytes()
        (copy / damaged).write_bytes(data[:len(data) // 2])
        got, _, err = call("convert", copy, "--format", "mds", "-o", work / "no2", *QUICK)
        check(got == 8 and damaged in err, f"half of {damaged}: exits {got}: {err}")
        shutil.rmtree(copy)
        shutil.rmtree(work / "no2", ignore_errors=True)


def keeps_masks_and_documents(work):
    masked, out = work / "masked", work / "masked-mds"
    good("run", work / "corpus0.jsonl", "-o", masked, *SMALL, "--set", "tokenizer.vocab_size=500", "--set", "shard.loss_mask=always",
         "--set", "shard.pad=true")
    good("convert", masked, "--format", "mds", "-o", out, *QUICK)
    good("convert", out, "--format", "jsonl.zst", "-o", work / "masked-back", *QUICK)
    check(lines(work / "masked-back" / "shards" / "*.zst") == lines(masked / "shards" / "*.zst"), "masks come back")
    good("convert", work / "documents", "--format", "llmc,olmo,mds", "-o", work / "documents2", *QUICK)
    good("verify", work / "documents2")
    good("convert", work / "documents2", "--format", "megatron", "-o", work / "documents3", *QUICK)
    a, b = sums(work / "documents"), sums(work / "documents3")
    check([n for n in a if n.startswith("shards") and a[n] != b.get(n)] == [], "documents come back")


def main():
    with tempfile.TemporaryDirectory(prefix="mill_merge_") as name:
        work = Path(name)
        for i in range(3):
            write_corpus(str(work / f"corpus{i}.jsonl"), records=90, seed=20 + i)
        good("run", work / "corpus0.jsonl", "-o", work / "whole", *SMALL, "--set", "tokenizer.vocab_size=600", "--format", ",".join(NAMES))
        tokenizer = ["--tokenizer", work / "whole" / "tokenizer" / "tokenizer.json"]
        for i in range(3):
            good("run", work / f"corpus{i}.jsonl", "-o", work / f"part{i}", *SMALL, *tokenizer)
        good("run", work / "corpus0.jsonl", "-o", work / "documents", *SMALL, *tokenizer, "--format", "megatron")
        for test in (converts_to_the_same_bytes, merges, keeps_work_where_it_is_told_to, resumes, refuses, keeps_masks_and_documents):
            before = len(failures)
            test(work)
            print("ok  " if len(failures) == before else "FAIL", test.__name__, flush=True)
    sys.exit(1 if failures else 0)


main()
