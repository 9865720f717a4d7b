"""Our RAM and DT-RAM against the authors' own model: losses and gradients of one batch, as their code computed them.

`reference_gradients.json` holds, for each reward, the losses of their PyTorch model in float32, and for each of its
parameters the gradient's norm, its sum and its three entries largest in size. The batch is drawn by NumPy here as it
was there. RAM's weights are those of the released checkpoint, which is not ours to ship: where it does not lie, RAM is
skipped. `IRRL_AUTHORS_CHECKPOINT` names it.
"""

import dataclasses
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl.digits.config import preset
from irrl.digits.data import load_mnist, published
from irrl.digits.episode import Noise
from irrl.digits.importer import LAYERS, params_of
from irrl.digits.ram import Params, loss, rollout
from irrl.recurrent import Linear
from irrl.returns import reinforce_with_baseline
from irrl.torch_file import read_torch_file

REFERENCE = json.loads(Path(__file__).with_name("reference_gradients.json").read_text())
RELEASED = Path(
    os.environ.get(
        "IRRL_AUTHORS_CHECKPOINT",
        Path(__file__).parents[3] / "shared/paper/checkpoints/ram_clipped_linear_epoch1400.pth.tar",
    )
)
BATCH = 256
REWARDS = ("clipped-linear", "linear", "clipped-log", "log", "accuracy")
LOSSES = ("loss", "classification", "baseline", "reinforce", "reward_mean")
TOLERANCE = 1e-5
"""Of a loss, as a share of it; of a gradient, as a share of its norm."""
ROUNDING = 1e-6
"""Of a gradient that is a small difference of large numbers."""


@pytest.fixture(scope="module")
def batch():
    """The first canvases of the published training set, and all the chance in their episodes."""
    canvases = published(load_mnist())[0]
    rng = np.random.default_rng(0)
    first = rng.uniform(-1, 1, (BATCH, 2)).astype(np.float32)
    steps = 0.05 * rng.standard_normal((19, BATCH, 2)).astype(np.float32)
    return canvases.images[:BATCH], canvases.labels[:BATCH], first, steps


def losses_and_gradients(params, batch, config):
    images, labels, first, steps = batch
    steps = steps[: config.most_glimpses].swapaxes(0, 1)
    noise = Noise(jnp.array(first), jnp.array(steps), jnp.full(steps.shape[:2], 0.5))
    rolled = rollout(params, jnp.array(images), jnp.arange(BATCH), noise, config)
    gradients, sums = jax.grad(loss, has_aux=True)(params, rolled, jnp.array(labels), jnp.ones(BATCH), config)
    mean = {name: float(total) / BATCH for name, total in sums._asdict().items()}
    found = {
        "loss": mean["loss"],
        "classification": mean["classification_loss"],
        "baseline": mean["baseline_loss"],
        "reinforce": (mean["loss"] - mean["classification_loss"] - mean["baseline_loss"]) / config.reinforce_weight,
        "correct": round(mean["accuracy"] * BATCH),
        "reward_mean": mean["reward"],
        "stop_times": np.bincount(rolled.stop_time, minlength=19).tolist(),
    }
    return found, jax.tree.map(lambda gradient: np.asarray(gradient, np.float64) / BATCH, gradients)


def as_theirs(gradients):
    """By the authors' names, outputs x inputs; the decision to stop is the third output of their locator."""
    by_name = {}
    for ours, theirs in LAYERS.items():
        weight, bias = (array.T for array in getattr(gradients, ours))
        if ours == "locator_mean" and gradients.locator_stop is not None:
            weight = np.concatenate([weight, gradients.locator_stop.weight.T])
            bias = np.concatenate([bias, gradients.locator_stop.bias])
        by_name |= {f"{theirs}.weight": weight, f"{theirs}.bias": bias}
    return by_name


def assert_same_losses(found, reference, names):
    for name in names:
        # The policy's is found as a difference of float32 numbers of size 2, over its weight of 0.01.
        rounding = 5e-5 if name == "reinforce" else TOLERANCE
        assert found[name] == pytest.approx(reference[name], rel=TOLERANCE, abs=rounding), name


def assert_same_gradients(gradients, reference, but=()):
    for name, wanted in reference.items():
        if name.startswith(but):
            continue
        found, scale = gradients[name], max(TOLERANCE * wanted["norm"], ROUNDING)
        assert np.linalg.norm(found) == pytest.approx(wanted["norm"], abs=scale), name
        assert found.sum() == pytest.approx(wanted["sum"], abs=scale * np.sqrt(found.size)), name
        for index, value in wanted["largest"]:
            assert found.ravel()[index] == pytest.approx(value, abs=scale), (name, index)


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.skipif(not RELEASED.exists(), reason="the authors' released checkpoint is not here")
def test_ram(batch, reward):
    config = preset("paper", reward=reward)
    params = params_of(read_torch_file(RELEASED)["model_state"], config)
    found, gradients = losses_and_gradients(params, batch, config)
    reference = REFERENCE[f"ram {reward}"]
    assert found["correct"] == reference["correct"]
    assert_same_losses(found, reference, LOSSES)
    assert_same_gradients(as_theirs(gradients), reference["gradients"])


def drawn_weights() -> Params:
    """DT-RAM's weights, drawn parameter by parameter in the order of the authors' names."""
    shapes = {
        "baseliner.fc": (1, 256), "classifier.fc": (10, 256), "locator.fc": (128, 256), "locator.fc_lt": (3, 128),
        "rnn.h2h": (256, 256), "rnn.i2h": (256, 256), "sensor.fc1": (128, 16), "sensor.fc2": (128, 2),
        "sensor.fc3": (256, 128), "sensor.fc4": (256, 128),
    }  # fmt: skip
    rng, arrays = np.random.default_rng(1), {}
    for layer, (outputs, inputs) in sorted(shapes.items()):
        for kind, shape in (("bias", (outputs,)), ("weight", (outputs, inputs))):
            drawn = rng.uniform(-1, 1, shape).astype(np.float32)
            arrays[f"{layer}.{kind}"] = drawn / np.float32(np.sqrt(inputs))
    arrays["locator.fc_lt.weight"][2] *= 60
    layers = {
        ours: Linear(jnp.array(arrays[f"{theirs}.weight"].T), jnp.array(arrays[f"{theirs}.bias"]))
        for ours, theirs in LAYERS.items()
    }
    both = layers["locator_mean"]
    layers["locator_mean"] = Linear(both.weight[:, :2], both.bias[:2])
    return Params(**layers, locator_stop=Linear(both.weight[:, 2:], both.bias[2:]))


def dt_ram(batch, reward):
    config = preset("paper", model="dt-ram", stop="threshold", reward=reward)
    found, gradients = losses_and_gradients(drawn_weights(), batch, config)
    # Theirs is noted before it is discounted by the time taken.
    undiscounted, _ = losses_and_gradients(drawn_weights(), batch, dataclasses.replace(config, latency="none"))
    return found | {"reward_mean": undiscounted["reward_mean"]}, as_theirs(gradients)


def test_dt_ram_deviates_in_the_baseline_alone(batch):
    """Ours is each episode's mean over its acting steps (docs/paper_map.md)."""
    found, gradients = dt_ram(batch, "accuracy")
    reference = REFERENCE["dt-ram threshold accuracy"]
    assert (found["stop_times"], found["correct"]) == (reference["stop_times"], reference["correct"])
    assert_same_losses(found, reference, ("classification", "reinforce", "reward_mean"))
    assert_same_gradients(gradients, reference["gradients"], but=("baseliner",))
    assert found["baseline"] != pytest.approx(reference["baseline"], rel=0.01)


@pytest.mark.parametrize("reward", ["clipped-linear", "accuracy"])
def test_dt_ram_with_the_authors_baseline(batch, reward, monkeypatch):
    """Theirs is a sum over the whole batch, over its number of acting steps: all else is the same to rounding.

    The 19th step, at which an agent must answer that has not stopped before, counts in the number, not in the sum. A
    reward that is not detached passes the baseline's gradient on to the classifier, the core and the sensor.
    """
    reference = REFERENCE[f"dt-ram threshold {reward}"]
    acting_in_all = sum((time + 1) * count for time, count in enumerate(reference["stop_times"]))

    def pooled(action_log_probs, returns, baselines, acting):
        policy_loss, _ = reinforce_with_baseline(action_log_probs, returns, baselines, acting)
        errors = jnp.where(acting, (baselines - returns) ** 2, 0)[:-1]
        return policy_loss, errors.sum() * BATCH / acting_in_all

    monkeypatch.setattr("irrl.digits.ram.reinforce_with_baseline", pooled)
    found, gradients = dt_ram(batch, reward)
    assert (found["stop_times"], found["correct"]) == (reference["stop_times"], reference["correct"])
    assert_same_losses(found, reference, LOSSES)
    assert_same_gradients(gradients, reference["gradients"])
