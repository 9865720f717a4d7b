"""Random numbers of many generators at once."""

import numpy as np
import pytest
from scipy import stats

from irrl.counting.streams import Streams

ROWS = 200


def streams(seeds=range(ROWS), numbers=100):
    return Streams([np.random.default_rng(seed) for seed in seeds], numbers)


def test_rows_are_their_generators():
    drawn, alone = streams(), np.random.default_rng(7)
    for size in (ROWS, (ROWS, 5), (ROWS, 2, 3)):
        np.testing.assert_array_equal(drawn.random(size)[7], alone.random(np.shape(np.empty(size))[1:]))
    with pytest.raises(ValueError):
        drawn.random((ROWS, 100))  # more than were taken


def test_a_generator_that_stands_in_two_rows_serves_them_in_turn():
    one = np.random.default_rng(3)
    first, second = Streams([one, one], 4).random((2, 4))
    np.testing.assert_array_equal([*first, *second], np.random.default_rng(3).random(8))


def test_distributions_are_those_of_numpy():
    size = (ROWS, 40)
    for draw in (
        lambda chance: chance.uniform(-2, 3, size),
        lambda chance: chance.normal(size=size),
        lambda chance: chance.integers(2, 9, size),
        lambda chance: chance.integers(4, size=size),
    ):
        ours, theirs = draw(streams()), draw(np.random.default_rng(0))
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        assert stats.ks_2samp(ours.ravel(), theirs.ravel()).pvalue > 1e-3
    integers = streams().integers(2, 9, size)
    assert (integers.min(), integers.max()) == (2, 8)
    chosen = streams(range(9000), 1).choice(3, 9000, p=[0.2, 0.0, 0.8])
    assert chosen.mean() == pytest.approx(1.6, abs=0.03) and not (chosen == 1).any()
    assert set(streams().choice(np.array([5, 7]), ROWS)) == {5, 7}
