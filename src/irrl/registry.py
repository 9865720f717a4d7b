"""Where tasks are found by name: built in, in installed packages, or as `module:ATTRIBUTE`."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from irrl.errors import UserError, reason
from irrl.references import resolve, resolve_typed
from irrl.task import Task
from irrl.task_check import checked

BUILT_IN = {name: f"irrl.{name}.task:TASK" for name in ("digits", "skills", "counting")}

GROUP = "irrl.tasks"
"""The entry points of packages that bring a task."""


class AnotherTask(UserError):
    """A good checkpoint, but of another task's agent."""


def registered() -> dict[str, str]:
    """References of the tasks that come with irrl and with installed packages, by name; nothing is imported.

    A package cannot take the name of one that comes with irrl.
    """
    return {each.name: each.value for each in entry_points(group=GROUP)} | BUILT_IN


def find(name: str) -> Task:
    """The task called `name`: one that comes with irrl or an installed package, or `module:ATTRIBUTE`.

    The latter's module is looked for on Python's path, to whose end the current directory is added. So this is for
    names that the user typed; for one that stands in a file there is `find_registered`.

    Raises:
        UserError: there is none, or it is no `Task`, or one of which something is amiss.
    """
    if name in BUILT_IN:  # without a look at what is installed: `irrl --help` asks for each of them
        return _task(BUILT_IN[name], name)
    known = registered()
    if name in known:
        return _named(known[name], name)
    if ":" not in name:
        raise UserError(f"unknown task {name!r}; choose one of {', '.join(known)}, or your own as module:ATTRIBUTE")
    return checked(_task(name, name, resolve_typed))


def find_registered(name: object) -> Task:
    """The task whose name a file holds: only one that comes with irrl or an installed package.

    Raises:
        AnotherTask: there is none.
        UserError: it is no `Task`, or one of which something is amiss.
    """
    known = registered()
    if not isinstance(name, str) or name not in known:
        raise AnotherTask(
            f"a checkpoint of the task {str(name)[:60]!r}; irrl knows {', '.join(known)}: hand in another, as "
            "irrl.load(path, task)"
        )
    return _named(known[name], name)


def part_of(task: Task, name: str) -> Any:
    """What a task names in one of its fields: `train`, `agent`, `published`, `test`, `draw` or `commands`.

    Raises:
        UserError: it is not there, or cannot be imported.
    """
    reference = getattr(task, name)
    try:
        return resolve(reference)
    except (ImportError, AttributeError) as error:
        raise UserError(f"the task {task.name!r}: cannot load {name}={reference!r}: {reason(error)}") from error


def _named(reference: str, name: str) -> Task:
    """A registered task. Those that come with irrl are checked by tests: `irrl --help` need not wait for that."""
    task = _task(reference, name)
    if task.name != name:
        raise UserError(f"an installed package registers a task as {name!r} that calls itself {task.name!r}")
    return task if name in BUILT_IN else checked(task)


def _task(reference: str, name: str, resolved: Callable[[str], Any] = resolve) -> Task:
    try:
        task = resolved(reference)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's module may raise anything
        raise UserError(f"cannot load the task {name!r}: {reason(error)}") from error
    if not isinstance(task, Task):
        raise UserError(f"{name!r} is a {type(task).__name__}, not an irrl.task.Task")
    return task
