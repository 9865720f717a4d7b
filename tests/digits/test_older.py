"""Settings that irrl 0.1 recorded, in today's terms or refused in one line."""

import dataclasses
import json
from pathlib import Path

import pytest

from irrl.digits.config import Config
from irrl.digits.older import AGENTS, RAM, RETIRED, upgraded
from irrl.errors import UserError
from irrl.settings import config_from

OLD = Path(__file__).parents[1] / "old_runs"


@pytest.mark.parametrize(("name", "agent"), [("ram", "ram"), ("dt-ram", "ram"), ("ram8", "ram8"), ("fast", "fast")])
def test_the_shipped_agents_settings_are_one_setting_now(name, agent):
    old = json.loads((OLD / name / "config.json").read_text())["config"]
    config = config_from(Config, old, "here")
    assert config.agent == agent
    names = {field.name for field in dataclasses.fields(Config)} & set(old)
    assert {name: getattr(config, name) for name in names} == {name: old[name] for name in names}
    assert set(old) - names == {*RAM, *RETIRED}


def test_a_run_older_than_a_setting_had_the_papers_value():
    assert upgraded({"patch": 8, "discount": 1})["agent"] == "ram"
    without = {name: value for name, value in AGENTS["ram8"].items() if name not in ("core", "horizon")}
    assert upgraded(without) == {"agent": "ram8"}


def test_what_is_recorded_now_stays_as_it_is():
    recorded = dataclasses.asdict(Config(agent="fast", patch=8))
    assert upgraded(recorded) == recorded


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"core": "relu"}, "'core', which is 'relu'"),
        ({"discount": 0.9}, "'discount', which is 0.9"),
        ({"locator_core_units": 8}, "'locator_core_units', which is 8"),
        ({"scale_factor": 3}, "'scale_factor', which is 3"),
        ({"data": "fixed"}, "choose one of published, published-fresh, fresh"),
    ],
)
def test_what_no_agent_has_any_more_is_refused_in_one_line_and_shown_in_comparisons(changed, wanted):
    old = AGENTS["fast"] | RETIRED | changed
    with pytest.raises(UserError) as refused:
        config_from(Config, old, "here")
    assert wanted in str(refused.value) and "\n" not in str(refused.value)
    assert upgraded(old) == {"agent": "fast", **changed}
