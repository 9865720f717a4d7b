"""What `--help` shows of a command: headings, the defaults of a preset, what is common, and an example that works."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cyclopts import App

import bandit
from irrl.cli import main
from irrl.cli.task_app import COMMANDS, app_of
from irrl.errors import UserError
from irrl.registry import BUILT_IN, find

OWN = "bandit:TASK"
LOGGING = {"log_every", "checkpoint_every", "keep_every"}


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code or 0


def shown(capsys, *words) -> str:
    capsys.readouterr()
    assert run(*words) == 0
    return capsys.readouterr().out


def headings(text: str) -> dict[str, str]:
    """What stands under each heading."""
    return dict(re.findall(r"╭─ (.*?) ─+╮\n(.*?)╰", text, re.DOTALL))


def default(text: str, flag: str) -> str:
    """What is said to be the default of a flag."""
    lines = " ".join(line.strip("│ ") for line in text.splitlines())
    return re.search(rf"{flag} .*?\[default: (.*?)\]", lines)[1]


@pytest.mark.parametrize("name", [*BUILT_IN, OWN])
def test_it_fits_two_screens_and_every_flag_is_a_word_away(name, capsys):
    common, every = shown(capsys, name, "train", "--help"), shown(capsys, name, "train", "--help-all")
    assert len(common.splitlines()) <= 80
    task = find(name)
    for field in vars(task.config()):
        assert f"--{field.replace('_', '-')} " in every
        is_common = task.common is None or field in {*task.common, *task.free, "reward", "seed"}
        assert (f"--{field.replace('_', '-')} " in common) == is_common
    assert (f"irrl {name} train --help-all" in common) == (task.common is not None)


def test_flags_stand_under_headings(capsys):
    under = headings(shown(capsys, "skills", "train", "--help"))
    assert list(under) == ["Where and how", "Rooms and skills", "Agent", "Training", "Logging"]
    for heading, flags in (
        ("Where and how", ("preset", "out", "seed", "seeds", "resume", "threads")),
        ("Rooms and skills", ("rooms", "steps")),
        ("Agent", ("reward", "disdain")),
        ("Training", ("budget", "learning-rate")),
        ("Logging", ("log-every", "checkpoint-every", "keep-every")),
    ):
        assert all(f"--{flag} " in under[heading] for flag in flags)
    under = headings(shown(capsys, "counting", "train", "--help-all"))
    assert list(under) == ["Where and how", "Scenes", "Agent", "Training", "Logging"]
    assert "--camera-height" in under["Scenes"] and "--jitter" in under["Scenes"]
    # A task's author need say nothing.
    under = headings(shown(capsys, OWN, "train", "--help"))
    assert list(under) == ["Where and how", "Settings", "Logging"]
    assert "--pulls --budget" in under["Settings"] and "--keep-every" in under["Logging"]


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Arms: what is pulled."""

    arms: int = 2
    """how many"""


@dataclass(frozen=True, kw_only=True)
class Hands:
    """The hands."""

    hands: int = 1
    """how many"""


@dataclass(frozen=True, kw_only=True)
class Parts(bandit.Config, Hands, Arms):
    """A bandit in parts."""


def test_the_parts_that_a_config_is_made_of_are_headings(capsys, monkeypatch):
    monkeypatch.setattr(bandit, "PARTS", replace(bandit.TASK, config=Parts, presets={"demo": Parts()}), raising=False)
    under = headings(shown(capsys, "bandit:PARTS", "train", "--help"))
    assert {"Arms", "The hands", "A two-armed bandit with two skills"} < set(under)
    assert "--arms" in under["Arms"] and "--hands" in under["The hands"]


def test_defaults_are_those_of_the_preset_that_is_named(capsys):
    for words, rate, rooms in ((), "0.004", "large"), (("--preset", "best"), "0.5", "large"), (
        ("--preset=demo",), "0.5", "small",
    ):  # fmt: skip
        text = shown(capsys, "skills", "train", *words, "--help")
        assert (default(text, "--learning-rate"), default(text, "--rooms")) == (rate, rooms)
    assert default(shown(capsys, OWN, "train", "--preset", "fast", "--help"), "--budget") == "2000"
    assert default(shown(capsys, "counting", "test", "--help"), "--episodes") == "2000"
    assert run(OWN, "train", "--preset", "quick", "--help") == 2
    assert capsys.readouterr().err == "irrl: unknown preset 'quick'; choose one of paper, demo, best\n"


def example(text: str) -> list[str]:
    (found,) = re.findall(r"^Example: irrl (.*)\Z", text.strip(), re.MULTILINE | re.DOTALL)
    return shlex.split(found)


def test_the_examples_work(capsys):
    for command in COMMANDS:
        if command != "draw":
            words = example(shown(capsys, OWN, command, "--help"))
            assert words[:2] == [OWN, command]
            assert run(*words) == 0
    assert Path("demo.png").exists()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_command_ends_with_an_example_of_its_own(name, capsys, monkeypatch):
    app = app_of(find(name))
    for command in [each for each in app if not each.startswith("-")]:
        words = example(shown(capsys, name, command, "--help"))
        assert words[:2] == [name, command]
        _, bound, ignored = App.parse_args(app, words[1:], exit_on_error=False, print_error=False)
        assert bound.arguments and not ignored


@pytest.mark.parametrize("name", [*BUILT_IN, OWN])
def test_a_command_has_the_same_flags_in_every_task(name, capsys):
    task = find(name)
    training = shown(capsys, name, "train", "--help")
    for flag in ("out", "preset", "seed", "seeds", "resume", "threads", "budget", "log-every", "checkpoint-every",
                 "keep-every", "reward"):  # fmt: skip
        assert f"--{flag} " in training
    assert {"paper", "demo", "best"} <= set(task.presets)
    assert "--json" in shown(capsys, name, "test", "--help") and "--seed " in shown(capsys, name, "test", "--help")
    compared = shown(capsys, name, "compare", "--help")
    assert "--json" in compared and f"--{task.progress.unit} " in compared
    # Where it would do nothing, there is no such flag.
    for command in ("test", *(["draw"] if task.draw else [])):
        assert ("--threads" in shown(capsys, name, command, "--help")) == (task.threads_share == "batch")


def test_a_task_cannot_rename_a_command(monkeypatch):
    """It may add some."""
    monkeypatch.setitem(sys.modules, "adding", SimpleNamespace(adds=adds, takes_over=takes_over))
    app = app_of(replace(bandit.TASK, commands="adding:adds"))
    assert {*COMMANDS, "pull"} - {"draw"} <= set(app)
    with pytest.raises(UserError, match="the task 'bandit' adds a command that every task has"):
        app_of(replace(bandit.TASK, commands="adding:takes_over"))


def adds(app: App) -> None:
    app.command(lambda: None, name="pull")


def takes_over(app: App) -> None:
    app.command(lambda: None, name="test")


@pytest.mark.parametrize("words", [["--help"], ["skills", "train", "--help"], ["digits", "train", "--help-all"]])
def test_help_waits_for_nothing_that_computes(words):
    code = f"import sys; from irrl.cli import main\ntry: main({words})\nexcept SystemExit: pass\n"
    code += "print([name for name in ('jax', 'numba', 'matplotlib') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"
