#!/usr/bin/env python3
"""Checks what ptxas said of each kernel against kernels/registers.tsv: no spilled byte, registers and shared memory as written there.

usage: kernel_table.py TABLE LOG... [--write]   (exit code 1 and one line for each difference; --write makes the table)
"""
import re
import subprocess
import sys
from pathlib import Path

HEAD = "# registers, bytes of shared memory and spilled bytes of each kernel, as ptxas tells; written by tools/kernel_table.py --write\n"


def read_log(text):
    """{(kernel, arch): (registers, shared, spilled)} of one compiler log."""
    rows, name = {}, None
    spilled = 0
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for '(sm_\d+)'", line):
            name, spilled = match.groups(), 0
        elif match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if name is None and (int(match[1]) or int(match[2])):
                raise SystemExit(f"a device function spills: {line.strip()}")
            spilled = int(match[1]) + int(match[2])
        elif (match := re.search(r"Used (\d+) registers", line)) and name:
            shared = re.search(r"(\d+) bytes smem", line)
            rows[name] = (int(match[1]), int(shared[1]) if shared else 0, spilled)
            name = None
    return rows


def plain(names):
    """Mangled -> readable, without parameters."""
    out = subprocess.run(["c++filt", "-p", *names], capture_output=True, text=True, check=True).stdout.split("\n")
    return dict(zip(names, (line.strip().removeprefix("void ") for line in out)))


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    table, logs = Path(arguments[0]), arguments[1:]
    rows = {}
    for log in logs:
        rows.update(read_log(Path(log).read_text()))
    readable = plain(sorted({name for name, _ in rows}))
    lines = sorted(f"{readable[name]}\t{arch}\t{r}\t{s}\t{spilled}" for (name, arch), (r, s, spilled) in rows.items())
    if "--write" in sys.argv:
        table.write_text(HEAD + "kernel\tchip\tregisters\tshared\tspilled\n" + "\n".join(lines) + "\n")
    written = [line for line in table.read_text().splitlines() if not line.startswith("#")][1:]
    faults = [f"not in the table: {line}" for line in lines if line not in written]
    faults += [f"not what ptxas says: {line}" for line in written if line not in lines]
    faults += [f"spills: {line}" for line in lines if not line.endswith("\t0")]
    faults += [f"more than 64 registers: {line}" for line in lines if int(line.split("\t")[2]) > 64]
    print("\n".join(faults) if faults else f"{len(lines)} rows agree")
    return 1 if faults or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
