"""A config's fields as flags of a command."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token
from docstring_parser import parse_from_object

from irrl.cli.helping import Defaults, Headings
from irrl.reward_names import AnyReward
from irrl.settings import types_of


def whole_number(type_: Any, tokens: Sequence[Token]) -> int:
    """Read an integer; 3.5 is a mistake, not 4."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is not a whole number") from None


Whole = Annotated[int, Parameter(converter=whole_number)]
"""An integer flag."""


def settings_of(
    config_class: type | None,
    aliases: Mapping[str, str] | None = None,
    group: Callable[[str], Group | None] | None = None,
) -> Callable[[Callable], Callable]:
    """Decorate a command that takes `**settings`: it gets a flag for every field of the config dataclass, if any.

    Only the flags that were given reach the command, so that they can override a preset. A field's docstring is its
    help.

    Args:
        aliases: a second flag for some fields.
        group: under which heading of the help a field stands; by default among the command's own flags.
    """

    # A class of options has defaults of its own, and no presets.
    fallback = _own_defaults(config_class) if config_class else None

    def decorate(command: Callable) -> Callable:
        signature = inspect.signature(command)
        named = [
            parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD
        ]
        # Each class knows the docstrings of its own fields only.
        classes = reversed(config_class.__mro__[:-1] if config_class else ())
        texts = {field.arg_name: field.description for each in classes for field in parse_from_object(each).params}
        flags = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    (str if wanted is AnyReward else wanted) | None,
                    Parameter(
                        name=(f"--{name.replace('_', '-')}", *filter(None, [(aliases or {}).get(name)])),
                        help=texts.get(name, ""),
                        group=group(name) if group else fallback,
                        converter=whole_number if wanted is int else None,
                    ),
                ],
            )
            for name, wanted in (types_of(config_class) if config_class else {}).items()
        ]

        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            given = {
                name: value for name, value in keywords.items() if value is not None or name in signature.parameters
            }
            return command(*arguments, **given)

        wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
        wrapper.__signature__ = signature.replace(parameters=[*named, *flags])
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in [*named, *flags]}
        return wrapper

    return decorate


def leave_out(name: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """A command of `settings_of` without one of its flags."""
    signature = inspect.signature(command)
    kept = [parameter for parameter in signature.parameters.values() if parameter.name != name]
    vars(command)["__signature__"] = signature.replace(parameters=kept)
    del command.__annotations__[name]
    return command


def _own_defaults(config_class: type) -> Group:
    return Headings(Defaults(config_class), ["Options"])["Options"]
