#!/usr/bin/env python3
# P1, P11, P12, P15, P16: the real program is killed at random moments, stopped, locked out, and asked to mix plans.
import fcntl, os, random, shutil, signal, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from corpus import product, write_corpus

PROGRAM = os.path.abspath(sys.argv[1])
KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 36


def command(source, out, *more):
    return [PROGRAM, "run", source, "-o", out, "-q", "-j", "2", "--batch-size", "16K", "--set", "filter.syntax=off",
            "--set", "tokenizer.vocab_size=1500"] + list(more)


def run(source, out, *more):
    done = subprocess.run(command(source, out, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stderr.decode()


def p01_killed_at_any_moment(work, source, wanted, seconds):
    rng, kills, finished = random.Random(7), 0, 0
    while kills < KILLS:
        out = os.path.join(work, "killed")
        shutil.rmtree(out, ignore_errors=True)
        for _ in range(6):
            # Half of the attempts commit each unit, so that the next one finds more than a beginning.
            process = subprocess.Popen(command(source, out, "--durability", rng.choice(("each", "full"))), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.0, seconds))
            process.kill()
            if process.wait() == -signal.SIGKILL:
                kills += 1
            else:
                finished += 1
        code, text = run(source, out)
        assert code == 0, text
        assert product(out) == wanted, "other bytes after %d kills" % kills
        assert not os.path.exists(os.path.join(out, ".shardmill", "tmp")), "temporary files are left"
    print("p01: %d kills, the same bytes" % kills)


def p15_stops_on_request(work, source, wanted, seconds):
    """At twelve moments of a run, so that every long stage is met."""
    for turn in range(12):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        out = os.path.join(work, "stopped")
        shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen(command(source, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(seconds * (turn + 1) / 13)
        process.send_signal(number)
        text = process.communicate(timeout=5)[1].decode()
        assert process.returncode in (-number, 0), (turn, process.returncode)
        if process.returncode != 0 and os.path.isdir(out):  # else it had not begun to watch for signals
            assert "run the same command again" in text, (turn, seconds, text)
        code, text = run(source, out)
        assert code == 0 and product(out) == wanted, text


def p11_one_writer(work, source):
    out = os.path.join(work, "locked")
    os.makedirs(os.path.join(out, ".shardmill"))
    with open(os.path.join(out, ".shardmill", "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, text = run(source, out)
        assert code == 6, (code, text)
    code, text = run(source, out)
    assert code == 0, text


def p12_no_mixtures(work, source):
    out = os.path.join(work, "plan")
    assert run(source, out)[0] == 0
    for more, word in ((["--seed", "9"], "seed"), (["--set", "filter.min_lines=6"], "min_lines"), (["--languages", "go"], "languages")):
        code, text = run(source, out, *more)
        assert code == 7 and word in text, (more, code, text)
    data = bytearray(open(source, "rb").read())
    at = data.index(b"return", len(data) // 2)
    data[at:at + 6] = b"RETURN"
    changed = os.path.join(work, "other", "corpus.jsonl")
    os.makedirs(os.path.dirname(changed))
    open(changed, "wb").write(data)
    code, text = run(changed, out)
    assert code == 7 and "fingerprint" in text, (code, text)


def p16_idempotent(work, source, wanted):
    out = os.path.join(work, "again")
    assert run(source, out)[0] == 0
    before = {p: os.stat(os.path.join(out, p)).st_mtime_ns for p in product(out)}
    assert run(source, out)[0] == 0
    assert before == {p: os.stat(os.path.join(out, p)).st_mtime_ns for p in product(out)}
    foreign = os.path.join(out, "mine.txt")
    open(foreign, "w").write("keep")
    assert run(source, out, "--overwrite")[0] == 0
    assert open(foreign).read() == "keep"
    os.remove(foreign)
    assert product(out) == wanted
    other = os.path.join(work, "foreign")
    os.makedirs(other)
    open(os.path.join(other, "note"), "w").write("x")
    assert run(source, other)[0] == 7 and os.listdir(other) == ["note"]


def p05_errors_are_told(work, source):
    assert run(os.path.join(work, "absent.jsonl"), os.path.join(work, "e1"))[0] == 3
    code, text = run(source, os.path.join(source, "below"))
    assert code == 4 and "corpus.jsonl" in text, (code, text)


def main():
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "corpus.jsonl")
        write_corpus(source)
        begin = time.monotonic()
        code, text = run(source, os.path.join(work, "wanted"))
        seconds = time.monotonic() - begin
        assert code == 0, text
        wanted = product(os.path.join(work, "wanted"))
        p01_killed_at_any_moment(work, source, wanted, seconds)
        p15_stops_on_request(work, source, wanted, seconds)
        p11_one_writer(work, source)
        p12_no_mixtures(work, source)
        p16_idempotent(work, source, wanted)
        p05_errors_are_told(work, source)
    print("ok")


main()
