"""A task of one's own gets every command, `load`, seeds and resume without a line changed in irrl."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bandit
import irrl
from bandit import TASK, Config, train
from irrl import checkpoint
from irrl.cli import main
from irrl.errors import UserError
from irrl.task_check import ARGUMENTS, FLAGS

NAME = "bandit:TASK"
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.chdir(tmp_path)


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code or 0


def saved(folder) -> dict[str, np.ndarray]:
    return checkpoint.load(Path(folder) / "last.safetensors").arrays


def test_it_trains_seeds_and_says_how_good_they_became(capsys):
    assert run(NAME, "train", "--preset", "paper", "--seeds", 3, "--out", "runs") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [f"runs/seed-{seed}: pull 400, best skills told apart 100.00%" for seed in (1, 2, 3)]
    config = json.loads(Path("runs/seed-2/config.json").read_text())
    assert config == {"task": "bandit", "config": {**vars(Config()), "seed": 2}}


def test_it_learns_what_it_learns_alone(capsys):
    """Side by side, stopped and gone on with, with other intervals, and from Python: the same to the last bit."""
    assert run(NAME, "train", "--budget", 300, "--seeds", 2, "--out", "both") == 0
    assert run(NAME, "train", "--pulls", 100, "--seed", 2, "--log-every", 50, "--out", "alone") == 0
    assert run(NAME, "train", "--pulls", 300, "--seed", 2, "--out", "alone") == 0
    alone, both = saved("alone"), saved("both/seed-2")
    agent = train(Config(pulls=300, seed=2))
    assert alone.keys() == both.keys() == agent.tables.keys()
    for name, table in alone.items():
        np.testing.assert_array_equal(table, both[name])
        np.testing.assert_array_equal(table, agent.tables[name])


def test_it_is_tested_compared_and_drawn(capsys):
    for reward in ("clipped-linear", "log"):
        assert run(NAME, "train", "--reward", reward, "--seeds", 2, "--out", reward) == 0
    capsys.readouterr()
    assert run(NAME, "test", "log/seed-1") == 0
    assert capsys.readouterr().out == "100% of the skills are told apart\n"
    assert run(NAME, "test", "log/seed-1", "--json", "--seed", 3) == 0
    assert json.loads(capsys.readouterr().out) == {"told_apart": 1.0, "seed": 3}
    assert run(NAME, "compare", "log", "clipped-linear", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["label"]: (row["seeds"], row["at"], row["published"]) for row in rows} == {
        "log": ([1, 2], 200, None), "clipped-linear": ([1, 2], 200, None),
    }  # fmt: skip
    assert run(NAME, "compare", "log", "clipped-linear", "--pull", 100) == 0
    assert "pull 100" in capsys.readouterr().out
    assert run(NAME, "figure", "log", "clipped-linear", "--out", "figure.png") == 0
    assert Path("figure.png").stat().st_size > 10_000


def test_it_is_loaded_by_whoever_hands_it_in(capsys):
    assert run(NAME, "train", "--out", "run") == 0
    agent = irrl.load("run", TASK)
    assert agent.config == Config(pulls=200) and agent.test().numbers["told_apart"] == 1
    agent.save("saved.safetensors")
    assert irrl.load("saved.safetensors", TASK).test() == agent.test()
    capsys.readouterr()
    with pytest.raises(UserError, match=r"a checkpoint of the task 'bandit'; irrl knows .*: hand in another"):
        irrl.load("run")
    assert capsys.readouterr().err == "", "no other checkpoint of the run is tried"
    assert run("digits", "test", "run") == 2
    assert "bandit" in capsys.readouterr().err


def test_bad_settings_and_resumes_are_one_line(capsys):
    assert run(NAME, "train", "--out", "run") == 0
    for words, message in (
        (["--learning-rate", 0], "--learning-rate is 0.0; it must be a positive number"),
        (["--reward", "gold"], "unknown reward 'gold'"),
        (["--preset", "quick"], "unknown preset 'quick'; choose one of paper, demo, best"),
        (["--reward", "log"], "reward: clipped-linear -> log"),
        (["--resume", "never"], "already holds a run"),
    ):
        capsys.readouterr()
        assert run(NAME, "train", *words, "--out", "new" if "gold" in words else "run") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not Path("new").exists()


def test_help_shows_its_flags(capsys):
    assert run(NAME, "train", "--help") == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("--learning-rate", "--budget", "pulls of an arm"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_loses_nothing(how):
    """Between two checkpoints."""
    words = [sys.executable, "-m", "irrl", NAME, "train", "--pulls", 10**9, "--checkpoint-every", 10**9]
    words += ["--log-every", 100, "--out", "run"]
    heard = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    command = [sys.executable, "-c", heard, *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    metrics, until = Path("run/metrics.jsonl"), time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(how)
    assert "stopped and saved; go on with: irrl bandit:TASK train" in process.communicate(timeout=60)[1]
    last = json.loads(metrics.read_text().splitlines()[-1])["pull"]
    assert checkpoint.load(Path("run/last.safetensors")).state["pull"] >= last >= 100


def test_a_copy_is_a_task_of_its_own(capsys):
    """What a copied template runs is the copy: only its name is to be changed."""
    text = Path(bandit.__file__).read_text()
    Path("maze.py").write_text(text.replace('name="bandit"', 'name="maze"').replace("are told apart", "are found"))
    assert run("maze:TASK", "train", "--out", "run") == 0
    assert run("maze:TASK", "test", "run") == 0
    assert capsys.readouterr().out.endswith("100% of the skills are found\n")
    sys.modules.pop("maze")


@pytest.mark.parametrize(("task", "platforms"), [(NAME, None), ("skills", "cpu")])
def test_only_a_task_that_asks_for_it_is_kept_off_accelerators(task, platforms, monkeypatch, capsys):
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.delenv("JAX_PLATFORMS")
    few = ["--pulls", 5] if task == NAME else ["--rooms", "small", "--iterations", 20]
    assert run(task, "train", *few, "--out", "run") == 0
    assert os.environ.get("JAX_PLATFORMS") == platforms


def test_the_docs_tell_of_every_field_and_of_every_name_that_is_taken():
    text = (HERE.parent / "docs" / "extending.md").read_text()
    words = {field.name for field in dataclasses.fields(irrl.Task)} | FLAGS | ARGUMENTS
    assert not [word for word in words if f"`{word}`" not in text]
    assert f"a whole task in {len((HERE / 'bandit.py').read_text().splitlines())} lines" in text


@pytest.mark.parametrize(("task", "packaged"), [(NAME, False), ("skills", False), ("digits", True), ("counting", True)])
def test_help_speaks_of_packaged_agents_where_there_are_some(task, packaged, capsys):
    commands = ("test",) if task == NAME else ("test", "draw")
    for command in commands:
        assert run(task, command, "--help") == 0
        shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert ("packaged agent" in shown) == packaged
        assert "checkpoint file" in shown
        assert ("last checkpoint" in shown) == (task == "skills")


def test_what_is_whole_and_not_understood_hides_no_other(capsys):
    assert run(NAME, "train", "--pulls", 300, "--out", "run") == 0
    good = checkpoint.load(Path("run/last.safetensors"))
    checkpoint.save(Path("run/last.safetensors"), {}, good.state)
    assert Path("run/previous.safetensors").exists()
    capsys.readouterr()
    with pytest.raises(UserError, match=r"run/last.safetensors: .*logits"):
        irrl.load("run", TASK)
    assert capsys.readouterr().err == ""
    Path("run/last.safetensors").write_bytes(b"")
    assert irrl.load("run", TASK).config == Config(pulls=300)
    assert "previous.safetensors is taken instead" in capsys.readouterr().err
