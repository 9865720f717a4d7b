"""Whole reports of made-up runs: what stands in them, how large they are, and what is refused."""

import html
import json

import numpy as np
import pytest

from irrl.comparison import compare, groups_of
from irrl.digits.task import TASK as DIGITS
from irrl.errors import UserError
from irrl.report import Section, extract, report
from irrl.report.document import MOST_BYTES
from report_runs import HOSTILE, TASK, start_of, write, write_bandit, write_digits


def made(tmp_path, *sections, title="title"):
    return report(title, sections, tmp_path / "out" / "report.html")


@pytest.fixture
def runs(tmp_path):
    for seed, end in ((1, 0.5), (2, 0.6), (3, 0.9)):
        write_digits(tmp_path / "linear" / f"seed-{seed}", np.linspace(0.1, end, 60), seed=seed)
    log = write_digits(
        tmp_path / "log", np.linspace(0.1, 0.3, 60), reward="log", starts=[start_of("digits", "train", "--out", "a b")]
    )
    return [tmp_path / "linear", log]


def test_numbers_are_those_of_compare(tmp_path, runs):
    (section,) = extract(made(tmp_path, Section(DIGITS, runs)))["sections"]
    rows = compare(groups_of(DIGITS, runs))
    for row, found in zip(rows, section["compared"], strict=True):
        assert found["interquartile_mean"] == row.interquartile_mean
        assert found["interval"] == (None if row.interval is None else list(row.interval))
        assert (found["published"], found["reached"], found["best"]) == (row.published, row.reached, row.best)
    assert [group["name"] for group in section["groups"]] == [row.label for row in rows]
    assert section["groups"][0]["curves"]["validation_accuracy"]["mean"][-1] == pytest.approx(2 / 3, abs=1e-4)
    assert section["metrics"] == ["validation_accuracy", "reward", "loss"]
    assert {curve["name"] for curve in section["published"]} == {"clipped-linear", "log"}
    assert section["differ"] == {"reward": ["clipped-linear", "log"]}


def test_commands_can_be_copied_into_a_shell(tmp_path, runs):
    page = made(tmp_path, Section(DIGITS, runs)).read_text()
    assert html.escape("irrl digits train --out 'a b'").replace("&#x27;", "&#39;") in page
    assert "a processor" in page and "8 GiB" in page


def test_a_study_names_its_curves_and_figure(tmp_path, runs):
    labels = {runs[0]: "ours", runs[1]: "theirs"}
    page = made(tmp_path, Section(DIGITS, runs, title="RAM", labels=labels, figure="ram"), title="a study")
    (section,) = extract(page)["sections"]
    assert section["title"] == "RAM"
    assert [group["name"] for group in section["groups"]] == ["ours", "theirs"]
    assert {curve["name"] for curve in section["published"]} == {"clipped-linear", "clipped-log", "accuracy"}


def test_models_that_the_paper_has_both_have_a_curve_each(tmp_path):
    runs = [write_digits(tmp_path / model, [0.1] * 60, model=model) for model in ("ram", "dt-ram")]
    (section,) = extract(made(tmp_path, Section(DIGITS, runs)))["sections"]
    one, other = section["published"]
    assert one["name"] == "clipped-linear" and other["name"].startswith("clipped-linear, model ")
    assert one["color"] == other["color"] and one["mean"] != other["mean"]


def test_a_run_that_has_just_begun_is_left_out(tmp_path, runs, capsys):
    new = write(tmp_path / "new", "digits", {}, [])
    (section,) = extract(made(tmp_path, Section(DIGITS, [*runs, new])))["sections"]
    assert len(section["groups"]) == 2
    assert "new: no validation accuracy there yet; it is left out" in capsys.readouterr().err
    with pytest.raises(UserError, match="no validation accuracy there yet"):
        made(tmp_path, Section(DIGITS, [new]))


def test_runs_that_share_no_epoch_are_compared_at_their_ends(tmp_path):
    runs = [write_bandit(tmp_path / "one", kept=(100, 200)), write_bandit(tmp_path / "two", reward="log", kept=(150,))]
    page = made(tmp_path, Section(TASK, runs))
    (section,) = extract(page)["sections"]
    assert {row["at"] for row in section["compared"]} == {200, 150}
    assert "each at its last pull" in page.read_text()


def test_samples_have_a_stop_for_each_checkpoint_kept(tmp_path, capsys):
    run = write_bandit(tmp_path / "run", kept=range(10, 310, 10))
    (run / "pull-000300.safetensors").write_bytes(b"broken")
    page = made(tmp_path, Section(TASK, [run])).read_text()
    pictures = json.loads(page.split('id="pictures">')[1].split("</script>")[0])
    (slider,) = pictures[0]["sliders"]
    assert [stop["at"] for stop in slider["stops"]][:2] == ["pull 10", "pull 40"] and len(slider["stops"]) == 11
    assert slider["stops"][0]["text"] == "what it does after 10 pulls"
    (line,) = capsys.readouterr().err.splitlines()
    assert "pull-000300.safetensors" in line and line.endswith("; it is not in the report")


def test_text_of_strangers_is_escaped(tmp_path):
    start = start_of("train", HOSTILE)
    run = write_digits(tmp_path / "a<b>&\"'", [0.1], {HOSTILE: HOSTILE, "rewards": HOSTILE}, [start], reward="log")
    other = write_digits(tmp_path / "other", [0.1])
    page = made(tmp_path, Section(DIGITS, [run, other]), title=HOSTILE).read_text()
    # The parser ends a script at the first such tag: there are ours only, and none is inside another.
    assert page.count("<script") == page.count("</script>") == 4
    assert "<img src=x" not in page and "onerror=window" in page
    assert extract(tmp_path / "out" / "report.html")["title"].startswith("</script><script>window.hacked=1</script>")


def test_many_long_runs_fit(tmp_path, monkeypatch):
    rows = [{"step": at, "epoch": at, "validation_accuracy": at / 3000} for at in range(1, 3001)]
    rows = [row | {f"metric-{name}": at * name / 7 for name in range(20)} for at, row in enumerate(rows)]
    monkeypatch.setattr("irrl.report.numbers.read_rows", lambda path: rows)  # to read them 60 times takes long
    runs = [
        write_digits(tmp_path / f"run-{number}", [0.1], data="fresh", train_size=1000 + number) for number in range(60)
    ]
    page = made(tmp_path, Section(DIGITS, runs))
    assert 1_000_000 < len(page.read_bytes()) <= MOST_BYTES
    groups = extract(page)["sections"][0]["groups"]
    assert len(groups) == 60 and len({group["color"] for group in groups}) == 60
    assert len(groups[0]["curves"]["validation_accuracy"]["at"]) >= 100


@pytest.mark.parametrize(("name", "wanted"), [("x.txt", "end with .html"), ("folder.html", "a folder lies there")])
def test_where_no_report_can_lie(tmp_path, runs, name, wanted):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError, match=wanted):
        report("", [Section(DIGITS, runs)], tmp_path / name)


def test_too_many_runs_are_refused(tmp_path, runs, monkeypatch):
    monkeypatch.setattr("irrl.report.numbers.MOST_RUNS", 3)
    with pytest.raises(UserError, match="4 runs of the task digits; a report shows 3 at most"):
        made(tmp_path, Section(DIGITS, runs))
    assert not (tmp_path / "out").exists()
