#!/usr/bin/env python3
"""Containers beside JSON lines: the same bytes for any number of threads and any batch size, and after a kill; every changed byte is found;
inspect, stats and verify work where only one container was asked for; --overwrite leaves nothing of the run before.

usage: test_containers.py PROGRAM   (standard library only)"""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from corpus import read_manifest, seal, write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
HAS_PARQUET = b"Parquet      Arrow" in subprocess.run([PROGRAM, "devices"], stdout=subprocess.PIPE).stdout
NAMES = ["jsonl.zst", "jsonl", "megatron", "mds", "npy", "llmc", "datatrove", "olmo"] + ["parquet"] * HAS_PARQUET
SMALL = ["-q", "--durability", "fast", "--set", "tokenizer.vocab_size=600", "--set", "filter.syntax=off", "--set", "pack.seq_len=128",
         "--set", "shard.samples=40", "--set", "shard.mds_size_limit=9000"]
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print("FAIL:", what, flush=True)


def call(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def run(corpus, out, *options):
    code, _, err = call("run", corpus, "-o", out, *SMALL, *options)
    check(code == 0, f"run {out.name} {options} exits {code}: {err[-300:]}")


def products(out):
    return {str(p.relative_to(out)): p for p in sorted(out.rglob("*")) if p.is_file() and ".shardmill" not in p.parts}


def sums(out):
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in products(out).items()}


def differing(a, b):
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def same_bytes_for_any_threads_and_batches(work, corpus, whole):
    for number, options in enumerate((["-j", "1"], ["-j", "4", "--batch-size", "20000"], ["-j", "3", "--batch-size", "1M"])):
        out = work / f"again{number}"
        run(corpus, out, "--format", ",".join(NAMES), *options)
        check(not differing(sums(out), sums(whole)), f"{options}: other bytes in {differing(sums(out), sums(whole))[:5]}")
        shutil.rmtree(out)


def same_bytes_in_any_company(work, corpus, whole):
    """A container's files, its sidecar and the digests of the run do not depend on what else is written, nor on the threads."""
    expected, digests = sums(whole), [read_manifest(whole)[k] for k in ("ids_sha256", "lengths_sha256")]
    for name in NAMES:
        out = work / f"only-{name}"
        run(corpus, out, "--format", name, "-j", "1", *(["--set", "pack.extra=0"] if name == "npy" else []))
        mine = {n: s for n, s in sums(out).items() if n.startswith("shards")}
        check(mine and not [n for n in mine if expected.get(n) != mine[n]], f"{name} alone has other bytes")
        for command in (["verify"], ["inspect", "-n", "2"], ["stats"], ["stats", "--json"], ["report"]):
            code, stdout, err = call(command[0], out, *command[1:])
            check(code == 0 and (stdout or command[0] == "report"), f"{' '.join(command)} of {name} alone exits {code}: {err}")
        shown = call("inspect", out, "-n", "3")[1]
        check("row 1 of" in shown and "py" in shown, f"inspect of {name} alone shows {shown[:200]!r}")
        manifest = read_manifest(out)
        held = manifest["containers"]
        if held[0]["holds"] == "samples":
            docs = {n: s for n, s in sums(out).items() if n.startswith("docs/")}
            check(len(docs) > 1 and not [n for n in docs if expected.get(n) != docs[n]], f"{name} alone has another sidecar")
            check([manifest[k] for k in ("ids_sha256", "lengths_sha256")] == digests, f"{name} alone has other digests")
        check([h["name"] for h in held] == [name] and held[0]["takes"] in ("L", "L+1"), f"the manifest tells of {held}")
        firsts = [f for f in manifest["files"] if "ids_sha256" in f]
        check(len(firsts) == held[0]["shards"] and all("lengths_sha256" in f and f["tokens"] for f in firsts), f"{name}: facts of files")
        shutil.rmtree(out)


def resumed_after_kills(work, corpus, whole):
    out, kills, delay = work / "killed", 0, 0.05
    arguments = [PROGRAM, "run", str(corpus), "-o", str(out), *SMALL, "--format", ",".join(NAMES)]
    for attempt in range(60):
        process = subprocess.Popen([*arguments, "-j", str(1 + attempt % 2)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=delay)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            delay += 0.03
    check(process.returncode == 0, f"the run after {kills} kills exits {process.returncode}")
    check(not differing(sums(out), sums(whole)), f"after {kills} kills: {differing(sums(out), sums(whole))[:5]}")
    print(f"{kills} kills")


def lost_shards_are_made_again(work, corpus, whole):
    """A container's file that went between two attempts undoes its unit; nothing else is made anew."""
    out = work / "lost"
    arguments = ["--format", ",".join(NAMES), "--keep-work"]
    run(corpus, out, *arguments)
    for name in ("manifest.json", "shards-megatron/shard_00000.idx", "shards-mds/shard.00001.mds", "shards-olmo/part-00000.csv.gz",
                 "shards-mds/index.json"):
        (out / name).unlink()
    run(corpus, out, *arguments)
    check(not differing(sums(out), sums(whole)), f"lost files: {differing(sums(out), sums(whole))[:5]}")


def changed_bytes_are_found(work, _, whole):
    copy, missed, count = work / "flips", [], 0
    shutil.copytree(whole, copy)
    for name, path in products(copy).items():
        if not name.startswith("shards"):
            continue
        size = path.stat().st_size
        for at in {size // 2} if "MILL_SANITIZED" in os.environ else sorted({0, size // 2, size - 1}): # a verify takes five times as long
            data = path.read_bytes()
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1:])
            code = call("verify", copy)[0]
            path.write_bytes(data)
            count += 1
            if code != 8:
                missed.append((name, at, code))
    check(not missed and call("verify", copy)[0] == 0, f"changed bytes not found: {missed[:5]}")
    print(f"{count} changed bytes")
    shutil.rmtree(copy)


def damage_behind_a_right_seal(work, _, whole):
    """What a wrong writer could have left is found by reading, and no damage makes a reader fall over."""
    copy = work / "sealed"
    shutil.copytree(whole, copy)
    manifest = read_manifest(whole)
    found = total = 0
    for name in ("shards-megatron/shard_00000.idx", "shards-megatron/shard_00000.bin", "shards-mds/shard.00000.mds",
                 "shards-npy/shard_00000.npy", "shards-llmc/shard_train_000000.bin", "shards-datatrove/shard_00000.ds.index",
                 "shards-olmo/part-00000.csv.gz") + ("shards-parquet/shard_00000.parquet",) * HAS_PARQUET:
        path, data = copy / name, (whole / name).read_bytes()
        steps = list(range(0, min(len(data), 36), 2)) + list(range(36, len(data), max(1, len(data) // 8)))
        for at, change in [(at, 0x5a) for at in steps] + [(len(data) // 2, None)]:
            path.write_bytes(data[:at] if change is None else data[:at] + bytes([data[at] ^ change]) + data[at + 1:])
            seal(copy, json.loads(json.dumps(manifest)))
            code, _, err = call("verify", "-j", "1", copy)
            total += 1
            found += code == 8
            check(code in (0, 8), f"{name}, byte {at} changed behind a right seal: verify exits {code}: {err[-200:]}")
            # only what no client looks at may be left: gzip's head, pages' own counts
            check(code == 8 or name.endswith((".gz", ".parquet")), f"{name}, byte {at} changed behind a right seal is not found")
        path.write_bytes(data)
    seal(copy, manifest)
    check(call("verify", copy)[0] == 0, "all is well again")
    print(f"{found} of {total} found behind a right seal")
    shutil.rmtree(copy)


def overwrite_leaves_nothing(work, corpus, _):
    for damaged in (False, True):
        out = work / f"overwritten-{damaged}"
        run(corpus, out, "--format", ",".join(NAMES), "--keep-work")
        (out / "shards-mds" / "mine.txt").write_text("keep me")
        if damaged:  # no record tells what is there
            (out / "manifest.json").unlink()
            journal = next((out / ".shardmill" / "journal").iterdir())
            data = bytearray(journal.read_bytes())
            data[len(data) // 2] ^= 0xff
            journal.write_bytes(data)
        run(corpus, out, "--overwrite", "--format", "jsonl.zst")
        left = [name for name in products(out) if name.startswith(("shards-", "docs-"))]
        check(left == ["shards-mds/mine.txt"], f"--overwrite (journal damaged: {damaged}) leaves {left[:5]}")


def compressed_mds(work, corpus, whole):
    out, raw = work / "packed", whole / "shards-mds"
    run(corpus, out, "--format", "mds", "--set", "shard.mds_zstd_level=3")
    names = sorted(p.name for p in (out / "shards-mds").iterdir())
    check(names == ["index.json"] + sorted(p.name + ".zstd" for p in raw.iterdir() if p.suffix == ".mds"), f"names {names[:4]}")
    for path in (out / "shards-mds").glob("*.zstd"):
        data = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
        check(len(data) == len((raw / path.stem).read_bytes()) + len('"zstd:3"') - len("null"), f"{path.name} unpacks to {len(data)} bytes")
    check(call("verify", out)[0] == 0 and call("inspect", out)[0] == 0, "verify and inspect of compressed MDS")


def wrong_formats_are_refused(work, corpus, _):
    for option, says in ((["--format", "hdf5"], "megatron"), (["--format", ""], "names no container"), (["--format", "mds,,npy"], "expected"),
                         (["--set", "shard.documents=[\"x\"]"], "no container 'x'"), (["--set", "shard.mds_size_limit=0"], "mds_size_limit")):
        code, _, err = call("run", corpus, "-o", work / "refused", *SMALL, *option)
        check(code == 2 and says in err, f"{option}: exits {code}: {err}")


def nothing_kept_writes_no_container(work, corpus, _):
    out = work / "nothing"
    run(corpus, out, "--format", ",".join(NAMES), "--set", "filter.min_chars=100000000")
    check(not [n for n in products(out) if n.startswith("shards")], "a run that keeps nothing writes no container")
    check(call("verify", out)[0] == 0, "and verifies")


def main():
    with tempfile.TemporaryDirectory(prefix="mill_containers_") as name:
        work = Path(name)
        corpus, whole = work / "corpus.jsonl", work / "whole"
        write_corpus(str(corpus), records=160, seed=11)
        run(corpus, whole, "--format", ",".join(NAMES), "-j", "2")
        code, _, err = call("verify", whole)
        check(code == 0, f"verify exits {code}: {err}")
        for test in (same_bytes_for_any_threads_and_batches, same_bytes_in_any_company, resumed_after_kills, lost_shards_are_made_again,
                     changed_bytes_are_found, damage_behind_a_right_seal, overwrite_leaves_nothing, compressed_mds,
                     wrong_formats_are_refused, nothing_kept_writes_no_container):
            before, began = len(failures), time.time()
            test(work, corpus, whole)
            print("ok  " if len(failures) == before else "FAIL", test.__name__, f"{time.time() - began:.1f} s", flush=True)
    sys.exit(1 if failures else 0)


main()
