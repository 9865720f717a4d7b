import json

from irrl.report.text import MOST_NAMES, MOST_TEXT, bounded


def test_ordinary_values_stay():
    value = {"a": [1, 2.5, None, True, "é漢"], "b": {"c": "d"}}
    assert bounded(value) == value


def test_what_is_not_json_becomes_none():
    assert bounded([float("nan"), float("inf"), -float("inf")]) == [None] * 3


def test_text_is_short_printable_and_can_be_encoded():
    said = bounded("\x1b[31m\u202e\ud800" + "x" * 10_000)
    assert said.isprintable() and len(said) <= MOST_TEXT + 3
    said.encode()


def test_names_and_lists_and_depth_are_bounded():
    assert len(bounded({str(name): 0 for name in range(10_000)})) == MOST_NAMES
    assert len(bounded([0] * 10_000)) == MOST_NAMES
    nested = []
    for _ in range(500):
        nested = [nested]
    assert len(json.dumps(bounded(nested))) < 100
