"""Asks Optuna's samplers; whoever started this answers with values.

One JSON object per line. In: {"method", "seed", "trials", "space": [{"name", "kind", "low", "high", "log", "choices",
"start"}]} begins a search. Out: {"ask": {name: value}}, answered by {"value": number}; at the end {"best": {name: value}}.
"""

import json
import sys
import warnings

import optuna

warnings.filterwarnings("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def suggest(trial, space):
    values = {}
    for one in space:
        name = one["name"]
        if one["kind"] == "real":
            values[name] = trial.suggest_float(name, one["low"], one["high"], log=one["log"])
        elif one["kind"] == "whole":
            values[name] = trial.suggest_int(name, one["low"], one["high"], log=one["log"])
        else:
            values[name] = trial.suggest_categorical(name, one["choices"])
    return values


def sampler(method, seed, start):
    if method == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if method == "cma-es":
        numbers = {name: value for name, value in start.items() if not isinstance(value, (str, bool))}
        return optuna.samplers.CmaEsSampler(seed=seed, x0=numbers)
    return optuna.samplers.RandomSampler(seed=seed)


def say(message):
    print(json.dumps(message), flush=True)


for line in sys.stdin:
    asked = json.loads(line)
    start = {one["name"]: one["start"] for one in asked["space"]}
    study = optuna.create_study(sampler=sampler(asked["method"], asked["seed"], start))
    # The unedited recipe is known to every search.
    study.enqueue_trial(start)
    for _ in range(asked["trials"] + 1):
        trial = study.ask()
        say({"ask": suggest(trial, asked["space"])})
        study.tell(trial, json.loads(sys.stdin.readline())["value"])
    say({"best": study.best_params})
