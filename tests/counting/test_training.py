"""Training and testing the counting robot: `irrl counting` as a user types it."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import irrl
from irrl.cli import main
from irrl.counting.config import Config
from irrl.counting.evaluate import Walks, _walk_batch, counted
from irrl.counting.scene import Scenes, draw_scenes
from irrl.counting.simulator import Simulator
from irrl.counting.source import Source
from irrl.counting.task import TASK
from irrl.counting.training import _train_steps, initial_state, train, train_steps
from irrl.errors import UserError
from irrl.run import MemoryRun
from kill_and_resume import kill_and_resume
from tiny import COUNTING, flags_of

FLAGS = [*map(str, flags_of(COUNTING)), "--episodes", "64"]


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "one"
    assert run("counting", "train", *FLAGS, "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def graphics():
    """Skips what MuJoCo has nothing to draw with for."""
    config = Config(**COUNTING)
    try:
        with Simulator(config, draw_scenes(config, 1, np.random.default_rng(0))).eyes("eye", 8, 8) as picture:
            picture()
    except UserError as error:
        pytest.skip(str(error))


def test_rows_and_another_start(trained, capsys):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["episode"] for row in rows] == [32, 64]
    assert all(0 <= row["moves"] <= 2 and np.isfinite(row["loss"]) for row in rows)
    assert run("counting", "train", *FLAGS, "--out", trained) == 0
    assert "episode 64, best validation accuracy" in capsys.readouterr().out
    assert run("counting", "train", *FLAGS, "--latency", 0.5, "--out", trained) == 2
    assert "latency: 0.01 -> 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("decay", "notes"),
    [
        (32, ["from `decay_episodes=32` on, steps are a hundredth"]),
        (96, ["training ends before `decay_episodes=96`"]),
        (64, []),
    ],
)
def test_a_step_size_that_falls_too_early_or_too_late_is_told(decay, notes):
    assert list(TASK.notes(Config(**COUNTING, episodes=64, decay_episodes=decay))) == notes


@pytest.mark.slow
def test_killed_and_resumed_to_the_last_bit(tmp_path):
    whole, killed = kill_and_resume("counting", tmp_path, kills=2, rows=6)
    assert whole.state == killed.state
    assert {n: a.tobytes() for n, a in whole.arrays.items()} == {n: a.tobytes() for n, a in killed.arrays.items()}


def test_every_step_walks_otherwise_and_jitter_changes_what_is_seen():
    config = Config(**COUNTING)
    source = Source(config)
    round_ = source.scenes_of_round(1)
    state = initial_state(config, round_.tables)

    def loss_of_step(step, jitter):
        now = jax.tree.map(jnp.copy, state._replace(step=jnp.int32(step)))
        return float(train_steps(now, round_, 0, 1, config=replace(config, jitter=jitter)).metrics.loss)

    assert loss_of_step(0, 0.0) == loss_of_step(0, 0.0)
    assert loss_of_step(0, 0.0) != loss_of_step(1, 0.0)
    assert loss_of_step(0, 0.0) != loss_of_step(0, 0.5)


def test_seeds_and_budgets_share_their_programs(caplog):
    # Of a size that no other test compiles for.
    config = Config(**COUNTING | {"hidden_units": 11}, episodes=32)
    before = _train_steps._cache_size(), _walk_batch._cache_size()
    with jax.log_compiles(), caplog.at_level("WARNING", "jax"):
        first = train(config)
        second = train(replace(config, seed=2, episodes=64, keep_every=1))
        train(replace(config, seed=3))
    assert caplog.text.count("Compiling jit(_train_steps)") == 1
    assert (_train_steps._cache_size(), _walk_batch._cache_size()) == (before[0] + 1, before[1] + 1)
    assert np.abs(first.params.core_hidden.weight - second.params.core_hidden.weight).max() > 0


def test_validation_scenes_are_not_trained_on():
    source = Source(Config(**COUNTING))
    trained_on = {
        place.tobytes() for number in (1, 2) for place in np.asarray(source.scenes_of_round(number).tables.place)
    }
    assert len(trained_on) == 32  # two rounds of eight scenes, their mirror images, and both recoloured in place
    assert not trained_on & {place.tobytes() for place in source.validation.place}


def test_a_table_of_which_all_can_be_seen_from_the_start():
    """A probe: one look tells whether the cube is there, so a robot should learn to answer at once."""
    config = Config(
        goals="medium_red,medium_blue", counts="1,1", distractors_least=0, distractors_most=0, levels="1,0,0",
        width=48, height=32, moves=2, window_units=16, hidden_units=32, policy_units=16, batch=32, part=8, round=1024,
        episodes=6144, decay_episodes=6144, latency=0.1, reinforce_weight=1.0, validation_size=256,
    )  # fmt: skip
    memory = MemoryRun()
    train(config, memory)
    first, last = memory.history[0], memory.history[-1]
    assert first["moves"] > 1.5
    assert last["validation_accuracy"] > 0.95
    assert last["validation_moves"] < 0.2


def test_test(trained, capsys):
    assert run("counting", "test", trained, "--episodes", 20, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    confusion = np.array(result["confusion"])
    assert confusion.sum() == 20 == sum(result["moves"])
    assert result["accuracy"] == pytest.approx(np.trace(confusion) / 20)
    for known in ("all_seen_after", "ceiling"):
        assert result[known] == sorted(result[known]) and len(result[known]) == 3
    assert run("counting", "test", trained, "--episodes", 20) == 0
    assert [
        list(map(int, line.split()[1:])) for line in capsys.readouterr().out.splitlines()[-3:]
    ] == confusion.tolist()
    assert len(result["by_moves"]) == 3


def test_prospects_are_known_before_any_training(capsys):
    assert run("counting", "prospects", "--scenes", 12, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    for moves, share in enumerate(result["all_seen_after"]):
        assert share == pytest.approx(np.mean([scene["least_moves"] <= moves for scene in result["scenes"]]))
    for scene in result["scenes"]:
        assert len(scene["seen_from"]) == scene["count"]
        at_once = all(0 in views for views in scene["seen_from"])
        assert (scene["least_moves"] == 0) == at_once
        views = np.bincount([view for views in scene["seen_from"] for view in views], minlength=12)
        assert scene["best_view"] == views.max()


def test_prospects_of_other_scenes(capsys):
    said = []
    for seed in (0, 0, 1):
        assert run("counting", "prospects", "--scenes", 12, "--json", "--seed", seed) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_the_last_round_may_be_shorter(tmp_path):
    short = [*FLAGS, "--out", tmp_path / "short"]
    short[short.index("--episodes") + 1] = "40"
    assert run("counting", "train", *short) == 0
    rows = [json.loads(line) for line in (tmp_path / "short" / "metrics.jsonl").read_text().splitlines()]
    assert [row["episode"] for row in rows] == [32, 40]


@pytest.mark.parametrize(("left", "right", "viewpoints"), [(1.0, 0.0, [0, -1, -2]), (0.0, 1.0, [0, 1, 2])])
def test_both_simulators_show_the_robot_the_same(trained, graphics, left, right, viewpoints):
    agent = irrl.load(trained)
    # It has hardly learned which way to go: a pixel would decide.
    policy = agent.params.policy._replace(bias=jnp.array([left, right, -3.0]))
    agent = replace(agent, params=agent.params._replace(policy=policy))
    scenes = draw_scenes(agent.config, 3, np.random.default_rng(5))
    cast, simulated = agent.walk(scenes), agent.walk_in_simulator(scenes)
    np.testing.assert_array_equal(cast.viewpoint, [viewpoints] * 3)
    np.testing.assert_array_equal(simulated.viewpoint, [viewpoints] * 3)
    np.testing.assert_allclose(cast.log_probs, simulated.log_probs, atol=0.1)  # edges differ by a pixel here and there


def test_a_report_by_hand():
    config = Config()
    kind = np.full((3, 2), -1)
    kind[1, 0], kind[2] = 0, 0
    scenes = Scenes(kind, np.zeros((3, 2, 2), "f4"), np.zeros((3, 2), "f4"), np.zeros(3, int), np.array([0, 0, 2]))
    log_probs = np.full((3, 7, 7), -9.0)
    # 0 right at once, 1 right after two moves, 2 called 1 after one.
    log_probs[0, 0, 0], log_probs[1, 2, 1], log_probs[2, 1, 1] = 0, 0, 0
    walks = Walks(log_probs, np.zeros((3, 7), int), np.array([0, 2, 1]))
    result = counted(walks, scenes, config)
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.mean_moves == 1
    assert result.by_count == {"0": 1.0, "1": 1.0, "2": 0.0}
    assert result.by_level == {"nothing": 1.0, "visible": 1.0, "hidden": 0.0}
    assert result.confusion[2][1] == 1
    assert result.moves == [1, 1, 1, 0, 0, 0, 0]


def test_film(trained, graphics, tmp_path, capsys):
    assert run("counting", "draw", trained, "--cases", 1, "--out", tmp_path / "films") == 0
    films = capsys.readouterr().out.split()
    assert [film.rsplit("/", 1)[1] for film in films] == ["case-1.mp4", "case-1.gif"]


def test_figure_and_comparison(trained, tmp_path, capsys):
    assert run("counting", "figure", trained, "--out", tmp_path / "curves.png") == 0
    assert run("counting", "compare", trained, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert row["at"] == 64


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"latency": 2.0}, "latency"),
        ({"stop_bias": float("nan")}, "`stop_bias` is nan; it must be a finite number"),
        ({"batch": 60, "part": 16}, "part"),
        ({"width": 8, "height": 8}, "no room"),
        ({"round": 100}, "multiple"),
        ({"episodes": 100}, "multiple of `batch=64`"),
        ({"goals": "gold"}, "name kinds"),
        ({"distractors_most": 1000}, "from 3 to 100"),
        ({"distractors_most": 99}, "up to 105 cubes"),
    ],
)
def test_impossible_settings(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        Config(**settings)


def test_a_reward_that_does_not_exist_leaves_nothing_behind(tmp_path, capsys):
    assert run("counting", "train", *FLAGS, "--reward", "gold", "--out", tmp_path / "x") == 2
    assert "gold" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
