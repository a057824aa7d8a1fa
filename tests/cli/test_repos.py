#!/usr/bin/env python3
"""Sequences of the files of a repository: order by imports, circles, every frame, each piece traced to its file and back to the source's
bytes, limits, mixtures, single stages, and the same bytes for any threads, batches and after any kill.

usage: test_repos.py PROGRAM   (standard library and zstd)
"""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpus import product
from tokens import Vocabulary, lines

PROGRAM = os.path.abspath(sys.argv[1])
failures = []
SMALL = ("--durability", "fast", "--set", "tokenizer.vocab_size=600", "--set", "filter.enabled=false", "--set", "dedup.near=false", "--set",
         "dedup.exact=false", "--set", "repo.sequence=true")
FRAMES = {"starcoder": ("<repo_name>", "<file_sep>"), "qwen": ("<|repo_name|>", "<|file_sep|>"), "deepseek": (None, None)}


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:900]}")


def call(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=120, text=True)
    check(f"exit code of {' '.join(map(str, arguments))} is {code}", done.returncode == code, (done.returncode, done.stderr))
    return done.stdout, done.stderr


def write(path, files):
    """files: (repo, path, language, text)"""
    with open(path, "w") as out:
        for repo, name, language, text in files:
            out.write(json.dumps({"content": text, "repo": repo, "path": name, "language": language}) + "\n")
    return path


def parts(directory):
    """(docs line, its ids, ids of its row's part before it) in the order of the samples."""
    samples = [s["input_ids"] for path in sorted((directory / "shards").glob("*.zst")) for s in lines(path)]
    for path in sorted((directory / "docs").glob("*.zst")):
        for doc in lines(path):
            yield doc, samples[doc["sample"]][doc["begin"]:doc["begin"] + doc["tokens"]]


def sequences(directory):
    """{repo: paths in order of pieces}, sequences of one repository one after the other."""
    found = {}
    for doc, _ in parts(directory):
        paths = found.setdefault(doc["repo"], [])
        if not paths or paths[-1] != doc["path"]:
            paths.append(doc["path"])
    return found


def rebuild(directory, preset):
    """{record: bytes of the file} from ids alone, cut by what the sidecar tells; frames are checked on the way."""
    vocabulary, files, last = Vocabulary(directory), {}, {}
    name, separator = FRAMES[preset]
    for doc, ids in parts(directory):
        pieces, path = vocabulary.pieces(ids), doc["path"].encode()
        if doc["repo"] == "":
            pieces = [p for p in pieces if p != "<|endoftext|>" and not (isinstance(p, str) and p.startswith("<|lang_"))]
        elif preset == "deepseek":
            head = b"#" + path + b"\n"
            check("a frame leads", isinstance(pieces[0], bytes) and pieces[0].startswith(head), pieces[:2])
            pieces[0] = pieces[0][len(head):]
        else:
            end = b"\n" if preset == "qwen" else b""
            if doc["row_begin"] == 0:
                check("a row begins with the repository", pieces[:2] == [name, doc["repo"].encode() + end], pieces[:3])
                pieces = pieces[2:]
            check("a file begins with its frame", pieces[0] == separator and pieces[1].startswith(path + b"\n"), pieces[:2])
            pieces = [pieces[1][len(path) + 1:], *pieces[2:]]
        if doc["repo"] != "":
            pieces = [p for p in pieces if p != "<|endoftext|>"]
        if doc["mode"] == "none":
            text = b"".join(pieces)
        else:
            where = {p: i for i, p in enumerate(pieces) if isinstance(p, str)}
            check("three sentinels", sorted(where) == ["<|fim_middle|>", "<|fim_prefix|>", "<|fim_suffix|>"], pieces)
            part = lambda mark: b"".join(p for p in pieces[where[mark] + 1:where[mark] + 2] if isinstance(p, bytes))
            prefix, suffix, middle = part("<|fim_prefix|>"), part("<|fim_suffix|>"), part("<|fim_middle|>")
            if doc["mode"] == "spm":
                at = doc["cut_begin"] - doc["text_begin"]
                prefix, middle = middle[:at], middle[at:]
            tail = b"\n" if preset != "starcoder" and doc["repo"] != "" else b""
            middle = middle[:len(middle) - len(tail)]
            text = prefix + middle + suffix + tail
        if preset != "starcoder" and doc["repo"] != "":
            check("a file ends with its frame", text.endswith(b"\n"), text[-20:])
            text = text[:-1]
        check("the sidecar knows its length", doc["text_end"] - doc["text_begin"] == len(text), (doc, text))
        before = files.setdefault(doc["record"], {})
        before[doc["text_begin"]] = text
        if doc["last"]:
            last[doc["record"]] = doc["text_end"]
    whole = {}
    for record, found in files.items():
        text = b"".join(found[k] for k in sorted(found))
        check(f"pieces of record {record} cover it", len(text) == last[record] and sorted(found)[0] == 0, (sorted(found), last[record]))
        whole[record] = text
    return whole


# ---- order

def test_order(work):
    files = [("p", "app/main.py", "python", "from app.core import run\nfrom . import util\nimport os\n\nrun(util)\n"),
             ("js", "src/index.ts", "typescript", "import { a } from './lib/a.js'\nexport * from './b'\n"),
             ("p", "app/core.py", "python", "from .util import x\n\ndef run(u):\n    return x\n"),
             ("", "lone.py", "python", "import main\n"),
             ("p", "app/util.py", "python", "x = 1\n"), ("p", "app/__init__.py", "python", "\n"),
             ("js", "src/lib/a.ts", "typescript", "export const a = require('../b')\n"), ("js", "src/b.ts", "typescript", "export const b = 1\n"),
             ("java", "src/A.java", "java", "import x.y.B;\nclass A { B b; }\n"), ("java", "src/x/y/B.java", "java", "package x.y;\nclass B {}\n"),
             ("c", "main.c", "c", "#include \"lib/l.h\"\nint main(void) { return l(); }\n"), ("c", "lib/l.c", "c", "#include \"l.h\"\nint l(void) { return 1; }\n"),
             ("c", "lib/l.h", "c", "int l(void);\n"),
             ("cs", "A.cs", "csharp", "using N.M;\nclass A {}\n"), ("cs", "Z.cs", "csharp", "namespace N.M { class Z {} }\n"),
             ("go", "main.go", "go", "package main\nimport \"example.org/go/pkg/p\"\n"), ("go", "pkg/p/p.go", "go", "package p\n"),
             ("circle", "a.py", "python", "import b\n"), ("circle", "b.py", "python", "import c\n"), ("circle", "c.py", "python", "import a\nimport base\n"),
             ("circle", "base.py", "python", "pass\n"), ("circle", "0.py", "python", "import c\n")]
    wanted = {"p": ["app/__init__.py", "app/util.py", "app/core.py", "app/main.py"], "js": ["src/b.ts", "src/lib/a.ts", "src/index.ts"],
              "java": ["src/x/y/B.java", "src/A.java"], "c": ["lib/l.h", "lib/l.c", "main.c"], "cs": ["Z.cs", "A.cs"],
              "go": ["pkg/p/p.go", "main.go"], "circle": ["base.py", "a.py", "c.py", "b.py", "0.py"], "": ["lone.py"]}
    random.seed(1)
    for turn in range(3):
        halves = [work / f"order{turn}-{k}.jsonl" for k in range(2)]
        write(halves[0], files[:turn * 9])
        write(halves[1], files[turn * 9:])
        out = work / f"order{turn}"
        call("run", *(h for h in halves if h.stat().st_size), "-o", out, *SMALL, "--set", "pack.order=input", "--batch-size", "4K")
        call("verify", out)
        check(f"order of files, order {turn} of the input", sequences(out) == wanted, sequences(out))
        random.shuffle(files)


# ---- bytes

def repositories(count, seed=7):
    rng, files = random.Random(seed), []
    words = ["value", "index", "naïve", "данные", "🙂", "<file_sep>", "<|fim_middle|>", "<|endoftext|>", "return", "(x)", "=", "\t", "\r\n"]
    for r in range(count):
        names = [f"src/m{k}.py" for k in range(rng.randrange(1, 9))]
        for name in names:
            text = "".join(f"import m{rng.randrange(9)}\n" for _ in range(rng.randrange(4)))
            text += "".join(rng.choice(words) + rng.choice([" ", "\n", ""]) for _ in range(rng.choice([0, 3, 40, 400])))
            files.append((f"owner/r{r}" if r % 5 else "", name, "python", text))
    rng.shuffle(files)
    return files


def test_bytes(work):
    files = repositories(30)
    source = write(work / "bytes.jsonl", files)
    sources = {n: f[3].encode() for n, f in enumerate(files, 1) if f[3] != ""}
    for preset in FRAMES:
        for context, rate in ((200, 1), (1500, "0.5")):
            out = work / f"bytes-{preset}-{context}"
            call("run", source, "-o", out, *SMALL, "--set", f"repo.preset={preset}", "--set", f"pack.seq_len={context}", "--set", f"fim.rate={rate}",
                 "--set", "fim.min_chars=4")
            call("verify", out)
            found = {k: v for k, v in rebuild(out, preset).items() if v != b""}
            wrong = [k for k in sources if found.get(k) != sources[k]]
            check(f"{preset} at {context}: every file comes back", sorted(found) == sorted(sources) and not wrong,
                  (len(found), len(sources), [(sources[k], found.get(k)) for k in wrong[:1]]))
            modes = [d["mode"] for d, _ in parts(out) if d["repo"] != ""]
            check(f"{preset} at {context}: some files are transformed, not all", 0 < sum(m != "none" for m in modes) < len(modes), modes)
            rows = {}
            for d, _ in parts(out):
                if d["repo"] != "":
                    key = rows.setdefault((d["sample"], d["begin"] - d["row_begin"]), [])
                    key.append(d["mode"])
            check(f"{preset} at {context}: one file of a row at most", all(sum(m != "none" for m in r) <= 1 for r in rows.values()), rows)


def test_limits(work):
    files = [("r", f"f{k:02}.py", "python", f"x{k} = {k}\n" * 20) for k in range(20)] + [("s", "a.py", "python", "y = 1\n")]
    source = write(work / "limits.jsonl", files)
    call("run", source, "-o", work / "few", *SMALL, "--set", "repo.files=6", "--set", "fim.rate=0", "--set", "pack.seq_len=16384")
    ends = sum(ids[-1] == 0 for d, ids in parts(work / "few"))
    check("repositories are taken in parts", ends == 5, ends)
    call("run", source, "-o", work / "short", *SMALL, "--set", "repo.bytes=700", "--set", "fim.rate=0", "--set", "pack.seq_len=16384")
    texts = {}
    for d, ids in parts(work / "short"):
        texts.setdefault((d["sample"], d["begin"] - d["row_begin"]), []).append(d["text_end"])
    check("sequences end where they would be too long", max(sum(t) for t in texts.values()) <= 700 and len(texts) >= 5, texts)
    call("verify", work / "short")
    _, error = call("run", source, "-o", work / "no", "--recipe", "guide", "--set", "repo.sequence=true", code=2)
    check("the guide has no sequences", "repo.sequence" in error, error)
    _, error = call("run", source, "-o", work / "no", "--set", "repo.file={path}", code=2)
    check("a frame without content is refused", "repo.file" in error, error)


def test_stages_and_mixture(work):
    files = repositories(40, 3)
    source = write(work / "stages.jsonl", files)
    options = (*SMALL, "--set", "pack.seq_len=400", "--set", "pack.order=input")
    call("run", source, "-o", work / "whole", *options, "--format", "jsonl,megatron")
    call("verify", work / "whole")
    call("encode", source, "-o", work / "encoded", *options)
    call("verify", work / "encoded")
    rows = [r["input_ids"] for r in lines(work / "encoded/rows/rows_00000.jsonl.zst")]
    shards = [json.loads(line) for path in sorted((work / "whole/shards").glob("*.jsonl")) for line in path.read_text().splitlines()]
    cut = sorted(s["input_ids"][a:b] for s in shards for a, b in zip(s["cu_seqlens"], s["cu_seqlens"][1:]))
    check("rows of encode are the parts of samples", sorted(rows) == cut, (len(rows), len(cut)))
    call("run", source, "-o", work / "mixed", *options, "--target-tokens", "3000", "--set", "mixture.types={}", "--set", "mixture.tiers={}", "--set",
         'mixture.languages={"python":1}')
    call("verify", work / "mixed")
    chosen = sequences(work / "mixed")
    all_files = {}
    for repo, name, _, text in files:
        all_files.setdefault(repo, set()).add(name)
    check("a repository is taken whole or not at all", 0 < len(chosen) < len(all_files) and all(
        set(paths) == all_files[repo] for repo, paths in chosen.items() if repo != ""), chosen)


def test_posts(work):
    """What has a site where others have a repository: questions and answers are no files of it."""
    files = [("stackoverflow.com", f"questions/{n}", "python", f"import q{n + 1}\n\nWhat is {n}?\n") for n in range(9)]
    source = write(work / "posts.jsonl", files)
    for kind, joined in (("qa", 0), ("source", 1)):
        call("run", source, "-o", work / kind, "--source-type", kind, *SMALL, "--set", "fim.rate=0")
        vocabulary = Vocabulary(work / kind)
        begins = sum("<repo_name>" in vocabulary.pieces(ids) for _, ids in parts(work / kind))
        check(f"posts: {begins} sequences of type {kind}", begins == joined, begins)


def test_same_bytes(work):
    files = repositories(60, 11)
    source = write(work / "same.jsonl", files)
    facts = lambda out: {k: v for k, v in product(out).items() if k not in ("metrics.json", "manifest.json", "SHA256SUMS", "README.md")}
    wanted = None
    for name, more in {"one": ("-j", "1"), "small": ("-j", "3", "--batch-size", "1K"), "odd": ("-j", "5", "--batch-size", "37K")}.items():
        call("run", source, "-o", work / f"same-{name}", *SMALL, *more)
        found = facts(work / f"same-{name}")
        wanted = wanted or found
        check(f"the same bytes: {name}", found == wanted, {k for k in wanted if found.get(k) != wanted[k]})
    rng = random.Random(2)
    for turn in range(4):
        out, kills = work / f"killed{turn}", 0
        for _ in range(200):
            run = subprocess.Popen([PROGRAM, "run", str(source), "-o", str(out), *SMALL, "-j", "2", "--batch-size", "1K"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
            time.sleep(rng.random() * 0.12 + 0.02 * kills)
            if run.poll() is None:
                run.send_signal(signal.SIGKILL)
                kills += 1
            run.wait()
            if run.returncode == 0:
                break
        check(f"a killed run goes on (killed {kills} times)", facts(out) == wanted, run.stderr.read()[-300:])
        call("verify", out)


def test_beyond_memory(work):
    """More text than is held at once: it is sorted on disk, and the bytes are the same."""
    rng = random.Random(4)
    blocks = ["".join(f"value_{rng.randrange(10**9)} = {rng.randrange(10**9)}\n" for _ in range(2000)) for _ in range(12)]
    files = [(f"r{k % 37}", f"f{k}.py", "python", f"import f{rng.randrange(400)}\n" + blocks[k % 12] + str(k)) for k in range(400)]
    source = write(work / "large.jsonl", files)
    small = write(work / "small.jsonl", files[:3])
    call("train", small, "-o", work / "tokenizer", *SMALL)
    tokenizer = work / "tokenizer/tokenizer/tokenizer.json"
    facts = lambda out: {k: v for k, v in product(out).items() if k.startswith(("shards", "docs"))}
    found = []
    for name, more in {"held": (), "spilled": ("--memory", "96M", "--batch-size", "256K", "-j", "1")}.items():
        call("run", source, "-o", work / name, *SMALL, "--tokenizer", tokenizer, *more)
        found.append(facts(work / name))
    check("the same bytes beyond memory", found[0] == found[1])


with tempfile.TemporaryDirectory(prefix="mill-repos-") as folder:
    for test in (test_order, test_bytes, test_limits, test_stages_and_mixture, test_posts, test_same_bytes, test_beyond_memory):
        test(Path(folder))
print(f"{len(failures)} failures" if failures else "sequences of repositories: all good")
sys.exit(1 if failures else 0)
