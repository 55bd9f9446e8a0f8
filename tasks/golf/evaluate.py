"""Scores a predictor: asks for the next byte's distribution, then reveals the byte, stream by stream in lockstep.

Bits are exact: every frame is checked, normalised, and mixed with a whisper of the uniform distribution so that no
byte costs more than log2(1 / FLOOR) bits. The recipe is heard only through the pipe.

Exit 0: the result file is complete. Exit 3: the predictor broke the protocol. Exit 1: the fault is here.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import fcntl
import hashlib
import json
import select
import sys
import time
from pathlib import Path

import numpy as np

from protocol import ALPHABET, FRAME_BYTES, HEADER, PROMPT, RECORD, SPLITS, STEPS, STREAMS

FLOOR = 2.0**-20  # probability given to every byte, whatever the predictor says
SUM_TOLERANCE = 0.01
PATIENCE = 15.0  # seconds for the whole conversation, under the evaluator's own limit


class PredictorError(Exception):
    """The recipe's side of the conversation went wrong."""


class Predictor:
    """The evaluator's end of the pipe."""

    def __init__(self, reading, writing):
        self.reading, self.writing = reading, writing
        self.deadline = time.monotonic() + PATIENCE
        self.frame = bytearray(FRAME_BYTES)
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        try:
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, FRAME_BYTES)  # one wake-up per frame instead of several
        except (AttributeError, OSError):
            pass  # an optimisation only

    def wait(self, readers, writers):
        left = self.deadline - time.monotonic()
        if left <= 0 or not any(select.select(readers, writers, [], left)):
            raise PredictorError(f"no answer within {PATIENCE:.0f} s")

    def tell(self, message):
        view = memoryview(message)
        while view:
            try:
                view = view[os.write(self.writing, view) :]
            except BlockingIOError:
                self.wait([], [self.writing])
            except BrokenPipeError:
                raise PredictorError("closed the pipe before the end of the text") from None

    def ask(self):
        """One frame, streams x 256, checked and normalised in double precision."""
        view, got = memoryview(self.frame), 0
        while got < FRAME_BYTES:
            try:
                count = os.readv(self.reading, [view[got:]])
            except BlockingIOError:
                self.wait([self.reading], [])
                continue
            if count == 0:
                raise PredictorError(f"ended after {got} of the {FRAME_BYTES} bytes of a frame")
            got += count
        if self.has_more():
            raise PredictorError("sent more than one frame before the byte was revealed")
        return np.frombuffer(self.frame, "<f4").reshape(STREAMS, ALPHABET)

    def has_more(self):
        try:
            return bool(os.read(self.reading, 1))
        except BlockingIOError:
            return False


def cost(frame, truth):
    """Bits that each stream's true byte costs under its row of the frame."""
    total = frame.sum(axis=1, dtype=np.float64)
    if not np.isfinite(total).all():
        raise PredictorError("sent a probability that is not finite")
    if frame.min() < 0:
        raise PredictorError("sent a negative probability")
    off = np.abs(total - 1).max()
    if off > SUM_TOLERANCE:
        raise PredictorError(f"sent a distribution whose sum is off by {off:.3g}")
    chosen = frame[np.arange(STREAMS), truth] / total
    return -np.log2((1 - ALPHABET * FLOOR) * chosen + FLOOR)


def score(predictor, records):
    """Bits per byte over one split, and the same per stream."""
    predictor.tell(HEADER.pack(STREAMS, STEPS, PROMPT) + records[:, :PROMPT].tobytes())
    bits = np.zeros((STEPS, STREAMS))
    for step in range(STEPS):
        truth = records[:, PROMPT + step]
        bits[step] = cost(predictor.ask(), truth)
        predictor.tell(truth.tobytes())
    if predictor.has_more():
        raise PredictorError("sent more frames than there were bytes to predict")
    return bits


def main():
    hidden = Path(os.environ["EMPIRIC_DATA"]) / "hidden"
    texts = {}
    for split in SPLITS:
        texts[split] = np.fromfile(hidden / f"{split}.bin", np.uint8).reshape(STREAMS, RECORD)
    predictor = Predictor(int(os.environ["EMPIRIC_PIPE_IN"]), int(os.environ["EMPIRIC_PIPE_OUT"]))
    bits = {split: score(predictor, records) for split, records in texts.items()}
    predictor.tell(HEADER.pack(0, 0, 0))

    bpb = {split: round(float(values.mean()), 6) for split, values in bits.items()}
    third = STEPS // 3
    early, late = bits["search"][:third].mean(), bits["search"][-third:].mean()
    result = {
        "metrics": {"bpb": bpb["search"]},
        "splits": {split: {"bpb": bpb[split]} for split in SPLITS[1:]},
        "samples": {split: int(values.size) for split, values in bits.items()},
        "outputs": hashlib.sha256(b"".join(values.tobytes() for values in bits.values())).hexdigest(),
        "feedback": f"bits per byte over the first third of the streams {early:.3f}, over the last third {late:.3f}",
    }
    target = Path(os.environ["EMPIRIC_RESULT"])
    partial = target.with_name(target.name + ".partial")
    partial.write_text(json.dumps(result) + "\n")
    os.replace(partial, target)


if __name__ == "__main__":
    try:
        main()
    except PredictorError as error:
        print(f"predictor: {error}", file=sys.stderr)
        sys.exit(3)
