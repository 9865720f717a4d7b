"""Our agents: `fast`, for glimpses smaller than what they look for, and `ram8`, for large ones; from weights to loss.

What both add to the paper's (`irrl.digits.ram`), each measured in docs/digits-lab-book.md:

- Where it looks scales and shifts what it sees (FiLM; Perez et al. 2018).
- It answers after every glimpse; a glimpse is paid with the rewards of later answers, `R_t = r_{t+1} + 0.8 R_{t+1}`.
- The baseline knows the label, and how probable the agent finds it so far. No action changes these: the policy gradient
  stays unbiased, and its variance falls.
- A move is relative to the present location, and the policy's gradient shapes what the agent remembers, too.
- Hidden units begin by keeping their values. Weights between hidden layers are trained by Muon.

What only `fast` has, to whom finding the digit is the harder part:

- The core is a light gated recurrent unit (Ravanelli et al. 2018).
- The sensor is also told how far it looks from the ink that it has lately seen, and the policy, too, is told where it
  looks and which glimpse it is.
- Moves have a bias for each time step; they begin along a sweep.
- The last answer is paid as if it stood for ever.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, UInt16

from irrl import rewards
from irrl.digits.config import AgentConfig, TrainingConfig
from irrl.digits.data import CLASSES
from irrl.digits.episode import Metrics, Noise, discriminator_log_probs, log_prob_of, sense, weighted_sums
from irrl.digits.glimpse import glimpses, pyramid
from irrl.digits.search import Trail, from_ink, sweep
from irrl.learning import muon, step_size
from irrl.recurrent import (
    Linear,
    gaussian_log_prob,
    initial_linear,
    light_gru,
    replayed_layer,
    replayed_light_gru,
    replayed_relu_core,
    replayed_relu_layer,
)
from irrl.returns import reinforce_with_baseline, returns_to_come


class Params(NamedTuple):
    """The agent's weights."""

    sensor_patch: Linear
    sensor_location: Linear
    encoder_patch: Linear
    encoder_location: Linear
    """FiLM's shift"""
    core_input: Linear
    core_hidden: Linear
    locator_hidden: Linear
    locator_mean: Linear
    """its bias is one for each time step, or for all"""
    baseline: Linear
    """what each class's hidden layer expects"""
    classifier: Linear
    encoder_scale: Linear
    """FiLM's scale"""
    critic: Linear
    """the baseline's hidden layer"""
    baseline_hope: Linear
    """for each time step what the true class's present probability is worth to the baseline"""
    core_gate_input: Linear | None = None
    """`fast`: how far each unit of the core takes on what is new"""
    core_gate_hidden: Linear | None = None


def initial_params(config: AgentConfig, *, key: Key[Array, ""]) -> Params:
    """Fresh weights, layers uniform in +-1/sqrt(inputs), but for what keeps the core's states and what moves."""
    units, hidden, locator = config.sensor_units, config.hidden_units, config.locator_units
    told = 4 if is_fast(config) else 2
    sizes = {
        "sensor_patch": (config.glimpse_features, units),
        "sensor_location": (told, units),
        "encoder_patch": (units, hidden),
        "encoder_location": (units, hidden),
        "core_input": (hidden, hidden),
        "core_hidden": (hidden, hidden),
        "locator_hidden": (hidden + (told + config.glimpses if is_fast(config) else 0), locator),
        "locator_mean": (locator, 2),
        "baseline": (hidden, CLASSES),
        "classifier": (hidden, CLASSES),
        "encoder_scale": (units, hidden),
        "critic": (hidden + CLASSES, hidden),
        "baseline_hope": (1, config.glimpses),
    }
    if is_fast(config):
        sizes |= {"core_gate_input": (hidden, hidden), "core_gate_hidden": (hidden, hidden)}
    keys = dict(zip(sizes, jax.random.split(key, len(sizes)), strict=True))
    layers = {name: initial_linear(*size, key=keys[name]) for name, size in sizes.items()}
    layers["core_hidden"] = Linear(jnp.eye(hidden), layers["core_hidden"].bias)
    bias = layers["locator_mean"].bias
    if is_fast(config):
        gate = layers["core_gate_input"]
        layers["core_gate_input"] = gate._replace(bias=gate.bias + GATE_START)
        path = jnp.diff(sweep(config.glimpses - 1), axis=0, prepend=0)
        bias = jnp.concatenate([path, jnp.zeros((1, 2))])  # the last location is never looked at
    # Weights would add up over the steps to a walk of their own.
    layers["locator_mean"] = Linear(jnp.zeros((locator, 2)), bias)
    return Params(**layers)


def is_fast(config: AgentConfig) -> bool:
    """Whether it has what finding a digit with small glimpses takes."""
    return config.agent == "fast"


GATE_START = 2.0
"""Logit that a Li-GRU's update gates begin with: they take on most of what is new, as a core without gates does."""


class Rollout(NamedTuple):
    """One batch of episodes, with every activation the gradient needs."""

    glimpses: Float[Array, "time batch features"]
    places: Float[Array, "time batch told"]
    """what the sensor is told of where it looks; the location comes last"""
    sensor: Float[Array, "time batch 2*sensor_units"]
    modulation: Float[Array, "time batch 3*hidden_units"]
    """FiLM's terms: what, scale and shift"""
    encoding: Float[Array, "time batch hidden_units"]
    gated: Float[Array, "time batch 2*hidden_units"] | None
    """`fast`: the Li-GRU's candidates and update gates"""
    hidden: Float[Array, "time batch hidden_units"]
    locator: Float[Array, "time batch locator_units"]
    samples: Float[Array, "time batch 2"]
    """what the policy drew after each glimpse, before clipping; the last is never looked at"""

    @property
    def locations(self) -> Float[Array, "time batch 2"]:
        """Where it looked: (x, y) in [-1, 1]."""
        return self.places[..., -2:]

    @property
    def stop_time(self) -> Int[Array, " batch"]:
        """The glimpse, from 0, after which it gives the answer that counts: the last."""
        return jnp.full(self.hidden.shape[1], len(self.hidden) - 1)


def rollout(
    params: Params,
    canvases: UInt16[Array, "images canvas canvas"],
    index: Int[Array, " batch"],
    noise: Noise,
    config: AgentConfig,
) -> Rollout:
    """Run the agent on `canvases[index]`."""
    pooled = pyramid(canvases[index], scales=config.scales)
    from_inputs, from_hidden = core_layers(params, config)
    biases = jnp.broadcast_to(params.locator_mean.bias, (config.glimpses, 2))

    def step(carry, now):
        (hidden, location, anchor, trail), (clock, noise, bias) = carry, now
        glimpse = glimpses(pooled, location, patch=config.patch)
        trail, place = orient(trail, glimpse, location, config)
        sensor = sense(params, glimpse, place)
        modulation = modulate(params, sensor)
        encoding = film(modulation)
        gated, hidden = remember(from_inputs(encoding) + from_hidden(hidden), hidden, config)
        locator = jax.nn.relu(params.locator_hidden(read_by_policy(hidden, place, clock, config)))
        # A step from the present location, or from the canvas's middle: the first location is nobody's choice.
        mean = anchor + (locator @ params.locator_mean.weight + bias)
        sample = noise if config.model == "random" else mean + noise
        kept = Rollout(glimpse, place, sensor, modulation, encoding, gated, hidden, locator, sample)
        location = jnp.clip(sample, -1, 1)
        return (hidden, location, location, trail), kept

    hidden, anchor, trail = (jnp.zeros((len(index), size)) for size in (config.hidden_units, 2, 3))
    every = jnp.eye(config.glimpses), noise.steps.swapaxes(0, 1), biases
    return jax.lax.scan(step, (hidden, noise.first, anchor, trail), every)[1]


def orient(
    trail: Trail, seen: Float[Array, "batch features"], location: Float[Array, "batch 2"], config: AgentConfig
) -> tuple[Trail, Float[Array, "batch told"]]:
    """What the sensor is told of where it looks: where on the canvas and, for `fast`, where relative to the ink."""
    if not is_fast(config):
        return trail, location
    trail, offset = from_ink(trail, seen[:, : config.patch**2], location)
    return trail, jnp.concatenate([offset, location], axis=-1)


def encoder_layers(params: Params) -> tuple[Linear, Linear]:
    """The second layers: one for what is seen, and one for the scale and shift that depend on where."""
    return params.encoder_patch, beside(params.encoder_scale, params.encoder_location)


def beside(*layers: Linear) -> Linear:
    """Layers of one input as a single one, which gives their outputs side by side."""
    return Linear(*(jnp.concatenate(parts, axis=-1) for parts in zip(*layers, strict=True)))


def modulate(params: Params, sensed: Float[Array, "*batch units"]) -> Float[Array, "*batch terms"]:
    """FiLM's terms of what was seen and where: what, scale and shift, side by side."""
    halves = jnp.split(sensed, 2, axis=-1)
    terms = [layer(half) for layer, half in zip(encoder_layers(params), halves, strict=True)]
    return jnp.concatenate(terms, axis=-1)


def film(modulation: Float[Array, "*batch terms"]) -> Float[Array, "*batch terms//3"]:
    """Feature-wise linear modulation: `relu(what (1 + scale) + shift)`."""
    what, scale, shift = jnp.split(modulation, 3, axis=-1)
    return jax.nn.relu(what * (1 + scale) + shift)


def core_layers(params: Params, config: AgentConfig) -> tuple[Linear, Linear]:
    """What the core makes of the encoding and of its last state; a Li-GRU's gates come after its candidates."""
    if not is_fast(config):
        return params.core_input, params.core_hidden
    of_input, of_hidden = cast(tuple[Linear, Linear], (params.core_gate_input, params.core_gate_hidden))
    return beside(params.core_input, of_input), beside(params.core_hidden, of_hidden)


def remember(
    terms: Float[Array, "batch terms"], hidden: Float[Array, "batch hidden_units"], config: AgentConfig
) -> tuple[Float[Array, "batch terms"] | None, Float[Array, "batch hidden_units"]]:
    """A step of the core from the sum of what `core_layers` say: a Li-GRU's candidates and gates, and the new state."""
    return light_gru(terms, hidden) if is_fast(config) else (None, jax.nn.relu(terms))


def read_by_policy(
    hidden: Float[Array, "*batch hidden_units"],
    place: Float[Array, "*batch told"],
    clock: Float[Array, "*clock time"],
    config: AgentConfig,
) -> Float[Array, "*batch policy_inputs"]:
    """What the policy decides by: the hidden state and, for `fast`, where it looks and when (one-hot `clock`).

    Both are in the state, too, but a move to a given place must first be worked out from there.
    """
    if not is_fast(config):
        return hidden
    clock = jnp.broadcast_to(clock, (*hidden.shape[:-1], clock.shape[-1]))
    return jnp.concatenate([hidden, place, clock], axis=-1)


class Outputs(NamedTuple):
    """What a batch of episodes says, differentiable in the parameters."""

    log_probs: Float[Array, "time batch classes"]
    """the discriminator: log q(y|tau) after every glimpse"""
    action_log_probs: Float[Array, "time batch"]
    """log-density of the location drawn after each glimpse"""


def replay(params: Params, rolled: Rollout, config: AgentConfig) -> Outputs:
    """The agent's outputs over a rollout, as functions of its parameters; the rollout itself is a constant."""
    rolled = jax.lax.stop_gradient(rolled)
    time, batch, _ = rolled.hidden.shape

    def rows(array):
        return array.reshape(time * batch, -1)

    sensors = params.sensor_patch, params.sensor_location
    inputs, outputs = (rows(rolled.glimpses), rows(rolled.places)), jnp.split(rows(rolled.sensor), 2, axis=-1)
    sensed = [replayed_relu_layer(*layer) for layer in zip(sensors, inputs, outputs, strict=True)]
    terms = jnp.split(rows(rolled.modulation), [config.hidden_units], axis=-1)
    modulation = [replayed_layer(*layer) for layer in zip(encoder_layers(params), sensed, terms, strict=True)]
    encoding = film(jnp.concatenate(modulation, axis=-1)).reshape(time, batch, -1)
    layers = core_layers(params, config)
    if is_fast(config):
        hidden = replayed_light_gru(*layers, encoding, cast(Array, rolled.gated), rolled.hidden)
    else:
        hidden = replayed_relu_core(*layers, encoding, rolled.hidden)

    read = read_by_policy(hidden, rolled.places, jnp.eye(time)[:, None], config)
    locator = replayed_relu_layer(params.locator_hidden, rows(read), rows(rolled.locator))
    moves = (locator @ params.locator_mean.weight).reshape(time, batch, 2)
    moves += jnp.broadcast_to(params.locator_mean.bias, (time, 2))[:, None]
    mean = rolled.locations.at[0].set(0) + moves
    action_log_probs = gaussian_log_prob(rolled.samples, mean, config.location_std)
    if config.model == "random":
        action_log_probs = jnp.zeros((time, batch))
    return Outputs(discriminator_log_probs(params, hidden), action_log_probs)


DISCOUNT = 0.8
"""Weight of a reward one glimpse later."""


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
    targets = jnp.broadcast_to(labels, outputs.log_probs.shape[:2])
    reward_log_probs = outputs.log_probs if oracle_log_probs is None else oracle_log_probs
    reward = rewards.pay(rewards.get(config.reward), reward_log_probs, targets, 1 / CLASSES, config.reward)
    if config.reward_gradient == "stop":
        reward = jax.lax.stop_gradient(reward)
    # A finite sum of rewards to come has ever fewer terms, and so ever less weight, the nearer the last answer is, but
    # that is the one that counts.
    paid = reward.at[-1].divide(1 - DISCOUNT) if is_fast(config) else reward
    policy_loss, baseline_loss = jax.vmap(reinforce_with_baseline, in_axes=1)(
        outputs.action_log_probs,
        returns_to_come(paid, DISCOUNT),
        baselines(params, rolled, labels),
        jnp.ones(targets.shape, bool),
    )
    classification_loss = -log_prob_of(targets, outputs.log_probs).mean(0)
    sums = weighted_sums(
        weights,
        loss=classification_loss + baseline_loss + config.reinforce_weight * policy_loss,
        accuracy=outputs.log_probs[-1].argmax(-1) == labels,
        reward=reward.mean(0),
        classification_loss=classification_loss,
        baseline_loss=baseline_loss,
        glimpses=rolled.stop_time + 1,
    )
    return sums.loss, sums


def baselines(params: Params, rolled: Rollout, labels: Int[Array, " batch"]) -> Float[Array, "time batch"]:
    """What return the agent may expect after each glimpse, before it acts; reading hidden states, not training them.

    A hidden layer reads state and label, and each class has a prediction of its own. To it comes `q(y|tau)`, what the
    agent has achieved so far, times a weight for each time step.
    """
    known = jax.lax.stop_gradient(rolled.hidden)
    label = jnp.broadcast_to(labels, known.shape[:2])
    critic = jax.nn.relu(params.critic(jnp.concatenate([known, jax.nn.one_hot(label, CLASSES)], axis=-1)))
    expected, log_q = (
        log_prob_of(label, array) for array in (params.baseline(critic), discriminator_log_probs(params, known))
    )
    weight, bias = params.baseline_hope
    return expected + weight[0][:, None] * jax.lax.stop_gradient(jnp.exp(log_q)) + bias[:, None]


MUON_RATE, POLICY_RATE = 6.0, 0.3
"""Step sizes of Muon's weights and of the policy's over that of everything else, in terms of how far a weight moves."""


def optimizer(config: TrainingConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """Muon for the weights between hidden layers, Adam for all else; the policy takes shorter steps.

    Step sizes are constant or fall along a cosine to a hundredth.
    """
    first, steps = config.learning_rate, config.decay_epochs * steps_per_epoch
    everything = muon(step_size(MUON_RATE * first, steps), step_size(first, steps), _of_muon)

    def of_policy(params):
        return params._replace(**{name: name.startswith("locator") for name in Params._fields})

    return optax.chain(everything, optax.masked(optax.scale(POLICY_RATE), of_policy))


def _of_muon(params: Any) -> Any:
    """Which arrays Muon trains: the weights of layers between two hidden layers, or from the glimpse to one."""
    none = jax.tree.map(lambda array: None, params)
    hidden = ("sensor", "encoder", "core", "locator_hidden")
    chosen = {name: layer for name, layer in none._asdict().items() if layer is not None and name.startswith(hidden)}
    matrix = optax.contrib.MuonDimensionNumbers()
    return none._replace(**{name: layer._replace(weight=matrix) for name, layer in chosen.items()})


def perceive(
    params: Params,
    seen: Float[Array, "time batch features"],
    locations: Float[Array, "time batch 2"],
    config: AgentConfig,
) -> Float[Array, "time batch hidden_units"]:
    """The core's hidden states over glimpses that some policy chose, this agent's or another's."""

    def follow(trail, now):
        glimpse, location = now
        return orient(trail, glimpse, location, config)

    places = jax.lax.scan(follow, jnp.zeros((seen.shape[1], 3)), (seen, locations))[1]
    encoding = film(modulate(params, sense(params, seen, places)))
    from_inputs, from_hidden = core_layers(params, config)

    def step(hidden, from_encoding):
        hidden = remember(from_encoding + from_hidden(hidden), hidden, config)[1]
        return hidden, hidden

    start = jnp.zeros((seen.shape[1], config.hidden_units))
    return jax.lax.scan(step, start, from_inputs(encoding))[1]
