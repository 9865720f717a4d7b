"""The line at which a value of a TOML file stands."""

import pytest

from irrl.studies.lines import line_of

TEXT = """\
title = "x"  # a title

[settings]
epochs = 3

[[curve]]
reward = "a"
[curve.settings]
batch = 2

  [[ curve ]]
"quoted name" = 1
settings = { batch = 3 }
[expect]
"a b" = { at = 1 }
"""


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (("title",), 1),
        (("settings", "epochs"), 4),
        (("settings", "absent"), 3),
        (("curve", 0), 6),
        (("curve", 0, "reward"), 7),
        (("curve", 0, "settings", "batch"), 9),
        (("curve", 1), 11),
        (("curve", 1, "quoted name"), 12),
        (("curve", 1, "settings", "batch"), 13),
        (("expect", "a b", "at"), 15),
        (("absent",), 1),
    ],
)
def test_line_of(where, line):
    assert line_of(TEXT, where) == line
