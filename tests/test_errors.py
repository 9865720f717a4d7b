"""Messages name settings in backticks; the command line, and only it, writes them as flags."""

import json

import pytest

import irrl
from irrl.cli import main
from irrl.counting.config import Config
from irrl.errors import UserError, as_flags, complaint, fields_as_flags, warn
from irrl.rewards import Log
from irrl.run import MemoryRun
from irrl.side_by_side import train_all


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code or 0


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("`epochs` is 0; it must be from 1", "--epochs is 0; it must be from 1"),
        ("`log_every=3` makes 9 rows", "--log-every 3 makes 9 rows"),
        ("`mnist=` and (`part=4`, `batch=6`)", "--mnist and (--part 4, --batch 6)"),
        ("`out=a b/c`: not a folder", "--out a b/c: not a folder"),
        ("`wandb sync`, `Seed`, `--seed`, `3`, ``seed``, `", "`wandb sync`, `Seed`, `--seed`, `3`, ``seed``, `"),
        # Somebody else's text: quoted, or part of a path.
        ("a setting that is not known: '`seed`'", "a setting that is not known: '`seed`'"),
        ("/tmp/`seed`/run: no run there", "/tmp/`seed`/run: no run there"),
        ("`rooms=a`b`: neither", "`rooms=a`b`: neither"),
    ],
)
def test_settings_become_flags(message, wanted):
    assert as_flags(message) == wanted
    assert complaint(message) == message
    with fields_as_flags():
        assert complaint(message) == wanted


def test_python_names_fields_and_the_command_line_flags(tmp_path, capsys):
    with pytest.raises(UserError, match=r"^`learning_rate` is 0.0; it must be a positive number"):
        Config(learning_rate=0.0)
    assert run("counting", "train", "--learning-rate", 0, "--out", tmp_path / "run") == 2
    assert capsys.readouterr().err.startswith("irrl: --learning-rate is 0.0; it must be a positive number")
    # After it, and beside it, Python is Python.
    warn("`seed` is odd")
    assert capsys.readouterr().err == "warning: `seed` is odd\n"
    with fields_as_flags():
        warn("`seed` is odd")
    assert capsys.readouterr().err == "warning: --seed is odd\n"


def test_what_fails_in_a_thread_names_flags_too(capsys):
    def fail(config, run):
        raise UserError("`seed=1` is odd")

    with fields_as_flags():
        train_all(fail, [1], lambda config: MemoryRun(), 1)
    assert capsys.readouterr().err == "irrl: --seed 1 is odd\n"


def test_a_setting_that_does_nothing_is_named_as_a_flag(tmp_path, capsys):
    assert run("digits", "train", "--stop", "threshold", "--out", tmp_path / "run") == 2
    assert "--stop threshold does nothing without" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["`seed`", "x`=`y", "`reward=\x1b[31m`", "`" * 3000, "`a\nb`"])
def test_a_recorded_name_is_shown_as_it_is(tmp_path, capsys, name):
    (tmp_path / "config.json").write_text(json.dumps({"task": "counting", "config": {name: 1}}))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "episode": 64, "validation_accuracy": 0.5}\n')
    for words in (["counting", "train", "--out", tmp_path], ["counting", "compare", tmp_path, tmp_path / "none"]):
        assert run(*words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert len(line) < 2500 and "\x1b" not in line
    with pytest.raises(UserError, match="that this version of irrl does not know: '"):
        irrl.settings.config_from(Config, {name: 1}, "config.json")
    with fields_as_flags(), pytest.raises(UserError) as refused:
        irrl.settings.config_from(Config, {name: 1}, "config.json")
    assert complaint(refused.value).endswith(f"{name[:60]!r}, which is 1")


def test_a_reward_given_as_an_object_is_complained_of_by_its_field():
    with pytest.raises(UserError, match=r"^`reward` is the class Log; it must be an object"):
        Config(reward=Log)
