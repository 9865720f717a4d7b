"""Every reward against numbers worked by hand, on three array libraries, at the edges of probability."""

import importlib
import math
import re
import subprocess
import sys
from pathlib import Path

import hypothesis.extra.numpy as npst
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl import rewards
from irrl.errors import UserError
from irrl.noise import target_probability
from irrl.rewards import Accuracy, BoxCox, Clipped, GeneralisedReward, Linear, Log, SignedAccuracy

DOC = Path(__file__).parents[1] / "docs" / "rewards.md"

# Three trajectories: sure and right, unsure (a tie that the lowest index wins), and wrong.
PROBS = np.array([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.5, 0.25, 0.25]])
TARGET = np.array([0, 1, 2])
PRIOR = 0.3
PRIOR_VECTOR = np.array([0.5, 0.3, 0.2])

# Names as a user types them; q is 0.7, 0.4, 0.25.
BY_HAND = {
    "accuracy": [1, 0, 0],
    "signed-accuracy": [1, -1, -1],
    "log": [math.log(7 / 3), math.log(4 / 3), math.log(5 / 6)],
    "linear": [0.4, 0.1, -0.05],
    "clipped-log": [0.8472978604, 0.2876820724, 0],
    "clipped-linear": [0.4, 0.1, 0],
    # (sqrt q - sqrt p) / 0.5
    "box-cox:0.5": [2 * (math.sqrt(q) - math.sqrt(0.3)) for q in (0.7, 0.4, 0.25)],
    "clipped-box-cox:0.5": [2 * (math.sqrt(q) - math.sqrt(0.3)) for q in (0.7, 0.4, 0.3)],
    "box-cox:2": [0.2, 0.035, -0.01375],
    "box-cox:-1": [40 / 21, 5 / 6, -2 / 3],
}
EVERY = list(BY_HAND)


def pay(name, probs, target, prior, dtype=np.float32):
    with np.errstate(divide="ignore"):
        return rewards.get(name)(np.log(np.asarray(probs, dtype)), np.asarray(target), prior)


@pytest.mark.parametrize("name", EVERY)
def test_by_hand(name):
    reward = rewards.get(name)(np.log(PROBS), TARGET, PRIOR)
    np.testing.assert_allclose(reward, BY_HAND[name], rtol=1e-9, atol=1e-9)


def test_prior_vector_by_hand():
    log_probs = np.log(PROBS)
    np.testing.assert_allclose(Linear()(log_probs, TARGET, PRIOR_VECTOR), [0.2, 0.1, 0.05], atol=1e-12)
    expected = [math.log(1.4), math.log(4 / 3), math.log(1.25)]
    np.testing.assert_allclose(Log()(log_probs, TARGET, PRIOR_VECTOR), expected, atol=1e-12)
    np.testing.assert_array_equal(Accuracy()(log_probs, TARGET, PRIOR_VECTOR), [1, 0, 0])


def test_argmax_ties_go_to_the_lowest_index():
    log_probs = np.log(np.full((4, 4), 0.25, np.float32))
    np.testing.assert_array_equal(Accuracy()(log_probs, np.arange(4), 0.25), [1, 0, 0, 0])
    np.testing.assert_array_equal(SignedAccuracy()(jnp.asarray(log_probs), jnp.arange(4), 0.25), [1, -1, -1, -1])


def check_agreement(name, log_probs, target, prior):
    """PyTorch's part is skipped, the others having been checked, where it is not installed."""
    reward = rewards.get(name)
    ours = reward(log_probs, target, prior)
    assert ours.shape == target.shape and ours.dtype == np.float32

    jaxs = reward(jnp.asarray(log_probs), jnp.asarray(target), jnp.asarray(prior))
    assert isinstance(jaxs, jax.Array) and jaxs.shape == target.shape and jaxs.dtype == jnp.float32
    np.testing.assert_allclose(jaxs, ours, rtol=1e-5, atol=1e-6)

    torch = pytest.importorskip("torch")
    torchs = reward(torch.tensor(log_probs), torch.tensor(target), torch.tensor(prior))
    assert isinstance(torchs, torch.Tensor) and torchs.shape == target.shape and torchs.dtype == torch.float32
    np.testing.assert_allclose(torchs, ours, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("prior", [PRIOR, PRIOR_VECTOR], ids=["number", "vector"])
def test_numpy_jax_and_pytorch_agree(name, prior):
    check_agreement(name, np.log(PROBS).astype(np.float32), TARGET.astype(np.uint8), prior)


@pytest.mark.parametrize("name", ["signed-accuracy", "clipped-linear"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
def test_any_batch_shape(name, shape):
    row = np.arange(math.prod(shape)).reshape(shape) % 3
    log_probs = np.log(PROBS).astype(np.float32)
    check_agreement(name, log_probs[row], TARGET[row], PRIOR)
    np.testing.assert_allclose(
        rewards.get(name)(log_probs[row], TARGET[row], PRIOR), np.array(BY_HAND[name])[row], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtype_follows_log_probs(name, dtype):
    reward = rewards.get(name)
    log_probs = np.log(PROBS).astype(dtype)
    assert reward(log_probs, TARGET, 0.1).dtype == dtype
    assert reward(log_probs, TARGET, np.float64(0.1)).dtype == dtype
    assert reward(log_probs, TARGET, PRIOR_VECTOR).dtype == dtype


@pytest.mark.parametrize("name", ["accuracy", "clipped-linear", "box-cox:0.5"])
def test_bfloat16(name):
    reward = jax.jit(rewards.get(name))(jnp.log(jnp.asarray(PROBS, jnp.bfloat16)), jnp.asarray(TARGET), PRIOR)
    assert reward.dtype == jnp.bfloat16
    np.testing.assert_allclose(reward.astype(jnp.float32), BY_HAND[name], atol=0.01)


@pytest.mark.parametrize("name", EVERY)
def test_jit_and_vmap(name):
    reward = rewards.get(name)
    log_probs, target = jnp.log(PROBS), jnp.asarray(TARGET)
    one_by_one = jax.jit(jax.vmap(reward, in_axes=(0, 0, None)))(log_probs, target, PRIOR)
    np.testing.assert_allclose(one_by_one, BY_HAND[name], rtol=1e-5, atol=1e-6)


def test_vmap_over_priors_and_as_a_static_argument():
    log_probs, target, priors = jnp.log(jnp.asarray(PROBS)), jnp.asarray(TARGET), jnp.array([0.1, PRIOR])
    over_priors = jax.vmap(Linear(), in_axes=(None, None, 0))(log_probs, target, priors)
    np.testing.assert_allclose(over_priors, [[0.6, 0.3, 0.15], BY_HAND["linear"]], rtol=1e-5, atol=1e-6)
    static = jax.jit(lambda reward, *arrays: reward(*arrays), static_argnums=0)
    np.testing.assert_allclose(static(Linear(), log_probs, target, PRIOR), BY_HAND["linear"], rtol=1e-5, atol=1e-6)


# d g / d log q is 1 for log, q for linear, q^alpha for Box-Cox; the other classes get none, nor does a clipped reward.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", [0, 0, 0]),
        ("log", [1, 1, 1]),
        ("linear", [0.7, 0.4, 0.25]),
        ("clipped-linear", [0.7, 0.4, 0]),
        ("clipped-log", [1, 1, 0]),
        ("box-cox:2", [0.49, 0.16, 0.0625]),
    ],
)
def test_gradient_by_hand(name, expected):
    def total(log_probs):
        return rewards.get(name)(log_probs, jnp.asarray(TARGET), PRIOR).sum()

    gradient = jax.jit(jax.grad(total))(jnp.log(jnp.asarray(PROBS)))
    np.testing.assert_allclose(gradient, np.diag(expected), rtol=1e-5, atol=1e-7)


def test_pytorch_gradient_by_hand():
    torch = pytest.importorskip("torch")
    log_probs = torch.tensor([[-math.inf, 0.0], [math.log(0.5), math.log(0.5)]], requires_grad=True)
    Linear()(log_probs, torch.tensor([0, 0]), 0.5).sum().backward()
    np.testing.assert_allclose(log_probs.grad, [[0, 0], [0.5, 0]], atol=1e-7)


relaxed = settings(deadline=None, max_examples=100)
EDGES = [0.0, 1e-45, 1e-38, 1e-7, 0.1, 0.5, 1 - 6e-8, 1.0]
probabilities = st.sampled_from(EDGES) | st.floats(0, 1, width=32)
box_coxes = st.tuples(st.sampled_from(["box-cox", "clipped-box-cox"]), st.floats(-1, 1e6)).map("{0[0]}:{0[1]}".format)
any_name = st.sampled_from(EVERY) | box_coxes | st.sampled_from(["box-cox:1e-40", "box-cox:5e-324", "box-cox:-1e-19"])


@relaxed
@given(any_name, npst.arrays(np.float32, (2, 3), elements=probabilities), probabilities)
@pytest.mark.filterwarnings("error")
def test_finite_everywhere(name, probs, prior):
    reward = pay(name, probs, [0, 2], prior)
    assert np.isfinite(reward).all()
    if name.startswith("clipped"):
        assert (reward >= 0).all()


@pytest.mark.parametrize("name", EVERY)
def test_gradient_finite_everywhere(name):
    q, prior = (jnp.asarray(grid, jnp.float32).ravel() for grid in np.meshgrid(EDGES, EDGES))

    def one(log_q, prior):
        return rewards.get(name)(jnp.stack([log_q, jnp.float32(-1)]), jnp.int32(0), prior)

    assert jnp.isfinite(jax.jit(jax.vmap(jax.grad(one)))(jnp.log(q), prior)).all()

    torch = pytest.importorskip("torch")
    log_probs = torch.log(torch.tensor(np.asarray(q)))[:, None].requires_grad_()
    reward = rewards.get(name)(log_probs, torch.zeros(len(q), dtype=torch.int64), torch.tensor(0.0))
    if "accuracy" not in name:
        reward.sum().backward()
        assert torch.isfinite(log_probs.grad).all()


def test_floor_of_log_q_by_hand():
    assert pay("log", [0.0, 1.0], 0, 1.0) == np.float32(-126 * math.log(2))
    assert pay("log", [0.0, 1.0], 1, 0.0) == np.float32(126 * math.log(2))
    assert pay("linear", [0.0, 1.0], 0, 1.0) == -1
    assert pay("linear", [0.0, 1.0], 1, 1.0) == 0
    assert pay("box-cox:-1", [0.0, 1.0], 0, 1.0) == pytest.approx(-(2.0**126), rel=1e-5)


def test_nan_is_not_hidden():
    assert np.isnan(Clipped(Linear())(np.array([np.nan, -1.0]), np.array(0), 0.5))


inside = st.floats(1e-6, 1)


@relaxed
@given(inside, inside)
def test_box_cox_limits(q, p):
    log_probs, target = np.log(np.array([q, 1.0])), np.array(0)
    assert BoxCox(0)(log_probs, target, p) == Log()(log_probs, target, p)
    for alpha in (1e-12, 1e-15, -1e-15, 1e-19, 1e-21, 1e-300):
        assert BoxCox(alpha)(log_probs, target, p) == pytest.approx(Log()(log_probs, target, p), abs=1e-9)
    assert BoxCox(1)(log_probs, target, p) == pytest.approx(Linear()(log_probs, target, p), abs=1e-14)


# The naive (q^a - 1) / a is off by several per cent here in float32.
@relaxed
@given(st.floats(1e-8, 1e-3), st.floats(0.0625, 0.9375, width=32))
def test_box_cox_keeps_float32_precision_at_small_alpha(alpha, q):
    exact = math.expm1(alpha * math.log(q)) / alpha
    assert pay(f"box-cox:{alpha}", [q], 0, 1.0) == pytest.approx(exact, rel=1e-5)


@relaxed
@given(st.floats(-1, 4), inside, inside, inside)
def test_every_g_is_monotone(alpha, low, high, p):
    low, high = sorted((low, high))
    log_probs = np.log(np.array([[low], [high]]))
    for reward in (Log(), Linear(), BoxCox(alpha), Clipped(BoxCox(alpha))):
        below, above = reward(log_probs, np.array([0, 0]), p)
        assert below <= above


@relaxed
@given(st.sampled_from(["log", "linear", "box-cox:0.3", "box-cox:-0.7"]), inside)
def test_no_information_pays_nothing(name, p):
    log_probs = np.log(np.array([p]))
    assert rewards.get(name)(log_probs, np.array(0), p) == 0


def test_clipping_wraps_any_reward():
    assert Clipped(Log()) == rewards.get("clipped-log") and repr(Clipped(Log())) == "Clipped(reward=Log())"
    np.testing.assert_array_equal(Clipped(SignedAccuracy())(np.log(PROBS), TARGET, PRIOR), [1, 0, 0])


def test_shapes_that_would_broadcast_silently_are_refused():
    log_probs = np.log(PROBS)
    for reward in (Accuracy(), Linear()):
        with pytest.raises(Exception, match="target"):
            reward(log_probs, TARGET[:, None], PRIOR)
    for prior in (PRIOR_VECTOR[:2], PRIOR_VECTOR[:1], PROBS):
        with pytest.raises(Exception, match="prior"):
            Linear()(log_probs, TARGET, prior)


NO_CLASS = [3, 4, -1, -3, -100]


def as_numpy(array):
    return np.asarray(array)


def as_torch(array):
    return pytest.importorskip("torch").tensor(array)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", [as_numpy, jnp.asarray, as_torch])
@pytest.mark.parametrize("target", NO_CLASS)
def test_a_target_that_is_no_class_is_refused(name, kind, target):
    """Labels from 1, PyTorch's -100: some other class's reward must not be paid, nor the last one's for -1."""
    log_probs, targets = kind(np.log(PROBS[:2])), kind(np.array([1, target]))
    with pytest.raises(ValueError, match=f"target {target} is no class: it must be an index from 0 to 2") as refused:
        rewards.get(name)(log_probs, targets, PRIOR)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", EVERY)
def test_a_target_that_is_no_class_is_seen_under_a_gradient_too(name):
    with pytest.raises(ValueError, match="target -1 is no class"):
        jax.grad(lambda log_probs: rewards.get(name)(log_probs, jnp.array(-1), PRIOR))(jnp.log(jnp.asarray(PROBS[0])))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("target", NO_CLASS)
def test_a_target_that_is_no_class_pays_nan_where_it_cannot_be_seen(name, target):
    reward, log_probs = rewards.get(name), jnp.log(jnp.asarray(PROBS[:2], jnp.float32))
    right, wrong = jnp.array([0, 1]), jnp.array([0, target])
    for traced in (jax.jit(reward), jax.vmap(reward, in_axes=(0, 0, None))):
        paid = traced(log_probs, wrong, PRIOR)
        assert paid.dtype == jnp.float32
        assert np.isnan(paid[1]) and paid[0] == traced(log_probs, right, PRIOR)[0]
    gradient = jax.jit(jax.grad(lambda log_probs, target: reward(log_probs, target, PRIOR).sum()))(log_probs, wrong)
    assert np.isfinite(gradient[0]).all()
    if "accuracy" not in name:  # its gradient is 0, whatever it pays
        assert np.isnan(gradient[1]).any()


@pytest.mark.parametrize("name", ["accuracy", "clipped-linear", "box-cox:0.5"])
@pytest.mark.parametrize("target", [3, -1, -100])
def test_pytorchs_vmap_too_pays_nan_where_it_cannot_see_the_target(name, target):
    torch = pytest.importorskip("torch")
    reward, log_probs = rewards.get(name), torch.log(torch.tensor(PROBS[:2], dtype=torch.float16))
    paid = torch.func.vmap(reward, in_dims=(0, 0, None))(log_probs, torch.tensor([0, target]), PRIOR)
    assert paid.dtype == torch.float16
    assert torch.isnan(paid[1]) and paid[0] == reward(log_probs, torch.tensor([0, 1]), PRIOR)[0]


def in_a_process_of_its_own(code):
    """What it prints: here the tests' own type checks would refuse first, and PyTorch cannot compile them."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_pytorchs_compile_too_pays_nan_where_it_cannot_see_the_target():
    pytest.importorskip("torch")
    code = """
import torch
from irrl import rewards
log_probs = torch.log(torch.tensor([[0.7, 0.2, 0.1]] * 4))
for name in ("accuracy", "linear", "box-cox:0.5"):
    torch._dynamo.reset()
    print(torch.compile(rewards.get(name), backend="eager")(log_probs, torch.tensor([0, 3, -1, -100]), 0.3).tolist())
"""
    right = [[1.0], [0.4], [2 * (math.sqrt(0.7) - math.sqrt(0.3))]]
    for line, wanted in zip(in_a_process_of_its_own(code).splitlines(), right, strict=True):
        paid = [float(word) for word in line.strip("[]").split(",")]
        np.testing.assert_allclose(paid, wanted + 3 * [math.nan], rtol=1e-6)


def test_a_target_of_fractions_is_refused():
    code = """
import numpy as np
from irrl import rewards
for name in ("accuracy", "linear"):
    try:
        rewards.get(name)(np.log([[0.7, 0.3]]), np.array([0.5]), 0.5)
    except ValueError as error:
        print(error)
"""
    wrong = "target is float64: it must be whole numbers, the index of a class"
    assert in_a_process_of_its_own(code).splitlines() == [wrong, wrong]


def test_noise_refuses_a_target_that_is_no_class():
    log_probs = np.log(PROBS)
    for target in (3, -1):
        with pytest.raises(ValueError, match=f"target {target} is no class"):
            target_probability(log_probs, np.array([0, 1, target]))


def one_half(log_probs, target, prior):
    return jnp.full(target.shape, 0.5)


def right_or_not(log_probs, target, prior):
    return log_probs.argmax(-1) == target


def whole(log_probs, target, prior):
    return 2 * right_or_not(log_probs, target, prior)


def imaginary(log_probs, target, prior):
    return 1j * log_probs[..., 0]


def of_every_class(log_probs, target, prior):
    return log_probs


def nothing(log_probs, target, prior):
    return None


def gives_up(log_probs, target, prior):
    raise GeneratorExit("two\nlines")


@pytest.mark.parametrize("reward", [one_half, right_or_not, whole])
def test_what_is_paid_has_the_dtype_of_log_probs_and_a_cast_is_said_once(reward, capsys):
    log_probs = jnp.log(jnp.asarray(PROBS, jnp.float32))
    rewards._warn_of_cast.cache_clear()
    for _ in range(2):
        paid = rewards.pay(reward, log_probs, jnp.asarray(TARGET), PRIOR, "mine:x")
        assert paid.dtype == jnp.float32
        np.testing.assert_array_equal(paid, np.asarray(reward(log_probs, TARGET, PRIOR), np.float32))
    said = capsys.readouterr().err.splitlines()
    if reward is one_half:
        assert not said
    else:
        (line,) = said
        assert re.fullmatch(r"warning: the reward 'mine:x' gives (bool|int32); taken as float32", line)


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (imaginary, r"gives complex(64|128) of shape \(3,\) for log_probs of shape \(3, 3\)"),
        (of_every_class, r"gives float(32|64) of shape \(3, 3\) for log_probs"),
        (nothing, "gives NoneType for log_probs"),
        (gives_up, "fails: GeneratorExit: two lines"),
    ],
)
@pytest.mark.parametrize("kind", [as_numpy, jnp.asarray])
def test_what_is_no_real_number_for_each_is_one_line(reward, message, kind):
    with pytest.raises(UserError, match=f"the reward 'mine:x' {message}") as refused:
        rewards.pay(reward, kind(np.log(PROBS)), kind(TARGET), PRIOR, "mine:x")
    assert "\n" not in str(refused.value)


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
    (example,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.S)
    module, attribute = re.findall(r"--reward (\w+):(\w+)", DOC.read_text())[0]
    assert f"`{module}.py`" in DOC.read_text()
    write_module(module, example)
    reward = rewards.get(f"{module}:{attribute}")
    np.testing.assert_allclose(reward(np.log(PROBS), TARGET, PRIOR), BY_HAND["box-cox:0.5"], rtol=1e-9)
    log_probs, target = jnp.log(jnp.asarray(PROBS)), jnp.asarray(TARGET)
    clipped = jax.jit(Clipped(reward))(log_probs, target, PRIOR)
    np.testing.assert_allclose(clipped, BY_HAND["clipped-box-cox:0.5"], rtol=1e-5)


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


@pytest.mark.parametrize("alpha", [math.nan, math.inf, -math.inf, -1.01, 1e7])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match="Box-Cox alpha"):
        BoxCox(alpha)


def test_g_is_abstract():
    with pytest.raises(TypeError):
        GeneralisedReward()  # pyright: ignore[reportAbstractUsage]
