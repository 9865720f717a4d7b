"""Every setting of the digits task, and the presets. No JAX here: the command line reads it to answer `--help`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from irrl.errors import UserError
from irrl.reward_names import AnyReward
from irrl.settings import MOST_ROWS, check_positive, check_range, check_share, check_types, flag, preset_of

MOST_PIXELS = {"train_size": 1_000_000_000, "test_size": 200_000_000}
"""In a set of canvases; each takes two bytes."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A hard-attention agent on Cluttered MNIST: the paper's network and optimiser, on canvases drawn from the seed.

    The paper's own data and undetached reward are `PRESETS["paper"]`. The default of a new setting is what agents did
    before there was such a setting: so a run that is older than it can be read, and gone on with.
    """

    model: Literal["ram", "dt-ram", "random"] = "ram"
    """ram: the recurrent attention model; dt-ram: it decides when to answer; random: it looks at random places"""
    reward: AnyReward = "clipped-linear"
    """internal reward: accuracy, log, clipped-linear, box-cox:0.5, ... or your own as module:attribute or
    module:Attribute(0.5), or clipped(...) of it; in Python also the reward itself"""
    reward_gradient: Literal["stop", "leak"] = "stop"
    """stop: the reward is a constant, as in the theory; leak: the authors' code, which differentiates through it"""

    credit: Literal["last", "every"] = "last"
    """last: the answer after the last glimpse is trained and rewarded; every: the answer after each glimpse is"""
    discount: float = 1.0
    """with credit every: weight of a reward one glimpse later"""
    horizon: Literal["finite", "infinite"] = "finite"
    """with credit every. finite: each answer is paid once; infinite: the last one as if it stood for ever"""
    baseline: Literal["state", "label"] = "state"
    """what the baseline knows. state: the hidden state; label: also the label, and what the agent makes of it so far"""
    oracle: str = ""
    """checkpoint or run of an agent whose frozen discriminator pays the reward; this agent's own if empty"""

    stop: Literal["threshold", "bernoulli"] = "bernoulli"
    """dt-ram. bernoulli: whether it answers is drawn; threshold: it does once the stop probability exceeds 1/2 (the
    authors)"""
    latency: Literal["discount", "none", "always", "right", "weighted"] = "discount"
    """dt-ram's price of a glimpse. discount: reward * 0.99^glimpses; the others subtract a tenth of the time used:
    always, when right, or weighted by the reward (accuracy rewards: by the batch's accuracy)"""

    data: Literal["published", "published-fresh", "fixed", "fresh"] = "fixed"
    """published: the paper's canvases, bit for bit; published-fresh: new ones like them every epoch, tested on the
    published; fixed: one set drawn from the seed; fresh: new ones every epoch"""
    mnist: str = ""
    """folder of idx files like MNIST's, plain or gzipped; the packaged MNIST if empty. Canvases of your own digits have
    distractors too, cut out of these (docs/digits.md)"""
    train_size: int = 60_000
    """canvases for training and validation together; fresh ones are drawn anew every epoch, from all digits"""
    test_size: int = 10_000
    """canvases drawn for testing"""
    validation_fraction: float = 0.1
    """share of the training canvases held out for validation"""
    spread_epochs: int = 0
    """fresh data: epochs until the digits lie where they should; in the first all lie in the canvas's middle"""
    canvas: int = 60
    """side of a canvas, pixels"""
    distractors: int = 4
    """pieces of other digits on a canvas; 0 is Translated MNIST"""
    distractor_size: int = 8
    """side of a distractor, pixels"""

    patch: int = 4
    """side of a glimpse, pixels"""
    scales: int = 1
    """patches in a glimpse, round the same centre, all pooled to the same resolution"""
    scale_factor: int = 2
    """each scale's side over the one before"""
    glimpses: int = 18
    """glimpses before the answer"""
    sensor_location: Literal["place", "ink"] = "place"
    """what the sensor is told of where it looks. place: the location; ink: also how far from where ink lately was"""
    sensor_units: int = 128
    """hidden units of the glimpse network, for each of its two inputs"""
    encoding: Literal["sum", "film"] = "sum"
    """how what is seen and where it is join. sum: they are added; film: where also scales what (FiLM)"""
    hidden_units: int = 256
    """units of the recurrent core, and of a glimpse's encoding"""
    locator_units: int = 128
    """hidden units of the policy"""
    locator_core_units: int = 0
    """units of a recurrent layer of the policy's own, which reads the core's hidden state (DRAM); 0: none"""
    core: Literal["relu", "light-gru"] = "relu"
    """the recurrent core. relu: each state from the last alone; light-gru: units choose how far to keep the last"""
    core_start: Literal["uniform", "identity"] = "uniform"
    """first recurrent weights. uniform: like every layer's; identity: each unit begins by keeping its value"""
    location_std: float = 0.05
    """standard deviation of the Gaussian policy, in units of half a canvas"""
    locations: Literal["absolute", "relative"] = "absolute"
    """what the policy's mean is. absolute: a place on the canvas; relative: a step from the place before"""
    location_bias: Literal["shared", "sweep"] = "shared"
    """bias of the policy's mean. shared: one for all glimpses; sweep: one for each, to begin with along a sweep"""

    policy_reads: Literal["state", "place"] = "state"
    """what the policy reads. state: the hidden state; place: also what the sensor is told of where it looks, and which
    glimpse it is"""
    policy_trains: Literal["itself", "core"] = "itself"
    """how far the policy's gradient goes. itself: hidden states are given to it; core: on, through core and sensor"""
    reinforce_weight: float = 0.01
    """weight of the policy-gradient loss beside the classification loss"""
    learning_rate: float = 3e-4
    """Adam's step size"""
    optimizer: Literal["adam", "muon"] = "adam"
    """muon: the hidden layers' weights take steps of Muon, of equal size in all directions; all else Adam's"""
    muon_rate: float = 6.0
    """step size of Muon's weights over that of everything else, in terms of how far a weight moves"""
    policy_rate: float = 1.0
    """the policy's step size over that of everything else"""
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

    evaluate_every: int = 1
    """epochs between validations"""
    checkpoint_every: int = 1
    """epochs between checkpoints"""
    keep_every: int = 0
    """epochs between checkpoints that are kept for good; 0 keeps none but the best and the last"""

    def __post_init__(self):
        check_types(self)
        for name in ("distractor_size", "evaluate_every", "checkpoint_every"):
            check_range(name, getattr(self, name), 1)
        for name in ("train_size", "test_size", "batch"):
            check_range(name, getattr(self, name), 1, 10_000_000)
        for name in ("canvas", "patch"):
            check_range(name, getattr(self, name), 1, 2_000)
        for name in ("sensor_units", "hidden_units", "locator_units"):
            check_range(name, getattr(self, name), 1, 16_384)
        check_range("locator_core_units", self.locator_core_units, 0, 16_384)
        check_range("glimpses", self.glimpses, 1, 1_000)
        check_range("scales", self.scales, 1, 10)
        check_range("scale_factor", self.scale_factor, 1, 100)
        check_range("distractors", self.distractors, 0, 1_000)
        check_range("epochs", self.epochs, 1, MOST_ROWS)
        for name in ("part", "spread_epochs", "decay_epochs", "keep_every"):
            check_range(name, getattr(self, name), 0)
        check_range("seed", self.seed, 0, 2**32 - 1)
        for name, most in MOST_PIXELS.items():
            if getattr(self, name) * self.canvas**2 > most:
                raise UserError(
                    f"{flag(name)} {getattr(self, name)} of --canvas {self.canvas} is more than {most:,} pixels"
                )
        for name in ("location_std", "learning_rate", "muon_rate", "policy_rate"):
            check_positive(name, getattr(self, name))
        check_positive("reinforce_weight", self.reinforce_weight, or_zero=True)
        check_share("discount", self.discount)
        if not 0 < self.validation_fraction < 1:
            raise UserError(f"--validation-fraction is {self.validation_fraction}; it must lie between 0 and 1")
        if self.largest_patch > self.canvas:
            raise UserError(
                f"the largest patch ({self.largest_patch} pixels: --patch {self.patch}, --scales {self.scales}, "
                f"--scale-factor {self.scale_factor}) is larger than the canvas (--canvas {self.canvas})"
            )
        if self.spread_epochs and self.data not in ("fresh", "published-fresh"):
            raise UserError(f"--spread-epochs needs new canvases every epoch: --data fresh, not {self.data}")
        for name, needed, value in (
            ("latency", "model", "dt-ram"),
            ("discount", "credit", "every"),
            ("horizon", "credit", "every"),
            ("muon_rate", "optimizer", "muon"),
        ):
            if getattr(self, name) != getattr(type(self), name) and getattr(self, needed) != value:
                asked, default = getattr(self, name), getattr(type(self), name)
                raise UserError(
                    f"{flag(name)} {asked} does nothing without {flag(needed)} {value}; otherwise it is {default}"
                )
        if self.horizon == "infinite" and self.discount == 1:
            raise UserError("--horizon infinite adds up for ever with --discount 1; it takes a smaller one")
        if self.model == "dt-ram" and self.credit == "every":
            raise UserError("--credit every does not go with --model dt-ram: its answer counts when it stops")
        if self.part and self.batch % self.part:
            raise UserError(f"--part is {self.part}, which does not divide --batch {self.batch}")
        if self.part and self.latency == "weighted":
            raise UserError("--part does not go with --latency weighted: its price is the whole batch's accuracy")
        published = {"canvas": 60, "distractors": 4, "distractor_size": 8, "train_size": 60_000, "test_size": 10_000}
        for name, value in published.items():
            if self.data.startswith("published") and getattr(self, name) != value:
                raise UserError(
                    f"{flag(name)} is {getattr(self, name)}, but the published canvases have {value}; "
                    "use --data fixed or --data fresh"
                )

    @property
    def program(self) -> "Config":
        """What compiled programs depend on; all else has its default here. So seeds and budgets share them."""
        return replace(self, **{name: getattr(Config, name) for name in FREE | {"seed", "mnist", "oracle"}})

    @property
    def most_glimpses(self) -> int:
        """Glimpses before the answer at the latest: an agent that never decides to stop takes one more."""
        return self.glimpses + (self.model == "dt-ram")

    @property
    def largest_patch(self) -> int:
        """Side of the coarsest scale's patch, pixels."""
        return self.patch * self.scale_factor ** (self.scales - 1)

    def glimpse_difference(self, other: "Config") -> str | None:
        """The first setting by which two agents see different things at the same location."""
        names = ("canvas", "patch", "scales", "scale_factor")
        return next((name for name in names if getattr(self, name) != getattr(other, name)), None)

    @property
    def glimpse_features(self) -> int:
        """Numbers in one glimpse."""
        return self.scales * self.patch**2

    @property
    def place_features(self) -> int:
        """Numbers by which the sensor is told where it looks."""
        return 4 if self.sensor_location == "ink" else 2

    @property
    def policy_features(self) -> int:
        """Numbers that the policy reads."""
        state = self.locator_core_units or self.hidden_units
        return state + (self.place_features + self.most_glimpses if self.policy_reads == "place" else 0)


def idle(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings that do nothing beside the others, and without what: runs that differ in them only are alike."""
    return {} if settings["model"] == "dt-ram" else {"stop": "--model dt-ram"}


FREE = frozenset({"epochs", "evaluate_every", "checkpoint_every", "keep_every"})
"""Budget and logging fields: a resumed run may change these."""

PRESETS = {
    "paper": Config(data="published", reward_gradient="leak"),
    "demo": Config(
        patch=12,
        scales=3,
        glimpses=8,
        data="fresh",
        location_std=0.1,
        learning_rate=1e-3,
        epochs=34,
        decay_epochs=34,
    ),
    "fast": Config(
        data="published-fresh",
        spread_epochs=320,
        credit="every",
        discount=0.8,
        horizon="infinite",
        baseline="label",
        sensor_location="ink",
        encoding="film",
        sensor_units=64,
        hidden_units=128,
        locator_units=64,
        core="light-gru",
        core_start="identity",
        locations="relative",
        location_bias="sweep",
        optimizer="muon",
        learning_rate=1e-3,
        policy_reads="place",
        policy_rate=0.3,
        policy_trains="core",
        reinforce_weight=0.05,
        part=16,
        epochs=480,
        decay_epochs=480,
    ),
    "ram8": Config(
        patch=12,
        scales=3,
        glimpses=8,
        data="published-fresh",
        credit="every",
        discount=0.8,
        baseline="label",
        encoding="film",
        sensor_units=256,
        hidden_units=128,
        locator_units=64,
        core_start="identity",
        location_std=0.1,
        locations="relative",
        policy_trains="core",
        reinforce_weight=0.05,
        learning_rate=1e-3,
        optimizer="muon",
        policy_rate=0.3,
        batch=512,
        part=32,
        epochs=330,
        decay_epochs=330,
    ),
}


def preset(name: str, **overrides) -> Config:
    """The preset called `name` with some fields changed.

    Raises:
        UserError: no such preset (the valid ones are listed), or a field's value is out of range.
    """
    return preset_of(PRESETS, name, overrides)
