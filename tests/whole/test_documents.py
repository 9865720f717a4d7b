"""Tables in the documents are what `irrl study table` makes of the committed runs: no number there is typed by hand."""

import re
from pathlib import Path

import pytest

from irrl.studies.check import check, markdown
from irrl.studies.study import read_study

ROOT = Path(__file__).parents[2]
MARKED = re.compile(r"<!-- study (\S+) -->\n(.*?)\n?<!-- end -->", re.DOTALL)
TABLES = [
    pytest.param(*found, id=f"{path.name}-{found[0]}")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for found in MARKED.findall(path.read_text())
    if found[0] != "NAME"
]


@pytest.mark.parametrize(("name", "text"), TABLES)
def test_a_table_is_up_to_date(name, text, committed):
    assert markdown(check(read_study(name), committed[name])) == text


def test_there_are_some():
    assert len(TABLES) >= 6
