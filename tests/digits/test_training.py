"""Training: it learns what can be learned, and the reward pays as it should."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl import checkpoint, keys
from irrl.devices import AXIS
from irrl.digits.config import Config
from irrl.digits.episode import discriminator_log_probs, sample_noise
from irrl.digits.evaluate import _predict_batch
from irrl.digits.fast import optimizer
from irrl.digits.networks import initial_params, judge, network_of
from irrl.digits.ram import less_latency, loss, perceive, rollout
from irrl.digits.source import Source, canvases_for_testing
from irrl.digits.training import _train_steps, initial_state, train, train_steps
from irrl.errors import UserError
from irrl.run import MemoryRun
from tiny import SETTINGS, write_mnist


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return Config(**SETTINGS, mnist=str(write_mnist(tmp_path_factory.mktemp("mnist"))))


def changed(config, **changes):
    return Config(**{**vars(config), **changes})


def test_bars_that_a_glimpse_can_tell_apart_are_learned(config):
    """The canvas is no larger than the glimpse, so ten plain bars must be told apart almost perfectly."""
    easy = changed(config, canvas=8, distractors=0, epochs=40, evaluate_every=40)
    run = MemoryRun()
    agent = train(easy, run)
    assert agent.accuracy(canvases_for_testing(easy)) > 0.9
    assert run.history[0]["reward"] < 0.1
    assert run.history[-1]["reward"] > 0.5


def test_weightless_rows_change_nothing(config):
    source = Source(config)
    epoch = source.epoch(1)
    params = initial_params(config, key=keys.key(1, "initial parameters"))
    index, labels = epoch.order[0], epoch.labels[epoch.order[0]]
    noise = sample_noise(config, 32, key=keys.key(1, "rollout"), explore=True)
    rolled = rollout(params, epoch.canvases, index, noise, config)
    half = jnp.ones(32).at[16:].set(0)
    first_half = jax.tree.map(lambda array: array[:, :16], rolled)
    expected, _ = loss(params, first_half, labels[:16], jnp.ones(16), config)
    got, sums = loss(params, rolled, labels, half, config)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    assert float(sums.canvases) == 16


def test_seeds_and_budgets_share_their_programs_and_nothing_else(config, caplog):
    # Of a size that no other test compiles for.
    short = changed(config, epochs=1, hidden_units=31)
    before = _train_steps._cache_size(), _predict_batch._cache_size()
    with jax.log_compiles(), caplog.at_level("WARNING", "jax"):
        one = train(short)
        two = train(changed(short, seed=2, epochs=2, evaluate_every=2, checkpoint_every=2, keep_every=1))
        train(changed(short, seed=3))
    assert caplog.text.count("Compiling jit(_train_steps)") == 1
    assert (_train_steps._cache_size(), _predict_batch._cache_size()) == (before[0] + 1, before[1] + 1)
    jax.tree.map(np.testing.assert_array_equal, one.params, train(short).params)
    # From the same parameters, too: another seed's glimpses are others.
    state = initial_state(short, 1)
    epoch = Source(short).epoch(1)
    after = [
        train_steps(jax.tree.map(jnp.copy, state), epoch, 0, 1, config=changed(short, seed=seed)) for seed in (1, 2)
    ]
    for first, second in ((one, two), after):
        assert np.abs(first.params.locator_mean.weight - second.params.locator_mean.weight).max() > 0


@pytest.mark.parametrize(
    ("reward", "reward_gradient"), [("accuracy", "leak"), ("log", "leak"), ("box-cox:0.5", "stop")]
)
def test_other_rewards_train_to_finite_weights(config, reward, reward_gradient):
    agent = train(changed(config, reward=reward, reward_gradient=reward_gradient, epochs=1, train_size=64))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(agent.params))


def test_history_has_a_row_an_epoch_and_validates_when_due(config):
    run = MemoryRun()
    train(changed(config, epochs=5, evaluate_every=2), run)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4, 5]
    assert ["validation_accuracy" in row for row in run.history] == [False, True, False, True, True]


def test_a_row_of_several_epochs_is_their_mean_and_changes_nothing_that_is_learned(config):
    often, seldom = MemoryRun(), MemoryRun()
    one, two = train(changed(config, epochs=5), often), train(changed(config, epochs=5, log_every=2), seldom)
    assert [row["epoch"] for row in seldom.history] == [2, 4, 5]
    jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
    for name in ("accuracy", "reward", "loss"):
        means = [row[name] for row in often.history]
        expected = [np.mean(means[:2]), np.mean(means[2:4]), means[4]]
        np.testing.assert_allclose([row[name] for row in seldom.history], expected, rtol=1e-5)
    # Nine batches an epoch, of 270 canvases and 18 rows of filler.
    assert [round(row["images_per_second"] * row["seconds"]) for row in seldom.history] == [540, 540, 270]
    assert all("validation_accuracy" in row for row in seldom.history)


def test_settings_and_canvases_that_would_be_misread_are_refused():
    """In a process of its own: here the tests' own type checks would refuse them first."""
    code = """
import numpy as np
from irrl import UserError
from irrl.digits.config import Config
from irrl.digits.evaluate import Agent
agent = Agent(Config(canvas=16), None)
for attempt in (
    lambda: Config(model="ramm"),
    lambda: Config(reward_gradient="detach"),
    lambda: Config(data="freshh"),
    lambda: Config(glimpses=3.5),
    lambda: Config(reward=3),
    lambda: agent.predict(np.zeros((2, 16, 16), np.float32)),
    lambda: agent.predict(np.zeros((2, 100, 100), np.uint16)),
):
    try:
        attempt()
    except UserError as error:
        print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    wanted = ["`model`", "`reward_gradient`", "`data`", "`glimpses`", "`reward`", "scale pixels", "16, 16"]
    assert len(output.splitlines()) == len(wanted)
    for line, part in zip(output.splitlines(), wanted, strict=True):
        assert part in line


def test_a_requested_stop_ends_within_the_epoch(config):
    class Impatient(MemoryRun):
        saved = None

        def progress(self, step, steps):
            self.stop_requested = True

        def save(self, arrays, state, *, best, keep):
            self.saved = state

    run = Impatient()
    train(config, run)
    assert run.history == []
    assert run.saved is not None and run.saved["step"] == 1 and run.saved["epoch"] == 0


def test_an_oracle_pays_for_the_same_glimpses(config):
    config = changed(config, reward="linear")
    epoch = Source(config).epoch(1)
    learner, oracle = (initial_params(config, key=keys.key(seed, "initial parameters")) for seed in (1, 2))
    index, weights = epoch.order[0], epoch.weights[0]
    noise = sample_noise(config, 32, key=keys.key(1, "rollout"), explore=True)
    rolled = rollout(learner, epoch.canvases, index, noise, config)
    labels = epoch.labels[index]

    def metrics(params, oracle=None):
        oracle_log_probs = None if oracle is None else judge(oracle, rolled.glimpses, rolled.locations, config)
        return loss(params, rolled, labels, weights, config, oracle_log_probs)[1]

    assert float(metrics(learner, oracle=learner).reward) == pytest.approx(float(metrics(learner).reward), rel=1e-5)
    log_q = discriminator_log_probs(oracle, perceive(oracle, rolled.glimpses, rolled.locations, config)[-1])
    paid = (jnp.exp(log_q[jnp.arange(32), labels]) - 0.1).sum()
    assert float(metrics(learner, oracle=oracle).reward) == pytest.approx(float(paid), rel=1e-4)
    # The online classifier goes on as before.
    assert float(metrics(learner, oracle=oracle).classification_loss) == float(metrics(learner).classification_loss)


@pytest.mark.parametrize("settings", [{"model": "dt-ram"}, {"agent": "fast"}])
def test_an_oracle_of_another_network_pays_whenever_the_agent_answers(config, settings):
    """The oracle is no DT-RAM, and not told of the ink; it judges the glimpses up to each answer."""
    learner_config = changed(config, reward="linear", latency="none" if "model" in settings else "discount", **settings)
    learner = initial_params(learner_config, key=keys.key(1, "initial parameters"))
    oracle_config = changed(config, hidden_units=9)
    oracle = initial_params(oracle_config, key=keys.key(2, "initial parameters"))
    epoch = Source(config).epoch(1)
    index, labels = epoch.order[0], epoch.labels[epoch.order[0]]
    noise = sample_noise(learner_config, 32, key=keys.key(1, "rollout"), explore=True)
    if "model" in settings:
        noise = noise._replace(stops=jnp.tile(jnp.array([0.9, 0.0, 0.9, 0.9]), (32, 1)).at[::2].set(0.9))
    network = network_of(learner_config)
    rolled = network.rollout(learner, epoch.canvases, index, noise, learner_config)
    oracle_log_probs = judge(oracle, rolled.glimpses, rolled.locations, oracle_config)
    paid = network.loss(learner, rolled, labels, jnp.ones(32), learner_config, oracle_log_probs)[1].reward

    def posterior(case: int, answer: int) -> float:
        """The oracle's probability of the label after glimpse `answer`, one glimpse at a time."""
        hidden, relu = jnp.zeros(9), jax.nn.relu
        for patch, place in zip(rolled.glimpses[: answer + 1, case], rolled.locations[:, case], strict=False):
            what = oracle.encoder_patch(relu(oracle.sensor_patch(patch)))
            where = oracle.encoder_location(relu(oracle.sensor_location(place)))
            hidden = relu(oracle.core_input(relu(what + where)) + oracle.core_hidden(hidden))
        return float(jax.nn.softmax(oracle.classifier(hidden))[labels[case]])

    every = "agent" in settings
    answers = [range(3) if every else [int(rolled.stop_time[case])] for case in range(32)]
    assert every or {int(time) for time in rolled.stop_time} == {1, 3}
    expected = sum(np.mean([posterior(case, at) - 0.1 for at in times]) for case, times in enumerate(answers))
    assert float(paid) == pytest.approx(expected, rel=1e-4)


def test_an_oracle_comes_from_a_checkpoint_and_must_see_the_same_glimpses(config, tmp_path):
    def saved(config, name):
        params = initial_params(config, key=keys.key(3, "initial parameters"))
        state = {"task": "digits", "config": vars(config)}
        checkpoint.save(tmp_path / name, checkpoint.flatten({"params": params}), state)
        return str(tmp_path / name)

    with_oracle = changed(config, oracle=saved(config, "oracle.safetensors"), epochs=1)
    run, alone = MemoryRun(), MemoryRun()
    train(with_oracle, run)
    train(changed(config, epochs=1), alone)
    assert run.history[0]["reward"] != alone.history[0]["reward"]
    other = saved(changed(config, patch=4), "other.safetensors")
    with pytest.raises(UserError, match=r"its patch is 4, this agent's 8"):
        train(changed(config, oracle=other))
    with pytest.raises(UserError, match=r"missing\.safetensors: no such file or folder"):
        train(changed(config, oracle=str(tmp_path / "missing.safetensors")))


@pytest.mark.parametrize(
    ("reward", "latency", "expected"),
    [
        ("clipped-linear", "none", [0.5, 0.8]),
        ("clipped-linear", "discount", [0.5 * 0.99**2, 0.8]),
        ("clipped-linear", "always", [0.5 - 0.1 * 2 / 4, 0.8]),
        ("clipped-linear", "right", [0.5 - 0.1 * 0.5 * 2 / 4, 0.8]),
        ("clipped-linear", "weighted", [0.5 - 0.1 * 0.5 * 2 / 4, 0.8]),
        ("accuracy", "right", [0.5 - 0.1 * 2 / 4, 0.8]),
        ("accuracy", "weighted", [0.5 - 0.1 * 0.5 * 2 / 4, 0.8]),
    ],
)
def test_the_price_of_time_by_hand(config, reward, latency, expected):
    """Three glimpses and a fourth. One agent is right after its third, the other wrong after its first."""
    config = changed(config, model="dt-ram", reward=reward, latency=latency)
    stop_time, correct = jnp.array([2, 0]), jnp.array([True, False])
    paid = jax.vmap(lambda reward: less_latency(reward, stop_time, correct, jnp.ones(2), config), axis_name=AXIS)
    np.testing.assert_allclose(paid(jnp.array([[0.5, 0.8]]))[0], expected, rtol=1e-6)


def test_the_batchs_accuracy_counts_neither_filler_nor_one_devices_share(config):
    """Two devices: of the first's two canvases one is filler; of the three that count, two are answered right."""
    config = changed(config, model="dt-ram", reward="accuracy", latency="weighted")
    correct, weights = jnp.array([[True, True], [True, False]]), jnp.array([[1.0, 0.0], [1.0, 1.0]])
    late = jnp.array([[1, 1], [1, 1]])
    paid = jax.vmap(
        lambda late, correct, weights: less_latency(jnp.ones(2), late, correct, weights, config), axis_name=AXIS
    )(late, correct, weights)
    np.testing.assert_allclose(paid, 1 - 0.1 * (1 / 4) * (2 / 3), rtol=1e-6)


def test_an_agent_that_pays_dearly_for_time_answers_at_once_and_one_that_does_not_looks_on(config, monkeypatch):
    monkeypatch.setattr("irrl.digits.ram.LATENCY_WEIGHT", 2.0)
    dt_ram = changed(config, canvas=8, distractors=0, epochs=30, evaluate_every=30, model="dt-ram", stop="bernoulli")
    dear, free = MemoryRun(), MemoryRun()
    train(changed(dt_ram, latency="always"), dear)
    train(changed(dt_ram, latency="none"), free)
    assert dear.history[0]["glimpses"] > 1.5
    assert dear.history[-1]["glimpses"] < 1.3
    assert free.history[-1]["glimpses"] > 2
    assert free.history[-1]["accuracy"] > dear.history[-1]["accuracy"]


def test_muon_turns_hidden_weights_in_all_directions_alike_and_leaves_the_rest_to_adam(config):
    muon = changed(config, agent="fast", learning_rate=0.01)
    params = initial_params(muon, key=jax.random.key(0))
    gradient = jax.tree.map(lambda array: jax.random.normal(jax.random.key(1), array.shape), params)
    rule = optimizer(muon, 1)
    steps = rule.update(gradient, rule.init(params), params)[0]
    hidden = ("sensor", "encoder", "core", "locator_hidden")
    for name, layer in steps._asdict().items():
        rate = 0.01 * (0.3 if name.startswith("locator") else 1)
        # Adam's first step is the sign of the gradient, Nesterov's look-ahead included.
        assert float(jnp.abs(layer.bias).max()) < 2.1 * rate, name
        if name.startswith(hidden):
            stretched = jnp.linalg.svd(layer.weight, compute_uv=False)
            assert float(stretched.max() / jnp.quantile(stretched, 0.1)) < 2, f"{name} moves further in some directions"
            assert float(jnp.sqrt((layer.weight**2).mean())) == pytest.approx(0.2 * 6 * rate, rel=0.35), name
        else:
            signs = -rate * jnp.sign(getattr(gradient, name).weight)
            np.testing.assert_allclose(layer.weight / signs, (layer.weight / signs).ravel()[0], rtol=1e-3)
