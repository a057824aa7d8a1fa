"""The race stage by stage: each peer and shardmill in turns, best turn of each, ratios. Used by bench/race.

A peer's seconds are those of its own work with the documents in memory (the peers' own harness measures them). Ours are the stage's rows
of timings.json, out of a whole run that also reads, checks and writes everything: with two threads the wall time in which the stage
worked, with one its processor time, as the thread that makes units durable has the same processor then."""
import json, os, shutil, subprocess, sys

# stage -> our command, its rows in timings.json, [(peer, environment, threads it can use, MB of text it gets; 0: all)]
STAGES = {
    "filter": ("filter {corpus} --recipe guide --set filter.syntax=off", ["filter"],
               [("guide-nosyntax", "main", (1,), 40), ("datatrove-gopher-quality", "dt", (1,), 4)]),
    "dedup": ("dedup {corpus} --recipe guide", ["sketch", "exact", "dedup"],
              [("rensa-rminhash", "main", (1, 2), 0), ("datasketch-guide", "main", (1,), 15), ("datasketch-bulk-set-xxh3", "main", (1,), 40)]),
    "train": ("train {corpus} --set filter.syntax=off --set tokenizer.vocab_size=32000", ["words", "train"],
              [("rustbpe", "main", (1, 2), 0), ("hf-iterator", "main", (1, 2), 0)]),
    "count": ("train {corpus} --set filter.syntax=off --set tokenizer.vocab_size=300", ["words"],
              [("gigatoken-count", "main", (1, 2), 0), ("rustbpe-count", "main", (1, 2), 0)]),
    "encode": ("encode {corpus} --tokenizer {tokenizer} --set fim.rate=0", ["encode"],
               [("gigatoken-array", "main", (1, 2), 0), ("gigatoken-text-files", "main", (1, 2), 0), ("fastokens", "main", (1, 2), 0),
                ("tiktoken", "main", (1, 2), 0), ("hf-batch-fast", "main", (1, 2), 40)]),
    "pack": ("pack {rows} --tokenizer {tokenizer} --format {format}", ["pack", "write"],
             [("orjson-zstd-jsonl", "main", (1,), 40), ("guide-jsonl", "main", (1,), 40), ("megatron-builder", "mds", (1,), 40),
              ("mds-writer-raw", "mds", (1,), 40)]),
    "pipeline": ("run {corpus} --set filter.syntax=off", None, [("datatrove-pipeline", "dt", (2,), 5)]),  # all of it, files to files
}
SLOW = {"hf-iterator", "datatrove-gopher-quality", "datasketch-guide", "datatrove-pipeline"}  # one turn is enough to see the distance
PEER_OF = {"count": "train", "pipeline": "pack"}  # the peers' script of a stage, where its name differs
RIVAL_OF = {"megatron-builder": "shardmill megatron", "mds-writer-raw": "shardmill mds"}  # the container that a peer writes


def pinned(command, threads, env=None):
    cpus = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
    e = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true" if threads > 1 else "false",
             HF_HUB_OFFLINE="1", PYTHONDONTWRITEBYTECODE="1", **(env or {}))
    done = subprocess.run(["taskset", "-c", cpus] + command, env=e, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def ours(a, work, stage, threads, text_mb, format="jsonl.zst"):
    command, rows, _ = STAGES[stage]
    out = os.path.join(work, "ours")
    shutil.rmtree(out, ignore_errors=True)
    words = [w.format(corpus=a.corpus, tokenizer=os.path.join(work, "tokenizer.json"), rows=os.path.join(work, "rows"), format=format)
             for w in command.split()]
    code, _, err = pinned([a.program] + words + ["-o", out, "-j", str(threads), "-q", "--durability", "fast"], threads)
    if code != 0:
        sys.exit("%s: %s" % (command, err))
    timings = json.load(open(os.path.join(out, ".shardmill", "timings.json")))
    clock = "cpu_seconds" if threads == 1 else "seconds"
    seconds = sum(s[clock] for s in timings["stages"] if s["name"] in rows) if rows else timings["wall_seconds"]
    return {"tool": "shardmill" if format == "jsonl.zst" else "shardmill " + format, "threads": threads, "seconds": round(seconds, 4),
            "mb_s": round(text_mb / seconds, 1), "whole_run_seconds": round(timings["wall_seconds"], 3)}, out


def peer(a, work, stage, tool, env, threads, limit):
    python = os.path.join(a.venvs, env, "bin", "python")
    script = os.path.join(a.peers, "stage_%s.py" % PEER_OF.get(stage, stage))
    code, out, err = pinned([python, script, tool, "--corpus", a.corpus, "--threads", str(threads), "--limit-mb", str(limit), "--tokenizer",
                             os.path.join(work, "tokenizer.json"), "--work", work], threads)
    lines = [json.loads(x) for x in out.splitlines() if x.startswith('{"stage"')]
    if code != 0 or not lines:
        return {"tool": tool, "threads": threads, "failed": err.strip()[-200:]}
    return {"tool": tool, "version": lines[-1].get("version"), "threads": threads, "seconds": lines[-1]["wall_s"], "mb": lines[-1]["mb"],
            "mb_s": lines[-1]["mb_s"]}


def race(a, work, formats=("jsonl.zst",)):
    """{stage: [one entry a tool and number of threads: its turns, the best MB/s, ours divided by it at the same threads]}"""
    text_mb = a.text_mb
    _, made = ours(a, work, "train", 2, text_mb)
    shutil.copy(os.path.join(made, "tokenizer", "tokenizer.json"), os.path.join(work, "tokenizer.json"))
    _, made = ours(a, work, "encode", 2, text_mb)
    shutil.move(os.path.join(made, "rows"), os.path.join(work, "rows"))
    turns = {}
    for turn in range(a.turns):
        for stage in a.stages:
            for threads in (1, 2):
                for format in formats if stage == "pack" else ("jsonl.zst",):
                    result, _ = ours(a, work, stage, threads, text_mb, format)
                    turns.setdefault((stage, result["tool"], threads), []).append(result)
            for tool, env, can, limit in STAGES[stage][2]:
                for threads in can:
                    if turn > 0 and tool in SLOW:
                        continue
                    turns.setdefault((stage, tool, threads), []).append(peer(a, work, stage, tool, env, threads, limit))
            print("turn %d: %s" % (turn + 1, stage), file=sys.stderr, flush=True)
    best = {k: max((t.get("mb_s", 0) for t in v), default=0) for k, v in turns.items()}
    table = {}
    for (stage, tool, threads), results in turns.items():
        entry = {"tool": tool, "threads": threads, "best_mb_s": best[stage, tool, threads], "turns": results}
        if not tool.startswith("shardmill") and entry["best_mb_s"]:
            rival = RIVAL_OF.get(tool, "shardmill")
            rival = rival if (stage, rival, threads) in best else "shardmill"
            mine = best.get((stage, rival, threads)) or best[stage, rival, 1]
            entry["ours_over_it"] = round(mine / entry["best_mb_s"], 2)
        table.setdefault(stage, []).append(entry)
    return table


def show(table):
    print("| stage | tool | threads | MB/s, best turn | shardmill is faster by |\n|---|---|---|---|---|")
    for stage, entries in table.items():
        for e in entries:
            failed = next((t["failed"] for t in e["turns"] if "failed" in t), None)
            print("| %s | %s | %d | %s | %s |" % (stage, e["tool"], e["threads"], "failed: " + failed if failed else e["best_mb_s"],
                                                  e.get("ours_over_it", "")))
