"""Asks the trained model the hidden questions over a pipe and scores its answers. Exit code 3 blames the recipe."""

import hashlib
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
from pathlib import Path

import numpy as np

SPLITS = ("search", "select", "report")
BATCH = 500
LONGEST_LINE = 1 << 16


class RecipeFault(Exception):
    """What the recipe's predictor said cannot be scored."""


def main():
    data = Path(os.environ["EMPIRIC_DATA"])
    names = json.loads((data / "public" / "language.json").read_text(encoding="utf-8"))["tasks"]
    with np.load(data / "hidden" / "questions.npz") as archive:
        prompts, answers, tasks, splits = (
            archive[name] for name in ("prompts", "answers", "tasks", "splits")
        )
    given = ask(prompts)
    scores = {}
    for index, split in enumerate(SPLITS):
        here = splits == index
        by_task = {
            name: centred_accuracy(given[here & (tasks == task)], answers[here & (tasks == task)])
            for task, name in enumerate(names)
        }
        scores[split] = {"centred_accuracy": float(np.mean(list(by_task.values()))), **by_task}
    shown = scores.pop("search")
    feedback = "centred accuracy by task: " + ", ".join(f"{name} {shown[name]:.3f}" for name in names)
    write(
        Path(os.environ["EMPIRIC_RESULT"]),
        {
            "metrics": shown,
            "splits": scores,
            "samples": {split: int((splits == index).sum()) for index, split in enumerate(SPLITS)},
            "outputs": hashlib.sha256(given.astype("<i8").tobytes()).hexdigest(),
            "feedback": feedback,
        },
    )


def centred_accuracy(given, answers):
    """(accuracy - chance) / (1 - chance), chance being what the best constant answer scores."""
    chance = np.bincount(answers).max() / len(answers)
    return float(((given == answers).mean() - chance) / (1 - chance))


def ask(prompts):
    """The predictor's answers to all prompts, a batch at a time."""
    given = []
    try:
        with (
            os.fdopen(int(os.environ["EMPIRIC_PIPE_OUT"]), "wb") as asking,
            os.fdopen(int(os.environ["EMPIRIC_PIPE_IN"]), "rb") as answering,
        ):
            for start in range(0, len(prompts), BATCH):
                batch = prompts[start : start + BATCH]
                asking.write(json.dumps({"prompts": batch.tolist()}).encode() + b"\n")
                asking.flush()
                given += parse(answering.readline(LONGEST_LINE), len(batch))
    except BrokenPipeError as error:
        raise RecipeFault("the predictor ended before it was asked everything") from error
    return np.array(given)


def parse(line, count):
    """The answers on one line, or a RecipeFault that says what is wrong with it."""
    if not line:
        raise RecipeFault("the predictor ended without an answer")
    if not line.endswith(b"\n"):
        raise RecipeFault(f"the predictor's line is cut short or longer than {LONGEST_LINE} bytes")
    try:
        answers = json.loads(line)["answers"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecipeFault('the predictor\'s line is not JSON like {"answers": [3, 1]}') from error
    if not isinstance(answers, list) or len(answers) != count:
        raise RecipeFault(f"the predictor should give a list of {count} answers")
    if not all(type(answer) is int and 0 <= answer < 256 for answer in answers):
        raise RecipeFault("the predictor gave an answer that is not a token number")
    return answers


def write(path, result):
    """Puts the whole result in place at once."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(result), encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    try:
        main()
    except RecipeFault as fault:
        print(f"recipe: {fault}", file=sys.stderr)
        sys.exit(3)
