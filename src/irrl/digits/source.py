"""The canvases that a run trains, validates and tests on."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, UInt16

from irrl import keys
from irrl.devices import mesh, on_every
from irrl.digits.config import Config
from irrl.digits.data import Canvases, Mnist, cluttered, load_mnist, published
from irrl.errors import UserError

TEST_SEED = 0
"""Runs with other seeds are tested on the same canvases."""


class Epoch(NamedTuple):
    """One epoch's canvases and the order in which they come; the last batch is filled up with weightless rows."""

    canvases: UInt16[Array, "images canvas canvas"]
    labels: Int[Array, "images"]
    order: Int[Array, "steps batch"]
    weights: Float[Array, "steps batch"]


class Source:
    """Training canvases epoch by epoch, and the held-out ones; everything drawn from `config.seed`.

    A share `validation_fraction` of the training canvases (fixed, published) or training digits (fresh) is held out.
    """

    def __init__(self, config: Config):
        self.config = config
        self._mesh = mesh(config.batch)
        self._mnist = _mnist(config)
        held_out = round(config.validation_fraction * config.train_size)
        self._size = config.train_size - held_out
        if self._size < 1 or held_out < 1:
            raise UserError(
                f"--train-size {config.train_size} with --validation-fraction {config.validation_fraction} leaves "
                f"{self._size} canvases to train on and {held_out} to validate on; both must be at least 1"
            )
        self._is_fresh = config.data in ("fresh", "published-fresh")
        if self._is_fresh:
            self._digits, held_out_digits = self._split(len(self._mnist.train_images))
            self.validation = self._draw(held_out_digits, held_out, epoch=0)
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="canvases")
            self._prepared: tuple[int, Future[Canvases]] | None = None
        else:
            everything = (
                published(self._mnist)[0] if config.data == "published" else self._draw(None, config.train_size, 0)
            )
            self._rows, validation_rows = self._split(config.train_size)
            self.validation = Canvases(everything.images[validation_rows], everything.labels[validation_rows])
            self._on_devices = on_every(self._mesh, everything)

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch, the last one perhaps partial."""
        return -(-self._size // self.config.batch)

    def epoch(self, number: int) -> Epoch:
        """The canvases of epoch `number`, from 1, in the order drawn for it."""
        batch, steps = self.config.batch, self.steps_per_epoch
        shuffled = keys.generator(self.config.seed, "order", number).permutation(self._size)
        if self._is_fresh:
            fresh = self._fresh(number)
            canvases, labels = on_every(self._mesh, fresh)
        else:
            canvases, labels = self._on_devices
            shuffled = self._rows[shuffled]
        order = np.zeros(steps * batch, np.int32)
        order[: self._size] = shuffled
        weights = (np.arange(steps * batch) < self._size).astype(np.float32)
        rows = order.reshape(steps, batch), weights.reshape(steps, batch)
        return Epoch(canvases, labels, *on_every(self._mesh, rows))

    def _split(self, count: int) -> tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "held_out"]]:
        shuffled = keys.generator(self.config.seed, "split").permutation(count)
        held_out = max(1, round(self.config.validation_fraction * count))  # a folder of few digits must work too
        return np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])

    def _draw(self, digits: Int[np.ndarray, "digits"] | None, count: int, epoch: int, spread: float = 1.0) -> Canvases:
        """`count` canvases that show only the training digits with the given indices (None: any)."""
        images, labels = self._mnist.train_images, self._mnist.train_labels
        if digits is not None:
            images, labels = images[digits], labels[digits]
        rng = keys.generator(self.config.seed, "canvases", epoch)
        return cluttered(images, labels, count, rng, **_clutter(self.config), spread=spread)

    def _draw_epoch(self, number: int) -> Canvases:
        spread = min(1.0, (number - 1) / self.config.spread_epochs) if self.config.spread_epochs else 1.0
        return self._draw(self._digits, self._size, number, spread)

    def _fresh(self, number: int) -> Canvases:
        """This epoch's canvases; the next epoch's are prepared meanwhile: the host is idle while a device trains."""
        if self._prepared and self._prepared[0] == number:
            canvases = self._prepared[1].result()
        else:
            canvases = self._draw_epoch(number)
        if number < self.config.epochs:
            self._prepared = number + 1, self._worker.submit(self._draw_epoch, number + 1)
        return canvases


def canvases_for_testing(config: Config) -> Canvases:
    """The test canvases: the same for every seed."""
    mnist = _mnist(config)
    if config.data.startswith("published"):
        return published(mnist)[1]
    rng = keys.generator(TEST_SEED, "test canvases")
    return cluttered(mnist.test_images, mnist.test_labels, config.test_size, rng, **_clutter(config))


def _mnist(config: Config) -> Mnist:
    return load_mnist(Path(config.mnist) if config.mnist else None)


def _clutter(config: Config) -> dict[str, Any]:
    placement = "published" if config.data.startswith("published") else "uniform"
    sizes = {"canvas": config.canvas, "distractors": config.distractors, "distractor_size": config.distractor_size}
    return sizes | {"placement": placement}
