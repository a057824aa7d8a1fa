# tokens.py: what the tests of the program need to read its shards: lines of zstd files, and the text of ids.
import json
import subprocess


def lines(path):
    data = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
    return [json.loads(line) for line in data.splitlines()]


def byte_table():
    """The bytes that the characters of a byte-level vocabulary stand for."""
    shown = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 256
    for byte in range(256):
        if byte in shown:
            table[chr(byte)] = byte
        else:
            table[chr(extra)] = byte
            extra += 1
    return table


class Vocabulary:
    def __init__(self, directory):
        data, table = json.loads((directory / "tokenizer/tokenizer.json").read_text()), byte_table()
        self.controls = {t["id"]: t["content"] for t in data["added_tokens"]}
        self.bytes = {i: bytes(table[c] for c in word) for word, i in data["model"]["vocab"].items() if i not in self.controls}

    def pieces(self, ids):
        """Control tokens as str, text between them as bytes."""
        out = []
        for i in ids:
            if i in self.controls:
                out.append(self.controls[i])
            elif out and isinstance(out[-1], bytes):
                out[-1] += self.bytes[i]
            else:
                out.append(self.bytes[i])
        return out

    def spell(self, ids):
        """The text, control tokens in '[' and ']'."""
        return b"".join(p if isinstance(p, bytes) else f"[{p}]".encode() for p in self.pieces(ids)).decode(errors="replace")
