"""One safetensors file holds a checkpoint: the arrays, and in its metadata the JSON state, format version and checksum.

The metadata's keys are `format` ("irrl"), `version` ("1"), `state` (JSON text) and `checksum` (SHA-256 over names,
dtypes, shapes, bytes and the state). The same content always gives the same bytes, so two checkpoints can be compared
as files. Nothing is ever unpickled. The arrays open in any safetensors reader, PyTorch's included.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import safetensors.numpy

from irrl.errors import UserError
from irrl.files import check_ordinary, parse_json, replace_file
from irrl.settings import recorded

FORMAT = "irrl"
VERSION = 1
MOST_BYTES = 1 << 30
"""Of a checkpoint file."""
MOST_HEADER_BYTES = 4 << 20
"""Of its header: names, shapes and places of its arrays, and the metadata."""


class CheckpointError(UserError):
    """A checkpoint cannot be used: missing, damaged, foreign, too new, or of another shape than asked for."""


class Checkpoint(NamedTuple):
    """What a checkpoint file holds."""

    arrays: dict[str, np.ndarray]
    """Named arrays, as `flatten` makes them."""
    state: dict[str, Any]
    """Everything else that is needed to go on, as JSON values."""


def save(path: Path, arrays: Mapping[str, np.ndarray], state: dict[str, Any]) -> None:
    """Write a checkpoint, so that at every moment `path` holds either the whole old file or the whole new one.

    `state` must consist of JSON values with text keys; arrays may be boolean, integer, float or complex64.

    Raises:
        TypeError: the state is not JSON, or an array has a dtype that could not be read back.
        OSError: the file cannot be written (full disk); what stood at `path` before still stands there.
    """
    replace_file(path, encode(arrays, state))


def save_agent(path: str | Path, task: str, config: Any, tree: Any, notes: Mapping[str, Any] | None = None) -> None:
    """Write the checkpoint of a trained agent of a task, a JAX pytree, with nothing of its training but the config.

    Args:
        notes: what else its state says, JSON values by name.

    Raises:
        UserError: the config's reward has no name.
        OSError: as for `save`.
    """
    save(Path(path), flatten(tree), {"task": task, "config": recorded(config), **(notes or {})})


def encode(arrays: Mapping[str, np.ndarray], state: dict[str, Any]) -> bytes:
    """Give the content of the file that `save` writes."""
    # The serializer takes a pointer to the data as it is: it must be in native byte order and contiguous.
    arrays = {name: np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    metadata = {"format": FORMAT, "version": str(VERSION), "checksum": _checksum(arrays, text), "state": text}
    try:
        content = safetensors.numpy.save(arrays, metadata)
        end = _header_end(content[:8], len(content))
        header, data = json.loads(content[8:end]), content[end:]
        # The serializer writes the metadata in random order; sorted, equal content gives equal files.
        header["__metadata__"] = metadata
        sorted_header = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        sorted_header += b" " * (-len(sorted_header) % 8)
        content = len(sorted_header).to_bytes(8, "little") + sorted_header + data
        _decode(content, header)
    except (safetensors.SafetensorError, CheckpointError) as error:
        raise TypeError(f"these arrays do not fit in a checkpoint: {error}") from error
    if len(content) > MOST_BYTES:
        raise CheckpointError(f"this state takes {len(content):,} bytes; a checkpoint holds {MOST_BYTES:,} at most")
    return content


def load(path: Path) -> Checkpoint:
    """Read a checkpoint and verify it.

    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint of ours, or written by a newer version.
    """
    with _naming(path), _opened(path) as (file, start, header):
        # Of a large file that is none of ours only the header was read.
        return _decode(start + file.read(MOST_BYTES), header)


def decode(content: bytes) -> Checkpoint:
    """Read what `encode` gave, and verify it.

    Raises:
        CheckpointError: as for `load`.
    """
    return _decode(content, _header(content[: _header_end(content[:8], len(content))]))


def load_state(path: Path) -> dict[str, Any]:
    """The state in a checkpoint's header. Its arrays are not read, and so its checksum is not verified.

    Raises:
        CheckpointError: as for `load`.
    """
    with _naming(path), _opened(path) as (_, _, header):
        return _state_of(header)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong while the file at `path` is read into a `CheckpointError` that names it."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read this checkpoint: {error.strerror}") from error
    except UserError as error:
        message = str(error)
        raise CheckpointError(message if message.startswith(str(path)) else f"{path}: {message}") from error


def flatten(tree: Any) -> dict[str, np.ndarray]:
    """Name every leaf of a JAX pytree by its path, like `params.classifier.weight`, and copy it to the host.

    Raises:
        ValueError: two leaves would get the same name.
    """
    named = _named_leaves(tree)
    arrays = {name: np.array(leaf) for name, leaf in named}
    if len(arrays) != len(named):
        raise ValueError(f"two leaves of this tree have the same name: {sorted(name for name, _ in named)}")
    return arrays


def unflatten(like: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Inverse of `flatten`: a tree with the structure of `like` and the values of `arrays`.

    A leaf of `like` only lends its shape, dtype and kind: a Python number gives a Python number, a NumPy array a NumPy
    array, and a JAX array or a `jax.ShapeDtypeStruct` gives a JAX array. Every array out of a file comes through here
    before it is used.

    Raises:
        CheckpointError: names, shapes or dtypes differ, or a number is NaN or infinite; the message names the first
            array of which that is so.
    """
    import jax

    named = _named_leaves(like)
    for name, leaf in named:
        if name not in arrays:
            raise CheckpointError(f"the checkpoint has no array {name!r}: it belongs to another model")
        wanted = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        found = arrays[name]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise CheckpointError(
                f"array {name!r} is {found.dtype}{list(found.shape)} in the checkpoint,"
                f" {wanted.dtype}{list(wanted.shape)} in this model"
            )
        if not np.isfinite(found).all():
            raise CheckpointError(f"array {name!r} holds NaN or infinite numbers")
    unknown = sorted(set(arrays) - {name for name, _ in named})
    if unknown:
        raise CheckpointError(f"the checkpoint has an array {unknown[0]!r} that this model has not")
    leaves = [_like(leaf, arrays[name]) for name, leaf in named]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves)


def check_task(saved: Checkpoint, task: str) -> None:
    """Refuse a checkpoint of another task.

    Raises:
        CheckpointError: it is one.
    """
    if saved.state.get("task") != task:
        raise CheckpointError(f"not a checkpoint of the task {task}")


def check_reached(saved: Checkpoint, **reached: int) -> None:
    """Refuse a checkpoint whose state tells of another point of the training than its arrays, or the rest of it, do.

    Raises:
        CheckpointError: which number differs.
    """
    for name, number in reached.items():
        if saved.state.get(name) != number:
            raise CheckpointError(f"its state says {name} {str(saved.state.get(name))[:40]}, but it is at {number}")


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256, in hexadecimal, over the arrays' names, dtypes, shapes and bytes."""
    return _checksum(arrays, "")


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]


def _like(leaf: Any, array: np.ndarray) -> Any:
    import jax.numpy as jnp

    if isinstance(leaf, np.ndarray):
        return array.copy()
    if isinstance(leaf, np.generic):
        return array[()]
    if isinstance(leaf, bool | int | float | complex):
        return array.item()
    # A copy, never a view: XLA may later reuse (donate) the buffer.
    return jnp.array(array)


def _decode(content: bytes, header: dict[str, Any]) -> Checkpoint:
    state, metadata = _state_of(header), header["__metadata__"]
    try:
        arrays = safetensors.numpy.load(content)
    # Of a header that is JSON but not safetensors', of dtypes that NumPy lacks, of more than 64 dimensions.
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"damaged or truncated: {' '.join(str(error).split())}") from error
    # The checksum covers the state's text exactly as it stands in the file.
    if metadata.get("checksum") != _checksum(arrays, metadata["state"]):
        raise CheckpointError("damaged: its checksum does not fit its content")
    return Checkpoint(arrays, state)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bytes, dict[str, Any]]]:
    """The file at `path`, open behind its header; what was read of it; and what the header says."""
    check_ordinary(path, MOST_BYTES)
    with path.open("rb") as file:
        start = file.read(8)
        start += file.read(_header_end(start, os.fstat(file.fileno()).st_size) - 8)
        yield file, start, _header(start)


def _header_end(start: bytes, size: int) -> int:
    """Where the header of a file of `size` bytes ends, by its first eight."""
    if not size:
        raise CheckpointError("the file is empty")
    end = 8 + int.from_bytes(start, "little")
    if size < 8 or end > size or end > MOST_HEADER_BYTES:
        raise CheckpointError("damaged, or not a checkpoint at all: its header cannot be read")
    return end


def _header(content: bytes) -> dict[str, Any]:
    """A header, with metadata of ours: texts by name."""
    try:
        header = parse_json(content[8:])
        metadata = header.get("__metadata__", {})
        kind, version = metadata.get("format"), metadata.get("version")
    except (ValueError, AttributeError) as error:
        raise CheckpointError("damaged, or not a checkpoint at all: its header cannot be read") from error
    if kind != FORMAT:
        raise CheckpointError(f"not a checkpoint of irrl: its metadata says format {str(kind)[:60]!r}")
    if version != str(VERSION):
        raise CheckpointError(
            f"checkpoint version {str(version)[:60]!r}, this irrl reads version {VERSION}: update irrl"
        )
    return header


def _state_of(header: dict[str, Any]) -> dict[str, Any]:
    """The state in a header."""
    try:
        state = parse_json(header["__metadata__"]["state"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"damaged: its state is not JSON ({' '.join(str(error).split())[:100]})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"damaged: its state is a {type(state).__name__}, not names and values")
    return state


def _checksum(arrays: Mapping[str, np.ndarray], state: str) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode() + b"\n")
        digest.update(array.tobytes())
    digest.update(state.encode())
    return digest.hexdigest()
