#!/usr/bin/env python3
# P13: the same bytes for any number of threads, batch size, backend, locale, time zone, umask, working directory and spelling of the input's path.
import json, os, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from corpus import product, write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
GUIDE = ["--recipe", "guide", "--set", "filter.syntax=off"]
RECIPES = {"default": ["--set", "filter.syntax=off"], "guide": GUIDE, "part": GUIDE + ["--set", "tokenizer.sample_bytes=20000"]}
VARIANTS = [
    ("-j 2", ["-j", "2"], {}), ("-j 7", ["-j", "7"], {}), ("small batches", ["-j", "2", "--batch-size", "16K"], {}),
    ("other batches", ["-j", "3", "--batch-size", "300K"], {}), ("plain backend", ["--backend", "ref"], {}),
    ("surroundings", [], {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "MALLOC_PERTURB_": "85"}),
]


def run(work, source, name, arguments, env, cwd):
    out = os.path.join(work, name)
    done = subprocess.run([PROGRAM, "run", source, "-o", out, "-q", "--durability", "fast", "--set", "tokenizer.vocab_size=1000"] + arguments,
                          env=dict(os.environ, **env), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, (name, done.returncode, done.stderr.decode())
    return product(out)


def totals(out):
    found = json.loads(open(os.path.join(out, "manifest.json")).readline())["totals"]
    return found["documents"], found["records"]


def main():
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "corpus.jsonl")
        write_corpus(source)
        first = {}
        for recipe, options in RECIPES.items():
            wanted = run(work, source, recipe, options + ["-j", "1"], {}, work)
            assert any(p.startswith("shards/") for p in wanted) and "manifest.json" in wanted
            first[recipe] = wanted["tokenizer/tokenizer.json"], totals(os.path.join(work, recipe))
            for n, (what, arguments, env) in enumerate(VARIANTS):
                got = run(work, source, "%s%d" % (recipe, n), options + arguments, env, work)
                assert got == wanted, "%s, %s: %s" % (recipe, what, sorted(p for p in set(got) | set(wanted) if got.get(p) != wanted.get(p)))
            old = os.umask(0o077)
            got = run(work, "corpus.jsonl", recipe + "-relative", options, {}, work)
            os.umask(old)
            assert got == wanted, recipe + ": relative path, other umask"
        # A tokenizer of a part of the text is another one, and encodes all documents all the same.
        assert first["guide"][0] != first["part"][0] and first["guide"][1] == first["part"][1], first
    print("%d variants of %d recipes: the same bytes" % (len(VARIANTS) + 1, len(RECIPES)))


main()
