#!/usr/bin/env python3
"""verify, stats and inspect on a small run: whatever is changed, lost or added is found, and nothing else is complained of.

usage: test_verify.py PROGRAM   (standard library only; MILL_EVERY_BYTE=1 flips every byte of the larger files, too)
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from corpus import read_manifest, seal

PROGRAM = os.path.abspath(sys.argv[1])
# Files up to SMALL bytes are flipped at every byte, others (and all, where each verify takes five times as long) at every STEP-th.
SMALL, STEP = (0, 89) if "MILL_SANITIZED" in os.environ else (600, 1 if os.environ.get("MILL_EVERY_BYTE") else 31)
WORKERS = 2
failures = []

# What verify says of each tampering behind a right seal: the check that it was made for finds it, not another one by luck.
SAYS = {
    "one more record read": "do not add up",
    "records moved between reasons of an input": "do not sum up to the totals",
    "totals moved": "do not sum up to the totals",
    "an input dropped": "do not sum up to the totals",
    "more samples": "total_samples is",
    "more tokens": "total_tokens is",
    "metrics: kept": "kept is 1",
    "metrics: unknown reason": "rejections that the manifest does not know",
    "metrics: samples": "total_samples is 1",
    "metrics: tokens": "encoded is 1",
    "metrics: a token lost": "tokens were made but",
    "quarantine: a line lost": "quarantine.jsonl: holds 0 records",
    "an id changed": "its ids_sha256 is not",
    "an id beyond the vocabulary": "holds id 300",
    "length wrong": "length is",
    "an id lost": "length is",
    "cu_seqlens does not end at length": "does not rise from 0 to length",
    "cu_seqlens does not rise": "does not rise from 0 to length",
    "cu_seqlens is not that of the sidecar": "more parts than the sidecar",
    "no JSON": "line 1: is no sample",
    "no last newline": "does not end with a newline",
    "manifest: samples of a shard": "samples, by the manifest it is",
    "manifest: tokens of a shard": "tokens, by the manifest it is",
    "manifest: ids_sha256 of a shard": "its ids_sha256 is not",
    "manifest: lengths_sha256 of a shard": "its lengths_sha256 is not",
    "manifest: ids_sha256 of the run": "/shards: its ids_sha256 is not",
    "manifest: lengths_sha256 of the run": "/shards: its lengths_sha256 is not",
    "tokenizer is none": "is no tokenizer",
}


def check(good, what):
    if not good:
        failures.append(what)
        print("FAIL:", what, flush=True)


def run(*arguments, stdin=None):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=60, input=stdin)
    return done.returncode, done.stdout, done.stderr


def expect(code, directory, what, *options):
    got, out, err = run("verify", directory, *options)
    check(got == code, f"{what}: verify exits {got}, expected {code}: {err.decode(errors='replace').strip()[:300]}")
    check(SAYS.get(what, "").encode() in err, f"{what}: verify says {err.decode(errors='replace').strip()[:300]}")
    check((b"verified" in out) == (code == 0), f"{what}: stdout is {out[:80]!r}")
    return err


# ---- the runs --------------------------------------------------------------------------------------------------------------------

def write_corpus(path):
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
    with open(path, "w", encoding="utf-8") as out:
        def put(content, name, **more):
            out.write(json.dumps({"content": content, "language": "python", "repo": "r/x", "path": name, "stars": 500, **more}) + "\n")
        for i in range(12):
            lines = [f"def {words[i % 10]}_{j}(x):\n    return x * {i * 7 + j}  # {words[(i + j) % 10]}" for j in range(8)]
            put("\n\n".join(lines) + "\n", f"p{i}.py")
        put("\n\n".join(lines) + "\n", "duplicate.py")
        put("# \x1b[31mred\x07 \x9b bell\n" + "\n".join(f"hostile_{i} = {i * i}  # \x1b]0;title\x07" for i in range(20)) + "\n",
            "evil\x1b[2J\n.py")
        put("short", "short.py")
        out.write("{this is no JSON\n")


def make_run(corpus, directory, command="run", *options):
    code, _, err = run(command, corpus, "-o", directory, "-q", "-j", "2", "--set", "tokenizer.vocab_size=300", "--set",
                       "filter.syntax=off", *options)
    check(code == 0, f"{command} {directory.name} exits {code}: {err.decode(errors='replace')[:300]}")


def products(directory):
    return sorted(p for p in directory.rglob("*") if p.is_file() and ".shardmill" not in p.parts)


# ---- tampering that keeps the seal right: only a look into the files finds it -----------------------------------------------------

def digest(data):
    return hashlib.sha256(data).hexdigest()


# ---- the promises ----------------------------------------------------------------------------------------------------------------

def p10_every_changed_byte_is_found(good, scratch):
    jobs = []
    for path in products(good):
        size = path.stat().st_size
        jobs += [(path.relative_to(good), at) for at in range(0, size, 1 if size <= SMALL else STEP)]

    def flip(worker):
        copy = scratch / f"flip{worker}"
        shutil.copytree(good, copy)
        missed = []
        for name, at in jobs[worker::WORKERS]:
            with open(copy / name, "r+b", buffering=0) as file:
                byte = os.pread(file.fileno(), 1, at)
                os.pwrite(file.fileno(), bytes([byte[0] ^ 1 << at % 8]), at)
                code = run("verify", "-j", "1", copy)[0]
                os.pwrite(file.fileno(), byte, at)
            if code != 8:
                missed.append((str(name), at, code))
        if run("verify", copy)[0] != 0:
            missed.append(("after restoring", 0, 0))
        return missed

    with ThreadPoolExecutor(WORKERS) as pool:
        missed = [m for part in pool.map(flip, range(WORKERS)) for m in part]
    check(not missed, f"changed bytes not found: {missed[:10]}")
    print(f"{len(jobs)} changed bytes, {len(missed)} not found")


def p10_files_lost_added_cut_grown_emptied_swapped(good, scratch):
    copy = scratch / "files"

    def damage(what, change):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(good, copy)
        change()
        expect(8, copy, what)

    names = [p.relative_to(good) for p in products(good)]
    for name in names:
        path, data = copy / name, (good / name).read_bytes()
        damage(f"{name} removed", lambda: path.unlink())
        damage(f"{name} grown", lambda: path.write_bytes(data + b"\n"))
        damage(f"{name} is a link", lambda: (path.unlink(), path.symlink_to(good / name)))
        damage(f"{name} is a directory", lambda: (path.unlink(), path.mkdir()))
        damage(f"{name} is a pipe", lambda: (path.unlink(), os.mkfifo(path)))
        if data:
            damage(f"{name} cut", lambda: path.write_bytes(data[:-1]))
            damage(f"{name} emptied", lambda: path.write_bytes(b""))
    for a, b in zip(names, names[1:]):
        damage(f"{a} and {b} swapped", lambda: ((copy / a).write_bytes((good / b).read_bytes()),
                                                (copy / b).write_bytes((good / a).read_bytes())))
    for name in ("extra", "shards/extra.jsonl", "docs/.hidden", "tokenizer/extra.md", "manifest.json.tmp"):
        damage(f"{name} added", lambda: (copy / name).write_text("x"))
    damage("directory added", lambda: (copy / "shards" / "more").mkdir())
    damage("folder is a link", lambda: (shutil.rmtree(copy / "docs"), (copy / "docs").symlink_to(good / "docs")))
    shutil.rmtree(copy)
    shutil.copytree(good, copy)
    for name in ("report.html", ".shardmill/anything"):
        (copy / name).write_text("made by another command")
    expect(0, copy, "files that other commands make are no damage")


def p03_unfinished_is_refused(good, scratch):
    copy = scratch / "unfinished"
    shutil.copytree(good, copy)
    (copy / "manifest.json").unlink()
    for command in ("verify", "stats", "inspect"):
        code, out, err = run(command, copy)
        check(code == 8 and out == b"", f"{command} of an unfinished directory exits {code}")
        check(b"unfinished" in err, f"{command} of an unfinished directory does not say so: {err!r}")
    check(run("verify", scratch / "absent")[0] == 4, "verify of an absent directory is an I/O error")
    manifest = read_manifest(good)
    manifest["format_version"] = 2
    seal(copy, manifest)
    check(b"newer" in expect(8, copy, "a newer format"), "a newer format is refused by name")


def p04_accounts_must_add_up(good, scratch):
    copy = scratch / "accounts"

    def tamper(what, change):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(good, copy)
        manifest = read_manifest(copy)
        change(manifest)
        seal(copy, manifest)
        expect(8, copy, what)

    def in_metrics(name, value):
        path = copy / "metrics.json"
        metrics = json.loads(path.read_text())
        metrics[name].update(value) if isinstance(value, dict) else metrics.__setitem__(name, value)
        path.write_text(json.dumps(metrics))

    tamper("one more record read", lambda m: m["inputs"][0]["records"].__setitem__("read", m["inputs"][0]["records"]["read"] + 1))
    tamper("records moved between reasons of an input", lambda m: (m["inputs"][0]["records"]["reasons"].__setitem__("exact", 0),
                                                                   m["inputs"][0]["records"]["reasons"].__setitem__("near", 1)))
    tamper("totals moved", lambda m: m["totals"]["records"].__setitem__("quarantined", 0))
    tamper("an input dropped", lambda m: m["inputs"].clear())
    tamper("more samples", lambda m: m["totals"].__setitem__("samples", m["totals"]["samples"] + 1))
    tamper("more tokens", lambda m: m["totals"].__setitem__("tokens", m["totals"]["tokens"] + 1))
    tamper("metrics: kept", lambda m: in_metrics("funnel", {"kept": 1}))
    tamper("metrics: unknown reason", lambda m: in_metrics("funnel", {"rejected": {"min_chars": 1, "taste": 0}}))
    tamper("metrics: samples", lambda m: in_metrics("total_samples", 1))
    tamper("metrics: tokens", lambda m: in_metrics("tokens", {"encoded": 1}))
    tamper("metrics: a token lost", lambda m: in_metrics("tokens", {"repeated_borders": 1}))
    tamper("quarantine: a line lost", lambda m: (copy / "quarantine.jsonl").write_bytes(b""))


def contents_are_read_behind_a_right_seal(good, scratch):
    copy = scratch / "contents"
    shard = "shards/shard_00000.jsonl"

    def tamper(what, change, sums=True):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(good, copy)
        manifest = read_manifest(copy)
        change(manifest)
        seal(copy, manifest, sums)
        expect(8, copy, what)

    def in_sample(number, change):
        path = copy / shard
        lines = path.read_text().splitlines()
        sample = json.loads(lines[number])
        change(sample)
        lines[number] = json.dumps(sample, separators=(",", ":"))
        path.write_text("\n".join(lines) + "\n")

    def first(manifest):
        return next(e for e in manifest["files"] if e["path"] == shard)

    tamper("an id changed", lambda m: in_sample(1, lambda s: s["input_ids"].__setitem__(3, s["input_ids"][3] ^ 1)))
    tamper("an id beyond the vocabulary", lambda m: in_sample(0, lambda s: s["input_ids"].__setitem__(0, 300)))
    tamper("length wrong", lambda m: in_sample(0, lambda s: s.__setitem__("length", s["length"] + 1)))
    tamper("an id lost", lambda m: in_sample(0, lambda s: s["input_ids"].pop()))
    tamper("cu_seqlens does not end at length", lambda m: in_sample(0, lambda s: s["cu_seqlens"].__setitem__(-1, s["length"] - 1)))
    tamper("cu_seqlens does not rise", lambda m: in_sample(0, lambda s: s["cu_seqlens"].insert(1, 0)))
    tamper("cu_seqlens is not that of the sidecar", lambda m: in_sample(0, lambda s: s["cu_seqlens"].insert(1, 5)))
    tamper("samples swapped", lambda m: (lambda p, l: p.write_text("\n".join([l[1], l[0]] + l[2:]) + "\n"))(
        copy / shard, (copy / shard).read_text().splitlines()))
    tamper("no JSON", lambda m: (copy / shard).write_text("[" * 100000 + "\n"))
    tamper("no last newline", lambda m: (copy / shard).write_bytes((copy / shard).read_bytes()[:-1]))
    for name in ("samples", "tokens"):
        tamper(f"manifest: {name} of a shard", lambda m: first(m).__setitem__(name, first(m)[name] - 1))
    for name in ("ids_sha256", "lengths_sha256"):
        tamper(f"manifest: {name} of a shard", lambda m: first(m).__setitem__(name, "0" * 64))
    for name in ("ids_sha256", "lengths_sha256"):
        tamper(f"manifest: {name} of the run", lambda m: m.__setitem__(name, "0" * 64))
    tamper("sidecar not in the manifest", lambda m: ((copy / "docs/docs_00000.jsonl.zst").unlink(), m["files"].__setitem__(
        slice(None), [e for e in m["files"] if not e["path"].startswith("docs/")])))
    tamper("tokenizer is none", lambda m: (copy / "tokenizer/tokenizer.json").write_text("{}"))
    for bad in ("../outside", "/etc/passwd", "a//b", "./a", ".shardmill/lock", "manifest.json", ""):
        tamper(f"a file entry {bad!r}", lambda m: m["files"].insert(0, {"path": bad, "bytes": 0, "sha256": digest(b"")}), sums=False)
    tamper("a file twice", lambda m: m["files"].insert(0, dict(m["files"][0])))
    tamper("a huge size", lambda m: m["files"][0].__setitem__("bytes", 2**53 - 1), sums=False)

    # Compressed files with any byte damaged and the seal right: found, or harmless, but never a crash.
    shutil.rmtree(copy)
    shutil.copytree(good, copy)
    for name in ("shards/shard_00000.jsonl.zst", "docs/docs_00000.jsonl.zst", "clusters.jsonl.zst"):
        data = (good / name).read_bytes()
        for at in list(range(0, min(len(data), 24))) + list(range(24, len(data), 29)):
            (copy / name).write_bytes(data[:at] + bytes([data[at] ^ 0x5a]) + data[at + 1:])
            seal(copy, read_manifest(copy))
            code = run("verify", "-j", "1", copy)[0]
            inspected = run("inspect", "-n", "3", copy)[0]
            check(code in (0, 8) and inspected in (0, 8), f"{name} byte {at}: verify exits {code}, inspect {inspected}")
        (copy / name).write_bytes(data[:len(data) // 2])
        seal(copy, read_manifest(copy))
        expect(8, copy, f"half of {name}")
        (copy / name).write_bytes(data)


def threads_do_not_change_the_message(good, scratch):
    copy = scratch / "threads"
    shutil.copytree(good, copy)
    for path in products(copy):
        if path.name not in ("manifest.json", "SHA256SUMS") and path.stat().st_size:
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    messages = {expect(8, copy, "many files damaged", "-j", threads) for threads in ("1", "2", "4", "4", "4")}
    check(len(messages) == 1 and b"README.md" in messages.pop(), f"the first damage by path is named: {messages}")


def p17_no_control_byte_is_shown(good, scratch):
    for directory in (good, scratch / "guide"):
        shown = b""
        for seed in range(12):
            code, out, _ = run("inspect", directory, "-n", "4", "--seed", seed)
            check(code == 0, f"inspect {directory.name} exits {code}")
            check(run("inspect", directory, "-n", "4", "--seed", seed)[1] == out, "the same seed shows the same samples")
            shown += out
        text = shown.decode("utf-8")  # all of it is valid
        bad = {c for c in text if (ord(c) < 32 and c not in "\n\t") or 0x7f <= ord(c) < 0xa0}
        check(not bad, f"inspect {directory.name} shows control characters {bad}")
        for mark in ("PREFIX:\n", "SUFFIX:\n", "MIDDLE:\n", "[<|endoftext|>] end of document\n", "\\x1b", "p3.py"):
            check(mark in text, f"inspect {directory.name} never shows {mark!r}")


def stats_tell_the_metrics(good, _):
    code, out, _ = run("stats", good, "--json")
    document = json.loads(out)
    metrics = json.loads((good / "metrics.json").read_text())
    check(code == 0 and document["schema"] == 1 and document["metrics"] == metrics, "stats --json holds metrics.json")
    check("stages" in document["timings"], "stats --json holds the timings")
    code, out, _ = run("stats", good)
    check(code == 0, f"stats exits {code}")
    rows = [line.split() for line in out.decode().splitlines()]
    funnel = metrics["funnel"]
    for name, value in (("read", funnel["read"]), ("min_chars", funnel["rejected"]["min_chars"]), ("kept", funnel["kept"])):
        check(any(name in row and str(value) in row for row in rows), f"stats shows {name} {value}: {out.decode()}")
    check(f"{metrics['total_tokens']:,}" in out.decode(), "stats groups thousands")


def main():
    with tempfile.TemporaryDirectory(prefix="mill_verify_") as name:
        scratch = Path(name)
        corpus, good = scratch / "corpus.jsonl", scratch / "good"
        write_corpus(corpus)
        make_run(corpus, good, "run", "--set", "pack.seq_len=128", "--format", "jsonl,jsonl.zst")
        make_run(corpus, scratch / "guide", "run", "--recipe", "guide", "--set", "filter.test_keep=1", "--set", "filter.max_comments=1")
        make_run(corpus, scratch / "many", "run", "--set", "pack.seq_len=128", "--set", "shard.samples=3", "--set", "pack.mode=concat")
        for command in ("filter", "dedup", "train", "encode"):
            make_run(corpus, scratch / command, command)
        if failures:
            sys.exit(1)
        print(f"{sum(p.stat().st_size for p in products(good))} bytes in {len(products(good))} files")
        for directory in ("good", "guide", "many", "filter", "dedup", "train", "encode"):
            expect(0, scratch / directory, directory)
        for test in (p03_unfinished_is_refused, p04_accounts_must_add_up, contents_are_read_behind_a_right_seal,
                     threads_do_not_change_the_message, p17_no_control_byte_is_shown, stats_tell_the_metrics,
                     p10_files_lost_added_cut_grown_emptied_swapped, p10_every_changed_byte_is_found):
            before = len(failures)
            test(good, scratch)
            print("ok  " if len(failures) == before else "FAIL", test.__name__, flush=True)
    sys.exit(1 if failures else 0)


main()
