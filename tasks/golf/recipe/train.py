"""Trains the network with Adam and writes the artefact. `--smoke` does a few steps and a round trip."""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import math
import sys

import numpy as np

import data
import model
from adapt import Counts
from pack import pack, unpack

STEPS = 800
BATCH = 256
LEARNING_RATE = 0.01
SCHEDULE = "linear"  # "constant", "linear" or "cosine"
WARMUP = 0.05  # share of the steps
BETA1 = 0.9
BETA2 = 0.99
WEIGHT_DECAY = 0.001


def rate(step, steps):
    done = step / steps
    warm = min(1, (step + 1) / (WARMUP * steps + 1))
    decay = {"constant": 1, "linear": 1 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
    return LEARNING_RATE * warm * decay[SCHEDULE]


def train(rng, text, steps):
    weights, net = model.init(rng, text)
    slope, grads = model.empty()
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    losses = []
    for step, (contexts, targets) in enumerate(data.batches(rng, text, steps, BATCH)):
        losses.append(model.backward(net, grads, contexts, targets))
        first += (1 - BETA1) * (slope - first)
        second += (1 - BETA2) * (slope * slope - second)
        unbiased = math.sqrt(1 - BETA2 ** (step + 1)) / (1 - BETA1 ** (step + 1))
        lr = rate(step, steps)
        weights -= lr * (unbiased * first / (np.sqrt(second) + 1e-8) + WEIGHT_DECAY * weights)
    print(f"training loss {np.mean(losses[-50:]):.3f} bits")
    return net


def main():
    smoke = "--smoke" in sys.argv
    rng = np.random.default_rng(int(os.environ["EMPIRIC_SEED"]))
    raw = data.load("valid" if smoke else "train")
    net = train(rng, model.symbols(raw), 3 if smoke else STEPS)
    packed = pack(net, data.primer(rng, raw))
    if smoke:
        net, primer = unpack(packed)
        counts = Counts(net, primer, np.zeros((2, 8), np.uint8))
        assert np.allclose(counts.predict().sum(axis=1), 1, atol=1e-3)
        counts.reveal(np.array([101, 10], np.uint8))
    with open(os.path.join(os.environ["EMPIRIC_OUT"], "params.bin"), "wb") as file:
        file.write(packed)


if __name__ == "__main__":
    main()
