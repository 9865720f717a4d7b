"""Runs grouped and compared over seeds, and the figures drawn from them: made-up metrics with known answers."""

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from rich.console import Console

from irrl import comparison
from irrl.cli import main
from irrl.comparison import compare
from irrl.digits.config import preset
from irrl.digits.curves import FILES, published
from irrl.digits.task import TASK
from irrl.errors import UserError
from irrl.figures import learning_curves
from irrl.seeds import folders_of_seeds, run_folders


def groups_of(paths):
    return comparison.groups_of(TASK, paths)


def write_run(folder: Path, accuracy: dict[int, float | None], oracle: str = "", **settings) -> Path:
    """A run's folder with these validation accuracies by epoch; None: not validated then."""
    folder.mkdir(parents=True)
    config = dataclasses.asdict(preset("paper", **settings)) | ({"oracle": oracle} if oracle else {})
    (folder / "config.json").write_text(json.dumps({"task": "digits", "config": config}))
    rows = [
        {"step": 211 * epoch, "epoch": epoch} | ({} if value is None else {"validation_accuracy": value})
        for epoch, value in accuracy.items()
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def constant(value: float, epochs: int = 50) -> dict[int, float | None]:
    return {epoch: value for epoch in range(1, epochs + 1)}


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    """Linear in two gradients and accuracy: 0.3, 0.5, 0.4 over seeds, then 0.6 and 0.2."""
    for seed, value in ((1, 0.3), (2, 0.5), (3, 0.4)):
        write_run(tmp_path / "linear" / f"seed-{seed}", constant(value), seed=seed)
    return [
        tmp_path / "linear",
        write_run(tmp_path / "stop", constant(0.6), reward_gradient="stop"),
        write_run(tmp_path / "accuracy", constant(0.2, 60), reward="accuracy", epochs=60, keep_every=5),
    ]


def test_runs_are_grouped_by_all_but_seed_and_budget(runs):
    groups = groups_of([*runs, runs[0] / "seed-1"])  # once more: a run counts once
    assert [(group.label, group.seeds) for group in groups] == [
        ("clipped-linear, reward_gradient leak", (1, 2, 3)),
        ("clipped-linear, reward_gradient stop", (1,)),
        ("accuracy, reward_gradient leak", (1,)),
    ]
    np.testing.assert_array_equal(groups[0].scores[:, 0], [0.3, 0.5, 0.4])


def test_how_agents_would_stop_that_never_do_makes_no_difference(tmp_path):
    stops = ["threshold", "bernoulli"]
    runs = [write_run(tmp_path / stop, constant(0.1), stop=stop, seed=seed) for seed, stop in enumerate(stops)]
    assert [group.seeds for group in groups_of(runs)] == [(0, 1)]
    deciding = [write_run(tmp_path / f"d-{stop}", constant(0.1), stop=stop, model="dt-ram") for stop in stops]
    assert [group.label for group in groups_of(deciding)] == [f"clipped-linear, stop {stop}" for stop in stops]


def test_a_run_of_a_later_version_is_compared_all_the_same(tmp_path):
    wide = dataclasses.asdict(preset("ram8"))
    runs = [write_run(tmp_path / "new", constant(0.1)), write_run(tmp_path / "wide", constant(0.1), **wide)]
    config = json.loads((runs[0] / "config.json").read_text())
    config["config"]["future"] = 7
    (runs[0] / "config.json").write_text(json.dumps(config))
    with (runs[0] / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 99999, "epoch": 51, "validation_accuracy": null}\n')
    labels = [group.label for group in groups_of(runs)]
    assert labels == ["clipped-linear, preset paper, future 7", "clipped-linear, preset ram8"]


def test_a_label_says_only_what_differs(tmp_path, runs):
    assert [group.label for group in groups_of([runs[0], runs[2]])] == ["clipped-linear", "accuracy"]
    hacking = write_run(tmp_path / "hacking", constant(0.7), reward="accuracy", oracle="runs/converged")
    assert [group.label for group in groups_of([runs[2], hacking])] == ["accuracy", "accuracy+hacking"]


def test_runs_of_several_presets_are_told_apart_by_the_preset_and_what_was_changed_in_it(tmp_path, runs):
    settings = dataclasses.asdict(preset("fast", reward="accuracy", location_std=0.1))
    fast = write_run(tmp_path / "fast", constant(0.7), **settings)
    assert [group.label for group in groups_of([runs[2], fast])] == [
        "accuracy, preset paper",
        "accuracy, preset best, location_std 0.1",
    ]


def test_two_oracles_are_told_apart(tmp_path):
    runs = [write_run(tmp_path / name, constant(0.7), reward="log", oracle=name) for name in ("good", "bad")]
    assert [group.label for group in groups_of(runs)] == ["log+hacking, oracle good", "log+hacking, oracle bad"]


def test_a_run_from_before_a_setting_existed_has_its_default(tmp_path, runs):
    old = write_run(tmp_path / "old", constant(0.1), reward="accuracy", seed=2)
    recorded = json.loads((old / "config.json").read_text())
    del recorded["config"]["decay_epochs"]
    (old / "config.json").write_text(json.dumps(recorded))
    (group,) = groups_of([runs[2], old])
    assert group.seeds == (1, 2)


def test_epochs_are_those_at_which_every_seed_was_validated(tmp_path):
    first = write_run(tmp_path / "a", {1: 0.1, 2: None, 3: 0.3, 4: 0.4, 5: 0.5}, seed=1)
    second = write_run(tmp_path / "b", {1: None, 2: 0.2, 3: 0.5, 4: 0.6}, seed=2)
    (group,) = groups_of([first, second])
    assert group.at.tolist() == [3, 4]
    assert group.scores.tolist() == [[0.3, 0.4], [0.5, 0.6]]


def test_a_comparison_is_sorted_and_at_the_last_epoch_of_all(runs):
    rows = compare(groups_of(runs))
    assert [row.at for row in rows] == [50, 50, 50]
    assert [row.interquartile_mean for row in rows] == pytest.approx([0.6, 0.4, 0.2])
    assert rows[0].interval is None
    assert rows[1].interval == pytest.approx((0.3, 0.5))
    assert rows[1].scores == (0.3, 0.5, 0.4)
    assert [row.published for row in rows] == pytest.approx([0.361, 0.361, 0.200])


def test_best_and_epochs_to_reach_by_hand(tmp_path):
    run = write_run(tmp_path / "run", {1: 0.2, 2: 0.85, 3: 0.7, 4: 0.95})
    (row,) = compare(groups_of([run]), at=3)
    assert (row.interquartile_mean, row.best) == (0.7, 0.85)
    assert row.reached == {"50%": 2, "80%": 2, "90%": 4}
    assert row.published is None, "the paper's plot is not read before epoch 50"


def test_published_is_interpolated_and_only_for_the_papers_agent(tmp_path):
    steady = constant(0.5, 80)
    ours = write_run(tmp_path / "ours", steady)
    wider = write_run(tmp_path / "wider", steady, patch=8)
    hacking = write_run(tmp_path / "hacking", steady, reward="log", oracle="runs/converged")
    plain_log = write_run(tmp_path / "log", steady, reward="log")
    by_label = {row.label: row.published for row in compare(groups_of([ours, wider, hacking, plain_log]), at=75)}
    assert by_label == {
        "clipped-linear, patch 4": pytest.approx((0.361 + 0.471) / 2),
        "clipped-linear, patch 8": None,
        "log+hacking, patch 4": pytest.approx((0.41 + 0.56) / 2),
        "log, patch 4": pytest.approx((0.20 + 0.43) / 2),
    }


def test_the_table_shows_per_cent_in_eighty_columns(runs):
    console = Console(width=80, record=True, file=io.StringIO(), markup=False)
    console.print(comparison.table(TASK, compare(groups_of(runs))))
    text = console.export_text()
    assert re.search(r"clipped-linear, +3 +40\.0 \[30\.0, 50\.0\] +40\.0 +36\.1 +- / - / -", text)
    assert re.search(r"clipped-linear, +1 +60\.0 +60\.0 +36\.1 +1 / - / -", text)
    assert text.index("60.0") < text.index("40.0") < text.index("20.0")


def test_a_table_has_no_column_that_says_nothing(runs):
    """Neither goals, nor the paper's, where a task has none."""
    plain = dataclasses.replace(TASK, score=dataclasses.replace(TASK.score, goals=()), published=None)
    rows = compare(comparison.groups_of(plain, runs))
    drawn = comparison.table(plain, rows)
    assert [column.header for column in drawn.columns] == ["reward", "seeds", "epoch 50", "best"]
    assert "paper" not in drawn.caption and drawn.caption.endswith("best: of each seed's best so far.")
    assert drawn.row_count == 3
    drawn = comparison.table(TASK, compare(groups_of(runs)))
    assert [column.header for column in drawn.columns][4:] == ["paper", "50% / 80% / 90%"]
    assert drawn.caption.endswith("Last: epochs until the interquartile mean reached 50% / 80% / 90%.")


@pytest.mark.parametrize("figure", FILES)
def test_published_curves_are_in_the_package(figure):
    curves = published(figure)
    for curve in curves.values():
        assert curve.at[0] == 50 and curve.at[-1] == 1480
        assert ((curve.score > 0.1) & (curve.score < 1)).all()
    assert "accuracy" in curves


def test_a_published_number():
    assert published("dt-ram")["clipped-linear"].score[-1] == pytest.approx(0.853)
    assert set(published("hacking")) == {"log", "log+hacking", "accuracy", "accuracy+hacking"}


def lines_of(figure) -> dict:
    (axes,) = figure.axes
    return {line.get_label(): line for line in axes.lines}


def test_the_figure_draws_means_and_ranges_over_the_published_curve(runs):
    figure = learning_curves(groups_of(runs), published("ram"))
    lines = lines_of(figure)
    ours, paper = lines["clipped-linear, reward_gradient leak (3 seeds)"], lines["clipped-linear, published"]
    np.testing.assert_allclose(ours.get_ydata(), np.full(50, 40.0))
    assert to_rgb(ours.get_color()) == to_rgb(paper.get_color())
    assert (ours.get_linestyle(), paper.get_linestyle()) == ("-", "--")
    assert paper.get_zorder() < ours.get_zorder()
    assert paper.get_xydata()[0].tolist() == [50, 36.1]
    (band,) = figure.axes[0].collections  # a single seed has none
    extent = band.get_datalim(figure.axes[0].transData)
    assert (extent.y0, extent.y1) == pytest.approx((30, 50))
    assert figure.axes[0].get_xlim() == (0, 100)


def test_rewards_differ_in_colour_and_groups_of_one_reward_in_style(runs):
    lines = lines_of(learning_curves(groups_of(runs), published("ram")))
    leak, stop = (lines[f"clipped-linear, reward_gradient {name}"] for name in ("leak (3 seeds)", "stop (seed 1)"))
    assert leak.get_linestyle() != stop.get_linestyle()
    colors = [line.get_color() for name, line in lines.items() if "published" in name]
    assert len(set(colors)) == 3


def test_hacking_runs_have_the_colour_of_their_published_curve(tmp_path):
    run = write_run(tmp_path / "run", constant(0.5), reward="log", oracle="runs/converged")
    lines = lines_of(learning_curves(groups_of([run]), published("hacking")))
    assert lines["log+hacking (seed 1)"].get_color() == lines["log+hacking, published"].get_color()
    assert lines["log, published"].get_color() != lines["log+hacking, published"].get_color()


def run_cli(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figure_command_writes_the_kind_of_file_asked_for(tmp_path, runs, suffix, magic):
    out = tmp_path / "pictures" / f"ram.{suffix}"
    assert run_cli("digits", "figure", "ram", *runs, "--out", out) == 0
    assert out.read_bytes().startswith(magic)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_compare_command_prints_json_and_the_table(runs, capsys):
    assert run_cli("digits", "compare", *runs, "--json", "--epoch", 20) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["at"], row["seeds"]) for row in rows] == [(20, [1]), (20, [1, 2, 3]), (20, [1])]
    assert rows[1]["scores"] == [0.3, 0.5, 0.4]
    assert run_cli("digits", "compare", *runs) == 0
    assert "[30.0, 50.0]" in capsys.readouterr().out


def test_a_bracketed_name_is_printed_as_it_is(tmp_path, capsys):
    run = write_run(tmp_path / "run", constant(0.5), reward="mine:[red]")
    assert run_cli("digits", "compare", run) == 0
    assert "mine:[red]" in capsys.readouterr().out


def test_bad_input_is_one_line(tmp_path, runs, capsys):
    twin = write_run(tmp_path / "twin", constant(0.1), seed=2)
    started = write_run(tmp_path / "started", {}, seed=9)
    foreign = write_run(tmp_path / "foreign", constant(0.1))
    (foreign / "config.json").write_text('{"task": "skills", "config": {}}')
    early, late = write_run(tmp_path / "early", {1: 0.1}, seed=4), write_run(tmp_path / "late", {2: 0.1}, seed=5)
    for words, wanted in (
        (["compare", tmp_path / "nowhere"], "nowhere: no run there"),
        (["compare", *runs, twin], "seed 2"),
        (["compare", started], "no validation accuracy"),
        (["compare", foreign], "task digits"),
        (["compare", *runs, "--epoch", 55], "--epoch 55"),
        (["compare", early, late], "no epoch in common"),
        (["figure", "ram", *runs, "--out", tmp_path / "x.jpeg"], ".png"),
        (["figure", "rams", *runs, "--out", tmp_path / "x.png"], "dt-ram"),
        (["figure", "ram", "--out", tmp_path / "x.png"], "RUNS"),
        (["figure", "dt-ram", *runs, "--out", tmp_path / "x.png"], "none of these is one"),
        (["figure", "ram", *runs, "--out", foreign / "config.json" / "x.png"], "config.json is a file"),
    ):
        assert run_cli("digits", *words) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert wanted in line
    assert not list(tmp_path.glob("x.*"))


def test_folders_of_seeds(tmp_path):
    assert folders_of_seeds(tmp_path, 7, 1) == {7: tmp_path}
    assert folders_of_seeds(tmp_path, 7, 2) == {7: tmp_path / "seed-7", 8: tmp_path / "seed-8"}
    with pytest.raises(UserError, match="`seeds` is 0"):
        folders_of_seeds(tmp_path, 7, 0)


def test_a_folder_is_either_a_run_or_of_seeds(tmp_path):
    single = write_run(tmp_path / "single", constant(0.1))
    write_run(tmp_path / "several" / "seed-1", constant(0.1))
    with pytest.raises(UserError, match="single seed"):
        folders_of_seeds(single, 1, 3)
    with pytest.raises(UserError, match="several seeds"):
        folders_of_seeds(tmp_path / "several", 1, 1)
    assert run_folders([single, tmp_path / "several"]) == [single, tmp_path / "several" / "seed-1"]


def test_the_csv_files_hold_per_cent():
    for name in FILES.values():
        with (Path(__file__).parents[1] / "src/irrl/digits/published" / name).open() as file:
            for row in csv.DictReader(file):
                assert all(10 < float(value) < 100 for column, value in row.items() if column != "epoch")


def test_rows_at_no_whole_epoch_are_passed_over(tmp_path):
    """A stranger's metrics may say that it is epoch 1.5, or none."""
    from dataclasses import asdict

    from irrl.digits.config import Config
    from irrl.digits.task import TASK

    (tmp_path / "config.json").write_text(json.dumps({"task": "digits", "config": asdict(Config())}))
    rows = [{"step": 1, "epoch": epoch, "validation_accuracy": 0.5} for epoch in (1, 1.5, float("nan"), -2, True, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (group,) = comparison.groups_of(TASK, [tmp_path])
    assert group.at.tolist() == [1, 3]
