#!/usr/bin/env python3
"""upload copies a finished directory to S3 so that it can be verified from there, through faults, kills and lies, and nothing else.

usage: test_upload.py PROGRAM   (standard library only; the S3 of net_servers.py on this machine)
"""
import base64
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from net_servers import S3, answer, drop

PROGRAM = os.path.abspath(sys.argv[1])
ACCESS, SECRET = "AKIATESTTESTTEST", "se/cret+key0123456789"
PART = 16 << 20
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:900]}")


def environment(s3, **more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "HF_")) and k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET} if s3.keys else {}
    return {**keep, "no_proxy": "127.0.0.1", "AWS_ENDPOINT_URL": s3.url, **keys, **more}


def start(*arguments, env):
    return subprocess.Popen([PROGRAM, *map(str, arguments)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def upload(s3, out, target, *more, code=0, env=None):
    process = start("upload", out, target, "--wait", "5", "--tries", "4", *more, env=env or environment(s3))
    said, err = process.communicate(timeout=120)
    err = err.decode("utf-8", "replace")
    check(f"exit code of upload to {target} is {code}", process.returncode == code, (process.returncode, err))
    check("no secret is printed", SECRET not in err and said == b"", err)
    return err


def products(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.relative_to(out).parts[0] != ".shardmill"
            and p.name != "report.html"}


def check_target(s3, out, prefix, bucket="my-bucket"):
    there = {key[len(prefix):]: entry["data"] for key, entry in s3.buckets[bucket].items() if key.startswith(prefix)}
    check("what lies at S3 is what was made", there == products(out), (sorted(there), sorted(products(out))))
    check("no upload is left over", not s3.uploads, s3.uploads.keys())


def make_run(folder, name, lines, *options):
    source, out = folder / f"{name}.jsonl", folder / name
    with source.open("w") as f:
        for n in range(lines):
            body = "".join(f"def f_{name}_{n}_{i}(x):\\n    return x * {n * 31 + i}\\n" for i in range(8))
            f.write(f'{{"content":"{body}","path":"a{n}.py","language":"python"}}\n')
    subprocess.run([PROGRAM, "run", source, "-o", out, "-q", "--set", "tokenizer.vocab_size=400", "--set", "pack.seq_len=128", *options], check=True)
    return out


def make_large(folder):
    """A finished directory with files of more than one part: single-stage records hold what their input holds."""
    source, out = folder / "large.jsonl", folder / "large"
    dice = random.Random(4)
    with source.open("w") as f:
        for n in range(800):
            text = dice.randbytes(30000).hex(" ", 16).translate(str.maketrans("0123456789", "ghijklmnop"))
            f.write('{"content":"%s","path":"a%d.txt"}\n' % (text + base64.b64encode(dice.randbytes(22000)).decode().replace("/", "_"), n))
    subprocess.run([PROGRAM, "dedup", source, "-o", out, "-q", "--format", "jsonl", "--set", "filter.syntax=off"], check=True)
    return out


def test_small(folder):
    s3 = S3({ACCESS: SECRET})
    s3.buckets["my-bucket"] = {"other/file": {"data": b"not ours", "etag": '"x"', "sum": None, "meta": {}}}
    out = make_run(folder, "one", 40)
    upload(s3, out, "s3://my-bucket/runs/v 1+é=%/")
    check_target(s3, out, "runs/v 1+é=%/")
    writes = [row[1] for row in s3.log if row[0] in ("PUT", "POST", "DELETE")]
    check("manifest.json comes last", writes[-1].endswith("/manifest.json"), writes)
    check("every signature was right", all(row[3] != 403 for row in s3.log), [row for row in s3.log if row[3] == 403][:1])
    check("each file carries its checksum", all("x-amz-checksum-sha256" in row[2] for row in s3.asked("PUT")))
    s3.forget()
    err = upload(s3, out, "s3://my-bucket/runs/v 1+é=%")
    check("a second call sends nothing", not s3.asked("PUT") and "; 0 sent" in err, (s3.asked("PUT"), err))
    # an object that was damaged or lost is sent again
    keys = [k for k in s3.buckets["my-bucket"] if k.startswith("runs/")]
    entry = s3.buckets["my-bucket"][keys[0]]
    s3.put("my-bucket", keys[0], entry["data"][:-1] + b"?", meta=entry["meta"])
    del s3.buckets["my-bucket"][keys[1]]
    upload(s3, out, "s3://my-bucket/runs/v 1+é=%")
    check_target(s3, out, "runs/v 1+é=%/")
    check("only these are", len(s3.asked("PUT")) == 2, s3.asked("PUT"))
    # another run's target
    two = make_run(folder, "two", 41)
    err = upload(s3, two, "s3://my-bucket/runs/v 1+é=%", code=7)
    check("another run is not overwritten", "--overwrite" in err, err)
    check_target(s3, out, "runs/v 1+é=%/")
    s3.forget()
    upload(s3, two, "s3://my-bucket/runs/v 1+é=%", "--overwrite")
    check("its manifest goes first", [r for r in s3.log if r[0] in ("PUT", "DELETE")][0][0] == "DELETE")
    check_target(s3, two, "runs/v 1+é=%/")
    check("what lies elsewhere stays", s3.buckets["my-bucket"]["other/file"]["data"] == b"not ours")
    upload(s3, two, "s3://my-bucket")
    check("without a prefix", s3.buckets["my-bucket"]["manifest.json"]["data"] == (two / "manifest.json").read_bytes())
    # refusals
    upload(s3, two, "s3://no-bucket/x", code=4)
    upload(s3, two, "https://x/y", code=2)
    upload(s3, folder / "nothing", "s3://my-bucket/x", code=4)
    err = upload(s3, two, "s3://my-bucket/x", code=4, env=environment(s3, AWS_SECRET_ACCESS_KEY="wrong"))
    check("a wrong secret is told", "HTTP 403" in err, err)
    shard = next(two.glob("shards/*"))
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    err = upload(s3, two, "s3://my-bucket/changed", code=8)
    check("a changed file is not sent", "was changed" in err and not any(k.startswith("changed/shards") for k in s3.buckets["my-bucket"]), err)
    check("and there is no manifest", "changed/manifest.json" not in s3.buckets["my-bucket"])
    shard.write_bytes(data[:-1])
    upload(s3, two, "s3://my-bucket/changed", code=8)
    (two / "manifest.json").unlink()
    err = upload(s3, two, "s3://my-bucket/changed", code=8)
    check("an unfinished run is refused", "manifest.json" in err, err)
    s3.stop()


def test_faults(folder):
    out = make_run(folder, "one", 40)
    for more in ({}, {"checksums": False}):
        s3 = S3({ACCESS: SECRET}, **more)
        s3.buckets["my-bucket"] = {}
        s3.fault("/x/", answer(503, [("Retry-After", "0")]), "PUT")
        s3.fault("/x/", answer(500), "HEAD")
        s3.fault("/x/", drop, "PUT")
        s3.fault("/x/", answer(429), "PUT")
        s3.corrupt.add("x/metrics.json")  # the server stores something else than it was given
        err = upload(s3, out, "s3://my-bucket/x")
        check("another content at the server is noticed", "sending it again" in err, err)
        check_target(s3, out, "x/")
        s3.stop()
    s3 = S3()
    s3.buckets["my-bucket"], s3.kms, s3.checksums = {}, True, False
    upload(s3, out, "s3://my-bucket/x")
    check_target(s3, out, "x/")
    s3.stop()
    s3 = S3({ACCESS: SECRET})
    s3.buckets["my-bucket"] = {}
    for _ in range(8):
        s3.fault("/x/", answer(503), "PUT")
    err = upload(s3, out, "s3://my-bucket/x", "-j", "1", code=4)
    check("what never gets better ends", "HTTP 503" in err and "x/manifest.json" not in s3.buckets["my-bucket"], err)
    s3.stop()


def test_parts(folder):
    out = make_large(folder)
    sizes = {str(p.relative_to(out)): p.stat().st_size for p in out.rglob("*") if p.is_file()}
    large = [name for name, size in sizes.items() if size > 2 * PART]
    check("there is a file of three parts", large, sizes)
    for more in ({"page": 1}, {"checksums": False}):
        s3 = S3({ACCESS: SECRET}, **more)
        s3.buckets["my-bucket"] = {}
        s3.fault("partNumber=2", drop, "PUT")
        s3.fault("partNumber=3", answer(503), "PUT")
        upload(s3, out, "s3://my-bucket/p")
        check_target(s3, out, "p/")
        check("parts of 16 MiB", {len(s3.buckets["my-bucket"]["p/" + name]["etag"].split("-")) for name in large} == {2})
        check("every signature was right", all(row[3] != 403 for row in s3.log), [row for row in s3.log if row[3] == 403][:1])
        s3.forget()
        upload(s3, out, "s3://my-bucket/p")
        check("a second call sends nothing", not s3.asked("PUT") and not s3.asked("POST"), s3.log)
        # killed after some parts: these are not sent again
        s3.buckets["my-bucket"].clear()
        s3.forget()
        for _ in range(4):
            s3.fault("partNumber=3", answer(503), "PUT")
        upload(s3, out, "s3://my-bucket/p", "-j", "1", code=4)
        check("parts stay for the next call", len(s3.uploads) == 1 and "p/manifest.json" not in s3.buckets["my-bucket"], s3.uploads.keys())
        s3.forget()
        upload(s3, out, "s3://my-bucket/p", "-j", "1")
        check_target(s3, out, "p/")
        check("what is there is not sent again", not s3.asked("PUT", "partNumber=1") and s3.asked("PUT", "partNumber=3"), [r[:2] for r in s3.log])
        # an unfinished upload of another content under the same key; an error behind status 200
        s3.buckets["my-bucket"].clear()
        s3.uploads["old"] = {"bucket": "my-bucket", "key": "p/" + large[0], "meta": {"sha256": "0" * 64}, "parts": {
            1: {"data": b"x" * PART, "etag": '"' + hashlib.md5(b"x" * PART).hexdigest() + '"', "sum": "other"}}}
        s3.fault("uploadId", answer(200, body=b"<Error><Code>InternalError</Code><Message>later</Message></Error>"), "POST")
        err = upload(s3, out, "s3://my-bucket/p", "-j", "1", code=4)
        check("an error behind 200 is one", "InternalError" in err, err)
        upload(s3, out, "s3://my-bucket/p", "-j", "1")
        check_target(s3, out, "p/")
        s3.stop()
    s3 = S3({ACCESS: SECRET})
    s3.buckets["my-bucket"] = {}
    kills = 0
    for n in range(20):
        process = start("upload", out, "s3://my-bucket/k", "--wait", "5", "-j", "2", env=environment(s3))
        if not s3.wait_moved(process, 1 + 3000000 * (n % 3)):
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        there = "k/manifest.json" in s3.buckets["my-bucket"]
        check("killed, the manifest stands only where all stands", not there or len(s3.buckets["my-bucket"]) == len(products(out)))
    process.communicate()
    check("it was killed, and came to its end", kills >= 2 and process.returncode == 0, (kills, process.returncode))
    upload(s3, out, "s3://my-bucket/k")
    check_target(s3, out, "k/")
    s3.stop()


def test_no_memory(folder):
    """Each allocation of ours fails once: that is said, and nothing is broken."""
    tool = os.environ.get("MILL_FETCH_NOMEM")
    if not tool:
        print("test_no_memory: skipped, no MILL_FETCH_NOMEM")
        return
    out = make_run(folder, "one", 40)
    s3 = S3({ACCESS: SECRET})
    s3.buckets["my-bucket"] = {}
    done = subprocess.run([tool, "upload", out, "s3://my-bucket/x"], env=environment(s3), capture_output=True, timeout=300)
    check("no memory while uploading", done.returncode == 0 and int(done.stdout or 0) > 50, (done.returncode, done.stdout, done.stderr))
    check_target(s3, out, "x/")
    s3.stop()


def main():
    for test in (test_small, test_faults, test_no_memory, test_parts):
        if len(sys.argv) > 2 and test.__name__ not in sys.argv[2:]:
            continue
        with tempfile.TemporaryDirectory() as name:
            begin = time.time()
            test(Path(name))
            print(f"{test.__name__}: {time.time() - begin:.1f} s")
    if failures:
        print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
