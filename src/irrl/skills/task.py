"""Skills as a task: unsupervised skill discovery in four rooms."""

from dataclasses import dataclass
from typing import Any

from irrl.skills.config import FREE, PRESETS, Config, beside
from irrl.skills.four_rooms import read_rooms
from irrl.task import Progress, Row, Score, Settings, Task


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """What `draw` can be told."""

    iteration: int | None = None
    """draw the checkpoint kept there; the last one by default"""


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"rooms": read_rooms(str(settings["rooms"]))} if "rooms" in settings else settings


def _describe(row: Row, config: Config) -> str:
    return (
        f"seed {config.seed}  iteration {row['iteration']:,}/{config.iterations:,}  "
        f"effective skills {row['effective_skills_exact']:.1f}  reward {row['reward']:.3f}  "
        f"{row['microseconds_per_iteration']:.1f} us each"
    )


def _curve_name(settings: Settings) -> str:
    return settings["reward"] + ("+disdain" if settings["disdain"] else "")


TASK = Task(
    name="skills",
    help="Unsupervised skill discovery in four rooms.",
    config=Config,
    presets=PRESETS,
    preset="paper",
    progress=Progress(unit="iteration", budget="iterations"),
    score=Score(metric="effective_skills", name="effective skills", is_share=False, goals=(30, 60, 90)),
    describe=_describe,
    train="irrl.skills.training:train",
    agent="irrl.skills.agent:restored_agent",
    free=FREE,
    sections={
        "Rooms and skills": ("rooms", "skills", "steps"),
        "Agent": ("reward", "disdain", "ensemble", "discount", "epsilon"),
        "Training": ("iterations", "batch", "learning_rate", "discriminator_rate", "trace"),
    },
    threads_share="seeds",
    cpu_only=True,  # tables need no accelerator
    given=_given,
    implied=beside,
    model="a run's folder (its last checkpoint; for `test`, also the folder of several seeds)",
    curve_name=_curve_name,
    named=frozenset({"disdain", "ensemble"}),
    published="irrl.skills.curves:PUBLISHED",
    test="irrl.skills.testing:test",
    draw="irrl.skills.occupancy:draw",
    draw_options=DrawOptions,
    sample="irrl.skills.occupancy:sample",
    overview="irrl.skills.noise:overview",
    commands="irrl.cli.skills:add_commands",
    extra=("numba", "skills"),
)
