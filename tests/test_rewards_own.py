"""Rewards of one's own that are no good: each is one line before anything is trained, in every task."""

import importlib
import sys

import pytest

from irrl import learning, rewards
from irrl.cli import main
from irrl.errors import UserError
from irrl.run import MemoryRun
from tiny import COUNTING, FLAGS, SETTINGS, flags_of, write_mnist

MODULE = """
import jax
import jax.numpy as jnp
import numpy as np
from irrl.rewards import Accuracy, GeneralisedReward, Linear

linear = Linear()


def imaginary(log_probs, target, prior):
    return linear(log_probs, target, prior) + 0j

def of_two(log_probs, target, prior):
    if len(target) != 2:
        raise ValueError("a batch of two, please")
    return linear(log_probs, target, prior)

def of_a_batch(log_probs, target, prior):
    batch, classes = log_probs.shape
    return linear(log_probs, target, prior)

def of_a_single_prior(log_probs, target, prior):
    return linear(log_probs, target, float(prior))

def mean(log_probs, target, prior):
    return linear(log_probs, target, prior).mean()

def right(log_probs, target, prior):
    return log_probs.argmax(-1) == target

def of_numpy(log_probs, target, prior):
    return linear(np.asarray(log_probs), np.asarray(target), prior)

def called(log_probs):
    return jax.pure_callback(lambda array: array, jax.ShapeDtypeStruct(log_probs.shape, log_probs.dtype), log_probs)

def without_gradient(log_probs, target, prior):
    return linear(called(log_probs), target, prior)

@jax.custom_jvp
def runs_only_to_fail(log_probs):
    def fail(array):
        raise RuntimeError("while running")
    return jax.pure_callback(fail, jax.ShapeDtypeStruct(log_probs.shape, log_probs.dtype), log_probs)

runs_only_to_fail.defjvp(lambda primals, tangents: (runs_only_to_fail(*primals), tangents[0]))

def at_run_time(log_probs, target, prior):
    return linear(runs_only_to_fail(log_probs), target, prior)

class Late(GeneralisedReward):
    calls = 0
    def g(self, log_q, xp):
        return log_q
    def __call__(self, log_probs, target, prior):
        Late.calls += 1
        if Late.calls > 1:
            raise SystemExit("enough")
        return linear(log_probs, target, prior)

class Quits(GeneralisedReward):
    def g(self, log_q, xp):
        raise GeneratorExit("no,\\nthanks")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A directory with `own.py`, the present one; its rewards are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own.py").write_text(MODULE)
    importlib.invalidate_caches()
    learning.check_reward.__wrapped__.cache_clear()
    rewards._warn_of_cast.cache_clear()
    yield tmp_path
    sys.modules.pop("own", None)


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


def words_of(task, folder):
    """A training of a second."""
    if task == "digits":
        return ["digits", "train", *FLAGS, "--mnist", write_mnist(folder / "mnist"), "--epochs", 1]
    if task == "counting":
        return ["counting", "train", *flags_of(COUNTING), "--episodes", 32]
    return ["skills", "train", "--rooms", "small", "--skills", 4, "--steps", 4, "--iterations", 100]


BAD = {
    "imaginary": "gives complex",
    "of_two": "fails: ValueError: a batch of two, please",
    "of_a_batch": "fails: ValueError: too many values to unpack",
    "mean": "it must give one real number for each row",
    "of_numpy": "fails: TracerArrayConversionError",
    "without_gradient": "fails: ValueError: Pure callbacks do not support JVP",
    "at_run_time": "while running",
    "Quits": "fails: GeneratorExit: no, thanks",
    "missing": "cannot load reward 'own:missing'",
}


@pytest.mark.parametrize(
    ("task", "name"),
    # An agent of preset paper is paid once an episode, one that counts after every image.
    [(task, name) for task in ("digits", "counting") for name in BAD if (task, name) != ("digits", "of_a_batch")],
)
def test_it_is_refused_in_one_line_and_leaves_nothing(own, task, name, capsys):
    assert run(*words_of(task, own), "--reward", f"own:{name}", "--out", own / "run") == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "irrl" in line or "reward" in line]
    assert len(error) == 1 and f"'own:{name}'" in error[0] and BAD[name] in error[0]
    assert not (own / "run").exists()


def test_a_prior_for_each_class_is_tried_where_training_gives_one(own, capsys):
    assert run(*words_of("counting", own), "--reward", "own:of_a_single_prior", "--out", own / "run") == 2
    assert "'own:of_a_single_prior' fails: TypeError" in capsys.readouterr().err
    learning.check_reward("own:of_a_single_prior", (1, 32), 10)


@pytest.mark.parametrize("name", ["Quits", "Late", "imaginary", "missing"])
def test_skills_refuse_it_in_one_line_too(own, name, capsys):
    assert run(*words_of("skills", own), "--reward", f"own:{name}", "--out", own / "run") == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert f"own:{name}" in error or "imaginary" in error or "Late" in error
    assert not (own / "run").exists()


@pytest.mark.parametrize("name", ["imaginary", "of_two", "mean", "Quits", "missing"])
def test_digits_noise_refuses_it_before_networks_are_asked(own, name, capsys, monkeypatch):
    from irrl.digits import noise

    monkeypatch.setattr(noise, "answers", None)
    with pytest.raises(UserError, match=f"own:{name}") as refused:
        noise._check_reward(f"own:{name}", 20)
    assert "\n" not in str(refused.value)


def test_a_reward_that_fails_later_is_still_one_line(own):
    from irrl.digits.config import Config
    from irrl.digits.training import train

    config = Config(**SETTINGS, mnist=str(write_mnist(own / "mnist")), reward="own:Late", epochs=1)
    with pytest.raises(UserError, match="the reward 'own:Late' fails: SystemExit: enough"):
        train(config, MemoryRun())
    assert importlib.import_module("own").Late.calls == 2, "the check's call, then training's"


def test_truth_values_are_paid_as_numbers_which_is_said_once(own, capsys):
    assert run(*words_of("digits", own), "--reward", "own:right", "--seeds", 2, "--out", own / "mine") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert said == ["warning: the reward 'own:right' gives bool; taken as float32"]
    assert run(*words_of("digits", own), "--reward", "accuracy", "--seeds", 2, "--out", own / "accuracy") == 0
    weights = [(own / name / "seed-2" / "last.safetensors").read_bytes()[-1000:] for name in ("mine", "accuracy")]
    assert weights[0] == weights[1]
