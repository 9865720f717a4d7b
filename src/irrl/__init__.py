"""Internally rewarded reinforcement learning: policies paid by a discriminator trained on their own behaviour.

    import irrl

    agent = irrl.train("digits", irrl.digits.preset("demo", epochs=2), out="runs/demo")
    agent.test().numbers["accuracy"]
    irrl.load("runs/demo")

The tasks are packages, each with `Config`, `PRESETS`, `preset`, `train` and `Agent`.
"""

from typing import TYPE_CHECKING

import irrl.forks  # noqa: F401  a fork is seen by who was there before it
from irrl.lazy import lazily

if TYPE_CHECKING:
    from irrl import counting, digits, noise, returns, rewards, skills, stats
    from irrl.checkpoint import Checkpoint
    from irrl.comparison import compare, groups_of
    from irrl.engine.loop import Learner, Pace, Schedule, learn
    from irrl.errors import UserError
    from irrl.listeners import Listener
    from irrl.loading import load
    from irrl.plan import Plan
    from irrl.run import DiskRun, MemoryRun, Run
    from irrl.task import Progress, Report, Score, Task
    from irrl.training import train

_HOMES = {
    "Checkpoint": "irrl.checkpoint",
    "DiskRun": "irrl.run",
    "Learner": "irrl.engine.loop",
    "Listener": "irrl.listeners",
    "MemoryRun": "irrl.run",
    "Pace": "irrl.engine.loop",
    "Plan": "irrl.plan",
    "Progress": "irrl.task",
    "Report": "irrl.task",
    "Run": "irrl.run",
    "Schedule": "irrl.engine.loop",
    "Score": "irrl.task",
    "Task": "irrl.task",
    "UserError": "irrl.errors",
    "compare": "irrl.comparison",
    "counting": "irrl.counting",
    "digits": "irrl.digits",
    "groups_of": "irrl.comparison",
    "learn": "irrl.engine.loop",
    "load": "irrl.loading",
    "noise": "irrl.noise",
    "returns": "irrl.returns",
    "rewards": "irrl.rewards",
    "skills": "irrl.skills",
    "stats": "irrl.stats",
    "train": "irrl.training",
}
__all__ = [
    "Checkpoint",
    "DiskRun",
    "Learner",
    "Listener",
    "MemoryRun",
    "Pace",
    "Plan",
    "Progress",
    "Report",
    "Run",
    "Schedule",
    "Score",
    "Task",
    "UserError",
    "__version__",
    "compare",
    "counting",
    "digits",
    "groups_of",
    "learn",
    "load",
    "noise",
    "returns",
    "rewards",
    "skills",
    "stats",
    "train",
]
__version__ = "0.2.0"
__getattr__, __dir__ = lazily(__name__, _HOMES)
