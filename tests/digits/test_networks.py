"""The agents: what they do in an episode, and the replayed gradient against plain differentiation through the loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl.digits import fast, ram
from irrl.digits.config import Config, preset
from irrl.digits.episode import sample_noise
from irrl.digits.glimpse import glimpses, pyramid
from irrl.digits.networks import initial_params, network_of
from irrl.digits.search import SWEPT, from_ink, sweep
from irrl.recurrent import gaussian_log_prob

SMALL = Config(canvas=20, patch=4, scales=2, glimpses=5, sensor_units=6, hidden_units=7, locator_units=5)


def small(**settings):
    """A tiny agent."""
    return Config(**{**vars(SMALL), **settings})


def rolled_out(params, canvases, config, batch=8, *, explore):
    """Episodes of it."""
    noise = sample_noise(config, batch, key=jax.random.key(2), explore=explore)
    return network_of(config).rollout(params, canvases, jnp.arange(batch) % len(canvases), noise, config)


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
    is_ours, is_fast = config.agent != "ram", config.agent == "fast"
    noise = sample_noise(config, len(index), key=key, explore=True)
    pooled = pyramid(canvases[index], scales=config.scales)
    relu, stop = jax.nn.relu, jax.lax.stop_gradient
    biases = jnp.broadcast_to(params.locator_mean.bias, (config.most_glimpses, 2))

    def reward_of(log_q):
        reward = jnp.maximum(jnp.exp(log_q) - 0.1, 0)
        return stop(reward) if config.reward_gradient == "stop" else reward

    def episode(number):
        hidden, location = jnp.zeros(config.hidden_units), noise.first[number]
        trail = []
        log_pi, baselines, log_q, acting, deciding = [], [], [], [], 1.0
        for time in range(config.most_glimpses):
            alone = tuple(means[number][None] for means in pooled)
            seen = glimpses(alone, location[None], patch=config.patch)[0]
            told = location
            if is_fast:
                trail.append((relu(seen[: config.patch**2]).mean(), location))
                memory = [0.8**age for age in range(len(trail))][::-1]
                amount = sum(left * ink for left, (ink, _) in zip(memory, trail, strict=True))
                moment = sum(left * ink * where for left, (ink, where) in zip(memory, trail, strict=True))
                told = jnp.concatenate([2 * (location - moment / (amount + 0.2)), location])
            what = params.encoder_patch(relu(params.sensor_patch(seen)))
            where = params.encoder_location(relu(params.sensor_location(told)))
            if is_ours:
                what = what * (1 + params.encoder_scale(relu(params.sensor_location(told))))
            encoding, before = relu(what + where), hidden
            hidden = relu(params.core_input(encoding) + params.core_hidden(before))
            if is_fast:
                update = jax.nn.sigmoid(params.core_gate_input(encoding) + params.core_gate_hidden(before))
                hidden = (1 - update) * before + update * hidden
            read = hidden if is_ours else stop(hidden)
            if is_fast:
                read = jnp.concatenate([read, told, jnp.arange(config.most_glimpses) == time])
            locator = relu(params.locator_hidden(read))
            mean = locator @ params.locator_mean.weight + biases[time]
            if not is_ours:
                mean = jnp.tanh(mean)
            elif time > 0:
                mean += location
            sample = stop(mean + noise.steps[number, time])
            move = gaussian_log_prob(sample, mean, config.location_std)
            stopping = 0.0
            if config.model == "dt-ram":
                s = jnp.clip(jax.nn.sigmoid(params.locator_stop(locator)[0]), 0.001, 0.999)
                last = time == config.most_glimpses - 1
                stopping = 1.0 if last else (s > noise.stops[number, time]).astype(float)
                move += jnp.log(1 - s) if config.stop == "bernoulli" else 0
                move = (1 - stopping) * move + stopping * (0 if last else jnp.log(s))
            log_pi.append(deciding * move)
            acting.append(deciding)
            if is_ours:
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
        if is_ours:
            paid = reward_of(log_q)
            if is_fast:  # 40 more glimpses, at each of which the last answer is given again
                paid = jnp.concatenate([paid, jnp.repeat(paid[-1], 40)])
            returns = jnp.stack([
                sum((0.8 ** (later - time - 1) * paid[later] for later in range(time + 1, len(paid))), 0.0)
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

    return (weights * jax.vmap(episode)(jnp.arange(len(index)))).sum()


@pytest.mark.parametrize(
    "settings",
    [
        {"reward_gradient": "stop"},
        {"reward_gradient": "leak"},
        {"model": "dt-ram", "stop": "threshold"},
        {"model": "dt-ram", "stop": "bernoulli", "reward_gradient": "leak"},
        {"agent": "ram8"},
        {"agent": "ram8", "reward_gradient": "leak", "scales": 1},
        {"agent": "fast"},
        {"agent": "fast", "reward_gradient": "leak", "reinforce_weight": 0.05},
    ],
    ids=str,
)
def test_replayed_gradient_is_that_of_the_plain_loop(canvases, settings):
    config = small(**settings)
    network = network_of(config)
    params = initial_params(config, key=jax.random.key(1))
    index, labels = jnp.arange(8), jnp.arange(8) % 10
    if config.agent != "ram":  # its first weights are 0
        params = params._replace(locator_mean=params.locator_mean._replace(weight=jnp.full((5, 2), 0.3)))
    weights = jnp.ones(8).at[-1].set(0.0)
    key = jax.random.key(2)
    noise = sample_noise(config, 8, key=key, explore=True)

    def replayed(params):
        rolled = network.rollout(jax.lax.stop_gradient(params), canvases, index, noise, config)
        return network.loss(params, rolled, labels, weights, config)[0]

    if config.decides:
        logits = network.rollout(params, canvases, index, noise, config).locator @ params.locator_stop.weight
        params = params._replace(locator_stop=params.locator_stop._replace(bias=-jnp.quantile(logits, 0.8)[None]))
        stop_time = network.rollout(params, canvases, index, noise, config).stop_time
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
    config = small(model="dt-ram")
    rolled = rolled_out(initial_params(config, key=jax.random.key(1)), canvases, config, explore=True)
    assert rolled.stops.shape == (6, 8), "five glimpses, and a sixth for those that have not stopped"
    never = rolled._replace(stops=jnp.zeros((6, 8), bool))
    assert never.stop_time.tolist() == [5] * 8
    twice = never._replace(stops=never.stops.at[2].set(True).at[4].set(True))
    assert twice.stop_time.tolist() == [2] * 8


def test_a_sweep_goes_row_by_row_and_back():
    across = [-1, -0.25, 0.5, 0.75, 0, -0.75, -0.5, 0.25, 1]
    np.testing.assert_allclose((sweep(9) / SWEPT)[:, 0], across, atol=1e-4)
    np.testing.assert_allclose((sweep(9) / SWEPT)[:, 1], np.repeat([-2 / 3, 0, 2 / 3], 3), atol=1e-4)


def test_an_untrained_agent_with_a_sweep_follows_it(canvases):
    config = small(agent="fast", glimpses=10)
    rolled = rolled_out(initial_params(config, key=jax.random.key(1)), canvases, config, explore=False)
    np.testing.assert_allclose(rolled.locations[1:], np.repeat(sweep(9)[:, None], 8, axis=1), atol=1e-6)


def test_replay_gives_back_what_the_rollout_computed(canvases):
    for network, agent, answers in ((ram, "ram", (8, 10)), (fast, "fast", (5, 8, 10))):
        config = small(agent=agent)
        params = initial_params(config, key=jax.random.key(1))
        rolled = rolled_out(params, canvases, config, explore=True)
        outputs = network.replay(params, rolled, config)
        assert outputs.log_probs.shape == answers
        said = jax.nn.log_softmax(params.classifier(rolled.hidden))
        np.testing.assert_allclose(outputs.log_probs, said[-1] if agent == "ram" else said, rtol=1e-5, atol=1e-6)
        assert outputs.action_log_probs.shape == (5, 8)


@pytest.mark.parametrize("agent", ["ram", "ram8", "fast"])
def test_perceiving_the_same_glimpses_gives_the_same_hidden_states(canvases, agent):
    config = small(agent=agent, scales=2)
    params = initial_params(config, key=jax.random.key(1))
    rolled = rolled_out(params, canvases, config, explore=True)
    hidden = network_of(config).perceive(params, rolled.glimpses, rolled.locations, config)
    np.testing.assert_allclose(hidden, rolled.hidden, rtol=1e-5, atol=1e-6)


def test_the_sensor_is_told_how_far_it_looks_from_the_ink():
    trail = jnp.zeros((1, 3))
    # 2x2 pixels: a quarter of them is 2 brighter than average, then half are 0.8.
    first, second = jnp.array([[2.0, -1, -1, -1]]), jnp.array([[0.8, 0.8, 0, -1]])
    trail, offset = from_ink(trail, first, jnp.array([[0.5, -0.5]]))
    # 0.5 of ink at (0.5, -0.5), and the 0.2 taken for granted in the middle: the centre is at (0.25, -0.25) / 0.7.
    np.testing.assert_allclose(offset, [[2 / 7, -2 / 7]], rtol=1e-6)
    trail, offset = from_ink(trail, second, jnp.array([[-0.5, 0.5]]))
    # 0.8 * 0.5 of ink at (0.5, -0.5), 0.4 at (-0.5, 0.5): the centre is the middle of the canvas.
    np.testing.assert_allclose(offset, [[-1, 1]], rtol=1e-6)


def test_only_the_finest_patch_counts_as_ink_and_only_for_fast():
    seen, location = jnp.array([[2.0, -1, -1, -1, 9, 9, 9, 9]]), jnp.array([[0.5, -0.5]])
    told = {
        agent: fast.orient(jnp.zeros((1, 3)), seen, location, small(agent=agent, patch=2))[1].tolist()
        for agent in ("ram8", "fast")
    }
    assert told["ram8"] == [[0.5, -0.5]]
    np.testing.assert_allclose(told["fast"], [[2 / 7, -2 / 7, 0.5, -0.5]], rtol=1e-6)


def test_where_there_is_no_ink_the_canvas_counts():
    offset = from_ink(jnp.zeros((1, 3)), jnp.full((1, 4), -0.4), jnp.array([[0.25, 0.5]]))[1]
    np.testing.assert_allclose(offset, [[0.5, 1]])


def test_without_exploration_the_agent_looks_where_its_policy_points(canvases):
    params = initial_params(SMALL, key=jax.random.key(1))
    rolled = rolled_out(params, canvases, SMALL, explore=False)
    mean = jnp.tanh(params.locator_mean(jax.nn.relu(params.locator_hidden(rolled.hidden))))
    np.testing.assert_allclose(rolled.samples, mean, rtol=1e-5)
    np.testing.assert_allclose(rolled.locations[1:], rolled.samples[:-1], rtol=1e-5)


def test_locations_stay_on_the_canvas_and_the_first_is_uniform(canvases):
    config = small(location_std=3.0, glimpses=3)
    params = initial_params(config, key=jax.random.key(1))
    rolled = rolled_out(params, canvases, config, 4000, explore=True)
    assert float(jnp.abs(rolled.locations).max()) == 1.0
    assert float(jnp.abs(rolled.samples).max()) > 1.0
    first = np.asarray(rolled.locations[0])
    assert np.histogram2d(*first.T, bins=2, range=[[-1, 1]] * 2)[0].min() > 900


@pytest.mark.parametrize("agent", ["ram", "fast"])
def test_random_locations_ignore_the_policy(canvases, agent):
    config = small(agent=agent, model="random")
    params = initial_params(config, key=jax.random.key(1))
    for explore in (True, False):
        rolled = rolled_out(params, canvases, config, 4000, explore=explore)
        assert np.histogram2d(*np.asarray(rolled.locations[3]).T, bins=2, range=[[-1, 1]] * 2)[0].min() > 900
