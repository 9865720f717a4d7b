"""The glimpse sensor: square patches of growing side round one centre, each pooled to the same resolution."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt16

PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
"""Of MNIST's training digits, for pixels in [0, 1]."""


def glimpses(
    canvases: UInt16[Array, "images canvas canvas"],
    index: Int[Array, "batch"],
    locations: Float[Array, "batch 2"],
    *,
    patch: int,
    scales: int = 1,
    scale_factor: int = 2,
) -> Float[Array, "batch features"]:
    """What the agent sees at `locations` of `canvases[index]`.

    The patch of scale k has side `patch * scale_factor**k`; it is cut round the centre `trunc((l + 1) / 2 * canvas)`
    (facts.md section 2: the corner, in an image padded by half the side) and average-pooled to `patch x patch`.
    Outside the canvas it sees 0, which is the mean of normalised pixels.

    Args:
        canvases: pixel levels 0..256, in units of 1/256.
        index: which canvas each row looks at.
        locations: `(x, y)` in [-1, 1]; (-1, -1) is the top left corner.

    Returns:
        `(pixel/256 - mean) / std`, scales one after the other, each row by row: `features = scales * patch**2`.
    """
    canvas = canvases.shape[-1]
    centre = (0.5 * (locations + 1) * canvas).astype(jnp.int32)
    seen = []
    for scale in range(scales):
        pool = scale_factor**scale
        side = patch * pool
        offsets = jnp.arange(side) - side // 2
        columns, rows = centre[:, 0, None] + offsets, centre[:, 1, None] + offsets
        inside = ((rows >= 0) & (rows < canvas))[:, :, None] & ((columns >= 0) & (columns < canvas))[:, None, :]
        rows, columns = jnp.clip(rows, 0, canvas - 1), jnp.clip(columns, 0, canvas - 1)
        levels = canvases[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        pixels = jnp.where(inside, (levels.astype(jnp.float32) / 256 - PIXEL_MEAN) / PIXEL_STD, 0)
        pixels = pixels.reshape(-1, patch, pool, patch, pool).mean((2, 4))
        seen.append(pixels.reshape(-1, patch * patch))
    return jnp.concatenate(seen, axis=-1)
