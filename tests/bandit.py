"""A task of one's own, outside irrl: two arms, two skills, and a discriminator that sees which arm was pulled.

The smallest internally rewarded problem: a policy for each skill z, pi(arm | z) = softmax(preferences[z]), is paid by
q(z | arm) = softmax(logits[arm]), which is trained on what the policy does. docs/extending.md walks through this file.
"""

from dataclasses import dataclass

import numpy as np

from irrl import keys, rewards
from irrl.checkpoint import Checkpoint, check_reached, check_task, unflatten
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
        least = {"pulls": 1, "log_every": 1, "checkpoint_every": 1, "keep_every": 0, "seed": 0}
        for name, number in least.items():
            check_range(name, getattr(self, name), number)


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


def train(config: Config, run: Run | None = None) -> Agent:
    """Pull arms until `config.pulls`, going on from the state that `run` holds, if any."""
    reward = rewards.get(config.reward)
    run = run or MemoryRun()
    tables, pulls = initial_tables(), 0
    if restored := run.restore():
        tables, pulls = unflatten(tables, restored.arrays), restored.state["pull"]
        check_reached(restored, step=pulls)
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
        if keep or pulls % config.checkpoint_every == 0 or pulls == config.pulls:
            run.save(tables, {"step": pulls, "pull": pulls}, best=False, keep=keep)
    return Agent(config, tables)


def initial_tables() -> dict[str, np.ndarray]:
    """Nothing preferred, nothing known."""
    return {"logits": np.zeros((ARMS, SKILLS)), "preferences": np.zeros((SKILLS, ARMS))}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


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
    train="bandit:train",
    agent="bandit:restored_agent",
    free=frozenset({"pulls", "log_every", "checkpoint_every", "keep_every"}),
)
