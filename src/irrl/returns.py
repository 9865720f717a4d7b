"""Policy-gradient losses."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def reinforce_with_baseline(
    action_log_probs: Float[Array, " time"],
    returns: Float[Array, " time"] | Float[Array, ""],
    baselines: Float[Array, " time"],
    acting: Bool[Array, " time"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """REINFORCE (Williams, 1992) for one episode.

    Args:
        action_log_probs: `log pi(a_t)`, the actions themselves being constants.
        returns: `R_t`, what each action is credited with; one number credits all alike. A gradient they carry
            is kept: pass `stop_gradient(returns)` for the theory's estimator.
        baselines: `b_t`, predictions of `R_t`. They are detached in the policy loss, trained by the second term alone.
        acting: false once the episode is over: such steps are left out.

    Returns:
        `sum_t -log pi(a_t) (R_t - b_t)` and `mean_t (b_t - R_t)^2`.
    """
    advantages = returns - jax.lax.stop_gradient(baselines)
    policy_loss = -jnp.where(acting, action_log_probs * advantages, 0).sum()
    return policy_loss, jnp.where(acting, (baselines - returns) ** 2, 0).sum() / acting.sum()


def returns_to_come(rewards: Float[Array, " time *batch"], discount: float) -> Float[Array, " time *batch"]:
    """`R_t = r_{t+1} + discount * R_{t+1}`: what an action after observation t is paid by later ones; `R_T = 0`.

    Args:
        rewards: `r_t`, paid after observation t.
    """

    def step(later, reward):
        return reward + discount * later, later

    return jax.lax.scan(step, jnp.zeros_like(rewards[0]), rewards, reverse=True)[1]
