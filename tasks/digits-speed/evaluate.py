"""Scores `predictions.npy`, opened as data only, against the hidden labels. Exit code 3 blames the recipe."""

import hashlib
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
from pathlib import Path

import numpy as np

LARGEST_FILE = 1 << 20
UNREADABLE = -1  # instead of a label: left out of the scores, and seen in the number of samples


class RecipeFault(Exception):
    """What the recipe handed over cannot be scored."""


def main():
    hidden = Path(os.environ["EMPIRIC_DATA"]) / "hidden"
    labels = np.load(hidden / "labels.npy")
    splits = json.loads(Path(os.environ["EMPIRIC_SPLITS"]).read_text(encoding="utf-8"))
    predictions = read(Path(os.environ["EMPIRIC_ARTIFACTS"]) / "predictions.npy", len(labels))
    right = predictions == labels
    parts = {name: np.array(ids, dtype=np.int64) for name, ids in splits.items()}
    if any((predictions[part] < 0).all() for part in parts.values()):
        raise RecipeFault("predictions.npy holds no label at all for one of the splits")
    seen = parts["search"]
    write(
        Path(os.environ["EMPIRIC_RESULT"]),
        {
            # Empiric knows the splits, and takes the means over each.
            "scores": {"accuracy": {str(n): int(right[n]) for n in np.flatnonzero(predictions >= 0)}},
            "agreement": {name: float(right[part].mean()) for name, part in parts.items()},
            "outputs": hashlib.sha256(predictions.astype("<i8").tobytes()).hexdigest(),
            "feedback": feedback(predictions[seen], labels[seen]),
        },
    )


def read(path, count):
    """The predicted labels, or a RecipeFault that says what is wrong with them."""
    if path.is_symlink() or not path.is_file():
        raise RecipeFault("predictions.npy is missing: save one label per test image in EMPIRIC_OUT")
    if path.stat().st_size > LARGEST_FILE:
        raise RecipeFault(f"predictions.npy is larger than {LARGEST_FILE} bytes")
    try:
        predictions = np.load(path, allow_pickle=False)
    except Exception as error:  # whatever a made-up header brings NumPy to
        raise RecipeFault("predictions.npy is not a plain NumPy array without pickles") from error
    if not isinstance(predictions, np.ndarray) or predictions.shape != (count,):
        found = getattr(predictions, "shape", "an archive")
        raise RecipeFault(f"predictions.npy should have shape ({count},) and has {found}")
    if predictions.dtype.kind not in "iu":
        raise RecipeFault(f"predictions.npy should hold integers and holds {predictions.dtype}")
    if predictions.min() < UNREADABLE or predictions.max() > 9:
        raise RecipeFault("predictions.npy holds a label outside 0 to 9")
    return predictions


def feedback(predictions, labels):
    """A line about the errors of the split that proposers may see."""
    wrong = (predictions != labels) & (predictions >= 0)
    pairs = {}
    for label, guess in zip(labels[wrong], predictions[wrong]):
        pairs[int(label), int(guess)] = pairs.get((int(label), int(guess)), 0) + 1
    worst = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:3]
    named = ", ".join(f"{label} taken for {guess} ({count})" for (label, guess), count in worst)
    return f"{int(wrong.sum())} of {len(labels)} wrong" + (f"; most often {named}" if named else "")


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
