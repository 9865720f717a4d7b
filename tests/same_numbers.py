"""Digests of what a tiny training of every task, the packaged agents, prospects and environments give, as JSON.

    python tests/same_numbers.py FOLDER

FOLDER holds MNIST-like files, as `tiny.write_mnist` makes them.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gymnasium
import jax
import numpy as np

import irrl
from irrl import checkpoint
from irrl.counting import training as counting
from irrl.counting.config import Config as CountingConfig
from irrl.counting.scene import prospects
from irrl.counting.source import Source as CountingSource
from irrl.counting.source import scenes_for_testing
from irrl.digits import training as digits
from irrl.digits.config import Config as DigitsConfig
from irrl.digits.data import load_mnist, published
from irrl.digits.source import Source as DigitsSource
from irrl.run import MemoryRun
from irrl.skills import training as skills
from irrl.skills.config import Config as SkillsConfig
from tiny import COUNTING, FASTER, SETTINGS

TIMED = ("seconds", "images_per_second", "frames_per_second", "microseconds_per_iteration")


def digest(*arrays: Any) -> str:
    """Over shapes, types and bytes."""
    together = hashlib.sha256()
    for array in map(np.asarray, arrays):
        together.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return together.hexdigest()


def trained(train: Any, config: Any, *source: Any) -> list[str]:
    """Of the last checkpoint, optimiser included, and of the rows of metrics; data are made before, as by commands."""
    saved = []

    class Run(MemoryRun):
        def save(self, arrays, state, *, best, keep):
            saved.append(checkpoint.digest(arrays))

    run = Run()
    train(config, run, *source)
    rows = [{name: value for name, value in row.items() if name not in TIMED} for row in run.history]
    return [saved[-1], hashlib.sha256(json.dumps(rows).encode()).hexdigest()]


def looked(name: str) -> str:
    """What a packaged agent makes of published canvases."""
    predictions = irrl.load(name).predict(published(load_mnist())[1].images[:20])
    return digest(predictions.log_probs, predictions.locations, predictions.glimpses)


def walked() -> str:
    """What the packaged robot makes of a few tables."""
    robot = irrl.load("counting-robot")
    walks = robot.walk(scenes_for_testing(robot.config, 8))
    return digest(walks.log_probs, walks.viewpoint, walks.moves)


def foreseen(config: CountingConfig) -> str:
    """What can be known of a few scenes before any training."""
    found = prospects(config, scenes_for_testing(config, 4))
    return digest(found.seen, found.least_moves, found.best_view, found.most_seen, found.count)


def played(name: str) -> list[str]:
    """What an environment shows, and what it says beside."""
    environment = gymnasium.make(f"irrl.environments:irrl/{name}")
    seen = [environment.reset(seed=1)]
    seen += [environment.step(action)[::4] for action in (1, 0, 1)]
    return [digest(*jax.tree.leaves(each)) for each in seen]


def digests(mnist: Path) -> dict[str, Any]:
    """All of them, by name."""
    tiny = SETTINGS | {"mnist": str(mnist), "epochs": 1, "train_size": 64}
    paper, fast = DigitsConfig(**tiny, reward_gradient="leak"), DigitsConfig(**tiny | FASTER)
    counting_config = CountingConfig(**COUNTING, episodes=32, jitter=0.3)
    return {
        "paper": trained(digits.train, paper, DigitsSource(paper)),
        "fast": trained(digits.train, fast, DigitsSource(fast)),
        "counting": trained(counting.train, counting_config, CountingSource(counting_config)),
        "skills": trained(skills.train, SkillsConfig(rooms="small", skills=4, steps=4, iterations=200)),
        "digits-ram8": looked("digits-ram8"),
        "digits-fast": looked("digits-fast"),
        "counting-robot": walked(),
        "prospects": foreseen(counting_config),
        "four rooms": played("FourRooms-v0"),
        "counting environment": played("ObjectCounting-v0"),
    }


if __name__ == "__main__":
    print(json.dumps(digests(Path(sys.argv[1]))))
