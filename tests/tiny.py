"""A training small enough for tests: MNIST-like files of plain bars, and settings that learn them in seconds."""

import gzip
from pathlib import Path

import numpy as np

SETTINGS = {
    "data": "fresh", "train_size": 300, "test_size": 100, "canvas": 16, "distractors": 1, "distractor_size": 3,
    "patch": 8, "glimpses": 3, "sensor_units": 16, "hidden_units": 32, "locator_units": 8, "batch": 32,
    "learning_rate": 3e-3, "seed": 1,
}  # fmt: skip


def flags_of(settings: dict) -> list[str]:
    """Settings as they are written on the command line."""
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


FLAGS = flags_of(SETTINGS)
FASTER = {"agent": "fast", "spread_epochs": 5, "decay_epochs": 9, "part": 8}
"""What the preset fast adds."""


def write_mnist(folder: Path, train: int = 200, test: int = 60, side: int = 8) -> Path:
    """Four idx files whose digit k is a bar of its own: the classes are easy to tell apart."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 40, (count, side, side), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            line = (label % 5) + 1
            image[(line, slice(None)) if label < 5 else (slice(None), line)] = 250
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            header = (0x800 + array.ndim).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in array.shape)
            (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.tobytes()))
    return folder


COUNTING = {
    "goals": "medium_red,medium_blue",
    "width": 48,
    "height": 32,
    "moves": 2,
    "distractors_least": 1,
    "distractors_most": 2,
    "counts": "1,1,1",
    "window_units": 8,
    "places": 80,
    "hidden_units": 12,
    "policy_units": 8,
    "batch": 8,
    "part": 4,
    "round": 32,
    "validation_size": 8,
}
"""A robot that counts, badly, in seconds."""
