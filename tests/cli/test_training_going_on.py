"""`train` on a tiny training, again and again: seeds, intervals, stops, kills, and what is refused."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

import irrl
from command_line import learned, one_line, rows_of, run, start, weights
from kill_and_resume import kill_and_resume
from tiny import FLAGS


def test_same_seed_same_numbers_whatever_the_intervals(trained, tmp_path, mnist):
    flags = ["--evaluate-every", 3, "--checkpoint-every", 4, "--epochs", 4]
    assert run("digits", "train", *FLAGS, "--mnist", mnist, *flags, "--out", tmp_path / "rarely") == 0
    assert learned(tmp_path / "rarely") == learned(trained)
    assert weights(tmp_path / "rarely") == weights(trained)


def test_another_seed_gives_other_numbers(trained, tmp_path, mnist):
    flags = [*FLAGS[:-1], "2"]
    assert run("digits", "train", *flags, "--mnist", mnist, "--epochs", 1, "--out", tmp_path / "two") == 0
    assert learned(tmp_path / "two")[0] != learned(trained)[0]


def test_a_run_can_be_extended_to_the_same_end(trained, tmp_path, mnist):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--out", tmp_path / "extended"]
    assert run(*words, "--epochs", 2) == 0
    assert run(*words, "--epochs", 4) == 0
    assert learned(tmp_path / "extended") == learned(trained)
    assert weights(tmp_path / "extended") == weights(trained)


def test_resume_from_a_kept_checkpoint_into_another_folder(trained, tmp_path, mnist):
    kept = trained / "epoch-000002.safetensors"
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--out", tmp_path / "branch"]
    assert run(*words, "--resume", kept) == 0
    assert learned(tmp_path / "branch") == learned(trained)
    assert weights(tmp_path / "branch") == weights(trained)


def test_sigterm_saves_and_the_same_command_goes_on_to_the_same_end(trained, tmp_path, mnist):
    out = tmp_path / "stopped"
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--out", out]
    process = start(*words)
    metrics = out / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:  # an epoch is done
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1]
    if process.returncode == 130:  # 0 only if it was over before the signal came
        assert "stopped and saved" in errors
    assert (out / "last.safetensors").exists()
    assert run(*words) == 0
    assert weights(out) == weights(trained)


@pytest.mark.slow
def test_three_kills_lose_nothing(tmp_path):
    whole, killed = kill_and_resume("digits", tmp_path, kills=3, rows=12)
    assert whole.state == killed.state
    assert {n: a.tobytes() for n, a in whole.arrays.items()} == {n: a.tobytes() for n, a in killed.arrays.items()}


def test_a_damaged_last_checkpoint_falls_back_and_says_so(trained, tmp_path, mnist, capsys):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--out", tmp_path / "damaged"]
    assert run(*words, "--epochs", 3) == 0
    last = tmp_path / "damaged" / "last.safetensors"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    capsys.readouterr()
    assert run("digits", "test", last) == 2
    assert one_line(capsys.readouterr().err).startswith(f"irrl: {last}: ")
    assert run(*words, "--epochs", 4) == 0
    assert "going on from previous.safetensors" in capsys.readouterr().err
    assert weights(tmp_path / "damaged") == weights(trained)


def test_a_config_that_changed_is_refused_with_the_difference(trained, mnist, capsys):
    flags = [*FLAGS[:-1], "5"]
    before = weights(trained)
    assert run("digits", "train", *flags, "--mnist", mnist, "--epochs", 9, "--out", trained) == 2
    assert "seed: 1 -> 5" in one_line(capsys.readouterr().err)
    assert weights(trained) == before


def test_resume_never_refuses_a_folder_in_use(trained, mnist, capsys):
    words = ["--mnist", mnist, "--epochs", 4, "--out", trained, "--resume", "never"]
    assert run("digits", "train", *FLAGS, *words) == 2
    assert str(trained) in one_line(capsys.readouterr().err)


def test_a_run_does_not_go_on_with_another_oracle(trained, tmp_path, mnist, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("oracle.safetensors").write_bytes((trained / "epoch-000002.safetensors").read_bytes())
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--oracle", "oracle.safetensors", "--out", "run"]
    assert run(*words, "--epochs", 1) == 0
    monkeypatch.chdir("run")  # the path is recorded in full
    words[-3:] = ["../oracle.safetensors", "--out", "."]
    assert run(*words, "--epochs", 2) == 0
    before = weights(Path())
    Path("../oracle.safetensors").write_bytes((trained / "epoch-000004.safetensors").read_bytes())
    capsys.readouterr()
    assert run(*words, "--epochs", 3) == 2
    assert "its weights are not those with which this run began" in one_line(capsys.readouterr().err)
    assert weights(Path()) == before


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path, mnist, capsys):
    out = tmp_path / "run"
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--out", out]
    assert run(*words, "--epochs", 2) == 0
    # A weight this large passes for good, and overflows in the next epoch's first step.
    saved = irrl.checkpoint.load(out / "last.safetensors")
    saved.arrays["params.classifier.weight"] = saved.arrays["params.classifier.weight"] * np.float32(1e38)
    irrl.checkpoint.save(out / "last.safetensors", saved.arrays, saved.state)
    kept = weights(out)
    capsys.readouterr()
    assert run(*words, "--epochs", 5) == 2
    assert "in epoch 3" in one_line(capsys.readouterr().err)
    assert weights(out) == kept
    assert [row["epoch"] for row in rows_of(out)] == [1, 2]


def test_a_finished_run_says_so(trained, mnist, capsys):
    assert run("digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--keep-every", 2, "--out", trained) == 0
    assert f"{trained}: epoch 4, best validation accuracy" in capsys.readouterr().out
