"""Rewards by name: text to reward and back, and one clear line for whatever is no name."""

import functools
import importlib
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import BY_HAND, PRIOR, PROBS, TARGET
from irrl import rewards
from irrl.errors import UserError
from irrl.rewards import Accuracy, BoxCox, Clipped, GeneralisedReward, Linear, Log, SignedAccuracy

DOC = Path(__file__).parents[1] / "docs" / "rewards.md"


def test_names_are_the_documented_ones():
    assert rewards.names() == (
        *("accuracy", "signed-accuracy", "log", "linear", "clipped-log", "clipped-linear"),
        *("box-cox:ALPHA", "clipped-box-cox:ALPHA"),
    )
    assert tuple(re.findall(r"^\| `([a-z:A-Z-]+)` \| .* \| .* \| .* \|$", DOC.read_text(), re.M)) == rewards.names()
    assert rewards.get("box-cox:0.5") == BoxCox(0.5) and rewards.get("clipped-box-cox:1e-3") == Clipped(BoxCox(1e-3))
    assert rewards.get("accuracy") == Accuracy() and rewards.get("signed-accuracy") == SignedAccuracy()
    for name in rewards.names():
        assert isinstance(rewards.get(name.replace("ALPHA", "0.5")), rewards.Reward)


MINE = """
from irrl.rewards import Linear
def half(log_probs, target, prior):
    return 0.5 * Linear()(log_probs, target, prior)
class Needy:
    def __init__(self, weight): ...
    def __call__(self, log_probs, target, prior): ...
class Holder:
    inner = Linear()
five = 5
"""


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Write a module into a fresh current directory, and forget it, and the directory, afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    written = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_own_reward_from_the_current_directory(write_module):
    write_module("mine", MINE)
    path = list(sys.path)
    np.testing.assert_allclose(rewards.get("mine:half")(np.log(PROBS), TARGET, PRIOR), [0.2, 0.05, -0.025])
    assert rewards.get("mine:Linear") == rewards.get("mine:Holder.inner") == Linear()
    assert sys.path[:-1] == path, "nothing may shadow an installed module"


def test_documented_example_as_written(write_module):
    example, use = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.S)
    module, attribute = re.findall(r"--reward (\w+):(\w+)", DOC.read_text())[0]
    assert f"`{module}.py`" in DOC.read_text()
    write_module(module, example)
    reward = rewards.get(f"{module}:{attribute}")
    np.testing.assert_allclose(reward(np.log(PROBS), TARGET, PRIOR), BY_HAND["box-cox:0.5"], rtol=1e-9)
    log_probs, target = jnp.log(jnp.asarray(PROBS)), jnp.asarray(TARGET)
    clipped = jax.jit(Clipped(reward))(log_probs, target, PRIOR)
    np.testing.assert_allclose(clipped, BY_HAND["clipped-box-cox:0.5"], rtol=1e-5)
    (name,) = re.findall(r"--reward '(.*)'", DOC.read_text())
    (written,) = re.findall(r"reward=(.*), epochs", use)
    assert rewards.get(name) == eval(written, {"Clipped": Clipped, "Tsallis": type(reward)})
    assert rewards.name_of(rewards.get(name)) == name and f"`{name}`" in DOC.read_text()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("clipped-linaer", ["unknown reward 'clipped-linaer'", *rewards.names(), "package.module:attribute"]),
        ("", ["unknown reward ''", *rewards.names()]),
        ("box-cox", ["unknown reward 'box-cox'", "box-cox:ALPHA"]),
        ("box-cox:", ["'box-cox:'", "ALPHA must be a number"]),
        ("clipped-box-cox:half", ["'clipped-box-cox:half'", "ALPHA must be a number", "clipped-box-cox:0.5"]),
        ("box-cox:nan", ["'box-cox:nan'", "ALPHA must be a number"]),
        ("box-cox:inf", ["'box-cox:inf'", "ALPHA must be a number"]),
        ("box-cox:-2", ["'box-cox:-2'", "from -1 to 1e6"]),
        ("no_such_module:x", ["'no_such_module:x'", "No module named 'no_such_module'", *rewards.names()]),
        (":x", ["':x'", *rewards.names()]),
        ("math:no_such", ["'math:no_such'", "no attribute 'no_such'"]),
        ("mine:", ["'mine:'", "no attribute"]),
        ("mine:five", ["'mine:five'", "int", "not callable"]),
        ("mine:Holder", ["'mine:Holder'", "Holder", "not callable"]),
        ("mine:Needy", ["'mine:Needy'", "missing 1 required positional argument: 'weight'"]),
        ("irrl.rewards:GeneralisedReward", ["abstract", "'irrl.rewards:GeneralisedReward'"]),
        ("broken:x", ["'broken:x'", "SyntaxError"]),
        ("raises:x", ["'raises:x'", "RuntimeError: two lines"]),
        ("leaves:x", ["'leaves:x'", "SystemExit: 3"]),
        ("worse:x", ["'worse:x'", "Worse: than an exception"]),
    ],
)
def test_a_wrong_name_is_one_clear_line(write_module, name, parts):
    write_module("mine", MINE)
    write_module("broken", "def (")
    write_module("raises", "raise RuntimeError('two\\nlines')")
    write_module("leaves", "raise SystemExit(3)")
    write_module("worse", "class Worse(BaseException): ...\nraise Worse('than an exception')")
    with pytest.raises(ValueError) as caught:
        rewards.get(name)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_ctrl_c_while_a_reward_loads_or_pays_is_ctrl_c(write_module):
    write_module("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        rewards.get("slow:x")

    def interrupted(log_probs, target, prior):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewards.pay(interrupted, np.log(PROBS), TARGET, PRIOR)


@dataclass(frozen=True)
class Tsallis(GeneralisedReward):
    order: float = 0.5

    def g(self, log_q, xp):
        return xp.expm1((1 - self.order) * log_q) / (1 - self.order)


@dataclass(frozen=True)
class Holding:
    """A reward with any fields."""

    first: Any = None
    named: Any = field(default=None, kw_only=True)
    twice: Any = field(default=None, init=False)

    def __post_init__(self):
        object.__setattr__(self, "twice", (self.first, self.first))

    def __call__(self, log_probs, target, prior):
        return 0 * log_probs[..., 0]


class Plain(GeneralisedReward):
    """No dataclass: two of them are never equal."""

    def g(self, log_q, xp):
        return log_q


def plain_function(log_probs, target, prior):
    return 0 * log_probs[..., 0]


HERE = Tsallis.__module__
relaxed = settings(deadline=None, max_examples=200)
atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
atoms |= st.text(max_size=30) | st.sampled_from(["\\d", "'", '"', "\n", "(", "#", "\ud800", "é"])
literals = st.recursive(atoms, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
own_objects = st.builds(Tsallis, st.floats(-2, 0.9)) | st.builds(Holding, literals, named=literals)
alphas = st.floats(-1, 1e6) | st.integers(-1, 1_000_000)
built_in = st.sampled_from([rewards.get(name) for name in BY_HAND]) | st.builds(BoxCox, alphas)
objects = st.recursive(
    built_in | own_objects | st.just(plain_function), lambda inner: st.builds(Clipped, inner), max_leaves=3
)


@relaxed
@given(objects)
def test_a_recorded_name_leads_back_to_an_equal_reward(reward):
    name = rewards.name_of(reward)
    assert all(map(str.isprintable, name))
    found = rewards.get(name)
    assert found == reward and hash(found) == hash(reward) and type(found) is type(reward)
    assert rewards.name_of(found) == name == rewards.label(reward)
    assert rewards.get(reward) is reward, "what is a reward comes back as it is"
    assert rewards.name_of(name) == name


@pytest.mark.parametrize(
    ("reward", "name"),
    [
        (Clipped(Linear()), "clipped-linear"),
        (BoxCox(0.5), "box-cox:0.5"),
        (BoxCox(2), "box-cox:2"),
        (Clipped(BoxCox(np.float64(0.25))), "clipped-box-cox:0.25"),
        (Clipped(Accuracy()), "clipped(accuracy)"),
        (Tsallis(np.float64(0.3)), f"{HERE}:Tsallis(order=0.3)"),
        (Clipped(Tsallis()), f"clipped({HERE}:Tsallis(order=0.5))"),
        (Holding((1,), named="a'b"), f'{HERE}:Holding(first=(1,), named="a\'b")'),
        (plain_function, f"{HERE}:plain_function"),
    ],
)
def test_recorded_names_by_hand(reward, name):
    assert rewards.name_of(reward) == name
    assert rewards.get(name) == reward


@pytest.mark.parametrize(
    ("name", "reward"),
    [
        (f"{HERE}:Tsallis", Tsallis()),
        (f"{HERE}:Tsallis()", Tsallis()),
        (f"{HERE}:Tsallis(0.3)", Tsallis(0.3)),
        (f"{HERE}:Tsallis( order = -3e-1 )", Tsallis(-0.3)),
        (f"{HERE}:Holding(1, named=(2, None))", Holding(1, named=(2, None))),
        (f"clipped({HERE}:Tsallis(0.3))", Clipped(Tsallis(0.3))),
        ("clipped(log)", Clipped(Log())),
        ("clipped(clipped(box-cox:2))", Clipped(Clipped(BoxCox(2)))),
        ("irrl.rewards:BoxCox(0.5)", BoxCox(0.5)),
    ],
)
def test_fields_are_given_as_python_writes_them(name, reward):
    assert rewards.get(name) == reward


def local_reward():
    def inside(log_probs, target, prior):
        return 0 * log_probs[..., 0]

    return inside


class Unequal(Tsallis):
    def __eq__(self, other):
        return False

    __hash__ = Tsallis.__hash__


NOT_RECORDABLE = {
    "lambda": lambda log_probs, target, prior: log_probs[..., 0],
    "closure": local_reward(),
    "partial": functools.partial(plain_function, prior=1),
    "method": Tsallis(0.3).__call__,
    "no dataclass": Plain(),
    "infinite": Tsallis(math.inf),
    "not a number": Tsallis(math.nan),
    "a reward in a field": Holding(Linear()),
    "an array": Holding(np.ones(2)),
    "a set": Holding(frozenset({1})),
    "too long": Holding("x" * 1000),
    "never equal": Unequal(0.3),
    "clipped": Clipped(Tsallis(math.inf)),
}


@pytest.mark.parametrize("kind", NOT_RECORDABLE)
def test_what_no_name_leads_back_to_is_refused_in_one_line(kind):
    reward = NOT_RECORDABLE[kind]
    with pytest.raises(UserError, match=r"the reward .* cannot be recorded in a run's folder: it must be") as refused:
        rewards.name_of(reward)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500
    assert "\n" not in rewards.label(reward)


@pytest.mark.parametrize(
    "fields",
    [
        *("1,", "", "(", "1)(2)", "1) + f(2)", "1) # )", "1)\n", "\n1)\n", "*(1, 2))", "**{'order': 1})"),
        *("order=1, order=2)", "__import__('os'))", "x := 1)", "lambda: 1)", "[i for i in (1,)])", "f'{1}')"),
        *("1 + 1)", "print(1))", "1, order)", "\0)", "'\\N{no})", "(" * 400 + ")" * 401, "-" * 900 + "1)"),
        *("1 if 1 else 2)", "{[]})"),
    ],
)  # fmt: skip
def test_what_is_no_literal_is_one_clear_line_and_nothing_is_imported(fields, capsys):
    with pytest.raises(UserError, match=r"^reward ['\"]") as refused:
        rewards.get(f"antigravity:Y({fields}")
    assert str(refused.value).endswith("must be literals, as in my_rewards:Tsallis(order=0.5)")
    assert "\n" not in str(refused.value)
    assert "antigravity" not in sys.modules
    assert capsys.readouterr() == ("", "")


@relaxed
@given(st.text(max_size=60))
def test_any_text_is_a_reward_or_one_line(text):
    for name in (text, f"clipped({text}", f"clipped({text})", f"no_such_module:Y({text}", f"no_such_module:Y({text})"):
        try:
            reward = rewards.get(name)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert rewards.get(rewards.name_of(reward)) == reward


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("os:system('touch marker')", "system is no class, so it takes no fields"),
        ("os:getcwd()", "getcwd is no class, so it takes no fields"),
        ("builtins:exit()", "exit is no class, so it takes no fields"),
        ("subprocess:Popen('touch marker', shell=True)", "is a Popen, not callable as (log_probs, target, prior)"),
        (f"{HERE}:Tsallis(0.3, 0.4)", "TypeError"),
        (f"{HERE}:Tsallis(alpha=0.3)", "unexpected keyword argument 'alpha'"),
        ("irrl.rewards:BoxCox(-2)", "Box-Cox alpha is -2"),
        ("clipped(lin)", "unknown reward 'lin'"),
        ("clipped()", "unknown reward ''"),
        ("clipped(" * 200 + "log" + ")" * 200, "has more than 1,000 characters"),
    ],
)
def test_fields_that_do_not_fit_are_one_line_and_no_function_is_called(name, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        rewards.get(name)
    assert part in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())
