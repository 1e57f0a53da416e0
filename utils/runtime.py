"""Start of every notebook: quiet import of Keras, profile, seed, banner.

Import this module before Keras: TensorFlow writes five lines to standard error while it is imported, whatever its
log level, and one more when it looks for a GPU that is not there.
"""

import contextlib
import importlib.metadata
import os
import platform
import sys


@contextlib.contextmanager
def _quiet_stderr():
    """Send file descriptor 2 to the null device: C++ writes there, past `sys.stderr`."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # drops the information lines, keeps warnings and errors
with _quiet_stderr():
    import tensorflow

    tensorflow.config.list_logical_devices()  # without a GPU its first call reports a failed cuInit
    tensorflow.transpose([[0]])  # the first transposition of integers reports that oneDNN has no kernel for it
import keras

PROFILES = ("fast", "full")


def start(profile: str, seed: int) -> None:
    """Check the profile, set every seed and print versions and device.

    Parameters
    ----------
    profile : str
        "fast" (2 CPU cores, data that comes with the installed packages) or "full" (a GPU, the canonical data).
    seed : int
        Seeds Python, NumPy and the Keras backend with `keras.utils.set_random_seed`.

    Raises
    ------
    ValueError
        If `profile` is neither of the two.
    """
    if profile not in PROFILES:
        raise ValueError(
            f"parameter profile: expected one of {PROFILES}, got {profile!r}. Set it in the cell tagged `parameters`, "
            "or with papermill's option `-p profile fast`."
        )
    keras.utils.set_random_seed(seed)
    print(banner(profile))


def banner(profile: str) -> str:
    """Return one line with the profile, the versions and the device that Keras computes on."""
    backend = keras.config.backend()
    backend_version = importlib.metadata.version(backend)
    return (
        f"profile {profile} | Python {platform.python_version()} | Keras {keras.__version__} "
        f"on {backend} {backend_version} | {device()}"
    )


def device() -> str:
    """Return the name of the first GPU or TPU if there is one, else the number of CPU cores."""
    accelerators = [name for name in keras.distribution.list_devices() if not name.lower().startswith("cpu")]
    return accelerators[0] if accelerators else f"{os.cpu_count()} CPU cores"
