"""Settings of irrl 0.1 in today's terms: what they say of the agent is one field now, and some were given up."""

from collections.abc import Mapping
from typing import Any

RETIRED = {"locator_core_units": 0, "scale_factor": 2, "muon_rate": 6.0, "validation_fraction": 0.1}
"""Settings that older runs have, and the one value that is still understood."""

RAM = {
    "credit": "last",
    "discount": 1.0,
    "horizon": "finite",
    "baseline": "state",
    "sensor_location": "place",
    "encoding": "sum",
    "core": "relu",
    "core_start": "uniform",
    "locations": "absolute",
    "location_bias": "shared",
    "policy_reads": "state",
    "policy_trains": "itself",
    "optimizer": "adam",
    "policy_rate": 1.0,
}
RAM8 = RAM | {
    "credit": "every",
    "discount": 0.8,
    "baseline": "label",
    "encoding": "film",
    "core_start": "identity",
    "locations": "relative",
    "policy_trains": "core",
    "optimizer": "muon",
    "policy_rate": 0.3,
}
FAST = RAM8 | {
    "horizon": "infinite",
    "sensor_location": "ink",
    "core": "light-gru",
    "location_bias": "sweep",
    "policy_reads": "place",
}
AGENTS = {"ram": RAM, "ram8": RAM8, "fast": FAST}
"""What irrl 0.1 recorded for each agent; where a setting is missing, the run is older than it, and it was `RAM`'s."""


def upgraded(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded config with `agent` in the place of 14 settings, and without those that were given up.

    What no agent has any more stays as it was recorded: so it is shown where runs are compared, and refused elsewhere.
    """
    if "agent" in recorded:
        return dict(recorded)
    told = {name: recorded.get(name, value) for name, value in RAM.items()}
    differences = {
        agent: {name: told[name] for name, value in settings.items() if told[name] != value}
        for agent, settings in AGENTS.items()
    }
    agent, others = min(differences.items(), key=lambda found: len(found[1]))
    retired = {name for name, only in RETIRED.items() if recorded.get(name) == only}
    kept = {name: value for name, value in recorded.items() if name not in {*RAM, *retired}}
    return {**kept, "agent": agent, **others}
