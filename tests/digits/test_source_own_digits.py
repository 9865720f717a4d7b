"""Digits of one's own: the run knows them again, is tested on others where asked to, and opens no other path."""

import json
import shutil

import numpy as np
import pytest

from hostile.idx import NAMES, idx
from irrl import checkpoint
from irrl.cli import main
from irrl.digits import source
from irrl.digits.config import Config
from irrl.digits.data import Canvases, Mnist, load_mnist
from irrl.digits.evaluate import load_agent
from irrl.digits.noise import stages_of
from irrl.digits.source import canvases_for, canvases_for_testing, warn_of_prior
from irrl.errors import UserError
from opened_files import opened_files
from tiny import FLAGS, write_mnist


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, and its digits."""
    folder = tmp_path_factory.mktemp("own")
    write_mnist(folder / "mnist")
    status = irrl("digits", "train", *FLAGS, "--epochs", "1", "--mnist", folder / "mnist", "--out", folder / "run")
    assert status == 0
    return folder


@pytest.fixture
def own(trained, tmp_path):
    """A copy of the run, whose digits may be replaced."""
    shutil.copytree(trained / "run", tmp_path / "run")
    for path in (tmp_path / "run").glob("*.safetensors"):
        rewrite(path, mnist=str(tmp_path / "mnist"))
    recorded = json.loads((tmp_path / "run/config.json").read_text())
    recorded["config"]["mnist"] = str(tmp_path / "mnist")
    (tmp_path / "run/config.json").write_text(json.dumps(recorded))
    shutil.copytree(trained / "mnist", tmp_path / "mnist")
    return tmp_path


def irrl(*words) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def rewrite(path, state=(), **config):
    """Change settings, and what else a checkpoint says, leaving it well sealed."""
    arrays, found = checkpoint.load(path)
    found = {**found, "config": {**found["config"], **config}, **dict(state)}
    checkpoint.save(path, arrays, {name: value for name, value in found.items() if value is not None})


def go_on(own, epochs=2):
    words = ["--epochs", epochs, "--mnist", own / "mnist", "--out", own / "run"]
    return irrl("digits", "train", *FLAGS, *words)


def test_a_run_goes_on_with_its_own_digits_only(own, capfd):
    assert go_on(own) == 0
    good = (own / "run/last.safetensors").read_bytes()
    write_mnist(own / "mnist", train=210)
    capfd.readouterr()
    assert go_on(own, epochs=3) == 2
    assert f"--mnist {own / 'mnist'}: its digits are not those with which this run began" in capfd.readouterr().err
    assert (own / "run/last.safetensors").read_bytes() == good


def test_digits_packed_otherwise_are_the_same(own):
    write_mnist(own / "mnist")
    for path in list((own / "mnist").iterdir()):
        array = load_mnist(own / "mnist")[[f"{name}.gz" for name in NAMES].index(path.name)]
        path.with_suffix("").write_bytes(idx(array))
    for path in (own / "mnist").glob("*.gz"):
        path.unlink()
    assert go_on(own) == 0


def test_an_older_run_goes_on_and_knows_its_digits_from_then_on(own, capfd):
    digest = checkpoint.load(own / "run/last.safetensors").state["mnist"]
    assert digest == load_mnist(own / "mnist").digest()
    for path in (own / "run").glob("*.safetensors"):
        rewrite(path, {"mnist": None})
    assert irrl("digits", "test", own / "run") == 0
    assert "warning" not in capfd.readouterr().err
    assert go_on(own) == 0
    assert checkpoint.load(own / "run/last.safetensors").state["mnist"] == digest


@pytest.mark.parametrize("part", range(4))
def test_the_digest_is_of_all_of_the_data(own, part):
    mnist = load_mnist(own / "mnist")
    changed = list(mnist)
    changed[part] = changed[part].copy()
    changed[part].flat[-1] ^= 1
    assert Mnist(*changed).digest() != mnist.digest()
    assert mnist._replace(train_labels=mnist.train_labels[:-1]).digest() != mnist.digest()


def test_testing_on_replaced_digits_says_so_in_one_line(own, capfd):
    write_mnist(own / "mnist", test=70)
    for words in (["test", own / "run"], ["draw", own / "run", "--cases", "1"]):
        assert irrl("digits", *words) == 0
        error = capfd.readouterr().err
        assert error.count("\n") == 1
        assert f"warning: {own / 'mnist'}: not the digits that this agent was trained on" in error


def test_an_agent_can_be_tested_on_other_digits(own, tmp_path, capfd):
    others = tmp_path / "others"
    write_mnist(others, test=70)
    for name in (NAMES[2], NAMES[3]):
        (others / f"{name}.gz").unlink()
    # All test digits are sevens: so are all labels of its canvases.
    sevens = np.zeros((12, 8, 8), np.uint8)
    (others / NAMES[2]).write_bytes(idx(sevens))
    (others / NAMES[3]).write_bytes(idx(np.full(12, 7, np.uint8)))
    agent = load_agent(own / "run")
    assert set(canvases_for(agent.config, agent.trained_on, "test", others).labels.tolist()) == {7}
    shutil.rmtree(own / "mnist")  # the run's own are not needed for that
    assert irrl("digits", "test", own / "run", "--mnist", others, "--json") == 0
    output = capfd.readouterr()
    assert json.loads(output.out)["n"] == 100 and output.err == ""
    assert irrl("digits", "test", own / "run", "--mnist", others, "--split", "validation") == 0
    assert irrl("digits", "draw", own / "run", "--mnist", others, "--cases", "1") == 0
    (stage,) = stages_of([own / "run"], own / "run", split="test", cases=None, seed=0, names=(), mnist=others)
    assert stage.labels.tolist() == [7] * 100
    capfd.readouterr()
    for command in (["test"], ["draw"], ["noise", "--oracle", own / "run"]):
        assert irrl("digits", *command, own / "run", "--mnist", tmp_path / "nowhere") == 2
        assert f"in {tmp_path / 'nowhere'}; expected MNIST's four idx files" in capfd.readouterr().err


def test_published_canvases_are_those_of_mnist_and_like_them_for_other_digits(monkeypatch):
    """Else an agent of `--preset fast` could be trained on digits of one's own, but not tested."""
    asked, the_published = [], Canvases(np.zeros((1, 60, 60), np.uint16), np.zeros(1, np.int32))
    monkeypatch.setattr(source, "published", lambda mnist: asked.append(mnist) or (None, the_published))
    # A digit is one pixel, in its top left corner.
    images = np.zeros((5, 28, 28), np.uint8)
    images[:, 0, 0] = 255
    labels = np.arange(5, dtype=np.uint8)
    config = Config(data="published-fresh")
    drawn = canvases_for_testing(config, Mnist(images, labels, images, labels)).images
    assert asked == [] and drawn.shape == (10_000, 60, 60)
    # They lie as in the published set: at the bottom edge if y is 32 or more of 0 to 59.
    assert drawn[:, 32].any(1).mean() == pytest.approx(28 / 60, abs=0.02)
    packaged = load_mnist()
    assert canvases_for_testing(config, packaged) is the_published
    assert asked[0] is packaged


def test_classes_that_are_not_equally_frequent_are_said_once(own, capfd):
    config, mnist = Config(mnist=str(own / "unbalanced")), load_mnist(own / "mnist")
    labels = mnist.train_labels.copy()
    warn_of_prior(config, mnist)
    assert capfd.readouterr().err == ""
    labels[labels == 3] = 4
    for _ in range(2):
        warn_of_prior(config, mnist._replace(train_labels=labels))
    expected = (
        "0.0% of the training digits are labelled 3, 20.0% 4; rewards take each of 10 classes for equally frequent"
    )
    assert capfd.readouterr().err == f"warning: {own / 'unbalanced'}: {expected}\n"
    warn_of_prior(Config(), load_mnist())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("split", ["digits", "mnist"])
def test_emnist_under_its_own_names_is_turned_upright(tmp_path, split):
    upright = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3)
    for part in ("train", "test"):
        stem = tmp_path / f"emnist-{split}-{part}"
        stem.with_name(f"{stem.name}-images-idx3-ubyte").write_bytes(idx(np.ascontiguousarray(upright.swapaxes(1, 2))))
        stem.with_name(f"{stem.name}-labels-idx1-ubyte").write_bytes(idx(np.array([4, 2], np.uint8)))
    mnist = load_mnist(tmp_path)
    for images in (mnist.train_images, mnist.test_images):
        np.testing.assert_array_equal(images, upright)
        assert images.flags.c_contiguous
    write_mnist(tmp_path)
    with pytest.raises(UserError, match=f"several data sets .train-images and emnist-{split}-train-images"):
        load_mnist(tmp_path)


def test_missing_files_of_emnist_are_called_by_its_names(tmp_path):
    (tmp_path / "emnist-digits-train-images-idx3-ubyte.gz").touch()
    with pytest.raises(UserError, match="no emnist-digits-train-labels-idx1-ubyte"):
        load_mnist(tmp_path)


def test_a_recorded_oracle_is_never_opened_and_recorded_digits_only_for_testing(own):
    """The oracle that a file names could be anything. The digits are what the user's own run is tested on."""
    shutil.copy(own / "run/last.safetensors", own / "oracle.safetensors")
    model, picture = own / "model.safetensors", own / "picture.png"
    shutil.copy(own / "run/last.safetensors", model)
    rewrite(model, oracle=str(own / "oracle.safetensors"))
    shutil.copytree(own / "run", own / "hacked")
    rewrite(own / "hacked/last.safetensors", oracle=str(own / "oracle.safetensors"))
    (own / "hacked/best.safetensors").unlink()
    recorded = json.loads((own / "run/config.json").read_text())
    recorded["config"]["oracle"] = str(own / "oracle.safetensors")
    (own / "hacked/config.json").write_text(json.dumps(recorded))
    draw_picture(picture)
    for words, reads_digits in (
        (["test", model], True),
        (["test", own / "hacked", "--split", "validation"], True),
        (["draw", own / "hacked", "--cases", "1"], True),
        (["noise", model, "--oracle", own / "run", "--out", own / "noise"], True),
        (["predict", model, picture, "--out", own / "drawn"], False),
        (["compare", own / "hacked", own / "run"], False),
        (["figure", "ram", own / "hacked", "--out", own / "ram.png"], False),
    ):
        with opened_files() as opened:
            assert irrl("digits", *words) == 0, words
        assert not [path for path in opened if "oracle.safetensors" in path], words
        digits = {path for path in opened if str(own / "mnist") in path}
        assert bool(digits) == reads_digits, words
        assert len(digits) <= 4
    # Not even by a training in that folder: the user's own command line has to name it.
    words = [*FLAGS, "--epochs", "2", "--mnist", own / "mnist", "--out", own / "hacked"]
    with opened_files() as opened:
        assert irrl("digits", "train", *words) == 2
    assert not [path for path in opened if "oracle.safetensors" in path]
    with opened_files() as opened:
        assert irrl("digits", "train", *words, "--oracle", own / "oracle.safetensors") == 0
    assert [path for path in opened if "oracle.safetensors" in path]


def draw_picture(path):
    from PIL import Image

    pixels = np.zeros((30, 30), np.uint8)
    pixels[5:25, 14:17] = 255
    Image.fromarray(pixels).save(path)
