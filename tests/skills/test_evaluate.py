"""Metrics against closed forms and hand-worked cases."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from irrl.rewards import BoxCox, Reward
from irrl.skills.config import Config
from irrl.skills.evaluate import (
    Policy,
    ceiling,
    effective_skills,
    measure,
    mutual_information,
    noise,
    occupancy,
    policy_of,
    sample_last_states,
    tied,
)
from irrl.skills.four_rooms import parse, rooms_of
from irrl.skills.kernel import Tables

CORRIDOR = "######\n#    #\n######"
ROOMS = parse(CORRIDOR, "here")
RIGHT, STAY = 4, 0


def corridor_agent(*, sure=0.0, steps=3):
    """Skill z walks right for z + 1 cells and stays; the discriminator gives it `sure` beyond the others, in logits."""
    greedy = np.array([[RIGHT if state <= skill else STAY for state in range(4)] for skill in range(3)])
    logits = np.zeros((4, 3))
    logits[[1, 2, 3], [0, 1, 2]] = sure
    log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return Policy(greedy, log_probs, ROOMS.dynamics, steps)


CONFIG = Config(rooms=CORRIDOR, skills=3, steps=3, epsilon=0.0)


def everything(agent: Policy, own: Reward | None = None) -> dict[str, float]:
    """A row's metrics of an agent."""
    final = occupancy(agent, CONFIG.epsilon)[-1]
    return measure(agent, final, CONFIG, np.random.default_rng(0)) | noise(agent, final, CONFIG, own)


def test_a_perfect_agent():
    found = everything(corridor_agent(sure=50.0))
    assert found["effective_skills"] == pytest.approx(3)
    assert found["effective_skills_exact"] == pytest.approx(3)
    assert found["distinct_terminal_states"] == 3
    assert found["mutual_information_nats"] == pytest.approx(np.log(3))
    assert found["delta_bias"] == pytest.approx(0)
    assert all(found[name] == pytest.approx(0, abs=1e-9) for name in found if name.startswith("noise"))


def test_an_ignorant_discriminator_of_a_perfect_policy():
    found = everything(corridor_agent())
    assert found["effective_skills_exact"] == pytest.approx(1)
    assert found["mutual_information_nats"] == pytest.approx(np.log(3))
    # q = 1/3 where the truth is 1.
    assert found["delta_bias"] == pytest.approx(-2 / 3)
    assert found["delta_variance"] == pytest.approx(0)
    assert found["noise_bias/log"] == pytest.approx(-np.log(3))
    assert found["noise_bias/linear"] == pytest.approx(-2 / 3)
    # A tie goes to skill 0: right for it, wrong for the two others, each with the truth sure.
    assert found["noise_bias/accuracy"] == pytest.approx(-2 / 3)
    assert found["noise_variance/accuracy"] == pytest.approx(2 / 9)


def test_where_episodes_start_the_oracle_too_is_held_at_the_prior():
    stays = Policy(np.full((3, 4), STAY), np.log(np.full((4, 3), 1 / 3)), ROOMS.dynamics, 3)
    found = noise(stays, occupancy(stays, 0.0)[-1], CONFIG)
    assert all(number == pytest.approx(0, abs=1e-12) for number in found.values())


def test_occupancy_is_what_sampling_tends_to():
    agent = corridor_agent()
    exact = occupancy(agent, 0.3)
    assert exact.sum(axis=2) == pytest.approx(np.ones((4, 3)))
    assert exact[0, :, 0].tolist() == [1, 1, 1]
    episodes = 40_000
    for skill in range(3):
        last = sample_last_states(agent, np.full(episodes, skill), 0.3, np.random.default_rng(skill))
        shares = np.bincount(last, minlength=4) / episodes
        assert np.abs(shares - exact[-1, skill]).max() < 4 * np.sqrt(0.25 / episodes)


def test_occupancy_by_hand():
    """One step with epsilon 0.5: greedy right, or one of five actions, of which only right leaves the first cell."""
    assert occupancy(corridor_agent(steps=1), 0.5)[1, 0].tolist() == pytest.approx([0.4, 0.6, 0, 0])


def test_mutual_information_of_a_noisy_channel():
    final = np.array([[0.9, 0.1], [0.1, 0.9]])
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert mutual_information(final) == pytest.approx(np.log(2) - entropy)


def test_effective_skills_by_hand():
    agent = corridor_agent(sure=np.log(2.0))  # q is 1/2 of the right one, 1/4 of the others
    told = effective_skills(agent, np.array([0, 1, 2, 0]), np.array([1, 2, 3, 3]))
    assert told == pytest.approx(3 * (1 / 2 * 1 / 2 * 1 / 2 * 1 / 4) ** (1 / 4))


@pytest.mark.parametrize(
    ("rooms", "skills", "steps", "most"),
    [
        ("large", 128, 20, 128 / 2 ** (50 / 128)),
        ("large", 50, 20, 50),
        (CORRIDOR, 3, 3, 3),
        (CORRIDOR, 6, 3, 3),
        (CORRIDOR, 5, 3, 5 / 2 ** (4 / 5)),
        # One cell in reach, 5 skills: two leave the first cell, (2/5) log(5/2) nats.
        (CORRIDOR, 5, 1, (5 / 2) ** (2 / 5)),
        ("####\n## #\n####", 5, 3, 1),  # none
    ],
)
def test_ceiling(rooms, skills, steps, most):
    assert ceiling(rooms_of(rooms), skills, steps) == pytest.approx(most)


@pytest.mark.parametrize("skills", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_no_way_of_ending_beats_the_ceiling_and_one_reaches_it(skills, steps):
    """Every assignment of skills to the cells in reach, each with the posterior that it deserves."""
    best = 0.0
    for ends in itertools.product(range(steps + 1), repeat=skills):
        crowd = np.bincount(ends, minlength=steps + 1)
        told = [np.log(skills / crowd[end]) if end else 0.0 for end in ends]
        best = max(best, np.exp(np.mean(told)))
    assert ceiling(ROOMS, skills, steps) == pytest.approx(best)


def test_the_oracle_is_bayes_rule():
    """Skills 0 and 1 end in the same cell, skill 2 in another; the discriminator says 1/3 everywhere."""
    greedy = np.array([[RIGHT, STAY, STAY, STAY], [RIGHT, STAY, STAY, STAY], [RIGHT, RIGHT, STAY, STAY]])
    agent = Policy(greedy, np.log(np.full((4, 3), 1 / 3)), ROOMS.dynamics, 3)
    found = everything(agent)
    # The truth is 1/2, 1/2, 1.
    delta = np.array([1 / 3 - 1 / 2, 1 / 3 - 1 / 2, 1 / 3 - 1])
    assert found["delta_bias"] == pytest.approx(delta.mean())
    assert found["delta_variance"] == pytest.approx(delta.var())
    assert found["noise_bias/log"] == pytest.approx(np.log([2 / 3, 2 / 3, 1 / 3]).mean())
    assert found["mutual_information_nats"] == pytest.approx(np.log(3) - 2 / 3 * np.log(2))


def test_a_runs_own_reward_is_measured_under_the_name_that_the_run_gives_it():
    config = Config(rooms=CORRIDOR, skills=3, steps=3, reward="nowhere:Mine")
    agent = corridor_agent()
    final = occupancy(agent, 0.0)[-1]
    # (q^2 - 1) / 2 of q = 1/3 where the truth is 1.
    found = noise(agent, final, config, BoxCox(2))
    assert found["noise_bias/nowhere:Mine"] == pytest.approx((1 / 9 - 1) / 2)
    assert set(found) - set(noise(agent, final, config)) == {"noise_bias/nowhere:Mine", "noise_variance/nowhere:Mine"}


SQUARE = parse("#####\n#   #\n# # #\n#   #\n#####", "here")
DOWN = 2


def round_the_square(first: int, then: int) -> np.ndarray:
    """Along one side with `first`, along the next with `then`, to the corner opposite to the start."""
    blocked = SQUARE.dynamics[:, first] == np.arange(len(SQUARE.cells))
    return np.where(np.arange(len(blocked)) == len(blocked) - 1, STAY, np.where(blocked, then, first))


def exact_last_states(agent: Policy, epsilon: Fraction) -> list[list[Fraction]]:
    """p(s_T | z) without rounding."""
    skills, states = agent.greedy.shape
    now = [[Fraction(int(state == 0)) for state in range(states)] for _ in range(skills)]
    for _ in range(agent.steps):
        after = [[Fraction(0)] * states for _ in range(skills)]
        for skill, state, action in itertools.product(range(skills), range(states), range(5)):
            chance = epsilon / 5 + (1 - epsilon) * int(action == agent.greedy[skill, state])
            after[skill][agent.dynamics[state, action]] += chance * now[skill][state]
        now = after
    return now


@pytest.mark.parametrize("tenth", [1, 3, 7])
@pytest.mark.parametrize("steps", [4, 7, 12])
def test_equal_posteriors_go_to_the_first_skill_and_not_to_whom_rounding_favours(steps, tenth):
    """Two mirrored skills end in the far corner equally often; a third one stays where it is."""
    mirrored = round_the_square(RIGHT, DOWN), round_the_square(DOWN, RIGHT)
    corner, variances = len(SQUARE.cells) - 1, []
    for pair in (mirrored, mirrored[::-1]):
        greedy = np.stack([*pair, np.full(len(SQUARE.cells), STAY)])
        agent = Policy(greedy, np.log(np.full((len(SQUARE.cells), 3), 1 / 3)), SQUARE.dynamics, steps)
        exact = exact_last_states(agent, Fraction(tenth, 10))
        assert exact[0][corner] == exact[1][corner]
        final = occupancy(agent, tenth / 10)[-1]
        posterior = final.T / final.sum(axis=0)[:, None]
        first = [max(range(3), key=lambda skill, state=state: exact[skill][state]) for state in range(corner + 1)]
        assert tied(posterior, steps).argmax(axis=1).tolist() == first
        config = Config(rooms="#####\n#   #\n# # #\n#   #\n#####", skills=3, steps=steps)
        variances.append(noise(agent, final, config)["noise_variance/accuracy"])
    assert variances[0] == pytest.approx(variances[1])


def test_posteriors_that_differ_are_no_tie():
    posterior = np.array([[0.3, 0.35 * (1 - 1e-15), 0.35], [0.3, 0.35 * (1 - 1e-9), 0.35], [0, 0, 0]])
    assert tied(posterior, 20).argmax(axis=1).tolist() == [1, 2, 0]
    np.testing.assert_allclose(tied(posterior, 20), posterior, rtol=1e-14)


def test_noise_weighs_by_how_often_a_skill_ends_there():
    """Two skills, unequal chances of two cells: p(s|z) = (3/4, 1/4) and (1/4, 3/4)."""
    final = np.array([[0, 0.75, 0.25, 0], [0, 0.25, 0.75, 0]])
    log_probs = np.log(np.full((4, 2), 0.5))
    agent = Policy(np.zeros((2, 4), int), log_probs, ROOMS.dynamics, 3)
    found = noise(agent, final, Config(rooms=CORRIDOR, skills=2, steps=3))
    # q is 1/2; the truth is 3/4 for three quarters of the endings, 1/4 for the others.
    assert found["delta_bias"] == pytest.approx(0.75 * -0.25 + 0.25 * 0.25)
    assert found["delta_variance"] == pytest.approx(0.25**2 - 0.125**2)


def test_an_agent_is_greedy_for_both_values_and_averages_posteriors():
    q, bonus_q = np.zeros((2, 4, 5), np.float32), np.zeros((2, 4, 5), np.float32)
    q[..., 1], bonus_q[..., 3] = 1.0, 0.3
    logits = np.zeros((2, 4, 2), np.float32)
    logits[:, 1] = np.log([[0.9, 0.1], [0.5, 0.5]])
    for disdain, action in ((0.0, 1), (3.0, 1), (4.0, 3)):
        config = Config(rooms=CORRIDOR, skills=2, steps=3, ensemble=2, disdain=disdain)
        agent = policy_of(Tables(q, bonus_q, logits, np.zeros(2, np.uint64), np.zeros(3)), config, ROOMS)
        assert (agent.greedy == action).all()
    np.testing.assert_allclose(np.exp(agent.log_probs[1]), [0.7, 0.3], rtol=1e-6)
