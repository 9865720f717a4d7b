"""The Gymnasium environments, one table and many."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from irrl.counting import render
from irrl.counting.environment import LEFT, RIGHT, STOP
from irrl.counting.scene_config import SceneConfig
from irrl.errors import UserError

NAME = "irrl.environments:irrl/ObjectCounting-v0"


def test_gymnasium_has_nothing_to_complain_of():
    check_env(gymnasium.make(NAME, render_mode="rgb_array").unwrapped)


def test_a_walk_and_its_images():
    env = gymnasium.make(NAME, width=48, height=32, moves=3).unwrapped
    first, information = env.reset(seed=5)
    assert first["image"].shape == (32, 48, 3)
    assert information["moves"] == 0
    steps = [env.step(action) for action in (LEFT, RIGHT, RIGHT)]
    assert [step[2:4] for step in steps] == [(False, False), (False, False), (False, True)]
    # Left and right again: back where it began.
    np.testing.assert_array_equal(steps[1][0]["image"], first["image"])
    scenes = env._one.scenes
    for steps_right, step in ((-1, steps[0]), (1, steps[2])):
        azimuth = np.array([np.deg2rad(30 * steps_right)], np.float32)
        image = render.render(SceneConfig(width=48, height=32), scenes.view(azimuth)).rgb[0]
        np.testing.assert_array_equal(step[0]["image"], image)
    assert steps[-1][4]["count"] == (scenes.kind[0] == scenes.goal[0]).sum()


def test_stopping_ends_the_episode_and_the_next_is_another():
    env = gymnasium.make(NAME).unwrapped
    first, _ = env.reset(seed=1)
    assert env.step(STOP)[2:4] == (True, False)
    second, _ = env.reset()
    assert (first["image"] != second["image"]).any()
    again, _ = env.reset(seed=1)
    np.testing.assert_array_equal(first["image"], again["image"])


def test_many_tables_go_on_by_themselves():
    envs = gymnasium.make_vec(NAME, num_envs=3, vectorization_mode="vector_entry_point", moves=2)
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


def test_a_robot_that_may_not_move_is_cut_short():
    env = gymnasium.make(NAME, moves=0).unwrapped
    first, _ = env.reset(seed=1)
    second, _, terminated, truncated, information = env.step(LEFT)
    assert (terminated, truncated, information["moves"]) == (False, True, 0)
    np.testing.assert_array_equal(first["image"], second["image"])


def test_wrong_use():
    envs = gymnasium.make_vec(NAME, num_envs=2, vectorization_mode="vector_entry_point").unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(np.array([LEFT, LEFT]))
    with pytest.raises(ValueError, match="seed is a list"):
        envs.reset(seed=[1, 2])
    envs.reset(seed=1)
    for actions in ([LEFT], [LEFT, 7]):
        with pytest.raises(ValueError, match=r"give 0 \(left\), 1 \(right\) or 2 \(stop\) for each of 2"):
            envs.step(np.array(actions))


def test_render_shows_robot_and_table():
    env = gymnasium.make(NAME, render_mode="rgb_array", camera="room").unwrapped
    env.reset(seed=1)
    try:
        picture = env.render()
    except UserError as error:
        pytest.skip(str(error))
    assert picture.shape == (480, 640, 3) and picture.std() > 20


def test_wrong_settings():
    with pytest.raises(UserError, match="--goals is 'spoons'"):
        gymnasium.make(NAME, goals="spoons")
    with pytest.raises(ValueError, match="camera is 'foot'; choose eye or room"):
        gymnasium.make(NAME, camera="foot")
