"""The tables of a report, as text: what the template puts into cells."""

from typing import Any

from irrl.report.numbers import Chapter
from irrl.report.page import number


def tables_of(chapter: Chapter, numbers: dict[str, Any]) -> dict[str, Any]:
    """What the template shows of a section.

    Args:
        numbers: of the section, whose text is fit to be shown.
    """
    unit = chapter.task.progress.unit
    return {
        "title": numbers["title"],
        "unit": unit,
        "end": number(chapter.rows[0].at) if chapter.has_common_end else None,
        "goals": list(chapter.rows[0].reached),
        "has_published": any(row.published is not None for row in chapter.rows),
        "rows": _rows(chapter, numbers),
        "about": _about(chapter),
        "metrics": numbers["metrics"],
        "differ": list(numbers["differ"]),
        "alike": {
            name: value for name, value in numbers["compared"][0]["settings"].items() if name not in numbers["differ"]
        },
        "runs": [{**run, "starts": [_start(start) for start in run["starts"]]} for run in numbers["runs"]],
    }


def _about(chapter: Chapter) -> str:
    """What the columns of the results mean."""
    label, unit = chapter.task.score.label, chapter.task.progress.unit
    where = f" at {unit} {number(chapter.rows[0].at)}" if chapter.has_common_end else f", each at its last {unit}"
    told = [f"{label[0].upper()}{label[1:]}{where}: interquartile mean over seeds, with its 95 % bootstrap interval."]
    told.append("Best: of each seed's best so far.")
    if any(row.published is not None for row in chapter.rows):
        told.append("Published: the paper's mean there, read off its plots.")
    if chapter.rows[0].reached:
        told.append(f"Reached: the {unit} at which the interquartile mean first did.")
    return " ".join(told)


def _rows(chapter: Chapter, numbers: dict[str, Any]) -> list[dict[str, Any]]:
    scale = chapter.task.score.scale
    return [
        {
            "name": group["name"],
            "color": group["color"],
            "seeds": len(row.seeds),
            "at": number(row.at),
            "score": f"{scale * row.interquartile_mean:.1f}",
            "interval": "[{:.1f}, {:.1f}]".format(*(scale * end for end in row.interval)) if row.interval else "",
            "best": f"{scale * row.best:.1f}",
            "published": "-" if row.published is None else f"{scale * row.published:.1f}",
            "settings": ["" if values[at] is None else str(values[at]) for values in numbers["differ"].values()],
            "reached": ["-" if first is None else number(first) for first in row.reached.values()],
        }
        for at, (row, group) in enumerate(zip(chapter.rows, numbers["groups"], strict=True))
    ]


def _start(start: dict[str, Any]) -> dict[str, Any]:
    """Provenance in words; a file may hold anything under these names."""
    versions = start.get("versions")
    devices = start.get("devices")
    memory = start.get("memory_bytes")
    facts = {
        "started": start.get("started"),
        "commit": start.get("git_commit"),
        "versions": ", ".join(f"{name} {each}" for name, each in versions.items())
        if isinstance(versions, dict)
        else versions,
        "system": start.get("system"),
        "processor": start.get("cpu"),
        "cores": start.get("cores"),
        "memory": f"{memory / 2**30:.0f} GiB" if isinstance(memory, int) else memory,
        "devices": ", ".join(map(str, devices)) if isinstance(devices, list) else devices,
        "threads": start.get("threads"),
    }
    told = {name: str(fact) for name, fact in facts.items() if fact not in (None, "")}
    return {"command": start["command"], "facts": told}
