"""The robot at its table: where it goes, and what its network says of it.

A rollout walks as far as a robot may: stopping is not drawn. What a robot that stops by chance may expect follows
exactly from the probability of stopping after each image (`chances`), and what stopping would have brought is known
after every image of every walk.
"""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from irrl.counting import render
from irrl.counting.config import Config
from irrl.counting.jitter import Jitter
from irrl.counting.network import Found, Params, find, replayed_sums, tell
from irrl.counting.scene import Scenes
from irrl.counting.scene_config import KINDS
from irrl.recurrent import replayed_relu_core


class Tables(NamedTuple):
    """Scenes, as arrays of a device."""

    kind: Int[Array, "scenes cubes"]
    """index into KINDS, or -1 for no cube"""
    place: Float[Array, "scenes cubes 2"]
    """of cubes' centres, m"""
    yaw: Float[Array, "scenes cubes"]
    """radians"""
    goal: Int[Array, " scenes"]
    """which of the config's goals is asked for"""
    answer: Int[Array, " scenes"]
    """the right answer"""


def tables_of(config: Config, scenes: Scenes) -> Tables:
    """Scenes for a device."""
    number = jnp.array([config.goal_names.index(name) if name in config.goal_names else -1 for name in KINDS])
    kind, place, yaw, goal, count = map(jnp.asarray, (scenes.kind, scenes.place, scenes.yaw, scenes.goal, scenes.count))
    return Tables(kind.astype(jnp.int32), place, yaw, number[goal], count.astype(jnp.int32))


class Memory(NamedTuple):
    """What a robot remembers of its walk."""

    hidden: Float[Array, "*time batch hidden_units"]
    """the core's state"""
    most: Float[Array, "*time batch hidden_units"]
    """the most that it was told, number by number"""

    @property
    def features(self) -> Float[Array, "*time batch features"]:
        """Both, side by side."""
        return jnp.concatenate(self, axis=-1)


def nothing_seen(config: Config, batch: int) -> Memory:
    """What robots remember at the beginning."""
    return Memory(*(jnp.zeros((batch, config.hidden_units)) for _ in Memory._fields))


class Rollout(NamedTuple):
    """A batch of walks, with every activation the gradient needs."""

    images: UInt8[Array, "time batch height width 3"]
    viewpoint: Int[Array, "time batch"]
    """steps to the right of where it started"""
    found: Found
    """what the detector made of them"""
    memory: Memory
    right: Bool[Array, "time batch"]
    """whether it went to the right after this image, else to the left"""


class Outputs(NamedTuple):
    """What a batch of walks says, differentiable in the parameters."""

    log_probs: Float[Array, "time batch classes"]
    """the discriminator: log q(y|tau) after each image"""
    stop_log_odds: Float[Array, "time batch"]
    """of answering now, as the policy says it"""
    stop: Float[Array, "time batch"]
    """probability of answering after this image, if it has not before; 1 after the last"""
    direction_log_prob: Float[Array, "time batch"]
    """of having gone where it went, if it goes on"""
    direction_entropy: Float[Array, "time batch"]
    """of where it goes, if it goes on, nats"""
    baseline: Float[Array, "time batch"]
    """what going on is expected to bring, by a baseline that also knows the right answer"""


def draw(config: Config, batch: int, *, key: Key[Array, ""] | None) -> Float[Array, "batch time"]:
    """The chance in a batch of walks: it goes right where this is below the probability of that.

    Args:
        key: None takes the likelier direction, as in evaluation.
    """
    shape = batch, config.steps
    return jnp.full(shape, 0.5) if key is None else jax.random.uniform(key, shape)


def rollout(
    params: Params,
    tables: Tables,
    index: Int[Array, " batch"],
    draws: Float[Array, "batch time"],
    config: Config,
    jitter: Jitter | None = None,
) -> Rollout:
    """Walk round `tables[index]`, as far as the robot may."""
    table = Tables(*(array[index] for array in tables))

    def step(carry, now):
        (memory, viewpoint), (number, chance) = carry, now
        azimuth = viewpoint * (2 * jnp.pi / config.viewpoints)
        images = render.render(config, render.View(table.kind, table.place, table.yaw, azimuth), jitter).rgb
        found, memory, logits = look(params, images, table.goal, memory, viewpoint, number, config)
        right = goes_right(logits, chance, config)
        kept = Rollout(images, viewpoint, found, memory, right)
        return (memory, viewpoint + jnp.where(right, 1, -1)), kept

    start = nothing_seen(config, len(index)), jnp.zeros(len(index), jnp.int32)
    return jax.lax.scan(step, start, (jnp.arange(config.steps), draws.T))[1]


def look(
    params: Params,
    images: UInt8[Array, "batch height width 3"],
    goal: Int[Array, " batch"],
    memory: Memory,
    viewpoint: Int[Array, " batch"],
    number: Int[Array, ""],
    config: Config,
) -> tuple[Found, Memory, Float[Array, "batch 3"]]:
    """Take in an image, after so many moves: what is found in it, the new memory, and the policy's logits."""
    found = find(params.detector, images, config)
    told = tell(params, found.sums, goal)
    inputs = jnp.concatenate([told, whereabouts(viewpoint, number, config)], axis=-1)
    hidden = jax.nn.relu(params.core_input(inputs) + params.core_hidden(memory.hidden))
    memory = Memory(hidden, jnp.maximum(memory.most, told))
    return found, memory, policy_logits(params, memory, viewpoint, number, config)


def replay(params: Params, rolled: Rollout, tables: Tables, index: Int[Array, " batch"], config: Config) -> Outputs:
    """The network's outputs over a rollout, as functions of its parameters; the rollout itself is a constant."""
    rolled = jax.lax.stop_gradient(rolled)
    goal, count = tables.goal[index], tables.answer[index]
    time, batch = rolled.viewpoint.shape

    images, known = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), (rolled.images, rolled.found))
    sums = cast(Array, replayed_sums(params.detector, images, known, config))
    told = tell(params, sums.reshape(time, batch, -1), goal)
    number = jnp.arange(time)[:, None]
    inputs = jnp.concatenate([told, whereabouts(rolled.viewpoint, number, config)], axis=-1)
    hidden = replayed_relu_core(params.core_input, params.core_hidden, inputs, rolled.memory.hidden)
    log_probs = answers(params, Memory(hidden, jax.lax.associative_scan(jnp.maximum, told)))
    # The policy reads what the classifier learns to remember, without changing it.
    logits = policy_logits(params, rolled.memory, rolled.viewpoint, number, config)
    right = going_right(logits)
    known = before_deciding(rolled.memory, rolled.viewpoint, number, config)
    answer = jnp.broadcast_to(jax.nn.one_hot(count, config.classes), (time, batch, config.classes))
    baseline = params.baseline(jax.nn.relu(params.critic(jnp.concatenate([known, answer], axis=-1))))
    return Outputs(
        log_probs,
        stop_log_odds(logits),
        stopping(logits, number, config),
        jnp.log(jnp.where(rolled.right, right, 1 - right)),
        jax.scipy.special.entr(right) + jax.scipy.special.entr(1 - right),
        (baseline * answer).sum(-1),
    )


def answers(params: Params, memory: Memory) -> Float[Array, "*time batch classes"]:
    """The discriminator: log q(y|tau)."""
    return jax.nn.log_softmax(params.classifier(memory.features))


def policy_logits(
    params: Params,
    memory: Memory,
    viewpoint: Int[Array, "*time batch"],
    number: Int[Array, "*time"] | Int[Array, "time 1"],
    config: Config,
) -> Float[Array, "*time batch 3"]:
    """Logits of going left, going right and answering now."""
    known = before_deciding(memory, viewpoint, number, config)
    return params.policy(jax.nn.relu(params.policy_hidden(known)))


def before_deciding(
    memory: Memory,
    viewpoint: Int[Array, "*time batch"],
    number: Int[Array, "*time"] | Int[Array, "time 1"],
    config: Config,
) -> Float[Array, "*time batch inputs"]:
    """What policy and baseline know.

    What is remembered grows tenfold as the classifier learns, and decisions would become final with it: so it is
    scaled to a mean square of 1.
    """
    features = memory.features
    scale = jax.lax.rsqrt((features**2).mean(axis=-1, keepdims=True) + 1e-6)
    return jnp.concatenate([features * scale, whereabouts(viewpoint, number, config)], axis=-1)


EXPLORES_WHERE, EXPLORES_WHEN = 0.1, 0.02
"""How often a robot goes anywhere, and the least and most that it may make of whether to stop (from the latter to one
less): so no decision is ever final."""


def going_right(logits: Float[Array, "*time batch 3"]) -> Float[Array, "*time batch"]:
    """The probability of going right, if it goes."""
    left, right, _ = jnp.moveaxis(logits, -1, 0)
    return EXPLORES_WHERE / 2 + (1 - EXPLORES_WHERE) * jax.nn.sigmoid(right - left)


def goes_right(
    logits: Float[Array, "batch 3"], chance: Float[Array, " batch"], config: Config
) -> Bool[Array, " batch"]:
    """Which way it goes, if it goes, given what `draw` drew."""
    if config.policy == "left":
        return jnp.zeros(len(chance), bool)
    return chance < (0.5 if config.policy == "random" else going_right(logits))


def stop_log_odds(logits: Float[Array, "*time batch 3"]) -> Float[Array, "*time batch"]:
    """Of answering now, over going anywhere."""
    left, right, stop = jnp.moveaxis(logits, -1, 0)
    return stop - jnp.logaddexp(left, right)


def stopping(
    logits: Float[Array, "*time batch 3"], number: Int[Array, "*time"] | Int[Array, "time 1"], config: Config
) -> Float[Array, "*time batch"]:
    """The probability of answering now: 1 when there are no moves left; the baselines walk as far as they may."""
    odds = stop_log_odds(logits)
    learned = jnp.zeros_like(odds)
    if config.policy == "learned":
        learned = EXPLORES_WHEN + (1 - 2 * EXPLORES_WHEN) * jax.nn.sigmoid(odds)
    return jnp.where(number < config.steps - 1, learned, 1.0)


def whereabouts(
    viewpoint: Int[Array, "*time batch"], number: Int[Array, "*time"] | Int[Array, "time 1"], config: Config
) -> Float[Array, "*time batch places"]:
    """Where the robot stands, and the number of moves so far; one-hot."""
    place = jax.nn.one_hot(viewpoint % config.viewpoints, config.viewpoints)
    clock = jnp.broadcast_to(jax.nn.one_hot(number, config.steps), (*viewpoint.shape, config.steps))
    return jnp.concatenate([place, clock], axis=-1)


def chances(stop: Float[Array, "time batch"]) -> Float[Array, "time batch"]:
    """The probability that the robot is still there after so many moves: `prod_{i<t} (1 - s_i)`."""
    going = jnp.cumprod(1 - stop, axis=0)
    return jnp.concatenate([jnp.ones_like(going[:1]), going[:-1]])


def worth(stop: Float[Array, "time batch"], rewards: Float[Array, "time batch"]) -> Float[Array, "time batch"]:
    """What a walk is worth from each image on: `V_t = s_t R_t + (1 - s_t) V_{t+1}`, `V_T = R_T`.

    Args:
        rewards: `R_t`, for answering after image t.
    """

    def step(later, now):
        stop, reward = now
        value = stop * reward + (1 - stop) * later
        return value, value

    return jax.lax.scan(step, jnp.zeros_like(rewards[0]), (stop, rewards), reverse=True)[1]


def cost_of_choosing(log_odds: Float[Array, "*walks"], gain: Float[Array, "*walks"]) -> Float[Array, "*walks"]:
    """What choosing to stop with these log odds costs, as logistic loss: `|gain| log(1 + exp(-sign(gain) log_odds))`.

    It is least at odds of `E[max(gain, 0)] / E[max(-gain, 0)]`: so where stopping pays on average, it is likelier than
    not.

    Args:
        gain: of stopping here over going on.
    """
    return jnp.abs(gain) * jax.nn.softplus(-jnp.sign(gain) * log_odds)
