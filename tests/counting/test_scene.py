"""Scenes: what may lie on the table, where, and from where it is seen."""

import itertools
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl.counting import render
from irrl.counting.scene import (
    LEAST_PIXELS,
    LEAST_SHARE,
    WHOLE_SHARE,
    Prospects,
    Scenes,
    draw_scenes,
    edges,
    prospects,
    seen_from,
)
from irrl.counting.scene_config import KINDS, LEVELS, SceneConfig
from irrl.errors import UserError

NUMBER = 24


CONFIG = SceneConfig()


def scenes_of(seed, config=CONFIG, number=NUMBER):
    return draw_scenes(config, number, np.random.default_rng(seed))


def corners(place, yaw, edge):
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    return place + edge / 2 * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) @ turn.T


def apart(one, other):
    """Whether a line parallel to a side of either square separates them."""
    for square in (one, other):
        for side in (square[1] - square[0], square[2] - square[1]):
            first, second = one @ side, other @ side
            if first.max() < second.min() or second.max() < first.min():
                return True
    return False


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_scenes_are_possible_and_answers_right(seed):
    scenes = scenes_of(seed)
    edge = edges(scenes.kind)
    for index in range(len(scenes)):
        kind = scenes.kind[index]
        cubes = np.flatnonzero(kind >= 0)
        squares = {
            cube: corners(scenes.place[index, cube], scenes.yaw[index, cube], edge[index, cube]) for cube in cubes
        }
        for one, other in itertools.combinations(cubes, 2):
            assert apart(squares[one], squares[other])
        for cube in cubes:
            assert np.linalg.norm(scenes.place[index, cube]) <= CONFIG.table_radius - 0.08
            assert (np.linalg.norm(squares[cube], axis=1) < CONFIG.table_radius).all()
        goal = KINDS[scenes.goal[index]]
        assert goal in CONFIG.goal_names
        assert [KINDS[k] for k in kind[cubes]].count(goal) == scenes.count[index]
        assert 3 <= len(cubes) - scenes.count[index] <= 6


def test_same_seed_same_scenes():
    one, same, other = scenes_of(3), scenes_of(3), scenes_of(4)
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(same, field.name))
    assert (one.place != other.place).any()


def test_a_scene_with_a_generator_of_its_own_does_not_depend_on_its_company():
    def generators(numbers):
        return [np.random.default_rng([9, number]) for number in numbers]

    many = draw_scenes(CONFIG, 150, generators(range(150)))
    some = np.array([140, 2, 77])
    few = draw_scenes(CONFIG, 3, generators(some))
    for field in fields(many):
        np.testing.assert_array_equal(getattr(many.take(some), field.name), getattr(few, field.name))


@pytest.mark.parametrize("own", [False, True], ids=["one generator", "one each"])
def test_goals_counts_and_levels_are_as_frequent_as_asked(own):
    rng = [np.random.default_rng([1, scene]) for scene in range(600)] if own else np.random.default_rng(1)
    scenes = draw_scenes(SceneConfig(levels="2,1,1", distractors_least=2, distractors_most=4), 600, rng)
    for found, wanted in (
        (np.bincount(scenes.goal, minlength=4), [0.25] * 4),
        (np.bincount(scenes.count, minlength=7), np.array([12, 13, 10, 8, 3, 3, 1]) / 50),
        (np.bincount(scenes.level[scenes.count > 0], minlength=3), [0.5, 0.25, 0.25]),
    ):
        expected = np.array(wanted) * found.sum()
        assert ((found - expected) ** 2 / expected).sum() < 22.5  # chi squared, 6 degrees of freedom, p = 0.001
    assert (scenes.level[scenes.count == 0] == 0).all()


def test_levels_are_what_the_ids_of_the_first_image_say():
    scenes = scenes_of(7)
    goals = scenes.kind == scenes.goal[:, None]
    images = render.render(CONFIG, scenes.view(np.zeros(NUMBER, np.float32)))
    for index in range(NUMBER):
        shares = []
        for cube in np.flatnonzero(goals[index]):
            only = np.where(np.arange(CONFIG.most_cubes) == cube, scenes.kind[index], -1)[None]
            view = render.View(only, scenes.place[[index]], scenes.yaw[[index]], np.zeros(1, np.float32))
            alone = (render.render(CONFIG, view).ids == render.FIRST_CUBE + cube).sum()
            shown = (images.ids[index] == render.FIRST_CUBE + cube).sum()
            shares.append(shown / alone if shown >= LEAST_PIXELS else 0)
        level = "hidden" if min(shares, default=1) < LEAST_SHARE else "partial"
        level = "visible" if min(shares, default=1) >= WHOLE_SHARE else level
        assert LEVELS[scenes.level[index]] == level


def test_least_moves_are_those_of_the_shortest_walk():
    config = SceneConfig(levels="0,0,1", distractors_least=5)
    scenes = scenes_of(5, config)
    found = prospects(config, scenes)
    goals = scenes.kind == scenes.goal[:, None]
    seen = seen_from(config, scenes) & goals[:, None]
    for index in range(NUMBER):
        shortest = found.never
        for moves in range(5):
            shown = 0
            for walk in itertools.product((-1, 1), repeat=moves):
                views = np.cumsum((0, *walk)) % config.viewpoints
                if (seen[index, views].any(axis=0) == goals[index]).all():
                    shortest = min(shortest, moves)
                shown = max(shown, seen[index, views].any(axis=0).sum())
            assert found.most_seen[index, moves] == shown
        assert found.least_moves[index] == shortest
    assert (found.least_moves[scenes.count > 0] > 0).all()
    assert found.all_seen_after(0) == (scenes.count == 0).mean()
    np.testing.assert_array_equal(found.best_view, seen.sum(axis=2).max(axis=1))


def test_the_ceiling_by_hand():
    seen = np.array([[0, 0], [0, 1], [0, 1], [0, 2], [1, 1]])  # none yet: best answer 1, twice right of four times
    nothing = np.zeros(5, int)
    known = Prospects(np.zeros((5, 12, 2), bool), nothing, nothing, seen, np.array([0, 1, 1, 2, 2]), never=24)
    assert known.ceiling(0) == pytest.approx(3 / 5)  # one was seen once, of two
    assert known.ceiling(1) == pytest.approx(4 / 5)  # none: 0; one: 1, but once it is 2; two: 2


def test_a_cube_behind_another_is_seen_from_the_side():
    """A small cube straight behind a large one."""
    kind = np.full((1, 2), -1)
    kind[0] = KINDS.index("small_red"), KINDS.index("large_blue")
    place = np.array([[[-0.1, 0], [0.05, 0]]], np.float32)
    scenes = Scenes(kind, place, np.zeros((1, 2), np.float32), kind[:, 0], np.array([2]))
    seen = seen_from(CONFIG, scenes)[0, :, 0]
    assert not seen[0]
    assert seen[[2, 3, 6, 9, 10]].all()
    assert prospects(CONFIG, scenes).least_moves[0] == seen.argmax()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"goals": "small_green"}, "`goals` is 'small_green'; name kinds of cube, once each: small_red, "),
        ({"counts": "1"}, "`counts` is '1'; it must be at least 2 numbers"),
        ({"counts": "1,-1"}, "`counts` is '1,-1'"),
        ({"counts": "1e308,1e308"}, "`counts` is '1e308,1e308'; it must be at least 2 numbers"),
        ({"counts": "1," * 300_000 + "1"}, "`counts` has 600,001 characters; it can have 4,000 at most"),
        ({"goals": "," * 300_000}, "`goals` has 300,000 characters"),
        ({"levels": "1," * 300_000}, "`levels` has 600,000 characters"),
        ({"levels": "1,1"}, "`levels` is '1,1'; it must be at least 3 numbers"),
        ({"levels": "0,0,0"}, "`levels`"),
        ({"table_radius": 0.2}, "`table_radius` is 0.2; it must be above that of the leg, 0.28 m"),
        ({"camera_distance": 3.5}, "`camera_distance` is 3.5; the room's walls are at 3.0 m"),
        ({"camera_height": 3.5}, "`camera_height` is 3.5; it must be above the table and its cubes, 0.83 m, and below"),
        ({"table_radius": 0.95}, "the robot would stand in a table of 0.95 m"),
        ({"camera_height": 0.8}, "`camera_height` is 0.8; it must be above the table and its cubes"),
        ({"distractors_least": 7}, "`distractors_most` is 6; it must be from 7"),
        ({"width": 2}, "`width` is 2; it must be from 4"),
    ],
)
def test_settings_that_no_scene_can_have(changed, message):
    with pytest.raises(UserError) as error:
        SceneConfig(**changed).check_scene()
    assert message in str(error.value)


def test_too_many_cubes_for_the_table():
    with pytest.raises(UserError, match="ask for fewer cubes, a larger table, other levels"):
        scenes_of(1, SceneConfig(distractors_least=60, distractors_most=60, levels="1,0,0"), 2)


def test_nothing_to_hide_behind():
    with pytest.raises(UserError, match="no hidden scene of"):
        scenes_of(1, SceneConfig(goals="large_red,large_blue", counts="0,1", distractors_least=0, distractors_most=0,
                                 levels="0,0,1"), 4)  # fmt: skip


def test_mirrored_and_recoloured_scenes_look_it():
    scenes = scenes_of(11, number=8)
    azimuth = np.zeros(8, np.float32)
    ids = np.asarray(render.render(CONFIG, scenes.view(azimuth)).ids)
    mirrored = scenes.mirrored()
    flipped = np.asarray(render.render(CONFIG, mirrored.view(azimuth)).ids)[:, :, ::-1]
    cubes = np.maximum(ids, render.FIRST_CUBE), np.maximum(flipped, render.FIRST_CUBE)
    assert (cubes[0] != cubes[1]).mean() < 1e-3  # rounding, at edges
    other = scenes.recoloured()
    np.testing.assert_array_equal(np.asarray(render.render(CONFIG, other.view(azimuth)).ids), ids)
    np.testing.assert_array_equal(other.count, scenes.count)
    assert {KINDS[a].split("_")[0] == KINDS[b].split("_")[0] for a, b in zip(scenes.goal, other.goal, strict=True)} == {
        True
    }
    assert (other.goal != scenes.goal).all()
