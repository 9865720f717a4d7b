"""The recurrent attention model (RAM; Mnih et al. 2014, as Li et al. 2023 set it up): where to look, and what it saw.

`rollout` runs the agent and keeps what it computed; `replay` differentiates it (see `irrl.recurrent`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt16

from irrl.digits.config import Config
from irrl.digits.data import CLASSES
from irrl.digits.glimpse import glimpses, pyramid
from irrl.recurrent import Linear, gaussian_log_prob, initial_linear, replayed_relu_core, replayed_relu_layer


class Params(NamedTuple):
    """The agent's weights. What it sees and where it looks are encoded apart, then added."""

    sensor_patch: Linear
    sensor_location: Linear
    encoder_patch: Linear
    encoder_location: Linear
    core_input: Linear
    core_hidden: Linear
    locator_hidden: Linear
    locator_mean: Linear
    baseline: Linear
    classifier: Linear


class Draws(NamedTuple):
    """All the chance in a batch of episodes."""

    first: Float[Array, "batch 2"]
    """the first location"""
    steps: Float[Array, "batch time 2"]
    """what is added to the policy's mean after each glimpse; the next location itself if locations are random"""


class Rollout(NamedTuple):
    """One batch of episodes, with every activation the gradient needs."""

    sensor_inputs: Float[Array, "time batch features+2"]
    """glimpse and location, side by side"""
    sensor: Float[Array, "time batch 2*sensor_units"]
    encoding: Float[Array, "time batch hidden_units"]
    hidden: Float[Array, "time batch hidden_units"]
    locator: Float[Array, "time batch locator_units"]
    samples: Float[Array, "time batch 2"]
    """what the policy drew after each glimpse, before clipping; the last is never looked at"""

    @property
    def locations(self) -> Float[Array, "time batch 2"]:
        """Where it looked: (x, y) in [-1, 1]."""
        return self.sensor_inputs[..., -2:]


class Outputs(NamedTuple):
    """What a batch of episodes says, differentiable in the parameters."""

    log_probs: Float[Array, "batch classes"]
    """the discriminator: log q(y|tau)"""
    location_log_probs: Float[Array, "time batch"]
    baselines: Float[Array, "time batch"]


def initial_params(config: Config, *, key: Key[Array, ""]) -> Params:
    """Fresh weights, every layer uniform in +-1/sqrt(inputs)."""
    units, hidden = config.sensor_units, config.hidden_units
    sizes = {
        "sensor_patch": (config.glimpse_features, units),
        "sensor_location": (2, units),
        "encoder_patch": (units, hidden),
        "encoder_location": (units, hidden),
        "core_input": (hidden, hidden),
        "core_hidden": (hidden, hidden),
        "locator_hidden": (hidden, config.locator_units),
        "locator_mean": (config.locator_units, 2),
        "baseline": (hidden, 1),
        "classifier": (hidden, CLASSES),
    }
    keys = dict(zip(sizes, jax.random.split(key, len(sizes)), strict=True))
    return Params(**{name: initial_linear(*size, key=keys[name]) for name, size in sizes.items()})


def sensor_layer(params: Params) -> Linear:
    """The first layers of both encodings as one block-diagonal layer over (glimpse, location)."""
    patch, location = params.sensor_patch, params.sensor_location
    weight = jax.scipy.linalg.block_diag(patch.weight, location.weight)
    return Linear(weight, jnp.concatenate([patch.bias, location.bias]))


def encoder_layer(params: Params) -> Linear:
    """The second layers of both encodings, which are added, as one layer over both."""
    patch, location = params.encoder_patch, params.encoder_location
    return Linear(jnp.concatenate([patch.weight, location.weight]), patch.bias + location.bias)


def draw(config: Config, batch: int, *, key: Key[Array, ""], explore: bool) -> Draws:
    """The chance in a batch of episodes: the first location is uniformly random, and the policy Gaussian.

    Args:
        explore: sample locations from the policy; otherwise take its mean, as in evaluation.
    """
    first_key, steps_key = jax.random.split(key)
    first = jax.random.uniform(first_key, (batch, 2), minval=-1, maxval=1)
    if config.model == "random":
        steps = jax.random.uniform(steps_key, (config.glimpses, batch, 2), minval=-1, maxval=1)
    elif explore:
        steps = config.location_std * jax.random.normal(steps_key, (config.glimpses, batch, 2))
    else:
        steps = jnp.zeros((config.glimpses, batch, 2))
    return Draws(first, steps.swapaxes(0, 1))


def rollout(
    params: Params,
    canvases: UInt16[Array, "images canvas canvas"],
    index: Int[Array, "batch"],
    draws: Draws,
    config: Config,
) -> Rollout:
    """Run the agent on `canvases[index]` for T glimpses."""
    pooled = pyramid(canvases[index], scales=config.scales, scale_factor=config.scale_factor)
    sensor, encoder = sensor_layer(params), encoder_layer(params)

    def step(carry, draw):
        hidden, location = carry
        seen = glimpses(pooled, location, canvas=config.canvas, patch=config.patch, scale_factor=config.scale_factor)
        sensor_inputs = jnp.concatenate([seen, location], axis=-1)
        sensed = jax.nn.relu(sensor(sensor_inputs))
        encoding = jax.nn.relu(encoder(sensed))
        hidden = jax.nn.relu(params.core_input(encoding) + params.core_hidden(hidden))
        locator = jax.nn.relu(params.locator_hidden(hidden))
        sample = draw if config.model == "random" else jnp.tanh(params.locator_mean(locator)) + draw
        return (hidden, jnp.clip(sample, -1, 1)), Rollout(sensor_inputs, sensed, encoding, hidden, locator, sample)

    start = jnp.zeros((len(index), config.hidden_units)), draws.first
    return jax.lax.scan(step, start, draws.steps.swapaxes(0, 1))[1]


def replay(params: Params, rolled: Rollout, config: Config) -> Outputs:
    """The agent's outputs over a rollout, as functions of its parameters; the rollout itself is a constant.

    The policy and the baseline read the hidden state without training it: only the classifier's loss (and a reward
    that is not detached) reaches the core and the sensor.
    """
    rolled = jax.lax.stop_gradient(rolled)
    time, batch, _ = rolled.hidden.shape

    def rows(array):
        return array.reshape(time * batch, -1)

    sensed = replayed_relu_layer(sensor_layer(params), rows(rolled.sensor_inputs), rows(rolled.sensor))
    encoding = replayed_relu_layer(encoder_layer(params), sensed, rows(rolled.encoding))
    hidden = replayed_relu_core(params.core_input, params.core_hidden, encoding.reshape(time, batch, -1), rolled.hidden)
    log_probs = discriminator_log_probs(params, hidden[-1])

    locator = replayed_relu_layer(params.locator_hidden, rows(rolled.hidden), rows(rolled.locator))
    mean = jnp.tanh(params.locator_mean(locator)).reshape(time, batch, 2)
    if config.model == "random":
        location_log_probs = jnp.zeros((time, batch))
    else:
        location_log_probs = gaussian_log_prob(rolled.samples, mean, config.location_std)
    return Outputs(log_probs, location_log_probs, params.baseline(rolled.hidden)[..., 0])


def perceive(
    params: Params, sensor_inputs: Float[Array, "time batch inputs"]
) -> Float[Array, "time batch hidden_units"]:
    """The core's hidden states over glimpses that some policy chose, this agent's or another's."""
    sensed = jax.nn.relu(sensor_layer(params)(sensor_inputs))
    encoding = jax.nn.relu(encoder_layer(params)(sensed))

    def step(hidden, from_encoding):
        hidden = jax.nn.relu(from_encoding + params.core_hidden(hidden))
        return hidden, hidden

    start = jnp.zeros(sensor_inputs.shape[1:2] + params.core_hidden.bias.shape)
    return jax.lax.scan(step, start, params.core_input(encoding))[1]


def discriminator_log_probs(
    params: Params, hidden: Float[Array, "batch hidden_units"]
) -> Float[Array, "batch classes"]:
    """`log q(y|tau)` from the core's last hidden state."""
    return jax.nn.log_softmax(params.classifier(hidden))
