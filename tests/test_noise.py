"""Noise by hand: cases where the expansion is exact, closed forms of the derivatives, a small-noise check, the bins."""

from dataclasses import dataclass

import numpy as np
import pytest

from irrl import rewards
from irrl.noise import compare, derivatives, reward_noise, target_probability, taylor_bias, taylor_variance
from irrl.rewards import GeneralisedReward


@dataclass(frozen=True)
class Quadratic(GeneralisedReward):
    """g(q) = q + 3 q^2: the second order is all there is."""

    def g(self, log_q, xp):
        return xp.exp(log_q) + 3 * xp.exp(2 * log_q)


def two_classes(probability):
    """Log-probabilities whose class 0 has the given probability."""
    probability = np.asarray(probability, np.float64)
    return np.log(np.stack([probability, 1 - probability], axis=1))


def compared(reward, q, p):
    return compare(reward, two_classes(q), two_classes(p), np.zeros(len(q), np.int32), 0.5)


P = np.array([1e-12, 1e-6, 0.01, 0.3, 0.999])


@pytest.mark.parametrize(
    ("reward", "first", "second"),
    [
        (rewards.Log(), 1 / P, -1 / P**2),
        (rewards.Linear(), np.ones(5), np.zeros(5)),
        (rewards.BoxCox(0.5), P**-0.5, -0.5 * P**-1.5),
        (rewards.BoxCox(-1), P**-2, -2 * P**-3),
        (rewards.BoxCox(3), P**2, 2 * P),
        (Quadratic(), 1 + 6 * P, np.full(5, 6.0)),
    ],
)
def test_derivatives_have_their_closed_forms(reward, first, second):
    rounding = 0 if isinstance(reward, rewards.Log | rewards.Linear) else 4e-16
    for found, wanted, power in zip(derivatives(reward, P), (first, second), (1, 2), strict=True):
        assert (np.abs(found - wanted) <= 1e-12 * np.abs(wanted) + rounding / P**power).all()


def test_moments_of_the_expansion_by_hand():
    """At p = 1/2 the logarithm has g' = 2 and g'' = -4, so the expansion is 2 delta - 2 delta^2."""
    delta = np.array([0.1, -0.2, 0.4, 0.1])
    first, second = np.full(4, 2.0), np.full(4, -4.0)
    # E[delta] = 0.1, E[delta^2] = 0.22 / 4.
    assert taylor_bias(first, second, delta) == pytest.approx(2 * 0.1 - 2 * 0.055)
    covariance = np.cov(delta, delta**2, bias=True)
    paper = 2**2 * covariance[0, 0] + (-4 / 2) ** 2 * covariance[1, 1] + 2 * -4 * covariance[0, 1]
    assert taylor_variance(first, second, delta) == pytest.approx(paper)
    # The terms are 0.18, -0.48, 0.48, 0.18.
    assert paper == pytest.approx((2 * 0.18**2 + 2 * 0.48**2) / 4 - 0.09**2)


def test_noise_by_hand():
    q, p = [0.2, 0.9], [0.4, 0.3]
    target = np.array([0, 1])
    log_q, log_p = two_classes(q), two_classes(p)
    # The true classes have q = 0.2, 0.1 and p = 0.4, 0.7; the prior is 0.15.
    np.testing.assert_allclose(target_probability(log_q, target), [0.2, 0.1])
    for reward, wanted in (
        (rewards.Linear(), [-0.2, -0.6]),
        (rewards.Log(), np.log([1 / 2, 1 / 7])),
        (rewards.Clipped(rewards.Linear()), [-0.2, 0 - 0.55]),
        (rewards.Accuracy(), [0, -1]),
        (rewards.SignedAccuracy(), [0, -2]),
        (lambda log_probs, target, prior: log_probs[..., 0] * 0 + prior, [0, 0]),
    ):
        np.testing.assert_allclose(reward_noise(reward, log_q, log_p, target, 0.15), wanted, atol=1e-12)


@pytest.mark.parametrize("reward", [rewards.Linear(), Quadratic()])
def test_the_prediction_is_exact_up_to_second_order(reward):
    rng = np.random.default_rng(0)
    q, p = rng.uniform(0.01, 0.99, (2, 500))
    total, bins = compared(reward, q, p)
    for noise in (total, *bins):
        assert noise.taylor == pytest.approx(noise.measured, rel=1e-6, abs=1e-12)
    assert len(bins) > 3


def test_the_prediction_holds_for_small_noise_in_the_logarithm():
    """delta is a Gaussian of mean 0.01 and deviation 0.05 round p = 0.5: terms of third order are a few per cent."""
    delta = np.random.default_rng(0).normal(0.01, 0.05, 200_000)
    total, (only,) = compared(rewards.Log(), 0.5 + delta, np.full(200_000, 0.5))
    assert total.taylor is not None
    assert total.taylor.bias == pytest.approx(2 * 0.01 - 2 * (0.05**2 + 0.01**2), rel=0.05)
    assert total.taylor.variance == pytest.approx(total.measured.variance, rel=0.03)
    assert total.taylor.bias == pytest.approx(total.measured.bias, abs=1e-3)
    assert only.measured == total.measured
    # To first order alone the bias would be 0.02, half as much again.
    assert abs(total.measured.bias - 0.02) > 0.004


def test_the_prediction_explodes_where_the_oracle_is_sure_of_another_class():
    """q = 0.1, p = 1e-4: the logarithm is off by log 1000; its expansion by 999 - 999^2 / 2."""
    total, _ = compared(rewards.Log(), [0.1], [1e-4])
    assert total.measured.bias == pytest.approx(np.log(1000))
    assert total.taylor is not None
    assert total.taylor.bias == pytest.approx(999 - 999**2 / 2)


def test_a_clipped_reward_is_expanded_above_the_prior_and_flat_below():
    """q = 0.9 for p = 0.8 and for p = 0.3, prior 0.5: the second is paid 0.4, of which the expansion knows nothing."""
    total, bins = compared(rewards.get("clipped-linear"), [0.9, 0.9], [0.8, 0.3])
    assert total.taylor == pytest.approx((0.05, 0.05**2))
    assert total.measured.bias == pytest.approx((0.1 + 0.4) / 2)
    below, above = bins
    assert below.taylor == (0, 0)
    assert above.taylor == pytest.approx(above.measured, abs=1e-9)
    of_log, _ = compared(rewards.get("clipped-log"), [0.9], [0.8])
    assert of_log.taylor is not None
    assert of_log.taylor.bias == pytest.approx(0.1 / 0.8 - 0.1**2 / (2 * 0.8**2))


@pytest.mark.parametrize("name", ["accuracy", "signed-accuracy"])
def test_no_prediction_for_rewards_that_are_no_function_of_q(name):
    assert compared(rewards.get(name), [0.2, 0.7], [0.4, 0.6])[0].taylor is None


def test_bins_cover_every_case_and_obey_the_law_of_total_variance():
    rng = np.random.default_rng(1)
    q, p = rng.uniform(0.05, 0.95, 300), np.r_[0.0, 1.0, 10 ** rng.uniform(-8, 0, 298)]
    with np.errstate(divide="ignore"):
        total, bins = compared(rewards.BoxCox(0.5), q, p)
    assert sum(part.cases for part in bins) == total.cases == 300
    assert all(part.low <= part.p <= part.high for part in bins)
    assert [part.low for part in bins] == sorted({part.low for part in bins})
    assert (bins[0].low, bins[0].high, bins[-1].high) == (0, 1e-5, 1)
    weights = np.array([part.cases for part in bins]) / 300
    for kind in ("measured", "taylor"):
        biases, variances = np.array([getattr(part, kind) for part in bins]).T
        assert weights @ biases == pytest.approx(getattr(total, kind).bias)
        between = weights @ (biases - weights @ biases) ** 2
        assert weights @ variances + between == pytest.approx(getattr(total, kind).variance)


def test_a_probability_of_zero_stays_finite():
    with np.errstate(divide="ignore"):
        total, _ = compared(rewards.Log(), [0.0, 1.0], [1.0, 0.0])
    assert np.isfinite([*total.measured, *(total.taylor or [np.nan])]).all()
