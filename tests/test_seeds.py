"""`irrl digits train --seeds N` end to end: ordinary run folders, going on, stopping and refusing."""

import json
import shlex
import signal
import sys

import pytest

import irrl
from irrl.cli import main
from irrl.run import DiskRun
from irrl.seeds import run_folders
from tiny import FLAGS, write_mnist


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    return write_mnist(tmp_path_factory.mktemp("mnist"))


def words_of(mnist, out, *, epochs=2, seeds=2, more=()):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", epochs, "--seeds", seeds, "--out", out, *more]
    return [str(word) for word in words]


def run(words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


def weights(folder):
    arrays = irrl.checkpoint.load(folder / "last.safetensors").arrays
    return {name: array.tobytes() for name, array in arrays.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, mnist):
    out = tmp_path_factory.mktemp("runs") / "seeds"
    assert run(words_of(mnist, out)) == 0
    return out


def test_each_seed_is_an_ordinary_run(trained, tmp_path, mnist):
    assert sorted(path.name for path in trained.iterdir()) == ["seed-1", "seed-2"]
    config = json.loads((trained / "seed-2" / "config.json").read_text())["config"]
    assert config["seed"] == 2
    alone = words_of(mnist, tmp_path / "alone", seeds=1)
    alone[alone.index("--seed") + 1] = "2"
    assert run(alone) == 0
    assert weights(tmp_path / "alone") == weights(trained / "seed-2")


def test_the_same_command_passes_over_what_is_finished(trained, mnist, capsys, monkeypatch):
    before = (trained / "seed-1" / "environment.json").read_bytes()
    monkeypatch.setattr("irrl.digits.source.Source.__init__", lambda *_: pytest.fail("made canvases for nothing"))
    assert run(words_of(mnist, trained)) == 0
    output = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in output] == [str(trained / "seed-1"), str(trained / "seed-2")]
    assert all("epoch 2, best validation accuracy" in line for line in output)
    assert (trained / "seed-1" / "environment.json").read_bytes() == before


@pytest.mark.parametrize("last_epoch", [1, 2])
def test_ctrl_c_stops_the_whole_and_the_same_command_goes_on(trained, tmp_path, mnist, capsys, monkeypatch, last_epoch):
    """The signal comes while an epoch of seed 1 is saved; after epoch 2 that seed is finished, the other is not."""
    words = words_of(mnist, tmp_path / "out")
    save = DiskRun.save

    def save_and_interrupt(self, arrays, state, **keywords):
        save(self, arrays, state, **keywords)
        if state["epoch"] == last_epoch:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(DiskRun, "save", save_and_interrupt)
        # The command to go on is the one that was typed.
        patched.setattr(sys, "argv", ["irrl", *words])
        assert run(words) == 130
    captured = capsys.readouterr()
    assert f"stopped and saved; go on with: irrl {shlex.join(words)}" in captured.err
    assert ("seed-1: epoch 2" in captured.out) == (last_epoch == 2)
    assert not (tmp_path / "out" / "seed-2").exists()
    assert run(words) == 0
    for name in ("seed-1", "seed-2"):
        assert weights(tmp_path / "out" / name) == weights(trained / name)


def test_more_epochs_train_every_seed_on(tmp_path, mnist):
    out = tmp_path / "longer"
    assert run(words_of(mnist, out, epochs=1)) == 0
    assert run(words_of(mnist, out, epochs=2)) == 0
    for name in ("seed-1", "seed-2"):
        rows = (out / name / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(row)["epoch"] for row in rows] == [1, 2]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (["--patch", "7"], "patch: 8 -> 7"),
        (["--resume", "never"], "already holds a run"),
        (["--resume", "somewhere"], "single seed"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--seeds", "2.5"], "--seeds"),
    ],
)
def test_a_refusal_touches_no_seed(trained, mnist, capsys, more, wanted):
    words = words_of(mnist, trained, seeds=3)
    if more[0] in words:
        del words[words.index(more[0]) : words.index(more[0]) + 2]
    assert run([*words, *more]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert wanted in line
    assert sorted(path.name for path in trained.iterdir()) == ["seed-1", "seed-2"]


def test_a_config_that_changed_for_a_later_seed_is_refused_before_the_first_trains(trained, tmp_path, mnist, capsys):
    words = words_of(mnist, trained, seeds=2)
    words[words.index("--seed") + 1] = "0"  # seeds 0 and 1
    words[words.index("--glimpses") + 1] = "4"
    assert run(words) == 2
    assert "glimpses: 3 -> 4" in capsys.readouterr().err
    assert not (trained / "seed-0").exists()


def test_seeds_must_all_be_valid(tmp_path, mnist, capsys):
    words = words_of(mnist, tmp_path / "out")
    words[words.index("--seed") + 1] = str(2**32 - 1)
    assert run(words) == 2
    assert "--seed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_compare_and_figure_read_a_trained_folder(trained, tmp_path, capsys):
    assert run(["digits", "compare", trained, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["seeds"], row["at"], row["label"]) == ([1, 2], 2, "clipped-linear")
    assert run(["digits", "figure", "ram", trained, "--out", tmp_path / "ram.png"]) == 0
    assert (tmp_path / "ram.png").stat().st_size > 10_000


def test_seeds_come_in_order_and_none_stands_for_all(tmp_path, capsys):
    for seed in (10, 9, 2):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "config.json").write_text("{}")
    assert [folder.name for folder in run_folders([tmp_path])] == ["seed-2", "seed-9", "seed-10"]
    for command in (["digits", "test"], ["digits", "draw"], ["skills", "occupancy"]):
        assert run([*command, tmp_path]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.endswith(f"such as {tmp_path / 'seed-2'}")
