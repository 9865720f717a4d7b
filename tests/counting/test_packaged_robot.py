"""The trained robot that comes with the package."""

import irrl
from irrl.counting.config import FREE, PRESETS
from irrl.counting.source import scenes_for_testing


def test_it_counts_as_well_as_it_did():
    agent = irrl.load("counting-robot")
    report = agent.test(scenes_for_testing(agent.config, 500))
    # Three standard errors of 500 scenes below what the results say.
    assert report.accuracy > 0.955
    assert report.mean_moves < 5.5


def test_it_sees_what_its_preset_sees():
    told, preset = vars(irrl.load("counting-robot").config), vars(PRESETS["fast"])
    longer = {*FREE, "decay_episodes"}
    assert {name for name in preset if told[name] != preset[name]} <= longer
