"""What environments take as actions."""

import numpy as np
import pytest

from irrl.actions import check_actions
from irrl.errors import UserError

NAMES = "stay", "up", "down"


@pytest.mark.parametrize("action", [1, np.int64(1), np.uint8(1), np.array(1), np.array(1, np.int16)], ids=repr)
def test_integers_of_every_kind_are_actions(action):
    taken = check_actions(action, NAMES)
    assert taken.shape == () and taken == 1


@pytest.mark.parametrize(
    "action",
    [-1, 3, 1.0, np.float32(1), float("nan"), True, np.True_, None, "1", 1 + 0j, 10**30, 2**63, [1], np.array([1]),
     [[1], [1, 2]], {"a": 1}, np.ma.array([1, 2]), "a\nb" * 100],
    ids=lambda action: repr(action)[:20],
)  # fmt: skip
def test_what_is_no_action_is_refused_in_one_line(action):
    with pytest.raises(UserError, match=r"^action is .*; give 0 \(stay\), 1 \(up\) or 2 \(down\)$") as error:
        check_actions(action, NAMES)
    assert len(str(error.value)) < 150 and str(error.value).isprintable()


def test_many_actions():
    assert check_actions([0, 2], NAMES, 2).tolist() == [0, 2]
    assert check_actions(np.array([0, 2], np.uint8), NAMES, 2).tolist() == [0, 2]
    for actions in ([0], [0, 1, 2], [0, 3], [0, -1], [0, True, 1], [0.0, 1.0], [[0, 1]], 1, [False, True]):
        with pytest.raises(UserError, match=r"^actions are .*; give 0 \(stay\), 1 \(up\) or 2 \(down\) for each of 2$"):
            check_actions(actions, NAMES, 2)
