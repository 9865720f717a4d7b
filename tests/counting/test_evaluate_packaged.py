"""The trained robot that comes with the package."""

import dataclasses

import pytest

import irrl
from irrl.counting.config import FREE, PRESETS
from irrl.counting.source import scenes_for_testing
from irrl.errors import UserError


def test_it_counts_as_well_as_it_did():
    agent = irrl.load("counting-robot")
    report = agent.count(scenes_for_testing(agent.config, 500))
    # Three standard errors of 500 scenes below what the results say.
    assert report.accuracy > 0.955
    assert report.mean_moves < 5.5


def test_it_sees_what_its_preset_sees():
    told, preset = vars(irrl.load("counting-robot").config), vars(PRESETS["best"])
    longer = {*FREE, "decay_episodes"}
    assert {name for name in preset if told[name] != preset[name]} <= longer


def test_what_it_cannot_count_is_refused():
    agent = irrl.load("counting-robot")
    scenes = scenes_for_testing(agent.config, 2)
    larger = scenes_for_testing(dataclasses.replace(agent.config, goals="large_red"), 2)
    more = scenes_for_testing(dataclasses.replace(agent.config, counts="0,0,0,0,0,0,0,1"), 2)
    for bad, message in (
        (larger, "scenes ask for large_red; this robot counts small_red, small_blue, "),
        (more, "scenes show up to 7 to count; this robot counts to 6"),
        (scenes.take(slice(0)), "`scenes` is 0; it must be from 1"),
    ):
        for walk in (agent.walk, agent.walk_in_simulator):
            with pytest.raises(UserError, match=message):
                walk(bad)
    with pytest.raises(UserError, match="unknown `simulator` 'mujoko'; choose one of raycast, mujoco"):
        agent.count(scenes, simulator="mujoko")
