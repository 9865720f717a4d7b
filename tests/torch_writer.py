"""Write PyTorch's tensor files by hand, good and bad ones, for tests: PyTorch may be missing."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

TYPES = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage", "bool": "BoolStorage"}


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


def code(value: object) -> bytes:
    """Pickle codes, protocol 2, that push `value`."""
    if isinstance(value, Tensor):
        type_name = TYPES[value.storage.dtype.name]
        pid = b"(" + code("storage") + name("torch." + type_name) + code(value.key) + code("cpu")
        pid += code(value.storage.size) + b"tQ"
        view = b"(" + pid + code(value.offset) + code(value.size) + code(value.stride) + code(False)
        return name("torch._utils._rebuild_tensor_v2") + view + code(Call("collections.OrderedDict", ())) + b"tR"
    if isinstance(value, Call):
        state = b"" if value.state is None else code(value.state) + b"b"
        return name(value.name) + code(value.arguments) + b"R" + state
    if isinstance(value, dict):
        return b"}(" + b"".join(code(key) + code(item) for key, item in value.items()) + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(code, value)) + b"t"
    return pickle.dumps(value, 2)[2:-1]


def name(full: str) -> bytes:
    """The code that pushes the object of a name."""
    module, _, last = full.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def tensors_in(value: object) -> list[Tensor]:
    """Every tensor in nested dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    return [found for item in value.values() for found in tensors_in(item)] if isinstance(value, dict) else []


def write(path: Path, value: object, **options) -> Path:
    """What `torch.save` would write."""
    storages = {found.key: found.storage.tobytes() for found in tensors_in(value)}
    return write_pickle(path, b"\x80\x02" + code(value) + b".", storages, **options)


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
