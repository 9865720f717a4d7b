"""Replayed layers against plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl.recurrent import (
    Linear,
    gaussian_log_prob,
    initial_linear,
    light_gru,
    replayed_light_gru,
    replayed_relu_core,
    replayed_relu_layer,
)


def test_gaussian_log_prob_by_hand():
    # Two dimensions, each 0.5 log(2 pi 0.25) above its quadratic: 1 std off in x, 2 in y.
    expected = -0.5 * (1 + 4) - 2 * np.log(0.5 * np.sqrt(2 * np.pi))
    got = gaussian_log_prob(jnp.array([0.5, -1.0]), jnp.array([0.0, 0.0]), 0.5)
    assert got == pytest.approx(expected, rel=1e-5)


def test_layer_returns_what_it_is_given_without_computing():
    layer = Linear(jnp.ones((2, 3)), jnp.zeros(3))
    given = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(replayed_relu_layer(layer, jnp.zeros((2, 2)), given), given)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31 - 1), st.integers(1, 4))
def test_layer_gradient_is_that_of_relu_of_the_layer(seed, rows):
    keys = jax.random.split(jax.random.key(seed), 3)
    layer = initial_linear(5, 3, key=keys[0])
    inputs, cotangent = jax.random.normal(keys[1], (rows, 5)), jax.random.normal(keys[2], (rows, 3))
    value, pullback = jax.vjp(lambda layer, inputs: jax.nn.relu(layer(inputs)), layer, inputs)
    replayed = jax.vjp(lambda layer, inputs: replayed_relu_layer(layer, inputs, value), layer, inputs)[1]
    for ours, plain in zip(jax.tree.leaves(replayed(cotangent)), jax.tree.leaves(pullback(cotangent)), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)


def test_light_gru_by_hand():
    # A gate logit of log 3 takes on 3/4 of the candidate; relu(-5) = 0, so a quarter of 8 is left.
    gated, hidden = light_gru(jnp.array([[2.0, -5.0, np.log(3), np.log(3)]]), jnp.array([[6.0, 8.0]]))
    np.testing.assert_allclose(gated, [[2, 0, 0.75, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(hidden, [[3, 2]], rtol=1e-6)


@pytest.mark.parametrize("core", ["relu", "light-gru"])
@pytest.mark.parametrize("time", [1, 2, 6])
def test_core_gradient_is_that_of_the_plain_recurrence(time, core):
    keys = jax.random.split(jax.random.key(time), 4)
    terms = 4 if core == "relu" else 8
    from_inputs, from_hidden = initial_linear(3, terms, key=keys[0]), initial_linear(4, terms, key=keys[1])
    inputs, cotangent = jax.random.normal(keys[2], (time, 5, 3)), jax.random.normal(keys[3], (time, 5, 4))

    def plain(from_inputs, from_hidden, inputs):
        hidden, gated, states, gates = jnp.zeros((5, 4)), None, [], []
        for now in inputs:
            both = from_inputs(now) + from_hidden(hidden)
            if core == "relu":
                hidden = jax.nn.relu(both)
            else:
                gated, hidden = light_gru(both, hidden)
            states.append(hidden)
            gates.append(gated)
        return jnp.stack(states), gates

    states, pullback, gates = jax.vjp(plain, from_inputs, from_hidden, inputs, has_aux=True)

    def replay(*args):
        if core == "relu":
            return replayed_relu_core(*args, states)
        return replayed_light_gru(*args, jnp.stack(gates), states)

    replayed = jax.vjp(replay, from_inputs, from_hidden, inputs)[1]
    for ours, theirs in zip(jax.tree.leaves(replayed(cotangent)), jax.tree.leaves(pullback(cotangent)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
