"""The network: embeddings of the last few bytes, one hidden layer, logits over symbols.

Symbols are ASCII; every other byte is symbol 127, which source text hardly uses.
"""

import numpy as np

VOCAB = 128
CONTEXT = 6  # bytes the network looks back
EMBED = 8
HIDDEN = 20
INIT_SCALE = 0.7
COUNTED_BIAS = True  # start the output bias at the log frequencies of the text

SHAPES = {
    "embed": (VOCAB, EMBED),
    "mix": (CONTEXT * EMBED, HIDDEN),
    "mix_bias": (HIDDEN,),
    "out": (HIDDEN, VOCAB),
    "out_bias": (VOCAB,),
}
EYE = np.eye(VOCAB, dtype=np.float32)


def symbols(data):
    return np.minimum(np.frombuffer(data, np.uint8), VOCAB - 1)


def empty():
    """One flat vector and named views into it."""
    sizes = [int(np.prod(shape)) for shape in SHAPES.values()]
    flat = np.zeros(sum(sizes), np.float32)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return flat, {name: part.reshape(SHAPES[name]) for name, part in zip(SHAPES, parts)}


def init(rng, text):
    flat, net = empty()
    net["embed"][:] = rng.normal(0, INIT_SCALE, net["embed"].shape)
    net["mix"][:] = rng.normal(0, (CONTEXT * EMBED) ** -0.5, net["mix"].shape)
    if COUNTED_BIAS:
        net["out_bias"][:] = np.log(np.bincount(text, minlength=VOCAB) / text.size + 1e-5)
    return flat, net


def forward(net, contexts):
    """contexts: rows x CONTEXT symbols, newest first. Returns what backward needs, and probabilities."""
    seen = net["embed"][contexts].reshape(len(contexts), -1)
    hidden = np.tanh(seen @ net["mix"] + net["mix_bias"])
    logits = hidden @ net["out"] + net["out_bias"]
    logits -= logits.max(axis=1, keepdims=True)
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    return seen, hidden, probs


def backward(net, grads, contexts, targets):
    """Fills grads with the mean gradient of the cross-entropy; returns the loss in bits."""
    seen, hidden, probs = forward(net, contexts)
    rows = np.arange(len(targets))
    loss = -np.log2(probs[rows, targets] + 1e-9).mean()
    probs[rows, targets] -= 1
    probs /= len(targets)
    grads["out"][:] = hidden.T @ probs
    grads["out_bias"][:] = probs.sum(axis=0)
    back = (probs @ net["out"].T) * (1 - hidden * hidden)
    grads["mix"][:] = seen.T @ back
    grads["mix_bias"][:] = back.sum(axis=0)
    back = (back @ net["mix"].T).reshape(-1, EMBED)
    grads["embed"][:] = EYE[contexts.ravel()].T @ back
    return loss
