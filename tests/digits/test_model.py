"""The agent: its size, and its replayed gradient against plain differentiation through the loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl.digits.config import Config, preset
from irrl.digits.glimpse import glimpses, pyramid
from irrl.digits.model import draw, initial_params, perceive, replay, rollout
from irrl.digits.train import loss
from irrl.recurrent import gaussian_log_prob

SMALL = Config(data="fixed", canvas=20, patch=4, scales=2, glimpses=5, sensor_units=6, hidden_units=7, locator_units=5)


@pytest.fixture
def canvases():
    return jnp.asarray(np.random.default_rng(0).integers(0, 257, (9, 20, 20)), jnp.uint16)


def test_the_papers_agent_has_236173_parameters():
    params = initial_params(preset("paper"), key=jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 236_173


def test_initial_weights_are_uniform_within_the_inverse_root_of_the_inputs():
    params = initial_params(preset("paper"), key=jax.random.key(0))
    for layer in params:
        bound = layer.weight.shape[0] ** -0.5
        for values in layer:
            assert jnp.abs(values).max() <= bound
        assert float(layer.weight.std()) == pytest.approx(bound / 3**0.5, rel=0.15)


def test_distinct_layers_start_with_distinct_weights():
    params = initial_params(preset("paper"), key=jax.random.key(0))
    assert not jnp.array_equal(params.encoder_patch.weight, params.encoder_location.weight)
    assert not jnp.array_equal(params.core_input.weight, params.core_hidden.weight)


def plain_loss(params, canvases, index, labels, weights, config, key):
    """The same loss written as one differentiable loop in the paper's terms, layer by layer."""
    first_key, noise_key = jax.random.split(key)
    location = jax.random.uniform(first_key, (len(index), 2), minval=-1, maxval=1)
    noise = config.location_std * jax.random.normal(noise_key, (config.glimpses, len(index), 2))
    pooled = pyramid(canvases[index], scales=config.scales, scale_factor=config.scale_factor)
    hidden = jnp.zeros((len(index), config.hidden_units))
    relu, stop = jax.nn.relu, jax.lax.stop_gradient
    log_probs, baselines = [], []
    for step_noise in noise:
        seen = glimpses(pooled, location, canvas=config.canvas, patch=config.patch, scale_factor=config.scale_factor)
        what = params.encoder_patch(relu(params.sensor_patch(seen)))
        where = params.encoder_location(relu(params.sensor_location(location)))
        hidden = relu(params.core_input(relu(what + where)) + params.core_hidden(hidden))
        mean = jnp.tanh(params.locator_mean(relu(params.locator_hidden(stop(hidden)))))
        sample = stop(mean + step_noise)
        log_probs.append(gaussian_log_prob(sample, mean, config.location_std))
        baselines.append(params.baseline(stop(hidden))[:, 0])
        location = jnp.clip(sample, -1, 1)
    classes = jax.nn.log_softmax(params.classifier(hidden))
    log_q = jnp.take_along_axis(classes, labels[:, None], 1)[:, 0]
    reward = jnp.maximum(jnp.exp(log_q) - 0.1, 0)
    if config.reward_gradient == "stop":
        reward = stop(reward)
    log_probs, baselines = jnp.stack(log_probs), jnp.stack(baselines)
    squared_errors = ((baselines - reward) ** 2).mean(0)
    credits = (log_probs * (reward - stop(baselines))).sum(0)
    return (weights * (squared_errors - config.reinforce_weight * credits - log_q)).sum()


@pytest.mark.parametrize("reward_gradient", ["stop", "leak"])
def test_replayed_gradient_is_that_of_the_plain_loop(canvases, reward_gradient):
    config = Config(**{**vars(SMALL), "reward_gradient": reward_gradient})
    params = initial_params(config, key=jax.random.key(1))
    index, labels = jnp.arange(8), jnp.arange(8) % 10
    weights = jnp.ones(8).at[-1].set(0.0)
    key = jax.random.key(2)

    def replayed(params):
        rolled = rollout(jax.lax.stop_gradient(params), canvases, index, draw(config, 8, key=key, explore=True), config)
        return loss(params, rolled, labels, weights, config)[0]

    value, gradient = jax.jit(jax.value_and_grad(replayed))(params)
    plain = jax.jit(jax.value_and_grad(plain_loss), static_argnames="config")
    expected_value, expected = plain(params, canvases, index, labels, weights, config=config, key=key)
    assert value == pytest.approx(float(expected_value), rel=1e-5)
    for name, layer, expected_layer in zip(params._fields, gradient, expected, strict=True):
        for part, ours, theirs in zip(("weight", "bias"), layer, expected_layer, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-6, err_msg=f"{name}.{part}")
            assert float(jnp.abs(ours).max()) > 0, f"{name}.{part} is not trained"


def test_replay_gives_back_what_the_rollout_computed(canvases):
    params = initial_params(SMALL, key=jax.random.key(1))
    rolled = rollout(params, canvases, jnp.arange(8), draw(SMALL, 8, key=jax.random.key(2), explore=True), SMALL)
    outputs = replay(params, rolled, SMALL)
    assert outputs.log_probs.shape == (8, 10)
    np.testing.assert_allclose(jnp.exp(outputs.log_probs).sum(-1), 1, rtol=1e-5)
    assert outputs.location_log_probs.shape == outputs.baselines.shape == (5, 8)


def test_perceiving_the_same_glimpses_gives_the_same_hidden_states(canvases):
    params = initial_params(SMALL, key=jax.random.key(1))
    rolled = rollout(params, canvases, jnp.arange(8), draw(SMALL, 8, key=jax.random.key(2), explore=True), SMALL)
    np.testing.assert_allclose(perceive(params, rolled.sensor_inputs), rolled.hidden, rtol=1e-5, atol=1e-6)


def test_without_exploration_the_agent_looks_where_its_policy_points(canvases):
    params = initial_params(SMALL, key=jax.random.key(1))
    rolled = rollout(params, canvases, jnp.arange(8), draw(SMALL, 8, key=jax.random.key(2), explore=False), SMALL)
    mean = jnp.tanh(params.locator_mean(jax.nn.relu(params.locator_hidden(rolled.hidden))))
    np.testing.assert_allclose(rolled.samples, mean, rtol=1e-5)
    np.testing.assert_allclose(rolled.locations[1:], rolled.samples[:-1], rtol=1e-5)


def test_locations_stay_on_the_canvas_and_the_first_is_uniform(canvases):
    config = Config(**{**vars(SMALL), "location_std": 3.0, "glimpses": 3})
    params = initial_params(config, key=jax.random.key(1))
    index = jnp.zeros(4000, jnp.int32)
    rolled = rollout(params, canvases, index, draw(config, 4000, key=jax.random.key(2), explore=True), config)
    assert float(jnp.abs(rolled.locations).max()) == 1.0
    assert float(jnp.abs(rolled.samples).max()) > 1.0
    first = np.asarray(rolled.locations[0])
    assert np.histogram2d(*first.T, bins=2, range=[[-1, 1]] * 2)[0].min() > 900


def test_random_locations_ignore_the_policy(canvases):
    config = Config(**{**vars(SMALL), "model": "random"})
    params = initial_params(config, key=jax.random.key(1))
    index = jnp.zeros(4000, jnp.int32)
    for explore in (True, False):
        rolled = rollout(params, canvases, index, draw(config, 4000, key=jax.random.key(2), explore=explore), config)
        assert np.histogram2d(*np.asarray(rolled.locations[3]).T, bins=2, range=[[-1, 1]] * 2)[0].min() > 900
