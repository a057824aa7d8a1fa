#!/usr/bin/env python3
# The same bytes wherever is computed: --device simt (the kernels on the emulator) against --device cpu, both recipes, one to four devices, several batch
# sizes and schedules; and any call of the GPU runtime that fails costs time and no byte, or ends in one clear message.
import json, os, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from corpus import product, write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
# Which calls fail (strides are odd, so that some last and some do not), and how much later a device is lost each time.
# A sanitized run takes five times as long.
SANITIZED = "MILL_SANITIZED" in os.environ
TRAIN_STRIDE, ENCODE_STRIDE, LOST_PART = (31, 9, 1) if SANITIZED else (3, 3, 2)
RECIPES = {"default": ["--set", "filter.syntax=off"], "guide": ["--recipe", "guide", "--set", "filter.syntax=off"]}
# devices, schedule, how devices that share a training tell each other sums, options
VARIANTS = [("1", "0", None, []), ("2", "3", "nccl", ["-j", "7"]), ("4", "5", "host", ["-j", "3", "--batch-size", "16K"]),
            ("1", "8", None, ["--batch-size", "300K"]), ("4", "1", "nccl", [])]
if SANITIZED:
    VARIANTS = VARIANTS[1:3]


def start(work, source, name, arguments, **env):
    out = os.path.join(work, name)
    done = subprocess.run([PROGRAM, "run", source, "-o", out, "-q", "--durability", "fast", "--set", "tokenizer.vocab_size=700"] + arguments,
                          env=dict(os.environ, **env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    return out, done.returncode, done.stderr.decode()


def devices(out):
    with open(os.path.join(out, ".shardmill", "timings.json")) as f:
        return json.load(f)["devices"]


def parity(work, source):
    for recipe, options in RECIPES.items():
        out, code, err = start(work, source, recipe, options + ["--device", "cpu", "-j", "1"])
        assert code == 0, err
        wanted = product(out)
        assert devices(out) == [], "the processor is no device"
        for n, (count, seed, exchange, arguments) in enumerate(VARIANTS):
            out, code, err = start(work, source, "%s%d" % (recipe, n), options + arguments + ["--device", "simt"], SIMT_DEVICES=count, SIMT_SEED=seed,
                                   SHARDMILL_NCCL="off" if exchange == "host" else "")
            assert code == 0, err
            got = product(out)
            assert got == wanted, "%s on %s devices: %s" % (recipe, count, sorted(p for p in set(got) | set(wanted) if got.get(p) != wanted.get(p)))
            used = devices(out)
            assert len(used) == int(count) and sum(d["batches"] for d in used) > 0 and not any(d["failed"] for d in used), used
            assert all(d["exchange"] == exchange for d in used), used
            with open(os.path.join(out, ".shardmill", "run.log")) as f:
                log = f.read()
            assert ("sums by NCCL 2." in log) == (exchange == "nccl") and ("sums through the host" in log) == (exchange == "host"), log
    print("2 recipes x %d variants: the same bytes as on the processor" % len(VARIANTS))


def choices_of_the_recipe(work, source):
    """Other units of training and other rows: what is foreseen for the devices differs with them."""
    choices = (["fim.cut=token", "encode.context=256", "tokenizer.unit=line"], ["fim.cut=block", "tokenizer.unit=jsonl-line"],
               ["fim.cut=multi", "encode.specials_in_text=true"])
    for n, keys in enumerate(choices[:1] if SANITIZED else choices):
        options = RECIPES["default"] + [word for key in keys for word in ("--set", key)]
        out, code, err = start(work, source, "keys%d" % n, options + ["--device", "cpu"])
        assert code == 0, err
        wanted = product(out)
        out, code, err = start(work, source, "keys%d-simt" % n, options + ["--device", "simt"], SIMT_DEVICES="2")
        assert code == 0, err
        assert product(out) == wanted, keys
        assert sum(d["batches"] for d in devices(out)) > 0 and not any(d["failed"] for d in devices(out)), keys
    print("other keys of the recipe: the same bytes")


def failures(work, source, name, arguments, first, step):
    """Lets the n-th call of the runtime fail, and with odd n all after it, until a run has fewer calls than n. Returns the good run and the calls until
    the devices are open."""
    arguments = RECIPES["default"] + arguments + ["--device", "simt:0"]
    good, code, err = start(work, source, name, arguments)
    assert code == 0, err
    wanted, refused, survived, n = product(good), first, 0, first
    while True:
        n += step(n)
        out, code, err = start(work, source, "%s%d" % (name, n), arguments, SIMT_FAIL_NTH=str(n), SIMT_FAIL_LASTS=str(n % 2))
        if code == 5: # while opening
            assert "--device simt:0" in err and err.count("error[") == 1, err
            assert not os.path.exists(out) or not os.path.exists(os.path.join(out, "manifest.json"))
            refused = n
            continue
        assert code == 0, (n, code, err)
        assert product(out) == wanted, "call %d failed, and the bytes are others" % n
        failed, troubled = devices(out)[0]["failed"], "learning merges:" in err # no memory for that is no fault of the device
        if not failed and not troubled:
            break
        assert troubled or "failed:" in err, err
        survived += 1
    assert refused > 0 and survived > (5 if SANITIZED else 10), (refused, survived)
    print("%s: failing calls among %d: %d refused at the start, %d done by the processor" % (name, n - 1, refused - first, survived))
    return good, refused


def lost_devices(work, source):
    """One device of three fails for good, sooner or later: the other two do the rest, and learn the merges, too."""
    options = RECIPES["default"] + ["--device", "simt"]
    good, code, err = start(work, source, "whole", options, SIMT_DEVICES="3")
    assert code == 0, err
    wanted, lost, n = product(good), 0, 60
    while True:
        out, code, err = start(work, source, "lost%d" % n, options, SIMT_DEVICES="3", SIMT_FAIL_DEVICE="1", SIMT_FAIL_NTH=str(n), SIMT_FAIL_LASTS="1")
        assert code == 0, (n, err)
        assert product(out) == wanted, "a device was lost at its call %d, and the bytes are others" % n
        assert "learnt by the processor" not in err, (n, err)
        if not devices(out)[1]["failed"]:
            break
        lost += 1
        n += n // LOST_PART
    assert lost > 5, lost
    print("a device of three was lost in %d runs: the same bytes, by the others" % lost)


def choices(work, source):
    for device, code, words in [("simt:7", 5, "no device 7"), ("simt:x", 2, "expected numbers"), ("simt:0,0", 2, "named twice"), ("gpu", 2, "expected auto"),
                                ("simt:", 2, "expected numbers")]:
        _, got, err = start(work, source, "choice", ["--device", device])
        assert got == code and words in err, (device, got, err)
    _, got, err = start(work, source, "choice", ["--device", "simt", "--backend", "ref"])
    assert got == 2 and "does not go with" in err, err
    print("wrong choices are refused")


def main():
    with tempfile.TemporaryDirectory() as work:
        source, short = os.path.join(work, "corpus.jsonl"), os.path.join(work, "short.jsonl")
        write_corpus(source)
        with open(source, "rb") as whole, open(short, "wb") as part:
            part.writelines(whole.readlines()[:40])
        parity(work, source)
        choices_of_the_recipe(work, source)
        # a run has hundreds of calls, most of them alike: those of training, later ones are tried more seldom
        good, opening = failures(work, short, "train", [], 0, lambda n: TRAIN_STRIDE + n // 100 * (n // 40))
        failures(work, short, "encode", ["--tokenizer", os.path.join(good, "tokenizer", "tokenizer.json")], opening, lambda n: ENCODE_STRIDE)
        lost_devices(work, short)
        choices(work, short)


main()
