"""What a training batch looks like: scaling, random shifts, extra noise; and the views averaged at the end."""

import numpy as np

SHIFT = 1
NOISE = 0.05
GAIN = 0.1
TEST_SHIFT = 1
CENTRE = True


class Scaler:
    """Brings pixels to zero mean and unit spread, as measured on the training images."""

    def __init__(self, images):
        self.mean = images.mean() if CENTRE else 0.0
        self.spread = images.std()

    def __call__(self, images):
        return (images - self.mean) / self.spread


def augment(images, rng):
    """One random variant of every image of a batch."""
    down, right = rng.integers(-SHIFT, SHIFT + 1, 2)
    images = move(images, down, right)
    images = images * (1 + GAIN * rng.standard_normal((len(images), 1, 1), images.dtype))
    return images + NOISE * rng.standard_normal(images.shape, images.dtype)


def views(images):
    """The shifted copies of the test images whose scores are averaged."""
    for down in range(-TEST_SHIFT, TEST_SHIFT + 1):
        for right in range(-TEST_SHIFT, TEST_SHIFT + 1):
            yield move(images, down, right)


def move(images, down, right):
    """Images shifted by whole pixels; the border repeats."""
    rows = np.clip(np.arange(images.shape[1]) - down, 0, images.shape[1] - 1)
    columns = np.clip(np.arange(images.shape[2]) - right, 0, images.shape[2] - 1)
    return images[:, rows][:, :, columns]
