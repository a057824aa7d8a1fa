#!/usr/bin/env python3
"""FIM and encode equal the source guide's Python, and rows of the default way hold their promises on real documents.

usage: agree_fim.py FIM_DUMP [--documents N]
1. The guide's transform with random.Random(seed): every text equal.  2. The guide's rows (one string, chunks, short ones
dropped) equal those of Hugging Face's tokenizer on that text.  3. Rows of every cut kind at contexts 128, 512 and 4096: within
the context, restore their text, cover every document (checked by the tool).
Documents: the development corpus (SHARDMILL_SHARED, or ../shared beside the repository). Exit 77 without it or a package.
"""
import argparse
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

SPANS = [f'<|fim_span_{i}|>' for i in range(4)] + ['<|fim_span_end|>']
HOSTILE = ['', '\n', '\n\n', 'a', 'a\n', 'a\nb', 'a\nb\n', '\n\n\n\n', 'x<|fim_middle|>y\n\n<|endoftext|>\n', 'é\r\n中\r\n😀\r\n',
           '<|lang_python|>' * 3 + '\n' * 50, ' ' * 3000 + '\n' + '\t' * 3000 + '\nx\n', 'é' * 5000, '😀' * 3000, '中\n' * 3000]


def skip(why):
    print('skipped:', why)
    sys.exit(77)


def shared():
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.environ.get('SHARDMILL_SHARED', os.path.join(here, '..', '..', '..', 'shared'))
    if not os.path.exists(os.path.join(root, 'corpus', 'guide.jsonl.zst')):
        skip('no corpus; set SHARDMILL_SHARED')
    return root


def documents(root, wanted, names):
    """(language, text) of every k-th record; names: the data's language names -> canonical ones"""
    import zstandard
    lines = []
    for name in ('guide.jsonl.zst', 'code.jsonl.zst'):
        with open(os.path.join(root, 'corpus', name), 'rb') as f:
            lines += zstandard.ZstdDecompressor().stream_reader(f).read().split(b'\n')[:-1]
    out = []
    for line in lines[::max(1, len(lines) // wanted)]:
        d = json.loads(line)
        language = d.get('language') or d.get('lang') or ''
        out.append((names.get(language, language.lower()), d['content'].encode('utf-8', 'replace').decode()))
    return out + [('python', text) for text in HOSTILE]


def pack(docs):
    out = bytearray()
    for field in (f.encode() for d in docs for f in d):
        out += struct.pack('<Q', len(field)) + field
    return bytes(out)


def run(tool, args, data):
    done = subprocess.run([tool, *map(str, args)], input=data, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f'{args}: exit {done.returncode}')
    return done.stdout


def check_texts(tool, docs, data, guide, seed):
    out, rng = io.BytesIO(run(tool, ['text', seed], data)), random.Random(seed)
    transformed = 0
    for i, (_, code) in enumerate(docs):
        want = guide.fim(code, rng)
        got = out.read(struct.unpack('<Q', out.read(8))[0]).decode()
        if got != want:
            sys.exit(f'seed {seed}: document {i} differs')
        transformed += want != code
    print(f'seed {seed}: {len(docs)} texts equal, {transformed} transformed')


def train(docs, specials, alphabet, path):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=4000, special_tokens=specials, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [])
    tok.train_from_iterator((code for _, code in docs[::4]), trainer)
    tok.save(path)
    return tok


def check_guide_rows(tool, docs, data, guide, tok, path, specials, seed, context, least):
    rng, want, got = random.Random(seed), [], []
    for i, (language, code) in enumerate(docs):
        tag = f'<|lang_{language}|>' if f'<|lang_{language}|>' in specials else ''
        ids = tok.encode(tag + guide.fim(code, rng) + '<|endoftext|>').ids
        for at in range(0, len(ids), context):
            if len(ids[at:at + context]) >= least:
                want.append((i, ids[at:at + context]))
    out = run(tool, ['guide', path, seed, context, least], data)
    at = 0
    while at < len(out):
        record, count = struct.unpack_from('<II', out, at)
        got.append((record, list(struct.unpack_from(f'<{count}I', out, at + 8))))
        at += 8 + 4 * count
    if got != want:
        first = next((i for i, pair in enumerate(zip(got, want)) if pair[0] != pair[1]), min(len(got), len(want)))
        print('got ', got[first][0], docs[got[first][0]][0], tok.decode(got[first][1][:40]) if first < len(got) else None)
        print('want', want[first][0], tok.decode(want[first][1][:40]) if first < len(want) else None)
        sys.exit(f'context {context}: guide row {first} differs ({len(got)} rows, {len(want)} wanted)')
    print(f'context {context}, at least {least}: {len(got)} guide rows equal')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('tool')
    p.add_argument('--documents', type=int, default=1200)
    a = p.parse_args()
    root = shared()
    sys.path.insert(0, os.path.join(root, 'peers'))
    try:
        import common
        import guide_pipeline as guide
        import tokenizers  # noqa: F401
        docs = documents(root, a.documents, common.EXTRA_LANG)
    except ImportError as missing:
        skip(missing)
    data = pack(docs)
    for seed in (0, 1, 2 ** 40 + 7):
        check_texts(a.tool, docs, data, guide, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'tokenizer.json')
        tok = train(docs, common.SPECIALS, False, path)
        for context, least in ((4096, 100), (64, 10)):
            check_guide_rows(a.tool, docs, data, guide, tok, path, common.SPECIALS, 5, context, least)
        train(docs, common.SPECIALS + SPANS, True, path)
        for cut in ('char', 'line', 'token', 'block', 'line-completion', 'multi'):
            for context in (128, 512, 4096):
                print(f'{cut}, context {context}:', run(a.tool, ['check', path, cut, context], data).decode().strip())


if __name__ == '__main__':
    main()
