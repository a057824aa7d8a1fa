"""posts_dump.py: a Stack Exchange dump in the real format, made up: for tests, and by hand for dumps of any size.

usage: posts_dump.py FILE MEGABYTES [--seed N]
"""
import random
import sys
from xml.sax.saxutils import quoteattr

WORDS = "value list loop index string array parse error file thread async query table column null type class method return import".split()
TAGS = [["python", "pandas"], ["c#", ".net"], ["javascript", "jquery"], ["java"], ["c++", "stl"], ["go"], ["sql", "mysql"], ["rust"], ["algorithm"]]


def words(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


def code(rng, lines):
    return "\n".join(f"{rng.choice(WORDS)}_{rng.randrange(99)} = {rng.choice(WORDS)}({rng.randrange(999)} &lt; n)" for _ in range(lines)) + "\n"


def body(rng, size):
    parts = []
    for _ in range(rng.randrange(1, 2 + size)):
        parts.append(f"<p>{words(rng, rng.randrange(5, 60))} with <code>{rng.choice(WORDS)}</code>.</p>")
        kind = rng.random()
        if kind < 0.4:
            parts.append(f"<pre><code>{code(rng, rng.randrange(1, 20))}</code></pre>")
        elif kind < 0.6:
            parts.append(f'<pre class="lang-py prettyprint-override"><code>{code(rng, rng.randrange(1, 8))}</code></pre>')
        elif kind < 0.7:
            parts.append("<ul>\n" + "".join(f"<li>{words(rng, 6)}</li>\n" for _ in range(3)) + "</ul>")
    return "\n\n".join(parts) + "\n"


def row(**fields):
    return "  <row " + " ".join(f"{key}={quoteattr(str(value), {chr(10): '&#xA;'})}" for key, value in fields.items()) + " />\r\n"


def rows(rng):
    """(fields) of posts without end: questions, answers to earlier and to later questions, wikis."""
    number, open_questions = 0, [1]
    while True:
        number += 1
        date = f"20{rng.randrange(10, 24)}-0{rng.randrange(1, 9)}-11T10:11:12.133"
        owner = {} if rng.random() < 0.05 else {"OwnerUserId": rng.randrange(1, 9999)}
        kind = rng.random()
        if number == 1 or kind < 0.35:
            open_questions = open_questions[-50:] + [number]
            yield dict(Id=number, PostTypeId=1, CreationDate=date, Score=rng.randrange(-3, 40), ViewCount=7, Body=body(rng, 3), **owner,
                       LastActivityDate=date, Title=f"How to {words(rng, 6)}?", Tags="".join(f"<{t}>" for t in rng.choice(TAGS)),
                       AnswerCount=2, CommentCount=0, ContentLicense="CC BY-SA 4.0")
        elif kind < 0.98:
            parent = rng.choice(open_questions) if rng.random() < 0.97 else number + rng.randrange(1, 400)
            yield dict(Id=number, PostTypeId=2, ParentId=parent, CreationDate=date, Score=rng.randrange(-3, 20), Body=body(rng, 4), **owner,
                       LastActivityDate=date, CommentCount=1, ContentLicense="CC BY-SA 3.0")
        else:
            yield dict(Id=number, PostTypeId=rng.choice([4, 5]), CreationDate=date, Score=0, Body=words(rng, 20))


def write(out, bytes_wanted, seed=1):
    """Writes the dump; returns the fields of its rows if it is small."""
    rng, done, kept = random.Random(seed), 0, []
    out.write(b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n')
    # A large dump repeats the bodies of its first rows under other numbers: making them up is slow.
    stock = []
    for fields in rows(rng):
        if len(stock) >= 20000:
            fields["Body"] = stock[fields["Id"] * 7919 % len(stock)]
        else:
            stock.append(fields["Body"])
        line = row(**fields).encode()
        out.write(line)
        done += len(line)
        if bytes_wanted <= 64 << 20:
            kept.append(fields)
        if done >= bytes_wanted:
            break
    out.write(b"</posts>")
    return kept


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as file:
        write(file, int(sys.argv[2]) << 20, int(sys.argv[4]) if len(sys.argv) > 4 else 1)
