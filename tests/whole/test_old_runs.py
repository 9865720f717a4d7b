"""Runs that irrl 0.1 left are tested, drawn, compared and gone on with: `old_runs` holds one of each family.

They were made by `train` of that version, with two epochs, rounds or rows; the list of starts was left out. Those of
digits have beside them the row that the same version logged when it went on for a third epoch.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from irrl.cli import main
from irrl.registry import find
from irrl.settings import upgraded

OLD = Path(__file__).parents[1] / "old_runs"
RUNS = sorted(folder.name for folder in OLD.iterdir())
BUDGET = {"digits": ("epochs", 3), "skills": ("iterations", 1500), "counting": ("episodes", 96)}


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code or 0


@pytest.fixture(params=RUNS)
def old(request, tmp_path):
    """A copy of an old run, and its task."""
    folder = tmp_path / request.param
    shutil.copytree(OLD / request.param, folder)
    return json.loads((folder / "config.json").read_text())["task"], folder


def flags(config, task):
    """Every setting that it was made with and that the preset has otherwise, as flags, but for the budget."""
    known = find(task)
    defaults = asdict(known.presets[known.preset])
    name, budget = BUDGET[task]
    settings = {key: value for key, value in upgraded(known.config, config).items() if value != defaults.get(key)} | {
        name: budget
    }
    return [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", value)]


def test_an_old_run_is_tested_and_compared(old, capsys):
    task, folder = old
    assert run(task, "test", folder, "--json", *["--episodes", 20] * (task == "counting")) == 0
    tested = json.loads(capsys.readouterr().out)
    assert run(task, "compare", folder, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    known = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    score = "effective_skills" if task == "skills" else "validation_accuracy"
    assert row["interquartile_mean"] == known[-1][score]
    assert tested["effective_skills_exact"] == known[-1]["effective_skills_exact"] if task == "skills" else tested


@pytest.mark.slow
def test_an_old_run_is_drawn(old, capsys):
    task, folder = old
    command = {"digits": "draw", "skills": "occupancy", "counting": "draw"}[task]
    status = run(task, command, folder, *["--cases", 1] * (task != "skills"))
    drawn, error = capsys.readouterr()
    if "MuJoCo" in error:
        pytest.skip(error)
    assert status == 0
    drawn = [Path(line) for line in drawn.splitlines()]
    assert drawn and all(path.stat().st_size > 1000 for path in drawn)


def test_an_old_run_goes_on(old):
    task, folder = old
    before = (folder / "metrics.jsonl").read_text()
    config = json.loads((folder / "config.json").read_text())["config"]
    assert run(task, "train", *flags(config, task), "--out", folder) == 0
    after = (folder / "metrics.jsonl").read_text()
    assert after.startswith(before) and len(after.splitlines()) == len(before.splitlines()) + 1
    if (folder / "next_row.json").exists():
        then, now = (json.loads(text) for text in ((folder / "next_row.json").read_text(), after.splitlines()[-1]))
        timed = {"seconds", "images_per_second"}
        assert {name: now[name] for name in then if name not in timed} == pytest.approx(
            {name: value for name, value in then.items() if name not in timed}, rel=1e-3
        )
