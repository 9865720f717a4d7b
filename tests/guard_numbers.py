"""What tiny trainings of every preset family, the packaged agents and the committed runs give, to compare with later.

    python tests/guard_numbers.py > tests/guard_numbers.json

Numbers that compiled programs give differ in their last bits from one kind of processor, or version of a library, to
another: so it is noted on which they were made.
"""

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import irrl
from irrl import checkpoint
from irrl.comparison import compare, groups_of
from irrl.counting.config import Config as CountingConfig
from irrl.counting.source import scenes_for_testing
from irrl.counting.training import train as train_counting
from irrl.digits.config import Config as DigitsConfig
from irrl.digits.data import load_mnist, published
from irrl.digits.training import train as train_digits
from irrl.provenance import environment
from irrl.registry import find
from irrl.run import MemoryRun
from irrl.skills.config import preset as skills_preset
from irrl.skills.training import train as train_skills
from tiny import COUNTING, FASTER, SETTINGS, write_mnist

ROOT = Path(__file__).parents[1]

CASES = 500
"""That each packaged agent answers."""


def machine() -> list[str]:
    """What numbers are the same on to the last bit."""
    return [environment()["cpu"], *(f"{name} {version(name)}" for name in ("jaxlib", "numba", "numpy"))]


def trainings(mnist: Path) -> dict[str, Any]:
    """Tiny ones, by name: a function that trains, and its config."""
    digits = SETTINGS | {"mnist": str(mnist), "epochs": 2}
    skills = {"rooms": "small", "iterations": 2000, "log_every": 1000}
    return {
        "ram": (train_digits, DigitsConfig(**digits, reward_gradient="leak")),
        "dt-ram threshold": (train_digits, DigitsConfig(**digits, model="dt-ram", stop="threshold")),
        "dt-ram bernoulli": (train_digits, DigitsConfig(**digits, model="dt-ram", reward="clipped-log")),
        "fast": (train_digits, DigitsConfig(**digits | FASTER)),
        "ram8": (train_digits, DigitsConfig(**digits | {"agent": "ram8", "scales": 2, "decay_epochs": 9, "part": 8})),
        "skills": (train_skills, skills_preset("fast", **skills)),
        "disdain": (train_skills, skills_preset("fast", **skills, disdain=20.0, ensemble=2, reward="clipped-log")),
        "counting": (train_counting, CountingConfig(**COUNTING, episodes=64, jitter=0.3)),
    }


def trained(train: Any, config: Any) -> dict[str, Any]:
    """A digest of a training's final weights; how long each array is, and its sum."""
    saved: dict[str, np.ndarray] = {}

    class Run(MemoryRun):
        def save(self, arrays: Mapping[str, np.ndarray], state, *, best, keep):
            chosen = {name: array for name, array in arrays.items() if not name.startswith(("optimizer", "metrics"))}
            saved.clear()
            saved.update({name: np.array(array) for name, array in chosen.items()})

    train(config, Run())
    wide = {name: array.astype(float) for name, array in saved.items() if array.dtype.kind == "f"}
    sums = {name: [float(np.linalg.norm(array)), float(array.sum())] for name, array in sorted(wide.items())}
    return {"digest": checkpoint.digest(saved), "norm_and_sum": sums}


def answers(name: str) -> str:
    """What a packaged agent answers to so many cases, a digit for each."""
    agent: Any = irrl.load(name)
    if name.startswith("counting"):
        walks = agent.walk(scenes_for_testing(agent.config, CASES))
        found = walks.log_probs[np.arange(CASES), walks.moves].argmax(-1)
    else:
        found = agent.predict(published(load_mnist())[1].images[:CASES]).answers
    return "".join(map(str, found))


def committed_runs() -> dict[str, Any]:
    """What a comparison says of each run under `results`."""
    found = {}
    for config in sorted(ROOT.glob("results/**/config.json")):
        task = find(json.loads(config.read_text())["task"])
        (row,) = compare(groups_of(task, [config.parent]))
        name = str(config.parent.relative_to(ROOT / "results"))
        found[name] = [row.label, list(row.seeds), row.at, row.interquartile_mean, row.best, row.published]
    return found


def numbers(mnist: Path) -> dict[str, Any]:
    """All of them."""
    return {
        "machine": machine(),
        "trainings": {name: trained(*each) for name, each in trainings(mnist).items()},
        "answers": {name: answers(name) for name in ("digits-ram8", "digits-fast", "counting-robot")},
        "committed_runs": committed_runs(),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(numbers(write_mnist(Path(folder))), indent=1))
