"""Reading JSON lines must agree with Python's json: hostile and random lines, and the corpus files.

usage: agree_json.py DUMP_RECORDS [--seed N] [--lines N] [--corpus none|quick|all]
"""
import argparse, gzip, io, json, os, random, re, subprocess, sys, tempfile

SHARED = os.environ.get("SHARDMILL_SHARED") or os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")
COLUMNS = {
    "content": ["content", "code"],
    "repo": ["repo", "repo_name", "repository_name", "max_stars_repo_name"],
    "path": ["path", "max_stars_repo_path"],
    "stars": ["stars", "max_stars_count", "star_events_count"],
}
LONE = re.compile("[\ud800-\udfff]")


def too_deep(text):
    depth, inside, i = 0, False, 0
    while i < len(text):
        c = text[i]
        if inside:
            if c == "\\":
                i += 1
            elif c == '"':
                inside = False
        elif c == '"':
            inside = True
        elif c in "[{":
            depth += 1
            if depth > 512:
                return True
        elif c in "]}":
            depth -= 1
        i += 1
    return False


def pick(record, field):
    return next((record[c] for c in COLUMNS[field] if record.get(c) is not None), None)


def stars_of(value):
    if isinstance(value, bool) or value is None:
        return -1
    if isinstance(value, str):
        found = re.fullmatch(r" *([0-9]+)(?:\.0*)? *", value)
        return min(int(found[1]), 2**63 - 1) if found else -1
    if isinstance(value, int):
        return min(value, 2**63 - 1) if value >= 0 else -1
    if isinstance(value, float) and 0 <= value < float("inf"):
        return min(int(value), 2**63 - 1)
    return -1


def expected(line):
    """None for a blank line, a reason, or (content, repo, path, stars)."""
    if not line.strip(b" \t\r"):
        return None
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "bad_utf8"
    deep = too_deep(text)
    try:
        value = json.loads(text)
    except RecursionError:
        return "too_deep"
    except ValueError:
        return "too_deep" if deep else "bad_json"
    if deep:
        return "too_deep"
    if not isinstance(value, dict):
        return "not_object"
    content = pick(value, "content")
    if content is None:
        return "no_content"
    if not isinstance(content, str):
        return "content_type"
    if any(not isinstance(pick(value, f), (str, type(None))) for f in ("repo", "path")):
        return "field_type"
    clean = lambda s: LONE.sub("\ufffd", s or "")
    return clean(content), clean(pick(value, "repo")), clean(pick(value, "path")), stars_of(pick(value, "stars"))


HOSTILE = [
    b"", b"   ", b"\t\r", b"{}", b"[]", b"1", b"null", b'"x"', b'{"content":null}', b'{"content":1}', b'{"content":""}',
    b'{"content":"a","content":"b"}', b'{"content":"a","content":null}', b'{"content":null,"code":"c"}', b'{"code":"c"}',
    b'{"content":"a\\u0000b"}', b'{"content":"a\x00b"}', b'{"content":"a\x01b"}', b'{"content":"\x7f"}',
    b'{"content":"\\ud800"}', b'{"content":"\\udc00\\ud800"}', b'{"content":"\\ud83d\\ude00"}', b'{"content":"\\ud83d\\ud83d\\ude00"}',
    b'{"content":"\\\\ud800"}', b'{"content":"\\\\\\ud800x"}', b'{"content":"\\uD83D\\uDE00 \\uDE00"}', b'{"content":"\\ud800',
    b'{"content":"\\ud80"}', b'{"content":"\\ud8zz"}', b'{"\\udfff":1,"content":"k"}', b'{"content":"\\ud800"} x', b'{"content":"\xed\xa0\x80"}',
    b'{"content":"\xc0\xaf"}', b'{"content":"\xff"}', b'{"content":"\xf4\x90\x80\x80"}', b'\xef\xbb\xbf{"content":"bom"}',
    b'{"content":"x","stars":NaN}', b'{"content":"x","stars":Infinity}', b'{"content":"x","stars":-Infinity}',
    b'{"content":"x","stars":2.0}', b'{"content":"x","stars":"12"}', b'{"content":"x","stars":"12.0"}', b'{"content":"x","stars":"a"}',
    b'{"content":"x","stars":{}}', b'{"content":"x","stars":true}', b'{"content":"x","stars":-3}', b'{"content":"x","stars":1e3}',
    b'{"content":"x","stars":18446744073709551616}', b'{"content":"x","stars":18446744073709551615}', b'{"content":"x","stars":2.9}',
    b'{"content":"x","stars":null,"max_stars_count":7}', b'{"content":"x","repo":1}', b'{"content":"x","path":[]}',
    b'{"content":"x",}', b"{'content':'x'}", b'{"content":"x"}}', b'{"content":"x"}{}', b'{"content":"x" /*c*/}', b'{"content":"x","a":01}',
    b'{"content":"x","a":1.}', b'{"content":"x","a":.5}', b'{"content":"x","a":+1}', b'{"content":"x","a":0x10}', b'{"content":"x","a":1e}',
    b'{"content":"x","a":tru}', b'{"content":"\\x"}', b'{"content":"\\/\\b\\f\\n\\r\\t\\"\\\\"}', b'{"content":"x\\', b'{"content":"x', b"{",
    b'{"content":"\xe2\x80\xa8 raw"}', b'  {"content":"blanks"}  ', b'\x0c{"content":"x"}', b'{"content":"x"}\x00', b'\xc2\xa0{"content":"x"}',
    b'{"a":' + b"[" * 511 + b"]" * 511 + b',"content":"deep ok"}', b'{"a":' + b"[" * 512 + b"]" * 512 + b',"content":"deep"}',
    b"[" * 100000, b'{"a":' * 3000, b'{"content":"' + b"[{" * 4000 + b'"}', b'{"content":"x","a":[' + b"0," * 5000 + b"0]}",
]


def mutate(rng, line):
    out = bytearray(line)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(4)
        if kind == 0 and out:
            del out[at : at + rng.randint(1, 3)]
        elif kind == 1:
            out[at:at] = rng.choice([b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\ud83d", b"\\ude00", b"\\u", b"\x80", b"\xe2", b"\x00", b" ", b"0", b"e", b"-", b"\r"])
        elif kind == 2 and out:
            out[min(at, len(out) - 1)] = rng.randrange(256)
        else:
            out[at:at] = bytes(out[at : at + 6])
    return bytes(out).replace(b"\n", b" ")


def random_line(rng):
    text = "".join(rng.choice(["a", '"', "\\", "\n", "é", "漢", "😀", "\ud800", "\udfff", "{", "}", "\u0000", "\u2028", " ", "/"]) for _ in range(rng.randrange(12)))
    record = {rng.choice(["content", "code", "x"]): text, rng.choice(["repo", "repo_name", "y"]): rng.choice(["r", None, text]),
              rng.choice(["stars", "max_stars_count"]): rng.choice([None, 0, 3, 4.0, "5", 10**20, [], "x", 1.5]), "path": rng.choice(["a.py", None, "b"])}
    items = list(record.items())
    rng.shuffle(items)
    ascii_only = rng.random() < 0.7 or any(LONE.search(v) for v in record.values() if isinstance(v, str))
    line = json.dumps(dict(items), ensure_ascii=ascii_only).encode()
    return line if rng.random() < 0.4 else mutate(rng, line)


def dump(program, path, *options):
    run = subprocess.Popen([program, *options, path], stdout=subprocess.PIPE)
    for line in run.stdout:
        yield json.loads(line)
    if run.wait() != 0:
        sys.exit(f"agree_json: {program} ended with {run.returncode}")


def compare_lines(program, lines, block, ending):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lines.jsonl")
        with open(path, "wb") as f:
            f.write(ending.join(lines))
        got = {}
        for row in dump(program, path, "--block", str(block), "--preset", "auto"):
            if row["kind"] == "record":
                got[row["record"]] = (row["content"], row["repo"], row["path"], row["stars"])
            elif row["kind"] == "quarantine":
                got[row["record"]] = row["reason"]
    bad = 0
    for number, line in enumerate(lines, 1):
        want, have = expected(line), got.get(number)
        # yyjson takes nan and inf in any case; Python only NaN and Infinity.
        if want != have and not (want == "bad_json" and re.search(rb"(?i)nan|inf", line)):
            bad += 1
            if bad < 10:
                print(f"line {number}: {line[:120]!r}\n  python: {want!r:.200}\n  ours:   {have!r:.200}")
    return bad


def open_raw(path):
    if path.endswith(".gz"):
        return gzip.open(path)
    import zstandard

    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(open(path, "rb")))


def compare_corpus(program, names):
    bad = total = 0
    for name in names:
        path = os.path.join(SHARED, "corpus", name)
        raw = open_raw(path)
        rows = (r for r in dump(program, path, "--block", "8000000") if r["kind"] != "input")
        for number, (line, row) in enumerate(zip(raw, rows, strict=True), 1):
            total += 1
            want = expected(line.rstrip(b"\n"))
            if row["kind"] != "record" or (row["content"], row["repo"], row["path"], row["stars"]) != want or row["record"] != number:
                bad += 1
                if bad < 10:
                    print(f"{name}:{number}: differs")
    print(f"agree_json: {total} corpus records, {bad} differ")
    return bad


def main():
    args = argparse.ArgumentParser()
    args.add_argument("program")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--lines", type=int, default=3000)
    args.add_argument("--corpus", choices=["none", "quick", "all"], default="quick")
    a = args.parse_args()
    rng = random.Random(a.seed)
    lines = HOSTILE + [random_line(rng) for _ in range(a.lines)]
    bad = sum(compare_lines(a.program, lines, block, b"\n") for block in (1, 777, 1 << 26))
    print(f"agree_json: {len(lines)} lines in 3 block sizes, {bad} differ (seed {a.seed})")
    if a.corpus != "none":
        if not os.path.isdir(os.path.join(SHARED, "corpus")):
            print("agree_json: no corpus (SHARDMILL_SHARED), compared the hostile lines only")
            sys.exit(1 if bad else 77)
        try:
            names = ["bigquery/export-000.json.gz", "code.jsonl.zst", "guide.jsonl.zst"]
            bad += compare_corpus(a.program, names[:1] if a.corpus == "quick" else names)
        except ModuleNotFoundError as missing:
            print(f"agree_json: {missing}; compared the hostile lines only")
            sys.exit(1 if bad else 77)
    sys.exit(1 if bad else 0)


main()
