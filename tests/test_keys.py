"""Randomness belongs to (seed, purpose, step) and to nothing else."""

import itertools
from typing import get_args

import jax
import numpy as np

from irrl import keys

PURPOSES = get_args(keys.Purpose)


def test_every_seed_purpose_and_step_has_its_own_stream():
    where = list(itertools.product((0, 1), PURPOSES, (0, 1, 2)))
    drawn = {tuple(np.asarray(jax.random.key_data(keys.key(*place)))) for place in where}
    assert len(drawn) == len(where)
    assert len({keys.generator(*place).integers(2**63) for place in where}) == len(where)


def test_the_same_place_gives_the_same_draw():
    assert keys.generator(3, "order", 5).integers(2**63) == keys.generator(3, "order", 5).integers(2**63)
    assert jax.random.bits(keys.key(3, "rollout", 5)) == jax.random.bits(keys.key(3, "rollout", 5))


def test_a_traced_step_gives_the_same_key():
    traced = jax.jit(lambda step: jax.random.key_data(keys.key(3, "rollout", step)))(7)
    np.testing.assert_array_equal(traced, jax.random.key_data(keys.key(3, "rollout", 7)))
