"""Reverse-mode differentiation of the few array operations the model needs."""

import numpy as np

DTYPE = np.float32
EPSILON = 1e-5


class Tensor:
    """An array, and how to hand its gradient on to the arrays it came from."""

    def __init__(self, value, parents=(), push=None):
        self.value = value
        self.parents = parents
        self.push = push
        self.grad = None

    def take(self, grad):
        """Adds to the gradient, summed back to this array's shape if it was broadcast."""
        extra = grad.ndim - self.value.ndim
        if extra:
            grad = grad.reshape(-1, *grad.shape[extra:]).sum(0)
        for axis, size in enumerate(self.value.shape):
            if size == 1 and grad.shape[axis] != 1:
                grad = grad.sum(axis, keepdims=True)
        self.grad = grad if self.grad is None else self.grad + grad

    def backward(self):
        """Fills in the gradient of everything this scalar depends on."""
        order, seen = [], set()

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        self.grad = np.ones_like(self.value)
        for node in reversed(order):
            if node.push is not None:
                node.push(node.grad)

    def __add__(self, other):
        def push(grad):
            self.take(grad)
            other.take(grad)

        return Tensor(self.value + other.value, (self, other), push)

    def __mul__(self, other):
        def push(grad):
            self.take(grad * other.value)
            other.take(grad * self.value)

        return Tensor(self.value * other.value, (self, other), push)

    def __matmul__(self, other):
        def push(grad):
            self.take(grad @ other.value.swapaxes(-1, -2))
            if other.value.ndim == 2:
                left = self.value.reshape(-1, self.value.shape[-1])
                other.take(left.T @ grad.reshape(-1, grad.shape[-1]))
            else:
                other.take(self.value.swapaxes(-1, -2) @ grad)

        return Tensor(self.value @ other.value, (self, other), push)

    def __getitem__(self, where):
        def push(grad):
            whole = np.zeros_like(self.value)
            whole[where] = grad
            self.take(whole)

        return Tensor(self.value[where], (self,), push)

    def scale(self, factor):
        """Times a plain number."""
        return Tensor(self.value * DTYPE(factor), (self,), lambda grad: self.take(grad * DTYPE(factor)))

    def reshape(self, *shape):
        """The same values in another shape."""
        return Tensor(
            self.value.reshape(shape), (self,), lambda grad: self.take(grad.reshape(self.value.shape))
        )

    def swap(self, one, other):
        """Two axes exchanged."""
        return Tensor(
            self.value.swapaxes(one, other), (self,), lambda grad: self.take(grad.swapaxes(one, other))
        )


def relu(x):
    """The positive part."""
    return Tensor(np.maximum(x.value, 0), (x,), lambda grad: x.take(grad * (x.value > 0)))


def softmax(x):
    """Shares that sum to one along the last axis."""
    share = np.exp(x.value - x.value.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)

    def push(grad):
        x.take(share * (grad - (grad * share).sum(-1, keepdims=True)))

    return Tensor(share, (x,), push)


def normalise(x):
    """Rows brought to unit root mean square."""
    size = np.sqrt((x.value**2).mean(-1, keepdims=True) + DTYPE(EPSILON))
    unit = x.value / size

    def push(grad):
        x.take((grad - unit * (grad * unit).mean(-1, keepdims=True)) / size)

    return Tensor(unit, (x,), push)


def look_up(table, ids):
    """Rows of a table, by number."""

    def push(grad):
        chosen = np.eye(len(table.value), dtype=DTYPE)[ids.reshape(-1)]
        table.take(chosen.T @ grad.reshape(-1, grad.shape[-1]))

    return Tensor(table.value[ids], (table,), push)


def cross_entropy(scores, wanted, smoothing=0.0):
    """Mean surprise, in nats, at the wanted class numbers."""
    rows, classes = scores.value.shape
    share = np.exp(scores.value - scores.value.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    target = np.full((rows, classes), smoothing / classes, DTYPE)
    target[np.arange(rows), wanted] += 1 - smoothing
    loss = -(target * np.log(share + 1e-12)).sum() / rows
    return Tensor(DTYPE(loss), (scores,), lambda grad: scores.take(grad * (share - target) / rows))
