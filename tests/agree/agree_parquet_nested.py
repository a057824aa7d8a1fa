"""Nested columns of Parquet are read as the same rows are from JSON lines: notebooks, tasks with solutions, conversations, in every
spelling of lists and structs that writers have, and what is none of these; rows come from pyarrow, JSON from Python.

usage: agree_parquet_nested.py DUMP_RECORDS [--seed N] [--files N] [--damaged N]
"""
import argparse, datetime, decimal, json, os, random, subprocess, sys, tempfile

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    print("pyarrow is missing (tests/agree/requirements.txt)")
    sys.exit(77)

import parquet_by_hand as hand
from parquet_by_hand import node

SHARED = os.environ.get("SHARDMILL_SHARED") or os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")
SHAPES = ["--notebooks", "2", "--outputs", "1", "--statements", "1"]
failures = 0


def fail(what):
    global failures
    failures += 1
    print("FAIL", what[:1500])


def dump(tool, path, *options):
    done = subprocess.run([tool, path, *options], capture_output=True, timeout=300)
    rows = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]] if done.returncode == 0 else []
    return done.returncode, rows, done.stderr.decode()


# ---- the same rows as JSON lines

LEFT_OUT = object()  # what JSON has no word for: such members are not read


def as_json(value, kind):
    if pa.types.is_map(kind) or pa.types.is_temporal(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind) \
            or pa.types.is_float16(kind):
        return LEFT_OUT
    if pa.types.is_struct(kind):
        members = {f.name: as_json(None if value is None else value[f.name], f.type) for f in kind}
        members = {k: v for k, v in members.items() if v is not LEFT_OUT}
        return LEFT_OUT if not members else None if value is None else members
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if as_json(None, kind.value_type) is LEFT_OUT:
            return LEFT_OUT
        return None if value is None else [as_json(item, kind.value_type) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def write_lines(table, path):
    with open(path, "w", encoding="utf-8") as out:
        for row in table.to_pylist():
            members = {f.name: as_json(row[f.name], f.type) for f in table.schema}
            out.write(json.dumps({k: v for k, v in members.items() if v is not LEFT_OUT}) + "\n")


def facts(rows):
    """What both forms must agree in."""
    out = []
    for row in rows:
        row = {k: v for k, v in row.items() if k not in ("input", "offset", "length", "sha256", "file_bytes")}
        if row.get("reason") == "no_content":
            del row["detail"]  # two ways to see it, two ways to say it
        out.append(row)
    return sorted(out[:-1], key=lambda row: row["record"]) + out[-1:]  # a block gives its records before what it quarantines


def compare(tool, name, path, folder, *options, table=None):
    """The file in three ways of reading against its rows as JSON lines."""
    lines = os.path.join(folder, "lines.jsonl")
    write_lines(table if table is not None else pq.read_table(path), lines)
    code, rows, message = dump(tool, lines, *options)
    if code != 0:
        return fail(f"{name}: JSON lines: {code} {message}")
    wanted = facts(rows)
    for way in ((), ("--group-max", "1", "--block", "700"), ("--group-max", "1")):
        code, rows, message = dump(tool, path, *way, *options)
        if code == 3 and "no column that holds content" in message:
            if any(row["kind"] == "record" for row in wanted):
                fail(f"{name}: refused, but there are records: {message}")
            return 0
        got = facts(rows)
        if code != 0 or got != wanted:
            differ = next(((w, g) for w, g in zip(wanted, got) if w != g), (len(wanted), len(got)))
            fail(f"{name} {way}: exit code {code} {message.strip()}: expected {str(differ[0])[:500]}, got {str(differ[1])[:500]}")
    return sum(row["kind"] == "record" for row in wanted)


# ---- the sets as they lie on the hub

def check_corpus(tool, folder):
    seen = 0
    for name in ("jupyter-parsed", "code-text-pairs", "stack-jupyter-notebook"):
        path = os.path.join(SHARED, "corpus", "notebooks-parquet", name + ".parquet")
        if os.path.exists(path):
            for more in ((), ("--outputs", "1")):
                if not compare(tool, name, path, folder, "--notebooks", "2", *more):
                    fail(f"{name}: no records")
            seen += 1
    return seen


STRING = pa.string()
TASKS = pa.schema([("name", STRING), ("description", STRING), ("public_tests", pa.struct([("input", pa.list_(STRING)), ("output", pa.list_(STRING))])),
                   ("source", pa.int64()), ("solutions", pa.struct([("language", pa.list_(pa.int64())), ("solution", pa.list_(STRING))])),
                   ("incorrect_solutions", pa.struct([("language", pa.list_(pa.int64())), ("solution", pa.list_(STRING))])),
                   ("time_limit", pa.struct([("seconds", pa.int64()), ("nanos", pa.int64())])), ("is_description_translated", pa.bool_())])


def task(n, solutions):
    return {"name": f"{n}_A. Sum", "description": "Add a\nand b.", "public_tests": {"input": ["1 2\n"], "output": ["3\n"]}, "source": 2,
            "solutions": solutions, "incorrect_solutions": {"language": [3], "solution": ["print(0)\n"]},
            "time_limit": {"seconds": 2, "nanos": 0}, "is_description_translated": False}


def sets():
    """(name, table, records) in the schema of known data sets."""
    both = {"language": [3, 2, 1, 4, 0, 9], "solution": ["print(1+2)\n", "int main(){}\n", "print 3\n", "class A{}\n", "x", "y"]}
    yield "code_contests", pa.Table.from_pylist([task(1, both), task(2, {"language": [], "solution": []}), task(3, None)], TASKS), 6
    of_structs = pa.list_(pa.struct([("language", STRING), ("solution", STRING)]))
    rows = [{"name": "a", "solutions": [{"language": "PYTHON3", "solution": "print(1)\n"}, None, {"language": "CPP", "solution": "int x;\n"}]},
            {"name": "b", "solutions": []}, {"name": "c", "solutions": None}]
    yield "list of structs", pa.Table.from_pylist(rows, pa.schema([("name", STRING), ("solutions", of_structs)])), 2
    rows = [{"problem_id": 7, "question": "Add.", "solutions": json.dumps(["print(1)\n", "print('é \"x\"')\n"]), "input_output": "{}", "difficulty": "interview",
             "url": "u", "starter_code": ""}, {"problem_id": 8, "question": "None.", "solutions": "", "input_output": "", "difficulty": "", "url": "", "starter_code": ""},
            {"problem_id": 9, "question": "Broken.", "solutions": "[\"x\"", "input_output": "", "difficulty": "", "url": "", "starter_code": ""}]
    yield "APPS", pa.Table.from_pylist(rows), 2
    turns = pa.list_(pa.struct([("content", STRING), ("role", STRING)]))
    rows = [{"id": "852/A", "aliases": ["1/B"], "title": "Digits", "prompt": "Do it.", "generation": "done", "time_limit": 1.0,
             "examples": [{"input": "1", "output": "2"}], "messages": [{"content": "Do it.", "role": "user"}, {"content": "done", "role": "assistant"}]},
            {"id": "852/B", "aliases": None, "title": "None", "prompt": "", "generation": "", "time_limit": None, "examples": None, "messages": []}]
    yield "codeforces-cots", pa.Table.from_pylist(rows, pa.schema([
        ("id", STRING), ("aliases", pa.list_(STRING)), ("title", STRING), ("prompt", STRING), ("generation", STRING), ("time_limit", pa.float64()),
        ("examples", pa.list_(pa.struct([("input", STRING), ("output", STRING)]))), ("messages", turns)])), 1
    said = pa.list_(pa.struct([("from", STRING), ("value", STRING), ("weight", pa.float64())]))
    rows = [{"id": "x", "conversations": [{"from": "system", "value": "s", "weight": None}, {"from": "human", "value": "h\r\n", "weight": 0.0},
                                          {"from": "gpt", "value": "g", "weight": 1.0}]},
            {"id": "y", "conversations": [{"from": "gpt", "value": "g", "weight": 1.0}]}, {"id": "z", "conversations": None}]
    yield "ShareGPT", pa.Table.from_pylist(rows, pa.schema([("id", STRING), ("conversations", said)])), 1
    tools = pa.list_(pa.struct([("role", STRING), ("content", STRING), ("tool_calls", pa.list_(pa.struct([
        ("id", STRING), ("function", pa.struct([("name", STRING), ("arguments", STRING)]))])))]))
    rows = [{"messages": [{"role": "user", "content": "u", "tool_calls": None}, {"role": "assistant", "content": "a", "tool_calls": [
        {"id": "1", "function": {"name": "f", "arguments": "{}"}}]}]}]
    yield "messages with calls", pa.Table.from_pylist(rows, pa.schema([("messages", tools)])), 1
    yield "instructions", pa.table({"instruction": ["Add", "Sub", None], "input": ["1 2", None, "x"], "output": ["3", "0", "y"], "content": [None, None, "text"]}), 3
    cell = pa.struct([("cell_type", STRING), ("source", pa.list_(STRING)), ("outputs", pa.list_(pa.struct([
        ("output_type", STRING), ("text", pa.list_(STRING))]))), ("execution_count", pa.int64()), ("metadata", pa.struct([("collapsed", pa.bool_())]))])
    whole = pa.schema([("cells", pa.list_(cell)), ("metadata", pa.struct([("kernelspec", pa.struct([("name", STRING), ("language", STRING)]))])), ("nbformat", pa.int64())])
    rows = [{"cells": [{"cell_type": "code", "source": ["x <- 1\n", "x"], "outputs": [{"output_type": "stream", "text": ["1\n"]}], "execution_count": 1,
                        "metadata": {"collapsed": True}}], "metadata": {"kernelspec": {"name": "ir", "language": "R"}}, "nbformat": 4},
            {"cells": None, "metadata": None, "nbformat": 4}]
    yield "notebooks as structs", pa.Table.from_pylist(rows, whole), 2
    inside = [("content", pa.struct(list(whole))), ("path", STRING)]
    yield "notebooks as structs in content", pa.Table.from_pylist([{"content": r, "path": "a.ipynb"} for r in [*rows, None]], pa.schema(inside)), 2


def check_sets(tool, folder):
    path = os.path.join(folder, "set.parquet")
    for name, table, records in sets():
        for options in ({}, {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 1, "use_compliant_nested_type": False}):
            pq.write_table(table, path, **options)
            seen = compare(tool, name, path, folder, *SHAPES)
            if seen != records:
                fail(f"{name}: {seen} records, not {records}")


def check_paths(tool, folder):
    """--field with a dotted path means the same in both, where rows are files and where they are something else."""
    path = os.path.join(folder, "paths.parquet")
    deep = pa.struct([("text", STRING), ("more", pa.struct([("lang", STRING), ("n", pa.int32()), ("text", STRING), ("licences", pa.list_(STRING)),
                                                            ("wrapped", pa.struct([("list", pa.list_(pa.struct([("item", STRING)])))]))]))])
    rows = [{"a": {"text": f"x = {i}\n", "more": {"lang": "go", "n": i, "text": "other\n", "licences": ["mit", None, "bsd"], "wrapped": {"list": [{"item": "gpl"}]}}},
             "a.text": f"own {i}\n"} for i in range(3)]
    rows += [{"a": None, "a.text": None}, {"a": {"text": "t", "more": None}, "a.text": "t"}, {"a": {"text": None, "more": {}}, "a.text": None}]
    schema = [("a", deep), ("a.text", STRING)]
    for forms in ([], [("messages", pa.list_(pa.struct([("role", STRING), ("content", STRING)])))]):
        for content, licence in (("a.more.text", "a.more.licences"), ("a.text", "a.more.wrapped")):
            for order in (schema, schema[::-1]):
                table = pa.Table.from_pylist([{**row, **{name: None for name, _ in forms}} for row in rows], pa.schema(order + forms))
                pq.write_table(table, path)
                seen = compare(tool, f"paths {content} {forms}", path, folder, "--content", content, "--language", "a.more.lang", "--stars", "a.more.n",
                               "--licence", licence)
                if seen != (3 if content == "a.more.text" else 4):
                    fail(f"paths {content}: {seen} records")


def check_named(tool, folder):
    """A struct that is named as content is refused, unless it is a notebook."""
    path = os.path.join(folder, "named.parquet")
    cells = [{"cells": [{"cell_type": "code", "source": "x = 1"}]}]
    pq.write_table(pa.table({"nb": cells, "other": [{"a": "x", "b": "y"}]}), path)
    if compare(tool, "a notebook that is named", path, folder, "--notebooks", "2", "--content", "nb") != 1:
        fail("a notebook that is named: no record")
    for options in (("--notebooks", "2", "--content", "other"), ("--content", "nb")):
        code, _, message = dump(tool, path, *options)
        if code != 3 or "several parts" not in message:
            fail(f"a struct as content {options}: {code} {message}")


def check_datasets(tool, folder):
    """What the library `datasets` itself writes, which is what lies on the hub."""
    try:
        os.environ["HF_HOME"], os.environ["HF_HUB_OFFLINE"] = os.path.join(folder, "hf"), "1"
        import datasets
        datasets.disable_progress_bars()
    except ImportError:
        print("skipped: files as datasets writes them (it is missing)")
        return
    path = os.path.join(folder, "hf.parquet")
    sequence = {"language": datasets.ClassLabel(names=["UNKNOWN_LANGUAGE", "PYTHON", "CPP", "PYTHON3", "JAVA"]), "solution": datasets.Value("string")}
    make = getattr(datasets, "Sequence")
    features = datasets.Features({"name": datasets.Value("string"), "solutions": make(sequence)})
    rows = [{"name": f"n{i}", "solutions": {"language": [i % 5] * i, "solution": [f"print({i})\n"] * i}} for i in range(5)]
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)
    if compare(tool, "code_contests by datasets", path, folder, *SHAPES) != 10:
        fail("code_contests by datasets: not 10 records")
    rows = [{"messages": [{"role": "user", "content": f"u{i}"}, {"role": "assistant", "content": f"a{i}"}]} for i in range(50)]
    datasets.Dataset.from_list(rows).to_parquet(path)
    if compare(tool, "messages by datasets", path, folder, *SHAPES) != 50:
        fail("messages by datasets: not 50 records")


# ---- lists as old writers had them

def string(name, repetition=hand.OPTIONAL):
    return node(name, repetition, hand.BYTES, mark=hand.UTF8)


def old_files():
    """(name, columns, rows): each holds the same conversation, task or notebook in another spelling."""
    turn = [string("role"), string("content", hand.REQUIRED)]
    talk = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    array = node("messages", hand.OPTIONAL, children=[node("array", hand.REPEATED, children=turn)], mark=hand.LIST)
    yield "array of structs", [array], [{"messages": {"array": talk}}, {"messages": None}, {"messages": {"array": []}}]
    of_tuples = node("messages", hand.REQUIRED, children=[node("messages_tuple", hand.REPEATED, children=turn[1:])], mark=hand.LIST)
    yield "tuple of one", [of_tuples], [{"messages": {"messages_tuple": [{"content": "u"}]}}]
    of_one = node("messages", hand.REQUIRED, children=[node("array", hand.REPEATED, children=turn[1:])], mark=hand.LIST)
    yield "array of one", [of_one], [{"messages": {"array": [{"content": "u"}]}}]
    listing = node("solutions", hand.REQUIRED, children=[node("item", hand.REPEATED, children=[string("code", hand.REPEATED)])], mark=hand.LIST)
    yield "an item that holds a list only", [listing], [{"solutions": {"item": [{"code": ["x", "y"]}, {"code": []}]}}]
    bare = node("messages", hand.REPEATED, children=turn)
    yield "bare repeated group", [bare], [{"messages": talk}, {"messages": []}]
    bag = node("solution", hand.OPTIONAL, children=[node("bag", hand.REPEATED, children=[string("array_element")])], mark=hand.LIST)
    numbers = node("language", hand.OPTIONAL, children=[node("array", hand.REPEATED, hand.INT64)], mark=hand.LIST)
    yield "Hive's bags and bare numbers", [string("name"), node("solutions", hand.OPTIONAL, children=[numbers, bag])], [
        {"name": "n", "solutions": {"language": {"array": [3, 2]}, "solution": {"bag": [{"array_element": "print(1)\n"}, {"array_element": None}]}}},
        {"name": "m", "solutions": {"language": {"array": []}, "solution": None}}, {"name": None, "solutions": None}]
    inner = node("array", hand.REPEATED, children=[node("array", hand.REPEATED, hand.BYTES, mark=hand.UTF8)], mark=hand.LIST)
    cells = node("cells", hand.OPTIONAL, children=[inner], mark=hand.LIST)
    yield "lists in lists without wrapping", [cells, string("cell_types", hand.REPEATED)], [
        {"cells": {"array": [{"array": ["x = 1\n", "1\n"]}, {"array": ["# t"]}]}, "cell_types": ["code", "markdown"]},
        {"cells": {"array": [{"array": []}]}, "cell_types": ["code"]}, {"cells": None, "cell_types": []}]
    both = node("list", hand.REPEATED, children=[string("role"), string("content")])
    yield "a wrapping of two members is the item", [node("messages", hand.OPTIONAL, children=[both], mark=hand.LIST)], [{"messages": {"list": talk}}]
    deep = string("x")
    for _ in range(70):
        deep = node("g", hand.OPTIONAL, children=[deep])
    value = "v"
    for _ in range(70):
        value = {"g" if isinstance(value, dict) else "x": value}
    yield "deeper than anybody nests", [string("content"), node("metadata", hand.OPTIONAL, children=[deep]), bare], [
        {"content": "text\n", "metadata": {"g": value}, "messages": talk}]


def check_old(tool, folder):
    path = os.path.join(folder, "old.parquet")
    for name, columns, rows in old_files():
        hand.write(path, columns, rows)
        if name.startswith("deeper"):  # the reference would see what is left out here
            code, got, message = dump(tool, path, *SHAPES)
            if code != 0 or [r.get("content") for r in got[:-1]] != ["text\n"]:
                fail(f"{name}: {code} {message} {got}")
            code, got, message = dump(tool, path, "--language", "metadata." + "g." * 70 + "x")
            if code != 3 or "no column metadata.g" not in message:
                fail(f"{name}: as language: {code} {message} {got}")
            continue
        compare(tool, name, path, folder, *SHAPES)


def check_contradictions(tool, folder):
    """Neighbours in a struct whose levels tell of different values: a damaged group from that row on, never a shifted column."""
    path = os.path.join(folder, "bad.parquet")
    items = node("list", hand.REPEATED, children=[node("element", hand.OPTIONAL, children=[string("role"), string("content")])])
    columns = [node("messages", hand.OPTIONAL, children=[items], mark=hand.LIST), string("path")]
    talk = {"list": [{"element": {"role": "user", "content": "u"}}, {"element": {"role": "assistant", "content": "a"}}]}
    rows = [{"messages": talk, "path": f"p{i}"} for i in range(6)]

    def at_row(leaf, row):
        return [i for i, place in enumerate(leaf.places) if place[0] == 0][row]

    def replace(number, row, places):
        def change(leaves):
            at = at_row(leaves[number], row)
            leaves[number].places[at:at + 2] = places
        return change

    def one_more(leaves):
        for leaf in leaves[:2]:
            leaf.places.append((0, 4, "u"))

    def starts_inside(leaves):
        leaves[0].places[0] = (1, 4, "user")

    def add_up(leaves):
        at = at_row(leaves[0], 3)
        leaves[0].places[at:at + 4] = [(0, 4, "user"), (1, 4, "assistant"), (1, 4, "user"), (0, 4, "assistant")]

    cases = {"a longer list": replace(0, 3, [(0, 4, "user"), (1, 4, "assistant"), (1, 4, "user")]), "lengths that add up": add_up, "a shorter list": replace(1, 3, [(0, 4, "u")]),
             "null here, a struct there": replace(0, 3, [(0, 2, None), (1, 4, "assistant")]), "a struct here, null there": replace(1, 3, [(0, 2, None), (1, 4, "a")]), "an empty list here": replace(0, 3, [(0, 1, None)]),
             "null list here": replace(1, 3, [(0, 0, None)]), "a row too few": replace(2, 5, []), "a row too many": replace(2, 5, [(0, 1, "p"), (0, 1, "q")]),
             "a row inside a list": starts_inside, "a list too many": one_more}
    for name, change in cases.items():
        hand.write(path, columns, rows, change)
        outcomes = []
        for way in ((), ("--group-max", "1", "--block", "100")):
            code, got, message = dump(tool, path, *way)
            lost = [r for r in got if r["kind"] == "quarantine"]
            good = [r["record"] for r in got if r["kind"] == "record"]
            whole = got and got[-1]["read"] == got[-1]["records"] and got[-1]["read"] == len(good) + got[-1]["quarantined"]
            if code != 0 or not whole or [r["reason"] for r in lost] != ["damaged_stream"] or any(r["content"].count("u") < 1 for r in got if r["kind"] == "record"):
                fail(f"{name}: {code} {message} {got}")
            outcomes.append((good, [(r["record"], r["detail"]) for r in lost]))
        if outcomes and outcomes[0] != outcomes[1]:
            fail(f"{name}: the two ways of reading disagree: {outcomes}")
        # What stands before the damage is kept, nothing behind it. Columns without lists are counted before the first row, lists that
        # are too many show behind the last.
        expected = {"a row inside a list": [], "a row too few": [], "a row too many": [], "a list too many": [1, 2, 3, 4, 5, 6]}.get(name, [1, 2, 3])
        if outcomes and outcomes[0][0] != expected:
            fail(f"{name}: records {outcomes[0][0]}, not {expected}")


# ---- limits

def check_limits(tool, folder):
    path = os.path.join(folder, "long.parquet")
    talk = [[{"role": "user", "content": "u"}, {"role": "assistant", "content": "a" * size}] for size in (10, 3000, 10, 900)]
    talk.append([{"role": "user", "content": "\0" * 400}, {"role": "assistant", "content": "a"}])  # six bytes each in JSON
    pq.write_table(pa.table({"messages": talk}), path)
    for way in ((), ("--group-max", "1", "--block", "100")):
        code, got, message = dump(tool, path, "--record-max", "2000", *way)
        seen = [(r["kind"], r["record"], r.get("reason")) for r in got[:-1]]
        wanted = [("record", 1, None), ("quarantine", 2, "too_long"), ("record", 3, None), ("record", 4, None), ("quarantine", 5, "too_long")]
        if code != 0 or sorted(seen, key=lambda s: s[1]) != wanted:
            fail(f"rows over the limit: {code} {message} {seen}")
    bad = pa.array([[b"ok"], [b"no\xff"], [b"ok"]], pa.list_(pa.binary()))
    pq.write_table(pa.table({"solutions": bad}), path)
    code, got, message = dump(tool, path)
    if [(r["kind"], r.get("reason"), r.get("detail")) for r in got[:-1]] != [("record", None, None), ("record", None, None), (
            "quarantine", "bad_utf8", "solutions: byte 0xff at byte 2")]:
        fail(f"a text that is not UTF-8: {code} {message} {got}")


# ---- random files

def text(r, longest=60):
    kind = r.random()
    if kind < 0.1:
        return ""
    alphabet = "ab \n" if kind < 0.4 else "def f(x):\n\t\"'\\{}[]0123456789" if kind < 0.9 else "aé漢😀\u2028\0\x7f\r"
    return "".join(r.choice(alphabet) for _ in range(r.randrange(1, longest)))


def junk_type(r, depth=0):
    kinds = [pa.string(), pa.string(), pa.large_string(), pa.binary(), pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.null(),
             pa.timestamp("us"), pa.date32(), pa.decimal128(10, 2), pa.binary(3), pa.map_(pa.string(), pa.int32())]
    if depth > 3 or r.random() < 0.4:
        return r.choice(kinds)
    if r.random() < 0.5:
        inner = junk_type(r, depth + 1)
        return r.choice([pa.list_, pa.list_, pa.large_list])(inner)
    names = r.sample(["role", "content", "from", "value", "language", "solution", "code", "cell_type", "source", "text", "name", "x"], r.randrange(1, 4))
    return pa.struct([(n, junk_type(r, depth + 1)) for n in names])


def some(r, kind, nulls):
    """A random value of the type."""
    if pa.types.is_null(kind) or r.random() < nulls:
        return None
    if pa.types.is_struct(kind):
        return {f.name: some(r, f.type, nulls) for f in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [some(r, kind.value_type, nulls) for _ in range(r.choice([0, 1, 1, 2, 3, 9]))]
    if pa.types.is_map(kind):
        return [(text(r, 5), r.randrange(9)) for _ in range(r.randrange(3))]
    if pa.types.is_boolean(kind):
        return r.random() < 0.5
    if pa.types.is_integer(kind):
        bits, signed = kind.bit_width, str(kind).startswith("int")
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        return r.choice([low, high, max(low, min(high, r.randrange(6)))])
    if pa.types.is_floating(kind):
        return r.choice([0.0, 2.0, 2.5, -1e30, 1e300 if kind.bit_width == 64 else 1e30, float("inf"), float("nan")])
    if pa.types.is_timestamp(kind):
        return datetime.datetime(2020, 1, r.randrange(1, 28))
    if pa.types.is_date(kind):
        return datetime.date(2020, 1, r.randrange(1, 28))
    if pa.types.is_decimal(kind):
        return decimal.Decimal("1.25")
    if pa.types.is_fixed_size_binary(kind):
        return b"abc"
    value = r.choice(["user", "assistant", "human", "gpt", "system", "code", "markdown"]) if r.random() < 0.3 else text(r)
    return value.encode() if pa.types.is_binary(kind) else value


S = pa.string()
FORMS = {
    "parsed": [("cells", pa.list_(pa.list_(pa.list_(S)))), ("cell_types", pa.list_(S)), ("cell_type_groups", pa.list_(pa.list_(S)))],
    "pairs": [("markdown", S), ("code", S), ("output", S)],
    "whole": [("cells", pa.list_(pa.struct([("cell_type", S), ("source", pa.list_(S)), ("outputs", pa.list_(pa.struct([("text", S)])))]))), ("nbformat", pa.float64()),
              ("metadata", pa.struct([("kernelspec", pa.struct([("name", S)]))]))],
    "worksheets": [("worksheets", pa.list_(pa.struct([("cells", pa.list_(pa.struct([("cell_type", S), ("input", S), ("level", pa.int32())])))]))), ("nbformat", pa.int32())],
    "side by side": [("solutions", pa.struct([("language", pa.list_(pa.int64())), ("solution", pa.list_(S))])), ("name", S), ("description", S)],
    "structs": [("solutions", pa.list_(pa.struct([("code", S), ("language", S)]))), ("question", S), ("problem_id", pa.int64())],
    "texts": [("solutions", pa.list_(S)), ("id", pa.int32()), ("title", S)],
    "messages": [("messages", pa.list_(pa.struct([("role", S), ("content", S)])))],
    "sharegpt": [("conversations", pa.list_(pa.struct([("from", S), ("value", S)])))],
    "alpaca": [("instruction", S), ("input", S), ("output", S)],
    "prompts": [("prompt", S), ("completion", S)],
    "files": [],
}
FIELDS = [("content", S), ("repo_name", S), ("path", S), ("license", S), ("licenses", pa.list_(S)), ("max_stars_count", pa.float64()), ("stars", pa.int64()), ("language", S)]


def codeful(r, kind, values):
    """Random texts are seldom what a form wants: some of them become JSON, or what cells say."""
    if kind == S and r.random() < 0.3:
        return [json.dumps([v, "x"]) if v is not None and r.random() < 0.5 else v for v in values]
    return values


def random_table(r):
    columns = dict(r.sample(FIELDS, r.randrange(5)))
    for form in r.sample(list(FORMS), r.choice([1, 1, 2])):
        columns.update(FORMS[form])
    for name in list(columns):
        if name not in dict(FIELDS) and name not in ("instruction", "input", "output", "prompt", "completion", "code") and r.random() < 0.15:
            columns[name] = junk_type(r)
    for i in range(r.randrange(3)):
        columns[f"extra{i}"] = junk_type(r)
    names = list(columns)
    r.shuffle(names)
    rows, nulls = r.choice([0, 1, 5, 60, 300]), r.choice([0.0, 0.05, 0.3, 0.9])
    return pa.table({n: pa.array(codeful(r, columns[n], [some(r, columns[n], nulls) for _ in range(rows)]), columns[n]) for n in names})


def random_options(r, rows):
    return {"compression": r.choice(["none", "snappy", "gzip", "zstd", "lz4", "brotli"]), "data_page_version": r.choice(["1.0", "2.0"]),
            "row_group_size": r.choice([1, 3, 64, 100000]) if rows < 100 else r.choice([64, 100000]), "data_page_size": r.choice([64, 1000, 1 << 20]),
            "use_dictionary": r.random() < 0.5, "write_page_checksum": r.random() < 0.3, "version": r.choice(["1.0", "2.6"]), "store_schema": r.random() < 0.8,
            "use_compliant_nested_type": r.random() < 0.7, "dictionary_pagesize_limit": r.choice([64, 1 << 20])}


def check_random(tool, seed, files, folder):
    records = 0
    path = os.path.join(folder, "random.parquet")
    for i in range(files):
        r = random.Random(seed * 1000003 + i)
        table = random_table(r)
        options = random_options(r, table.num_rows)
        pq.write_table(table, path, **options)
        # Not read back: there are nested types that pyarrow (26.0.1) writes and does not read.
        records += compare(tool, f"random file {i} (seed {seed}, {options}, {table.schema})", path, folder, *SHAPES, table=table) or 0
    if files > 20 and records < files:
        fail(f"{records} records in {files} random files: this test tests little")
    # One row group of many rows, whose lists go over pages and batches of levels.
    r = random.Random(seed)
    cells = [[[[text(r), text(r)] for _ in range(r.randrange(4))] for _ in range(r.randrange(5))] for _ in range(20000)]
    table = pa.table({"cells": pa.array(cells, FORMS["parsed"][0][1]), "cell_types": [["code", "markdown", "code", "raw", "code"]] * 20000})
    pq.write_table(table, path, row_group_size=20000, data_page_size=4000)
    compare(tool, "a large row group", path, folder, *SHAPES)


# ---- damage

def check_damaged(tool, seed, count, folder):
    r = random.Random(seed + 5)
    path, rows = os.path.join(folder, "d.parquet"), 300
    talk = [[{"role": "user", "content": f"u{i} " + text(r)}, {"role": "assistant", "content": f"a{i} {text(r)}."}] * (1 + i % 3) for i in range(rows)]
    pq.write_table(pa.table({"messages": talk, "path": [f"p{i}" for i in range(rows)]}), path, row_group_size=100, compression=r.choice(["zstd", "none"]),
                   write_page_checksum=True, data_page_size=1000)
    good = open(path, "rb").read()
    whole = {x["record"]: x["content"] for x in dump(tool, path)[1][:-1]}
    lost_somewhere = 0
    for i in range(count):
        data = bytearray(good)
        if r.random() < 0.3:
            data = data[: r.randrange(4, len(data))]
        else:
            for _ in range(r.choice([1, 1, 30])):
                data[r.randrange(4, len(data))] ^= 1 << r.randrange(8)
        open(path, "wb").write(data)
        outcomes = []
        for way in ((), ("--group-max", "1", "--block", "2000")):
            code, got, message = dump(tool, path, *way)
            if code == 3 and ("no column" in message or "cannot be" in message or "no Parquet" in message or "encrypted" in message):
                outcomes.append("refused")  # a damaged schema
                continue
            if code != 0:
                fail(f"damaged file {i}: exit code {code}: {message}")
                continue
            end, records = got[-1], [x for x in got if x["kind"] == "record"]
            bad = [x for x in got if x["kind"] == "quarantine"]
            if end["read"] != end["records"] or end["read"] != len(records) + end["quarantined"]:
                fail(f"damaged file {i}: {end}")
            wrong = [x["record"] for x in records if whole.get(x["record"]) != x["content"]]
            if wrong and end["records"] == rows and not bad:
                fail(f"damaged file {i}: wrong content in records {wrong[:5]}")
            lost_somewhere += bool(bad)
            outcomes.append(sorted((x["record"], x["kind"], x.get("content"), x.get("detail")) for x in got[:-1]))
        if len(outcomes) == 2 and outcomes[0] != outcomes[1]:
            fail(f"damaged file {i}: the two ways of reading disagree: {str([d for d in zip(*outcomes) if d[0] != d[1]][:2])}")
    if lost_somewhere == 0:
        fail("no damage was ever found; this test tests nothing")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--damaged", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = check_corpus(args.tool, folder)
        check_sets(args.tool, folder)
        check_paths(args.tool, folder)
        check_named(args.tool, folder)
        check_datasets(args.tool, folder)
        check_old(args.tool, folder)
        check_contradictions(args.tool, folder)
        check_limits(args.tool, folder)
        check_random(args.tool, args.seed, args.files, folder)
        check_damaged(args.tool, args.seed, args.damaged, folder)
    print(f"{seen} files of the corpus{'' if seen else ' (it is not here)'}, {args.files} random files, {args.damaged} damaged ones: {failures} failures")
    sys.exit(1 if failures else 0)


main()
