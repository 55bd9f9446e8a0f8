"""Trains the model within a budget of CPU seconds and saves its weights."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time
from pathlib import Path

import numpy as np

from autograd import cross_entropy
from curriculum import Examples
from model import forward, initial
from optimiser import Adam

CPU_BUDGET = 1.3
STEPS = 190
SMOOTHING = 0.0
AVERAGE_FROM = 0.7
AVERAGE_DECAY = 0.9


def main(smoke):
    public, out = Path(os.environ["EMPIRIC_DATA"]) / "public", Path(os.environ["EMPIRIC_OUT"])
    rng = np.random.default_rng(int(os.environ["EMPIRIC_SEED"]))
    examples = Examples(public, rng)
    params = initial(examples.language["vocabulary"], examples.language["length"], rng)
    average = train(params, examples, 5 if smoke else STEPS)
    np.savez(out / "weights.npz", **average)


def train(params, examples, steps):
    """All steps, or as many as the process has CPU seconds for; gives the average of the late weights."""
    optimiser = Adam(params)
    average = None
    step = 0
    while step < steps and time.process_time() < CPU_BUDGET:
        progress = step / steps
        prompts, answers = examples.batch()
        loss = cross_entropy(forward(params, prompts), answers, SMOOTHING)
        loss.backward()
        optimiser.step(progress)
        if progress >= AVERAGE_FROM:
            average = blend(average, params)
        if step % 50 == 0:
            print(f"step {step} loss {float(loss.value):.4f}")
        step += 1
    print(f"{step} steps in {time.process_time():.2f} CPU seconds")
    return average or blend(None, params)


def blend(average, params):
    """The running average of the weights, one step on."""
    if average is None:
        return {name: p.value.copy() for name, p in params.items()}
    return {name: AVERAGE_DECAY * average[name] + (1 - AVERAGE_DECAY) * p.value for name, p in params.items()}


if __name__ == "__main__":
    main("--smoke" in sys.argv[1:])
