"""Importing this registers our Gymnasium environments: `gymnasium.make("irrl.environments:irrl/FourRooms-v0")`."""

import gymnasium

gymnasium.register("irrl/FourRooms-v0", entry_point="irrl.skills.environment:FourRoomsEnv")
