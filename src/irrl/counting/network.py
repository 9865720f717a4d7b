"""The counting robot's network: a detector that sums up what is in an image, and a recurrent core.

A *detector* looks at the image's most colourful places through the same small window (three layers; the goal plays no
part), and what it finds is summed up: sums count. The goal then chooses what is told of these sums. The robot
remembers the most that it was told so far (what counts is the view that showed most), and what its core makes of all.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped, UInt8

from irrl.counting.config import Config
from irrl.recurrent import Linear, initial_linear

COLOUR_MEAN = (148.8, 137.6, 145.9)
"""Of the images' red, green and blue, 0 to 255."""
COLOUR_AXES = ((0.0039, 0.004, 0.0035), (0.0292, -0.0015, -0.0314), (0.0559, -0.1029, 0.0568))
"""Their principal axes, to unit variance: brightness, red against blue, and both against green. Cubes differ from all
else in the last two, which are a tenth of the first in the images."""


class Detector(NamedTuple):
    """The layers that look through the window."""

    window: Linear
    mixed: Linear
    found: Linear


class Scale(NamedTuple):
    """What an untrained detector makes of pictures: constants, by which its sums are centred and scaled."""

    mean: Float[Array, " sums"]
    std: Float[Array, " sums"]


class Params(NamedTuple):
    """The robot's weights."""

    detector: Detector
    scale: Scale
    told: Linear
    """for each goal, what the core is told of the sums"""
    core_input: Linear
    core_hidden: Linear
    classifier: Linear
    policy_hidden: Linear
    policy: Linear
    """logits of going left, right, and stopping"""
    critic: Linear
    baseline: Linear


def initial_params(config: Config, *, key: Key[Array, ""]) -> Params:
    """Fresh weights: He's where ReLUs follow, small ones where outputs do; the core starts as the identity."""
    units, hidden, policy = config.window_units, config.hidden_units, config.policy_units
    keys = iter(jax.random.split(key, 10))

    def he(inputs, outputs):
        return Linear(jax.random.normal(next(keys), (inputs, outputs)) * math.sqrt(2 / inputs), jnp.zeros(outputs))

    detector = Detector(he(config.window_features, units), he(units, units), he(units, units))
    sums, goals = config.regions * units, len(config.goal_names)
    told = jax.random.normal(next(keys), (goals, sums, hidden)) * math.sqrt(2 / sums)
    place = config.viewpoints + config.steps

    def quiet(inputs, outputs):
        layer = initial_linear(inputs, outputs, key=next(keys))
        return Linear(0.1 * layer.weight, 0 * layer.bias)

    logits = quiet(policy, 3)
    return Params(
        detector=detector,
        scale=Scale(jnp.zeros(sums), jnp.ones(sums)),
        told=Linear(told, jnp.zeros((goals, hidden))),
        core_input=he(hidden + place, hidden),
        core_hidden=Linear(jnp.eye(hidden), jnp.zeros(hidden)),
        classifier=quiet(2 * hidden, config.classes),
        policy_hidden=he(2 * hidden + place, policy),
        policy=Linear(logits.weight, jnp.array([0.0, 0.0, config.stop_bias])),
        critic=he(2 * hidden + place + config.classes, policy),
        baseline=quiet(policy, config.classes),
    )


def calibrated(params: Params, sums: Float[Array, "images sums"]) -> Params:
    """Untrained weights, sums centred and scaled to unit variance over some pictures.

    Most of what an untrained detector finds is background, of the same amount in every picture. Added up by the core
    over a walk, it would drown the cubes, and drive the policy to where it no longer explores.
    """
    std = sums.std(axis=0)
    return params._replace(scale=Scale(sums.mean(axis=0), jnp.maximum(std, 0.1 * std.mean() + 1e-6)))


def for_pixels(detector: Detector) -> Detector:
    """The same detector for pixels as they are, 0 to 255: the window's own weights are for `COLOUR_AXES`.

    Their gradient is as if pixels had been turned to these axes, which for every window would take longer.
    """
    window = detector.window
    by_axis = window.weight.reshape(-1, 3, window.weight.shape[1])
    weight = jnp.einsum("pau,ac->pcu", by_axis, jnp.array(COLOUR_AXES))
    bias = window.bias - jnp.einsum("pcu,c->u", weight, jnp.array(COLOUR_MEAN))
    return detector._replace(window=Linear(weight.reshape(window.weight.shape), bias))


def blocks(image: UInt8[Array, "height width 3"], config: Config) -> UInt8[Array, "high wide pixels 3"]:
    """The image cut into the squares by which the detector's window moves on."""
    size, (rows, columns) = config.block, config.grid
    high, wide = rows + config.window - 1, columns + config.window - 1
    squares = image[: high * size, : wide * size].reshape(high, size, wide, size, 3).swapaxes(1, 2)
    return squares.reshape(high, wide, size**2, 3)


def in_window(each: Shaped[Array, "high wide *rest"], config: Config) -> list[Shaped[Array, "rows columns *rest"]]:
    """What there is of each block, for the blocks of the window at every place: first block, second, and so on."""
    rows, columns = config.grid
    shifts = [(down, right) for down in range(config.window) for right in range(config.window)]
    return [each[down : down + rows, right : right + columns] for down, right in shifts]


def colourful(image: UInt8[Array, "height width 3"], config: Config) -> Int[Array, " places"]:
    """The places where the detector looks: those whose window has the most colourful pixel, red against blue.

    Two thirds of an image show no cube, and room and table have little colour: of red less blue, 17 of 255 at most,
    where a cube in the shade still has 58.
    """
    red, _, blue = jnp.moveaxis(blocks(image, config).astype(jnp.float32), -1, 0)
    most = jnp.stack(in_window(jnp.abs(red - blue).max(-1), config)).max(0)
    return jax.lax.top_k(most.ravel(), config.places_seen)[1]


def windows(
    image: UInt8[Array, "height width 3"], place: Int[Array, " places"], config: Config
) -> Float[Array, "places features"]:
    """What the detector sees in its window at some places, 0 to 255."""
    each = blocks(image, config)
    parts = in_window(each.reshape(*each.shape[:2], -1), config)
    # Bytes are copied fast, picked fast by whole windows, and converted fast: but not if XLA does it all in one loop.
    step = jax.lax.optimization_barrier
    everywhere = step(jnp.concatenate(parts, axis=-1).reshape(-1, config.window_features))
    return step(step(jnp.take(everywhere, place, axis=0, mode="clip")).astype(jnp.float32))


def strips(place: Int[Array, " places"], config: Config) -> Float[Array, "regions places"]:
    """What sums up each strip, times `SUM_SCALE` over the number of all its places."""
    rows, columns = config.grid
    of_column = np.arange(columns) * config.regions // columns
    weight = SUM_SCALE / (rows * np.bincount(of_column))
    region = jnp.asarray(of_column)[place % columns]
    return (region == jnp.arange(config.regions)[:, None]) * jnp.asarray(weight, jnp.float32)[:, None]


class Found(NamedTuple):
    """What a detector makes of images."""

    place: Int[Array, "*images places"]
    """where it looked"""
    window: Float[Array, "*images places units"]
    """what its layers give at every place"""
    mixed: Float[Array, "*images places units"]
    found: Float[Array, "*images places units"]
    sums: Float[Array, "*images sums"]
    """what its last layer gives, summed up over each strip"""


def detect(raw: Detector, image: UInt8[Array, "height width 3"], config: Config) -> Found:
    """Look at an image through the window, wherever there is colour.

    Args:
        raw: of `for_pixels`.
    """
    place = colourful(image, config)
    window = jax.nn.relu(raw.window(windows(image, place, config)))
    mixed = jax.nn.relu(raw.mixed(window))
    found = jax.nn.relu(raw.found(mixed))
    return Found(place, window, mixed, found, (strips(place, config) @ found).ravel())


SUM_SCALE = 30.0
"""Over a mean: so a thing that is in one place of thirty has a sum of one."""


def find(detector: Detector, images: UInt8[Array, "images height width 3"], config: Config) -> Found:
    """`detect`, image by image: the windows of one fit a core's cache."""
    return jax.lax.map(partial(detect, for_pixels(detector), config=config), images)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def replayed_sums(
    detector: Detector, images: UInt8[Array, "images height width 3"], known: Found, config: Config
) -> Float[Array, "images sums"]:
    """The sums of `find`, whose value is already known (see `irrl.recurrent`); differentiated image by image, too."""
    return known.sums


def _sums_forward(detector, images, known, config):
    return known.sums, (detector, images, known)


def _sums_backward(config, saved, cotangents):
    detector, images, known = saved
    raw, to_detector = jax.vjp(for_pixels, detector)

    def add(total, now):
        image, known, cotangent = now
        through = strips(known.place, config).T @ cotangent.reshape(config.regions, -1)
        gradients = []
        layers = (raw.found, known.mixed, known.found), (raw.mixed, known.window, known.mixed)
        for layer, inputs, outputs in layers:
            through = jnp.where(outputs > 0, through, 0)
            gradients.append(Linear(inputs.T @ through, through.sum(0)))
            through = through @ layer.weight.T
        through = jnp.where(known.window > 0, through, 0)
        gradients.append(Linear(windows(image, known.place, config).T @ through, through.sum(0)))
        return jax.tree.map(jnp.add, total, Detector(*reversed(gradients))), None

    gradient = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, raw), (images, known, cotangents))[0]
    return to_detector(gradient)[0], None, None


replayed_sums.defvjp(_sums_forward, _sums_backward)


def tell(
    params: Params, sums: Float[Array, "*time batch sums"], goal: Int[Array, " batch"]
) -> Float[Array, "*time batch hidden_units"]:
    """What the core is told of an image, given the goal: index into the goals' names."""
    mean, std = jax.lax.stop_gradient(params.scale)
    told = jnp.einsum("...bs,gsh->...bgh", (sums - mean) / std, params.told.weight) + params.told.bias
    goal = jnp.broadcast_to(goal, told.shape[:-2])
    return jax.nn.relu(jnp.take_along_axis(told, goal[..., None, None], axis=-2)[..., 0, :])
