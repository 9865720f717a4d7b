"""Idx files: whatever is in one, its arrays come out right or one line says what is wrong, for little memory."""

import gzip
import math
import os
import tracemalloc
from itertools import islice

import numpy as np
import pytest

from hostile.idx import BOMB_BYTES, NAMES, folders, idx
from irrl.digits import data
from irrl.digits import idx as reader
from irrl.digits.data import load_mnist
from irrl.digits.idx import idx_shape, read_idx
from irrl.errors import UserError


def as_the_format_says(path):
    """Another reader, of files that are known to be good."""
    content = path.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    shape = [int.from_bytes(content[4 * at : 4 * at + 4], "big") for at in range(1, 1 + content[3])]
    assert len(content) == 4 + 4 * content[3] + math.prod(shape)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def found(folder, prefix, name):
    name = prefix + (name.replace("t10k", "test") if prefix else name)
    return next(path for path in (folder / name, folder / f"{name}.gz") if path.exists())


def test_damaged_files_are_read_right_or_refused_in_one_line(tmp_path):
    read, said = 0, []
    for name, folder in islice(folders(np.random.default_rng(19), tmp_path), 310):
        try:
            arrays = load_mnist(folder)
        except UserError as error:
            said.append((folder, str(error)))
            continue
        read += 1
        prefix = "emnist-mnist-" if "emnist" in name else ""
        for array, file in zip(arrays, NAMES, strict=True):
            expected = as_the_format_says(found(folder, prefix, file))
            turned = expected.swapaxes(1, 2) if prefix and "images" in file else expected
            np.testing.assert_array_equal(array, turned, err_msg=name)
    assert all(str(folder) in line and "\n" not in line for folder, line in said)
    assert read > 40 and len(said) > 200


@pytest.mark.parametrize("shape", [(3, 30, 30), (BOMB_BYTES // 900, 30, 30)])
def test_a_bomb_takes_no_memory(tmp_path, shape):
    path = tmp_path / NAMES[0]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx(np.empty((0, 0, 0), np.uint8), shape))
        for _ in range(50):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"more bytes than the 2,716 expected|promises 900,000,000 bytes"):
            read_idx(path, idx_shape(path, dimensions=3))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_images_are_not_unpacked_while_something_else_is_wrong(tmp_path, monkeypatch):
    """The header and the labels tell before; what the images would take is not spent on them."""
    write(tmp_path, labels=np.array([3, 200, 0]))
    read = []

    def watched(path, shape):
        read.append(path.name)
        return read_idx(path, shape)

    monkeypatch.setattr(data, "read_idx", watched)
    with pytest.raises(UserError, match="holds the label 200"):
        load_mnist(tmp_path)
    assert read == [NAMES[1]]


def write(folder, labels, count=3):
    images = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2)
    for name, array in zip(NAMES, 2 * (images, labels.astype(np.uint8)), strict=True):
        (folder / name).write_bytes(idx(array))


@pytest.mark.parametrize("name", NAMES)
def test_pipes_and_devices_are_not_opened(tmp_path, name):
    write(tmp_path, np.arange(3))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=f"{name}: not an ordinary file"):
        load_mnist(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/null")
    with pytest.raises(UserError, match=f"{name}: not an ordinary file"):
        load_mnist(tmp_path)


def test_a_folder_of_the_name_of_a_file_is_passed_over(tmp_path):
    """Some programs unpack train-images-idx3-ubyte.gz into a folder beside the file train-images.idx3-ubyte."""
    write(tmp_path, np.arange(3))
    (tmp_path / NAMES[0]).rename(tmp_path / "train-images.idx3-ubyte")
    (tmp_path / NAMES[0]).mkdir()
    assert load_mnist(tmp_path).train_images[2].tolist() == [[8, 9], [10, 11]]


def test_gzip_streams_one_behind_the_other_are_one_file(tmp_path, monkeypatch):
    content = idx(np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    path = tmp_path / "images.gz"
    parts = [gzip.compress(content[at : at + 5]) for at in range(0, len(content), 5)]
    path.write_bytes(b"".join(parts) + gzip.compress(b"") + bytes(100))
    assert read_idx(path, idx_shape(path, 3)).ravel().tolist() == list(range(8))
    monkeypatch.setattr(reader, "MOST_MEMBERS", len(parts))
    with pytest.raises(UserError, match=f"more than {len(parts)} gzip streams"):
        read_idx(path, (2, 2, 2))


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ("MOST_IMAGES", "holds 3 images; at most 2 are read"),
        ("MOST_BYTES", "24 bytes of images"),
    ],
)
def test_bounds_on_a_whole_set(tmp_path, monkeypatch, bound, message):
    write(tmp_path, np.arange(3))
    monkeypatch.setattr(data, bound, {"MOST_IMAGES": 3, "MOST_BYTES": 24}[bound])
    load_mnist(tmp_path)
    monkeypatch.setattr(data, bound, {"MOST_IMAGES": 2, "MOST_BYTES": 23}[bound])
    with pytest.raises(UserError, match=message):
        load_mnist(tmp_path)


def test_the_largest_honest_set_of_ten_classes_is_within_the_bounds():
    """QMNIST: the 402 953 digits of NIST for training, 60 000 for testing."""
    assert reader.MOST_BYTES >= (402_953 + 60_000) * 28 * 28
    assert data.MOST_IMAGES >= 402_953
