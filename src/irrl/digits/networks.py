"""Which code an agent runs, `irrl.digits.ram` or `irrl.digits.fast`: training, evaluation and noise see them alike."""

from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import optax
from jaxtyping import Array, Float, Int, Key, UInt16

from irrl.digits import fast, ram
from irrl.digits.config import AgentConfig, TrainingConfig
from irrl.digits.episode import Metrics, Noise, discriminator_log_probs
from irrl.digits.glimpse import glimpses, pyramid
from irrl.settings import part

Params = Any
"""An agent's weights: `ram.Params` or `fast.Params`."""


@runtime_checkable
class Network(Protocol):
    """What both modules have."""

    def initial_params(self, config: AgentConfig, *, key: Key[Array, ""]) -> Any:
        """Fresh weights."""

    def rollout(
        self,
        params: Any,
        canvases: UInt16[Array, "images canvas canvas"],
        index: Int[Array, " batch"],
        noise: Noise,
        config: AgentConfig,
    ) -> Any:
        """Episodes: among what is kept are `glimpses`, `locations`, `hidden` (time x batch x ...), `stop_time`."""

    def loss(
        self,
        params: Any,
        rolled: Any,
        labels: Int[Array, " batch"],
        weights: Float[Array, " batch"],
        config: AgentConfig,
        oracle_log_probs: Float[Array, "time batch classes"] | None = None,
    ) -> tuple[Float[Array, ""], Metrics]:
        """What training makes smaller, and metrics."""
        ...

    def optimizer(self, config: TrainingConfig, steps_per_epoch: int) -> optax.GradientTransformation:
        """How it does."""
        ...

    def perceive(
        self,
        params: Any,
        seen: Float[Array, "time batch features"],
        locations: Float[Array, "time batch 2"],
        config: AgentConfig,
    ) -> Float[Array, "time batch hidden_units"]:
        """Hidden states over glimpses that some policy chose."""
        ...


def network_of(config: AgentConfig) -> Network:
    """An agent's code."""
    return ram if config.agent == "ram" else fast


def initial_params(config: AgentConfig, *, key: Key[Array, ""]) -> Params:
    """Fresh weights of an agent: compiled as one program, for layer by layer it takes two seconds."""
    return _initial_params(part(AgentConfig, config), key)


@partial(jax.jit, static_argnames="config")
def _initial_params(config: AgentConfig, key: Key[Array, ""]) -> Params:
    return network_of(config).initial_params(config, key=key)


def judge(
    params: Params,
    seen: Float[Array, "time batch features"],
    locations: Float[Array, "time batch 2"],
    config: AgentConfig,
) -> Float[Array, "time batch classes"]:
    """An agent's `log q(y|tau)` after each of some glimpses, whoever chose them."""
    return discriminator_log_probs(params, network_of(config).perceive(params, seen, locations, config))


def judge_canvases(
    params: Params,
    canvases: UInt16[Array, "batch canvas canvas"],
    locations: Float[Array, "time batch 2"],
    config: AgentConfig,
) -> Float[Array, "time batch classes"]:
    """`judge`, of what there is to see on canvases at some locations."""
    pooled = pyramid(canvases, scales=config.scales)
    seen = jax.lax.map(partial(glimpses, pooled, patch=config.patch), locations)
    return judge(params, seen, locations, config)
