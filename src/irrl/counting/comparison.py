"""What runs of the counting task are compared by, and the paper's learning curves."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from irrl.comparison import Curve, Study, read_curves
from irrl.counting.config import FREE, PRESETS, Config


def published() -> dict[str, Curve]:
    """The published learning curves, by reward; accuracies as shares of 1. Scenes there were others than ours."""
    return read_curves("irrl.counting", "counting.csv", unit="million_episodes", scale=100, units=1_000_000)


def _curve_name(settings: Mapping[str, Any]) -> str:
    policy = settings["policy"]
    return settings["reward"] if policy == "learned" else policy


def _curve(settings: Mapping[str, Any]) -> Curve | None:
    return published().get(_curve_name(settings))


STUDY = Study(
    task="counting",
    config=Config,
    free=FREE,
    unit="episode",
    score="validation_accuracy",
    title="validation accuracy (%)",
    scale=100,
    goals=(0.5, 0.8, 0.9),
    goal_format=".0%",
    curve_name=_curve_name,
    named={"policy"},
    presets={name: asdict(config) for name, config in PRESETS.items()},
    curve=_curve,
    most=100,
)
