"""A task of one's own gets every command, `load`, seeds and resume without a line changed in irrl; and the registry."""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest

import irrl
from bandit import TASK, Config, train
from irrl import checkpoint
from irrl.cli import main
from irrl.errors import UserError
from irrl.references import resolve
from irrl.task import BUILT_IN, find, find_registered, registered

NAME = "bandit:TASK"


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.chdir(tmp_path)


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code or 0


def saved(folder) -> dict[str, np.ndarray]:
    return checkpoint.load(Path(folder) / "last.safetensors").arrays


def test_it_trains_seeds_and_says_how_good_they_became(capsys):
    assert run(NAME, "train", "--preset", "paper", "--seeds", 3, "--out", "runs") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [f"runs/seed-{seed}: pull 400, best skills told apart 100.00%" for seed in (1, 2, 3)]
    config = json.loads(Path("runs/seed-2/config.json").read_text())
    assert config == {"task": "bandit", "config": {**vars(Config()), "seed": 2}}


def test_it_learns_what_it_learns_alone(capsys):
    """Side by side, stopped and gone on with, with other intervals, and from Python: the same to the last bit."""
    assert run(NAME, "train", "--budget", 300, "--seeds", 2, "--out", "both") == 0
    assert run(NAME, "train", "--pulls", 100, "--seed", 2, "--log-every", 50, "--out", "alone") == 0
    assert run(NAME, "train", "--pulls", 300, "--seed", 2, "--out", "alone") == 0
    alone, both = saved("alone"), saved("both/seed-2")
    agent = train(Config(pulls=300, seed=2))
    assert alone.keys() == both.keys() == agent.tables.keys()
    for name, table in alone.items():
        np.testing.assert_array_equal(table, both[name])
        np.testing.assert_array_equal(table, agent.tables[name])


def test_it_is_tested_compared_and_drawn(capsys):
    for reward in ("clipped-linear", "log"):
        assert run(NAME, "train", "--reward", reward, "--seeds", 2, "--out", reward) == 0
    capsys.readouterr()
    assert run(NAME, "test", "log/seed-1") == 0
    assert capsys.readouterr().out == "100% of the skills are told apart\n"
    assert run(NAME, "test", "log/seed-1", "--json", "--seed", 3) == 0
    assert json.loads(capsys.readouterr().out) == {"told_apart": 1.0, "seed": 3}
    assert run(NAME, "compare", "log", "clipped-linear", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["label"]: (row["seeds"], row["at"], row["published"]) for row in rows} == {
        "log": ([1, 2], 200, None), "clipped-linear": ([1, 2], 200, None),
    }  # fmt: skip
    assert run(NAME, "compare", "log", "clipped-linear", "--pull", 100) == 0
    assert "pull 100" in capsys.readouterr().out
    assert run(NAME, "figure", "log", "clipped-linear", "--out", "figure.png") == 0
    assert Path("figure.png").stat().st_size > 10_000


def test_it_is_loaded_by_whoever_hands_it_in(capsys):
    assert run(NAME, "train", "--out", "run") == 0
    agent = irrl.load("run", TASK)
    assert agent.config == Config(pulls=200) and agent.test().numbers["told_apart"] == 1
    with pytest.raises(UserError, match=r"a checkpoint of the task 'bandit'; irrl knows .*: hand in another"):
        irrl.load("run")
    capsys.readouterr()
    assert run("digits", "test", "run") == 2
    assert "bandit" in capsys.readouterr().err


def test_bad_settings_and_resumes_are_one_line(capsys):
    assert run(NAME, "train", "--out", "run") == 0
    for words, message in (
        (["--learning-rate", 0], "--learning-rate is 0.0; it must be a positive number"),
        (["--reward", "gold"], "unknown reward 'gold'"),
        (["--preset", "quick"], "unknown preset 'quick'; choose one of paper, demo, best"),
        (["--reward", "log"], "reward: clipped-linear -> log"),
        (["--resume", "never"], "already holds a run"),
    ):
        capsys.readouterr()
        assert run(NAME, "train", *words, "--out", "new" if "gold" in words else "run") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not Path("new").exists()


def test_help_shows_its_flags(capsys):
    assert run(NAME, "train", "--help") == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("--learning-rate", "--budget", "pulls of an arm"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("spoons", "unknown task 'spoons'; choose one of digits, skills, counting, or your own as module:ATTRIBUTE"),
        ("no_such_module:TASK", "cannot load the task 'no_such_module:TASK': ModuleNotFoundError"),
        ("bandit:NONE", "cannot load the task 'bandit:NONE': AttributeError"),
        ("bandit:ARMS", "'bandit:ARMS' is a int, not an irrl.task.Task"),
    ],
)
def test_what_is_no_task_is_one_line(name, message, capsys):
    with pytest.raises(UserError, match=message):
        find(name)
    if ":" in name:
        assert run(name, "train", "--out", "run") == 2
        assert message in capsys.readouterr().err


def test_a_name_that_stands_in_a_file_is_never_imported():
    for name in ("bandit:TASK", "os:getcwd", "", None, 3, ["digits"], "digits:TASK"):
        with pytest.raises(UserError, match="a checkpoint of the task"):
            find_registered(name)


def test_a_package_brings_a_task(monkeypatch):
    brought = importlib.metadata.EntryPoint("bandit", NAME, "irrl.tasks")
    stolen = importlib.metadata.EntryPoint("digits", NAME, "irrl.tasks")
    monkeypatch.setattr("irrl.task.entry_points", lambda group: [brought, stolen])
    assert registered() == {"bandit": NAME, **BUILT_IN}
    assert find("bandit") is find_registered("bandit") is TASK
    assert find("digits").name == "digits"


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_ours_name_is_there(name):
    task = find(name)
    assert task.name == name and task.preset in task.presets
    assert {task.progress.budget} <= task.free <= set(vars(task.config()))
    for reference in filter(None, (task.train, task.agent, task.published, task.test, task.draw, task.commands)):
        assert resolve(reference) is not None
