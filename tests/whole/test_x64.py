"""JAX's 64-bit mode, as scientists have it in their profile, changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl import rewards
from irrl.returns import returns_to_come
from same_numbers import digests
from tiny import write_mnist


@pytest.mark.slow
def test_every_task_gives_the_same_numbers_to_the_last_bit(tmp_path):
    mnist = write_mnist(tmp_path / "mnist")
    command = [sys.executable, Path(__file__).parents[1] / "same_numbers.py", mnist]
    done = subprocess.run(
        command, env=os.environ | {"JAX_ENABLE_X64": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == digests(mnist)


@pytest.mark.parametrize("name", ["accuracy", "clipped-linear", "box-cox:0.5"])
def test_rewards_keep_the_dtype_that_they_are_given(name):
    """What is the caller's is computed in the caller's precision."""
    log_probs, target = np.log([[0.7, 0.3], [0.2, 0.8]]).astype(np.float32), np.array([0, 0])
    usual = rewards.get(name)(jnp.asarray(log_probs), jnp.asarray(target), 0.5)
    with jax.enable_x64(True):
        single = rewards.get(name)(jnp.asarray(log_probs), jnp.asarray(target), 0.5)
        double = jax.jit(rewards.get(name))(jnp.asarray(log_probs, float), jnp.asarray(target), 0.5)
        later = returns_to_come(single, 0.5)
    assert (single.dtype, double.dtype, later.dtype) == (jnp.float32, jnp.float64, jnp.float32)
    np.testing.assert_array_equal(single, usual)
