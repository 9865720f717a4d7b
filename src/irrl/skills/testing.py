"""How many skills the agents in run folders have learned, over seeds."""

from dataclasses import asdict
from pathlib import Path

from irrl.errors import UserError
from irrl.loading import read_agent
from irrl.run_folder import kept_checkpoints, read_config, run_checkpoints
from irrl.seeds import run_folders
from irrl.skills.agent import Agent, report, restored_agent
from irrl.skills.config import FREE, Config
from irrl.skills.four_rooms import rooms_of
from irrl.skills.training import initial_tables
from irrl.task import Report


def untrained(config: Config) -> Agent:
    """The agent with which a training with these settings begins."""
    return Agent(config, initial_tables(config, rooms_of(config.rooms)), 0)


def agent_at(folder: Path, iteration: int | None = None) -> Agent:
    """A run's agent at an iteration whose checkpoint it kept (0 is before training), the last one by default.

    Raises:
        UserError: there is no such run or checkpoint, or it is damaged.
    """
    config = read_config(folder, "skills", Config)
    if iteration == 0:
        return untrained(config)
    if not run_checkpoints(folder, "iteration"):
        raise UserError(f"{folder}: no checkpoint there: it was not trained to one yet, or only its metrics were kept")
    kept = kept_checkpoints(folder, "iteration")
    path = folder if iteration is None else kept.get(iteration, folder)
    found = read_agent(path, restored_agent)
    if any(getattr(found.config, name) != value for name, value in asdict(config).items() if name not in FREE):
        raise UserError(f"{path}: not of the run whose config.json lies there")
    if iteration not in (None, found.iteration):
        known = ", ".join(f"{number:,}" for number in kept) or "none"
        raise UserError(
            f"{folder}: no checkpoint of iteration {iteration:,} (the last is {found.iteration:,}; "
            f"kept by `keep_every`: {known})"
        )
    return found


def test(path: Path, *, seed: int = 0) -> Report:
    """The metrics of a run's last checkpoint: means over its seeds, and each seed's; and their ceiling.

    Seeds whose training has not come to a checkpoint yet are left out.

    Args:
        path: a run's folder, or that of several seeds; or a checkpoint file.
        seed: draws the sampled episodes.

    Raises:
        UserError: there is no checkpoint, or the seeds had different settings.
    """
    if not path.is_dir():
        return read_agent(path, restored_agent).test(seed=seed)
    folders = [folder for folder in run_folders([path]) if run_checkpoints(folder, "iteration")]
    if not folders:
        raise UserError(f"{path}: no checkpoint there: it was not trained to one yet, or only its metrics were kept")
    agents = [agent_at(folder) for folder in folders]
    kinds = {tuple((k, v) for k, v in asdict(agent.config).items() if k not in FREE | {"seed"}) for agent in agents}
    if len(kinds) > 1:
        raise UserError(f"{path}: its seeds had different settings: give one of their folders")
    return report(agents, seed=seed)
