"""The network of the recurrent attention model: its weights, and what it makes of given glimpses at given places."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from irrl.digits.config import Config
from irrl.digits.data import CLASSES
from irrl.recurrent import Linear, initial_linear, light_gru


class Params(NamedTuple):
    """The agent's weights. What it sees and where it looks are encoded apart, then joined (`encode`)."""

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
    encoder_scale: Linear | None = None
    """FiLM: what it sees is scaled by a function of where"""
    critic: Linear | None = None
    """hidden layer of a baseline that knows the label"""
    baseline_hope: Linear | None = None
    """for each time step what the true class's present probability is worth to such a baseline"""
    locator_core_input: Linear | None = None
    """the policy's own recurrent layer, on top of the core"""
    locator_core_hidden: Linear | None = None
    core_gate_input: Linear | None = None
    """Li-GRU: how far each unit of the core takes on what is new"""
    core_gate_hidden: Linear | None = None


def initial_params(config: Config, *, key: Key[Array, ""]) -> Params:
    """Fresh weights, every layer uniform in +-1/sqrt(inputs)."""
    units, hidden = config.sensor_units, config.hidden_units
    sizes = {
        "sensor_patch": (config.glimpse_features, units),
        "sensor_location": (config.place_features, units),
        "encoder_patch": (units, hidden),
        "encoder_location": (units, hidden),
        "core_input": (hidden, hidden),
        "core_hidden": (hidden, hidden),
        "locator_hidden": (config.policy_features, config.locator_units),
        "locator_mean": (config.locator_units, 2),
        "baseline": (hidden, CLASSES if config.baseline == "label" else 1),
        "classifier": (hidden, CLASSES),
    }
    if config.model == "dt-ram":
        sizes["locator_stop"] = (config.locator_units, 1)
    if config.encoding == "film":
        sizes["encoder_scale"] = (units, hidden)
    if config.baseline == "label":
        sizes["critic"] = (hidden + CLASSES, hidden)
        sizes["baseline_hope"] = (1, config.most_glimpses)
    if config.core == "light-gru":
        sizes |= {"core_gate_input": (hidden, hidden), "core_gate_hidden": (hidden, hidden)}
    if own := config.locator_core_units:
        sizes |= {"locator_core_input": (hidden, own), "locator_core_hidden": (own, own)}
    keys = dict(zip(sizes, jax.random.split(key, len(sizes)), strict=True))
    params = Params(**{name: initial_linear(*size, key=keys[name]) for name, size in sizes.items()})
    if config.core_start == "identity":
        recurrent = {"core_hidden": params.core_hidden, "locator_core_hidden": params.locator_core_hidden}
        start = {name: Linear(jnp.eye(len(layer.bias)), layer.bias) for name, layer in recurrent.items() if layer}
        params = params._replace(**start)
    if gate := params.core_gate_input:
        params = params._replace(core_gate_input=gate._replace(bias=gate.bias + GATE_START))
    if config.location_bias == "sweep":
        path = sweep(config.most_glimpses - 1)
        bias = jnp.diff(path, axis=0, prepend=0) if config.locations == "relative" else jnp.arctanh(path)
        bias = jnp.concatenate([bias, jnp.zeros((1, 2))])  # the last location is never looked at
        params = params._replace(locator_mean=Linear(params.locator_mean.weight, bias))
    if config.locations == "relative":  # or chance would add up over the steps to a walk of its own
        params = params._replace(locator_mean=params.locator_mean._replace(weight=jnp.zeros((config.locator_units, 2))))
    return params


GATE_START = 2.0
"""Logit that a Li-GRU's update gates begin with: they take on most of what is new, as a core without gates does."""

SWEPT = 0.45
"""Half the side of the square that a sweep covers, in units of half a canvas."""


def sweep(count: int) -> Float[Array, "count 2"]:
    """`count` locations on a boustrophedon through the canvas's middle: row by row, to the right and back."""
    rows = max(1, round(count**0.5))
    along = jnp.linspace(0, rows * (1 - 1e-6), count)
    row, across = jnp.floor(along), along % 1
    across = jnp.where(row % 2 == 0, across, 1 - across)
    down = (row + 0.5) / rows
    return SWEPT * (2 * jnp.stack([across, down], axis=-1) - 1)


INK_MEMORY = 0.8
"""Of how much of the ink it has seen an agent keeps track, a glimpse later."""

INK_PRIOR = 0.2
"""Ink, in pixel standard deviations, that an agent takes for granted in the canvas's middle. While it sees none, the
centre of its ink goes back there, and with it whoever circles a distractor."""

Trail = Float[Array, "batch 3"]
"""Ink that an agent has lately seen: its amount, and its moment, amount times location (x, y)."""


def what_and_where(
    params: Params, trail: Trail, seen: Float[Array, "batch features"], location: Float[Array, "batch 2"], patch: int
) -> tuple[Trail, Float[Array, "batch inputs"]]:
    """What the sensor is given: a glimpse, where it is on the canvas and, if it is told, where relative to the ink.

    Strokes mean the same wherever the digit lies, but not in canvas coordinates. The centre of the ink in the finest
    patches so far, each glimpse counting `INK_MEMORY` times the one after it, moves along with the digit, and back to
    the canvas's middle while there is none (`INK_PRIOR`). Ink is what is brighter than the average pixel. In units of
    a quarter of the canvas, for a digit is half as wide as a canvas.
    """
    if params.sensor_location.weight.shape[0] == 2:
        return trail, jnp.concatenate([seen, location], axis=-1)
    ink = jax.nn.relu(seen[:, : patch**2]).mean(-1, keepdims=True)
    trail = INK_MEMORY * trail + ink * jnp.concatenate([jnp.ones_like(ink), location], axis=-1)
    centre = trail[:, 1:] / (trail[:, :1] + INK_PRIOR)
    return trail, jnp.concatenate([seen, 2 * (location - centre), location], axis=-1)


def sensor_layers(
    params: Params, sensor_inputs: Float[Array, "*batch inputs"]
) -> tuple[tuple[Linear, Linear], list[Float[Array, "*batch _"]]]:
    """The first layers of both encodings, and the inputs of each."""
    layers = params.sensor_patch, params.sensor_location
    return layers, jnp.split(sensor_inputs, [params.sensor_patch.weight.shape[0]], axis=-1)


def sense(params: Params, sensor_inputs: Float[Array, "*batch inputs"]) -> Float[Array, "*batch units"]:
    """What the first layers of both encodings make of (glimpse, location), side by side."""
    outputs = [layer(inputs) for layer, inputs in zip(*sensor_layers(params, sensor_inputs), strict=True)]
    return jax.nn.relu(jnp.concatenate(outputs, axis=-1))


def encoder_layers(params: Params) -> tuple[Linear, ...]:
    """The second layers of both encodings: one layer over both if they are added; under FiLM one for what is seen, and
    one for the scale and shift that depend on where."""
    patch, location, scale = params.encoder_patch, params.encoder_location, params.encoder_scale
    if scale is None:
        return (Linear(jnp.concatenate([patch.weight, location.weight]), patch.bias + location.bias),)
    return patch, beside(scale, location)


def beside(*layers: Linear) -> Linear:
    """Layers of one input as a single one, which gives their outputs side by side."""
    return Linear(*(jnp.concatenate(parts, axis=-1) for parts in zip(*layers, strict=True)))


def film(modulation: Float[Array, "*batch terms"]) -> Float[Array, "*batch terms//3"]:
    """Feature-wise linear modulation (Perez et al. 2018): `relu(what (1 + scale) + shift)`."""
    what, scale, shift = jnp.split(modulation, 3, axis=-1)
    return jax.nn.relu(what * (1 + scale) + shift)


def encode(
    layers: tuple[Linear, ...], sensed: Float[Array, "*batch units"]
) -> tuple[Float[Array, "*batch terms"] | None, Float[Array, "*batch hidden_units"]]:
    """What was seen and where, joined by `encoder_layers`: `relu` of their sum, or FiLM, its terms first."""
    if len(layers) == 1:
        return None, jax.nn.relu(layers[0](sensed))
    halves = jnp.split(sensed, 2, axis=-1)
    modulation = [layer(half) for layer, half in zip(layers, halves, strict=True)]
    modulation = jnp.concatenate(modulation, axis=-1)
    return modulation, film(modulation)


def perceive(
    params: Params, seen: Float[Array, "time batch features"], locations: Float[Array, "time batch 2"], patch: int
) -> Float[Array, "time batch hidden_units"]:
    """The core's hidden states over glimpses that some policy chose, this agent's or another's."""

    def follow(trail, now):
        glimpse, location = now
        return what_and_where(params, trail, glimpse, location, patch)

    sensor_inputs = jax.lax.scan(follow, jnp.zeros((seen.shape[1], 3)), (seen, locations))[1]
    sensed = sense(params, sensor_inputs)
    encoding = encode(encoder_layers(params), sensed)[1]

    from_inputs, from_hidden = core_layers(params)

    def step(hidden, from_encoding):
        hidden = remember(from_encoding + from_hidden(hidden), hidden)[1]
        return hidden, hidden

    start = jnp.zeros(sensor_inputs.shape[1:2] + params.core_hidden.bias.shape)
    return jax.lax.scan(step, start, from_inputs(encoding))[1]


def core_layers(params: Params) -> tuple[Linear, Linear]:
    """What the core makes of the encoding and of its last state; a Li-GRU's gates come after its candidates."""
    if params.core_gate_input is None or params.core_gate_hidden is None:
        return params.core_input, params.core_hidden
    return beside(params.core_input, params.core_gate_input), beside(params.core_hidden, params.core_gate_hidden)


def remember(
    terms: Float[Array, "batch terms"], hidden: Float[Array, "batch hidden_units"]
) -> tuple[Float[Array, "batch terms"] | None, Float[Array, "batch hidden_units"]]:
    """A step of the core from the sum of what `core_layers` say: a Li-GRU's candidates and gates, and the new state."""
    if terms.shape == hidden.shape:
        return None, jax.nn.relu(terms)
    return light_gru(terms, hidden)


def discriminator_log_probs(
    params: Params, hidden: Float[Array, "*batch hidden_units"]
) -> Float[Array, "*batch classes"]:
    """`log q(y|tau)` from the core's hidden state after tau."""
    return jax.nn.log_softmax(params.classifier(hidden))
