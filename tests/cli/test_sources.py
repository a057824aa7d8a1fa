#!/usr/bin/env python3
"""Every kind of source through the program: own samples always, the samples of ../shared/corpus where they are.

usage: test_sources.py PROGRAM   (standard library only)
"""
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import posts_dump

sys.path.append(str(Path(__file__).resolve().parents[1] / "agree"))
import parquet_by_hand as hand

PROGRAM = os.path.abspath(sys.argv[1])
SHARED = Path(os.environ.get("SHARDMILL_SHARED") or Path(__file__).resolve().parents[3] / "shared")
CORPUS = SHARED / "corpus"
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:800]}")


def call(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def take(what, work, *arguments, code=0):
    """Records that `filter` lets through with its rules off, metrics, quarantine; the same for -j 1 and -j 2 and small batches."""
    products = []
    for number, more in enumerate((["-j1"], ["-j2", "--batch-size", "64K"])):
        out = work / f"out{number}"
        seen, stderr = call("filter", *arguments, "-o", out, "--overwrite", "--durability", "fast",
                            "--set", "filter.enabled=false", *more)
        check(f"{what}: ends with {code}", seen == code, stderr)
        if seen != 0:
            return [], {}, [], stderr
        products.append({str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and ".shardmill" not in p.parts})
    check(f"{what}: the same bytes with other threads and batches", products[0] == products[1],
          [name for name in products[0] if products[0][name] != products[1].get(name)])
    verified, stderr = call("verify", out)
    check(f"{what}: verifies", verified == 0, stderr)
    packed = b"".join(data for name, data in products[0].items() if name.startswith("records/"))
    text = subprocess.run(["zstd", "-dcq"], input=packed, capture_output=True, check=True).stdout if packed else b""
    records = [json.loads(line) for line in text.split(b"\n") if line]
    metrics = json.loads(products[0]["metrics.json"])
    quarantine = [json.loads(line) for line in products[0]["quarantine.jsonl"].splitlines()]
    funnel = metrics["funnel"]
    parts = funnel["kept"] + sum(funnel["rejected"].values()) + sum(funnel["duplicate"].values()) + funnel["unselected"] + funnel["quarantined"]
    check(f"{what}: every record is accounted for", parts == funnel["read"] and funnel["kept"] == len(records), funnel)
    return records, metrics, quarantine, stderr


def corpus(name):
    path = CORPUS / name
    if not path.exists():
        print(f"skipped: {name} of the corpus is not there ({CORPUS})")
        return None
    return path


# ---- BigQuery -----------------------------------------------------------------------------------------------------------------------

def bigquery(work):
    parts = work / "export"
    parts.mkdir()
    rows = [{"content": f"if a < {n} && b > c:\n    pass\n", "repo_name": "o/r", "path": f"p{n}.py", "size": str(n), "id": "x"} for n in range(30)]
    for n in range(0, 30, 7):
        del rows[n]["size"], rows[n]["id"]
    text = ["\n".join(json.dumps(r).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") for r in rows[a:a + 10]) + "\n"
            for a in (0, 10, 20)]
    (parts / "export-000000000000.json.gz").write_bytes(gzip.compress(text[0][:300].encode()) + gzip.compress(text[0][300:].encode()))
    (parts / "export-000000000001.json.gz").write_bytes(gzip.compress(text[1].encode()))
    (parts / "export-000000000002.json.gz").write_bytes(gzip.compress(text[2].encode()))
    records, _, _, _ = take("bigquery parts", work, parts, "--preset", "bigquery")
    check("bigquery: rows of all members and parts in order", [r["content"] for r in records] == [r["content"] for r in rows], records[:2])
    check("bigquery: language by the path", {r["language"] for r in records} == {"python"}, records[:1])
    sample = corpus("bigquery/export-000.json.gz")
    if sample:
        records, metrics, _, _ = take("bigquery sample", work, sample, "--preset", "bigquery")
        wanted = [json.loads(line) for line in gzip.open(sample, "rt", encoding="utf-8", newline="\n")]
        check("bigquery sample: content, repository and path are kept", [(r["content"], r["repo"], r["path"]) for r in records] ==
              [(w["content"], w["repo_name"], w["path"]) for w in wanted], len(records))


# ---- notebooks ----------------------------------------------------------------------------------------------------------------------

NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "python3", "language": "python"}}, "cells": [
    {"cell_type": "markdown", "source": ["# Means\n", "of a list"]},
    {"cell_type": "code", "source": "%matplotlib inline\nvalues = [1, 2]\nprint(sum(values) / len(values))",
     "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1.5\n"]}]}]}


def notebooks(work):
    tree = work / "notebooks"
    tree.mkdir()
    (tree / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    (tree / "b.ipynb").write_text("{ not json")
    records, metrics, quarantine, _ = take("notebooks", work, tree)
    script = "# # Means\n# of a list\n\n# %matplotlib inline\nvalues = [1, 2]\nprint(sum(values) / len(values))\n"
    check("notebooks: a script with comments", [r["content"] for r in records] == [script], records)
    check("notebooks: in the kernel's language", records[0]["language"] == "python", records)
    check("notebooks: counted", metrics["changed"] == {"missing_stars": 1, "notebooks_to_scripts": 1}, metrics["changed"])
    check("notebooks: a broken one is told", [(q["file"], q["reason"]) for q in quarantine] == [("notebooks/b.ipynb", "bad_json")], quarantine)
    records, _, _, _ = take("one notebook", work, tree / "a.ipynb", "--set", "source.magics=drop", "--set", "source.notebook_outputs=true")
    check("one notebook: magics dropped, outputs kept", records[0]["content"] ==
          "# # Means\n# of a list\n\nvalues = [1, 2]\nprint(sum(values) / len(values))\n\n# Output:\n# 1.5\n", records)
    lines = work / "set.jsonl"
    lines.write_text(json.dumps({"content": json.dumps(NOTEBOOK), "path": "x/a.ipynb", "repo_name": "o/r"}) + "\n" + json.dumps(NOTEBOOK) + "\n")
    records, _, _, _ = take("a data set of notebooks", work, lines)
    check("a data set of notebooks: scripts", [r["content"] for r in records] == [script, script], records)
    records, _, _, _ = take("a data set under the guide's recipe", work, lines, "--recipe", "guide", "--field", "content=content")
    check("a data set under the guide's recipe: as it is", records[0]["content"] == json.dumps(NOTEBOOK), records[:1])
    sample = corpus("notebooks")
    if sample:
        records, metrics, quarantine, _ = take("notebook sample", work, sample)
        check("notebook sample: all 66 are scripts", len(records) == 66 and not quarantine, (len(records), quarantine))
        broken = []
        for r in records:
            if r["language"] == "python" and "print " not in r["content"] and "exec " not in r["content"]:
                try:
                    compile(r["content"], r["path"], "exec")
                except SyntaxError as error:
                    broken.append((r["path"], str(error)))
        check("notebook sample: the scripts are Python", len(broken) <= 3, broken)


# ---- documentation --------------------------------------------------------------------------------------------------------------------

def documents(work):
    tree = work / "docs"
    tree.mkdir()
    (tree / "a.md").write_text("# Title\n\ntext\n")
    (tree / "b.rst").write_text("Title\n=====\n\n.. code-block:: c\n\n   int x;\n")
    (tree / "c.html").write_text("<html><head><title>T</title></head><body><nav>menu</nav><main><h1>H</h1><p>a &amp; b</p>"
                                 "<div class='highlight-python'><pre>x = 1\ny = 2</pre></div></main></body></html>")
    records, metrics, _, stderr = take("documents", work, tree, "--source-type", "docs")
    if "lexbor" in stderr:
        print("skipped: this build reads no HTML")
        return
    check("documents: the page is Markdown, the others are as they were", [r["content"] for r in records] ==
          ["# Title\n\ntext\n", "Title\n=====\n\n.. code-block:: c\n\n   int x;\n", "# H\n\na & b\n\n```python\nx = 1\ny = 2\n```\n"], records)
    check("documents: counted", metrics["changed"].get("pages_to_text") == 1, metrics["changed"])
    records, _, _, _ = take("documents as source", work, tree)
    check("documents as source: the page stays HTML", "<nav>" in records[2]["content"], records[2])
    sample = corpus("docs")
    if sample:
        records, metrics, quarantine, _ = take("docs sample", work, sample, "--source-type", "docs")
        pages = sum(1 for p in sample.iterdir() if p.suffix == ".html")
        check("docs sample: all are read", len(records) == len(list(sample.iterdir())) and not quarantine, (len(records), quarantine))
        check("docs sample: every page is text", metrics["changed"].get("pages_to_text") == pages, metrics["changed"])
        manual = next(r["content"] for r in records if "doc__lua.html" in r["path"])
        check("docs sample: the Lua page has headings and no tags", "## SYNOPSIS" in manual and "<p>" not in manual.lower(), manual[:300])


# ---- normal forms ---------------------------------------------------------------------------------------------------------------------

def normal_forms(work):
    tree = work / "forms"
    tree.mkdir()
    (tree / "a.py").write_bytes(b"# coding: latin-1\r\nx = '\xe9'\r\n")
    (tree / "b.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    (tree / "c.py").write_bytes(b"x = '\xe9'\n")
    (tree / "d.py").write_bytes("x = 'é'\n".encode("utf-16"))
    records, metrics, quarantine, _ = take("forms by default", work, tree)
    check("forms by default: what declares its encoding is read", [r["content"] for r in records] ==
          ["# coding: latin-1\r\nx = 'é'\r\n", "\ufeffx = 1\n", "x = 'é'\n"], records)
    check("forms by default: what does not is quarantined", [q["reason"] for q in quarantine] == ["bad_encoding"], quarantine)
    check("forms by default: counted", metrics["changed"] == {"missing_stars": 3, "converted_encodings": 2}, metrics["changed"])
    records, metrics, _, _ = take("forms asked for", work, tree, "--set", "source.newlines=true", "--set", "source.strip_bom=true",
                                  "--set", "source.encoding=latin1")
    check("forms asked for: one newline, no mark", [r["content"] for r in records] ==
          ["# coding: latin-1\nx = 'é'\n", "x = 1\n", "x = 'é'\n", "x = 'é'\n"], records)
    check("forms asked for: counted", metrics["changed"] == {"missing_stars": 4, "converted_encodings": 3, "newlines": 1, "stripped_text_bom": 1},
          metrics["changed"])


# ---- Stack Overflow -------------------------------------------------------------------------------------------------------------------

def posts(work):
    dump = work / "Posts.xml"
    with open(dump, "wb") as file:
        rows = posts_dump.write(file, 10 << 20)
    plain = ["--set", "dedup.exact=false"]
    records, metrics, quarantine, stderr = take("posts", work, dump, *plain, "--set", "qa.form=instruction")
    if not records and ("lexbor" in stderr or "expat" in stderr):
        print("skipped: this build reads no Posts.xml")
        return
    questions = {r["Id"]: r for r in rows if r["PostTypeId"] == 1}
    answers = [r for r in rows if r["PostTypeId"] == 2 and r["Score"] > 5]
    joined = sorted((a["ParentId"], a["Id"]) for a in answers if a["ParentId"] in questions)
    path = [(int(r["path"].split("/")[1]), int(r["path"].split("answers/")[1].split("/")[0])) for r in records]
    check("posts: every answer above the limit with its question, in the order of the questions", path == joined, (len(path), len(joined)))
    check("posts: the title leads", all(r["instruction"].startswith(questions[q]["Title"]) for r, (q, _) in zip(records, path)), records[:1])
    answered = {a["ParentId"] for a in answers}
    wanted = {"score": sum(1 for r in rows if r["PostTypeId"] == 2) - len(answers), "post_type": sum(1 for r in rows if r["PostTypeId"] > 2),
              "no_question": len(answers) - len(joined), "merged": len(answered & set(questions)), "no_answer": len(set(questions) - answered)}
    check("posts: every row is accounted for", metrics["funnel"]["read"] == len(rows) and metrics["funnel"]["rejected"] == wanted,
          (metrics["funnel"], wanted))
    records, metrics, _, _ = take("posts as text", work, dump, *plain)
    check("posts as text: one document a thread", len(records) == len(answered), (len(records), len(answered)))
    check("posts as text: attributed", all(r["licence"] in ("cc-by-sa-4.0,cc-by-sa-3.0", "cc-by-sa-3.0") and r["repo"] == "stackoverflow.com"
                                           for r in records), records[:1])
    dump_directory(work, dump, records, plain)
    prose(work, dump)
    broken_dumps(work, dump.read_bytes(), plain)
    chain(work, dump)
    killed_while_sorting(work, plain)
    posts_sample(work, plain)


def dump_directory(work, dump, records, plain):
    """An unpacked dump: its posts, and none of its other tables; with anything else in it, it is a source tree."""
    site = work / "dumps/stackoverflow.com"
    site.mkdir(parents=True)
    (site / "Posts.xml").write_bytes(dump.read_bytes())
    for table in ("Users", "Votes"):
        (site / f"{table}.xml").write_text(f"<{table.lower()}></{table.lower()}>")
    for what, directory in (("a dump", site), ("a directory of dumps", site.parent)):
        found, _, _, _ = take(what, work, directory, *plain)
        check(f"{what}: the records of its posts", found == records, (len(found), len(records)))
    (site / "notes.py").write_text("print(7)\n")
    found, _, _, _ = take("a tree with posts", work, site, *plain)
    check("a tree with posts: its files", "notes.py" in [r["path"] for r in found], [r["path"] for r in found])
    found, _, _, _ = take("a tree with posts, as a dump", work, site, *plain, "--input-format", "stackexchange")
    check("a tree with posts, as a dump: the records of its posts", found == records, (len(found), len(records)))


def prose(work, dump):
    """Threads are text about a language: no stage asks whether they parse. Their code blocks by themselves are programs."""
    def funnel(*arguments):
        code, stderr = call(*arguments, "-o", work / "prose", "--overwrite", "--durability", "fast", "--set", "filter.short_types=[\"qa\"]")
        check("prose: is read", code == 0, stderr)
        return json.loads((work / "prose" / "metrics.json").read_text())["funnel"]
    threads = funnel("filter", dump)
    check("prose: threads are not parsed", "syntax" not in threads["rejected"] and threads["kept"] > 100, threads)
    (work / "prose" / "records").rename(work / "threads")
    again = funnel("run", work / "threads", "--source-type", "qa", "--set", "tokenizer.vocab_size=400", "--set", "dedup.near=false", "--set", "dedup.exact=false")
    check("prose: nor by the next stage", again["kept"] == threads["kept"] == again["read"], again)
    code = funnel("filter", dump, "--set", "qa.form=code")
    check("prose: code blocks are parsed", code["rejected"].get("syntax", 0) > 10, code)
    text = "What does (( mean here, and why\ndoes it not end?\n" * 9
    lines = work / "mixed.jsonl"
    lines.write_text("".join(json.dumps({"content": text, "language": "python", "path": p, **more}) + "\n"
                             for p, more in (("a", {"prose": True}), ("b", {}), ("c", {"prose": "x"}), ("d", {"prose": True}))))
    mixed = funnel("filter", lines, "--set", "dedup.exact=false")
    check("prose: a file of the same text is parsed", mixed["kept"] == 2 and mixed["rejected"] == {"syntax": 2}, mixed)
    shown = subprocess.run([PROGRAM, "explain", f"{lines}:1"], capture_output=True, text=True).stdout
    check("prose: explain says so", "not asked of prose" in shown, shown)


def broken_dumps(work, data, plain):
    broken = work / "broken.xml"
    cut = data.index(b"<row", 1 << 20)
    broken.write_bytes(data[:cut] + b'<row Id="7" PostTypeId="2" Score="x" />\r\n<row Id="8" Body="&nothing;" />\r\n<odd>\r\n' + data[cut:2 << 20])
    _, metrics, quarantine, _ = take("a broken dump", work, broken, *plain)
    check("a broken dump: each bad row is told, and the missing end", [q["reason"] for q in quarantine] ==
          ["bad_xml", "bad_xml", "bad_xml", "damaged_stream"], quarantine)
    check("a broken dump: the place is told", broken.read_bytes()[quarantine[0]["offset"]:].startswith(b'<row Id="7"'), quarantine)
    (work / "cut.xml").write_bytes(data[:data.rindex(b"<row", 0, 2 << 20)])
    _, metrics, quarantine, _ = take("a dump cut between rows", work, work / "cut.xml", *plain)
    check("a dump cut between rows: is not whole", [q["reason"] for q in quarantine] == ["damaged_stream"], quarantine)
    (work / "dump.xml.gz").write_bytes(gzip.compress(data[:1 << 20])[:-20])
    _, metrics, quarantine, _ = take("a damaged gzip", work, work / "dump.xml.gz", *plain)
    check("a damaged gzip: is told", quarantine[-1]["reason"] == "damaged_stream" and "gzip" in quarantine[-1]["detail"], quarantine)


def killed_while_sorting(work, plain):
    """A kill while posts wait on disk in files of their own: the next call makes these anew and ends with the same bytes."""
    dump = work / "large.xml"
    with open(dump, "wb") as file:
        posts_dump.write(file, 80 << 20, 3)
    arguments = ["filter", dump, *plain, "--durability", "fast", "--set", "filter.enabled=false", "-q"]
    code, stderr = call(*arguments, "-o", work / "whole")
    check("killed while sorting: undisturbed it ends", code == 0, stderr)
    out = work / "killed"
    process = subprocess.Popen([PROGRAM, *map(str, arguments), "-o", str(out)])
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until and not list(out.glob(".shardmill/tmp/sort-*")):
        time.sleep(0.005)
    process.kill()
    check("killed while sorting: it was", process.wait() == -9 and list(out.glob(".shardmill/tmp/sort-*")) != [], process.returncode)
    code, stderr = call(*arguments, "-o", out)
    check("killed while sorting: the same command goes on", code == 0, stderr)
    check("killed while sorting: the same bytes", code == 0 and (out / "SHA256SUMS").read_bytes() == (work / "whole" / "SHA256SUMS").read_bytes())
    dump.unlink()


def chain(work, dump):
    """Instruction records written by filter are read by dedup and become training text in run."""
    code, stderr = call("filter", dump, "-o", work / "a", "--durability", "fast", "--set", "filter.enabled=false", "--set", "qa.form=instruction")
    check("instruction records are written", code == 0, stderr)
    code, stderr = call("dedup", work / "a" / "records", "-o", work / "b", "--durability", "fast")
    check("instruction records can be read again", code == 0 and "quarantined 0" in stderr, stderr)
    code, stderr = call("run", work / "b" / "records", "-o", work / "c", "--durability", "fast", "--set", "filter.enabled=false", "--set",
                        "dedup.near=false", "--set", "tokenizer.vocab_size=400", "--set", "fim.rate=0")
    shown = subprocess.run([PROGRAM, "inspect", str(work / "c"), "-n", "3", "--no-color"], capture_output=True, text=True).stdout
    check("instruction records become text by the template", code == 0 and "[<|im_start|>]\nassistant\nLOSS:\n" in shown, stderr + shown[:500])


def posts_sample(work, plain):
    sample = corpus("stackoverflow/Posts.xml")
    if not sample:
        return
    records, metrics, quarantine, _ = take("posts sample", work, sample, *plain, "--set", "qa.form=code")
    check("posts sample: 15 answers above the limit, all with code", len(records) == 15 and not quarantine, metrics)
    by_answer = {r["path"].split("answers/")[1].split("/")[0]: r for r in records}
    check("posts sample: entities are read twice", by_answer["4"]["content"] ==
          'x = {k: v for k, v in pairs if k < 3 && v > 2}\n\ny = "&lt;literal entity&gt;"\n', by_answer["4"])
    check("posts sample: tags as text stay", by_answer["10"]["content"] == "s = \"</code></pre>\"\nt = '<pre><code>'\n", by_answer["10"])
    check("posts sample: an unclosed block ends with its code", by_answer["15"]["content"] == "int main() { return 0; }\n", by_answer["15"])
    check("posts sample: languages by tag and block", [by_answer[n]["language"] for n in ("2", "12", "13", "17")] ==
          ["python", "cpp", "javascript", "java"], [r["language"] for r in records])


# ---- archives -----------------------------------------------------------------------------------------------------------------------

FILES = {"p-1.0/src/é.py": "print(1)\n" * 9, "p-1.0/README.md": "# p\n\ntext\n", "p-1.0/a.ipynb": json.dumps(NOTEBOOK),
         "p-1.0/empty.c": "", "p-1.0/.git/config": "[core]\n", "p-1.0/data.bin": "\0\1\2", "p-1.0/lib/z.c": "int z;\n" * 500}
READ = ["p-1.0/src/é.py", "p-1.0/README.md", "p-1.0/a.ipynb", "p-1.0/lib/z.c"]


def tar_bytes(mode, **more):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **more) as tar:
        for name, text in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("p-1.0/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return out.getvalue()


def archives(work):
    plain = tar_bytes("w:")
    packed = {"p.tar": plain, "p.tar.gz": gzip.compress(plain), "p.tgz": gzip.compress(plain), "p.tar.xz": lzma.compress(plain),
              "p.tar.bz2": bz2.compress(plain), "pax.tar": tar_bytes("w:", format=tarfile.PAX_FORMAT), "ustar.tar": tar_bytes("w:", format=tarfile.USTAR_FORMAT),
              "p.tar.zst": subprocess.run(["zstd", "-qc"], input=plain, capture_output=True, check=True).stdout}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in FILES.items():
            z.writestr(name, text.encode())
    packed["p.zip"] = out.getvalue()
    wanted = None
    for name, data in packed.items():
        (work / name).write_bytes(data)
        records, metrics, quarantine, stderr = take(name, work, work / name)
        if not records and "libarchive" in stderr:
            print("skipped: this build reads no archives")
            return
        check(f"{name}: its files in their order", [r["path"] for r in records] == READ and not quarantine, ([r["path"] for r in records], quarantine))
        check(f"{name}: as in a tree", records[0]["content"] == FILES[READ[0]] and records[2]["language"] == "python", records)
        bare = [{k: v for k, v in r.items() if k != "repo"} for r in records]
        check(f"{name}: the same records as in the others", wanted in (None, bare), bare)
        wanted = bare
    check("an archive's name is the repository", records[0]["repo"] == "p", records[0])
    damaged_archives(work, plain, packed)
    several = work / "several"
    several.mkdir()
    (several / "b.tar").write_bytes(plain)
    (several / "a.zip").write_bytes(packed["p.zip"])
    records, _, _, _ = take("a directory of archives", work, several, "--set", "dedup.exact=false")
    check("a directory of archives: each is an input", [r["repo"] for r in records] == ["a"] * 4 + ["b"] * 4, [r["repo"] for r in records])
    seven_zip(work)


def damaged_archives(work, plain, packed):
    cut = plain.index(b"p-1.0/a.ipynb")
    for name, data, detail in (("cut.tar", plain[:cut], "end mark"), ("torn.tar", plain[:cut + 700], "runcated"),
                               ("torn.tar.gz", packed["p.tar.gz"][:-200], ""), ("torn.zip", packed["p.zip"][:300], "")):
        (work / name).write_bytes(data)
        records, metrics, quarantine, _ = take(name, work, work / name, "--set", "dedup.exact=false")
        check(f"{name}: what is there is read", [r["path"] for r in records] == READ[:len(records)], records)
        check(f"{name}: what is missing is told", [q["reason"] for q in quarantine] in (["damaged_stream"], ["bad_member", "damaged_stream"])
              and detail in quarantine[0]["detail"], quarantine)
    flipped = bytearray(packed["p.zip"])
    flipped[flipped.index(b"README.md") + 12] ^= 255
    (work / "flipped.zip").write_bytes(flipped)
    records, metrics, quarantine, _ = take("flipped.zip", work, work / "flipped.zip", "--set", "dedup.exact=false")
    check("flipped.zip: the damaged file is told, the others are read", len(records) >= 1 and len(quarantine) >= 1 and
          all("README" not in r["path"] for r in records), (quarantine, [r["path"] for r in records]))


def seven_zip(work):
    packer = os.environ.get("MILL_PACK_7Z")
    if not packer:
        print("skipped: nothing here writes 7z")
        return
    dump = work / "Posts.xml"
    with open(dump, "wb") as file:
        rows = posts_dump.write(file, 2 << 20, 5)
    (work / "Users.xml").write_text("<users></users>")
    (work / "z.py").write_text("print(7)\n")
    subprocess.run([packer, str(work / "d.7z"), str(work / "Users.xml"), str(dump), str(work / "z.py")], check=True)
    inside, metrics, quarantine, _ = take("Posts.xml in a 7z", work, work / "d.7z", "--set", "dedup.exact=false")
    outside, _, _, _ = take("Posts.xml by itself", work, dump, "--set", "dedup.exact=false")
    check("Posts.xml in a 7z: the same records", inside[:-1] == outside and inside[-1]["path"] == "z.py" and not quarantine, (len(inside), len(outside)))
    (work / "torn.7z").write_bytes((work / "d.7z").read_bytes()[:-100])
    _, _, quarantine, _ = take("a torn 7z", work, work / "torn.7z", "--set", "dedup.exact=false")
    check("a torn 7z: is told", [q["reason"] for q in quarantine] == ["damaged_stream"], quarantine)
    data = bytearray((work / "d.7z").read_bytes())
    data[len(data) // 2] ^= 255
    (work / "flipped.7z").write_bytes(data)
    _, _, quarantine, _ = take("a 7z with a changed byte", work, work / "flipped.7z", "--set", "dedup.exact=false")
    check("a 7z with a changed byte: is told", len(quarantine) >= 1, quarantine)


# ---- a data set with something beside it

def data_set_in_a_tree(work):
    data = work / "set/data"
    data.mkdir(parents=True)
    (data / "a.jsonl").write_text("".join(json.dumps({"content": f"x = {n}\n" * 9, "path": f"{n}.py"}) + "\n" for n in range(30)))
    (work / "set/README.md").write_text("# a data set\n")
    def told(*more):
        code, stderr = call("filter", work / "set", "-o", work / "out", "--overwrite", "--durability", "fast", "--set", "filter.enabled=false", *more)
        return code, json.loads((work / "out/metrics.json").read_text())["funnel"]["read"], stderr

    code, read, stderr = told()
    check("a data set with a README: a tree, and a warning", code == 0 and read == 2 and "warning: set: is read as a source tree" in stderr and
          "its 1 files of JSON lines" in stderr, (code, read, stderr))
    code, read, stderr = told("--input-format", "jsonl")
    check("a data set, said to be one: its records", code == 0 and read >= 30 and "source tree" not in stderr, (code, read, stderr))
    (work / "set/b.py").write_text("y = 1\n" * 5000)
    code, read, stderr = told()
    check("a tree with some records: no warning", code == 0 and read == 3 and "source tree" not in stderr, (code, read, stderr))


# ---- removal lists and licences -----------------------------------------------------------------------------------------------------

def removals(work):
    texts = [f"x = {n}\n" * 9 for n in range(8)]
    lines = work / "a.jsonl"
    lines.write_text("".join(json.dumps({"content": t, "repo": f"Own/r{n}", "path": f"d/{n}.py", "licence": ["mit", "gpl-3.0"][n % 2]}) + "\n"
                             for n, t in enumerate(texts)))
    blob = texts[4].encode()
    (work / "repos.txt").write_text("# opted out\n\nown/R1\r\n  Own/none \n")
    arguments = ["--set", 'remove.repos=["@%s"]' % (work / "repos.txt"), "--set", 'remove.paths=["d/2.py","Own/r3/d/3.py","Own/r9/d/5.py"]',
                 "--set", 'remove.hashes=["%s","%s","%s"]' % (hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest().upper(),
                                                            hashlib.sha1(texts[6].encode()).hexdigest(), hashlib.sha256(texts[7].encode()).hexdigest())]
    records, metrics, _, _ = take("removals", work, lines, *arguments)
    check("removals: by repository, path and hash, and nothing else", [r["path"] for r in records] == ["d/0.py", "d/5.py"], records)
    check("removals: counted", metrics["funnel"]["rejected"] == {"removed": 6}, metrics["funnel"])
    out = work / "resume"
    call("filter", lines, "-o", out, "--durability", "fast", *arguments)
    (work / "repos.txt").write_text("own/r5\n")
    code, stderr = call("filter", lines, "-o", out, "--durability", "fast", *arguments)
    check("removals: another list is another plan", code == 7 and "removals" in stderr, (code, stderr))
    code, stderr = call("filter", lines, "-o", out, "--overwrite", "--set", 'remove.hashes=["12"]')
    check("removals: a wrong hash is refused", code == 2 and "remove.hashes" in stderr, (code, stderr))
    code, stderr = call("filter", lines, "-o", out, "--overwrite", "--set", 'remove.repos=["@%s"]' % (work / "nowhere"))
    check("removals: a missing list is refused", code == 3 and "nowhere" in stderr, (code, stderr))
    code, stderr = call("filter", lines, "-o", out, "--overwrite", "--durability", "fast", "--set", 'filter.licences=["mit"]', "--set", "filter.min_chars=1",
                        "--set", "filter.syntax=off", "--set", "filter.min_alnum=0")
    funnel = json.loads((out / "metrics.json").read_text())["funnel"]
    check("licences: the allow list holds and is counted", funnel["rejected"].get("licence") == 4 and funnel["kept"] == 4, (funnel, stderr))


# ---- contests ---------------------------------------------------------------------------------------------------------------------------

def contests(work):
    tree = work / "solutions"
    tree.mkdir()
    (tree / "a.py").write_text("print(sum(map(int, input().split())))\n")
    (tree / "b.cpp").write_text("#include <cstdio>\nint main() { int a, b; scanf(\"%d%d\", &a, &b); printf(\"%d\", a + b); }\n")
    records, metrics, _, _ = take("contest solutions", work, tree, "--source-type", "contest")
    check("contest solutions: short files are kept", len(records) == 2, metrics["funnel"])
    out = work / "judged"
    for recipe, kept in (("default", 2), ("guide", 0)):
        call("filter", tree, "-o", out, "--overwrite", "--durability", "fast", "--source-type", "contest", "--recipe", recipe, "--set", "filter.syntax=off")
        funnel = json.loads((out / "metrics.json").read_text())["funnel"]
        check(f"contest solutions: judged by the {recipe} recipe", funnel["kept"] == kept, funnel)
    rows = [{"name": "1_A. Sum", "description": "Add a\nand b.", "solutions": {"language": [3, 2, 9], "solution": ["print(1)\n", "int main(){}\n", "x"]}},
            {"name": "2_B. Nothing", "solutions": {"language": [], "solution": []}},
            {"name": "3", "solutions": [{"language": "Java", "code": "class A {}\n"}]}, {"problem_id": 4, "question": "q",
             "solutions": json.dumps(["print(4)\n"])}, {"content": "plain\n", "path": "p.py"}]
    lines = work / "tasks.jsonl"
    lines.write_text("".join(json.dumps(r) + "\n" for r in rows))
    records, metrics, _, _ = take("tasks with solutions", work, lines, "--set", "source.contest_statements=true")
    check("tasks with solutions: each solution is a record", [(r["content"], r["language"], r["path"]) for r in records] ==
          [("# Add a\n# and b.\n\nprint(1)\n", "python", "1_A. Sum/1"), ("// Add a\n// and b.\n\nint main(){}\n", "cpp", "1_A. Sum/2"),
           ("# Add a\n# and b.\n\nx", "other", "1_A. Sum/3"), ("class A {}\n", "java", "3/1"), ("# q\n\nprint(4)\n", "python", "4/1"), ("plain\n", "python", "p.py")], records)
    check("tasks with solutions: accounted for", metrics["funnel"]["read"] == 7 and metrics["funnel"]["rejected"] == {"no_answer": 1} and
          metrics["changed"]["further_records"] == 2, metrics)
    sample = corpus("contests")
    if sample:
        records, metrics, quarantine, _ = take("contest sample", work, sample, "--source-type", "contest")
        check("contest sample: all 124 are read", len(records) == 124 and not quarantine, (len(records), quarantine))


# ---- nested columns of Parquet ----------------------------------------------------------------------------------------------------------

def nested(work):
    """Rows that are no files: the same records as from JSON lines, through the whole of `filter`."""
    text = lambda name: hand.node(name, hand.OPTIONAL, hand.BYTES, mark=hand.UTF8)
    listed = lambda name, item: hand.node(name, hand.OPTIONAL, children=[hand.node("list", hand.REPEATED, children=[item])], mark=hand.LIST)
    said = listed("messages", hand.node("element", hand.OPTIONAL, children=[text("role"), text("content")]))
    solved = hand.node("solutions", hand.OPTIONAL, children=[listed("language", hand.node("element", hand.OPTIONAL, hand.INT64)),
                                                             listed("solution", text("element"))])
    wrap = lambda items: None if items is None else {"list": [{"element": i} for i in items]}
    rows = [{"messages": [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": f"{i}\n" * i}] if i % 7 else None,
             "solutions": {"language": [3, 2], "solution": [f"print({i})\n", f"int x{i};\n"]} if i % 5 == 0 else None, "name": f"t{i}"} for i in range(1, 400)]
    physical = [{"messages": wrap(r["messages"]), "name": r["name"], "solutions": None if r["solutions"] is None else {
        k: wrap(v) for k, v in r["solutions"].items()}} for r in rows]
    hand.write(work / "rows.parquet", [said, solved, text("name")], physical)
    (work / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    inside, counted, quarantine, stderr = take("nested rows", work, work / "rows.parquet")
    if not inside and "no Parquet reader" in stderr:
        print("skipped: this build reads no Parquet")
        return
    outside, wanted, told, _ = take("nested rows as lines", work, work / "rows.jsonl")
    check("nested rows: the records of the lines", inside == outside and len(inside) > 300, (len(inside), len(outside)))
    check("nested rows: counted as the lines", counted["funnel"] == wanted["funnel"] and counted["changed"] == wanted["changed"], (counted, wanted))
    check("nested rows: told as the lines", [(q["record"], q["reason"], q["detail"]) for q in quarantine] ==
          [(q["record"], q["reason"], q["detail"]) for q in told] and len(told) > 10, quarantine[:3])


def main():
    if shutil.which("zstd") is None:
        print("skipped: the zstd program is not there")
        sys.exit(77)
    cases = [bigquery, notebooks, documents, normal_forms, posts, archives, data_set_in_a_tree, removals, contests, nested]
    for case in cases:
        work = Path(tempfile.mkdtemp(prefix="shardmill_sources_"))
        try:
            case(work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    print(f"{len(cases)} kinds of sources, {len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
