"""A study's file is read as it was meant, or refused with the line at which it is wrong."""

import shlex
from dataclasses import asdict

import pytest

from irrl.errors import UserError
from irrl.studies.study import Expectation, built_in, folder_name, read_study

GOOD = """\
title = "RAM"
task = "digits"
preset = "paper"
seeds = [1, 2]
settings = { epochs = 100 }
published = "ram"

[[curve]]
reward = "clipped-linear"

[[curve]]
label = "DT-RAM"
settings = { model = "dt-ram", learning_rate = 1 }
seeds = [7]
threads = 2

[expect]
clipped-linear = { at = [50, 100], within = 5 }
DT-RAM = { at = 100, least = 30.5, most = 60 }
"""


def read(tmp_path, text, **options):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return read_study(str(path), **options)


def test_a_study_is_read(tmp_path):
    study = read(tmp_path, GOOD)
    linear, dt_ram = study.curves
    assert (study.title, study.published) == ("RAM", "ram")
    assert (linear.label, linear.seeds, linear.threads, linear.preset) == ("clipped-linear", (1, 2), 1, "paper")
    assert (linear.config.epochs, linear.config.reward_gradient, linear.config.seed) == (100, "leak", 1)
    assert (dt_ram.label, dt_ram.seeds, dt_ram.threads) == ("DT-RAM", (7,), 2)
    assert (dt_ram.config.model, dt_ram.config.learning_rate, dt_ram.config.epochs) == ("dt-ram", 1.0, 100)
    assert study.expectations == (
        Expectation("clipped-linear", at=50, within=5.0),
        Expectation("clipped-linear", at=100, within=5.0),
        Expectation("DT-RAM", at=100, least=30.5, most=60.0),
    )


def test_its_runs_are_commands_the_first_seed_of_every_curve_first(tmp_path):
    study = read(tmp_path, GOOD)
    jobs = study.jobs(tmp_path / "out")
    order = [("clipped-linear", 1), ("DT-RAM", 7), ("clipped-linear", 2)]
    assert [(job.curve, job.config.seed) for job in jobs] == order
    assert jobs[1].command == (
        f"irrl digits train --preset paper --epochs=100 --model=dt-ram --learning-rate=1 --seed 7 --threads 2 --out "
        f"{shlex.quote(str(tmp_path / 'out' / 'DT-RAM' / 'seed-7'))}"
    )
    assert [job.config.seed for job in study.jobs(tmp_path, seeds=[2])] == [2]
    assert [job.curve for job in study.jobs(tmp_path, curves=["DT-RAM"])] == ["DT-RAM"]
    with pytest.raises(UserError, match="no seed '3'; it has 1, 2, 7"):
        study.jobs(tmp_path, seeds=[3])
    with pytest.raises(UserError, match="no curve 'log'; it has clipped-linear, DT-RAM"):
        study.jobs(tmp_path, curves=["log"])


WRONG = {
    "unknown field": ('preset = "paper"', 'prest = "paper"', 3, "unknown field 'prest'; choose from title, task"),
    "of a curve": ("threads = 2", "treads = 2", 15, "unknown field 'treads'; choose from label"),
    "of an expectation": ("least = 30.5", "lest = 30.5", 19, "unknown field 'lest'"),
    "kind": ("seeds = [1, 2]", "seeds = 1", 4, "seeds is 1; it must be of type list"),
    "truth": ("threads = 2", "threads = true", 15, "threads is True; it must be of type int"),
    "seeds": ("seeds = [1, 2]", "seeds = [1, 1]", 4, "seeds must be different whole numbers"),
    "no seeds": ("seeds = [7]", "seeds = []", 14, "seeds must be different whole numbers"),
    "negative seed": ("seeds = [7]", "seeds = [-7]", 14, "`seed` is -7"),
    "task": ('task = "digits"', 'task = "digit"', 2, "unknown task 'digit'; choose one of"),
    "no task": ('task = "digits"\n', "", 1, "no task: name one of digits"),
    "preset": ('preset = "paper"', 'preset = "papr"', 3, "unknown preset 'papr'; choose one of paper"),
    "reward": ('reward = "clipped-linear"', 'reward = "clipped-liner"', 9, "unknown reward 'clipped-liner'"),
    "setting": ("epochs = 100", "epoch = 100", 5, "the task digits has no setting 'epoch'; it has"),
    "setting of a curve": ('model = "dt-ram"', 'modl = "dt-ram"', 13, "no setting 'modl'"),
    "seed as a setting": ("epochs = 100", "epochs = 100, seed = 3", 5, "no setting 'seed'"),
    "value": ("epochs = 100", "epochs = 0", 5, "`epochs` is 0"),
    "choice": ('model = "dt-ram"', 'model = "dtram"', 13, "unknown `model` 'dtram'"),
    "duplicate": ('label = "DT-RAM"\nsettings = { model = "dt-ram", learning_rate = 1 }', "", 11, "a second curve"),
    "duplicate label": ('label = "DT-RAM"', 'label = "clipped-linear"', 11, "a second curve 'clipped-linear'"),
    "same": ('settings = { model = "dt-ram", learning_rate = 1 }', "", 11, "same settings as 'clipped-linear'"),
    "label": ('label = "DT-RAM"', 'label = "a\\u001bb"', 12, "a label must be printable"),
    "published": (
        'published = "ram"',
        'published = "rm"',
        6,
        "no published figure 'rm'; there is ram, dt-ram, hacking",
    ),
    "expected of": ("DT-RAM = {", "DTRAM = {", 19, "nothing can be expected of 'DTRAM'; the curves are"),
    "expectation": ("at = 100, least = 30.5, most = 60", "at = 100", 19, "says how far `within`, or what"),
    "both": ("least = 30.5, most = 60", "least = 30.5, within = 2", 19, "says how far `within`, or what"),
    "no points": ("at = 100, least", "at = [], least", 19, "`at` must be whole numbers from 1 on"),
    "point": ("at = 100, least", "at = 0, least", 19, "`at` must be whole numbers from 1 on"),
    "no number": ("least = 30.5", "least = nan", 19, "must be finite numbers"),
    "seed": ("seeds = [1, 2]", "seeds = [-1, 2]", 4, "`seed` is -1"),
    "same but for budget": ('model = "dt-ram", learning_rate = 1', "epochs = 3", 11, "but for budget and logging"),
    "unpublished": ("least = 30.5, most = 60", "within = 5", 19, None),
    "no curve": (GOOD[GOOD.index("[[curve]]") :], "", 1, "needs a [[curve]]"),
    "no title": ('title = "RAM"\n', "", 1, "a study needs a title"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_with_its_line(tmp_path, wrong):
    before, after, line, message = WRONG[wrong]
    assert before in GOOD
    if message is None:  # DT-RAM's published curve is there: so this is right
        read(tmp_path, GOOD.replace(before, after))
        return
    with pytest.raises(UserError) as error:
        read(tmp_path, GOOD.replace(before, after))
    said = str(error.value)
    assert f"own.toml, line {line}: " in said and message in said and "\n" not in said


@pytest.mark.parametrize("text", ["title = ", "\x00", "title = 'a'\ntitle = 'b'", "a = " + "[" * 5000])
def test_what_is_no_toml_is_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"own\.toml: not a study: "):
        read(tmp_path, text)


def test_a_study_that_is_not_there_is_said_with_those_that_are():
    with pytest.raises(UserError, match=r"paper/rm: no such study: .*; irrl has .*paper/ram"):
        read_study("paper/rm")


@pytest.mark.parametrize("name", built_in())
def test_those_that_come_with_irrl_are_studies(name, tmp_path):
    study = read_study(name)
    assert study.jobs(tmp_path)
    assert all(asdict(each)["curve"] for each in study.expectations)


def test_a_file_imports_nothing_that_its_user_did_not_name(tmp_path, monkeypatch):
    (tmp_path / "sly.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for text in (
        GOOD.replace('reward = "clipped-linear"', 'reward = "sly:R"'),
        GOOD.replace('reward = "clipped-linear"', 'reward = "clipped(sly:R(1))"'),
        GOOD.replace('task = "digits"', 'task = "sly:TASK"'),
        GOOD.replace('reward = "clipped-linear"', 'reward = "os:getcwd"'),
    ):
        with pytest.raises(UserError, match="is not one of irrl's; if it is yours, say `own="):
            read(tmp_path, text)
    assert not (tmp_path / "ran").exists()
    own = GOOD[: GOOD.index("[expect]")].replace('reward = "clipped-linear"', 'reward = "sly:R"')
    study = read(tmp_path, own, own=["sly"])
    assert not (tmp_path / "ran").exists()
    assert study.curves[0].config.reward == "sly:R"


def test_a_task_of_ones_own_is_taken_when_named(tmp_path):
    text = 'title = "two arms"\ntask = "bandit:TASK"\n[[curve]]\nreward = "log"\nsettings = {pulls = 500}\n'
    study = read(tmp_path, text, own=["bandit"])
    assert study.jobs(tmp_path)[0].words[:4] == ("bandit:TASK", "train", "--preset", "demo")


@pytest.mark.parametrize(
    ("label", "folder"),
    [("box-cox:0.5", "box-cox_0.5"), ("log+disdain", "log+disdain"), ("../..", ".._.."), ("..", "_")],
)
def test_a_label_is_a_folder_of_its_own(label, folder):
    assert folder_name(label) == folder
