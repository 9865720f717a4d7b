"""Training the recurrent attention model from its own discriminator's reward: the algorithm, top to bottom."""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from irrl import checkpoint, keys, learning, rewards
from irrl.checkpoint import Checkpoint
from irrl.devices import AXIS, in_32_bits, mesh, my_share, on_every, rows_at_once, summed_over_parts
from irrl.digits.config import Config
from irrl.digits.data import CLASSES
from irrl.digits.evaluate import Agent, load_agent
from irrl.digits.model import Rollout, answers, baselines, draw, replay, rollout
from irrl.digits.network import Params, initial_params, perceive
from irrl.digits.source import Epoch, Source, warn_of_prior
from irrl.engine.loop import Learner, Pace, Schedule, learn
from irrl.errors import UserError
from irrl.learning import check_finite, means, zero_sums
from irrl.returns import reinforce_with_baseline, returns_to_come
from irrl.rewards import Accuracy, SignedAccuracy
from irrl.run import MemoryRun, Run

Row = int | Int[Array, ""]
"""Which batch of an epoch."""


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


class Training(Learner[TrainState]):
    """An agent's training, as the host loop asks for it: its rows tell of epochs, its steps are batches."""

    score = "validation_accuracy"

    def __init__(self, config: Config, source: Source):
        self._config, self._source = config, source
        self._steps = source.steps_per_epoch
        self._epoch: Epoch | None = None
        oracle = oracle_of(config)
        self.notes = {} if oracle is None else {"oracle": checkpoint.digest(checkpoint.flatten(oracle))}
        if config.mnist:
            self.notes["mnist"] = source.mnist.digest()
            warn_of_prior(config, source.mnist)
        self._oracle = on_every(mesh(config.batch), oracle)

    def start(self, saved: Checkpoint | None) -> tuple[TrainState, int]:
        """Fresh parameters, or the saved ones: of this task's own training, with the same oracle and digits."""
        state = initial_state(self._config, self._steps)
        if saved is not None:
            if not any(name.startswith("optimizer.") for name in saved.arrays):
                raise UserError("an imported agent cannot be trained on: its optimiser's state is not there")
            state = checkpoint.unflatten(state, saved.arrays)
            for name, what in (("oracle", "weights"), ("mnist", "digits")):
                if saved.state.get(name, self.notes.get(name)) != self.notes.get(name):
                    given = f"--{name} {getattr(self._config, name)}"
                    raise UserError(f"{given}: its {what} are not those with which this run began")
        return on_every(mesh(self._config.batch), state), int(state.step)

    def progress(self, step: int) -> dict[str, int]:
        """Whole epochs."""
        return {"epoch": step // self._steps}

    def advance(self, state: TrainState, step: int, until: int) -> TrainState:
        """Some steps of an epoch; its canvases are there from its first step, or a resume, to its row."""
        number, row = divmod(step, self._steps)
        if self._epoch is None:
            self._epoch = self._source.epoch(number + 1)
        state = train_steps(state, self._epoch, row, row + until - step, config=self._config, oracle=self._oracle)
        return jax.block_until_ready(state)

    def check(self, state: TrainState, step: int) -> None:
        """Weights, and what was summed up."""
        check_finite((state.metrics, state.params), f"epoch {(step - 1) // self._steps + 1}")

    def row(self, state: TrainState, step: int, pace: Pace) -> tuple[dict[str, Any], TrainState]:
        """Means over an epoch's canvases."""
        self._epoch = None  # a second epoch's canvases beside these would take as much memory again
        images = self._source.size - (self._steps - pace.steps) * self._config.batch
        speed = {"seconds": pace.seconds, "images_per_second": images / pace.seconds}
        empty = jax.tree.map(jnp.zeros_like, state.metrics)
        return means(state.metrics) | speed, state._replace(metrics=empty)

    def evaluate(self, state: TrainState) -> dict[str, Any]:
        """On the canvases that were held out."""
        agent = Agent(self._config, state.params)
        return {"validation_accuracy": agent.accuracy(self._source.validation, seed=self._config.seed)}

    def arrays(self, state: TrainState) -> dict[str, np.ndarray]:
        """Parameters, optimiser, step and sums."""
        return checkpoint.flatten(state)


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
    source = source or Source(config)
    epoch = source.steps_per_epoch
    schedule = Schedule(
        steps=config.epochs * epoch,
        row_every=epoch,
        evaluate_every=config.evaluate_every * epoch,
        checkpoint_every=config.checkpoint_every * epoch,
        keep_every=config.keep_every * epoch,
        keep_first=config.keep_every > 0,
    )
    run = run or MemoryRun()
    run.threads = mesh(config.batch).size
    return learn(Training(config, source), schedule, run).params
