"""The network: one convolution, one pooling, two dense layers, with gradients written by hand."""

import numpy as np

CHANNELS = 16
KERNEL = 3
POOL = 2
HIDDEN = 128
CONV_GAIN = 1.4
DENSE_GAIN = 1.4
HEAD_GAIN = 0.5
DROPOUT = 0.1
DOUBLE = True

DTYPE = np.float64 if DOUBLE else np.float32


class Net:
    """Parameters in one dictionary; `forward` remembers what `backward` needs."""

    def __init__(self, side, classes, rng):
        self.rng = rng
        self.conv_side = side - KERNEL + 1
        self.pool_side = self.conv_side // POOL
        features = self.pool_side**2 * CHANNELS
        self.params = {
            "conv": gaussian(rng, KERNEL * KERNEL, CHANNELS, CONV_GAIN),
            "conv_bias": np.zeros(CHANNELS, DTYPE),
            "dense": gaussian(rng, features, HIDDEN, DENSE_GAIN),
            "dense_bias": np.zeros(HIDDEN, DTYPE),
            "head": gaussian(rng, HIDDEN, classes, HEAD_GAIN),
            "head_bias": np.zeros(classes, DTYPE),
        }

    def forward(self, images, train=False):
        """Class scores of a batch of square images."""
        p = self.params
        count = len(images)
        patches = np.lib.stride_tricks.sliding_window_view(images, (KERNEL, KERNEL), axis=(1, 2))
        patches = patches.reshape(-1, KERNEL * KERNEL)
        maps = patches @ p["conv"] + p["conv_bias"]
        maps = maps.reshape(count, self.conv_side, self.conv_side, CHANNELS)
        pooled, winner = pool(maps, self.pool_side)
        features = np.maximum(pooled, 0).reshape(count, -1)
        hidden = np.maximum(features @ p["dense"] + p["dense_bias"], 0)
        if train and DROPOUT > 0:
            hidden *= (self.rng.random(hidden.shape) >= DROPOUT) / (1 - DROPOUT)
        self.seen = patches, winner, features, hidden
        return hidden @ p["head"] + p["head_bias"]

    def backward(self, slope):
        """Gradients of every parameter, given the loss's slope at the class scores."""
        p = self.params
        patches, winner, features, hidden = self.seen
        grads = {"head": hidden.T @ slope, "head_bias": slope.sum(0)}
        slope = (slope @ p["head"].T) * (hidden > 0)
        grads["dense"] = features.T @ slope
        grads["dense_bias"] = slope.sum(0)
        slope = (slope @ p["dense"].T) * (features > 0)
        slope = unpool(slope, winner, self.conv_side, self.pool_side)
        grads["conv"] = patches.T @ slope
        grads["conv_bias"] = slope.sum(0)
        return grads


def gaussian(rng, rows, columns, gain):
    """Weights whose spread keeps the size of the signal (He et al. 2015)."""
    return rng.normal(0, gain / np.sqrt(rows), (rows, columns)).astype(DTYPE)


def pool(maps, side):
    """The largest value of each POOL x POOL window, and which of them it was."""
    count, channels = len(maps), maps.shape[-1]
    used = side * POOL
    windows = maps[:, :used, :used].reshape(count, side, POOL, side, POOL, channels)
    windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(count, side, side, channels, POOL * POOL)
    winner = windows.argmax(-1)
    return np.take_along_axis(windows, winner[..., None], -1)[..., 0], winner


def unpool(slope, winner, conv_side, side):
    """Sends each window's slope back to the value that won it."""
    count, channels = len(winner), winner.shape[-1]
    windows = np.zeros((*winner.shape, POOL * POOL), slope.dtype)
    np.put_along_axis(windows, winner[..., None], slope.reshape(*winner.shape, 1), -1)
    windows = windows.reshape(count, side, side, channels, POOL, POOL).transpose(0, 1, 4, 2, 5, 3)
    maps = np.zeros((count, conv_side, conv_side, channels), slope.dtype)
    maps[:, : side * POOL, : side * POOL] = windows.reshape(count, side * POOL, side * POOL, channels)
    return maps.reshape(-1, channels)
