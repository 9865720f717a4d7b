"""The MNIST files, the canvases painted from them, and the published set."""

import gzip
import hashlib
import os
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl.digits import data
from irrl.digits.data import Canvases, Mnist, Pieces, cluttered, load_mnist, published, save_npz, to_float32
from irrl.errors import UserError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(scope="module")
def mnist() -> Mnist:
    return load_mnist()


def plain_images(count: int = 10, side: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Image k is k + 1 all over, and its label is k: what is on a canvas can be read off its levels."""
    labels = np.arange(count, dtype=np.uint8)
    return np.broadcast_to((labels + 1)[:, None, None], (count, side, side)).copy(), labels


def idx(array: np.ndarray) -> bytes:
    header = [0x800 + array.ndim, *array.shape]
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


def small_mnist() -> Mnist:
    rng = np.random.default_rng(5)
    images = rng.integers(256, size=(7, 5, 5), dtype=np.uint8)
    labels = rng.integers(10, size=7, dtype=np.uint8)
    return Mnist(images[:4], labels[:4], images[4:], labels[4:])


def write_folder(folder, mnist: Mnist, names=NAMES):
    for name, array in zip(names, mnist, strict=True):
        contents = idx(array)
        (folder / name).write_bytes(gzip.compress(contents) if name.endswith(".gz") else contents)


def test_packaged_mnist_is_mnist(mnist):
    assert [array.shape for array in mnist] == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.train_labels).tolist() == counts
    assert round(mnist.train_images.mean() / 255, 4) == 0.1307


def test_published_set_bit_for_bit(mnist):
    hashes = []
    for images, labels in published(mnist):
        pixels = hashlib.sha256()
        for start in range(0, len(images), 1000):
            pixels.update(to_float32(images[start : start + 1000]).data)
        hashes += [pixels.hexdigest(), hashlib.sha256(labels.data).hexdigest()]
    assert hashes == [
        "7ff02c6224188226e7d58566df59b5c3454ef572fc82b61e11859671ad3c05e6",
        "1f65cdef48357684b083a29dfffc27e784498fc6b6247f196cb95ebdd214569e",
        "d06edeaae08ef92230bde565b36f6e648805ad8d05f8cd9f550676791966ca78",
        "64a019eccf1b367ac01f3ce6738c533983b75b58e2df2515af025a007cc6ac94",
    ]


def test_published_set_needs_mnist():
    with pytest.raises(UserError, match="60000 and 10000 images of 28x28"):
        published(small_mnist())


def test_later_distractor_covers_earlier_and_digit_is_added_and_clipped():
    source = np.array([[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[90, 80, 70], [60, 50, 40], [30, 20, 10]]], np.uint8)
    digit = np.array([[[200, 247], [248, 255]]], np.uint8)
    one = np.array([[0]])
    # Crop 4 5 / 7 8 of the first image goes to x 0, y 0; crop 80 70 / 50 40 of the second to x 1, y 1.
    clutter = Pieces(source, 2, *(np.array([pair]) for pair in ([0, 1], [0, 1], [1, 0], [0, 1], [0, 1])))
    assert data._paint(4, clutter, Pieces(digit, 2, one, one, one, one, one + 1)).tolist() == [
        [[4, 5, 0, 0], [207, 256, 70, 0], [248, 256, 40, 0], [0, 0, 0, 0]]
    ]


def test_labels_belong_to_the_digits(mnist):
    images, labels = mnist.test_images, mnist.test_labels
    made = cluttered(images, labels, len(images), np.random.default_rng(3), canvas=28, distractors=0)
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert [label_of[image.astype(np.uint8).tobytes()] for image in made.images] == made.labels.tolist()
    assert made.labels.dtype == np.int32
    # One pass over the images: each is there once, in another order.
    assert np.bincount(made.labels).tolist() == np.bincount(labels).tolist()
    assert made.labels.tolist() != labels.tolist()


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 20),
    room=st.integers(0, 9),
    distractors=st.integers(0, 5),
    size=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_canvas_is_a_digit_over_clutter(seed, count, room, distractors, size):
    images = np.random.default_rng(seed).integers(256, size=(6, 4, 4), dtype=np.uint8)
    labels = np.arange(6)
    options = {"canvas": 4 + room, "distractor_size": size}
    made = cluttered(images, labels, count, np.random.default_rng(seed), distractors=distractors, **options)
    again = cluttered(images, labels, count, np.random.default_rng(seed), distractors=distractors, **options)
    assert made.images.shape == (count, 4 + room, 4 + room)
    assert made.images.max() <= 256
    assert np.array_equal(made.images, again.images)
    assert np.array_equal(made.labels, again.labels)
    # Each digit lies whole somewhere on its canvas: no level there is below its own.
    places = data._windows(made.images, 4)
    assert (places >= images[made.labels][:, None, None]).all(axis=(3, 4)).any(axis=(1, 2)).all()
    translated = cluttered(images, labels, count, np.random.default_rng(seed), distractors=0, **options)
    assert translated.images.sum(axis=(1, 2)).tolist() == images.sum(axis=(1, 2))[translated.labels].tolist()


def test_other_seed_other_canvases():
    images, labels = plain_images()
    first, second = (cluttered(images, labels, 20, np.random.default_rng(seed), distractor_size=2) for seed in (1, 2))
    assert not np.array_equal(first.images, second.images)
    assert not np.array_equal(first.labels, second.labels)


def test_canvases_do_not_depend_on_the_block(monkeypatch):
    images, labels = plain_images()
    whole = cluttered(images, labels, 20, np.random.default_rng(1), canvas=12, distractor_size=2)
    monkeypatch.setattr(data, "_BLOCK", 7)
    blocks = cluttered(images, labels, 20, np.random.default_rng(1), canvas=12, distractor_size=2)
    assert np.array_equal(whole.images, blocks.images)


def test_digits_of_a_row_read_left_to_right_in_their_columns():
    images, labels = plain_images()
    made = cluttered(images, labels, 40, np.random.default_rng(1), canvas=15, distractors=0, digits=3)
    assert made.labels.shape == (40, 3)
    columns = made.images.reshape(40, 15, 3, 5)
    assert np.array_equal(columns.max(axis=(1, 3)), made.labels + 1)
    assert ((columns > 0).sum(axis=(1, 3)) == 9).all()
    assert (np.bincount(made.labels.ravel()) == 12).all()


def test_every_place_is_equally_likely():
    images, labels = plain_images(side=2)
    digits = cluttered(images, labels, 9000, np.random.default_rng(1), canvas=4, distractors=0).images
    corners = (data._windows(digits, 2) > 0).all(axis=(3, 4)).sum(axis=0)
    # Binomial(9000, 1/9): five standard deviations are 150.
    assert corners.shape == (3, 3)
    assert corners.sum() == 9000
    assert abs(corners - 1000).max() < 150

    clutter = cluttered(images * 20, labels, 9000, np.random.default_rng(1), canvas=4, distractors=1, distractor_size=1)
    levels, digit = clutter.images, 20 * (clutter.labels[:, None, None] + 1)
    changed = ((levels > 0) & (levels != digit)).sum(axis=0)
    # One place in 16 holds the distractor; it is missed where it is beside the digit and of the same level (1 in 13).
    assert abs(changed - 9000 / 16 * 12 / 13).max() < 5 * 23


def test_distractors_are_crops_of_all_parts_of_all_images():
    image = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3)
    images = np.concatenate([np.zeros_like(image), image, image + 20])
    made = cluttered(
        images[1:], np.zeros(2, int), 4000, np.random.default_rng(1), canvas=6, distractors=1, distractor_size=1
    )
    lone = made.images[(made.images > 0).sum(axis=(1, 2)) == 10]
    extra = lone.sum(axis=(1, 2)).astype(int)
    # A lone pixel beside a digit adds its own level to the digit's sum, 45 or 225.
    assert set(extra) == {digit + level for digit in (45, 225) for level in (*range(1, 10), *range(21, 30))}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count is 0; expected at least 1"),
        ({"count": -5}, "count is -5; expected at least 1"),
        ({"digits": 0}, "digits is 0; expected at least 1"),
        ({"distractors": -1}, "distractors is -1; expected at least 0"),
        ({"distractor_size": 0}, "distractor_size is 0; expected at least 1"),
        ({"distractor_size": 4}, "distractor_size is 4; expected at most 3, the side of an image"),
        ({"canvas": 2}, "canvas is 2; expected at least 3 for 1 digit(s) of side 3"),
        ({"canvas": -60}, "canvas is -60; expected at least 3 for 1 digit(s) of side 3"),
        ({"canvas": 11, "digits": 4}, "canvas is 11; expected at least 12 for 4 digit(s) of side 3"),
    ],
)
def test_sizes_that_cannot_be(options, message):
    images, labels = plain_images()
    options = {"count": 5, "canvas": 12, "distractor_size": 2, **options}
    with pytest.raises(UserError) as error:
        cluttered(images, labels, rng=np.random.default_rng(1), **options)
    assert str(error.value) == message


def test_no_images():
    images, labels = plain_images(count=0)
    with pytest.raises(UserError, match="the number of images is 0"):
        cluttered(images, labels, 1, np.random.default_rng(1), distractor_size=2)


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        [f"{name}.gz" for name in NAMES],
        [name.replace("-idx", ".idx") for name in NAMES],
        [name.replace("-idx", ".idx") + ".gz" for name in NAMES],
    ],
)
def test_own_folder(tmp_path, names):
    write_folder(tmp_path, small_mnist(), names)
    for loaded, written in zip(load_mnist(tmp_path), small_mnist(), strict=True):
        assert loaded.dtype == np.uint8
        assert np.array_equal(loaded, written)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=f"no train-images-idx3-ubyte .*in {tmp_path}; expected"):
        load_mnist(tmp_path)
    write_folder(tmp_path, small_mnist())
    (tmp_path / NAMES[3]).unlink()
    with pytest.raises(UserError, match="no t10k-labels-idx1-ubyte"):
        load_mnist(tmp_path)


packed = gzip.compress(idx(small_mnist().train_images), mtime=0)  # the time would stand in the names of tests
other_side = np.zeros((3, 6, 6), np.uint8)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        (NAMES[0], packed[:-20], "is truncated or corrupt"),
        (NAMES[0], packed[:50] + bytes([packed[50] ^ 255]) + packed[51:], "is truncated or corrupt"),
        (NAMES[0], b"\x1f\x8b nonsense", "is truncated or corrupt"),
        (NAMES[0], b"", "expected magic number 2051"),
        (NAMES[0], b"an html page saying not found", "expected magic number 2051"),
        (NAMES[0], idx(np.zeros(4, np.uint8)), "expected magic number 2051"),
        (NAMES[0], idx(small_mnist().train_images)[:-1], "has 115 bytes; expected 116 from its header"),
        (NAMES[0], idx(small_mnist().train_images) + b"0", "has more bytes than the 116 expected from its header"),
        (NAMES[0], idx(np.zeros((4, 5, 6), np.uint8)), "shape (4, 5, 6); expected at least one, and square"),
        (NAMES[0], idx(np.zeros((0, 5, 5), np.uint8)), "shape (0, 5, 5); expected at least one, and square"),
        (NAMES[1], idx(np.zeros(3, np.uint8)), "holds 3 labels; expected one for each of 4 images"),
        (NAMES[1], idx(np.full(4, 10, np.uint8)), "holds the label 10; expected labels 0 to 9"),
        (NAMES[2], idx(other_side), "has images of side 6; expected 5, as in train"),
        (NAMES[3], idx(other_side), "expected magic number 2049"),
    ],
)
def test_corrupt_file_is_named_in_one_line(tmp_path, name, contents, message):
    write_folder(tmp_path, small_mnist())
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError) as error:
        load_mnist(tmp_path)
    assert str(tmp_path / name) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_package_is_noticed(monkeypatch):
    monkeypatch.setitem(data.CHECKSUMS, "t10k-labels-idx1-ubyte.gz", "0" * 64)
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz is damaged"):
        load_mnist()


def test_checksums_cover_the_packaged_files():
    packaged = {file.name for file in resources.files("irrl.digits").joinpath("mnist").iterdir()}
    assert {name for name in packaged if name.endswith(".gz")} == set(data.CHECKSUMS)


def test_to_float32_is_exact():
    levels = np.array([[0, 1, 64], [128, 255, 256]], np.uint16)
    pixels = to_float32(levels)
    assert pixels.dtype == np.float32
    assert pixels.tolist() == [[0, 0.00390625, 0.25], [0.5, 0.99609375, 1]]


@pytest.mark.parametrize("digits", [1, 2])
def test_npz_round_trip(tmp_path, digits):
    images, labels = plain_images()
    rng = np.random.default_rng(1)
    train, test = (
        cluttered(images, labels, count, rng, canvas=9, distractor_size=2, digits=digits) for count in (2300, 3)
    )
    path = tmp_path / "set.npz"
    path.write_bytes(b"an older file")
    save_npz(path, train, test)
    loaded = np.load(path)
    assert sorted(loaded) == ["X_test", "X_train", "y_test", "y_train"]
    for part, canvases, count in (("train", train, 2300), ("test", test, 3)):
        pixels, answers = loaded[f"X_{part}"], loaded[f"y_{part}"]
        assert (pixels.dtype, pixels.shape) == (np.float32, (count, 81))
        assert (answers.dtype, answers.shape) == (np.int32, (count, digits))
        assert np.array_equal(pixels.reshape(count, 9, 9) * 256, canvases.images)
        assert np.array_equal(answers, canvases.labels.reshape(count, digits))
    assert [file.name for file in tmp_path.iterdir()] == ["set.npz"]


def test_failed_save_leaves_the_old_file_and_no_half_written_one(tmp_path, monkeypatch):
    path = tmp_path / "set.npz"
    path.write_bytes(b"an older file")
    canvases = Canvases(np.zeros((2, 4, 4), np.uint16), np.zeros(2, np.int32))

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_npz(path, canvases, canvases)
    assert [file.name for file in tmp_path.iterdir()] == ["set.npz"]
    assert path.read_bytes() == b"an older file"
    with pytest.raises(FileNotFoundError):
        save_npz(tmp_path / "nowhere" / "set.npz", canvases, canvases)


def test_digits_can_lie_where_the_published_ones_do():
    images = np.full((1, 28, 28), 255, np.uint8)
    canvases = cluttered(
        images, np.array([3]), 3000, np.random.default_rng(0), distractors=0, placement="published"
    ).images
    top, left = (canvases > 0).any(2).argmax(1), (canvases > 0).any(1).argmax(1)
    assert (top.min(), top.max(), left.min(), left.max()) == (0, 32, 0, 31)
    assert (top == 32).mean() == pytest.approx(28 / 60, abs=0.03)
    assert np.bincount(left, minlength=32).std() < 3 * (3000 / 32) ** 0.5


@pytest.mark.parametrize("placement", ["uniform", "published"])
@pytest.mark.parametrize("spread", [0.0, 0.25, 0.5])
def test_digits_gather_in_the_middle_as_spread_falls(placement, spread):
    images = np.full((1, 2, 2), 255, np.uint8)

    def corners(**options):
        rng = np.random.default_rng(0)
        drawn = cluttered(images, np.array([3]), 200, rng, canvas=10, distractors=0, placement=placement, **options)
        return np.array([np.argwhere(canvas)[0] for canvas in drawn.images])

    np.testing.assert_array_equal(corners(spread=1.0), corners())
    np.testing.assert_array_equal(corners(spread=spread), np.rint(4 + spread * (corners() - 4)))


def test_canvases_that_nobody_looks_at_stay_black():
    mnist = load_mnist()
    images, labels = mnist.train_images[:50], mnist.train_labels[:50]
    everything, some = (
        cluttered(images, labels, 300, np.random.default_rng(7), only=only) for only in (None, np.array([0, 3, 299]))
    )
    np.testing.assert_array_equal(some.labels, everything.labels)
    painted = [0, 3, 299]
    np.testing.assert_array_equal(some.images[painted], everything.images[painted])
    assert everything.images.reshape(300, -1).any(axis=1).all()
    assert not np.delete(some.images, painted, axis=0).any()
