"""Hostile inputs to every task's commands: see `hostile.runner` for what must hold of each answer.

`IRRL_HOSTILE=10000 pytest tests/hostile` tries so many in place of 2 000.
"""

import os

import numpy as np
import pytest

from hostile import checkpoints, folders, idx, maps, pictures, studies, torch_files
from hostile.runner import Case, check_all, evil_module
from hostile.runs import TASKS, good_runs, train_words
from irrl.checkpoint import load

CASES = int(os.environ.get("IRRL_HOSTILE", "2000"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a good run of each task, in which tests work: what files name is looked for there, too."""
    with good_runs(tmp_path_factory.mktemp("hostile")) as folder:
        evil_module(folder)
        yield folder
        assert not (folder / "stolen").exists()


def readers(rng, task, path, folder, number):
    """A command line that reads a checkpoint file."""
    out = folder / f"out-{number}"
    choices = {
        "digits": [
            ["digits", "test", path, "--json"],
            ["digits", "noise", path, "--oracle", folder / "digits", "--cases", 5, "--out", out],
            ["digits", "noise", folder / "digits", "--oracle", path, "--cases", 5, "--out", out],
            [*train_words("digits", folder, out), "--resume", path],
            [*train_words("digits", folder, out), "--oracle", path],
        ],
        "skills": [
            ["skills", "test", path, "--json"],
            [*train_words("skills", folder, out), "--resume", path],
        ],
        "counting": [
            ["counting", "test", path, "--episodes", 4, "--json"],
            [*train_words("counting", folder, out), "--resume", path],
        ],
    }[task]
    return choices[0] if rng.random() < 0.7 else choices[int(rng.integers(len(choices)))]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["damaged", "sealed"])
def test_checkpoints(place, task, kind):
    rng = np.random.default_rng([TASKS.index(task), len(kind)])
    good = place / task / "last.safetensors"
    folder = place / f"{task}-{kind}"
    folder.mkdir()
    found = (
        checkpoints.damaged(rng, folder, good.read_bytes())
        if kind == "damaged"
        else checkpoints.sealed(rng, folder, load(good))
    )
    commands = (
        Case(name, readers(rng, task, path, place, f"{task}-{kind}-{number}"))
        for number, (name, path) in enumerate(found)
    )
    check_all(commands, CASES // 10)


@pytest.mark.parametrize("task", TASKS)
def test_run_folders(place, task):
    rng = np.random.default_rng([TASKS.index(task), 1])
    folder = place / f"{task}-folders"
    folder.mkdir()

    def commands():
        for number, (name, run) in enumerate(folders.odd(rng, folder, place / task)):
            choices = [
                [task, "test", run, *["--episodes", 4] * (task == "counting")],
                train_words(task, place, run, budget=3),
                [task, "compare", run, place / task],
                [task, "figure", *["ram"] * (task == "digits"), run, "--out", folder / f"{number}.png"],
                ["report", run, "--out", folder / f"{number}.html"],
            ]
            if task == "skills":
                choices += [["skills", "occupancy", run], ["skills", "noise", run, "--out", folder / f"{number}.png"]]
            yield Case(name, choices[int(rng.integers(len(choices)))])

    check_all(commands(), CASES // 20)


def test_torch_files(place, tmp_path):
    check_all(torch_files.cases(np.random.default_rng(2), tmp_path), CASES // 10)


def test_pictures(place, tmp_path):
    check_all(pictures.cases(np.random.default_rng(3), tmp_path, place / "digits"), CASES // 40)


@pytest.mark.parametrize("kind", [idx, maps, studies])
def test_data_maps_and_studies(place, tmp_path, kind):
    found = kind.cases(np.random.default_rng(4), tmp_path / "cases")
    check_all((Case(name, words) for name, words in found), CASES // 10)
