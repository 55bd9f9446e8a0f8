"""Evaluation-time adaptation: counts of what followed each short context, on top of the network.

The counts start from the primer and grow with every revealed byte, over all streams at once. Longer contexts back
off to shorter ones, and the shortest to the network: p = (count + d * shorter) / (total + d).
"""

import numpy as np

from model import CONTEXT, VOCAB, forward, symbols

MIN_ORDER = 2  # bytes in the shortest counted context
MAX_ORDER = 4  # and in the longest
TABLE_ROWS = 30000  # contexts are hashed into this many rows
BACKOFF = 2.0  # d for the shortest context
BACKOFF_GROWTH = 1.0  # factor on d per order
DIVERSITY = 1.0  # added to d for every distinct symbol seen
PRIMER_WEIGHT = 1.0  # what one primer byte adds to a count
INCREMENT = 1.0  # what one revealed byte adds to a count

MIXERS = np.cumprod(np.full(MAX_ORDER, 0x9E3779B97F4A7C15, np.uint64))


class Counts:
    def __init__(self, net, primer, prompts):
        """prompts: streams x known bytes."""
        self.net = net
        self.tables = [np.zeros((TABLE_ROWS, VOCAB), np.float32) for _ in range(MIN_ORDER, MAX_ORDER + 1)]
        self.history = np.zeros((len(prompts), max(CONTEXT, MAX_ORDER)), np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(symbols(primer), MAX_ORDER + 1)
        self.add(windows[:, -2::-1], windows[:, -1], PRIMER_WEIGHT)
        for column in symbols(prompts.tobytes()).reshape(prompts.shape).T:
            self.push(column)

    def buckets(self, contexts):
        """Per order, the table row of each context (rows x symbols, newest first)."""
        mixed = np.cumsum((contexts[:, :MAX_ORDER] + np.uint64(1)) * MIXERS, axis=1)
        return ((mixed >> np.uint64(32)) % np.uint64(TABLE_ROWS)).T[MIN_ORDER - 1 :]

    def add(self, contexts, following, weight):
        for table, rows in zip(self.tables, self.buckets(contexts)):
            np.add.at(table, (rows, following), np.float32(weight))

    def push(self, column):
        self.history[:, 1:] = self.history[:, :-1]
        self.history[:, 0] = column

    def predict(self):
        """streams x VOCAB probabilities of the next symbol."""
        _, _, probs = forward(self.net, self.history[:, :CONTEXT])
        trust = BACKOFF
        for table, rows in zip(self.tables, self.buckets(self.history)):
            counts = table[rows]
            prior = trust + DIVERSITY * (counts > 0).sum(axis=1, keepdims=True)
            probs = (counts + prior * probs) / (counts.sum(axis=1, keepdims=True) + prior)
            trust *= BACKOFF_GROWTH
        return probs

    def reveal(self, column):
        column = np.minimum(column, VOCAB - 1)
        self.add(self.history, column, INCREMENT)
        self.push(column)
