"""The counting robot's network and what walks are worth: against hand-worked numbers and slow, obvious versions."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl.counting import network, render
from irrl.counting.config import Config
from irrl.counting.model import (
    answers,
    before_deciding,
    chances,
    cost_of_choosing,
    draw,
    goes_right,
    look,
    nothing_seen,
    replay,
    rollout,
    tables_of,
    worth,
)
from irrl.counting.network import (
    colourful,
    detect,
    find,
    for_pixels,
    initial_params,
    replayed_sums,
    strips,
    tell,
    windows,
)
from irrl.counting.scene import draw_scenes
from irrl.counting.training import initial_state, loss
from tiny import COUNTING

CONFIG = Config(**COUNTING)
PARAMS = initial_params(CONFIG, key=jax.random.key(3))
SCENES = draw_scenes(CONFIG, 6, np.random.default_rng(0))
TABLES, ALL = tables_of(CONFIG, SCENES), jnp.arange(6)


def test_worth_by_hand():
    stop, rewards = jnp.array([[0.5], [0.25], [1.0]]), jnp.array([[2.0], [4.0], [8.0]])
    # From the end: 8; 0.25 * 4 + 0.75 * 8 = 7; 0.5 * 2 + 0.5 * 7 = 4.5.
    np.testing.assert_allclose(worth(stop, rewards)[:, 0], [4.5, 7, 8])
    np.testing.assert_allclose(chances(stop)[:, 0], [1, 0.5, 0.375])
    np.testing.assert_allclose((chances(stop) * stop * rewards).sum(), 4.5)


def test_windows_are_cut_out_of_the_image():
    image = np.random.default_rng(0).integers(0, 256, (CONFIG.height, CONFIG.width, 3)).astype(np.uint8)
    rows, columns = CONFIG.grid
    size, side = CONFIG.block, CONFIG.block * CONFIG.window
    corners = [(0, 0), (rows - 1, columns - 1), (1, 2)]
    place = jnp.array([row * columns + column for row, column in corners])
    for seen, (row, column) in zip(windows(jnp.asarray(image), place, CONFIG), corners, strict=True):
        cut = image[row * size :, column * size :][:side, :side]
        assert sorted(seen) == sorted(cut.ravel())
        # Block by block, and in a block row by row.
        np.testing.assert_array_equal(seen[: 3 * size**2].reshape(size, size, 3), cut[:size, :size])


def test_it_looks_where_there_is_colour():
    image = np.full((CONFIG.height, CONFIG.width, 3), 200, np.uint8)
    image[20, 30] = [10, 20, 240]
    image[5, 3] = [90, 0, 0]
    rows, columns = CONFIG.grid
    size, side = CONFIG.block, CONFIG.block * CONFIG.window

    def windows_with(row, column):
        inside = [
            (top, left)
            for top in range(rows)
            for left in range(columns)
            if size * top <= row < size * top + side and size * left <= column < size * left + side
        ]
        return {top * columns + left for top, left in inside}

    blue, red = windows_with(20, 30), windows_with(5, 3)
    for places, expected in ((len(blue), blue), (len(blue) + len(red), blue | red)):
        seen = colourful(jnp.asarray(image), replace(CONFIG, places=places))
        assert set(seen.tolist()) == expected


def test_cubes_are_colourful_and_rooms_are_not():
    image = render.render(Config(), draw_scenes(Config(), 40, np.random.default_rng(1)).view(np.arange(40, dtype="f4")))
    red, _, blue = np.moveaxis(np.asarray(image.rgb, int), -1, 0)
    is_cube = np.asarray(image.ids) >= render.FIRST_CUBE
    assert abs(red - blue)[is_cube].min() > 2 * abs(red - blue)[~is_cube].max()


def test_pixels_are_turned_to_the_axes_of_colour():
    image = np.random.default_rng(1).integers(0, 256, (CONFIG.height, CONFIG.width, 3)).astype(np.uint8)
    seen = windows(jnp.asarray(image), jnp.arange(20), CONFIG)
    pixels = np.asarray(seen, np.float64).reshape(len(seen), -1, 3)
    turned = (pixels - np.array(network.COLOUR_MEAN)) @ np.array(network.COLOUR_AXES).T
    expected = PARAMS.detector.window(jnp.asarray(turned.reshape(seen.shape), jnp.float32))
    np.testing.assert_allclose(for_pixels(PARAMS.detector).window(seen), expected, rtol=2e-3, atol=2e-3)


def test_strips_sum_up_every_place_once():
    config = replace(CONFIG, regions=3)
    rows, columns = config.grid
    place = np.random.default_rng(0).permutation(rows * columns)
    each = np.asarray(strips(jnp.asarray(place), config))
    assert ((each > 0).sum(axis=0) == 1).all()
    np.testing.assert_array_equal(each[0] > 0, place % columns < columns / 3)
    np.testing.assert_allclose(each.sum(axis=1), network.SUM_SCALE, rtol=1e-5)


def test_the_replayed_gradient_is_that_of_the_sums():
    images = rollout(PARAMS, TABLES, ALL, draw(CONFIG, 6, key=None), CONFIG).images[0]
    direction = jax.random.normal(jax.random.key(0), (6, CONFIG.regions * CONFIG.window_units))

    def plain(detector):
        found = jnp.stack([detect(for_pixels(detector), image, CONFIG).sums for image in images])
        return (found * direction).sum()

    def replayed(detector):
        return (replayed_sums(detector, images, find(PARAMS.detector, images, CONFIG), CONFIG) * direction).sum()

    ours, theirs = (jax.value_and_grad(each)(PARAMS.detector) for each in (replayed, plain))
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3 * float(jnp.abs(other).max()))


def test_a_robot_goes_where_it_decides_to():
    draws = draw(CONFIG, 6, key=jax.random.key(1))
    rolled = rollout(PARAMS, TABLES, ALL, draws, CONFIG)
    steps = np.diff(np.asarray(rolled.viewpoint), axis=0)
    np.testing.assert_array_equal(steps, np.where(np.asarray(rolled.right[:-1]), 1, -1))
    outputs = replay(PARAMS, rolled, TABLES, ALL, CONFIG)
    # It went right where the draw was below the probability of that.
    right = np.where(rolled.right, np.exp(outputs.direction_log_prob), 1 - np.exp(outputs.direction_log_prob))
    np.testing.assert_array_equal(np.asarray(draws.T) < right, rolled.right)
    assert (np.asarray(outputs.stop[-1]) == 1).all()
    assert (np.asarray(outputs.stop[:-1]) < 0.5).all()  # an untrained robot moves


def test_a_robot_remembers_the_most_it_was_told():
    rolled = rollout(PARAMS, TABLES, ALL, draw(CONFIG, 6, key=jax.random.key(1)), CONFIG)
    told = np.stack([tell(PARAMS, sums, TABLES.goal) for sums in rolled.found.sums])
    np.testing.assert_allclose(rolled.memory.most, [told[: n + 1].max(axis=0) for n in range(len(told))], rtol=1e-5)
    assert (np.asarray(rolled.memory.most[-1]) > told[-1]).any()


def test_the_gradient_is_that_of_the_same_walk_taken_step_by_step():
    rolled = rollout(PARAMS, TABLES, ALL, draw(CONFIG, 6, key=jax.random.key(1)), CONFIG)
    direction = jax.random.normal(jax.random.key(0), (CONFIG.steps, 6, CONFIG.classes))

    def replayed(params):
        return (replay(params, rolled, TABLES, ALL, CONFIG).log_probs * direction).sum()

    def plain(params):
        memory, said = nothing_seen(CONFIG, 6), []
        for number in range(CONFIG.steps):
            where = rolled.viewpoint[number]
            _, memory, _ = look(params, rolled.images[number], TABLES.goal, memory, where, jnp.int32(number), CONFIG)
            said.append(answers(params, memory))
        return (jnp.stack(said) * direction).sum()

    ours, theirs = (jax.value_and_grad(each)(PARAMS) for each in (replayed, plain))
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_untrained_robot_of_full_size_knows_nothing_and_tries_everything(seed):
    config = Config()
    scenes = draw_scenes(config, 16, np.random.default_rng(seed))
    tables, everyone = tables_of(config, scenes), jnp.arange(16)
    params = initial_state(replace(config, seed=seed), tables).params
    rolled = rollout(params, tables, everyone, draw(config, 16, key=jax.random.key(seed)), config)
    outputs = replay(params, rolled, tables, everyone, config)
    nats = -np.take_along_axis(np.asarray(outputs.log_probs), np.asarray(tables.answer)[None, :, None], axis=-1)
    assert nats.mean(axis=(1, 2)).max() < 2.5, "the answers' entropy is 1.7, that of guessing 1.9"
    chosen = np.exp(outputs.direction_log_prob)
    assert chosen.min() > 0.15 and chosen.max() < 0.85
    assert outputs.stop[:-1].min() > 0.01 and outputs.stop[:-1].max() < 0.3


@pytest.mark.parametrize(("policy", "viewpoints"), [("left", [0, -1, -2]), ("stay", [0])])
def test_baselines_walk_as_they_must(policy, viewpoints):
    config = replace(CONFIG, policy=policy)
    params = initial_params(config, key=jax.random.key(0))
    rolled = rollout(params, TABLES, ALL, draw(config, 6, key=jax.random.key(1)), config)
    np.testing.assert_array_equal(rolled.viewpoint[:, 0], viewpoints)
    np.testing.assert_array_equal(
        replay(params, rolled, TABLES, ALL, config).stop[:, 0], [0] * (len(viewpoints) - 1) + [1]
    )


def test_stopping_by_chance_pays_what_the_loss_expects():
    """The mean over drawn stops, against the exact expectation in the metrics."""
    draws = draw(CONFIG, 6, key=jax.random.key(2))
    rolled = rollout(PARAMS, TABLES, ALL, draws, CONFIG)
    outputs = replay(PARAMS, rolled, TABLES, ALL, CONFIG)
    _, sums_ = loss(PARAMS, rolled, TABLES, ALL, CONFIG)
    rng, drawn = np.random.default_rng(0), 20_000
    stops = rng.random((drawn, *outputs.stop.shape)) < np.asarray(outputs.stop)
    times = stops.argmax(axis=1)
    assert times.mean() * 6 == pytest.approx(float(sums_.moves), rel=0.02)
    target = np.asarray(TABLES.answer)
    paid = np.maximum(
        np.exp(np.asarray(outputs.log_probs))[:, np.arange(6), target] - np.array(CONFIG.count_weights)[target], 0
    )
    assert paid[times, np.arange(6)].mean() * 6 == pytest.approx(float(sums_.reward), rel=0.05)


def test_a_policy_learns_to_stop_where_it_pays():
    """From being sure of the contrary, too, where the gradient of what a walk is worth has vanished."""
    rewards = jnp.array([[0.1], [0.9], [0.5]])

    def cost(log_odds):
        stop = jnp.concatenate([log_odds > 0, jnp.ones((1, 1), bool)]).astype(jnp.float32)
        return cost_of_choosing(log_odds, rewards[:-1] - worth(stop, rewards)[1:]).sum()

    log_odds = jnp.array([[30.0], [-30.0]])
    for _ in range(200):
        log_odds -= jax.grad(cost)(log_odds)
    assert jax.nn.sigmoid(log_odds[0, 0]) < 0.1
    assert jax.nn.sigmoid(log_odds[1, 0]) > 0.9


def test_the_likelier_choice_pays_on_average():
    gain = jnp.array([0.1, 0.2, -0.9, 0.3])  # of 0.6 gained and 0.9 lost, odds of two to three
    log_odds = jnp.full(4, 5.0)
    for _ in range(300):
        log_odds -= jax.grad(lambda odds: cost_of_choosing(odds, gain).sum())(log_odds).sum()
    assert np.exp(log_odds[0]) == pytest.approx(2 / 3, rel=1e-3)


def test_memories_of_any_size_are_decided_upon_alike():
    rolled = rollout(PARAMS, TABLES, ALL, draw(CONFIG, 6, key=jax.random.key(1)), CONFIG)
    number = jnp.arange(CONFIG.steps)[:, None]
    tenfold = jax.tree.map(lambda each: 10 * each, rolled.memory)
    one, other = (before_deciding(memory, rolled.viewpoint, number, CONFIG) for memory in (rolled.memory, tenfold))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def slow_loss(outputs, target, config):
    """Loss and baseline's loss, walk by walk and step by step, as they are defined."""
    log_probs, stop, odds, chosen, entropy, baseline = (
        np.asarray(array, np.float64)
        for array in (
            outputs.log_probs, outputs.stop, outputs.stop_log_odds, outputs.direction_log_prob,
            outputs.direction_entropy, outputs.baseline,
        )
    )  # fmt: skip
    steps, walks = stop.shape
    total = of_baseline = 0.0
    for walk in range(walks):
        right = log_probs[:, walk, target[walk]]
        paid = [
            max(np.exp(right[t]) - config.count_weights[target[walk]], 0) * (1 - config.latency) ** t
            for t in range(steps)
        ]
        there, arrives = [], 1.0
        for t in range(steps):
            there.append(arrives)
            arrives *= 1 - stop[t, walk]
        classification = np.mean(-right) / 2 + sum(there[t] * stop[t, walk] * -right[t] for t in range(steps)) / 2
        value, policy = paid[-1], 0.0
        for t in reversed(range(steps - 1)):
            gain = paid[t] - value
            policy += there[t] * abs(gain) * np.log1p(np.exp(-np.sign(gain) * odds[t, walk]))
            policy -= there[t + 1] * ((value - baseline[t, walk]) * chosen[t, walk] + 0.01 * entropy[t, walk])
            of_baseline += there[t + 1] * (baseline[t, walk] - value) ** 2
            value = paid[t] if odds[t, walk] > 0 else value
        total += classification + config.reinforce_weight * policy
    return total + of_baseline, of_baseline


def test_the_loss_is_what_it_should_be():
    config = replace(CONFIG, counts="5,3,2", latency=0.1, stop_bias=2.0)  # so that some stop here and some there
    params = initial_params(config, key=jax.random.key(4))
    sharp = params.classifier._replace(weight=60 * params.classifier.weight)
    params = params._replace(classifier=sharp, policy=params.policy._replace(weight=30 * params.policy.weight))
    rolled = rollout(params, TABLES, ALL, draw(config, 6, key=jax.random.key(1)), config)
    outputs = replay(params, rolled, TABLES, ALL, config)
    assert 0 < (np.asarray(outputs.stop_log_odds[:-1]) > 0).mean() < 1
    total, sums = loss(params, rolled, TABLES, ALL, config)
    expected, of_baseline = slow_loss(outputs, np.asarray(TABLES.answer), config)
    assert float(sums.reward) > 0.1
    assert float(total) == pytest.approx(expected, rel=1e-4)
    assert float(sums.baseline_loss) == pytest.approx(of_baseline, rel=1e-4)


@pytest.mark.parametrize(("baseline", "sign"), [(-10.0, 1), (10.0, -1)])
def test_directions_that_led_to_more_than_expected_are_taken_more_often(baseline, sign):
    expects = PARAMS._replace(baseline=PARAMS.baseline._replace(bias=jnp.full(CONFIG.classes, baseline)))
    rolled = rollout(expects, TABLES, ALL, draw(CONFIG, 6, key=jax.random.key(1)), CONFIG)

    def logarithm(params):
        return replay(params, rolled, TABLES, ALL, CONFIG).direction_log_prob[:-1].sum()

    step = jax.grad(lambda params: loss(params, rolled, TABLES, ALL, CONFIG)[0])(expects).policy
    after = expects._replace(policy=jax.tree.map(lambda old, new: old - 0.01 * new, expects.policy, step))
    assert sign * (logarithm(after) - logarithm(expects)) > 0


def test_rewards_below_nothing_get_worse_with_every_move():
    """Latency is a price whatever the reward's sign."""
    config = replace(CONFIG, reward="signed-accuracy", latency=0.5)
    certain = PARAMS.classifier._replace(weight=0 * PARAMS.classifier.weight, bias=jnp.array([0.0, 0.0, 50.0]))
    wrong = PARAMS._replace(classifier=certain)
    tables = TABLES._replace(answer=0 * TABLES.answer)
    rolled = rollout(wrong, tables, ALL, draw(config, 6, key=jax.random.key(1)), config)
    gradient = jax.grad(lambda params: loss(params, rolled, tables, ALL, config)[0])(wrong)
    assert gradient.policy.bias[2] < 0, "a step down the gradient makes a robot stop that is wrong all the way"


def test_a_random_walk_goes_right_as_often_as_left():
    config = replace(CONFIG, policy="random")
    logits = jnp.tile(jnp.array([-3.0, 3.0, 0.0]), (4000, 1))
    chance = draw(config, 4000, key=jax.random.key(0))[:, 0]
    assert goes_right(logits, chance, config).mean() == pytest.approx(0.5, abs=0.04)
