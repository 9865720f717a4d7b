"""Engines by name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from irrl.errors import UserError
from irrl.machine import cores
from irrl.studies.engines.engine import Engine
from irrl.studies.study import Job


@contextmanager
def open_engine(
    name: str,
    out: Path,
    jobs: Sequence[Job],
    *,
    workers: int | None = None,
    address: str = "auto",
    gpus: float = 0.0,
    slurm: Sequence[str] = (),
) -> Iterator[Engine]:
    """An engine, let go of at the end.

    Args:
        out: the study's folder, for logs.
        workers: runs at a time, of `local`; None: as many as there are cores for.
        address, gpus: of `ray`.
        slurm: `NAME=VALUE` for each parameter of a job, of `slurm`.

    Raises:
        UserError: what it needs is not there.
    """
    if workers is not None and workers < 1:
        raise UserError(f"`workers` is {workers}; it must be at least 1")
    if workers is not None and name != "local":
        raise UserError("`workers` is for the engine local")
    if slurm and name != "slurm":
        raise UserError("`slurm` is for the engine slurm")
    if gpus and name != "ray":
        raise UserError("`gpus` is for the engine ray; for slurm there is `slurm=gpus_per_node=1`")
    engine: Engine
    if name == "local":
        from irrl.studies.engines.local import LocalEngine

        threads = max((job.threads for job in jobs), default=1)
        engine = LocalEngine(out / "logs", workers or max(1, cores() // threads), threads)
    elif name == "ray":
        from irrl.studies.engines.ray import RayEngine

        engine = RayEngine(out / "logs", address, gpus)
    else:
        from irrl.studies.engines.slurm import SlurmEngine

        engine = SlurmEngine(out / "logs", slurm)
    try:
        yield engine
    finally:
        engine.close()
