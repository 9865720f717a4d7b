"""Nothing that reads a run resolves a reward's name that it read there: a stranger may have written any."""

import importlib
import json
import sys
from dataclasses import asdict

import jax
import pytest

import irrl
from irrl import rewards
from irrl.checkpoint import flatten
from irrl.cli import main
from irrl.counting.config import Config as CountingConfig
from irrl.counting.network import initial_params as counting_params
from irrl.digits.config import Config as DigitsConfig
from irrl.digits.networks import initial_params as digits_params
from irrl.run import DiskRun, Plan
from irrl.skills.config import Config as SkillsConfig
from irrl.skills.four_rooms import rooms_of
from irrl.skills.training import initial_tables, measured
from tiny import COUNTING, SETTINGS, write_mnist

EVIL = """
from pathlib import Path
Path(__file__).with_name("marker").touch()
def R(log_probs, target, prior):
    Path(__file__).with_name("marker").touch()
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The present directory, as somebody packed it: `evil.py` beside the runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "evil.py").write_text(EVIL)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("evil", None)


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code or 0


def write_runs(folder, rewards_of):
    """A run of each task, as its training leaves it, but untrained.

    Args:
        rewards_of: the name of its reward, by task.
    """
    mnist = str(write_mnist(folder / "mnist"))
    digits = DigitsConfig(**SETTINGS, mnist=mnist, reward=rewards_of["digits"])
    counting = CountingConfig(**COUNTING, reward=rewards_of["counting"])
    for task, config, initial in (("digits", digits, digits_params), ("counting", counting, counting_params)):
        params = initial(config, key=jax.random.key(1))
        unit = "epoch" if task == "digits" else "episode"
        with DiskRun.open(folder / task, Plan(task, asdict(config), unit=unit)) as disk:
            for step in (1, 2):
                disk.log({"step": step, unit: step, "validation_accuracy": 0.5, "accuracy": 0.5, "reward": 0.1})
                state = {"step": step, unit: step, "best": 0.5}
                disk.save(flatten({"params": params}), state, best=True, keep=True)
    skills = SkillsConfig(rooms="small", skills=4, steps=4, iterations=2, reward=rewards_of["skills"])
    with DiskRun.open(folder / "skills", Plan("skills", asdict(skills), unit="iteration")) as disk:
        rooms = rooms_of("small")
        for iteration in (1, 2):
            tables = initial_tables(skills, rooms)
            tables.paid[0] = 1
            state = {"step": iteration, "iteration": iteration}
            disk.log(state | measured(tables, skills, rooms, iteration, rewards.Linear()))
            disk.save(tables._asdict(), state, best=False, keep=True)


def commands(folder, *, film):
    """Every command that reads a run, by task; a film takes seconds."""
    for task in ("digits", "counting", "skills"):
        yield task, "compare", folder / task
        published = ["ram"] if task == "digits" else []
        yield task, "figure", *published, folder / task, "--out", folder / "curves.png"
    yield "digits", "test", folder / "digits"
    yield "digits", "draw", folder / "digits", "--cases", 1, "--out", folder / "drawn"
    yield "digits", "predict", folder / "digits", folder / "drawn" / "glimpses.png", "--out", folder
    yield "digits", "noise", folder / "digits", "--oracle", folder / "digits", "--out", folder / "noise"
    yield "digits", "figure", "noise", folder / "digits", "--oracle", folder / "digits", "--out", folder / "noise.png"
    yield "counting", "test", folder / "counting", "--episodes", 2
    if film:
        yield "counting", "draw", folder / "counting", "--cases", 1, "--out", folder / "films"
    yield "skills", "test", folder / "skills"
    yield "skills", "occupancy", folder / "skills", "--out", folder / "maps"
    yield "skills", "noise", folder / "skills", "--out", folder / "noise.png"
    yield "report", *(folder / task for task in TASKS), "--out", folder / "report.html"


TASKS = ("digits", "counting", "skills")
STRANGE = [
    ("evil:R", "evil:R", "evil:R"),
    ("antigravity:fly", "os:getcwd", "$\\frac$:R"),
    ("builtins:exit", 'os:system("touch marker")', "builtins:exit()"),
    ("evil:R(1)", "clipped(evil:R)", "evil:R(__import__('os').system('touch marker'))"),
    ('os:system("touch marker")', "builtins:exit()", "evil:R(1)"),
]
"""Names of rewards that strangers wrote into their runs of each task."""


@pytest.mark.parametrize("names", [*STRANGE[:3], *(pytest.param(each, marks=pytest.mark.slow) for each in STRANGE[3:])])
def test_whatever_reads_a_strangers_run_imports_nothing_that_it_names(stranger, names, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "antigravity", None)  # importing it would open a browser
    resolved = []
    get = rewards.get
    monkeypatch.setattr(rewards, "get", lambda name: resolved.append(name) or get(name))
    monkeypatch.setattr(rewards, "_load", resolved.append)
    write_runs(stranger, dict(zip(TASKS, names, strict=True)))
    for words in commands(stranger, film=names == STRANGE[0]):
        done, said = run(*words), capsys.readouterr()
        # Where MuJoCo has nothing to draw with, and for a picture of many digits, one line says so.
        assert done == 0 or (words[1] in ("draw", "predict") and done == 2 and said.err.count("\n") == 1), said.err
    for task, name in zip(TASKS, names, strict=True):
        irrl.load(stranger / task)
        assert json.loads((stranger / task / "config.json").read_text())["config"]["reward"] == name
    assert not set(names) & set(resolved)
    assert "evil" not in sys.modules
    assert not (stranger / "marker").exists()


OWN = """
from irrl.rewards import GeneralisedReward
class Square(GeneralisedReward):
    def g(self, log_q, xp):
        return xp.exp(2 * log_q)
"""


def test_an_honest_run_with_a_reward_of_ones_own_is_tested_from_elsewhere(tmp_path, monkeypatch, capsys):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir(), elsewhere.mkdir()
    (home / "honest.py").write_text(OWN)
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    words = ["--rooms", "small", "--skills", 4, "--steps", 4, "--iterations", 200, "--log-every", 100]
    assert run("skills", "train", *words, "--reward", "honest:Square", "--out", home / "run") == 0
    rows = [json.loads(line) for line in (home / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all("noise_bias/honest:Square" in row for row in rows)
    monkeypatch.chdir(elsewhere)
    sys.modules.pop("honest")
    sys.path.remove(str(home))
    (home / "honest.py").unlink()
    capsys.readouterr()
    assert run("skills", "test", home / "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["effective_skills_exact"] == pytest.approx(rows[-1]["effective_skills_exact"])
    for command in ("occupancy", "noise"):
        assert run("skills", command, home / "run", "--out", elsewhere / f"{command}.png") == 0
