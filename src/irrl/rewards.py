"""What a discriminator pays a policy: every reward function, its equation in its docstring.

A reward is called as `reward(log_probs, target, prior)`. The discriminator has seen the trajectory tau and holds the
log-probabilities `log q(. | tau)` over classes; `target` is the class y that was the truth, `prior` the probability
p(y) it had beforehand. All but the two accuracies are one scalar function g applied to both (Li et al. 2023,
"Internally Rewarded Reinforcement Learning", arXiv 2302.00270):

    r = g(q(y | tau)) - g(p(y))        clipped: max(r, 0)

The same reward takes NumPy, JAX and PyTorch arrays, and works under JAX's `jit`, `vmap` and `grad`. Probabilities are
floored at the smallest normal float32 (1.2e-38), so that the reward and its gradient in
`log_probs` are finite for q = 0, q = 1 and p = 1.

A target that is no class (counted from 1, or -100 for "ignore") is an error where it can be seen. Under JAX's `jit` and
`vmap`, and under PyTorch's `compile` and `vmap`, it cannot: the reward is NaN there, and so is its gradient.
"""

import abc
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Protocol, final, runtime_checkable

from array_api_compat import array_namespace, is_torch_array
from jaxtyping import Bool, Float, Integer

from irrl.errors import UserError, reason, warn
from irrl.references import resolve_typed
from irrl.reward_names import MOST_CHARACTERS, check_object, inside_clipped, not_recordable, own_name, parse, shown

Prior = float | int | Float[Any, ""] | Float[Any, " classes"]

FLOOR = 2.0**-126
LOG_FLOOR = math.log(FLOOR)


@runtime_checkable
class Reward(Protocol):
    """Anything callable as `reward(log_probs, target, prior)`; a plain function will do."""

    def __call__(
        self, log_probs: Float[Any, "*batch classes"], target: Integer[Any, "*batch"], prior: Prior
    ) -> Float[Any, "*batch"]:
        """Pay each trajectory.

        Args:
            log_probs: the discriminator's log-probabilities (nats) over classes; -inf is allowed.
            target: index of the true class, from 0.
            prior: p(y), one number for every class or a vector over classes.

        Returns:
            The rewards, in the dtype of `log_probs`; NaN for a target that is no class and cannot be seen (traced).

        Errors: `ValueError` for a target or a prior of another shape, and for a target that is no class.
        """
        ...


def class_index(
    log_probs: Float[Any, "*batch classes"], target: Integer[Any, "*batch"], xp: ModuleType
) -> tuple[Integer[Any, "*batch"], Bool[Any, "*batch"] | None]:
    """Where the true class stands in `log_probs`.

    Returns:
        `target` in the integer type that `xp` indexes with; and whether it is a class, None where that was seen.

    Errors: `ValueError` for a target of another shape, or one that is seen to be no class.
    """
    index = xp.asarray(target)
    if not xp.isdtype(index.dtype, ("integral", "bool")):
        raise ValueError(f"target is {index.dtype}: it must be whole numbers, the index of a class")
    # PyTorch would take uint8 for a mask.
    index = xp.asarray(index, dtype=xp.__array_namespace_info__().default_dtypes()["indexing"])
    # A (batch, 1) target would broadcast to (batch, batch) without a word.
    if index.shape != log_probs.shape[:-1]:
        raise ValueError(
            f"target has shape {tuple(index.shape)}, log_probs {tuple(log_probs.shape)}: no index for each"
        )
    last = log_probs.shape[-1] - 1
    known = (index >= 0) & (index <= last)
    seen = _seen(xp.all(known))
    if seen is None:
        return xp.where(known, index, 0), known
    if not seen:
        raise ValueError(f"target {int(index[~known][0])} is no class: it must be an index from 0 to {last}")
    return index, None


def _nan_unless(
    known: Bool[Any, "*batch"] | None, values: Float[Any, "*batch"], xp: ModuleType
) -> Float[Any, "*batch"]:
    """`values`, but NaN where the target is no class; so is their gradient, by the factor."""
    if known is None:
        return values
    return xp.astype(xp.where(known, values * xp.where(known, 1.0, math.nan), math.nan), values.dtype)


def _seen(all_known: Bool[Any, ""]) -> bool | None:
    """The value of an array of one truth; None while it is traced."""
    if is_torch_array(all_known) and sys.modules["torch"].compiler.is_compiling():
        return None
    try:
        return bool(all_known)
    except (TypeError, RuntimeError):  # JAX's and PyTorch's, of an array that has no value yet
        return None


@final
@dataclass(frozen=True)
class Accuracy:
    """r = 1 if argmax_y' q(y' | tau) = y, else 0 (Mnih et al. 2014, "Recurrent Models of Visual Attention").

    Ties go to the lowest index. The prior is ignored.
    """

    def __call__(
        self, log_probs: Float[Any, "*batch classes"], target: Integer[Any, "*batch"], prior: Prior
    ) -> Float[Any, "*batch"]:
        xp = array_namespace(log_probs)
        index, known = class_index(log_probs, target, xp)
        correct = xp.astype(xp.argmax(log_probs, axis=-1) == index, log_probs.dtype)
        return _nan_unless(known, correct, xp)


@final
@dataclass(frozen=True)
class SignedAccuracy:
    """r = +1 if argmax_y' q(y' | tau) = y, else -1 (Li et al. 2023, a variant of `Accuracy`)."""

    def __call__(
        self, log_probs: Float[Any, "*batch classes"], target: Integer[Any, "*batch"], prior: Prior
    ) -> Float[Any, "*batch"]:
        return 2 * Accuracy()(log_probs, target, prior) - 1


class GeneralisedReward(abc.ABC):
    """r = g(q(y | tau)) - g(p(y)) for a monotone g (Li et al. 2023): the base of the rewards below, and of your own.

    Subclass it as a frozen dataclass and write `g`. Rewards are computed in float32 or wider.
    """

    @abc.abstractmethod
    def g(self, log_q: Float[Any, "*batch"], xp: ModuleType) -> Float[Any, "*batch"]:
        """g at the probability exp(log_q).

        Keep to plain arithmetic, `self`'s fields and `xp`'s functions, and Numba can compile it too.

        Args:
            log_q: log of a probability in nats, between log 1.2e-38 and 0.
            xp: the module that has `exp`, `expm1` and `log` for this kind of array.
        """

    def __call__(
        self, log_probs: Float[Any, "*batch classes"], target: Integer[Any, "*batch"], prior: Prior
    ) -> Float[Any, "*batch"]:
        xp = array_namespace(log_probs)
        dtype = xp.result_type(log_probs.dtype, xp.float32)
        index, known = class_index(log_probs, target, xp)
        p = xp.asarray(prior, dtype=dtype)
        if p.shape not in ((), log_probs.shape[-1:]):
            raise ValueError(f"prior has shape {tuple(p.shape)}: it must be a number or one for each class")
        if p.ndim:
            p = p[index]
        log_q = xp.astype(xp.take_along_axis(log_probs, index[..., None], axis=-1)[..., 0], dtype)
        log_q = _nan_unless(known, log_q, xp)
        # The prior is floored before its log is taken: NumPy warns of log(0), and its gradient is not finite.
        reward = self.g(xp.maximum(log_q, LOG_FLOOR), xp) - self.g(xp.log(xp.maximum(p, FLOOR)), xp)
        return xp.astype(reward, log_probs.dtype)


@final
@dataclass(frozen=True)
class Log(GeneralisedReward):
    """g(q) = log q, so r = log q(y | tau) - log p(y): its mean bounds the mutual information from below.

    Gregor et al. 2016, "Variational Intrinsic Control"; Eysenbach et al. 2019, "Diversity Is All You Need".
    """

    def g(self, log_q: Float[Any, "*batch"], xp: ModuleType) -> Float[Any, "*batch"]:
        return log_q


@final
@dataclass(frozen=True)
class Linear(GeneralisedReward):
    """g(q) = q, so r = q(y | tau) - p(y): chi-square information (Li et al. 2023)."""

    def g(self, log_q: Float[Any, "*batch"], xp: ModuleType) -> Float[Any, "*batch"]:
        return xp.exp(log_q)


@final
@dataclass(frozen=True)
class BoxCox(GeneralisedReward):
    """g(q) = (q^alpha - 1) / alpha, from `Log` (alpha = 0) to `Linear` (alpha = 1) and past both.

    Box and Cox 1964, "An Analysis of Transformations". Errors: `ValueError` unless -1 <= alpha <= 1e6. Below -1, g(0)
    overflows float32; half precision already overflows below 0.
    """

    alpha: float | int

    def __post_init__(self) -> None:
        if not -1 <= self.alpha <= 1e6:
            raise ValueError(f"Box-Cox alpha is {self.alpha}: it must be a number from -1 to 1e6")

    def g(self, log_q: Float[Any, "*batch"], xp: ModuleType) -> Float[Any, "*batch"]:
        # Far below float64's resolution g is the logarithm, and float32 would round such an alpha to 0.
        if abs(self.alpha) < 1e-20:
            return log_q
        return xp.expm1(self.alpha * log_q) / self.alpha


@final
@dataclass(frozen=True)
class Clipped:
    """max(r, 0) of another reward r: a q(y | tau) below the prior is noise, not evidence (Li et al. 2023).

    `Clipped(Linear())`, max(q(y | tau) - p(y), 0), is the paper's proposal.
    """

    reward: Reward

    def __call__(
        self, log_probs: Float[Any, "*batch classes"], target: Integer[Any, "*batch"], prior: Prior
    ) -> Float[Any, "*batch"]:
        return array_namespace(log_probs).maximum(self.reward(log_probs, target, prior), 0)


_NAMED: dict[str, Reward] = {
    "accuracy": Accuracy(),
    "signed-accuracy": SignedAccuracy(),
    "log": Log(),
    "linear": Linear(),
    "clipped-log": Clipped(Log()),
    "clipped-linear": Clipped(Linear()),
}
_OF_ALPHA: dict[str, Callable[[float], Reward]] = {
    "box-cox": BoxCox,
    "clipped-box-cox": lambda alpha: Clipped(BoxCox(alpha)),
}


def names() -> tuple[str, ...]:
    """The names that `get` knows; ALPHA stands for a number, as in `box-cox:0.5`."""
    return (*_NAMED, *(f"{family}:ALPHA" for family in _OF_ALPHA))


def get(reward: str | Reward) -> Reward:
    """The reward that a name stands for; an object that is a reward comes back as it is.

    A name is one of `names()`, one of your own as `package.module:attribute`, or `clipped(NAME)`. Your attribute is a
    callable with the signature of `Reward`, or a class, of which an object is made: without arguments, or with the
    literals given as in `package.module:Attribute(0.3)`. Its module is looked for on Python's path, to the end of which
    the current directory is added. So a name out of a file must not come here: a stranger may have named any code.

    Raises:
        UserError: one line, for a name that is unknown, malformed, or does not lead to a reward, and for an object that
            is none.
    """
    if not isinstance(reward, str):
        check_object(reward)
        return reward
    if reward in _NAMED:
        return _NAMED[reward]
    if len(reward) > MOST_CHARACTERS:
        raise UserError(f"reward {reward[:60]!r}...: its name has more than {MOST_CHARACTERS:,} characters")
    if (inner := inside_clipped(reward)) is not None:
        return Clipped(get(inner))
    head, colon, tail = reward.partition(":")
    if colon and head in _OF_ALPHA:
        try:
            return _OF_ALPHA[head](float(tail))
        except ValueError:
            raise UserError(f"reward {reward!r}: ALPHA must be a number from -1 to 1e6, as in {head}:0.5") from None
    if colon:
        return _load(reward)
    raise UserError(f"unknown reward {reward!r}; {_valid()}")


def name_of(reward: str | Reward) -> str:
    """The name under which a run records a reward: `get` of it gives an equal one.

    That is a built-in name where there is one (`clipped-linear`, `box-cox:0.5`), else `module:attribute(fields)`, or
    `clipped(NAME)` of it. A text is taken for a name, and comes back as it is.

    Raises:
        UserError: no name leads back to it: it is a lambda, say, or has a field that is no literal.
    """
    if isinstance(reward, str):
        return reward
    known = (name for name, each in _NAMED.items() if type(each) is type(reward) and each == reward)
    if name := next(known, None):
        return name
    if isinstance(reward, BoxCox):
        return f"box-cox:{float(reward.alpha)!r}".removesuffix(".0")
    if isinstance(reward, Clipped):
        inner = name_of(reward.reward)
        return f"clipped-{inner}" if isinstance(reward.reward, BoxCox) else f"clipped({inner})"
    name = own_name(reward)
    try:
        if bool(get(name) == reward):
            return name
    except UserError:
        pass
    raise not_recordable(reward)


def label(reward: str | Reward) -> str:
    """What a figure or a metric calls a reward: `name_of` it, or how it prints where it has no name."""
    try:
        return name_of(reward)
    except UserError:
        return shown(reward)


def _valid() -> str:
    return (
        f"valid: {', '.join(names())}, or your own as package.module:attribute or package.module:Attribute(0.5); "
        "clipped(NAME) clips it"
    )


def _load(name: str) -> Reward:
    module, attribute, fields = parse(name)
    try:
        reward = resolve_typed(f"{module}:{attribute}")
        # Only a class of rewards is called: with fields, anything else would be some function to be run.
        if isinstance(reward, type) and issubclass(reward, Reward):
            given, by_name = fields or ((), {})
            reward, fields = reward(*given, **by_name), None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's module may raise anything
        raise UserError(f"cannot load reward {name!r} ({reason(error)}); {_valid()}") from error
    if isinstance(reward, type) or not callable(reward):
        kind = reward.__name__ if isinstance(reward, type) else type(reward).__name__
        raise UserError(f"reward {name!r} is a {kind}, not callable as (log_probs, target, prior)")
    if fields is not None:
        raise UserError(f"reward {name!r}: {module}:{attribute} is no class, so it takes no fields")
    return reward


def pay(
    reward: Reward,
    log_probs: Float[Any, "*batch classes"],
    target: Integer[Any, "*batch"],
    prior: Prior,
    name: str | Reward | None = None,
) -> Float[Any, "*batch"]:
    """What `reward` pays, be it anybody's: one real number for each trajectory, in the dtype of `log_probs`.

    Whole numbers and truth values are taken as numbers of that dtype, which is said once.

    Args:
        name: what the user calls it, a name or the reward itself; None: as it prints.

    Raises:
        UserError: it fails, or gives anything else.
    """
    called = reward if name is None else name
    try:
        paid = reward(log_probs, target, prior)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's own reward may raise anything
        raise UserError(f"the reward {shown(called)} fails: {reason(error)}") from error
    xp = array_namespace(log_probs)
    shape, dtype = getattr(paid, "shape", None), getattr(paid, "dtype", None)
    if shape != log_probs.shape[:-1] or not xp.isdtype(dtype, ("real floating", "integral", "bool")):
        given = type(paid).__name__ if dtype is None else f"{dtype} of shape {tuple(shape or ())}"
        raise UserError(
            f"the reward {shown(called)} gives {given} for log_probs of shape {tuple(log_probs.shape)}; it must give "
            "one real number for each row"
        )
    if not xp.isdtype(dtype, "real floating"):
        _warn_of_cast(shown(called), str(dtype), str(log_probs.dtype))
    return xp.asarray(paid, dtype=log_probs.dtype)


@cache
def _warn_of_cast(name: str, found: str, wanted: str) -> None:
    warn(f"the reward {name} gives {found}; taken as {wanted}")
