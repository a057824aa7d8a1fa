#!/usr/bin/env python3
# P5, P6, P10, P15 and P16 on the real program and the real kernel: system calls that fail one by one, full disks, limits, signals, damaged state.
#
# usage: test_faults.py SHARDMILL FAULTS_LIBRARY
import errno, os, resource, shutil, signal, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from corpus import product, write_corpus

PROGRAM, LIBRARY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])


def command(source, out, *more):
    """With many small commits, unless told otherwise: so short a run would make just one."""
    return [PROGRAM, "run", source, "-o", out, "-q", "-j", "2", "--batch-size", "64K", "--set", "filter.syntax=off", "--set",
            "tokenizer.vocab_size=600"] + (["--durability", "each"] if "--durability" not in more else []) + list(more)


def run(source, out, *more, **how):
    done = subprocess.run(command(source, out, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **how)
    return done.returncode, done.stderr.decode()


def errors_in(text):
    return [l for l in text.splitlines() if "error[" in l]


def resumes(source, out, wanted, what):
    code, text = run(source, out)
    assert code == 0, (what, code, text)
    assert product(out) == wanted, (what, "other bytes after going on")
    assert not os.path.exists(os.path.join(out, ".shardmill", "tmp")), (what, "temporary files are left")


def p05_each_call_may_fail(work, source, wanted, durability):
    """Ends with 4 or 5 and one message, or succeeds; never wrong bytes; then goes on to the same bytes."""
    runs = failed = 0
    for call, numbers, codes in (("write", (1, 2, 3, 5, 8, 13, 30, 60), (errno.ENOSPC, errno.EIO, errno.EINTR, "short")),
                                 ("fsync", (1, 4, 12, 30), (errno.EIO,)), ("renameat", (1, 3, 7, 15), (errno.ENOSPC, errno.EIO)),
                                 ("openat", (1, 2, 4, 9, 20), (errno.EMFILE, errno.ENOSPC)), ("mkdirat", (1, 3), (errno.ENOSPC,)),
                                 ("unlinkat", (1, 3), (errno.EIO,)), ("read", (1, 2, 6), (errno.EIO, errno.EINTR, "short"))):
        for at in numbers:
            for code in codes:
                out = os.path.join(work, "fault")
                shutil.rmtree(out, ignore_errors=True)
                os.mkdir(out)
                status, text = run(source, out, "--durability", durability, env=failing(call, at, code, out))
                what = (durability, call, at, code, status, text)
                if code in (errno.EINTR, "short"):
                    assert status == 0, what  # not failures: the call is made again
                assert status in (0, 4, 5), what
                if status == 0:
                    assert product(out) == wanted, what
                else:
                    failed += 1
                    assert len(errors_in(text)) == 1 and len(text) < 2000, what
                    resumes(source, out, wanted, what)
                runs += 1
    assert failed > 20, failed
    print("p05: %s: %d runs with failing calls, %d of them stopped" % (durability, runs, failed))


def p06_full_disk(work, source, wanted):
    """A small disk of its own where we may make one, and the limit on the size of files."""
    disk = os.path.join(work, "disk")
    os.mkdir(disk)
    if os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], stderr=subprocess.DEVNULL).returncode == 0:
        try:
            out = os.path.join(disk, "out")
            code, text = run(source, out)
            assert code == 4 and len(errors_in(text)) == 1 and "No space left" in text, (code, text)
            subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
            resumes(source, out, wanted, "a disk that got room")
        finally:
            subprocess.run(["umount", "-l", disk], check=True)
        print("p06: a full disk")
    else:
        print("p06: skipped the full disk: no right to mount one")
    out = os.path.join(work, "limited")
    code, text = run(source, out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)))
    assert code == 4 and len(errors_in(text)) == 1 and "File too large" in text, (code, text)
    resumes(source, out, wanted, "a limit on the size of files")


def p06_few_descriptors(work, source, wanted):
    out = os.path.join(work, "few")
    code, text = run(source, out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8)))
    assert code in (0, 3, 4, 5) and (code == 0 or len(errors_in(text)) == 1), (code, text)
    resumes(source, out, wanted, "few descriptors")


def p06_output_of_words(work, done):
    """What goes to standard output must arrive."""
    for words in (["stats", done], ["inspect", done], ["recipe"], ["devices"], ["--help"], ["help", "--man"], ["plan", os.path.join(work, "corpus.jsonl")]):
        with open("/dev/full", "w") as full:
            code = subprocess.run([PROGRAM] + words, stdout=full, stderr=subprocess.PIPE).returncode
        assert code == 4, (words, code)


def p15_signals(work, source, wanted, seconds):
    out = os.path.join(work, "hangup")  # as under nohup: SIGHUP is ignored, so it must stay ignored
    process = subprocess.Popen(command(source, out), stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    time.sleep(seconds / 3)
    process.send_signal(signal.SIGHUP)
    text = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0 and product(out) == wanted, (process.returncode, text)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        out = os.path.join(work, "twice%d" % number)
        process = subprocess.Popen(command(source, out), stderr=subprocess.PIPE)
        time.sleep(seconds / 3)
        process.send_signal(number)
        process.send_signal(number)  # at once again: stops without waiting, and still nothing is lost
        process.communicate(timeout=20)
        assert process.returncode in (-number, 0), (number, process.returncode)
        resumes(source, out, wanted, "signal %d twice" % number)


def failing(call, at, code, out):
    return dict(os.environ, LD_PRELOAD=LIBRARY, FAULT_CALL=call, FAULT_AT=str(at), FAULT_ERRNO=str(code), FAULT_BELOW=out)


def stopped_half_way(work, source):
    """A directory with some finished units, left at a certain call; its stage files."""
    out = os.path.join(work, "state")
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)
    assert run(source, out, env=failing("renameat", 20, errno.EIO, out))[0] == 4
    files = sorted(os.path.join(r, f) for r, _, fs in os.walk(os.path.join(out, ".shardmill", "stage")) for f in fs)
    assert files and not os.path.exists(os.path.join(out, "manifest.json"))
    return out, files


def p10_damaged_state(work, source, wanted):
    """Going on from a damaged state: the same bytes, or a refusal that names the file; never other bytes."""
    def change(path, how):
        data = bytearray(open(path, "rb").read())
        if how == "flip":
            data[len(data) // 2] ^= 0x40
        elif how == "cut":
            data = data[:len(data) // 2]
        else:
            data = bytearray()
        open(path, "wb").write(data)

    tried = 0
    for victim in ("journal", "stage", "plan.json"):
        for how in ("flip", "cut", "empty", "gone"):
            out, files = stopped_half_way(work, source)
            state = os.path.join(out, ".shardmill")
            if victim == "stage":
                paths = files
            else:
                paths = sorted(os.path.join(r, f) for r, _, fs in os.walk(state) for f in fs if victim in os.path.join(r, f))
            assert paths, (victim, os.listdir(state))
            for path in paths[:3]:
                os.remove(path) if how == "gone" else change(path, how)
            code, text = run(source, out, "--recheck")
            what = (victim, how, code, text)
            tried += 1
            if code == 0:
                assert product(out) == wanted, what
            else:
                assert code in (4, 7, 8) and len(errors_in(text)) == 1, what
                code, text = run(source, out, "--overwrite")
                assert code == 0 and product(out) == wanted, what + ("--overwrite", code, text)
    print("p10: %d damaged states" % tried)


def misuse(work, source, done):
    def says(words, code, *parts):
        got = subprocess.run([PROGRAM] + words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        text = got.stderr.decode()
        assert got.returncode == code and all(p in text for p in parts), (words, got.returncode, text)
    says(["run", "-", "-", "-o", os.path.join(work, "m1")], 2, "-")
    os.mkdir(os.path.join(work, "nothing"))
    for look in ("verify", "stats", "inspect"):
        says([look, os.path.join(work, "absent")], 4, "absent", "No such file")
        says([look, os.path.join(work, "nothing")], 8, "nothing", "no manifest.json")
    # A complete run that kept its stage files keeps them when the same command comes without the flag.
    out = os.path.join(work, "kept")
    assert run(source, out, "--keep-work")[0] == 0
    files = sorted(os.listdir(os.path.join(out, ".shardmill", "stage")))
    assert files
    assert run(source, out, "--keep-work")[0] == 0 and sorted(os.listdir(os.path.join(out, ".shardmill", "stage"))) == files


def main():
    with tempfile.TemporaryDirectory() as work:
        source, done = os.path.join(work, "corpus.jsonl"), os.path.join(work, "wanted")
        write_corpus(source, records=150)
        begin = time.monotonic()
        code, text = run(source, done)
        seconds = time.monotonic() - begin
        assert code == 0, text
        wanted = product(done)
        p05_each_call_may_fail(work, source, wanted, "each")
        p05_each_call_may_fail(work, source, wanted, "full")
        p06_full_disk(work, source, wanted)
        p06_few_descriptors(work, source, wanted)
        p06_output_of_words(work, done)
        p15_signals(work, source, wanted, seconds)
        p10_damaged_state(work, source, wanted)
        misuse(work, source, done)
    print("ok")


main()
