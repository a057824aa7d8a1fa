#!/usr/bin/env python3
"""The command line keeps its contract: help, option forms, exit codes, what goes to stdout and what to stderr, pages and completions.

usage: test_cli.py PROGRAM   (standard library only)
"""
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from corpus import write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
SMALL = ["--set", "filter.syntax=off", "--set", "tokenizer.vocab_size=400", "--set", "pack.seq_len=128", "--durability", "fast"]
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:800]}")


def call(*arguments, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([PROGRAM, *map(str, arguments)], stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, text=True,
                          timeout=120, **more)


def expect(code, *arguments, says=None):
    done = call(*arguments)
    check(f"{' '.join(map(str, arguments))}: exit code {code}", done.returncode == code, (done.returncode, done.stderr))
    if says is not None:
        check(f"{' '.join(map(str, arguments))}: says {says!r}", says in done.stderr, done.stderr)
    return done


def commands():
    return re.findall(r"^  ([a-z]+) +[A-Z]", call("--help").stdout, re.M)


def listed_options(name):
    """(letter, long name, value) of a command's help."""
    text = call(name, "--help").stdout
    return re.findall(r"^  (?:-(\w), |    )--([a-z-]+)(?: (\S+))?", text, re.M)


# ---- help ------------------------------------------------------------------------------------------------------------------------------

def test_help():
    names = commands()
    check("all commands are listed", {"run", "filter", "dedup", "train", "encode", "pack", "inspect", "explain", "plan", "stats", "verify",
                                      "recipe", "devices"} <= set(names), names)
    for name in names:
        done = expect(0, name, "--help")
        check(f"{name} --help ends in an example", re.search(r"\nexample:\n( +shardmill \S.*\n)+$", done.stdout), done.stdout[-300:])
        check(f"{name} --help says nothing on stderr", done.stderr == "", done.stderr)
        check(f"{name} --help lists --help", ("h", "help", "") in listed_options(name), listed_options(name))
        check(f"{name} -h and help {name} are the same", call(name, "-h").stdout == done.stdout == call("help", name).stdout)
        check(f"{name} --help wins over what follows", call(name, "--help", "x", "--bad").returncode == 0)
    contract = {"output", "recipe", "set", "languages", "target-tokens", "tokenizer", "format", "seed", "threads", "device", "memory",
                "input-format", "source-type", "resume", "overwrite", "strict", "progress", "dry-run", "quiet", "verbose"}
    options = {name for _, name, _ in listed_options("run")}
    check("run --help lists the options of the contract", contract <= options, contract - options)
    version = expect(0, "--version").stdout
    check("--version is one line", re.fullmatch(r"shardmill \d+\.\d+\.\d+\n", version), version)
    bare = call()
    check("no arguments: help on stdout, exit 2", bare.returncode == 2 and bare.stdout == call("--help").stdout and bare.stderr == "", bare)


def test_mistakes():
    expect(2, "instect", "x", says="did you mean inspect?")
    expect(2, "qqqqqqqqqqqq", says="unknown command 'qqqqqqqqqqqq'; see")
    expect(2, "help", "verifi", says="did you mean verify?")
    expect(2, "run", "x", "--ouput", "d", says="did you mean --output?")
    expect(2, "run", "x", "--target-token=5", says="did you mean --target-tokens?")
    expect(2, "run", "x", "-z", says="unknown option '-z'")
    expect(2, "run", "x", "-qv", says="unknown option '-qv'")
    expect(2, "run", "x", "-o", says="--output needs DIR")
    expect(2, "run", "x", "--strict=yes", "-o", "d", says="--strict takes no value")
    expect(2, "run", "x", says="-o DIR is missing")
    expect(2, "run", "-o", "/nowhere/at/all")
    expect(2, "run", "x", "-o", "d", "--resume", "--overwrite", says="exclude each other")
    expect(2, "run", "x", "-o", "d", "--progress", "loud", says="'loud'")
    expect(2, "run", "x", "-o", "d", "--durability", "some", says="'some'")
    expect(2, "stats", says="usage: shardmill stats DIR")
    expect(2, "stats", "a", "b")
    expect(2, "devices", "x")
    expect(2, "recipe", "--set", "fim.rat=0.5", says="fim.rate")
    expect(3, "run", "/nowhere/at/all", "-o", "d", says="/nowhere/at/all")
    expect(4, "verify", "/nowhere/at/all", says="/nowhere/at/all")


# ---- forms of options ----------------------------------------------------------------------------------------------------------------

def plan_of(*arguments, **more):
    done = call("run", "--dry-run", "--json", *arguments, **more)
    check(f"dry run of {arguments} works", done.returncode == 0, done.stderr)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def plan_number(document, key):
    """The value of a recipe key in a dry run's document, as a number."""
    value = document.get("recipe", {})
    for part in key.split("."):
        value = value.get(part, {}) if isinstance(value, dict) else {}
    return int(value) if isinstance(value, (int, float, str)) and str(value).isdigit() else value


def test_forms(corpus):
    base = plan_of(corpus)
    for form in (["--seed=7"], ["--seed", "7"], ["--set", "seed=7"], ["--set=seed=7"], ["--set", "seed=3", "--seed", "7"],
                 ["--set", "seed=3", "--set", "seed=7"], ["-j2", "--seed=7"], ["-j", "2", "--seed=7"], ["--threads=2", "--seed=7"]):
        check(f"{form} gives seed 7", plan_number(plan_of(corpus, *form), "seed") == 7, form)
    check("the seed is 0 without any", plan_number(base, "seed") == 0, base.get("recipe", {}).get("seed"))
    check("repeated --set add up", [plan_number(plan_of(corpus, "--set", "pack.seq_len=64", "--set", "seed=2"), k)
                                    for k in ("pack.seq_len", "seed")] == [64, 2])
    for text, value in {"4096": 4096, "140e9": 140 * 10**9, "140B": 140 * 10**9, "140b": 140 * 10**9, "2.5M": 2500000, "1.5K": 1500, "2T": 2 * 10**12,
                        "64M": 64 * 10**6, "0": 0, "9007199254740993": 9007199254740993}.items():
        for option in ("--target-tokens", "--target_tokens"):
            seen = plan_number(plan_of(corpus, option, text), "mixture.target_tokens")
            check(f"{option} {text} is {value}", seen == value, seen)
    for bad in ("", "x", "-1", " -1", "+1", " 5", "5 ", "5  ", "1.5", "1e-1", "0x10", "inf", "nan", "1e300", "18446744073709551616", "5Q", "5KK", "5GiB",
                "1..5", "1,5", "5@"):
        done = call("run", corpus, "--dry-run", f"--target-tokens={bad}")
        check(f"count '{bad}' is refused", done.returncode == 2 and "--target-tokens: cannot use" in done.stderr, (done.returncode, done.stderr))
    for size in ("600M", "600MB", "600MiB", "2GiB", "1.5g", "1073741824", "1048576.5K"):
        done = call("run", corpus, "--dry-run", f"--memory={size}")
        check(f"size {size} is taken", done.returncode == 0, done.stderr)
    for bad in ("64MM", "0.3K", "10iB", "10X", "1 M", "M", "64MiBs", "99999999T", "5B"):
        done = call("run", corpus, "--dry-run", "--memory", bad)
        check(f"size '{bad}' is refused", done.returncode == 2 and "--memory: cannot use" in done.stderr, (done.returncode, done.stderr))


def test_arguments(corpus, folder):
    """What is an input and what is not."""
    odd = folder / "--odd"
    shutil.copy(corpus, odd)
    check("-- ends the options", [i["name"] for i in plan_of("--", "--odd", cwd=folder).get("inputs", [])] == ["--odd"])
    kinds = [i["kind"] for i in plan_of("-", stdin=open(corpus))["inputs"]]
    check("- is standard input", kinds == ["stdin"], kinds)
    wanted = None
    for form in (["--languages", "python", "go"], ["--languages", "python,go"], ["--languages=python,go"],
                 ["--languages", "python", "--languages", "go"]):
        for arguments in ([*form, "--", corpus], [corpus, *form], [*form, corpus]):
            seen = plan_of(*arguments)
            names = [i["name"] for i in seen.get("inputs", [])]
            check(f"{arguments}: one input", names == [corpus.name], names)
            wanted = wanted or seen
            check(f"{arguments}: same plan", seen == wanted, (seen, wanted))
    check("--languages is in the plan", wanted != plan_of(corpus))


def test_aliases(corpus, folder):
    first, second = folder / "alias_a", folder / "alias_b"
    expect(0, "filter", corpus, "--output_dir", first, "-q", *SMALL)
    expect(0, "filter", corpus, f"--output={second}", "-q", *SMALL)
    check("--output_dir is --output", (first / "SHA256SUMS").read_bytes() == (second / "SHA256SUMS").read_bytes())


# ---- talk ----------------------------------------------------------------------------------------------------------------------------

def another_python(folder, corpus):
    """What python3 accepts depends on its version: a run is not gone on with by another one."""
    words = ["run", corpus, "-o", folder / "python", "-q", *SMALL, "--set", "filter.syntax=cpython"]
    expect(0, *words)
    bin = folder / "bin"
    bin.mkdir()
    (bin / "python3").write_text("#!/bin/sh\nexec %s \"$1\" \"$2\" \"$3\" \"$4\" \"$5\" \"import sys\nsys.version = '9.9.9 x'\n$6\"\n" % sys.executable)
    (bin / "python3").chmod(0o755)
    done = call(*words, env=dict(os.environ, PATH="%s:%s" % (bin, os.environ["PATH"])))
    check("another python3 is another plan", done.returncode == 7 and "python_version" in done.stderr and "9.9.9" in done.stderr, done.stderr)


def test_progress(corpus, folder):
    def run(name, *more):
        done = call("run", corpus, "-o", folder / name, "-j2", *SMALL, *more)
        check(f"run {more}: exit code 0", done.returncode == 0, done.stderr)
        check(f"run {more}: stdout stays empty", done.stdout == "", done.stdout)
        check(f"run {more}: no terminal controls off a terminal", "\r" not in done.stderr and "\033" not in done.stderr, done.stderr)
        return done.stderr

    lines = [line for line in run("json", "--progress", "json").splitlines() if line.startswith("{")]
    check("--progress json shows progress", len(lines) >= 2, lines)
    before = 0.0
    for line in lines:
        row = json.loads(line)
        check("a progress line is complete", {"stage", "done", "total", "unit", "fraction", "seconds", "seconds_left"} <= set(row), row)
        check("the fraction grows within 0..1", before <= row["fraction"] <= 1, (before, row))
        before = row["fraction"]
    check("-q is silent", run("quiet", "-q") == "")
    check("-q silences bars but not the wanted lines", all(line.startswith("{") for line in run("both", "-q", "--progress=json").splitlines()))
    check("none still says what was done", re.search(r" [1-9]\d* samples, [1-9]\d* tokens", run("none", "--progress", "none")))
    check("plain has no JSON", "{" not in run("plain", "--progress", "plain"))
    again = call("run", corpus, "-o", folder / "plain", "-j2", *SMALL)
    check("a finished run is told as such", again.returncode == 0 and "complete already" in again.stderr, again.stderr)
    other = call("run", corpus, "-o", folder / "plain", "-j2", *SMALL, "--seed", "5")
    check("another plan is exit 7 and names the difference", other.returncode == 7 and "seed" in other.stderr, (other.returncode, other.stderr))
    expect(0, "run", corpus, "-o", folder / "plain", "-q", *SMALL, "--seed", "5", "--overwrite")
    another_python(folder, corpus)
    foreign = folder / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("mine")
    refused = call("run", corpus, "-o", foreign, *SMALL, "--overwrite")
    check("a directory of others is refused and left alone", refused.returncode in (2, 7) and (foreign / "letter.txt").read_text() == "mine",
          (refused.returncode, refused.stderr))


def test_terminal(corpus, folder):
    ours, theirs = pty.openpty()
    child = subprocess.Popen([PROGRAM, "run", str(corpus), "-o", str(folder / "pty"), "-j2", *SMALL], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side is gone
            break
        if not part:
            break
        seen += part
    out = child.communicate()[0]
    os.close(ours)
    check("on a terminal: exit code 0, stdout empty", child.returncode == 0 and out == b"", (child.returncode, out))
    check("on a terminal: a bar that returns to the line's start", b"\r\x1b[K[" in seen and b"%" in seen, seen)
    # What a terminal shows in the end: each erased line is gone.
    left = [re.split(rb"\r\x1b\[K", line)[-1] for line in seen.split(b"\n")]
    check("on a terminal: the bar is cleared at the end", not any(re.match(rb"\[[#.]{24}\]", line) for line in left), left[-5:])


def test_streams(corpus, folder):
    with open("/dev/full", "w") as full:
        for arguments in (["--help"], ["--version"], ["recipe"], ["devices"], ["run", "--help"], ["help", "--man"], []):
            done = call(*arguments, stdout=full)
            check(f"{arguments} to a full device: exit 4", done.returncode == 4 and "E_IO" in done.stderr, (done.returncode, done.stderr))

    def closed(numbers, *arguments):
        def close():
            for number in numbers:
                os.close(number)
        return subprocess.run([PROGRAM, *map(str, arguments)], preexec_fn=close, timeout=120).returncode

    check("stdout closed: exit 4", closed([1], "recipe") == 4)
    check("stdout closed, help: exit 4", closed([1], "--help") == 4)
    read, write = os.pipe()
    os.close(read)
    child = subprocess.Popen([PROGRAM, "recipe"], stdout=write, stderr=subprocess.PIPE, restore_signals=False)
    message = child.communicate()[1]
    os.close(write)
    check("a reader that left, SIGPIPE ignored: exit 4", child.returncode == 4 and b"E_IO" in message, (child.returncode, message))
    wanted = None
    for numbers in ([], [0], [1], [2], [0, 1], [1, 2], [0, 1, 2]):
        target = folder / ("closed" + "".join(map(str, numbers)))
        check(f"run with {numbers} closed", closed(numbers, "run", corpus, "-o", target, "-q", "-j2", *SMALL) == 0)
        sums = (target / "SHA256SUMS").read_bytes() if (target / "SHA256SUMS").exists() else None
        wanted = wanted or sums
        check(f"run with {numbers} closed gives the same files", sums is not None and sums == wanted)
        check(f"the files of a run with {numbers} closed are sound", call("verify", target).returncode == 0)


def values(recipe):
    """A printed recipe without its comments."""
    return {k: values(v) if isinstance(v, dict) else v for k, v in recipe.items() if not k.startswith("//")}


def test_recipes(corpus, folder):

    for name in ("guide", "default"):
        text = expect(0, "recipe", name).stdout
        file = folder / f"{name}.json"
        file.write_text(text)
        check(f"recipe {name} is JSON with comments", any(k.startswith("//") for k in json.loads(text)), text[:200])
        check(f"recipe {name} loads back to the same plan", plan_of(corpus, "--recipe", file) == plan_of(corpus, "--recipe", name))
        shown = expect(0, "recipe", file).stdout
        check(f"recipe FILE shows the values of {name}", values(json.loads(shown)) == values(json.loads(text)), shown[:300])
    changed = expect(0, "recipe", "default", "--set", "fim.rate=0.25").stdout
    check("recipe --set changes one value", json.loads(changed)["fim"]["rate"] == 0.25, changed)


# ---- pages ---------------------------------------------------------------------------------------------------------------------------

def test_man(folder):
    page = expect(0, "help", "--man").stdout
    for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "RECIPES", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"):
        check(f"the manual has {part}", f"\n.SH {part}\n" in page)
    for name in commands():
        check(f"the manual has {name}", f"\n.SS shardmill {name} " in page)
        for _, option, _ in listed_options(name):
            check(f"the manual has --{option}", "--" + option in page.replace("\\-", "-"))
    check("the manual has recipe keys", "pack.seq_len" in page and "fim.rate" in page and "dedup.threshold" in page)
    check("the manual is ASCII", page.isascii())
    file = folder / "shardmill.1"
    file.write_text(page)
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", str(file)], capture_output=True, text=True)
        check("groff has no complaints", done.returncode == 0 and done.stderr == "", done.stderr)
    if shutil.which("man"):
        done = subprocess.run(["man", "--warnings", "-l", str(file)], capture_output=True, text=True, env={**os.environ, "MANWIDTH": "80"})
        check("man has no complaints", done.returncode == 0 and done.stderr == "", done.stderr)


def test_completion(folder):
    script = folder / "shardmill.bash"
    script.write_text(expect(0, "help", "--bash").stdout)
    zsh = expect(0, "help", "--zsh").stdout
    check("zsh completion names its command", zsh.startswith("#compdef shardmill\n"))
    if shutil.which("zsh"):
        (folder / "_shardmill").write_text(zsh)
        done = subprocess.run(["zsh", "-n", str(folder / "_shardmill")], capture_output=True, text=True)
        check("zsh can read it", done.returncode == 0 and done.stderr == "", done.stderr)
    if not shutil.which("bash"):
        return

    def complete(*words):
        done = subprocess.run(["bash", "-c", 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shardmill; printf "%s\\n" "${COMPREPLY[@]}"',
                               str(script), *words], capture_output=True, text=True, cwd=folder)
        check(f"completion of {words} says nothing", done.stderr == "", done.stderr)
        return done.stdout.split()

    check("commands complete", complete("shardmill", "re") == ["report", "recipe"], complete("shardmill", "re"))
    check("all commands are offered", set(commands()) <= set(complete("shardmill", "")))
    for name in commands():
        offered = complete("shardmill", name, "-")
        wanted = {"--" + option for _, option, _ in listed_options(name)}
        check(f"all options of {name} are offered", wanted <= set(offered), wanted - set(offered))
        for letter, option, value in listed_options(name):
            words = [w for w in re.sub(r"\[.*?\]", "", value).split("|") if w and w == w.lower()]
            if words:
                check(f"values of {name} --{option} are offered", set(words) <= set(complete("shardmill", name, "--" + option, "")), words)
    check("values complete", complete("shardmill", "run", "--progress", "p") == ["plain"])
    check("values complete after =", complete("shardmill", "run", "--progress", "=", "js") == ["json"])
    check("files are left to the shell, which can quote them", complete("shardmill", "run", "shardm") == [], complete("shardmill", "run", "shardm"))


def main():
    folder = Path(tempfile.mkdtemp(prefix="mill-cli-"))
    try:
        corpus = folder / "corpus.jsonl"
        write_corpus(corpus, records=120)
        test_help()
        test_mistakes()
        test_forms(corpus)
        test_arguments(corpus, folder)
        test_aliases(corpus, folder)
        test_progress(corpus, folder)
        test_terminal(corpus, folder)
        test_streams(corpus, folder)
        test_recipes(corpus, folder)
        test_man(folder)
        test_completion(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(failures)} failures" if failures else "all good")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
