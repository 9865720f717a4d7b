"""Cluttered MNIST: MNIST, and the canvases made from it.

A canvas is a larger black image that holds one digit (or several, side by side) at a random place, among distractors:
small crops of random digits that look like strokes and mean nothing (Mnih et al., 2014, "Recurrent Models of Visual
Attention", section 4.1; its settings here are those of Li et al., 2023, "Internally Rewarded Reinforcement Learning").
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int32, Integer, UInt8, UInt16

from irrl.digits.idx import MOST_BYTES, idx_shape, read_idx
from irrl.errors import UserError
from irrl.files import read_file, replace_file

CLASSES = 10

BLOCK = 10_000
"""Images that are turned upright at a time."""

MOST_IMAGES = 1_000_000
"""In either part of a data set."""

PACKAGED = Path(__file__).parent / "mnist"

LAYOUTS = {"": "t10k", "emnist-digits-": "test", "emnist-mnist-": "test"}
"""What stands before `train` in the files' names, and what their other part is called."""

CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}
"""SHA-256 of each packaged MNIST file."""

FULL_LEVEL = 256
"""The level that stands for 1.0. MNIST's bytes stop at 255; a digit added onto a distractor reaches 256."""

# The pixels touched in 256 canvases of 60x60 stay in a core's second-level cache through all passes over the block.
_BLOCK = 256


class Mnist(NamedTuple):
    """Labelled square greyscale images, 0 (background) to 255 (ink), in MNIST's two parts."""

    train_images: UInt8[np.ndarray, "train side side"]
    train_labels: UInt8[np.ndarray, " train"]
    test_images: UInt8[np.ndarray, "test side side"]
    test_labels: UInt8[np.ndarray, " test"]

    def digest(self) -> str:
        """SHA-256, in hexadecimal, over all of it: by this a run knows its data again."""
        digest = hashlib.sha256()
        for name, array in self._asdict().items():
            digest.update(f"{name} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class Canvases(NamedTuple):
    """Canvases, their pixels in units of 1/256 (see `to_float32`), and the digits on each.

    `labels` has shape (count,) where a canvas holds one digit, (count, digits) from left to right where it holds more.
    """

    images: UInt16[np.ndarray, "count canvas canvas"]
    labels: Int32[np.ndarray, " count *digits"]


class Pieces(NamedTuple):
    """Squares cut out of images and where they go: `pieces` of them to a canvas, in the order they are laid."""

    source: UInt8[np.ndarray, "images side side"]
    size: int
    image: Int[np.ndarray, "count pieces"]
    """Index into `source`."""
    cut_x: Int[np.ndarray, "count pieces"]
    """Left column of the square in its image; `cut_y` is its top row."""
    cut_y: Int[np.ndarray, "count pieces"]
    x: Int[np.ndarray, "count pieces"]
    """Left column of the square on its canvas; `y` is its top row."""
    y: Int[np.ndarray, "count pieces"]

    def of(self, canvases: Int[np.ndarray, " some"]) -> "Pieces":
        """Those of some canvases."""
        return Pieces(self.source, self.size, *(each[canvases] for each in self[2:]))


def load_mnist(folder: Path | None = None) -> Mnist:
    """Load MNIST: the packaged copy, or a folder of the user's own files in MNIST's idx format.

    `folder` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte` (or `.idx3-ubyte`, `.idx1-ubyte`), each plain or gzipped (`.gz`), with images of any one
    square size and labels 0 to 9. Or EMNIST's files of its digits or mnist split by their own names
    (`emnist-digits-train-images-idx3-ubyte`, ...); their images are stored transposed, and are turned upright.

    Raises `UserError` naming the file when one is missing, unreadable, corrupt, too large (`MOST_IMAGES`, `MOST_BYTES`)
    or does not match the others. Images are unpacked once all else is known to be right. The packaged files must also
    have their SHA-256 (`CHECKSUMS`).
    """
    if folder is None:
        folder = PACKAGED
        for name in CHECKSUMS:
            _check_packaged(folder / name)
    prefix = _prefix(folder)
    train, test = (_labelled(folder, prefix + part) for part in ("train", LAYOUTS[prefix]))
    if test.side != train.side:
        raise UserError(f"{test.images} has images of side {test.side}; expected {train.side}, as in train")
    total = sum(len(part.labels) * part.side**2 for part in (train, test))
    if total > MOST_BYTES:
        raise UserError(f"{folder} holds {total:,} bytes of images; at most {MOST_BYTES:,} are read")

    def images(part: _Part) -> UInt8[np.ndarray, "images side side"]:
        found = read_idx(part.images, (len(part.labels), part.side, part.side))
        # In their place: there may be no room for all of them twice.
        for first in range(0, len(found) if prefix.startswith("emnist") else 0, BLOCK):
            block = found[first : first + BLOCK]
            block[:] = block.swapaxes(1, 2).copy()
        return found

    return Mnist(images(train), train.labels, images(test), test.labels)


def _check_packaged(file: Path) -> None:
    try:
        found = hashlib.sha256(read_file(file, MOST_BYTES)).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; install irrl again") from error
    if found != CHECKSUMS[file.name]:
        raise UserError(f"{file} is damaged: its SHA-256 is not {CHECKSUMS[file.name]}; install irrl again")


def _prefix(folder: Path) -> str:
    """Which of `LAYOUTS` the folder has."""
    found = [prefix for prefix in LAYOUTS if _find(folder, f"{prefix}train-images", "idx3-ubyte")]
    if len(found) > 1:
        sets = " and ".join(f"{prefix}train-images" for prefix in found)
        raise UserError(f"{folder} holds several data sets ({sets}); expected one, in a folder of its own")
    return found[0] if found else ""


class _Part(NamedTuple):
    """Training or test images, not yet read, and their labels."""

    images: Path
    side: int
    labels: UInt8[np.ndarray, " images"]


def _labelled(folder: Path, part: str) -> _Part:
    files = []
    for stem, kind in ((f"{part}-images", "idx3-ubyte"), (f"{part}-labels", "idx1-ubyte")):
        file = _find(folder, stem, kind)
        if file is None:
            raise UserError(f"no {stem}-{kind} or {stem}-{kind}.gz in {folder}; expected MNIST's four idx files there")
        files.append(file)
    images, labels_file = files
    (count, *sides), (labels_count,) = idx_shape(images, dimensions=3), idx_shape(labels_file, dimensions=1)
    if not count or not sides[0] or sides[0] != sides[1]:
        raise UserError(f"{images} holds images of shape {(count, *sides)}; expected at least one, and square")
    if labels_count != count:
        raise UserError(f"{labels_file} holds {labels_count} labels; expected one for each of {count} images")
    if count > MOST_IMAGES:
        raise UserError(f"{images} holds {count:,} images; at most {MOST_IMAGES:,} are read")
    labels = read_idx(labels_file, (count,))
    if labels.max() >= CLASSES:
        raise UserError(f"{labels_file} holds the label {labels.max()}; expected labels 0 to {CLASSES - 1}")
    return _Part(images, sides[0], labels)


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    files = [folder / f"{stem}{separator}{kind}{packed}" for separator in "-." for packed in ("", ".gz")]
    try:
        # A folder of that name is how some programs unpack a file; whatever else is there is looked at, and refused.
        return next((file for file in files if file.exists() and not file.is_dir()), None)
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}; expected a folder with MNIST's idx files") from error


def cluttered(
    images: UInt8[np.ndarray, "images side side"],
    labels: Integer[np.ndarray, " images"],
    count: int,
    rng: np.random.Generator,
    *,
    canvas: int = 60,
    distractors: int = 4,
    distractor_size: int = 8,
    digits: int = 1,
    placement: Literal["uniform", "published"] = "uniform",
    spread: float = 1.0,
    only: Int[np.ndarray, " painted"] | None = None,
) -> Canvases:
    """Make `count` random canvases of `canvas` x `canvas` pixels.

    Each gets `distractors` crops of `distractor_size` x `distractor_size` from random images at random places, a later
    one covering an earlier one, and then `digits` digits, added onto what is there and clipped at 1. The canvas is
    split into one column for each digit, and every whole place inside its column is equally likely; with `placement`
    published, digits lie as in the published set: never at the right edge, and 28 of 60 at the bottom edge (canvas 60).
    With `spread` below 1 they lie nearer to the middle of their column: at that share of their distance, rounded.
    No distractors makes Translated MNIST. Digits are dealt from one shuffled pass over `images` after another, so that
    each is used equally often. Where `only` names some canvases, all others stay black.

    The same `rng` state and arguments give the same canvases. Raises `UserError` for sizes that cannot be.
    """
    side, column = images.shape[1], canvas // max(digits, 1)
    for name, value, least in (
        ("count", count, 1),
        ("digits", digits, 1),
        ("distractors", distractors, 0),
        ("distractor_size", distractor_size, 1),
        ("the number of images", len(images), 1),
    ):
        if value < least:
            raise UserError(f"{name} is {value}; expected at least {least}")
    if len(labels) != len(images):
        raise UserError(f"there are {len(labels)} labels; expected one for each of {len(images)} images")
    if distractors and distractor_size > side:
        raise UserError(f"distractor_size is {distractor_size}; expected at most {side}, the side of an image")
    if column < side:
        raise UserError(f"canvas is {canvas}; expected at least {digits * side} for {digits} digit(s) of side {side}")

    def draw(bound: int, pieces: int) -> Int[np.ndarray, "count pieces"]:
        return rng.integers(bound, size=(count, pieces))

    passes = -(-count * digits // len(images))
    dealt = np.concatenate([rng.permutation(len(images)) for _ in range(passes)])[: count * digits]
    dealt = dealt.reshape(count, digits)
    if placement == "published" and column > side:
        across, down = draw(column - side, digits), np.minimum(draw(canvas, digits), canvas - side)
    else:
        across, down = draw(column - side + 1, digits), draw(canvas - side + 1, digits)
    across, down = (
        np.rint(middle + spread * (place - middle)).astype(int)
        for place, middle in ((across, (column - side) / 2), (down, (canvas - side) / 2))
    )
    across += np.arange(digits) * canvas // digits
    size = min(distractor_size, side)  # without distractors the size need not fit the images
    cuts, places = side - size + 1, canvas - size + 1
    clutter = (draw(bound, distractors) for bound in (len(images), cuts, cuts, places, places))
    pieces = Pieces(images, size, *clutter), _whole(images, dealt, across, down)
    if only is None:
        painted = _paint(canvas, *pieces)
    else:
        painted = np.zeros((count, canvas, canvas), np.uint16)
        painted[only] = _paint(canvas, *(each.of(only) for each in pieces))
    return Canvases(painted, labels[dealt if digits > 1 else dealt[:, 0]].astype(np.int32))


def _whole(
    source: UInt8[np.ndarray, "images side side"],
    image: Int[np.ndarray, "count pieces"],
    x: Int[np.ndarray, "count pieces"],
    y: Int[np.ndarray, "count pieces"],
) -> Pieces:
    corner = np.zeros_like(image)
    return Pieces(source, source.shape[1], image, corner, corner, x, y)


def _paint(canvas: int, clutter: Pieces, digits: Pieces) -> UInt16[np.ndarray, "count {canvas} {canvas}"]:
    # Indexing windows is 1.5 times quicker than scattering by flat index, 2.7 times than a Python loop over canvases.
    levels = np.zeros((len(digits.image), canvas, canvas), np.uint16)
    crops, whole_images = _windows(clutter.source, clutter.size), _windows(digits.source, digits.size)
    for start in range(0, len(levels), _BLOCK):
        block = levels[start : start + _BLOCK]
        each = np.arange(len(block))
        places = _windows(block, clutter.size)
        for cut, (y, x) in _layers(clutter, start, len(block)):
            places[each, y, x] = crops[cut]
        places = _windows(block, digits.size)
        for cut, (y, x) in _layers(digits, start, len(block)):
            ink = places[each, y, x]
            ink += whole_images[cut]
            places[each, y, x] = np.minimum(ink, FULL_LEVEL, out=ink)
    return levels


def _windows(images: Integer[np.ndarray, "images side side"], size: int) -> Integer[np.ndarray, "images y x size size"]:
    """Every square of `size` x `size` of each image: a view [image, y, x, row, column], writeable where they are."""
    writeable = images.flags.writeable
    return np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2), writeable=writeable)


def _layers(pieces: Pieces, start: int, count: int) -> Iterator[tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]]:
    """For the first piece of each of `count` canvases, then the second and so on: where it is cut, where it is laid."""
    for piece in range(pieces.image.shape[1]):
        at = slice(start, start + count), piece
        yield (pieces.image[at], pieces.cut_y[at], pieces.cut_x[at]), (pieces.y[at], pieces.x[at])


def published(mnist: Mnist) -> tuple[Canvases, Canvases]:
    """Make the published data set, training and test canvases, bit for bit: 60 000 and 10 000 of 60x60.

    It was drawn one number at a time from NumPy's legacy generator with the seed 1234. Raises `UserError` when `mnist`
    is not of MNIST's size.
    """
    if not is_of_mnists_size(mnist):
        sizes = (mnist.train_images.shape, mnist.test_images.shape)
        raise UserError(f"the published set needs MNIST itself, 60000 and 10000 images of 28x28; these are {sizes}")
    bits = _legacy_bits(1234)
    crops = _legacy_draws(bits, (60_000, 20, 20), 100_000)

    def canvas_draws(images: int, count: int) -> Int[np.ndarray, "count draws"]:
        # Digit, x, y, then a slope that matters only to sequences of digits, then crop, x, y of the four distractors.
        return _legacy_draws(bits, (images, 32, 60, 28) + 4 * (100_000, 52, 52), count)

    canvas_draws(50_000, 400)  # example canvases that were not kept, but moved the stream on
    parts = []
    for images, labels in ((mnist.train_images, mnist.train_labels), (mnist.test_images, mnist.test_labels)):
        draws = canvas_draws(len(images), len(images))
        image, x, y = (draws[:, [field]] for field in range(3))
        cut_from, cut_x, cut_y = np.moveaxis(crops[draws[:, 4::3]], -1, 0)
        # Test canvases, too, have their distractors from training digits.
        clutter = Pieces(mnist.train_images, 8, cut_from, cut_x, cut_y, draws[:, 5::3], draws[:, 6::3])
        digits = _whole(images, image, x, np.minimum(y, 60 - 28))
        parts.append(Canvases(_paint(60, clutter, digits), labels[image[:, 0]].astype(np.int32)))
    return parts[0], parts[1]


def is_of_mnists_size(mnist: Mnist) -> bool:
    """Whether the published canvases can be made of it."""
    return (mnist.train_images.shape, mnist.test_images.shape) == ((60_000, 28, 28), (10_000, 28, 28))


def _legacy_bits(seed: int) -> Iterator[int]:
    generator = np.random.RandomState(seed)
    while True:
        yield from generator.randint(0, 2**32, size=1 << 20, dtype=np.uint32).tolist()


def _legacy_draws(bits: Iterator[int], bounds: tuple[int, ...], rows: int) -> Int[np.ndarray, "rows bounds"]:
    """What `rows` rounds of scalar `RandomState.randint(bound)`, for each bound in turn, would have drawn.

    Each keeps the low bits of the next 32-bit output that the bound needs, and tries again while they are too large.
    Walking the raw outputs takes a second; making the 1.4 million calls takes ten times as long.
    """
    masks = [(bound, (1 << (bound - 1).bit_length()) - 1) for bound in bounds]
    drawn = []
    for bound, mask in masks * rows:
        value = next(bits) & mask
        while value >= bound:
            value = next(bits) & mask
        drawn.append(value)
    return np.array(drawn).reshape(rows, len(bounds))


def to_float32(levels: UInt16[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Levels 0 to 256 as pixels in [0, 1]: levels / 256, which float32 holds exactly."""
    return levels * np.float32(1 / FULL_LEVEL)


def save_npz(path: Path, train: Canvases, test: Canvases) -> None:
    """Write `X_train y_train X_test y_test` for `numpy.load`.

    X is float32 in [0, 1] of shape (count, canvas * canvas), y is int32 of shape (count, 1), or (count, digits) of more
    digits. `path` appears only when it is complete, replacing an older file; an `OSError` (an unwritable folder, a full
    disk) leaves what was there.
    """

    content = io.BytesIO()
    # Canvases are mostly black: the fastest compression makes 37 MB of the published set's 1 GB in about 7 s; the
    # default level takes twice as long for 6 MB less.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for part, (images, labels) in (("train", train), ("test", test)):
            _write_npy(archive, f"X_{part}", images.reshape(len(images), -1), to_float32)
            _write_npy(archive, f"y_{part}", labels.reshape(len(labels), -1), np.asarray)
    replace_file(path, content.getvalue())


def _write_npy(
    archive: zipfile.ZipFile,
    name: str,
    rows: Integer[np.ndarray, "count values"],
    convert: Callable[[np.ndarray], np.ndarray],
) -> None:
    # A thousand rows at a time: the published set's canvases take a gigabyte as float32.
    header = {"descr": convert(rows[:0]).dtype.str, "fortran_order": False, "shape": rows.shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), 1000):
            file.write(convert(rows[start : start + 1000]).tobytes())
