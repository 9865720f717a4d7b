"""JAX's threads do not survive a fork: a child that goes on with a JAX that its parent has used waits for ever."""

import os
import sys

from irrl.errors import UserError

_forked_after_jax = False


def _look_back() -> None:
    global _forked_after_jax  # noqa: PLW0603
    bridge = sys.modules.get("jax._src.xla_bridge")  # JAX has no public way to ask
    _forked_after_jax = bridge is not None and bridge.backends_are_initialized()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_look_back)


def check_not_forked() -> None:
    """Refuse to compute in a process that was forked after JAX had been used.

    Raises:
        UserError: it was.
    """
    if _forked_after_jax:
        raise UserError(
            "this process was forked after JAX had been used, and would hang: start it afresh, with context='spawn' "
            "for AsyncVectorEnv, vector_kwargs={'context': 'spawn'} for gymnasium.make_vec"
        )
