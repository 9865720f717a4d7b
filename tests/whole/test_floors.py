"""Imports point one way: a module knows those of its own floor and of lower ones, and a task never another task.

From docs of the house: the command line on top, then studies, tasks, what they share, and the ideas.
"""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "irrl"

IDEAS = (
    "errors lazy extras forks machine settings reward_names references registry stats task task_check rewards noise "
    "returns plain_pickle"
)
SHARED = (
    "actions checkpoint devices engine figures files films keys learning listeners loading locks plan provenance "
    "recurrent run run_folder distributed native_log seeds side_by_side torch_file comparison environments"
)
FLOORS = [
    IDEAS.split(),
    SHARED.split(),
    ["digits", "skills", "counting"],
    ["training", "report"],
    ["studies"],
    ["cli"],
    ["__init__", "__main__"],
]
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}
TASKS = FLOORS[2]


def imports():
    """(file, name of the package's part that it belongs to, that which it imports)."""
    for path in sorted(SOURCE.rglob("*.py")):
        part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
                if node.module == "irrl":
                    names = [f"irrl.{alias.name}" for alias in node.names]
            for name in names:
                if name.startswith("irrl."):
                    yield str(path.relative_to(SOURCE)), part, name.split(".")[1]


def test_every_module_has_a_floor():
    parts = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")}
    assert parts == set(FLOOR)


def test_no_module_imports_from_a_higher_floor():
    public = set(__import__("irrl").__all__)
    higher = [
        f"{path} imports {imported}"
        for path, part, imported in imports()
        if part != "__init__" and imported not in public - set(FLOOR) and FLOOR[imported] > FLOOR[part]
    ]
    assert not higher


@pytest.mark.parametrize("task", TASKS)
def test_a_task_never_imports_another(task):
    others = {imported for _, part, imported in imports() if part == task} & set(TASKS)
    assert others <= {task}


def test_no_file_is_longer_than_400_lines():
    root = SOURCE.parents[1]
    files = [path for folder in ("src", "tests", "bench", "results") for path in (root / folder).rglob("*.py")]
    assert not [path for path in files if len(path.read_text().splitlines()) > 400]


def test_a_module_is_for_one_thing():
    """Its first line, up to a colon, says it without an "and"."""
    both = []
    for path in sorted(SOURCE.rglob("*.py")):
        line = (ast.get_docstring(ast.parse(path.read_text())) or "and").partition("\n")[0]
        if "and" in re.split(r"[:.](?: |$)", line)[0].split():
            both.append(f"{path.relative_to(SOURCE)}: {line}")
    assert not both


def test_tests_lie_as_what_they_test():
    """`tests/skills/test_kernel_code_cache.py` tests `irrl/skills/kernel.py`; what tests the whole lies in a folder."""
    tests = Path(__file__).parents[1]
    homeless = []
    for path in tests.rglob("test_*.py"):
        folder = path.parent.relative_to(tests)
        modules = {module.stem for module in (SOURCE / folder).glob("*.py")}
        name = path.stem.removeprefix("test_")
        known = name in modules or any(name.startswith(f"{module}_") for module in modules)
        if folder.parts[:1] not in (("whole",), ("hostile",)) and not known:
            homeless.append(str(path))
    assert not homeless
