#!/usr/bin/env python3
"""report writes one self-contained page whose numbers are those of metrics.json and whose data cannot act; the card is a product.

usage: test_report.py PROGRAM   (standard library only)
"""
import hashlib
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = os.path.abspath(sys.argv[1])
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`</pre></style></title>&lt;|{{7*7}}\u202e\u2066\x1b[31m"
TAGS = set("html head meta title style body main header h1 h2 h3 p div span b br section table thead tbody tr th td ul li data svg g rect path line "
           "text code pre details summary footer script".split())
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:700]}")


def call(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=120)
    check(f"exit code of {' '.join(map(str, arguments))} is {code}", done.returncode == code, (done.returncode, done.stderr))
    return done.stdout.decode()


class Page(html.parser.HTMLParser):
    VOID = {"meta", "br", "rect", "path", "line"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.numbers, self.text, self.current = [], [], [], [], [], None

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag == "data":
            self.current = [dict(attributes), ""]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        check("every tag is closed in order", self.open and self.open[-1] == tag, (tag, self.open[-3:]))
        if self.open:
            self.open.pop()
        if tag == "data":
            self.numbers.append(self.current)
            self.current = None

    def handle_data(self, data):
        self.text.append(data)
        if self.current is not None:
            self.current[1] += data


def metric(metrics, path):
    """The value at a dotted path; names may hold dots themselves."""
    if not path:
        return metrics
    for name in metrics if isinstance(metrics, dict) else ():
        if path == name or path.startswith(name + "."):
            found = metric(metrics[name], path[len(name) + 1:])
            if found is not None:
                return found
    return None


def read_page(out):
    raw = (out / "report.html").read_bytes().decode("utf-8")
    page = Page()
    page.feed(raw)
    page.close()
    check("nothing stays open", page.open == [], page.open)
    check("only the page's own elements", set(page.tags) <= TAGS, set(page.tags) - TAGS)
    check("one script, one stylesheet", page.tags.count("script") == 1 and page.tags.count("style") == 1)
    for tag, name, value in page.attributes:
        check("no attribute acts or loads", not name.startswith("on") and name not in ("src", "href", "xlink:href", "style", "srcset"), (tag, name, value))
    check("no address of elsewhere", not re.search(r"https?://|url\(|@import", raw), re.findall(r".{20}https?://.{20}", raw))
    check("no control characters, none that turn text", not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", raw))
    return page


def check_numbers(page, metrics):
    named = {}
    for attributes, text in page.numbers:
        path = attributes.get("data-metric")
        value = float(attributes["value"])
        if path is None:
            continue
        named[path] = value
        real = metric(metrics, path)
        check(f"{path} is the one of metrics.json", real is not None and abs(real - value) < 1e-6, (real, value))
        shown = re.sub(r"[,\s\u202f]", "", text)
        if shown.endswith("%"):
            check(f"{path} is shown as it is", abs(float(shown[:-1]) / 100 - value) <= 0.00005001, (shown, value))
        else:
            check(f"{path} is shown as it is", float(shown) == value, (shown, value))
    return named


def evil_corpus(folder):
    lines = []
    for n in range(160):
        body = "".join(f"def f_{n % 150}_{i}(x):\n    return x * {n % 150 * 31 + i} + {i * i}\n\n" for i in range(12))
        # Languages keep only what can be a name, so the evil one may come in another spelling: checked by the page's rules only.
        lines.append(json.dumps({"content": f"# {EVIL}\n{body}", "language": ["python", "java", EVIL][n % 3], "repo": EVIL, "path": f"a/{EVIL}/{n}.py",
                                 "licence": EVIL, "stars": 500}))
    lines.append('{"content": 7, "x": "<script>"}')
    path = folder / "in<b>&'x.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def check_page(out):
    metrics = json.loads((out / "metrics.json").read_text())
    page = read_page(out)
    named = check_numbers(page, metrics)
    funnel = metrics["funnel"]
    wanted = ["funnel.read", "funnel.kept"] + [f"funnel.rejected.{r}" for r in funnel["rejected"]]
    wanted += [f"funnel.duplicate.{k}" for k, v in funnel["duplicate"].items() if v] + (["funnel.quarantined"] if funnel["quarantined"] else [])
    wanted += [f"languages.{n}.tokens" for n in metrics["languages"]]
    check("every reason and language is on the page", set(wanted) <= set(named), set(wanted) - set(named))
    losses = sum(v for k, v in named.items() if k.startswith("funnel.") and k not in ("funnel.read", "funnel.kept"))
    check("what the page shows adds up", named["funnel.read"] == named["funnel.kept"] + losses, named)
    return page, named


def check_card(out):
    card = (out / "README.md").read_text()
    sums = (out / "SHA256SUMS").read_text()
    digest = hashlib.sha256(card.encode()).hexdigest()
    check("the card is in SHA256SUMS", f"{digest}  README.md" in sums.split("\n"), sums)
    check("the card begins with a YAML head", card.startswith("---\n") and 'path: "shards/*.jsonl.zst"' in card.split("---\n")[1], card[:400])
    check("the card holds no markup of the data", "<script" not in card and "<b>" not in card and "<img" not in card, card)
    (out / "README.md").write_text(card + "\n")
    call("verify", out, code=8)
    (out / "README.md").write_text(card)
    call("verify", out)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, out = evil_corpus(folder), folder / "out"
        call("report", folder / "nothing", code=4)
        call("run", source, "-o", out, "-q", "--set", "tokenizer.vocab_size=600", "--set", "pack.seq_len=256")
        said = call("report", out)
        check("report tells the file", "report.html" in said, said)
        first = (out / "report.html").read_bytes()
        page, named = check_page(out)
        text = "".join(page.text)
        check("the data is shown, not obeyed", "<script>alert(1)</script>" in text and "\\u202e" in text and "\\x1b" in text, text[-3000:])
        check("samples and clusters are shown", "lang_python" in text and "in<b>&'x.jsonl:" in text)
        call("report", out)
        check("the same run gives the same page", (out / "report.html").read_bytes() == first)
        call("verify", out)
        check_card(out)
        call("run", source, "-o", folder / "few", "-q", "--set", "tokenizer.vocab_size=300", "--languages", "rust")
        call("report", folder / "few")
        page, named = check_page(folder / "few")
        check("an empty result has a page, too", named["funnel.kept"] == 0, named)
        check("the card of an empty result names no files", "configs:" not in (folder / "few" / "README.md").read_text())
        for command in ("filter", "dedup"):
            call(command, source, "-o", folder / command, "-q")
            call("report", folder / command)
            check_page(folder / command)
        (out / "manifest.json").unlink()
        call("report", out, code=8)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
