"""`irrl skills` as a user types it."""

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import irrl
from irrl import checkpoint
from irrl.cli import main
from irrl.comparison import groups_of
from irrl.figures import COLORS
from irrl.run_folder import read_rows
from irrl.skills.config import PRESETS
from irrl.skills.curves import PUBLISHED
from irrl.skills.evaluate import effective_skills, occupancy
from irrl.skills.noise import noise_figure
from irrl.skills.task import TASK
from kill_and_resume import kill_and_resume

FLAGS = ["--rooms", "small", "--skills", "6", "--steps", "6", "--iterations", "2000"]
FLAGS += ["--log-every", "500", "--keep-every", "500"]


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "two"
    assert run("skills", "train", *FLAGS, "--seeds", 2, "--out", out) == 0
    return out


def test_a_folder_a_seed(trained):
    for seed in (1, 2):
        folder = trained / f"seed-{seed}"
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["iteration"] for line in lines] == [500, 1000, 1500, 2000]
        assert json.loads((folder / "config.json").read_text())["config"]["seed"] == seed


def test_the_same_command_again_does_nothing_and_more_iterations_go_on(trained, capsys):
    before = (trained / "seed-1" / "last.safetensors").read_bytes()
    assert run("skills", "train", *FLAGS, "--seeds", 2, "--out", trained) == 0
    assert (trained / "seed-1" / "last.safetensors").read_bytes() == before
    assert "iteration 2,000" in capsys.readouterr().out
    assert run("skills", "train", *FLAGS, "--batch", 7, "--seeds", 2, "--out", trained) == 2
    assert "batch: 32 -> 7" in capsys.readouterr().err


def test_killed_and_resumed_to_the_last_bit(tmp_path):
    whole, killed = kill_and_resume("skills", tmp_path, kills=2, rows=40)
    assert whole.state == killed.state
    assert {n: a.tobytes() for n, a in whole.arrays.items()} == {n: a.tobytes() for n, a in killed.arrays.items()}


def test_test(trained, capsys):
    assert run("skills", "test", trained, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["seeds"]) == {"1", "2"}
    for name in ("effective_skills", "effective_skills_exact", "distinct_terminal_states", "mutual_information_nats"):
        assert found[name] == pytest.approx(sum(each[name] for each in found["seeds"].values()) / 2)
    assert found["ceiling"] == pytest.approx(6)
    assert run("skills", "test", trained / "seed-1") == 0
    assert "effective_skills_exact" in capsys.readouterr().out


def test_compare_and_figure(trained, tmp_path, capsys, monkeypatch):
    bonus = tmp_path / "bonus"
    assert run("skills", "train", *FLAGS, "--disdain", 2, "--ensemble", 2, "--out", bonus) == 0
    capsys.readouterr()
    assert run("skills", "compare", trained, bonus, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["label"]: row["seeds"] for row in rows} == {
        "clipped-linear": [1, 2],
        "clipped-linear+disdain": [1],
    }
    assert [row["at"] for row in rows] == [2000, 2000]
    assert run("skills", "compare", trained, "--iteration", 1000) == 0
    assert run("skills", "compare", trained, "--iteration", 7) == 2
    # However narrow the terminal, nothing is left out.
    monkeypatch.setenv("COLUMNS", "40")
    capsys.readouterr()
    assert run("skills", "compare", trained, bonus) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "clipped-linear+disdain" in printed
    assert "30 / 60 / 90" in printed
    assert run("skills", "figure", trained, bonus, "--out", tmp_path / "curves.png") == 0
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 600


def test_published_curves_are_shown_for_the_papers_task_only(trained):
    groups = groups_of(TASK, [trained])
    assert PUBLISHED.figure(None, groups) == {}
    paper = dataclasses.asdict(PRESETS["paper"])
    ours = dataclasses.replace(groups[0], settings=paper | {"reward": "log"})
    assert PUBLISHED.figure(None, [*groups, ours])["clipped-linear"].score[-1] == 88
    assert PUBLISHED.curve(paper).score[-1] == 88
    assert PUBLISHED.curve(paper | {"disdain": 20.0, "ensemble": 2, "reward": "clipped-log"}).score[-1] == 87
    assert PUBLISHED.curve(paper | {"disdain": 5.0, "ensemble": 2, "reward": "clipped-log"}) is None
    assert PUBLISHED.curve(paper | {"batch": 64}) is None


def test_without_numba_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert run("skills", "train", *FLAGS, "--out", tmp_path / "run") == 2
    assert "pip install 'irrl[skills]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_noise_is_drawn_as_it_was_measured(trained, tmp_path):
    assert run("skills", "noise", trained, "--out", tmp_path / "noise.svg") == 0
    assert (tmp_path / "noise.svg").read_text().startswith("<?xml")
    rows = [read_rows(trained / f"seed-{seed}" / "metrics.jsonl") for seed in (1, 2)]
    (discriminator, bias, deviation) = noise_figure([trained]).axes
    mean, log = discriminator.get_lines()[0], {line.get_label(): line for line in bias.get_lines()}["log"]
    np.testing.assert_array_equal(mean.get_xdata(), [500, 1000, 1500, 2000])
    for line, name in ((mean, "delta_bias"), (log, "noise_bias/log")):
        expected = np.mean([[row[name] for row in seed] for seed in rows], axis=0)
        np.testing.assert_allclose(line.get_ydata(), expected)
    spread = [line.get_ydata() for line in deviation.get_lines() if line.get_color() == COLORS["accuracy"]]
    expected = np.mean([[row["noise_variance/accuracy"] ** 0.5 for row in seed] for seed in rows], axis=0)
    np.testing.assert_allclose(spread, [expected])


def test_plain_lines_end_with_the_last_row(tmp_path, capsys):
    assert run("skills", "train", *FLAGS, "--out", tmp_path / "run") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seed 1")]
    assert "iteration 500/2,000" in lines[0]
    assert "iteration 2,000/2,000" in lines[-1]
    assert lines[-1].endswith("0:00:00 left")


def test_occupancy(trained, capsys):
    assert run("skills", "occupancy", trained / "seed-1") == 0
    written = capsys.readouterr().out.split()
    assert [name.rsplit("/", 1)[1] for name in written] == ["occupancy.png", "skills.png", "skills.mp4"]
    for name in written[:2]:
        with Image.open(name) as picture:
            assert picture.size[0] > 600
    assert run("skills", "occupancy", trained / "seed-1", "--iteration", 500, "--out", trained / "early") == 0
    assert run("skills", "occupancy", trained / "seed-1", "--iteration", 501) == 2
    assert "no checkpoint of iteration 501" in capsys.readouterr().err


def test_a_checkpoint_file_is_drawn(trained, tmp_path, capsys):
    """As its run is, but for the film."""
    file = tmp_path / "last.safetensors"
    file.write_bytes((trained / "seed-1" / "last.safetensors").read_bytes())
    for command in ("draw", "occupancy"):
        capsys.readouterr()
        assert run("skills", command, file) == 0
        assert capsys.readouterr().out.split() == [
            str(tmp_path / "figures" / f"{name}.png") for name in ("occupancy", "skills")
        ]
    assert run("skills", "draw", trained / "seed-1", "--out", tmp_path / "run") == 0
    for name in ("occupancy.png", "skills.png"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "figures" / name).read_bytes()
    assert run("skills", "draw", file, "--iteration", 500) == 2
    assert "leave out --iteration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rooms", "nowhere.txt"], "--rooms nowhere.txt: neither small, large, nor a text file"),
        (["--reward", "misspelt"], "unknown reward 'misspelt'"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--threads", "0"], "--threads is 0"),
        (["--disdain", "20"], "--disdain pays for disagreement"),
        (["--iterations", "2.5"], "'2.5' is not a whole number"),
        (["--batch", "2000000000"], "--batch is 2000000000; it must be from 1 to 100000"),
        (["--preset", "misspelt"], "unknown preset 'misspelt'"),
    ],
)
def test_bad_flags(tmp_path, capsys, words, message):
    assert run("skills", "train", "--out", tmp_path / "run", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_tested_is_one_line(trained, tmp_path, capsys):
    def copied(name):
        return shutil.copytree(trained / "seed-1", tmp_path / name, ignore=shutil.ignore_patterns("figures"))

    unknown, foreign, other, metrics = map(copied, ("unknown", "foreign", "other", "metrics"))
    config = json.loads((unknown / "config.json").read_text())
    config["config"]["future"] = 1
    (unknown / "config.json").write_text(json.dumps(config))
    (foreign / "previous.safetensors").unlink()
    checkpoint.save(foreign / "last.safetensors", {"a": np.zeros(1)}, {"task": "digits", "epoch": 1})
    config["config"] |= {"skills": 7}
    del config["config"]["future"]
    (other / "config.json").write_text(json.dumps(config))
    for path in metrics.glob("*.safetensors"):
        path.unlink()
    for words, message in (
        (["test", unknown], "config.json: a setting that this version of irrl does not know: 'future'"),
        (["test", foreign], "last.safetensors: not a checkpoint of the task skills"),
        (["test", other], "other: not of the run"),
        (["occupancy", metrics], "only its metrics were kept"),
        (["test", trained, "--seed", -1], "--seed is -1"),
        (["train", *FLAGS, "--out", tmp_path / "new", "--resume", trained], "holds several seeds"),
    ):
        assert run("skills", *words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (metrics / "figures").exists() and not (tmp_path / "new").exists()


def test_load_gives_the_agent_back_and_other_tasks_refuse_it(trained, capsys, monkeypatch):
    policy = irrl.load(trained / "seed-1").policy
    assert policy.greedy.shape[0] == policy.log_probs.shape[1] == 6
    np.testing.assert_allclose(np.exp(policy.log_probs).sum(-1), 1, rtol=1e-9)
    assert run("skills", "test", trained / "seed-1", "--json") == 0
    found = json.loads(capsys.readouterr().out)["seeds"]["1"]
    ends = occupancy(policy, 0.0)[-1].argmax(-1)
    assert effective_skills(policy, np.arange(6), ends) == pytest.approx(found["effective_skills_exact"])
    # A checkpoint file, or a packaged agent's name, stands for the run that it is of.
    assert run("skills", "test", trained / "seed-1" / "last.safetensors", "--json") == 0
    assert json.loads(capsys.readouterr().out)["seeds"]["1"] == found
    monkeypatch.setattr("irrl.loading.AGENTS", trained / "seed-1")
    assert run("skills", "test", "last", "--json") == 0
    assert json.loads(capsys.readouterr().out)["seeds"]["1"] == found
    assert run("skills", "test", "counting-robot") == 2
    assert "counting-robot: no such file or folder" in capsys.readouterr().err
    assert run("digits", "test", trained / "seed-1") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "seed-1/last.safetensors: an agent of the task skills, not of digits" in said
