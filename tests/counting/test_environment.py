"""The Gymnasium environments, one table and many."""

import copy
import multiprocessing
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList

from irrl.counting import render
from irrl.counting.environment import LEFT, RIGHT, STOP, ObjectCountingEnv, ObjectCountingVectorEnv
from irrl.counting.scene_config import SceneConfig
from irrl.errors import UserError

NAME = "irrl.environments:irrl/ObjectCounting-v0"
SMALL = {"width": 48, "height": 32}


def make_vec(number, **settings):
    return gymnasium.make_vec(NAME, num_envs=number, **{**SMALL, **settings})


def test_gymnasium_has_nothing_to_complain_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(NAME, render_mode="rgb_array", **SMALL).unwrapped)
        env = gymnasium.make(NAME, **SMALL)
        env.reset(seed=0)
        env.step(LEFT)


def test_a_walk_and_its_images():
    env = gymnasium.make(NAME, **SMALL, moves=3).unwrapped
    first, information = env.reset(seed=5)
    assert first["image"].shape == (32, 48, 3) and first["image"].flags.writeable
    assert information["moves"] == 0
    steps = [env.step(action) for action in (LEFT, RIGHT, RIGHT)]
    assert [step[2:4] for step in steps] == [(False, False), (False, False), (False, True)]
    # Left and right again: back where it began.
    np.testing.assert_array_equal(steps[1][0]["image"], first["image"])
    scenes = env._one.scenes
    for steps_right, step in ((-1, steps[0]), (1, steps[2])):
        azimuth = np.array([np.deg2rad(30 * steps_right)], np.float32)
        image = render.render(SceneConfig(**SMALL), scenes.view(azimuth)).rgb[0]
        np.testing.assert_array_equal(step[0]["image"], image)
    assert steps[-1][4] == {"count": (scenes.kind[0] == scenes.goal[0]).sum(), "level": scenes.level[0], "moves": 3}


def test_stopping_ends_the_episode_and_the_next_is_another():
    env = gymnasium.make(NAME, **SMALL).unwrapped
    first, _ = env.reset(seed=1)
    assert env.step(STOP)[2:4] == (True, False)
    with pytest.raises(ResetNeeded, match="it has ended; call reset first"):
        env.step(LEFT)
    second, _ = env.reset()
    assert (first["image"] != second["image"]).any()
    again, _ = env.reset(seed=1)
    np.testing.assert_array_equal(first["image"], again["image"])


def test_the_seed_that_was_drawn_can_be_asked_for():
    env, other = (gymnasium.make(NAME, **SMALL).unwrapped for _ in range(2))
    episodes = [env.reset()[0]["image"] for _ in range(3)]
    again = [other.reset(seed=env.np_random_seed)[0]["image"], *(other.reset()[0]["image"] for _ in range(2))]
    np.testing.assert_array_equal(episodes, again)


def test_many_tables_go_on_by_themselves():
    envs = make_vec(3, moves=2)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    first, _ = envs.reset(seed=2)
    actions = np.array([STOP, LEFT, RIGHT])
    _, _, terminated, truncated, _ = envs.step(actions)
    assert terminated.tolist() == [True, False, False] and not truncated.any()
    fresh, _, terminated, truncated, information = envs.step(actions)
    # The first begins anew, whatever was asked of it; the others end.
    assert not terminated.any() and truncated.tolist() == [False, True, True]
    assert information["moves"].tolist() == [0, 2, 2]
    assert (fresh["image"][0] != first["image"][0]).any()
    assert envs.observation_space.contains(fresh)


def same(ours, theirs):
    """Whether two environments answered alike: info counts where it is said to hold."""
    for one, other in zip(ours[:-1], theirs[:-1], strict=True):
        for mine, yours in [(one[key], other[key]) for key in one] if isinstance(one, dict) else [(one, other)]:
            np.testing.assert_array_equal(mine, yours)
            assert mine.dtype == yours.dtype
    assert ours[-1].keys() == theirs[-1].keys()
    for name in ("count", "level", "moves"):
        which = theirs[-1][f"_{name}"]
        np.testing.assert_array_equal(ours[-1][f"_{name}"], which)
        np.testing.assert_array_equal(ours[-1][name][which], theirs[-1][name][which])


def test_many_tables_are_as_gymnasium_s_vector_of_single_ones():
    number, chance = 3, np.random.default_rng(0)
    ours, theirs = make_vec(number, moves=3), make_vec(number, moves=3, vectorization_mode="sync")
    same(ours.reset(seed=7), theirs.reset(seed=7))
    for step in range(20):
        actions = chance.integers(0, 3, number)
        same(ours.step(actions), theirs.step(actions))
        if step % 4 == 3:
            mask = np.arange(number) == chance.integers(number)
            seeds = [int(chance.integers(100)) if chance.random() < 0.5 else None for _ in range(number)]
            same(*(envs.reset(seed=seeds, options={"reset_mask": mask | (actions == STOP)}) for envs in (ours, theirs)))
    assert ours.np_random_seed == theirs.np_random_seed
    lists = [DictInfoToList(envs).reset(seed=1)[1] for envs in (ours, theirs)]
    assert lists[0] == lists[1]


def test_what_seeds_mean():
    envs = make_vec(3)
    images = {seed: make_vec(1).reset(seed=seed)[0]["image"][0] for seed in (4, 5, 6)}
    for seed in (4, np.int64(4), [4, 5, 6], np.array([4, 5, 6])):
        np.testing.assert_array_equal(envs.reset(seed=seed)[0]["image"], list(images.values()))
    # No seed: the stream goes on.
    following = envs.reset()[0]["image"]
    again = envs.reset(seed=[5, 4, 6])[0]["image"], envs.reset(seed=[None, None, 5])[0]["image"]
    np.testing.assert_array_equal(again[0], [images[5], images[4], images[6]])
    np.testing.assert_array_equal(again[1], [following[1], following[0], images[5]])


def test_only_those_of_the_mask_are_reset():
    envs = make_vec(3)
    envs.reset(seed=1)
    before, *_, information = envs.step(np.array([LEFT, LEFT, STOP]))
    options = {"reset_mask": np.array([False, True, True])}
    after, started = envs.reset(seed=[8, 8, 9], options=options)
    np.testing.assert_array_equal(after["image"][0], before["image"][0])
    np.testing.assert_array_equal(after["image"][1:], make_vec(2).reset(seed=8)[0]["image"])
    assert information["moves"].tolist() == [1, 1, 0] and started["moves"].tolist() == [1, 0, 0]
    assert list(options) == ["reset_mask"]  # Gymnasium's own take it out of the caller's dictionary
    # The one that had stopped has been reset already, and walks; the others as they were.
    assert envs.step(np.array([RIGHT, RIGHT, RIGHT]))[-1]["moves"].tolist() == [2, 1, 1]


@pytest.mark.parametrize("seed", [-1, [1], [1, 2, 3], [1, -2], np.array([1.0, 2.0]), np.array([[1, 2]])], ids=str)
def test_bad_seeds(seed):
    envs = make_vec(2)
    envs.reset(seed=1)
    with pytest.raises(UserError, match=r"^seed is .*; give None, an integer from 0, or a list of 2 of them$"):
        envs.reset(seed=seed)
    assert envs.np_random_seed == (1, 2)


@pytest.mark.parametrize(
    "mask", [[True, False], np.array([1, 0]), np.array([True]), np.array([[True, False]]), np.zeros(2, bool)], ids=str
)
def test_bad_masks(mask):
    envs = make_vec(2)
    envs.reset(seed=1)
    with pytest.raises(UserError, match=r"^reset_mask is .*; give a Boolean NumPy array with an entry for each of 2 "):
        envs.reset(options={"reset_mask": mask})


def test_a_robot_that_may_not_move_is_cut_short():
    env = gymnasium.make(NAME, **SMALL, moves=0).unwrapped
    first, _ = env.reset(seed=1)
    second, _, terminated, truncated, information = env.step(LEFT)
    assert (terminated, truncated, information["moves"]) == (False, True, 0)
    np.testing.assert_array_equal(first["image"], second["image"])


def test_wrong_use():
    envs = make_vec(2).unwrapped
    for ask in (
        lambda: envs.step(np.array([LEFT, LEFT])),
        envs.render,
        lambda: envs.reset(options={"reset_mask": np.array([True, False])}),
    ):
        with pytest.raises(ResetNeeded):
            ask()
    _, before = envs.reset(seed=1)
    for actions in ([LEFT], [LEFT, 7], [-1, LEFT], [1.0, 0.0], [[LEFT, RIGHT]], LEFT):
        with pytest.raises(UserError, match=r"give 0 \(left\), 1 \(right\) or 2 \(stop\) for each of 2$"):
            envs.step(actions)
    _, *_, after = envs.step(jnp.array([LEFT, RIGHT]))
    assert (after["moves"] - before["moves"]).tolist() == [1, 1]
    env = gymnasium.make(NAME, **SMALL).unwrapped
    for ask in (lambda: env.step(LEFT), env.render):
        with pytest.raises(ResetNeeded):
            ask()
    env.reset(seed=1)
    for action in (-1, 3, 1.0, [LEFT]):
        with pytest.raises(UserError, match=r"^action is .*; give 0 \(left\), 1 \(right\) or 2 \(stop\)$"):
            env.step(action)


def test_copies_and_spec_go_on_alike():
    for env in (gymnasium.make(NAME, **SMALL), make_vec(2)):
        env.reset(seed=3)
        others = copy.deepcopy(env), pickle.loads(pickle.dumps(env))
        wanted = env.reset()[0]["image"]
        for other in others:
            np.testing.assert_array_equal(other.reset()[0]["image"], wanted)
    one, many = gymnasium.make(NAME, **SMALL), make_vec(2)
    image = one.reset(seed=3)[0]["image"]
    np.testing.assert_array_equal(gymnasium.make(one.spec).reset(seed=3)[0]["image"], image)
    made = gymnasium.make_vec(many.spec)
    assert type(made) is type(many.unwrapped) and made.num_envs == 2
    np.testing.assert_array_equal(made.reset(seed=3)[0]["image"][0], image)


def test_gymnasium_s_own_vector_starts_the_next_episode_in_the_same_step():
    kwargs = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": AutoresetMode.SAME_STEP}}
    envs = make_vec(2, **kwargs)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    first, _ = envs.reset(seed=1)
    after, *_, information = envs.step(np.array([STOP, LEFT]))
    np.testing.assert_array_equal(information["final_obs"][0]["image"], first["image"][0])
    assert (after["image"][0] != first["image"][0]).any()


def test_the_example_of_the_docs():
    docs = (Path(__file__).parents[2] / "docs" / "counting.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", docs, re.DOTALL)
    names = {}
    exec(code, names)
    assert names["info"]["moves"][:2].tolist() == [0, 0]
    assert names["info"]["_moves"].tolist() == names["stuck"].tolist()


PROCESSES = """
import gymnasium, jax.numpy as jnp
if __name__ == "__main__":
    {used} and print(jnp.ones(3).sum())
    kwargs = dict(vectorization_mode="async", width=48, height=32, vector_kwargs=dict(context="{context}"))
    envs = gymnasium.make_vec("irrl.environments:irrl/ObjectCounting-v0", num_envs=2, **kwargs)
    envs.reset(seed=1)
    print("moves", envs.step([0, 1])[-1]["moves"])
    envs.close()
"""


@pytest.mark.parametrize(
    ("context", "used", "said"),
    [("fork", True, "context='spawn'"), ("fork", False, "moves [1 1]"), ("spawn", True, "moves [1 1]")],
)
@pytest.mark.slow
def test_processes_of_gymnasium_s_own(tmp_path, context, used, said):
    """Forked after JAX was used they would wait for it for ever: one line says what to do instead."""
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip("nothing forks here")
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES.format(context=context, used=used))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=False)
    assert said in f"{done.stdout}\n{done.stderr}".strip().splitlines()[-1]


def test_render_shows_robot_and_table():
    env = gymnasium.make(NAME, render_mode="rgb_array", camera="room", **SMALL).unwrapped
    env.reset(seed=1)
    try:
        picture = env.render()
    except UserError as error:
        pytest.skip(str(error))
    assert picture.shape == (480, 640, 3) and picture.std() > 20


def test_wrong_settings():
    with pytest.raises(UserError, match="`goals` is 'spoons'"):
        gymnasium.make(NAME, goals="spoons")
    with pytest.raises(UserError, match="unknown `camera` 'foot'; choose one of eye, room"):
        gymnasium.make(NAME, camera="foot")
    for kind in (ObjectCountingEnv, ObjectCountingVectorEnv):
        with pytest.raises(UserError, match="unknown `render_mode` 'svg'; choose one of rgb_array"):
            kind(render_mode="svg")
    with pytest.raises(UserError, match="`num_envs` is 0; it must be from 1"):
        make_vec(0)
