"""What the neural tasks' agents are built of: a recurrent core, and pieces of a policy.

A rollout has to run step by step, since where the agent looks next depends on what it has seen. Its gradient does not:
with actions held constant, everything but the chain through the hidden states can be differentiated for all time steps
in one large matrix product. So a rollout keeps its activations, and the loss *replays* the network over them: each
`replayed_*` function below returns the activation it is given, as if it had computed it, and differentiates like the
layer that produced it. No product is computed twice, and weight gradients are summed over time by the matrix product.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class Linear(NamedTuple):
    """An affine layer `x @ weight + bias`."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, "*steps outputs"]

    def __call__(self, inputs: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return inputs @ self.weight + self.bias


def initial_linear(inputs: int, outputs: int, *, key: Key[Array, ""]) -> Linear:
    """Weights and biases uniform in +-1/sqrt(inputs)."""
    weight_key, bias_key = jax.random.split(key)
    bound = 1 / math.sqrt(inputs)
    return Linear(
        jax.random.uniform(weight_key, (inputs, outputs), minval=-bound, maxval=bound),
        jax.random.uniform(bias_key, (outputs,), minval=-bound, maxval=bound),
    )


@jax.custom_vjp
def replayed_layer(
    layer: Linear, inputs: Float[Array, "rows inputs"], outputs: Float[Array, "rows outputs"]
) -> Float[Array, "rows outputs"]:
    """`layer(inputs)`, whose value is already known to be `outputs`."""
    return outputs


def _layer_forward(layer, inputs, outputs):
    return outputs, (layer, inputs)


def _layer_backward(saved, cotangent):
    layer, inputs = saved
    return Linear(inputs.T @ cotangent, cotangent.sum(0)), cotangent @ layer.weight.T, None


replayed_layer.defvjp(_layer_forward, _layer_backward)


@jax.custom_vjp
def replayed_relu_layer(
    layer: Linear, inputs: Float[Array, "rows inputs"], activations: Float[Array, "rows outputs"]
) -> Float[Array, "rows outputs"]:
    """`relu(layer(inputs))`, whose value is already known to be `activations`."""
    return activations


def _relu_layer_forward(layer, inputs, activations):
    return activations, (layer, inputs, activations)


def _relu_layer_backward(saved, cotangent):
    layer, inputs, activations = saved
    return _layer_backward((layer, inputs), jnp.where(activations > 0, cotangent, 0))


replayed_relu_layer.defvjp(_relu_layer_forward, _relu_layer_backward)


@jax.custom_vjp
def replayed_relu_core(
    from_inputs: Linear,
    from_hidden: Linear,
    inputs: Float[Array, "time batch inputs"],
    hidden: Float[Array, "time batch hidden"],
) -> Float[Array, "time batch hidden"]:
    """`h_t = relu(from_inputs(x_t) + from_hidden(h_{t-1}))`, `h_0 = 0`, whose values are already known: `hidden`."""
    return hidden


def _relu_core_forward(from_inputs, from_hidden, inputs, hidden):
    return hidden, (from_inputs, from_hidden, inputs, hidden)


def _relu_core_backward(saved, cotangents):
    from_inputs, from_hidden, inputs, hidden = saved

    def step(later, now):
        hidden, cotangent = now
        cotangent = jnp.where(hidden > 0, cotangent + later @ from_hidden.weight.T, 0)
        return cotangent, cotangent

    _, through_time = jax.lax.scan(step, jnp.zeros_like(hidden[0]), (hidden, cotangents), reverse=True)

    return *_summed_over_time(from_inputs, inputs, hidden, through_time), None


def _summed_over_time(from_inputs, inputs, hidden, cotangents):
    """Gradients of a core's two layers and of its inputs, given that of the layers' sum at every step."""

    def rows(array):
        return array.reshape(-1, array.shape[-1])

    bias = rows(cotangents).sum(0)
    gradient_inputs = Linear(rows(inputs).T @ rows(cotangents), bias)
    gradient_hidden = Linear(rows(hidden[:-1]).T @ rows(cotangents[1:]), bias)
    return gradient_inputs, gradient_hidden, (rows(cotangents) @ from_inputs.weight.T).reshape(inputs.shape)


replayed_relu_core.defvjp(_relu_core_forward, _relu_core_backward)


def light_gru(terms: Float[Array, "*batch terms"], hidden: Float[Array, "*batch hidden"]) -> tuple[Array, Array]:
    """A step of the light gated recurrent unit (Ravanelli et al. 2018): `h_t = (1 - z) h_{t-1} + z relu(a)`.

    Args:
        terms: a and the logit of the update gate z, side by side; both are affine in input and `h_{t-1}`.

    Returns:
        `relu(a)` and z side by side, and `h_t`.
    """
    candidate, gate = jnp.split(terms, 2, axis=-1)
    candidate, gate = jax.nn.relu(candidate), jax.nn.sigmoid(gate)
    return jnp.concatenate([candidate, gate], axis=-1), hidden + gate * (candidate - hidden)


@jax.custom_vjp
def replayed_light_gru(
    from_inputs: Linear,
    from_hidden: Linear,
    inputs: Float[Array, "time batch inputs"],
    gated: Float[Array, "time batch terms"],
    hidden: Float[Array, "time batch hidden"],
) -> Float[Array, "time batch hidden"]:
    """`gated_t, h_t = light_gru(from_inputs(x_t) + from_hidden(h_{t-1}), h_{t-1})`, `h_0 = 0`, all known already."""
    return hidden


def _light_gru_forward(from_inputs, from_hidden, inputs, gated, hidden):
    return hidden, (from_inputs, from_hidden, inputs, gated, hidden)


def _light_gru_backward(saved, cotangents):
    from_inputs, from_hidden, inputs, gated, hidden = saved
    before = jnp.concatenate([jnp.zeros_like(hidden[:1]), hidden[:-1]])

    def step(later, now):
        gated, before, cotangent = now
        candidate, gate = jnp.split(gated, 2, axis=-1)
        cotangent = cotangent + later
        of_candidate = jnp.where(candidate > 0, cotangent * gate, 0)
        of_gate = cotangent * (candidate - before) * gate * (1 - gate)
        terms = jnp.concatenate([of_candidate, of_gate], axis=-1)
        return cotangent * (1 - gate) + terms @ from_hidden.weight.T, terms

    _, terms = jax.lax.scan(step, jnp.zeros_like(hidden[0]), (gated, before, cotangents), reverse=True)

    return *_summed_over_time(from_inputs, inputs, hidden, terms), None, None


replayed_light_gru.defvjp(_light_gru_forward, _light_gru_backward)


def gaussian_log_prob(
    sample: Float[Array, "*batch dimensions"], mean: Float[Array, "*batch dimensions"], std: float
) -> Float[Array, "*batch"]:
    """Log-density of an isotropic Gaussian, in nats. The constant is kept: an undetached reward multiplies it."""
    log_densities = -0.5 * ((sample - mean) / std) ** 2 - math.log(std * math.sqrt(2 * math.pi))
    return log_densities.sum(-1)
