"""The recurrent attention model (RAM; Mnih et al. 2014, as Li et al. 2023 set it up): where to look, and what it saw.

`rollout` runs the agent and keeps what it computed; `replay` differentiates it (see `irrl.recurrent`). Its layers are
in `irrl.digits.network`.
"""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt16

from irrl.digits.config import Config
from irrl.digits.data import CLASSES
from irrl.digits.glimpse import glimpses, pyramid
from irrl.digits.network import (
    Params,
    core_layers,
    discriminator_log_probs,
    encode,
    encoder_layers,
    film,
    remember,
    sense,
    sensor_layers,
    what_and_where,
)
from irrl.recurrent import (
    Linear,
    gaussian_log_prob,
    replayed_layer,
    replayed_light_gru,
    replayed_relu_core,
    replayed_relu_layer,
)


class Draws(NamedTuple):
    """All the chance in a batch of episodes."""

    first: Float[Array, "batch 2"]
    """the first location"""
    steps: Float[Array, "batch time 2"]
    """what is added to the policy's mean after each glimpse; the next location itself if locations are random"""
    stops: Float[Array, "batch time"]
    """the agent answers where its stop probability exceeds this"""


class Rollout(NamedTuple):
    """One batch of episodes, with every activation the gradient needs."""

    sensor_inputs: Float[Array, "time batch inputs"]
    """glimpse, location relative to the ink if the sensor is told, and location, side by side"""
    sensor: Float[Array, "time batch 2*sensor_units"]
    modulation: Float[Array, "time batch 3*hidden_units"] | None
    """FiLM's terms: what, scale and shift"""
    encoding: Float[Array, "time batch hidden_units"]
    gated: Float[Array, "time batch 2*hidden_units"] | None
    """Li-GRU: candidates and update gates"""
    hidden: Float[Array, "time batch hidden_units"]
    locator_core: Float[Array, "time batch locator_core_units"] | None
    """the policy's own recurrent state"""
    locator: Float[Array, "time batch locator_units"]
    samples: Float[Array, "time batch 2"]
    """what the policy drew after each glimpse, before clipping; the last is never looked at"""
    stops: Bool[Array, "time batch"]
    """whether it decided to answer after this glimpse"""

    @property
    def locations(self) -> Float[Array, "time batch 2"]:
        """Where it looked: (x, y) in [-1, 1]."""
        return self.sensor_inputs[..., -2:]

    @property
    def stop_time(self) -> Int[Array, "batch"]:
        """The glimpse, from 0, after which it answered: the last one unless it decided to stop before."""
        return self.stops.at[-1].set(True).argmax(0)


class Outputs(NamedTuple):
    """What a batch of episodes says, differentiable in the parameters."""

    log_probs: Float[Array, "answers batch classes"]
    """the discriminator: log q(y|tau) after the last glimpse, or after every one (`config.credit`)"""
    action_log_probs: Float[Array, "time batch"]
    """log-probability of what was done after each glimpse; 0 from the answer on"""


def draw(config: Config, batch: int, *, key: Key[Array, ""], explore: bool) -> Draws:
    """The chance in a batch of episodes: the first location is uniformly random, and the policy Gaussian.

    Args:
        explore: sample locations from the policy; otherwise take its mean, as in evaluation.
    """
    first_key, steps_key = jax.random.split(key)
    first = jax.random.uniform(first_key, (batch, 2), minval=-1, maxval=1)
    shape = config.most_glimpses, batch, 2
    if config.model == "random":
        steps = jax.random.uniform(steps_key, shape, minval=-1, maxval=1)
    elif explore:
        steps = config.location_std * jax.random.normal(steps_key, shape)
    else:
        steps = jnp.zeros(shape)
    stops = jnp.full(shape[:2], 0.5)
    if explore and config.stop == "bernoulli":
        stops = jax.random.uniform(jax.random.fold_in(steps_key, 1), shape[:2])
    return Draws(first, steps.swapaxes(0, 1), stops.T)


def rollout(
    params: Params,
    canvases: UInt16[Array, "images canvas canvas"],
    index: Int[Array, "batch"],
    draws: Draws,
    config: Config,
) -> Rollout:
    """Run the agent on `canvases[index]`, for all the glimpses that it may take: it may have answered before."""
    pooled = pyramid(canvases[index], scales=config.scales, scale_factor=config.scale_factor)
    encoder = encoder_layers(params)
    from_inputs, from_hidden = core_layers(params)
    biases = jnp.broadcast_to(params.locator_mean.bias, (config.most_glimpses, 2))

    def step(carry, now):
        (hidden, own, location, anchor, trail), (clock, draw, threshold, bias) = carry, now
        seen = glimpses(pooled, location, canvas=config.canvas, patch=config.patch, scale_factor=config.scale_factor)
        trail, sensor_inputs = what_and_where(params, trail, seen, location, config.patch)
        sensed = sense(params, sensor_inputs)
        modulation, encoding = encode(encoder, sensed)
        gated, hidden = remember(from_inputs(encoding) + from_hidden(hidden), hidden)
        if params.locator_core_input and params.locator_core_hidden:
            own = jax.nn.relu(params.locator_core_input(hidden) + params.locator_core_hidden(own))
        for_policy = read_by_policy(hidden if own is None else own, sensor_inputs, clock, config)
        locator = jax.nn.relu(params.locator_hidden(for_policy))
        mean = location_mean(locator @ params.locator_mean.weight + bias, anchor, config)
        sample = draw if config.model == "random" else mean + draw
        stop = jnp.zeros(threshold.shape, bool)
        if params.locator_stop is not None:
            stop = jnp.exp(stop_log_probs(params.locator_stop, locator)[0]) > threshold
        kept = Rollout(sensor_inputs, sensed, modulation, encoding, gated, hidden, own, locator, sample, stop)
        location = jnp.clip(sample, -1, 1)
        return (hidden, own, location, location, trail), kept

    hidden, anchor, trail = (jnp.zeros((len(index), size)) for size in (config.hidden_units, 2, 3))
    own = jnp.zeros((len(index), config.locator_core_units)) if config.locator_core_units else None
    start = hidden, own, draws.first, anchor, trail
    every = jnp.eye(config.most_glimpses), draws.steps.swapaxes(0, 1), draws.stops.T, biases
    return jax.lax.scan(step, start, every)[1]


def replay(params: Params, rolled: Rollout, config: Config) -> Outputs:
    """The agent's outputs over a rollout, as functions of its parameters; the rollout itself is a constant.

    Unless `config.policy_trains` is core, the policy reads the hidden state without training it: only the classifier's
    loss (and a reward that is not detached) reaches the core and the sensor.
    """
    rolled = jax.lax.stop_gradient(rolled)
    time, batch, _ = rolled.hidden.shape

    def rows(array):
        return array.reshape(time * batch, -1)

    both = *sensor_layers(params, rows(rolled.sensor_inputs)), jnp.split(rows(rolled.sensor), 2, axis=-1)
    sensed = jnp.concatenate([replayed_relu_layer(*layer) for layer in zip(*both, strict=True)], axis=-1)
    encoder = encoder_layers(params)
    if rolled.modulation is None:
        encoding = replayed_relu_layer(*encoder, sensed, rows(rolled.encoding))
    else:
        parts = jnp.split(sensed, 2, axis=-1), jnp.split(rows(rolled.modulation), [config.hidden_units], axis=-1)
        modulation = [replayed_layer(*layer) for layer in zip(encoder, *parts, strict=True)]
        encoding = film(jnp.concatenate(modulation, axis=-1))
    encoding = encoding.reshape(time, batch, -1)
    if rolled.gated is None:
        hidden = replayed_relu_core(*core_layers(params), encoding, rolled.hidden)
    else:
        hidden = replayed_light_gru(*core_layers(params), encoding, rolled.gated, rolled.hidden)
    for_policy = hidden if config.policy_trains == "core" else rolled.hidden
    if params.locator_core_input and params.locator_core_hidden:
        layers = params.locator_core_input, params.locator_core_hidden
        for_policy = replayed_relu_core(*layers, for_policy, cast(Array, rolled.locator_core))
    for_policy = read_by_policy(for_policy, rolled.sensor_inputs, jnp.eye(time)[:, None], config)
    locator = replayed_relu_layer(params.locator_hidden, rows(for_policy), rows(rolled.locator))
    logits = (locator @ params.locator_mean.weight).reshape(time, batch, 2)
    logits += jnp.broadcast_to(params.locator_mean.bias, (time, 2))[:, None]
    mean = location_mean(logits, rolled.locations.at[0].set(0), config)
    action_log_probs = gaussian_log_prob(rolled.samples, mean, config.location_std)
    if config.model == "random":
        action_log_probs = jnp.zeros((time, batch))
    if params.locator_stop is not None:
        stop, move = stop_log_probs(params.locator_stop, locator.reshape(time, batch, -1))
        if config.stop == "bernoulli":
            action_log_probs += move
        now = jnp.arange(time)[:, None]
        action_log_probs = jnp.where(now < rolled.stop_time, action_log_probs, 0)
        # Whoever has not stopped before the last glimpse must answer then: no decision of its own.
        action_log_probs += jnp.where((now == rolled.stop_time) & (now < time - 1), stop, 0)
    return Outputs(answers(params, hidden, rolled, config), action_log_probs)


def read_by_policy(
    state: Float[Array, "*batch units"],
    sensor_inputs: Float[Array, "*batch inputs"],
    clock: Float[Array, "*clock time"],
    config: Config,
) -> Float[Array, "*batch policy_inputs"]:
    """What the policy decides by: a recurrent state and, if so configured, where it looks and when (one-hot `clock`).

    Both are in the state, too, but a move to a given place must first be worked out from there.
    """
    if config.policy_reads == "state":
        return state
    clock = jnp.broadcast_to(clock, (*state.shape[:-1], clock.shape[-1]))
    return jnp.concatenate([state, sensor_inputs[..., config.glimpse_features :], clock], axis=-1)


def baselines(
    params: Params, rolled: Rollout, labels: Int[Array, "batch"], config: Config
) -> Float[Array, "time batch"]:
    """What return the agent may expect after each glimpse, before it acts; reading hidden states, not training them.

    With `config.baseline` label it may also know the label y, which no action changes: a hidden layer reads both, and
    each class has a prediction of its own, to which comes `q(y|tau)`, what the agent has achieved so far, times a
    weight for each time step.
    """
    known = jax.lax.stop_gradient(rolled.hidden)
    if params.critic is None or params.baseline_hope is None:
        return params.baseline(known)[..., 0]
    label = jnp.broadcast_to(labels, known.shape[:2])
    critic = jax.nn.relu(params.critic(jnp.concatenate([known, jax.nn.one_hot(label, CLASSES)], axis=-1)))
    both = params.baseline(critic), discriminator_log_probs(params, known)
    expected, log_q = (jnp.take_along_axis(array, label[..., None], axis=-1)[..., 0] for array in both)
    weight, bias = params.baseline_hope
    return expected + weight[0][:, None] * jax.lax.stop_gradient(jnp.exp(log_q)) + bias[:, None]


def location_mean(
    logits: Float[Array, "*batch 2"], anchor: Float[Array, "*batch 2"], config: Config
) -> Float[Array, "*batch 2"]:
    """The mean of the next location: `tanh(logits)`, or a step from `anchor`, the present one (the centre at first)."""
    return anchor + logits if config.locations == "relative" else jnp.tanh(logits)


def answers(
    params: Params, hidden: Float[Array, "time batch hidden_units"], rolled: Rollout, config: Config
) -> Float[Array, "answers batch classes"]:
    """`log q(y|tau)` after every glimpse or only when the agent answers (`config.credit`), from hidden states."""
    if config.credit == "last":
        stopped = rolled.stop_time, jnp.arange(hidden.shape[1])
        hidden = hidden[stopped][None] if config.model == "dt-ram" else hidden[-1:]
    return discriminator_log_probs(params, hidden)


def stop_log_probs(
    layer: Linear, locator: Float[Array, "*batch locator_units"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """`log s` and `log(1 - s)` of the probability s of answering now, kept from 0.001 to 0.999."""
    probability = jnp.clip(jax.nn.sigmoid(layer(locator)[..., 0]), 0.001, 0.999)
    return jnp.log(probability), jnp.log1p(-probability)
