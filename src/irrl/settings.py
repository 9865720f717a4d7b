"""What the tasks' configs share. No JAX here: the command line reads configs to answer `--help`."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from numbers import Integral
from typing import Any, TypeVar, cast, get_args, get_type_hints

from irrl.errors import UserError, is_printable, shortened
from irrl.reward_names import AnyReward, check_object

C = TypeVar("C")

MOST_ROWS = 50_000
"""Of metrics in a run: so many are read back, each of at most about a thousand bytes."""

MOST_NUMBER = 1e15
"""Of a setting that is a rate, a weight or a length: float32 still holds the product of two."""

ALIASES = {"fast": "best"}
"""Older names of presets, understood wherever a task has none of that name."""

MOST_TEXT = 1_100_000
"""Characters of a setting: a map of the rooms is the longest."""


@cache
def types_of(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields, by name; also where they are annotated as text.

    Raises:
        NameError: an annotation holds a name that its module does not know while it runs.
    """
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def config_from(kind: type[C], recorded: Any, where: object) -> C:
    """The config that a file holds: the one place where what was read becomes a config.

    Args:
        kind: the task's config dataclass. A field that is not recorded gets its default: the file is older than it.
        recorded: as it was parsed.
        where: the file, for the message.

    Raises:
        UserError: it is no config of this task.
    """
    if not isinstance(recorded, Mapping):
        raise UserError(f"{where}: its config is a {type(recorded).__name__}, not names and values")
    recorded = upgraded(kind, recorded)
    # A file holds a reward's name, and text it stays: nothing that stands in a file is imported.
    known = {name: str if wanted is AnyReward else wanted for name, wanted in types_of(kind).items()}
    if unknown := sorted(set(recorded) - set(known)):
        name, value = unknown[0][:60], shortened(repr(recorded[unknown[0]]))
        raise UserError(f"{where}: a setting that this version of irrl does not know: {name!r}, which is {value}")
    try:
        for name, value in recorded.items():
            check_type(name, value, known[name])
        # JSON writes 1.0 as 1, too.
        return kind(**{name: float(value) if known[name] is float else value for name, value in recorded.items()})
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def upgraded(kind: type, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recorded config in today's terms: what `kind.upgraded` makes of it, where a config class has that.

    It is a static method that renames what was renamed. What it leaves and `kind` has not is refused as unknown.
    """
    return getattr(kind, "upgraded", dict)(recorded)


def recorded(config: Any) -> dict[str, Any]:
    """A config's fields as a file holds them, which `config_from` reads: a reward as its name.

    Raises:
        UserError: the reward has no name (`irrl.rewards.name_of`).
    """
    reward = getattr(config, "reward", "")
    if not isinstance(reward, str):
        from irrl.rewards import name_of

        config = dataclasses.replace(config, reward=name_of(reward))
    return dataclasses.asdict(config)


def part(kind: type[C], config: Any) -> C:
    """The fields that a config inherits from `kind`, as a value of their own."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cast(Any, kind))})


def check_types(config: Any) -> None:
    """Check every field of a config dataclass against its annotation."""
    for name, wanted in types_of(type(config)).items():
        check_type(name, getattr(config, name), wanted)


def check_type(name: str, value: object, wanted: Any) -> None:
    """Refuse what Python would let pass and training would misread: a misspelt choice, 3.5 glimpses."""
    if wanted is AnyReward and not isinstance(value, str):
        return check_object(value, f"`{name}`")
    choices = () if wanted is AnyReward else get_args(wanted)
    if choices and value not in choices:
        raise UserError(f"unknown `{name}` {shortened(repr(value))}; choose one of {', '.join(choices)}")
    allowed = {bool: bool, int: int, float: (int, float), str: str}.get(wanted)
    if allowed and (not isinstance(value, allowed) or isinstance(value, bool) != (wanted is bool)):
        raise UserError(f"`{name}` is {shortened(repr(value))}; it must be of type {wanted.__name__}")
    if isinstance(value, str) and not (len(value) <= MOST_TEXT and is_printable(value.replace("\n", ""))):
        raise UserError(f"`{name}` is {shortened(repr(value))}; it must be text without control characters")


def check_range(name: str, value: int, least: int, most: int = 2**31 - 1) -> None:
    """Refuse a number outside `least` to `most`."""
    if not least <= value <= most:
        raise UserError(f"`{name}` is {value}; it must be from {least} to {most}")


def check_whole(name: str, value: Any, least: int, most: int = 2**31 - 1) -> None:
    """Refuse what is no integer, Python's or NumPy's, or outside `least` to `most`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UserError(f"`{name}` is {value!r}; it must be of type int")
    check_range(name, int(value), least, most)


def check_share(name: str, value: float) -> None:
    """Refuse a number outside 0 to 1."""
    if not 0 <= value <= 1:
        raise UserError(f"`{name}` is {value}; it must lie between 0 and 1")


def check_number(name: str, value: float) -> None:
    """Refuse infinity, what is not a number, and what is beyond `MOST_NUMBER`."""
    if not -MOST_NUMBER <= value <= MOST_NUMBER:
        raise UserError(f"`{name}` is {value}; it must be a finite number, {MOST_NUMBER:g} at most")


def check_positive(name: str, value: float, *, or_zero: bool = False) -> None:
    """Refuse what is not a number above 0, or 0 where that is allowed, up to `MOST_NUMBER`."""
    if not 0 <= value <= MOST_NUMBER or (value == 0 and not or_zero):
        wanted = "at least 0" if or_zero else "a positive number"
        raise UserError(f"`{name}` is {value}; it must be {wanted}, {MOST_NUMBER:g} at most")


def preset_of(presets: Mapping[str, Any], name: str, overrides: Mapping[str, Any]) -> Any:
    """The preset called `name`, or once called so, with some fields changed.

    Raises:
        UserError: no such preset (the valid ones are listed), or a field's value is out of range.
    """
    name_now = name if name in presets else ALIASES.get(name, name)
    if name_now not in presets:
        raise UserError(f"unknown preset {name!r}; choose one of {', '.join(presets)}")
    return dataclasses.replace(presets[name_now], **overrides)
