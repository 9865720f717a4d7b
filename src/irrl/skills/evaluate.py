"""How many skills a run has learned, and how noisy its rewards are: sampled as the paper does, and exactly.

Rooms are small enough for every probability to be computed: where each skill ends, p(s_T | z), follows from the policy
by dynamic programming, and with it the true posterior p(z | s_T) that the discriminator is an estimate of.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from irrl import rewards
from irrl.checkpoint import Checkpoint, check_task, unflatten
from irrl.errors import UserError
from irrl.settings import config_from
from irrl.skills.config import Config
from irrl.skills.four_rooms import ACTIONS, FourRooms, rooms_of
from irrl.skills.kernel import Tables

EVALUATION_EPISODES = 256
"""Of the sampled metric (Li et al. 2023)."""

NOISE_REWARDS = ("accuracy", "log", "linear", "clipped-log", "clipped-linear")
"""Rewards whose noise is reported, beside the run's own."""

TIE = 2.0**-48
"""Posteriors that differ by less, as a share of the larger and for each step of an episode, are equal: see `tied`."""


class Agent(NamedTuple):
    """A policy and its discriminator, as tables; as `irrl.load` gives it back."""

    greedy: Int[np.ndarray, "skills states"]
    """the best action"""
    log_probs: Float[np.ndarray, "states skills"]
    """log q(z | s), nats"""
    dynamics: Int[np.ndarray, "states actions"]
    steps: int


class Trained(NamedTuple):
    """An agent as it stood at some point of its training."""

    agent: Agent
    config: Config
    rooms: FourRooms
    iteration: int


def restored_agent(saved: Checkpoint) -> Agent:
    """The agent in a checkpoint.

    Raises:
        UserError: the checkpoint's settings or tables are not those of a skills agent.
    """
    return restored(saved).agent


def restored(saved: Checkpoint) -> Trained:
    """The agent in a checkpoint, and what else it tells.

    Raises:
        UserError: as for `restored_agent`.
    """
    check_task(saved, "skills")
    config = config_from(Config, saved.state.get("config"), "its config")
    rooms, iteration = rooms_of(config.rooms), saved.state.get("iteration")
    if not isinstance(iteration, int) or iteration < 0:
        raise UserError(f"its iteration is {str(iteration)[:40]}; it must be a whole number")
    tables = unflatten(tables_like(config, rooms), saved.arrays)
    return Trained(agent_of(tables, config, rooms), config, rooms, iteration)


def tables_like(config: Config, rooms: FourRooms) -> Tables:
    """Tables of the shapes and dtypes that a config's run has; they take no memory."""
    states = len(rooms.cells)
    q = np.float32, (config.skills, states, len(ACTIONS))
    kinds = (q, q, (np.float32, (config.ensemble, states, config.skills)), (np.uint64, (2,)), (np.float64, (3,)))
    return Tables(*(np.broadcast_to(dtype(0), shape) for dtype, shape in kinds))


def agent_of(tables: Tables, config: Config, rooms: FourRooms) -> Agent:
    """What a run's tables say: actions greedy for `q + disdain * bonus_q`, the discriminators' mean posterior."""
    wide = tables.logits.astype(np.float64)
    log_probs = wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)
    log_probs = np.logaddexp.reduce(log_probs, axis=0) - np.log(len(tables.logits))
    if not np.isfinite(log_probs).all():
        raise UserError("this agent's posteriors are NaN or infinite: its tables are too large to compute with")
    greedy = (tables.q + np.float32(config.disdain) * tables.bonus_q).argmax(-1)
    return Agent(greedy, log_probs, rooms.dynamics, config.steps)


def occupancy(agent: Agent, epsilon: float) -> Float[np.ndarray, "time skills states"]:
    """p(s_t | z) at every step, the start included, of the epsilon-greedy policy: exact."""
    return np.stack(list(walk(agent, epsilon)))


def last_occupancy(agent: Agent, epsilon: float) -> Float[np.ndarray, "skills states"]:
    """p(s_T | z) of the epsilon-greedy policy: exact. The steps before take no memory."""
    return deque(walk(agent, epsilon), maxlen=1).pop()


def walk(agent: Agent, epsilon: float) -> Iterator[np.ndarray]:
    """p(s_t | z), (skills, states), step after step."""
    skills, states = agent.greedy.shape
    rows = states * np.arange(skills)[:, None]

    def moved(now: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.bincount((rows + after).ravel(), now.ravel(), skills * states).reshape(skills, states)

    greedy_after = np.take_along_axis(agent.dynamics[None], agent.greedy[..., None], axis=-1)[..., 0]
    now = np.zeros((skills, states))
    now[:, 0] = 1
    yield now
    for _ in range(agent.steps):
        after = (1 - epsilon) * moved(now, greedy_after)
        for action in range(agent.dynamics.shape[1]):
            if epsilon > 0:
                after += epsilon / agent.dynamics.shape[1] * moved(now, agent.dynamics[:, action])
        now = after
        yield now


def sample_last_states(
    agent: Agent, skill: Int[np.ndarray, "episodes"], epsilon: float, rng: np.random.Generator
) -> Int[np.ndarray, "episodes"]:
    """Where episodes end, one a skill given, epsilon-greedy."""
    state = np.zeros(len(skill), np.int64)
    for _ in range(agent.steps):
        action = agent.greedy[skill, state]
        explores = rng.random(len(skill)) < epsilon
        action = np.where(explores, rng.integers(agent.dynamics.shape[1], size=len(skill)), action)
        state = agent.dynamics[state, action]
    return state


def effective_skills(agent: Agent, skill: Int[np.ndarray, "episodes"], last: Int[np.ndarray, "episodes"]) -> float:
    """`exp(mean(log q(z | s_T) - log p(z)))`: as many skills as could be told apart perfectly (Li et al. 2023)."""
    return float(np.exp(agent.log_probs[last, skill].mean() + np.log(agent.log_probs.shape[1])))


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
    agent: Agent, final: Float[np.ndarray, "skills states"], config: Config, rng: np.random.Generator
) -> dict[str, float]:
    """How many skills an agent has learned: see docs/skills.md for what the metrics mean.

    Args:
        final: p(s_T | z) at the training's epsilon.
    """
    skills = config.skills
    every = np.arange(skills)
    ends = last_occupancy(agent, 0.0).argmax(-1)
    drawn = rng.integers(skills, size=EVALUATION_EPISODES)
    sampled = sample_last_states(agent, drawn, config.epsilon, rng)
    return {
        "effective_skills": effective_skills(agent, drawn, sampled),
        "effective_skills_exact": effective_skills(agent, every, ends),
        "distinct_terminal_states": len(np.unique(ends)),
        "mutual_information_nats": mutual_information(final),
    }


def mutual_information(final: Float[np.ndarray, "skills states"]) -> float:
    """I(z; s_T) of uniform skills that end in a state with probability `final`, nats."""
    reached = final > 0
    mean = np.broadcast_to(final.mean(0), final.shape)
    return float((final[reached] * np.log(final[reached] / mean[reached])).sum() / len(final))


def noise(
    agent: Agent, final: Float[np.ndarray, "skills states"], config: Config, own: rewards.Reward | None = None
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
        oracle = np.log(tied(posterior, agent.steps))
    delta = np.exp(agent.log_probs) - posterior
    found = {"delta_bias": _mean(delta, visits), "delta_variance": _variance(delta, visits)}
    measured = {name: rewards.get(name) for name in NOISE_REWARDS}
    if own is not None:
        measured[rewards.label(config.reward)] = own
    for name, reward in measured.items():
        paid, due = (reward_table(reward, table, name) for table in (agent.log_probs, oracle))
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
