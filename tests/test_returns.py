"""The policy gradient against closed forms on problems with two arms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl.recurrent import gaussian_log_prob
from irrl.returns import reinforce_with_baseline, returns_to_come

BOTH = jnp.array([True, True])


def test_hand_worked_episode():
    policy_loss, baseline_loss = reinforce_with_baseline(
        jnp.array([-1.0, -2.0]), jnp.array(0.5), jnp.array([0.1, 0.3]), BOTH
    )
    assert policy_loss == pytest.approx(1.0 * 0.4 + 2.0 * 0.2)
    assert baseline_loss == pytest.approx((0.16 + 0.04) / 2)


def test_steps_after_the_end_are_left_out():
    acting = jnp.array([True, False])
    policy_loss, baseline_loss = reinforce_with_baseline(
        jnp.array([-1.0, -2.0]), jnp.array(0.5), jnp.array([0.1, 0.3]), acting
    )
    assert policy_loss == pytest.approx(0.4)
    assert baseline_loss == pytest.approx(0.16)


def test_each_action_can_have_its_own_return():
    policy_loss, _ = reinforce_with_baseline(
        jnp.array([-1.0, -2.0]), jnp.array([0.5, 1.3]), jnp.array([0.1, 0.3]), BOTH
    )
    assert policy_loss == pytest.approx(1.0 * 0.4 + 2.0 * 1.0)


def test_returns_to_come_by_hand():
    # Paid 1, 2, 4 after three observations: the first action earns 2 + 4/2, the second 4, the last nothing.
    np.testing.assert_allclose(returns_to_come(jnp.array([1.0, 2.0, 4.0]), 0.5), [4.0, 4.0, 0.0])


@pytest.mark.parametrize("baseline", [0.0, 0.3, -2.0])
@pytest.mark.parametrize("arm_rewards", [(0.2, 0.9), (1.0, 0.0)])
def test_two_armed_bandit(arm_rewards, baseline):
    """Expected over both arms, the gradient is that of -E[r] = -(1-p) r_0 - p r_1, whatever the baseline."""

    def episode(logit, arm):
        action_log_prob = jax.nn.log_sigmoid(jnp.where(arm == 1, logit, -logit))
        return reinforce_with_baseline(
            action_log_prob[None], jnp.asarray(arm_rewards)[arm], jnp.array([baseline]), BOTH[:1]
        )[0]

    logit = 0.4
    p = 1 / (1 + np.exp(-logit))
    gradient = (1 - p) * jax.grad(episode)(logit, 0) + p * jax.grad(episode)(logit, 1)
    assert gradient == pytest.approx(-p * (1 - p) * (arm_rewards[1] - arm_rewards[0]), rel=1e-5)


def test_two_armed_gaussian_policy():
    """Looking right of 0 pays 1: d/d mean P(x > 0) is the normal density at the mean."""
    mean, std, samples = 0.03, 0.05, 400_000
    locations = mean + std * jax.random.normal(jax.random.key(0), (samples,))

    def mean_loss(mean):
        def episode(location):
            log_prob = gaussian_log_prob(location[None], mean[None], std)
            return reinforce_with_baseline(log_prob[None], (location > 0).astype(float), jnp.array([0.5]), BOTH[:1])[0]

        return jax.vmap(episode)(locations).mean()

    density = np.exp(-0.5 * (mean / std) ** 2) / (std * np.sqrt(2 * np.pi))
    assert jax.grad(mean_loss)(jnp.array(mean)) == pytest.approx(-density, rel=0.01)


def test_the_baseline_learns_from_its_own_loss_only():
    def policy_loss(baselines):
        return reinforce_with_baseline(jnp.array([-1.0, -2.0]), jnp.array(0.5), baselines, BOTH)[0]

    def baseline_loss(baselines):
        return reinforce_with_baseline(jnp.array([-1.0, -2.0]), jnp.array(0.5), baselines, BOTH)[1]

    np.testing.assert_array_equal(jax.grad(policy_loss)(jnp.array([0.1, 0.3])), [0, 0])
    np.testing.assert_allclose(jax.grad(baseline_loss)(jnp.array([0.1, 0.3])), [-0.4, -0.2], rtol=1e-5)


def test_an_attached_reward_leaks_its_gradient():
    def total(reward):
        return sum(reinforce_with_baseline(jnp.array([-1.0, -2.0]), reward, jnp.array([0.1, 0.3]), BOTH))

    # Policy: 1 + 2. Baseline: mean of 2 (R - b) = (0.8 + 0.4) / 2.
    assert jax.grad(total)(jnp.array(0.5)) == pytest.approx(3.6)
