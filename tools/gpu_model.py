#!/usr/bin/env python3
"""The static model of the kernels: instructions that the compiled code spends on a byte of text, and the speed that they allow.

usage: gpu_model.py [--cuobjdump FILE] BUILD/kernels/*.o

Three tables. The first: for each kernel and chip, instructions of a warp in the code that does the work, for each byte (or hash and
permutation, or word, or piece), which pipe they fill first, and the bound in GB of text a second. The second: the operations of the
tokenizer, each the sum of its kernels, for a byte and for a token, and beside the bound by instructions those by the device's memory
and by the bus. The third: what the chips have. cuobjdump and nvdisasm come with the CUDA toolkit or from the packages
nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm; nvdisasm must be on PATH or beside cuobjdump.

An instruction counts once, whether its branch is taken or not, and those of a loop as often as a warp goes round: as often as the
slowest of its 32 lanes (TEXT below, counted on real code). These are bounds by counted instructions, not measurements: caches,
latencies and launches only make things slower."""
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
# TEXT: counted on 8 MB of the development corpus, tokens of 32,000 ids
WORD_BYTES = 9.5  # of text for each word between blanks
PIECE_BYTES, TOKEN_BYTES, NEW_WORD_BYTES = 3.81, 3.54, 134  # for each piece, token, word that was not in the batch before
# loops, as the slowest of 32 lanes goes round: eight and four bytes of a piece, its ids; bytes, merges and ids of a new word, symbols that
# a merge looks at and moves; places in a table of words, of pairs
EIGHTS, FOURS, IDS, NEW_BYTES, MERGES, NEW_IDS, LOOKED_AT, MOVED, WORD_PROBES, PAIR_PROBES = 2.1, 3.6, 2.2, 21, 17.2, 5.1, 13.7, 11, 1.9, 4
PIECES_OF_32 = 13  # that begin in 32 bytes

# kernel (part of its mangled name): an instruction that only the loop at work has ("" = the whole kernel), how many units one lane does
# for each of them (0: one for each turn of the loop), the unit, bytes of text a unit stands for (permutations: 128 a word), and how often
# each loop inside goes round, in the order of their beginnings
WORK = [
    ("text_stats", r"LDG\.E\.128", 16, "byte", 1, []),
    ("comment_lines", r"LDG\.E\.128", 16, "byte", 1, []),
    ("find_patterns", r"LDS", 0, "byte that begins no pattern", 1, []),
    ("find_blanks", "", 32, "byte", 1, []),
    ("hash_words", "", 1, "word of up to 55 bytes", WORD_BYTES, []),
    ("minhashILb0", r"LDS\.128", 4, "hash and permutation", WORD_BYTES / 128, []),
    ("minhashILb1", r"LDS\.128", 4, "hash and permutation", WORD_BYTES / 128, []),
    ("find_classes", "", 32, "byte", 1, []),
    ("find_begins", "", 32, "byte", 1, []),
    ("scan_blocksI6Places", "", 4 * 32, "byte", 1, []),
    ("scan_putI6Places", "", 4 * 32, "byte", 1, [PIECES_OF_32] * 4),
    ("insert_pieces", "", 1, "piece", PIECE_BYTES, [EIGHTS, WORD_PROBES]),
    ("compare_pieces", "", 1, "piece", PIECE_BYTES, [FOURS]),
    ("scan_blocksI12First_pieces", "", 4, "piece", PIECE_BYTES, []),
    ("scan_putI12First_pieces", "", 4, "piece", PIECE_BYTES, []),
    ("scan_blocksI9New_words", "", 4, "piece", PIECE_BYTES, []),
    ("scan_putI9New_words", "", 4, "piece", PIECE_BYTES, []),
    ("merge_words", "", 1, "new word of up to 64 bytes", NEW_WORD_BYTES,
     [NEW_BYTES, MERGES, LOOKED_AT, MOVED, PAIR_PROBES, PAIR_PROBES, NEW_IDS]),
    ("scan_blocksI9Piece_idsIt", "", 4, "piece", PIECE_BYTES, []),
    ("scan_putI9Piece_idsIt", "", 4, "piece", PIECE_BYTES, [IDS] * 4),
]

# operation of the tokenizer: its kernels, and bytes of the device's memory that they read and write for a byte of text: the text, bitmaps
# of an eighth, 4 bytes a piece in each of places and slot_of, 2 bytes of table for each (cleared); what frequent words hit is in the cache
PIECE = 4 / PIECE_BYTES
PRETOK = ["find_classes", "find_begins", "scan_blocksI6Places", "scan_putI6Places"]
TABLE = PRETOK + ["insert_pieces", "compare_pieces"]
PRETOK_BYTES = (1 + 3 / 8) + (1 + 5 / 8) + (3 / 8 + PIECE)
TABLE_BYTES = PRETOK_BYTES + (2 + 1 + 2 * PIECE) + (1 + 2 * PIECE)
TOKENS = 2 / TOKEN_BYTES  # bytes of ids
# the last: bytes over the bus for a byte of text, in its busier direction
STAGES = [
    ("pretok", PRETOK, PRETOK_BYTES, max(1, PIECE)),
    ("count_words", TABLE + ["scan_blocksI12First_pieces", "scan_putI12First_pieces"], TABLE_BYTES + 3 * PIECE, 1),
    ("encode", TABLE + ["scan_blocksI9New_words", "scan_putI9New_words", "merge_words", "scan_blocksI9Piece_idsIt", "scan_putI9Piece_idsIt"],
     TABLE_BYTES + 2 * PIECE + (4 + 4) / NEW_WORD_BYTES * 9 + 3 * PIECE + TOKENS, 1),
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


def at_work(code, anchor, trips):
    """[(instruction, how often)] of the smallest loop with the anchor, without the loops inside it, or of the whole kernel; how many
    anchors there are."""
    every = loops(code)
    if anchor:
        places = [a for a, text in code if re.match(anchor, opcode(text))]
        with_anchor = [l for l in every if any(l[0] <= p <= l[1] for p in places)]
        if not with_anchor:
            return [], 0
        low, high = min(with_anchor, key=lambda l: l[1] - l[0])
        inner = [l for l in every if low <= l[0] and l[1] <= high and l != (low, high) and not any(l[0] <= p <= l[1] for p in places)]
        body = [(text, 1) for a, text in code if low <= a <= high and not any(l[0] <= a <= l[1] for l in inner)]
        return body, sum(1 for p in places if low <= p <= high)
    # Up to the exit behind the longest stretch: what follows are functions that are called, rare cases, and what warps do that
    # have come apart.
    exits = [code[0][0]] + [a for a, text in code if opcode(text) == "EXIT" and not text.startswith("@")]
    end = max(zip(exits, exits[1:]), key=lambda stretch: stretch[1] - stretch[0])[1]
    inner = sorted(l for l in every if l[1] <= end)
    if trips and len(inner) != len(trips):
        raise SystemExit(f"{len(inner)} loops, and {len(trips)} numbers of turns")
    rounds = dict(zip(inner, trips))
    body = []
    for a, text in code:
        if a <= end:
            often = 1
            for loop, turns in rounds.items():
                often *= turns if loop[0] <= a <= loop[1] else 1
            body.append((text, often))
    return body, 1


def pipes(body):
    """Clocks of a multiprocessor that each pipe is busy with a warp, and the warp's instructions."""
    count = collections.Counter()
    for text, often in body:
        count[opcode(text)] += often
    multiply = sum(n * (2 if "WIDE" in op else 1) for op, n in count.items() if op.startswith(("IMAD", "FFMA")))
    alu = sum(n for op, n in count.items() if op.startswith(("LOP3", "SHF", "IADD", "ISETP", "SEL", "LEA", "VIADD", "VIMNMX", "IMNMX",
                                                             "PRMT", "PLOP3", "MOV", "FLO", "BREV", "SGXT", "VOTE")))
    spent = sum(count.values())
    return {"integer pipe": alu / ALU_A_CLOCK, "multiply pipe": multiply / MULTIPLY_A_CLOCK, "issue": spent / ISSUE_A_CLOCK}, spent


def gigabytes(values):
    return " | ".join("%.0f" % (value / 1e9) for value in values)


def measure(code):
    """{(kernel, chip): (clocks of each pipe, instructions) for a byte of text}; prints the first table."""
    print("| kernel | unit | instructions a unit: sm_80, sm_90, sm_100 | bound by (H100) | A100 | H100 | B200, GB of text a second |")
    print("|---|---|---|---|---|---|---|")
    loads = {}
    for part, anchor, units, unit, text_bytes, trips in WORK:
        spent, speeds, bound = [], [], ""
        for chip, (arch, processors, clock, memory, _) in CHIPS.items():
            names = [name for a, name in code if a == arch and part in name]
            if len(names) != 1:
                raise SystemExit(f"{part}: {len(names)} kernels of this name for {arch}")
            body, anchors = at_work(code[arch, names[0]], anchor, trips)
            whole = units * anchors or 1
            clocks, instructions = pipes(body)
            load = {pipe: n / whole / text_bytes for pipe, n in clocks.items()}
            loads[part, chip] = load, instructions / whole / text_bytes
            worst = max(load, key=load.get)
            spent.append("%.2f" % (instructions / whole))
            speeds.append(min(processors * clock * 32 / load[worst], memory))
            bound = worst if chip == "H100" else bound
        print(f"| {part} | {unit} | {', '.join(spent)} | {bound} | {gigabytes(speeds)} |")
    return loads


def tell_stages(loads):
    print("\n| operation | instructions a byte, a token (sm_90) | A100 | H100 | B200, GB of text a second by instructions | memory traffic a byte "
          "| A100 | H100 | B200 by memory | A100 | H100 | B200 by the bus |")
    print("|---|---|" + "---|" * 10)
    for name, kernels, memory_bytes, bus_bytes in STAGES:
        by_code = []
        for chip, (_, processors, clock, _, _) in CHIPS.items():
            total = collections.Counter()
            for kernel in kernels:
                total.update(loads[kernel, chip][0])
            by_code.append(processors * clock * 32 / max(total.values()))
        a_byte = sum(loads[kernel, "H100"][1] for kernel in kernels)
        print(f"| {name} | {a_byte:.0f}, {a_byte * TOKEN_BYTES:.0f} | {gigabytes(by_code)} | {memory_bytes:.1f} | "
              f"{gigabytes(c[3] / memory_bytes for c in CHIPS.values())} | {gigabytes(c[4] / bus_bytes for c in CHIPS.values())} |")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--cuobjdump", default="cuobjdump")
    p.add_argument("objects", nargs="+")
    a = p.parse_args()
    code = {}
    for chip in CHIPS.values():
        for path in a.objects:
            for name, body in disassemble(a.cuobjdump, path, chip[0]).items():
                code[chip[0], name] = body
    tell_stages(measure(code))
    print("\n| | " + " | ".join(CHIPS) + " |\n|---|" + "---|" * len(CHIPS))
    print(f"| device memory, GB/s | {gigabytes(c[3] for c in CHIPS.values())} |")
    print(f"| bus, GB/s each way (assumed) | {gigabytes(c[4] for c in CHIPS.values())} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
