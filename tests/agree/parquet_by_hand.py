"""parquet_by_hand.py: a small writer of Parquet of its own, for files that no writer here makes: the lists of old writers, and files
that break the rules.

A schema is a tree of node(); a row is a dictionary by the names of the tree, where a repeated node has a list, an absent optional one
None. Pages are plain, of version 1, not compressed; one row group a file.
"""
import struct

BOOLEAN, INT32, INT64, DOUBLE, BYTES = 0, 1, 2, 5, 6
UTF8, MAP, LIST = 0, 1, 3
REQUIRED, OPTIONAL, REPEATED = 0, 1, 2


def node(name, repetition, kind=None, children=(), mark=None):
    return {"name": name, "repetition": repetition, "kind": kind, "children": list(children), "mark": mark}


# ---- Thrift's compact form

def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def integer(number):
    return varint((number << 1) ^ (number >> 63))


def fields(*present):
    """A struct of (id, type, encoded) in ascending order of ids."""
    out, last = b"", 0
    for number, kind, encoded in present:
        out += bytes([(number - last) << 4 | kind]) + encoded
        last = number
    return out + b"\0"


def listed(kind, items):
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xf0 | kind]) + varint(len(items))
    return head + b"".join(items)


def text(string):
    data = string.encode()
    return varint(len(data)) + data


I32, I64, BINARY, STRUCT, LISTS = 5, 6, 8, 12, 9


# ---- levels

class Leaf:
    def __init__(self, path, kind, def_max, rep_max):
        self.path, self.kind, self.def_max, self.rep_max = path, kind, def_max, rep_max
        self.places = []  # (repetition, definition, value or None)


def leaves_of(tree, path=(), definition=0, repetition=0):
    definition += tree["repetition"] != REQUIRED
    repetition += tree["repetition"] == REPEATED
    path = path + (tree["name"],)
    if not tree["children"]:
        return [Leaf(path, tree["kind"], definition, repetition)]
    return [leaf for child in tree["children"] for leaf in leaves_of(child, path, definition, repetition)]


def shred(tree, value, by_path, path=(), repetition=0, definition=0, depth=0):
    """Puts the value of one node, with the levels that it begins with, into the leaves below it."""
    path = path + (tree["name"],)
    if value is None or (tree["repetition"] == REPEATED and not value):
        for leaf in leaves_of(tree, path[:-1]):
            by_path[leaf.path].places.append((repetition, definition, None))
        return
    depth += tree["repetition"] == REPEATED
    definition += tree["repetition"] != REQUIRED
    for number, item in enumerate(value if tree["repetition"] == REPEATED else [value]):
        begin = repetition if number == 0 else depth
        if not tree["children"]:
            by_path[path].places.append((begin, definition, item))
        for child in tree["children"]:
            shred(child, item[child["name"]], by_path, path, begin, definition, depth)


def levels(numbers, most):
    if most == 0:
        return b""
    runs = b"".join(varint(2) + bytes([n]) for n in numbers)  # runs of one
    return struct.pack("<I", len(runs)) + runs


def plain(kind, values):
    if kind == BOOLEAN:
        return bytes(sum(v << i for i, v in enumerate(values[at:at + 8])) for at in range(0, len(values), 8))
    if kind == BYTES:
        return b"".join(struct.pack("<I", len(v)) + v for v in (v.encode() if isinstance(v, str) else v for v in values))
    return b"".join(struct.pack({INT32: "<i", INT64: "<q", DOUBLE: "<d"}[kind], v) for v in values)


# ---- files

def elements(tree):
    present = [] if tree["children"] else [(1, I32, integer(tree["kind"]))]
    present += [(3, I32, integer(tree["repetition"])), (4, BINARY, text(tree["name"]))]
    if tree["children"]:
        present.append((5, I32, integer(len(tree["children"]))))
    if tree["mark"] is not None:
        present.append((6, I32, integer(tree["mark"])))
    return [fields(*present)] + [e for child in tree["children"] for e in elements(child)]


def write(path, columns, rows, change=None):
    """change(leaves) may falsify what was shredded."""
    leaves = [leaf for tree in columns for leaf in leaves_of(tree)]
    by_path = {leaf.path: leaf for leaf in leaves}
    for row in rows:
        for tree in columns:
            shred(tree, row[tree["name"]], by_path)
    if change is not None:
        change(leaves)
    out, chunks, total = b"PAR1", [], 0
    for leaf in leaves:
        body = levels([p[0] for p in leaf.places], leaf.rep_max) + levels([p[1] for p in leaf.places], leaf.def_max)
        body += plain(leaf.kind, [p[2] for p in leaf.places if p[1] == leaf.def_max])
        page = fields((1, I32, integer(0)), (2, I32, integer(len(body))), (3, I32, integer(len(body))),
                      (5, STRUCT, fields((1, I32, integer(len(leaf.places))), (2, I32, integer(0)), (3, I32, integer(3)), (4, I32, integer(3)))))
        size = len(page) + len(body)
        meta = fields((1, I32, integer(leaf.kind)), (2, LISTS, listed(I32, [integer(0), integer(3)])),
                      (3, LISTS, listed(BINARY, [text(p) for p in leaf.path])), (4, I32, integer(0)), (5, I64, integer(len(leaf.places))),
                      (6, I64, integer(size)), (7, I64, integer(size)), (9, I64, integer(len(out))))
        chunks.append(fields((2, I64, integer(len(out))), (3, STRUCT, meta)))
        out += page + body
        total += size
    group = fields((1, LISTS, listed(STRUCT, chunks)), (2, I64, integer(total)), (3, I64, integer(len(rows))))
    root = fields((4, BINARY, text("schema")), (5, I32, integer(len(columns))))
    footer = fields((1, I32, integer(1)), (2, LISTS, listed(STRUCT, [root] + [e for tree in columns for e in elements(tree)])),
                    (3, I64, integer(len(rows))), (4, LISTS, listed(STRUCT, [group])))
    with open(path, "wb") as file:
        file.write(out + footer + struct.pack("<I", len(footer)) + b"PAR1")
