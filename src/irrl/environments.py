"""Gymnasium environments, by name; Gymnasium itself calls `register` when it is imported."""


def register() -> None:
    """Register every environment under the namespace `irrl/`."""
    import gymnasium

    gymnasium.register("FourRooms-v0", entry_point="irrl.skills.environment:FourRooms")
