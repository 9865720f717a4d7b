"""Training an agent from its own discriminator's reward. What it learns by is in `irrl.digits.ram` and `fast`."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Int, Key

from irrl import checkpoint, keys, learning
from irrl.checkpoint import Checkpoint
from irrl.devices import AXIS, in_32_bits, is_mine, mesh, my_share, on_every, rows_at_once, shares, summed_over_parts
from irrl.digits.config import AgentConfig, Config, TrainingConfig
from irrl.digits.data import CLASSES
from irrl.digits.episode import Metrics, sample_noise
from irrl.digits.evaluate import BATCH, Agent, load_agent
from irrl.digits.networks import Params, initial_params, judge, network_of
from irrl.digits.source import Epoch, Source, warn_of_prior
from irrl.engine.loop import Learner, Pace, Schedule, learn
from irrl.errors import UserError
from irrl.learning import check_finite, means, zero_sums
from irrl.run import MemoryRun, Run
from irrl.settings import part

Row = int | Int[Array, ""]
"""Which batch of an epoch."""


class TrainState(NamedTuple):
    """All that training carries from one step to the next."""

    params: Params
    optimizer: optax.OptState
    step: Int[Array, ""]
    metrics: Metrics


def initial_state(config: Config, steps_per_epoch: int) -> TrainState:
    """Fresh parameters and optimiser."""
    params = initial_params(config, key=keys.key(config.seed, "initial parameters"))
    optimizer = network_of(config).optimizer(config, steps_per_epoch)
    return TrainState(params, optimizer.init(params), jnp.int32(0), zero_sums(Metrics))


class Oracle(NamedTuple):
    """A frozen agent, whose discriminator pays for the glimpses of another."""

    params: Params
    config: AgentConfig


class Program(NamedTuple):
    """The settings that a compiled training depends on: no seed, no budget."""

    agent: AgentConfig
    training: TrainingConfig
    oracle: AgentConfig | None


def train_step(
    state: TrainState, epoch: Epoch, row: Row, root: Key[Array, ""], oracle: Params | None, program: Program
) -> TrainState:
    """One batch: run the agent, replay it for the gradient, take a step of the optimiser.

    Each device takes its share of the episodes; the gradient is summed over all, so that they stay in step.
    """
    config, training = program.agent, program.training
    network = network_of(config)
    noise = sample_noise(config, training.batch, key=keys.key(root, "rollout", state.step), explore=True)

    def gradient_of(index, weights, noise):
        rolled = network.rollout(state.params, epoch.canvases, index, noise, config)
        oracle_log_probs = None
        if program.oracle is not None:
            oracle_log_probs = judge(oracle, rolled.glimpses, rolled.locations, program.oracle)
        loss = jax.grad(network.loss, has_aux=True)
        return loss(state.params, rolled, epoch.labels[index], weights, config, oracle_log_probs)

    share = my_share((epoch.order[row], epoch.weights[row], noise))
    gradient, sums = summed_over_parts(gradient_of, share, training.part)
    gradient, sums = jax.lax.psum((gradient, sums), AXIS)
    gradient = jax.tree.map(lambda total: total / sums.canvases, gradient)
    optimizer = network.optimizer(training, epoch.order.shape[0])
    updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
    return TrainState(
        optax.apply_updates(state.params, updates),
        optimizer_state,
        state.step + 1,
        jax.tree.map(jnp.add, state.metrics, sums),
    )


def train_steps(
    state: TrainState, epoch: Epoch, start: Row, stop: Row, *, config: Config, oracle: Oracle | None = None
) -> TrainState:
    """Steps `start` to `stop` of an epoch in one compiled loop, on every device of `mesh(config.batch)`."""
    frozen = (None, None) if oracle is None else (oracle.params, oracle.config)
    program = Program(part(AgentConfig, config), config.program, frozen[1])
    return _train_steps(state, epoch, start, stop, keys.root(config.seed), frozen[0], program)


@partial(jax.jit, static_argnames="program", donate_argnames="state")
def _train_steps(
    state: TrainState,
    epoch: Epoch,
    start: Row,
    stop: Row,
    root: Key[Array, ""],
    oracle: Params | None,
    program: Program,
) -> TrainState:
    def loop(state, epoch, start, stop, root, oracle):
        def step(row, state):
            return train_step(state, epoch, row, root, oracle, program)

        return jax.lax.fori_loop(start, stop, step, state)

    everywhere, devices = PartitionSpec(), mesh(program.training.batch)
    split = jax.shard_map(loop, mesh=devices, in_specs=everywhere, out_specs=everywhere, check_vma=False)
    return split(state, epoch, start, stop, root, oracle)


def check_reward(config: Config) -> None:
    """Try the reward as `loss` will call it.

    Raises:
        UserError: it cannot be used.
    """
    rows = rows_at_once(config.batch, config.part)
    batch = (rows,) if config.agent == "ram" else (config.glimpses, rows)  # who is paid for each answer
    learning.check_reward(config.reward, batch, CLASSES, leak=config.reward_gradient == "leak")


def oracle_of(config: Config) -> Oracle | None:
    """The agent that `config.oracle` names, if any.

    Raises:
        UserError: it cannot be loaded, or its glimpses are not those of `config`.
    """
    if not config.oracle:
        return None
    agent = load_agent(config.oracle)
    if name := config.glimpse_difference(agent.config):
        raise UserError(
            f"`oracle={config.oracle}`: its {name} is {getattr(agent.config, name)}, "
            f"this agent's {getattr(config, name)}; both must see the same glimpses"
        )
    return Oracle(agent.params, part(AgentConfig, agent.config))


class Training(Learner[TrainState]):
    """An agent's training, as the host loop asks for it: its rows tell of epochs, its steps are batches."""

    score = "validation_accuracy"

    def __init__(self, config: Config, source: Source):
        self._config, self._source = config, source
        self._steps = source.steps_per_epoch
        self._epoch: Epoch | None = None
        oracle = oracle_of(config)
        self.notes = {} if oracle is None else {"oracle": checkpoint.digest(checkpoint.flatten(oracle.params))}
        if config.mnist:
            self.notes["mnist"] = source.mnist.digest()
            warn_of_prior(config, source.mnist)
        self._oracle = oracle and oracle._replace(params=on_every(mesh(config.batch), oracle.params))

    def start(self, saved: Checkpoint | None) -> tuple[TrainState, int]:
        """Fresh parameters, or the saved ones: of this task's own training, with the same oracle and digits."""
        state = initial_state(self._config, self._steps)
        if saved is not None:
            if not any(name.startswith("optimizer.") for name in saved.arrays):
                raise UserError("an imported agent cannot be trained on: its optimiser's state is not there")
            state = checkpoint.unflatten(state, saved.arrays)
            for name, what in (("oracle", "weights"), ("mnist", "digits")):
                if saved.state.get(name, self.notes.get(name)) != self.notes.get(name):
                    given = f"`{name}={getattr(self._config, name)}`"
                    raise UserError(f"{given}: its {what} are not those with which this run began")
        return on_every(mesh(self._config.batch), state), int(state.step)

    def progress(self, step: int) -> dict[str, int]:
        """Whole epochs."""
        return {"epoch": step // self._steps}

    def advance(self, state: TrainState, step: int, until: int) -> TrainState:
        """Some steps; an epoch's canvases are there from its first step, or a resume, to its last."""
        while step < until:
            number, row = divmod(step, self._steps)
            stop = min(self._steps, row + until - step)
            if self._epoch is None:
                self._epoch = self._source.epoch(number + 1)
            state = train_steps(state, self._epoch, row, stop, config=self._config, oracle=self._oracle)
            state = jax.block_until_ready(state)
            if stop == self._steps:
                self._epoch = None  # a second epoch's canvases beside these would take as much memory again
            step += stop - row
        return state

    def check(self, state: TrainState, step: int) -> None:
        """Weights, and what was summed up."""
        check_finite((state.metrics, state.params), f"epoch {(step - 1) // self._steps + 1}")

    def row(self, state: TrainState, step: int, pace: Pace) -> tuple[dict[str, Any], TrainState]:
        """Means over the canvases of an epoch, or of several."""
        images = self._images(step) - self._images(step - pace.steps)
        speed = {"seconds": pace.seconds, "images_per_second": images / pace.seconds}
        empty = jax.tree.map(jnp.zeros_like, state.metrics)
        return means(state.metrics) | speed, state._replace(metrics=empty)

    def _images(self, step: int) -> int:
        """Canvases of so many steps: an epoch's last batch may be partial."""
        epochs, batches = divmod(step, self._steps)
        return epochs * self._source.size + batches * self._config.batch

    def evaluate(self, state: TrainState) -> dict[str, Any]:
        """On the canvases that were held out; nothing in a process that has no share in it."""
        if not is_mine(mesh(BATCH)):
            return {}
        agent = Agent(self._config, state.params)
        return {"validation_accuracy": agent.accuracy(self._source.validation, seed=self._config.seed)}

    def arrays(self, state: TrainState) -> dict[str, np.ndarray]:
        """Parameters, optimiser, step and sums."""
        return checkpoint.flatten(state)


@in_32_bits
def train(config: Config, run: Run | None = None, source: Source | None = None) -> Agent:
    """Train until `config.epochs`, or until `run.stop_requested`, going on from the state `run` holds, if any.

    Every `config.log_every` epochs a row of metrics goes to `run`: means over the training canvases, validation
    accuracy when due, seconds and images per second. With no `run` the rows are lost and only the agent comes back.

    Returns:
        The agent as it is at the end; the best by validation is in the run's folder.

    Raises:
        UserError: the reward cannot be used, or the loss, a reward or a weight became NaN or infinite; the last
            checkpoint from before stands.
    """
    run = run or MemoryRun()
    run.threads = shares(config.batch)
    check_reward(config)
    source = source or Source(config)
    epoch = source.steps_per_epoch
    schedule = Schedule(
        steps=config.epochs * epoch,
        row_every=config.log_every * epoch,
        evaluate_every=config.evaluate_every * epoch,
        checkpoint_every=config.checkpoint_every * epoch,
        keep_every=config.keep_every * epoch,
        keep_first=config.keep_every > 0,
    )
    training = Training(config, source)
    return Agent(config, learn(training, schedule, run)[0].params, trained_on=training.notes.get("mnist", ""))
