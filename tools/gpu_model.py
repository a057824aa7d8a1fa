#!/usr/bin/env python3
"""The static model of the kernels: instructions that the compiled code spends on a byte of text, and the speed that they allow.

usage: gpu_model.py [--cuobjdump FILE] BUILD/kernels/*.o

For each kernel and chip: instructions of a warp in the loop that does the work, for each byte (or hash and permutation, or word), which
pipe they fill first, and the bound in GB of text a second; then what memory and the bus allow. cuobjdump and nvdisasm come with the CUDA
toolkit or from the packages nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm; nvdisasm must be on PATH or beside cuobjdump.

These are bounds by counted instructions, not measurements: caches, latencies and launches only make things slower."""
import argparse
import collections
import os
import re
import subprocess
import sys

# name: code, multiprocessors, clock in Hz, device memory in bytes a second, bus in bytes a second (data sheets; the bus is assumed)
CHIPS = {"A100": ("sm_80", 108, 1.41e9, 2.04e12, 25e9), "H100": ("sm_90", 132, 1.755e9, 3.35e12, 55e9),
         "B200": ("sm_100", 148, 1.85e9, 8.0e12, 55e9)}
ALU_A_CLOCK, MULTIPLY_A_CLOCK, ISSUE_A_CLOCK = 2, 2, 4  # instructions of warps a multiprocessor starts
WORD_BYTES = 9.5  # of text for each word between blanks, in source code

# kernel (part of its mangled name): an instruction that only the loop at work has ("" = the whole kernel), how many units one lane does
# for each of them (0: one for each turn of the loop), the unit, and bytes of text a unit stands for (permutations: 128 a word)
WORK = [
    ("text_stats", r"LDG\.E\.128", 16, "byte", 1),
    ("comment_lines", r"LDG\.E\.128", 16, "byte", 1),
    ("find_patterns", r"LDS", 0, "byte that begins no pattern", 1),
    ("find_blanks", "", 32, "byte", 1),
    ("hash_words", "", 1, "word of up to 55 bytes", WORD_BYTES),
    ("minhashILb0", r"LDS\.128", 4, "hash and permutation", WORD_BYTES / 128),
    ("minhashILb1", r"LDS\.128", 4, "hash and permutation", WORD_BYTES / 128),
    ("find_classes", "", 32, "byte", 1),
    ("find_begins", "", 32, "byte", 1),
]


def disassemble(tool, path, arch):
    """{kernel: [(address, instruction)]}"""
    env = dict(os.environ, PATH=os.path.dirname(os.path.abspath(tool)) + os.pathsep + os.environ["PATH"])
    text = subprocess.run([tool, "-sass", "-arch", arch, path], env=env, capture_output=True, text=True, check=True).stdout
    kernels, name = {}, None
    for line in text.splitlines():
        if match := re.search(r"Function : (\S+)", line):
            name = match[1]
            kernels[name] = []
        elif (match := re.match(r"\s+/\*([0-9a-f]+)\*/\s+(.*?);", line)) and name:
            kernels[name].append((int(match[1], 16), match[2].strip()))
    return kernels


def loops(code):
    """[(first address, last address)] of every backward branch but the one to itself at a kernel's end."""
    found = []
    for address, text in code:
        match = re.search(r"\bBRA(?:\.\w+)*\s+(?:!?U?P\d,?\s*)*(?:`\()?(0x[0-9a-f]+)", text)
        if match and int(match[1], 16) < address:
            found.append((int(match[1], 16), address))
    return found


def opcode(text):
    return re.sub(r"^@!?U?P\d\s+", "", text).split()[0]


def at_work(code, anchor):
    """The instructions of the smallest loop with the anchor, without the loops inside it; how many anchors."""
    every = loops(code)
    if anchor:
        places = [a for a, text in code if re.match(anchor, opcode(text))]
        with_anchor = [l for l in every if any(l[0] <= p <= l[1] for p in places)]
        if not with_anchor:
            return [], 0
        low, high = min(with_anchor, key=lambda l: l[1] - l[0])
    else:
        end = next((a for a, text in code if opcode(text) == "EXIT" and not text.startswith("@")), code[-1][0])
        low, high, places = code[0][0], end, []
    inner = [l for l in every if low <= l[0] and l[1] <= high and (l[0], l[1]) != (low, high)
             and not any(l[0] <= p <= l[1] for p in places)]
    if not anchor:
        inner = []
    body = [text for a, text in code if low <= a <= high and not any(l[0] <= a <= l[1] for l in inner)]
    return body, sum(1 for p in places if low <= p <= high) or 1


def pipes(body):
    count = collections.Counter(opcode(text) for text in body)
    multiply = sum(n * (2 if "WIDE" in op else 1) for op, n in count.items() if op.startswith(("IMAD", "FFMA")))
    alu = sum(n for op, n in count.items() if op.startswith(("LOP3", "SHF", "IADD", "ISETP", "SEL", "LEA", "VIADD", "VIMNMX", "IMNMX",
                                                             "PRMT", "PLOP3", "MOV", "FLO", "BREV", "SGXT", "VOTE")))
    return {"integer pipe": alu / ALU_A_CLOCK, "multiply pipe": multiply / MULTIPLY_A_CLOCK, "issue": len(body) / ISSUE_A_CLOCK}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--cuobjdump", default="cuobjdump")
    p.add_argument("objects", nargs="+")
    a = p.parse_args()
    print("| kernel | unit | instructions a unit: sm_80, sm_90, sm_100 | bound by (H100) | A100 | H100 | B200, GB of text a second |")
    print("|---|---|---|---|---|---|---|")
    seen = 0
    code = {}
    for chip in CHIPS.values():
        for path in a.objects:
            for name, body in disassemble(a.cuobjdump, path, chip[0]).items():
                code[chip[0], name] = body
    for part, anchor, units, unit, text_bytes in WORK:
        names = sorted({name for _, name in code if part in name})
        for name in names:
            spent, speeds, bound = [], [], ""
            for chip, (arch, processors, clock, memory, _) in CHIPS.items():
                body, anchors = at_work(code[arch, name], anchor)
                if not body:
                    continue
                whole = units * anchors or 1
                load = {pipe: clocks / whole for pipe, clocks in pipes(body).items()}
                worst = max(load, key=load.get)
                spent.append("%.2f" % (len(body) / whole))
                speeds.append("%.0f" % (min(processors * clock * 32 / load[worst] * text_bytes, memory) / 1e9))
                bound = worst if chip == "H100" else bound
            if spent:
                seen += 1
                print("| %s | %s | %s | %s | %s |" % (part, unit, ", ".join(spent), bound, " | ".join(speeds)))
    print("\n| | " + " | ".join(CHIPS) + " |\n|---|" + "---|" * len(CHIPS))
    print("| device memory, GB/s | " + " | ".join("%.0f" % (c[3] / 1e9) for c in CHIPS.values()) + " |")
    print("| bus, GB/s each way (assumed) | " + " | ".join("%.0f" % (c[4] / 1e9) for c in CHIPS.values()) + " |")
    return 0 if seen else 1


if __name__ == "__main__":
    sys.exit(main())
