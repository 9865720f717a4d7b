"""Random numbers for many scenes, each of which has a generator of its own."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from scipy.special import ndtri


class Streams:
    """Draws as `numpy.random.Generator` does, the first axis running over generators: row i comes from the i-th.

    So a row does not depend on the others. A generator that stands in several rows serves them in their order.
    """

    def __init__(self, generators: Sequence[np.random.Generator], numbers: int):
        """Take from each generator all `numbers` that its row needs at most."""
        self._numbers = np.stack([generator.random(numbers) for generator in generators])

    def random(self, size: int | tuple[int, ...]) -> Float64[np.ndarray, "rows ..."]:
        """Uniform in [0, 1)."""
        shape = (size,) if isinstance(size, int) else size
        many = math.prod(shape[1:])
        taken, self._numbers = self._numbers[:, :many], self._numbers[:, many:]
        return taken.reshape(shape)

    def uniform(self, low: float | int, high: float | int, size: tuple[int, ...]) -> Float64[np.ndarray, "rows ..."]:
        """Uniform in [low, high)."""
        return low + (high - low) * self.random(size)

    def normal(self, size: tuple[int, ...]) -> Float64[np.ndarray, "rows ..."]:
        """Standard normal."""
        return ndtri(np.maximum(self.random(size), 2.0**-54))

    def integers(
        self, low: int, high: int | None = None, size: int | tuple[int, ...] = ()
    ) -> Int64[np.ndarray, "rows ..."]:
        """Uniform from `low` to before `high`, or from 0 to before `low`."""
        low, high = (0, low) if high is None else (low, high)
        return low + ((high - low) * self.random(size)).astype(np.int64)

    def choice(
        self, options: int | Shaped[np.ndarray, " options"], size: int, p: Sequence[float] | None = None
    ) -> Shaped[np.ndarray, " rows"]:
        """One of `options`, or of the numbers before it, with probabilities `p`; None: all alike."""
        values: Any = np.arange(options) if isinstance(options, int) else options
        ends = np.cumsum(np.full(len(values), 1 / len(values)) if p is None else p)
        return values[np.searchsorted(ends[:-1], self.random(size), side="right")]
