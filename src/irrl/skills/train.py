"""Training: the kernel in chunks of about a second, several runs side by side, a row of metrics now and then."""

import time
from typing import Any

import numpy as np

from irrl import keys
from irrl.checkpoint import check_reached, unflatten
from irrl.errors import UserError
from irrl.rewards import Reward
from irrl.run import MemoryRun, Run
from irrl.skills import kernel
from irrl.skills.config import Config
from irrl.skills.evaluate import agent_of, last_occupancy, measure, noise, tables_like
from irrl.skills.four_rooms import ACTIONS, FourRooms, rooms_of
from irrl.skills.kernel import Settings, Tables
from irrl.skills.paid import CompiledReward, compile_reward

SECONDS_BETWEEN_LOOKS = 1.0
"""How long a compiled call takes, about: what the user waits for after Ctrl-C."""


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


def train(config: Config, run: Run | None = None) -> Tables:
    """Train until `config.iterations`, or until asked to stop, going on from the state `run` holds, if any.

    Every `log_every` iterations one row of metrics goes to `run`. With no `run` the rows are lost.

    Raises:
        UserError: the reward cannot be used, or a table became NaN or infinite; the last checkpoint from before stands.
    """
    run = run or MemoryRun()
    rooms, reward = rooms_of(config.rooms), compile_reward(config.reward, config.skills)
    tables, settings, iteration = initial_tables(config, rooms), kernel_settings(config, reward), 0
    if restored := run.restore():
        # Compiled code trusts the shapes: it would write outside an array.
        tables, iteration = unflatten(tables_like(config, rooms), restored.arrays), restored.state["iteration"]
        check_reached(restored, step=iteration)
    batch = kernel.empty_batch(tables, settings)
    look, first, began, stop = 1, iteration, time.perf_counter(), False

    while iteration < config.iterations and not stop:
        intervals = (config.log_every, config.checkpoint_every, config.keep_every or config.iterations)
        until = min(next_multiple(iteration, every) for every in intervals)
        until = min(until, iteration + look, config.iterations)
        before = time.perf_counter()
        kernel.train(tables, settings, rooms.dynamics, reward.pay, batch, until - iteration)
        look = max(1, round((until - iteration) * SECONDS_BETWEEN_LOOKS / (time.perf_counter() - before)))
        iteration = until
        if not all(np.isfinite(table).all() for table in (tables.q, tables.bonus_q, tables.logits)):
            raise UserError(
                f"a table became NaN or infinite before iteration {iteration}; whatever checkpoint was made before "
                "stands; try another --reward or --learning-rate in another folder"
            )
        run.progress(iteration, config.iterations)
        if iteration % config.log_every == 0 or iteration == config.iterations:
            seconds = time.perf_counter() - began
            pace = {"seconds": seconds, "microseconds_per_iteration": 1e6 * seconds / (iteration - first)}
            run.log(row(tables, config, rooms, iteration, reward.plain) | pace)
            first, began = iteration, time.perf_counter()
            tables.paid[:] = 0
        keep = config.keep_every > 0 and iteration % config.keep_every == 0
        stop = run.stop_requested
        if keep or stop or iteration % config.checkpoint_every == 0 or iteration == config.iterations:
            state = {"step": iteration, "iteration": iteration}
            run.save(tables._asdict(), state, best=False, keep=keep)
    return tables


def row(tables: Tables, config: Config, rooms: FourRooms, iteration: int, own: Reward) -> dict[str, Any]:
    """One row of metrics: what was paid since the last one, `measure` of the agent as it is, and its noise.

    Args:
        own: the training's reward.
    """
    iterations, reward, bonus = tables.paid.tolist()
    rng = keys.generator(config.seed, "evaluation", iteration)
    paid = {"step": iteration, "iteration": iteration, "reward": reward / iterations, "bonus": bonus / iterations}
    agent = agent_of(tables, config, rooms)
    final = last_occupancy(agent, config.epsilon)
    return paid | measure(agent, final, config, rng) | noise(agent, final, config, own)


def next_multiple(number: int, every: int) -> int:
    """The first multiple of `every` above `number`."""
    return (number // every + 1) * every
