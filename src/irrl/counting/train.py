"""Training the counting robot from its own discriminator's reward: the algorithm, top to bottom."""

import time
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, Key

from irrl import checkpoint, keys, learning, rewards
from irrl.counting import render
from irrl.counting.config import Config
from irrl.counting.evaluate import Agent
from irrl.counting.model import Rollout, Tables, chances, cost_of_choosing, draw, replay, rollout, tables_of, worth
from irrl.counting.network import Params, calibrated, find, initial_params
from irrl.counting.source import Round, Source
from irrl.devices import AXIS, in_32_bits, mesh, my_share, on_every, rows_at_once, summed_over_parts
from irrl.learning import check_finite, means, zero_sums
from irrl.run import MemoryRun, Run

Row = int | Int[Array, ""]
"""Which batch of a round."""

SECONDS_BETWEEN_LOOKS = 0.3
"""How long the device works before the host looks up: progress, Ctrl-C, and the drawing of the next scenes, in many
short steps of the device. It changes nothing that is learned."""

DIRECTION_ENTROPY = 0.01
"""What a nat of entropy of where to go is worth, in units of the reward."""

TYPICAL = 128
"""Scenes to whose pictures an untrained detector's sums are scaled."""


class Metrics(NamedTuple):
    """Sums over the episodes of this round so far, of what a robot may expect that stops by chance."""

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

    def rate(factor: float = 1.0) -> optax.ScalarOrSchedule:
        first = factor * config.learning_rate
        steps = config.decay_episodes // config.batch
        return optax.cosine_decay_schedule(first, steps, alpha=0.01) if steps else first

    return optax.contrib.muon(
        rate(config.muon_rate),
        adam_learning_rate=rate(),
        consistent_rms=0.2,  # a step as long as Adam's usually are
        muon_weight_dimension_numbers=cast(Any, _of_muon),
    )


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
    params: Params, rolled: Rollout, tables: Tables, index: Int[Array, "batch"], config: Config
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


def train_step(state: TrainState, round: Round, row: Row, root: Key[Array, ""], config: Config) -> TrainState:
    """One batch: walk, replay it for the gradient, take a step of the optimiser.

    Each device takes its share of the episodes; the gradient is summed over all, so that they stay in step.
    """
    draws = draw(config, config.batch, key=keys.key(root, "rollout", state.step))
    jitter = None
    if config.jitter:
        jitter = render.jittered(config.batch, config.jitter, keys.key(root, "jitter", state.step))

    def gradient_of(index, draws, jitter):
        rolled = rollout(state.params, round.tables, index, draws, config, jitter)
        return jax.grad(loss, has_aux=True)(state.params, rolled, round.tables, index, config)

    share = my_share((round.order[row], draws, jitter))
    gradient, sums = jax.lax.psum(summed_over_parts(gradient_of, share, config.part), AXIS)
    gradient = jax.tree.map(lambda total: total / sums.episodes, gradient)
    updates, optimizer_state = optimizer(config).update(gradient, state.optimizer, cast(Any, state.params))
    return TrainState(
        cast(Params, optax.apply_updates(cast(Any, state.params), updates)),
        optimizer_state,
        state.step + 1,
        jax.tree.map(jnp.add, state.metrics, sums),
    )


def train_steps(state: TrainState, round: Round, start: Row, stop: Row, *, config: Config) -> TrainState:
    """Steps `start` to `stop` of a round in one compiled loop, on every device of `mesh(config.batch)`."""
    return _train_steps(state, round, start, stop, keys.root(config.seed), config.program)


@partial(jax.jit, static_argnames="config", donate_argnames="state")
def _train_steps(
    state: TrainState, round: Round, start: Row, stop: Row, root: Key[Array, ""], config: Config
) -> TrainState:
    def loop(state, round, start, stop, root):
        def step(row, state):
            return train_step(state, round, row, root, config)

        return jax.lax.fori_loop(start, stop, step, state)

    everywhere = PartitionSpec()
    split = jax.shard_map(loop, mesh=mesh(config.batch), in_specs=everywhere, out_specs=everywhere, check_vma=False)
    return split(state, round, start, stop, root)


def check_reward(config: Config) -> None:
    """Try the reward as `loss` will call it.

    Raises:
        UserError: it cannot be used.
    """
    batch = config.steps, rows_at_once(config.batch, config.part)
    learning.check_reward(config.reward, batch, config.classes, tuple(config.count_weights))


@in_32_bits
def train(config: Config, run: Run | None = None, source: Source | None = None) -> Params:
    """Train until `config.episodes`, or until `run.stop_requested`, going on from the state `run` holds, if any.

    Each round logs one row of metrics to `run`: means over its episodes, validation, seconds and frames per second.
    With no `run` the rows are lost and only the parameters come back.

    Raises:
        UserError: the reward cannot be used, or the loss or a weight became NaN or infinite; the last checkpoint from
            before stands.
    """
    check_reward(config)
    run = run or MemoryRun()
    source = source or Source(config)
    steps = source.steps_per_round
    typical = tables_of(config, source.validation.take(np.arange(min(TYPICAL, config.validation_size))))
    run.threads = mesh(config.batch).size
    if restored := run.restore():
        like = jax.eval_shape(partial(initial_state, config), typical)
        state, best = checkpoint.unflatten(like, restored.arrays), restored.state.get("best", -1.0)
        checkpoint.check_reached(restored, step=int(state.step), episode=int(state.step) * config.batch)
    else:
        state, best = initial_state(config, typical), -1.0
    state = on_every(mesh(config.batch), state)

    while (first := int(state.step)) < config.train_steps and not run.stop_requested:
        number, began = first // steps + 1, time.perf_counter()
        state = train_round(state, source.round(number), config, run)
        step = int(state.step)
        check_finite((state.metrics, state.params), f"round {number}")
        finished, improved = step in (number * steps, config.train_steps), False
        if finished:
            row = {"step": step, "episode": step * config.batch} | means(state.metrics)
            row["seconds"] = time.perf_counter() - began
            row["frames_per_second"] = (step - first) * config.batch * config.steps / row["seconds"]
            validation = Agent(config, state.params).test(source.validation)
            row |= {"validation_accuracy": validation.accuracy, "validation_moves": validation.mean_moves}
            row |= {f"validation_accuracy/{moves}": share for moves, share in enumerate(validation.by_moves)}
            improved = validation.accuracy > best
            best = max(best, validation.accuracy)
            run.log(row)
            state = state._replace(metrics=jax.tree.map(jnp.zeros_like, state.metrics))
        keep = finished and config.keep_every > 0 and number % config.keep_every == 0
        progress = {"step": step, "episode": step * config.batch, "best": best}
        run.save(checkpoint.flatten(state), progress, best=improved, keep=keep)
    return state.params


def train_round(state: TrainState, round: Round, config: Config, run: Run) -> TrainState:
    """The rest of a round, in looks of about a second; ends early when `run.stop_requested`."""
    steps = config.round // config.batch
    row, look = int(state.step) % steps, 1
    end = min(steps, row + config.train_steps - int(state.step))
    while row < end and not run.stop_requested:
        began, stop = time.perf_counter(), min(row + look, end)
        state = train_steps(state, round, row, stop, config=config)
        run.progress(int(state.step), config.train_steps)
        look = max(1, int((stop - row) * SECONDS_BETWEEN_LOOKS / (time.perf_counter() - began)))
        row = stop
    return state
