#!/usr/bin/env python3
"""Conversations through the program: every form, columns by name, quarantine, masks in every container of rows, verify, the same bytes.

usage: test_chat.py PROGRAM   (standard library and zstd)
"""
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from corpus import product
from tokens import Vocabulary, lines

PROGRAM = os.path.abspath(sys.argv[1])
failures = []
SMALL = ("--durability", "fast", "--set", "tokenizer.vocab_size=500")


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:700]}")


def call(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=120, text=True)
    check(f"exit code of {' '.join(map(str, arguments))} is {code}", done.returncode == code, (done.returncode, done.stderr))
    return done.stdout, done.stderr


def write(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def learned(directory):
    """{record: (whole text, text of the targets)}"""
    found, vocabulary = {}, Vocabulary(directory)
    samples = [s for path in sorted((directory / "shards").glob("*.zst")) for s in lines(path)]
    for path in sorted((directory / "docs").glob("*.zst")):
        for doc in lines(path):
            sample, begin, end = samples[doc["sample"]], doc["begin"], doc["begin"] + doc["tokens"]
            ids, mask = sample["input_ids"][begin:end], sample["loss_mask"][begin:end]
            text = vocabulary.spell([i for i, m in zip(ids, mask) if m])
            before = found.get(doc["record"], ("", "", ""))
            found[doc["record"]] = (before[0] + vocabulary.spell(ids), before[1] + text, doc["mode"])
    return found


def conversation(number, turns=2):
    rng = random.Random(number)
    word = lambda: rng.choice(["alpha", "beta", "value", "naïve", "<|im_end|>", "x = 1\n", "{content}", "данные"]) + str(rng.randrange(1000))
    return {"messages": [{"role": role, "content": " ".join(word() for _ in range(rng.randrange(3, 20)))}
                         for _ in range(turns) for role in ("user", "assistant")], "language": "python"}


# ---- forms

def test_forms(work):
    code = "def f(a):\n    return a + 1\n" * 12
    source = write(work / "forms.jsonl", [
        {"instruction": "Double it", "input": "x", "output": "x * 2", "language": "python"},
        {"instruction": "Say yes", "input": "", "output": "yes"},
        {"instruction": "Say no", "output": "no"},
        {"conversations": [{"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}]},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], "tools": []},
        {"prompt": "p: ", "completion": "c"},
        {"content": code, "language": "python"}])
    call("run", source, "-o", work / "forms", *SMALL, "--set", "fim.rate=1", "--set", "dedup.near=false")
    call("verify", work / "forms")
    found = learned(work / "forms")
    user, answer = "[<|im_start|>]user\n%s[<|im_end|>]\n", "[<|im_start|>]assistant\n%s[<|im_end|>]\n"
    check("an instruction with input", found[1] == (user % "Double it\n\nx" + answer % "x * 2", "x * 2[<|im_end|>]", "chat"), found[1])
    check("an instruction with an empty input", found[2] == (user % "Say yes" + answer % "yes", "yes[<|im_end|>]", "chat"), found[2])
    check("an instruction without input", found[3][:2] == (user % "Say no" + answer % "no", "no[<|im_end|>]"), found[3])
    check("ShareGPT", found[4][:2] == (user % "h" + answer % "g", "g[<|im_end|>]"), found[4])
    check("messages", found[5][:2] == (user.replace("user", "system") % "s" + user % "u" + answer % "a", "a[<|im_end|>]"), found[5])
    check("a prompt", found[6][:2] == ("p: c[<|endoftext|>]", "c[<|endoftext|>]"), found[6])
    check("a file beside them is FIM, and all of it is learned", found[7][2] in ("psm", "spm") and found[7][0] == found[7][1], found[7])
    sample = lines(work / "forms/shards/shard_00000.jsonl.zst")[0]
    check("the columns of a sample", list(sample) == ["input_ids", "length", "cu_seqlens", "loss_mask"], list(sample))
    manifest = (work / "forms/manifest.json").read_text().splitlines()[0]
    check("the manifest tells what the mask is of", json.loads(manifest)["mask_of"] == "token")
    shown, _ = call("inspect", work / "forms", "-n", "1", "--no-color")
    check("inspect shows the mask", "LOSS:\nx * 2\n[<|im_end|>]\nNO LOSS:\n" in shown, shown)

    call("run", source, "-o", work / "guide", *SMALL, "--recipe", "guide", "--set", "filter.syntax=off")
    found = learned(work / "guide")
    check("the guide's template", found[1][:2] == ("### Instruction:\nDouble it\n\n### Input:\nx\n\n### Response:\nx * 2[<|endoftext|>]",
                                                  "x * 2[<|endoftext|>]"), found[1])

    call("filter", source, "-o", work / "filtered", *SMALL[:2])
    kept = lines(work / "filtered/records/records_00000.jsonl.zst")
    check("records come out as they were", [{k: r[k] for k in r if k not in ("language", "repo", "path")} for r in kept[:6]] == [
        {"instruction": "Double it", "input": "x", "output": "x * 2"}, {"instruction": "Say yes", "input": "", "output": "yes"},
        {"instruction": "Say no", "input": "", "output": "no"},
        {"messages": [{"role": "user", "content": "h"}, {"role": "assistant", "content": "g"}]},
        {"messages": [{"role": r, "content": r[0]} for r in ("system", "user", "assistant")]},
        {"prompt": "p: ", "completion": "c"}], kept)
    call("run", work / "filtered/records", "-o", work / "again", *SMALL, "--set", "fim.rate=1", "--set", "dedup.near=false")
    check("and make the same shards again", product(work / "again")["shards/shard_00000.jsonl.zst"] ==
          product(work / "forms")["shards/shard_00000.jsonl.zst"])


def test_columns(work):
    source = write(work / "columns.jsonl", [{"question": "q1", "hint": "h1", "answer": "a1", "content": "not this"},
                                            {"question": "q2", "answer": "a2"}])
    call("run", source, "-o", work / "columns", *SMALL, "--preset", "alpaca", "--field", "instruction=question", "--field", "input=hint",
         "--field", "output=answer", "--set", "chat.preset=alpaca")
    found = learned(work / "columns")
    check("columns by name", [found[n][1] for n in (1, 2)] == ["a1[<|endoftext|>]", "a2[<|endoftext|>]"] and "### Input:\nh1" in found[1][0], found)
    source = write(work / "dialog.jsonl", [{"dialog": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}])
    call("run", source, "-o", work / "dialog", *SMALL, "--field", "messages=dialog", "--set", "chat.preset=llama3")
    check("a column of messages", learned(work / "dialog")[1][:2] ==
          ("[<|begin_of_text|>][<|start_header_id|>]user[<|end_header_id|>]\n\nq[<|eot_id|>][<|start_header_id|>]assistant[<|end_header_id|>]\n\n"
           "a[<|eot_id|>]", "a[<|eot_id|>]"), learned(work / "dialog"))
    _, error = call("run", source, "-o", work / "no", *SMALL, "--field", "massages=dialog", code=2)
    check("an unknown field lists the known", "messages" in error, error)
    _, error = call("run", source, "-o", work / "no", *SMALL, "--set", "chat.user=hello", code=2)
    check("a template without a hole is refused", "chat.user" in error and "{content}" in error, error)


def test_quarantine(work):
    turn = lambda role, content: {"role": role, "content": content}
    bad = [({"messages": [turn("narrator", "x"), turn("assistant", "y")]}, 'unknown role "narrator"'),
           ({"messages": [turn("user", "x")]}, "none of its 1 turns"),
           ({"messages": []}, "none of its 0 turns"),
           ({"messages": [turn("assistant", "x")]}, "begins with what the assistant says"),
           ({"messages": [turn("user", "x"), turn("assistant", " \n")]}, "turn 2: the answer is empty"),
           ({"messages": [turn("user", 5), turn("assistant", "x")]}, "turn 1: its content is of type"),
           ({"messages": [turn("user", "x"), turn("assistant", None)]}, "turn 2: its content is of type null"),
           ({"messages": [{"content": "x"}]}, "turn 1: its role is missing"),
           ({"messages": [{"role": 1, "content": "x"}]}, "turn 1: its role is of type"),
           ({"messages": [["user", "x"]]}, "turn 1 is of type array"),
           ({"messages": {"role": "user"}}, "not a list"),
           ({"instruction": "x"}, "output is missing"),
           ({"instruction": 1, "output": "x"}, "instruction is of type"),
           ({"instruction": "x", "input": [], "output": "x"}, "input is of type array"),
           ({"prompt": "x", "completion": ""}, "turn 2: the answer is empty")]
    source = write(work / "bad.jsonl", [r for r, _ in bad] + [conversation(1)])
    call("run", source, "-o", work / "bad", *SMALL)
    call("verify", work / "bad")
    rows = [json.loads(line) for line in (work / "bad/quarantine.jsonl").read_text().splitlines()]
    check("each is quarantined", [r["record"] for r in rows] == list(range(1, len(bad) + 1)), rows)
    for row, (_, wanted) in zip(rows, bad):
        check(f"quarantine: {wanted}", row["reason"] == "bad_turns" and wanted in row["detail"], row)


# ---- containers of rows

def test_rows(work):
    records = [conversation(n, 1 + n % 3) for n in range(60)]
    source = write(work / "many.jsonl", records)
    options = (*SMALL, "--set", "dedup.near=false")
    call("run", source, "-o", work / "whole", *options, "--set", "pack.seq_len=512")
    found = learned(work / "whole")
    for number, record in enumerate(records, 1):
        wanted = "".join(m["content"] + "[<|im_end|>]" for m in record["messages"] if m["role"] == "assistant")
        check(f"targets of record {number}", found[number][1] == wanted, (found.get(number), wanted))
    call("convert", work / "whole", "--format", "datatrove", "-o", work / "datatrove", *SMALL[:2])
    call("verify", work / "datatrove")
    _, told = call("run", source, "-o", work / "two", *options, "--set", "pack.seq_len=512", "--format", "datatrove,megatron", "--set", "shard.documents=[]")
    check("datatrove keeps masks, Megatron does not", "--format megatron: has no place" in told and "--format datatrove" not in told, told)
    samples = [s for path in sorted((work / "whole/shards").glob("*.zst")) for s in lines(path)]
    for directory in ("datatrove", "two"):
        masks = (work / directory / "shards-datatrove/shard_00000.ds.loss").read_bytes()
        check(f"datatrove's masks in {directory}", masks == bytes(m for s in samples for m in s["loss_mask"]), len(masks))
    (work / "two/shards-datatrove/shard_00000.ds.loss").unlink()
    for command in (["verify", work / "two"], ["convert", work / "two", "--format", "jsonl", "-o", work / "no", *SMALL[:2]]):
        _, error = call(*command, code=8)
        check("a lost mask is told", ".ds" in error and "loss" in error, error)
    call("encode", source, "-o", work / "encoded", *options, "--set", "pack.seq_len=512")
    rows = lines(work / "encoded/rows/rows_00000.jsonl.zst")
    check("rows have masks", all(len(r["loss_mask"]) == r["length"] and 0 < sum(r["loss_mask"]) < r["length"] for r in rows), rows[:1])
    call("verify", work / "encoded")
    call("pack", work / "encoded/rows", "-o", work / "packed", *options, "--set", "pack.seq_len=512", "--set", "pack.order=input",
         "--tokenizer", work / "encoded/tokenizer/tokenizer.json")
    call("verify", work / "packed")
    count = lambda d: sum(sum(s["loss_mask"]) for p in (d / "shards").glob("*.zst") for s in lines(p))
    check("pack keeps masks", count(work / "packed") == count(work / "whole") == sum(sum(r["loss_mask"]) for r in rows), count(work / "packed"))
    _, error = call("run", source, "-o", work / "concat", *options, "--set", "pack.mode=concat", "--set", "pack.seq_len=50", "--set",
                    "encode.context=2000")
    check("concat is warned of", "best-fit keeps them whole" in error, error)
    call("verify", work / "concat")
    parts = learned(work / "concat")
    check("concat cuts masks where it cuts ids", all(parts[n][:2] == found[n][:2] for n in found), [n for n in found if parts[n] != found[n]])

    _, stderr = call("run", source, "-o", work / "short", *options, "--set", "pack.seq_len=100")
    stats = json.loads((work / "short/metrics.json").read_text())
    short = learned(work / "short")
    check("what does not fit is dropped, and counted", 0 < len(short) < 60 and all(short[n] == found[n] for n in short) and
          stats["tokens"]["dropped_short_rows"] > 0, stats)
    call("run", source, "-o", work / "turns", *options, "--set", "pack.seq_len=100", "--set", "chat.long=turn")
    cut = learned(work / "turns")
    check("or ends with an answer", len(cut) > len(short) and all(found[n][0].startswith(cut[n][0]) and (cut[n] == found[n] or cut[n][0].endswith(
        "[<|im_end|>]")) for n in cut), len(cut))
    call("verify", work / "turns")
    bytes_of = {}
    for name, more in {"1": ("-j", "1"), "2": ("-j", "2", "--batch-size", "16K"), "3": ("-j", "5", "--batch-size", "8K")}.items():
        call("run", source, "-o", work / f"same{name}", *options, *more)
        bytes_of[name] = product(work / f"same{name}")
        bytes_of[name] = {k: v for k, v in bytes_of[name].items() if k not in ("metrics.json", "manifest.json", "SHA256SUMS", "README.md")}
    check("the same bytes for any threads and batches", bytes_of["1"] == bytes_of["2"] == bytes_of["3"], bytes_of)
    call("run", source, "-o", work / "never", *options, "--set", "shard.loss_mask=never")
    check("no mask where none is wanted", "loss_mask" not in lines(work / "never/shards/shard_00000.jsonl.zst")[0])
    call("verify", work / "never")


def test_no_fim_and_dedup(work):
    records = [conversation(n) for n in range(20)]
    source = write(work / "twice.jsonl", records + records)
    _, stderr = call("run", source, "-o", work / "twice", *SMALL, "--set", "fim.rate=1", "--set", "dedup.near=false")
    check("equal conversations are duplicates", "exact duplicates 20" in stderr, stderr)
    modes = {d["mode"] for d in lines(work / "twice/docs/docs_00000.jsonl.zst")}
    check("conversations are never transformed", modes == {"chat"}, modes)
    text = subprocess.run(["zstd", "-dc", str(work / "twice/shards/shard_00000.jsonl.zst")], capture_output=True, check=True).stdout.decode()
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "shard.zst"
        subprocess.run(["zstd", "-q", "-o", str(changed)], input=text.replace('"loss_mask":[0', '"loss_mask":[1', 1).encode(), check=True)
        (work / "twice/shards/shard_00000.jsonl.zst").write_bytes(changed.read_bytes())
    call("verify", work / "twice", code=8)


with tempfile.TemporaryDirectory(prefix="mill-chat-") as folder:
    for test in (test_forms, test_columns, test_quarantine, test_rows, test_no_fim_and_dedup):
        test(Path(folder))
print(f"{len(failures)} failures" if failures else "conversations: all good")
sys.exit(1 if failures else 0)
