"""Where the runs of a study are trained: `local`, `ray` or `slurm`. Each trains what the same commands would."""

from irrl.studies.engines.engine import Engine

__all__ = ["Engine"]
