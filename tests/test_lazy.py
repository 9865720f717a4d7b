"""Old paths of what has moved: for a release they lead to where it is now, and say so."""

import importlib
import sys

import pytest

import irrl

MOVED = {
    "irrl.digits.train": {"train": "irrl.digits.training", "train_steps": "irrl.digits.training"},
    "irrl.skills.train": {"train": "irrl.skills.training"},
    "irrl.counting.train": {"train": "irrl.counting.training"},
    "irrl.digits.comparison": {"published": "irrl.digits.curves"},
    "irrl.skills.comparison": {"published": "irrl.skills.curves"},
    "irrl.counting.comparison": {"published": "irrl.counting.curves"},
    "irrl.digits.figures": {"learning_curves": "irrl.figures"},
    "irrl.digits.model": {"rollout": "irrl.digits.ram", "initial_params": "irrl.digits.networks"},
    "irrl.digits.network": {"film": "irrl.digits.fast", "sense": "irrl.digits.episode"},
    "irrl.skills.paid": {"compile_reward": "irrl.skills.compiled_reward"},
}


@pytest.fixture
def _fresh():
    """Importing an old path leaves a mark on its package."""
    yield
    for old in MOVED:
        sys.modules.pop(old, None)
        package, _, name = old.rpartition(".")
        vars(sys.modules[package]).pop(name, None)


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_leads_on_and_says_so(old):
    module = importlib.import_module(old)
    for name, home in MOVED[old].items():
        with pytest.warns(DeprecationWarning, match=f"{old}.{name} is {home}.{name} now"):
            assert getattr(module, name) is getattr(importlib.import_module(home), name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.usefixtures("_fresh")
def test_who_imports_an_old_module_may_still_call_the_function_of_its_name():
    importlib.import_module("irrl.skills.train")
    settings = {"rooms": "small", "skills": 4, "steps": 4, "iterations": 20, "log_every": 20}
    with pytest.warns(DeprecationWarning, match=r"irrl\.skills\.training\.train now"):
        agent = irrl.skills.train(irrl.skills.Config(**settings))
    assert agent.iteration == 20


def test_nothing_of_ours_uses_an_old_path():
    for name in ("digits", "skills", "counting"):
        importlib.import_module(f"irrl.{name}.training")
        assert not isinstance(getattr(irrl, name).train, type(sys))
