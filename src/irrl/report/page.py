"""The page itself. What stands in runs is shown as text: escaped in the HTML, and in the JSON that is embedded."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup

ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""In embedded JSON: so nothing there ends the element, or opens another."""


def json_text(value: Any) -> str:
    """JSON that can stand in a script element. NaN and infinity, which are not JSON, are refused."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(ESCAPES)


def page_of(numbers: dict[str, Any], pictures: list[dict[str, Any]], tables: list[dict[str, Any]]) -> bytes:
    """The HTML file.

    Args:
        numbers: of the whole report.
        pictures: of each section.
        tables: of each section, ready to be shown.
    """
    styles, scripts = _asset("page.css"), [_asset("vendor/echarts.js"), _asset("page.js")]
    policy = (
        # Nothing may be fetched, and nothing run but these. Attributes alone can style: the chart library writes some.
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src-elem {_hash(styles)}; "
        "style-src-attr 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.from_string(_asset("page.html")).render(
        title=numbers["title"],
        made=numbers["made"],
        sections=list(zip(numbers["sections"], tables, pictures, strict=True)),
        policy=policy,
        styles=Markup(styles),
        scripts=[Markup(each) for each in scripts],
        numbers=Markup(json_text(numbers)),
        pictures=Markup(json_text(pictures)),
    )
    return text.encode()


def number(value: float | int) -> str:
    """As a table has room for: 11.1M, 250k, 65,536, 480."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= 10 * size or value >= 1_000_000:
            short = f"{value / size:g}{letter}"
            return short if len(short) <= 6 else f"{value:,}"
    return f"{value:g}"


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return files("irrl.report").joinpath(name).read_text(encoding="utf-8")
