"""The command line of each registered task, made when it is asked for: `irrl.cli.tasks.NAME`."""

from cyclopts import App

from irrl.cli.task_app import app_of
from irrl.registry import find


def __getattr__(name: str) -> App:
    if name.startswith("__"):
        raise AttributeError(name)
    return app_of(find(name))
