#!/usr/bin/env python3
"""The whole pipeline against an independent program: recipe guide must give the shards and the tokenizer of guide_pipeline.py byte for byte.

usage: agree_guide.py SHARDMILL    on a slice of the corpus with hostile records, two seeds; and Python records with ast.parse"""
import json, os, subprocess, sys, tempfile

PROGRAM = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("SHARDMILL_SHARED", os.path.join(HERE, "..", "..", "..", "shared"))
GUIDE, CORPUS = os.path.join(SHARED, "peers", "guide_pipeline.py"), os.path.join(SHARED, "corpus", "guide.jsonl.zst")


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


for package in ("tokenizers", "transformers", "datasketch"):
    try:
        __import__(package)
    except ImportError:
        skip("the package %s is missing (tools/setup peers)" % package)
if not os.path.exists(GUIDE) or not os.path.exists(CORPUS):
    skip("the shared corpus and peers are not beside the repository")


def corpus():
    raw = subprocess.run(["zstd", "-dcq", CORPUS], stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in raw.split(b"\n") if line]


def hostile():
    """Records that passed through the guide's program unharmed and have tripped others."""
    body = "".join("def f%d(x):\n    return x + %d\n" % (n, n) for n in range(40))
    texts = [body.replace("\n", "\r\n"), "\ufeff" + body, body + "\u2028\u2029 end\n", body + "\x00\x01\n", body + "🙂 значение 値\n",
             body + "<|endoftext|> inside\n" + body, "<|fim_middle|>" + body, body + "\t'typeof x\n's\n", "a = 1\n" * 3000, body + " " * 90 + "\n",
             body, body, body + "# x\n", "x" * 60 + "\n" * 5 + "y" * 60, body.replace(" ", "\u00a0")]
    return [{"content": t, "language": lang, "repo": "h", "path": "p%d" % n, "stars": stars}
            for n, t in enumerate(texts) for lang in ("python", "go", "other") for stars in (5, 500)]


def compare(name, records, seed, syntax):
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "slice.jsonl")
        with open(source, "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in records)
        theirs, ours = os.path.join(work, "theirs"), os.path.join(work, "ours")
        subprocess.run([sys.executable, GUIDE, source, theirs, "--seed", str(seed), "--syntax", syntax], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=dict(os.environ, HF_HUB_OFFLINE="1"))
        options = ["--set", "filter.syntax=" + ("cpython" if syntax == "on" else "off"), "--set", "filter.python=" + sys.executable]
        subprocess.run([PROGRAM, "run", source, "-o", ours, "--recipe", "guide", "--seed", str(seed), "--format", "jsonl", "-q",
                        "--durability", "fast"] + options, check=True)
        names = sorted(os.listdir(os.path.join(theirs, "shards")))
        assert names == sorted(os.listdir(os.path.join(ours, "shards"))), (name, names)
        pairs = [("shards/" + n, "shards/" + n) for n in names] + [("tokenizer.json", "tokenizer/tokenizer.json")]
        for a, b in pairs:
            assert open(os.path.join(theirs, a), "rb").read() == open(os.path.join(ours, b), "rb").read(), "%s, seed %d: %s differs" % (name, seed, b)
        metrics = json.load(open(os.path.join(ours, "metrics.json")))
        print("%s, seed %d: %d records, %d kept, %d samples: identical" % (name, seed, len(records), metrics["funnel"]["kept"], metrics["total_samples"]))


def main():
    whole = corpus()
    every = whole[::40] + hostile()
    compare("slice", every, 0, "off")
    compare("slice", every, 3, "off")
    compare("python", [r for r in whole if r["language"] == "python"][::20] + [r for r in hostile() if r["language"] == "python"], 0, "on")


main()
