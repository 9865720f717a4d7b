"""Files in idx, the format of MNIST: a magic number, sizes, then bytes; plain or gzipped. Read with a bound."""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from irrl.errors import UserError
from irrl.files import check_ordinary

MOST_BYTES = 400_000_000
"""Of a file, and of what it unpacks to. The largest set of ten classes in this format, the 402 953 digits of QMNIST,
takes 316 MB."""

MOST_MEMBERS = 10_000
"""Gzip streams in a file, one behind the other. Block compressors make 6 000 of `MOST_BYTES`; empty ones take time."""

PIECE = 1 << 16
"""Bytes that are read, or unpacked, at a time."""


def idx_shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """The sizes in the header of an idx file of bytes; no more of it is read.

    Raises:
        UserError: it is unreadable, corrupt, no such file, or promises more than `MOST_BYTES`.
    """
    magic, header, start = 0x800 + dimensions, _header_bytes(dimensions), b""
    for piece in _pieces(path):
        start += piece
        if len(start) >= header:
            break
    if len(start) < header or int.from_bytes(start[:4], "big") != magic:
        raise UserError(f"{path} is not an idx file of {dimensions}-dimensional bytes; expected magic number {magic}")
    shape = tuple(int(size) for size in np.frombuffer(start, ">u4", count=dimensions, offset=4))
    if math.prod(shape) > MOST_BYTES:
        raise UserError(f"{path} promises {math.prod(shape):,} bytes in its header; at most {MOST_BYTES:,} are read")
    return shape


def read_idx(path: Path, shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """The bytes of an idx file whose header is known.

    Args:
        shape: as `idx_shape` gives it. No more memory is taken than this needs, whatever the file unpacks to.

    Raises:
        UserError: it is unreadable or corrupt, or holds more or less than its header says.
    """
    header = _header_bytes(len(shape))
    content, filled = np.empty(header + math.prod(shape), np.uint8), 0
    for piece in _pieces(path):
        end = filled + len(piece)
        if end > len(content):
            raise UserError(f"{path} has more bytes than the {len(content):,} expected from its header")
        content[filled:end] = np.frombuffer(piece, np.uint8)
        filled = end
    if filled < len(content):
        raise UserError(f"{path} has {filled:,} bytes; expected {len(content):,} from its header")
    return content[header:].reshape(shape)


def _header_bytes(dimensions: int) -> int:
    return 4 + 4 * dimensions


def _pieces(path: Path) -> Iterator[bytes]:
    """The content of a file, unpacked if it is gzipped, piece by piece."""
    try:
        check_ordinary(path, MOST_BYTES)
        with path.open("rb") as file:
            packed = file.read(PIECE)
            if packed.startswith(b"\x1f\x8b"):
                yield from _unpacked(packed, file)
                return
            while packed:
                yield packed
                packed = file.read(PIECE)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; expected an idx file of MNIST") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path} is truncated or corrupt ({error}); expected a whole gzip file") from error


def _unpacked(packed: bytes, file: BinaryIO) -> Iterator[bytes]:
    """What gzip streams hold, of which `packed` is the beginning and `file` has the rest."""
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while not member.eof:
            packed = packed or file.read(PIECE)
            if not packed:
                raise EOFError("it ends too early")
            yield member.decompress(packed, PIECE)
            packed = member.unconsumed_tail
        packed = member.unused_data.lstrip(b"\0")  # archives fill up with zeros
        while not packed and (more := file.read(PIECE)):
            packed = more.lstrip(b"\0")
        if not packed:
            return
    raise EOFError(f"more than {MOST_MEMBERS:,} gzip streams in one file")
