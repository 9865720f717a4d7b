"""Rewards as text: how one of the user's own is written, and read again without anything being run or imported.

A name is that of a built-in reward (`clipped-linear`, `box-cox:0.5`), or one's own as `module:attribute` or
`module:attribute(fields)`, where fields are Python literals; `clipped(NAME)` clips either. What a name stands for,
`irrl.rewards` says. No NumPy here: configs are read to answer `--help`.
"""

import ast
import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from irrl.errors import UserError, one_line, shortened

if TYPE_CHECKING:
    from irrl.rewards import Reward

    AnyReward = str | Reward
else:
    AnyReward = str | Callable[..., Any]  # Reward's own module needs NumPy
"""A reward, or the name of one: the type of a config's field."""

MOST_CHARACTERS = 1_000
"""Of a reward's name."""

RECORDABLE = "a frozen dataclass whose fields are numbers, texts or tuples of them, or a function, on a module's top"
"""What can be written into a run's folder and found again."""


class OwnName(NamedTuple):
    """What `module:attribute(fields)` says."""

    module: str
    attribute: str
    """dots lead to an attribute's attributes"""
    fields: tuple[tuple[Any, ...], dict[str, Any]] | None
    """positional ones, and those by name; None: no parentheses"""


def parse(name: str) -> OwnName:
    """Read the name of a reward of one's own. Fields are read as literals: no code is run.

    Raises:
        UserError: it is written wrongly.
    """
    path, parenthesis, rest = name.partition("(")
    module, _, attribute = path.partition(":")
    return OwnName(module, attribute, _fields(name, parenthesis + rest) if parenthesis else None)


def inside_clipped(name: str) -> str | None:
    """NAME of `clipped(NAME)`; None of any other name."""
    opening = "clipped("
    return name[len(opening) : -1] if name.startswith(opening) and name.endswith(")") else None


def _fields(name: str, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The literals in `(1, order=0.3)`."""
    source = f"_{text}"
    try:
        with warnings.catch_warnings(action="ignore"):  # of an odd escape in a text
            call = ast.parse(source, mode="eval").body
        # A comment, or a second line, would follow the call.
        end = (call.end_lineno, call.end_col_offset)
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or end != (1, len(source.encode())):
            raise ValueError
        keywords = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg is not None}
        if len(keywords) != len(call.keywords):
            raise ValueError
        return tuple(map(ast.literal_eval, call.args)), keywords
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise UserError(
            f"reward {name!r}: what is in its parentheses must be literals, as in my_rewards:Tsallis(order=0.5)"
        ) from None


def check_object(reward: Any, called: str = "reward") -> None:
    """Refuse an object that cannot be a config's reward.

    Args:
        called: what a message says of it.

    Raises:
        UserError: it is a class, cannot be called, or cannot be hashed.
    """
    if isinstance(reward, type):
        raise UserError(f"{called} is the class {reward.__qualname__}; it must be an object: {reward.__name__}(...)")
    if not callable(reward):
        raise UserError(
            f"{called} is {shown(reward)}; it must be of type str, the name of a reward, or callable as "
            "(log_probs, target, prior)"
        )
    try:
        hash(reward)
    except Exception:  # a user's own reward may raise anything
        raise UserError(
            f"{called} is {shown(reward)}, which cannot be hashed, as compiled programs need it: make it a frozen "
            "dataclass whose fields are numbers, texts or tuples"
        ) from None


def own_name(reward: Any) -> str:
    """`module:attribute(fields)` for a dataclass's object, `module:attribute` for a function.

    Whether that leads back to the reward is not asked here.

    Raises:
        UserError: it is neither, or a field is no literal.
    """
    kind = type(reward)
    if dataclasses.is_dataclass(reward):
        fields = {field.name: getattr(reward, field.name) for field in dataclasses.fields(reward) if field.init}
        try:
            inside = ", ".join(f"{name}={_literal(value)}" for name, value in fields.items())
        except ValueError:
            raise not_recordable(reward) from None
        return f"{kind.__module__}:{kind.__qualname__}({inside})"
    if not hasattr(reward, "__qualname__"):
        raise not_recordable(reward)
    return f"{reward.__module__}:{reward.__qualname__}"


def not_recordable(reward: Any) -> UserError:
    """The complaint about a reward that no name leads back to."""
    return UserError(
        f"the reward {shown(reward)} cannot be recorded in a run's folder: it must be {RECORDABLE}; "
        "without a folder any will do"
    )


def shown(reward: Any) -> str:
    """A reward as a message shows it."""
    return shortened(one_line(repr(reward)), 200)


def _literal(value: Any) -> str:
    """A number, a text, None, or a tuple of such, as Python writes it.

    Raises:
        ValueError: it is none of these, or a float that is no finite number.
    """
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, tuple):
        inside = "".join(f"{_literal(each)}, " for each in value)
        return f"({inside[:-1] if len(value) == 1 else inside[:-2]})"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)  # NumPy's float64 is a float, but prints otherwise
    if isinstance(value, str):
        return str.__repr__(value)
    raise ValueError
