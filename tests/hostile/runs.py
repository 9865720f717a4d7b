"""A good run of each task, for others to damage."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hostile.runner import answer
from tiny import COUNTING, SETTINGS, flags_of, write_mnist

TASKS = ("digits", "skills", "counting")
SKILLS = {"rooms": "small", "skills": 6, "steps": 4, "log_every": 500, "checkpoint_every": 500, "keep_every": 0}


def train_words(task, folder, out, budget=2):
    """A training of a second."""
    if task == "digits":
        words = [*flags_of(SETTINGS), "--mnist", folder / "mnist", "--epochs", budget]
    elif task == "skills":
        words = [*flags_of(SKILLS), "--iterations", 500 * budget]
    else:
        words = [*flags_of(COUNTING), "--episodes", 32 * budget]
    return [task, "train", *words, "--out", out]


@contextlib.contextmanager
def good_runs(folder: Path) -> Iterator[Path]:
    """Train them in `folder`, which is the working directory meanwhile."""
    write_mnist(folder / "mnist")
    with contextlib.chdir(folder):
        for task in TASKS:
            assert answer(train_words(task, folder, folder / task)).status == 0
        yield folder
