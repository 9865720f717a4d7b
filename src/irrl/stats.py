"""Numbers over seeds: the interquartile mean, and bootstrap intervals (Agarwal et al. 2021, arXiv 2108.13264)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap, trim_mean

CONFIDENCE = 0.95
RESAMPLES = 5000


def interquartile_mean(values: Float[np.ndarray, "*shape"], axis: int = 0) -> Float[np.ndarray, "*rest"]:
    """Mean of what is left without the lowest and the highest quarter of the values along an axis.

    A quarter is rounded down to whole values: of fewer than four none is left out.
    """
    return np.asarray(trim_mean(values, 0.25, axis=axis))


def bootstrap_interval(
    values: Float[np.ndarray, " seeds *rest"], statistic: Callable[..., np.ndarray] = interquartile_mean
) -> Float[np.ndarray, " 2 *rest"] | None:
    """Percentile bootstrap interval, at 95 %, of a statistic over seeds.

    Seeds are drawn with replacement, the same ones for every column of `values`, and by the same random numbers at
    every call. With two or three seeds the interval of a mean is their range: nothing narrower is known.

    Args:
        values: a row a seed.
        statistic: called as `statistic(values, axis=axis)`.

    Returns:
        Lower and upper end; None for a single seed, which says nothing of the spread.
    """
    if len(values) < 2:
        return None
    interval = bootstrap(
        (values,),
        statistic,
        n_resamples=RESAMPLES,
        batch=500,  # bounds the memory that 1500 epochs need
        vectorized=True,
        axis=0,
        confidence_level=CONFIDENCE,
        method="percentile",  # the bias-corrected method has no answer when all values are equal
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.stack([interval.low, interval.high])
