"""The digits task's settings. No JAX here: the command line reads it to answer `--help`.

A `Config` is flat, as its flags are, and has three parts: functions say in their signature which of them they read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from irrl.digits.older import upgraded
from irrl.errors import UserError
from irrl.reward_names import AnyReward
from irrl.settings import MOST_ROWS, check_positive, check_range, check_types, part, preset_of

MOST_PIXELS = {"train_size": 1_000_000_000, "test_size": 200_000_000}
"""In a set of canvases; each takes two bytes."""

PUBLISHED = {"canvas": 60, "distractors": 4, "distractor_size": 8, "train_size": 60_000, "test_size": 10_000}
"""What the published canvases have."""


@dataclass(frozen=True, kw_only=True)
class CanvasConfig:
    """What is shown."""

    data: Literal["published", "published-fresh", "fresh"] = "fresh"
    """published: the paper's canvases, bit for bit; published-fresh: new ones like them every epoch, tested on the
    published; fresh: new ones every epoch, digits everywhere alike"""
    mnist: str = ""
    """folder of idx files like MNIST's, plain or gzipped; the packaged MNIST if empty. Canvases of your own digits have
    distractors too, cut out of these (docs/digits.md)"""
    train_size: int = 60_000
    """canvases for training and validation together, a tenth for validation; fresh ones are drawn anew every epoch"""
    test_size: int = 10_000
    """canvases drawn for testing"""
    spread_epochs: int = 0
    """fresh data: epochs until the digits lie where they should; in the first all lie in the canvas's middle"""
    canvas: int = 60
    """side of a canvas, pixels"""
    distractors: int = 4
    """pieces of other digits on a canvas; 0 is Translated MNIST"""
    distractor_size: int = 8
    """side of a distractor, pixels"""

    def _check(self) -> None:
        check_range("distractor_size", self.distractor_size, 1)
        check_range("canvas", self.canvas, 1, 2_000)
        check_range("distractors", self.distractors, 0, 1_000)
        check_range("spread_epochs", self.spread_epochs, 0)
        for name, most in MOST_PIXELS.items():
            check_range(name, getattr(self, name), 1, 10_000_000)
            if getattr(self, name) * self.canvas**2 > most:
                raise UserError(
                    f"`{name}={getattr(self, name)}` of `canvas={self.canvas}` is more than {most:,} pixels"
                )
        if not self.held_out:
            raise UserError(
                f"`train_size` is {self.train_size}, of which a tenth is to validate on; it must be at least 6"
            )
        if self.spread_epochs and not self.is_fresh:
            raise UserError(f"`spread_epochs` needs new canvases every epoch: `data=fresh`, not {self.data}")
        for name, value in PUBLISHED.items():
            if self.is_published and getattr(self, name) != value:
                raise UserError(
                    f"`{name}` is {getattr(self, name)}, but the published canvases have {value}; use `data=fresh`"
                )

    @property
    def is_fresh(self) -> bool:
        """Whether every epoch has canvases of its own."""
        return self.data != "published"

    @property
    def is_published(self) -> bool:
        """Whether it is tested on the paper's canvases."""
        return self.data != "fresh"

    @property
    def held_out(self) -> int:
        """Canvases for validation: a tenth."""
        return round(0.1 * self.train_size)


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """The agent, and what pays it."""

    agent: Literal["ram", "ram8", "fast"] = "ram"
    """network and losses. ram: the paper's (`irrl.digits.ram`); ram8 and fast: ours, for large and for small glimpses
    (`irrl.digits.fast`)"""
    model: Literal["ram", "dt-ram", "random"] = "ram"
    """ram: it answers after all its glimpses; dt-ram: it decides when to answer; random: it looks at random places"""
    reward: AnyReward = "clipped-linear"
    """internal reward: accuracy, log, clipped-linear, box-cox:0.5, ... or your own as module:attribute or
    module:Attribute(0.5), or clipped(...) of it; in Python also the reward itself"""
    reward_gradient: Literal["stop", "leak"] = "stop"
    """stop: the reward is a constant, as in the theory; leak: the authors' code, which differentiates through it"""
    reinforce_weight: float = 0.01
    """weight of the policy-gradient loss beside the classification loss"""
    stop: Literal["threshold", "bernoulli"] = "bernoulli"
    """dt-ram. bernoulli: whether it answers is drawn; threshold: it does once the stop probability exceeds 1/2 (the
    authors)"""
    latency: Literal["discount", "none", "always", "right", "weighted"] = "discount"
    """dt-ram's price of a glimpse. discount: reward * 0.99^glimpses; the others subtract a tenth of the time used:
    always, when right, or weighted by the reward (accuracy rewards: by the batch's accuracy)"""
    patch: int = 4
    """side of a glimpse, pixels"""
    scales: int = 1
    """patches in a glimpse, round the same centre, each twice as wide as the one before, all pooled to the same
    resolution"""
    glimpses: int = 18
    """glimpses before the answer"""
    location_std: float = 0.05
    """standard deviation of the Gaussian policy, in units of half a canvas"""
    sensor_units: int = 128
    """hidden units of the glimpse network, for each of its two inputs"""
    hidden_units: int = 256
    """units of the recurrent core, and of a glimpse's encoding"""
    locator_units: int = 128
    """hidden units of the policy"""

    def _check(self) -> None:
        check_range("patch", self.patch, 1, 2_000)
        check_range("scales", self.scales, 1, 10)
        check_range("glimpses", self.glimpses, 1, 1_000)
        for name in ("sensor_units", "hidden_units", "locator_units"):
            check_range(name, getattr(self, name), 1, 16_384)
        check_positive("location_std", self.location_std)
        check_positive("reinforce_weight", self.reinforce_weight, or_zero=True)
        if self.latency != "discount" and not self.decides:
            raise UserError(f"`latency={self.latency}` does nothing without `model=dt-ram`; otherwise it is discount")
        if self.decides and self.agent != "ram":
            raise UserError(f"`model=dt-ram` goes with `agent=ram`: {self.agent} is paid for every answer")

    @property
    def decides(self) -> bool:
        """Whether it decides when to answer."""
        return self.model == "dt-ram"

    @property
    def most_glimpses(self) -> int:
        """Glimpses before the answer at the latest: an agent that never decides to stop takes one more."""
        return self.glimpses + self.decides

    @property
    def largest_patch(self) -> int:
        """Side of the coarsest scale's patch, pixels."""
        return self.patch * 2 ** (self.scales - 1)

    @property
    def glimpse_features(self) -> int:
        """Numbers in one glimpse."""
        return self.scales * self.patch**2


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How it learns."""

    oracle: str = ""
    """checkpoint or run of an agent whose frozen discriminator pays the reward; this agent's own if empty"""
    learning_rate: float = 3e-4
    """Adam's step size"""
    decay_epochs: int = 0
    """epochs over which a cosine lowers the step size to a hundredth; 0 keeps it constant"""
    batch: int = 256
    """canvases a step"""
    part: int = 0
    """canvases whose gradient is taken at a time, the batch's parts one after the other; 0: all at once. On processors
    (accelerators take all at once) small networks learn faster in parts that fit a core's cache; but for rounding, they
    learn the same"""
    epochs: int = 100
    """passes over the training canvases"""
    seed: int = 1
    """decides everything random"""
    log_every: int = 1
    """epochs between rows of metrics"""
    evaluate_every: int = 1
    """epochs between validations, which come with rows"""
    checkpoint_every: int = 1
    """epochs between checkpoints"""
    keep_every: int = 0
    """epochs between checkpoints that are kept for good; 0 keeps none but the best and the last"""

    def _check(self) -> None:
        check_range("batch", self.batch, 1, 10_000_000)
        check_range("epochs", self.epochs, 1, MOST_ROWS)
        for name in ("log_every", "evaluate_every", "checkpoint_every"):
            check_range(name, getattr(self, name), 1)
        for name in ("part", "decay_epochs", "keep_every"):
            check_range(name, getattr(self, name), 0)
        check_range("seed", self.seed, 0, 2**32 - 1)
        check_positive("learning_rate", self.learning_rate)
        if self.part and self.batch % self.part:
            raise UserError(f"`part` is {self.part}, which does not divide `batch={self.batch}`")

    @property
    def program(self) -> "TrainingConfig":
        """What compiled programs depend on; all else has its default here. So seeds and budgets share them."""
        return replace(part(TrainingConfig, self), **dict.fromkeys(FREE_ROWS, 1), keep_every=0, seed=0, oracle="")


FREE_ROWS = ("epochs", "log_every", "evaluate_every", "checkpoint_every")

FREE = frozenset({*FREE_ROWS, "keep_every"})
"""Budget and logging fields: a resumed run may change these."""


@dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig, AgentConfig, CanvasConfig):
    """A hard-attention agent on Cluttered MNIST: the paper's network and optimiser, on canvases drawn from the seed.

    The paper's own data and undetached reward are `PRESETS["paper"]`. The default of a new setting is what agents did
    before there was such a setting: so a run that is older than it can be read, and gone on with.
    """

    def __post_init__(self):
        check_types(self)
        for each in (CanvasConfig, AgentConfig, TrainingConfig):
            each._check(self)
        if self.largest_patch > self.canvas:
            raise UserError(
                f"the largest patch ({self.largest_patch} pixels: `patch={self.patch}`, `scales={self.scales}`) is "
                f"larger than the canvas (`canvas={self.canvas}`)"
            )
        if self.part and self.latency == "weighted":
            raise UserError("`part` does not go with `latency=weighted`: its price is the whole batch's accuracy")

    upgraded = staticmethod(upgraded)
    """a recorded config -> the same in today's terms (`irrl.settings.upgraded`)"""

    def glimpse_difference(self, other: "Config") -> str | None:
        """The first setting by which two agents see different things at the same location."""
        names = ("canvas", "patch", "scales")
        return next((name for name in names if getattr(self, name) != getattr(other, name)), None)


def idle(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings that do nothing beside the others, and without what: runs that differ in them only are alike."""
    return {} if settings["model"] == "dt-ram" else {"stop": "`model=dt-ram`"}


OURS: dict[str, Any] = {"data": "published-fresh", "reinforce_weight": 0.05, "learning_rate": 1e-3}
OURS |= {"hidden_units": 128, "locator_units": 64}

PRESETS = {
    "paper": Config(data="published", reward_gradient="leak"),
    "demo": Config(
        patch=12,
        scales=3,
        glimpses=8,
        location_std=0.1,
        learning_rate=1e-3,
        epochs=34,
        decay_epochs=34,
    ),
    "best": Config(
        **OURS,
        agent="fast",
        spread_epochs=320,
        sensor_units=64,
        part=16,
        epochs=480,
        decay_epochs=480,
    ),
    "ram8": Config(
        **OURS,
        agent="ram8",
        patch=12,
        scales=3,
        glimpses=8,
        location_std=0.1,
        sensor_units=256,
        batch=512,
        part=32,
        epochs=330,
        decay_epochs=330,
    ),
}


def preset(name: str, **overrides: Any) -> Config:
    """The preset called `name` with some fields changed.

    Raises:
        UserError: no such preset (the valid ones are listed), or a field's value is out of range.
    """
    return preset_of(PRESETS, name, overrides)
