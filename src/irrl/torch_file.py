"""Read PyTorch tensor files (`torch.save`) without PyTorch: nothing that such a file may ask for is run.

Since PyTorch 1.6 a file is a zip archive: `NAME/data.pkl` is a pickle of the saved object, in which each tensor says
where in which `NAME/data/KEY`, its storage, its numbers lie. Before, it was a row of pickles: a magic number, the
format's version, facts on the machine, the object, the storages' keys; then each storage, a count before its numbers.
"""

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from irrl.errors import UserError, printable
from irrl.files import read_file
from irrl.plain_pickle import Name, dictionary, read_pickle, size

MOST_BYTES = 2**26
"""Of a file; a released checkpoint has 4 million. Also the numbers of a tensor, one that repeats its storage too."""
MOST_ENTRIES = 20_000
"""In an archive; reading the list of a million entries takes seconds."""
MOST_DIMENSIONS = 64
"""Of a NumPy array."""
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
"""With which files from before PyTorch 1.6 begin."""

TYPES = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": jnp.bfloat16,
    "torch.ComplexFloatStorage": np.complex64,
    "torch.ComplexDoubleStorage": np.complex128,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
    "torch.ShortStorage": np.int16,
    "torch.CharStorage": np.int8,
    "torch.ByteStorage": np.uint8,
    "torch.BoolStorage": np.bool,
    "torch.storage.UntypedStorage": np.uint8,
    "torch.uint16": np.uint16,
    "torch.uint32": np.uint32,
    "torch.uint64": np.uint64,
}
"""The storages that are read, and the types that PyTorch keeps in untyped ones: the type of their numbers."""


def read_torch_file(path: Path) -> Any:
    """Give what `torch.save` wrote: the same dictionaries, lists and numbers, each tensor a read-only NumPy array.

    A tensor that repeats its storage (`expand`) is an array with strides of 0, which occupies no more.

    Raises:
        UserError: the file is missing, damaged, larger than any such file, or asks for anything but tensors in plain
            containers; the message names what.
    """
    try:
        content = read_file(path, MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot read this file: {error.strerror or error}") from error
    try:
        return _read_zip(content) if content.startswith(b"PK\x03\x04") else _read_legacy(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # the codes of a pickle can raise anything
        text = printable(" ".join(str(error).split()))[:200]
        raise UserError(f"{path}: damaged tensor file: {type(error).__name__}: {text}") from error


def _read_zip(content: bytes) -> Any:
    if content.count(b"PK\x01\x02") > MOST_ENTRIES:
        raise UserError(f"a zip archive, but not one of torch.save: it lists more than {MOST_ENTRIES:,} entries")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        # PyTorch compresses nothing. What is not larger than the file cannot fill the memory.
        if any(entry.compress_type for entry in entries) or sum(entry.file_size for entry in entries) > len(content):
            raise UserError("a zip archive, but not one of torch.save: its entries are compressed or overlap")
        pickles = [entry.filename for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise UserError("a zip archive, but not one of torch.save: it must hold one data.pkl in a folder")
        folder = pickles[0].removesuffix("data.pkl")
        order = folder + "byteorder"
        if order in archive.namelist():
            _check_byte_order(archive.read(order) == b"little")

        def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
            numbers = archive.read(f"{folder}data/{key}")
            if len(numbers) != count * dtype.itemsize:
                raise UserError(f"damaged tensor file: storage {key[:20]!r} does not have the size that it should")
            return np.frombuffer(numbers, dtype)

        return _read_object(io.BytesIO(archive.read(pickles[0])), storage)


def _read_legacy(content: bytes) -> Any:
    stream = io.BytesIO(content)

    def plain() -> Any:
        return read_pickle(stream, {}, _no_storage)

    try:
        magic = plain()
    except Exception:
        magic = None
    if magic != MAGIC:
        raise UserError("damaged, or not a file of torch.save")
    if plain() != VERSION:
        raise UserError("a file of torch.save in a format that is not read; save it again with a newer PyTorch")
    _check_byte_order(plain()["little_endian"])
    storages: dict[str, np.ndarray] = {}
    room = len(content)

    def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        nonlocal room
        room -= count * dtype.itemsize
        if room < 0:
            raise UserError("damaged tensor file: it ends before its storages do")
        storages[key] = np.zeros(count, dtype)  # its numbers come later in the file
        return storages[key]

    value = _read_object(stream, storage)
    keys = plain()
    if set(keys) != storages.keys():
        raise UserError("damaged tensor file: its list of storages is not that of its tensors")
    for key in keys:
        array = storages[key]
        if int.from_bytes(stream.read(8), "little") != len(array):
            raise UserError(f"damaged tensor file: storage {key[:20]!r} does not have the size that it should")
        array[:] = np.frombuffer(stream.read(array.nbytes), array.dtype)
        array.flags.writeable = False
    return value


def _read_object(stream: io.BytesIO, storage: Callable[[str, np.dtype, int], np.ndarray]) -> Any:
    """The saved object; `storage` gives that of a key, of a type and a count of numbers."""
    known: dict[str, np.ndarray] = {}

    def refer(pid: Any) -> np.ndarray:
        # "storage", type, key, device, count; before PyTorch 1.6 also None, for "a part of another storage" is no more.
        if not (type(pid) is tuple and len(pid) in (5, 6) and pid[0] == "storage" and pid[5:] in ((), (None,))):
            raise UserError("damaged tensor file: it refers to something that is not a storage")
        _, kind, key, _, count = pid[:5]
        if type(kind) is not Name or type(key) is not str or type(count) is not int or not 0 <= count <= MOST_BYTES:
            raise UserError("damaged tensor file: it refers to something that is not a storage")
        dtype = np.dtype(TYPES[kind.full])
        if key not in known:
            known[key] = storage(key, dtype, count)
        if (known[key].dtype, len(known[key])) != (dtype, count):
            raise UserError(f"damaged tensor file: storage {key[:20]!r} is said to be of two kinds")
        return known[key]

    return read_pickle(stream, FUNCTIONS | dict.fromkeys(TYPES), refer)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_flags: Any) -> np.ndarray:
    """A view of `storage`, read-only; offset and strides in numbers, as in PyTorch."""
    if (
        not isinstance(storage, np.ndarray)
        or storage.ndim != 1
        or type(shape) is not tuple
        or type(stride) is not tuple
    ):
        raise UserError("damaged tensor file: a tensor is not made of a storage, a shape and strides")
    whole = all(type(number) is int and 0 <= number <= MOST_BYTES for number in (offset, *shape, *stride))
    if not whole or len(shape) != len(stride) or len(shape) > MOST_DIMENSIONS:
        raise UserError("damaged tensor file: a tensor's offset, size and strides are not whole numbers from 0")
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if math.prod(shape) > MOST_BYTES or (0 not in shape and last >= len(storage)):
        raise UserError("damaged tensor file: a tensor reaches beyond its storage, or repeats it too often")
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    bytes_of = storage.view(np.uint8)
    steps = [step * storage.itemsize for step in stride]
    view = np.ndarray(shape, storage.dtype, bytes_of, offset * storage.itemsize, steps)
    view.flags.writeable = False
    return view


def _untyped_tensor(storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, kind: Any, *_: Any):
    """As `_tensor`, of a storage of bytes: `kind` names the type of its numbers."""
    if not isinstance(storage, np.ndarray) or type(kind) is not Name:
        raise UserError("damaged tensor file: a tensor is not made of a storage and a type")
    return _tensor(storage.view(TYPES[kind.full]), offset, shape, stride)


def _first(value: Any, *_others: Any) -> Any:
    return value


FUNCTIONS: dict[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": dictionary,
    "torch.Size": size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _untyped_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
}
"""What PyTorch has called to put tensors together, and what stands for it here."""


def _check_byte_order(little: object) -> None:
    if little is not True:
        raise UserError("its numbers are not little-endian; save it again on an ordinary machine")


def _no_storage(_pid: Any) -> Any:
    raise UserError("damaged tensor file: it refers to a storage outside the saved object")
