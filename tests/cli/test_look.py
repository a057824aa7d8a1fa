#!/usr/bin/env python3
"""explain, plan, dry runs, devices and recipes tell the truth and change nothing; single-stage commands chain up to shards.

usage: test_look.py PROGRAM   (standard library only)
"""
import collections
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = os.path.abspath(sys.argv[1])
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:600]}")


def call(*arguments, stdin=None, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=120)
    check(f"exit code of {' '.join(map(str, arguments))} is {code}", done.returncode == code, (done.returncode, done.stderr))
    return done.stdout.decode(), done.stderr.decode()


def document(*arguments, **more):
    out, _ = call(*arguments, "--json", **more)
    try:
        value = json.loads(out)
    except ValueError:
        check(f"{arguments[0]} --json is one document", False, out)
        return {}
    check(f"{arguments[0]} --json has a schema number", value.get("schema") == 1, out)
    return value


def program_text(number, lines=40):
    rng = random.Random(number)
    words = ["alpha", "beta", "gamma", "delta", "total", "count", "index", "value", "result", "buffer"]
    body = [f"def function_{number}_{i}({rng.choice(words)}, {rng.choice(words)}_{i}):\n"
            f"    return {rng.choice(words)}_{rng.randrange(1000)} + {rng.randrange(10**6)}\n" for i in range(lines // 2)]
    return "".join(body)


def write_lines(path, lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def record(number, **more):
    return json.dumps({"content": program_text(number), "language": "python", "repo": f"r/{number}", "path": "a.py", "stars": 500,
                       **more}).encode()


def rules(value):
    return {row["rule"]: row for row in value.get("rules", [])}


def snapshot(root):
    return sorted((str(p.relative_to(root)), p.lstat().st_mtime_ns, p.lstat().st_size) for p in root.rglob("*"))


# ---- explain

def test_explain(work):
    path = work / "explain.jsonl"
    write_lines(path, [record(1), b"", record(2, content="x = 1\n"), b"{bad", b'{"nothing": 1}', record(3, content="x = (\n" * 40),
                       record(4, path="e\x1b[31m.py")])
    packed = work / "explain.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    off = ("--set", "filter.syntax=off")

    good = document("explain", f"{path}:1", *off)
    check("a good record is kept", good["verdict"] == "kept" and all(r["passed"] for r in good["rules"]), good)
    check("the origin is shown", (good["repo"], good["path"], good["stars"], good["language"]) == ("r/1", "a.py", 500, "python"), good)
    check("the size is shown", good["bytes"] == len(program_text(1)), good)
    names = [r["rule"] for r in good["rules"]]
    check("rules stand in table order", names == ["language", "licence", "min_chars", "max_chars", "min_lines", "line_length", "alnum_ratio",
                                                 "comment_ratio", "autogen", "test", "stars", "syntax"], names)
    check("a compressed file is explained alike", {**document("explain", f"{packed}:1", *off), "file": ""} == {**good, "file": ""})
    check("standard input is explained alike",
          {**document("explain", "-", *off, stdin=path.read_bytes()), "file": ""} == {**good, "file": ""})
    third = document("explain", "-:3", *off, stdin=path.read_bytes())
    check("a line of standard input is found", third["verdict"] == "min_chars", third)

    short = document("explain", f"{path}:3", *off)
    check("the first failing rule is the verdict", short["verdict"] == "min_chars", short)
    check("later rules are measured all the same", not rules(short)["min_lines"]["passed"] and "6" in rules(short)["min_chars"]["measured"], short)
    relaxed = document("explain", f"{path}:3", *off, "--set", "filter.min_chars=0", "--set", "filter.min_lines=0")
    check("limits come from the recipe", relaxed["verdict"] == "kept", relaxed)

    bad = document("explain", f"{path}:4")
    check("a bad line is quarantined with its reason and place",
          (bad["verdict"], bad["reason"], bad["offset"]) == ("quarantined", "bad_json", path.read_bytes().index(b"{bad")), bad)
    check("a record without content is quarantined", document("explain", f"{path}:5")["reason"] == "no_content")
    text, _ = call("explain", f"{path}:4")
    check("the table says quarantined, too", "verdict: quarantined" in text and "bad_json" in text, text)

    broken = document("explain", f"{path}:6")
    row = rules(broken)["syntax"]
    check("the syntax check is a row", row["limit"] != "" and (row["passed"] or broken["verdict"] == "syntax"), broken)
    text, _ = call("explain", f"{path}:7", *off)
    check("controls from the data never reach the terminal", "\x1b" not in text and "\\x1b[31m" in text, text)

    _, error = call("explain", f"{path}:2", code=3)
    check("a blank line is no record", "blank" in error, error)
    _, error = call("explain", f"{path}:8", code=3)
    check("a line beyond the end is refused and counted", "no record 8" in error, error)
    call("explain", f"{work}/absent.jsonl:1", code=3)

    source = work / "tool.py"
    source.write_text(program_text(9))
    alone = document("explain", f"{source}:1", *off)
    check("a source file alone is one record", (alone["language"], alone["path"], alone["stars"]) == ("python", "tool.py", None), alone)
    call("explain", f"{source}:2", code=3)
    forced = document("explain", f"{source}:1", *off, "--input-format", "jsonl")
    check("--input-format jsonl takes it as lines", forced["verdict"] == "quarantined", forced)
    (work / "run-me").write_text("#!/usr/bin/env python3\n" + program_text(10))
    check("a script tells its language by its first line", document("explain", f"{work}/run-me", *off)["language"] == "python")
    (work / "bytes.bin").write_bytes(b"ab\0cd")
    check("a binary file is quarantined", document("explain", work / "bytes.bin")["reason"] == "binary")
    python = document("explain", f"{path}:1", "--recipe", "guide", *off)
    check("rng python says that draws depend on the run", "before this one" in python["note"], python)


def test_explain_agrees_with_a_run(work):
    """Each verdict of explain is the one that a filter run comes to."""
    path = work / "agree.jsonl"
    lines = [record(n, stars=n % 30, content=program_text(n, 4 + n)) for n in range(30)]
    lines += [b"[]", record(50, content="# do not edit\n" + program_text(50)), record(51, content="# x\n" * 50)]
    write_lines(path, lines)
    call("filter", path, "-o", work / "agree", "--progress", "none", "--durability", "fast", "--set", "filter.syntax=off")
    funnel = json.loads((work / "agree/metrics.json").read_text())["funnel"]
    seen = collections.Counter()
    for number in range(1, len(lines) + 1):
        seen[document("explain", f"{path}:{number}", "--set", "filter.syntax=off")["verdict"]] += 1
    wanted = collections.Counter(funnel["rejected"])
    wanted.update({"kept": funnel["kept"], "quarantined": funnel["quarantined"]})
    check("explain and filter count alike", seen == wanted, (seen, wanted))
    check("the test has several verdicts", len(wanted) >= 4, wanted)


# ---- commands that write nothing

def test_nothing_is_written(work):
    inputs = work / "inputs"
    inputs.mkdir()
    write_lines(inputs / "a.jsonl", [record(n) for n in range(200)])
    (inputs / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(record(n) + b"\n" for n in range(200, 400))))
    tree = work / "tree"
    tree.mkdir()
    for n in range(20):
        (tree / f"f{n}.py").write_text(program_text(1000 + n))
    before = snapshot(work)
    off = ("--set", "filter.syntax=off")
    plan = document("plan", inputs, tree, *off, "-j", 2)
    check("plan reads a small input whole", plan["documents"]["read"] == 420, plan)
    check("plan counts what is kept", 0 < plan["documents"]["kept"] <= 420 and plan["tokens"] > 1000, plan)
    check("plan tells disk, memory and time", plan["disk_bytes_peak"] > 0 and plan["memory_bytes_peak"] > 0 and plan["seconds_total"] > 0, plan)
    text, _ = call("plan", inputs, *off)
    check("plan's table says how duplicates are foretold", "inside the sample" in text, text)
    target = document("plan", inputs, *off, "--target-tokens", "1M", "--set", 'mixture.languages={"python":0.5,"go":0.5}',
                      "--set", 'mixture.types={}', "--set", 'mixture.tiers={}')
    shares = {row["share"]: row for row in target["mixture"]}
    check("plan tells which share cannot be filled", any("go" in name and not row["filled"] for name, row in shares.items()), target)
    call("plan", "-", stdin=b"{}", code=3)
    dry = document("run", inputs, tree, "--dry-run", "--set", "pack.seq_len=512", "-o", work / "never")
    check("a dry run lists inputs and kinds", [(i["name"], i["kind"]) for i in dry["inputs"]] ==
          [("inputs/a.jsonl", "jsonl"), ("inputs/b.jsonl.gz", "jsonl"), ("tree", "tree")], dry)
    check("a dry run resolves the recipe", dry["recipe"]["pack"]["seq_len"] == 512 and "ingest" in dry["stages"], dry)
    text, _ = call("run", inputs, "--dry-run")
    check("a dry run shows stages and recipe", "shards" in text and '"seq_len"' in text, text)
    machine = document("devices")
    check("devices tells processor, GPU and libraries", machine["cpu"]["cores"] >= 1 and machine["gpus"] == [] and "zstd" in machine["libraries"], machine)
    call("devices")
    for name in "guide", "default":
        recipe, _ = call("recipe", name)
        check(f"recipe {name} is JSON", json.loads(recipe)["pack"]["seq_len"] == 4096, recipe)
    recipe, _ = call("recipe", "default", "--set", "fim.rate=0.25")
    check("recipe --set shows", json.loads(recipe)["fim"]["rate"] == 0.25, recipe)
    call("recipe", "default", "--set", "fim.rte=0.25", code=2)
    check("nothing was written", snapshot(work) == before, set(snapshot(work)) ^ set(before))


# ---- the chain of single stages

def read_zst(path):
    """Decompressed bytes, or None where nothing here can do it."""
    if shutil.which("zstd"):
        return subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
    return None


def read_rows(directory):
    rows = []
    for path in sorted(directory.iterdir()):
        data = read_zst(path) if path.suffix == ".zst" else path.read_bytes()
        if data is None:
            return None
        rows += [json.loads(line)["input_ids"] for line in data.splitlines()]
    return rows


def test_chain(work):
    path = work / "chain.jsonl"
    write_lines(path, [record(n % 90) for n in range(100)] + [record(7, content="short")])
    quick = ("--progress", "none", "--durability", "fast", "-j", 2)
    call("filter", path, "-o", work / "f", *quick, "--set", "filter.syntax=off")
    call("dedup", work / "f/records", "-o", work / "d", *quick)
    call("train", work / "d/records", "-o", work / "t", *quick, "--set", "tokenizer.vocab_size=600")
    tokenizer = work / "t/tokenizer/tokenizer.json"
    call("encode", work / "d/records", "-o", work / "e", *quick, "--tokenizer", tokenizer, "--set", "pack.seq_len=512")
    rows = read_rows(work / "e/rows")
    encoded = json.loads((work / "e/metrics.json").read_text())["tokens"]["encoded"]
    check("the short and the repeated records are gone", json.loads((work / "e/metrics.json").read_text())["funnel"]["read"] == 90)
    packings = {"best": ("--set", "pack.seq_len=512"), "cut": ("--set", "pack.seq_len=100"), "concat": ("--set", "pack.mode=concat"),
                "guide": ("--recipe", "guide")}
    for name, settings in packings.items():
        out = work / f"p-{name}"
        call("pack", work / "e/rows", "-o", out, *quick, "--format", "jsonl", "--tokenizer", tokenizer, *settings)
        samples = read_rows(out / "shards")
        check(f"pack {name}: as many tokens as encode made", sum(map(len, samples)) == encoded, (sum(map(len, samples)), encoded))
        if rows is not None:
            left, right = (collections.Counter(i for row in part for i in row) for part in (samples, rows))
            check(f"pack {name}: the tokens of the rows, each as often", left == right)
        text, _ = call("verify", out)
        check(f"pack {name}: the tokenizer goes along", (out / "tokenizer/tokenizer.json").read_bytes() == tokenizer.read_bytes())
    if rows is not None:
        bounds = [(s["input_ids"], s["cu_seqlens"]) for s in map(json.loads, (work / "p-best/shards/shard_00000.jsonl").read_text().splitlines())]
        parts = sorted(ids[a:b] for ids, cu in bounds for a, b in zip(cu, cu[1:]))
        check("best-fit keeps every row whole", parts == sorted(rows))
    check("pack cut rows that are too long", all(len(s) <= 100 for s in read_rows(work / "p-cut/shards")))
    call("pack", work / "e/rows", "-o", work / "p-none", *quick, "--format", "jsonl")
    check("without a tokenizer the same shards come out", (work / "p-none/shards/shard_00000.jsonl").exists() and
          sum(map(len, read_rows(work / "p-none/shards"))) == encoded)
    call("verify", work / "p-none")


def test_pack_rows(work):
    lines = [b'{"input_ids":[1,2,3],"length":3}', b"", b'{"input_ids":[1,2,3],"length":4}', b"{bad", b"[1]", b'{"input_ids":[]}',
             b'{"input_ids":[1,-2]}', b'{"input_ids":[1.5]}', b'{"input_ids":[16777215]}', b'{"input_ids":[16777216]}', b'{"x":1}',
             b'{"input_ids":"a"}', b'{"input_ids":[9],"language":3}', b'\xff', b'{"input_ids":[7,8],"language":"python"}',
             b'{"input_ids":[1,2,3],"length":3}']
    path = work / "rows.jsonl"
    write_lines(path, lines)
    quick = ("--progress", "none", "--durability", "fast", "--format", "jsonl")
    call("pack", path, "-o", work / "q", *quick, "--strict", code=3)
    reasons = [json.loads(line)["reason"] for line in (work / "q/quarantine.jsonl").read_text().splitlines()]
    check("bad rows are quarantined, each with its reason", reasons == ["field_type", "bad_json", "not_object", "no_content", "content_type",
          "content_type", "content_type", "no_content", "content_type", "field_type", "bad_utf8"], reasons)
    ids = sorted(i for row in read_rows(work / "q/shards") for i in row)
    check("good rows are packed, equal ones each", ids == [1, 1, 2, 2, 3, 3, 7, 8, 16777215], ids)
    call("verify", work / "q")
    one = (work / "q/shards/shard_00000.jsonl").read_bytes()
    rng = random.Random(5)
    big = work / "big.jsonl"
    write_lines(big, [json.dumps({"input_ids": [rng.randrange(70000) for _ in range(rng.randrange(1, 300))]}).encode() for _ in range(400)])
    shards = set()
    for number, settings in enumerate([("-j", 1), ("-j", 2, "--batch-size", "16K"), ("-j", 2, "--batch-size", "1M")]):
        call("pack", big, "-o", work / f"b{number}", *quick, "--set", "pack.seq_len=256", *settings)
        shards.add((work / f"b{number}/shards/shard_00000.jsonl").read_bytes())
    check("threads and batches do not change a byte", len(shards) == 1)
    call("pack", path, "-o", work / "q", *quick, "--overwrite")
    check("packing again gives the same bytes", (work / "q/shards/shard_00000.jsonl").read_bytes() == one)
    tree = work / "source"
    tree.mkdir()
    (tree / "a.py").write_text("x = 1\n")
    _, error = call("pack", tree, "-o", work / "never2", *quick, code=3)
    check("a source tree is refused by name", "source tree" in error, error)


for test in [test_explain, test_explain_agrees_with_a_run, test_nothing_is_written, test_chain, test_pack_rows]:
    with tempfile.TemporaryDirectory(prefix="mill_look_") as folder:
        test(Path(folder))
if failures:
    sys.exit(f"{len(failures)} checks failed")
print("all checks passed")
