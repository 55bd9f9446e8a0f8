"""The optimiser: SGD with Nesterov momentum, warm-up, then a decaying learning rate."""

import numpy as np

PEAK_RATE = 0.05
FINAL_RATE = 0.05
WARMUP = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
BIAS_RATE = 1.0
NESTEROV = True
COSINE = True
CLIP = 5.0


class Sgd:
    """Updates the parameters in place, one velocity for each."""

    def __init__(self, params):
        self.params = params
        self.velocity = {name: np.zeros_like(value) for name, value in params.items()}

    def step(self, grads, progress):
        """One update; `progress` is the share of training that is done, 0 to 1."""
        rate = learning_rate(progress)
        norm = np.sqrt(sum(float((grad * grad).sum()) for grad in grads.values()))
        shrink = min(1.0, CLIP / (norm + 1e-12))
        for name, value in self.params.items():
            grad = grads[name] * shrink
            if value.ndim > 1:
                grad = grad + WEIGHT_DECAY * value
            velocity = self.velocity[name]
            velocity *= MOMENTUM
            velocity += grad
            move = grad + MOMENTUM * velocity if NESTEROV else velocity
            value -= rate * (1.0 if value.ndim > 1 else BIAS_RATE) * move


def learning_rate(progress):
    """The rate at a point of training: a linear climb, then a fall to FINAL_RATE of the peak."""
    if progress < WARMUP:
        return PEAK_RATE * progress / WARMUP
    rest = (progress - WARMUP) / (1 - WARMUP)
    fall = 0.5 * (1 + np.cos(np.pi * rest)) if COSINE else 1 - rest
    return float(PEAK_RATE * (FINAL_RATE + (1 - FINAL_RATE) * fall))
