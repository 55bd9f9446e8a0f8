"""What is learned from: the training text, random batches of it, and the primer that ships with the model."""

import os

import numpy as np

from model import CONTEXT, symbols

PRIMER_BYTES = 1500  # raw text in the artefact, before compression
PRIMER_CHUNK = 250


def load(part):
    with open(os.path.join(os.environ["EMPIRIC_DATA"], "public", part + ".bin"), "rb") as file:
        return file.read()


def batches(rng, text, steps, size):
    """Yields contexts (rows x CONTEXT, newest first) and the symbols that follow."""
    back = np.arange(1, CONTEXT + 1)
    for _ in range(steps):
        ends = rng.integers(CONTEXT, text.size, size)
        yield text[ends[:, None] - back], text[ends]


def primer(rng, raw):
    """Stretches of training text, from which the predictor starts its counts."""
    starts = rng.integers(0, len(raw) - PRIMER_CHUNK, PRIMER_BYTES // PRIMER_CHUNK)
    return b"".join(raw[start : start + PRIMER_CHUNK] for start in starts)
