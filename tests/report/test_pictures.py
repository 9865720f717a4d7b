import dataclasses
from pathlib import Path

import pytest

from irrl.figures import Picture
from irrl.report.numbers import Section, read_section
from irrl.report.pictures import evenly, pictures_of
from report_runs import TASK, write_bandit


@pytest.mark.parametrize(
    ("count", "most", "wanted"), [(3, 5, [0, 1, 2]), (13, 4, [0, 4, 8, 12]), (100, 2, [0, 99]), (0, 3, []), (5, 1, [0])]
)
def test_stops_are_chosen_evenly_with_both_ends(count, most, wanted):
    assert evenly(range(count), most) == wanted


def sliders(tmp_path, runs, **changes):
    chapter = read_section(Section(dataclasses.replace(TASK, **changes), runs))
    return pictures_of([chapter])[0]


def test_a_few_runs_have_sliders_and_each_group_one(tmp_path):
    runs = [write_bandit(tmp_path / f"{k}-{seed}", seed, learning_rate=0.1 * k) for k in range(1, 9) for seed in (1, 2)]
    found = sliders(tmp_path, runs)["sliders"]
    assert len(found) == 6
    assert all(each["name"].endswith("seed 1") and len(each["stops"]) == 3 for each in found)


def test_a_run_that_kept_no_checkpoint_shows_its_last(tmp_path):
    run = write_bandit(tmp_path / "run", kept=(100,))
    (run / "pull-000100.safetensors").rename(run / "last.safetensors")
    (slider,) = sliders(tmp_path, [run])["sliders"]
    assert [stop["at"] for stop in slider["stops"]] == ["last"]


def test_a_task_without_samples_or_with_broken_ones_has_none(tmp_path, capsys):
    run = write_bandit(tmp_path / "run", kept=(100,))
    assert sliders(tmp_path, [run], sample=None) == {"sliders": [], "overview": None}
    assert not capsys.readouterr().err
    assert sliders(tmp_path, [run], sample="test_pictures_nowhere:sample")["sliders"] == []
    assert "ModuleNotFoundError" in capsys.readouterr().err


def large(path: Path) -> Picture:
    return Picture(b"x" * 1_000_000, (1, 1), "")


def test_a_picture_that_is_too_large_is_left_out(tmp_path, capsys, monkeypatch):
    import report_runs

    monkeypatch.setattr(report_runs, "large", large, raising=False)
    run = write_bandit(tmp_path / "run", kept=(100,))
    found = sliders(tmp_path, [run], sample="report_runs:large", overview="report_runs:large")
    assert found == {"sliders": [], "overview": None}
    assert capsys.readouterr().err.count("1,000,000 bytes") == 2
