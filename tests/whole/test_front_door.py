"""What `import irrl` offers: names that come when they are asked for, each told in words, and one shape of agents."""

import dataclasses
import inspect
import json
import subprocess
import sys
import typing

import numpy as np
import pytest

import irrl
from irrl import MemoryRun, UserError
from irrl.registry import BUILT_IN, find
from irrl.task import Report
from tiny import COUNTING, SETTINGS, write_mnist

PACKAGES = (irrl, *(getattr(irrl, name) for name in BUILT_IN))
SMALL = {
    "digits": SETTINGS | {"epochs": 1, "train_size": 64},
    "skills": {"rooms": "small", "skills": 4, "steps": 4, "iterations": 200, "log_every": 100},
    "counting": COUNTING | {"episodes": 32},
}


def public(package):
    """Its names and what they stand for; of a class, its public methods, too."""
    for name in package.__all__:
        value = getattr(package, name)
        if not name.startswith("_") and not isinstance(value, dict):
            yield f"{package.__name__}.{name}", value
        if inspect.isclass(value):
            for method, function in inspect.getmembers(value, inspect.isfunction):
                if not method.startswith("_") and function.__module__.startswith("irrl"):
                    yield f"{package.__name__}.{name}.{method}", function


EVERY = dict(each for package in PACKAGES for each in public(package))


@pytest.mark.parametrize("name", EVERY)
def test_a_public_name_is_told_in_words_with_types_and_errors(name):
    value = EVERY[name]
    text = inspect.getdoc(value)
    assert text and text[0].isupper()
    if inspect.isfunction(value):
        told = [each for each in inspect.signature(value).parameters.values() if each.name not in ("self", "cls")]
        assert all(each.annotation is not each.empty for each in told), "its arguments have types"
        raises = "raise UserError" in inspect.getsource(value)
        assert not raises or "Raises:" in text, "it says what it raises"


def test_every_name_is_there_and_the_same_as_at_home():
    for package in PACKAGES:
        assert set(package.__all__) - {"__version__"} <= set(dir(package))
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            package.nothing  # noqa: B018
    assert 20 <= len(irrl.__all__) <= 30


def test_nothing_heavy_is_imported_before_it_is_used():
    code = """
import sys, json
import irrl
irrl.digits.preset("demo"), irrl.skills.PRESETS, irrl.counting.Config, irrl.Task, irrl.UserError
heavy = ("jax", "matplotlib", "PIL", "imageio_ffmpeg", "numba", "mujoco", "optax", "scipy")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(output) == []


@pytest.mark.parametrize("task", BUILT_IN)
def test_nothing_that_draws_is_imported_to_train_and_test(task, tmp_path):
    code = f"""
import sys, json
import irrl
agent = irrl.train({task!r}, getattr(irrl, {task!r}).Config(**json.loads(sys.argv[1])))
agent.test(**json.loads(sys.argv[2]))
print(json.dumps([name for name in ("matplotlib", "PIL", "imageio_ffmpeg", "mujoco") if name in sys.modules]))
"""
    asked = {"episodes": 8} if task == "counting" else {}
    settings = SMALL[task] | ({"mnist": str(write_mnist(tmp_path / "mnist"))} if task == "digits" else {})
    words = [sys.executable, "-c", code, json.dumps(settings), json.dumps(asked)]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert json.loads(output) == []


@pytest.mark.parametrize("task", BUILT_IN)
def test_an_agent_is_trained_tested_saved_and_loaded_alike(task, tmp_path):
    settings = SMALL[task] | ({"mnist": str(write_mnist(tmp_path / "mnist"))} if task == "digits" else {})
    package, asked = getattr(irrl, task), {"episodes": 20} if task == "counting" else {}
    config = package.Config(**settings)
    agent = package.train(config, MemoryRun())
    assert isinstance(agent, package.Agent) and agent.config == config
    report = agent.test(seed=3, **asked)
    assert isinstance(report, Report) and report.lines and json.dumps(report.numbers)
    agent.save(tmp_path / "agent.safetensors")
    loaded = irrl.load(tmp_path / "agent.safetensors")
    assert isinstance(loaded, package.Agent) and loaded.config == config
    assert loaded.test(seed=3, **asked).numbers == report.numbers
    assert typing.get_type_hints(package.train)["return"] is package.Agent


def test_train_makes_a_run_that_goes_on_and_is_loaded(tmp_path):
    folder, heard = tmp_path / "run", []

    class Listener(irrl.Listener):
        def log(self, row):
            heard.append(row["iteration"])

    half = irrl.train("skills", "paper", out=folder, **SMALL["skills"], listeners=[Listener()])
    assert heard == [100, 200] and half.iteration == 200
    config = dataclasses.replace(half.config, iterations=400)
    on = irrl.train(find("skills"), config, out=folder, listeners=[Listener()])
    assert heard == [100, 200, 300, 400]
    whole = irrl.train("skills", config)
    for ours, others in zip(on.tables, whole.tables, strict=True):
        np.testing.assert_array_equal(ours, others)
    assert irrl.load(folder).iteration == 400


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({"task": "digit"}, "unknown task 'digit'"),
        ({"task": "skills", "config": "papers"}, "unknown preset 'papers'"),
        ({"task": "skills", "skils": 3}, "has no setting `skils`"),
        ({"task": "skills", "config": 3}, "not int"),
        ({"task": "skills", "skills": 1}, "skills"),
        ({"task": "skills", "rooms": "nowhere.txt"}, "neither small, large, nor a text file"),
        ({"task": "skills", "config": irrl.skills.preset("demo"), "rooms": "nowhere.txt"}, "nor a text file"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(tmp_path, words, wanted):
    with pytest.raises(UserError, match=wanted) as refused:
        irrl.train(**words, out=tmp_path / "run")
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("resume", ["never", "runs/other"])
def test_to_go_on_it_takes_a_folder(resume):
    with pytest.raises(UserError, match=f"`resume={resume}` goes on in a folder: give `out`"):
        irrl.train("skills", "demo", resume=resume)


def test_settings_mean_the_same_beside_a_preset_and_beside_a_config(tmp_path):
    """A file is read, whichever it is; but only a preset brings along what goes with the small rooms."""
    rooms = tmp_path / "corridor.txt"
    rooms.write_text("#######\n#     #\n#######")
    settings = {"skills": 3, "steps": 4, "iterations": 20, "log_every": 20}
    for config in ("paper", irrl.skills.preset("paper")):
        assert irrl.train("skills", config, rooms=rooms, **settings).config.rooms == rooms.read_text()
    small = {name: value for name, value in settings.items() if name != "skills"}
    assert irrl.train("skills", "paper", rooms="small", **small).config.skills == 24
    assert irrl.train("skills", irrl.skills.preset("paper"), rooms="small", **small).config.skills == 128
