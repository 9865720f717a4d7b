"""What the neural tasks share: checks, metrics, and weights back from a checkpoint."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from irrl import checkpoint, rewards
from irrl.checkpoint import Checkpoint
from irrl.errors import UserError
from irrl.settings import config_from

C = TypeVar("C")
P = TypeVar("P")
T = TypeVar("T")


def check_reward(name: str, classes: int, things: str, prior: Sequence[float] | None = None) -> None:
    """Try a reward on a batch of two, before anything else is done.

    Args:
        name: as `rewards.get` takes it.
        classes: of the discriminator.
        things: what it is given one number for each of.
        prior: p(y) as training will give it; None: one number, the same for each class.

    Raises:
        UserError: there is no such reward, it fails, or it does not give one number for each.
    """
    try:
        reward = rewards.get(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    log_probs, target = jax.ShapeDtypeStruct((2, classes), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.int32)
    given = 1 / classes if prior is None else jnp.array(prior)
    try:
        paid = jax.eval_shape(lambda log_probs, target: reward(log_probs, target, given), log_probs, target)
    except (Exception, SystemExit) as error:  # a user's own reward may raise anything
        raise UserError(f"the reward {name!r} fails: {type(error).__name__}: {error}") from error
    if getattr(paid, "shape", None) != (2,):
        raise UserError(f"the reward {name!r} gives {paid} for 2 {things}; it must give one number for each")


def check_finite(tree: Any, when: str) -> None:
    """Refuse to go on with numbers that are none.

    Raises:
        UserError: there is a NaN or an infinity in `tree`.
    """
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)):
        raise UserError(
            f"the loss, a reward or a weight became NaN or infinite in {when}; the last checkpoint from before "
            "stands; try another --reward or --learning-rate in another folder"
        )


def zero_sums(kind: type[T]) -> T:
    """Metrics of the `NamedTuple` type `kind`, all 0."""
    return kind(*(jnp.float32(0) for _ in cast(Any, kind)._fields))


def means(sums: Any) -> dict[str, float]:
    """Every sum of metrics over the first of them: the number of what was summed over."""
    number, *totals = (float(total) for total in sums)
    return {name: total / number for name, total in zip(sums._fields[1:], totals, strict=True)}


def restored(saved: Checkpoint, kind: type[C], initial_params: Callable[..., P]) -> tuple[C, P]:
    """The settings and weights in a checkpoint of a neural task.

    Args:
        kind: of the settings.
        initial_params: gives weights of the right shapes, from settings and a `key`.

    Raises:
        UserError: the checkpoint's settings or weights are others.
    """
    config = config_from(kind, saved.state.get("config"), "the checkpoint")
    like = jax.eval_shape(lambda: initial_params(config, key=jax.random.key(0)))
    prefix = "params."
    arrays = {name.removeprefix(prefix): array for name, array in saved.arrays.items() if name.startswith(prefix)}
    return config, checkpoint.unflatten(like, arrays)
