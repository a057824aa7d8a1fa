#!/usr/bin/env python3
"""MinHash parameters, bands, signatures and kept sets equal the datasketch package's, bit for bit.

  agree_datasketch.py MINHASH_DUMP
Exit 77: datasketch 2.x, zstandard or the corpus are not here. SHARDMILL_SHARED names the folder that holds corpus/.
"""
import io
import json
import os
import pathlib
import struct
import subprocess
import sys

SIGNED = 2000      # corpus texts signed by both
JUDGED = 3000      # corpus texts judged by the guide's class
KEPT = {'affine32': 23644, 'legacy': 23689}  # of the whole corpus at 0.85, as the guide's class keeps

try:
    import numpy as np
    import zstandard
    import datasketch
    from datasketch import MinHash, MinHashLSH
    MinHash(num_perm=2, scheme='affine32')
except (ImportError, TypeError) as missing:
    print('skipped: needs numpy, zstandard and datasketch >= 2.0:', missing)
    sys.exit(77)

shared = pathlib.Path(os.environ.get('SHARDMILL_SHARED') or pathlib.Path(__file__).resolve().parents[3] / 'shared')
corpus = shared / 'corpus' / 'guide.jsonl.zst'
if not corpus.exists():
    print('skipped: no corpus at', corpus)
    sys.exit(77)
tool = sys.argv[1]

HOSTILE = ['', ' ', '\n\t\x0b\x0c\r', 'one', 'one one one', '\x1c\x1d\x1e\x1fa\x1fb', 'a\x85b\xa0c', '\u1680\u2000x\u200ay',
           '\u2028p\u2029q\u202fr\u205fs\u3000', 'zero\u200bwidth\ufeffjoin', 'x' * 15, 'x' * 16, 'x' * 17, 'x' * 48, 'x' * 49,
           'x' * 55, 'x' * 56, 'x' * 63, 'x' * 64, 'x' * 65, 'x' * 119, 'x' * 120, 'x' * 100000, '\0', '\0 \0\0 \0\0\0',
           '\U0001f600 \u4e2d\u6587 \u00e9', 'a ' * 5000, ' '.join(str(i) for i in range(20000))]


def ask(*args, texts=()):
    framed = b''.join(struct.pack('<Q', len(t)) + t for t in texts)
    return subprocess.run([tool, *map(str, args)], input=framed, stdout=subprocess.PIPE, check=True).stdout


def signature(base, text):
    m = base.copy()
    m.update_batch([t.encode() for t in text.split()])
    return m


def guide_keeps(base, texts, threshold):
    lsh = MinHashLSH(threshold=threshold, num_perm=128)
    kept = bytearray()
    for i, text in enumerate(texts):
        m = signature(base, text)
        duplicate = bool(lsh.query(m))
        if not duplicate:
            lsh.insert(str(i), m)
        kept.append(not duplicate)
    return bytes(kept)


def check(name, good):
    print('ok  ' if good else 'FAIL', name, flush=True)
    if not good:
        sys.exit(1)


def main():
    lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(corpus.open('rb')), encoding='utf-8')
    texts = [json.loads(line)['content'] for line in lines]
    # A lone surrogate cannot be encoded by the guide either; the product reads U+FFFD there.
    texts = [t.encode('utf-8', 'replace').decode() if any('\ud800' <= c <= '\udfff' for c in t) else t for t in texts]
    some = HOSTILE + texts[::len(texts) // SIGNED][:SIGNED]
    encoded = [t.encode() for t in some]

    for scheme in 'affine32', 'legacy':
        for n, seed in (128, 1), (2, 1), (37, 1), (256, 12345):
            a, b = MinHash(num_perm=n, seed=seed, scheme=scheme).permutations
            ours = [tuple(map(int, line.split())) for line in ask('perms', scheme, n, seed).splitlines()]
            check(f'{scheme}: {n} permutations of seed {seed}', ours == list(zip(map(int, a), map(int, b))))

    for n, steps in (128, range(500, 10000, 500)), (128, range(5000, 9700, 100)), (64, range(3000, 9000, 500)), (256, (5000, 8500)):
        ours = [tuple(map(int, line.split())) for line in ask('params', n, *steps).splitlines()]
        theirs = [(l.b, l.r) for l in (MinHashLSH(threshold=t / 10000, num_perm=n) for t in steps)]
        check(f'bands and rows for {n} permutations, {len(theirs)} thresholds', ours == theirs)

    for scheme in 'affine32', 'legacy':
        for n, count in (128, len(some)), (50, 200):
            base = MinHash(num_perm=n, scheme=scheme)
            theirs = np.array([signature(base, t).hashvalues for t in some[:count]], dtype=np.uint64)
            for backend in 'cpu', 'ref':
                ours = np.frombuffer(ask('sign', backend, scheme, n, texts=encoded[:count]), dtype='<u4').reshape(count, n)
                check(f'{scheme}: {count} signatures of {n} permutations, backend {backend}', np.array_equal(ours, theirs))

    for scheme in 'affine32', 'legacy':
        base = MinHash(num_perm=128, scheme=scheme)
        part = texts[:JUDGED]
        for threshold in 0.85, 0.5:
            ours = ask('dedup', scheme, round(threshold * 10000), texts=[t.encode() for t in part])
            check(f'{scheme}: the guide keeps the same of {JUDGED} texts at {threshold}', ours == guide_keeps(base, part, threshold))
        kept = sum(ask('dedup', scheme, 8500, texts=[t.encode() for t in texts]))
        check(f'{scheme}: {kept} of {len(texts)} texts kept', kept == KEPT[scheme])


main()
