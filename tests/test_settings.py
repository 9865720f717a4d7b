"""Every task has the presets paper, demo and best; and the name that best once had is still understood."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bandit import TASK
from irrl.cli import main
from irrl.comparison import groups_of
from irrl.counting.config import FREE
from irrl.counting.config import Config as CountingConfig
from irrl.counting.config import preset as counting_preset
from irrl.counting.training import train
from irrl.errors import UserError
from irrl.registry import find
from irrl.run import MemoryRun
from irrl.settings import preset_of
from irrl.skills.config import preset as skills_preset
from irrl.skills.task import TASK as SKILLS


@pytest.mark.parametrize("name", ["skills", "counting"])
def test_there_are_three(name):
    task = find(name)
    assert list(task.presets) == ["paper", "demo", "best"]
    assert len(set(task.presets.values())) == 3


def test_fast_is_best_unless_a_task_has_a_fast_of_its_own():
    best = preset_of(TASK.presets, "best", {})
    assert preset_of(TASK.presets, "fast", {}) == best
    assert preset_of(TASK.presets, "fast", {"pulls": 7}) == replace(best, pulls=7)
    own = replace(best, pulls=5)
    assert preset_of({**TASK.presets, "fast": own}, "fast", {}) == own
    with pytest.raises(UserError, match="unknown preset 'fast'; choose one of paper"):
        preset_of({"paper": best}, "fast", {})
    assert skills_preset("fast") == skills_preset("best") and counting_preset("fast") == CountingConfig()


def test_a_run_of_the_old_name_goes_on_under_the_new_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    for preset in ("fast", "best"):
        with pytest.raises(SystemExit) as exit:
            main(["bandit:TASK", "train", "--preset", preset, "--out", str(tmp_path / "run")])
        assert not exit.value.code
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"] == asdict(TASK.presets["best"])


def test_groups_of_several_presets_are_told_apart_by_them(tmp_path):
    for name in ("paper", "best"):
        (tmp_path / name).mkdir()
        config = asdict(skills_preset(name))
        (tmp_path / name / "config.json").write_text(json.dumps({"task": "skills", "config": config}))
        row = {"step": 1, "iteration": 1, "effective_skills": 2.0}
        (tmp_path / name / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    groups = groups_of(SKILLS, [tmp_path / "paper", tmp_path / "best"])
    assert [group.label for group in groups] == ["clipped-linear, preset paper", "clipped-linear, preset best"]


@pytest.mark.slow
def test_the_papers_robot_trains():
    """As the paper has it, but for how long, and how many scenes it is validated on."""
    config = counting_preset("paper", episodes=8, round=4, validation_size=4)
    assert (config.width, config.height, config.batch, config.moves, config.viewpoints) == (256, 256, 1, 6, 12)
    memory = MemoryRun()
    train(config, memory)
    assert [row["episode"] for row in memory.history] == [4, 8]
    assert {"episodes", "log_every", "checkpoint_every", "keep_every"} == FREE
