"""What a trained robot does in a scene: what it answers, and how far it walks for it."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from irrl import checkpoint
from irrl.checkpoint import Checkpoint
from irrl.counting.config import Config
from irrl.counting.model import (
    Tables,
    answers,
    draw,
    goes_right,
    look,
    nothing_seen,
    policy_logits,
    rollout,
    stopping,
    tables_of,
)
from irrl.counting.network import Params, initial_params
from irrl.counting.scene import Prospects, Scenes, prospects
from irrl.counting.scene_config import KINDS, LEVELS, SceneConfig
from irrl.counting.simulator import Simulator
from irrl.counting.source import scenes_for_testing
from irrl.counting.task import TASK
from irrl.devices import AXIS, in_32_bits, mesh, on_every, whole
from irrl.errors import UserError
from irrl.learning import check_answers, restored
from irrl.loading import load_own
from irrl.settings import check_range, check_type
from irrl.task import Report

BATCH = 64
"""Scenes walked round at once."""


class Walks(NamedTuple):
    """A robot's walks round the tables of some scenes, as if it went on after its answer."""

    log_probs: Float[np.ndarray, "scenes time classes"]
    """log q(y|tau) after each image"""
    viewpoint: Int[np.ndarray, "scenes time"]
    """where it saw each image, steps to the right of where it started"""
    moves: Int[np.ndarray, " scenes"]
    """how many it made before it answered"""

    @property
    def answers(self) -> Int[np.ndarray, " scenes"]:
        """The likeliest count when it answered."""
        return self.log_probs[np.arange(len(self.moves)), self.moves].argmax(-1)


@dataclass(frozen=True)
class Count:
    """How well a robot counts."""

    accuracy: float
    mean_moves: float
    by_count: dict[str, float]
    """accuracy where the answer is 0, 1, ..., if there are such scenes"""
    by_level: dict[str, float]
    """accuracy where the goal's cubes are visible from the start, partial, and hidden"""
    by_moves: list[float]
    """accuracy of everybody's answer after 0, 1, ... moves, whether or not the robot stops there"""
    confusion: list[list[int]]
    """scenes by right answer (row) and answer (column)"""
    moves: list[int]
    """walks of 0, 1, ... moves"""
    n: int


@partial(jax.jit, static_argnames="config")
def _walk_batch(
    params: Params, tables: Tables, config: Config, key: Array | None
) -> tuple[Float[Array, "batch time classes"], Int[Array, "batch time"], Int[Array, " batch"]]:
    def walk(params, tables, draws):
        rolled = rollout(params, tables, jnp.arange(len(tables.goal)), draws, config)
        number = jnp.arange(config.steps)[:, None]
        logits = policy_logits(params, rolled.memory, rolled.viewpoint, number, config)
        stops = stopping(logits, number, config) > 0.5
        return answers(params, rolled.memory).swapaxes(0, 1), rolled.viewpoint.T, stops.argmax(0)

    everywhere, shared = PartitionSpec(), PartitionSpec(AXIS)
    split = jax.shard_map(
        walk, mesh=mesh(BATCH), in_specs=(everywhere, shared, shared), out_specs=shared, check_vma=False
    )
    return split(params, tables, draw(config, BATCH, key=key))


@dataclass(frozen=True)
class Agent:
    """A trained robot, as `irrl.load` gives it back."""

    config: Config
    params: Params

    @in_32_bits
    def walk(self, scenes: Scenes, *, seed: int = 0) -> Walks:
        """Walk round tables, seen through the ray caster; `seed` is for robots that walk at random.

        Raises:
            UserError: there are no scenes, or not such as this robot can count in.
        """
        check_countable(self.config, scenes)
        params = on_every(mesh(BATCH), self.params)  # they may have been trained on fewer devices
        key = jax.random.key(seed) if self.config.policy == "random" else None
        parts = []
        for first in range(0, len(scenes), BATCH):
            index = np.arange(first, min(first + BATCH, len(scenes)))
            tables = tables_of(self.config, scenes.take(np.resize(index, BATCH)))
            chance = None if key is None else jax.random.fold_in(key, first)
            outputs = _walk_batch(params, tables, self.config.program, chance)
            parts.append([whole(output)[: len(index)] for output in outputs])
        found = Walks(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        check_answers(found.log_probs)
        return found

    @in_32_bits
    def walk_in_simulator(self, scenes: Scenes, *, seed: int = 0) -> Walks:
        """As `walk`, seen through MuJoCo's renderer.

        Raises:
            UserError: as `walk`; or MuJoCo is not installed, or cannot draw here.
        """
        check_countable(self.config, scenes)
        tables = tables_of(self.config, scenes)
        chance = np.random.default_rng(seed)
        parts = []
        for index in range(len(scenes)):
            simulator = Simulator(self.config, scenes, index)
            with simulator.eyes("eye", self.config.height, self.config.width) as picture:
                parts.append(self._walk_one(simulator, picture, tables.goal[index : index + 1], chance))
        return Walks(*(np.stack(part) for part in zip(*parts, strict=True)))

    def _walk_one(self, simulator: Simulator, picture: Any, goal: Array, chance: np.random.Generator) -> list[Any]:
        config = self.config.program
        memory, viewpoint, seen = nothing_seen(config, 1), 0, []
        for number in range(config.steps):
            simulator.place(viewpoint)
            place = jnp.array([viewpoint])
            outputs = _look_once(self.params, picture()[None], goal, memory, place, jnp.int32(number), config)
            memory, logits, log_probs, stop = outputs
            seen.append((np.asarray(log_probs)[0], viewpoint, float(stop[0]) > 0.5))
            drawn = jnp.array([chance.random() if config.policy == "random" else 0.5])
            viewpoint += 1 if goes_right(logits, drawn, config)[0] else -1
        log_probs, viewpoints, stops = zip(*seen, strict=True)
        return [np.stack(log_probs), np.array(viewpoints), np.argmax(stops)]

    def count(self, scenes: Scenes, *, simulator: str = "raycast", seed: int = 0) -> Count:
        """Count in scenes, seen through the ray caster (`raycast`) or MuJoCo (`mujoco`).

        Raises:
            UserError: as `walk` and `walk_in_simulator`; or there is no such simulator.
        """
        check_type("simulator", simulator, Literal["raycast", "mujoco"])
        walks = self.walk(scenes, seed=seed) if simulator == "raycast" else self.walk_in_simulator(scenes, seed=seed)
        return counted(walks, scenes, self.config)

    def test(self, *, seed: int = 0, simulator: str = "raycast", episodes: int = 2000) -> Report:
        """How well it counts, how far it walks, and how well an all-knowing robot could.

        Args:
            seed: draws the scenes.
            simulator: through whose renderer it sees: the ray caster (`raycast`), or MuJoCo (`mujoco`).
            episodes: how many scenes.

        Raises:
            UserError: there is no such simulator, or it cannot draw here.
        """
        check_range("episodes", episodes, 1)
        scenes = scenes_for_testing(self.config, episodes, seed)
        found = self.count(scenes, simulator=simulator, seed=seed)
        could = after_moves(prospects(self.config, scenes), self.config)
        lines = [
            f"accuracy {found.accuracy:.2%} after {found.mean_moves:.2f} moves ({episodes} scenes, {simulator})",
            "by count:   " + "  ".join(f"{count}: {share:.1%}" for count, share in found.by_count.items()),
            "by level:   " + "  ".join(f"{level}: {share:.1%}" for level, share in found.by_level.items()),
            "moves:      " + "  ".join(f"{moves}: {number}" for moves, number in enumerate(found.moves)),
            "after moves: " + "  ".join(f"{moves}: {share:.1%}" for moves, share in enumerate(found.by_moves)),
            *lines_after_moves(could),
            "answers (columns) by right answer (rows):",
            *(f"{count:5}: " + "".join(f"{each:6}" for each in row) for count, row in enumerate(found.confusion)),
        ]
        return Report(asdict(found) | {"simulator": simulator, "seed": seed} | could, lines)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, which `irrl.load` reads. It cannot be trained on: the optimiser's state is not there.

        Raises:
            UserError: its reward has no name.
            OSError: the file cannot be written; what stood there before still stands.
        """
        checkpoint.save_agent(path, "counting", self.config, {"params": self.params})


def after_moves(known: Prospects, config: SceneConfig) -> dict[str, list[float]]:
    """What an all-knowing robot could do within so many moves."""
    moves = range(config.moves + 1)
    return {"all_seen_after": [*map(known.all_seen_after, moves)], "ceiling": [*map(known.ceiling, moves)]}


def lines_after_moves(could: dict[str, list[float]]) -> list[str]:
    """The same in words."""
    return [
        f"{name.removesuffix('_after').replace('_', ' ') + ':':13}"
        + "  ".join(f"{moves}: {share:.1%}" for moves, share in enumerate(shares))
        for name, shares in could.items()
    ]


def check_countable(config: Config, scenes: Scenes) -> None:
    """Refuse scenes that ask for what a robot of that config has no word for.

    Raises:
        UserError: there are none, or they are such.
    """
    check_range("scenes", len(scenes), 1)
    unknown = sorted({KINDS[goal] for goal in scenes.goal} - set(config.goal_names))
    if unknown:
        raise UserError(f"scenes ask for {', '.join(unknown)}; this robot counts {', '.join(config.goal_names)}")
    if scenes.count.max() >= config.classes:
        raise UserError(f"scenes show up to {scenes.count.max()} to count; this robot counts to {config.classes - 1}")


@partial(jax.jit, static_argnames="config")
def _look_once(params, images, goal, memory, viewpoint, number, config):
    _, memory, logits = look(params, images, goal, memory, viewpoint, number, config)
    return memory, logits, answers(params, memory), stopping(logits, number, config)


def counted(walks: Walks, scenes: Scenes, config: Config) -> Count:
    """Sum up walks."""
    right, count = walks.answers == scenes.count, scenes.count
    confusion = np.zeros((config.classes, config.classes), int)
    np.add.at(confusion, (count, walks.answers), 1)

    def shares(kinds):
        return {name: float(right[which].mean()) for name, which in kinds.items() if which.any()}

    return Count(
        accuracy=float(right.mean()),
        mean_moves=float(walks.moves.mean()),
        by_count=shares({str(number): count == number for number in range(config.classes)}),
        by_level=shares(
            {"nothing": count == 0} | {name: (count > 0) & (scenes.level == level) for level, name in enumerate(LEVELS)}
        ),
        by_moves=(walks.log_probs.argmax(-1) == count[:, None]).mean(axis=0).tolist(),
        confusion=confusion.tolist(),
        moves=np.bincount(walks.moves, minlength=config.steps).tolist(),
        n=len(scenes),
    )


def load_agent(path: str | Path) -> Agent:
    """`irrl.load`, for what can be done with this task's agents only."""
    return load_own(path, TASK)


def restored_agent(saved: Checkpoint) -> Agent:
    """The agent in a checkpoint.

    Raises:
        UserError: the checkpoint's settings or weights are not those of a counting robot.
    """
    return Agent(*restored(saved, "counting", Config, initial_params))
