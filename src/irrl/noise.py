"""How noisy an internal reward is: measured against an oracle, and as a Taylor expansion predicts it.

The policy is paid by a discriminator q(y | tau) that stands in for the true posterior p(y | tau), in practice a
converged discriminator's: the oracle. What it errs by, the discriminator noise, reaches the policy through the
reward's function g (Li et al. 2023, "Internally Rewarded Reinforcement Learning", arXiv 2302.00270):

    delta = q(y | tau) - p(y | tau)         discriminator noise
    eps_g = g(q(y | tau)) - g(p(y | tau))   reward noise
          ~ g'(p) delta + g''(p)/2 delta^2

    E[eps_g]   ~ g'(p) E[delta] + g''(p)/2 E[delta^2]
    Var[eps_g] ~ g'(p)^2 Var[delta] + (g''(p)/2)^2 Var[delta^2] + g'(p) g''(p) Cov[delta, delta^2]

The paper states the last two for one p. Cases differ in p, so here each keeps its own p inside the expectation; where
all have the same, that is the paper's formula. The singularity of most g at 0 bounds the Taylor series to
|delta| < p: of a case with q > 2p, it says nothing. A clipped reward's g is expanded as any other where p(y | tau) is
above the prior, and is flat below, where the expansion knows of no noise.

Variances are those of the cases at hand, without Bessel's correction, so that they obey the law of total variance:
over several groups of cases, the mean of the groups' variances plus the variance of their means.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Array, Bool, Float, Integer

from irrl.errors import UserError, reason
from irrl.rewards import FLOOR, LOG_FLOOR, Clipped, GeneralisedReward, Prior, Reward, class_index, pay

POSTERIOR_EDGES: Float[np.ndarray, "22"] = np.concatenate([[0], np.geomspace(1e-5, 1, 21)])
"""Bins of the oracle's posterior p: four to a factor of ten, and one for all below 1e-5."""


class Moments(NamedTuple):
    """Bias and variance of a reward's noise."""

    bias: float
    """E[eps_g]"""
    variance: float
    """Var[eps_g]"""


class RewardNoise(NamedTuple):
    """A reward's noise over the cases whose oracle posterior p lies in [low, high)."""

    low: float
    high: float
    p: float
    """geometric mean of their p"""
    cases: int
    measured: Moments
    taylor: Moments | None
    """second-order prediction; None for a reward that is no function of q(y | tau) alone (accuracies)"""


def compare(
    reward: Reward,
    log_probs: Float[np.ndarray, "cases classes"],
    oracle_log_probs: Float[np.ndarray, "cases classes"],
    target: Integer[np.ndarray, " cases"],
    prior: Prior,
    name: str | None = None,
) -> tuple[RewardNoise, list[RewardNoise]]:
    """The noise of a reward, measured beside predicted; arguments and errors as for `reward_noise`.

    Returns:
        Over all cases; and for each bin of `POSTERIOR_EDGES` that holds any, by ascending p.
    """
    q, p = target_probability(log_probs, target), target_probability(oracle_log_probs, target)
    noise = reward_noise(reward, log_probs, oracle_log_probs, target, prior, name)
    smooth = reward.reward if isinstance(reward, Clipped) else reward
    expansion = None
    if isinstance(smooth, GeneralisedReward):
        paid = p > np.broadcast_to(prior, log_probs.shape[1])[target] if smooth is not reward else True
        expansion = *(np.where(paid, each, 0) for each in derivatives(smooth, p)), q - p

    def over(rows: Bool[np.ndarray, " cases"], low: float, high: float) -> RewardNoise:
        terms = expansion and [term[rows] for term in expansion]
        return RewardNoise(
            low,
            high,
            float(np.exp(np.log(p[rows]).mean())),
            int(rows.sum()),
            Moments(float(noise[rows].mean()), float(noise[rows].var())),
            Moments(taylor_bias(*terms), taylor_variance(*terms)) if terms else None,
        )

    # p = 1 belongs to the last bin.
    bins = np.searchsorted(POSTERIOR_EDGES[1:-1], p, side="right")
    edges = POSTERIOR_EDGES.tolist()
    return over(p > 0, 0.0, 1.0), [over(bins == k, edges[k], edges[k + 1]) for k in np.unique(bins)]


def target_probability(
    log_probs: Float[np.ndarray, "cases classes"], target: Integer[np.ndarray, " cases"]
) -> Float[np.ndarray, " cases"]:
    """The probability of each case's true class, floored as rewards floor it (1.2e-38)."""
    index, _ = class_index(log_probs, target, array_namespace(log_probs))
    log_probability = np.take_along_axis(log_probs.astype(np.float64), index[:, None], axis=1)[:, 0]
    return np.exp(np.maximum(log_probability, LOG_FLOOR))


def reward_noise(
    reward: Reward,
    log_probs: Float[np.ndarray, "cases classes"],
    oracle_log_probs: Float[np.ndarray, "cases classes"],
    target: Integer[np.ndarray, " cases"],
    prior: Prior,
    name: str | None = None,
) -> Float[np.ndarray, " cases"]:
    """The measured noise of any reward: what the discriminator pays minus what the oracle would.

    For a `GeneralisedReward` this is eps_g = g(q) - g(p), whatever the prior.

    Args:
        log_probs: the discriminator's log q(. | tau), nats.
        oracle_log_probs: the oracle's log p(. | tau), nats, of the same trajectories.
        target: index of the true class y.
        prior: p(y), one number for every class or a vector over classes.
        name: of the reward, for complaints.

    Raises:
        UserError: the reward fails, or does not give one real number for each case.
    """
    with jax.enable_x64(True):
        target = target.astype(np.int32)
        paid, due = (
            np.asarray(pay(reward, jnp.asarray(each, jnp.float64), jnp.asarray(target), prior, name))
            for each in (log_probs, oracle_log_probs)
        )
    return paid - due


def derivatives(
    reward: GeneralisedReward, p: Float[np.ndarray, " cases"]
) -> tuple[Float[np.ndarray, " cases"], Float[np.ndarray, " cases"]]:
    """g'(p) and g''(p), by differentiating the reward's own g; one of your own needs no formula.

    Rewards write g as a function h of u = log q, so g'(q) = h'(u) / q and g''(q) = (h''(u) - h'(u)) / q^2. Rounding
    leaves up to about 1e-16 / q^2 in g'': for `Log` and `Linear` nothing, for a g that is curved but finite at 0
    (`BoxCox(2)`) more than the value itself below q = 1e-8.

    Args:
        p: probabilities, above 0.

    Raises:
        UserError: g cannot be differentiated.
    """

    def h(log_q: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.asarray(reward.g(log_q, jnp))

    p = np.maximum(p.astype(np.float64), FLOOR)
    with jax.enable_x64(True):
        log_p = jnp.log(jnp.asarray(p))
        try:
            slope, curvature = (np.asarray(jax.vmap(each)(log_p)) for each in (jax.grad(h), jax.grad(jax.grad(h))))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's own g may raise anything
            raise UserError(f"the g of {reward!r} cannot be differentiated twice: {reason(error)}") from error
    return slope / p, (curvature - slope) / p**2


def taylor_bias(
    first: Float[np.ndarray, " cases"], second: Float[np.ndarray, " cases"], delta: Float[np.ndarray, " cases"]
) -> float:
    """E[eps_g] ~ E[g'(p) delta + g''(p)/2 delta^2].

    Args:
        first: g'(p) of each case.
        second: g''(p) of each case.
        delta: the discriminator noise.
    """
    return float((first * delta + second / 2 * delta**2).mean())


def taylor_variance(
    first: Float[np.ndarray, " cases"], second: Float[np.ndarray, " cases"], delta: Float[np.ndarray, " cases"]
) -> float:
    """Var[eps_g] ~ Var[g'(p) delta] + Var[g''(p)/2 delta^2] + 2 Cov of these two; arguments as for `taylor_bias`."""
    # The variance of a sum: adding up the three terms would lose digits where they cancel.
    return float((first * delta + second / 2 * delta**2).var())
