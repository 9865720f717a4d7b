"""The canvases that a run meets: in training, in validation, in tests."""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Int32, UInt16

from irrl import keys
from irrl.devices import mesh, my_rows, on_every
from irrl.digits.config import CanvasConfig, Config
from irrl.digits.data import CLASSES, Canvases, Mnist, cluttered, is_of_mnists_size, load_mnist, published
from irrl.errors import warn

Split = Literal["test", "validation"]

TEST_SEED = 0
"""Runs with other seeds are tested on the same canvases."""


class Epoch(NamedTuple):
    """One epoch's canvases and the order in which they come; the last batch is filled up with weightless rows."""

    canvases: UInt16[Array, "images canvas canvas"]
    labels: Int[Array, " images"]
    order: Int[Array, "steps batch"]
    weights: Float[Array, "steps batch"]


class Source:
    """Training canvases epoch by epoch, and the held-out ones; everything drawn from `config.seed`.

    A tenth of the training canvases (published) or of the training digits (fresh) is held out.
    """

    def __init__(self, config: Config, mnist: Mnist | None = None):
        self.config = config
        self.mnist = mnist or mnist_of(config)
        self._mesh = mesh(config.batch)
        self.size = config.train_size - config.held_out
        """canvases an epoch"""
        if config.is_fresh:
            self._digits, held_out_digits = self._split(len(self.mnist.train_images))
            self.validation = self._draw(held_out_digits, config.held_out, epoch=0)
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="canvases")
            self._prepared: tuple[int, Future[Canvases]] | None = None
        else:
            everything = published(self.mnist)[0]
            self._rows, validation_rows = self._split(config.train_size)
            self.validation = Canvases(everything.images[validation_rows], everything.labels[validation_rows])
            self._on_devices = on_every(self._mesh, everything)

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch, the last one perhaps partial."""
        return -(-self.size // self.config.batch)

    def epoch(self, number: int) -> Epoch:
        """The canvases of epoch `number`, from 1, in the order drawn for it."""
        order = self._order(number)
        weights = (np.arange(order.size) < self.size).astype(np.float32).reshape(order.shape)
        canvases, labels = on_every(self._mesh, self._fresh(number)) if self.config.is_fresh else self._on_devices
        return Epoch(canvases, labels, *on_every(self._mesh, (order, weights)))

    def _order(self, number: int) -> Int32[np.ndarray, "steps batch"]:
        shuffled = keys.generator(self.config.seed, "order", number).permutation(self.size)
        order = np.zeros(self.steps_per_epoch * self.config.batch, np.int32)
        order[: self.size] = shuffled if self.config.is_fresh else self._rows[shuffled]
        return order.reshape(-1, self.config.batch)

    def _split(self, count: int) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held_out"]]:
        shuffled = keys.generator(self.config.seed, "split").permutation(count)
        held_out = max(1, round(0.1 * count))  # a folder of few digits must work too
        return np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])

    def _draw(self, digits: Int[np.ndarray, " digits"], count: int, epoch: int, **how: Any) -> Canvases:
        """`count` canvases that show only the training digits with the given indices."""
        images, labels = self.mnist.train_images[digits], self.mnist.train_labels[digits]
        rng = keys.generator(self.config.seed, "canvases", epoch)
        return cluttered(images, labels, count, rng, **_clutter(self.config), **how)

    def _draw_epoch(self, number: int) -> Canvases:
        spread = min(1.0, (number - 1) / self.config.spread_epochs) if self.config.spread_epochs else 1.0
        mine = my_rows(self._mesh, self.config.batch)
        # No device of this process will look at the others.
        only = None if mine is None else np.unique(self._order(number)[:, mine])
        return self._draw(self._digits, self.size, number, spread=spread, only=only)

    def _fresh(self, number: int) -> Canvases:
        """This epoch's canvases; the next epoch's are prepared meanwhile: the host is idle while a device trains."""
        if self._prepared and self._prepared[0] == number:
            canvases = self._prepared[1].result()
        else:
            canvases = self._draw_epoch(number)
        if number < self.config.epochs:
            self._prepared = number + 1, self._worker.submit(self._draw_epoch, number + 1)
        return canvases


def canvases_for_testing(config: CanvasConfig, mnist: Mnist | None = None) -> Canvases:
    """The test canvases: the same for every seed.

    Those of a run on published canvases are the published ones, or like them if its digits are not as many as MNIST's.
    """
    mnist = mnist or mnist_of(config)
    if config.is_published and is_of_mnists_size(mnist):
        return published(mnist)[1]
    rng = keys.generator(TEST_SEED, "test canvases")
    return cluttered(mnist.test_images, mnist.test_labels, config.test_size, rng, **_clutter(config))


def like_test_canvases(config: CanvasConfig, count: int) -> Canvases:
    """A few canvases like those for testing, the same for every seed; to draw the published ones takes seconds."""
    mnist = mnist_of(config)
    rng = keys.generator(TEST_SEED, "test canvases")
    return cluttered(mnist.test_images, mnist.test_labels, count, rng, **_clutter(config))


def canvases_for(config: Config, trained_on: str, split: Split, folder: Path | None = None) -> Canvases:
    """The canvases that an agent is measured on.

    Where the run's own folder no longer holds what the agent was trained on, a warning says so: the numbers are right
    for what lies there now, but validation digits may then be among those that were trained on.

    Args:
        trained_on: `Mnist.digest` of the digits that it was trained on, if they were not the packaged ones.
        split: test, or the training canvases held out for validation.
        folder: of other digits, in the place of the run's own.
    """
    config = config if folder is None else dataclasses.replace(config, mnist=str(folder))
    mnist = mnist_of(config)
    if folder is None and trained_on and trained_on != mnist.digest():
        warn(f"{config.mnist}: not the digits that this agent was trained on; it is shown those that lie there now")
    return canvases_for_testing(config, mnist) if split == "test" else Source(config, mnist).validation


def warn_of_prior(config: CanvasConfig, mnist: Mnist) -> None:
    """Say so, once, if classes are far from equally frequent, as every reward takes them to be.

    MNIST's own are not quite (9.0 to 11.2 %), and the paper's rewards take 1/10 nevertheless.
    """
    shares = np.bincount(mnist.train_labels, minlength=CLASSES) / len(mnist.train_labels)
    if not (shares.min() >= 0.5 / CLASSES and shares.max() <= 2 / CLASSES):
        least, most = shares.argmin(), shares.argmax()
        _warn_once(
            f"{config.mnist}: {shares[least]:.1%} of the training digits are labelled {least}, {shares[most]:.1%} "
            f"{most}; rewards take each of {CLASSES} classes for equally frequent"
        )


@cache
def _warn_once(message: str) -> None:
    warn(message)


def mnist_of(config: CanvasConfig) -> Mnist:
    """The digits that a config names."""
    return load_mnist(Path(config.mnist) if config.mnist else None)


def _clutter(config: CanvasConfig) -> dict[str, Any]:
    placement = "published" if config.is_published else "uniform"
    sizes = {"canvas": config.canvas, "distractors": config.distractors, "distractor_size": config.distractor_size}
    return sizes | {"placement": placement}
