"""A study says what came out: by hand on made-up runs, and on those that are committed, shortfalls included."""

import json
from pathlib import Path

import pytest

from irrl.errors import UserError
from irrl.studies.check import check, markdown, results
from irrl.studies.progress import progress, with_folders_in
from irrl.studies.study import built_in, read_study

RESULTS = Path(__file__).parents[2] / "results"

TEXT = """\
title = "RAM"
task = "digits"
preset = "paper"
seeds = [1, 2, 3]
settings = { epochs = 200 }
[[curve]]
reward = "clipped-linear"
[[curve]]
reward = "accuracy"
[expect]
clipped-linear = { at = [50, 100, 200], within = 5 }
accuracy = [{ at = 100, least = 30, most = 50 }, { metric = "reward", value = 0.25, within = 0.1 }]
"""


def write_run(job, folder, scores):
    folder.mkdir(parents=True)
    config = {name: getattr(job.config, name) for name in job.config.__dataclass_fields__}
    (folder / "config.json").write_text(json.dumps({"task": "digits", "config": config}))
    rows = [
        {"step": 211 * epoch, "epoch": epoch, "validation_accuracy": score, "reward": score / 2, "seconds": 2.0}
        for epoch, score in scores.items()
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def study(tmp_path):
    (tmp_path / "ram.toml").write_text(TEXT)
    return read_study(str(tmp_path / "ram.toml"))


def test_by_hand(study, tmp_path):
    out = tmp_path / "out"
    linear = {1: {50: 0.30, 100: 0.47}, 2: {50: 0.32, 100: 0.53}, 3: {50: 0.31}}
    for job in study.jobs(out):
        scores = linear[job.config.seed] if job.curve == "clipped-linear" else {100: 0.55}
        write_run(job, job.folder, scores)
    at_50, at_100, at_200, bounds, reward = check(study, study.jobs(out))
    # Published: 36.1 at 50, 47.1 at 100. The interquartile mean of three is a quarter of the outer two and the middle.
    assert (at_50.score, at_50.published, at_50.verdict) == (pytest.approx(31.0), pytest.approx(36.1), "below")
    assert (at_100.score, at_100.seeds, at_100.of_seeds) == (pytest.approx(50.0), (1, 2), 3)
    assert at_100.verdict == "as expected" and at_100.expected == "47.1 ± 5"
    assert at_100.interval == pytest.approx((47, 53))
    assert (at_200.score, at_200.seeds, at_200.verdict) == (None, (), "not there yet")
    assert (bounds.score, bounds.verdict) == (pytest.approx(55), "above")
    # Of another metric than the score, numbers are as they are in the rows.
    assert (reward.at, reward.score, reward.verdict) == (100, pytest.approx(0.275), "as expected")


def test_what_is_no_number_is_not_there(study, tmp_path):
    job = study.jobs(tmp_path)[0]
    write_run(job, job.folder, {50: 0.36, 100: float("nan")})
    at_50, at_100, _ = check(study, [job])
    assert (at_50.verdict, at_100.verdict) == ("as expected", "not there yet")


def test_a_table_of_markdown_has_no_empty_columns(study, tmp_path):
    job = study.jobs(tmp_path)[0]
    write_run(job, job.folder, {100: 0.47})
    assert markdown(results(study, [job])) == (
        "| curve | seeds | at | score | published |\n|---|---|---|---|---|\n| clipped-linear | 1 | 100 | 47.0 | 47.1 |"
    )


def test_runs_are_found_under_any_name_and_the_furthest_counts(study, tmp_path):
    jobs = study.jobs(tmp_path / "out")
    first, other = jobs[0], jobs[1]
    write_run(first, tmp_path / "out" / "x" / "short", {50: 0.1})
    write_run(first, tmp_path / "out" / "long", {50: 0.1, 100: 0.2})
    (tmp_path / "out" / "damaged").mkdir()
    (tmp_path / "out" / "damaged" / "config.json").write_text('{"task": "digits", "config": []}')
    found = with_folders_in(jobs, tmp_path / "out")
    assert [job.folder for job in found] == [tmp_path / "out" / "long", *(job.folder for job in jobs[1:])]
    assert (progress(found[0]).state, progress(found[0]).reached) == ("stopped", 100)
    write_run(first, first.folder, {50: 0.1})  # the study's own place goes first
    assert with_folders_in(jobs, tmp_path / "out")[0].folder == first.folder
    assert progress(other).state == "waiting"
    # Fifty epochs in two seconds: a hundred and fifty left take six.
    assert progress(with_folders_in(jobs, tmp_path / "out")[0]).seconds_left == pytest.approx(6.0)


VERDICTS = {
    "paper/ram": {
        "clipped-linear": ["as expected", "as expected", "not there yet"],
        "accuracy": ["above", "above", "not there yet"],
        "clipped-log": ["above", "as expected", "not there yet"],
    },
    "paper/dt-ram": {
        "clipped-linear": ["as expected", "as expected", "not there yet"],
        "clipped-log": ["not there yet"] * 3,
        "accuracy": ["not there yet"] * 3,
    },
    "paper/hacking": {
        "log": ["above", "as expected", "not there yet"],
        "log+hacking": ["as expected", "below", "not there yet"],
        "accuracy+hacking": ["not there yet"] * 3,
    },
    "paper/noise": {"clipped-linear": ["as expected", "not there yet", "not there yet"]},
    "paper/skills-large": {
        "clipped-linear": ["as expected"] * 2,
        "clipped-log+disdain": ["below", "as expected"],
        "clipped-log": ["as expected"] * 2,
        "accuracy": ["as expected", "above"],
    },
    "paper/skills-small": {
        "clipped-linear": ["as expected"],
        "clipped-log+disdain": ["as expected"],
        "clipped-log": ["as expected"],
        "accuracy": ["as expected"],
    },
    "paper/counting": {
        "clipped-linear": ["not there yet"],
        "clipped-log": ["not there yet"],
        "accuracy": ["not there yet"],
    },
    "best/digits": {"clipped-linear": ["as expected"]},
    "best/ram8": {"clipped-linear": ["as expected"]},
    "best/skills": {"clipped-linear": ["as expected"]},
    "best/counting": {
        "clipped-linear": ["as expected"],
        "clipped-log": ["as expected"],
        "accuracy": ["as expected"],
    },
    "demo": {"digits": ["as expected"], "skills": ["not there yet"], "counting": ["not there yet"]},
}
"""Of the committed runs, as read off their metrics."""


@pytest.mark.parametrize("name", built_in())
def test_what_is_said_of_committed_runs_is_so(name, committed):
    found: dict[str, list[str]] = {}
    for each in check(read_study(name), committed[name]):
        found.setdefault(each.curve, []).append(each.verdict)
    assert found == VERDICTS[name]


def test_a_committed_number_is_that_of_its_metrics(committed):
    lines = (RESULTS / "digits/paper-clipped-log-1/metrics.jsonl").read_text().splitlines()
    known = {row["epoch"]: 100 * row["validation_accuracy"] for row in map(json.loads, lines)}
    jobs = [job for job in committed["paper/ram"] if job.curve == "clipped-log"]
    at_50, at_100, _ = check(read_study("paper/ram"), jobs)
    assert (at_50.score, at_100.score) == (pytest.approx(known[50]), pytest.approx(known[100]))
    assert (at_50.published, at_100.published) == (pytest.approx(32.9), pytest.approx(43.9))


def test_what_is_not_published_needs_a_value(tmp_path):
    text = TEXT.replace("epochs = 200", "epochs = 200, glimpses = 6")
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(UserError, match="line 11: the paper has no such curve as 'clipped-linear': say which `value`"):
        read_study(str(tmp_path / "x.toml"))
