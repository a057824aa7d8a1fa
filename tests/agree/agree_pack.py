#!/usr/bin/env python3
"""Guide packing equals the source guide's program: the shard files byte for byte. The other modes lose no token.

usage: agree_pack.py PACK_DUMP
The guide's program is guide_pipeline.py of the shared peers (SHARDMILL_SHARED, or ../shared beside the repository); exit 77
without it.
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile


def find_peers():
    here = os.path.dirname(os.path.abspath(__file__))
    for root in (os.environ.get('SHARDMILL_SHARED'), os.path.join(here, '..', '..', '..', 'shared')):
        if root and os.path.exists(os.path.join(root, 'peers', 'guide_pipeline.py')):
            return os.path.join(root, 'peers')
    return None


def write_rows(folder, languages):
    """the guide's tokenized files, and the same rows as pack_dump reads them"""
    os.makedirs(f'{folder}/tokenized')
    with open(f'{folder}/rows', 'wb') as packed:
        for name in sorted(languages):
            with open(f'{folder}/tokenized/{name}.jsonl', 'w') as f:
                for ids in languages[name]:
                    f.write(json.dumps({'input_ids': ids, 'language': name}) + '\n')
                    packed.write(struct.pack(f'<I{len(ids)}I', len(ids), *ids))


def ours(tool, folder, mode, length, extra, per_shard):
    out = f'{folder}/{mode}-{extra}'
    os.makedirs(out)
    subprocess.run([tool, f'{folder}/rows', out, mode, str(length), str(extra), str(per_shard)], check=True)
    return {name: open(f'{out}/{name}', 'rb').read() for name in sorted(os.listdir(out))}


def make_languages(rng, trial, length):
    longest = (length, length // 8, 3 * length)[trial % 3]  # the third has oversized rows
    count = (0, 1, 2, 40, 300)[trial % 5]
    return {name: [[rng.randrange(1 << rng.randrange(1, 21)) for _ in range(rng.randint(1, longest))] for _ in range(count)]
            for name in ('c', 'python', 'cpp')[:1 + trial % 3]}


def check_guide(guide, tool, rng, trial):
    length = rng.choice((16, 64, 256))
    per_shard = rng.choice((1, 3, 10))
    languages = make_languages(rng, trial, length)
    with tempfile.TemporaryDirectory() as folder:
        write_rows(folder, languages)
        guide.step_pack(folder, None, None, length, per_shard)
        theirs = {n: open(f'{folder}/shards/{n}', 'rb').read() for n in sorted(os.listdir(f'{folder}/shards'))}
        mine = ours(tool, folder, 'guide', length, 0, per_shard)
        assert list(mine) == list(theirs), f'trial {trial}: files {list(mine)} and {list(theirs)}'
        for name in mine:
            assert mine[name] == theirs[name], f'trial {trial}: {name} differs'
        stream = [i for n in sorted(languages) for ids in languages[n] for i in ids]
        check_concat(tool, folder, length, stream, trial % 2)
        return len(mine)


def check_concat(tool, folder, length, stream, extra):
    """json.loads reads what we wrote, and the windows give the stream again"""
    got = []
    for data in ours(tool, folder, 'concat', length, extra, 7).values():
        for line in data.splitlines():
            sample = json.loads(line)
            assert sample['length'] == len(sample['input_ids']) <= length + extra
            got += sample['input_ids'][extra if got else 0:]
    assert got == stream, 'concat lost or changed tokens'


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('tool')
    a = p.parse_args()
    peers = find_peers()
    if peers is None:
        print('skipped: the shared peers are not here (set SHARDMILL_SHARED)')
        sys.exit(77)
    sys.path.insert(0, peers)
    sys.dont_write_bytecode = True
    try:
        import guide_pipeline
    except ImportError as e:
        print(f'skipped: {e}')
        sys.exit(77)
    rng = random.Random(5)
    files = sum(check_guide(guide_pipeline, a.tool, rng, trial) for trial in range(60))
    print(f'60 packings, {files} shard files: equal')


if __name__ == '__main__':
    main()
