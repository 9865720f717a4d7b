"""Noise of checkpoints against an oracle, end to end on tiny runs."""

import dataclasses
import json
import warnings

import jax
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import irrl
from irrl.checkpoint import flatten
from irrl.cli import main
from irrl.digits.config import Config
from irrl.digits.data import Canvases
from irrl.digits.networks import initial_params
from irrl.digits.noise import answers, checkpoints, fragility, stage, violins
from irrl.digits.source import canvases_for_testing
from irrl.noise import POSTERIOR_EDGES
from irrl.run import DiskRun, Plan
from tiny import SETTINGS, write_mnist


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs as training leaves them: `learner` kept epochs 2 and 4; `oracle`; `other` has other patches."""
    folder = tmp_path_factory.mktemp("runs")
    config = Config(**SETTINGS, mnist=str(write_mnist(folder / "mnist")))
    save(folder / "learner", config, epochs=(2, 4), keep=True)
    save(folder / "oracle", config, epochs=(5, 6), keep=False)
    save(folder / "other", dataclasses.replace(config, patch=4), epochs=(1,), keep=False)
    return folder


def save(folder, config, *, epochs, keep):
    """A run whose checkpoints are untrained, but sure of their answers."""
    with DiskRun.open(folder, Plan("digits", dataclasses.asdict(config))) as run:
        for epoch in epochs:
            params = initial_params(config, key=jax.random.key(epoch))
            params = params._replace(classifier=jax.tree.map(lambda weights: 20 * weights, params.classifier))
            arrays = {f"params.{name}": array for name, array in flatten(params).items()}
            run.save(arrays, {"step": epoch, "epoch": epoch}, best=True, keep=keep)


@pytest.fixture(scope="module")
def measured(runs):
    words = ["digits", "noise", runs / "learner", "--oracle", runs / "oracle", "--out", runs / "noise"]
    assert run(*words, "--reward", "box-cox:2") == 0
    return runs / "noise"


def run(*words) -> int:
    """The exit status of a command line, in this process."""
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


def test_delta_is_the_difference_of_the_two_networks_on_the_same_glimpses(runs, measured):
    agent, oracle = irrl.load(runs / "learner" / "epoch-000004.safetensors"), irrl.load(runs / "oracle")
    canvases = canvases_for_testing(agent.config)
    log_probs, locations, taken = agent.predict(canvases.images)
    rows = np.arange(len(canvases.labels))
    with np.load(measured / "delta.npz") as saved:
        assert saved["epoch"].tolist() == [2, 4]
        assert saved["delta"].shape == (2, 100)
        np.testing.assert_array_equal(saved["label"][1], canvases.labels)
        np.testing.assert_allclose(saved["delta"], saved["q"] - saved["p"], atol=1e-6)
        np.testing.assert_allclose(saved["q"][1], np.exp(log_probs)[rows, canvases.labels], rtol=1e-5)
        wanted = np.exp(answers(oracle, canvases.images, locations, taken))[rows, canvases.labels]
        np.testing.assert_allclose(saved["p"][1], wanted, rtol=1e-5)
        assert np.abs(saved["delta"]).max() > 0.1


def test_an_agent_answers_alike_over_its_own_glimpses(runs):
    """More canvases than one batch holds."""
    agent = irrl.load(runs / "learner")
    images = canvases_for_testing(dataclasses.replace(agent.config, test_size=1200)).images
    log_probs, locations, taken = agent.predict(images, seed=3)
    np.testing.assert_allclose(answers(agent, images, locations, taken), log_probs, atol=2e-5)
    assert np.abs(answers(agent, images, -locations, taken) - log_probs).max() > 0.1
    assert np.abs(answers(agent, images, locations, taken - 1) - log_probs).max() > 0.1


def test_the_report_agrees_with_delta(measured):
    report = json.loads((measured / "noise.json").read_text())
    assert (report["cases"], report["split"], report["prior"]) == (100, "test", 0.1)
    with np.load(measured / "delta.npz") as saved:
        delta, q, p = (saved[name].astype(float) for name in ("delta", "q", "p"))
    for at, each in enumerate(report["checkpoints"]):
        assert each["epoch"] == (2, 4)[at]
        assert each["delta"]["mean"] == pytest.approx(delta[at].mean(), abs=1e-6)
        assert each["q_above_2p"] == pytest.approx((q[at] > 2 * p[at]).mean())
        found = each["rewards"]
        assert set(found) == {
            "accuracy", "signed-accuracy", "log", "linear", "clipped-log", "clipped-linear",
            "box-cox:0.5", "clipped-box-cox:0.5", "box-cox:2",
        }  # fmt: skip
        for kind in ("measured", "taylor"):
            assert found["linear"][kind]["bias"] == pytest.approx(delta[at].mean(), abs=1e-6)
            assert found["linear"][kind]["variance"] == pytest.approx(delta[at].var(), abs=1e-6)
            # g(q) = (q^2 - 1) / 2 is quadratic: its expansion is exact.
            assert found["box-cox:2"][kind]["bias"] == pytest.approx(((q[at] ** 2 - p[at] ** 2) / 2).mean(), abs=1e-5)
        assert found["log"]["measured"]["bias"] == pytest.approx(np.log(q[at] / p[at]).mean(), rel=1e-3)
        clipped = np.maximum(q[at] - 0.1, 0) - np.maximum(p[at] - 0.1, 0)
        assert found["clipped-linear"]["measured"]["variance"] == pytest.approx(clipped.var(), abs=1e-6)
        above = p[at] > 0.1
        assert found["clipped-linear"]["taylor"]["bias"] == pytest.approx((above * delta[at]).mean(), abs=1e-6)
        assert found["accuracy"]["taylor"] is None
        counts = np.histogram(p[at], POSTERIOR_EDGES)[0]
        assert [part["cases"] for part in found["log"]["bins"]] == counts[counts > 0].tolist()


@pytest.mark.parametrize("name", ["violins.png", "rewards.png"])
def test_pictures_are_drawn(measured, name):
    assert np.asarray(Image.open(measured / name).convert("L")).std() > 10


def test_an_agent_is_without_noise_beside_itself(runs):
    agent = irrl.load(runs / "learner")
    alone = stage(runs / "x", 1, agent, agent, canvases_for_testing(agent.config), ["log", "accuracy"], seed=0)
    assert np.abs(alone.delta).max() < 1e-5
    assert alone.noise["log"][0].measured == pytest.approx((0, 0), abs=1e-4)
    assert alone.noise["accuracy"][0].measured == (0, 0)
    with warnings.catch_warnings(action="error", category=UserWarning):
        warnings.simplefilter("ignore", DeprecationWarning)  # between Matplotlib and what it uses
        # Noise of exactly 0, too, which a logarithmic scale has no place for.
        nothing = {name: alone.noise["accuracy"] for name in ("log", "accuracy")}
        for drawn in (alone, alone._replace(noise=nothing)):
            FigureCanvasAgg(violins([drawn])).draw()
            FigureCanvasAgg(fragility([drawn])).draw()


def test_violins_of_delta_are_ordered_and_coloured_by_run(runs):
    agent = irrl.load(runs / "learner")
    images, labels = canvases_for_testing(agent.config)
    other = dataclasses.replace(agent, params=initial_params(agent.config, key=jax.random.key(7)))
    canvases = Canvases(images[:20], labels[:20])
    stages = [
        stage(runs / name / "x", epoch, agent, other, canvases, ["log"], seed=0)
        for name, epoch in (("a", 1), ("b", 30))
    ]
    (axes,) = violins(stages).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "30"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_a_run_stands_for_the_checkpoints_it_kept(runs):
    names = [path.name for path in checkpoints(runs / "learner")]
    assert names == ["epoch-000002.safetensors", "epoch-000004.safetensors"]
    assert checkpoints(runs / "oracle") == [runs / "oracle"]
    assert checkpoints(runs / "oracle" / "last.safetensors") == [runs / "oracle" / "last.safetensors"]


def test_checkpoints_come_by_epoch_and_cases_and_split_are_kept(runs):
    models = [runs / "learner" / "last.safetensors", runs / "learner"]
    out = runs / "few"
    words = ["--oracle", runs / "oracle", "--out", out, "--cases", 7, "--split", "validation"]
    assert run("digits", "noise", *models, *words) == 0
    with np.load(out / "delta.npz") as saved:
        assert saved["epoch"].tolist() == [2, 4, 4]
        assert saved["delta"].shape == (3, 7)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["{runs}/none", "--oracle", "{runs}/oracle"], "none"),
        (["{runs}/learner", "--oracle", "{runs}/none"], "none"),
        (["{runs}/learner", "--oracle", "{runs}/other"], "patch 8"),
        (["{runs}/learner", "--oracle", "{runs}/oracle", "--cases", "101"], "--cases is 101; it must be from 1 to 100"),
        (["{runs}/learner", "--oracle", "{runs}/oracle", "--cases", "0"], "--cases"),
        (["{runs}/learner", "--oracle", "{runs}/oracle", "--reward", "lin"], "unknown reward 'lin'"),
        (["{runs}/learner", "--oracle", "{runs}/oracle", "--seed", "-1"], "--seed"),
        (["--oracle", "{runs}/oracle"], "MODELS"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(runs, tmp_path, capsys, words, wanted):
    assert run("digits", "noise", *[word.format(runs=runs) for word in words], "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert wanted in line
    assert not (tmp_path / "out").exists()


def test_figure_noise_draws_the_violins_of_a_runs_checkpoints(runs, tmp_path, capsys):
    words = ["digits", "figure", "noise", runs / "learner", "--oracle", runs / "oracle", "--cases", 50]
    assert run(*words, "--out", tmp_path / "new" / "violins.svg") == 0
    drawn = (tmp_path / "new" / "violins.svg").read_text()
    assert drawn.startswith("<?xml")
    assert run(*words, "--out", tmp_path / "violins.txt") == 2
    assert ".png" in capsys.readouterr().err
    assert not (tmp_path / "violins.txt").exists()
