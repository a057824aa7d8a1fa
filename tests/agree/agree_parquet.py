"""Reading Parquet must agree with pyarrow: the corpus samples, random files of every codec, encoding and nesting, and damaged files.

usage: agree_parquet.py DUMP_RECORDS SHARDMILL [--seed N] [--files N] [--damaged N]
"""
import argparse, json, os, random, shutil, subprocess, sys, tempfile, time

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    print("pyarrow is missing (tests/agree/requirements.txt)")
    sys.exit(77)

SHARED = os.environ.get("SHARDMILL_SHARED") or os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")
COLUMNS = {
    "content": ["content", "code"],
    "repo": ["repo", "repo_name", "repository_name", "max_stars_repo_name"],
    "path": ["path", "max_stars_repo_path"],
    "stars": ["stars", "max_stars_count", "star_events_count"],
    "licence": ["licence", "license", "licenses", "max_stars_repo_licenses", "detected_licenses"],
}
failures = 0


def fail(what):
    global failures
    failures += 1
    print("FAIL", what)


def dump(tool, path, *options):
    done = subprocess.run([tool, path, *options], capture_output=True, timeout=120)
    rows = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]] if done.returncode == 0 else []
    return done.returncode, rows, done.stderr.decode()


def stars_of(value):
    if value is None or isinstance(value, bool):
        return -1
    if isinstance(value, str):
        value = value.strip(" ")
        whole, _, fraction = value.partition(".")
        return min(int(whole), 2**63 - 1) if whole.isascii() and whole.isdigit() and not fraction.strip("0") else -1
    if isinstance(value, int):
        return min(value, 2**63 - 1) if value >= 0 else -1
    return min(int(value), 2**63 - 1) if 0 <= value < float("inf") else -1


def licence_of(value):
    if isinstance(value, dict):
        value = value.get("list")
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    items = [i.get("item", i.get("element")) if isinstance(i, dict) else i for i in value]
    joined = ""
    for item in items:
        if item is not None:
            joined += ("," if joined else "") + item
    return joined


def expected(table):
    """One tuple a row, or a quarantine reason."""
    out = []
    for row in table.to_pylist():
        found = {f: next((row[c] for c in names if row.get(c) is not None), None) for f, names in COLUMNS.items()}
        texts = {}
        reason = "no_content" if found["content"] is None else None
        for field in ("content", "repo", "path"):
            value = found[field]
            if isinstance(value, bytes):
                try:
                    value = value.decode()
                except UnicodeDecodeError:
                    reason = reason or "bad_utf8"
                    value = ""
            texts[field] = value or ""
        out.append(reason or (texts["content"], texts["repo"], texts["path"], stars_of(found["stars"]), licence_of(found["licence"])))
    return out


def compare(name, table, code, rows, message):
    if code != 0:
        return fail(f"{name}: exit code {code}: {message.strip()}")
    want, got = expected(table), [None] * table.num_rows
    for row in rows:
        if row["kind"] == "record":
            got[row["record"] - 1] = (row["content"], row["repo"], row["path"], row["stars"], row["licence"])
        elif row["kind"] == "quarantine":
            if row["record"] > table.num_rows:
                return fail(f"{name}: {row}")
            got[row["record"] - 1] = row["reason"]
    facts = rows[-1]
    if facts["read"] != table.num_rows or facts["records"] != table.num_rows:
        fail(f"{name}: {facts['read']} read, {facts['records']} counted, {table.num_rows} there")
    for i, (w, g) in enumerate(zip(want, got)):
        if w != g:
            return fail(f"{name}: row {i + 1}: expected {str(w)[:300]}, got {str(g)[:300]}")


# ---- random files ----------------------------------------------------------------------------------------------------------------
def text(r, longest):
    kind = r.random()
    if kind < 0.1:
        return ""
    alphabet = "ab \n" if kind < 0.3 else "def f(x):\n\t\"'\\{}0123456789" if kind < 0.9 else "aé漢😀\u2028\0\x7f"
    return "".join(r.choice(alphabet) for _ in range(r.randrange(1, longest)))


def column(r, rows, kind, nulls):
    def some(make):
        return [None if r.random() < nulls else make() for _ in range(rows)]
    if kind in ("string", "large_string", "binary", "large_binary", "dictionary"):
        pool = [text(r, r.choice([5, 60, 3000])) for _ in range(r.choice([1, 3, rows + 1]))]
        values = some(lambda: r.choice(pool) if r.random() < 0.5 else text(r, 40))
        if kind == "dictionary":
            return pa.array(values, pa.string()).dictionary_encode()
        if "binary" in kind:
            values = [None if v is None else v.encode() + (b"\xff" if r.random() < 0.05 else b"") for v in values]
        return pa.array(values, getattr(pa, kind)())
    if kind in ("float32", "float64"):
        return pa.array(some(lambda: r.choice([0.0, 2.0, 2.5, -1.0, 1e30, float("inf"), float(r.randrange(1 << 20))])), getattr(pa, kind)())
    if kind == "text_stars":
        return pa.array(some(lambda: r.choice(["12", "2.0", "", "x", " 7 ", "99999999999999999999"])), pa.string())
    if kind == "null":
        return pa.nulls(rows)
    if kind.startswith(("int", "uint")):
        bits = int(kind.lstrip("uint"))
        low, high = (0, 2**bits - 1) if kind[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return pa.array(some(lambda: r.choice([low, high, 0, 1, r.randrange(low, high)])), getattr(pa, kind)())
    words = ["MIT", "Apache-2.0", "", "GPL-3.0-only", None]
    if kind in ("list", "large_list"):
        return pa.array(some(lambda: [r.choice(words) for _ in range(r.randrange(4))]),
                        pa.list_(pa.string()) if kind == "list" else pa.large_list(pa.string()))
    items = pa.list_(pa.struct([("item", pa.string())]))
    if kind == "list_struct":
        return pa.array(some(lambda: [{"item": r.choice(words)} for _ in range(r.randrange(4))]), items)
    if kind == "struct_list":
        return pa.array(some(lambda: {"list": [r.choice(words) for _ in range(r.randrange(4))]}), pa.struct([("list", pa.list_(pa.string()))]))
    if kind == "nested":
        inner = pa.struct([("a", pa.list_(pa.list_(pa.int32()))), ("content", pa.string())])
        return pa.array(some(lambda: {"a": [[r.randrange(9)] * r.randrange(3)] * r.randrange(3), "content": "no"}), inner)
    raise ValueError(kind)


TEXTS = ["string", "large_string", "binary", "large_binary", "dictionary"]
STARS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "text_stars", "null"]
LICENCES = ["string", "list", "large_list", "list_struct", "struct_list", "dictionary", "null"]


def random_file(r, path):
    rows = r.choice([0, 1, 2, 7, 100, 129, 700])
    nulls = r.choice([0.0, 0.0, 0.1, 0.9])
    columns = [(r.choice(COLUMNS["content"]), r.choice(TEXTS))]
    columns += [(r.choice(COLUMNS["repo"]), r.choice(TEXTS)), (r.choice(COLUMNS["path"]), r.choice(TEXTS))]
    columns += [(r.choice(COLUMNS["stars"]), r.choice(STARS)), (r.choice(COLUMNS["licence"]), r.choice(LICENCES))]
    columns += [(f"extra{i}", r.choice(TEXTS + STARS + LICENCES + ["nested"])) for i in range(r.randrange(4))]
    if r.random() < 0.2:
        columns.append(("code" if columns[0][0] == "content" else "content", "string"))
    if r.random() < 0.1:
        columns.append(("max_stars_repo_name" if columns[1][0] != "max_stars_repo_name" else "repo", "string"))
    r.shuffle(columns)
    names = [n for n, _ in columns]
    arrays = [column(r, rows, k, 0.0 if n in ("content", "code") and r.random() < 0.7 else nulls) for n, k in columns]
    table = pa.table(dict(zip(names, arrays)))
    options = {
        "compression": r.choice(["none", "snappy", "gzip", "zstd", "lz4", "brotli"]),
        "data_page_version": r.choice(["1.0", "2.0"]),
        "row_group_size": r.choice([1, 3, 64, 500, 100000]) if rows < 200 else r.choice([64, 500, 100000]),
        "data_page_size": r.choice([64, 1000, 1 << 20]),
        "write_statistics": r.random() < 0.7,
        "write_page_checksum": r.random() < 0.3,
        "write_page_index": r.random() < 0.3,
        "version": r.choice(["1.0", "2.4", "2.6"]),
        "store_schema": r.random() < 0.8,
        "use_compliant_nested_type": r.random() < 0.7,
        "dictionary_pagesize_limit": r.choice([64, 1 << 20]),
    }
    if r.random() < 0.5:
        options["use_dictionary"] = False
        plain = [n for n, k in columns if k in ("string", "large_string", "binary", "large_binary")]
        encodings = ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]
        options["column_encoding"] = {n: r.choice(encodings) for n in plain}
    pq.write_table(table, path, **options)
    return pq.read_table(path), {k: v for k, v in options.items() if k != "column_encoding"}, columns


def check_random(tool, seed, files, folder):
    for i in range(files):
        r = random.Random(seed * 1000003 + i)
        path = os.path.join(folder, f"r{i}.parquet")
        table, options, columns = random_file(r, path)
        kept = {}
        for group_max, block in ((0, 64 << 20), (0, r.choice([1, 1000])), (1, r.choice([1, 5000, 64 << 20]))):
            code, rows, message = dump(tool, path, "--block", str(block), "--group-max", str(group_max))
            compare(f"random file {i} (seed {seed}, {options}, {columns}, block {block}, group max {group_max})", table, code, rows, message)
            kept[group_max, block] = sorted(json.dumps(row) for row in rows)
        if len({str(k) for k in kept.values()}) != 1:
            fail(f"random file {i}: the way of reading shows in the records")
        os.unlink(path)


# ---- damage ----------------------------------------------------------------------------------------------------------------------
def check_damaged(tool, seed, count, folder):
    r = random.Random(seed + 5)
    path, rows = os.path.join(folder, "d.parquet"), 400
    contents = [f"# file {i}\n" + "".join(r.choice("abcdef \n") for _ in range(300)) for i in range(rows)]
    table = pa.table({"content": contents, "repo": [f"o/r{i % 7}" for i in range(rows)], "licenses": [["MIT"]] * rows, "stars": list(range(rows))})
    pq.write_table(table, path, row_group_size=100, compression="zstd", write_page_checksum=True, data_page_size=4000)
    good = open(path, "rb").read()
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
        for group_max in ("0", "1"):
            code, got, message = dump(tool, path, "--group-max", group_max, "--block", "20000")
            if code == 3 and ("no column" in message or "cannot be" in message or "no Parquet" in message or "encrypted" in message):
                outcomes.append("refused")  # a damaged schema
                continue
            if code != 0:
                fail(f"damaged file {i}: exit code {code}: {message}")
                continue
            facts, records = got[-1], [x for x in got if x["kind"] == "record"]
            bad = [x for x in got if x["kind"] == "quarantine"]
            if facts["read"] != facts["records"] or facts["read"] != len(records) + facts["quarantined"]:
                fail(f"damaged file {i}: {facts}")
            if len(records) < facts["records"] and not bad:
                fail(f"damaged file {i}: {rows - len(records)} rows are missing and nobody tells")
            lost_somewhere += bool(bad)
            # What still passes the checksums is what was written.
            wrong = [x["record"] for x in records if x["record"] > rows or x["content"] != contents[x["record"] - 1]]
            if wrong and facts["records"] == rows and not bad:
                fail(f"damaged file {i}: wrong content in records {wrong[:5]}")
            outcomes.append(sorted((x["record"], x["kind"], x.get("content"), x.get("detail")) for x in got[:-1]))
        if len(outcomes) == 2 and outcomes[0] != outcomes[1]:
            differ = [(a, b) for a, b in zip(*outcomes) if a != b] or outcomes
            fail(f"damaged file {i}: the two ways of reading disagree: {str(differ)[:500]}")
    if lost_somewhere == 0:
        fail("no damage was ever found; this test tests nothing")


def check_refusals(tool, shardmill, folder):
    path = os.path.join(folder, "x.parquet")

    def refused(table, part, *options):
        pq.write_table(pa.table(table), path)
        code, _, message = dump(tool, path, *options)
        if code != 3 or part not in message:
            fail(f"expected a refusal with '{part}', got {code}: {message}")

    refused({"body": ["x"]}, "no column that holds content; it has body")
    refused({"content": [1]}, "cannot be content")
    refused({"content": [["x"]]}, "it is a list")
    refused({"content": ["x"]}, "no column nothere", "--content", "nothere")
    refused({"content": ["x"], "m": [{"a": 1, "b": 2}]}, "several parts", "--stars", "m")
    open(path, "wb").write(b"{}")
    code, _, message = dump(tool, path)
    if code != 3 or "no Parquet file" not in message:
        fail(f"a file of another kind: {code} {message}")
    # A dotted path reaches inside a struct; a name without suffix is known by its content.
    other = os.path.join(folder, "noname")
    pq.write_table(pa.table({"id": [1, 2], "f": [{"x": ["p", "q"], "text": "hello"}, {"x": [], "text": "there"}]}), other)
    code, rows, message = dump(tool, other, "--content", "f.text")
    if [x.get("content") for x in rows[:-1]] != ["hello", "there"]:
        fail(f"dotted path: {code} {rows} {message}")
    done = subprocess.run([shardmill, "explain", f"{other}:2", "--field", "content=f.text", "--json"], capture_output=True, text=True)
    if done.returncode != 0 or json.loads(done.stdout)["bytes"] != 5:
        fail(f"explain of a row: {done.returncode} {done.stdout[:300]} {done.stderr}")


def check_runs(shardmill, folder):
    """The same bytes for any number of threads; a damaged file is told of, and --strict minds."""
    source = os.path.join(folder, "in")
    os.mkdir(source)
    r = random.Random(7)
    for n in range(3):
        lines = [f"def f{i}_{n}(x):\n    # step {i}\n    y = x * {r.randrange(10**9)}\n    z = y + {r.randrange(10**9)}\n    w = z - 1\n    return w + {i}\n" * 3
                 for i in range(300)]
        pq.write_table(pa.table({"content": lines, "path": [f"a/{i}.py" for i in range(300)]}), f"{source}/{n}.parquet", row_group_size=50,
                       write_page_checksum=True)
    data = bytearray(open(f"{source}/1.parquet", "rb").read())
    groups = pq.ParquetFile(f"{source}/1.parquet").metadata
    chunk = groups.row_group(2).column(0)
    data[(end := chunk.dictionary_page_offset + chunk.total_compressed_size) - 20:end] = b"\xff" * 20
    open(f"{source}/1.parquet", "wb").write(data)
    sums = []
    for threads in ("1", "4"):
        out = os.path.join(folder, "out" + threads)
        done = subprocess.run([shardmill, "run", source, "-o", out, "-j", threads, "--set", "tokenizer.vocab_size=400", "--strict", "-q"],
                              capture_output=True, text=True)
        if done.returncode != 3:
            fail(f"--strict with a damaged file: {done.returncode} {done.stderr}")
            return
        sums.append(open(f"{out}/SHA256SUMS").read())
        if subprocess.run([shardmill, "verify", out], capture_output=True).returncode != 0:
            fail("verify of a run over Parquet: " + subprocess.run([shardmill, "verify", out], capture_output=True, text=True).stderr)
    if sums[0] != sums[1]:
        fail("threads change the bytes")
    bad = [json.loads(line) for line in open(f"{folder}/out1/quarantine.jsonl")]
    funnel = json.load(open(f"{folder}/out1/metrics.json"))["funnel"]
    if len(bad) != 1 or bad[0]["reason"] != "damaged_stream" or not 101 <= bad[0]["record"] <= 150 or funnel["read"] != 900 \
            or funnel["quarantined"] != 151 - bad[0]["record"]:
        fail(f"the damaged row group: {bad} {funnel}")


# A process of its own starts the program: the peak of a process begins with what the one held that started it.
MEASURE = """import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""


def check_memory(shardmill, folder):
    """A row group of far more text than memory: the limit holds, and units that were cut for one memory are taken up with another."""
    path, out = os.path.join(folder, "large.parquet"), os.path.join(folder, "large")
    r = random.Random(3)
    block = "".join(r.choice("abcdefgh ()=\n\"") for _ in range(1 << 16))
    texts = [f"# {i}\n" + block[i:] + block[:i] for i in range(2200)]
    arguments = ["--set", "filter.enabled=false", "--durability", "fast", "-q", "-j", "1", "--keep-work"]
    for name, table in (("files", {"content": texts}), ("conversations", {"messages": [
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": t}] for t in texts]})):
        pq.write_table(pa.table(table), path, row_group_size=1 << 20, compression="zstd")
        sums = {}
        for memory, most in (("256M", 256 * 1.1 + 64), ("4G", 1 << 20)):
            told = subprocess.run([sys.executable, "-S", "-c", MEASURE, shardmill, "filter", path, "-o", out + memory, "--memory", memory, *arguments],
                                  capture_output=True, text=True)
            status, peak = map(int, told.stdout.split())
            if status != 0 or peak / 1024 > most:
                fail(f"a large row group of {name}: --memory {memory}: status {status}, {peak / 1024:.0f} MiB at most; {told.stderr}")
            sums[memory] = open(f"{out}{memory}/SHA256SUMS").read()
        units = [len(os.listdir(f"{out}{memory}/.shardmill/stage/ingest")) for memory in sums]
        if len(set(sums.values())) != 1 or units[0] <= units[1]:
            fail(f"a large row group of {name}: {units} units, and memory shows in the bytes: {sums}")
        process = subprocess.Popen([shardmill, "filter", path, "-o", out, "--memory", "256M", *arguments])
        while process.poll() is None and not os.path.exists(f"{out}/.shardmill/stage/ingest/000002.seg"):
            time.sleep(0.002)
        process.kill()
        process.wait()
        done = subprocess.run([shardmill, "filter", path, "-o", out, "--memory", "4G", *arguments], capture_output=True, text=True)
        if done.returncode != 0 or open(f"{out}/SHA256SUMS").read() != sums["4G"]:
            fail(f"a large row group of {name}: killed, then taken up with more memory: {done.returncode} {done.stderr}")
        for each in (out, out + "256M", out + "4G"):
            shutil.rmtree(each)
    os.unlink(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("shardmill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=80)
    parser.add_argument("--damaged", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        check_refusals(args.tool, args.shardmill, folder)
        check_runs(args.shardmill, folder)
        check_memory(args.shardmill, folder)
        check_random(args.tool, args.seed, args.files, folder)
        check_damaged(args.tool, args.seed, args.damaged, folder)
    seen = 0
    for below, _, names in sorted(os.walk(os.path.join(SHARED, "corpus"))):
        for name in sorted(n for n in names if n.endswith(".parquet") and n != "jupyter-parsed.parquet"):
            path = os.path.join(below, name)
            code, rows, message = dump(args.tool, path)
            compare(name, pq.read_table(path), code, rows, message)
            seen += 1
    print(f"{args.files} random files, {args.damaged} damaged ones, {seen} files of the corpus{'' if seen else ' (it is not here)'}: {failures} failures")
    sys.exit(1 if failures else 0)


main()
