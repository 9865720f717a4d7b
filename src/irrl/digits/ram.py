"""The recurrent attention model (RAM), or DT-RAM, as Li et al. (2023) set it up, from the weights to the loss.

After each glimpse `x_t` at `l_t` the core takes `h_t = relu(W_i g(x_t, l_t) + W_h h_{t-1})`. The policy looks next at
`l_{t+1} ~ N(tanh(f(h_t)), std^2)`. After the last glimpse the discriminator `q(y|tau) = softmax(W_c h_T)` answers; what
it says of the label y is the reward R of all the locations (`irrl.rewards`). Three losses are minimised together:
classification `-log q(y|tau)`, policy `-sum_t log pi(l_{t+1}) (R - b(h_t))` and baseline `mean_t (b(h_t) - R)^2`.
DT-RAM also decides after each glimpse whether to answer now (Li et al. 2017).

`rollout` runs the agent and keeps what it computed; `replay` differentiates it (see `irrl.recurrent`).
"""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, UInt16

from irrl import rewards
from irrl.devices import AXIS
from irrl.digits.config import AgentConfig, TrainingConfig
from irrl.digits.data import CLASSES
from irrl.digits.episode import Metrics, Noise, discriminator_log_probs, log_prob_of, sense, weighted_sums
from irrl.digits.glimpse import glimpses, pyramid
from irrl.learning import step_size
from irrl.recurrent import Linear, gaussian_log_prob, initial_linear, replayed_relu_core, replayed_relu_layer
from irrl.returns import reinforce_with_baseline
from irrl.rewards import Accuracy, SignedAccuracy


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
    locator_stop: Linear | None = None
    """DT-RAM's decision to answer now"""


def initial_params(config: AgentConfig, *, key: Key[Array, ""]) -> Params:
    """Fresh weights, every layer uniform in +-1/sqrt(inputs)."""
    units, hidden, locator = config.sensor_units, config.hidden_units, config.locator_units
    sizes = {
        "sensor_patch": (config.glimpse_features, units),
        "sensor_location": (2, units),
        "encoder_patch": (units, hidden),
        "encoder_location": (units, hidden),
        "core_input": (hidden, hidden),
        "core_hidden": (hidden, hidden),
        "locator_hidden": (hidden, locator),
        "locator_mean": (locator, 2),
        "baseline": (hidden, 1),
        "classifier": (hidden, CLASSES),
    }
    if config.decides:
        sizes["locator_stop"] = (locator, 1)
    keys = jax.random.split(key, len(sizes))
    return Params(**{name: initial_linear(*sizes[name], key=key) for name, key in zip(sizes, keys, strict=True)})


class Rollout(NamedTuple):
    """One batch of episodes, with every activation the gradient needs."""

    glimpses: Float[Array, "time batch features"]
    locations: Float[Array, "time batch 2"]
    """where it looked: (x, y) in [-1, 1]"""
    sensor: Float[Array, "time batch 2*sensor_units"]
    encoding: Float[Array, "time batch hidden_units"]
    hidden: Float[Array, "time batch hidden_units"]
    locator: Float[Array, "time batch locator_units"]
    samples: Float[Array, "time batch 2"]
    """what the policy drew after each glimpse, before clipping; the last is never looked at"""
    stops: Bool[Array, "time batch"]
    """whether it decided to answer after this glimpse"""

    @property
    def stop_time(self) -> Int[Array, " batch"]:
        """The glimpse, from 0, after which it answered: the last one unless it decided to stop before."""
        return self.stops.at[-1].set(True).argmax(0)


def rollout(
    params: Params,
    canvases: UInt16[Array, "images canvas canvas"],
    index: Int[Array, " batch"],
    noise: Noise,
    config: AgentConfig,
) -> Rollout:
    """Run the agent on `canvases[index]`, for all the glimpses that it may take: it may have answered before."""
    pooled = pyramid(canvases[index], scales=config.scales)

    def step(carry, now):
        (hidden, location), (noise, threshold) = carry, now
        glimpse = glimpses(pooled, location, patch=config.patch)
        sensor = sense(params, glimpse, location)
        encoding = jax.nn.relu(encoder(params)(sensor))
        hidden = jax.nn.relu(params.core_input(encoding) + params.core_hidden(hidden))
        locator = jax.nn.relu(params.locator_hidden(hidden))
        mean = jnp.tanh(params.locator_mean(locator))
        sample = noise if config.model == "random" else mean + noise
        stop = jnp.exp(stop_log_probs(params, locator)[0]) > threshold if config.decides else threshold < 0
        kept = Rollout(glimpse, location, sensor, encoding, hidden, locator, sample, stop)
        return (hidden, jnp.clip(sample, -1, 1)), kept

    start = jnp.zeros((len(index), config.hidden_units)), noise.first
    return jax.lax.scan(step, start, (noise.steps.swapaxes(0, 1), noise.stops.T))[1]


def encoder(params: Params) -> Linear:
    """The second layers, whose sum encodes a glimpse, as one over both."""
    patch, location = params.encoder_patch, params.encoder_location
    return Linear(jnp.concatenate([patch.weight, location.weight]), patch.bias + location.bias)


def stop_log_probs(
    params: Params, locator: Float[Array, "*batch locator_units"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """`log s` and `log(1 - s)` of the probability s of answering now, kept from 0.001 to 0.999."""
    layer = cast(Linear, params.locator_stop)
    probability = jnp.clip(jax.nn.sigmoid(layer(locator)[..., 0]), 0.001, 0.999)
    return jnp.log(probability), jnp.log1p(-probability)


class Outputs(NamedTuple):
    """What a batch of episodes says, differentiable in the parameters."""

    log_probs: Float[Array, "batch classes"]
    """the discriminator: log q(y|tau) when the agent answers"""
    action_log_probs: Float[Array, "time batch"]
    """log-probability of what was done after each glimpse; 0 from the answer on"""


def replay(params: Params, rolled: Rollout, config: AgentConfig) -> Outputs:
    """The agent's outputs over a rollout, as functions of its parameters; the rollout itself is a constant.

    The policy reads the hidden state without training it: only the classifier's loss (and a reward that is not
    detached) reaches the core and the sensor.
    """
    rolled = jax.lax.stop_gradient(rolled)
    time, batch, _ = rolled.hidden.shape

    def rows(array):
        return array.reshape(time * batch, -1)

    of_patch, of_location = jnp.split(rows(rolled.sensor), 2, axis=-1)
    sensor = jnp.concatenate(
        [
            replayed_relu_layer(params.sensor_patch, rows(rolled.glimpses), of_patch),
            replayed_relu_layer(params.sensor_location, rows(rolled.locations), of_location),
        ],
        axis=-1,
    )
    encoding = replayed_relu_layer(encoder(params), sensor, rows(rolled.encoding)).reshape(time, batch, -1)
    hidden = replayed_relu_core(params.core_input, params.core_hidden, encoding, rolled.hidden)
    answered = hidden[rolled.stop_time, jnp.arange(batch)] if config.decides else hidden[-1]

    locator = replayed_relu_layer(params.locator_hidden, rows(rolled.hidden), rows(rolled.locator))
    mean = jnp.tanh(params.locator_mean(locator)).reshape(time, batch, 2)
    action_log_probs = gaussian_log_prob(rolled.samples, mean, config.location_std)
    if config.model == "random":
        action_log_probs = jnp.zeros((time, batch))
    if config.decides:
        stop, move = (each.reshape(time, batch) for each in stop_log_probs(params, locator))
        if config.stop == "bernoulli":
            action_log_probs += move
        now = jnp.arange(time)[:, None]
        action_log_probs = jnp.where(now < rolled.stop_time, action_log_probs, 0)
        # Whoever has not stopped before the last glimpse must answer then: no decision of its own.
        action_log_probs += jnp.where((now == rolled.stop_time) & (now < time - 1), stop, 0)
    return Outputs(discriminator_log_probs(params, answered), action_log_probs)


def loss(
    params: Params,
    rolled: Rollout,
    labels: Int[Array, " batch"],
    weights: Float[Array, " batch"],
    config: AgentConfig,
    oracle_log_probs: Float[Array, "time batch classes"] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Classification, baseline and policy-gradient losses of some episodes, weighted and summed.

    Args:
        oracle_log_probs: what a frozen agent says after each of the same glimpses; it pays, instead of this one.
    """
    outputs = replay(params, rolled, config)
    reward_log_probs = outputs.log_probs
    if oracle_log_probs is not None:
        reward_log_probs = oracle_log_probs[rolled.stop_time, jnp.arange(len(labels))]
    reward = rewards.pay(rewards.get(config.reward), reward_log_probs, labels, 1 / CLASSES, config.reward)
    if config.reward_gradient == "stop":
        reward = jax.lax.stop_gradient(reward)
    correct = outputs.log_probs.argmax(-1) == labels
    if config.decides:
        reward = less_latency(reward, rolled.stop_time, correct, weights, config)
    acting = jnp.arange(len(rolled.stops))[:, None] <= rolled.stop_time
    baselines = params.baseline(jax.lax.stop_gradient(rolled.hidden))[..., 0]
    policy_loss, baseline_loss = jax.vmap(reinforce_with_baseline, in_axes=(1, 0, 1, 1))(
        outputs.action_log_probs, reward, baselines, acting
    )
    classification_loss = -log_prob_of(labels, outputs.log_probs)
    sums = weighted_sums(
        weights,
        loss=classification_loss + baseline_loss + config.reinforce_weight * policy_loss,
        accuracy=correct,
        reward=reward,
        classification_loss=classification_loss,
        baseline_loss=baseline_loss,
        glimpses=rolled.stop_time + 1,
    )
    return sums.loss, sums


LATENCY_DISCOUNT, LATENCY_WEIGHT = 0.99, 0.1
"""What DT-RAM's glimpses cost (Li et al. 2023)."""


def less_latency(
    reward: Float[Array, " batch"],
    stop_time: Int[Array, " batch"],
    correct: Bool[Array, " batch"],
    weights: Float[Array, " batch"],
    config: AgentConfig,
) -> Float[Array, " batch"]:
    """DT-RAM's reward less the price of its time: `config.latency` says how (facts of Li et al. 2023, appendix)."""
    late = -stop_time / config.most_glimpses
    if config.latency == "none":
        return reward
    if config.latency == "discount":
        return reward * LATENCY_DISCOUNT**stop_time
    if config.latency == "always":
        return reward + LATENCY_WEIGHT * late
    by_accuracy = isinstance(rewards.get(config.reward), Accuracy | SignedAccuracy)
    scale = 1.0 if by_accuracy else reward
    if config.latency == "right":
        return reward + LATENCY_WEIGHT * late * scale * correct
    if by_accuracy:
        right, count = jax.lax.psum(((weights * correct).sum(), weights.sum()), AXIS)
        scale = right / count
    return reward + LATENCY_WEIGHT * late * scale


def optimizer(config: TrainingConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """Adam, its step size constant or falling along a cosine to a hundredth."""
    return optax.adam(step_size(config.learning_rate, config.decay_epochs * steps_per_epoch))


def perceive(
    params: Params,
    seen: Float[Array, "time batch features"],
    locations: Float[Array, "time batch 2"],
    config: AgentConfig,
) -> Float[Array, "time batch hidden_units"]:
    """The core's hidden states over glimpses that some policy chose, this agent's or another's."""
    encoding = jax.nn.relu(encoder(params)(sense(params, seen, locations)))

    def step(hidden, from_encoding):
        hidden = jax.nn.relu(from_encoding + params.core_hidden(hidden))
        return hidden, hidden

    start = jnp.zeros((seen.shape[1], config.hidden_units))
    return jax.lax.scan(step, start, params.core_input(encoding))[1]
