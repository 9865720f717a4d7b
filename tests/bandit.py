"""A task of one's own, outside irrl: two arms, two skills, and a discriminator that sees which arm was pulled.

The smallest internally rewarded problem: a policy for each skill z, pi(arm | z) = softmax(preferences[z]), is paid by
q(z | arm) = softmax(logits[arm]), which is trained on what the policy does. docs/extending.md walks through this file.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from irrl import keys, rewards
from irrl.checkpoint import Checkpoint, check_reached, check_task, save_agent, unflatten
from irrl.run import MemoryRun, Run
from irrl.settings import check_positive, check_range, check_types, config_from
from irrl.task import Progress, Report, Score, Task

ARMS = SKILLS = 2


@dataclass(frozen=True, kw_only=True)
class Config:
    """A two-armed bandit with two skills."""

    reward: str = "clipped-linear"
    """internal reward"""
    learning_rate: float = 0.5
    """step size of policy and discriminator"""
    pulls: int = 400
    """pulls of an arm"""
    log_every: int = 100
    """pulls between rows of metrics"""
    checkpoint_every: int = 100
    """pulls between checkpoints"""
    keep_every: int = 0
    """pulls between checkpoints that are kept for good; 0 keeps none but the last"""
    seed: int = 1
    """decides everything random"""

    def __post_init__(self):
        check_types(self)
        check_positive("learning_rate", self.learning_rate)
        for name in ("pulls", "log_every", "checkpoint_every", "keep_every", "seed"):
            check_range(name, getattr(self, name), 0 if name in ("keep_every", "seed") else 1)


@dataclass(frozen=True)
class Agent:
    """A trained bandit."""

    config: Config
    tables: dict[str, np.ndarray]

    def test(self, *, seed: int = 0) -> Report:
        """The share of skills that are told apart by their likeliest arm."""
        arms = self.tables["preferences"].argmax(-1)
        share = float((self.tables["logits"][arms].argmax(-1) == np.arange(SKILLS)).mean())
        return Report({"told_apart": share, "seed": seed}, [f"{share:.0%} of the skills are told apart"])

    def save(self, path: str) -> None:
        """Write a checkpoint, which `irrl.load` reads."""
        save_agent(path, TASK.name, self.config, self.tables)


def train(config: Config, run: Run | None = None) -> Agent:
    """Pull arms until `config.pulls` or a stop, going on from the state that `run` holds, if any."""
    reward, run = rewards.get(config.reward), run or MemoryRun()
    tables, pulls, saved = initial_tables(), 0, 0
    if restored := run.restore():
        tables, pulls = unflatten(tables, restored.arrays), restored.state["pull"]
        check_reached(restored, step=(saved := pulls))
    while pulls < config.pulls and not run.stop_requested:
        rng = keys.generator(config.seed, "rollout", pulls)
        skill = int(rng.integers(SKILLS))
        chances = softmax(tables["preferences"][skill])
        arm = int(rng.choice(ARMS, p=chances))
        posterior = softmax(tables["logits"][arm])
        paid = float(reward(np.log(posterior)[None], np.array([skill]), 1 / SKILLS)[0])
        tables["preferences"][skill] += config.learning_rate * paid * (np.eye(ARMS)[arm] - chances)
        tables["logits"][arm] += config.learning_rate * (np.eye(SKILLS)[skill] - posterior)
        pulls += 1
        run.progress(pulls, config.pulls)
        if pulls % config.log_every == 0 or pulls == config.pulls:
            told_apart = Agent(config, tables).test().numbers["told_apart"]
            run.log({"step": pulls, "pull": pulls, "reward": paid, "told_apart": told_apart})
        keep = config.keep_every > 0 and pulls % config.keep_every == 0
        if keep or pulls % config.checkpoint_every == 0:
            run.save(tables, {"step": pulls, "pull": pulls}, best=False, keep=keep)
            saved = pulls
    if saved < pulls:  # at the end, or where the user stopped it
        run.save(tables, {"step": pulls, "pull": pulls}, best=False, keep=False)
    return Agent(config, tables)


def initial_tables() -> dict[str, np.ndarray]:
    """Nothing preferred, nothing known."""
    return {"logits": np.zeros((ARMS, SKILLS)), "preferences": np.zeros((SKILLS, ARMS))}


def restored_agent(saved: Checkpoint) -> Agent:
    """The agent in a checkpoint."""
    check_task(saved, TASK.name)
    config = config_from(Config, saved.state.get("config"), "its config")
    return Agent(config, unflatten(initial_tables(), saved.arrays))


TASK = Task(
    name="bandit",
    help="Two arms, two skills.",
    config=Config,
    presets={"paper": Config(), "demo": Config(pulls=200), "best": Config(pulls=2000)},
    preset="demo",
    progress=Progress(unit="pull", budget="pulls"),
    score=Score(metric="told_apart", name="skills told apart", is_share=True, goals=(0.5, 1.0)),
    describe=lambda row, config: f"pull {row['pull']}/{config.pulls}  told apart {row['told_apart']:.0%}",
    train=f"{__name__}:train",
    agent=f"{__name__}:restored_agent",
    free=frozenset({"pulls", "log_every", "checkpoint_every", "keep_every"}),
)
