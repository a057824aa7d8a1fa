#!/usr/bin/env python3
"""The cpython syntax check equals ast.parse, and the tree-sitter check agrees with it on real Python.

usage: agree_syntax.py SYNTAX_VERDICTS [--every K]
Documents: the development corpus (SHARDMILL_SHARED, or ../shared beside the repository), and damaged copies of its Python files.
Prints the tables of docs/SYNTAX.md. Fails if the cpython check differs from ast.parse anywhere, or if a grammar refuses a Python
file that ast.parse accepts. Exit 77 without the corpus.
"""
import argparse
import ast
import collections
import io
import json
import os
import random
import re
import subprocess
import sys
import warnings

LANGUAGES = {'Shell': 'bash', 'C': 'c', 'C++': 'cpp', 'C#': 'csharp', 'Go': 'go', 'Java': 'java', 'JavaScript': 'javascript', 'PHP': 'php',
             'Python': 'python', 'Rust': 'rust', 'TypeScript': 'typescript'}
LIMITS = {'python': 0, 'java': 0, 'go': 0, 'php': 0, 'javascript': 0, 'typescript': 20, 'rust': 20, 'csharp': 100, 'bash': 100, 'c': 200,
          'cpp': 200}


def corpus(path, every):
    import zstandard
    with open(path, 'rb') as file:
        for number, line in enumerate(io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding='utf-8')):
            record = json.loads(line) if number % every == 0 else {'lang': None}
            if record['lang'] in LANGUAGES:
                yield LANGUAGES[record['lang']], record['content'].encode('utf-8', 'replace')


def damaged(texts, rng):
    for text in texts:
        code = text.decode('utf-8')
        at = rng.randrange(len(code) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            code = code[:at] + code[at + 1:]
        elif kind == 1:
            code = code[:at] + rng.choice('()[]{}:"\'\\\n\t\0#=\r\x0c\x1a\ufeff\u2028') + code[at:]
        elif kind == 2:
            code = code[:at]
        elif kind == 3:
            code = '\ufeff' + code
        else:
            code = code.replace('\n', '\r\n', 1)
        yield code.encode('utf-8')


def parse_error(data):
    try:
        ast.parse(data.decode('utf-8'))
    except BaseException as error:
        return type(error).__name__ + ': ' + re.sub(r"['\"`(\[].*", '', str(error))[:60].strip()
    return None


def verdicts(program, mode, documents):
    """(judged, passed, bytes in error, work, nanoseconds) of each document"""
    frames = b''.join(b'%s %d\n' % (language.encode(), len(text)) + text for language, text in documents)
    done = subprocess.run([program, mode, sys.executable], input=frames, stdout=subprocess.PIPE, check=True)
    rows = [tuple(map(int, line.split())) for line in done.stdout.decode().splitlines()]
    if len(rows) != len(documents):
        sys.exit(f'{len(rows)} answers for {len(documents)} documents')
    return rows


def speed(rows, documents):
    return sum(len(t) for _, t in documents) * 1000 / max(1, sum(r[4] for r in rows))


def check_cpython(program, texts, what):
    documents = [('python', text) for text in texts]
    rows = verdicts(program, 'cpython', documents)
    expected = [parse_error(text) is None for text in texts]
    bad = sum(row[:2] != (1, int(right)) for row, right in zip(rows, expected))
    print(f'cpython, {what}: {len(texts)} documents, {len(texts) - sum(expected)} refused by ast.parse, {bad} differences, '
          f'{speed(rows, documents):.1f} MB/s')
    return bad


def languages_table(documents, rows):
    print('| language | documents | MB | with errors | > 0.2 % | > 1 % | > 2 % | > 10 % | > 20 % | limit | rejected | no verdict | MB/s |')
    print('|---|---|---|---|---|---|---|---|---|---|---|---|---|')
    for language in sorted(LIMITS):
        mine = [(len(t), r) for (l, t), r in zip(documents, rows) if l == language]
        over = [sum(r[2] * 1000 > n * x for n, r in mine) for x in (0, 2, 10, 20, 100, 200, LIMITS[language])]
        size = sum(n for n, _ in mine)
        print(f'| {language} | {len(mine)} | {size / 1e6:.1f} | ' + ' | '.join(map(str, over[:6])) +
              f' | {LIMITS[language] / 10:g} % | {over[6]} | {sum(1 - r[0] for _, r in mine)} | {size * 1000 / max(1, sum(r[4] for _, r in mine)):.1f} |')


def agreement_table(texts, rows):
    counts = collections.Counter()
    causes = collections.Counter()
    for text, row in zip(texts, rows):
        error = parse_error(text)
        counts[error is None, bool(row[1])] += 1
        if (error is None) != bool(row[1]):
            causes[error or 'tree-sitter alone: ' + repr(text[:80])] += 1
    print('| ast.parse | tree-sitter | documents |\n|---|---|---|')
    for (first, second), count in sorted(counts.items(), reverse=True):
        print(f'| {"accepts" if first else "refuses"} | {"accepts" if second else "refuses"} | {count} |')
    print('causes of the differences:', dict(causes.most_common(12)))
    return counts[True, False]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('program')
    parser.add_argument('--every', type=int, default=8)
    options = parser.parse_args()
    warnings.simplefilter('ignore')
    shared = os.environ.get('SHARDMILL_SHARED') or os.path.join(os.path.dirname(__file__), '..', '..', '..', 'shared')
    path = os.path.join(shared, 'corpus', 'code.jsonl.zst')
    if not os.path.exists(path):
        print('no corpus: set SHARDMILL_SHARED')
        return 77
    documents = list(corpus(path, options.every))
    python = [text for language, text in documents if language == 'python']
    bad = check_cpython(options.program, python, 'corpus')
    short = [text for text in python if len(text) < 20000]
    bad += check_cpython(options.program, list(damaged(short, random.Random(3))), 'damaged')
    rows = verdicts(options.program, 'tree-sitter', documents)
    if not any(row[0] for row in rows):
        print('built without tree-sitter')
        return bad != 0
    languages_table(documents, rows)
    bad += agreement_table(python, [row for (language, _), row in zip(documents, rows) if language == 'python'])
    return bad != 0


if __name__ == '__main__':
    try:
        import zstandard  # noqa: F401
    except ImportError:
        print('needs the package zstandard')
        sys.exit(77)
    sys.exit(main())
