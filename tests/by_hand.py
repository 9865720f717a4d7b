"""Three trajectories, and what every reward pays for them, worked by hand."""

import math

import numpy as np

# Three trajectories: sure and right, unsure (a tie that the lowest index wins), and wrong.
PROBS = np.array([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.5, 0.25, 0.25]])
TARGET = np.array([0, 1, 2])
PRIOR = 0.3
PRIOR_VECTOR = np.array([0.5, 0.3, 0.2])

# Names as a user types them; q is 0.7, 0.4, 0.25.
BY_HAND = {
    "accuracy": [1, 0, 0],
    "signed-accuracy": [1, -1, -1],
    "log": [math.log(7 / 3), math.log(4 / 3), math.log(5 / 6)],
    "linear": [0.4, 0.1, -0.05],
    "clipped-log": [0.8472978604, 0.2876820724, 0],
    "clipped-linear": [0.4, 0.1, 0],
    # (sqrt q - sqrt p) / 0.5
    "box-cox:0.5": [2 * (math.sqrt(q) - math.sqrt(0.3)) for q in (0.7, 0.4, 0.25)],
    "clipped-box-cox:0.5": [2 * (math.sqrt(q) - math.sqrt(0.3)) for q in (0.7, 0.4, 0.3)],
    "box-cox:2": [0.2, 0.035, -0.01375],
    "box-cox:-1": [40 / 21, 5 / 6, -2 / 3],
}
EVERY = list(BY_HAND)
