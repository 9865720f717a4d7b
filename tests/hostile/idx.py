"""Folders of idx files as a stranger, a bad disk or a slip of the hand may leave them, and commands that read them."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hostile.no_file import device, folder, link_to_itself, missing, pipe
from irrl import checkpoint
from irrl.digits.config import PRESETS
from irrl.loading import AGENTS

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIZES = (0, 1, 2, 7, 255, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
BOMB_BYTES = 900_000_000


def cases(rng: np.random.Generator, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Without end: what is wrong, and the words after `irrl` of a command that reads it, all under `folder`.

    Some read a folder that a trained agent's settings name, or `--mnist` in its place, and then refuse to draw 0 cases.
    """
    for number, (name, mnist) in enumerate(folders(rng, folder)):
        if number % 5:
            sizes = ["--train", "5", "--test", "5", "--canvas", "30", "--distractor-size", "2"]
            yield name, ["digits", "data", "--mnist", str(mnist), "--out", str(folder / "set.npz"), *sizes]
        elif number % 10:
            yield f"{name}, named in a checkpoint", ["digits", "draw", str(_agent(folder, mnist)), "--cases", "0"]
        else:
            words = ["digits", "draw", str(_agent(folder, None)), "--mnist", str(mnist), "--cases", "0"]
            yield f"{name}, for an agent of other digits", words


def folders(rng: np.random.Generator, folder: Path) -> Iterator[tuple[str, Path]]:
    """Without end: what is wrong, and a folder of four idx files of which one is so, or none of them is there."""
    number = 0
    while True:
        kind = KINDS[number % len(KINDS)]
        mnist = folder / f"digits-{number}"
        mnist.mkdir(parents=True)
        packed = bool(rng.integers(2))
        paths = _write(mnist, honest(rng), packed=packed)
        kind(paths[rng.integers(4)], rng)
        yield f"idx: {kind.__name__.strip('_')}{', gzipped' if packed else ''}", mnist
        number += 1


def honest(rng: np.random.Generator) -> list[bytes]:
    """The content of four files that are as they should be: a few images of one small size, and their labels."""
    side = int(rng.integers(3, 12))
    contents = []
    for count in rng.integers(3, 30, 2).tolist():
        contents.append(idx(rng.integers(256, size=(count, side, side), dtype=np.uint8)))
        contents.append(idx(rng.integers(10, size=count, dtype=np.uint8)))
    return contents


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """An idx file, of which the header may promise another shape."""
    numbers = [0x800 + array.ndim, *(array.shape if shape is None else shape)]
    return b"".join(number.to_bytes(4, "big") for number in numbers) + array.tobytes()


def _write(folder: Path, contents: list[bytes], *, packed: bool) -> list[Path]:
    paths = [folder / (f"{name}.gz" if packed else name) for name in NAMES]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(gzip.compress(content, 1) if packed else content)
    return paths


def _agent(folder: Path, mnist: Path | None) -> Path:
    """A trained agent whose settings name a folder of digits."""
    arrays, state = checkpoint.load(AGENTS / "digits-fast.safetensors")
    config = replace(PRESETS["best"], data="fresh", spread_epochs=0, test_size=5, mnist=str(mnist or ""))
    path = folder / "agent.safetensors"
    checkpoint.save(path, arrays, {**state, "config": asdict(config)})
    return path


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file's content, under its gzip if it has one."""
    packed = path.suffix == ".gz"
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    path.write_bytes(gzip.compress(change(content), 1) if packed else change(content))


def _replaced(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def _nothing(path: Path, rng: np.random.Generator) -> None:
    pass


def _flipped(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 9)):
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def _flipped_inside(path: Path, rng: np.random.Generator) -> None:
    def change(content: bytes) -> bytes:
        at = int(rng.integers(min(len(content), 40)))
        return _replaced(content, at, bytes([content[at] ^ (1 << int(rng.integers(8)))]))

    _rewrite(path, change)


def _cut(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, rng.integers(path.stat().st_size))


def _cut_inside(path: Path, rng: np.random.Generator) -> None:
    _rewrite(path, lambda content: content[: rng.integers(len(content))])


def _longer(path: Path, rng: np.random.Generator) -> None:
    with path.open("ab") as file:
        file.write(rng.bytes(rng.integers(1, 200)))


def _longer_inside(path: Path, rng: np.random.Generator) -> None:
    _rewrite(path, lambda content: content + rng.bytes(rng.integers(1, 200)))


def _zeros_behind(path: Path, rng: np.random.Generator) -> None:
    with path.open("ab") as file:
        file.write(bytes(rng.integers(1, 2_000_000)))


def _size_in_header(path: Path, rng: np.random.Generator) -> None:
    dimensions = 3 if "idx3" in path.name else 1
    at = 4 + 4 * int(rng.integers(dimensions))
    _rewrite(path, lambda content: _replaced(content, at, int(rng.choice(SIZES)).to_bytes(4, "big")))


def _all_sizes_in_header(path: Path, rng: np.random.Generator) -> None:
    dimensions = 3 if "idx3" in path.name else 1
    sizes = b"".join(int(size).to_bytes(4, "big") for size in rng.choice(SIZES, dimensions))
    _rewrite(path, lambda content: _replaced(content, 4, sizes))


def _magic_number(path: Path, rng: np.random.Generator) -> None:
    _rewrite(path, lambda content: _replaced(content, 0, rng.bytes(4)))


def _label(path: Path, rng: np.random.Generator) -> None:
    file = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    _rewrite(file, lambda content: content[:-1] + bytes([rng.integers(10, 256)]))


def _not_square(path: Path, rng: np.random.Generator) -> None:
    array = rng.integers(256, size=(int(rng.integers(1, 5)), 3, 4), dtype=np.uint8)
    _rewrite(path, lambda content: idx(array))


@cache
def _bomb(promised: bool) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    header = idx(np.empty((0, 0, 0), np.uint8), (BOMB_BYTES // 900 if promised else 3, 30, 30))
    zeros = (packer.compress(bytes(900_000)) for _ in range(BOMB_BYTES // 900_000))
    return packer.compress(header) + b"".join(zeros) + packer.flush()


def _bomb_that_says_so(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.with_name(f"{path.name.removesuffix('.gz')}.gz").write_bytes(_bomb(True))


def _bomb_that_does_not(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.with_name(f"{path.name.removesuffix('.gz')}.gz").write_bytes(_bomb(False))


def _another_gzip_behind(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes() + gzip.compress(rng.bytes(rng.integers(0, 100))))


def _many_empty_gzips_behind(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes() + int(rng.integers(1, 40_000)) * gzip.compress(b""))


def _gzip_in_gzip(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(gzip.compress(gzip.compress(path.read_bytes())))


def _long_gzip_name(path: Path, rng: np.random.Generator) -> None:
    packed = gzip.compress(path.read_bytes())
    name = int(rng.integers(1, 5_000_000)) * b"n" + b"\0" * bool(rng.integers(2))
    path.write_bytes(packed[:3] + b"\x08" + packed[4:10] + name + packed[10:])


def _sparse(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, int(rng.choice([500_000_000, 2**32, 2**40])))


def _noise(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(rng.bytes(rng.integers(0, 5_000)))


def _page(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(b"<!DOCTYPE html><title>\x1b[31m404 Not Found</title>\n")


def _swapped(path: Path, rng: np.random.Generator) -> None:
    other = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    path.write_bytes(other.read_bytes())


def _no_folder(path: Path, rng: np.random.Generator) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    path.parent.write_bytes(rng.bytes(10))


def _several_sets(path: Path, rng: np.random.Generator) -> None:
    for file in list(path.parent.iterdir()):
        file.with_name(f"emnist-digits-{file.name}".replace("t10k", "test")).write_bytes(file.read_bytes())


def _emnist(path: Path, rng: np.random.Generator) -> None:
    for file in list(path.parent.iterdir()):
        file.rename(file.with_name(f"emnist-mnist-{file.name}".replace("t10k", "test")))


KINDS: tuple[Callable[[Path, np.random.Generator], Any], ...] = (
    *(_nothing, _flipped, _flipped_inside, _cut, _cut_inside, _longer, _longer_inside, _zeros_behind, _size_in_header),
    *(_all_sizes_in_header, _magic_number, _label, _not_square, _bomb_that_says_so, _bomb_that_does_not),
    *(_another_gzip_behind, _many_empty_gzips_behind, _gzip_in_gzip, _long_gzip_name, _sparse, _noise, _page, _swapped),
    *(missing, pipe, folder, device, link_to_itself, _no_folder, _several_sets, _emnist),
)
