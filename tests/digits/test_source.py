"""Which canvases a run sees, and in which order."""

import dataclasses

import numpy as np
import pytest

from irrl.digits.config import Config, preset
from irrl.digits.source import Source, canvases_for_testing
from irrl.errors import UserError
from tiny import SETTINGS, write_mnist


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return Config(**SETTINGS, mnist=str(write_mnist(tmp_path_factory.mktemp("mnist"))))


def with_(config, **changes):
    return dataclasses.replace(config, **changes)


def test_an_epoch_shows_every_training_canvas_once_and_fills_up_without_weight(config):
    source = Source(config)
    epoch = source.epoch(1)
    assert epoch.order.shape == epoch.weights.shape == (source.steps_per_epoch, 32) == (9, 32)
    shown = np.asarray(epoch.order)[np.asarray(epoch.weights) > 0]
    assert len(shown) == len(set(shown.tolist())) == 270
    assert np.asarray(epoch.weights).sum() == 270
    assert np.asarray(epoch.weights)[:-1].all()


def test_the_published_canvases_are_shown_once_an_epoch_but_for_the_tenth_that_is_held_out():
    source = Source(preset("paper"))
    first, second = (source.epoch(number) for number in (1, 2))
    rows = [np.asarray(epoch.order)[np.asarray(epoch.weights) > 0] for epoch in (first, second)]
    assert len(set(rows[0].tolist())) == 54_000 and not np.array_equal(*rows)
    assert set(rows[0].tolist()) == set(rows[1].tolist())
    assert first.canvases is second.canvases
    held_out = np.setdiff1d(np.arange(60_000), rows[0])
    np.testing.assert_array_equal(np.asarray(first.labels)[held_out], source.validation.labels)
    np.testing.assert_array_equal(np.asarray(first.canvases[held_out[:9]]), source.validation.images[:9])


def test_validation_canvases_are_held_out(config):
    source = Source(config)
    epoch = source.epoch(1)
    shown = {canvas.tobytes() for canvas in np.asarray(epoch.canvases)[np.unique(epoch.order[:-1])]}
    assert len(source.validation.labels) == 30
    assert not any(canvas.tobytes() in shown for canvas in source.validation.images)


def test_fresh_canvases_never_show_a_held_out_digit(config):
    plain = with_(config, data="fresh", distractors=0, canvas=8)  # a canvas is then the digit itself
    source = Source(plain)
    held_out = {canvas.tobytes() for canvas in source.validation.images}
    for number in (1, 2):
        assert not any(canvas.tobytes() in held_out for canvas in np.asarray(source.epoch(number).canvases))


def test_epochs_come_in_their_own_order_and_the_same_one_again(config):
    source, again = Source(config), Source(config)
    first, second = (np.asarray(source.epoch(number).order) for number in (1, 2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(again.epoch(2).order, second)


def test_fresh_canvases_depend_on_the_epoch_alone(config):
    fresh = with_(config, data="fresh")
    source, resumed = Source(fresh), Source(fresh)
    canvases = [np.asarray(source.epoch(number).canvases) for number in (1, 2, 3)]
    assert not np.array_equal(canvases[0], canvases[1])
    np.testing.assert_array_equal(resumed.epoch(3).canvases, canvases[2])


def test_the_seed_decides_the_training_canvases_but_not_the_canvases_for_testing(config):
    other = with_(config, seed=2)
    assert not np.array_equal(Source(config).epoch(1).canvases, Source(other).epoch(1).canvases)
    np.testing.assert_array_equal(canvases_for_testing(config).images, canvases_for_testing(other).images)


def test_too_few_canvases_are_refused(config):
    with pytest.raises(UserError, match="at least 6"):
        with_(config, train_size=4)


def test_digits_spread_epoch_by_epoch_and_are_validated_where_they_should_lie(config):
    plain = with_(config, data="fresh", distractors=0, epochs=6)
    source, spreading = Source(plain), Source(with_(plain, spread_epochs=4))
    np.testing.assert_array_equal(spreading.validation.images, source.validation.images)
    ink = [(np.asarray(spreading.epoch(number).canvases) > 200).any(0) for number in range(1, 7)]
    sides = [np.ptp(np.argwhere(touched), axis=0).max() + 1 for touched in ink]
    assert sides == [8, 10, 12, 14, 16, 16]
    for number in (5, 6):
        np.testing.assert_array_equal(spreading.epoch(number).canvases, source.epoch(number).canvases)
