#!/usr/bin/env python3
# P4, P9: bad records are quarantined with their place and counted, the run goes on, and what it leaves verifies.
import gzip, json, os, subprocess, sys, tempfile

PROGRAM = os.path.abspath(sys.argv[1])
GOOD = json.dumps({"content": "".join("line %d of a good record\n" % n for n in range(9)), "language": "python", "stars": 500}).encode()
CASES = [  # line, reason
    (b'{"content": ', "bad_json"), (b'{"content": "a"} trailing', "bad_json"), (b"[1, 2]", "not_object"), (b"7", "not_object"), (b'"x"', "not_object"),
    (b"null", "not_object"), (b"{}", "no_content"), (b'{"content": null}', "no_content"), (b'{"content": 7}', "content_type"),
    (b'{"content": ["a"]}', "content_type"), (b'{"content": {"a": 1}}', "content_type"), (b'{"content": "\xff\xfe"}', "bad_utf8"),
    (b'{"content": "\xed\xa0\x80"}', "bad_utf8"), (b'{"content": "a\tb"}', "bad_json"), (b'{"content": "a\x00b"}', "bad_json"),
    (b'{"content": "\\x41"}', "bad_json"), (b'{"content": "a",}', "bad_json"), (b"{'content': 'a'}", "bad_json"),
    (b'{"content": "a", "x": ' + b"[" * 3000 + b"]" * 3000 + b"}", "too_deep"), (b'{"content": "' + b"a" * 9000 + b'"}', "too_long"),
]


def run(work, source, *more):
    out = os.path.join(work, "out")
    done = subprocess.run([PROGRAM, "run", source, "-o", out, "--overwrite", "-q", "--durability", "fast", "--set", "filter.enabled=false", "--set",
                           "tokenizer.vocab_size=300", "--set", "source.record_bytes_max=8000"] + list(more), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=20)
    return out, done.returncode, done.stderr.decode()


def result(out):
    verify = subprocess.run([PROGRAM, "verify", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert verify.returncode == 0, verify.stderr.decode()
    return json.load(open(os.path.join(out, "metrics.json")))["funnel"], [json.loads(x) for x in open(os.path.join(out, "quarantine.jsonl"))]


def p09_bad_lines(work):
    source = os.path.join(work, "bad.jsonl")
    for line, reason in CASES:
        data = GOOD + b"\n" + line + b"\n" + GOOD + b"\n"
        open(source, "wb").write(data)
        out, code, text = run(work, source)
        assert code == 0, (line[:60], code, text)
        funnel, rows = result(out)
        assert funnel["read"] == 3 and funnel["quarantined"] == 1, (line[:60], funnel)
        row = rows[0]
        assert (row["file"], row["record"], row["offset"], row["reason"]) == ("bad.jsonl", 2, len(GOOD) + 1, reason), (line[:60], row)
        assert row["detail"] and abs(row["length"] - len(line)) <= 1, row
    assert run(work, source, "--strict")[1] == 3


def p09_damaged_containers(work):
    source = os.path.join(work, "bad.jsonl.gz")
    whole = gzip.compress(b"".join(GOOD.replace(b"line", b"line %d" % n) + b"\n" for n in range(3000)), 6)
    for cut in (20, len(whole) // 2, len(whole) - 4):
        open(source, "wb").write(whole[:cut])
        out, code, text = run(work, source)
        assert code == 0, (cut, code, text)
        funnel, rows = result(out)
        assert rows[-1]["reason"] == "damaged_stream" and funnel["quarantined"] == len(rows), (cut, rows)


def p09_nothing_to_keep(work):
    for name, data in (("empty.jsonl", b""), ("blank.jsonl", b"\n \n\r\n")):
        source = os.path.join(work, name)
        open(source, "wb").write(data)
        out, code, text = run(work, source)
        assert code == 0, (name, code, text)
        assert result(out)[0]["read"] == 0


def recipes_are_checked(work):
    source = os.path.join(work, "good.jsonl")
    open(source, "wb").write(GOOD + b"\n")
    for setting, word in (("filter.min_char=3", "filter.min_chars"), ("filter.min_alnum=2", "share"), ("pack.mode=best", "best-fit"), ("nonsense", "KEY=VALUE")):
        _, code, text = run(work, source, "--set", setting)
        assert code == 2 and word in text, (setting, code, text)
    _, code, text = run(work, source, "--tokenizer", source)
    assert code == 3, (code, text)
    code = subprocess.run([PROGRAM, "run", source, "-o", work + "/x", "--treads", "3"], stderr=subprocess.PIPE)
    assert code.returncode == 2 and b"--threads" in code.stderr


def main():
    with tempfile.TemporaryDirectory() as work:
        p09_bad_lines(work)
        p09_damaged_containers(work)
        p09_nothing_to_keep(work)
        recipes_are_checked(work)
    print("%d bad lines, 3 cut files, 2 empty files: told, counted, verified" % len(CASES))


main()
