"""What the agents' episodes have in common: chance, the first layers, the answer, and what is summed over them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from irrl.digits.config import AgentConfig


class Noise(NamedTuple):
    """All the chance in a batch of episodes."""

    first: Float[Array, "batch 2"]
    """the first location"""
    steps: Float[Array, "batch time 2"]
    """what is added to the policy's mean after each glimpse; the next location itself if locations are random"""
    stops: Float[Array, "batch time"]
    """the agent answers where its stop probability exceeds this"""


def sample_noise(config: AgentConfig, batch: int, *, key: Key[Array, ""], explore: bool) -> Noise:
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
    return Noise(first, steps.swapaxes(0, 1), stops.T)


def sense(
    params: Any, glimpse: Float[Array, "*batch features"], place: Float[Array, "*batch told"]
) -> Float[Array, "*batch units"]:
    """What the first layers make of what is seen and of where it is, side by side."""
    return jax.nn.relu(jnp.concatenate([params.sensor_patch(glimpse), params.sensor_location(place)], axis=-1))


def discriminator_log_probs(params: Any, hidden: Float[Array, "*batch hidden_units"]) -> Float[Array, "*batch classes"]:
    """`log q(y|tau)` from the core's hidden state after tau."""
    return jax.nn.log_softmax(params.classifier(hidden))


def log_prob_of(labels: Int[Array, "*batch"], log_probs: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    """The labels' own log-probabilities."""
    return jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]


class Metrics(NamedTuple):
    """Sums over the canvases since the last row."""

    canvases: Float[Array, ""]
    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    reward: Float[Array, ""]
    classification_loss: Float[Array, ""]
    baseline_loss: Float[Array, ""]
    glimpses: Float[Array, ""]


def weighted_sums(weights: Float[Array, " batch"], **values: Array) -> Metrics:
    """Each of the metrics, given for each canvas, times the canvases' weights, summed up."""
    return Metrics(weights.sum(), **{name: (weights * value).sum() for name, value in values.items()})
