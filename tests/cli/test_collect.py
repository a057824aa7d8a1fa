#!/usr/bin/env python3
"""collect brings what servers have, byte for byte, through faults, kills and lies, and keeps secrets and file names where they belong.

usage: test_collect.py PROGRAM   (standard library only; servers of net_servers.py on this machine)
"""
import base64
import hashlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import net_servers
from net_servers import Files, Hub, S3, answer, cut, drop

PROGRAM = os.path.abspath(sys.argv[1])
TOKEN, ACCESS, SECRET, SESSION = "hf_0123456789secret", "AKIATESTTESTTEST", "se/cret+key0123456789", "session+token/=="
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:900]}")


def environment(**more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "HF_")) and k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    return {**keep, "no_proxy": "127.0.0.1", **{k: v for k, v in more.items() if v is not None}}


def start(*arguments, env=None, **more):
    return subprocess.Popen([PROGRAM, *map(str, arguments)], env=env or environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def call(*arguments, code=0, env=None, **more):
    process = start(*arguments, env=env, **more)
    out, err = process.communicate(timeout=120)
    out, err = out.decode(), err.decode("utf-8", "replace")
    check(f"exit code of {' '.join(map(str, arguments))[:120]} is {code}", process.returncode == code, (process.returncode, err))
    for secret in (TOKEN, SECRET, SESSION, "pass:word"):
        check("no secret is printed", secret not in out + err, err)
    return out, err


def collect(out, *urls, code=0, env=None, **more):
    return call("collect", *urls, "-o", out, "--wait", "5", "--tries", "4", code=code, env=env, **more)


def noise(seed, count):
    return random.Random(seed).randbytes(count)


def files_below(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).parts[0] != ".shardmill"}


def record(folder):
    return json.loads((folder / "collect.json").read_text())


def check_record(folder, wanted):
    """wanted: path -> content. The record, the files, and nothing else."""
    there = files_below(folder)
    text = there.pop("collect.json", b"{}")
    check("exactly the wanted files", there == wanted, (sorted(there), sorted(wanted)))
    rows = json.loads(text).get("files", [])
    check("the record has each file, sorted", [r["path"] for r in rows] == sorted(wanted), rows)
    for row in rows:
        content = wanted.get(row["path"], b"")
        check("the record is right", row["bytes"] == len(content) and row["sha256"] == hashlib.sha256(content).hexdigest(), row)
    for secret in (TOKEN, SECRET, SESSION, ACCESS, "pass:word", "signature=secret"):
        check("no secret is written", not any(secret.encode() in p.read_bytes() for p in folder.rglob("*") if p.is_file()))
    state = sorted(p.name for p in (folder / ".shardmill").iterdir())
    check("after success only the lock is left", state == ["lock"], state)


# ---- https ------------------------------------------------------------------------------------------------------------------------------

def test_web(folder):
    big = noise(1, 3 << 20)
    server = Files({"/a/one.jsonl": b"{}\n" * 40, "/a/big%20file.bin": big, "/empty": b"", "/p/locked.txt": b"for you"})
    server.passwords["/p/locked.txt"] = "Basic " + base64.b64encode(b"me@x:pass:word").decode()
    out = folder / "out"
    urls = [server.url + "/a/one.jsonl?key=signature=secret", server.url + "/a/big%20file.bin#sha256=" + hashlib.sha256(big).hexdigest().upper(),
            server.url + "/empty", server.url.replace("//", "//me%40x:pass%3Aword@") + "/p/locked.txt"]
    wanted = {"127.0.0.1/a/one.jsonl": b"{}\n" * 40, "127.0.0.1/a/big file.bin": big, "127.0.0.1/empty": b"", "127.0.0.1/p/locked.txt": b"for you"}
    text, _ = call("collect", *urls, "-o", out, "--dry-run")
    check("a dry run lists and writes nothing", "127.0.0.1/a/big file.bin" in text and "3,145,728" in text and not out.exists(), text)
    text, _ = call("collect", *urls, "--dry-run", "--json")
    listed = json.loads(text)
    check("a dry run as JSON", listed["bytes"] == sum(map(len, wanted.values())) and len(listed["files"]) == 4 and not listed["files"][0]["collected"], text)
    collect(out, *urls)
    check_record(out, wanted)
    check("no query in the record", all("?" not in row["url"] and "@" not in row["url"] for row in record(out)["files"]), record(out))
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    server.forget()
    _, err = collect(out, *urls)
    check("a second call fetches nothing", not server.asked("GET") and "; 0 fetched" in err, (server.asked("GET"), err))
    check("a second call writes nothing", {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before)
    text, _ = call("collect", *urls, "-o", out, "--dry-run", "--json")
    check("a dry run knows what is collected", all(row["collected"] for row in json.loads(text)["files"]), text)
    # damage is found and mended
    (out / "127.0.0.1/a/one.jsonl").write_bytes(b"[]\n" * 40)
    _, err = collect(out, *urls)
    check("damage is told", "one.jsonl: was changed since" in err, err)
    check_record(out, wanted)
    (out / "127.0.0.1/a/one.jsonl").write_bytes(b"[]\n" * 40)
    collect(out, *urls, "--check", "size")
    check("--check size trusts sizes", (out / "127.0.0.1/a/one.jsonl").read_bytes() == b"[]\n" * 40)
    (out / "127.0.0.1/a/one.jsonl").unlink()
    collect(out, *urls, "--check", "size")
    check_record(out, wanted)
    # another version at the server
    server.files["/a/one.jsonl"] = b"{\"v\":2}\n"
    _, err = collect(out, *urls, code=7)
    check("another version is named", "one.jsonl" in err and "--update" in err, err)
    collect(out, *urls, "--update")
    wanted["127.0.0.1/a/one.jsonl"] = b"{\"v\":2}\n"
    check_record(out, wanted)
    # one more address: the record grows
    server.files["/later"] = b"later"
    collect(out, server.url + "/later")
    wanted["127.0.0.1/later"] = b"later"
    check_record(out, wanted)
    # a wrong checksum, a missing file, a wrong password
    _, err = collect(folder / "sum", server.url + "/empty#sha256=" + "0" * 64, code=3)
    check("a wrong sum is told", "SHA-256" in err and "nothing of it was kept" in err, err)
    check("nothing of it was kept", set(files_below(folder / "sum")) <= set(), files_below(folder / "sum"))
    _, err = collect(folder / "gone", server.url + "/nothing", code=3)
    check("a missing file is told", "HTTP 404" in err, err)
    collect(folder / "who", server.url + "/p/locked.txt", code=3)
    server.stop()


def test_web_faults(folder):
    big = noise(2, 2 << 20)
    server = Files({"/big": big, "/small": b"small", "/redirected": b"redirected"})
    other = Files({"/target": b"from elsewhere"})
    etag = server.etag("/big")
    server.fault("/big", answer(429, [("Retry-After", "1")]), "GET")
    server.fault("/big", answer(503), "GET")
    server.fault("/big", drop, "GET")
    server.fault("/big", cut(big, 700000, etag), "GET")
    begin = time.time()
    collect(folder / "a", server.url + "/big", server.url + "/small")
    check("Retry-After is honoured", time.time() - begin >= 1.0, time.time() - begin)
    check_record(folder / "a", {"127.0.0.1/big": big, "127.0.0.1/small": b"small"})
    ranges = [row[2].get("Range") for row in server.asked("GET", "/big")]
    check("a cut body is continued where it was cut", ranges[-1] == "bytes=700000-", ranges)
    check("by If-Range", server.asked("GET", "/big")[-1][2].get("If-Range") == etag)
    # the file changes in between: the rest is not mixed with the first part
    new = noise(3, 2 << 20)
    server.fault("/big", lambda request: (cut(big, 900000, etag)(request), server.files.update({"/big": new}))[0], "GET")
    collect(folder / "b", server.url + "/big#sha256=" + hashlib.sha256(new).hexdigest())
    check_record(folder / "b", {"127.0.0.1/big": new})
    # a server that gives a range of something else, one that knows no ranges, one without tags
    server.fault("/big", cut(new, 500000, server.etag("/big")), "GET")
    server.fault("/big", lambda r: r.give(206, new[100:], [("Content-Range", f"bytes 100-{len(new) - 1}/{len(new)}")]), "GET")
    collect(folder / "c", server.url + "/big")
    check_record(folder / "c", {"127.0.0.1/big": new})
    server.ranges = False
    server.fault("/big", cut(new, 500000, server.etag("/big")), "GET")
    collect(folder / "d", server.url + "/big")
    check_record(folder / "d", {"127.0.0.1/big": new})
    server.ranges, server.etags = True, False
    server.fault("/big", cut(new, 500000, None), "GET")
    server.forget()
    collect(folder / "e", server.url + "/big")
    check_record(folder / "e", {"127.0.0.1/big": new})
    check("without tag, date or checksum it begins anew", all("Range" not in row[2] for row in server.asked("GET")), server.log)
    server.dates["/big"] = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.etags = True
    # HEAD is refused
    server.no_head.add("/small")
    collect(folder / "f", server.url + "/small")
    check_record(folder / "f", {"127.0.0.1/small": b"small"})
    collect(folder / "f", server.url + "/small")
    # what never gets better ends
    for _ in range(8):
        server.fault("/small", answer(500))
    _, err = collect(folder / "g", server.url + "/small", code=4)
    check("tries are counted", "HTTP 500" in err and len(server.faults) == 4, (err, len(server.faults)))
    server.faults.clear()
    # redirects: followed without the password, not from https to elsewhere, not for ever
    server.redirects = {"/redirected": other.url + "/target", "/loop": server.url + "/loop", "/file": "file:///etc/passwd"}
    collect(folder / "h", server.url.replace("//", "//me:pass:word@") + "/redirected")
    check_record(folder / "h", {"127.0.0.1/redirected": b"from elsewhere"})
    check("the password goes to its host", any("Authorization" in row[2] for row in server.asked(None, "/redirected")))
    check("and to no other", other.asked(None, "/target") and not any("Authorization" in row[2] for row in other.log), other.log)
    _, err = collect(folder / "i", server.url + "/loop", code=3)
    check("a loop is told", "without an end" in err, err)
    collect(folder / "j", server.url + "/file", code=3)
    # longer than announced, no end of headers
    server.fault("/small", lambda r: r.give(200, b"x" * 100, [("X-Junk", "y" * 60000)] * 6), "GET")
    _, err = collect(folder / "k", server.url + "/small", code=3)
    check("endless headers are refused", "headers" in err, err)
    server.stop()
    other.stop()
    _, err = collect(folder / "l", server.url + "/small", code=4)
    check("no server is I/O", "E_IO" in err, err)


def test_usage(folder):
    for arguments in ([], ["ftp://x/y"], ["https://host"], ["https://host/dir/"], ["hf://models/x"], ["hf://datasets/"], ["hf://datasets/a/../b/c"],
                      ["s3://B"], ["s3://../x"], ["https:///x"], ["https://h/x#md5=1"], ["https://h/a%00b"], ["x\x01://"], ["hf://datasets/a/b@/c"]):
        call("collect", *arguments, "-o", folder / "x", code=2)
    call("collect", "https://h/x", code=2)
    call("collect", "https://h/x", "-o", folder / "x", "--check", "maybe", code=2)
    call("collect", "https://h/x", "-o", folder / "x", "--tries", "0", code=2)
    call("collect", "hf://datasets/a/b", "-o", folder / "x", code=2, env=environment(HF_ENDPOINT="gopher://x"))
    call("collect", "hf://datasets/a/b", "-o", folder / "x", code=2, env=environment(HF_TOKEN="a\nX-Evil: 1"))
    call("collect", "s3://abc/b", "-o", folder / "x", code=2, env=environment(AWS_ACCESS_KEY_ID="a"))
    _, err = call("collect", "hf://datasets/a/b", "-o", folder / "x", code=2, env=environment(HF_ENDPOINT="http://192.0.2.1", HF_TOKEN=TOKEN))
    check("a token does not travel over http", "unencrypted" in err, err)
    foreign = folder / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    call("collect", "https://h/x", "-o", foreign, code=7)
    check("a foreign directory stays as it was", sorted(p.name for p in foreign.iterdir()) == ["mine.txt"])


# ---- the hub ----------------------------------------------------------------------------------------------------------------------------

COMMIT, COMMIT2 = "a" * 40, "b" * 40


def make_hub(token=TOKEN):
    store = Files({})
    hub = Hub(store, token)
    hub.stack = {f"data/{language}/train-{n:05}-of-00003.parquet": noise(language + str(n), 900 + 700 * n)
                 for language in ("python", "c++", "c-sharp", "go") for n in range(3)}
    hub.stack.update({"README.md": b"# card\n", "data/odd name+%41.json": b"[]", ".gitattributes": b"x"})
    hub.add("big/stack", COMMIT, hub.stack, ("main", "refs/convert/parquet", "v1"))
    hub.add("solo", COMMIT, {"plain/x.json": b"{}"})
    return hub, store, environment(HF_ENDPOINT=hub.url + "/", HF_TOKEN=token)


def below(hub, keep, name="big/stack"):
    return {f"{name}/{path.replace('%', '%25')}": content for path, content in hub.stack.items() if keep(path)}


def test_hub(folder):
    hub, store, env = make_hub()
    collect(folder / "py", "hf://datasets/big/stack/data/python/*.parquet", env=env)
    check_record(folder / "py", below(hub, lambda p: p.startswith("data/python/")))
    row = record(folder / "py")
    check("the commit is recorded", row["sources"] == [{"revision": COMMIT, "url": "hf://datasets/big/stack@main"}] and
          all(f["revision"] == COMMIT and f["url"].startswith(f"hf://datasets/big/stack@{COMMIT}/data/python/") for f in row["files"]), row)
    check("the token goes to the hub", all(r[2].get("Authorization") == f"Bearer {TOKEN}" for r in hub.log), hub.log[:2])
    check("and not to where files lie", store.log and not any("Authorization" in r[2] for r in store.log), store.log[:2])
    # the branch moves: what was begun stays at its commit, until --update
    hub.add("big/stack", COMMIT2, {**hub.stack, "data/python/train-00000-of-00003.parquet": noise("new", 5000)}, ("main",))
    collect(folder / "py", "hf://datasets/big/stack/data/*/*-00001-*", env=env)
    check("a collection keeps its commit", {f["revision"] for f in record(folder / "py")["files"]} == {COMMIT}, record(folder / "py"))
    store.forget()
    collect(folder / "py", "hf://datasets/big/stack/data/python/*", "--update", env=env)
    rows = {f["path"]: f["revision"] for f in record(folder / "py")["files"]}
    check("--update takes the new commit", rows["big/stack/data/python/train-00000-of-00003.parquet"] == COMMIT2, rows)
    check("and only what changed", len([r for r in store.log if r[0] == "GET"]) == 1, store.log)
    hub.stack["data/python/train-00000-of-00003.parquet"] = noise("new", 5000)
    _, err = collect(folder / "py", f"hf://datasets/big/stack@{COMMIT}/data/python", env=env, code=7)
    check("another commit's file is not mixed in", "--update" in err, err)
    # whole directories, single files, old names, other revisions, names that need coding
    collect(folder / "all", "hf://datasets/big/stack", env=env)
    check_record(folder / "all", below(hub, lambda p: True))
    collect(folder / "dir", "hf://datasets/big/stack@v1/data/go/", env=env)
    check_record(folder / "dir", below(hub, lambda p: p.startswith("data/go/")))
    collect(folder / "one", "hf://datasets/big/stack@refs/convert/parquet/README.md", env=env)
    check_record(folder / "one", below(hub, lambda p: p == "README.md"))
    collect(folder / "solo", "hf://datasets/solo/plain", "hf://datasets/solo@main/plain/*.json", env=env)
    check_record(folder / "solo", {"solo/plain/x.json": b"{}"})
    collect(folder / "deep", "hf://datasets/big/stack/**/train-00002-*", env=env)
    check_record(folder / "deep", below(hub, lambda p: "train-00002" in p))
    # languages
    collect(folder / "lang", "hf://datasets/big/stack/data", "--languages", "cpp", "C#", env=env)
    check_record(folder / "lang", below(hub, lambda p: p.startswith(("data/c++/", "data/c-sharp/"))))
    _, err = collect(folder / "lang2", "hf://datasets/big/stack/data", "--languages", "python,cobol", env=env, code=3)
    check("a language that is not there is named", "cobol" in err, err)
    # refusals
    _, err = collect(folder / "no", "hf://datasets/big/stack/data/rust/*", env=env, code=3)
    check("an empty pattern is told", "has no data/rust/*" in err, err)
    _, err = collect(folder / "no", "hf://datasets/big/other/data", env=env, code=3)
    check("an unknown data set is told", "RepoNotFound" in err and "big/other" in err, err)
    _, err = collect(folder / "no", "hf://datasets/big/stack@v9/data", env=env, code=3)
    check("an unknown revision is told", "RevisionNotFound" in err, err)
    _, err = collect(folder / "no", "hf://datasets/big/stack", env=environment(HF_ENDPOINT=hub.url), code=3)
    check("a gated data set tells what to do", "GatedRepo" in err and "HF_TOKEN" in err and "/datasets/big/stack" in err, err)
    hub.stop()
    store.stop()


def test_hub_faults(folder):
    hub, store, env = make_hub()
    path = "data/go/train-00002-of-00003.parquet"
    content, digest = hub.stack[path], hashlib.sha256(hub.stack[path]).hexdigest()
    hub.fault("/tree/", answer(503, [("Retry-After", "0")]))
    hub.fault("/tree/", drop)
    hub.fault("/revision/", answer(502))
    hub.fault("/resolve/", answer(429, [("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")]))
    store.fault(digest, cut(content, 1000, '"' + hashlib.sha1(content).hexdigest()[:16] + '"'))
    collect(folder / "a", "hf://datasets/big/stack/data/go", env=env)
    check_record(folder / "a", below(hub, lambda p: p.startswith("data/go/")))
    check("the rest is asked for by range", any(r[2].get("Range") == "bytes=1000-" for r in store.log), store.log)
    # a body that is not what the tree says: once, then always; small files by git's sum
    store.fault(digest, lambda r: r.give(200, content[:-1] + b"?"))
    _, err = collect(folder / "b", f"hf://datasets/big/stack/{path}", env=env)
    check("a wrong body is fetched again", "fetching it again" in err, err)
    check_record(folder / "b", below(hub, lambda p: p == path))
    store.files[f"/blob/{digest}"] = content[:-1] + b"?"
    _, err = collect(folder / "c", f"hf://datasets/big/stack/{path}", env=env, code=3)
    check("and then refused", "SHA-256" in err and files_below(folder / "c") == {}, err)
    hub.lies["README.md"] = "2" * 40
    _, err = collect(folder / "d", "hf://datasets/big/stack/README.md", env=env, code=3)
    check("small files are checked by git's sum", "git's SHA-1" in err, err)
    store.files[f"/blob/{digest}"] = content[:-1]
    _, err = collect(folder / "e", f"hf://datasets/big/stack/{path}", env=env, code=3)
    check("another size is refused", "announced" in err, err)
    # a list that goes on at another host: the token must not go there
    evil = Files({})
    hub.fault("/tree/", lambda r: r.give(200, b"[]", [("Link", f'<{evil.url}/steal>; rel="next"')]))
    _, err = collect(folder / "f", "hf://datasets/big/stack/data", env=env, code=3)
    check("no list from another host", "another host" in err and evil.log == [], (err, evil.log))
    for body in (b"", b"[", b"{}", b"[[[[", b'[{"type":"file"}]', b'[{"type":1,"path":2}]', b"\xff\xfe", b"null"):
        hub.fault("/tree/", lambda r, body=body: r.give(200, body))
        collect(folder / "g", "hf://datasets/big/stack/data/go/*", env=env, code=3)
    # names that want out
    evil_names = {"data/../../../x": b"1", "/etc/y": b"2", "a/./b/../c": b"3", "n\nl": b"4", "tab\there\x1b[31m": b"5", "u\u202e/\u00e9": b"6",
                  "back\\slash": b"7", "l" * 300: b"8", "a//b": b"9", ".shardmill/lock": b"10", "collect.json": b"11", "..": b"12"}
    hub.add("evil/names", COMMIT, evil_names)
    text, _ = call("collect", "hf://datasets/evil/names/**", "--dry-run", env=env)
    check("a list shows no control characters", "\x1b" not in text and "\u202e" not in text, text)
    collect(folder / "h", "hf://datasets/evil/names/**", env=env)
    there = files_below(folder / "h")
    there.pop("collect.json")
    check("each file is there once", sorted(there.values(), key=int) == [str(n).encode() for n in range(1, 13)], there)
    check("all below their data set, with plain names", all(p.startswith("evil/names/") and ".." not in p.split("/") and
          not re.search("[\x00-\x1f\x7f\\\\\u202e]", p) and max(map(len, p.split("/"))) < 256 for p in there), there)
    check("nothing outside", not (folder / "x").exists() and not (folder / "h/x").exists() and sorted(p.name for p in (folder / "h").iterdir()) ==
          [".shardmill", "collect.json", "evil"])
    for server in (hub, store, evil):
        server.stop()


# ---- S3 ---------------------------------------------------------------------------------------------------------------------------------

def test_s3(folder):
    s3 = S3({ACCESS: SECRET}, region="eu-x-1", token=SESSION)
    env = environment(AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN=SESSION, AWS_ENDPOINT_URL=s3.url, AWS_REGION="eu-x-1")
    data = {f"p/part-{n}.jsonl": noise(n, 300 + n) for n in range(8)}
    data.update({"p/deep/er/x y+z=&%41~'(é).json": b"odd", "p/": b"", "q/only": noise("q", 3 << 20), "p/empty": b""})
    for key, content in data.items():
        s3.put("my-bucket", key, content)
    local = lambda keep: {"my-bucket/" + k.replace("%", "%25"): v for k, v in data.items() if k != "p/" and keep(k)}
    collect(folder / "a", "s3://my-bucket/p/*", env=env)
    check_record(folder / "a", local(lambda k: k.startswith("p/") and k.count("/") == 1))
    check("lists come in pages", len(s3.asked("GET", "list-type=2")) > 2, len(s3.log))
    check("every signature was right", all(row[3] != 403 for row in s3.log), [row for row in s3.log if row[3] == 403][:1])
    collect(folder / "b", "s3://my-bucket/p/", "s3://my-bucket/q/only", "s3://my-bucket/p/part-?.jsonl", env=env)
    check_record(folder / "b", local(lambda k: True))
    collect(folder / "c", "s3://my-bucket/p", env=env)
    check_record(folder / "c", local(lambda k: k.startswith("p/")))
    s3.forget()
    collect(folder / "c", "s3://my-bucket/p", env=env)
    check("a second call fetches nothing", not [r for r in s3.asked("GET") if "list-type" not in r[1]], s3.log)
    # faults, resume, a lie
    content = data["q/only"]
    s3.fault("/q/only", answer(503, [("Retry-After", "0")]), "GET")
    s3.fault("/q/only", cut(content, 1 << 20, s3.buckets["my-bucket"]["q/only"]["etag"]), "GET")
    collect(folder / "d", "s3://my-bucket/q/**", env=env)
    check_record(folder / "d", local(lambda k: k == "q/only"))
    check("the rest is asked for by range", s3.asked("GET", "/q/only")[-1][2].get("Range") == f"bytes={1 << 20}-", s3.log[-1])
    s3.buckets["my-bucket"]["q/only"]["data"] = content[:-1] + bytes([content[-1] ^ 1])
    _, err = collect(folder / "e", "s3://my-bucket/q/only", env=env, code=3)
    check("another content than the checksum is refused", "SHA-256" in err, err)
    s3.checksums = False
    _, err = collect(folder / "f", "s3://my-bucket/q/only", env=env, code=3)
    check("or than the ETag", "MD5" in err, err)
    s3.kms = True
    collect(folder / "g", "s3://my-bucket/q/only", env=env)
    s3.kms, s3.checksums = False, True
    s3.no_list = True
    collect(folder / "h", "s3://my-bucket/p/part-1.jsonl", env=env)
    check_record(folder / "h", local(lambda k: k == "p/part-1.jsonl"))
    _, err = collect(folder / "i", "s3://my-bucket/p/*", env=env, code=3)
    check("S3's reason is told", "AccessDenied" in err, err)
    s3.no_list = False
    for bad in (b"", b"<a>", b"<!DOCTYPE x [<!ENTITY e 'x'>]><ListBucketResult>&e;</ListBucketResult>", b"<a>" * 100,
                b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
                b"<ListBucketResult><Contents><Key>p/x</Key><Size>-1</Size></Contents></ListBucketResult>"):
        s3.fault("list-type", lambda r, bad=bad: r.give(200, bad))
        collect(folder / "j", "s3://my-bucket/p/*", env=env, code=3)
    _, err = collect(folder / "k", "s3://other-bucket/x", env=env, code=3)
    wrong = environment(**{**{k: v for k, v in env.items() if k.startswith("AWS_")}, "AWS_SECRET_ACCESS_KEY": "other"})
    _, err = collect(folder / "l", "s3://my-bucket/p/*", env=wrong, code=3)
    check("a wrong secret is refused", "SignatureDoesNotMatch" in err, err)
    # a name that is a file and a directory
    s3.put("my-bucket", "both", b"1")
    s3.put("my-bucket", "both/x", b"2")
    _, err = collect(folder / "m", "s3://my-bucket/both*", "s3://my-bucket/both/x", env=env, code=3)
    check("a file and a directory of one name are told", "needs a directory" in err, err)
    s3.stop()
    public = S3()
    public.put("my-bucket", "k", b"public")
    collect(folder / "n", "s3://my-bucket/k", env=environment(AWS_ENDPOINT_URL=public.url))
    check_record(folder / "n", {"my-bucket/k": b"public"})
    check("without keys nothing is signed", not any("Authorization" in row[2] for row in public.log))
    public.stop()


# ---- kills, disks, others ---------------------------------------------------------------------------------------------------------------

def test_kills(folder):
    """kill -9 in the middle of downloads, again and again: the end is the same, and what was there is not fetched again."""
    hub, store, env = make_hub()
    hub.add("big/files", COMMIT, {f"f{n}.bin": noise(n, 4 << 20) for n in range(4)})
    store.slow = 0.004
    out, kills = folder / "out", 0
    for n in range(40):
        process = start("collect", "hf://datasets/big/files/*.bin", "-o", out, "--wait", "5", env=env)
        if not store.wait_moved(process, 65536 * (3 + 7 * n % 31)):
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        check("killed in the middle, there is no record", not (out / "collect.json").exists() or n > 5, n)
    process.communicate()
    check("it comes to an end, killed or not", process.returncode == 0 and kills >= 5, (process.returncode, kills))
    collect(out, "hf://datasets/big/files/*.bin", env=env)
    check_record(out, {f"big/files/f{n}.bin": noise(n, 4 << 20) for n in range(4)})
    check("it went on by ranges", [r for r in store.log if r[2].get("Range")], len(store.log))
    # a signal that asks: dies of it, keeps parts; a file without any checksum goes on, too
    store.files["/plain"] = noise("plain", 6 << 20)
    store.slow = 0.02
    process = start("collect", store.url + "/plain", "-o", folder / "sig", env=env)
    store.wait_moved(process, 1 << 20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    check("it dies of the signal", process.returncode == -signal.SIGINT, (process.returncode, err))
    store.slow = 0
    store.forget()
    collect(folder / "sig", store.url + "/plain", env=env)
    check("and goes on", store.asked("GET", "/plain")[-1][2].get("Range"), store.log)
    check_record(folder / "sig", {"127.0.0.1/plain": noise("plain", 6 << 20)})
    # two at once
    store.slow = 0.02
    process = start("collect", store.url + "/plain", "-o", folder / "two", env=env)
    store.wait_moved(process, 65536)
    call("collect", store.url + "/plain", "-o", folder / "two", code=6, env=env)
    process.communicate(timeout=60)
    check("the first is not disturbed", process.returncode == 0, process.returncode)
    store.slow = 0
    hub.stop()
    store.stop()


def test_power_cuts(folder):
    """After a cut the end of a partial file may be zeros: it is found by a checksum, or not trusted where there is none."""
    hub, store, env = make_hub()
    content = noise("cut", 6 << 20)
    hub.add("big/files", COMMIT, {"f.bin": content})
    store.files["/plain"] = content
    s3 = S3()
    s3.put("my-bucket", "k", content)
    s3.put("my-bucket", "kms", content)
    env["AWS_ENDPOINT_URL"] = s3.url
    cases = [("hub", store, "hf://datasets/big/files/f.bin", "big/files/f.bin"), ("web", store, store.url + "/plain", "127.0.0.1/plain"),
             ("sum", s3, "s3://my-bucket/k", "my-bucket/k"), ("md5", s3, "s3://my-bucket/k", "my-bucket/k"), ("kms", s3, "s3://my-bucket/kms", "my-bucket/kms")]
    for name, server, url, path in cases:
        s3.kms, s3.checksums = name == "kms", name == "sum"
        for whole in (False, True):
            out, server.slow = folder / f"{name}{whole}", 0.01
            process = start("collect", url, "-o", out, "--wait", "5", env=env)
            check("it is at work", server.wait_moved(process, len(content) // 2), name)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            server.slow = 0
            part = next((out / ".shardmill/parts").glob("*.part"))
            bytes_there = part.stat().st_size
            with part.open("r+b") as f:
                if whole:  # all of it is there by its size, nothing by its content
                    f.truncate(len(content))
                    bytes_there = len(content)
                f.seek(bytes_there // 2)
                f.write(b"\0" * (bytes_there - bytes_there // 2))
            collect(out, url, env=env)
            check_record(out, {path: content})
    for server in (hub, store, s3):
        server.stop()


def test_io_faults(folder):
    """Each of the first calls of each kind fails, once or from there on (as in a crash): a message and exit 4, and the next call mends it."""
    library = os.environ.get("MILL_FAULTS")
    if not library:
        print("test_io_faults: skipped, no MILL_FAULTS (a sanitized program takes no other library first)")
        return
    hub, store, env = make_hub()
    files = {"a/x.bin": noise("x", 3000), "a/b/y.json": b"{}", "z": b""}
    hub.add("own/set", COMMIT, files)
    wanted, failed = {f"own/set/{path}": content for path, content in files.items()}, 0
    for number, (kind, error) in enumerate([("write", "5"), ("write", "28"), ("write", "short"), ("fsync", "5"), ("renameat", "5"), ("openat", "13"),
                                            ("mkdirat", "28"), ("unlinkat", "5"), ("read", "5"), ("read", "short")]):
        for at in range(1, 12):
            out = folder / f"{number}-{at}"
            out.mkdir()
            fault = {"LD_PRELOAD": library, "FAULT_CALL": kind, "FAULT_AT": str(at), "FAULT_ERRNO": error, "FAULT_BELOW": str(out),
                     "FAULT_COUNT": "1" if at % 2 else "1000000"}
            process = start("collect", "hf://datasets/own/set", "-o", out, "--wait", "5", "--tries", "2", "-j", "1", env={**env, **fault})
            _, err = process.communicate(timeout=60)
            if process.returncode == 0:
                check_record(out, wanted)
            else:
                failed += 1
                check(f"{kind} {at} fails with a message", process.returncode == 4 and err.count(b"error[") == 1, (process.returncode, err))
                check("there is no record", not (out / "collect.json").exists() or kind in ("unlinkat", "fsync", "openat"), (kind, at))
                collect(out, "hf://datasets/own/set", env=env)
                check_record(out, wanted)
    check("faults were met", failed >= 40, failed)
    hub.stop()
    store.stop()


def test_no_memory(folder):
    """Each allocation of ours fails once: that is said, and nothing is broken."""
    tool = os.environ.get("MILL_FETCH_NOMEM")
    if not tool:
        print("test_no_memory: skipped, no MILL_FETCH_NOMEM")
        return
    hub, store, env = make_hub()
    hub.add("own/set", COMMIT, {"a/x.bin": noise("x", 3000), "a/b/y.json": b"{}"})
    s3 = S3({ACCESS: SECRET})
    for n in range(5):
        s3.put("my-bucket", f"p/{n} {n}", noise(n, 100))
    env.update(AWS_ENDPOINT_URL=s3.url, AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET)
    for url in ("hf://datasets/own/set/**", "s3://my-bucket/p/*", store.url.replace("//", "//me:pass@") + "/x%20y#sha256=" + hashlib.sha256(b"z").hexdigest()):
        store.files["/x%20y"] = b"z"
        done = subprocess.run([tool, "collect", url, folder / "out"], env=env, capture_output=True, timeout=300)
        check(f"no memory while collecting {url}", done.returncode == 0 and int(done.stdout or 0) > 50, (done.returncode, done.stdout, done.stderr))
    for server in (hub, store, s3):
        server.stop()


def test_disks(folder):
    server = Files({"/big": noise("b", 1 << 20), "/x": b"x", "/a/b/c": b"c"})
    _, err = collect(folder / "limit", server.url + "/big", code=4,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000)))
    check("a full disk is told", "E_NOSPC" in err, err)
    collect(folder / "limit", server.url + "/big")
    check_record(folder / "limit", {"127.0.0.1/big": noise("b", 1 << 20)})
    (folder / "file").write_text("a file")
    collect(folder / "file", server.url + "/x", code=4)
    if os.geteuid() != 0:
        closed = folder / "closed"
        closed.mkdir(mode=0o500)
        _, err = collect(closed / "out", server.url + "/x", code=4)
        check("permissions are told", "ermission" in err, err)
    # what is in the way: a file of somebody else, a link that leads out
    out = folder / "way"
    collect(out, server.url + "/x")
    (out / "127.0.0.1/big").write_bytes(b"mine")
    _, err = collect(out, server.url + "/big", code=7)
    check("a foreign file stays", (out / "127.0.0.1/big").read_bytes() == b"mine" and "was not collected" in err, err)
    (out / "127.0.0.1/big").write_bytes(noise("b", 1 << 20))
    _, err = collect(out, server.url + "/big#sha256=" + hashlib.sha256(noise("b", 1 << 20)).hexdigest())
    check("a right one is taken over", "already" in err, err)
    outside = folder / "outside"
    outside.mkdir()
    (out / "127.0.0.1/a").symlink_to(outside)
    _, err = collect(out, server.url + "/a/b/c", code=7)
    check("links are not followed", list(outside.iterdir()) == [], err)
    # a damaged record, one of a newer format
    for text in ("{", "[]", '{"format_version":1,"files":[{}],"sources":[]}', '{"format_version":9}'):
        (folder / "bad").mkdir(exist_ok=True)
        (folder / "bad/collect.json").write_text(text)
        collect(folder / "bad", server.url + "/x", code=8)
    # the record is no input of a run, and the files are
    server.files["/r.jsonl"] = b'{"content":"print(1)\\n","path":"a.py"}\n'
    collect(folder / "run", server.url + "/r.jsonl")
    text, _ = call("plan", folder / "run", "--json")
    check("a collected directory is an input", json.loads(text)["inputs"] if "inputs" in json.loads(text) else True, text[:300])
    text, _ = call("run", folder / "run", "-o", folder / "o", "--dry-run")
    check("without its record", "collect.json" not in text and "r.jsonl" in text, text[:600])
    server.stop()


def main():
    tests = [test_usage, test_web, test_web_faults, test_hub, test_hub_faults, test_s3, test_kills, test_power_cuts, test_io_faults, test_no_memory, test_disks]
    for test in tests:
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
