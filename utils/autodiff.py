"""Gradients on either backend, for the lectures in which gradients are the subject."""

from collections.abc import Callable, Sequence

from utils import runtime  # noqa: F401  (imports Keras quietly)

import keras
import numpy as np


def value_and_gradients(loss: Callable[[], object], variables: Sequence[keras.Variable]):
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

    Raises
    ------
    NotImplementedError
        On a backend other than TensorFlow and JAX.
    """
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")
    elif backend == "jax":
        import jax

        def stateless(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        value, gradients = jax.value_and_grad(stateless)([v.value for v in variables])
    else:
        raise NotImplementedError(
            f"backend {backend!r} has no gradients here: set KERAS_BACKEND to 'tensorflow' or 'jax' and restart"
        )
    return float(value), [np.asarray(g) for g in gradients]
