"""Training the counting robot from its own discriminator's reward: the algorithm, top to bottom."""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, Key

from irrl import checkpoint, keys, learning, rewards
from irrl.checkpoint import Checkpoint
from irrl.counting import render
from irrl.counting.config import Config
from irrl.counting.evaluate import BATCH, Agent
from irrl.counting.jitter import jittered
from irrl.counting.model import Rollout, Tables, chances, cost_of_choosing, draw, replay, rollout, tables_of, worth
from irrl.counting.network import Params, calibrated, find, initial_params
from irrl.counting.source import Round, Source
from irrl.devices import AXIS, in_32_bits, is_mine, mesh, my_share, on_every, rows_at_once, shares, summed_over_parts
from irrl.engine.loop import Learner, Pace, Schedule, learn
from irrl.learning import check_finite, means, muon, step_size, zero_sums
from irrl.run import MemoryRun, Run

Row = int | Int[Array, ""]
"""Which batch of a round."""

DIRECTION_ENTROPY = 0.01
"""What a nat of entropy of where to go is worth, in units of the reward."""

TYPICAL = 128
"""Scenes to whose pictures an untrained detector's sums are scaled."""


class Metrics(NamedTuple):
    """Sums over the episodes since the last row, of what a robot may expect that stops by chance."""

    episodes: Float[Array, ""]
    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    reward: Float[Array, ""]
    classification_loss: Float[Array, ""]
    baseline_loss: Float[Array, ""]
    moves: Float[Array, ""]


class TrainState(NamedTuple):
    """All that training carries from one step to the next."""

    params: Params
    optimizer: optax.OptState
    step: Int[Array, ""]
    metrics: Metrics


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam, and Muon for weights between two hidden layers; step sizes constant or falling along a cosine."""
    first, steps = config.learning_rate, config.decay_episodes // config.batch
    return muon(step_size(config.muon_rate * first, steps), step_size(first, steps), _of_muon)


def _of_muon(params: Params) -> Params:
    """Which arrays Muon trains: the weights of layers between two hidden layers, or from the image to one."""
    none = jax.tree.map(lambda array: None, params)
    matrix = optax.contrib.MuonDimensionNumbers()
    hidden = ("core_input", "core_hidden")  # not the policy's: a step as long as any, of nothing but noise, is no good
    layers = {name: getattr(none, name)._replace(weight=matrix) for name in hidden}
    detector = type(none.detector)(*(layer._replace(weight=matrix) for layer in none.detector))
    return none._replace(
        detector=detector, told=none.told._replace(weight=optax.contrib.MuonDimensionNumbers(1, 2)), **layers
    )


def initial_state(config: Config, tables: Tables) -> TrainState:
    """Fresh parameters and optimiser.

    Args:
        tables: of scenes whose pictures, not answers, are typical (`calibrated`).
    """
    params = initial_params(config, key=keys.key(config.seed, "initial parameters"))
    view = render.View(tables.kind, tables.place, tables.yaw, jnp.zeros(len(tables.kind)))
    params = calibrated(params, find(params.detector, render.render(config.program, view).rgb, config).sums)
    return TrainState(params, optimizer(config).init(cast(Any, params)), jnp.int32(0), zero_sums(Metrics))


def loss(
    params: Params, rolled: Rollout, tables: Tables, index: Int[Array, " batch"], config: Config
) -> tuple[Float[Array, ""], Metrics]:
    """Classification, baseline and policy losses of some walks, summed.

    Walks go on for all moves. So it is known, image by image, whether stopping there would have paid more than going
    on and stopping later: the policy classifies its situations into these two, each weighted by what the wrong choice
    costs (Lagoudakis and Parr 2003). The likelier choice is then the one that pays on average, as it is for the policy
    gradient; but a choice of which it is sure and which is wrong, for which that gradient vanishes, is the one that is
    corrected most. Which way it goes is credited as in REINFORCE, with what the walk is worth from there on less the
    baseline, as often as it gets there, and a little entropy keeps it from being final.
    """
    outputs = replay(params, rolled, tables, index, config)
    time, batch = outputs.stop.shape
    target = jnp.broadcast_to(tables.answer[index], (time, batch))
    prior = jnp.array(config.count_weights)
    reward = rewards.pay(rewards.get(config.reward), outputs.log_probs, target, prior, config.reward)
    moves = jnp.arange(time, dtype=jnp.float32)[:, None]
    # A share, not a price: an ignorant robot, paid nothing wherever it stops, learns nothing about when to.
    left = (1 - config.latency) ** moves
    paid = jax.lax.stop_gradient(reward) * jnp.where(reward > 0, left, 2 - left)
    stop = jax.lax.stop_gradient(outputs.stop)
    there = chances(stop)
    # Of a robot that stops where that is likelier than not, as it does when it is tested.
    after = worth(jnp.where(stop > 0.5, 1.0, 0.0), paid)[1:]
    policy_loss = jnp.zeros(batch)
    if config.policy == "learned":
        mistaken = cost_of_choosing(outputs.stop_log_odds[:-1], paid[:-1] - after)
        advantage = after - jax.lax.stop_gradient(outputs.baseline[:-1])
        directed = advantage * outputs.direction_log_prob[:-1] + DIRECTION_ENTROPY * outputs.direction_entropy[:-1]
        policy_loss = (there[:-1] * mistaken - there[1:] * directed).sum(0)
    baseline_loss = (there[1:] * (outputs.baseline[:-1] - after) ** 2).sum(0)
    nats = -jnp.take_along_axis(outputs.log_probs, target[..., None], axis=-1)[..., 0]
    ends = there * stop
    # Half for every image, so that it may stop after any; half for where it does.
    learned = (nats.mean(0) + (ends * nats).sum(0)) / 2
    losses = learned + baseline_loss + config.reinforce_weight * policy_loss
    correct = outputs.log_probs.argmax(-1) == target
    per_episode = (
        losses,
        *((ends * each).sum(0) for each in (correct, reward, nats)),
        baseline_loss,
        (ends * moves).sum(0),
    )
    sums = Metrics(jnp.float32(batch), *(values.sum() for values in per_episode))
    return sums.loss, sums


def train_step(state: TrainState, drawn: Round, row: Row, root: Key[Array, ""], config: Config) -> TrainState:
    """One batch: walk, replay it for the gradient, take a step of the optimiser.

    Each device takes its share of the episodes; the gradient is summed over all, so that they stay in step.
    """
    draws = draw(config, config.batch, key=keys.key(root, "rollout", state.step))
    jitter = None
    if config.jitter:
        jitter = jittered(config.batch, config.jitter, keys.key(root, "jitter", state.step))

    def gradient_of(index, draws, jitter):
        rolled = rollout(state.params, drawn.tables, index, draws, config, jitter)
        return jax.grad(loss, has_aux=True)(state.params, rolled, drawn.tables, index, config)

    share = my_share((drawn.order[row], draws, jitter))
    gradient, sums = jax.lax.psum(summed_over_parts(gradient_of, share, config.part), AXIS)
    gradient = jax.tree.map(lambda total: total / sums.episodes, gradient)
    updates, optimizer_state = optimizer(config).update(gradient, state.optimizer, cast(Any, state.params))
    return TrainState(
        cast(Params, optax.apply_updates(cast(Any, state.params), updates)),
        optimizer_state,
        state.step + 1,
        jax.tree.map(jnp.add, state.metrics, sums),
    )


def train_steps(state: TrainState, drawn: Round, start: Row, stop: Row, *, config: Config) -> TrainState:
    """Steps `start` to `stop` of a round in one compiled loop, on every device of `mesh(config.batch)`."""
    return _train_steps(state, drawn, start, stop, keys.root(config.seed), config.program)


@partial(jax.jit, static_argnames="config", donate_argnames="state")
def _train_steps(
    state: TrainState, drawn: Round, start: Row, stop: Row, root: Key[Array, ""], config: Config
) -> TrainState:
    def loop(state, drawn, start, stop, root):
        def step(row, state):
            return train_step(state, drawn, row, root, config)

        return jax.lax.fori_loop(start, stop, step, state)

    everywhere = PartitionSpec()
    split = jax.shard_map(loop, mesh=mesh(config.batch), in_specs=everywhere, out_specs=everywhere, check_vma=False)
    return split(state, drawn, start, stop, root)


def check_reward(config: Config) -> None:
    """Try the reward as `loss` will call it.

    Raises:
        UserError: it cannot be used.
    """
    batch = config.steps, rows_at_once(config.batch, config.part)
    learning.check_reward(config.reward, batch, config.classes, tuple(config.count_weights))


class Training(Learner[TrainState]):
    """A robot's training, as the host loop asks for it: its rows tell of rounds, its steps are batches."""

    score = "validation_accuracy"
    seconds_between_looks = 0.3
    """in many short steps of the device, for the next scenes are drawn there meanwhile"""

    def __init__(self, config: Config, source: Source):
        self._config, self._source = config, source
        self._steps = source.steps_per_round
        self._round: Round | None = None

    def start(self, saved: Checkpoint | None) -> tuple[TrainState, int]:
        """Fresh parameters, or the saved ones."""
        config = self._config
        few = self._source.validation.take(np.arange(min(TYPICAL, config.validation_size)))
        typical = tables_of(config, few)
        if saved is None:
            state = initial_state(config, typical)
        else:
            like = jax.eval_shape(partial(initial_state, config), typical)
            state = checkpoint.unflatten(like, saved.arrays)
        return on_every(mesh(config.batch), state), int(state.step)

    def progress(self, step: int) -> dict[str, int]:
        """Episodes."""
        return {"episode": step * self._config.batch}

    def advance(self, state: TrainState, step: int, until: int) -> TrainState:
        """Some steps, round after round; a round's scenes are there from its first step, or a resume, to its last."""
        while step < until:
            number, row = divmod(step, self._steps)
            if self._round is None:
                self._round = self._source.scenes_of_round(number + 1)
            stop = min(self._steps, row + until - step)
            state = jax.block_until_ready(train_steps(state, self._round, row, stop, config=self._config))
            step += stop - row
            if stop == self._steps:
                self._round = None
        return state

    def check(self, state: TrainState, step: int) -> None:
        """Weights, and what was summed up."""
        check_finite((state.metrics, state.params), f"round {(step - 1) // self._steps + 1}")

    def row(self, state: TrainState, step: int, pace: Pace) -> tuple[dict[str, Any], TrainState]:
        """Means over the episodes since the last row."""
        frames = pace.steps * self._config.batch * self._config.steps
        speed = {"seconds": pace.seconds, "frames_per_second": frames / pace.seconds}
        empty = jax.tree.map(jnp.zeros_like, state.metrics)
        return means(state.metrics) | speed, state._replace(metrics=empty)

    def evaluate(self, state: TrainState) -> dict[str, Any]:
        """On the scenes that were held out; nothing in a process that has no share in it."""
        if not is_mine(mesh(BATCH)):
            return {}
        found = Agent(self._config, state.params).count(self._source.validation)
        by_moves = {f"validation_accuracy/{moves}": share for moves, share in enumerate(found.by_moves)}
        return {"validation_accuracy": found.accuracy, "validation_moves": found.mean_moves} | by_moves

    def arrays(self, state: TrainState) -> dict[str, np.ndarray]:
        """Parameters, optimiser, step and sums."""
        return checkpoint.flatten(state)


@in_32_bits
def train(config: Config, run: Run | None = None, source: Source | None = None) -> Agent:
    """Train until `config.episodes`, or until `run.stop_requested`, going on from the state `run` holds, if any.

    Every `log_every` episodes one row of metrics goes to `run`: means over them, validation, seconds, frames per
    second. With no `run` the rows are lost and only the agent comes back.

    Raises:
        UserError: the reward cannot be used, or the loss or a weight became NaN or infinite; the last checkpoint from
            before stands.
    """
    run = run or MemoryRun()
    run.threads = shares(config.batch)
    check_reward(config)
    source = source or Source(config)
    per_round = source.steps_per_round
    rounds = -(-config.train_steps // per_round)
    schedule = Schedule(
        steps=config.train_steps,
        row_every=config.log_every // config.batch or per_round,
        checkpoint_every=config.checkpoint_every // config.batch or per_round,
        keep_every=config.keep_steps,
        # The last round may be shorter, but it counts.
        keep_last=config.keep_steps > 0 and rounds * per_round % config.keep_steps == 0,
    )
    return Agent(config, learn(Training(config, source), schedule, run)[0].params)
