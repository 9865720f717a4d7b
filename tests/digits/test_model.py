"""The agent: its size, and its replayed gradient against plain differentiation through the loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl.digits.config import Config, preset
from irrl.digits.glimpse import glimpses, pyramid
from irrl.digits.model import draw, replay, rollout
from irrl.digits.network import SWEPT, initial_params, perceive, sweep, what_and_where
from irrl.digits.train import loss
from irrl.recurrent import gaussian_log_prob

SMALL = Config(data="fixed", canvas=20, patch=4, scales=2, glimpses=5, sensor_units=6, hidden_units=7, locator_units=5)

LEARNING = ("credit", "discount", "baseline", "sensor_location", "encoding", "core_start", "locations", "location_bias")
LEARNING += ("policy_reads", "policy_trains", "reinforce_weight", "horizon", "core")
FAST = {name: getattr(preset("fast"), name) for name in LEARNING} | {"locator_core_units": 6}
"""The preset fast, but for its sizes."""


@pytest.fixture
def canvases():
    return jnp.asarray(np.random.default_rng(0).integers(0, 257, (9, 20, 20)), jnp.uint16)


def test_the_papers_agent_has_236173_parameters():
    params = initial_params(preset("paper"), key=jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 236_173


def test_initial_weights_are_uniform_within_the_inverse_root_of_the_inputs():
    params = initial_params(preset("paper"), key=jax.random.key(0))
    for layer in filter(None, params):
        bound = layer.weight.shape[0] ** -0.5
        for values in layer:
            assert jnp.abs(values).max() <= bound
        assert float(layer.weight.std()) == pytest.approx(bound / 3**0.5, rel=0.15)


def test_distinct_layers_start_with_distinct_weights():
    params = initial_params(preset("paper"), key=jax.random.key(0))
    assert not jnp.array_equal(params.encoder_patch.weight, params.encoder_location.weight)
    assert not jnp.array_equal(params.core_input.weight, params.core_hidden.weight)


def plain_loss(params, canvases, index, labels, weights, config, key):
    """The same loss written as one differentiable loop in the paper's terms, layer by layer, episode by episode."""
    draws = draw(config, len(index), key=key, explore=True)
    pooled = pyramid(canvases[index], scales=config.scales, scale_factor=config.scale_factor)
    relu, stop = jax.nn.relu, jax.lax.stop_gradient
    biases = jnp.broadcast_to(params.locator_mean.bias, (config.most_glimpses, 2))

    def reward_of(log_q):
        reward = jnp.maximum(jnp.exp(log_q) - 0.1, 0)
        return stop(reward) if config.reward_gradient == "stop" else reward

    def episode(number):
        hidden, location = jnp.zeros(config.hidden_units), draws.first[number]
        own, trail = jnp.zeros(config.locator_core_units), []
        log_pi, baselines, log_q, acting, deciding = [], [], [], [], 1.0
        for time in range(config.most_glimpses):
            seen = glimpses(
                tuple(means[number][None] for means in pooled),
                location[None], canvas=config.canvas, patch=config.patch, scale_factor=config.scale_factor,
            )[0]  # fmt: skip
            told = location
            if config.sensor_location == "ink":
                trail.append((relu(seen[: config.patch**2]).mean(), location))
                memory = [0.8**age for age in range(len(trail))][::-1]
                amount = sum(left * ink for left, (ink, _) in zip(memory, trail, strict=True))
                moment = sum(left * ink * where for left, (ink, where) in zip(memory, trail, strict=True))
                told = jnp.concatenate([2 * (location - moment / (amount + 0.2)), location])
            what = params.encoder_patch(relu(params.sensor_patch(seen)))
            where = params.encoder_location(relu(params.sensor_location(told)))
            if config.encoding == "film":
                what = what * (1 + params.encoder_scale(relu(params.sensor_location(told))))
            encoding, before = relu(what + where), hidden
            hidden = relu(params.core_input(encoding) + params.core_hidden(before))
            if config.core == "light-gru":
                update = jax.nn.sigmoid(params.core_gate_input(encoding) + params.core_gate_hidden(before))
                hidden = (1 - update) * before + update * hidden
            read = hidden if config.policy_trains == "core" else stop(hidden)
            if config.locator_core_units:
                read = own = relu(params.locator_core_input(read) + params.locator_core_hidden(own))
            if config.policy_reads == "place":
                read = jnp.concatenate([read, told, jnp.arange(config.most_glimpses) == time])
            locator = relu(params.locator_hidden(read))
            mean = locator @ params.locator_mean.weight + biases[time]
            if config.locations == "absolute":
                mean = jnp.tanh(mean)
            elif time > 0:
                mean += location
            sample = stop(mean + draws.steps[number, time])
            move = gaussian_log_prob(sample, mean, config.location_std)
            stopping = 0.0
            if config.model == "dt-ram":
                s = jnp.clip(jax.nn.sigmoid(params.locator_stop(locator)[0]), 0.001, 0.999)
                last = time == config.most_glimpses - 1
                stopping = 1.0 if last else (s > draws.stops[number, time]).astype(float)
                move += jnp.log(1 - s) if config.stop == "bernoulli" else 0
                move = (1 - stopping) * move + stopping * (0 if last else jnp.log(s))
            log_pi.append(deciding * move)
            acting.append(deciding)
            if config.baseline == "label":
                label, (worth, bias) = labels[number], params.baseline_hope
                now = stop(jax.nn.softmax(params.classifier(hidden)))[label]
                judged = jax.nn.relu(params.critic(jnp.concatenate([stop(hidden), jnp.eye(10)[label]])))
                baselines.append(params.baseline(judged)[label] + worth[0, time] * now + bias[time])
            else:
                baselines.append(params.baseline(stop(hidden))[0])
            log_q.append(jax.nn.log_softmax(params.classifier(hidden))[labels[number]])
            deciding = deciding * (1 - stopping)
            location = jnp.clip(sample, -1, 1)
        log_pi, baselines, log_q, acting = (jnp.stack(part) for part in (log_pi, baselines, log_q, jnp.array(acting)))
        stop_time = acting.sum().astype(int) - 1
        if config.credit == "every":
            paid = reward_of(log_q)
            if config.horizon == "infinite":  # 40 more glimpses, at each of which the last answer is given again
                paid = jnp.concatenate([paid, jnp.repeat(paid[-1], 40)])
            returns = jnp.stack([
                sum((config.discount ** (later - time - 1) * paid[later] for later in range(time + 1, len(paid))), 0.0)
                for time in range(len(log_q) - 1)
            ] + [0.0])  # fmt: skip
            classification_loss = -log_q.mean()
        else:
            returns = reward_of(log_q[stop_time])
            if config.model == "dt-ram":
                returns *= 0.99**stop_time
            classification_loss = -log_q[stop_time]
        squared_error = (acting * (baselines - returns) ** 2).sum() / acting.sum()
        credit = (acting * log_pi * (returns - stop(baselines))).sum()
        return squared_error - config.reinforce_weight * credit + classification_loss

    return sum(weights[number] * episode(number) for number in range(len(index)))


@pytest.mark.parametrize(
    "settings",
    [
        {"reward_gradient": "stop"},
        {"reward_gradient": "leak"},
        {"credit": "every", "discount": 0.7, "location_bias": "sweep"},
        {"credit": "every", "discount": 0.7, "horizon": "infinite"},
        {"credit": "every", "locations": "relative", "baseline": "label", "policy_trains": "core"},
        {"baseline": "label", "reward_gradient": "leak", "encoding": "film"},
        {"model": "dt-ram"},
        {"core": "light-gru", "core_start": "identity", "policy_trains": "core"},
        {"policy_reads": "place", "locations": "relative"},
        {"locator_core_units": 6, "core_start": "identity"},
        {"locator_core_units": 6, "policy_reads": "place", "policy_trains": "core", "locations": "relative"},
        {"model": "dt-ram", "location_bias": "sweep", "policy_reads": "place"},
        {"model": "dt-ram", "stop": "bernoulli", "reward_gradient": "leak"},
        FAST,
    ],
)
def test_replayed_gradient_is_that_of_the_plain_loop(canvases, settings):
    config = Config(**{**vars(SMALL), **settings})
    params = initial_params(config, key=jax.random.key(1))
    index, labels = jnp.arange(8), jnp.arange(8) % 10
    if config.locations == "relative":  # its first weights are 0
        params = params._replace(locator_mean=params.locator_mean._replace(weight=jnp.full((5, 2), 0.3)))
    weights = jnp.ones(8).at[-1].set(0.0)
    key = jax.random.key(2)
    draws = draw(config, 8, key=key, explore=True)

    def replayed(params):
        rolled = rollout(jax.lax.stop_gradient(params), canvases, index, draws, config)
        return loss(params, rolled, labels, weights, config)[0]

    if params.locator_stop is not None:
        logits = rollout(params, canvases, index, draws, config).locator @ params.locator_stop.weight
        params = params._replace(locator_stop=params.locator_stop._replace(bias=-jnp.quantile(logits, 0.8)[None]))
        stop_time = rollout(params, canvases, index, draws, config).stop_time
        assert len(set(stop_time.tolist())) > 1, "a test where all stop alike would miss the mask"
    value, gradient = jax.jit(jax.value_and_grad(replayed))(params)
    plain = jax.jit(jax.value_and_grad(plain_loss), static_argnames="config")
    expected_value, expected = plain(params, canvases, index, labels, weights, config=config, key=key)
    assert value == pytest.approx(float(expected_value), rel=1e-5)
    for name, layer, expected_layer in zip(params._fields, gradient, expected, strict=True):
        for part, ours, theirs in zip(("weight", "bias"), layer or (), expected_layer or (), strict=bool(layer)):
            rounding = 2e-6 + 5e-5 * float(jnp.abs(theirs).max())
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=rounding, err_msg=f"{name}.{part}")
            assert float(jnp.abs(ours).max()) > 0, f"{name}.{part} is not trained"


def test_an_agent_answers_where_it_first_decides_to_stop(canvases):
    config = Config(**{**vars(SMALL), "model": "dt-ram"})
    params = initial_params(config, key=jax.random.key(1))
    rolled = rollout(params, canvases, jnp.arange(8), draw(config, 8, key=jax.random.key(2), explore=True), config)
    assert rolled.stops.shape == (6, 8), "five glimpses, and a sixth for those that have not stopped"
    never = rolled._replace(stops=jnp.zeros((6, 8), bool))
    assert never.stop_time.tolist() == [5] * 8
    twice = never._replace(stops=never.stops.at[2].set(True).at[4].set(True))
    assert twice.stop_time.tolist() == [2] * 8


def test_a_sweep_goes_row_by_row_and_back():
    across = [-1, -0.25, 0.5, 0.75, 0, -0.75, -0.5, 0.25, 1]
    np.testing.assert_allclose((sweep(9) / SWEPT)[:, 0], across, atol=1e-4)
    np.testing.assert_allclose((sweep(9) / SWEPT)[:, 1], np.repeat([-2 / 3, 0, 2 / 3], 3), atol=1e-4)


@pytest.mark.parametrize("locations", ["absolute", "relative"])
def test_an_untrained_agent_with_a_sweep_follows_it(canvases, locations):
    config = Config(**{**vars(SMALL), "location_bias": "sweep", "glimpses": 10, "locations": locations})
    params = initial_params(config, key=jax.random.key(1))
    params = params._replace(locator_mean=params.locator_mean._replace(weight=jnp.zeros((5, 2))))
    rolled = rollout(params, canvases, jnp.arange(8), draw(config, 8, key=jax.random.key(2), explore=False), config)
    np.testing.assert_allclose(rolled.locations[1:], np.repeat(sweep(9)[:, None], 8, axis=1), atol=1e-6)


def test_replay_gives_back_what_the_rollout_computed(canvases):
    params = initial_params(SMALL, key=jax.random.key(1))
    rolled = rollout(params, canvases, jnp.arange(8), draw(SMALL, 8, key=jax.random.key(2), explore=True), SMALL)
    outputs = replay(params, rolled, SMALL)
    assert outputs.log_probs.shape == (1, 8, 10)
    np.testing.assert_allclose(jnp.exp(outputs.log_probs).sum(-1), 1, rtol=1e-5)
    assert outputs.action_log_probs.shape == (5, 8)


@pytest.mark.parametrize(
    "changed", [{}, {"encoding": "film"}, {"sensor_location": "ink", "scales": 2}, {"core": "light-gru"}], ids=str
)
def test_perceiving_the_same_glimpses_gives_the_same_hidden_states(canvases, changed):
    config = Config(**{**vars(SMALL), **changed})
    params = initial_params(config, key=jax.random.key(1))
    rolled = rollout(params, canvases, jnp.arange(8), draw(config, 8, key=jax.random.key(2), explore=True), config)
    seen = rolled.sensor_inputs[..., : config.glimpse_features]
    hidden = perceive(params, seen, rolled.locations, config.patch)
    np.testing.assert_allclose(hidden, rolled.hidden, rtol=1e-5, atol=1e-6)


def test_the_sensor_is_told_how_far_it_looks_from_the_ink():
    params = initial_params(Config(**{**vars(SMALL), "sensor_location": "ink"}), key=jax.random.key(1))
    patch, trail = 2, jnp.zeros((1, 3))
    # Two scales of 2x2 pixels; in the finer one a quarter of the pixels is 2 brighter than average, then half are 0.8.
    first, second = jnp.array([[2.0, -1, -1, -1, 9, 9, 9, 9]]), jnp.array([[0.8, 0.8, 0, -1, 9, 9, 9, 9]])
    trail, inputs = what_and_where(params, trail, first, jnp.array([[0.5, -0.5]]), patch)
    # 0.5 of ink at (0.5, -0.5), and the 0.2 taken for granted in the middle: the centre is at (0.25, -0.25) / 0.7.
    np.testing.assert_allclose(inputs, [[*first[0], 2 / 7, -2 / 7, 0.5, -0.5]], rtol=1e-6)
    trail, inputs = what_and_where(params, trail, second, jnp.array([[-0.5, 0.5]]), patch)
    # 0.8 * 0.5 of ink at (0.5, -0.5), 0.4 at (-0.5, 0.5): the centre is the middle of the canvas.
    np.testing.assert_allclose(inputs, [[*second[0], -1, 1, -0.5, 0.5]], rtol=1e-6)


def test_where_there_is_no_ink_the_canvas_counts():
    params = initial_params(Config(**{**vars(SMALL), "sensor_location": "ink"}), key=jax.random.key(1))
    inputs = what_and_where(params, jnp.zeros((1, 3)), jnp.full((1, 4), -0.4), jnp.array([[0.25, 0.5]]), 2)[1]
    np.testing.assert_allclose(inputs[0, 4:], [0.5, 1, 0.25, 0.5])


def test_without_exploration_the_agent_looks_where_its_policy_points(canvases):
    params = initial_params(SMALL, key=jax.random.key(1))
    rolled = rollout(params, canvases, jnp.arange(8), draw(SMALL, 8, key=jax.random.key(2), explore=False), SMALL)
    mean = jnp.tanh(params.locator_mean(jax.nn.relu(params.locator_hidden(rolled.hidden))))
    np.testing.assert_allclose(rolled.samples, mean, rtol=1e-5)
    np.testing.assert_allclose(rolled.locations[1:], rolled.samples[:-1], rtol=1e-5)


def test_locations_stay_on_the_canvas_and_the_first_is_uniform(canvases):
    config = Config(**{**vars(SMALL), "location_std": 3.0, "glimpses": 3})
    params = initial_params(config, key=jax.random.key(1))
    index = jnp.zeros(4000, jnp.int32)
    rolled = rollout(params, canvases, index, draw(config, 4000, key=jax.random.key(2), explore=True), config)
    assert float(jnp.abs(rolled.locations).max()) == 1.0
    assert float(jnp.abs(rolled.samples).max()) > 1.0
    first = np.asarray(rolled.locations[0])
    assert np.histogram2d(*first.T, bins=2, range=[[-1, 1]] * 2)[0].min() > 900


def test_random_locations_ignore_the_policy(canvases):
    config = Config(**{**vars(SMALL), "model": "random"})
    params = initial_params(config, key=jax.random.key(1))
    index = jnp.zeros(4000, jnp.int32)
    for explore in (True, False):
        rolled = rollout(params, canvases, index, draw(config, 4000, key=jax.random.key(2), explore=explore), config)
        assert np.histogram2d(*np.asarray(rolled.locations[3]).T, bins=2, range=[[-1, 1]] * 2)[0].min() > 900
