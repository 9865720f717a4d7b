"""Training: it learns what can be learned, and the reward pays as it should."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl import keys
from irrl.digits.config import Config
from irrl.digits.evaluate import predict
from irrl.digits.model import draw, initial_params, rollout
from irrl.digits.source import Source, canvases_for_testing
from irrl.digits.train import loss, train
from irrl.run import MemoryRun
from tiny import SETTINGS, write_mnist


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return Config(**SETTINGS, mnist=str(write_mnist(tmp_path_factory.mktemp("mnist"))))


def changed(config, **changes):
    return Config(**{**vars(config), **changes})


def test_bars_that_a_glimpse_can_tell_apart_are_learned(config):
    """The canvas is no larger than the glimpse, so ten plain bars must be told apart almost perfectly."""
    easy = changed(config, canvas=8, distractors=0, epochs=40, evaluate_every=40)
    run = MemoryRun()
    params = train(easy, run)
    canvases = canvases_for_testing(easy)
    answers = predict(params, canvases.images, easy, seed=0).answers
    assert (answers == canvases.labels).mean() > 0.9
    assert run.history[0]["reward"] < 0.1
    assert run.history[-1]["reward"] > 0.5


def test_weightless_rows_change_nothing(config):
    source = Source(config)
    epoch = source.epoch(1)
    params = initial_params(config, key=keys.key(1, "initial parameters"))
    index, labels = epoch.order[0], epoch.labels[epoch.order[0]]
    draws = draw(config, 32, key=keys.key(1, "rollout"), explore=True)
    rolled = rollout(params, epoch.canvases, index, draws, config)
    half = jnp.ones(32).at[16:].set(0)
    first_half = jax.tree.map(lambda array: array[:, :16], rolled)
    expected, _ = loss(params, first_half, labels[:16], jnp.ones(16), config)
    got, sums = loss(params, rolled, labels, half, config)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    assert float(sums.canvases) == 16


@pytest.mark.parametrize(
    ("reward", "reward_gradient"), [("accuracy", "leak"), ("log", "leak"), ("box-cox:0.5", "stop")]
)
def test_other_rewards_train_to_finite_weights(config, reward, reward_gradient):
    params = train(changed(config, reward=reward, reward_gradient=reward_gradient, epochs=1, train_size=64))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_history_has_a_row_an_epoch_and_validates_when_due(config):
    run = MemoryRun()
    train(changed(config, epochs=5, evaluate_every=2), run)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4, 5]
    assert ["validation_accuracy" in row for row in run.history] == [False, True, False, True, True]


def test_settings_and_canvases_that_would_be_misread_are_refused():
    """In a process of its own: here the tests' own type checks would refuse them first."""
    code = """
import numpy as np
from irrl import UserError
from irrl.digits.config import Config
from irrl.digits.evaluate import Agent
agent = Agent(Config(canvas=16), None)
for attempt in (
    lambda: Config(model="ramm"),
    lambda: Config(reward_gradient="detach"),
    lambda: Config(data="freshh"),
    lambda: Config(glimpses=3.5),
    lambda: Config(reward=3),
    lambda: agent.predict(np.zeros((2, 16, 16), np.float32)),
    lambda: agent.predict(np.zeros((2, 100, 100), np.uint16)),
):
    try:
        attempt()
    except UserError as error:
        print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    wanted = ["--model", "--reward-gradient", "--data", "--glimpses", "--reward", "scale pixels", "16, 16"]
    assert len(output.splitlines()) == len(wanted)
    for line, part in zip(output.splitlines(), wanted, strict=True):
        assert part in line


def test_a_requested_stop_ends_within_the_epoch(config):
    class Impatient(MemoryRun):
        saved = None

        def progress(self, step, steps):
            self.stop_requested = True

        def save(self, arrays, state, *, best, keep):
            self.saved = state

    run = Impatient()
    train(config, run)
    assert run.history == []
    assert run.saved is not None and run.saved["step"] == 1 and run.saved["epoch"] == 0
