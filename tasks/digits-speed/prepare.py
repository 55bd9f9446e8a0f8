"""Makes the data once: digits on a larger canvas, at random places, under noise.

`digits.csv.gz` lies next to this file, out of a recipe's reach: one line per 8x8 image, 64 pixels from 0 to 16, then
the label. Half of the images become labelled training examples. Every other image becomes COPIES unlabelled test
images. Empiric deals these to the splits, as task.toml says: copies of one image stay together, and classes and degrees
of difficulty are dealt evenly, so that accuracies of different splits can be compared.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import numpy as np

SEED = 20240607
TRAINING = 897
SIDE = 10
NOISE = 0.09
COPIES = 3
DEGREES = 12  # of difficulty


def main():
    data = Path(os.environ["EMPIRIC_DATA"])
    public, hidden = data / "public", data / "hidden"
    public.mkdir(parents=True, exist_ok=True)
    hidden.mkdir(parents=True, exist_ok=True)

    table = np.loadtxt(Path(__file__).with_name("digits.csv.gz"), delimiter=",", dtype=np.float32)
    rng = np.random.default_rng(SEED)
    table = table[rng.permutation(len(table))]
    images, labels = table[:, :-1].reshape(-1, 8, 8) / 16, table[:, -1].astype(np.int64)

    np.save(public / "train_images.npy", place(images[:TRAINING], rng))
    np.save(public / "train_labels.npy", labels[:TRAINING])

    images, labels = images[TRAINING:], labels[TRAINING:]
    strata = [f"{label}-{degree}" for label, degree in zip(labels, degrees(images, labels))]
    sources = np.resize(np.arange(len(images)), COPIES * len(images))
    # The images are public and so is this file: only the order is nobody's to know.
    order = np.random.default_rng().permutation(len(sources))
    np.save(public / "test_images.npy", place(images[sources[order]], rng))
    np.save(hidden / "labels.npy", labels[sources[order]])
    with (hidden / "items.csv").open("w", encoding="utf-8") as items:
        items.write("id,image,stratum\n")
        items.writelines(f"{n},{source},{strata[source]}\n" for n, source in enumerate(sources[order]))


def place(images, rng):
    """Each image at a random place of a SIDE x SIDE canvas, under Gaussian noise."""
    canvas = NOISE * rng.standard_normal((len(images), SIDE, SIDE))
    corners = rng.integers(0, SIDE - 8 + 1, (len(images), 2))
    for image, onto, (top, left) in zip(images, canvas, corners):
        onto[top : top + 8, left : left + 8] += image
    return canvas.astype(np.float32)


def degrees(images, labels):
    """How hard each image is, from 0 to DEGREES - 1: how near one of another class is, against one of its own."""
    flat = images.reshape(len(images), -1)
    distance = ((flat[:, None, :] - flat[None, :, :]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    same = labels[:, None] == labels[None, :]
    hardness = np.where(same, distance, np.inf).min(1) / np.where(same, np.inf, distance).min(1)
    return DEGREES * hardness.argsort().argsort() // len(hardness)


if __name__ == "__main__":
    main()
