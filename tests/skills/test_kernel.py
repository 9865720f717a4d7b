"""The compiled kernel against the plain one, and its parts against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl import rewards
from irrl.skills import kernel
from irrl.skills.compiled_reward import compile_reward
from irrl.skills.config import Config
from irrl.skills.four_rooms import rooms_of
from irrl.skills.training import initial_tables, kernel_settings
from skills_reference import Chance, Learner

CORRIDOR = "#######\n#     #\n#######"


def run_kernel(config, iterations, *, watch=None):
    rooms, reward = rooms_of(config.rooms), compile_reward(config.reward, config.skills)
    tables, settings = initial_tables(config, rooms), kernel_settings(config, reward)
    batch = kernel.empty_batch(tables, settings)
    for _ in range(iterations):
        kernel.train(tables, settings, rooms.dynamics, reward.pay, batch, 1)
        if watch:
            watch(batch)
    return tables


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"reward": "clipped-log", "disdain": 20.0, "ensemble": 3},
        {"reward": "accuracy", "ensemble": 2, "discriminator_rate": 0.3},
        {"reward": "box-cox:0.5", "trace": 0.3, "discount": 0.9, "seed": 2},
    ],
    ids=str,
)
def test_as_the_plain_one(changed):
    config = Config(rooms="small", skills=6, steps=5, batch=8, epsilon=0.05, learning_rate=0.05, **changed)
    rooms = rooms_of("small")
    start = initial_tables(config, rooms)
    plain = Learner(start, config, rooms.dynamics, rewards.get(config.reward))
    chance = Chance(*start.chance, config.epsilon)

    def same(batch):
        assert (plain.iterate(chance, batch.action) == batch.state).all()

    tables = run_kernel(config, 1000, watch=same)
    assert [chance.state, chance.gap] == tables.chance.tolist()
    for name in ("q", "bonus_q", "logits"):
        np.testing.assert_allclose(getattr(tables, name), getattr(plain, name), rtol=2e-4, atol=2e-5)
    assert (tables.logits[:, 0] == 0).all()
    assert config.disdain or (tables.bonus_q == start.bonus_q).all()


@given(st.floats(-79, 79, width=32))
def test_exp(x):
    assert kernel.exp(np.float32(x)) == pytest.approx(np.exp(np.float64(np.float32(x))), rel=4e-7)


@given(st.floats(2**-126, 2**100, width=32))
def test_log(x):
    assert kernel.log(np.float32(x)) == pytest.approx(np.log(np.float64(np.float32(x))), rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=200))
@settings(deadline=None)
def test_softmax_and_entropies(logits):
    row = np.array(logits, np.float32)
    probs = np.zeros_like(row)
    kernel.softmax(row, probs)
    exact = np.exp(row.astype(float) - np.logaddexp.reduce(row.astype(float)))
    np.testing.assert_allclose(probs, exact, rtol=2e-5)
    of_exact = -(exact * np.log(exact)).sum()
    assert kernel.entropy(probs) == pytest.approx(of_exact, abs=2e-5)
    assert kernel.entropy_of_softmax(row, probs) == pytest.approx(of_exact, abs=2e-5)


@pytest.mark.parametrize(("probs", "right"), [([0.2, 0.5, 0.3], 1), ([0.4, 0.4, 0.2], 0), ([0.25] * 4, 0)])
def test_most_probable_skill_with_ties(probs, right):
    told = [bool(kernel.is_most_probable(np.array(probs, np.float32), skill)) for skill in range(len(probs))]
    assert told == [skill == right for skill in range(len(probs))]


def test_exploration_is_as_frequent_as_asked():
    chance = np.array([7, 0], np.uint64)
    gaps = np.array([kernel.draw_gap(chance, 0.01) for _ in range(20_000)], float)
    # Geometric: mean (1 - e) / e = 99, standard deviation about 100.
    assert gaps.mean() == pytest.approx(99, abs=4 * 100 / np.sqrt(len(gaps)))
    assert (gaps == 0).mean() == pytest.approx(0.01, abs=0.003)
    assert kernel.draw_gap(chance, 0.0) > 2**62
    assert kernel.draw_gap(chance, 1.0) == 0


def test_draws_are_uniform():
    chance = np.array([1, 0], np.uint64)
    counts = np.bincount([kernel.draw_below(chance, 5) for _ in range(50_000)], minlength=5)
    assert np.abs(counts - 10_000).max() < 4 * np.sqrt(50_000 * 0.16)


def test_lambda_return_by_hand():
    """Two steps in a corridor; what is paid, 0.5, comes after the second."""
    config = Config(rooms=CORRIDOR, skills=2, steps=2, batch=1, epsilon=0.0, learning_rate=0.1, seed=1)
    start = initial_tables(config, rooms_of(CORRIDOR))
    reward = compile_reward(config.reward, config.skills)
    settings = kernel_settings(config, reward)
    batch = kernel.empty_batch(start, settings)
    q = np.full_like(start.q, 0.2)
    batch.skill[0], batch.action[:, 0], batch.state[:, 0] = 1, [4, 4], [0, 1, 2]
    batch.chosen[0], batch.greedy[0], batch.paid[0] = 0.2, [[0.7], [0.3]], 0.5
    kernel.learn_q(q, settings, batch, 0)
    # The last step learns from 0.5; the first from 0.99 (0.3 * 0.3 + 0.7 * 0.5).
    first = 0.99 * (0.3 * 0.3 + 0.7 * 0.5)
    assert q[1, 1, 4] == pytest.approx(0.2 + 0.1 * 2 * (0.5 - 0.2), rel=1e-6)
    assert q[1, 0, 4] == pytest.approx(0.2 + 0.1 * 2 * (first - 0.2), rel=1e-6)
    assert (q == np.float32(0.2)).sum() == q.size - 2


def test_disdain_bonus_and_mean_posterior_by_hand():
    """Two sure discriminators that disagree: the mean is undecided, so the bonus is log 2."""
    config = Config(rooms=CORRIDOR, skills=2, steps=2, batch=2, disdain=20.0, ensemble=2, reward="linear")
    tables = initial_tables(config, rooms_of(CORRIDOR))
    reward = compile_reward(config.reward, config.skills)
    settings = kernel_settings(config, reward)
    batch = kernel.empty_batch(tables, settings)
    tables.logits[:, 1], tables.logits[:, 2] = [[30, 0], [0, 30]], [[np.log(3), 0], [np.log(3), 0]]
    batch.skill[:], batch.state[2] = [0, 0], [1, 2]
    kernel.discriminate(tables, settings, batch)
    kernel.pay(tables, settings, batch, reward.pay)
    np.testing.assert_allclose(batch.mean_probs, [[0.5, 0.5], [0.75, 0.25]], rtol=1e-5)
    np.testing.assert_allclose(batch.paid[0], [0, 0.25], atol=1e-6)
    np.testing.assert_allclose(batch.paid[1], [np.log(2), 0], atol=1e-5)


def test_what_was_paid_is_counted():
    config = Config(rooms=CORRIDOR, skills=3, steps=3, batch=4, reward="signed-accuracy")
    paid = []
    tables = run_kernel(config, 50, watch=lambda batch: paid.append(batch.paid.mean(axis=1)))
    assert tables.paid[0] == 50
    np.testing.assert_allclose(tables.paid[1:], np.sum(paid, axis=0), rtol=1e-5, atol=1e-6)
