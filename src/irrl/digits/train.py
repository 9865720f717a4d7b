"""Training the recurrent attention model from its own discriminator's reward: the algorithm, top to bottom."""

import time
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from irrl import checkpoint, keys, learning, rewards
from irrl.devices import AXIS, in_32_bits, mesh, my_share, on_every, rows_at_once, summed_over_parts
from irrl.digits.config import Config
from irrl.digits.data import CLASSES
from irrl.digits.evaluate import Agent, load_agent
from irrl.digits.model import Rollout, answers, baselines, draw, replay, rollout
from irrl.digits.network import Params, initial_params, perceive
from irrl.digits.source import Epoch, Source, warn_of_prior
from irrl.errors import UserError
from irrl.learning import check_finite, means, zero_sums
from irrl.returns import reinforce_with_baseline, returns_to_come
from irrl.rewards import Accuracy, SignedAccuracy
from irrl.run import MemoryRun, Run

Row = int | Int[Array, ""]
"""Which batch of an epoch."""

SECONDS_BETWEEN_LOOKS = 1.0
"""How long the device works before the host looks up: progress, Ctrl-C. It changes nothing that is learned."""


class Metrics(NamedTuple):
    """Sums over the canvases of this epoch so far."""

    canvases: Float[Array, ""]
    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    reward: Float[Array, ""]
    classification_loss: Float[Array, ""]
    baseline_loss: Float[Array, ""]
    glimpses: Float[Array, ""]


class TrainState(NamedTuple):
    """All that training carries from one step to the next."""

    params: Params
    optimizer: optax.OptState
    step: Int[Array, ""]
    metrics: Metrics


def optimizer(config: Config, steps_per_epoch: int) -> optax.GradientTransformation:
    """Adam, its step size constant or falling along a cosine to a hundredth; Muon for the hidden layers' weights."""

    def rate(factor: float = 1.0) -> optax.ScalarOrSchedule:
        first = factor * config.learning_rate
        if not config.decay_epochs:
            return first
        return optax.cosine_decay_schedule(first, config.decay_epochs * steps_per_epoch, alpha=0.01)

    everything = optax.adam(rate())
    if config.optimizer == "muon":
        everything = optax.contrib.muon(
            rate(config.muon_rate),
            adam_learning_rate=rate(),
            consistent_rms=0.2,  # a step as long as Adam's usually are
            muon_weight_dimension_numbers=cast(Any, _of_muon),
        )
    if config.policy_rate == 1:
        return everything

    def of_policy(params):
        return params._replace(**{name: name.startswith("locator") for name in Params._fields})

    return optax.chain(everything, optax.masked(optax.scale(config.policy_rate), of_policy))


def _of_muon(params: Params) -> Params:
    """Which arrays Muon trains: the weights of layers between two hidden layers, or from the glimpse to one."""
    none = jax.tree.map(lambda array: None, params)
    hidden = ("sensor", "encoder", "core", "locator_core", "locator_hidden")
    chosen = {name: layer for name, layer in none._asdict().items() if layer is not None and name.startswith(hidden)}
    matrix = optax.contrib.MuonDimensionNumbers()
    return none._replace(**{name: layer._replace(weight=matrix) for name, layer in chosen.items()})


def initial_state(config: Config, steps_per_epoch: int) -> TrainState:
    """Fresh parameters and optimiser."""
    params = initial_params(config, key=keys.key(config.seed, "initial parameters"))
    return TrainState(
        params, optimizer(config, steps_per_epoch).init(cast(Any, params)), jnp.int32(0), zero_sums(Metrics)
    )


LATENCY_DISCOUNT, LATENCY_WEIGHT = 0.99, 0.1
"""What DT-RAM's glimpses cost (Li et al. 2023)."""


def loss(
    params: Params,
    rolled: Rollout,
    labels: Int[Array, "batch"],
    weights: Float[Array, "batch"],
    config: Config,
    oracle: Params | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Classification, baseline and policy-gradient losses of some episodes (Li et al. 2023), weighted and summed.

    Args:
        oracle: a frozen agent, whose discriminator pays the reward for the same glimpses instead of this one's.
    """
    outputs = replay(params, rolled, config)
    targets = jnp.broadcast_to(labels, outputs.log_probs.shape[:2])
    judged = outputs.log_probs
    if oracle is not None:
        seen = rolled.sensor_inputs[..., : config.glimpse_features]
        judged = answers(oracle, perceive(oracle, seen, rolled.locations, config.patch), rolled, config)
    reward = rewards.pay(rewards.get(config.reward), judged, targets, 1 / CLASSES, config.reward)
    if config.reward_gradient == "stop":
        reward = jax.lax.stop_gradient(reward)
    correct = outputs.log_probs[-1].argmax(-1) == labels
    if config.model == "dt-ram":
        reward = less_latency(reward, rolled.stop_time, correct, weights, config)
    returns = returns_to_come(paid(reward, config), config.discount) if config.credit == "every" else reward[0]
    acting = jnp.arange(len(rolled.stops))[:, None] <= rolled.stop_time
    policy_loss, baseline_loss = jax.vmap(reinforce_with_baseline, in_axes=(1, -1, 1, 1))(
        outputs.action_log_probs, returns, baselines(params, rolled, labels, config), acting
    )
    log_q = jnp.take_along_axis(outputs.log_probs, targets[..., None], axis=-1)[..., 0]
    classification_loss = -log_q.mean(0)
    losses = classification_loss + baseline_loss + config.reinforce_weight * policy_loss
    means = losses, correct, reward.mean(0), classification_loss, baseline_loss, rolled.stop_time + 1
    sums = Metrics(weights.sum(), *((weights * values).sum() for values in means))
    return sums.loss, sums


def paid(reward: Float[Array, "time batch"], config: Config) -> Float[Array, "time batch"]:
    """What each answer is paid under dense credit: its reward, and the last one's for ever if the horizon is infinite.

    A finite sum of rewards to come has ever fewer terms, and so ever less weight, as the last answer comes nearer,
    though that is the one that counts.
    """
    return reward if config.horizon == "finite" else reward.at[-1].divide(1 - config.discount)


def less_latency(
    reward: Float[Array, "1 batch"],
    stop_time: Int[Array, "batch"],
    correct: Bool[Array, "batch"],
    weights: Float[Array, "batch"],
    config: Config,
) -> Float[Array, "1 batch"]:
    """DT-RAM's reward less the price of its time: `config.latency` says how (facts of Li et al. 2023, appendix)."""
    late = -stop_time / config.most_glimpses
    if config.latency == "none":
        return reward
    if config.latency == "discount":
        return reward * LATENCY_DISCOUNT**stop_time
    if config.latency == "always":
        return reward + LATENCY_WEIGHT * late
    by_accuracy = isinstance(rewards.get(config.reward), Accuracy | SignedAccuracy)
    scale = 1.0 if by_accuracy else reward
    if config.latency == "right":
        return reward + LATENCY_WEIGHT * late * scale * correct
    if by_accuracy:
        right, count = jax.lax.psum(((weights * correct).sum(), weights.sum()), AXIS)
        scale = right / count
    return reward + LATENCY_WEIGHT * late * scale


def train_step(
    state: TrainState, epoch: Epoch, row: Row, root: Key[Array, ""], config: Config, oracle: Params | None
) -> TrainState:
    """One batch: run the agent, replay it for the gradient, take an Adam step.

    Each device takes its share of the episodes; the gradient is summed over all, so that they stay in step.
    """
    key = keys.key(root, "rollout", state.step)
    draws = draw(config, config.batch, key=key, explore=True)

    def gradient_of(index, weights, draws):
        rolled = rollout(state.params, epoch.canvases, index, draws, config)
        return jax.grad(loss, has_aux=True)(state.params, rolled, epoch.labels[index], weights, config, oracle)

    share = my_share((epoch.order[row], epoch.weights[row], draws))
    gradient, sums = summed_over_parts(gradient_of, share, config.part)
    gradient, sums = jax.lax.psum((gradient, sums), AXIS)
    gradient = jax.tree.map(lambda total: total / sums.canvases, gradient)
    updates, optimizer_state = optimizer(config, epoch.order.shape[0]).update(
        gradient, state.optimizer, cast(Any, state.params)
    )
    return TrainState(
        cast(Params, optax.apply_updates(cast(Any, state.params), updates)),
        optimizer_state,
        state.step + 1,
        jax.tree.map(jnp.add, state.metrics, sums),
    )


def train_steps(
    state: TrainState, epoch: Epoch, start: Row, stop: Row, *, config: Config, oracle: Params | None = None
) -> TrainState:
    """Steps `start` to `stop` of an epoch in one compiled loop, on every device of `mesh(config.batch)`."""
    return _train_steps(state, epoch, start, stop, keys.root(config.seed), oracle, config.program)


@partial(jax.jit, static_argnames="config", donate_argnames="state")
def _train_steps(
    state: TrainState,
    epoch: Epoch,
    start: Row,
    stop: Row,
    root: Key[Array, ""],
    oracle: Params | None,
    config: Config,
) -> TrainState:
    def loop(state, epoch, start, stop, root, oracle):
        def step(row, state):
            return train_step(state, epoch, row, root, config, oracle)

        return jax.lax.fori_loop(start, stop, step, state)

    everywhere = PartitionSpec()
    split = jax.shard_map(loop, mesh=mesh(config.batch), in_specs=everywhere, out_specs=everywhere, check_vma=False)
    return split(state, epoch, start, stop, root, oracle)


def check_reward(config: Config) -> None:
    """Try the reward as `loss` will call it.

    Raises:
        UserError: it cannot be used.
    """
    answers = config.most_glimpses if config.credit == "every" else 1
    batch = answers, rows_at_once(config.batch, config.part)
    learning.check_reward(config.reward, batch, CLASSES, leak=config.reward_gradient == "leak")


@in_32_bits
def train(config: Config, run: Run | None = None, source: Source | None = None) -> Params:
    """Train until `config.epochs`, or until `run.stop_requested`, going on from the state `run` holds, if any.

    Each epoch logs one row of metrics to `run`: means over the training canvases, validation accuracy when due,
    seconds and images per second. With no `run` the rows are lost and only the parameters come back.

    Raises:
        UserError: the reward cannot be used, or the loss, a reward or a weight became NaN or infinite; the last
            checkpoint from before stands.
    """
    check_reward(config)
    run = run or MemoryRun()
    source = source or Source(config)
    steps = source.steps_per_epoch
    state, best = initial_state(config, steps), -1.0
    oracle = oracle_of(config)
    given = {} if oracle is None else {"oracle": checkpoint.digest(checkpoint.flatten(oracle))}
    if config.mnist:
        given["mnist"] = source.mnist.digest()
        warn_of_prior(config, source.mnist)
    run.threads = mesh(config.batch).size
    if restored := run.restore():
        if not any(name.startswith("optimizer.") for name in restored.arrays):
            raise UserError("an imported agent cannot be trained on: its optimiser's state is not there")
        state, best = checkpoint.unflatten(state, restored.arrays), restored.state.get("best", -1.0)
        for name, what in (("oracle", "weights"), ("mnist", "digits")):
            if restored.state.get(name, given.get(name)) != given.get(name):
                raise UserError(f"--{name} {getattr(config, name)}: its {what} are not those with which this run began")
        checkpoint.check_reached(restored, step=int(state.step), epoch=int(state.step) // steps)
    elif config.keep_every:
        run.save(checkpoint.flatten(state), {"step": 0, "epoch": 0, "best": best} | given, best=False, keep=True)
    state, oracle = on_every(mesh(config.batch), (state, oracle))

    while (first := int(state.step)) < config.epochs * steps and not run.stop_requested:
        number, began, canvases = first // steps + 1, time.perf_counter(), float(state.metrics.canvases)
        state = train_epoch(state, source.epoch(number), config, oracle, run)
        step = int(state.step)
        check_finite((state.metrics, state.params), f"epoch {number}")
        finished, improved = step == number * steps, False
        if finished:
            row = {"step": step, "epoch": number} | means(state.metrics)
            row["seconds"] = time.perf_counter() - began
            row["images_per_second"] = (float(state.metrics.canvases) - canvases) / row["seconds"]
            if number % config.evaluate_every == 0 or number == config.epochs:
                row["validation_accuracy"] = Agent(config, state.params).accuracy(source.validation, seed=config.seed)
                improved = row["validation_accuracy"] > best
                best = max(best, row["validation_accuracy"])
            run.log(row)
            state = state._replace(metrics=jax.tree.map(jnp.zeros_like, state.metrics))
        keep = finished and config.keep_every > 0 and number % config.keep_every == 0
        if improved or keep or run.stop_requested or number % config.checkpoint_every == 0 or number == config.epochs:
            progress = {"step": step, "epoch": step // steps, "best": best} | given
            run.save(checkpoint.flatten(state), progress, best=improved, keep=keep)
    return state.params


def oracle_of(config: Config) -> Params | None:
    """The weights of the agent that `config.oracle` names, if any.

    Raises:
        UserError: it cannot be loaded, or its glimpses are not those of `config`.
    """
    if not config.oracle:
        return None
    agent = load_agent(config.oracle)
    if name := config.glimpse_difference(agent.config):
        raise UserError(
            f"--oracle {config.oracle}: its {name.replace('_', ' ')} is {getattr(agent.config, name)}, "
            f"this agent's {getattr(config, name)}; both must see the same glimpses"
        )
    return agent.params


def train_epoch(state: TrainState, epoch: Epoch, config: Config, oracle: Params | None, run: Run) -> TrainState:
    """The rest of an epoch, in looks of about a second; ends early when `run.stop_requested`."""
    steps, total = len(epoch.order), len(epoch.order) * config.epochs
    row, look = int(state.step) % steps, 1
    while row < steps and not run.stop_requested:
        began, stop = time.perf_counter(), min(row + look, steps)
        state = train_steps(state, epoch, row, stop, config=config, oracle=oracle)
        run.progress(int(state.step), total)
        look = max(1, round((stop - row) * SECONDS_BETWEEN_LOOKS / (time.perf_counter() - began)))
        row = stop
    return state
