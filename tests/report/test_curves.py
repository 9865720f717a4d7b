import numpy as np

from irrl.report.curves import Series, bundle, rounded, series_of, thin


def test_a_short_curve_is_drawn_whole():
    np.testing.assert_array_equal(thin(np.array([3.0, 1, 2]), 3), [0, 1, 2])


def test_a_long_curve_keeps_its_ends_and_a_single_spike():
    values = np.zeros(10_000)
    values[4321], values[8765] = 1, -1
    kept = thin(values, 100)
    assert len(kept) <= 100
    assert {0, 4321, 8765, 9999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_thinned_stretches_are_equally_long():
    kept = thin(np.sin(np.arange(10_000.0)), 200)
    assert np.diff(kept).max() <= 210


def test_seeds_are_averaged_where_all_were_measured():
    one, two = Series(np.array([1, 2, 3]), np.array([0.0, 1, 2])), Series(np.array([2, 3, 4]), np.array([3.0, 6, 9]))
    found = bundle([1, 2], [one, two], 100)
    assert found is not None and found.interval is not None
    assert found.at.tolist() == [2, 3]
    assert found.mean.tolist() == [2, 4]
    # Of two seeds the bootstrap interval is their range.
    assert found.interval.tolist() == [[1, 2], [3, 6]]
    assert found.as_json(10)["seeds"] == {
        "1": {"at": [1, 2, 3], "value": [0, 1, 2]},
        "2": {"at": [2, 3, 4], "value": [3, 6, 9]},
    }


def test_a_single_seed_stands_once():
    found = bundle([7], [Series(np.array([1]), np.array([0.5]))], 100)
    assert found is not None
    assert found.as_json(10) == {"at": [1], "mean": [0.5]}


def test_seeds_that_have_no_point_in_common_have_no_mean():
    assert bundle([1, 2], [Series(np.array([at]), np.array([0.5])) for at in (1, 2)], 100) is None


def test_metrics_are_read_in_order_the_last_word_counts_and_nan_is_left_out():
    rows = [
        {"step": 2, "epoch": 2, "score": 0.2, "loss": float("nan")},
        {"step": 1, "epoch": 1, "score": 0.1},
        {"step": 2, "epoch": 2, "score": 0.3, "loss": float("inf"), "late": 1},
    ]
    found = series_of(rows, "epoch", "score")
    assert {name: (each.at.tolist(), each.value.tolist()) for name, each in found.items()} == {
        "score": ([1, 2], [0.1, 0.3]),
        "late": ([2], [1.0]),
    }


def test_numbers_have_as_many_digits_as_one_sees():
    assert rounded(np.array([1 / 3, 12_345_678.0])) == [0.33333, 12_346_000.0]
