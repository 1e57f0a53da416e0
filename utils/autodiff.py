"""Gradients, and steps down them, on either backend, for the lectures in which they are the subject."""

from collections.abc import Callable, Sequence
from typing import Any

from utils import runtime  # noqa: F401  (imports Keras quietly)

import keras
import numpy as np


def value_and_gradients(loss: Callable[[], Any], variables: Sequence[keras.Variable]) -> tuple[float, list[np.ndarray]]:
    """Evaluate a scalar loss and its gradients with respect to Keras variables.

    Parameters
    ----------
    loss : callable
        Takes no argument, computes a scalar from `variables` with Keras operations.
    variables : sequence of keras.Variable
        The variables to differentiate with respect to, such as `model.trainable_variables`.

    Returns
    -------
    value : float
    gradients : list of numpy.ndarray
        One array per variable, with that variable's shape.

    """
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")
        gradients = map(tf.convert_to_tensor, gradients)  # an embedding's are sparse
    else:
        import jax

        def stateless(values: list[Any]) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        value, gradients = jax.value_and_grad(stateless)([v.value for v in variables])
    return float(value), [np.asarray(g) for g in gradients]


def make_step(
    loss: Callable[..., Any],
    optimizer: keras.Optimizer,
    variables: Sequence[keras.Variable],
    others: Sequence[keras.Variable] = (),
) -> Callable[..., float]:
    """Compile one step of an optimizer down the gradient of a loss, by XLA on TensorFlow and on JAX.

    Parameters
    ----------
    loss : callable
        Takes arrays, returns a scalar computed with Keras operations.
    optimizer : keras.Optimizer
        One for each step that is made: it keeps the moments of these variables.
    variables : sequence of keras.Variable
        What the step changes.
    others : sequence of keras.Variable
        What the loss reads besides, and other steps may change.

    Returns
    -------
    callable
        Takes the arrays of `loss`, changes `variables` and returns the loss before the step.
    """
    optimizer.build(variables)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(autograph=False, jit_compile=True)
        def step(*arrays: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([v.value for v in variables])
                value = loss(*arrays)
            optimizer.apply(tape.gradient(value, [v.value for v in variables]), variables)
            return value

        return step

    import jax

    @jax.jit
    def pure(values: list[Any], read: list[Any], state: list[Any], arrays: tuple[Any, ...]) -> Any:
        def stateless(values: list[Any]) -> Any:
            mapping = [*zip(variables, values, strict=True), *zip(others, read, strict=True)]
            with keras.StatelessScope(state_mapping=mapping):
                return loss(*arrays)

        value, gradients = jax.value_and_grad(stateless)(values)
        return value, *optimizer.stateless_apply(state, gradients, values)

    def step_on_jax(*arrays: Any) -> Any:
        now = [[v.value for v in group] for group in (variables, others, optimizer.variables)]
        value, changed, state = pure(*now, arrays)
        for v, new in zip([*variables, *optimizer.variables], [*changed, *state], strict=True):
            v.assign(new)
        return value

    return step_on_jax
