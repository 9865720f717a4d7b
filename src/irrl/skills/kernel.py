"""Tabular unsupervised skill discovery, compiled: rollouts, lambda-returns, Q-learning and the discriminator.

A policy is told a skill z and ends its episode in a state s_T; a discriminator says how probable each skill is, given
that state, q(z | s_T); the policy is paid g(q) - g(1/skills) for the last step (Li et al. 2023, appendix). With DISDAIN
(Strouse et al. 2022) several discriminators are trained, and their disagreement is paid to a second Q function.

All of a run is in `Tables`, the random stream included: what is learned depends on nothing else.
"""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from irrl.skills.code_cache import kept

ACTIONS = 5
"""Stay, up, down, left, right."""

# Sums in vector registers need to be reordered; infinities and NaNs keep their meaning.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Callable) -> Callable:
    """Decorate a function of the kernel; compiled code stays on the disk."""
    # Inlined, all of an iteration is one piece of code. Else the first start, which compiles, would call other copies
    # of the small functions than later ones, which find the code on the disk: these copies sum in another order.
    options = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy", "forceinline": True}
    # What wraps a function to check its types is not for Numba.
    return kept(njit(**options)(inspect.unwrap(function)))


class Tables(NamedTuple):
    """A run: what it has learned, and its chance."""

    q: np.ndarray
    """float32 (skills, states, actions): expected reward"""
    bonus_q: np.ndarray
    """float32 (skills, states, actions): expected DISDAIN bonus"""
    logits: np.ndarray
    """float32 (ensemble, states, skills): each discriminator's log q(z | s), not normalised; state 0's row stays 0"""
    chance: np.ndarray
    """uint64 (2,): state of the random stream, and steps until the next random action"""
    paid: np.ndarray
    """float64 (3,): iterations since the last row of metrics, and sums over them of mean reward and mean bonus"""


class Settings(NamedTuple):
    """What a run does, for the kernel: irrl.skills.config has the words."""

    steps: int
    batch: int
    epsilon: float
    discount: float
    trace: float
    learning_rate: float
    discriminator_rate: float
    bonus_weight: float
    by_argmax: bool


class Batch(NamedTuple):
    """One batch of episodes: room for it, used again at every iteration. Time first."""

    skill: np.ndarray
    """uint32 (batch,)"""
    state: np.ndarray
    """uint32 (steps + 1, batch)"""
    action: np.ndarray
    """uint32 (steps, batch)"""
    chosen: np.ndarray
    """float32 (2, steps, batch): both Q's value of the action taken"""
    greedy: np.ndarray
    """float32 (2, steps, batch): both Q's value of the greedy action"""
    probs: np.ndarray
    """float32 (ensemble, batch, skills): each discriminator's posterior at the last state"""
    mean_probs: np.ndarray
    """float32 (batch, skills): their mean"""
    paid: np.ndarray
    """float32 (2, batch): reward and bonus for the last step"""


def empty_batch(tables: Tables, settings: Settings) -> Batch:
    """Room for the episodes of one iteration."""
    steps, batch = settings.steps, settings.batch
    ensemble, _, skills = tables.logits.shape
    probs = np.zeros((ensemble, batch, skills), np.float32)
    return Batch(
        np.zeros(batch, np.uint32),
        np.zeros((steps + 1, batch), np.uint32),
        np.zeros((steps, batch), np.uint32),
        np.zeros((2, steps, batch), np.float32),
        np.zeros((2, steps, batch), np.float32),
        probs,
        probs[0] if ensemble == 1 else np.zeros((batch, skills), np.float32),
        np.zeros((2, batch), np.float32),
    )


@compiled
def draw(chance):
    """64 random bits: SplitMix64 (Steele et al. 2014)."""
    chance[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = chance[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@compiled
def draw_below(chance, count):
    """A random integer from 0 to count - 1."""
    return np.int64(((draw(chance) >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@compiled
def draw_gap(chance, epsilon):
    """How many steps pass until the next random action: geometric, so that one number serves a thousand steps."""
    if epsilon <= 0.0:
        return np.uint64(2**63)
    if epsilon >= 1.0:
        return np.uint64(0)
    uniform = (np.float64(draw(chance) >> np.uint64(11)) + 0.5) * 2.0**-53
    return np.uint64(min(np.log(uniform) / np.log1p(-epsilon), 2.0**63))


@compiled
def best_action(q, bonus_q, weight, skill, state):
    """The greedy action for `q + weight * bonus_q`; ties go to the lowest index."""
    best, highest = 0, -np.float32(np.inf)
    for action in range(ACTIONS):
        value = q[skill, state, action]
        if weight != 0:
            value += weight * bonus_q[skill, state, action]
        # Chosen, not branched: which action is best cannot be guessed ahead.
        better = value > highest
        best = action if better else best
        highest = value if better else highest
    return best


@compiled
def roll_out(tables, settings, dynamics, batch):
    """Play the episodes, epsilon-greedy; skills are uniformly random, every episode starts in state 0."""
    q, bonus_q, chance = tables.q, tables.bonus_q, tables.chance
    weight = np.float32(settings.bonus_weight)
    for episode in range(settings.batch):
        batch.skill[episode] = draw_below(chance, q.shape[0])
        batch.state[0, episode] = 0
    # Step by step, for all episodes: their table look-ups do not wait for one another.
    for time in range(settings.steps):
        for episode in range(settings.batch):
            skill, state = batch.skill[episode], batch.state[time, episode]
            greedy = best_action(q, bonus_q, weight, skill, state)
            action = greedy
            if chance[1] == 0:
                action = draw_below(chance, ACTIONS)
                chance[1] = draw_gap(chance, settings.epsilon)
            else:
                chance[1] -= np.uint64(1)
            batch.action[time, episode] = action
            batch.greedy[0, time, episode] = q[skill, state, greedy]
            batch.chosen[0, time, episode] = q[skill, state, action]
            if weight != 0:
                batch.greedy[1, time, episode] = bonus_q[skill, state, greedy]
                batch.chosen[1, time, episode] = bonus_q[skill, state, action]
            batch.state[time + 1, episode] = dynamics[state, action]


@compiled
def exp(x):
    """e to the x, to float32's rounding, x kept within +-80; unlike the library's, compilers vectorise it."""
    x = min(max(x, np.float32(-80)), np.float32(80))
    power = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    x = (x - power * np.float32(0.693359375)) + power * np.float32(2.12194440e-4)  # ln 2 in two parts
    series = x * np.float32(1 / 720) + np.float32(1 / 120)
    series = series * x + np.float32(1 / 24)
    series = series * x + np.float32(1 / 6)
    series = (series * x + np.float32(0.5)) * x * x + x + np.float32(1)
    return series * np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def softmax(logits, out):
    """Probabilities of one row of logits.

    The highest is not subtracted first, for finding it would take as long as all the rest: gradients of a softmax sum
    to zero, so a row's mean stays where it began, in [0, 1), and its logits stay far from 80.
    """
    total = np.float32(0)
    for index in range(len(logits)):
        out[index] = exp(logits[index])
        total += out[index]
    scale = np.float32(1) / total
    for index in range(len(logits)):
        out[index] *= scale


@compiled
def log(x):
    """Natural logarithm of a positive x, to about float32's rounding, vectorised like `exp`.

    With x = 2^k m, sqrt(1/2) <= m < sqrt(2): log x = k log 2 + 2 artanh((m - 1) / (m + 1)).
    """
    bits = np.float32(x).view(np.int32) - np.int32(0x3F3504F3)  # of sqrt(1/2)
    power = bits >> np.int32(23)
    mantissa = np.int32((bits & np.int32(0x7FFFFF)) + np.int32(0x3F3504F3)).view(np.float32)
    ratio = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
    square = ratio * ratio
    series = square * np.float32(2 / 9) + np.float32(2 / 7)
    series = series * square + np.float32(2 / 5)
    series = series * square + np.float32(2 / 3)
    series = (series * square + np.float32(2)) * ratio
    return np.float32(power) * np.float32(0.6931471806) + series


@compiled
def entropy(probs):
    """Of one distribution, nats."""
    total = np.float32(0)
    for index in range(len(probs)):
        total -= probs[index] * log(probs[index])
    return total


@compiled
def entropy_of_softmax(logits, probs):
    """Entropy of `probs = softmax(logits)`, nats, by a single logarithm: log sum(exp(logits)) - sum(probs logits)."""
    total = logits[0] - log(probs[0])
    for index in range(len(probs)):
        total -= probs[index] * logits[index]
    return total


@compiled
def is_most_probable(probs, skill):
    """Whether a skill is the argmax of `probs`; ties go to the lowest index."""
    better = 0
    for other in range(len(probs)):
        better += probs[other] > probs[skill] or (probs[other] == probs[skill] and other < skill)
    return better == 0


@compiled
def discriminate(tables, settings, batch):
    """The posteriors over skills at every episode's last state: each discriminator's, and their mean."""
    ensemble, _, skills = tables.logits.shape
    for episode in range(settings.batch):
        state = batch.state[settings.steps, episode]
        for member in range(ensemble):
            softmax(tables.logits[member, state], batch.probs[member, episode])
        if ensemble == 1:
            continue  # the mean is the only one, in the same memory
        for skill in range(skills):
            batch.mean_probs[episode, skill] = batch.probs[0, episode, skill] / np.float32(ensemble)
        for member in range(1, ensemble):
            for skill in range(skills):
                batch.mean_probs[episode, skill] += batch.probs[member, episode, skill] / np.float32(ensemble)


@compiled
def pay(tables, settings, batch, reward):
    """The reward for the last step, and the DISDAIN bonus: entropy of the mean posterior less the mean entropy."""
    ensemble = batch.probs.shape[0]
    for episode in range(settings.batch):
        skill, probs = batch.skill[episode], batch.mean_probs[episode]
        correct = settings.by_argmax and is_most_probable(probs, skill)
        batch.paid[0, episode] = reward(np.float64(log(probs[skill])), correct)
        if settings.bonus_weight != 0:
            bonus = entropy(probs)
            for member in range(ensemble):
                logits = tables.logits[member, batch.state[settings.steps, episode]]
                bonus -= entropy_of_softmax(logits, batch.probs[member, episode]) / np.float32(ensemble)
            batch.paid[1, episode] = bonus


@compiled
def learn_q(q, settings, batch, which):
    """One step of gradient descent on sum_t (Q(s_t, a_t) - G_t)^2, mean over episodes, towards lambda-returns:

    G_t = discount ((1 - trace) Q(s_{t+1}, greedy) + trace G_{t+1}), and the last one is what is paid.

    Args:
        q: the table to change.
        which: 0, it is that of the reward; 1, of the bonus.
    """
    rate = np.float32(2 * settings.learning_rate / settings.batch)
    discount, trace = np.float32(settings.discount), np.float32(settings.trace)
    for episode in range(settings.batch):
        skill, target = batch.skill[episode], batch.paid[which, episode]
        for time in range(settings.steps - 1, -1, -1):
            state, action = batch.state[time, episode], batch.action[time, episode]
            q[skill, state, action] -= rate * (batch.chosen[which, time, episode] - target)
            target = discount * ((np.float32(1) - trace) * batch.greedy[which, time, episode] + trace * target)


@compiled
def learn_discriminator(tables, settings, batch):
    """One step of gradient descent on the cross-entropy -log q(z | s_T), mean over ensemble and episodes."""
    ensemble, _, skills = tables.logits.shape
    rate = np.float32(settings.learning_rate * settings.discriminator_rate / (settings.batch * ensemble))
    for member in range(ensemble):
        for episode in range(settings.batch):
            state = batch.state[settings.steps, episode]
            if state == 0:
                continue  # where every episode starts, nothing is to be told apart
            row = tables.logits[member, state]
            for skill in range(skills):
                row[skill] -= rate * batch.probs[member, episode, skill]
            row[batch.skill[episode]] += rate


@compiled
def train(tables, settings, dynamics, reward, batch, iterations):
    """Some iterations. Every gradient of one is taken at the tables from before it.

    Args:
        dynamics: int64 (states, actions), the state that follows.
        reward: compiled, of (log q(z | s_T), whether z is the most probable skill).
    """
    for _ in range(iterations):
        roll_out(tables, settings, dynamics, batch)
        discriminate(tables, settings, batch)
        pay(tables, settings, batch, reward)
        learn_q(tables.q, settings, batch, 0)
        if settings.bonus_weight != 0:
            learn_q(tables.bonus_q, settings, batch, 1)
        learn_discriminator(tables, settings, batch)
        tables.paid[0] += 1
        for which in range(2):
            tables.paid[1 + which] += batch.paid[which].mean()
