"""The optimiser: Adam with decoupled weight decay, warm-up, then a decaying learning rate."""

import numpy as np

PEAK_RATE = 0.004
FINAL_RATE = 0.1
WARMUP = 0.05
BETA1 = 0.9
BETA2 = 0.98
EPSILON = 1e-8
WEIGHT_DECAY = 0.01
CLIP = 1.0
COSINE = True


class Adam:
    """Updates the parameters in place from the gradients they hold, and clears those."""

    def __init__(self, params):
        self.params = list(params.values())
        self.first = [np.zeros_like(p.value) for p in self.params]
        self.second = [np.zeros_like(p.value) for p in self.params]
        self.steps = 0

    def step(self, progress):
        """One update; `progress` is the share of the budget that is spent, 0 to 1."""
        self.steps += 1
        rate = learning_rate(progress)
        norm = np.sqrt(sum(float((p.grad**2).sum()) for p in self.params if p.grad is not None))
        shrink = min(1.0, CLIP / (norm + 1e-12))
        steady1, steady2 = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        for p, first, second in zip(self.params, self.first, self.second):
            if p.grad is None:
                continue
            grad = p.grad * np.float32(shrink)
            first += (1 - BETA1) * (grad - first)
            second += (1 - BETA2) * (grad * grad - second)
            p.value *= 1 - rate * WEIGHT_DECAY
            p.value -= rate * (first / steady1) / (np.sqrt(second / steady2) + EPSILON)
            p.grad = None


def learning_rate(progress):
    """The rate at a point of training: a linear climb, then a fall to FINAL_RATE of the peak."""
    if progress < WARMUP:
        return PEAK_RATE * max(progress, 0.01) / WARMUP
    rest = min(1.0, (progress - WARMUP) / (1 - WARMUP))
    fall = float(0.5 * (1 + np.cos(np.pi * rest))) if COSINE else 1 - rest
    return PEAK_RATE * (FINAL_RATE + (1 - FINAL_RATE) * fall)
