#!/usr/bin/env python3
"""Write src/core/unicode_tables.c and .h: the properties of every code point as one byte, in a two-stage table.

usage: gen_unicode.py TABLES OUTDIR
TABLES holds range tables NAME.tsv: '#' comments, then lines "first<TAB>last" in hex, both included. Used are
py_isalnum_{14.0,15.0,15.1,16.0} and py_isspace (CPython's str methods, by Unicode version), onig_{L,N,M,space} (the classes of
the tokenizers' regex engine) and rust_is_numeric (Rust's char::is_numeric). The layout of the byte is in
kernels/shared/text_class.h.
"""
import os
import sys

VERSIONS = ['14.0', '15.0', '15.1', '16.0']
CODE_POINTS = 0x110000
SHIFT = 7  # 128 code points a block: block numbers fit a byte, and index plus blocks are smallest


def read(folder, name):
    """The ranges of one table as (first, last) pairs, checked to be sorted and disjoint."""
    ranges = []
    with open(os.path.join(folder, name + '.tsv'), encoding='ascii') as table:
        for line in table:
            if line.startswith('#') or not line.strip():
                continue
            first, last = (int(x, 16) for x in line.split())
            if first > last or last >= CODE_POINTS or (ranges and first <= ranges[-1][1]):
                sys.exit(f'{name}: bad range {line!r}')
            ranges.append((first, last))
    return ranges


def mark(folder, name, properties, change):
    for first, last in read(folder, name):
        for c in range(first, last + 1):
            properties[c] = change(properties[c], c)


def build(folder):
    p = bytearray(CODE_POINTS)
    for value, name in ((1, 'onig_L'), (2, 'onig_N'), (3, 'onig_space')):
        def classify(old, c, value=value):
            if old & 3:
                sys.exit(f'U+{c:04X} is in two classes')
            return old | value
        mark(folder, name, p, classify)
    # Each Unicode version only adds to isalnum, so the first version that has a code point says it all.
    earlier = set()
    for since, version in enumerate(VERSIONS, 1):
        name = 'py_isalnum_' + version
        members = {c for first, last in read(folder, name) for c in range(first, last + 1)}
        if earlier - members:
            sys.exit(f'{name} lacks code points of the version before')
        for c in members - earlier:
            p[c] |= since << 2
        earlier = members
    mark(folder, 'py_isspace', p, lambda old, c: old | 0x20)
    mark(folder, 'onig_M', p, lambda old, c: old | 0x40)
    mark(folder, 'rust_is_numeric', p, lambda old, c: old | 0x80)
    return bytes(p)


def compress(properties):
    """Block number of each block of code points, and the distinct blocks; frequent ones first, so that the numbers are short."""
    blocks = [properties[i:i + (1 << SHIFT)] for i in range(0, CODE_POINTS, 1 << SHIFT)]
    count, seen = {}, {}
    for i, block in enumerate(blocks):
        count[block] = count.get(block, 0) + 1
        seen.setdefault(block, i)
    order = sorted(count, key=lambda block: (-count[block], seen[block]))
    number = {block: i for i, block in enumerate(order)}
    if len(order) > 256:
        sys.exit('more than 256 blocks: raise SHIFT')
    return [number[block] for block in blocks], b''.join(order)


def array(values):
    """Numbers as C source, in lines of at most 100 columns."""
    lines, line = [], '   '
    for text in (f'{v},' for v in values):
        if len(line) + len(text) + (line == '   ') > 100:
            lines.append(line)
            line = '   '
        line += ' ' + text if line == '   ' else text
    return '\n'.join(lines + [line]) + '\n'


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tables, out = sys.argv[1:]
    index, blocks = compress(build(tables))
    made = 'Written by tools/gen_unicode.py: do not change by hand.'
    with open(os.path.join(out, 'unicode_tables.h'), 'w', encoding='ascii', newline='\n') as f:
        f.write(f"""// unicode_tables.h: properties of all code points; read them through core/unicode.h.
// {made}
#ifndef MILL_CORE_UNICODE_TABLES_H
#define MILL_CORE_UNICODE_TABLES_H

#include <stdint.h>

#define MILL_UNICODE_SHIFT {SHIFT}
#define MILL_UNICODE_INDEX_COUNT {len(index)}
#define MILL_UNICODE_BLOCK_BYTES {len(blocks)}

// Property byte (kernels/shared/text_class.h) of code point c: blocks[index[c >> SHIFT] << SHIFT | (c & (1 << SHIFT) - 1)].
extern const uint8_t mill_unicode_index[MILL_UNICODE_INDEX_COUNT];
extern const uint8_t mill_unicode_blocks[MILL_UNICODE_BLOCK_BYTES];

#endif
""")
    with open(os.path.join(out, 'unicode_tables.c'), 'w', encoding='ascii', newline='\n') as f:
        f.write(f"""// unicode_tables.c: properties of all code points. {made}
#include "core/unicode_tables.h"

const uint8_t mill_unicode_index[MILL_UNICODE_INDEX_COUNT] = {{
{array(index)}}};

const uint8_t mill_unicode_blocks[MILL_UNICODE_BLOCK_BYTES] = {{
{array(blocks)}}};
""")


main()
