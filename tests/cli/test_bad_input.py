#!/usr/bin/env python3
"""P4, P9: bad input is told with its place and counted, the run goes on, what it leaves verifies; nothing to keep is no error.

usage: test_bad_input.py PROGRAM   (standard library only; cases for .zst need the zstd program)
"""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = os.path.abspath(sys.argv[1])
SECONDS_MAX = 2.0  # for one run; a few slow ones are seen again before they count (a busy machine)
OPTIONS = ["--durability", "fast", "--set", "filter.enabled=false", "--set", "tokenizer.vocab_size=400", "-j2"]
TEXT = "".join("line %d of a good record\n" % n for n in range(9))
GOOD = json.dumps({"content": TEXT, "language": "python", "stars": 500}).encode()
DEEP = 100_000
failures = []
inputs = 0


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:600]}")


def call(what, *arguments, stdin=None):
    """Exit code, stdout, stderr; too slow twice is a failure."""
    for attempt in (1, 2):
        begin = time.monotonic()
        try:
            done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=20)
        except subprocess.TimeoutExpired:
            check(f"{what}: ends", False)
            return None, "", ""
        if time.monotonic() - begin < SECONDS_MAX:
            break
        check(f"{what}: within {SECONDS_MAX} s", attempt == 1, time.monotonic() - begin)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def run(what, source, out, *more, stdin=None, command="run"):
    global inputs
    inputs += 1
    code, stdout, stderr = call(what, command, source, "-o", out, "--overwrite", *OPTIONS, *more, stdin=stdin)
    check(f"{what}: stdout stays empty", stdout == "", stdout)
    check(f"{what}: messages are clean text", stderr.isprintable() or all(c.isprintable() or c == "\n" for c in stderr), stderr)
    return code, stderr


def product(what, out):
    """Funnel and quarantine of a finished run that verifies and whose numbers add up."""
    code, _, stderr = call(what + " (verify)", "verify", out)
    check(f"{what}: verifies", code == 0, stderr)
    funnel = json.loads((out / "metrics.json").read_text())["funnel"]
    parts = funnel["kept"] + sum(funnel["rejected"].values()) + sum(funnel["duplicate"].values()) + funnel["unselected"] + funnel["quarantined"]
    check(f"{what}: the funnel adds up", parts == funnel["read"], funnel)
    rows = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    check(f"{what}: as many lines as the funnel counts", len(rows) == funnel["quarantined"], (funnel, rows))
    for row in rows:
        check(f"{what}: a line has its six members", list(row) == ["file", "record", "offset", "length", "reason", "detail"] and row["detail"], row)
    return funnel, rows


# ---- one bad line between two good ones ----------------------------------------------------------------------------------------------

def surrogate(text):
    return b'{"content": "' + text.encode() + b" and some more" * 9 + b'"}'


CHANGED = json.dumps({"content": TEXT.upper(), "language": "go"}).encode()


def stars(value):
    return b'{"content": "' + TEXT.replace("\n", "\\n").replace("good", "better").encode() + b'", "stars": ' + value + b"}"


LINES = [  # line, reason (None: it is taken), options
    # no JSON
    (b'{"content": ', "bad_json"), (b'{"content": "a"} trailing', "bad_json"), (b'{"content": "a",}', "bad_json"), (b"{'content': 'a'}", "bad_json"),
    (b'{"content": "a\tb"}', "bad_json"), (b'{"content": "\\x41"}', "bad_json"), (b'{"content": "\\u12"}', "bad_json"), (b'{"content" "a"}', "bad_json"),
    (b'{"content": "a", // comment', "bad_json"), (b'{"content": "a", "n": 01}', "bad_json"), (b'{"content": "a", "n": +1}', "bad_json"),
    (b'{"content": "a", "n": 1e}', "bad_json"), (b'{"content": tru}', "bad_json"), (b"}", "bad_json"), (b"plain words", "bad_json"),
    (b'{"content": "a"}{"content": "b"}', "bad_json"), (b"\x00", "bad_json"), (b'{"content": "a\x00b"}', "bad_json"), (b"\x1f\x8b\x08\x00", "bad_utf8"),
    # JSON of another kind
    (b"[1, 2]", "not_object"), (b"7", "not_object"), (b'"x"', "not_object"), (b"null", "not_object"), (b"true", "not_object"), (b"[]", "not_object"),
    # the text is missing or of another type
    (b"{}", "no_content"), (b'{"content": null}', "no_content"), (b'{"contents": "a"}', "no_content"), (b'{"content": 7}', "content_type"),
    (b'{"content": ["a"]}', "content_type"), (b'{"content": {"a": 1}}', "content_type"), (b'{"content": true}', "content_type"),
    (b'{"content": "a", "content": 7}', "content_type"),
    # not UTF-8
    (b'{"content": "\xff\xfe"}', "bad_utf8"), (b'{"content": "\xed\xa0\x80"}', "bad_utf8"), (b'{"content": "\xc0\xaf"}', "bad_utf8"),
    (b'{"content": "\xf4\x90\x80\x80"}', "bad_utf8"), (b'{"content": "caf\xe9"}', "bad_utf8"), (b'{"content": "a", "path": "\xe2\x82"}', "bad_utf8"),
    # deep and long
    (b'{"content": "a", "x": ' + b"[" * 3000 + b"]" * 3000 + b"}", "too_deep"), (b'{"content": "a", "x": ' + b"[" * DEEP, "too_deep"),
    (b"[" * DEEP + b"]" * DEEP, "too_deep"), (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "too_deep"),
    (b'{"content": "' + b"a" * 2000 + b'"}', "too_long", "--set", "source.record_bytes_max=1024"),
    (b"x" * 2_000_000, "too_long", "--set", "source.record_bytes_max=1024"),
    # lone surrogates by policy
    (surrogate("\\ud800"), None), (surrogate("\\udc00 x"), None, "--set", "source.bad_unicode=replace"),
    (surrogate("\\ud83d\\ud83d"), "lone_surrogate", "--set", "source.bad_unicode=drop"), (surrogate("\\ud83d\\ude00"), None, "--set", "source.bad_unicode=drop"),
    # odd but good
    (stars(b"null"), None), (stars(b"2.0"), None), (stars(b'"12"'), None), (stars(b"{}"), None), (stars(b"-5"), None), (stars(b"1e300"), None),
    (stars(b"true"), None), (stars(b"[1]"), None), (stars(b'"many"'), None), (stars(b"18446744073709551616"), None), (stars(b"9" * 500), None),
    (stars(b"1e-400"), None), (stars(b"1e999"), None), (b'{"content": 7, ' + CHANGED[1:], None), (CHANGED + b"\r", None), (b"\t " + CHANGED + b"  ", None),
    (b'{"content": "' + b"\\u0000" * 50 + b'"}', None), (b'{"content": ""}', None), (b'{"content": "x", "language": 7}', "field_type"),
    (b'{"content": "x", "licence": 7}', "field_type"), (b'{"content": "x", "repo": ["a"], "path": {}}', "field_type"),
]


def p09_bad_lines(work):
    source, out = work / "bad.jsonl", work / "out"
    for line, reason, *more in LINES:
        what = f"line {line[:70]!r} {more}"
        source.write_bytes(GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
        code, text = run(what, source, out, *more)
        check(f"{what}: exit code 0", code == 0, (code, text))
        if code != 0:
            continue
        funnel, rows = product(what, out)
        check(f"{what}: three records", funnel["read"] == 3, funnel)
        seen = rows[0]["reason"] if rows else None
        check(f"{what}: reason {reason}", seen == reason, rows)
        for row in rows:
            place = (row["file"], row["record"], row["offset"])
            check(f"{what}: its place", place == ("bad.jsonl", 2, len(GOOD) + 1) and abs(row["length"] - len(line)) <= 1, row)
        code, text = run(what + " --strict", source, out, "--strict", *more) if reason in ("bad_json", "too_long") else (None, "")
        if code is not None:
            check(f"{what}: --strict gives 3", code == 3 and "quarantine" in text, (code, text))
            product(what + " --strict", out)
    source.write_bytes(GOOD + b"\n" + surrogate("\\ud800") + b"\n" + GOOD + b"\n")
    code, text = run("bad_unicode=error", source, out, "--set", "source.bad_unicode=error")
    check("bad_unicode=error: exit 3 names file and record", code == 3 and "bad.jsonl" in text and "2" in text and "surrogate" in text, (code, text))


# ---- whole files ---------------------------------------------------------------------------------------------------------------------

def records(count):
    return b"".join(GOOD.replace(b"line", b"line %d" % n) + b"\n" for n in range(count))


def expect_stream(what, source, out, missing, *more):
    """The run ends well; the last quarantine line is the damaged rest of the stream iff something is missing."""
    code, text = run(what, source, out, *more)
    check(f"{what}: exit code 0", code == 0, (code, text))
    if code != 0:
        return
    funnel, rows = product(what, out)
    reasons = [row["reason"] for row in rows]
    # Too short to be known as compressed: read as lines.
    wanted = [] if not missing else ["damaged_stream"] if source.stat().st_size >= 4 else reasons[-1:] or ["any"]
    check(f"{what}: {'is told' if missing else 'nothing is missing'}", reasons[-1:] == wanted, (funnel, rows))
    if missing:
        check(f"{what}: the place is the first missing record", rows[-1]["record"] == funnel["read"], (funnel, rows))
        check(f"{what}: --strict gives 3", run(what + " --strict", source, out, "--strict", *more)[0] == 3)


def p09_damaged_containers(work):
    text, out = records(3000), work / "out"
    whole = gzip.compress(text, 6)
    source = work / "bad.jsonl.gz"
    for cut in (0, 1, 9, 20, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 4, len(whole) - 1, len(whole)):
        source.write_bytes(whole[:cut])
        expect_stream(f"gzip cut at {cut} of {len(whole)}", source, out, 0 < cut < len(whole))
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0x55
    for what, data, missing in (("a changed byte", bytes(changed), True), ("a wrong sum", whole[:-8] + b"\0\0\0\0" + whole[-4:], True),
                                ("two members", whole + whole, False), ("zeros after gzip", whole + b"\0" * 512, False),
                                ("garbage after gzip", whole + b"garbage, much of it" * 9, True), ("no gzip at all", b"\1\2\3\4" * 50, None)):
        source.write_bytes(data)
        if missing is not None:
            expect_stream(f"gzip: {what}", source, out, missing)
        else:
            code, message = run(f"gzip: {what}", source, out)
            check(f"gzip: {what}: told, not kept", code == 3 or (code == 0 and product(what, out)[0]["kept"] == 0), (code, message))
    zstd = shutil.which("zstd")
    if zstd is None:
        print("no zstd program: cut .zst files are not tested")
        return
    whole = subprocess.run([zstd, "-q", "-c", "--check"], input=text, stdout=subprocess.PIPE, check=True).stdout
    source = work / "bad.jsonl.zst"
    for cut in (0, 3, 6, len(whole) // 3, len(whole) // 2, len(whole) - 4, len(whole) - 1, len(whole)):
        source.write_bytes(whole[:cut])
        expect_stream(f"zstd cut at {cut} of {len(whole)}", source, out, 0 < cut < len(whole))
    for what, data, missing in (("two frames", whole + whole, False), ("garbage after zstd", whole + b"garbage" * 9, True),
                                ("a wrong sum", whole[:-2] + b"\0\0", True)):
        source.write_bytes(data)
        expect_stream(f"zstd: {what}", source, out, missing)


def p09_whole_files(work):
    out = work / "out"
    source = work / "file.jsonl"
    for what, data, read, kept in (("BOM", b"\xef\xbb\xbf" + GOOD + b"\n", 1, 1), ("CRLF", GOOD + b"\r\n" + CHANGED + b"\r\n", 2, 2),
                                   ("no newline at the end", GOOD + b"\n" + CHANGED, 2, 2), ("cut in the last record", GOOD + b"\n" + CHANGED[:50], 2, 1),
                                   ("blank lines between", b"\n\n" + GOOD + b"\n \n\t\n" + CHANGED + b"\n\n", 2, 2), ("UTF-16", GOOD.decode().encode("utf-16"), None, 0),
                                   ("binary", bytes(range(256)) * 300, None, 0), ("zeros", b"\0" * 100_000, 1, 0), ("old Mac line ends", GOOD + b"\r" + GOOD, 1, 0)):
        source.write_bytes(data)
        code, text = run(what, source, out)
        check(f"{what}: exit code 0", code == 0, (code, text))
        if code == 0:
            funnel, _ = product(what, out)
            check(f"{what}: {read} read, {kept} kept", funnel["read"] == (read or funnel["read"]) and funnel["kept"] == kept, funnel)
            check(f"{what}: nothing kept is told", kept != 0 or "warning" in text, text)
    code, text = run("bad standard input", "-", out, stdin=GOOD + b"\n{\n" + CHANGED)
    check("bad standard input: exit code 0", code == 0, (code, text))
    rows = product("bad standard input", out)[1] if code == 0 else []
    check("bad standard input: its place", [(r["record"], r["offset"], r["reason"]) for r in rows] == [(2, len(GOOD) + 1, "bad_json")], rows)
    secret = work / "name.unknown"
    secret.write_bytes(bytes(range(256)))
    code, text = run("file of unknown kind", secret, out)
    check("file of unknown kind: exit 3 names it and the way out", code == 3 and "name.unknown" in text and "--input-format" in text, (code, text))


def p09_nothing_to_keep(work):
    """No kept record: exit 0, an empty result that is valid, and a warning - the tokenizer trained on nothing included."""
    empty = work / "nothing"
    empty.mkdir()
    for name, data in (("empty.jsonl", b""), ("blank.jsonl", b"\n \n\r\n"), ("bom.jsonl", b"\xef\xbb\xbf"), ("bad.jsonl", b"{\n[]\n"), ("none.jsonl", GOOD + b"\n"),
                       ("directory", None), ("-", b"")):
        source = empty if data is None else "-" if name == "-" else work / name
        if data is not None and name != "-":
            source.write_bytes(data)
        for command in ("run", "filter", "dedup", "train", "encode") if name in ("empty.jsonl", "bad.jsonl") else ("run",):
            what, out = f"{command} of {name}", work / "empty_out"
            more = ["--languages", "cobol"] if name == "none.jsonl" else []
            code, text = run(what, source, out, *more, stdin=data if name == "-" else None, command=command)
            check(f"{what}: exit code 0", code == 0, (code, text))
            check(f"{what}: a warning", "warning: no record" in text, text)
            if code == 0:
                funnel, _ = product(what, out)
                check(f"{what}: nothing kept", funnel["kept"] == 0, funnel)
                stats = call(what, "stats", out)
                check(f"{what}: stats work", stats[0] == 0, stats)
            code, text = run(what + " -q", source, out, "-q", *more, stdin=data if name == "-" else None, command=command)
            check(f"{what}: the warning is told with -q, too", "warning: no record" in text, text)
    code, text = run("pack of nothing", work / "empty.jsonl", work / "empty_out", command="pack")
    check("pack of nothing: exit 0 and a warning", code == 0 and "warning: no " in text, (code, text))
    for command in ("dedup", "train", "encode"):  # stages without the filters keep to the chosen languages, too
        source = work / "two.jsonl"
        source.write_bytes(GOOD + b"\n" + CHANGED + b"\n")
        code, text = run(f"{command} --languages go", source, work / "go_out", "--languages", "go", command=command)
        funnel = product(f"{command} --languages go", work / "go_out")[0] if code == 0 else text
        check(f"{command} --languages go: one record", code == 0 and funnel["kept"] == 1 and funnel["rejected"] == {"language": 1}, funnel)
    source = work / "good.jsonl"
    source.write_bytes(GOOD + b"\n")
    check("a kept record needs no warning", "warning: no record" not in run("one good record", source, work / "out")[1])


def p09_trees(work):
    tree, out, outside = work / "tree", work / "out", work / "outside"
    (tree / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "far.py").write_text("never = 'read'\n" * 9)
    (tree / "good.py").write_text("a = 1\n" * 20)
    (tree / "sub" / "other.py").write_text("b = 2\n" * 20)
    (tree / "binary.py").write_bytes(b"a = 1\n\0\1\2" * 20)
    (tree / "late.py").write_bytes(b"a = 1\n" * 3000 + b"\0")
    (tree / "latin.py").write_bytes(b"# caf\xe9\n" * 20)
    (tree / "empty.py").write_bytes(b"")
    (tree / "long.py").write_bytes(b"c = 3\n" * 9000)
    os.symlink(tree / "good.py", tree / "inside.py")
    os.symlink(outside, tree / "folder")
    os.symlink("/nowhere/at/all", tree / "broken.py")
    os.symlink("loop.py", tree / "loop.py")
    os.symlink("..", tree / "sub" / "up")
    os.mkfifo(tree / "pipe.py")
    with open(os.fsencode(tree) + b"/od\xffd\n\x1b[31m.py", "wb") as f:
        f.write(b"d = 4\n" * 20 + b"\xff")
    code, text = run("tree", tree, out, "--set", "source.record_bytes_max=30000")
    check("tree: exit code 0", code == 0, (code, text))
    if code != 0:
        return
    funnel, rows = product("tree", out)
    seen = sorted((row["file"], row["reason"]) for row in rows)
    wanted = [("tree/late.py", "binary"), ("tree/latin.py", "bad_encoding"), ("tree/long.py", "too_long"), ("tree/od\ufffdd\n\x1b[31m.py", "bad_encoding")]
    check("tree: files that are no text are told", seen == wanted, seen)
    check("tree: two files are good", funnel["kept"] == 2, funnel)
    code, text = run("FIFO", tree / "pipe.py", out, "--input-format", "tree")
    check("a FIFO as a tree is refused", code == 3 and "pipe.py" in text, (code, text))
    folder = work / "records"
    folder.mkdir()
    for n in range(3):
        (folder / f"part{n}.jsonl").write_bytes(GOOD.replace(b"good", b"good %d" % n) + b"\n" + (b"[]\n" if n == 1 else b""))
    os.mkfifo(folder / "pipe.jsonl")
    code, text = run("directory of records", folder, out)
    check("directory of records: exit code 0", code == 0, (code, text))
    rows = product("directory of records", out)[1] if code == 0 else []
    check("directory of records: the file is named", [(r["file"], r["record"]) for r in rows] == [("records/part1.jsonl", 2)], rows)


# ---- recipes, settings, tokenizers ---------------------------------------------------------------------------------------------------

def recipes_are_checked(work):
    source, out = work / "good.jsonl", work / "recipe_out"
    source.write_bytes(GOOD + b"\n")
    for setting, words in (("filter.min_char=3", ["filter.min_char", "filter.min_chars"]), ("filter.min_alnum=2", ["filter.min_alnum"]),
                           ("pack.mode=best", ["pack.mode", "best-fit"]), ("nonsense", ["nonsense", "KEY=VALUE"]), ("=3", ["KEY=VALUE"]), ("", ["KEY=VALUE"]),
                           ("filter=3", ["filter", "group"]), ("filter.min_chars=", ["filter.min_chars"]), ("filter.min_chars=many", ["filter.min_chars", "many"]),
                           ("filter.min_chars=-1", ["filter.min_chars"]), ("filter.min_chars=1e99", ["filter.min_chars"]), ("filter.enabled=yes", ["filter.enabled", "yes"]),
                           ("dedup.treshold=0.5", ["dedup.threshold"]), ("min_char=5", ["filter.min_chars"]), ("tokenizer.vocab_size=0", ["tokenizer.vocab_size"]), ("fim.rate=1.5", ["fim.rate"]),
                           ("fim.rate=nan", ["fim.rate"]), ("seed=-1", ["seed"]), ("source.bad_unicode=maybe", ["source.bad_unicode", "replace"]),
                           ("filter.autogen_markers=7", ["filter.autogen_markers"]), ("filter.autogen_markers=[", ["filter.autogen_markers"])):
        code, _, text = call(setting, "run", source, "-o", out, "--set", setting)
        check(f"--set '{setting}': exit 2 with {words}", code == 2 and all(word in text for word in words), (code, text))
    recipe = work / "recipe.json"
    for data, words in ((b"", []), (b"{", []), (b"[]", []), (b"null", []), (b"\xff\xfe{\0", []), (b'{"filter": {"min_char": 3}}', ["filter.min_chars"]),
                        (b'{"filtr": {}}', ["'filter'"]), (b'{"filter": 7}', ["filter"]), (b'{"filter": {"min_chars": "x"}}', ["filter.min_chars"]),
                        (b'{"pack": {"mode": 3}}', ["pack.mode"]), (b"[" * DEEP, [])):
        recipe.write_bytes(data)
        code, _, text = call(f"recipe {data[:40]!r}", "run", source, "-o", out, "--recipe", recipe)
        check(f"recipe {data[:40]!r}: exit 2 names the file and {words}", code == 2 and "recipe.json" in text and all(w in text for w in words), (code, text))
    for path, codes in ((work / "absent.json", (2, 3)), (work, (2, 3, 4)), ("gide", (2,))):
        code, _, text = call(f"recipe {path}", "run", source, "-o", out, "--recipe", path)
        check(f"recipe {path} is refused by name", code in codes and os.path.basename(path) in text, (code, text))
    code, _, text = call("recipe gide", "run", source, "-o", out, "--recipe", "gide")
    check("a mistyped recipe: the known ones are told", "guide" in text, text)
    for missing in (work / "absent.jsonl", work / "absent" / "x.jsonl", ""):
        code, _, text = call(f"input '{missing}'", "run", missing, "-o", out)
        check(f"input '{missing}': exit 3 names it", code == 3 and str(missing) in text, (code, text))
    check("no refused call left a directory", not out.exists(), list(out.iterdir()) if out.exists() else "")


def tokenizers_are_checked(work):
    source, out, file = work / "good.jsonl", work / "tok_out", work / "tokenizer.json"
    source.write_bytes(GOOD + b"\n")
    code, text = run("train", source, out, command="train")
    check("train: exit code 0", code == 0, text)
    good = json.loads((out / "tokenizer" / "tokenizer.json").read_text())

    def attempt(what, data, *words):
        file.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        code, _, text = call(f"tokenizer: {what}", "run", source, "-o", work / "tok_run", "--overwrite", *OPTIONS, "--tokenizer", file)
        check(f"tokenizer: {what}: exit 3 with {words}", code == 3 and "tokenizer.json" in text and all(w in text for w in words), (code, text))

    def changed(path, value):
        copy = json.loads(json.dumps(good))
        at = copy
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return copy

    attempt("empty", b"")
    attempt("cut", json.dumps(good).encode()[:-40])
    attempt("records", GOOD)
    attempt("another kind", b"[]")
    attempt("deep", b"[" * DEEP)
    attempt("unigram", changed(["model", "type"], "Unigram"), "model", "Unigram")
    attempt("dropout", changed(["model", "dropout"], 0.5), "dropout", "0.5")
    attempt("pre-tokenizer", changed(["pre_tokenizer"], {"type": "Whitespace"}), "pre_tokenizer", "Whitespace")
    attempt("normalizer", changed(["normalizer"], {"type": "BertNormalizer"}), "normalizer", "BertNormalizer")
    attempt("merge of unknown words", changed(["model", "merges"], [["qq", "zz"]]), "merge 0", "qq")
    attempt("negative id", changed(["model", "vocab"], {**good["model"]["vocab"], "a": -1}), '"a"')
    attempt("same id twice", changed(["model", "vocab"], {**good["model"]["vocab"], "a": good["model"]["vocab"]["b"]}), "vocab")
    attempt("huge id", changed(["model", "vocab"], {**good["model"]["vocab"], "a": 2**40}), '"a"')
    code, _, text = call("absent tokenizer", "run", source, "-o", work / "tok_run", "--tokenizer", work / "absent.json")
    check("an absent tokenizer is named", code == 3 and "absent.json" in text, (code, text))


def main():
    work = Path(tempfile.mkdtemp(prefix="mill-bad-"))
    try:
        for test in (p09_bad_lines, p09_damaged_containers, p09_whole_files, p09_nothing_to_keep, p09_trees, recipes_are_checked, tokenizers_are_checked):
            test(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{inputs} runs over bad input: {len(failures)} failures" if failures else f"{inputs} runs over bad input: told, counted, verified")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
