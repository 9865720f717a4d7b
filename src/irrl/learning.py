"""What the trainings of the neural tasks share: checks, metrics, and weights back from a checkpoint."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from irrl import checkpoint, rewards
from irrl.checkpoint import Checkpoint
from irrl.devices import in_32_bits
from irrl.errors import UserError, reason
from irrl.reward_names import shown
from irrl.rewards import Reward
from irrl.settings import config_from

C = TypeVar("C")
P = TypeVar("P")
T = TypeVar("T")


@in_32_bits
@cache  # the command line asks before it makes a folder, and training asks again
def check_reward(
    name: str | Reward,
    batch: tuple[int, ...],
    classes: int,
    prior: tuple[float, ...] | None = None,
    *,
    leak: bool = False,
) -> None:
    """Try a reward as training will call it, before anything else is done: compiled, under a gradient, and run.

    Args:
        name: as `rewards.get` takes it.
        batch: shape of what it is to pay.
        classes: of the discriminator.
        prior: p(y) as training will give it; None: one number, the same for each class.
        leak: whether the gradient is the reward's, too.

    Raises:
        UserError: there is no such reward, it fails, or it does not give one real number for each.
    """
    reward = rewards.get(name)

    def loss(log_probs: Float[Array, "*batch classes"], target: Int[Array, "*batch"]) -> Float[Array, ""]:
        given = 1 / classes if prior is None else jnp.array(prior)
        paid = rewards.pay(reward, log_probs, target, given, name)
        return (paid if leak else jax.lax.stop_gradient(paid)).sum() - log_probs.sum()

    log_probs = jax.nn.log_softmax(jnp.sin(jnp.arange(math.prod(batch) * classes)).reshape(*batch, classes))
    try:
        jax.block_until_ready(jax.jit(jax.value_and_grad(loss))(log_probs, log_probs.argmin(-1)))
    except (KeyboardInterrupt, UserError):
        raise
    except BaseException as error:  # of compiling or running what a user's own reward asks for
        raise UserError(f"the reward {shown(name)} fails: {reason(error)}") from error


def step_size(first: float, steps: int) -> optax.ScalarOrSchedule:
    """A step size that falls to a hundredth along a cosine, over `steps` steps; constant if they are 0."""
    return optax.cosine_decay_schedule(first, steps, alpha=0.01) if steps else first


def muon(
    rate: optax.ScalarOrSchedule, adam_rate: optax.ScalarOrSchedule, chosen: Callable[[Any], Any]
) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for chosen arrays, a step of rate 1 as long as Adam's usually are; Adam for all others.

    Args:
        chosen: parameters -> a tree like them, of `optax.contrib.MuonDimensionNumbers` or None.
    """
    return optax.contrib.muon(
        rate, adam_learning_rate=adam_rate, consistent_rms=0.2, muon_weight_dimension_numbers=cast(Any, chosen)
    )


def check_finite(tree: Any, when: str) -> None:
    """Refuse to go on with numbers that are none.

    Raises:
        UserError: there is a NaN or an infinity in `tree`.
    """
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)):
        raise UserError(
            f"the loss, a reward or a weight became NaN or infinite in {when}; the last checkpoint from before "
            "stands; try another `reward` or `learning_rate` in another folder"
        )


def check_answers(log_probs: Float[np.ndarray, "*batch classes"]) -> None:
    """Refuse answers that are none, though each weight is a number.

    Raises:
        UserError: a log-probability is NaN or infinite.
    """
    if not np.isfinite(log_probs).all():
        raise UserError("this agent's answers are NaN or infinite: its weights are too large to compute with")


def zero_sums(kind: type[T]) -> T:
    """Metrics of the `NamedTuple` type `kind`, all 0."""
    return kind(*(jnp.float32(0) for _ in cast(Any, kind)._fields))


def means(sums: Any) -> dict[str, float]:
    """Every sum of metrics over the first of them: the number of what was summed over."""
    number, *totals = (float(total) for total in sums)
    return {name: total / number for name, total in zip(sums._fields[1:], totals, strict=True)}


@in_32_bits
def restored(saved: Checkpoint, task: str, kind: type[C], initial_params: Callable[..., P]) -> tuple[C, P]:
    """The settings and weights in a checkpoint of a neural task.

    Args:
        task: its name.
        kind: of the settings.
        initial_params: gives weights of the right shapes, from settings and a `key`.

    Raises:
        UserError: the checkpoint's task, settings or weights are others.
    """
    checkpoint.check_task(saved, task)
    config = config_from(kind, saved.state.get("config"), "the checkpoint")
    like = jax.eval_shape(lambda: initial_params(config, key=jax.random.key(0)))
    prefix = "params."
    arrays = {name.removeprefix(prefix): array for name, array in saved.arrays.items() if name.startswith(prefix)}
    return config, checkpoint.unflatten(like, arrays)
