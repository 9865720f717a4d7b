"""The glimpse sensor: square patches of growing side round one centre, each pooled to the same resolution."""

from functools import reduce

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt16

PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
"""Of MNIST's training digits, for pixels in [0, 1]."""

Pyramid = tuple[Float[Array, "batch _ _"], ...]
"""For each scale k, the mean of every square of `pool = 2**k` pixels that touches the canvas: entry (r, c) is that
whose top left pixel is (r - pool + 1, c - pool + 1). The first has the canvas's own size."""


def pyramid(canvases: UInt16[Array, "batch canvas canvas"], *, scales: int) -> Pyramid:
    """Normalised pixels `(level/256 - mean) / std`, pooled for every scale at every place.

    A pixel outside the canvas is 0, the mean of normalised pixels. Pooling once makes a glimpse a mere look-up.

    Args:
        canvases: pixel levels 0..256, in units of 1/256.
    """
    pixels = (canvases.astype(jnp.float32) / 256 - PIXEL_MEAN) / PIXEL_STD
    means = []
    for scale in range(scales):
        pool = 2**scale
        padded = jnp.pad(pixels, ((0, 0), (pool - 1, pool - 1), (pool - 1, pool - 1)))
        size = pixels.shape[-1] + pool - 1
        rows = reduce(jnp.add, (padded[:, shift : shift + size] for shift in range(pool)))
        squares = reduce(jnp.add, (rows[:, :, shift : shift + size] for shift in range(pool)))
        means.append(squares / pool**2)
    return tuple(means)


def glimpses(pooled: Pyramid, locations: Float[Array, "batch 2"], *, patch: int) -> Float[Array, "batch features"]:
    """What the agent sees at `locations`.

    The patch of scale k has side `patch * 2**k`; it is cut round the centre `trunc((l + 1) / 2 * canvas)`
    (the authors cut at that corner in an image padded by half the side) and average-pooled to `patch x patch`.

    Args:
        pooled: from `pyramid`.
        locations: `(x, y)` in [-1, 1]; (-1, -1) is the top left corner.

    Returns:
        Normalised pixels, scales one after the other, each row by row: `features = scales * patch**2`.
    """
    canvas = pooled[0].shape[-1]
    centre = (0.5 * (locations + 1) * canvas).astype(jnp.int32)
    batch = jnp.arange(len(locations))[:, None, None]
    seen = []
    for scale, means in enumerate(pooled):
        pool = 2**scale
        offsets = pool * jnp.arange(patch) - patch * pool // 2 + pool - 1
        columns, rows = centre[:, 0, None] + offsets, centre[:, 1, None] + offsets
        touching = ((rows >= 0) & (rows < means.shape[1]))[:, :, None]
        touching &= ((columns >= 0) & (columns < means.shape[2]))[:, None, :]
        rows, columns = (jnp.clip(place, 0, means.shape[1] - 1) for place in (rows, columns))
        pixels = jnp.where(touching, means[batch, rows[:, :, None], columns[:, None, :]], 0)
        seen.append(pixels.reshape(-1, patch * patch))
    return jnp.concatenate(seen, axis=-1)
