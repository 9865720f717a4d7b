"""The counting task's settings. No JAX here: the command line reads it to answer `--help`."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from irrl.counting.scene_config import SceneConfig
from irrl.errors import UserError
from irrl.reward_names import AnyReward
from irrl.settings import MOST_ROWS, check_number, check_positive, check_range, check_share, preset_of


@dataclass(frozen=True, kw_only=True)
class Config(SceneConfig):
    """A robot that learns to count the cubes of a kind, and when it has seen enough."""

    policy: Literal["learned", "stay", "random", "left"] = "learned"
    """learned: it decides where to go and when to answer; the others are baselines with the same network: stay answers
    at once, random and left walk as far as they may"""
    reward: AnyReward = "clipped-linear"
    """internal reward: accuracy, log, clipped-linear, box-cox:0.5, ... or your own as module:attribute or
    module:Attribute(0.5), or clipped(...) of it; in Python also the reward itself"""
    latency: float = 0.01
    """share of the reward that a move costs"""

    jitter: float = 0.0
    """how much light, colours and camera differ from one training episode to the next, 0 to 1; never in tests"""

    block: int = 3
    """side of the squares of pixels by which the detector's window moves on"""
    window: int = 3
    """side of that window, in blocks"""
    places: int = 304
    """where the detector looks: at so many places, the most colourful ones, red against blue"""
    window_units: int = 64
    """units of each of the detector's three layers"""
    regions: int = 2
    """vertical strips of the image in which what is detected is summed up"""
    hidden_units: int = 128
    """units of the recurrent core, and of what it is told of an image"""
    policy_units: int = 64
    """hidden units of the policy, and of the baseline"""
    stop_bias: float = -3.0
    """logit of stopping at the beginning: an untrained robot should move"""

    reinforce_weight: float = 0.1
    """weight of the policy's loss beside the classification loss"""
    learning_rate: float = 1e-3
    """Adam's step size"""
    muon_rate: float = 4.0
    """step size of the weights between hidden layers, which Muon trains, over that of everything else"""
    decay_episodes: int = 196_608
    """episodes over which a cosine lowers the step size to a hundredth; 0 keeps it constant"""
    batch: int = 64
    """episodes a step"""
    part: int = 8
    """episodes whose gradient is taken at a time, so that it fits a processor's cache"""
    episodes: int = 196_608
    """episodes of training; they come in rounds, of which the last may be shorter"""
    round: int = 16_384
    """episodes whose scenes are drawn together"""
    validation_size: int = 2_000
    """scenes held out for validation"""
    seed: int = 1
    """decides everything random"""

    log_every: int = 0
    """episodes between rows of metrics, and validations; 0: a round"""
    checkpoint_every: int = 0
    """episodes between checkpoints; 0: a round"""
    keep_every: int = 0
    """episodes between checkpoints that are kept for good; 0 keeps none but the best and the last. Fewer than a batch
    are rounds, as in older runs"""

    def __post_init__(self):
        self.check_scene()
        for name in ("places", "part", "episodes"):
            check_range(name, getattr(self, name), 1)
        for name in ("block", "window", "regions"):
            check_range(name, getattr(self, name), 1, 1_000)
        for name in ("window_units", "hidden_units", "policy_units"):
            check_range(name, getattr(self, name), 1, 16_384)
        for name in ("batch", "round", "validation_size"):
            check_range(name, getattr(self, name), 1, 10_000_000)
        for name in ("decay_episodes", "log_every", "checkpoint_every", "keep_every"):
            check_range(name, getattr(self, name), 0)
        if self.episodes > MOST_ROWS * (rows_every := self.log_every or self.round):
            raise UserError(
                f"`{'log_every' if self.log_every else 'round'}={rows_every}` makes {self.episodes // rows_every:,} "
                f"rows of metrics in `episodes={self.episodes}`; there can be {MOST_ROWS:,} at most"
            )
        check_range("seed", self.seed, 0, 2**32 - 1)
        for name in ("learning_rate", "muon_rate"):
            check_positive(name, getattr(self, name))
        check_number("stop_bias", self.stop_bias)
        check_share("latency", self.latency)
        check_share("jitter", self.jitter)
        check_positive("reinforce_weight", self.reinforce_weight, or_zero=True)
        if self.grid[0] < 1 or self.grid[1] < self.regions:
            raise UserError(
                f"`width={self.width}` and `height={self.height}` have no room for `regions={self.regions}` of windows "
                f"of {self.block * self.window} pixels (`block={self.block}`, `window={self.window}`)"
            )
        if self.batch % self.part:
            raise UserError(f"`part` is {self.part}, which does not divide `batch={self.batch}`")
        for name in ("episodes", "log_every", "checkpoint_every", "keep_every"):
            episodes = getattr(self, name)
            if episodes % self.batch and not (name == "keep_every" and episodes < self.batch):
                raise UserError(f"`{name}` is {episodes}; it must be a multiple of `batch={self.batch}`")
        if self.round % (4 * self.batch):
            raise UserError(f"`round` is {self.round}; it must be a multiple of four times `batch={self.batch}`")

    @property
    def program(self) -> "Config":
        """What compiled programs depend on; all else is the same here. So seeds and budgets share them."""
        return replace(self, seed=0, episodes=self.batch, log_every=0, checkpoint_every=0, keep_every=0)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of places where the detector's window lies."""
        rows, columns = self.height // self.block, self.width // self.block
        return rows - self.window + 1, columns - self.window + 1

    @property
    def places_seen(self) -> int:
        """Places at which the detector looks."""
        rows, columns = self.grid
        return min(self.places, rows * columns)

    @property
    def window_features(self) -> int:
        """Numbers in a window."""
        return 3 * (self.block * self.window) ** 2

    @property
    def steps(self) -> int:
        """Images that a robot sees at most."""
        return 1 if self.policy == "stay" else self.moves + 1

    @property
    def classes(self) -> int:
        """Possible answers."""
        return len(self.count_weights)

    @property
    def train_steps(self) -> int:
        """Steps of the optimiser in all."""
        return self.episodes // self.batch

    @property
    def keep_steps(self) -> int:
        """Steps between checkpoints that are kept for good; 0: none are."""
        return (self.keep_every * self.round if self.keep_every < self.batch else self.keep_every) // self.batch


FREE = frozenset({"episodes", "log_every", "checkpoint_every", "keep_every"})
"""Budget and logging fields: a resumed run may change these."""

PRESETS = {
    # What is known of the paper's robot, and a config can say. Not its network: a frozen ImageNet ResNet-18, two more
    # convolutions with dropout, a goal embedding, and a memory that the policy does not train. Nor REINFORCE with Adam
    # alone: where to stop and Muon stay ours. Its angle and pitch of view are not known, nor its price of a move.
    "paper": Config(
        width=256,
        height=256,
        hidden_units=256,
        reinforce_weight=0.01,
        learning_rate=1e-4,
        decay_episodes=0,
        batch=1,
        part=1,
        episodes=2_000_000,
    ),
    "demo": Config(episodes=49_152, decay_episodes=49_152, round=8_192),
    "best": Config(),
}


def preset(name: str, **overrides: Any) -> Config:
    """The preset called `name` with some fields changed.

    Raises:
        UserError: no such preset (the valid ones are listed), or a field's value is out of range.
    """
    return preset_of(PRESETS, name, overrides)
