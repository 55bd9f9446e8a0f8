"""Parameters to bytes and back: rounded weights and the primer, compressed."""

import zlib

import numpy as np

from model import empty

BITS = 5
CLIP = 4.0  # weights beyond this many standard deviations are clipped


def pack(net, primer):
    scales, levels = [], []
    top = 2 ** (BITS - 1) - 1
    for tensor in net.values():
        limit = min(np.abs(tensor).max(), CLIP * tensor.std()) + 1e-6
        scales.append(limit / top)
        levels.append(np.clip(np.rint(tensor / scales[-1]), -top, top).astype(np.int8).tobytes())
    weights = zlib.compress(b"".join(levels), 9)
    head = np.array(scales, np.float32).tobytes() + len(weights).to_bytes(4, "little")
    return head + weights + zlib.compress(primer, 9)


def unpack(packed):
    flat, net = empty()
    start = 4 * len(net) + 4
    scales = np.frombuffer(packed, np.float32, len(net))
    end = start + int.from_bytes(packed[start - 4 : start], "little")
    flat[:] = np.frombuffer(zlib.decompress(packed[start:end]), np.int8)
    for tensor, scale in zip(net.values(), scales):
        tensor *= scale
    return net, zlib.decompress(packed[end:])
