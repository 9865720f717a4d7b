"""Where randomness comes from: every draw belongs to a seed, a purpose and a step, and to nothing else.

Because a key is folded from those three, how often a run is logged, evaluated, checkpointed or resumed cannot
change what it learns.
"""

from typing import Literal, get_args

import jax
import numpy as np
from jaxtyping import Array, Int, Key

from irrl.errors import UserError

Purpose = Literal[
    "initial parameters", "split", "canvases", "test canvases", "order", "rollout", "evaluation", "scenes", "jitter"
]
_NUMBER = {purpose: number for number, purpose in enumerate(get_args(Purpose))}


def root(seed: int) -> Key[Array, ""]:
    """What all keys of a seed are folded from. A compiled program is given this: so it serves every seed."""
    return jax.random.key(_checked(seed))


def key(seed: int | Key[Array, ""], purpose: Purpose, step: int | Int[Array, ""] = 0) -> Key[Array, ""]:
    """A JAX key: `fold_in(fold_in(root(seed), purpose), step)`; `step`, and a root for a seed, may be traced."""
    start = seed if isinstance(seed, jax.Array) else root(seed)
    return jax.random.fold_in(jax.random.fold_in(start, _NUMBER[purpose]), step)


def generator(seed: int, purpose: Purpose, step: int = 0) -> np.random.Generator:
    """A NumPy generator for what is prepared on the host, folded from the same three."""
    return np.random.default_rng([_checked(seed), _NUMBER[purpose], step])


def _checked(seed: int) -> int:
    # JAX keeps 32 bits of a seed, so larger ones would share their random numbers.
    if not 0 <= seed < 2**32:
        raise UserError(f"`seed` is {seed}; it must be from 0 to {2**32 - 1}")
    return seed
