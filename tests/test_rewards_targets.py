"""Targets that are no class, and what a reward must pay: one real number for each."""

import math
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from by_hand import EVERY, PRIOR, PROBS, TARGET
from irrl import rewards
from irrl.errors import UserError
from irrl.noise import target_probability

NO_CLASS = [3, 4, -1, -3, -100]


def as_numpy(array):
    return np.asarray(array)


def as_torch(array):
    return pytest.importorskip("torch").tensor(array)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", [as_numpy, jnp.asarray, as_torch])
@pytest.mark.parametrize("target", NO_CLASS)
def test_a_target_that_is_no_class_is_refused(name, kind, target):
    """Labels from 1, PyTorch's -100: some other class's reward must not be paid, nor the last one's for -1."""
    log_probs, targets = kind(np.log(PROBS[:2])), kind(np.array([1, target]))
    with pytest.raises(ValueError, match=f"target {target} is no class: it must be an index from 0 to 2") as refused:
        rewards.get(name)(log_probs, targets, PRIOR)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", EVERY)
def test_a_target_that_is_no_class_is_seen_under_a_gradient_too(name):
    with pytest.raises(ValueError, match="target -1 is no class"):
        jax.grad(lambda log_probs: rewards.get(name)(log_probs, jnp.array(-1), PRIOR))(jnp.log(jnp.asarray(PROBS[0])))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("target", NO_CLASS)
def test_a_target_that_is_no_class_pays_nan_where_it_cannot_be_seen(name, target):
    reward, log_probs = rewards.get(name), jnp.log(jnp.asarray(PROBS[:2], jnp.float32))
    right, wrong = jnp.array([0, 1]), jnp.array([0, target])
    for traced in (jax.jit(reward), jax.vmap(reward, in_axes=(0, 0, None))):
        paid = traced(log_probs, wrong, PRIOR)
        assert paid.dtype == jnp.float32
        assert np.isnan(paid[1]) and paid[0] == traced(log_probs, right, PRIOR)[0]
    gradient = jax.jit(jax.grad(lambda log_probs, target: reward(log_probs, target, PRIOR).sum()))(log_probs, wrong)
    assert np.isfinite(gradient[0]).all()
    if "accuracy" not in name:  # its gradient is 0, whatever it pays
        assert np.isnan(gradient[1]).any()


@pytest.mark.parametrize("name", ["accuracy", "clipped-linear", "box-cox:0.5"])
@pytest.mark.parametrize("target", [3, -1, -100])
def test_pytorchs_vmap_too_pays_nan_where_it_cannot_see_the_target(name, target):
    torch = pytest.importorskip("torch")
    reward, log_probs = rewards.get(name), torch.log(torch.tensor(PROBS[:2], dtype=torch.float16))
    paid = torch.func.vmap(reward, in_dims=(0, 0, None))(log_probs, torch.tensor([0, target]), PRIOR)
    assert paid.dtype == torch.float16
    assert torch.isnan(paid[1]) and paid[0] == reward(log_probs, torch.tensor([0, 1]), PRIOR)[0]


def in_a_process_of_its_own(code):
    """What it prints: here the tests' own type checks would refuse first, and PyTorch cannot compile them."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_pytorchs_compile_too_pays_nan_where_it_cannot_see_the_target():
    pytest.importorskip("torch")
    code = """
import torch
from irrl import rewards
log_probs = torch.log(torch.tensor([[0.7, 0.2, 0.1]] * 4))
for name in ("accuracy", "linear", "box-cox:0.5"):
    torch._dynamo.reset()
    print(torch.compile(rewards.get(name), backend="eager")(log_probs, torch.tensor([0, 3, -1, -100]), 0.3).tolist())
"""
    right = [[1.0], [0.4], [2 * (math.sqrt(0.7) - math.sqrt(0.3))]]
    for line, wanted in zip(in_a_process_of_its_own(code).splitlines(), right, strict=True):
        paid = [float(word) for word in line.strip("[]").split(",")]
        np.testing.assert_allclose(paid, wanted + 3 * [math.nan], rtol=1e-6)


def test_a_target_of_fractions_is_refused():
    code = """
import numpy as np
from irrl import rewards
for name in ("accuracy", "linear"):
    try:
        rewards.get(name)(np.log([[0.7, 0.3]]), np.array([0.5]), 0.5)
    except ValueError as error:
        print(error)
"""
    wrong = "target is float64: it must be whole numbers, the index of a class"
    assert in_a_process_of_its_own(code).splitlines() == [wrong, wrong]


def test_noise_refuses_a_target_that_is_no_class():
    log_probs = np.log(PROBS)
    for target in (3, -1):
        with pytest.raises(ValueError, match=f"target {target} is no class"):
            target_probability(log_probs, np.array([0, 1, target]))


def one_half(log_probs, target, prior):
    return jnp.full(target.shape, 0.5)


def right_or_not(log_probs, target, prior):
    return log_probs.argmax(-1) == target


def whole(log_probs, target, prior):
    return 2 * right_or_not(log_probs, target, prior)


def imaginary(log_probs, target, prior):
    return 1j * log_probs[..., 0]


def of_every_class(log_probs, target, prior):
    return log_probs


def nothing(log_probs, target, prior):
    return None


def gives_up(log_probs, target, prior):
    raise GeneratorExit("two\nlines")


@pytest.mark.parametrize("reward", [one_half, right_or_not, whole])
def test_what_is_paid_has_the_dtype_of_log_probs_and_a_cast_is_said_once(reward, capsys):
    log_probs = jnp.log(jnp.asarray(PROBS, jnp.float32))
    rewards._warn_of_cast.cache_clear()
    for _ in range(2):
        paid = rewards.pay(reward, log_probs, jnp.asarray(TARGET), PRIOR, "mine:x")
        assert paid.dtype == jnp.float32
        np.testing.assert_array_equal(paid, np.asarray(reward(log_probs, TARGET, PRIOR), np.float32))
    said = capsys.readouterr().err.splitlines()
    if reward is one_half:
        assert not said
    else:
        (line,) = said
        assert re.fullmatch(r"warning: the reward 'mine:x' gives (bool|int32); taken as float32", line)


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (imaginary, r"gives complex(64|128) of shape \(3,\) for log_probs of shape \(3, 3\)"),
        (of_every_class, r"gives float(32|64) of shape \(3, 3\) for log_probs"),
        (nothing, "gives NoneType for log_probs"),
        (gives_up, "fails: GeneratorExit: two lines"),
    ],
)
@pytest.mark.parametrize("kind", [as_numpy, jnp.asarray])
def test_what_is_no_real_number_for_each_is_one_line(reward, message, kind):
    with pytest.raises(UserError, match=f"the reward 'mine:x' {message}") as refused:
        rewards.pay(reward, kind(np.log(PROBS)), kind(TARGET), PRIOR, "mine:x")
    assert "\n" not in str(refused.value)
