"""What helps an agent with small glimpses to find a digit: a sweep to begin with, and where it has lately seen ink."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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


def from_ink(
    trail: Trail, patch: Float[Array, "batch pixels"], location: Float[Array, "batch 2"]
) -> tuple[Trail, Float[Array, "batch 2"]]:
    """How far `location` is from the centre of the ink lately seen, in units of a quarter of the canvas.

    Strokes mean the same wherever the digit lies, but not in canvas coordinates. The centre of the ink so far, each
    glimpse counting `INK_MEMORY` times the one after it, moves along with the digit, and back to the canvas's middle
    while there is none (`INK_PRIOR`). Ink is what is brighter than the average pixel. A digit is half as wide as a
    canvas: hence the unit.

    Args:
        patch: the pixels seen at `location`, in the finest scale.
    """
    ink = jax.nn.relu(patch).mean(-1, keepdims=True)
    trail = INK_MEMORY * trail + ink * jnp.concatenate([jnp.ones_like(ink), location], axis=-1)
    centre = trail[:, 1:] / (trail[:, :1] + INK_PRIOR)
    return trail, 2 * (location - centre)
