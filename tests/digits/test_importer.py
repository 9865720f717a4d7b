"""A released checkpoint, turned into ours: the same network, transposed, and a folder that every command takes."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

import irrl
from irrl import checkpoint
from irrl.cli import main
from irrl.digits.config import preset
from irrl.digits.importer import LAYERS, import_checkpoint
from irrl.errors import UserError
from torch_writer import Call, Tensor, tensor, write

SHAPES = {  # outputs x inputs, as PyTorch has them
    "sensor.fc1": (128, 16), "sensor.fc2": (128, 2), "sensor.fc3": (256, 128), "sensor.fc4": (256, 128),
    "rnn.i2h": (256, 256), "rnn.h2h": (256, 256), "locator.fc": (128, 256), "locator.fc_lt": (2, 128),
    "baseliner.fc": (1, 256), "classifier.fc": (10, 256),
}  # fmt: skip


def weights() -> dict[str, np.ndarray]:
    """As the authors' names and shapes have it; every number different."""
    rng, arrays = np.random.default_rng(0), {}
    for layer, shape in SHAPES.items():
        bound = 1 / np.sqrt(shape[1])
        arrays[f"{layer}.weight"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        arrays[f"{layer}.bias"] = rng.uniform(-bound, bound, shape[0]).astype(np.float32)
    return arrays


def released(path, arrays=None, **changes):
    arrays = weights() if arrays is None else arrays
    state = {name: tensor(array, str(key)) for key, (name, array) in enumerate(arrays.items())}
    content = {"epoch": 1401, "model_state": state, "optim_state": {"lr": 3e-4}, "best_valid_acc": 90.0625} | changes
    return write(path, {name: value for name, value in content.items() if value is not None})


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    import_checkpoint(released(folder / "ram.pth.tar"), folder / "authors")
    return folder / "authors"


def test_the_network_answers_as_the_authors_network_does(imported):
    """Their forward pass, written down once more: y = W x + b, patches cut at the corner in a padded image."""
    agent, arrays = irrl.load(imported), weights()
    rng = np.random.default_rng(1)
    images = rng.integers(0, 257, (3, 60, 60)).astype(np.uint16)
    predictions = agent.predict(images, seed=5)
    assert predictions.locations.shape == (3, 18, 2)

    def layer(name, inputs):
        return arrays[f"{name}.weight"] @ inputs + arrays[f"{name}.bias"]

    def relu(inputs):
        return np.maximum(inputs, 0)

    for image, log_probs, locations, _ in zip(images, *predictions, strict=True):
        padded, hidden = np.pad((image / 256 - 0.1307) / 0.3081, 2), np.zeros(256)
        location = locations[0]
        for seen_at in locations:
            np.testing.assert_allclose(location, seen_at, atol=1e-4)
            x, y = np.trunc(0.5 * (seen_at + 1) * 60).astype(int)
            patch = padded[y : y + 4, x : x + 4].ravel()
            encoding = layer("sensor.fc3", relu(layer("sensor.fc1", patch)))
            encoding = relu(encoding + layer("sensor.fc4", relu(layer("sensor.fc2", seen_at))))
            hidden = relu(layer("rnn.i2h", encoding) + layer("rnn.h2h", hidden))
            location = np.tanh(layer("locator.fc_lt", relu(layer("locator.fc", hidden))))
        scores = layer("classifier.fc", hidden)
        np.testing.assert_allclose(log_probs, scores - np.log(np.exp(scores).sum()), atol=1e-3)


def test_the_baseline_and_every_array_is_there(imported):
    arrays, theirs = checkpoint.load(imported / "best.safetensors").arrays, weights()
    assert set(arrays) == {f"params.{name}.{kind}" for name in LAYERS for kind in ("weight", "bias")}
    np.testing.assert_array_equal(arrays["params.baseline.weight"], theirs["baseliner.fc.weight"].T)
    np.testing.assert_array_equal(arrays["params.baseline.bias"], theirs["baseliner.fc.bias"])


def test_what_the_authors_recorded_is_kept(imported):
    state = checkpoint.load(imported / "best.safetensors").state
    assert (state["epoch"], state["best_valid_acc"], state["best"]) == (1401, 90.0625, 0.900625)
    assert state["step"] == 295_611, "211 steps an epoch, as their optimiser counted"
    config = dataclasses.asdict(preset("paper"))
    assert json.loads((imported / "config.json").read_text()) == {"task": "digits", "config": config}
    assert irrl.load(imported).config == preset("paper")


def test_the_command_says_what_it_imported(tmp_path, capsys):
    out = tmp_path / "deep" / "authors"
    assert run("digits", "import", released(tmp_path / "ram.pth.tar"), "--out", out) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 1401 epochs, 90.06 %")
    assert irrl.load(out / "best.safetensors").config == preset("paper")


def test_an_imported_agent_is_not_trained_on(imported, capsys):
    before = (imported / "best.safetensors").read_bytes()
    words = ["--preset", "paper", "--epochs", "1402", "--out", imported]
    assert run("digits", "train", *words) == 2
    assert "cannot be trained on" in one_line(capsys)
    assert (imported / "best.safetensors").read_bytes() == before


def test_a_folder_in_use_is_refused(tmp_path, imported, capsys):
    file, before = released(tmp_path / "ram.pth.tar"), (imported / "best.safetensors").read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    for out in (imported, tmp_path / "other", file):
        assert run("digits", "import", file, "--out", out) == 2
        assert f"{out}: already exists" in one_line(capsys)
    assert (imported / "best.safetensors").read_bytes() == before
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


def bent(name: str, array: np.ndarray | None) -> dict[str, np.ndarray]:
    """The weights with one of them replaced, or left out."""
    arrays = weights() | {name: array}
    return {name: array for name, array in arrays.items() if array is not None}


WHOLE = weights()


@pytest.mark.parametrize(
    ("arrays", "changes", "wanted"),
    [
        (bent("rnn.h2h.bias", None), {}, "no tensor 'rnn.h2h.bias'"),
        (
            bent("locator.fc_lt.weight", np.zeros((3, 128), np.float32)),
            {},
            "'locator.fc_lt.weight' has the shape [3, 128]",
        ),
        (bent("sensor.fc3.weight", WHOLE["sensor.fc3.weight"].T.copy()), {}, "[256, 128]"),
        (bent("sensor.fc1.bias", np.zeros(128, np.int64)), {}, "'sensor.fc1.bias' is int64"),
        (bent("sensor.fc1.bias", np.full(128, 1e300)), {}, "'sensor.fc1.bias' holds NaN"),
        (bent("sensor.fc1.bias", np.full(128, np.nan, np.float32)), {}, "'sensor.fc1.bias' holds NaN"),
        (bent("stop.weight", np.zeros(3, np.float32)), {}, "'stop.weight'"),
        (None, {"model_state": None}, "no model_state"),
        (None, {"epoch": None}, "no epoch"),
        (None, {"epoch": 10**5000}, "epoch"),
        (None, {"best_valid_acc": "high"}, "no best_valid_acc"),
        (None, {"best_valid_acc": float("nan")}, "best_valid_acc"),
        (None, {"model_state": 3}, "no model_state"),
        (None, {"optim_state": Call("posix.system", ("true",))}, "'posix.system'"),
    ],
)
def test_another_file_is_one_line_and_leaves_nothing(tmp_path, capsys, arrays, changes, wanted):
    file = released(tmp_path / "ram.pth.tar", arrays, **changes)
    assert run("digits", "import", file, "--out", tmp_path / "authors") == 2
    line = one_line(capsys)
    assert wanted in line and str(file) in line
    assert not (tmp_path / "authors").exists()


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_weights_of_other_precision_are_converted(tmp_path, capsys, dtype):
    arrays = {name: array.astype(dtype) for name, array in weights().items()}
    import_checkpoint(released(tmp_path / "ram.pth.tar", arrays), tmp_path / "authors")
    assert one_line(capsys) == f"warning: the weights are {np.dtype(dtype).name}; converted to float32"
    found = checkpoint.load(tmp_path / "authors" / "best.safetensors").arrays["params.sensor_patch.weight"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, arrays["sensor.fc1.weight"].T.astype(np.float32))


def test_a_model_saved_inside_data_parallel(tmp_path, imported):
    inside = {f"module.{name}": array for name, array in weights().items()}
    import_checkpoint(released(tmp_path / "ram.pth.tar", inside), tmp_path / "authors")
    found, wanted = (checkpoint.load(folder / "best.safetensors").arrays for folder in (tmp_path / "authors", imported))
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_best_accuracy_that_is_a_tensor(tmp_path):
    best = Tensor(np.float32([0, 90.5]), "best", 1, (), ())
    state = import_checkpoint(released(tmp_path / "ram.pth.tar", best_valid_acc=best), tmp_path / "authors")
    assert state["best_valid_acc"] == 90.5


def test_a_full_disk_leaves_nothing_in_the_way_of_another_attempt(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    file = released(tmp_path / "ram.pth.tar")
    with monkeypatch.context() as patch:
        patch.setattr("irrl.run.DiskRun.save", full)
        with pytest.raises(OSError, match="No space left"):
            import_checkpoint(file, tmp_path / "authors")
    assert [path.name for path in tmp_path.iterdir()] == ["ram.pth.tar"]
    import_checkpoint(file, tmp_path / "authors")
    assert irrl.load(tmp_path / "authors").config == preset("paper")


def test_a_list_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="does not hold a dictionary"):
        import_checkpoint(write(tmp_path / "list.pth", [1, 2]), tmp_path / "authors")


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


def one_line(capsys) -> str:
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line
