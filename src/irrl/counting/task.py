"""Counting as a task: a robot that walks round a table until it knows how many cubes of a kind are on it."""

from dataclasses import dataclass
from typing import Literal

from irrl.counting.config import FREE, PRESETS, Config
from irrl.task import Progress, Row, Score, Settings, Task


@dataclass(frozen=True, kw_only=True)
class TestOptions:
    """What `test` can be told."""

    simulator: Literal["raycast", "mujoco"] = "raycast"
    """through whose renderer it sees: the ray caster it was trained with, or MuJoCo's"""
    episodes: int = 2000
    """how many scenes"""


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """What `draw` can be told."""

    cases: int = 3
    """how many films"""
    seed: int = 0
    """draws the scenes"""


def _notes(config: Config) -> tuple[str, ...]:
    if config.decay_episodes > config.episodes:
        return (f"training ends before `decay_episodes={config.decay_episodes}`",)
    if 0 < config.decay_episodes < config.episodes:
        return (f"from `decay_episodes={config.decay_episodes}` on, steps are a hundredth",)
    return ()


def _describe(row: Row, config: Config) -> str:
    return (
        f"episode {row['episode']:,}/{config.episodes:,}  accuracy {row['accuracy']:.1%}  validation "
        f"{row['validation_accuracy']:.1%} after {row['validation_moves']:.1f} moves  reward {row['reward']:.3f}  "
        f"{row['frames_per_second']:,.0f} frames/s"
    )


def _curve_name(settings: Settings) -> str:
    return settings["reward"] if settings["policy"] == "learned" else settings["policy"]


TASK = Task(
    name="counting",
    help="A robot that walks round a table to count cubes.",
    config=Config,
    presets=PRESETS,
    preset="best",
    progress=Progress(unit="episode", budget="episodes"),
    score=Score(metric="validation_accuracy", name="validation accuracy", is_share=True, goals=(0.5, 0.8, 0.9)),
    describe=_describe,
    train="irrl.counting.training:train",
    agent="irrl.counting.evaluate:restored_agent",
    free=FREE,
    sections={
        "Scenes": ("jitter",),
        "Agent": (
            "policy",
            "reward",
            "latency",
            "block",
            "window",
            "places",
            "window_units",
            "regions",
            "hidden_units",
            "policy_units",
            "stop_bias",
        ),
        "Training": (
            "episodes",
            "batch",
            "part",
            "round",
            "learning_rate",
            "decay_episodes",
            "reinforce_weight",
            "muon_rate",
            "validation_size",
        ),
    },
    common=frozenset(
        {
            "goals",
            "counts",
            "moves",
            "width",
            "height",
            "jitter",
            "policy",
            "latency",
            "places",
            "hidden_units",
            "batch",
            "round",
            "learning_rate",
            "decay_episodes",
            "reinforce_weight",
        }
    ),
    threads_share="batch",
    packaged=True,
    notes=_notes,
    curve_name=_curve_name,
    named=frozenset({"policy"}),
    published="irrl.counting.curves:PUBLISHED",
    test_options=TestOptions,
    draw="irrl.counting.draw:draw",
    draw_options=DrawOptions,
    sample="irrl.counting.sample:sample",
    commands="irrl.cli.counting:add_commands",
)
