"""Importing this registers our Gymnasium environments: `gymnasium.make("irrl.environments:irrl/FourRooms-v0")`."""

import gymnasium

gymnasium.register("irrl/FourRooms-v0", entry_point="irrl.skills.environment:FourRoomsEnv")
gymnasium.register(
    "irrl/ObjectCounting-v0",
    entry_point="irrl.counting.environment:ObjectCountingEnv",
    vector_entry_point="irrl.counting.environment:ObjectCountingVectorEnv",
)
