"""Rewards as objects in every task's config: trained with in memory and in a folder, gone on with, compiled once."""

import dataclasses
import json
import re
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl import rewards
from irrl.cli import main
from irrl.counting import config as counting_config
from irrl.counting import training as counting_train
from irrl.devices import AXIS
from irrl.digits import config as digits_config
from irrl.digits import ram
from irrl.digits import training as digits_train
from irrl.errors import UserError
from irrl.rewards import Accuracy, Clipped, GeneralisedReward, Linear, SignedAccuracy
from irrl.run import DiskRun, MemoryRun, Plan
from irrl.settings import config_from, recorded
from irrl.skills import config as skills_config
from irrl.skills import kernel
from irrl.skills import training as skills_train
from tiny import COUNTING, SETTINGS, write_mnist


@dataclass(frozen=True)
class Tsallis(GeneralisedReward):
    order: float = 0.5

    def g(self, log_q, xp):
        return xp.expm1((1 - self.order) * log_q) / (1 - self.order)


@dataclass
class Mutable(GeneralisedReward):
    order: float = 0.5

    def g(self, log_q, xp):
        return log_q


def of_no_module(task):
    """A reward that no name leads to. Numba compiles no lambda: for skills, an object of a class made here."""
    if task == "skills":
        return type("Local", (Tsallis,), {})(0.3)

    def inside(log_probs, target, prior):
        return Clipped(Tsallis(0.3))(log_probs, target, prior)

    return inside


NAME = f"clipped({Tsallis.__module__}:Tsallis(order=0.3))"
TASKS = {
    "digits": (digits_config, digits_train, "epoch"),
    "skills": (skills_config, skills_train, "iteration"),
    "counting": (counting_config, counting_train, "episode"),
}


@pytest.fixture(params=TASKS)
def task(request, tmp_path):
    """A task, its `Config` for a training of a second with some reward, and that training."""
    module, train, unit = TASKS[request.param]
    settings: dict[str, Any] = {
        "digits": SETTINGS | {"mnist": "", "epochs": 2, "train_size": 64},
        "skills": {"rooms": "small", "skills": 4, "steps": 4, "iterations": 200, "log_every": 100},
        "counting": COUNTING | {"episodes": 64},
    }[request.param]
    if request.param == "digits":
        settings["mnist"] = str(write_mnist(tmp_path / "mnist"))

    def config(reward, **changed):
        return module.Config(**settings | changed, reward=reward)

    def open_run(folder, config):
        return DiskRun.open(folder, Plan(request.param, recorded(config), module.FREE, unit=unit))

    def programs():
        return len(kernel.train.signatures) if request.param == "skills" else train._train_steps._cache_size()

    return SimpleNamespace(
        name=request.param,
        kind=module.Config,
        config=config,
        train=train.train,
        open=open_run,
        programs=programs,
        half={f"{unit}s": settings[f"{unit}s"] // 2},
    )


def same(ours, others):
    """Whether two agents' weights or tables are equal."""
    weights = [jax.tree.leaves(getattr(agent, "params", None) or agent.tables) for agent in (ours, others)]
    return all(np.array_equal(*each) for each in zip(*weights, strict=True))


def test_configs_with_equal_rewards_are_equal(task):
    config = task.config(Clipped(Tsallis(0.3)))
    assert config == task.config(Clipped(Tsallis(0.3))) and hash(config) == hash(task.config(Clipped(Tsallis(0.3))))
    assert config != task.config(Clipped(Tsallis(0.4))) and config != task.config(Tsallis(0.3))
    assert dataclasses.replace(config, seed=2).reward == Clipped(Tsallis(0.3))
    assert recorded(config)["reward"] == NAME and recorded(task.config(Linear()))["reward"] == "linear"
    read = config_from(task.kind, json.loads(json.dumps(recorded(config))), "here")
    assert read == task.config(NAME) and rewards.get(read.reward) == config.reward
    assert recorded(task.config("any:Text"))["reward"] == "any:Text"


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (Tsallis, "`reward` is the class Tsallis; it must be an object: Tsallis(...)"),
        (Mutable(), "`reward` is Mutable(order=0.5), which cannot be hashed"),
    ],
)
def test_what_is_no_reward_is_refused_by_the_config_in_one_line(task, reward, said):
    with pytest.raises(UserError, match=f"^{re.escape(said)}") as refused:
        task.config(reward)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [3, None, ["log"], {"order": 0.3}])
def test_a_file_holds_a_rewards_name_and_nothing_else(task, value):
    with pytest.raises(UserError, match=r"config.json: `reward` is .*; it must be of type str"):
        config_from(task.kind, {"reward": value}, "config.json")


def test_an_object_learns_what_its_name_learns_and_goes_on_where_it_was(task, tmp_path):
    config = task.config(Clipped(Tsallis(0.3)))
    whole = task.train(config, MemoryRun())
    assert same(whole, task.train(task.config(NAME), MemoryRun()))
    folder = tmp_path / "run"
    with task.open(folder, dataclasses.replace(config, **task.half)) as run:
        task.train(dataclasses.replace(config, **task.half), run)
    assert json.loads((folder / "config.json").read_text())["config"]["reward"] == NAME
    for other in (Clipped(Tsallis(0.4)), Tsallis(0.3), "clipped-linear"):
        with pytest.raises(UserError, match=f"reward: {re.escape(NAME)} -> "):
            task.open(folder, task.config(other))
    again, before = task.config(Clipped(Tsallis(0.3))), task.programs()
    with task.open(folder, again) as run:
        assert same(whole, task.train(again, run))
    assert task.programs() == before > 0, "none is compiled for an equal reward"
    if task.name == "skills":
        assert f"noise_bias/{NAME}" in run.history[-1]


def test_what_cannot_be_recorded_works_in_memory_only(task, tmp_path):
    config = task.config(of_no_module(task.name), **task.half)
    with pytest.raises(UserError, match="cannot be recorded in a run's folder") as refused:
        task.open(tmp_path / "run", config)
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()
    run = MemoryRun()
    task.train(config, run)
    assert run.history


@pytest.mark.parametrize("latency", ["right", "weighted"])
@pytest.mark.parametrize("reward", [Accuracy(), SignedAccuracy(), Linear()])
def test_an_accuracy_is_known_by_its_type(reward, latency):
    """Whose price of time is not weighted by what it pays, as another reward's is."""

    def paid(given):
        config = digits_config.Config(model="dt-ram", latency=latency, reward=given, glimpses=4)
        arrays = jnp.array([0.5, -1.0]), jnp.array([1, 3]), jnp.array([True, False]), jnp.ones(2)
        split = jax.vmap(lambda each: ram.less_latency(each, *arrays[1:], config), axis_name=AXIS)
        return split(arrays[0][None])[0]

    np.testing.assert_array_equal(paid(reward), paid(rewards.name_of(reward)))
    assert np.array_equal(paid(reward), paid(Linear())) == isinstance(reward, Linear)


OWN = """
from dataclasses import dataclass
from irrl.rewards import GeneralisedReward
@dataclass(frozen=True)
class Power(GeneralisedReward):
    order: float = 2.0
    def g(self, log_q, xp):
        return xp.exp(self.order * log_q)
"""


def test_the_command_line_takes_fields_and_clipped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "powers.py").write_text(OWN)
    words = ["skills", "train", "--rooms", "small", "--skills", "4", "--steps", "4", "--log-every", "100"]

    def run(*more):
        with pytest.raises(SystemExit) as exit:
            main([*words, *more])
        return exit.value.code or 0

    name = "clipped(powers:Power(3.0))"
    assert run("--iterations", "100", "--reward", name, "--out", "run") == 0
    assert run("--iterations", "200", "--reward", name, "--out", "run") == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["reward"] == name
    capsys.readouterr()
    assert run("--reward", "powers:Power(1,", "--out", "other") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("irrl: reward 'powers:Power(1,': what is in its parentheses must be literals")
    assert not (tmp_path / "other").exists()
