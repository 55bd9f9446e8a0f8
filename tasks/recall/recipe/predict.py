"""Answers the evaluator: one line of JSON asks, one line of JSON answers, until the asking ends."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import json
from pathlib import Path

import numpy as np

from autograd import DTYPE, Tensor
from model import forward


def main():
    with np.load(Path(os.environ["EMPIRIC_ARTIFACTS"]) / "weights.npz") as archive:
        params = {name: Tensor(archive[name].astype(DTYPE)) for name in archive.files}
    with (
        os.fdopen(int(os.environ["EMPIRIC_PIPE_IN"]), "rb") as asked,
        os.fdopen(int(os.environ["EMPIRIC_PIPE_OUT"]), "wb") as told,
    ):
        for line in asked:
            prompts = np.array(json.loads(line)["prompts"], np.int64)
            answers = forward(params, prompts).value.argmax(1)
            told.write(json.dumps({"answers": answers.tolist()}).encode() + b"\n")
            told.flush()


if __name__ == "__main__":
    main()
