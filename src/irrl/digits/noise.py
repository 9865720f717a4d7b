"""How noisy a discriminator is in the course of training, with its rewards, beside a converged one."""

import json
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt16
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from irrl import rewards
from irrl.checkpoint import Checkpoint
from irrl.devices import in_32_bits
from irrl.digits.config import AgentConfig, Config
from irrl.digits.data import CLASSES, Canvases
from irrl.digits.evaluate import BATCH, Agent, load_agent, restored_agent
from irrl.digits.networks import Params, judge_canvases
from irrl.digits.source import Split, canvases_for
from irrl.errors import UserError
from irrl.figures import check_picture, colors_of, drawable, write_figure, write_picture
from irrl.files import check_folder, replace_file
from irrl.loading import read_agent
from irrl.noise import Moments, RewardNoise, compare, target_probability
from irrl.rewards import Clipped, Reward, SignedAccuracy
from irrl.run_folder import kept_checkpoints
from irrl.settings import part

REWARDS = (
    *("log", "box-cox:0.5", "linear", "clipped-log", "clipped-box-cox:0.5", "clipped-linear"),
    *("accuracy", "signed-accuracy"),
)
"""The rewards measured in any case."""

RUN_COLORS = ("#0a64d8", "#c93400", "#248a3d", "#af52de", "#008299", "#a2845e")

FEWEST_CASES = 10
"""In a bin that is drawn."""
MOST_COLUMNS = 4
"""Checkpoints in the figure of rewards."""


class Stage(NamedTuple):
    """A checkpoint and its discriminator's noise."""

    path: Path
    epoch: int
    labels: Int[np.ndarray, " cases"]
    q: Float[np.ndarray, " cases"]
    """the checkpoint's posterior of the true class"""
    p: Float[np.ndarray, " cases"]
    """the oracle's, of the same glimpses"""
    rewards: dict[str, Reward]
    """those measured, by name"""
    noise: dict[str, tuple[RewardNoise, list[RewardNoise]]]
    """by name of reward: over all cases, and by the oracle's posterior"""

    @property
    def delta(self) -> Float[np.ndarray, " cases"]:
        """The discriminator noise."""
        return self.q - self.p


def noise(
    models: Sequence[Path],
    oracle: Path,
    out: Path,
    *,
    split: Split = "test",
    cases: int | None = None,
    seed: int = 0,
    more_rewards: Sequence[str | Reward] = (),
    mnist: Path | None = None,
) -> list[Path]:
    """Measure the noise of discriminators and rewards against an oracle, and draw it.

    Args:
        models: runs' folders (every checkpoint kept there as `epoch-N`, else the best one) or checkpoint files.
        oracle: a converged run's folder or checkpoint; its whole network looks where each model looked.
        out: folder for delta.npz, noise.json, violins.png and rewards.png.
        split: which canvases.
        cases: use only the first of them.
        seed: draws the first glimpses.
        more_rewards: rewards, or names of some, to measure beside `REWARDS`.
        mnist: folder of other digits than the models' own.

    Returns:
        The files.

    Raises:
        UserError: a checkpoint is missing or damaged, the oracle's glimpses differ from a model's, there is no such
            reward, or models have different numbers of canvases.
    """
    check_folder(out)
    names = list(dict.fromkeys([*REWARDS, *more_rewards]))
    stages = stages_of(models, oracle, split=split, cases=cases, seed=seed, names=names, mnist=mnist)
    settings = {"oracle": str(oracle), "split": split, "cases": len(stages[0].labels), "seed": seed}
    report = settings | {"prior": 1 / CLASSES, "checkpoints": [summary(each) for each in stages]}
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / "delta.npz", _npz(stages))
    replace_file(out / "noise.json", (json.dumps(report, indent=1) + "\n").encode())
    for name, figure in (("violins.png", violins(stages)), ("rewards.png", fragility(stages))):
        write_picture(figure, out / name, dpi=150)
    return [out / name for name in ("delta.npz", "noise.json", "violins.png", "rewards.png")]


def draw_violins(models: Sequence[Path], oracle: Path, out: Path, *, cases: int | None = None, seed: int = 0) -> None:
    """Draw how far each checkpoint's discriminator is from the oracle, into the picture `out`; see `noise`."""
    check_picture(out)
    write_figure(violins(stages_of(models, oracle, split="test", cases=cases, seed=seed, names=())), out)


def stages_of(
    models: Sequence[Path],
    oracle: Path,
    *,
    split: Split,
    cases: int | None,
    seed: int,
    names: Sequence[str | Reward],
    mnist: Path | None = None,
) -> list[Stage]:
    """The noise of the rewards `names` at every checkpoint of the models, by epoch; all else is as for `noise`."""
    judge = load_agent(oracle)
    found = ((path, *read_agent(path, _at_epoch)) for model in models for path in checkpoints(model))
    agents = sorted(((epoch, path, agent) for path, epoch, agent in found), key=lambda each: each[0])
    for _, path, agent in agents:
        _check_same_glimpses(path, agent.config, oracle, judge.config)
    canvases = _canvases([agent for *_, agent in agents], split, cases, mnist)
    for name in names:
        _check_reward(name, len(canvases[0].labels))
    return [
        stage(path, epoch, agent, judge, shown, names, seed=seed)
        for (epoch, path, agent), shown in zip(agents, canvases, strict=True)
    ]


def _check_reward(name: str | Reward, cases: int) -> None:
    """Try a reward as it will be called, before networks are asked."""
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(CLASSES), cases)).astype(np.float32)
    reward, shown = rewards.get(name), rewards.label(name)
    compare(reward, log_probs, log_probs, log_probs.argmax(-1), 1 / CLASSES, shown)


def checkpoints(model: Path) -> list[Path]:
    """The checkpoints that `model` stands for: those a run kept for good, else its best or its last; or itself."""
    return list(kept_checkpoints(model, "epoch").values()) or [model]


def stage(
    path: Path,
    epoch: int,
    agent: Agent,
    oracle: Agent,
    canvases: Canvases,
    names: Sequence[str | Reward],
    *,
    seed: int,
) -> Stage:
    """Let the agent look and answer, and the oracle answer over the same glimpses; measure the rewards `names`."""
    log_probs, locations, taken = agent.predict(canvases.images, seed=seed)
    true_log_probs = answers(oracle, canvases.images, locations, taken)
    labels = canvases.labels.astype(np.int32)
    measured = {rewards.label(name): rewards.get(name) for name in names}
    found = {
        name: compare(reward, log_probs, true_log_probs, labels, 1 / CLASSES, name) for name, reward in measured.items()
    }
    q, p = (target_probability(each, labels) for each in (log_probs, true_log_probs))
    return Stage(path, epoch, labels, q, p, measured, found)


@in_32_bits
def answers(
    agent: Agent,
    canvases: UInt16[np.ndarray, "images canvas canvas"],
    locations: Float[np.ndarray, "images glimpses 2"],
    taken: Int[np.ndarray, " images"],
) -> Float[np.ndarray, "images classes"]:
    """The agent's log q(. | tau) over the first `taken` glimpses at given locations, whoever chose them."""
    config = part(AgentConfig, agent.config)
    parts = [slice(start, start + BATCH) for start in range(0, len(canvases), BATCH)]
    return np.concatenate(
        [np.asarray(_answers(agent.params, canvases[at], locations[at], taken[at], config)) for at in parts]
    )


@partial(jax.jit, static_argnames="config")
def _answers(
    params: Params,
    canvases: UInt16[Array, "batch canvas canvas"],
    locations: Float[Array, "batch glimpses 2"],
    taken: Int[Array, " batch"],
    config: AgentConfig,
) -> Float[Array, "batch classes"]:
    log_probs = judge_canvases(params, canvases, locations.swapaxes(0, 1), config)
    return log_probs[taken - 1, jnp.arange(len(taken))]


def summary(stage: Stage) -> dict[str, Any]:
    """What noise.json says of a checkpoint."""

    def numbers(noise: RewardNoise) -> dict[str, Any]:
        return noise._asdict() | {
            "measured": noise.measured._asdict(),
            "taylor": noise.taylor and noise.taylor._asdict(),
        }

    return {
        "checkpoint": str(stage.path),
        "epoch": stage.epoch,
        "delta": {"mean": float(stage.delta.mean()), "variance": float(stage.delta.var())},
        "q_above_2p": float((stage.q > 2 * stage.p).mean()),
        "rewards": {
            name: numbers(total) | {"bins": [numbers(part) for part in bins]}
            for name, (total, bins) in stage.noise.items()
        },
    }


def violins(stages: Sequence[Stage]) -> Figure:
    """The distribution of the discriminator noise, epoch by epoch; a colour for each run."""
    runs = list(dict.fromkeys(stage.path.parent for stage in stages))
    colors = [RUN_COLORS[runs.index(stage.path.parent) % len(RUN_COLORS)] for stage in stages]
    figure = Figure(figsize=(min(16, 3 + 0.9 * len(stages)), 4))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axes.axhline(0, color="black", linewidth=0.8, linestyle=":")
    drawn = axes.violinplot([stage.delta for stage in stages], widths=0.85, showextrema=False, points=200)
    for at, (stage, color, body) in enumerate(zip(stages, colors, drawn["bodies"], strict=True), 1):  # pyright: ignore
        body.set(facecolor=color, alpha=0.35, edgecolor=color)
        low, middle, high = np.quantile(stage.delta, (0.25, 0.5, 0.75))
        axes.vlines(at, low, high, color=color, linewidth=5)
        axes.plot(at, middle, "o", color="white", markeredgecolor=color, markersize=5)
    every = -(-len(stages) // 20)
    labels = [str(stage.epoch) if at % every == 0 else "" for at, stage in enumerate(stages)]
    axes.set_xticks(range(1, len(stages) + 1), labels)
    axes.set(xlabel="epoch", ylabel=r"discriminator noise $\delta = q(y|\tau) - p(y|\tau)$", ylim=(-1.05, 1.05))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    if len(runs) > 1:
        patches = [
            Patch(color=color, alpha=0.6, label=drawable(run.name))
            for run, color in zip(runs, cycle(RUN_COLORS), strict=False)
        ]
        axes.legend(handles=patches, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def fragility(stages: Sequence[Stage]) -> Figure:
    """Bias and standard deviation of each reward's noise against the oracle's posterior: measured, and by Taylor.

    Bins of few cases are left out; of many checkpoints some are drawn, the first and the last among them.
    """
    count = min(len(stages), MOST_COLUMNS)
    chosen = [stages[at] for at in np.linspace(0, len(stages) - 1, count).round().astype(int)]
    # The signed accuracy's noise is twice the accuracy's.
    drawn = [name for name in stages[0].noise if not isinstance(stages[0].rewards[name], SignedAccuracy)]
    colors = colors_of(drawn)
    figure = Figure(figsize=(4.2 + 2.8 * count, 11))
    figure.set_layout_engine("constrained")
    drawn_bins = [part for stage in chosen for part in stage.noise[drawn[0]][1] if part.cases >= FEWEST_CASES]
    least = min((part.p for part in drawn_bins), default=0.01)
    grid = figure.subplots(4, count, sharex=True, sharey="row", squeeze=False)
    for column, stage in zip(grid.T, chosen, strict=True):
        for name in drawn:
            expanded = stage.noise[name][0].taylor is not None
            clipped = isinstance(stage.rewards[name], Clipped) or not expanded
            bias_axes, deviation_axes = column[2:] if clipped else column[:2]
            bins = [part for part in stage.noise[name][1] if part.cases >= FEWEST_CASES]
            for axes, moment in ((bias_axes, _bias), (deviation_axes, _deviation)):
                places = [part.p for part in bins]
                axes.plot(places, [moment(part.measured) for part in bins], "o-", color=colors[name], linewidth=0.6)
                if expanded:
                    predicted = [moment(part.taylor) for part in bins if part.taylor]
                    axes.plot(places, predicted, "--", color=colors[name], linewidth=1.8)
        column[0].set_title(_title(stage, several_runs=len({stage.path.parent for stage in stages}) > 1))
        column[3].set_xlabel(r"oracle's posterior $p(y|\tau)$")
        for axes in column:
            axes.axvline(1 / CLASSES, color="black", linewidth=0.8, linestyle=":")
            axes.set_xlim(0.6 * least, 1.4)
            axes.set_xscale("log")
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
        for axes in (column[0], column[2]):
            axes.axhline(0, color="black", linewidth=0.8)
        # The Taylor prediction of the logarithm leaves any scale.
        for (bias_axes, deviation_axes), most in ((column[:2], 100), (column[2:], 10)):
            # Limits first: of points that are all 0, as of an agent that is its own oracle, a log scale finds none.
            bias_axes.set_ylim(-most, most)
            bias_axes.set_yscale("symlog", linthresh=0.1, linscale=0.7)
            deviation_axes.set_ylim(1e-3, most)
            deviation_axes.set_yscale("log")
        for axes in column:
            axes.minorticks_off()
    rewards_of_row = ("unclipped",) * 2 + ("clipped, and accuracy",) * 2
    for axes, quantity, which in zip(grid[:, 0], ("bias", "standard deviation") * 2, rewards_of_row, strict=True):
        axes.set_ylabel(f"{quantity}\n{which}")
    marks = [Line2D([], [], color=color, linewidth=4, label=drawable(name)) for name, color in colors.items()]
    marks += [
        Line2D([], [], color="black", marker="o", linewidth=0.6, label="measured"),
        Line2D([], [], color="black", linestyle="--", linewidth=1.8, label="second-order Taylor"),
        Line2D([], [], color="black", linestyle=":", linewidth=0.8, label="prior"),
    ]
    title = f"Bias and standard deviation of the reward noise, in bins of at least {FEWEST_CASES} cases"
    figure.legend(handles=marks, loc="outside upper center", ncols=min(7, 2 * count + 2), frameon=False, title=title)
    return figure


def _bias(moments: Moments) -> float:
    return moments.bias


def _deviation(moments: Moments) -> float:
    return moments.variance**0.5


def _title(stage: Stage, *, several_runs: bool) -> str:
    return drawable(f"{stage.path.parent.name}, epoch {stage.epoch}" if several_runs else f"epoch {stage.epoch}")


def _at_epoch(saved: Checkpoint) -> tuple[int, Agent]:
    """After how many epochs the checkpoint was saved, and the agent in it."""
    epoch = saved.state.get("epoch")
    if not isinstance(epoch, int):
        raise UserError("this checkpoint does not say its epoch")
    return epoch, restored_agent(saved)


def _check_same_glimpses(path: Path, config: Config, oracle: Path, wanted: Config) -> None:
    if name := config.glimpse_difference(wanted):
        mine, its = getattr(config, name), getattr(wanted, name)
        raise UserError(
            f"{path}: has {name} {mine}, the oracle {oracle} has {its}; an oracle must see the same glimpses"
        )


def _canvases(agents: Sequence[Agent], split: Split, cases: int | None, mnist: Path | None) -> list[Canvases]:
    """Each agent's canvases, the first `cases` of them; agents that differ in other things share theirs."""
    fields = ("data", "mnist", "canvas", "distractors", "distractor_size", "test_size")
    if split == "validation":
        fields += ("train_size", "seed")
    kinds = [(agent.trained_on, *(getattr(agent.config, name) for name in fields)) for agent in agents]
    sets: dict[tuple, Canvases] = {}
    for kind, agent in zip(kinds, agents, strict=True):
        if kind not in sets:
            sets[kind] = canvases_for(agent.config, agent.trained_on, split, mnist)
    least = min(len(canvases.labels) for canvases in sets.values())
    if cases is not None and not 1 <= cases <= least:
        raise UserError(f"`cases` is {cases}; it must be from 1 to {least}, the number of {split} canvases")
    if cases is None and any(len(canvases.labels) != least for canvases in sets.values()):
        raise UserError(f"these models have different numbers of {split} canvases; give `cases`, at most {least}")
    shown = {kind: Canvases(images[:cases], labels[:cases]) for kind, (images, labels) in sets.items()}
    return [shown[kind] for kind in kinds]


def _npz(stages: Sequence[Stage]) -> bytes:
    content = BytesIO()
    np.savez_compressed(
        content,
        checkpoint=np.array([str(stage.path) for stage in stages]),
        epoch=np.array([stage.epoch for stage in stages]),
        delta=np.array([stage.delta for stage in stages], np.float32),
        q=np.array([stage.q for stage in stages], np.float32),
        p=np.array([stage.p for stage in stages], np.float32),
        label=np.array([stage.labels for stage in stages]),
    )
    return content.getvalue()
