"""Gradients through a call of the other room, on TensorFlow and JAX."""

import sys
from collections.abc import Callable
from typing import Any

from utils.course.values import Leaf

import numpy as np


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a structure of tuples, lists and dictionaries with `change` applied to everything else in it."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([replaced(item, change) for item in value])
    if kind is dict:
        return {key: replaced(item, change) for key, item in value.items()}
    return change(value)


def leaf_kind(value: Any) -> str:
    """Return "tensor" or "variable" for what a gradient may be taken by, "" for anything else."""
    keras = sys.modules.get("keras")
    if keras is None or value is None or type(value) in (int, float, bool, str, np.ndarray):
        return ""
    if isinstance(value, keras.Variable):
        return "variable" if value.dtype.startswith(("float", "bfloat")) else ""
    if keras.backend.backend() == "tensorflow":
        tensorflow = sys.modules["tensorflow"]
        return "tensor" if tensorflow.is_tensor(value) and value.dtype.is_floating else ""
    jax = sys.modules["jax"]
    return "tensor" if isinstance(value, jax.core.Tracer) else ""


def mark(value: Any, sources: list[Any]) -> Any:
    """Return a Leaf in the place of a tensor or variable, which is added to `sources`; anything else as it is."""
    kind = leaf_kind(value)
    if not kind:
        return value
    sources.append(value)
    return Leaf(len(sources) - 1, kind)


def tensors_in(value: Any) -> list[Any]:
    found: list[Any] = []
    replaced(value, lambda item: found.append(item) if is_tensor(item) else None)
    return found


def is_tensor(value: Any) -> bool:
    import keras

    return keras.ops.is_tensor(value) and "float" in keras.backend.standardize_dtype(value.dtype)


def put_back(value: Any, tensors: Any) -> Any:
    """Return `value` with its tensors replaced by `tensors`, in order."""
    new = iter(tensors)
    return replaced(value, lambda item: next(new) if is_tensor(item) else item)


def through(forward: Callable[..., Any], sources: list[Any]) -> Any:
    """Return the value of a call in the other room as tensors that the backend of this room can differentiate."""
    import keras

    values = [source.value if leaf_kind(source) == "variable" else source for source in sources]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(value) for value in values]
        result, pull = forward([tensor.numpy() for tensor in tensors])
        if not (found := tensors_in(result)):
            return result

        @tf.custom_gradient
        def known(*inputs: Any) -> Any:
            def backward(*upstream: Any) -> list[Any]:
                return [tf.convert_to_tensor(slope) for slope in pull([part.numpy() for part in upstream])]

            return tuple(tf.identity(tensor) for tensor in found), backward

        return put_back(result, known(*tensors))
    import jax

    box: list[Any] = []

    @jax.custom_vjp
    def remote(*inputs: Any) -> Any:
        box[:] = forward([np.asarray(value) for value in inputs])
        return tuple(tensors_in(box[0]))

    def ahead(*inputs: Any) -> Any:
        return remote(*inputs), ()

    def back(_: Any, upstream: Any) -> Any:
        return tuple(jax.numpy.asarray(slope) for slope in box[1]([np.asarray(part) for part in upstream]))

    remote.defvjp(ahead, back)
    outputs = remote(*values)
    return put_back(box[0], outputs)


def differentiated(
    function: Callable[..., Any], args: Any, options: Any, leaves: list[Any]
) -> tuple[Any, Callable[[list[Any]], list[Any]]]:
    """Call `function` with tensors in the place of the leaves; return its value and what pulls gradients back."""
    import keras

    kinds, arrays = [kind for kind, _ in leaves], [array for _, array in leaves]
    variables = {i: keras.Variable(arrays[i]) for i, kind in enumerate(kinds) if kind == "variable"}

    def call(tensors: Any) -> Any:
        def fill(item: Any) -> Any:
            return variables.get(item.index, tensors[item.index]) if isinstance(item, Leaf) else item

        filled, named = replaced((args, options), fill)
        return function(*filled, **named)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(array) for array in arrays]
        sources = [variables[i].value if i in variables else tensor for i, tensor in enumerate(tensors)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sources)
            result = call(tensors)
        found = tensors_in(result)

        def pull(upstream: list[Any]) -> list[Any]:
            ups = [tf.convert_to_tensor(part) for part in upstream]
            slopes = tape.gradient(found, sources, ups, unconnected_gradients="zero")
            return [tf.convert_to_tensor(slope).numpy() for slope in slopes]

        return result, pull
    import jax

    box: list[Any] = []

    def pure(*tensors: Any) -> Any:
        mapping = [(variable, tensors[i]) for i, variable in variables.items()]
        with keras.StatelessScope(state_mapping=mapping):
            box[:] = [call(tensors)]
        return tuple(tensors_in(box[0]))

    outputs, pullback = jax.vjp(pure, *[jax.numpy.asarray(array) for array in arrays])
    result = put_back(box[0], outputs)
    return result, lambda upstream: [
        np.asarray(g) for g in pullback(tuple(jax.numpy.asarray(part) for part in upstream))
    ]
