"""A small transformer: it reads a prompt and scores every token as the answer."""

import numpy as np

from autograd import DTYPE, Tensor, look_up, normalise, relu, softmax

LAYERS = 2
WIDTH = 48
HEADS = 2
MLP = 96
TOKEN_SPREAD = 0.5
PLACE_SPREAD = 0.5
WEIGHT_GAIN = 1.0
OUTPUT_GAIN = 0.5
TIED = False
SHIFT = True


def initial(vocabulary, length, rng):
    """A dictionary of parameters."""

    def gaussian(rows, columns, spread):
        return Tensor(rng.normal(0, spread, (rows, columns)).astype(DTYPE))

    inner = WEIGHT_GAIN / np.sqrt(WIDTH)
    params = {
        "tokens": gaussian(vocabulary, WIDTH, TOKEN_SPREAD),
        "places": gaussian(length, WIDTH, PLACE_SPREAD),
        "head": gaussian(WIDTH, vocabulary, OUTPUT_GAIN / np.sqrt(WIDTH)),
    }
    if SHIFT:
        params["before"] = gaussian(WIDTH, WIDTH, inner)
    for layer in range(LAYERS):
        for name in ("query", "key", "value", "mix"):
            params[f"{name}{layer}"] = gaussian(WIDTH, WIDTH, inner)
        params[f"up{layer}"] = gaussian(WIDTH, MLP, inner)
        params[f"down{layer}"] = gaussian(MLP, WIDTH, WEIGHT_GAIN / np.sqrt(MLP))
    return params


def forward(params, prompts):
    """Scores of every token as the answer; only the last place of the last layer is worked out."""
    tokens = look_up(params["tokens"], prompts)
    x = tokens + params["places"]
    if SHIFT:
        before = look_up(params["tokens"], np.roll(prompts, 1, axis=1))
        x = x + before @ params["before"]
    for layer in range(LAYERS):
        asking = x[:, -1:] if layer == LAYERS - 1 else x
        x = asking + attend(params, layer, normalise(asking), normalise(x))
        x = x + relu(normalise(x) @ params[f"up{layer}"]) @ params[f"down{layer}"]
    x = normalise(x.reshape(len(prompts), WIDTH))
    return x @ (params["tokens"].swap(0, 1) if TIED else params["head"])


def attend(params, layer, asking, x):
    """What each asking place gathers from all places, by several heads at once."""

    def split(x):
        return x.reshape(*x.value.shape[:2], HEADS, WIDTH // HEADS).swap(1, 2)

    query = split(asking @ params[f"query{layer}"])
    key = split(x @ params[f"key{layer}"])
    value = split(x @ params[f"value{layer}"])
    weights = softmax((query @ key.swap(2, 3)).scale((WIDTH // HEADS) ** -0.5))
    gathered = (weights @ value).swap(1, 2)
    return gathered.reshape(*asking.value.shape) @ params[f"mix{layer}"]
