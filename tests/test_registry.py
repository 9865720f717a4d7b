"""Where tasks are found, and by whose word: the user's, a package's, a file's."""

import importlib.metadata
from dataclasses import replace

import pytest

import bandit
from bandit import TASK
from command_line import one_line, run
from irrl.errors import UserError
from irrl.references import resolve
from irrl.registry import BUILT_IN, AnotherTask, find, find_registered, part_of, registered
from irrl.task_check import checked

NAME = "bandit:TASK"


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
    monkeypatch.setattr("irrl.registry.entry_points", lambda group: [brought, stolen])
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
    assert checked(task) is task


def brought(monkeypatch, name, task=None):
    """As if an installed package brought a task."""
    if task is not None:
        monkeypatch.setattr(bandit, "BROUGHT", task, raising=False)
    entry = importlib.metadata.EntryPoint(name, "bandit:BROUGHT" if task is not None else NAME, "irrl.tasks")
    monkeypatch.setattr("irrl.registry.entry_points", lambda group: [entry])


def test_a_package_that_calls_it_otherwise_is_one_line(monkeypatch):
    brought(monkeypatch, "maze")
    for known in (find, find_registered):
        with pytest.raises(UserError, match="registers a task as 'maze' that calls itself 'bandit'"):
            known("maze")


def test_a_package_with_a_task_that_cannot_work_is_one_line(monkeypatch):
    brought(monkeypatch, "bandit", replace(TASK, preset="quick"))
    for known in (find, find_registered):
        with pytest.raises(UserError, match="preset='quick' is none of its presets, paper, demo, best"):
            known("bandit")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": "bandit:trains"}, ["train", "--out", "run"]),
        ({"train": "bandits:train"}, ["train", "--out", "run"]),
        ({"commands": "bandit:more"}, ["train", "--help"]),
        ({"test": "bandit:tests"}, ["test", "run"]),
        ({"draw": "bandit:paint"}, ["draw", "run"]),
    ],
)
def test_a_part_that_is_not_there_is_one_line(monkeypatch, tmp_path, capsys, change, words):
    monkeypatch.chdir(tmp_path)
    ((name, reference),) = change.items()
    broken = f"BROKEN_{reference.replace(':', '_')}"  # the command line keeps what it has found
    monkeypatch.setattr(bandit, broken, replace(TASK, **change), raising=False)
    assert run(f"bandit:{broken}", *words) == 2
    assert f"the task 'bandit': cannot load {name}='{reference}'" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_parts_that_are_there():
    assert part_of(TASK, "train") is bandit.train


def test_a_task_that_nobody_registered_is_another_one():
    with pytest.raises(AnotherTask):
        find_registered("bandit")
