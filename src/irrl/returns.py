"""Policy-gradient losses."""

import jax
from jaxtyping import Array, Float


def reinforce_with_baseline(
    action_log_probs: Float[Array, "time"],
    reward: Float[Array, ""],
    baselines: Float[Array, "time"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """REINFORCE (Williams, 1992) for one episode whose single reward credits every action.

    Args:
        action_log_probs: `log pi(a_t)`, the actions themselves being constants.
        reward: the episode's reward R. A gradient it carries is kept: pass `stop_gradient(reward)` for the theory's
            estimator.
        baselines: `b_t`, predictions of R. They are detached in the policy loss, trained by the second term alone.

    Returns:
        `sum_t -log pi(a_t) (R - b_t)` and `mean_t (b_t - R)^2`.
    """
    advantages = reward - jax.lax.stop_gradient(baselines)
    return -(action_log_probs * advantages).sum(), ((baselines - reward) ** 2).mean()
