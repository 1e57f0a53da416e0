"""Gradients on either backend, for the lectures in which gradients are the subject."""

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
    else:
        import jax

        def stateless(values: list[Any]) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        value, gradients = jax.value_and_grad(stateless)([v.value for v in variables])
    return float(value), [np.asarray(g) for g in gradients]
