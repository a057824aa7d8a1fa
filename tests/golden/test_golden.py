#!/usr/bin/env python3
"""Golden test: what a small fixed input becomes. A change of any output byte shows here; a wanted one is taken over by tools/regold.sh and read in the diff.

usage: test_golden.py SHARDMILL [--update]

Kept beside this file: for each case the metrics in full and, of every product file, bytes and SHA-256 of its contents (decompressed, so that another
version of zstd changes nothing); the built-in recipes as `recipe` prints them."""
import hashlib, json, os, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))
from corpus import write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
SMALL = ["--set", "tokenizer.vocab_size=1000"]
CASES = {
    "guide": ["--recipe", "guide", "--set", "filter.syntax=off"],
    "default": ["--set", "filter.syntax=off"],
    "default-syntax": [],
    "concat-multi": ["--set", "filter.syntax=off", "--set", "fim.cut=multi", "--set", "pack.mode=concat", "--set", "pack.extra=1", "--set", "pack.seq_len=256"],
    "chat-repos": ["--set", "filter.syntax=off", "--set", "repo.sequence=true", "--set", "pack.seq_len=1024", "--set", "chat.long=turn"],
}


def write_chat_repos(source, path):
    """The corpus with imports among the files of its repositories, and conversations of every form beside them."""
    with open(source) as f, open(path, "w") as g:
        for number, line in enumerate(f):
            g.write(line.replace('"content": "', '"content": "import src.%d\\n' % (number * 7 % 150), 1))
            text = "line %d <|im_end|>\n" % number
            if number % 9 == 0:
                g.write(json.dumps({"instruction": "Say " + text, "input": text * (number % 2), "output": text * (number % 5 + 1)}) + "\n")
            if number % 11 == 0:
                g.write(json.dumps({"messages": [{"role": r, "content": r + " " + text * (number % 40)} for r in ("system", "user", "assistant") +
                                                 ("user", "assistant") * (number % 3)]}) + "\n")
            if number % 13 == 0:
                g.write(json.dumps({"prompt": text, "completion": "    " + text}) + "\n")
                g.write(json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n")


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, check=True).stdout


def contents(path):
    return subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout if path.endswith(".zst") else open(path, "rb").read()


def made(work, source, name, options):
    """{file name of the golden: its text} of one case"""
    out = os.path.join(work, name)
    run("run", source, "-o", out, "-q", "--durability", "fast", *SMALL, *options)
    lines = []
    for root, folders, files in os.walk(out):
        folders[:] = sorted(f for f in folders if f != ".shardmill")
        for file in sorted(files):
            if file in ("manifest.json", "SHA256SUMS"):  # they hold versions and compressed bytes
                continue
            data = contents(os.path.join(root, file))
            lines.append("%s %9d %s\n" % (hashlib.sha256(data).hexdigest(), len(data), os.path.relpath(os.path.join(root, file), out)))
    metrics = json.dumps(json.load(open(os.path.join(out, "metrics.json"))), indent=1) + "\n"
    return {name + ".sums": "".join(lines), name + ".metrics.json": metrics}


def main():
    update = "--update" in sys.argv
    golden = {"recipe-%s.json" % r: run("recipe", r).decode() for r in ("guide", "default")}
    has_grammars = b"tree-sitter: no" not in run("devices")
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "golden.jsonl")
        write_corpus(source, records=150, seed=7)
        python = os.path.join(work, "python.jsonl")  # the same as Python, half of it such that it parses
        with open(source) as f, open(python, "w") as g:
            for number, line in enumerate(f):
                for name in ("Shell", "C++", '"java"', '"go"'):
                    line = line.replace(name, "python" if name[0] != '"' else '"python"')
                g.write(line if number % 2 else line.replace("🙂", "smile").replace("\\ud83d\\ude42", "smile"))
        chats = os.path.join(work, "chats.jsonl")
        write_chat_repos(source, chats)
        for name, options in CASES.items():
            if name == "default-syntax" and not has_grammars:
                print("skipped: default-syntax (this build has no grammars)")
                continue
            inputs = {"default-syntax": python, "chat-repos": chats}
            golden.update(made(work, inputs.get(name, source), name, options))
    different = []
    for name, text in sorted(golden.items()):
        path = os.path.join(HERE, name)
        kept = open(path).read() if os.path.exists(path) else ""
        if text == kept:
            continue
        different.append(name)
        if update:
            with open(path, "w") as f:
                f.write(text)
        a, b = kept.splitlines(), text.splitlines()
        at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        print("%s, line %d\n  was: %s\n  is:  %s" % (name, at + 1, a[at] if at < len(a) else "(end)", b[at] if at < len(b) else "(end)"))
    print("%d of %d golden files differ%s" % (len(different), len(golden), ": written" if update and different else ""))
    return 1 if different and not update else 0


sys.exit(main())
