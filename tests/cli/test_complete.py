#!/usr/bin/env python3
"""Completion in a real bash and a real zsh, which sit at a terminal of their own and get keys.

usage: test_complete.py PROGRAM   (standard library only; a shell that is not here is skipped, and said so)
"""
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

PROGRAM = os.path.abspath(sys.argv[1])
END = "<END>"
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {str(seen)[:900]}")


class Shell:
    """Keys in, what the terminal shows out. A line that is asked for ends with a key that prints a mark, so nothing is guessed by time."""

    def __init__(self, name, arguments, setup, folder):
        self.name = name
        environment = {**os.environ, "TERM": "xterm", "HOME": str(folder), "ZDOTDIR": str(folder), "INPUTRC": "/dev/null", "PS1": "> ",
                       "PATH": os.path.dirname(PROGRAM) + ":" + os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder / "work")
            os.execvpe(arguments[0], arguments, environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 400, 0, 0))
        for line in setup:
            self.keys(line + "\n")
        self.keys("echo rea''dy\n")
        check(f"{name} starts", "ready" in self.until("ready"))

    def keys(self, text):
        os.write(self.fd, text.encode())

    def until(self, mark, seconds=30):
        shown, end = b"", time.monotonic() + seconds
        while time.monotonic() < end and mark.encode() not in shown:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    shown += os.read(self.fd, 65536)
                except OSError:
                    break
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|[\x07\r]", " ", shown.decode(errors="replace"))

    def complete(self, line):
        """What is offered for the line, and the line as it is then: ctrl-X ctrl-E is bound to printing it."""
        self.keys("\x15\x18\x05")  # an empty line first: the line before is drawn once more behind its mark
        self.until(END)
        self.keys(line + "\t\x18\x05")
        shown = self.until(END)
        found = re.search(re.escape("<LINE>") + r"(.*?)" + re.escape(END), shown, re.S)
        return shown.split("<LINE>")[0].split(), found[1] if found else shown

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def bash(folder):
    script = folder / "shardmill.bash"
    script.write_text(subprocess.run([PROGRAM, "help", "--bash"], capture_output=True, text=True, check=True).stdout)
    return Shell("bash", ["bash", "--norc", "--noprofile", "-i"], [
        "bind 'set show-all-if-ambiguous on'; bind 'set page-completions off'; bind 'set completion-query-items 0'; bind 'set enable-bracketed-paste off'",
        f"tell() {{ printf '<LINE>%s{END[:3]}%s' \"$READLINE_LINE\" '{END[3:]}'; }}; bind -x '\"\\C-x\\C-e\": tell'", f"source {script}"], folder)


def zsh(folder):
    (folder / "_shardmill").write_text(subprocess.run([PROGRAM, "help", "--zsh"], capture_output=True, text=True, check=True).stdout)
    return Shell("zsh", ["zsh", "-f", "-i"], [
        f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=9999; unsetopt listbeep",
        f"tell() {{ printf '<LINE>%s{END[:3]}%s' \"$BUFFER\" '{END[3:]}' }}; zle -N tell; bindkey '^X^E' tell"], folder)


def options_of(command):
    page = subprocess.run([PROGRAM, command, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)", page, re.M))


def commands():
    page = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  ([a-z]+) {2,}", page, re.M))


def look(shell):
    def offers(line, wanted, never=()):
        offered, _ = shell.complete(line)
        check(f"{shell.name}: {line!r} offers {wanted}", set(wanted) <= set(offered), offered)
        check(f"{shell.name}: {line!r} does not offer {never}", not set(never) & set(offered), offered)

    def becomes(line, wanted):
        _, after = shell.complete(line)
        check(f"{shell.name}: {line!r} becomes {wanted!r}", after.rstrip(" ,") == wanted, after)

    offers("shardmill ", commands() | {"help"}, {"corpus.jsonl"})
    offers("shardmill --", {"--help", "--version"})
    becomes("shardmill verif", "shardmill verify")
    becomes("shardmill help inspe", "shardmill help inspect")
    for command in sorted(commands()):
        offers(f"shardmill {command} --", options_of(command))
    offers("shardmill run --f", {"--field", "--format"}, {"--fim", "corpus.jsonl"})
    becomes("shardmill run --target", "shardmill run --target-tokens" + ("=" if shell.name == "zsh" else ""))
    offers("shardmill run corpus.jsonl -o outdir --se", {"--seed", "--set"})
    offers("shardmill run --format ", {"jsonl.zst", "megatron"}, {"corpus.jsonl"})
    offers("shardmill run --format=", {"jsonl.zst", "megatron"}, {"corpus.jsonl"})
    becomes("shardmill run --format jsonl,meg", "shardmill run --format jsonl,megatron")
    becomes("shardmill run --format=jsonl,meg", "shardmill run --format=jsonl,megatron")
    offers("shardmill run --device c", {"cpu", "cuda"})
    becomes("shardmill run --progress=js", "shardmill run --progress=json")
    offers("shardmill run --recipe ", {"default", "guide", "corpus.jsonl"}, {"_alternative:7:", "option:"})
    becomes("shardmill run --recipe gui", "shardmill run --recipe guide")
    becomes("shardmill run --recipe cor", "shardmill run --recipe corpus.jsonl")
    becomes("shardmill run cor", "shardmill run corpus.jsonl")
    becomes("shardmill run two", "shardmill run two\\ words.jsonl")
    becomes("shardmill run two\\ w", "shardmill run two\\ words.jsonl")
    becomes("shardmill explain cor", "shardmill explain corpus.jsonl")
    becomes("shardmill run -o ", "shardmill run -o outdir/")  # the only directory
    becomes("shardmill run --output=o", "shardmill run --output=outdir/")
    becomes("shardmill run --tokenizer cor", "shardmill run --tokenizer corpus.jsonl")
    becomes("shardmill run --memory co", "shardmill run --memory co")  # a number, and no file


def main():
    seen = 0
    for start in (bash, zsh):
        if shutil.which(start.__name__) is None:
            print(f"skipped: {start.__name__} is not here")
            continue
        folder = Path(tempfile.mkdtemp(prefix="mill-complete-"))
        (folder / "work" / "outdir").mkdir(parents=True)
        for name in ("corpus.jsonl", "two words.jsonl"):
            (folder / "work" / name).write_text("")
        shell = start(folder)
        try:
            look(shell)
        finally:
            shell.close()
            shutil.rmtree(folder, ignore_errors=True)
        seen += 1
    print(f"completion in {seen} shells: {len(failures)} failures")
    sys.exit(1 if failures else 0 if seen else 77)


main()
