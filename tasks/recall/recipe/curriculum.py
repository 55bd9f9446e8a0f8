"""Which examples a batch holds: the share of each task, and how many."""

import json

import numpy as np

BATCH = 96
RECALL = 1.0
COPY = 1.0
REVERSE = 1.0
MAXIMUM = 1.0
SORT = 1.0
COUNT = 1.0

WEIGHTS = {
    "recall": RECALL,
    "copy": COPY,
    "reverse": REVERSE,
    "maximum": MAXIMUM,
    "sort": SORT,
    "count": COUNT,
}


class Examples:
    """The answered examples, drawn batch by batch."""

    def __init__(self, public, rng):
        self.rng = rng
        self.language = json.loads((public / "language.json").read_text(encoding="utf-8"))
        with np.load(public / "examples.npz") as archive:
            self.prompts = archive["prompts"].astype(np.int64)
            self.answers = archive["answers"].astype(np.int64)
            tasks = archive["tasks"]
        weights = np.array([WEIGHTS[name] for name in self.language["tasks"]])
        self.shares = weights / weights.sum()
        self.rows = [np.flatnonzero(tasks == task) for task in range(len(self.language["tasks"]))]

    def batch(self):
        """Prompts and answers of one batch."""
        counts = self.rng.multinomial(BATCH, self.shares)
        chosen = np.concatenate([self.rng.choice(rows, n) for rows, n in zip(self.rows, counts)])
        return self.prompts[chosen], self.answers[chosen]
