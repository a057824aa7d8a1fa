#!/usr/bin/env python3
"""Training, encoding and files equal the tokenizers package.

usage: agree_tokenizers.py BPE_TOOL [--documents N] [--whole]
--whole: once more over all documents of the development corpus (SHARDMILL_SHARED, or ../shared beside the repository) with a
vocabulary of 32,000; takes minutes. Exit 77 without the packages or the corpus.
"""
import argparse
import io
import itertools
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

try:
    import zstandard
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
except ImportError as e:
    print(f'skipped: {e}')
    sys.exit(77)

SPECIALS = ['<|endoftext|>', '<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>', '<|file_separator|>', '<|lang_python|>']
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
KINDS = ('GPT-2', 'digits', 'cl100k', 'Qwen2')


def pretok(kind):
    if kind == 0:
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == 1:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pretok(0)])
    pattern = HEAD + (r'\p{N}{1,3}' if kind == 2 else r'\p{N}') + TAIL
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), 'isolated'),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def corpus():
    here = os.path.dirname(os.path.abspath(__file__))
    shared = os.environ.get('SHARDMILL_SHARED') or os.path.join(here, '..', '..', '..', 'shared')
    path = os.path.join(shared, 'corpus', 'code.jsonl.zst')
    if not os.path.exists(path):
        print('skipped: no corpus (SHARDMILL_SHARED)')
        sys.exit(77)
    with open(path, 'rb') as f:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(f), encoding='utf-8', newline='\n'):
            yield json.loads(line)['content']


def frames(texts):
    return b''.join(struct.pack('<I', len(b)) + b for b in (t.encode() for t in texts))


def arrays(data):
    at, out = 0, []
    while at < len(data):
        n = struct.unpack_from('<I', data, at)[0]
        out.append(list(struct.unpack_from(f'<{n}I', data, at + 4)))
        at += 4 + 4 * n
    return out


class Agree:
    def __init__(self, tool, work):
        self.tool, self.work, self.bad, self.talk = tool, work, 0, ''

    def run(self, *args, texts=(), fail=False, env=None):
        p = subprocess.run([self.tool, *map(str, args)], input=frames(texts), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=dict(os.environ, **(env or {})))
        self.talk = p.stderr.decode()
        if (p.returncode != 0) != fail:
            print(args, p.returncode, self.talk)
            self.bad += 1
        return p.stdout

    def check(self, good, what):
        if not good:
            self.bad += 1
            print('DIFFERS:', what)

    def train(self, texts, vocab, minimum=2, longest=0, full=False, decoder=False, specials=SPECIALS, kind=0, what='', peer=None,
              halves=False):
        """Both train; the files must be equal byte for byte. Returns the package's tokenizer."""
        if peer is None:
            peer = Tokenizer(models.BPE())
            peer.pre_tokenizer = pretok(kind)
            if decoder:
                peer.decoder = decoders.ByteLevel()
            more = {'max_token_length': longest} if longest else {}
            alphabet = pre_tokenizers.ByteLevel.alphabet() if full else []
            peer.train_from_iterator(texts, trainers.BpeTrainer(
                vocab_size=vocab, min_frequency=minimum, special_tokens=specials, show_progress=False, initial_alphabet=alphabet,
                **more))
        path = os.path.join(self.work, 'peer.json')
        peer.save(path)
        self.run('train', kind, vocab, minimum, longest, int(full), int(decoder), self.work, *specials, texts=texts,
                 env={'BPE_TOOL_HALVES': '1'} if halves else {})
        ours = os.path.join(self.work, 'tokenizer.json')
        same = open(path, 'rb').read() == open(ours, 'rb').read()
        self.check(same, f'tokenizer.json {what} vocab {vocab} min {minimum} longest {longest} full {full} kind {kind}')
        if not same:
            a, b = (json.load(open(p))['model'] for p in (path, ours))
            first = next((i for i, (x, y) in enumerate(zip(a['merges'], b['merges'])) if x != y), None)
            print('  merges', len(a['merges']), len(b['merges']), 'first difference', first)
        return peer

    def encode(self, peer, texts, specials, what):
        path = os.path.join(self.work, 'encode.json')
        peer.save(path)
        peer.encode_special_tokens = not specials
        wanted = (e.ids for e in peer.encode_batch(texts, add_special_tokens=False))
        got = arrays(self.run('encode', path, int(specials), texts=texts))
        self.check(len(got) == len(texts), f'{what}: {len(got)} answers to {len(texts)} texts')
        wrong = [i for i, (a, b) in enumerate(zip(wanted, got)) if a != b]
        self.check(not wrong, f'encode {what} specials {specials}: {len(wrong)} texts, first {wrong[:1]} '
                              f'{[texts[i][:200] for i in wrong[:1]]}')


def hostile(rng, count=300):
    fixed = ["\t'typeof", "\n's", " 's", "''s", "'", "' ", "'r", "'re", "'rE", "it's I'LL we\u2019ve 'ſ 'S'T", 'a\u00a0b', '\U0001f600', ' \U0001f600',
             'e\u0301\u0323', ' ' * 100000, ' ' * 99999 + 'x', '\n' * 5000, '\r\n' * 3000, 'a\r\n  b\r\n\r\n\tc', '\r', '\r\r\n ', '\x00\x01\x7f\x85',
             '\u2028\u2029\u3000 x', '\ufeffint', '\ufeff\ufeff', '١٢٣ ४५ Ⅻ ² 12345678', '\U00011de0\U00016ff4 1\U00011de5a', 'x' * 3000, 'ab' * 2000, '',
             'a' * 49, 'a' * 48, 'a1' * 24, '.foo(bar)..baz', '\u00adx', 'ﬆ', "don'T 'Ll 'vE", ' \n \n x', 'x \t\n', '\u200b \u180e',
             '中文字符串 测试', 'é' * 300, '=' * 500, '<|endoftext|>', '<|endoftext|><|fim_prefix|>x<|fim_suffix|', '<|<|endoftext|>',
             'a<|endoftext|> \n<|endoftext|>\n  b', '<|fim_', '<|lang_python|>def f():', "<|endoftext|>'s", ' <|endoftext|> ']
    alphabets = ["'st remvdl \n", ' \n\t\r\x0b', "aZ '1\n", "é中'ſ٣\u00a0\u3000 s\n", ''.join(chr(c) for c in range(128)),
                 '\u0301\u0323\u1100\u1161\u11a8e\u212ba \u0344', '<|endoftext>fim_pr ']
    for _ in range(count):
        fixed.append(''.join(rng.choice(rng.choice(alphabets)) for _ in range(rng.choice((3, 8, 20, 60, 200)))))
    for _ in range(count):
        fixed.append(''.join(chr(rng.choice((rng.randrange(0x80), rng.randrange(0xd800), rng.randrange(0xe000, 0x110000)))) for _ in range(rng.randrange(60))))
    return fixed


def training(a, documents, rng):
    lines = [line for d in documents for line in io.StringIO(d, newline='\n')]
    for texts, unit in ((documents, 'doc'), (lines, 'line')):
        a.train(texts, 8000, what=unit)
    a.train(documents, 3000, 0, full=True, decoder=True, specials=[], what='no specials', halves=True)
    for variant in ((100, 2, 0), (300, 50, 0), (9000, 500, 0), (2000, 1, 5), (2000, 1, 2), (2000, 1, 3), (1, 0, 0)):
        a.train(documents[:80], *variant)
    for kind in (1, 2, 3):
        a.train(documents[:150], 3000, kind=kind, full=True)
    for number in range(300):
        letters = rng.choice(('a', 'ab', 'abc', 'abcd', 'aé', 'a\n'))
        texts = [''.join(rng.choice(letters) for _ in range(rng.randrange(1, rng.choice((4, 12, 60))))) for _ in range(rng.randrange(1, 12))]
        specials = [''.join(rng.choice('abcĊ') for _ in range(rng.randrange(1, 4))) for _ in range(rng.randrange(4))] if number % 3 == 0 else []
        a.train(texts, rng.choice((5, 12, 40, 300)), rng.choice((0, 1, 2, 3)), rng.choice((0, 0, 2, 3, 5, 8)), number % 2 == 0, specials=specials,
                what=f'stress {number} {texts[:3]} {specials}')


def encoding(a, documents, rng):
    texts = documents + hostile(rng)
    peers = {}
    for kind in range(4):
        peer = Tokenizer(models.BPE())
        peer.pre_tokenizer = pretok(kind)
        peer.train_from_iterator(documents[:300], trainers.BpeTrainer(vocab_size=6000, special_tokens=SPECIALS, show_progress=False,
                                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if kind else []))
        peers[kind] = peer
        for specials in (True, False) if kind == 0 else (True,):
            a.encode(peer, texts if kind == 0 else texts[-1500:], specials, KINDS[kind])
        cuts = arrays(a.run('cut', kind, texts=texts[-1000:]))
        for text, ends in zip(texts[-1000:], cuts):
            data, offset, wanted = text.encode(), 0, []
            pieces = peer.pre_tokenizer.pre_tokenize_str(text)
            starts = list(itertools.accumulate((len(c.encode()) for c in text), initial=0))
            wanted = [starts[end] for _, (_, end) in pieces]
            if wanted != ends:
                a.check(False, f'cut {KINDS[kind]} {text[:80]!r}')
                break
    return peers


def variants(a, peers, rng):
    """ignore_merges, NFC, plain added tokens, missing bytes, string merges."""
    texts = hostile(rng)
    spec = json.loads(peers[2].to_str())
    spec['model']['ignore_merges'] = True
    spec['model']['vocab'].update({'Ġqzxj': len(spec['model']['vocab']), 'zzzzzzzzzzzzzzzzzzzzzqq': len(spec['model']['vocab']) + 1})
    more = [' qzxj', 'x qzxj qzxjx', 'zzzzzzzzzzzzzzzzzzzzzqq']
    a.encode(Tokenizer.from_str(json.dumps(spec)), texts + more, True, 'ignore_merges')
    spec = json.loads(peers[3].to_str())
    spec['normalizer'] = {'type': 'NFC'}
    marks = [chr(c) for c in range(0x300, 0x110000) if unicodedata.category(chr(c)) in ('Mn', 'Mc')]
    base = [chr(c) for c in range(0x110000) if unicodedata.decomposition(chr(c))] + list('aeE1 \n') + [chr(0x11935), chr(0x11930)]
    for _ in range(3000):
        texts.append(''.join(rng.choice(rng.choice((marks, base, marks[:60]))) for _ in range(rng.randrange(1, 12))))
    texts.append(''.join(rng.choice('\u0301\u0323\u0327') for _ in range(200000)))
    a.encode(Tokenizer.from_str(json.dumps(spec)), texts, True, 'NFC')
    peer = Tokenizer.from_str(peers[0].to_str())
    peer.add_tokens([AddedToken('  \n', normalized=True), AddedToken('<|endof', normalized=False), AddedToken('if', normalized=True),
                     AddedToken('<|e', special=True, normalized=False)])
    peer.add_special_tokens([AddedToken('<x>', normalized=True)])
    for specials in (True, False):
        a.encode(peer, texts[:700] + ['if <|endoftex elif <x><x', '   \n\n  \n<|e<|en', 'ifif'], specials, 'added tokens')
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = pretok(0)
    peer.train_from_iterator(['abc abab cab'], trainers.BpeTrainer(vocab_size=20, show_progress=False))
    a.encode(peer, ['abZab', 'é', 'Za' * 60 + 'b', 'ab' * 100 + 'x' + 'ab'] + texts[:50], True, 'missing bytes')
    spec = json.loads(peers[0].to_str())
    spec['model']['merges'] = [' '.join(m) for m in spec['model']['merges']]
    path = os.path.join(a.work, 'strings.json')
    json.dump(spec, open(path, 'w'))
    a.check(json.loads(a.run('copy', path))['model'] == json.loads(peers[0].to_str())['model'], 'string merges written back')
    spec['model']['merges'] = spec['model']['merges'] + [spec['model']['merges'][3]]
    a.encode(Tokenizer.from_str(json.dumps(spec)), texts[:300], True, 'a merge listed twice')


def refusals(a, peers):
    def refuse(change, *words):
        spec = json.loads(peers[0].to_str())
        change(spec)
        path = os.path.join(a.work, 'refuse.json')
        json.dump(spec, open(path, 'w'))
        a.run('encode', path, 1, fail=True)
        a.check(all(w in a.talk for w in ('E_INPUT',) + words), f'refusal {words}: {a.talk}')
    refuse(lambda s: s.update(normalizer={'type': 'NFKC'}), 'normalizer', 'NFKC')
    refuse(lambda s: s.update(pre_tokenizer={'type': 'Metaspace'}), 'pre_tokenizer', 'Metaspace')
    refuse(lambda s: s.update(pre_tokenizer=None), 'pre_tokenizer')
    refuse(lambda s: s['pre_tokenizer'].update(add_prefix_space=True), 'add_prefix_space', 'true')
    refuse(lambda s: s['model'].update(dropout=0.5), 'dropout', '0.5')
    refuse(lambda s: s['model'].update(type='Unigram'), 'model', 'Unigram')
    refuse(lambda s: s['model'].update(end_of_word_suffix='</w>'), 'end_of_word_suffix', '</w>')
    refuse(lambda s: s['model'].update(unk_token='<unk>'), 'unk_token')
    refuse(lambda s: s['model'].update(surprise=1), 'surprise')
    refuse(lambda s: s['model']['merges'].append(['q', 'qqqqqqqqqqqq']), 'merge', 'qqqqqqqqqqqq')
    refuse(lambda s: s['added_tokens'][0].update(lstrip=True), 'lstrip', 'true')
    refuse(lambda s: s['added_tokens'][0].update(id=7), '<|endoftext|>', '7')
    refuse(lambda s: s.update(truncation={'max_length': 5}), 'truncation')
    refuse(lambda s: s.update(post_processor={'type': 'BertProcessing', 'sep': ['a', 1], 'cls': ['b', 2]}), 'post_processor', 'Bert')


def template(a, texts):
    """A tokenizer.json with a BOS template, as Llama-3 has it: the ids of add_special_tokens=False."""
    peer = Tokenizer(models.BPE(ignore_merges=True))
    peer.pre_tokenizer = pretok(2)
    specials = ['<|begin_of_text|>', '<|end_of_text|>']
    peer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=2000, special_tokens=specials, show_progress=False,
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    peer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single='<|begin_of_text|> $A', pair='<|begin_of_text|> $A <|begin_of_text|> $B',
                                      special_tokens=[('<|begin_of_text|>', 0)])])
    assert peer.encode('x').ids[0] == 0
    a.encode(peer, texts[:400], False, 'a template of special tokens')


def files(a, documents):
    """The directory loads with transformers, in both forms of the decoder."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        print('transformers is not installed: the directory is not tried')
        return
    for decoder in (True, False):
        a.train(documents[:100], 2000, full=True, decoder=decoder)
        fast = AutoTokenizer.from_pretrained(a.work)
        text = "def f(x):\n\treturn 'é😀'  \n"
        ids = fast(text, add_special_tokens=False)['input_ids']
        a.check(fast.eos_token_id == 0 and fast.pad_token_id == 0 and fast.model_max_length == 8192, 'loaded configuration')
        a.check(arrays(a.run('encode', os.path.join(a.work, 'tokenizer.json'), 1, texts=[text]))[0] == ids, 'ids through transformers')
        if decoder:
            a.check(fast.decode(ids) == text, 'decode')


def whole(a):
    texts = list(corpus())
    begin = time.time()
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = pretok(0)
    peer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=32000, min_frequency=2, special_tokens=SPECIALS, show_progress=False))
    print(f'package: training {time.time() - begin:.1f} s')
    a.train(texts, 32000, peer=peer, what='whole')
    print(a.talk)
    for at in range(0, len(texts), 4000):
        a.encode(peer, texts[at:at + 4000], True, f'whole {at}')
        print(a.talk.strip())


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('tool')
    ap.add_argument('--documents', type=int, default=3000)
    ap.add_argument('--whole', action='store_true')
    args = ap.parse_args()
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as work:
        a = Agree(args.tool, work)
        if args.whole:
            whole(a)
        else:
            documents = list(itertools.islice(corpus(), args.documents * 8))[::8]
            training(a, documents[:400], rng)
            peers = encoding(a, documents, rng)
            variants(a, peers, rng)
            refusals(a, peers)
            template(a, documents)
            files(a, documents)
    print('agree_tokenizers:', f'{a.bad} differences' if a.bad else 'equal')
    return 1 if a.bad else 0


if __name__ == '__main__':
    sys.exit(main())
