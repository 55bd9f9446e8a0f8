"""Makes the data once: Python's own standard library, split by file name into public text and hidden streams.

The text is written in invented words: each word of the library is replaced by one of the same length, the same one
everywhere, drawn from a source that nobody else has. What there is to learn stays, and is in the public text only: not
in libraries that are installed, and in no edit.

Which side a file falls on depends on a hash of its path alone, so the split survives other files coming and going.
Files that share many lines with a hidden file are dropped from the public side. Modules that a recipe may well import
are never hidden; hidden/sources.txt lists the files that are, so that a sandbox can mask them.
"""

import hashlib
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from protocol import RECORD, SPLITS, STREAMS

SKIP = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "ensurepip",
    "encodings",
    "pydoc_data",
    "turtledemo",
    "__pycache__",
}
GENERATED = ("_sysconfigdata", "config-")  # what starts so describes one machine
IMPORTS = """argparse array base64 bisect bz2 collections concurrent.futures contextlib copy csv dataclasses enum fractions
functools glob gzip hashlib heapq inspect itertools json logging lzma math multiprocessing.pool numpy numpy.fft
numpy.linalg numpy.random operator os pathlib pickle queue random re shutil statistics string struct subprocess sys
tempfile textwrap threading time timeit tokenize traceback types typing warnings weakref zlib"""
SMALLEST, LARGEST = 2_000, 150_000  # bytes; the few giants would otherwise be most of the text
HIDDEN_SHARE, VALID_SHARE = 0.36, 0.04
STREAMS_PER_FILE = 8
NEAR_DUPLICATE = 0.15  # share of the smaller file's long lines that the other file also has
WORD = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]")  # getValue and HTTPServer are two words each
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHARES = [rank**-1.5 for rank in range(1, 27)]
LONG_LINE = 30  # characters; shorter lines repeat by chance


def fraction(name, salt):
    """A number in [0, 1) that depends on the name alone."""
    digest = hashlib.sha256(f"{salt}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def library():
    """Path relative to the standard library -> absolute path, for every source file in scope."""
    root = Path(sysconfig.get_path("stdlib"))
    found = {}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        skipped = SKIP.intersection(name.parts) or any(part.startswith(GENERATED) for part in name.parts)
        if not skipped and SMALLEST <= path.stat().st_size <= LARGEST:
            found[name.as_posix()] = path
    if len(found) < 150:
        sys.exit(
            f"prepare: only {len(found)} source files under {root}; use a Python that ships its library's sources"
        )
    return found


def needed():
    """Source files behind IMPORTS, found by importing them in a fresh interpreter."""
    probe = (
        f"import {', '.join(IMPORTS.split())}\n"
        "print('\\n'.join(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)))"
    )
    listed = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout
    return {str(Path(line).resolve()) for line in listed.splitlines()}


def long_lines(text):
    return {line.strip() for line in text.splitlines() if len(line.strip()) >= LONG_LINE}


def near_duplicate(lines, others):
    return any(len(lines & other) > NEAR_DUPLICATE * max(1, min(len(lines), len(other))) for other in others)


class Words:
    """A bijection from words to invented ones of the same length, made up as it is asked for."""

    def __init__(self):
        self.chance = random.SystemRandom()
        self.known = {}
        self.taken = set()
        # What follows each letter, the most likely first; the shares are everywhere the same.
        self.follows = {letter: self.chance.sample(LETTERS, len(LETTERS)) for letter in " " + LETTERS}

    def invent(self, length):
        for attempt in range(1000):
            word = ""
            while len(word) < length:
                order = self.follows[word[-1:] or " "] if attempt < 50 else LETTERS
                word += self.chance.choices(order, SHARES if attempt < 50 else None)[0]
            if word not in self.taken:
                self.taken.add(word)
                return word
        raise SystemExit(f"prepare: no more words of {length} letters")

    def translate(self, match):
        text = match.group().decode()
        word = text.lower()
        if word not in self.known:
            self.known[word] = self.invent(len(word))
        pairs = zip(text, self.known[word])
        return "".join(new.upper() if old.isupper() else new for old, new in pairs).encode()

    def __call__(self, text):
        return WORD.sub(self.translate, text)


def cut(texts):
    """STREAMS records of RECORD bytes, spread over the files and over each file's length, from places of chance.

    The library is public: what decides must be something that nobody can have written down before.
    """
    chance = random.SystemRandom()
    records = []
    for text in texts:
        count = min(STREAMS_PER_FILE, len(text) // RECORD)
        gap = len(text) // count
        starts = [i * gap + chance.randrange(gap - RECORD + 1) for i in range(count)]
        records += [text[start : start + RECORD] for start in starts]
    if len(records) < STREAMS:
        sys.exit(
            f"prepare: {len(records)} hidden streams, {STREAMS} are needed; use a Python with its whole library"
        )
    stride = len(records) / STREAMS
    return b"".join(records[int(i * stride)] for i in range(STREAMS))


def main():
    data = Path(os.environ["EMPIRIC_DATA"])
    public, hidden = data / "public", data / "hidden"
    public.mkdir(parents=True, exist_ok=True)
    hidden.mkdir(parents=True, exist_ok=True)

    files = library()
    kept_visible = needed()
    texts = {name: path.read_bytes() for name, path in files.items()}
    by_hash = sorted(texts, key=lambda name: fraction(name, "order"))
    secret = {split: [] for split in SPLITS}
    public_names, hidden_lines = [], []
    for name in by_hash:
        draw = fraction(name, "side") / HIDDEN_SHARE
        if draw >= 1 or str(files[name].resolve()) in kept_visible:
            public_names.append(name)
            continue
        lines = long_lines(texts[name])
        if not near_duplicate(lines, hidden_lines):
            secret[SPLITS[int(draw * len(SPLITS))]].append(name)
            hidden_lines.append(lines)
    public_names = [
        name for name in public_names if not near_duplicate(long_lines(texts[name]), hidden_lines)
    ]

    valid = [name for name in public_names if fraction(name, "valid") < VALID_SHARE]
    train = [name for name in public_names if name not in valid]
    words = Words()
    for part, names in (("train", train), ("valid", valid)):
        (public / f"{part}.bin").write_bytes(b"\0".join(words(texts[name]) for name in names))
    for split, names in secret.items():
        (hidden / f"{split}.bin").write_bytes(cut([words(texts[name]) for name in names]))
    sources = sorted(str(files[name]) for names in secret.values() for name in names)
    listing = [line for source in sources for line in (source, importlib.util.cache_from_source(source))]
    (hidden / "sources.txt").write_text("".join(f"{line}\n" for line in listing))

    counts = {
        "train": len(train),
        "valid": len(valid),
        **{split: len(names) for split, names in secret.items()},
    }
    print(json.dumps({"python": sys.version.split()[0], "files": counts}))


if __name__ == "__main__":
    main()
