"""A trained agent of the skills task."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from irrl import checkpoint
from irrl.checkpoint import Checkpoint, check_task, unflatten
from irrl.errors import UserError
from irrl.settings import check_range, config_from, recorded
from irrl.skills.config import Config
from irrl.skills.evaluate import Policy, ceiling, last_occupancy, measure, policy_of, tables_like
from irrl.skills.four_rooms import FourRooms, rooms_of
from irrl.skills.kernel import Tables
from irrl.task import Report


@dataclass(frozen=True)
class Agent:
    """A trained agent, as `train` and `irrl.load` give it back: Q tables and discriminators."""

    config: Config
    tables: Tables
    iteration: int
    """of its training"""

    @cached_property
    def rooms(self) -> FourRooms:
        """Where it lives."""
        return rooms_of(self.config.rooms)

    @cached_property
    def policy(self) -> Policy:
        """What its tables say: the best action of each skill in each state, `greedy`, and `log_probs`, log q(z | s)."""
        return policy_of(self.tables, self.config, self.rooms)

    def measure(self, *, seed: int = 0) -> dict[str, Any]:
        """Metrics by name: docs/skills.md says what they mean.

        Args:
            seed: draws the sampled episodes. Each seed of training draws its own, or the sampling error would not
                average out.
        """
        check_range("seed", seed, 0, 2**32 - 1)
        rng = np.random.default_rng([seed, self.config.seed, self.iteration])
        return measure(self.policy, last_occupancy(self.policy, self.config.epsilon), self.config, rng)

    @property
    def ceiling(self) -> float:
        """The most effective skills that there can be in its rooms."""
        return ceiling(self.rooms, self.config.skills, self.config.steps)

    def test(self, *, seed: int = 0) -> Report:
        """How many skills it has learned.

        Raises:
            UserError: the seed is out of range.
        """
        return report([self], seed=seed)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, which `irrl.load` reads and a training can go on from.

        Raises:
            UserError: its reward has no name.
            OSError: the file cannot be written; what stood there before still stands.
        """
        reached = {"step": self.iteration, "iteration": self.iteration}
        state = {"task": "skills", "config": recorded(self.config), **reached}
        checkpoint.save(Path(path), self.tables._asdict(), state)


def restored_agent(saved: Checkpoint) -> Agent:
    """The agent in a checkpoint.

    Raises:
        UserError: the checkpoint's settings or tables are not those of a skills agent.
    """
    check_task(saved, "skills")
    config = config_from(Config, saved.state.get("config"), "its config")
    iteration = saved.state.get("iteration")
    if not isinstance(iteration, int) or iteration < 0:
        raise UserError(f"its iteration is {str(iteration)[:40]}; it must be a whole number")
    # Compiled code trusts the shapes: it would write outside an array.
    tables = unflatten(tables_like(config, rooms_of(config.rooms)), saved.arrays)
    agent = Agent(config, tables, iteration)
    _ = agent.policy  # which complains of tables that cannot be computed with
    return agent


METRICS = ("effective_skills", "effective_skills_exact", "distinct_terminal_states", "mutual_information_nats")
"""What a test reports."""


def report(agents: list[Agent], *, seed: int) -> Report:
    """What a test of some seeds' agents found: means over the seeds, and each seed's; and their ceiling."""
    each = {str(agent.config.seed): agent.measure(seed=seed) | {"iteration": agent.iteration} for agent in agents}
    means = {name: float(np.mean([row[name] for row in each.values()])) for name in METRICS}
    highest = agents[0].ceiling
    lines = [
        f"{name:26} {means[name]:8.4g}   each seed: {'  '.join(f'{row[name]:.4g}' for row in each.values())}"
        for name in METRICS
    ]
    lines += [f"{'ceiling':26} {highest:8.4g}"]
    lines += ["iterations: " + ", ".join(f"{row['iteration']:,} (seed {seed})" for seed, row in each.items())]
    return Report(means | {"ceiling": highest, "seeds": each}, lines)
