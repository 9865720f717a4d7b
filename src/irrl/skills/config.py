"""The skills task's settings. Nothing heavy here: the command line reads it for `--help`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from irrl.errors import UserError
from irrl.reward_names import AnyReward
from irrl.settings import MOST_ROWS, check_positive, check_range, check_share, check_types, preset_of
from irrl.skills.four_rooms import ACTIONS, rooms_of

MOST_TABLE_BYTES = 400_000_000
"""Of a run's tables."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Tabular skill discovery, as Li et al. 2023 set it up: in the large rooms, by default."""

    rooms: str = "large"
    """the map: small, large, or a text file with walls (#) and free cells (spaces); here, the text of a map"""
    reward: AnyReward = "clipped-linear"
    """internal reward: accuracy, log, clipped-linear, box-cox:0.5, ... or your own as module:attribute or
    module:Attribute(0.5), or clipped(...) of it; in Python also the reward itself"""
    skills: int = 128
    """how many skills to tell apart"""
    steps: int = 20
    """steps of an episode; its last state tells the skill"""
    disdain: float = 0.0
    """weight of the DISDAIN bonus, the ensemble's disagreement, where actions are chosen; 0 is none"""
    ensemble: int = 1
    """discriminators; the reward takes their mean posterior"""

    iterations: int = 30_000_000
    """batches of episodes"""
    batch: int = 32
    """episodes an iteration"""
    epsilon: float = 0.001
    """probability of a uniformly random action"""
    discount: float = 0.99
    """weight of a reward one step later"""
    trace: float = 0.7
    """lambda of the lambda-returns: 0 bootstraps at every step, 1 only pays the episode's reward"""
    learning_rate: float = 0.004
    """step size of plain gradient descent, for every table"""
    discriminator_rate: float = 1.0
    """the discriminators' step size over that of the Q tables"""
    seed: int = 1
    """decides everything random"""

    log_every: int = 100_000
    """iterations between rows of metrics"""
    checkpoint_every: int = 1_000_000
    """iterations between checkpoints"""
    keep_every: int = 1_000_000
    """iterations between checkpoints that are kept for good; 0 keeps none but the last"""

    def __post_init__(self):
        check_types(self)
        for name in ("iterations", "log_every", "checkpoint_every"):
            check_range(name, getattr(self, name), 1)
        if self.iterations > MOST_ROWS * self.log_every:
            raise UserError(
                f"`log_every={self.log_every}` makes {self.iterations // self.log_every:,} rows of metrics in "
                f"`iterations={self.iterations}`; there can be {MOST_ROWS:,} at most"
            )
        check_range("steps", self.steps, 1, 10_000)
        check_range("ensemble", self.ensemble, 1, 1_000)
        check_range("batch", self.batch, 1, 100_000)
        check_range("skills", self.skills, 2, 6_000)  # softmax sums so many of exp(80) without overflow
        check_range("keep_every", self.keep_every, 0)
        check_range("seed", self.seed, 0, 2**32 - 1)
        for name in ("epsilon", "discount", "trace"):
            check_share(name, getattr(self, name))
        check_positive("learning_rate", self.learning_rate)
        check_positive("discriminator_rate", self.discriminator_rate)
        check_positive("disdain", self.disdain, or_zero=True)
        if self.disdain and self.ensemble == 1:
            raise UserError("`disdain` pays for disagreement: it needs an `ensemble` of at least 2")
        states = len(rooms_of(self.rooms).cells)
        size = 4 * self.skills * states * (2 * len(ACTIONS) + self.ensemble)
        if size > MOST_TABLE_BYTES:
            raise UserError(
                f"`skills={self.skills}`, `ensemble={self.ensemble}` and rooms of {states:,} cells make tables of "
                f"{size:,} bytes; they can have {MOST_TABLE_BYTES:,} at most"
            )


FREE = frozenset({"iterations", "log_every", "checkpoint_every", "keep_every"})
"""Budget and logging fields: a resumed run may change these."""

OFTEN: dict[str, Any] = {"log_every": 10_000, "checkpoint_every": 50_000, "keep_every": 50_000}
"""For runs of a million iterations."""

SMALL: dict[str, Any] = {"skills": 24, "steps": 8, "iterations": 1_000_000, **OFTEN}
"""What Li et al. 2023 set otherwise in the small rooms."""

FAST: dict[str, Any] = {"learning_rate": 0.5, "discriminator_rate": 0.3, "discount": 1.0}
"""Ours: thirty times fewer iterations (docs/skills.md)."""

PRESETS = {
    "paper": Config(),
    "demo": Config(rooms="small", **SMALL, **FAST),
    "best": Config(iterations=1_000_000, **FAST, **OFTEN),
}


def preset(name: str, **overrides: Any) -> Config:
    """The preset called `name` with some fields changed; `rooms="small"` changes those of `SMALL` too.

    Raises:
        UserError: no such preset (the valid ones are listed), or a field's value is out of range.
    """
    return preset_of(PRESETS, name, {**beside(overrides), **overrides})


def beside(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings that go with those that are given beside a preset: `SMALL` with the small rooms."""
    return SMALL if settings.get("rooms") == "small" else {}
