"""The kernel's rewards are those of `irrl.rewards`."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl import rewards
from irrl.errors import UserError
from irrl.rewards import Clipped, GeneralisedReward
from irrl.skills.compiled_reward import compile_reward

NAMES = [*(name for name in rewards.names() if "ALPHA" not in name), "box-cox:0.5", "box-cox:0", "clipped-box-cox:-1"]
SKILLS = 4


@pytest.fixture(scope="module")
def compiled():
    return {name: compile_reward(name, SKILLS) for name in NAMES}


@given(st.sampled_from(NAMES), st.lists(st.floats(0, 1), min_size=SKILLS, max_size=SKILLS).filter(any))
@settings(deadline=None)
def test_as_the_reward_itself(compiled, name, weights):
    probs = np.array(weights) / sum(weights)
    with np.errstate(divide="ignore"):
        log_probs = np.log(probs)
    for skill in range(SKILLS):
        paid = compiled[name].pay.ctypes(log_probs[skill], int(log_probs.argmax() == skill))
        assert paid == pytest.approx(
            float(rewards.get(name)(log_probs, np.int64(skill), 1 / SKILLS)), rel=1e-12, abs=1e-12
        )


def test_which_rewards_ask_for_the_argmax(compiled):
    assert [name for name in NAMES if compiled[name].by_argmax] == ["accuracy", "signed-accuracy"]


@dataclasses.dataclass(frozen=True)
class Power(GeneralisedReward):
    """g(q) = scale q^3."""

    scale: float = 2.0

    def g(self, log_q, xp):
        return self.scale * xp.exp(3 * log_q)


@dataclasses.dataclass(frozen=True)
class Uncompilable(GeneralisedReward):
    """What Numba cannot do."""

    def g(self, log_q, xp):
        return float(str(log_q) + open("/dev/null").read())


class Scaled(Power):
    """Not only g."""

    def __call__(self, log_probs, target, prior):
        return 100 * super().__call__(log_probs, target, prior)


@dataclasses.dataclass(frozen=True)
class ScalarOnly(GeneralisedReward):
    """What only Numba can do: arrays have no truth value."""

    def g(self, log_q, xp):
        return log_q if log_q > -3 else -3.0


@dataclasses.dataclass(frozen=True)
class Imaginary(GeneralisedReward):
    """No real number."""

    def g(self, log_q, xp):
        return 1j * log_q


@dataclasses.dataclass(frozen=True)
class Inverse(GeneralisedReward):
    """Infinite at q = 1."""

    def g(self, log_q, xp):
        return 1 / log_q


def plain(log_probs, target, prior):
    return log_probs[..., 0]


CLIPPED_POWER = Clipped(Power())


def test_rewards_of_ones_own():
    assert compile_reward(f"{__name__}:Power", SKILLS).pay.ctypes(np.log(0.5), 0) == pytest.approx(2 * (1 / 8 - 1 / 64))
    assert compile_reward(f"{__name__}:CLIPPED_POWER", SKILLS).pay.ctypes(np.log(0.1), 0) == 0


def test_division_by_zero_is_not_paid_as_nothing():
    with np.errstate(divide="ignore"):
        assert np.isinf(compile_reward(f"{__name__}:Inverse", SKILLS).pay.ctypes(0.0, 1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("misspelt", "unknown reward 'misspelt'"),
        (f"{__name__}:plain", "is no plain GeneralisedReward"),
        (f"{__name__}:Uncompilable", "cannot be compiled by Numba"),
        (f"{__name__}:Scaled", "is no plain GeneralisedReward"),
        (f"{__name__}:ScalarOnly", "fails: ValueError"),
        (f"{__name__}:Imaginary", "Imaginary' gives complex128 of shape|cannot be compiled by Numba"),
    ],
)
def test_what_cannot_be_compiled_is_refused_in_one_line(name, message):
    with pytest.raises(UserError, match=message) as refused:
        compile_reward(name, SKILLS)
    assert "\n" not in str(refused.value)
