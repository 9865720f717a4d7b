"""Training: the kernel under the host loop."""

from typing import Any

import numpy as np

from irrl import keys
from irrl.checkpoint import Checkpoint, unflatten
from irrl.engine.loop import Learner, Pace, Schedule, learn
from irrl.errors import UserError
from irrl.rewards import Reward
from irrl.run import MemoryRun, Run
from irrl.skills import kernel
from irrl.skills.agent import Agent
from irrl.skills.compiled_reward import CompiledReward, compile_reward
from irrl.skills.config import Config
from irrl.skills.evaluate import last_occupancy, measure, noise, policy_of, tables_like
from irrl.skills.four_rooms import ACTIONS, FourRooms, rooms_of
from irrl.skills.kernel import Settings, Tables


def initial_tables(config: Config, rooms: FourRooms) -> Tables:
    """Fresh tables, uniform in [0, 1), as in Li et al. 2023; state 0's row of the discriminators is 0 and stays so."""
    rng = keys.generator(config.seed, "initial parameters")
    states = len(rooms.cells)
    q, bonus_q = (rng.random((config.skills, states, len(ACTIONS)), np.float32) for _ in range(2))
    logits = rng.random((config.ensemble, states, config.skills), np.float32)
    logits[:, 0] = 0
    chance = keys.generator(config.seed, "rollout").integers(2**63, size=1, dtype=np.uint64)
    gap = np.array([kernel.draw_gap(chance, config.epsilon)], np.uint64)
    return Tables(q, bonus_q, logits, np.concatenate([chance, gap]), np.zeros(3))


def kernel_settings(config: Config, reward: CompiledReward) -> Settings:
    """A config in the kernel's terms; 0 for 0.0 would make Numba compile another kernel."""
    return Settings(
        steps=config.steps,
        batch=config.batch,
        epsilon=float(config.epsilon),
        discount=float(config.discount),
        trace=float(config.trace),
        learning_rate=float(config.learning_rate),
        discriminator_rate=float(config.discriminator_rate),
        bonus_weight=float(config.disdain),
        by_argmax=reward.by_argmax,
    )


class Training(Learner[Tables]):
    """A run of the kernel, as the host loop asks for it: its steps are iterations."""

    def __init__(self, config: Config):
        self._config = config
        self._rooms, self._reward = rooms_of(config.rooms), compile_reward(config.reward, config.skills)
        self._settings = kernel_settings(config, self._reward)
        self._batch = kernel.empty_batch(tables_like(config, self._rooms), self._settings)

    def start(self, saved: Checkpoint | None) -> tuple[Tables, int]:
        """Fresh tables, or the saved ones."""
        if saved is None:
            return initial_tables(self._config, self._rooms), 0
        # Compiled code trusts the shapes: it would write outside an array.
        return unflatten(tables_like(self._config, self._rooms), saved.arrays), saved.state["iteration"]

    def progress(self, step: int) -> dict[str, int]:
        """Iterations."""
        return {"iteration": step}

    def advance(self, state: Tables, step: int, until: int) -> Tables:
        """Some iterations, in place."""
        kernel.train(state, self._settings, self._rooms.dynamics, self._reward.pay, self._batch, until - step)
        return state

    def check(self, state: Tables, step: int) -> None:
        """All tables."""
        if not all(np.isfinite(table).all() for table in (state.q, state.bonus_q, state.logits)):
            raise UserError(
                f"a table became NaN or infinite before iteration {step}; whatever checkpoint was made before "
                "stands; try another `reward` or `learning_rate` in another folder"
            )

    def row(self, state: Tables, step: int, pace: Pace) -> tuple[dict[str, Any], Tables]:
        """What `measured` tells, and the pace."""
        found = measured(state, self._config, self._rooms, step, self._reward.plain)
        speed = {"seconds": pace.seconds, "microseconds_per_iteration": 1e6 * pace.seconds / pace.steps}
        state.paid[:] = 0
        return found | speed, state

    def arrays(self, state: Tables) -> dict[str, np.ndarray]:
        """The tables."""
        return state._asdict()


def train(config: Config, run: Run | None = None) -> Agent:
    """Train until `config.iterations`, or until asked to stop, going on from the state `run` holds, if any.

    Every `log_every` iterations one row of metrics goes to `run`. With no `run` the rows are lost.

    Raises:
        UserError: the reward cannot be used, or a table became NaN or infinite; the last checkpoint from before stands.
    """
    schedule = Schedule(
        steps=config.iterations,
        row_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        keep_every=config.keep_every,
    )
    tables, iteration = learn(Training(config), schedule, run or MemoryRun())
    return Agent(config, tables, iteration)


def measured(tables: Tables, config: Config, rooms: FourRooms, iteration: int, own: Reward) -> dict[str, float]:
    """Metrics by name: what was paid since the last row, `measure` of the agent as it is, and its noise.

    Args:
        own: the training's reward.
    """
    iterations, reward, bonus = tables.paid.tolist()
    rng = keys.generator(config.seed, "evaluation", iteration)
    policy = policy_of(tables, config, rooms)
    final = last_occupancy(policy, config.epsilon)
    paid = {"reward": reward / iterations, "bonus": bonus / iterations}
    return paid | measure(policy, final, config, rng) | noise(policy, final, config, own)
