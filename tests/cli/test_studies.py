"""`irrl study` as it is typed."""

import json
import os
from pathlib import Path

import pytest

from command_line import one_line, run
from small_study import surroundings, write_study

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def arms(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", surroundings()["PYTHONPATH"])
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path, pulls=200)


def test_those_that_come_with_irrl_are_listed(capsys):
    assert run("study", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and any(line.startswith("paper/ram ") and " 9 runs " in line for line in lines)
    assert run("study", "list", "--json") == 0
    assert {"paper/dt-ram", "best/ram8", "demo"} <= {each["name"] for each in json.loads(capsys.readouterr().out)}


def test_status_before_and_after(arms, capsys):
    own = (arms, "--own", "bandit", "--curve", "log", "--seed", 1)
    assert run("study", "status", *own) == 0
    assert "waiting" in capsys.readouterr().out
    assert run("study", "run", *own) == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"all 1 runs are over; see them, as a page: irrl study report {arms} --own=bandit"
    )
    assert run("study", "status", *own, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["state"], found["reached"], found["budget"]) == ("over", 200, 200)
    assert found["folder"] == str(arms.parent / "studies" / "arms" / "log" / "seed-1")
    assert run("study", "check", *own) == 0
    assert "as expected" in capsys.readouterr().out
    assert run("study", "report", *own, "--page", "page.html") == 0
    assert Path("page.html").read_text().startswith("<!DOCTYPE html>")


def test_a_strangers_host_is_text_in_a_live_table(arms):
    folder = arms.parent / "studies" / "arms" / "log" / "seed-1"
    folder.mkdir(parents=True)
    folder.joinpath(".owner").write_text('{"host": "[/x]:bug:", "process": 1, "started": "2026-01-01T00:00:00+00:00"}')
    words = ["study", "status", str(arms), "--own", "bandit", "--curve", "log", "--seed", "1", "--once"]
    assert run(*words) == 0


def test_a_check_that_fails_has_exit_status_1(capsys):
    assert run("study", "check", "paper/skills-large", "--out", RESULTS) == 1
    said = capsys.readouterr().out
    assert said.count("as expected") == 6 and said.count("below") == 1 and said.count("above") == 1
    assert run("study", "check", "best/skills", "--out", RESULTS, "--json") == 0
    (finding,) = json.loads(capsys.readouterr().out)
    assert finding["seeds"] == [1, 2, 3, 4, 5] and finding["verdict"] == "as expected"


def test_a_table_is_written_between_its_marks_only(tmp_path, capsys):
    document = tmp_path / "x.md"
    document.write_text(
        "before\n<!-- study best/ram8 -->\nold\n<!-- end -->\nafter\n<!-- study demo -->\n<!-- end -->\n"
    )
    assert run("study", "table", "best/ram8", "--out", RESULTS, "--write", document) == 0
    lines = document.read_text().splitlines()
    assert lines[:3] == ["before", "<!-- study best/ram8 -->", "| curve | seeds | at | score | expected | verdict |"]
    assert lines[4].startswith("| clipped-linear | 1 | 330 | 98.0 |")
    assert lines[5:] == ["<!-- end -->", "after", "<!-- study demo -->", "<!-- end -->"]
    assert run("study", "table", "best/ram8", "--out", RESULTS, "--write", document) == 0
    assert document.read_text().splitlines() == lines
    # A table is also written where there was none; a forgotten end costs nothing.
    document.write_text("<!-- study best/ram8 -->\n<!-- end -->\n<!-- study demo -->\nkept\n")
    assert run("study", "table", "best/ram8", "--out", RESULTS, "--write", document) == 0
    assert document.read_text().splitlines() == [*lines[1:6], "<!-- study demo -->", "kept"]
    document.write_text("<!-- study best/ram8 -->\nkept\n<!-- study demo -->\n<!-- end -->\n")
    assert run("study", "table", "best/ram8", "--out", RESULTS, "--write", document) == 2
    assert "kept" in document.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "nothing"), "irrl: nothing: no such study: No such file"),
        (("run", "demo", "--workers", 0), "irrl: --workers is 0; it must be at least 1"),
        (("run", "demo", "--workers", 2, "--engine", "ray"), "irrl: --workers is for the engine local"),
        (("run", "demo", "--gpus", 1), "irrl: --gpus is for the engine ray"),
        (("run", "demo", "--curve", "x"), "irrl: demo: no curve 'x'; it has digits, skills, counting"),
        (("report", "demo"), "irrl: demo: none of its runs has begun"),
        (("table", "demo", "--write", "absent.md"), "irrl: absent.md: No such file"),
        (("table", "demo", "--write", "odd.md"), "irrl: odd.md: no lines <!-- study demo --> and <!-- end --> there"),
        (("run", "odd.toml"), "irrl: odd.toml, line 2: unknown field 'tsk'"),
        (
            ("run", "own.toml"),
            "irrl: own.toml, line 2: the task 'bandit:TASK' is not one of irrl's; if it is yours, say --own",
        ),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    Path("odd.md").write_text("nothing here\n")
    Path("odd.toml").write_text('title = "x"\ntsk = "digits"\n')
    Path("own.toml").write_text('title = "x"\ntask = "bandit:TASK"\n[[curve]]\nreward = "log"\n')
    assert run("study", *words) == 2
    assert one_line(capsys.readouterr().err).startswith(message)
    assert sorted(os.listdir()) == ["odd.md", "odd.toml", "own.toml"]
