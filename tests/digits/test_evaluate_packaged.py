"""The trained agents that come with the package, on the published test canvases."""

import json

import numpy as np
import pytest
from PIL import Image

import irrl
from irrl.cli import main
from irrl.digits.config import PRESETS, idle
from irrl.digits.data import load_mnist, published


@pytest.fixture(scope="module")
def canvases():
    return published(load_mnist())[1]


@pytest.mark.parametrize(("name", "least"), [("digits-fast", 0.90), ("digits-ram8", 0.965)])
def test_they_read_as_well_as_they_did(name, least, canvases):
    agent = irrl.load(name)
    answers = agent.predict(canvases.images[:2000]).answers
    # Two standard errors of 2000 canvases below what the results say.
    assert (answers == canvases.labels[:2000]).mean() > least


@pytest.mark.parametrize(("name", "preset"), [("fast", "best"), ("ram8", "ram8")])
def test_they_see_what_their_presets_see(name, preset):
    config, preset = irrl.load(f"digits-{name}").config, PRESETS[preset]
    assert (config.patch, config.scales, config.glimpses) == (preset.patch, preset.scales, preset.glimpses)
    told = {setting: value for setting, value in vars(config).items() if setting not in idle(vars(config))}
    assert told.items() <= vars(preset).items(), "trained with other settings than the preset of its name has now"


def test_predict_before_any_training(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mnist = load_mnist()
    for index in range(3):
        Image.fromarray(255 - mnist.test_images[index].astype(np.uint8)).save(f"{index}.png")
    with pytest.raises(SystemExit) as exit:
        main(["digits", "predict", "digits-ram8", "0.png", "1.png", "2.png", "--json"])
    assert not exit.value.code
    said = json.loads(capsys.readouterr().out)
    assert [each["answer"] for each in said] == mnist.test_labels[:3].tolist()
