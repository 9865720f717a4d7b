"""What a run's tables amount to: how many skills, and how noisy rewards; sampled as the paper does, and exactly.

Rooms are small enough for every probability to be computed: where each skill ends, p(s_T | z), follows from the policy
by dynamic programming, and with it the true posterior p(z | s_T) that the discriminator is an estimate of.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from irrl import rewards
from irrl.errors import UserError
from irrl.skills.config import Config
from irrl.skills.four_rooms import ACTIONS, FourRooms
from irrl.skills.kernel import Tables

EVALUATION_EPISODES = 256
"""Of the sampled metric (Li et al. 2023)."""

NOISE_REWARDS = ("accuracy", "log", "linear", "clipped-log", "clipped-linear")
"""Rewards whose noise is reported, beside the run's own."""

TIE = 2.0**-48
"""Posteriors that differ by less, as a share of the larger and for each step of an episode, are equal: see `tied`."""


class Policy(NamedTuple):
    """What a skill does, and how it is recognised."""

    greedy: Int[np.ndarray, "skills states"]
    """the best action"""
    log_probs: Float[np.ndarray, "states skills"]
    """log q(z | s), nats"""
    dynamics: Int[np.ndarray, "states actions"]
    steps: int


def tables_like(config: Config, rooms: FourRooms) -> Tables:
    """Tables of the shapes and dtypes that a config's run has; they take no memory."""
    states = len(rooms.cells)
    q = np.float32, (config.skills, states, len(ACTIONS))
    kinds = (q, q, (np.float32, (config.ensemble, states, config.skills)), (np.uint64, (2,)), (np.float64, (3,)))
    return Tables(*(np.broadcast_to(dtype(0), shape) for dtype, shape in kinds))


def policy_of(tables: Tables, config: Config, rooms: FourRooms) -> Policy:
    """What a run's tables say: actions greedy for `q + disdain * bonus_q`, the discriminators' mean posterior."""
    wide = tables.logits.astype(np.float64)
    log_probs = wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)
    log_probs = np.logaddexp.reduce(log_probs, axis=0) - np.log(len(tables.logits))
    if not np.isfinite(log_probs).all():
        raise UserError("this agent's posteriors are NaN or infinite: its tables are too large to compute with")
    greedy = (tables.q + np.float32(config.disdain) * tables.bonus_q).argmax(-1)
    return Policy(greedy, log_probs, rooms.dynamics, config.steps)


def occupancy(policy: Policy, epsilon: float) -> Float[np.ndarray, "time skills states"]:
    """p(s_t | z) at every step, the start included, of the epsilon-greedy policy: exact."""
    return np.stack(list(walk(policy, epsilon)))


def last_occupancy(policy: Policy, epsilon: float) -> Float[np.ndarray, "skills states"]:
    """p(s_T | z) of the epsilon-greedy policy: exact. The steps before take no memory."""
    return deque(walk(policy, epsilon), maxlen=1).pop()


def walk(policy: Policy, epsilon: float) -> Iterator[np.ndarray]:
    """p(s_t | z), (skills, states), step after step."""
    skills, states = policy.greedy.shape
    rows = states * np.arange(skills)[:, None]

    def moved(now: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.bincount((rows + after).ravel(), now.ravel(), skills * states).reshape(skills, states)

    greedy_after = np.take_along_axis(policy.dynamics[None], policy.greedy[..., None], axis=-1)[..., 0]
    now = np.zeros((skills, states))
    now[:, 0] = 1
    yield now
    for _ in range(policy.steps):
        after = (1 - epsilon) * moved(now, greedy_after)
        for action in range(policy.dynamics.shape[1]):
            if epsilon > 0:
                after += epsilon / policy.dynamics.shape[1] * moved(now, policy.dynamics[:, action])
        now = after
        yield now


def sample_last_states(
    policy: Policy, skill: Int[np.ndarray, " episodes"], epsilon: float, rng: np.random.Generator
) -> Int[np.ndarray, " episodes"]:
    """Where episodes end, one a skill given, epsilon-greedy."""
    state = np.zeros(len(skill), np.int64)
    for _ in range(policy.steps):
        action = policy.greedy[skill, state]
        explores = rng.random(len(skill)) < epsilon
        action = np.where(explores, rng.integers(policy.dynamics.shape[1], size=len(skill)), action)
        state = policy.dynamics[state, action]
    return state


def effective_skills(policy: Policy, skill: Int[np.ndarray, " episodes"], last: Int[np.ndarray, " episodes"]) -> float:
    """`exp(mean(log q(z | s_T) - log p(z)))`: as many skills as could be told apart perfectly (Li et al. 2023)."""
    return float(np.exp(policy.log_probs[last, skill].mean() + np.log(policy.log_probs.shape[1])))


def ceiling(rooms: FourRooms, skills: int, steps: int) -> float:
    """The most effective skills there can be: skills spread evenly over the states in reach, but for the first.

    In state 0 the discriminator is held at the prior, so ending there tells nothing. With one or two states to share,
    some skills do best to stay there, out of the others' way.
    """
    usable = int(((rooms.distance > 0) & (rooms.distance <= steps)).sum())

    def nats(leaving: int) -> float:
        """`sum_z log(q(z | s_T) / p(z))` if so many skills leave state 0; k in a state tell log(skills / k) each."""
        each, more = divmod(leaving, usable)
        crowds = np.repeat([each + 1, each], [more, usable - more])
        crowds = crowds[crowds > 0]
        return float((crowds * np.log(skills / crowds)).sum())

    return float(np.exp(max(map(nats, range(1, skills + 1))) / skills)) if usable else 1.0


def measure(
    policy: Policy, final: Float[np.ndarray, "skills states"], config: Config, rng: np.random.Generator
) -> dict[str, float]:
    """How many skills a policy has: see docs/skills.md for what the metrics mean.

    Args:
        final: p(s_T | z) at the training's epsilon.
    """
    skills = config.skills
    every = np.arange(skills)
    ends = last_occupancy(policy, 0.0).argmax(-1)
    drawn = rng.integers(skills, size=EVALUATION_EPISODES)
    sampled = sample_last_states(policy, drawn, config.epsilon, rng)
    return {
        "effective_skills": effective_skills(policy, drawn, sampled),
        "effective_skills_exact": effective_skills(policy, every, ends),
        "distinct_terminal_states": len(np.unique(ends)),
        "mutual_information_nats": mutual_information(final),
    }


def mutual_information(final: Float[np.ndarray, "skills states"]) -> float:
    """I(z; s_T) of uniform skills that end in a state with probability `final`, nats."""
    reached = final > 0
    mean = np.broadcast_to(final.mean(0), final.shape)
    return float((final[reached] * np.log(final[reached] / mean[reached])).sum() / len(final))


def noise(
    policy: Policy, final: Float[np.ndarray, "skills states"], config: Config, own: rewards.Reward | None = None
) -> dict[str, float]:
    """Discriminator noise `delta = q(z | s_T) - p(z | s_T)` and each reward's noise, exact under the present policy.

    Means and variances are over skills and where they end; the oracle p is Bayes' rule on `final`. In state 0 the
    discriminator is held at the prior, and the oracle with it: that is the task's rule, not an error.

    Args:
        final: p(s_T | z) at the training's epsilon.
        own: the reward to be reported as `config.reward` beside `NOISE_REWARDS`. Of a run that was read, that name is
            nothing but text: whoever wrote it may have named any code.

    Raises:
        UserError: `own` fails, or does not pay numbers.
    """
    visits = final.T / final.sum()
    posterior = visits / np.maximum(visits.sum(1, keepdims=True), np.finfo(float).tiny)
    posterior[0] = 1 / config.skills
    with np.errstate(divide="ignore"):
        oracle = np.log(tied(posterior, policy.steps))
    delta = np.exp(policy.log_probs) - posterior
    found = {"delta_bias": _mean(delta, visits), "delta_variance": _variance(delta, visits)}
    measured = {name: rewards.get(name) for name in NOISE_REWARDS}
    if own is not None:
        measured[rewards.label(config.reward)] = own
    for name, reward in measured.items():
        paid, due = (reward_table(reward, table, name) for table in (policy.log_probs, oracle))
        error = np.where(visits > 0, paid - due, 0)
        found |= {f"noise_bias/{name}": _mean(error, visits), f"noise_variance/{name}": _variance(error, visits)}
    return found


def tied(posterior: Float[np.ndarray, "states skills"], steps: int) -> Float[np.ndarray, "states skills"]:
    """The posterior, with skills that share a state's largest one equal to the last bit, so that the first is paid.

    Two skills that mirror each other have equal posteriors, but `occupancy` sums their paths in another order. A step
    rounds a probability at most 12 times, each time by a share of 2^-53: so what is equal comes out within a share of
    24 * 2^-53 for each step. What differs by less than `TIE`, a little more, no arithmetic of this precision can tell.
    """
    largest = posterior.max(axis=1, keepdims=True)
    return np.where(posterior >= (1 - TIE * steps) * largest, largest, posterior)


def reward_table(
    reward: rewards.Reward, log_probs: Float[np.ndarray, "states skills"], name: str
) -> Float[np.ndarray, "states skills"]:
    """What each skill is paid for ending in each state."""
    skills = log_probs.shape[1]
    # State by state: all at once would take states * skills * skills numbers.
    every = np.arange(skills)
    rows = [rewards.pay(reward, np.broadcast_to(row, (skills, skills)), every, 1 / skills, name) for row in log_probs]
    return np.stack(rows)


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    return float((values * weight).sum())


def _variance(values: np.ndarray, weight: np.ndarray) -> float:
    return float(((values - _mean(values, weight)) ** 2 * weight).sum())
