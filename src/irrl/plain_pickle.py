"""Read a pickle that holds nothing but plain values: nothing that it names is called or imported.

Python's own unpickler does both, and a short pickle can crash it or keep it busy for ever. Here the standard library
only takes the pickle apart into its codes, and a loop gives the plain ones their meaning. No code does more work than
its own items are worth, so that a bound on the bytes is one on time and memory.
"""

import io
import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from irrl.errors import UserError

MOST = 2**18
"""Bytes of a pickle; items in its containers, and in what it hands to functions, each time that it does. A network of a
thousand tensors has fewer."""
MOST_DEPTH = 32
"""Containers in containers; one that holds itself is beyond it too."""
MOST_ARGUMENTS = 10

Kind = TypeVar("Kind")

LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip


@dataclass(frozen=True)
class Name:
    """What a pickle gets for a name that may stand in it: nothing but the name."""

    full: str


def read_pickle(stream: io.BytesIO, names: Mapping[str, Callable[..., Any] | None], refer: Callable[[Any], Any]) -> Any:
    """Give the value of the pickle that begins where `stream` stands, and leave the stream behind its end.

    Args:
        names: each name that may stand in it, and our function that is called where it has that name called.
        refer: gives what a persistent id, any plain value, stands for.

    Raises:
        UserError: another name, a code without plain meaning, or more than one of the bounds.
        Exception: the pickle is damaged; of many types.
    """
    begin = stream.tell()
    content = io.BytesIO(stream.read(MOST))
    try:
        value = _value(content, names, refer)
    except ValueError as error:
        if content.tell() == MOST and not isinstance(error, UserError):
            raise UserError(f"its pickle has more than {MOST:,} bytes") from error
        raise
    stream.seek(begin + content.tell())
    _check_size(value)
    return value


def _value(content: io.BytesIO, names: Mapping[str, Callable[..., Any] | None], refer: Callable[[Any], Any]) -> Any:
    stack: list[Any] = []
    marks: list[int] = []  # how high the stack was at each
    memo: dict[int, Any] = {}
    handed = 0

    def items() -> list[Any]:
        """Pop what was pushed since the last mark."""
        start = marks.pop()
        found = stack[start:]
        del stack[start:]
        return found

    def name(full: str) -> Name:
        if full not in names:
            raise UserError(f"asks for {full[:100]!r}, and only tensors in plain containers are read: not loaded")
        return Name(full)

    for opcode, found, _ in pickletools.genops(content):
        argument: Any = found
        match opcode.name:
            case code if code in LITERALS:
                stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "NONE" | "NEWTRUE" | "NEWFALSE" as code:
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[code])
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as code:
                stack.append(tuple([stack.pop() for _ in range(int(code[-1]))][::-1]))
            case "TUPLE":
                stack.append(tuple(items()))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND" | "APPENDS" as code:
                added = [stack.pop()] if code == "APPEND" else items()
                _own(stack[-1], list).extend(added)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM" | "SETITEMS" as code:
                added = [stack.pop(), stack.pop()][::-1] if code == "SETITEM" else items()
                _set(_own(stack[-1], dict), zip(added[::2], added[1::2], strict=True))
            case "GLOBAL":
                stack.append(name(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                last, module = stack.pop(), stack.pop()
                stack.append(name(f"{_own(module, str)}.{_own(last, str)}"))
            case "REDUCE":
                arguments, called = _own(stack.pop(), tuple), _own(stack.pop(), Name)
                function = names[called.full]
                if function is None or len(arguments) > MOST_ARGUMENTS:
                    raise UserError(f"damaged: it calls {called.full} with {len(arguments)} arguments")
                handed += sum(len(each) for each in arguments if isinstance(each, list | tuple))
                if handed > MOST:
                    raise UserError(f"its pickle hands over more than {MOST:,} items to be put together")
                stack.append(function(*arguments))
            case "BUILD":  # PyTorch hangs attributes on dictionaries: version numbers of modules
                stack.pop()
                _own(stack[-1], dict)
            case "BINPERSID":
                stack.append(refer(stack.pop()))
            case "PROTO" | "FRAME" | "STOP":
                pass
            case code:
                raise UserError(f"its pickle has the code {code}, which plain containers of tensors do not need")
    return stack.pop()


def dictionary(pairs: object = None) -> dict[Any, Any]:
    """An ordered dictionary, if need be of a list of pairs, as Python 2 wrote it."""
    found: dict[Any, Any] = {}
    if pairs is not None:
        _set(found, _own(pairs, list))
    return found


def size(numbers: object) -> tuple[Any, ...]:
    """The shape of a tensor."""
    return _own(numbers, tuple)


def _set(target: dict[Any, Any], pairs: Iterable[Any]) -> None:
    for key, value in pairs:
        # Of tuples and large numbers, a crafted set takes for ever to be put into a dictionary.
        if not (type(key) is str or (type(key) is int and abs(key) < 2**60)):
            raise UserError(f"a dictionary's key is a {type(key).__name__}; only text and usual numbers are read")
        target[key] = value


def _own(value: object, kind: type[Kind]) -> Kind:
    """`value`, which must be of that very type."""
    if type(value) is not kind:
        raise UserError(f"damaged: its pickle has {type(value).__name__} in the place of {kind.__name__}")
    return value


def _check_size(value: Any) -> None:
    """Refuse what a walk through all containers would not soon end in."""
    level, count = [value], 0
    for _ in range(MOST_DEPTH):
        containers = [each for each in level if isinstance(each, dict | list | tuple)]
        count += sum(map(len, containers))
        if not containers:
            return
        if count > MOST:
            raise UserError(f"more than {MOST:,} items, with shared containers counted each time")
        level = [item for each in containers for item in (each.values() if isinstance(each, dict) else each)]
    raise UserError(f"containers lie more than {MOST_DEPTH} deep in each other")
