"""Digits as a task: hard visual attention on Cluttered MNIST."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from irrl.digits.config import FREE, PRESETS, Config, idle
from irrl.task import Progress, Row, Score, Settings, Task


@dataclass(frozen=True, kw_only=True)
class TestOptions:
    """What `test` can be told."""

    split: Literal["test", "validation"] = "test"
    """which canvases: test, or the training canvases held out for validation"""
    mnist: Path | None = None
    """folder of idx files, as for train; by default the digits that the agent was trained on"""


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """What `draw` can be told."""

    mnist: Path | None = None
    """folder of idx files, as for train; by default the digits that the agent was trained on"""
    cases: int = 12
    """how many test canvases to draw"""
    seed: int = 0
    """picks the canvases and draws the first glimpses"""


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    # A run must be testable, and go on, from another directory.
    paths = {name: settings[name] for name in ("mnist", "oracle") if settings.get(name)}
    return settings | {name: str(Path(path).resolve()) for name, path in paths.items() if Path(path).exists()}


def _notes(config: Config) -> tuple[str, ...]:
    last = {name: getattr(config, name) for name in ("decay_epochs", "spread_epochs")}
    return tuple(
        f"training ends at epoch {config.epochs}, before `{name}={epoch}`"
        for name, epoch in last.items()
        if epoch > config.epochs
    )


def _describe(row: Row, config: Config) -> str:
    text = f"epoch {row['epoch']}/{config.epochs}  accuracy {row['accuracy']:.1%}"
    if "validation_accuracy" in row:
        text += f"  validation {row['validation_accuracy']:.1%}"
    return f"{text}  reward {row['reward']:.3f}  {row['images_per_second']:,.0f} images/s"


def _curve_name(settings: Settings) -> str:
    return settings["reward"] + ("+hacking" if settings.get("oracle") else "")


TASK = Task(
    name="digits",
    help="Hard visual attention on Cluttered MNIST.",
    config=Config,
    presets=PRESETS,
    preset="paper",
    progress=Progress(unit="epoch", budget="epochs"),
    score=Score(metric="validation_accuracy", name="validation accuracy", is_share=True, goals=(0.5, 0.8, 0.9)),
    describe=_describe,
    train="irrl.digits.training:train",
    agent="irrl.digits.evaluate:restored_agent",
    free=FREE,
    common=frozenset(
        {"data", "mnist", "spread_epochs", "agent", "model", "reward_gradient", "patch", "scales", "glimpses"}
        | {"hidden_units", "oracle", "learning_rate", "batch"}
    ),
    threads_share="batch",
    packaged=True,
    given=_given,
    idle=idle,
    notes=_notes,
    curve_name=_curve_name,
    named=frozenset({"oracle"}),
    published="irrl.digits.curves:PUBLISHED",
    figures=("ram", "dt-ram", "hacking"),
    test_options=TestOptions,
    draw="irrl.digits.draw:draw",
    draw_options=DrawOptions,
    sample="irrl.digits.sample:sample",
    commands="irrl.cli.digits:add_commands",
)
