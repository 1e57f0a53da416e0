"""Training on several hosts: one process on each, joined by JAX's distributed runtime and Keras's distribution API.

Every process runs the same script on the same data with the same seed. `join` comes before any network is built; after
it every network is on all devices of all hosts, `training.train` gives each host its rows of a batch, and the first
host writes the checkpoints into a folder that all of them see. Once a host is gone, the others end with an error; the
same command on all hosts goes on from the last checkpoint. docs/hosts.md has the commands.
"""

from typing import Any

import keras
import numpy as np

__all__ = ["check_same", "count", "join", "number", "own_rows"]


def join(coordinator: str, hosts: int, host: int, silence: int = 60, patience: int = 300) -> None:
    """Join this process to the others and let Keras train on the devices of all of them.

    Call `keras.utils.set_random_seed` with the same seed on all hosts before the networks are built: JAX stops where
    the first weights differ. `keras.distribution.initialize` cannot say how soon a silent host counts as dead, and it
    leaves JAX's preemption service on, which catches SIGTERM, so that `kill` does not end a process.

    Parameters
    ----------
    coordinator : str
        Address of the first host and a free port on it, ``"10.0.0.1:1234"``.
    hosts, host : int
        How many processes there are, and which one this is, from 0.
    silence : int
        Seconds after which a host that says nothing counts as dead; the others then end.
    patience : int
        Seconds to wait for the others at the start.

    Raises
    ------
    RuntimeError
        Keras runs on another backend than JAX, or JAX has used its devices already.
    """
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            f"hosts.join: several hosts need Keras's JAX backend, found {keras.backend.backend()}. "
            "Set the environment variable KERAS_BACKEND=jax before Python starts."
        )
    import jax

    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        coordinator, hosts, host, heartbeat_timeout_seconds=silence, initialization_timeout=patience
    )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def count() -> int:
    """How many hosts train together."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_processes


def number() -> int:
    """Which of the hosts this is, from 0."""
    return keras.distribution.distribution().data_shard_id if count() > 1 else 0


def own_rows(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """Cut this host's rows out of a batch that all hosts have drawn alike; Keras makes one batch of them again.

    Raises
    ------
    ValueError
        The rows cannot be shared out evenly among the devices of all hosts.
    """
    if count() == 1:
        return batch
    rows, devices = len(next(iter(batch.values()))), keras.distribution.distribution().device_mesh.devices.size
    if rows % devices:
        raise ValueError(f"batch_size: {rows} rows cannot be shared out evenly among {devices} devices of all hosts.")
    share = rows // count()
    return {name: array[number() * share : (number() + 1) * share] for name, array in batch.items()}


def check_same(value: int, what: str) -> None:
    """Stop with a clear error where a number is not the same on all hosts; all of them must call this."""
    if count() > 1:
        from jax.experimental import multihost_utils

        found = multihost_utils.process_allgather(np.array(value, "int32")).tolist()
        if len(set(found)) > 1:
            raise RuntimeError(f"The hosts differ in {what}: {found}, in the order of the hosts.")
