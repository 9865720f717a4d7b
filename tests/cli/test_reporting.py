"""`irrl report` end to end: runs of several tasks, one's own among them, and the numbers back."""

import json
import subprocess
import sys

import numpy as np
import pytest

from command_line import one_line, run
from report_runs import write, write_bandit, write_digits


@pytest.fixture
def runs(tmp_path):
    return [
        write_digits(tmp_path / "digits", np.linspace(0.1, 0.5, 10)),
        write_bandit(tmp_path / "bandit"),
    ]


def test_runs_of_several_tasks_and_the_numbers_back(tmp_path, runs, capsys):
    page = tmp_path / "pages" / "report.html"
    assert run("report", *runs, "--task", "report_runs:TASK", "--out", page) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert [each.name for each in page.parent.iterdir()] == ["report.html"]
    assert run("report", "--extract", page) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert [section["task"] for section in numbers["sections"]] == ["digits", "bandit"]
    assert numbers["title"] == "Report: digits, bandit"
    assert run("report", "--extract", page, "--out", tmp_path / "numbers.json") == 0
    assert json.loads((tmp_path / "numbers.json").read_text()) == numbers


def test_the_page_lies_here_and_opens(tmp_path, runs, monkeypatch):
    opened = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert run("report", runs[0], "--open") == 0
    assert opened == [(tmp_path / "report.html").as_uri()]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "give RUNS"),
        (["none"], "none: no run there"),
        (["bandit"], "of the task 'bandit', which is not registered: give --task module:ATTRIBUTE"),
        (["bandit", "--task", "nowhere:TASK"], "cannot load the task 'nowhere:TASK'"),
        (["digits", "--out", "report.pdf"], "--out report.pdf: its name must end with .html"),
        (["digits", "--out", "digits/config.json/r.html"], "config.json is a file"),
        (["--extract", "none.html"], "none.html: cannot read this report"),
        (["--extract", "digits/config.json"], "no report of irrl"),
        (["digits", "--extract", "digits/config.json"], "--extract goes alone"),
        (["empty"], "no validation accuracy there yet"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, runs, words, wanted, monkeypatch, capsys):
    write(tmp_path / "empty", "digits", {}, [])
    monkeypatch.chdir(tmp_path)
    assert run("report", *words) == 2
    assert wanted in one_line(capsys.readouterr().err)
    assert not list(tmp_path.rglob("*.html"))


def test_numbers_that_are_none_are_one_line(tmp_path, capsys):
    page = tmp_path / "page.html"
    head = '<script type="application/json" id="numbers">'
    page.write_text(head + '{"format": "irrl report", "version": 1, "x": NaN}</script>')
    assert run("report", "--extract", page) == 2
    assert "damaged: NaN among its numbers" in one_line(capsys.readouterr().err)


def test_help_names_it_and_imports_nothing_heavy():
    code = "import sys; from irrl.cli import app; app(['--help'], result_action='return_value')"
    code += "; print(*({'jinja2', 'jax', 'matplotlib', 'irrl.report'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Make a page of runs of any task" in output
    assert output.splitlines()[-1] == ""


def test_a_training_ends_by_naming_it(tmp_path, capsys):
    out = tmp_path / "a run"
    words = ("bandit:TASK", "train", "--pulls", 100, "--out", out)
    assert run(*words) == 0
    wanted = f"see it, as a page: irrl report '{out}' --task bandit:TASK --open"
    assert capsys.readouterr().err.splitlines()[-1] == wanted
