"""Trains on the labelled digits and writes a predicted label for every unlabelled one."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys
from pathlib import Path

import numpy as np

from augment import Scaler, augment, views
from net import DTYPE, Net
from optim import Sgd

EPOCHS = 36
BATCH = 32
LABEL_SMOOTHING = 0.1
AVERAGE_FROM = 0.8
AVERAGE_DECAY = 0.95


def main(smoke):
    data, out = Path(os.environ["EMPIRIC_DATA"]) / "public", Path(os.environ["EMPIRIC_OUT"])
    rng = np.random.default_rng(int(os.environ["EMPIRIC_SEED"]))
    images = np.load(data / "train_images.npy").astype(DTYPE)
    labels = np.load(data / "train_labels.npy")
    unlabelled = np.load(data / "test_images.npy").astype(DTYPE)
    if smoke:
        images, labels, unlabelled = images[: 8 * BATCH], labels[: 8 * BATCH], unlabelled[:BATCH]
    scale = Scaler(images)
    images, unlabelled = scale(images), scale(unlabelled)

    classes = int(labels.max()) + 1
    net = Net(images.shape[1], classes, rng)
    net.params.update(train(net, images, targets(labels, classes), rng, 1 if smoke else EPOCHS))
    scores = sum(softmax(net.forward(view)) for view in views(unlabelled))
    np.save(out / "predictions.npy", scores.argmax(1).astype(np.int64))


def train(net, images, wanted, rng, epochs):
    """Runs the epochs; gives the average of the late weights."""
    optimiser = Sgd(net.params)
    average = None
    batches = len(images) // BATCH
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        total = 0.0
        for batch in range(batches):
            progress = (epoch * batches + batch) / (epochs * batches)
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            guess = softmax(net.forward(augment(images[chosen], rng), train=True))
            total -= float((wanted[chosen] * np.log(guess + 1e-12)).sum())
            optimiser.step(net.backward((guess - wanted[chosen]) / BATCH), progress)
            if progress >= AVERAGE_FROM:
                average = blend(average, net.params)
        print(f"epoch {epoch} loss {total / (batches * BATCH):.4f}")
    return net.params if average is None else average


def blend(average, params):
    """The running average of the weights, one step on."""
    if average is None:
        return {name: value.copy() for name, value in params.items()}
    return {
        name: AVERAGE_DECAY * average[name] + (1 - AVERAGE_DECAY) * value for name, value in params.items()
    }


def targets(labels, classes):
    """One row per image: the wanted probability of each class."""
    exact = np.eye(classes, dtype=DTYPE)[labels]
    return (1 - LABEL_SMOOTHING) * exact + LABEL_SMOOTHING / classes


def softmax(scores):
    """Probabilities from scores."""
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


if __name__ == "__main__":
    main("--smoke" in sys.argv[1:])
