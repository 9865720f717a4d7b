"""What a user may get wrong in a task of their own is one line, from the command line and from Python."""

import importlib
import inspect
from dataclasses import fields, replace

import pytest

import irrl
from bandit import TASK
from command_line import one_line, run
from irrl.cli.task_app import app_of
from irrl.cli.training import TrainFlags
from irrl.errors import UserError
from irrl.task_check import ARGUMENTS, FLAGS, checked

MODULE = """
{future}
from dataclasses import dataclass
from typing import Literal
import bandit
from irrl.task import Task

@dataclass(frozen=True, kw_only=True)
class Config(bandit.Config):
    'Settings.'
    {field}

    def __post_init__(self):
        pass

TASK = Task(**(vars(bandit.TASK) | {{"config": Config, "presets": {{"demo": Config(pulls=3)}}}}))
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a task with one more setting; its name for the command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(field, future=""):
        name = f"odd_{abs(hash((field, future, str(tmp_path))))}"
        (tmp_path / f"{name}.py").write_text(MODULE.format(field=field, future=future))
        importlib.invalidate_caches()
        return f"{name}:TASK"

    return write


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("size: int = 3", ["--size", 4]),  # no docstring: a flag without help
        ("noisy: bool = False", ["--noisy"]),
        ("share: float = 0.5", ["--share", 1]),
        ("kind: Literal['one', 'two'] = 'one'", ["--kind", "two"]),
    ],
)
def test_what_a_setting_can_be(written, capsys, field, words, future):
    name = written(field, future)
    assert run(name, "train", *words, "--out", "run") == 0
    assert run(name, "train", *words, "--pulls", 5, "--out", "run") == 0
    assert run(name, "train", "--help") == 0
    capsys.readouterr()
    assert run(name, "train", words[0], "many", "--out", "other") == 2
    assert one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("note: str | None = None", "its setting 'note' is of type str | None; it can be int, float, bool, str, a"),
        ("sizes: tuple[int, ...] = ()", "its setting 'sizes' is of type tuple[int, ...]; it can be"),
        ("places: Literal[1, 2] = 1", "its setting 'places' is of type typing.Literal[1, 2]; it can be"),
        ("threads: int = 1", "its setting 'threads' is called as a flag or an argument of every task: rename it"),
        ("out: str = ''", "its setting 'out' is called as a flag"),
        ("task: str = ''", "its setting 'task' is called as a flag or an argument"),
        ("budget: int = 1", "its setting 'budget' is called as a flag"),
        ("seed: str = ''", "its config needs the fields seed, an int, and reward"),
        ("reward: int = 3", "its config needs the fields seed, an int, and reward"),
        ("pulls: float = 3.5", "its config needs the field pulls, an int: the budget"),
    ],
)
def test_what_a_setting_cannot_be_is_one_line(written, tmp_path, capsys, field, message):
    name = written(field)
    assert run(name, "train", "--out", "run") == 2
    assert message in one_line(capsys.readouterr().err)
    with pytest.raises(UserError) as refused:
        irrl.train(name, out="run")
    assert message in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_type_that_nobody_knows_is_one_line(written, capsys):
    name = written("size: Size = 3", "from __future__ import annotations")
    assert run(name, "train", "--out", "run") == 2
    assert "name 'Size' is not defined" in one_line(capsys.readouterr().err)


class NoDataclass:
    """Settings as one might write them."""

    seed = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": NoDataclass}, "is not a frozen dataclass"),
        ({"train": "bandit.train"}, "train='bandit.train' must be text, 'package.module:attribute'"),
        ({"free": frozenset({"pulls", "log_evry"})}, "free names 'log_evry', which is no field of its config"),
        ({"common": frozenset({"rate"})}, "common names 'rate'"),
        ({"sections": {"Agent": ("rate",)}}, "its section 'Agent' names 'rate'"),
        ({"preset": "quick"}, "preset='quick' is none of its presets, paper, demo, best"),
        ({"presets": {"demo": {"pulls": 3}}}, "its preset 'demo' is no Config"),
    ],
)
def test_what_is_amiss_with_a_task_is_one_line(change, message):
    broken = replace(TASK, **change)
    with pytest.raises(UserError) as refused:
        irrl.train(broken)
    assert message in str(refused.value) and str(refused.value).startswith("the task 'bandit': ")
    assert checked(TASK) is TASK


def test_the_flags_of_every_task_are_known():
    train = app_of(TASK)["train"].default_command
    own = {field.name for field in fields(TASK.config)}
    assert {field.name for field in fields(TrainFlags)} <= FLAGS
    assert {*inspect.signature(irrl.train).parameters} - {"settings"} <= FLAGS | ARGUMENTS
    assert {*inspect.signature(train).parameters} - own - {"settings"} <= FLAGS | ARGUMENTS
