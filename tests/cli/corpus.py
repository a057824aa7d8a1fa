# corpus.py: a small corpus for the tests of the program, and what to compare of an output directory.
import hashlib, json, os, random


def write_corpus(path, records=400, seed=1):
    """JSON lines of several languages with exact and near duplicates, bad lines and text that is not ASCII."""
    rng, lines, texts = random.Random(seed), [], []
    words = ["value", "index", "result", "buffer", "naïve", "данные", "値", "count", "🙂", "node", "left", "right"]
    for n in range(records):
        kind = rng.random()
        if kind < 0.08 and texts:
            text = rng.choice(texts)
        elif kind < 0.15 and texts:
            text = rng.choice(texts) + "# changed\n"
        else:
            text = "".join("def %s_%d(%s, n):\n    return %s + %d\n\n" % (rng.choice(words), rng.randrange(50), rng.choice(words),
                           rng.choice(words), rng.randrange(1000)) for _ in range(rng.randrange(3, 60)))
        texts.append(text)
        lines.append(json.dumps({"content": text, "language": rng.choice(["python", "java", "go", "C++", "Shell"]), "repo": "r/%d" % (n % 7),
                                 "path": "src/%d.py" % n, "stars": rng.choice([0, 5, 50, 500])}, ensure_ascii=rng.random() < 0.5))
        if n % 40 == 0:
            lines.append(rng.choice(['{"content": ', "[1, 2]", '{"other": 1}', '{"content": 7}']))
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def product(directory):
    """{path: digest} of every file that belongs to the product."""
    found = {}
    for root, folders, files in os.walk(directory):
        folders[:] = [f for f in folders if f != ".shardmill"]
        for name in files:
            path = os.path.join(root, name)
            found[os.path.relpath(path, directory)] = hashlib.sha256(open(path, "rb").read()).hexdigest()
    return found


def read_manifest(directory):
    """The manifest of a finished directory, without its seal."""
    with open(os.path.join(directory, "manifest.json"), "rb") as f:
        return json.loads(f.read().split(b"\n")[0])


def seal(directory, manifest, sums=True):
    """Writes the manifest with a right seal, and (sums) with sizes and digests of the files as they are: what damage has to pass to be found by
    reading alone."""
    for entry in manifest["files"]:
        path = os.path.join(directory, entry["path"])
        if sums and os.path.isfile(path):
            data = open(path, "rb").read()
            entry["bytes"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    with open(os.path.join(directory, "SHA256SUMS"), "w") as f:
        f.writelines(f"{e['sha256']}  {e['path']}\n" for e in manifest["files"])
    body = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    with open(os.path.join(directory, "manifest.json"), "wb") as f:
        f.write(body + b"#sha256:" + hashlib.sha256(body).hexdigest().encode() + b"\n")
