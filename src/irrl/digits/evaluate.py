"""What a trained agent makes of a canvas: where it looks, and what it answers."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, Integer, Key, UInt16

from irrl import checkpoint, keys
from irrl.checkpoint import Checkpoint
from irrl.devices import AXIS, in_32_bits, mesh, on_every, whole
from irrl.digits.config import AgentConfig, Config
from irrl.digits.data import Canvases
from irrl.digits.episode import discriminator_log_probs, sample_noise
from irrl.digits.networks import Params, initial_params, network_of
from irrl.digits.source import Split, canvases_for
from irrl.digits.task import TASK
from irrl.errors import UserError
from irrl.learning import check_answers, restored
from irrl.loading import load_own
from irrl.settings import part
from irrl.task import Report

BATCH = 1000
"""Canvases evaluated at once. Fixed, for the first glimpses are drawn batch by batch."""


class Predictions(NamedTuple):
    """The agent's answers on a set of canvases."""

    log_probs: Float[np.ndarray, "images classes"]
    locations: Float[np.ndarray, "images glimpses 2"]
    """(x, y) in [-1, 1] of each glimpse"""
    glimpses: Int[np.ndarray, " images"]
    """how many it took before it answered"""

    @property
    def answers(self) -> Int[np.ndarray, " images"]:
        """The likeliest class of each canvas."""
        return self.log_probs.argmax(-1)


@partial(jax.jit, static_argnames="config")
def _predict_batch(
    params: Params, canvases: UInt16[Array, "batch canvas canvas"], key: Key[Array, ""], config: AgentConfig
) -> tuple[Float[Array, "batch classes"], Float[Array, "batch glimpses 2"], Int[Array, " batch"]]:
    def answer(params, canvases, noise):
        rolled = network_of(config).rollout(params, canvases, jnp.arange(len(canvases)), noise, config)
        answered = rolled.hidden[rolled.stop_time, jnp.arange(len(canvases))]
        return discriminator_log_probs(params, answered), rolled.locations.swapaxes(0, 1), rolled.stop_time + 1

    everywhere, shared = PartitionSpec(), PartitionSpec(AXIS)
    split = jax.shard_map(
        answer, mesh=mesh(BATCH), in_specs=(everywhere, shared, shared), out_specs=shared, check_vma=False
    )
    return split(params, canvases, sample_noise(config, BATCH, key=key, explore=False))


@in_32_bits
def predict(
    params: Params, canvases: UInt16[np.ndarray, "images canvas canvas"], config: AgentConfig, *, seed: int
) -> Predictions:
    """Let the agent look at each canvas, taking the policy's mean location; `seed` draws the first glimpses."""
    config = part(AgentConfig, config)  # as a key of compiled programs
    params = on_every(mesh(BATCH), params)  # they may have been trained on fewer devices
    parts = []
    for number, start in enumerate(range(0, len(canvases), BATCH)):
        batch = canvases[start : start + BATCH]
        filled = np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), batch.dtype)])
        outputs = _predict_batch(params, filled, keys.key(seed, "evaluation", number), config)
        parts.append([whole(output)[: len(batch)] for output in outputs])
    found = Predictions(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    check_answers(found.log_probs)
    return found


@dataclass(frozen=True)
class Agent:
    """A trained agent, as `irrl.load` gives it back."""

    config: Config
    params: Params
    """weights: `irrl.digits.ram.Params`, or of `irrl.digits.fast`"""
    trained_on: str = ""
    """`Mnist.digest` of the user's own digits it was trained on; empty for the packaged ones, or if nobody noted it"""

    def predict(self, canvases: Integer[np.ndarray, "images canvas canvas"], *, seed: int = 0) -> Predictions:
        """Answer canvases; `seed` draws the first glimpses.

        Args:
            canvases: pixel levels 0..256 in units of 1/256, of the side that the agent was trained on.

        Raises:
            UserError: they have another side, look like pixels in [0, 1], or have levels outside 0..256.
        """
        side = self.config.canvas
        if canvases.shape[1:] != (side, side) or not np.issubdtype(canvases.dtype, np.integer):
            raise UserError(
                f"canvases are {canvases.dtype} of shape {canvases.shape}; this agent reads integer levels 0 to 256 of "
                f"shape (images, {side}, {side}): scale pixels in [0, 1] by 256"
            )
        if canvases.size and not 0 <= canvases.min() <= canvases.max() <= 256:
            raise UserError(f"canvases have levels {canvases.min()} to {canvases.max()}; they must be from 0 to 256")
        return predict(self.params, canvases.astype(np.uint16), self.config, seed=seed)

    def accuracy(self, canvases: Canvases, *, seed: int = 0) -> float:
        """Share of canvases answered right."""
        return float((self.predict(canvases.images, seed=seed).answers == canvases.labels).mean())

    def test(self, *, seed: int = 0, split: Split = "test", mnist: str | Path | None = None) -> Report:
        """How often it is right, and how many glimpses it takes.

        Args:
            seed: draws the first glimpses.
            split: which canvases: test, or the training canvases held out for validation.
            mnist: folder of other digits than its own.

        Raises:
            UserError: there are no such digits.
        """
        canvases = canvases_for(self.config, self.trained_on, split, None if mnist is None else Path(mnist))
        predictions = self.predict(canvases.images, seed=seed)
        accuracy, glimpses = float((predictions.answers == canvases.labels).mean()), float(predictions.glimpses.mean())
        asked = {"n": len(canvases.labels), "split": split, "seed": seed}
        shown = f"{asked['n']} {split} canvases (seed {seed}), {glimpses:.2f} glimpses a canvas"
        return Report({"accuracy": accuracy, "glimpses": glimpses} | asked, [f"accuracy {accuracy:.2%} on {shown}"])

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, which `irrl.load` reads. It cannot be trained on: the optimiser's state is not there.

        Raises:
            UserError: its reward has no name.
            OSError: the file cannot be written; what stood there before still stands.
        """
        note = {"mnist": self.trained_on} if self.trained_on else {}
        checkpoint.save_agent(path, "digits", self.config, {"params": self.params}, note)


def load_agent(path: str | Path) -> Agent:
    """`irrl.load`, for what can be done with this task's agents only."""
    return load_own(path, TASK)


def restored_agent(saved: Checkpoint) -> Agent:
    """The agent in a checkpoint.

    Raises:
        UserError: the checkpoint's settings or weights are not those of a digits agent.
    """
    return Agent(*restored(saved, "digits", Config, initial_params), trained_on=str(saved.state.get("mnist", "")))
