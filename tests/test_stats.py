"""Interquartile means and bootstrap intervals, against hand-worked and closed-form numbers."""

import warnings

import numpy as np
import pytest

from irrl.stats import bootstrap_interval, interquartile_mean


def test_interquartile_mean_leaves_out_a_quarter_at_either_end():
    values = np.array([100.0, 3, 4, 5, 6, 2, 1, -50])
    assert interquartile_mean(values) == (3 + 4 + 2 + 5) / 4


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([7.0], 7.0), ([1.0, 2.0, 6.0], 3.0), ([0.0, 2.0, 4.0, 90.0], 3.0), ([0.0, 2.0, 4.0, 6.0, 90.0], 4.0)],
)
def test_interquartile_mean_of_few_values_rounds_the_quarter_down(values, wanted):
    assert interquartile_mean(np.array(values)) == wanted


def test_interquartile_mean_is_taken_along_the_seeds():
    values = np.array([[1.0, 0.0], [3.0, 5.0], [5.0, 7.0], [100.0, 90.0]])
    np.testing.assert_array_equal(interquartile_mean(values), [4, 6])
    np.testing.assert_array_equal(interquartile_mean(values.T, axis=1), [4, 6])


def test_interval_of_a_mean_of_coin_flips_is_the_binomials():
    """Resampling 50 zeros and 50 ones gives a binomial(100, 1/2), 95 % of which lies in 40 .. 60."""
    flips = np.repeat([0.0, 1.0], 50)
    np.testing.assert_allclose(bootstrap_interval(flips, np.mean), [0.40, 0.60], atol=0.011)


def test_interval_of_three_seeds_is_their_range():
    """One resample in 27 is three times the lowest seed: more than the 2.5 % that the interval leaves out."""
    values = np.array([[0.2, 1.0], [0.5, 3.0], [0.3, 2.0]])
    np.testing.assert_allclose(bootstrap_interval(values, np.mean), [[0.2, 1.0], [0.5, 3.0]])


def test_interquartile_interval_ignores_one_outlier_that_a_means_does_not():
    values = np.array([1.0] * 19 + [1000.0])
    np.testing.assert_allclose(bootstrap_interval(values), [1, 1])
    interval = bootstrap_interval(values, np.mean)
    assert interval is not None
    assert interval[1] > 100


def test_interval_is_the_same_at_every_call():
    values = np.random.default_rng(0).random(10)
    np.testing.assert_array_equal(bootstrap_interval(values), bootstrap_interval(values))


def test_one_seed_has_no_interval():
    assert bootstrap_interval(np.array([0.4])) is None
    assert bootstrap_interval(np.array([[0.4, 0.5]])) is None


def test_equal_seeds_have_an_interval_of_no_width():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(bootstrap_interval(np.full((5, 3), 0.1)), np.full((2, 3), 0.1))
