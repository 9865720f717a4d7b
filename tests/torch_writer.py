"""Write PyTorch's tensor files by hand, good and bad ones, for tests: PyTorch may be missing."""

import io
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

TYPES = {
    "float16": "HalfStorage", "bfloat16": "BFloat16Storage", "float32": "FloatStorage", "float64": "DoubleStorage",
    "int64": "LongStorage", "bool": "BoolStorage",
}  # fmt: skip
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}


class Tensor(NamedTuple):
    """A tensor as it stands in a file: numbers `storage` under `key`, and the view of them."""

    storage: np.ndarray
    key: str
    offset: int
    size: tuple
    stride: tuple


def tensor(array: np.ndarray, key: str) -> Tensor:
    """A whole array, row by row."""
    stride = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
    return Tensor(array.ravel(), key, 0, array.shape, stride)


class Call(NamedTuple):
    """`name(*arguments)`, called by whoever unpickles it; `state` is set as its attributes."""

    name: str
    arguments: tuple
    state: object = None


def code(value: object, *, legacy: bool = False) -> bytes:
    """Pickle codes, protocol 2, that push `value`; `legacy`: as before PyTorch 1.6."""

    def codes(values: Iterable[object]) -> bytes:
        return b"".join(code(item, legacy=legacy) for item in values)

    if isinstance(value, Tensor):
        type_name = TYPES[value.storage.dtype.name]
        pid = b"(" + code("storage") + name("torch." + type_name)
        pid += codes([value.key, "cpu", value.storage.size, *([None] if legacy else [])]) + b"tQ"
        view = b"(" + pid + codes([value.offset, value.size, value.stride, False])
        return name("torch._utils._rebuild_tensor_v2") + view + code(Call("collections.OrderedDict", ())) + b"tR"
    if isinstance(value, Call):
        state = b"" if value.state is None else codes([value.state]) + b"b"
        return name(value.name) + codes([value.arguments]) + b"R" + state
    if isinstance(value, dict):
        return b"}(" + b"".join(codes(pair) for pair in value.items()) + b"u"
    if isinstance(value, tuple):
        return b"(" + codes(value) + b"t"
    return pickle.dumps(value, 2)[2:-1]


def name(full: str) -> bytes:
    """The code that pushes the object of a name."""
    module, _, last = full.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def tensors_in(value: object) -> list[Tensor]:
    """Every tensor in nested dictionaries and calls."""
    if isinstance(value, Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value.arguments if isinstance(value, Call) else ()
    return [found for item in inside for found in tensors_in(item)]


def write(path: Path, value: object, **options) -> Path:
    """What `torch.save` would write."""
    storages = {found.key: found.storage.tobytes() for found in tensors_in(value)}
    return write_pickle(path, b"\x80\x02" + code(value) + b".", storages, **options)


def write_legacy(path: Path, value: object, **machine) -> Path:
    """What `torch.save` wrote before PyTorch 1.6."""
    storages = {found.key: found.storage for found in tensors_in(value)}
    content = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, MACHINE | machine))
    content += b"\x80\x02" + code(value, legacy=True) + b"." + pickle.dumps(sorted(storages), 2)
    for key in sorted(storages):
        content += storages[key].size.to_bytes(8, "little") + storages[key].tobytes()
    path.write_bytes(content)
    return path


def write_pickle(path: Path, content: bytes, storages: dict[str, bytes] | None = None, **options) -> Path:
    """A file with the given pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        for key, numbers in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", numbers)
    path.write_bytes(buffer.getvalue())
    return path
