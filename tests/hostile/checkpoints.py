"""Checkpoint files that are damaged, or well sealed and odd."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from irrl import checkpoint

HUGE = 2**31 - 1
ODD_VALUES: list[Any] = [
    None, True, -1, 0, 1, HUGE, 2**63, 1e308, -1e308, float("nan"), float("inf"), "", "x", "\x1b[31mred\x1b[0m",
    "\ud800", "a" * 5000, [], [1], {}, {"a": 1}, "/etc/passwd", "evil:R", "antigravity:fly", "box-cox:nan", 1.5,
]  # fmt: skip
"""In the place of any value."""

ODD_TEXTS = [
    "", "null", "[]", "1", '"text"', "{", "not json", "{} {}", "\ufeff{}", "[" * 100_000, '{"a":' * 100_000,
    '{"step": ' + "9" * 5_000 + "}", '{"step": 1e999}', "\x00", "{'a': 1}",
]  # fmt: skip
"""In the place of JSON."""

LENGTHS = [0, 1, 7, 1000, 2**31, 2**63, 2**64 - 1]
"""That a header may claim."""


def damaged(rng: np.random.Generator, folder: Path, good: bytes) -> Iterator[tuple[str, Path]]:
    """Bytes flipped, cut, repeated, put in or overwritten, without end."""
    number = 0
    while True:
        content, number = bytearray(good), number + 1
        kind = rng.choice(["flip", "cut", "insert", "zeros", "repeat", "header"])
        # Half of all damage in the header, small as it is.
        most = min(len(content), int.from_bytes(content[:8], "little") + 8 if rng.random() < 0.5 else len(content))
        at = int(rng.integers(most))
        if kind == "flip":
            for place in rng.integers(most, size=int(rng.integers(1, 9))):
                content[place] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            del content[at:]
        elif kind == "insert":
            content[at:at] = rng.bytes(int(rng.integers(1, 64)))
        elif kind == "zeros":
            content[at : at + 64] = bytes(64)
        elif kind == "repeat":
            content += content[at:]
        else:
            content[:8] = LENGTHS[int(rng.integers(len(LENGTHS)))].to_bytes(8, "little")
        path = folder / f"damaged-{number}.safetensors"
        path.write_bytes(content)
        yield f"{kind} at {at}", path


def sealed(rng: np.random.Generator, folder: Path, good: checkpoint.Checkpoint) -> Iterator[tuple[str, Path]]:
    """Files with a right checksum, and odd metadata, settings or arrays, without end."""
    number = 0
    while True:
        number += 1
        path = folder / f"sealed-{number}.safetensors"
        kind = rng.choice(["text", "state", "config", "array", "metadata"], p=[0.15, 0.2, 0.35, 0.2, 0.1])
        arrays, state = dict(good.arrays), json.loads(json.dumps(good.state))
        name = str(kind)
        if kind == "text":
            text = ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))]
            path.write_bytes(seal(arrays, text))
        elif kind == "metadata":
            odd = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
            key = str(rng.choice(["format", "version", "state", "checksum", "__metadata__"]))
            name = f"metadata {key} {odd!r:.40}"
            path.write_bytes(seal(arrays, json.dumps(state), {key: odd}))
        elif kind == "array":
            key = str(rng.choice(sorted(arrays)))
            arrays, how = odd_array(rng, arrays, key)
            name = f"array {key} {how}"
            path.write_bytes(seal(arrays, json.dumps(state)))
        else:
            where = state if kind == "state" else state["config"]
            key = str(rng.choice(sorted(where)))
            odd = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
            if rng.random() < 0.1:
                del where[key]
                odd = "absent"
            elif rng.random() < 0.1:
                where["\x1b[31mfuture"] = odd
            else:
                where[key] = odd
            name = f"{kind} {key} {odd!r:.40}"
            path.write_bytes(seal(arrays, json.dumps(state)))
        yield name, path


def odd_array(rng: np.random.Generator, arrays: dict[str, np.ndarray], key: str) -> tuple[dict[str, np.ndarray], str]:
    """The arrays with one that is of another shape or type, NaN, missing or too many."""
    array = arrays[key]
    how = str(
        rng.choice(["shorter", "longer", "empty", "dtype", "nan", "absent", "extra", "dimensions", "scalar", "huge"])
    )
    if how == "absent":
        return {name: each for name, each in arrays.items() if name != key}, how
    odd = {
        "shorter": array[:-1] if array.ndim else array.reshape(1),
        "longer": np.concatenate([array, array]) if array.ndim else array.reshape(1),
        "empty": np.zeros(0, array.dtype),
        "dtype": array.astype(np.float64 if array.dtype != np.float64 else np.int8),
        "nan": np.full(array.shape, np.nan, array.dtype if array.dtype.kind == "f" else np.float32),
        "extra": array,
        "dimensions": array.reshape((1,) * 60 + array.shape),
        "huge": np.full(array.shape, (np.finfo if array.dtype.kind == "f" else np.iinfo)(array.dtype).max, array.dtype),
        "scalar": np.zeros((), array.dtype),
    }[how]
    return arrays | {f"{key}.more" if how == "extra" else key: odd}, how


def seal(arrays: dict[str, np.ndarray], state: str, more: dict[str, Any] | None = None) -> bytes:
    """A checkpoint file with a right checksum, whatever its state says."""
    header, data = {}, b""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(json.dumps([name, array.dtype.name, arrays[name].shape]).encode() + b"\n" + array.tobytes())
        kind = {"b": "BOOL", "u": "U", "i": "I", "f": "F"}[array.dtype.kind]
        kind += "" if kind == "BOOL" else str(8 * array.itemsize)
        places = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(arrays[name].shape), "data_offsets": places}
        data += array.tobytes()
    digest.update(state.encode())
    metadata = {"format": "irrl", "version": "1", "checksum": digest.hexdigest(), "state": state}
    header["__metadata__"] = metadata | (more or {})
    if more and "__metadata__" in more:
        header["__metadata__"] = more["__metadata__"]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data
