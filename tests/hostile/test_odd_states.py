"""Checkpoints whose checksum is right and whose parts do not fit together, made by hand."""

import shutil

import numpy as np
import pytest

from hostile.runner import Case, check
from hostile.runs import TASKS, good_runs, train_words
from irrl import checkpoint


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a good run of each task."""
    with good_runs(tmp_path_factory.mktemp("states")) as folder:
        yield folder


def crafted(place, task, name, change):
    """A copy of the good run, its only checkpoint changed."""
    folder = place / name
    shutil.copytree(place / task, folder)
    saved = checkpoint.load(folder / "last.safetensors")
    change(saved)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    checkpoint.save(folder / "last.safetensors", saved.arrays, saved.state)
    return folder


def go_on(place, task, folder):
    return check(Case(folder.name, train_words(task, place, folder, budget=3)))


@pytest.mark.parametrize("task", ["digits", "counting"])
def test_a_run_without_its_best_goes_on(place, task):
    folder = crafted(place, task, f"no-best-{task}", lambda saved: saved.state.pop("best"))
    assert go_on(place, task, folder).status == 0


@pytest.mark.parametrize("task", TASKS)
def test_a_state_that_tells_of_another_step_is_refused(place, task):
    folder = crafted(place, task, f"later-{task}", lambda saved: saved.state.update(step=1))
    answer = go_on(place, task, folder)
    assert answer.status == 2 and "its state says step 1, but it is at " in answer.err


@pytest.mark.parametrize("task", ["digits", "counting"])
@pytest.mark.parametrize("step", [-1000, 2**31 - 1])
def test_a_step_among_the_arrays_that_cannot_be_is_refused(place, task, step):
    def change(saved):
        saved.arrays["step"] = np.array(step, saved.arrays["step"].dtype)

    folder = crafted(place, task, f"step-{task}-{step}", change)
    answer = go_on(place, task, folder)
    assert answer.status == 2 and "but it is at" in answer.err


@pytest.mark.parametrize("task", TASKS)
def test_weights_too_large_to_compute_with_are_said(place, task):
    def change(saved):
        for name, array in saved.arrays.items():
            if name.startswith("params.") or name in ("q", "logits"):
                saved.arrays[name] = np.where(np.arange(array.size).reshape(array.shape) % 2, array, 3e38).astype("f4")

    folder = crafted(place, task, f"large-{task}", change)
    if task == "skills":  # differences of 3e38 are what float64 computes posteriors of
        assert check(Case("large", [task, "test", folder, "--json"])).status == 0
        return
    answer = check(Case("large", [task, "test", folder, *["--episodes", 4] * (task == "counting")]))
    assert answer.status == 2 and "its weights are too large to compute with" in answer.err


def test_rows_without_the_metric_do_not_stop_a_finished_run(place):
    with (place / "skills" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1000, "iteration": 1000}\n')
    assert check(Case("rows", train_words("skills", place, place / "skills"))).status == 0


def test_a_header_of_a_million_items_takes_no_memory(place):
    text = b'{"a":[' + b'{"":0},' * 1_000_000 + b"0]}"
    path = place / "wide.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    assert check(Case("wide", ["digits", "test", path])).status == 2
