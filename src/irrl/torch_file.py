"""Read PyTorch tensor files (`torch.save`) without PyTorch, and without running anything that such a file may ask for.

A file is a zip archive: `NAME/data.pkl` is a pickle of the saved object, in which each tensor says where in which
`NAME/data/KEY`, its storage, its numbers lie. A pickle can name any function and have it called, so this reader admits
only the names that tensors need (`find_class`), and gives harmless stand-ins of ours even for those.
"""

import io
import math
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from irrl.errors import UserError

STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}
"""The storages that are read, and the type of their numbers."""


def read_torch_file(path: Path) -> Any:
    """Give what `torch.save` wrote: the same dictionaries, lists and numbers, each tensor a read-only NumPy array.

    Raises:
        UserError: the file is missing, damaged, in the format from before PyTorch 1.6, or asks for anything but
            tensors in plain containers; the message names what.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except OSError as error:
        raise UserError(f"{path}: cannot read this file: {error.strerror or error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: damaged, or not a file of torch.save (PyTorch 1.6 or newer): {error}") from error
    except Exception as error:  # the codes of a pickle can raise anything
        raise UserError(f"{path}: damaged tensor file: {type(error).__name__}: {str(error)[:200]}") from error


def _read(archive: zipfile.ZipFile, file_size: int) -> Any:
    entries = archive.infolist()
    # PyTorch compresses nothing. What is not larger than the file cannot fill the memory.
    if any(entry.compress_type for entry in entries) or sum(entry.file_size for entry in entries) > file_size:
        raise UserError("a zip archive, but not one of torch.save: its entries are compressed or overlap")
    pickles = [entry.filename for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UserError("a zip archive, but not one of torch.save: it must hold one data.pkl in a folder")
    folder, content = pickles[0].removesuffix("data.pkl"), archive.read(pickles[0])
    order = folder + "byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise UserError("its numbers are not little-endian; save it again on an ordinary machine")
    for opcode, argument, _ in pickletools.genops(content):
        # At such a place in its table of known objects the unpickler would at once allocate everything before it.
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(content):
            raise UserError("damaged tensor file: its pickle is not consistent")
    return _Unpickler(content, archive, folder + "data/").load()


class _Dictionary(dict):
    """Stands for OrderedDict; drops the attributes that PyTorch hangs on it (version numbers of modules)."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """What it hands to a pickle: strings, read-only arrays, a dictionary, and a function of its own."""

    def __init__(self, content: bytes, archive: zipfile.ZipFile, folder: str):
        super().__init__(io.BytesIO(content))
        self._archive, self._folder = archive, folder
        self._storages: dict[str, bytes] = {}

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name in STORAGES:
            return STORAGES[full_name]
        if full_name == "collections.OrderedDict":
            return _Dictionary
        if full_name == "torch._utils._rebuild_tensor_v2":

            def tensor(*arguments: Any) -> np.ndarray:  # a new function each time, for a pickle can set its attributes
                return _tensor(*arguments)

            return tensor
        raise UserError(f"asks for {full_name[:100]!r}, and only tensors in plain containers are read: not loaded")

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key, _device, count = pid
        texts = (kind, dtype, key)
        if any(type(text) is not str for text in texts) or dtype not in STORAGES.values() or type(count) is not int:
            raise UserError("damaged tensor file: it refers to something that is not a storage")
        if key not in self._storages:
            self._storages[key] = self._archive.read(self._folder + key)
        content = self._storages[key]
        if len(content) != count * np.dtype(dtype).itemsize:
            raise UserError(f"damaged tensor file: storage {key[:20]!r} does not have the size that it should")
        return np.frombuffer(content, np.dtype(dtype).newbyteorder("<"))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_flags: Any) -> np.ndarray:
    """A view of `storage`, read-only; strides in numbers, as in PyTorch."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or type(size) is not tuple or type(stride) is not tuple:
        raise UserError("damaged tensor file: a tensor is not made of a storage, a size and strides")
    whole = all(type(number) is int and number >= 0 for number in (offset, *size, *stride))
    if not whole or len(size) != len(stride):
        raise UserError("damaged tensor file: a tensor's offset, size and strides are not whole numbers from 0")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if 0 not in size and (last >= len(storage) or math.prod(size) > len(storage)):
        raise UserError("damaged tensor file: a tensor reaches beyond its storage")
    if 0 in size:
        return np.zeros(size, storage.dtype)
    return as_strided(storage[offset:], size, [step * storage.itemsize for step in stride], writeable=False)
