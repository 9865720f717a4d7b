"""How the looks of a scene differ from one training episode to the next: light, colours, camera."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

SURFACES = {"wall": (84, 62, 115), "floor": (205, 200, 190), "tile": (180, 175, 166), "top": (235, 226, 222),
            "rim": (98, 93, 88), "red": (170, 32, 32), "blue": (40, 72, 215)}  # fmt: skip
"""Colours in full light, by eye off the released clips."""


class Jitter(NamedTuple):
    """How views differ from the plain ones."""

    light: Float[Array, "*views 3"]
    """added to the direction of the light"""
    colour: Float[Array, "*views surfaces 3"]
    """added to the colours of `SURFACES`, in their order, 0 to 255"""
    camera: Float[Array, "*views 3"]
    """added to its distance (m), height (m) and pitch (degrees)"""


def still(views: int) -> Jitter:
    """No jitter."""
    return Jitter(jnp.zeros((views, 3)), jnp.zeros((views, len(SURFACES), 3)), jnp.zeros((views, 3)))


MOST_JITTER = 0.5, 30.0, (0.02, 0.02, 1.0)
"""How far light, colours and camera are off at most, at strength 1, in the units of `Jitter`."""


def jittered(views: int, strength: float, key: Key[Array, ""]) -> Jitter:
    """Uniform jitter, up to `strength` times `MOST_JITTER` either way."""
    arrays = zip(still(views), MOST_JITTER, jax.random.split(key, 3), strict=True)
    return Jitter(
        *(strength * jnp.array(most) * jax.random.uniform(key, array.shape, minval=-1) for array, most, key in arrays)
    )
