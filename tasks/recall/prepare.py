"""Makes the data once: prompts of six small in-context tasks, each answered by one token.

A prompt is LENGTH tokens: which task, up to ten items, a query; short lists are padded. Tokens are written as ids in
an order drawn here, so what a token means, and which digit is larger, can be learned from the examples only. The
recipe sees answered examples; the evaluator keeps other prompts, in three splits.
"""

import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import numpy as np

EXAMPLES = 20_000
QUESTIONS = 500
SPLITS = 3
LENGTH = 12
ITEMS = 10

PAD = 0
DIGIT = 1
LETTER = DIGIT + 10
TASK = LETTER + ITEMS


def main():
    data = Path(os.environ["EMPIRIC_DATA"])
    public, hidden = data / "public", data / "hidden"
    public.mkdir(parents=True, exist_ok=True)
    hidden.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng()  # this file is public: what it draws must be nobody's to know
    ids = rng.permutation(TASK + len(TASKS)).astype(np.uint8)

    prompts, answers, tasks = draw(EXAMPLES, rng)
    np.savez(public / "examples.npz", prompts=ids[prompts], answers=ids[answers], tasks=tasks)
    facts = {"vocabulary": len(ids), "length": LENGTH, "tasks": list(TASKS)}
    (public / "language.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")

    prompts, answers, tasks = draw(SPLITS * QUESTIONS, rng)
    order = rng.permutation(len(prompts))
    splits = np.arange(len(prompts)) % SPLITS
    np.savez(
        hidden / "questions.npz",
        prompts=ids[prompts[order]],
        answers=ids[answers[order]],
        tasks=tasks[order],
        splits=splits[order],
    )


def draw(count, rng):
    """`count` prompts of every task, their answers, and the number of the task each belongs to."""
    prompts = np.full((len(TASKS), count, LENGTH), PAD)
    answers = np.empty((len(TASKS), count), np.int64)
    for task, make in enumerate(TASKS.values()):
        for row in range(count):
            items, query, answer = make(rng)
            prompts[task, row, 0] = TASK + task
            prompts[task, row, 1 : 1 + len(items)] = items
            prompts[task, row, -1] = query
            answers[task, row] = answer
    tasks = np.repeat(np.arange(len(TASKS)), count)
    return prompts.reshape(-1, LENGTH), answers.reshape(-1), tasks


def recall(rng):
    """Pairs of a letter and a digit; the digit that came with the letter asked for."""
    letters, digits = rng.permutation(ITEMS)[: ITEMS // 2], rng.integers(0, 10, ITEMS // 2)
    asked = rng.integers(ITEMS // 2)
    items = np.stack([LETTER + letters, DIGIT + digits], 1).reshape(-1)
    return items, LETTER + letters[asked], DIGIT + digits[asked]


def copy(rng):
    """The digit at the place asked for."""
    digits, place = rng.integers(0, 10, ITEMS), rng.integers(ITEMS)
    return DIGIT + digits, LETTER + place, DIGIT + digits[place]


def reverse(rng):
    """The digit at the place asked for, counted from the end of a list of five to ten."""
    digits = rng.integers(0, 10, rng.integers(5, ITEMS + 1))
    place = rng.integers(len(digits))
    return DIGIT + digits, LETTER + place, DIGIT + digits[::-1][place]


def maximum(rng):
    """The largest of three to ten digits; every answer is as likely."""
    largest = rng.integers(10)
    digits = rng.integers(0, largest + 1, rng.integers(3, ITEMS + 1))
    digits[rng.integers(len(digits))] = largest
    return DIGIT + digits, PAD, DIGIT + largest


def sort(rng):
    """The digit at the place asked for once five digits are sorted."""
    digits, place = rng.integers(0, 10, 5), rng.integers(5)
    return DIGIT + digits, LETTER + place, DIGIT + np.sort(digits)[place]


def count(rng):
    """How often the digit asked for occurs among ten, nought to five times."""
    asked, times = rng.integers(10), rng.integers(6)
    others = (asked + rng.integers(1, 10, ITEMS - times)) % 10
    digits = rng.permutation(np.concatenate([np.full(times, asked), others]))
    return DIGIT + digits, DIGIT + asked, DIGIT + times


TASKS = {
    "recall": recall,
    "copy": copy,
    "reverse": reverse,
    "maximum": maximum,
    "sort": sort,
    "count": count,
}


if __name__ == "__main__":
    main()
