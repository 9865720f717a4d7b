"""Any reward of `irrl.rewards`, compiled for the kernel from its own g: one source of truth for its equation."""

import dataclasses
import inspect
from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cfunc, njit, types

from irrl import rewards
from irrl.errors import UserError, reason
from irrl.reward_names import shown
from irrl.rewards import LOG_FLOOR, Accuracy, Clipped, GeneralisedReward, Reward, SignedAccuracy

SIGNATURE = types.float64(types.float64, types.boolean)


class CompiledReward(NamedTuple):
    """A reward that the kernel calls, of log q(z | s_T) and of whether z is the most probable skill."""

    pay: Any
    by_argmax: bool
    """whether it asks for the second"""
    plain: Reward
    """what was compiled"""


def compile_reward(name: str | Reward, skills: int) -> CompiledReward:
    """Compile a reward, for the prior 1 / skills.

    Args:
        name: as `rewards.get` takes it.

    Raises:
        UserError: there is no such reward, it is not of the form `g(q) - g(p)` (clipped or not), or Numba cannot
            compile its g, or makes another function of it.
    """
    try:
        reward = rewards.get(name)
        compiled = cfunc(SIGNATURE, error_model="numpy")(_scalar(reward, float(-np.log(skills))))
        _check_same(name, reward, compiled, skills)
    except (KeyboardInterrupt, UserError):
        raise
    except BaseException as error:  # Numba, and a user's own g, may raise anything
        lines = (line.strip() for line in str(error).splitlines())
        said = next((line for line in lines if line and not line.startswith(("Failed in", "-"))), reason(error))
        raise UserError(
            f"the reward {shown(name)} cannot be compiled by Numba ({said}): keep g to arithmetic, self's fields and "
            "xp's functions"
        ) from error
    return CompiledReward(compiled, _innermost(reward) in (Accuracy, SignedAccuracy), reward)


def _check_same(name: str | Reward, reward: Any, compiled: Any, skills: int) -> None:
    """Compare with the reward as it is, of probabilities from 1 down to 0."""
    probability = np.array([1.0, 0.7, 1 / skills, 0.01, 0.0])
    rest = np.repeat(((1 - probability) / (skills - 1))[:, None], skills - 1, axis=1)
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.concatenate([probability[:, None], rest], axis=1))
    wanted = rewards.pay(reward, log_probs, np.zeros(len(probability), int), 1 / skills, name)
    found = [compiled.ctypes(row[0], int(row.argmax() == 0)) for row in log_probs]
    if not np.allclose(found, wanted, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise UserError(f"the reward {shown(name)} pays {wanted} for q = {probability}, but compiled {np.array(found)}")


def _innermost(reward: Any) -> type:
    return _innermost(reward.reward) if isinstance(reward, Clipped) else type(reward)


def _scalar(reward: Any, log_prior: float) -> Callable:
    """The reward as a function of two numbers, in what Numba understands."""
    compile_it = njit(error_model="numpy")
    if isinstance(reward, Clipped):
        inner: Any = compile_it(_scalar(reward.reward, log_prior))
        return lambda log_q, correct: max(inner(log_q, correct), 0.0)
    if isinstance(reward, Accuracy):
        return lambda log_q, correct: 1.0 if correct else 0.0
    if isinstance(reward, SignedAccuracy):
        return lambda log_q, correct: 1.0 if correct else -1.0
    if not isinstance(reward, GeneralisedReward) or type(reward).__call__ is not GeneralisedReward.__call__:
        raise UserError(
            f"the reward {shown(reward)} is no plain GeneralisedReward: the tabular task needs one of the form "
            "g(q) - g(p), or Clipped of one"
        )
    g: Any = compile_it(inspect.unwrap(type(reward).g))
    # Numba knows named tuples, not dataclasses: the fields become one.
    names = [field.name for field in dataclasses.fields(reward)] if dataclasses.is_dataclass(reward) else []
    fields = namedtuple("fields", names)(*(getattr(reward, name) for name in names))
    # The mean of several posteriors may round to more than 1.
    return lambda log_q, correct: g(fields, min(max(log_q, LOG_FLOOR), 0.0), np) - g(fields, log_prior, np)
